/* Organisations, teams, use cases and keys: from the configuration and the key store. */
#include "build_identity.h"

#include "base/clock.h"
#include "config_policy.h"

#define CHECK_BYTES  ((size_t)16 << 20) /* of one key, read */
#define STORED_BYTES ((size_t)1 << 30)  /* of all issued keys */

uint32_t build_ledger_id(struct build *b, enum ledger_name_kind kind, struct slice name)
{
    return b->links->ledger != NULL ? ledger_name(b->links->ledger, kind, name) : 0;
}

static enum ledger_name_kind ledger_kind(enum scope_kind kind)
{
    switch (kind) {
    case SCOPE_ORGANISATION: return NAME_ORGANISATION;
    case SCOPE_TEAM: return NAME_TEAM;
    case SCOPE_KEY: return NAME_KEY;
    case SCOPE_USE_CASE: return NAME_USE_CASE;
    default: return NAME_MODEL;
    }
}

/* Is there a limit at all? */
static bool fill_set(struct limit_set *set, const struct config_scope_limits *own,
                     const struct config_scope_limits *plan)
{
    bool any = false;
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        set->most[k] = config_limit(own, plan, (enum limit_kind)k, NULL);
        any = any || set->most[k] != LIMIT_NONE;
    }
    return any;
}

void build_scope(struct build *b, struct gw_scope *s, enum scope_kind kind, struct slice name,
                 const struct config_scope_limits *own, const struct config_scope_limits *plan,
                 const struct config_at_budget *at_budget)
{
    *s = (struct gw_scope){.name = name, .kind = kind};
    bool limited = fill_set(&s->set, own, plan);
    /* All but aliases always count: a key may ask what it has used, and a limit that a reload
     * brings applies to what was before. */
    if ((limited || kind != SCOPE_MODEL) && b->links->limits != NULL) {
        s->live = limit_scope_get(b->links->limits, kind, name);
        if (s->live == NULL)
            build_fail(b, scope_kind_name(kind), name, "out of memory");
    }
    if (at_budget != NULL && at_budget->use.n > 0) {
        s->downgrade_to = build_copy(b, at_budget->use);
        s->downgrade_from_percent = (unsigned)at_budget->from_percent;
    }
    s->ledger_id = build_ledger_id(b, ledger_kind(kind), name);
}

static struct gw_scope *find_scope(struct gw_scope *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n && name.n > 0; i++) {
        if (slice_eq(list[i].name, name))
            return &list[i];
    }
    return NULL;
}

static void build_groups(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->organisations = build_make(b, c->organisations_n, sizeof *s->organisations);
    s->teams = build_make(b, c->teams_n, sizeof *s->teams);
    if (b->failed)
        return;
    for (size_t i = 0; i < c->organisations_n; i++) {
        const struct config_organisation *o = &c->organisations[i];
        build_scope(b, &s->organisations[i], SCOPE_ORGANISATION, build_copy(b, o->name), &o->limits,
                    NULL, &o->at_budget);
    }
    for (size_t i = 0; i < c->teams_n; i++) {
        const struct config_team *t = &c->teams[i];
        build_scope(b, &s->teams[i], SCOPE_TEAM, build_copy(b, t->name), &t->limits, NULL,
                    &t->at_budget);
    }
    s->organisations_n = c->organisations_n;
    s->teams_n = c->teams_n;
}

static void build_use_cases(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->use_case_list = build_make(b, c->use_cases_n, sizeof *s->use_case_list);
    if (b->failed || !strmap_init(&s->use_cases, b->arena, c->use_cases_n)) {
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
        return;
    }
    for (size_t i = 0; i < c->use_cases_n; i++) {
        const struct config_use_case *from = &c->use_cases[i];
        struct gw_use_case *u = &s->use_case_list[i];
        build_scope(b, &u->scope, SCOPE_USE_CASE, build_copy(b, from->name), &from->limits, NULL,
                    &from->at_budget);
        u->owner = build_copy(b, from->owner);
        u->data_class =
            from->data_class < 0 ? SLICE_NONE : slice_str(config_data_classes[from->data_class]);
        u->data_level = from->data_class;
        u->rules = config_data_rules(&from->data_rules, NULL);
        u->last_resort = from->last_resort.n > 0 ? build_copy(b, from->last_resort) : SLICE_NONE;
        if (u->scope.name.p != NULL && !strmap_add(&s->use_cases, u->scope.name, u))
            build_fail(b, "use case", from->name, "the name is taken");
    }
    s->use_cases_n = c->use_cases_n;
}

static void note_user_set(struct build *b, const struct limit_set *set)
{
    for (unsigned p = 0; p < LIMIT_BUDGETS_N; p++)
        b->snapshot->user_budgets[p] |= set->most[LIMIT_BUDGET_HOUR + p] != LIMIT_NONE;
}

/* What end users get whose keys say nothing. */
static void build_user_set(struct build *b)
{
    const struct config_plan *p = config_find_plan(b->config, b->config->users.plan);
    struct limit_set *set = p != NULL ? build_make(b, 1, sizeof *set) : NULL;
    if (set != NULL && fill_set(set, &p->limits, NULL))
        b->snapshot->user_set = set;
    if (b->snapshot->user_set != NULL)
        note_user_set(b, set);
}

static void key_rights(struct build *b, const struct config_standing *st, struct gw_key *k)
{
    const struct {
        struct slice **list;
        size_t *n;
    } into[CONFIG_RIGHTS_N] = {
        {&k->models, &k->models_n}, {&k->providers, &k->providers_n}, {&k->regions, &k->regions_n}};
    for (unsigned w = 0; w < CONFIG_RIGHTS_N; w++) {
        bool nothing = false;
        if (!config_rights_meet(b->config, st, w, b->arena, into[w].list, into[w].n, &nothing) ||
            nothing) {
            build_fail(b, "key", st->key->name, nothing ? "it may use nothing" : "out of memory");
            *into[w].n = 0;
        }
        for (size_t i = 0; i < *into[w].n; i++)
            (*into[w].list)[i] = build_copy(b, (*into[w].list)[i]);
    }
}

static void key_networks(struct build *b, const struct config_key *c, struct gw_key *k)
{
    k->networks = c->networks.n > 0 ? build_make(b, c->networks.n, sizeof *k->networks) : NULL;
    for (size_t i = 0; i < c->networks.n && k->networks != NULL; i++) {
        if (!net_prefix_parse(c->networks.item[i], &k->networks[i]))
            build_fail(b, "key", c->name, "a network is no address or prefix");
    }
    k->networks_n = c->networks.n;
}

static void key_users(struct build *b, const struct config_standing *st, struct gw_key *k)
{
    const struct config_key *c = st->key;
    struct limit_set *set = build_make(b, 1, sizeof *set);
    k->user_set = b->snapshot->user_set;
    if (set != NULL &&
        fill_set(set, &c->user_limits, st->plan != NULL ? &st->plan->user_limits : NULL))
        k->user_set = set;
    if (k->user_set == set && set != NULL)
        note_user_set(b, set);
    k->user = c->user.n > 0 ? build_copy(b, c->user) : SLICE_NONE;
    for (size_t i = 0; i < c->may_set.n; i++) {
        k->may_set_user |= slice_is(c->may_set.item[i], "user") && c->user.n == 0;
        k->may_set_use_case |= slice_is(c->may_set.item[i], "use_case");
        k->may_set_strategy |= slice_is(c->may_set.item[i], "strategy");
    }
}

/* The key as the workers see it; NULL: reported. */
static struct gw_key *build_key(struct build *b, const struct config_key *c)
{
    struct gw_snapshot *s = b->snapshot;
    struct config_standing st = config_standing(b->config, c);
    struct gw_key *k = build_make(b, 1, sizeof *k);
    if (k == NULL)
        return NULL;
    build_scope(b, &k->scope, SCOPE_KEY, build_copy(b, c->name), &c->limits,
                st.plan != NULL ? &st.plan->limits : NULL, &c->at_budget);
    if (st.team != NULL)
        k->team = find_scope(s->teams, s->teams_n, st.team->name);
    if (st.organisation != NULL)
        k->organisation = find_scope(s->organisations, s->organisations_n, st.organisation->name);
    if (st.use_case != NULL)
        k->use_case = strmap_get(&s->use_cases, st.use_case->name);
    if ((st.team != NULL && k->team == NULL) || (st.organisation != NULL && !k->organisation) ||
        (st.use_case != NULL && k->use_case == NULL))
        build_fail(b, "key", c->name, "the snapshot is of another configuration");
    k->plan = st.plan != NULL ? build_copy(b, st.plan->name) : SLICE_NONE;
    enum config_priority priority = c->priority;
    int64_t max_tokens = c->max_tokens;
    if (priority == CONFIG_PRIORITY_UNSET && st.plan != NULL)
        priority = st.plan->priority;
    if (max_tokens <= 0 && st.plan != NULL)
        max_tokens = st.plan->max_tokens;
    k->priority = priority == CONFIG_PRIORITY_UNSET ? PRIORITY_NORMAL : (enum gw_priority)priority;
    k->weight = (unsigned)c->weight;
    k->max_tokens = max_tokens > 0 ? max_tokens : LIMIT_NONE;
    k->rules = config_data_rules(&c->data_rules, st.plan != NULL ? &st.plan->data_rules : NULL);
    k->expires_ns = c->expires_ns;
    k->disabled = c->disabled;
    key_rights(b, &st, k);
    key_networks(b, c, k);
    key_users(b, &st, k);
    return b->failed ? NULL : k;
}

static void build_file_keys(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->auth_keys = c->auth == AUTH_KEYS;
    for (size_t i = 0; i < c->keys_n && !b->failed; i++) {
        uint8_t digest[SHA256_BYTES];
        bool ok = c->keys[i].sha256.n > 0 ? hex_decode(c->keys[i].sha256, digest, sizeof digest)
                                          : hash_sha256(c->keys[i].secret, digest);
        struct gw_key *k = build_key(b, &c->keys[i]);
        if (k == NULL)
            return;
        if (!ok || !gw_key_ring_put(s->keys, digest, k, 0))
            build_fail(b, "key", c->keys[i].name, "out of memory");
        else if (gw_key_ring_count(s->keys) != i + 1)
            build_fail(b, "key", c->keys[i].name, "another key has the same secret");
    }
}

void build_identities(struct build *b)
{
    build_groups(b);
    if (!b->failed)
        build_use_cases(b);
    if (!b->failed)
        build_user_set(b);
    if (!b->failed)
        build_file_keys(b);
}

/* Is that digest another key's? */
static bool is_taken(const struct gw_snapshot *s, const uint8_t digest[SHA256_BYTES],
                     struct slice name)
{
    const struct gw_key *k = gw_key_ring_peek(s->keys, digest);
    return k != NULL && (!k->issued || !slice_eq(k->scope.name, name));
}

/* Reads an issued key and checks it against the file and the other keys. */
static bool read_issued(const struct gw_snapshot *s, const struct config *c,
                        const struct stored_key *k, struct arena *a, struct config_key *ret,
                        struct buf *errors)
{
    char *name = arena_str(a, k->name);
    if (name == NULL) {
        buf_lit(errors, "out of memory\n");
        return false;
    }
    for (size_t i = 0; i < c->keys_n; i++) {
        if (slice_eq(c->keys[i].name, k->name)) {
            buf_printf(errors, "%s: the configuration has a key of that name\n", name);
            return false;
        }
    }
    if (is_taken(s, k->digest, k->name) ||
        (k->old_until_ns != 0 && is_taken(s, k->old_digest, k->name))) {
        buf_printf(errors, "%s: another key has the same secret\n", name);
        return false;
    }
    if (!config_parse_key(k->rights, name, c, ret, a, errors))
        return false;
    ret->disabled = ret->disabled || k->disabled;
    if (k->expires_ns != 0)
        ret->expires_ns = k->expires_ns;
    return true;
}

bool build_key_fits(const struct builder_links *links, const struct gw_snapshot *s,
                    const struct config *c, const struct stored_key *k, struct buf *errors)
{
    struct config_key key;
    struct arena a;
    arena_init(&a, NULL, CHECK_BYTES);
    bool ok = read_issued(s, c, k, &a, &key, errors);
    arena_reset(&a);
    return ok;
}

/* Puts an issued key under its digests; without it, NULL, which is reported. */
static const struct gw_key *put_issued(struct build *b, const struct stored_key *stored)
{
    struct gw_key_ring *ring = b->snapshot->keys;
    struct config_key key;
    struct arena a;
    arena_init(&a, NULL, CHECK_BYTES);
    bool ok = read_issued(b->snapshot, b->config, stored, &a, &key, b->errors);
    struct gw_key *k = ok ? build_key(b, &key) : NULL;
    arena_reset(&a);
    b->failed = b->failed || k == NULL;
    if (k == NULL)
        return NULL;
    k->issued = true;
    ok = gw_key_ring_put(ring, stored->digest, k, 0);
    if (stored->old_until_ns > clock_wall_ns())
        ok = gw_key_ring_put(ring, stored->old_digest, k, stored->old_until_ns) && ok;
    if (!ok)
        build_fail(b, "key", k->scope.name, "out of memory");
    return ok ? k : NULL;
}

void build_put_issued(struct build *b, const struct stored_key *stored)
{
    uint8_t digests[2][SHA256_BYTES];
    const struct gw_key *k = put_issued(b, stored);
    if (k == NULL)
        return;
    memcpy(digests[0], stored->digest, SHA256_BYTES);
    memcpy(digests[1], stored->old_digest, SHA256_BYTES);
    gw_key_ring_keep(b->snapshot->keys, k->scope.name, digests,
                     stored->old_until_ns > clock_wall_ns() ? 2 : 1);
}

void build_issued_keys(struct build *b)
{
    struct stored_key *list;
    struct arena a;
    size_t n;
    if (b->failed || b->links->keys == NULL)
        return;
    arena_init(&a, NULL, STORED_BYTES);
    if (key_store_list(b->links->keys, SLICE_NONE, 0, &a, &list, &n, b->errors) != KEY_OK) {
        buf_char(b->errors, '\n');
        b->failed = true;
    }
    for (size_t i = 0; i < n && !b->failed; i++)
        put_issued(b, &list[i]);
    arena_reset(&a);
}
