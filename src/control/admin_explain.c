/* The admin API's answer to the question why: of a request that was made, by its id, and of one
 * that was not, as things stand now. */
#include "admin_route.h"
#include "base/clock.h"
#include "gateway/explain.h"

#define REQUEST_BYTES ((size_t)33 << 20) /* what clients may send, and what stands around it */

static void get_explain(const struct admin_request *q, struct admin_reply *r)
{
    if (!q->hooks->explain(q->hooks->ctx, q->param, &r->body))
        admin_fail(r, 404,
                   "no worker remembers a request to a model with the id `%.*s`: each knows its "
                   "latest %d",
                   SLICE_ARG(q->param), EXPLAIN_RECORDS);
}

/* The digest of the key of that name. False: the reply says why not. */
static bool digest_of(const struct admin_request *q, struct admin_reply *r, struct slice name,
                      uint8_t ret[SHA256_BYTES])
{
    const struct config *c = q->hooks->config(q->hooks->ctx);
    struct stored_key stored;
    struct buf error;
    for (size_t i = 0; i < c->keys_n; i++) {
        const struct config_key *k = &c->keys[i];
        if (slice_eq(k->name, name))
            return k->sha256.n > 0 ? hex_decode(k->sha256, ret, SHA256_BYTES)
                                   : hash_sha256(k->secret, ret);
    }
    buf_init(&error, 4096);
    bool found = q->hooks->keys != NULL &&
                 key_store_get(q->hooks->keys, name, q->arena, &stored, &error) == KEY_OK;
    buf_done(&error);
    if (found)
        memcpy(ret, stored.digest, SHA256_BYTES);
    else
        admin_fail(r, 404, "there is no key `%.*s`", SLICE_ARG(name));
    return found;
}

static bool find_key(const struct admin_request *q, struct admin_reply *r, struct slice name,
                     struct explain_ask *ask)
{
    uint8_t digest[SHA256_BYTES];
    if (name.n == 0)
        return true;
    if (!digest_of(q, r, name, digest))
        return false;
    const struct gw_key *k = gw_key_ring_peek(ask->snapshot->keys, digest);
    bool over = k != NULL && k->expires_ns != 0 && k->expires_ns <= clock_wall_ns();
    if (k != NULL && !k->disabled && !over) {
        ask->key = k;
        return true;
    }
    admin_fail(r, 422, "the key `%.*s` is %s: all its requests are refused", SLICE_ARG(name),
               k == NULL     ? "not in force"
               : k->disabled ? "disabled"
                             : "expired");
    return false;
}

/* The members of the question, each of which may be left out but `body`. */
static bool read_ask(const struct admin_request *q, struct admin_reply *r, struct explain_ask *ask,
                     struct slice *ret_key)
{
    struct json_doc d;
    const struct {
        const char *name;
        struct slice *into;
    } texts[] = {{"path", &ask->path},
                 {"key", ret_key},
                 {"use_case", &ask->use_case},
                 {"priority", &ask->priority},
                 {"session", &ask->session}};
    enum json_error e = json_parse(q->parser, q->body, JSON_ALLOW_LONE_SURROGATES, &d);
    if (e != JSON_OK || json_type_at(&d, 0) != JSON_OBJECT) {
        admin_fail(r, 400, "the body has to be a JSON object");
        return false;
    }
    for (uint32_t i = json_first(&d, 0); i < json_end(&d, 0); i = json_after(&d, i + 1)) {
        size_t t = 0;
        if (json_string_is(&d, i, SLICE("body"))) {
            ask->body = json_raw(&d, i + 1);
            continue;
        }
        while (t < ARRAY_LEN(texts) && !json_string_is(&d, i, slice_str(texts[t].name)))
            t++;
        if (t == ARRAY_LEN(texts) || json_type_at(&d, i + 1) != JSON_STRING) {
            admin_fail(r, 400,
                       "the question is {\"path\", \"key\", \"use_case\", \"priority\", "
                       "\"session\": texts, \"body\": the request}, not `%.*s`",
                       SLICE_ARG(json_inner(&d, i)));
            return false;
        }
        *texts[t].into = json_string(&d, i + 1, q->arena);
    }
    if (ask->body.n == 0)
        admin_fail(r, 400, "there is no `body`: the request that is asked about");
    return ask->body.n > 0;
}

static void post_explain(const struct admin_request *q, struct admin_reply *r)
{
    const struct admin_hooks *h = q->hooks;
    struct slice key = SLICE_NONE;
    struct explain_ask ask = {.snapshot = h->snapshot(h->ctx),
                              .path = SLICE("/v1/chat/completions"),
                              .parser = q->parser,
                              .arena = q->arena};
    h->times(h->ctx, &ask.now_ns, &ask.wall_ns);
    if (read_ask(q, r, &ask, &key) && find_key(q, r, key, &ask))
        gateway_explain_ask(&ask, &r->body);
}

static const struct admin_route rows[] = {
    {"/admin/v1/explain/*", HTTP_GET, ROLE_VIEWER, false, 0, get_explain},
    {"/admin/v1/explain", HTTP_POST, ROLE_OPERATOR, false, REQUEST_BYTES, post_explain},
};
const struct admin_table admin_explain_routes = {rows, ARRAY_LEN(rows)};
