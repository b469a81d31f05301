/* A JSON parser and an arena for each test. */
#ifndef LLM_FIXTURE_H
#define LLM_FIXTURE_H

#include "base/arena.h"
#include "base/json.h"

extern struct json_parser *parser;
extern struct arena arena;

void set_up(void);
void tear_down(void);

#endif
