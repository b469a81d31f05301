/* Connections of one thread to its upstreams: dialling, keeping, reusing. */
#ifndef NET_POOL_H
#define NET_POOL_H

#include "conn.h"
#include "dns.h"
#include "http1.h"
#include "net/upstream.h"
#include "tls.h"

#define POOLS_MAX 4096 /* upstreams per process */

struct upstream {
    _Atomic unsigned refs, pools; /* pools: threads that have one, each with a reference */
    uint32_t id;                  /* index in each thread's table of pools */
    struct upstream_config config;
    struct slice authority;
    struct permits connections;
    struct arena arena;
};

enum upstream_conn_state { UC_DIALLING, UC_PROXY, UC_TLS, UC_BUSY, UC_IDLE, UC_CLOSING };

/* A connection to an upstream. */
struct upstream_conn {
    struct conn conn;
    enum upstream_conn_state state;
    struct pool *pool;
    struct net_lease *lease;    /* whose answer is being read; NULL when idle */
    struct upstream_dial *dial; /* while dialling */
    struct list node;           /* in pool.idle, or among the tries of a dial */
    struct list in_pool;        /* in pool.all */
    int64_t idle_since_ns;
    uv_connect_t connect_req;
    /* the answer being read */
    struct buf head; /* of a head that came in pieces */
    size_t scanned;
    struct http1_chunked chunked;
    int64_t left; /* bytes of a counted body */
    enum { BODY_COUNTED, BODY_CHUNKED, BODY_TO_END } body;
    bool keep, permit; /* keep: may be reused; permit: holds a place under the cap */
    unsigned interim;  /* 1xx heads seen */
};

/* One thread's connections to one upstream. */
struct pool {
    struct net_loop *loop;
    struct upstream *upstream;
    struct list all;
    struct list idle;    /* newest first */
    struct list waiting; /* leases that wait for a place under the cap */
    SSL_SESSION *resume;
};

struct net_pools {
    struct pool *by_id[POOLS_MAX];
    struct timer sweep;
    struct net_loop *loop;
    uint64_t tickets;
};

/* The thread's pool for `u`, made at first use; NULL: no memory. */
struct pool *pool_get(struct net_loop *loop, struct upstream *u);
/* Makes `loop` understand this module's messages. */
void pools_listen(struct net_loop *loop);
void pools_free(struct net_pools *pools);

/* Finds or makes a connection for `l`; it ends in lease_send or in lease_fail. */
void pool_serve(struct pool *p, struct net_lease *l);

/* The connection's answer is over: keeps it, gives it to a waiting lease, or closes it. */
void pool_release(struct upstream_conn *uc);
void upstream_conn_close(struct upstream_conn *uc);

/* dial.c: opens a connection for `l`, whose place under the cap is taken already. */
void dial_start(struct pool *p, struct net_lease *l);
void dial_cancel(struct upstream_dial *d);
/* The socket of a dial is up or has failed; the caller sends or reports. */
void dial_on_data(struct upstream_conn *uc, struct slice data);
void dial_on_end(struct upstream_conn *uc, int err);
void dial_on_secure(struct upstream_conn *uc);

/* lease.c */
void lease_enter(struct net_lease *l, enum lease_phase phase);
void lease_send(struct net_lease *l, struct upstream_conn *uc);
void lease_fail(struct net_lease *l, enum net_fail why, const char *detail);
extern const struct conn_ops upstream_conn_ops;

#endif
