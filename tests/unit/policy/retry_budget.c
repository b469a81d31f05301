/* The budget of retries: shares, the least, ten seconds, several threads; and the waits. */
#include "policy/retry_budget.h"

#include "base/clock.h"
#include "base/thread.h"
#include "check.h"

#define T (1000 * NS_PER_S)

static void fill(struct retry_budget *b, int64_t now_ns, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        retry_budget_fill(b, now_ns);
}

/* How many of `most` are granted. */
static unsigned take(struct retry_budget *b, int64_t now_ns, unsigned percent, unsigned least,
                     unsigned most)
{
    unsigned n = 0;
    for (unsigned i = 0; i < most; i++)
        n += retry_budget_take(b, now_ns, percent, least) ? 1 : 0;
    return n;
}

TEST(shares)
{
    static const struct {
        unsigned first, percent, least, granted;
    } rows[] = {
        {0, 20, 0, 0},      {0, 20, 3, 30},   {4, 20, 0, 0},      {5, 20, 0, 1},  {100, 20, 0, 20},
        {100, 5, 0, 5},     {100, 20, 3, 30}, {1000, 20, 3, 200}, {100, 0, 0, 0}, {100, 0, 1, 10},
        {100, 100, 0, 100}, {150, 20, 3, 30}, {155, 20, 3, 31},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct retry_budget b = {0};
        check_note("row %zu", i);
        fill(&b, T, rows[i].first);
        CHECK_EQ_U64(take(&b, T, rows[i].percent, rows[i].least, 500), rows[i].granted);
    }
}

/* Neither what was filled nor what was taken lasts more than ten seconds. */
TEST(ten_seconds)
{
    struct retry_budget b = {0};
    fill(&b, T, 100);
    CHECK_EQ_U64(take(&b, T + 9 * NS_PER_S, 20, 0, 10), 10);
    CHECK_EQ_U64(take(&b, T + 10 * NS_PER_S - 1, 20, 0, 5), 5);
    CHECK_EQ_U64(take(&b, T + 10 * NS_PER_S, 20, 0, 5), 0);
    fill(&b, T + 10 * NS_PER_S, 100);
    CHECK_EQ_U64(take(&b, T + 10 * NS_PER_S, 20, 0, 50), 5); /* 15 were taken at second 9 */
    CHECK_EQ_U64(take(&b, T + 19 * NS_PER_S, 20, 0, 50), 15);
    CHECK_EQ_U64(take(&b, T + 500 * NS_PER_S, 20, 0, 50), 0);
}

/* One in twenty, however far apart they come; and no more than that where they come fast. */
TEST(hedges)
{
    static const struct {
        int64_t every_ns;
        unsigned least, most;
    } rows[] = {{NS_PER_MS, 490, 500},
                {100 * NS_PER_MS, 490, 500},
                {400 * NS_PER_MS, 490, 510},
                {2 * NS_PER_S, 490, 500},
                {3600 * NS_PER_S, 490, 500}};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct hedge_budget b = {0};
        unsigned n = 0;
        check_note("row %zu", r);
        for (int64_t i = 0; i < 10000; i++) {
            hedge_budget_fill(&b, T + i * rows[r].every_ns, 5);
            n += hedge_budget_take(&b, T + i * rows[r].every_ns, 5);
        }
        CHECK(n >= rows[r].least && n <= rows[r].most);
    }
    struct hedge_budget none = {0};
    CHECK(!hedge_budget_take(&none, T, 5));
    for (int i = 0; i < 40; i++) /* a day's requests do not make up for a bad hour */
        hedge_budget_fill(&none, T + i * 60 * NS_PER_S, 5);
    CHECK(hedge_budget_take(&none, T + 3600 * NS_PER_S, 5));
    CHECK(!hedge_budget_take(&none, T + 3600 * NS_PER_S, 5));
}

/* All fail and each is tried again as often as it may: no more than the share on top. */
TEST(amplification)
{
    struct retry_budget b = {0};
    unsigned again = 0;
    for (unsigned i = 0; i < 20000; i++) { /* 100 a second */
        int64_t now_ns = T + i * 10 * NS_PER_MS;
        retry_budget_fill(&b, now_ns);
        again += take(&b, now_ns, 20, 3, 3);
    }
    CHECK(again <= 4000 + 30);
    CHECK(again >= 3600);
}

TEST(refused_ones_cost_nothing)
{
    struct retry_budget b = {0};
    fill(&b, T, 10);
    CHECK_EQ_U64(take(&b, T, 20, 0, 1000), 2);
    fill(&b, T, 10);
    CHECK_EQ_U64(take(&b, T, 20, 0, 1000), 2);
}

/* A clock behind by more than the ring is long counts as the one that is ahead. */
TEST(late_clock)
{
    struct retry_budget b = {0};
    fill(&b, T, 50);
    fill(&b, T - 10 * NS_PER_S, 25);
    fill(&b, T - NS_PER_S, 25);
    CHECK_EQ_U64(take(&b, T, 20, 0, 100), 20);
}

enum { THREADS = 4, EACH = 20000 };
struct storm {
    struct retry_budget b;
    _Atomic int64_t now_ns;
    _Atomic unsigned granted;
};

static void *storm_fill(void *arg)
{
    struct storm *s = arg;
    for (unsigned i = 0; i < EACH; i++)
        retry_budget_fill(&s->b, s->now_ns);
    return NULL;
}

static void *storm_take(void *arg)
{
    struct storm *s = arg;
    for (unsigned i = 0; i < EACH; i++)
        s->granted += retry_budget_take(&s->b, s->now_ns, 20, 0) ? 1 : 0;
    return NULL;
}

static void storm_run(struct storm *s, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(thread_start(&threads[i], run, s));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Four threads fill and take: each counts, and what there is is given out to the last one. */
TEST(threads_lose_nothing)
{
    struct storm s = {.now_ns = T};
    storm_run(&s, storm_fill);
    storm_run(&s, storm_take);
    CHECK_EQ_U64(s.granted, THREADS * EACH / 5);
    s.now_ns = T + 5 * NS_PER_S;
    storm_run(&s, storm_fill);
    storm_run(&s, storm_take);
    CHECK_EQ_U64(s.granted, 2 * THREADS * EACH / 5);
}

TEST(backoff)
{
    const int64_t base = 25 * NS_PER_MS, most = 250 * NS_PER_MS;
    static const int64_t below[] = {25, 50, 100, 200, 250, 250};
    for (unsigned n = 1; n <= ARRAY_LEN(below); n++) {
        int64_t top = 0;
        check_note("retry %u", n);
        for (unsigned i = 0; i < 2000; i++) {
            int64_t ns = retry_backoff_ns(n, base, most, check_random());
            CHECK(ns >= 0 && ns < below[n - 1] * NS_PER_MS);
            top = MAX_OF(top, ns);
        }
        CHECK(top > below[n - 1] * NS_PER_MS * 98 / 100);
        CHECK_EQ_I64(retry_backoff_ns(n, base, most, 0), 0);
        CHECK_EQ_I64(retry_backoff_ns(n, base, most, UINT64_MAX), below[n - 1] * NS_PER_MS - 1);
    }
    CHECK_EQ_I64(retry_backoff_ns(4000000000u, base, most, UINT64_MAX), most - 1);
    CHECK_EQ_I64(retry_backoff_ns(1000, 1, INT64_MAX, UINT64_MAX), INT64_MAX - 1);
    CHECK_EQ_I64(retry_backoff_ns(3, 0, most, UINT64_MAX), 0);
    CHECK_EQ_I64(retry_backoff_ns(3, base, 0, UINT64_MAX), 0);
}
