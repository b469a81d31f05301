/* The neutral request as OpenAI's Responses have it. The answer is never stored there (`store` is
 * false), so reasoning comes with its encrypted_content, to be sent back; models that do not reason
 * refuse to be asked for that.
 *
 * Meaningless here: a result's `is_error` (its text says it), `completion`, `wants_usage` (usage
 * always comes). `max_output_tokens` is at least 16, as the API wants it. */
#include "responses_internal.h"

#define TOKENS_LEAST 16
#define USER_MAX     64 /* bytes of `user` that the API takes */

/* ---- Tools. */

const struct llm_tool *responses_tool(const struct llm_chat *c, struct slice name)
{
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (t->kind != TOOL_HOSTED && slice_eq(t->name, name))
            return t;
    }
    return NULL;
}

#define SEPARATOR "__"

static bool ends_so(struct slice space)
{
    return space.n >= 2 && memcmp(space.p + space.n - 2, SEPARATOR, 2) == 0;
}

struct slice responses_flat_name(struct arena *a, struct slice space, struct slice name)
{
    return arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(space),
                        ends_so(space) ? "" : SEPARATOR, SLICE_ARG(name));
}

struct slice responses_inner_name(const struct llm_tool *t)
{
    return slice_from(t->name, t->space.n + (ends_so(t->space) ? 0 : sizeof SEPARATOR - 1));
}

/* Where nothing is said, a schema is strict in this API and in no other. */
static void put_function(struct json_writer *j, const struct llm_chat *c, const struct llm_tool *t)
{
    jw_key(j, "parameters");
    jw_raw(j, t->schema_json.n > 0 ? t->schema_json
                                   : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    if (t->strict >= 0)
        jw_field_bool(j, "strict", t->strict == 1);
    else if (c->dialect != DIALECT_RESPONSES)
        jw_field_bool(j, "strict", false);
}

void responses_put_tool(struct json_writer *j, const struct llm_chat *c, const struct llm_tool *t,
                        const struct llm_tool *before)
{
    if (t->space.n > 0) {
        if (before == NULL || before->native_json.p != t->native_json.p)
            jw_raw(j, t->native_json);
        return;
    }
    if (t->kind == TOOL_HOSTED) {
        jw_raw(j, t->native_json);
        return;
    }
    jw_open(j, '{');
    jw_field_string(j, "type", t->kind == TOOL_CUSTOM ? SLICE("custom") : SLICE("function"));
    jw_field_string(j, "name", t->name);
    if (t->description.inner.p != NULL)
        jw_field_text(j, "description", t->description);
    if (t->kind == TOOL_FUNCTION) {
        put_function(j, c, t);
    } else if (t->format_json.n > 0) {
        jw_key(j, "format");
        jw_raw(j, t->format_json);
    }
    jw_close(j, '}');
}

/* A choice of one tool; hosted ones are known by their type. */
static void put_tool_name(struct json_writer *j, const struct llm_chat *c, struct slice name)
{
    const struct llm_tool *t = responses_tool(c, name);
    bool hosted = false;
    for (const struct llm_tool *h = c->tools; h != NULL && t == NULL; h = h->next)
        hosted |= h->kind == TOOL_HOSTED && slice_eq(h->name, name);
    jw_open(j, '{');
    if (hosted) {
        jw_field_string(j, "type", name);
    } else {
        bool custom = t != NULL && t->kind == TOOL_CUSTOM;
        jw_field_string(j, "type", custom ? SLICE("custom") : SLICE("function"));
        jw_field_string(j, "name", t != NULL && t->space.n > 0 ? responses_inner_name(t) : name);
    }
    jw_close(j, '}');
}

void responses_put_choice(struct json_writer *j, const struct llm_chat *c)
{
    static const struct slice words[] = {[CHOICE_UNSET] = {"auto", 4},
                                         [CHOICE_AUTO] = {"auto", 4},
                                         [CHOICE_NONE] = {"none", 4},
                                         [CHOICE_REQUIRED] = {"required", 8}};
    if (c->choice == CHOICE_NAMED) {
        put_tool_name(j, c, c->choice_name);
        return;
    }
    if (c->choice_allowed == NULL) {
        jw_string(j, words[c->choice]);
        return;
    }
    jw_open(j, '{');
    jw_field_string(j, "type", SLICE("allowed_tools"));
    jw_field_string(j, "mode", words[c->choice]);
    jw_key(j, "tools");
    jw_open(j, '[');
    for (const struct llm_word *w = c->choice_allowed; w != NULL; w = w->next)
        put_tool_name(j, c, w->word);
    jw_close(j, ']');
    jw_close(j, '}');
}

static bool put_tools(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (c->tools == NULL)
        return true;
    jw_key(j, "tools");
    jw_open(j, '[');
    const struct llm_tool *before = NULL;
    for (const struct llm_tool *t = c->tools; t != NULL; before = t, t = t->next) {
        if (t->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        if (t->kind == TOOL_HOSTED && c->dialect != DIALECT_RESPONSES) {
            if (!llm_lacks(w, FEATURE_HOSTED_TOOLS, NULL))
                return false;
            continue;
        }
        responses_put_tool(j, c, t, before);
    }
    jw_close(j, ']');
    if (c->choice != CHOICE_UNSET || c->choice_allowed != NULL) {
        jw_key(j, "tool_choice");
        responses_put_choice(j, c);
    }
    if (c->parallel >= 0)
        jw_field_bool(j, "parallel_tool_calls", c->parallel == 1);
    return true;
}

/* ---- Content. */

static bool own_files(const struct llm_writing *w)
{
    return w->chat->dialect == DIALECT_RESPONSES || w->chat->dialect == DIALECT_OPENAI;
}

/* A data URL; its parts may be anything that a client could send. */
static bool put_data_url(struct llm_writing *w, struct json_writer *j, const struct llm_source *s)
{
    struct slice type = s->media_type.n > 0 ? s->media_type : SLICE("application/octet-stream");
    if (json_plain(type) < type.n || json_plain(s->data) < s->data.n)
        return llm_refuse(w, "", "Data that should be base64 is not.");
    jw_before_value(j);
    buf_lit(j->b, "\"data:");
    buf_slice(j->b, type);
    buf_lit(j->b, ";base64,");
    buf_slice(j->b, s->data);
    buf_char(j->b, '"');
    return true;
}

static void open_part(struct json_writer *j, struct slice type)
{
    jw_open(j, '{');
    jw_field_string(j, "type", type);
}

static bool put_image(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (s->data.p == NULL && s->url.p == NULL && !own_files(w))
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    open_part(j, SLICE("input_image"));
    jw_field_string(j, "detail", s->detail.n > 0 ? s->detail : SLICE("auto"));
    if (s->data.p != NULL) {
        jw_key(j, "image_url");
        if (!put_data_url(w, j, s))
            return false;
    } else if (s->url.p != NULL) {
        jw_field_string(j, "image_url", s->url);
    } else {
        jw_field_string(j, "file_id", s->file_id);
    }
    return true;
}

/* A document that is plain text: its title and what it says. */
static void put_document_text(struct json_writer *j, const struct llm_source *s)
{
    open_part(j, SLICE("input_text"));
    jw_key(j, "text");
    jw_before_value(j);
    buf_char(j->b, '"');
    if (s->name.n > 0) {
        size_t from = j->b->n;
        json_put_string(j->b, s->name);
        if (!j->b->failed) { /* without its quotes */
            memmove(j->b->p + from, j->b->p + from + 1, j->b->n - from - 2);
            j->b->n -= 2;
        }
        buf_lit(j->b, "\\n\\n");
    }
    buf_slice(j->b, s->text.inner);
    buf_char(j->b, '"');
}

static bool put_document(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (p->citations && !llm_lacks_part(w, FEATURE_CITATIONS, p))
        return false;
    if (s->text.inner.p != NULL) {
        put_document_text(j, s);
        return true;
    }
    if (s->data.p == NULL && s->url.p == NULL && !own_files(w))
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    open_part(j, SLICE("input_file"));
    if (s->data.p != NULL) {
        jw_field_string(j, "filename", s->name.n > 0 ? s->name : SLICE("document.pdf"));
        jw_key(j, "file_data");
        return put_data_url(w, j, s);
    }
    if (s->url.p != NULL)
        jw_field_string(j, "file_url", s->url);
    else
        jw_field_string(j, "file_id", s->file_id);
    return true;
}

/* The API's models hear through others: only who speaks this dialect knows whether one does here.
 */
static bool put_audio(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (w->chat->dialect != DIALECT_RESPONSES || s->data.p == NULL)
        return llm_lacks_part(w, FEATURE_AUDIO, p);
    open_part(j, SLICE("input_audio"));
    jw_key(j, "input_audio");
    jw_open(j, '{');
    jw_field_string(j, "data", s->data);
    jw_field_string(j, "format",
                    slice_is(s->media_type, "audio/wav") ? SLICE("wav") : SLICE("mp3"));
    jw_close(j, '}');
    return true;
}

/* Is it for the content of a message, or an item of its own? */
static bool in_content(const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TOOL_CALL:
    case PART_TOOL_RESULT:
    case PART_REASONING:
    case PART_NATIVE: return false;
    default: return true;
    }
}

static bool put_part_members(struct llm_writing *w, struct json_writer *j, const struct llm_part *p,
                             enum llm_role role)
{
    switch (p->kind) {
    case PART_TEXT:
        open_part(j, role == ROLE_ASSISTANT ? SLICE("output_text") : SLICE("input_text"));
        jw_field_text(j, "text", p->text);
        return true;
    case PART_REFUSAL:
        open_part(j, SLICE("refusal"));
        jw_field_text(j, "refusal", p->text);
        return true;
    case PART_IMAGE: return put_image(w, j, p);
    case PART_AUDIO: return put_audio(w, j, p);
    case PART_DOCUMENT: return put_document(w, j, p);
    case PART_VIDEO: return llm_lacks_part(w, FEATURE_VIDEO, p);
    default: return llm_lacks_part(w, FEATURE_NATIVE_PART, p);
    }
}

/* A marker from elsewhere is not for this API, which caches by itself. */
static bool put_part(struct llm_writing *w, struct json_writer *j, const struct llm_part *p,
                     enum llm_role role)
{
    size_t from = j->b->n;
    bool marked = p->cache_json.n > 0, own = w->chat->dialect == DIALECT_RESPONSES;
    if (marked && !own && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    if (!put_part_members(w, j, p, role))
        return false;
    if (j->b->n == from) /* left out */
        return true;
    if (marked && own) {
        jw_key(j, "prompt_cache_breakpoint");
        jw_raw(j, SLICE("{\"mode\":\"explicit\"}"));
    }
    jw_close(j, '}');
    return true;
}

/* The parts from `p` up to `end`: as a string if it is one text, else as a list. */
static bool put_content(struct llm_writing *w, struct json_writer *j, const struct llm_part *p,
                        const struct llm_part *end, enum llm_role role)
{
    if (p == end) {
        jw_string(j, SLICE(""));
        return true;
    }
    if (p->next == end && p->kind == PART_TEXT && p->cache_json.n == 0) {
        jw_text(j, p->text);
        return true;
    }
    jw_open(j, '[');
    for (; p != end; p = p->next) {
        if (!put_part(w, j, p, role))
            return false;
    }
    jw_close(j, ']');
    return true;
}

/* ---- Items. */

static bool put_message(struct llm_writing *w, struct json_writer *j, const struct llm_message *m,
                        const struct llm_part *p, const struct llm_part *end)
{
    static const struct slice roles[] = {[ROLE_SYSTEM] = {"system", 6},
                                         [ROLE_DEVELOPER] = {"developer", 9},
                                         [ROLE_USER] = {"user", 4},
                                         [ROLE_ASSISTANT] = {"assistant", 9}};
    open_part(j, SLICE("message"));
    jw_field_string(j, "role", roles[m->role]);
    jw_key(j, "content");
    if (!put_content(w, j, p, end, m->role))
        return false;
    jw_close(j, '}');
    return true;
}

static bool put_call(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_tool *t = responses_tool(w->chat, p->name);
    bool inner = t != NULL && t->space.n > 0;
    open_part(j, p->custom ? SLICE("custom_tool_call") : SLICE("function_call"));
    jw_field_string(j, "call_id", p->id);
    jw_field_string(j, "name", inner ? responses_inner_name(t) : p->name);
    if (inner)
        jw_field_string(j, "namespace", t->space);
    if (p->custom) {
        jw_field_text(j, "input", p->text);
    } else {
        struct llm_text arguments = llm_call_text(w->arena, p);
        if (arguments.inner.p == NULL) {
            w->bad->no_memory = true;
            return llm_refuse(w, "", "The gateway is out of memory.");
        }
        jw_field_text(j, "arguments", arguments);
    }
    jw_close(j, '}');
    return true;
}

static bool put_result(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    open_part(j, p->custom ? SLICE("custom_tool_call_output") : SLICE("function_call_output"));
    jw_field_string(j, "call_id", p->id);
    jw_key(j, "output");
    if (!put_content(w, j, p->content, NULL, ROLE_USER))
        return false;
    jw_close(j, '}');
    return true;
}

static bool put_reasoning_item(struct llm_writing *w, struct json_writer *j,
                               const struct llm_part *p)
{
    if (p->family != FAMILY_OPENAI || p->signature.n == 0)
        return llm_lacks_part(w, FEATURE_SIGNATURE, p);
    open_part(j, SLICE("reasoning"));
    jw_key(j, "summary");
    jw_open(j, '[');
    if (p->text.inner.n > 0) {
        open_part(j, SLICE("summary_text"));
        jw_field_text(j, "text", p->text);
        jw_close(j, '}');
    }
    jw_close(j, ']');
    jw_field_string(j, "encrypted_content", p->signature);
    jw_close(j, '}');
    return true;
}

static bool put_item(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    switch (p->kind) {
    case PART_TOOL_CALL: return put_call(w, j, p);
    case PART_TOOL_RESULT: return put_result(w, j, p);
    case PART_REASONING: return put_reasoning_item(w, j, p);
    default: break;
    }
    if (p->family != FAMILY_OPENAI || w->chat->dialect != DIALECT_RESPONSES)
        return llm_lacks_part(w, FEATURE_NATIVE_PART, p);
    jw_raw(j, p->native_json);
    return true;
}

static bool put_items(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    const struct llm_part *p = m->parts;
    if (m->name.n > 0 && !llm_lacks(w, FEATURE_NAME, NULL))
        return false;
    while (p != NULL) {
        const struct llm_part *end = p;
        while (end != NULL && in_content(end))
            end = end->next;
        if (end != p ? !put_message(w, j, m, p, end) : !put_item(w, j, p))
            return false;
        p = end != p ? end : p->next;
    }
    return true;
}

/* The text of a first message of the system's, if that is all of it and not all of the request. */
static const struct llm_part *instructions_of(const struct llm_chat *c)
{
    const struct llm_message *m = c->messages;
    if (m == NULL || m->next == NULL || m->role != ROLE_SYSTEM || m->name.n > 0)
        return NULL;
    const struct llm_part *p = m->parts;
    if (p == NULL || p->next != NULL || p->kind != PART_TEXT)
        return NULL;
    return p->text.inner.n > 0 && p->cache_json.n == 0 ? p : NULL;
}

/* Where the client's API has the model go on with what it is said to have begun. */
static bool is_prefilled(const struct llm_chat *c)
{
    const struct llm_message *last = c->messages;
    while (last != NULL && last->next != NULL)
        last = last->next;
    if (last == NULL || last->role != ROLE_ASSISTANT || last->parts == NULL)
        return false;
    const struct llm_part *p = last->parts;
    while (p->next != NULL)
        p = p->next;
    return c->dialect == DIALECT_ANTHROPIC && p->kind == PART_TEXT;
}

static bool put_input(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_message *m = w->chat->messages;
    const struct llm_part *instructions = instructions_of(w->chat);
    if (is_prefilled(w->chat) && !llm_lacks(w, FEATURE_PREFILL, NULL))
        return false;
    if (instructions != NULL) {
        jw_field_text(j, "instructions", instructions->text);
        m = m->next;
    }
    jw_key(j, "input");
    jw_open(j, '[');
    for (; m != NULL; m = m->next) {
        if (!put_items(w, j, m))
            return false;
    }
    jw_close(j, ']');
    return true;
}

/* ---- What the answer is to be like. */

void responses_put_text_members(struct json_writer *j, const struct llm_chat *c)
{
    jw_key(j, "format");
    if (c->format == FORMAT_JSON_SCHEMA) {
        open_part(j, SLICE("json_schema"));
        jw_field_string(j, "name", c->format_name.n > 0 ? c->format_name : SLICE("answer"));
        if (c->format_description.inner.p != NULL)
            jw_field_text(j, "description", c->format_description);
        jw_key(j, "schema");
        jw_raw(j, c->format_schema_json.n > 0 ? c->format_schema_json : SLICE("{}"));
        if (c->format_strict >= 0)
            jw_field_bool(j, "strict", c->format_strict == 1);
    } else {
        open_part(j, c->format == FORMAT_JSON_OBJECT ? SLICE("json_object") : SLICE("text"));
    }
    jw_close(j, '}');
    if (c->verbosity.n > 0)
        jw_field_string(j, "verbosity", c->verbosity);
}

static void put_text_config(struct json_writer *j, const struct llm_chat *c)
{
    if (c->format == FORMAT_TEXT && c->verbosity.n == 0)
        return;
    jw_key(j, "text");
    jw_open(j, '{');
    responses_put_text_members(j, c);
    jw_close(j, '}');
}

/* Tokens for reasoning as a level, where only a level can be said. */
static struct slice effort_of(const struct llm_chat *c)
{
    if (c->effort.n > 0 || c->budget <= 0)
        return c->effort;
    return c->budget <= 2048 ? SLICE("low") : c->budget <= 8192 ? SLICE("medium") : SLICE("high");
}

/* Models that are known not to reason: they refuse to be asked how. */
static bool never_reasons(struct slice model)
{
    static const struct slice names[] = {{"gpt-4", 5}, {"gpt-3", 5}, {"chatgpt-4", 9}};
    for (size_t i = 0; i < model.n; i++) { /* the vendor's name may stand before the model's */
        if (model.p[i] == '/')
            return never_reasons(slice_from(model, i + 1));
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_starts(model, names[i]))
            return true;
    }
    return false;
}

/* A budget of 0 is left out where it could matter: which models take "none" differs. */
static bool put_reasoning(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    struct slice effort = effort_of(c);
    bool shown = c->show.n > 0 && !slice_is(c->show, "omitted"), never = never_reasons(w->model);
    if (c->budget == 0 && effort.n == 0 && !never && !llm_lacks(w, FEATURE_EFFORT, NULL))
        return false;
    if (never)
        return effort.n == 0 || slice_is(effort, "none") || llm_lacks(w, FEATURE_EFFORT, NULL);
    if (effort.n == 0 && !shown)
        return true;
    jw_key(j, "reasoning");
    jw_open(j, '{');
    if (effort.n > 0)
        jw_field_string(j, "effort", effort);
    if (shown)
        jw_field_string(j, "summary", c->show);
    jw_close(j, '}');
    return true;
}

static bool lacks_if(struct llm_writing *w, bool said, enum llm_feature f)
{
    return !said || llm_lacks(w, f, NULL);
}

static bool put_sampling(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (!lacks_if(w, c->top_k.n > 0, FEATURE_TOP_K) ||
        !lacks_if(w, c->frequency_penalty.n > 0 || c->presence_penalty.n > 0, FEATURE_PENALTIES) ||
        !lacks_if(w, c->logit_bias_json.n > 0, FEATURE_LOGIT_BIAS) ||
        !lacks_if(w, c->seed.n > 0, FEATURE_SEED) || !lacks_if(w, c->n > 1, FEATURE_N) ||
        !lacks_if(w, c->stop != NULL, FEATURE_STOP))
        return false;
    if (c->temperature.n > 0) {
        jw_key(j, "temperature");
        jw_raw(j, c->temperature);
    }
    if (c->top_p.n > 0) {
        jw_key(j, "top_p");
        jw_raw(j, c->top_p);
    }
    if (c->logprobs && c->top_logprobs >= 0)
        jw_field_i64(j, "top_logprobs", c->top_logprobs);
    if (c->max_tokens >= 0)
        jw_field_i64(j, "max_output_tokens", MAX_OF(c->max_tokens, (int64_t)TOKENS_LEAST));
    return true;
}

static bool put_tier(struct llm_writing *w, struct json_writer *j)
{
    static const struct {
        const char *theirs;
        struct slice ours;
    } rows[] = {{"auto", {"auto", 4}},        {"default", {"default", 7}},
                {"standard", {"default", 7}}, {"standard_only", {"default", 7}},
                {"flex", {"flex", 4}},        {"priority", {"priority", 8}},
                {"scale", {"scale", 5}}};
    struct slice tier = w->chat->service_tier;
    struct slice ours = w->chat->dialect == DIALECT_RESPONSES ? tier : SLICE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(tier, rows[i].theirs))
            ours = rows[i].ours;
    }
    if (ours.n == 0)
        return llm_lacks(w, FEATURE_SERVICE_TIER, NULL);
    jw_field_string(j, "service_tier", ours);
    return true;
}

static bool put_hints(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (!lacks_if(w, c->store == 1, FEATURE_STORE) ||
        !lacks_if(w, c->user.n > USER_MAX, FEATURE_USER))
        return false;
    jw_field_bool(j, "store", false);
    jw_key(j, "include");
    jw_open(j, '[');
    if (!never_reasons(w->model))
        jw_string(j, SLICE("reasoning.encrypted_content"));
    if (c->logprobs)
        jw_string(j, SLICE("message.output_text.logprobs"));
    jw_close(j, ']');
    if (c->user.n > 0 && c->user.n <= USER_MAX)
        jw_field_string(j, "user", c->user);
    if (c->cache_key.n > 0)
        jw_field_string(j, "prompt_cache_key", c->cache_key);
    if (c->metadata_json.n > 0) {
        jw_key(j, "metadata");
        jw_raw(j, c->metadata_json);
    }
    return c->service_tier.n == 0 || put_tier(w, j);
}

bool responses_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    jw_open(&j, '{');
    jw_field_string(&j, "model", w->model);
    if (!put_input(w, &j) || !put_tools(w, &j) || !put_sampling(w, &j) || !put_reasoning(w, &j))
        return false;
    put_text_config(&j, w->chat);
    if (!put_hints(w, &j))
        return false;
    if (w->chat->stream)
        jw_field_bool(&j, "stream", true);
    jw_close(&j, '}');
    w->bad->no_memory = w->out->failed;
    return !w->out->failed;
}
