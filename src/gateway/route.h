/* Which target is tried next: candidates of the alias, judged for this request, in the order that
 * the strategy makes of them (policy/route.h); and what their health learns of each attempt. */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "gateway/error.h"
#include "gateway/snapshot.h"
#include "prompt.h"

struct attempt;
struct exchange;

/* What was thought of one candidate. */
struct route_verdict {
    enum route_reason reason;
    enum health_state state; /* HEALTH_STATES_N: not looked at */
    unsigned char lacks;     /* ROUTE_IS_LACKS: which of enum llm_need */
    enum gw_error skipped;   /* why it was not tried when its turn had come, or GW_OK */
    double score;
};

struct route {
    const struct gw_target *list;
    unsigned n;
    unsigned char *order;          /* indices of `list`; NULL: the only one */
    unsigned order_n, next, again; /* next of the order; times it was begun anew */
    struct route_verdict *verdict; /* by index; of the only one `only`; NULL: not thought of yet */
    struct route_verdict only;
    struct prefix_chain *chain; /* of the prompt, where the strategy wants it */
    double *cached;             /* share of the prompt that each is thought to have cached */
    enum route_strategy strategy;
    double complexity;
    bool panic;
    bool cold;                     /* the prompt is new to the first one */
    bool part;                     /* the order goes on, but has not been asked for */
    bool doubted;                  /* by what the price table knows there was nobody left */
    const struct gw_target *taken; /* by the latest route_next */
    uint64_t entry;                /* at its health, until an attempt takes it over */
    uint64_t waited;               /* bits of those in whose queues it has stood for nothing */
    unsigned keys_tried;           /* attempts that another key of the same provider followed */
    unsigned attempts_then;        /* that had been made before it */
    int64_t resume_ns;             /* the next one is not tried before */
    uint64_t random, turn;
};

/* What routing has to know of a request, be it under way or only asked about. */
struct route_query {
    const struct gw_snapshot *snapshot;
    const struct gw_key *key;           /* NULL: nobody is asked who he is */
    const struct gw_use_case *use_case; /* NULL: none */
    const struct gw_model *model;       /* NULL: a target was asked for by its name */
    const struct llm_dialect *dialect;  /* of the client */
    enum route_strategy asked;          /* ROUTE_STRATEGIES_N: the alias' */
    int64_t prompt_bytes;               /* -1: not known */
    struct slice session;               /* as the client names it, or empty */
    uint64_t user_hash;                 /* 0: none */
    struct prompt prompt;
    uint64_t random, turn;
    int64_t now_ns, wall_s; /* of the loops' clock; Unix time */
    bool first_only;        /* the order is asked for as far as it is needed: its first one */
    /* What all candidates have in common; filled in by route_judge. */
    bool anywhere, timed;
    bool by_table; /* what the price table knows counts */
    bool plain;    /* any wire and model that takes texts will do */
};

/* Judges and orders `r->list`, of which `*r` has only list and length, as things stand now.
 * Nothing is entered or counted. GW_OK; GW_TARGET_FORBIDDEN or GW_UNSUPPORTED: none of them may
 * serve it, or can; GW_NO_TARGET: those that may are drained; GW_NO_MEMORY. */
enum gw_error route_judge(struct route_query *q, struct route *r);
/* After GW_UNSUPPORTED: a target that cannot do what is asked for, as its verdict says; NULL: for
 * all of them the prompt is too long. */
const struct gw_target *route_incapable(const struct route *r);
#define ROUTE_TOO_LONG      "The prompt is longer than what the model can take."
#define ROUTE_TOO_LONG_CODE "context_length_exceeded"

/* The candidates, once for each request; again after a downgrade. GW_OK, or why none may serve
 * it. */
enum gw_error route_begin(struct exchange *x);
/* Takes the next target that may be tried; NULL: there is none. */
const struct gw_target *route_next(struct exchange *x);
/* Where the one that was taken last was not tried, for want of a price or of a budget: what the
 * step was left with goes to its verdict. */
void route_note_skipped(struct exchange *x);
/* May what went wrong with `a` be mended by the next one? Draws from the retry budget where the
 * next one is not known to be well. x->route.resume_ns says from when on. */
NODISCARD bool route_goes_on(struct exchange *x, const struct attempt *a);

/* The target that stands `i` behind the one being tried; NULL: there is none. */
const struct gw_target *route_behind(struct exchange *x, unsigned i);
/* Is it one that `a` may wait for beside its own, or instead of it? It has to be well; and who is
 * to wait for own hardware (`balanced`) does not go to another one meanwhile. */
bool route_waits_for(const struct attempt *a, const struct gw_target *t);
/* It stands in that one's queue: when it has to leave it without a place, it does not come back. */
void route_note_waits(struct exchange *x, const struct gw_target *t);
/* `a`, which has not been sent, goes to `t` of the order behind instead: they change places. */
void route_move(struct attempt *a, const struct gw_target *t);

/* Gives back what no attempt has taken over. */
void route_done(struct exchange *x);

/* The limit of the first token that follows from what the target usually takes: twice its 99th
 * percentile, at least a second, at most the configured limit. 0: nothing follows. */
int64_t route_first_token_limit(const struct attempt *a);

/* An attempt is about to be sent: with one of the provider's keys. */
void route_enter(struct attempt *a);
/* Its first content has come: the target's health may learn of that. */
void route_begun(struct attempt *a);
/* It is over: the target's health learns of it. */
void route_leave(struct attempt *a);

#endif
