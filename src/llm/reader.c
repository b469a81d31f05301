/* What the full readings of all client dialects share. */
#include "reader.h"

#include <stdarg.h>
#include <stdio.h>

#define UNKNOWN_MAX 100 /* names, each of which is compared with all before; then "..." */

void llm_chat_init(struct llm_chat *c, enum llm_dialect_id dialect)
{
    *c = (struct llm_chat){.dialect = dialect,
                           .parallel = -1,
                           .format_strict = -1,
                           .max_tokens = -1,
                           .n = 1,
                           .top_logprobs = -1,
                           .budget = -1,
                           .store = -1};
}

enum json_error reader_parse(struct json_parser *p, const struct llm_request *r,
                             struct json_doc *ret)
{
    if (!json_is_latest(p, &r->doc))
        return json_parse(p, r->body, 0, ret);
    *ret = r->doc;
    return JSON_OK;
}

void reader_init(struct llm_reader *rd, const struct json_doc *d, struct json_parser *p,
                 struct arena *a, struct llm_chat *chat, struct llm_bad_request *bad)
{
    *rd = (struct llm_reader){
        .d = d, .p = p, .a = a, .chat = chat, .bad = bad, .unknown = &chat->unknown};
}

bool reader_refuse(struct llm_reader *rd, const char *param, const char *code, const char *fmt, ...)
{
    va_list ap;
    snprintf(rd->bad->param, sizeof rd->bad->param, "%s", param);
    rd->bad->code = code;
    va_start(ap, fmt);
    vsnprintf(rd->bad->message, sizeof rd->bad->message, fmt, ap);
    va_end(ap);
    return false;
}

bool reader_no_memory(struct llm_reader *rd)
{
    rd->bad->no_memory = true;
    return reader_refuse(rd, "", "out_of_memory", "The gateway is out of memory.");
}

bool reader_wrong_type(struct llm_reader *rd, const char *param, const char *expected,
                       uint32_t node)
{
    static const char *const got[] = {"null",     "a boolean", "a boolean", "a number",
                                      "a string", "an array",  "an object"};
    return reader_refuse(rd, param, "invalid_type",
                         "Invalid type for '%s': expected %s, but got %s instead.", param, expected,
                         got[json_type_at(rd->d, node)]);
}

const char *reader_path(struct llm_reader *rd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rd->path, sizeof rd->path, fmt, ap);
    va_end(ap);
    return rd->path;
}

/* For reader_refuse_taken; false. */
static bool is_wrong(struct llm_reader *rd, const char *expected, uint32_t node)
{
    rd->wrong.expected = expected;
    rd->wrong.node = node;
    return false;
}

bool reader_refuse_taken(struct llm_reader *rd, const char *param)
{
    char path[sizeof rd->bad->param];
    uint32_t node = rd->wrong.node;
    if (rd->wrong.expected != NULL)
        return reader_wrong_type(rd, param, rd->wrong.expected, node);
    if (node == 0)
        return reader_no_memory(rd);
    struct slice name = json_string(rd->d, node, rd->a);
    snprintf(path, sizeof path, "%s." SLICE_FMT, param, SLICE_ARG(name));
    return reader_refuse(rd, path, "duplicate_key", "Duplicate key: '%s' is given twice.", path);
}

bool reader_take_object(struct llm_reader *rd, uint32_t node)
{
    if (json_type_at(rd->d, node) != JSON_OBJECT)
        return is_wrong(rd, "an object", node);
    uint32_t twice = json_duplicate_key(rd->p, rd->d, node);
    return twice == 0 || is_wrong(rd, NULL, twice);
}

bool reader_take_array(struct llm_reader *rd, uint32_t node)
{
    return json_type_at(rd->d, node) == JSON_ARRAY || is_wrong(rd, "an array", node);
}

static bool is_string(struct llm_reader *rd, uint32_t node)
{
    return json_type_at(rd->d, node) == JSON_STRING || is_wrong(rd, "a string", node);
}

bool reader_take_word(struct llm_reader *rd, uint32_t node, struct slice *ret)
{
    if (node == 0)
        return true;
    if (!is_string(rd, node))
        return false;
    *ret = json_string(rd->d, node, rd->a);
    return ret->p != NULL || is_wrong(rd, NULL, 0);
}

bool reader_take_text(struct llm_reader *rd, uint32_t node, struct llm_text *ret)
{
    if (node == 0)
        return true;
    if (!is_string(rd, node))
        return false;
    *ret = llm_text_at(rd->d, node);
    return true;
}

bool reader_take_number(struct llm_reader *rd, uint32_t node, struct slice *ret)
{
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) != JSON_NUMBER)
        return is_wrong(rd, "a number", node);
    *ret = json_raw(rd->d, node);
    return true;
}

bool reader_take_integer(struct llm_reader *rd, uint32_t node, int64_t *ret)
{
    return node == 0 || json_i64(rd->d, node, ret) || is_wrong(rd, "an integer", node);
}

bool reader_take_flag(struct llm_reader *rd, uint32_t node, int *ret)
{
    if (node == 0)
        return true;
    enum json_type t = json_type_at(rd->d, node);
    if (t != JSON_TRUE && t != JSON_FALSE)
        return is_wrong(rd, "a boolean", node);
    *ret = t == JSON_TRUE;
    return true;
}

void reader_json(struct llm_reader *rd, uint32_t object, const char *key, struct slice *ret)
{
    uint32_t node = reader_get(rd, object, key);
    if (node != 0)
        *ret = json_raw(rd->d, node);
}

void reader_schema(struct llm_reader *rd, uint32_t object, const char *key, struct llm_tool *t)
{
    uint32_t node = reader_get(rd, object, key);
    if (node == 0)
        return;
    t->schema_json = json_raw(rd->d, node);
    t->schema_typed =
        json_type_at(rd->d, node) == JSON_OBJECT && json_get(rd->d, node, SLICE("type")) != 0;
}

static bool add_word(struct llm_reader *rd, struct llm_word ***tail, uint32_t node)
{
    struct llm_word *w = arena_new(rd->a, struct llm_word);
    if (w == NULL)
        return is_wrong(rd, NULL, 0);
    w->word = json_string(rd->d, node, rd->a);
    if (w->word.p == NULL)
        return is_wrong(rd, NULL, 0);
    LLM_APPEND(*tail, w);
    return true;
}

bool reader_take_words(struct llm_reader *rd, uint32_t node, struct llm_word **ret)
{
    static const char expected[] = "a string or an array of strings";
    if (node == 0)
        return true;
    if (json_type_at(rd->d, node) == JSON_STRING)
        return add_word(rd, &ret, node);
    if (json_type_at(rd->d, node) != JSON_ARRAY)
        return is_wrong(rd, expected, node);
    for (uint32_t i = json_first(rd->d, node); i < json_end(rd->d, node);
         i = json_after(rd->d, i)) {
        if (json_type_at(rd->d, i) != JSON_STRING)
            return is_wrong(rd, expected, i);
        if (!add_word(rd, &ret, i))
            return false;
    }
    return true;
}

bool reader_add_unknown(struct llm_reader *rd, struct slice name)
{
    if (rd->unknown_n > UNKNOWN_MAX)
        return true;
    if (rd->unknown_n == UNKNOWN_MAX)
        name = SLICE("...");
    for (const struct llm_word *w = rd->chat->unknown; w != NULL; w = w->next) {
        if (slice_eq(w->word, name))
            return true;
    }
    struct llm_word *w = arena_new(rd->a, struct llm_word);
    struct slice copy = arena_copy(rd->a, name);
    if (w == NULL || copy.p == NULL)
        return reader_no_memory(rd);
    w->word = copy;
    LLM_APPEND(rd->unknown, w);
    rd->unknown_n++;
    return true;
}

static bool is_known(const struct llm_reader *rd, uint32_t key, const char *const *known)
{
    struct slice name = json_inner(rd->d, key);
    if (unlikely(rd->d->nodes[key].escaped)) {
        while (*known != NULL && !json_string_is(rd->d, key, slice_str(*known)))
            known++;
        return *known != NULL;
    }
    for (; *known != NULL; known++) {
        if (name.n > 0 && **known == *name.p && strncmp(*known, name.p, name.n) == 0 &&
            (*known)[name.n] == '\0')
            return true;
    }
    return false;
}

bool reader_unknown(struct llm_reader *rd, uint32_t object, const char *const *known,
                    const char *prefix)
{
    const struct json_doc *d = rd->d;
    for (uint32_t k = json_first(d, object); k < json_end(d, object); k = json_after(d, k + 1)) {
        if (rd->unknown_n > UNKNOWN_MAX)
            return true;
        if (json_type_at(d, k + 1) == JSON_NULL || is_known(rd, k, known))
            continue;
        struct slice key = json_string(d, k, rd->a), name;
        name = arena_printf(rd->a, "%s" SLICE_FMT, prefix, SLICE_ARG(key));
        if (key.p == NULL || name.p == NULL)
            return reader_no_memory(rd);
        if (!reader_add_unknown(rd, name))
            return false;
    }
    return true;
}

bool reader_data_url(struct slice url, struct llm_source *ret)
{
    if (url.n < 5 || !slice_eq_nocase(slice_of(url.p, 5), SLICE("data:")))
        return false;
    ptrdiff_t comma = slice_find(url, ',');
    if (comma < 0)
        return false;
    struct slice head = slice_of(url.p + 5, (size_t)comma - 5), coding = SLICE_NONE;
    struct slice type = slice_cut(&head, ';');
    while (head.n > 0)
        coding = slice_cut(&head, ';');
    if (!slice_eq_nocase(coding, SLICE("base64")))
        return false;
    ret->media_type = type;
    ret->data = slice_from(url, (size_t)comma + 1);
    return true;
}

struct llm_message *reader_add_message(struct llm_reader *rd, struct llm_message ***tail,
                                       enum llm_role role, unsigned at)
{
    struct llm_message *m = arena_new(rd->a, struct llm_message);
    if (m == NULL) {
        reader_no_memory(rd);
        return NULL;
    }
    m->role = role;
    m->at = at;
    LLM_APPEND(*tail, m);
    return m;
}

void reader_set_kind(struct llm_reader *rd, struct llm_part *p, enum llm_part_kind kind)
{
    p->kind = kind;
    if (kind == PART_TOOL_CALL || kind == PART_TOOL_RESULT)
        p->calls = rd->latest_call;
    if (kind == PART_TOOL_CALL)
        rd->latest_call = p;
}

struct llm_part *reader_add_part(struct llm_reader *rd, struct llm_part ***tail,
                                 enum llm_part_kind kind, unsigned message_at, unsigned at)
{
    struct llm_part *p = arena_new(rd->a, struct llm_part);
    if (p == NULL) {
        reader_no_memory(rd);
        return NULL;
    }
    reader_set_kind(rd, p, kind);
    p->message_at = message_at;
    p->at = at;
    LLM_APPEND(*tail, p);
    return p;
}

struct llm_tool *reader_add_tool(struct llm_reader *rd, struct llm_tool ***tail,
                                 enum llm_tool_kind kind)
{
    struct llm_tool *t = arena_new(rd->a, struct llm_tool);
    if (t == NULL) {
        reader_no_memory(rd);
        return NULL;
    }
    t->kind = kind;
    t->strict = -1;
    LLM_APPEND(*tail, t);
    return t;
}
