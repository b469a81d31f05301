/* Queries of the usage API: parameters, which are all known or refused, and times as people name
 * them. */
#ifndef CONTROL_USAGE_QUERY_H
#define CONTROL_USAGE_QUERY_H

#include "control/usage_report.h"

struct usage_param {
    const char *name;
    struct slice *value; /* decoded, in the ask's arena; untouched where it is not given */
};

/* Reads them all. False: one is unknown, given twice or broken; the ask says so. */
NODISCARD bool usage_params(struct usage_ask *q, const struct usage_param *rows, size_t n);

/* Sets the failure; false. */
bool usage_fail(struct usage_ask *q, unsigned status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A value out of a list of words that ends with NULL: its index, or -1 with a failure that names
 * the nearest. */
int usage_word(struct usage_ask *q, const char *param, struct slice value,
               const char *const *words);

/* A number from `least` to `most`. */
NODISCARD bool usage_number(struct usage_ask *q, const char *param, struct slice value,
                            int64_t least, int64_t most, int64_t *ret);

enum usage_time_kind {
    TIME_POINT,  /* an instant: from it, or up to it */
    TIME_DAY,    /* a date: from its start, or up to its end */
    TIME_SPAN,   /* a word or a month: both at once */
    TIME_RECENT, /* 30d: up to now */
};
struct usage_window {
    int64_t from_ns, to_ns;
};
/* What `text` means at `now`, in the process' timezone. False: nothing. */
NODISCARD bool usage_time_parse(struct slice text, int64_t now_ns, enum usage_time_kind *ret_kind,
                                struct usage_window *ret);

/* The time that `from` and `to` (either may be empty) name; at most `most_ns` long. */
NODISCARD bool usage_window_read(struct usage_ask *q, struct slice from, struct slice to,
                                 int64_t most_ns, struct usage_window *ret);

/* The window to compare with: as long, just before; of whole calendar months the months before, and
 * of the beginning of a month that of the month before. */
struct usage_window usage_window_before(const struct usage_window *w);

#define USAGE_DAY_NS (86400 * INT64_C(1000000000))

#endif
