/* `weir import`: the new configuration, as text. */
#include "base/json_write.h"
#include "import.h"

static const char *const limit_names[IMPORT_LIMITS_N] = {"requests_per_minute", "tokens_per_minute",
                                                         "concurrency"};

void import_put_text(struct buf *out, struct slice s, bool variables)
{
    struct buf escaped;
    if (variables || s.n < 2 || memmem(s.p, s.n, "${", 2) == NULL) {
        json_put_string(out, s); /* what JSON writes so, YAML reads */
        return;
    }
    buf_init(&escaped, 2 * s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '{')
            buf_char(&escaped, '$');
        buf_char(&escaped, s.p[i]);
    }
    json_put_string(out, buf_view(&escaped));
    out->failed = out->failed || escaped.failed;
    buf_done(&escaped);
}

/* Plain where that is surely a text, else in quotes. */
static void put_name(struct buf *out, struct slice s)
{
    bool plain = s.n > 0 && ((s.p[0] >= 'a' && s.p[0] <= 'z') || (s.p[0] >= 'A' && s.p[0] <= 'Z'));
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};
    for (size_t i = 0; i < s.n && plain; i++) {
        char c = s.p[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_' || c == '.';
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        plain = plain && !slice_eq_nocase(s, slice_str(words[i]));
    if (plain)
        buf_slice(out, s);
    else
        import_put_text(out, s, false);
}

static void put_key(struct buf *out, const struct import_key *k)
{
    buf_lit(out, "  ");
    put_name(out, k->name);
    buf_printf(out, ": {\"sha256\": \"%s\"", k->sha256);
    if (k->disabled)
        buf_lit(out, ", \"disabled\": true");
    if (k->expires.n > 0)
        buf_printf(out, ", \"expires\": \"%.*s\"", SLICE_ARG(k->expires));
    if (k->rights.n > 0)
        buf_lit(out, ", ");
    buf_slice(out, k->rights);
    buf_lit(out, "}\n");
}

static void put_keys(struct buf *out, const struct import *im, bool keys_too)
{
    bool any = im->master_key.n > 0 || (keys_too && im->keys != NULL);
    if (any)
        buf_lit(out, "\nkeys:\n");
    if (im->master_key.n > 0) {
        buf_lit(out, "  litellm-master: {secret: ");
        import_put_text(out, im->master_key, true);
        buf_lit(out, "}\n");
    }
    for (const struct import_key *k = im->keys; k != NULL && keys_too; k = k->next)
        put_key(out, k);
}

static bool team_seen(const struct import *im, const struct import_key *until)
{
    for (const struct import_key *k = im->keys; k != until; k = k->next) {
        if (slice_eq(k->team, until->team))
            return true;
    }
    return false;
}

static void put_teams(struct buf *out, const struct import *im)
{
    bool any = false;
    for (const struct import_key *k = im->keys; k != NULL; k = k->next) {
        if (k->team.n == 0 || team_seen(im, k))
            continue;
        if (!any)
            buf_lit(out,
                    "\n# Their budgets and limits are in another table: set them here.\nteams:\n");
        any = true;
        buf_lit(out, "  ");
        put_name(out, k->team);
        buf_lit(out, ": {}\n");
    }
}

static const struct import_model *find_model(const struct import *im, struct slice name)
{
    for (const struct import_model *m = im->models; m != NULL; m = m->next) {
        if (slice_eq(m->name, name))
            return m;
    }
    return NULL;
}

/* A list of targets, those of several models one after the other, each once. */
struct listing {
    struct buf *out;
    const struct import_target *seen[256];
    size_t n;
    bool open;
};

static void put_target(struct listing *l, const struct import_target *t, const char *key)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->seen[i]->provider == t->provider && slice_eq(l->seen[i]->model, t->model))
            return;
    }
    if (l->n == ARRAY_LEN(l->seen))
        return;
    l->seen[l->n++] = t;
    if (!l->open)
        buf_printf(l->out, "    %s:\n", key);
    l->open = true;
    buf_lit(l->out, "      - ");
    struct buf label;
    buf_init(&label, 4096);
    buf_printf(&label, "%.*s/%.*s", SLICE_ARG(t->provider->name), SLICE_ARG(t->model));
    import_put_text(l->out, buf_view(&label), false);
    buf_done(&label);
    buf_char(l->out, '\n');
}

static void put_limits(struct buf *out, const struct import_model *m)
{
    bool any = false;
    for (unsigned i = 0; i < IMPORT_LIMITS_N; i++) {
        if (m->limited[i] != m->deployments || m->deployments == 0)
            continue;
        buf_printf(out, "%s%s: %lld", any ? ", " : "    limits: {", limit_names[i],
                   (long long)m->limit[i]);
        any = true;
    }
    if (any)
        buf_lit(out, "}\n");
}

static void put_model(struct buf *out, const struct import *im, const struct import_model *m)
{
    const struct import_model *own = m->same_as.n > 0 ? find_model(im, m->same_as) : m;
    struct listing l = {.out = out};
    if (own == NULL || own->targets == NULL)
        return;
    buf_lit(out, "  ");
    put_name(out, m->name);
    buf_lit(out, ":\n");
    for (const struct import_target *t = own->targets; t != NULL; t = t->next)
        put_target(&l, t, "targets");
    l.open = false;
    const struct import_name *f = own->fallbacks != NULL ? own->fallbacks : im->default_fallbacks;
    for (; f != NULL; f = f->next) {
        const struct import_model *other = find_model(im, f->text);
        if (other != NULL && other->same_as.n > 0)
            other = find_model(im, other->same_as);
        for (const struct import_target *t = other != NULL ? other->targets : NULL; t != NULL;
             t = t->next)
            put_target(&l, t, "fallback");
    }
    put_limits(out, own);
}

void import_put_ms(struct buf *out, int64_t ms)
{
    buf_i64(out, ms % 1000 == 0 ? ms / 1000 : ms);
    buf_slice(out, ms % 1000 == 0 ? SLICE("s") : SLICE("ms"));
}

static void put_times(struct buf *out, const struct import *im)
{
    const struct {
        const char *name;
        int64_t ms;
    } times[] = {{"total", im->total_ms}, {"first_token", im->first_token_ms}};
    bool any = false;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        if (times[i].ms == 0)
            continue;
        buf_printf(out, "%s%s: ", any ? ", " : "\ntimeouts: {", times[i].name);
        import_put_ms(out, times[i].ms);
        any = true;
    }
    if (any)
        buf_lit(out, "}\n");
}

static void put_prices(struct buf *out, const struct import *im)
{
    if (im->prices != NULL)
        buf_lit(out, "\nprices: # dollars per million tokens\n");
    for (const struct import_price *p = im->prices; p != NULL; p = p->next) {
        struct buf label;
        buf_init(&label, 4096);
        buf_printf(&label, "%.*s/%.*s", SLICE_ARG(p->provider->name), SLICE_ARG(p->model));
        buf_lit(out, "  ");
        import_put_text(out, buf_view(&label), false);
        buf_done(&label);
        buf_printf(out, ": {%.*s}\n", SLICE_ARG(p->text));
    }
}

void import_write(const struct import *im, bool keys_too, struct buf *out)
{
    buf_printf(out,
               "# Made of %s by `weir import litellm`.\n"
               "# The port is LiteLLM's; 0.0.0.0:4000 is reached from elsewhere.\n"
               "listen: 127.0.0.1:4000\n",
               im->file);
    if (im->master_key.n > 0 || im->keys != NULL)
        buf_lit(out, "auth: keys\n");
    if (im->body_mb > 0)
        buf_printf(out, "limits: {body: %lldMiB}\n", (long long)im->body_mb);
    put_times(out, im);
    put_teams(out, im);
    put_keys(out, im, keys_too);
    buf_lit(out, "\nproviders:\n");
    for (const struct import_provider *p = im->providers; p != NULL; p = p->next) {
        buf_lit(out, "  ");
        put_name(out, p->name);
        buf_printf(out, ": %.*s\n", SLICE_ARG(p->text));
    }
    buf_lit(out, "\nexpose: ["); /* LiteLLM serves the names of its list alone */
    for (const struct import_name *n = im->exposed; n != NULL; n = n->next) {
        import_put_text(out, n->text, false);
        buf_slice(out, n->next != NULL ? SLICE(", ") : SLICE(""));
    }
    buf_lit(out, "]\n");
    bool any = false;
    for (const struct import_model *m = im->models; m != NULL; m = m->next) {
        if (!any && m->targets != NULL)
            buf_lit(out, "\nmodels:\n");
        any = any || m->targets != NULL;
    }
    for (const struct import_model *m = im->models; m != NULL && any; m = m->next)
        put_model(out, im, m);
    put_prices(out, im);
}
