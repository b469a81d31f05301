/* Hours of own hardware with clocks of the test's own: after their books are closed, what they cost
 * and their idle time are the price of the time they ran, to the nano-dollar, whatever ended the
 * process in between. */
#include "hours.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "hours_book.h"
#include "policy/calendar.h"
#include "policy/limits.h"
#include "store/follow.h"
#include "store/usage.h"

#define HOUR_NS (3600 * NS_PER_S)
#define TEN     (INT64_C(1795255200) * NS_PER_S) /* 2026-11-21T10:00:00Z */
#define MONO    (5000 * NS_PER_S)                /* at ten */
#define RATE    INT64_C(2345678901)              /* nano-dollars for an hour */

struct world {
    char folder[64];
    struct ledger *ledger;
    struct limit_registry *limits;
    struct hours *hours;
    struct hours_source source;
    int64_t wall_ns;
};

static int64_t mono_at(const struct world *w)
{
    return w->wall_ns - TEN + MONO;
}

static void begin(struct world *w)
{
    struct buf why;
    buf_init(&why, 4096);
    struct ledger_config c = {.folder = w->folder, .lanes = 1, .spool_rows = 1024, .open_rows = 16};
    w->ledger = ledger_open(&c, &why);
    if (w->ledger == NULL)
        check_fail(CHECK_AT("ledger_open"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    w->limits = limit_registry_new(16);
    w->hours = hours_open(w->ledger, w->folder, w->limits);
    CHECK(w->limits != NULL && w->hours != NULL);
}

/* A clean stop. */
static void end(struct world *w)
{
    hours_put(w->hours, &w->source);
    hours_end(TAKE(w->hours), mono_at(w), w->wall_ns);
    ledger_close(TAKE(w->ledger));
    limit_registry_free(TAKE(w->limits));
}

static void world_open(struct world *w, const char *hardware)
{
    *w = (struct world){.wall_ns = TEN};
    CHECK(calendar_set_zone(SLICE("UTC")));
    snprintf(w->folder, sizeof w->folder, "/tmp/weir-hours-XXXXXX");
    CHECK(mkdtemp(w->folder) != NULL);
    w->source = (struct hours_source){.name = slice_str(hardware),
                                      .hour_nano = RATE,
                                      .hardware = hardware_get(slice_str(hardware))};
    begin(w);
}

static void world_close(struct world *w)
{
    DIR *d = opendir(w->folder);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(w->folder);
}

/* All that was handed over is merged, and a step is made. */
static void step(struct world *w)
{
    CHECK(ledger_flush(w->ledger, 5 * NS_PER_S));
    hours_put(w->hours, &w->source);
    hours_step(w->hours, mono_at(w), w->wall_ns);
}

/* Time passes, in steps of some seconds. */
static void pass(struct world *w, int64_t s)
{
    for (int64_t to_ns = w->wall_ns + s * NS_PER_S; w->wall_ns < to_ns;) {
        w->wall_ns = MIN_OF(to_ns, w->wall_ns + 7 * NS_PER_S);
        step(w);
    }
}

struct request {
    const char *use_case;
    int64_t input, cached, output;
};
/* One under way. */
struct open {
    struct request r;
    int64_t start_ns, mark;
};

static struct open start(struct world *w, struct request r)
{
    return (struct open){r, w->wall_ns, hardware_enter(w->source.hardware, mono_at(w))};
}

/* It ends as the gateway would end it: with its share of the busy time. */
static void finish(struct world *w, const struct open *o)
{
    struct ledger *l = w->ledger;
    struct ledger_row row = {.reason = LEDGER_COMPLETE,
                             .attempt = 1,
                             .flags = LEDGER_FINAL | LEDGER_SELF_HOSTED,
                             .start_ns = o->start_ns,
                             .first_us = UINT32_MAX,
                             .duration_us = (uint32_t)((w->wall_ns - o->start_ns) / NS_PER_US),
                             .input = o->r.input,
                             .cached = o->r.cached,
                             .output = o->r.output};
    bool engine = w->source.engine;
    row.work_ns = hardware_leave(w->source.hardware, mono_at(w), o->mark);
    row.cost_nano = hours_price(row.work_ns, w->source.hour_nano);
    row.name[NAME_PROVIDER] =
        ledger_name(l, NAME_PROVIDER, engine ? SLICE("engine") : w->source.name);
    row.name[NAME_TARGET] = ledger_name(l, NAME_TARGET, w->source.name);
    row.name[NAME_MODEL] = ledger_name(l, NAME_MODEL, SLICE("chat"));
    row.name[NAME_KEY] = ledger_name(l, NAME_KEY, SLICE("ci"));
    row.name[NAME_USE_CASE] = ledger_name(l, NAME_USE_CASE, slice_str(o->r.use_case));
    ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
}

static void request(struct world *w, struct request r, int64_t s)
{
    struct open o = start(w, r);
    w->wall_ns += s * NS_PER_S;
    finish(w, &o);
    step(w);
}

/* What the ledger says of the hour that begins at `hour_ns`, of a use case (NULL: of all). */
static struct usage_line told(struct world *w, int64_t hour_ns, const char *use_case)
{
    static struct arena a;
    struct usage_line *line, found = {.cost_nano = 0};
    struct slice next;
    struct buf why;
    size_t n;
    struct usage_query q = {.by = use_case != NULL ? USAGE_USE_CASE : USAGE_TOTAL,
                            .step = USAGE_HOUR,
                            .from_ns = hour_ns,
                            .to_ns = hour_ns + HOUR_NS,
                            .limit = 100};
    if (w->ledger != NULL)
        CHECK(ledger_flush(w->ledger, 5 * NS_PER_S));
    buf_init(&why, 4096);
    struct usage_reader *u = usage_open(w->folder, &why);
    CHECK(u != NULL);
    arena_init(&a, NULL, (size_t)1 << 20);
    CHECK(usage_read(u, &q, &a, &line, &n, &next, &why));
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_I64(line[i].bucket_ns, hour_ns);
        if (use_case == NULL || slice_is(line[i].name, use_case))
            found = line[i];
    }
    found.name = SLICE_NONE; /* it goes with the arena */
    arena_reset(&a);
    usage_close(u);
    buf_done(&why);
    return found;
}

static int64_t cost_of(struct world *w, int64_t hour_ns, const char *use_case)
{
    return told(w, hour_ns, use_case).cost_nano;
}

static void check_hour(struct world *w, int64_t hour_ns, int64_t run_ns, int64_t busy_ns)
{
    struct usage_line all = told(w, hour_ns, NULL);
    int64_t idle = hours_price(run_ns - busy_ns, RATE);
    CHECK_EQ_I64(all.idle_nano, idle);
    CHECK_EQ_I64(all.cost_nano + all.idle_nano, hours_price(run_ns, RATE));
}

static void count_row(void *ctx, const struct ledger_row *row)
{
    *(int64_t *)ctx += row->reason == LEDGER_TRUE_UP || row->reason == LEDGER_IDLE;
}

/* Corrections in the segments. */
static int64_t corrections(struct world *w)
{
    int64_t n = 0;
    struct buf why;
    bool all = false;
    buf_init(&why, 4096);
    CHECK(w->ledger == NULL || ledger_flush(w->ledger, 5 * NS_PER_S));
    struct follower *f = follower_open(w->folder, 0, &why);
    CHECK(f != NULL);
    while (!all)
        CHECK(follower_read(f, 10000, count_row, &n, &all));
    follower_close(f);
    buf_done(&why);
    return n;
}

TEST(an_hour_costs_its_price)
{
    struct world w;
    world_open(&w, "full");
    step(&w);
    for (unsigned i = 0; i < 30; i++) {
        request(&w, (struct request){"long", 100, 0, 900}, 9);
        request(&w, (struct request){"short", 900, 300, 20}, 1);
        pass(&w, 20);
    }
    int64_t before = cost_of(&w, TEN, "long") + cost_of(&w, TEN, "short");
    CHECK(before > 0 && before < RATE);
    pass(&w, (TEN + HOUR_NS - w.wall_ns) / NS_PER_S);
    CHECK_EQ_I64(corrections(&w), 0); /* rows of its end may still come */
    pass(&w, 30);
    check_hour(&w, TEN, HOUR_NS, 300 * NS_PER_S);
    CHECK_EQ_I64(told(&w, TEN, NULL).requests, 60);
    int64_t dear = cost_of(&w, TEN, "long"), cheap = cost_of(&w, TEN, "short");
    CHECK_EQ_I64(dear + cheap, hours_price(HOUR_NS, RATE) - hours_price(3300 * NS_PER_S, RATE));
    CHECK(cheap > 0 && dear > 5 * cheap);
    int64_t n = corrections(&w);
    pass(&w, 600);
    CHECK_EQ_I64(corrections(&w), n); /* once is enough */
    end(&w);
    check_hour(&w, TEN + HOUR_NS, 630 * NS_PER_S, 0);
    check_hour(&w, TEN, HOUR_NS, 300 * NS_PER_S);
    world_close(&w);
}

/* Who shares the hardware with others at the same time pays for tokens, not for company. */
TEST(the_same_work_costs_the_same)
{
    struct world w;
    world_open(&w, "shared");
    step(&w);
    for (unsigned i = 0; i < 20; i++) {
        struct request r[3] = {{"alone", 100, 0, 100}, {"one", 100, 0, 100}, {"two", 100, 0, 100}};
        request(&w, r[0], 4);
        struct open one = start(&w, r[1]), two = start(&w, r[2]);
        w.wall_ns += 4 * NS_PER_S; /* it does two at once as fast as one */
        finish(&w, &one);
        finish(&w, &two);
        step(&w);
    }
    int64_t alone = cost_of(&w, TEN, "alone"), one = cost_of(&w, TEN, "one");
    CHECK(alone - 2 * one >= 0 && alone - 2 * one <= 40); /* each row is rounded down */
    pass(&w, 3700);
    check_hour(&w, TEN, HOUR_NS, 160 * NS_PER_S);
    alone = cost_of(&w, TEN, "alone");
    one = cost_of(&w, TEN, "one");
    CHECK(alone - one <= 3 && one - alone <= 3);
    end(&w);
    world_close(&w);
}

TEST(budgets_follow_corrections)
{
    struct world w;
    int64_t used[2][LIMIT_KINDS_N], start_ns[LIMIT_BUDGETS_N];
    world_open(&w, "budgets");
    for (unsigned p = 0; p < LIMIT_BUDGETS_N; p++)
        start_ns[p] = calendar_start((enum calendar_period)p, TEN);
    limit_set_periods(w.limits, start_ns);
    step(&w);
    request(&w, (struct request){"long", 100, 0, 900}, 50);
    request(&w, (struct request){"short", 100, 0, 10}, 50);
    int64_t was[2] = {cost_of(&w, TEN, "long"), cost_of(&w, TEN, "short")};
    start_ns[LIMIT_BUDGET_HOUR - LIMIT_BUDGET_HOUR] = TEN + HOUR_NS;
    limit_set_periods(w.limits, start_ns);
    pass(&w, HOUR_NS / NS_PER_S);
    const char *names[2] = {"long", "short"};
    for (unsigned i = 0; i < 2; i++) {
        struct limit_scope *s = limit_scope_get(w.limits, SCOPE_USE_CASE, slice_str(names[i]));
        limit_used(w.limits, s, mono_at(&w), used[i]);
        int64_t corrected = cost_of(&w, TEN, names[i]) - was[i];
        CHECK(corrected != 0);
        CHECK_EQ_I64(used[i][LIMIT_BUDGET_MONTH], corrected);
        CHECK_EQ_I64(used[i][LIMIT_BUDGET_DAY], corrected);
        CHECK_EQ_I64(used[i][LIMIT_BUDGET_HOUR], 0); /* that hour is over */
    }
    end(&w);
    world_close(&w);
}

TEST(a_request_of_two_hours)
{
    struct world w;
    world_open(&w, "two-hours");
    step(&w);
    pass(&w, 3000);
    request(&w, (struct request){"early", 1000, 0, 100}, 100);
    pass(&w, 200);
    struct open late = start(&w, (struct request){"late", 1000, 0, 1000});
    pass(&w, 600); /* half of it is past eleven */
    check_hour(&w, TEN, HOUR_NS, 400 * NS_PER_S);
    finish(&w, &late);
    pass(&w, 200);
    check_hour(&w, TEN, HOUR_NS, 400 * NS_PER_S);
    CHECK(cost_of(&w, TEN, "late") > cost_of(&w, TEN, "early"));
    end(&w);
    check_hour(&w, TEN, HOUR_NS, 400 * NS_PER_S);
    check_hour(&w, TEN + HOUR_NS, 500 * NS_PER_S, 300 * NS_PER_S);
    CHECK_EQ_I64(cost_of(&w, TEN + HOUR_NS, "late"),
                 hours_price(500 * NS_PER_S, RATE) - hours_price(200 * NS_PER_S, RATE));
    CHECK_EQ_I64(cost_of(&w, TEN, ""), 0); /* what was nobody's while it was open */
    world_close(&w);
}

TEST(busy_without_tokens)
{
    struct world w;
    world_open(&w, "no-tokens");
    step(&w);
    request(&w, (struct request){"slow", 0, 0, 0}, 30);
    request(&w, (struct request){"fast", 0, 0, 0}, 10);
    pass(&w, 3700);
    check_hour(&w, TEN, HOUR_NS, 40 * NS_PER_S);
    int64_t slow = cost_of(&w, TEN, "slow"), fast = cost_of(&w, TEN, "fast");
    CHECK(slow - 3 * fast <= 3 && 3 * fast - slow <= 3);
    end(&w);
    world_close(&w);
}

TEST(a_new_price_counts_from_then_on)
{
    struct world w;
    world_open(&w, "price");
    step(&w);
    pass(&w, 1800);
    request(&w, (struct request){"a", 10, 0, 10}, 100);
    w.source.hour_nano = 3 * RATE;
    pass(&w, 1700);
    pass(&w, 60);
    struct usage_line all = told(&w, TEN, NULL);
    CHECK_EQ_I64(all.cost_nano + all.idle_nano,
                 hours_price(1900 * NS_PER_S, RATE) + hours_price(1700 * NS_PER_S, 3 * RATE));
    CHECK_EQ_I64(all.cost_nano,
                 hours_price(1900 * NS_PER_S, RATE) - hours_price(1800 * NS_PER_S, RATE));
    end(&w);
    world_close(&w);
}

TEST(engines_are_paid_while_they_run)
{
    struct world w;
    world_open(&w, "engine-a");
    w.source.engine = true;
    step(&w);
    for (unsigned i = 0; i < 10; i++) { /* each time 10 s of a hundred */
        w.source.ran_ns += 10 * NS_PER_S;
        w.wall_ns += 10 * NS_PER_S;
        step(&w);
        pass(&w, 90);
    }
    w.source.ran_ns = 0; /* it left the configuration and came back */
    pass(&w, 10);
    w.source.ran_ns = 50 * NS_PER_S;
    pass(&w, 500);
    w.source.ran_ns += 20 * NS_PER_S;
    request(&w, (struct request){"a", 10, 0, 10}, 20);
    pass(&w, 3000);
    check_hour(&w, TEN, 127 * NS_PER_S, 20 * NS_PER_S); /* a look every 7 s */
    CHECK_EQ_I64(cost_of(&w, TEN, "a"),
                 hours_price(127 * NS_PER_S, RATE) - hours_price(107 * NS_PER_S, RATE));
    end(&w);
    world_close(&w);
}

TEST(what_is_not_configured_costs_only_what_it_works)
{
    struct world w;
    world_open(&w, "removed");
    step(&w);
    pass(&w, 100);
    struct open a = start(&w, (struct request){"a", 10, 0, 10});
    for (unsigned i = 0; i < 10; i++) { /* it is gone, but for a request that is there yet */
        w.wall_ns += 10 * NS_PER_S;
        hours_step(w.hours, mono_at(&w), w.wall_ns);
    }
    finish(&w, &a);
    for (unsigned i = 0; i < 400; i++) {
        w.wall_ns += 10 * NS_PER_S;
        CHECK(ledger_flush(w.ledger, 5 * NS_PER_S));
        hours_step(w.hours, mono_at(&w), w.wall_ns);
    }
    check_hour(&w, TEN, 200 * NS_PER_S, 100 * NS_PER_S);
    end(&w);
    world_close(&w);
}

TEST(restarts_go_on_with_the_hour)
{
    struct world w;
    int64_t run_ns = 0, busy_ns = 0;
    world_open(&w, "restarts");
    for (unsigned i = 0; i < 5; i++) {
        step(&w);
        request(&w, (struct request){"long", 100, 0, 900}, 40);
        pass(&w, 100 + i);
        request(&w, (struct request){"short", 900, 0, 20}, 10);
        run_ns += (150 + i) * NS_PER_S;
        busy_ns += 50 * NS_PER_S;
        end(&w);
        check_hour(&w, TEN, run_ns, busy_ns); /* the part of the hour so far */
        w.wall_ns += 100 * NS_PER_S;          /* not running, not paid */
        begin(&w);
    }
    step(&w);
    int64_t n = corrections(&w);
    end(&w);
    CHECK_EQ_I64(corrections(&w), n); /* nothing new, nothing to correct */
    check_hour(&w, TEN, run_ns, busy_ns);
    begin(&w);
    step(&w);
    int64_t start_ns = w.wall_ns;
    pass(&w, 4000);
    check_hour(&w, TEN, run_ns + TEN + HOUR_NS - start_ns, busy_ns);
    end(&w);
    world_close(&w);
}

/* What the file `hours` says of the hour: the time that is known after a kill. */
static void known(const struct world *w, int64_t hour_ns, int64_t *ret_run_ns, int64_t *ret_busy_ns)
{
    char path[96], line[4096];
    long long start, since, price, run, busy;
    *ret_run_ns = *ret_busy_ns = 0;
    snprintf(path, sizeof path, "%s/hours", w->folder);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%lld %lld %lld %lld %lld", &start, &since, &price, &run, &busy) == 5 &&
            start == hour_ns) {
            *ret_run_ns = run;
            *ret_busy_ns = busy;
        }
    }
    fclose(f);
}

/* A process that is killed after `s` seconds of steps, wherever that is. */
static void live_and_be_killed(struct world *w, int64_t s, bool merged)
{
    int status;
    ledger_close(TAKE(w->ledger)); /* the child opens its own */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        begin(w);
        step(w);
        for (unsigned i = 0; i < 5; i++)
            request(w, (struct request){i % 2 == 0 ? "long" : "short", 100, 0, i * 90}, 20);
        pass(w, s);
        CHECK(!merged || ledger_flush(w->ledger, 5 * NS_PER_S));
        _exit(7);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    w->wall_ns += (100 + s) * NS_PER_S;
}

TEST(kills_forget_seconds_and_no_money)
{
    /* before the hour's end, before its books are closed, right behind their corrections, and late
     */
    static const int64_t lives[] = {1000, 3503, 3515, 3517, 3519, 3524, 3600, 5000};
    for (unsigned i = 0; i < 2 * ARRAY_LEN(lives); i++) {
        struct world w;
        char name[16];
        int64_t run_ns, busy_ns;
        check_note("life %u", i);
        snprintf(name, sizeof name, "kill%u", i);
        world_open(&w, name);
        hours_end(TAKE(w.hours), MONO, TEN);
        limit_registry_free(TAKE(w.limits));
        live_and_be_killed(&w, lives[i / 2], i % 2 == 0);
        known(&w, TEN, &run_ns, &busy_ns);
        CHECK(run_ns >= MIN_OF((100 + lives[i / 2] - 14) * NS_PER_S, HOUR_NS));
        CHECK_EQ_I64(busy_ns, 100 * NS_PER_S);
        w.wall_ns = MAX_OF(w.wall_ns, TEN + HOUR_NS) + 60 * NS_PER_S;
        begin(&w); /* after the hour: nothing is added to it */
        step(&w);
        step(&w); /* corrections have come back */
        check_hour(&w, TEN, run_ns, busy_ns);
        CHECK(cost_of(&w, TEN, "long") > 0 && cost_of(&w, TEN, "short") > 0);
        int64_t n = corrections(&w);
        pass(&w, 300);
        CHECK_EQ_I64(corrections(&w), n);
        end(&w);
        check_hour(&w, TEN, run_ns, busy_ns);
        world_close(&w);
    }
}

TEST(a_lost_file_begins_with_now)
{
    struct world w;
    char path[96];
    world_open(&w, "lost");
    step(&w);
    request(&w, (struct request){"a", 10, 0, 10}, 100);
    end(&w);
    int64_t cost = cost_of(&w, TEN, "a");
    CHECK(cost > 0);
    snprintf(path, sizeof path, "%s/hours", w.folder);
    for (unsigned i = 0; i < 3; i++) {
        FILE *f = fopen(path, "we");
        CHECK(f != NULL);
        fputs(i == 0 ? "" : i == 1 ? "weir-hours 1\n12 -3 x\n" : "other\n", f);
        fclose(f);
        w.wall_ns += NS_PER_S;
        begin(&w);
        step(&w);
        pass(&w, 50);
        end(&w);
        CHECK_EQ_I64(cost_of(&w, TEN, "a"), cost); /* it is not this process' to divide */
    }
    struct usage_line all = told(&w, TEN, NULL);
    CHECK_EQ_I64(all.idle_nano, 3 * hours_price(50 * NS_PER_S, RATE));
    world_close(&w);
}

static void without_memory(void *arg)
{
    struct world *w = arg;
    struct hours *h = hours_open(w->ledger, w->folder, w->limits);
    if (h == NULL)
        return;
    for (int64_t s = 0; s < 3700; s += 300) {
        hours_put(h, &w->source);
        hours_step(h, MONO + s * NS_PER_S, TEN + s * NS_PER_S);
    }
    hours_end(h, MONO + 4000 * NS_PER_S, TEN + 4000 * NS_PER_S);
}

TEST(memory_may_be_short)
{
    struct world w;
    check_needs_torture();
    world_open(&w, "torture");
    step(&w);
    request(&w, (struct request){"a", 10, 0, 10}, 100);
    hours_end(TAKE(w.hours), mono_at(&w), w.wall_ns);
    CHECK(check_torture(without_memory, &w) > 0);
    ledger_close(w.ledger);
    limit_registry_free(w.limits);
    world_close(&w);
}

/* Random hours: requests of any size at any time, processes that stop and start. */
TEST(random_hours_add_up)
{
    for (unsigned round = 0; round < 6; round++) {
        struct world w;
        char name[16];
        check_note("round %u", round);
        snprintf(name, sizeof name, "random%u", round);
        world_open(&w, name);
        step(&w);
        for (unsigned i = 0; i < 150; i++) {
            static const char *const cases[] = {"a", "b", "c", "d"};
            struct request r = {cases[check_random_below(4)], (int64_t)check_random_below(5000), 0,
                                (int64_t)check_random_below(500)};
            r.cached = (int64_t)check_random_below((uint64_t)r.input + 1);
            request(&w, r, (int64_t)check_random_below(60));
            pass(&w, (int64_t)check_random_below(90));
            if (check_random_below(25) == 0) {
                end(&w);
                begin(&w);
                step(&w);
            }
        }
        end(&w);
        int64_t last = calendar_start(CALENDAR_HOUR, w.wall_ns);
        for (int64_t hour = TEN; hour < last; hour += HOUR_NS) {
            struct usage_line all = told(&w, hour, NULL);
            CHECK_EQ_I64(all.cost_nano + all.idle_nano, RATE);
            int64_t sum = 0;
            for (const char *c = "abcd"; *c != '\0'; c++) {
                int64_t cost = cost_of(&w, hour, (char[]){*c, '\0'});
                CHECK(cost >= 0);
                sum += cost;
            }
            CHECK_EQ_I64(sum, all.cost_nano);
        }
        CHECK(last > TEN);
        world_close(&w);
    }
}
