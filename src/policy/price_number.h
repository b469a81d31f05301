/* Numbers and days as they stand in tables of prices: exact, without a detour over floating point.
 */
#ifndef POLICY_PRICE_NUMBER_H
#define POLICY_PRICE_NUMBER_H

#include "base/buf.h"
#include "base/slice.h"

/* The JSON number `raw` times 10^`scale` (at most 18), to the nearest whole number, half up. False:
 * it is negative, or above 2^62. */
NODISCARD bool price_number(struct slice raw, int scale, int64_t *ret);

/* Appends "line:column: " of a byte of the text. */
void price_put_place(struct buf *out, const char *text, size_t offset);

#endif
