/* Firing the ways that requests take: each target alone, then those before it failing. */
#include "base/clock.h"
#include "fire.h"

/* ---- each target alone, for each kind of key */

static bool ask_one(struct fire *f, const struct fire_key *k, const struct fire_endpoint *e,
                    bool stream)
{
    struct slice name = arena_printf(&f->arena, FIRE_ONE "%.*s", SLICE_ARG(e->label));
    fire_ask(f, k->token, name, stream);
    return fire_is_good(f, stream);
}

/* May the key's requests go there? `*said`: that it answers is reported once. */
static void fire_target(struct fire *f, struct fire_key *key, size_t i, bool *said)
{
    struct fire_endpoint *e = &f->endpoint[i];
    bool good = ask_one(f, key, e, false) && (*said || ask_one(f, key, e, true));
    key->may[i] = e->asked > 0;
    key->why[i] = good ? SLICE_NONE : fire_say(f);
    if (key->may[i] && !*said) {
        fire_row(f, "target", e->label, SLICE("answer"), good ? FIRE_OK : FIRE_FAILED, key->why[i]);
        if (!good)
            fire_print(f, "FAILED %.*s answers, but the gateway: %.*s\n", SLICE_ARG(e->label),
                       SLICE_ARG(key->why[i]));
        *said = true;
    }
    fire_calm(f);
}

static void fire_targets(struct fire *f)
{
    for (size_t i = 0; i < f->endpoints_n; i++) {
        const struct fire_endpoint *e = &f->endpoint[i];
        const char *unknown = fire_unknown_wire(e->row);
        bool said = false;
        if (unknown != NULL) {
            fire_row(f, "target", e->label, SLICE("answer"), FIRE_SKIPPED,
                     arena_printf(&f->arena, "wire %s", unknown));
            fire_print(f, "%.*s: not fired: wire %s\n", SLICE_ARG(e->label), unknown);
        }
        for (size_t k = 0; k < f->keys_n && unknown == NULL; k++)
            fire_target(f, &f->key[k], i, &said);
    }
}

/* ---- who may use an alias */

bool fire_key_allows(const struct fire_key *k, const struct fire_alias *a)
{
    return k->key == NULL || gw_allows(k->key->models, k->key->models_n, a->model->name);
}

/* A budget of the alias' own, which its targets alone do not have, needs a price. */
static bool lacks_price(const struct fire_alias *a, size_t t)
{
    return a->model->targets[t].price == NULL && fire_has_budget(&a->model->scope);
}

bool fire_may(const struct fire_key *k, const struct fire_alias *a, size_t t)
{
    return k->may[a->endpoint[t]] && !lacks_price(a, t);
}

/* Which rule keeps the key's requests away from a provider; empty: none does. */
static const char *rule_of(const struct gw_key *k, const struct gw_provider *p)
{
    if (k == NULL)
        return "";
    if (!gw_allows(k->providers, k->providers_n, p->name))
        return "its `providers` leave it out";
    if (!gw_allows(k->regions, k->regions_n, p->place))
        return "its `regions` leave it out";
    if (!gw_governance_fits(&p->governance, &k->rules, -1))
        return "its `data_rules` forbid it";
    if (k->use_case != NULL &&
        !gw_governance_fits(&p->governance, &k->use_case->rules, k->use_case->data_level))
        return "the data of its use case may not go there";
    return "";
}

/* What the gateway said, or which rule made it say so. */
static struct slice why_not(const struct fire_key *k, const struct fire_alias *a, size_t t)
{
    const struct gw_target *target = &a->model->targets[t];
    const char *rule = rule_of(k->key, target->provider);
    if (rule[0] != '\0')
        return slice_str(rule);
    return lacks_price(a, t) ? SLICE("its price is not known, and the alias has a budget")
                             : k->why[a->endpoint[t]];
}

static bool can_fire(struct fire *f, const struct fire_alias *a, size_t t)
{
    return fire_unknown_wire(fire_endpoint_of(f, a, t)->row) == NULL;
}

static unsigned reach(const struct fire_key *k, const struct fire_alias *a)
{
    unsigned n = 0;
    for (size_t t = 0; t < a->model->targets_n; t++)
        n += fire_may(k, a, t);
    return n;
}

static void choose_key(struct fire *f, struct fire_alias *a)
{
    unsigned most = 0;
    for (size_t k = 0; k < f->keys_n; k++) {
        unsigned n = fire_key_allows(&f->key[k], a) ? reach(&f->key[k], a) : 0;
        if (n > most)
            a->key = &f->key[k];
        most = MAX_OF(most, n);
    }
}

static void put_key_name(struct fire *f, const struct fire_key *k)
{
    buf_printf(&f->line, "key %.*s", SLICE_ARG(k->name));
    if (k->n > 1)
        buf_printf(&f->line, " and %zu like it", k->n - 1);
}

/* Is there a key whose requests get there? `*ret_one`: one that may ask for the alias. */
static bool is_reached(const struct fire *f, const struct fire_alias *a, size_t t,
                       const struct fire_key **ret_one)
{
    for (size_t k = 0; k < f->keys_n; k++) {
        if (!fire_key_allows(&f->key[k], a))
            continue;
        *ret_one = &f->key[k];
        if (fire_may(&f->key[k], a, t))
            return true;
    }
    return false;
}

/* All that the key may use fails: does its request go where it may not? */
static void fire_escape(struct fire *f, const struct fire_alias *a, const struct fire_key *k)
{
    size_t n = a->model->targets_n;
    fire_calm(f);
    for (size_t t = 0; t < n; t++)
        fire_fault_set(fire_endpoint_of(f, a, t),
                       fire_may(k, a, t) ? FAULT_STATUS_500 : FAULT_NONE);
    fire_ask(f, k->token, a->model->name, false);
    for (size_t t = 0; t < n; t++) {
        const struct fire_endpoint *e = fire_endpoint_of(f, a, t);
        const char *rule = rule_of(k->key, a->model->targets[t].provider);
        if (e->asked == 0 || !can_fire(f, a, t) || (fire_may(k, a, t) && rule[0] == '\0'))
            continue;
        struct slice detail =
            arena_printf(&f->arena, "its request was sent to %.*s, but %s", SLICE_ARG(e->label),
                         rule[0] != '\0' ? rule : "it may not go there");
        fire_row(f, "key", k->name, a->model->name, FIRE_FAILED, detail);
        fire_print(f, "  FAILED key %.*s: %.*s\n", SLICE_ARG(k->name), SLICE_ARG(detail));
    }
    fire_calm(f);
}

/* The key may ask for the alias: what of it does it get? */
static void judge_key(struct fire *f, const struct fire_alias *a, const struct fire_key *k)
{
    struct slice why = SLICE_NONE;
    const struct fire_key *other;
    bool none = reach(k, a) == 0;
    unsigned n = 0;
    for (size_t t = 0; t < a->model->targets_n; t++) {
        if (fire_may(k, a, t) || !can_fire(f, a, t) || (!none && !is_reached(f, a, t, &other)))
            continue;
        buf_printf(&f->line, n++ == 0 ? "  " : ", ");
        if (n == 1) {
            put_key_name(f, k);
            buf_lit(&f->line, " gets no ");
        }
        buf_slice(&f->line, a->model->targets[t].label);
        why = why_not(k, a, t);
    }
    if (n == 0)
        return;
    buf_printf(&f->line, ": %.*s", SLICE_ARG(why));
    fire_row(f, "key", k->name, a->model->name, none ? FIRE_FAILED : FIRE_NOTE,
             slice_from(buf_view(&f->line), 2));
    if (none)
        fire_print(f, "  FAILED");
    fire_print_line(f);
}

/* No key's requests reach it; `k` is one of them. */
static void judge_unreached(struct fire *f, const struct fire_alias *a, size_t t,
                            const struct fire_key *k)
{
    struct slice label = a->model->targets[t].label, why = why_not(k, a, t);
    if (k->key != NULL)
        why = arena_printf(&f->arena, "key %.*s: %.*s", SLICE_ARG(k->name), SLICE_ARG(why));
    fire_row(f, "alias", a->model->name, label, FIRE_FAILED, why);
    fire_print(f, "  FAILED %.*s is never asked: %.*s\n", SLICE_ARG(label), SLICE_ARG(why));
}

/* Targets that no key's requests reach, and keys that reach nothing. */
static void judge_rights(struct fire *f, const struct fire_alias *a)
{
    unsigned allowed = 0;
    for (size_t k = 0; k < f->keys_n; k++)
        allowed += fire_key_allows(&f->key[k], a);
    if (allowed == 0) {
        fire_row(f, "alias", a->model->name, SLICE("keys"), FIRE_SKIPPED,
                 SLICE("no key may use it"));
        fire_print(f, "  not fired: no key may use it\n");
        return;
    }
    for (size_t t = 0; t < a->model->targets_n; t++) {
        const struct fire_key *one = NULL;
        if (can_fire(f, a, t) && !is_reached(f, a, t, &one) && one != NULL)
            judge_unreached(f, a, t, one);
    }
    for (size_t k = 0; k < f->keys_n; k++) {
        if (!fire_key_allows(&f->key[k], a) || f->key[k].key == NULL)
            continue;
        judge_key(f, a, &f->key[k]);
        fire_escape(f, a, &f->key[k]);
    }
}

/* ---- fallbacks */

/* The targets that take part. */
struct chain {
    const struct fire_alias *alias;
    size_t at[ROUTE_CANDIDATES_MAX]; /* their numbers */
    size_t n, attempts;
    bool ordered; /* they are asked as they stand */
};

static struct chain chain_of(struct fire *f, const struct fire_alias *a)
{
    const struct gw_model *m = a->model;
    struct chain c = {.alias = a, .attempts = f->snapshot->retry.attempts};
    size_t mains = 0;
    for (size_t t = 0; t < m->targets_n; t++) {
        if (!can_fire(f, a, t) || !fire_may(a->key, a, t))
            continue;
        c.at[c.n++] = t;
        mains += !m->targets[t].fallback;
    }
    c.ordered = m->strategy == ROUTE_ORDERED || mains <= 1;
    return c;
}

/* Those fail that are asked before number `to`: in no certain order, as many others as there are
 * attempts for. */
static void fail_others(struct fire *f, const struct chain *c, size_t to, enum fire_fault fault)
{
    size_t n = c->ordered ? to : MIN_OF(c->n, c->attempts) - 1;
    for (size_t i = 0; i < n; i++) {
        size_t who = c->ordered ? i : (to + 1 + i) % c->n;
        fire_fault_set(fire_endpoint_of(f, c->alias, c->at[who]), fault);
    }
}

static void put_asked(struct fire *f, const struct chain *c)
{
    unsigned any = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct fire_endpoint *e = fire_endpoint_of(f, c->alias, c->at[i]);
        if (e->asked == 0)
            continue;
        buf_printf(&f->line, "%s%.*s", any++ == 0 ? " (asked: " : ", ", SLICE_ARG(e->label));
        if (e->asked > 1)
            buf_printf(&f->line, " %u times", e->asked);
    }
    if (any > 0)
        buf_char(&f->line, ')');
}

/* Does the request end at number `to` when the others fail like that? */
static bool ends_at(struct fire *f, const struct chain *c, size_t to, enum fire_fault fault)
{
    const struct fire_alias *a = c->alias;
    bool stream = fault == FAULT_CUT || fault == FAULT_SILENCE, silent = fault == FAULT_SILENCE;
    const struct fire_endpoint *e = fire_endpoint_of(f, a, c->at[to]);
    struct slice name =
        arena_printf(&f->arena, "%s%.*s", silent ? FIRE_SILENT : "", SLICE_ARG(a->model->name));
    fire_calm(f);
    fail_others(f, c, to, fault);
    fire_ask(f, a->key->token, name, stream);
    bool is_there = slice_is(e->label, f->answer.target);
    for (size_t i = 0; i < c->n && !c->ordered && !is_there; i++) {
        const struct fire_endpoint *other = fire_endpoint_of(f, a, c->at[i]);
        is_there = slice_is(other->label, f->answer.target) && other->fault == FAULT_NONE;
    }
    return is_there && fire_is_good(f, stream);
}

/* A target whose silence nothing ends though there is another, or the chain's length. */
static size_t endless(const struct chain *c)
{
    size_t i = 0, last = c->ordered ? MIN_OF(c->n, c->attempts) - 1 : c->n;
    for (; i < c->n; i++) {
        if (i == last)
            return c->n;
        const int64_t *ns = c->alias->silent->targets[c->at[i]].provider->timeouts.ns;
        if (ns[TIMEOUT_HEAD] == 0 && ns[TIMEOUT_FIRST_TOKEN] == 0)
            break;
    }
    return i;
}

/* What goes wrong, as a line of its own behind the alias'. */
static void put_failure(struct fire *f, const struct chain *c, size_t to, enum fire_fault fault,
                        struct buf *wrong)
{
    size_t from = f->line.n;
    struct slice said = fire_say(f);
    buf_printf(&f->line, "%.*s does not take over: %.*s",
               SLICE_ARG(fire_endpoint_of(f, c->alias, c->at[to])->label), SLICE_ARG(said));
    put_asked(f, c);
    struct slice detail = slice_from(buf_view(&f->line), from);
    buf_printf(wrong, "  FAILED %s: %.*s\n", fire_fault_name(fault), SLICE_ARG(detail));
    fire_row(f, "fallback", c->alias->model->name, slice_str(fire_fault_name(fault)), FIRE_FAILED,
             detail);
    f->line.n = from;
}

static void put_endless(struct fire *f, const struct chain *c, size_t who, struct buf *wrong)
{
    struct slice label = fire_endpoint_of(f, c->alias, c->at[who])->label;
    struct slice detail = arena_printf(
        &f->arena,
        "nothing ends the silence of %.*s: its `timeouts` have no `head` and no `first_token`",
        SLICE_ARG(label));
    buf_printf(wrong, "  FAILED silence: %.*s\n", SLICE_ARG(detail));
    fire_row(f, "fallback", c->alias->model->name, SLICE("silence"), FIRE_FAILED, detail);
}

/* Silence takes its time: only the longest way is fired. */
static bool fire_fault(struct fire *f, const struct chain *c, enum fire_fault fault,
                       struct buf *wrong)
{
    size_t last = c->ordered ? MIN_OF(c->n, c->attempts) - 1 : c->n - 1;
    size_t from = fault == FAULT_SILENCE ? last : c->ordered ? 1 : 0;
    size_t who = fault == FAULT_SILENCE ? endless(c) : c->n;
    if (who < c->n) {
        put_endless(f, c, who, wrong);
        return false;
    }
    for (size_t to = from; to <= last; to++) {
        bool ok = false;
        /* silence is timed, and the machine may be busy for so long */
        for (int tries = fault == FAULT_SILENCE ? 3 : 1; tries > 0 && !ok; tries--)
            ok = ends_at(f, c, to, fault);
        if (ok)
            continue;
        put_failure(f, c, to, fault, wrong);
        return false;
    }
    fire_row(f, "fallback", c->alias->model->name, slice_str(fire_fault_name(fault)), FIRE_OK,
             SLICE_NONE);
    return true;
}

/* ---- what is worth knowing of a chain that works */

/* Time limits are not fired at their length: does the limit of the whole exchange leave time? */
static void note_total(struct fire *f, const struct chain *c, struct buf *notes)
{
    int64_t since = 0;
    for (size_t i = 0; i < MIN_OF(c->n, c->attempts) && c->ordered; i++) {
        const struct gw_target *t = &c->alias->model->targets[c->at[i]];
        const struct gw_provider *p = fire_configured(f, t->provider);
        const int64_t *ns = p->timeouts.ns;
        if (ns[TIMEOUT_TOTAL] > 0 && since >= ns[TIMEOUT_TOTAL]) {
            struct slice detail = arena_printf(
                &f->arena,
                "if those before it are silent, `timeouts.total` (%lld s) ends the request before "
                "%.*s is asked",
                (long long)(ns[TIMEOUT_TOTAL] / NS_PER_S), SLICE_ARG(t->label));
            buf_printf(notes, "  %.*s\n", SLICE_ARG(detail));
            fire_row(f, "note", c->alias->model->name, t->label, FIRE_NOTE, detail);
            return;
        }
        since += fire_silence_ns(p);
    }
}

/* What the first target can be asked for, and this one cannot: by what routing knows of its model,
 * and by what becomes of such a request. */
static void note_wishes(struct fire *f, const struct chain *c, struct buf *notes)
{
    static const unsigned needs[WISHES_N] = {[WISH_TOOLS] = LLM_NEEDS_TOOLS,
                                             [WISH_IMAGES] = LLM_NEEDS_IMAGES,
                                             [WISH_SCHEMA] = LLM_NEEDS_SCHEMA};
    bool first[WISHES_N] = {false};
    for (size_t i = 0; i < c->n; i++) {
        const struct gw_target *t = &c->alias->model->targets[c->at[i]];
        struct slice label = fire_endpoint_of(f, c->alias, c->at[i])->label;
        struct slice name = arena_printf(&f->arena, FIRE_ONE "%.*s", SLICE_ARG(label));
        size_t from = f->line.n;
        for (enum fire_wish w = WISH_TOOLS; w < WISHES_N; w++) {
            fire_ask_for(f, c->alias->key->token, name, w);
            bool can = f->answer.status == 200 && !f->answer.dropped &&
                       !((t->lacks | t->lacks_by_table) & needs[w]);
            first[w] |= i == 0 && can;
            if (first[w] && !can)
                buf_printf(&f->line, "%s%s", f->line.n > from ? ", " : "", fire_wish_name(w));
        }
        struct slice lacks = slice_from(buf_view(&f->line), from);
        if (lacks.n > 0) {
            buf_printf(notes, "  %.*s cannot take over requests with %.*s\n", SLICE_ARG(label),
                       SLICE_ARG(lacks));
            fire_row(f, "note", c->alias->model->name, label, FIRE_NOTE,
                     arena_printf(&f->arena, "lacks %.*s", SLICE_ARG(lacks)));
        }
        f->line.n = from;
    }
}

static void note_attempts(struct fire *f, const struct chain *c, struct buf *notes)
{
    struct slice detail;
    if (c->n <= c->attempts)
        return;
    detail = arena_printf(&f->arena,
                          "one request asks at most %zu of its %zu targets "
                          "(`retry.attempts`)",
                          c->attempts, c->n);
    buf_printf(notes, "  %.*s\n", SLICE_ARG(detail));
    fire_row(f, "note", c->alias->model->name, SLICE("attempts"), FIRE_NOTE, detail);
}

static void fire_chain(struct fire *f, const struct fire_alias *a)
{
    struct chain c = chain_of(f, a);
    struct buf wrong;
    if (c.n < 2) {
        if (c.n == 1)
            buf_printf(&f->line, "  %s; nothing to fall back to",
                       a->model->targets_n == 1 ? "answers" : "one of them can be asked");
        return;
    }
    if (c.attempts < 2) {
        buf_lit(&f->line, "  no fallback: `retry.attempts` is 1");
        fire_row(f, "fallback", a->model->name, SLICE("attempts"), FIRE_FAILED,
                 SLICE("`retry.attempts` is 1"));
        return;
    }
    buf_init(&wrong, (size_t)1 << 16);
    for (enum fire_fault fault = FAULT_REFUSED; fault <= FAULT_HTML; fault++) {
        bool ok = fire_fault(f, &c, fault, &wrong);
        buf_printf(&f->line, "%s%s %s", fault == FAULT_REFUSED ? "  " : ", ",
                   fire_fault_name(fault), ok ? "ok" : "FAILED");
    }
    fire_calm(f);
    note_attempts(f, &c, &wrong);
    note_total(f, &c, &wrong);
    note_wishes(f, &c, &wrong);
    fire_print_line(f);
    fire_print(f, SLICE_FMT, SLICE_ARG(buf_view(&wrong)));
    buf_done(&wrong);
}

static void fire_alias(struct fire *f, struct fire_alias *a)
{
    const struct gw_model *m = a->model;
    choose_key(f, a);
    buf_printf(&f->line, "%.*s:", SLICE_ARG(m->name));
    for (size_t t = 0; t < m->targets_n; t++)
        buf_printf(&f->line, "%s%.*s",
                   t == 0                                                   ? " "
                   : m->strategy == ROUTE_ORDERED || m->targets[t].fallback ? " -> "
                                                                            : " | ",
                   SLICE_ARG(m->targets[t].label));
    if (a->key != NULL)
        fire_chain(f, a);
    fire_print_line(f);
    judge_rights(f, a);
    fire_calm(f);
}

void fire_routes(struct fire *f)
{
    fire_targets(f);
    for (size_t i = 0; i < f->aliases_n; i++)
        fire_alias(f, &f->alias[i]);
}
