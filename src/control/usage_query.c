/* Parameters and times of the usage API. */
#include "usage_query.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "config_amount.h"
#include "net/http.h"
#include "policy/calendar.h"

#define TIME_WORDS                                                                                 \
    "2026-11-01, 2026-11, 2026-11-01T08:00:00Z, 30d, today, yesterday, this-week, last-week, "     \
    "this-month, last-month"
#define SHOWN 60 /* bytes of a wrong value that are repeated */

bool usage_fail(struct usage_ask *q, unsigned status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(q->why, sizeof q->why, fmt, args);
    va_end(args);
    q->status = status;
    return false;
}

static int shown(struct slice s)
{
    return (int)MIN_OF(s.n, (size_t)SHOWN);
}

/* The word nearest to `given`, or NULL when none is near. */
static const char *nearest_of(struct slice given, const char *best, const char *word,
                              unsigned *distance)
{
    unsigned d = slice_distance(given, slice_str(word), *distance);
    if (d >= *distance || d >= strlen(word))
        return best;
    *distance = d;
    return word;
}

static bool unknown_param(struct usage_ask *q, struct slice name, const struct usage_param *rows,
                          size_t n)
{
    const char *best = NULL;
    unsigned distance = 4;
    for (size_t i = 0; i < n; i++)
        best = nearest_of(name, best, rows[i].name, &distance);
    if (best != NULL)
        return usage_fail(q, 400, "unknown parameter `%.*s` (did you mean `%s`?)", shown(name),
                          name.p, best);
    char list[200] = "";
    for (size_t i = 0, at = 0; i < n && at < sizeof list; i++)
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", rows[i].name);
    return usage_fail(q, 400, "unknown parameter `%.*s`; there are %s", shown(name), name.p, list);
}

static bool decode(struct usage_ask *q, struct slice raw, struct slice *ret)
{
    char *out = arena_str(q->arena, raw);
    if (out == NULL)
        return usage_fail(q, 500, "out of memory");
    for (size_t i = 0; i < raw.n; i++)
        out[i] = out[i] == '+' ? ' ' : out[i];
    ptrdiff_t n = http_percent_decode(slice_of(out, raw.n), out);
    if (n < 0)
        return usage_fail(q, 400, "the query has a broken escape");
    *ret = slice_of(out, (size_t)n);
    return true;
}

bool usage_params(struct usage_ask *q, const struct usage_param *rows, size_t n)
{
    struct slice rest = q->query;
    uint64_t seen = 0;
    while (rest.n > 0) {
        struct slice value = slice_cut(&rest, '&'), name = slice_cut(&value, '=');
        size_t i = 0;
        if (name.n == 0 && value.n == 0)
            continue;
        if (!decode(q, name, &name))
            return false;
        while (i < n && !slice_is(name, rows[i].name))
            i++;
        if (i == n)
            return unknown_param(q, name, rows, n);
        if ((seen & UINT64_C(1) << i) != 0)
            return usage_fail(q, 400, "`%s` is given twice", rows[i].name);
        seen |= UINT64_C(1) << i;
        if (!decode(q, value, rows[i].value))
            return false;
    }
    return true;
}

int usage_word(struct usage_ask *q, const char *param, struct slice value, const char *const *words)
{
    const char *best = NULL;
    unsigned distance = 4;
    char list[200] = "";
    size_t at = 0;
    for (int i = 0; words[i] != NULL; i++) {
        if (slice_is(value, words[i]))
            return i;
        best = nearest_of(value, best, words[i], &distance);
        if (at < sizeof list)
            at +=
                (size_t)snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    if (best != NULL)
        usage_fail(q, 400, "`%s` cannot be `%.*s` (did you mean `%s`?)", param, shown(value),
                   value.p != NULL ? value.p : "", best);
    else
        usage_fail(q, 400, "`%s` cannot be `%.*s`; it is one of %s", param, shown(value),
                   value.p != NULL ? value.p : "", list);
    return -1;
}

bool usage_number(struct usage_ask *q, const char *param, struct slice value, int64_t least,
                  int64_t most, int64_t *ret)
{
    uint64_t v;
    if (!slice_to_u64(value, &v) || v > (uint64_t)most || (int64_t)v < least)
        return usage_fail(q, 400, "`%s` has to be a number from %lld to %lld", param,
                          (long long)least, (long long)most);
    *ret = (int64_t)v;
    return true;
}

/* ---- times */

static bool digits(struct slice s, size_t at, size_t n, int *ret)
{
    int v = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= s.n || s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *ret = v;
    return true;
}

/* The start of a date here. Noon in UTC is on that date or the next one, wherever one is. */
static bool date_start(int year, int month, int day, int64_t *ret_ns)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = 12};
    struct tm normal = tm, local = {0};
    time_t noon = timegm(&normal);
    if (year < 1971 || year > 2250 || normal.tm_mday != day || normal.tm_mon != month - 1)
        return false; /* carried over: there is no such date */
    localtime_r(&noon, &local);
    int64_t at = noon * NS_PER_S;
    *ret_ns = calendar_start(CALENDAR_DAY, local.tm_mday == day ? at : at - USAGE_DAY_NS);
    return true;
}

static bool parse_date(struct slice s, enum usage_time_kind *ret_kind, struct usage_window *ret)
{
    int year, month, day = 1;
    bool whole_month = s.n == 7;
    if ((s.n != 10 && !whole_month) || s.p[4] != '-' || !digits(s, 0, 4, &year) ||
        !digits(s, 5, 2, &month))
        return false;
    if (!whole_month && (s.p[7] != '-' || !digits(s, 8, 2, &day)))
        return false;
    if (!date_start(year, month, day, &ret->from_ns))
        return false;
    *ret_kind = whole_month ? TIME_SPAN : TIME_DAY;
    ret->to_ns = calendar_next(whole_month ? CALENDAR_MONTH : CALENDAR_DAY, ret->from_ns);
    return true;
}

/* The period that holds now, or the one before. */
static void calendar_window(enum calendar_period p, bool last, int64_t now,
                            struct usage_window *ret)
{
    ret->to_ns = calendar_next(p, now);
    ret->from_ns = calendar_start(p, now);
    if (last) {
        ret->to_ns = ret->from_ns;
        ret->from_ns = calendar_start(p, ret->to_ns - 1);
    }
}

static bool parse_word(struct slice s, int64_t now, struct usage_window *ret)
{
    static const struct {
        const char *word;
        enum calendar_period period;
        bool last;
    } words[] = {
        {"today", CALENDAR_DAY, false},        {"yesterday", CALENDAR_DAY, true},
        {"this-week", CALENDAR_WEEK, false},   {"last-week", CALENDAR_WEEK, true},
        {"this-month", CALENDAR_MONTH, false}, {"last-month", CALENDAR_MONTH, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_is(s, words[i].word))
            continue;
        calendar_window(words[i].period, words[i].last, now, ret);
        return true;
    }
    return false;
}

/* "30d" is whole days, the last of which is today; "12h" is the time before now. */
static bool parse_recent(struct slice s, int64_t now, struct usage_window *ret)
{
    int64_t ns;
    uint64_t days;
    if (s.n < 2 || (slice_is(s, "0d") || !clock_parse_duration(s.p, s.n, &ns)) || ns <= 0 ||
        ns > now)
        return false;
    *ret = (struct usage_window){now - ns, now};
    if (s.p[s.n - 1] != 'd' || !slice_to_u64(slice_of(s.p, s.n - 1), &days) || days > 4000)
        return s.p[s.n - 1] != 'd';
    ret->from_ns = calendar_start(CALENDAR_DAY, now);
    while (--days > 0)
        ret->from_ns = calendar_start(CALENDAR_DAY, ret->from_ns - 1);
    return true;
}

bool usage_time_parse(struct slice text, int64_t now_ns, enum usage_time_kind *ret_kind,
                      struct usage_window *ret)
{
    struct usage_window w = {now_ns, now_ns};
    enum usage_time_kind kind = TIME_POINT;
    bool ok = slice_is(text, "now") || parse_date(text, &kind, &w);
    if (!ok && parse_word(text, now_ns, &w)) {
        kind = TIME_SPAN;
        ok = true;
    }
    if (!ok && parse_recent(text, now_ns, &w)) {
        kind = TIME_RECENT;
        ok = true;
    }
    if (!ok && amount_parse_time(text, &w.from_ns)) {
        w.to_ns = w.from_ns;
        ok = true;
    }
    if (ok) {
        *ret = w;
        *ret_kind = kind;
    }
    return ok;
}

static bool bad_time(struct usage_ask *q, const char *param, struct slice text)
{
    static const char *const words[] = {"today",      "yesterday",  "this-week", "last-week",
                                        "this-month", "last-month", "now",       NULL};
    const char *best = NULL;
    unsigned distance = 4;
    for (int i = 0; words[i] != NULL && text.n > 3; i++)
        best = nearest_of(text, best, words[i], &distance);
    if (best != NULL)
        return usage_fail(q, 400, "`%s` cannot be `%.*s` (did you mean `%s`?)", param, shown(text),
                          text.p, best);
    return usage_fail(q, 400, "`%s` cannot be `%.*s`; write a time as %s", param, shown(text),
                      text.p, TIME_WORDS);
}

bool usage_window_read(struct usage_ask *q, struct slice from, struct slice to, int64_t most_ns,
                       struct usage_window *ret)
{
    struct usage_window start, end;
    enum usage_time_kind kind = TIME_SPAN, end_kind;
    if (from.n == 0 && to.n == 0)
        from = SLICE("this-month");
    if (from.n == 0)
        return usage_fail(q, 400, "`to` needs a `from`");
    if (!usage_time_parse(from, q->wall_ns, &kind, &start))
        return bad_time(q, "from", from);
    if (to.n > 0 && !usage_time_parse(to, q->wall_ns, &end_kind, &end))
        return bad_time(q, "to", to);
    if (to.n > 0)
        start.to_ns = end_kind == TIME_RECENT ? end.from_ns : end.to_ns;
    else if (kind != TIME_SPAN)
        start.to_ns = q->wall_ns;
    if (start.to_ns <= start.from_ns)
        return usage_fail(q, 400, "`from` is not before `to`");
    if (start.to_ns - start.from_ns > most_ns)
        return usage_fail(q, 400,
                          "the time from `from` to `to` is longer than %lld days, which is "
                          "the most for this step",
                          (long long)(most_ns / USAGE_DAY_NS));
    *ret = start;
    return true;
}

struct usage_window usage_window_before(const struct usage_window *w)
{
    struct usage_window before = {w->from_ns - (w->to_ns - w->from_ns), w->from_ns};
    if (calendar_start(CALENDAR_MONTH, w->from_ns) != w->from_ns)
        return before;
    int64_t last = calendar_start(CALENDAR_MONTH, w->from_ns - 1);
    if (w->to_ns < calendar_next(CALENDAR_MONTH, w->from_ns)) { /* part of a month */
        before.from_ns = last;
        before.to_ns = MIN_OF(last + (w->to_ns - w->from_ns), w->from_ns);
    } else if (calendar_start(CALENDAR_MONTH, w->to_ns) == w->to_ns) {
        before.from_ns = w->from_ns;
        for (int64_t at = w->from_ns; at < w->to_ns; at = calendar_next(CALENDAR_MONTH, at))
            before.from_ns = calendar_start(CALENDAR_MONTH, before.from_ns - 1);
    }
    return before;
}
