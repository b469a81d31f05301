/* What the files of Cohere's wire share. */
#ifndef LLM_COHERE_INTERNAL_H
#define LLM_COHERE_INTERNAL_H

#include "llm/wire.h"

/* The id under which the client's n-th document goes, counted from 0, and is cited. */
#define COHERE_DOCUMENT_ID "doc_"

/* cohere_wire's write_chat. */
bool cohere_write_chat(struct llm_writing *w);

#endif
