/* Rows from lanes to segments and rollups, and back. */
#include <stdio.h>

#include "ledger_fixture.h"

/* Rows 0 to n - 1, some as open attempts first; their sums. */
static void settle_rows(struct ledger *l, unsigned lanes, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct ledger_lane *lane = ledger_lane(l, i % lanes);
        struct ledger_row row = fixture_row(l, i);
        uint32_t slot = i % 3 == 0 ? LEDGER_NO_SLOT : ledger_begin(lane, &row);
        ledger_settle(lane, slot, &row);
    }
}

static void check_sums(const char *folder, int64_t n)
{
    struct usage_line t = fixture_total(folder);
    CHECK_EQ_I64(t.requests, n);
    CHECK_EQ_I64(t.attempts, n);
    CHECK_EQ_I64(t.input, 100 * n + n * (n - 1) / 2);
    CHECK_EQ_I64(t.output, 10 * n + n * (n - 1) / 2);
    CHECK_EQ_I64(t.cached, n * (n - 1) / 2);
    CHECK_EQ_I64(t.cost_nano, 1000000 * n + n * (n - 1) / 2);
    CHECK_EQ_I64(t.duration_us, 1000 * n * (n + 1) / 2);
    CHECK_EQ_I64(t.crashed, 0);
}

TEST(rows_are_summed_by_every_dimension)
{
    static const struct {
        enum usage_by by;
        size_t lines;
        const char *first;
    } rows[] = {
        {USAGE_TOTAL, 1, ""},
        {USAGE_MODEL, 3, "model0"},
        {USAGE_PROVIDER, 2, "provider0"},
        {USAGE_TARGET, 6, "provider0/target0"},
        {USAGE_KEY, 5, "key0"},
        {USAGE_TEAM, 2, "team0"},
        {USAGE_ORGANISATION, 1, ""},
        {USAGE_USE_CASE, 7, ""},
        {USAGE_USER, 11, ""},
    };
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 2);
    struct ledger *l = fixture_open(&c);
    settle_rows(l, 2, 0, 200);
    CHECK(ledger_flush(l, NS_PER_S));
    check_sums(folder, 200);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n;
        struct slice next;
        check_note("by %s", usage_by_name(rows[i].by));
        struct usage_line *line =
            fixture_lines(folder, (struct usage_query){.by = rows[i].by}, &n, &next);
        int64_t requests = 0, cost = 0;
        CHECK_EQ_U64(n, rows[i].lines);
        CHECK_EQ_SLICE(line[0].name, slice_str(rows[i].first));
        for (size_t k = 0; k < n; k++) {
            requests += line[k].requests;
            cost += line[k].cost_nano;
        }
        CHECK_EQ_I64(requests, 200);
        CHECK_EQ_I64(cost, 200 * 1000000 + 199 * 100);
        CHECK_EQ_U64(next.n, 0);
    }
    ledger_close(l);
    fixture_remove(folder);
}

TEST(a_reopened_ledger_goes_on)
{
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    for (unsigned round = 0; round < 4; round++) {
        struct ledger_config c = fixture_config(folder, 1 + round % 3); /* lanes come and go */
        struct ledger *l = fixture_open(&c);
        settle_rows(l, c.lanes, round * 50, round * 50 + 50);
        ledger_close(l);
        check_sums(folder, 50 * (round + 1));
    }
    int64_t rows, bad;
    fixture_count(folder, &rows, &bad);
    CHECK_EQ_I64(rows, 200);
    CHECK_EQ_I64(bad, 0);
    fixture_remove(folder);
}

TEST(a_lost_database_is_made_again_from_the_segments)
{
    char folder[FIXTURE_PATH], path[FIXTURE_PATH + 16];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 2);
    struct ledger *l = fixture_open(&c);
    settle_rows(l, 2, 0, 100);
    ledger_close(l);
    snprintf(path, sizeof path, "%s/usage.db", folder);
    CHECK(remove(path) == 0);
    l = fixture_open(&c);
    check_sums(folder, 100);
    settle_rows(l, 2, 100, 150);
    ledger_close(l);
    check_sums(folder, 150);
    fixture_remove(folder);
}

TEST(reasons_and_flags_count_where_they_should)
{
    char folder[FIXTURE_PATH];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    struct ledger_row r = fixture_row(l, 0);
    r.flags = 0; /* a failed first attempt */
    r.reason = LEDGER_UPSTREAM_ERROR;
    ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &r);
    r.flags = LEDGER_FINAL | LEDGER_UNPRICED | LEDGER_ESTIMATED_OUTPUT;
    r.reason = LEDGER_TIMED_OUT;
    r.cost_nano = 0;
    r.attempt = 2;
    ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &r);
    struct ledger_row refused = {.reason = LEDGER_REFUSED,
                                 .flags = LEDGER_FINAL,
                                 .start_ns = FIXTURE_NS,
                                 .first_us = UINT32_MAX};
    ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &refused);
    struct ledger_row idle = {.reason = LEDGER_IDLE, .start_ns = FIXTURE_NS, .cost_nano = 77};
    ledger_append(l, &idle);
    idle.reason = LEDGER_TRUE_UP;
    idle.cost_nano = -7;
    ledger_append(l, &idle);
    ledger_close(l);
    struct usage_line t = fixture_total(folder);
    CHECK_EQ_I64(t.requests, 2);
    CHECK_EQ_I64(t.refused, 1);
    CHECK_EQ_I64(t.failed, 1);
    CHECK_EQ_I64(t.attempts, 2);
    CHECK_EQ_I64(t.unpriced, 1);
    CHECK_EQ_I64(t.estimated, 10);
    CHECK_EQ_I64(t.idle_nano, 77);
    CHECK_EQ_I64(t.cost_nano, 1000000 - 7);
    CHECK_EQ_I64(t.users, 0);
    fixture_remove(folder);
}

TEST(a_full_spool_refuses_or_counts)
{
    char folder[FIXTURE_PATH];
    struct ledger_counts counts;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    c.refuse_when_full = true;
    struct ledger *l = fixture_open(&c); /* no thread: nothing is taken */
    struct ledger_lane *lane = ledger_lane(l, 0);
    struct ledger_row row = fixture_row(l, 1);
    unsigned taken = 0;
    for (; ledger_has_room(lane); taken++)
        ledger_settle(lane, LEDGER_NO_SLOT, &row);
    CHECK_EQ_U64(taken, 256 - 256 / 8);
    c.refuse_when_full = false;
    ledger_reconfigure(l, &c);
    CHECK(ledger_has_room(lane));
    for (unsigned i = taken; i < 300; i++)
        ledger_settle(lane, LEDGER_NO_SLOT, &row);
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.spooled, 256);
    CHECK_EQ_I64(counts.lost, 300 - 256);
    CHECK(ledger_flush(l, NS_PER_S));
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.spooled, 0);
    CHECK_EQ_I64(counts.rows, 256);
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, 256);
    fixture_remove(folder);
}

TEST(places_of_open_attempts_are_bounded_and_counted)
{
    char folder[FIXTURE_PATH];
    struct ledger_counts counts;
    uint32_t slot[20];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    struct ledger_row row = fixture_row(l, 1);
    for (unsigned i = 0; i < 20; i++) {
        slot[i] = ledger_begin(ledger_lane(l, 0), &row);
        CHECK((slot[i] == LEDGER_NO_SLOT) == (i >= 16));
    }
    for (unsigned i = 0; i < 20; i++)
        ledger_settle(ledger_lane(l, 0), slot[i], &row);
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.untracked, 4);
    CHECK(ledger_begin(ledger_lane(l, 0), &row) != LEDGER_NO_SLOT);
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, 20);
    l = fixture_open(&c); /* the one that was left open has become a crashed one */
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.crashed, 1);
    ledger_close(l);
    CHECK_EQ_I64(fixture_total(folder).requests, 21);
    CHECK_EQ_I64(fixture_total(folder).crashed, 1);
    fixture_remove(folder);
}

TEST(names_keep_their_numbers)
{
    char folder[FIXTURE_PATH], name[400];
    uint32_t id[50], same;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    CHECK_EQ_U64(ledger_name(l, NAME_KEY, SLICE_NONE), 0);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "name%u", i);
        id[i] = ledger_name(l, NAME_KEY, slice_str(name));
        CHECK_EQ_U64(id[i], i + 1);
    }
    memset(name, 'x', sizeof name);
    same = ledger_name(l, NAME_KEY, slice_of(name, 300));
    name[299] = 'y';
    CHECK(ledger_name(l, NAME_KEY, slice_of(name, 300)) != same); /* alike up to the cut */
    CHECK(ledger_name_text(l, NAME_KEY, same).n <= RECORD_NAME_BYTES);
    CHECK_EQ_U64(ledger_name(l, NAME_MODEL, SLICE("name7")), 1); /* each kind counts alone */
    ledger_close(l);
    l = fixture_open(&c);
    CHECK_EQ_U64(ledger_name(l, NAME_KEY, SLICE("name7")), id[7]);
    CHECK_EQ_LIT(ledger_name_text(l, NAME_KEY, id[9]), "name9");
    CHECK_EQ_U64(ledger_name_text(l, NAME_KEY, 5000).n, 0);
    ledger_close(l);
    fixture_remove(folder);
}

TEST(there_are_at_most_so_many_names)
{
    char folder[FIXTURE_PATH], name[32];
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, 1);
    struct ledger *l = fixture_open(&c);
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        if (i % 50000 == 49999)
            CHECK(ledger_flush(l, 10 * NS_PER_S)); /* the spool notes some 100,000 */
        CHECK_EQ_U64(ledger_name(l, NAME_KEY, slice_str(name)), i + 1);
    }
    CHECK_EQ_U64(ledger_name(l, NAME_KEY, SLICE("one more")), 0);
    CHECK_EQ_U64(ledger_name(l, NAME_KEY, SLICE("n65535")), 65536);
    ledger_close(l);
    fixture_remove(folder);
}

TEST(users_are_hashed_with_a_salt)
{
    char folder[2][FIXTURE_PATH];
    uint64_t hash[2];
    for (unsigned i = 0; i < 2; i++) {
        fixture_folder(folder[i]);
        struct ledger_config c = fixture_config(folder[i], 1);
        struct ledger *l = fixture_open(&c);
        hash[i] = ledger_user_hash(l, SLICE("team"), SLICE("jane"));
        CHECK(hash[i] != ledger_user_hash(l, SLICE("teamj"), SLICE("ane")));
        ledger_close(l);
        l = fixture_open(&c);
        CHECK_EQ_U64(ledger_user_hash(l, SLICE("team"), SLICE("jane")), hash[i]);
        ledger_close(l);
        fixture_remove(folder[i]);
    }
    CHECK(hash[0] != hash[1]);
}

/* Appendix A of the paper: the key 00 01 .. 0f, the text 00 01 .. 0e. */
TEST(siphash_as_in_its_paper)
{
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    char text[15];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (char)i;
    CHECK_EQ_U64(siphash24(key, slice_of(text, sizeof text)), 0xa129ca6149be45e5u);
}
