/* Active probes: now and then a provider is asked something that costs nothing, its list of models:
 * self-hosted ones always, hosted ones while they have a target that is not well. So one that
 * answers nobody is found out before a request is spent on it, and one that is back after failed
 * probes has its requests again. Providers without such a call, and engines, which their supervisor
 * looks after, are not probed. Where the configuration says so, each target is asked for the
 * smallest completion instead, which costs what it costs. Control thread. */
#ifndef CONTROL_PROBES_H
#define CONTROL_PROBES_H

#include "gateway/snapshot.h"
#include "net/loop.h"

struct probes;
/* NULL: no memory. */
NODISCARD struct probes *probes_new(struct net_loop *loop);
/* Ends those under way; while the loop still runs. NULL is fine. */
void probes_free(struct probes *p);

/* Several times a second: begins what is due, as `s->probe_ns` has it (each time up to a fifth more
 * or less), and tells the targets what came of it. */
void probes_tick(struct probes *p, struct gw_snapshot *s, int64_t now_ns);

/* Completions and what they used. NULL is fine. */
void probes_metrics(struct buf *out, const struct probes *p);

/* What an answer of that status says of whoever gave it (0: there was none): 1 it is well, -1 it is
 * not, 0 nothing. A refused credential is no sickness of its targets. */
int probe_verdict(unsigned status);
/* When the next one is due, from now. */
int64_t probe_after(int64_t interval_ns, uint64_t random);

#endif
