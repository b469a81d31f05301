/* Text Generation Inference's own API (/generate, /generate_stream), which its containers speak on
 * SageMaker too. Source: huggingface/text-generation-inference, router/src/lib.rs (GenerateRequest,
 * StreamResponse, StreamDetails) and validation.rs.
 *
 * The model gets plain text, and no template of its own is applied. A conversation is written as
 *
 *   what the system says, a line for each text
 *   (an empty line)
 *   User: ...
 *   Assistant: ...
 *   User: ...
 *   Assistant:
 *
 * where an answer that the client has begun stands behind the last "Assistant:", and system
 * messages among the turns are lines "System: ...". A legacy completion's prompt goes as it is.
 *
 * Sampling is asked for as TGI's chat route does it: unless temperature is 0. temperature 0, top_p
 * 1 and top_k 0 are what holds without them, and are refused. max_new_tokens null is no bound;
 * absent it would be 100. The text of a stop sequence is part of TGI's answers. */
#include "llm/wire.h"

#define FIGURE_MAX ((int64_t)1 << 48)

/* ---- Requests. */

/* The features of kinds of parts that a prompt has no place for. */
static const enum llm_feature kind_features[] = {
    [PART_IMAGE] = FEATURE_IMAGE,         [PART_AUDIO] = FEATURE_AUDIO,
    [PART_VIDEO] = FEATURE_VIDEO,         [PART_DOCUMENT] = FEATURE_DOCUMENT,
    [PART_TOOL_CALL] = FEATURE_TOOLS,     [PART_TOOL_RESULT] = FEATURE_TOOLS,
    [PART_REASONING] = FEATURE_SIGNATURE, [PART_NATIVE] = FEATURE_NATIVE_PART,
};

/* The texts of a message, a line each. */
static bool put_texts(struct llm_writing *w, const struct llm_message *m)
{
    bool any = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        if (p->kind != PART_TEXT && p->kind != PART_REFUSAL) {
            if (!llm_lacks_part(w, kind_features[p->kind], p))
                return false;
            continue;
        }
        if (any)
            buf_lit(w->out, "\\n");
        any = true;
        buf_slice(w->out, p->text.inner);
    }
    return m->name.n == 0 || llm_lacks(w, FEATURE_NAME, NULL);
}

static bool is_system(const struct llm_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

/* The conversation, inside a JSON string. */
static bool put_prompt(struct llm_writing *w)
{
    static const char *const speakers[] = {[ROLE_SYSTEM] = "System: ",
                                           [ROLE_DEVELOPER] = "System: ",
                                           [ROLE_USER] = "User: ",
                                           [ROLE_ASSISTANT] = "Assistant: "};
    const struct llm_message *m = w->chat->messages;
    bool begun = false; /* the last message is the answer's beginning */
    for (; m != NULL && is_system(m); m = m->next) {
        if (!put_texts(w, m))
            return false;
        buf_lit(w->out, "\\n");
        if (m->next == NULL || !is_system(m->next))
            buf_lit(w->out, "\\n");
    }
    for (; m != NULL; m = m->next) {
        buf_slice(w->out, slice_str(speakers[m->role]));
        if (!put_texts(w, m))
            return false;
        begun = m->role == ROLE_ASSISTANT && m->next == NULL;
        if (!begun)
            buf_lit(w->out, "\\n");
    }
    if (!begun)
        buf_lit(w->out, "Assistant:");
    return true;
}

/* Is it `digit` and nothing else: 0, 0.0, 1.00? */
static bool is_just(struct slice number, char digit)
{
    if (number.n == 0 || number.p[0] != digit || (number.n > 1 && number.p[1] != '.'))
        return false;
    for (size_t i = 2; i < number.n; i++) {
        if (number.p[i] != '0')
            return false;
    }
    return true;
}

static void put_number(struct json_writer *j, const char *key, struct slice number, char without)
{
    if (number.n == 0 || is_just(number, without))
        return;
    jw_key_slice(j, slice_str(key));
    jw_raw(j, number);
}

static void put_parameters(struct json_writer *j, const struct llm_chat *c)
{
    jw_open(j, '{');
    jw_key(j, "max_new_tokens");
    if (c->max_tokens >= 0)
        jw_i64(j, c->max_tokens);
    else
        jw_null(j);
    jw_field_bool(j, "do_sample", !is_just(c->temperature, '0'));
    put_number(j, "temperature", c->temperature, '0');
    put_number(j, "top_p", c->top_p, '1');
    put_number(j, "top_k", c->top_k, '0');
    put_number(j, "frequency_penalty", c->frequency_penalty, '\0');
    put_number(j, "seed", c->seed, '\0');
    if (c->stop != NULL) {
        jw_key(j, "stop");
        jw_open(j, '[');
        for (const struct llm_word *s = c->stop; s != NULL; s = s->next)
            jw_string(j, s->word);
        jw_close(j, ']');
    }
    if (c->format == FORMAT_JSON_SCHEMA && c->format_schema_json.n > 0) {
        jw_key(j, "grammar");
        jw_open(j, '{');
        jw_field_string(j, "type", SLICE("json"));
        jw_key(j, "value");
        jw_raw(j, c->format_schema_json);
        jw_close(j, '}');
    }
    jw_field_bool(j, "return_full_text", false);
    jw_field_bool(j, "details", true); /* why it ended, and how many tokens it took */
    jw_close(j, '}');
}

static bool lacks_rest(struct llm_writing *w)
{
    const struct llm_chat *c = w->chat;
    bool reasons =
        (c->effort.n > 0 && !slice_is(c->effort, "none")) || c->budget > 0 || c->budget == -2;
    const struct {
        bool asked;
        enum llm_feature feature;
    } rows[] = {
        {c->tools != NULL && c->choice != CHOICE_NONE, FEATURE_TOOLS},
        {c->n > 1, FEATURE_N},
        {c->presence_penalty.n > 0 && !is_just(c->presence_penalty, '0'), FEATURE_PENALTIES},
        {c->logit_bias_json.n > 2, FEATURE_LOGIT_BIAS}, /* more than {} */
        {c->logprobs, FEATURE_LOGPROBS},
        {c->format == FORMAT_JSON_OBJECT, FEATURE_JSON_OBJECT},
        {c->format == FORMAT_JSON_SCHEMA && c->format_schema_json.n == 0, FEATURE_JSON_SCHEMA},
        {reasons, FEATURE_EFFORT},
        {c->verbosity.n > 0, FEATURE_VERBOSITY},
        {c->user.n > 0, FEATURE_USER},
        {c->metadata_json.n > 0, FEATURE_METADATA},
        {c->service_tier.n > 0, FEATURE_SERVICE_TIER},
        {c->cache_key.n > 0, FEATURE_CACHE},
        {c->store == 1, FEATURE_STORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].asked && !llm_lacks(w, rows[i].feature, NULL))
            return false;
    }
    return true;
}

static bool tgi_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    const struct llm_chat *c = w->chat;
    if (!lacks_rest(w))
        return false;
    jw_open(&j, '{');
    jw_key(&j, "inputs");
    jw_before_value(&j);
    buf_char(w->out, '"');
    if (!(c->completion && c->messages != NULL ? put_texts(w, c->messages) : put_prompt(w)))
        return false;
    buf_char(w->out, '"');
    jw_key(&j, "parameters");
    put_parameters(&j, c);
    if (c->stream) /* on SageMaker's one path it says which of both is meant */
        jw_field_bool(&j, "stream", true);
    jw_close(&j, '}');
    w->bad->no_memory = w->out->failed;
    return !w->out->failed;
}

/* ---- Answers. */

/* A member of this type, or 0; `object` may be of any type. */
static uint32_t typed(const struct json_doc *doc, uint32_t object, const char *key,
                      enum json_type type)
{
    if (json_type_at(doc, object) != JSON_OBJECT)
        return 0;
    uint32_t node = json_get(doc, object, slice_str(key));
    return node != 0 && json_type_at(doc, node) == type ? node : 0;
}

static int64_t figure_of(const struct json_doc *doc, uint32_t object, const char *key)
{
    int64_t v;
    uint32_t node = typed(doc, object, key, JSON_NUMBER);
    return node != 0 && json_i64(doc, node, &v) && v >= 0 && v <= FIGURE_MAX ? v : -1;
}

/* The one part of an answer. */
static void add_text(struct llm_decoder *d, struct llm_text text)
{
    if (text.inner.n == 0)
        return;
    llm_emit_start(d, SLICE_NONE, SLICE_NONE);
    if (d->state == NULL) {
        d->state = d;
        llm_emit_part(d, 0, 0, PART_TEXT, SLICE_NONE, SLICE_NONE);
    }
    llm_emit_delta(d, 0, 0, text);
}

static const struct {
    const char *reason;
    enum llm_finish finish;
} reasons[] = {
    {"eos_token", FINISH_STOP},
    {"length", FINISH_LENGTH},
    {"stop_sequence", FINISH_SEQUENCE},
};

/* `details` may be 0. */
static void finish(struct llm_decoder *d, const struct json_doc *doc, uint32_t details)
{
    enum llm_finish how = FINISH_STOP;
    uint32_t reason = 0;
    if (details != 0) {
        struct llm_usage u = LLM_USAGE_NONE;
        u.input = figure_of(doc, details, "input_length");
        u.output = figure_of(doc, details, "generated_tokens");
        llm_usage_merge(&d->usage, &u);
        reason = typed(doc, details, "finish_reason", JSON_STRING);
    }
    for (size_t i = 0; reason != 0 && i < ARRAY_LEN(reasons); i++) {
        if (json_string_is(doc, reason, slice_str(reasons[i].reason)))
            how = reasons[i].finish;
    }
    llm_emit_start(d, SLICE_NONE, SLICE_NONE);
    if (d->state != NULL)
        llm_emit_part_end(d, 0, 0);
    llm_emit_finish(d, 0, how, SLICE_NONE, LLM_NO_TEXT);
    d->finished = true;
    llm_emit_end(d);
}

/* error_type, and the HTTP status that goes with it (router/src/server.rs). */
static const struct {
    const char *type;
    unsigned status;
} errors[] = {
    {"validation", 422},
    {"generation", 424},
    {"overloaded", 429},
    {"incomplete_generation", 500},
};

/* False: it is no error. */
static bool take_error(struct llm_decoder *d, const struct json_doc *doc, struct slice text)
{
    struct llm_error e = {.message = SLICE_NONE};
    unsigned status = 500;
    if (typed(doc, 0, "error", JSON_STRING) == 0)
        return false;
    uint32_t type = typed(doc, 0, "error_type", JSON_STRING);
    for (size_t i = 0; type != 0 && i < ARRAY_LEN(errors); i++) {
        if (json_string_is(doc, type, slice_str(errors[i].type)))
            status = errors[i].status;
    }
    openai_read_error(d->json, d->arena, text, &e);
    llm_emit_error(d, status, &e);
    return true;
}

static bool tgi_decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    (void)name;
    if (d->ended || slice_is(data, "[DONE]"))
        return true;
    if (json_parse(d->json, data, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK ||
        json_type_at(&doc, 0) != JSON_OBJECT)
        return false;
    if (take_error(d, &doc, data))
        return true;
    uint32_t token = typed(&doc, 0, "token", JSON_OBJECT);
    if (token != 0 && typed(&doc, token, "special", JSON_TRUE) == 0) {
        uint32_t text = typed(&doc, token, "text", JSON_STRING);
        if (text != 0)
            add_text(d, llm_text_at(&doc, text));
    }
    if (typed(&doc, 0, "generated_text", JSON_STRING) != 0)
        finish(d, &doc, typed(&doc, 0, "details", JSON_OBJECT));
    return true;
}

static bool tgi_decode_end(struct llm_decoder *d)
{
    return d->ended;
}

/* An object, or an array with one, as the older route / and SageMaker's give it. */
static bool tgi_decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    uint32_t node = 0;
    if (json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK)
        return false;
    if (take_error(d, &doc, body))
        return true;
    if (json_type_at(&doc, 0) == JSON_ARRAY) {
        node = json_first(&doc, 0);
        if (node == json_end(&doc, 0) || json_after(&doc, node) != json_end(&doc, 0))
            return false;
    }
    uint32_t text = typed(&doc, node, "generated_text", JSON_STRING);
    if (text == 0)
        return false;
    add_text(d, llm_text_at(&doc, text));
    finish(d, &doc, typed(&doc, node, "details", JSON_OBJECT));
    return true;
}

static struct slice tgi_path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                             struct slice model, bool stream)
{
    if (op == LLM_EMBEDDINGS)
        return SLICE_NONE;
    return stream ? SLICE("/generate_stream") : SLICE("/generate");
}

const struct llm_wire tgi_wire = {
    .name = "tgi",
    .family = FAMILY_NONE,
    .framing = FRAMING_SSE,
    .never =
        LLM_NEEDS_TOOLS | LLM_NEEDS_IMAGES | LLM_NEEDS_AUDIO | LLM_NEEDS_JSON | LLM_NEEDS_CHOICES,
    .path = tgi_path,
    .write_chat = tgi_write_chat,
    .decode_event = tgi_decode_event,
    .decode_end = tgi_decode_end,
    .decode_answer = tgi_decode_answer,
    .read_error = openai_read_error,
};
