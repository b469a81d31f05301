/* The neutral request as a body of Cohere's v2/chat. Source: the types and the reference in cohere
 * 7.3.1 (Python SDK). What it has no word for is said otherwise where that means the same:
 * - one tool that has to be called, and tools that alone may be called: only these are sent;
 * - documents that are plain text: `documents`, cited as doc_N unless nobody asks for citations;
 *   beside a response_format, which Cohere takes with no documents, and where the message has
 *   nothing else in it, they stand in the message;
 * - reasoning before tool calls: tool_plan, else a block of its own; it is never signed;
 * - what a tool gave beside text and documents: a message of the user's behind it;
 * - top_p over 0.99, which is its end of the scale: 0.99.
 * Without meaning there: a result's is_error (its text says it), a schema's name, description and
 * strictness (it always binds), how reasoning is to be shown, `completion`, wants_usage (streams
 * always say it). */
#include "cohere_internal.h"

#define TOP_P_MAX 0.99

static bool no_memory(struct llm_writing *w)
{
    w->bad->no_memory = true;
    return llm_refuse(w, "", "The gateway is out of memory.");
}

static void put_number(struct json_writer *j, const char *key, struct slice number)
{
    if (number.n == 0)
        return;
    jw_key_slice(j, slice_str(key));
    jw_raw(j, number);
}

static void open_block(struct json_writer *j, const char *type)
{
    jw_open(j, '{');
    jw_field_string(j, "type", slice_str(type));
}

static void put_text(struct json_writer *j, struct llm_text text)
{
    open_block(j, "text");
    jw_field_text(j, "text", text);
    jw_close(j, '}');
}

/* ---- Parts of messages. */

static bool put_image(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (s->data.p == NULL && s->url.p == NULL)
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    open_block(j, "image_url");
    jw_key(j, "image_url");
    jw_open(j, '{');
    jw_key(j, "url");
    if (s->data.p == NULL) {
        jw_string(j, s->url);
    } else {
        jw_before_value(j);
        buf_lit(j->b, "\"data:");
        buf_slice(j->b, s->media_type.n > 0 ? s->media_type : SLICE("image/png"));
        buf_lit(j->b, ";base64,");
        buf_slice(j->b, s->data);
        buf_char(j->b, '"');
    }
    if (s->detail.n > 0)
        jw_field_string(j, "detail", s->detail);
    jw_close(j, '}');
    jw_close(j, '}');
    return true;
}

static bool is_plain_document(const struct llm_part *p)
{
    return p->kind == PART_DOCUMENT && p->source.text.inner.p != NULL;
}

/* Do the plain documents of this message go to `documents`? Not where nothing else would be left
 * of it. */
static bool lists_documents(const struct llm_writing *w, const struct llm_message *m)
{
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (!is_plain_document(p))
            return w->chat->format == FORMAT_TEXT && m->role == ROLE_USER;
    }
    return false;
}

/* In the message: its text, if that is what it is. */
static bool put_document(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (s->text.inner.p == NULL)
        return llm_lacks_part(w, s->file_id.n > 0 ? FEATURE_FILE_ID : FEATURE_DOCUMENT, p);
    if (p->citations && !llm_lacks_part(w, FEATURE_CITATIONS, p))
        return false;
    put_text(j, s->text);
    return true;
}

/* Is it for the `content` of a message? */
static bool in_content(const struct llm_part *p, bool listed)
{
    return p->kind != PART_TOOL_CALL && p->kind != PART_TOOL_RESULT && p->kind != PART_REASONING &&
           !(listed && is_plain_document(p));
}

static bool put_part(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        if (p->text.inner.n > 0) /* empty blocks are refused there */
            put_text(j, p->text);
        return true;
    case PART_IMAGE: return put_image(w, j, p);
    case PART_DOCUMENT: return put_document(w, j, p);
    case PART_AUDIO: return llm_lacks_part(w, FEATURE_AUDIO, p);
    case PART_VIDEO: return llm_lacks_part(w, FEATURE_VIDEO, p);
    case PART_REASONING:
    case PART_TOOL_CALL:
    case PART_TOOL_RESULT: return true; /* written elsewhere */
    case PART_NATIVE: break;
    }
    return llm_lacks_part(w, FEATURE_NATIVE_PART, p);
}

/* What no message of Cohere's can say. */
static bool check_message(struct llm_writing *w, const struct llm_message *m)
{
    if (m->name.n > 0 && !llm_lacks(w, FEATURE_NAME, NULL))
        return false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        if (p->kind == PART_REASONING && p->signature.n > 0 &&
            !llm_lacks(w, FEATURE_SIGNATURE, NULL))
            return false;
        if (p->custom && !llm_lacks_part(w, FEATURE_CUSTOM_TOOLS, p))
            return false;
    }
    return true;
}

static void open_message(struct json_writer *j, const char *role)
{
    jw_open(j, '{');
    jw_field_string(j, "role", slice_str(role));
}

/* ---- What tools gave. */

static bool in_result(const struct llm_part *p)
{
    return p->kind == PART_TEXT || is_plain_document(p);
}

static void put_result_document(struct json_writer *j, const struct llm_part *p)
{
    open_block(j, "document");
    jw_key(j, "document");
    jw_open(j, '{');
    jw_key(j, "data");
    jw_open(j, '{');
    if (p->source.name.n > 0)
        jw_field_string(j, "title", p->source.name);
    jw_field_text(j, "text", p->source.text);
    jw_close(j, '}');
    jw_close(j, '}');
    jw_close(j, '}');
}

/* A string where there is at most one text. */
static void put_result_content(struct json_writer *j, const struct llm_part *r)
{
    const struct llm_part *only = NULL;
    unsigned n = 0;
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (in_result(p)) {
            only = p;
            n++;
        }
    }
    jw_key(j, "content");
    if (n == 0 || (n == 1 && only->kind == PART_TEXT)) {
        jw_text(j, n == 0 ? (struct llm_text){SLICE("")} : only->text);
        return;
    }
    jw_open(j, '[');
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (in_result(p) && p->kind == PART_TEXT)
            put_text(j, p->text);
        else if (in_result(p))
            put_result_document(j, p);
    }
    jw_close(j, ']');
}

/* The messages for the results; `*ret_more`: there is more than they can hold. */
static void put_results(struct json_writer *j, const struct llm_message *m, bool *ret_more)
{
    for (const struct llm_part *r = m->parts; r != NULL; r = r->next) {
        if (r->kind != PART_TOOL_RESULT || r->custom)
            continue;
        open_message(j, "tool");
        jw_field_string(j, "tool_call_id", r->id);
        put_result_content(j, r);
        jw_close(j, '}');
        for (const struct llm_part *p = r->content; p != NULL; p = p->next)
            *ret_more |= !in_result(p);
    }
}

/* ---- Messages. */

/* The parts as `content`: a string where there is only one text. `results`: with what those of
 * tools left over. */
static bool put_content(struct llm_writing *w, struct json_writer *j, const struct llm_message *m,
                        bool results)
{
    const struct llm_part *only = NULL;
    bool listed = lists_documents(w, m);
    unsigned n = 0;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (in_content(p, listed)) {
            only = p;
            n++;
        }
    }
    jw_key(j, "content");
    if (!results && (n == 0 || (n == 1 && only->kind == PART_TEXT))) {
        jw_text(j, n == 0 ? (struct llm_text){SLICE("")} : only->text);
        return true;
    }
    jw_open(j, '[');
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        for (const struct llm_part *q = results && !p->custom ? p->content : NULL; q != NULL;
             q = q->next) {
            if (!in_result(q) && !put_part(w, j, q))
                return false;
        }
        if (in_content(p, listed) && !put_part(w, j, p))
            return false;
    }
    jw_close(j, ']');
    return true;
}

static bool put_user(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    bool more = false, results = false, content = false, listed = lists_documents(w, m);
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        results |= p->kind == PART_TOOL_RESULT;
        content |= in_content(p, listed);
    }
    put_results(j, m, &more);
    if (results && !content && !more)
        return true;
    open_message(j, "user");
    if (!put_content(w, j, m, more))
        return false;
    jw_close(j, '}');
    return true;
}

static bool put_calls(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    jw_key(j, "tool_calls");
    jw_open(j, '[');
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != PART_TOOL_CALL || p->custom)
            continue;
        struct llm_text text = llm_call_text(w->arena, p);
        if (text.inner.p == NULL)
            return no_memory(w);
        jw_open(j, '{');
        jw_field_string(j, "id", p->id);
        jw_field_string(j, "type", SLICE("function"));
        jw_key(j, "function");
        jw_open(j, '{');
        jw_field_string(j, "name", p->name);
        jw_field_text(j, "arguments", text);
        jw_close(j, '}');
        jw_close(j, '}');
    }
    jw_close(j, ']');
    return true;
}

static bool is_thought(const struct llm_part *p)
{
    return p->kind == PART_REASONING && p->text.inner.n > 0;
}

static void put_plan(struct json_writer *j, const struct llm_message *m)
{
    jw_key(j, "tool_plan");
    jw_before_value(j);
    buf_char(j->b, '"');
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (is_thought(p))
            buf_slice(j->b, p->text.inner);
    }
    buf_char(j->b, '"');
}

/* Thoughts as blocks of their own among the others. */
static bool put_thoughts(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    jw_key(j, "content");
    jw_open(j, '[');
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (is_thought(p)) {
            open_block(j, "thinking");
            jw_field_text(j, "thinking", p->text);
            jw_close(j, '}');
        } else if (!put_part(w, j, p)) {
            return false;
        }
    }
    jw_close(j, ']');
    return true;
}

static bool put_assistant(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    bool calls = false, thoughts = false, content = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        calls |= p->kind == PART_TOOL_CALL && !p->custom;
        thoughts |= is_thought(p);
        content |= in_content(p, false);
    }
    open_message(j, "assistant");
    if (thoughts && calls)
        put_plan(j, m);
    if (thoughts && !calls) {
        if (!put_thoughts(w, j, m))
            return false;
    } else if ((content || !calls) && !put_content(w, j, m, false)) {
        return false;
    }
    if (calls && !put_calls(w, j, m))
        return false;
    jw_close(j, '}');
    return true;
}

static bool put_message(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    if (!check_message(w, m))
        return false;
    if (m->role == ROLE_USER)
        return put_user(w, j, m);
    if (m->role == ROLE_ASSISTANT)
        return m->next != NULL ? put_assistant(w, j, m) : llm_lacks(w, FEATURE_PREFILL, NULL);
    open_message(j, "system");
    if (!put_content(w, j, m, false))
        return false;
    jw_close(j, '}');
    return true;
}

static bool put_messages(struct llm_writing *w, struct json_writer *j)
{
    jw_key(j, "messages");
    jw_open(j, '[');
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        if (!put_message(w, j, m))
            return false;
    }
    jw_close(j, ']');
    return true;
}

/* Their numbers count every document, also those that have no place. */
static void put_documents(struct llm_writing *w, struct json_writer *j)
{
    unsigned n = 0;
    bool any = false, cited = false;
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        bool listed = lists_documents(w, m);
        for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
            n += p->kind == PART_DOCUMENT;
            if (!listed || !is_plain_document(p))
                continue;
            if (!any) {
                jw_key(j, "documents");
                jw_open(j, '[');
            }
            any = true;
            cited |= p->citations;
            jw_open(j, '{');
            jw_key(j, "id");
            jw_before_value(j);
            buf_printf(j->b, "\"" COHERE_DOCUMENT_ID "%u\"", n - 1);
            jw_key(j, "data");
            jw_open(j, '{');
            if (p->source.name.n > 0)
                jw_field_string(j, "title", p->source.name);
            jw_field_text(j, "text", p->source.text);
            jw_close(j, '}');
            jw_close(j, '}');
        }
    }
    if (!any)
        return;
    jw_close(j, ']');
    if (!cited) { /* they would come unasked */
        jw_key(j, "citation_options");
        jw_raw(j, SLICE("{\"mode\":\"OFF\"}"));
    }
}

/* ---- Tools. */

/* May it be called? */
static bool is_allowed(const struct llm_chat *c, const struct llm_tool *t)
{
    if (t->kind != TOOL_FUNCTION)
        return false;
    if (c->choice == CHOICE_NAMED)
        return slice_eq(t->name, c->choice_name);
    for (const struct llm_word *n = c->choice_allowed; n != NULL; n = n->next) {
        if (slice_eq(t->name, n->word))
            return true;
    }
    return c->choice_allowed == NULL;
}

/* `*ret_n` may be called, `*ret_strict` of them strictly. */
static bool check_tools(struct llm_writing *w, unsigned *ret_n, unsigned *ret_strict)
{
    const struct llm_chat *c = w->chat;
    *ret_n = *ret_strict = 0;
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (t->kind == TOOL_CUSTOM && !llm_lacks(w, FEATURE_CUSTOM_TOOLS, NULL))
            return false;
        if (t->kind == TOOL_HOSTED && !llm_lacks(w, FEATURE_HOSTED_TOOLS, NULL))
            return false;
        if (t->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        *ret_n += is_allowed(c, t);
        *ret_strict += is_allowed(c, t) && t->strict == 1;
    }
    bool must = c->choice == CHOICE_NAMED || c->choice == CHOICE_REQUIRED;
    if (*ret_n == 0 && must && !llm_lacks(w, FEATURE_TOOL_CHOICE, NULL))
        return false;
    if (*ret_strict > 0 && *ret_strict < *ret_n && !llm_lacks(w, FEATURE_STRICT, NULL))
        return false;
    return *ret_n == 0 || c->parallel != 0 || llm_lacks(w, FEATURE_PARALLEL, NULL);
}

static void put_tool(struct json_writer *j, const struct llm_tool *t)
{
    open_block(j, "function");
    jw_key(j, "function");
    jw_open(j, '{');
    jw_field_string(j, "name", t->name);
    if (t->description.inner.p != NULL)
        jw_field_text(j, "description", t->description);
    jw_key(j, "parameters");
    jw_raw(j, t->schema_json.n > 0 ? t->schema_json
                                   : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    jw_close(j, '}');
    jw_close(j, '}');
}

static bool put_tools(struct llm_writing *w, struct json_writer *j)
{
    static const struct slice words[] = {
        [CHOICE_UNSET] = {"", 0},         [CHOICE_AUTO] = {"", 0},
        [CHOICE_NONE] = {"NONE", 4},      [CHOICE_REQUIRED] = {"REQUIRED", 8},
        [CHOICE_NAMED] = {"REQUIRED", 8},
    };
    const struct llm_chat *c = w->chat;
    unsigned n, strict;
    if (!check_tools(w, &n, &strict))
        return false;
    if (n == 0)
        return true;
    jw_key(j, "tools");
    jw_open(j, '[');
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (is_allowed(c, t))
            put_tool(j, t);
    }
    jw_close(j, ']');
    if (strict == n)
        jw_field_bool(j, "strict_tools", true);
    if (words[c->choice].n > 0)
        jw_field_string(j, "tool_choice", words[c->choice]);
    return true;
}

/* ---- The rest. */

static void put_top_p(struct llm_writing *w, struct json_writer *j)
{
    struct json_doc d;
    double v;
    bool over = w->chat->top_p.n > 0 && json_parse(w->json, w->chat->top_p, 0, &d) == JSON_OK &&
                json_double(&d, 0, &v) && v > TOP_P_MAX && v <= 1;
    put_number(j, "p", over ? SLICE("0.99") : w->chat->top_p);
}

static bool put_sampling(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (c->max_tokens >= 0)
        jw_field_i64(j, "max_tokens", c->max_tokens);
    put_number(j, "temperature", c->temperature);
    put_top_p(w, j);
    put_number(j, "k", c->top_k);
    put_number(j, "frequency_penalty", c->frequency_penalty);
    put_number(j, "presence_penalty", c->presence_penalty);
    put_number(j, "seed", c->seed);
    if (c->stop != NULL) {
        jw_key(j, "stop_sequences");
        jw_open(j, '[');
        for (const struct llm_word *s = c->stop; s != NULL; s = s->next)
            jw_string(j, s->word);
        jw_close(j, ']');
    }
    if (c->logprobs)
        jw_field_bool(j, "logprobs", true);
    if ((c->logprobs && c->top_logprobs > 0 && !llm_lacks(w, FEATURE_LOGPROBS, NULL)) ||
        (c->n > 1 && !llm_lacks(w, FEATURE_N, NULL)) ||
        (c->logit_bias_json.n > 0 && !llm_lacks(w, FEATURE_LOGIT_BIAS, NULL)))
        return false;
    return true;
}

static void put_format(struct json_writer *j, const struct llm_chat *c)
{
    if (c->format == FORMAT_TEXT)
        return;
    jw_key(j, "response_format");
    open_block(j, "json_object");
    if (c->format == FORMAT_JSON_SCHEMA && c->format_schema_json.n > 0) {
        jw_key(j, "json_schema");
        jw_raw(j, c->format_schema_json);
    }
    jw_close(j, '}');
}

/* Models that reason, by a part of their name; others refuse `thinking`. */
static bool reasons(struct slice model)
{
    static const struct slice names[] = {{"reasoning", 9}, {"command-a-plus", 14}};
    for (; model.n > 0; model = slice_of(model.p + 1, model.n - 1)) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            if (slice_starts(model, names[i]))
                return true;
        }
    }
    return false;
}

/* Efforts as budgets; 0: no reasoning, -1: as much as it takes. */
static const struct {
    const char *effort;
    int64_t budget;
} efforts[] = {
    {"none", 0},     {"minimal", 512}, {"low", 1024}, {"medium", 8192},
    {"high", 24576}, {"xhigh", -1},    {"max", -1},
};

static bool put_thinking(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    int64_t budget = c->budget >= 0 ? c->budget : -1;
    bool asked = c->budget != -1, known = c->effort.n == 0;
    for (size_t i = 0; i < ARRAY_LEN(efforts) && !asked; i++) {
        if (!slice_is(c->effort, efforts[i].effort))
            continue;
        asked = known = true;
        budget = efforts[i].budget;
    }
    if (!asked)
        return known || llm_lacks(w, FEATURE_EFFORT, NULL);
    if (!reasons(w->model)) /* to ask a model that does not reason for none is no loss */
        return budget == 0 || llm_lacks(w, FEATURE_EFFORT, NULL);
    jw_key(j, "thinking");
    open_block(j, budget == 0 ? "disabled" : "enabled");
    if (budget > 0)
        jw_field_i64(j, "token_budget", budget);
    jw_close(j, '}');
    return true;
}

/* Hints that have no place. Cohere keeps to one tier, which is anybody's default. */
static bool check_hints(struct llm_writing *w)
{
    const struct llm_chat *c = w->chat;
    bool tier = c->service_tier.n > 0 && !slice_is(c->service_tier, "auto") &&
                !slice_is(c->service_tier, "default");
    const struct {
        bool asked;
        enum llm_feature feature;
    } rows[] = {
        {c->user.n > 0, FEATURE_USER},           {c->metadata_json.n > 0, FEATURE_METADATA},
        {c->verbosity.n > 0, FEATURE_VERBOSITY}, {c->cache_key.n > 0, FEATURE_CACHE},
        {c->store == 1, FEATURE_STORE},          {tier, FEATURE_SERVICE_TIER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].asked && !llm_lacks(w, rows[i].feature, NULL))
            return false;
    }
    return true;
}

bool cohere_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    jw_open(&j, '{');
    jw_field_string(&j, "model", w->model);
    if (!put_messages(w, &j))
        return false;
    put_documents(w, &j);
    if (!put_tools(w, &j) || !put_sampling(w, &j))
        return false;
    put_format(&j, w->chat);
    if (!put_thinking(w, &j) || !check_hints(w))
        return false;
    if (w->chat->stream)
        jw_field_bool(&j, "stream", true);
    jw_close(&j, '}');
    return !w->out->failed || no_memory(w);
}
