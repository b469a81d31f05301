/* Tokens and signatures on requests to providers. */
#include "sign.h"

#include "base/clock.h"
#include "exchange.h"
#include "llm/aws_sigv4.h"
#include "worker.h"

static enum gw_error no_credential(struct exchange *x, struct gw_credential *c)
{
    char text[CREDENTIAL_TEXT_MAX];
    gw_credential_explain(c, net_now(&x->worker->loop), text);
    log_event(LOG_WARN, "credential.missing", SLICE_FMT ": %s",
              SLICE_ARG(gw_credential_identity(c)), text);
    return GW_UPSTREAM_AUTH;
}

static bool hash_body(const struct llm_body *body, uint8_t ret[SHA256_BYTES])
{
    struct hash_sha256_state *st = hash_sha256_begin();
    bool ok = st != NULL;
    for (unsigned i = 0; i < body->parts && ok; i++)
        ok = hash_sha256_add(st, body->part[i]);
    return st != NULL && hash_sha256_end(st, ret) && ok;
}

static enum gw_error sign_aws(struct attempt *a, struct buf *out)
{
    struct exchange *x = a->exchange;
    const struct gw_provider *p = a->target.provider;
    struct gw_aws_keys keys;
    uint8_t digest[SHA256_BYTES];
    int64_t now = net_now(&x->worker->loop);
    if (gw_credential_aws(p->credential, now, &x->arena, &keys) != CREDENTIAL_FRESH)
        return no_credential(x, p->credential);
    struct slice path = a->request.target;
    struct slice before = slice_cut(&path, '?'); /* `path` is now the query */
    struct aws_request r = {.method = slice_str(http_method_text(a->request.method)),
                            .host = upstream_authority(p->upstream),
                            .path = before,
                            .query = path,
                            .content_type = SLICE("application/json"),
                            .body_sha256 = digest,
                            .region = p->region,
                            .service = slice_str(p->row->aws_service)};
    struct aws_credentials c = {
        .access_key = keys.access, .secret = keys.secret, .session_token = keys.session};
    bool ok = keys.access.p != NULL && hash_body(&a->body, digest) &&
              aws_sign(&r, &c, clock_wall_ns() / NS_PER_S, &x->worker->signing_key, out);
    return ok ? GW_OK : GW_NO_MEMORY;
}

enum gw_error sign_request(struct attempt *a, struct buf *out)
{
    struct exchange *x = a->exchange;
    struct gw_credential *c = a->target.provider->credential;
    struct slice line = SLICE_NONE;
    if (c == NULL)
        return GW_OK;
    if (gw_credential_kind(c) == CREDENTIAL_AWS)
        return sign_aws(a, out);
    if (gw_credential_token(c, net_now(&x->worker->loop), &x->arena, &line) != CREDENTIAL_FRESH)
        return no_credential(x, c);
    buf_slice(out, line);
    return line.p != NULL ? GW_OK : GW_NO_MEMORY;
}
