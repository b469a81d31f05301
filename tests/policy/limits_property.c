/* Random limits, arrivals, amounts and endings from several threads whose clocks differ. Every
 * decision is written down with its place in the order in which the scopes were locked, and then
 * judged against exact logs: nothing is admitted that a log of 60 s refuses, nothing refused that
 * one of 60.1 s admits. The same history judged by slightly wrong logs has to be found wrong. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "check.h"
#include "exact_log.h"
#include "limits_inner.h"

#define WORLDS  20
#define THREADS 4
#define STEPS   2000 /* of each thread in each world */
#define SCOPES  8
#define SETS    2  /* of each scope: the configuration may change meanwhile */
#define OPEN    24 /* admissions that are open at once, of all threads */
#define BEGIN   (1000 * NS_PER_S)
#define MINUTE  (60 * NS_PER_S)

enum what { ADMITTED, REFUSED, SETTLED };

/* One call. */
struct record {
    enum what what;
    unsigned actor, n;
    uint8_t scopes[LIMIT_SCOPES_MAX], set;
    struct limit_amounts amounts; /* wanted, or actual */
    int64_t now_ns;
    struct limit_trace trace[LIMIT_SCOPES_MAX]; /* of an admission: the first */
    struct limit_refusal refusal;
    struct limit_amounts over;
    struct limit_hold hold;
    struct record *admission;                     /* which a settlement ends */
    struct exact_entry entries[LIMIT_SCOPES_MAX]; /* for the judge */
};

struct world {
    struct limit_registry *registry;
    struct limit_scope *scopes[SCOPES];
    struct limit_set sets[SETS][SCOPES];
    _Atomic int64_t clock_ns;
    _Atomic(struct record *) open[OPEN];
    struct actor {
        struct world *w;
        unsigned index;
        uint64_t random;
        struct limit_pool *pool;
        struct record *records;
        size_t n;
        int64_t recent_ns[32]; /* times of its latest admissions */
    } actors[THREADS];
    pthread_barrier_t start;
};

/* What the judge found. */
struct verdict {
    int64_t admitted, refused, settled;
    int64_t wrongly_admitted, wrongly_refused;
    int64_t wrongly_named; /* the refusal names what does not refuse, or figures that are not so */
    int64_t wrongly_timed;
    int64_t wrongly_left; /* counted at the end */
    int64_t overruns, over_tokens;
    int64_t changes; /* calls after one of another thread */
};

static uint64_t chance(struct actor *a, uint64_t below)
{
    return hash_mix(a->random += HASH_STEP) % below;
}

static int64_t upto(struct actor *a, int64_t most)
{
    return (int64_t)chance(a, (uint64_t)most + 1);
}

static void clock_to(struct world *w, int64_t at_ns)
{
    int64_t now = w->clock_ns;
    while (now < at_ns && !atomic_compare_exchange_weak(&w->clock_ns, &now, at_ns))
        ;
}

/* Time passes: mostly a little, now and then to just about where an entry leaves the window. The
 * clocks of the threads differ by up to 0.2 s, in any direction. */
static int64_t time_passes(struct actor *a)
{
    struct world *w = a->w;
    uint64_t kind = chance(a, 100);
    if (kind < 60)
        w->clock_ns += upto(a, 20 * NS_PER_MS);
    else if (kind < 75)
        w->clock_ns += upto(a, 300 * NS_PER_MS);
    else if (kind < 80)
        w->clock_ns += upto(a, 2 * NS_PER_S);
    else if (kind < 99)
        clock_to(w, a->recent_ns[chance(a, ARRAY_LEN(a->recent_ns))] + MINUTE +
                        upto(a, 300 * NS_PER_MS) - 150 * NS_PER_MS);
    else if (chance(a, 4) == 0)
        w->clock_ns += MINUTE + upto(a, 2 * MINUTE);
    return w->clock_ns + upto(a, 400 * NS_PER_MS) - 200 * NS_PER_MS;
}

static struct limit_amounts random_amounts(struct actor *a)
{
    struct limit_amounts want = {.requests = chance(a, 10) > 0};
    if (chance(a, 3) > 0) {
        want.input = upto(a, 100);
        want.output = upto(a, 100);
    }
    if (chance(a, 2) == 0)
        want.cost_nano = upto(a, 100);
    want.concurrency = (int64_t)chance(a, 2);
    if (chance(a, 500) == 0)
        want.input = INT64_MAX;
    return want;
}

static void pick_scopes(struct actor *a, struct record *r, struct limit_use *uses)
{
    unsigned at = (unsigned)chance(a, SCOPES), want = 1 + (unsigned)chance(a, LIMIT_SCOPES_MAX);
    unsigned step = 1 + 2 * (unsigned)chance(a, SCOPES / 2); /* odd: it comes to each */
    r->set = (uint8_t)chance(a, SETS);
    for (r->n = 0; r->n < want; r->n++) {
        at = (at + step) % SCOPES;
        r->scopes[r->n] = (uint8_t)at;
        uses[r->n] = (struct limit_use){a->w->scopes[at], &a->w->sets[r->set][at]};
    }
}

static void note_trace(struct record *r, unsigned n)
{
#ifdef WEIR_TORTURE
    for (unsigned i = 0; i < n; i++)
        r->trace[i] = limit_trace[i];
#endif
}

static struct record *record_new(struct actor *a)
{
    ASSERT(a->n < 2 * STEPS + OPEN);
    a->records[a->n].actor = a->index;
    return &a->records[a->n++];
}

static void settle(struct actor *a, struct record *admission, int64_t now)
{
    struct record *r = record_new(a);
    struct limit_amounts is = admission->hold.reserved;
    uint64_t ending = chance(a, 4);
    if (ending == 0) {
        is = (struct limit_amounts){0}; /* refused further on: taken back */
    } else if (ending == 1) {
        is.input = upto(a, is.input);
        is.output = upto(a, is.output);
        is.cost_nano = upto(a, is.cost_nano);
    } else if (ending == 2) {
        is.output += upto(a, 150);
        is.cost_nano += upto(a, 50);
    }
    r->what = SETTLED;
    r->n = admission->hold.n;
    memcpy(r->scopes, admission->scopes, sizeof r->scopes);
    r->admission = admission;
    r->amounts = is;
    r->now_ns = now;
    r->over = limit_settle(a->w->registry, a->pool, &admission->hold, &is, now);
    note_trace(r, r->n);
}

/* The admission, when it is one, takes the place of another, whoever's, which ends. */
static void arrive(struct actor *a, int64_t now)
{
    struct limit_use uses[LIMIT_SCOPES_MAX];
    struct record *r = record_new(a);
    r->amounts = random_amounts(a);
    r->now_ns = now;
    pick_scopes(a, r, uses);
    enum limit_result got = limit_admit(a->w->registry, a->pool, uses, r->n, &r->amounts, now,
                                        &r->hold, NULL, &r->refusal);
    note_trace(r, 1);
    ASSERT(got != LIMIT_NO_MEMORY);
    r->what = got == LIMIT_ADMITTED ? ADMITTED : REFUSED;
    if (got == LIMIT_REFUSED)
        return;
    a->recent_ns[chance(a, ARRAY_LEN(a->recent_ns))] = r->hold.at_ns;
    struct record *other = atomic_exchange(&a->w->open[chance(a, OPEN)], r);
    if (other != NULL)
        settle(a, other, now);
}

static void end_one(struct actor *a, int64_t now)
{
    struct record *r = atomic_exchange(&a->w->open[chance(a, OPEN)], NULL);
    if (r != NULL)
        settle(a, r, now);
}

static void periods_pass(struct world *w)
{
    static const int64_t length_ns[LIMIT_BUDGETS_N] = {20 * NS_PER_S, 100 * NS_PER_S,
                                                       300 * NS_PER_S, 900 * NS_PER_S};
    int64_t start[LIMIT_BUDGETS_N], now = w->clock_ns;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        start[b] = now - now % length_ns[b];
    limit_set_periods(w->registry, start);
}

static void *act(void *arg)
{
    struct actor *a = arg;
    pthread_barrier_wait(&a->w->start);
    for (int i = 0; i < STEPS; i++) {
        int64_t now = time_passes(a);
        if (a->index == 0 && i % 16 == 0)
            periods_pass(a->w);
        if (chance(a, 4) > 0)
            arrive(a, now);
        else
            end_one(a, now);
        if (chance(a, 8) == 0) /* few cores would let each thread run through alone */
            sched_yield();
    }
    return NULL;
}

static void random_sets(struct world *w)
{
    static const int64_t most[LIMIT_KINDS_N] = {80, 3000, 3000, 6000, 12, 2000, 5000, 9000, 20000};
    struct actor *a = &w->actors[0];
    for (unsigned i = 0; i < SETS * SCOPES; i++) {
        for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
            int64_t m = chance(a, 5) < 2 ? most[k] / 20 + upto(a, most[k]) : LIMIT_NONE;
            w->sets[i / SCOPES][i % SCOPES].most[k] = m;
        }
    }
}

static void world_open(struct world *w, uint64_t seed)
{
    *w = (struct world){.clock_ns = BEGIN};
    w->registry = mem_must(limit_registry_new(0));
    pthread_barrier_init(&w->start, NULL, THREADS);
    for (unsigned i = 0; i < SCOPES; i++) {
        char name = (char)('a' + i);
        w->scopes[i] = mem_must(limit_scope_get(w->registry, SCOPE_TEAM, slice_of(&name, 1)));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        struct actor *a = &w->actors[i];
        a->w = w;
        a->index = i;
        a->random = seed + i;
        a->pool = mem_must(limit_pool_new());
        a->records = mem_must(mem_calloc(2 * STEPS + OPEN, sizeof *a->records));
    }
    random_sets(w);
}

static void world_close(struct world *w)
{
    for (unsigned i = 0; i < THREADS; i++) {
        limit_pool_free(w->actors[i].pool);
        mem_free(w->actors[i].records);
    }
    pthread_barrier_destroy(&w->start);
    limit_registry_free(w->registry);
}

static void world_run(struct world *w)
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(thread_start(&threads[i], act, &w->actors[i]));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < OPEN; i++) {
        if (w->open[i] != NULL)
            settle(&w->actors[0], w->open[i], w->clock_ns);
    }
}

/* What happened to one scope, or, an admission, to all of its scopes at once. */
struct event {
    uint64_t order;
    struct record *r;
    unsigned i;
};

static int by_order(const void *x, const void *y)
{
    const struct event *a = x, *b = y;
    return (a->order > b->order) - (a->order < b->order);
}

static struct event *in_order(struct world *w, size_t *ret_n)
{
    size_t n = 0;
    struct event *all =
        mem_must(mem_calloc(THREADS * (2 * STEPS + OPEN) * LIMIT_SCOPES_MAX, sizeof *all));
    for (unsigned t = 0; t < THREADS; t++) {
        for (size_t k = 0; k < w->actors[t].n; k++) {
            struct record *r = &w->actors[t].records[k];
            for (unsigned i = 0; i < (r->what == SETTLED ? r->n : 1); i++)
                all[n++] = (struct event){r->trace[i].order, r, i};
        }
    }
    qsort(all, n, sizeof *all, by_order);
    *ret_n = n;
    return all;
}

/* A log of each scope, and how long its entries count at least and at most. */
struct judge {
    struct world *w;
    struct exact_log logs[SCOPES];
    struct exact_rule least, most;
    struct verdict v;
};

/* Has scope `i` of the call no room for `kind`, by that rule? */
static bool full(struct judge *j, const struct record *r, const struct exact_rule *rule, unsigned i,
                 int only_kind)
{
    const struct limit_set *set = &j->w->sets[r->set][r->scopes[i]];
    int64_t used[LIMIT_KINDS_N], want[LIMIT_KINDS_N];
    bool is_full = false;
    exact_log_used(&j->logs[r->scopes[i]], rule, r->trace[0].at_ns, r->trace[0].period_ns, used);
    exact_amounts(&r->amounts, want);
    for (int k = 0; k < LIMIT_KINDS_N; k++) {
        if ((only_kind < 0 || only_kind == k) && want[k] > 0 && used[k] + want[k] > set->most[k])
            is_full = true;
    }
    return is_full;
}

static bool any_full(struct judge *j, const struct record *r, const struct exact_rule *rule)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (full(j, r, rule, i, -1))
            return true;
    }
    return false;
}

static bool named_well(struct judge *j, const struct record *r)
{
    const struct limit_refusal *f = &r->refusal;
    int64_t least[LIMIT_KINDS_N], most[LIMIT_KINDS_N], want[LIMIT_KINDS_N];
    if (f->use >= r->n || !full(j, r, &j->most, f->use, (int)f->kind))
        return false;
    const struct exact_log *l = &j->logs[r->scopes[f->use]];
    exact_log_used(l, &j->least, r->trace[0].at_ns, r->trace[0].period_ns, least);
    exact_log_used(l, &j->most, r->trace[0].at_ns, r->trace[0].period_ns, most);
    exact_amounts(&r->amounts, want);
    return f->used >= least[f->kind] && f->used <= most[f->kind] && f->asked == want[f->kind] &&
           f->most == j->w->sets[r->set][r->scopes[f->use]].most[f->kind] &&
           f->never == (f->asked > f->most);
}

/* The time of a decision: its thread's, or that of a later call before it in one of its scopes. */
static void judge_time(struct judge *j, const struct record *r)
{
    int64_t at = r->now_ns;
    for (unsigned i = 0; i < r->n; i++)
        at = MAX_OF(at, j->logs[r->scopes[i]].latest_ns);
    j->v.wrongly_timed += at != r->trace[0].at_ns;
    for (unsigned i = 0; i < r->n; i++)
        j->logs[r->scopes[i]].latest_ns = at;
}

static void judge_admission(struct judge *j, struct record *r)
{
    j->v.admitted++;
    j->v.wrongly_admitted += any_full(j, r, &j->least);
    for (unsigned i = 0; i < r->n; i++) {
        struct exact_entry *e = &r->entries[i];
        *e = (struct exact_entry){.at_ns = r->trace[0].at_ns, .reserved = r->amounts};
        memcpy(e->period_ns, r->trace[0].period_ns, sizeof e->period_ns);
        exact_log_enter(&j->logs[r->scopes[i]], e);
        exact_log_drop(&j->logs[r->scopes[i]], e->at_ns);
    }
}

static void judge_settlement(struct judge *j, struct record *r, unsigned i)
{
    struct exact_log *l = &j->logs[r->scopes[i]];
    const struct limit_amounts *was = &r->admission->amounts;
    l->latest_ns = MAX_OF(l->latest_ns, r->now_ns);
    j->v.wrongly_timed += l->latest_ns != r->trace[i].at_ns;
    exact_log_settle(&r->admission->entries[i], &r->amounts);
    if (i > 0)
        return;
    int64_t over = MAX_OF(r->amounts.output - was->output, INT64_C(0));
    j->v.settled++;
    j->v.overruns += over > 0;
    j->v.over_tokens += over;
    j->v.wrongly_named += r->over.output != over || r->over.input != 0;
}

static void judge_all(struct judge *j, const struct event *events, size_t n)
{
    j->v = (struct verdict){0};
    for (unsigned i = 0; i < SCOPES; i++)
        exact_log_init(&j->logs[i]);
    for (size_t k = 0; k < n; k++) {
        struct record *r = events[k].r;
        if (r->what == SETTLED) {
            judge_settlement(j, r, events[k].i);
            continue;
        }
        judge_time(j, r);
        if (r->what == ADMITTED) {
            judge_admission(j, r);
        } else {
            j->v.refused++;
            j->v.wrongly_refused += !any_full(j, r, &j->most);
            j->v.wrongly_named += !named_well(j, r);
        }
    }
}

static const struct exact_rule log_60_s = {.window_ns = MINUTE, .to_the_end = true};
static const struct exact_rule log_60_1_s = {.window_ns = MINUTE + 100 * NS_PER_MS};

/* At the end nothing is open, and what is counted lies between the logs. */
static void judge_rest(struct judge *j)
{
    int64_t periods[LIMIT_BUDGETS_N], least[LIMIT_KINDS_N], most[LIMIT_KINDS_N];
    int64_t used[LIMIT_KINDS_N];
    limit_registry_periods(j->w->registry, periods);
    for (unsigned i = 0; i < SCOPES; i++) {
        int64_t at = MAX_OF(j->logs[i].latest_ns, j->w->clock_ns);
        limit_used(j->w->registry, j->w->scopes[i], at, used);
        exact_log_used(&j->logs[i], &log_60_s, at, periods, least);
        exact_log_used(&j->logs[i], &log_60_1_s, at, periods, most);
        for (unsigned k = 0; k < LIMIT_KINDS_N; k++)
            j->v.wrongly_left += used[k] < least[k] || used[k] > most[k];
        j->v.wrongly_left += used[LIMIT_CONCURRENCY] != 0 || j->w->scopes[i]->open_n != 0;
    }
}

static void verdict_add(struct verdict *sum, const struct verdict *v)
{
    sum->admitted += v->admitted;
    sum->refused += v->refused;
    sum->settled += v->settled;
    sum->wrongly_admitted += v->wrongly_admitted;
    sum->wrongly_refused += v->wrongly_refused;
    sum->wrongly_named += v->wrongly_named;
    sum->wrongly_timed += v->wrongly_timed;
    sum->wrongly_left += v->wrongly_left;
    sum->overruns += v->overruns;
    sum->over_tokens += v->over_tokens;
}

/* Logs that are wrong by a little. */
enum wrong { LEAST_LONGER, MOST_SHORTER, OPEN_FORGOTTEN, RESERVED_ON, WRONG_N };
static const struct {
    const char *name;
    struct exact_rule least, most;
} wrong_rules[WRONG_N] = {
    [LEAST_LONGER] = {"the 60 s log counts for 60.1 s",
                      {.window_ns = MINUTE + 100 * NS_PER_MS},
                      {.window_ns = MINUTE + 100 * NS_PER_MS}},
    [MOST_SHORTER] = {"the 60.1 s log counts for 60 s",
                      {.window_ns = MINUTE, .to_the_end = true},
                      {.window_ns = MINUTE, .to_the_end = true}},
    [OPEN_FORGOTTEN] = {"open entries end with their window",
                        {.window_ns = MINUTE, .to_the_end = true, .forgets_open = true},
                        {.window_ns = MINUTE + 100 * NS_PER_MS, .forgets_open = true}},
    [RESERVED_ON] = {"settlement changes nothing",
                     {.window_ns = MINUTE, .to_the_end = true, .reserved_on = true},
                     {.window_ns = MINUTE + 100 * NS_PER_MS, .reserved_on = true}},
};

/* `wrong` may be NULL: it takes four times as long. */
static void judge_world(struct world *w, struct verdict *sum, struct verdict wrong[WRONG_N])
{
    struct judge *j = mem_must(mem_calloc(1, sizeof *j));
    size_t n;
    struct event *events = in_order(w, &n);
    *j = (struct judge){.w = w, .least = log_60_s, .most = log_60_1_s};
    judge_all(j, events, n);
    judge_rest(j);
    verdict_add(sum, &j->v);
    for (size_t k = 1; k < n; k++)
        sum->changes += events[k].r->actor != events[k - 1].r->actor;
    for (unsigned i = 0; i < WRONG_N && wrong != NULL; i++) {
        j->least = wrong_rules[i].least;
        j->most = wrong_rules[i].most;
        judge_all(j, events, n);
        verdict_add(&wrong[i], &j->v);
    }
    mem_free(events);
    mem_free(j);
}

static void print_verdict(const struct verdict *v)
{
    printf("%" PRId64 " decisions of %d threads: %" PRId64 " admitted, %" PRId64
           " refused; %" PRId64 " settled; %" PRId64 " times another thread was next\n",
           v->admitted + v->refused, THREADS, v->admitted, v->refused, v->settled, v->changes);
    printf("admitted though the exact 60 s log refuses: %" PRId64 "\n", v->wrongly_admitted);
    printf("refused though the exact 60.1 s log admits: %" PRId64 "\n", v->wrongly_refused);
    printf("overruns, counted apart: %" PRId64 " settlements, %" PRId64 " tokens\n", v->overruns,
           v->over_tokens);
}

TEST(decisions_against_exact_logs)
{
    struct verdict sum = {0}, wrong[WRONG_N] = {{0}};
    struct world *w = mem_must(mem_calloc(1, sizeof *w));
    check_needs_torture(); /* without it there are no traces */
    for (unsigned i = 0; i < WORLDS; i++) {
        world_open(w, check_random());
        world_run(w);
        judge_world(w, &sum, i % 4 == 0 ? wrong : NULL);
        world_close(w);
    }
    mem_free(w);
    print_verdict(&sum);
    CHECK(sum.admitted > 10000 && sum.refused > 10000 && sum.overruns > 1000);
    CHECK_EQ_I64(sum.wrongly_admitted, 0);
    CHECK_EQ_I64(sum.wrongly_refused, 0);
    CHECK_EQ_I64(sum.wrongly_named, 0);
    CHECK_EQ_I64(sum.wrongly_timed, 0);
    CHECK_EQ_I64(sum.wrongly_left, 0);
    for (unsigned i = 0; i < WRONG_N; i++) {
        printf("judged by wrong logs (%s): %" PRId64 " and %" PRId64 "\n", wrong_rules[i].name,
               wrong[i].wrongly_admitted, wrong[i].wrongly_refused);
        check_note("%s", wrong_rules[i].name);
        CHECK((i == LEAST_LONGER || i == RESERVED_ON ? wrong[i].wrongly_admitted
                                                     : wrong[i].wrongly_refused) > 0);
    }
}
