/* A process that ends at any step of its work, once or again while the next one repairs what it
 * left: each attempt stands in the segments once, and the rollups say what the segments do. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ledger_fixture.h"
#include "store/ledger_files.h"

#define ROWS 24

/* Shared with the children: what they have done for sure. */
static struct life {
    bool begun[ROWS], settled[ROWS];
    unsigned steps;
} * life;

static struct found {
    unsigned count[ROWS];
    int64_t rows, input, crashed, requests;
    uint64_t last[LEDGER_LANES_MAX + 1]; /* sequence + 1 */
} found;

static unsigned exit_at;

static void count_step(const char *step)
{
    (void)step;
    if (++life->steps == exit_at)
        _exit(9);
}

static void live(const char *folder)
{
    struct ledger_config c = fixture_config(folder, 2);
    struct ledger *l = fixture_open(&c);
    uint32_t slot[ROWS];
    for (unsigned i = 0; i < ROWS; i++) {
        struct ledger_lane *lane = ledger_lane(l, i % 2);
        struct ledger_row row = fixture_row(l, i);
        slot[i] = i % 4 == 3 ? LEDGER_NO_SLOT : ledger_begin(lane, &row);
        life->begun[i] = slot[i] != LEDGER_NO_SLOT;
        if (i % 2 == 0)
            continue; /* settled behind the next one */
        ledger_settle(lane, slot[i], &row);
        life->settled[i] = true;
        row = fixture_row(l, i - 1);
        ledger_settle(ledger_lane(l, 0), slot[i - 1], &row);
        life->settled[i - 1] = true;
        if (i % 12 == 11)
            CHECK(ledger_flush(l, NS_PER_S));
    }
    ledger_close(l);
}

static void repair(const char *folder)
{
    struct ledger_config c = fixture_config(folder, 1 + (unsigned)check_random_below(3));
    ledger_close(fixture_open(&c));
}

/* Runs `fn` in a child that ends at its step `at`; true: it came to its end before. */
static bool run_until(void (*fn)(const char *), const char *folder, unsigned at)
{
    int status;
    life->steps = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        exit_at = at;
        ledger_test_step = count_step;
        fn(folder);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9);
    return WEXITSTATUS(status) == 0;
}

static bool find_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    (void)ctx;
    (void)at;
    CHECK(kind != RECORD_BAD);
    if (kind != RECORD_ROW)
        return true;
    unsigned i;
    memcpy(&i, r->row.id, sizeof i);
    CHECK(i < ROWS);
    CHECK(r->row.sequence >= found.last[r->row.lane]);
    found.last[r->row.lane] = r->row.sequence + 1;
    found.count[i]++;
    found.rows++;
    found.input += r->row.input;
    found.crashed += r->row.reason == LEDGER_CRASHED;
    found.requests += (r->row.flags & LEDGER_FINAL) != 0;
    return true;
}

static void find_all(const char *folder)
{
    uint32_t *list;
    size_t n;
    struct place good;
    memset(&found, 0, sizeof found);
    int dir = open(folder, O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && segment_list(dir, &list, &n));
    for (size_t i = 0; i < n; i++)
        CHECK(segment_read(dir, (struct place){list[i], 0}, -1, find_record, NULL, &good));
    mem_free(list);
    close(dir);
}

static void check_books(const char *folder)
{
    find_all(folder);
    for (unsigned i = 0; i < ROWS; i++) {
        check_note("row %u, begun %d, settled %d", i, life->begun[i], life->settled[i]);
        CHECK(found.count[i] <= 1);
        CHECK(found.count[i] == 1 || (!life->begun[i] && !life->settled[i]));
    }
    struct usage_line t = fixture_total(folder);
    CHECK_EQ_I64(t.attempts, found.rows);
    CHECK_EQ_I64(t.requests, found.requests);
    CHECK_EQ_I64(t.input, found.input);
    CHECK_EQ_I64(t.crashed, found.crashed);
    size_t n;
    struct slice next;
    struct usage_line *day = fixture_lines(
        folder, (struct usage_query){.by = USAGE_USER, .step = USAGE_DAY, .to_ns = FIXTURE_NS + 1},
        &n, &next);
    int64_t input = 0;
    for (size_t i = 0; i < n; i++)
        input += day[i].input;
    CHECK_EQ_I64(input, found.input);
}

static void begin_life(void)
{
    if (life == NULL)
        life = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(life != MAP_FAILED);
    memset(life, 0, sizeof *life);
}

TEST(a_killed_process_loses_nothing_at_any_step)
{
    char folder[FIXTURE_PATH];
    check_needs_torture();
    bool whole = false;
    unsigned steps = 0, crashed = 0;
    for (unsigned at = 1; !whole; at++) {
        begin_life();
        fixture_folder(folder);
        check_note("killed at step %u", at);
        whole = run_until(live, folder, at);
        steps = at;
        repair(folder);
        check_books(folder);
        crashed += found.crashed > 0;
        fixture_remove(folder);
    }
    CHECK(steps > 100);
    CHECK(crashed > 50);
}

TEST(a_process_killed_during_the_repair_repeats_nothing)
{
    char folder[FIXTURE_PATH];
    check_needs_torture();
    for (unsigned at = 3; at < 150; at += 13) {
        bool whole = false;
        for (unsigned again = 1; !whole; again++) {
            begin_life();
            fixture_folder(folder);
            check_note("killed at step %u, and at %u of the repair", at, again);
            (void)run_until(live, folder, at);
            whole = run_until(repair, folder, again);
            repair(folder);
            check_books(folder);
            fixture_remove(folder);
        }
    }
}

static int64_t size_of_segment(const char *folder, char *path, size_t n)
{
    struct stat st;
    snprintf(path, n, "%s/00000001.seg", folder);
    CHECK(stat(path, &st) == 0);
    return (int64_t)st.st_size;
}

/* Leaves a folder whose rows are in a segment and unmerged. */
static void live_unmerged(const char *folder)
{
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    size_t rows;
    for (unsigned i = 0; i < 10; i++) {
        struct ledger_row row = fixture_row(l, i);
        ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
    }
    CHECK(ledger_drain(l, FIXTURE_NS, &rows) && rows == 10);
    _exit(0);
}

static void fill(const char *path, int64_t from, int64_t n)
{
    char junk[4 * RECORD_BYTES];
    memset(junk, 0xA5, sizeof junk);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && n <= (int64_t)sizeof junk && pwrite(fd, junk, (size_t)n, (off_t)from) == n);
    close(fd);
}

/* The tail of the segment is cut (or made garbage) `less` bytes before its end; the rows that are
 * found again then. */
static int64_t rows_after(int64_t less, bool garbage, bool with_spool)
{
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 32];
    int64_t rows, bad;
    fixture_folder(folder);
    CHECK(run_until(live_unmerged, folder, 0));
    int64_t size = size_of_segment(folder, path, sizeof path);
    CHECK(truncate(path, (off_t)(size - less)) == 0);
    if (garbage)
        fill(path, size - less, less);
    snprintf(path, sizeof path, "%s/spool", folder);
    CHECK(with_spool || remove(path) == 0);
    struct ledger_config c = fixture_config(folder, 1);
    ledger_close(fixture_open(&c));
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(bad, 0);
    CHECK_EQ_I64(fixture_total(folder).requests, rows);
    fixture_remove(folder);
    return rows;
}

TEST(a_torn_tail_is_cut_at_any_byte)
{
    begin_life();
    for (int64_t less = 0; less < 3 * (int64_t)RECORD_BYTES; less += less % 16 == 1 ? 13 : 1) {
        check_note("%lld bytes less", (long long)less);
        int64_t left = 10 - (less + (int64_t)RECORD_BYTES - 1) / (int64_t)RECORD_BYTES;
        CHECK_EQ_I64(rows_after(less, less % 3 == 0, false), left);
        CHECK_EQ_I64(rows_after(less, less % 3 == 0, true), 10);
    }
}

TEST(a_damaged_record_takes_no_other_with_it)
{
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 32];
    begin_life();
    fixture_folder(folder);
    CHECK(run_until(live_unmerged, folder, 0));
    int64_t size = size_of_segment(folder, path, sizeof path);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "?", 1, (off_t)(size - 2 * (int64_t)RECORD_BYTES - 50)) == 1);
    close(fd);
    struct ledger_config c = fixture_config(folder, 1);
    ledger_close(fixture_open(&c));
    int64_t rows, bad;
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(rows, 9);
    CHECK_EQ_I64(bad, 1);
    CHECK_EQ_I64(fixture_total(folder).requests, 9);
    fixture_remove(folder);
}

static void check_verified(const char *folder)
{
    struct ledger_verdict v;
    struct buf why;
    buf_init(&why, 4096);
    CHECK(ledger_verify(folder, &v, &why));
    CHECK(v.lines > 0);
    CHECK_EQ_I64(v.differing, 0);
    buf_done(&why);
}

/* Ends when the fast part of the database is ahead of the slow one. */
static void live_slow_behind(const char *folder)
{
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    size_t rows;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 10; i++) {
            struct ledger_row row = fixture_row(l, 10 * round + i);
            ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
        }
        CHECK(ledger_drain(l, FIXTURE_NS, &rows) && rows == 10);
        if (round < 2)
            CHECK(ledger_merge(l, 0, round == 0));
    }
    CHECK(place_cmp(l->place[DB_SLOW], l->place[DB_FAST]) < 0);
    _exit(0);
}

TEST(both_parts_of_the_database_catch_up)
{
    char folder[FIXTURE_PATH];
    begin_life();
    fixture_folder(folder);
    CHECK(run_until(live_slow_behind, folder, 0));
    repair(folder);
    check_verified(folder);
    CHECK_EQ_I64(fixture_total(folder).requests, 30);
    fixture_remove(folder);
}

TEST(rows_that_stand_twice_count_once)
{
    char folder[FIXTURE_PATH], command[3 * FIXTURE_PATH];
    begin_life();
    fixture_folder(folder);
    CHECK(run_until(live_unmerged, folder, 0));
    repair(folder);
    snprintf(command, sizeof command, "cp %s/00000001.seg %s/00000009.seg", folder, folder);
    CHECK(system(command) == 0);
    repair(folder);
    check_verified(folder);
    CHECK_EQ_I64(fixture_total(folder).requests, 10);
    fixture_remove(folder);
}

/* Two workers and the store thread until somebody kills the process. */
static struct traffic {
    _Atomic int64_t begun[2], settled[2];
} * traffic;

static void *send_rows(void *arg)
{
    struct ledger_lane *lane = arg;
    unsigned index = lane->number;
    struct ledger_row row = {.attempt = 1,
                             .flags = LEDGER_FINAL,
                             .start_ns = FIXTURE_NS,
                             .input = 1,
                             .first_us = UINT32_MAX};
    for (unsigned i = 0;; i++) {
        while (!ledger_has_room(lane))
            sched_yield();
        memcpy(row.id, &i, sizeof i);
        row.id[15] = (uint8_t)index;
        uint32_t slot = ledger_begin(lane, &row);
        traffic->begun[index]++;
        ledger_settle(lane, slot, &row);
        traffic->settled[index]++;
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void serve_until_killed(const char *folder)
{
    struct ledger_config c = fixture_config(folder, 2);
    pthread_t thread;
    c.refuse_when_full = true;
    struct ledger *l = fixture_open(&c);
    CHECK(ledger_start(l));
    CHECK(pthread_create(&thread, NULL, send_rows, ledger_lane(l, 1)) == 0);
    send_rows(ledger_lane(l, 0));
}

TEST(a_killed_gateway_loses_no_row_that_was_handed_over)
{
    char folder[FIXTURE_PATH];
    int64_t sent = 0, rows, bad;
    traffic =
        mmap(NULL, sizeof *traffic, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(traffic != MAP_FAILED);
    fixture_folder(folder);
    for (unsigned round = 0; round < 10; round++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            serve_until_killed(folder);
        usleep((useconds_t)(20000 + check_random_below(200000)));
        kill(pid, SIGKILL);
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    }
    repair(folder);
    for (unsigned i = 0; i < 2; i++)
        sent += traffic->settled[i];
    fixture_count(folder, &rows, &bad);
    check_note("%lld settled, %lld rows", (long long)sent, (long long)rows);
    CHECK(sent > 1000);
    CHECK(rows >= sent && rows <= sent + 2 * 10); /* one under way in each lane at each kill */
    CHECK_EQ_I64(bad, 0);
    struct usage_line t = fixture_total(folder);
    CHECK_EQ_I64(t.requests, rows);
    CHECK_EQ_I64(t.input, rows);
    fixture_remove(folder);
}
