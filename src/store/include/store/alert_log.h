/* Which budget alerts have been given, in SQLite, so that none is given twice, not even by the next
 * process, and none is forgotten that its receiver has not taken. Control thread. */
#ifndef STORE_ALERT_LOG_H
#define STORE_ALERT_LOG_H

#include "base/arena.h"
#include "base/buf.h"
#include "policy/limits.h"

/* One alert: a scope's budget of a period went past so many percent. */
struct alert_mark {
    enum scope_kind kind;
    struct slice name;    /* of the scope */
    unsigned budget;      /* LIMIT_BUDGET_* less LIMIT_BUDGET_HOUR */
    int64_t period_ns;    /* start of the period, wall clock */
    int64_t percent;      /* the threshold */
    int64_t at_ns;        /* when, wall clock */
    struct slice message; /* what the receiver has yet to get; empty: nothing */
    int64_t id;           /* set by the log */
};

struct alert_log;
/* `path`: the database file, made when it is not there. NULL: `error` says why. */
NODISCARD struct alert_log *alert_log_open(const char *path, struct buf *error);
void alert_log_close(struct alert_log *l);

enum alert_result { ALERT_NEW, ALERT_KNOWN, ALERT_FAILED };
/* Durable when it returns. NEW: it is the first of its scope, period and threshold, and has an `id`
 * now. FAILED: `error` says why. */
enum alert_result alert_log_add(struct alert_log *l, struct alert_mark *m, struct buf *error);
/* The receiver has the message of that alert, or never will. */
NODISCARD bool alert_log_sent(struct alert_log *l, int64_t id, struct buf *error);
/* The oldest alerts with a message, at most `limit`, behind number `after`; text is in `a`. */
NODISCARD bool alert_log_unsent(struct alert_log *l, int64_t after, unsigned limit, struct arena *a,
                                struct alert_mark **ret, size_t *ret_n, struct buf *error);
/* Which thresholds have been given in that period: `fn` for each, ascending. */
typedef void alert_log_fn(void *ctx, int64_t percent, int64_t at_ns);
NODISCARD bool alert_log_given(struct alert_log *l, const struct alert_mark *of, alert_log_fn *fn,
                               void *ctx, struct buf *error);
/* Forgets the alerts before `before_ns` whose message has been sent. */
NODISCARD bool alert_log_prune(struct alert_log *l, int64_t before_ns, struct buf *error);

#endif
