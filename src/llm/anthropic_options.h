/* What anthropic_write.c and anthropic_options.c tell each other. */
#ifndef LLM_ANTHROPIC_OPTIONS_H
#define LLM_ANTHROPIC_OPTIONS_H

#include "anthropic_internal.h"

enum anthropic_thinking { THINKING_UNSAID, THINKING_OFF, THINKING_BUDGET, THINKING_ADAPTIVE };

/* What of the request depends on more than one of its fields. */
struct anthropic_plan {
    unsigned traits;
    enum anthropic_thinking thinking;
    int64_t budget, max_tokens;
    struct slice effort; /* of output_config, or empty */
};

/* False: the request is refused. */
NODISCARD bool anthropic_plan(struct llm_writing *w, struct anthropic_plan *ret);
/* Every member behind the messages. */
NODISCARD bool anthropic_put_options(struct llm_writing *w, struct json_writer *j,
                                     const struct anthropic_plan *plan);
bool anthropic_has_part(const struct llm_message *m, enum llm_part_kind kind);
/* The message holds thinking that Anthropic signed. */
bool anthropic_has_own_reasoning(const struct llm_message *m);

#endif
