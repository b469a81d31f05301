/* The neutral request as a chat completion, for providers that speak OpenAI's dialect. */
#include "openai_internal.h"

/* Providers whose API is OpenAI's own: what only it knows is sent to them alone. */
static bool is_openai(const struct llm_writing *w)
{
    return w->provider->quirks & QUIRK_OPENAI_PROPER;
}

static void put_word(struct json_writer *j, const char *key, struct slice word)
{
    jw_key_slice(j, slice_str(key));
    jw_string(j, word);
}

/* Clients choose type and data: escapes were resolved, so they are set again where there are any.
 */
static void put_data_url(struct llm_writing *w, struct json_writer *j, const struct llm_source *s)
{
    struct buf *b = j->b;
    struct slice type = s->media_type.n > 0 ? s->media_type : SLICE("application/octet-stream");
    struct llm_text safe_type = llm_text_of(w->arena, type);
    struct llm_text safe_data = llm_text_of(w->arena, s->data);
    b->failed |= safe_type.inner.p == NULL || safe_data.inner.p == NULL;
    jw_before_value(j);
    buf_lit(b, "\"data:");
    buf_slice(b, safe_type.inner);
    buf_lit(b, ";base64,");
    buf_slice(b, safe_data.inner);
    buf_char(b, '"');
}

static void open_part(struct json_writer *j, const char *type)
{
    jw_open(j, '{');
    put_word(j, "type", slice_str(type));
}

static bool put_image(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    if (p->source.data.p == NULL && p->source.url.p == NULL)
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    open_part(j, "image_url");
    jw_key(j, "image_url");
    jw_open(j, '{');
    jw_key(j, "url");
    if (p->source.data.p != NULL)
        put_data_url(w, j, &p->source);
    else
        jw_string(j, p->source.url);
    if (p->source.detail.n > 0)
        put_word(j, "detail", p->source.detail);
    jw_close(j, '}');
    jw_close(j, '}');
    return true;
}

static bool put_audio(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    static const struct {
        const char *type, *format;
    } rows[] = {
        {"audio/wav", "wav"}, {"audio/x-wav", "wav"}, {"audio/mp3", "mp3"}, {"audio/mpeg", "mp3"}};
    for (size_t i = 0; i < ARRAY_LEN(rows) && p->source.data.p != NULL; i++) {
        if (!slice_is(p->source.media_type, rows[i].type))
            continue;
        open_part(j, "input_audio");
        jw_key(j, "input_audio");
        jw_open(j, '{');
        put_word(j, "data", p->source.data);
        put_word(j, "format", slice_str(rows[i].format));
        jw_close(j, '}');
        jw_close(j, '}');
        return true;
    }
    return llm_lacks_part(w, FEATURE_AUDIO, p);
}

static bool put_document(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    if (p->citations && !llm_lacks_part(w, FEATURE_CITATIONS, p))
        return false;
    if (s->text.inner.p != NULL) { /* there is no part for it: the text itself */
        open_part(j, "text");
        jw_field_text(j, "text", s->text);
        jw_close(j, '}');
        return true;
    }
    bool openai = w->chat->dialect == DIALECT_RESPONSES || w->chat->dialect == DIALECT_OPENAI;
    bool own_file = s->file_id.n > 0 && openai && is_openai(w);
    if (s->data.p == NULL && !own_file)
        return llm_lacks_part(w, s->file_id.n > 0 ? FEATURE_FILE_ID : FEATURE_DOCUMENT, p);
    open_part(j, "file");
    jw_key(j, "file");
    jw_open(j, '{');
    if (own_file) {
        put_word(j, "file_id", s->file_id);
    } else {
        put_word(j, "filename", s->name.n > 0 ? s->name : SLICE("document.pdf"));
        jw_key(j, "file_data");
        put_data_url(w, j, s);
    }
    jw_close(j, '}');
    jw_close(j, '}');
    return true;
}

/* A part of a user's or system's message. */
static bool put_part(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        open_part(j, "text");
        jw_field_text(j, "text", p->text);
        jw_close(j, '}');
        return true;
    case PART_IMAGE: return put_image(w, j, p);
    case PART_AUDIO: return put_audio(w, j, p);
    case PART_DOCUMENT: return put_document(w, j, p);
    case PART_VIDEO: return llm_lacks_part(w, FEATURE_VIDEO, p);
    case PART_TOOL_RESULT:
    case PART_TOOL_CALL:
    case PART_REASONING: return true; /* written elsewhere */
    case PART_NATIVE: break;
    }
    return llm_lacks_part(w, FEATURE_NATIVE_PART, p);
}

/* Is it for the `content` of a message? */
static bool in_content(const struct llm_part *p)
{
    return p->kind != PART_TOOL_CALL && p->kind != PART_TOOL_RESULT && p->kind != PART_REASONING &&
           p->kind != PART_REFUSAL;
}

/* The parts from `p` on as `content`: a string where there is only one text, null where there is
 * nothing. */
static bool put_content(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_part *only = NULL;
    unsigned n = 0;
    for (const struct llm_part *q = p; q != NULL; q = q->next) {
        if (!in_content(q))
            continue;
        only = q;
        n++;
    }
    jw_key(j, "content");
    if (n == 0) {
        jw_null(j);
        return true;
    }
    if (n == 1 && only->kind == PART_TEXT) {
        jw_text(j, only->text);
        return only->cache_json.n == 0 || llm_lacks(w, FEATURE_CACHE, NULL);
    }
    jw_open(j, '[');
    for (; p != NULL; p = p->next) {
        if (in_content(p) && !put_part(w, j, p))
            return false;
    }
    jw_close(j, ']');
    return true;
}

static void open_message(struct json_writer *j, const char *role)
{
    jw_open(j, '{');
    put_word(j, "role", slice_str(role));
}

/* What a tool gave: its texts; what is no text follows in a message of the user's. */
static bool put_result(struct llm_writing *w, struct json_writer *j, const struct llm_part *r,
                       bool *ret_more)
{
    if (r->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    open_message(j, "tool");
    put_word(j, "tool_call_id", r->id);
    jw_key(j, "content");
    jw_before_value(j);
    buf_char(j->b, '"');
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (p->kind != PART_TEXT) {
            *ret_more = true;
            continue;
        }
        if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        buf_slice(j->b, p->text.inner);
    }
    buf_char(j->b, '"');
    jw_close(j, '}');
    return true;
}

static bool put_user(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    bool more = false, content = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        content |= in_content(p);
        if (p->kind == PART_TOOL_RESULT && !put_result(w, j, p, &more))
            return false;
    }
    if (!content && !more)
        return true;
    open_message(j, "user");
    if (m->name.n > 0)
        put_word(j, "name", m->name);
    if (!more) {
        bool ok = put_content(w, j, m->parts);
        jw_close(j, '}');
        return ok;
    }
    jw_key(j, "content");
    jw_open(j, '[');
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        for (const struct llm_part *q = p->content; q != NULL; q = q->next) {
            if (q->kind != PART_TEXT && !put_part(w, j, q))
                return false;
        }
        if (in_content(p) && !put_part(w, j, p))
            return false;
    }
    jw_close(j, ']');
    jw_close(j, '}');
    return true;
}

static bool put_calls(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    bool any = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != PART_TOOL_CALL)
            continue;
        if (!any) {
            jw_key(j, "tool_calls");
            jw_open(j, '[');
        }
        any = true;
        jw_open(j, '{');
        put_word(j, "id", p->id);
        put_word(j, "type", p->custom ? SLICE("custom") : SLICE("function"));
        jw_key_slice(j, p->custom ? SLICE("custom") : SLICE("function"));
        jw_open(j, '{');
        put_word(j, "name", p->name);
        struct llm_text text = p->custom ? p->text : llm_call_text(w->arena, p);
        if (text.inner.p == NULL && !p->custom)
            return false;
        jw_key_slice(j, p->custom ? SLICE("input") : SLICE("arguments"));
        jw_text(j, text);
        jw_close(j, '}');
        jw_close(j, '}');
    }
    if (any)
        jw_close(j, ']');
    return true;
}

/* Refusals are one text here. */
static void put_refusals(struct json_writer *j, const struct llm_part *p)
{
    jw_key(j, "refusal");
    jw_before_value(j);
    buf_char(j->b, '"');
    for (; p != NULL; p = p->next) {
        if (p->kind == PART_REFUSAL)
            buf_slice(j->b, p->text.inner);
    }
    buf_char(j->b, '"');
}

static bool put_assistant(struct llm_writing *w, struct json_writer *j, const struct llm_message *m)
{
    open_message(j, "assistant");
    if (m->name.n > 0)
        put_word(j, "name", m->name);
    bool refuses = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == PART_REASONING && !llm_lacks(w, FEATURE_SIGNATURE, NULL))
            return false;
        refuses |= p->kind == PART_REFUSAL;
    }
    if (refuses)
        put_refusals(j, m->parts);
    if (!put_content(w, j, m->parts) || !put_calls(w, j, m))
        return false;
    if (w->chat->continues && m->next == NULL && w->provider->prefill == LLM_PREFILL_PREFIX)
        jw_field_bool(j, "prefix", true);
    jw_close(j, '}');
    return true;
}

static bool put_messages(struct llm_writing *w, struct json_writer *j)
{
    bool no_developer = w->provider->quirks & QUIRK_NO_DEVELOPER;
    jw_key(j, "messages");
    jw_open(j, '[');
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        bool ok;
        if (m->role == ROLE_USER) {
            ok = put_user(w, j, m);
        } else if (m->role == ROLE_ASSISTANT) {
            ok = put_assistant(w, j, m);
        } else {
            open_message(j, m->role == ROLE_DEVELOPER && !no_developer ? "developer" : "system");
            ok = put_content(w, j, m->parts);
            jw_close(j, '}');
        }
        if (!ok)
            return false;
    }
    jw_close(j, ']');
    return true;
}

static bool put_tool(struct llm_writing *w, struct json_writer *j, const struct llm_tool *t)
{
    bool custom = t->kind == TOOL_CUSTOM;
    if (t->kind == TOOL_HOSTED)
        return llm_lacks(w, FEATURE_HOSTED_TOOLS, NULL);
    if (custom && !is_openai(w))
        return llm_lacks(w, FEATURE_CUSTOM_TOOLS, NULL);
    if (t->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    jw_open(j, '{');
    put_word(j, "type", custom ? SLICE("custom") : SLICE("function"));
    jw_key_slice(j, custom ? SLICE("custom") : SLICE("function"));
    jw_open(j, '{');
    put_word(j, "name", t->name);
    if (t->description.inner.p != NULL)
        jw_field_text(j, "description", t->description);
    if (custom && t->format_json.n > 0) {
        jw_key(j, "format");
        jw_raw(j, t->format_json);
    }
    if (!custom && t->schema_json.n > 0) {
        jw_key(j, "parameters");
        jw_raw(j, t->schema_json);
    }
    if (!custom && t->strict >= 0)
        jw_field_bool(j, "strict", t->strict == 1);
    jw_close(j, '}');
    jw_close(j, '}');
    return true;
}

static void put_allowed(struct json_writer *j, const struct llm_chat *c)
{
    open_part(j, "allowed_tools");
    jw_key(j, "allowed_tools");
    jw_open(j, '{');
    put_word(j, "mode", c->choice == CHOICE_REQUIRED ? SLICE("required") : SLICE("auto"));
    jw_key(j, "tools");
    jw_open(j, '[');
    for (const struct llm_word *n = c->choice_allowed; n != NULL; n = n->next) {
        open_part(j, "function");
        jw_key(j, "function");
        jw_open(j, '{');
        put_word(j, "name", n->word);
        jw_close(j, '}');
        jw_close(j, '}');
    }
    jw_close(j, ']');
    jw_close(j, '}');
    jw_close(j, '}');
}

static bool is_custom(const struct llm_chat *c, struct slice name)
{
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (t->kind == TOOL_CUSTOM && slice_eq(t->name, name))
            return true;
    }
    return false;
}

static bool put_choice(struct llm_writing *w, struct json_writer *j)
{
    static const struct slice words[] = {[CHOICE_AUTO] = {"auto", 4},
                                         [CHOICE_NONE] = {"none", 4},
                                         [CHOICE_REQUIRED] = {"required", 8}};
    const struct llm_chat *c = w->chat;
    if (c->choice_allowed != NULL && !is_openai(w))
        return llm_lacks(w, FEATURE_TOOL_CHOICE, NULL);
    if (c->choice == CHOICE_UNSET)
        return true;
    jw_key(j, "tool_choice");
    if (c->choice_allowed != NULL) {
        put_allowed(j, c);
    } else if (c->choice == CHOICE_NAMED) {
        struct slice kind = is_custom(c, c->choice_name) ? SLICE("custom") : SLICE("function");
        jw_open(j, '{');
        put_word(j, "type", kind);
        jw_key_slice(j, kind);
        jw_open(j, '{');
        put_word(j, "name", c->choice_name);
        jw_close(j, '}');
        jw_close(j, '}');
    } else {
        jw_string(j, words[c->choice]);
    }
    return true;
}

static bool put_tools(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (c->tools == NULL)
        return true;
    jw_key(j, "tools");
    jw_open(j, '[');
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (!put_tool(w, j, t))
            return false;
    }
    jw_close(j, ']');
    if (!put_choice(w, j))
        return false;
    if (c->parallel >= 0)
        jw_field_bool(j, "parallel_tool_calls", c->parallel == 1);
    return true;
}

static void put_format(struct json_writer *j, const struct llm_chat *c)
{
    if (c->format == FORMAT_TEXT)
        return;
    jw_key(j, "response_format");
    if (c->format == FORMAT_JSON_OBJECT) {
        open_part(j, "json_object");
        jw_close(j, '}');
        return;
    }
    open_part(j, "json_schema");
    jw_key(j, "json_schema");
    jw_open(j, '{');
    put_word(j, "name", c->format_name.n > 0 ? c->format_name : SLICE("answer"));
    if (c->format_description.inner.p != NULL)
        jw_field_text(j, "description", c->format_description);
    jw_key(j, "schema");
    jw_raw(j, c->format_schema_json.n > 0 ? c->format_schema_json : SLICE("{}"));
    if (c->format_strict >= 0)
        jw_field_bool(j, "strict", c->format_strict == 1);
    jw_close(j, '}');
    jw_close(j, '}');
}

static void put_number(struct json_writer *j, const char *key, struct slice number)
{
    if (number.n == 0)
        return;
    jw_key_slice(j, slice_str(key));
    jw_raw(j, number);
}

static bool put_sampling(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    unsigned quirks = w->provider->quirks;
    put_number(j, "temperature", c->temperature);
    put_number(j, "top_p", c->top_p);
    if (c->top_k.n > 0 && !(quirks & QUIRK_TOP_K) && !llm_lacks(w, FEATURE_TOP_K, NULL))
        return false;
    if (quirks & QUIRK_TOP_K)
        put_number(j, "top_k", c->top_k);
    put_number(j, "frequency_penalty", c->frequency_penalty);
    put_number(j, "presence_penalty", c->presence_penalty);
    put_number(j, quirks & QUIRK_RANDOM_SEED ? "random_seed" : "seed", c->seed);
    put_number(j, "logit_bias", c->logit_bias_json);
    if (c->n > 1)
        jw_field_i64(j, "n", c->n);
    if (c->max_tokens >= 0) {
        jw_key_slice(j, quirks & QUIRK_MAX_TOKENS ? SLICE("max_tokens")
                                                  : SLICE("max_completion_tokens"));
        jw_i64(j, c->max_tokens);
    }
    if (c->stop != NULL) {
        jw_key(j, "stop");
        jw_open(j, '[');
        for (const struct llm_word *s = c->stop; s != NULL; s = s->next)
            jw_string(j, s->word);
        jw_close(j, ']');
    }
    if (c->logprobs) {
        jw_field_bool(j, "logprobs", true);
        if (c->top_logprobs >= 0)
            jw_field_i64(j, "top_logprobs", c->top_logprobs);
    }
    return true;
}

/* Models that are known to reason; others refuse reasoning_effort. */
static bool reasons(struct slice model)
{
    static const struct slice names[] = {{"o1", 2},     {"o3", 2},           {"o4", 2},
                                         {"gpt-5", 5},  {"gpt-6", 5},        {"gpt-oss", 7},
                                         {"grok-4", 6}, {"grok-3-mini", 11}, {"magistral", 9},
                                         {"qwen3", 5},  {"codex", 5},        {"deepseek-v4", 11}};
    for (size_t i = 0; i < model.n; i++) { /* the vendor's name may stand before the model's */
        if (model.p[i] == '/')
            return reasons(slice_from(model, i + 1));
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_starts(model, names[i]))
            return true;
    }
    return false;
}

/* Tokens for reasoning as a level, where only a level can be said. */
static struct slice effort_of(const struct llm_chat *c)
{
    if (c->effort.n > 0 || c->budget < 0)
        return c->effort;
    if (c->budget == 0)
        return SLICE("none");
    return c->budget <= 2048 ? SLICE("low") : c->budget <= 8192 ? SLICE("medium") : SLICE("high");
}

static bool put_reasoning(struct llm_writing *w, struct json_writer *j)
{
    struct slice effort = effort_of(w->chat);
    if (effort.n == 0)
        return true;
    if (!reasons(w->model)) /* to ask a model that does not reason for none is no loss */
        return slice_is(effort, "none") || llm_lacks(w, FEATURE_EFFORT, NULL);
    put_word(j, "reasoning_effort", effort);
    return true;
}

static bool put_tier(struct llm_writing *w, struct json_writer *j)
{
    static const struct {
        const char *theirs, *ours;
    } rows[] = {{"auto", "auto"},        {"default", "default"}, {"standard_only", "default"},
                {"standard", "default"}, {"flex", "flex"},       {"priority", "priority"},
                {"scale", "scale"}};
    for (size_t i = 0; i < ARRAY_LEN(rows) && is_openai(w); i++) {
        if (!slice_is(w->chat->service_tier, rows[i].theirs))
            continue;
        put_word(j, "service_tier", slice_str(rows[i].ours));
        return true;
    }
    return llm_lacks(w, FEATURE_SERVICE_TIER, NULL);
}

/* Hints: OpenAI's own API has a place for them. */
static bool put_hints(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    bool own = is_openai(w);
    if (c->user.n > 0)
        put_word(j, "user", c->user);
    if (c->service_tier.n > 0 && !put_tier(w, j))
        return false;
    if ((c->metadata_json.n > 0 && !own && !llm_lacks(w, FEATURE_METADATA, NULL)) ||
        (c->verbosity.n > 0 && !own && !llm_lacks(w, FEATURE_VERBOSITY, NULL)) ||
        (c->cache_key.n > 0 && !own && !llm_lacks(w, FEATURE_CACHE, NULL)) ||
        (c->store == 1 && !own && !llm_lacks(w, FEATURE_STORE, NULL)))
        return false;
    if (!own)
        return true;
    put_number(j, "metadata", c->metadata_json);
    if (c->verbosity.n > 0)
        put_word(j, "verbosity", c->verbosity);
    if (c->cache_key.n > 0)
        put_word(j, "prompt_cache_key", c->cache_key);
    if (c->store >= 0)
        jw_field_bool(j, "store", c->store == 1);
    return true;
}

/* That the last message is to be gone on with, where that has to be said beside it. */
static void put_prefill(struct llm_writing *w, struct json_writer *j)
{
    enum llm_prefill how = w->chat->continues ? w->provider->prefill : LLM_PREFILL_NONE;
    if (how != LLM_PREFILL_FLAG && how != LLM_PREFILL_NO_THINKING)
        return;
    jw_field_bool(j, "add_generation_prompt", false);
    jw_field_bool(j, "continue_final_message", true);
    if (how == LLM_PREFILL_NO_THINKING) {
        jw_key(j, "chat_template_kwargs");
        jw_raw(j, SLICE("{\"enable_thinking\":false}"));
    }
}

bool openai_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    jw_open(&j, '{');
    put_word(&j, "model", w->model);
    if (!put_messages(w, &j) || !put_tools(w, &j) || !put_sampling(w, &j) || !put_reasoning(w, &j))
        return false;
    put_format(&j, w->chat);
    put_prefill(w, &j);
    if (!put_hints(w, &j))
        return false;
    if (w->chat->stream) {
        jw_field_bool(&j, "stream", true);
        if (!(w->provider->quirks & QUIRK_NO_STREAM_OPTIONS)) {
            jw_key(&j, "stream_options");
            jw_raw(&j, SLICE("{\"include_usage\":true}"));
        }
    }
    jw_close(&j, '}');
    w->bad->no_memory = w->out->failed;
    return !w->out->failed;
}
