/*
 * What the mock upstream answers, byte by byte, and what it has reported once so many of these
 * bytes are out: OpenAI's chat completions, Anthropic's messages and Gemini, whole and streamed.
 * What to do stands in the request's text:
 *     @books ID PLAN PLAN PLAN@
 * ID is the exchange's number; the PLAN that counts is chosen by the last digit of the model's name
 * (1 to 3), so that each attempt of an exchange has its own:
 *     KIND.NUMBER.FIGURES.DELAY
 * KIND is a letter of enum reply_kind; NUMBER the events with content, or the status of an error;
 * FIGURES bits of enum reply_figure; DELAY milliseconds before an answer and between its events.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reply_wire { REPLY_OPENAI, REPLY_ANTHROPIC, REPLY_GEMINI, REPLY_WIRES_N };

enum reply_kind {
    REPLY_WHOLE = 'w',       /* as asked for, to its end */
    REPLY_NO_USAGE = 'n',    /* the same without a word of usage */
    REPLY_CUT = 'c',         /* closed after that many events, or within a body: before the usage */
    REPLY_CUT_LATE = 'u',    /* a stream that is closed behind the usage and before its end */
    REPLY_RESET = 'r',       /* reset before the first byte */
    REPLY_ERROR = 'e',       /* an HTTP error */
    REPLY_ERROR_EVENT = 'x', /* an error event after that many events, then the stream's end */
};

enum reply_figure {
    FIGURE_CACHED = 1,
    FIGURE_REASONING = 2,
    FIGURE_CACHE_WRITE = 4, /* Anthropic only */
    FIGURE_INTERIM = 8,     /* Gemini: with every event; Anthropic: the end repeats the start's */
};

/* Tokens as Weir counts them: input with what is cached and written, output with the reasoning. -1:
 * not said. */
struct tokens {
    int64_t input, output, cached, cache_write, reasoning;
};

struct ask {
    enum reply_wire wire;
    bool stream, wants_usage;
    int64_t id; /* of the exchange; -1: nothing says so */
    int stage;  /* the model's last digit */
    char kind;
    int number, figures, delay_ms;
};

/* What has been reported once `at` bytes are out. */
struct said {
    size_t at;
    bool final; /* the whole usage, no part of it */
    struct tokens tokens;
};

enum reply_end { REPLY_KEEP, REPLY_CLOSE, REPLY_ABORT };
enum { REPLY_STEPS_MAX = 80 };

struct reply {
    char *data; /* kept from one reply to the next */
    size_t len, cap;
    size_t step[REPLY_STEPS_MAX]; /* ends of what is sent at once; the last is `len` */
    int steps_n;
    struct said said[REPLY_STEPS_MAX];
    int said_n;
    enum reply_end end;
};

/* Reads target and body of a request. False: it is none of the mock's. */
bool reply_read_ask(const char *target, size_t target_len, const char *body, size_t body_len,
                    struct ask *ret);
void reply_build(struct reply *reply, const struct ask *ask);
void reply_done(struct reply *reply);
