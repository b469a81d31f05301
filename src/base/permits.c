/* Counted permits with a queue: classes, flows of a class, waiters of a flow. */
#include "base/permits.h"

#include <stdatomic.h>

#include "base/hash.h"

#define TURN       ((uint64_t)1 << 20) /* what a turn of weight 1 takes of virtual time */
#define MEAN_SHIFT 4                   /* the mean moves by a sixteenth of the difference */

static const uint64_t class_turn[PERMIT_CLASSES_N] = {
#define X(id, name, share) TURN / (share),
    PERMIT_CLASSES(X)
#undef X
};

static int by_flow(const struct treap_node *a, const struct treap_node *b)
{
    uint64_t fa = container_of(a, struct permit_waiter, known)->flow;
    uint64_t fb = container_of(b, struct permit_waiter, known)->flow;
    return (fa > fb) - (fa < fb);
}

static int by_turn(const struct treap_node *a, const struct treap_node *b)
{
    const struct permit_waiter *wa = container_of(a, struct permit_waiter, turn);
    const struct permit_waiter *wb = container_of(b, struct permit_waiter, turn);
    if (wa->tag != wb->tag)
        return wa->tag < wb->tag ? -1 : 1;
    return (wa->number > wb->number) - (wa->number < wb->number);
}

void permits_init(struct permits *p, int64_t limit, int64_t queue_limit)
{
    *p = (struct permits){.limit = limit, .queue_limit = queue_limit};
    pthread_mutex_init(&p->lock, NULL);
    for (unsigned c = 0; c < PERMIT_CLASSES_N; c++) {
        list_init(&p->queues[c].arrived);
        treap_init(&p->queues[c].flows, by_flow);
        treap_init(&p->queues[c].turns, by_turn);
    }
}

void permits_done(struct permits *p)
{
    ASSERT(p->waiting_n == 0);
    pthread_mutex_destroy(&p->lock);
}

static bool has_room(const struct permits *p)
{
    return p->limit == 0 || p->held < p->limit;
}

/* Any bijection that scatters consecutive numbers does as a rank. */
static uint64_t rank_of(uint64_t number)
{
    return hash_mix(number * HASH_STEP);
}

static uint64_t turn_of(const struct permit_waiter *w)
{
    return TURN / MIN_OF(MAX_OF(w->weight, 1u), PERMIT_WEIGHT_MAX);
}

static int64_t parts_of(const struct permit_waiter *w)
{
    return PERMIT_WHOLE / MAX_OF(w->queues, 1u);
}

/* `w` stands for its flow, whose next turn ends at `tag`. */
static void lead(struct permit_queue *q, struct permit_waiter *w, uint64_t tag)
{
    uint64_t rank = rank_of(w->number);
    w->leads = true;
    w->tag = tag;
    treap_insert(&q->flows, &w->known, rank);
    treap_insert(&q->turns, &w->turn, rank);
}

static void enqueue(struct permits *p, struct permit_waiter *w)
{
    struct permit_queue *q = &p->queues[w->class];
    w->state = PERMIT_QUEUED;
    w->number = ++p->arrivals;
    w->leads = false;
    list_init(&w->mates);
    if (list_empty(&q->arrived))
        q->tag = p->clock + class_turn[w->class];
    list_push_back(&q->arrived, &w->arrived);
    q->parts += parts_of(w);
    p->parts += parts_of(w);
    struct treap_node *leader = treap_find(&q->flows, &w->known);
    if (leader != NULL)
        list_push_back(&container_of(leader, struct permit_waiter, known)->mates, &w->mates);
    else
        lead(q, w, q->clock + turn_of(w));
    p->waiting_n++;
}

/* Takes `w` out. The next of its flow leads in its place: with the same turn when `w` has not had
 * it, else with the one after. */
static void dequeue(struct permits *p, struct permit_waiter *w, bool served)
{
    struct permit_queue *q = &p->queues[w->class];
    struct permit_waiter *next = container_of(w->mates.next, struct permit_waiter, mates);
    list_remove(&w->arrived);
    q->parts -= parts_of(w);
    p->parts -= parts_of(w);
    list_remove(&w->mates);
    if (w->leads) {
        treap_remove(&q->flows, &w->known);
        treap_remove(&q->turns, &w->turn);
        if (next != w)
            lead(q, next, served ? w->tag + turn_of(next) : w->tag);
    }
    p->waiting_n--;
}

static struct permit_queue *first_class(struct permits *p)
{
    struct permit_queue *best = NULL;
    for (unsigned c = PERMIT_CLASSES_N; c-- > 0;) {
        struct permit_queue *q = &p->queues[c];
        if (!list_empty(&q->arrived) && (best == NULL || q->tag < best->tag))
            best = q;
    }
    return best;
}

static void shed(struct permits *p, struct permit_waiter *w)
{
    dequeue(p, w, false);
    w->state = PERMIT_SHED;
    w->shed(w);
}

/* Serves waiters as far as there is room. The lock is held. */
static void grant_waiters(struct permits *p)
{
    struct permit_queue *q;
    while (has_room(p) && (q = first_class(p)) != NULL) {
        struct permit_waiter *w = container_of(treap_first(&q->turns), struct permit_waiter, turn);
        if (w->deadline_ns != 0 && w->deadline_ns <= p->now_ns) {
            shed(p, w);
            continue;
        }
        p->clock = q->tag;
        q->tag += class_turn[w->class];
        q->clock = w->tag;
        dequeue(p, w, true);
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

/* Room in the queue for `w`: it is there, or is made by turning out as much of lower classes. */
static bool make_room(struct permits *p, const struct permit_waiter *w)
{
    int64_t room = MIN_OF(p->queue_limit, INT64_MAX / PERMIT_WHOLE) * PERMIT_WHOLE - p->parts;
    int64_t lower = 0, lacks = parts_of(w) - MAX_OF(room, INT64_C(0));
    for (unsigned c = 0; c < (unsigned)w->class; c++)
        lower += p->queues[c].parts;
    if (lacks > lower)
        return false;
    for (unsigned c = 0; lacks > 0;) {
        struct list *arrived = &p->queues[c].arrived;
        if (list_empty(arrived)) {
            c++;
            continue;
        }
        struct permit_waiter *youngest = container_of(arrived->prev, struct permit_waiter, arrived);
        if (youngest->shed == NULL)
            return false;
        lacks -= parts_of(youngest);
        shed(p, youngest);
    }
    return true;
}

/* How long those of the class and above take to be served; 0: not known. */
static int64_t wait_of(const struct permits *p, enum permit_class class)
{
    int64_t parts = 0;
    for (unsigned c = class; c < PERMIT_CLASSES_N; c++)
        parts += p->queues[c].parts;
    double turns = (double)parts / PERMIT_WHOLE;
    return p->limit > 0 ? (int64_t)(turns * (double)p->mean_held_ns / (double)p->limit) : 0;
}

static bool comes_in_time(const struct permits *p, const struct permit_waiter *w)
{
    return w->deadline_ns == 0 || p->now_ns + wait_of(p, w->class) < w->deadline_ns;
}

enum permit_result permits_take(struct permits *p, struct permit_waiter *w)
{
    enum permit_result r = PERMIT_REFUSED;
    ASSERT(w->class < PERMIT_CLASSES_N && (w->deadline_ns == 0 || w->shed != NULL));
    pthread_mutex_lock(&p->lock);
    if (has_room(p) && p->waiting_n == 0) {
        p->held++;
        r = PERMIT_TAKEN;
    } else if (comes_in_time(p, w) && make_room(p, w)) {
        enqueue(p, w);
        r = PERMIT_WAITING;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

bool permits_try(struct permits *p)
{
    pthread_mutex_lock(&p->lock);
    bool ok = has_room(p) && p->waiting_n == 0;
    if (ok)
        p->held++;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

/* The lock is held. */
static void give(struct permits *p)
{
    ASSERT(p->held > 0);
    p->held--;
    grant_waiters(p);
}

void permits_give(struct permits *p)
{
    pthread_mutex_lock(&p->lock);
    give(p);
    pthread_mutex_unlock(&p->lock);
}

void permits_give_held(struct permits *p, int64_t since_ns, int64_t now_ns)
{
    int64_t held_ns = MAX_OF(now_ns - since_ns, INT64_C(1));
    pthread_mutex_lock(&p->lock);
    p->now_ns = MAX_OF(p->now_ns, now_ns);
    if (p->mean_held_ns == 0)
        p->mean_held_ns = held_ns;
    else
        p->mean_held_ns += (held_ns - p->mean_held_ns) / (1 << MEAN_SHIFT);
    give(p);
    pthread_mutex_unlock(&p->lock);
}

bool permits_leave(struct permits *p, struct permit_waiter *w)
{
    pthread_mutex_lock(&p->lock);
    bool queued = w->state == PERMIT_QUEUED;
    if (queued)
        dequeue(p, w, false);
    w->state = PERMIT_NONE;
    pthread_mutex_unlock(&p->lock);
    return queued;
}

int64_t permits_wait_ns(struct permits *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t ns = wait_of(p, PERMIT_LOW);
    pthread_mutex_unlock(&p->lock);
    return ns;
}
