/* Socket addresses, their text, and prefixes ("10.0.0.0/8"). */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <sys/socket.h>

#include "base/slice.h"

struct net_addr {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; 0: unknown */
    uint8_t bytes[16];
    uint16_t port;
};

#define NET_ADDR_TEXT 48
/* IPv4 addresses mapped into IPv6 become IPv4, here and in all functions below. */
struct net_addr net_addr_of(const struct sockaddr *sa);
/* From the 4 or 16 bytes of an address (AF_INET, AF_INET6). */
struct net_addr net_addr_of_ip(uint8_t family, const void *bytes, uint16_t port);
/* For connect or bind: fills `ret` and returns its length, or 0 for a family without one. */
socklen_t net_addr_sockaddr(const struct net_addr *a, struct sockaddr_storage *ret);
/* "127.0.0.1", "::1", "unix"; without the port. */
struct slice net_addr_text(const struct net_addr *a, char out[NET_ADDR_TEXT]);
/* An IPv4 literal, or an IPv6 literal with or without brackets. */
NODISCARD bool net_addr_parse(struct slice text, uint16_t port, struct net_addr *ret);
/* "host:port" or "[v6]:port" with a literal host; "localhost" counts as 127.0.0.1. */
NODISCARD bool net_addr_parse_port(struct slice text, struct net_addr *ret);
bool net_addr_is_loopback(const struct net_addr *a);

struct net_prefix {
    struct net_addr addr;
    unsigned bits;
};
NODISCARD bool net_prefix_parse(struct slice text, struct net_prefix *ret);
bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a);

#endif
