/* Amounts as people write them: dollars, percent, points in time. */
#ifndef CONTROL_CONFIG_AMOUNT_H
#define CONTROL_CONFIG_AMOUNT_H

#include "base/buf.h"
#include "base/slice.h"

/* "12", "12.5", "$12.50", "-3": dollars to nano-dollars, exact. NULL: `*ret` is set; else what to
 * say behind the text, and `*ret` is untouched. */
NODISCARD const char *amount_parse_money(struct slice s, int64_t *ret_nano);
/* "12", "12.50", "0.000000001"; as amount_parse_money reads it. */
void amount_print_money(struct buf *out, int64_t nano);

/* "90%" or "90". */
NODISCARD bool amount_parse_percent(struct slice s, int64_t *ret);

/* "2027-01-01" (as that day begins in UTC) or an RFC 3339 time with its zone, to nanoseconds of
 * Unix time; 1970 to 2261. */
NODISCARD bool amount_parse_time(struct slice s, int64_t *ret_ns);
void amount_print_time(struct buf *out, int64_t ns);

#endif
