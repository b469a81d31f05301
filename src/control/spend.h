/* Spend by day, from the ledger, and what budget periods will have cost at their end. */
#ifndef CONTROL_SPEND_H
#define CONTROL_SPEND_H

#include "base/arena.h"
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

/* The spend of all names of one kind, of the thousand most expensive ones of each day. */
struct spend_book {
    struct spend_days days;
    struct spend *item;
    size_t n, size;
    uint32_t *slots; /* of items, plus 1, by the hash of their names */
    size_t mask;
    struct arena names;
};

/* Reads it: one short query for each day, so that no line is read twice. False: `error` says why.
 * Call spend_book_done either way. */
NODISCARD bool spend_book_read(struct spend_book *b, struct usage_reader *u, enum usage_by by,
                               int64_t now_ns, struct buf *error);
void spend_book_done(struct spend_book *b);
/* NULL: nothing is known of that name. */
const struct spend *spend_book_find(const struct spend_book *b, struct slice name);

/* What the period that holds now will have cost at its end; `used` of it is spent: where it is
 * negative, what the days say. Hours, and what there is no history for, go on as they are going. */
int64_t spend_forecast(const struct spend_days *d, const struct spend *s, enum calendar_period p,
                       int64_t used);
/* Spend since the period's start, by whole days. */
int64_t spend_since(const struct spend_days *d, const struct spend *s, int64_t from_ns);

#endif
