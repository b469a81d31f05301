/* Checks of providers and engines, and of everything that names one. */
#include "config_check.h"
#include "config_cloud.h"
#include "config_policy.h"
#include "config_route.h"
#include "config_syntax.h"
#include "llm/smallest.h"

static const struct config_provider_type *type_find(const struct config_options *o,
                                                    struct slice name)
{
    for (size_t i = 0; i < o->types_n; i++) {
        if (slice_is(name, o->types[i].name))
            return &o->types[i];
    }
    return NULL;
}

static bool has_provider(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->providers_n; i++) {
        if (slice_eq(c->providers[i].name, name))
            return true;
    }
    return false;
}

static bool has_engine(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->engines_n; i++) {
        if (slice_eq(c->engines[i].name, name))
            return true;
    }
    return false;
}

static const char *near_provider(struct config_reader *r, struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    for (size_t i = 0; i < r->c->providers_n; i++)
        diag_hint_offer(&hint, r->c->providers[i].name);
    if (r->c->engines_n > 0)
        diag_hint_offer(&hint, SLICE("engine"));
    return diag_hint_text(&r->diag, &hint);
}

static const char *near_engine(struct config_reader *r, struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    for (size_t i = 0; i < r->c->engines_n; i++)
        diag_hint_offer(&hint, r->c->engines[i].name);
    return diag_hint_text(&r->diag, &hint);
}

/* What types there are, when none is near. */
static const char *types_text(struct config_reader *r, struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    struct slice list = SLICE_NONE;
    for (size_t i = 0; i < r->o->types_n; i++)
        diag_hint_offer(&hint, slice_str(r->o->types[i].name));
    if (hint.best.p != NULL || r->o->types_n == 0)
        return diag_hint_text(&r->diag, &hint);
    for (size_t i = 0; i < r->o->types_n; i++) {
        list =
            arena_printf(&r->scratch, "%s%s%s", i > 0 ? list.p : " (known: ", r->o->types[i].name,
                         i + 1 < r->o->types_n ? ", " : ")");
        if (list.p == NULL) {
            diag_no_memory(&r->diag);
            return "";
        }
    }
    return list.p;
}

static void check_type(struct config_reader *r, struct config_provider *p)
{
    const struct config_provider_type *type = type_find(r->o, p->type);
    if (p->type.p == NULL)
        return;
    if (type == NULL) {
        diag_error(&r->diag, p->type_pos, "`type`: %s is not a type of provider%s",
                   reader_quote(r, &p->type), types_text(r, p->type));
        return;
    }
    if (config_check_cloud(r, p) || p->url.p != NULL || reader_is_given(r, &p->url))
        return;
    if (type->url != NULL) {
        p->url = arena_copy(&r->c->arena, slice_str(type->url));
        if (p->url.p == NULL)
            diag_no_memory(&r->diag);
    } else if (type->needs_url) {
        diag_error(&r->diag, p->pos, "missing key `url`: the type `%s` has no address of its own",
                   type->name);
    }
}

/* Settings of TLS say nothing about a plain URL. */
static void check_plain(struct config_reader *r, const struct config_provider *p)
{
    const struct {
        const char *key;
        const struct slice *value;
    } rows[] = {
        {"sni", &p->sni},
        {"ca_file", &p->ca_file},
        {"client_cert", &p->client_cert},
        {"client_key", &p->client_key},
    };
    if (!slice_starts(p->url, SLICE("http://")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (reader_is_given(r, rows[i].value))
            diag_error(&r->diag, reader_where(r, rows[i].value),
                       "`%s` can never apply: the `url` is plain http", rows[i].key);
    }
}

/* Names of headers know no case. */
static void check_headers(struct config_reader *r, const struct config_map *headers)
{
    for (size_t i = 1; i < headers->n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (slice_eq_nocase(headers->key[i], headers->key[k]) &&
                !slice_eq(headers->key[i], headers->key[k]))
                diag_error(&r->diag, headers->pos[i], "`headers`: %s is the same header as %s",
                           diag_quote(&r->diag, headers->key[i]),
                           diag_quote(&r->diag, headers->key[k]));
        }
    }
}

static int64_t effective_total(const struct config *c, const struct config_timeouts *t)
{
    return t->total_ns >= 0 ? t->total_ns : c->timeouts.total_ns;
}

/* Either one key or several, of the provider's own. */
static void check_api_keys(struct config_reader *r, const struct config_provider *p)
{
    bool given = reader_is_given(r, &p->api_keys);
    if (given && reader_is_given(r, &p->api_key))
        diag_error(&r->diag, reader_where(r, &p->api_keys),
                   "`api_keys` beside `api_key`: a provider has one of the two");
    if (given && p->api_keys.n == 0 && !reader_is_bad(r, &p->api_keys))
        diag_error(&r->diag, reader_where(r, &p->api_keys), "`api_keys`: the list is empty");
    for (size_t i = 0; i < p->api_keys.n; i++) {
        if (slice_is(p->api_keys.item[i], "client"))
            diag_error(&r->diag, p->api_keys.pos[i],
                       "`api_keys`: `client` is no key; write `api_key: client`");
    }
    if (p->api_keys.n > 1)
        check_unique_list(r, &p->api_keys, "api_keys");
}

/* Completions that nobody could be asked for, or never. */
static void check_probe(struct config_reader *r, const struct config_provider *p)
{
    const struct llm_provider *row = llm_provider_find(p->type);
    const char *why = r->c->health.probe_ns == 0 && !reader_is_bad(r, &r->c->health.probe_ns)
                          ? "`health.probe` is 0"
                      : slice_is(p->api_key, "client") ? "the credential is the client's"
                      : row != NULL && llm_smallest_wire(row) == NULL
                          ? "its answers are jobs that take their time"
                          : NULL;
    if (p->probe_with == CONFIG_PROBE_COMPLETION && why != NULL)
        diag_error(&r->diag, reader_where(r, &p->probe_with),
                   "`probe_with`: `completion` can never apply: %s", why);
}

static void check_provider(struct config_reader *r, struct config_provider *p)
{
    p->type_pos = reader_where(r, &p->type);
    p->url_pos = reader_where(r, &p->url);
    check_type(r, p);
    check_api_keys(r, p);
    check_plain(r, p);
    check_headers(r, &p->headers);
    check_client_cert(r, &p->client_cert, &p->client_key);
    check_probe(r, p);
    check_timeouts(r, &p->timeouts, effective_total(r->c, &p->timeouts));
    if (p->models.n > 0)
        check_unique_list(r, &p->models, "models");
    if (p->max_inflight > 0 || p->adaptive_inflight || reader_is_bad(r, &p->max_inflight))
        return;
    if (p->queue > 0 && reader_is_given(r, &p->queue))
        diag_error(&r->diag, reader_where(r, &p->queue),
                   "`queue` can never apply: without `max_inflight` or `adaptive_inflight` "
                   "nothing waits");
    p->queue = 0;
}

/* Both sides of the first slash; false: there is none. */
static bool split_target(struct slice s, struct slice *head, struct slice *rest)
{
    *rest = s;
    *head = slice_cut(rest, '/');
    return head->n < s.n;
}

static bool has_model(const struct config *c, struct slice name)
{
    for (size_t i = 0; i < c->models_n; i++) {
        if (slice_eq(c->models[i].name, name))
            return true;
    }
    return false;
}

/* An alias that may have been meant. */
static const char *near_model(struct config_reader *r, struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    for (size_t i = 0; i < r->c->models_n; i++)
        diag_hint_offer(&hint, r->c->models[i].name);
    return diag_hint_text(&r->diag, &hint);
}

static void check_target(struct config_reader *r, struct config_target *t)
{
    struct config_pos pos = t->use_pos = reader_where(r, &t->use);
    struct slice head, rest;
    if (t->use.p == NULL)
        return;
    const char *shown = reader_quote(r, &t->use);
    bool slash = split_target(t->use, &head, &rest), engine = slash && slice_is(head, "engine");
    bool direct = engine ? has_engine(r->c, rest) : slash && rest.n > 0 && has_provider(r->c, head);
    t->is_alias = !direct && has_model(r->c, t->use);
    if (direct || t->is_alias)
        return;
    if (!slash) {
        const char *text = has_engine(r->c, t->use) ? "an engine's target is engine/name"
                           : has_provider(r->c, t->use)
                               ? "the model is missing"
                               : "write provider/model, engine/name or an alias";
        diag_error(&r->diag, pos, "`use`: %s is not a target: %s%s", shown, text,
                   near_model(r, t->use));
    } else if (engine) {
        diag_error(&r->diag, pos, "`use`: %s: there is no such engine%s", shown,
                   near_engine(r, rest));
    } else if (!has_provider(r->c, head)) {
        diag_error(&r->diag, pos, "`use`: %s: there is no such provider%s", shown,
                   near_provider(r, head));
    } else {
        diag_error(&r->diag, pos, "`use`: %s is not a target: the model is missing", shown);
    }
}

/* Targets first, then fallbacks: the order in which they are tried. */
static struct config_target *model_target(const struct config_model *m, size_t i)
{
    return i < m->targets_n ? &m->targets[i] : &m->fallback[i - m->targets_n];
}

static void check_model(struct config_reader *r, const struct config_model *m)
{
    struct slice head, rest;
    if (split_target(m->name, &head, &rest) &&
        (has_provider(r->c, head) || (slice_is(head, "engine") && r->c->engines_n > 0)))
        diag_error(&r->diag, m->pos, "`models`: the alias %s hides a model of %s",
                   diag_quote(&r->diag, m->name), diag_quote(&r->diag, head));
    if (m->targets_n == 0 && !reader_is_bad(r, &m->targets) && reader_is_given(r, &m->targets))
        diag_error(&r->diag, reader_where(r, &m->targets), "`targets`: the list is empty");
    for (size_t i = 0; i < m->targets_n + m->fallback_n; i++) {
        struct config_target *t = model_target(m, i);
        check_target(r, t);
        for (size_t k = 0; k < i && t->use.p != NULL; k++) {
            if (slice_eq(t->use, model_target(m, k)->use))
                diag_error(&r->diag, reader_where(r, &t->use), "`%s`: %s is listed twice",
                           i < m->targets_n ? "targets" : "fallback", reader_quote(r, &t->use));
        }
    }
}

bool check_pattern_applies(const struct config *c, struct slice pattern)
{
    char name[80];
    bool found = slice_is(pattern, "*");
    for (size_t i = 0; i < c->providers_n && !found; i++) {
        struct slice p = c->providers[i].name;
        if (p.n + 1 > sizeof name)
            continue; /* refused as a name already */
        memcpy(name, p.p, p.n);
        name[p.n] = '/';
        found = syntax_pattern_fits_prefix(pattern, slice_of(name, p.n + 1));
    }
    for (size_t i = 0; i < c->engines_n && !found; i++) {
        struct slice e = c->engines[i].name;
        if (e.n + 7 > sizeof name)
            continue;
        memcpy(name, "engine/", 7);
        memcpy(name + 7, e.p, e.n);
        found = syntax_pattern_matches(pattern, slice_of(name, e.n + 7));
    }
    return found;
}

const char *check_near_pattern(struct config_reader *r, struct slice pattern)
{
    struct slice head, rest;
    bool slash = split_target(pattern, &head, &rest);
    if (slash && slice_is(head, "engine"))
        return near_engine(r, rest);
    if (slash || !has_provider(r->c, head))
        return near_provider(r, head);
    return " (a provider's models are `name/*`)";
}

static void check_expose(struct config_reader *r)
{
    const struct config_list *list = &r->c->expose;
    bool all = false;
    for (size_t i = 0; i < list->n; i++)
        all = all || slice_is(list->item[i], "*");
    for (size_t i = 0; i < list->n; i++) {
        struct slice pattern = list->item[i];
        if (!check_pattern_applies(r->c, pattern))
            diag_error(&r->diag, list->pos[i], "`expose`: %s matches no provider and no engine%s",
                       reader_quote(r, &list->item[i]), check_near_pattern(r, pattern));
        else if (all && !slice_is(pattern, "*"))
            diag_error(&r->diag, list->pos[i], "`expose`: %s adds nothing to `*`",
                       reader_quote(r, &list->item[i]));
    }
    if (list->n > 1)
        check_unique_list(r, list, "expose");
}

static void check_passthrough(struct config_reader *r, bool refs)
{
    const struct config *c = r->c;
    struct check_text *paths = check_texts_new(r, c->passthrough_n);
    size_t n = 0;
    for (size_t i = 0; i < c->passthrough_n && paths != NULL; i++) {
        struct config_passthrough *p = &c->passthrough[i];
        p->to_pos = reader_where(r, &p->to);
        if (refs && p->to.p != NULL && !has_provider(c, p->to))
            diag_error(&r->diag, p->to_pos, "`to`: %s: there is no such provider%s",
                       reader_quote(r, &p->to), near_provider(r, p->to));
        for (size_t k = 0; k < r->o->own_paths_n && p->path.p != NULL; k++) {
            if (slice_is(p->path, r->o->own_paths[k]))
                diag_error(&r->diag, reader_where(r, &p->path),
                           "`path`: %s can never apply: Weir answers it itself",
                           reader_quote(r, &p->path));
        }
        if (p->path.p != NULL)
            paths[n++] = (struct check_text){p->path, reader_where(r, &p->path)};
    }
    if (paths != NULL)
        check_unique(r, paths, n, "path", "this rule can never apply: the path is taken already");
}

void config_check_refs(struct config_reader *r)
{
    struct config *c = r->c;
    /* With the providers unreadable, every reference would be a mistake that is none. */
    bool refs = c->providers_n + c->engines_n > 0 || !diag_failed(&r->diag);
    for (size_t i = 0; i < c->providers_n; i++)
        check_provider(r, &c->providers[i]);
    for (size_t i = 0; i < c->engines_n; i++)
        check_timeouts(r, &c->engines[i].timeouts, effective_total(c, &c->engines[i].timeouts));
    for (size_t i = 0; i < c->models_n && refs; i++)
        check_model(r, &c->models[i]);
    if (refs) {
        config_check_route(r);
        check_expose(r);
    }
    check_passthrough(r, refs);
}
