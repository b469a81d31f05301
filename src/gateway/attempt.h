/* One try at one target. */
#ifndef GATEWAY_ATTEMPT_H
#define GATEWAY_ATTEMPT_H

#include "admit.h"
#include "base/block.h"
#include "gateway/error.h"
#include "gateway/snapshot.h"
#include "llm/openai.h"
#include "net/upstream.h"

struct exchange;
struct place;
struct translation;

/* What the answer turned out to be. */
enum answer_kind {
    ANSWER_UNKNOWN,
    ANSWER_STREAM, /* server-sent events, relayed as they come */
    ANSWER_WHOLE,  /* JSON, read to its end and checked before anything is sent */
    ANSWER_ERROR,  /* an error's body, read to its end */
    ANSWER_RAW,    /* a passed-through body */
    ANSWER_MOVED,  /* the answer will be found elsewhere at the same upstream */
};

struct attempt {
    struct exchange *exchange;
    unsigned number; /* of the exchange's attempts, from 1 on */
    struct gw_target target;
    unsigned target_index;             /* of the route's list */
    const struct gw_provider_key *key; /* NULL: the provider has only one */
    struct net_lease lease;
    struct net_request request;
    struct llm_body body;
    struct account account;
    struct llm_usage usage; /* what its answer said */
    struct place *places;   /* the queues in which it stands or stood */
    unsigned places_n;
    bool hedges; /* beside another one that is slow */
    bool moved;  /* to another target, which had a place first: the request is still the first's */
    bool holds_place, queued, sent, reused, on_hardware;
    uint64_t entry, key_entry; /* at the target's health, the key's; 0: it went without */
    enum answer_kind kind;
    struct block held;  /* what cannot be passed on yet: part of an event, or a whole body */
    struct slice whole; /* a body that came in one piece, in the read window */
    struct buf prelude; /* events before the first content: held while another target may answer */
    struct buf inner; /* what came inside another framing, SageMaker's, and is no whole event yet */
    size_t scanned;
    struct llm_repeat *repeat;       /* NULL before the first content */
    struct translation *translation; /* NULL: OpenAI's chat on both sides */
    unsigned status;
    unsigned moves;       /* redirects followed, or looks at a job */
    struct timer look;    /* until the next look at a job */
    bool done, content;   /* [DONE], any content were seen */
    bool overlong;        /* its answer went on behind the client's bound, and was cut */
    bool asked;           /* of one that is over: the upstream may have worked on it */
    bool strip_usage;     /* the client did not ask for the usage that we asked for */
    int64_t most_units;   /* of its answer; above, it is overlong (overlong.h) */
    uint64_t finished[2]; /* a bit for each choice that has a reason to end */
    enum gw_error error;
    struct slice down_fields;  /* header lines of its answer that go on to the client */
    struct slice dropped;      /* names of what its target does not see, or empty */
    struct slice retry_fields; /* Retry-After and rate-limit lines of a refusal */
    struct slice upstream_id;  /* the upstream's x-request-id */
    int64_t retry_after_ns;    /* what a refusal said of trying again; -1: nothing */
    int64_t content_events, last_content_ns;
    int64_t first_token_limit_ns; /* the adapted one; 0: the configured */
    int64_t started_ns, sent_ns, head_ns, first_content_ns, last_data_ns, ended_ns;
    int64_t out_ns; /* of a job that is asked for again, else 0: attempt_out_ns() */
};

/* When its request began to go out on a connection; 0: none was made. From `sent_ns` on, when it
 * had its place, it is the target that is waited for, be it for a connection. */
static inline int64_t attempt_out_ns(const struct attempt *a)
{
    return a->out_ns != 0 ? a->out_ns : a->lease.sent_ns;
}

/* Begins a try at `t` with what has been reserved for it, which it takes over: makes the request
 * and asks for a place at the gate. GW_OK: it is x->attempt now; else why it cannot be. Where the
 * request cannot be said there (GW_UNSUPPORTED, GW_NO_OPERATION) there was no attempt. */
enum gw_error attempt_start(struct exchange *x, const struct gw_target *t, struct limit_hold *hold);
/* Sends the request, once; it may be over when this returns. */
void attempt_send(struct attempt *a);
/* It is over, with or without success: releases what it held. Ends its lease when it still runs. */
void attempt_end(struct attempt *a, enum gw_error why);
/* More of what its answer is said to have used. What earlier attempts said is forgotten then. */
void attempt_note_usage(struct attempt *a, const struct llm_usage *usage);
static inline bool attempt_over(const struct attempt *a)
{
    return a->ended_ns != 0;
}
/* What logs call the end of an attempt. */
const char *attempt_outcome(enum gw_error why, bool overlong);
/* Its next deadline on the loop's clock, and which error it stands for. */
int64_t attempt_deadline(const struct attempt *a, enum gw_error *ret_why);
/* Phases change without a word, and the next one's limit may be the shorter one: when to ask for
 * the deadline again at the latest, so that none is missed. */
int64_t attempt_next_look(const struct attempt *a);

/* A second attempt beside x->attempt, which is slow: at the next target, when the alias' budget for
 * it, limits and places allow. Nothing happens where they do not. */
void attempt_hedge(struct exchange *x);
/* When that is to be: on the loop's clock; INT64_MAX: never. */
int64_t attempt_hedge_at(const struct exchange *x);
/* Of two live attempts this one goes on alone. The exchange has what it said so far. */
void attempt_win(struct attempt *a);

/* relay.c: the first content is at hand: no other target can take over from here on. */
void relay_deliver_first(struct attempt *a);
/* relay.c: the time for the next look at a job has come. */
void relay_look_again(struct timer *look);
/* relay.c: a piece of a body that is passed through. */
void relay_request_body(struct exchange *x, struct slice data, bool last);
/* What happens to its answer. */
extern const struct net_lease_ops relay_ops;

#endif
