/* Sockets: reading into the shared window, writing without copies while the kernel takes it. */
#include "conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/mem.h"
#include "tls.h"

#define CONN_MAGIC  0x434f4e4eu
#define CHATTER_MAX ((size_t)65536)

/* Output that the kernel has not taken yet: what a uv_write carries now, and what came after it. */
struct conn_output {
    uv_write_t req;
    struct conn *conn;
    struct block flying, queued;
    size_t appended; /* bytes that were given to it */
    size_t taken;    /* of them, bytes that the kernel had taken when last looked */
    int64_t taken_ns;
    size_t chatter; /* bytes of TLS' own that the peer asked for, and does not take */
    bool shutdown;  /* end our direction when all is gone */
};

static void flush_queued(struct conn *c);
static void output_failed(struct conn *c, int err);

int conn_init(struct conn *c, struct net_loop *loop, int family, const struct conn_ops *ops)
{
    *c = (struct conn){.magic = CONN_MAGIC, .loop = loop, .ops = ops};
    int err = family == AF_UNIX ? uv_pipe_init(&loop->uv, &c->h.pipe, 0)
                                : uv_tcp_init(&loop->uv, &c->h.tcp);
    c->h.any.data = c;
    return err;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;
    (void)suggested;
    *buf = uv_buf_init(c->loop->read_window, NET_READ_BYTES);
}

static void end_input(struct conn *c, int err)
{
    if (c->closing || c->ended)
        return;
    c->ended = true;
    c->mute |= err != 0;
    conn_read_stop(c);
    c->ops->on_end(c, err);
}

static void flush_cipher(struct conn *c);

static bool on_tls_secured(void *ctx)
{
    struct conn *c = ctx;
    flush_cipher(c);
    if (!c->closing)
        c->ops->on_secure(c);
    return !c->closing;
}

/* What TLS has to say goes out first: whoever takes the data may write to other sessions, and all
 * of them share one output. */
static bool on_tls_plain(void *ctx, struct slice plain)
{
    struct conn *c = ctx;
    flush_cipher(c);
    c->ops->on_data(c, plain);
    return !c->closing;
}

static void feed_tls(struct conn *c, struct slice data)
{
    enum tls_result r = tls_feed(c->tls, data, on_tls_secured, on_tls_plain, c);
    if (c->closing)
        return;
    flush_cipher(c);
    bool deaf = c->output != NULL && c->output->chatter > CHATTER_MAX;
    if (r == TLS_FAILED || deaf)
        end_input(c, CONN_BAD_TLS);
    else if (r == TLS_CLOSED)
        end_input(c, 0);
}

void conn_feed(struct conn *c, struct slice data)
{
    if (c->tls != NULL)
        feed_tls(c, data);
    else
        c->ops->on_data(c, data);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    net_now(c->loop);
    if (n > 0)
        conn_feed(c, slice_of(buf->base, (size_t)n));
    else if (n == UV_EOF)
        end_input(c, c->tls != NULL ? CONN_TRUNCATED : 0);
    else if (n < 0)
        end_input(c, (int)n);
}

int conn_read_start(struct conn *c)
{
    if (c->reading || c->closing || c->ended)
        return 0;
    int err = uv_read_start(&c->h.stream, on_alloc, on_read);
    c->reading = err == 0;
    return err;
}

void conn_read_stop(struct conn *c)
{
    if (c->reading)
        uv_read_stop(&c->h.stream);
    c->reading = false;
}

static void output_free(struct conn *c)
{
    struct conn_output *o = TAKE(c->output);
    if (o == NULL)
        return;
    block_free(&c->loop->blocks, &o->flying);
    block_free(&c->loop->blocks, &o->queued);
    mem_free(o);
}

static void do_shutdown(struct conn *c)
{
    uv_os_fd_t fd;
    if (c->tls != NULL) {
        tls_close_notify(c->tls);
        flush_cipher(c);
    }
    if (c->output != NULL)
        c->output->shutdown = true; /* close_notify waits */
    else if (uv_fileno(&c->h.any, &fd) == 0)
        shutdown(fd, SHUT_WR);
}

static void on_written(uv_write_t *req, int status)
{
    struct conn_output *o = req->data;
    struct conn *c = o->conn;
    if (c->closing)
        return; /* on_closed frees the output */
    net_now(c->loop);
    if (status < 0) {
        output_failed(c, status);
        return;
    }
    block_free(&c->loop->blocks, &o->flying);
    if (o->queued.n > 0) {
        flush_queued(c);
        return;
    }
    bool end = o->shutdown;
    output_free(c);
    if (end)
        do_shutdown(c);
    if (c->output == NULL)
        c->ops->on_drain(c);
}

/* The peer takes nothing any more, even if it had ended its own direction in order. */
static void output_failed(struct conn *c, int err)
{
    c->ended = false;
    end_input(c, err);
}

/* Sends what was queued while another write was flying. */
static void flush_queued(struct conn *c)
{
    struct conn_output *o = c->output;
    o->flying = o->queued;
    o->queued = (struct block){0};
    uv_buf_t b = uv_buf_init(o->flying.p, (unsigned)o->flying.n);
    int err = uv_write(&o->req, &c->h.stream, &b, 1, on_written);
    if (err < 0)
        output_failed(c, err);
}

static bool append_block(struct conn *c, struct block *b, const uv_buf_t *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].len == 0)
            continue;
        if (!block_reserve(&c->loop->blocks, b, parts[i].len))
            return false;
        memcpy(b->p + b->n, parts[i].base, parts[i].len);
        b->n += parts[i].len;
    }
    return true;
}

/* Starts a uv_write for what the kernel did not take at once. */
static enum net_io queue_first(struct conn *c, uv_buf_t *parts, unsigned n, bool stable)
{
    struct conn_output *o = mem_calloc(1, sizeof *o);
    if (o == NULL)
        return NET_FAIL;
    o->conn = c;
    o->req.data = o;
    o->taken_ns = net_now(c->loop);
    c->output = o;
    for (unsigned i = 0; i < n; i++)
        o->appended += parts[i].len;
    uv_buf_t one;
    if (!stable) {
        if (!append_block(c, &o->flying, parts, n)) {
            output_free(c);
            return NET_FAIL;
        }
        one = uv_buf_init(o->flying.p, (unsigned)o->flying.n);
        parts = &one;
        n = 1;
    }
    if (uv_write(&o->req, &c->h.stream, parts, n, on_written) < 0) {
        output_free(c);
        return NET_FAIL;
    }
    return NET_WAIT;
}

static void skip_bytes(uv_buf_t **parts, unsigned *n, size_t bytes)
{
    while (*n > 0 && bytes >= (*parts)->len) {
        bytes -= (*parts)->len;
        (*parts)++, (*n)--;
    }
    if (*n > 0) {
        (*parts)->base += bytes;
        (*parts)->len -= bytes;
    }
}

/* What the kernel takes at once; -1: nothing, see errno. Not by uv_try_write: sending costs less
 * than write(2), which is for files too. */
static ssize_t send_now(struct conn *c, const uv_buf_t *parts, unsigned n)
{
    UNINITIALIZED struct iovec iov[CONN_PARTS_MAX];
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    uv_os_fd_t fd;
    ssize_t sent;
    if (uv_fileno(&c->h.any, &fd) != 0)
        return -1;
    for (unsigned i = 0; i < n; i++)
        iov[i] = (struct iovec){parts[i].base, parts[i].len};
    do
        sent = n == 1 ? send(fd, parts->base, parts->len, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* Parts from `stable_from` on may be queued by reference. */
static enum net_io write_raw(struct conn *c, uv_buf_t *parts, unsigned n, unsigned stable_from)
{
    const uv_buf_t *first = parts;
    if (c->output != NULL) {
        size_t before = c->output->queued.n;
        bool ok = append_block(c, &c->output->queued, parts, n);
        c->output->appended += c->output->queued.n - before;
        return ok ? NET_WAIT : NET_FAIL;
    }
    ssize_t sent = send_now(c, parts, n);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
        return NET_FAIL;
    skip_bytes(&parts, &n, sent > 0 ? (size_t)sent : 0);
    return n == 0 ? NET_OK : queue_first(c, parts, n, (unsigned)(parts - first) >= stable_from);
}

/* Writes what TLS has produced; a failure shows in the next read or write. */
static void flush_cipher(struct conn *c)
{
    struct slice out = tls_output(c->loop);
    if (out.n == 0)
        return;
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)out.p, (unsigned)out.n);
    if (!c->closing)
        (void)write_raw(c, &b, 1, 1);
    if (c->output != NULL)
        c->output->chatter += out.n;
    tls_output_reset(c->loop);
}

static enum net_io write_tls(struct conn *c, const struct slice *parts, unsigned n)
{
    if (!tls_encrypt(c->tls, parts, n)) {
        tls_output_reset(c->loop);
        return NET_FAIL;
    }
    struct slice out = tls_output(c->loop);
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)out.p, (unsigned)out.n);
    enum net_io io = write_raw(c, &b, 1, 1);
    tls_output_reset(c->loop);
    return io;
}

enum net_io conn_write(struct conn *c, const struct slice *parts, unsigned n, unsigned stable_from)
{
    UNINITIALIZED uv_buf_t bufs[CONN_PARTS_MAX];
    CHECK_MAGIC(c, CONN_MAGIC);
    ASSERT(n <= CONN_PARTS_MAX);
    if (c->closing)
        return NET_FAIL;
    if (c->tls != NULL)
        return write_tls(c, parts, n);
    for (unsigned i = 0; i < n; i++)
        bufs[i] = uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].n);
    return write_raw(c, bufs, n, stable_from);
}

int64_t conn_stalled_since(struct conn *c)
{
    struct conn_output *o = c->output;
    size_t taken = o->appended - o->queued.n - uv_stream_get_write_queue_size(&c->h.stream);
    if (taken > o->taken)
        o->taken_ns = net_now(c->loop);
    o->taken = taken;
    return o->taken_ns;
}

void conn_shutdown(struct conn *c)
{
    if (c->closing)
        return;
    if (c->output != NULL)
        c->output->shutdown = true;
    else
        do_shutdown(c);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    output_free(c);
    tls_session_free(TAKE(c->tls));
    c->magic = 0;
    c->ops->on_closed(c);
}

void conn_break(struct conn *c)
{
    const struct linger at_once = {.l_onoff = 1};
    uv_os_fd_t fd;
    if (!c->closing && uv_fileno(&c->h.any, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    c->mute = true;
    conn_close(c);
}

void conn_close(struct conn *c)
{
    CHECK_MAGIC(c, CONN_MAGIC);
    if (c->closing)
        return;
    if (c->tls != NULL && c->output == NULL && !c->mute) {
        tls_close_notify(c->tls);
        flush_cipher(c);
    }
    c->closing = true;
    c->reading = false;
    uv_close(&c->h.any, on_handle_closed);
}

void conn_start_tls(struct conn *c, struct tls_session *tls)
{
    c->tls = tls;
    feed_tls(c, SLICE_NONE);
}
