/* Dividing what an hour of own hardware cost among those who used it, by the work they caused.
 *
 * Work is the hardware's time. What a token of each kind takes of it is fitted to the hour's own
 * requests: of each the ledger knows its tokens and, by processor sharing (policy/hardware.h), its
 * share of the time the hardware was busy. Linear least squares without an intercept, no rate below
 * 0 (Lawson, Hanson: "Solving Least Squares Problems", 1974, chapter 23; with three unknowns all
 * seven sets of rates above 0 can be tried), and drawn towards rates known from before as if by
 * HOURS_PRIOR further requests (ridge regression: Hoerl, Kennard, Technometrics 12, 1970): few
 * requests, or requests that are all alike, keep the ratios of before, and many speak for
 * themselves. The time to the first token is not used: it includes what a request waited for a
 * place, which is other people's work. Pure. */
#ifndef POLICY_HOURS_SHARE_H
#define POLICY_HOURS_SHARE_H

#include "base/compiler.h"

enum hours_kind { HOURS_INPUT /* not cached */, HOURS_CACHED, HOURS_OUTPUT, HOURS_KINDS_N };

#define HOURS_PRIOR 20 /* requests that the rates of before weigh as much as */

/* Nanoseconds of the hardware for a token of each kind; before a fit, only their ratios mean
 * something. */
struct hours_rates {
    double ns[HOURS_KINDS_N];
};
/* Where nothing was ever measured: a cached token takes a tenth of one that is read, and a written
 * one, which needs a pass of its own over the weights, ten times as much. */
extern const struct hours_rates hours_rates_first;

/* Sums over requests; zeroed: none. */
struct hours_fit {
    double n, work_ns, tokens[HOURS_KINDS_N];
    double squares[HOURS_KINDS_N][HOURS_KINDS_N], with_work[HOURS_KINDS_N];
};
/* A request; one without tokens or without work says nothing. */
void hours_fit_add(struct hours_fit *f, const int64_t tokens[HOURS_KINDS_N], int64_t work_ns);
/* The rates that explain the requests best; `before` itself when there are none. All are finite and
 * not negative, and at least one is above 0 when one of `before` is. */
struct hours_rates hours_fit_rates(const struct hours_fit *f, const struct hours_rates *before);

/* The work of so many tokens. */
double hours_work(const struct hours_rates *r, const int64_t tokens[HOURS_KINDS_N]);

/* Divides `nano` (not negative) by `weights` (finite, not negative): the parts in `ret_nano` are
 * not negative and add up to `nano` exactly; what rounding leaves goes to the largest weight, the
 * first of several. False: no weight is above 0, and nothing was divided. */
NODISCARD bool hours_divide(int64_t nano, const double *weights, size_t n, int64_t *ret_nano);

/* What `ns` cost at so much for an hour, without the part of a nano-dollar. */
int64_t hours_price(int64_t ns, int64_t hour_nano);

#endif
