/* The harness tested on itself: two of these three tests have to fail, and the third has to run. */
#include "check.h"

#include <pthread.h>

TEST(fails)
{
    CHECK_EQ_I64(1, 2);
    check_note("the end of a failed test was reached");
    CHECK_EQ_STR("reached", "not reached");
}

static void *fail_here(void *arg)
{
    (void)arg;
    CHECK(false);
    return NULL;
}

TEST(fails_in_a_thread)
{
    pthread_t t;
    CHECK(pthread_create(&t, NULL, fail_here, NULL) == 0);
    CHECK(pthread_join(t, NULL) == 0);
}

TEST(passes)
{
    CHECK_EQ_LIT(SLICE("same"), "same");
}
