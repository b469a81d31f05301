/* Four threads at one breaker: one ticket at a time, each report counted, and looks that are whole
 * while all goes on. */
#include <stdatomic.h>

#include "base/thread.h"
#include "check.h"
#include "policy/target_live.h"

#define S       NS_PER_S
#define T       (100000 * S)
#define THREADS 4

struct world {
    struct target_live *t;
    pthread_barrier_t barrier;
    _Atomic int64_t now_ns;
    _Atomic uint64_t entry; /* of the one that got in */
    _Atomic unsigned in, tickets, refused;
    _Atomic bool over;
    _Atomic unsigned number;
};

static void storm(struct world *w, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&w->barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(thread_start(&threads[i], run, w));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&w->barrier);
}

static void report(struct target_live *t, uint64_t entry, enum target_outcome o, int64_t now_ns)
{
    struct target_report r = {
        .outcome = o, .entry = entry, .retry_after_ns = NS_PER_MS, .first_ns = 200 * NS_PER_MS};
    target_live_report(t, &r, now_ns);
}

static struct target_view look(const struct target_live *t, int64_t now_ns)
{
    struct target_view v;
    target_live_look(t, now_ns, &v);
    return v;
}

static void fail(struct target_live *t, int64_t now_ns)
{
    for (unsigned i = 0; i < 5; i++)
        report(t, target_live_enter(t, now_ns), TARGET_FAILED, now_ns);
}

/* All come at the same moment; the one that gets in reports in turn nothing, a failure, a 429, and
 * now and then that all is well. */
static void *race(void *arg)
{
    static const enum target_outcome outcomes[] = {
        TARGET_NO_NEWS, TARGET_FAILED, TARGET_RATE_LIMITED, TARGET_NO_NEWS, TARGET_GOOD};
    struct world *w = arg;
    for (unsigned round = 0; round < 3000; round++) {
        enum target_outcome o = outcomes[round % ARRAY_LEN(outcomes)];
        pthread_barrier_wait(&w->barrier);
        uint64_t entry = target_live_enter(w->t, w->now_ns);
        w->in += entry != 0;
        bool last = pthread_barrier_wait(&w->barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
        CHECK_EQ_U64(w->in, 1);
        CHECK_EQ_DOUBLE(look(w->t, w->now_ns).share, 0);
        pthread_barrier_wait(&w->barrier);
        if (entry != 0)
            report(w->t, entry, o, w->now_ns);
        pthread_barrier_wait(&w->barrier);
        enum health_state s = look(w->t, w->now_ns).state;
        CHECK(s == (o == TARGET_FAILED         ? HEALTH_EJECTED
                    : o == TARGET_RATE_LIMITED ? HEALTH_COOLING
                    : o == TARGET_GOOD         ? HEALTH_WARMING
                                               : HEALTH_HALF_OPEN));
        pthread_barrier_wait(&w->barrier);
        if (last) {
            if (o == TARGET_GOOD)
                fail(w->t, w->now_ns);
            w->now_ns += 300 * S;
            w->in = 0;
        }
    }
    return NULL;
}

TEST(one_ticket_at_a_time)
{
    struct world w = {.t = target_live_get(SLICE("threads/ticket")), .now_ns = T};
    target_live_configure(&health_standard);
    fail(w.t, T);
    w.now_ns = T + 10 * S;
    storm(&w, race);
    CHECK_EQ_I64(look(w.t, w.now_ns).inflight, 0);
}

enum { EACH = 20000 };

static void *count(void *arg)
{
    struct world *w = arg;
    for (unsigned i = 0; i < EACH; i++) {
        uint64_t entry = target_live_enter(w->t, T);
        CHECK(entry != 0);
        report(w->t, entry, i % 5 == 0 ? TARGET_FAILED : TARGET_GOOD, T);
        target_live_probe(w->t, i % 2 == 0, T);
    }
    return NULL;
}

TEST(nothing_is_lost)
{
    struct world w = {.t = target_live_get(SLICE("threads/count"))};
    struct health_settings s = health_standard;
    s.v[HEALTH_FAILURES] = s.v[HEALTH_SLOW_FACTOR] = 0;
    target_live_configure(&s);
    storm(&w, count);
    struct target_view v = look(w.t, T);
    CHECK_EQ_I64(v.inflight, 0);
    CHECK_EQ_I64(v.window_answers, THREADS * EACH);
    CHECK_EQ_I64(v.window_failures, THREADS * EACH / 5);
    CHECK(v.state == HEALTH_WELL);
    target_live_configure(&health_standard);
}

/* What cannot be together in one view. */
static void check_whole(const struct target_view *v, int64_t now_ns)
{
    bool timed = v->state == HEALTH_EJECTED || v->state == HEALTH_COOLING;
    CHECK(v->state < HEALTH_DENIED);
    CHECK(timed ? v->until_ns > now_ns : v->until_ns == 0);
    CHECK((v->reason == HEALTH_NO_REASON) == (v->state == HEALTH_WELL));
    CHECK((v->reason == HEALTH_RATE_LIMIT) == (v->state == HEALTH_COOLING));
    CHECK(v->state != HEALTH_EJECTED || (v->ejections > 0 && v->window_answers == 0));
    CHECK(v->state != HEALTH_HALF_OPEN || v->window_answers == 0);
    CHECK(v->window_failures >= 0 && v->window_failures <= v->window_answers);
    CHECK(v->first_ns == 0 || (v->first_ns > 0 && v->first_ns <= 200 * NS_PER_MS));
    CHECK(v->share >= 0 && v->share <= 1);
}

/* Each goes on as it likes; the first one only looks. An odd entry is the ticket: nobody gets in
 * beside its holder, and no second one is given before the first has come back. */
static void *mix(void *arg)
{
    struct world *w = arg;
    unsigned number = w->number++;
    for (unsigned i = 0; number > 0 && i < EACH; i++) {
        int64_t now_ns = atomic_fetch_add(&w->now_ns, 50 * NS_PER_MS);
        uint64_t entry = target_live_enter(w->t, now_ns);
        if (entry == 0) {
            w->refused++;
            continue;
        }
        if (entry % 2 == 1) {
            w->tickets++;
            CHECK_EQ_U64(w->in++, 0);
            struct target_view v = look(w->t, now_ns);
            CHECK(v.state == HEALTH_HALF_OPEN && v.share < 1);
            w->in--;
        }
        unsigned kind = (i * 7 + number * 13) % 32;
        report(w->t, entry,
               kind == 0   ? TARGET_RATE_LIMITED
               : kind == 1 ? TARGET_NO_NEWS
               : kind < 20 ? TARGET_FAILED
                           : TARGET_GOOD,
               now_ns);
    }
    while (number == 0 && !w->over) {
        int64_t now_ns = w->now_ns + S; /* no change is of a later time */
        struct target_view v = look(w->t, now_ns);
        check_whole(&v, now_ns);
        w->over = w->now_ns >= T + (int64_t)(THREADS - 1) * EACH * 50 * NS_PER_MS;
    }
    return NULL;
}

TEST(looks_are_whole)
{
    struct world w = {.t = target_live_get(SLICE("threads/mix")), .now_ns = T};
    target_live_configure(&health_standard);
    storm(&w, mix);
    CHECK_EQ_I64(look(w.t, w.now_ns).inflight, 0);
    CHECK(w.tickets > 10);
    CHECK(w.refused > 100);
}

enum { RISES = 600000, SEEN = 20000 };

/* One writes, and each report changes three figures alike; another one looks, until it has seen
 * changes enough. */
static void *rise(void *arg)
{
    struct world *w = arg;
    unsigned number = w->number++, seen = 0;
    int64_t last = 0;
    for (int64_t i = 1; number == 0 && i <= RISES && !w->over; i++) {
        struct target_report r = {.outcome = TARGET_FAILED,
                                  .entry = target_live_enter(w->t, T),
                                  .first_ns = i * NS_PER_US};
        target_live_report(w->t, &r, T);
    }
    while (number == 1 && !w->over && seen < SEEN) {
        struct target_view v = look(w->t, T);
        CHECK_EQ_I64(v.window_failures, v.failures_in_a_row);
        CHECK_EQ_I64(v.window_answers, v.failures_in_a_row);
        CHECK_EQ_I64(v.first_ns, v.failures_in_a_row * NS_PER_US);
        seen += v.failures_in_a_row != last;
        last = v.failures_in_a_row;
    }
    if (number < 2)
        w->over = true;
    return NULL;
}

TEST(looks_are_of_one_moment)
{
    struct world w = {.t = target_live_get(SLICE("threads/rise"))};
    struct health_settings s = health_standard;
    s.v[HEALTH_FAILURES] = s.v[HEALTH_ERROR_SHARE] = s.v[HEALTH_SLOW_FACTOR] = 0;
    target_live_configure(&s);
    storm(&w, rise);
    target_live_configure(&health_standard);
}
