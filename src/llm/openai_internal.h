/* What the files of OpenAI's dialect share. */
#ifndef LLM_OPENAI_INTERNAL_H
#define LLM_OPENAI_INTERNAL_H

#include "llm/openai.h"
#include "llm/wire.h"

/* A key is looked up by `lookup`, which knows a set of plain names of at most 32 bytes and returns
 * the name's number or -1. Keys without escapes stay in place; this is for the others. */
int llm_key_escaped(const struct json_doc *d, uint32_t node, int (*lookup)(struct slice));

static inline int llm_key(const struct json_doc *d, uint32_t node, int (*lookup)(struct slice))
{
    return likely(!d->nodes[node].escaped) ? lookup(json_inner(d, node))
                                           : llm_key_escaped(d, node, lookup);
}

/* Whether a key is `lit`; for the lookups, which switch on its length first. */
#define KEY_IS(k, lit) (memcmp((k).p, (lit), sizeof(lit) - 1) == 0)

static inline struct llm_span llm_span_of(const struct json_doc *d, uint32_t key)
{
    const struct json_node *k = &d->nodes[key], *v = k + 1;
    return (struct llm_span){k->off, k->end, v->off, v->end};
}

/* What the document, an event or an answer, says: as openai_scan_event, with `done` and
 * `usage_only` left to the caller. */
NODISCARD bool openai_scan_doc(const struct json_doc *d, struct arena *a,
                               const struct llm_provider *provider, struct llm_scan *ret);

/* read_chat of openai_dialect and completions_dialect. */
bool openai_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                      struct llm_chat *ret, struct llm_bad_request *bad);
bool openai_read_completion(struct json_parser *p, struct arena *a, const struct llm_request *r,
                            struct llm_chat *ret, struct llm_bad_request *bad);

/* openai_wire's write_chat. */
bool openai_write_chat(struct llm_writing *w);

/* The error that the document's root is or holds. Always gives a message. */
void llm_error_of(const struct json_doc *d, struct arena *a, struct llm_error *ret);

#endif
