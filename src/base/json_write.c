/* JSON writing. */
#include "base/json_write.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* 0: stands for itself; otherwise the letter behind the backslash, or 'u'. */
static const char escape_of[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
    ['\t'] = 't', [0] = 'u',     [1] = 'u',    [2] = 'u',    [3] = 'u',    [4] = 'u',
    [5] = 'u',    [6] = 'u',     [7] = 'u',    [11] = 'u',   [14] = 'u',   [15] = 'u',
    [16] = 'u',   [17] = 'u',    [18] = 'u',   [19] = 'u',   [20] = 'u',   [21] = 'u',
    [22] = 'u',   [23] = 'u',    [24] = 'u',   [25] = 'u',   [26] = 'u',   [27] = 'u',
    [28] = 'u',   [29] = 'u',    [30] = 'u',   [31] = 'u',   [127] = 'u',
};

static void put_escape(struct buf *b, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char e = escape_of[c];
    if (e == 'u') {
        char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        buf_append(b, text, sizeof text);
    } else {
        buf_append(b, (char[2]){'\\', e}, 2);
    }
}

/* Length of the valid UTF-8 sequence at the start of `s`, or 0. */
static size_t sequence_length(struct slice s)
{
    unsigned char c = (unsigned char)*s.p;
    if (c < 0x80)
        return 1;
    size_t n = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n > 0 && n <= s.n && utf8_valid(slice_of(s.p, n)) ? n : 0;
}

static void put_repaired(struct buf *b, struct slice s)
{
    while (s.n > 0) {
        size_t n = sequence_length(s);
        if (n == 0)
            buf_lit(b, "\xEF\xBF\xBD");
        else if (escape_of[(unsigned char)*s.p])
            put_escape(b, (unsigned char)*s.p);
        else
            buf_append(b, s.p, n);
        s = slice_from(s, n ? n : 1);
    }
}

/* Whether none of the eight bytes of `w` is an escape's business or beyond ASCII: a subtraction
 * sets a high bit where a byte is below 0x20, or is one of the three others (after "Bit Twiddling
 * Hacks", S. E. Anderson). */
static bool plain8(uint64_t w)
{
    const uint64_t ones = UINT64_MAX / 255, high = ones * 0x80;
    uint64_t quote = (w ^ ones * '"') - ones, backslash = (w ^ ones * '\\') - ones;
    uint64_t del = (w ^ ones * 0x7F) - ones, control = w - ones * 0x20;
    return ((quote | backslash | del | control | w) & high) == 0;
}

size_t json_plain(struct slice s)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= s.n; i += 16) { /* signed: what is beyond ASCII is less than 0 */
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));
        __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
        __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
        __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
        __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7F));
        __m128i any = _mm_or_si128(_mm_or_si128(low, quote), _mm_or_si128(backslash, del));
        int found = _mm_movemask_epi8(any);
        if (found != 0)
            return i + (size_t)__builtin_ctz((unsigned)found);
    }
#endif
    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        if (!plain8(w))
            break;
    }
    while (i < s.n && (signed char)s.p[i] >= 0 && !escape_of[(unsigned char)s.p[i]])
        i++;
    return i;
}

static void put_escaped(struct buf *b, struct slice s)
{
    size_t plain = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (likely(!escape_of[c]))
            continue;
        buf_append(b, s.p + plain, i - plain);
        put_escape(b, c);
        plain = i + 1;
    }
    buf_append(b, s.p + plain, s.n - plain);
}

void json_put_string(struct buf *b, struct slice s)
{
    buf_char(b, '"');
    if (json_plain(s) == s.n)
        buf_slice(b, s);
    else if (utf8_valid(s))
        put_escaped(b, s);
    else
        put_repaired(b, s);
    buf_char(b, '"');
}

void jw_open(struct json_writer *w, char bracket)
{
    jw_before_value(w);
    buf_char(w->b, bracket);
    w->comma = false;
}

void jw_close(struct json_writer *w, char bracket)
{
    buf_char(w->b, bracket);
    w->comma = true;
}

void jw_key_slice(struct json_writer *w, struct slice key)
{
    jw_before_value(w);
    json_put_string(w->b, key);
    buf_char(w->b, ':');
    w->comma = false;
}

void jw_string(struct json_writer *w, struct slice s)
{
    jw_before_value(w);
    json_put_string(w->b, s);
}

void jw_i64(struct json_writer *w, int64_t v)
{
    jw_before_value(w);
    buf_i64(w->b, v);
}

void jw_double(struct json_writer *w, double v)
{
    jw_before_value(w);
    if (!isfinite(v))
        buf_lit(w->b, "null");
    else
        buf_printf(w->b, "%.17g", v);
}

void jw_money(struct json_writer *w, int64_t nano)
{
    jw_before_value(w);
    buf_money(w->b, nano);
    w->comma = true;
}

void jw_bool(struct json_writer *w, bool v)
{
    jw_before_value(w);
    buf_slice(w->b, v ? SLICE("true") : SLICE("false"));
}

void jw_null(struct json_writer *w)
{
    jw_before_value(w);
    buf_lit(w->b, "null");
}

void jw_raw(struct json_writer *w, struct slice json)
{
    jw_before_value(w);
    buf_slice(w->b, json);
}
