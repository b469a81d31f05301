/* One worker: a loop, its listeners, its exchanges, and scratch that all of them share. */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include "base/json.h"
#include "base/thread.h"
#include "exchange.h"
#include "explain.h"
#include "gateway/gateway.h"
#include "llm/aws_sigv4.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* Messages to workers, behind those of net/upstream.h. */
#define GW_MSG_GRANT    (NET_MSG_FREE + 0) /* a place at a gate */
#define GW_MSG_SNAPSHOT (NET_MSG_FREE + 1)
#define GW_MSG_DRAIN    (NET_MSG_FREE + 2)
#define GW_MSG_STOP     (NET_MSG_FREE + 3)
#define GW_MSG_SHED     (NET_MSG_FREE + 4) /* no place at a gate: it is not waited for any more */

/* Of its mailbox, which has to hold the end of every wait. */
#define WAITS_MAX    32768
#define MAILBOX_SIZE (2u * WAITS_MAX)

/* Exchanges are made in pages and reused, so that late messages find them. */
#define SLOT_PAGE  64u
#define SLOT_PAGES 4096u

/* A snapshot and how many of this worker's exchanges use it: counted here, so that the shared
 * counter is touched once per worker and reload. */
struct snapshot_use {
    struct gw_snapshot *snapshot; /* a reference */
    int64_t exchanges;
    bool current;
};

struct worker {
    struct net_loop loop;
    pthread_t thread;
    struct gateway *gateway;
    unsigned index;
    struct snapshot_use *use; /* the current one */
    struct net_listener **listeners;
    size_t listeners_n;
    struct exchange *pages[SLOT_PAGES];
    uint32_t pages_n;
    struct list free_slots;
    struct list open; /* exchanges */
    int64_t open_n;
    int64_t waits_n; /* places in queues: each ends with a message */
    struct json_parser *json;
    struct json_parser *json_aside; /* for texts inside what `json` holds */
    struct buf out;                 /* what the running callback relays to a client */
    struct buf events;              /* joined data of events with several lines */
    struct buf line;                /* access log line */
    struct buf fields;              /* header lines of the answer that is being sent */
    struct aws_signing_key signing_key;
    struct metric_shard *metrics;
    struct limit_pool *limits;
    struct explain_ring *explain;
    struct ledger_lane *lane; /* NULL: nothing is written down */
    struct {
        uint64_t hash;
        uint32_t id;
    } names[256]; /* ledger numbers of names that no snapshot has */
    struct log_ring *log;
    struct {
        uint64_t hash;
        uint32_t id;
    } labels[256];                /* metric ids of names that are no alias */
    uint64_t id_random, id_count; /* of request ids */
    uint64_t random;
    bool draining;
};

struct gateway {
    struct gateway_config config;
    struct worker *workers;
    unsigned workers_n;
    struct net_server_counts counts;
    struct block_budget budget;
    _Atomic bool unready;
    _Atomic int64_t open;
    _Atomic int64_t wall_offset_ns; /* steady wall time less the loops' clock */
    struct meter *meter;
    struct retry_budget retries; /* of requests that name a target themselves */
};

/* A free exchange of the worker, or NULL: no memory or too many. */
struct exchange *worker_slot_take(struct worker *w);
void worker_slot_give(struct worker *w, struct exchange *x);

/* Counts one more, or one less exchange of `u`; the last one frees a snapshot that was replaced. */
struct snapshot_use *snapshot_use_ref(struct snapshot_use *u);
void snapshot_use_unref(struct snapshot_use *u);

/* When the exchange began, by the steady wall clock. */
static inline int64_t exchange_wall_ns(const struct exchange *x)
{
    return x->started_ns + x->worker->gateway->wall_offset_ns;
}

/* 64 random bits, not for secrets. */
uint64_t worker_random(struct worker *w);

/* The metric id of `label`, which is no alias: its own once a request of it has succeeded. */
uint32_t worker_label_id(struct worker *w, struct slice label, bool succeeded);

/* server.c: what the listeners call. */
extern const struct net_server_ops gw_server_ops;

#endif
