/* Spend by day, from the ledger, and what budget periods will have cost at their end. */
#ifndef CONTROL_SPEND_H
#define CONTROL_SPEND_H

#include "policy/calendar.h"
#include "policy/forecast.h"
#include "store/usage.h"

#define SPEND_DAYS (FORECAST_DAYS_MAX + 31) /* a month's days may all be history of its last */

/* Days as the budgets count them, today last. */
struct spend_days {
    int64_t start_ns[SPEND_DAYS + 1]; /* the last is tomorrow's */
    int64_t now_ns;
};
void spend_days_init(struct spend_days *d, int64_t now_ns);

struct spend {
    struct slice name;
    int64_t nano[SPEND_DAYS]; /* by day of the spend_days */
    int64_t unpriced;         /* attempts without a price, in all of them */
};

/* Calls `fn` for each name, or for `name` alone (.p NULL: all), with its spend by day. At most
 * `pages` pages are read; `*ret_more`: there would have been more. False: `error` says why. */
typedef void spend_fn(void *ctx, const struct spend *s);
NODISCARD bool spend_read(struct usage_reader *u, const struct spend_days *d, enum usage_by by,
                          struct slice name, unsigned pages, spend_fn *fn, void *ctx,
                          bool *ret_more, struct buf *error);

/* What the period that holds now will have cost at its end; `used` of it is spent: where it is
 * negative, what the days say. Hours, and what there is no history for, go on as they are going. */
int64_t spend_forecast(const struct spend_days *d, const struct spend *s, enum calendar_period p,
                       int64_t used);
/* Spend since the period's start, by whole days. */
int64_t spend_since(const struct spend_days *d, const struct spend *s, int64_t from_ns);

#endif
