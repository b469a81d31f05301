/* One request on one connection: writing it, reading its answer, and the one resend. */
#include "base/mem.h"
#include "pool.h"

#define LEASE_MAGIC 0x4c454153u
#define INTERIM_MAX 16 /* 1xx heads before the final one */

void lease_enter(struct net_lease *l, enum lease_phase phase)
{
    l->phase = phase;
    l->phase_since_ns = net_now(l->loop);
}

void net_lease_start(struct net_lease *l, struct net_loop *loop, struct upstream *u,
                     const struct net_request *r, const struct net_lease_ops *ops)
{
    *l = (struct net_lease){
        .magic = LEASE_MAGIC, .loop = loop, .upstream = u, .ops = ops, .request = r};
    lease_enter(l, LEASE_WAIT);
    list_init(&l->waiting);
    struct pool *p = pool_get(loop, u);
    if (p == NULL)
        lease_fail(l, NET_FAIL_MEMORY, "");
    else
        pool_serve(p, l);
}

/* Takes the lease off its connection, which closes. */
static void drop_conn(struct net_lease *l)
{
    struct upstream_conn *uc = TAKE(l->conn);
    if (uc == NULL)
        return;
    uc->lease = NULL;
    upstream_conn_close(uc);
}

void lease_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    drop_conn(l);
    l->phase = LEASE_DONE;
    l->ops->on_fail(l, why, detail);
}

void net_lease_cancel(struct net_lease *l)
{
    if (l->magic != LEASE_MAGIC || l->phase == LEASE_DONE)
        return;
    l->phase = LEASE_DONE;
    if (l->dial != NULL) {
        dial_cancel(l->dial);
    } else if (l->conn != NULL) {
        drop_conn(l);
    } else {
        list_remove(&l->waiting);
        permits_leave(&l->upstream->connections, &l->permit);
    }
}

void net_lease_pause(struct net_lease *l)
{
    l->paused = true;
    if (l->conn != NULL)
        conn_read_stop(&l->conn->conn);
}

void net_lease_resume(struct net_lease *l)
{
    l->paused = false;
    if (l->conn != NULL && conn_read_start(&l->conn->conn) != 0)
        lease_fail(l, NET_FAIL_TRUNCATED, "cannot read");
}

/* The connection was gone before it could answer: once more on a new one, if it was an old one. */
static bool resend(struct net_lease *l)
{
    struct upstream_conn *uc = l->conn;
    struct pool *p = uc->pool;
    bool nothing_read = uc->head.n == 0 && uc->interim == 0 && l->phase != LEASE_BODY;
    if (l->request->streamed || !l->reused || l->resent || !nothing_read)
        return false;
    l->resent = true;
    drop_conn(l);
    pool_serve(p, l);
    return true;
}

static void put_head(struct buf *b, const struct net_lease *l)
{
    const struct net_request *r = l->request;
    const struct upstream_config *c = &l->upstream->config;
    bool by_proxy = c->proxy_host.n > 0 && c->tls == NULL;
    buf_reset(b);
    buf_slice(b, slice_str(http_method_text(r->method)));
    buf_char(b, ' ');
    if (by_proxy) {
        buf_lit(b, "http://");
        buf_slice(b, l->upstream->authority);
    }
    buf_slice(b, r->target);
    buf_lit(b, " HTTP/1.1\r\nHost: ");
    buf_slice(b, l->upstream->authority);
    buf_lit(b, "\r\n");
    if (by_proxy && c->proxy_auth.n > 0)
        http_put_field(b, SLICE("Proxy-Authorization"), c->proxy_auth);
    buf_slice(b, r->fields);
    buf_slice(b, r->more_fields);
    if (r->streamed && r->body_bytes == STREAM_UNKNOWN) {
        buf_lit(b, "Transfer-Encoding: chunked\r\n");
    } else if (r->has_body || r->streamed) {
        buf_lit(b, "Content-Length: ");
        buf_i64(b, (int64_t)r->body_bytes);
        buf_lit(b, "\r\n");
    }
    buf_lit(b, "\r\n");
}

void lease_send(struct net_lease *l, struct upstream_conn *uc)
{
    UNINITIALIZED struct slice parts[1 + LEASE_BODY_PARTS_MAX];
    struct buf *head = l->loop->scratch;
    unsigned n = 0;
    uc->state = UC_BUSY;
    uc->lease = l;
    l->conn = uc;
    uc->left = 0;
    uc->interim = 0;
    uc->chunked = (struct http1_chunked){0};
    if (l->sent_ns == 0)
        l->sent_ns = net_now(l->loop);
    ASSERT(l->request->body_parts <= LEASE_BODY_PARTS_MAX);
    put_head(head, l);
    bool joined = !l->request->streamed && l->request->body_bytes <= CONN_JOIN_MAX;
    for (unsigned i = 0; i < l->request->body_parts && joined; i++)
        buf_slice(head, l->request->body[i]);
    parts[n++] = buf_view(head);
    for (unsigned i = 0; i < l->request->body_parts && !joined; i++)
        parts[n++] = l->request->body[i];
    enum net_io io = head->failed ? NET_FAIL : conn_write(&uc->conn, parts, n, 1);
    buf_reset(head);
    if (io != NET_FAIL)
        lease_enter(l, io == NET_WAIT || l->request->streamed ? LEASE_WRITE : LEASE_HEAD);
    else if (!resend(l))
        lease_fail(l, NET_FAIL_RESET, "while the request was written");
    if (io == NET_OK && l->request->streamed)
        l->ops->on_writable(l);
}

bool net_lease_write(struct net_lease *l, struct slice piece, bool last)
{
    bool chunked = l->request->body_bytes == STREAM_UNKNOWN;
    struct slice parts[3];
    char size_line[18];
    unsigned n = 0;
    if (l->phase != LEASE_WRITE)
        return true;
    if (chunked && piece.n > 0)
        parts[n++] = slice_of(size_line, http1_chunk_header(piece.n, size_line));
    if (piece.n > 0)
        parts[n++] = piece;
    if (chunked && (piece.n > 0 || last))
        parts[n++] = !last         ? SLICE("\r\n")
                     : piece.n > 0 ? SLICE("\r\n0\r\n\r\n")
                                   : SLICE("0\r\n\r\n");
    enum net_io io = n > 0 ? conn_write(&l->conn->conn, parts, n, n) : NET_OK;
    l->body_sent = last;
    if (io == NET_FAIL) {
        lease_fail(l, NET_FAIL_RESET, "while the request was written");
        return false;
    }
    lease_enter(l, io == NET_OK && last ? LEASE_HEAD : LEASE_WRITE);
    return io == NET_OK;
}

/* The answer is complete; `rest` bytes behind it make the connection useless. */
static void finish(struct upstream_conn *uc, size_t rest)
{
    struct net_lease *l = TAKE(uc->lease);
    l->conn = NULL;
    l->phase = LEASE_DONE;
    bool good = l->ops->on_end(l);
    uc->keep = uc->keep && good && rest == 0;
    pool_release(uc);
}

/* How the body of this answer ends (RFC 9112 section 6.3). */
static void set_framing(struct upstream_conn *uc, const struct http_head *h)
{
    bool none = uc->lease->request->method == HTTP_HEAD || h->status == 204 || h->status == 304;
    uc->body = none                     ? BODY_COUNTED
               : h->chunked             ? BODY_CHUNKED
               : h->content_length >= 0 ? BODY_COUNTED
                                        : BODY_TO_END;
    uc->left = none ? 0 : h->content_length;
    const struct net_lease *l = uc->lease;
    bool request_sent = !l->request->streamed || l->body_sent;
    uc->keep = h->keep_alive && uc->body != BODY_TO_END && request_sent;
}

/* Finds the head in what came before and `*data`; what belongs to it is taken off `*data`. 1:
 * `*ret` is the block. 0: more is needed. -1: not acceptable. */
static int collect_head(struct upstream_conn *uc, struct slice *data, struct slice *ret)
{
    size_t before = uc->head.n;
    *ret = *data;
    if (before > 0) { /* behind the head there may be much of the body: no more than fits */
        buf_append(&uc->head, data->p, MIN_OF(data->n, uc->head.cap - before));
        *ret = buf_view(&uc->head);
    }
    int n = uc->head.failed ? -1 : http1_head_length(HTTP1_ANSWER, *ret, &uc->scanned);
    if (n < 0)
        return -1;
    if (n == 0) {
        if (before == 0)
            buf_slice(&uc->head, *data);
        *data = SLICE_NONE;
        return uc->head.failed ? -1 : 0;
    }
    ret->n = (size_t)n;
    *data = slice_from(*data, (size_t)n - before);
    uc->scanned = 0;
    return 1;
}

/* One head, interim or final. False: the lease has ended or more is needed. */
static bool read_head(struct upstream_conn *uc, struct slice *data)
{
    struct net_lease *l = uc->lease;
    UNINITIALIZED struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h;
    struct slice block;
    const char *why = "head too large or malformed";
    int r = collect_head(uc, data, &block);
    if (r == 0)
        return false;
    if (r < 0 || http1_parse_answer(block, fields, &h, &why) != 0 || h.status == 101) {
        lease_fail(l, NET_FAIL_BAD_ANSWER, why);
        return false;
    }
    if (h.status < 200) {
        buf_done(&uc->head);
        if (++uc->interim > INTERIM_MAX)
            lease_fail(l, NET_FAIL_BAD_ANSWER, "too many interim answers");
        return uc->lease == l;
    }
    set_framing(uc, &h);
    l->body_sent = l->phase == LEASE_HEAD;
    lease_enter(l, LEASE_BODY);
    l->ops->on_head(l, &h);
    buf_done(&uc->head);
    if (uc->lease == l && uc->body == BODY_COUNTED && uc->left == 0)
        finish(uc, data->n);
    return uc->lease == l;
}

static void read_counted(struct upstream_conn *uc, struct slice *data)
{
    struct net_lease *l = uc->lease;
    struct slice piece = slice_of(data->p, MIN_OF((uint64_t)data->n, (uint64_t)uc->left));
    *data = slice_from(*data, piece.n);
    uc->left -= (int64_t)piece.n;
    l->ops->on_body(l, piece, uc->left == 0);
    if (uc->lease == l && uc->left == 0)
        finish(uc, data->n);
}

static void read_chunked(struct upstream_conn *uc, struct slice *data)
{
    struct net_lease *l = uc->lease;
    struct slice piece;
    switch (http1_chunked_next(&uc->chunked, data, &piece)) {
    case 1: l->ops->on_body(l, piece, false); break;
    case 2: finish(uc, data->n); break;
    case -1: lease_fail(l, NET_FAIL_BAD_ANSWER, "malformed chunk"); break;
    default: break;
    }
}

static void read_answer(struct upstream_conn *uc, struct slice data)
{
    struct net_lease *l = uc->lease;
    while (data.n > 0) {
        if (l->phase != LEASE_BODY) {
            if (!read_head(uc, &data))
                return;
        } else if (uc->body == BODY_CHUNKED) {
            read_chunked(uc, &data);
        } else if (uc->body == BODY_COUNTED) {
            read_counted(uc, &data);
        } else {
            struct slice piece = data;
            data = SLICE_NONE;
            l->ops->on_body(l, piece, false);
        }
        if (uc->lease != l)
            return;
    }
    if (l->phase == LEASE_BODY)
        l->ops->on_flush(l);
}

static struct upstream_conn *uc_of(struct conn *c)
{
    return container_of(c, struct upstream_conn, conn);
}

static void on_data(struct conn *c, struct slice data)
{
    struct upstream_conn *uc = uc_of(c);
    if (uc->state == UC_BUSY && uc->lease != NULL)
        read_answer(uc, data);
    else if (uc->dial != NULL)
        dial_on_data(uc, data);
    else
        upstream_conn_close(uc); /* nobody asked for this */
}

static void end_of_answer(struct upstream_conn *uc, int err)
{
    struct net_lease *l = uc->lease;
    if (l->phase == LEASE_BODY && uc->body == BODY_TO_END && err == 0)
        finish(uc, 0);
    else if (l->phase == LEASE_BODY)
        lease_fail(l, NET_FAIL_TRUNCATED, err < 0 && err > CONN_TRUNCATED ? uv_strerror(err) : "");
    else if (uc->head.n > 0 || uc->interim > 0)
        lease_fail(l, NET_FAIL_TRUNCATED, "in the head");
    else if (!resend(l))
        lease_fail(l, NET_FAIL_RESET, err < 0 && err > CONN_TRUNCATED ? uv_strerror(err) : "");
}

static void on_end(struct conn *c, int err)
{
    struct upstream_conn *uc = uc_of(c);
    if (uc->state == UC_BUSY && uc->lease != NULL)
        end_of_answer(uc, err);
    else if (uc->dial != NULL)
        dial_on_end(uc, err);
    else
        upstream_conn_close(uc);
}

static void on_drain(struct conn *c)
{
    struct net_lease *l = uc_of(c)->lease;
    if (l == NULL || l->phase != LEASE_WRITE)
        return;
    if (l->request->streamed && !l->body_sent)
        l->ops->on_writable(l);
    else
        lease_enter(l, LEASE_HEAD);
}

static void on_secure(struct conn *c)
{
    dial_on_secure(uc_of(c));
}

static void on_closed(struct conn *c)
{
    struct upstream_conn *uc = uc_of(c);
    buf_done(&uc->head);
    list_remove(&uc->in_pool);
    mem_free(uc);
}

const struct conn_ops upstream_conn_ops = {
    .on_secure = on_secure,
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};
