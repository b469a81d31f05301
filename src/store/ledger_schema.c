/* The schema of the ledger's database, and how an older one becomes today's. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "ledger_db.h"

#define BUSY_MS 1000

/* Lines of rollups: `figures` is the form that ledger_tally.h describes; buckets are seconds of
 * Unix time. `dim` is enum usage_by; a target's id is provider << 32 | target. */
static const char version_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE name (kind INTEGER, id INTEGER, text TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;"
    "CREATE INDEX name_text ON name (kind, text);"
    "CREATE TABLE place (part INTEGER PRIMARY KEY, segment INTEGER, offset INTEGER);"
    "CREATE TABLE lane (lane INTEGER PRIMARY KEY, next INTEGER);"
    "CREATE TABLE floor (class INTEGER PRIMARY KEY, bucket INTEGER);"
    "CREATE TABLE combo (id INTEGER PRIMARY KEY, model INTEGER, provider INTEGER, target INTEGER,"
    " key INTEGER, team INTEGER, organisation INTEGER, use_case INTEGER);"
    "CREATE TABLE use_minute (dim INTEGER, bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (dim, bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE use_hour (dim INTEGER, bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (dim, bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE use_day (dim INTEGER, bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (dim, bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE use_month (dim INTEGER, bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (dim, bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE user_hour (bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE user_day (bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE user_month (bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE cube_hour (bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (bucket, id)) WITHOUT ROWID;"
    "CREATE TABLE cube_day (bucket INTEGER, id INTEGER, figures BLOB,"
    " PRIMARY KEY (bucket, id)) WITHOUT ROWID;";

const struct db_step db_steps[] = {{DB_VERSION, version_1}};
const size_t db_steps_n = ARRAY_LEN(db_steps);

bool db_exec(sqlite3 *sql, const char *text, struct buf *error)
{
    if (sqlite3_exec(sql, text, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    if (error != NULL)
        buf_printf(error, "the ledger's database: %s", sqlite3_errmsg(sql));
    return false;
}

/* What merges two lines. */
struct merge_work {
    struct tally sum;
    struct buf out;
};

static void free_work(void *p)
{
    struct merge_work *w = p;
    buf_done(&w->out);
    mem_free(w);
}

static struct slice blob_of(sqlite3_value *v)
{
    const void *p = sqlite3_value_blob(v);
    return slice_of(p, (size_t)sqlite3_value_bytes(v));
}

static void give(sqlite3_context *ctx, struct merge_work *w, bool ok)
{
    if (!ok || w->out.failed)
        sqlite3_result_error(ctx, "a line of the rollups is damaged", -1);
    else
        sqlite3_result_blob(ctx, w->out.p, (int)w->out.n, SQLITE_TRANSIENT);
}

static void merge_lines(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    struct merge_work *w = sqlite3_user_data(ctx);
    memset(&w->sum, 0, sizeof w->sum);
    buf_reset(&w->out);
    bool ok = tally_decode_add(blob_of(v[0]), &w->sum) && tally_decode_add(blob_of(v[1]), &w->sum);
    if (ok)
        tally_encode(&w->out, &w->sum, true);
    give(ctx, w, ok);
}

static void merge_sums(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    struct merge_work *w = sqlite3_user_data(ctx);
    struct figures sum = {.n = {0}};
    buf_reset(&w->out);
    bool ok = figures_decode_add(blob_of(v[0]), &sum) && figures_decode_add(blob_of(v[1]), &sum);
    if (ok)
        figures_encode(&w->out, &sum);
    give(ctx, w, ok);
}

static bool register_one(sqlite3 *sql, const char *name,
                         void (*fn)(sqlite3_context *, int, sqlite3_value **))
{
    struct merge_work *w = mem_calloc(1, sizeof *w);
    if (w == NULL)
        return false;
    buf_init(&w->out, (size_t)1 << 20);
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
    return sqlite3_create_function_v2(sql, name, 2, flags, w, fn, NULL, NULL, free_work) ==
           SQLITE_OK; /* it calls free_work itself when it fails */
}

bool db_register(sqlite3 *sql)
{
    return register_one(sql, "usage_merge", merge_lines) &&
           register_one(sql, "usage_add", merge_sums);
}

static int version_of(sqlite3 *sql)
{
    sqlite3_stmt *s = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(sql, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return version;
}

/* A copy beside the database, from before its schema changes. */
static bool keep_copy(sqlite3 *sql, const char *path, int version, struct buf *error)
{
    char copy[4096], *text;
    int n = snprintf(copy, sizeof copy, "%s.v%d", path, version);
    if (n < 0 || (size_t)n >= sizeof copy) {
        buf_lit(error, "the path of the ledger's database is too long");
        return false;
    }
    if (unlink(copy) != 0 && errno != ENOENT) {
        buf_printf(error, "%s cannot be replaced: %s", copy, strerror(errno));
        return false;
    }
    text = sqlite3_mprintf("VACUUM INTO %Q", copy);
    bool ok = text != NULL && db_exec(sql, text, error);
    sqlite3_free(text);
    return ok;
}

static bool apply(sqlite3 *sql, const struct db_step *steps, size_t n, int from, struct buf *error)
{
    char set[64];
    if (!db_exec(sql, "BEGIN IMMEDIATE", error))
        return false;
    for (size_t i = 0; i < n; i++) {
        snprintf(set, sizeof set, "PRAGMA user_version = %d", steps[i].version);
        if (steps[i].version > from &&
            (!db_exec(sql, steps[i].sql, error) || !db_exec(sql, set, error))) {
            sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL);
            return false;
        }
    }
    return db_exec(sql, "COMMIT", error);
}

static bool bring_up(sqlite3 *sql, const char *path, const struct db_step *steps, size_t n,
                     int *ret_from, struct buf *error)
{
    int newest = steps[n - 1].version, from = version_of(sql);
    if (from < 0) {
        buf_printf(error, "%s: %s", path, sqlite3_errmsg(sql));
        return false;
    }
    *ret_from = from;
    if (from > newest) {
        buf_printf(error,
                   "%s has version %d of its schema, and this Weir knows up to %d: it was "
                   "written by a newer one",
                   path, from, newest);
        return false;
    }
    if (from == newest)
        return true;
    return (from == 0 || keep_copy(sql, path, from, error)) && apply(sql, steps, n, from, error);
}

bool db_open_schema(const char *path, const struct db_step *steps, size_t n, sqlite3 **ret,
                    int *ret_from, struct buf *error)
{
    sqlite3 *sql = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &sql, flags, NULL) != SQLITE_OK) {
        buf_printf(error, "%s cannot be opened: %s", path,
                   sql != NULL ? sqlite3_errmsg(sql) : "no memory");
        sqlite3_close(sql);
        return false;
    }
    sqlite3_busy_timeout(sql, BUSY_MS);
    if (!db_exec(sql,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                 "PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY",
                 error) ||
        !bring_up(sql, path, steps, n, ret_from, error)) {
        sqlite3_close(sql);
        return false;
    }
    *ret = sql;
    return true;
}
