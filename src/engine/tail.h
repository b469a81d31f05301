/* The last lines that an engine wrote, and which of them says why it ended. */
#ifndef ENGINE_TAIL_H
#define ENGINE_TAIL_H

#include "base/compiler.h"
#include "base/slice.h"

#define TAIL_LINES      32
#define TAIL_LINE_BYTES 400 /* the rest of a longer line is dropped */

/* Zero-initialised: no lines. */
struct tail {
    char lines[TAIL_LINES][TAIL_LINE_BYTES];
    size_t lengths[TAIL_LINES];
    unsigned count; /* complete lines since the start; the latest are in the ring */
    size_t open;    /* bytes of the line that is being written */
};

/* Takes what the engine wrote, in pieces of any size. Empty lines are left out, control characters
 * become spaces. */
void tail_feed(struct tail *t, struct slice data);

/* An unfinished line counts as a line: nothing more will come. */
void tail_end(struct tail *t);

/* The kept lines, oldest first; returns their number. They are valid until the next tail_feed. */
size_t tail_get(const struct tail *t, struct slice ret[TAIL_LINES]);

/* The newest complete line, or empty. */
struct slice tail_newest(const struct tail *t);

/* The line that says best what went wrong, without llama.cpp's time and level: the first or the
 * last that looks like an error, else the last of all; empty without lines. */
struct slice tail_reason(const struct slice *lines, size_t n, bool first);

#endif
