/* Alerts that have been given: one table, written a few times a day. */
#include "store/alert_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/mem.h"

#define ALERTS_VERSION 1
#define BUSY_MS        1000

struct alert_log {
    sqlite3 *db;
};

static const char schema[] = "BEGIN IMMEDIATE;"
                             "CREATE TABLE alerts("
                             " id INTEGER PRIMARY KEY,"
                             " kind TEXT NOT NULL,"
                             " name TEXT NOT NULL,"
                             " budget TEXT NOT NULL,"
                             " period_ns INTEGER NOT NULL,"
                             " percent INTEGER NOT NULL,"
                             " at_ns INTEGER NOT NULL,"
                             " message TEXT," /* NULL once it has been sent */
                             " UNIQUE(kind, name, budget, period_ns, percent)"
                             ") STRICT;"
                             "CREATE INDEX alerts_unsent ON alerts(id) WHERE message IS NOT NULL;"
                             "PRAGMA user_version = 1;"
                             "COMMIT;";

static bool fail(struct alert_log *l, struct buf *error)
{
    buf_printf(error, "the log of alerts: %s", sqlite3_errmsg(l->db));
    return false;
}

/* -1: it cannot be read. */
static int64_t version_of(struct alert_log *l)
{
    sqlite3_stmt *st = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(l->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static bool ready_schema(struct alert_log *l, struct buf *error)
{
    if (sqlite3_exec(l->db,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     "PRAGMA trusted_schema = OFF;",
                     NULL, NULL, NULL) != SQLITE_OK)
        return fail(l, error);
    int64_t version = version_of(l);
    if (version == ALERTS_VERSION)
        return true;
    if (version > 0) {
        buf_printf(error, "the log of alerts has version %lld, which this Weir does not know",
                   (long long)version);
        return false;
    }
    return (version == 0 && sqlite3_exec(l->db, schema, NULL, NULL, NULL) == SQLITE_OK) ||
           fail(l, error);
}

struct alert_log *alert_log_open(const char *path, struct buf *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite keeps the mode */
    if (fd < 0) {
        buf_printf(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    close(fd);
    struct alert_log *l = mem_calloc(1, sizeof *l);
    if (l == NULL) {
        buf_lit(error, "out of memory");
        return NULL;
    }
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    bool ok = sqlite3_open_v2(path, &l->db, flags, NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_busy_timeout(l->db, BUSY_MS);
        ok = ready_schema(l, error);
    } else {
        buf_printf(error, "%s: %s", path, l->db != NULL ? sqlite3_errmsg(l->db) : "out of memory");
    }
    if (ok)
        return l;
    alert_log_close(l);
    return NULL;
}

void alert_log_close(struct alert_log *l)
{
    if (l == NULL)
        return;
    sqlite3_close(l->db);
    mem_free(l);
}

static bool bind_text(sqlite3_stmt *st, int at, struct slice s)
{
    return sqlite3_bind_text64(st, at, s.p != NULL ? s.p : "", s.n, SQLITE_TRANSIENT,
                               SQLITE_UTF8) == SQLITE_OK;
}

static bool bind_text_z(sqlite3_stmt *st, int at, const char *s)
{
    return bind_text(st, at, slice_str(s));
}

static struct slice column_text(sqlite3_stmt *st, int at, struct arena *a)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    return arena_copy(a, slice_of(p != NULL ? p : "", (size_t)sqlite3_column_bytes(st, at)));
}

/* Prepares a statement whose first four parameters are scope, budget and period. */
static sqlite3_stmt *prepare_of(struct alert_log *l, const char *sql, const struct alert_mark *m)
{
    sqlite3_stmt *st = NULL;
    const char *budget = limit_kind_name((enum limit_kind)(LIMIT_BUDGET_HOUR + m->budget));
    if (sqlite3_prepare_v2(l->db, sql, -1, &st, NULL) == SQLITE_OK &&
        bind_text_z(st, 1, scope_kind_name(m->kind)) && bind_text(st, 2, m->name) &&
        bind_text_z(st, 3, budget) && sqlite3_bind_int64(st, 4, m->period_ns) == SQLITE_OK)
        return st;
    sqlite3_finalize(st);
    return NULL;
}

enum alert_result alert_log_add(struct alert_log *l, struct alert_mark *m, struct buf *error)
{
    sqlite3_stmt *st = prepare_of(l,
                                  "INSERT INTO alerts(kind, name, budget, period_ns, percent, "
                                  "at_ns, message) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) "
                                  "ON CONFLICT DO NOTHING",
                                  m);
    bool ok = st != NULL && sqlite3_bind_int64(st, 5, m->percent) == SQLITE_OK &&
              sqlite3_bind_int64(st, 6, m->at_ns) == SQLITE_OK &&
              (m->message.n == 0 || bind_text(st, 7, m->message)) &&
              sqlite3_step(st) == SQLITE_DONE;
    enum alert_result result = !ok                           ? ALERT_FAILED
                               : sqlite3_changes(l->db) == 1 ? ALERT_NEW
                                                             : ALERT_KNOWN;
    if (!ok)
        fail(l, error);
    if (result == ALERT_NEW)
        m->id = sqlite3_last_insert_rowid(l->db);
    sqlite3_finalize(st);
    return result;
}

/* A statement with one number and no answer. */
static bool run_with(struct alert_log *l, const char *sql, int64_t v, struct buf *error)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(l->db, sql, -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_int64(st, 1, v) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        fail(l, error);
    sqlite3_finalize(st);
    return ok;
}

bool alert_log_sent(struct alert_log *l, int64_t id, struct buf *error)
{
    return run_with(l, "UPDATE alerts SET message = NULL WHERE id = ?1", id, error);
}

bool alert_log_prune(struct alert_log *l, int64_t before_ns, struct buf *error)
{
    return run_with(l, "DELETE FROM alerts WHERE at_ns < ?1 AND message IS NULL", before_ns, error);
}

/* The value of a name of the table, or `n`. */
static unsigned kind_of(struct slice name)
{
    unsigned k = 0;
    while (k < SCOPE_KINDS_N && !slice_is(name, scope_kind_name((enum scope_kind)k)))
        k++;
    return k;
}

static unsigned budget_of(struct slice name)
{
    unsigned b = 0;
    while (b < LIMIT_BUDGETS_N &&
           !slice_is(name, limit_kind_name((enum limit_kind)(LIMIT_BUDGET_HOUR + b))))
        b++;
    return b;
}

/* False: no memory, or not a row of ours. */
static bool read_mark(sqlite3_stmt *st, struct arena *a, struct alert_mark *ret)
{
    unsigned kind = kind_of(column_text(st, 1, a)), budget = budget_of(column_text(st, 3, a));
    *ret = (struct alert_mark){.kind = (enum scope_kind)kind,
                               .name = column_text(st, 2, a),
                               .budget = budget,
                               .period_ns = sqlite3_column_int64(st, 4),
                               .percent = sqlite3_column_int64(st, 5),
                               .at_ns = sqlite3_column_int64(st, 6),
                               .message = column_text(st, 7, a),
                               .id = sqlite3_column_int64(st, 0)};
    return kind < SCOPE_KINDS_N && budget < LIMIT_BUDGETS_N && ret->name.p != NULL &&
           ret->message.p != NULL;
}

bool alert_log_unsent(struct alert_log *l, int64_t after, unsigned limit, struct arena *a,
                      struct alert_mark **ret, size_t *ret_n, struct buf *error)
{
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    int step = SQLITE_ERROR;
    struct alert_mark *list = arena_alloc(a, limit * sizeof *list);
    if (list == NULL) {
        buf_lit(error, "out of memory");
        return false;
    }
    if (sqlite3_prepare_v2(l->db,
                           "SELECT id, kind, name, budget, period_ns, percent, at_ns, message "
                           "FROM alerts WHERE message IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2",
                           -1, &st, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(st, 1, after) == SQLITE_OK &&
        sqlite3_bind_int64(st, 2, limit) == SQLITE_OK) {
        while ((step = sqlite3_step(st)) == SQLITE_ROW)
            n += read_mark(st, a, &list[n]);
    }
    if (step != SQLITE_DONE)
        fail(l, error);
    sqlite3_finalize(st);
    *ret = list;
    *ret_n = n;
    return step == SQLITE_DONE;
}

bool alert_log_given(struct alert_log *l, const struct alert_mark *of, alert_log_fn *fn, void *ctx,
                     struct buf *error)
{
    sqlite3_stmt *st = prepare_of(l,
                                  "SELECT percent, at_ns FROM alerts WHERE kind = ?1 AND name = ?2 "
                                  "AND budget = ?3 AND period_ns = ?4 ORDER BY percent",
                                  of);
    int step = SQLITE_ERROR;
    while (st != NULL && (step = sqlite3_step(st)) == SQLITE_ROW)
        fn(ctx, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1));
    if (step != SQLITE_DONE)
        fail(l, error);
    sqlite3_finalize(st);
    return step == SQLITE_DONE;
}
