/* Reading the ledger: always from rollups, in bounded windows and keyset pages. Any thread but the
 * workers'; each caller has its own connection to the database. Minutes are a second behind at
 * most; the other classes and users up to a minute, while much is going on. Windows for lines by
 * the minute are at most a day, by the hour 31 days (7 with filters), by the day 800; by user 25
 * hours, 7 days or 4 months. */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

#include "base/arena.h"
#include "store/ledger.h"

enum usage_by {
    USAGE_TOTAL,
    USAGE_MODEL,
    USAGE_PROVIDER,
    USAGE_TARGET, /* the model at the provider: "provider/model" */
    USAGE_KEY,
    USAGE_TEAM,
    USAGE_ORGANISATION,
    USAGE_USE_CASE,
    USAGE_USER,
    USAGE_BY_N
};
enum usage_step { USAGE_WHOLE, USAGE_MINUTE, USAGE_HOUR, USAGE_DAY, USAGE_MONTH, USAGE_STEPS_N };
const char *usage_by_name(enum usage_by b);
bool usage_by_find(struct slice name, enum usage_by *ret);
bool usage_step_find(struct slice name, enum usage_step *ret);

struct usage_query {
    enum usage_by by;
    enum usage_step step;   /* WHOLE: one line for each name; else one for each name and bucket */
    int64_t from_ns, to_ns; /* wall clock; widened to whole buckets of the rollup that is read */
    struct slice model, key, team, use_case; /* only these, or empty */
    bool by_cost;       /* the most expensive first (one page only), else by name and bucket */
    unsigned limit;     /* lines, at most 1000 */
    struct slice after; /* the previous page's `next`, or empty */
};

struct usage_line {
    struct slice name; /* of a user: 16 hex digits of the hash; "" is what has no such name */
    int64_t bucket_ns; /* start; of WHOLE: from_ns */
    int64_t requests;  /* exchanges that ended, refused ones too */
    int64_t refused, failed, attempts;
    int64_t input, output, cached, cache_write, reasoning;
    int64_t estimated; /* tokens that are the gateway's own count, in the figures above */
    int64_t unpriced;  /* attempts whose price is not known */
    int64_t cost_nano, idle_nano;
    int64_t crashed;
    int64_t duration_us;            /* sum over exchanges */
    int64_t p50_us, p95_us, p99_us; /* of the duration, from a histogram; -1: none */
    int64_t first_p95_us;           /* of the first content; -1: none */
    int64_t users; /* distinct users: an estimate, 3.3% standard error; -1: not known (lines by the
                    * minute and the hour, with filters, and by user) */
};

struct usage_reader;
/* `folder`: as of the ledger. NULL: the reason is in `error`. */
NODISCARD struct usage_reader *usage_open(const char *folder, struct buf *error);
void usage_close(struct usage_reader *u);
/* Lines in `a`; `*ret_next` is empty on the last page. False: `error` says why. */
NODISCARD bool usage_read(struct usage_reader *u, const struct usage_query *q, struct arena *a,
                          struct usage_line **ret_lines, size_t *ret_n, struct slice *ret_next,
                          struct buf *error);
/* Spend since `from_ns` by scope, to restore budgets: calls `fn` for each name. `users`: by hash.
 */
typedef void usage_spend_fn(void *ctx, struct slice name, uint64_t user_hash, int64_t cost_nano);
NODISCARD bool usage_spend(struct usage_reader *u, enum usage_by by, int64_t from_ns,
                           usage_spend_fn *fn, void *ctx, struct buf *error);

#endif
