/* Clocks in nanoseconds. Time limits use the monotonic clock; wall time is for stamps only. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/compiler.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

int64_t clock_mono_ns(void);
int64_t clock_wall_ns(void);

#define CLOCK_RFC3339_SIZE 25
/* Writes "2026-11-21T03:56:00.123Z" with a final NUL into `out`. */
void clock_format_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE]);

/* Text of a duration as users write it: "250ms", "10s", "5m", "2h", "1d"; a bare number is refused
 * except 0. False leaves `*ret_ns` untouched. */
NODISCARD bool clock_parse_duration(const char *p, size_t n, int64_t *ret_ns);

#endif
