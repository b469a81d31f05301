/* Power-of-two blocks with per-thread free lists under one budget. Blocks from 64 KiB up are
 * mapped, so that the many 100 KB prompts of idle streams leave no holes in the heap. */
#include "base/block.h"

#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

#define MAPPED_BYTES ((size_t)65536)

struct block_free {
    struct block_free *next;
};

void block_pool_init(struct block_pool *pool, struct block_budget *budget, size_t keep_bytes)
{
    *pool = (struct block_pool){.budget = budget, .keep_bytes = keep_bytes};
}

static char *memory_new(size_t size)
{
    if (size < MAPPED_BYTES)
        return mem_alloc(size);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

static void memory_free(char *p, size_t size)
{
    if (size < MAPPED_BYTES)
        mem_free(p);
    else
        munmap(p, size);
}

static unsigned class_of(size_t size)
{
    return (unsigned)__builtin_ctzl(size / BLOCK_MIN_BYTES);
}

void block_pool_done(struct block_pool *pool)
{
    for (unsigned c = 0; c < BLOCK_CLASSES; c++) {
        while (pool->free[c] != NULL) {
            struct block_free *f = pool->free[c];
            pool->free[c] = f->next;
            memory_free((char *)f, BLOCK_MIN_BYTES << c);
        }
    }
    pool->kept_bytes = 0;
}

static char *take(struct block_pool *pool, size_t size)
{
    struct block_free **list = &pool->free[class_of(size)];
    struct block_free *f = *list;
    if (f == NULL)
        return memory_new(size);
    *list = f->next;
    pool->kept_bytes -= size;
    return (char *)f;
}

static void give(struct block_pool *pool, char *p, size_t size)
{
    if (pool->kept_bytes + size > pool->keep_bytes) {
        memory_free(p, size);
        return;
    }
    struct block_free *f = (struct block_free *)(void *)p;
    f->next = pool->free[class_of(size)];
    pool->free[class_of(size)] = f;
    pool->kept_bytes += size;
}

static bool charge(struct block_budget *budget, size_t bytes)
{
    int64_t want = (int64_t)bytes;
    int64_t before = atomic_fetch_add_explicit(&budget->used_bytes, want, memory_order_relaxed);
    if (before + want <= budget->limit_bytes)
        return true;
    atomic_fetch_sub_explicit(&budget->used_bytes, want, memory_order_relaxed);
    return false;
}

static void refund(struct block_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used_bytes, (int64_t)bytes, memory_order_relaxed);
}

bool block_reserve(struct block_pool *pool, struct block *b, size_t more)
{
    size_t need, size = b->size ? b->size : BLOCK_MIN_BYTES;
    if (__builtin_add_overflow(b->n, more, &need) || need > BLOCK_MIN_BYTES << (BLOCK_CLASSES - 1))
        return false;
    if (need <= b->size)
        return true;
    while (size < need)
        size *= 2;
    if (!charge(pool->budget, size))
        return false;
    char *p = take(pool, size);
    if (p == NULL) {
        refund(pool->budget, size);
        return false;
    }
    struct block old = *b;
    if (old.n > 0)
        memcpy(p, old.p, old.n);
    *b = (struct block){.p = p, .n = old.n, .size = size};
    block_free(pool, &old);
    return true;
}

void block_free(struct block_pool *pool, struct block *b)
{
    if (b->p != NULL) {
        refund(pool->budget, b->size);
        give(pool, b->p, b->size);
    }
    *b = (struct block){0};
}
