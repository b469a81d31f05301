/* Admin routes. Who may call them: on the Unix socket root and the user that runs Weir; on TCP
 * whoever has the token, and anyone on loopback where none is set; requests from web pages of other
 * origins, or for other hosts, never. */
#include "admin.h"

#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "service_listen.h"

enum access { ACCESS_SOCKET, ACCESS_ADMIN, ACCESS_METRICS };

struct door {
    struct admin *admin;
    enum access access;
    bool public; /* other machines reach it */
    struct net_listener *listener;
};

struct admin {
    struct net_loop *loop;
    struct admin_hooks hooks;
    struct door doors[3];
    unsigned doors_n;
    char token[512], address[256]; /* of the admin port; the address as configured at the start */
    struct net_server_counts counts;
};

struct reply {
    unsigned status;
    const char *type;
    struct buf body;
};

static void get_metrics(struct admin *a, struct reply *r)
{
    (void)a;
    r->type = "text/plain; version=0.0.4; charset=utf-8";
    metric_render(&r->body);
}

static void get_live(struct admin *a, struct reply *r)
{
    (void)a;
    buf_lit(&r->body, "{\"status\":\"ok\"}");
}

static void get_ready(struct admin *a, struct reply *r)
{
    bool ready = a->hooks.ready(a->hooks.ctx);
    r->status = ready ? 200 : 503;
    buf_slice(&r->body, ready ? SLICE("{\"status\":\"ok\"}") : SLICE("{\"status\":\"draining\"}"));
}

static void get_status(struct admin *a, struct reply *r)
{
    a->hooks.status(a->hooks.ctx, &r->body);
}

static void post_reload(struct admin *a, struct reply *r)
{
    bool ok = a->hooks.reload(a->hooks.ctx, &r->body);
    r->type = "text/plain; charset=utf-8";
    r->status = ok ? 200 : 422;
    if (ok && r->body.n == 0)
        buf_lit(&r->body, "reloaded\n");
}

static void post_reopen(struct admin *a, struct reply *r)
{
    (void)a;
    log_reopen();
    buf_lit(&r->body, "{\"status\":\"ok\"}");
}

static const struct route {
    struct slice path;
    enum http_method method;
    bool open;    /* without a credential */
    bool metrics; /* on the metrics port too */
    void (*run)(struct admin *a, struct reply *r);
} routes[] = {
    {{"/metrics", 8}, HTTP_GET, false, true, get_metrics},
    {{"/livez", 6}, HTTP_GET, true, true, get_live},
    {{"/readyz", 7}, HTTP_GET, true, true, get_ready},
    {{"/health", 7}, HTTP_GET, true, true, get_live},
    {{"/ready", 6}, HTTP_GET, true, true, get_ready},
    {{"/admin/v1/status", 16}, HTTP_GET, false, false, get_status},
    {{"/admin/v1/reload", 16}, HTTP_POST, false, false, post_reload},
    {{"/admin/v1/logs/reopen", 21}, HTTP_POST, false, false, post_reopen},
};

static void send_reply(struct net_stream *s, struct reply *r)
{
    char fields[160];
    int n = snprintf(fields, sizeof fields,
                     "Content-Type: %s\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n",
                     r->type);
    struct net_answer head = {.status = r->status,
                              .fields = slice_of(fields, (size_t)n),
                              .content_length = (int64_t)r->body.n};
    struct slice part = buf_view(&r->body);
    if (net_stream_send(s, &head, &part, part.n > 0, true) == NET_SENT_GONE)
        log_event(LOG_DEBUG, "admin.gone", "the client left before its answer");
    buf_done(&r->body);
}

static void refuse(struct net_stream *s, unsigned status, const char *why)
{
    struct reply r = {.status = status, .type = "application/json"};
    buf_init(&r.body, 4096);
    buf_printf(&r.body, "{\"error\":{\"message\":\"%s\"}}", why);
    send_reply(s, &r);
}

static bool host_is(struct slice authority, struct slice name)
{
    return slice_starts(authority, name) && (authority.n == name.n || authority.p[name.n] == ':');
}

/* A page of another origin may not talk to us through a browser, nor a name that was rebound: that
 * would lend a stranger the place of whoever runs the browser, which only counts on loopback. */
static bool browser_safe(const struct http_head *h, const struct door *d)
{
    struct slice origin = http_field_get(h, HTTP_ORIGIN);
    struct net_addr literal;
    if (d->access == ACCESS_SOCKET)
        return true;
    if (origin.n > 0) {
        ptrdiff_t at = slice_find(origin, '/');
        struct slice host = at >= 0 ? slice_from(origin, (size_t)at + 2) : origin;
        if (!slice_eq_nocase(host, h->authority))
            return false;
    }
    if (d->public || (d->access == ACCESS_ADMIN && d->admin->token[0] != '\0'))
        return true;
    return host_is(h->authority, SLICE("localhost")) || net_addr_parse(h->authority, 0, &literal) ||
           net_addr_parse_port(h->authority, &literal);
}

static bool authorised(struct net_stream *s, const struct http_head *h, const struct door *d)
{
    const char *token = d->admin->token;
    if (d->access == ACCESS_METRICS)
        return true;
    if (d->access == ACCESS_SOCKET) {
        int64_t uid = net_stream_peer_uid(s);
        return uid == 0 || uid == (int64_t)geteuid();
    }
    if (*token == '\0')
        return true;
    struct slice auth = http_field_get(h, HTTP_AUTHORIZATION);
    bool bearer = auth.n > 7 && slice_eq_nocase(slice_of(auth.p, 7), SLICE("Bearer "));
    struct slice given = bearer ? slice_from(auth, 7) : SLICE_NONE;
    return given.n == strlen(token) && equal_constant_time(given.p, token, given.n);
}

static const struct route *find_route(const struct http_head *h, const struct door *d)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        bool here = d->access != ACCESS_METRICS || routes[i].metrics;
        if (here && slice_eq(routes[i].path, h->path))
            return &routes[i];
    }
    return NULL;
}

static void on_request(struct net_stream *s, const struct http_head *h, void *ctx)
{
    struct door *d = ctx;
    const struct route *route = find_route(h, d);
    if (!browser_safe(h, d)) {
        refuse(s, 403, "this host or origin may not use the admin port");
        return;
    }
    if (route == NULL) {
        refuse(s, 404, "there is nothing at this path");
        return;
    }
    if (!route->open && !authorised(s, h, d)) {
        refuse(s, 401, "send the admin token as `Authorization: Bearer TOKEN`");
        return;
    }
    if (h->method != route->method && !(h->method == HTTP_HEAD && route->method == HTTP_GET)) {
        refuse(s, 405, "this method is not allowed here");
        return;
    }
    struct reply r = {.status = 200, .type = "application/json"};
    buf_init(&r.body, (size_t)64 << 20);
    route->run(d->admin, &r);
    send_reply(s, &r);
}

static void on_nothing(struct net_stream *s)
{
    (void)s;
}

static void on_body(struct net_stream *s, struct slice data)
{
    (void)s, (void)data;
}

static void on_gone(struct net_stream *s, enum net_gone why)
{
    (void)s, (void)why;
}

static void on_refuse(unsigned status, const char *why, struct buf *body, void *ctx)
{
    (void)ctx;
    buf_printf(body, "{\"error\":{\"message\":\"%s\",\"status\":%u}}", why, status);
}

static const struct net_server_ops ops = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_nothing,
    .on_gone = on_gone,
    .on_drain = on_nothing,
    .on_refuse = on_refuse,
};

bool admin_tls(const struct config *c, struct tls_server_context **ret, struct buf *error)
{
    const struct config_tls *t = &c->admin_tls;
    struct buf why;
    *ret = NULL;
    if (c->admin_listen.n == 0 || t->cert.n == 0)
        return true;
    buf_init(&why, 1024);
    *ret = tls_server_context_new(t->cert.p, t->key.p, t->client_ca.n > 0 ? t->client_ca.p : NULL,
                                  &why);
    if (*ret == NULL)
        buf_printf(error, "admin.tls: %.*s\n", SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    return *ret != NULL;
}

static struct net_server_limits time_limits(const struct config *c)
{
    return (struct net_server_limits){.head_ns = c->server.head_ns,
                                      .idle_ns = c->server.idle_ns,
                                      .body_ns = c->server.body_idle_ns,
                                      .write_ns = c->server.write_ns};
}

static void set_token(struct admin *a, const struct config *c)
{
    mem_wipe(a->token, sizeof a->token);
    snprintf(a->token, sizeof a->token, "%.*s", SLICE_ARG(c->admin_token));
}

void admin_update(struct admin *a, const struct config *c, struct tls_server_context *tls)
{
    const struct net_server_limits limits = time_limits(c);
    if (!slice_eq(c->admin_listen, slice_str(a->address)))
        return; /* credentials that do for another address may not do for this one */
    set_token(a, c);
    for (unsigned i = 0; i < a->doors_n; i++) {
        bool admin = a->doors[i].access == ACCESS_ADMIN;
        net_listener_update(a->doors[i].listener, admin ? tls : NULL, &limits);
    }
}

static bool open_door(struct admin *a, enum access access, struct slice address,
                      const struct config *c, struct buf *error)
{
    struct door *d = &a->doors[a->doors_n];
    struct tls_server_context *tls = NULL;
    int fd = net_listen(address, false);
    if (fd < 0) {
        listen_put_error(error, address, fd);
        return false;
    }
    if (access == ACCESS_ADMIN && !admin_tls(c, &tls, error)) {
        close(fd);
        return false;
    }
    struct net_listener_config config = {
        .fd = fd,
        .unix_socket = access == ACCESS_SOCKET,
        .tls = tls,
        .limits = time_limits(c),
        .ops = &ops,
        .ctx = d,
        .counts = &a->counts,
    };
    struct net_addr addr;
    bool public = net_addr_parse_port(address, &addr) && !net_addr_is_loopback(&addr);
    *d = (struct door){.admin = a, .access = access, .public = public};
    d->listener = net_listener_new(a->loop, &config);
    tls_server_context_unref(tls);
    if (d->listener == NULL) {
        buf_printf(error, "cannot accept on %.*s\n", SLICE_ARG(address));
        return false;
    }
    a->doors_n++;
    return true;
}

struct admin *admin_open(struct net_loop *loop, const struct config *c, const char *socket_path,
                         const struct admin_hooks *hooks, struct buf *error)
{
    struct admin *a = mem_must(mem_calloc(1, sizeof *a));
    char address[300];
    a->loop = loop;
    a->hooks = *hooks;
    a->counts.limit = 1000;
    set_token(a, c);
    snprintf(a->address, sizeof a->address, "%.*s", SLICE_ARG(c->admin_listen));
    snprintf(address, sizeof address, "unix:%s", socket_path);
    bool ok = open_door(a, ACCESS_SOCKET, slice_str(address), c, error);
    if (ok && c->admin_listen.n > 0)
        ok = open_door(a, ACCESS_ADMIN, c->admin_listen, c, error);
    if (ok && c->metrics_listen.n > 0)
        ok = open_door(a, ACCESS_METRICS, c->metrics_listen, c, error);
    if (ok)
        return a;
    admin_close(a);
    return NULL;
}

void admin_close(struct admin *a)
{
    if (a == NULL)
        return;
    for (unsigned i = 0; i < a->doors_n; i++)
        net_listener_free(a->doors[i].listener);
    while (a->counts.open > 0)
        uv_run(&a->loop->uv, UV_RUN_NOWAIT);
    mem_wipe(a->token, sizeof a->token);
    mem_free(a);
}
