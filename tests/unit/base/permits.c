/* Permits: changing limits, leaving, and many threads. Who comes when: permits_order.c and
 * permits_model.c. */
#include "base/permits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"

struct guest {
    struct permit_waiter waiter;
    int granted;
};

static void grant(struct permit_waiter *w)
{
    container_of(w, struct guest, waiter)->granted++;
}

static void guests_init(struct guest *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g[i] = (struct guest){.waiter.grant = grant};
}

TEST(first_come_first_served)
{
    struct permits p;
    struct guest g[5];
    guests_init(g, 5);
    permits_init(&p, 2, 2);
    CHECK(permits_take(&p, &g[0].waiter) == PERMIT_TAKEN);
    CHECK(permits_try(&p));
    CHECK(!permits_try(&p));
    CHECK(permits_take(&p, &g[2].waiter) == PERMIT_WAITING);
    CHECK(permits_take(&p, &g[3].waiter) == PERMIT_WAITING);
    CHECK(permits_take(&p, &g[4].waiter) == PERMIT_REFUSED);
    CHECK_EQ_I64(p.waiting_n, 2);
    permits_give(&p);
    CHECK(g[2].granted == 1 && g[3].granted == 0 && g[4].granted == 0);
    CHECK_EQ_I64(p.held, 2);
    CHECK(!permits_leave(&p, &g[2].waiter)); /* too late: the permit is its own now */
    CHECK(permits_leave(&p, &g[3].waiter));
    CHECK(!permits_leave(&p, &g[3].waiter));
    permits_give(&p);
    permits_give(&p);
    CHECK(p.held == 0 && p.waiting_n == 0 && g[3].granted == 0);
    permits_done(&p);
}

TEST(nobody_jumps_the_queue)
{
    struct permits p;
    struct guest g[2];
    guests_init(g, 2);
    permits_init(&p, -1, 10); /* closed: everybody waits */
    CHECK(permits_take(&p, &g[0].waiter) == PERMIT_WAITING);
    CHECK(!permits_try(&p));
    permits_set(&p, 1, 10);
    CHECK(g[0].granted == 1 && p.held == 1);
    CHECK(permits_take(&p, &g[1].waiter) == PERMIT_WAITING);
    permits_set(&p, 0, 10); /* no limit */
    CHECK_EQ_I64(g[1].granted, 1);
    for (int i = 0; i < 100; i++)
        CHECK(permits_try(&p));
    permits_set(&p, 5, 0); /* less than is held: nothing is taken away */
    CHECK(!permits_try(&p));
    CHECK(permits_take(&p, &g[0].waiter) == PERMIT_REFUSED);
    for (int i = 0; i < 97; i++)
        permits_give(&p);
    CHECK_EQ_I64(p.held, 5);
    CHECK(!permits_try(&p));
    permits_give(&p);
    CHECK(permits_try(&p));
    for (int i = 0; i < 5; i++)
        permits_give(&p);
    permits_done(&p);
}

static void give_nothing(void *arg)
{
    permits_give(arg);
}

TEST(giving_what_nobody_holds)
{
    struct permits p;
    permits_init(&p, 1, 0);
    CHECK_ABORTS(give_nothing, &p);
    permits_done(&p);
}

#define LIMIT   3
#define THREADS 6
#define ROUNDS  5000

static struct permits shared;
static _Atomic int inside, most_inside, waited, left, turned_out, refused;
static int64_t limit_now; /* of `shared`; the first visitor's */

struct visitor {
    struct permit_waiter waiter;
    pthread_t thread;
    unsigned number;
    _Atomic int answer; /* enum permit_state */
};

static void wake(struct permit_waiter *w)
{
    atomic_store(&container_of(w, struct visitor, waiter)->answer, PERMIT_GRANTED);
}

static void turn_out(struct permit_waiter *w)
{
    atomic_store(&container_of(w, struct visitor, waiter)->answer, PERMIT_SHED);
}

/* Waits for the grant; every seventh visitor leaves at once. True: it holds a permit. */
static bool wait_for_grant(struct visitor *v, int round)
{
    waited++;
    if (round % 7 == 0 && permits_leave(&shared, &v->waiter)) {
        left++;
        return false;
    }
    while (atomic_load(&v->answer) == PERMIT_QUEUED)
        sched_yield();
    turned_out += atomic_load(&v->answer) == PERMIT_SHED;
    return atomic_load(&v->answer) == PERMIT_GRANTED;
}

static void *visit(void *arg)
{
    struct visitor *v = arg;
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&v->answer, PERMIT_QUEUED);
        v->waiter.class = (enum permit_class)((v->number + (unsigned)round) % PERMIT_CLASSES_N);
        v->waiter.flow = v->number / 2;
        v->waiter.weight = v->number;
        if (v->number == 0 && round % 50 == 0) { /* down and up again, never above LIMIT */
            limit_now = limit_now == LIMIT ? 1 : LIMIT;
            permits_set(&shared, limit_now, 2);
        }
        enum permit_result r = permits_take(&shared, &v->waiter);
        refused += r == PERMIT_REFUSED;
        if (r == PERMIT_REFUSED || (r == PERMIT_WAITING && !wait_for_grant(v, round)))
            continue;
        int now = ++inside, most = most_inside;
        while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
            ;
        if (round % 3 == 0)
            sched_yield();
        inside--;
        permits_give_held(&shared, 0, 1000);
    }
    return NULL;
}

TEST(never_more_than_the_limit)
{
    struct visitor v[THREADS];
    permits_init(&shared, LIMIT, 2);
    limit_now = LIMIT;
    for (unsigned i = 0; i < THREADS; i++) {
        v[i] = (struct visitor){.waiter = {.grant = wake, .shed = turn_out}, .number = i};
        CHECK(pthread_create(&v[i].thread, NULL, visit, &v[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(v[i].thread, NULL) == 0);
    CHECK(most_inside <= LIMIT && most_inside > 0);
    CHECK(waited > 0 && refused > 0);
    CHECK_EQ_I64(shared.mean_held_ns, 1000);
    CHECK(shared.held == 0 && shared.waiting_n == 0);
    permits_done(&shared);
}
