/* Asking another target to go on with an answer that was cut: whether it can, and the request. What
 * comes back goes through a join (llm/join.h). Pure. */
#ifndef LLM_CONTINUE_H
#define LLM_CONTINUE_H

#include "llm/neutral.h"
#include "llm/provider.h"

enum llm_continue {
    LLM_CONTINUE_NOT,
    LLM_CONTINUE_PREFILL,     /* a last message of the assistant's is gone on with */
    LLM_CONTINUE_ECHOED,      /* the same, and may be repeated in front */
    LLM_CONTINUE_INSTRUCTION, /* a message of the user's asks for it */
};

/* What the client has got of the answer before it was cut. */
struct llm_delivered {
    struct slice text;   /* plain, of choice 0; stays in place as long as the request and join */
    int64_t tokens;      /* of output, as far as known; -1: they are estimated by the text */
    bool has_calls;      /* a tool call began */
    bool reasoning_open; /* the last part that began is reasoning */
    bool has_other;      /* citations, log probabilities, a refusal, more than one text part */
};

/* How `model` of the provider can go on with the answer, or NOT and why: `*ret_why` is one literal
 * of
 *   "nothing_delivered"  no text yet: another attempt from the start is right
 *   "tool_calls"         begun, or the request demands one
 *   "reasoning"          is under way
 *   "format"             JSON mode or a schema: a server's grammar starts anew with each answer, so
 *                        that it would not hold for the joined text, even with a prefill
 *   "choices"            more than one answer is asked for
 *   "logprobs", "citations", "other_parts"
 *   "completion"         the legacy API
 *   "conversation"       ends with a message of the assistant's own, or has none
 *   "unknown_members"    of the request, which cannot go with another one
 *   "stop"               a stop sequence may be cut in two by the seam
 *   "tokens_spent"       the client's bound on output is reached
 *   "too_short", "repetitive"  the text's end cannot be told apart (INSTRUCTION)
 */
enum llm_continue llm_can_continue(const struct llm_chat *chat, const struct llm_delivered *d,
                                   const struct llm_provider *provider, struct slice model,
                                   const char **ret_why);

/* The request that goes on, for a wire's write_chat: a copy of `chat` that shares its parts, with
 * the delivered text as the assistant's, for INSTRUCTION followed by the instruction; max_tokens is
 * what is left of the client's bound, at least 1; with a prefill no reasoning is asked for, since
 * it lies behind. `how` as llm_can_continue gave it. False: no memory. */
NODISCARD bool llm_continue_request(struct arena *a, const struct llm_chat *chat,
                                    const struct llm_delivered *d, enum llm_continue how,
                                    struct llm_chat *ret);

#endif
