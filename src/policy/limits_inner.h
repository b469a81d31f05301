/* What the files of limits share: the state of a scope, its slots, and the registry. Private to
 * policy, and to its tests. */
#ifndef POLICY_LIMITS_INNER_H
#define POLICY_LIMITS_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "policy/limits.h"

#define LIMIT_SLOT_NS (100 * NS_PER_MS)
/* An entry counts while its slot is at most so many before the present one: for 60 s at least, and
 * for less than 60.1 s. */
#define LIMIT_SLOTS 600u
/* No running sum gets larger, so that four of them and an entry can be added. */
#define LIMIT_SUM_MAX ((int64_t)1 << 60)

/* The entries of one scope in one slot. 56 bytes: the C allocator's 64 with its own word. */
struct limit_node {
    struct limit_node *next; /* the next younger, or the next free */
    uint32_t slot;           /* of the monotonic clock; compared by difference, so it may wrap */
    uint32_t refs : 31;      /* open entries */
    uint32_t left : 1; /* out of its scope's window: whoever settles the last entry frees it */
    int64_t requests;
    int64_t input, input_open; /* all, and the part that is reserved */
    int64_t output, output_open;
};
_Static_assert(sizeof(struct limit_node) <= 56, "a node and the allocator's word in 64 bytes");

struct limit_pool {
    struct limit_node *free;
    size_t n;
};

#define LIMIT_SCOPE_MAGIC 0x4c696d53u
struct limit_scope {
    uint32_t magic;
    uint32_t budgeted; /* bits of the budgets that have been asked about: their spend matters */
    pthread_mutex_t lock;
    int64_t latest_ns; /* the time of the latest decision: it never goes back */
    struct limit_node *oldest, *newest;
    size_t nodes_n;
    int64_t requests, input, output;    /* sums over the nodes */
    int64_t stale_input, stale_output;  /* open entries that are older than the window */
    int64_t concurrency, open_n;        /* places taken; entries not settled */
    int64_t open_nano;                  /* reserved by them */
    int64_t period_ns[LIMIT_BUDGETS_N]; /* starts, wall clock */
    int64_t settled_nano[LIMIT_BUDGETS_N];
};

/* A scope with a name of its own. */
struct limit_named {
    struct limit_scope scope;
    struct limit_named *next;
    uint64_t hash;
    enum scope_kind kind;
    size_t name_n;
    char name[];
};

/* The scope of one end user at a time, known by its hash. */
struct limit_cell {
    struct limit_scope scope;
    uint64_t user;             /* its hash */
    uint32_t next;             /* in its bucket: index + 1, or 0 */
    _Atomic uint32_t pins;     /* threads that were given it last; raised under its shard's lock */
    int64_t not_idle_until_ns; /* what the latest look for room found; under `grow` */
};

#define LIMIT_SHARDS 64u
/* End users. Finding one takes its shard's lock; adding one takes `grow` first. Order of locks:
 * grow, a shard, a scope. */
struct limit_users {
    struct limit_cell *cells;
    uint32_t *buckets; /* index + 1, or 0 */
    size_t cells_n, buckets_mask, used_n;
    size_t hand; /* where the latest look for room stopped */
    pthread_mutex_t grow, shards[LIMIT_SHARDS];
    struct limit_scope shared;
    _Atomic int64_t cells_used, shared_n;
};

#define LIMIT_REGISTRY_MAGIC 0x4c696d52u
struct limit_registry {
    uint32_t magic;
    uint64_t id; /* no other registry of the process had it */
    _Atomic int64_t period_ns[LIMIT_BUDGETS_N];
    pthread_mutex_t names_lock;
    struct limit_named **names;
    size_t names_n, names_mask;
    struct limit_users users;
};

void limit_scope_init(struct limit_scope *s);
/* Back to nothing; its nodes are freed, its lock stays. */
void limit_scope_clear(struct limit_scope *s);
void limit_scope_done(struct limit_scope *s);

/* The lock is held in the following. */
/* Entries that are too old at `at_ns` leave the window; free nodes go to `pool`. */
void limit_scope_advance(struct limit_scope *s, struct limit_pool *pool, int64_t at_ns);
/* Periods only move forward; the spend of those that are over is forgotten. */
void limit_scope_renew(struct limit_scope *s, const int64_t period_ns[LIMIT_BUDGETS_N]);
/* The node of an entry at `at_ns`, to which the window was advanced. Takes one from `pool` when
 * the slot is new. */
struct limit_node *limit_scope_node(struct limit_scope *s, struct limit_pool *pool, int64_t at_ns);
/* Until it counts nothing any more: 0 is now, LIMIT_NONE is not known. */
int64_t limit_scope_idle_in(const struct limit_scope *s);

void limit_registry_periods(const struct limit_registry *r, int64_t ret[LIMIT_BUDGETS_N]);

/* At least `n` nodes. False: no memory. No lock is held in these two. */
NODISCARD bool limit_pool_fill(struct limit_pool *p, size_t n);
/* Frees what is above `keep`, at most `most` of it. */
void limit_pool_trim(struct limit_pool *p, size_t keep, size_t most);

static inline void limit_pool_put(struct limit_pool *p, struct limit_node *n)
{
    n->next = p->free;
    p->free = n;
    p->n++;
}

static inline uint32_t limit_slot(int64_t at_ns)
{
    return (uint32_t)(at_ns / LIMIT_SLOT_NS);
}

/* Time from `at_ns` until the entries of `slot` count no more. */
static inline int64_t limit_slot_leaves_in(uint32_t slot, int64_t at_ns)
{
    return (int64_t)(slot + LIMIT_SLOTS + 1 - limit_slot(at_ns)) * LIMIT_SLOT_NS -
           at_ns % LIMIT_SLOT_NS;
}

#ifdef WEIR_TORTURE
/* For tests: where this thread's latest call stands among all others. An admission has one number,
 * drawn while it held all its scopes; a settlement has one for each scope. */
struct limit_trace {
    uint64_t order;
    int64_t at_ns;
    int64_t period_ns[LIMIT_BUDGETS_N];
};
extern _Thread_local struct limit_trace limit_trace[LIMIT_SCOPES_MAX];
#endif

#endif
