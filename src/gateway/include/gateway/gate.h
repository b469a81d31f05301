/* The gate of a target: how many requests may be at it at once, who waits, and whether it can be
 * used at all. Gates live in the registry, keyed by a stable name, and outlive reloads. */
#ifndef GATEWAY_GATE_H
#define GATEWAY_GATE_H

#include "base/permits.h"
#include "base/slice.h"

enum gate_state {
    GATE_OPEN,
    GATE_STARTING, /* an engine that is being started: requests wait */
    GATE_FAILED,   /* an engine that cannot run: requests are refused */
};

struct gate {
    _Atomic unsigned refs;
    struct permits permits;
    _Atomic int state; /* enum gate_state */
    char *name;
};

/* The gate called `name`, made when there is none; the caller owns the reference. NULL: no memory.
 */
NODISCARD struct gate *gate_get(struct slice name);
struct gate *gate_ref(struct gate *g);
void gate_unref(struct gate *g); /* NULL is fine */

/* Capacity (0: no limit) and how many may wait; wakes waiters that now have room. */
void gate_set_limits(struct gate *g, int64_t inflight, int64_t queue);

/* STARTING holds everybody, OPEN lets `inflight` in, FAILED wakes everybody to be refused. */
void gate_set_state(struct gate *g, enum gate_state state, int64_t inflight, int64_t queue);

static inline enum gate_state gate_state(const struct gate *g)
{
    return (enum gate_state)g->state;
}

#endif
