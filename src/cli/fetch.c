/* HTTP for commands: see fetch.h. */
#include "fetch.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/egress.h"

#define TICK_NS      (100 * NS_PER_MS)
#define MEMORY_BYTES ((int64_t)256 << 20)
#define URL_MAX      ((size_t)16384)
#define FIELDS_MAX   ((size_t)65536)
#define ARENA_MAX    ((size_t)1 << 20)

struct fetcher {
    struct net_loop loop;
    struct block_budget budget;
    struct tls_client_context *tls; /* made at the first https:// */
    struct upstream *upstream;      /* the last origin, whose connection may still be open */
    struct buf origin;              /* which one that is */
    const char *ca_file, *user_agent;
    uv_poll_t cancel;
    bool cancel_set;
    struct timer tick;
    /* the request under way */
    const struct fetch_request *request;
    struct arena arena; /* of one hop */
    struct buf url, next_url, fields;
    struct net_lease lease;
    struct fetch_outcome outcome;
    int64_t begun_ns, heard_ns; /* of this hop; heard: the last byte of the body */
    bool hop_over, redirected, sent_tls;
};

static void on_tick(struct timer *t);

struct fetcher *fetcher_new(const char *ca_file, const char *user_agent)
{
    struct fetcher *f = mem_calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->budget.limit_bytes = MEMORY_BYTES;
    if (net_loop_init(&f->loop, 64, &f->budget) != 0) {
        mem_free(f);
        return NULL;
    }
    f->ca_file = ca_file;
    f->user_agent = user_agent;
    timer_init(&f->tick, on_tick);
    arena_init(&f->arena, NULL, ARENA_MAX);
    buf_init(&f->url, URL_MAX);
    buf_init(&f->next_url, URL_MAX);
    buf_init(&f->origin, URL_MAX);
    buf_init(&f->fields, FIELDS_MAX);
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (f == NULL)
        return;
    net_timer_stop(&f->loop, &f->tick);
    net_loop_done(&f->loop);
    upstream_unref(f->upstream);
    tls_client_context_unref(f->tls);
    if (f->tls != NULL)
        tls_roots_done();
    arena_reset(&f->arena);
    buf_done(&f->url);
    buf_done(&f->next_url);
    buf_done(&f->origin);
    buf_done(&f->fields);
    mem_free(f);
}

/* This hop is over, one way or another. */
static void end_hop(struct fetcher *f, enum fetch_end end)
{
    f->outcome.end = end;
    f->hop_over = true;
    net_loop_stop(&f->loop);
}

static void explain(struct fetcher *f, const char *what, const char *detail)
{
    snprintf(f->outcome.why, sizeof f->outcome.why, "%s%s%s", what, detail[0] != '\0' ? ": " : "",
             detail);
}

static void give_up(struct fetcher *f, enum fetch_end end, const char *what, const char *detail)
{
    net_lease_cancel(&f->lease);
    explain(f, what, detail);
    end_hop(f, end);
}

static void on_cancel(uv_poll_t *p, int status, int events)
{
    struct fetcher *f = p->data;
    (void)status, (void)events;
    if (f->request != NULL && !f->hop_over)
        give_up(f, FETCH_CANCELLED, "interrupted", "");
}

void fetcher_cancel_on(struct fetcher *f, int fd)
{
    if (f->cancel_set || fd < 0 || uv_poll_init(&f->loop.uv, &f->cancel, fd) != 0)
        return;
    f->cancel.data = f;
    f->cancel_set = true;
}

/* What takes too long in the phase that the lease is in, or NULL. */
static const char *overdue(const struct fetcher *f, int64_t now)
{
    const struct fetch_request *r = f->request;
    switch (f->lease.phase) {
    case LEASE_WAIT:
    case LEASE_CONNECT:
    case LEASE_TLS:
        return r->connect_ns > 0 && now - f->begun_ns > r->connect_ns ? "connecting took too long"
                                                                      : NULL;
    case LEASE_WRITE:
    case LEASE_HEAD:
        return r->head_ns > 0 && now - f->lease.phase_since_ns > r->head_ns
                   ? "the server does not answer"
                   : NULL;
    case LEASE_BODY:
        return r->idle_ns > 0 && now - MAX_OF(f->heard_ns, f->lease.phase_since_ns) > r->idle_ns
                   ? "the server has stopped sending"
                   : NULL;
    case LEASE_DONE: break;
    }
    return NULL;
}

static void on_tick(struct timer *t)
{
    struct fetcher *f = container_of(t, struct fetcher, tick);
    int64_t now = net_now(&f->loop);
    if (f->hop_over)
        return;
    const char *late = overdue(f, now);
    if (late != NULL) {
        give_up(f, FETCH_TIMEOUT, late, "");
        return;
    }
    if (f->request->on_tick != NULL && !f->request->on_tick(f->request->ctx, now)) {
        give_up(f, FETCH_STOPPED, "", "");
        return;
    }
    if (!net_timer_set(&f->loop, t, now + TICK_NS))
        give_up(f, FETCH_FAILED, "out of memory", "");
}

static bool leads_on(const struct http_head *h)
{
    switch (h->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: return http_field_get(h, HTTP_LOCATION).n > 0;
    default: return false;
    }
}

static bool has_scheme(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ':')
            return i > 0;
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && (i == 0 || ((c < '0' || c > '9') && strchr("+-.", c) == NULL)))
            return false;
    }
    return false;
}

/* Where `location` leads from `base` (RFC 3986 section 5.2, without dot segments), in `a`. .p NULL:
 * no memory. */
static struct slice resolve(struct slice base, struct slice location, struct arena *a)
{
    size_t scheme = (size_t)(slice_find(base, ':') + 1), authority_end = scheme + 2;
    if (has_scheme(location))
        return arena_copy(a, location);
    if (slice_starts(location, SLICE("//")))
        return arena_printf(a, SLICE_FMT SLICE_FMT, (int)scheme, base.p, SLICE_ARG(location));
    while (authority_end < base.n && strchr("/?#", base.p[authority_end]) == NULL)
        authority_end++;
    size_t end = authority_end, keep = authority_end;
    while (end < base.n && strchr("?#", base.p[end]) == NULL)
        end++;
    if (location.n > 0 && *location.p == '?')
        keep = end;
    else if (location.n == 0 || *location.p != '/')
        for (size_t i = authority_end; i < end; i++)
            keep = base.p[i] == '/' ? i + 1 : keep;
    const char *slash = keep == authority_end && location.n > 0 && *location.p != '/' ? "/" : "";
    return arena_printf(a, SLICE_FMT "%s" SLICE_FMT, (int)keep, base.p, slash, SLICE_ARG(location));
}

static void on_head(struct net_lease *l, const struct http_head *h)
{
    struct fetcher *f = container_of(l, struct fetcher, lease);
    f->heard_ns = net_now(&f->loop);
    f->redirected = f->request->redirects_max > 0 && leads_on(h);
    f->outcome.headed = !f->redirected;
    if (!f->request->on_head(f->request->ctx, h, f->redirected)) {
        give_up(f, FETCH_STOPPED, "", "");
        return;
    }
    if (!f->redirected)
        return;
    struct slice to = resolve(buf_view(&f->url), http_field_get(h, HTTP_LOCATION), &f->arena);
    buf_reset(&f->next_url);
    buf_slice(&f->next_url, to);
    if (to.p == NULL || f->next_url.failed)
        give_up(f, FETCH_REFUSED, "the server redirects to a URL that is too long", "");
    else
        give_up(f, FETCH_DONE, "", ""); /* the body of a redirect is of no interest */
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    struct fetcher *f = container_of(l, struct fetcher, lease);
    (void)last;
    f->heard_ns = net_now(&f->loop);
    if (!f->request->on_data(f->request->ctx, data))
        give_up(f, FETCH_STOPPED, "", "");
}

static void on_flush(struct net_lease *l)
{
    (void)l;
}

static void on_writable(struct net_lease *l)
{
    (void)l; /* no body is streamed */
}

static bool on_end(struct net_lease *l)
{
    end_hop(container_of(l, struct fetcher, lease), FETCH_DONE);
    return true;
}

/* The texts of the table speak to clients of the gateway; these speak to people at a terminal. */
static const char *fail_text(enum net_fail why)
{
    switch (why) {
    case NET_FAIL_DNS: return "the name of the server cannot be resolved";
    case NET_FAIL_CONNECT: return "no connection";
    case NET_FAIL_PROXY: return "the proxy refused the connection";
    case NET_FAIL_TLS: return "the TLS handshake failed";
    case NET_FAIL_RESET: return "the server closed the connection without an answer";
    case NET_FAIL_BAD_ANSWER: return "the server's answer is not valid HTTP";
    case NET_FAIL_TRUNCATED: return "the server's answer was cut off";
    case NET_FAIL_EXHAUSTED: return "no descriptor or port is left for a connection";
    case NET_FAIL_MEMORY:
    case NET_FAILS_N: break;
    }
    return "out of memory";
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct fetcher *f = container_of(l, struct fetcher, lease);
    f->outcome.fail = why;
    explain(f, fail_text(why), detail);
    end_hop(f, FETCH_FAILED);
}

static const struct net_lease_ops lease_ops = {.on_head = on_head,
                                               .on_body = on_body,
                                               .on_writable = on_writable,
                                               .on_flush = on_flush,
                                               .on_end = on_end,
                                               .on_fail = on_fail};

static bool must_encode(char c)
{
    return (uint8_t)c <= ' ' || (uint8_t)c >= 0x7F || strchr("\"<>\\^`{|}", c) != NULL;
}

/* `s` with what may not stand in a URL percent-encoded, up to a fragment. */
static struct slice clean_url(struct slice s, struct arena *a)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, 3 * s.n), *o = out;
    if (out == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < s.n && s.p[i] != '#'; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (must_encode(s.p[i])) {
            *o++ = '%';
            *o++ = digits[c >> 4];
            *o++ = digits[c & 15];
        } else {
            *o++ = (char)c;
        }
    }
    return slice_of(out, (size_t)(o - out));
}

bool fetch_url(struct slice url, struct arena *a, struct net_url *ret, struct slice *ret_target,
               const char **ret_why)
{
    struct slice clean = clean_url(url, a);
    *ret_why = "out of memory";
    if (clean.p == NULL)
        return false;
    ptrdiff_t mark = slice_find(clean, '?');
    struct slice base = mark >= 0 ? slice_of(clean.p, (size_t)mark) : clean;
    if (!net_url_parse(base, ret, ret_why))
        return false;
    size_t start = ret->tls ? strlen("https://") : strlen("http://");
    while (start < base.n && base.p[start] != '/')
        start++;
    struct slice path = slice_from(base, start);
    struct slice query = mark >= 0 ? slice_from(clean, (size_t)mark) : SLICE_NONE;
    *ret_target = arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(path.n > 0 ? path : SLICE("/")),
                               SLICE_ARG(query));
    return ret_target->p != NULL;
}

/* The TLS settings, made when they are first needed. */
static bool need_tls(struct fetcher *f)
{
    struct buf error;
    if (f->tls != NULL)
        return true;
    buf_init(&error, 300);
    f->tls = tls_client_context_new(f->ca_file, NULL, NULL, &error);
    if (f->tls == NULL)
        snprintf(f->outcome.why, sizeof f->outcome.why, SLICE_FMT, SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    return f->tls != NULL;
}

/* Makes f->upstream the origin of `url`; an open connection to the same one is kept. */
static bool use_origin(struct fetcher *f, const struct net_url *url)
{
    struct upstream_config config = {.host = url->host, .port = url->port};
    const char *why = "";
    if (f->request->upstream != NULL) {
        upstream_unref(f->upstream);
        f->upstream = upstream_ref(f->request->upstream);
        buf_reset(&f->origin);
        return true;
    }
    struct slice name = arena_printf(&f->arena, "%s " SLICE_FMT " %u", url->tls ? "tls" : "plain",
                                     SLICE_ARG(url->host), url->port);
    if (name.p == NULL) {
        explain(f, "out of memory", "");
        return false;
    }
    if (f->upstream != NULL && slice_eq(name, buf_view(&f->origin)))
        return true;
    upstream_unref(TAKE(f->upstream));
    if (url->tls && !need_tls(f))
        return false;
    config.tls = url->tls ? f->tls : NULL;
    if (!net_egress_set(net_egress_proxy(SLICE_NONE, SLICE_NONE, url), &f->arena, &config, &why)) {
        explain(f, "the proxy in the environment cannot be used", why);
        return false;
    }
    f->upstream = upstream_new(&config);
    buf_reset(&f->origin);
    buf_slice(&f->origin, name);
    if (f->upstream == NULL)
        explain(f, "out of memory", "");
    return f->upstream != NULL;
}

static struct slice origin_of(struct slice url)
{
    size_t n = 0, slashes = 0;
    while (n < url.n && url.p[n] != '?' && url.p[n] != '#' && (slashes += url.p[n] == '/') < 3)
        n++;
    return slice_of(url.p, n);
}

/* Everything that makes a redirect unacceptable. */
static const char *refuse_redirect(const struct fetcher *f, unsigned hops)
{
    struct slice to = buf_view(&f->next_url);
    bool https = slice_eq_nocase(slice_of(to.p, MIN_OF(to.n, (size_t)8)), SLICE("https://"));
    if (hops >= f->request->redirects_max)
        return "too many redirects";
    if (f->sent_tls && !https)
        return "the server redirects from https:// to an unprotected URL";
    return NULL;
}

/* One request to f->url; its end is in f->outcome. */
static void run_hop(struct fetcher *f)
{
    const struct fetch_request *r = f->request;
    struct net_request request = {.method = r->method, .has_body = r->has_body};
    struct net_url url;
    const char *why = "";
    f->hop_over = f->redirected = false;
    f->outcome = (struct fetch_outcome){.end = FETCH_REFUSED};
    arena_reset(&f->arena);
    if (!fetch_url(buf_view(&f->url), &f->arena, &url, &request.target, &why)) {
        explain(f, "the URL cannot be used", why);
        return;
    }
    if (!use_origin(f, &url))
        return;
    f->sent_tls = url.tls;
    bool own = slice_eq_nocase(origin_of(buf_view(&f->url)), origin_of(r->url));
    buf_reset(&f->fields);
    if (f->user_agent != NULL)
        http_put_field(&f->fields, SLICE("User-Agent"), slice_str(f->user_agent));
    buf_slice(&f->fields, r->fields);
    request.fields = buf_view(&f->fields);
    request.more_fields = own ? r->credential : SLICE_NONE;
    request.body = &r->body;
    request.body_parts = r->has_body;
    request.body_bytes = r->body.n;
    f->loop.now_valid = false; /* the caller has been away from the loop */
    f->begun_ns = f->heard_ns = net_now(&f->loop);
    net_lease_start(&f->lease, &f->loop, f->upstream, &request, &lease_ops);
    if (!net_timer_set(&f->loop, &f->tick, f->begun_ns + TICK_NS))
        give_up(f, FETCH_FAILED, "out of memory", "");
    while (!f->hop_over)
        net_loop_run(&f->loop);
    net_timer_stop(&f->loop, &f->tick);
}

struct fetch_outcome fetch(struct fetcher *f, const struct fetch_request *r)
{
    f->request = r;
    buf_reset(&f->url);
    buf_slice(&f->url, r->url);
    if (f->cancel_set)
        uv_poll_start(&f->cancel, UV_READABLE, on_cancel);
    for (unsigned hops = 0;; hops++) {
        run_hop(f);
        if (!f->redirected || f->outcome.end != FETCH_DONE)
            break;
        const char *refused = refuse_redirect(f, hops);
        if (refused != NULL) {
            f->outcome.end = FETCH_REFUSED;
            explain(f, refused, "");
            break;
        }
        buf_reset(&f->url);
        buf_slice(&f->url, buf_view(&f->next_url));
    }
    if (f->cancel_set)
        uv_poll_stop(&f->cancel);
    f->request = NULL;
    return f->outcome;
}
