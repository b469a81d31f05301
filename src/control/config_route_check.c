/* Checks of retries, health and aliases, and what aliases come to: one that stands among another's
 * targets is replaced by its own, in place. */
#include "config_route.h"

#include "base/clock.h"
#include "base/strmap.h"
#include "config_check.h"
#include "config_policy.h"

#define CYCLE_SHOWN 16 /* aliases of one in its message */

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

/* A walk over the aliases, those first that others refer to. */
struct walk {
    struct config_reader *r;
    struct strmap names; /* to config_model */
    enum mark *marks;    /* by number of the alias */
    size_t *path;        /* aliases that are open, each referring to the next */
    size_t *next;        /* by number: which of its targets is looked at next */
    size_t path_n;
};

static size_t targets_of(const struct config_model *m)
{
    return m->targets_n + m->fallback_n;
}

static struct config_target *target_of(const struct config_model *m, size_t i)
{
    return i < m->targets_n ? &m->targets[i] : &m->fallback[i - m->targets_n];
}

/* The alias that a target is, or NULL. */
static struct config_model *alias_of(const struct walk *w, const struct config_target *t)
{
    return t->is_alias ? strmap_get(&w->names, t->use) : NULL;
}

/* Reports a way round that ends where it began: at `t`, which is the alias `at`. */
static void report_cycle(struct walk *w, const struct config_target *t, size_t at)
{
    const struct config_model *models = w->r->c->models;
    struct slice way = SLICE_NONE;
    size_t from = 0;
    while (w->path[from] != at)
        from++;
    for (size_t i = from; i < w->path_n; i++) {
        if (i - from == CYCLE_SHOWN) {
            way = arena_printf(&w->r->scratch, "%.*s... -> ", SLICE_ARG(way));
            break;
        }
        way = arena_printf(&w->r->scratch, "%.*s%s -> ", SLICE_ARG(way),
                           diag_quote(&w->r->diag, models[w->path[i]].name));
        if (way.p == NULL)
            break;
    }
    if (way.p == NULL)
        diag_no_memory(&w->r->diag);
    diag_error(&w->r->diag, t->use_pos, "`use`: the aliases go round: %.*s%s", SLICE_ARG(way),
               diag_quote(&w->r->diag, models[at].name));
}

static bool has_route(const struct config_model *m, struct slice use)
{
    for (size_t i = 0; i < m->route_n; i++) {
        if (slice_eq(m->route[i].target->use, use))
            return true;
    }
    return false;
}

/* False: there is no room for it. */
static bool add_route(struct config_model *m, const struct config_target *t, double weight,
                      bool fallback)
{
    if (m->route_n == ROUTE_CANDIDATES_MAX)
        return false;
    m->route[m->route_n++] = (struct config_route){t, weight, fallback};
    return true;
}

/* Does an alias' target stand where the alias is among the targets, or among the fallbacks? */
static bool takes_part(const struct config_route *c, bool fallback)
{
    return fallback || !c->fallback;
}

/* The targets of the alias `of` in the place of `t`. What stands there before is not repeated. */
static bool add_alias(struct config_reader *r, struct config_model *m,
                      const struct config_target *t, const struct config_model *of, bool fallback)
{
    double sum = 0;
    size_t before = m->route_n;
    for (size_t i = 0; i < of->route_n; i++)
        sum += takes_part(&of->route[i], fallback) ? of->route[i].weight : 0;
    for (size_t i = 0; i < of->route_n; i++) {
        const struct config_route *c = &of->route[i];
        double weight = t->weight >= 0 && sum > 0 ? c->weight / sum * (double)t->weight : c->weight;
        if (!takes_part(c, fallback) || has_route(m, c->target->use))
            continue;
        if (!add_route(m, c->target, weight, fallback))
            return false;
    }
    if (m->route_n == before && of->route_n > 0)
        diag_error(&r->diag, t->use_pos,
                   "`use`: %s can never apply: all that stands behind it is listed before",
                   diag_quote(&r->diag, t->use));
    return true;
}

static void check_alias_figures(struct config_reader *r, const struct config_target *t)
{
    const struct {
        const char *key;
        const int64_t *value;
    } rows[] = {
        {"quality", &t->quality}, {"max_complexity", &t->max_complexity}, {"context", &t->context}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (reader_is_given(r, rows[i].value))
            diag_error(&r->diag, reader_where(r, rows[i].value),
                       "`%s` can never apply: %s is an alias, whose targets say it themselves",
                       rows[i].key, diag_quote(&r->diag, t->use));
    }
    if (t->supports.pos.line > 0)
        diag_error(&r->diag, t->supports.pos,
                   "`supports` can never apply: %s is an alias, whose targets say it themselves",
                   diag_quote(&r->diag, t->use));
}

/* What the alias comes to, once all those that it refers to are known. */
static void resolve(struct walk *w, struct config_model *m)
{
    struct config_reader *r = w->r;
    m->route = arena_zalloc(&r->c->arena, ROUTE_CANDIDATES_MAX * sizeof *m->route);
    if (m->route == NULL) {
        diag_no_memory(&r->diag);
        return;
    }
    for (size_t i = 0; i < targets_of(m); i++) {
        const struct config_target *t = target_of(m, i);
        const struct config_model *of = alias_of(w, t);
        bool fallback = i >= m->targets_n, fits = true;
        if (of != NULL) {
            bool known = w->marks[of - r->c->models] == MARK_DONE; /* else it goes round */
            check_alias_figures(r, t);
            fits = !known || add_alias(r, m, t, of, fallback);
        } else if (t->use.p != NULL && !has_route(m, t->use)) {
            fits = add_route(m, t, t->weight >= 0 ? (double)t->weight : 1, fallback);
        }
        if (!fits) {
            diag_error(&r->diag, t->use_pos,
                       "`use`: with %s the alias has more than %d targets, those of other "
                       "aliases counted",
                       diag_quote(&r->diag, t->use), ROUTE_CANDIDATES_MAX);
            return;
        }
    }
}

/* One step on the way to alias `at`: into the next one that it refers to, or out of it. */
static void step(struct walk *w, size_t at)
{
    struct config *c = w->r->c;
    while (w->next[at] < targets_of(&c->models[at])) {
        const struct config_target *t = target_of(&c->models[at], w->next[at]++);
        const struct config_model *to = alias_of(w, t);
        size_t k = to != NULL ? (size_t)(to - c->models) : 0;
        if (to == NULL || w->marks[k] == MARK_DONE)
            continue;
        if (w->marks[k] == MARK_OPEN) {
            report_cycle(w, t, k);
            continue;
        }
        w->marks[k] = MARK_OPEN;
        w->path[w->path_n++] = k;
        return;
    }
    resolve(w, &c->models[at]);
    w->marks[at] = MARK_DONE;
    w->path_n--;
}

static void resolve_all(struct config_reader *r)
{
    struct config *c = r->c;
    size_t n = c->models_n;
    struct walk w = {.r = r};
    w.marks = arena_zalloc(&r->scratch, MAX_OF(n, (size_t)1) * sizeof *w.marks);
    w.path = arena_zalloc(&r->scratch, MAX_OF(n, (size_t)1) * sizeof *w.path);
    w.next = arena_zalloc(&r->scratch, MAX_OF(n, (size_t)1) * sizeof *w.next);
    if (w.marks == NULL || w.path == NULL || w.next == NULL ||
        !strmap_init(&w.names, &r->scratch, n)) {
        diag_no_memory(&r->diag);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct slice name = c->models[i].name;
        bool twice = name.p == NULL || strmap_get(&w.names, name) != NULL; /* reported */
        if (!twice && !strmap_add(&w.names, name, &c->models[i]))
            diag_no_memory(&r->diag);
    }
    for (size_t i = 0; i < n; i++) {
        if (w.marks[i] != MARK_NEW)
            continue;
        w.marks[i] = MARK_OPEN;
        w.path[w.path_n++] = i;
        while (w.path_n > 0)
            step(&w, w.path[w.path_n - 1]);
    }
}

/* ---- What an alias says of them */

static struct config_pos strategy_pos(const struct config_reader *r, const struct config_model *m)
{
    return reader_is_given(r, &m->strategy) ? reader_where(r, &m->strategy) : m->pos;
}

static void check_weights(struct config_reader *r, const struct config_model *m)
{
    double sum = 0;
    size_t own = 0;
    for (size_t i = 0; i < m->route_n; i++) {
        if (reader_is_bad(r, &m->route[i].target->weight))
            return;
        own += !m->route[i].fallback;
        sum += m->route[i].fallback ? 0 : m->route[i].weight;
    }
    if (own > 0 && sum <= 0)
        diag_error(&r->diag, reader_where(r, &m->targets),
                   "`targets`: their weights come to 0: no request could go anywhere");
}

/* Strategies that go by a figure need one somewhere. */
static void check_figures(struct config_reader *r, const struct config_model *m)
{
    bool quality = false, complexity = false;
    for (size_t i = 0; i < m->route_n; i++) {
        const struct config_target *t = m->route[i].target;
        quality = quality || (t->quality >= 0 && !m->route[i].fallback);
        complexity = complexity || (t->max_complexity >= 0 && !m->route[i].fallback);
    }
    bool lacks = (m->strategy == ROUTE_QUALITY && !quality) ||
                 (m->strategy == ROUTE_COMPLEXITY && !complexity);
    if (lacks)
        diag_error(&r->diag, strategy_pos(r, m), "`strategy`: `%s` needs `%s` of a target",
                   route_strategy_name(m->strategy),
                   m->strategy == ROUTE_QUALITY ? "quality" : "max_complexity");
}

static void check_region(struct config_reader *r, const struct config_model *m, size_t i)
{
    struct diag_hint hint = diag_hint(m->regions.item[i]);
    for (size_t k = 0; k < m->route_n; k++) {
        struct slice place = config_target_place(r->c, m->route[k].target->use);
        if (place.n > 0 && config_pattern_covers(m->regions.item[i], place))
            return;
        if (place.n > 0)
            diag_hint_offer(&hint, place);
    }
    diag_error(&r->diag, m->regions.pos[i], "`regions`: %s: no target of the alias is there%s",
               reader_quote(r, &m->regions.item[i]), diag_hint_text(&r->diag, &hint));
}

static void check_regions(struct config_reader *r, const struct config_model *m)
{
    bool given = reader_is_given(r, &m->regions);
    if (given && m->strategy != ROUTE_REGION) {
        diag_error(&r->diag, reader_where(r, &m->regions),
                   "`regions` can never apply: the strategy is `%s`",
                   route_strategy_name(m->strategy));
        return;
    }
    if (m->strategy == ROUTE_REGION && m->regions.n == 0 && !reader_is_bad(r, &m->regions))
        diag_error(&r->diag, strategy_pos(r, m), "`strategy`: `region` needs `regions`");
    for (size_t i = 0; i < m->regions.n; i++)
        check_region(r, m, i);
    if (m->regions.n > 1)
        check_unique_list(r, &m->regions, "regions");
}

static void check_hedge(struct config_reader *r, struct config_model *m)
{
    struct config_hedge *h = &m->hedge;
    if (h->after.p == NULL)
        return;
    if (slice_is(h->after, "p95"))
        h->after_ns = -1;
    else if (!clock_parse_duration(h->after.p, h->after.n, &h->after_ns))
        h->after_ns = 0; /* reported */
    if (m->route_n == 1)
        diag_error(&r->diag, h->pos, "`hedge` can never apply: there is one target only");
}

static void check_alias(struct config_reader *r, struct config_model *m)
{
    m->strategy_pos = strategy_pos(r, m);
    if (reader_is_bad(r, &m->strategy))
        return;
    check_weights(r, m);
    check_figures(r, m);
    check_regions(r, m);
    check_hedge(r, m);
    if (reader_is_given(r, &m->session) && m->strategy != ROUTE_STICKY)
        diag_error(&r->diag, reader_where(r, &m->session),
                   "`session` can never apply: the strategy is `%s`",
                   route_strategy_name(m->strategy));
}

/* `small` is not above `large`, where one of them was named. */
static void check_order(struct config_reader *r, const int64_t *small, const char *small_name,
                        const int64_t *large, const char *large_name)
{
    if (*small <= *large || reader_is_bad(r, small) || reader_is_bad(r, large))
        return;
    bool given = reader_is_given(r, small);
    diag_error(&r->diag, reader_where(r, given ? small : large),
               "`%s` is larger than `%s` and can never apply", small_name, large_name);
}

void config_check_route(struct config_reader *r)
{
    struct config *c = r->c;
    int64_t *v = c->health.settings.v;
    check_order(r, &c->retry.backoff_ns, "backoff", &c->retry.max_backoff_ns, "max_backoff");
    check_order(r, &v[HEALTH_EJECTION], "ejection", &v[HEALTH_MAX_EJECTION], "max_ejection");
    resolve_all(r);
    for (size_t i = 0; i < c->models_n; i++)
        check_alias(r, &c->models[i]);
}
