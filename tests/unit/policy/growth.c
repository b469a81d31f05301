/* Growth: parts that sum up to the last nano-dollar, factors by themselves, and nothing in all
 * places where there may be nothing. */
#include "policy/growth.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"

#define DOLLAR INT64_C(1000000000)

static int64_t sum_of(const struct growth *g)
{
    int64_t sum = 0;
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++)
        sum += g->part[f];
    return sum;
}

static struct growth explain(struct growth_period before, struct growth_period after)
{
    struct growth g;
    growth_explain(&before, &after, &g);
    CHECK_EQ_I64(g.total, after.cost_nano - before.cost_nano);
    CHECK_EQ_I64(sum_of(&g), g.total);
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++)
        CHECK(g.known[f] || g.part[f] == 0);
    return g;
}

/* What one factor alone did is its own, wholly. */
TEST(one_factor)
{
    struct growth_period a = {10, 1000, 500000, 20 * DOLLAR};
    struct growth g = explain(a, (struct growth_period){20, 2000, 1000000, 40 * DOLLAR});
    CHECK_EQ_I64(g.part[GROWTH_USERS], 20 * DOLLAR);
    g = explain(a, (struct growth_period){10, 3000, 1500000, 60 * DOLLAR});
    CHECK_EQ_I64(g.part[GROWTH_REQUESTS], 40 * DOLLAR);
    g = explain(a, (struct growth_period){10, 1000, 250000, 10 * DOLLAR});
    CHECK_EQ_I64(g.part[GROWTH_TOKENS], -10 * DOLLAR);
    g = explain(a, (struct growth_period){10, 1000, 500000, 25 * DOLLAR});
    CHECK_EQ_I64(g.part[GROWTH_PRICE], 5 * DOLLAR);
    CHECK_EQ_DOUBLE(g.before[GROWTH_PRICE], 40000);
    CHECK_EQ_DOUBLE(g.after[GROWTH_PRICE], 50000);
}

/* By hand: 100 -> 360 with users x 2 and tokens x 1.8; L = 260 / ln 3.6 = 202.9766... */
TEST(two_factors)
{
    struct growth g = explain((struct growth_period){10, 100, 1000, 100 * DOLLAR},
                              (struct growth_period){20, 200, 3600, 360 * DOLLAR});
    double mean = 260 / log(3.6);
    CHECK(fabs((double)g.part[GROWTH_USERS] / 1e9 - mean * log(2)) < 1e-6);
    CHECK(fabs((double)g.part[GROWTH_TOKENS] / 1e9 - mean * log(1.8)) < 1e-6);
    CHECK(llabs(g.part[GROWTH_REQUESTS]) <= 2);
    CHECK(llabs(g.part[GROWTH_PRICE]) <= 2);
}

TEST(nothing_changed)
{
    struct growth_period a = {3, 7, 11, 13};
    struct growth g = explain(a, a);
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++)
        CHECK_EQ_I64(g.part[f], 0);
}

/* The same bill made of other factors: the parts cancel out. */
TEST(same_cost)
{
    struct growth g = explain((struct growth_period){10, 100, 1000, DOLLAR},
                              (struct growth_period){20, 100, 1000, DOLLAR});
    CHECK(g.part[GROWTH_USERS] > 0);
    CHECK_EQ_I64(g.part[GROWTH_USERS], -g.part[GROWTH_REQUESTS]);
}

TEST(from_nothing_and_to_nothing)
{
    struct growth_period none = {0}, some = {4, 40, 400, DOLLAR};
    struct growth g = explain(none, some);
    CHECK_EQ_I64(g.part[GROWTH_USERS], DOLLAR);
    g = explain(some, none);
    CHECK_EQ_I64(g.part[GROWTH_USERS], -DOLLAR);
    g = explain(none, none);
    CHECK_EQ_I64(g.total, 0);
    g = explain((struct growth_period){-1, 0, 0, 0}, (struct growth_period){-1, 5, 50, DOLLAR});
    CHECK(!g.known[GROWTH_USERS]);
    CHECK_EQ_I64(g.part[GROWTH_REQUESTS], DOLLAR);
    g = explain((struct growth_period){4, 40, 400, 0}, some); /* it was free */
    CHECK_EQ_I64(g.part[GROWTH_PRICE], DOLLAR);
}

TEST(unknown_factors)
{
    struct growth g = explain((struct growth_period){-1, 10, 100, DOLLAR},
                              (struct growth_period){5, 20, 200, 2 * DOLLAR});
    CHECK(!g.known[GROWTH_USERS]);
    CHECK_EQ_I64(g.part[GROWTH_REQUESTS], DOLLAR);
    CHECK_EQ_DOUBLE(g.before[GROWTH_REQUESTS], 10);
    g = explain((struct growth_period){0, 10, 0, DOLLAR}, /* paid by the request, without users */
                (struct growth_period){0, 20, 0, 3 * DOLLAR});
    CHECK(!g.known[GROWTH_USERS] && !g.known[GROWTH_TOKENS]);
    CHECK(g.part[GROWTH_REQUESTS] > 0 && g.part[GROWTH_PRICE] > 0);
    CHECK_EQ_DOUBLE(g.after[GROWTH_PRICE], 1.5e8);
}

/* A figure of any size, often nothing. */
static int64_t any(unsigned bits)
{
    return check_random_below(5) == 0 ? 0 : (int64_t)(check_random() >> (64 - bits));
}

TEST(parts_sum_up)
{
    for (int i = 0; i < 100000; i++) {
        struct growth_period p[2];
        for (int k = 0; k < 2; k++) {
            unsigned bits = (unsigned)check_random_below(44);
            p[k] = (struct growth_period){any(20) - (int64_t)check_random_below(2), any(30),
                                          any(40), any(bits + 18)};
        }
        check_note("round %d: {%lld, %lld, %lld, %lld} {%lld, %lld, %lld, %lld}", i,
                   (long long)p[0].users, (long long)p[0].requests, (long long)p[0].tokens,
                   (long long)p[0].cost_nano, (long long)p[1].users, (long long)p[1].requests,
                   (long long)p[1].tokens, (long long)p[1].cost_nano);
        explain(p[0], p[1]);
    }
}
