/* Large blocks: growth, budget, kept memory, and the budget under several threads. */
#include "base/block.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

#define MIB ((int64_t)1 << 20)

TEST(growth_keeps_the_bytes)
{
    struct block_budget budget = {.limit_bytes = 64 * MIB};
    struct block_pool pool;
    struct block b = {0};
    block_pool_init(&pool, &budget, 0);
    CHECK(block_reserve(&pool, &b, 0));
    while (b.n < 1000000) {
        size_t piece = 1 + check_random_below(b.n < 20000 ? 2000 : 30000);
        CHECK(block_reserve(&pool, &b, piece));
        CHECK(b.size >= b.n + piece && (b.size & (b.size - 1)) == 0);
        for (size_t i = 0; i < piece; i++)
            b.p[b.n + i] = (char)((b.n + i) % 251);
        b.n += piece;
        CHECK_EQ_I64(budget.used_bytes, (int64_t)b.size);
    }
    for (size_t i = 0; i < b.n; i++)
        CHECK(b.p[i] == (char)(i % 251));
    block_free(&pool, &b);
    CHECK(b.p == NULL && b.n == 0 && b.size == 0);
    block_free(&pool, &b);
    CHECK_EQ_I64(budget.used_bytes, 0);
    CHECK_EQ_U64(pool.kept_bytes, 0);
    block_pool_done(&pool);
}

TEST(largest_block)
{
    struct block_budget budget = {.limit_bytes = INT64_MAX};
    struct block_pool pool;
    struct block b = {0};
    size_t most = BLOCK_MIN_BYTES << (BLOCK_CLASSES - 1);
    block_pool_init(&pool, &budget, 0);
    CHECK(!block_reserve(&pool, &b, most + 1));
    CHECK(!block_reserve(&pool, &b, SIZE_MAX));
    CHECK(b.p == NULL && budget.used_bytes == 0);
    CHECK(block_reserve(&pool, &b, most));
    b.n = most;
    b.p[0] = b.p[most - 1] = 1;
    CHECK(block_reserve(&pool, &b, 0));
    CHECK(!block_reserve(&pool, &b, 1));
    CHECK(!block_reserve(&pool, &b, SIZE_MAX - 10)); /* the sum overflows */
    CHECK(b.n == most && b.size == most);
    block_free(&pool, &b);
    block_pool_done(&pool);
}

TEST(budget)
{
    struct block_budget budget = {.limit_bytes = 3 * 65536};
    struct block_pool pool;
    struct block a = {0}, b = {0}, c = {0};
    block_pool_init(&pool, &budget, 1 << 20);
    CHECK(block_reserve(&pool, &a, 65536) && block_reserve(&pool, &b, 65536));
    memcpy(a.p, "kept", 4);
    a.n = 65536;
    char *before = a.p;
    CHECK(!block_reserve(&pool, &a, 1)); /* both sizes are held while it grows: 256 KiB in all */
    CHECK(a.p == before && a.n == 65536 && a.size == 65536 && memcmp(a.p, "kept", 4) == 0);
    CHECK_EQ_I64(budget.used_bytes, 2 * 65536);
    CHECK(block_reserve(&pool, &c, 65536));
    CHECK_EQ_I64(budget.used_bytes, budget.limit_bytes); /* exactly full is fine */
    block_free(&pool, &b);
    block_free(&pool, &c);
    block_free(&pool, &a);
    CHECK_EQ_I64(budget.used_bytes, 0);
    CHECK_EQ_U64(pool.kept_bytes, 3 * 65536); /* free memory does not count against the budget */
    block_pool_done(&pool);
}

TEST(kept_memory)
{
    struct block_budget budget = {.limit_bytes = 64 * MIB};
    struct block_pool pool;
    struct block b[10] = {{0}};
    block_pool_init(&pool, &budget, 5 * BLOCK_MIN_BYTES);
    for (int i = 0; i < 10; i++)
        CHECK(block_reserve(&pool, &b[i], 1));
    char *last = b[4].p;
    for (int i = 0; i < 10; i++)
        block_free(&pool, &b[i]);
    CHECK_EQ_U64(pool.kept_bytes, 5 * BLOCK_MIN_BYTES);
    CHECK(block_reserve(&pool, &b[0], 4096));
    CHECK(b[0].p == last); /* the last one kept is the first one out */
    CHECK_EQ_U64(pool.kept_bytes, 4 * BLOCK_MIN_BYTES);
    CHECK(block_reserve(&pool, &b[1], 8192)); /* another size takes nothing from them */
    CHECK_EQ_U64(pool.kept_bytes, 4 * BLOCK_MIN_BYTES);
    block_free(&pool, &b[0]);
    block_free(&pool, &b[1]); /* does not fit any more */
    CHECK_EQ_U64(pool.kept_bytes, 5 * BLOCK_MIN_BYTES);
    block_pool_done(&pool);
    CHECK_EQ_U64(pool.kept_bytes, 0);
}

TEST(torture)
{
    check_needs_torture();
    struct block_budget budget = {.limit_bytes = 64 * MIB};
    struct block_pool pool;
    struct block b = {0};
    block_pool_init(&pool, &budget, 0);
    mem_torture(1);
    CHECK(!block_reserve(&pool, &b, 100));
    mem_torture(0);
    CHECK(b.p == NULL);
    CHECK_EQ_I64(budget.used_bytes, 0);
    CHECK(block_reserve(&pool, &b, 4096));
    b.n = 4096;
    mem_torture(1);
    CHECK(!block_reserve(&pool, &b, 1));
    mem_torture(0);
    CHECK(b.p != NULL && b.size == 4096);
    CHECK_EQ_I64(budget.used_bytes, 4096);
    block_free(&pool, &b);
    block_pool_done(&pool);
}

struct worker {
    pthread_t thread;
    struct block_budget *budget;
    uint64_t random;
    unsigned granted, refused;
};

/* Xorshift (Marsaglia, "Xorshift RNGs", 2003): check_random belongs to the test's own thread. */
static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void *reserve_and_free(void *arg)
{
    struct worker *w = arg;
    struct block_pool pool;
    struct block held[8] = {{0}};
    block_pool_init(&pool, w->budget, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        struct block *b = &held[next_random(&w->random) % 8];
        if (next_random(&w->random) % 3 == 0)
            block_free(&pool, b);
        else if (block_reserve(&pool, b, 1 + next_random(&w->random) % 20000))
            w->granted++, b->n = MIN_OF(b->size, (size_t)30000), b->p[b->n - 1] = 1;
        else
            w->refused++;
    }
    for (int i = 0; i < 8; i++)
        block_free(&pool, &held[i]);
    block_pool_done(&pool);
    return NULL;
}

TEST(budget_is_shared_by_threads)
{
    struct block_budget budget = {.limit_bytes = 150000};
    struct worker w[4];
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){.budget = &budget, .random = i + 1};
        CHECK(pthread_create(&w[i].thread, NULL, reserve_and_free, &w[i]) == 0);
    }
    unsigned granted = 0, refused = 0;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(pthread_join(w[i].thread, NULL) == 0);
        granted += w[i].granted;
        refused += w[i].refused;
    }
    CHECK(granted > 0 && refused > 0); /* else the ceiling was never met */
    CHECK_EQ_I64(budget.used_bytes, 0);
}
