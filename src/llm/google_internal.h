/* What the files of Google's wire and dialect share. */
#ifndef LLM_GOOGLE_INTERNAL_H
#define LLM_GOOGLE_INTERNAL_H

#include "llm/dialect.h"
#include "llm/wire.h"

/* The value of a member; 0 where it is absent or null, or `node` is no object. Node 0 is the root
 * for google_get, and nothing at all for the others. */
uint32_t google_get(const struct json_doc *d, uint32_t node, const char *key);
uint32_t google_in(const struct json_doc *d, uint32_t node, const char *key);
/* The member's text without escapes; .p NULL where it is no string or there is no memory. */
struct slice google_word(const struct json_doc *d, uint32_t node, const char *key, struct arena *a);
/* The member's text as it stands; absent where it is no string. */
struct llm_text google_text(const struct json_doc *d, uint32_t node, const char *key);
/* The member's integer, or -1 where it is none. */
int64_t google_integer(const struct json_doc *d, uint32_t node, const char *key);

/* google.rpc.Code's name for an HTTP status, and the status for a name (0: unknown). */
struct slice google_status_name(unsigned http_status);
unsigned google_status_of(struct slice name);

/* The error in {"error":{...}}, which may stand in an array; 0: there is none. */
uint32_t google_error_node(const struct json_doc *d);
/* What it says, and the HTTP status it stands for. Always gives a message. */
unsigned google_error_at(const struct json_doc *d, uint32_t node, struct arena *a,
                         struct llm_error *ret);
void google_read_error(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret);

/* Appends the JSON text as it stands inside a string, without white space between its tokens. */
void google_put_inside(struct buf *out, struct slice json);
/* Appends the JSON text itself without that white space: it may not break a line of an event. */
void google_put_compact(struct buf *out, struct slice json);

/* Arguments of a call that come in pieces, {"jsonPath":"$.a[0].b","stringValue":"..."}, as the JSON
 * text they add up to. Zeroed at first. */
#define GOOGLE_PATH_MAX 256
struct google_partial {
    char path[GOOGLE_PATH_MAX]; /* of the latest piece */
    size_t n;                   /* bytes of it; 0: none came yet */
    bool in_string;             /* more of its text may come */
};
/* Appends what one element of partialArgs adds, as it stands inside a string. False: it makes no
 * sense, or its path is too long or deep. */
NODISCARD bool google_partial_add(struct google_partial *s, const struct json_doc *d, uint32_t node,
                                  struct arena *a, struct buf *out);
/* Appends what closes the arguments. */
void google_partial_end(struct google_partial *s, struct buf *out);

/* What its name says of a model. */
struct google_model {
    unsigned version; /* 25 for 2.5; 0: not one of the Gemini models */
    bool pro, lite;
};
struct google_model google_model_of(struct slice name);

/* Writes systemInstruction and contents. False: refused, or no memory (see llm_refuse). */
NODISCARD bool google_write_contents(struct llm_writing *w, struct json_writer *j);

/* Of google_wire. */
struct slice google_path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream);
bool google_write_chat(struct llm_writing *w);

/* A foreign signature as base64, which is all that Google's SDKs let through; one of its own family
 * as it is. .p NULL: no memory. google_signature_read undoes it: `*ret_redacted` is whether it
 * stands for the whole of a hidden thought. */
NODISCARD struct slice google_signature_mark(struct arena *a, struct slice signature,
                                             enum llm_family minted_by, bool redacted);
NODISCARD struct slice google_signature_read(struct arena *a, struct slice said,
                                             enum llm_family *ret_family, bool *ret_redacted);

/* The schema at `node`, of Google's kind (upper-case types, nullable), as JSON Schema. .p NULL: no
 * memory. */
NODISCARD struct slice google_json_schema(const struct json_doc *d, uint32_t node, struct arena *a);
/* "max_output_tokens" as "maxOutputTokens": both are accepted. Into `out`, of GOOGLE_NAME_MAX
 * bytes; a longer name stays as it is. */
#define GOOGLE_NAME_MAX 64
struct slice google_camel(struct slice name, char *out);

/* Of google_dialect. */
bool google_read_request(struct json_parser *p, struct arena *a, enum llm_op op, struct slice body,
                         struct llm_request *ret, struct llm_bad_request *ret_bad);
bool google_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                      struct llm_chat *ret, struct llm_bad_request *ret_bad);
void google_put_error(struct buf *out, unsigned status, const struct llm_error *e,
                      struct slice request_id);

#endif
