/* What the gateway knows about its use and its money, and tells: the ledger's reader, alerts and
 * their webhook. Control thread. */
#ifndef CONTROL_READING_H
#define CONTROL_READING_H

#include "alerts.h"
#include "net/loop.h"
#include "scope_list.h"
#include "webhook.h"

struct reading {
    struct usage_reader *usage;
    struct alert_log *log; /* NULL: it could not be opened, which has been logged */
    struct alerts *alerts;
    struct webhook *webhook; /* NULL: stopped */
    struct limit_registry *limits;
    char *data_dir;
    int64_t wall_ns;   /* of the latest tick: the steady wall clock */
    int64_t ticked_ns; /* when the budgets were looked at */
    bool resent;
};

/* `data_dir` holds `ledger` and gets `alerts.db`; `keys` may be NULL. NULL: see `error`. */
NODISCARD struct reading *reading_open(struct net_loop *loop, const char *data_dir,
                                       struct limit_registry *limits, struct key_store *keys,
                                       struct buf *error);
/* No more messages are sent; while the loop still runs. Those that nobody has taken go out when the
 * next process starts. */
void reading_stop(struct reading *r);
/* Stopped or not; after the admin port, whose routes use it. NULL is fine. */
void reading_close(struct reading *r);

/* At the start and after each reload, when `c` and the snapshot made from it are in force. */
void reading_update(struct reading *r, const struct config *c, const struct gw_snapshot *s);
/* Once a second or more often; `now_ns` is monotonic, `wall_ns` steady. */
void reading_tick(struct reading *r, const struct config *c, const struct gw_snapshot *s,
                  int64_t now_ns, int64_t wall_ns);

/* How far budgets are used up; those of keys are left to the admin API, for there may be many. */
void reading_metrics(struct buf *out, const struct reading *r, const struct config *c,
                     const struct gw_snapshot *s);

#endif
