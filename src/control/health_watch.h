/* Looks at the health of all targets once a second: says in the log what has changed, and tells the
 * metrics. Control thread. */
#ifndef CONTROL_HEALTH_WATCH_H
#define CONTROL_HEALTH_WATCH_H

#include "gateway/snapshot.h"

struct health_watch;
/* NULL: no memory. */
NODISCARD struct health_watch *health_watch_new(void);
void health_watch_free(struct health_watch *w); /* NULL is fine */

/* Several times a second. Changes that came and went between two looks are not told. */
void health_watch_tick(struct health_watch *w, int64_t now_ns);

/* Targets of the aliases of `s`: which take requests, how many of each alias do not, ejections. */
void health_watch_metrics(struct buf *out, struct health_watch *w, const struct gw_snapshot *s,
                          int64_t now_ns);

#endif
