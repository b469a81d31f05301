/* The answer to one chat request, read as it comes: a stream of events, or one JSON text. */
#ifndef CLI_CHAT_ANSWER_H
#define CLI_CHAT_ANSWER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "net/http.h"

enum chat_piece { CHAT_TEXT, CHAT_REASONING };

/* What a piece of the answer says, as it stands: characters may be cut between pieces. False: no
 * more is wanted. */
typedef bool chat_piece_fn(void *ctx, enum chat_piece what, struct slice text);

/* The end of a string that cannot be read without what follows: half of an escaped surrogate pair.
 */
struct chat_carry {
    char half[6];
    unsigned n;
};

struct chat_answer {
    struct json_parser *parser;
    struct arena arena; /* of one event */
    struct buf in;      /* bytes that are no whole event yet, or a whole body */
    struct buf scratch;
    struct buf text; /* the answer without the reasoning, for the conversation */
    struct chat_carry carry[2];
    chat_piece_fn *on_piece;
    void *ctx;
    size_t scanned;
    unsigned status;
    bool stream, done; /* done: the answer said that it is complete */
    bool failed, unwanted;
    char error[600];
    char target[160];          /* x-weir-target: who answered */
    char finish_reason[40];    /* "": none was given */
    int64_t input, output;     /* tokens, -1: not said */
    int64_t pieces;            /* events with text */
    int64_t first_ns, last_ns; /* monotonic time of the first and the last piece; 0: none */
};

/* False: no memory. */
NODISCARD bool chat_answer_init(struct chat_answer *a, chat_piece_fn *on_piece, void *ctx);
void chat_answer_done(struct chat_answer *a);
/* For the next answer. */
void chat_answer_reset(struct chat_answer *a);

void chat_answer_head(struct chat_answer *a, const struct http_head *h);
/* False: the rest is of no interest, because of an error (in `error`) or of the receiver. */
bool chat_answer_data(struct chat_answer *a, struct slice data);
/* All bytes have come. Sets `error` if the answer is not complete. */
void chat_answer_end(struct chat_answer *a);

#endif
