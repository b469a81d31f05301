/* URLs, addresses, prefixes, percent escapes: what is accepted lies inside the input, holds nothing
 * that could break a header line, and reads the same when it is written again. */
/* layer: net */
#include <arpa/inet.h>

#include "base/hash.h"
#include "http1.h"
#include "net/addr.h"
#include "net/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice part, struct slice whole)
{
    ASSERT(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void check_url(struct slice s)
{
    struct net_url u, again;
    const char *why = NULL;
    if (!net_url_parse(s, &u, &why)) {
        ASSERT(why != NULL);
        return;
    }
    check_inside(u.host, s);
    check_inside(u.userinfo, s);
    check_inside(u.path, s);
    ASSERT(u.host.n > 0 && u.port > 0);
    ASSERT(u.path.n == 0 || (*u.path.p == '/' && u.path.p[u.path.n - 1] != '/'));
    for (size_t i = 0; i < u.host.n; i++)
        ASSERT(strchr("/?#@[]\\ \"<>", u.host.p[i]) == NULL);
    bool v6 = slice_find(u.host, ':') >= 0;
    struct buf b;
    buf_init(&b, s.n + 100);
    buf_slice(&b, u.tls ? SLICE("https://") : SLICE("http://"));
    if (u.userinfo.n > 0)
        buf_printf(&b, SLICE_FMT "@", SLICE_ARG(u.userinfo));
    buf_printf(&b, v6 ? "[" SLICE_FMT "]:%u" : SLICE_FMT ":%u", SLICE_ARG(u.host), u.port);
    buf_slice(&b, u.path);
    ASSERT(!b.failed && net_url_parse(buf_view(&b), &again, &why));
    ASSERT(again.tls == u.tls && again.port == u.port && slice_eq(again.host, u.host) &&
           slice_eq(again.userinfo, u.userinfo) && slice_eq(again.path, u.path));
    buf_done(&b);
}

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->bytes, b->bytes, 16) == 0;
}

static void check_addr(struct slice s)
{
    struct net_addr a, b;
    struct sockaddr_storage ss;
    char text[NET_ADDR_TEXT];
    if (net_addr_parse(s, 7, &a)) {
        ASSERT(net_addr_parse(net_addr_text(&a, text), 7, &b) && same_addr(&a, &b));
        ASSERT(net_addr_sockaddr(&a, &ss) > 0);
        b = net_addr_of((struct sockaddr *)&ss);
        ASSERT(same_addr(&a, &b));
    }
    if (net_addr_parse_port(s, &a))
        ASSERT(a.family == AF_INET || a.family == AF_INET6);
}

static bool bit_of(const struct net_addr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* The prefix has its own address, and loses it when any bit that counts is turned. */
static void check_prefix(struct slice s)
{
    struct net_prefix p;
    if (!net_prefix_parse(s, &p))
        return;
    unsigned all = p.addr.family == AF_INET ? 32 : 128;
    ASSERT(p.bits <= all && net_prefix_has(&p, &p.addr));
    for (unsigned i = 0; i < all; i++) {
        struct net_addr other = p.addr;
        other.bytes[i / 8] ^= (uint8_t)(0x80 >> i % 8);
        ASSERT(bit_of(&other, i) != bit_of(&p.addr, i));
        ASSERT(net_prefix_has(&p, &other) == (i >= p.bits));
    }
}

static void check_percent(struct slice s)
{
    char *out = s.n > 0 ? (char[4096]){0} : NULL;
    if (s.n > 4096)
        return;
    ptrdiff_t n = http_percent_decode(s, out);
    size_t at = 0;
    for (size_t i = 0; i < s.n && n >= 0; i++) {
        char want = s.p[i];
        if (want == '%') {
            ASSERT(i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0);
            want = (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]));
            i += 2;
        }
        ASSERT(want != '\0' && at < (size_t)n && out[at] == want);
        at++;
    }
    ASSERT(n < 0 || (size_t)n == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of((const char *)data, size);
    check_url(s);
    check_addr(s);
    check_prefix(s);
    check_percent(s);
    return 0;
}
