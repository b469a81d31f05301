/* Periods over the edges of time zones (figures from Python's zoneinfo), and the steady clock. */
#include "policy/calendar.h"

#include <limits.h>

#include "base/clock.h"
#include "check.h"

static void zone(const char *name)
{
    check_note("%s", name);
    CHECK(calendar_set_zone(slice_str(name)));
}

/* The period of `at` is [start, next), all in seconds. */
static void period(enum calendar_period p, int64_t at, int64_t start, int64_t next)
{
    CHECK_EQ_I64(calendar_start(p, at * NS_PER_S) / NS_PER_S, start);
    CHECK_EQ_I64(calendar_next(p, at * NS_PER_S) / NS_PER_S, next);
}

TEST(zones_that_exist)
{
    CHECK(calendar_zone_exists(SLICE("UTC")));
    CHECK(calendar_zone_exists(SLICE("Europe/Berlin")));
    CHECK(calendar_zone_exists(SLICE("America/Argentina/Buenos_Aires")));
    CHECK(calendar_zone_exists(SLICE("Etc/GMT+5")));
}

TEST(zones_that_do_not)
{
    static const char *const names[] = {"",
                                        "Europe",
                                        "Europe/",
                                        "Europe/Nowhere",
                                        "/etc/localtime",
                                        "../../../etc/localtime",
                                        "Europe/../UTC",
                                        "right/Europe/Berlin",
                                        "tzdata.zi",
                                        "CET-1CEST",
                                        ":UTC",
                                        "Europe/Berlin ",
                                        "utc\n"};
    zone("Asia/Kolkata");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        check_note("%s", names[i]);
        CHECK(!calendar_zone_exists(slice_str(names[i])));
        CHECK(!calendar_set_zone(slice_str(names[i])));
    }
    CHECK(!calendar_set_zone(slice_of("UTC\0/x", 6)));
    char big[4096];
    memset(big, 'a', sizeof big);
    CHECK(!calendar_zone_exists(slice_of(big, sizeof big)));
    period(CALENDAR_HOUR, 1795249800 + 1, 1795249800, 1795249800 + 3600);
    zone("UTC");
}

TEST(utc)
{
    zone("UTC");
    period(CALENDAR_HOUR, 1795271643, 1795269600, 1795273200);
    period(CALENDAR_DAY, 1795271643, 1795219200, 1795305600);
    period(CALENDAR_WEEK, 1795271643, 1794787200, 1795392000); /* a Saturday */
    period(CALENDAR_MONTH, 1795271643, 1793491200, 1796083200);
    period(CALENDAR_WEEK, 1794787200, 1794787200, 1795392000);
    period(CALENDAR_WEEK, 1794787199, 1794182400, 1794787200);
}

TEST(before_1970)
{
    zone("UTC");
    period(CALENDAR_MONTH, -1, -2678400, 0);
    period(CALENDAR_WEEK, -1, -259200, 345600);
    CHECK_EQ_I64(calendar_start(CALENDAR_DAY, -1), -86400 * NS_PER_S);
    CHECK_EQ_I64(calendar_start(CALENDAR_HOUR, -1), -3600 * NS_PER_S);
    CHECK_EQ_I64(calendar_next(CALENDAR_HOUR, -1), 0);
}

TEST(days_of_23_and_25_hours)
{
    zone("Europe/Berlin");
    period(CALENDAR_DAY, 1774738800, 1774738800, 1774821600);
    period(CALENDAR_DAY, 1774821599, 1774738800, 1774821600);
    period(CALENDAR_DAY, 1792900000, 1792879200, 1792969200);
    period(CALENDAR_MONTH, 1792900000, 1790805600, 1793487600);
    period(CALENDAR_WEEK, 1798757999, 1798412400, 1799017200); /* over the year's end */
    period(CALENDAR_HOUR, 1798757999, 1798754400, 1798758000);
    zone("UTC");
}

TEST(an_hour_that_comes_twice_is_two)
{
    zone("Europe/Berlin");
    period(CALENDAR_HOUR, 1792888200, 1792886400, 1792890000);
    period(CALENDAR_HOUR, 1792891800, 1792890000, 1792893600);
    zone("UTC");
}

TEST(hours_of_zones_between)
{
    zone("Asia/Kolkata");
    period(CALENDAR_HOUR, 1795249800, 1795249800, 1795253400);
    period(CALENDAR_MONTH, 1795249800, 1793471400, 1796063400);
    zone("Australia/Lord_Howe"); /* its summer time is half an hour */
    period(CALENDAR_HOUR, 1775313900, 1775311200, 1775314800);
    period(CALENDAR_HOUR, 1775315700, 1775314800, 1775318400);
    zone("UTC");
}

TEST(midnights_that_are_skipped_or_come_twice)
{
    zone("America/Sao_Paulo");
    period(CALENDAR_DAY, 1541300400, 1541300400, 1541383200);
    CHECK_EQ_I64(calendar_next(CALENDAR_DAY, 1541300399 * NS_PER_S), 1541300400 * NS_PER_S);
    zone("America/Havana");
    period(CALENDAR_DAY, 1793505600, 1793505600, 1793595600);
    period(CALENDAR_DAY, 1793509200, 1793505600, 1793595600);
    period(CALENDAR_MONTH, 1793509200, 1793505600, 1796101200);
    zone("Pacific/Apia"); /* had no 30th of December 2011 */
    period(CALENDAR_DAY, 1325152800, 1325152800, 1325239200);
    period(CALENDAR_DAY, 1325239200, 1325239200, 1325325600);
    zone("UTC");
}

static void check_follows(enum calendar_period p, int64_t at)
{
    static const int64_t least[] = {0, 20, 6 * 24, 27 * 24}, most[] = {1, 48, 9 * 24, 33 * 24};
    int64_t start = calendar_start(p, at), next = calendar_next(p, at);
    CHECK(start <= at && at < next);
    CHECK_EQ_I64(calendar_start(p, start), start);
    CHECK_EQ_I64(calendar_next(p, start), next);
    CHECK_EQ_I64(calendar_start(p, next), next);
    CHECK_EQ_I64(calendar_next(p, next - 1), next);
    CHECK(next - start >= least[p] * 3600 * NS_PER_S && next - start <= most[p] * 3600 * NS_PER_S);
}

TEST(periods_follow_one_another_everywhere)
{
    static const char *const zones[] = {"UTC",
                                        "Europe/Berlin",
                                        "America/St_Johns",
                                        "America/Havana",
                                        "Australia/Lord_Howe",
                                        "Pacific/Apia",
                                        "Pacific/Kiritimati",
                                        "Asia/Pyongyang",
                                        "Africa/Casablanca",
                                        "Antarctica/Troll",
                                        "America/Nuuk",
                                        "Asia/Gaza"};
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        zone(zones[i]);
        for (int n = 0; n < 100; n++) {
            int64_t at = (int64_t)check_random_below(3000000000u) * NS_PER_S - NS_PER_S * 500000000;
            check_note("%s at %lld", zones[i], (long long)(at / NS_PER_S));
            for (unsigned p = 0; p < CALENDAR_PERIODS_N; p++)
                check_follows((enum calendar_period)p, at);
        }
    }
    zone("UTC");
}

TEST(steady_clock_follows_without_steps)
{
    struct steady_wall w;
    steady_wall_init(&w, 1000, 5000 * NS_PER_S);
    CHECK_EQ_I64(steady_wall_ns(&w, 1000 + NS_PER_S, 5001 * NS_PER_S), 5001 * NS_PER_S);
    /* The machine's clock jumps ahead by an hour, then back by a day. */
    CHECK_EQ_I64(steady_wall_ns(&w, 1000 + 2 * NS_PER_S, 8602 * NS_PER_S),
                 5002 * NS_PER_S + 10 * NS_PER_MS);
    CHECK_EQ_I64(steady_wall_ns(&w, 1000 + 3 * NS_PER_S, -80000 * NS_PER_S), 5003 * NS_PER_S);
    /* A small difference is made up for at once. */
    CHECK_EQ_I64(steady_wall_ns(&w, 1000 + 4 * NS_PER_S, 5004 * NS_PER_S + 7), 5004 * NS_PER_S + 7);
}

TEST(steady_clock_never_goes_back)
{
    struct steady_wall w;
    int64_t mono = 0, last = 1000 * NS_PER_S;
    steady_wall_init(&w, mono, last);
    for (int i = 0; i < 10000; i++) {
        int64_t passed = (int64_t)check_random_below(check_random_below(2) ? 50 : 2000000000);
        int64_t wall = (int64_t)check_random_below(2000) * NS_PER_S;
        mono += passed;
        int64_t now = steady_wall_ns(&w, mono, wall);
        CHECK(now >= last && now - last <= passed + passed / 100 &&
              now - last >= passed - passed / 100);
        last = now;
    }
    CHECK_EQ_I64(steady_wall_ns(&w, mono - 50, INT64_MAX), last);
}

TEST(steady_clock_survives_absurd_clocks)
{
    struct steady_wall w;
    steady_wall_init(&w, 0, 1795271643 * NS_PER_S);
    CHECK_EQ_I64(steady_wall_ns(&w, 100, INT64_MIN), 1795271643 * NS_PER_S + 99);
    CHECK_EQ_I64(steady_wall_ns(&w, 200, INT64_MAX), 1795271643 * NS_PER_S + 200);
}
