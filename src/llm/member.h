/* Reading members of providers' answers, where what is absent, null or of another type counts as
 * not said. */
#ifndef LLM_MEMBER_H
#define LLM_MEMBER_H

#include "base/json.h"
#include "llm/neutral.h"

/* Figures above are nonsense, and would overflow prices. */
#define MEMBER_TOKENS_MAX ((int64_t)1 << 48)

/* The root; every other node is what `member_in` gives, where 0 stands for nothing. */
static inline uint32_t member_of(const struct json_doc *d, uint32_t object, const char *key)
{
    uint32_t value =
        json_type_at(d, object) == JSON_OBJECT ? json_get(d, object, slice_str(key)) : 0;
    return value != 0 && json_type_at(d, value) != JSON_NULL ? value : 0;
}

static inline uint32_t member_in(const struct json_doc *d, uint32_t object, const char *key)
{
    return object != 0 ? member_of(d, object, key) : 0;
}

static inline bool member_is(const struct json_doc *d, uint32_t node, enum json_type type)
{
    return node != 0 && json_type_at(d, node) == type;
}

/* A string as it stands; absent: it is none. */
static inline struct llm_text member_text(const struct json_doc *d, uint32_t node)
{
    return member_is(d, node, JSON_STRING) ? llm_text_at(d, node) : LLM_NO_TEXT;
}

/* A string without escapes; .p NULL: it is none, or there is no memory. */
static inline struct slice member_word(const struct json_doc *d, uint32_t node, struct arena *a)
{
    return member_is(d, node, JSON_STRING) ? json_string(d, node, a) : SLICE_NONE;
}

/* A count of tokens, which may be written as 3.0; -1: it is none. */
static inline int64_t member_tokens(const struct json_doc *d, uint32_t node)
{
    double v;
    if (node == 0 || !json_double(d, node, &v) || !(v >= 0 && v <= (double)MEMBER_TOKENS_MAX))
        return -1;
    return (int64_t)v;
}

/* A whole number that is not negative; -1: it is none. */
static inline int64_t member_index(const struct json_doc *d, uint32_t node)
{
    int64_t v;
    return node != 0 && json_i64(d, node, &v) && v >= 0 ? v : -1;
}

#endif
