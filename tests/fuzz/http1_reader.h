/* Reads a stream of HTTP/1.1 messages as a connection does, in pieces of any size, and writes down
 * what it understood: for comparing one reading with another, and with another parser's. */
#ifndef FUZZ_HTTP1_READER_H
#define FUZZ_HTTP1_READER_H

#include "http1.h"
#include "http_message.h"

struct reader {
    enum http1_kind kind;
    struct buf held;
    size_t scanned, consumed;
    bool in_body, to_end, over; /* over: nothing behind this is read */
    struct http1_chunked chunked;
    int64_t left;
    int refused; /* the status, or -1 */
    unsigned count;
    struct message messages[MESSAGES_MAX];
};

static void reader_init(struct reader *r, enum http1_kind kind)
{
    *r = (struct reader){.kind = kind};
    buf_init(&r->held, STREAM_CAP);
    messages_init(r->messages);
}

static void reader_done(struct reader *r)
{
    buf_done(&r->held);
    messages_done(r->messages);
}

/* No line of the text starts or ends but by CRLF, and there are `lines` of them. */
static void check_lines(struct slice text, unsigned lines)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\r') {
            ASSERT(i + 1 < text.n && text.p[i + 1] == '\n');
            i++;
            lines--;
        } else {
            ASSERT(text.p[i] != '\n' && text.p[i] != '\0');
        }
    }
    ASSERT(lines == 0);
}

/* Fields that were read can be written, and are then read as the same. */
static void check_written_again(const struct reader *r, const struct http_head *h)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head again;
    struct buf b;
    const char *why;
    size_t scanned = 0;
    buf_init(&b, STREAM_CAP);
    buf_slice(&b,
              r->kind == HTTP1_REQUEST ? SLICE("GET / HTTP/1.1\r\n") : SLICE("HTTP/1.1 200 \r\n"));
    for (unsigned i = 0; i < h->fields_n; i++)
        http_put_field(&b, h->fields[i].name, h->fields[i].value);
    buf_lit(&b, "\r\n");
    check_lines(buf_view(&b), h->fields_n + 2);
    if (http1_head_length(r->kind, buf_view(&b), &scanned) == (int)b.n) { /* else: too long now */
        int status = r->kind == HTTP1_REQUEST
                         ? http1_parse_request(buf_view(&b), fields, &again, &why)
                         : http1_parse_answer(buf_view(&b), fields, &again, &why);
        ASSERT(status == 0 || (status == 400 && h->minor == 0)); /* 1.0 may lack a Host */
        ASSERT(again.fields_n == h->fields_n);
        for (unsigned i = 0; i < h->fields_n; i++)
            ASSERT(slice_eq(again.fields[i].name, h->fields[i].name) &&
                   slice_eq(again.fields[i].value, h->fields[i].value) &&
                   again.fields[i].id == h->fields[i].id);
    } else {
        ASSERT(b.n > HTTP_HEAD_MAX);
    }
    buf_done(&b);
}

static void note_head(struct reader *r, const struct http_head *h)
{
    struct message *m = &r->messages[r->count];
    struct buf *b = &m->head;
    if (r->kind == HTTP1_REQUEST) {
        buf_slice(b, slice_str(http_method_text(h->method)));
        buf_char(b, ' ');
        buf_slice(b, h->target);
    } else {
        buf_i64(b, h->status);
        buf_char(b, ' ');
        buf_slice(b, slice_trim(h->reason));
    }
    buf_lit(b, " 1.");
    buf_i64(b, h->minor);
    for (unsigned i = 0; i < h->fields_n; i++) {
        buf_char(b, '\n');
        buf_slice(b, h->fields[i].name);
        buf_char(b, ':');
        buf_slice(b, h->fields[i].value);
    }
    message_framing(m, h->chunked, h->content_length);
    m->keep_alive = h->keep_alive;
    check_written_again(r, h);
}

static void message_complete(struct reader *r)
{
    struct message *m = &r->messages[r->count++];
    m->complete = true;
    m->end = r->consumed;
    r->in_body = false;
    r->over = !m->keep_alive || r->count == MESSAGES_MAX;
}

static void consume(struct reader *r, size_t n)
{
    buf_consume(&r->held, n);
    r->consumed += n;
}

static bool has_no_body(const struct reader *r, const struct http_head *h)
{
    return r->kind == HTTP1_ANSWER && (h->status < 200 || h->status == 204 || h->status == 304);
}

static void begin_body(struct reader *r, const struct http_head *h)
{
    r->in_body = true;
    r->chunked = (struct http1_chunked){0};
    r->left = h->chunked ? -1 : MAX_OF(h->content_length, INT64_C(0));
    r->to_end = r->kind == HTTP1_ANSWER && !h->chunked && h->content_length < 0;
    if (has_no_body(r, h)) {
        r->left = 0;
        r->to_end = false;
    }
}

static bool read_head(struct reader *r)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h;
    const char *why = NULL;
    int n = http1_head_length(r->kind, buf_view(&r->held), &r->scanned);
    if (n == 0)
        return false;
    if (n > 0) {
        struct slice block = slice_of(r->held.p, (size_t)n);
        r->refused = r->kind == HTTP1_REQUEST ? http1_parse_request(block, fields, &h, &why)
                                              : http1_parse_answer(block, fields, &h, &why);
        ASSERT(r->refused == 0 || why != NULL);
    } else {
        r->refused = r->kind == HTTP1_REQUEST ? -n : -1;
    }
    if (r->refused != 0) {
        r->over = true;
        return false;
    }
    note_head(r, &h);
    begin_body(r, &h);
    consume(r, (size_t)n);
    r->scanned = 0;
    return true;
}

static bool read_chunked(struct reader *r)
{
    struct slice in = buf_view(&r->held), piece;
    int result = http1_chunked_next(&r->chunked, &in, &piece);
    if (result == 1)
        buf_slice(&r->messages[r->count].body, piece);
    consume(r, r->held.n - in.n);
    if (result == 2)
        message_complete(r);
    if (result < 0) {
        r->refused = r->kind == HTTP1_REQUEST ? 400 : -1;
        r->over = true;
    }
    return result > 0;
}

static bool read_body(struct reader *r)
{
    if (r->left < 0)
        return read_chunked(r);
    size_t n = r->to_end ? r->held.n : (size_t)MIN_OF((uint64_t)r->held.n, (uint64_t)r->left);
    buf_append(&r->messages[r->count].body, r->held.p, n);
    consume(r, n);
    r->left -= r->to_end ? 0 : (int64_t)n;
    if (r->left > 0 || r->to_end)
        return false;
    message_complete(r);
    return true;
}

static void reader_feed(struct reader *r, struct slice piece)
{
    buf_slice(&r->held, piece);
    while (!r->over && (r->in_body ? read_body(r) : read_head(r))) {
    }
}

/* The stream in pieces: sizes come from `seed`, and are mostly small. */
static void reader_feed_cut(struct reader *r, struct slice text, uint32_t seed)
{
    for (size_t at = 0; at < text.n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t most = seed >> 31 ? 4 : 64, n = MIN_OF((size_t)(seed >> 16) % most + 1, text.n - at);
        reader_feed(r, slice_of(text.p + at, n));
        at += n;
    }
}

static void check_same_reading(const struct reader *a, const struct reader *b)
{
    ASSERT(a->refused == b->refused && a->over == b->over && a->count == b->count);
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        const struct message *x = &a->messages[i], *y = &b->messages[i];
        ASSERT(x->complete == y->complete && x->end == y->end);
        ASSERT(slice_eq(buf_view(&x->head), buf_view(&y->head)));
        ASSERT(slice_eq(buf_view(&x->body), buf_view(&y->body)));
    }
}

#endif
