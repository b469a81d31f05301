/* Which rollups answer a query: the coarsest that fit its window, and never more lines than can be
 * read at once. */
#include "base/clock.h"
#include "usage_internal.h"

#define MINUTES_SPAN    INT64_C(10800)  /* windows up to so many seconds are read by the minute, */
#define HOURS_SPAN      INT64_C(259200) /* by the hour, */
#define HOURS_SPAN_CUBE INT64_C(86400)  /* with filters, */
#define HOURS_SPAN_USER INT64_C(21600)  /* by user */
#define CUBE_HOURS      (7 * 24 + 1)

static const struct {
    const char *name;
    int64_t s;            /* about */
    int64_t buckets;      /* the most that one query may have, */
    int64_t user_buckets; /* by user */
} classes[ROLLUP_CLASSES_N] = {
    [ROLLUP_MINUTE] = {"minute", 60, 1440, 0},
    [ROLLUP_HOUR] = {"hour", 3600, 31 * 24 + 1, 25},
    [ROLLUP_DAY] = {"day", 86400, 800, 7},
    [ROLLUP_MONTH] = {"month", INT64_C(28) * 86400, 400, 4},
};

/* The start of the first bucket that does not begin before `s`. */
static int64_t round_up(enum rollup_class c, int64_t s)
{
    int64_t start = rollup_bucket(c, s);
    return start == s ? s : rollup_next(c, s);
}

/* Lines before this second may have been deleted. */
static int64_t floor_of(sqlite3 *sql, enum rollup_class class)
{
    sqlite3_stmt *s = NULL;
    int64_t floor = 0;
    if (sqlite3_prepare_v2(sql, "SELECT bucket FROM floor WHERE class = ?1", -1, &s, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_int(s, 1, (int)class);
        if (sqlite3_step(s) == SQLITE_ROW)
            floor = sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    return floor;
}

static void add_piece(struct usage_plan *p, enum rollup_class class, int64_t from, int64_t to)
{
    ASSERT(p->n < USAGE_PIECES);
    if (from < to)
        p->piece[p->n++] = (struct usage_piece){.class = class, .from = from, .to = to};
}

/* Whole months, and the days before and after them. */
static void add_days(struct usage_plan *p, int64_t from, int64_t to, int64_t now)
{
    from = rollup_bucket(ROLLUP_DAY, from);
    int64_t end = round_up(ROLLUP_DAY, to);
    int64_t first = round_up(ROLLUP_MONTH, from), last = rollup_bucket(ROLLUP_MONTH, end);
    if (to >= now) /* nothing is behind: the month under way is inside as it is */
        last = MAX_OF(last, rollup_next(ROLLUP_MONTH, now));
    if (p->cube || first >= last) {
        add_piece(p, ROLLUP_DAY, from, end);
        return;
    }
    add_piece(p, ROLLUP_DAY, from, first);
    add_piece(p, ROLLUP_MONTH, first, last);
    add_piece(p, ROLLUP_DAY, last, end);
}

static bool is_day(int64_t s)
{
    return rollup_bucket(ROLLUP_DAY, s) == s;
}

static void plan_whole(sqlite3 *sql, const struct usage_query *q, struct usage_plan *p,
                       int64_t from, int64_t to)
{
    int64_t now = clock_wall_ns() / NS_PER_S, span = to - from;
    int64_t hours = q->by == USAGE_USER ? HOURS_SPAN_USER : p->cube ? HOURS_SPAN_CUBE : HOURS_SPAN;
    bool minutes = q->by != USAGE_USER && !p->cube;
    p->whole = true;
    if (is_day(from) && (is_day(to) || to >= now)) {
        add_days(p, from, to, now);
    } else if (span <= MINUTES_SPAN && minutes && from >= floor_of(sql, ROLLUP_MINUTE)) {
        add_piece(p, ROLLUP_MINUTE, rollup_bucket(ROLLUP_MINUTE, from),
                  round_up(ROLLUP_MINUTE, to));
    } else if (span <= hours && from >= floor_of(sql, ROLLUP_HOUR)) {
        add_piece(p, ROLLUP_HOUR, rollup_bucket(ROLLUP_HOUR, from), round_up(ROLLUP_HOUR, to));
    } else {
        add_days(p, from, to, now);
    }
}

static bool plan_steps(const struct usage_query *q, struct usage_plan *p, int64_t from, int64_t to,
                       struct buf *error)
{
    enum rollup_class class = (enum rollup_class)(q->step - USAGE_MINUTE);
    int64_t most = classes[class].buckets;
    if (q->by == USAGE_USER)
        most = classes[class].user_buckets;
    else if (p->cube && class == ROLLUP_HOUR)
        most = CUBE_HOURS;
    p->step = class;
    from = rollup_bucket(class, from);
    to = round_up(class, to);
    if ((to - from) / classes[class].s > most) {
        buf_printf(error, "the time from..to is too long for lines by the %s: at most %lld of them",
                   classes[class].name, (long long)most);
        return false;
    }
    add_piece(p, p->cube && class == ROLLUP_MONTH ? ROLLUP_DAY : class, from, to);
    return true;
}

bool usage_make_plan(sqlite3 *sql, const struct usage_query *q, struct usage_plan *ret,
                     struct buf *error)
{
    int64_t from = rollup_seconds(q->from_ns);
    int64_t to =
        rollup_seconds(q->to_ns > INT64_MAX - NS_PER_S ? q->to_ns : q->to_ns + NS_PER_S - 1);
    *ret = (struct usage_plan){.cube = q->model.n > 0 || q->key.n > 0 || q->team.n > 0 ||
                                       q->use_case.n > 0};
    if ((unsigned)q->by >= USAGE_BY_N || (unsigned)q->step >= USAGE_STEPS_N || from >= to) {
        buf_lit(error, "the time from..to is empty");
        return false;
    }
    if (q->by == USAGE_USER && ret->cube) {
        buf_lit(error, "users are not kept by model, key, team or use case");
        return false;
    }
    if (q->step == USAGE_MINUTE && (ret->cube || q->by == USAGE_USER)) {
        buf_lit(error, "there are no lines by the minute for users, or with filters");
        return false;
    }
    if (q->step != USAGE_WHOLE)
        return plan_steps(q, ret, from, to, error);
    plan_whole(sql, q, ret, from, to);
    return true;
}
