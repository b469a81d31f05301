/* The store of issued keys: a database file of its own for each test. */
#include "store/keys.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char folder[64], path[96];
static struct buf error;
static struct arena arena;

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/weir-keys-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/keys.db", folder);
    buf_init(&error, 4096);
    arena_init(&arena, NULL, (size_t)64 << 20);
}

static void end(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char file[128];
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
        unlink(file);
    }
    CHECK_EQ_I64(rmdir(folder), 0);
    buf_done(&error);
    arena_reset(&arena);
}

static struct key_store *open_store(void)
{
    struct key_store *s = key_store_open(path, &error);
    CHECK_EQ_SLICE(buf_view(&error), SLICE_NONE);
    CHECK(s != NULL);
    return s;
}

static struct stored_key sample(const char *name, int digest)
{
    struct stored_key k = {.name = slice_str(name),
                           .hint = SLICE("wk-Ab...9x"),
                           .rights = SLICE("{\"team\": \"search\"}"),
                           .created_ns = 1,
                           .expires_ns = INT64_MAX,
                           .changed_ns = 3,
                           .note = SLICE("caf\xc3\xa9 'x' \"y\"")};
    memset(k.digest, digest, SHA256_BYTES);
    return k;
}

static void check_same(const struct stored_key *got, const struct stored_key *want)
{
    CHECK_EQ_SLICE(got->name, want->name);
    CHECK(memcmp(got->digest, want->digest, SHA256_BYTES) == 0);
    CHECK_EQ_I64(got->old_until_ns, want->old_until_ns);
    if (want->old_until_ns != 0)
        CHECK(memcmp(got->old_digest, want->old_digest, SHA256_BYTES) == 0);
    CHECK_EQ_SLICE(got->hint, want->hint);
    CHECK_EQ_SLICE(got->rights, want->rights);
    CHECK_EQ_I64(got->created_ns, want->created_ns);
    CHECK_EQ_I64(got->expires_ns, want->expires_ns);
    CHECK_EQ_I64(got->changed_ns, want->changed_ns);
    CHECK_EQ_I64(got->disabled, want->disabled);
    CHECK_EQ_SLICE(got->note, want->note);
}

TEST(kept_across_processes)
{
    begin();
    struct key_store *s = open_store();
    struct stored_key k = sample("ci", 1), got, bare = {.name = SLICE("bare")};
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_OK);
    CHECK_EQ_I64(key_store_add(s, &bare, &error), KEY_OK);
    key_store_close(s);
    s = open_store();
    CHECK_EQ_I64(key_store_get(s, SLICE("ci"), &arena, &got, &error), KEY_OK);
    check_same(&got, &k);
    CHECK_EQ_I64(key_store_get(s, SLICE("bare"), &arena, &got, &error), KEY_OK);
    check_same(&got, &bare);
    key_store_close(s);
    struct stat st;
    CHECK_EQ_I64(stat(path, &st), 0);
    CHECK_EQ_I64(st.st_mode & 0777, 0600);
    end();
}

TEST(changes)
{
    begin();
    struct key_store *s = open_store();
    struct stored_key k = sample("ci", 1), got;
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_OK);
    memcpy(k.old_digest, k.digest, SHA256_BYTES);
    memset(k.digest, 2, SHA256_BYTES);
    k.old_until_ns = 77;
    k.disabled = true;
    k.rights = SLICE("{}");
    CHECK_EQ_I64(key_store_put(s, &k, &error), KEY_OK);
    CHECK_EQ_I64(key_store_get(s, SLICE("ci"), &arena, &got, &error), KEY_OK);
    check_same(&got, &k);
    CHECK_EQ_I64(key_store_delete(s, SLICE("ci"), &error), KEY_OK);
    CHECK_EQ_I64(key_store_delete(s, SLICE("ci"), &error), KEY_NOT_FOUND);
    CHECK_EQ_I64(key_store_get(s, SLICE("ci"), &arena, &got, &error), KEY_NOT_FOUND);
    CHECK_EQ_I64(key_store_put(s, &k, &error), KEY_NOT_FOUND);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_OK);
    CHECK_EQ_SLICE(buf_view(&error), SLICE_NONE);
    key_store_close(s);
    end();
}

/* Two keys can share neither a name nor any digest, present or old. */
TEST(conflicts)
{
    begin();
    struct key_store *s = open_store();
    struct stored_key a = sample("a", 1), b = sample("b", 2), k;
    a.old_until_ns = 5;
    memset(a.old_digest, 9, SHA256_BYTES);
    CHECK_EQ_I64(key_store_add(s, &a, &error), KEY_OK);
    CHECK_EQ_I64(key_store_add(s, &b, &error), KEY_OK);
    k = sample("a", 3);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_EXISTS);
    k = sample("c", 1);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_EXISTS);
    k = sample("c", 9);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_EXISTS);
    k = sample("c", 3);
    k.old_until_ns = 5;
    memset(k.old_digest, 2, SHA256_BYTES);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_EXISTS);
    memset(k.old_digest, 9, SHA256_BYTES);
    CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_EXISTS);
    b = sample("b", 1);
    CHECK_EQ_I64(key_store_put(s, &b, &error), KEY_EXISTS);
    b = sample("b", 9);
    CHECK_EQ_I64(key_store_put(s, &b, &error), KEY_EXISTS);
    CHECK_EQ_I64(key_store_get(s, SLICE("b"), &arena, &k, &error), KEY_OK);
    CHECK_EQ_U64(k.digest[0], 2);
    CHECK_EQ_SLICE(buf_view(&error), SLICE_NONE);
    key_store_close(s);
    end();
}

TEST(pages)
{
    begin();
    struct key_store *s = open_store();
    char names[100][16];
    for (int i = 99; i >= 0; i--) {
        snprintf(names[i], sizeof names[i], "k%02d", i);
        struct stored_key k = sample(names[i], i);
        CHECK_EQ_I64(key_store_add(s, &k, &error), KEY_OK);
    }
    struct slice after = SLICE_NONE;
    struct stored_key *list;
    size_t n, at = 0;
    do {
        CHECK_EQ_I64(key_store_list(s, after, 7, &arena, &list, &n, &error), KEY_OK);
        CHECK(n <= 7);
        for (size_t i = 0; i < n; i++)
            CHECK_EQ_SLICE(list[i].name, slice_str(names[at++]));
        if (n > 0)
            after = list[n - 1].name;
    } while (n > 0);
    CHECK_EQ_U64(at, 100);
    CHECK_EQ_I64(key_store_list(s, SLICE("k49"), 0, &arena, &list, &n, &error), KEY_OK);
    CHECK_EQ_U64(n, 50);
    CHECK_EQ_SLICE(list[49].name, SLICE("k99"));
    key_store_close(s);
    end();
}

static void run_sql(const char *sql)
{
    sqlite3 *db;
    CHECK_EQ_I64(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ_I64(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void check_refused(const char *word)
{
    CHECK(key_store_open(path, &error) == NULL);
    buf_char(&error, '\0');
    if (strstr(error.p, word) == NULL)
        check_fail(CHECK_AT("the reason"), "%s", error.p);
    buf_reset(&error);
}

TEST(files_of_others_are_left_alone)
{
    begin();
    run_sql("CREATE TABLE other(x)");
    check_refused("another program");
    end();
    begin();
    key_store_close(open_store());
    run_sql("PRAGMA user_version = 2");
    check_refused("version 2");
    end();
    begin();
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    for (int i = 0; i < 200; i++)
        fputs("this is no database of any kind\n", f);
    fclose(f);
    check_refused("not a database");
    end();
}

TEST(no_folder)
{
    buf_init(&error, 4096);
    CHECK(key_store_open("/nowhere/at/all/keys.db", &error) == NULL);
    CHECK(error.n > 0);
    buf_done(&error);
}

/* A file of another user's may not take a key that no code can read. */
TEST(strict_columns)
{
    begin();
    key_store_close(open_store());
    sqlite3 *db;
    CHECK_EQ_I64(sqlite3_open(path, &db), SQLITE_OK);
    CHECK(sqlite3_exec(db, "INSERT INTO keys VALUES('x', x'00', NULL, 0, '', '', 0, 0, 0, 0, '')",
                       NULL, NULL, NULL) != SQLITE_OK);
    CHECK(sqlite3_exec(db,
                       "INSERT INTO keys VALUES('x', zeroblob(32), NULL, 'soon', '', '', 0, 0, "
                       "0, 0, '')",
                       NULL, NULL, NULL) != SQLITE_OK);
    sqlite3_close(db);
    end();
}
