/* The timer heap against a plain list, and what callbacks may do. */
#include "base/timers.h"

#include "base/mem.h"
#include "check.h"

struct probe {
    struct timer timer;
    struct timers *ts;
    int fired;
    int64_t now_ns;           /* what timers_run was told */
    int64_t again_ns;         /* how much later to fire once more, if not 0 */
    struct probe *stop, *set; /* other timers to stop and to move to set_ns */
    int64_t set_ns;
};

static int64_t run_now_ns;

static void fire(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    p->fired++;
    p->now_ns = run_now_ns;
    CHECK(!timer_armed(t));
    if (p->again_ns > 0)
        CHECK(timer_set(p->ts, t, run_now_ns + p->again_ns));
    if (p->stop != NULL)
        timer_stop(p->ts, &p->stop->timer);
    if (p->set != NULL)
        CHECK(timer_set(p->ts, &p->set->timer, p->set_ns));
}

static void probe_init(struct probe *p, struct timers *ts)
{
    *p = (struct probe){.ts = ts};
    timer_init(&p->timer, fire);
}

static void run(struct timers *ts, int64_t now_ns)
{
    run_now_ns = now_ns;
    timers_run(ts, now_ns);
}

TEST(fires_in_order_of_deadline)
{
    struct timers ts;
    struct probe p[3];
    timers_init(&ts);
    CHECK_EQ_I64(timers_next(&ts), INT64_MAX);
    for (int i = 0; i < 3; i++)
        probe_init(&p[i], &ts);
    CHECK(timer_set(&ts, &p[0].timer, 30) && timer_set(&ts, &p[1].timer, 10));
    CHECK(timer_set(&ts, &p[2].timer, 20));
    CHECK_EQ_I64(timers_next(&ts), 10);
    run(&ts, 9);
    CHECK_EQ_I64(p[0].fired + p[1].fired + p[2].fired, 0);
    run(&ts, 10);
    CHECK(p[1].fired == 1 && !timer_armed(&p[1].timer));
    CHECK_EQ_I64(timers_next(&ts), 20);
    timer_stop(&ts, &p[1].timer); /* not armed: nothing happens */
    run(&ts, 100);
    CHECK(p[0].fired == 1 && p[2].fired == 1);
    CHECK_EQ_I64(timers_next(&ts), INT64_MAX);
    timers_done(&ts);
}

TEST(a_later_deadline_is_free_and_kept)
{
    struct timers ts;
    struct probe p;
    timers_init(&ts);
    probe_init(&p, &ts);
    CHECK(timer_set(&ts, &p.timer, 10));
    CHECK(timer_set(&ts, &p.timer, 50));
    CHECK_EQ_I64(timers_next(&ts), 10); /* the heap was left alone */
    run(&ts, 49);
    CHECK_EQ_I64(p.fired, 0);
    CHECK_EQ_I64(timers_next(&ts), 50); /* and corrected when the old time came */
    CHECK(timer_set(&ts, &p.timer, 80));
    CHECK(timer_set(&ts, &p.timer, 60)); /* earlier again, still later than the heap's key */
    run(&ts, 59);
    CHECK_EQ_I64(p.fired, 0);
    CHECK(timer_set(&ts, &p.timer, 20)); /* into the past */
    CHECK_EQ_I64(timers_next(&ts), 20);
    run(&ts, 59);
    CHECK_EQ_I64(p.fired, 1);
    run(&ts, 1000);
    CHECK_EQ_I64(p.fired, 1);
    timers_done(&ts);
}

TEST(set_again_in_its_own_callback)
{
    struct timers ts;
    struct probe p;
    timers_init(&ts);
    probe_init(&p, &ts);
    p.again_ns = 10;
    CHECK(timer_set(&ts, &p.timer, 10));
    for (int64_t now = 0; now <= 100; now++)
        run(&ts, now);
    CHECK_EQ_I64(p.fired, 10);
    CHECK(timer_armed(&p.timer) && p.timer.deadline_ns == 110);
    timer_stop(&ts, &p.timer);
    run(&ts, 1000);
    CHECK_EQ_I64(p.fired, 10);
    timers_done(&ts);
}

TEST(stopped_or_moved_in_anothers_callback)
{
    struct timers ts;
    struct probe p[6];
    timers_init(&ts);
    for (int i = 0; i < 6; i++) {
        probe_init(&p[i], &ts);
        CHECK(timer_set(&ts, &p[i].timer, 10 + i));
    }
    p[0].stop = &p[1]; /* due in the same run */
    p[0].set = &p[2];  /* due, but put off */
    p[0].set_ns = 1000;
    p[3].set = &p[4]; /* pulled forward */
    p[3].set_ns = 1;
    run(&ts, 13);
    CHECK(p[0].fired == 1 && p[1].fired == 0 && p[2].fired == 0);
    CHECK(p[3].fired == 1 && p[4].fired == 1 && p[5].fired == 0);
    CHECK(!timer_armed(&p[1].timer) && timer_armed(&p[2].timer));
    run(&ts, 999);
    CHECK(p[2].fired == 0 && p[5].fired == 1);
    run(&ts, 1000);
    CHECK_EQ_I64(p[2].fired, 1);
    CHECK_EQ_I64(p[1].fired, 0);
    timers_done(&ts);
}

TEST(negative_and_extreme_deadlines)
{
    struct timers ts;
    struct probe p[3];
    static const int64_t at[] = {INT64_MAX, INT64_MIN, -5};
    timers_init(&ts);
    for (int i = 0; i < 3; i++) {
        probe_init(&p[i], &ts);
        CHECK(timer_set(&ts, &p[i].timer, at[i]));
    }
    CHECK_EQ_I64(timers_next(&ts), INT64_MIN);
    run(&ts, 0);
    CHECK(p[0].fired == 0 && p[1].fired == 1 && p[2].fired == 1);
    timer_stop(&ts, &p[0].timer);
    timers_done(&ts);
}

TEST(no_memory)
{
    check_needs_torture();
    struct timers ts;
    struct probe p[65];
    timers_init(&ts);
    for (int i = 0; i < 65; i++)
        probe_init(&p[i], &ts);
    mem_torture(1);
    CHECK(!timer_set(&ts, &p[0].timer, 5));
    mem_torture(0);
    CHECK(!timer_armed(&p[0].timer) && timers_next(&ts) == INT64_MAX);
    for (int i = 0; i < 64; i++)
        CHECK(timer_set(&ts, &p[i].timer, i));
    mem_torture(1);
    CHECK(!timer_set(&ts, &p[64].timer, 5));
    CHECK(timer_set(&ts, &p[0].timer, -5)); /* moving an armed timer takes no memory */
    mem_torture(0);
    CHECK(!timer_armed(&p[64].timer));
    run(&ts, 1000);
    for (int i = 0; i < 65; i++)
        CHECK_EQ_I64(p[i].fired, i < 64);
    timers_done(&ts);
}

/* Every entry is at its slot, no child is due before its parent, no key is later than its deadline.
 */
static void check_heap(const struct timers *ts)
{
    for (uint32_t i = 0; i < ts->count; i++) {
        CHECK_EQ_U64(ts->heap[i]->slot, i + 1);
        CHECK(i == 0 || ts->heap[(i - 1) / 4]->due_ns <= ts->heap[i]->due_ns);
        CHECK(ts->heap[i]->due_ns <= ts->heap[i]->deadline_ns);
    }
}

#define MANY 300

/* The naive list: a deadline per timer, INT64_MAX when not armed. */
struct model {
    struct probe p[MANY];
    int64_t deadline[MANY];
    int fired[MANY];
    uint32_t armed;
};

static void model_step(struct model *m, struct timers *ts, int64_t now)
{
    size_t i = check_random_below(MANY);
    if (check_random_below(4) == 0) {
        timer_stop(ts, &m->p[i].timer);
        m->armed -= m->deadline[i] != INT64_MAX;
        m->deadline[i] = INT64_MAX;
    } else {
        int64_t at = now + (int64_t)check_random_below(200) - 20;
        CHECK(timer_set(ts, &m->p[i].timer, at));
        m->armed += m->deadline[i] == INT64_MAX;
        m->deadline[i] = at;
    }
}

static void model_run(struct model *m, int64_t now)
{
    for (size_t i = 0; i < MANY; i++) {
        if (m->deadline[i] <= now) {
            m->fired[i]++;
            m->deadline[i] = INT64_MAX;
            m->armed--;
        }
    }
}

TEST(same_as_a_plain_list)
{
    static struct model m;
    struct timers ts;
    int64_t now = 0;
    timers_init(&ts);
    m = (struct model){.armed = 0};
    for (size_t i = 0; i < MANY; i++) {
        probe_init(&m.p[i], &ts);
        m.deadline[i] = INT64_MAX;
    }
    for (int round = 0; round < 3000; round++) {
        int64_t first = INT64_MAX;
        check_note("round %d", round);
        for (uint64_t steps = check_random_below(40); steps > 0; steps--)
            model_step(&m, &ts, now);
        check_heap(&ts);
        now += (int64_t)check_random_below(round % 100 ? 10 : 300);
        run(&ts, now);
        model_run(&m, now);
        check_heap(&ts);
        CHECK_EQ_U64(ts.count, m.armed);
        for (size_t i = 0; i < MANY; i++) {
            CHECK_EQ_I64(m.p[i].fired, m.fired[i]);
            CHECK_EQ_I64(timer_armed(&m.p[i].timer), m.deadline[i] != INT64_MAX);
            first = MIN_OF(first, m.deadline[i]);
        }
        CHECK(timers_next(&ts) > now && timers_next(&ts) <= first); /* never too late */
    }
    timers_done(&ts);
}
