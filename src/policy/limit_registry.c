/* The registry of limits: scopes by name for as long as the process runs, a bounded number of end
 * users, and the budget periods under way. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "limits_inner.h"

#define NAMES_FIRST 64
/* One look for room examines at most so many cells, and passes over so many of which an earlier
 * look has said that they count something. */
#define EXAMINE_MOST  64
#define PASS_MOST     1024
#define LOOK_AGAIN_NS NS_PER_S /* at a cell for which no time is known */

/* The cell that this thread was given last. It may not become another user's before the thread has
 * asked for the next one: until then an admission may be on its way to it. */
static _Thread_local struct {
    uint64_t registry;
    struct limit_cell *cell;
} pinned;

static bool users_init(struct limit_users *u, size_t cells_n)
{
    size_t buckets_n = LIMIT_SHARDS;
    ASSERT(cells_n < UINT32_MAX / 2);
    while (buckets_n < cells_n)
        buckets_n *= 2;
    limit_scope_init(&u->shared);
    pthread_mutex_init(&u->grow, NULL);
    for (size_t i = 0; i < LIMIT_SHARDS; i++)
        pthread_mutex_init(&u->shards[i], NULL);
    u->cells_n = cells_n;
    u->buckets_mask = buckets_n - 1;
    u->buckets = mem_calloc(buckets_n, sizeof *u->buckets);
    u->cells = cells_n > 0 ? mem_calloc(cells_n, sizeof *u->cells) : NULL;
    return u->buckets != NULL && (u->cells != NULL || cells_n == 0);
}

static void users_done(struct limit_users *u)
{
    for (size_t i = 0; i < u->used_n; i++)
        limit_scope_done(&u->cells[i].scope);
    limit_scope_done(&u->shared);
    pthread_mutex_destroy(&u->grow);
    for (size_t i = 0; i < LIMIT_SHARDS; i++)
        pthread_mutex_destroy(&u->shards[i]);
    mem_free(u->buckets);
    mem_free(u->cells);
}

struct limit_registry *limit_registry_new(size_t users)
{
    static _Atomic uint64_t ids;
    struct limit_registry *r = mem_calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->magic = LIMIT_REGISTRY_MAGIC;
    r->id = ++ids;
    pthread_mutex_init(&r->names_lock, NULL);
    r->names_mask = NAMES_FIRST - 1;
    r->names = mem_calloc(NAMES_FIRST, sizeof(struct limit_named *));
    if (!users_init(&r->users, users) || r->names == NULL) {
        limit_registry_free(r);
        return NULL;
    }
    return r;
}

void limit_registry_free(struct limit_registry *r)
{
    if (r == NULL)
        return;
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    for (size_t i = 0; r->names != NULL && i <= r->names_mask; i++) {
        for (struct limit_named *n = r->names[i], *next; n != NULL; n = next) {
            next = n->next;
            limit_scope_done(&n->scope);
            mem_free(n);
        }
    }
    users_done(&r->users);
    pthread_mutex_destroy(&r->names_lock);
    mem_free(r->names);
    r->magic = 0;
    mem_free(r);
}

static uint64_t name_hash(enum scope_kind kind, struct slice name)
{
    return hash64(name) + (uint64_t)kind * 0x9e3779b97f4a7c15u;
}

static struct limit_named *named_find(struct limit_registry *r, enum scope_kind kind,
                                      struct slice name)
{
    uint64_t hash = name_hash(kind, name);
    struct limit_named *n = r->names[hash & r->names_mask];
    while (n != NULL && (n->hash != hash || n->kind != kind ||
                         !slice_eq((struct slice){n->name, n->name_n}, name)))
        n = n->next;
    return n;
}

/* Without memory for more buckets the chains get longer. */
static void names_grow(struct limit_registry *r)
{
    size_t mask = r->names_mask * 2 + 1;
    struct limit_named **names = mem_calloc(mask + 1, sizeof(struct limit_named *));
    if (names == NULL)
        return;
    for (size_t i = 0; i <= r->names_mask; i++) {
        for (struct limit_named *n = r->names[i], *next; n != NULL; n = next) {
            next = n->next;
            n->next = names[n->hash & mask];
            names[n->hash & mask] = n;
        }
    }
    mem_free(r->names);
    r->names = names;
    r->names_mask = mask;
}

static struct limit_named *named_add(struct limit_registry *r, enum scope_kind kind,
                                     struct slice name)
{
    struct limit_named *n = mem_alloc(sizeof *n + name.n);
    if (n == NULL)
        return NULL;
    limit_scope_init(&n->scope);
    n->kind = kind;
    n->hash = name_hash(kind, name);
    n->name_n = name.n;
    if (name.n > 0)
        memcpy(n->name, name.p, name.n);
    if (r->names_n > r->names_mask)
        names_grow(r);
    n->next = r->names[n->hash & r->names_mask];
    r->names[n->hash & r->names_mask] = n;
    r->names_n++;
    return n;
}

struct limit_scope *limit_scope_get(struct limit_registry *r, enum scope_kind kind,
                                    struct slice name)
{
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    pthread_mutex_lock(&r->names_lock);
    struct limit_named *n = named_find(r, kind, name);
    if (n == NULL)
        n = named_add(r, kind, name);
    pthread_mutex_unlock(&r->names_lock);
    return n != NULL ? &n->scope : NULL;
}

/* Users are told apart by 64 bits of a hash with a secret: no text of unknown length is kept, and
 * nobody can look for two that are the same. */
static size_t bucket_of(const struct limit_users *u, uint64_t user)
{
    return user & u->buckets_mask;
}

static pthread_mutex_t *shard_of(struct limit_users *u, size_t bucket)
{
    return &u->shards[bucket % LIMIT_SHARDS];
}

/* The user's cell, pinned, or NULL. */
static struct limit_cell *cell_find(struct limit_users *u, uint64_t user)
{
    size_t bucket = bucket_of(u, user);
    struct limit_cell *found = NULL;
    pthread_mutex_lock(shard_of(u, bucket));
    for (uint32_t i = u->buckets[bucket]; i != 0 && found == NULL; i = u->cells[i - 1].next) {
        struct limit_cell *c = &u->cells[i - 1];
        if (c->user == user)
            found = c;
    }
    if (found != NULL)
        found->pins++;
    pthread_mutex_unlock(shard_of(u, bucket));
    return found;
}

static void cell_link(struct limit_users *u, struct limit_cell *c, uint64_t user)
{
    size_t bucket = bucket_of(u, user);
    pthread_mutex_lock(shard_of(u, bucket));
    c->user = user;
    c->pins = 1;
    c->next = u->buckets[bucket];
    u->buckets[bucket] = (uint32_t)(c - u->cells) + 1;
    pthread_mutex_unlock(shard_of(u, bucket));
}

static void cell_unlink(struct limit_users *u, struct limit_cell *c, size_t bucket)
{
    uint32_t *at = &u->buckets[bucket];
    while (&u->cells[*at - 1] != c)
        at = &u->cells[*at - 1].next;
    *at = c->next;
}

/* True: the cell counts nothing, and is cleared. Else it says when to look again. */
static bool scope_is_idle(struct limit_registry *r, struct limit_cell *c, int64_t now_ns)
{
    struct limit_pool freed = {0};
    int64_t period_ns[LIMIT_BUDGETS_N];
    struct limit_scope *s = &c->scope;
    pthread_mutex_lock(&s->lock);
    limit_registry_periods(r, period_ns);
    limit_scope_advance(s, &freed, now_ns);
    limit_scope_renew(s, period_ns);
    int64_t wait_ns = limit_scope_idle_in(s);
    if (wait_ns == 0)
        limit_scope_clear(s);
    pthread_mutex_unlock(&s->lock);
    limit_pool_trim(&freed, 0, SIZE_MAX);
    c->not_idle_until_ns = now_ns + MIN_OF(wait_ns, LOOK_AGAIN_NS);
    return wait_ns == 0;
}

/* True: the cell is nobody's any more. `grow` is held: nobody else gives cells away; its shard's
 * lock keeps those out that would find it. */
static bool cell_evict(struct limit_registry *r, struct limit_cell *c, int64_t now_ns)
{
    struct limit_users *u = &r->users;
    size_t bucket = bucket_of(u, c->user);
    pthread_mutex_lock(shard_of(u, bucket));
    bool gone = c->pins == 0 && scope_is_idle(r, c, now_ns);
    if (gone)
        cell_unlink(u, c, bucket);
    pthread_mutex_unlock(shard_of(u, bucket));
    return gone;
}

/* A cell for a new user, or NULL. `grow` is held. */
static struct limit_cell *cell_take(struct limit_registry *r, int64_t now_ns)
{
    struct limit_users *u = &r->users;
    size_t examined = 0;
    if (u->used_n < u->cells_n) {
        struct limit_cell *c = &u->cells[u->used_n++];
        limit_scope_init(&c->scope);
        u->cells_used++;
        return c;
    }
    for (size_t i = 0; i < MIN_OF(u->cells_n, (size_t)PASS_MOST) && examined < EXAMINE_MOST; i++) {
        struct limit_cell *c = &u->cells[u->hand];
        u->hand = u->hand + 1 < u->cells_n ? u->hand + 1 : 0;
        if (c->not_idle_until_ns > now_ns)
            continue;
        examined++;
        if (cell_evict(r, c, now_ns))
            return c;
    }
    return NULL;
}

static struct limit_cell *cell_add(struct limit_registry *r, uint64_t user, int64_t now_ns)
{
    struct limit_users *u = &r->users;
    pthread_mutex_lock(&u->grow);
    struct limit_cell *c = cell_find(u, user);
    if (c == NULL) {
        c = cell_take(r, now_ns);
        if (c != NULL)
            cell_link(u, c, user);
    }
    pthread_mutex_unlock(&u->grow);
    return c;
}

struct limit_scope *limit_scope_user(struct limit_registry *r, uint64_t user, int64_t now_ns)
{
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    if (pinned.cell != NULL && pinned.registry == r->id)
        pinned.cell->pins--;
    pinned.cell = cell_find(&r->users, user);
    if (pinned.cell == NULL)
        pinned.cell = cell_add(r, user, now_ns);
    pinned.registry = r->id;
    if (pinned.cell != NULL)
        return &pinned.cell->scope;
    r->users.shared_n++;
    return &r->users.shared;
}

void limit_users(struct limit_registry *r, int64_t *ret_cells, int64_t *ret_shared)
{
    *ret_cells = r->users.cells_used;
    *ret_shared = r->users.shared_n;
}

void limit_registry_periods(const struct limit_registry *r, int64_t ret[LIMIT_BUDGETS_N])
{
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        ret[b] = atomic_load_explicit(&r->period_ns[b], memory_order_relaxed);
}

void limit_set_periods(struct limit_registry *r, const int64_t start_wall_ns[LIMIT_BUDGETS_N])
{
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (start_wall_ns[b] > r->period_ns[b])
            r->period_ns[b] = start_wall_ns[b];
    }
}

int64_t limit_period_start(const struct limit_registry *r, unsigned budget)
{
    ASSERT(budget < LIMIT_BUDGETS_N);
    return r->period_ns[budget];
}

void limit_add_spend(struct limit_registry *r, struct limit_scope *s,
                     const int64_t nano[LIMIT_BUDGETS_N])
{
    int64_t period_ns[LIMIT_BUDGETS_N];
    CHECK_MAGIC(s, LIMIT_SCOPE_MAGIC);
    pthread_mutex_lock(&s->lock);
    limit_registry_periods(r, period_ns);
    limit_scope_renew(s, period_ns);
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        int64_t add = MAX_OF(MIN_OF(nano[b], LIMIT_SUM_MAX), -LIMIT_SUM_MAX);
        int64_t sum = s->settled_nano[b] + add;
        s->settled_nano[b] = MAX_OF(MIN_OF(sum, LIMIT_SUM_MAX), -LIMIT_SUM_MAX);
        if (nano[b] != 0)
            s->budgeted |= 1u << b;
    }
    pthread_mutex_unlock(&s->lock);
}
