/* The admin API's doors, and the way of a request from its head to its route. On the Unix socket
 * root and the user that runs Weir may do everything; on TCP a token says who may do what, and
 * where no token is set everybody on loopback may; requests from web pages of other origins, or for
 * other hosts, never. */
#include "admin.h"

#include <stdio.h>
#include <unistd.h>

#include "admin_access.h"
#include "admin_route.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "service_listen.h"

#define REPLY_BYTES ((size_t)64 << 20)
#define ARENA_BYTES ((size_t)64 << 20) /* what one call may take; a page of a list is far less */

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
    struct admin_tokens tokens;
    char address[256]; /* of the admin port, as configured at the start */
    struct json_parser *parser;
    struct net_server_counts counts;
};

/* A request on its way to its route. */
struct call {
    struct admin *admin;
    const struct admin_route *route;
    struct admin_request request;
    struct arena arena;
    struct buf body;
};

static void get_metrics(const struct admin_request *q, struct admin_reply *r)
{
    (void)q;
    r->type = "text/plain; version=0.0.4; charset=utf-8";
    metric_render(&r->body);
}

static void get_live(const struct admin_request *q, struct admin_reply *r)
{
    (void)q;
    buf_lit(&r->body, "{\"status\":\"ok\"}");
}

static void get_ready(const struct admin_request *q, struct admin_reply *r)
{
    bool ready = q->hooks->ready(q->hooks->ctx);
    r->status = ready ? 200 : 503;
    buf_slice(&r->body, ready ? SLICE("{\"status\":\"ok\"}") : SLICE("{\"status\":\"draining\"}"));
}

static void get_status(const struct admin_request *q, struct admin_reply *r)
{
    q->hooks->status(q->hooks->ctx, &r->body);
}

static void post_reload(const struct admin_request *q, struct admin_reply *r)
{
    bool ok = q->hooks->reload(q->hooks->ctx, &r->body);
    r->type = "text/plain; charset=utf-8";
    r->status = ok ? 200 : 422;
    if (ok && r->body.n == 0)
        buf_lit(&r->body, "reloaded\n");
}

static void post_reopen(const struct admin_request *q, struct admin_reply *r)
{
    (void)q;
    log_reopen();
    buf_lit(&r->body, "{\"status\":\"ok\"}");
}

static const struct admin_route own_rows[] = {
    {"/metrics", HTTP_GET, ROLE_VIEWER, true, 0, get_metrics},
    {"/livez", HTTP_GET, ROLE_NOBODY, true, 0, get_live},
    {"/readyz", HTTP_GET, ROLE_NOBODY, true, 0, get_ready},
    {"/health", HTTP_GET, ROLE_NOBODY, true, 0, get_live},
    {"/ready", HTTP_GET, ROLE_NOBODY, true, 0, get_ready},
    {"/admin/v1/status", HTTP_GET, ROLE_VIEWER, false, 0, get_status},
    {"/admin/v1/reload", HTTP_POST, ROLE_OPERATOR, false, 0, post_reload},
    {"/admin/v1/logs/reopen", HTTP_POST, ROLE_OPERATOR, false, 0, post_reopen},
};
static const struct admin_table own_routes = {own_rows, ARRAY_LEN(own_rows)};

static const struct admin_table *const tables[] = {&own_routes, &admin_key_routes,
                                                   &admin_usage_routes, &admin_explain_routes,
                                                   &admin_target_routes};

/* `more`: further lines for the head, or "". */
static void send_reply(struct net_stream *s, struct admin_reply *r, const char *more)
{
    char fields[400];
    if (r->body.failed)
        admin_fail(r, 500, "the answer is too long, or there is no memory for it");
    int n = snprintf(fields, sizeof fields,
                     "Content-Type: %s\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n%s",
                     r->type, more);
    struct net_answer head = {.status = r->status,
                              .fields = slice_of(fields, (size_t)n),
                              .content_length = (int64_t)r->body.n};
    struct slice part = buf_view(&r->body);
    if (net_stream_send(s, &head, &part, part.n > 0, true) == NET_SENT_GONE)
        log_event(LOG_DEBUG, "admin.gone", "the client left before its answer");
    buf_done(&r->body);
}

static void refuse(struct net_stream *s, unsigned status, const char *more, const char *why)
{
    struct admin_reply r;
    buf_init(&r.body, 4096);
    admin_fail(&r, status, "%s", why);
    send_reply(s, &r, more);
}

static bool browser_safe(const struct http_head *h, const struct door *d)
{
    bool guarded = d->public || (d->access == ACCESS_ADMIN && d->admin->tokens.any);
    return d->access == ACCESS_SOCKET || admin_browser_safe(h, guarded);
}

static enum admin_role authenticate(struct net_stream *s, const struct http_head *h,
                                    const struct door *d)
{
    if (d->access == ACCESS_METRICS)
        return ROLE_VIEWER;
    if (d->access == ACCESS_SOCKET) {
        int64_t uid = net_stream_peer_uid(s);
        return uid == 0 || uid == (int64_t)geteuid() ? ROLE_ADMIN : ROLE_NOBODY;
    }
    return d->admin->tokens.any ? admin_authenticate(&d->admin->tokens, h) : ROLE_ADMIN;
}

/* Takes from the start of `*path` what stands in the place of "**", for the row to go on with
 * `rest`. */
static bool take_several(struct slice rest, struct slice *path, struct slice *ret)
{
    size_t tail = rest.n > 0 ? rest.n + 1 : 0;
    if (path->n <= tail)
        return false;
    *ret = slice_of(path->p, path->n - tail);
    *path = tail > 0 ? slice_from(*path, ret->n + 1) : SLICE_NONE;
    return tail == 0 || ret->p[ret->n] == '/';
}

/* Does `path` fit the row's? `*ret` is what stands in the place of its asterisks. */
static bool path_fits(const char *row, struct slice path, struct slice *ret)
{
    struct slice want = slice_str(row), param = SLICE_NONE;
    while (want.n > 0 && path.n > 0) {
        struct slice w = slice_cut(&want, '/');
        if (slice_is(w, "**")) {
            if (!take_several(want, &path, &param))
                return false;
            continue;
        }
        struct slice p = slice_cut(&path, '/');
        bool any = slice_is(w, "*");
        if (any ? p.n == 0 : !slice_eq(w, p))
            return false;
        param = any ? p : param;
    }
    *ret = param;
    return want.n == 0 && path.p == NULL;
}

/* The route of that path and method. NULL: the methods that the path does take are listed in
 * `allow`, which stays empty when there is no such path. */
static const struct admin_route *find_route(const struct http_head *h, const struct door *d,
                                            struct slice *ret_param, struct buf *allow)
{
    enum http_method method = h->method == HTTP_HEAD ? HTTP_GET : h->method;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const struct admin_route *row = &tables[t]->rows[i];
            if (d->access == ACCESS_METRICS && !row->metrics)
                continue;
            if (!path_fits(row->path, h->path, ret_param))
                continue;
            if (row->method == method)
                return row;
            buf_printf(allow, "%s%s", allow->n > 0 ? ", " : "", http_method_text(row->method));
        }
    }
    return NULL;
}

static void call_free(struct call *c)
{
    if (c == NULL)
        return;
    if (c->body.p != NULL)
        mem_wipe(c->body.p, c->body.size); /* it may hold a secret */
    buf_done(&c->body);
    arena_wipe(&c->arena);
    mem_free(c);
}

/* The body is whole: runs the route and answers. */
static void call_run(struct net_stream *s, struct call *c)
{
    struct admin_reply r = {.status = 200, .type = "application/json"};
    buf_init(&r.body, REPLY_BYTES);
    c->request.body = buf_view(&c->body);
    c->route->run(&c->request, &r);
    call_free(c);
    send_reply(s, &r, "");
}

/* NULL: no memory, or a path that cannot be decoded; the client has been told. */
static struct call *call_new(struct net_stream *s, struct admin *a, const struct admin_route *route,
                             const struct http_head *h, struct slice param)
{
    struct call *c = mem_calloc(1, sizeof *c);
    if (c == NULL) {
        refuse(s, 503, "", "out of memory");
        return NULL;
    }
    c->admin = a;
    c->route = route;
    arena_init(&c->arena, NULL, ARENA_BYTES);
    buf_init(&c->body, MAX_OF(route->body_max, (size_t)1));
    c->request = (struct admin_request){.method = h->method,
                                        .query = arena_copy(&c->arena, h->query),
                                        .hooks = &a->hooks,
                                        .parser = a->parser,
                                        .arena = &c->arena};
    char *name = arena_str(&c->arena, param);
    ptrdiff_t n = name != NULL ? http_percent_decode(param, name) : -1;
    if (n >= 0) {
        name[n] = '\0';
        c->request.param = slice_of(name, (size_t)n);
        return c;
    }
    call_free(c);
    refuse(s, 400, "", "the path has a broken escape");
    return NULL;
}

static void refuse_long(struct net_stream *s, const struct admin_route *route)
{
    char why[80];
    snprintf(why, sizeof why, "the body is longer than %zu bytes", route->body_max);
    refuse(s, 413, "", why);
}

static void refuse_method(struct net_stream *s, const struct buf *allow)
{
    char line[128];
    snprintf(line, sizeof line, "Allow: %.*s\r\n", SLICE_ARG(buf_view(allow)));
    refuse(s, 405, line, "this method is not allowed here");
}

/* 401: who are you? 403: you may not. */
static void refuse_role(struct net_stream *s, enum admin_role has, enum admin_role least)
{
    char why[160];
    if (has == ROLE_NOBODY) {
        refuse(s, 401, "WWW-Authenticate: Bearer\r\n",
               "send the admin token as `Authorization: Bearer TOKEN`");
        return;
    }
    snprintf(why, sizeof why, "this takes the role `%s`, and the token is for the role `%s`",
             admin_role_name(least), admin_role_name(has));
    refuse(s, 403, "", why);
}

static void on_request(struct net_stream *s, const struct http_head *h, void *ctx)
{
    struct door *d = ctx;
    struct slice param = SLICE_NONE;
    struct buf allow;
    if (!browser_safe(h, d)) {
        refuse(s, 403, "", "this host or origin may not use the admin port");
        return;
    }
    buf_init(&allow, 64);
    const struct admin_route *route = find_route(h, d, &param, &allow);
    bool known = route != NULL || allow.n > 0;
    enum admin_role least = route != NULL ? route->least : ROLE_VIEWER;
    enum admin_role role = least == ROLE_NOBODY ? ROLE_NOBODY : authenticate(s, h, d);
    struct call *c = NULL;
    if (!known)
        refuse(s, 404, "", "there is nothing at this path");
    else if (role < least)
        refuse_role(s, role, least);
    else if (route == NULL)
        refuse_method(s, &allow);
    else if (route->body_max > 0 && h->content_length > (int64_t)route->body_max)
        refuse_long(s, route);
    else
        c = call_new(s, d->admin, route, h, param);
    buf_done(&allow);
    if (c == NULL)
        return;
    c->request.role = role;
    if (route->body_max == 0) {
        call_run(s, c);
        return;
    }
    net_stream_set_data(s, c);
    net_stream_read_body(s);
}

static void on_body(struct net_stream *s, struct slice data)
{
    struct call *c = net_stream_data(s);
    buf_slice(&c->body, data);
    if (!c->body.failed)
        return;
    net_stream_set_data(s, NULL);
    refuse_long(s, c->route);
    call_free(c);
}

static void on_body_end(struct net_stream *s)
{
    struct call *c = net_stream_data(s);
    net_stream_set_data(s, NULL);
    call_run(s, c);
}

static void on_drain(struct net_stream *s)
{
    (void)s;
}

static void on_gone(struct net_stream *s, enum net_gone why)
{
    (void)why;
    call_free(net_stream_data(s));
}

static void on_refuse(unsigned status, const char *why, struct buf *body, void *ctx)
{
    (void)ctx;
    buf_printf(body, "{\"error\":{\"message\":\"%s\",\"status\":%u}}", why, status);
}

static const struct net_server_ops ops = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_gone = on_gone,
    .on_drain = on_drain,
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

void admin_update(struct admin *a, const struct config *c, struct tls_server_context *tls)
{
    const struct net_server_limits limits = time_limits(c);
    if (!slice_eq(c->admin_listen, slice_str(a->address)))
        return; /* credentials that do for another address may not do for this one */
    if (!admin_tokens_set(&a->tokens, c))
        log_event(LOG_ERROR, "admin.tokens", "the tokens of before stay in force: hashing failed");
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
    a->parser = mem_must(json_parser_new());
    snprintf(a->address, sizeof a->address, "%.*s", SLICE_ARG(c->admin_listen));
    snprintf(address, sizeof address, "unix:%s", socket_path);
    bool ok = admin_tokens_set(&a->tokens, c);
    if (!ok)
        buf_lit(error, "admin: the tokens cannot be hashed\n");
    ok = ok && open_door(a, ACCESS_SOCKET, slice_str(address), c, error);
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
    json_parser_free(a->parser);
    mem_free(a);
}
