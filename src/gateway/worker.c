/* Workers: their threads, slots of exchanges, snapshots and messages. */
#include "worker.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "meter.h"
#include "place.h"

#define OUT_BYTES   ((size_t)16 << 20)
#define LINE_BYTES  ((size_t)65536)
#define EVENT_BYTES ((size_t)64 << 20)

struct snapshot_use *snapshot_use_ref(struct snapshot_use *u)
{
    u->exchanges++;
    return u;
}

static void use_free_if_done(struct snapshot_use *u)
{
    if (u->current || u->exchanges > 0)
        return;
    gw_snapshot_unref(u->snapshot);
    mem_free(u);
}

void snapshot_use_unref(struct snapshot_use *u)
{
    u->exchanges--;
    use_free_if_done(u);
}

static struct snapshot_use *use_new(struct gw_snapshot *s)
{
    struct snapshot_use *u = mem_calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    u->snapshot = s;
    u->current = true;
    return u;
}

static bool add_page(struct worker *w)
{
    struct exchange *page = w->pages_n < SLOT_PAGES ? mem_calloc(SLOT_PAGE, sizeof *page) : NULL;
    if (page == NULL)
        return false;
    for (uint32_t i = 0; i < SLOT_PAGE; i++) {
        page[i].slot = w->pages_n * SLOT_PAGE + i;
        list_push_back(&w->free_slots, &page[i].node);
    }
    w->pages[w->pages_n++] = page;
    return true;
}

struct exchange *worker_slot_take(struct worker *w)
{
    if (list_empty(&w->free_slots) && !add_page(w))
        return NULL;
    struct exchange *x = container_of(list_pop_front(&w->free_slots), struct exchange, node);
    list_push_back(&w->open, &x->node);
    w->open_n++;
    w->gateway->open++;
    return x;
}

void worker_slot_give(struct worker *w, struct exchange *x)
{
    uint32_t slot = x->slot, generation = x->generation + 1;
    list_remove(&x->node);
    *x = (struct exchange){.slot = slot, .generation = generation};
    list_push_front(&w->free_slots, &x->node);
    w->open_n--;
    w->gateway->open--;
}

uint32_t worker_label_id(struct worker *w, struct slice label, bool succeeded)
{
    uint64_t hash = hash64(label);
    size_t at = hash % ARRAY_LEN(w->labels);
    if (w->labels[at].hash != hash) {
        if (!succeeded)
            return 0;
        w->labels[at].hash = hash;
        w->labels[at].id = metric_model_id(label);
    }
    return w->labels[at].id;
}

/* Whoever waits for what the message of a gate says, or NULL: it is gone. An earlier attempt's
 * place is not the present one's, though it be at the same gate: that one still stands in the
 * queue. */
static struct exchange *waits_at_gate(const struct worker *w, const struct mailbox_msg *msg)
{
    uint32_t slot = (uint32_t)msg->slot, attempt = (uint32_t)(msg->slot >> 32);
    struct exchange *x = &w->pages[slot / SLOT_PAGE][slot % SLOT_PAGE];
    bool waits =
        x->generation == msg->generation && x->wait == WAIT_PLACE && x->attempt->number == attempt;
    return waits ? x : NULL;
}

/* A place at a gate. If whoever waited for it is gone, the place goes back. */
static void on_grant(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct worker *w = ctx;
    struct gate *gate = msg->ptr;
    struct exchange *x = waits_at_gate(w, msg);
    (void)loop;
    if (x != NULL && place_granted(x->attempt, gate)) {
        exchange_wake(x, WAIT_PLACE);
    } else {
        permits_give(&gate->permits);
        metric_count(w->metrics, MP_LATE_GRANTS, 1);
    }
    gate_unref(gate);
}

/* Its place in the queue has gone to another one, or its time is up. */
static void on_shed(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct exchange *x = waits_at_gate(ctx, msg);
    (void)loop;
    if (x != NULL) {
        place_shed(x->attempt, msg->ptr);
        exchange_wake(x, WAIT_PLACE);
    }
    gate_unref(msg->ptr);
}

static void on_snapshot(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct worker *w = ctx;
    struct gw_snapshot *s = msg->ptr;
    struct snapshot_use *u = use_new(s), *old = w->use;
    (void)loop;
    if (u == NULL) {
        log_event(LOG_ERROR, "reload.failed", "worker %u is out of memory", w->index);
        gw_snapshot_unref(s);
        return;
    }
    w->use = u;
    for (size_t i = 0; i < w->listeners_n; i++)
        net_listener_update(w->listeners[i], i < s->tls_n ? s->tls[i] : NULL, &s->server);
    old->current = false;
    use_free_if_done(old);
}

static void on_drain(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct worker *w = ctx;
    (void)loop, (void)msg;
    w->draining = true;
    for (size_t i = 0; i < w->listeners_n; i++) {
        net_listener_stop(w->listeners[i]);
        net_listener_drain(w->listeners[i]);
    }
}

/* Cancels the first exchange that is not yet: the end of one may be the end of others, its
 * children. False: there is none. */
static bool cancel_one(struct worker *w)
{
    list_foreach (it, &w->open) {
        struct exchange *x = container_of(it, struct exchange, node);
        if (x->cancelled != GW_OK)
            continue; /* its job still runs */
        exchange_cancel(x, GW_SHUTTING_DOWN);
        return true;
    }
    return false;
}

uint64_t worker_random(struct worker *w)
{
    return hash_mix(w->random += HASH_STEP);
}

static void on_stop(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct worker *w = ctx;
    (void)msg;
    for (size_t i = 0; i < w->listeners_n; i++)
        net_listener_free(w->listeners[i]); /* which ends their exchanges */
    w->listeners_n = 0;
    while (cancel_one(w)) {
    }
    net_loop_stop(loop);
}

static bool open_listeners(struct worker *w)
{
    const struct gateway_config *c = &w->gateway->config;
    const struct gw_snapshot *s = c->snapshot;
    w->listeners = mem_calloc(c->listen_n + 1, sizeof *w->listeners);
    if (w->listeners == NULL)
        return false;
    for (size_t i = 0; i < c->listen_n; i++) {
        const struct gw_listen *l = &c->listen[i];
        struct net_listener_config config = {
            .fd = l->fds_n > 1    ? l->fds[w->index]
                  : w->index == 0 ? l->fds[0]
                                  : dup(l->fds[0]),
            .unix_socket = l->unix_socket,
            .proxy_protocol = l->proxy_protocol,
            .half_close_answer = l->half_close_answer,
            .tls = i < s->tls_n ? s->tls[i] : NULL,
            .limits = s->server,
            .ops = &gw_server_ops,
            .ctx = w,
            .counts = &w->gateway->counts,
        };
        w->listeners[i] = net_listener_new(&w->loop, &config);
        if (w->listeners[i] == NULL)
            return false;
        w->listeners_n++;
    }
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "weir-worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    net_loop_run(&w->loop);
    return NULL;
}

static bool worker_init(struct worker *w, struct gateway *g, unsigned index)
{
    *w = (struct worker){.gateway = g, .index = index};
    list_init(&w->free_slots);
    list_init(&w->open);
    buf_init(&w->out, OUT_BYTES);
    buf_init(&w->events, EVENT_BYTES);
    buf_init(&w->line, LINE_BYTES);
    buf_init(&w->fields, LINE_BYTES);
    w->id_random = random_u64();
    w->random = random_u64();
    w->json = json_parser_new();
    w->json_aside = json_parser_new();
    w->metrics = metric_shard_new();
    w->log = log_ring_new();
    w->limits = limit_pool_new();
    w->explain = explain_ring_new();
    w->lane = g->config.ledger != NULL ? ledger_lane(g->config.ledger, index) : NULL;
    w->use = use_new(gw_snapshot_ref(g->config.snapshot));
    if (w->json == NULL || w->json_aside == NULL || w->metrics == NULL || w->log == NULL ||
        w->limits == NULL || w->explain == NULL || w->use == NULL)
        return false;
    if (net_loop_init(&w->loop, MAILBOX_SIZE, &g->budget) != 0)
        return false;
    net_loop_on_message(&w->loop, GW_MSG_GRANT, on_grant, w);
    net_loop_on_message(&w->loop, GW_MSG_SHED, on_shed, w);
    net_loop_on_message(&w->loop, GW_MSG_SNAPSHOT, on_snapshot, w);
    net_loop_on_message(&w->loop, GW_MSG_DRAIN, on_drain, w);
    net_loop_on_message(&w->loop, GW_MSG_STOP, on_stop, w);
    return open_listeners(w);
}

static void worker_done(struct worker *w)
{
    net_loop_done(&w->loop);
    if (w->use != NULL) {
        w->use->current = false;
        use_free_if_done(w->use);
    }
    for (uint32_t i = 0; i < w->pages_n; i++)
        mem_free(w->pages[i]);
    limit_pool_free(w->limits);
    explain_ring_free(w->explain);
    json_parser_free(w->json);
    json_parser_free(w->json_aside);
    buf_done(&w->out);
    buf_done(&w->events);
    buf_done(&w->line);
    buf_done(&w->fields);
    mem_free(w->listeners);
}

static bool start_threads(struct gateway *g)
{
    bool ok = true;
    for (unsigned i = 0; i < g->workers_n && ok; i++)
        ok = thread_start(&g->workers[i].thread, worker_main, &g->workers[i]);
    return ok;
}

static bool cap_clients(struct gateway *g, const struct gateway_config *config)
{
    if (config->connections_per_client == 0)
        return true;
    g->counts.clients = net_clients_new(config->connections_per_client, config->connections);
    return g->counts.clients != NULL;
}

struct gateway *gateway_start(const struct gateway_config *config)
{
    struct gateway *g = mem_calloc(1, sizeof *g);
    struct worker *workers = mem_calloc(config->workers, sizeof *workers);
    struct meter *meter = meter_new();
    if (g == NULL || workers == NULL || meter == NULL || !cap_clients(g, config)) {
        mem_free(g);
        meter_free(meter);
        mem_free(workers);
        return NULL;
    }
    g->config = *config;
    g->meter = meter;
    g->wall_offset_ns = config->wall_offset_ns;
    g->workers = workers;
    g->workers_n = config->workers;
    g->counts.limit = config->connections;
    g->budget.limit_bytes = config->body_memory_bytes;
    for (unsigned i = 0; i < g->workers_n; i++) {
        if (!worker_init(&workers[i], g, i)) {
            log_event(LOG_ERROR, "start.failed", "worker %u cannot be set up", i);
            return NULL; /* the process ends */
        }
    }
    return start_threads(g) ? g : NULL;
}

static void post_all(struct gateway *g, uint32_t kind)
{
    for (unsigned i = 0; i < g->workers_n; i++) {
        struct mailbox_msg msg = {.kind = kind};
        if (!net_loop_post(&g->workers[i].loop, msg))
            log_event(LOG_ERROR, "worker.deaf", "worker %u takes no messages", i);
    }
}

void gateway_install(struct gateway *g, struct gw_snapshot *s)
{
    for (unsigned i = 0; i < g->workers_n; i++) {
        struct mailbox_msg msg = {.kind = GW_MSG_SNAPSHOT, .ptr = gw_snapshot_ref(s)};
        if (!net_loop_post(&g->workers[i].loop, msg)) {
            log_event(LOG_ERROR, "worker.deaf", "worker %u takes no messages", i);
            gw_snapshot_unref(s);
        }
    }
}

void gateway_set_wall(struct gateway *g, int64_t offset_ns)
{
    g->wall_offset_ns = offset_ns;
}

void gateway_unready(struct gateway *g)
{
    g->unready = true;
}

void gateway_drain(struct gateway *g)
{
    g->unready = true;
    post_all(g, GW_MSG_DRAIN);
}

int64_t gateway_open_exchanges(const struct gateway *g)
{
    return g->open;
}

void gateway_stop(struct gateway *g)
{
    post_all(g, GW_MSG_STOP);
    for (unsigned i = 0; i < g->workers_n; i++)
        pthread_join(g->workers[i].thread, NULL);
    for (unsigned i = 0; i < g->workers_n; i++)
        worker_done(&g->workers[i]);
    mem_free(g->workers);
    net_clients_free(g->counts.clients);
    meter_free(g->meter);
    mem_free(g);
}

unsigned gateway_workers(const struct gateway *g)
{
    return g->workers_n;
}

int64_t gateway_take_lag(struct gateway *g, unsigned i)
{
    return net_loop_take_lag(&g->workers[i].loop);
}

int64_t gateway_busy_since(const struct gateway *g, unsigned i)
{
    return atomic_load_explicit(&g->workers[i].loop.busy_since_ns, memory_order_relaxed);
}

void gateway_metrics(struct buf *out, void *gateway)
{
    const struct gateway *g = gateway;
    meter_metrics(out, g->meter, g->config.ledger);
    metric_put(out, MS_CONNECTIONS, (double)g->counts.open);
    metric_put(out, MS_ACCEPTED, (double)g->counts.accepted);
    metric_put(out, MS_CONN_REFUSED, (double)g->counts.refused);
    metric_put(out, MS_EXCHANGES, (double)g->open);
    metric_put(out, MS_BODY_MEMORY, (double)g->budget.used_bytes);
    metric_put(out, MS_LOG_DROPPED, (double)log_dropped());
}
