/* A piece of text that somebody else owns: pointer and length, never NUL-terminated by contract. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <string.h>

#include "base/compiler.h"

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit)   ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_NONE   ((struct slice){NULL, 0})
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* The rest of `s` from byte `from` on (empty when `from` is past the end). */
static inline struct slice slice_from(struct slice s, size_t from)
{
    return from >= s.n ? SLICE_NONE : (struct slice){s.p + from, s.n - from};
}

/* Equality of ASCII text without regard to case. */
bool slice_eq_nocase(struct slice a, struct slice b);

/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Index of the first `c`, or -1. */
ptrdiff_t slice_find(struct slice s, char c);

/* Cuts `*s` at the first `sep`: returns what stands before it and leaves the rest in `*s`
 * (SLICE_NONE once nothing is left). */
struct slice slice_cut(struct slice *s, char sep);

/* Decimal digits only, no sign, no spaces, no overflow; false leaves `*ret` untouched. */
NODISCARD bool slice_to_u64(struct slice s, uint64_t *ret);

/* Levenshtein distance, at most `limit` + 1; for "did you mean". Names over 64 bytes are far. */
unsigned slice_distance(struct slice a, struct slice b, unsigned limit);

#endif
