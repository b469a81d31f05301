/* What clients may ask for: aliases and engines with their targets, and how those are tried. */
#include "build_models.h"

#include "base/clock.h"
#include "build_identity.h"
#include "config_policy.h"
#include "llm/openai.h"
#include "observe/metrics.h"

/* "provider/model" or "engine/name"; the loader has checked that they exist. */
static void build_target(struct build *b, struct slice use, struct gw_target *t)
{
    struct gw_snapshot *s = b->snapshot;
    struct slice rest = use, head = slice_cut(&rest, '/');
    bool engine = slice_is(head, "engine");
    for (size_t i = 0; i < s->providers_n; i++) {
        struct gw_provider *p = &s->provider_list[i];
        if (p->engine == engine && slice_eq(p->name, engine ? rest : head))
            t->provider = p;
    }
    t->model = build_copy(b, rest);
    t->label = build_copy(b, use);
    if (t->provider == NULL) {
        build_fail(b, "target", use, "there is no such provider or engine");
        return;
    }
    gw_target_complete(s, t);
    t->live = target_live_get(t->label); /* not of names that clients make up */
    t->ledger_id = build_ledger_id(b, NAME_TARGET, t->model);
}

/* Which of the alias' regions the target is in; -1: none. */
static int region_of(const struct config_model *c, const struct gw_target *t)
{
    for (size_t i = 0; i < c->regions.n; i++) {
        if (t->provider->place.n > 0 &&
            config_pattern_covers(c->regions.item[i], t->provider->place))
            return (int)i;
    }
    return -1;
}

static void build_abilities(const struct build *b, const struct config_supports *c,
                            struct gw_target *t)
{
    const int said[LLM_ABILITIES] = {c->tools, c->images, c->schema};
    if (b->snapshot->prices != NULL)
        t->lacks_by_table =
            price_abilities(b->snapshot->prices, slice_str(t->provider->row->type), t->model)
                .cannot;
    for (unsigned i = 0; i < LLM_ABILITIES; i++) {
        if (said[i] >= 0)
            t->lacks_by_table &= (unsigned char)~(1u << i);
        if (said[i] == 0)
            t->lacks |= (unsigned char)(1u << i);
    }
}

static void build_alias_target(struct build *b, const struct config_model *c,
                               const struct config_route *from, struct gw_target *t)
{
    const struct config_target *ct = from->target;
    build_target(b, ct->use, t);
    if (t->provider == NULL)
        return;
    t->weight = from->weight;
    t->fallback = from->fallback;
    t->quality = ct->quality >= 0 ? (double)ct->quality : 0;
    t->max_complexity = ct->max_complexity >= 0 ? (double)ct->max_complexity : 100;
    t->context_declared = ct->context > 0;
    if (t->context_declared)
        t->context = ct->context;
    else if (b->snapshot->prices != NULL)
        t->context =
            price_context(b->snapshot->prices, slice_str(t->provider->row->type), t->model);
    build_abilities(b, &ct->supports, t);
    t->region = region_of(c, t);
}

static struct slice copy_lower(struct build *b, struct slice s)
{
    char *p = arena_str(b->arena, s);
    if (p == NULL) {
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
        return SLICE_NONE;
    }
    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
    return slice_of(p, s.n);
}

/* Where an alias' requests go, and what becomes of those that fail. */
static void build_route(struct build *b, const struct config_model *c, struct gw_model *m)
{
    m->targets = build_make(b, c->route_n, sizeof *m->targets);
    for (size_t i = 0; i < c->route_n && m->targets != NULL; i++)
        build_alias_target(b, c, &c->route[i], &m->targets[i]);
    m->targets_n = c->route_n;
    m->strategy = c->strategy;
    m->session = c->session.n > 0 ? copy_lower(b, c->session) : SLICE_NONE;
    if (c->hedge.after.n > 0) {
        m->hedge_after_ns = c->hedge.after_ns;
        m->hedge_percent = (unsigned)c->hedge.percent;
    }
    m->first_token_adaptive = c->first_token == FIRST_TOKEN_ADAPTIVE;
    m->rescue = c->rescue == CONFIG_RESCUE_CONTINUE ? RESCUE_CONTINUE : RESCUE_OFF;
    m->last_resort = c->last_resort.n > 0 ? build_copy(b, c->last_resort) : SLICE_NONE;
}

/* The headers that any alias goes by, each once. */
static void build_session_headers(struct build *b)
{
    struct gw_snapshot *s = b->snapshot;
    s->session_headers = build_make(b, s->models_n, sizeof *s->session_headers);
    for (size_t i = 0; i < s->models_n && s->session_headers != NULL; i++) {
        struct slice name = s->model_list[i].session;
        bool there = name.n == 0;
        for (size_t k = 0; k < s->session_headers_n && !there; k++)
            there = slice_eq(s->session_headers[k], name);
        if (!there)
            s->session_headers[s->session_headers_n++] = name;
    }
}

static void add_model(struct build *b, struct gw_model *m)
{
    m->metric_id = metric_model_id(m->name);
    m->live = model_live_get(m->name, m->strategy == ROUTE_PREFIX);
    if (m->name.p != NULL && !strmap_add(&b->snapshot->models, m->name, m))
        build_fail(b, "model", m->name, "the name is taken");
}

void build_models(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->models_n = c->models_n + c->engines_n;
    s->model_list = build_make(b, s->models_n, sizeof *s->model_list);
    if (b->failed || !strmap_init(&s->models, b->arena, s->models_n))
        return;
    for (size_t i = 0; i < c->models_n; i++) {
        struct gw_model *m = &s->model_list[i];
        const struct config_model *cm = &c->models[i];
        m->name = build_copy(b, cm->name);
        build_scope(b, &m->scope, SCOPE_MODEL, m->name, &cm->limits, NULL, NULL);
        build_route(b, cm, m);
        add_model(b, m);
    }
    for (size_t i = 0; i < c->engines_n; i++) {
        struct gw_model *m = &s->model_list[c->models_n + i];
        m->name = build_copy(b, c->engines[i].name);
        build_scope(b, &m->scope, SCOPE_MODEL, m->name, NULL, NULL, NULL);
        m->targets_n = 1;
        m->targets = build_make(b, 1, sizeof *m->targets);
        if (m->targets != NULL)
            build_target(b, arena_printf(b->arena, "engine/%.*s", SLICE_ARG(m->name)), m->targets);
        /* an alias of the same name goes before it */
        if (strmap_get(&s->models, m->name) == NULL && gw_exposes(s, SLICE("engine"), m->name))
            add_model(b, m);
    }
    build_session_headers(b);
}

/* Aliases and engines, then what providers are declared to have. */
void build_models_json(struct build *b)
{
    struct gw_snapshot *s = b->snapshot;
    size_t n = s->models_n, used = 0;
    for (size_t i = 0; i < s->providers_n; i++)
        n += s->provider_list[i].models_n;
    struct llm_model_row *rows = build_make(b, n, sizeof *rows);
    struct buf json;
    buf_init(&json, (size_t)64 << 20);
    for (size_t i = 0; i < s->models_n && rows != NULL; i++) {
        if (strmap_get(&s->models, s->model_list[i].name) == &s->model_list[i])
            rows[used++] = (struct llm_model_row){s->model_list[i].name, SLICE("weir")};
    }
    for (size_t i = 0; i < s->providers_n && rows != NULL; i++) {
        const struct gw_provider *p = &s->provider_list[i];
        for (size_t k = 0; k < p->models_n; k++) {
            if (!gw_exposes(s, p->name, p->models[k]))
                continue;
            struct slice id =
                arena_printf(b->arena, "%.*s/%.*s", SLICE_ARG(p->name), SLICE_ARG(p->models[k]));
            rows[used++] = (struct llm_model_row){id, p->name};
        }
    }
    s->created_s = clock_wall_ns() / NS_PER_S;
    s->model_rows = rows;
    s->model_rows_n = used;
    if (rows != NULL)
        openai_put_models(&json, rows, used, s->created_s);
    s->models_json = build_copy(b, buf_view(&json));
    buf_done(&json);
}

void build_retry(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->retry = (struct gw_retry){.attempts = (unsigned)c->retry.attempts,
                                 .same_target = (unsigned)c->retry.same_target,
                                 .backoff_ns = c->retry.backoff_ns,
                                 .max_backoff_ns = c->retry.max_backoff_ns,
                                 .percent = (unsigned)c->retry.percent,
                                 .per_second = (unsigned)c->retry.per_second};
    s->health = c->health.settings;
    s->max_ejected = (unsigned)s->health.v[HEALTH_MAX_EJECTED];
    s->probe_ns = c->health.probe_ns;
}

/* A strategy that goes by prices where nobody knows any. */
void build_warn_costs(struct build *b)
{
    const struct config *c = b->config;
    for (size_t i = 0; i < c->models_n; i++) {
        const struct config_model *m = &c->models[i];
        const struct gw_model *g = &b->snapshot->model_list[i];
        bool known = m->strategy != ROUTE_COST;
        for (size_t t = 0; t < g->targets_n && !known; t++)
            known = g->targets[t].price != NULL;
        if (!known)
            buf_printf(b->errors,
                       "%s:%u:%u: warning: `strategy`: `cost`, but no target of the alias "
                       "`%.*s` has a price that is known; `prices` can say it\n",
                       c->path.n > 0 ? c->path.p : "weir", m->strategy_pos.line,
                       m->strategy_pos.column, SLICE_ARG(m->name));
    }
}
