/* The event loop of one thread. */
#include "net/loop.h"

#include <stdatomic.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dns.h"
#include "loops.h"
#include "pool.h"
#include "tls.h"

#define LOOP_MAGIC    0x4c4f4f50u
#define SCRATCH_BYTES ((size_t)8 << 20)
#define KEEP_CHUNKS   1024
#define KEEP_BLOCKS   ((size_t)16 << 20)

static void on_alarm(uv_timer_t *t)
{
    struct net_loop *loop = t->data;
    loop->alarm_ns = INT64_MAX; /* it only wakes the poll; timers run after it */
}

/* Before the poll: the turn's clock is over, and the alarm covers the next deadline. */
static void on_prepare(uv_prepare_t *p)
{
    struct net_loop *loop = p->data;
    int64_t next = timers_next(&loop->timers);
    if (next < loop->alarm_ns) {
        int64_t wait_ns = MAX_OF(next - net_now(loop), INT64_C(0));
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->alarm, on_alarm, (uint64_t)((wait_ns + NS_PER_MS - 1) / NS_PER_MS),
                       0);
        loop->alarm_ns = next;
    }
    loop->now_valid = false;
    atomic_store_explicit(&loop->busy_since_ns, 0, memory_order_relaxed);
}

/* After the poll's callbacks. */
static void on_check(uv_check_t *c)
{
    struct net_loop *loop = c->data;
    timers_run(&loop->timers, net_now(loop));
    loop->stats.turns++;
    int64_t spent = (int64_t)uv_hrtime() - loop->turn_started_ns;
    loop->stats.busy_ns += spent;
    if (spent > atomic_load_explicit(&loop->lag_max_ns, memory_order_relaxed))
        atomic_store_explicit(&loop->lag_max_ns, spent, memory_order_relaxed);
}

static void on_wake(uv_async_t *a)
{
    struct net_loop *loop = a->data;
    struct mailbox_msg msg;
    while (mailbox_take(loop->mailbox, &msg)) {
        ASSERT(msg.kind < NET_MESSAGE_KINDS && loop->handlers[msg.kind].fn != NULL);
        loop->handlers[msg.kind].fn(loop, &msg, loop->handlers[msg.kind].ctx);
    }
}

static int init_handles(struct net_loop *loop)
{
    int err = uv_loop_init(&loop->uv);
    if (err < 0)
        return err;
    loop->uv.data = loop;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->prepare.data = loop->check.data = loop->alarm.data = loop->wake.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    uv_unref((uv_handle_t *)&loop->alarm);
    return uv_async_init(&loop->uv, &loop->wake, on_wake);
}

/* What others sent too late holds references and places under caps. */
static void drop_messages(struct net_loop *loop)
{
    struct mailbox_msg msg;
    while (mailbox_take(loop->mailbox, &msg)) {
        if (msg.kind < NET_MSG_FREE)
            loop->handlers[msg.kind].fn(loop, &msg, loop->handlers[msg.kind].ctx);
    }
}

int net_loop_init(struct net_loop *loop, uint32_t mailbox_size, struct block_budget *budget)
{
    *loop = (struct net_loop){.magic = LOOP_MAGIC, .alarm_ns = INT64_MAX};
    timers_init(&loop->timers);
    arena_pool_init(&loop->arenas, KEEP_CHUNKS);
    block_pool_init(&loop->blocks, budget, KEEP_BLOCKS);
    loop->mailbox = mailbox_new(mailbox_size);
    loop->read_window = mem_alloc(NET_READ_BYTES);
    loop->scratch = mem_calloc(1, sizeof *loop->scratch);
    if (loop->mailbox == NULL || loop->read_window == NULL || loop->scratch == NULL)
        return UV_ENOMEM;
    buf_init(loop->scratch, SCRATCH_BYTES);
    int err = init_handles(loop);
    pools_listen(loop);
    if (err == 0)
        loops_add(loop);
    return err;
}

void net_loop_on_message(struct net_loop *loop, uint32_t kind, net_message_fn *fn, void *ctx)
{
    ASSERT(kind < NET_MESSAGE_KINDS);
    loop->handlers[kind].fn = fn;
    loop->handlers[kind].ctx = ctx;
}

bool net_loop_post(struct net_loop *loop, struct mailbox_msg msg)
{
    CHECK_MAGIC(loop, LOOP_MAGIC);
    if (!mailbox_post(loop->mailbox, msg))
        return false;
    /* uv_async_send does nothing where a wake-up is pending already, and looks for one without a
     * barrier: that look must not come before the message is seen, or the loop may take the wake-up
     * in between and find nothing. */
    atomic_thread_fence(memory_order_seq_cst);
    uv_async_send(&loop->wake);
    return true;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void net_loop_run(struct net_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void net_loop_stop(struct net_loop *loop)
{
    uv_stop(&loop->uv);
}

void net_loop_done(struct net_loop *loop)
{
    CHECK_MAGIC(loop, LOOP_MAGIC);
    loops_remove(loop);
    pools_free(TAKE(loop->pools));
    dns_free(TAKE(loop->dns));
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    drop_messages(loop);
    timers_done(&loop->timers);
    arena_pool_done(&loop->arenas);
    block_pool_done(&loop->blocks);
    mailbox_free(TAKE(loop->mailbox));
    tls_scratch_free(TAKE(loop->tls));
    mem_free(loop->read_window);
    buf_done(loop->scratch);
    mem_free(loop->scratch);
    loop->magic = 0;
}

int64_t net_loop_take_lag(struct net_loop *loop)
{
    return atomic_exchange_explicit(&loop->lag_max_ns, 0, memory_order_relaxed);
}
