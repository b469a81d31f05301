/* The C allocator behind one door. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "weir: assertion failed: %s (%s:%d)\n", expr, file, line);
    abort();
}

#ifdef WEIR_TORTURE
static _Atomic int64_t countdown;
static _Atomic int64_t seen;

static bool must_fail(void)
{
    seen++;
    return countdown > 0 && --countdown == 0;
}

void mem_torture(int64_t nth)
{
    seen = 0;
    countdown = nth;
}

int64_t mem_torture_count(void)
{
    return seen;
}
#else
static inline bool must_fail(void)
{
    return false;
}

void mem_torture(int64_t nth)
{
    (void)nth;
}

int64_t mem_torture_count(void)
{
    return 0;
}
#endif

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size);
}

void *mem_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : calloc(count, size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return must_fail() ? NULL : realloc(ptr, size);
}

char *mem_strndup(const char *p, size_t n)
{
    char *s = mem_alloc(n + 1);
    if (s == NULL)
        return NULL;
    if (n > 0)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_wipe(void *ptr, size_t n)
{
    explicit_bzero(ptr, n);
}

void *mem_must(void *ptr)
{
    if (ptr == NULL) {
        fputs("weir: out of memory\n", stderr);
        exit(1);
    }
    return ptr;
}
