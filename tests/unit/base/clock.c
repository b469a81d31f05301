/* Clocks, stamps and durations. */
#include "base/clock.h"

#include "check.h"

TEST(clocks_run)
{
    int64_t last = clock_mono_ns();
    CHECK(last > 0);
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();
        CHECK(now >= last);
        last = now;
    }
    CHECK(clock_wall_ns() > INT64_C(1700000000) * NS_PER_S);
}

TEST(rfc3339)
{
    static const struct {
        int64_t ns;
        const char *want;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999999, "1970-01-01T00:00:00.000Z"}, /* cut, not rounded */
        {INT64_C(1795232160123) * NS_PER_MS, "2026-11-21T03:36:00.123Z"},
        {INT64_C(1795232160999) * NS_PER_MS + 999999, "2026-11-21T03:36:00.999Z"}, /* same second */
        {INT64_C(1795232161000) * NS_PER_MS, "2026-11-21T03:36:01.000Z"},
        {INT64_C(1709208000) * NS_PER_S, "2024-02-29T12:00:00.000Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-NS_PER_S, "1969-12-31T23:59:59.000Z"},
        {-1500 * NS_PER_MS, "1969-12-31T23:59:58.500Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[CLOCK_RFC3339_SIZE];
        check_note("row %zu", i);
        clock_format_rfc3339(rows[i].ns, out);
        CHECK_EQ_STR(out, rows[i].want);
    }
}

TEST(durations)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"0s", 0},
        {"00", 0},
        {"1us", 1000},
        {"250ms", 250 * NS_PER_MS},
        {"10s", 10 * NS_PER_S},
        {"5m", 300 * NS_PER_S},
        {"2h", 7200 * NS_PER_S},
        {"1d", 86400 * NS_PER_S},
        {"106751d", INT64_C(106751) * 86400 * NS_PER_S},
        {"106752d", -1}, /* over 292 years */
        {"9223372036854775us", INT64_C(9223372036854775000)},
        {"9223372036854776us", -1},
        {"9223372036854775808us", -1},
        {"18446744073709551616s", -1},
        {"", -1},
        {"s", -1},
        {"10", -1},
        {"-1s", -1},
        {"+1s", -1},
        {"1.5s", -1},
        {"1 s", -1},
        {" 1s", -1},
        {"1s ", -1},
        {"1S", -1},
        {"1sec", -1},
        {"1m30s", -1},
        {"1ns", -1},
        {"1w", -1},
        {"0x1s", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = 77;
        check_note("\"%s\"", rows[i].text);
        bool ok = clock_parse_duration(rows[i].text, strlen(rows[i].text), &ns);
        CHECK_EQ_I64(ok, rows[i].want >= 0);
        CHECK_EQ_I64(ns, ok ? rows[i].want : 77);
    }
    int64_t ns = 77;
    CHECK(!clock_parse_duration(NULL, 0, &ns));
    CHECK(!clock_parse_duration("1s\0", 3, &ns));
    CHECK(clock_parse_duration("1sX", 2, &ns) && ns == NS_PER_S);
}
