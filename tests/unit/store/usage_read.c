/* Queries: steps, pages, filters, orders, windows. */
#include <stdio.h>

#include "ledger_fixture.h"

#define ROWS 400u

/* A ledger with rows i = 0 .. ROWS - 1, one every 20 minutes, closed. */
static void make_ledger(char folder[FIXTURE_PATH])
{
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    c.spool_rows = 1024;
    struct ledger *l = fixture_open(&c);
    for (unsigned i = 0; i < ROWS; i++) {
        struct ledger_row row = fixture_row(l, i);
        row.start_ns = FIXTURE_NS + (int64_t)i * 1200 * NS_PER_S;
        row.cost_nano = 1000 * (int64_t)(i % FIXTURE_KEYS + 1);
        ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
    }
    ledger_close(l);
}

static bool same_line(const struct usage_line *a, const struct usage_line *b)
{
    return a->bucket_ns == b->bucket_ns && a->requests == b->requests && a->input == b->input &&
           a->cost_nano == b->cost_nano && a->p50_us == b->p50_us && a->users == b->users;
}

/* The lines of `q` page by page are those of one large page. */
static size_t check_pages(const char *folder, struct usage_query q, unsigned limit)
{
    static struct usage_line all[1000];
    static char names[1000][64], after[128];
    size_t n, all_n, at = 0;
    struct slice next;
    q.limit = 1000;
    struct usage_line *line = fixture_lines(folder, q, &all_n, &next);
    for (size_t i = 0; i < all_n; i++) {
        all[i] = line[i];
        snprintf(names[i], sizeof names[i], SLICE_FMT, SLICE_ARG(line[i].name));
    }
    CHECK_EQ_U64(next.n, 0);
    q.limit = limit;
    do {
        line = fixture_lines(folder, q, &n, &next);
        CHECK(n <= limit && at + n <= all_n);
        for (size_t i = 0; i < n; i++, at++) {
            CHECK_EQ_SLICE(line[i].name, slice_str(names[at]));
            CHECK(same_line(&line[i], &all[at]));
        }
        snprintf(after, sizeof after, SLICE_FMT, SLICE_ARG(next));
        q.after = slice_str(after);
    } while (next.n > 0);
    CHECK_EQ_U64(at, all_n);
    return all_n;
}

TEST(pages_make_up_the_whole)
{
    char folder[FIXTURE_PATH];
    make_ledger(folder);
    int64_t day = 86400 * NS_PER_S;
    struct usage_query hours = {.by = USAGE_KEY, .step = USAGE_HOUR, .to_ns = FIXTURE_NS + 6 * day};
    CHECK_EQ_U64(check_pages(folder, hours, 7), ROWS); /* 3 rows an hour, of different keys */
    struct usage_query users = {.by = USAGE_USER, .step = USAGE_DAY, .to_ns = FIXTURE_NS + 5 * day};
    CHECK(check_pages(folder, users, 5) > 50);
    struct usage_query whole = {.by = USAGE_TARGET};
    CHECK_EQ_U64(check_pages(folder, whole, 1), 6);
    fixture_remove(folder);
}

TEST(filters_agree_with_the_rows)
{
    char folder[FIXTURE_PATH];
    size_t n;
    struct slice next;
    make_ledger(folder);
    for (unsigned model = 0; model < FIXTURE_MODELS; model++) {
        char name[16];
        int64_t cost[FIXTURE_KEYS] = {0};
        snprintf(name, sizeof name, "model%u", model);
        for (unsigned i = model; i < ROWS; i += FIXTURE_MODELS)
            cost[i % FIXTURE_KEYS] += 1000 * (int64_t)(i % FIXTURE_KEYS + 1);
        struct usage_query q = {.by = USAGE_KEY, .model = slice_str(name)};
        struct usage_line *line = fixture_lines(folder, q, &n, &next);
        CHECK_EQ_U64(n, FIXTURE_KEYS);
        for (unsigned k = 0; k < n; k++)
            CHECK_EQ_I64(line[k].cost_nano, cost[k]);
        q.key = SLICE("key2");
        line = fixture_lines(folder, q, &n, &next);
        CHECK_EQ_U64(n, 1);
        CHECK_EQ_I64(line[0].cost_nano, cost[2]);
        CHECK(line[0].p95_us > 0);
        q.step = USAGE_MONTH;
        line = fixture_lines(folder, q, &n, &next);
        CHECK_EQ_U64(n, 1);
        CHECK_EQ_I64(line[0].cost_nano, cost[2]);
    }
    fixture_lines(folder, (struct usage_query){.by = USAGE_KEY, .model = SLICE("none")}, &n, &next);
    CHECK_EQ_U64(n, 0);
    fixture_remove(folder);
}

TEST(the_most_expensive_come_first)
{
    char folder[FIXTURE_PATH];
    size_t n;
    struct slice next;
    make_ledger(folder);
    struct usage_line *line = fixture_lines(
        folder, (struct usage_query){.by = USAGE_KEY, .by_cost = true, .limit = 3}, &n, &next);
    CHECK_EQ_U64(n, 3);
    CHECK_EQ_LIT(line[0].name, "key4");
    CHECK_EQ_LIT(line[2].name, "key2");
    CHECK_EQ_I64(line[0].cost_nano, 5000 * ROWS / FIXTURE_KEYS);
    CHECK_EQ_U64(next.n, 0);
    fixture_remove(folder);
}

TEST(windows_of_any_length_agree)
{
    char folder[FIXTURE_PATH];
    make_ledger(folder);
    for (unsigned hours = 1; hours < ROWS / 3; hours = hours * 2 + 1) {
        size_t n;
        struct slice next;
        struct usage_query q = {.by = USAGE_TOTAL, .to_ns = FIXTURE_NS + hours * 3600 * NS_PER_S};
        check_note("%u hours", hours);
        struct usage_line *line = fixture_lines(folder, q, &n, &next);
        CHECK_EQ_U64(n, 1);
        if (hours <= 72)
            CHECK_EQ_I64(line[0].requests, hours * 3);
        else
            CHECK(line[0].requests >= hours * 3 && line[0].requests <= hours * 3 + 72);
        CHECK_EQ_I64(line[0].bucket_ns, FIXTURE_NS);
        CHECK(line[0].p50_us > 0 && line[0].first_p95_us > 0);
    }
    fixture_remove(folder);
}

static bool refused(struct usage_reader *u, struct usage_query q)
{
    struct arena a;
    struct buf why;
    struct usage_line *lines;
    size_t n;
    struct slice next;
    arena_init(&a, NULL, 1 << 30);
    buf_init(&why, 4096);
    bool ok = usage_read(u, &q, &a, &lines, &n, &next, &why);
    CHECK(ok == (why.n == 0));
    arena_reset(&a);
    buf_done(&why);
    return !ok;
}

TEST(what_cannot_be_answered_is_refused)
{
    char folder[FIXTURE_PATH];
    struct buf why;
    buf_init(&why, 4096);
    CHECK(usage_open("/nonexistent", &why) == NULL && why.n > 0);
    make_ledger(folder);
    struct usage_reader *u = usage_open(folder, &why);
    CHECK(u != NULL);
    int64_t from = FIXTURE_NS, year = FIXTURE_NS + 365 * 86400 * NS_PER_S;
    CHECK(refused(u, (struct usage_query){.from_ns = from, .to_ns = from}));
    CHECK(refused(u, (struct usage_query){.step = USAGE_MINUTE, .from_ns = from, .to_ns = year}));
    CHECK(refused(u, (struct usage_query){.step = USAGE_HOUR, .from_ns = from, .to_ns = year}));
    CHECK(refused(u, (struct usage_query){.by = USAGE_USER, .key = SLICE("key1"), .to_ns = year}));
    CHECK(refused(
        u, (struct usage_query){
               .step = USAGE_MINUTE, .key = SLICE("k"), .from_ns = from, .to_ns = from + 1}));
    CHECK(!refused(u, (struct usage_query){.from_ns = INT64_MIN, .to_ns = INT64_MAX}));
    CHECK(!refused(
        u, (struct usage_query){.from_ns = from, .to_ns = year, .after = SLICE("garbage \xff")}));
    usage_close(u);
    buf_done(&why);
    fixture_remove(folder);
}

static void add_spend(void *ctx, struct slice name, uint64_t user, int64_t nano)
{
    int64_t *sum = ctx;
    CHECK((user != 0) == (name.n == 16));
    *sum += nano;
}

TEST(spend_is_told_for_every_period)
{
    static const enum usage_by by[] = {USAGE_KEY, USAGE_TEAM, USAGE_USER, USAGE_USE_CASE};
    char folder[FIXTURE_PATH];
    struct buf why;
    buf_init(&why, 4096);
    make_ledger(folder);
    struct usage_reader *u = usage_open(folder, &why);
    CHECK(u != NULL);
    int64_t midnight = FIXTURE_NS - 10 * 3600 * NS_PER_S; /* 1 and 14 October, 10:00 and 11:00 */
    int64_t from[] = {midnight - 13 * 86400 * NS_PER_S, midnight, FIXTURE_NS,
                      FIXTURE_NS + 3600 * NS_PER_S};
    for (size_t i = 0; i < ARRAY_LEN(by); i++) {
        for (size_t k = 0; k < ARRAY_LEN(from); k++) {
            int64_t sum = 0;
            CHECK(usage_spend(u, by[i], from[k], add_spend, &sum, &why));
            CHECK_EQ_I64(sum, ROWS / 5 * 15000 - (k == 3 ? 6000 : 0));
        }
    }
    usage_close(u);
    buf_done(&why);
    fixture_remove(folder);
}
