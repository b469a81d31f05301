/* Workers on threads of their own, the store thread, and somebody who reads meanwhile. */
#include <pthread.h>

#include "ledger_fixture.h"

#define LANES 4
#define ROWS  20000u

struct worker {
    pthread_t thread;
    struct ledger *l;
    struct ledger_lane *lane;
    unsigned index;
    struct ledger_row row; /* names taken before */
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < ROWS; i++) {
        struct ledger_row row = w->row;
        row.input = 1 + i % 100;
        row.start_ns += (int64_t)i * NS_PER_MS;
        row.user_hash = 1 + (i * 4 + w->index) % 500;
        uint32_t slot = ledger_begin(w->lane, &row);
        while (!ledger_has_room(w->lane))
            sched_yield();
        ledger_settle(w->lane, slot, &row);
    }
    return NULL;
}

TEST(four_lanes_and_a_reader)
{
    static struct worker worker[LANES];
    char folder[FIXTURE_PATH];
    struct ledger_counts counts;
    fixture_folder(folder);
    struct ledger_config c = fixture_config(folder, LANES);
    c.refuse_when_full = true;
    struct ledger *l = fixture_open(&c);
    CHECK(ledger_start(l));
    for (unsigned i = 0; i < LANES; i++) {
        worker[i] = (struct worker){
            .l = l, .lane = ledger_lane(l, i), .index = i, .row = fixture_row(l, i)};
        CHECK(pthread_create(&worker[i].thread, NULL, work, &worker[i]) == 0);
    }
    int64_t before = 0;
    for (unsigned i = 0; i < 5; i++) {
        CHECK(ledger_flush(l, 20 * NS_PER_S));
        ledger_counts(l, &counts);
        int64_t now = fixture_total(folder).requests;
        CHECK(now >= before);
        before = now;
        uint32_t id = ledger_name(l, NAME_KEY, SLICE("another"));
        CHECK_EQ_LIT(ledger_name_text(l, NAME_KEY, id), "another");
    }
    for (unsigned i = 0; i < LANES; i++)
        pthread_join(worker[i].thread, NULL);
    CHECK(ledger_flush(l, 20 * NS_PER_S));
    ledger_counts(l, &counts);
    CHECK_EQ_I64(counts.rows, (int64_t)LANES * ROWS);
    CHECK_EQ_I64(counts.spooled + counts.lost + counts.untracked, 0);
    CHECK_EQ_I64(fixture_total(folder).requests, (int64_t)LANES * ROWS);
    ledger_close(l);
    struct usage_line t = fixture_total(folder);
    CHECK_EQ_I64(t.requests, (int64_t)LANES * ROWS);
    CHECK_EQ_I64(t.input, (int64_t)LANES * (ROWS / 100) * 5050);
    CHECK(t.users > 450 && t.users < 550);
    fixture_remove(folder);
}
