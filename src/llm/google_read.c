/* Gemini's generateContent as a client's dialect: reading requests. The model and whether to stream
 * are in the URL, not in the text. ProtoJSON: every name also in snake case, null is absent.
 * Sources: types.py of google-genai 3.4.0 (Python SDK); REST reference of generateContent. */
#include "google_internal.h"
#include "google_request.h"
#include "request_common.h"

enum own_member { OWN_CONTENTS = LLM_MEMBERS_N, OWN_CONFIG, OWN_TOOLS, OWN_CHOICE };

static int root_member_of(struct slice k)
{
    switch (k.n) {
    case 5: return KEY_IS(k, "tools") ? (int)OWN_TOOLS : -1;
    case 8: return KEY_IS(k, "contents") ? (int)OWN_CONTENTS : -1;
    case 10: return KEY_IS(k, "toolConfig") ? (int)OWN_CHOICE : -1;
    case 11: return KEY_IS(k, "tool_config") ? (int)OWN_CHOICE : -1;
    case 16: return KEY_IS(k, "generationConfig") ? (int)OWN_CONFIG : -1;
    case 17: return KEY_IS(k, "generation_config") ? (int)OWN_CONFIG : -1;
    default: return -1;
    }
}

/* The member under either of its names; 0: absent or null. False: it has both. */
static bool either(struct request_reader *rd, uint32_t object, const char *camel, const char *snake,
                   const char *param, uint32_t *ret)
{
    uint32_t a = google_get(rd->d, object, camel), b = google_get(rd->d, object, snake);
    *ret = a != 0 ? a : b;
    return a == 0 || b == 0 ||
           request_refuse(rd, param, "duplicate_key", "Duplicate key: '%s' is given twice.", param);
}

static bool read_limits(struct request_reader *rd, uint32_t config)
{
    static const char tokens[] = "generationConfig.maxOutputTokens";
    static const char count[] = "generationConfig.candidateCount";
    uint32_t node;
    if (!request_object(rd, "generationConfig", config))
        return false;
    if (!either(rd, config, "maxOutputTokens", "max_output_tokens", tokens, &node) ||
        !request_integer(rd, tokens, node, 1, INT64_MAX, &rd->r->max_tokens))
        return false;
    if (!either(rd, config, "candidateCount", "candidate_count", count, &node) ||
        !request_integer(rd, count, node, 1, 8, &rd->r->n))
        return false;
    if (rd->r->n > 1)
        rd->r->needs |= LLM_NEEDS_CHOICES;
    return true;
}

/* Under either of its names; 0: `object` is none, or has no such member. */
static uint32_t any_of(const struct json_doc *d, uint32_t object, const char *camel,
                       const char *snake)
{
    uint32_t node = google_in(d, object, camel);
    return node != 0 ? node : google_in(d, object, snake);
}

static void look_at_part(struct request_reader *rd, uint32_t part)
{
    const struct json_doc *d = rd->d;
    uint32_t blob = any_of(d, part, "inlineData", "inline_data");
    uint32_t file = blob != 0 ? 0 : any_of(d, part, "fileData", "file_data");
    if (blob == 0 && file == 0)
        return;
    request_needs_media(rd, any_of(d, blob != 0 ? blob : file, "mimeType", "mime_type"),
                        any_of(d, file, "fileUri", "file_uri"));
}

/* Functions, rather than what Google itself does. */
static void look_at_tools(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t tools = rd->value[OWN_TOOLS];
    uint32_t choice =
        any_of(d, rd->value[OWN_CHOICE], "functionCallingConfig", "function_calling_config");
    uint32_t mode = google_in(d, choice, "mode");
    bool none = mode != 0 && json_type_at(d, mode) == JSON_STRING &&
                slice_eq_nocase(json_inner(d, mode), SLICE("NONE"));
    if (none || tools == 0 || json_type_at(d, tools) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(d, tools); i < json_end(d, tools); i = json_after(d, i))
        request_needs_tools(rd, any_of(d, i, "functionDeclarations", "function_declarations"), 0);
}

static void look_at_format(struct request_reader *rd, uint32_t config)
{
    const struct json_doc *d = rd->d;
    uint32_t type = any_of(d, config, "responseMimeType", "response_mime_type");
    if (any_of(d, config, "responseSchema", "response_schema") != 0 ||
        any_of(d, config, "responseJsonSchema", "response_json_schema") != 0)
        rd->r->needs |= LLM_NEEDS_SCHEMA;
    else if (type != 0 && json_type_at(d, type) == JSON_STRING &&
             json_string_is(d, type, SLICE("application/json")))
        rd->r->needs |= LLM_NEEDS_JSON;
}

static bool read_contents(struct request_reader *rd, uint32_t list)
{
    const struct json_doc *d = rd->d;
    unsigned i = 0;
    if (!request_list(rd, "contents", list))
        return false;
    for (uint32_t c = json_first(d, list); c < json_end(d, list); c = json_after(d, c), i++) {
        if (!request_object(rd, request_path(rd, "contents[%u]", i), c))
            return false;
        uint32_t role = google_in(d, c, "role"), parts = google_in(d, c, "parts");
        if (role != 0 && json_type_at(d, role) != JSON_STRING)
            return request_wrong_type(rd, request_path(rd, "contents[%u].role", i), "a string",
                                      role);
        if (parts != 0 && json_type_at(d, parts) != JSON_ARRAY)
            return request_wrong_type(rd, request_path(rd, "contents[%u].parts", i),
                                      "an array of objects", parts);
        if (parts == 0)
            continue;
        for (uint32_t k = json_first(d, parts); k < json_end(d, parts); k = json_after(d, k))
            look_at_part(rd, k);
    }
    look_at_tools(rd);
    return true;
}

bool google_read_request(struct json_parser *p, struct arena *a, enum llm_op op, struct slice body,
                         struct llm_request *ret, struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct request_reader rd;
    uint32_t config;
    if (!request_open(&rd, &d, p, a, op, body, root_member_of, ret, ret_bad))
        return false;
    if (!either(&rd, 0, "generationConfig", "generation_config", "generationConfig", &config))
        return false;
    if (config != 0 && !read_limits(&rd, config))
        return false;
    if (config != 0)
        look_at_format(&rd, config);
    return read_contents(&rd, rd.value[OWN_CONTENTS]);
}

/* ---- The full reading: members of objects. */

static void google_reader_init(struct google_reader *g, const struct json_doc *d,
                               struct json_parser *p, struct arena *a, struct llm_chat *chat,
                               struct llm_bad_request *bad)
{
    *g = (struct google_reader){.calls_tail = &g->calls};
    reader_init(&g->rd, d, p, a, chat, bad);
}

bool google_members(struct google_reader *g, uint32_t node, const char *param, const char *where,
                    const char *const *names, uint32_t *ret)
{
    struct llm_reader *rd = &g->rd;
    char room[GOOGLE_NAME_MAX];
    if (!reader_object(rd, node, param))
        return false;
    for (uint32_t k = json_first(rd->d, node); k < json_end(rd->d, node);
         k = json_after(rd->d, k + 1)) {
        struct slice key = json_string(rd->d, k, rd->a);
        unsigned i = 0;
        if (key.p == NULL)
            return reader_no_memory(rd);
        if (json_type_at(rd->d, k + 1) == JSON_NULL)
            continue;
        struct slice name = google_camel(key, room);
        while (names[i] != NULL && !slice_is(name, names[i]))
            i++;
        if (names[i] == NULL) {
            struct slice said = arena_printf(rd->a, "%s" SLICE_FMT, where, SLICE_ARG(key));
            if (said.p == NULL)
                return reader_no_memory(rd);
            if (!reader_add_unknown(rd, said))
                return false;
            continue;
        }
        if (ret[i] != 0)
            return reader_refuse(rd, param, "duplicate_key", "Duplicate key: '%s' is given twice.",
                                 names[i]);
        ret[i] = k + 1;
    }
    return true;
}

bool google_text_of(struct google_reader *g, uint32_t node, const char *param, struct llm_text *ret)
{
    if (node == 0)
        return true;
    if (json_type_at(g->rd.d, node) != JSON_STRING)
        return reader_wrong_type(&g->rd, param, "a string", node);
    *ret = llm_text_at(g->rd.d, node);
    return true;
}

bool google_word_of(struct google_reader *g, uint32_t node, const char *param, struct slice *ret)
{
    if (node == 0)
        return true;
    if (json_type_at(g->rd.d, node) != JSON_STRING)
        return reader_wrong_type(&g->rd, param, "a string", node);
    *ret = json_string(g->rd.d, node, g->rd.a);
    return ret->p != NULL || reader_no_memory(&g->rd);
}

/* Small letters, for words of an enumeration. */
static bool lower_word_of(struct google_reader *g, uint32_t node, const char *param,
                          struct slice *ret)
{
    struct slice said = SLICE_NONE;
    if (!google_word_of(g, node, param, &said))
        return false;
    if (said.p == NULL)
        return true;
    char *p = arena_alloc(g->rd.a, said.n + 1);
    if (p == NULL)
        return reader_no_memory(&g->rd);
    for (size_t i = 0; i < said.n; i++)
        p[i] = (char)(said.p[i] >= 'A' && said.p[i] <= 'Z' ? said.p[i] - 'A' + 'a' : said.p[i]);
    *ret = slice_of(p, said.n);
    return true;
}

static bool number_of(struct google_reader *g, uint32_t node, const char *param, struct slice *ret)
{
    if (node == 0)
        return true;
    if (json_type_at(g->rd.d, node) != JSON_NUMBER)
        return reader_wrong_type(&g->rd, param, "a number", node);
    *ret = json_raw(g->rd.d, node);
    return true;
}

static bool integer_of(struct google_reader *g, uint32_t node, const char *param, int64_t *ret)
{
    return node == 0 || json_i64(g->rd.d, node, ret) ||
           reader_wrong_type(&g->rd, param, "an integer", node);
}

bool google_flag_of(struct google_reader *g, uint32_t node, const char *param, int *ret)
{
    if (node == 0)
        return true;
    enum json_type t = json_type_at(g->rd.d, node);
    if (t != JSON_TRUE && t != JSON_FALSE)
        return reader_wrong_type(&g->rd, param, "a boolean", node);
    *ret = t == JSON_TRUE;
    return true;
}

static bool words_of(struct google_reader *g, uint32_t node, const char *param,
                     struct llm_word **ret)
{
    const struct json_doc *d = g->rd.d;
    if (node == 0)
        return true;
    if (!reader_array(&g->rd, node, param))
        return false;
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        struct llm_word *w = arena_new(g->rd.a, struct llm_word);
        if (w == NULL)
            return reader_no_memory(&g->rd);
        if (!google_word_of(g, i, param, &w->word))
            return false;
        LLM_APPEND(ret, w);
    }
    return true;
}

/* ---- Tools. */

static bool read_declaration(struct google_reader *g, uint32_t node, struct llm_tool ***tail)
{
    enum { NAME, DESCRIPTION, PARAMETERS, SCHEMA, N };
    static const char *const names[] = {"name", "description", "parameters", "parametersJsonSchema",
                                        NULL};
    static const char param[] = "tools.functionDeclarations";
    uint32_t v[N] = {0};
    struct llm_reader *rd = &g->rd;
    if (!google_members(g, node, param, "tools.functionDeclarations.", names, v))
        return false;
    struct llm_tool *t = reader_add_tool(rd, tail, TOOL_FUNCTION);
    if (t == NULL || !google_word_of(g, v[NAME], "tools.functionDeclarations.name", &t->name) ||
        !google_text_of(g, v[DESCRIPTION], "tools.functionDeclarations.description",
                        &t->description))
        return false;
    if (t->name.n == 0)
        return reader_refuse(rd, "tools.functionDeclarations.name", "missing_required_parameter",
                             "Each function declaration needs a name.");
    if (v[SCHEMA] != 0) {
        t->schema_json = json_raw(rd->d, v[SCHEMA]);
    } else if (v[PARAMETERS] != 0) {
        t->schema_json = google_json_schema(rd->d, v[PARAMETERS], rd->a);
        if (t->schema_json.p == NULL)
            return reader_no_memory(rd);
    }
    return true;
}

/* What Google runs itself: {"googleSearch":{}}. */
static bool read_hosted(struct google_reader *g, uint32_t key, struct llm_tool ***tail)
{
    struct llm_reader *rd = &g->rd;
    struct slice name = json_string(rd->d, key, rd->a);
    struct slice raw = json_raw(rd->d, key), value = json_raw(rd->d, key + 1);
    struct llm_tool *t = reader_add_tool(rd, tail, TOOL_HOSTED);
    if (t == NULL)
        return false;
    t->name = name;
    t->family = FAMILY_GOOGLE;
    t->native_json =
        arena_printf(rd->a, "{" SLICE_FMT ":" SLICE_FMT "}", SLICE_ARG(raw), SLICE_ARG(value));
    return (name.p != NULL && t->native_json.p != NULL) || reader_no_memory(rd);
}

static bool read_tool(struct google_reader *g, uint32_t node, struct llm_tool ***tail)
{
    struct llm_reader *rd = &g->rd;
    const struct json_doc *d = rd->d;
    char room[GOOGLE_NAME_MAX];
    if (!reader_object(rd, node, "tools"))
        return false;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        struct slice key = json_string(d, k, rd->a);
        if (key.p == NULL)
            return reader_no_memory(rd);
        if (json_type_at(d, k + 1) == JSON_NULL)
            continue;
        if (!slice_is(google_camel(key, room), "functionDeclarations")) {
            if (!read_hosted(g, k, tail))
                return false;
            continue;
        }
        if (!reader_array(rd, k + 1, "tools.functionDeclarations"))
            return false;
        for (uint32_t i = json_first(d, k + 1); i < json_end(d, k + 1); i = json_after(d, i)) {
            if (!read_declaration(g, i, tail))
                return false;
        }
    }
    return true;
}

static bool read_tools(struct google_reader *g, uint32_t list)
{
    struct llm_reader *rd = &g->rd;
    struct llm_tool **tail = &rd->chat->tools;
    if (list == 0)
        return true;
    if (!reader_array(rd, list, "tools"))
        return false;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        if (!read_tool(g, i, &tail))
            return false;
    }
    return true;
}

static bool read_mode(struct google_reader *g, struct slice mode)
{
    static const struct {
        const char *mode;
        enum llm_choice_mode choice;
    } rows[] = {
        {"", CHOICE_UNSET},    {"mode_unspecified", CHOICE_UNSET}, {"auto", CHOICE_AUTO},
        {"none", CHOICE_NONE}, {"any", CHOICE_REQUIRED},           {"validated", CHOICE_AUTO},
    };
    struct llm_chat *c = g->rd.chat;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_is(mode, rows[i].mode))
            continue;
        c->choice = rows[i].choice;
        if (c->choice == CHOICE_REQUIRED && c->choice_allowed != NULL &&
            c->choice_allowed->next == NULL) {
            c->choice = CHOICE_NAMED;
            c->choice_name = c->choice_allowed->word;
            c->choice_allowed = NULL;
        }
        return true;
    }
    return reader_refuse(&g->rd, "toolConfig.functionCallingConfig.mode", "invalid_value",
                         "Invalid value for 'mode': expected AUTO, ANY, NONE or VALIDATED.");
}

static bool read_tool_config(struct google_reader *g, uint32_t node)
{
    enum { MODE, ALLOWED, N };
    static const char *const outer_names[] = {"functionCallingConfig", NULL};
    static const char *const names[] = {"mode", "allowedFunctionNames", NULL};
    uint32_t outer[1] = {0}, v[N] = {0};
    struct slice mode = SLICE("");
    if (node == 0)
        return true;
    if (!google_members(g, node, "toolConfig", "toolConfig.", outer_names, outer))
        return false;
    if (outer[0] == 0)
        return true;
    return google_members(g, outer[0], "toolConfig.functionCallingConfig",
                          "toolConfig.functionCallingConfig.", names, v) &&
           words_of(g, v[ALLOWED], "toolConfig.functionCallingConfig.allowedFunctionNames",
                    &g->rd.chat->choice_allowed) &&
           lower_word_of(g, v[MODE], "toolConfig.functionCallingConfig.mode", &mode) &&
           read_mode(g, mode);
}

/* ---- generationConfig. */

static bool read_thinking(struct google_reader *g, uint32_t node)
{
    enum { BUDGET, LEVEL, SHOW, N };
    static const char *const names[] = {"thinkingBudget", "thinkingLevel", "includeThoughts", NULL};
    static const char param[] = "generationConfig.thinkingConfig";
    struct llm_chat *c = g->rd.chat;
    uint32_t v[N] = {0};
    int show = -1;
    if (node == 0)
        return true;
    if (!google_members(g, node, param, "generationConfig.thinkingConfig.", names, v) ||
        !integer_of(g, v[BUDGET], param, &c->budget) ||
        !lower_word_of(g, v[LEVEL], param, &c->effort) || !google_flag_of(g, v[SHOW], param, &show))
        return false;
    if (v[BUDGET] != 0 && c->budget < 0)
        c->budget = -2;
    if (slice_is(c->effort, "thinking_level_unspecified"))
        c->effort = SLICE_NONE;
    if (show >= 0)
        c->show = show == 1 ? SLICE("auto") : SLICE("omitted");
    return true;
}

static bool read_format(struct google_reader *g, uint32_t type, uint32_t schema, uint32_t standard)
{
    struct llm_reader *rd = &g->rd;
    struct llm_chat *c = rd->chat;
    struct slice mime = SLICE_NONE;
    if (!google_word_of(g, type, "generationConfig.responseMimeType", &mime))
        return false;
    if (mime.n > 0 && !slice_is(mime, "text/plain") && !slice_is(mime, "application/json"))
        return reader_refuse(rd, "generationConfig.responseMimeType", "invalid_value",
                             "'generationConfig.responseMimeType' has to be text/plain or "
                             "application/json here.");
    if (slice_is(mime, "application/json"))
        c->format = FORMAT_JSON_OBJECT;
    if (schema == 0 && standard == 0)
        return true;
    c->format = FORMAT_JSON_SCHEMA;
    c->format_name = SLICE("response");
    c->format_schema_json =
        standard != 0 ? json_raw(rd->d, standard) : google_json_schema(rd->d, schema, rd->a);
    return c->format_schema_json.p != NULL || reader_no_memory(rd);
}

/* Texts are all that the neutral answer holds. */
static bool read_modalities(struct google_reader *g, uint32_t node)
{
    static const char param[] = "generationConfig.responseModalities";
    struct llm_word *words = NULL;
    if (!words_of(g, node, param, &words))
        return false;
    for (; words != NULL; words = words->next) {
        if (!slice_eq_nocase(words->word, SLICE("TEXT")))
            return reader_refuse(&g->rd, param, "unsupported_parameter",
                                 "'%s' other than TEXT needs a Gemini model behind this name.",
                                 param);
    }
    return true;
}

static bool read_config(struct google_reader *g, uint32_t node)
{
    enum {
        TEMPERATURE,
        TOP_P,
        TOP_K,
        FREQUENCY,
        PRESENCE,
        SEED,
        MAX_TOKENS,
        COUNT,
        STOP,
        LOGPROBS,
        TOPS,
        MIME,
        SCHEMA,
        JSON_SCHEMA,
        THINKING,
        MODALITIES,
        N
    };
    static const char *const names[] = {"temperature",
                                        "topP",
                                        "topK",
                                        "frequencyPenalty",
                                        "presencePenalty",
                                        "seed",
                                        "maxOutputTokens",
                                        "candidateCount",
                                        "stopSequences",
                                        "responseLogprobs",
                                        "logprobs",
                                        "responseMimeType",
                                        "responseSchema",
                                        "responseJsonSchema",
                                        "thinkingConfig",
                                        "responseModalities",
                                        NULL};
    struct llm_chat *c = g->rd.chat;
    uint32_t v[N] = {0};
    int logprobs = 0;
    if (node == 0)
        return true;
    if (!google_members(g, node, "generationConfig", "generationConfig.", names, v))
        return false;
    if (!number_of(g, v[TEMPERATURE], "generationConfig.temperature", &c->temperature) ||
        !number_of(g, v[TOP_P], "generationConfig.topP", &c->top_p) ||
        !number_of(g, v[TOP_K], "generationConfig.topK", &c->top_k) ||
        !number_of(g, v[FREQUENCY], "generationConfig.frequencyPenalty", &c->frequency_penalty) ||
        !number_of(g, v[PRESENCE], "generationConfig.presencePenalty", &c->presence_penalty) ||
        !number_of(g, v[SEED], "generationConfig.seed", &c->seed) ||
        !integer_of(g, v[MAX_TOKENS], "generationConfig.maxOutputTokens", &c->max_tokens) ||
        !integer_of(g, v[COUNT], "generationConfig.candidateCount", &c->n) ||
        !words_of(g, v[STOP], "generationConfig.stopSequences", &c->stop) ||
        !google_flag_of(g, v[LOGPROBS], "generationConfig.responseLogprobs", &logprobs) ||
        !integer_of(g, v[TOPS], "generationConfig.logprobs", &c->top_logprobs))
        return false;
    c->logprobs = logprobs == 1;
    return read_format(g, v[MIME], v[SCHEMA], v[JSON_SCHEMA]) && read_thinking(g, v[THINKING]) &&
           read_modalities(g, v[MODALITIES]);
}

/* ---- The root. */

enum { SYSTEM, CONTENTS, TOOLS, TOOL_CONFIG, CONFIG, CACHED, LABELS, TIER, STORE, MODEL, ROOT_N };

/* What is not about the conversation. */
static bool read_rest(struct google_reader *g, const uint32_t *v)
{
    struct llm_reader *rd = &g->rd;
    struct llm_chat *c = rd->chat;
    if (v[CACHED] != 0)
        return reader_refuse(rd, "cachedContent", "unsupported_parameter",
                             "'cachedContent' needs a Gemini model behind this name: what it "
                             "holds is known to Google alone.");
    if (v[LABELS] != 0 && !reader_object(rd, v[LABELS], "labels"))
        return false;
    if (v[LABELS] != 0)
        c->metadata_json = json_raw(rd->d, v[LABELS]);
    if (!lower_word_of(g, v[TIER], "serviceTier", &c->service_tier) ||
        !google_flag_of(g, v[STORE], "store", &c->store))
        return false;
    if (slice_is(c->service_tier, "standard"))
        c->service_tier = SLICE("default");
    else if (slice_is(c->service_tier, "unspecified"))
        c->service_tier = SLICE_NONE;
    return true;
}

bool google_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                      struct llm_chat *ret, struct llm_bad_request *ret_bad)
{
    static const char *const names[] = {"systemInstruction",
                                        "contents",
                                        "tools",
                                        "toolConfig",
                                        "generationConfig",
                                        "cachedContent",
                                        "labels",
                                        "serviceTier",
                                        "store",
                                        "model",
                                        NULL};
    struct json_doc d;
    struct google_reader g;
    uint32_t v[ROOT_N] = {0};
    llm_chat_init(ret, DIALECT_GOOGLE);
    *ret_bad = (struct llm_bad_request){.code = NULL};
    google_reader_init(&g, &d, p, a, ret, ret_bad);
    if (reader_parse(p, r, &d) != JSON_OK)
        return reader_refuse(&g.rd, "", "invalid_json", "The request body is not valid JSON.");
    ret->model = r->model;
    ret->stream = r->stream;
    ret->wants_usage = true;
    return google_members(&g, 0, "", "", names, v) &&
           google_read_contents(&g, v[SYSTEM], v[CONTENTS]) && read_tools(&g, v[TOOLS]) &&
           read_tool_config(&g, v[TOOL_CONFIG]) && read_config(&g, v[CONFIG]) && read_rest(&g, v);
}
