/* Cloud providers: see config_cloud.h. */
#include "config_cloud.h"

#include "config_syntax.h"
#include "net/upstream.h"
#include "token_google.h"

/* Types, one bit each. */
enum {
    OTHER = 0x10,
    AZURE = 1,
    VERTEX = 2,
    BEDROCK = 4,
    SAGEMAKER = 8,
    AWS = BEDROCK | SAGEMAKER,
};

/* Variables that stand in for keys, the first of a row first. */
static const char *const azure_endpoints[] = {"AZURE_OPENAI_ENDPOINT", NULL};
static const char *const projects[] = {"GOOGLE_CLOUD_PROJECT", NULL};
static const char *const locations[] = {"GOOGLE_CLOUD_LOCATION", NULL};
static const char *const regions[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};

static unsigned type_of(struct slice type)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {
        {"azure", AZURE}, {"vertex", VERTEX}, {"bedrock", BEDROCK}, {"sagemaker", SAGEMAKER}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_is(type, types[i].name))
            return types[i].bit;
    }
    return OTHER;
}

/* Reports keys that the type does not have. */
static void check_foreign(struct config_reader *r, const struct config_provider *p, unsigned type)
{
    const struct config_cloud *c = &p->cloud;
    const struct {
        const char *key;
        const void *field;
        unsigned types;
    } keys[] = {
        {"resource", &c->resource, AZURE},
        {"surface", &c->surface, AZURE},
        {"api_version", &c->api_version, AZURE},
        {"entra", &c->entra, AZURE},
        {"managed_identity", &c->managed_identity, AZURE},
        {"token_scope", &c->token_scope, AZURE},
        {"project", &c->project, VERTEX},
        {"location", &c->location, VERTEX},
        {"publisher", &c->publisher, VERTEX},
        {"credentials", &c->credentials, VERTEX},
        {"region", &c->region, AWS},
        {"profile", &c->profile, AWS},
        {"access_key", &c->access_key, AWS},
        {"secret_key", &c->secret_key, AWS},
        {"session_token", &c->session_token, AWS},
        {"body", &c->body, SAGEMAKER},
        {"api_key", &p->api_key, OTHER | AZURE | VERTEX | BEDROCK},
        {"api_keys", &p->api_keys, OTHER | AZURE | BEDROCK},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!(keys[i].types & type) && reader_is_given(r, keys[i].field))
            diag_error(&r->diag, reader_where(r, keys[i].field),
                       "`%s` can never apply: the type %s has no such setting", keys[i].key,
                       reader_quote(r, &p->type));
    }
}

static bool given(const struct config_reader *r, const struct slice *field)
{
    return field->p != NULL || reader_is_given(r, field);
}

/* Fills a field in where nothing was given for it; NULL stays nothing. */
static void fill(struct config_reader *r, struct slice *field, const char *text)
{
    if (given(r, field) || text == NULL || text[0] == '\0')
        return;
    *field = arena_copy(&r->c->arena, slice_str(text));
    if (field->p == NULL)
        diag_no_memory(&r->diag);
}

/* The same from the first variable that is set; what comes out of it is checked like a value of the
 * file. With nothing found that is needed, `missing` is reported (NULL: it is not needed). */
static void fill_from_env(struct config_reader *r, const struct config_provider *p,
                          struct slice *field, const char *key, const char *const *names,
                          const char *(*check)(struct slice), const char *missing)
{
    const char *value = NULL, *name = NULL;
    for (size_t i = 0; names[i] != NULL && (value == NULL || value[0] == '\0'); i++)
        value = reader_getenv(r, name = names[i]);
    if (given(r, field))
        return;
    if (value == NULL || value[0] == '\0') {
        if (missing != NULL)
            diag_error(&r->diag, p->pos, "missing key %s", missing);
        return;
    }
    const char *wrong = check(slice_str(value));
    if (wrong != NULL)
        diag_error(&r->diag, diag_variable(&r->diag, name), "`%s`: the value %s", key, wrong);
    else
        fill(r, field, value);
}

/* Makes `url` complete: `host` where none was given, and `path` behind one that has none. */
static void complete_url(struct config_reader *r, struct config_provider *p, struct slice host,
                         struct slice path)
{
    struct net_url url;
    const char *why;
    if (p->url.p == NULL && reader_is_given(r, &p->url))
        return; /* reported */
    struct slice base = p->url.p != NULL ? p->url : host;
    if (base.p == NULL || path.p == NULL || !net_url_parse(base, &url, &why))
        return;
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    p->url = arena_printf(&r->c->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(base),
                          SLICE_ARG(url.path.n > 0 ? SLICE("") : path));
    if (p->url.p == NULL)
        diag_no_memory(&r->diag);
}

/* ---- Azure */

static void check_azure_url(struct config_reader *r, struct config_provider *p)
{
    struct config_cloud *c = &p->cloud;
    struct slice host = SLICE_NONE, named = p->url;
    bool both = p->url.p != NULL && reader_is_given(r, &c->resource);
    if (given(r, &c->resource))
        host = arena_printf(&r->scratch, "https://" SLICE_FMT ".openai.azure.com",
                            SLICE_ARG(c->resource));
    else
        fill_from_env(r, p, &p->url, "url", azure_endpoints, syntax_url, "`resource` (or `url`)");
    struct slice path =
        slice_is(c->surface, "classic") ? SLICE("/openai/deployments") : SLICE("/openai/v1");
    if (both)
        p->url = arena_printf(&r->c->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(host), SLICE_ARG(path));
    if (both && !slice_eq(p->url, named)) { /* but a dump, which has both, can be read again */
        diag_error(&r->diag, reader_where(r, &c->resource),
                   "`resource` can never apply: there is a `url`");
        p->url = named;
    }
    complete_url(r, p, host, path);
}

static void check_azure(struct config_reader *r, struct config_provider *p)
{
    struct config_cloud *c = &p->cloud;
    bool entra = reader_is_given(r, &c->entra), identity = given(r, &c->managed_identity);
    bool key = given(r, &p->api_key) || p->api_keys.n > 0,
         classic = slice_is(c->surface, "classic");
    fill(r, &c->surface, "v1");
    fill(r, &c->api_version, classic ? "2024-10-21" : NULL);
    check_azure_url(r, p);
    if (key && entra)
        diag_error(&r->diag, c->entra.pos, "`entra` can never apply: there is an `api_key`");
    if ((key || entra) && identity)
        diag_error(&r->diag, reader_where(r, &c->managed_identity),
                   "`managed_identity` can never apply: there is %s",
                   key ? "an `api_key`" : "`entra`");
    if (!key && !entra && !identity && p->headers.n == 0 && !reader_is_bad(r, &p->headers))
        diag_error(&r->diag, p->pos, "missing key `api_key`, `entra` or `managed_identity`");
    if (!entra && !identity && reader_is_given(r, &c->token_scope))
        diag_error(&r->diag, reader_where(r, &c->token_scope),
                   "`token_scope` can never apply without `entra` or `managed_identity`");
    if (entra || identity)
        fill(r, &c->token_scope,
             classic ? "https://cognitiveservices.azure.com/.default"
                     : "https://ai.azure.com/.default");
}

/* ---- Vertex AI */

/* Returns the project that the credentials belong to; .p NULL: they do not say. */
static struct slice check_credentials(struct config_reader *r, const struct config_provider *p)
{
    const struct config_cloud *c = &p->cloud;
    struct google_key key;
    const char *why;
    if (c->credentials.p == NULL || slice_is(c->credentials, "metadata"))
        return SLICE_NONE;
    if (!google_key_read(c->credentials, &r->scratch, &key, &why)) {
        diag_error(&r->diag, reader_where(r, &c->credentials), "`credentials`: the value %s", why);
        return SLICE_NONE;
    }
    bool usable = key.project.p != NULL && syntax_cloud_id(key.project) == NULL;
    return usable ? arena_copy(&r->c->arena, key.project) : SLICE_NONE;
}

/* Hosts: a region has its own, `global` none in front, `us` and `eu` are served by "rep" hosts. */
static struct slice vertex_host(struct config_reader *r, struct slice location)
{
    if (slice_is(location, "global"))
        return SLICE("https://aiplatform.googleapis.com");
    if (slice_is(location, "us") || slice_is(location, "eu"))
        return arena_printf(&r->scratch, "https://aiplatform." SLICE_FMT ".rep.googleapis.com",
                            SLICE_ARG(location));
    return arena_printf(&r->scratch, "https://" SLICE_FMT "-aiplatform.googleapis.com",
                        SLICE_ARG(location));
}

static void check_vertex(struct config_reader *r, struct config_provider *p)
{
    struct config_cloud *c = &p->cloud;
    bool client = slice_is(p->api_key, "client");
    fill(r, &c->publisher, "google");
    struct slice own_project = check_credentials(r, p);
    fill_from_env(r, p, &c->project, "project", projects, syntax_cloud_id,
                  own_project.p == NULL ? "`project`: whose Vertex AI is it?" : NULL);
    if (!given(r, &c->project))
        c->project = own_project;
    fill_from_env(r, p, &c->location, "location", locations, syntax_cloud_label,
                  "`location`: a region, `us`, `eu` or `global`");
    if (p->api_key.p != NULL && !client)
        diag_error(&r->diag, reader_where(r, &p->api_key),
                   "`api_key`: Vertex AI takes tokens; use `credentials`, or `client`");
    if (client && reader_is_given(r, &c->credentials))
        diag_error(&r->diag, reader_where(r, &c->credentials),
                   "`credentials` can never apply: there is an `api_key`");
    if (c->project.p == NULL || c->location.p == NULL)
        return;
    bool openapi = slice_is(c->publisher, "openapi");
    struct slice path =
        arena_printf(&r->scratch, "/v1/projects/" SLICE_FMT "/locations/" SLICE_FMT "/%s" SLICE_FMT,
                     SLICE_ARG(c->project), SLICE_ARG(c->location),
                     openapi ? "endpoints/" : "publishers/", SLICE_ARG(c->publisher));
    complete_url(r, p, vertex_host(r, c->location), path);
}

/* ---- AWS */

/* Exactly one way to get at keys, or none: then they are searched. */
static void check_aws_keys(struct config_reader *r, struct config_provider *p)
{
    struct config_cloud *c = &p->cloud;
    bool access = given(r, &c->access_key), secret = given(r, &c->secret_key);
    if (access != secret)
        diag_error(&r->diag, reader_where(r, access ? &c->access_key : &c->secret_key),
                   access ? "`access_key` needs `secret_key` beside it"
                          : "`secret_key` needs `access_key` beside it");
    if (given(r, &c->session_token) && !access)
        diag_error(&r->diag, reader_where(r, &c->session_token),
                   "`session_token` needs `access_key` beside it");
    if (slice_is(p->type, "bedrock") && !access && !secret && !given(r, &c->profile) &&
        p->api_keys.n == 0)
        fill(r, &p->api_key, reader_getenv(r, "AWS_BEARER_TOKEN_BEDROCK"));
    bool key = p->api_key.p != NULL || p->api_keys.n > 0;
    if (key && access)
        diag_error(&r->diag, reader_where(r, &c->access_key),
                   "`access_key` can never apply: there is an `api_key`");
    if ((key || access) && given(r, &c->profile))
        diag_error(&r->diag, reader_where(r, &c->profile),
                   "`profile` can never apply: there is an `%s`", key ? "api_key" : "access_key");
}

static void check_aws(struct config_reader *r, struct config_provider *p, unsigned type)
{
    struct config_cloud *c = &p->cloud;
    fill_from_env(r, p, &c->region, "region", regions, syntax_cloud_label,
                  "`region`: for example `eu-central-1`");
    if (type == SAGEMAKER)
        fill(r, &c->body, "openai");
    check_aws_keys(r, p);
    if (c->region.p == NULL)
        return;
    complete_url(r, p,
                 arena_printf(&r->scratch, "https://%s." SLICE_FMT ".amazonaws.com%s",
                              type == BEDROCK ? "bedrock-runtime" : "runtime.sagemaker",
                              SLICE_ARG(c->region),
                              slice_starts(c->region, SLICE("cn-")) ? ".cn" : ""),
                 SLICE(""));
}

bool config_check_cloud(struct config_reader *r, struct config_provider *p)
{
    unsigned type = type_of(p->type);
    check_foreign(r, p, type);
    switch (type) {
    case AZURE: check_azure(r, p); break;
    case VERTEX: check_vertex(r, p); break;
    case BEDROCK:
    case SAGEMAKER: check_aws(r, p, type); break;
    default: break;
    }
    return type != OTHER;
}

static bool is_set(const struct config_reader *r, const char *const *names, const char **ret_needs)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        const char *value = reader_getenv(r, names[i]);
        if (value != NULL && value[0] != '\0')
            return true;
    }
    *ret_needs = names[0];
    return false;
}

bool config_cloud_in_env(const struct config_reader *r, const char *type, const char **ret_needs)
{
    switch (type_of(slice_str(type))) {
    case AZURE: return is_set(r, azure_endpoints, ret_needs);
    case VERTEX: return is_set(r, projects, ret_needs) && is_set(r, locations, ret_needs);
    case BEDROCK:
    case SAGEMAKER: return is_set(r, regions, ret_needs);
    default: return true;
    }
}
