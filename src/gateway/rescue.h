/* An answer that was cut in the middle goes on from another target, where its alias says so and the
 * seam can be shown to be right (llm/continue.h, llm/join.h). The client's stream stays one answer:
 * it is written on by the encoder that began it. */
#ifndef GATEWAY_RESCUE_H
#define GATEWAY_RESCUE_H

#include "llm/join.h"
#include "translate.h"

struct exchange;

/* What the client has got so far. Of an exchange whose alias rescues; else NULL there. */
struct rescue {
    struct buf text; /* delivered, plain */
    bool finished;
    unsigned cuts;       /* streams that broke off */
    enum gw_error error; /* of the first of them */
    struct slice message;
    struct llm_error upstream_error;
    unsigned upstream_status;
    struct llm_usage first;        /* what the first of them said */
    int64_t output;                /* tokens of the answers of all of them */
    struct llm_usage usage;        /* what the client is told at the end */
    const struct attempt *speaker; /* the latest whose translation has the encoder's state */
    struct llm_join join;          /* of the present continuation */
    unsigned its_part;             /* number of its own text part; NO_PART: none yet */
    bool done;                     /* another target has finished the answer */
    bool passing;                  /* the join is done: its text goes on as it comes */
};

/* Is the exchange's stream to be watched, so that it can go on elsewhere? */
bool rescue_wanted(const struct exchange *x);
/* Begins to watch. False: no memory. */
NODISCARD bool rescue_begin(struct exchange *x);
/* An event on its way to the client. */
void rescue_note(const struct translation *t, const struct llm_event *e);

/* The stream broke off: may another target go on? What was told of it is kept for the case that
 * none can. */
NODISCARD bool rescue_cut(struct exchange *x, const struct attempt *a);
/* The request that asks `a` to go on, in place of the exchange's own; NULL: it cannot, x->message
 * says why. */
NODISCARD const struct llm_chat *rescue_request(struct attempt *a);
/* An event of a continuation: what of it goes on is given to `emit`. False: the seam is not right.
 */
NODISCARD bool rescue_event(struct attempt *a, const struct llm_event *e, llm_emit_fn *emit,
                            void *ctx);
/* No target could: what the client hears is why the first stream was cut. */
void rescue_give_up(struct exchange *x);
void rescue_done(struct exchange *x);

#endif
