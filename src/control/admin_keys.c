/* The admin API of keys: those that are issued are made, changed and removed here; those of the
 * configuration file are shown. A secret is told once, in the answer that made it: what is kept is
 * its digest. */
#include <stdio.h>
#include <stdlib.h>

#include "admin_access.h"
#include "admin_key_json.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config_syntax.h"
#include "observe/log.h"

#define SECRET_PREFIX  "wk-"
#define SECRET_LETTERS 43 /* of 62: as many as 256 bits have */
#define SECRET_BYTES   (sizeof SECRET_PREFIX - 1 + SECRET_LETTERS)
#define HINT_MAX       ((size_t)32)
#define NOTE_MAX       ((size_t)1000)
#define ERRORS_BYTES   ((size_t)4096)
#define RIGHTS_BYTES   ((size_t)256 << 10)
#define PAGE_USUAL     100
#define PAGE_MOST      1000
#define OVERLAP_USUAL  (INT64_C(24) * 3600 * NS_PER_S)
#define FAR_NS         (INT64_C(36500) * 24 * 3600 * NS_PER_S) /* later than this is a mistake */

static bool has_store(const struct admin_request *q, struct admin_reply *r)
{
    if (q->hooks->keys == NULL)
        admin_fail(r, 503, "this gateway keeps no store of keys");
    return q->hooks->keys != NULL;
}

static const struct config *config_of(const struct admin_request *q)
{
    return q->hooks->config(q->hooks->ctx);
}

static const struct config_key *file_key(const struct admin_request *q, struct slice name)
{
    const struct config *c = config_of(q);
    for (size_t i = 0; i < c->keys_n; i++) {
        if (slice_eq(c->keys[i].name, name))
            return &c->keys[i];
    }
    return NULL;
}

static bool file_has_digest(const struct admin_request *q, const uint8_t digest[SHA256_BYTES])
{
    const struct config *c = config_of(q);
    for (size_t i = 0; i < c->keys_n; i++) {
        const struct config_key *k = &c->keys[i];
        uint8_t own[SHA256_BYTES];
        bool known =
            k->sha256.n > 0 ? hex_decode(k->sha256, own, sizeof own) : hash_sha256(k->secret, own);
        if (known && memcmp(own, digest, sizeof own) == 0)
            return true;
    }
    return false;
}

static void fail_store(struct admin_reply *r, enum key_result result, struct slice name,
                       const struct buf *error)
{
    switch (result) {
    case KEY_OK: break;
    case KEY_EXISTS:
        admin_fail(r, 409, "another key has this name or this digest: `%.*s`", SLICE_ARG(name));
        break;
    case KEY_NOT_FOUND: admin_fail(r, 404, "there is no key `%.*s`", SLICE_ARG(name)); break;
    case KEY_FAILED: admin_fail(r, 500, "%.*s", SLICE_ARG(buf_view(error))); break;
    }
}

/* The issued key that the path names. False: the reply says what is wrong. */
static bool get_issued(const struct admin_request *q, struct admin_reply *r, struct stored_key *ret)
{
    struct buf error;
    if (!has_store(q, r))
        return false;
    if (file_key(q, q->param) != NULL) {
        admin_fail(r, 409, "`%.*s` belongs to the configuration file: change it there and reload",
                   SLICE_ARG(q->param));
        return false;
    }
    buf_init(&error, ERRORS_BYTES);
    enum key_result result = key_store_get(q->hooks->keys, q->param, q->arena, ret, &error);
    fail_store(r, result, q->param, &error);
    buf_done(&error);
    return result == KEY_OK;
}

static void log_change(const struct admin_request *q, const char *what, const struct stored_key *k)
{
    log_event(LOG_INFO, what, "`%.*s` (%.*s), by a caller with the role %s", SLICE_ARG(k->name),
              SLICE_ARG(k->hint), admin_role_name(q->role));
}

/* Shows the key; `secret`, unless NULL, this once. */
static void put_key(const struct admin_request *q, struct admin_reply *r,
                    const struct stored_key *k, const char *secret)
{
    struct json_writer w = json_writer(&r->body);
    key_json_open_stored(&w, q->parser, k);
    if (secret != NULL)
        jw_field_string(&w, "secret", slice_of(secret, SECRET_BYTES));
    if (secret != NULL && config_of(q)->auth == AUTH_NONE)
        jw_field_string(&w, "warning",
                        SLICE("`auth: none` lets everybody in: nobody needs this key"));
    jw_close(&w, '}');
}

/* Stores what has become of a key and puts it in force. False: the reply says why not. */
static bool commit(const struct admin_request *q, struct admin_reply *r, struct stored_key *k,
                   bool is_new)
{
    const struct admin_hooks *h = q->hooks;
    struct buf errors;
    buf_init(&errors, ERRORS_BYTES);
    k->changed_ns = clock_wall_ns();
    bool ok = h->key_check(h->ctx, k, &errors);
    if (!ok) {
        admin_fail(r, 422, "%.*s", SLICE_ARG(buf_view(&errors)));
    } else {
        buf_reset(&errors); /* warnings */
        enum key_result result =
            is_new ? key_store_add(h->keys, k, &errors) : key_store_put(h->keys, k, &errors);
        fail_store(r, result, k->name, &errors);
        ok = result == KEY_OK;
    }
    if (ok && !h->key_changed(h->ctx, k, &errors)) {
        ok = false;
        admin_fail(r, 500, "the key is stored, but not in force before the next reload: %.*s",
                   SLICE_ARG(buf_view(&errors)));
    }
    buf_done(&errors);
    return ok;
}

/* 256 random bits in letters and digits. */
static void make_secret(char out[SECRET_BYTES])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const unsigned n = sizeof letters - 1, fair = 256 / n * n;
    memcpy(out, SECRET_PREFIX, sizeof SECRET_PREFIX - 1);
    for (size_t i = sizeof SECRET_PREFIX - 1; i < SECRET_BYTES;) {
        uint8_t byte;
        random_bytes(&byte, 1);
        if (byte < fair) /* else the first letters would come more often */
            out[i++] = letters[byte % n];
    }
}

/* The digest and hint of a new secret, which is written to `secret`. */
static bool new_secret(struct arena *a, struct stored_key *k, char secret[SECRET_BYTES])
{
    make_secret(secret);
    k->hint = arena_printf(a, "%.5s...%.2s", secret, secret + SECRET_BYTES - 2);
    return k->hint.p != NULL && hash_sha256(slice_of(secret, SECRET_BYTES), k->digest);
}

/* The text of member `key` of the body. False: the reply says that it is none; `*ret` is untouched
 * where there is no such member or it is null. */
static bool body_text(const struct admin_request *q, struct admin_reply *r,
                      const struct json_doc *d, const char *key, size_t most, struct slice *ret)
{
    uint32_t v = json_get(d, 0, slice_str(key));
    if (v == 0 || json_type_at(d, v) == JSON_NULL)
        return true;
    struct slice text =
        json_type_at(d, v) == JSON_STRING ? json_string(d, v, q->arena) : SLICE_NONE;
    if (text.p == NULL || text.n > most || memchr(text.p, '\0', text.n) != NULL) {
        admin_fail(r, 400, "`%s` has to be a text of at most %zu bytes", key, most);
        return false;
    }
    *ret = text;
    return true;
}

/* "90d" from now on, or a date as the file has it. */
static bool read_expiry(const struct admin_request *q, struct admin_reply *r, struct slice text,
                        int64_t *ret)
{
    int64_t ns, now = clock_wall_ns();
    struct config_key parsed;
    struct buf yaml, errors;
    if (clock_parse_duration(text.p, text.n, &ns)) {
        if (ns <= 0 || ns > FAR_NS)
            admin_fail(r, 400, "`expires`: %.*s is no time that a key can last", SLICE_ARG(text));
        else
            *ret = now + ns;
        return ns > 0 && ns <= FAR_NS;
    }
    buf_init(&yaml, ERRORS_BYTES);
    buf_init(&errors, ERRORS_BYTES);
    buf_lit(&yaml, "{\"expires\": ");
    json_put_string(&yaml, text);
    buf_char(&yaml, '}');
    bool ok = config_parse_key(buf_view(&yaml), "key", config_of(q), &parsed, q->arena, &errors);
    if (ok)
        *ret = parsed.expires_ns;
    else
        admin_fail(r, 400, "`expires` has to be a time from now on such as 90d, or a date: %.*s",
                   SLICE_ARG(buf_view(&errors)));
    buf_done(&yaml);
    buf_done(&errors);
    return ok;
}

/* The members of the body that are columns of their own. */
static bool read_columns(const struct admin_request *q, struct admin_reply *r,
                         const struct json_doc *d, struct stored_key *k)
{
    struct slice expires = SLICE_NONE;
    uint32_t v = json_get(d, 0, SLICE("expires"));
    if (!body_text(q, r, d, "note", NOTE_MAX, &k->note) ||
        !body_text(q, r, d, "expires", 64, &expires))
        return false;
    if (v != 0 && expires.n == 0)
        k->expires_ns = 0;
    if (expires.n > 0 && !read_expiry(q, r, expires, &k->expires_ns))
        return false;
    v = json_get(d, 0, SLICE("disabled"));
    if (v != 0 && json_type_at(d, v) != JSON_TRUE && json_type_at(d, v) != JSON_FALSE) {
        admin_fail(r, 400, "`disabled` has to be true or false");
        return false;
    }
    if (v != 0)
        k->disabled = json_type_at(d, v) == JSON_TRUE;
    return true;
}

/* What the body says of the key's rights, merged into what it has. */
static bool read_rights(const struct admin_request *q, struct admin_reply *r, struct json_doc *d,
                        struct stored_key *k)
{
    struct buf text;
    buf_init(&text, RIGHTS_BYTES);
    bool ok = key_json_keep(d, q->arena);
    if (ok && !key_json_merge(q->parser, k->rights, d, &text)) {
        admin_fail(r, 500, "what is stored of this key cannot be read: remove it and make it anew");
        buf_done(&text);
        return false;
    }
    k->rights = ok && !text.failed ? arena_copy(q->arena, buf_view(&text)) : SLICE_NONE;
    buf_done(&text);
    if (k->rights.p == NULL)
        admin_fail(r, 413, "the key's rights are too long a text");
    return k->rights.p != NULL;
}

/* A digest that the caller brings; `*ret_given` says whether there is one. */
static bool read_digest(const struct admin_request *q, struct admin_reply *r,
                        const struct json_doc *d, struct stored_key *k, bool *ret_given)
{
    struct slice hex = SLICE_NONE, hint = SLICE_NONE;
    if (json_get(d, 0, SLICE("secret")) != 0) {
        admin_fail(r, 400,
                   "secrets are made here: leave `secret` out, or send the `sha256` of one that "
                   "clients have already");
        return false;
    }
    if (!body_text(q, r, d, "sha256", 64, &hex) || !body_text(q, r, d, "hint", HINT_MAX, &hint))
        return false;
    *ret_given = hex.n > 0;
    if (hex.n == 0)
        return true;
    if (!hex_decode(hex, k->digest, SHA256_BYTES)) {
        admin_fail(r, 400, "`sha256` has to be 64 hex digits");
        return false;
    }
    k->hint = hint;
    return true;
}

static void post_key(const struct admin_request *q, struct admin_reply *r)
{
    struct stored_key k = {.created_ns = clock_wall_ns()};
    struct json_doc d;
    char secret[SECRET_BYTES];
    bool foreign = false;
    if (!has_store(q, r) || !admin_body(q, r, &d) || !body_text(q, r, &d, "name", 256, &k.name) ||
        !read_digest(q, r, &d, &k, &foreign) || !read_columns(q, r, &d, &k) ||
        !read_rights(q, r, &d, &k))
        return;
    const char *wrong = syntax_name(k.name);
    if (wrong != NULL)
        admin_fail(r, 400, "`name`: `%.*s` %s", SLICE_ARG(k.name), wrong);
    else if (file_key(q, k.name) != NULL)
        admin_fail(r, 409, "the configuration file has a key `%.*s` already", SLICE_ARG(k.name));
    else if (!foreign && !new_secret(q->arena, &k, secret))
        admin_fail(r, 500, "no secret could be made");
    else if (foreign && file_has_digest(q, k.digest))
        admin_fail(r, 409, "the configuration file has a key with this digest already");
    else if (commit(q, r, &k, true)) {
        r->status = 201;
        log_change(q, "key.created", &k);
        put_key(q, r, &k, foreign ? NULL : secret);
    }
    mem_wipe(secret, sizeof secret);
}

static void get_key(const struct admin_request *q, struct admin_reply *r)
{
    const struct config_key *f = file_key(q, q->param);
    struct stored_key k;
    if (f != NULL) {
        struct json_writer w = json_writer(&r->body);
        key_json_put_file(&w, f);
    } else if (get_issued(q, r, &k)) {
        put_key(q, r, &k, NULL);
    }
}

static void patch_key(const struct admin_request *q, struct admin_reply *r)
{
    static const char *const fixed[] = {"name", "sha256", "secret", "hint"};
    struct stored_key k;
    struct json_doc d;
    if (!get_issued(q, r, &k) || !admin_body(q, r, &d))
        return;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (json_get(&d, 0, slice_str(fixed[i])) != 0) {
            admin_fail(r, 400, "`%s` cannot be changed%s", fixed[i],
                       i == 0 ? "" : ": rotate the key instead");
            return;
        }
    }
    if (!read_columns(q, r, &d, &k) || !read_rights(q, r, &d, &k) || !commit(q, r, &k, false))
        return;
    log_change(q, "key.changed", &k);
    put_key(q, r, &k, NULL);
}

static void delete_key(const struct admin_request *q, struct admin_reply *r)
{
    struct stored_key k;
    struct buf error;
    if (!get_issued(q, r, &k))
        return;
    buf_init(&error, ERRORS_BYTES);
    enum key_result result = key_store_delete(q->hooks->keys, k.name, &error);
    fail_store(r, result, k.name, &error);
    buf_done(&error);
    if (result != KEY_OK)
        return;
    q->hooks->key_removed(q->hooks->ctx, k.name);
    log_change(q, "key.deleted", &k);
    struct json_writer w = json_writer(&r->body);
    jw_open(&w, '{');
    jw_field_string(&w, "name", k.name);
    jw_field_bool(&w, "deleted", true);
    jw_close(&w, '}');
}

/* How long the old secret goes on counting. */
static bool read_overlap(const struct admin_request *q, struct admin_reply *r,
                         const struct json_doc *d, int64_t *ret)
{
    struct slice text = SLICE_NONE;
    if (!body_text(q, r, d, "overlap", 32, &text))
        return false;
    if (text.n == 0)
        return true;
    if (clock_parse_duration(text.p, text.n, ret) && *ret >= 0 && *ret <= FAR_NS)
        return true;
    admin_fail(r, 400, "`overlap`: `%.*s` is no time such as 24h or 0", SLICE_ARG(text));
    return false;
}

/* Of two rotations within the overlap, the secret before the first one ceases to count at the
 * second: there are never more than two. */
static void post_rotate(const struct admin_request *given, struct admin_reply *r)
{
    struct admin_request with_body = *given;
    const struct admin_request *q = &with_body;
    struct stored_key k;
    struct json_doc d;
    char secret[SECRET_BYTES];
    int64_t overlap = OVERLAP_USUAL;
    bool foreign = false;
    if (with_body.body.n == 0)
        with_body.body = SLICE("{}");
    if (!get_issued(q, r, &k) || !admin_body(q, r, &d) || !read_overlap(q, r, &d, &overlap))
        return;
    memcpy(k.old_digest, k.digest, sizeof k.digest);
    k.old_until_ns = overlap > 0 ? clock_wall_ns() + overlap : 0;
    if (!read_digest(q, r, &d, &k, &foreign))
        return;
    if (!foreign && !new_secret(q->arena, &k, secret))
        admin_fail(r, 500, "no secret could be made");
    else if (foreign &&
             (file_has_digest(q, k.digest) || memcmp(k.digest, k.old_digest, sizeof k.digest) == 0))
        admin_fail(r, 409, "a key with this digest is there already");
    else if (commit(q, r, &k, false)) {
        log_change(q, "key.rotated", &k);
        put_key(q, r, &k, foreign ? NULL : secret);
    }
    mem_wipe(secret, sizeof secret);
}

static void set_disabled(const struct admin_request *q, struct admin_reply *r, bool disabled)
{
    struct stored_key k;
    if (!get_issued(q, r, &k))
        return;
    k.disabled = disabled;
    if (!commit(q, r, &k, false))
        return;
    log_change(q, disabled ? "key.disabled" : "key.enabled", &k);
    put_key(q, r, &k, NULL);
}

static void post_disable(const struct admin_request *q, struct admin_reply *r)
{
    set_disabled(q, r, true);
}

static void post_enable(const struct admin_request *q, struct admin_reply *r)
{
    set_disabled(q, r, false);
}

static int slice_order(struct slice a, struct slice b)
{
    int order = memcmp(a.p, b.p, MIN_OF(a.n, b.n));
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
    const struct config_key *const *x = a, *const *y = b;
    return slice_order((*x)->name, (*y)->name);
}

/* The keys of the file behind `after`, in order of names. False: no memory. */
static bool file_keys(const struct admin_request *q, struct slice after,
                      const struct config_key ***ret, size_t *ret_n)
{
    const struct config *c = config_of(q);
    const struct config_key **list = arena_alloc(q->arena, (c->keys_n + 1) * sizeof(void *));
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < c->keys_n; i++) {
        if (after.n == 0 || slice_order(c->keys[i].name, after) > 0)
            list[n++] = &c->keys[i];
    }
    if (n > 0)
        qsort(list, n, sizeof *list, by_name);
    *ret = list;
    *ret_n = n;
    return list != NULL;
}

/* Both lists as one page in order of names. */
static void put_page(const struct admin_request *q, struct admin_reply *r,
                     const struct config_key **file, size_t file_n, const struct stored_key *issued,
                     size_t issued_n, size_t limit)
{
    struct json_writer w = json_writer(&r->body);
    struct slice last = SLICE_NONE;
    size_t f = 0, i = 0;
    jw_open(&w, '{');
    jw_key(&w, "keys");
    jw_open(&w, '[');
    while (f + i < limit && (f < file_n || i < issued_n)) {
        bool from_file =
            i == issued_n || (f < file_n && slice_order(file[f]->name, issued[i].name) < 0);
        last = from_file ? file[f]->name : issued[i].name;
        if (from_file) {
            key_json_put_file(&w, file[f++]);
        } else {
            key_json_open_stored(&w, q->parser, &issued[i++]);
            jw_close(&w, '}');
        }
    }
    jw_close(&w, ']');
    jw_key(&w, "next");
    if (f < file_n || i < issued_n)
        jw_string(&w, last);
    else
        jw_null(&w);
    jw_close(&w, '}');
}

static void get_keys(const struct admin_request *q, struct admin_reply *r)
{
    const struct config_key **file;
    struct stored_key *issued = NULL;
    struct slice after = SLICE_NONE, text;
    size_t file_n, issued_n = 0;
    uint64_t limit = PAGE_USUAL;
    struct buf error;
    if (admin_query(q, "limit", &text) &&
        (!slice_to_u64(text, &limit) || limit == 0 || limit > PAGE_MOST)) {
        admin_fail(r, 400, "`limit` has to be a number from 1 to %d", PAGE_MOST);
        return;
    }
    if (admin_query(q, "after", &text))
        after = text;
    buf_init(&error, ERRORS_BYTES);
    enum key_result result = KEY_OK;
    if (q->hooks->keys != NULL)
        result = key_store_list(q->hooks->keys, after, (unsigned)limit + 1, q->arena, &issued,
                                &issued_n, &error);
    if (result != KEY_OK)
        fail_store(r, result, SLICE_NONE, &error);
    else if (!file_keys(q, after, &file, &file_n))
        admin_fail(r, 503, "out of memory");
    else
        put_page(q, r, file, file_n, issued, issued_n, limit);
    buf_done(&error);
}

static const struct admin_route rows[] = {
    {"/admin/v1/keys", HTTP_GET, ROLE_VIEWER, false, 0, get_keys},
    {"/admin/v1/keys", HTTP_POST, ROLE_ADMIN, false, ADMIN_BODY_BYTES, post_key},
    {"/admin/v1/keys/*", HTTP_GET, ROLE_VIEWER, false, 0, get_key},
    {"/admin/v1/keys/*", HTTP_PATCH, ROLE_ADMIN, false, ADMIN_BODY_BYTES, patch_key},
    {"/admin/v1/keys/*", HTTP_DELETE, ROLE_ADMIN, false, 0, delete_key},
    {"/admin/v1/keys/*/rotate", HTTP_POST, ROLE_ADMIN, false, ADMIN_BODY_BYTES, post_rotate},
    {"/admin/v1/keys/*/disable", HTTP_POST, ROLE_OPERATOR, false, 0, post_disable},
    {"/admin/v1/keys/*/enable", HTTP_POST, ROLE_OPERATOR, false, 0, post_enable},
};
const struct admin_table admin_key_routes = {rows, ARRAY_LEN(rows)};
