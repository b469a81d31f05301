/* Threads of the process beside its first one. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/compiler.h"

/* Starts `run(arg)` on a thread that takes no signals: they are the first thread's, and one that
 * blocks them for a moment must not hand them to another. False: the system has no more threads. */
NODISCARD bool thread_start(pthread_t *ret, void *(*run)(void *), void *arg);

#endif
