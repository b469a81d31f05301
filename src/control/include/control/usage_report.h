/* Questions about use and cost, as the admin API takes them and `weir usage` asks them: the query
 * of a URL in, JSON out. Without a gateway, `weir usage` asks the same of the ledger's files. */
#ifndef CONTROL_USAGE_REPORT_H
#define CONTROL_USAGE_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/usage.h"

struct usage_ask {
    struct usage_reader *reader;
    struct slice query;  /* behind the '?', not decoded */
    int64_t wall_ns;     /* now */
    struct arena *arena; /* memory of the call */
    struct buf *out;     /* JSON is appended */
    /* of a failure */
    unsigned status; /* 400: the question is wrong, 500: the ledger cannot be read */
    char why[400];
};

/* Each answers one question; false: `status` and `why` are set, and `out` is to be thrown away.
 *
 * report: by, step, from, to, model, key, team, use_case, sort (cost, name), limit, after. Lines, a
 * total of the same time, and `next` for the following page.
 * why: by, name, from, to. What a cost is made of, against the time of the same length before
 * (whole calendar months: the month before). forecast: by, name, period (day, week, month), limit.
 * What the period will have cost at its end.
 *
 * Times: 2026-11-01 and 2026-11 (in the timezone of budgets; as `to`, with that day or month), RFC
 * 3339, 30d (today and the 29 days before), 12h, 30m, today, yesterday, this-week, last-week,
 * this-month, last-month. Default: this month. Unknown parameters are refused. */
NODISCARD bool usage_report(struct usage_ask *q);
NODISCARD bool usage_report_why(struct usage_ask *q);
NODISCARD bool usage_report_forecast(struct usage_ask *q);

#endif
