/* Checks of plans, organisations, teams, keys, use cases and prices against each other: nothing
 * refers to nothing, and no limit is one that can never apply. */
#include <dirent.h>

#include "base/clock.h"
#include "config_amount.h"
#include "config_check.h"
#include "config_policy.h"
#include "config_syntax.h"
#include "policy/calendar.h"

#define ZONES "/usr/share/zoneinfo" /* for hints only; the C library may know another place */

/* The limits of a scope in effect. */
struct figures {
    int64_t most[LIMIT_KINDS_N];
    const int64_t *from[LIMIT_KINDS_N]; /* NULL: no limit */
    bool lent[LIMIT_KINDS_N];           /* by the plan */
    struct slice plan;
    const char *prefix; /* before the keys in messages */
    struct config_pos pos;
};

static struct figures figures_of(const struct config_scope_limits *own,
                                 const struct config_scope_limits *plan, struct slice plan_name,
                                 const char *prefix, struct config_pos pos)
{
    struct figures f = {.plan = plan_name, .prefix = prefix, .pos = pos};
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        f.most[k] = config_limit(own, plan, (enum limit_kind)k, &f.from[k]);
        f.lent[k] = f.from[k] != NULL && plan != NULL && f.from[k] == &plan->most[k];
    }
    return f;
}

static bool any_budget(const struct figures *f)
{
    for (unsigned k = LIMIT_BUDGET_HOUR; k < LIMIT_KINDS_N; k++) {
        if (f->from[k] != NULL)
            return true;
    }
    return false;
}

/* Texts of messages live in the scratch arena. */
static const char *text_of(struct config_reader *r, struct slice s)
{
    if (s.p == NULL)
        diag_no_memory(&r->diag);
    return s.p != NULL ? s.p : "";
}

static const char *named(struct config_reader *r, const char *what, struct slice name)
{
    return text_of(r, arena_printf(&r->scratch, "%s %s", what, diag_quote(&r->diag, name)));
}

static const char *amount(struct config_reader *r, enum limit_kind kind, int64_t v)
{
    struct buf b;
    buf_init(&b, 64);
    if (kind >= LIMIT_BUDGET_HOUR) {
        buf_char(&b, '$');
        amount_print_money(&b, v);
    } else {
        buf_i64(&b, v);
    }
    const char *text = text_of(r, arena_copy(&r->scratch, buf_view(&b)));
    buf_done(&b);
    return text;
}

/* Where a figure stands; a plan's that was read earlier: at the key that takes it over. */
static struct config_pos where(const struct config_reader *r, const struct figures *f, unsigned k)
{
    return reader_is_given(r, f->from[k]) ? reader_where(r, f->from[k]) : f->pos;
}

/* " of the plan `free`", or "". */
static const char *lender(struct config_reader *r, const struct figures *f, unsigned k)
{
    return f->lent[k] ? text_of(r, arena_printf(&r->scratch, " of the plan %s",
                                                diag_quote(&r->diag, f->plan)))
                      : "";
}

/* Kinds whose figure cannot be above that of another kind in the same scope. */
static void check_within(struct config_reader *r, const struct figures *f)
{
    static const struct {
        enum limit_kind small, large;
        int64_t times; /* so many of the large make up what the small can reach */
    } pairs[] = {
        {LIMIT_INPUT, LIMIT_TOKENS, 1},
        {LIMIT_OUTPUT, LIMIT_TOKENS, 1},
        {LIMIT_BUDGET_HOUR, LIMIT_BUDGET_DAY, 1},
        {LIMIT_BUDGET_HOUR, LIMIT_BUDGET_WEEK, 1},
        {LIMIT_BUDGET_HOUR, LIMIT_BUDGET_MONTH, 1},
        {LIMIT_BUDGET_DAY, LIMIT_BUDGET_WEEK, 1},
        {LIMIT_BUDGET_DAY, LIMIT_BUDGET_MONTH, 1},
        {LIMIT_BUDGET_WEEK, LIMIT_BUDGET_MONTH, 2}, /* a week may lie in two months */
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        enum limit_kind small = pairs[i].small, large = pairs[i].large;
        if (f->from[small] == NULL || f->from[large] == NULL ||
            (f->lent[small] && f->lent[large]) || f->most[small] <= f->most[large] * pairs[i].times)
            continue;
        diag_error(&r->diag, where(r, f, small), "`%s%s`%s can never apply: `%s`%s is %s%s",
                   f->prefix, config_limit_key(small), lender(r, f, small), config_limit_key(large),
                   lender(r, f, large), amount(r, large, f->most[large]),
                   pairs[i].times > 1 ? ", and a week lies in two months at most" : "");
    }
}

/* No figure of `in` is above that of `out`, which counts all that `in` counts. */
static void check_inside(struct config_reader *r, const struct figures *in,
                         const struct figures *out, const char *out_name)
{
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (in->from[k] == NULL || out->from[k] == NULL || in->most[k] <= out->most[k] ||
            (in->lent[k] && out->lent[k]))
            continue;
        diag_error(&r->diag, where(r, in, k), "`%s%s`%s can never apply: %s%s has %s", in->prefix,
                   config_limit_key((enum limit_kind)k), lender(r, in, k), out_name,
                   out->lent[k] ? lender(r, out, k) : "",
                   amount(r, (enum limit_kind)k, out->most[k]));
    }
}

/* Most tokens of an answer: the key's own figure, or its plan's. */
struct longest {
    const int64_t *tokens;
    bool lent;
    struct config_pos pos; /* where it counts, when it was read elsewhere */
};

/* An answer as long as `max_tokens` fits into the limits. */
static void check_max_tokens(struct config_reader *r, const struct longest *l,
                             const struct figures *f, const char *name)
{
    static const enum limit_kind kinds[] = {LIMIT_OUTPUT, LIMIT_TOKENS};
    for (size_t i = 0; i < ARRAY_LEN(kinds) && *l->tokens > 0; i++) {
        enum limit_kind k = kinds[i];
        if (f->from[k] == NULL || *l->tokens <= f->most[k] || (f->lent[k] && l->lent))
            continue;
        diag_error(&r->diag, reader_is_given(r, l->tokens) ? reader_where(r, l->tokens) : l->pos,
                   "`max_tokens` can never apply: `%s%s` of %s is %lld", f->prefix,
                   config_limit_key(k), name, (long long)f->most[k]);
        return;
    }
}

/* The nearest of `n` named structs of a section. */
static const char *near(struct config_reader *r, struct slice wanted, const void *array, size_t n,
                        const struct config_section *sec)
{
    struct diag_hint hint = diag_hint(wanted);
    for (size_t i = 0; i < n; i++) {
        struct slice name;
        memcpy(&name, (const char *)array + i * sec->size + sec->name_at, sizeof name);
        diag_hint_offer(&hint, name);
    }
    return diag_hint_text(&r->diag, &hint);
}

static void check_plan_ref(struct config_reader *r, const struct slice *name)
{
    if (name->n > 0 && config_find_plan(r->c, *name) == NULL)
        diag_error(&r->diag, reader_where(r, name), "`plan`: %s: there is no such plan%s",
                   reader_quote(r, name),
                   near(r, *name, r->c->plans, r->c->plans_n, &config_plan_section));
}

static void check_organisation_ref(struct config_reader *r, const struct slice *name)
{
    if (name->n > 0 && config_find_organisation(r->c, *name) == NULL)
        diag_error(&r->diag, reader_where(r, name),
                   "`organisation`: %s: there is no such organisation%s", reader_quote(r, name),
                   near(r, *name, r->c->organisations, r->c->organisations_n,
                        &config_organisation_section));
}

static const char *near_alias(struct config_reader *r, struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    for (size_t i = 0; i < r->c->models_n; i++)
        diag_hint_offer(&hint, r->c->models[i].name);
    for (size_t i = 0; i < r->c->engines_n; i++)
        diag_hint_offer(&hint, r->c->engines[i].name);
    return diag_hint_text(&r->diag, &hint);
}

static void check_at_budget(struct config_reader *r, const struct config_at_budget *at,
                            const struct figures *f)
{
    if (at->use.n == 0)
        return;
    if (!any_budget(f))
        diag_error(&r->diag, at->pos, "`at_budget` can never apply: there is no `budget` here");
    if (!config_has_alias(r->c, at->use))
        diag_error(&r->diag, reader_where(r, &at->use),
                   "`use`: %s: there is no such alias and no such engine%s",
                   reader_quote(r, &at->use), near_alias(r, at->use));
}

static bool model_applies(const struct config *c, struct slice pattern)
{
    for (size_t i = 0; i < c->models_n; i++) {
        if (config_pattern_covers(pattern, c->models[i].name))
            return true;
    }
    for (size_t i = 0; i < c->engines_n; i++) {
        if (config_pattern_covers(pattern, c->engines[i].name))
            return true;
    }
    for (size_t i = 0; i < c->providers_n; i++) {
        for (size_t k = 0; k < c->providers[i].models.n; k++) {
            if (config_pattern_covers(pattern, c->providers[i].models.item[k]))
                return true;
        }
    }
    return check_pattern_applies(c, pattern);
}

static bool provider_applies(const struct config *c, struct slice pattern)
{
    for (size_t i = 0; i < c->providers_n; i++) {
        if (config_pattern_covers(pattern, c->providers[i].name))
            return true;
    }
    for (size_t i = 0; i < c->engines_n; i++) {
        if (config_pattern_covers(pattern, c->engines[i].name) || slice_is(pattern, "engine"))
            return true;
    }
    return false;
}

static bool region_applies(const struct config *c, struct slice pattern)
{
    for (size_t i = 0; i < c->providers_n; i++) {
        struct slice place = config_provider_place(&c->providers[i]);
        if (place.n > 0 && config_pattern_covers(pattern, place))
            return true;
    }
    return c->engines_n > 0 && config_pattern_covers(pattern, CONFIG_ENGINE_PLACE);
}

static const char *near_right(struct config_reader *r, unsigned which, struct slice wanted)
{
    const struct config *c = r->c;
    struct diag_hint hint = diag_hint(wanted);
    if (which == 0) {
        const char *alias = near_alias(r, wanted);
        return alias[0] != '\0' ? alias : check_near_pattern(r, wanted);
    }
    for (size_t i = 0; i < c->providers_n; i++)
        diag_hint_offer(&hint, which == 1 ? c->providers[i].name
                                          : config_provider_place(&c->providers[i]));
    if (c->engines_n > 0)
        diag_hint_offer(&hint, which == 1 ? SLICE("engine") : CONFIG_ENGINE_PLACE);
    return diag_hint_text(&r->diag, &hint);
}

/* Each entry of the lists fits something. */
static void check_rights(struct config_reader *r, const struct config_rights *rights)
{
    static bool (*const applies[CONFIG_RIGHTS_N])(const struct config *, struct slice) = {
        model_applies, provider_applies, region_applies};
    static const char *const nothing[CONFIG_RIGHTS_N] = {
        "matches no alias, no engine and no provider", "matches no provider",
        "no provider is there"};
    for (unsigned w = 0; w < CONFIG_RIGHTS_N; w++) {
        const struct config_list *list = config_rights_list(rights, w);
        if (list->n == 0 && reader_is_given(r, list) && !reader_is_bad(r, list))
            diag_error(&r->diag, reader_where(r, list),
                       "`%s`: the list is empty: nothing would be allowed", config_rights_keys[w]);
        for (size_t i = 0; i < list->n; i++) {
            if (!applies[w](r->c, list->item[i]))
                diag_error(&r->diag, list->pos[i], "`%s`: %s: %s%s", config_rights_keys[w],
                           reader_quote(r, &list->item[i]), nothing[w],
                           near_right(r, w, list->item[i]));
        }
        if (list->n > 1)
            check_unique_list(r, list, config_rights_keys[w]);
    }
}

/* The lists that a key is bound by leave something. */
static void check_rights_meet(struct config_reader *r, const struct config_standing *s)
{
    for (unsigned w = 0; w < CONFIG_RIGHTS_N; w++) {
        const struct config_list *own = config_rights_list(&s->key->rights, w);
        struct slice *patterns;
        size_t n;
        bool nothing;
        if (!config_rights_meet(r->c, s, w, &r->scratch, &patterns, &n, &nothing))
            diag_no_memory(&r->diag);
        else if (nothing)
            diag_error(&r->diag, own->n > 0 ? reader_where(r, own) : s->key->pos,
                       "`%s`: what the key, its team and its plan allow has nothing in common",
                       config_rights_keys[w]);
    }
}

static void check_plan(struct config_reader *r, const struct config_plan *p)
{
    struct figures f = figures_of(&p->limits, NULL, SLICE_NONE, "", p->pos);
    struct figures user = figures_of(&p->user_limits, NULL, SLICE_NONE, "user_limits.", p->pos);
    check_within(r, &f);
    check_within(r, &user);
    check_inside(r, &user, &f, named(r, "the plan", p->name));
    const struct longest l = {&p->max_tokens, false, p->pos};
    check_max_tokens(r, &l, &f, named(r, "the plan", p->name));
    check_max_tokens(r, &l, &user, named(r, "the plan", p->name));
    check_rights(r, &p->rights);
    check_plan_data(r, p);
}

static void check_organisation(struct config_reader *r, const struct config_organisation *o)
{
    struct figures f = figures_of(&o->limits, NULL, SLICE_NONE, "", o->pos);
    check_within(r, &f);
    check_at_budget(r, &o->at_budget, &f);
}

static void check_team(struct config_reader *r, const struct config_team *t)
{
    const struct config_organisation *o = config_find_organisation(r->c, t->organisation);
    struct figures f = figures_of(&t->limits, NULL, SLICE_NONE, "", t->pos);
    check_organisation_ref(r, &t->organisation);
    check_plan_ref(r, &t->plan);
    check_within(r, &f);
    check_at_budget(r, &t->at_budget, &f);
    check_rights(r, &t->rights);
    if (o == NULL)
        return;
    struct figures out = figures_of(&o->limits, NULL, SLICE_NONE, "", o->pos);
    check_inside(r, &f, &out, named(r, "the organisation", o->name));
}

static void check_use_case(struct config_reader *r, const struct config_use_case *u)
{
    struct figures f = figures_of(&u->limits, NULL, SLICE_NONE, "", u->pos);
    check_within(r, &f);
    check_at_budget(r, &u->at_budget, &f);
    check_use_case_data(r, u);
}

/* A key's limits, its users' and the length of its answers against all scopes around it. */
static void check_key_limits(struct config_reader *r, const struct config_standing *s)
{
    const struct config_key *k = s->key;
    const struct config_plan *p = s->plan;
    struct slice plan = p != NULL ? p->name : SLICE_NONE;
    struct figures f = figures_of(&k->limits, p != NULL ? &p->limits : NULL, plan, "", k->pos);
    struct figures user = figures_of(&k->user_limits, p != NULL ? &p->user_limits : NULL, plan,
                                     "user_limits.", k->pos);
    const struct {
        const char *what;
        struct slice name;
        const struct config_scope_limits *limits;
    } around[] = {
        {"the team", k->team, s->team != NULL ? &s->team->limits : NULL},
        {"the organisation", s->organisation != NULL ? s->organisation->name : SLICE_NONE,
         s->organisation != NULL ? &s->organisation->limits : NULL},
        {"the use case", k->use_case, s->use_case != NULL ? &s->use_case->limits : NULL},
    };
    bool lent = k->max_tokens <= 0 && p != NULL;
    const struct longest l = {lent ? &p->max_tokens : &k->max_tokens, lent, k->pos};
    check_within(r, &f);
    check_within(r, &user);
    check_inside(r, &user, &f, named(r, "the key", k->name));
    check_at_budget(r, &k->at_budget, &f);
    check_max_tokens(r, &l, &f, named(r, "the key", k->name));
    check_max_tokens(r, &l, &user, named(r, "the key", k->name));
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        if (around[i].limits == NULL)
            continue;
        const char *name = named(r, around[i].what, around[i].name);
        struct figures out = figures_of(around[i].limits, NULL, SLICE_NONE, "", k->pos);
        check_inside(r, &f, &out, name);
        check_inside(r, &user, &out, name);
        check_max_tokens(r, &l, &out, name);
    }
}

static void check_key_refs(struct config_reader *r, const struct config_standing *s)
{
    const struct config_key *k = s->key;
    check_plan_ref(r, &k->plan);
    check_organisation_ref(r, &k->organisation);
    if (k->team.n > 0 && s->team == NULL)
        diag_error(&r->diag, reader_where(r, &k->team), "`team`: %s: there is no such team%s",
                   reader_quote(r, &k->team),
                   near(r, k->team, r->c->teams, r->c->teams_n, &config_team_section));
    if (k->use_case.n > 0 && s->use_case == NULL)
        diag_error(
            &r->diag, reader_where(r, &k->use_case), "`use_case`: %s: there is no such use case%s",
            reader_quote(r, &k->use_case),
            near(r, k->use_case, r->c->use_cases, r->c->use_cases_n, &config_use_case_section));
    if (s->team != NULL && s->team->organisation.n > 0 && s->organisation != NULL &&
        k->organisation.n > 0 && !slice_eq(s->organisation->name, k->organisation))
        diag_error(&r->diag, reader_where(r, &k->organisation),
                   "`organisation`: the team %s belongs to %s", diag_quote(&r->diag, k->team),
                   diag_quote(&r->diag, s->organisation->name));
}

/* Who is always the same user cannot say otherwise. */
static void check_may_set(struct config_reader *r, struct config_key *k)
{
    bool given = reader_is_given(r, &k->may_set);
    if (k->may_set.n > 1)
        check_unique_list(r, &k->may_set, "may_set");
    if (k->user.n == 0)
        return;
    for (size_t i = 0; i < k->may_set.n && given; i++) {
        if (slice_is(k->may_set.item[i], "user"))
            diag_error(&r->diag, k->may_set.pos[i],
                       "`may_set`: `user` can never apply: all requests of the key are of the "
                       "user %s",
                       reader_quote(r, &k->user));
    }
    if (!given)
        k->may_set.n = 0;
}

void check_key_policy(struct config_reader *r, struct config_key *k)
{
    struct config_standing s = config_standing(r->c, k);
    check_key_refs(r, &s);
    check_key_limits(r, &s);
    check_rights(r, &k->rights);
    check_rights_meet(r, &s);
    check_key_data(r, &s);
    if (k->networks.n == 0 && reader_is_given(r, &k->networks) && !reader_is_bad(r, &k->networks))
        diag_error(&r->diag, reader_where(r, &k->networks),
                   "`networks`: the list is empty: nothing would be allowed");
    if (k->networks.n > 1)
        check_unique_list(r, &k->networks, "networks");
    check_may_set(r, k);
    if (k->expires_ns > 0 && k->expires_ns <= clock_wall_ns())
        diag_warn(&r->diag, reader_where(r, &k->expires_ns),
                  "`expires` has passed: the key does not count");
}

static void check_users(struct config_reader *r)
{
    const struct config_users *u = &r->c->users;
    const struct config_plan *p = config_find_plan(r->c, u->plan);
    check_plan_ref(r, &u->plan);
    if (p == NULL)
        return;
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (p->limits.most[k] > 0)
            return;
    }
    diag_error(&r->diag, reader_where(r, &u->plan),
               "`plan` can never apply: the plan %s has no `limits`", reader_quote(r, &u->plan));
}

static void check_prices(struct config_reader *r)
{
    const struct config *c = r->c;
    for (size_t i = 0; i < c->prices_n; i++) {
        struct slice pattern = c->prices[i].pattern;
        if (syntax_price_pattern(pattern) != NULL)
            continue; /* reported */
        if (!check_pattern_applies(c, pattern))
            diag_error(&r->diag, c->prices[i].pos,
                       "`prices`: %s matches no provider and no engine%s",
                       diag_quote(&r->diag, pattern), check_near_pattern(r, pattern));
        for (size_t k = 0; k < i; k++) {
            if (!config_pattern_covers(c->prices[k].pattern, pattern))
                continue;
            diag_error(&r->diag, c->prices[i].pos,
                       "`prices`: %s can never apply: %s in line %u goes before it",
                       diag_quote(&r->diag, pattern), diag_quote(&r->diag, c->prices[k].pattern),
                       c->prices[k].pos.line);
            break;
        }
    }
}

/* Texts to numbers in ascending order. */
static void check_alerts(struct config_reader *r)
{
    struct config_alerts *a = &r->c->alerts;
    for (size_t i = 0; i < a->budgets.n && i < ARRAY_LEN(a->percent); i++) {
        int64_t percent = 0;
        size_t at = i;
        if (!amount_parse_percent(a->budgets.item[i], &percent))
            continue; /* reported */
        for (; at > 0 && a->percent[at - 1] > percent; at--)
            a->percent[at] = a->percent[at - 1];
        a->percent[at] = percent;
        if (at > 0 && a->percent[at - 1] == percent)
            diag_error(&r->diag, a->budgets.pos[i], "`budgets`: %s is listed twice",
                       reader_quote(r, &a->budgets.item[i]));
    }
}

static void check_admin_tokens(struct config_reader *r)
{
    const struct config *c = r->c;
    const struct {
        const char *key;
        const struct slice *token;
    } tokens[] = {{"token", &c->admin_token},
                  {"operator_token", &c->operator_token},
                  {"viewer_token", &c->viewer_token}};
    for (size_t i = 1; i < ARRAY_LEN(tokens); i++) {
        for (size_t k = 0; k < i; k++) {
            if (tokens[i].token->n > 0 && slice_eq(*tokens[i].token, *tokens[k].token))
                diag_error(&r->diag, reader_where(r, tokens[i].token),
                           "`%s` is the same as `%s`: nobody could tell which role it is for",
                           tokens[i].key, tokens[k].key);
        }
    }
}

static void check_hardware(struct config_reader *r, struct config_provider *p)
{
    if (p->cost_per_hour >= 0 && p->replicas < 0)
        p->replicas = 1;
    if (p->cost_per_hour < 0 && reader_is_given(r, &p->replicas))
        diag_error(&r->diag, reader_where(r, &p->replicas),
                   "`replicas` can never apply: there is no `cost_per_hour`");
}

/* Offers the zones of an area (empty: those that have none), and of the areas in it. */
static void offer_zones(struct config_reader *r, struct diag_hint *hint, struct slice area)
{
    struct slice folder = arena_printf(&r->scratch, ZONES "/%.*s", SLICE_ARG(area));
    DIR *d = opendir(text_of(r, folder));
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] < 'A' || e->d_name[0] > 'Z')
            continue;
        struct slice zone = arena_printf(&r->scratch, "%.*s%s%s", SLICE_ARG(area),
                                         area.n > 0 ? "/" : "", e->d_name);
        diag_hint_offer(hint, slice_str(text_of(r, zone)));
        if (area.n == 0 && e->d_type == DT_DIR)
            offer_zones(r, hint, zone);
    }
    if (d != NULL)
        closedir(d);
}

static void check_timezone(struct config_reader *r)
{
    const struct slice *zone = &r->c->timezone;
    struct diag_hint hint = diag_hint(*zone);
    if (zone->n == 0 || calendar_zone_exists(*zone))
        return;
    offer_zones(r, &hint, SLICE_NONE);
    diag_error(&r->diag, reader_where(r, zone), "`timezone`: %s: there is no such timezone%s",
               reader_quote(r, zone), diag_hint_text(&r->diag, &hint));
}

void config_check_policy(struct config_reader *r)
{
    struct config *c = r->c;
    /* With the providers unreadable, every reference would be a mistake that is none. */
    bool refs = c->providers_n + c->engines_n > 0 || !diag_failed(&r->diag);
    check_timezone(r);
    check_alerts(r);
    check_admin_tokens(r);
    if ((c->ledger.spool & (c->ledger.spool - 1)) != 0)
        diag_error(&r->diag, reader_where(r, &c->ledger.spool), "`spool` is not a power of two");
    for (size_t i = 0; i < c->providers_n; i++)
        check_hardware(r, &c->providers[i]);
    for (size_t i = 0; i < c->models_n; i++) {
        struct figures f = figures_of(&c->models[i].limits, NULL, SLICE_NONE, "", c->models[i].pos);
        check_within(r, &f);
    }
    if (!refs)
        return;
    for (size_t i = 0; i < c->plans_n; i++)
        check_plan(r, &c->plans[i]);
    for (size_t i = 0; i < c->organisations_n; i++)
        check_organisation(r, &c->organisations[i]);
    for (size_t i = 0; i < c->teams_n; i++)
        check_team(r, &c->teams[i]);
    for (size_t i = 0; i < c->use_cases_n; i++)
        check_use_case(r, &c->use_cases[i]);
    for (size_t i = 0; i < c->keys_n; i++)
        check_key_policy(r, &c->keys[i]);
    check_users(r);
    check_prices(r);
}
