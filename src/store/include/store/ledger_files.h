/* The ledger's files, for `weir ledger`: verifying, copying, reading and upgrading them. All but
 * the upgrade may be done while a gateway writes them. */
#ifndef STORE_LEDGER_FILES_H
#define STORE_LEDGER_FILES_H

#include "base/buf.h"
#include "base/slice.h"

struct ledger_verdict {
    int64_t segments, rows, names;
    int64_t damaged;   /* records whose CRC is wrong */
    int64_t repeated;  /* rows whose sequence was there before */
    int64_t missing;   /* sequences that no row has: lost by damage or a power failure */
    int64_t lines;     /* of rollups that were compared with their rows, */
    int64_t differing; /* and those that are not the sum of them */
};
/* Sets the process' timezone to the ledger's. False: it could not be done, `error` says why. */
NODISCARD bool ledger_verify(const char *folder, struct ledger_verdict *ret, struct buf *error);

/* Copies the ledger in `folder` to the new or empty folder `to`: the database as of one moment,
 * then the segments, which have at least what it counts. */
NODISCARD bool ledger_backup(const char *folder, const char *to, struct buf *error);

/* Told of each row as a line of JSON, in the order of the segments. False ends it. */
typedef bool ledger_export_fn(void *ctx, struct slice line);
/* Rows of exchanges that began in from_ns <= start < to_ns. */
NODISCARD bool ledger_export(const char *folder, int64_t from_ns, int64_t to_ns,
                             ledger_export_fn *fn, void *ctx, struct buf *error);

/* Brings the database's schema up to date; a copy of an older one stays beside it. No gateway may
 * run. */
NODISCARD bool ledger_migrate(const char *folder, int *ret_from, int *ret_to, struct buf *error);

#endif
