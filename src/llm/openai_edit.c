/* A client's request as one provider is to get it, by splicing. */
#include "base/json_write.h"
#include "openai_internal.h"

#define ROOT_EDITS_MAX 9

/* from..end of the body is replaced by `text`. */
struct edit {
    uint32_t from, end;
    struct slice text;
};

/* Edits of the top level and of the roles in the messages; both lists are in order, and they do not
 * overlap. */
struct plan {
    const struct llm_request *r;
    struct edit root[ROOT_EDITS_MAX];
    unsigned root_n;
    size_t roles_n; /* of r->developers, each to become "system" */
};

static bool has(const struct llm_request *r, enum llm_member m)
{
    return r->members[m].value_end != 0;
}

/* Keeps the list in order; an insertion goes before a removal that starts where it stands. */
static void add_edit(struct plan *plan, uint32_t from, uint32_t end, struct slice text)
{
    unsigned i = plan->root_n++;
    ASSERT(i < ROOT_EDITS_MAX);
    for (const struct edit *e; i > 0; i--) {
        e = &plan->root[i - 1];
        if (e->from < from || (e->from == from && e->end <= end))
            break;
        plan->root[i] = *e;
    }
    plan->root[i] = (struct edit){from, end, text};
}

/* The member `model` is always there and stays: members before it are removed with the comma behind
 * them, others with the comma before them, so that no two removals meet. */
static void remove_member(struct plan *plan, enum llm_member m)
{
    const struct llm_span *span = &plan->r->members[m];
    const char *text = plan->r->body.p;
    uint32_t from = span->key, end = span->value_end;
    if (from < plan->r->members[LLM_MEMBER_MODEL].key) {
        while (text[end++] != ',') {
        }
    } else {
        while (text[from] != ',')
            from--;
    }
    add_edit(plan, from, end, SLICE_NONE);
}

/* Two names for one thing: what `from` says goes under the name `to`. */
static void rename_member(struct plan *plan, enum llm_member from, enum llm_member to,
                          struct slice name)
{
    const struct llm_span *span = &plan->r->members[from];
    if (!has(plan->r, from))
        return;
    if (has(plan->r, to) && plan->r->body.p[span->value] == 'n') {
        remove_member(plan, from);
        return;
    }
    if (has(plan->r, to))
        remove_member(plan, to);
    add_edit(plan, span->key, span->key_end, name);
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c > 0x7E || c == '"' || c == '\\')
            return false;
    }
    return true;
}

/* `s` as a JSON string in the arena; .p NULL: no memory. */
static struct slice quote(struct arena *a, struct slice s)
{
    struct buf b;
    if (is_plain(s)) {
        char *p = arena_alloc(a, s.n + 2);
        if (p == NULL)
            return SLICE_NONE;
        p[0] = p[s.n + 1] = '"';
        memcpy(p + 1, s.p, s.n);
        return slice_of(p, s.n + 2);
    }
    buf_init(&b, 6 * s.n + 2);
    json_put_string(&b, s);
    struct slice ret = b.failed ? SLICE_NONE : arena_copy(a, buf_view(&b));
    buf_done(&b);
    return ret;
}

static bool edit_model(struct plan *plan, struct arena *a, struct slice upstream_model)
{
    const struct llm_span *span = &plan->r->members[LLM_MEMBER_MODEL];
    if (slice_eq(plan->r->model, upstream_model))
        return true;
    struct slice quoted = quote(a, upstream_model);
    add_edit(plan, span->value, span->value_end, quoted);
    return quoted.p != NULL;
}

/* Behind the opening brace at `from`: whether the object has members. */
static bool has_members(struct slice body, uint32_t from)
{
    uint32_t i = from + 1;
    while (body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\n' || body.p[i] == '\r')
        i++;
    return body.p[i] != '}';
}

/* Has the provider say its usage at the end of a stream. */
static void ask_for_usage(struct plan *plan)
{
    const struct llm_request *r = plan->r;
    const struct llm_span *options = &r->members[LLM_MEMBER_STREAM_OPTIONS];
    uint32_t behind_model = r->members[LLM_MEMBER_MODEL].value_end;
    if (r->wants_usage)
        return;
    if (r->include_usage.value_end != 0)
        add_edit(plan, r->include_usage.value, r->include_usage.value_end, SLICE("true"));
    else if (options->value_end == 0)
        add_edit(plan, behind_model, behind_model,
                 SLICE(",\"stream_options\":{\"include_usage\":true}"));
    else if (r->body.p[options->value] == 'n')
        add_edit(plan, options->value, options->value_end, SLICE("{\"include_usage\":true}"));
    else
        add_edit(plan, options->value + 1, options->value + 1,
                 has_members(r->body, options->value) ? SLICE("\"include_usage\":true,")
                                                      : SLICE("\"include_usage\":true"));
}

/* A bound of the gateway's own on the answer, under the first of these names that stands there as
 * null, else behind the model under `name`. */
static bool put_cap(struct plan *plan, struct arena *a, const char *name)
{
    static const enum llm_member members[] = {LLM_MEMBER_MAX_COMPLETION_TOKENS,
                                              LLM_MEMBER_MAX_TOKENS};
    const struct llm_request *r = plan->r;
    uint32_t behind_model = r->members[LLM_MEMBER_MODEL].value_end;
    if (r->cap_tokens == 0 || r->max_tokens >= 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const struct llm_span *span = &r->members[members[i]];
        if (!has(r, members[i]))
            continue;
        struct slice number = arena_printf(a, "%lld", (long long)r->cap_tokens);
        add_edit(plan, span->value, span->value_end, number);
        return number.p != NULL;
    }
    struct slice text = arena_printf(a, ",\"%s\":%lld", name, (long long)r->cap_tokens);
    add_edit(plan, behind_model, behind_model, text);
    return text.p != NULL;
}

static void apply_quirks(struct plan *plan, unsigned quirks)
{
    const struct llm_request *r = plan->r;
    if (quirks & QUIRK_NO_STREAM_OPTIONS && has(r, LLM_MEMBER_STREAM_OPTIONS))
        remove_member(plan, LLM_MEMBER_STREAM_OPTIONS);
    if (!(quirks & QUIRK_NO_STREAM_OPTIONS) && r->stream)
        ask_for_usage(plan);
    if (quirks & QUIRK_MAX_TOKENS)
        rename_member(plan, LLM_MEMBER_MAX_COMPLETION_TOKENS, LLM_MEMBER_MAX_TOKENS,
                      SLICE("\"max_tokens\""));
    if (quirks & QUIRK_RANDOM_SEED)
        rename_member(plan, LLM_MEMBER_SEED, LLM_MEMBER_RANDOM_SEED, SLICE("\"random_seed\""));
    if (quirks & QUIRK_NO_DEVELOPER)
        plan->roles_n = r->developers_n;
}

/* Where the pieces go: into the parts, or copied one behind the other. */
struct pieces {
    struct llm_body *ret;
    char *joined; /* NULL: into the parts */
};

static void add_piece(struct pieces *out, struct slice s)
{
    if (s.n == 0)
        return;
    if (out->joined != NULL)
        memcpy(out->joined + out->ret->bytes, s.p, s.n);
    else
        out->ret->part[out->ret->parts++] = s;
    out->ret->bytes += s.n;
}

/* The two lists of edits merged. */
static void emit(const struct plan *plan, struct pieces *out)
{
    const struct llm_request *r = plan->r;
    unsigned i = 0;
    size_t j = 0;
    uint32_t at = 0;
    while (i < plan->root_n || j < plan->roles_n) {
        struct edit e;
        if (j == plan->roles_n ||
            (i < plan->root_n && plan->root[i].from < r->developers[j].from)) {
            e = plan->root[i++];
        } else {
            e = (struct edit){r->developers[j].from, r->developers[j].end, SLICE("\"system\"")};
            j++;
        }
        add_piece(out, slice_of(r->body.p + at, e.from - at));
        add_piece(out, e.text);
        at = e.end;
    }
    add_piece(out, slice_from(r->body, at));
}

/* An upper bound of the edited body's length. */
static size_t bytes_at_most(const struct plan *plan)
{
    size_t n = plan->r->body.n; /* "system" is shorter than "developer" */
    for (unsigned i = 0; i < plan->root_n; i++)
        n += plan->root[i].text.n;
    return n;
}

bool openai_edit_request(struct arena *a, const struct llm_request *r,
                         const struct llm_provider *provider, struct slice upstream_model,
                         struct llm_body *ret)
{
    struct plan plan = {.r = r};
    struct pieces out = {.ret = ret};
    ret->parts = 0;
    ret->bytes = 0;
    if (!edit_model(&plan, a, upstream_model))
        return false;
    bool newer = provider->quirks & QUIRK_OPENAI_PROPER && r->op == LLM_CHAT;
    if (!put_cap(&plan, a, newer ? "max_completion_tokens" : "max_tokens"))
        return false;
    apply_quirks(&plan, provider->quirks);
    if (2 * (plan.root_n + plan.roles_n) + 1 > LLM_PARTS_MAX) {
        out.joined = arena_alloc(a, bytes_at_most(&plan));
        if (out.joined == NULL)
            return false;
    }
    emit(&plan, &out);
    if (out.joined != NULL)
        ret->part[ret->parts++] = slice_of(out.joined, ret->bytes);
    return true;
}

bool llm_rename_model(struct arena *a, const struct llm_request *r,
                      const struct llm_provider *provider, struct slice upstream_model,
                      struct llm_body *ret)
{
    const struct llm_span *model = &r->members[LLM_MEMBER_MODEL];
    struct plan plan = {.r = r};
    struct pieces out = {.ret = ret};
    ret->parts = 0;
    ret->bytes = 0;
    if (provider->quirks & QUIRK_RAW_PREDICT && r->op == LLM_CHAT)
        add_edit(&plan, model->key, model->value_end,
                 SLICE("\"anthropic_version\":\"" LLM_VERTEX_VERSION "\""));
    else if (has(r, LLM_MEMBER_MODEL) && !edit_model(&plan, a, upstream_model))
        return false;
    emit(&plan, &out);
    return true;
}
