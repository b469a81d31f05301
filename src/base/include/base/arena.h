/* Bump allocator: many small allocations, freed together. One arena per exchange. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/compiler.h"
#include "base/slice.h"

#define ARENA_CHUNK_BYTES 4096

/* Free standard chunks, shared by the arenas of one thread. */
struct arena_pool {
    struct arena_chunk *free;
    unsigned count, keep;
};

struct arena {
    char *cur, *end;
    struct arena_chunk *chunks;
    struct arena_pool *pool; /* may be NULL */
    size_t used, limit;      /* bytes taken in chunks, and their ceiling */
};

/* Keeps at most `keep` free chunks. */
void arena_pool_init(struct arena_pool *pool, unsigned keep);
void arena_pool_done(struct arena_pool *pool);

/* Takes no memory yet. Allocations past `limit` bytes in all fail. */
void arena_init(struct arena *a, struct arena_pool *pool, size_t limit);
/* Gives all memory back; the arena can be used again. */
void arena_reset(struct arena *a);
/* Overwrites everything in it first: for arenas that held secrets. */
void arena_wipe(struct arena *a);

/* `n` bytes aligned to 8 (uninitialised) / zeroed, or NULL. They live until arena_reset. */
NODISCARD void *arena_alloc(struct arena *a, size_t n);
NODISCARD void *arena_zalloc(struct arena *a, size_t n);
#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))

/* Copies of text; `.p` is NULL when there is no memory. The copy has a NUL behind it. */
NODISCARD struct slice arena_copy(struct arena *a, struct slice s);
NODISCARD char *arena_str(struct arena *a, struct slice s);
NODISCARD struct slice arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
