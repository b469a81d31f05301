/* `weir usage` as a table and as CSV. */
#include <stdio.h>
#include <string.h>

#include "usage.h"

#define NAME_MOST 44 /* columns */
#define BAR_LEAST 10
#define BAR_MOST  40
#define GAP       2

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* ---- cells */

static void put_cost(struct buf *out, const struct usage_row *r)
{
    if (r->cost == 0 && r->unpriced > 0)
        buf_lit(out, "unpriced");
    else
        usage_put_dollars(out, r->cost);
}

static void put_requests(struct buf *out, const struct usage_row *r)
{
    usage_put_count(out, r->requests);
}

/* Tokens that the gateway counted itself make a figure an approximate one. */
static void put_tokens(struct buf *out, const struct usage_row *r, int64_t v)
{
    if (r->estimated > 0)
        buf_char(out, '~');
    usage_put_count(out, v);
}

static void put_input(struct buf *out, const struct usage_row *r)
{
    put_tokens(out, r, r->input);
}

static void put_output(struct buf *out, const struct usage_row *r)
{
    put_tokens(out, r, r->output);
}

static void put_cached(struct buf *out, const struct usage_row *r)
{
    usage_put_count(out, r->cached);
}

static void put_per_request(struct buf *out, const struct usage_row *r)
{
    if (r->requests == 0)
        buf_char(out, '-');
    else
        put_tokens(out, r,
                   (int64_t)(over((double)(r->input + r->output), (double)r->requests) + 0.5));
}

static void put_cost_each(struct buf *out, const struct usage_row *r)
{
    if (r->requests == 0 || (r->cost == 0 && r->unpriced > 0))
        buf_char(out, '-');
    else
        usage_put_dollars(out, (int64_t)over((double)r->cost, (double)r->requests));
}

static void put_latency(struct buf *out, const struct usage_row *r)
{
    if (r->p95_ms < 0)
        buf_char(out, '-');
    else if (r->p95_ms < 999.5)
        buf_printf(out, "%.0f ms", r->p95_ms);
    else
        buf_printf(out, r->p95_ms < 9995 ? "%.2f s" : "%.1f s", r->p95_ms / 1000);
}

static void put_users(struct buf *out, const struct usage_row *r)
{
    if (r->users < 0)
        buf_char(out, '-');
    else
        usage_put_count(out, r->users);
}

/* What the figures leave out, or are not sure of. */
static void put_notes(struct buf *out, const struct usage_row *r)
{
    const struct {
        int64_t n;
        const char *what;
    } notes[] = {{r->unpriced, "unpriced"},
                 {r->refused, "refused"},
                 {r->failed, "failed"},
                 {r->crashed, "crashed"}};
    size_t from = out->n;
    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        if (notes[i].n <= 0)
            continue;
        buf_printf(out, "%s%s ", out->n > from ? ", " : "", notes[i].what);
        usage_put_count(out, notes[i].n);
    }
    if (r->estimated > 0) {
        double share = over((double)r->estimated * 100, (double)(r->input + r->output));
        buf_printf(out, share < 1 ? "%sestimated <1%%" : "%sestimated %.0f%%",
                   out->n > from ? ", " : "", share);
    }
    if (r->idle > 0) {
        buf_printf(out, "%sidle ", out->n > from ? ", " : "");
        usage_put_dollars(out, r->idle);
    }
}

/* ---- columns */

/* `keep`: the higher, the longer it stays when the terminal is narrow. */
static const struct column {
    const char *title;
    int keep;
    void (*put)(struct buf *out, const struct usage_row *r);
} columns[] = {
    {"COST", 9, put_cost},          {"REQUESTS", 8, put_requests},
    {"INPUT", 4, put_input},        {"OUTPUT", 4, put_output},
    {"CACHED", 1, put_cached},      {"TOKENS/REQ", 5, put_per_request},
    {"COST/REQ", 6, put_cost_each}, {"P95", 7, put_latency},
    {"USERS", 2, put_users},
};
#define COLUMNS_N ARRAY_LEN(columns)

struct layout {
    int name, local, width[COLUMNS_N], notes, bar; /* 0: not shown */
};

/* A column that says nothing in any line. */
static bool is_empty(const struct usage_report_rows *r, size_t c)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct usage_row *row = &r->row[i];
        bool says = columns[c].put == put_cached  ? row->cached > 0
                    : columns[c].put == put_users ? row->users > 0
                                                  : true;
        if (says)
            return false;
    }
    return columns[c].put == put_cached || columns[c].put == put_users;
}

static int text_width(void (*put)(struct buf *out, const struct usage_row *r),
                      const struct usage_row *row)
{
    struct buf text;
    buf_init(&text, 1024);
    put(&text, row);
    int n = usage_columns(buf_view(&text));
    buf_done(&text);
    return n;
}

static int name_width(const struct usage_row *row, const struct usage_look *look)
{
    struct buf text;
    buf_init(&text, 4096);
    usage_put_name(&text, row->name, NAME_MOST, look);
    int n = usage_columns(buf_view(&text));
    buf_done(&text);
    return n;
}

static int sum_of(const struct layout *l)
{
    int n = l->name + (l->local > 0 ? l->local + GAP : 0) + (l->notes > 0 ? l->notes + GAP : 0);
    for (size_t c = 0; c < COLUMNS_N; c++)
        n += l->width[c] > 0 ? l->width[c] + GAP : 0;
    return n + (l->bar > 0 ? l->bar + GAP : 0);
}

/* Drops columns until the lines fit, and gives the bars what is left. */
static void fit(struct layout *l, const struct usage_look *look)
{
    if (look->width == 0)
        return;
    for (int keep = 0; keep < 9; keep++) {
        for (size_t c = 0; c < COLUMNS_N; c++) {
            if (columns[c].keep == keep && sum_of(l) + BAR_LEAST + GAP > look->width)
                l->width[c] = 0;
        }
    }
    int left = look->width - sum_of(l) - GAP;
    l->bar = left >= BAR_LEAST ? MIN_OF(left, BAR_MOST) : 0;
}

static void measure(struct layout *l, const struct usage_report_rows *r,
                    const struct usage_look *look)
{
    bool named = !slice_is(r->by, "total");
    *l = (struct layout){.name = named ? (int)MAX_OF(r->by.n, sizeof "total" - 1) : 0};
    if (!slice_is(r->step, "whole"))
        l->local = r->n > 0 ? (int)MAX_OF(r->row[0].local.n, sizeof "total" - 1) : 5;
    if (!named && l->local == 0)
        l->name = 5;
    for (size_t i = 0; i <= r->n; i++) {
        const struct usage_row *row = i < r->n ? &r->row[i] : &r->total;
        if (named && i < r->n)
            l->name = MAX_OF(l->name, name_width(row, look));
        for (size_t c = 0; c < COLUMNS_N; c++)
            l->width[c] = MAX_OF(l->width[c], text_width(columns[c].put, row));
        l->notes = MAX_OF(l->notes, text_width(put_notes, row));
    }
    for (size_t c = 0; c < COLUMNS_N; c++)
        l->width[c] = is_empty(r, c) ? 0 : MAX_OF(l->width[c], (int)strlen(columns[c].title));
    if (look->bars)
        fit(l, look);
}

static void pad(struct buf *out, int n)
{
    for (; n > 0; n--)
        buf_char(out, ' ');
}

static void trim_line(struct buf *out)
{
    while (out->n > 0 && out->p[out->n - 1] == ' ')
        out->n--;
    buf_char(out, '\n');
}

static void put_left(struct buf *out, struct slice text, int width)
{
    buf_slice(out, text);
    pad(out, width - usage_columns(text));
}

static void put_head(struct buf *out, const struct usage_report_rows *r, const struct layout *l,
                     const struct usage_look *look)
{
    char title[40];
    size_t n = MIN_OF(r->by.n, sizeof title);
    for (size_t i = 0; i < n; i++)
        title[i] = r->by.p[i] == '_'                        ? ' '
                   : r->by.p[i] >= 'a' && r->by.p[i] <= 'z' ? (char)(r->by.p[i] - 'a' + 'A')
                                                            : r->by.p[i];
    terminal_style(&look->to, out, TERMINAL_BOLD);
    if (l->name > 0)
        put_left(out, slice_is(r->by, "total") ? SLICE_NONE : slice_of(title, n), l->name);
    if (l->local > 0) {
        pad(out, l->name > 0 ? GAP : 0);
        put_left(out, SLICE("TIME"), l->local);
    }
    for (size_t c = 0; c < COLUMNS_N; c++) {
        if (l->width[c] == 0)
            continue;
        pad(out, GAP + l->width[c] - (int)strlen(columns[c].title));
        buf_slice(out, slice_str(columns[c].title));
    }
    terminal_plain(&look->to, out);
    trim_line(out);
}

static void put_row(struct buf *out, const struct usage_row *row, const struct usage_report_rows *r,
                    const struct layout *l, const struct usage_look *look, double most)
{
    bool total = row == &r->total;
    struct buf cell;
    buf_init(&cell, 4096);
    if (total)
        buf_lit(&cell, "total");
    else if (l->name > 0 && !slice_is(r->by, "total"))
        usage_put_name(&cell, row->name, l->name, look);
    if (l->name > 0)
        put_left(out, buf_view(&cell), l->name);
    if (l->local > 0) {
        pad(out, l->name > 0 ? GAP : 0);
        put_left(out, !total ? row->local : l->name > 0 ? SLICE_NONE : SLICE("total"), l->local);
    }
    for (size_t c = 0; c < COLUMNS_N; c++) {
        buf_reset(&cell);
        columns[c].put(&cell, row);
        if (l->width[c] > 0) {
            pad(out, GAP + l->width[c] - usage_columns(buf_view(&cell)));
            buf_slice(out, buf_view(&cell));
        }
    }
    if (l->bar > 0) {
        pad(out, GAP);
        if (total)
            pad(out, l->bar);
        else
            usage_put_bar(out, (double)row->cost, most, l->bar, true, look);
    }
    pad(out, GAP);
    put_notes(out, row);
    trim_line(out);
    buf_done(&cell);
}

void usage_put_table(struct buf *out, const struct usage_report_rows *r,
                     const struct usage_look *look)
{
    struct layout l;
    double most = 0;
    measure(&l, r, look);
    for (size_t i = 0; i < r->n; i++)
        most = (double)r->row[i].cost > most ? (double)r->row[i].cost : most;
    buf_printf(out, "%.*s to %.*s\n\n", SLICE_ARG(r->first_day), SLICE_ARG(r->last_day));
    put_head(out, r, &l, look);
    for (size_t i = 0; i < r->n; i++)
        put_row(out, &r->row[i], r, &l, look, most);
    if (r->n != 1 || !slice_is(r->by, "total") || l.local > 0)
        put_row(out, &r->total, r, &l, look, most);
    if (r->more)
        buf_lit(out, "\nThere is more than this: see --top.\n");
    if (r->total.unpriced > 0)
        buf_lit(out, "\nunpriced: attempts whose price is not known; they are not in the cost. "
                     "Prices: weir prices, or `prices` in the configuration.\n");
    if (r->total.estimated > 0)
        buf_lit(out, "\n~, estimated: tokens that the provider did not tell and the gateway "
                     "counted itself.\n");
}

/* ---- CSV */

/* RFC 4180; what a spreadsheet would take for a formula gets an apostrophe before it. */
static void put_csv_text(struct buf *out, struct slice s)
{
    bool formula = s.n > 0 && strchr("=+-@\t\r", s.p[0]) != NULL;
    buf_char(out, '"');
    if (formula)
        buf_char(out, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            buf_char(out, '"');
        buf_char(out, s.p[i]);
    }
    buf_char(out, '"');
}

static void put_csv_ms(struct buf *out, double ms)
{
    if (ms >= 0)
        buf_printf(out, "%.3f", ms);
}

static void put_csv_row(struct buf *out, const struct usage_row *r, bool named, bool timed)
{
    if (named) {
        put_csv_text(out, r->name);
        buf_char(out, ',');
    }
    if (timed) {
        put_csv_text(out, r->local);
        buf_char(out, ',');
    }
    buf_printf(out, "%s%lld.%09lld", r->cost < 0 ? "-" : "",
               (long long)((r->cost < 0 ? -r->cost : r->cost) / 1000000000),
               (long long)((r->cost < 0 ? -r->cost : r->cost) % 1000000000));
    const int64_t counts[] = {r->unpriced, r->requests,    r->refused,   r->failed,
                              r->crashed,  r->attempts,    r->input,     r->output,
                              r->cached,   r->cache_write, r->reasoning, r->estimated};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        buf_printf(out, ",%lld", (long long)counts[i]);
    if (r->requests > 0)
        buf_printf(out, ",%.1f,%.9f", over((double)(r->input + r->output), (double)r->requests),
                   over((double)r->cost / 1e9, (double)r->requests));
    else
        buf_lit(out, ",,");
    const double times[] = {r->p50_ms, r->p95_ms, r->p99_ms, r->first_p95_ms};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        buf_char(out, ',');
        put_csv_ms(out, times[i]);
    }
    buf_char(out, ',');
    if (r->users >= 0)
        buf_i64(out, r->users);
    buf_lit(out, "\r\n");
}

void usage_put_csv(struct buf *out, const struct usage_report_rows *r)
{
    bool named = !slice_is(r->by, "total"), timed = !slice_is(r->step, "whole");
    if (named)
        buf_printf(out, "%.*s,", SLICE_ARG(r->by));
    if (timed)
        buf_printf(out, "%.*s,", SLICE_ARG(r->step));
    buf_lit(out, "cost_usd,unpriced,requests,refused,failed,crashed,attempts,input_tokens,"
                 "output_tokens,cached_tokens,cache_write_tokens,reasoning_tokens,"
                 "estimated_tokens,tokens_per_request,cost_per_request_usd,p50_ms,p95_ms,p99_ms,"
                 "first_p95_ms,users\r\n");
    for (size_t i = 0; i < r->n; i++)
        put_csv_row(out, &r->row[i], named, timed);
}
