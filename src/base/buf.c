/* Growing byte buffer with a ceiling. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_done(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->cap);
}

static bool grow(struct buf *b, size_t need)
{
    size_t size = b->size ? b->size : 256;
    if (b->failed || need > b->cap) {
        b->failed = true;
        return false;
    }
    while (size < need)
        size = size > b->cap / 2 ? b->cap : size * 2;
    size = MIN_OF(size, b->cap);
    char *p = mem_realloc(b->p, size);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->size = size;
    return true;
}

bool buf_reserve(struct buf *b, size_t more)
{
    size_t need;
    if (unlikely(b->failed || __builtin_add_overflow(b->n, more, &need))) {
        b->failed = true;
        return false;
    }
    return need <= b->size || grow(b, need);
}

void buf_append_slow(struct buf *b, const void *p, size_t n)
{
    if (n == 0 || !buf_reserve(b, n))
        return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char text[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof text) {
        buf_append(b, text, (size_t)n);
    } else if (buf_reserve(b, (size_t)n + 1)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

size_t u64_digits(uint64_t v, char *out)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char tmp[20];
    size_t at = sizeof tmp;
    while (v >= 10) {
        at -= 2;
        memcpy(tmp + at, pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (v > 0 || at == sizeof tmp)
        tmp[--at] = (char)('0' + v);
    memcpy(out, tmp + at, sizeof tmp - at);
    return sizeof tmp - at;
}

void buf_i64(struct buf *b, int64_t v)
{
    char text[21] = "-";
    size_t sign = v < 0;
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    buf_append(b, text, sign + u64_digits(magnitude, text + sign));
}

void buf_money(struct buf *b, int64_t nano)
{
    char text[32] = "-";
    size_t n = nano < 0;
    uint64_t v = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano, rest = v % 1000000000;
    n += u64_digits(v / 1000000000, text + n);
    if (rest > 0) {
        text[n++] = '.';
        for (uint64_t unit = 100000000; unit > 0 && (rest > 0 || unit >= 10000000); unit /= 10) {
            text[n++] = (char)('0' + rest / unit);
            rest %= unit;
        }
    }
    buf_append(b, text, n);
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->n);
    b->n -= n;
    if (b->n > 0)
        memmove(b->p, b->p + n, b->n);
}
