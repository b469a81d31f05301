/* Health probes. */
#include "probe.h"

static void on_head(struct net_lease *l, const struct http_head *head)
{
    container_of(l, struct probe, lease)->status = head->status;
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    (void)l;
    (void)data;
    (void)last;
}

static void on_flush(struct net_lease *l)
{
    (void)l;
}

static bool on_end(struct net_lease *l)
{
    struct probe *p = container_of(l, struct probe, lease);
    p->flying = false;
    p->done(p, p->status, "");
    return false; /* a connection that is kept would occupy one of llama-server's threads */
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct probe *p = container_of(l, struct probe, lease);
    p->flying = false;
    p->done(p, 0, detail[0] != '\0' ? detail : net_fail_text(why));
}

bool probe_init(struct probe *p, struct net_loop *loop, const char *socket, probe_fn *done)
{
    struct upstream_config c = {.unix_path = slice_str(socket)};
    *p = (struct probe){.loop = loop, .done = done, .upstream = upstream_new(&c)};
    return p->upstream != NULL;
}

void probe_done(struct probe *p)
{
    probe_cancel(p);
    upstream_unref(TAKE(p->upstream));
}

void probe_start(struct probe *p)
{
    static const struct net_lease_ops ops = {.on_head = on_head,
                                             .on_body = on_body,
                                             .on_flush = on_flush,
                                             .on_end = on_end,
                                             .on_fail = on_fail};
    static const struct net_request request = {.method = HTTP_GET, .target = {"/health", 7}};
    if (p->flying)
        return;
    p->flying = true;
    p->status = 0;
    net_lease_start(&p->lease, p->loop, p->upstream, &request, &ops);
}

void probe_cancel(struct probe *p)
{
    if (p->flying)
        net_lease_cancel(&p->lease);
    p->flying = false;
}
