/* One thread's event loop: libuv, a clock read once per turn, deadlines, a mailbox for messages
 * from other threads, and memory that all connections of the thread share. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <uv.h>

#include "base/arena.h"
#include "base/block.h"
#include "base/mailbox.h"
#include "base/slice.h"
#include "base/timers.h"

#define NET_READ_BYTES    ((size_t)65536) /* shared read window: the most that one read brings */
#define NET_MESSAGE_KINDS 8

struct net_loop;
typedef void net_message_fn(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx);

struct net_loop_stats {
    int64_t turns;
    int64_t busy_ns;    /* time spent in callbacks, all turns */
    int64_t lag_max_ns; /* longest turn since net_loop_take_lag */
};

struct net_loop {
    uint32_t magic;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t alarm;
    uv_async_t wake;
    struct timers timers;
    struct mailbox *mailbox;
    struct {
        net_message_fn *fn;
        void *ctx;
    } handlers[NET_MESSAGE_KINDS];
    int64_t now_ns, alarm_ns, turn_started_ns;
    bool now_valid, reading; /* `reading`: the read window is in use by a callback */
    char *read_window;       /* NET_READ_BYTES */
    struct buf *scratch;     /* head serialisation and edited events; empty between callbacks */
    struct arena_pool arenas;
    struct block_pool blocks;
    struct tls_scratch *tls;
    struct net_dns *dns;
    struct net_pools *pools;
    struct net_loop_stats stats;
    _Atomic int64_t busy_since_ns; /* for the watchdog of another thread; 0: waiting in poll */
    _Atomic int64_t lag_max_ns;
};

/* Sets up `loop`, whose mailbox holds `mailbox_size` messages (a power of two). 0, or a negative
 * libuv error. `budget` limits block memory and outlives the loop. */
NODISCARD int net_loop_init(struct net_loop *loop, uint32_t mailbox_size,
                            struct block_budget *budget);

/* Runs until net_loop_stop; closes every handle that is still open before it returns. */
void net_loop_run(struct net_loop *loop);
void net_loop_stop(struct net_loop *loop); /* the loop's own thread */
void net_loop_done(struct net_loop *loop);

/* Messages of `kind` go to `fn` on the loop's thread. */
void net_loop_on_message(struct net_loop *loop, uint32_t kind, net_message_fn *fn, void *ctx);

/* Any thread: queues a message and wakes the loop. False: the mailbox is full. */
NODISCARD bool net_loop_post(struct net_loop *loop, struct mailbox_msg msg);

/* Monotonic time of this turn. */
static inline int64_t net_now(struct net_loop *loop)
{
    if (!loop->now_valid) {
        loop->now_ns = (int64_t)uv_hrtime();
        loop->now_valid = true;
        loop->turn_started_ns = loop->now_ns;
        __atomic_store_n((int64_t *)&loop->busy_since_ns, loop->now_ns, __ATOMIC_RELAXED);
    }
    return loop->now_ns;
}

/* Arms `t` at `deadline_ns` on the loop's clock. Arming a timer that was armed never fails. */
NODISCARD static inline bool net_timer_set(struct net_loop *loop, struct timer *t,
                                           int64_t deadline_ns)
{
    return timer_set(&loop->timers, t, deadline_ns);
}

static inline void net_timer_stop(struct net_loop *loop, struct timer *t)
{
    timer_stop(&loop->timers, t);
}

/* Name servers ("10.0.0.2,10.0.0.3:5353") to ask instead of the system's; before any loop runs.
 * False: too long. */
NODISCARD bool net_dns_servers(struct slice csv);

/* Any thread: the longest turn since the last call. */
int64_t net_loop_take_lag(struct net_loop *loop);

#endif
