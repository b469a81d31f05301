/* See kit.h. */
#include "kit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_beat(uv_timer_t *t)
{
    (void)t;
}

void kit_init(struct kit *k)
{
    signal(SIGPIPE, SIG_IGN);
    *k = (struct kit){.budget.limit_bytes = 1 << 28};
    CHECK_EQ_I64(net_loop_init(&k->loop, 256, &k->budget), 0);
    uv_timer_init(&k->loop.uv, &k->beat);
    uv_timer_start(&k->beat, on_beat, 2, 2);
}

void kit_done(struct kit *k)
{
    net_loop_done(&k->loop);
    CHECK_EQ_I64(k->budget.used_bytes, 0);
}

void kit_turn(struct kit *k)
{
    uv_run(&k->loop.uv, UV_RUN_ONCE);
}

void kit_run_for(struct kit *k, int64_t ns)
{
    int64_t end = clock_mono_ns() + ns;
    while (clock_mono_ns() < end)
        kit_turn(k);
}

int kit_listen(uint16_t *ret_port)
{
    struct sockaddr_in in;
    socklen_t n = sizeof in;
    int fd = net_listen(SLICE("127.0.0.1:0"), false);
    CHECK(fd >= 0);
    CHECK_EQ_I64(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void end_init(struct end *e, struct kit *k, int fd)
{
    int on = 1;
    *e = (struct end){.kit = k, .fd = fd};
    CHECK(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    buf_init(&e->in, 1 << 28);
}

void end_connect(struct end *e, struct kit *k, uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    end_init(e, k, fd);
    CHECK_EQ_I64(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
}

void end_accept(struct end *e, struct kit *k, int listener)
{
    int fd = -1;
    RUN_UNTIL(k, (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    end_init(e, k, fd);
}

bool end_tls(struct end *e, SSL_CTX *ctx, bool server, const char *name)
{
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    int r;
    e->ssl = SSL_new(ctx);
    BIO *bio = BIO_new_socket(e->fd, BIO_NOCLOSE);
    BIO_socket_nbio(e->fd, 1);
    SSL_set_bio(e->ssl, bio, bio);
    if (e->resume != NULL)
        SSL_set_session(e->ssl, e->resume);
    if (name != NULL)
        SSL_set_tlsext_host_name(e->ssl, name);
    while ((r = server ? SSL_accept(e->ssl) : SSL_connect(e->ssl)) <= 0) {
        int why = SSL_get_error(e->ssl, r);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return false;
        CHECK(clock_mono_ns() < end);
        kit_turn(e->kit);
    }
    return true;
}

/* One attempt: bytes that went or came, 0 at the end, -1 to try later, -2 when it is broken. */
static ssize_t try_io(struct end *e, char *into, const char *from, size_t n)
{
    if (e->ssl == NULL) {
        ssize_t r = into != NULL ? recv(e->fd, into, n, MSG_DONTWAIT)
                                 : send(e->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return r >= 0 ? r : (errno == EAGAIN ? -1 : -2);
    }
    int r = into != NULL ? SSL_read(e->ssl, into, (int)n) : SSL_write(e->ssl, from, (int)n);
    if (r > 0)
        return r;
    switch (SSL_get_error(e->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: return -2;
    }
}

void end_send(struct end *e, struct slice text)
{
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    while (text.n > 0) {
        ssize_t n = try_io(e, NULL, text.p, MIN_OF(text.n, (size_t)16384));
        CHECK(n >= -1 && clock_mono_ns() < end);
        text = slice_from(text, n > 0 ? (size_t)n : 0);
        if (text.n > 0)
            kit_turn(e->kit);
    }
}

void end_read(struct end *e, size_t max)
{
    static char bytes[65536];
    while (max > 0 && !e->eof && !e->broken) {
        ssize_t n = try_io(e, bytes, NULL, MIN_OF(max, sizeof bytes));
        e->eof = n == 0;
        e->broken = n == -2;
        if (n <= 0)
            return;
        buf_append(&e->in, bytes, (size_t)n);
        max -= (size_t)n;
    }
}

static size_t found_to(struct end *e, const char *text)
{
    end_read(e, SIZE_MAX);
    const char *at = e->in.n > 0 ? memmem(e->in.p, e->in.n, text, strlen(text)) : NULL;
    return at != NULL ? (size_t)(at - e->in.p) + strlen(text) : 0;
}

void end_expect(struct end *e, const char *text)
{
    size_t n = 0;
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    while ((n = found_to(e, text)) == 0) {
        if (clock_mono_ns() > end || e->eof || e->broken)
            check_fail(CHECK_AT(text), "did not come; eof %d, broken %d; %zu bytes: %.*s", e->eof,
                       e->broken, e->in.n, (int)MIN_OF(e->in.n, (size_t)500),
                       e->in.p != NULL ? e->in.p : "");
        kit_turn(e->kit);
    }
    buf_consume(&e->in, n);
}

static bool over(struct end *e)
{
    end_read(e, SIZE_MAX);
    return e->eof || e->broken;
}

void end_expect_eof(struct end *e)
{
    RUN_UNTIL(e->kit, over(e));
    CHECK(e->eof);
}

void end_expect_broken(struct end *e)
{
    RUN_UNTIL(e->kit, over(e));
    CHECK(e->broken);
}

void end_shutdown(struct end *e)
{
    if (e->ssl != NULL)
        SSL_shutdown(e->ssl);
    CHECK_EQ_I64(shutdown(e->fd, SHUT_WR), 0);
}

void end_close(struct end *e)
{
    if (e->ssl != NULL)
        SSL_set_shutdown(e->ssl, SSL_SENT_SHUTDOWN); /* its session stays good */
    SSL_free(e->ssl);
    close(e->fd);
    buf_done(&e->in);
    *e = (struct end){.fd = -1};
}

void end_reset(struct end *e)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    end_close(e);
}

/* --- the server --- */

static struct server *server_of(struct net_stream *s)
{
    return net_stream_data(s);
}

static bool log_has(const struct server *s, const char *text)
{
    return s->log.n > 0 && memmem(s->log.p, s->log.n, text, strlen(text)) != NULL;
}

static void on_request(struct net_stream *s, const struct http_head *head, void *ctx)
{
    struct server *v = ctx;
    v->stream = s;
    net_stream_set_data(s, v);
    buf_printf(&v->log, "%s " SLICE_FMT "|", http_method_text(head->method),
               SLICE_ARG(head->target));
    if (!slice_is(head->path, "/hold"))
        net_stream_read_body(s);
}

static void on_body(struct net_stream *s, struct slice data)
{
    buf_slice(&server_of(s)->log, data);
}

static void on_body_end(struct net_stream *s)
{
    struct server *v = server_of(s);
    const struct net_answer head = {.status = 200, .content_length = 2};
    const struct slice body = SLICE("ok");
    bool answers = !log_has(v, " /read") && !log_has(v, " /hold");
    buf_lit(&v->log, "|end|");
    if (answers)
        (void)!net_stream_send(s, &head, &body, 1, true);
}

static void on_gone(struct net_stream *s, enum net_gone why)
{
    buf_printf(&server_of(s)->log, "gone %d|", why);
    server_of(s)->stream = NULL;
}

static void on_drain(struct net_stream *s)
{
    buf_lit(&server_of(s)->log, "drain|");
}

static void on_refuse(unsigned status, const char *why, struct buf *body, void *ctx)
{
    struct server *v = ctx;
    buf_printf(body, "%u %s", status, why);
    buf_printf(&v->log, "refuse %u|", status);
}

void server_init(struct server *s, struct kit *k, struct net_listener_config *config)
{
    *s = (struct server){.kit = k, .counts.limit = 1000};
    buf_init(&s->log, 1 << 28);
    s->ops =
        (struct net_server_ops){on_request, on_body, on_body_end, on_gone, on_drain, on_refuse};
    *config = (struct net_listener_config){
        .fd = kit_listen(&s->port),
        .limits = {10 * NS_PER_S, 10 * NS_PER_S, 10 * NS_PER_S, 10 * NS_PER_S},
        .ops = &s->ops,
        .ctx = s,
        .counts = &s->counts};
}

void server_start(struct server *s, struct net_listener_config *config)
{
    s->listener = net_listener_new(&s->kit->loop, config);
    CHECK(s->listener != NULL);
}

void server_expect(struct server *s, const char *text)
{
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    while (!log_has(s, text)) {
        if (clock_mono_ns() > end)
            check_fail(CHECK_AT(text), "did not come; log: %.*s",
                       (int)MIN_OF(s->log.n, (size_t)500), s->log.p != NULL ? s->log.p : "");
        kit_turn(s->kit);
    }
    buf_reset(&s->log);
}

void server_done(struct server *s)
{
    net_listener_free(s->listener);
    RUN_UNTIL(s->kit, s->counts.open == 0);
    kit_turn(s->kit);
    buf_done(&s->log);
}

/* --- calls --- */

static struct call *call_of(struct net_lease *l)
{
    return container_of(l, struct call, lease);
}

static void on_head(struct net_lease *l, const struct http_head *head)
{
    call_of(l)->heads++;
    call_of(l)->status = head->status;
    if (call_of(l)->cancel_in == CANCEL_IN_HEAD)
        net_lease_cancel(l);
}

static void on_answer_body(struct net_lease *l, struct slice data, bool last)
{
    CHECK(!call_of(l)->last);
    call_of(l)->last = last;
    buf_slice(&call_of(l)->body, data);
    if (call_of(l)->cancel_in == CANCEL_IN_BODY)
        net_lease_cancel(l);
}

static void on_writable(struct net_lease *l)
{
    call_of(l)->writables++;
}

static void on_flush(struct net_lease *l)
{
    call_of(l)->flushes++;
    if (call_of(l)->cancel_in == CANCEL_IN_FLUSH)
        net_lease_cancel(l);
}

static bool on_end(struct net_lease *l)
{
    call_of(l)->ended = true;
    return !call_of(l)->refuse_reuse;
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct call *c = call_of(l);
    c->failed = true;
    c->why = why;
    snprintf(c->detail, sizeof c->detail, "%s", detail);
}

static const struct net_lease_ops call_ops = {on_head,  on_answer_body, on_writable,
                                              on_flush, on_end,         on_fail};

void call_init(struct call *c, struct kit *k)
{
    *c = (struct call){.kit = k, .request = {.method = HTTP_GET, .target = SLICE("/")}};
    buf_init(&c->body, 1 << 28);
}

void call_start(struct call *c, struct upstream *u)
{
    net_lease_start(&c->lease, &c->kit->loop, u, &c->request, &call_ops);
}

void call_expect(struct call *c, unsigned status, const char *body)
{
    RUN_UNTIL(c->kit, c->ended || c->failed);
    if (c->failed)
        check_fail(CHECK_AT("answer"), "%s: %s", net_fail_text(c->why), c->detail);
    CHECK_EQ_U64(c->status, status);
    CHECK_EQ_SLICE(buf_view(&c->body), slice_str(body));
    CHECK(c->heads == 1 && net_lease_over(&c->lease));
    call_done(c);
}

void call_expect_failure(struct call *c, enum net_fail why)
{
    RUN_UNTIL(c->kit, c->ended || c->failed);
    CHECK(c->failed);
    CHECK_EQ_STR(net_fail_name(c->why), net_fail_name(why));
    call_done(c);
}

void call_done(struct call *c)
{
    net_lease_cancel(&c->lease);
    buf_done(&c->body);
}

struct upstream *kit_upstream(uint16_t port, int64_t max_connections)
{
    struct upstream_config config = {
        .host = SLICE("127.0.0.1"), .port = port, .max_connections = max_connections};
    struct upstream *u = upstream_new(&config);
    CHECK(u != NULL);
    return u;
}

void serve_one(struct end *e, const char *answer)
{
    end_expect(e, "\r\n\r\n");
    end_send(e, answer != NULL ? slice_str(answer)
                               : SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
}
