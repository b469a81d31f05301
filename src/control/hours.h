/* Own hardware that is paid by the hour. Requests book their share of its busy time when they end;
 * here the hour's books are closed: what it was paid for and not busy is booked as idle, and the
 * cost of the busy time is divided anew by the work that the requests caused
 * (policy/hours_share.h), the difference going out as TRUE_UP rows. After that the cost of an hour
 * and its idle time are the price of the time it ran, to the nano-dollar. Providers are paid as
 * long as the gateway runs with them in its configuration, engines as long as they have a process.
 *
 * Corrections make the ledger what it should be from what it is, so they can be made again at any
 * time: after a restart or a kill the hour is summed up from the ledger's segments, and where all
 * of it is right there is nothing to correct. Only the time that hardware ran and was busy is not
 * in the ledger; it is kept in the file `hours` of its folder, every few seconds, for hours that
 * may still change. Control thread. */
#ifndef CONTROL_HOURS_H
#define CONTROL_HOURS_H

#include "base/slice.h"
#include "policy/hardware.h"

struct hours;
struct gw_snapshot;
struct supervisor;
struct ledger;
struct limit_registry;

/* `folder`: the ledger's, as of the ledger, which is open. Corrections of periods under way reach
 * the budgets of `limits`. NULL: no memory. */
NODISCARD struct hours *hours_open(struct ledger *l, const char *folder,
                                   struct limit_registry *limits);

/* The snapshot is going to get requests: counting begins before the first of them. `wall_ns` is
 * steady wall time. `supervisor` may be NULL. */
void hours_install(struct hours *h, const struct gw_snapshot *s,
                   const struct supervisor *supervisor, int64_t mono_ns, int64_t wall_ns);
/* A few times a second. */
void hours_tick(struct hours *h, const struct gw_snapshot *s, const struct supervisor *supervisor,
                int64_t mono_ns, int64_t wall_ns);

/* The workers have ended: closes the books of all hours, the one under way too, which may take a
 * moment. Before the ledger is closed. */
void hours_close(struct hours *h, const struct gw_snapshot *s, const struct supervisor *supervisor,
                 int64_t mono_ns, int64_t wall_ns);

/* What is below is the parts of hours_tick and hours_close, for tests. */

/* A hardware that is paid for now. Engines: `ran_ns` is how long they ran in all. */
struct hours_source {
    bool engine;
    struct slice name;
    int64_t hour_nano, ran_ns;
    struct hardware *hardware;
};
void hours_put(struct hours *h, const struct hours_source *s);
/* The time since the step before was one with all that was put since. */
void hours_step(struct hours *h, int64_t mono_ns, int64_t wall_ns);
void hours_end(struct hours *h, int64_t mono_ns, int64_t wall_ns);

#endif
