/* One thread's pools of upstream connections. */
#include "pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "loops.h"

#define IDLE_LIMIT_NS (55 * NS_PER_S) /* below the 60 s after which many servers close */
#define SWEEP_NS      (5 * NS_PER_S)

static void on_sweep(struct timer *t);
static void on_grant(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx);
static void on_close_idle(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx);

static struct net_pools *pools_of(struct net_loop *loop)
{
    if (loop->pools != NULL)
        return loop->pools;
    struct net_pools *ps = mem_calloc(1, sizeof *ps);
    if (ps == NULL)
        return NULL;
    ps->loop = loop;
    timer_init(&ps->sweep, on_sweep);
    if (!net_timer_set(loop, &ps->sweep, net_now(loop) + SWEEP_NS)) {
        mem_free(ps);
        return NULL;
    }
    loop->pools = ps;
    return ps;
}

void pools_listen(struct net_loop *loop)
{
    net_loop_on_message(loop, NET_MSG_CONNECTION_GRANT, on_grant, NULL);
    net_loop_on_message(loop, NET_MSG_CLOSE_IDLE, on_close_idle, NULL);
}

struct pool *pool_get(struct net_loop *loop, struct upstream *u)
{
    struct net_pools *ps = pools_of(loop);
    if (ps == NULL || ps->by_id[u->id] != NULL)
        return ps != NULL ? ps->by_id[u->id] : NULL;
    struct pool *p = mem_calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->loop = loop;
    p->upstream = upstream_ref(u);
    u->pools++;
    list_init(&p->all);
    list_init(&p->idle);
    list_init(&p->waiting);
    ps->by_id[u->id] = p;
    return p;
}

static void pool_free(struct pool *p)
{
    SSL_SESSION_free(p->resume);
    p->upstream->pools--;
    upstream_unref(p->upstream);
    mem_free(p);
}

static void close_idle(struct pool *p, int64_t idle_before_ns)
{
    while (!list_empty(&p->idle)) {
        struct upstream_conn *oldest = container_of(p->idle.prev, struct upstream_conn, node);
        if (oldest->idle_since_ns > idle_before_ns)
            return;
        upstream_conn_close(oldest);
    }
}

/* Closes what has been idle too long, and forgets pools of upstreams that nobody else knows. */
static void on_sweep(struct timer *t)
{
    struct net_pools *ps = container_of(t, struct net_pools, sweep);
    int64_t now = net_now(ps->loop);
    for (uint32_t id = 0; id < POOLS_MAX; id++) {
        struct pool *p = ps->by_id[id];
        if (p == NULL)
            continue;
        unsigned pools = p->upstream->pools; /* read first: more of them means more references */
        bool retired = p->upstream->refs == pools;
        close_idle(p, retired ? now : now - IDLE_LIMIT_NS);
        if (retired && list_empty(&p->all)) {
            ps->by_id[id] = NULL;
            pool_free(p);
        }
    }
    if (!net_timer_set(ps->loop, t, now + SWEEP_NS))
        ASSERT(false && "the slot that the timer just left is free");
}

/* The loop is going down: connections close without their leases hearing of it. */
void pools_free(struct net_pools *ps)
{
    if (ps == NULL)
        return;
    net_timer_stop(ps->loop, &ps->sweep);
    for (uint32_t id = 0; id < POOLS_MAX; id++) {
        struct pool *p = ps->by_id[id];
        if (p == NULL)
            continue;
        list_foreach (it, &p->all)
            upstream_conn_close(container_of(it, struct upstream_conn, in_pool));
        while (!list_empty(&p->all))
            uv_run(&ps->loop->uv, UV_RUN_NOWAIT);
        pool_free(p);
    }
    mem_free(ps);
}

/* On the thread that gave a place back, under the permits' lock. The message carries a reference.
 */
static void post_grant(struct permit_waiter *w)
{
    struct net_lease *l = container_of(w, struct net_lease, permit);
    struct mailbox_msg msg = {
        .kind = NET_MSG_CONNECTION_GRANT, .slot = l->ticket, .ptr = upstream_ref(l->upstream)};
    if (!net_loop_post(l->loop, msg))
        ASSERT(false && "a mailbox holds a grant for every waiting lease");
}

static void on_grant(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct upstream *u = msg->ptr;
    struct pool *p = loop->pools != NULL ? loop->pools->by_id[u->id] : NULL;
    struct net_lease *found = NULL;
    (void)ctx;
    if (p != NULL) {
        list_foreach (it, &p->waiting) {
            struct net_lease *l = container_of(it, struct net_lease, waiting);
            if (found == NULL && l->ticket == msg->slot)
                found = l;
        }
    }
    if (found != NULL) {
        list_remove(&found->waiting);
        dial_start(p, found);
    } else {
        permits_give(&u->connections); /* the lease left while its grant was on the way */
    }
    upstream_unref(u);
}

static void on_close_idle(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct upstream *u = msg->ptr;
    struct pool *p = loop->pools != NULL ? loop->pools->by_id[u->id] : NULL;
    (void)ctx;
    if (p != NULL && !list_empty(&p->idle) && u->connections.waiting_n > 0)
        upstream_conn_close(container_of(p->idle.prev, struct upstream_conn, node));
    upstream_unref(u);
}

/* All places are taken: whoever keeps an idle connection is asked to give it up. This thread has
 * one when `l` cannot use it. */
static void wait_for_place(struct pool *p, struct net_lease *l)
{
    lease_enter(l, LEASE_WAIT);
    list_push_back(&p->waiting, &l->waiting);
    if (!list_empty(&p->idle))
        upstream_conn_close(container_of(p->idle.prev, struct upstream_conn, node));
    else
        loops_ask_idle(p->loop, p->upstream);
}

void pool_serve(struct pool *p, struct net_lease *l)
{
    if (!l->resent && !l->request->streamed) { /* what cannot be sent twice wants a new one */
        struct list *newest = list_pop_front(&p->idle);
        if (newest != NULL) {
            l->reused = true;
            lease_send(l, container_of(newest, struct upstream_conn, node));
            return;
        }
    }
    l->reused = false;
    l->permit.grant = post_grant;
    l->ticket = ++p->loop->pools->tickets;
    list_init(&l->waiting);
    switch (permits_take(&p->upstream->connections, &l->permit)) {
    case PERMIT_TAKEN: dial_start(p, l); break;
    case PERMIT_WAITING: wait_for_place(p, l); break;
    case PERMIT_REFUSED: lease_fail(l, NET_FAIL_MEMORY, ""); break;
    }
}

/* A lease of this thread that waits takes the connection with its place; its own grant, if it is on
 * the way already, will find it gone. */
static struct net_lease *pop_waiting(struct pool *p)
{
    struct list *first = list_pop_front(&p->waiting);
    if (first == NULL)
        return NULL;
    struct net_lease *l = container_of(first, struct net_lease, waiting);
    permits_leave(&p->upstream->connections, &l->permit);
    return l;
}

void pool_release(struct upstream_conn *uc)
{
    struct pool *p = uc->pool;
    if (uc->conn.tls != NULL) {
        SSL_SESSION *s = tls_take_resumable(uc->conn.tls);
        if (s != NULL) {
            SSL_SESSION_free(p->resume);
            p->resume = s;
        }
    }
    bool keep =
        uc->keep && !conn_full(&uc->conn) && !uc->conn.ended && conn_read_start(&uc->conn) == 0;
    struct net_lease *l = keep ? pop_waiting(p) : NULL;
    if (l != NULL) {
        l->reused = true;
        lease_send(l, uc);
    } else if (!keep || p->upstream->connections.waiting_n > 0) {
        upstream_conn_close(uc);
    } else {
        uc->state = UC_IDLE;
        uc->idle_since_ns = net_now(p->loop);
        list_push_front(&p->idle, &uc->node);
    }
}

void upstream_conn_close(struct upstream_conn *uc)
{
    if (uc->state == UC_CLOSING)
        return;
    uc->state = UC_CLOSING;
    list_remove(&uc->node);
    if (uc->permit)
        permits_give(&uc->pool->upstream->connections);
    uc->permit = false;
    conn_close(&uc->conn);
}
