/* Budget periods by the C library's timezone database, and a wall clock that nobody can step. */
#include "policy/calendar.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define HOUR_S    INT64_C(3600)
#define DAY_S     (24 * HOUR_S)
#define ZONES_DIR "/usr/share/zoneinfo"
#define ZONE_MAX  128                /* bytes of a name */
#define YEAR      CALENDAR_PERIODS_N /* hours are counted from its start */

static _Atomic unsigned zones_set; /* so often */

/* Names of the database only: no path leads out of it, and "right/" counts leap seconds, which Unix
 * time does not. */
static bool zone_name_ok(struct slice zone)
{
    if (zone.n == 0 || zone.n >= ZONE_MAX || zone.p[0] == '/' ||
        slice_starts(zone, SLICE("right/")) || memmem(zone.p, zone.n, "..", 2) != NULL)
        return false;
    for (size_t i = 0; i < zone.n; i++) {
        char c = zone.p[i];
        bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  strchr("_+-/", c) != NULL;
        if (!ok || c == '\0')
            return false;
    }
    return true;
}

bool calendar_zone_exists(struct slice zone)
{
    char path[PATH_MAX], magic[4] = "";
    const char *dir = getenv("TZDIR");
    if (slice_eq(zone, SLICE("UTC")))
        return true;
    if (!zone_name_ok(zone))
        return false;
    if (dir == NULL || dir[0] == '\0')
        dir = ZONES_DIR;
    int n = snprintf(path, sizeof path, "%s/%.*s", dir, (int)zone.n, zone.p);
    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return false;
    bool ok = fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    fclose(f);
    return ok;
}

bool calendar_set_zone(struct slice zone)
{
    char name[ZONE_MAX];
    if (!calendar_zone_exists(zone))
        return false;
    /* UTC has to be there where the database is not. */
    if (slice_eq(zone, SLICE("UTC")))
        zone = SLICE("UTC0");
    snprintf(name, sizeof name, "%.*s", (int)zone.n, zone.p);
    if (setenv("TZ", name, 1) != 0)
        return false;
    tzset();
    zones_set++;
    return true;
}

/* A day as the number of days since 1970-01-01. */
static int64_t day_number(int year, int month, int day)
{
    struct tm tm = {.tm_year = year, .tm_mon = month, .tm_mday = day};
    return timegm(&tm) / DAY_S;
}

static struct tm local_time(int64_t s)
{
    struct tm tm = {0};
    time_t t = (time_t)s;
    localtime_r(&t, &tm);
    return tm;
}

/* The first second whose local date is `day` or later: midnight, where there is one. Found by
 * bisection, because mktime leaves it open what a midnight becomes that is skipped or comes twice.
 * No zone is 26 hours away from UTC. */
static int64_t day_start(int64_t day)
{
    int64_t before = day * DAY_S - 26 * HOUR_S, there = day * DAY_S + 26 * HOUR_S;
    while (there - before > 1) {
        int64_t middle = before + (there - before) / 2;
        struct tm tm = local_time(middle);
        if (day_number(tm.tm_year, tm.tm_mon, tm.tm_mday) >= day)
            there = middle;
        else
            before = middle;
    }
    return there;
}

/* Start of the period `n` behind the one that has the date `tm`. */
static int64_t date_start(unsigned period, const struct tm *tm, int n)
{
    switch (period) {
    case CALENDAR_DAY: return day_start(day_number(tm->tm_year, tm->tm_mon, tm->tm_mday + n));
    case CALENDAR_WEEK:
        return day_start(
            day_number(tm->tm_year, tm->tm_mon, tm->tm_mday - (tm->tm_wday + 6) % 7 + 7 * n));
    case CALENDAR_MONTH: return day_start(day_number(tm->tm_year, tm->tm_mon + n, 1));
    case YEAR: return day_start(day_number(tm->tm_year + n, 0, 1));
    default: NEVER("hours are not a matter of dates");
    }
}

/* The period around `s`. Where the date went back over midnight, or over a whole day, `s` lies in
 * a neighbour of the period of its date. */
static void period_around(unsigned period, int64_t s, int64_t *ret_start, int64_t *ret_next)
{
    struct tm tm = local_time(s);
    int n = -1;
    int64_t start = date_start(period, &tm, n), next = start;
    while (next <= s) {
        start = next;
        next = date_start(period, &tm, ++n);
    }
    *ret_start = start;
    *ret_next = next;
}

/* Hours follow one another from the year's start: where local time shifts by half an hour they
 * stay real hours. */
static void hour_around(int64_t s, int64_t *ret_start, int64_t *ret_next)
{
    int64_t year, next_year;
    period_around(YEAR, s, &year, &next_year);
    *ret_start = s - (s - year) % HOUR_S;
    *ret_next = MIN_OF(*ret_start + HOUR_S, next_year);
}

/* Each thread remembers the latest period of each kind: it is nearly always the one asked for, and
 * finding it takes some fifty calls of the C library. */
static void around(enum calendar_period p, int64_t wall_ns, int64_t *ret_start, int64_t *ret_next)
{
    static _Thread_local struct {
        int64_t start, next;
        unsigned zone;
    } latest[CALENDAR_PERIODS_N];
    int64_t s = wall_ns / NS_PER_S - (wall_ns % NS_PER_S < 0);
    unsigned zone = atomic_load_explicit(&zones_set, memory_order_relaxed) + 1;
    ASSERT((unsigned)p < CALENDAR_PERIODS_N);
    if (latest[p].zone != zone || s < latest[p].start || s >= latest[p].next) {
        if (p == CALENDAR_HOUR)
            hour_around(s, &latest[p].start, &latest[p].next);
        else
            period_around(p, s, &latest[p].start, &latest[p].next);
        latest[p].zone = zone;
    }
    *ret_start = latest[p].start;
    *ret_next = latest[p].next;
}

int64_t calendar_start(enum calendar_period p, int64_t wall_ns)
{
    int64_t start, next;
    around(p, wall_ns, &start, &next);
    return start * NS_PER_S;
}

int64_t calendar_next(enum calendar_period p, int64_t wall_ns)
{
    int64_t start, next;
    around(p, wall_ns, &start, &next);
    return next * NS_PER_S;
}

void steady_wall_init(struct steady_wall *w, int64_t mono_ns, int64_t wall_ns)
{
    *w = (struct steady_wall){.mono_ns = mono_ns, .wall_ns = wall_ns};
}

int64_t steady_wall_ns(struct steady_wall *w, int64_t mono_ns, int64_t wall_ns)
{
    int64_t passed = MAX_OF(mono_ns - w->mono_ns, (int64_t)0);
    int64_t even = w->wall_ns + passed, most = passed / 100;
    int64_t now = MAX_OF(even - most, MIN_OF(even + most, wall_ns));
    w->mono_ns += passed;
    w->wall_ns = now;
    return now;
}
