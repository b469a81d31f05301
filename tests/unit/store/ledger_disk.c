/* Disks that refuse, databases that are locked, what is old, and other versions. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger_fixture.h"

static void settle(struct ledger *l, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct ledger_row row = fixture_row(l, i);
        ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
    }
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* The file size limit stands for a full disk: a write that is cut short, then errors. */
TEST(rows_wait_in_the_spool_while_the_disk_is_full)
{
    char folder[FIXTURE_PATH];
    struct ledger_counts counts;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    c.refuse_when_full = true;
    struct ledger *l = fixture_open(&c);
    settle(l, 0, 20);
    CHECK(ledger_flush(l, NS_PER_S));
    signal(SIGXFSZ, SIG_IGN);
    ledger_counts(l, &counts);
    set_file_limit((rlim_t)counts.segment_bytes + 1000);
    unsigned i = 20;
    for (; ledger_has_room(ledger_lane(l, 0)); i++) {
        settle(l, i, i + 1);
        if (i % 50 == 0)
            CHECK(!ledger_flush(l, NS_PER_S));
    }
    CHECK(!ledger_flush(l, NS_PER_S));
    ledger_counts(l, &counts);
    CHECK(counts.write_errors > 0);
    CHECK_EQ_I64(counts.lost, 0);
    CHECK(counts.spooled >= 200);
    set_file_limit(RLIM_INFINITY);
    CHECK(ledger_flush(l, NS_PER_S));
    CHECK(ledger_has_room(ledger_lane(l, 0)));
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, i);
    int64_t rows, bad;
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(rows, i);
    CHECK_EQ_I64(bad, 0);
    fixture_remove(folder);
}

TEST(without_room_for_the_spool_rows_are_kept_in_memory)
{
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    signal(SIGXFSZ, SIG_IGN);
    set_file_limit(1 << 20); /* the spool wants more */
    struct ledger *l = fixture_open(&c);
    settle(l, 0, 20);
    ledger_close(l);
    set_file_limit(RLIM_INFINITY);
    CHECK_EQ_I64(fixture_total(folder).requests, 20);
    fixture_remove(folder);
}

TEST(merges_wait_for_a_locked_database)
{
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 16];
    struct ledger_counts counts;
    sqlite3 *other;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    snprintf(path, sizeof path, "%s/usage.db", folder);
    CHECK(sqlite3_open(path, &other) == SQLITE_OK);
    CHECK(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    settle(l, 0, 20);
    CHECK(!ledger_flush(l, NS_PER_S));
    settle(l, 20, 40);
    CHECK(!ledger_flush(l, NS_PER_S));
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.rows, 40); /* segments do not wait */
    CHECK_EQ_I64(counts.spooled, 0);
    CHECK(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(other);
    CHECK(ledger_flush(l, NS_PER_S));
    CHECK_EQ_I64(fixture_total(folder).requests, 40);
    settle(l, 40, 50);
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, 50);
    fixture_remove(folder);
}

TEST(a_rollup_that_was_given_up_is_read_again)
{
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    size_t rows;
    settle(l, 0, 20);
    CHECK(ledger_flush(l, NS_PER_S));
    settle(l, 20, 40);
    CHECK(ledger_drain(l, FIXTURE_NS, &rows) && rows == 20);
    l->reread = true; /* as when memory runs out */
    settle(l, 40, 60);
    CHECK(ledger_flush(l, NS_PER_S));
    CHECK_EQ_I64(fixture_total(folder).requests, 60);
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, 60);
    fixture_remove(folder);
}

static int64_t count_lines(const char *folder, enum usage_by by, enum usage_step step, int64_t from)
{
    size_t n;
    struct slice next;
    fixture_lines(folder,
                  (struct usage_query){
                      .by = by, .step = step, .from_ns = from, .to_ns = from + 86400 * NS_PER_S},
                  &n, &next);
    return (int64_t)n;
}

TEST(what_is_old_is_deleted_by_class)
{
    char folder[FIXTURE_PATH];
    const int64_t hour = 3600 * NS_PER_S, day = 24 * hour;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    settle(l, 0, 200);
    CHECK(ledger_flush(l, NS_PER_S));
    c.keep_minutes_ns = 7 * day;
    c.keep_hours_ns = 90 * day;
    c.keep_rows_ns = 30 * day;
    ledger_reconfigure(l, &c);
    int64_t minutes = count_lines(folder, USAGE_KEY, USAGE_MINUTE, FIXTURE_NS);
    CHECK(minutes > 50);
    int64_t now = FIXTURE_NS + 3 * day;
    for (unsigned i = 0; i < 5; i++)
        CHECK(ledger_retain(l, INT64_MAX / 2, now));
    CHECK_EQ_I64(count_lines(folder, USAGE_KEY, USAGE_MINUTE, FIXTURE_NS), minutes);
    for (unsigned i = 0; i < 5; i++) {
        l->retain_at_ns = 0;
        CHECK(ledger_retain(l, 1, now + 10 * day));
    }
    CHECK_EQ_I64(count_lines(folder, USAGE_KEY, USAGE_MINUTE, FIXTURE_NS), 0);
    CHECK(count_lines(folder, USAGE_KEY, USAGE_HOUR, FIXTURE_NS) > 0);
    CHECK(count_lines(folder, USAGE_USER, USAGE_HOUR, FIXTURE_NS) > 0);
    size_t n;
    struct slice next; /* a short window falls back to what is left */
    struct usage_line *line = fixture_lines(
        folder, (struct usage_query){.by = USAGE_TOTAL, .to_ns = FIXTURE_NS + hour - 1}, &n, &next);
    CHECK_EQ_U64(n, 1);
    CHECK_EQ_I64(line[0].requests, 200);
    for (unsigned i = 0; i < 5; i++) {
        l->retain_at_ns = 0;
        CHECK(ledger_retain(l, 1, now + 100 * day));
    }
    CHECK_EQ_I64(count_lines(folder, USAGE_USER, USAGE_HOUR, FIXTURE_NS), 0);
    CHECK_EQ_I64(count_lines(folder, USAGE_USER, USAGE_DAY, FIXTURE_NS), 11);
    CHECK_EQ_I64(fixture_total(folder).requests, 200);
    ledger_close(l);
    fixture_remove(folder);
}

TEST(merged_segments_are_deleted_when_they_are_old)
{
    char folder[FIXTURE_PATH];
    const int64_t day = 86400 * NS_PER_S;
    int64_t rows, bad;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    c.keep_rows_ns = 30 * day;
    for (unsigned i = 0; i < 3; i++) { /* a file for each life */
        struct ledger *l = fixture_open(&c);
        settle(l, i * 10, i * 10 + 10);
        ledger_close(l);
    }
    struct ledger *l = fixture_open(&c);
    int64_t now = clock_wall_ns();
    CHECK(ledger_retain(l, INT64_MAX / 2, now + 29 * day));
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(rows, 30);
    l->retain_at_ns = 0;
    l->pruning = 0;
    CHECK(ledger_retain(l, 1, now + 31 * day));
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(rows, 10); /* the last file stays: nothing says when it ended */
    settle(l, 30, 40);
    ledger_close(l);
    ledger_close(fixture_open(&c));
    CHECK_EQ_I64(fixture_total(folder).requests, 40);
    fixture_remove(folder);
}

static int version_of(sqlite3 *sql)
{
    sqlite3_stmt *s;
    CHECK(sqlite3_prepare_v2(sql, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    int version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return version;
}

TEST(an_older_schema_is_upgraded_and_a_newer_one_refused)
{
    static const struct db_step steps[] = {
        {1, "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);"},
        {2, "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 8;"},
        {3, "CREATE TABLE b (x INTEGER); INSERT INTO nowhere VALUES (1);"},
    };
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 16], copy[FIXTURE_PATH + 32];
    struct buf why;
    struct stat st;
    sqlite3 *sql = NULL;
    int from = -1;
    buf_init(&why, 4096);
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/usage.db", folder);
    snprintf(copy, sizeof copy, "%s.v1", path);
    CHECK(db_open_schema(path, steps, 1, &sql, &from, &why) && from == 0);
    sqlite3_close(sql);
    CHECK(stat(copy, &st) != 0);
    CHECK(db_open_schema(path, steps, 2, &sql, &from, &why) && from == 1);
    CHECK_EQ_I64(version_of(sql), 2);
    CHECK(db_exec(sql, "SELECT y FROM a", NULL));
    sqlite3_close(sql);
    CHECK(stat(copy, &st) == 0);
    CHECK(!db_open_schema(path, steps, 3, &sql, &from, &why)); /* the third step fails, whole */
    CHECK(sqlite3_open(path, &sql) == SQLITE_OK);
    CHECK_EQ_I64(version_of(sql), 2);
    CHECK(!db_exec(sql, "SELECT * FROM b", NULL));
    sqlite3_close(sql);
    buf_reset(&why);
    CHECK(!db_open_schema(path, steps, 1, &sql, &from, &why));
    CHECK(memmem(why.p, why.n, "newer", 5) != NULL);
    buf_reset(&why);
    struct ledger_config c = fixture_config(folder, 1);
    CHECK(ledger_open(&c, &why) == NULL);
    CHECK(memmem(why.p, why.n, "newer", 5) != NULL);
    buf_done(&why);
    fixture_remove(folder);
}
