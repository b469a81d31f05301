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
    char path[64];
};

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

/* It is an object, or an array; and an object has no key twice. Else refused. */
NODISCARD bool reader_object(struct llm_reader *rd, uint32_t node, const char *param);
NODISCARD bool reader_array(struct llm_reader *rd, uint32_t node, const char *param);

/* The member's value; 0: absent or null. */
uint32_t reader_get(const struct llm_reader *rd, uint32_t object, const char *key);

/* Optional members of an object. Absent or null leaves `*ret` as it was; another type is refused,
 * naming `param`. word: escapes resolved. number: as it is written. json: any type, as it is
 * written. */
NODISCARD bool reader_word(struct llm_reader *rd, uint32_t object, const char *key,
                           const char *param, struct slice *ret);
NODISCARD bool reader_text(struct llm_reader *rd, uint32_t object, const char *key,
                           const char *param, struct llm_text *ret);
NODISCARD bool reader_number(struct llm_reader *rd, uint32_t object, const char *key,
                             const char *param, struct slice *ret);
NODISCARD bool reader_integer(struct llm_reader *rd, uint32_t object, const char *key,
                              const char *param, int64_t *ret);
NODISCARD bool reader_flag(struct llm_reader *rd, uint32_t object, const char *key,
                           const char *param, int *ret);
void reader_json(struct llm_reader *rd, uint32_t object, const char *key, struct slice *ret);
/* A string or an array of strings. */
NODISCARD bool reader_words(struct llm_reader *rd, uint32_t object, const char *key,
                            const char *param, struct llm_word **ret);

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
