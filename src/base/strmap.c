/* Open addressing with linear probing; at most half full. */
#include "base/strmap.h"

#include "base/hash.h"

bool strmap_init(struct strmap *m, struct arena *a, size_t count)
{
    size_t size = 8;
    while (size < count * 2)
        size *= 2;
    *m = (struct strmap){.mask = size - 1};
    m->entries = arena_zalloc(a, size * sizeof *m->entries);
    return m->entries != NULL;
}

static struct strmap_entry *find(const struct strmap *m, struct slice key, uint64_t hash)
{
    size_t at = hash & m->mask;
    while (m->entries[at].key.p != NULL &&
           (m->entries[at].hash != hash || !slice_eq(m->entries[at].key, key)))
        at = (at + 1) & m->mask;
    return &m->entries[at];
}

bool strmap_add(struct strmap *m, struct slice key, void *value)
{
    uint64_t hash = hash64(key);
    struct strmap_entry *e = find(m, key, hash);
    if (e->key.p != NULL || (m->count + 1) * 2 > m->mask + 1)
        return false;
    *e = (struct strmap_entry){.key = key, .value = value, .hash = hash};
    m->count++;
    return true;
}

void *strmap_get(const struct strmap *m, struct slice key)
{
    return m->entries != NULL ? find(m, key, hash64(key))->value : NULL;
}
