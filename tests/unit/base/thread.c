/* base/thread.h: threads leave signals to the first one. */
#include "base/thread.h"

#include <signal.h>

#include "check.h"

static void *read_mask(void *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return mask;
}

TEST(takes_no_signals)
{
    pthread_t thread;
    sigset_t own, in_thread;
    void *result = NULL;
    CHECK(thread_start(&thread, read_mask, &in_thread));
    pthread_join(thread, &result);
    CHECK(result == &in_thread);
    CHECK(sigismember(&in_thread, SIGTERM) == 1);
    CHECK(sigismember(&in_thread, SIGCHLD) == 1);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    CHECK(sigismember(&own, SIGTERM) == 0);
}
