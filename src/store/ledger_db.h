/* The ledger's database: rollups, names, places. One connection that writes, the store thread's. */
#ifndef STORE_LEDGER_DB_H
#define STORE_LEDGER_DB_H

#include <sqlite3.h>

#include "base/buf.h"
#include "ledger_names.h"
#include "ledger_rollup.h"
#include "ledger_segment.h"
#include "store/usage.h"

#define DB_FILE    "usage.db"
#define DB_VERSION 1

/* A step of the schema: what brings it from the version before to `version`. */
struct db_step {
    int version;
    const char *sql;
};
extern const struct db_step db_steps[];
extern const size_t db_steps_n;

enum db_part { DB_FAST, DB_SLOW, DB_PARTS_N };

enum db_statement {
    DB_ADD_NAME,
    DB_ADD_COMBO,
    DB_SET_PLACE,
    DB_SET_LANE,
    DB_SET_FLOOR,
    DB_ADD_MINUTE, /* these four in the order of enum rollup_class */
    DB_ADD_HOUR,
    DB_ADD_DAY,
    DB_ADD_MONTH,
    DB_ADD_USER_HOUR, /* classes from the hour on */
    DB_ADD_USER_DAY,
    DB_ADD_USER_MONTH,
    DB_ADD_CUBE_HOUR,
    DB_ADD_CUBE_DAY,
    DB_STATEMENTS_N
};

struct ledger_db {
    sqlite3 *sql;
    sqlite3_stmt *statement[DB_STATEMENTS_N];
    struct rollup_map combos; /* of struct db_combo */
    uint32_t combos_kept;     /* of them are in the database */
    struct buf blob, again;   /* encoded forms */
    void *work;               /* tallies while parts are written */
};

/* A combination of names that rows had; its number is its index + 1. */
struct db_combo {
    uint32_t name[NAME_KINDS_N];
    uint32_t spare;
};

/* Opens `path` (made when it is not there) and brings its schema up to `steps`; an older one is
 * copied to `<path>.v<version>` first. `*ret_from`: the version found, 0 when it was new. False:
 * the reason is in `error`. */
NODISCARD bool db_open_schema(const char *path, const struct db_step *steps, size_t n,
                              sqlite3 **ret, int *ret_from, struct buf *error);
NODISCARD bool db_open(struct ledger_db *db, const char *path, struct buf *error);
void db_close(struct ledger_db *db);
/* The functions that the statements need; also of readers. */
NODISCARD bool db_register(sqlite3 *sql);
NODISCARD bool db_exec(sqlite3 *sql, const char *text, struct buf *error);

/* The timezone of the buckets: the one that the process counts in is noted; and what was noted,
 * into `out` ("UTC" when nothing was). */
NODISCARD bool db_note_zone(sqlite3 *sql, struct buf *error);
void db_zone(sqlite3 *sql, struct buf *out);

NODISCARD bool db_load_names(sqlite3 *sql, struct names *names, struct buf *error);
NODISCARD bool db_load_places(sqlite3 *sql, struct place place[DB_PARTS_N], struct buf *error);
NODISCARD bool db_load_lanes(sqlite3 *sql, uint64_t next[LEDGER_LANES_MAX + 1], struct buf *error);

/* One merge: all of it between db_begin and db_commit, or db_rollback. */
NODISCARD bool db_begin(struct ledger_db *db);
NODISCARD bool db_commit(struct ledger_db *db);
void db_rollback(struct ledger_db *db);
/* Names of numbers from + 1 to to. */
NODISCARD bool db_put_names(struct ledger_db *db, const struct names *names,
                            enum ledger_name_kind kind, uint32_t from, uint32_t to);
NODISCARD bool db_put_place(struct ledger_db *db, enum db_part part, struct place place);
NODISCARD bool db_put_lane(struct ledger_db *db, uint32_t lane, uint64_t next);
/* What the staged cells add to the fast part, and the held ones to the slow part. */
NODISCARD bool db_put_fast(struct ledger_db *db, const struct rollup *r);
NODISCARD bool db_put_slow(struct ledger_db *db, const struct rollup *r);

/* Runs a statement of `db` with what is bound to it; false: it failed. */
NODISCARD bool db_run(sqlite3_stmt *s);

/* Deletes lines of `class` before the second `before`, a bounded number of them; `*ret_more`: there
 * are more. The floor (the oldest second that is complete) is written first. */
NODISCARD bool db_prune(struct ledger_db *db, enum rollup_class class, int64_t before,
                        bool *ret_more);

/* The id of a dimension's line for these names; of a target it is provider << 32 | target. */
static inline int64_t db_dimension_id(enum usage_by by, const uint32_t name[NAME_KINDS_N])
{
    static const enum ledger_name_kind kind[USAGE_BY_N] = {
        [USAGE_MODEL] = NAME_MODEL,      [USAGE_PROVIDER] = NAME_PROVIDER,
        [USAGE_TARGET] = NAME_TARGET,    [USAGE_KEY] = NAME_KEY,
        [USAGE_TEAM] = NAME_TEAM,        [USAGE_ORGANISATION] = NAME_ORGANISATION,
        [USAGE_USE_CASE] = NAME_USE_CASE};
    if (by == USAGE_TOTAL)
        return 0;
    int64_t provider = by == USAGE_TARGET ? (int64_t)name[NAME_PROVIDER] << 32 : 0;
    return provider | name[kind[by]];
}

#endif
