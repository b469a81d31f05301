/* What a parser understood of one HTTP message, as text: for comparing two readings. */
#ifndef FUZZ_HTTP_MESSAGE_H
#define FUZZ_HTTP_MESSAGE_H

#include <stdio.h>

#include "base/buf.h"

#define MESSAGES_MAX 8
#define STREAM_CAP   ((size_t)1 << 26)

struct message {
    struct buf head; /* start line, then a line per field, then the framing */
    struct buf body;
    size_t end; /* offset in the stream behind its last byte, once complete */
    bool complete, keep_alive;
    bool stricter; /* refused for something that is harmless and that RFC 9112 allows */
};

static inline void messages_init(struct message *messages)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        messages[i] = (struct message){.end = 0};
        buf_init(&messages[i].head, STREAM_CAP);
        buf_init(&messages[i].body, STREAM_CAP);
    }
}

static inline void messages_done(struct message *messages)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        buf_done(&messages[i].head);
        buf_done(&messages[i].body);
    }
}

/* The last line of `head`; a length that does not count is -1. */
static inline void message_framing(struct message *m, bool chunked, int64_t length)
{
    buf_lit(&m->head, "\nchunked ");
    buf_i64(&m->head, chunked);
    buf_lit(&m->head, " length ");
    buf_i64(&m->head, chunked ? -1 : length);
}

static inline void show_message(const char *whose, const struct message *m)
{
    fprintf(stderr, "%s (complete %d, keep %d, to %zu):\n%.*s\n", whose, m->complete, m->keep_alive,
            m->end, (int)m->head.n, m->head.n > 0 ? m->head.p : "");
}

/* llhttp takes "Proxy-Connection: close", which no standard has, for Connection. */
static inline bool has_proxy_connection(const struct message *m)
{
    static const struct slice name = {"\nproxy-connection:", 18};
    for (size_t i = 0; i + name.n <= m->head.n; i++) {
        if (slice_eq_nocase(slice_of(m->head.p + i, name.n), name))
            return true;
    }
    return false;
}

/* `theirs` is complete and means what `ours` means. False: the other stopped here, by being
 * stricter than it has to be or by ending the connection, and there is nothing more to compare. */
static inline bool check_same_message(const struct message *ours, const struct message *theirs)
{
    if (theirs->stricter)
        return false;
    bool same = theirs->complete && ours->end == theirs->end &&
                slice_eq(buf_view(&ours->head), buf_view(&theirs->head)) &&
                slice_eq(buf_view(&ours->body), buf_view(&theirs->body)) &&
                (theirs->keep_alive || !ours->keep_alive || has_proxy_connection(ours));
    if (!same) {
        show_message("ours", ours);
        show_message("theirs", theirs);
    }
    ASSERT(same);
    return theirs->keep_alive;
}

#endif
