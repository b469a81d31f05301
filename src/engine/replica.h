/* One engine process and its life: started, watched, drained, stopped, started again. */
#ifndef ENGINE_REPLICA_H
#define ENGINE_REPLICA_H

#include "channel.h"
#include "gateway/gate.h"
#include "probe.h"
#include "retry.h"
#include "settings.h"

/* X(id, name, what the gate does meanwhile). In DRAINING and STOPPING the gate does what it will do
 * in the state that comes next. */
#define REPLICA_STATES(X)                                                                          \
    X(STOPPED, "stopped", GATE_FAILED)                                                             \
    X(STARTING, "starting", GATE_STARTING)                                                         \
    X(READY, "ready", GATE_OPEN)                                                                   \
    X(DRAINING, "draining", GATE_STARTING) /* nothing new; open requests may end */                \
    X(STOPPING, "stopping", GATE_STARTING) /* until the process and its group are gone */          \
    X(BACKOFF, "backoff", GATE_STARTING)   /* failed; starts again in a moment */                  \
    X(FAILED, "failed", GATE_FAILED)       /* failed too often; starts again now and then */       \
    X(RETRYING, "retrying", GATE_FAILED)   /* such a start; nobody is made to wait for it */
enum replica_state {
#define X(id, name, gate) REPLICA_##id,
    REPLICA_STATES(X)
#undef X
        REPLICA_STATES_N
};

struct replica;
/* What the owner brings. */
struct replica_owner {
    /* The state, pid or counters have changed. The replica must stay. */
    void (*changed)(struct replica *r);
    /* Are there requests at it? */
    bool (*busy)(struct replica *r);
};

#define REPLICA_REASON_BYTES 480

struct replica {
    uint32_t magic;
    struct net_loop *loop;
    const struct replica_owner *owner;
    const char *self; /* path of the weir binary */
    struct settings *settings;
    struct settings *fresh; /* for the next start, or NULL */
    enum replica_state state;
    enum replica_state next; /* in DRAINING and STOPPING: what comes then */
    int64_t state_since_ns, state_since_wall_ns;
    struct timer timer;      /* always armed, so that moving it cannot fail */
    struct channel *channel; /* NULL: no process */
    struct probe probe;
    struct retry retry;
    int64_t pid;             /* 0: no engine */
    int64_t starts;          /* so far */
    int64_t start_took_ns;   /* of the latest start that led to READY; 0: none yet */
    int64_t progress_ns;     /* when the start last showed a sign of life */
    int64_t rss_bytes;       /* the most seen during the start */
    int64_t poll_ns;         /* pause before the next probe */
    int64_t probed_ns;       /* when the open or latest probe was sent */
    int64_t deadline_ns;     /* of the drain, or of what outlives its shim */
    int64_t pause_ns;        /* after a failure, from when nothing of the process is left */
    unsigned probe_failures; /* in a row, while READY */
    unsigned stop_steps;     /* beyond SIGTERM */
    char reason[REPLICA_REASON_BYTES]; /* of the latest failure */
};

/* Takes `settings` over when it succeeds. False: no memory, or too many upstreams. */
NODISCARD bool replica_init(struct replica *r, struct net_loop *loop, const char *self,
                            const struct replica_owner *owner, struct settings *settings);
/* Gives everything back; what still runs is killed. */
void replica_done(struct replica *r);

/* The replica is to run with `settings`, which are taken over: starts it, restarts it after
 * draining when its process has to change, and cuts a pause after a failure short. */
void replica_run(struct replica *r, struct settings *settings);

/* The replica is to end: drains, stops. It is STOPPED once `changed` says so. */
void replica_stop(struct replica *r);

enum gate_state replica_gate(const struct replica *r);
const char *replica_state_name(enum replica_state s);

#endif
