/* What the two files that read Google's requests in full share: reader.h's reader with ProtoJSON's
 * two spellings of every name, and the calls that wait for their results. */
#ifndef LLM_GOOGLE_REQUEST_H
#define LLM_GOOGLE_REQUEST_H

#include "google_internal.h"
#include "reader.h"

/* A function call that no functionResponse has answered yet. */
struct google_call {
    struct google_call *next;
    struct slice id, name;
};

struct google_reader {
    struct llm_reader rd;
    struct google_call *calls, **calls_tail;
};

/* Finds the members of the object at `node` that are in `names` (camel case, ended by NULL): their
 * values' nodes in `ret`, of as many elements, zeroed before; null is absent. Others are remembered
 * as unknown, as WHERE and the name. Refused: no object, a member twice, in either spelling. */
NODISCARD bool google_members(struct google_reader *g, uint32_t node, const char *param,
                              const char *where, const char *const *names, uint32_t *ret);

/* The value at `node`; 0 leaves `*ret` as it was, another type is refused. */
NODISCARD bool google_text_of(struct google_reader *g, uint32_t node, const char *param,
                              struct llm_text *ret);
NODISCARD bool google_word_of(struct google_reader *g, uint32_t node, const char *param,
                              struct slice *ret);
NODISCARD bool google_flag_of(struct google_reader *g, uint32_t node, const char *param, int *ret);

/* systemInstruction (0: none) and contents, as messages. */
NODISCARD bool google_read_contents(struct google_reader *g, uint32_t instruction, uint32_t list);

#endif
