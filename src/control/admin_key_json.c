/* Keys as JSON: what the API shows of them, and changes to their rights. */
#include "admin_key_json.h"

#include <stdio.h>

#include "base/clock.h"

bool key_json_is_column(const struct json_doc *d, uint32_t key)
{
    static const char *const columns[] = {"name", "sha256",  "secret",  "hint",
                                          "note", "expires", "disabled"};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        if (json_string_is(d, key, slice_str(columns[i])))
            return true;
    }
    return false;
}

bool key_json_keep(struct json_doc *d, struct arena *a)
{
    size_t size = d->count * sizeof *d->nodes;
    struct json_node *nodes = arena_alloc(a, size);
    if (nodes == NULL)
        return false;
    memcpy(nodes, d->nodes, size);
    d->nodes = nodes;
    return true;
}

/* One of two documents' members; node 0 with no document: there is none. */
struct place {
    const struct json_doc *doc;
    uint32_t node;
};

static bool is_object(struct place p)
{
    return p.doc != NULL && json_type_at(p.doc, p.node) == JSON_OBJECT;
}

/* The value in `in` of the member whose key stands at `key` of `d`; no document: there is none. */
static struct place find_same(struct place in, const struct json_doc *d, uint32_t key)
{
    struct slice want = json_inner(d, key);
    uint32_t i = is_object(in) ? json_first(in.doc, in.node) : 0;
    uint32_t end = is_object(in) ? json_end(in.doc, in.node) : 0;
    for (; i < end; i = json_after(in.doc, i + 1)) {
        /* What we wrote ourselves has no needless escapes; a client's key that has some is compared
         * as what it means where the other side is plain. */
        bool same = !d->nodes[key].escaped     ? json_string_is(in.doc, i, want)
                    : in.doc->nodes[i].escaped ? slice_eq(json_inner(in.doc, i), want)
                                               : json_string_is(d, key, json_inner(in.doc, i));
        if (same)
            return (struct place){in.doc, i + 1};
    }
    return (struct place){NULL, 0};
}

/* JSON's own words are YAML too, save for two escapes: "\/", and pairs of surrogates. Written anew,
 * a text has neither. */
static void put_text(struct json_writer *w, const struct json_doc *d, uint32_t node, bool key)
{
    struct slice inner = json_inner(d, node);
    struct buf text;
    buf_init(&text, inner.n + 1);
    if (d->nodes[node].escaped && buf_reserve(&text, inner.n)) {
        text.n = json_unescape(inner, text.p);
        inner = buf_view(&text);
    }
    if (key)
        jw_key_slice(w, inner);
    else
        jw_string(w, inner);
    if (text.failed)
        w->b->failed = true;
    buf_done(&text);
}

/* The depth is the parser's: at most JSON_MAX_DEPTH. */
static void put_value(struct json_writer *w, const struct json_doc *d, uint32_t node)
{
    enum json_type type = json_type_at(d, node);
    if (type == JSON_STRING) {
        put_text(w, d, node, false);
        return;
    }
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        jw_raw(w, json_raw(d, node));
        return;
    }
    jw_open(w, type == JSON_OBJECT ? '{' : '[');
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        if (type == JSON_OBJECT)
            put_text(w, d, i++, true);
        put_value(w, d, i);
    }
    jw_close(w, type == JSON_OBJECT ? '}' : ']');
}

static void merge(struct json_writer *w, struct place target, struct place patch, bool top);

/* The members of the object `target`, as the object `patch` leaves them. */
static void merge_old(struct json_writer *w, struct place target, struct place patch)
{
    const struct json_doc *d = target.doc;
    for (uint32_t i = json_first(d, target.node), end = json_end(d, target.node); i < end;
         i = json_after(d, i + 1)) {
        struct place change = find_same(patch, d, i);
        if (change.doc == NULL) {
            put_text(w, d, i, true);
            put_value(w, d, i + 1);
        } else if (json_type_at(change.doc, change.node) != JSON_NULL) {
            put_text(w, d, i, true);
            merge(w, (struct place){d, i + 1}, change, false);
        }
    }
}

/* RFC 7396 section 2. `top`: the patch is a whole request, whose columns are not for here. */
static void merge(struct json_writer *w, struct place target, struct place patch, bool top)
{
    const struct json_doc *d = patch.doc;
    if (!is_object(patch)) {
        put_value(w, d, patch.node);
        return;
    }
    jw_open(w, '{');
    if (is_object(target))
        merge_old(w, target, patch);
    for (uint32_t i = json_first(d, patch.node), end = json_end(d, patch.node); i < end;
         i = json_after(d, i + 1)) {
        bool passes = json_type_at(d, i + 1) != JSON_NULL && !(top && key_json_is_column(d, i));
        if (!passes || find_same(target, d, i).doc != NULL)
            continue;
        put_text(w, d, i, true);
        merge(w, (struct place){NULL, 0}, (struct place){d, i + 1}, false);
    }
    jw_close(w, '}');
}

bool key_json_merge(struct json_parser *parser, struct slice rights, const struct json_doc *patch,
                    struct buf *out)
{
    struct json_doc d;
    struct json_writer w = json_writer(out);
    struct slice text = rights.n > 0 ? rights : SLICE("{}");
    if (json_parse(parser, text, 0, &d) != JSON_OK || json_type_at(&d, 0) != JSON_OBJECT)
        return false;
    merge(&w, (struct place){&d, 0}, (struct place){patch, 0}, true);
    return true;
}

static void put_time(struct json_writer *w, int64_t wall_ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(wall_ns, text);
    jw_string(w, slice_str(text));
}

void key_json_open_stored(struct json_writer *w, struct json_parser *parser,
                          const struct stored_key *k)
{
    struct json_doc d;
    jw_open(w, '{');
    jw_field_string(w, "name", k->name);
    jw_field_bool(w, "issued", true);
    jw_field_string(w, "hint", k->hint);
    jw_field_bool(w, "disabled", k->disabled);
    jw_key(w, "created");
    put_time(w, k->created_ns);
    jw_key(w, "changed");
    put_time(w, k->changed_ns);
    if (k->expires_ns != 0) {
        jw_key(w, "expires");
        put_time(w, k->expires_ns);
    }
    if (k->old_until_ns != 0) {
        jw_key(w, "old_secret_until");
        put_time(w, k->old_until_ns);
    }
    if (k->note.n > 0)
        jw_field_string(w, "note", k->note);
    if (json_parse(parser, k->rights, 0, &d) != JSON_OK || json_type_at(&d, 0) != JSON_OBJECT)
        return; /* none, or not written by us */
    for (uint32_t i = json_first(&d, 0); i < json_end(&d, 0); i = json_after(&d, i + 1)) {
        put_text(w, &d, i, true);
        put_value(w, &d, i + 1);
    }
}

static void put_texts(struct json_writer *w, const char *key, const struct config_list *l)
{
    if (l->n == 0)
        return;
    jw_key_slice(w, slice_str(key));
    jw_open(w, '[');
    for (size_t i = 0; i < l->n; i++)
        jw_string(w, l->item[i]);
    jw_close(w, ']');
}

static void put_some(struct json_writer *w, const char *key, struct slice text)
{
    if (text.n == 0)
        return;
    jw_key_slice(w, slice_str(key));
    jw_string(w, text);
}

/* Limits as in the file: budgets stand together, in dollars. */
static void put_limits(struct json_writer *w, const char *key, const struct config_scope_limits *l)
{
    static const char *const budgets[LIMIT_BUDGETS_N] = {"hour", "day", "week", "month"};
    bool open = false, budget = false;
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (l->most[k] < 0 || l->most[k] == LIMIT_NONE)
            continue;
        if (!open) {
            jw_key_slice(w, slice_str(key));
            jw_open(w, '{');
            open = true;
        }
        if (k < LIMIT_BUDGET_HOUR) {
            jw_key_slice(w, slice_str(limit_kind_name((enum limit_kind)k)));
            jw_i64(w, l->most[k]);
            continue;
        }
        if (!budget) {
            jw_key(w, "budget");
            jw_open(w, '{');
            budget = true;
        }
        jw_key_slice(w, slice_str(budgets[k - LIMIT_BUDGET_HOUR]));
        jw_double(w, (double)l->most[k] / 1e9);
    }
    if (budget)
        jw_close(w, '}');
    if (open)
        jw_close(w, '}');
}

void key_json_put_file(struct json_writer *w, const struct config_key *k)
{
    jw_open(w, '{');
    jw_field_string(w, "name", k->name);
    jw_field_bool(w, "issued", false);
    jw_field_bool(w, "disabled", k->disabled);
    if (k->expires_ns != 0) {
        jw_key(w, "expires");
        put_time(w, k->expires_ns);
    }
    put_some(w, "team", k->team);
    put_some(w, "organisation", k->organisation);
    put_some(w, "plan", k->plan);
    put_some(w, "use_case", k->use_case);
    put_some(w, "user", k->user);
    put_texts(w, "models", &k->rights.models);
    put_texts(w, "providers", &k->rights.providers);
    put_texts(w, "regions", &k->rights.regions);
    put_texts(w, "networks", &k->networks);
    put_limits(w, "limits", &k->limits);
    put_limits(w, "user_limits", &k->user_limits);
    if (k->max_tokens >= 0) {
        jw_key(w, "max_tokens");
        jw_i64(w, k->max_tokens);
    }
    jw_close(w, '}');
}
