/* Dollars, percent and points in time: from text to numbers, and back. */
#include "config_amount.h"

#include <time.h>

#include "base/clock.h"

#define NANO           INT64_C(1000000000)
#define MONEY_DECIMALS 9
#define YEAR_LAST      2261 /* nanoseconds of Unix time end in 2262 */

const char *amount_parse_money(struct slice s, int64_t *ret_nano)
{
    static const char shape[] = "is not an amount of dollars: write 12, 12.50 or $12.50";
    bool negative = s.n > 0 && s.p[0] == '-';
    s = slice_from(s, negative);
    s = slice_from(s, s.n > 0 && s.p[0] == '$');
    struct slice decimals = s, whole = slice_cut(&decimals, '.');
    bool point = whole.n < s.n;
    uint64_t dollars, fraction = 0;
    int64_t nano;
    if (whole.n == 0 || (whole.n > 1 && whole.p[0] == '0') || (point && decimals.n == 0))
        return shape;
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < '0' || s.p[i] > '9') && i != whole.n)
            return shape;
    }
    if (point && decimals.n > MONEY_DECIMALS)
        return "has more than nine decimals";
    if (!slice_to_u64(whole, &dollars) || (point && !slice_to_u64(decimals, &fraction)))
        return "is too large";
    for (size_t i = point ? decimals.n : 0; i < MONEY_DECIMALS && fraction > 0; i++)
        fraction *= 10;
    if (dollars > INT64_MAX || __builtin_mul_overflow((int64_t)dollars, NANO, &nano) ||
        __builtin_add_overflow(nano, (int64_t)fraction, &nano))
        return "is too large";
    *ret_nano = negative ? -nano : nano;
    return NULL;
}

void amount_print_money(struct buf *out, int64_t nano)
{
    uint64_t v = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;
    uint64_t fraction = v % (uint64_t)NANO;
    int decimals = MONEY_DECIMALS;
    buf_printf(out, "%s%llu", nano < 0 ? "-" : "", (unsigned long long)(v / (uint64_t)NANO));
    if (fraction == 0)
        return;
    for (; decimals > 2 && fraction % 10 == 0; decimals--)
        fraction /= 10;
    buf_printf(out, ".%0*llu", decimals, (unsigned long long)fraction);
}

bool amount_parse_percent(struct slice s, int64_t *ret)
{
    uint64_t v;
    if (s.n > 0 && s.p[s.n - 1] == '%')
        s.n--;
    if (s.n == 0 || s.n > 9 || (s.n > 1 && s.p[0] == '0') || !slice_to_u64(s, &v))
        return false;
    *ret = (int64_t)v;
    return true;
}

/* A number of `n` digits that starts at `*at`, and what stands behind it. */
static bool take(struct slice s, size_t *at, size_t n, const char *behind, int *ret)
{
    int v = 0;
    if (s.n - *at < n)
        return false;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (s.p[*at] < '0' || s.p[*at] > '9')
            return false;
        v = v * 10 + (s.p[*at] - '0');
    }
    *ret = v;
    if (*behind == '\0')
        return true;
    return *at < s.n && strchr(behind, s.p[(*at)++]) != NULL;
}

/* The seconds' fraction and the zone: what is left of the text. */
static bool take_zone(struct slice s, size_t at, int64_t *ret_ns, int64_t *ret_zone_s)
{
    int hours, minutes;
    int64_t unit = NS_PER_S;
    *ret_ns = 0;
    if (at < s.n && s.p[at] == '.') {
        size_t first = ++at;
        for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++) {
            unit /= 10;
            *ret_ns += (s.p[at] - '0') * unit;
        }
        if (at == first)
            return false;
    }
    *ret_zone_s = 0;
    if (s.n - at == 1 && (s.p[at] == 'Z' || s.p[at] == 'z'))
        return true;
    if (s.n - at != 6 || (s.p[at] != '+' && s.p[at] != '-'))
        return false;
    int sign = s.p[at++] == '-' ? -1 : 1;
    if (!take(s, &at, 2, ":", &hours) || !take(s, &at, 2, "", &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *ret_zone_s = sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
    return true;
}

bool amount_parse_time(struct slice s, int64_t *ret_ns)
{
    int year, month, day, hour = 0, minute = 0, second = 0;
    int64_t ns = 0, zone_s = 0;
    size_t at = 0;
    if (!take(s, &at, 4, "-", &year) || !take(s, &at, 2, "-", &month) || !take(s, &at, 2, "", &day))
        return false;
    if (at < s.n && (strchr("Tt ", s.p[at++]) == NULL || !take(s, &at, 2, ":", &hour) ||
                     !take(s, &at, 2, ":", &minute) || !take(s, &at, 2, "", &second) ||
                     !take_zone(s, at, &ns, &zone_s)))
        return false;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    int64_t at_s = (int64_t)timegm(&tm) - zone_s;
    /* timegm carries what overflows: the 30th of February becomes another day */
    if (tm.tm_mon != month - 1 || tm.tm_mday != day || tm.tm_hour != hour || tm.tm_min != minute ||
        tm.tm_sec != second || year < 1970 || year > YEAR_LAST || at_s <= 0)
        return false;
    *ret_ns = at_s * NS_PER_S + ns;
    return true;
}

void amount_print_time(struct buf *out, int64_t ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(ns, text);
    buf_printf(out, "%s", text);
}
