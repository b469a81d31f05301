/* Growing byte buffer that declares its ceiling where it is born. Appending past the ceiling, or
 * without memory, marks the buffer failed: later appends do nothing, and one check at the end
 * suffices. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/compiler.h"
#include "base/slice.h"

struct buf {
    char *p;
    size_t n, size, cap; /* bytes used, allocated, and the ceiling */
    bool failed;
};

/* No memory is taken before the first append. */
void buf_init(struct buf *b, size_t cap);
/* Frees the memory; the buffer can be used again with the same ceiling. */
void buf_done(struct buf *b);
/* Empties the buffer and clears `failed`; keeps the memory. */
static inline void buf_reset(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

/* Room for `more` bytes behind the used ones; they may be written at `b->p + b->n`. */
NODISCARD bool buf_reserve(struct buf *b, size_t more);

void buf_append_slow(struct buf *b, const void *p, size_t n);
static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    if (likely(n <= b->size - b->n && !b->failed)) {
        if (n > 0)
            memcpy(b->p + b->n, p, n);
        b->n += n;
    } else {
        buf_append_slow(b, p, n);
    }
}
static inline void buf_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}
/* A text of 256 bytes and more also needs room for its final NUL. */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_i64(struct buf *b, int64_t v);
/* Nano-dollars as dollars, exact: "12", "0.50", "0.000125", "-3.20": at least two decimals where
 * there are any. */
void buf_money(struct buf *b, int64_t nano);

static inline void buf_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.p, s.n);
}
#define buf_lit(b, lit) buf_append((b), (lit), sizeof(lit) - 1)

static inline struct slice buf_view(const struct buf *b)
{
    return (struct slice){b->p, b->n};
}

/* Removes the first `n` bytes. */
void buf_consume(struct buf *b, size_t n);

/* Writes `v` in decimal at `out` (at least 20 bytes); returns the number of digits. */
size_t u64_digits(uint64_t v, char *out);

#endif
