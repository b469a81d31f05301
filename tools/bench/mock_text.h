/*
 * The bytes that the mock upstream answers with, made once for given settings: whole HTTP answers
 * and the pieces of a streamed one, each ready for one write.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { MOCK_MIDDLE_EVENTS = 64 };

struct mock_slab {
    char *data;
    size_t len;
};

struct mock_text {
    struct mock_slab answer;     /* a chat completion, head included */
    struct mock_slab models;     /* the answer to GET /v1/models */
    struct mock_slab first;      /* a stream's head and its first event */
    struct mock_slab last;       /* its last event, [DONE] and the end of the body */
    struct mock_slab last_usage; /* the same with the usage event before [DONE] */
    struct mock_slab comment;    /* what keeps an idle stream alive */
    struct mock_slab middle[MOCK_MIDDLE_EVENTS]; /* the events in between, used in turn */
};

/* Fills `text` (zeroed or filled before) for a wire of mock_wires.h: answers of `answer_bytes`,
 * usage for `events` tokens where it is OpenAI's. */
void mock_text_build(struct mock_text *text, int wire, size_t answer_bytes, int events);
/* An answer of type JSON with the given body; the caller frees its data. */
struct mock_slab mock_text_json(const char *body, size_t len);
