/* `weir ledger verify`: CRCs, sequences, and rollups against the rows that are still there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ledger_db.h"
#include "policy/calendar.h"
#include "store/ledger_files.h"

#define MERGE_AT 100000u
#define DAY_S    86400

struct verify {
    struct ledger_verdict *v;
    int dir;
    sqlite3 *sql;          /* the ledger's, in one read transaction */
    struct ledger_db sums; /* the same rollups, made from the rows, in memory */
    struct rollup rollup;
    struct place place[DB_PARTS_N];
    bool slow_done; /* the rows behind count for the fast part alone */
    bool seen[LEDGER_LANES_MAX + 1];
    uint64_t next[LEDGER_LANES_MAX + 1];
    bool failed;
};

/* Merges what is in the rollup; the slow part, too, unless it is past its place. */
static bool merge(struct verify *y)
{
    bool ok = rollup_stage(&y->rollup) && db_begin(&y->sums) && db_put_fast(&y->sums, &y->rollup) &&
              (y->slow_done || db_put_slow(&y->sums, &y->rollup)) && db_commit(&y->sums);
    rollup_clear_staged(&y->rollup);
    rollup_clear_held(&y->rollup);
    return ok;
}

static bool take_row(struct verify *y, const struct ledger_row *row, struct place at)
{
    y->v->rows++;
    if (y->seen[row->lane] && row->sequence < y->next[row->lane]) {
        y->v->repeated++;
        return true;
    }
    if (y->seen[row->lane])
        y->v->missing += (int64_t)(row->sequence - y->next[row->lane]);
    y->seen[row->lane] = true;
    y->next[row->lane] = row->sequence + 1;
    if (place_cmp(at, y->place[DB_FAST]) >= 0)
        return true; /* not merged yet */
    if (!y->slow_done && place_cmp(at, y->place[DB_SLOW]) >= 0) {
        if (!merge(y))
            return false;
        y->slow_done = true;
    }
    return rollup_add(&y->rollup, row, false) &&
           (rollup_pending(&y->rollup) < MERGE_AT || merge(y));
}

static bool on_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    struct verify *y = ctx;
    y->v->damaged += kind == RECORD_BAD;
    y->v->names += kind == RECORD_NAME;
    y->failed = kind == RECORD_ROW && !take_row(y, &r->row, at);
    return !y->failed;
}

static int64_t number_of(sqlite3 *sql, const char *text, int64_t otherwise)
{
    sqlite3_stmt *s = NULL;
    int64_t v = otherwise;
    if (sqlite3_prepare_v2(sql, text, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return v;
}

#define LINES(table)                                                                               \
    "SELECT dim, bucket, id, 0, 0, 0, 0, 0, figures FROM " table                                   \
    " WHERE bucket >= ?1 ORDER BY dim, bucket, id"
#define USERS(table)                                                                               \
    "SELECT 0, bucket, id, 0, 0, 0, 0, 0, figures FROM " table                                     \
    " WHERE bucket >= ?1 ORDER BY bucket, id"
#define CUBE(table)                                                                                \
    "SELECT bucket, k.model, k.provider, k.target, k.key, k.team, k.organisation,"                 \
    " k.use_case, figures FROM " table " JOIN combo AS k USING (id)"                               \
    " WHERE bucket >= ?1 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
#define KEY_COLUMNS 8

static const struct {
    enum rollup_class class;
    const char *text;
} tables[] = {
    {ROLLUP_MINUTE, LINES("use_minute")}, {ROLLUP_HOUR, LINES("use_hour")},
    {ROLLUP_DAY, LINES("use_day")},       {ROLLUP_MONTH, LINES("use_month")},
    {ROLLUP_HOUR, USERS("user_hour")},    {ROLLUP_DAY, USERS("user_day")},
    {ROLLUP_MONTH, USERS("user_month")},  {ROLLUP_HOUR, CUBE("cube_hour")},
    {ROLLUP_DAY, CUBE("cube_day")},
};

/* The order of the lines that two statements stand at. */
static int compare_keys(sqlite3_stmt *a, sqlite3_stmt *b)
{
    for (int i = 0; i < KEY_COLUMNS; i++) {
        int64_t x = sqlite3_column_int64(a, i), y = sqlite3_column_int64(b, i);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

static bool same_figures(sqlite3_stmt *a, sqlite3_stmt *b)
{
    int n = sqlite3_column_bytes(a, KEY_COLUMNS);
    return n == sqlite3_column_bytes(b, KEY_COLUMNS) &&
           (n == 0 || memcmp(sqlite3_column_blob(a, KEY_COLUMNS),
                             sqlite3_column_blob(b, KEY_COLUMNS), (size_t)n) == 0);
}

/* Compares the lines of two statements, both in the order of their keys. */
static void compare_lines(struct verify *y, sqlite3_stmt *a, sqlite3_stmt *b)
{
    bool more_a = sqlite3_step(a) == SQLITE_ROW, more_b = sqlite3_step(b) == SQLITE_ROW;
    while (more_a || more_b) {
        int order = !more_a ? 1 : !more_b ? -1 : compare_keys(a, b);
        y->v->lines++;
        y->v->differing += order != 0 || !same_figures(a, b);
        if (order <= 0)
            more_a = sqlite3_step(a) == SQLITE_ROW;
        if (order >= 0)
            more_b = sqlite3_step(b) == SQLITE_ROW;
    }
}

static bool compare_tables(struct verify *y, int64_t complete, struct buf *error)
{
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        char text[80];
        sqlite3_stmt *a = NULL, *b = NULL;
        snprintf(text, sizeof text, "SELECT bucket FROM floor WHERE class = %d",
                 (int)tables[i].class);
        int64_t from = MAX_OF(complete, number_of(y->sql, text, 0));
        bool ok = sqlite3_prepare_v2(y->sql, tables[i].text, -1, &a, NULL) == SQLITE_OK &&
                  sqlite3_prepare_v2(y->sums.sql, tables[i].text, -1, &b, NULL) == SQLITE_OK;
        if (ok) {
            sqlite3_bind_int64(a, 1, from);
            sqlite3_bind_int64(b, 1, from);
            compare_lines(y, a, b);
        }
        ok = sqlite3_finalize(a) == SQLITE_OK && sqlite3_finalize(b) == SQLITE_OK && ok;
        if (!ok) {
            buf_printf(error, "the rollups cannot be read: %s", sqlite3_errmsg(y->sql));
            return false;
        }
    }
    return true;
}

/* Reads all segments; `*ret_complete`: buckets from this second on have all of their rows there. */
static bool read_rows(struct verify *y, int64_t *ret_complete, struct buf *error)
{
    uint32_t *list;
    size_t n;
    struct place good;
    bool ok = segment_list(y->dir, &list, &n);
    for (size_t i = 0; i < n && ok; i++)
        ok = segment_read(y->dir, (struct place){.segment = list[i]}, -1, on_record, y, &good);
    if (!ok)
        buf_printf(error, "the segments cannot be read: %s",
                   y->failed || errno == 0 ? "no memory" : strerror(errno));
    y->v->segments = ok ? (int64_t)n : 0;
    *ret_complete = 0;
    if (ok && n > 0 && list[0] != 1) { /* older ones are gone, and rows may be a day late */
        int64_t late = segment_created(y->dir, list[0]) / NS_PER_S + DAY_S;
        *ret_complete = rollup_next(ROLLUP_MONTH, late);
    }
    mem_free(ok ? list : NULL);
    return ok && merge(y);
}

static bool open_all(struct verify *y, const char *folder, struct buf *error)
{
    char path[4096];
    struct buf zone;
    buf_init(&zone, 256);
    snprintf(path, sizeof path, "%s/" DB_FILE, folder);
    y->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = y->dir >= 0 &&
              sqlite3_open_v2(path, &y->sql, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
              sqlite3_exec(y->sql, "PRAGMA query_only = 1; BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
              number_of(y->sql, "PRAGMA user_version", -1) == DB_VERSION;
    if (!ok) {
        buf_printf(error, "there is no ledger of this version in %s", folder);
        return false;
    }
    db_zone(y->sql, &zone);
    ok = calendar_set_zone(buf_view(&zone));
    if (!ok)
        buf_printf(error, "there is no timezone " SLICE_FMT " here", SLICE_ARG(buf_view(&zone)));
    buf_done(&zone);
    return ok && db_load_places(y->sql, y->place, error) && db_open(&y->sums, ":memory:", error);
}

bool ledger_verify(const char *folder, struct ledger_verdict *ret, struct buf *error)
{
    struct verify *y = mem_calloc(1, sizeof *y);
    int64_t complete;
    memset(ret, 0, sizeof *ret);
    if (y == NULL) {
        buf_lit(error, "no memory");
        return false;
    }
    y->v = ret;
    y->dir = -1;
    rollup_init(&y->rollup);
    bool ok = open_all(y, folder, error) && read_rows(y, &complete, error) &&
              compare_tables(y, complete, error);
    db_close(&y->sums);
    sqlite3_close(y->sql);
    rollup_done(&y->rollup);
    if (y->dir >= 0)
        close(y->dir);
    mem_free(y);
    return ok;
}
