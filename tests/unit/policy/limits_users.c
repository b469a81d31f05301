/* The bounded room for end users: who shares, who gives way, and that nobody gets another's place
 * while it counts something or is on its way to. */
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "check.h"
#include "limits_inner.h"

#define S NS_PER_S
#define T (1000 * S)

static struct limit_scope *user(struct limit_registry *r, const char *name, int64_t now)
{
    return limit_scope_user(r, hash64(slice_str(name)), now);
}

/* What the thread was given last may now be given away: it asks for something else. */
static void let_go(struct limit_registry *r, const char *other, int64_t now)
{
    (void)user(r, other, now);
}

static void enter(struct limit_registry *r, struct limit_pool *pool, struct limit_scope *s,
                  const struct limit_set *set, int64_t nano, int64_t now, struct limit_hold *ret)
{
    struct limit_use use = {s, set};
    struct limit_amounts a = {.requests = 1, .cost_nano = nano};
    struct limit_refusal refusal;
    CHECK(limit_admit(r, pool, &use, 1, &a, now, ret, NULL, &refusal) == LIMIT_ADMITTED);
}

static int64_t shared_n(struct limit_registry *r)
{
    int64_t cells, shared;
    limit_users(r, &cells, &shared);
    return shared;
}

TEST(users_have_places_of_their_own)
{
    struct limit_registry *r = mem_must(limit_registry_new(3));
    struct limit_scope *a = user(r, "a", T), *b = user(r, "b", T);
    CHECK(a != NULL && b != NULL && a != b);
    CHECK(user(r, "a", T) == a);
    CHECK(limit_scope_user(r, hash64(SLICE("team2/a")), T) != a);
    int64_t cells, shared;
    limit_users(r, &cells, &shared);
    CHECK_EQ_I64(cells, 3);
    CHECK_EQ_I64(shared, 0);
    limit_registry_free(r);
}

TEST(without_room_all_share)
{
    struct limit_registry *r = mem_must(limit_registry_new(0));
    struct limit_scope *a = user(r, "a", T);
    CHECK(a != NULL && a == user(r, "b", T));
    CHECK_EQ_I64(shared_n(r), 2);
    limit_registry_free(r);
}

TEST(a_quiet_users_place_is_given_away)
{
    struct limit_registry *r = mem_must(limit_registry_new(1));
    struct limit_pool *pool = mem_must(limit_pool_new());
    struct limit_hold h = {0};
    struct limit_amounts none = {0};
    struct limit_scope *a = user(r, "a", T);
    enter(r, pool, a, &limit_set_none, 500, T, &h);
    struct limit_scope *shared = user(r, "b", T);
    CHECK(shared != a);
    CHECK(user(r, "b", T + 3600 * S) == shared); /* still open */
    limit_settle(r, pool, &h, &none, T);
    CHECK(user(r, "a", T + 59 * S) == a);
    enter(r, pool, a, &limit_set_none, 500, T + 59 * S, &h);
    limit_settle(r, pool, &h, &none, T + 59 * S);
    CHECK(user(r, "b", T + 100 * S) == shared); /* in its window */
    CHECK(user(r, "b", T + 4000 * S) == a); /* spend does not matter: no budget was asked about */
    CHECK(user(r, "a", T + 4000 * S) == a); /* and back: "b" did nothing with it */
    int64_t by_kind[LIMIT_KINDS_N];
    limit_used(r, a, T + 4000 * S, by_kind);
    for (size_t k = 0; k < LIMIT_KINDS_N; k++)
        CHECK_EQ_I64(by_kind[k], 0);
    limit_pool_free(pool);
    limit_registry_free(r);
}

TEST(spend_in_a_budget_keeps_the_place)
{
    struct limit_registry *r = mem_must(limit_registry_new(1));
    struct limit_pool *pool = mem_must(limit_pool_new());
    struct limit_set day = limit_set_none;
    struct limit_hold h = {0};
    struct limit_amounts spent = {.requests = 1, .cost_nano = 5};
    int64_t periods[LIMIT_BUDGETS_N] = {1, 1, 1, 1};
    day.most[LIMIT_BUDGET_DAY] = 1000;
    limit_set_periods(r, periods);
    struct limit_scope *a = user(r, "a", T);
    enter(r, pool, a, &day, 5, T, &h);
    limit_settle(r, pool, &h, &spent, T);
    CHECK(user(r, "b", T + 3600 * S) != a);
    periods[0] = 2; /* the hour is over, the day is not */
    limit_set_periods(r, periods);
    CHECK(user(r, "b", T + 7200 * S) != a);
    periods[1] = 2;
    limit_set_periods(r, periods);
    CHECK(user(r, "b", T + 7300 * S) == a);
    limit_pool_free(pool);
    limit_registry_free(r);
}

TEST(restored_spend_keeps_the_place)
{
    struct limit_registry *r = mem_must(limit_registry_new(1));
    struct limit_scope *a = user(r, "a", T);
    limit_add_spend(r, a, (int64_t[LIMIT_BUDGETS_N]){0, 0, 0, 7});
    CHECK(user(r, "b", T + 3600 * S) != a);
    CHECK(user(r, "a", T + 3600 * S) == a);
    limit_registry_free(r);
}

/* A thread that is given a place, and takes its time before it admits. */
struct holder {
    struct limit_registry *r;
    struct limit_pool *pool;
    pthread_barrier_t has, go;
    struct limit_scope *got;
    struct limit_hold hold;
};

static void *hold_on(void *arg)
{
    struct holder *h = arg;
    h->got = user(h->r, "a", T);
    pthread_barrier_wait(&h->has);
    pthread_barrier_wait(&h->go);
    enter(h->r, h->pool, h->got, &limit_set_none, 0, T, &h->hold);
    let_go(h->r, "c", T); /* is given the shared one */
    return NULL;
}

TEST(a_place_just_given_out_stays)
{
    struct holder h = {.r = mem_must(limit_registry_new(1)), .pool = mem_must(limit_pool_new())};
    struct limit_amounts none = {0};
    pthread_t thread;
    pthread_barrier_init(&h.has, NULL, 2);
    pthread_barrier_init(&h.go, NULL, 2);
    CHECK(thread_start(&thread, hold_on, &h));
    pthread_barrier_wait(&h.has);
    struct limit_scope *before = user(h.r, "b", T + 3600 * S);
    pthread_barrier_wait(&h.go);
    pthread_join(thread, NULL);
    CHECK(before != h.got);
    CHECK(user(h.r, "b", T + 3602 * S) != h.got);
    limit_settle(h.r, h.pool, &h.hold, &none, T);
    CHECK(user(h.r, "b", T + 3604 * S) == h.got);
    pthread_barrier_destroy(&h.has);
    pthread_barrier_destroy(&h.go);
    limit_pool_free(h.pool);
    limit_registry_free(h.r);
}

TEST(room_is_found_among_many)
{
    enum { N = 200 };
    struct limit_registry *r = mem_must(limit_registry_new(N));
    struct limit_pool *pool = mem_must(limit_pool_new());
    struct limit_hold open[N] = {{0}};
    struct limit_amounts none = {0};
    char name[24];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "user-%d", i);
        enter(r, pool, user(r, name, T), &limit_set_none, 0, T, &open[i]);
    }
    let_go(r, "another", T);
    CHECK_EQ_I64(shared_n(r), 1);
    limit_settle(r, pool, &open[150], &none, T);
    /* One look examines 64 places at most, and the next goes on where it stopped. */
    for (int i = 0; i < 4; i++)
        let_go(r, "another", T + 3600 * S);
    CHECK_EQ_I64(shared_n(r), 2);
    for (int i = 0; i < N; i++)
        limit_settle(r, pool, &open[i], &none, T + 3600 * S);
    limit_pool_free(pool);
    limit_registry_free(r);
}

#define THREADS 4
#define CELLS   6
#define USERS   24
#define ROUNDS  20000

struct storm {
    struct limit_registry *r;
    _Atomic int64_t now;
    _Atomic int64_t own, shared;
    _Atomic uint64_t seeds;
};

static bool is_cell_of(const struct limit_scope *s, const char *name)
{
    const struct limit_cell *c = container_of(s, struct limit_cell, scope);
    return c->user == hash64(slice_str(name));
}

/* Time runs fast enough for places to be given away all the time. */
static void *storm_run(void *arg)
{
    struct storm *st = arg;
    struct limit_pool *pool = mem_must(limit_pool_new());
    uint64_t random = 0x9e3779b97f4a7c15u * ++st->seeds;
    for (int i = 0; i < ROUNDS; i++) {
        struct limit_hold h = {0};
        struct limit_amounts none = {0};
        char name[24];
        random = random * 6364136223846793005u + 1442695040888963407u;
        snprintf(name, sizeof name, "user-%u", (unsigned)(random >> 33) % USERS);
        int64_t now = atomic_fetch_add(&st->now, (int64_t)(random >> 34));
        struct limit_scope *s = user(st->r, name, now);
        enter(st->r, pool, s, &limit_set_none, 0, now, &h);
        if (s == &st->r->users.shared)
            st->shared++;
        else if (is_cell_of(s, name))
            st->own++;
        now = atomic_fetch_add(&st->now, (int64_t)(random >> 30));
        if (s != &st->r->users.shared)
            CHECK(is_cell_of(s, name));
        limit_settle(st->r, pool, &h, &none, now);
    }
    limit_pool_free(pool);
    return NULL;
}

TEST(places_change_hands_between_threads)
{
    struct storm st = {.r = mem_must(limit_registry_new(CELLS)), .now = T};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(thread_start(&threads[i], storm_run, &st));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_I64(st.own + st.shared, THREADS * ROUNDS);
    CHECK(st.own > 1000 && st.shared > 0);
    limit_registry_free(st.r);
}
