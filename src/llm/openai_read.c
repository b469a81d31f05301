/* Reading a chat completion request whole, into the neutral model; and the legacy completion, as a
 * chat of one message. Sources: OpenAI's API description 2.3.0; thinking_blocks and cache_control
 * on parts are what LiteLLM's users send, extra_content what Google's own OpenAI endpoint does. */
#include "llm/dialect.h"
#include "openai_internal.h"
#include "reader.h"

static const char *const root_members[] = {"model",
                                           "messages",
                                           "stream",
                                           "stream_options",
                                           "max_tokens",
                                           "max_completion_tokens",
                                           "n",
                                           "seed",
                                           "user",
                                           "safety_identifier",
                                           "temperature",
                                           "top_p",
                                           "top_k",
                                           "frequency_penalty",
                                           "presence_penalty",
                                           "logit_bias",
                                           "logprobs",
                                           "top_logprobs",
                                           "stop",
                                           "tools",
                                           "tool_choice",
                                           "functions",
                                           "function_call",
                                           "parallel_tool_calls",
                                           "response_format",
                                           "reasoning_effort",
                                           "verbosity",
                                           "metadata",
                                           "service_tier",
                                           "store",
                                           "prompt_cache_key",
                                           "modalities",
                                           NULL};

/* Members of messages: X(id, name, who may have it). */
#define OF_SAID      1u
#define OF_ASSISTANT 2u
#define OF_RESULT    4u
#define MEMBERS(X)                                                                                 \
    X(ROLE, "role", OF_SAID | OF_ASSISTANT | OF_RESULT)                                            \
    X(CONTENT, "content", OF_SAID | OF_ASSISTANT | OF_RESULT)                                      \
    X(NAME, "name", OF_SAID | OF_ASSISTANT | OF_RESULT)                                            \
    X(TOOL_CALL_ID, "tool_call_id", OF_RESULT)                                                     \
    X(CACHE_CONTROL, "cache_control", OF_RESULT)                                                   \
    X(TOOL_CALLS, "tool_calls", OF_ASSISTANT)                                                      \
    X(REFUSAL, "refusal", OF_ASSISTANT)                                                            \
    X(ANNOTATIONS, "annotations", OF_ASSISTANT)                                                    \
    X(FUNCTION_CALL, "function_call", OF_ASSISTANT)                                                \
    X(REASONING_CONTENT, "reasoning_content", OF_ASSISTANT)                                        \
    X(THINKING_BLOCKS, "thinking_blocks", OF_ASSISTANT)                                            \
    X(REASONING, "reasoning", OF_ASSISTANT)
enum member {
#define X(id, name, who) MEMBER_##id,
    MEMBERS(X)
#undef X
        MEMBERS_N
};

/* One message that is being read. */
struct place {
    struct llm_reader *rd;
    struct llm_message *m;
    struct llm_part **tail;
    const uint32_t *value; /* nodes of its members; 0: absent or null */
};

static struct llm_part *add_part(struct place *x, enum llm_part_kind kind, unsigned at)
{
    return reader_add_part(x->rd, &x->tail, kind, x->m->at, at);
}

static const char *part_path(struct place *x, unsigned at, const char *rest)
{
    return reader_path(x->rd, "messages[%u].content[%u]%s", x->m->at, at, rest);
}

static bool read_image(struct place *x, uint32_t node, unsigned at, struct llm_part *p)
{
    uint32_t image = reader_get(x->rd, node, "image_url");
    p->kind = PART_IMAGE;
    if (image == 0)
        return reader_refuse(x->rd, part_path(x, at, ".image_url"), "missing_required_parameter",
                             "Missing required parameter: 'image_url'.");
    if (!reader_object(x->rd, image, part_path(x, at, ".image_url")) ||
        !reader_word(x->rd, image, "url", part_path(x, at, ".image_url.url"), &p->source.url) ||
        !reader_word(x->rd, image, "detail", part_path(x, at, ".image_url.detail"),
                     &p->source.detail))
        return false;
    if (p->source.url.n == 0)
        return reader_refuse(x->rd, part_path(x, at, ".image_url.url"),
                             "missing_required_parameter", "Missing required parameter: 'url'.");
    if (reader_data_url(p->source.url, &p->source))
        p->source.url = SLICE_NONE;
    return true;
}

static bool read_audio(struct place *x, uint32_t node, unsigned at, struct llm_part *p)
{
    uint32_t audio = reader_get(x->rd, node, "input_audio");
    struct slice format = SLICE_NONE;
    p->kind = PART_AUDIO;
    if (audio == 0)
        return reader_refuse(x->rd, part_path(x, at, ".input_audio"), "missing_required_parameter",
                             "Missing required parameter: 'input_audio'.");
    if (!reader_object(x->rd, audio, part_path(x, at, ".input_audio")) ||
        !reader_word(x->rd, audio, "data", part_path(x, at, ".input_audio.data"),
                     &p->source.data) ||
        !reader_word(x->rd, audio, "format", part_path(x, at, ".input_audio.format"), &format))
        return false;
    p->source.media_type = arena_printf(x->rd->a, "audio/" SLICE_FMT, SLICE_ARG(format));
    return p->source.media_type.p != NULL || reader_no_memory(x->rd);
}

static bool read_file(struct place *x, uint32_t node, unsigned at, struct llm_part *p)
{
    uint32_t file = reader_get(x->rd, node, "file");
    struct slice data = SLICE_NONE;
    p->kind = PART_DOCUMENT;
    if (file == 0)
        return reader_refuse(x->rd, part_path(x, at, ".file"), "missing_required_parameter",
                             "Missing required parameter: 'file'.");
    if (!reader_object(x->rd, file, part_path(x, at, ".file")) ||
        !reader_word(x->rd, file, "filename", part_path(x, at, ".file.filename"),
                     &p->source.name) ||
        !reader_word(x->rd, file, "file_id", part_path(x, at, ".file.file_id"),
                     &p->source.file_id) ||
        !reader_word(x->rd, file, "file_data", part_path(x, at, ".file.file_data"), &data))
        return false;
    if (data.n > 0 && !reader_data_url(data, &p->source))
        return reader_refuse(x->rd, part_path(x, at, ".file.file_data"), "invalid_value",
                             "Invalid 'file_data': expected a data URL in base64.");
    if (p->source.data.p == NULL && p->source.file_id.n == 0)
        return reader_refuse(x->rd, part_path(x, at, ".file"), "missing_required_parameter",
                             "Either 'file_data' or 'file_id' is needed.");
    return true;
}

static bool read_plain(struct place *x, uint32_t node, unsigned at, struct llm_part *p)
{
    if (!reader_text(x->rd, node, "text", part_path(x, at, ".text"), &p->text))
        return false;
    return p->text.inner.p != NULL ||
           reader_refuse(x->rd, part_path(x, at, ".text"), "missing_required_parameter",
                         "Missing required parameter: 'text'.");
}

static bool read_refusal(struct place *x, uint32_t node, unsigned at, struct llm_part *p)
{
    p->kind = PART_REFUSAL;
    return reader_text(x->rd, node, "refusal", part_path(x, at, ".refusal"), &p->text);
}

static const struct {
    const char *type;
    bool (*read)(struct place *x, uint32_t node, unsigned at, struct llm_part *p);
} part_types[] = {
    {"text", read_plain}, {"image_url", read_image}, {"input_audio", read_audio},
    {"file", read_file},  {"refusal", read_refusal},
};

static bool read_part(struct place *x, uint32_t node, unsigned at)
{
    static const char *const known[] = {
        "type", "text",    "image_url",     "input_audio",
        "file", "refusal", "cache_control", "prompt_cache_breakpoint",
        NULL};
    struct slice type = SLICE_NONE;
    if (!reader_object(x->rd, node, part_path(x, at, "")) ||
        !reader_unknown(x->rd, node, known, "messages.content.") ||
        !reader_word(x->rd, node, "type", part_path(x, at, ".type"), &type))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(part_types); i++) {
        if (!slice_is(type, part_types[i].type))
            continue;
        struct llm_part *p = add_part(x, PART_TEXT, at);
        if (p == NULL || !part_types[i].read(x, node, at, p))
            return false;
        reader_json(x->rd, node, "cache_control", &p->cache_json);
        if (reader_get(x->rd, node, "prompt_cache_breakpoint") != 0)
            p->cache_json = SLICE("{\"type\":\"ephemeral\"}");
        return true;
    }
    return reader_refuse(x->rd, part_path(x, at, ".type"), "invalid_value",
                         "Invalid value: '" SLICE_FMT "' is no type of content that is known.",
                         SLICE_ARG(type));
}

/* A string, parts, or nothing. */
static bool read_content(struct place *x)
{
    struct llm_reader *rd = x->rd;
    uint32_t node = x->value[MEMBER_CONTENT];
    unsigned at = 0;
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) == JSON_STRING) {
        struct llm_part *p = add_part(x, PART_TEXT, 0);
        if (p != NULL)
            p->text = llm_text_at(rd->d, node);
        return p != NULL;
    }
    if (json_type_at(rd->d, node) != JSON_ARRAY)
        return reader_wrong_type(rd, reader_path(rd, "messages[%u].content", x->m->at),
                                 "a string or an array", node);
    for (uint32_t i = json_first(rd->d, node); i < json_end(rd->d, node);
         i = json_after(rd->d, i)) {
        if (!read_part(x, i, at++))
            return false;
    }
    return true;
}

static bool has_signature_of(const struct llm_message *m, enum llm_family family)
{
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == PART_REASONING && p->family == family)
            return true;
    }
    return false;
}

static bool add_signature(struct place *x, struct slice marked, enum llm_family native,
                          struct llm_text text, bool redacted)
{
    struct llm_part *p = add_part(x, PART_REASONING, 0);
    if (p == NULL)
        return false;
    p->text = text;
    p->signature = llm_signature_read(marked, native, &p->family);
    p->redacted = redacted;
    return true;
}

/* [{"type":"thinking","thinking":"..","signature":".."}, {"type":"redacted_thinking","data":".."}]
 */
static bool read_thinking(struct place *x, uint32_t list, bool *ret_any)
{
    struct llm_reader *rd = x->rd;
    const char *path = reader_path(rd, "messages[%u].thinking_blocks", x->m->at);
    if (!reader_array(rd, list, path))
        return false;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        struct llm_text text = LLM_NO_TEXT;
        struct slice signature = SLICE_NONE, data = SLICE_NONE;
        path = reader_path(rd, "messages[%u].thinking_blocks", x->m->at);
        if (!reader_object(rd, i, path) || !reader_text(rd, i, "thinking", path, &text) ||
            !reader_word(rd, i, "signature", path, &signature) ||
            !reader_word(rd, i, "data", path, &data))
            return false;
        bool redacted = data.n > 0;
        if (!redacted && signature.n == 0)
            continue; /* nothing that anybody would take back */
        *ret_any = true;
        if (!add_signature(x, redacted ? data : signature, FAMILY_ANTHROPIC, text, redacted))
            return false;
    }
    return true;
}

static bool read_reasoning(struct place *x)
{
    struct llm_reader *rd = x->rd;
    uint32_t blocks = x->value[MEMBER_THINKING_BLOCKS];
    bool any = false;
    if (blocks != 0 && !read_thinking(x, blocks, &any))
        return false;
    struct llm_text text = LLM_NO_TEXT;
    if (any)
        return true;
    if (!reader_text_at(rd, x->value[MEMBER_REASONING],
                        reader_path(rd, "messages[%u].reasoning", x->m->at), &text) ||
        !reader_text_at(rd, x->value[MEMBER_REASONING_CONTENT], /* it counts if there are both */
                        reader_path(rd, "messages[%u].reasoning_content", x->m->at), &text))
        return false;
    if (text.inner.n == 0)
        return true;
    struct llm_part *p = add_part(x, PART_REASONING, 0);
    if (p != NULL)
        p->text = text;
    return p != NULL;
}

/* extra_content.google.thought_signature, of one call. */
static bool read_google_signature(struct place *x, uint32_t call)
{
    struct llm_reader *rd = x->rd;
    uint32_t extra = reader_get(rd, call, "extra_content");
    uint32_t google = extra != 0 && json_type_at(rd->d, extra) == JSON_OBJECT
                          ? reader_get(rd, extra, "google")
                          : 0;
    struct slice signature = SLICE_NONE;
    if (google == 0 || json_type_at(rd->d, google) != JSON_OBJECT)
        return true;
    if (!reader_word(rd, google, "thought_signature",
                     reader_path(rd, "messages[%u].tool_calls.extra_content", x->m->at),
                     &signature))
        return false;
    return signature.n == 0 || add_signature(x, signature, FAMILY_GOOGLE, LLM_NO_TEXT, false);
}

static const char *call_path(struct place *x, unsigned at)
{
    return reader_path(x->rd, "messages[%u].tool_calls[%u]", x->m->at, at);
}

static bool read_call(struct place *x, uint32_t call, unsigned at, bool signatures)
{
    struct llm_reader *rd = x->rd;
    static const char *const known[] = {"id",    "type",          "function", "custom",
                                        "index", "extra_content", NULL};
    if (!reader_object(rd, call, call_path(x, at)) ||
        !reader_unknown(rd, call, known, "messages.tool_calls."))
        return false;
    uint32_t body = reader_get(rd, call, "function"), custom = reader_get(rd, call, "custom");
    uint32_t what = body != 0 ? body : custom;
    if (what == 0)
        return reader_refuse(rd, call_path(x, at), "missing_required_parameter",
                             "Missing required parameter: '%s.function'.", rd->path);
    if (!reader_object(rd, what, call_path(x, at)) ||
        (signatures && !read_google_signature(x, call)))
        return false;
    struct llm_part *p = add_part(x, PART_TOOL_CALL, at);
    if (p == NULL)
        return false;
    p->custom = body == 0;
    return reader_word(rd, call, "id", call_path(x, at), &p->id) &&
           reader_word(rd, what, "name", call_path(x, at), &p->name) &&
           reader_text(rd, what, p->custom ? "input" : "arguments", call_path(x, at),
                       p->custom ? &p->text : &p->arguments);
}

static bool read_calls(struct place *x)
{
    struct llm_reader *rd = x->rd;
    uint32_t list = x->value[MEMBER_TOOL_CALLS], older = x->value[MEMBER_FUNCTION_CALL];
    unsigned at = 0;
    bool signatures = !has_signature_of(x->m, FAMILY_GOOGLE);
    if (older != 0) { /* its result is found by the function's name */
        struct llm_part *p = add_part(x, PART_TOOL_CALL, 0);
        const char *path = reader_path(rd, "messages[%u].function_call", x->m->at);
        if (p == NULL || !reader_object(rd, older, path) ||
            !reader_word(rd, older, "name", path, &p->name) ||
            !reader_text(rd, older, "arguments", path, &p->arguments))
            return false;
        p->id = p->name;
    }
    if (list == 0)
        return true;
    if (!reader_array(rd, list, reader_path(rd, "messages[%u].tool_calls", x->m->at)))
        return false;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        if (!read_call(x, i, at++, signatures))
            return false;
    }
    return true;
}

static bool read_assistant(struct place *x)
{
    struct llm_text refusal = LLM_NO_TEXT;
    if (!read_reasoning(x) || !read_content(x) ||
        !reader_text_at(x->rd, x->value[MEMBER_REFUSAL],
                        reader_path(x->rd, "messages[%u].refusal", x->m->at), &refusal))
        return false;
    if (refusal.inner.n > 0) {
        struct llm_part *p = add_part(x, PART_REFUSAL, 0);
        if (p == NULL)
            return false;
        p->text = refusal;
    }
    return read_calls(x);
}

/* A tool's result: a message of its own here, a part of the user's elsewhere. */
static bool read_result(struct place *x, bool older)
{
    struct llm_reader *rd = x->rd;
    struct llm_part *p = add_part(x, PART_TOOL_RESULT, 0);
    if (p == NULL)
        return false;
    struct place inner = {.rd = rd, .m = x->m, .tail = &p->content, .value = x->value};
    if (!reader_word_at(rd, x->value[MEMBER_TOOL_CALL_ID],
                        reader_path(rd, "messages[%u].tool_call_id", x->m->at), &p->id))
        return false;
    if (x->value[MEMBER_CACHE_CONTROL] != 0)
        p->cache_json = json_raw(rd->d, x->value[MEMBER_CACHE_CONTROL]);
    p->name = x->m->name;
    x->m->name = SLICE_NONE;
    if (older)
        p->id = p->name;
    if (p->id.n == 0)
        return reader_refuse(rd, reader_path(rd, "messages[%u].tool_call_id", x->m->at),
                             "missing_required_parameter",
                             "Missing required parameter: 'tool_call_id'.");
    return read_content(&inner);
}

static int member_of(struct slice k)
{
#define X(id, name, who)                                                                           \
    if (k.n == sizeof(name) - 1 && KEY_IS(k, name))                                                \
        return MEMBER_##id;
    MEMBERS(X)
#undef X
    return -1;
}

/* Finds the members of a message. `*ret_seen`: a bit for each that is there and not null, and the
 * highest for any other. */
static void find_members(const struct json_doc *d, uint32_t node, uint32_t value[MEMBERS_N],
                         unsigned *ret_seen)
{
    *ret_seen = 0;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, member_of);
        if (json_type_at(d, k + 1) == JSON_NULL)
            continue;
        if (m >= 0)
            value[m] = k + 1;
        *ret_seen |= 1u << (m >= 0 ? m : 31);
    }
}

/* Those members that this kind of message has no place for. */
static bool note_unknown(struct llm_reader *rd, uint32_t node, unsigned seen, unsigned who)
{
    static const struct {
        const char *name;
        unsigned who;
    } rows[] = {
#define X(id, name, who) {(name), (who)},
        MEMBERS(X)
#undef X
    };
    const char *known[MEMBERS_N + 1];
    unsigned n = 0;
    for (unsigned i = 0; i < MEMBERS_N; i++) {
        if (!(rows[i].who & who))
            continue;
        known[n++] = rows[i].name;
        seen &= ~(1u << i);
    }
    known[n] = NULL;
    return seen == 0 || reader_unknown(rd, node, known, "messages.");
}

static bool read_message(struct llm_reader *rd, uint32_t node, unsigned at,
                         struct llm_message ***tail)
{
    static const struct {
        const char *name;
        enum llm_role role;
        unsigned who;
    } roles[] = {
        {"system", ROLE_SYSTEM, OF_SAID}, {"developer", ROLE_DEVELOPER, OF_SAID},
        {"user", ROLE_USER, OF_SAID},     {"assistant", ROLE_ASSISTANT, OF_ASSISTANT},
        {"tool", ROLE_USER, OF_RESULT},   {"function", ROLE_USER, OF_RESULT},
    };
    uint32_t value[MEMBERS_N] = {0};
    struct slice role = SLICE_NONE;
    unsigned seen;
    find_members(rd->d, node, value, &seen);
    if (!reader_word_at(rd, value[MEMBER_ROLE], reader_path(rd, "messages[%u]", at), &role))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (!slice_is(role, roles[i].name))
            continue;
        struct llm_message *m = reader_add_message(rd, tail, roles[i].role, at);
        if (m == NULL)
            return false;
        struct place x = {.rd = rd, .m = m, .tail = &m->parts, .value = value};
        if (!note_unknown(rd, node, seen, roles[i].who) ||
            !reader_word_at(rd, value[MEMBER_NAME], reader_path(rd, "messages[%u].name", at),
                            &m->name))
            return false;
        switch (roles[i].who) {
        case OF_RESULT: return read_result(&x, slice_is(role, "function"));
        case OF_ASSISTANT: return read_assistant(&x);
        default: return read_content(&x);
        }
    }
    return reader_refuse(rd, reader_path(rd, "messages[%u].role", at), "invalid_value",
                         "Invalid value: '" SLICE_FMT "'. Supported values are: 'system', "
                         "'developer', 'assistant', 'user', 'tool' and 'function'.",
                         SLICE_ARG(role));
}

static bool read_messages(struct llm_reader *rd)
{
    uint32_t list = reader_get(rd, 0, "messages");
    struct llm_message **tail = &rd->chat->messages;
    unsigned at = 0;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        if (!read_message(rd, i, at++, &tail))
            return false;
    }
    return true;
}

static bool read_function(struct llm_reader *rd, uint32_t f, struct llm_tool *t, const char *path)
{
    static const char *const known[] = {"name",   "description", "parameters",
                                        "strict", "format",      NULL};
    if (!reader_object(rd, f, path) || !reader_unknown(rd, f, known, "tools.") ||
        !reader_word(rd, f, "name", path, &t->name) ||
        !reader_text(rd, f, "description", path, &t->description) ||
        !reader_flag(rd, f, "strict", path, &t->strict))
        return false;
    reader_schema(rd, f, "parameters", t);
    if (t->name.n == 0)
        return reader_refuse(rd, path, "missing_required_parameter",
                             "Missing required parameter: 'name'.");
    return true;
}

static bool read_tool(struct llm_reader *rd, uint32_t node, unsigned at, struct llm_tool ***tail)
{
    static const char *const known[] = {"type", "function", "custom", "cache_control", NULL};
    char path[sizeof rd->path];
    struct slice type = SLICE_NONE;
    memcpy(path, reader_path(rd, "tools[%u]", at), sizeof path);
    if (!reader_object(rd, node, path) || !reader_word(rd, node, "type", path, &type))
        return false;
    bool custom = slice_is(type, "custom");
    if (!custom && !slice_is(type, "function")) {
        struct llm_tool *t = reader_add_tool(rd, tail, TOOL_HOSTED);
        if (t == NULL)
            return false;
        t->name = type;
        t->native_json = json_raw(rd->d, node);
        t->family = FAMILY_OPENAI;
        return true;
    }
    uint32_t what = reader_get(rd, node, custom ? "custom" : "function");
    if (!reader_unknown(rd, node, known, "tools."))
        return false;
    struct llm_tool *t = reader_add_tool(rd, tail, custom ? TOOL_CUSTOM : TOOL_FUNCTION);
    if (t == NULL)
        return false;
    if (what == 0)
        return reader_refuse(rd, path, "missing_required_parameter",
                             "Missing required parameter: '%s." SLICE_FMT "'.", path,
                             SLICE_ARG(type));
    if (!read_function(rd, what, t, path))
        return false;
    if (custom)
        reader_json(rd, what, "format", &t->format_json);
    reader_json(rd, node, "cache_control", &t->cache_json);
    return true;
}

static bool read_tools(struct llm_reader *rd)
{
    uint32_t list = reader_get(rd, 0, "tools"), older = reader_get(rd, 0, "functions");
    struct llm_tool **tail = &rd->chat->tools;
    unsigned at = 0;
    if (list != 0 && !reader_array(rd, list, "tools"))
        return false;
    if (older != 0 && !reader_array(rd, older, "functions"))
        return false;
    for (uint32_t i = list != 0 ? json_first(rd->d, list) : 0;
         list != 0 && i < json_end(rd->d, list); i = json_after(rd->d, i)) {
        if (!read_tool(rd, i, at++, &tail))
            return false;
    }
    for (uint32_t i = older != 0 ? json_first(rd->d, older) : 0;
         older != 0 && i < json_end(rd->d, older); i = json_after(rd->d, i)) {
        struct llm_tool *t = reader_add_tool(rd, &tail, TOOL_FUNCTION);
        if (t == NULL || !read_function(rd, i, t, "functions"))
            return false;
    }
    return true;
}

static bool set_choice(struct llm_reader *rd, struct slice word, const char *param)
{
    static const struct {
        const char *name;
        enum llm_choice_mode mode;
    } rows[] = {{"auto", CHOICE_AUTO},
                {"none", CHOICE_NONE},
                {"required", CHOICE_REQUIRED},
                {"any", CHOICE_REQUIRED}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(word, rows[i].name)) {
            rd->chat->choice = rows[i].mode;
            return true;
        }
    }
    return reader_refuse(rd, param, "invalid_value", "Invalid value: '" SLICE_FMT "'.",
                         SLICE_ARG(word));
}

/* {"type":"allowed_tools","allowed_tools":{"mode":..,"tools":[{"type":"function",...}]}} */
static bool read_allowed(struct llm_reader *rd, uint32_t node)
{
    static const char param[] = "tool_choice.allowed_tools";
    struct slice mode = SLICE("auto");
    if (!reader_object(rd, node, param) || !reader_word(rd, node, "mode", param, &mode) ||
        !set_choice(rd, mode, param))
        return false;
    uint32_t list = reader_get(rd, node, "tools");
    struct llm_word **tail = &rd->chat->choice_allowed;
    if (list == 0 || !reader_array(rd, list, param))
        return list == 0 ? reader_refuse(rd, param, "missing_required_parameter",
                                         "Missing required parameter: '%s.tools'.", param)
                         : false;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        struct llm_word *w = arena_new(rd->a, struct llm_word);
        if (w == NULL)
            return reader_no_memory(rd);
        if (!reader_object(rd, i, param))
            return false;
        uint32_t f = reader_get(rd, i, "function");
        f = f != 0 ? f : reader_get(rd, i, "custom");
        if (f == 0 || json_type_at(rd->d, f) != JSON_OBJECT ||
            !reader_word(rd, f, "name", param, &w->word))
            return reader_refuse(rd, param, "invalid_value", "A tool in '%s' has no name.", param);
        LLM_APPEND(tail, w);
    }
    return true;
}

static bool read_choice(struct llm_reader *rd)
{
    struct llm_chat *c = rd->chat;
    uint32_t node = reader_get(rd, 0, "tool_choice"), older = reader_get(rd, 0, "function_call");
    struct slice type = SLICE_NONE;
    if (node == 0)
        node = older;
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) == JSON_STRING)
        return set_choice(rd, json_inner(rd->d, node), "tool_choice");
    if (!reader_object(rd, node, "tool_choice") ||
        !reader_word(rd, node, "type", "tool_choice.type", &type))
        return false;
    if (slice_is(type, "allowed_tools")) {
        uint32_t allowed = reader_get(rd, node, "allowed_tools");
        return read_allowed(rd, allowed != 0 ? allowed : node);
    }
    uint32_t what = reader_get(rd, node, "function");
    if (what == 0)
        what = reader_get(rd, node, "custom");
    if (what == 0)
        what = node; /* {"name":..} of function_call */
    c->choice = CHOICE_NAMED;
    if (json_type_at(rd->d, what) != JSON_OBJECT)
        return reader_wrong_type(rd, "tool_choice.function", "an object", what);
    return reader_word(rd, what, "name", "tool_choice.function.name", &c->choice_name) &&
           (c->choice_name.n > 0 ||
            reader_refuse(rd, "tool_choice", "invalid_value", "'tool_choice' names no tool."));
}

static bool read_format(struct llm_reader *rd)
{
    struct llm_chat *c = rd->chat;
    uint32_t node = reader_get(rd, 0, "response_format");
    struct slice type = SLICE_NONE;
    if (node == 0)
        return true;
    if (!reader_object(rd, node, "response_format") ||
        !reader_word(rd, node, "type", "response_format.type", &type))
        return false;
    if (slice_is(type, "text"))
        return true;
    if (slice_is(type, "json_object")) {
        c->format = FORMAT_JSON_OBJECT;
        return true;
    }
    uint32_t schema = reader_get(rd, node, "json_schema");
    if (!slice_is(type, "json_schema") || schema == 0)
        return reader_refuse(rd, "response_format.type", "invalid_value",
                             "Invalid 'response_format': expected 'text', 'json_object', or "
                             "'json_schema' with its schema.");
    c->format = FORMAT_JSON_SCHEMA;
    if (!reader_object(rd, schema, "response_format.json_schema"))
        return false;
    reader_json(rd, schema, "schema", &c->format_schema_json);
    return reader_word(rd, schema, "name", "response_format.json_schema.name", &c->format_name) &&
           reader_text(rd, schema, "description", "response_format.json_schema.description",
                       &c->format_description) &&
           reader_flag(rd, schema, "strict", "response_format.json_schema.strict",
                       &c->format_strict);
}

static bool read_modalities(struct llm_reader *rd)
{
    struct llm_word *list = NULL;
    if (!reader_words(rd, 0, "modalities", "modalities", &list))
        return false;
    for (; list != NULL; list = list->next) {
        if (!slice_is(list->word, "text"))
            return reader_refuse(rd, "modalities", "unsupported_parameter",
                                 "'modalities' other than text are not supported here.");
    }
    return true;
}

static bool read_sampling(struct llm_reader *rd)
{
    struct llm_chat *c = rd->chat;
    int logprobs = 0;
    bool ok =
        reader_number(rd, 0, "temperature", "temperature", &c->temperature) &&
        reader_number(rd, 0, "top_p", "top_p", &c->top_p) &&
        reader_number(rd, 0, "top_k", "top_k", &c->top_k) &&
        reader_number(rd, 0, "frequency_penalty", "frequency_penalty", &c->frequency_penalty) &&
        reader_number(rd, 0, "presence_penalty", "presence_penalty", &c->presence_penalty) &&
        reader_number(rd, 0, "seed", "seed", &c->seed) &&
        reader_words(rd, 0, "stop", "stop", &c->stop);
    if (!ok || c->completion)
        return ok;
    if (!reader_flag(rd, 0, "logprobs", "logprobs", &logprobs) ||
        !reader_integer(rd, 0, "top_logprobs", "top_logprobs", &c->top_logprobs))
        return false;
    c->logprobs = logprobs == 1;
    return true;
}

static bool read_rest(struct llm_reader *rd, const struct llm_request *r)
{
    struct llm_chat *c = rd->chat;
    c->model = r->model;
    c->stream = r->stream;
    c->wants_usage = r->wants_usage;
    c->max_tokens = r->max_tokens;
    c->n = r->n;
    c->user = r->user;
    reader_json(rd, 0, "logit_bias", &c->logit_bias_json);
    reader_json(rd, 0, "metadata", &c->metadata_json);
    if (c->user.n == 0 && !reader_word(rd, 0, "safety_identifier", "safety_identifier", &c->user))
        return false;
    return reader_word(rd, 0, "reasoning_effort", "reasoning_effort", &c->effort) &&
           reader_word(rd, 0, "verbosity", "verbosity", &c->verbosity) &&
           reader_word(rd, 0, "service_tier", "service_tier", &c->service_tier) &&
           reader_word(rd, 0, "prompt_cache_key", "prompt_cache_key", &c->cache_key) &&
           reader_flag(rd, 0, "store", "store", &c->store) &&
           reader_flag(rd, 0, "parallel_tool_calls", "parallel_tool_calls", &c->parallel);
}

static bool begin(struct llm_reader *rd, struct json_doc *d, struct json_parser *p, struct arena *a,
                  const struct llm_request *r, struct llm_chat *ret, struct llm_bad_request *bad)
{
    *bad = (struct llm_bad_request){.code = NULL};
    llm_chat_init(ret, DIALECT_OPENAI);
    reader_init(rd, d, p, a, ret, bad);
    return reader_parse(p, r, d) == JSON_OK || reader_no_memory(rd); /* it was valid */
}

bool openai_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                      struct llm_chat *ret, struct llm_bad_request *bad)
{
    struct json_doc d;
    struct llm_reader rd;
    return begin(&rd, &d, p, a, r, ret, bad) && reader_unknown(&rd, 0, root_members, "") &&
           read_messages(&rd) && read_tools(&rd) && read_choice(&rd) && read_format(&rd) &&
           read_modalities(&rd) && read_sampling(&rd) && read_rest(&rd, r);
}

/* Members of a legacy completion that no chat can express. */
static bool refuse_legacy(struct llm_reader *rd)
{
    static const struct {
        const char *name, *harmless;
    } rows[] = {{"suffix", "\"\""}, {"echo", "false"}, {"best_of", "1"}, {"logprobs", ""}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *name = rows[i].name;
        uint32_t node = reader_get(rd, 0, name);
        if (node != 0 && !slice_is(json_raw(rd->d, node), rows[i].harmless))
            return reader_refuse(rd, name, "unsupported_parameter",
                                 "'%s' is not supported by this model, which is asked by chat.",
                                 name);
    }
    return true;
}

bool openai_read_completion(struct json_parser *p, struct arena *a, const struct llm_request *r,
                            struct llm_chat *ret, struct llm_bad_request *bad)
{
    static const char *const known[] = {"model",       "prompt",
                                        "stream",      "stream_options",
                                        "max_tokens",  "n",
                                        "seed",        "user",
                                        "temperature", "top_p",
                                        "top_k",       "presence_penalty",
                                        "stop",        "frequency_penalty",
                                        "logit_bias",  "suffix",
                                        "echo",        "best_of",
                                        "logprobs",    NULL};
    struct json_doc d;
    struct llm_reader rd;
    if (!begin(&rd, &d, p, a, r, ret, bad) || !reader_unknown(&rd, 0, known, ""))
        return false;
    ret->completion = true;
    uint32_t prompt = reader_get(&rd, 0, "prompt");
    if (json_type_at(&d, prompt) == JSON_ARRAY && json_first(&d, prompt) < json_end(&d, prompt) &&
        json_after(&d, json_first(&d, prompt)) == json_end(&d, prompt))
        prompt = json_first(&d, prompt);
    if (json_type_at(&d, prompt) != JSON_STRING)
        return reader_refuse(&rd, "prompt", "unsupported_parameter",
                             "'prompt' has to be one text for this model, which is asked by chat.");
    struct llm_message **messages = &ret->messages;
    struct llm_message *m = reader_add_message(&rd, &messages, ROLE_USER, 0);
    struct llm_part **parts = m != NULL ? &m->parts : NULL;
    struct llm_part *part = m != NULL ? reader_add_part(&rd, &parts, PART_TEXT, 0, 0) : NULL;
    if (part == NULL)
        return false;
    part->text = llm_text_at(&d, prompt);
    return refuse_legacy(&rd) && read_sampling(&rd) && read_rest(&rd, r);
}
