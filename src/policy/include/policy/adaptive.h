/* How many requests a target should have in flight at once, found out from how long they wait for
 * their first token: more are let in as long as that stays what it is without a crowd, fewer once
 * it grows, which says that they queue up over there.
 *
 * A gradient limiter. After each window of ADAPTIVE_WINDOW first tokens
 *     gradient = usual / median of the window * ADAPTIVE_TOLERANCE, between 0.5 and 1
 *     limit    = half way from the old one to limit * gradient + sqrt(limit) / 2
 * as in Gradient2Limit of Netflix' concurrency-limits (github.com/Netflix/concurrency-limits) and
 * in Envoy's adaptive_concurrency filter, which the headroom by the square root is from too. A
 * limit that is not used (less than half of it in flight, on average) stays as it is.
 *
 * What is usual is measured again and again, as Envoy does with its minRTT: after ADAPTIVE_EVERY
 * first tokens, and ADAPTIVE_TURNS more for each request of the limit, with the limit cut in half
 * until a window is full; sooner where it has changed, or first tokens take twice or half as long;
 * and for nothing whenever less than half of the limit is in use. A minimum that drifts upwards
 * instead would follow the queue that the limit itself allows, and the limit would rise with it
 * without end. The first answers after such a cut do not count: they are those that took least.
 *
 * A function of what it is told: no clock, no lock, no allocation. The caller serialises the calls.
 */
#ifndef POLICY_ADAPTIVE_H
#define POLICY_ADAPTIVE_H

#include "base/compiler.h"

#define ADAPTIVE_MIN       4
#define ADAPTIVE_MAX       1000
#define ADAPTIVE_START     16
#define ADAPTIVE_WINDOW    64
#define ADAPTIVE_EVERY     1280
#define ADAPTIVE_TURNS     20
#define ADAPTIVE_TOLERANCE 1.4

enum adaptive_phase {
    ADAPTIVE_RUN,
    ADAPTIVE_DRAIN, /* the limit is cut, but too many are still in flight */
    ADAPTIVE_PROBE, /* the next window says what is usual */
};

/* The parts are the module's own. */
struct adaptive {
    double limit;
    double usual_ns; /* median first-token time without a crowd; 0: not known yet */
    enum adaptive_phase phase;
    int64_t skip;     /* so many answers do not count */
    int64_t since;    /* answers since usual_ns was measured */
    bool unsure;      /* it was not what it had been */
    unsigned n;       /* of the window */
    int64_t inflight; /* sum over the window */
    int64_t sample[ADAPTIVE_WINDOW];
};

/* Begins with ADAPTIVE_START. */
void adaptive_init(struct adaptive *a);

/* A request got its first token `first_token_ns` after it was sent, while `inflight` were, itself
 * included; or it got none in that time (a time limit of the first token counts so). Not for
 * requests that were refused or cut off. Returns the limit from now on. */
int64_t adaptive_sample(struct adaptive *a, int64_t first_token_ns, int64_t inflight);

/* The limit: ADAPTIVE_MIN to ADAPTIVE_MAX. */
int64_t adaptive_limit(const struct adaptive *a);

#endif
