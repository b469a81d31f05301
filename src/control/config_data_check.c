/* Rules about data: those that contradict each other, and those that nobody meets. */
#include "config_check.h"
#include "config_policy.h"

/* Who demands what, and which lists bind it (0 patterns: everything). */
struct demand {
    const char *what;
    struct slice name;
    struct config_pos pos;
    const char *key; /* in the file */
    struct gw_data_rules rules;
    int data_level;
    struct slice *patterns[CONFIG_RIGHTS_N];
    size_t patterns_n[CONFIG_RIGHTS_N];
};

static bool demands_nothing(const struct demand *d)
{
    return d->rules.location == LOCATION_ANY && d->rules.retention_days < 0 &&
           !d->rules.no_training && d->data_level <= 0;
}

static bool may_go(const struct config *c, const struct demand *d, struct slice use)
{
    struct slice rest = use, head = slice_cut(&rest, '/'), place = config_target_place(c, use);
    struct gw_governance g = config_target_governance(c, use);
    return gw_allows(d->patterns[1], d->patterns_n[1], slice_is(head, "engine") ? rest : head) &&
           gw_allows(d->patterns[2], d->patterns_n[2], place) &&
           gw_governance_fits(&g, &d->rules, d->data_level);
}

/* An alias that is allowed and has no target that is. */
static bool is_out_of_reach(const struct config *c, const struct demand *d,
                            const struct config_model *m)
{
    if (m->route_n == 0 || !gw_allows(d->patterns[0], d->patterns_n[0], m->name))
        return false;
    for (size_t i = 0; i < m->route_n; i++) {
        if (may_go(c, d, m->route[i].target->use))
            return false;
    }
    return true;
}

static void warn_unmet(struct config_reader *r, const struct demand *d)
{
    const struct config *c = r->c;
    struct slice first = SLICE_NONE;
    size_t more = 0;
    if (demands_nothing(d))
        return;
    for (size_t i = 0; i < c->models_n; i++) {
        if (!is_out_of_reach(c, d, &c->models[i]))
            continue;
        more += first.n > 0;
        if (first.n == 0)
            first = c->models[i].name;
    }
    if (first.n == 0)
        return;
    struct slice rest = SLICE("");
    if (more > 0)
        rest = arena_printf(&r->scratch, " (and of %zu more)", more);
    diag_warn(&r->diag, d->pos,
              "`%s`: no target of the alias %s%.*s meets what %s %s demands: its requests will be "
              "refused there",
              d->key, diag_quote(&r->diag, first), SLICE_ARG(rest), d->what,
              diag_quote(&r->diag, d->name));
}

/* The lists of a key with all that binds it. False: they have nothing in common, or no memory. */
static bool bind_rights(struct config_reader *r, const struct config_standing *s, struct demand *d)
{
    for (unsigned w = 0; w < CONFIG_RIGHTS_N; w++) {
        bool nothing = false;
        if (!config_rights_meet(r->c, s, w, &r->scratch, &d->patterns[w], &d->patterns_n[w],
                                &nothing)) {
            diag_no_memory(&r->diag);
            return false;
        }
        if (nothing)
            return false;
    }
    return true;
}

void check_plan_data(struct config_reader *r, const struct config_plan *p)
{
    const struct config_key alone = {.rights = p->rights};
    const struct config_standing s = {.key = &alone};
    struct demand d = {.what = "the plan",
                       .name = p->name,
                       .pos = p->data_rules.pos,
                       .key = "data_rules",
                       .rules = config_data_rules(&p->data_rules, NULL),
                       .data_level = -1};
    if (bind_rights(r, &s, &d))
        warn_unmet(r, &d);
}

void check_key_data(struct config_reader *r, const struct config_standing *s)
{
    const struct config_data_rules *own = &s->key->data_rules;
    const struct config_data_rules *plan = s->plan != NULL ? &s->plan->data_rules : NULL;
    struct demand d = {.what = "the key",
                       .name = s->key->name,
                       .pos = own->pos,
                       .key = "data_rules",
                       .rules = config_data_rules(own, plan),
                       .data_level = -1};
    if (!reader_is_given(r, own)) /* of the plan's alone was spoken there */
        return;
    if (plan != NULL && own->location != CONFIG_LOCATION_UNSET &&
        plan->location != CONFIG_LOCATION_UNSET && own->location != plan->location)
        diag_error(&r->diag, reader_where(r, &own->location),
                   "`location`: the plan %s demands the other one: nothing would be allowed",
                   diag_quote(&r->diag, s->plan->name));
    else if (bind_rights(r, s, &d))
        warn_unmet(r, &d);
}

void check_use_case_data(struct config_reader *r, const struct config_use_case *u)
{
    bool rules = reader_is_given(r, &u->data_rules);
    struct demand d = {.what = "the use case",
                       .name = u->name,
                       .pos = rules ? u->data_rules.pos : reader_where(r, &u->data_class),
                       .key = rules ? "data_rules" : "data_class",
                       .rules = config_data_rules(&u->data_rules, NULL),
                       .data_level = u->data_class};
    warn_unmet(r, &d);
}
