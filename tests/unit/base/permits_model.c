/* Permits against a naive model, over random takes, gives, leaves and changes of the limits: the
 * same are served and shed in the same order, and all counts are exact after each step. The model
 * keeps an array in the order of arrival and looks through all of it each time. */
#include <math.h>
#include <string.h>

#include "base/permits.h"
#include "check.h"

#define GUESTS 64
#define FLOWS  5
#define TURN   ((uint64_t)1 << 20)
#define TINY   1e-6 /* parts are fractions here */

struct guest {
    struct permit_waiter waiter;
    unsigned number;
    bool waits; /* as the model has it */
};

struct model {
    int64_t limit, queue_limit, held;
    unsigned order[GUESTS]; /* who waits, by arrival */
    unsigned waiting;
    uint64_t class_tag[PERMIT_CLASSES_N], class_clock;
    uint64_t flow_tag[PERMIT_CLASSES_N][FLOWS], flow_clock[PERMIT_CLASSES_N];
};

static const uint64_t shares[PERMIT_CLASSES_N] = {1, 4, 16};
static struct guest guests[GUESTS];
static struct model m;
static struct permits p;
/* What happened to whom in this step: guest * 2, and 1 for those shed. */
static unsigned did[GUESTS], did_n, expected[GUESTS], expected_n;

static void on_grant(struct permit_waiter *w)
{
    did[did_n++] = container_of(w, struct guest, waiter)->number * 2;
}

static void on_shed(struct permit_waiter *w)
{
    did[did_n++] = container_of(w, struct guest, waiter)->number * 2 + 1;
}

static const struct permit_waiter *who(unsigned i)
{
    return &guests[m.order[i]].waiter;
}

/* The place in the order of the first who waits of that class and, unless it is FLOWS, that flow;
 * m.waiting: nobody. */
static unsigned first_of(enum permit_class class, uint64_t flow)
{
    unsigned i = 0;
    while (i < m.waiting && (who(i)->class != class || (flow != FLOWS && who(i)->flow != flow)))
        i++;
    return i;
}

static unsigned model_remove(unsigned i)
{
    unsigned g = m.order[i];
    memmove(&m.order[i], &m.order[i + 1], (m.waiting - i - 1) * sizeof m.order[0]);
    m.waiting--;
    guests[g].waits = false;
    return g;
}

/* Whose turn it is; m.waiting > 0. */
static unsigned model_next(void)
{
    int class = -1;
    for (int c = PERMIT_CLASSES_N - 1; c >= 0; c--) {
        bool any = first_of((enum permit_class)c, FLOWS) < m.waiting;
        if (any && (class < 0 || m.class_tag[c] < m.class_tag[class]))
            class = c;
    }
    unsigned best = m.waiting;
    for (uint64_t f = 0; f < FLOWS; f++) {
        unsigned i = first_of((enum permit_class) class, f);
        if (i == m.waiting)
            continue;
        uint64_t tag = m.flow_tag[class][f];
        uint64_t least = best < m.waiting ? m.flow_tag[class][who(best)->flow] : UINT64_MAX;
        if (tag < least || (tag == least && i < best))
            best = i;
    }
    return best;
}

static uint64_t turn(unsigned weight)
{
    return TURN / (weight > 0 ? weight : 1);
}

static void model_grant(void)
{
    while (m.waiting > 0 && (m.limit == 0 || m.held < m.limit)) {
        unsigned i = model_next();
        enum permit_class c = who(i)->class;
        uint64_t f = who(i)->flow;
        m.class_clock = m.class_tag[c];
        m.class_tag[c] += TURN / shares[c];
        m.flow_clock[c] = m.flow_tag[c][f];
        expected[expected_n++] = model_remove(i) * 2;
        m.held++;
        unsigned heir = first_of(c, f);
        if (heir < m.waiting)
            m.flow_tag[c][f] += turn(who(heir)->weight);
    }
}

static void model_enter(unsigned g)
{
    const struct permit_waiter *w = &guests[g].waiter;
    if (first_of(w->class, FLOWS) == m.waiting)
        m.class_tag[w->class] = m.class_clock + TURN / shares[w->class];
    if (first_of(w->class, w->flow) == m.waiting)
        m.flow_tag[w->class][w->flow] = m.flow_clock[w->class] + turn(w->weight);
    m.order[m.waiting++] = g;
    guests[g].waits = true;
}

static double part_of(const struct permit_waiter *w)
{
    return 1.0 / (w->queues > 0 ? w->queues : 1);
}

static enum permit_result model_take(unsigned g)
{
    if (m.waiting == 0 && (m.limit == 0 || m.held < m.limit)) {
        m.held++;
        return PERMIT_TAKEN;
    }
    double all = 0, lower = 0, own = part_of(&guests[g].waiter);
    for (unsigned i = 0; i < m.waiting; i++) {
        all += part_of(who(i));
        lower += who(i)->class < guests[g].waiter.class ? part_of(who(i)) : 0;
    }
    double lacks = own - fmax((double)m.queue_limit - all, 0);
    if (lacks > lower + TINY)
        return PERMIT_REFUSED;
    while (lacks > TINY) {
        unsigned victim = 0;
        for (unsigned i = 1; i < m.waiting; i++) {
            if (who(i)->class <= who(victim)->class)
                victim = i;
        }
        lacks -= part_of(who(victim));
        expected[expected_n++] = model_remove(victim) * 2 + 1;
    }
    model_enter(g);
    return PERMIT_WAITING;
}

static void step_take(void)
{
    unsigned g = (unsigned)check_random_below(GUESTS);
    if (guests[g].waits)
        return;
    guests[g] = (struct guest){.number = g,
                               .waiter = {.class = (enum permit_class)check_random_below(3),
                                          .flow = check_random_below(FLOWS),
                                          .weight = (unsigned)check_random_below(7),
                                          .queues = (unsigned)check_random_below(9),
                                          .grant = on_grant,
                                          .shed = on_shed}};
    enum permit_result want = model_take(g);
    CHECK(permits_take(&p, &guests[g].waiter) == want);
}

static void step_leave(void)
{
    unsigned g = (unsigned)check_random_below(GUESTS), i = 0;
    bool waits = guests[g].waits;
    while (waits && m.order[i] != g)
        i++;
    if (waits)
        model_remove(i);
    CHECK(permits_leave(&p, &guests[g].waiter) == waits);
}

static void step_set(void)
{
    m.limit = (int64_t)check_random_below(8) - 1;
    m.queue_limit = (int64_t)check_random_below(GUESTS + 8);
    model_grant();
    permits_set(&p, m.limit, m.queue_limit);
}

static void step_try(void)
{
    bool want = m.waiting == 0 && (m.limit == 0 || m.held < m.limit);
    m.held += want;
    CHECK(permits_try(&p) == want);
}

static void step_give(void)
{
    if (m.held == 0)
        return;
    m.held--;
    model_grant();
    permits_give(&p);
}

static void step(void)
{
    uint64_t dice = check_random_below(100);
    int64_t held = p.held;
    did_n = expected_n = 0;
    if (dice < 50)
        step_take();
    else if (dice < 84)
        step_give();
    else if (dice < 94)
        step_leave();
    else if (dice < 97)
        step_try();
    else
        step_set();
    CHECK_EQ_I64(did_n, expected_n);
    for (unsigned i = 0; i < did_n; i++)
        CHECK_EQ_I64(did[i], expected[i]);
    CHECK_EQ_I64(p.held, m.held);
    CHECK_EQ_I64(p.waiting_n, m.waiting);
    CHECK(p.limit == 0 || p.held <= p.limit || p.held <= held); /* but for lowered limits */
}

TEST(as_the_naive_model)
{
    unsigned counts[2] = {0}; /* served, shed */
    memset(guests, 0, sizeof guests);
    m = (struct model){.limit = 3, .queue_limit = 20};
    permits_init(&p, 3, 20);
    for (unsigned i = 0; i < 200000; i++) {
        check_note("step %u", i);
        step();
        for (unsigned j = 0; j < did_n; j++)
            counts[did[j] % 2]++;
    }
    CHECK(counts[0] > 10000 && counts[1] > 1000);
    for (unsigned g = 0; g < GUESTS; g++)
        (void)permits_leave(&p, &guests[g].waiter);
    CHECK_EQ_I64(p.waiting_n, 0);
    permits_done(&p);
}
