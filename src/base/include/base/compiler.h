/* Compiler extensions and checks, wrapped once for the whole project. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NODISCARD         __attribute__((warn_unused_result))
#if defined(__has_attribute) && __has_attribute(uninitialized)
/* A large local that is written before it is read: the hardened build would clear it each time. */
#define UNINITIALIZED __attribute__((uninitialized))
#else
#define UNINITIALIZED
#endif
#define NORETURN     __attribute__((noreturn))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Prints the failed condition and aborts. Stays on in release builds; never judges peer input. */
NORETURN void assert_failed(const char *expr, const char *file, int line);
#define ASSERT(x) ((x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))

/* What cannot happen, and why. */
#define NEVER(why) assert_failed((why), __FILE__, __LINE__)

/* Long-lived structures start with `uint32_t magic`; public functions check whom they hold. */
#define CHECK_MAGIC(ptr, value) ASSERT((ptr) && (ptr)->magic == (value))

/* Asks for the cache lines of `n` bytes, to read or to write them soon. No function, since gcc
 * holds one that does nothing else to do nothing, and leaves the call out. */
#define FETCH(ptr, n, to_write)                                                                    \
    do {                                                                                           \
        for (size_t fetch_at_ = 0; fetch_at_ < (n); fetch_at_ += 64)                               \
            __builtin_prefetch((const char *)(ptr) + fetch_at_, (to_write));                       \
    } while (0)

/* Moves a pointer out of `var`, which becomes NULL: ownership goes to the receiver. */
#define TAKE(var)                                                                                  \
    ({                                                                                             \
        __typeof__(var) t_ = (var);                                                                \
        (var) = NULL;                                                                              \
        t_;                                                                                        \
    })

#define MIN_OF(a, b)                                                                               \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX_OF(a, b)                                                                               \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

#endif
