/* Pauses between starts, and giving up. */
#include "retry.h"

#include "check.h"

TEST(pauses_double_up_to_a_limit)
{
    struct retry r = {0};
    int64_t want_ns = RETRY_FIRST_NS, now_ns = 0;
    for (int i = 0; i < 12; i++) {
        /* Ready for a while each time, and far enough apart not to be a crash loop. */
        CHECK_EQ_I64(retry_failed(&r, now_ns, NS_PER_S), MIN_OF(want_ns, RETRY_MAX_NS));
        CHECK(!r.given_up);
        want_ns *= 2;
        now_ns += 40 * NS_PER_S;
    }
}

TEST(five_failures_within_the_window)
{
    struct retry r = {0};
    int64_t step_ns = RETRY_WINDOW_NS / (RETRY_FAILURES - 1);
    for (int i = 0; i < RETRY_FAILURES - 1; i++)
        (void)retry_failed(&r, i * step_ns, 0);
    CHECK(!r.given_up);
    CHECK_EQ_I64(retry_failed(&r, RETRY_WINDOW_NS, 0), RETRY_SLOW_NS);
    CHECK(r.given_up);
}

TEST(five_failures_in_more_than_the_window)
{
    struct retry r = {0};
    int64_t step_ns = RETRY_WINDOW_NS / (RETRY_FAILURES - 1) + 1;
    for (int i = 0; i < 20; i++)
        (void)retry_failed(&r, i * step_ns, 0);
    CHECK(!r.given_up);
}

TEST(slow_starts_that_never_succeed)
{
    struct retry r = {0};
    for (int i = 0; i < RETRY_FAILURES - 1; i++)
        (void)retry_failed(&r, i * 1000 * NS_PER_S, -1);
    CHECK(!r.given_up);
    (void)retry_failed(&r, 5000 * NS_PER_S, -1);
    CHECK(r.given_up);
}

TEST(one_success_among_slow_starts)
{
    struct retry r = {0};
    for (int i = 0; i < 20; i++)
        (void)retry_failed(&r, i * 1000 * NS_PER_S, i % RETRY_FAILURES == 0 ? 1 : -1);
    CHECK(!r.given_up);
}

TEST(health_forgives)
{
    struct retry r = {0};
    for (int i = 0; i < RETRY_FAILURES; i++)
        (void)retry_failed(&r, i, -1);
    CHECK(r.given_up);
    CHECK_EQ_I64(retry_failed(&r, NS_PER_S, RETRY_HEALTHY_NS - 1), RETRY_SLOW_NS);
    CHECK_EQ_I64(retry_failed(&r, NS_PER_S, RETRY_HEALTHY_NS), RETRY_FIRST_NS);
    CHECK(!r.given_up);
    CHECK_EQ_I64(retry_failed(&r, NS_PER_S, 0), 2 * RETRY_FIRST_NS);
}
