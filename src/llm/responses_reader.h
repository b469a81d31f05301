/* What the full reading of Responses requests is made of. */
#ifndef LLM_RESPONSES_READER_H
#define LLM_RESPONSES_READER_H

#include "reader.h"

/* `instructions` and `input` into rd->chat->messages. */
NODISCARD bool responses_read_input(struct llm_reader *rd);
/* "Missing required parameter"; false. */
bool responses_missing(struct llm_reader *rd, const char *param);

#endif
