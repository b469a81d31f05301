/* One recorded answer, as streams of each upstream's wire, what a target is asked that is to go on
 * with it, and the ways in which a stream can break off. */
#ifndef LOOPBACK_TAPES_H
#define LOOPBACK_TAPES_H

#include "tongues.h"

#define PIECES_N 10 /* in which the answer was recorded */

/* The answer's text; and the bytes of its first `n` pieces. */
struct slice tape_text(void);
size_t tape_bytes_of(unsigned n);

enum wire { OPENAI_WIRE, RESPONSES_WIRE, ANTHROPIC_WIRE, GOOGLE_WIRE };
/* The one that the call is made in. */
enum wire wire_of(const struct call *c);

#define TAPE_EVENTS 128
struct tape {
    struct text all;         /* to be freed by the caller */
    size_t end[TAPE_EVENTS]; /* of each event */
    unsigned n, first, last; /* events; text stands in first..last */
};

/* A stream of `text`, in pieces of at most `most` bytes, whole characters each; 0: the answer as it
 * was recorded. */
struct tape tape_of(enum wire wire, struct slice text, size_t most);
/* The stream of a target that does what the call asks for, in the same way. */
struct tape tape_next(const struct call *c, size_t most);

/* What a target is asked to go on with, plain. */
struct wish {
    bool prefill, asked; /* neither: it is asked from the start */
    struct text given;   /* text of the assistant's message */
    struct text words;   /* the last words, where it is asked to repeat them */
};
struct wish wish_of(const struct call *c);
void wish_done(struct wish *w);
/* Appends the text of the right answer to it: all of the answer, or what is left of it. Checks that
 * the target was given what is right. */
void wish_answer(const struct call *c, struct text *out);

/* The youngest call gets the head of a stream. */
struct call *tape_head(struct world *w);
/* The first `n` events, one by one; or all and the stream's end. */
void tape_play(struct call *c, const struct tape *t, unsigned n);
void tape_play_out(struct call *c, const struct tape *t);

#define CUTS(X) X(RESET) X(ENDED) X(ERROR_EVENT) X(STALL)
enum cut {
#define X(id) CUT_##id,
    CUTS(X)
#undef X
        CUTS_N
};
extern const char *const cut_names[];
/* The stream breaks off. The error event says "boom". */
void tape_cut(struct world *w, struct call *c, enum cut how);

#endif
