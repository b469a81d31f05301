/* Writing the ledger's database. */
#include "ledger_db.h"

#include <stdlib.h>

#include "base/mem.h"

#define BLOB_MAX   ((size_t)1 << 20)
#define PRUNE_STEP 1000
#define TEXT_OF(v) #v
#define TEXT(v)    TEXT_OF(v)

#define ADD_LINE(table)                                                                            \
    "INSERT INTO " table " (bucket, id, figures, dim) VALUES (?1, ?2, ?3, ?4)"                     \
    " ON CONFLICT DO UPDATE SET figures = usage_merge(figures, excluded.figures)"
#define ADD_USER(table)                                                                            \
    "INSERT INTO " table " (bucket, id, figures) VALUES (?1, ?2, ?3)"                              \
    " ON CONFLICT DO UPDATE SET figures = usage_add(figures, excluded.figures)"
#define ADD_CUBE(table)                                                                            \
    "INSERT INTO " table " (bucket, id, figures) VALUES (?1, ?2, ?3)"                              \
    " ON CONFLICT DO UPDATE SET figures = usage_merge(figures, excluded.figures)"

static const char *const texts[DB_STATEMENTS_N] = {
    [DB_ADD_NAME] = "INSERT OR REPLACE INTO name (kind, id, text) VALUES (?1, ?2, ?3)",
    [DB_ADD_COMBO] = "INSERT OR REPLACE INTO combo VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [DB_SET_PLACE] = "INSERT OR REPLACE INTO place (part, segment, offset) VALUES (?1, ?2, ?3)",
    [DB_SET_LANE] = "INSERT OR REPLACE INTO lane (lane, next) VALUES (?1, ?2)",
    [DB_SET_FLOOR] = "INSERT INTO floor (class, bucket) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET"
                     " bucket = max(bucket, excluded.bucket)",
    [DB_ADD_MINUTE] = ADD_LINE("use_minute"),
    [DB_ADD_HOUR] = ADD_LINE("use_hour"),
    [DB_ADD_DAY] = ADD_LINE("use_day"),
    [DB_ADD_MONTH] = ADD_LINE("use_month"),
    [DB_ADD_USER_HOUR] = ADD_USER("user_hour"),
    [DB_ADD_USER_DAY] = ADD_USER("user_day"),
    [DB_ADD_USER_MONTH] = ADD_USER("user_month"),
    [DB_ADD_CUBE_HOUR] = ADD_CUBE("cube_hour"),
    [DB_ADD_CUBE_DAY] = ADD_CUBE("cube_day"),
};

/* A cell or a user's cell, as a piece of the lines of one id. */
struct piece {
    int64_t id, bucket;
    const void *cell;
};
struct work {
    struct piece *piece;
    size_t size;
    struct tally tally[3]; /* of the line under way of each class */
};

static bool load_combos(struct ledger_db *db, struct buf *error)
{
    sqlite3_stmt *s = NULL;
    bool ok =
        sqlite3_prepare_v2(db->sql, "SELECT * FROM combo ORDER BY id", -1, &s, NULL) == SQLITE_OK;
    while (ok && sqlite3_step(s) == SQLITE_ROW) {
        struct db_combo c = {.spare = 0};
        for (int i = 0; i < NAME_KINDS_N; i++)
            c.name[i] = (uint32_t)sqlite3_column_int64(s, 1 + i);
        ok = rollup_map_find(&db->combos, &c, sizeof c, sizeof c) != NULL &&
             db->combos.n == (uint32_t)sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    db->combos_kept = db->combos.n;
    if (!ok)
        buf_lit(error, "the ledger's database: the table of combinations cannot be read");
    return ok;
}

bool db_open(struct ledger_db *db, const char *path, struct buf *error)
{
    int from;
    memset(db, 0, sizeof *db);
    buf_init(&db->blob, BLOB_MAX);
    buf_init(&db->again, BLOB_MAX);
    db->work = mem_calloc(1, sizeof(struct work));
    if (db->work == NULL) {
        buf_lit(error, "no memory for the ledger");
        return false;
    }
    if (!db_open_schema(path, db_steps, db_steps_n, &db->sql, &from, error))
        return false;
    if (!db_register(db->sql)) {
        buf_lit(error, "no memory for the ledger's database");
        return false;
    }
    for (unsigned i = 0; i < DB_STATEMENTS_N; i++) {
        if (sqlite3_prepare_v3(db->sql, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statement[i],
                               NULL) != SQLITE_OK) {
            buf_printf(error, "%s: %s", path, sqlite3_errmsg(db->sql));
            return false;
        }
    }
    return load_combos(db, error);
}

void db_close(struct ledger_db *db)
{
    struct work *w = db->work;
    for (unsigned i = 0; i < DB_STATEMENTS_N; i++)
        sqlite3_finalize(db->statement[i]);
    sqlite3_close(db->sql);
    rollup_map_done(&db->combos);
    buf_done(&db->blob);
    buf_done(&db->again);
    if (w != NULL)
        mem_free(w->piece);
    mem_free(w);
    memset(db, 0, sizeof *db);
}

bool db_note_zone(sqlite3 *sql, struct buf *error)
{
    const char *zone = getenv("TZ"); /* as policy/calendar.h sets it: "Europe/Berlin", "UTC0" */
    if (zone == NULL || zone[0] == '\0' || strcmp(zone, "UTC0") == 0)
        zone = "UTC";
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(sql, "INSERT OR REPLACE INTO meta VALUES ('timezone', ?1)", -1, &s,
                                 NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_bind_text(s, 1, zone, -1, SQLITE_TRANSIENT);
        ok = sqlite3_step(s) == SQLITE_DONE;
    }
    sqlite3_finalize(s);
    if (!ok)
        buf_printf(error, "the ledger's database: %s", sqlite3_errmsg(sql));
    return ok;
}

void db_zone(sqlite3 *sql, struct buf *out)
{
    sqlite3_stmt *s = NULL;
    const char *text = "SELECT value FROM meta WHERE key = 'timezone'";
    if (sqlite3_prepare_v2(sql, text, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        buf_append(out, sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0));
    else
        buf_lit(out, "UTC");
    sqlite3_finalize(s);
}

bool db_load_names(sqlite3 *sql, struct names *names, struct buf *error)
{
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(sql, "SELECT kind, id, text FROM name", -1, &s, NULL) == SQLITE_OK;
    while (ok && sqlite3_step(s) == SQLITE_ROW) {
        struct slice text =
            slice_of((const char *)sqlite3_column_text(s, 2), (size_t)sqlite3_column_bytes(s, 2));
        int64_t kind = sqlite3_column_int64(s, 0), id = sqlite3_column_int64(s, 1);
        ok = kind >= 0 && kind < NAME_KINDS_N && id > 0 && id <= NAMES_MAX &&
             names_put(names, (enum ledger_name_kind)kind, (uint32_t)id, text);
    }
    sqlite3_finalize(s);
    if (!ok)
        buf_lit(error, "the ledger's database: the table of names cannot be read");
    return ok;
}

bool db_load_places(sqlite3 *sql, struct place place[DB_PARTS_N], struct buf *error)
{
    sqlite3_stmt *s = NULL;
    const char *text = "SELECT part, segment, offset FROM place";
    if (sqlite3_prepare_v2(sql, text, -1, &s, NULL) != SQLITE_OK) {
        buf_printf(error, "the ledger's database: %s", sqlite3_errmsg(sql));
        return false;
    }
    memset(place, 0, DB_PARTS_N * sizeof *place);
    while (sqlite3_step(s) == SQLITE_ROW) {
        int64_t part = sqlite3_column_int64(s, 0);
        if (part >= 0 && part < DB_PARTS_N)
            place[part] = (struct place){.segment = (uint32_t)sqlite3_column_int64(s, 1),
                                         .offset = sqlite3_column_int64(s, 2)};
    }
    return sqlite3_finalize(s) == SQLITE_OK;
}

bool db_load_lanes(sqlite3 *sql, uint64_t next[LEDGER_LANES_MAX + 1], struct buf *error)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(sql, "SELECT lane, next FROM lane", -1, &s, NULL) != SQLITE_OK) {
        buf_printf(error, "the ledger's database: %s", sqlite3_errmsg(sql));
        return false;
    }
    memset(next, 0, (LEDGER_LANES_MAX + 1) * sizeof *next);
    while (sqlite3_step(s) == SQLITE_ROW) {
        int64_t lane = sqlite3_column_int64(s, 0);
        if (lane >= 0 && lane <= LEDGER_LANES_MAX)
            next[lane] = (uint64_t)sqlite3_column_int64(s, 1);
    }
    return sqlite3_finalize(s) == SQLITE_OK;
}

bool db_run(sqlite3_stmt *s)
{
    int done = sqlite3_step(s);
    sqlite3_reset(s);
    return done == SQLITE_DONE;
}

bool db_begin(struct ledger_db *db)
{
    return db_exec(db->sql, "BEGIN IMMEDIATE", NULL);
}

bool db_commit(struct ledger_db *db)
{
    if (!db_exec(db->sql, "COMMIT", NULL))
        return false;
    db->combos_kept = db->combos.n;
    return true;
}

void db_rollback(struct ledger_db *db)
{
    if (!sqlite3_get_autocommit(db->sql))
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
}

bool db_put_names(struct ledger_db *db, const struct names *names, enum ledger_name_kind kind,
                  uint32_t from, uint32_t to)
{
    sqlite3_stmt *s = db->statement[DB_ADD_NAME];
    for (uint32_t id = from + 1; id <= to; id++) {
        struct slice text = names_text(names, kind, id);
        if (text.n == 0)
            continue; /* a number that nobody got */
        sqlite3_bind_int64(s, 1, kind);
        sqlite3_bind_int64(s, 2, id);
        sqlite3_bind_text(s, 3, text.p, (int)text.n, SQLITE_STATIC);
        if (!db_run(s))
            return false;
    }
    return true;
}

bool db_put_place(struct ledger_db *db, enum db_part part, struct place place)
{
    sqlite3_stmt *s = db->statement[DB_SET_PLACE];
    sqlite3_bind_int64(s, 1, part);
    sqlite3_bind_int64(s, 2, place.segment);
    sqlite3_bind_int64(s, 3, place.offset);
    return db_run(s);
}

bool db_put_lane(struct ledger_db *db, uint32_t lane, uint64_t next)
{
    sqlite3_stmt *s = db->statement[DB_SET_LANE];
    sqlite3_bind_int64(s, 1, lane);
    sqlite3_bind_int64(s, 2, (int64_t)next);
    return db_run(s);
}

static int by_id_and_bucket(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static bool room_for(struct work *w, size_t n)
{
    if (n <= w->size)
        return true;
    struct piece *p = mem_realloc(w->piece, n * sizeof *p);
    if (p == NULL)
        return false;
    w->piece = p;
    w->size = n;
    return true;
}

static bool put_blob(struct ledger_db *db, enum db_statement which, int64_t dim, int64_t bucket,
                     int64_t id)
{
    sqlite3_stmt *s = db->statement[which];
    if (db->blob.failed)
        return false;
    sqlite3_bind_int64(s, 1, bucket);
    sqlite3_bind_int64(s, 2, id);
    sqlite3_bind_blob(s, 3, db->blob.p, (int)db->blob.n, SQLITE_STATIC);
    if (dim >= 0)
        sqlite3_bind_int64(s, 4, dim);
    return db_run(s);
}

static void tally_add_cell(struct tally *t, const struct cell *c)
{
    const struct code_count *mark = codes_of(&c->marks), *user = codes_of(&c->users);
    figures_add(&t->sums, &c->sums);
    for (uint32_t i = 0; i < c->marks.n; i++)
        t->mark[mark[i].code] += mark[i].count;
    for (uint32_t i = 0; i < c->users.n; i++) {
        uint8_t *rank = &t->rank[user[i].code >> SKETCH_RANK_BITS], other = user[i].code & 63;
        *rank = *rank > other ? *rank : other;
    }
    t->has_users = true;
}

static void tally_add_tally(struct tally *to, const struct tally *more)
{
    figures_add(&to->sums, &more->sums);
    for (unsigned i = 0; i < MARKS_N; i++)
        to->mark[i] += more->mark[i];
    for (unsigned i = 0; i < SKETCH_REGISTERS; i++)
        to->rank[i] = to->rank[i] > more->rank[i] ? to->rank[i] : more->rank[i];
    to->has_users = true;
}

/* What the lines of sorted pieces are written as, class by class. */
#define LEVELS_MAX 3
struct line_plan {
    unsigned levels;
    enum rollup_class class[LEVELS_MAX]; /* from the finest on */
    enum db_statement add[LEVELS_MAX];
    bool users[LEVELS_MAX]; /* with sketches */
    int64_t dim;            /* -1: the table has none */
};

/* A bucket of a class, kept: looking one up takes the C library's calendar. */
struct span {
    enum rollup_class class;
    int64_t from, to;
};

static void span_follow(struct span *span, int64_t s)
{
    if (s >= span->from && s < span->to)
        return;
    span->from = rollup_bucket(span->class, s);
    span->to = rollup_next(span->class, s);
}

/* Writes the line of a level, and adds it to that of the next one. */
static bool end_line(struct ledger_db *db, const struct line_plan *plan, unsigned level,
                     int64_t bucket, int64_t id)
{
    struct work *w = db->work;
    struct tally *t = &w->tally[level];
    buf_reset(&db->blob);
    tally_encode(&db->blob, t, plan->users[level]);
    if (level + 1 < plan->levels)
        tally_add_tally(&w->tally[level + 1], t);
    memset(t, 0, sizeof *t);
    return put_blob(db, plan->add[level], plan->dim, bucket, id);
}

/* Writes the lines of `n` pieces, in all classes of the plan. */
static bool put_lines(struct ledger_db *db, const struct line_plan *plan, size_t n)
{
    struct work *w = db->work;
    struct span span[LEVELS_MAX];
    for (unsigned k = 0; k < plan->levels; k++)
        span[k] = (struct span){.class = plan->class[k]};
    if (n > 0)
        qsort(w->piece, n, sizeof *w->piece, by_id_and_bucket);
    memset(w->tally, 0, sizeof w->tally);
    for (size_t i = 0; i < n; i++) {
        const struct piece *p = &w->piece[i], *after = p + 1;
        tally_add_cell(&w->tally[0], p->cell);
        for (unsigned k = 0; k < plan->levels; k++) {
            span_follow(&span[k], p->bucket);
            bool last = i + 1 == n || after->id != p->id || after->bucket >= span[k].to;
            if (last && !end_line(db, plan, k, span[k].from, p->id))
                return false;
        }
    }
    return true;
}

static bool put_dimensions(struct ledger_db *db, const struct rollup_map *m, struct line_plan plan)
{
    struct work *w = db->work;
    if (!room_for(w, m->n))
        return false;
    for (unsigned by = 0; by < USAGE_USER; by++) {
        for (uint32_t i = 0; i < m->n; i++) {
            const struct cell *c = &rollup_cells(m)[i];
            w->piece[i] = (struct piece){.id = db_dimension_id((enum usage_by)by, c->key.name),
                                         .bucket = c->key.bucket,
                                         .cell = c};
        }
        plan.dim = by;
        if (!put_lines(db, &plan, m->n))
            return false;
    }
    return true;
}

bool db_put_fast(struct ledger_db *db, const struct rollup *r)
{
    return put_dimensions(
        db, &r->staged,
        (struct line_plan){.levels = 1, .class = {ROLLUP_MINUTE}, .add = {DB_ADD_MINUTE}});
}

static bool put_combos(struct ledger_db *db)
{
    sqlite3_stmt *s = db->statement[DB_ADD_COMBO];
    const struct db_combo *combo = db->combos.entries;
    for (uint32_t i = db->combos_kept; i < db->combos.n; i++) {
        sqlite3_bind_int64(s, 1, i + 1);
        for (int k = 0; k < NAME_KINDS_N; k++)
            sqlite3_bind_int64(s, 2 + k, combo[i].name[k]);
        if (!db_run(s))
            return false;
    }
    return true;
}

static bool put_cube(struct ledger_db *db, const struct rollup_map *m)
{
    static const struct line_plan plan = {.levels = 2,
                                          .class = {ROLLUP_HOUR, ROLLUP_DAY},
                                          .add = {DB_ADD_CUBE_HOUR, DB_ADD_CUBE_DAY},
                                          .dim = -1};
    struct work *w = db->work;
    if (!room_for(w, m->n))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct cell *c = &rollup_cells(m)[i];
        struct db_combo key = {.spare = 0};
        memcpy(key.name, c->key.name, sizeof key.name);
        struct db_combo *combo = rollup_map_find(&db->combos, &key, sizeof key, sizeof key);
        if (combo == NULL)
            return false;
        w->piece[i] = (struct piece){.id = combo - (struct db_combo *)db->combos.entries + 1,
                                     .bucket = c->key.bucket,
                                     .cell = c};
    }
    return put_combos(db) && put_lines(db, &plan, m->n);
}

/* Sums of a user over hours become one line of each class. */
static bool end_user(struct ledger_db *db, struct figures *sums, const struct span *span,
                     int64_t id)
{
    static const enum db_statement add[ROLLUP_CLASSES_N] = {[ROLLUP_HOUR] = DB_ADD_USER_HOUR,
                                                            [ROLLUP_DAY] = DB_ADD_USER_DAY,
                                                            [ROLLUP_MONTH] = DB_ADD_USER_MONTH};
    buf_reset(&db->blob);
    figures_encode(&db->blob, sums);
    memset(sums, 0, sizeof *sums);
    return put_blob(db, add[span->class], -1, span->from, id);
}

static bool put_users(struct ledger_db *db, const struct rollup_map *m)
{
    struct work *w = db->work;
    struct figures sums[ROLLUP_CLASSES_N];
    struct span span[ROLLUP_CLASSES_N] = {
        [ROLLUP_HOUR] = {ROLLUP_HOUR, 0, 0},
        [ROLLUP_DAY] = {ROLLUP_DAY, 0, 0},
        [ROLLUP_MONTH] = {ROLLUP_MONTH, 0, 0},
    };
    memset(sums, 0, sizeof sums);
    if (!room_for(w, m->n))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct user_cell *u = &rollup_users(m)[i];
        w->piece[i] =
            (struct piece){.id = (int64_t)u->key.user, .bucket = u->key.bucket, .cell = u};
    }
    if (m->n > 0)
        qsort(w->piece, m->n, sizeof *w->piece, by_id_and_bucket);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct piece *p = &w->piece[i], *after = p + 1;
        const struct user_cell *u = p->cell;
        for (unsigned c = ROLLUP_HOUR; c <= ROLLUP_MONTH; c++) {
            span_follow(&span[c], p->bucket);
            figures_add(&sums[c], &u->sums);
            bool last = i + 1 == m->n || after->id != p->id || after->bucket >= span[c].to;
            if (last && !end_user(db, &sums[c], &span[c], p->id))
                return false;
        }
    }
    return true;
}

bool db_put_slow(struct ledger_db *db, const struct rollup *r)
{
    static const struct line_plan plan = {.levels = 3,
                                          .class = {ROLLUP_HOUR, ROLLUP_DAY, ROLLUP_MONTH},
                                          .add = {DB_ADD_HOUR, DB_ADD_DAY, DB_ADD_MONTH},
                                          .users = {false, true, true}};
    return put_dimensions(db, &r->held, plan) && put_cube(db, &r->held) &&
           put_users(db, &r->held_users);
}

/* Tables of each class that retention empties, with the columns of their keys. */
static const struct {
    enum rollup_class class;
    const char *text;
} prunes[] = {
#define PRUNE(class, table, columns)                                                               \
    {                                                                                              \
        class, "DELETE FROM " table " WHERE (" columns ") IN (SELECT " columns " FROM " table      \
               " WHERE bucket < ?1 LIMIT " TEXT(PRUNE_STEP) ")"                                    \
    }
#define PRUNE_LINES(class, table)                                                                  \
    {                                                                                              \
        class,                                                                                     \
            "DELETE FROM " table " WHERE (dim, bucket, id) IN (SELECT dim, bucket, id FROM " table \
            " WHERE dim IN (0, 1, 2, 3, 4, 5, 6, 7) AND bucket < ?1 LIMIT " TEXT(PRUNE_STEP) ")"   \
    }
    PRUNE_LINES(ROLLUP_MINUTE, "use_minute"),
    PRUNE_LINES(ROLLUP_HOUR, "use_hour"),
    PRUNE_LINES(ROLLUP_DAY, "use_day"),
    PRUNE_LINES(ROLLUP_MONTH, "use_month"),
    PRUNE(ROLLUP_HOUR, "user_hour", "bucket, id"),
    PRUNE(ROLLUP_DAY, "user_day", "bucket, id"),
    PRUNE(ROLLUP_MONTH, "user_month", "bucket, id"),
    PRUNE(ROLLUP_HOUR, "cube_hour", "bucket, id"),
    PRUNE(ROLLUP_DAY, "cube_day", "bucket, id"),
};

static bool prune_table(struct ledger_db *db, const char *text, int64_t before, bool *ret_more)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_int64(s, 1, before);
    bool ok = sqlite3_step(s) == SQLITE_DONE;
    *ret_more = *ret_more || sqlite3_changes(db->sql) >= PRUNE_STEP;
    sqlite3_finalize(s);
    return ok;
}

bool db_prune(struct ledger_db *db, enum rollup_class class, int64_t before, bool *ret_more)
{
    sqlite3_stmt *floor = db->statement[DB_SET_FLOOR];
    sqlite3_bind_int64(floor, 1, class);
    sqlite3_bind_int64(floor, 2, before);
    *ret_more = false;
    if (!db_run(floor))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(prunes); i++) {
        if (prunes[i].class == class && !prune_table(db, prunes[i].text, before, ret_more))
            return false;
    }
    return true;
}
