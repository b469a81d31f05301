/* Public price data: turns the file that the project genai-prices publishes (data.json, MIT) into
 * the format that Weir keeps (docs/prices.md). Only facts are taken over: names, contexts,
 * and rates of what Weir counts. */
#ifndef POLICY_PRICE_FEED_H
#define POLICY_PRICE_FEED_H

#include "base/buf.h"
#include "base/slice.h"

struct price_feed_result {
    unsigned models; /* taken over */
    unsigned rules;  /* for names that Weir has no pattern for: left out */
    unsigned prices; /* in a form it does not know: their models are unknown */
};

/* Appends the table to `out`. `today` ("2026-11-21") becomes its date; of prices that change with
 * time, those that are over are left out. False: `error` says why, with line and column of `data`.
 */
NODISCARD bool price_feed_convert(struct slice data, struct slice today, struct buf *out,
                                  struct price_feed_result *ret, struct buf *error);

#endif
