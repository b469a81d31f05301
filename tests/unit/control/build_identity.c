/* Snapshots with keys, plans and prices; issued keys that come, rotate and go. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "control/build.h"
#include "policy/price.h"

static const char text[] =
    "providers:\n"
    "  openai: {type: openai, api_key: x}\n"
    "  house: {type: vllm, url: \"http://127.0.0.1:1/v1\", cost_per_hour: 2.50, replicas: 2,\n"
    "          governance: {region: eu, data_class: restricted}}\n"
    "  other: {type: openai-compatible, url: \"http://127.0.0.1:1/v1\", governance: {data_class: "
    "restricted}}\n"
    "engines: {small: {model: x.gguf, cost_per_hour: 0.40}, large: {model: y.gguf}}\n"
    "models:\n"
    "  chat: {targets: [house/llama, house/special], limits: {concurrency: 9}}\n"
    "  odd: {targets: [other/thing, other/more]}\n"
    "prices: {house/special: {input: 1, output: 2}}\n"
    "organisations: {acme: {limits: {requests_per_minute: 500}}}\n"
    "plans:\n"
    "  free:\n"
    "    limits: {requests_per_minute: 20, tokens_per_minute: 1000, budget: {day: 1.50}}\n"
    "    user_limits: {requests_per_minute: 2}\n"
    "    models: [\"c*\", odd]\n"
    "    max_tokens: 64\n"
    "    priority: low\n"
    "teams: {search: {organisation: acme, plan: free, models: [chat, odd], providers: [house, "
    "engine]}}\n"
    "use_cases: {sums: {owner: jane, data_class: restricted}}\n"
    "users: {plan: free}\n"
    "keys:\n"
    "  ci: {secret: sk-ci, team: search, limits: {requests_per_minute: 30}, user: me,\n"
    "       use_case: sums, networks: [10.0.0.0/8], at_budget: {use: small, from: 80%}}\n"
    "  bare: {secret: sk-bare, priority: high, may_set: [use_case]}\n";

struct world {
    struct config *config;
    struct builder *builder;
    struct gw_snapshot *snapshot;
    struct builder_links links;
    struct buf errors;
    char dir[64];
};

static const char *no_variable(const char *name)
{
    return NULL;
}

static struct config *load(const char *yaml, struct buf *errors)
{
    struct config_options o = {.env = no_variable};
    o.types = builder_provider_types(&o.types_n);
    return config_parse(slice_str(yaml), "t.yaml", &o, errors);
}

static void world_open(struct world *w)
{
    char path[128];
    *w = (struct world){0};
    buf_init(&w->errors, 1 << 16);
    snprintf(w->dir, sizeof w->dir, "/tmp/weir-build.XXXXXX");
    CHECK(mkdtemp(w->dir) != NULL);
    snprintf(path, sizeof path, "%s/keys.db", w->dir);
    w->links.limits = limit_registry_new(100);
    w->links.keys = key_store_open(path, &w->errors);
    w->links.data_dir = w->dir;
    CHECK(w->links.limits != NULL && w->links.keys != NULL);
    w->config = load(text, &w->errors);
    CHECK_EQ_LIT(buf_view(&w->errors), "");
    w->builder = builder_new(&w->links);
    CHECK(w->builder != NULL);
}

static void world_build(struct world *w)
{
    if (w->snapshot != NULL)
        gw_snapshot_unref(w->snapshot);
    buf_reset(&w->errors);
    w->snapshot = builder_build(w->builder, w->config, "/run", &w->errors);
}

static void world_close(struct world *w)
{
    char command[128];
    if (w->snapshot != NULL)
        gw_snapshot_unref(w->snapshot);
    builder_free(w->builder);
    config_free(w->config);
    key_store_close(w->links.keys);
    limit_registry_free(w->links.limits);
    buf_done(&w->errors);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    CHECK(system(command) == 0);
}

static const struct gw_key *find(const struct world *w, const char *secret)
{
    uint8_t digest[SHA256_BYTES];
    CHECK(hash_sha256(slice_str(secret), digest));
    return gw_key_ring_find(w->snapshot->keys, digest, clock_wall_ns());
}

TEST(keys_of_the_file)
{
    struct world w;
    world_open(&w);
    world_build(&w);
    CHECK(w.snapshot != NULL && w.snapshot->auth_keys);
    const struct gw_key *k = find(&w, "sk-ci");
    CHECK(k != NULL && !k->issued && k->scope.live != NULL);
    CHECK_EQ_LIT(k->scope.name, "ci");
    CHECK_EQ_I64(k->scope.set.most[LIMIT_REQUESTS], 30); /* its own */
    CHECK_EQ_I64(k->scope.set.most[LIMIT_TOKENS], 1000); /* the plan's */
    CHECK_EQ_I64(k->scope.set.most[LIMIT_BUDGET_DAY], INT64_C(1500000000));
    CHECK_EQ_I64(k->scope.set.most[LIMIT_INPUT], LIMIT_NONE);
    CHECK_EQ_LIT(k->scope.downgrade_to, "small");
    CHECK(k->scope.downgrade_from_percent == 80);
    CHECK(k->team == &w.snapshot->teams[0] && k->organisation == &w.snapshot->organisations[0]);
    CHECK_EQ_I64(k->organisation->set.most[LIMIT_REQUESTS], 500);
    CHECK(k->organisation->live != NULL && k->team->live != NULL);
    CHECK_EQ_LIT(k->plan, "free");
    CHECK(k->user_set != NULL && k->user_set->most[LIMIT_REQUESTS] == 2);
    CHECK(k->use_case == strmap_get(&w.snapshot->use_cases, SLICE("sums")));
    CHECK_EQ_LIT(k->use_case->data_class, "restricted");
    CHECK_EQ_LIT(k->user, "me");
    CHECK(!k->may_set_user && !k->may_set_use_case && k->priority == PRIORITY_LOW);
    CHECK_EQ_I64(k->max_tokens, 64);
    CHECK(k->models_n == 2 && k->providers_n == 3 && k->regions_n == 0 && k->networks_n == 1);
    CHECK_EQ_LIT(k->models[0], "chat");
    CHECK_EQ_LIT(k->providers[1], "small"); /* `engine` stands for all of them */
    k = find(&w, "sk-bare");
    CHECK(k != NULL && k->team == NULL && k->models_n == 0 && k->max_tokens == LIMIT_NONE);
    CHECK(k->user_set != NULL && k->user_set == w.snapshot->user_set);
    CHECK_EQ_I64(k->user_set->most[LIMIT_REQUESTS], 20);
    CHECK(k->may_set_use_case && !k->may_set_user && k->priority == PRIORITY_HIGH);
    CHECK(find(&w, "sk-nobody") == NULL);
    world_close(&w);
}

static const struct gw_target *target(const struct world *w, const char *model, size_t i)
{
    const struct gw_model *m = strmap_get(&w->snapshot->models, slice_str(model));
    CHECK(m != NULL && i < m->targets_n);
    return &m->targets[i];
}

TEST(prices_of_targets)
{
    struct world w;
    world_open(&w);
    world_build(&w);
    const struct gw_target *t = target(&w, "chat", 0);
    CHECK(t->price != NULL && t->estimate != NULL);
    CHECK_EQ_I64(t->price->tier[0].rate[PRICE_INPUT], price_free.tier[0].rate[PRICE_INPUT]);
    CHECK_EQ_I64(t->provider->hour_nano, INT64_C(5000000000));
    CHECK(t->provider->hardware != NULL);
    CHECK_EQ_LIT(t->provider->place, "eu");
    CHECK_EQ_I64(target(&w, "chat", 1)->price->tier[0].rate[PRICE_OUTPUT], 2 * PRICE_PER_DOLLAR);
    CHECK(target(&w, "odd", 0)->price == NULL && target(&w, "odd", 0)->provider->hour_nano == 0);
    t = target(&w, "small", 0);
    CHECK(t->price != NULL && t->provider->hour_nano == 400000000);
    CHECK_EQ_LIT(t->provider->place, "local");
    t = target(&w, "large", 0);
    CHECK(t->price != NULL && t->provider->hour_nano == 0 && t->provider->hardware == NULL);
    /* the plan `free` has a budget, and may ask for `odd` */
    CHECK_EQ_LIT(buf_view(&w.errors),
                 "t.yaml:14:72: warning: `budget`: what is bound to the budget of the plan `free` "
                 "cannot reach other/thing, whose price is not known (and 1 more); `prices` can "
                 "say it\n");
    const struct gw_model *m = strmap_get(&w.snapshot->models, SLICE("chat"));
    CHECK(m->scope.live != NULL && m->scope.set.most[LIMIT_CONCURRENCY] == 9);
    m = strmap_get(&w.snapshot->models, SLICE("odd"));
    CHECK(m->scope.live == NULL && m->scope.set.most[LIMIT_REQUESTS] == LIMIT_NONE);
    world_close(&w);
}

TEST(price_table_of_the_data_folder)
{
    struct world w;
    char path[128];
    world_open(&w);
    snprintf(path, sizeof path, "%s/prices.json", w.dir);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs("{", f) >= 0 && fclose(f) == 0);
    world_build(&w);
    CHECK(w.snapshot == NULL);
    CHECK(slice_starts(buf_view(&w.errors), slice_str(path)));
    CHECK(w.errors.p[w.errors.n - 1] == '\n');
    world_close(&w);
}

static struct stored_key stored(const char *name, const char *secret, const char *rights)
{
    struct stored_key k = {.name = slice_str(name), .rights = slice_str(rights)};
    CHECK(hash_sha256(slice_str(secret), k.digest));
    return k;
}

TEST(issued_keys)
{
    struct world w;
    world_open(&w);
    struct stored_key k = stored("app", "sk-app", "{team: search, limits: {concurrency: 3}}");
    CHECK(key_store_add(w.links.keys, &k, &w.errors) == KEY_OK);
    world_build(&w);
    CHECK(w.snapshot != NULL);
    const struct gw_key *found = find(&w, "sk-app");
    CHECK(found != NULL && found->issued && found->team == &w.snapshot->teams[0]);
    CHECK_EQ_I64(found->scope.set.most[LIMIT_CONCURRENCY], 3);
    CHECK_EQ_I64(found->scope.set.most[LIMIT_REQUESTS], 20);
    /* rotated twice: the first secret ends at once, the second with its overlap */
    k.old_until_ns = clock_wall_ns() + 3600 * NS_PER_S;
    memcpy(k.old_digest, k.digest, SHA256_BYTES);
    CHECK(hash_sha256(SLICE("sk-app2"), k.digest));
    buf_reset(&w.errors);
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app") != NULL && find(&w, "sk-app2") != NULL);
    memcpy(k.old_digest, k.digest, SHA256_BYTES);
    CHECK(hash_sha256(SLICE("sk-app3"), k.digest));
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app") == NULL);
    CHECK(find(&w, "sk-app2") != NULL && find(&w, "sk-app2") == find(&w, "sk-app3"));
    k.old_until_ns = clock_wall_ns() - 1;
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app2") == NULL && find(&w, "sk-app3") != NULL);
    k.disabled = true;
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app3") == NULL);
    k.disabled = false;
    k.expires_ns = 1;
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app3") == NULL);
    k.expires_ns = 0;
    CHECK(builder_put_key(w.builder, w.snapshot, w.config, &k, &w.errors));
    CHECK(find(&w, "sk-app3") != NULL);
    builder_remove_key(w.builder, w.snapshot, SLICE("ci")); /* of the file: stays */
    builder_remove_key(w.builder, w.snapshot, SLICE("app"));
    CHECK(find(&w, "sk-app3") == NULL && find(&w, "sk-ci") != NULL);
    CHECK_EQ_LIT(buf_view(&w.errors), "");
    world_close(&w);
}

static void check_refused(struct world *w, const struct stored_key *k, const char *why)
{
    buf_reset(&w->errors);
    CHECK(!builder_check_key(w->builder, w->snapshot, w->config, k, &w->errors));
    CHECK_EQ_SLICE(buf_view(&w->errors), slice_str(why));
    CHECK(!builder_put_key(w->builder, w->snapshot, w->config, k, &w->errors));
    CHECK_EQ_U64(gw_key_ring_count(w->snapshot->keys), 2);
}

TEST(issued_keys_that_do_not_fit)
{
    struct world w;
    world_open(&w);
    world_build(&w);
    struct stored_key k = stored("ci", "sk-new", "");
    check_refused(&w, &k, "ci: the configuration has a key of that name\n");
    k = stored("app", "sk-ci", "");
    check_refused(&w, &k, "app: another key has the same secret\n");
    k = stored("app", "sk-new", "{team: serch}");
    check_refused(&w, &k,
                  "app:1:8: `team`: `serch`: there is no such team (did you mean `search`?)\n");
    CHECK(key_store_add(w.links.keys, &k, &w.errors) == KEY_OK);
    world_build(&w); /* such a key stops a reload: it would lose its limits otherwise */
    CHECK(w.snapshot == NULL);
    CHECK_EQ_LIT(buf_view(&w.errors),
                 "app:1:8: `team`: `serch`: there is no such team (did you mean `search`?)\n");
    world_close(&w);
}

TEST(without_links)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    struct config *c = load(text, &errors);
    struct builder *b = builder_new(NULL);
    struct gw_snapshot *s = builder_build(b, c, "/run", &errors);
    CHECK(s != NULL && s->teams[0].live == NULL && s->teams[0].ledger_id == 0);
    CHECK(gw_key_ring_count(s->keys) == 2 && s->prices != NULL);
    gw_snapshot_unref(s);
    builder_free(b);
    config_free(c);
    buf_done(&errors);
}
