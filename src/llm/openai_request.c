/* Reading a client's request in OpenAI's dialect. Messages and codes of refusals are OpenAI's own
 * where it has some for the case. */
#include <stdarg.h>
#include <stdio.h>

#include "openai_internal.h"

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
    };
    return names[op];
}

int llm_key_escaped(const struct json_doc *d, uint32_t node, int (*lookup)(struct slice))
{
    char text[32 * 6]; /* no byte of a name takes more than the six of \uXXXX */
    struct slice inner = json_inner(d, node);
    if (inner.n > sizeof text)
        return -1;
    return lookup(slice_of(text, json_unescape(inner, text)));
}

struct reader {
    const struct json_doc *d;
    struct json_parser *p;
    struct arena *a;
    struct llm_request *r;
    struct llm_bad_request *bad;
    uint32_t value[LLM_MEMBERS_N]; /* nodes; 0: absent or null */
    char path[48];                 /* of a message, for refusals */
};

static PRINTF_LIKE(4, 5) bool refuse(struct llm_bad_request *bad, const char *param,
                                     const char *code, const char *fmt, ...)
{
    va_list ap;
    snprintf(bad->param, sizeof bad->param, "%s", param);
    bad->code = code;
    va_start(ap, fmt);
    vsnprintf(bad->message, sizeof bad->message, fmt, ap);
    va_end(ap);
    return false;
}

static bool refuse_memory(struct llm_bad_request *bad)
{
    bad->no_memory = true;
    return refuse(bad, "", "out_of_memory", "The gateway is out of memory.");
}

static bool refuse_type(const struct reader *rd, const char *param, const char *expected,
                        uint32_t node)
{
    static const char *const got[] = {"null",     "a boolean", "a boolean", "a number",
                                      "a string", "an array",  "an object"};
    return refuse(rd->bad, param, "invalid_type",
                  "Invalid type for '%s': expected %s, but got %s instead.", param, expected,
                  got[json_type_at(rd->d, node)]);
}

static bool refuse_missing(const struct reader *rd, const char *param)
{
    return refuse(rd->bad, param, "missing_required_parameter", "Missing required parameter: '%s'.",
                  param);
}

/* `key` is there for the second time, in the object whose path with its final dot is `where`. */
static bool refuse_duplicate(const struct reader *rd, const char *where, uint32_t key)
{
    char param[sizeof rd->bad->param];
    struct slice name = json_string(rd->d, key, rd->a);
    snprintf(param, sizeof param, "%s" SLICE_FMT, where, SLICE_ARG(name));
    return refuse(rd->bad, param, "duplicate_key", "Duplicate key: '%s' is given twice.", param);
}

static int member_of(struct slice k)
{
#define X(id, name)                                                                                \
    if (k.n == sizeof(name) - 1 && KEY_IS(k, name))                                                \
        return LLM_MEMBER_##id;
    LLM_MEMBERS(X)
#undef X
    return -1;
}

static bool read_root(struct reader *rd)
{
    const struct json_doc *d = rd->d;
    if (json_type_at(d, 0) != JSON_OBJECT)
        return refuse(rd->bad, "", "invalid_type", "The request body must be a JSON object.");
    uint32_t twice = json_duplicate_key(rd->p, d, 0);
    if (twice != 0)
        return refuse_duplicate(rd, "", twice);
    for (uint32_t k = json_first(d, 0); k < json_end(d, 0); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, member_of);
        if (m < 0)
            continue;
        rd->r->members[m] = llm_span_of(d, k);
        rd->value[m] = json_type_at(d, k + 1) != JSON_NULL ? k + 1 : 0;
    }
    return true;
}

static bool read_model(struct reader *rd)
{
    uint32_t node = rd->value[LLM_MEMBER_MODEL];
    struct slice *model = &rd->r->model;
    if (node != 0 && json_type_at(rd->d, node) != JSON_STRING)
        return refuse_type(rd, "model", "a string", node);
    if (node == 0 || json_inner(rd->d, node).n == 0)
        return refuse(rd->bad, "model", "missing_required_parameter",
                      "you must provide a model parameter");
    *model = json_string(rd->d, node, rd->a);
    if (model->p == NULL)
        return refuse_memory(rd->bad);
    if (model->n > LLM_MODEL_MAX)
        return refuse(rd->bad, "model", "string_above_max_length",
                      "Invalid 'model': string too long. Expected a string with maximum length %d, "
                      "but got a string with length %zu instead.",
                      LLM_MODEL_MAX, model->n);
    for (size_t i = 0; i < model->n; i++) {
        unsigned char c = (unsigned char)model->p[i];
        if (c < 0x20 || c == 0x7F)
            return refuse(rd->bad, "model", "invalid_value",
                          "Invalid 'model': control characters are not allowed.");
    }
    return true;
}

static bool read_user(struct reader *rd)
{
    uint32_t node = rd->value[LLM_MEMBER_USER];
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) != JSON_STRING)
        return refuse_type(rd, "user", "a string", node);
    rd->r->user = json_string(rd->d, node, rd->a);
    return rd->r->user.p != NULL || refuse_memory(rd->bad);
}

/* A boolean, or false where it is absent. */
static bool read_bool(struct reader *rd, const char *param, uint32_t node, bool *ret)
{
    enum json_type t = node != 0 ? json_type_at(rd->d, node) : JSON_FALSE;
    if (t != JSON_FALSE && t != JSON_TRUE)
        return refuse_type(rd, param, "a boolean", node);
    *ret = t == JSON_TRUE;
    return true;
}

static int stream_option_of(struct slice k)
{
    return k.n == 13 && KEY_IS(k, "include_usage") ? 0 : -1;
}

static bool read_stream_options(struct reader *rd, uint32_t node)
{
    const struct json_doc *d = rd->d;
    uint32_t usage = 0;
    if (json_type_at(d, node) != JSON_OBJECT)
        return refuse_type(rd, "stream_options", "an object", node);
    if (!rd->r->stream)
        return refuse(rd->bad, "stream_options", "invalid_value",
                      "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
    uint32_t twice = json_duplicate_key(rd->p, d, node);
    if (twice != 0)
        return refuse_duplicate(rd, "stream_options.", twice);
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        if (llm_key(d, k, stream_option_of) != 0)
            continue;
        rd->r->include_usage = llm_span_of(d, k);
        usage = json_type_at(d, k + 1) != JSON_NULL ? k + 1 : 0;
    }
    return read_bool(rd, "stream_options.include_usage", usage, &rd->r->wants_usage);
}

static bool read_stream(struct reader *rd)
{
    uint32_t options = rd->value[LLM_MEMBER_STREAM_OPTIONS];
    if (!read_bool(rd, "stream", rd->value[LLM_MEMBER_STREAM], &rd->r->stream))
        return false;
    if (rd->r->stream && rd->r->op == LLM_EMBEDDINGS)
        return refuse(rd->bad, "stream", "invalid_value",
                      "The 'stream' parameter is not supported for embeddings.");
    return options == 0 || read_stream_options(rd, options);
}

/* An integer without fraction or exponent; one that does not fit becomes the nearest that does. */
static bool whole_number(const struct json_doc *d, uint32_t node, int64_t *ret)
{
    struct slice raw = json_raw(d, node);
    bool negative = *raw.p == '-';
    if (json_i64(d, node, ret))
        return true;
    if (json_type_at(d, node) != JSON_NUMBER)
        return false;
    for (size_t i = negative; i < raw.n; i++) {
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return false;
    }
    *ret = negative ? INT64_MIN : INT64_MAX;
    return true;
}

/* An integer from min to max; `*ret` stays where it is absent. */
static bool read_integer(struct reader *rd, const char *param, enum llm_member m, int64_t min,
                         int64_t max, int64_t *ret)
{
    uint32_t node = rd->value[m];
    int64_t v;
    if (node == 0)
        return true;
    if (!whole_number(rd->d, node, &v)) {
        if (json_type_at(rd->d, node) != JSON_NUMBER)
            return refuse_type(rd, param, "an integer", node);
        return refuse(
            rd->bad, param, "invalid_type",
            "Invalid type for '%s': expected an integer, but got a decimal number instead.", param);
    }
    if (v < min)
        return refuse(
            rd->bad, param, "integer_below_min_value",
            "Invalid '%s': integer below minimum value. Expected a value >= %lld, but got "
            "%lld instead.",
            param, (long long)min, (long long)v);
    if (v > max)
        return refuse(
            rd->bad, param, "integer_above_max_value",
            "Invalid '%s': integer above maximum value. Expected a value <= %lld, but got "
            "%lld instead.",
            param, (long long)max, (long long)v);
    *ret = v;
    return true;
}

static bool read_limits(struct reader *rd)
{
    struct llm_request *r = rd->r;
    int64_t least = r->op == LLM_COMPLETIONS ? 0 : 1; /* 0: with echo, only to score the prompt */
    int64_t older = -1, newer = -1;
    if (!read_integer(rd, "n", LLM_MEMBER_N, 1, 128, &r->n) ||
        !read_integer(rd, "max_tokens", LLM_MEMBER_MAX_TOKENS, least, INT64_MAX, &older) ||
        !read_integer(rd, "max_completion_tokens", LLM_MEMBER_MAX_COMPLETION_TOKENS, least,
                      INT64_MAX, &newer))
        return false;
    r->max_tokens = MAX_OF(older, newer);
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

static int role_of(struct slice k)
{
    return k.n == 4 && KEY_IS(k, "role") ? 0 : -1;
}

/* "messages[i]" and what follows, for refusals. */
static const char *message_path(struct reader *rd, size_t i, const char *rest)
{
    snprintf(rd->path, sizeof rd->path, "messages[%zu]%s", i, rest);
    return rd->path;
}

static bool read_message(struct reader *rd, uint32_t node, size_t i, struct developers *list)
{
    const struct json_doc *d = rd->d;
    uint32_t role = 0;
    if (json_type_at(d, node) != JSON_OBJECT)
        return refuse_type(rd, message_path(rd, i, ""), "an object", node);
    uint32_t twice = json_duplicate_key(rd->p, d, node);
    if (twice != 0)
        return refuse_duplicate(rd, message_path(rd, i, "."), twice);
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        if (llm_key(d, k, role_of) == 0)
            role = k + 1;
    }
    if (role == 0)
        return refuse_missing(rd, message_path(rd, i, ".role"));
    if (json_type_at(d, role) != JSON_STRING)
        return refuse_type(rd, message_path(rd, i, ".role"), "a string", role);
    if (!json_string_is(d, role, SLICE("developer")))
        return true;
    struct llm_range at = {d->nodes[role].off, d->nodes[role].end};
    return add_developer(rd->a, list, at) || refuse_memory(rd->bad);
}

static bool read_messages(struct reader *rd)
{
    const struct json_doc *d = rd->d;
    uint32_t node = rd->value[LLM_MEMBER_MESSAGES];
    struct developers list = {0};
    size_t i = 0;
    if (node == 0)
        return refuse_missing(rd, "messages");
    if (json_type_at(d, node) != JSON_ARRAY)
        return refuse_type(rd, "messages", "an array of objects", node);
    if (json_first(d, node) == json_end(d, node))
        return refuse(
            rd->bad, "messages", "empty_array",
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but "
            "got an empty array instead.");
    for (uint32_t m = json_first(d, node); m < json_end(d, node); m = json_after(d, m)) {
        if (!read_message(rd, m, i++, &list))
            return false;
    }
    rd->r->developers = list.at;
    rd->r->developers_n = list.n;
    return true;
}

/* `prompt` and `input`: a text, or a list of texts or tokens, which the provider checks. */
static bool read_text(struct reader *rd, const char *param, enum llm_member m)
{
    uint32_t node = rd->value[m];
    if (node == 0)
        return refuse_missing(rd, param);
    enum json_type t = json_type_at(rd->d, node);
    if (t != JSON_STRING && t != JSON_ARRAY)
        return refuse_type(rd, param, "a string or an array", node);
    return true;
}

static bool read_content(struct reader *rd)
{
    switch (rd->r->op) {
    case LLM_CHAT: return read_messages(rd);
    case LLM_COMPLETIONS: return read_text(rd, "prompt", LLM_MEMBER_PROMPT);
    case LLM_EMBEDDINGS: return read_text(rd, "input", LLM_MEMBER_INPUT);
    case LLM_OPS_N: break;
    }
    return false;
}

bool openai_read_request(struct json_parser *p, struct arena *a, enum llm_op op, struct slice body,
                         struct llm_request *ret, struct llm_bad_request *ret_bad)
{
    struct json_doc d;
    struct reader rd = {.d = &d, .p = p, .a = a, .r = ret, .bad = ret_bad};
    *ret = (struct llm_request){.op = op, .body = body, .max_tokens = -1, .n = 1};
    *ret_bad = (struct llm_bad_request){.code = NULL};
    enum json_error e = json_parse(p, body, 0, &d);
    if (e == JSON_NO_MEMORY)
        return refuse_memory(ret_bad);
    if (e != JSON_OK)
        return refuse(ret_bad, "", "invalid_json", "invalid JSON at byte %u: %s",
                      (unsigned)d.error_at, json_error_text(e));
    return read_root(&rd) && read_model(&rd) && read_stream(&rd) && read_limits(&rd) &&
           read_user(&rd) && read_content(&rd);
}
