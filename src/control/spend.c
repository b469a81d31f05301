/* Spend by day and name, in memory, and forecasts of it. */
#include "spend.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define LINES       1000
#define FIRST_NAMES 64
#define DAY_NS      (86400 * NS_PER_S)
#define ARENA_MAX   ((size_t)64 << 20)

void spend_days_init(struct spend_days *d, int64_t now_ns)
{
    int64_t at = now_ns;
    d->now_ns = now_ns;
    d->start_ns[SPEND_DAYS] = calendar_next(CALENDAR_DAY, now_ns);
    for (size_t i = SPEND_DAYS; i-- > 0; at--)
        d->start_ns[i] = at = calendar_start(CALENDAR_DAY, at);
}

/* The slot of the name: its own, or the free one where it would stand. */
static size_t slot_of(const struct spend_book *b, struct slice name)
{
    size_t i = (size_t)hash64(name) & b->mask;
    while (b->slots[i] != 0 && !slice_eq(b->item[b->slots[i] - 1].name, name))
        i = (i + 1) & b->mask;
    return i;
}

const struct spend *spend_book_find(const struct spend_book *b, struct slice name)
{
    uint32_t at = b->slots != NULL ? b->slots[slot_of(b, name)] : 0;
    return at != 0 ? &b->item[at - 1] : NULL;
}

/* Twice the room. */
static bool grow(struct spend_book *b)
{
    size_t size = b->size > 0 ? b->size * 2 : FIRST_NAMES;
    struct spend *item = mem_realloc(b->item, size * sizeof *item);
    uint32_t *slots = mem_calloc(size * 2, sizeof *slots);
    b->item = item != NULL ? item : b->item;
    if (item == NULL || slots == NULL) {
        mem_free(slots);
        return false;
    }
    mem_free(b->slots);
    b->slots = slots;
    b->size = size;
    b->mask = size * 2 - 1;
    for (size_t i = 0; i < b->n; i++)
        b->slots[slot_of(b, b->item[i].name)] = (uint32_t)i + 1;
    return true;
}

/* The place of a name, made when there is none. NULL: no memory. */
static struct spend *get(struct spend_book *b, struct slice name)
{
    struct spend *s = (struct spend *)spend_book_find(b, name);
    if (s != NULL)
        return s;
    if (b->n == b->size && !grow(b))
        return NULL;
    struct slice kept = arena_copy(&b->names, name);
    if (kept.p == NULL)
        return NULL;
    b->slots[slot_of(b, kept)] = (uint32_t)b->n + 1;
    b->item[b->n] = (struct spend){.name = kept};
    return &b->item[b->n++];
}

static bool read_day(struct spend_book *b, struct usage_reader *u, enum usage_by by, size_t day,
                     struct arena *a, struct buf *error)
{
    const struct usage_query q = {.by = by,
                                  .step = USAGE_WHOLE,
                                  .from_ns = b->days.start_ns[day],
                                  .to_ns = b->days.start_ns[day + 1],
                                  .by_cost = true,
                                  .limit = LINES};
    struct usage_line *line;
    struct slice next;
    size_t n;
    if (!usage_read(u, &q, a, &line, &n, &next, error))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct spend *s = get(b, line[i].name);
        if (s == NULL) {
            buf_lit(error, "out of memory");
            return false;
        }
        s->nano[day] += line[i].cost_nano;
        s->unpriced += line[i].unpriced;
    }
    return true;
}

bool spend_book_read(struct spend_book *b, struct usage_reader *u, enum usage_by by, int64_t now_ns,
                     struct buf *error)
{
    struct arena a;
    bool ok = true;
    *b = (struct spend_book){.n = 0};
    arena_init(&b->names, NULL, ARENA_MAX);
    arena_init(&a, NULL, ARENA_MAX);
    spend_days_init(&b->days, now_ns);
    for (size_t day = 0; day < SPEND_DAYS && ok; day++) {
        ok = read_day(b, u, by, day, &a, error);
        arena_reset(&a);
    }
    return ok;
}

void spend_book_done(struct spend_book *b)
{
    mem_free(b->item);
    mem_free(b->slots);
    arena_reset(&b->names);
    *b = (struct spend_book){.n = 0};
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
    int64_t days = (to_ns - from_ns + DAY_NS / 2) / DAY_NS;
    return (double)days;
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
