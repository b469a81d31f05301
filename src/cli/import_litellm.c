/* A LiteLLM proxy configuration (docs.litellm.ai/docs/proxy/config_settings): its models, how they
 * stand in for each other, and the settings that have a counterpart. */
#include "import_litellm.h"

#include <stdio.h>
#include <stdlib.h>

bool import_seconds(struct slice text, int64_t *ret_ms)
{
    struct slice rest = text, whole = slice_cut(&rest, '.');
    uint64_t s, ms = 0;
    if (!slice_to_u64(whole, &s) || s > 86400)
        return false;
    for (unsigned i = 0, unit = 100; i < 3 && i < rest.n; i++, unit /= 10) {
        if (rest.p[i] < '0' || rest.p[i] > '9')
            return false;
        ms += (uint64_t)(rest.p[i] - '0') * unit;
    }
    *ret_ms = (int64_t)(s * 1000 + ms);
    return *ret_ms > 0;
}

void import_put_value(struct buf *out, struct slice text)
{
    struct slice prefix = SLICE("os.environ/");
    struct buf variable;
    if (!slice_starts(text, prefix)) {
        import_put_text(out, text, false);
        return;
    }
    buf_init(&variable, text.n + 4);
    buf_printf(&variable, "${%.*s}", (int)(text.n - prefix.n), text.p + prefix.n);
    import_put_text(out, buf_view(&variable), true);
    buf_done(&variable);
}

static struct import_model *get_model(struct import *im, struct slice name, size_t line)
{
    for (struct import_model *m = im->models; m != NULL; m = m->next) {
        if (slice_eq(m->name, name))
            return m;
    }
    struct import_model *m = import_new(im, sizeof *m);
    m->name = import_copy(im, name);
    m->line = line;
    import_append(&im->models, m);
    return m;
}

static struct import_model *known_model(struct import *im, struct slice name)
{
    for (struct import_model *m = im->models; m != NULL; m = m->next) {
        if (slice_eq(m->name, name))
            return m;
    }
    return NULL;
}

static void add_name(struct import *im, struct import_name **list, struct slice text, size_t line)
{
    struct import_name *n = import_new(im, sizeof *n);
    n->text = import_copy(im, text);
    n->line = line;
    import_append(list, n);
}

static void read_limits(struct import *im, struct import_model *m, struct yvalue params)
{
    static const char *const keys[IMPORT_LIMITS_N] = {"rpm", "tpm", "max_parallel_requests"};
    for (unsigned i = 0; i < IMPORT_LIMITS_N; i++) {
        struct yvalue v = yvalue_get(params, keys[i]);
        uint64_t n;
        if (!yvalue_is(v))
            continue;
        if (!slice_to_u64(yvalue_text(v), &n) || n == 0 || n > INT64_C(1) << 40) {
            import_note(im, yvalue_line(v), "`%s` is no limit", keys[i]);
            continue;
        }
        m->limit[i] += (int64_t)n;
        m->limited[i]++;
    }
}

static const struct cost {
    const char *theirs, *ours;
} costs[] = {{"input_cost_per_token", "input"},
             {"output_cost_per_token", "output"},
             {"cache_read_input_token_cost", "cached"},
             {"cache_creation_input_token_cost", "cache_write"}};

bool import_is_cost(struct slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
        if (slice_is(key, costs[i].theirs))
            return true;
    }
    return false;
}

/* A price per token as one per million, to nano-dollars. */
static bool put_cost(struct buf *out, const char *name, struct slice text)
{
    char number[64], *end;
    if (text.n == 0 || text.n >= sizeof number)
        return false;
    memcpy(number, text.p, text.n);
    number[text.n] = '\0';
    double per_token = strtod(number, &end);
    if (*end != '\0' || !(per_token >= 0) || per_token > 1)
        return false;
    buf_printf(out, "%s%s: %.9f", out->n > 0 ? ", " : "", name, per_token * 1e6);
    while (out->n > 2 && out->p[out->n - 1] == '0' && out->p[out->n - 2] != '.')
        out->n--;
    return true;
}

static void read_costs(struct import *im, const struct import_target *t, struct yvalue params,
                       struct yvalue info)
{
    struct buf text;
    buf_init(&text, 1024);
    for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
        struct yvalue v = yvalue_get(params, costs[i].theirs);
        v = yvalue_is(v) ? v : yvalue_get(info, costs[i].theirs);
        if (yvalue_is(v) && !put_cost(&text, costs[i].ours, yvalue_text(v)))
            import_note(im, yvalue_line(v), "`%s` is no price", costs[i].theirs);
    }
    for (struct import_price *p = im->prices; p != NULL && text.n > 0; p = p->next) {
        if (p->provider == t->provider && slice_eq(p->model, t->model))
            text.n = 0; /* the first one counts */
    }
    if (text.n > 0) {
        struct import_price *p = import_new(im, sizeof *p);
        p->provider = t->provider;
        p->model = t->model;
        p->text = import_copy(im, buf_view(&text));
        import_append(&im->prices, p);
    }
    buf_done(&text);
}

static void read_info(struct import *im, struct yvalue info)
{
    static const char *const silent[] = {"id", "mode", "base_model", "description", "db_model"};
    struct yvalue k, v;
    for (unsigned i = 0; yvalue_next(info, &i, &k, &v);) {
        struct slice key = yvalue_text(k);
        bool known = import_is_cost(key) || slice_starts(key, SLICE("supports_"));
        for (size_t s = 0; s < ARRAY_LEN(silent); s++)
            known = known || slice_is(key, silent[s]);
        if (!known)
            import_note(im, yvalue_line(k), "`model_info.%.*s` has no counterpart", SLICE_ARG(key));
    }
}

/* A name with an asterisk lets clients ask for what a provider has. */
static void read_wildcard(struct import *im, struct slice name, const struct import_target *t,
                          size_t line)
{
    struct buf pattern;
    buf_init(&pattern, 4096);
    buf_printf(&pattern, "%.*s/%.*s", SLICE_ARG(t->provider->name), SLICE_ARG(t->model));
    add_name(im, &im->exposed, buf_view(&pattern), line);
    if (!slice_eq(name, buf_view(&pattern)))
        import_note(im, line, "`%.*s`: clients have to ask for `%.*s`", SLICE_ARG(name),
                    SLICE_ARG(buf_view(&pattern)));
    buf_done(&pattern);
}

static void read_deployment(struct import *im, struct yvalue entry)
{
    struct slice name = yvalue_text(yvalue_get(entry, "model_name"));
    struct yvalue params = yvalue_get(entry, "litellm_params"), k, v;
    struct yvalue info = yvalue_get(entry, "model_info");
    size_t line = yvalue_line(entry);
    if (name.n == 0 || !yvalue_is_map(params)) {
        import_note(im, line, "a model needs `model_name` and `litellm_params`");
        return;
    }
    for (unsigned i = 0; yvalue_next(entry, &i, &k, &v);) {
        struct slice key = yvalue_text(k);
        if (!slice_is(key, "model_name") && !slice_is(key, "litellm_params") &&
            !slice_is(key, "model_info"))
            import_note(im, yvalue_line(k), "`%.*s` has no counterpart", SLICE_ARG(key));
    }
    bool wild = slice_find(name, '*') >= 0;
    struct import_model *m = wild ? NULL : get_model(im, name, line);
    if (m != NULL)
        m->deployments++;
    struct import_target *t = import_deployment(im, params);
    if (t == NULL) {
        import_note(im, line, "`%.*s`: this deployment is left out", SLICE_ARG(name));
        return;
    }
    if (yvalue_is(info))
        read_info(im, info);
    read_costs(im, t, params, info);
    if (m == NULL) {
        read_wildcard(im, name, t, line);
        return;
    }
    if (m->deployments == 2)
        import_note(im, line,
                    "`%.*s`: LiteLLM spreads requests over its deployments; here they are tried in "
                    "the order of the file",
                    SLICE_ARG(name));
    read_limits(im, m, params);
    import_append(&m->targets, t);
}

/* [{name: [other, ...]}, ...] */
static void read_fallbacks(struct import *im, struct yvalue list)
{
    struct yvalue item, group, others, none, other;
    for (unsigned i = 0; yvalue_next(list, &i, &none, &item);) {
        for (unsigned g = 0; yvalue_next(item, &g, &group, &others);) {
            struct slice name = yvalue_text(group);
            struct import_model *m = known_model(im, name);
            if (slice_is(name, "*")) {
                for (unsigned o = 0; yvalue_next(others, &o, &none, &other);)
                    add_name(im, &im->default_fallbacks, yvalue_text(other), yvalue_line(other));
                continue;
            }
            if (m == NULL) {
                import_note(im, yvalue_line(group), "`fallbacks`: there is no model `%.*s`",
                            SLICE_ARG(name));
                continue;
            }
            for (unsigned o = 0; yvalue_next(others, &o, &none, &other);)
                add_name(im, &m->fallbacks, yvalue_text(other), yvalue_line(other));
        }
    }
}

static void check_fallbacks(struct import *im, const struct import_name *list)
{
    for (; list != NULL; list = list->next) {
        if (known_model(im, list->text) == NULL)
            import_note(im, list->line, "`fallbacks`: there is no model `%.*s`",
                        SLICE_ARG(list->text));
    }
}

/* {alias: name} or {alias: {model: name, hidden: ...}} */
static void read_aliases(struct import *im, struct yvalue map)
{
    struct yvalue k, v;
    for (unsigned i = 0; yvalue_next(map, &i, &k, &v);) {
        struct slice alias = yvalue_text(k);
        struct slice group = yvalue_text(yvalue_is_map(v) ? yvalue_get(v, "model") : v);
        const struct import_model *m = known_model(im, group);
        if (m == NULL || alias.n == 0) {
            import_note(im, yvalue_line(k), "`model_group_alias`: there is no model `%.*s`",
                        SLICE_ARG(group));
            continue;
        }
        if (known_model(im, alias) != NULL) {
            import_note(im, yvalue_line(k),
                        "`model_group_alias`: `%.*s` is a model already, and stays one",
                        SLICE_ARG(alias));
            continue;
        }
        for (unsigned l = 0; l < IMPORT_LIMITS_N; l++) {
            if (m->limited[l] == m->deployments && m->deployments > 0) {
                import_note(im, yvalue_line(k), "`%.*s`: the limits of `%.*s` count apart for it",
                            SLICE_ARG(alias), SLICE_ARG(group));
                break;
            }
        }
        struct import_model *other = get_model(im, alias, yvalue_line(k));
        other->same_as = m->same_as.n > 0 ? m->same_as : m->name;
    }
}

static void set_ms(struct import *im, const char *key, struct yvalue v, int64_t *ret)
{
    if (!import_seconds(yvalue_text(v), ret))
        import_note(im, yvalue_line(v), "`%s` is no number of seconds up to a day", key);
}

static void set_total(struct import *im, struct yvalue v)
{
    set_ms(im, "timeout", v, &im->total_ms);
}

static void set_first_token(struct import *im, struct yvalue v)
{
    set_ms(im, "stream_timeout", v, &im->first_token_ms);
}

static void set_drop(struct import *im, struct yvalue v)
{
    im->drop_params = yvalue_true(v);
}

static void set_default_fallbacks(struct import *im, struct yvalue v)
{
    struct yvalue none, other;
    for (unsigned i = 0; yvalue_next(v, &i, &none, &other);)
        add_name(im, &im->default_fallbacks, yvalue_text(other), yvalue_line(other));
}

static void set_master(struct import *im, struct yvalue v)
{
    struct buf text;
    struct slice s = yvalue_text(v), prefix = SLICE("os.environ/");
    buf_init(&text, s.n + 4);
    if (slice_starts(s, prefix))
        buf_printf(&text, "${%.*s}", (int)(s.n - prefix.n), s.p + prefix.n);
    else
        buf_slice(&text, s);
    im->master_key = import_copy(im, buf_view(&text));
    buf_done(&text);
    import_note(im, yvalue_line(v),
                "`master_key` becomes the key `litellm-master`, for clients that send it; it opens "
                "no admin API: see `admin`");
}

static void set_body(struct import *im, struct yvalue v)
{
    uint64_t mb;
    if (slice_to_u64(yvalue_text(v), &mb) && mb > 0 && mb <= 2048)
        im->body_mb = (int64_t)mb;
    else
        import_note(im, yvalue_line(v), "`max_request_size_mb` is no size from 1 to 2048");
}

static void say_database(struct import *im, struct yvalue v)
{
    import_note(im, yvalue_line(v),
                "`database_url`: keys come with --keys, from a dump of the table "
                "LiteLLM_VerificationToken");
}

static void say_strategy(struct import *im, struct yvalue v)
{
    if (!slice_is(yvalue_text(v), "simple-shuffle"))
        import_note(im, yvalue_line(v), "`routing_strategy`: targets are tried in their order");
}

static void ignore(struct import *im, struct yvalue v)
{
    (void)im, (void)v;
}

/* What a setting comes to; all others have no counterpart and are named. */
static const struct setting {
    const char *section, *key;
    void (*read)(struct import *im, struct yvalue v);
} settings[] = {
    {"litellm_settings", "drop_params", set_drop},
    {"litellm_settings", "request_timeout", set_total},
    {"litellm_settings", "fallbacks", read_fallbacks},
    {"litellm_settings", "default_fallbacks", set_default_fallbacks},
    {"litellm_settings", "model_group_alias", read_aliases},
    {"litellm_settings", "set_verbose", ignore},
    {"litellm_settings", "json_logs", ignore},
    {"litellm_settings", "telemetry", ignore},
    {"router_settings", "timeout", set_total},
    {"router_settings", "stream_timeout", set_first_token},
    {"router_settings", "model_group_alias", read_aliases},
    {"router_settings", "fallbacks", read_fallbacks},
    {"router_settings", "default_fallbacks", set_default_fallbacks},
    {"router_settings", "routing_strategy", say_strategy},
    {"general_settings", "master_key", set_master},
    {"general_settings", "database_url", say_database},
    {"general_settings", "max_request_size_mb", set_body},
    {"general_settings", "store_model_in_db", ignore},
};

static void read_settings(struct import *im, const char *section, struct yvalue map)
{
    struct yvalue k, v;
    for (unsigned i = 0; yvalue_next(map, &i, &k, &v);) {
        struct slice key = yvalue_text(k);
        const struct setting *found = NULL;
        for (size_t s = 0; s < ARRAY_LEN(settings); s++) {
            if (strcmp(settings[s].section, section) == 0 && slice_is(key, settings[s].key))
                found = &settings[s];
        }
        if (found == NULL)
            import_note(im, yvalue_line(k), "`%s.%.*s` has no counterpart", section,
                        SLICE_ARG(key));
        else if (yvalue_is(yvalue_get(map, found->key)))
            found->read(im, v);
    }
}

static void read_models(struct import *im, struct yvalue list)
{
    struct yvalue none, entry;
    for (unsigned i = 0; yvalue_next(list, &i, &none, &entry);)
        read_deployment(im, entry);
    for (const struct import_model *m = im->models; m != NULL; m = m->next) {
        static const char *const names[IMPORT_LIMITS_N] = {"rpm", "tpm", "max_parallel_requests"};
        for (unsigned i = 0; i < IMPORT_LIMITS_N; i++) {
            if (m->limited[i] > 0 && m->limited[i] < m->deployments)
                import_note(im, m->line,
                            "`%.*s`: `%s` of some deployments alone has no counterpart",
                            SLICE_ARG(m->name), names[i]);
        }
    }
}

static void read_root(struct import *im, struct yvalue root)
{
    /* The models first: the others name them. Settings of the router go before those of the
     * library, so they come later. */
    static const char *const sections[] = {"litellm_settings", "router_settings",
                                           "general_settings"};
    struct yvalue models = yvalue_get(root, "model_list"), k, v;
    set_drop(im, yvalue_get(yvalue_get(root, "litellm_settings"), "drop_params"));
    if (yvalue_is_list(models))
        read_models(im, models);
    else
        import_note(im, 1, "there is no `model_list`");
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        read_settings(im, sections[i], yvalue_get(root, sections[i]));
    for (unsigned i = 0; yvalue_next(root, &i, &k, &v);) {
        struct slice key = yvalue_text(k);
        bool known = slice_is(key, "model_list");
        for (size_t s = 0; s < ARRAY_LEN(sections); s++)
            known = known || slice_is(key, sections[s]);
        if (slice_is(key, "environment_variables"))
            import_note(im, yvalue_line(k),
                        "`environment_variables`: set them in the environment, or in a file for "
                        "--env-file");
        else if (slice_is(key, "include"))
            import_note(im, yvalue_line(k), "`include`: import one file with all in it");
        else if (!known)
            import_note(im, yvalue_line(k), "`%.*s` has no counterpart", SLICE_ARG(key));
    }
    check_fallbacks(im, im->default_fallbacks);
    for (const struct import_model *m = im->models; m != NULL; m = m->next)
        check_fallbacks(im, m->fallbacks);
}

bool import_litellm(struct import *im, struct slice text)
{
    yaml_document_t doc;
    if (!yvalue_load(im, text, &doc))
        return false;
    struct yvalue root = {&doc, yaml_document_get_root_node(&doc) != NULL ? 1 : 0};
    bool ok = yvalue_is_map(root);
    if (ok)
        read_root(im, root);
    else
        fprintf(stderr, "%s: this is no LiteLLM configuration\n", im->file);
    yaml_document_delete(&doc);
    return ok;
}
