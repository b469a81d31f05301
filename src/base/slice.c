/* Operations on slices that are too long to inline. */
#include "base/slice.h"

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    }
    return true;
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

ptrdiff_t slice_find(struct slice s, char c)
{
    const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
    return hit != NULL ? hit - s.p : -1;
}

struct slice slice_cut(struct slice *s, char sep)
{
    ptrdiff_t at = slice_find(*s, sep);
    struct slice head = *s;
    if (at < 0) {
        *s = SLICE_NONE;
        return head;
    }
    head.n = (size_t)at;
    *s = slice_of(s->p + at + 1, s->n - (size_t)at - 1);
    return head;
}

bool slice_to_u64(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

unsigned slice_distance(struct slice a, struct slice b, unsigned limit)
{
    unsigned row[65];
    if (a.n > 64 || b.n > 64)
        return limit + 1;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]));
            best = MIN_OF(best, above + 1);
            row[j] = MIN_OF(best, row[j - 1] + 1);
            diagonal = above;
        }
    }
    return MIN_OF(row[b.n], limit + 1);
}
