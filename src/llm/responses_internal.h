/* What the files of OpenAI's Responses share. The API: OpenAI's OpenAPI document and the types of
 * the openai packages (Python 3.52, Node 6.49), which say which members an answer has to have. */
#ifndef LLM_RESPONSES_INTERNAL_H
#define LLM_RESPONSES_INTERNAL_H

#include "llm/dialect.h"

#define RESPONSES_REASONING_ID "rs_" /* ids of reasoning items begin so */

/* In front of the signature of reasoning that is nothing but its signature, where another family
 * minted it: encrypted_content has no such flag of its own. */
#define RESPONSES_REDACTED "redacted:"

/* As struct llm_dialect has them. A request that refers to what one provider has stored or keeps to
 * itself says so in llm_request.pinned; the full reading refuses it. */
bool responses_read_request(struct json_parser *p, struct arena *a, enum llm_op op,
                            struct slice body, struct llm_request *ret,
                            struct llm_bad_request *ret_bad);
bool responses_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                         struct llm_chat *ret, struct llm_bad_request *ret_bad);
/* As struct llm_wire has them. */
bool responses_write_chat(struct llm_writing *w);

/* ---- Parts of requests, which answers repeat. */

/* The tool of this name, or NULL. */
const struct llm_tool *responses_tool(const struct llm_chat *c, struct slice name);
/* The name of a tool in a namespace, as every other API gets it: both, with "__" between unless the
 * namespace ends so. .p NULL: no memory. */
NODISCARD struct slice responses_flat_name(struct arena *a, struct slice space, struct slice name);
/* The reverse: the name within the tool's namespace. */
struct slice responses_inner_name(const struct llm_tool *tool);
/* `tool` as an element of `tools`, behind the one `before`, or NULL. Of a namespace the whole is
 * written, with its first tool. */
void responses_put_tool(struct json_writer *w, const struct llm_chat *c,
                        const struct llm_tool *tool, const struct llm_tool *before);
void responses_put_choice(struct json_writer *w, const struct llm_chat *c);
/* The members of `text`. */
void responses_put_text_members(struct json_writer *w, const struct llm_chat *c);

/* ---- An answer that is being written. */

/* A text that grows without being copied: pieces that double in size. */
struct responses_text {
    struct responses_piece *first, *last;
    size_t n;
};

/* A part of a message's content. */
struct responses_content {
    struct responses_content *next;
    bool refusal;
    struct responses_text text;
    struct responses_text annotations, logprobs; /* JSON, elements with commas between */
    unsigned annotations_n;
};

enum responses_item_kind { ITEM_MESSAGE, ITEM_REASONING, ITEM_FUNCTION, ITEM_CUSTOM };
struct responses_item {
    struct responses_item *next;
    enum responses_item_kind kind;
    unsigned index; /* in the answer's output */
    struct slice id, call_id, name, space;
    struct responses_text text;                   /* of reasoning; a call's arguments or input */
    struct slice encrypted_content;               /* of reasoning, or empty */
    struct responses_content *contents, *content; /* the first, and the last, which is written */
    unsigned contents_n;
    bool cut; /* status incomplete */
};

struct responses_answer {
    struct slice id, model;
    int64_t sequence; /* the number of the next event */
    struct responses_item *first, *last;
    unsigned items_n;
    size_t bytes;       /* of all texts */
    struct slice place; /* what the events of the open part have in common, as JSON */
    bool item_open, part_open;
    bool refused; /* some content is a refusal */
    bool finished, ended;
    enum llm_finish finish;
};

enum responses_status { STATUS_IN_PROGRESS, STATUS_COMPLETED, STATUS_INCOMPLETE, STATUS_FAILED };

/* A new answer in the arena; NULL: no memory. `id`: of the provider, or empty. */
struct responses_answer *responses_answer_new(struct llm_encoder *e, struct slice id,
                                              struct slice model);
/* A new last item, or a new last content of the last item, in the order of the answer; NULL: no
 * memory. The slices of a call are copied. */
struct responses_item *responses_add_item(struct llm_encoder *e, struct responses_answer *r,
                                          enum responses_item_kind kind, struct slice call_id,
                                          struct slice name);
struct responses_content *responses_add_content(struct llm_encoder *e, struct responses_answer *r,
                                                bool refusal);
/* False: no memory, or more than an answer may have. */
NODISCARD bool responses_add_text(struct llm_encoder *e, struct responses_answer *r,
                                  struct responses_text *t, struct slice more);
NODISCARD bool responses_add_citation(struct llm_encoder *e, struct responses_answer *r,
                                      const struct llm_citation *citation);
NODISCARD bool responses_sign(struct llm_encoder *e, struct responses_item *item,
                              struct slice signature, enum llm_family family, bool redacted);

enum responses_status responses_status_of(const struct responses_answer *r);
/* As a string, or as JSON. */
void responses_put_text(struct json_writer *w, const struct responses_text *t);
void responses_put_json(struct json_writer *w, const struct responses_text *t);
void responses_put_content(struct json_writer *w, const struct responses_content *c);
/* `begun`: the item as it is announced, without texts. */
void responses_put_item(struct json_writer *w, const struct responses_item *item, bool begun);
void responses_put_citation(struct json_writer *w, const struct llm_citation *citation);
/* The whole object. `error`: of a failed one, with its HTTP status. */
void responses_put_response(struct json_writer *w, const struct llm_encoder *e,
                            const struct responses_answer *r, enum responses_status status,
                            const struct llm_error *error, unsigned error_status);
/* OpenAI's code for an error: what the provider says if it says a word, else one by HTTP status. */
struct slice responses_error_code(const struct llm_error *error, unsigned status);
/* The same for its type. */
struct slice responses_error_type(const struct llm_error *error, unsigned status);

#endif
