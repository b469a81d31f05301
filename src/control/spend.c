/* Spend by day: rollups of days put onto the calendar of the budgets. */
#include "spend.h"

#include <string.h>

#include "base/clock.h"

#define LINES     1000
#define HOUR_NS   (3600 * NS_PER_S)
#define DAY_NS    (24 * HOUR_NS)
#define ARENA_MAX ((size_t)16 << 20)

void spend_days_init(struct spend_days *d, int64_t now_ns)
{
    int64_t at = now_ns;
    d->now_ns = now_ns;
    d->start_ns[SPEND_DAYS] = calendar_next(CALENDAR_DAY, now_ns);
    for (size_t i = SPEND_DAYS; i-- > 0; at--)
        d->start_ns[i] = at = calendar_start(CALENDAR_DAY, at);
}

/* The day that a bucket is mostly in: -1: none. Buckets may begin at another midnight than ours. */
static ptrdiff_t day_of(const struct spend_days *d, int64_t bucket_ns)
{
    int64_t middle = bucket_ns + DAY_NS / 2;
    ptrdiff_t i = SPEND_DAYS - 1;
    if (middle >= d->start_ns[SPEND_DAYS] && bucket_ns > d->now_ns)
        return -1;
    while (i >= 0 && middle < d->start_ns[i])
        i--;
    return i;
}

struct spend_pass {
    const struct spend_days *days;
    struct slice only; /* .p NULL: all */
    struct spend s;
    bool open; /* `s` has a name, whose text is in `keep` */
    struct arena keep;
    spend_fn *fn;
    void *ctx;
};

static void finish(struct spend_pass *r)
{
    if (r->open && (r->only.p == NULL || slice_eq(r->only, r->s.name)))
        r->fn(r->ctx, &r->s);
    r->open = false;
    arena_reset(&r->keep);
}

/* Lines come by name and bucket. */
static void add_line(struct spend_pass *r, const struct usage_line *l)
{
    if (!r->open || !slice_eq(r->s.name, l->name)) {
        finish(r);
        r->s = (struct spend){.name = arena_copy(&r->keep, l->name)};
        r->open = r->s.name.p != NULL;
    }
    ptrdiff_t day = day_of(r->days, l->bucket_ns);
    if (day < 0)
        return;
    r->s.nano[day] += l->cost_nano;
    r->s.unpriced += l->unpriced;
}

static struct usage_query query_of(const struct spend_days *d, enum usage_by by, struct slice name)
{
    struct usage_query q = {.by = by,
                            .step = USAGE_DAY,
                            .from_ns = d->start_ns[0],
                            .to_ns = d->start_ns[SPEND_DAYS],
                            .limit = LINES};
    if (name.p != NULL) {
        q.model = by == USAGE_MODEL ? name : SLICE_NONE;
        q.key = by == USAGE_KEY ? name : SLICE_NONE;
        q.team = by == USAGE_TEAM ? name : SLICE_NONE;
        q.use_case = by == USAGE_USE_CASE ? name : SLICE_NONE;
    }
    return q;
}

bool spend_read(struct usage_reader *u, const struct spend_days *d, enum usage_by by,
                struct slice name, unsigned pages, spend_fn *fn, void *ctx, bool *ret_more,
                struct buf *error)
{
    struct usage_query q = query_of(d, by, name);
    struct spend_pass r = {.days = d, .only = name, .fn = fn, .ctx = ctx};
    struct arena page[2]; /* the cursor of one page is needed for the next */
    bool ok = true;
    arena_init(&r.keep, NULL, ARENA_MAX);
    arena_init(&page[0], NULL, ARENA_MAX);
    arena_init(&page[1], NULL, ARENA_MAX);
    for (unsigned i = 0; i < pages && ok && (i == 0 || q.after.n > 0); i++) {
        struct usage_line *lines = NULL;
        size_t n = 0;
        struct slice next = SLICE_NONE;
        arena_reset(&page[i % 2]);
        ok = usage_read(u, &q, &page[i % 2], &lines, &n, &next, error);
        for (size_t k = 0; k < n && ok; k++)
            add_line(&r, &lines[k]);
        q.after = next;
    }
    *ret_more = ok && q.after.n > 0;
    if (ok)
        finish(&r);
    arena_reset(&r.keep);
    arena_reset(&page[0]);
    arena_reset(&page[1]);
    return ok;
}

int64_t spend_since(const struct spend_days *d, const struct spend *s, int64_t from_ns)
{
    int64_t sum = 0;
    for (size_t i = SPEND_DAYS; i-- > 0 && d->start_ns[i] >= from_ns;)
        sum += s->nano[i];
    return sum;
}

/* The share of today that is over: of its real length, 23 to 25 hours. */
static double today_gone(const struct spend_days *d)
{
    int64_t start = d->start_ns[SPEND_DAYS - 1], next = d->start_ns[SPEND_DAYS];
    return (double)(d->now_ns - start) / (double)(next - start);
}

/* Days from `from_ns` to `to_ns`, both at midnights. */
static double days_between(int64_t from_ns, int64_t to_ns)
{
    return (double)((to_ns - from_ns + DAY_NS / 2) / DAY_NS);
}

int64_t spend_forecast(const struct spend_days *d, const struct spend *s, enum calendar_period p,
                       int64_t used)
{
    int64_t start = calendar_start(p, d->now_ns), next = calendar_next(p, d->now_ns);
    int64_t today = d->start_ns[SPEND_DAYS - 1];
    struct forecast f = {.day = s->nano,
                         .days_n = SPEND_DAYS - 1,
                         .today = s->nano[SPEND_DAYS - 1],
                         .today_gone = today_gone(d),
                         .spent = used >= 0 ? used : spend_since(d, s, start)};
    if (p == CALENDAR_HOUR) {
        f.elapsed = (double)(d->now_ns - start);
        f.total = (double)(next - start);
        return forecast_straight(&f);
    }
    f.elapsed = days_between(start, today) + f.today_gone;
    f.total = days_between(start, next);
    return forecast_end(&f);
}
