/* Checks of listeners, credentials, limits and time limits against each other. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "config_check.h"
#include "config_syntax.h"
#include "yaml_tree.h"

static int text_order(const void *left, const void *right)
{
    const struct check_text *a = left, *b = right;
    return ynode_text_order(a->text, a->pos, b->text, b->pos);
}

void check_unique(struct config_reader *r, struct check_text *texts, size_t n, const char *key,
                  const char *what)
{
    if (n > 1)
        qsort(texts, n, sizeof *texts, text_order);
    for (size_t i = 1; i < n; i++) {
        if (slice_eq(texts[i].text, texts[i - 1].text))
            diag_error(&r->diag, texts[i].pos, "`%s`: %s in line %u", key, what,
                       texts[i - 1].pos.line);
    }
}

struct check_text *check_texts_new(struct config_reader *r, size_t n)
{
    struct check_text *texts = arena_alloc(&r->scratch, n * sizeof *texts);
    if (texts == NULL)
        diag_no_memory(&r->diag);
    return texts;
}

void check_unique_list(struct config_reader *r, const struct config_list *list, const char *key)
{
    struct check_text *texts = check_texts_new(r, list->n);
    if (texts == NULL)
        return;
    for (size_t i = 0; i < list->n; i++)
        texts[i] = (struct check_text){list->item[i], list->pos[i]};
    check_unique(r, texts, list->n, key, "listed already");
}

void check_client_cert(struct config_reader *r, const struct slice *cert, const struct slice *key)
{
    bool has_cert = reader_is_given(r, cert), has_key = reader_is_given(r, key);
    if (has_cert && !has_key)
        diag_error(&r->diag, reader_where(r, cert), "`client_cert` needs `client_key` beside it");
    if (has_key && !has_cert)
        diag_error(&r->diag, reader_where(r, key), "`client_key` needs `client_cert` beside it");
}

void check_timeouts(struct config_reader *r, const struct config_timeouts *t, int64_t total_ns)
{
    const struct {
        const char *name;
        const int64_t *value;
    } phases[] = {
        {"connect", &t->connect_ns},
        {"tls", &t->tls_ns},
        {"write", &t->write_ns},
        {"head", &t->head_ns},
        {"first_token", &t->first_token_ns},
        {"between_tokens", &t->between_tokens_ns},
    };
    struct buf text;
    if (total_ns <= 0 || reader_is_bad(r, &t->total_ns))
        return;
    buf_init(&text, 64);
    value_print_duration(&text, total_ns);
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        const int64_t *v = phases[i].value;
        if (*v > total_ns && reader_is_given(r, v))
            diag_error(&r->diag, reader_where(r, v),
                       "`%s` can never apply: `total` ends the attempt after " SLICE_FMT,
                       phases[i].name, SLICE_ARG(buf_view(&text)));
    }
    if (text.failed)
        diag_no_memory(&r->diag);
    buf_done(&text);
}

/* Two ports at one address. */
static void check_addresses(struct config_reader *r)
{
    const struct config *c = r->c;
    const struct slice *seen[80];
    size_t n = 0;
    for (size_t i = 0; i < c->listeners_n && n < ARRAY_LEN(seen) - 2; i++)
        seen[n++] = &c->listeners[i].address;
    size_t listeners = n;
    if (n == 0 && !reader_is_bad(r, &c->listeners))
        diag_error(&r->diag, reader_where(r, &c->listeners), "`listen`: no address");
    seen[n++] = &c->admin_listen;
    seen[n++] = &c->metrics_listen;
    for (size_t i = 1; i < n; i++) {
        if (seen[i]->p == NULL || syntax_address_has_port_0(*seen[i]))
            continue;
        for (size_t k = 0; k < i; k++) {
            if (seen[k]->p == NULL || !slice_eq_nocase(*seen[k], *seen[i]))
                continue;
            diag_error(&r->diag, reader_where(r, seen[i]), "%s is also the address of `%s`",
                       reader_quote(r, seen[i]), k < listeners ? "listen" : "admin");
            break;
        }
    }
}

/* The first listener that others than this machine can reach, or NULL. */
static const struct config_listener *public_listener(const struct config *c)
{
    for (size_t i = 0; i < c->listeners_n; i++) {
        const struct config_listener *l = &c->listeners[i];
        if (l->address.p != NULL && !syntax_address_is_local(l->address))
            return l;
    }
    return NULL;
}

static void check_auth(struct config_reader *r)
{
    struct config *c = r->c;
    const struct config_listener *open = public_listener(c);
    bool given = reader_is_given(r, &c->auth), keys = c->keys_n > 0;
    c->auth_pos = reader_where(r, &c->auth);
    if (reader_is_bad(r, &c->auth) || reader_is_bad(r, &c->keys))
        return;
    if (!given)
        c->auth = keys || (open != NULL && !r->o->insecure) ? AUTH_KEYS : AUTH_NONE;
    if (c->auth == AUTH_NONE && keys)
        diag_error(&r->diag, c->auth_pos,
                   "`auth: none`, but there are `keys`: nobody would be "
                   "asked for them");
    if (c->auth == AUTH_NONE && open != NULL && !r->o->insecure)
        diag_error(&r->diag, reader_where(r, &open->address),
                   "`auth: none` off loopback: everybody who reaches %s could use the providers; "
                   "name `keys`, listen on 127.0.0.1, or start with --insecure",
                   reader_quote(r, &open->address));
    /* who asks for it by name has keys that were issued */
    if (c->auth == AUTH_KEYS && !given && !keys && open != NULL)
        diag_error(&r->diag, reader_where(r, &open->address),
                   "no `keys`, but %s is not on loopback; name `keys`, say `auth: keys` to go by "
                   "those that `weir key` issues, listen on 127.0.0.1, or use `auth: none` with "
                   "--insecure",
                   reader_quote(r, &open->address));
}

static void check_admin(struct config_reader *r)
{
    const struct config *c = r->c;
    struct config_pos pos = reader_where(r, &c->admin_listen);
    if (c->admin_listen.p == NULL || syntax_address_is_local(c->admin_listen))
        return;
    if (!reader_is_given(r, &c->admin_token))
        diag_error(&r->diag, pos, "`admin` off loopback needs a `token`");
    if (!reader_is_given(r, &c->admin_tls))
        diag_error(&r->diag, pos, "`admin` off loopback needs `tls`");
}

/* The digest by which a key is known, in hex; false: it has none. */
static bool key_digest(struct config_reader *r, const struct config_key *key, struct slice *ret)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    if (key->sha256.p != NULL) {
        if (!hex_decode(key->sha256, digest, sizeof digest))
            return false;
    } else if (key->secret.p == NULL) {
        return false;
    } else if (!hash_sha256(key->secret, digest)) {
        diag_no_memory(&r->diag);
        return false;
    }
    hex_encode(digest, sizeof digest, hex);
    *ret = arena_copy(&r->scratch, slice_str(hex));
    if (ret->p == NULL)
        diag_no_memory(&r->diag);
    return ret->p != NULL;
}

static void check_keys(struct config_reader *r)
{
    const struct config *c = r->c;
    struct check_text *digests = check_texts_new(r, c->keys_n);
    size_t n = 0;
    for (size_t i = 0; i < c->keys_n && digests != NULL; i++) {
        const struct config_key *k = &c->keys[i];
        bool secret = reader_is_given(r, &k->secret), sha256 = reader_is_given(r, &k->sha256);
        if (secret && sha256)
            diag_error(&r->diag, reader_where(r, &k->sha256),
                       "`sha256` beside `secret`: a key has one of the two");
        else if (!secret && !sha256)
            diag_error(&r->diag, k->pos, "missing key `secret` or `sha256`");
        else if (key_digest(r, k, &digests[n].text))
            digests[n++].pos = k->pos;
    }
    if (digests != NULL)
        check_unique(r, digests, n, "keys",
                     "this key can never apply: its secret is that of the key");
}

/* `small` has to fit into `large`. */
static void check_fits(struct config_reader *r, const int64_t *small, const char *small_name,
                       const int64_t *large, const char *large_name)
{
    bool given = reader_is_given(r, small);
    if (*small <= *large || reader_is_bad(r, small) || reader_is_bad(r, large))
        return;
    diag_error(&r->diag, reader_where(r, given ? small : large),
               "`%s` is larger than `%s` and can never apply", small_name, large_name);
}

void config_check_local(struct config_reader *r)
{
    struct config *c = r->c;
    check_addresses(r);
    check_auth(r);
    check_admin(r);
    check_keys(r);
    check_fits(r, &c->limits.body_bytes, "limits.body", &c->limits.body_memory_bytes,
               "limits.body_memory");
    check_fits(r, &c->limits.connections_per_client, "limits.connections_per_client",
               &c->limits.connections, "limits.connections");
    check_client_cert(r, &c->egress.client_cert, &c->egress.client_key);
    check_timeouts(r, &c->timeouts, c->timeouts.total_ns);
    if (c->cors_origins.n > 0)
        check_unique_list(r, &c->cors_origins, "origins");
    if (c->trusted_proxies.n > 0)
        check_unique_list(r, &c->trusted_proxies, "trusted_proxies");
}
