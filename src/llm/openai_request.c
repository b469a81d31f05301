/* Reading a client's request in OpenAI's dialect. Messages and codes of refusals are OpenAI's own
 * where it has some for the case. */
#include "request_common.h"

struct slice llm_op_path(enum llm_op op)
{
    static const struct slice paths[LLM_OPS_N] = {
        [LLM_CHAT] = {"/chat/completions", 17},
        [LLM_COMPLETIONS] = {"/completions", 12},
        [LLM_EMBEDDINGS] = {"/embeddings", 11},
    };
    return paths[op];
}

const char *llm_op_name(enum llm_op op)
{
    static const char *const names[LLM_OPS_N] = {
        [LLM_CHAT] = "chat",
        [LLM_COMPLETIONS] = "completions",
        [LLM_EMBEDDINGS] = "embeddings",
        [LLM_COUNT_TOKENS] = "count_tokens",
    };
    return names[op];
}

const char *llm_need_name(unsigned i)
{
    static const char *const names[LLM_NEEDS_N] = {
#define X(id, bit, name) [bit] = (name),
        LLM_NEEDS(X)
#undef X
    };
    return names[i];
}

int llm_key_escaped(const struct json_doc *d, uint32_t node, int (*lookup)(struct slice))
{
    char text[32 * 6]; /* no byte of a name takes more than the six of \uXXXX */
    struct slice inner = json_inner(d, node);
    if (inner.n > sizeof text)
        return -1;
    return lookup(slice_of(text, json_unescape(inner, text)));
}

/* Members that are only looked at. */
enum own_member { OWN_TOOLS = LLM_MEMBERS_N, OWN_CHOICE, OWN_FORMAT, OWN_FUNCTIONS, OWN_CALL };

static int own_member_of(struct slice k)
{
    switch (k.n) {
    case 5: return KEY_IS(k, "tools") ? (int)OWN_TOOLS : -1;
    case 9: return KEY_IS(k, "functions") ? (int)OWN_FUNCTIONS : -1;
    case 11: return KEY_IS(k, "tool_choice") ? (int)OWN_CHOICE : -1;
    case 13: return KEY_IS(k, "function_call") ? (int)OWN_CALL : -1;
    case 15: return KEY_IS(k, "response_format") ? (int)OWN_FORMAT : -1;
    default: return -1;
    }
}

static int member_of(struct slice k)
{
#define X(id, name)                                                                                \
    if (k.n == sizeof(name) - 1 && KEY_IS(k, name))                                                \
        return LLM_MEMBER_##id;
    LLM_MEMBERS(X)
#undef X
    return own_member_of(k);
}

static int stream_option_of(struct slice k)
{
    return k.n == 13 && KEY_IS(k, "include_usage") ? 0 : -1;
}

static bool read_stream_options(struct request_reader *rd, uint32_t node)
{
    const struct json_doc *d = rd->d;
    uint32_t usage = 0;
    if (json_type_at(d, node) != JSON_OBJECT)
        return request_wrong_type(rd, "stream_options", "an object", node);
    if (!rd->r->stream)
        return request_refuse(
            rd, "stream_options", "invalid_value",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
    if (!request_object(rd, "stream_options", node))
        return false;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        if (llm_key(d, k, stream_option_of) != 0)
            continue;
        rd->r->include_usage = llm_span_of(d, k);
        usage = json_type_at(d, k + 1) != JSON_NULL ? k + 1 : 0;
    }
    return request_boolean(rd, "stream_options.include_usage", usage, &rd->r->wants_usage);
}

static bool read_stream(struct request_reader *rd)
{
    uint32_t options = rd->value[LLM_MEMBER_STREAM_OPTIONS];
    if (!request_boolean(rd, "stream", rd->value[LLM_MEMBER_STREAM], &rd->r->stream))
        return false;
    if (rd->r->stream && rd->r->op == LLM_EMBEDDINGS)
        return request_refuse(rd, "stream", "invalid_value",
                              "The 'stream' parameter is not supported for embeddings.");
    return options == 0 || read_stream_options(rd, options);
}

static bool read_limits(struct request_reader *rd)
{
    struct llm_request *r = rd->r;
    int64_t least = r->op == LLM_COMPLETIONS ? 0 : 1; /* 0: with echo, only to score the prompt */
    int64_t older = -1, newer = -1;
    if (!request_integer(rd, "n", rd->value[LLM_MEMBER_N], 1, 128, &r->n) ||
        !request_integer(rd, "max_tokens", rd->value[LLM_MEMBER_MAX_TOKENS], least, INT64_MAX,
                         &older) ||
        !request_integer(rd, "max_completion_tokens", rd->value[LLM_MEMBER_MAX_COMPLETION_TOKENS],
                         least, INT64_MAX, &newer))
        return false;
    r->max_tokens = MAX_OF(older, newer);
    if (r->n > 1)
        r->needs |= LLM_NEEDS_CHOICES;
    return true;
}

/* The roles found to be developer. */
struct developers {
    struct llm_range *at;
    size_t n, size;
};

static bool add_developer(struct arena *a, struct developers *list, struct llm_range at)
{
    if (list->n == list->size) {
        size_t size = list->size > 0 ? list->size * 2 : 4;
        struct llm_range *grown = arena_alloc(a, size * sizeof *grown);
        if (grown == NULL)
            return false;
        if (list->n > 0)
            memcpy(grown, list->at, list->n * sizeof *grown);
        list->at = grown;
        list->size = size;
    }
    list->at[list->n++] = at;
    return true;
}

static bool read_messages(struct request_reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t node = rd->value[LLM_MEMBER_MESSAGES], role;
    struct developers list = {0};
    size_t i = 0;
    if (!request_list(rd, "messages", node))
        return false;
    for (uint32_t m = json_first(d, node); m < json_end(d, node); m = json_after(d, m)) {
        if (!request_message(rd, m, i++, &role))
            return false;
        if (!json_string_is(d, role, SLICE("developer")))
            continue;
        struct llm_range at = {d->nodes[role].off, d->nodes[role].end};
        if (!add_developer(rd->a, &list, at))
            return request_no_memory(rd);
    }
    rd->r->developers = list.at;
    rd->r->developers_n = list.n;
    uint32_t choice = rd->value[OWN_CHOICE] != 0 ? rd->value[OWN_CHOICE] : rd->value[OWN_CALL];
    request_needs_tools(rd, rd->value[OWN_TOOLS], choice);
    request_needs_tools(rd, rd->value[OWN_FUNCTIONS], choice);
    request_needs_format(rd, rd->value[OWN_FORMAT]);
    return true;
}

/* `prompt` and `input`: a text, or a list of texts or tokens, which the provider checks. */
static bool read_text(struct request_reader *rd, const char *param, enum llm_member m)
{
    uint32_t node = rd->value[m];
    if (node == 0)
        return request_missing(rd, param);
    enum json_type t = json_type_at(rd->d, node);
    if (t != JSON_STRING && t != JSON_ARRAY)
        return request_wrong_type(rd, param, "a string or an array", node);
    return true;
}

static bool read_content(struct request_reader *rd)
{
    switch (rd->r->op) {
    case LLM_CHAT: return read_messages(rd);
    case LLM_COMPLETIONS: return read_text(rd, "prompt", LLM_MEMBER_PROMPT);
    case LLM_EMBEDDINGS: return read_text(rd, "input", LLM_MEMBER_INPUT);
    case LLM_COUNT_TOKENS:
    case LLM_OPS_N: break;
    }
    return request_refuse(rd, "", "invalid_value", "OpenAI's dialect has no such operation.");
}

bool openai_read_request(struct json_parser *p, struct arena *a, enum llm_op op, struct slice body,
                         struct llm_request *ret, struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct request_reader rd;
    return request_open(&rd, &d, p, a, op, body, member_of, ret, ret_bad) &&
           request_model(&rd, rd.value[LLM_MEMBER_MODEL]) && read_stream(&rd) && read_limits(&rd) &&
           request_string(&rd, "user", rd.value[LLM_MEMBER_USER], &ret->user) && read_content(&rd);
}
