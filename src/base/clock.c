/* Clocks and durations. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/slice.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void clock_format_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE])
{
    static _Thread_local time_t cached_second;
    static _Thread_local char cached[CLOCK_RFC3339_SIZE];
    time_t second = (time_t)(wall_ns / NS_PER_S);
    int64_t rest_ns = wall_ns % NS_PER_S;
    if (rest_ns < 0) { /* before 1970 */
        rest_ns += NS_PER_S;
        second--;
    }
    if (second != cached_second || cached[0] == '\0') {
        struct tm tm;
        gmtime_r(&second, &tm);
        strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        cached_second = second;
    }
    unsigned ms = (unsigned)(rest_ns / NS_PER_MS);
    memcpy(out, cached, CLOCK_RFC3339_SIZE);
    out[20] = (char)('0' + ms / 100);
    out[21] = (char)('0' + ms / 10 % 10);
    out[22] = (char)('0' + ms % 10);
}

bool clock_parse_duration(const char *p, size_t n, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {
        {"us", NS_PER_US},    {"ms", NS_PER_MS},      {"s", NS_PER_S},
        {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
    };
    size_t digits = 0;
    uint64_t value;
    while (digits < n && p[digits] >= '0' && p[digits] <= '9')
        digits++;
    if (!slice_to_u64(slice_of(p, digits), &value) || value > INT64_MAX)
        return false;
    struct slice unit = slice_of(p + digits, n - digits);
    if (unit.n == 0 && value == 0) {
        *ret_ns = 0;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        int64_t ns;
        if (!slice_is(unit, units[i].unit))
            continue;
        if (__builtin_mul_overflow((int64_t)value, units[i].ns, &ns))
            return false;
        *ret_ns = ns;
        return true;
    }
    return false;
}
