/* Opening a connection: name, addresses in turn with a head start each (RFC 8305 "Happy Eyeballs"),
 * egress proxy, TLS. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pool.h"

#define HEAD_START_NS (250 * NS_PER_MS)
#define ROOTS_POLL_NS (5 * NS_PER_MS)

struct upstream_dial {
    struct pool *pool;
    struct net_lease *lease;
    struct dns_query query;
    struct dns_addrs addrs;
    unsigned next;     /* address to try next */
    struct list tries; /* sockets that are being connected */
    struct upstream_conn *winner;
    struct timer timer; /* next try, or next look whether the authorities are loaded */
    bool lacked;        /* a try failed for want of something of our own */
};

static void try_next(struct upstream_dial *d);
static void start_tls(struct upstream_dial *d);

/* The dial is over; whatever is left of it closes. The place under the cap stays with the winner.
 */
static void dial_free(struct upstream_dial *d, bool keep_winner)
{
    struct upstream_conn *winner = keep_winner ? d->winner : NULL;
    dns_cancel(&d->query);
    net_timer_stop(d->pool->loop, &d->timer);
    list_foreach (it, &d->tries) {
        struct upstream_conn *uc = container_of(it, struct upstream_conn, node);
        uc->dial = NULL;
        upstream_conn_close(uc);
    }
    if (d->winner != NULL) {
        d->winner->dial = NULL;
        if (winner == NULL)
            upstream_conn_close(d->winner);
    } else {
        permits_give(&d->pool->upstream->connections);
    }
    d->lease->dial = NULL;
    mem_free(d);
}

void dial_cancel(struct upstream_dial *d)
{
    dial_free(d, false);
}

static void dial_fail(struct upstream_dial *d, enum net_fail why, const char *detail)
{
    struct net_lease *l = d->lease;
    char text[200];
    struct slice s = slice_str(detail);
    s.n = MIN_OF(s.n, sizeof text - 1);
    memcpy(text, s.p, s.n); /* it may point into the session that goes now */
    text[s.n] = '\0';
    dial_free(d, false);
    lease_fail(l, why, text);
}

static void dial_done(struct upstream_dial *d)
{
    struct net_lease *l = d->lease;
    struct upstream_conn *uc = d->winner;
    dial_free(d, true);
    lease_send(l, uc);
}

static void send_proxy_connect(struct upstream_dial *d)
{
    const struct upstream_config *c = &d->pool->upstream->config;
    bool v6 = slice_find(c->host, ':') >= 0;
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, v6 ? "CONNECT [%.*s]:%u" : "CONNECT %.*s:%u", SLICE_ARG(c->host), c->port);
    buf_printf(&b, v6 ? " HTTP/1.1\r\nHost: [%.*s]:%u\r\n" : " HTTP/1.1\r\nHost: %.*s:%u\r\n",
               SLICE_ARG(c->host), c->port);
    if (c->proxy_auth.n > 0)
        http_put_field(&b, SLICE("Proxy-Authorization"), c->proxy_auth);
    buf_lit(&b, "\r\n");
    struct slice part = buf_view(&b);
    d->winner->state = UC_PROXY;
    enum net_io io = b.failed ? NET_FAIL : conn_write(&d->winner->conn, &part, 1, 1);
    buf_done(&b);
    if (io == NET_FAIL)
        dial_fail(d, NET_FAIL_PROXY, "connection lost");
}

/* The socket is up: proxy, TLS, or done. */
static void on_socket(struct upstream_dial *d, struct upstream_conn *uc)
{
    net_timer_stop(d->pool->loop, &d->timer);
    d->winner = uc;
    list_remove(&uc->node);
    uc->permit = true;
    list_foreach (it, &d->tries) {
        struct upstream_conn *loser = container_of(it, struct upstream_conn, node);
        loser->dial = NULL;
        upstream_conn_close(loser);
    }
    if (conn_read_start(&uc->conn) != 0)
        dial_fail(d, NET_FAIL_CONNECT, "cannot read");
    else if (d->pool->upstream->config.proxy_host.n > 0 && d->pool->upstream->config.tls != NULL)
        send_proxy_connect(d);
    else if (d->pool->upstream->config.tls != NULL)
        start_tls(d);
    else
        dial_done(d);
}

/* Is it not the other side that failed, but this one that has no descriptor or port left? Where an
 * address of IPv6 cannot be reached that looks like a port that is not to be had. */
static bool is_own_lack(int err, int family)
{
    return err == UV_EMFILE || err == UV_ENFILE || err == UV_ENOBUFS || err == UV_ENOMEM ||
           (err == UV_EADDRNOTAVAIL && family == AF_INET);
}

static void try_failed(struct upstream_dial *d, int err, int family)
{
    d->lacked |= is_own_lack(err, family);
    if (d->next < d->addrs.n)
        try_next(d);
    else if (list_empty(&d->tries))
        dial_fail(d, d->lacked ? NET_FAIL_EXHAUSTED : NET_FAIL_CONNECT, uv_strerror(err));
}

static void on_connect(uv_connect_t *req, int status)
{
    struct upstream_conn *uc = container_of(req, struct upstream_conn, connect_req);
    struct upstream_dial *d = uc->dial;
    if (d == NULL || uc->state == UC_CLOSING)
        return;
    net_now(d->pool->loop);
    if (status == 0) {
        on_socket(d, uc);
        return;
    }
    uc->dial = NULL;
    upstream_conn_close(uc);
    try_failed(d, status, AF_UNSPEC);
}

static struct upstream_conn *new_try(struct upstream_dial *d, int family)
{
    struct upstream_conn *uc = mem_calloc(1, sizeof *uc);
    if (uc == NULL || conn_init(&uc->conn, d->pool->loop, family, &upstream_conn_ops) != 0) {
        mem_free(uc);
        return NULL;
    }
    uc->state = UC_DIALLING;
    uc->pool = d->pool;
    uc->dial = d;
    buf_init(&uc->head, HTTP_HEAD_MAX + 1);
    list_push_back(&d->tries, &uc->node);
    list_push_back(&d->pool->all, &uc->in_pool);
    return uc;
}

static void try_unix(struct upstream_dial *d)
{
    struct upstream_conn *uc = new_try(d, AF_UNIX);
    if (uc == NULL)
        dial_fail(d, NET_FAIL_MEMORY, "");
    else
        uv_pipe_connect(&uc->connect_req, &uc->conn.h.pipe, d->pool->upstream->config.unix_path.p,
                        on_connect);
}

static void try_next(struct upstream_dial *d)
{
    struct net_loop *loop = d->pool->loop;
    const struct upstream_config *c = &d->pool->upstream->config;
    struct net_addr a = d->addrs.addr[d->next++];
    struct sockaddr_storage ss;
    a.port = c->proxy_host.n > 0 ? c->proxy_port : c->port;
    struct upstream_conn *uc = net_addr_sockaddr(&a, &ss) > 0 ? new_try(d, a.family) : NULL;
    if (uc == NULL) {
        try_failed(d, UV_ENOMEM, a.family);
        return;
    }
    if (d->next < d->addrs.n && !net_timer_set(loop, &d->timer, net_now(loop) + HEAD_START_NS))
        d->addrs.n = d->next;
    int err = uv_tcp_connect(&uc->connect_req, &uc->conn.h.tcp, (struct sockaddr *)&ss, on_connect);
    if (err == 0)
        err = uv_tcp_nodelay(&uc->conn.h.tcp, 1);
    if (err == 0)
        return;
    uc->dial = NULL;
    upstream_conn_close(uc);
    try_failed(d, err, a.family);
}

static void on_timer(struct timer *t)
{
    struct upstream_dial *d = container_of(t, struct upstream_dial, timer);
    if (d->winner != NULL)
        start_tls(d);
    else if (d->next < d->addrs.n)
        try_next(d);
}

/* Asking for a name takes one, and its errors do not tell that there was none. */
static bool has_descriptor(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void on_resolved(struct dns_query *q, const struct dns_addrs *addrs, const char *error)
{
    struct upstream_dial *d = container_of(q, struct upstream_dial, query);
    if (addrs == NULL) {
        dial_fail(d, has_descriptor() ? NET_FAIL_DNS : NET_FAIL_EXHAUSTED, error);
        return;
    }
    d->addrs = *addrs;
    try_next(d);
}

void dial_start(struct pool *p, struct net_lease *l)
{
    const struct upstream_config *c = &p->upstream->config;
    struct upstream_dial *d = mem_calloc(1, sizeof *d);
    lease_enter(l, LEASE_CONNECT);
    if (d == NULL) {
        permits_give(&p->upstream->connections);
        lease_fail(l, NET_FAIL_MEMORY, "");
        return;
    }
    d->pool = p;
    d->lease = l;
    l->dial = d;
    list_init(&d->tries);
    list_init(&d->query.node);
    timer_init(&d->timer, on_timer);
    if (c->unix_path.n > 0)
        try_unix(d);
    else
        dns_resolve(p->loop, c->proxy_host.n > 0 ? c->proxy_host : c->host, &d->query, on_resolved);
}

static void start_tls(struct upstream_dial *d)
{
    struct upstream *u = d->pool->upstream;
    struct net_loop *loop = d->pool->loop;
    lease_enter(d->lease, LEASE_TLS);
    d->winner->state = UC_TLS;
    if (!tls_client_context_ready(u->config.tls)) {
        if (!net_timer_set(loop, &d->timer, net_now(loop) + ROOTS_POLL_NS))
            dial_fail(d, NET_FAIL_MEMORY, "");
        return;
    }
    struct tls_session *t =
        tls_session_connect(loop, u->config.tls, u->config.sni, d->pool->resume);
    if (t == NULL) {
        dial_fail(d, NET_FAIL_MEMORY, "");
        return;
    }
    conn_start_tls(&d->winner->conn, t);
}

void dial_on_secure(struct upstream_conn *uc)
{
    dial_done(uc->dial);
}

/* The proxy's answer to CONNECT. */
void dial_on_data(struct upstream_conn *uc, struct slice data)
{
    struct upstream_dial *d = uc->dial;
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h;
    const char *why;
    if (uc->state == UC_TLS) {
        dial_fail(d, NET_FAIL_TLS, "the peer speaks before the handshake");
        return;
    }
    buf_slice(&uc->head, data);
    int n =
        uc->head.failed ? -1 : http1_head_length(HTTP1_ANSWER, buf_view(&uc->head), &uc->scanned);
    if (n == 0)
        return;
    bool ok = n > 0 && (size_t)n == uc->head.n &&
              http1_parse_answer(buf_view(&uc->head), fields, &h, &why) == 0 && h.status == 200;
    char detail[40] = "malformed answer";
    if (n > 0 && !ok && uc->head.n > 12) {
        memcpy(detail, "status ", 7);
        memcpy(detail + 7, uc->head.p + 9, 3);
        detail[10] = '\0';
    }
    buf_done(&uc->head);
    uc->scanned = 0;
    if (ok)
        start_tls(d);
    else
        dial_fail(d, NET_FAIL_PROXY, detail);
}

void dial_on_end(struct upstream_conn *uc, int err)
{
    struct upstream_dial *d = uc->dial;
    if (uc->state == UC_PROXY)
        dial_fail(d, NET_FAIL_PROXY, "connection closed");
    else if (uc->state == UC_TLS)
        dial_fail(d, NET_FAIL_TLS,
                  err == CONN_BAD_TLS ? tls_error(uc->conn.tls)
                                      : "connection closed in the handshake");
}
