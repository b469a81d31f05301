/* The egress proxy that the environment asks for. */
#include "proxy.h"

#include <stdlib.h>

#include "net/addr.h"
#include "net/http.h"

static struct slice variable(const char *lower, const char *upper)
{
    const char *v = getenv(lower);
    return slice_str(v != NULL && v[0] != '\0' ? v : getenv(upper));
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

static bool exempt(struct slice host)
{
    struct net_addr literal, *addr = net_addr_parse(host, 0, &literal) ? &literal : NULL;
    struct slice list = variable("no_proxy", "NO_PROXY");
    if (slice_eq_nocase(host, SLICE("localhost")) || (addr != NULL && net_addr_is_loopback(addr)))
        return true;
    while (list.n > 0) {
        if (covers(slice_trim(slice_cut(&list, ',')), host, addr))
            return true;
    }
    return false;
}

/* userinfo as "Basic ..." (RFC 7617); SLICE_NONE: malformed, or no memory. */
static struct slice basic(struct slice userinfo, struct arena *a)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *plain = arena_zalloc(a, userinfo.n + 3);
    char *out = arena_alloc(a, 6 + (userinfo.n + 2) / 3 * 4), *o = out + 6;
    ptrdiff_t n = plain != NULL ? http_percent_decode(userinfo, (char *)plain) : -1;
    if (n < 0 || out == NULL)
        return SLICE_NONE;
    memset(plain + n, 0, 3);
    memcpy(out, "Basic ", 6);
    for (ptrdiff_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)plain[i] << 16 | (unsigned)plain[i + 1] << 8 | plain[i + 2];
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *o++ = i + 2 < n ? digits[v & 63] : '=';
    }
    return slice_of(out, (size_t)(o - out));
}

bool proxy_from_env(const struct net_url *url, struct arena *a, struct upstream_config *config,
                    const char **ret_why)
{
    struct slice text =
        url->tls ? variable("https_proxy", "HTTPS_PROXY") : variable("http_proxy", "HTTP_PROXY");
    struct net_url proxy;
    if (text.n == 0 || exempt(url->host))
        return true;
    if (!net_url_parse(text, &proxy, ret_why))
        return false;
    *ret_why = "a proxy has to be reached by http://";
    if (proxy.tls)
        return false;
    config->proxy_host = proxy.host;
    config->proxy_port = proxy.port;
    *ret_why = "its user and password are malformed";
    if (proxy.userinfo.n > 0)
        config->proxy_auth = basic(proxy.userinfo, a);
    return proxy.userinfo.n == 0 || config->proxy_auth.n > 0;
}
