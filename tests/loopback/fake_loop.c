/* The played network: the loop. It has the real timers, arenas, blocks and mailbox; its clock
 * stands still until a test moves it, or is the real one where loops run free. See fake_net.h. */
#include "fake_loop.h"

#include <stdlib.h>

#include "base/clock.h"

#define LOOP_MAGIC  0x4c4f4f50u
#define KEEP_CHUNKS 64
#define KEEP_BLOCKS ((size_t)1 << 20)
#define START_NS    (1000 * NS_PER_S)
#define HOUR_NS     (3600 * NS_PER_S)

static loop_work_fn *free_work;
/* What the process keeps, health of targets say, sees one clock, which never goes back: each loop
 * begins in a later hour than those before it have seen. */
static int64_t next_start_ns = START_NS;

void loops_run_free(loop_work_fn *fn)
{
    free_work = fn;
}

static void take_messages(struct net_loop *loop)
{
    struct mailbox_msg msg;
    while (mailbox_take(loop->mailbox, &msg)) {
        ASSERT(msg.kind < NET_MESSAGE_KINDS && loop->handlers[msg.kind].fn != NULL);
        loop->handlers[msg.kind].fn(loop, &msg, loop->handlers[msg.kind].ctx);
    }
}

static void on_wake(uv_async_t *a)
{
    take_messages(a->data);
}

/* One turn of a loop that runs free. */
static void on_idle(uv_idle_t *h)
{
    struct net_loop *loop = h->data;
    loop->now_valid = false;
    timers_run(&loop->timers, net_now(loop));
    fake_of(loop)->work(loop);
}

int net_loop_init(struct net_loop *loop, uint32_t mailbox_size, struct block_budget *budget)
{
    *loop = (struct net_loop){.magic = LOOP_MAGIC, .now_ns = next_start_ns, .now_valid = true};
    timers_init(&loop->timers);
    arena_pool_init(&loop->arenas, KEEP_CHUNKS);
    block_pool_init(&loop->blocks, budget, KEEP_BLOCKS);
    loop->mailbox = mailbox_new(mailbox_size);
    struct net_pools *f = loop->pools = calloc(1, sizeof *f);
    ASSERT(f != NULL && loop->mailbox != NULL);
    list_init(&f->calls);
    f->work = free_work;
    uv_sem_init(&f->may_run, 0);
    ASSERT(uv_loop_init(&loop->uv) == 0);
    loop->uv.data = loop->wake.data = f->idle.data = loop;
    ASSERT(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    uv_idle_init(&loop->uv, &f->idle);
    if (f->work != NULL)
        uv_idle_start(&f->idle, on_idle);
    return 0;
}

/* A loop that the test turns has nothing to do here before the end. */
void net_loop_run(struct net_loop *loop)
{
    struct net_pools *f = fake_of(loop);
    if (f->work != NULL) {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        return;
    }
    uv_sem_wait(&f->may_run);
    while (!f->stopped)
        take_messages(loop);
}

void net_loop_stop(struct net_loop *loop)
{
    fake_of(loop)->stopped = true;
    if (fake_of(loop)->work != NULL)
        uv_stop(&loop->uv);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void net_loop_done(struct net_loop *loop)
{
    if (fake_of(loop)->work == NULL)
        next_start_ns = START_NS + (loop->now_ns / HOUR_NS + 1) * HOUR_NS;
    struct net_pools *f = fake_of(loop);
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0);
    ASSERT(loop->timers.count == 0);
    timers_done(&loop->timers);
    arena_pool_done(&loop->arenas);
    block_pool_done(&loop->blocks);
    mailbox_free(TAKE(loop->mailbox));
    calls_free(loop);
    uv_sem_destroy(&f->may_run);
    free(f);
    loop->pools = NULL;
}

void net_loop_on_message(struct net_loop *loop, uint32_t kind, net_message_fn *fn, void *ctx)
{
    ASSERT(kind < NET_MESSAGE_KINDS);
    loop->handlers[kind].fn = fn;
    loop->handlers[kind].ctx = ctx;
}

bool net_loop_post(struct net_loop *loop, struct mailbox_msg msg)
{
    if (!mailbox_post(loop->mailbox, msg))
        return false;
    if (fake_of(loop)->work != NULL)
        uv_async_send(&loop->wake);
    return true;
}

int64_t net_loop_take_lag(struct net_loop *loop)
{
    (void)loop;
    return 0;
}

void loop_turn(struct net_loop *loop)
{
    take_messages(loop);
    timers_run(&loop->timers, loop->now_ns);
}

void loop_advance(struct net_loop *loop, int64_t ns)
{
    loop->now_ns += ns;
    loop_turn(loop);
}

void loop_jobs(struct net_loop *loop)
{
    while (uv_loop_alive(&loop->uv) && loop->uv.active_reqs.count > 0)
        uv_run(&loop->uv, UV_RUN_ONCE);
}

struct net_listener *loop_listener(struct net_loop *loop)
{
    return fake_of(loop)->listener;
}

void loop_let_run(struct net_loop *loop)
{
    uv_sem_post(&fake_of(loop)->may_run);
}
