/* What limits mean, word by word: a log of entries with their exact times. It is slow, has no slots
 * and no sums, and knows nothing of the code it judges. */
#ifndef TESTS_EXACT_LOG_H
#define TESTS_EXACT_LOG_H

#include "base/list.h"
#include "policy/limits.h"

/* One admission in one scope. */
struct exact_entry {
    struct list node;
    int64_t at_ns;
    struct limit_amounts reserved, actual;
    bool open;
    int64_t period_ns[LIMIT_BUDGETS_N];
};

/* Entries in the order of their decisions, and the spend of those that are gone from it. */
struct exact_log {
    struct list entries;
    int64_t latest_ns;
    int64_t gone_period_ns[LIMIT_BUDGETS_N], gone_nano[LIMIT_BUDGETS_N];
};

/* How a log counts. The wrong ways are there to see that the judge sees them. */
struct exact_rule {
    int64_t window_ns;
    bool to_the_end;   /* an entry counts at the very end of its window, too */
    bool forgets_open; /* wrong: open entries do not outlast the window */
    bool reserved_on;  /* wrong: the reservation counts on when it is settled */
};

void exact_log_init(struct exact_log *l);
void exact_log_enter(struct exact_log *l, struct exact_entry *e);
void exact_log_settle(struct exact_entry *e, const struct limit_amounts *actual);
/* What counts at `at_ns` in the given periods, by kind. */
void exact_log_used(const struct exact_log *l, const struct exact_rule *rule, int64_t at_ns,
                    const int64_t period_ns[LIMIT_BUDGETS_N], int64_t ret[LIMIT_KINDS_N]);
/* Drops settled entries that no rule counts after `at_ns`; their spend stays. */
void exact_log_drop(struct exact_log *l, int64_t at_ns);
/* What an entry asks for, by kind. */
void exact_amounts(const struct limit_amounts *a, int64_t ret[LIMIT_KINDS_N]);

#endif
