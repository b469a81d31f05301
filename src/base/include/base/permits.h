/* Counted permits shared by all threads, with a bounded queue: the place where "at most N at once"
 * is decided, exactly. A permit is given back once, by whoever holds it.
 *
 * Who is served when. Each waiter has a class and belongs to a flow, those of one key say. Classes
 * share what becomes free by PERMIT_CLASSES, flows of a class by their weights, both by
 * self-clocked fair queueing (S. J. Golestani, "A Self-Clocked Fair Queueing Scheme for Broadband
 * Applications", INFOCOM 1994) with turns as the unit; the waiters of a flow come in the order of
 * their arrival. So no class starves: with all of them waiting, the lowest gets every 21st turn.
 * And whoever has just been served queues up behind those of the same share who have not, whether
 * or not some of its flow are still waiting: a flow without waiters needs no memory of the past.
 *
 * A full queue refuses a newcomer, unless somebody of a lower class waits: then the youngest of the
 * lowest class has to go. And who would probably wait beyond his deadline (those of his class and
 * above, times the mean time for which a permit is held, by how many there are) is refused at once,
 * rather than when it has come: under overload those who are served wait no longer than they may.
 *
 * Everything takes O(log n) steps at most, allocates nothing and happens under one lock. */
#ifndef BASE_PERMITS_H
#define BASE_PERMITS_H

#include <pthread.h>

#include "base/compiler.h"
#include "base/list.h"
#include "base/treap.h"

/* X(id, name, share of the turns that it has against the others) */
#define PERMIT_CLASSES(X) X(LOW, "low", 1) X(NORMAL, "normal", 4) X(HIGH, "high", 16)
enum permit_class {
#define X(id, name, share) PERMIT_##id,
    PERMIT_CLASSES(X)
#undef X
        PERMIT_CLASSES_N
};

enum permit_state { PERMIT_NONE, PERMIT_QUEUED, PERMIT_GRANTED, PERMIT_SHED };

#define PERMIT_WEIGHT_MAX 65536u
#define PERMIT_WHOLE      840 /* parts of a waiter: whole numbers for up to 8 queues */

struct permit_waiter;
/* Called with the permits' lock held, on the thread that gave a permit back or queued up: it may
 * only post a message. The message of a grant, not the waiter, owns the permit from then on: if its
 * addressee is gone when it arrives, its handler gives the permit back. */
typedef void permit_waiter_fn(struct permit_waiter *w);

/* To be filled in before permits_take; it stays as it is, where it is, while it waits. */
struct permit_waiter {
    enum permit_class class;
    unsigned weight;     /* of its flow against others of the class; 0 counts as 1 */
    uint64_t flow;       /* 0 is the flow of all who have none of their own */
    unsigned queues;     /* of how many permits it waits for whichever come first, up to 8: it is
                          * that part of one in each queue; 0 counts as 1 */
    int64_t deadline_ns; /* shed rather than served from then on; 0: never. Needs `shed` */
    permit_waiter_fn *grant;
    permit_waiter_fn *shed; /* it waits no more and gets no permit; NULL: it is never displaced */
    /* private */
    enum permit_state state;
    bool leads;              /* it is the first of its flow and stands for it in both trees */
    struct list arrived;     /* among its class, by arrival */
    struct list mates;       /* ring of its flow */
    struct treap_node known; /* leaders by flow */
    struct treap_node turn;  /* leaders by tag */
    uint64_t tag, number;    /* virtual time at which its turn ends; of its arrival */
};

struct permit_queue {
    int64_t parts; /* of those who wait, PERMIT_WHOLE each */
    struct list arrived;
    struct treap flows, turns;
    uint64_t tag;   /* virtual time at which the class' next turn ends */
    uint64_t clock; /* virtual time among its flows */
};

struct permits {
    pthread_mutex_t lock;
    int64_t limit;        /* 0: no limit; negative: closed, everybody waits */
    _Atomic int64_t held; /* changed under the lock, read without it for hints */
    int64_t queue_limit;
    _Atomic int64_t waiting_n; /* read without the lock for metrics and hints */
    int64_t parts;             /* of them */
    int64_t mean_held_ns;      /* moving mean; 0: not known */
    int64_t now_ns;            /* the latest that was told */
    uint64_t clock;            /* virtual time among the classes */
    uint64_t arrivals;
    struct permit_queue queues[PERMIT_CLASSES_N];
};

enum permit_result { PERMIT_TAKEN, PERMIT_WAITING, PERMIT_REFUSED };

void permits_init(struct permits *p, int64_t limit, int64_t queue_limit);
void permits_done(struct permits *p);

/* Changes the limits; a higher one grants to waiters at once. Nobody is turned out by a lower one.
 */
void permits_set(struct permits *p, int64_t limit, int64_t queue_limit);

/* Takes a permit, or queues `w`, which may displace somebody, or refuses: the queue is full. */
NODISCARD enum permit_result permits_take(struct permits *p, struct permit_waiter *w);

/* Takes a permit only if one is free and nobody waits. */
NODISCARD bool permits_try(struct permits *p);

/* Gives a permit back, to whose turn it is if anybody waits. */
void permits_give(struct permits *p);
/* The same, by whoever has held it from `since_ns` until `now_ns`: the mean learns from it. */
void permits_give_held(struct permits *p, int64_t since_ns, int64_t now_ns);

/* Leaves the queue. True: `w` was still queued. False: it was not; a grant may be on the way, and
 * the handler of that message has to give the permit back. */
bool permits_leave(struct permits *p, struct permit_waiter *w);

/* How long somebody who queued up now would wait: those who wait (who waits elsewhere too counts
 * for a part), times the mean time for which a permit is held, by how many there are. 0: not known,
 * or there is no limit. */
int64_t permits_wait_ns(struct permits *p);

#endif
