/* The unit-test harness. A test file holds TEST(name) { ... } blocks, which register themselves;
 * the binary of a layer runs them all, or those whose "file.name" contains one of its arguments. A
 * failed CHECK prints what it saw and ends its own test only. Values are given in the order (got,
 * want). */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include "base/compiler.h"
#include "base/slice.h"

struct check_test {
    const char *name, *file;
    int line;
    void (*run)(void);
    struct check_test *next;
};

void check_register(struct check_test *t);

#define TEST(id)                                                                                   \
    static void test_##id(void);                                                                   \
    __attribute__((constructor)) static void register_##id(void)                                   \
    {                                                                                              \
        static struct check_test t = {#id, __FILE__, __LINE__, test_##id, NULL};                   \
        check_register(&t);                                                                        \
    }                                                                                              \
    static void test_##id(void)

/* Where a check stands, and its text. */
struct check_at {
    const char *file;
    int line;
    const char *text;
};
#define CHECK_AT(text) ((struct check_at){__FILE__, __LINE__, text})

/* Ends the test with a message. In a thread that the test started: ends that thread only, and the
 * test fails when it returns. */
NORETURN void check_fail(struct check_at at, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Each compares and fails with both values shown. */
void check_i64(struct check_at at, int64_t got, int64_t want);
void check_u64(struct check_at at, uint64_t got, uint64_t want);
void check_double(struct check_at at, double got, double want); /* same value; NaN equals NaN */
void check_slice(struct check_at at, struct slice got, struct slice want);
void check_str(struct check_at at, const char *got, const char *want);
/* Runs `fn(arg)` in a child process, which has to abort. */
void check_aborts(struct check_at at, void (*fn)(void *arg), void *arg);

#define CHECK(cond)                ((cond) ? (void)0 : check_fail(CHECK_AT(#cond), "is false"))
#define CHECK_EQ_I64(got, want)    check_i64(CHECK_AT(#got " == " #want), (got), (want))
#define CHECK_EQ_U64(got, want)    check_u64(CHECK_AT(#got " == " #want), (got), (want))
#define CHECK_EQ_DOUBLE(got, want) check_double(CHECK_AT(#got " == " #want), (got), (want))
#define CHECK_EQ_SLICE(got, want)  check_slice(CHECK_AT(#got " == " #want), (got), (want))
#define CHECK_EQ_LIT(got, lit)     check_slice(CHECK_AT(#got " == " #lit), (got), SLICE(lit))
#define CHECK_EQ_STR(got, want)    check_str(CHECK_AT(#got " == " #want), (got), (want))
#define CHECK_ABORTS(fn, arg)      check_aborts(CHECK_AT(#fn " aborts"), (fn), (arg))

/* Names the row of a table or the round of a loop in the message of a later failure. */
void check_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Pseudo-random numbers that are the same in every run of a test: seeded by --seed and its name. */
uint64_t check_random(void);
/* Less than `n`, which is not 0. */
uint64_t check_random_below(uint64_t n);

/* Ends the test without a verdict. */
NORETURN void check_skip(const char *why);
/* Skips the test where mem_torture does nothing (builds without WEIR_TORTURE). */
void check_needs_torture(void);

/* Runs `fn(arg)` once, then once for each allocation it made, with that one failing; `fn` must
 * survive and give everything back. Returns how many allocations the first run made. */
int64_t check_torture(void (*fn)(void *arg), void *arg);

#endif
