/* A stream of messages as llhttp (strict) reads it. Apart from llhttp's header, whose names are
 * those of net/http.h. */
#ifndef FUZZ_LLHTTP_READING_H
#define FUZZ_LLHTTP_READING_H

#include "http_message.h"

/* Reads until llhttp refuses, waits for more, or `messages` (MESSAGES_MAX, set up) is full. */
void llhttp_read_requests(struct slice text, struct message *messages);
void llhttp_read_answers(struct slice text, struct message *messages);

#endif
