/* AWS's framing: a stream cut anywhere gives the messages of the whole, and messages that are read
 * can be written and read back. The first byte says where it is cut; if it is odd, the checksums of
 * what looks like messages are set right first, or nothing would come through. */
/* layer: llm */
#include <zlib.h>

#include "base/buf.h"
#include "llm/aws_event_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static uint32_t get_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_crc(char *at, const char *p, size_t n)
{
    uint32_t v = (uint32_t)crc32_z(0, (const unsigned char *)p, n);
    for (int i = 3; i >= 0; i--, v >>= 8)
        at[i] = (char)(v & 255);
}

static void repair(struct buf *b)
{
    for (size_t at = 0; b->n - at >= 16;) {
        char *p = b->p + at;
        size_t total = get_u32(p);
        put_crc(p + 8, p, 8);
        if (total < 16 || total > b->n - at)
            return;
        put_crc(p + total - 4, p, total - 4);
        at += total;
    }
}

static void put_counted(struct buf *out, struct slice s)
{
    buf_i64(out, s.p != NULL ? (int64_t)s.n : -1);
    buf_char(out, ' ');
    buf_slice(out, s);
}

static void put_message(struct buf *out, const struct aws_event *e)
{
    buf_i64(out, e->kind);
    put_counted(out, e->type);
    put_counted(out, e->exception_type);
    put_counted(out, e->error_code);
    put_counted(out, e->error_message);
    put_counted(out, e->content_type);
    put_counted(out, e->payload);
}

/* The same once it is written; headers that it does not know are gone. */
static void check_round_trip(const struct aws_event *e)
{
    struct buf frame, before, after;
    struct aws_event back;
    buf_init(&frame, CAP);
    buf_init(&before, CAP);
    buf_init(&after, CAP);
    aws_event_put(&frame, e);
    if (!frame.failed) { /* a header may be longer than what is written */
        struct slice in = buf_view(&frame);
        ASSERT(aws_event_bytes(in) == in.n);
        ASSERT(aws_event_next(&in, &back) == AWS_EVENT_GOT && in.n == 0);
        put_message(&before, e);
        put_message(&after, &back);
        ASSERT(slice_eq(buf_view(&before), buf_view(&after)));
    }
    buf_done(&frame);
    buf_done(&before);
    buf_done(&after);
}

/* Feeds the text in pieces; returns whether it was found bad. */
static bool feed(struct slice text, size_t step, struct buf *out)
{
    struct aws_event e;
    size_t from = 0, to = 0;
    for (;;) {
        struct slice in = slice_of(text.p + from, to - from);
        enum aws_event_result result;
        while ((result = aws_event_next(&in, &e)) == AWS_EVENT_GOT) {
            put_message(out, &e);
            check_round_trip(&e);
        }
        if (result == AWS_EVENT_BAD || to == text.n)
            return result == AWS_EVENT_BAD;
        ASSERT(aws_event_bytes(in) == 0 || aws_event_bytes(in) > in.n);
        from = to - in.n;
        to = MIN_OF(to + step, text.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text, whole, cut;
    if (size < 2)
        return 0;
    buf_init(&text, CAP);
    buf_init(&whole, CAP);
    buf_init(&cut, CAP);
    buf_append(&text, data + 1, size - 1);
    if (data[0] & 1)
        repair(&text);
    bool bad = feed(buf_view(&text), (size_t)1 << 40, &whole);
    ASSERT(feed(buf_view(&text), data[0] / 2 + 1u, &cut) == bad);
    ASSERT(slice_eq(buf_view(&whole), buf_view(&cut)));
    buf_done(&text);
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
