/* Prices of targets: the configuration's, then the newer table of the data folder, then the
 * built-in one. What runs on one's own hardware has no price by use. */
#include "build_prices.h"

#include <stdio.h>
#include <unistd.h>

#include "config_load.h"
#include "config_policy.h"
#include "policy/hardware.h"

#define TABLE_BYTES ((size_t)16 << 20)

static struct price_book *read_book(struct build *b, const char *path)
{
    struct buf text, why;
    if (!config_read_file(path, TABLE_BYTES, &text, b->errors)) {
        b->failed = true;
        return NULL;
    }
    buf_init(&why, 4096);
    struct price_book *book = price_book_with(buf_view(&text), &why);
    if (book == NULL) {
        buf_printf(b->errors, "%s: %.*s\n", path, SLICE_ARG(buf_view(&why)));
        b->failed = true;
    }
    buf_done(&why);
    buf_done(&text);
    return book;
}

/* One rate for all prompts, at any time of the day. */
static struct price flat_price(const struct config_price *c)
{
    struct price p = {.tiers_n = 1};
    p.tier[0].rate[PRICE_INPUT] = c->input;
    p.tier[0].rate[PRICE_OUTPUT] = c->output;
    p.tier[0].rate[PRICE_CACHED] = c->cached >= 0 ? c->cached : PRICE_UNKNOWN;
    p.tier[0].rate[PRICE_CACHE_WRITE] = c->cache_write >= 0 ? c->cache_write : PRICE_UNKNOWN;
    p.tier[0].rate[PRICE_REQUEST] = c->request >= 0 ? c->request : PRICE_UNKNOWN;
    return p;
}

/* Own hardware goes behind what the file says of its models. */
static void build_overrides(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->price_overrides =
        build_make(b, c->prices_n + c->providers_n + 1, sizeof *s->price_overrides);
    struct price_override *o = s->price_overrides;
    if (o == NULL)
        return;
    for (size_t i = 0; i < c->prices_n; i++)
        *o++ =
            (struct price_override){build_copy(b, c->prices[i].pattern), flat_price(&c->prices[i])};
    for (size_t i = 0; i < c->providers_n; i++) {
        const struct config_provider *p = &c->providers[i];
        if (p->cost_per_hour >= 0 || config_is_self_hosted(p->type))
            *o++ = (struct price_override){arena_printf(b->arena, "%.*s/*", SLICE_ARG(p->name)),
                                           price_free};
    }
    *o++ = (struct price_override){SLICE("engine/*"), price_free};
    s->price_overrides_n = (size_t)(o - s->price_overrides);
}

void build_prices(struct build *b)
{
    char path[4096];
    const char *dir = b->links->data_dir;
    int n = dir != NULL ? snprintf(path, sizeof path, "%s/prices.json", dir) : 0;
    bool newer = n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
    b->snapshot->prices = newer ? read_book(b, path) : price_book_new();
    if (b->snapshot->prices == NULL && !b->failed)
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
    build_overrides(b);
}

void build_hardware(struct build *b, struct gw_provider *p, struct slice name,
                    int64_t cost_per_hour, int64_t replicas)
{
    if (cost_per_hour <= 0)
        return;
    if (__builtin_mul_overflow(cost_per_hour, replicas, &p->hour_nano) ||
        p->hour_nano > CONFIG_MONEY_MAX) {
        build_fail(b, "cost_per_hour of", name, "more than a billion dollars an hour");
        return;
    }
    p->hardware = hardware_get(name);
    if (p->hardware == NULL)
        build_fail(b, "cost_per_hour of", name, "out of memory");
}

/* Who is bound to a budget, and by which lists. */
struct bound {
    const char *what;
    struct slice name;
    struct config_pos pos;
    const struct slice *patterns[CONFIG_RIGHTS_N];
    size_t patterns_n[CONFIG_RIGHTS_N];
};

static bool reaches(const struct bound *w, struct slice model, const struct gw_target *t)
{
    const struct slice names[CONFIG_RIGHTS_N] = {model, t->provider->name, t->provider->place};
    for (unsigned i = 0; i < CONFIG_RIGHTS_N; i++) {
        if (!gw_allows(w->patterns[i], w->patterns_n[i], names[i]))
            return false;
    }
    return true;
}

/* `model` NULL: all aliases. */
static void warn_bound(struct build *b, const struct bound *w, const struct gw_model *model)
{
    const struct gw_snapshot *s = b->snapshot;
    struct slice first = SLICE_NONE;
    size_t more = 0;
    for (size_t i = 0; i < s->models_n; i++) {
        const struct gw_model *m = &s->model_list[i];
        for (size_t t = 0; t < m->targets_n && (model == NULL || model == m); t++) {
            if (m->targets[t].price != NULL || slice_eq(m->targets[t].label, first) ||
                !reaches(w, m->name, &m->targets[t]))
                continue;
            more += first.n > 0;
            if (first.n == 0)
                first = m->targets[t].label;
        }
    }
    if (first.n == 0)
        return;
    buf_printf(b->errors,
               "%s:%u:%u: warning: `budget`: what is bound to the budget of %s `%.*s` "
               "cannot reach %.*s, whose price is not known",
               b->config->path.n > 0 ? b->config->path.p : "weir", w->pos.line, w->pos.column,
               w->what, SLICE_ARG(w->name), SLICE_ARG(first));
    if (more > 0)
        buf_printf(b->errors, " (and %zu more)", more);
    buf_lit(b->errors, "; `prices` can say it\n");
}

static bool has_budget(const struct config_scope_limits *l)
{
    for (unsigned k = LIMIT_BUDGET_HOUR; k < LIMIT_KINDS_N; k++) {
        if (l->most[k] > 0)
            return true;
    }
    return false;
}

/* The lists of one place alone, or those of a key with all that binds it. */
static void bind_rights(struct build *b, struct bound *w, const struct config_rights *rights,
                        const struct config_key *key)
{
    struct config_key alone = {.max_tokens = -1};
    if (rights != NULL)
        alone.rights = *rights;
    struct config_standing st = {.key = &alone};
    if (key != NULL)
        st = config_standing(b->config, key);
    for (unsigned i = 0; i < CONFIG_RIGHTS_N; i++) {
        struct slice *patterns = NULL;
        bool nothing = false;
        if (!config_rights_meet(b->config, &st, i, b->arena, &patterns, &w->patterns_n[i],
                                &nothing))
            build_fail(b, "configuration", SLICE("memory"), "out of memory");
        w->patterns[i] = patterns;
    }
}

static void warn_limits(struct build *b, const char *what, struct slice name,
                        const struct config_scope_limits *l, const struct config_rights *rights,
                        const struct config_key *key)
{
    if (!has_budget(l))
        return;
    struct bound w = {.what = what, .name = name, .pos = l->budget_pos};
    bind_rights(b, &w, rights, key);
    if (!b->failed)
        warn_bound(b, &w, NULL);
}

void build_warn_unpriced(struct build *b)
{
    const struct config *c = b->config;
    for (size_t i = 0; i < c->plans_n; i++) {
        const struct config_plan *p = &c->plans[i];
        warn_limits(b, "the plan", p->name, &p->limits, &p->rights, NULL);
        warn_limits(b, "the plan", p->name, &p->user_limits, &p->rights, NULL);
    }
    for (size_t i = 0; i < c->organisations_n; i++)
        warn_limits(b, "the organisation", c->organisations[i].name, &c->organisations[i].limits,
                    NULL, NULL);
    for (size_t i = 0; i < c->teams_n; i++)
        warn_limits(b, "the team", c->teams[i].name, &c->teams[i].limits, &c->teams[i].rights,
                    NULL);
    for (size_t i = 0; i < c->keys_n; i++) {
        const struct config_key *k = &c->keys[i];
        warn_limits(b, "the key", k->name, &k->limits, NULL, k);
        warn_limits(b, "the key", k->name, &k->user_limits, NULL, k);
    }
    for (size_t i = 0; i < c->use_cases_n; i++)
        warn_limits(b, "the use case", c->use_cases[i].name, &c->use_cases[i].limits, NULL, NULL);
    for (size_t i = 0; i < c->models_n; i++) {
        struct bound w = {
            .what = "the alias", .name = c->models[i].name, .pos = c->models[i].limits.budget_pos};
        if (has_budget(&c->models[i].limits))
            warn_bound(b, &w, &b->snapshot->model_list[i]);
    }
}
