/* Why a cost grew and what it will be, in words and numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usage.h"

#define FACTORS_MOST 8
#define LABEL_MOST   34
#define MONEY_WIDTH  14
#define BAR_LEAST    10
#define BAR_MOST     44
#define NAME_LEAST   8
#define NAME_MOST    36

struct factor {
    struct slice name;
    bool known;
    int64_t cost;
    double before, after;
};

struct growth_said {
    int64_t before, after, growth;
    struct factor factor[FACTORS_MOST];
    size_t n;
};

static void pad(struct buf *out, int n)
{
    for (; n > 0; n--)
        buf_char(out, ' ');
}

static void put_left(struct buf *out, struct slice s, int width)
{
    buf_slice(out, s);
    pad(out, width - usage_columns(s));
}

static void put_money(struct buf *out, int64_t nano, bool sign, int width)
{
    struct buf text;
    buf_init(&text, 64);
    if (sign && nano > 0)
        buf_char(&text, '+');
    usage_put_dollars(&text, nano);
    pad(out, width - (int)text.n);
    buf_slice(out, buf_view(&text));
    buf_done(&text);
}

static void read_growth(const struct json_doc *d, uint32_t node, struct arena *a,
                        struct growth_said *g)
{
    uint32_t parts = json_get(d, node, SLICE("parts"));
    *g = (struct growth_said){.before = usage_member_i64(d, node, "cost_before_nano"),
                              .after = usage_member_i64(d, node, "cost_after_nano"),
                              .growth = usage_member_i64(d, node, "growth_nano")};
    if (parts == 0 || json_type_at(d, parts) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(d, parts); i < json_end(d, parts) && g->n < FACTORS_MOST;
         i = json_after(d, i)) {
        uint32_t known = json_get(d, i, SLICE("known"));
        g->factor[g->n++] =
            (struct factor){.name = usage_member_text(d, i, "factor", a),
                            .known = known != 0 && json_type_at(d, known) == JSON_TRUE,
                            .cost = usage_member_i64(d, i, "cost_nano"),
                            .before = usage_member_double(d, i, "before"),
                            .after = usage_member_double(d, i, "after")};
    }
}

static bool knows(const struct growth_said *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++) {
        if (slice_is(g->factor[i].name, name))
            return g->factor[i].known;
    }
    return false;
}

/* The factor under the name that what is known leaves it. */
static const char *label_of(const struct growth_said *g, const struct factor *f)
{
    if (slice_is(f->name, "users"))
        return "users";
    if (slice_is(f->name, "requests_per_user"))
        return knows(g, "users") ? "requests per user" : "requests";
    if (slice_is(f->name, "tokens_per_request"))
        return "tokens per request";
    return knows(g, "tokens_per_request") ? "price per token" : "price per request";
}

static void put_change(struct buf *out, double before, double after)
{
    if (before > 0 && after > 0)
        buf_printf(out, " %+.1f%%", (after / before - 1) * 100);
    else
        buf_slice(out, after > 0 ? SLICE(" new") : before > 0 ? SLICE(" gone") : SLICE(""));
}

/* ---- the waterfall */

static int bar_width(const struct usage_look *look)
{
    int left = look->width - LABEL_MOST - MONEY_WIDTH - 6;
    return left < BAR_LEAST ? 0 : MIN_OF(left, BAR_MOST);
}

/* A bar from one running sum to the next. */
static void put_step(struct buf *out, int64_t from, int64_t to, int64_t most, int columns,
                     const struct usage_look *look)
{
    double low = from > to ? (double)to : (double)from;
    low = low > 0 ? low : 0;
    double high = from > to ? (double)from : (double)to;
    int skip = most > 0 ? (int)(low / (double)most * columns) : 0;
    if (columns == 0 || high <= low)
        return;
    pad(out, 2 + skip);
    usage_put_bar(out, high - low, (double)most, columns, false, look);
}

static void put_line(struct buf *out, struct slice label, int64_t money, bool sign, int64_t from,
                     int64_t to, int64_t most, const struct usage_look *look)
{
    buf_lit(out, "  ");
    put_left(out, label, LABEL_MOST);
    put_money(out, money, sign, MONEY_WIDTH);
    put_step(out, from, to, most, bar_width(look), look);
    buf_char(out, '\n');
}

static void put_waterfall(struct buf *out, const struct growth_said *g,
                          const struct usage_look *look)
{
    int64_t at = g->before, most = MAX_OF(g->before, g->after);
    struct buf label;
    for (size_t i = 0; i < g->n; i++) {
        at += g->factor[i].cost;
        most = MAX_OF(most, at);
    }
    at = g->before;
    buf_init(&label, 256);
    put_line(out, SLICE("before"), g->before, false, 0, g->before, most, look);
    for (size_t i = 0; i < g->n; i++) {
        const struct factor *f = &g->factor[i];
        if (!f->known)
            continue;
        buf_reset(&label);
        buf_slice(&label, slice_str(label_of(g, f)));
        put_change(&label, f->before, f->after);
        put_line(out, buf_view(&label), f->cost, true, at, at + f->cost, most, look);
        at += f->cost;
    }
    put_line(out, SLICE("after"), g->after, false, 0, g->after, most, look);
    buf_done(&label);
}

/* ---- words */

static const struct factor *largest_of(const struct growth_said *g)
{
    const struct factor *best = NULL;
    for (size_t i = 0; i < g->n; i++) {
        const struct factor *f = &g->factor[i];
        bool same_way = (f->cost > 0) == (g->growth > 0);
        if (f->known && f->cost != 0 && same_way &&
            (best == NULL || llabs(f->cost) > llabs(best->cost)))
            best = f;
    }
    return best;
}

static void put_reason(struct buf *out, const struct growth_said *g)
{
    const struct factor *f = largest_of(g);
    if (f == NULL)
        return;
    bool more = f->cost > 0;
    const char *label = label_of(g, f);
    if (slice_is(f->name, "users"))
        buf_printf(out, "%s users (%.0f, were %.0f)", more ? "more" : "fewer", f->after, f->before);
    else if (slice_is(f->name, "requests_per_user"))
        buf_printf(out, "%s %s (%.1f, were %.1f)", more ? "more" : "fewer", label, f->after,
                   f->before);
    else if (slice_is(f->name, "tokens_per_request"))
        buf_printf(out, "%s requests (%.0f tokens each, were %.0f)", more ? "longer" : "shorter",
                   f->after, f->before);
    else
        buf_printf(out, "a %s %s: other models, or other prices", more ? "higher" : "lower", label);
}

static void put_sentence(struct buf *out, const struct growth_said *g)
{
    if (g->growth == 0) {
        buf_lit(out, "The cost is the same: ");
        usage_put_dollars(out, g->after);
        buf_lit(out, ".\n\n");
        return;
    }
    buf_printf(out, "The cost %s by ", g->growth > 0 ? "rose" : "fell");
    usage_put_dollars(out, llabs(g->growth));
    if (g->before > 0)
        buf_printf(out, " (%+.1f%%)", (double)g->growth / (double)g->before * 100);
    buf_lit(out, ", from ");
    usage_put_dollars(out, g->before);
    buf_lit(out, " to ");
    usage_put_dollars(out, g->after);
    if (largest_of(g) != NULL) {
        buf_lit(out, ", mostly through ");
        put_reason(out, g);
    }
    buf_lit(out, ".\n\n");
}

static void put_names(struct buf *out, const struct json_doc *d, uint32_t names, struct arena *a,
                      const struct usage_look *look)
{
    int width = 0;
    struct buf name;
    buf_init(&name, 4096);
    for (uint32_t i = json_first(d, names); i < json_end(d, names); i = json_after(d, i)) {
        buf_reset(&name);
        usage_put_name(&name, usage_member_text(d, i, "name", a), NAME_MOST, look);
        width = MAX_OF(width, usage_columns(buf_view(&name)));
    }
    for (uint32_t i = json_first(d, names); i < json_end(d, names); i = json_after(d, i)) {
        struct growth_said g;
        read_growth(d, i, a, &g);
        buf_reset(&name);
        usage_put_name(&name, usage_member_text(d, i, "name", a), NAME_MOST, look);
        buf_lit(out, "  ");
        put_left(out, buf_view(&name), width);
        put_money(out, g.growth, true, MONEY_WIDTH);
        buf_lit(out, "  ");
        put_reason(out, &g);
        buf_char(out, '\n');
    }
    buf_done(&name);
}

static void put_period(struct buf *out, const struct json_doc *d, uint32_t node, struct arena *a)
{
    struct slice first = usage_member_text(d, node, "first_day", a);
    struct slice last = usage_member_text(d, node, "last_day", a);
    buf_printf(out, "%.*s to %.*s", SLICE_ARG(first), SLICE_ARG(last));
}

/* "use case" */
static const char *words_of(struct slice by, char *out, size_t size)
{
    snprintf(out, size, "%.*s", SLICE_ARG(by));
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '_' ? ' ' : *c;
    return out;
}

void usage_put_why(struct buf *out, const struct json_doc *d, struct arena *a,
                   const struct usage_look *look)
{
    struct growth_said g;
    char words[40];
    uint32_t before = json_get(d, 0, SLICE("before")), names = json_get(d, 0, SLICE("names"));
    struct slice by = usage_member_text(d, 0, "by", a);
    read_growth(d, 0, a, &g);
    put_period(out, d, 0, a);
    buf_lit(out, ", against ");
    put_period(out, d, before, a);
    if (json_get(d, 0, SLICE("name")) != 0) {
        buf_printf(out, ", %s ", words_of(by, words, sizeof words));
        usage_put_name(out, usage_member_text(d, 0, "name", a), NAME_MOST, look);
    }
    buf_lit(out, "\n\n");
    put_sentence(out, &g);
    put_waterfall(out, &g, look);
    if (names != 0 && json_type_at(d, names) == JSON_ARRAY) {
        buf_printf(out, "\nWhat changed most, by %s:\n", words_of(by, words, sizeof words));
        put_names(out, d, names, a, look);
    }
    if (usage_member_i64(d, 0, "unpriced") > 0)
        buf_printf(out, "\n%lld attempts had no known price and are not in the cost.\n",
                   (long long)usage_member_i64(d, 0, "unpriced"));
}

/* ---- forecasts */

struct guess_widths {
    int name;
    int64_t most;
};

static void put_guess(struct buf *out, const struct json_doc *d, uint32_t node, struct arena *a,
                      const struct guess_widths *w, const struct usage_look *look)
{
    static const char *const members[] = {"spent_nano", "forecast_nano", "straight_line_nano",
                                          "last_period_nano"};
    struct buf name;
    if (w->name > 0) {
        buf_init(&name, 4096);
        usage_put_name(&name, usage_member_text(d, node, "name", a), NAME_MOST, look);
        put_left(out, buf_view(&name), w->name);
        buf_done(&name);
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        int64_t v = usage_member_i64(d, node, members[i]);
        if (v >= 0)
            put_money(out, v, false, MONEY_WIDTH);
        else
            buf_printf(out, "%*s", MONEY_WIDTH, "-");
    }
    int columns = MIN_OF(look->width - w->name - 4 * MONEY_WIDTH - 4, BAR_MOST);
    if (columns >= BAR_LEAST) {
        buf_lit(out, "  ");
        usage_put_bar(out, (double)usage_member_i64(d, node, "forecast_nano"), (double)w->most,
                      columns, false, look);
    }
    if (usage_member_i64(d, node, "unpriced") > 0)
        buf_lit(out, "  some unpriced");
    buf_char(out, '\n');
}

void usage_put_forecast(struct buf *out, const struct json_doc *d, struct arena *a,
                        const struct usage_look *look)
{
    uint32_t lines = json_get(d, 0, SLICE("lines"));
    struct slice by = usage_member_text(d, 0, "by", a);
    struct slice period = usage_member_text(d, 0, "period", a);
    struct guess_widths w = {.most = 0};
    bool named = !slice_is(by, "total");
    put_period(out, d, 0, a);
    buf_lit(out, "\n\n");
    if (lines == 0 || json_type_at(d, lines) != JSON_ARRAY ||
        json_first(d, lines) == json_end(d, lines)) {
        buf_lit(out, "Nothing has been spent in the last weeks.\n");
        return;
    }
    for (uint32_t i = json_first(d, lines); i < json_end(d, lines); i = json_after(d, i)) {
        struct slice name = usage_member_text(d, i, "name", a);
        w.most = MAX_OF(w.most, usage_member_i64(d, i, "forecast_nano"));
        int columns = MAX_OF(usage_columns(name), NAME_LEAST);
        if (named && columns > w.name)
            w.name = MIN_OF(columns, NAME_MOST);
    }
    terminal_style(&look->to, out, TERMINAL_BOLD);
    pad(out, w.name);
    const char *last = slice_is(period, "day")    ? "YESTERDAY"
                       : slice_is(period, "week") ? "LAST WEEK"
                                                  : "LAST MONTH";
    buf_printf(out, "%*s%*s%*s%*s", MONEY_WIDTH, "SPENT", MONEY_WIDTH, "FORECAST", MONEY_WIDTH,
               "STRAIGHT", MONEY_WIDTH, last);
    terminal_plain(&look->to, out);
    buf_char(out, '\n');
    for (uint32_t i = json_first(d, lines); i < json_end(d, lines); i = json_after(d, i))
        put_guess(out, d, i, a, &w, look);
    buf_printf(out,
               "\nThe forecast for the %.*s's end goes by weekdays and the latest weeks; "
               "\"straight\" is a straight line.\n",
               SLICE_ARG(period));
}
