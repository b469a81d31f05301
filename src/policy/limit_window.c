/* The window of a scope: slots of 100 ms with their sums, and the nodes they are made of. */
#include <string.h>

#include "base/mem.h"
#include "limits_inner.h"

/* Everything is too old after so long, whatever the slots say. */
#define ALL_LEAVE_NS ((int64_t)(LIMIT_SLOTS + 1) * LIMIT_SLOT_NS)

bool limit_pool_fill(struct limit_pool *p, size_t n)
{
    while (p->n < n) {
        struct limit_node *node = mem_alloc(sizeof *node);
        if (node == NULL)
            return false;
        limit_pool_put(p, node);
    }
    return true;
}

void limit_pool_trim(struct limit_pool *p, size_t keep, size_t most)
{
    for (; p->n > keep && most > 0; most--) {
        struct limit_node *node = p->free;
        p->free = node->next;
        p->n--;
        mem_free(node);
    }
}

struct limit_pool *limit_pool_new(void)
{
    return mem_calloc(1, sizeof(struct limit_pool));
}

void limit_pool_free(struct limit_pool *p)
{
    if (p == NULL)
        return;
    limit_pool_trim(p, 0, SIZE_MAX);
    mem_free(p);
}

void limit_scope_init(struct limit_scope *s)
{
    pthread_mutexattr_t attr;
    memset(s, 0, sizeof *s);
    s->magic = LIMIT_SCOPE_MAGIC;
    pthread_mutexattr_init(&attr);
#ifdef __GLIBC__
    /* Held for some tens of nanoseconds: waiting awake is shorter than a sleep. */
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(&s->lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

static void free_nodes(struct limit_scope *s)
{
    struct limit_pool all = {.free = s->oldest, .n = s->nodes_n};
    limit_pool_trim(&all, 0, SIZE_MAX);
}

void limit_scope_clear(struct limit_scope *s)
{
    size_t from = offsetof(struct limit_scope, latest_ns);
    ASSERT(s->open_n == 0);
    free_nodes(s);
    s->budgeted = 0;
    memset((char *)s + from, 0, sizeof *s - from);
}

void limit_scope_done(struct limit_scope *s)
{
    CHECK_MAGIC(s, LIMIT_SCOPE_MAGIC);
    free_nodes(s);
    pthread_mutex_destroy(&s->lock);
    s->magic = 0;
}

/* With nothing open the nodes need no look at each: after a quiet minute there may be hundreds. */
static void all_leave(struct limit_scope *s, struct limit_pool *pool)
{
    s->newest->next = pool->free;
    pool->free = s->oldest;
    pool->n += s->nodes_n;
    s->oldest = s->newest = NULL;
    s->nodes_n = 0;
    s->requests = s->input = s->output = 0;
}

static void oldest_leaves(struct limit_scope *s, struct limit_pool *pool)
{
    struct limit_node *n = s->oldest;
    s->oldest = n->next;
    if (n->next == NULL)
        s->newest = NULL;
    s->nodes_n--;
    s->requests -= n->requests;
    s->input -= n->input;
    s->output -= n->output;
    s->stale_input += n->input_open;
    s->stale_output += n->output_open;
    n->left = 1;
    if (n->refs == 0)
        limit_pool_put(pool, n);
}

void limit_scope_advance(struct limit_scope *s, struct limit_pool *pool, int64_t at_ns)
{
    if (at_ns <= s->latest_ns)
        return;
    bool all = at_ns - s->latest_ns >= ALL_LEAVE_NS;
    uint32_t slot = limit_slot(at_ns);
    s->latest_ns = at_ns;
    if (all && s->open_n == 0 && s->oldest != NULL)
        all_leave(s, pool);
    while (s->oldest != NULL && (all || slot - s->oldest->slot > LIMIT_SLOTS))
        oldest_leaves(s, pool);
}

void limit_scope_renew(struct limit_scope *s, const int64_t period_ns[LIMIT_BUDGETS_N])
{
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (likely(period_ns[b] <= s->period_ns[b]))
            continue;
        s->period_ns[b] = period_ns[b];
        s->settled_nano[b] = 0;
    }
}

struct limit_node *limit_scope_node(struct limit_scope *s, struct limit_pool *pool, int64_t at_ns)
{
    uint32_t slot = limit_slot(at_ns);
    struct limit_node *n = s->newest;
    if (n != NULL && n->slot == slot)
        return n;
    n = pool->free;
    ASSERT(n != NULL);
    pool->free = n->next;
    pool->n--;
    *n = (struct limit_node){.slot = slot};
    if (s->newest != NULL)
        s->newest->next = n;
    else
        s->oldest = n;
    s->newest = n;
    s->nodes_n++;
    return n;
}

int64_t limit_scope_idle_in(const struct limit_scope *s)
{
    if (s->open_n > 0)
        return LIMIT_NONE;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (s->settled_nano[b] != 0 && (s->budgeted >> b & 1) != 0)
            return LIMIT_NONE;
    }
    if (s->newest == NULL)
        return 0;
    return limit_slot_leaves_in(s->newest->slot, s->latest_ns);
}
