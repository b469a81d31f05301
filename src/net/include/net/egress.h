/* The egress proxy: which one an upstream is reached through. */
#ifndef NET_EGRESS_H
#define NET_EGRESS_H

#include "base/arena.h"
#include "net/upstream.h"

/* The URL of the proxy for `url`, or SLICE_NONE when it is reached directly. `proxy` and `no_proxy`
 * are what a configuration says; where one is empty the environment speaks: HTTPS_PROXY or
 * HTTP_PROXY, and NO_PROXY, the names in small letters first. `no_proxy` is "*", or names that also
 * cover what ends in them, addresses and prefixes ("10.0.0.0/8"), parted by commas; loopback is
 * always direct. The result lives as long as what it was taken from. */
struct slice net_egress_proxy(struct slice proxy, struct slice no_proxy, const struct net_url *url);

/* Sets the proxy of `config` from its URL, "http://user:password@host:port"; empty sets none. Text
 * lives in `a` and in `proxy`. False: it cannot be used; `*ret_why` says why. */
NODISCARD bool net_egress_set(struct slice proxy, struct arena *a, struct upstream_config *config,
                              const char **ret_why);

#endif
