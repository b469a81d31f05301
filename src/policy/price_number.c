/* Numbers and days as they stand in tables of prices. */
#include "price_number.h"

#include "price_table.h"

#define NUMBER_MAX   (INT64_C(1) << 62)
#define EXPONENT_MAX 400

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digit by digit: `scale` is where the decimal point goes, counted from the digit at hand. */
bool price_number(struct slice raw, int scale, int64_t *ret)
{
    int exponent = 0;
    bool minus = false;
    size_t end = 0, point = raw.n;
    if (raw.n == 0 || raw.p[0] == '-')
        return false;
    while (end < raw.n && raw.p[end] != 'e' && raw.p[end] != 'E') {
        if (raw.p[end] == '.')
            point = end;
        end++;
    }
    for (size_t i = end + 1; i < raw.n; i++) {
        if (is_digit(raw.p[i]) && exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (raw.p[i] - '0');
        minus |= raw.p[i] == '-';
    }
    int64_t v = 0, places = (int64_t)scale + (minus ? -exponent : exponent);
    places += (int64_t)MIN_OF(point, end); /* digits in all that count */
    for (size_t i = 0; i < end || places > 0; i++) {
        char c = i < end ? raw.p[i] : '0';
        if (c == '.')
            continue;
        if (places <= 0) {
            v += places == 0 && c >= '5';
            break;
        }
        if (v > NUMBER_MAX / 10 - 1)
            return false;
        v = v * 10 + (c - '0');
        if (v == 0 && i >= end)
            break; /* nothing but zeros */
        places--;
    }
    *ret = v;
    return true;
}

bool price_read_day(struct slice s, int32_t *ret)
{
    static const uint8_t days_of[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t y, m, d;
    if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-' || !slice_to_u64(slice_of(s.p, 4), &y) ||
        !slice_to_u64(slice_of(s.p + 5, 2), &m) || !slice_to_u64(slice_of(s.p + 8, 2), &d))
        return false;
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (y < 1970 || m < 1 || m > 12 || d < 1 || d > days_of[m - 1] || (m == 2 && d == 29 && !leap))
        return false;
    /* Days from civil, counted in years that begin in March (Howard Hinnant, "chrono-Compatible
     * Low-Level Date Algorithms"). */
    uint64_t year = m <= 2 ? y - 1 : y, era = year / 400, of_era = year - era * 400;
    uint64_t of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    uint64_t of_era_days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    *ret = (int32_t)((int64_t)(era * 146097 + of_era_days) - 719468);
    return true;
}

void price_put_place(struct buf *out, const char *text, size_t offset)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    buf_printf(out, "%zu:%zu: ", line, column);
}
