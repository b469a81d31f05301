/* The gate of a target: how many requests may be at it at once, who waits, and whether it can be
 * used at all. Gates live in the registry, keyed by a stable name, and outlive reloads. */
#ifndef GATEWAY_GATE_H
#define GATEWAY_GATE_H

#include <stdatomic.h>

#include "base/permits.h"
#include "base/slice.h"
#include "policy/adaptive.h"

enum gate_state {
    GATE_OPEN,
    GATE_STARTING, /* an engine that is being started: requests wait */
    GATE_FAILED,   /* an engine that cannot run: requests are refused */
};

struct gate {
    _Atomic unsigned refs;
    struct permits permits;
    _Atomic int state;      /* enum gate_state */
    _Atomic uint16_t epoch; /* of the engine behind it: what one process knew the next does not */
    char *name;
    _Atomic int64_t capacity; /* requests at a time, as the limit stands now; 0: no limit */
    pthread_mutex_t lock;     /* of what follows */
    bool adapts;
    struct adaptive adaptive;
    int64_t most, queue; /* 0: no bound */
};

/* The gate called `name`, made when there is none; the caller owns the reference. NULL: no memory.
 */
NODISCARD struct gate *gate_get(struct slice name);
struct gate *gate_ref(struct gate *g);
void gate_unref(struct gate *g); /* NULL is fine */

/* Capacity (0: no limit) and how many may wait; wakes waiters that now have room. */
void gate_set_limits(struct gate *g, int64_t inflight, int64_t queue);

/* The same where the capacity is found out from first-token times (policy/adaptive.h); `most`: at
 * most so many, 0: no bound. What was found out before goes on counting. */
void gate_set_adaptive(struct gate *g, int64_t most, int64_t queue);
/* A request got its first token that long after it was sent, or none in that time. Nothing happens
 * at a gate that does not adapt. */
void gate_sample(struct gate *g, int64_t first_token_ns);

/* STARTING holds everybody, OPEN lets `inflight` in, FAILED wakes everybody to be refused. */
void gate_set_state(struct gate *g, enum gate_state state, int64_t inflight, int64_t queue);

static inline int64_t gate_capacity(const struct gate *g)
{
    return atomic_load_explicit(&g->capacity, memory_order_relaxed);
}

/* Requests that are at it. */
static inline int64_t gate_inflight(const struct gate *g)
{
    return atomic_load_explicit(&g->permits.held, memory_order_relaxed);
}

/* Requests that wait at it. */
static inline int64_t gate_waiting(const struct gate *g)
{
    return atomic_load_explicit(&g->permits.waiting_n, memory_order_relaxed);
}

static inline uint16_t gate_epoch(const struct gate *g)
{
    return atomic_load_explicit(&g->epoch, memory_order_relaxed);
}

static inline enum gate_state gate_state(const struct gate *g)
{
    return (enum gate_state)g->state;
}

#endif
