/* Following the ledger: its rows one after the other, in the order of the segments, as far as they
 * are merged, so that a reader sees each row that stays and none that a crash takes back. Any
 * thread but the workers'; each caller has its own. */
#ifndef STORE_FOLLOW_H
#define STORE_FOLLOW_H

#include "base/buf.h"
#include "store/ledger.h"

struct follower;

/* From before the first row that was written at `from_ns` (wall clock) or later; rows that are
 * older may come too. `folder`: as of the ledger, which is open. NULL: the reason is in `error`. */
NODISCARD struct follower *follower_open(const char *folder, int64_t from_ns, struct buf *error);
/* NULL is fine. */
void follower_close(struct follower *f);

typedef void follower_fn(void *ctx, const struct ledger_row *row);
/* Tells of rows that it has not told of, of some `most` records at most (a name is one too).
 * `*ret_all`: that was all that is merged by now. False: a file cannot be read, as errno says, or
 * the database cannot (errno 0); the next call goes on from there. */
NODISCARD bool follower_read(struct follower *f, size_t most, follower_fn *fn, void *ctx,
                             bool *ret_all);

#endif
