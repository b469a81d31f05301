/* What the files of the usage reader share. */
#ifndef STORE_USAGE_INTERNAL_H
#define STORE_USAGE_INTERNAL_H

#include <sqlite3.h>

#include "ledger_rollup.h"
#include "store/usage.h"

#define USAGE_LIMIT_MAX 1000
#define USAGE_PIECES    4 /* stretches of time that one query reads, each from one class */

/* A stretch of time, in seconds, and the class whose lines are read for it. */
struct usage_piece {
    enum rollup_class class;
    int64_t from, to;
};
struct usage_plan {
    struct usage_piece piece[USAGE_PIECES];
    unsigned n;
    bool cube;              /* filters: from combinations */
    enum rollup_class step; /* of the lines' buckets; WHOLE: unused */
    bool whole;
};

/* Sums of a line under way. */
struct usage_sum {
    int64_t id;
    int64_t bucket; /* of WHOLE: 0 */
    struct figures sums;
    uint64_t order;    /* of its name */
    uint32_t selected; /* its line + 1 */
    uint32_t blob_n;
    const char *blob; /* where one line of the database is the whole sum: its form */
};

struct usage_reader {
    sqlite3 *sql;
    struct rollup_map sums; /* of struct usage_sum */
    struct rollup_map ids;  /* of struct usage_name */
    struct tally *tally;    /* of the selected lines */
};

/* usage_plan.c: which lines of which classes answer the query. False: `error` says why. */
NODISCARD bool usage_make_plan(sqlite3 *sql, const struct usage_query *q, struct usage_plan *ret,
                               struct buf *error);

#endif
