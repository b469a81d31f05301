/* Bump allocator over chunks that a per-thread pool recycles. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of the whole chunk with this header */
};

void arena_pool_init(struct arena_pool *pool, unsigned keep)
{
    *pool = (struct arena_pool){.keep = keep};
}

void arena_pool_done(struct arena_pool *pool)
{
    while (pool->free != NULL) {
        struct arena_chunk *c = pool->free;
        pool->free = c->next;
        mem_free(c);
    }
    pool->count = 0;
}

void arena_init(struct arena *a, struct arena_pool *pool, size_t limit)
{
    *a = (struct arena){.pool = pool, .limit = limit};
}

static struct arena_chunk *chunk_new(struct arena *a, size_t size)
{
    struct arena_pool *pool = a->pool;
    struct arena_chunk *c;
    if (size == ARENA_CHUNK_BYTES && pool != NULL && pool->free != NULL) {
        c = pool->free;
        pool->free = c->next;
        pool->count--;
    } else {
        c = mem_alloc(size);
    }
    if (c != NULL)
        c->size = size;
    return c;
}

static void chunk_free(struct arena *a, struct arena_chunk *c)
{
    struct arena_pool *pool = a->pool;
    if (c->size == ARENA_CHUNK_BYTES && pool != NULL && pool->count < pool->keep) {
        c->next = pool->free;
        pool->free = c;
        pool->count++;
    } else {
        mem_free(c);
    }
}

void arena_wipe(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks; c != NULL; c = c->next)
        mem_wipe(c + 1, c->size - sizeof *c);
    arena_reset(a);
}

void arena_reset(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        chunk_free(a, c);
    }
    a->cur = a->end = NULL;
    a->used = 0;
}

static void *alloc_slow(struct arena *a, size_t n)
{
    size_t need = n + sizeof(struct arena_chunk);
    bool own = need > ARENA_CHUNK_BYTES / 2; /* large pieces do not waste the current chunk */
    size_t size = own ? need : ARENA_CHUNK_BYTES;
    if (need < n || size > a->limit - MIN_OF(a->used, a->limit))
        return NULL;
    struct arena_chunk *c = chunk_new(a, size);
    if (c == NULL)
        return NULL;
    a->used += size;
    if (own && a->chunks != NULL) {
        c->next = a->chunks->next;
        a->chunks->next = c;
        return c + 1;
    }
    c->next = a->chunks;
    a->chunks = c;
    a->cur = (char *)(c + 1) + n;
    a->end = (char *)c + size;
    return c + 1;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t rounded = (n + 7) & ~(size_t)7;
    if (unlikely(rounded < n))
        return NULL;
    if (likely(rounded <= (size_t)(a->end - a->cur)) && a->cur != NULL) {
        void *p = a->cur;
        a->cur += rounded;
        return p;
    }
    return alloc_slow(a, rounded);
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p != NULL ? memset(p, 0, n) : NULL;
}

char *arena_str(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (p == NULL)
        return NULL;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_str(a, s);
    return p != NULL ? slice_of(p, s.n) : SLICE_NONE;
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (p != NULL)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p != NULL ? slice_of(p, (size_t)n) : SLICE_NONE;
}
