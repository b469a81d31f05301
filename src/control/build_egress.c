/* Proxies and trust of upstreams. */
#include "build_egress.h"

#include <sys/stat.h>

#include "base/hash.h"
#include "net/egress.h"

static struct slice first_of(struct slice a, struct slice b)
{
    return a.n > 0 ? a : b;
}

bool egress_proxy(const struct config_egress *e, const struct config_provider *p,
                  const struct net_url *url, struct arena *a, struct upstream_config *uc,
                  const char **ret_why)
{
    struct slice own = p->proxy; /* whoever names it for one provider means that one */
    return net_egress_set(own.n > 0 ? own : net_egress_proxy(e->proxy, e->no_proxy, url), a, uc,
                          ret_why);
}

static const char *file_or_null(struct slice s)
{
    return s.n > 0 ? s.p : NULL;
}

struct tls_client_context *egress_tls(const struct config_egress *e,
                                      const struct config_provider *p, struct buf *error)
{
    return tls_client_context_new(file_or_null(first_of(p->ca_file, e->ca_file)),
                                  file_or_null(first_of(p->client_cert, e->client_cert)),
                                  file_or_null(first_of(p->client_key, e->client_key)), error);
}

/* Changes with the file, even within one second. */
static struct slice stamp(struct slice file, struct arena *a)
{
    struct stat st;
    if (file.n == 0 || stat(file.p, &st) != 0)
        return SLICE("-");
    return arena_printf(a, "%.*s@%lld.%09ld.%llu.%lld", SLICE_ARG(file),
                        (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                        (unsigned long long)st.st_ino, (long long)st.st_size);
}

struct slice egress_key(const struct config_egress *e, const struct config_provider *p,
                        const struct net_url *url, const struct upstream_config *uc,
                        struct arena *a)
{
    struct slice ca = stamp(first_of(p->ca_file, e->ca_file), a);
    struct slice cert = stamp(first_of(p->client_cert, e->client_cert), a);
    struct slice key = stamp(first_of(p->client_key, e->client_key), a);
    return arena_printf(
        a, "%s %.*s %u sni=%.*s ca=%.*s cert=%.*s key=%.*s proxy=%.*s:%u/%llx cap=%lld",
        url->tls ? "tls" : "plain", SLICE_ARG(url->host), url->port, SLICE_ARG(uc->sni),
        SLICE_ARG(ca), SLICE_ARG(cert), SLICE_ARG(key), SLICE_ARG(uc->proxy_host), uc->proxy_port,
        (unsigned long long)hash64(uc->proxy_auth), (long long)uc->max_connections);
}
