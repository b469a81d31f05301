/* Proxies and trust of upstreams. */
#include "build_egress.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "net/addr.h"

static struct slice first_of(struct slice a, struct slice b)
{
    return a.n > 0 ? a : b;
}

static bool is_local(struct slice host)
{
    struct net_addr a;
    if (slice_eq_nocase(host, SLICE("localhost")))
        return true;
    return net_addr_parse(host, 0, &a) && net_addr_is_loopback(&a);
}

/* NO_PROXY: "*", names, or suffixes with or without a leading dot, parted by commas. */
static bool exempt(struct slice list, struct slice host)
{
    while (list.n > 0) {
        struct slice item = slice_trim(slice_cut(&list, ','));
        if (slice_is(item, "*"))
            return true;
        if (item.n > 0 && *item.p == '.')
            item = slice_from(item, 1);
        if (item.n == 0 || item.n > host.n)
            continue;
        struct slice tail = slice_from(host, host.n - item.n);
        bool whole = item.n == host.n || host.p[host.n - item.n - 1] == '.';
        if (whole && slice_eq_nocase(tail, item))
            return true;
    }
    return false;
}

/* userinfo as "Basic ..." (RFC 7617). */
static struct slice basic(struct slice userinfo, struct arena *a)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *plain = arena_alloc(a, userinfo.n + 3);
    char *out = arena_alloc(a, 6 + (userinfo.n + 2) / 3 * 4);
    ptrdiff_t n = plain != NULL ? http_percent_decode(userinfo, plain) : -1;
    if (n < 0 || out == NULL)
        return SLICE_NONE;
    memset(plain + n, 0, 2);
    memcpy(out, "Basic ", 6);
    char *o = out + 6;
    for (ptrdiff_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(uint8_t)plain[i] << 16 | (unsigned)(uint8_t)plain[i + 1] << 8 |
                     (uint8_t)plain[i + 2];
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *o++ = i + 2 < n ? digits[v & 63] : '=';
    }
    return slice_of(out, (size_t)(o - out));
}

bool egress_proxy(const struct config_egress *e, const struct config_provider *p,
                  const struct net_url *url, struct arena *a, struct upstream_config *uc,
                  const char **ret_why)
{
    struct net_url proxy;
    struct slice text = first_of(p->proxy, e->proxy);
    if (text.n == 0)
        text = slice_str(getenv(url->tls ? "HTTPS_PROXY" : "http_proxy"));
    if (text.n == 0 && url->tls)
        text = slice_str(getenv("https_proxy"));
    struct slice except = first_of(e->no_proxy, slice_str(getenv("NO_PROXY")));
    except = first_of(except, slice_str(getenv("no_proxy")));
    bool direct = text.n == 0 || slice_is(text, "off") ||
                  (p->proxy.n == 0 && (is_local(url->host) || exempt(except, url->host)));
    if (direct)
        return true;
    if (!net_url_parse(text, &proxy, ret_why))
        return false;
    if (proxy.tls) {
        *ret_why = "a proxy has to be reached by http://";
        return false;
    }
    uc->proxy_host = proxy.host;
    uc->proxy_port = proxy.port;
    if (proxy.userinfo.n > 0)
        uc->proxy_auth = basic(proxy.userinfo, a);
    return true;
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

static long changed(struct slice file)
{
    struct stat st;
    return file.n > 0 && stat(file.p, &st) == 0 ? (long)st.st_mtime : 0;
}

struct slice egress_key(const struct config_egress *e, const struct config_provider *p,
                        const struct net_url *url, const struct upstream_config *uc,
                        struct arena *a)
{
    struct slice ca = first_of(p->ca_file, e->ca_file);
    struct slice cert = first_of(p->client_cert, e->client_cert);
    return arena_printf(a, "%s %.*s %u sni=%.*s ca=%.*s@%ld cert=%.*s@%ld proxy=%.*s:%u cap=%lld",
                        url->tls ? "tls" : "plain", SLICE_ARG(url->host), url->port,
                        SLICE_ARG(uc->sni), SLICE_ARG(ca), changed(ca), SLICE_ARG(cert),
                        changed(cert), SLICE_ARG(uc->proxy_host), uc->proxy_port,
                        (long long)uc->max_connections);
}
