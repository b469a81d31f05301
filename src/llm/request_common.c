/* What the light readings of all client dialects share. */
#include "request_common.h"

#include <stdarg.h>
#include <stdio.h>

#define BULK_STRING 4096u /* bytes: shorter strings are never taken for a file */
#define BULK_LOOK   256

bool request_refuse(struct request_reader *rd, const char *param, const char *code, const char *fmt,
                    ...)
{
    va_list ap;
    snprintf(rd->bad->param, sizeof rd->bad->param, "%s", param);
    rd->bad->code = code;
    va_start(ap, fmt);
    vsnprintf(rd->bad->message, sizeof rd->bad->message, fmt, ap);
    va_end(ap);
    return false;
}

bool request_no_memory(struct request_reader *rd)
{
    rd->bad->no_memory = true;
    return request_refuse(rd, "", "out_of_memory", "The gateway is out of memory.");
}

bool request_wrong_type(struct request_reader *rd, const char *param, const char *expected,
                        uint32_t node)
{
    static const char *const got[] = {"null",     "a boolean", "a boolean", "a number",
                                      "a string", "an array",  "an object"};
    return request_refuse(rd, param, "invalid_type",
                          "Invalid type for '%s': expected %s, but got %s instead.", param,
                          expected, got[json_type_at(rd->d, node)]);
}

bool request_missing(struct request_reader *rd, const char *param)
{
    return request_refuse(rd, param, "missing_required_parameter",
                          "Missing required parameter: '%s'.", param);
}

const char *request_path(struct request_reader *rd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rd->path, sizeof rd->path, fmt, ap);
    va_end(ap);
    return rd->path;
}

/* `key` is there for the second time in the object `where` (empty: the root). */
static bool refuse_duplicate(struct request_reader *rd, const char *where, uint32_t key)
{
    char param[sizeof rd->bad->param];
    struct slice name = json_string(rd->d, key, rd->a);
    snprintf(param, sizeof param, "%s%s" SLICE_FMT, where, *where != '\0' ? "." : "",
             SLICE_ARG(name));
    return request_refuse(rd, param, "duplicate_key", "Duplicate key: '%s' is given twice.", param);
}

bool request_object(struct request_reader *rd, const char *param, uint32_t node)
{
    if (json_type_at(rd->d, node) != JSON_OBJECT)
        return request_wrong_type(rd, param, "an object", node);
    uint32_t twice = json_duplicate_key(rd->p, rd->d, node);
    return twice == 0 || refuse_duplicate(rd, param, twice);
}

static bool read_root(struct request_reader *rd, int (*lookup)(struct slice))
{
    const struct json_doc *d = rd->d;
    if (json_type_at(d, 0) != JSON_OBJECT)
        return request_refuse(rd, "", "invalid_type", "The request body must be a JSON object.");
    uint32_t twice = json_duplicate_key(rd->p, d, 0);
    if (twice != 0)
        return refuse_duplicate(rd, "", twice);
    for (uint32_t k = json_first(d, 0); k < json_end(d, 0); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, lookup);
        if (m < 0)
            continue;
        if (m < LLM_MEMBERS_N)
            rd->r->members[m] = llm_span_of(d, k);
        rd->value[m] = json_type_at(d, k + 1) != JSON_NULL ? k + 1 : 0;
    }
    return true;
}

/* A long string that is an encoded image or file: a data URL, or nothing but base64 to begin with.
 */
static bool is_bulk(struct slice s)
{
    if (slice_starts(s, SLICE("data:")))
        return true;
    for (size_t i = 0; i < BULK_LOOK; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool base64 = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '+' || c == '/' || c == '-' || c == '_' || c == '\\';
        if (!base64)
            return false;
    }
    return true;
}

static size_t bulk_bytes(const struct json_doc *d, struct slice body)
{
    size_t n = 0;
    for (uint32_t i = 0; i < d->count && body.n > BULK_STRING; i++) {
        const struct json_node *node = &d->nodes[i];
        if (node->end - node->off > BULK_STRING && d->text[node->off] == '"' &&
            is_bulk(json_inner(d, i)))
            n += node->end - node->off;
    }
    return n;
}

bool request_open(struct request_reader *rd, struct json_doc *d, struct json_parser *p,
                  struct arena *a, enum llm_op op, struct slice body, int (*lookup)(struct slice),
                  struct llm_request *ret, struct llm_bad_request *ret_bad)
{
    *rd = (struct request_reader){.d = d, .p = p, .a = a, .r = ret, .bad = ret_bad};
    *ret = (struct llm_request){.op = op, .body = body, .max_tokens = -1, .n = 1};
    *ret_bad = (struct llm_bad_request){.code = NULL};
    enum json_error e = json_parse(p, body, 0, d);
    if (e == JSON_NO_MEMORY)
        return request_no_memory(rd);
    if (e != JSON_OK)
        return request_refuse(rd, "", "invalid_json", "invalid JSON at byte %u: %s",
                              (unsigned)d->error_at, json_error_text(e));
    ret->doc = *d;
    ret->bulk_bytes = bulk_bytes(d, body);
    return read_root(rd, lookup);
}

bool request_model(struct request_reader *rd, uint32_t node)
{
    struct slice *model = &rd->r->model;
    if (node != 0 && json_type_at(rd->d, node) != JSON_STRING)
        return request_wrong_type(rd, "model", "a string", node);
    if (node == 0 || json_inner(rd->d, node).n == 0)
        return request_refuse(rd, "model", "missing_required_parameter",
                              "you must provide a model parameter");
    *model = json_string(rd->d, node, rd->a);
    if (model->p == NULL)
        return request_no_memory(rd);
    if (model->n > LLM_MODEL_MAX)
        return request_refuse(
            rd, "model", "string_above_max_length",
            "Invalid 'model': string too long. Expected a string with maximum length %d, "
            "but got a string with length %zu instead.",
            LLM_MODEL_MAX, model->n);
    for (size_t i = 0; i < model->n; i++) {
        unsigned char c = (unsigned char)model->p[i];
        if (c < 0x20 || c == 0x7F)
            return request_refuse(rd, "model", "invalid_value",
                                  "Invalid 'model': control characters are not allowed.");
    }
    return true;
}

bool request_boolean(struct request_reader *rd, const char *param, uint32_t node, bool *ret)
{
    enum json_type t = node != 0 ? json_type_at(rd->d, node) : JSON_FALSE;
    if (t != JSON_FALSE && t != JSON_TRUE)
        return request_wrong_type(rd, param, "a boolean", node);
    *ret = t == JSON_TRUE;
    return true;
}

bool request_string(struct request_reader *rd, const char *param, uint32_t node, struct slice *ret)
{
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) != JSON_STRING)
        return request_wrong_type(rd, param, "a string", node);
    *ret = json_string(rd->d, node, rd->a);
    return ret->p != NULL || request_no_memory(rd);
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

bool request_integer(struct request_reader *rd, const char *param, uint32_t node, int64_t min,
                     int64_t max, int64_t *ret)
{
    int64_t v;
    if (node == 0)
        return true;
    if (!whole_number(rd->d, node, &v)) {
        if (json_type_at(rd->d, node) != JSON_NUMBER)
            return request_wrong_type(rd, param, "an integer", node);
        return request_refuse(
            rd, param, "invalid_type",
            "Invalid type for '%s': expected an integer, but got a decimal number instead.", param);
    }
    if (v < min)
        return request_refuse(
            rd, param, "integer_below_min_value",
            "Invalid '%s': integer below minimum value. Expected a value >= %lld, but got "
            "%lld instead.",
            param, (long long)min, (long long)v);
    if (v > max)
        return request_refuse(
            rd, param, "integer_above_max_value",
            "Invalid '%s': integer above maximum value. Expected a value <= %lld, but got "
            "%lld instead.",
            param, (long long)max, (long long)v);
    *ret = v;
    return true;
}

bool request_list(struct request_reader *rd, const char *param, uint32_t node)
{
    if (node == 0)
        return request_missing(rd, param);
    if (json_type_at(rd->d, node) != JSON_ARRAY)
        return request_wrong_type(rd, param, "an array of objects", node);
    if (json_first(rd->d, node) == json_end(rd->d, node))
        return request_refuse(
            rd, param, "empty_array",
            "Invalid '%s': empty array. Expected an array with minimum length 1, but "
            "got an empty array instead.",
            param);
    return true;
}

enum message_member { MESSAGE_ROLE, MESSAGE_CONTENT };

static int message_member_of(struct slice k)
{
    if (k.n == 4)
        return KEY_IS(k, "role") ? (int)MESSAGE_ROLE : -1;
    return k.n == 7 && KEY_IS(k, "content") ? (int)MESSAGE_CONTENT : -1;
}

bool request_message(struct request_reader *rd, uint32_t node, size_t i, uint32_t *ret_role)
{
    const struct json_doc *d = rd->d;
    uint32_t role = 0;
    if (json_type_at(d, node) != JSON_OBJECT)
        return request_wrong_type(rd, request_path(rd, "messages[%zu]", i), "an object", node);
    uint32_t twice = json_duplicate_key(rd->p, d, node);
    if (twice != 0)
        return refuse_duplicate(rd, request_path(rd, "messages[%zu]", i), twice);
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, message_member_of);
        if (m == MESSAGE_ROLE)
            role = k + 1;
        else if (m == MESSAGE_CONTENT)
            request_needs_parts(rd, k + 1);
    }
    if (role == 0)
        return request_missing(rd, request_path(rd, "messages[%zu].role", i));
    if (json_type_at(d, role) != JSON_STRING)
        return request_wrong_type(rd, request_path(rd, "messages[%zu].role", i), "a string", role);
    *ret_role = role;
    return true;
}
