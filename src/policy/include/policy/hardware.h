/* Hardware that is paid by the hour: whose time is whose. While n requests are at it, each has the
 * n-th part of the time that passes (processor sharing: Kleinrock, "Time-shared systems", 1967), so
 * that the parts of all requests add up to the time it was busy. */
#ifndef POLICY_HARDWARE_H
#define POLICY_HARDWARE_H

#include "base/compiler.h"
#include "base/slice.h"

struct hardware;

/* That of a provider or engine, by its name; made where there is none, and kept as long as the
 * process. NULL: no memory. Control thread. */
NODISCARD struct hardware *hardware_get(struct slice name);

/* A request comes to it; the result is for hardware_leave. Times are of one monotonic clock; one
 * that lags behind another thread's counts as that one. Any thread. */
int64_t hardware_enter(struct hardware *h, int64_t now_ns);
/* It leaves: the nanoseconds of the hardware's time that were its part. */
int64_t hardware_leave(struct hardware *h, int64_t now_ns, int64_t mark);

/* How long it has been busy in all. */
int64_t hardware_busy_ns(struct hardware *h, int64_t now_ns);

#endif
