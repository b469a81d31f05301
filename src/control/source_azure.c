/* Tokens of Microsoft Entra: for an application by its client credentials (OAuth 2.0, RFC 6749
 * section 4.4), or for the machine's managed identity, from App Service's endpoint or from the
 * instance metadata service. */
#include <stdio.h>

#include "base/mem.h"
#include "credential_source.h"

#define AUTHORITY     "https://login.microsoftonline.com"
#define METADATA      "http://169.254.169.254"
#define METADATA_PATH "/metadata/identity/oauth2/token"

/* Places in source.text. */
enum { CLIENT_ID, SCOPE, TENANT };

static enum source_result ask_entra(const struct source *s, struct source_round *r)
{
    struct buf form;
    buf_init(&form, SOURCE_ANSWER_MAX);
    source_put_pair(&form, "grant_type", SLICE("client_credentials"));
    source_put_pair(&form, "client_id", s->text[CLIENT_ID]);
    source_put_pair(&form, "client_secret", s->secret);
    source_put_pair(&form, "scope", s->text[SCOPE]);
    r->method = HTTP_POST;
    r->target = arena_printf(&r->arena, SLICE_FMT "/" SLICE_FMT "/oauth2/v2.0/token",
                             SLICE_ARG(s->path), SLICE_ARG(s->text[TENANT]));
    r->fields = SLICE("Content-Type: application/x-www-form-urlencoded\r\n");
    r->body = form.failed ? SLICE_NONE : arena_copy(&r->arena, buf_view(&form));
    r->has_body = true;
    if (form.p != NULL)
        mem_wipe(form.p, form.n);
    buf_done(&form);
    return r->body.p != NULL && r->target.p != NULL ? SOURCE_CALL : source_fail(r, "out of memory");
}

static enum source_result next_entra(const struct source *s, struct source_round *r)
{
    return r->step == 0 ? ask_entra(s, r) : source_read_token(r);
}

/* Identities are asked for a resource: the scope without its last part. */
static struct slice resource_of(struct slice scope)
{
    static const char part[] = "/.default";
    size_t n = sizeof part - 1;
    bool has = scope.n > n && memcmp(scope.p + scope.n - n, part, n) == 0;
    return has ? slice_of(scope.p, scope.n - n) : scope;
}

static enum source_result next_identity(const struct source *s, struct source_round *r)
{
    bool app_service = s->secret.n > 0;
    struct buf query;
    if (r->step > 0)
        return source_read_token(r);
    buf_init(&query, 8192);
    source_put_pair(&query, "api-version", app_service ? SLICE("2019-08-01") : SLICE("2018-02-01"));
    source_put_pair(&query, "resource", resource_of(s->text[SCOPE]));
    if (s->text[CLIENT_ID].n > 0)
        source_put_pair(&query, "client_id", s->text[CLIENT_ID]);
    r->method = HTTP_GET;
    r->target = arena_printf(&r->arena, SLICE_FMT "?" SLICE_FMT,
                             SLICE_ARG(app_service ? s->path : SLICE(METADATA_PATH)),
                             SLICE_ARG(buf_view(&query)));
    r->fields = app_service ? arena_printf(&r->arena, "X-IDENTITY-HEADER: " SLICE_FMT "\r\n",
                                           SLICE_ARG(s->secret))
                            : SLICE("Metadata: true\r\n");
    bool ok = !query.failed && r->target.p != NULL && r->fields.p != NULL;
    buf_done(&query);
    return ok ? SOURCE_CALL : source_fail(r, "out of memory");
}

static const struct source_ops entra_ops = {CREDENTIAL_TOKEN, next_entra};
static const struct source_ops identity_ops = {CREDENTIAL_TOKEN, next_identity};

static void make_entra(struct source_build *b, struct source *ret)
{
    const struct config_cloud *c = &b->provider->cloud;
    const struct config_entra *e = &c->entra;
    const char *host = source_env(b, "AZURE_AUTHORITY_HOST");
    struct slice authority = e->authority.n > 0 ? e->authority
                             : host != NULL     ? slice_str(host)
                                                : SLICE(AUTHORITY);
    struct slice digest = source_digest(e->client_secret, b->scratch);
    *ret = (struct source){
        .ops = &entra_ops,
        .secret = e->client_secret,
        .url = arena_copy(b->keep, authority),
        .identity = arena_printf(
            b->keep, "entra/" SLICE_FMT "/" SLICE_FMT "/" SLICE_FMT "/" SLICE_FMT "/" SLICE_FMT,
            SLICE_ARG(authority), SLICE_ARG(e->tenant), SLICE_ARG(e->client_id),
            SLICE_ARG(c->token_scope), SLICE_ARG(digest)),
        .label = arena_printf(b->keep, "Entra application " SLICE_FMT, SLICE_ARG(e->client_id)),
        .text[CLIENT_ID] = arena_copy(b->keep, e->client_id),
        .text[TENANT] = arena_copy(b->keep, e->tenant)};
}

static void make_identity(struct source_build *b, struct source *ret)
{
    const struct config_cloud *c = &b->provider->cloud;
    const char *endpoint = source_env(b, "IDENTITY_ENDPOINT");
    const char *header = source_env(b, "IDENTITY_HEADER");
    const char *host = source_env(b, "AZURE_POD_IDENTITY_AUTHORITY_HOST");
    bool app_service = endpoint != NULL && header != NULL;
    bool own = slice_is(c->managed_identity, "system");
    const char *url = app_service ? endpoint : host != NULL ? host : METADATA;
    *ret = (struct source){
        .ops = &identity_ops,
        .direct = true,
        .secret = app_service ? slice_str(header) : SLICE_NONE,
        .url = arena_copy(b->keep, slice_str(url)),
        .identity = arena_printf(b->keep, "azure/identity/%s/" SLICE_FMT "/" SLICE_FMT, url,
                                 SLICE_ARG(c->managed_identity), SLICE_ARG(c->token_scope)),
        .label = arena_printf(b->keep, "Azure managed identity " SLICE_FMT,
                              SLICE_ARG(c->managed_identity)),
        .text[CLIENT_ID] = own ? SLICE("") : arena_copy(b->keep, c->managed_identity),
        .text[TENANT] = SLICE("")};
}

bool source_make_azure(struct source_build *b, struct source *ret)
{
    const struct config_cloud *c = &b->provider->cloud;
    if (c->entra.tenant.n > 0)
        make_entra(b, ret);
    else
        make_identity(b, ret);
    ret->text[SCOPE] = arena_copy(b->keep, c->token_scope);
    bool ok = ret->url.p != NULL && ret->identity.p != NULL && ret->label.p != NULL;
    for (size_t i = 0; i < ARRAY_LEN(ret->text); i++)
        ok = ok && ret->text[i].p != NULL;
    return ok || source_error(b, "out of memory");
}
