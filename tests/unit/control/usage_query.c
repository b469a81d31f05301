/* Times and parameters of the usage API. */
#include "usage_query.h"

#include <stdlib.h>

#include "base/clock.h"
#include "check.h"
#include "policy/calendar.h"

#define NOON INT64_C(1795262400) /* 2026-11-21T12:00:00Z, a Saturday */

static struct arena arena;

static struct usage_ask ask(const char *query)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 1 << 20);
    return (struct usage_ask){
        .query = slice_str(query), .wall_ns = NOON * NS_PER_S, .arena = &arena};
}

static void zone(const char *name)
{
    CHECK(calendar_set_zone(slice_str(name)));
}

static void check_time(int64_t ns, const char *want)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(ns, text);
    CHECK_EQ_STR(text, want);
}

static void check_window(const char *from, const char *to, const char *want_from,
                         const char *want_to)
{
    struct usage_ask q = ask("");
    struct usage_window w = {0, 0};
    check_note("from=%s to=%s", from, to);
    bool ok = usage_window_read(&q, slice_str(from), slice_str(to), 4000 * USAGE_DAY_NS, &w);
    CHECK_EQ_STR(ok ? "" : q.why, "");
    check_time(w.from_ns, want_from);
    check_time(w.to_ns, want_to);
}

TEST(windows)
{
    zone("UTC");
    check_window("", "", "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z");
    check_window("last-month", "", "2026-10-01T00:00:00.000Z", "2026-11-01T00:00:00.000Z");
    check_window("this-week", "", "2026-11-16T00:00:00.000Z", "2026-11-23T00:00:00.000Z");
    check_window("last-week", "", "2026-11-09T00:00:00.000Z", "2026-11-16T00:00:00.000Z");
    check_window("yesterday", "", "2026-11-20T00:00:00.000Z", "2026-11-21T00:00:00.000Z");
    check_window("2026-02", "", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z");
    check_window("2026-11-01", "", "2026-11-01T00:00:00.000Z", "2026-11-21T12:00:00.000Z");
    check_window("2026-11-01", "2026-11-02", "2026-11-01T00:00:00.000Z",
                 "2026-11-03T00:00:00.000Z");
    check_window("2026-10", "2026-11", "2026-10-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z");
    check_window("30d", "", "2026-10-23T00:00:00.000Z", "2026-11-21T12:00:00.000Z");
    check_window("1d", "", "2026-11-21T00:00:00.000Z", "2026-11-21T12:00:00.000Z");
    check_window("12h", "", "2026-11-21T00:00:00.000Z", "2026-11-21T12:00:00.000Z");
    check_window("60d", "30d", "2026-09-23T00:00:00.000Z", "2026-10-23T00:00:00.000Z");
    check_window("2026-11-20T10:00:00+02:00", "2026-11-20T10:00:00Z", "2026-11-20T08:00:00.000Z",
                 "2026-11-20T10:00:00.000Z");
}

/* Days begin at local midnight, and may have 23 or 25 hours. */
TEST(windows_elsewhere)
{
    zone("Europe/Berlin");
    check_window("last-month", "", "2026-09-30T22:00:00.000Z", "2026-10-31T23:00:00.000Z");
    check_window("2026-10-25", "2026-10-25", "2026-10-24T22:00:00.000Z",
                 "2026-10-25T23:00:00.000Z");
    check_window("30d", "", "2026-10-22T22:00:00.000Z", "2026-11-21T12:00:00.000Z");
    zone("Pacific/Kiritimati"); /* 14 hours ahead: it is the 22nd */
    check_window("2026-11-21", "2026-11-21", "2026-11-20T10:00:00.000Z",
                 "2026-11-21T10:00:00.000Z");
    check_window("yesterday", "", "2026-11-20T10:00:00.000Z", "2026-11-21T10:00:00.000Z");
    zone("Pacific/Pago_Pago"); /* 11 hours behind */
    check_window("2026-11-21", "2026-11-21", "2026-11-21T11:00:00.000Z",
                 "2026-11-22T11:00:00.000Z");
    zone("UTC");
}

static void check_refused(const char *from, const char *to, const char *want)
{
    struct usage_ask q = ask("");
    struct usage_window w;
    check_note("from=%s to=%s", from, to);
    CHECK(!usage_window_read(&q, slice_str(from), slice_str(to), 100 * USAGE_DAY_NS, &w));
    CHECK_EQ_U64(q.status, 400);
    CHECK_EQ_SLICE(slice_of(q.why, MIN_OF(strlen(q.why), strlen(want))), slice_str(want));
}

TEST(bad_times)
{
    zone("UTC");
    check_refused("last-mont", "", "`from` cannot be `last-mont` (did you mean `last-month`?)");
    check_refused("2026-02-30", "", "`from` cannot be `2026-02-30`; write a time as 2026-11-01");
    check_refused("2026-13", "", "`from` cannot be `2026-13`");
    check_refused("-3d", "", "`from` cannot be `-3d`");
    check_refused("0d", "", "`from` cannot be `0d`");
    check_refused("99999999d", "", "`from` cannot be `99999999d`");
    check_refused("1970-01-01", "", "`from` cannot be");
    check_refused("3000-01-01", "", "`from` cannot be");
    check_refused("", "2026-11-01", "`to` needs a `from`");
    check_refused("2026-11-02", "2026-11-01", "`from` is not before `to`");
    check_refused("2025-01", "2026-01", "the time from `from` to `to` is longer than 100 days");
    check_refused("2027-01-01", "", "`from` is not before `to`");
}

TEST(time_before)
{
    static const struct {
        const char *from, *to, *want_from, *want_to;
    } rows[] = {
        {"last-month", "", "2026-09-01T00:00:00.000Z", "2026-10-01T00:00:00.000Z"},
        {"2026-01", "2026-03", "2025-10-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"},
        {"2026-11-01", "now", "2026-10-01T00:00:00.000Z", "2026-10-21T12:00:00.000Z"},
        {"2026-03-01", "2026-03-30", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"},
        {"2026-11-10", "2026-11-11", "2026-11-08T00:00:00.000Z", "2026-11-10T00:00:00.000Z"},
    };
    zone("UTC");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct usage_ask q = ask("");
        struct usage_window w;
        check_note("%s %s", rows[i].from, rows[i].to);
        CHECK(usage_window_read(&q, slice_str(rows[i].from), slice_str(rows[i].to),
                                4000 * USAGE_DAY_NS, &w));
        w = usage_window_before(&w);
        check_time(w.from_ns, rows[i].want_from);
        check_time(w.to_ns, rows[i].want_to);
    }
}

TEST(parameters)
{
    struct slice by = SLICE("total"), name = SLICE_NONE;
    const struct usage_param rows[] = {{"by", &by}, {"use_case", &name}};
    struct usage_ask q = ask("use_case=a+b%26c&");
    CHECK(usage_params(&q, rows, ARRAY_LEN(rows)));
    CHECK_EQ_LIT(by, "total");
    CHECK_EQ_LIT(name, "a b&c");
    q = ask("by=key&by=team");
    CHECK(!usage_params(&q, rows, ARRAY_LEN(rows)));
    CHECK_EQ_STR(q.why, "`by` is given twice");
    q = ask("usecase=x");
    CHECK(!usage_params(&q, rows, ARRAY_LEN(rows)));
    CHECK_EQ_STR(q.why, "unknown parameter `usecase` (did you mean `use_case`?)");
    q = ask("colour=red");
    CHECK(!usage_params(&q, rows, ARRAY_LEN(rows)));
    CHECK_EQ_STR(q.why, "unknown parameter `colour`; there are by, use_case");
    q = ask("by=%zz");
    CHECK(!usage_params(&q, rows, ARRAY_LEN(rows)));
    CHECK_EQ_U64(q.status, 400);
}

TEST(words_and_numbers)
{
    static const char *const words[] = {"cost", "name", NULL};
    struct usage_ask q = ask("");
    int64_t v = 7;
    CHECK_EQ_I64(usage_word(&q, "sort", SLICE("name"), words), 1);
    CHECK_EQ_I64(usage_word(&q, "sort", SLICE("nam"), words), -1);
    CHECK_EQ_STR(q.why, "`sort` cannot be `nam` (did you mean `name`?)");
    CHECK_EQ_I64(usage_word(&q, "sort", SLICE("price-per-use"), words), -1);
    CHECK_EQ_STR(q.why, "`sort` cannot be `price-per-use`; it is one of cost, name");
    CHECK(!usage_number(&q, "limit", SLICE("0"), 1, 9, &v));
    CHECK(!usage_number(&q, "limit", SLICE("10"), 1, 9, &v));
    CHECK(!usage_number(&q, "limit", SLICE("-1"), 1, 9, &v));
    CHECK(!usage_number(&q, "limit", SLICE("18446744073709551616"), 1, 9, &v));
    CHECK_EQ_I64(v, 7);
    CHECK(usage_number(&q, "limit", SLICE("9"), 1, 9, &v));
    CHECK_EQ_I64(v, 9);
    arena_reset(&arena);
}
