/* Starting threads. */
#include "base/thread.h"

#include <signal.h>

bool thread_start(pthread_t *ret, void *(*run)(void *), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* a new thread has its maker's mask */
    bool ok = pthread_create(ret, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}
