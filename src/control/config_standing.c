/* What a key comes to by its team, its organisation and its plan; see config_policy.h. */
#include "config_policy.h"

const struct config_plan *config_find_plan(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->plans_n && name.n > 0; i++) {
        if (slice_eq(c->plans[i].name, name))
            return &c->plans[i];
    }
    return NULL;
}

const struct config_organisation *config_find_organisation(const struct config *c,
                                                           struct slice name)
{
    for (size_t i = 0; i < c->organisations_n && name.n > 0; i++) {
        if (slice_eq(c->organisations[i].name, name))
            return &c->organisations[i];
    }
    return NULL;
}

const struct config_team *config_find_team(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->teams_n && name.n > 0; i++) {
        if (slice_eq(c->teams[i].name, name))
            return &c->teams[i];
    }
    return NULL;
}

const struct config_use_case *config_find_use_case(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->use_cases_n && name.n > 0; i++) {
        if (slice_eq(c->use_cases[i].name, name))
            return &c->use_cases[i];
    }
    return NULL;
}

bool config_has_alias(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->models_n; i++) {
        if (slice_eq(c->models[i].name, name))
            return true;
    }
    for (size_t i = 0; i < c->engines_n; i++) {
        if (slice_eq(c->engines[i].name, name))
            return true;
    }
    return false;
}

struct config_standing config_standing(const struct config *c, const struct config_key *key)
{
    struct config_standing s = {.key = key};
    s.team = config_find_team(c, key->team);
    bool by_team = s.team != NULL && s.team->organisation.n > 0;
    s.organisation =
        config_find_organisation(c, by_team ? s.team->organisation : key->organisation);
    bool own = key->plan.n > 0 || s.team == NULL;
    s.plan = config_find_plan(c, own ? key->plan : s.team->plan);
    s.use_case = config_find_use_case(c, key->use_case);
    return s;
}

int64_t config_limit(const struct config_scope_limits *own, const struct config_scope_limits *plan,
                     enum limit_kind kind, const int64_t **ret_from)
{
    const int64_t *from = NULL;
    if (own != NULL && own->most[kind] > 0)
        from = &own->most[kind];
    else if (plan != NULL && plan->most[kind] > 0)
        from = &plan->most[kind];
    if (ret_from != NULL)
        *ret_from = from;
    return from != NULL ? *from : LIMIT_NONE;
}

const char *config_limit_key(enum limit_kind kind)
{
    static const char *const keys[LIMIT_KINDS_N] = {
        [LIMIT_REQUESTS] = "requests_per_minute",    [LIMIT_INPUT] = "input_tokens_per_minute",
        [LIMIT_OUTPUT] = "output_tokens_per_minute", [LIMIT_TOKENS] = "tokens_per_minute",
        [LIMIT_CONCURRENCY] = "concurrency",         [LIMIT_BUDGET_HOUR] = "budget.hour",
        [LIMIT_BUDGET_DAY] = "budget.day",           [LIMIT_BUDGET_WEEK] = "budget.week",
        [LIMIT_BUDGET_MONTH] = "budget.month",
    };
    return keys[kind];
}

static bool is_prefix(struct slice pattern)
{
    return pattern.p != NULL && pattern.n > 0 && pattern.p[pattern.n - 1] == '*';
}

bool config_pattern_covers(struct slice wide, struct slice narrow)
{
    if (!is_prefix(wide))
        return slice_eq(wide, narrow);
    return slice_starts(narrow, slice_of(wide.p, wide.n - 1));
}

struct slice config_pattern_meet(struct slice a, struct slice b)
{
    if (config_pattern_covers(a, b))
        return b;
    return config_pattern_covers(b, a) ? a : SLICE_NONE;
}

const char *const config_rights_keys[CONFIG_RIGHTS_N] = {"models", "providers", "regions"};

const struct config_list *config_rights_list(const struct config_rights *rights, unsigned which)
{
    const struct config_list *const lists[CONFIG_RIGHTS_N] = {&rights->models, &rights->providers,
                                                              &rights->regions};
    return lists[which];
}

/* Patterns of one kind. */
struct patterns {
    struct slice *item;
    size_t n;
};

/* A list as it counts: `engine` among providers stands for all engines. */
static bool expand(const struct config *c, const struct config_list *list, bool providers,
                   struct arena *a, struct patterns *ret)
{
    size_t room = list->n;
    for (size_t i = 0; i < list->n; i++)
        room += providers && slice_is(list->item[i], "engine") ? c->engines_n : 0;
    ret->item = arena_alloc(a, MAX_OF(room, (size_t)1) * sizeof *ret->item);
    ret->n = 0;
    for (size_t i = 0; i < list->n && ret->item != NULL; i++) {
        if (!providers || !slice_is(list->item[i], "engine")) {
            ret->item[ret->n++] = list->item[i];
            continue;
        }
        for (size_t k = 0; k < c->engines_n; k++)
            ret->item[ret->n++] = c->engines[k].name;
    }
    return ret->item != NULL;
}

/* `all` becomes what fits both; `*ret_nothing` when nothing does. */
static bool narrow(struct patterns *all, const struct patterns *by, struct arena *a,
                   bool *ret_nothing)
{
    size_t n = 0;
    struct slice *out = arena_alloc(a, MAX_OF(all->n * by->n, (size_t)1) * sizeof *out);
    for (size_t i = 0; i < all->n && out != NULL; i++) {
        for (size_t k = 0; k < by->n; k++) {
            struct slice both = config_pattern_meet(all->item[i], by->item[k]);
            bool there = both.p == NULL;
            for (size_t j = 0; j < n && !there; j++)
                there = slice_eq(out[j], both);
            if (!there)
                out[n++] = both;
        }
    }
    *all = (struct patterns){out, n};
    *ret_nothing = *ret_nothing || n == 0;
    return out != NULL;
}

bool config_rights_meet(const struct config *c, const struct config_standing *s, unsigned which,
                        struct arena *a, struct slice **ret, size_t *ret_n, bool *ret_nothing)
{
    const struct config_rights *rights[] = {&s->key->rights,
                                            s->team != NULL ? &s->team->rights : NULL,
                                            s->plan != NULL ? &s->plan->rights : NULL};
    bool providers = strcmp(config_rights_keys[which], "providers") == 0, limited = false;
    struct patterns all = {NULL, 0}, one;
    *ret_nothing = false;
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        const struct config_list *list =
            rights[i] != NULL ? config_rights_list(rights[i], which) : NULL;
        if (list == NULL || list->n == 0)
            continue;
        if (!expand(c, list, providers, a, &one) ||
            (limited && !narrow(&all, &one, a, ret_nothing)))
            return false;
        if (!limited)
            all = one;
        limited = true;
    }
    *ret = all.item;
    *ret_n = all.n;
    return true;
}

struct slice config_provider_place(const struct config_provider *p)
{
    if (p->governance.region.n > 0)
        return p->governance.region;
    return p->cloud.region.n > 0 ? p->cloud.region : p->cloud.location;
}

/* The provider of "provider/model"; NULL: it is an engine's. */
static const struct config_provider *provider_of(const struct config *c, struct slice use,
                                                 bool *ret_engine)
{
    struct slice rest = use, head = slice_cut(&rest, '/');
    *ret_engine = slice_is(head, "engine");
    for (size_t i = 0; i < c->providers_n && !*ret_engine; i++) {
        if (slice_eq(c->providers[i].name, head))
            return &c->providers[i];
    }
    return NULL;
}

struct slice config_target_place(const struct config *c, struct slice use)
{
    bool engine;
    const struct config_provider *p = provider_of(c, use, &engine);
    if (engine)
        return CONFIG_ENGINE_PLACE;
    return p != NULL ? config_provider_place(p) : SLICE_NONE;
}

static enum gw_location location(enum config_location l)
{
    switch (l) {
    case CONFIG_LOCATION_CLOUD: return LOCATION_CLOUD;
    case CONFIG_LOCATION_PREMISE: return LOCATION_ON_PREMISE;
    default: return LOCATION_ANY;
    }
}

const struct gw_governance config_engine_governance = {
    .location = LOCATION_ON_PREMISE, .retention_days = 0, .trains = 0, .data_class = 3};

struct gw_governance config_governance(const struct config_provider *p)
{
    const struct config_governance *g = &p->governance;
    return (struct gw_governance){.location = location(g->location),
                                  .retention_days = g->retention_days,
                                  .trains = g->trains,
                                  .data_class = g->data_class};
}

struct gw_governance config_target_governance(const struct config *c, struct slice use)
{
    bool engine;
    const struct config_provider *p = provider_of(c, use, &engine);
    if (engine)
        return config_engine_governance;
    return p != NULL ? config_governance(p) : (struct gw_governance){LOCATION_ANY, -1, -1, -1};
}

static void add_rules(struct gw_data_rules *all, const struct config_data_rules *by)
{
    if (location(by->location) != LOCATION_ANY)
        all->location = location(by->location);
    if (by->retention_days >= 0 &&
        (all->retention_days < 0 || by->retention_days < all->retention_days))
        all->retention_days = by->retention_days;
    all->no_training = all->no_training || by->trains == 0;
}

struct gw_data_rules config_data_rules(const struct config_data_rules *own,
                                       const struct config_data_rules *plan)
{
    struct gw_data_rules all = {.location = LOCATION_ANY, .retention_days = -1};
    if (plan != NULL)
        add_rules(&all, plan);
    add_rules(&all, own);
    return all;
}

bool config_is_self_hosted(struct slice provider_type)
{
    static const char *const types[] = {"vllm",   "sglang",       "tgi",
                                        "ollama", "llama-server", "lm-studio"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_is(provider_type, types[i]))
            return true;
    }
    return false;
}
