/* Verifying, copying, exporting and upgrading the ledger's files. */
#include "store/ledger_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "ledger_fixture.h"

static void settle(struct ledger *l, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct ledger_row row = fixture_row(l, i);
        row.start_ns += (int64_t)i * 3600 * NS_PER_S; /* over hours, days and two months */
        ledger_settle(ledger_lane(l, i % 2), LEDGER_NO_SLOT, &row);
    }
}

static struct ledger_verdict verify(const char *folder)
{
    struct ledger_verdict v;
    struct buf why;
    buf_init(&why, 4096);
    if (!ledger_verify(folder, &v, &why))
        check_fail(CHECK_AT("ledger_verify"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    return v;
}

static void exec_sql(const char *folder, const char *text)
{
    char path[FIXTURE_PATH + 16];
    sqlite3 *sql;
    snprintf(path, sizeof path, "%s/usage.db", folder);
    CHECK(sqlite3_open(path, &sql) == SQLITE_OK);
    CHECK(sqlite3_exec(sql, text, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(sql);
}

static void check_sound(struct ledger_verdict v, int64_t rows)
{
    CHECK_EQ_I64(v.rows, rows);
    CHECK_EQ_I64(v.damaged + v.repeated + v.missing + v.differing, 0);
}

TEST(verify_finds_what_is_wrong)
{
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 16];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 2);
    c.spool_rows = 1024;
    struct ledger *l = fixture_open(&c);
    settle(l, 0, 600);
    CHECK(ledger_flush(l, NS_PER_S));
    settle(l, 600, 700);
    CHECK(ledger_merge(l, 0, false)); /* while it runs, and with the slow part behind */
    check_sound(verify(folder), 600);
    ledger_close(l);
    struct ledger_verdict v = verify(folder);
    check_sound(v, 700);
    CHECK(v.lines > 1000);
    CHECK(v.names > 20);
    exec_sql(folder, "UPDATE user_day SET figures = (SELECT figures FROM user_month LIMIT 1)"
                     " WHERE bucket = (SELECT min(bucket) FROM user_day)");
    exec_sql(folder, "DELETE FROM use_hour WHERE dim = 4 AND bucket = (SELECT max(bucket) FROM"
                     " use_hour)");
    v = verify(folder);
    CHECK(v.differing >= 2 && v.differing < 15);
    snprintf(path, sizeof path, "%s/00000001.seg", folder);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "?", 1, (off_t)(300 * RECORD_BYTES + 60)) == 1);
    close(fd);
    v = verify(folder);
    CHECK_EQ_I64(v.damaged, 1);
    CHECK(v.rows + v.missing == 700);
    fixture_remove(folder);
}

TEST(a_copy_made_under_way_is_whole)
{
    char folder[FIXTURE_PATH], copy[FIXTURE_PATH];
    struct buf why;
    buf_init(&why, 4096);
    fixture_folder(folder);
    fixture_folder(copy);
    struct ledger_config c = fixture_config(folder, 2);
    c.spool_rows = 1024;
    struct ledger *l = fixture_open(&c);
    size_t rows;
    settle(l, 0, 500);
    CHECK(ledger_flush(l, NS_PER_S));
    settle(l, 500, 600);
    CHECK(ledger_drain(l, FIXTURE_NS, &rows) && rows == 100); /* not merged */
    CHECK(ledger_backup(folder, copy, &why));
    CHECK(!ledger_backup(folder, copy, &why)); /* never over another one */
    settle(l, 600, 700);
    ledger_close(l);
    check_sound(verify(copy), 600);
    c.folder = copy;
    l = fixture_open(&c);
    CHECK_EQ_U64(ledger_name(l, NAME_KEY, SLICE("key0")), 1);
    settle(l, 600, 650);
    ledger_close(l);
    check_sound(verify(copy), 650);
    CHECK_EQ_I64(fixture_total(copy).requests, 650);
    CHECK_EQ_I64(fixture_total(folder).requests, 700);
    fixture_remove(folder);
    fixture_remove(copy);
    buf_done(&why);
}

struct lines {
    unsigned n;
    struct buf first;
};

static bool take_line(void *ctx, struct slice line)
{
    struct lines *got = ctx;
    if (got->n++ == 0)
        buf_slice(&got->first, line);
    return true;
}

static bool refuse_line(void *ctx, struct slice line)
{
    (void)ctx;
    return line.n == 0;
}

TEST(rows_are_exported_as_json)
{
    char folder[FIXTURE_PATH];
    struct lines got = {.n = 0};
    struct buf why;
    buf_init(&why, 4096);
    buf_init(&got.first, 4096);
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 2);
    struct ledger *l = fixture_open(&c);
    settle(l, 0, 100);
    ledger_close(l);
    CHECK(ledger_export(folder, INT64_MIN, INT64_MAX, take_line, &got, &why));
    CHECK_EQ_U64(got.n, 100);
    CHECK_EQ_LIT(
        buf_view(&got.first),
        "{\"time\":\"2026-10-14T10:00:00.000Z\",\"start_ns\":1791972000000000000,"
        "\"id\":\"wr-000000000000000000000\",\"lane\":0,\"sequence\":0,\"attempt\":1,"
        "\"reason\":\"complete\",\"status\":200,\"flags\":[\"final\"],\"model\":\"model0\","
        "\"provider\":\"provider0\",\"target\":\"target0\",\"key\":\"key0\",\"team\":\"team0\","
        "\"duration_us\":1000,\"first_us\":100,\"input\":100,\"output\":10,\"cached\":0,"
        "\"cache_write\":0,\"reasoning\":0,\"cost_nano\":1000000,\"reserved_nano\":0,"
        "\"work_ns\":0,\"bytes_in\":0,\"bytes_out\":0}\n");
    got.n = 0;
    CHECK(ledger_export(folder, FIXTURE_NS + 1, FIXTURE_NS + 11 * 3600 * NS_PER_S, take_line, &got,
                        &why));
    CHECK_EQ_U64(got.n, 10);
    CHECK(!ledger_export(folder, INT64_MIN, INT64_MAX, refuse_line, NULL, &why));
    fixture_remove(folder);
    buf_done(&got.first);
    buf_done(&why);
}

TEST(migrate_says_what_it_found)
{
    char folder[FIXTURE_PATH];
    struct buf why;
    int from, to;
    buf_init(&why, 4096);
    fixture_folder(folder);
    CHECK(!ledger_migrate(folder, &from, &to, &why));
    struct ledger_config c = fixture_config(folder, 2);
    ledger_close(fixture_open(&c));
    CHECK(ledger_migrate(folder, &from, &to, &why));
    CHECK_EQ_I64(from, DB_VERSION);
    CHECK_EQ_I64(to, DB_VERSION);
    exec_sql(folder, "PRAGMA user_version = 99");
    CHECK(!ledger_migrate(folder, &from, &to, &why));
    fixture_remove(folder);
    buf_done(&why);
}
