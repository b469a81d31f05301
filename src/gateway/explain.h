/* What is remembered of a decision: see gateway/explain.h. */
#ifndef GATEWAY_EXPLAIN_RECORD_H
#define GATEWAY_EXPLAIN_RECORD_H

#include "base/json_write.h"
#include "exchange.h"
#include "gateway/explain.h"

#define EXPLAIN_NAME 80 /* bytes of a name that are kept */

/* A name in the record's text; one of EXPLAIN_NAME bytes may have been longer. */
struct explain_name {
    uint16_t at, n;
};

struct explain_candidate {
    struct explain_name target;
    uint8_t reason, state, skipped, place; /* of the order, from 1 on; 0: not in it */
    uint8_t lacks;                         /* of enum llm_need */
    bool fallback;
    double score;
};

struct explain_attempt {
    struct explain_name target;
    uint16_t status;
    uint8_t error, key; /* the number of the provider's credential; 0: it has one */
    bool overlong;
    uint32_t start_us, sent_us, first_us, end_us; /* UINT32_MAX: it did not come to that */
};

/* One request. Only what its counts say is set, and of `text` so much as names refer to. */
struct explain_record {
    int64_t wall_ns;
    const char *reason; /* why it ended; of a static table */
    double complexity;
    struct explain_name model, alias; /* asked for, and served by */
    uint16_t status, text_n, others;
    uint8_t strategy, shown, attempts_n;
    bool routed, chosen, panic, stream;
    bool partial; /* only the first of the order was looked for, and did */
    struct explain_candidate candidate[EXPLAIN_SHOWN];
    struct explain_attempt attempt[ATTEMPTS_MAX];
    char text[(EXPLAIN_SHOWN + ATTEMPTS_MAX + 2) * EXPLAIN_NAME];
};

struct explain_ring;
/* NULL: no memory. */
NODISCARD struct explain_ring *explain_ring_new(void);
void explain_ring_free(struct explain_ring *r);

/* The exchange has ended: it is written down, by its worker. */
void explain_note(struct exchange *x, const char *reason, unsigned status);

/* Of a record that was emptied by explain_begin: the names, and what `r` came to. */
void explain_begin(struct explain_record *e, struct slice model, const struct gw_model *alias);
void explain_put_route(struct explain_record *e, const struct route *r);
/* Members of the object that is open, without the request's id and times. */
void explain_put_json(struct json_writer *w, const struct explain_record *e);

#endif
