/* The egress proxy that the environment asks for. */
#ifndef CLI_PROXY_H
#define CLI_PROXY_H

#include "base/arena.h"
#include "net/upstream.h"

/* Sets the proxy of `config` for `url` from HTTPS_PROXY or HTTP_PROXY (either case; the lower one
 * wins), unless the host is loopback or in NO_PROXY: "*", or names that also cover what ends in
 * them, addresses and prefixes ("10.0.0.0/8"), parted by commas. Text lives in `a`. False: the
 * proxy's URL cannot be used; `*ret_why` says why. */
NODISCARD bool proxy_from_env(const struct net_url *url, struct arena *a,
                              struct upstream_config *config, const char **ret_why);

#endif
