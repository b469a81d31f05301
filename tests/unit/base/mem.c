/* The allocator's door: failure on demand, overflow, copies. */
#include "base/mem.h"

#include <stdlib.h>

#include "check.h"

TEST(plain_use)
{
    char *p = mem_alloc(10), *copy = mem_strndup("hello", 3), *none = mem_strndup(NULL, 0);
    uint32_t *zero = mem_calloc(100, sizeof *zero);
    CHECK(p != NULL && copy != NULL && none != NULL && zero != NULL);
    memcpy(p, "123456789", 10);
    p = mem_realloc(p, 1000);
    CHECK(p != NULL);
    CHECK_EQ_STR(p, "123456789");
    CHECK_EQ_STR(copy, "hel");
    CHECK_EQ_STR(none, "");
    for (int i = 0; i < 100; i++)
        CHECK_EQ_U64(zero[i], 0);
    mem_wipe(p, 10);
    CHECK(memcmp(p, "\0\0\0\0\0\0\0\0\0", 10) == 0);
    mem_free(p);
    mem_free(copy);
    mem_free(none);
    mem_free(zero);
    mem_free(NULL);
}

TEST(must)
{
    int x;
    CHECK(mem_must(&x) == &x);
}

TEST(nth_allocation_fails)
{
    check_needs_torture();
    void *got[5] = {NULL};
    mem_torture(3);
    for (int i = 0; i < 5; i++)
        got[i] = i % 2 ? mem_calloc(1, 8) : mem_alloc(8);
    int64_t made = mem_torture_count();
    mem_torture(0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ_I64(got[i] == NULL, i == 2); /* once, and only once */
        mem_free(got[i]);
    }
    CHECK_EQ_I64(made, 5);
}

TEST(failed_realloc_keeps_memory)
{
    check_needs_torture();
    char *p = mem_strndup("kept", 4);
    mem_torture(1);
    void *bigger = mem_realloc(p, 100);
    mem_torture(0);
    CHECK(bigger == NULL);
    CHECK_EQ_STR(p, "kept");
    mem_free(p);
}
