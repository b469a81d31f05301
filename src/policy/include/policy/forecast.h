/* Forecast of what a budget period will have cost at its end, from the spend of the days before:
 * what this weekday usually is of its week, times a recent level, with a trend that fades. Pure. */
#ifndef POLICY_FORECAST_H
#define POLICY_FORECAST_H

#include "base/compiler.h"

#define FORECAST_DAYS_MAX 56 /* history that is looked at: older days are ignored */

/* Money is in nano-dollars and not negative. */
struct forecast {
    const int64_t *day;    /* spend of whole days without a gap, the oldest first, yesterday last */
    size_t days_n;         /* days before the first spend may stand there as 0 */
    int64_t today;         /* spend of today so far */
    double today_gone;     /* how much of today is over, 0 to 1 */
    int64_t spent;         /* of the period so far, with today's */
    double elapsed, total; /* days of the period that are over, with the share of today; all */
};

/* Spend of the whole period at its end; never below `spent`. With history of less than two weeks
 * every weekday is like another; without any it is the straight line. */
int64_t forecast_end(const struct forecast *f);

/* What a straight line through the period's start and now says; `spent` before any time is over. */
int64_t forecast_straight(const struct forecast *f);

#endif
