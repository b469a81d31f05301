/* What a period will have cost at its end, by name. */
#include <stdlib.h>

#include "spend.h"
#include "usage_line.h"

#define NAMES_MOST  200
#define NAMES_USUAL 20

struct guess {
    struct slice name;
    int64_t spent, end, straight, last, unpriced;
};

/* Spend of the period before, as far as the days reach. */
static int64_t spend_last(const struct spend_days *d, const struct spend *s, int64_t last_ns,
                          int64_t start_ns)
{
    if (last_ns < d->start_ns[0])
        return -1;
    return spend_since(d, s, last_ns) - spend_since(d, s, start_ns);
}

static struct guess guess_of(const struct spend_days *d, const struct spend *s,
                             enum calendar_period period)
{
    int64_t start = calendar_start(period, d->now_ns), next = calendar_next(period, d->now_ns);
    struct forecast line = {.spent = spend_since(d, s, start),
                            .elapsed = (double)(d->now_ns - start),
                            .total = (double)(next - start)};
    return (struct guess){.name = s->name,
                          .spent = line.spent,
                          .end = spend_forecast(d, s, period, -1),
                          .straight = forecast_straight(&line),
                          .last = spend_last(d, s, calendar_start(period, start - 1), start),
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

/* A guess for each name, or for `only` that one; the dearest first. */
static bool make_guesses(struct usage_ask *q, const struct spend_book *book, struct slice only,
                         enum calendar_period period, struct guess **ret, size_t *ret_n)
{
    struct guess *list = arena_alloc(q->arena, (book->n + 1) * sizeof *list);
    size_t n = 0;
    if (list == NULL)
        return usage_fail(q, 500, "out of memory");
    for (size_t i = 0; i < book->n; i++) {
        if (only.p == NULL || slice_eq(only, book->item[i].name))
            list[n++] = guess_of(&book->days, &book->item[i], period);
    }
    qsort(list, n, sizeof *list, by_end);
    *ret = list;
    *ret_n = n;
    return true;
}

static bool put_forecast(struct usage_ask *q, const struct spend_book *book, enum usage_by by,
                         struct slice only, enum calendar_period period, size_t most)
{
    static const char *const names[] = {"hour", "day", "week", "month"};
    struct guess *list;
    size_t n = 0;
    if (!make_guesses(q, book, only, period, &list, &n))
        return false;
    struct usage_window window = {calendar_start(period, q->wall_ns),
                                  calendar_next(period, q->wall_ns)};
    struct json_writer w = json_writer(q->out);
    jw_open(&w, '{');
    jw_field_string(&w, "by", slice_str(usage_by_name(by)));
    jw_field_string(&w, "period", slice_str(names[period]));
    usage_put_window(&w, &window);
    jw_key(&w, "lines");
    jw_open(&w, '[');
    for (size_t i = 0; i < n && i < most; i++)
        put_guess(&w, &list[i], by != USAGE_TOTAL);
    jw_close(&w, ']');
    jw_field_bool(&w, "more", n > most);
    jw_close(&w, '}');
    return true;
}

bool usage_report_forecast(struct usage_ask *q)
{
    static const char *const periods[] = {"day", "week", "month", NULL};
    static const enum calendar_period kinds[] = {CALENDAR_DAY, CALENDAR_WEEK, CALENDAR_MONTH};
    struct slice by = SLICE("total"), name = SLICE_NONE, period = SLICE("month");
    struct slice limit = SLICE_NONE;
    int64_t names = NAMES_USUAL;
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
    struct slice only = b != USAGE_TOTAL ? name : SLICE_NONE;
    struct spend_book book;
    struct buf error;
    buf_init(&error, 4096);
    bool ok = spend_book_read(&book, q->reader, (enum usage_by)b, q->wall_ns, &error);
    if (!ok)
        usage_fail(q, 500, "the ledger cannot be read: %.*s", SLICE_ARG(buf_view(&error)));
    ok = ok && put_forecast(q, &book, (enum usage_by)b, only, kinds[p], (size_t)names);
    spend_book_done(&book);
    buf_done(&error);
    return ok;
}
