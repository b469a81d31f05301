/* Windows, settlement, budgets and refusals at their edges, on one thread. */
#include "base/hash.h"
#include "policy/limits.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "limits_inner.h"

#define S NS_PER_S
#define T (1000 * S) /* begin of most tests */

/* Some scopes with a set of limits each. */
struct world {
    struct limit_registry *r;
    struct limit_pool *pool;
    struct limit_set sets[LIMIT_SCOPES_MAX];
    struct limit_use uses[LIMIT_SCOPES_MAX];
    unsigned n;
    struct limit_refusal refusal;
};

static void world_open(struct world *w, unsigned n)
{
    *w = (struct world){.n = n};
    w->r = mem_must(limit_registry_new(4));
    w->pool = mem_must(limit_pool_new());
    for (unsigned i = 0; i < n; i++) {
        w->sets[i] = limit_set_none;
        w->uses[i].scope = mem_must(limit_scope_get(w->r, (enum scope_kind)i, SLICE("x")));
        w->uses[i].set = &w->sets[i];
    }
}

static void world_close(struct world *w)
{
    limit_pool_free(w->pool);
    limit_registry_free(w->r);
}

static enum limit_result admit(struct world *w, struct limit_amounts a, int64_t now,
                               struct limit_hold *h)
{
    w->refusal = (struct limit_refusal){0};
    return limit_admit(w->r, w->pool, w->uses, w->n, &a, now, h, NULL, &w->refusal);
}

static struct limit_amounts settle(struct world *w, struct limit_hold *h, struct limit_amounts a,
                                   int64_t now)
{
    return limit_settle(w->r, w->pool, h, &a, now);
}

/* Admitted, and settled at once as it was asked for? */
static bool passes(struct world *w, struct limit_amounts a, int64_t now)
{
    struct limit_hold h = {0};
    if (admit(w, a, now, &h) != LIMIT_ADMITTED)
        return false;
    settle(w, &h, a, now);
    return true;
}

static int64_t used(struct world *w, unsigned scope, enum limit_kind kind, int64_t now)
{
    int64_t by_kind[LIMIT_KINDS_N];
    limit_used(w->r, w->uses[scope].scope, now, by_kind);
    return by_kind[kind];
}

#define REQUEST      ((struct limit_amounts){.requests = 1})
#define TOKENS(i, o) ((struct limit_amounts){.requests = 1, .input = (i), .output = (o)})
#define COST(nano)   ((struct limit_amounts){.requests = 1, .cost_nano = (nano)})
#define PLACE        ((struct limit_amounts){.requests = 1, .concurrency = 1})
#define NOTHING      ((struct limit_amounts){0})

TEST(names)
{
    CHECK_EQ_STR(scope_kind_name(SCOPE_USE_CASE), "use_case");
    CHECK_EQ_STR(scope_kind_name(SCOPE_KINDS_N), "");
    CHECK_EQ_STR(limit_kind_name(LIMIT_TOKENS), "tokens_per_minute");
    CHECK_EQ_STR(limit_kind_name(LIMIT_BUDGET_MONTH), "budget_month");
    CHECK_EQ_STR(limit_kind_name(LIMIT_KINDS_N), "");
    for (unsigned k = 0; k < SCOPE_KINDS_N; k++)
        CHECK(scope_kind_name((enum scope_kind)k)[0] != '\0');
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        CHECK(limit_kind_name((enum limit_kind)k)[0] != '\0');
        CHECK_EQ_I64(limit_set_none.most[k], LIMIT_NONE);
    }
}

TEST(scopes_by_name)
{
    struct world w;
    world_open(&w, 1);
    struct limit_scope *a = limit_scope_get(w.r, SCOPE_TEAM, SLICE("a"));
    CHECK(a != NULL && limit_scope_get(w.r, SCOPE_TEAM, SLICE("a")) == a);
    CHECK(limit_scope_get(w.r, SCOPE_KEY, SLICE("a")) != a);
    CHECK(limit_scope_get(w.r, SCOPE_TEAM, SLICE("")) != a);
    struct limit_scope *many[300];
    char name[24];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "team-%d", i);
        many[i] = limit_scope_get(w.r, SCOPE_TEAM, slice_str(name));
    }
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "team-%d", i);
        CHECK(limit_scope_get(w.r, SCOPE_TEAM, slice_str(name)) == many[i]);
    }
    CHECK(limit_scope_get(w.r, SCOPE_TEAM, SLICE("a")) == a);
    world_close(&w);
}

TEST(zeroed_set_admits_nothing)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0] = (struct limit_set){0};
    const struct limit_amounts each[] = {
        {.requests = 1}, {.input = 1}, {.output = 1}, {.cost_nano = 1}, {.concurrency = 1}};
    const enum limit_kind kinds[] = {LIMIT_REQUESTS, LIMIT_INPUT, LIMIT_OUTPUT, LIMIT_BUDGET_HOUR,
                                     LIMIT_CONCURRENCY};
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        CHECK(admit(&w, each[i], T, &h) == LIMIT_REFUSED);
        CHECK_EQ_I64(w.refusal.kind, kinds[i]);
        CHECK(w.refusal.never && w.refusal.asked == 1 && w.refusal.most == 0);
    }
    CHECK_EQ_U64(h.n, 0);
    CHECK(admit(&w, NOTHING, T, &h) == LIMIT_ADMITTED); /* kinds of amount 0 are not looked at */
    settle(&w, &h, NOTHING, T);
    world_close(&w);
}

TEST(window_of_60_to_60_1_s)
{
    static const struct {
        int64_t in_ns, refused_ns, admitted_ns;
    } rows[] = {
        {T, T + 60 * S + 99999999, T + 60 * S + 100000000},
        {T + 99999999, T + 60 * S + 99999999, T + 60 * S + 100000000},
        {T + 50000000, T + 60 * S + 99999999, T + 60 * S + 100000000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        world_open(&w, 1);
        check_note("row %zu", i);
        w.sets[0].most[LIMIT_REQUESTS] = 1;
        CHECK(passes(&w, REQUEST, rows[i].in_ns));
        CHECK(!passes(&w, REQUEST, rows[i].in_ns));
        CHECK(!passes(&w, REQUEST, rows[i].refused_ns));
        CHECK_EQ_I64(w.refusal.retry_ns, rows[i].admitted_ns - rows[i].refused_ns);
        CHECK(passes(&w, REQUEST, rows[i].admitted_ns));
        world_close(&w);
    }
}

TEST(retry_is_exact)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_TOKENS] = 1000;
    int64_t now = T;
    int refused = 0;
    while (refused < 300) {
        int64_t in = (int64_t)check_random_below(100), out = (int64_t)check_random_below(100);
        now += (int64_t)check_random_below(6 * S);
        if (passes(&w, TOKENS(in, out), now))
            continue;
        int64_t retry = w.refusal.retry_ns;
        refused++;
        CHECK(w.refusal.kind == LIMIT_TOKENS && retry > 0 && !w.refusal.never);
        CHECK_EQ_I64(w.refusal.used, used(&w, 0, LIMIT_TOKENS, now));
        CHECK(admit(&w, TOKENS(in, out), now + retry - 1, &h) == LIMIT_REFUSED);
        CHECK_EQ_I64(w.refusal.retry_ns, 1);
        now += retry;
        CHECK(passes(&w, TOKENS(in, out), now));
    }
    world_close(&w);
}

TEST(retry_counts_from_the_callers_clock)
{
    struct world w;
    world_open(&w, 1);
    w.sets[0].most[LIMIT_REQUESTS] = 1;
    CHECK(passes(&w, REQUEST, T));
    CHECK(!passes(&w, REQUEST, T - 5 * S));
    CHECK_EQ_I64(w.refusal.retry_ns, 65 * S + 100 * NS_PER_MS);
    world_close(&w);
}

TEST(time_does_not_go_back)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 2);
    w.sets[0].most[LIMIT_REQUESTS] = 2;
    struct limit_use first = w.uses[0];
    struct limit_amounts one = REQUEST;
    /* The second scope is ahead: an entry in both has its time in both. */
    CHECK(limit_admit(w.r, w.pool, &w.uses[1], 1, &one, T + 30 * S, &h, NULL, &w.refusal) ==
          LIMIT_ADMITTED);
    settle(&w, &h, one, T + 30 * S);
    CHECK(admit(&w, one, T, &h) == LIMIT_ADMITTED);
    CHECK_EQ_I64(h.at_ns, T + 30 * S);
    settle(&w, &h, one, T);
    CHECK(limit_admit(w.r, w.pool, &first, 1, &one, T + 1, &h, NULL, &w.refusal) == LIMIT_ADMITTED);
    CHECK_EQ_I64(h.at_ns, T + 30 * S);
    settle(&w, &h, one, T + 1);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T + 90 * S), 2);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T + 90 * S + 100 * NS_PER_MS), 0);
    world_close(&w);
}

TEST(open_tokens_count_past_the_window)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_INPUT] = 100;
    CHECK(admit(&w, TOKENS(80, 5), T, &h) == LIMIT_ADMITTED);
    CHECK(passes(&w, TOKENS(15, 0), T + 10 * S));
    CHECK(!passes(&w, TOKENS(10, 0), T + 20 * S)); /* the 15 would have to leave */
    CHECK_EQ_I64(w.refusal.retry_ns, 50 * S + 100 * NS_PER_MS);
    CHECK(!passes(&w, TOKENS(30, 0), T + 20 * S)); /* the open ones would have to be settled */
    CHECK_EQ_I64(w.refusal.retry_ns, 0);
    CHECK(!w.refusal.never);
    CHECK(!passes(&w, TOKENS(21, 0), T + 3600 * S));
    CHECK_EQ_I64(w.refusal.used, 80);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T + 3600 * S), 0);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T + 3600 * S), 85);
    struct limit_amounts over = settle(&w, &h, TOKENS(500, 0), T + 3600 * S);
    CHECK_EQ_I64(over.input, 420);
    CHECK_EQ_I64(over.output, 0);
    CHECK_EQ_U64(h.n, 0);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T + 3600 * S), 0);
    CHECK(passes(&w, TOKENS(100, 0), T + 3600 * S));
    world_close(&w);
}

TEST(settlement_in_the_window)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_OUTPUT] = 100;
    CHECK(admit(&w, TOKENS(0, 100), T, &h) == LIMIT_ADMITTED);
    settle(&w, &h, TOKENS(7, 30), T + S);
    CHECK_EQ_I64(used(&w, 0, LIMIT_INPUT, T + S), 7);
    CHECK_EQ_I64(used(&w, 0, LIMIT_OUTPUT, T + S), 30);
    CHECK(admit(&w, TOKENS(0, 70), T + S, &h) == LIMIT_ADMITTED);
    struct limit_amounts over = settle(&w, &h, TOKENS(0, 170), T + 2 * S);
    CHECK_EQ_I64(over.output, 100);
    CHECK_EQ_I64(over.requests, 0);
    /* 200 of 100: a debt, which delays what comes until both have left. */
    CHECK(!passes(&w, TOKENS(0, 1), T + 60 * S + 100 * NS_PER_MS));
    CHECK_EQ_I64(w.refusal.used, 170);
    CHECK(passes(&w, TOKENS(0, 1), T + 61 * S + 100 * NS_PER_MS));
    world_close(&w);
}

TEST(empty_holds_are_left_alone)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    CHECK_EQ_I64(settle(&w, &h, TOKENS(5, 5), T).input, 0);
    w.n = 0;
    CHECK(admit(&w, TOKENS(5, 5), T, &h) == LIMIT_ADMITTED);
    settle(&w, &h, TOKENS(5, 5), T);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T), 0);
    world_close(&w);
}

TEST(a_request_is_taken_back)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_REQUESTS] = 1;
    CHECK(admit(&w, PLACE, T, &h) == LIMIT_ADMITTED);
    settle(&w, &h, NOTHING, T);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T), 0);
    CHECK(passes(&w, REQUEST, T));
    CHECK(!passes(&w, REQUEST, T));
    world_close(&w);
}

TEST(actual_figures_without_a_reservation)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    CHECK(admit(&w, (struct limit_amounts){.concurrency = 1}, T, &h) == LIMIT_ADMITTED);
    settle(&w, &h, TOKENS(10, 20), T + S);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T + S), 30);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T + S), 1);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T + 61 * S), 0);
    world_close(&w);
}

TEST(all_scopes_or_none)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, LIMIT_SCOPES_MAX);
    w.sets[4].most[LIMIT_CONCURRENCY] = 0;
    CHECK(admit(&w, PLACE, T, &h) == LIMIT_REFUSED);
    CHECK_EQ_U64(w.refusal.use, 4);
    CHECK_EQ_I64(w.refusal.kind, LIMIT_CONCURRENCY);
    for (unsigned i = 0; i < w.n; i++)
        CHECK_EQ_I64(used(&w, i, LIMIT_REQUESTS, T), 0);
    w.sets[4].most[LIMIT_CONCURRENCY] = 1;
    CHECK(admit(&w, PLACE, T, &h) == LIMIT_ADMITTED);
    CHECK_EQ_U64(h.n, LIMIT_SCOPES_MAX);
    for (unsigned i = 0; i < w.n; i++)
        CHECK_EQ_I64(used(&w, i, LIMIT_CONCURRENCY, T), 1);
    settle(&w, &h, REQUEST, T);
    for (unsigned i = 0; i < w.n; i++)
        CHECK_EQ_I64(used(&w, i, LIMIT_CONCURRENCY, T), 0);
    world_close(&w);
}

TEST(concurrency)
{
    struct world w;
    struct limit_hold h[3] = {{0}};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_CONCURRENCY] = 2;
    CHECK(admit(&w, PLACE, T, &h[0]) == LIMIT_ADMITTED);
    CHECK(admit(&w, PLACE, T, &h[1]) == LIMIT_ADMITTED);
    CHECK(admit(&w, PLACE, T + 3600 * S, &h[2]) == LIMIT_REFUSED);
    CHECK(w.refusal.kind == LIMIT_CONCURRENCY && w.refusal.retry_ns == 0 && !w.refusal.never);
    settle(&w, &h[0], REQUEST, T);
    CHECK(admit(&w, PLACE, T, &h[2]) == LIMIT_ADMITTED);
    settle(&w, &h[1], REQUEST, T);
    settle(&w, &h[2], REQUEST, T);
    CHECK_EQ_I64(used(&w, 0, LIMIT_CONCURRENCY, T), 0);
    world_close(&w);
}

TEST(the_longest_refusal_is_told)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 3);
    w.sets[0].most[LIMIT_REQUESTS] = 2;
    w.sets[0].most[LIMIT_CONCURRENCY] = 1;
    w.sets[1].most[LIMIT_INPUT] = 100;
    CHECK(admit(&w, PLACE, T, &h) == LIMIT_ADMITTED);
    CHECK(passes(&w, TOKENS(90, 0), T + 9 * S));
    CHECK(!passes(&w, (struct limit_amounts){.requests = 1, .input = 20, .concurrency = 1},
                  T + 9 * S));
    CHECK(w.refusal.use == 1 && w.refusal.kind == LIMIT_INPUT);
    CHECK_EQ_I64(w.refusal.retry_ns, 60 * S + 100 * NS_PER_MS);
    CHECK(!passes(&w, (struct limit_amounts){.requests = 1, .concurrency = 1}, T + 9 * S));
    CHECK(w.refusal.use == 0 && w.refusal.kind == LIMIT_REQUESTS);
    w.sets[2].most[LIMIT_BUDGET_DAY] = 50;
    CHECK(passes(&w, (struct limit_amounts){.cost_nano = 40}, T + 9 * S));
    CHECK(!passes(&w, (struct limit_amounts){.input = 20, .cost_nano = 20}, T + 9 * S));
    CHECK(w.refusal.use == 2 && w.refusal.kind == LIMIT_BUDGET_DAY && w.refusal.retry_ns == 0);
    CHECK(!passes(&w, (struct limit_amounts){.input = 101, .cost_nano = 20}, T + 9 * S));
    CHECK(w.refusal.use == 1 && w.refusal.never && w.refusal.retry_ns == 0);
    settle(&w, &h, REQUEST, T + 9 * S);
    world_close(&w);
}

TEST(standing_is_the_tightest)
{
    struct world w;
    struct limit_hold h = {0};
    struct limit_standing st[LIMIT_KINDS_N];
    world_open(&w, 2);
    w.sets[0].most[LIMIT_REQUESTS] = 10;
    w.sets[1].most[LIMIT_REQUESTS] = 100;
    w.sets[1].most[LIMIT_OUTPUT] = 50;
    w.sets[1].most[LIMIT_BUDGET_WEEK] = 1000;
    for (size_t k = 0; k < LIMIT_KINDS_N; k++)
        st[k] = (struct limit_standing){.most = LIMIT_NONE};
    struct limit_amounts a = {.requests = 1, .output = 30, .cost_nano = 700};
    CHECK(limit_admit(w.r, w.pool, w.uses, 2, &a, T, &h, st, &w.refusal) == LIMIT_ADMITTED);
    CHECK(st[LIMIT_REQUESTS].most == 10 && st[LIMIT_REQUESTS].left == 9);
    CHECK_EQ_I64(st[LIMIT_REQUESTS].reset_ns, 60 * S + 100 * NS_PER_MS);
    CHECK(st[LIMIT_OUTPUT].most == 50 && st[LIMIT_OUTPUT].left == 20);
    CHECK(st[LIMIT_BUDGET_WEEK].left == 300 && st[LIMIT_BUDGET_WEEK].reset_ns == 0);
    CHECK(st[LIMIT_INPUT].most == LIMIT_NONE && st[LIMIT_CONCURRENCY].most == LIMIT_NONE);
    settle(&w, &h, (struct limit_amounts){.requests = 1, .output = 90, .cost_nano = 5000}, T);
    CHECK(limit_admit(w.r, w.pool, w.uses, 2, &a, T, &h, st, &w.refusal) == LIMIT_REFUSED);
    CHECK_EQ_I64(st[LIMIT_OUTPUT].left, 0); /* a debt is not less than nothing */
    CHECK_EQ_I64(st[LIMIT_BUDGET_WEEK].left, 0);
    CHECK_EQ_I64(st[LIMIT_REQUESTS].left, 9);
    world_close(&w);
}

TEST(budgets)
{
    struct world w;
    struct limit_hold h = {0};
    int64_t day[LIMIT_BUDGETS_N] = {100, 100, 100, 100};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_BUDGET_DAY] = 1000;
    limit_set_periods(w.r, day);
    CHECK(passes(&w, COST(600), T));
    CHECK(admit(&w, COST(400), T, &h) == LIMIT_ADMITTED);
    CHECK(!passes(&w, COST(1), T));
    CHECK(w.refusal.kind == LIMIT_BUDGET_DAY && w.refusal.used == 1000 && w.refusal.retry_ns == 0);
    CHECK(!w.refusal.never);
    CHECK(passes(&w, COST(0), T)); /* what is free always passes */
    CHECK(!passes(&w, COST(1001), T));
    CHECK(w.refusal.never);
    /* The next day: what is open counts on, what was settled is over. */
    day[1] = 200;
    limit_set_periods(w.r, day);
    CHECK_EQ_I64(limit_period_start(w.r, 1), 200);
    CHECK_EQ_I64(used(&w, 0, LIMIT_BUDGET_DAY, T), 400);
    CHECK_EQ_I64(used(&w, 0, LIMIT_BUDGET_MONTH, T), 1000);
    CHECK(!passes(&w, COST(601), T));
    struct limit_amounts over = settle(&w, &h, COST(450), T); /* belongs to the day before */
    CHECK_EQ_I64(over.cost_nano, 50);
    CHECK_EQ_I64(used(&w, 0, LIMIT_BUDGET_DAY, T), 0);
    CHECK_EQ_I64(used(&w, 0, LIMIT_BUDGET_MONTH, T), 1050);
    CHECK(passes(&w, COST(1000), T));
    day[1] = 150; /* no clock brings a period back */
    limit_set_periods(w.r, day);
    CHECK_EQ_I64(limit_period_start(w.r, 1), 200);
    CHECK(!passes(&w, COST(1), T));
    world_close(&w);
}

TEST(spend_from_before)
{
    struct world w;
    world_open(&w, 1);
    w.sets[0].most[LIMIT_BUDGET_MONTH] = 1000;
    limit_set_periods(w.r, (int64_t[LIMIT_BUDGETS_N]){9, 9, 9, 9});
    limit_add_spend(w.r, w.uses[0].scope, (int64_t[LIMIT_BUDGETS_N]){0, 0, 0, 900});
    CHECK(!passes(&w, COST(101), T));
    limit_add_spend(w.r, w.uses[0].scope, (int64_t[LIMIT_BUDGETS_N]){0, 0, 0, -10});
    CHECK(passes(&w, COST(110), T));
    limit_add_spend(w.r, w.uses[0].scope, (int64_t[LIMIT_BUDGETS_N]){0, 0, 0, INT64_MIN});
    CHECK(passes(&w, COST(1000), T));
    limit_add_spend(w.r, w.uses[0].scope, (int64_t[LIMIT_BUDGETS_N]){INT64_MAX, 0, 0, INT64_MAX});
    limit_add_spend(w.r, w.uses[0].scope, (int64_t[LIMIT_BUDGETS_N]){INT64_MAX, 0, 0, INT64_MAX});
    CHECK(!passes(&w, COST(1), T));
    w.sets[0].most[LIMIT_BUDGET_MONTH] = LIMIT_NONE;
    CHECK(passes(&w, COST(INT64_MAX), T));
    world_close(&w);
}

TEST(huge_and_negative_amounts)
{
    struct world w;
    struct limit_hold h = {0};
    world_open(&w, 1);
    w.sets[0].most[LIMIT_TOKENS] = 1000;
    CHECK(admit(&w, TOKENS(INT64_MAX, INT64_MAX), T, &h) == LIMIT_REFUSED);
    CHECK(w.refusal.never && w.refusal.asked == 2 * LIMIT_AMOUNT_MAX);
    CHECK(admit(&w, TOKENS(INT64_MIN, -1), T, &h) == LIMIT_ADMITTED);
    struct limit_amounts over =
        settle(&w, &h, (struct limit_amounts){INT64_MAX, INT64_MAX, -5, INT64_MAX, INT64_MAX}, T);
    CHECK_EQ_I64(over.input, LIMIT_AMOUNT_MAX);
    CHECK_EQ_I64(over.output, 0);
    CHECK_EQ_I64(over.concurrency, 0);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T), LIMIT_AMOUNT_MAX);
    CHECK_EQ_I64(used(&w, 0, LIMIT_CONCURRENCY, T), 0);
    CHECK(!passes(&w, TOKENS(1, 0), T));
    w.sets[0].most[LIMIT_TOKENS] = -7; /* less than nothing */
    CHECK(admit(&w, TOKENS(1, 0), T + 120 * S, &h) == LIMIT_REFUSED);
    CHECK(w.refusal.never);
    world_close(&w);
}

/* 2^48 each time: 2^15 of them would wrap. */
TEST(sums_without_limits_do_not_wrap)
{
    enum { N = 40000 };
    struct world w;
    struct limit_hold *h = mem_must(mem_calloc(N, sizeof *h));
    struct limit_amounts most = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, 1};
    world_open(&w, 2);
    for (int i = 0; i < N; i++)
        CHECK(admit(&w, most, T + i, &h[i]) == LIMIT_ADMITTED);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T), 2 * LIMIT_SUM_MAX);
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T), LIMIT_SUM_MAX);
    for (int i = 0; i < N; i++) {
        if (i == N / 2)
            CHECK_EQ_I64(used(&w, 1, LIMIT_INPUT, T + N), LIMIT_SUM_MAX);
        settle(&w, &h[i], most, i < N / 2 ? T + N : T + 200 * S);
    }
    CHECK_EQ_I64(used(&w, 0, LIMIT_BUDGET_HOUR, T), LIMIT_SUM_MAX);
    CHECK_EQ_I64(used(&w, 0, LIMIT_TOKENS, T), 0);
    CHECK_EQ_I64(used(&w, 1, LIMIT_REQUESTS, T), 0);
    CHECK_EQ_I64(used(&w, 1, LIMIT_CONCURRENCY, T), 0);
    mem_free(h);
    world_close(&w);
}

/* Slots are 32 bits of the monotonic clock. */
TEST(slots_may_wrap)
{
    struct world w;
    int64_t wrap = ((int64_t)1 << 32) * LIMIT_SLOT_NS;
    world_open(&w, 1);
    w.sets[0].most[LIMIT_REQUESTS] = 2;
    CHECK(passes(&w, REQUEST, wrap - 30 * S));
    CHECK(passes(&w, REQUEST, wrap + 10 * S));
    CHECK(!passes(&w, REQUEST, wrap + 29 * S));
    CHECK_EQ_I64(w.refusal.retry_ns, S + 100 * NS_PER_MS);
    CHECK(passes(&w, REQUEST, wrap + 30 * S + 100 * NS_PER_MS));
    /* As many slots later all looks the same, and is not. */
    CHECK(passes(&w, REQUEST, 2 * wrap + 31 * S));
    CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, 2 * wrap + 31 * S), 1);
    world_close(&w);
}

TEST(memory_of_a_scope_is_bounded)
{
    struct world w;
    struct limit_hold open = {0};
    world_open(&w, 1);
    CHECK(admit(&w, TOKENS(3, 4), T, &open) == LIMIT_ADMITTED);
    for (int i = 0; i < 100000; i++)
        CHECK(passes(&w, TOKENS(1, 1), T + i * (7 * NS_PER_MS)));
    CHECK(w.uses[0].scope->nodes_n == LIMIT_SLOTS + 1);
    CHECK(w.pool->n <= 64);
    CHECK_EQ_I64(used(&w, 0, LIMIT_INPUT, 0), w.uses[0].scope->input + 3);
    settle(&w, &open, TOKENS(3, 4), T + 700 * S);
    CHECK_EQ_U64(w.uses[0].scope->nodes_n, LIMIT_SLOTS);
    used(&w, 0, LIMIT_INPUT, T + 900 * S);
    CHECK_EQ_U64(w.uses[0].scope->nodes_n, 0);
    CHECK(w.uses[0].scope->oldest == NULL && w.uses[0].scope->newest == NULL);
    CHECK(passes(&w, TOKENS(1, 1), T + 900 * S));
    world_close(&w);
}

/* A quiet minute empties all at once, unless something is open. */
TEST(a_long_pause)
{
    for (int open = 0; open < 2; open++) {
        struct world w;
        struct limit_hold h = {0};
        world_open(&w, 1);
        check_note("%d open", open);
        for (int i = 0; i < 50; i++)
            CHECK(passes(&w, TOKENS(1, 1), T + i * S));
        if (open)
            CHECK(admit(&w, TOKENS(10, 0), T + 50 * S, &h) == LIMIT_ADMITTED);
        CHECK_EQ_I64(used(&w, 0, LIMIT_INPUT, T + 7200 * S), open ? 10 : 0);
        CHECK_EQ_I64(used(&w, 0, LIMIT_REQUESTS, T + 7200 * S), 0);
        CHECK_EQ_U64(w.uses[0].scope->nodes_n, 0);
        settle(&w, &h, TOKENS(2, 0), T + 7200 * S);
        CHECK_EQ_I64(used(&w, 0, LIMIT_INPUT, T + 7200 * S), 0);
        world_close(&w);
    }
}

static void same_scope_twice(void *arg)
{
    struct world *w = arg;
    struct limit_hold h = {0};
    w->uses[1] = w->uses[0];
    (void)admit(w, REQUEST, T, &h);
}

TEST(a_scope_twice_aborts)
{
    struct world w;
    world_open(&w, 2);
    CHECK_ABORTS(same_scope_twice, &w);
    world_close(&w);
}

/* Whatever allocation fails: nothing is admitted by half, nothing leaks. */
static void without_memory(void *arg)
{
    (void)arg;
    struct limit_registry *r = limit_registry_new(2);
    struct limit_pool *pool = limit_pool_new();
    struct limit_scope *a = NULL, *b = NULL;
    if (r != NULL && pool != NULL) {
        a = limit_scope_get(r, SCOPE_TEAM, SLICE("a"));
        b = limit_scope_user(r, hash64(SLICE("a/u")), T);
    }
    if (a != NULL && b != NULL) {
        struct limit_use uses[2] = {{a, &limit_set_none}, {b, &limit_set_none}};
        struct limit_amounts one = REQUEST;
        struct limit_hold h = {0};
        struct limit_refusal refusal;
        int64_t by_kind[LIMIT_KINDS_N];
        enum limit_result got = limit_admit(r, pool, uses, 2, &one, T, &h, NULL, &refusal);
        CHECK_EQ_U64(h.n, got == LIMIT_ADMITTED ? 2 : 0);
        limit_used(r, a, T, by_kind);
        CHECK_EQ_I64(by_kind[LIMIT_REQUESTS], got == LIMIT_ADMITTED);
        limit_settle(r, pool, &h, &one, T);
    }
    limit_pool_free(pool);
    limit_registry_free(r);
}

TEST(no_memory)
{
    CHECK(check_torture(without_memory, NULL) >= 6);
}
