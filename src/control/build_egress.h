/* How a provider is reached: proxy, trust, and the key under which its connections are remembered.
 */
#ifndef CONTROL_BUILD_EGRESS_H
#define CONTROL_BUILD_EGRESS_H

#include "control/config.h"
#include "net/upstream.h"

/* Sets the proxy of `uc`: the provider's, else the configuration's or that of the environment where
 * they apply to the host (net/egress.h). False: the proxy's URL cannot be used; see `*ret_why`. */
NODISCARD bool egress_proxy(const struct config_egress *e, const struct config_provider *p,
                            const struct net_url *url, struct arena *a, struct upstream_config *uc,
                            const char **ret_why);

/* The TLS settings for the provider; the caller owns the reference. NULL: see `error`. */
NODISCARD struct tls_client_context *egress_tls(const struct config_egress *e,
                                                const struct config_provider *p, struct buf *error);

/* Everything that tells one upstream from another, as text in `a`; files count with their time of
 * change, so that a renewed certificate makes a new upstream. */
struct slice egress_key(const struct config_egress *e, const struct config_provider *p,
                        const struct net_url *url, const struct upstream_config *uc,
                        struct arena *a);

#endif
