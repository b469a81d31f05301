/*
 * A line of the load's script, and the HTTP request that it stands for. Fields are separated by
 * single blanks, "-" is none:
 *     ID DIALECT STREAM USAGE KEY MODEL USE_CASE USER ABORT AT PLAN PLAN PLAN
 * DIALECT is o (chat completions), a (messages) or g (Gemini); STREAM and USAGE (the client asks
 * for it) are 0 or 1; ABORT is h (leave when the head has come), b (after AT bytes of the body) or
 * t (after AT microseconds). The PLANs are for the mock; see reply.h.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REQUEST_FIELD = 64, REQUEST_PLANS = 128, REQUEST_CAP = 4096 };

struct request_line {
    int64_t id;
    char dialect;
    bool stream, wants_usage;
    char key[REQUEST_FIELD], model[REQUEST_FIELD], use_case[REQUEST_FIELD], user[REQUEST_FIELD];
    char abort; /* '-': the client stays to the end */
    int64_t abort_at;
    char plans[REQUEST_PLANS];
};

/* Reads a line, which ends with a line break or NUL. False: it is none. */
bool request_parse(const char *text, struct request_line *ret);
/* Writes the request; returns its length. */
size_t request_write(const struct request_line *line, int port, char out[REQUEST_CAP]);
