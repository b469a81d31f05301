/* Socket addresses and prefixes. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/buf.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

/* An IPv4 address mapped into IPv6 is an IPv4 address. */
static void unmap(struct net_addr *a)
{
    if (a->family != AF_INET6 || memcmp(a->bytes, v4_mapped, sizeof v4_mapped) != 0)
        return;
    a->family = AF_INET;
    memmove(a->bytes, a->bytes + 12, 4);
    memset(a->bytes + 4, 0, 12);
}

struct net_addr net_addr_of_ip(uint8_t family, const void *bytes, uint16_t port)
{
    struct net_addr a = {.family = family, .port = port};
    memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
    unmap(&a);
    return a;
}

struct net_addr net_addr_of(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        return net_addr_of_ip(AF_INET, &in->sin_addr, ntohs(in->sin_port));
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        return net_addr_of_ip(AF_INET6, &in6->sin6_addr, ntohs(in6->sin6_port));
    }
    return (struct net_addr){.family = (uint8_t)sa->sa_family};
}

socklen_t net_addr_sockaddr(const struct net_addr *a, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    if (a->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->bytes, 4);
        return sizeof *in;
    }
    if (a->family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->bytes, 16);
        return sizeof *in6;
    }
    return 0;
}

struct slice net_addr_text(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
    if (a->family == AF_INET) { /* inet_ntop would go through sprintf, for every log line */
        size_t n = 0;
        for (unsigned i = 0; i < 4; i++) {
            n += u64_digits(a->bytes[i], out + n);
            out[n++] = i < 3 ? '.' : '\0';
        }
        return slice_of(out, n - 1);
    }
    if (a->family == AF_INET6)
        return slice_str(inet_ntop(AF_INET6, a->bytes, out, NET_ADDR_TEXT));
    return a->family == AF_UNIX ? SLICE("unix") : SLICE("unknown");
}

bool net_addr_parse(struct slice text, uint16_t port, struct net_addr *ret)
{
    char s[NET_ADDR_TEXT];
    uint8_t bytes[16];
    bool bracketed = text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';
    if (bracketed)
        text = slice_of(text.p + 1, text.n - 2);
    if (text.n == 0 || text.n >= sizeof s || memchr(text.p, '\0', text.n) != NULL)
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    uint8_t family = memchr(s, ':', text.n) != NULL ? AF_INET6 : AF_INET;
    if ((bracketed && family == AF_INET) || inet_pton(family, s, bytes) != 1)
        return false;
    *ret = net_addr_of_ip(family, bytes, port);
    return true;
}

bool net_addr_parse_port(struct slice text, struct net_addr *ret)
{
    size_t colon = text.n;
    uint64_t port;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || !slice_to_u64(slice_from(text, colon), &port) || port > 65535)
        return false;
    struct slice host = slice_of(text.p, colon - 1);
    if (slice_eq_nocase(host, SLICE("localhost")))
        host = SLICE("127.0.0.1");
    if (host.n > 0 && *host.p != '[' && slice_find(host, ':') >= 0)
        return false;
    return net_addr_parse(host, (uint16_t)port, ret);
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    if (a->family == AF_INET)
        return a->bytes[0] == 127;
    if (a->family == AF_INET6)
        return memcmp(a->bytes, v6_loopback, 16) == 0;
    return a->family == AF_UNIX;
}

bool net_prefix_parse(struct slice text, struct net_prefix *ret)
{
    uint64_t bits;
    struct slice rest = text, head = slice_cut(&rest, '/');
    struct net_prefix p;
    if (!net_addr_parse(head, 0, &p.addr))
        return false;
    bool v6 = slice_find(head, ':') >= 0, mapped = v6 && p.addr.family == AF_INET;
    if (head.n == text.n)
        bits = v6 ? 128 : 32;
    else if (!slice_to_u64(rest, &bits) || bits > (v6 ? 128 : 32) || (mapped && bits < 96))
        return false;
    p.bits = (unsigned)bits - (mapped ? 96 : 0);
    *ret = p;
    return true;
}

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;
    if (p->addr.family != a->family || memcmp(p->addr.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || ((p->addr.bytes[whole] ^ a->bytes[whole]) >> (8 - rest)) == 0;
}
