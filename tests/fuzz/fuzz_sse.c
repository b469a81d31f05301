/* Server-sent events: a text cut anywhere gives the events of the whole, and the raw bytes of the
 * events and the rest, in order, are the text. The first two bytes say where it is cut. */
/* layer: llm */
#include "base/buf.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

struct feed {
    struct buf held, scratch, raw, events;
    size_t scanned;
};

static void feed_init(struct feed *f)
{
    *f = (struct feed){.scanned = 0};
    buf_init(&f->held, CAP);
    buf_init(&f->scratch, CAP);
    buf_init(&f->raw, CAP);
    buf_init(&f->events, CAP);
}

static void feed_done(struct feed *f)
{
    buf_done(&f->held);
    buf_done(&f->scratch);
    buf_done(&f->raw);
    buf_done(&f->events);
}

static void put_counted(struct buf *out, struct slice s)
{
    buf_i64(out, (int64_t)s.n);
    buf_char(out, ' ');
    buf_slice(out, s);
}

static void feed(struct feed *f, struct slice piece)
{
    struct sse_event ev;
    buf_slice(&f->held, piece);
    struct slice in = buf_view(&f->held);
    while (sse_next(&in, &f->scanned, &f->scratch, &ev)) {
        ASSERT(ev.raw.n > 0);
        buf_slice(&f->raw, ev.raw);
        if (ev.has_data) {
            put_counted(&f->events, ev.name);
            put_counted(&f->events, ev.data);
        }
    }
    buf_consume(&f->held, f->held.n - in.n);
}

static void feed_in_pieces(struct feed *f, struct slice text, size_t first, size_t step)
{
    feed_init(f);
    for (size_t at = 0; at < text.n;) {
        size_t n = MIN_OF(at == 0 ? first : step, text.n - at);
        feed(f, slice_of(text.p + at, n));
        at += n;
    }
    buf_slice(&f->raw, buf_view(&f->held));
    ASSERT(slice_eq(buf_view(&f->raw), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed whole, cut;
    if (size < 2)
        return 0;
    struct slice text = slice_of((const char *)data + 2, size - 2);
    size_t first = data[0] + 1u, step = data[1] % 32 + 1u;
    feed_in_pieces(&whole, text, text.n, text.n);
    feed_in_pieces(&cut, text, first, step);
    ASSERT(slice_eq(buf_view(&cut.events), buf_view(&whole.events)));
    feed_done(&whole);
    feed_done(&cut);
    return 0;
}
