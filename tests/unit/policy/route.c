/* Routing: each strategy by hand and by its distribution, the groups one by one, and over random
 * candidates what holds for all plans. */
#include "policy/route.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"

#define OF_THREE 3
#define DRAWS    60000

static struct route_candidate plain(void)
{
    return (struct route_candidate){
        .view = {.share = 1}, .weight = 1, .max_complexity = 100, .region = -1, .cost_nano = -1};
}

static void make(struct route_candidate *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        c[i] = plain();
}

static struct route_ask ask_of(enum route_strategy s)
{
    return (struct route_ask){.strategy = s, .random = check_random(), .max_ejected = 50};
}

/* The order as digits, "201". */
static const char *order_of(const struct route_ask *ask, struct route_candidate *c, unsigned n)
{
    static char text[ROUTE_CANDIDATES_MAX + 1];
    struct route_plan p;
    route_plan(ask, c, n, &p);
    for (unsigned i = 0; i < p.n; i++)
        text[i] = (char)('0' + p.order[i]);
    text[p.n] = 0;
    return text;
}

static unsigned first_of(const struct route_ask *ask, struct route_candidate *c, unsigned n)
{
    struct route_plan p;
    route_plan(ask, c, n, &p);
    CHECK(p.n > 0);
    return p.order[0];
}

/* How often each was first in plans with random bits of their own. */
static void count_first(struct route_ask ask, struct route_candidate *c, unsigned n, unsigned *ret)
{
    memset(ret, 0, n * sizeof *ret);
    for (unsigned i = 0; i < DRAWS; i++) {
        ask.random = check_random();
        ret[first_of(&ask, c, n)]++;
    }
}

/* Chi-square against the shares; far out of what chance gives (mean df, deviation sqrt(2 df)). */
static void check_shares(const unsigned *count, const double *share, unsigned n)
{
    double chi = 0, all = 0, cells = 0;
    for (unsigned i = 0; i < n; i++)
        all += count[i];
    for (unsigned i = 0; i < n; i++) {
        double want = share[i] * all;
        if (want == 0) {
            CHECK_EQ_U64(count[i], 0);
            continue;
        }
        chi += (count[i] - want) * (count[i] - want) / want;
        cells++;
    }
    if (chi > cells - 1 + 5 * sqrt(2 * cells))
        check_fail(CHECK_AT("shares"), "chi-square %.1f over %.0f cells", chi, cells);
}

TEST(names)
{
    CHECK_EQ_STR(route_strategy_name(ROUTE_ROUND_ROBIN), "round_robin");
    CHECK_EQ_STR(route_strategy_name(ROUTE_PREFIX), "prefix");
    CHECK_EQ_STR(route_reason_name(ROUTE_IS_OK), "ok");
    CHECK_EQ_STR(route_reason_name(ROUTE_IS_TRIED), "already_tried");
}

TEST(nobody)
{
    for (unsigned s = 0; s < ROUTE_STRATEGIES_N; s++) {
        struct route_ask ask = ask_of(s);
        struct route_candidate c[2];
        struct route_plan p;
        route_plan(&ask, c, 0, &p);
        CHECK(p.n == 0 && !p.panic && !p.cold);
        make(c, 2);
        c[0].out = ROUTE_IS_FORBIDDEN;
        c[1].view.state = HEALTH_DRAINED;
        route_plan(&ask, c, 2, &p);
        CHECK(p.n == 0 && !p.panic && !p.cold);
    }
}

TEST(wait)
{
    struct route_candidate c = plain();
    c.view.inflight = 1000;
    CHECK_EQ_I64(route_wait_ns(&c), 0);
    c.capacity = 4;
    c.view.inflight = 3;
    c.service_ns = 2 * NS_PER_S;
    CHECK_EQ_I64(route_wait_ns(&c), 0);
    c.view.inflight = 4;
    CHECK_EQ_I64(route_wait_ns(&c), NS_PER_S / 2);
    c.waiting = 3;
    CHECK_EQ_I64(route_wait_ns(&c), 2 * NS_PER_S);
    c.view.inflight = 0;
    c.out = ROUTE_IS_FULL;
    CHECK_EQ_I64(route_wait_ns(&c), 2 * NS_PER_S);
    c.service_ns = 0;
    CHECK_EQ_I64(route_wait_ns(&c), 10 * NS_PER_S);
    c.capacity = 0;
    CHECK_EQ_I64(route_wait_ns(&c), 40 * NS_PER_S);
    c.waiting = c.service_ns = INT64_MAX / 2;
    CHECK_EQ_I64(route_wait_ns(&c), INT64_MAX);
}

/* One of each kind, in the order they have to come in. */
TEST(groups)
{
    struct route_candidate c[10];
    struct route_ask ask = ask_of(ROUTE_ORDERED);
    make(c, 10);
    c[9].view.state = HEALTH_HALF_OPEN;
    c[7].view.state = HEALTH_WARMING; /* its share is so small that it is never drawn */
    c[7].view.share = 1e-18;
    c[6].fallback = true;
    c[5].out = ROUTE_IS_FULL;
    c[4].fallback = true;
    c[4].capacity = c[4].view.inflight = 2;
    c[3].view = (struct target_view){.state = HEALTH_COOLING, .until_ns = 9};
    c[2].view = (struct target_view){.state = HEALTH_COOLING, .until_ns = 10};
    c[1].view = (struct target_view){.state = HEALTH_EJECTED, .until_ns = 5};
    c[0].view = (struct target_view){.state = HEALTH_EJECTED};
    CHECK_EQ_STR(order_of(&ask, c, 10), "9876543210");
    c[2].out = ROUTE_IS_UNHEALTHY; /* the view says how */
    c[8].out = ROUTE_IS_UNHEALTHY; /* the view does not know: as ejected, nobody knows how long */
    CHECK_EQ_STR(order_of(&ask, c, 10), "9765432108");
    c[6].view.state = HEALTH_HALF_OPEN;
    c[9].view.state = HEALTH_DENIED;
    CHECK_EQ_STR(order_of(&ask, c, 10), "765432108");
}

TEST(sick_primary_before_sick_fallback)
{
    struct route_candidate c[2];
    struct route_ask ask = ask_of(ROUTE_ORDERED);
    make(c, 2);
    c[0].fallback = true;
    c[0].view.state = c[1].view.state = HEALTH_COOLING;
    c[0].view.until_ns = c[1].view.until_ns = 7;
    CHECK_EQ_STR(order_of(&ask, c, 2), "10");
    c[0].view.until_ns = 6;
    CHECK_EQ_STR(order_of(&ask, c, 2), "01");
}

static bool panics(const struct route_ask *ask, struct route_candidate *c, unsigned n)
{
    struct route_plan p;
    route_plan(ask, c, n, &p);
    return p.panic;
}

/* `first`, those of `any` in any order, `last`? */
static bool is_mixed(const char *order, const char *first, const char *any, const char *last)
{
    size_t f = strlen(first), n = strlen(any);
    bool all = strlen(order) == f + n + strlen(last);
    for (size_t i = 0; i < n && all; i++)
        all = memchr(order + f, any[i], n) != NULL;
    return all && memcmp(order, first, f) == 0 && strcmp(order + f + n, last) == 0;
}

TEST(panic)
{
    struct route_candidate c[6];
    unsigned count[4];
    struct route_ask ask = ask_of(ROUTE_ORDERED);
    make(c, 6);
    c[0].view = (struct target_view){.state = HEALTH_EJECTED, .until_ns = 9};
    c[1].view = (struct target_view){.state = HEALTH_EJECTED, .until_ns = 8};
    CHECK(!panics(&ask, c, 4));
    CHECK_EQ_STR(order_of(&ask, c, 4), "2310");
    c[3].view.state = HEALTH_DRAINED; /* two of three that count */
    CHECK(panics(&ask, c, 4));
    CHECK(is_mixed(order_of(&ask, c, 4), "2", "01", ""));
    c[2].out = ROUTE_IS_TRIED; /* does not change what is sick */
    CHECK(is_mixed(order_of(&ask, c, 4), "", "01", ""));
    count_first(ask, c, 4, count); /* one of them may be well again */
    check_shares(count, (double[]){0.5, 0.5, 0, 0}, 4);
    c[2].out = ROUTE_IS_OK;
    ask.max_ejected = 67;
    CHECK(!panics(&ask, c, 4));
    ask.max_ejected = 50;
    c[2].view.state = HEALTH_COOLING;
    c[3].view.state = HEALTH_DENIED;
    CHECK(!panics(&ask, c, 4)); /* two of four */
    c[0].out = c[4].out = ROUTE_IS_UNHEALTHY;
    CHECK(panics(&ask, c, 5));
    CHECK(is_mixed(order_of(&ask, c, 5), "", "014", "23"));
    c[5].fallback = true;
    CHECK(!panics(&ask, c, 6)); /* somebody else can answer */
    CHECK_EQ_STR(order_of(&ask, c, 6), "52104");
    c[5].out = ROUTE_IS_FULL;
    CHECK(panics(&ask, c, 6));
    c[5].out = ROUTE_IS_LACKS;
    CHECK(panics(&ask, c, 6));
    c[5].out = ROUTE_IS_OK;
    c[5].view.state = HEALTH_COOLING;
    CHECK(panics(&ask, c, 6));
    c[5].view.state = HEALTH_HALF_OPEN; /* may be sick yet */
    CHECK(panics(&ask, c, 6));
    c[5].view.state = HEALTH_WARMING;
    CHECK(!panics(&ask, c, 6));
}

/* In a panic half-open and warming ones are as good as any. */
TEST(panic_forgets)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_ORDERED);
    make(c, 4);
    c[0].view.state = HEALTH_EJECTED;
    c[1].view = (struct target_view){.state = HEALTH_WARMING, .share = 1e-18};
    c[2].view.state = HEALTH_HALF_OPEN;
    CHECK_EQ_STR(order_of(&ask, c, 4), "2310");
    ask.max_ejected = 0;
    CHECK_EQ_STR(order_of(&ask, c, 4), "1230");
}

TEST(slow_start)
{
    struct route_candidate c[2];
    unsigned count[2];
    make(c, 2);
    c[0].view.state = HEALTH_WARMING;
    c[0].view.share = 0.2;
    count_first(ask_of(ROUTE_ORDERED), c, 2, count);
    check_shares(count, (double[]){0.2, 0.8}, 2);
    count_first(ask_of(ROUTE_WEIGHTED), c, 2, count); /* independent of the choice itself */
    check_shares(count, (double[]){0.1, 0.9}, 2);
    c[1].view.inflight = 1;
    count_first(ask_of(ROUTE_STICKY), c, 2, count); /* without a session */
    check_shares(count, (double[]){0.2, 0.8}, 2);
    CHECK_EQ_U64(strlen(order_of(&(struct route_ask){.strategy = ROUTE_ORDERED}, c, 2)), 2);
}

/* Each of the six orders has the chance that drawing without replacement gives it. */
TEST(weighted_orders)
{
    struct route_candidate c[OF_THREE];
    struct route_ask ask = ask_of(ROUTE_WEIGHTED);
    unsigned count[27] = {0};
    double share[27] = {0};
    make(c, OF_THREE);
    for (unsigned i = 0; i < OF_THREE; i++)
        c[i].weight = i + 1;
    for (unsigned i = 0; i < DRAWS; i++) {
        struct route_plan p;
        ask.random = check_random();
        route_plan(&ask, c, OF_THREE, &p);
        count[p.order[0] * 9 + p.order[1] * 3 + p.order[2]]++;
    }
    for (unsigned a = 0; a < 3; a++) {
        for (unsigned b = 0; b < 3; b++) {
            if (a != b)
                share[a * 9 + b * 3 + (3 - a - b)] = (a + 1) / 6.0 * (b + 1) / (6.0 - (a + 1));
        }
    }
    check_shares(count, share, 27);
}

TEST(weight_zero)
{
    struct route_candidate c[OF_THREE];
    unsigned count[OF_THREE];
    make(c, OF_THREE);
    c[1].weight = 0;
    c[2].weight = 3;
    count_first(ask_of(ROUTE_WEIGHTED), c, OF_THREE, count);
    check_shares(count, (double[]){0.25, 0, 0.75}, OF_THREE);
    for (unsigned turn = 0; turn < 100; turn++) {
        struct route_ask ask = {.strategy = ROUTE_ROUND_ROBIN, .turn = turn};
        CHECK(first_of(&ask, c, OF_THREE) != 1);
    }
    struct route_ask sticky = {.strategy = ROUTE_STICKY, .session = 77};
    CHECK_EQ_I64(order_of(&sticky, c, OF_THREE)[2], '1');
    struct route_ask least = {.strategy = ROUTE_LEAST_LOADED};
    c[0].view.inflight = 1000000;
    CHECK_EQ_STR(order_of(&least, c, OF_THREE), "201");
}

/* The next turn is another one's. */
static bool moves_on(struct route_ask *ask, struct route_candidate *c, unsigned n)
{
    unsigned first = first_of(ask, c, n);
    ask->turn++;
    return first_of(ask, c, n) != first;
}

TEST(round_robin_equal)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_ROUND_ROBIN);
    make(c, 4);
    ask.turn = UINT64_C(1) << 62; /* divisible by four, not by three */
    static const char *const orders[] = {"0123", "1230", "2301", "3012", "0123"};
    for (unsigned i = 0; i < ARRAY_LEN(orders); i++, ask.turn++)
        CHECK_EQ_STR(order_of(&ask, c, 4), orders[i]);
    c[1].out = ROUTE_IS_FULL; /* the others in turn, without a gap */
    unsigned count[4] = {0};
    for (unsigned i = 0; i < 300; i++, ask.turn++)
        count[first_of(&ask, c, 4)]++;
    CHECK(count[0] == 100 && count[1] == 0 && count[2] == 100 && count[3] == 100);
    for (unsigned i = 0; i < 4; i++) /* all full, or all at the very start: in turn too */
        c[i].out = ROUTE_IS_FULL;
    CHECK(moves_on(&ask, c, 4));
    for (unsigned i = 0; i < 4; i++) {
        c[i].out = ROUTE_IS_OK;
        c[i].view = (struct target_view){.state = HEALTH_WARMING, .share = 1e-18};
    }
    CHECK(moves_on(&ask, c, 4));
}

/* With integer weights each sum of weights turns gives each its share, and no run of them is far
 * from it: at no time is anybody two turns off. */
static void check_smooth(const double *weights, unsigned n, double sum, uint64_t turn)
{
    struct route_candidate c[ROUTE_CANDIDATES_MAX];
    double off[ROUTE_CANDIDATES_MAX] = {0};
    struct route_ask ask = {.strategy = ROUTE_ROUND_ROBIN, .turn = turn};
    make(c, n);
    for (unsigned i = 0; i < n; i++)
        c[i].weight = weights[i];
    for (unsigned round = 1; round <= 5 * (unsigned)sum; round++, ask.turn++) {
        off[first_of(&ask, c, n)]++;
        for (unsigned i = 0; i < n; i++) {
            off[i] -= weights[i] / sum;
            CHECK(fabs(off[i]) < 2);
            CHECK(round % (unsigned)sum != 0 || fabs(off[i]) < 1e-6);
        }
    }
}

TEST(round_robin_weighted)
{
    for (uint64_t turn = 0; turn < UINT64_C(5000000000); turn += 1234567891) {
        check_smooth((double[]){5, 1, 1}, 3, 7, turn);
        check_smooth((double[]){1, 2}, 2, 3, turn);
        check_smooth((double[]){10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 11, 20, turn);
        check_smooth((double[]){7, 3, 9, 1, 4}, 5, 24, turn);
    }
    double many[50];
    for (unsigned i = 0; i < 50; i++)
        many[i] = i % 2 ? 3 : 1;
    check_smooth(many, 50, 100, 1000000007);
}

/* The order behind the first is that of the next turns. */
TEST(round_robin_next)
{
    struct route_candidate c[OF_THREE];
    make(c, OF_THREE);
    c[0].weight = 2;
    for (unsigned turn = 0; turn < 100; turn++) {
        struct route_ask ask = {.strategy = ROUTE_ROUND_ROBIN, .turn = turn}, next = ask;
        struct route_plan p, q;
        route_plan(&ask, c, OF_THREE, &p);
        next.turn++;
        route_plan(&next, c, OF_THREE, &q);
        CHECK(q.order[0] == p.order[0] || q.order[0] == p.order[1]);
    }
}

TEST(least_loaded)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_LEAST_LOADED);
    unsigned count[4];
    make(c, 4);
    c[0].view.inflight = 3;
    c[1].view.inflight = 7; /* 8 over 4: two */
    c[1].weight = 4;
    c[2].view.inflight = 2;
    c[3].view.inflight = 0;
    c[3].waiting = 4;
    CHECK_EQ_STR(order_of(&ask, c, 4), "1203");
    CHECK_EQ_DOUBLE(c[1].score, 2);
    c[0].view.inflight = c[2].view.inflight = 1;
    count_first(ask, c, 4, count);
    check_shares(count, (double[]){1 / 3.0, 1 / 3.0, 1 / 3.0, 0}, 4);
}

TEST(latency)
{
    struct route_candidate c[4];
    unsigned count[4];
    make(c, 4);
    for (unsigned i = 0; i < 4; i++)
        c[i].view.first_ns = (4 - i) * 100 * NS_PER_MS;
    /* Of the six pairs the soonest wins three, the next two, the next one. */
    count_first(ask_of(ROUTE_LATENCY), c, 4, count);
    check_shares(count, (double[]){0, 1 / 6.0, 2 / 6.0, 3 / 6.0}, 4);
    CHECK_EQ_DOUBLE(c[3].score, 1e8);
    struct route_ask ask = ask_of(ROUTE_LATENCY); /* who lost stands behind by score */
    const char *order = order_of(&ask, c, 4);
    for (unsigned i = 2; i < 4; i++)
        CHECK(order[i - 1] > order[i]);
    c[3].view.inflight = 9; /* 1 s, now the last */
    count_first(ask, c, 4, count);
    check_shares(count, (double[]){1 / 6.0, 2 / 6.0, 3 / 6.0, 0}, 4);
    c[0].view.first_ns = 0; /* unknown and idle: before all */
    count_first(ask, c, 4, count);
    check_shares(count, (double[]){3 / 6.0, 1 / 6.0, 2 / 6.0, 0}, 4);
    c[0].view.inflight = 2; /* unknown and busy: as 2 x the mean of 300, 200 and 100 ms */
    order_of(&ask, c, 4);
    CHECK_EQ_DOUBLE(c[0].score, 4e8);
    c[1].view.state = HEALTH_EJECTED; /* among those that are well only: two pairs for the best */
    count_first(ask, c, 4, count);
    check_shares(count, (double[]){1 / 3.0, 0, 2 / 3.0, 0}, 4);
}

TEST(cost)
{
    struct route_candidate c[5];
    struct route_ask ask = ask_of(ROUTE_COST);
    make(c, 5);
    c[1].cost_nano = 1000000001;
    c[2].cost_nano = 1000000000;
    c[3].cost_nano = 0;
    c[4].self_hosted = true;
    c[4].cost_nano = 5;
    c[3].view.inflight = 1; /* equal cost: the less loaded */
    CHECK_EQ_STR(order_of(&ask, c, 5), "43210");
    CHECK_EQ_DOUBLE(c[4].score, 0);
    c[4].view.inflight = 1;
    c[3].view.inflight = 0;
    CHECK_EQ_STR(order_of(&ask, c, 5), "34210");
    c[4].view.state = HEALTH_HALF_OPEN;
    order_of(&ask, c, 5);
    CHECK_EQ_DOUBLE(c[4].score, 0);
    c[4].view.state = HEALTH_WELL;
    c[4].capacity = 1; /* full: behind, at its own cost */
    CHECK_EQ_STR(order_of(&ask, c, 5), "32104");
    CHECK_EQ_DOUBLE(c[4].score, 5);
    c[4].capacity = 0;
    c[4].view.state = HEALTH_EJECTED; /* in a panic it is not known to be up */
    ask.max_ejected = 0;
    CHECK_EQ_STR(order_of(&ask, c, 5), "34210");
}

TEST(quality)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_QUALITY);
    make(c, 4);
    c[0].quality = 0;
    c[1].quality = 80;
    c[2].quality = 80.5;
    c[3].quality = 80;
    c[3].view.inflight = 1;
    CHECK_EQ_STR(order_of(&ask, c, 4), "2130");
    c[1].view.inflight = 2;
    CHECK_EQ_STR(order_of(&ask, c, 4), "2310");
    CHECK_EQ_DOUBLE(c[2].score, -80.5);
}

TEST(balanced)
{
    struct route_candidate c[5];
    struct route_ask ask = ask_of(ROUTE_BALANCED);
    make(c, 5);
    c[2].self_hosted = c[3].self_hosted = true;
    c[4].fallback = true;
    for (unsigned i = 2; i < 4; i++) {
        c[i].capacity = 4;
        c[i].service_ns = 2 * NS_PER_S;
    }
    c[0].view.inflight = 1;
    c[2].view.inflight = 3;
    c[3].view.inflight = 2;
    CHECK_EQ_STR(order_of(&ask, c, 5), "32104");
    c[2].view.inflight = c[3].view.inflight = 4; /* full, a wait of half a second */
    c[3].out = ROUTE_IS_FULL;
    c[3].waiting = 0;
    c[2].waiting = 1; /* one of a second */
    CHECK_EQ_STR(order_of(&ask, c, 5), "31042");
    c[3].waiting = 2;
    CHECK_EQ_STR(order_of(&ask, c, 5), "10423");
    c[2].waiting = 0;
    c[2].view.state = HEALTH_COOLING;
    CHECK_EQ_STR(order_of(&ask, c, 5), "10432");
}

TEST(complexity)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_COMPLEXITY);
    make(c, 4);
    c[0].max_complexity = 100;
    c[1].max_complexity = 20;
    c[2].max_complexity = 60;
    c[3].max_complexity = 40;
    static const struct {
        double complexity;
        const char *order;
    } rows[] = {{0, "1320"},  {20, "1320"}, {20.5, "3201"},
                {41, "2031"}, {61, "0231"}, {100, "0231"}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("complexity %g", rows[i].complexity);
        ask.complexity = rows[i].complexity;
        CHECK_EQ_STR(order_of(&ask, c, 4), rows[i].order);
    }
}

TEST(region)
{
    struct route_candidate c[5];
    struct route_ask ask = ask_of(ROUTE_REGION);
    unsigned count[5];
    make(c, 5);
    for (unsigned i = 0; i < 5; i++)
        c[i].view.first_ns = 300 * NS_PER_MS;
    c[1].region = 1;
    c[1].view.first_ns = NS_PER_MS;
    c[2].region = c[3].region = c[4].region = 0;
    c[3].view.first_ns = 200 * NS_PER_MS;
    c[4].view.first_ns = 100 * NS_PER_MS;
    count_first(ask, c, 5, count);
    check_shares(count, (double[]){0, 0, 0, 1 / 3.0, 2 / 3.0}, 5);
    CHECK_EQ_STR(order_of(&ask, c, 5) + 3, "10");
    for (unsigned i = 2; i < 5; i++)
        c[i].out = ROUTE_IS_FULL;
    CHECK_EQ_STR(order_of(&ask, c, 5), "10432");
    c[1].region = 1000;
    CHECK_EQ_STR(order_of(&ask, c, 5), "10432");
}

TEST(sticky_shares)
{
    struct route_candidate c[OF_THREE];
    struct route_ask ask = ask_of(ROUTE_STICKY);
    unsigned count[OF_THREE] = {0};
    make(c, OF_THREE);
    c[2].weight = 2;
    for (ask.session = 1; ask.session <= DRAWS; ask.session++) /* even of poor hashes */
        count[first_of(&ask, c, OF_THREE)]++;
    check_shares(count, (double[]){0.25, 0.25, 0.5}, OF_THREE);
    ask.session = 0;
    c[1].view.inflight = 1;
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "201");
}

/* Who leaves moves its own sessions, and each to its own second choice; a reload that removes one
 * moves no others where ids are given. */
TEST(sticky_moves)
{
    struct route_candidate c[6], left[5];
    struct route_ask ask = ask_of(ROUTE_STICKY);
    unsigned to[6] = {0};
    make(c, 6);
    for (unsigned i = 0; i < 6; i++)
        c[i].id = check_random();
    memcpy(left, c, 2 * sizeof *c);
    memcpy(left + 2, c + 3, 3 * sizeof *c);
    for (ask.session = 1; ask.session <= DRAWS; ask.session++) {
        struct route_plan before, after;
        c[2].out = ROUTE_IS_OK;
        route_plan(&ask, c, 6, &before);
        unsigned stays = before.order[before.order[0] == 2];
        to[stays] += before.order[0] == 2;
        ask.random = check_random();
        c[2].out = ROUTE_IS_FULL;
        route_plan(&ask, c, 6, &after);
        CHECK_EQ_U64(after.order[0], stays);
        CHECK_EQ_U64(after.order[5], 2);
        route_plan(&ask, left, 5, &after);
        CHECK_EQ_U64(after.order[0] + (after.order[0] >= 2 ? 1U : 0), stays);
    }
    check_shares(to, (double[]){0.2, 0.2, 0, 0.2, 0.2, 0.2}, 6);
}

/* A session does not go to and fro while its target warms up: it comes back once. */
TEST(sticky_slow_start)
{
    struct route_candidate c[2];
    struct route_ask ask = ask_of(ROUTE_STICKY);
    unsigned back = 0;
    make(c, 2);
    for (ask.session = 1; ask.session <= 1000; ask.session++) {
        c[0].view.state = HEALTH_WELL;
        bool is_here = first_of(&ask, c, 2) == 0, was = false;
        c[0].view.state = HEALTH_WARMING;
        for (c[0].view.share = 0; c[0].view.share < 1; c[0].view.share += 0.125) {
            ask.random = check_random();
            bool here = first_of(&ask, c, 2) == 0;
            CHECK(here ? is_here : !was);
            back += here && c[0].view.share == 0.5;
            was = here;
        }
    }
    CHECK(back > 200 && back < 300); /* half of a half */
}

TEST(prefix)
{
    struct route_candidate c[OF_THREE];
    struct route_ask ask = ask_of(ROUTE_PREFIX);
    struct route_plan p;
    make(c, OF_THREE);
    c[1].cached = 0.4;
    c[1].view.inflight = 4;
    c[2].cached = 0.3; /* not above it */
    c[2].view.inflight = 1;
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "102");
    CHECK_EQ_DOUBLE(c[1].score, -0.4);
    c[2].cached = 0.9;
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "210");
    c[2].capacity = 1; /* no place */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "102");
    c[2].capacity = 0;
    c[2].view.inflight = 5; /* five more than the idle one */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "102");
    c[0].view.inflight = c[1].view.inflight = 10;
    c[2].view.inflight = 15; /* not over 1.5 times */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "210");
    c[2].view.inflight = 16;
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "102");
    c[2].weight = 2; /* twice the machine */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "210");
    c[0].view.inflight = c[1].view.inflight = 20; /* it has the least: the others may have 8 */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "201");
    c[0].view.inflight = c[1].view.inflight = 12;
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "210");
    c[2].weight = 1;
    c[0].view.inflight = c[1].view.inflight = 1;
    c[2].view.inflight = 5; /* four more are allowed, whatever the factor */
    CHECK_EQ_STR(order_of(&ask, c, OF_THREE), "210");
    route_plan(&ask, c, OF_THREE, &p);
    CHECK(!p.cold);
    c[1].cached = c[2].cached = 0;
    route_plan(&ask, c, OF_THREE, &p);
    CHECK(p.cold);
}

TEST(prefix_short)
{
    struct route_candidate c[2];
    struct route_ask ask = ask_of(ROUTE_PREFIX);
    make(c, 2);
    c[1].cached = 0.5;
    c[1].view.inflight = 1;
    CHECK_EQ_U64(first_of(&ask, c, 2), 1); /* length unknown */
    ask.prompt_bytes = 1023;
    CHECK_EQ_U64(first_of(&ask, c, 2), 0);
    ask.prompt_bytes = 1024;
    CHECK_EQ_U64(first_of(&ask, c, 2), 1);
}

/* Eight conversations over two idle replicas, four each: one after the other by the turn alone, and
 * where others' warm requests lie between, by who was given a cold one. */
TEST(prefix_spreads_cold)
{
    for (unsigned rhythm = 1; rhythm <= 4; rhythm++) {
        struct route_candidate c[2];
        struct route_ask ask = ask_of(ROUTE_PREFIX);
        unsigned count[2] = {0};
        make(c, 2);
        ask.turn = check_random() >> 1;
        for (unsigned i = 0; i < 8; i++, ask.turn += rhythm) {
            struct route_plan p;
            ask.random = check_random();
            route_plan(&ask, c, 2, &p);
            CHECK(p.cold);
            count[p.order[0]]++;
            if (rhythm > 1)
                c[p.order[0]].cold_turn = ask.turn + 1;
        }
        CHECK(count[0] == 4 && count[1] == 4);
    }
}

TEST(prefix_cold_to_the_oldest)
{
    struct route_candidate c[4];
    struct route_ask ask = ask_of(ROUTE_PREFIX);
    make(c, 4);
    ask.turn = 1000;
    c[0].cold_turn = 900;
    c[1].cold_turn = 800;
    c[2].cold_turn = 950;
    c[3].cold_turn = 1;
    c[3].view.inflight = 1;
    CHECK_EQ_STR(order_of(&ask, c, 4), "1023");
    c[2].cold_turn = 0;
    CHECK_EQ_STR(order_of(&ask, c, 4), "2103");
}

static void random_candidate(struct route_candidate *c)
{
    *c = (struct route_candidate){
        .out = check_random_below(3) ? ROUTE_IS_OK
                                     : (enum route_reason)check_random_below(ROUTE_REASONS_N),
        .view = {.state = check_random_below(2)
                              ? HEALTH_WELL
                              : (enum health_state)check_random_below(HEALTH_STATES_N),
                 .until_ns = (int64_t)check_random_below(5),
                 .share = (double)check_random_below(3) / 2,
                 .first_ns = (int64_t)check_random_below(4) * NS_PER_MS,
                 .inflight = (int64_t)check_random_below(6)},
        .id = check_random_below(2) * check_random(),
        .fallback = check_random_below(4) == 0,
        .self_hosted = check_random_below(2),
        .weight = (double)check_random_below(4),
        .quality = (double)check_random_below(4) - 1,
        .cost_nano = (int64_t)check_random_below(4) - 1,
        .capacity = (int64_t)check_random_below(5),
        .waiting = (int64_t)check_random_below(3),
        .service_ns = (int64_t)check_random_below(3) * NS_PER_S,
        .region = (int)check_random_below(4) - 1,
        .max_complexity = (double)check_random_below(101),
        .cached = (double)check_random_below(5) / 4,
        .cold_turn = check_random_below(9),
    };
}

static bool is_well(const struct route_candidate *c)
{
    return c->out != ROUTE_IS_UNHEALTHY && c->view.state <= HEALTH_HALF_OPEN;
}

/* A half-open one whose ticket is out stands with the ejected ones. */
static bool stands_well(const struct route_candidate *c, bool panic)
{
    bool out = c->view.state == HEALTH_HALF_OPEN && c->view.share <= 0;
    return is_well(c) && (panic || !out);
}

static bool is_free(const struct route_candidate *c)
{
    return c->out != ROUTE_IS_FULL && (!c->capacity || c->view.inflight < c->capacity);
}

/* What may not stand before what, told anew from the header. */
static bool is_wrong(const struct route_ask *ask, bool panic, const struct route_candidate *a,
                     const struct route_candidate *b)
{
    bool rests = a->view.state == HEALTH_COOLING || a->view.state == HEALTH_DENIED;
    bool soon = ask->strategy == ROUTE_BALANCED && a->self_hosted && !a->fallback &&
                route_wait_ns(a) < NS_PER_S;
    if (stands_well(b, panic) && (rests || (!stands_well(a, panic) && !panic)))
        return true;
    if (!stands_well(a, panic) || !stands_well(b, panic) || !is_free(b))
        return false;
    return (a->fallback && !b->fallback) || (!is_free(a) && !soon);
}

static void check_members(const struct route_candidate *c, unsigned n, const struct route_plan *p)
{
    unsigned times[ROUTE_CANDIDATES_MAX] = {0}, ejected = 0, all = 0;
    for (unsigned i = 0; i < p->n; i++) {
        CHECK(p->order[i] < n);
        times[p->order[i]]++;
    }
    for (unsigned i = 0; i < n; i++) {
        bool may = c[i].out <= ROUTE_IS_FULL && c[i].view.state != HEALTH_DRAINED &&
                   (c[i].view.state != HEALTH_DENIED || p->panic);
        CHECK_EQ_U64(times[i], may);
        CHECK(isfinite(c[i].score));
        if (!c[i].fallback && c[i].view.state != HEALTH_DRAINED &&
            (c[i].out <= ROUTE_IS_FULL || c[i].out == ROUTE_IS_TRIED)) {
            all++;
            ejected += c[i].view.state == HEALTH_EJECTED ||
                       (c[i].out == ROUTE_IS_UNHEALTHY &&
                        is_well(&(struct route_candidate){.view = c[i].view}));
        }
    }
    CHECK(!p->panic || ejected * 2 > all);
}

/* Who asks for the first one alone gets the same one, for the same reasons. */
static void check_first_only(const struct route_ask *ask, const struct route_candidate *c,
                             unsigned n, const struct route_plan *whole)
{
    struct route_candidate again[ROUTE_CANDIDATES_MAX];
    struct route_ask first = *ask;
    struct route_plan p;
    first.first_only = true;
    memcpy(again, c, n * sizeof *c);
    route_plan(&first, again, n, &p);
    CHECK_EQ_U64(p.n, MIN_OF(whole->n, 1u));
    CHECK(p.n == 0 || p.order[0] == whole->order[0]);
    CHECK(p.panic == whole->panic && p.cold == whole->cold);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ_DOUBLE(again[i].score, c[i].score);
}

TEST(any_candidates)
{
    for (unsigned round = 0; round < 60000; round++) {
        struct route_candidate c[ROUTE_CANDIDATES_MAX], again[ROUTE_CANDIDATES_MAX];
        unsigned most = check_random_below(8) ? 9 : ROUTE_CANDIDATES_MAX;
        unsigned n = (unsigned)check_random_below(most + 1);
        struct route_ask ask = ask_of(round % ROUTE_STRATEGIES_N);
        struct route_plan p, q;
        ask.turn = check_random() >> check_random_below(64);
        ask.session = check_random() * check_random_below(2);
        ask.complexity = (double)check_random_below(101);
        ask.prompt_bytes = (uint32_t)check_random_below(2000);
        bool plain = check_random_below(2);
        for (unsigned i = 0; i < n; i++) {
            random_candidate(&c[i]);
            if (plain) {
                c[i].out = ROUTE_IS_OK;
                c[i].view.state = HEALTH_WELL;
                c[i].capacity = 0;
            }
        }
        check_note("round %u, %s", round, route_strategy_name(ask.strategy));
        memcpy(again, c, sizeof c);
        route_plan(&ask, c, n, &p);
        route_plan(&ask, again, n, &q);
        CHECK(p.n == q.n && !memcmp(p.order, q.order, p.n));
        check_members(c, n, &p);
        check_first_only(&ask, again, n, &p);
        for (unsigned i = 0; i < p.n; i++) {
            for (unsigned j = i + 1; j < p.n; j++)
                CHECK(!is_wrong(&ask, p.panic, &c[p.order[i]], &c[p.order[j]]));
        }
    }
}

/* The sort itself, over every number of candidates: costs in no order come out in theirs. */
TEST(sorts)
{
    for (unsigned round = 0; round < 2000; round++) {
        unsigned n = 1 + round % ROUTE_CANDIDATES_MAX;
        struct route_candidate c[ROUTE_CANDIDATES_MAX];
        struct route_ask ask = ask_of(ROUTE_COST);
        struct route_plan p;
        make(c, n);
        for (unsigned i = 0; i < n; i++)
            c[i].cost_nano = (int64_t)check_random_below(round % 3 ? 1000000 : 5);
        route_plan(&ask, c, n, &p);
        CHECK_EQ_U64(p.n, n);
        for (unsigned i = 1; i < n; i++)
            CHECK(c[p.order[i - 1]].cost_nano <= c[p.order[i]].cost_nano);
    }
}

static void plan_too_many(void *arg)
{
    static struct route_candidate c[ROUTE_CANDIDATES_MAX + 1];
    struct route_plan p;
    route_plan(arg, c, ROUTE_CANDIDATES_MAX + 1, &p);
}

TEST(too_many)
{
    struct route_ask ask = ask_of(ROUTE_ORDERED);
    CHECK_ABORTS(plan_too_many, &ask);
}
