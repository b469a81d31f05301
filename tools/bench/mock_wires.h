/*
 * Answers in the wires of other providers than OpenAI. Which one a request wants is seen from its
 * target. Wire 0 is OpenAI's chat completions, which mock_text.c makes.
 */
#pragma once
#include "mock_text.h"

enum { MOCK_WIRES = 6 };

/* The number of the wire that a POST's target belongs to. */
int mock_wire_of(const char *target, size_t len);
/* Whether that target asks for a stream; others say so in their body. */
bool mock_wire_streams(int wire, const char *target, size_t len);
/* Fills `answer`, `first`, `middle`, `last` and `last_usage`; `words` are texts inside JSON
 * strings. */
void mock_wire_build(struct mock_text *text, int number, size_t answer_bytes,
                     const char *const *words, size_t words_n);
