/* Budget alerts: once for each scope, budget period and threshold, across restarts too. Each is an
 * event in the log and, where one is configured, a message to a webhook. Control thread. */
#ifndef CONTROL_ALERTS_H
#define CONTROL_ALERTS_H

#include "control/config.h"
#include "gateway/snapshot.h"
#include "store/alert_log.h"
#include "store/keys.h"
#include "store/usage.h"

/* What they need; any may be NULL. */
struct alerts_links {
    struct alert_log *log;      /* without it a restart forgets which have been given */
    struct usage_reader *usage; /* without it messages have no forecast */
    struct key_store *keys;     /* without it issued keys are not looked at */
};
/* Queues a message for the receiver, which is told of again with alerts_sent. False: there is no
 * receiver, or no room. */
typedef bool alerts_send_fn(void *ctx, int64_t id, struct slice json);

struct alerts;
/* `links` is copied. NULL: no memory. */
NODISCARD struct alerts *alerts_new(const struct alerts_links *links);
void alerts_free(struct alerts *a); /* NULL is fine */

/* Who sends messages from now on; NULL: nobody. */
void alerts_set_sender(struct alerts *a, alerts_send_fn *send, void *ctx);
/* Hands the sender what an earlier process did not get rid of. Once. */
void alerts_resend(struct alerts *a);

/* The scopes of this snapshot, which was made from `c`, are those to look at. alerts_tick does the
 * same. */
void alerts_use(struct alerts *a, const struct config *c, const struct gw_snapshot *s,
                int64_t now_ns);
/* Looks at all budgets; to be called once a second. `now_ns` is the monotonic clock's time,
 * `wall_ns` the steady wall clock's. */
void alerts_tick(struct alerts *a, const struct config *c, const struct gw_snapshot *s,
                 struct limit_registry *r, int64_t now_ns, int64_t wall_ns);

/* The receiver has taken the message (webhook.h: webhook_done_fn with `a` as ctx), or never will.
 */
void alerts_sent(void *a, int64_t id, bool taken, const char *why);

/* Thresholds that were crossed in the period: at most `most` are written to `ret`, ascending. */
size_t alerts_given(const struct alerts *a, const struct gw_scope *s, unsigned budget,
                    int64_t period_ns, int64_t *ret, size_t most);

/* The scopes and their snapshot in use, for the admin API; none before the first. */
const struct scope_list *alerts_scopes(const struct alerts *a);
const struct gw_snapshot *alerts_snapshot(const struct alerts *a);

/* Spend of the scope at the end of the period under way, of which `used` is spent; -1: not known.
 */
int64_t alerts_forecast(struct alerts *a, const struct gw_scope *s, unsigned budget, int64_t used,
                        int64_t wall_ns);

#endif
