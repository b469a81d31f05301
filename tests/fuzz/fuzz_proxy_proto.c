/* PROXY protocol version 2: the verdict does not change with more input, a prefix of a header is
 * never more than a prefix, and the address is the one of the specification's layout. */
/* layer: net */
#include "server_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->bytes, b->bytes, 16) == 0;
}

/* What section 2.2 of the specification says about a header that was accepted. */
static void check_header(const uint8_t *p, size_t n, const struct net_addr *before,
                         const struct net_addr *after)
{
    unsigned family = p[13] >> 4, length = (unsigned)p[14] << 8 | p[15];
    bool local = (p[12] & 15) == 0, v4 = family == 1 && length >= 12,
         v6 = family == 2 && length >= 36;
    ASSERT(p[12] >> 4 == 2 && n == 16 + length);
    if (local || (!v4 && !v6)) {
        ASSERT(same_addr(before, after));
        return;
    }
    const uint8_t *port = p + 16 + (v4 ? 8 : 32);
    ASSERT(after->port == (port[0] << 8 | port[1]));
    if (v4)
        ASSERT(after->family == AF_INET && memcmp(after->bytes, p + 16, 4) == 0);
    else if (after->family == AF_INET) /* ::ffff:a.b.c.d is a.b.c.d everywhere */
        ASSERT(memcmp(after->bytes, p + 28, 4) == 0 && p[26] == 0xFF && p[27] == 0xFF);
    else
        ASSERT(after->family == AF_INET6 && memcmp(after->bytes, p + 16, 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct net_addr before = {.family = AF_UNIX, .port = 9};
    struct net_addr after = before;
    int verdict = 0;
    for (size_t n = 1; n <= size; n++) {
        struct net_addr now = before;
        int r = proxy_v2_parse(slice_of((const char *)data, n), &now);
        ASSERT(r <= (int)n && (r <= 0 || r >= 16));
        ASSERT(r > 0 || same_addr(&now, &before));
        if (verdict != 0)
            ASSERT(r == verdict && same_addr(&now, &after));
        verdict = r;
        after = now;
        if (n > 5000)
            break;
    }
    if (verdict > 0)
        check_header(data, (size_t)verdict, &before, &after);
    return 0;
}
