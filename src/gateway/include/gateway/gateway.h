/* The workers: threads that take requests from clients and answer them. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/snapshot.h"

struct gateway;

/* A listening address and its descriptors: one for each worker where the kernel spreads connections
 * (SO_REUSEPORT), else one that all share. */
struct gw_listen {
    const int *fds; /* `workers` of them, or one */
    size_t fds_n;
    bool unix_socket, proxy_protocol, half_close_answer;
};

struct gateway_config {
    unsigned workers;
    const struct gw_listen *listen;
    size_t listen_n;
    int64_t connections, connections_per_client, body_memory_bytes;
    struct gw_snapshot *snapshot;  /* a reference is taken */
    struct limit_registry *limits; /* outlives the gateway */
    struct ledger *ledger;         /* the same, with a lane for each worker; NULL: none */
    int64_t wall_offset_ns;        /* of gateway_set_wall */
};

/* Starts the workers, which accept at once. NULL: no memory or no threads, see the log. */
NODISCARD struct gateway *gateway_start(const struct gateway_config *config);

/* Wall-clock time less monotonic time, for the times of rows: follows steps of the machine's clock
 * slowly (policy/calendar.h). */
void gateway_set_wall(struct gateway *g, int64_t offset_ns);

/* All workers go over to `s`; requests that are under way finish with what they began with. */
void gateway_install(struct gateway *g, struct gw_snapshot *s);

/* Begins the end: /readyz says 503 from now on, everything else goes on. */
void gateway_unready(struct gateway *g);
/* Accepts no more; idle connections close, open exchanges go on. */
void gateway_drain(struct gateway *g);
/* Exchanges that are open. */
int64_t gateway_open_exchanges(const struct gateway *g);
/* Breaks what is still open, joins the workers and frees everything. */
void gateway_stop(struct gateway *g);

/* The longest turn of worker `i`'s loop since the last call, and since when it has been busy with
 * the current one (0: waiting for events). */
unsigned gateway_workers(const struct gateway *g);
int64_t gateway_take_lag(struct gateway *g, unsigned i);
int64_t gateway_busy_since(const struct gateway *g, unsigned i);

/* Writes the gateway's own metrics (connections, body memory, upstream connections, lag). */
void gateway_metrics(struct buf *out, void *gateway);

#endif
