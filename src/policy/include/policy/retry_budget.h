/* How much may be asked twice. Retries and hedges draw from a budget that first attempts fill, so
 * that a failing provider is not asked for more than its share (Finagle's RetryBudget). Lock-free,
 * shared by the workers, one per alias and kind. */
#ifndef POLICY_RETRY_BUDGET_H
#define POLICY_RETRY_BUDGET_H

#include <stdatomic.h>

#include "base/compiler.h"

#define RETRY_SLOTS 10 /* of a second: what first attempts fill lasts so long */

/* All zero at first. The inner parts are the module's own: a second and its count in one word. */
struct retry_budget {
    struct {
        _Atomic uint64_t first, again;
    } slot[RETRY_SLOTS];
};

/* A first attempt is made. */
void retry_budget_fill(struct retry_budget *b, int64_t now_ns);
/* May there be another? Those of the latest 10 s may be `percent` of the first ones of that time,
 * or `least` for each second where that is more. True: it counts. */
NODISCARD bool retry_budget_take(struct retry_budget *b, int64_t now_ns, unsigned percent,
                                 unsigned least);

/* That of hedges, which has to be right where there are few requests too: where the share of ten
 * seconds comes to less than ten, what is lost of it by rounding down is saved up for. */
struct hedge_budget {
    struct retry_budget recent;
    _Atomic uint32_t saved; /* hundredths of one, up to one */
};
/* A first attempt is made; `percent` as in hedge_budget_take. */
void hedge_budget_fill(struct hedge_budget *b, int64_t now_ns, unsigned percent);
/* May it be hedged? True: it counts. */
NODISCARD bool hedge_budget_take(struct hedge_budget *b, int64_t now_ns, unsigned percent);

/* There is another one that nobody had to allow; it uses the budget up as well. */
void retry_budget_note(struct retry_budget *b, int64_t now_ns);

/* How long to wait before the `n`-th retry (from 1 on): full jitter below base * 2^(n-1), at most
 * `most_ns` (M. Brooker, "Exponential Backoff And Jitter", 2015). `random` is any 64 bits. */
int64_t retry_backoff_ns(unsigned n, int64_t base_ns, int64_t most_ns, uint64_t random);

/* How long to rest after the `n`-th failure in a row (from 1 on) of what has to succeed in the end:
 * base * 2^(n-1), at most `most_ns`, less up to a quarter. */
int64_t retry_pause_ns(unsigned n, int64_t base_ns, int64_t most_ns, uint64_t random);

#endif
