/* Large byte blocks for request bodies and held output. Blocks come in power-of-two sizes; a thread
 * keeps a bounded number of free ones, and all threads together stay within one budget. */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stdatomic.h>

#include "base/compiler.h"

#define BLOCK_MIN_BYTES ((size_t)4096)
#define BLOCK_CLASSES   16 /* 4 KiB to 128 MiB */

/* Process-wide ceiling of block memory in use. */
struct block_budget {
    _Atomic int64_t used_bytes;
    int64_t limit_bytes;
};

/* One thread's free blocks. */
struct block_pool {
    struct block_budget *budget;
    struct block_free *free[BLOCK_CLASSES];
    size_t kept_bytes, keep_bytes;
};

/* A growing block. An empty one is all zero. */
struct block {
    char *p;
    size_t n, size; /* bytes used and allocated */
};

/* Keeps at most `keep_bytes` of free memory. */
void block_pool_init(struct block_pool *pool, struct block_budget *budget, size_t keep_bytes);
void block_pool_done(struct block_pool *pool);

/* Room for `more` bytes behind the used ones. False: over the budget, or no memory; the block is as
 * it was. */
NODISCARD bool block_reserve(struct block_pool *pool, struct block *b, size_t more);

/* Gives the memory back; the block is empty. */
void block_free(struct block_pool *pool, struct block *b);

#endif
