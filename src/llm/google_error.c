/* Errors in Google's shape, and the small readings that the wire's files share. Sources: the HTTP
 * mapping of google/rpc/code.proto and RetryInfo of google/rpc/error_details.proto (googleapis);
 * errors that come in an array: errors.py of google-genai 3.4.0 (Python SDK). */
#include "base/json_write.h"
#include "google_internal.h"

uint32_t google_get(const struct json_doc *d, uint32_t node, const char *key)
{
    if (json_type_at(d, node) != JSON_OBJECT)
        return 0;
    uint32_t v = json_get(d, node, slice_str(key));
    return v != 0 && json_type_at(d, v) != JSON_NULL ? v : 0;
}

uint32_t google_in(const struct json_doc *d, uint32_t node, const char *key)
{
    return node != 0 ? google_get(d, node, key) : 0;
}

struct slice google_word(const struct json_doc *d, uint32_t node, const char *key, struct arena *a)
{
    uint32_t v = google_in(d, node, key);
    return v != 0 && json_type_at(d, v) == JSON_STRING ? json_string(d, v, a) : SLICE_NONE;
}

struct llm_text google_text(const struct json_doc *d, uint32_t node, const char *key)
{
    uint32_t v = google_in(d, node, key);
    return v != 0 && json_type_at(d, v) == JSON_STRING ? llm_text_at(d, v) : LLM_NO_TEXT;
}

int64_t google_integer(const struct json_doc *d, uint32_t node, const char *key)
{
    int64_t n;
    uint32_t v = google_in(d, node, key);
    return v != 0 && json_i64(d, v, &n) ? n : -1;
}

/* The first row with a status is what that status is called. */
static const struct {
    unsigned http;
    const char *name;
} statuses[] = {
    {400, "INVALID_ARGUMENT"},   {401, "UNAUTHENTICATED"},  {402, "RESOURCE_EXHAUSTED"},
    {403, "PERMISSION_DENIED"},  {404, "NOT_FOUND"},        {405, "UNIMPLEMENTED"},
    {408, "DEADLINE_EXCEEDED"},  {409, "ABORTED"},          {412, "FAILED_PRECONDITION"},
    {413, "INVALID_ARGUMENT"},   {415, "INVALID_ARGUMENT"}, {422, "INVALID_ARGUMENT"},
    {429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"},        {500, "INTERNAL"},
    {501, "UNIMPLEMENTED"},      {502, "UNAVAILABLE"},      {503, "UNAVAILABLE"},
    {504, "DEADLINE_EXCEEDED"},
};

struct slice google_status_name(unsigned http_status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (statuses[i].http == http_status)
            return slice_str(statuses[i].name);
    }
    if (http_status >= 400 && http_status < 500)
        return SLICE("FAILED_PRECONDITION");
    return http_status >= 500 ? SLICE("INTERNAL") : SLICE("UNKNOWN");
}

unsigned google_status_of(struct slice name)
{
    static const struct {
        const char *name;
        unsigned http;
    } rows[] = {
        {"CANCELLED", 499},           {"UNKNOWN", 500},
        {"INVALID_ARGUMENT", 400},    {"DEADLINE_EXCEEDED", 504},
        {"NOT_FOUND", 404},           {"ALREADY_EXISTS", 409},
        {"PERMISSION_DENIED", 403},   {"UNAUTHENTICATED", 401},
        {"RESOURCE_EXHAUSTED", 429},  {"ABORTED", 409},
        {"FAILED_PRECONDITION", 400}, {"OUT_OF_RANGE", 400},
        {"UNIMPLEMENTED", 501},       {"INTERNAL", 500},
        {"UNAVAILABLE", 503},         {"DATA_LOSS", 500},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(name, rows[i].name))
            return rows[i].http;
    }
    return 0;
}

uint32_t google_error_node(const struct json_doc *d)
{
    uint32_t root = 0;
    if (json_type_at(d, 0) == JSON_ARRAY && json_first(d, 0) < json_end(d, 0))
        root = json_first(d, 0);
    uint32_t e = google_get(d, root, "error");
    return e != 0 && json_type_at(d, e) == JSON_OBJECT ? e : 0;
}

/* The element of error.details whose @type ends in `type`; 0: none. */
static uint32_t find_detail(const struct json_doc *d, uint32_t error, const char *type)
{
    uint32_t list = google_in(d, error, "details");
    struct slice want = slice_str(type);
    if (list == 0 || json_type_at(d, list) != JSON_ARRAY)
        return 0;
    for (uint32_t i = json_first(d, list); i < json_end(d, list); i = json_after(d, i)) {
        struct slice t = google_text(d, i, "@type").inner;
        if (t.n >= want.n && slice_eq(slice_from(t, t.n - want.n), want))
            return i;
    }
    return 0;
}

unsigned google_error_at(const struct json_doc *d, uint32_t node, struct arena *a,
                         struct llm_error *ret)
{
    uint32_t info = find_detail(d, node, ".ErrorInfo");
    int64_t code = google_integer(d, node, "code");
    *ret = (struct llm_error){.message = google_word(d, node, "message", a),
                              .type = google_word(d, node, "status", a),
                              .code = google_word(d, info, "reason", a)};
    if (ret->message.n == 0)
        ret->message = ret->type.n > 0 ? ret->type : SLICE("The provider gave no message.");
    if (code >= 400 && code <= 599)
        return (unsigned)code;
    return google_status_of(ret->type);
}

void google_read_error(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret)
{
    struct json_doc d;
    if (json_parse(p, body, JSON_ALLOW_LONE_SURROGATES, &d) == JSON_OK) {
        uint32_t node = google_error_node(&d);
        if (node != 0) {
            google_error_at(&d, node, a, ret);
            return;
        }
    }
    openai_read_error(p, a, body, ret); /* of proxies and load balancers */
}

/* A google.protobuf.Duration, "17s" or "0.5s". */
static bool read_duration(struct slice s, int64_t *ret_ms)
{
    uint64_t seconds, fraction = 0;
    if (s.n < 2 || s.p[s.n - 1] != 's')
        return false;
    struct slice rest = slice_of(s.p, s.n - 1), whole = slice_cut(&rest, '.');
    if (!slice_to_u64(whole, &seconds) || seconds > 1000000 || rest.n > 9)
        return false;
    if (rest.n > 0 && !slice_to_u64(rest, &fraction))
        return false;
    for (size_t i = rest.n; i < 9; i++)
        fraction *= 10;
    *ret_ms = (int64_t)(seconds * 1000 + (fraction + 999999) / 1000000);
    return true;
}

bool google_retry_delay(struct json_parser *p, struct arena *a, struct slice body, int64_t *ret_ms)
{
    struct json_doc d;
    if (json_parse(p, body, JSON_ALLOW_LONE_SURROGATES, &d) != JSON_OK)
        return false;
    uint32_t error = google_error_node(&d);
    uint32_t info = error != 0 ? find_detail(&d, error, ".RetryInfo") : 0;
    struct slice delay = google_word(&d, info, "retryDelay", a);
    return delay.n > 0 && read_duration(delay, ret_ms);
}

void google_put_error(struct buf *out, unsigned status, const struct llm_error *e,
                      struct slice request_id)
{
    struct json_writer w = json_writer(out);
    (void)request_id; /* Google's errors have no place for it; it is in a header */
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_field_i64(&w, "code", status);
    jw_field_string(&w, "message", e->message);
    jw_field_string(&w, "status", google_status_name(status));
    if (e->code.n > 0 || e->param.n > 0) {
        jw_key(&w, "details");
        jw_open(&w, '[');
        jw_open(&w, '{');
        jw_field_string(&w, "@type", SLICE("type.googleapis.com/google.rpc.ErrorInfo"));
        jw_field_string(&w, "reason", e->code.n > 0 ? e->code : e->type);
        jw_field_string(&w, "domain", SLICE("weir"));
        if (e->param.n > 0) {
            jw_key(&w, "metadata");
            jw_open(&w, '{');
            jw_field_string(&w, "field", e->param);
            jw_close(&w, '}');
        }
        jw_close(&w, '}');
        jw_close(&w, ']');
    }
    jw_close(&w, '}');
    jw_close(&w, '}');
}

void google_put_inside(struct buf *out, struct slice json)
{
    bool inside = false;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        if (!inside && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
            continue;
        if (c == '"' || c == '\\')
            buf_char(out, '\\');
        buf_char(out, c);
        if (c == '\\') { /* an escape of the text's own: both characters */
            c = json.p[++i];
            if (c == '"' || c == '\\')
                buf_char(out, '\\');
            buf_char(out, c);
        } else if (c == '"') {
            inside = !inside;
        }
    }
}

void google_put_compact(struct buf *out, struct slice json)
{
    bool inside = false;
    size_t from = 0;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        if (c == '"') {
            inside = !inside;
        } else if (c == '\\') {
            i++;
        } else if (!inside && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            buf_append(out, json.p + from, i - from);
            from = i + 1;
        }
    }
    buf_append(out, json.p + from, json.n - from);
}
