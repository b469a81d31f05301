/* Rows that are followed: each merged one once, in pieces of any size, from any moment on. */
#include "store/follow.h"

#include <stdio.h>
#include <unistd.h>

#include "ledger_fixture.h"

struct seen {
    int64_t rows, cost_nano;
};

static void on_row(void *ctx, const struct ledger_row *row)
{
    struct seen *s = ctx;
    s->rows++;
    s->cost_nano += row->cost_nano;
}

static struct follower *follow(const char *folder, int64_t from_ns)
{
    struct buf why;
    buf_init(&why, 4096);
    struct follower *f = follower_open(folder, from_ns, &why);
    if (f == NULL)
        check_fail(CHECK_AT("follower_open"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    return f;
}

static void settle(struct ledger *l, unsigned from, unsigned to, struct seen *all)
{
    for (unsigned i = from; i < to; i++) {
        struct ledger_row row = fixture_row(l, i);
        ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
        on_row(all, &row);
    }
}

/* Reads all that is merged, `most` records at a time. */
static void read_all(struct follower *f, size_t most, struct seen *s)
{
    for (bool all = false; !all;) {
        int64_t before = s->rows;
        CHECK(follower_read(f, most, on_row, s, &all));
        CHECK(s->rows - before <= (int64_t)most);
    }
}

TEST(each_merged_row_comes_once)
{
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    struct follower *f = follow(folder, 0);
    struct seen want = {0}, got = {0};
    for (unsigned round = 0; round < 8; round++) {
        unsigned from = 100 * round;
        settle(l, from, from + 100, &want);
        read_all(f, 7, &got);
        CHECK_EQ_I64(got.rows, from); /* what is not merged does not count yet */
        CHECK(ledger_flush(l, NS_PER_S));
        read_all(f, 1 + round * 13, &got);
        CHECK_EQ_I64(got.rows, want.rows);
        CHECK_EQ_I64(got.cost_nano, want.cost_nano);
    }
    struct ledger_row row = {.reason = LEDGER_IDLE, .start_ns = FIXTURE_NS, .cost_nano = 5};
    ledger_append(l, &row);
    CHECK(ledger_flush(l, NS_PER_S));
    read_all(f, 100, &got);
    CHECK_EQ_I64(got.cost_nano, want.cost_nano + 5);
    follower_close(f);
    ledger_close(l);
    fixture_remove(folder);
}

TEST(it_begins_at_the_file_of_that_time)
{
    char folder[FIXTURE_PATH], first[FIXTURE_PATH + 16];
    struct seen want = {0}, got = {0}, later = {0};
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    for (unsigned round = 0; round < 3; round++) { /* each process begins a file */
        struct ledger *l = fixture_open(&c);
        settle(l, 50 * round, 50 * round + 50, &want);
        ledger_close(l);
    }
    struct ledger *l = fixture_open(&c);
    struct follower *f = follow(folder, 0);
    read_all(f, 1000, &got);
    CHECK_EQ_I64(got.rows, want.rows);
    CHECK_EQ_I64(got.cost_nano, want.cost_nano);
    follower_close(f);
    f = follow(folder, clock_wall_ns() + 3600 * NS_PER_S);
    read_all(f, 1000, &later);
    CHECK_EQ_I64(later.rows, 50);
    follower_close(f);
    /* retention takes files away, also under one who reads */
    f = follow(folder, 0);
    snprintf(first, sizeof first, "%s/00000001.seg", folder);
    CHECK(unlink(first) == 0);
    got = (struct seen){0};
    read_all(f, 1000, &got);
    CHECK_EQ_I64(got.rows, 100);
    follower_close(f);
    ledger_close(l);
    fixture_remove(folder);
}
