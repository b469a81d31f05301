/* What the writer and the decoder of Bedrock's Converse share. */
#ifndef LLM_CONVERSE_INTERNAL_H
#define LLM_CONVERSE_INTERNAL_H

#include "llm/wire.h"

/* Whose models sign their reasoning with this id: Bedrock serves those of many makers. */
enum llm_family converse_family(struct slice model);

/* converse_wire's write_chat. */
bool converse_write_chat(struct llm_writing *w);

/* A request while it is written. */
struct converse_writing {
    struct llm_writing *w;
    struct json_writer j;
    enum llm_family family;
    bool nova;                  /* Amazon's own models, which differ from the others in places */
    bool in_list;               /* some list of blocks is open, and has one */
    bool in_message;            /* that list is of a message of `role` */
    enum llm_role role;         /* USER or ASSISTANT */
    bool has_tool_parts;        /* calls or results were written */
    struct llm_word *documents; /* names given to documents */
    bool in_fields;             /* additionalModelRequestFields is open */
};

/* A cache marker behind what was written last; where `taken` is false the model takes none. */
NODISCARD bool converse_put_cache(struct converse_writing *x, struct slice cache_json, bool taken);

/* Everything behind the messages. */
NODISCARD bool converse_put_options(struct converse_writing *x);

/* `piece` stands somewhere in `model`: ids are "anthropic.claude-...", "us.anthropic.claude-..." or
 * the ARN of an inference profile that ends so. */
static inline bool converse_model_has(struct slice model, const char *piece)
{
    return model.n > 0 && memmem(model.p, model.n, piece, strlen(piece)) != NULL;
}

/* Bytes as base64 with padding (RFC 4648 section 4); .p NULL: no memory. */
NODISCARD struct slice converse_base64(struct arena *a, struct slice bytes);

#endif
