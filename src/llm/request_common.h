/* What the light readings of all client dialects share: the text is valid JSON, its root an object
 * without doubled keys, and the few members that the gateway itself needs are what they have to be.
 * Messages and codes of refusals are OpenAI's own where it has some for the case. */
#ifndef LLM_REQUEST_COMMON_H
#define LLM_REQUEST_COMMON_H

#include "openai_internal.h"

#define REQUEST_OWN_MAX 16 /* members of a dialect that are not in LLM_MEMBERS */

struct request_reader {
    const struct json_doc *d;
    struct json_parser *p;
    struct arena *a;
    struct llm_request *r;
    struct llm_bad_request *bad;
    /* Nodes of the root's members by the numbers that the lookup gave; 0: absent or null. */
    uint32_t value[LLM_MEMBERS_N + REQUEST_OWN_MAX];
    char path[64]; /* for refusals */
};

/* Parses `body` into `d` and finds the members of its root. `lookup` gives a name's number: one of
 * enum llm_member, whose place is then noted in ret->members; LLM_MEMBERS_N and up for the
 * dialect's own; -1: of no interest. False: refused, and *ret_bad says why, as in all of these. */
NODISCARD bool request_open(struct request_reader *rd, struct json_doc *d, struct json_parser *p,
                            struct arena *a, enum llm_op op, struct slice body,
                            int (*lookup)(struct slice), struct llm_request *ret,
                            struct llm_bad_request *ret_bad);

/* These fill *rd->bad and return false. `param` is the field, or "". */
bool request_refuse(struct request_reader *rd, const char *param, const char *code, const char *fmt,
                    ...) PRINTF_LIKE(4, 5);
bool request_no_memory(struct request_reader *rd);
/* "expected a string, but got an array instead" */
bool request_wrong_type(struct request_reader *rd, const char *param, const char *expected,
                        uint32_t node);
bool request_missing(struct request_reader *rd, const char *param);

/* "messages[3].role" in rd->path, until the next call. */
const char *request_path(struct request_reader *rd, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* An object without doubled keys. */
NODISCARD bool request_object(struct request_reader *rd, const char *param, uint32_t node);

/* A non-empty string without control characters, of at most LLM_MODEL_MAX bytes, into r->model. */
NODISCARD bool request_model(struct request_reader *rd, uint32_t node);

/* `node` is 0 where the member is absent; then `*ret` stays (boolean: becomes false). */
NODISCARD bool request_boolean(struct request_reader *rd, const char *param, uint32_t node,
                               bool *ret);
NODISCARD bool request_string(struct request_reader *rd, const char *param, uint32_t node,
                              struct slice *ret);
/* A whole number from min to max. */
NODISCARD bool request_integer(struct request_reader *rd, const char *param, uint32_t node,
                               int64_t min, int64_t max, int64_t *ret);

/* An array with at least one item; absent: refused as missing. */
NODISCARD bool request_list(struct request_reader *rd, const char *param, uint32_t node);
/* Item `i` of messages: an object without doubled keys whose `role` is a string, `*ret_role`. What
 * its parts need goes into r->needs. */
NODISCARD bool request_message(struct request_reader *rd, uint32_t node, size_t i,
                               uint32_t *ret_role);

/* request_needs.c: what of these goes into r->needs. `node` is 0 where the member is absent. */
void request_needs_tools(struct request_reader *rd, uint32_t tools, uint32_t choice);
/* {"type": "json_schema", ...} */
void request_needs_format(struct request_reader *rd, uint32_t format);
/* A message's content, and that of a tool's result: nothing, where it is no list of parts. */
void request_needs_parts(struct request_reader *rd, uint32_t content);
/* Google's parts: a type, and an address where there is one. */
void request_needs_media(struct request_reader *rd, uint32_t media_type, uint32_t url);

#endif
