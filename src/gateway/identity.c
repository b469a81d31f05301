/* Whom and what a request is for, and whether its key may ask that. */
#include "admit.h"
#include "worker.h"

#define USER_MAX 256 /* bytes of an end user's name */

static bool keep(struct exchange *x, struct slice value, struct slice *into)
{
    *into = value.n > 0 ? arena_copy(&x->arena, value) : SLICE_NONE;
    return into->n == value.n;
}

bool identity_read_head(struct exchange *x, const struct http_head *h)
{
    struct slice session = http_field_get(h, HTTP_X_WEIR_SESSION);
    for (size_t i = 0; i < x->snapshot->session_headers_n && session.n == 0; i++)
        session = http_field_find(h, x->snapshot->session_headers[i]);
    return keep(x, slice_trim(http_field_get(h, HTTP_X_WEIR_USER)), &x->asked_user) &&
           keep(x, slice_trim(http_field_get(h, HTTP_X_WEIR_USE_CASE)), &x->asked_use_case) &&
           keep(x, slice_trim(http_field_get(h, HTTP_X_WEIR_PRIORITY)), &x->asked_priority) &&
           keep(x, slice_trim(session), &x->asked_session);
}

enum gw_error identity_strategy(const struct gw_key *k, struct slice asked,
                                enum route_strategy *ret, struct slice *ret_message)
{
    static const enum route_strategy may[] = {ROUTE_COST, ROUTE_QUALITY, ROUTE_BALANCED};
    if (asked.n == 0)
        return GW_OK;
    if (k != NULL && !k->may_set_strategy)
        return GW_NOT_YOURS;
    for (size_t i = 0; i < ARRAY_LEN(may); i++) {
        if (slice_is(asked, route_strategy_name(may[i]))) {
            *ret = may[i];
            return GW_OK;
        }
    }
    *ret_message = SLICE("`x-weir-priority` is `cost`, `quality` or `balanced`.");
    return GW_BAD_REQUEST;
}

bool identity_network_fits(const struct exchange *x)
{
    const struct gw_key *k = x->key;
    for (size_t i = 0; i < k->networks_n; i++) {
        if (net_prefix_has(&k->networks[i], &x->peer))
            return true;
    }
    return k->networks_n == 0;
}

static void add_scope(struct admission *ad, const struct gw_scope *s)
{
    if (s == NULL || s->live == NULL)
        return;
    ad->scope[ad->n] = s;
    ad->use[ad->n] = (struct limit_use){s->live, &s->set};
    ad->n++;
}

/* `metadata.use_case` of the body. Of bodies that were read on the pool nothing is left to look
 * into: their clients have the header. */
static struct slice metadata_use_case(const struct identity_ask *q)
{
    const struct json_doc *d = &q->request->doc;
    bool wanted = q->key != NULL && q->key->may_set_use_case && q->snapshot->use_cases.count > 0;
    if (!wanted || d->text == NULL || !json_is_latest(q->parser, d))
        return SLICE_NONE;
    uint32_t metadata = json_get(d, 0, SLICE("metadata"));
    if (metadata == 0 || json_type_at(d, metadata) != JSON_OBJECT)
        return SLICE_NONE;
    uint32_t name = json_get(d, metadata, SLICE("use_case"));
    return name != 0 && json_type_at(d, name) == JSON_STRING ? json_string(d, name, q->arena)
                                                             : SLICE_NONE;
}

enum gw_error identity_use_case(const struct identity_ask *q, struct slice asked,
                                const struct gw_use_case **ret, struct slice *ret_message)
{
    const struct gw_key *k = q->key;
    struct slice name = asked.n > 0 ? asked : metadata_use_case(q);
    *ret = k != NULL ? k->use_case : NULL;
    if (name.n == 0 || (*ret != NULL && slice_eq((*ret)->scope.name, name)))
        return GW_OK;
    if (k != NULL && !k->may_set_use_case)
        return GW_NOT_YOURS;
    *ret = strmap_get(&q->snapshot->use_cases, name);
    if (*ret != NULL)
        return GW_OK;
    *ret_message = arena_printf(q->arena, "There is no use case `%.*s`.", SLICE_ARG(name));
    return GW_NOT_YOURS;
}

/* The end user. What the dialect's own field says is only a word to the provider where the key may
 * not name users; Weir's header is refused then. */
static enum gw_error find_user(struct exchange *x, struct admission *ad)
{
    const struct gw_key *k = x->key;
    struct slice asked = x->asked_user;
    bool may = k == NULL || k->may_set_user;
    if (k != NULL && k->user.n > 0) {
        ad->user = k->user;
        return asked.n == 0 || slice_eq(asked, k->user) ? GW_OK : GW_NOT_YOURS;
    }
    if (asked.n > 0 && !may)
        return GW_NOT_YOURS;
    if (asked.n == 0 && may)
        asked = x->request.user;
    if (asked.n > USER_MAX || !utf8_valid(asked)) {
        x->message = SLICE("The name of the end user is not valid.");
        return GW_INVALID_BODY;
    }
    ad->user = arena_copy(&x->arena, asked); /* outlives the body */
    return ad->user.n == asked.n ? GW_OK : GW_NO_MEMORY;
}

/* Users are told apart within their team, or within a key without one. */
static struct slice user_owner(const struct exchange *x)
{
    const struct gw_key *k = x->key;
    return k == NULL ? SLICE_NONE : k->team != NULL ? k->team->name : k->scope.name;
}

static void add_user(struct exchange *x, struct admission *ad)
{
    struct gateway *g = x->worker->gateway;
    const struct gw_key *k = x->key;
    if (ad->user.n == 0)
        return;
    ad->user_hash = g->config.ledger != NULL
                        ? ledger_user_hash(g->config.ledger, user_owner(x), ad->user)
                        : hash64(ad->user) ^ (hash64(user_owner(x)) | 1);
    if (k == NULL || k->user_set == NULL)
        return;
    ad->user_scope = (struct gw_scope){
        .name = ad->user,
        .kind = SCOPE_USER,
        .set = *k->user_set,
        .live = limit_scope_user(g->config.limits, ad->user_hash, net_now(&x->worker->loop)),
    };
    add_scope(ad, &ad->user_scope);
}

/* Which model a passed-through body asks for is not known: the key needs all of the provider's. */
static bool may_ask_model(struct exchange *x)
{
    const struct gw_key *k = x->key;
    struct slice name = x->request.model;
    if (k->models_n == 0)
        return true;
    if (x->passthrough != NULL)
        name = arena_printf(&x->arena, "%.*s/*", SLICE_ARG(x->passthrough->provider->name));
    return name.p != NULL && gw_allows(k->models, k->models_n, name);
}

enum gw_error identity_resolve(struct exchange *x)
{
    const struct gw_key *k = x->key;
    struct admission *ad = arena_new(&x->arena, struct admission);
    if (ad == NULL)
        return GW_NO_MEMORY;
    x->admission = ad;
    for (unsigned i = 0; i < LIMIT_KINDS_N; i++)
        ad->standing[i].most = LIMIT_NONE;
    ad->prompt_bytes = (int64_t)(x->body.n - MIN_OF(x->request.bulk_bytes, x->body.n));
    const struct identity_ask q = {.snapshot = x->snapshot,
                                   .key = k,
                                   .request = &x->request,
                                   .parser = x->worker->json,
                                   .arena = &x->arena};
    enum gw_error e = identity_use_case(&q, x->asked_use_case, &ad->use_case, &x->message);
    if (e == GW_OK)
        e = find_user(x, ad);
    if (e == GW_OK)
        e = identity_strategy(k, x->asked_priority, &x->asked_strategy, &x->message);
    if (e != GW_OK)
        return e;
    if (k != NULL) {
        if (!may_ask_model(x))
            return GW_MODEL_FORBIDDEN;
        add_scope(ad, k->organisation);
        add_scope(ad, k->team);
        add_scope(ad, &k->scope);
    }
    if (ad->use_case != NULL)
        add_scope(ad, &ad->use_case->scope);
    add_user(x, ad);
    if (x->model != NULL)
        add_scope(ad, &x->model->scope);
    return GW_OK;
}

void identity_set_model(struct exchange *x, const struct gw_model *m)
{
    struct admission *ad = x->admission;
    if (ad->n > 0 && ad->scope[ad->n - 1]->kind == SCOPE_MODEL)
        ad->n--;
    exchange_set_model(x, m);
    add_scope(ad, &m->scope);
}

static bool demands(const struct gw_data_rules *r)
{
    return r->location != LOCATION_ANY || r->retention_days >= 0 || r->no_training;
}

bool identity_goes_anywhere(const struct gw_key *k, const struct gw_use_case *u)
{
    bool bound = k != NULL && (k->providers_n > 0 || k->regions_n > 0 || demands(&k->rules));
    return !bound && (u == NULL || (!demands(&u->rules) && u->data_level <= 0));
}

bool identity_may_go(const struct gw_key *k, const struct gw_use_case *u,
                     const struct gw_provider *p)
{
    if (k != NULL && (!gw_allows(k->providers, k->providers_n, p->name) ||
                      !gw_allows(k->regions, k->regions_n, p->place) ||
                      !gw_governance_fits(&p->governance, &k->rules, -1)))
        return false;
    return u == NULL || gw_governance_fits(&p->governance, &u->rules, u->data_level);
}
