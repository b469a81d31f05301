/* PROXY protocol version 2. */
#include <arpa/inet.h>

#include "server_conn.h"

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

int proxy_v2_parse(struct slice s, struct net_addr *ret)
{
    struct net_addr a = {0};
    if (memcmp(s.p, signature, MIN_OF(s.n, sizeof signature)) != 0)
        return -1;
    if (s.n < 16)
        return 0;
    const uint8_t *p = (const uint8_t *)s.p;
    unsigned length = (unsigned)(p[14] << 8 | p[15]);
    if (p[12] >> 4 != 2 || (p[12] & 15) > 1 || length > 4096)
        return -1;
    if (s.n < 16 + length)
        return 0;
    bool local = (p[12] & 15) == 0;
    if (p[13] >> 4 == 1 && length >= 12) {
        a = net_addr_of_ip(AF_INET, p + 16, (uint16_t)(p[24] << 8 | p[25]));
    } else if (p[13] >> 4 == 2 && length >= 36) {
        a = net_addr_of_ip(AF_INET6, p + 16, (uint16_t)(p[48] << 8 | p[49]));
    }
    if (!local && a.family != 0)
        *ret = a;
    return (int)(16 + length);
}
