/* Issued keys, in SQLite: one table. Write-ahead log and synchronous=FULL, so that a change that
 * was answered survives a power loss (sqlite.org/pragma.html#pragma_synchronous). */
#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/mem.h"

#define KEYS_VERSION     1
#define KEYS_APPLICATION 0x57656972 /* "Weir": what file(1) and we know the database by */
#define BUSY_MS          5000

struct key_store {
    sqlite3 *db;
};

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE keys("
    " name TEXT PRIMARY KEY CHECK(length(name) > 0),"
    " digest BLOB NOT NULL UNIQUE CHECK(length(digest) = 32),"
    " old_digest BLOB UNIQUE CHECK(old_digest IS NULL OR length(old_digest) = 32),"
    " old_until_ns INTEGER NOT NULL,"
    " hint TEXT NOT NULL,"
    " rights TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " expires_ns INTEGER NOT NULL,"
    " changed_ns INTEGER NOT NULL,"
    " disabled INTEGER NOT NULL CHECK(disabled IN (0, 1)),"
    " note TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1466263922;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

#define COLUMNS                                                                                    \
    "name, digest, old_digest, old_until_ns, hint, rights, created_ns, expires_ns, changed_ns, "   \
    "disabled, note"

/* A digest belongs to one key, be it as its present or its old one. */
#define NOT_TAKEN                                                                                  \
    "NOT EXISTS (SELECT 1 FROM keys WHERE name <> ?1 AND"                                          \
    " (digest IN (?2, ?3) OR old_digest IN (?2, ?3)))"

static enum key_result fail(struct key_store *s, struct buf *error)
{
    buf_printf(error, "the store of keys: %s", sqlite3_errmsg(s->db));
    return KEY_FAILED;
}

/* The value of a pragma, or -1. */
static int64_t pragma(struct key_store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

/* Makes the tables of a new file; a file of another kind or a later version is left alone. */
static bool ready_schema(struct key_store *s, struct buf *error)
{
    int64_t tables = pragma(s, "SELECT count(*) FROM sqlite_schema");
    int64_t application = pragma(s, "PRAGMA application_id");
    int64_t version = pragma(s, "PRAGMA user_version");
    if (tables < 0 || application < 0 || version < 0)
        return fail(s, error) == KEY_OK;
    if (tables == 0 && application == 0) {
        if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) == SQLITE_OK)
            return true;
        fail(s, error);
        return false;
    }
    if (application != KEYS_APPLICATION) {
        buf_lit(error, "the store of keys: this is another program's database");
        return false;
    }
    if (version != KEYS_VERSION) {
        buf_printf(error,
                   "the store of keys has version %lld, and this Weir knows up to version %d: use "
                   "the newer Weir that wrote it",
                   (long long)version, KEYS_VERSION);
        return false;
    }
    return true;
}

/* SQLite gives its files the mode of the database: nobody else may read who holds keys. */
static bool make_file(const char *path, struct buf *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        buf_printf(error, "%s: %s", path, strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

struct key_store *key_store_open(const char *path, struct buf *error)
{
    struct key_store *s = make_file(path, error) ? mem_calloc(1, sizeof *s) : NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (s == NULL) {
        if (error->n == 0)
            buf_lit(error, "out of memory");
        return NULL;
    }
    if (sqlite3_open_v2(path, &s->db, flags, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        bool ok = sqlite3_exec(s->db,
                               "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                               "PRAGMA trusted_schema = OFF;",
                               NULL, NULL, NULL) == SQLITE_OK;
        if (!ok)
            fail(s, error);
        if (ok && ready_schema(s, error))
            return s;
    } else {
        buf_printf(error, "%s: %s", path, s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
    }
    key_store_close(s);
    return NULL;
}

void key_store_close(struct key_store *s)
{
    if (s == NULL)
        return;
    sqlite3_close(s->db);
    mem_free(s);
}

static bool bind_text(sqlite3_stmt *st, int at, struct slice text)
{
    const char *p = text.n > 0 ? text.p : ""; /* a null pointer would be a NULL */
    return sqlite3_bind_text(st, at, p, (int)text.n, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_key(sqlite3_stmt *st, const struct stored_key *k)
{
    const bool old = k->old_until_ns != 0;
    return bind_text(st, 1, k->name) &&
           sqlite3_bind_blob(st, 2, k->digest, SHA256_BYTES, SQLITE_STATIC) == SQLITE_OK &&
           (old ? sqlite3_bind_blob(st, 3, k->old_digest, SHA256_BYTES, SQLITE_STATIC)
                : sqlite3_bind_null(st, 3)) == SQLITE_OK &&
           sqlite3_bind_int64(st, 4, k->old_until_ns) == SQLITE_OK && bind_text(st, 5, k->hint) &&
           bind_text(st, 6, k->rights) && sqlite3_bind_int64(st, 7, k->created_ns) == SQLITE_OK &&
           sqlite3_bind_int64(st, 8, k->expires_ns) == SQLITE_OK &&
           sqlite3_bind_int64(st, 9, k->changed_ns) == SQLITE_OK &&
           sqlite3_bind_int(st, 10, k->disabled) == SQLITE_OK && bind_text(st, 11, k->note);
}

/* Runs a statement that changes one key, or finds nothing to change. */
static enum key_result change(struct key_store *s, const char *sql, const struct stored_key *k,
                              enum key_result if_none, struct buf *error)
{
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (r == SQLITE_OK)
        r = bind_key(st, k) ? sqlite3_step(st) : SQLITE_NOMEM;
    enum key_result result = KEY_OK;
    if (r == SQLITE_DONE)
        result = sqlite3_changes(s->db) > 0 ? KEY_OK : if_none;
    else if (sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_PRIMARYKEY ||
             sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE)
        result = KEY_EXISTS;
    else
        result = fail(s, error);
    sqlite3_finalize(st);
    return result;
}

enum key_result key_store_add(struct key_store *s, const struct stored_key *k, struct buf *error)
{
    static const char sql[] = "INSERT INTO keys(" COLUMNS ")"
                              " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11"
                              " WHERE " NOT_TAKEN;
    return change(s, sql, k, KEY_EXISTS, error);
}

enum key_result key_store_put(struct key_store *s, const struct stored_key *k, struct buf *error)
{
    static const char sql[] =
        "UPDATE keys SET digest = ?2, old_digest = ?3, old_until_ns = ?4, hint = ?5, rights = ?6,"
        " created_ns = ?7, expires_ns = ?8, changed_ns = ?9, disabled = ?10, note = ?11"
        " WHERE name = ?1 AND " NOT_TAKEN;
    struct stored_key now;
    struct arena a;
    enum key_result result = change(s, sql, k, KEY_NOT_FOUND, error);
    if (result != KEY_NOT_FOUND)
        return result;
    arena_init(&a, NULL, (size_t)1 << 20);
    result = key_store_get(s, k->name, &a, &now, error);
    arena_reset(&a);
    return result == KEY_OK ? KEY_EXISTS : result; /* it is there: the digest was in the way */
}

static struct slice column_text(sqlite3_stmt *st, int at, struct arena *a)
{
    const void *p = sqlite3_column_text(st, at);
    return arena_copy(a, slice_of(p, (size_t)sqlite3_column_bytes(st, at)));
}

/* Reads the row that `st` stands on. False: no memory. */
static bool read_key(sqlite3_stmt *st, struct arena *a, struct stored_key *ret)
{
    const void *old = sqlite3_column_blob(st, 2);
    *ret = (struct stored_key){
        .name = column_text(st, 0, a),
        .old_until_ns = sqlite3_column_int64(st, 3),
        .hint = column_text(st, 4, a),
        .rights = column_text(st, 5, a),
        .created_ns = sqlite3_column_int64(st, 6),
        .expires_ns = sqlite3_column_int64(st, 7),
        .changed_ns = sqlite3_column_int64(st, 8),
        .disabled = sqlite3_column_int(st, 9) != 0,
        .note = column_text(st, 10, a),
    };
    memcpy(ret->digest, sqlite3_column_blob(st, 1), SHA256_BYTES);
    if (old != NULL)
        memcpy(ret->old_digest, old, SHA256_BYTES);
    return ret->name.p != NULL && ret->hint.p != NULL && ret->rights.p != NULL &&
           ret->note.p != NULL;
}

enum key_result key_store_get(struct key_store *s, struct slice name, struct arena *a,
                              struct stored_key *ret, struct buf *error)
{
    sqlite3_stmt *st = NULL;
    struct stored_key found;
    enum key_result result = KEY_FAILED;
    int r =
        sqlite3_prepare_v2(s->db, "SELECT " COLUMNS " FROM keys WHERE name = ?1", -1, &st, NULL);
    if (r == SQLITE_OK)
        r = bind_text(st, 1, name) ? sqlite3_step(st) : SQLITE_NOMEM;
    if (r == SQLITE_DONE)
        result = KEY_NOT_FOUND;
    else if (r != SQLITE_ROW)
        fail(s, error);
    else if (read_key(st, a, &found))
        result = KEY_OK;
    else
        buf_lit(error, "out of memory");
    sqlite3_finalize(st);
    if (result == KEY_OK)
        *ret = found;
    return result;
}

enum key_result key_store_delete(struct key_store *s, struct slice name, struct buf *error)
{
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(s->db, "DELETE FROM keys WHERE name = ?1", -1, &st, NULL);
    enum key_result result = KEY_OK;
    if (r == SQLITE_OK)
        r = bind_text(st, 1, name) ? sqlite3_step(st) : SQLITE_NOMEM;
    if (r != SQLITE_DONE)
        result = fail(s, error);
    else if (sqlite3_changes(s->db) == 0)
        result = KEY_NOT_FOUND;
    sqlite3_finalize(st);
    return result;
}

/* Appends a copy of `k` to the array in `a` that has room for `*size`. False: no memory. */
static bool append(struct arena *a, struct stored_key **list, size_t *n, size_t *size,
                   const struct stored_key *k)
{
    if (*n == *size) {
        size_t more = *size > 0 ? 2 * *size : 64;
        struct stored_key *grown = arena_alloc(a, more * sizeof *grown);
        if (grown == NULL)
            return false;
        if (*n > 0)
            memcpy(grown, *list, *n * sizeof *grown);
        *list = grown;
        *size = more;
    }
    (*list)[(*n)++] = *k;
    return true;
}

enum key_result key_store_list(struct key_store *s, struct slice after, unsigned limit,
                               struct arena *a, struct stored_key **ret, size_t *ret_n,
                               struct buf *error)
{
    static const char sql[] = "SELECT " COLUMNS " FROM keys WHERE name > ?1 ORDER BY name LIMIT ?2";
    sqlite3_stmt *st = NULL;
    struct stored_key *list = NULL, k;
    size_t n = 0, size = 0;
    bool memory = true;
    int r = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (r == SQLITE_OK)
        r = bind_text(st, 1, after) &&
                    sqlite3_bind_int64(st, 2, limit > 0 ? (int64_t)limit : -1) == SQLITE_OK
                ? SQLITE_OK
                : SQLITE_NOMEM;
    if (r == SQLITE_OK)
        r = sqlite3_step(st);
    for (; r == SQLITE_ROW && memory; r = memory ? sqlite3_step(st) : r)
        memory = read_key(st, a, &k) && append(a, &list, &n, &size, &k);
    if (!memory)
        buf_lit(error, "out of memory");
    else if (r != SQLITE_DONE)
        fail(s, error);
    sqlite3_finalize(st);
    if (!memory || r != SQLITE_DONE)
        return KEY_FAILED;
    *ret = list;
    *ret_n = n;
    return KEY_OK;
}
