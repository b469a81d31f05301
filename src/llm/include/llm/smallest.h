/* The smallest completion: one short message, and of the answer as little as the wire permits. It
 * shows that a model answers. Pure. */
#ifndef LLM_SMALLEST_H
#define LLM_SMALLEST_H

#include "llm/wire.h"

/* The wire in which it is said to such a provider; NULL: its answers are jobs, not worth it. */
const struct llm_wire *llm_smallest_wire(const struct llm_provider *provider);
/* Appends the body, for that model. False: no memory. */
NODISCARD bool llm_smallest_write(struct arena *a, struct json_parser *json,
                                  const struct llm_provider *provider, struct slice model,
                                  struct buf *out);
/* Is the body of a 2xx an answer? Whether there is any text in it does not matter: some models
 * think first. `*ret_usage` is what it says it used, LLM_USAGE_NONE where it does not. */
bool llm_smallest_read(struct arena *a, struct json_parser *json,
                       const struct llm_provider *provider, struct slice model, struct slice body,
                       struct llm_usage *ret_usage);

#endif
