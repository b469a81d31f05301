/* What a request's head says, and what of it goes upstream. */
#include "exchange.h"
#include "worker.h"

/* Client headers that pass to upstreams beside those the configuration adds. */
static bool passes_up(enum http_name id)
{
    switch (id) {
    case HTTP_OPENAI_BETA:
    case HTTP_ANTHROPIC_BETA:
    case HTTP_IDEMPOTENCY_KEY:
    case HTTP_X_CLIENT_REQUEST_ID:
    case HTTP_TRACEPARENT:
    case HTTP_TRACESTATE: return true;
    default: return false;
    }
}

static bool in_list(struct slice name, const struct slice *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_nocase(list[i], name))
            return true;
    }
    return false;
}

struct slice request_api_key(const struct http_head *h)
{
    struct slice auth = http_field_get(h, HTTP_AUTHORIZATION);
    if (auth.n > 7 && slice_eq_nocase(slice_of(auth.p, 7), SLICE("Bearer ")))
        return slice_trim(slice_from(auth, 7));
    static const enum http_name names[] = {HTTP_X_API_KEY, HTTP_API_KEY, HTTP_X_GOOG_API_KEY};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice key = http_field_get(h, names[i]);
        if (key.n > 0)
            return key;
    }
    return SLICE_NONE;
}

bool request_path_leaves(struct slice path)
{
    struct slice rest = slice_cut(&path, '?');
    while (rest.n > 0) {
        struct slice segment = slice_cut(&rest, '/');
        if (slice_is(segment, ".") || slice_is(segment, ".."))
            return true;
    }
    return false;
}

struct slice request_query(const struct http_head *h, struct slice name)
{
    struct slice rest = h->query;
    while (rest.n > 0) {
        struct slice value = slice_cut(&rest, '&'), key = slice_cut(&value, '=');
        if (slice_eq(key, name))
            return value;
    }
    return SLICE_NONE;
}

/* What has been gathered, copied; false: no memory. */
static bool keep_lines(struct exchange *x, const struct buf *b, struct slice *into)
{
    *into = b->n > 0 ? arena_copy(&x->arena, buf_view(b)) : SLICE_NONE;
    return !b->failed && into->n == b->n;
}

static bool keep_passing_fields(struct exchange *x, const struct http_head *h)
{
    const struct gw_snapshot *s = x->snapshot;
    struct buf *b = &x->worker->line;
    buf_reset(b);
    for (unsigned i = 0; i < h->fields_n; i++) {
        const struct http_field *f = &h->fields[i];
        bool passes = passes_up(f->id) || in_list(f->name, s->forward_up, s->forward_up_n);
        if (passes && !http_field_is_hop(h, f))
            http_put_field(b, f->name, f->value);
    }
    bool ok = keep_lines(x, b, &x->forward);
    buf_reset(b);
    x->version = arena_copy(&x->arena, http_field_get(h, HTTP_ANTHROPIC_VERSION));
    return ok;
}

bool request_keep_pass_fields(struct exchange *x, const struct http_head *h)
{
    static const enum http_name names[] = {HTTP_CONTENT_TYPE, HTTP_CONTENT_ENCODING, HTTP_ACCEPT};
    struct buf *b = &x->worker->line;
    buf_reset(b);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice v = http_field_get(h, names[i]);
        if (v.n > 0)
            http_put_field(b, http_name_text(names[i]), v);
    }
    bool ok = keep_lines(x, b, &x->pass_fields);
    buf_reset(b);
    return ok;
}

static bool is_trusted(const struct gw_snapshot *s, const struct net_addr *a)
{
    bool trusted = false;
    for (size_t i = 0; i < s->trusted_n; i++)
        trusted = trusted || net_prefix_has(&s->trusted[i], a);
    return trusted;
}

/* Goes back along `list` from its end, as long as the peer is trusted; false: the way ends in it.
 */
static bool follow_hops(struct exchange *x, struct slice list)
{
    size_t comma;
    do {
        struct net_addr next;
        comma = list.n;
        while (comma > 0 && list.p[comma - 1] != ',')
            comma--;
        if (!is_trusted(x->snapshot, &x->peer) ||
            !net_addr_parse(slice_trim(slice_from(list, comma)), 0, &next))
            return false;
        x->peer = next;
        list.n = comma > 0 ? comma - 1 : 0;
    } while (comma > 0);
    return true;
}

/* The client behind trusted proxies: the last address that none of them has. Several fields are one
 * list (RFC 9110 section 5.3): a proxy may add a line of its own below the client's. */
static void find_client(struct exchange *x, const struct http_head *h)
{
    bool onward = true;
    for (unsigned i = h->fields_n; i > 0 && onward; i--) {
        if (h->fields[i - 1].id == HTTP_X_FORWARDED_FOR)
            onward = follow_hops(x, h->fields[i - 1].value);
    }
}

static struct slice allowed_origin(const struct exchange *x, const struct http_head *h)
{
    struct slice origin = http_field_get(h, HTTP_ORIGIN);
    for (size_t i = 0; i < x->snapshot->cors_n && origin.n > 0; i++) {
        struct slice allowed = x->snapshot->cors_origins[i];
        if (slice_is(allowed, "*") || slice_eq(allowed, origin))
            return origin;
    }
    return SLICE_NONE;
}

enum gw_error request_read_head(struct exchange *x, const struct http_head *h)
{
    struct arena *a = &x->arena;
    x->target = arena_copy(a, h->target);
    char *path = arena_alloc(a, h->path.n);
    if (x->target.p == NULL || path == NULL)
        return GW_NO_MEMORY;
    ptrdiff_t n = http_percent_decode(h->path, path);
    if (n < 0)
        return GW_BAD_REQUEST;
    x->path = slice_of(path, (size_t)n);
    if (!keep_passing_fields(x, h) || !identity_read_head(x, h))
        return GW_NO_MEMORY;
    if (x->snapshot->cors_n > 0)
        x->cors_origin = arena_copy(a, allowed_origin(x, h));
    if (x->snapshot->trusted_n > 0)
        find_client(x, h);
    return GW_OK;
}
