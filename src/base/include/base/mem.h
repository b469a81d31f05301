/* The only door to the C allocator. Failure is returned as NULL and is survivable; in builds with
 * WEIR_TORTURE the n-th allocation can be made to fail (the method of curl's torture tests). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/compiler.h"

/* Uninitialised memory of `size` bytes, or NULL. The caller frees it with mem_free. */
NODISCARD void *mem_alloc(size_t size);

/* Zeroed memory for `count` objects of `size` bytes, or NULL (also when the product overflows). */
NODISCARD void *mem_calloc(size_t count, size_t size);

/* Like realloc: NULL leaves `ptr` as it was. */
NODISCARD void *mem_realloc(void *ptr, size_t size);

/* A NUL-terminated copy of `n` bytes at `p`, or NULL. */
NODISCARD char *mem_strndup(const char *p, size_t n);

/* Frees what the functions above gave; NULL is fine. */
void mem_free(void *ptr);

/* Overwrites `n` bytes so that the compiler cannot leave it out: for secrets. */
void mem_wipe(void *ptr, size_t n);

/* Start-up code that cannot go on without memory: prints and exits on NULL. */
NODISCARD void *mem_must(void *ptr);

/* Makes the `nth` allocation from now on fail once (0: never). Only where WEIR_TORTURE is set. */
void mem_torture(int64_t nth);

/* How many allocations were made since the last mem_torture call (0 without WEIR_TORTURE). */
int64_t mem_torture_count(void);

#endif
