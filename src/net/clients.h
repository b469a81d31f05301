/* How many connections each client address has, shared by all loops. */
#ifndef NET_CLIENTS_H
#define NET_CLIENTS_H

#include "net/server.h"

/* One address with at least one connection. */
struct net_client;

/* Counts one more connection of `a`; `*ret` gives it back. False, and `*ret` untouched: the address
 * has as many as it may, or memory is short. */
NODISCARD bool clients_enter(struct net_clients *t, const struct net_addr *a,
                             struct net_client **ret);
/* NULL is fine. */
void clients_leave(struct net_clients *t, struct net_client *c);

#endif
