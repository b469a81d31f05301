/* The chunked transfer coding (RFC 9112 section 7.1), strictly: CRLF only, no spaces around the
 * size, bounded lines, and no more overhead than makes sense for the data carried. */
#include "http1.h"

#include "base/hash.h"

#define LINE_MAX_BYTES  256u
#define OVERHEAD_FREE   ((uint64_t)65536) /* overhead that is never questioned */
#define OVERHEAD_FACTOR 4u                /* beyond it: at most so many bytes for one of data */

static int on_size(struct http1_chunked *c, char ch)
{
    int v = hex_digit(ch);
    if (v >= 0) {
        if (++c->digits > 16 || c->left >> 59 != 0)
            return -1;
        c->left = c->left << 4 | (unsigned)v;
        return 0;
    }
    if (c->digits == 0)
        return -1;
    if (ch == '\r')
        c->state = CHUNK_SIZE_LF;
    else if (ch == ';')
        c->state = CHUNK_EXTENSION;
    else
        return -1;
    return 0;
}

/* An extension is ignored; it may not hide a line end or control characters. */
static int on_extension(struct http1_chunked *c, char ch)
{
    if (ch == '\r')
        c->state = CHUNK_SIZE_LF;
    else if (((uint8_t)ch < 0x20 && ch != '\t') || ch == 0x7F)
        return -1;
    return 0;
}

static int on_size_lf(struct http1_chunked *c, char ch)
{
    if (ch != '\n')
        return -1;
    c->line = c->digits = 0;
    if (c->left > 0) {
        c->state = CHUNK_DATA;
    } else {
        c->state = CHUNK_TRAILER;
        c->trailer_name = false;
    }
    return 0;
}

/* Trailer fields are checked, bounded and dropped: none of them may change the message. */
static int on_trailer(struct http1_chunked *c, char ch)
{
    bool after_cr = c->left == 1; /* `left` is free here, and holds "the last byte was CR" */
    if (++c->trailer > HTTP_TRAILER_MAX)
        return -1;
    if (after_cr) {
        if (ch != '\n' || (c->line > 0 && !c->trailer_name))
            return -1;
        c->left = 0;
        c->state = c->line == 0 ? CHUNK_DONE : CHUNK_TRAILER;
        c->line = 0;
        c->trailer_name = false;
        return 0;
    }
    if (ch == '\r') {
        c->left = 1;
        return 0;
    }
    if (((uint8_t)ch < 0x20 && ch != '\t') || ch == 0x7F)
        return -1;
    bool token = http1_is_token(slice_of(&ch, 1));
    if (!c->trailer_name && (c->line == 0 || ch != ':') && !token)
        return -1;
    c->trailer_name |= ch == ':';
    c->line++;
    return 0;
}

static int on_byte(struct http1_chunked *c, char ch)
{
    switch (c->state) {
    case CHUNK_SIZE: return ++c->line > LINE_MAX_BYTES ? -1 : on_size(c, ch);
    case CHUNK_EXTENSION: return ++c->line > LINE_MAX_BYTES ? -1 : on_extension(c, ch);
    case CHUNK_SIZE_LF: return on_size_lf(c, ch);
    case CHUNK_DATA_CR: c->state = CHUNK_DATA_LF; return ch == '\r' ? 0 : -1;
    case CHUNK_DATA_LF: c->state = CHUNK_SIZE; return ch == '\n' ? 0 : -1;
    case CHUNK_TRAILER: return on_trailer(c, ch);
    case CHUNK_DATA:
    case CHUNK_DONE: break;
    }
    return -1;
}

int http1_chunked_next(struct http1_chunked *c, struct slice *in, struct slice *ret)
{
    while (in->n > 0 && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            size_t n = MIN_OF((uint64_t)in->n, c->left);
            *ret = slice_of(in->p, n);
            *in = slice_of(in->p + n, in->n - n);
            c->left -= n;
            c->data += n;
            if (c->left == 0)
                c->state = CHUNK_DATA_CR;
            return 1;
        }
        if (on_byte(c, *in->p) != 0)
            return -1;
        in->p++, in->n--;
        if (++c->overhead > OVERHEAD_FREE + OVERHEAD_FACTOR * c->data)
            return -1;
    }
    return c->state == CHUNK_DONE ? 2 : 0;
}

size_t http1_chunk_header(size_t n, char out[18])
{
    static const char digits[] = "0123456789abcdef";
    unsigned nibbles = n > 0 ? (67u - (unsigned)__builtin_clzl(n)) / 4 : 1;
    for (unsigned i = 0; i < nibbles; i++)
        out[i] = digits[n >> (4 * (nibbles - 1 - i)) & 15];
    out[nibbles] = '\r';
    out[nibbles + 1] = '\n';
    return nibbles + 2;
}
