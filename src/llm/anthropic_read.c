/* Anthropic's Messages as a client dialect: reading requests, of either version of the API
 * (2023-06-01 and 2026-10-21, which takes less). Sources: the parameter types of PyPI anthropic
 * 2.12.0 (MessageCreateParams, MessageCountTokensParams, ContentBlockParam, ToolUnionParam). */
#include "anthropic_internal.h"
#include "reader.h"
#include "request_common.h"

/* ---- The light reading. */

enum own_member { OWN_METADATA = LLM_MEMBERS_N, OWN_TOOLS, OWN_CHOICE, OWN_OUTPUT, OWN_FORMAT };

static int member_of(struct slice k)
{
    switch (k.n) {
    case 5:
        if (KEY_IS(k, "model"))
            return LLM_MEMBER_MODEL;
        return KEY_IS(k, "tools") ? (int)OWN_TOOLS : -1;
    case 6: return KEY_IS(k, "stream") ? LLM_MEMBER_STREAM : -1;
    case 8:
        if (KEY_IS(k, "messages"))
            return LLM_MEMBER_MESSAGES;
        return KEY_IS(k, "metadata") ? (int)OWN_METADATA : -1;
    case 10: return KEY_IS(k, "max_tokens") ? LLM_MEMBER_MAX_TOKENS : -1;
    case 11: return KEY_IS(k, "tool_choice") ? (int)OWN_CHOICE : -1;
    case 13:
        if (KEY_IS(k, "output_config"))
            return OWN_OUTPUT;
        return KEY_IS(k, "output_format") ? (int)OWN_FORMAT : -1;
    default: return -1;
    }
}

/* max_tokens of 0 fills the cache and answers nothing. */
static bool read_limit(struct request_reader *rd)
{
    uint32_t node = rd->value[LLM_MEMBER_MAX_TOKENS];
    if (node == 0 && rd->r->op == LLM_CHAT)
        return request_missing(rd, "max_tokens");
    return request_integer(rd, "max_tokens", node, 0, INT64_MAX, &rd->r->max_tokens);
}

static bool read_stream(struct request_reader *rd)
{
    if (!request_boolean(rd, "stream", rd->value[LLM_MEMBER_STREAM], &rd->r->stream))
        return false;
    if (rd->r->stream && rd->r->op == LLM_COUNT_TOKENS)
        return request_refuse(rd, "stream", "invalid_value",
                              "The 'stream' parameter is not supported for counting tokens.");
    rd->r->wants_usage = rd->r->stream; /* it always comes */
    return true;
}

static bool read_user(struct request_reader *rd)
{
    uint32_t metadata = rd->value[OWN_METADATA];
    if (metadata == 0)
        return true;
    if (!request_object(rd, "metadata", metadata))
        return false;
    uint32_t user = json_get(rd->d, metadata, SLICE("user_id"));
    if (user != 0 && json_type_at(rd->d, user) == JSON_NULL)
        user = 0;
    return request_string(rd, "metadata.user_id", user, &rd->r->user);
}

static bool read_messages(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t node = rd->value[LLM_MEMBER_MESSAGES], role;
    size_t i = 0;
    if (!request_list(rd, "messages", node))
        return false;
    for (uint32_t m = json_first(d, node); m < json_end(d, node); m = json_after(d, m)) {
        if (!request_message(rd, m, i++, &role))
            return false;
    }
    return true;
}

static bool look_at_needs(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t output = rd->value[OWN_OUTPUT];
    bool object = output != 0 && json_type_at(d, output) == JSON_OBJECT;
    request_needs_tools(rd, rd->value[OWN_TOOLS], rd->value[OWN_CHOICE]);
    request_needs_format(rd, rd->value[OWN_FORMAT]);
    request_needs_format(rd, object ? json_get(d, output, SLICE("format")) : 0);
    return true;
}

bool anthropic_read_request(struct json_parser *p, struct arena *a, enum llm_op op,
                            struct slice body, struct llm_request *ret,
                            struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct request_reader rd;
    if (!request_open(&rd, &d, p, a, op, body, member_of, ret, ret_bad))
        return false;
    if (op != LLM_CHAT && op != LLM_COUNT_TOKENS)
        return request_refuse(&rd, "", "invalid_value",
                              "Anthropic's dialect has no such operation.");
    return request_model(&rd, rd.value[LLM_MEMBER_MODEL]) && read_stream(&rd) && read_limit(&rd) &&
           read_user(&rd) && read_messages(&rd) && look_at_needs(&rd);
}

/* ---- The full reading. */

/* Where a block stands. */
struct place {
    struct llm_reader *rd;
    unsigned message, at;
    bool system; /* the request's own member */
};

static const char *path_of(const struct place *x, const char *rest)
{
    if (x->system)
        return reader_path(x->rd, "system[%u]%s", x->at, rest);
    return reader_path(x->rd, "messages[%u].content[%u]%s", x->message, x->at, rest);
}

static bool missing(const struct place *x, const char *rest)
{
    const char *path = path_of(x, rest);
    return reader_refuse(x->rd, path, "missing_required_parameter",
                         "Missing required parameter: '%s'.", path);
}

static bool read_plain(const struct place *x, uint32_t node, struct llm_part *p)
{
    static const char *const known[] = {"type", "text", "cache_control", NULL};
    if (!reader_text(x->rd, node, "text", path_of(x, ".text"), &p->text))
        return false;
    if (p->text.inner.p == NULL)
        return missing(x, ".text");
    return reader_unknown(x->rd, node, known, "messages.content.");
}

static bool take_native(const struct place *x, uint32_t node, struct llm_part *p)
{
    p->kind = PART_NATIVE;
    p->family = FAMILY_ANTHROPIC;
    p->native_json = json_raw(x->rd->d, node);
    p->cache_json = SLICE_NONE; /* it is in there */
    return true;
}

/* The source's members by its type. Types that the model has no place for, as a document's own
 * blocks, set `*ret_native`. */
static bool read_source(const struct place *x, uint32_t node, struct llm_source *s,
                        bool *ret_native)
{
    struct llm_reader *rd = x->rd;
    struct slice type = SLICE_NONE;
    uint32_t source = reader_get(rd, node, "source");
    if (source == 0)
        return missing(x, ".source");
    if (!reader_object(rd, source, path_of(x, ".source")) ||
        !reader_word(rd, source, "type", path_of(x, ".source.type"), &type))
        return false;
    if (slice_is(type, "base64"))
        return reader_word(rd, source, "media_type", path_of(x, ".source.media_type"),
                           &s->media_type) &&
               reader_word(rd, source, "data", path_of(x, ".source.data"), &s->data) &&
               (s->data.p != NULL || missing(x, ".source.data"));
    if (slice_is(type, "url"))
        return reader_word(rd, source, "url", path_of(x, ".source.url"), &s->url) &&
               (s->url.n > 0 || missing(x, ".source.url"));
    if (slice_is(type, "file"))
        return reader_word(rd, source, "file_id", path_of(x, ".source.file_id"), &s->file_id) &&
               (s->file_id.n > 0 || missing(x, ".source.file_id"));
    if (slice_is(type, "text")) {
        s->media_type = SLICE("text/plain");
        return reader_text(rd, source, "data", path_of(x, ".source.data"), &s->text) &&
               (s->text.inner.p != NULL || missing(x, ".source.data"));
    }
    *ret_native = true;
    return type.p != NULL || missing(x, ".source.type");
}

static bool read_image(const struct place *x, uint32_t node, struct llm_part *p)
{
    static const char *const known[] = {"type", "source", "cache_control", NULL};
    bool native = false;
    p->kind = PART_IMAGE;
    if (!read_source(x, node, &p->source, &native))
        return false;
    return native ? take_native(x, node, p)
                  : reader_unknown(x->rd, node, known, "messages.content.");
}

static bool read_document(const struct place *x, uint32_t node, struct llm_part *p)
{
    static const char *const known[] = {"type",      "source",        "title",
                                        "citations", "cache_control", NULL};
    struct llm_reader *rd = x->rd;
    bool native = false;
    int enabled = 0;
    p->kind = PART_DOCUMENT;
    if (!read_source(x, node, &p->source, &native))
        return false;
    if (native)
        return take_native(x, node, p);
    uint32_t citations = reader_get(rd, node, "citations");
    if (!reader_word(rd, node, "title", path_of(x, ".title"), &p->source.name))
        return false;
    if (citations != 0 &&
        (!reader_object(rd, citations, path_of(x, ".citations")) ||
         !reader_flag(rd, citations, "enabled", path_of(x, ".citations.enabled"), &enabled)))
        return false;
    p->citations = enabled == 1;
    return reader_unknown(rd, node, known, "messages.content.");
}

static bool read_thinking(const struct place *x, uint32_t node, struct llm_part *p)
{
    struct slice signature = SLICE_NONE;
    p->kind = PART_REASONING;
    if (!reader_text(x->rd, node, "thinking", path_of(x, ".thinking"), &p->text) ||
        !reader_word(x->rd, node, "signature", path_of(x, ".signature"), &signature))
        return false;
    if (p->text.inner.p == NULL)
        return missing(x, ".thinking");
    if (signature.n > 0)
        p->signature = llm_signature_read(signature, FAMILY_ANTHROPIC, &p->family);
    return true;
}

static bool read_redacted(const struct place *x, uint32_t node, struct llm_part *p)
{
    struct slice data = SLICE_NONE;
    p->kind = PART_REASONING;
    p->redacted = true;
    p->text = (struct llm_text){SLICE("")};
    if (!reader_word(x->rd, node, "data", path_of(x, ".data"), &data))
        return false;
    if (data.n == 0)
        return missing(x, ".data");
    p->signature = llm_signature_read(data, FAMILY_ANTHROPIC, &p->family);
    return true;
}

/* A call by code that runs there, or of a tool that is part of a set, is Anthropic's own affair. */
static bool is_native_call(const struct llm_reader *rd, uint32_t node)
{
    uint32_t caller = reader_get(rd, node, "caller"), type = 0;
    if (caller != 0 && json_type_at(rd->d, caller) == JSON_OBJECT)
        type = reader_get(rd, caller, "type");
    bool direct = caller == 0 || (type != 0 && json_type_at(rd->d, type) == JSON_STRING &&
                                  json_string_is(rd->d, type, SLICE("direct")));
    return !direct || reader_get(rd, node, "toolset_name") != 0;
}

static bool read_call(const struct place *x, uint32_t node, struct llm_part *p)
{
    static const char *const known[] = {"type",          "id",     "name", "input",
                                        "cache_control", "caller", NULL};
    uint32_t input = reader_get(x->rd, node, "input");
    reader_set_kind(x->rd, p, PART_TOOL_CALL);
    if (!reader_word(x->rd, node, "id", path_of(x, ".id"), &p->id) ||
        !reader_word(x->rd, node, "name", path_of(x, ".name"), &p->name))
        return false;
    if (p->id.n == 0)
        return missing(x, ".id");
    if (p->name.n == 0)
        return missing(x, ".name");
    if (input == 0)
        return missing(x, ".input");
    if (json_type_at(x->rd->d, input) != JSON_OBJECT)
        return reader_wrong_type(x->rd, path_of(x, ".input"), "an object", input);
    if (is_native_call(x->rd, node))
        return take_native(x, node, p);
    p->input_json = json_raw(x->rd->d, input);
    return reader_unknown(x->rd, node, known, "messages.content.");
}

static bool read_result(const struct place *x, uint32_t node, struct llm_part *p);

static const struct block_type {
    const char *type;
    bool (*read)(const struct place *x, uint32_t node, struct llm_part *p);
    bool in_result; /* may stand inside a tool's result */
} block_types[] = {
    {"text", read_plain, true},
    {"image", read_image, true},
    {"document", read_document, true},
    {"tool_use", read_call, false},
    {"tool_result", read_result, false},
    {"thinking", read_thinking, false},
    {"redacted_thinking", read_redacted, false},
};

/* Blocks of other types are handed on as they are to whoever knows them. */
static bool read_block(const struct place *x, uint32_t node, bool in_result,
                       struct llm_part ***tail)
{
    struct slice type = SLICE_NONE;
    if (!reader_object(x->rd, node, path_of(x, "")) ||
        !reader_word(x->rd, node, "type", path_of(x, ".type"), &type))
        return false;
    if (type.n == 0)
        return missing(x, ".type");
    struct llm_part *p = reader_add_part(x->rd, tail, PART_TEXT, x->message, x->at);
    if (p == NULL)
        return false;
    reader_json(x->rd, node, "cache_control", &p->cache_json);
    for (size_t i = 0; i < ARRAY_LEN(block_types); i++) {
        if (slice_is(type, block_types[i].type) && (!in_result || block_types[i].in_result))
            return block_types[i].read(x, node, p);
    }
    return take_native(x, node, p);
}

/* A string, or blocks. `place` names it where it is neither. */
static bool read_content(struct place *x, uint32_t node, const char *name, bool in_result,
                         struct llm_part ***tail)
{
    const struct json_doc *d = x->rd->d;
    enum json_type type = json_type_at(d, node);
    unsigned i = 0;
    if (type == JSON_STRING) {
        struct llm_part *p = reader_add_part(x->rd, tail, PART_TEXT, x->message, x->at);
        if (p != NULL)
            p->text = llm_text_at(d, node);
        return p != NULL;
    }
    if (type != JSON_ARRAY)
        return reader_wrong_type(x->rd, name, "a string or an array of blocks", node);
    for (uint32_t b = json_first(d, node); b < json_end(d, node); b = json_after(d, b)) {
        if (!in_result)
            x->at = i++;
        if (!read_block(x, b, in_result, tail))
            return false;
    }
    return true;
}

static bool read_result(const struct place *x, uint32_t node, struct llm_part *p)
{
    static const char *const known[] = {"type",     "tool_use_id",   "content",
                                        "is_error", "cache_control", NULL};
    struct llm_part **tail = &p->content;
    struct place inside = *x;
    uint32_t content = reader_get(x->rd, node, "content");
    int is_error = 0;
    reader_set_kind(x->rd, p, PART_TOOL_RESULT);
    if (!reader_word(x->rd, node, "tool_use_id", path_of(x, ".tool_use_id"), &p->id) ||
        !reader_flag(x->rd, node, "is_error", path_of(x, ".is_error"), &is_error))
        return false;
    if (p->id.n == 0)
        return missing(x, ".tool_use_id");
    p->is_error = is_error == 1;
    if (content != 0 && !read_content(&inside, content, path_of(x, ".content"), true, &tail))
        return false;
    return reader_unknown(x->rd, node, known, "messages.content.");
}

static bool read_role(struct llm_reader *rd, uint32_t node, unsigned at, enum llm_role *ret)
{
    static const struct {
        const char *name;
        enum llm_role role;
    } rows[] = {{"user", ROLE_USER}, {"assistant", ROLE_ASSISTANT}, {"system", ROLE_SYSTEM}};
    struct slice role = SLICE_NONE;
    const char *path = reader_path(rd, "messages[%u].role", at);
    if (!reader_word(rd, node, "role", path, &role))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_is(role, rows[i].name))
            continue;
        *ret = rows[i].role;
        return true;
    }
    return reader_refuse(rd, path, "invalid_value",
                         "Invalid value for '%s': expected 'user', 'assistant' or 'system'.", path);
}

static bool read_message(struct llm_reader *rd, uint32_t node, unsigned at,
                         struct llm_message ***tail)
{
    static const char *const known[] = {"role", "content", NULL};
    struct place x = {.rd = rd, .message = at};
    enum llm_role role = ROLE_USER;
    if (!read_role(rd, node, at, &role))
        return false;
    struct llm_message *m = reader_add_message(rd, tail, role, at);
    if (m == NULL)
        return false;
    struct llm_part **parts = &m->parts;
    uint32_t content = reader_get(rd, node, "content");
    const char *path = reader_path(rd, "messages[%u].content", at);
    if (content == 0)
        return reader_refuse(rd, path, "missing_required_parameter",
                             "Missing required parameter: '%s'.", path);
    return read_content(&x, content, path, false, &parts) &&
           reader_unknown(rd, node, known, "messages.");
}

static bool read_system(struct llm_reader *rd, struct llm_message ***tail)
{
    uint32_t node = reader_get(rd, 0, "system");
    struct place x = {.rd = rd, .system = true};
    if (node == 0)
        return true;
    struct llm_message *m = reader_add_message(rd, tail, ROLE_SYSTEM, 0);
    if (m == NULL)
        return false;
    struct llm_part **parts = &m->parts;
    return read_content(&x, node, "system", false, &parts);
}

static bool read_conversation(struct llm_reader *rd)
{
    const struct json_doc *d = rd->d;
    struct llm_message **tail = &rd->chat->messages;
    uint32_t list = reader_get(rd, 0, "messages");
    unsigned at = 0;
    if (!read_system(rd, &tail))
        return false;
    for (uint32_t m = json_first(d, list); m < json_end(d, list); m = json_after(d, m)) {
        if (!read_message(rd, m, at++, &tail))
            return false;
    }
    return true;
}

static bool read_tool(struct llm_reader *rd, uint32_t node, unsigned at, struct llm_tool ***tail)
{
    static const char *const known[] = {
        "type", "name", "input_schema", "description", "strict", "cache_control", NULL};
    struct slice type = SLICE_NONE;
    if (!reader_object(rd, node, reader_path(rd, "tools[%u]", at)) ||
        !reader_word(rd, node, "type", reader_path(rd, "tools[%u].type", at), &type))
        return false;
    struct llm_tool *t = reader_add_tool(rd, tail, TOOL_FUNCTION);
    if (t == NULL ||
        !reader_word(rd, node, "name", reader_path(rd, "tools[%u].name", at), &t->name))
        return false;
    if (type.n > 0 && !slice_is(type, "custom")) {
        t->kind = TOOL_HOSTED;
        t->family = FAMILY_ANTHROPIC;
        t->native_json = json_raw(rd->d, node);
        return true;
    }
    if (t->name.n == 0)
        return reader_refuse(rd, reader_path(rd, "tools[%u].name", at),
                             "missing_required_parameter",
                             "Missing required parameter: 'tools[%u].name'.", at);
    uint32_t schema = reader_get(rd, node, "input_schema");
    if (schema != 0 && json_type_at(rd->d, schema) != JSON_OBJECT)
        return reader_wrong_type(rd, reader_path(rd, "tools[%u].input_schema", at), "an object",
                                 schema);
    reader_schema(rd, node, "input_schema", t);
    reader_json(rd, node, "cache_control", &t->cache_json);
    return reader_text(rd, node, "description", reader_path(rd, "tools[%u].description", at),
                       &t->description) &&
           reader_flag(rd, node, "strict", reader_path(rd, "tools[%u].strict", at), &t->strict) &&
           reader_unknown(rd, node, known, "tools.");
}

static bool read_tools(struct llm_reader *rd)
{
    const struct json_doc *d = rd->d;
    struct llm_tool **tail = &rd->chat->tools;
    uint32_t list = reader_get(rd, 0, "tools");
    unsigned at = 0;
    if (list == 0)
        return true;
    if (!reader_array(rd, list, "tools"))
        return false;
    for (uint32_t t = json_first(d, list); t < json_end(d, list); t = json_after(d, t)) {
        if (!read_tool(rd, t, at++, &tail))
            return false;
    }
    return true;
}

static bool read_choice(struct llm_reader *rd)
{
    static const char *const known[] = {"type", "name", "disable_parallel_tool_use", NULL};
    static const struct {
        const char *type;
        enum llm_choice_mode mode;
    } rows[] = {{"auto", CHOICE_AUTO},
                {"any", CHOICE_REQUIRED},
                {"tool", CHOICE_NAMED},
                {"none", CHOICE_NONE}};
    struct llm_chat *c = rd->chat;
    struct slice type = SLICE_NONE;
    int single = -1;
    uint32_t node = reader_get(rd, 0, "tool_choice");
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "tool_choice") ||
        !reader_word(rd, node, "type", "tool_choice.type", &type) ||
        !reader_word(rd, node, "name", "tool_choice.name", &c->choice_name) ||
        !reader_flag(rd, node, "disable_parallel_tool_use", "tool_choice.disable_parallel_tool_use",
                     &single))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(type, rows[i].type))
            c->choice = rows[i].mode;
    }
    if (c->choice == CHOICE_UNSET || (c->choice == CHOICE_NAMED && c->choice_name.n == 0))
        return reader_refuse(rd, "tool_choice", "invalid_value",
                             "Invalid 'tool_choice': expected type 'auto', 'any', 'none', or "
                             "'tool' with a name.");
    c->parallel = single < 0 ? -1 : !single;
    return reader_unknown(rd, node, known, "tool_choice.");
}

static bool read_thinking_config(struct llm_reader *rd)
{
    static const char *const known[] = {"type", "budget_tokens", "display", NULL};
    struct llm_chat *c = rd->chat;
    struct slice type = SLICE_NONE, display = SLICE_NONE;
    int64_t budget = -1;
    uint32_t node = reader_get(rd, 0, "thinking");
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "thinking") ||
        !reader_word(rd, node, "type", "thinking.type", &type) ||
        !reader_word(rd, node, "display", "thinking.display", &display) ||
        !reader_integer(rd, node, "budget_tokens", "thinking.budget_tokens", &budget))
        return false;
    if (display.n > 0)
        c->show = slice_is(display, "omitted") ? display : SLICE("auto");
    if (slice_is(type, "disabled")) {
        c->budget = 0;
    } else if (slice_is(type, "adaptive")) {
        c->budget = -2;
    } else if (slice_is(type, "enabled")) {
        if (budget <= 0)
            return reader_refuse(rd, "thinking.budget_tokens", "invalid_value",
                                 "Invalid 'thinking.budget_tokens': expected at least 1024.");
        c->budget = budget;
    } else if (!reader_add_unknown(rd, SLICE("thinking.type"))) { /* "between_tools", or newer */
        return false;
    }
    return reader_unknown(rd, node, known, "thinking.");
}

/* {"type":"json_schema","schema":{...}} */
static bool read_format(struct llm_reader *rd, uint32_t node, const char *path)
{
    struct llm_chat *c = rd->chat;
    struct slice type = SLICE_NONE;
    if (!reader_object(rd, node, path) || !reader_word(rd, node, "type", path, &type))
        return false;
    reader_json(rd, node, "schema", &c->format_schema_json);
    if (!slice_is(type, "json_schema") || c->format_schema_json.n == 0)
        return reader_refuse(rd, path, "invalid_value",
                             "Invalid '%s': expected type 'json_schema' with a schema.", path);
    c->format = FORMAT_JSON_SCHEMA;
    c->format_name = SLICE("output");
    return true;
}

static bool read_output(struct llm_reader *rd)
{
    static const char *const known[] = {"effort", "format", NULL};
    uint32_t node = reader_get(rd, 0, "output_config"), elder = reader_get(rd, 0, "output_format");
    if (elder != 0 && !read_format(rd, elder, "output_format")) /* its name before 2026 */
        return false;
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "output_config") ||
        !reader_word(rd, node, "effort", "output_config.effort", &rd->chat->effort))
        return false;
    uint32_t format = reader_get(rd, node, "format");
    return (format == 0 || read_format(rd, format, "output_config.format")) &&
           reader_unknown(rd, node, known, "output_config.");
}

static bool read_tier(struct llm_reader *rd)
{
    struct slice *tier = &rd->chat->service_tier;
    if (!reader_word(rd, 0, "service_tier", "service_tier", tier))
        return false;
    if (slice_is(*tier, "standard_only"))
        *tier = SLICE("default");
    return true;
}

static bool read_metadata(struct llm_reader *rd)
{
    static const char *const known[] = {"user_id", NULL};
    uint32_t node = reader_get(rd, 0, "metadata");
    return node == 0 || reader_unknown(rd, node, known, "metadata.");
}

bool anthropic_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                         struct llm_chat *ret, struct llm_bad_request *ret_bad)
{
    static const char *const known[] = {"model",
                                        "max_tokens",
                                        "messages",
                                        "system",
                                        "stop_sequences",
                                        "stream",
                                        "tools",
                                        "tool_choice",
                                        "thinking",
                                        "output_config",
                                        "metadata",
                                        "service_tier",
                                        "output_format",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        NULL};
    struct json_doc d;
    struct llm_reader rd;
    llm_chat_init(ret, DIALECT_ANTHROPIC);
    *ret_bad = (struct llm_bad_request){.code = NULL};
    reader_init(&rd, &d, p, a, ret, ret_bad);
    if (reader_parse(p, r, &d) != JSON_OK) /* it was valid: only memory can be short */
        return reader_no_memory(&rd);
    ret->model = r->model;
    ret->user = r->user;
    ret->max_tokens = r->max_tokens;
    ret->stream = r->stream;
    ret->wants_usage = r->wants_usage;
    return read_conversation(&rd) && read_tools(&rd) && read_choice(&rd) &&
           read_thinking_config(&rd) && read_output(&rd) && read_tier(&rd) && read_metadata(&rd) &&
           reader_words(&rd, 0, "stop_sequences", "stop_sequences", &ret->stop) &&
           reader_number(&rd, 0, "temperature", "temperature", &ret->temperature) &&
           reader_number(&rd, 0, "top_p", "top_p", &ret->top_p) &&
           reader_number(&rd, 0, "top_k", "top_k", &ret->top_k) &&
           reader_unknown(&rd, 0, known, "");
}
