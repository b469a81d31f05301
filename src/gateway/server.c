/* What the listeners call: health checks are answered at once, everything else becomes an exchange.
 */
#include "base/clock.h"
#include "respond.h"
#include "worker.h"

static bool is_live_path(struct slice p)
{
    return slice_is(p, "/livez") || slice_is(p, "/health") || slice_is(p, "/health/liveliness");
}

static bool is_ready_path(struct slice p)
{
    return slice_is(p, "/readyz") || slice_is(p, "/ready") || slice_is(p, "/health/readiness");
}

/* Keyless, not logged, never a call to an upstream. */
static bool answer_health(struct net_stream *s, const struct http_head *h, struct worker *w)
{
    if (h->method != HTTP_GET && h->method != HTTP_HEAD)
        return false;
    bool live = is_live_path(h->path);
    if (!live && !is_ready_path(h->path))
        return false;
    bool ok = live || !w->gateway->unready;
    struct slice body = ok ? SLICE("{\"status\":\"ok\"}") : SLICE("{\"status\":\"draining\"}");
    struct net_answer a = {.status = ok ? 200 : 503,
                           .fields = SLICE("Content-Type: application/json\r\n"),
                           .content_length = (int64_t)body.n};
    if (net_stream_send(s, &a, &body, 1, true) == NET_SENT_GONE)
        return true; /* nobody is left to be told */
    return true;
}

static void on_request(struct net_stream *s, const struct http_head *h, void *ctx)
{
    struct worker *w = ctx;
    if (answer_health(s, h, w))
        return;
    struct exchange *x = exchange_new(w);
    if (x == NULL) {
        respond_without_exchange(s, w->pages_n < SLOT_PAGES ? GW_NO_MEMORY : GW_TOO_MANY_OPEN);
        return;
    }
    x->client = s;
    x->sink = &client_sink;
    x->peer = *net_stream_peer(s);
    x->started_ns = net_stream_started_ns(s);
    x->head = h;
    net_stream_set_data(s, x);
    exchange_run(x);
}

static void on_body(struct net_stream *s, struct slice data)
{
    struct exchange *x = net_stream_data(s);
    exchange_body(x, data);
}

static void on_body_end(struct net_stream *s)
{
    exchange_body_end(net_stream_data(s));
}

static void on_gone(struct net_stream *s, enum net_gone why)
{
    struct exchange *x = net_stream_data(s);
    static const enum gw_error errors[] = {
        [NET_GONE_CLOSED] = GW_CLIENT_GONE,
        [NET_GONE_BROKEN] = GW_BAD_REQUEST,
        [NET_GONE_TIMEOUT] = GW_CLIENT_SLOW,
        [NET_GONE_SHUTDOWN] = GW_SHUTTING_DOWN,
    };
    x->client = NULL;
    x->sink = NULL;
    exchange_cancel(x, errors[why]);
}

static void on_drain(struct net_stream *s)
{
    exchange_sink_drained(net_stream_data(s));
}

static void on_refuse(unsigned status, const char *why, struct buf *body, void *ctx)
{
    struct llm_error e = {.message = slice_str(why),
                          .type = status >= 500 ? SLICE(T_SERVER) : SLICE(T_REQUEST),
                          .code = slice_str(status >= 500 ? "unavailable" : "bad_request")};
    (void)ctx;
    openai_put_error(body, &e);
}

const struct net_server_ops gw_server_ops = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_gone = on_gone,
    .on_drain = on_drain,
    .on_refuse = on_refuse,
};
