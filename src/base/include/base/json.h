/* JSON reading. The whole text is validated first (RFC 8259 syntax, UTF-8, escapes, depth), then
 * visited through nodes that know where in the text each value stands, so that a document can be
 * edited by splicing. Nothing is copied. simdjson's stage 1 (Langdale and Lemire, "Parsing
 * gigabytes of JSON per second", VLDB 2019) finds the structure; json.c checks the grammar over
 * it. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/slice.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_BYTES ((size_t)1 << 30)

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

enum json_error {
    JSON_OK,
    JSON_EMPTY,
    JSON_TOO_DEEP,
    JSON_TOO_LARGE,
    JSON_BAD_UTF8,
    JSON_BAD_SYNTAX,
    JSON_BAD_ESCAPE,
    JSON_LONE_SURROGATE,
    JSON_NO_MEMORY,
};

/* Providers cut text between the halves of a surrogate pair; clients may not send such text. */
#define JSON_ALLOW_LONE_SURROGATES 1u

/* A value, or the key of a member: keys stand in the row just before their values. */
struct json_node {
    uint32_t off;         /* first byte in the text */
    uint32_t end : 31;    /* one past the last byte */
    uint32_t escaped : 1; /* a string with a backslash in it */
    uint32_t next;        /* the node behind this value and everything inside it */
};

struct json_doc {
    const char *text;
    const struct json_node *nodes; /* nodes[0] is the root */
    uint32_t count;
    uint32_t error_at; /* byte offset of what was wrong */
    uint64_t number;   /* of the parse, unlike any other's in this process; 0: there was none */
};

/* Scratch memory for one document at a time; one per thread. */
struct json_parser;
NODISCARD struct json_parser *json_parser_new(void);
void json_parser_free(struct json_parser *p);

/* Parses `text`, which has to stay in place as long as `ret` is used; `ret` is valid until the next
 * call with the same parser. On an error only `ret->error_at` is set (to 0 for what
 * stage 1 finds: invalid UTF-8, a string without end or with a control character in it). */
NODISCARD enum json_error json_parse(struct json_parser *p, struct slice text, unsigned flags,
                                     struct json_doc *ret);

/* Whether `d` is what `p` has parsed last, so that it is valid still and need not be parsed again.
 */
bool json_is_latest(const struct json_parser *p, const struct json_doc *d);

/* "invalid UTF-8" and the like, for messages. */
const char *json_error_text(enum json_error e);

static inline enum json_type json_type_at(const struct json_doc *d, uint32_t node)
{
    switch (d->text[d->nodes[node].off]) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}
const char *json_type_name(enum json_type t);

/* The value as it stands in the text. */
static inline struct slice json_raw(const struct json_doc *d, uint32_t node)
{
    return slice_of(d->text + d->nodes[node].off, d->nodes[node].end - d->nodes[node].off);
}

/* Members and elements: for (i = json_first(d, n); i < json_end(d, n); i = json_after(d, i)).
 * In an object `i` is the key and `i + 1` its value, and json_after(d, i + 1) is the next key. */
static inline uint32_t json_first(const struct json_doc *d, uint32_t node)
{
    (void)d;
    return node + 1;
}
static inline uint32_t json_end(const struct json_doc *d, uint32_t node)
{
    return d->nodes[node].next;
}
static inline uint32_t json_after(const struct json_doc *d, uint32_t node)
{
    return d->nodes[node].next;
}

/* What stands between the quotes, escapes and all. */
static inline struct slice json_inner(const struct json_doc *d, uint32_t node)
{
    return slice_of(d->text + d->nodes[node].off + 1,
                    (size_t)d->nodes[node].end - d->nodes[node].off - 2);
}

/* Whether the string at `node` is `s` once its escapes are resolved. */
bool json_string_is(const struct json_doc *d, uint32_t node, struct slice s);

/* The text of a string: in place if it has no escapes, else a copy in `a` (.p NULL: no memory). */
NODISCARD struct slice json_string(const struct json_doc *d, uint32_t node, struct arena *a);

/* Resolves the escapes of `inner` into `out`, which is apart from it and has room for inner.n
 * bytes, all of which may be written; returns the length. A lone surrogate becomes U+FFFD. */
size_t json_unescape(struct slice inner, char *out);

/* What json_unescape gives, if that is itself an object in JSON that json_parse takes without flags
 * and that has no key twice (of its own; those further in may): in one go, for a fraction of both.
 * 0: it is none, or not plainly one (over 16 members, keys with escapes, JSON's own signs written
 * as \u), which takes the two calls to tell. */
size_t json_unwrap_object(struct slice inner, char *out);

/* The value of member `key` of the object at `node`, or 0 (the root is no member). */
uint32_t json_get(const struct json_doc *d, uint32_t node, struct slice key);

/* An integer without fraction or exponent that fits. False leaves `*ret` untouched. */
NODISCARD bool json_i64(const struct json_doc *d, uint32_t node, int64_t *ret);
/* A number as a double, correct to the nearest. False: not a number, past the range of a double, or
 * no memory for a text of over 63 bytes. */
NODISCARD bool json_double(const struct json_doc *d, uint32_t node, double *ret);

/* A key that occurs twice in the object at `node` (escapes resolved), or 0. Linear in its size.
 * Without memory to tell, some key of the object. */
uint32_t json_duplicate_key(struct json_parser *p, const struct json_doc *d, uint32_t node);

/* Valid UTF-8 (RFC 3629)? */
bool utf8_valid(struct slice s);

#endif
