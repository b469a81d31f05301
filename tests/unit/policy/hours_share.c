/* Rates of work and the division by it: properties over random hours, and cases known beforehand.
 */
#include "policy/hours_share.h"

#include <math.h>

#include "base/clock.h"
#include "check.h"

#define GROUPS_MAX 64

static double random_weight(void)
{
    switch (check_random_below(4)) {
    case 0: return 0;
    case 1: return (double)check_random_below(10);
    case 2: return ldexp((double)check_random(), -(int)check_random_below(64));
    default: return ldexp((double)check_random_below(1000) + 1, (int)check_random_below(900));
    }
}

TEST(parts_add_up_and_none_is_negative)
{
    double weight[GROUPS_MAX];
    int64_t part[GROUPS_MAX];
    for (unsigned round = 0; round < 20000; round++) {
        size_t n = 1 + check_random_below(GROUPS_MAX);
        int64_t nano = (int64_t)(check_random() >> (1 + check_random_below(63))), sum = 0;
        double most = 0;
        for (size_t i = 0; i < n; i++) {
            weight[i] = random_weight();
            most = weight[i] > most ? weight[i] : most;
        }
        check_note("round %u", round);
        bool divided = hours_divide(nano, weight, n, part);
        CHECK(divided == (most > 0));
        for (size_t i = 0; i < n && divided; i++) {
            CHECK(part[i] >= 0);
            CHECK(weight[i] > 0 || part[i] == 0);
            for (size_t k = 0; k < n; k++) /* who weighs more pays no less */
                CHECK(!(weight[i] > weight[k]) || part[i] >= part[k] - (int64_t)n);
            sum += part[i];
        }
        CHECK(!divided || sum == nano);
    }
}

TEST(division_of_known_hours)
{
    int64_t part[4];
    CHECK(hours_divide(100, (double[]){1, 2, 1}, 3, part));
    CHECK_EQ_I64(part[0], 25);
    CHECK_EQ_I64(part[1], 50);
    CHECK_EQ_I64(part[2], 25);
    CHECK(hours_divide(101, (double[]){1, 1, 1}, 3, part)); /* two are left over */
    CHECK_EQ_I64(part[0], 35);
    CHECK_EQ_I64(part[1], 33);
    CHECK_EQ_I64(part[2], 33);
    CHECK(hours_divide(INT64_MAX, (double[]){0.3}, 1, part));
    CHECK_EQ_I64(part[0], INT64_MAX);
    CHECK(!hours_divide(5, (double[]){0, 0}, 2, part));
    CHECK(!hours_divide(5, NULL, 0, part));
}

TEST(an_hour_costs_its_rate)
{
    CHECK_EQ_I64(hours_price(3600 * NS_PER_S, 2500000001), 2500000001);
    CHECK_EQ_I64(hours_price(NS_PER_S, INT64_C(3600) * 1000000000), 1000000000);
    CHECK_EQ_I64(hours_price(0, 1), 0);
    CHECK_EQ_I64(hours_price(3600 * NS_PER_S, INT64_C(1000000000) * 1000000000),
                 INT64_C(1000000000) * 1000000000);
}

/* Requests of hardware that takes `ns` for a token, `off` of it more or less. */
static struct hours_fit measured(const double ns[HOURS_KINDS_N], unsigned requests, double off)
{
    struct hours_fit f = {0};
    for (unsigned i = 0; i < requests; i++) {
        int64_t tokens[HOURS_KINDS_N] = {(int64_t)check_random_below(4000),
                                         (int64_t)check_random_below(8000),
                                         1 + (int64_t)check_random_below(800)};
        double work = 0, luck = 1 + off * ((double)check_random_below(2001) - 1000) / 1000;
        for (unsigned k = 0; k < HOURS_KINDS_N; k++)
            work += ns[k] * (double)tokens[k];
        hours_fit_add(&f, tokens, (int64_t)(work * luck));
    }
    return f;
}

static void check_near(double got, double want, double share)
{
    check_note("got %g, want %g", got, want);
    CHECK(fabs(got - want) <= share * want);
}

TEST(rates_are_found_again)
{
    const double ns[HOURS_KINDS_N] = {50e3, 2e3, 9e6};
    struct hours_fit f = measured(ns, 20000, 0.05);
    struct hours_rates r = hours_fit_rates(&f, &hours_rates_first);
    for (unsigned i = 0; i < HOURS_KINDS_N; i++)
        check_near(r.ns[i], ns[i], i == HOURS_CACHED ? 0.8 : 0.1);
    f = measured(ns, 20000, 0);
    r = hours_fit_rates(&f, &r);
    for (unsigned i = 0; i < HOURS_KINDS_N; i++)
        check_near(r.ns[i], ns[i], 0.01);
}

TEST(little_keeps_the_ratios_of_before)
{
    const struct hours_rates before = {{100, 20, 3000}};
    struct hours_fit f = {0};
    struct hours_rates r = hours_fit_rates(&f, &before);
    for (unsigned i = 0; i < HOURS_KINDS_N; i++)
        CHECK_EQ_DOUBLE(r.ns[i], before.ns[i]);
    /* All alike: nobody can tell input from output, but the hardware is twice as fast by now. */
    for (unsigned i = 0; i < 1000; i++)
        hours_fit_add(&f, (int64_t[]){1000, 0, 100}, (1000 * 100 + 100 * 3000) / 2);
    r = hours_fit_rates(&f, &before);
    check_near(r.ns[HOURS_INPUT], 50, 1e-6);
    check_near(r.ns[HOURS_OUTPUT], 1500, 1e-6);
    check_near(r.ns[HOURS_CACHED], 10, 1e-6);
}

TEST(rates_are_never_negative)
{
    for (unsigned round = 0; round < 5000; round++) {
        struct hours_fit f = {0};
        struct hours_rates r = hours_rates_first;
        unsigned n = (unsigned)check_random_below(8);
        check_note("round %u", round);
        for (unsigned hour = 0; hour < 5; hour++) {
            double work = 0;
            for (unsigned i = 0; i < n; i++) {
                int64_t tokens[HOURS_KINDS_N];
                for (unsigned k = 0; k < HOURS_KINDS_N; k++)
                    tokens[k] = (int64_t)(check_random() >> (1 + check_random_below(63))) >>
                                check_random_below(40);
                hours_fit_add(&f, tokens,
                              (int64_t)(check_random() >> (2 + check_random_below(60))));
            }
            r = hours_fit_rates(&f, &r);
            for (unsigned k = 0; k < HOURS_KINDS_N; k++) {
                CHECK(isfinite(r.ns[k]) && r.ns[k] >= 0);
                work += r.ns[k];
            }
            CHECK(work > 0);
        }
    }
}

TEST(requests_that_say_nothing_change_nothing)
{
    struct hours_fit f = {0};
    hours_fit_add(&f, (int64_t[]){0, 0, 0}, 1000);
    hours_fit_add(&f, (int64_t[]){10, 0, 5}, 0);
    CHECK_EQ_DOUBLE(f.n, 0);
    CHECK_EQ_DOUBLE(hours_work(&hours_rates_first, (int64_t[]){10, 100, 2}), 40);
}
