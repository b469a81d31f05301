/* c-ares in the event loop, with a cache. */
#include "dns.h"

#include <ares.h>
#include <netdb.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"

#define TTL_MIN_NS     (1 * NS_PER_S)
#define TTL_MAX_NS     (300 * NS_PER_S)
#define RETRY_NS       (1 * NS_PER_S)    /* a failed name is not asked for again before */
#define STALE_AFTER_NS (500 * NS_PER_MS) /* an expired answer is used when none came by then */
#define ENTRIES_MAX    1024
#define HOST_MAX       255
#define POLL_MS        50 /* how often c-ares looks at its own timeouts while it waits */

struct entry {
    struct list node; /* in net_dns.entries */
    struct net_dns *dns;
    struct list waiting; /* of dns_query */
    struct dns_addrs addrs;
    int64_t expires_ns;
    bool asking;
    struct timer stale; /* while asking with an expired answer in hand */
    char host[HOST_MAX + 1];
};

struct net_dns {
    struct net_loop *loop;
    ares_channel channel;
    struct list entries;
    struct list sockets;
    uv_timer_t *tick;
    unsigned count, asking;
};

/* One of c-ares' sockets in the loop. */
struct dns_socket {
    struct list node;
    uv_poll_t poll;
    struct net_dns *dns;
    ares_socket_t fd;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static void free_handle(uv_handle_t *h)
{
    mem_free(h->data);
}

static void free_timer(uv_handle_t *h)
{
    mem_free(h);
}

static void on_socket_ready(uv_poll_t *p, int status, int events)
{
    struct dns_socket *s = p->data;
    struct net_dns *dns = s->dns;
    ares_socket_t bad = ARES_SOCKET_BAD;
    bool in = status < 0 || (events & UV_READABLE), out = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(dns->channel, in ? s->fd : bad, out ? s->fd : bad);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct net_dns *dns = arg;
    struct dns_socket *s = NULL;
    list_foreach (it, &dns->sockets) {
        struct dns_socket *candidate = container_of(it, struct dns_socket, node);
        if (candidate->fd == fd)
            s = candidate;
    }
    if (!readable && !writable) {
        if (s != NULL) {
            list_remove(&s->node);
            uv_close((uv_handle_t *)&s->poll, free_handle);
        }
        return;
    }
    if (s == NULL) {
        s = mem_calloc(1, sizeof *s);
        if (s == NULL)
            return; /* the query times out */
        if (uv_poll_init_socket(&dns->loop->uv, &s->poll, fd) != 0) {
            mem_free(s);
            return;
        }
        s->dns = dns;
        s->fd = fd;
        s->poll.data = s;
        list_push_back(&dns->sockets, &s->node);
    }
    uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                  on_socket_ready);
}

static void on_tick(uv_timer_t *t)
{
    struct net_dns *dns = t->data;
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (dns->asking == 0)
        uv_timer_stop(t);
}

static char
    servers[256]; /* "10.0.0.2:53,..." instead of the system's; set before any thread runs */

bool net_dns_servers(struct slice csv)
{
    if (csv.n >= sizeof servers)
        return false;
    memcpy(servers, csv.p, csv.n);
    servers[csv.n] = '\0';
    return true;
}

static struct net_dns *dns_new(struct net_loop *loop)
{
    struct net_dns *dns = mem_calloc(1, sizeof *dns);
    uv_timer_t *tick = mem_calloc(1, sizeof *tick);
    struct ares_options o = {
        .timeout = 1500, .tries = 2, .sock_state_cb = on_socket_state, .sock_state_cb_data = dns};
    pthread_once(&library_once, init_library);
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (dns == NULL || tick == NULL || ares_init_options(&dns->channel, &o, mask) != ARES_SUCCESS) {
        mem_free(dns);
        mem_free(tick);
        return NULL;
    }
    if (servers[0] != '\0')
        ares_set_servers_ports_csv(dns->channel, servers);
    dns->loop = loop;
    dns->tick = tick;
    list_init(&dns->entries);
    list_init(&dns->sockets);
    uv_timer_init(&loop->uv, tick);
    tick->data = dns;
    return dns;
}

/* Gives every waiter the entry's addresses, or the error when there are none. */
static void answer_waiters(struct entry *e, const char *error)
{
    struct list waiting;
    struct dns_addrs addrs = e->addrs; /* who is called may ask for so many names that `e` goes */
    list_init(&waiting);
    for (struct list *it; (it = list_pop_front(&e->waiting)) != NULL;)
        list_push_back(&waiting, it);
    for (struct list *it; (it = list_pop_front(&waiting)) != NULL;) {
        struct dns_query *q = container_of(it, struct dns_query, node);
        q->done(q, addrs.n > 0 ? &addrs : NULL, error);
    }
}

static void on_stale(struct timer *t)
{
    answer_waiters(container_of(t, struct entry, stale), NULL);
}

/* Families take turns, beginning with the first answer's. */
static unsigned interleave(const struct ares_addrinfo *info, struct dns_addrs *ret, int *ret_ttl)
{
    const struct ares_addrinfo_node *next[2] = {NULL, NULL};
    int first = info->nodes != NULL ? info->nodes->ai_family : AF_INET;
    *ret_ttl = 0;
    ret->n = 0;
    next[0] = next[1] = info->nodes;
    for (unsigned turn = 0; ret->n < DNS_ADDRS_MAX && (next[0] != NULL || next[1] != NULL);
         turn++) {
        const struct ares_addrinfo_node **at = &next[turn % 2];
        int family = turn % 2 == 0 ? first : (first == AF_INET ? AF_INET6 : AF_INET);
        while (*at != NULL && (*at)->ai_family != family)
            *at = (*at)->ai_next;
        if (*at == NULL)
            continue;
        ret->addr[ret->n++] = net_addr_of((*at)->ai_addr);
        *ret_ttl = ret->n == 1 ? (*at)->ai_ttl : MIN_OF(*ret_ttl, (*at)->ai_ttl);
        *at = (*at)->ai_next;
    }
    return ret->n;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct entry *e = arg;
    struct net_dns *dns = e->dns;
    struct dns_addrs addrs;
    int ttl;
    (void)timeouts;
    dns->asking--;
    e->asking = false;
    net_timer_stop(dns->loop, &e->stale);
    if (status == ARES_EDESTRUCTION) {
        answer_waiters(e, "shutting down");
        return;
    }
    int64_t now = net_now(dns->loop);
    if (status == ARES_SUCCESS && interleave(info, &addrs, &ttl) > 0) {
        e->addrs = addrs;
        int64_t keep = MAX_OF((int64_t)ttl * NS_PER_S, TTL_MIN_NS);
        e->expires_ns = now + MIN_OF(keep, TTL_MAX_NS);
    } else {
        e->expires_ns = now + RETRY_NS; /* the last good answer, if any, goes on */
    }
    if (info != NULL)
        ares_freeaddrinfo(info);
    answer_waiters(e, status == ARES_SUCCESS ? "no address" : ares_strerror(status));
}

static void ask(struct net_dns *dns, struct entry *e)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    e->asking = true;
    dns->asking++;
    if (e->addrs.n > 0 && !net_timer_set(dns->loop, &e->stale, net_now(dns->loop) + STALE_AFTER_NS))
        e->addrs.n = 0;
    if (!uv_is_active((uv_handle_t *)dns->tick))
        uv_timer_start(dns->tick, on_tick, POLL_MS, POLL_MS);
    ares_getaddrinfo(dns->channel, e->host, NULL, &hints, on_answer, e);
}

/* Names come from the configuration, so the table only fills after very many reloads. */
static void drop_oldest(struct net_dns *dns)
{
    list_foreach (it, &dns->entries) {
        struct entry *e = container_of(it, struct entry, node);
        if (e->asking)
            continue;
        list_remove(&e->node);
        mem_free(e);
        dns->count--;
        return;
    }
}

static struct entry *find(struct net_dns *dns, struct slice host)
{
    list_foreach (it, &dns->entries) {
        struct entry *e = container_of(it, struct entry, node);
        if (slice_eq_nocase(slice_str(e->host), host))
            return e;
    }
    struct entry *e = host.n <= HOST_MAX ? mem_calloc(1, sizeof *e) : NULL;
    if (e == NULL)
        return NULL;
    if (dns->count >= ENTRIES_MAX)
        drop_oldest(dns);
    e->dns = dns;
    memcpy(e->host, host.p, host.n);
    list_init(&e->waiting);
    timer_init(&e->stale, on_stale);
    list_push_back(&dns->entries, &e->node);
    dns->count++;
    return e;
}

void dns_resolve(struct net_loop *loop, struct slice host, struct dns_query *q, dns_done_fn *done)
{
    struct dns_addrs literal = {.n = 1};
    list_init(&q->node);
    q->done = done;
    if (net_addr_parse(host, 0, &literal.addr[0])) {
        done(q, &literal, NULL);
        return;
    }
    if (loop->dns == NULL)
        loop->dns = dns_new(loop);
    struct entry *e = loop->dns != NULL ? find(loop->dns, host) : NULL;
    if (e == NULL) {
        done(q, NULL, "out of memory or name too long");
        return;
    }
    if (!e->asking && net_now(loop) < e->expires_ns) {
        done(q, e->addrs.n > 0 ? &e->addrs : NULL, "name not found");
        return;
    }
    if (e->asking && e->addrs.n > 0 && !timer_armed(&e->stale)) { /* the resolver had its time */
        done(q, &e->addrs, NULL);
        return;
    }
    list_push_back(&e->waiting, &q->node);
    if (!e->asking)
        ask(loop->dns, e);
}

void dns_cancel(struct dns_query *q)
{
    if (q->node.next != NULL)
        list_remove(&q->node);
}

void dns_free(struct net_dns *dns)
{
    if (dns == NULL)
        return;
    ares_destroy(dns->channel);
    for (struct list *it; (it = list_pop_front(&dns->entries)) != NULL;)
        mem_free(container_of(it, struct entry, node));
    uv_close((uv_handle_t *)dns->tick, free_timer);
    mem_free(dns);
}
