/* Counted permits shared by all threads, with a bounded queue: the place where "at most N at once"
 * is decided, exactly. A permit is given back once, by whoever holds it. */
#ifndef BASE_PERMITS_H
#define BASE_PERMITS_H

#include <pthread.h>

#include "base/compiler.h"
#include "base/list.h"

enum permit_state { PERMIT_NONE, PERMIT_QUEUED, PERMIT_GRANTED };

struct permit_waiter;
/* Called with the permits' lock held, on the thread that gave a permit back: it may only post a
 * message. The message, not the waiter, owns the permit from then on: if its addressee is gone when
 * it arrives, its handler gives the permit back. */
typedef void permit_grant_fn(struct permit_waiter *w);

struct permit_waiter {
    struct list node;
    enum permit_state state;
    permit_grant_fn *grant;
};

struct permits {
    pthread_mutex_t lock;
    int64_t limit; /* 0: no limit; negative: closed, everybody waits */
    int64_t held;
    int64_t queue_limit;
    _Atomic int64_t waiting_n; /* read without the lock for metrics and hints */
    struct list waiting;
};

enum permit_result { PERMIT_TAKEN, PERMIT_WAITING, PERMIT_REFUSED };

void permits_init(struct permits *p, int64_t limit, int64_t queue_limit);
void permits_done(struct permits *p);

/* Changes the limits; a higher one grants to waiters at once. */
void permits_set(struct permits *p, int64_t limit, int64_t queue_limit);

/* Takes a permit, or queues `w` behind those who came earlier, or refuses: the queue is full. */
NODISCARD enum permit_result permits_take(struct permits *p, struct permit_waiter *w);

/* Takes a permit only if one is free and nobody waits. */
NODISCARD bool permits_try(struct permits *p);

/* Gives a permit back, to the first waiter if there is one. */
void permits_give(struct permits *p);

/* Leaves the queue. True: `w` was still queued. False: its grant is on the way, and the handler of
 * that message has to give the permit back. */
bool permits_leave(struct permits *p, struct permit_waiter *w);

#endif
