/* Client dialects: one file or two for each. A dialect reads requests into the neutral model, and
 * writes answers and errors from neutral events. Pure. */
#ifndef LLM_DIALECT_H
#define LLM_DIALECT_H

#include "llm/neutral.h"
#include "llm/wire.h"

/* An answer that is being written for a client. */
struct llm_encoder {
    const struct llm_dialect *dialect;
    struct arena *arena; /* for the state and for what is said once; never for each event */
    struct buf *out;     /* set anew before each event: the bytes for the client are appended */
    const struct llm_chat *chat;
    const struct llm_usage *usage; /* final at END; before that as far as known */
    struct slice id;               /* of the answer where the provider gave none; in the arena */
    int64_t created_s;             /* Unix time */
    bool wants_usage;
    struct json_parser *json; /* to check arguments; not the decoder's, which is in use meanwhile */
    void *state;              /* the dialect's own, in the arena; NULL at first */
    bool bad; /* set by the encoder: the answer cannot be said here, for a tool's arguments are no
               * JSON object. Nothing more is written; the gateway ends it with an error. */
};

struct llm_dialect {
    enum llm_dialect_id id;
    const char *name;
    enum llm_family family;
    const struct llm_wire *wire; /* whose requests and answers look the same as this dialect's */
    /* The light reading of every request: validates the whole text and finds what the gateway
     * itself needs. The same contract as openai_read_request. */
    bool (*read_request)(struct json_parser *p, struct arena *a, enum llm_op op, struct slice body,
                         struct llm_request *ret, struct llm_bad_request *ret_bad);
    /* The full reading, of a text that passed the light one. Slices point into `r->body`. */
    bool (*read_chat)(struct json_parser *p, struct arena *a, const struct llm_request *r,
                      struct llm_chat *ret, struct llm_bad_request *ret_bad);
    bool sequential;          /* one open part at a time: events come through an llm_sequencer */
    struct slice stream_type; /* Content-Type of streams */
    struct slice keep_alive;  /* bytes that a waiting client skips; empty: none */
    /* Appends what one event is in a stream of this dialect; with END and ERROR its ending. Without
     * memory e->out->failed is set. */
    void (*encode)(struct llm_encoder *e, const struct llm_event *event);
    /* A whole answer. */
    void (*write_answer)(struct llm_encoder *e, const struct llm_answer *answer);
    /* An error's body for this HTTP status; `request_id` may be empty. */
    void (*put_error)(struct buf *out, unsigned status, const struct llm_error *e,
                      struct slice request_id);
    /* The same as the only event of a stream; one that has begun ends by `encode` with ERROR. */
    void (*put_error_event)(struct buf *out, unsigned status, const struct llm_error *e,
                            struct slice request_id);
};

extern const struct llm_dialect openai_dialect;      /* chat completions */
extern const struct llm_dialect completions_dialect; /* OpenAI's legacy completions */
extern const struct llm_dialect responses_dialect;
extern const struct llm_dialect anthropic_dialect;
extern const struct llm_dialect google_dialect;
extern const struct llm_dialect google_array_dialect; /* streams without alt=sse: one JSON array */

#endif
