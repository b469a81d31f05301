/* The chunked coding: a body cut anywhere decodes like the whole of it, every body that we accept
 * llhttp decodes to the same bytes with the same end, and what http1_chunk_header begins decodes to
 * what was put in. The first four bytes seed the cuts. */
/* layer: net */
/* needs: llhttp */
#include "http1.h"
#include "llhttp_reading.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    struct buf data;
    size_t used;
    int result; /* of the last http1_chunked_next: 0, 2 or -1 */
};

static void decode_piece(struct http1_chunked *c, struct decoded *d, struct slice in)
{
    struct slice piece;
    size_t before = in.n;
    while ((d->result = http1_chunked_next(c, &in, &piece)) == 1)
        buf_slice(&d->data, piece);
    d->used += before - in.n;
}

static void decode(struct decoded *d, struct slice text, uint32_t seed, bool whole)
{
    struct http1_chunked c = {0};
    *d = (struct decoded){.used = 0};
    buf_init(&d->data, STREAM_CAP);
    for (size_t at = 0; at < text.n && d->result == 0;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = whole ? text.n : MIN_OF((size_t)(seed >> 16) % 16 + 1, text.n - at);
        decode_piece(&c, d, slice_of(text.p + at, n));
        at += n;
    }
}

static void compare(const struct decoded *ours, struct slice text)
{
    static const struct slice head =
        SLICE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    struct message theirs[MESSAGES_MAX];
    struct buf b;
    buf_init(&b, STREAM_CAP);
    buf_slice(&b, head);
    buf_slice(&b, text);
    messages_init(theirs);
    llhttp_read_requests(buf_view(&b), theirs);
    if (!theirs[0].stricter) {
        ASSERT(theirs[0].complete && theirs[0].end == head.n + ours->used);
        ASSERT(slice_eq(buf_view(&theirs[0].body), buf_view(&ours->data)));
    }
    messages_done(theirs);
    buf_done(&b);
}

/* `text` as chunks of sizes that come from `seed`, decoded again. */
static void round_trip(struct slice text, uint32_t seed)
{
    struct buf b;
    struct decoded d;
    char line[18];
    buf_init(&b, STREAM_CAP);
    for (size_t at = 0; at < text.n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = MIN_OF((size_t)(seed >> 16) % 300 + 1, text.n - at);
        buf_append(&b, line, http1_chunk_header(n, line));
        buf_append(&b, text.p + at, n);
        buf_lit(&b, "\r\n");
        at += n;
    }
    buf_append(&b, line, http1_chunk_header(0, line));
    buf_lit(&b, "\r\n");
    decode(&d, buf_view(&b), seed, false);
    ASSERT(d.result == 2 && d.used == b.n && slice_eq(buf_view(&d.data), text));
    compare(&d, buf_view(&b));
    buf_done(&d.data);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole, cut;
    uint32_t seed;
    if (size < sizeof seed)
        return 0;
    memcpy(&seed, data, sizeof seed);
    struct slice text = slice_of((const char *)data + sizeof seed, size - sizeof seed);
    decode(&whole, text, 0, true);
    decode(&cut, text, seed, false);
    ASSERT(whole.result == cut.result && whole.used == cut.used);
    ASSERT(slice_eq(buf_view(&whole.data), buf_view(&cut.data)));
    if (whole.result == 2)
        compare(&whole, text);
    round_trip(text, seed);
    buf_done(&whole.data);
    buf_done(&cut.data);
    return 0;
}
