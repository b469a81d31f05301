/* A client's connection: requests in, answers out, one after the other. */
#include "server_conn.h"

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tls.h"

#define AHEAD_MAX   ((size_t)65536)  /* what a client may send before its turn */
#define DISCARD_MAX ((int64_t)65536) /* unread body worth reading to keep the connection */
#define LINGER_NS   (2 * NS_PER_S)
#define MIN_RATE    1000 /* bytes per second of a request body, over the body window */
#define BLANK_MAX   4    /* bytes of empty lines before a request */

static const struct conn_ops ops;
static void process(struct net_stream *s, struct slice data);

static struct net_stream *stream_of(struct conn *c)
{
    return container_of(c, struct net_stream, conn);
}

static const struct net_server_limits *limits(const struct net_stream *s)
{
    return &s->listener->config.limits;
}

/* When the client's time is up, or INT64_MAX while it owes us nothing. */
static int64_t deadline(struct net_stream *s)
{
    if (conn_full(&s->conn))
        return conn_stalled_since(&s->conn) + limits(s)->write_ns;
    switch (s->state) {
    case SC_PROXY:
    case SC_HEAD: return s->since_ns + limits(s)->head_ns;
    case SC_IDLE: return s->since_ns + limits(s)->idle_ns;
    case SC_BODY: return s->wants_body ? s->since_ns + limits(s)->body_ns : INT64_MAX;
    case SC_LINGER: return s->since_ns + LINGER_NS;
    case SC_ANSWER:
    case SC_CLOSING: break;
    }
    return INT64_MAX;
}

/* Moves the timer to the deadline, or to a later look when there is none. Setting it earlier costs
 * a heap operation, which the usual round idle - answer - idle avoids. */
static void arm(struct net_stream *s)
{
    int64_t look = net_now(s->conn.loop) + limits(s)->idle_ns;
    if (!net_timer_set(s->conn.loop, &s->timer, MIN_OF(deadline(s), look)))
        ASSERT(false && "a connection's timer is armed from accept to close");
}

/* The one place where the state changes. */
static void enter(struct net_stream *s, enum sc_state state)
{
    ASSERT(s->state != SC_CLOSING);
    s->state = state;
    s->since_ns = net_now(s->conn.loop);
    if (state == SC_CLOSING)
        net_timer_stop(s->conn.loop, &s->timer);
    else
        arm(s);
}

/* An answer that lasts to the end of the connection must not look complete when it is not. */
static void close_now(struct net_stream *s)
{
    if (s->state == SC_CLOSING)
        return;
    bool cut = s->to_end && (s->state != SC_LINGER || conn_full(&s->conn));
    enter(s, SC_CLOSING);
    if (cut)
        conn_break(&s->conn);
    else
        conn_close(&s->conn);
}

/* The caller still holds the stream. */
static bool held(const struct net_stream *s)
{
    return s->answer == ANSWER_OPEN;
}

void server_conn_break(struct net_stream *s, enum net_gone why)
{
    bool tell = held(s);
    if (s->state == SC_CLOSING)
        return;
    s->answer = ANSWER_DONE;
    close_now(s);
    if (tell)
        s->listener->config.ops->on_gone(s, why);
}

/* Our end is done once queued output has gone; what still comes is thrown away, so that the client
 * is not reset before it has read the answer. */
static void linger(struct net_stream *s)
{
    if (!s->feeding) /* else the caller may still look at a head or a piece in there */
        buf_done(&s->in);
    enter(s, SC_LINGER);
    conn_shutdown(&s->conn);
    if (s->conn.ended ? !conn_full(&s->conn) : conn_read_start(&s->conn) != 0)
        close_now(s);
}

static void on_timer(struct timer *t)
{
    struct net_stream *s = container_of(t, struct net_stream, timer);
    int64_t now = net_now(s->conn.loop), end = deadline(s);
    if (end <= now) {
        server_conn_break(s, NET_GONE_TIMEOUT);
        return;
    }
    if (!net_timer_set(s->conn.loop, t, MIN_OF(end, now + limits(s)->idle_ns)))
        server_conn_break(s, NET_GONE_TIMEOUT);
}

/* "Date: ..." is made once a second. */
static void put_date(struct buf *b)
{
    static _Thread_local time_t second;
    static _Thread_local char text[40];
    static _Thread_local size_t n;
    time_t now = time(NULL);
    if (now != second) {
        struct tm tm;
        gmtime_r(&now, &tm);
        n = strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        second = now;
    }
    buf_append(b, text, n);
}

static void put_status(struct buf *b, unsigned status)
{
    if (status == 200) {
        buf_lit(b, "HTTP/1.1 200 OK\r\n");
        return;
    }
    buf_lit(b, "HTTP/1.1 ");
    buf_i64(b, status);
    buf_char(b, ' ');
    buf_slice(b, slice_str(http_status_text(status)));
    buf_lit(b, "\r\n");
}

static void put_head(struct buf *b, struct net_stream *s, const struct net_answer *a)
{
    bool bodiless = a->status == 204 || a->status == 304;
    put_status(b, a->status);
    buf_slice(b, a->fields);
    put_date(b);
    s->headed = true;
    s->chunking = false;
    if (a->content_length >= 0 && !bodiless) {
        buf_lit(b, "Content-Length: ");
        buf_i64(b, a->content_length);
        buf_lit(b, "\r\n");
    } else if (!bodiless && s->minor >= 1) {
        buf_lit(b, "Transfer-Encoding: chunked\r\n");
        s->chunking = !s->head_only;
    } else if (!bodiless) {
        s->keep_alive = false; /* an old client reads to the end */
        s->to_end = !s->head_only;
    }
    if (a->close || s->listener->draining)
        s->keep_alive = false;
    if (!s->keep_alive)
        buf_lit(b, "Connection: close\r\n");
    else if (s->minor == 0)
        buf_lit(b, "Connection: keep-alive\r\n");
    buf_lit(b, "\r\n");
}

/* The request is over on both sides: on to the next one, or the end. */
static void next_request(struct net_stream *s)
{
    s->answer = ANSWER_NONE;
    s->data = NULL;
    enter(s, SC_IDLE);
    if (conn_read_start(&s->conn) != 0)
        close_now(s);
    else if (s->in.n > 0 && !s->feeding)
        process(s, SLICE_NONE);
}

/* From now on the client owes us its body, and had not to send it before. False: the connection is
 * broken. */
static bool want_body(struct net_stream *s)
{
    int64_t now = net_now(s->conn.loop);
    if (s->state != SC_BODY)
        return true;
    if (!s->wants_body) {
        s->body_start_ns += now - s->unwanted_ns;
        s->since_ns = now;
    }
    s->wants_body = true;
    return conn_read_start(&s->conn) == 0;
}

static void answer_ended(struct net_stream *s)
{
    s->answer = ANSWER_DONE;
    s->data = NULL;
    if (!s->keep_alive || s->input_ended || s->listener->draining) {
        linger(s);
        return;
    }
    if (s->state == SC_ANSWER) {
        next_request(s);
        return;
    }
    /* The rest of the body is read and dropped if it is short and surely comes. */
    if (s->expect || s->body_left > DISCARD_MAX || !want_body(s)) {
        linger(s);
        return;
    }
    if (!s->feeding)
        process(s, SLICE_NONE);
}

/* Head, chunk framing and small bodies are joined in the scratch buffer, large parts go by
 * reference. Returns the number of parts in `out`. */
static unsigned frame(struct net_stream *s, const struct net_answer *head,
                      const struct slice *parts, unsigned n, bool end, struct slice *out)
{
    struct buf *b = s->conn.loop->scratch;
    char size_line[18];
    size_t total = 0;
    unsigned used = 0;
    buf_reset(b);
    if (head != NULL)
        put_head(b, s, head);
    for (unsigned i = 0; i < n && !s->head_only; i++)
        total += parts[i].n;
    if (s->chunking && total > 0)
        buf_append(b, size_line, http1_chunk_header(total, size_line));
    bool joined = total <= CONN_JOIN_MAX;
    for (unsigned i = 0; i < n && total > 0 && joined; i++)
        buf_slice(b, parts[i]);
    struct slice tail = SLICE_NONE;
    bool last_chunk = end && !s->cut;
    if (s->chunking && total > 0)
        tail = last_chunk ? SLICE("\r\n0\r\n\r\n") : SLICE("\r\n");
    else if (s->chunking && last_chunk)
        tail = SLICE("0\r\n\r\n");
    if (joined)
        buf_slice(b, tail);
    if (b->n > 0)
        out[used++] = buf_view(b);
    for (unsigned i = 0; i < n && !joined; i++)
        out[used++] = parts[i];
    if (!joined && tail.n > 0)
        out[used++] = tail;
    return used;
}

enum net_sent net_stream_send(struct net_stream *s, const struct net_answer *head,
                              const struct slice *parts, unsigned n, bool end)
{
    UNINITIALIZED struct slice out[CONN_PARTS_MAX];
    struct buf *b = s->conn.loop->scratch;
    ASSERT(held(s) && n <= 8);
    if (s->state == SC_CLOSING)
        return NET_SENT_GONE;
    unsigned used = frame(s, head, parts, n, end, out);
    bool was_full = conn_full(&s->conn);
    enum net_io io = b->failed ? NET_FAIL : NET_OK;
    if (used > 0 && io == NET_OK)
        io = conn_write(&s->conn, out, used, used);
    buf_reset(b);
    if (io == NET_FAIL) {
        s->answer = ANSWER_DONE;
        close_now(s);
        return NET_SENT_GONE;
    }
    if (io == NET_WAIT && !was_full)
        arm(s);
    if (end)
        answer_ended(s);
    return io == NET_WAIT ? NET_SENT_WAIT : NET_SENT_ALL;
}

void net_stream_cut_after(struct net_stream *s)
{
    s->keep_alive = false;
    s->cut = true;
}

void net_stream_abort(struct net_stream *s)
{
    s->answer = ANSWER_DONE;
    close_now(s);
}

/* An answer of the server's own, before or instead of a request. */
static void refuse(struct net_stream *s, unsigned status, const char *why)
{
    struct buf body;
    buf_init(&body, 4096);
    s->listener->config.ops->on_refuse(status, why, &body, s->listener->config.ctx);
    struct net_answer a = {.status = status,
                           .fields = SLICE("Content-Type: application/json\r\n"),
                           .content_length = (int64_t)body.n,
                           .close = true};
    struct slice part = buf_view(&body);
    s->answer = ANSWER_OPEN;
    s->minor = 1;
    s->head_only = s->to_end = false;
    if (s->state == SC_IDLE || s->state == SC_HEAD || s->state == SC_PROXY)
        enter(s, SC_BODY);
    if (net_stream_send(s, &a, &part, 1, true) != NET_SENT_GONE)
        ASSERT(s->state == SC_LINGER || s->state == SC_CLOSING);
    buf_done(&body);
}

static void send_continue(struct net_stream *s)
{
    struct slice line = SLICE("HTTP/1.1 100 Continue\r\n\r\n");
    s->expect = false;
    if (!s->headed && conn_write(&s->conn, &line, 1, 1) == NET_FAIL)
        server_conn_break(s, NET_GONE_CLOSED);
}

void net_stream_read_body(struct net_stream *s)
{
    if (!want_body(s))
        server_conn_break(s, NET_GONE_CLOSED);
    if (!s->feeding)
        process(s, SLICE_NONE);
}

void net_stream_pause_body(struct net_stream *s)
{
    if (s->wants_body)
        s->unwanted_ns = net_now(s->conn.loop);
    s->wants_body = false;
    if (s->state == SC_BODY)
        conn_read_stop(&s->conn);
}

static void begin_request(struct net_stream *s, const struct http_head *h)
{
    s->minor = h->minor;
    s->keep_alive = h->keep_alive;
    s->head_only = h->method == HTTP_HEAD;
    s->expect = h->expect_continue;
    s->chunked = (struct http1_chunked){0};
    s->body_left = h->chunked ? -1 : MAX_OF(h->content_length, INT64_C(0));
    s->body_seen = 0;
    s->since_ns = s->body_start_ns = s->unwanted_ns = net_now(s->conn.loop);
    s->blank = 0;
    s->wants_body = s->headed = s->to_end = false;
    s->answer = ANSWER_OPEN;
    s->state = SC_BODY; /* no deadline yet: nothing is awaited before the body is asked for */
    s->listener->config.ops->on_request(s, h, s->listener->config.ctx);
}

/* A complete head stands at the front of `*in`, `n` bytes long. */
static void read_head(struct net_stream *s, struct slice *in, size_t n)
{
    UNINITIALIZED struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h;
    const char *why;
    int status = http1_parse_request(slice_of(in->p, n), fields, &h, &why);
    *in = slice_from(*in, n);
    s->scanned = 0;
    if (status != 0)
        refuse(s, (unsigned)status, why);
    else
        begin_request(s, &h);
}

static const char *refusal_text(int status)
{
    switch (status) {
    case 414: return "request target too long";
    case 501: return "unknown method";
    case 431: return "header fields too large";
    default: return "malformed request";
    }
}

/* True: something was done and there may be more to do. */
static bool step_head(struct net_stream *s, struct slice *in)
{
    if (s->scanned == 0) {
        while (in->n > 1 && s->blank < BLANK_MAX && in->p[0] == '\r' && in->p[1] == '\n') {
            s->blank += 2;
            *in = slice_from(*in, 2);
        }
        if (in->n == 0 || (in->n == 1 && *in->p == '\r'))
            return false;
    }
    if (s->scanned == 0)
        s->started_ns = net_now(s->conn.loop);
    int n = http1_head_length(HTTP1_REQUEST, *in, &s->scanned);
    if (n > 0) {
        read_head(s, in, (size_t)n);
        return true;
    }
    if (n < 0) {
        s->scanned = 0;
        refuse(s, (unsigned)-n, refusal_text(-n));
        return true;
    }
    if (s->state == SC_IDLE)
        enter(s, SC_HEAD);
    return false;
}

static void body_complete(struct net_stream *s)
{
    enter(s, SC_ANSWER);
    if (s->answer == ANSWER_DONE)
        next_request(s);
    else
        s->listener->config.ops->on_body_end(s);
}

static void body_piece(struct net_stream *s, struct slice piece)
{
    s->body_seen += (int64_t)piece.n;
    if (s->answer != ANSWER_DONE)
        s->listener->config.ops->on_body(s, piece);
    else if (s->body_seen > DISCARD_MAX)
        linger(s);
}

static bool step_chunked(struct net_stream *s, struct slice *in)
{
    struct slice piece;
    switch (http1_chunked_next(&s->chunked, in, &piece)) {
    case 0: return false;
    case 1: body_piece(s, piece); return true;
    case 2: body_complete(s); return true;
    default: break;
    }
    if (s->answer == ANSWER_DONE) { /* the client has its one answer */
        linger(s);
    } else if (s->headed) {
        server_conn_break(s, NET_GONE_BROKEN);
    } else {
        s->listener->config.ops->on_gone(s, NET_GONE_BROKEN);
        refuse(s, 400, "malformed chunked body");
    }
    return true;
}

static bool step_body(struct net_stream *s, struct slice *in)
{
    if (!s->wants_body)
        return false;
    if (in->n > 0)
        s->expect = false;
    else if (s->expect)
        send_continue(s);
    if (s->state != SC_BODY)
        return true;
    if (s->body_left < 0)
        return step_chunked(s, in);
    if (s->body_left == 0) {
        body_complete(s);
        return true;
    }
    if (in->n == 0)
        return false;
    struct slice piece = slice_of(in->p, MIN_OF(in->n, (uint64_t)s->body_left));
    *in = slice_from(*in, piece.n);
    s->body_left -= (int64_t)piece.n;
    body_piece(s, piece);
    return true;
}

/* One of the caps on connections is reached. */
static void turn_away(struct net_stream *s, const char *why)
{
    s->listener->config.counts->refused++;
    if (s->listener->config.tls == NULL)
        refuse(s, 503, why);
    else
        close_now(s);
}

/* Counts the connection for its client's address; false: that has too many, and this one ends. */
static bool admit_client(struct net_stream *s)
{
    struct net_clients *clients = s->listener->config.counts->clients;
    if (clients == NULL || s->peer.family == AF_UNIX ||
        clients_enter(clients, &s->peer, &s->client))
        return true;
    turn_away(s, "too many connections from this address");
    return false;
}

static bool step_proxy(struct net_stream *s, struct slice *in)
{
    int n = proxy_v2_parse(*in, &s->peer);
    if (n < 0)
        close_now(s);
    if (n <= 0)
        return n < 0;
    *in = slice_from(*in, (size_t)n);
    if (!admit_client(s))
        return true;
    enter(s, SC_HEAD);
    s->since_ns = s->started_ns;
    if (s->listener->config.tls != NULL) {
        struct tls_session *t = tls_session_accept(s->conn.loop, s->listener->config.tls);
        struct slice rest = *in;
        *in = SLICE_NONE;
        if (t == NULL) {
            close_now(s);
            return false;
        }
        conn_start_tls(&s->conn, t);
        if (rest.n > 0 && s->state != SC_CLOSING)
            conn_feed(&s->conn, rest);
        return false;
    }
    return true;
}

static bool step(struct net_stream *s, struct slice *in)
{
    switch (s->state) {
    case SC_PROXY: return in->n > 0 && step_proxy(s, in);
    case SC_IDLE:
    case SC_HEAD: return in->n > 0 && step_head(s, in);
    case SC_BODY: return step_body(s, in);
    case SC_LINGER:
    case SC_CLOSING: *in = SLICE_NONE; return false;
    case SC_ANSWER: break;
    }
    return false;
}

/* Is the client sending its body too slowly? */
static bool too_slow(const struct net_stream *s)
{
    int64_t took = s->since_ns - s->body_start_ns;
    return s->state == SC_BODY && took > limits(s)->body_ns &&
           s->body_seen < took / NS_PER_S * MIN_RATE;
}

/* Feeds what waited and what is new through the states; what cannot be used yet waits. */
static void process(struct net_stream *s, struct slice data)
{
    bool waiting = s->in.n > 0;
    struct slice in = data;
    if (waiting) {
        buf_slice(&s->in, data);
        if (s->in.failed) {
            server_conn_break(s, NET_GONE_BROKEN);
            return;
        }
        in = buf_view(&s->in);
    }
    s->feeding = true;
    while (step(s, &in)) {
    }
    s->feeding = false;
    if (s->state == SC_CLOSING || s->state == SC_LINGER) {
        buf_done(&s->in);
        return;
    }
    if (s->state == SC_BODY && s->wants_body)
        arm(s);
    if (!waiting)
        buf_slice(&s->in, in);
    else
        buf_consume(&s->in, s->in.n - in.n);
    if (s->in.n == 0 && s->in.p != NULL)
        buf_done(&s->in);
    if (s->in.failed)
        server_conn_break(s, NET_GONE_BROKEN);
    else if (s->in.n >= AHEAD_MAX && s->state != SC_HEAD)
        conn_read_stop(&s->conn);
}

static void on_data(struct conn *c, struct slice data)
{
    struct net_stream *s = stream_of(c);
    if (s->state == SC_LINGER || s->state == SC_CLOSING)
        return;
    if (s->state == SC_BODY) {
        s->since_ns = net_now(c->loop);
        if (too_slow(s)) {
            server_conn_break(s, NET_GONE_TIMEOUT);
            return;
        }
    }
    process(s, data);
}

static void on_end(struct conn *c, int err)
{
    struct net_stream *s = stream_of(c);
    bool waits = s->state == SC_ANSWER || (s->state == SC_LINGER && conn_full(&s->conn));
    if (waits && err == 0 && s->listener->config.half_close_answer)
        s->input_ended = true;
    else
        server_conn_break(s, NET_GONE_CLOSED);
}

static void on_drain(struct conn *c)
{
    struct net_stream *s = stream_of(c);
    if (held(s)) {
        s->listener->config.ops->on_drain(s);
    } else if (s->state == SC_LINGER) {
        enter(s, SC_LINGER);
        if (s->conn.ended)
            close_now(s);
    }
}

static void on_secure(struct conn *c)
{
    (void)c;
}

static void on_closed(struct conn *c)
{
    struct net_stream *s = stream_of(c);
    struct net_listener *l = s->listener;
    buf_done(&s->in);
    listener_forget(l, s);
}

static const struct conn_ops ops = {
    .on_secure = on_secure,
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

static void find_peer(struct net_stream *s)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;
    s->peer.family = AF_UNIX;
    if (!s->listener->config.unix_socket &&
        uv_tcp_getpeername(&s->conn.h.tcp, (struct sockaddr *)&ss, &n) == 0)
        s->peer = net_addr_of((struct sockaddr *)&ss);
}

/* Starts to read, over TLS where the listener has it. */
static bool start(struct net_stream *s)
{
    const struct net_listener_config *c = &s->listener->config;
    if (!c->unix_socket)
        uv_tcp_nodelay(&s->conn.h.tcp, 1);
    find_peer(s);
    if (conn_read_start(&s->conn) != 0)
        return false;
    if (c->tls == NULL || c->proxy_protocol)
        return true;
    struct tls_session *t = tls_session_accept(s->conn.loop, c->tls);
    if (t == NULL)
        return false;
    conn_start_tls(&s->conn, t);
    return true;
}

static struct net_stream *stream_new(struct net_listener *l)
{
    struct net_stream *s = mem_calloc(1, sizeof *s);
    int family = l->config.unix_socket ? AF_UNIX : AF_INET;
    if (s == NULL || conn_init(&s->conn, l->loop, family, &ops) != 0) {
        mem_free(s);
        return NULL;
    }
    timer_init(&s->timer, on_timer);
    s->listener = l;
    s->state = l->config.proxy_protocol ? SC_PROXY : SC_HEAD;
    buf_init(&s->in, HTTP_HEAD_MAX + 2 * NET_READ_BYTES + AHEAD_MAX);
    s->since_ns = s->started_ns = net_now(l->loop);
    list_push_back(&l->conns, &s->node);
    l->conns_n++;
    l->config.counts->open++;
    l->config.counts->accepted++;
    return s;
}

/* The socket is there, or could not be had. */
static void begin(struct net_stream *s, bool ok)
{
    struct net_server_counts *counts = s->listener->config.counts;
    if (!ok || !net_timer_set(s->conn.loop, &s->timer, deadline(s)) || !start(s)) {
        close_now(s);
    } else if (counts->open > counts->limit) {
        turn_away(s, "too many connections");
    } else if (!s->listener->config.proxy_protocol) {
        admit_client(s);
    }
}

bool server_conn_adopt(struct net_listener *l, int fd)
{
    struct net_stream *s = stream_new(l);
    if (s == NULL)
        return false;
    bool ok = (l->config.unix_socket ? uv_pipe_open(&s->conn.h.pipe, fd)
                                     : uv_tcp_open(&s->conn.h.tcp, fd)) == 0;
    if (!ok)
        close(fd);
    begin(s, ok);
    return true;
}

void server_conn_drain(struct net_stream *s)
{
    if (s->state == SC_IDLE || s->state == SC_HEAD || s->state == SC_PROXY)
        close_now(s);
}

int64_t net_stream_body_bytes(const struct net_stream *s)
{
    bool inside = s->body_left < 0 && s->chunked.state == CHUNK_DATA;
    return s->body_seen + (inside ? (int64_t)MIN_OF(s->chunked.left, (uint64_t)INT64_MAX / 2) : 0);
}

void net_stream_set_data(struct net_stream *s, void *data)
{
    s->data = data;
}

void *net_stream_data(const struct net_stream *s)
{
    return s->data;
}

struct net_loop *net_stream_loop(const struct net_stream *s)
{
    return s->conn.loop;
}

const struct net_addr *net_stream_peer(const struct net_stream *s)
{
    return &s->peer;
}

bool net_stream_is_tls(const struct net_stream *s)
{
    return s->conn.tls != NULL;
}

int64_t net_stream_started_ns(const struct net_stream *s)
{
    return s->started_ns;
}

int64_t net_stream_peer_uid(const struct net_stream *s)
{
    struct ucred cred;
    socklen_t n = sizeof cred;
    uv_os_fd_t fd;
    if (!s->listener->config.unix_socket || uv_fileno(&s->conn.h.any, &fd) != 0)
        return -1;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? (int64_t)cred.uid : -1;
}
