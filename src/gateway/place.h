/* A place at a target whose requests at a time are limited: taken, or waited for.
 *
 * Who finds his target full waits there and, at the same time, at all those behind it in the order
 * that are well and full too: the first one that has a place for him gets him, and none stands idle
 * while somebody waits for another. */
#ifndef GATEWAY_PLACE_H
#define GATEWAY_PLACE_H

#include "attempt.h"
#include "gateway/gate.h"

#define PLACES_MAX 8 /* queues in which one attempt stands at a time */

/* Takes a place for `a`, or queues up; a->target is then perhaps another one, and a->moved set.
 * GW_OK: it has one (place_held) or waits; GW_QUEUE_FULL: in no queue was room for it;
 * GW_ENGINE_FAILED; GW_NO_MEMORY. */
enum gw_error place_take(struct attempt *a);
/* Takes a place there if one is free, or none is needed: without waiting. */
NODISCARD bool place_take_free(const struct gw_provider *p);
/* Has it a place, or needs none? */
bool place_held(const struct attempt *a);
/* A place of `gate` has come. False: it is not waited for any more, and goes back. */
NODISCARD bool place_granted(struct attempt *a, const struct gate *gate);
/* The place in the queue of `gate` is lost: to somebody of a higher class, or because its time is
 * up. `a` is over if it was the only one that was left. */
void place_shed(struct attempt *a, const struct gate *gate);
/* Leaves the queues, and gives back what it has. */
void place_leave(struct attempt *a);
/* Until when it may wait, on the loop's clock; INT64_MAX: for ever. */
int64_t place_deadline(const struct attempt *a);

#endif
