/* Socket addresses and prefixes. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/buf.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

struct net_addr net_addr_of(const struct sockaddr *sa)
{
    struct net_addr a = {.family = (uint8_t)sa->sa_family};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        memcpy(a.bytes, &in->sin_addr, 4);
        a.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        a.port = ntohs(in6->sin6_port);
        memcpy(a.bytes, &in6->sin6_addr, 16);
        if (memcmp(a.bytes, v4_mapped, 12) == 0) {
            a.family = AF_INET;
            memmove(a.bytes, a.bytes + 12, 4);
        }
    }
    return a;
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
    struct net_addr a = {.port = port};
    if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = slice_of(text.p + 1, text.n - 2);
    if (text.n == 0 || text.n >= sizeof s)
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    if (inet_pton(AF_INET, s, a.bytes) == 1)
        a.family = AF_INET;
    else if (inet_pton(AF_INET6, s, a.bytes) == 1)
        a.family = AF_INET6;
    else
        return false;
    *ret = a;
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
    unsigned all = p.addr.family == AF_INET ? 32 : 128;
    if (head.n == text.n)
        bits = all;
    else if (!slice_to_u64(rest, &bits) || bits > all)
        return false;
    p.bits = (unsigned)bits;
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
