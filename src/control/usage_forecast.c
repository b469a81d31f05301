/* What a period will have cost at its end, by name. */
#include <stdlib.h>

#include "spend.h"
#include "usage_line.h"

#define PAGES       20 /* of 1000 lines: some hundred names */
#define NAMES_MOST  200
#define NAMES_USUAL 20

struct guess {
    struct slice name;
    int64_t spent, end, straight, last, unpriced;
};

struct guesses {
    struct spend_days days;
    enum calendar_period period;
    int64_t start_ns, last_ns;
    struct arena *arena;
    struct guess *list;
    size_t n, size;
};

/* Spend of the period before, as far as the days reach. */
static int64_t spend_last(const struct guesses *g, const struct spend *s)
{
    if (g->last_ns < g->days.start_ns[0])
        return -1;
    return spend_since(&g->days, s, g->last_ns) - spend_since(&g->days, s, g->start_ns);
}

static void add_guess(void *ctx, const struct spend *s)
{
    struct guesses *g = ctx;
    int64_t next = calendar_next(g->period, g->days.now_ns);
    if (g->n == g->size)
        return;
    struct forecast line = {.spent = spend_since(&g->days, s, g->start_ns),
                            .elapsed = (double)(g->days.now_ns - g->start_ns),
                            .total = (double)(next - g->start_ns)};
    struct guess *at = &g->list[g->n++];
    *at = (struct guess){.name = arena_copy(g->arena, s->name),
                         .spent = line.spent,
                         .end = spend_forecast(&g->days, s, g->period, -1),
                         .straight = forecast_straight(&line),
                         .last = spend_last(g, s),
                         .unpriced = s->unpriced};
}

static int by_end(const void *a, const void *b)
{
    const struct guess *x = a, *y = b;
    return x->end < y->end ? 1 : x->end > y->end ? -1 : 0;
}

static void put_guess(struct json_writer *w, const struct guess *g, bool name)
{
    jw_open(w, '{');
    if (name)
        jw_field_string(w, "name", g->name);
    jw_key(w, "spent");
    usage_put_money(w, g->spent);
    jw_field_i64(w, "spent_nano", g->spent);
    jw_key(w, "forecast");
    usage_put_money(w, g->end);
    jw_field_i64(w, "forecast_nano", g->end);
    jw_field_i64(w, "straight_line_nano", g->straight);
    jw_key(w, "last_period_nano");
    if (g->last < 0)
        jw_null(w);
    else
        jw_i64(w, g->last);
    jw_field_i64(w, "unpriced", g->unpriced);
    jw_close(w, '}');
}

/* Reads the history of `by`, or of one name, into `g->list`. */
static bool read_guesses(struct usage_ask *q, struct guesses *g, enum usage_by by,
                         struct slice name, bool *ret_more)
{
    struct buf error;
    g->size = PAGES * 1000;
    g->list = arena_alloc(q->arena, g->size * sizeof *g->list);
    g->arena = q->arena;
    if (g->list == NULL)
        return usage_fail(q, 500, "out of memory");
    buf_init(&error, 4096);
    bool ok = spend_read(q->reader, &g->days, by, name, PAGES, add_guess, g, ret_more, &error);
    if (!ok)
        usage_fail(q, 500, "the ledger cannot be read: %.*s", SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    return ok;
}

bool usage_report_forecast(struct usage_ask *q)
{
    static const char *const periods[] = {"day", "week", "month", NULL};
    static const enum calendar_period kinds[] = {CALENDAR_DAY, CALENDAR_WEEK, CALENDAR_MONTH};
    struct slice by = SLICE("total"), name = SLICE_NONE, period = SLICE("month");
    struct slice limit = SLICE_NONE;
    int64_t names = NAMES_USUAL;
    bool more;
    const struct usage_param params[] = {
        {"by", &by}, {"name", &name}, {"period", &period}, {"limit", &limit}};
    if (!usage_params(q, params, ARRAY_LEN(params)))
        return false;
    int b = usage_word(q, "by", by, usage_by_words());
    int p = b >= 0 ? usage_word(q, "period", period, periods) : -1;
    if (p < 0 || (limit.n > 0 && !usage_number(q, "limit", limit, 1, NAMES_MOST, &names)))
        return false;
    if (b == USAGE_USER)
        return usage_fail(q, 400, "users' spend by day is not kept for long enough to forecast");
    struct guesses g = {.period = kinds[p]};
    spend_days_init(&g.days, q->wall_ns);
    g.start_ns = calendar_start(g.period, q->wall_ns);
    g.last_ns = calendar_start(g.period, g.start_ns - 1);
    struct slice only = b != USAGE_TOTAL && name.p != NULL ? name : SLICE_NONE;
    if (!read_guesses(q, &g, (enum usage_by)b, only, &more))
        return false;
    qsort(g.list, g.n, sizeof *g.list, by_end);
    struct usage_window window = {g.start_ns, calendar_next(g.period, q->wall_ns)};
    struct json_writer w = json_writer(q->out);
    jw_open(&w, '{');
    jw_field_string(&w, "by", slice_str(usage_by_name((enum usage_by)b)));
    jw_field_string(&w, "period", slice_str(periods[p]));
    usage_put_window(&w, &window);
    jw_key(&w, "lines");
    jw_open(&w, '[');
    for (size_t i = 0; i < g.n && i < (size_t)names; i++)
        put_guess(&w, &g.list[i], b != USAGE_TOTAL);
    jw_close(&w, ']');
    jw_field_bool(&w, "more", more || g.n > (size_t)names);
    jw_close(&w, '}');
    return true;
}
