/* Texts, signatures, features and tool calls of the neutral model. */
#include "llm/neutral.h"

#define CALLS_BACK 1000 /* of a conversation's tool calls, to look for a result's */

struct llm_text llm_text_of(struct arena *a, struct slice plain)
{
    if (json_plain(plain) == plain.n)
        return (struct llm_text){plain.p != NULL ? plain : SLICE("")};
    struct buf b;
    buf_init(&b, plain.n * 6 + 2);
    json_put_string(&b, plain);
    struct slice quoted = b.failed ? SLICE_NONE : arena_copy(a, buf_view(&b));
    buf_done(&b);
    return quoted.p == NULL ? LLM_NO_TEXT : (struct llm_text){slice_of(quoted.p + 1, quoted.n - 2)};
}

struct slice llm_text_plain(struct arena *a, struct llm_text t)
{
    if (t.inner.p == NULL || t.inner.n == 0 || memchr(t.inner.p, '\\', t.inner.n) == NULL)
        return t.inner;
    char *p = arena_alloc(a, t.inner.n);
    return p == NULL ? SLICE_NONE : slice_of(p, json_unescape(t.inner, p));
}

struct slice llm_text_object(struct arena *a, struct llm_text t)
{
    char *p = t.inner.n > 0 ? arena_alloc(a, t.inner.n) : NULL;
    size_t n = p != NULL ? json_unwrap_object(t.inner, p) : 0;
    return n > 0 ? slice_of(p, n) : SLICE_NONE;
}

void jw_text(struct json_writer *w, struct llm_text t)
{
    jw_before_value(w);
    buf_char(w->b, '"');
    buf_slice(w->b, t.inner);
    buf_char(w->b, '"');
}

void jw_raw_line(struct json_writer *w, struct slice json)
{
    size_t from = w->b->n;
    jw_raw(w, json);
    for (size_t i = from; i < w->b->n; i++) {
        if (w->b->p[i] == '\n' || w->b->p[i] == '\r')
            w->b->p[i] = ' ';
    }
}

static const struct slice families[FAMILIES_N] = {
#define X(id, name) {(name), sizeof(name) - 1},
    LLM_FAMILIES(X)
#undef X
};

#define MARK "weir."

struct slice llm_signature_mark(struct arena *a, struct slice signature, enum llm_family minted_by,
                                enum llm_family native)
{
    if (minted_by == native)
        return signature;
    return arena_printf(a, MARK "%s.%.*s", families[minted_by].p, SLICE_ARG(signature));
}

struct slice llm_signature_read(struct slice marked, enum llm_family native,
                                enum llm_family *ret_family)
{
    *ret_family = native;
    if (!slice_starts(marked, SLICE(MARK)))
        return marked;
    struct slice rest = slice_from(marked, sizeof MARK - 1), name = slice_cut(&rest, '.');
    for (unsigned i = 0; i < FAMILIES_N; i++) {
        if (!slice_eq(name, families[i]))
            continue;
        *ret_family = (enum llm_family)i;
        return rest;
    }
    *ret_family = FAMILY_NONE; /* nobody's: it goes nowhere */
    return rest;
}

static const struct {
    enum llm_lack lack;
    const char *name[DIALECTS_N];
} features[FEATURES_N] = {
#define X(id, action, chat, responses, anthropic, google)                                          \
    {LACK_##action, {(chat), (responses), (anthropic), (google)}},
    LLM_FEATURES(X)
#undef X
};

const char *llm_feature_name(enum llm_feature f, enum llm_dialect_id dialect)
{
    return features[f].name[dialect];
}

bool llm_feature_find(struct slice name, enum llm_feature *ret)
{
    static const char *const names[FEATURES_N] = {
#define X(id, action, chat, responses, anthropic, google) #id,
        LLM_FEATURES(X)
#undef X
    };
    for (unsigned f = 0; f < FEATURES_N; f++) {
        if (!slice_eq_nocase(name, slice_str(names[f])))
            continue;
        *ret = (enum llm_feature)f;
        return true;
    }
    return false;
}

enum llm_lack llm_feature_lack(enum llm_feature f)
{
    return features[f].lack;
}

struct slice llm_call_object(struct json_parser *p, struct arena *a, const struct llm_part *call)
{
    struct json_doc d;
    struct slice text = call->input_json;
    if (text.p == NULL) {
        text = llm_text_object(a, call->arguments);
        if (text.p != NULL)
            return text;
        text = llm_text_plain(a, call->arguments);
    }
    if (slice_trim(text).n == 0)
        return SLICE("{}");
    bool object = json_parse(p, text, JSON_ALLOW_LONE_SURROGATES, &d) == JSON_OK &&
                  json_type_at(&d, 0) == JSON_OBJECT;
    return object ? text : SLICE_NONE;
}

struct llm_text llm_call_text(struct arena *a, const struct llm_part *call)
{
    if (call->arguments.inner.p != NULL)
        return call->arguments;
    return llm_text_of(a, call->input_json.p != NULL ? call->input_json : SLICE("{}"));
}

struct slice llm_result_name(const struct llm_part *result)
{
    if (result->name.n > 0)
        return result->name;
    const struct llm_part *call = result->calls;
    for (unsigned i = 0; i < CALLS_BACK && call != NULL; i++, call = call->calls) {
        if (slice_eq(call->id, result->id))
            return call->name;
    }
    return SLICE_NONE;
}
