/* Messages from another thread: none waits for the next one's wake-up. */
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "check.h"
#include "net/upstream.h"

#define FOR_NS      NS_PER_S
#define PATIENCE_NS (20 * NS_PER_S)
#define PAUSE_MOST  4096

static struct net_loop loop;
static _Atomic int64_t seen;

static void on_count(struct net_loop *l, const struct mailbox_msg *msg, void *ctx)
{
    (void)l, (void)msg, (void)ctx;
    seen++;
}

static void on_end(struct net_loop *l, const struct mailbox_msg *msg, void *ctx)
{
    (void)msg, (void)ctx;
    net_loop_stop(l);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void *run(void *arg)
{
    net_loop_run(&loop);
    return arg;
}

static void post(uint32_t kind)
{
    CHECK(net_loop_post(&loop, (struct mailbox_msg){.kind = kind}));
}

static void pause_for(uint64_t rounds)
{
    for (volatile uint64_t i = 0; i < rounds; i++) {
    }
}

/* The second message comes about when the loop takes the wake-up of the first. That it was not seen
 * and did not wake the loop either took, without the barrier of net_loop_post, between a hundred
 * thousand and a million rounds of a release build: this finds it on some runs only. The loop never
 * sleeps, so that there are many rounds; only a wake-up makes it look at its mailbox all the same.
 */
TEST(a_message_behind_another_is_seen)
{
    struct block_budget budget = {.limit_bytes = INT64_MAX};
    uv_idle_t idle;
    pthread_t thread;
    int64_t sent = 0, end_ns = clock_mono_ns() + FOR_NS;
    CHECK_EQ_I64(net_loop_init(&loop, 1024, &budget), 0);
    net_loop_on_message(&loop, NET_MSG_FREE, on_count, NULL);
    net_loop_on_message(&loop, NET_MSG_FREE + 1, on_end, NULL);
    uv_idle_init(&loop.uv, &idle);
    uv_idle_start(&idle, on_idle);
    CHECK_EQ_I64(pthread_create(&thread, NULL, run, NULL), 0);
    while (clock_mono_ns() < end_ns) {
        post(NET_MSG_FREE);
        pause_for(check_random() % PAUSE_MOST);
        post(NET_MSG_FREE);
        sent += 2;
        int64_t late_ns = clock_mono_ns() + PATIENCE_NS;
        while (seen < sent)
            CHECK(clock_mono_ns() < late_ns);
    }
    post(NET_MSG_FREE + 1);
    pthread_join(thread, NULL);
    net_loop_done(&loop);
}
