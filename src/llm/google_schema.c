/* Google's Schema, a subset of OpenAPI 3.0's, as JSON Schema. Source: Schema in types.py of
 * google-genai 3.4.0 (Python SDK) and its json_schema property; 64-bit integers may come as
 * strings, as ProtoJSON has them. */
#include "base/json_write.h"
#include "google_internal.h"

struct slice google_camel(struct slice name, char *out)
{
    size_t n = 0;
    if (name.n > GOOGLE_NAME_MAX || memchr(name.p, '_', name.n) == NULL)
        return name;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '_' && i + 1 < name.n && name.p[i + 1] >= 'a' && name.p[i + 1] <= 'z')
            out[n++] = (char)(name.p[++i] - 'a' + 'A');
        else
            out[n++] = c;
    }
    return slice_of(out, n);
}

enum keyword {
    ANY_OTHER,
    A_TYPE,
    A_FLAG,
    A_SCHEMA,
    SCHEMAS,
    NAMED_SCHEMAS,
    A_COUNT,
    AN_EXAMPLE,
    A_FORMAT,
    LEFT_OUT
};

static enum keyword keyword_of(struct slice name)
{
    static const struct {
        const char *name;
        enum keyword keyword;
    } rows[] = {
        {"type", A_TYPE},        {"nullable", A_FLAG},           {"items", A_SCHEMA},
        {"anyOf", SCHEMAS},      {"properties", NAMED_SCHEMAS},  {"format", A_FORMAT},
        {"minItems", A_COUNT},   {"maxItems", A_COUNT},          {"minLength", A_COUNT},
        {"maxLength", A_COUNT},  {"minProperties", A_COUNT},     {"maxProperties", A_COUNT},
        {"example", AN_EXAMPLE}, {"propertyOrdering", LEFT_OUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(name, rows[i].name))
            return rows[i].keyword;
    }
    return ANY_OTHER;
}

static void put_schema(struct json_writer *j, const struct json_doc *d, uint32_t node,
                       struct arena *a);

/* "STRING" as "string", and with null where it is nullable. */
static void put_type(struct json_writer *j, const struct json_doc *d, uint32_t node, bool nullable)
{
    char word[32];
    struct slice s = json_inner(d, node);
    if (slice_eq_nocase(s, SLICE("TYPE_UNSPECIFIED")) || s.n > sizeof word)
        return;
    for (size_t i = 0; i < s.n; i++)
        word[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] - 'A' + 'a' : s.p[i]);
    s = slice_of(word, s.n);
    jw_key(j, "type");
    if (!nullable) {
        jw_string(j, s);
        return;
    }
    jw_open(j, '[');
    jw_string(j, s);
    jw_string(j, SLICE("null"));
    jw_close(j, ']');
}

static void put_list(struct json_writer *j, const struct json_doc *d, uint32_t node,
                     struct arena *a)
{
    bool list = json_type_at(d, node) == JSON_ARRAY;
    jw_open(j, list ? '[' : '{');
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        if (!list) {
            jw_raw(j, json_raw(d, i++));
            buf_char(j->b, ':');
            j->comma = false;
        }
        put_schema(j, d, i, a);
    }
    jw_close(j, list ? ']' : '}');
}

/* A number that may stand between quotes. */
static void put_count(struct json_writer *j, const struct json_doc *d, uint32_t node)
{
    uint64_t n;
    bool quoted = json_type_at(d, node) == JSON_STRING && slice_to_u64(json_inner(d, node), &n);
    jw_raw(j, quoted ? json_inner(d, node) : json_raw(d, node));
}

static void put_member(struct json_writer *j, const struct json_doc *d, struct slice name,
                       uint32_t value, struct arena *a)
{
    enum json_type t = json_type_at(d, value);
    switch (keyword_of(name)) {
    case A_SCHEMA:
        jw_key_slice(j, name);
        put_schema(j, d, value, a);
        return;
    case SCHEMAS:
    case NAMED_SCHEMAS:
        jw_key_slice(j, name);
        if (t == JSON_ARRAY || t == JSON_OBJECT)
            put_list(j, d, value, a);
        else
            jw_raw(j, json_raw(d, value));
        return;
    case A_COUNT:
        jw_key_slice(j, name);
        put_count(j, d, value);
        return;
    case AN_EXAMPLE:
        jw_key(j, "examples");
        jw_open(j, '[');
        jw_raw(j, json_raw(d, value));
        jw_close(j, ']');
        return;
    case A_FORMAT:
        if (t == JSON_STRING && slice_eq(json_inner(d, value), SLICE("enum")))
            return; /* says no more than `enum` does */
        break;
    case LEFT_OUT: /* of the order alone */
    case A_FLAG:   /* goes with the type */
    case A_TYPE: return;
    case ANY_OTHER: break;
    }
    jw_key_slice(j, name);
    jw_raw(j, json_raw(d, value));
}

static void put_schema(struct json_writer *j, const struct json_doc *d, uint32_t node,
                       struct arena *a)
{
    char room[GOOGLE_NAME_MAX];
    if (json_type_at(d, node) != JSON_OBJECT) {
        jw_raw(j, json_raw(d, node));
        return;
    }
    uint32_t type = google_in(d, node, "type"), nullable = google_in(d, node, "nullable");
    bool string = type != 0 && json_type_at(d, type) == JSON_STRING;
    jw_open(j, '{');
    if (string)
        put_type(j, d, type, nullable != 0 && json_type_at(d, nullable) == JSON_TRUE);
    else if (type != 0)
        jw_key(j, "type"), jw_raw(j, json_raw(d, type));
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        struct slice name = json_string(d, k, a);
        if (name.p == NULL)
            j->b->failed = true;
        else if (json_type_at(d, k + 1) != JSON_NULL || slice_is(name, "default"))
            put_member(j, d, google_camel(name, room), k + 1, a);
    }
    jw_close(j, '}');
}

struct slice google_json_schema(const struct json_doc *d, uint32_t node, struct arena *a)
{
    struct buf b;
    buf_init(&b, 8 * json_raw(d, node).n + 64);
    struct json_writer j = json_writer(&b);
    put_schema(&j, d, node, a);
    struct slice ret = b.failed ? SLICE_NONE : arena_copy(a, buf_view(&b));
    buf_done(&b);
    return ret;
}
