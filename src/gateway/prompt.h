/* What a request's prompt is like, from its own JSON, for strategies that ask. */
#ifndef GATEWAY_PROMPT_H
#define GATEWAY_PROMPT_H

#include "base/json.h"
#include "llm/openai.h"
#include "policy/prefix.h"

/* Where to look. */
struct prompt {
    const struct llm_request *request;
    struct json_parser *parser; /* what it has parsed last may be that request */
    struct arena *arena;
};

/* The chain of the prompt's blocks: instructions, tools and messages as the client wrote them. */
void prompt_chain(const struct prompt *p, struct prefix_chain *ret);
/* How hard it looks, 0 to 100 (policy/complexity.h). */
double prompt_complexity(const struct prompt *p);

#endif
