/* What the full readings of all client dialects share. The text has been validated by the light
 * reading; here each object that is interpreted is checked for doubled keys and wrong types. */
#ifndef LLM_READER_H
#define LLM_READER_H

#include "llm/neutral.h"

struct llm_reader {
    const struct json_doc *d;
    struct json_parser *p;
    struct arena *a;
    struct llm_chat *chat;
    struct llm_bad_request *bad;
    struct llm_word **unknown; /* end of chat->unknown */
    unsigned unknown_n;
    const struct llm_part *latest_call;
    struct {
        const char *expected; /* in place of what stands at `node`; NULL: that is a key for the
                               * second time, or 0 without memory */
        uint32_t node;
    } wrong;
    char path[64];
};

/* The document of a request that passed the light reading: what that has parsed, unless the parser
 * was used since, else parsed again. */
NODISCARD enum json_error reader_parse(struct json_parser *p, const struct llm_request *r,
                                       struct json_doc *ret);
void reader_init(struct llm_reader *rd, const struct json_doc *d, struct json_parser *p,
                 struct arena *a, struct llm_chat *chat, struct llm_bad_request *bad);

/* Fills rd->bad; false, for the caller to return. `code` is OpenAI's error.code, a literal. */
bool reader_refuse(struct llm_reader *rd, const char *param, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool reader_no_memory(struct llm_reader *rd);
/* "expected a string, but got an array instead" */
bool reader_wrong_type(struct llm_reader *rd, const char *param, const char *expected,
                       uint32_t node);
/* "messages[3].content[1]" in rd->path, until the next call. */
const char *reader_path(struct llm_reader *rd, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The functions behind the macros below: what was wrong is kept in rd->wrong, to be said by
 * reader_refuse_taken. */
bool reader_take_object(struct llm_reader *rd, uint32_t node);
bool reader_take_array(struct llm_reader *rd, uint32_t node);
bool reader_take_word(struct llm_reader *rd, uint32_t node, struct slice *ret);
bool reader_take_text(struct llm_reader *rd, uint32_t node, struct llm_text *ret);
bool reader_take_number(struct llm_reader *rd, uint32_t node, struct slice *ret);
bool reader_take_integer(struct llm_reader *rd, uint32_t node, int64_t *ret);
bool reader_take_flag(struct llm_reader *rd, uint32_t node, int *ret);
bool reader_take_words(struct llm_reader *rd, uint32_t node, struct llm_word **ret);
bool reader_refuse_taken(struct llm_reader *rd, const char *param);

/* `param` is evaluated only where it is needed, for a refusal: it may be a path that has to be made
 * first. */
#define READER_TAKE(what, rd, param, ...)                                                          \
    (likely(reader_take_##what((rd), __VA_ARGS__)) || reader_refuse_taken((rd), (param)))

/* It is an object, or an array; and an object has no key twice. Else refused. */
#define reader_object(rd, node, param) READER_TAKE(object, rd, param, node)
#define reader_array(rd, node, param)  READER_TAKE(array, rd, param, node)

/* The member's value; 0: absent or null. */
static inline uint32_t reader_get(const struct llm_reader *rd, uint32_t object, const char *key)
{
    uint32_t node = json_get(rd->d, object, slice_str(key));
    return node != 0 && json_type_at(rd->d, node) != JSON_NULL ? node : 0;
}

/* Optional members of an object, true or false. Absent or null leaves `*ret` as it was; another
 * type is refused, naming `param`. word: escapes resolved, `ret` a struct slice *. text: a struct
 * llm_text *. number: as it is written, a struct slice *. integer: an int64_t *. flag: an int *.
 * words: a string or an array of strings, a struct llm_word **. */
#define reader_word(rd, object, key, param, ret)                                                   \
    READER_TAKE(word, rd, param, reader_get((rd), (object), (key)), ret)
#define reader_text(rd, object, key, param, ret)                                                   \
    READER_TAKE(text, rd, param, reader_get((rd), (object), (key)), ret)
#define reader_number(rd, object, key, param, ret)                                                 \
    READER_TAKE(number, rd, param, reader_get((rd), (object), (key)), ret)
#define reader_integer(rd, object, key, param, ret)                                                \
    READER_TAKE(integer, rd, param, reader_get((rd), (object), (key)), ret)
#define reader_flag(rd, object, key, param, ret)                                                   \
    READER_TAKE(flag, rd, param, reader_get((rd), (object), (key)), ret)
#define reader_words(rd, object, key, param, ret)                                                  \
    READER_TAKE(words, rd, param, reader_get((rd), (object), (key)), ret)
/* The same of a value that was found before; 0: it is absent. */
#define reader_word_at(rd, node, param, ret) READER_TAKE(word, rd, param, node, ret)
#define reader_text_at(rd, node, param, ret) READER_TAKE(text, rd, param, node, ret)
/* Any type, as it is written. */
void reader_json(struct llm_reader *rd, uint32_t object, const char *key, struct slice *ret);
/* The same of a tool's schema, and what is known of it. */
void reader_schema(struct llm_reader *rd, uint32_t object, const char *key, struct llm_tool *t);

/* Remembers members of `object` that are not in `known` (ended by NULL), as PREFIX and the name, in
 * chat->unknown, each once. null and absent are the same. */
NODISCARD bool reader_unknown(struct llm_reader *rd, uint32_t object, const char *const *known,
                              const char *prefix);
NODISCARD bool reader_add_unknown(struct llm_reader *rd, struct slice name);

/* "data:image/png;base64,..." into media type and data. False: it is no such URL. */
NODISCARD bool reader_data_url(struct slice url, struct llm_source *ret);

/* New items, zeroed, at the end of a list; NULL: no memory, and refused so. */
struct llm_message *reader_add_message(struct llm_reader *rd, struct llm_message ***tail,
                                       enum llm_role role, unsigned at);
struct llm_part *reader_add_part(struct llm_reader *rd, struct llm_part ***tail,
                                 enum llm_part_kind kind, unsigned message_at, unsigned at);
/* What the part turns out to be: calls and results are chained in the order they come in. */
void reader_set_kind(struct llm_reader *rd, struct llm_part *p, enum llm_part_kind kind);
struct llm_tool *reader_add_tool(struct llm_reader *rd, struct llm_tool ***tail,
                                 enum llm_tool_kind kind);

/* The neutral request with nothing said. */
void llm_chat_init(struct llm_chat *c, enum llm_dialect_id dialect);

#endif
