/* Origins shared by all threads, and their URLs. */
#include <stdatomic.h>

#include "base/mem.h"
#include "pool.h"

static pthread_mutex_t ids_lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t ids[POOLS_MAX]; /* 1: taken */

static int32_t take_id(void)
{
    int32_t id = -1;
    pthread_mutex_lock(&ids_lock);
    for (int32_t i = 0; i < POOLS_MAX && id < 0; i++) {
        if (!ids[i])
            ids[id = i] = 1;
    }
    pthread_mutex_unlock(&ids_lock);
    return id;
}

static void give_id(uint32_t id)
{
    pthread_mutex_lock(&ids_lock);
    ids[id] = 0;
    pthread_mutex_unlock(&ids_lock);
}

static bool copy_config(struct upstream *u, const struct upstream_config *c)
{
    struct arena *a = &u->arena;
    uint16_t usual = c->tls != NULL ? 443 : 80;
    bool v6 = slice_find(c->host, ':') >= 0;
    u->config = *c;
    u->config.host = arena_copy(a, c->host);
    u->config.unix_path = arena_copy(a, c->unix_path);
    u->config.sni = arena_copy(a, c->sni.n > 0 ? c->sni : c->host);
    u->config.proxy_host = arena_copy(a, c->proxy_host);
    u->config.proxy_auth = arena_copy(a, c->proxy_auth);
    if (c->unix_path.n > 0)
        u->authority = SLICE("localhost");
    else if (c->port == usual)
        u->authority = arena_printf(a, v6 ? "[%.*s]" : "%.*s", SLICE_ARG(c->host));
    else
        u->authority = arena_printf(a, v6 ? "[%.*s]:%u" : "%.*s:%u", SLICE_ARG(c->host), c->port);
    return u->config.host.p && u->config.unix_path.p && u->config.sni.p && u->authority.p &&
           u->config.proxy_host.p && u->config.proxy_auth.p;
}

struct upstream *upstream_new(const struct upstream_config *config)
{
    struct upstream *u = mem_calloc(1, sizeof *u);
    int32_t id = u != NULL ? take_id() : -1;
    if (id < 0) {
        mem_free(u);
        return NULL;
    }
    u->refs = 1;
    u->id = (uint32_t)id;
    arena_init(&u->arena, NULL, 65536);
    permits_init(&u->connections, config->max_connections, INT64_MAX);
    bool ok = copy_config(u, config);
    if (u->config.tls != NULL)
        tls_client_context_ref(u->config.tls);
    if (!ok) {
        upstream_unref(u);
        return NULL;
    }
    return u;
}

struct upstream *upstream_ref(struct upstream *u)
{
    u->refs++;
    return u;
}

void upstream_unref(struct upstream *u)
{
    if (u == NULL || --u->refs > 0)
        return;
    give_id(u->id);
    tls_client_context_unref(u->config.tls);
    permits_done(&u->connections);
    arena_reset(&u->arena);
    mem_free(u);
}

int64_t upstream_connections(const struct upstream *u)
{
    struct permits *p = (struct permits *)(uintptr_t)&u->connections;
    pthread_mutex_lock(&p->lock);
    int64_t n = p->held;
    pthread_mutex_unlock(&p->lock);
    return n;
}

struct slice upstream_authority(const struct upstream *u)
{
    return u->authority;
}

const char *net_fail_name(enum net_fail f)
{
    static const char *const names[] = {
#define X(id, name, text) name,
        NET_FAILS(X)
#undef X
    };
    return names[f];
}

const char *net_fail_text(enum net_fail f)
{
    static const char *const texts[] = {
#define X(id, name, text) text,
        NET_FAILS(X)
#undef X
    };
    return texts[f];
}

/* Letters, digits and what else names have in practice; never what means something in a URL. */
static bool is_host_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 0x20);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && strchr("-._~", c) == NULL)
            return false;
    }
    return s.n > 0;
}

static bool parse_host_port(struct slice s, struct net_url *u, const char **ret_why)
{
    struct slice port;
    uint64_t n;
    if (s.n > 0 && *s.p == '[') {
        ptrdiff_t close = slice_find(s, ']');
        if (close < 0) {
            *ret_why = "`[` without `]`";
            return false;
        }
        struct net_addr literal;
        *ret_why = "bad address in `[]`";
        if (!net_addr_parse(slice_of(s.p, (size_t)close + 1), 0, &literal))
            return false;
        u->host = slice_of(s.p + 1, (size_t)close - 1);
        port = slice_from(s, (size_t)close + 1);
        *ret_why = "bad port";
        if (port.n > 0 && *port.p != ':')
            return false;
        port = slice_from(port, 1);
    } else {
        u->host = slice_cut(&s, ':');
        port = s;
        *ret_why = u->host.n == 0 ? "no host" : "bad host";
        if (!is_host_name(u->host))
            return false;
    }
    *ret_why = "bad port";
    if (port.n > 0 && (!slice_to_u64(port, &n) || n == 0 || n > 65535))
        return false;
    u->port = port.n > 0 ? (uint16_t)n : (u->tls ? 443 : 80);
    return true;
}

bool net_url_parse(struct slice url, struct net_url *ret, const char **ret_why)
{
    struct net_url u = {0};
    struct slice rest;
    for (size_t i = 0; i < url.n; i++) {
        if ((uint8_t)url.p[i] <= ' ' || (uint8_t)url.p[i] >= 0x7F) {
            *ret_why = "spaces and non-ASCII characters are not allowed";
            return false;
        }
    }
    if (url.n > 8 && slice_eq_nocase(slice_of(url.p, 8), SLICE("https://"))) {
        u.tls = true;
        rest = slice_from(url, 8);
    } else if (url.n > 7 && slice_eq_nocase(slice_of(url.p, 7), SLICE("http://"))) {
        rest = slice_from(url, 7);
    } else {
        *ret_why = "must begin with http:// or https://";
        return false;
    }
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#')
        n++;
    struct slice authority = slice_of(rest.p, n);
    u.path = slice_from(rest, n);
    if (slice_find(u.path, '?') >= 0 || slice_find(u.path, '#') >= 0) {
        *ret_why = "a query or fragment is not allowed";
        return false;
    }
    while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
        u.path.n--;
    ptrdiff_t at = slice_find(authority, '@');
    if (at >= 0) {
        u.userinfo = slice_of(authority.p, (size_t)at);
        authority = slice_from(authority, (size_t)at + 1);
    }
    if (!parse_host_port(authority, &u, ret_why))
        return false;
    *ret = u;
    return true;
}
