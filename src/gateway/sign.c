/* Tokens and signatures on requests to providers. */
#include "sign.h"

#include "base/clock.h"
#include "exchange.h"
#include "worker.h"

static bool hash_body(const struct net_request *r, uint8_t ret[SHA256_BYTES])
{
    struct hash_sha256_state *st = hash_sha256_begin();
    bool ok = st != NULL;
    for (unsigned i = 0; i < r->body_parts && ok; i++)
        ok = hash_sha256_add(st, r->body[i]);
    return st != NULL && hash_sha256_end(st, ret) && ok;
}

static bool sign_aws(const struct sign_ask *q, struct buf *out, enum gw_credential_state *ret_state)
{
    const struct gw_provider *p = q->provider;
    struct gw_aws_keys keys;
    uint8_t digest[SHA256_BYTES];
    *ret_state = gw_credential_aws(p->credential, q->now_ns, q->arena, &keys);
    if (*ret_state != CREDENTIAL_FRESH)
        return true;
    struct slice path = q->request->target;
    struct slice before = slice_cut(&path, '?'); /* `path` is now the query */
    struct aws_request r = {.method = slice_str(http_method_text(q->request->method)),
                            .host = upstream_authority(p->upstream),
                            .path = before,
                            .query = path,
                            .content_type = SLICE("application/json"),
                            .body_sha256 = digest,
                            .region = p->region,
                            .service = slice_str(p->row->aws_service)};
    struct aws_credentials c = {
        .access_key = keys.access, .secret = keys.secret, .session_token = keys.session};
    return keys.access.p != NULL && hash_body(q->request, digest) &&
           aws_sign(&r, &c, clock_wall_ns() / NS_PER_S, q->key, out);
}

bool sign_lines(const struct sign_ask *q, struct buf *out, enum gw_credential_state *ret_state)
{
    struct gw_credential *c = q->provider->credential;
    struct slice line = SLICE_NONE;
    *ret_state = CREDENTIAL_FRESH;
    if (c == NULL)
        return true;
    if (gw_credential_kind(c) == CREDENTIAL_AWS)
        return sign_aws(q, out, ret_state);
    *ret_state = gw_credential_token(c, q->now_ns, q->arena, &line);
    buf_slice(out, line);
    return *ret_state != CREDENTIAL_FRESH || line.p != NULL;
}

enum gw_error sign_request(struct attempt *a, struct buf *out)
{
    struct exchange *x = a->exchange;
    struct gw_credential *c = a->target.provider->credential;
    const struct sign_ask q = {.provider = a->target.provider,
                               .request = &a->request,
                               .now_ns = net_now(&x->worker->loop),
                               .arena = &x->arena,
                               .key = &x->worker->signing_key};
    char text[CREDENTIAL_TEXT_MAX];
    enum gw_credential_state state;
    if (!sign_lines(&q, out, &state))
        return GW_NO_MEMORY;
    if (state == CREDENTIAL_FRESH)
        return GW_OK;
    gw_credential_explain(c, q.now_ns, text);
    log_event(LOG_WARN, "credential.missing", SLICE_FMT ": %s",
              SLICE_ARG(gw_credential_identity(c)), text);
    return GW_UPSTREAM_AUTH;
}
