/* Which target a request goes to, and which ones after it: a pure function of what is known of the
 * candidates. It says why, so that a decision can be explained.
 *
 * The order, whatever the strategy:
 *  1. targets that are half-open: they get their one request (who is refused the ticket goes on;
 *     while it is out, view.share is 0, they stand with the ejected ones);
 *  2. targets that are well and have a place, by the strategy; one in its slow start is among them
 *     with its `share` by chance (sticky: for that share of the sessions), else behind them;
 *  3. fallbacks that are well and have a place, as they stand, by the same rules;
 *  4. targets that are well and full, by the strategy; then such fallbacks. A free fallback comes
 *     before a full target, with every strategy: who names a fallback wants an answer rather than a
 *     queue. Who would rather wait names none. `balanced` alone holds own hardware whose wait is
 *     under a second to have a place;
 *  5. what is not well, the least bad first: cooling, then ejected, those sooner that will be over
 *     sooner. A bad one is better than none.
 * A drained target gets nothing, a denied one nothing but, last of all, in a panic.
 *
 * Panic: more than `max_ejected` percent of the targets that could do this request are ejected
 * (tried ones count, drained ones and fallbacks do not) and no fallback is well and has a place:
 * as with Envoy's priorities there is no panic while somebody else can answer. Then ejected,
 * half-open and warming ones are as good as any (for `ordered` the ejected ones behind, by chance),
 * and rests after 429 still hold. */
#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include "base/compiler.h"
#include "policy/target_live.h"

#define ROUTE_CANDIDATES_MAX 64

/* X(id, configuration name, help) */
#define ROUTE_STRATEGIES(X)                                                                        \
    X(ORDERED, "ordered", "the first one that is well, as they stand")                             \
    X(WEIGHTED, "weighted", "by chance, by their `weight`")                                        \
    X(ROUND_ROBIN, "round_robin", "one after the other, by their `weight`")                        \
    X(LEAST_LOADED, "least_loaded", "the one with the fewest requests for its `weight`")           \
    X(LATENCY, "latency", "of two by chance the one that is sooner with a first token")            \
    X(COST, "cost", "the cheapest for this request; own hardware that runs costs nothing more")    \
    X(QUALITY, "quality", "the best by its `quality`")                                             \
    X(BALANCED, "balanced", "own hardware while a wait there is short, else the cloud")            \
    X(COMPLEXITY, "complexity",                                                                    \
      "by how hard the request looks: the first target whose "                                     \
      "`max_complexity` is not below it")                                                          \
    X(REGION, "region", "the first of `regions` that has a target, there the one that is sooner")  \
    X(STICKY, "sticky", "the same one for the same session or user")                               \
    X(PREFIX, "prefix", "where the beginning of the prompt is in the cache")
enum route_strategy {
#define X(id, name, help) ROUTE_##id,
    ROUTE_STRATEGIES(X)
#undef X
        ROUTE_STRATEGIES_N
};
const char *route_strategy_name(enum route_strategy s);

/* Why a candidate is out, or last. X(id, text) */
#define ROUTE_REASONS(X)                                                                           \
    X(OK, "ok")                                                                                    \
    X(UNHEALTHY, "unhealthy") /* the view says how */                                              \
    X(FULL, "full")           /* no place without waiting */                                       \
    X(FORBIDDEN, "forbidden") /* by key, use case or governance */                                 \
    X(UNPRICED, "price_unknown")                                                                   \
    X(CONTEXT, "context_too_small")                                                                \
    X(LACKS, "lacks_feature")                                                                      \
    X(NO_OPERATION, "no_such_operation")                                                           \
    X(TRIED, "already_tried")
enum route_reason {
#define X(id, text) ROUTE_IS_##id,
    ROUTE_REASONS(X)
#undef X
        ROUTE_REASONS_N
};
const char *route_reason_name(enum route_reason r);

struct route_candidate {
    /* in */
    enum route_reason out; /* ROUTE_IS_OK, UNHEALTHY or FULL; anything else never gets in */
    struct target_view view;
    uint64_t id;      /* of the target, the same over reloads, for sticky; 0: its position */
    bool fallback;    /* only after all that are not */
    bool self_hosted; /* own hardware, paid whether used or not */
    double weight;    /* 0: gets nothing while another can */
    double quality;
    int64_t cost_nano;  /* of this request, at the margin; -1: not known, the dearest */
    int64_t capacity;   /* requests it takes at a time; 0: no bound */
    int64_t waiting;    /* requests that wait for it */
    int64_t service_ns; /* mean time of a request there, for the estimate of a wait; 0: unknown */
    int region;         /* position of its region in the alias' list; -1: not in it */
    double max_complexity; /* 0 to 100; 100 where the configuration says nothing */
    double cached;         /* share of the prompt whose beginning it has seen, 0 to 1 */
    uint64_t cold_turn; /* 1 + the turn of the last `cold` plan that chose it; 0: none, unknown */
    /* out */
    double score; /* what the strategy went by, always finite: less is better. Of a fallback its
                   * position */
};

struct route_ask {
    enum route_strategy strategy;
    uint64_t random;       /* 64 random bits */
    uint64_t turn;         /* counts up with each request of the alias */
    uint64_t session;      /* hash of the session or user; 0: none */
    double complexity;     /* of the request, 0 to 100 */
    uint32_t prompt_bytes; /* for prefix: what is too short to be worth it; 0: not known */
    unsigned max_ejected;  /* percent, above which health is not looked at */
    bool first_only;       /* the plan has just the first one, which takes half the time */
};

struct route_plan {
    unsigned n;
    unsigned char order[ROUTE_CANDIDATES_MAX]; /* indices: whom to try, in that order */
    bool panic;                                /* too many were out: health was not looked at */
    bool cold; /* strategy prefix: the first one has too little of the prompt in its cache */
};

/* Orders those that may be tried, as told above. Allocates nothing, reads no clock; at most
 * ROUTE_CANDIDATES_MAX of them. By strategy (load: requests there and waiting, and this one, by
 * weight; equals go by load, then by chance, unless another thing is said):
 *  ordered       as they stand.
 *  weighted      drawn without replacement: each place in the order by the weights of who is left
 *                (exponential keys: Efraimidis and Spirakis, "Weighted random sampling with a
 *                reservoir", 2006).
 *  round_robin   each has its turns at equal distances on a line, as near as its weight says
 *                (stride scheduling, Waldspurger 1995); `turn` is the number of the turn, the
 *                others follow in the order in which theirs come. Nothing is remembered: with
 *                integer weights each sum of weights turns gives everybody exactly its share; with
 *                equal ones they come as they stand.
 *  least_loaded  load.
 *  latency       first_ns x (requests + 1) of two by chance, the others behind by the same. One not
 *                known counts 0 while it is idle, then as the mean of the others: it is tried, and
 *                not flooded before it has answered.
 *  cost          cost_nano; own hardware that is up and has a place 0; unknown ones last.
 *  quality       the highest.
 *  balanced      own hardware with a wait under a second, then the others; both by load.
 *  complexity    the smallest max_complexity that is not below the request's, then upwards; then
 *                those below, the nearest first (their score is above 100).
 *  region        as they stand in the list, those of none of them last; in the first one that has
 *                a target as latency.
 *  sticky        weighted rendezvous hashing of session and id (Thaler and Ravishankar 1998;
 *                Schindelhauer and Schomaker 2005): who leaves moves its own sessions alone, and
 *                each session has its own second choice. Without session as least_loaded.
 *  prefix        the longest cached share above 0.3, if it is 512 bytes or more (less is cheaper to
 *                read again than to queue for, and a short preamble that all share would bring all
 *                to one), and not from a target with over 4 requests more, and over 1.5 times as
 *                many, as the least loaded one has for the same weight. Else by load, equals by
 *                cold_turn, the oldest first, then in turn, so that cold prompts spread. */
void route_plan(const struct route_ask *ask, struct route_candidate *c, unsigned n,
                struct route_plan *ret);

/* How long a request would wait there before it is begun: 0 where it has a place. Where nothing is
 * known of how long requests take, they are held to take 10 s. */
int64_t route_wait_ns(const struct route_candidate *c);

#endif
