/* Register of the loops that have connections to upstreams. */
#include "loops.h"

#include <pthread.h>

#define LOOPS_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct net_loop *loops[LOOPS_MAX];

static void replace(struct net_loop *from, struct net_loop *to)
{
    bool done = false;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < LOOPS_MAX && !done; i++) {
        done = loops[i] == from;
        if (done)
            loops[i] = to;
    }
    pthread_mutex_unlock(&lock);
}

void loops_add(struct net_loop *loop)
{
    replace(NULL, loop);
}

void loops_remove(struct net_loop *loop)
{
    replace(loop, NULL);
}

void loops_ask_idle(struct net_loop *asking, struct upstream *u)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        struct mailbox_msg msg = {.kind = NET_MSG_CLOSE_IDLE, .ptr = u};
        if (loops[i] == NULL || loops[i] == asking)
            continue;
        upstream_ref(u);
        if (!net_loop_post(loops[i], msg))
            upstream_unref(u); /* only a hint */
    }
    pthread_mutex_unlock(&lock);
}
