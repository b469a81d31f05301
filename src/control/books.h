/* The books of the process: limits, ledger, issued keys, and the clock that they go by. The control
 * thread's; they are open before the first worker starts and closed after the last one ended. */
#ifndef CONTROL_BOOKS_H
#define CONTROL_BOOKS_H

#include "control/build.h"
#include "control/config.h"
#include "gateway/gateway.h"

struct books;

/* Opens them in `data_dir` as `c` says. `mono_ns`: the loop's clock. NULL: `errors` says why. */
NODISCARD struct books *books_open(const struct config *c, const char *data_dir, unsigned workers,
                                   int64_t mono_ns, struct buf *errors);
/* What is handed over is written; NULL is fine. */
void books_close(struct books *b);

/* What the builder and the gateway link to. */
struct builder_links books_links(const struct books *b);
struct limit_registry *books_limits(const struct books *b);
struct ledger *books_ledger(const struct books *b);
struct key_store *books_keys(const struct books *b);
/* Folder of the ledger, for readers. */
const char *books_folder(const struct books *b);
/* Steady wall time less monotonic time. */
int64_t books_wall_offset_ns(const struct books *b);

/* Budgets of the periods under way go on where the ledger says they were. Once, before requests
 * come to `s`. False: `errors` says why. */
NODISCARD bool books_restore(struct books *b, const struct gw_snapshot *s, struct buf *errors);
/* Policies that a reload may change. */
void books_reconfigure(struct books *b, const struct config *c);
/* A few times a second: the clock goes on, periods begin. */
void books_tick(struct books *b, struct gateway *g, int64_t mono_ns);
void books_metrics(struct buf *out, struct books *b);

#endif
