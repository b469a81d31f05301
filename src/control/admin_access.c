/* Who may call the admin API: tokens, and what browsers may be made to send. */
#include "admin_access.h"

#include "net/addr.h"

const char *admin_role_name(enum admin_role r)
{
    static const char *const names[ROLES_N] = {"nobody", "viewer", "operator", "admin"};
    return names[r];
}

bool admin_tokens_set(struct admin_tokens *t, const struct config *c)
{
    const struct slice text[ROLES_N] = {[ROLE_VIEWER] = c->viewer_token,
                                        [ROLE_OPERATOR] = c->operator_token,
                                        [ROLE_ADMIN] = c->admin_token};
    struct admin_tokens set = {.any = false};
    for (unsigned r = 0; r < ROLES_N; r++) {
        if (text[r].n == 0)
            continue;
        if (!hash_sha256(text[r], set.digest[r]))
            return false;
        set.set[r] = set.any = true;
    }
    *t = set;
    return true;
}

static struct slice bearer(const struct http_head *h)
{
    struct slice auth = http_field_get(h, HTTP_AUTHORIZATION);
    bool is = auth.n > 7 && slice_eq_nocase(slice_of(auth.p, 7), SLICE("Bearer "));
    return is ? slice_from(auth, 7) : SLICE_NONE;
}

/* Another way to sign in (OIDC) is another way from a head to a role: it joins here, and nothing
 * else has to know of it. */
enum admin_role admin_authenticate(const struct admin_tokens *t, const struct http_head *h)
{
    uint8_t digest[SHA256_BYTES];
    enum admin_role role = ROLE_NOBODY;
    struct slice given = bearer(h);
    if (given.n == 0 || !hash_sha256(given, digest))
        return ROLE_NOBODY;
    for (unsigned r = 0; r < ROLES_N; r++) { /* all of them each time */
        bool same = equal_constant_time(digest, t->digest[r], sizeof digest);
        role = same && t->set[r] ? (enum admin_role)r : role;
    }
    return role;
}

static bool host_is(struct slice authority, struct slice name)
{
    return slice_starts(authority, name) && (authority.n == name.n || authority.p[name.n] == ':');
}

bool admin_browser_safe(const struct http_head *h, bool guarded)
{
    struct slice origin = http_field_get(h, HTTP_ORIGIN);
    struct net_addr literal;
    if (origin.n > 0) {
        ptrdiff_t at = slice_find(origin, '/');
        struct slice host = at >= 0 ? slice_from(origin, (size_t)at + 2) : origin;
        if (!slice_eq_nocase(host, h->authority))
            return false;
    }
    if (guarded)
        return true;
    return host_is(h->authority, SLICE("localhost")) || net_addr_parse(h->authority, 0, &literal) ||
           net_addr_parse_port(h->authority, &literal);
}
