/* The egress proxy that a configuration or the environment asks for. */
#include "net/egress.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "net/addr.h"

#define BASIC "Basic "

/* The variable's value; what is set but empty counts as not set. */
static struct slice variable(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    return slice_str(value != NULL && value[0] != '\0' ? value : getenv(upper));
}

/* One item of NO_PROXY. A port behind a name is ignored. */
static bool covers(struct slice item, struct slice host, const struct net_addr *addr)
{
    struct net_prefix prefix;
    if (addr != NULL && net_prefix_parse(item, &prefix))
        return net_prefix_has(&prefix, addr);
    item = slice_cut(&item, ':');
    if (slice_is(item, "*"))
        return true;
    if (item.n > 0 && *item.p == '.')
        item = slice_from(item, 1);
    if (item.n == 0 || item.n > host.n)
        return false;
    bool whole = item.n == host.n || host.p[host.n - item.n - 1] == '.';
    return whole && slice_eq_nocase(slice_from(host, host.n - item.n), item);
}

static bool exempt(struct slice host, struct slice list)
{
    struct net_addr literal, *addr = net_addr_parse(host, 0, &literal) ? &literal : NULL;
    if (slice_eq_nocase(host, SLICE("localhost")) || (addr != NULL && net_addr_is_loopback(addr)))
        return true;
    while (list.n > 0) {
        if (covers(slice_trim(slice_cut(&list, ',')), host, addr))
            return true;
    }
    return false;
}

struct slice net_egress_proxy(struct slice proxy, struct slice no_proxy, const struct net_url *url)
{
    if (proxy.n == 0)
        proxy = url->tls ? variable("https_proxy", "HTTPS_PROXY")
                         : variable("http_proxy", "HTTP_PROXY");
    if (no_proxy.n == 0)
        no_proxy = variable("no_proxy", "NO_PROXY");
    return proxy.n == 0 || exempt(url->host, no_proxy) ? SLICE_NONE : proxy;
}

/* userinfo as "Basic ..." (RFC 7617); SLICE_NONE: malformed, or no memory. */
static struct slice basic(struct slice userinfo, struct arena *a)
{
    char *plain = arena_alloc(a, userinfo.n);
    char *out = arena_alloc(a, sizeof BASIC + (userinfo.n + 2) / 3 * 4);
    ptrdiff_t n = plain != NULL ? http_percent_decode(userinfo, plain) : -1;
    if (n < 0 || out == NULL)
        return SLICE_NONE;
    memcpy(out, BASIC, sizeof BASIC);
    size_t head = sizeof BASIC - 1;
    int coded = EVP_EncodeBlock((uint8_t *)out + head, (const uint8_t *)plain, (int)n);
    return slice_of(out, head + (size_t)coded);
}

bool net_egress_set(struct slice proxy, struct arena *a, struct upstream_config *config,
                    const char **ret_why)
{
    struct net_url url;
    if (proxy.n == 0)
        return true;
    if (!net_url_parse(proxy, &url, ret_why))
        return false;
    *ret_why = "a proxy has to be reached by http://";
    if (url.tls)
        return false;
    config->proxy_host = url.host;
    config->proxy_port = url.port;
    *ret_why = "its user and password are malformed";
    if (url.userinfo.n > 0)
        config->proxy_auth = basic(url.userinfo, a);
    return url.userinfo.n == 0 || config->proxy_auth.n > 0;
}
