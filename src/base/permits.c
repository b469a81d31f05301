/* Counted permits with a queue. */
#include "base/permits.h"

#include <stdatomic.h>

void permits_init(struct permits *p, int64_t limit, int64_t queue_limit)
{
    *p = (struct permits){.limit = limit, .queue_limit = queue_limit};
    pthread_mutex_init(&p->lock, NULL);
    list_init(&p->waiting);
}

void permits_done(struct permits *p)
{
    ASSERT(list_empty(&p->waiting));
    pthread_mutex_destroy(&p->lock);
}

static bool has_room(const struct permits *p)
{
    return p->limit == 0 || p->held < p->limit;
}

/* Serves waiters as far as there is room. The lock is held. */
static void grant_waiters(struct permits *p)
{
    while (has_room(p) && !list_empty(&p->waiting)) {
        struct permit_waiter *w =
            container_of(list_pop_front(&p->waiting), struct permit_waiter, node);
        p->waiting_n--;
        p->held++;
        w->state = PERMIT_GRANTED;
        w->grant(w);
    }
}

void permits_set(struct permits *p, int64_t limit, int64_t queue_limit)
{
    pthread_mutex_lock(&p->lock);
    p->limit = limit;
    p->queue_limit = queue_limit;
    grant_waiters(p);
    pthread_mutex_unlock(&p->lock);
}

enum permit_result permits_take(struct permits *p, struct permit_waiter *w)
{
    enum permit_result r = PERMIT_REFUSED;
    pthread_mutex_lock(&p->lock);
    if (has_room(p) && list_empty(&p->waiting)) {
        p->held++;
        r = PERMIT_TAKEN;
    } else if (p->waiting_n < p->queue_limit) {
        w->state = PERMIT_QUEUED;
        list_push_back(&p->waiting, &w->node);
        p->waiting_n++;
        r = PERMIT_WAITING;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

bool permits_try(struct permits *p)
{
    pthread_mutex_lock(&p->lock);
    bool ok = has_room(p) && list_empty(&p->waiting);
    if (ok)
        p->held++;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void permits_give(struct permits *p)
{
    pthread_mutex_lock(&p->lock);
    ASSERT(p->held > 0);
    p->held--;
    grant_waiters(p);
    pthread_mutex_unlock(&p->lock);
}

bool permits_leave(struct permits *p, struct permit_waiter *w)
{
    pthread_mutex_lock(&p->lock);
    bool queued = w->state == PERMIT_QUEUED;
    if (queued) {
        list_remove(&w->node);
        p->waiting_n--;
    }
    w->state = PERMIT_NONE;
    pthread_mutex_unlock(&p->lock);
    return queued;
}
