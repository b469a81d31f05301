/* One GET /health at a time over an engine's Unix socket. */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#include "net/upstream.h"

struct probe;
/* `status` is the answer's, or 0: there was none, and `why` says why. */
typedef void probe_fn(struct probe *p, unsigned status, const char *why);

struct probe {
    struct net_loop *loop;
    struct upstream *upstream;
    struct net_lease lease;
    probe_fn *done;
    unsigned status;
    bool flying;
};

/* False: no memory. The path is copied. */
NODISCARD bool probe_init(struct probe *p, struct net_loop *loop, const char *socket,
                          probe_fn *done);
void probe_done(struct probe *p); /* harmless on a zeroed one */

/* Asks, unless a question is open already; `done` comes later, or during the call. */
void probe_start(struct probe *p);
/* No answer is wanted any more. */
void probe_cancel(struct probe *p);

#endif
