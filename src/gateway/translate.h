/* Between a client's dialect and a provider's wire that is not the same, or not OpenAI's: requests
 * are written anew where they have to be, and answers pass through neutral events. */
#ifndef GATEWAY_TRANSLATE_H
#define GATEWAY_TRANSLATE_H

#include "gateway/error.h"
#include "llm/dialect.h"

struct attempt;
struct exchange;
struct gw_provider;
struct gw_target;

/* What of the answer the client has been told, for the case that it is cut (rescue.h). */
struct told {
    unsigned part; /* number of the open text part */
    bool text_open, reasoning_open, has_calls, has_other;
};

struct translation {
    struct attempt *attempt;
    bool raw; /* one and the same wire: bytes go as they came, and are only looked at */
    struct llm_decoder decoder;
    struct llm_encoder encoder;
    struct llm_sequencer sequencer;
    struct llm_collector collector;
    struct llm_answer answer; /* of whole answers */
    struct told own, *told;   /* its own, or of the one whose answer it goes on with */
    bool whole;               /* the answer is gathered */
    bool open;                /* a part of the first choice is */
    unsigned ended;           /* parts of the first choice that are not any more */
    struct slice id, model;   /* as the provider says them; kept when `raw` */
    bool content;             /* the event at hand has some */
    bool broken;              /* what came does not go on with what the client has */
    bool is_error;            /* the provider says that it failed: `error`, `error_status` */
    struct llm_error error;
    unsigned error_status;
    struct buf body; /* the request as it was written anew; empty when `raw` */
};

/* The wire that this provider is spoken to in by clients of that dialect. */
const struct llm_wire *translate_wire(const struct llm_dialect *d, const struct llm_provider *p);

/* The whole request as x->chat, read once for all who ask. */
enum gw_error translate_read_chat(struct exchange *x);

/* The whole target for a path of the wire's: the provider's base path before it, the version that
 * it wants behind. .p NULL: no memory. */
struct slice translate_target(struct arena *a, const struct gw_provider *p, struct slice path);

/* Makes the attempt's request: body and target. Where client and provider speak OpenAI's chat there
 * is no translation (a->translation is NULL). GW_UNSUPPORTED: x->message and x->param say what the
 * target lacks. */
enum gw_error translate_request(struct attempt *a);
/* Of a target that was ruled out before it was tried, by the operation or by `lacks` (of enum
 * llm_need, not 0 then): the error that it would have ended with, x->message and x->param. */
#define TRANSLATE_LACKS "'" SLICE_FMT "' is not supported by " SLICE_FMT "."
enum gw_error translate_refusal(struct exchange *x, const struct gw_target *t, unsigned lacks);

/* One event of the stream. Bytes for the client are appended to where the attempt's output goes.
 * False: it makes no sense. */
NODISCARD bool translate_event(struct attempt *a, struct slice name, struct slice data);
/* The stream's body has ended. False: too early. */
NODISCARD bool translate_end(struct attempt *a);
/* The stream ends in the middle, because it has reached its bound: what is open ends, and `usage`
 * is what the client is told. Not for one that is `raw`. False: what came does not go on with what
 * the client has. */
NODISCARD bool translate_cut(struct attempt *a, const struct llm_usage *usage);
/* A whole answer; its text for the client is appended to `out` unless it goes as it came. */
NODISCARD bool translate_whole(struct attempt *a, struct slice body, struct buf *out);

/* The last event of a stream that this attempt has begun to deliver: it may have to fit what went
 * before. False: it has not, and the dialect's put_error_event will do. `a` may be NULL. */
NODISCARD bool translate_error(struct attempt *a, struct buf *out, unsigned status,
                               const struct llm_error *e);

/* Gives back what the translation holds beside the arena. */
void translate_done(struct attempt *a);

#endif
