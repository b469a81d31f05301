/* Keys by digest: an open-addressed table that one thread writes and all read without locks. A
 * table that has grown too small is left to its readers and freed with the ring. */
#include <stdatomic.h>

#include "base/mem.h"
#include "gateway/identity.h"

#define RING_BYTES  ((size_t)1 << 30)
#define FIRST_SLOTS 64u

struct entry {
    uint8_t digest[SHA256_BYTES];
    _Atomic(const struct gw_key *) key; /* NULL: removed */
    int64_t until_ns;
};

struct table {
    struct table *older;
    size_t mask;
    _Atomic(struct entry *) slots[];
};

struct gw_key_ring {
    struct arena arena;
    _Atomic(struct table *) table;
    size_t used; /* slots that are not empty, removed ones too */
    size_t count;
};

static struct table *table_new(size_t slots, struct table *older)
{
    struct table *t = mem_calloc(1, sizeof *t + slots * sizeof t->slots[0]);
    if (t == NULL)
        return NULL;
    t->older = older;
    t->mask = slots - 1;
    return t;
}

struct gw_key_ring *gw_key_ring_new(void)
{
    struct gw_key_ring *r = mem_calloc(1, sizeof *r);
    struct table *t = table_new(FIRST_SLOTS, NULL);
    if (r == NULL || t == NULL) {
        mem_free(r);
        mem_free(t);
        return NULL;
    }
    arena_init(&r->arena, NULL, RING_BYTES);
    r->table = t;
    return r;
}

void gw_key_ring_free(struct gw_key_ring *r)
{
    if (r == NULL)
        return;
    struct table *older = NULL;
    for (struct table *t = r->table; t != NULL; t = older) {
        older = t->older;
        mem_free(t);
    }
    arena_reset(&r->arena);
    mem_free(r);
}

struct arena *gw_key_ring_arena(struct gw_key_ring *r)
{
    return &r->arena;
}

size_t gw_key_ring_count(const struct gw_key_ring *r)
{
    return r->count;
}

/* The entry of `digest`, or NULL; `*ret_slot` is where it stands or would stand. Readers take the
 * entry that was compared: an empty slot may be another digest's a moment later. Digests are spread
 * evenly as they are. */
static struct entry *entry_of(const struct table *t, const uint8_t digest[SHA256_BYTES],
                              size_t *ret_slot)
{
    uint64_t at;
    memcpy(&at, digest, sizeof at);
    for (size_t i = (size_t)at & t->mask;; i = (i + 1) & t->mask) {
        struct entry *e = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        *ret_slot = i;
        if (e == NULL || memcmp(e->digest, digest, SHA256_BYTES) == 0)
            return e;
    }
}

/* Twice the room, without what was removed. */
static bool grow(struct gw_key_ring *r)
{
    struct table *old = r->table, *t = table_new((old->mask + 1) * 2, old);
    if (t == NULL)
        return false;
    r->used = 0;
    for (size_t i = 0; i <= old->mask; i++) {
        struct entry *e = old->slots[i];
        if (e == NULL || e->key == NULL)
            continue;
        size_t at;
        (void)entry_of(t, e->digest, &at);
        t->slots[at] = e;
        r->used++;
    }
    atomic_store_explicit(&r->table, t, memory_order_release);
    return true;
}

bool gw_key_ring_put(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES],
                     const struct gw_key *key, int64_t until_ns)
{
    struct table *t = r->table;
    if (r->used * 2 > t->mask && !grow(r))
        return false;
    struct entry *e = arena_new(&r->arena, struct entry);
    if (e == NULL)
        return false;
    memcpy(e->digest, digest, SHA256_BYTES);
    e->key = key;
    e->until_ns = until_ns;
    t = r->table;
    size_t at;
    const struct entry *before = entry_of(t, digest, &at);
    r->used += before == NULL;
    r->count += before == NULL || before->key == NULL;
    atomic_store_explicit(&t->slots[at], e, memory_order_release);
    return true;
}

void gw_key_ring_remove(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES])
{
    size_t at;
    struct entry *e = entry_of(r->table, digest, &at);
    if (e == NULL || e->key == NULL)
        return;
    e->key = NULL; /* it stays in its slot, for those that stand behind it */
    r->count--;
}

static bool is_among(const uint8_t digest[SHA256_BYTES], const uint8_t (*digests)[SHA256_BYTES],
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(digest, digests[i], SHA256_BYTES) == 0)
            return true;
    }
    return false;
}

void gw_key_ring_keep(struct gw_key_ring *r, struct slice name,
                      const uint8_t (*digests)[SHA256_BYTES], size_t n)
{
    struct table *t = r->table;
    for (size_t i = 0; i <= t->mask; i++) {
        const struct entry *e = t->slots[i];
        const struct gw_key *key = e != NULL ? e->key : NULL;
        if (key != NULL && key->issued && slice_eq(key->scope.name, name) &&
            !is_among(e->digest, digests, n))
            gw_key_ring_remove(r, e->digest);
    }
}

const struct gw_key *gw_key_ring_peek(const struct gw_key_ring *r,
                                      const uint8_t digest[SHA256_BYTES])
{
    size_t at;
    const struct entry *e = entry_of(r->table, digest, &at);
    return e != NULL ? e->key : NULL;
}

const struct gw_key *gw_key_ring_find(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES],
                                      int64_t wall_ns)
{
    size_t at;
    const struct entry *e =
        entry_of(atomic_load_explicit(&r->table, memory_order_acquire), digest, &at);
    const struct gw_key *key = e != NULL ? e->key : NULL;
    bool good = key != NULL && !key->disabled &&
                (key->expires_ns == 0 || wall_ns < key->expires_ns) &&
                (e->until_ns == 0 || wall_ns < e->until_ns);
    return good ? key : NULL;
}

bool gw_allows(const struct slice *patterns, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++) {
        struct slice p = patterns[i];
        bool prefix = p.n > 0 && p.p[p.n - 1] == '*';
        if (prefix ? slice_starts(name, slice_of(p.p, p.n - 1)) : slice_eq(p, name))
            return true;
    }
    return n == 0;
}

bool gw_governance_fits(const struct gw_governance *g, const struct gw_data_rules *rules,
                        int data_level)
{
    if (rules->location != LOCATION_ANY && g->location != rules->location)
        return false;
    if (rules->retention_days >= 0 &&
        (g->retention_days < 0 || g->retention_days > rules->retention_days))
        return false;
    if (rules->no_training && g->trains != 0)
        return false;
    return data_level <= 0 || g->data_class >= data_level;
}
