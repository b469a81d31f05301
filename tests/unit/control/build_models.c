/* Snapshots of aliases: targets with what is said of them, aliases in place of targets, strategies,
 * keys of providers, rules about data. */
#include "base/clock.h"
#include "check.h"
#include "control/build.h"

static const char text[] =
    "retry: {attempts: 3, same_target: 2, backoff: 10ms, max_backoff: 1s, budget: 15%, per_second: "
    "7}\n"
    "health: {failures: 9, max_ejected: 25%, ejection: 3s, probe: 4s}\n"
    "providers:\n"
    "  openai: {type: openai, api_keys: [sk-one, sk-two], governance: {region: us, location: cloud,"
    " retention_days: 30}}\n"
    "  house: {type: vllm, url: \"http://127.0.0.1:1/v1\", max_inflight: 5, governance:"
    " {region: eu-1, location: on-premise, retention_days: 0, trains: false, data_class: "
    "restricted}}\n"
    "  plain: {type: openai-compatible, url: \"http://127.0.0.1:1/v1\", api_key: sk-three}\n"
    "engines: {tiny: {model: x.gguf}}\n"
    "models:\n"
    "  chat: {strategy: balanced, targets: [house/llama, {use: openai/mini, weight: 2, quality: 80,"
    " max_complexity: 40, context: 128000}], fallback: [plain/a, both], hedge: p95,"
    " first_token: adaptive, rescue: continue, last_resort: Later.}\n"
    "  pair: {strategy: weighted, targets: [{use: house/a, weight: 3}, house/b],"
    " fallback: [plain/z]}\n"
    "  both: {strategy: round_robin, targets: [{use: pair, weight: 8}, openai/mini],"
    " fallback: [plain/z]}\n"
    "  near: {strategy: region, regions: [\"eu*\", local], targets: [openai/x, engine/tiny,"
    " house/a, plain/a]}\n"
    "  same: {strategy: sticky, session: X-Session-Id, targets: [house/a, plain/a],"
    " hedge: {after: 500ms, budget: 9%}}\n"
    "  same-too: {strategy: sticky, session: x-session-id, targets: [plain/a]}\n"
    "  deep: {strategy: prefix, targets: [house/a]}\n"
    "  known: {targets: [openai/gpt-4o, {use: openai/gpt-4o-mini, context: 9000}, openai/x]}\n"
    "  able: {targets: [openai/o3-mini, {use: openai/gpt-4o, supports: {tools: false, schema:"
    " true}}, {use: openai/o3-mini-2025-01-31, supports: {images: true}}, plain/a]}\n"
    "  cheap: {strategy: cost, targets: [plain/a]}\n"
    "  cheaper: {strategy: cost, targets: [plain/a, house/a]}\n"
    "plans: {careful: {data_rules: {retention_days: 7, trains: false}}}\n"
    "use_cases: {papers: {data_class: restricted, data_rules: {location: on-premise},"
    " last_resort: Not now.}}\n"
    "keys:\n"
    "  app: {secret: sk-app, plan: careful, data_rules: {retention_days: 9, location: on-premise},"
    " models: [pair], may_set: [strategy]}\n"
    "  bare: {secret: sk-bare}\n";

struct world {
    struct config *config;
    struct builder *builder;
    struct gw_snapshot *snapshot;
    struct buf errors; /* of the build */
};

static const char *no_variable(const char *name)
{
    return NULL;
}

static void world_open(struct world *w)
{
    struct config_options o = {.env = no_variable};
    o.types = builder_provider_types(&o.types_n);
    buf_init(&w->errors, 1 << 16);
    w->config = config_parse(slice_str(text), "t.yaml", &o, &w->errors);
    if (w->config == NULL)
        CHECK_EQ_LIT(buf_view(&w->errors), "");
    buf_reset(&w->errors); /* warnings are the goldens' matter */
    w->builder = builder_new(NULL);
    CHECK(w->builder != NULL);
    w->snapshot = builder_build(w->builder, w->config, "/run", &w->errors);
    CHECK(w->snapshot != NULL);
}

static void world_close(struct world *w)
{
    gw_snapshot_unref(w->snapshot);
    builder_free(w->builder);
    config_free(w->config);
    buf_done(&w->errors);
}

static const struct gw_model *model(const struct world *w, const char *name)
{
    const struct gw_model *m = strmap_get(&w->snapshot->models, slice_str(name));
    CHECK(m != NULL);
    return m;
}

/* "label*weight", in order, "|" before the first fallback. */
static void check_route(const struct world *w, const char *name, const char *want)
{
    const struct gw_model *m = model(w, name);
    struct buf got;
    buf_init(&got, 4096);
    for (size_t i = 0; i < m->targets_n; i++) {
        const struct gw_target *t = &m->targets[i];
        bool first = t->fallback && (i == 0 || !m->targets[i - 1].fallback);
        buf_printf(&got, "%s%s%.*s*%g", i > 0 ? " " : "", first ? "| " : "", SLICE_ARG(t->label),
                   t->weight);
        CHECK(t->live == target_live_get(t->label) && t->live != NULL);
        CHECK(!(i > 0 && m->targets[i - 1].fallback) || t->fallback);
    }
    check_note("%s", name);
    CHECK_EQ_SLICE(buf_view(&got), slice_str(want));
    buf_done(&got);
}

TEST(aliases_in_place)
{
    struct world w;
    world_open(&w);
    check_route(&w, "pair", "house/a*3 house/b*1 | plain/z*1");
    /* The weight of an alias is divided; its fallbacks come along among fallbacks only. */
    check_route(&w, "both", "house/a*6 house/b*2 openai/mini*1 | plain/z*1");
    /* What stands there before is not repeated. */
    check_route(&w, "chat",
                "house/llama*1 openai/mini*2 | plain/a*1 house/a*6 house/b*2 plain/z*1");
    check_route(&w, "tiny", "engine/tiny*1");
    world_close(&w);
}

TEST(what_targets_say)
{
    struct world w;
    world_open(&w);
    const struct gw_target *t = model(&w, "chat")->targets;
    CHECK(t[1].quality == 80 && t[1].max_complexity == 40 && t[1].context == 128000);
    CHECK(t[0].quality == 0 && t[0].max_complexity == 100 && t[0].context == 0);
    CHECK(t[0].region == -1 && t[1].region == -1);
    t = model(&w, "near")->targets;
    CHECK(t[0].region == -1 && t[1].region == 1 && t[2].region == 0 && t[3].region == -1);
    world_close(&w);
}

TEST(contexts_of_targets)
{
    struct world w;
    world_open(&w);
    const struct gw_target *t = model(&w, "known")->targets;
    CHECK(t[0].context == 128000 && !t[0].context_declared); /* of the table of prices */
    CHECK(t[1].context == 9000 && t[1].context_declared);
    CHECK(t[2].context == 0 && !t[2].context_declared);
    world_close(&w);
}

TEST(abilities_of_targets)
{
    struct world w;
    world_open(&w);
    const struct gw_target *t = model(&w, "able")->targets;
    CHECK(t[0].lacks == 0 && t[0].lacks_by_table == LLM_NEEDS_IMAGES);
    CHECK(t[1].lacks == LLM_NEEDS_TOOLS && t[1].lacks_by_table == 0);
    CHECK(t[2].lacks == 0 && t[2].lacks_by_table == 0);
    CHECK(t[3].lacks == 0 && t[3].lacks_by_table == 0);
    world_close(&w);
}

TEST(what_aliases_say)
{
    struct world w;
    world_open(&w);
    const struct gw_model *m = model(&w, "chat");
    CHECK(m->strategy == ROUTE_BALANCED && m->live == model_live_get(SLICE("chat"), false));
    CHECK(m->live != NULL && m->live->prefix == NULL);
    CHECK(m->hedge_after_ns == -1 && m->hedge_percent == 5);
    CHECK(m->first_token_adaptive && m->rescue == RESCUE_CONTINUE && m->session.n == 0);
    CHECK_EQ_LIT(m->last_resort, "Later.");
    m = model(&w, "same");
    CHECK(m->strategy == ROUTE_STICKY && m->hedge_after_ns == 500 * NS_PER_MS);
    CHECK(m->hedge_percent == 9 && !m->first_token_adaptive && m->rescue == RESCUE_OFF);
    CHECK_EQ_LIT(m->session, "x-session-id");
    CHECK(w.snapshot->session_headers_n == 1);
    CHECK_EQ_LIT(w.snapshot->session_headers[0], "x-session-id");
    m = model(&w, "deep");
    CHECK(m->strategy == ROUTE_PREFIX && m->live != NULL && m->live->prefix != NULL);
    m = model(&w, "tiny");
    CHECK(m->strategy == ROUTE_ORDERED && m->live != NULL && m->hedge_after_ns == 0);
    world_close(&w);
}

TEST(retries_and_health)
{
    struct world w;
    world_open(&w);
    const struct gw_snapshot *s = w.snapshot;
    CHECK(s->retry.attempts == 3 && s->retry.same_target == 2);
    CHECK(s->retry.percent == 15 && s->retry.per_second == 7);
    CHECK(s->retry.backoff_ns == 10 * NS_PER_MS && s->retry.max_backoff_ns == NS_PER_S);
    CHECK(s->max_ejected == 25 && s->probe_ns == 4 * NS_PER_S);
    CHECK_EQ_I64(s->health.v[HEALTH_FAILURES], 9);
    CHECK_EQ_I64(s->health.v[HEALTH_EJECTION], 3 * NS_PER_S);
    CHECK_EQ_I64(s->health.v[HEALTH_MAX_EJECTION], health_standard.v[HEALTH_MAX_EJECTION]);
    CHECK_EQ_I64(s->health.v[HEALTH_ERROR_SHARE], health_standard.v[HEALTH_ERROR_SHARE]);
    world_close(&w);
}

/* Without a word in the file all is as the table of health has it. */
TEST(health_by_default)
{
    struct config_options o = {.env = no_variable};
    struct buf errors;
    o.types = builder_provider_types(&o.types_n);
    buf_init(&errors, 1 << 16);
    struct config *c =
        config_parse(SLICE("providers: {openai: {type: openai}}\n"), "t", &o, &errors);
    CHECK(c != NULL);
    for (unsigned i = 0; i < HEALTH_SETTINGS_N; i++)
        CHECK_EQ_I64(c->health.settings.v[i], health_standard.v[i]);
    CHECK(c->retry.attempts == 4 && c->retry.backoff_ns == 25 * NS_PER_MS);
    CHECK(c->retry.max_backoff_ns == 250 * NS_PER_MS && c->retry.percent == 20);
    CHECK(c->retry.per_second == 3 && c->health.probe_ns == 10 * NS_PER_S);
    config_free(c);
    buf_done(&errors);
}

static const struct gw_provider *provider(const struct world *w, const char *name)
{
    const struct gw_provider *p = strmap_get(&w->snapshot->providers, slice_str(name));
    CHECK(p != NULL);
    return p;
}

static bool has(struct slice s, const char *part)
{
    return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

TEST(keys_of_providers)
{
    struct world w;
    world_open(&w);
    const struct gw_provider *p = provider(&w, "openai");
    CHECK(p->keys_n == 2 && slice_eq(p->fields, p->keys[0].fields));
    CHECK(has(p->keys[0].fields, "Authorization: Bearer sk-one\r\n"));
    CHECK(has(p->keys[1].fields, "Authorization: Bearer sk-two\r\n"));
    CHECK(!has(p->keys[1].fields, "sk-one"));
    CHECK(p->keys[0].live == target_live_get(SLICE("openai#1")));
    CHECK(p->keys[1].live == target_live_get(SLICE("openai#2")));
    CHECK(p->keys[0].live != NULL && p->keys[0].live != p->keys[1].live);
    p = provider(&w, "plain");
    CHECK(p->keys_n == 0 && p->keys == NULL && !p->gated && !p->self_hosted);
    CHECK(has(p->fields, "sk-three"));
    p = provider(&w, "house");
    CHECK(p->gated && gate_capacity(p->gate) == 5 && p->self_hosted);
    world_close(&w);
}

TEST(data)
{
    struct world w;
    uint8_t digest[SHA256_BYTES];
    world_open(&w);
    const struct gw_governance *g = &provider(&w, "openai")->governance;
    CHECK(g->location == LOCATION_CLOUD && g->retention_days == 30 && g->trains == -1);
    CHECK(g->data_class == -1);
    g = &provider(&w, "plain")->governance;
    CHECK(g->location == LOCATION_ANY && g->retention_days == -1 && g->trains == -1);
    g = &model(&w, "tiny")->targets[0].provider->governance;
    CHECK(g->location == LOCATION_ON_PREMISE && g->retention_days == 0 && g->trains == 0);
    CHECK_EQ_I64(g->data_class, 3);
    const struct gw_use_case *u = strmap_get(&w.snapshot->use_cases, SLICE("papers"));
    CHECK(u != NULL && u->data_level == 3 && u->rules.location == LOCATION_ON_PREMISE);
    CHECK(u->rules.retention_days == -1 && !u->rules.no_training);
    CHECK_EQ_LIT(u->last_resort, "Not now.");
    CHECK(hash_sha256(SLICE("sk-app"), digest));
    const struct gw_key *k = gw_key_ring_find(w.snapshot->keys, digest, clock_wall_ns());
    CHECK(k != NULL && k->may_set_strategy && !k->may_set_user);
    /* The stricter of its own and its plan's. */
    CHECK(k->rules.location == LOCATION_ON_PREMISE && k->rules.retention_days == 7);
    CHECK(k->rules.no_training);
    CHECK(hash_sha256(SLICE("sk-bare"), digest));
    k = gw_key_ring_find(w.snapshot->keys, digest, clock_wall_ns());
    CHECK(k != NULL && !k->may_set_strategy && k->may_set_user);
    CHECK(k->rules.location == LOCATION_ANY && k->rules.retention_days == -1);
    CHECK(!k->rules.no_training);
    world_close(&w);
}

TEST(cost_without_prices)
{
    struct world w;
    world_open(&w);
    CHECK_EQ_LIT(buf_view(&w.errors),
                 "t.yaml:18:21: warning: `strategy`: `cost`, but no target of the alias `cheap` "
                 "has a price that is known; `prices` can say it\n");
    world_close(&w);
}

TEST(asked_by_name)
{
    struct world w;
    struct arena a;
    const struct gw_model *m;
    struct gw_target t;
    struct slice hint;
    world_open(&w);
    arena_init(&a, NULL, 1 << 20);
    CHECK(gw_resolve(w.snapshot, SLICE("plain/new"), &a, &m, &t, &hint) == RESOLVED_TARGET);
    gw_target_complete(w.snapshot, &t);
    CHECK(t.weight == 1 && t.quality == 0 && t.max_complexity == 100 && t.context == 0);
    CHECK(t.region == -1 && !t.fallback && t.live == NULL);
    arena_reset(&a);
    world_close(&w);
}
