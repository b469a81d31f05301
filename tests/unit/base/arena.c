/* The bump allocator: alignment, limits, recycling of chunks, large pieces, torture. */
#include "base/arena.h"

#include <stdlib.h>

#include "check.h"

TEST(pieces_are_aligned_and_apart)
{
    struct arena a;
    unsigned char *p[400];
    size_t n[400];
    arena_init(&a, NULL, 1 << 20);
    for (size_t i = 0; i < 400; i++) {
        n[i] = check_random_below(i % 10 ? 60 : 6000);
        p[i] = arena_alloc(&a, n[i]);
        CHECK(p[i] != NULL && (uintptr_t)p[i] % 8 == 0);
        memset(p[i], (int)(i & 255), n[i]);
    }
    for (size_t i = 0; i < 400; i++) {
        for (size_t j = 0; j < n[i]; j++)
            CHECK(p[i][j] == (i & 255));
    }
    arena_reset(&a);
}

TEST(zeroed_even_when_recycled)
{
    struct arena_pool pool;
    struct arena a;
    arena_pool_init(&pool, 4);
    arena_init(&a, &pool, 1 << 20);
    char *p = arena_alloc(&a, 1000);
    CHECK(p != NULL);
    memset(p, 0xAA, 1000);
    arena_reset(&a);
    p = arena_zalloc(&a, 1000);
    CHECK(p != NULL);
    for (int i = 0; i < 1000; i++)
        CHECK(p[i] == 0);
    struct slice *s = arena_new(&a, struct slice);
    CHECK(s != NULL && s->p == NULL && s->n == 0);
    arena_reset(&a);
    arena_pool_done(&pool);
}

TEST(limit)
{
    struct arena a;
    arena_init(&a, NULL, 3 * ARENA_CHUNK_BYTES);
    size_t got = 0;
    while (arena_alloc(&a, 64) != NULL)
        got += 64;
    CHECK_EQ_U64(a.used, 3 * ARENA_CHUNK_BYTES);
    CHECK(got > 3 * ARENA_CHUNK_BYTES - 3 * 128 && got <= 3 * ARENA_CHUNK_BYTES);
    CHECK(arena_alloc(&a, 64) == NULL);
    arena_reset(&a);
    CHECK_EQ_U64(a.used, 0);
    CHECK(arena_alloc(&a, 3 * ARENA_CHUNK_BYTES) == NULL); /* no room for the chunk's own header */
    CHECK(arena_alloc(&a, 3 * ARENA_CHUNK_BYTES - 16) != NULL);
    CHECK(arena_alloc(&a, 1) == NULL);
    arena_reset(&a);
    arena_init(&a, NULL, 0);
    CHECK(arena_alloc(&a, 0) == NULL && arena_zalloc(&a, 1) == NULL);
    CHECK(arena_copy(&a, SLICE("x")).p == NULL);
    CHECK(arena_printf(&a, "%d", 1).p == NULL);
}

TEST(absurd_sizes_fail)
{
    struct arena a;
    arena_init(&a, NULL, SIZE_MAX);
    CHECK(arena_alloc(&a, 8) != NULL);
    for (size_t n = SIZE_MAX; n > SIZE_MAX - 64; n--) {
        check_note("SIZE_MAX - %zu", SIZE_MAX - n);
        CHECK(arena_alloc(&a, n) == NULL);
        CHECK(arena_zalloc(&a, n) == NULL);
    }
    arena_reset(&a);
}

TEST(large_pieces_leave_the_current_chunk)
{
    struct arena a;
    arena_init(&a, NULL, 1 << 20);
    char *first = arena_alloc(&a, 8);
    char *large = arena_alloc(&a, 100000);
    char *second = arena_alloc(&a, 8);
    CHECK(first != NULL && large != NULL);
    CHECK(second == first + 8);
    CHECK_EQ_U64(a.used, ARENA_CHUNK_BYTES + 100000 + 16);
    memset(large, 1, 100000);
    arena_reset(&a);
    CHECK(arena_alloc(&a, 100000) != NULL); /* also as the very first piece */
    CHECK(arena_alloc(&a, 8) != NULL);
    arena_reset(&a);
}

TEST(chunks_are_recycled)
{
    struct arena_pool pool;
    struct arena a, b;
    arena_pool_init(&pool, 2);
    arena_init(&a, &pool, 1 << 20);
    arena_init(&b, &pool, 1 << 20);
    void *p = arena_alloc(&a, 100);
    arena_reset(&a);
    CHECK_EQ_U64(pool.count, 1);
    CHECK(arena_alloc(&b, 100) == p); /* the same chunk again */
    CHECK_EQ_U64(pool.count, 0);
    for (int i = 0; i < 100; i++)
        CHECK(arena_alloc(&a, 1000) != NULL);
    CHECK(arena_alloc(&a, 100000) != NULL);
    arena_reset(&a);
    CHECK_EQ_U64(pool.count, 2); /* the rest went back to the heap, and large ones never stay */
    arena_reset(&b);
    CHECK_EQ_U64(pool.count, 2);
    arena_pool_done(&pool);
    CHECK(pool.free == NULL && pool.count == 0);
}

TEST(text)
{
    struct arena a;
    char big[5000];
    memset(big, 'x', sizeof big);
    arena_init(&a, NULL, 1 << 20);
    struct slice copy = arena_copy(&a, SLICE("a\0b"));
    CHECK_EQ_LIT(copy, "a\0b");
    CHECK(copy.p[3] == '\0');
    CHECK_EQ_STR(arena_str(&a, SLICE("name")), "name");
    CHECK_EQ_STR(arena_str(&a, SLICE_NONE), "");
    struct slice none = arena_copy(&a, SLICE_NONE);
    CHECK(none.p != NULL && none.n == 0); /* not mistaken for a lack of memory */
    CHECK_EQ_LIT(arena_printf(&a, "%s-%03d", "id", 7), "id-007");
    CHECK_EQ_LIT(arena_printf(&a, "%s", ""), "");
    struct slice wide = arena_printf(&a, SLICE_FMT "|", SLICE_ARG(slice_of(big, sizeof big)));
    CHECK_EQ_U64(wide.n, 5001);
    CHECK(memcmp(wide.p, big, 5000) == 0 && wide.p[5000] == '|' && wide.p[5001] == '\0');
    arena_reset(&a);
}

static void exchange(void *arg)
{
    struct arena_pool *pool = arg;
    struct arena a;
    arena_init(&a, pool, 1 << 20);
    for (int i = 0; i < 8; i++) {
        struct slice s = arena_printf(&a, "%0*d", i * 500, i);
        CHECK(s.p == NULL || s.n == (size_t)MAX_OF(i * 500, 1));
        (void)!arena_copy(&a, s).p;
    }
    arena_reset(&a);
}

TEST(torture)
{
    struct arena_pool pool;
    arena_pool_init(&pool, 0);
    CHECK(check_torture(exchange, &pool) >= 4);
    CHECK(check_torture(exchange, NULL) >= 4);
    arena_pool_done(&pool);
}
