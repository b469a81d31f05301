/* Budget periods in the configured timezone, and a clock for them that no step of the machine's
 * clock can move from one period to another. Control and store threads. */
#ifndef POLICY_CALENDAR_H
#define POLICY_CALENDAR_H

#include "base/compiler.h"
#include "base/slice.h"

enum calendar_period {
    CALENDAR_HOUR,
    CALENDAR_DAY,
    CALENDAR_WEEK, /* from Monday */
    CALENDAR_MONTH,
    CALENDAR_PERIODS_N
};

/* Makes `zone` ("Europe/Berlin", "UTC") the process' timezone, with the C library's database.
 * False: there is no such zone (nothing has changed). Not beside threads that use local time. */
NODISCARD bool calendar_set_zone(struct slice zone);
/* Is there such a zone? */
NODISCARD bool calendar_zone_exists(struct slice zone);

/* Start of the period that holds `wall_ns`, and of the next one, in nanoseconds of Unix time. Days
 * of 23 and 25 hours are as long as they are; an hour is a real hour. */
int64_t calendar_start(enum calendar_period p, int64_t wall_ns);
int64_t calendar_next(enum calendar_period p, int64_t wall_ns);

/* Wall time that follows steps of the machine's clock by at most 1% of the time that passes. */
struct steady_wall {
    int64_t mono_ns, wall_ns; /* at the latest look */
};
void steady_wall_init(struct steady_wall *w, int64_t mono_ns, int64_t wall_ns);
/* Wall time now; `wall_ns` is the machine's. */
int64_t steady_wall_ns(struct steady_wall *w, int64_t mono_ns, int64_t wall_ns);

#endif
