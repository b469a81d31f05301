/* What the files of Anthropic's wire and dialect share. */
#ifndef LLM_ANTHROPIC_INTERNAL_H
#define LLM_ANTHROPIC_INTERNAL_H

#include "llm/dialect.h"
#include "openai_internal.h"

/* For tables. */
#define LITERAL(lit)                                                                               \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

/* How Claude models differ in what they take. */
enum anthropic_trait {
    TRAIT_BUDGET = 1 << 0,     /* thinking with budget_tokens */
    TRAIT_ADAPTIVE = 1 << 1,   /* adaptive thinking, and output_config.effort */
    TRAIT_EFFORT = 1 << 2,     /* output_config.effort up to "high" */
    TRAIT_MAX = 1 << 3,        /* effort "max" */
    TRAIT_XHIGH = 1 << 4,      /* effort "xhigh" */
    TRAIT_SAMPLING = 1 << 5,   /* temperature, top_p, top_k */
    TRAIT_ONE_OF = 1 << 6,     /* not both temperature and top_p */
    TRAIT_PREFILL = 1 << 7,    /* the last message may be the assistant's */
    TRAIT_MID_SYSTEM = 1 << 8, /* role "system" behind a message of the user's */
};
/* Of a model by its name, in which "claude-" may stand anywhere. */
unsigned anthropic_model_traits(struct slice model);

/* anthropic_wire's write_chat. */
bool anthropic_write_chat(struct llm_writing *w);

/* anthropic_dialect's readings. */
bool anthropic_read_request(struct json_parser *p, struct arena *a, enum llm_op op,
                            struct slice body, struct llm_request *ret,
                            struct llm_bad_request *ret_bad);
bool anthropic_read_chat(struct json_parser *p, struct arena *a, const struct llm_request *r,
                         struct llm_chat *ret, struct llm_bad_request *ret_bad);

/* The HTTP status that an error type stands for; 0: unknown. And the other way: the type of what
 * is answered with this status. */
unsigned anthropic_error_status(struct slice type);
struct slice anthropic_error_type(unsigned status);

#endif
