/* Firing limits and budgets, each on its own: a key of our own making has this one limit and no
 * other, with the name of whom it is of, and counts that begin at nothing. */
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "fire.h"

#define REQUESTS_MOST INT64_C(1000)
#define LAST_REAL     INT64_C(20) /* requests that are really made; those before are entered */

/* One limit. */
struct shot {
    struct slice subject;         /* whose it is, for people */
    const struct gw_scope *scope; /* as configured */
    const struct gw_key *of;      /* whose users are limited, else NULL */
    enum limit_kind kind;
    int64_t most;
    const struct fire_alias *alias; /* that is asked for */
    struct slice token, model;
    struct limit_scope *live;
    struct limit_pool *pool;
};

static bool is_budget(enum limit_kind k)
{
    return k >= LIMIT_BUDGET_HOUR;
}

static void put_most(struct fire *f, const struct shot *s)
{
    if (is_budget(s->kind)) {
        buf_char(&f->line, '$');
        buf_money(&f->line, s->most);
    } else {
        buf_i64(&f->line, s->most);
    }
}

/* "key mobile: requests_per_minute 60" with what came of it. */
static void say(struct fire *f, const struct shot *s, enum fire_verdict v, struct slice how)
{
    static const char *const words[] = {"ok", "FAILED", "not fired"};
    const char *kind = limit_kind_name(s->kind);
    buf_reset(&f->line);
    buf_printf(&f->line, "%s ", kind);
    put_most(f, s);
    fire_row(f, "limit", s->subject, buf_view(&f->line), v, how);
    fire_print(f, "limit: %.*s: %.*s %s", SLICE_ARG(s->subject), SLICE_ARG(buf_view(&f->line)),
               words[v]);
    if (how.n > 0)
        fire_print(f, ": %.*s", SLICE_ARG(how));
    fire_print(f, "\n");
    buf_reset(&f->line);
}

/* ---- whom to ask as, and what for */

/* Does a request there cost something? */
static bool costs(const struct gw_target *t)
{
    const struct llm_usage u = {.input = 1000000, .output = 1000000};
    return t->price != NULL && price_cost(t->price, &u, clock_wall_ns() / NS_PER_S) > 0;
}

/* A target of the alias that costs something, and that its key's requests may go to; or NULL. */
static const struct gw_target *find_dear(const struct fire_alias *a)
{
    for (size_t t = 0; t < a->model->targets_n; t++) {
        if (costs(&a->model->targets[t]) && fire_may(a->key, a, t))
            return &a->model->targets[t];
    }
    return NULL;
}

/* An alias that answers, with a target that costs something where that is needed. */
static const struct fire_alias *find_alias(const struct fire *f, bool dear)
{
    for (size_t i = 0; i < f->aliases_n; i++) {
        if (f->alias[i].key != NULL && (!dear || find_dear(&f->alias[i]) != NULL))
            return &f->alias[i];
    }
    return NULL;
}

static struct limit_set only(enum limit_kind kind, int64_t most)
{
    struct limit_set set = limit_set_none;
    set.most[kind] = most;
    return set;
}

/* The key's end user, whose name clients say or, where the key has one user, do not. */
static bool make_user(struct fire *f, struct shot *s, struct gw_key *k)
{
    struct limit_set *set = arena_alloc(&f->arena, sizeof *set);
    struct slice name = s->scope->name;
    if (set == NULL || s->of == NULL)
        return false;
    *set = only(s->kind, s->most);
    k->user_set = set;
    k->may_set_user = s->of->may_set_user;
    k->user = s->of->user.n > 0 ? name : SLICE_NONE;
    f->user = s->of->user.n > 0 ? SLICE_NONE : name;
    /* as the gateway names users where there is no ledger */
    s->live =
        limit_scope_user(f->limits, hash64(name) ^ (hash64(k->scope.name) | 1), clock_mono_ns());
    return true;
}

/* A key that has this limit and nothing else. False: no memory. */
static bool make_key(struct fire *f, struct shot *s)
{
    struct gw_key *k = arena_zalloc(&f->arena, sizeof *k);
    struct gw_scope *scope = arena_alloc(&f->arena, sizeof *scope);
    struct gw_use_case *u = arena_zalloc(&f->arena, sizeof *u);
    struct slice unique = arena_printf(&f->arena, "fire-limit-%u", f->tokens_n);
    if (k == NULL || scope == NULL || u == NULL || unique.p == NULL)
        return false;
    *k = s->alias->key->key != NULL ? *s->alias->key->key : fire_nobody();
    if (s->scope->kind != SCOPE_USER)
        s->live = limit_scope_get(f->limits, s->scope->kind, unique);
    *scope = *s->scope;
    scope->set = only(s->kind, s->most);
    scope->live = s->live;
    scope->downgrade_from_percent = 0;
    k->models_n = k->networks_n = 0;
    k->user_set = NULL;
    k->team = k->organisation = NULL;
    k->use_case = NULL;
    k->max_tokens = LIMIT_NONE;
    k->expires_ns = 0;
    k->scope = (struct gw_scope){.name = unique, .kind = SCOPE_KEY, .set = limit_set_none};
    switch (s->scope->kind) {
    case SCOPE_TEAM: k->team = scope; break;
    case SCOPE_ORGANISATION: k->organisation = scope; break;
    case SCOPE_KEY: k->scope = *scope; break;
    case SCOPE_USER:
        if (!make_user(f, s, k))
            return false;
        break;
    case SCOPE_USE_CASE:
        u->scope = *scope;
        u->data_level = -1;
        u->rules.retention_days = -1;
        k->use_case = u;
        break;
    default: return false;
    }
    s->token = fire_add_key(f, k);
    s->model = s->alias->model->name;
    if (is_budget(s->kind)) /* others may go on for nothing */
        s->model = arena_printf(&f->arena, FIRE_ONE "%.*s", SLICE_ARG(find_dear(s->alias)->label));
    return s->token.p != NULL && s->live != NULL;
}

/* The alias with this limit of its own, under its name for this purpose. */
static void use_alias(struct fire *f, struct shot *s)
{
    s->model = fire_tight_name(f, s->alias->model->name, s->kind);
    const struct gw_model *m = strmap_get(&f->snapshot->models, s->model);
    s->live = m->scope.live;
    s->token = s->alias->key->token;
}

/* ---- firing */

/* Enters what is not asked for. False: no memory, or it is more than the limit. */
static bool enter(struct fire *f, const struct shot *s, const struct limit_amounts *amounts,
                  struct limit_hold *ret)
{
    const struct limit_set set = only(s->kind, s->most);
    const struct limit_use use = {s->live, &set};
    struct limit_refusal refusal;
    return limit_admit(f->limits, s->pool, &use, 1, amounts, clock_mono_ns(), ret, NULL,
                       &refusal) == LIMIT_ADMITTED;
}

static void settle(struct fire *f, const struct shot *s, struct limit_hold *h,
                   const struct limit_amounts *amounts)
{
    limit_settle(f->limits, s->pool, h, amounts, clock_mono_ns());
}

static void ask(struct fire *f, const struct shot *s)
{
    fire_ask(f, s->token, s->model, false);
}

static bool body_has(const struct fire *f, const char *what)
{
    const struct buf *b = &f->answer.body;
    return b->n > 0 && memmem(b->p, b->n, what, strlen(what)) != NULL;
}

/* Is the refusal this limit's, with the code that it should have? */
static bool is_refused(struct fire *f, const struct shot *s)
{
    char what[400];
    snprintf(what, sizeof what, "%s of %s `%.*s`", limit_kind_name(s->kind),
             scope_kind_name(s->scope->kind), SLICE_ARG(s->scope->name));
    return f->answer.status == 429 && body_has(f, what) &&
           body_has(f, is_budget(s->kind) ? "insufficient_quota" : "rate_limit_exceeded");
}

static const char *why_let_in(const struct shot *s)
{
    bool named = s->of == NULL || s->of->may_set_user || s->of->user.n > 0;
    return named ? "" : ": the key has no `user`, and no `user` in `may_set`";
}

static void judge(struct fire *f, const struct shot *s, const char *done)
{
    if (is_refused(f, s))
        say(f, s, FIRE_OK, arena_printf(&f->arena, "%s is refused", done));
    else if (f->answer.status == 200)
        say(f, s, FIRE_FAILED, arena_printf(&f->arena, "%s is let in%s", done, why_let_in(s)));
    else
        say(f, s, FIRE_FAILED, arena_printf(&f->arena, "%s: %.*s", done, SLICE_ARG(fire_say(f))));
}

/* The first request has to be let in. */
static bool begins_well(struct fire *f, const struct shot *s)
{
    ask(f, s);
    if (fire_is_good(f, false))
        return true;
    say(f, s, FIRE_FAILED,
        arena_printf(&f->arena, "no request gets in at all: %.*s", SLICE_ARG(fire_say(f))));
    return false;
}

static void fire_requests(struct fire *f, const struct shot *s)
{
    struct limit_hold h = {0};
    int64_t entered = MAX_OF(s->most - LAST_REAL, INT64_C(0));
    const struct limit_amounts amounts = {.requests = entered};
    if (s->most > REQUESTS_MOST) {
        say(f, s, FIRE_SKIPPED, SLICE("more than 1000 a minute"));
        return;
    }
    if (entered > 0 && !enter(f, s, &amounts, &h)) {
        say(f, s, FIRE_SKIPPED, SLICE("out of memory"));
        return;
    }
    settle(f, s, &h, &amounts);
    for (int64_t i = entered; i < s->most; i++) {
        ask(f, s);
        if (fire_is_good(f, false))
            continue;
        say(f, s, FIRE_FAILED,
            arena_printf(&f->arena, "number %lld is refused: %.*s", (long long)i + 1,
                         SLICE_ARG(fire_say(f))));
        return;
    }
    ask(f, s);
    judge(f, s, arena_printf(&f->arena, "number %lld of a minute", (long long)s->most + 1).p);
}

static void fire_tokens(struct fire *f, const struct shot *s)
{
    int64_t n = MIN_OF(s->most, LIMIT_AMOUNT_MAX);
    struct limit_hold h = {0};
    const struct limit_amounts amounts = {
        .input = s->kind == LIMIT_INPUT || s->kind == LIMIT_TOKENS ? n : 0,
        .output = s->kind == LIMIT_OUTPUT ? n : 0};
    struct limit_amounts used = amounts;
    if (!begins_well(f, s))
        return;
    /* what the first one took is in the way of the whole: as much as there is room for */
    int64_t now[LIMIT_KINDS_N];
    limit_used(f->limits, s->live, clock_mono_ns(), now);
    int64_t *most = used.input > 0 ? &used.input : &used.output;
    *most = MAX_OF(*most - now[s->kind], INT64_C(0));
    if (*most > 0 && !enter(f, s, &used, &h)) {
        say(f, s, FIRE_SKIPPED, SLICE("out of memory"));
        return;
    }
    ask(f, s);
    judge(f, s, "a request when they are used up");
    settle(f, s, &h, &used);
}

static void fire_budget(struct fire *f, const struct shot *s)
{
    int64_t nano[LIMIT_BUDGETS_N] = {0};
    if (!begins_well(f, s))
        return;
    nano[s->kind - LIMIT_BUDGET_HOUR] = s->most;
    limit_add_spend(f->limits, s->live, nano);
    ask(f, s);
    for (size_t t = 0; t < s->alias->model->targets_n && fire_is_good(f, false); t++) {
        const struct gw_target *free = &s->alias->model->targets[t];
        if (costs(free) || !slice_is(free->label, f->answer.target))
            continue;
        say(f, s, FIRE_OK,
            arena_printf(&f->arena, "when it is used up requests go on at %.*s, which is free",
                         SLICE_ARG(free->label)));
        return;
    }
    judge(f, s, "a request when it is used up");
}

/* All places but one are taken by entries, the last by a request that gets no answer. */
static void fire_places(struct fire *f, const struct shot *s)
{
    const struct limit_amounts one = {.requests = 1, .concurrency = 1};
    struct limit_hold *holds;
    if (s->most > REQUESTS_MOST) {
        say(f, s, FIRE_SKIPPED, SLICE("more than 1000 at a time"));
        return;
    }
    holds = arena_zalloc(&f->arena, (size_t)(s->most + 1) * sizeof *holds);
    bool ok = holds != NULL;
    for (int64_t i = 0; i + 1 < s->most && ok; i++)
        ok = enter(f, s, &one, &holds[i]);
    if (ok && begins_well(f, s)) {
        ok = enter(f, s, &one, &holds[s->most]);
        ask(f, s);
        judge(f, s, arena_printf(&f->arena, "number %lld at a time", (long long)s->most + 1).p);
    }
    for (int64_t i = 0; i <= s->most && holds != NULL; i++)
        settle(f, s, &holds[i], &one);
    if (!ok)
        say(f, s, FIRE_SKIPPED, SLICE("out of memory"));
}

static void fire_one(struct fire *f, struct shot *s)
{
    if (s->alias == NULL) {
        say(f, s, FIRE_SKIPPED,
            is_budget(s->kind) ? SLICE("no target that answers costs anything")
                               : SLICE("no alias answers"));
        return;
    }
    if (s->scope->kind == SCOPE_MODEL)
        use_alias(f, s);
    else if (!make_key(f, s)) {
        say(f, s, FIRE_SKIPPED, SLICE("out of memory"));
        return;
    }
    switch (s->kind) {
    case LIMIT_REQUESTS: fire_requests(f, s); break;
    case LIMIT_CONCURRENCY: fire_places(f, s); break;
    case LIMIT_INPUT:
    case LIMIT_OUTPUT:
    case LIMIT_TOKENS: fire_tokens(f, s); break;
    default: fire_budget(f, s); break;
    }
}

static void fire_scope(struct fire *f, const struct gw_scope *scope, const struct limit_set *set,
                       const struct fire_alias *alias)
{
    struct limit_pool *pool = limit_pool_new();
    struct slice subject =
        arena_printf(&f->arena, "%s %.*s", scope_kind_name(scope->kind), SLICE_ARG(scope->name));
    for (unsigned k = 0; k < LIMIT_KINDS_N && pool != NULL; k++) {
        struct shot s = {.subject = subject,
                         .scope = scope,
                         .kind = (enum limit_kind)k,
                         .most = set->most[k],
                         .pool = pool};
        if (s.most == LIMIT_NONE)
            continue;
        s.alias = alias != NULL && alias->key != NULL ? alias : find_alias(f, is_budget(s.kind));
        fire_one(f, &s);
    }
    limit_pool_free(pool);
}

/* Keys with the same limits, a plan's for example: one stands for all. */
static void fire_keys(struct fire *f)
{
    const struct config *c = f->loaded.config;
    for (size_t i = 0; i < c->keys_n; i++) {
        const struct gw_key *k = fire_key_of(f, &c->keys[i]), *other;
        bool fired = k == NULL;
        for (size_t n = 0; n < i && !fired; n++)
            fired = (other = fire_key_of(f, &c->keys[n])) != NULL &&
                    memcmp(&other->scope.set, &k->scope.set, sizeof k->scope.set) == 0;
        if (!fired)
            fire_scope(f, &k->scope, &k->scope.set, NULL);
    }
}

/* Limits of end users are each user's own: each is fired with a user of its own. */
static void fire_users_of(struct fire *f, const struct gw_key *of, struct slice subject)
{
    struct limit_pool *pool = limit_pool_new();
    for (unsigned k = 0; k < LIMIT_KINDS_N && pool != NULL; k++) {
        struct gw_scope scope = {.name = arena_printf(&f->arena, "fire-user-%u", f->tokens_n),
                                 .kind = SCOPE_USER,
                                 .set = limit_set_none};
        struct shot s = {.subject = subject,
                         .scope = &scope,
                         .of = of,
                         .kind = (enum limit_kind)k,
                         .most = of->user_set->most[k],
                         .alias = find_alias(f, is_budget((enum limit_kind)k)),
                         .pool = pool};
        if (s.most != LIMIT_NONE)
            fire_one(f, &s);
        f->user = SLICE_NONE;
    }
    limit_pool_free(pool);
}

/* Do both limit their users alike, and do these have names? */
static bool same_users(const struct gw_key *a, const struct gw_key *b)
{
    return b->user_set != NULL && a->may_set_user == b->may_set_user &&
           (a->user.n > 0) == (b->user.n > 0) &&
           memcmp(a->user_set, b->user_set, sizeof *a->user_set) == 0;
}

/* What `users` says is for keys; without any it limits nobody. */
static void fire_users_alone(struct fire *f)
{
    struct gw_key k = fire_nobody();
    if (f->loaded.config->auth == AUTH_NONE) {
        struct slice why = SLICE("requests have no keys, and users are those of a key");
        fire_row(f, "limit", SLICE("users"), SLICE_NONE, FIRE_FAILED, why);
        fire_print(f, "limit: users: FAILED: %.*s\n", SLICE_ARG(why));
        return;
    }
    k.user_set = f->snapshot->user_set;
    k.may_set_user = true;
    fire_users_of(f, &k, SLICE("users"));
}

static void fire_users(struct fire *f)
{
    const struct config *c = f->loaded.config;
    bool any = false;
    for (size_t i = 0; i < c->keys_n && f->key[0].key != NULL; i++) {
        const struct gw_key *k = fire_key_of(f, &c->keys[i]), *other;
        bool fired = k == NULL;
        any |= k != NULL;
        for (size_t n = 0; n < i && !fired && k->user_set != NULL; n++)
            fired = (other = fire_key_of(f, &c->keys[n])) != NULL && same_users(k, other);
        if (!fired && k->user_set != NULL)
            fire_users_of(f, k,
                          arena_printf(&f->arena, "users of key %.*s", SLICE_ARG(k->scope.name)));
    }
    if (!any && f->snapshot->user_set != NULL)
        fire_users_alone(f);
}

void fire_limits(struct fire *f)
{
    const struct gw_snapshot *s = f->snapshot;
    fire_calm(f);
    for (size_t i = 0; i < s->organisations_n; i++)
        fire_scope(f, &s->organisations[i], &s->organisations[i].set, NULL);
    for (size_t i = 0; i < s->teams_n; i++)
        fire_scope(f, &s->teams[i], &s->teams[i].set, NULL);
    fire_keys(f);
    for (size_t i = 0; i < s->use_cases_n; i++)
        fire_scope(f, &s->use_case_list[i].scope, &s->use_case_list[i].scope.set, NULL);
    fire_users(f);
    for (size_t i = 0; i < f->aliases_n; i++)
        fire_scope(f, &f->alias[i].model->scope, &f->alias[i].set, &f->alias[i]);
}
