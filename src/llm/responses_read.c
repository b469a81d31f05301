/* Requests in OpenAI's Responses dialect: the light reading, and the full reading of all but the
 * input, which responses_input.c does. */
#include "request_common.h"
#include "responses_internal.h"
#include "responses_reader.h"

/* ---- The light reading. */

enum own_member {
    OWN_MAX_OUTPUT_TOKENS = LLM_MEMBERS_N,
    OWN_SAFETY_IDENTIFIER,
    OWN_PREVIOUS_RESPONSE_ID,
    OWN_CONVERSATION,
    OWN_BACKGROUND,
    OWN_PROMPT,
    OWN_TOOLS,
    OWN_CHOICE,
    OWN_TEXT,
    OWN_END
};
_Static_assert(OWN_END - LLM_MEMBERS_N <= REQUEST_OWN_MAX, "request_reader has room for them");

static int member_of(struct slice k)
{
    static const struct {
        struct slice name;
        int number;
    } rows[] = {{{"model", 5}, LLM_MEMBER_MODEL},
                {{"input", 5}, LLM_MEMBER_INPUT},
                {{"stream", 6}, LLM_MEMBER_STREAM},
                {{"stream_options", 14}, LLM_MEMBER_STREAM_OPTIONS},
                {{"user", 4}, LLM_MEMBER_USER},
                {{"max_output_tokens", 17}, OWN_MAX_OUTPUT_TOKENS},
                {{"safety_identifier", 17}, OWN_SAFETY_IDENTIFIER},
                {{"previous_response_id", 20}, OWN_PREVIOUS_RESPONSE_ID},
                {{"conversation", 12}, OWN_CONVERSATION},
                {{"background", 10}, OWN_BACKGROUND},
                {{"prompt", 6}, OWN_PROMPT},
                {{"tools", 5}, OWN_TOOLS},
                {{"tool_choice", 11}, OWN_CHOICE},
                {{"text", 4}, OWN_TEXT}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_eq(k, rows[i].name))
            return rows[i].number;
    }
    return -1;
}

enum item_member { ITEM_TYPE, ITEM_ID, ITEM_OUTPUT, ITEM_CONTENT, ITEM_MEMBERS_N };

static int member_of_item(struct slice k)
{
    switch (k.n) {
    case 2: return KEY_IS(k, "id") ? (int)ITEM_ID : -1;
    case 4: return KEY_IS(k, "type") ? (int)ITEM_TYPE : -1;
    case 6: return KEY_IS(k, "output") ? (int)ITEM_OUTPUT : -1;
    case 7: return KEY_IS(k, "content") ? (int)ITEM_CONTENT : -1;
    default: return -1;
    }
}

/* An item that stands for one that the provider has stored. */
static void light_reference(struct request_reader *rd, uint32_t id)
{
    bool reasoning = id != 0 && json_type_at(rd->d, id) == JSON_STRING &&
                     slice_starts(json_inner(rd->d, id), SLICE(RESPONSES_REASONING_ID));
    if (reasoning)
        rd->r->refers_reasoning = true;
    else
        rd->r->pinned = "input.item_reference";
}

/* Of a message, or of a tool. */
static uint32_t parts_of(const struct json_doc *d, const uint32_t member[ITEM_MEMBERS_N])
{
    uint32_t type = member[ITEM_TYPE];
    if (type == 0 || json_string_is(d, type, SLICE("message")))
        return member[ITEM_CONTENT];
    bool output = json_string_is(d, type, SLICE("function_call_output")) ||
                  json_string_is(d, type, SLICE("custom_tool_call_output"));
    return output ? member[ITEM_OUTPUT] : 0;
}

static bool light_item(struct request_reader *rd, uint32_t node, size_t i)
{
    const struct json_doc *d = rd->d;
    uint32_t member[ITEM_MEMBERS_N] = {0}, type;
    if (!request_object(rd, request_path(rd, "input[%zu]", i), node))
        return false;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, member_of_item);
        if (m >= 0 && (m == ITEM_ID || json_type_at(d, k + 1) != JSON_NULL))
            member[m] = k + 1;
    }
    type = member[ITEM_TYPE];
    if (type != 0 && json_type_at(d, type) != JSON_STRING)
        return request_wrong_type(rd, request_path(rd, "input[%zu].type", i), "a string", type);
    if (type != 0 && json_string_is(d, type, SLICE("item_reference")))
        light_reference(rd, member[ITEM_ID]);
    uint32_t parts = parts_of(d, member);
    if (parts != 0)
        request_needs_parts(rd, parts);
    return true;
}

static bool light_input(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t node = rd->value[LLM_MEMBER_INPUT];
    size_t i = 0;
    if (node == 0 && rd->r->pinned != NULL) /* what is stored may be all of it */
        return true;
    if (node == 0)
        return request_missing(rd, "input");
    if (json_type_at(d, node) == JSON_STRING)
        return true;
    if (json_type_at(d, node) != JSON_ARRAY)
        return request_wrong_type(rd, "input", "a string or an array", node);
    for (uint32_t n = json_first(d, node); n < json_end(d, node); n = json_after(d, n)) {
        if (!light_item(rd, n, i++))
            return false;
    }
    return true;
}

static bool light_pins(struct request_reader *rd)
{
    static const struct {
        enum own_member member;
        const char *name;
    } rows[] = {{OWN_PREVIOUS_RESPONSE_ID, "previous_response_id"},
                {OWN_CONVERSATION, "conversation"},
                {OWN_PROMPT, "prompt"}};
    bool background;
    if (!request_boolean(rd, "background", rd->value[OWN_BACKGROUND], &background))
        return false;
    if (background)
        rd->r->pinned = "background";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rd->value[rows[i].member] != 0)
            rd->r->pinned = rows[i].name;
    }
    return true;
}

static bool look_at_needs(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t text = rd->value[OWN_TEXT];
    bool object = text != 0 && json_type_at(d, text) == JSON_OBJECT;
    request_needs_tools(rd, rd->value[OWN_TOOLS], rd->value[OWN_CHOICE]);
    request_needs_format(rd, object ? json_get(d, text, SLICE("format")) : 0);
    return true;
}

bool responses_read_request(struct json_parser *p, struct arena *a, enum llm_op op,
                            struct slice body, struct llm_request *ret,
                            struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct request_reader rd;
    if (!request_open(&rd, &d, p, a, op, body, member_of, ret, ret_bad))
        return false;
    uint32_t options = rd.value[LLM_MEMBER_STREAM_OPTIONS];
    ret->wants_usage = true; /* the answer's last event has it always */
    return request_model(&rd, rd.value[LLM_MEMBER_MODEL]) &&
           request_boolean(&rd, "stream", rd.value[LLM_MEMBER_STREAM], &ret->stream) &&
           (options == 0 || request_object(&rd, "stream_options", options)) &&
           request_integer(&rd, "max_output_tokens", rd.value[OWN_MAX_OUTPUT_TOKENS], 1, INT64_MAX,
                           &ret->max_tokens) &&
           request_string(&rd, "user", rd.value[LLM_MEMBER_USER], &ret->user) &&
           request_string(&rd, "safety_identifier", rd.value[OWN_SAFETY_IDENTIFIER], &ret->user) &&
           light_pins(&rd) && light_input(&rd) && look_at_needs(&rd);
}

/* ---- Tools. */

static bool need_name(struct llm_reader *rd, uint32_t object, const char *path, struct slice *ret)
{
    if (!reader_word(rd, object, "name", path, ret))
        return false;
    return ret->n > 0 || responses_missing(rd, path);
}

static bool read_function(struct llm_reader *rd, uint32_t node, struct llm_tool *t, unsigned i)
{
    static const char *const known[] = {"type",       "name",   "description",
                                        "parameters", "strict", NULL};
    uint32_t schema = reader_get(rd, node, "parameters");
    if (schema != 0 && json_type_at(rd->d, schema) != JSON_OBJECT)
        return reader_wrong_type(rd, reader_path(rd, "tools[%u].parameters", i), "an object",
                                 schema);
    reader_schema(rd, node, "parameters", t);
    return need_name(rd, node, reader_path(rd, "tools[%u].name", i), &t->name) &&
           reader_text(rd, node, "description", reader_path(rd, "tools[%u].description", i),
                       &t->description) &&
           reader_flag(rd, node, "strict", reader_path(rd, "tools[%u].strict", i), &t->strict) &&
           reader_unknown(rd, node, known, "tools.");
}

static bool read_custom(struct llm_reader *rd, uint32_t node, struct llm_tool *t, unsigned i)
{
    static const char *const known[] = {"type", "name", "description", "format", NULL};
    reader_json(rd, node, "format", &t->format_json);
    return need_name(rd, node, reader_path(rd, "tools[%u].name", i), &t->name) &&
           reader_text(rd, node, "description", reader_path(rd, "tools[%u].description", i),
                       &t->description) &&
           reader_unknown(rd, node, known, "tools.");
}

static bool read_tool(struct llm_reader *rd, uint32_t node, unsigned i, struct llm_tool ***tail);

/* Its tools one by one, under names that say the namespace: no other API groups them. */
static bool read_namespace(struct llm_reader *rd, uint32_t node, unsigned i,
                           struct llm_tool ***tail)
{
    struct slice space = SLICE_NONE;
    uint32_t list = reader_get(rd, node, "tools");
    if (!need_name(rd, node, reader_path(rd, "tools[%u].name", i), &space))
        return false;
    const char *path = reader_path(rd, "tools[%u].tools", i);
    if (list == 0)
        return responses_missing(rd, path);
    if (!reader_array(rd, list, path))
        return false;
    for (uint32_t n = json_first(rd->d, list); n < json_end(rd->d, list);
         n = json_after(rd->d, n)) {
        struct llm_tool **made = *tail;
        if (!read_tool(rd, n, i, tail))
            return false;
        for (struct llm_tool *t = *made; t != NULL; t = t->next) {
            if (t->kind == TOOL_HOSTED || t->space.n > 0)
                return reader_refuse(rd, reader_path(rd, "tools[%u].tools", i), "invalid_value",
                                     "A namespace may hold functions and custom tools only.");
            t->space = space;
            t->native_json = json_raw(rd->d, node);
            t->name = responses_flat_name(rd->a, space, t->name);
            if (t->name.p == NULL)
                return reader_no_memory(rd);
        }
    }
    return true;
}

static bool read_tool(struct llm_reader *rd, uint32_t node, unsigned i, struct llm_tool ***tail)
{
    struct slice type = SLICE_NONE;
    struct llm_tool *t;
    if (!reader_object(rd, node, reader_path(rd, "tools[%u]", i)) ||
        !reader_word(rd, node, "type", reader_path(rd, "tools[%u].type", i), &type))
        return false;
    if (type.n == 0)
        return responses_missing(rd, reader_path(rd, "tools[%u].type", i));
    if (slice_is(type, "namespace"))
        return read_namespace(rd, node, i, tail);
    bool function = slice_is(type, "function"), custom = slice_is(type, "custom");
    t = reader_add_tool(rd, tail, function ? TOOL_FUNCTION : custom ? TOOL_CUSTOM : TOOL_HOSTED);
    if (t == NULL)
        return false;
    if (function)
        return read_function(rd, node, t, i);
    if (custom)
        return read_custom(rd, node, t, i);
    t->name = type;
    t->family = FAMILY_OPENAI;
    t->native_json = json_raw(rd->d, node);
    return true;
}

static bool read_tools(struct llm_reader *rd)
{
    uint32_t list = reader_get(rd, 0, "tools");
    struct llm_tool **tail = &rd->chat->tools;
    unsigned i = 0;
    if (list == 0)
        return true;
    if (!reader_array(rd, list, "tools"))
        return false;
    for (uint32_t n = json_first(rd->d, list); n < json_end(rd->d, list);
         n = json_after(rd->d, n)) {
        if (!read_tool(rd, n, i++, &tail))
            return false;
    }
    return true;
}

static bool read_mode(struct llm_reader *rd, struct slice mode, const char *param)
{
    static const struct {
        struct slice word;
        enum llm_choice_mode mode;
    } rows[] = {
        {{"auto", 4}, CHOICE_AUTO}, {{"none", 4}, CHOICE_NONE}, {{"required", 8}, CHOICE_REQUIRED}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_eq(mode, rows[i].word))
            continue;
        rd->chat->choice = rows[i].mode;
        return true;
    }
    return reader_refuse(rd, param, "invalid_value",
                         "Invalid value: '" SLICE_FMT
                         "'. Supported values are: 'none', 'auto', and 'required'.",
                         (int)MIN_OF(mode.n, (size_t)64), mode.p != NULL ? mode.p : "");
}

/* The tool that {"type": ..., "name": ...} names; hosted tools have their type for a name. */
static bool read_tool_name(struct llm_reader *rd, uint32_t node, const char *param,
                           struct slice *ret)
{
    struct slice type = SLICE_NONE, space = SLICE_NONE;
    if (!reader_object(rd, node, param) || !reader_word(rd, node, "type", param, &type) ||
        !reader_word(rd, node, "name", param, ret) ||
        !reader_word(rd, node, "namespace", param, &space))
        return false;
    if (slice_is(type, "mcp"))
        return reader_refuse(rd, param, "unsupported_value",
                             "A tool of an MCP server cannot be chosen by name here.");
    if (!slice_is(type, "function") && !slice_is(type, "custom"))
        *ret = type;
    if (ret->n == 0)
        return responses_missing(rd, param);
    if (space.n > 0)
        *ret = responses_flat_name(rd->a, space, *ret);
    return ret->p != NULL || reader_no_memory(rd);
}

static bool read_allowed(struct llm_reader *rd, uint32_t node)
{
    struct slice mode = SLICE_NONE;
    struct llm_word **tail = &rd->chat->choice_allowed;
    uint32_t list = reader_get(rd, node, "tools");
    if (!reader_word(rd, node, "mode", "tool_choice.mode", &mode) ||
        !read_mode(rd, mode, "tool_choice.mode"))
        return false;
    if (list == 0)
        return responses_missing(rd, "tool_choice.tools");
    if (!reader_array(rd, list, "tool_choice.tools"))
        return false;
    for (uint32_t n = json_first(rd->d, list); n < json_end(rd->d, list);
         n = json_after(rd->d, n)) {
        struct llm_word *w = arena_new(rd->a, struct llm_word);
        if (w == NULL)
            return reader_no_memory(rd);
        if (!read_tool_name(rd, n, "tool_choice.tools", &w->word))
            return false;
        LLM_APPEND(tail, w);
    }
    return true;
}

static bool read_choice(struct llm_reader *rd)
{
    uint32_t node = reader_get(rd, 0, "tool_choice");
    struct slice word = SLICE_NONE;
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) == JSON_STRING)
        return reader_word(rd, 0, "tool_choice", "tool_choice", &word) &&
               read_mode(rd, word, "tool_choice");
    if (!reader_object(rd, node, "tool_choice") ||
        !reader_word(rd, node, "type", "tool_choice.type", &word))
        return false;
    if (slice_is(word, "allowed_tools"))
        return read_allowed(rd, node);
    rd->chat->choice = CHOICE_NAMED;
    return read_tool_name(rd, node, "tool_choice", &rd->chat->choice_name);
}

/* ---- What the answer is to be like. */

static bool read_format(struct llm_reader *rd, uint32_t node)
{
    static const char *const known[] = {"type", "name", "schema", "strict", "description", NULL};
    struct llm_chat *c = rd->chat;
    struct slice type = SLICE_NONE;
    if (!reader_object(rd, node, "text.format") ||
        !reader_word(rd, node, "type", "text.format.type", &type))
        return false;
    if (slice_is(type, "text"))
        return true;
    if (slice_is(type, "json_object")) {
        c->format = FORMAT_JSON_OBJECT;
        return true;
    }
    if (!slice_is(type, "json_schema"))
        return reader_refuse(
            rd, "text.format.type", "invalid_value",
            "Invalid value for 'text.format.type': supported values are 'text', 'json_object' and "
            "'json_schema'.");
    c->format = FORMAT_JSON_SCHEMA;
    uint32_t schema = reader_get(rd, node, "schema");
    if (schema == 0)
        return responses_missing(rd, "text.format.schema");
    if (json_type_at(rd->d, schema) != JSON_OBJECT)
        return reader_wrong_type(rd, "text.format.schema", "an object", schema);
    c->format_schema_json = json_raw(rd->d, schema);
    return need_name(rd, node, "text.format.name", &c->format_name) &&
           reader_text(rd, node, "description", "text.format.description",
                       &c->format_description) &&
           reader_flag(rd, node, "strict", "text.format.strict", &c->format_strict) &&
           reader_unknown(rd, node, known, "text.format.");
}

static bool read_text_config(struct llm_reader *rd)
{
    static const char *const known[] = {"format", "verbosity", NULL};
    uint32_t node = reader_get(rd, 0, "text");
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "text"))
        return false;
    uint32_t format = reader_get(rd, node, "format");
    return (format == 0 || read_format(rd, format)) &&
           reader_word(rd, node, "verbosity", "text.verbosity", &rd->chat->verbosity) &&
           reader_unknown(rd, node, known, "text.");
}

static bool read_reasoning(struct llm_reader *rd)
{
    static const char *const known[] = {"effort", "summary", "generate_summary", NULL};
    uint32_t node = reader_get(rd, 0, "reasoning");
    struct llm_chat *c = rd->chat;
    if (node == 0)
        return true;
    return reader_object(rd, node, "reasoning") &&
           reader_word(rd, node, "effort", "reasoning.effort", &c->effort) &&
           reader_word(rd, node, "generate_summary", "reasoning.generate_summary", &c->show) &&
           reader_word(rd, node, "summary", "reasoning.summary", &c->show) &&
           reader_unknown(rd, node, known, "reasoning.");
}

/* All but log probabilities is either given anyway or about hosted tools. */
static bool read_include(struct llm_reader *rd)
{
    struct llm_word *list = NULL;
    if (!reader_words(rd, 0, "include", "include", &list) ||
        !reader_integer(rd, 0, "top_logprobs", "top_logprobs", &rd->chat->top_logprobs))
        return false;
    rd->chat->logprobs = rd->chat->top_logprobs > 0;
    for (const struct llm_word *w = list; w != NULL; w = w->next)
        rd->chat->logprobs |= slice_is(w->word, "message.output_text.logprobs");
    return true;
}

static bool read_metadata(struct llm_reader *rd)
{
    uint32_t node = reader_get(rd, 0, "metadata");
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "metadata"))
        return false;
    for (uint32_t k = json_first(rd->d, node); k < json_end(rd->d, node);
         k = json_after(rd->d, k + 1)) {
        if (json_type_at(rd->d, k + 1) != JSON_STRING)
            return reader_wrong_type(rd, "metadata", "strings in the object", k + 1);
    }
    rd->chat->metadata_json = json_raw(rd->d, node);
    return true;
}

/* "auto" lets the provider leave out the middle of what is too long; nobody else does that. */
static bool read_truncation(struct llm_reader *rd)
{
    struct slice word = SLICE_NONE;
    if (!reader_word(rd, 0, "truncation", "truncation", &word))
        return false;
    return word.n == 0 || slice_is(word, "disabled") || reader_add_unknown(rd, SLICE("truncation"));
}

static bool read_sampling(struct llm_reader *rd)
{
    struct llm_chat *c = rd->chat;
    return reader_number(rd, 0, "temperature", "temperature", &c->temperature) &&
           reader_number(rd, 0, "top_p", "top_p", &c->top_p) &&
           reader_flag(rd, 0, "parallel_tool_calls", "parallel_tool_calls", &c->parallel);
}

static bool read_hints(struct llm_reader *rd)
{
    struct llm_chat *c = rd->chat;
    return reader_word(rd, 0, "service_tier", "service_tier", &c->service_tier) &&
           reader_word(rd, 0, "prompt_cache_key", "prompt_cache_key", &c->cache_key) &&
           reader_flag(rd, 0, "store", "store", &c->store) && read_metadata(rd) &&
           read_truncation(rd);
}

static bool refuse_pinned(struct llm_reader *rd, const char *name)
{
    return reader_refuse(
        rd, name, "unsupported_parameter",
        "'%s' refers to what another provider has stored, or runs there alone: "
        "this model's provider cannot serve it. Send the whole input instead, with "
        "\"store\": false.",
        name);
}

/* Of the root. `stream_options` only pads events; `include` is about what is asked for elsewhere.
 */
static const char *const root_known[] = {"model",
                                         "input",
                                         "instructions",
                                         "tools",
                                         "tool_choice",
                                         "text",
                                         "reasoning",
                                         "parallel_tool_calls",
                                         "stream",
                                         "temperature",
                                         "top_p",
                                         "max_output_tokens",
                                         "include",
                                         "top_logprobs",
                                         "metadata",
                                         "stream_options",
                                         "truncation",
                                         "service_tier",
                                         "prompt_cache_key",
                                         "store",
                                         "user",
                                         "background",
                                         "safety_identifier",
                                         NULL};

bool responses_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                         struct llm_chat *ret, struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct llm_reader rd;
    llm_chat_init(ret, DIALECT_RESPONSES);
    reader_init(&rd, &d, p, a, ret, ret_bad);
    if (r->pinned != NULL)
        return refuse_pinned(&rd, r->pinned);
    enum json_error e = reader_parse(p, r, &d);
    if (e == JSON_NO_MEMORY)
        return reader_no_memory(&rd);
    if (e != JSON_OK)
        return reader_refuse(&rd, "", "invalid_json", "invalid JSON: %s", json_error_text(e));
    ret->model = r->model;
    ret->user = r->user;
    ret->stream = r->stream;
    ret->wants_usage = true;
    ret->max_tokens = r->max_tokens;
    return responses_read_input(&rd) && read_tools(&rd) && read_choice(&rd) &&
           read_text_config(&rd) && read_reasoning(&rd) && read_include(&rd) &&
           read_sampling(&rd) && read_hints(&rd) && reader_unknown(&rd, 0, root_known, "");
}
