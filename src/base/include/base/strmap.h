/* Names to values, built once in an arena and read by many threads afterwards. */
#ifndef BASE_STRMAP_H
#define BASE_STRMAP_H

#include "base/arena.h"
#include "base/slice.h"

struct strmap_entry {
    struct slice key; /* .p NULL: free */
    void *value;
    uint64_t hash;
};

struct strmap {
    struct strmap_entry *entries;
    size_t mask, count;
};

/* Room for `count` names. False: no memory. */
NODISCARD bool strmap_init(struct strmap *m, struct arena *a, size_t count);
/* Adds a name (not copied) that is not there yet; false: it is there, or the map is full. */
NODISCARD bool strmap_add(struct strmap *m, struct slice key, void *value);
/* The value of `key`, or NULL. */
void *strmap_get(const struct strmap *m, struct slice key);

#endif
