/* What the files of OpenAI's dialect share. */
#ifndef LLM_OPENAI_INTERNAL_H
#define LLM_OPENAI_INTERNAL_H

#include "llm/openai.h"

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

/* The error that the document's root is or holds. Always gives a message. */
void llm_error_of(const struct json_doc *d, struct arena *a, struct llm_error *ret);

#endif
