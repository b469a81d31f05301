/* Breakers of targets: a table of events and what each leads to, slowness and what is usual,
 * averages, quantiles, the registry. Time is an argument: nobody sleeps. */
#include "policy/target_live.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define S  NS_PER_S
#define MS NS_PER_MS
#define T  (100000 * S) /* when all scenarios begin */

static struct target_live *fresh(void)
{
    static unsigned n;
    char label[32];
    snprintf(label, sizeof label, "test/target-%u", n++);
    target_live_configure(&health_standard);
    struct target_live *t = target_live_get(slice_str(label));
    CHECK(t != NULL);
    return t;
}

static struct target_view look(const struct target_live *t, int64_t now_ns)
{
    struct target_view v;
    target_live_look(t, now_ns, &v);
    return v;
}

static void set(enum health_setting s, int64_t value)
{
    static struct health_settings now;
    static bool any;
    if (!any)
        now = health_standard;
    any = true;
    now.v[s] = value;
    target_live_configure(&now);
    now = health_standard;
}

static void answer(struct target_live *t, enum target_outcome o, int64_t first_ns, int64_t gap_ns,
                   int64_t now_ns)
{
    struct target_report r = {.outcome = o,
                              .entry = target_live_enter(t, now_ns),
                              .retry_after_ns = -1,
                              .first_ns = first_ns,
                              .gap_ns = gap_ns};
    CHECK(r.entry > 1);
    target_live_report(t, &r, now_ns);
}

enum event {
    LOOK,
    GOOD, /* so many enter and report */
    BAD,
    NONE,
    KEY,   /* refused */
    LIMIT, /* `arg` is the time to wait in ms */
    PROBE_GOOD,
    PROBE_BAD,
    DRAIN,
    ENABLE,
    RESET,
    SET,      /* the setting `n` to `arg` */
    SHUT,     /* entering is refused */
    IN,       /* one enters, as number `n` */
    OUT_GOOD, /* and that one reports */
    OUT_BAD,
    OUT_NONE,
    OUT_LIMIT,
    OUT_KEY,
};
struct step {
    int64_t at_ms;
    enum event event;
    int64_t n, arg;
    enum health_state state; /* after it */
    enum health_reason reason;
    int64_t until_ms; /* 0: none */
    unsigned ejections;
};
struct scenario {
    const char *name;
    struct step step[20];
};

#define WELL      HEALTH_WELL, HEALTH_NO_REASON, 0
#define WARM(r)   HEALTH_WARMING, HEALTH_##r, 0
#define HALF(r)   HEALTH_HALF_OPEN, HEALTH_##r, 0
#define EJ(r, ms) HEALTH_EJECTED, HEALTH_##r, ms
#define COOL(ms)  HEALTH_COOLING, HEALTH_RATE_LIMIT, ms
#define DENY(ms)  HEALTH_DENIED, HEALTH_CREDENTIAL, ms
#define DRAINED   HEALTH_DRAINED, HEALTH_OPERATOR, 0
#define END                                                                                        \
    {                                                                                              \
        .at_ms = -1                                                                                \
    }

/* clang-format off */
static const struct scenario scenarios[] = {
    {"failures in a row", {
        {0, BAD, 4, 0, WELL, 0},
        {1, GOOD, 1, 0, WELL, 0},
        {2, BAD, 4, 0, WELL, 0},
        {3, BAD, 1, 0, EJ(IN_A_ROW, 10003), 1},
        {10002, SHUT, 0, 0, EJ(IN_A_ROW, 10003), 1},
        {10003, LOOK, 0, 0, HALF(IN_A_ROW), 1},
        END}},
    {"half-open: one at a time, and its verdict", {
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, IN, 0, 0, HALF(IN_A_ROW), 1},
        {10001, SHUT, 0, 0, HALF(IN_A_ROW), 1},
        {10002, OUT_BAD, 0, 0, EJ(IN_A_ROW, 30002), 2},
        {30002, IN, 0, 0, HALF(IN_A_ROW), 2},
        {30003, OUT_NONE, 0, 0, HALF(IN_A_ROW), 2},
        {30004, IN, 0, 0, HALF(IN_A_ROW), 2},
        {30005, SHUT, 0, 0, HALF(IN_A_ROW), 2},
        {40000, OUT_GOOD, 0, 0, WARM(IN_A_ROW), 2},
        {69999, GOOD, 9, 0, WARM(IN_A_ROW), 2},
        {70000, LOOK, 0, 0, WELL, 2},
        {99999, LOOK, 0, 0, WELL, 2},
        {100000, LOOK, 0, 0, WELL, 1},
        {130000, LOOK, 0, 0, WELL, 0},
        {130001, BAD, 5, 0, EJ(IN_A_ROW, 140001), 1},
        END}},
    {"the number of ejections falls while it is well only", {
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, BAD, 1, 0, EJ(IN_A_ROW, 30000), 2},
        {300000, BAD, 1, 0, EJ(IN_A_ROW, 330000), 3},
        {330000, GOOD, 1, 0, WARM(IN_A_ROW), 3},
        {359999, BAD, 5, 0, EJ(IN_A_ROW, 399999), 4},
        {399999, GOOD, 1, 0, WARM(IN_A_ROW), 4},
        {459999, BAD, 5, 0, EJ(IN_A_ROW, 499999), 4},
        END}},
    {"late ones say nothing", {
        {0, IN, 1, 0, WELL, 0},
        {0, IN, 2, 0, WELL, 0},
        {0, IN, 3, 0, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {1000, OUT_GOOD, 1, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, IN, 4, 0, HALF(IN_A_ROW), 1},
        {10001, OUT_GOOD, 2, 0, HALF(IN_A_ROW), 1},
        {10002, OUT_BAD, 3, 0, HALF(IN_A_ROW), 1},
        {10003, SHUT, 0, 0, HALF(IN_A_ROW), 1},
        {10004, OUT_GOOD, 4, 0, WARM(IN_A_ROW), 1},
        END}},
    {"late ones do not eject again", {
        {0, IN, 1, 0, WELL, 0},
        {0, IN, 2, 0, WELL, 0},
        {0, IN, 3, 0, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, GOOD, 1, 0, WARM(IN_A_ROW), 1},
        {10001, BAD, 4, 0, WARM(IN_A_ROW), 1},
        {10001, OUT_BAD, 1, 0, WARM(IN_A_ROW), 1},
        {10001, OUT_BAD, 2, 0, WARM(IN_A_ROW), 1},
        {10001, OUT_LIMIT, 3, 0, WARM(IN_A_ROW), 1},
        {10002, BAD, 1, 0, EJ(IN_A_ROW, 30002), 2},
        END}},
    {"a ticket that was lost", {
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, IN, 1, 0, HALF(IN_A_ROW), 1},
        {609999, SHUT, 0, 0, HALF(IN_A_ROW), 1},
        {610000, IN, 2, 0, HALF(IN_A_ROW), 1},
        {610001, SHUT, 0, 0, HALF(IN_A_ROW), 1},
        {610002, OUT_BAD, 1, 0, HALF(IN_A_ROW), 1},
        {610003, SHUT, 0, 0, HALF(IN_A_ROW), 1},
        {610004, OUT_GOOD, 2, 0, WARM(IN_A_ROW), 1},
        END}},
    {"share of failures", {
        {0, BAD, 3, 0, WELL, 0},
        {1, GOOD, 4, 0, WELL, 0},
        {2, BAD, 1, 0, WELL, 0},
        {3, GOOD, 1, 0, WELL, 0},
        {4, BAD, 1, 0, EJ(SHARE, 10004), 1}, /* 5 of 10 */
        END}},
    {"a share needs answers enough", {
        {0, BAD, 4, 0, WELL, 0},
        {1, GOOD, 1, 0, WELL, 0},
        {2, BAD, 4, 0, WELL, 0}, /* 8 of 9 */
        {3, GOOD, 1, 0, WELL, 0}, /* a good one ejects nobody */
        {4, BAD, 1, 0, EJ(SHARE, 10004), 1},
        END}},
    {"the window slides", {
        {0, BAD, 4, 0, WELL, 0},
        {1, GOOD, 1, 0, WELL, 0},
        {2, BAD, 3, 0, WELL, 0},
        {3, GOOD, 1, 0, WELL, 0},
        {30000, GOOD, 5, 0, WELL, 0},
        {30001, BAD, 4, 0, WELL, 0}, /* 4 of 9, not 11 of 18 */
        {30002, GOOD, 1, 0, WELL, 0},
        {30003, BAD, 1, 0, WELL, 0},  /* 5 of 11 */
        {30004, BAD, 1, 0, EJ(SHARE, 40004), 1}, /* 6 of 12 */
        END}},
    {"what was before an ejection is over", {
        {0, GOOD, 8, 0, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, GOOD, 1, 0, WARM(IN_A_ROW), 1},
        {10001, BAD, 4, 0, WARM(IN_A_ROW), 1},
        {10002, GOOD, 1, 0, WARM(IN_A_ROW), 1},
        {10003, BAD, 4, 0, WARM(IN_A_ROW), 1},
        {10004, BAD, 1, 0, EJ(IN_A_ROW, 30004), 2},
        END}},
    {"client errors count for nothing", {
        {0, BAD, 4, 0, WELL, 0},
        {1, NONE, 100, 0, WELL, 0},
        {2, BAD, 1, 0, EJ(IN_A_ROW, 10002), 1},
        END}},
    {"429 without a time", {
        {0, LIMIT, 1, -1, COOL(5000), 0},
        {4999, SHUT, 0, 0, COOL(5000), 0},
        {5000, LOOK, 0, 0, WELL, 0},
        {5000, LIMIT, 1, -1, COOL(10000), 0},
        {10000, LIMIT, 1, -1, COOL(15000), 0},
        {15000, GOOD, 1, 0, WELL, 0},
        END}},
    {"429 with a time, and the longest of several", {
        {0, IN, 1, 0, WELL, 0},
        {0, LIMIT, 1, 20000, COOL(20000), 0},
        {1000, OUT_LIMIT, 1, 3000, COOL(20000), 0},
        {20000, LIMIT, 1, 0, WELL, 0},
        {20001, LIMIT, 1, 86400000, COOL(620001), 0},
        {620001, GOOD, 1, 0, WELL, 0},
        END}},
    {"429 never ejects, nor heals", {
        {0, BAD, 4, 0, WELL, 0},
        {0, LIMIT, 1, 0, WELL, 0},
        {1, LIMIT, 1, 1, COOL(2), 0},
        {2, LIMIT, 1, 1, COOL(3), 0},
        {3, BAD, 1, 0, EJ(IN_A_ROW, 10003), 1},
        END}},
    {"429 of a ticket's holder", {
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, IN, 1, 0, HALF(IN_A_ROW), 1},
        {10001, OUT_LIMIT, 1, 2000, COOL(12001), 1},
        {12001, IN, 2, 0, HALF(IN_A_ROW), 1},
        {12002, OUT_GOOD, 2, 0, WARM(IN_A_ROW), 1},
        END}},
    {"a refused credential", {
        {0, IN, 1, 0, WELL, 0},
        {0, KEY, 1, 0, DENY(300000), 0},
        {1, OUT_GOOD, 1, 0, DENY(300000), 0},
        {299999, SHUT, 0, 0, DENY(300000), 0},
        {300000, GOOD, 1, 0, WELL, 0},
        {300001, KEY, 1, 0, DENY(600001), 0},
        {300002, RESET, 0, 0, WELL, 0},
        END}},
    {"a refused credential of a ticket's holder", {
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, IN, 1, 0, HALF(IN_A_ROW), 1},
        {10001, OUT_KEY, 1, 0, DENY(310001), 1},
        {310001, IN, 2, 0, HALF(IN_A_ROW), 1},
        END}},
    {"probes", {
        {0, PROBE_BAD, 4, 0, WELL, 0},
        {1, PROBE_GOOD, 1, 0, WELL, 0},
        {2, PROBE_BAD, 4, 0, WELL, 0},
        {3, GOOD, 1, 0, WELL, 0},
        {4, PROBE_BAD, 1, 0, EJ(PROBE_FAILED, 10004), 1},
        {5000, PROBE_BAD, 1, 0, EJ(PROBE_FAILED, 10004), 1},
        {10004, PROBE_BAD, 1, 0, EJ(PROBE_FAILED, 30004), 2},
        {20000, PROBE_GOOD, 1, 0, WARM(PROBE_FAILED), 2},
        END}},
    {"probes and what answers have shown", {
        {0, BAD, 4, 0, WELL, 0},
        {0, PROBE_GOOD, 1, 0, WELL, 0},
        {0, BAD, 1, 0, EJ(IN_A_ROW, 10000), 1},
        {1000, PROBE_GOOD, 1, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, PROBE_GOOD, 1, 0, HALF(IN_A_ROW), 1},
        {10001, IN, 1, 0, HALF(IN_A_ROW), 1},
        {10002, PROBE_BAD, 9, 0, HALF(IN_A_ROW), 1},
        {10003, OUT_NONE, 1, 0, HALF(IN_A_ROW), 1},
        {10004, PROBE_BAD, 1, 0, EJ(PROBE_FAILED, 30004), 2},
        END}},
    {"an operator's hand", {
        {0, IN, 1, 0, WELL, 0},
        {0, DRAIN, 0, 0, DRAINED, 0},
        {1, SHUT, 0, 0, DRAINED, 0},
        {2, OUT_GOOD, 1, 0, DRAINED, 0},
        {9000000, SHUT, 0, 0, DRAINED, 0},
        {9000000, ENABLE, 0, 0, WELL, 0},
        {9000000, BAD, 5, 0, EJ(IN_A_ROW, 9010000), 1},
        {9000001, DRAIN, 0, 0, DRAINED, 1},
        {9000002, ENABLE, 0, 0, EJ(IN_A_ROW, 9010000), 1},
        {9000003, RESET, 0, 0, WELL, 0},
        {9000004, BAD, 4, 0, WELL, 0},
        {9000005, DRAIN, 0, 0, DRAINED, 0},
        {9000006, RESET, 0, 0, WELL, 0},
        {9000007, BAD, 4, 0, WELL, 0},
        {9000008, BAD, 1, 0, EJ(IN_A_ROW, 9010008), 1},
        END}},
    {"the worst is shown", {
        {0, BAD, 4, 0, WELL, 0},
        {0, IN, 1, 0, WELL, 0},
        {0, IN, 2, 0, WELL, 0},
        {0, LIMIT, 1, 60000, COOL(60000), 0},
        {1, OUT_BAD, 1, 0, EJ(IN_A_ROW, 10001), 1},
        {10001, SHUT, 0, 0, COOL(60000), 1},
        {60000, IN, 3, 0, HALF(IN_A_ROW), 1},
        {60001, OUT_KEY, 3, 0, DENY(360001), 1},
        {60002, DRAIN, 0, 0, DRAINED, 1},
        END}},
    /* Settings, each of them; they may change at any time. */
    {"failures", {
        {0, BAD, 4, 0, WELL, 0},
        {0, SET, HEALTH_FAILURES, 6, WELL, 0},
        {0, BAD, 1, 0, WELL, 0},
        {0, BAD, 1, 0, EJ(IN_A_ROW, 10000), 1},
        END}},
    {"failures: never", {
        {0, SET, HEALTH_FAILURES, 0, WELL, 0},
        {0, BAD, 9, 0, WELL, 0},
        {0, BAD, 1, 0, EJ(SHARE, 10000), 1},
        END}},
    {"error_share", {
        {0, SET, HEALTH_ERROR_SHARE, 20, WELL, 0},
        {0, GOOD, 9, 0, WELL, 0},
        {0, BAD, 2, 0, WELL, 0}, /* 2 of 11 */
        {0, BAD, 1, 0, EJ(SHARE, 10000), 1},
        END}},
    {"error_share: never", {
        {0, SET, HEALTH_ERROR_SHARE, 0, WELL, 0},
        {0, BAD, 4, 0, WELL, 0},
        {0, GOOD, 1, 0, WELL, 0},
        {0, BAD, 4, 0, WELL, 0},
        {0, GOOD, 1, 0, WELL, 0},
        {0, BAD, 4, 0, WELL, 0},
        {0, BAD, 1, 0, EJ(IN_A_ROW, 10000), 1},
        END}},
    {"min_requests", {
        {0, SET, HEALTH_MIN_REQUESTS, 3, WELL, 0},
        {0, GOOD, 1, 0, WELL, 0},
        {0, BAD, 1, 0, WELL, 0},
        {0, BAD, 1, 0, EJ(SHARE, 10000), 1},
        END}},
    {"window", {
        {0, SET, HEALTH_WINDOW, 5 * S, WELL, 0},
        {0, GOOD, 1, 0, WELL, 0},
        {0, BAD, 4, 0, WELL, 0},
        {5000, GOOD, 1, 0, WELL, 0},
        {5000, BAD, 4, 0, WELL, 0},
        {9000, GOOD, 1, 0, WELL, 0},
        {9000, BAD, 4, 0, EJ(SHARE, 19000), 1},
        END}},
    {"a window that changes begins empty", {
        {0, GOOD, 1, 0, WELL, 0},
        {0, BAD, 4, 0, WELL, 0},
        {0, SET, HEALTH_WINDOW, 60 * S, WELL, 0},
        {0, GOOD, 1, 0, WELL, 0},
        {50000, BAD, 4, 0, WELL, 0},
        {50000, GOOD, 1, 0, WELL, 0},
        {50000, BAD, 4, 0, EJ(SHARE, 60000), 1},
        END}},
    {"ejection", {
        {0, SET, HEALTH_EJECTION, 2 * S, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 2000), 1},
        {2000, BAD, 1, 0, EJ(IN_A_ROW, 6000), 2},
        {3000, SET, HEALTH_EJECTION, 7 * S, EJ(IN_A_ROW, 6000), 2},
        {6000, BAD, 1, 0, EJ(IN_A_ROW, 27000), 3},
        END}},
    {"max_ejection", {
        {0, SET, HEALTH_MAX_EJECTION, 15 * S, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, BAD, 1, 0, EJ(IN_A_ROW, 25000), 2},
        {25000, BAD, 1, 0, EJ(IN_A_ROW, 40000), 3},
        END}},
    {"slow_start", {
        {0, SET, HEALTH_SLOW_START, 4 * S, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, GOOD, 1, 0, WARM(IN_A_ROW), 1},
        {13999, LOOK, 0, 0, WARM(IN_A_ROW), 1},
        {14000, LOOK, 0, 0, WELL, 1},
        {14000, SET, HEALTH_SLOW_START, 6 * S, WARM(IN_A_ROW), 1},
        {16000, LOOK, 0, 0, WELL, 1},
        {46000, LOOK, 0, 0, WELL, 0},
        END}},
    {"slow_start: none", {
        {0, SET, HEALTH_SLOW_START, 0, WELL, 0},
        {0, BAD, 5, 0, EJ(IN_A_ROW, 10000), 1},
        {10000, GOOD, 1, 0, WELL, 1},
        END}},
    {"cool_down", {
        {0, SET, HEALTH_COOL_DOWN, 1 * S, WELL, 0},
        {0, LIMIT, 1, -1, COOL(1000), 0},
        {1000, LIMIT, 1, 7000, COOL(8000), 0},
        END}},
    {"denied", {
        {0, SET, HEALTH_DENIED_FOR, 30 * S, WELL, 0},
        {0, KEY, 1, 0, DENY(30000), 0},
        {30000, GOOD, 1, 0, WELL, 0},
        END}},
};
/* clang-format on */

static void out(struct target_live *t, uint64_t *entry, enum target_outcome o, int64_t arg_ms,
                int64_t now_ns)
{
    struct target_report r = {.outcome = o, .entry = *entry, .retry_after_ns = arg_ms * MS};
    target_live_report(t, &r, now_ns);
    *entry = 0;
}

static void happen(struct target_live *t, const struct step *s, uint64_t entries[8], int64_t now)
{
    static const enum target_outcome outcomes[] = {
        [GOOD] = TARGET_GOOD,           [BAD] = TARGET_FAILED,
        [NONE] = TARGET_NO_NEWS,        [KEY] = TARGET_REFUSED_KEY,
        [LIMIT] = TARGET_RATE_LIMITED,  [OUT_GOOD] = TARGET_GOOD,
        [OUT_BAD] = TARGET_FAILED,      [OUT_NONE] = TARGET_NO_NEWS,
        [OUT_KEY] = TARGET_REFUSED_KEY, [OUT_LIMIT] = TARGET_RATE_LIMITED,
    };
    bool times = s->event != SET && s->event != IN && s->event < OUT_GOOD;
    for (int64_t i = 0; i < (times ? s->n : 1); i++) {
        switch (s->event) {
        case GOOD:
        case BAD:
        case NONE:
        case KEY:
        case LIMIT:
            entries[0] = target_live_enter(t, now);
            CHECK(entries[0] > 1);
            out(t, &entries[0], outcomes[s->event], s->arg, now);
            break;
        case PROBE_GOOD:
        case PROBE_BAD: target_live_probe(t, s->event == PROBE_GOOD, now); break;
        case SET: set((enum health_setting)s->n, s->arg); break;
        case IN:
            entries[s->n] = target_live_enter(t, now);
            CHECK(entries[s->n] > 1);
            break;
        case OUT_GOOD:
        case OUT_BAD:
        case OUT_NONE:
        case OUT_LIMIT:
        case OUT_KEY: out(t, &entries[s->n], outcomes[s->event], s->arg, now); break;
        default: break;
        }
    }
    if (s->event == SHUT)
        CHECK_EQ_U64(target_live_enter(t, now), 0);
    if (s->event == DRAIN || s->event == ENABLE)
        target_live_drain(t, s->event == DRAIN);
    if (s->event == RESET)
        target_live_reset(t);
}

TEST(scenarios)
{
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        const struct scenario *sc = &scenarios[i];
        struct target_live *t = fresh();
        uint64_t entries[8] = {0};
        int64_t inflight = 0;
        for (size_t k = 0; k < ARRAY_LEN(sc->step) && sc->step[k].at_ms >= 0; k++) {
            const struct step *s = &sc->step[k];
            int64_t now = T + s->at_ms * MS;
            CHECK(k + 1 < ARRAY_LEN(sc->step));
            check_note("%s, step %zu", sc->name, k + 1);
            happen(t, s, entries, now);
            inflight += s->event == IN ? 1 : s->event >= OUT_GOOD ? -1 : 0;
            struct target_view v = look(t, now);
            CHECK_EQ_STR(health_state_name(v.state), health_state_name(s->state));
            CHECK_EQ_STR(health_reason_name(v.reason), health_reason_name(s->reason));
            CHECK_EQ_I64(v.until_ns, s->until_ms > 0 ? T + s->until_ms * MS : 0);
            CHECK_EQ_U64(v.ejections, s->ejections);
            CHECK_EQ_I64(v.inflight, inflight);
        }
    }
    target_live_configure(&health_standard);
}

TEST(ejections_grow_to_the_longest)
{
    struct target_live *t = fresh();
    int64_t now = T;
    for (unsigned i = 0; i < 5; i++)
        answer(t, TARGET_FAILED, 0, 0, now);
    for (int64_t n = 1; n < 100; n++) {
        int64_t rest = MIN_OF(n * 10, INT64_C(300)) * S;
        check_note("ejection %d", (int)n);
        CHECK_EQ_I64(look(t, now).until_ns, now + rest);
        CHECK_EQ_U64(look(t, now).ejections, (uint64_t)n);
        now += rest;
        answer(t, TARGET_FAILED, 0, 0, now);
    }
}

TEST(share_of_a_slow_start)
{
    struct target_live *t = fresh();
    CHECK_EQ_DOUBLE(look(t, T).share, 1);
    for (unsigned i = 0; i < 5; i++)
        answer(t, TARGET_FAILED, 0, 0, T);
    int64_t now = T + 10 * S;
    uint64_t entry = target_live_enter(t, now);
    CHECK_EQ_DOUBLE(look(t, now).share, 0); /* another has the ticket */
    out(t, &entry, TARGET_NO_NEWS, 0, now);
    CHECK_EQ_DOUBLE(look(t, now).share, 1);
    answer(t, TARGET_GOOD, 0, 0, now);
    for (int64_t ms = 0; ms < 30000; ms += 500)
        CHECK(fabs(look(t, now + ms * MS).share - (0.1 + 0.9 * (double)ms / 30000)) < 1e-12);
    CHECK_EQ_DOUBLE(look(t, now + 30 * S).share, 1);
}

/* Callers that tell nothing but whether they got in. */
TEST(entries_not_told)
{
    for (uint64_t told = 0; told < 2; told++) {
        struct target_live *t = fresh();
        struct target_report bad = {.outcome = TARGET_FAILED, .entry = told},
                             good = {.entry = told};
        for (unsigned i = 0; i < 5; i++) {
            CHECK(target_live_enter(t, T));
            target_live_report(t, &bad, T);
        }
        CHECK(look(t, T).state == HEALTH_EJECTED);
        CHECK(target_live_enter(t, T + 10 * S));
        CHECK(!target_live_enter(t, T + 10 * S));
        target_live_report(t, &bad, T + 10 * S);
        CHECK_EQ_I64(look(t, T + 10 * S).until_ns, T + 30 * S);
        CHECK(target_live_enter(t, T + 30 * S));
        target_live_report(t, &good, T + 30 * S);
        CHECK(look(t, T + 30 * S).state == HEALTH_WARMING);
    }
}

/* The window's figures by themselves, looked at from any time. */
TEST(window_figures)
{
    struct target_live *t = fresh();
    for (unsigned i = 0; i < 40; i++)
        answer(t, i % 4 == 0 ? TARGET_FAILED : TARGET_GOOD, 0, 0, T + (int64_t)i * S);
    struct target_view v = look(t, T + 39 * S);
    CHECK_EQ_I64(v.window_answers, 28); /* from 12 to 39: slots of 3 s */
    CHECK_EQ_I64(v.window_failures, 7);
    CHECK_EQ_I64(v.failures_in_a_row, 0);
    CHECK_EQ_I64(look(t, T).window_answers, 28); /* a clock that lags */
    int64_t last = 28;
    for (int64_t s = 39; s < 80; s++) {
        v = look(t, T + s * S);
        CHECK(v.window_answers <= last && v.window_answers >= MAX_OF(69 - s - 2, INT64_C(0)) - 1);
        last = v.window_answers;
        CHECK(v.window_failures <= v.window_answers);
    }
    CHECK_EQ_I64(last, 0);
    answer(t, TARGET_FAILED, 0, 0, T + 80 * S);
    CHECK_EQ_I64(look(t, T + 80 * S).window_answers, 1);
    CHECK_EQ_I64(look(t, T + 80 * S).failures_in_a_row, 1);
}

/* ---- times */

/* So many answers, one each 100 ms, until it is not well any more; returns the time after them. */
static int64_t answers(struct target_live *t, unsigned n, int64_t first_ns, int64_t gap_ns,
                       int64_t now)
{
    for (unsigned i = 0; i < n && look(t, now).state <= HEALTH_WARMING; i++) {
        answer(t, TARGET_GOOD, first_ns, gap_ns, now);
        now += 100 * MS;
    }
    return now;
}

TEST(average_rises_at_once_and_falls_slowly)
{
    struct target_live *t = fresh();
    CHECK_EQ_I64(look(t, T).first_ns, 0);
    CHECK_EQ_I64(look(t, T).gap_ns, 0);
    int64_t now = answers(t, 1000, 100 * MS, 10 * MS, T) - 100 * MS;
    CHECK_EQ_I64(look(t, now).first_ns, 100 * MS);
    CHECK_EQ_I64(look(t, now).gap_ns, 10 * MS);
    answer(t, TARGET_GOOD, 1100 * MS, 0, now);
    CHECK_EQ_I64(look(t, now).first_ns, 1100 * MS);
    for (unsigned i = 1; i <= 300; i++) {
        double want = 100 + 1000 * exp(-(double)i / 100);
        now += 100 * MS;
        answer(t, TARGET_GOOD, 100 * MS, 10 * MS, now);
        double got = (double)look(t, now).first_ns / 1e6;
        check_note("after %u answers: %f, not %f", i, got, want);
        CHECK(fabs(got - want) < 0.1 * want);
    }
    CHECK_EQ_I64(look(t, now).gap_ns, 10 * MS);
}

/* Without answers it falls to what is usual, and then to next to nothing. */
TEST(average_of_nobody_asking)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 1000, 400 * MS, 20 * MS, T) - 100 * MS;
    answer(t, TARGET_GOOD, 4000 * MS, 20 * MS, now);
    int64_t last = look(t, now).first_ns;
    CHECK_EQ_I64(last, 4000 * MS);
    for (int64_t s = 1; s < 4000; s++) {
        int64_t ns = look(t, now + s * S).first_ns;
        CHECK(ns > 0 && ns <= last);
        last = ns;
        if (s == 10)
            CHECK(ns > 1500 * MS && ns < 1900 * MS);
        if (s == 60)
            CHECK(ns > 310 * MS && ns < 400 * MS);
    }
    CHECK(last < 1 * MS);
    answer(t, TARGET_GOOD, 400 * MS, 20 * MS, now + 4000 * S);
    CHECK(look(t, now + 4000 * S).first_ns >= 400 * MS);
}

/* What becomes of a target with a known past whose times are `by` times as long, for `n` answers.
 */
static struct target_view slowed(unsigned known, unsigned n, int64_t first_ns, int64_t gap_ns,
                                 int64_t by, int64_t *ret_now)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, known, first_ns, gap_ns, T);
    now = answers(t, n, first_ns * by, 0, now + 30 * S);
    *ret_now = now;
    return look(t, now);
}

TEST(slow_first_tokens_eject)
{
    int64_t now;
    struct target_view v = slowed(600, 9, 200 * MS, 0, 5, &now);
    CHECK(v.state == HEALTH_WELL); /* too few to say */
    v = slowed(600, 10, 200 * MS, 0, 5, &now);
    CHECK(v.state == HEALTH_EJECTED && v.reason == HEALTH_SLOW_FIRST);
    CHECK_EQ_I64(v.until_ns, now - 100 * MS + 10 * S);
    v = slowed(600, 200, 200 * MS, 0, 4, &now);
    CHECK(v.state == HEALTH_WELL);
    v = slowed(10, 200, 200 * MS, 0, 50, &now);
    CHECK(v.state == HEALTH_WELL); /* its past is not known: that is its past */
    v = slowed(600, 200, 10 * MS, 0, 10, &now);
    CHECK(v.state == HEALTH_WELL); /* a tenth of a second is not slow */
    v = slowed(600, 200, 10 * MS, 0, 11, &now);
    CHECK(v.state == HEALTH_EJECTED);
}

TEST(slow_gaps_eject)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 600, 300 * MS, 15 * MS, T);
    now = answers(t, 600, 300 * MS, 59 * MS, now + 30 * S);
    CHECK(look(t, now).state == HEALTH_WELL);
    t = fresh();
    now = answers(t, 600, 300 * MS, 15 * MS, T);
    now = answers(t, 600, 300 * MS, 90 * MS, now + 30 * S);
    CHECK(look(t, now).state == HEALTH_EJECTED);
    CHECK(look(t, now).reason == HEALTH_SLOW_GAP);
}

/* Who holds the ticket need not come to its end: what it was ejected for decides what is enough. */
TEST(an_answer_that_has_begun)
{
    static const struct {
        int64_t first_ns, gap_ns; /* that it is ejected for */
        int64_t begun_ns;
        enum health_state state;
    } rows[] = {{2 * S, 0, 300 * MS, HEALTH_WARMING},
                {2 * S, 0, 2 * S, HEALTH_HALF_OPEN},
                {300 * MS, 90 * MS, 300 * MS, HEALTH_HALF_OPEN}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct target_live *t = fresh();
        int64_t before = target_live_ejections(), now = answers(t, 600, 300 * MS, 15 * MS, T);
        check_note("row %zu", i);
        CHECK_EQ_I64(target_live_ejections(), before);
        for (int n = 0; look(t, now).state == HEALTH_WELL && n < 600; n++)
            now = answers(t, 1, rows[i].first_ns, rows[i].gap_ns, now + NS_PER_S);
        CHECK_EQ_I64(target_live_ejections(), before + 1);
        now = look(t, now).until_ns;
        uint64_t entry = target_live_enter(t, now);
        CHECK(entry != 0 && target_live_enter(t, now) == 0);
        uint64_t later = target_live_begun(t, entry, rows[i].begun_ns, now);
        CHECK_EQ_I64(look(t, now).state, rows[i].state);
        CHECK_EQ_I64(look(t, now).inflight, 1);
        CHECK_EQ_U64(target_live_begun(t, later, rows[i].begun_ns, now), later); /* once */
        struct target_report good = {
            .outcome = TARGET_GOOD, .entry = later, .first_ns = 300 * MS, .gap_ns = 15 * MS};
        target_live_report(t, &good, now);
        CHECK(look(t, now).state == HEALTH_WARMING && look(t, now).inflight == 0);
    }
}

TEST(slow_factor)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 600, 200 * MS, 0, T);
    set(HEALTH_SLOW_FACTOR, 0);
    now = answers(t, 50, 60 * S, 0, now);
    CHECK(look(t, now).state == HEALTH_WELL);
    set(HEALTH_SLOW_FACTOR, 2);
    now = answers(t, 600, 200 * MS, 0, now);
    now = answers(t, 600, 500 * MS, 0, now);
    CHECK(look(t, now).state == HEALTH_EJECTED);
    target_live_configure(&health_standard);
}

/* One long prompt in three, thirty times as slow as the others: no sickness. */
TEST(long_prompts_are_no_sickness)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 600, 200 * MS, 10 * MS, T);
    for (unsigned i = 0; i < 3000; i++) {
        answer(t, TARGET_GOOD, check_random_below(3) == 0 ? 6 * S : 200 * MS, 10 * MS, now);
        now += 100 * MS;
        CHECK(look(t, now).state == HEALTH_WELL);
    }
}

/* Slower by a little with each answer, eight times as slow after ten minutes: what is usual does
 * not go along. */
TEST(creeping_slowness_ejects)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 600, 200 * MS, 0, T);
    double ms = 200;
    while (look(t, now).state == HEALTH_WELL && ms < 1600) {
        answer(t, TARGET_GOOD, (int64_t)(ms * 1e6), 0, now);
        ms *= pow(8, 1.0 / 6000);
        now += 100 * MS;
    }
    CHECK(look(t, now).reason == HEALTH_SLOW_FIRST);
    CHECK(ms > 800 && ms < 1500);
}

/* It is only let back in when it is quick again. */
TEST(slow_ones_come_back_quick)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 600, 200 * MS, 0, T);
    now = answers(t, 600, 4 * S, 0, now);
    CHECK(look(t, now).state == HEALTH_EJECTED);
    now = look(t, now).until_ns;
    answer(t, TARGET_GOOD, 4 * S, 0, now);
    CHECK(look(t, now).state == HEALTH_EJECTED);
    CHECK(look(t, now).reason == HEALTH_SLOW_FIRST);
    CHECK_EQ_I64(look(t, now).until_ns, now + 20 * S);
    now += 20 * S;
    answer(t, TARGET_FAILED, 0, 0, now);
    CHECK(look(t, now).reason == HEALTH_IN_A_ROW);
    now += 30 * S;
    answer(t, TARGET_GOOD, 4 * S, 0, now); /* an answer, and that was asked last */
    CHECK(look(t, now).state == HEALTH_WARMING);
    now = answers(t, 600, 200 * MS, 0, now);
    CHECK(look(t, now).state == HEALTH_WELL);
}

/* Slower for good: in the end that is what is usual. And when it is quick again, so is that. */
TEST(what_is_usual_follows_in_time)
{
    struct target_live *t = fresh();
    int64_t now = answers(t, 6000, 200 * MS, 0, T), began = now, out_last = now;
    while (now < began + 3600 * S) {
        uint64_t entry = target_live_enter(t, now);
        struct target_report r = {.entry = entry, .first_ns = 1200 * MS};
        if (entry != 0)
            target_live_report(t, &r, now);
        if (look(t, now).state == HEALTH_EJECTED)
            out_last = now;
        now += 100 * MS;
    }
    check_note("accepted after %d s", (int)((out_last - began) / S));
    CHECK(out_last > began + 60 * S && out_last < began + 900 * S);
    now = answers(t, 72000, 200 * MS, 0, now);
    now = answers(t, 600, 1200 * MS, 0, now);
    CHECK(look(t, now).state == HEALTH_EJECTED);
}

/* ---- quantiles */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

TEST(quantiles)
{
    static const double qs[] = {0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 1};
    enum { n = 1000 };
    for (unsigned round = 0; round < 20; round++) {
        struct target_live *t = fresh();
        int64_t sorted[n];
        for (size_t i = 0; i < n; i++) {
            sorted[i] = (int64_t)(1e5 * exp((double)check_random_below(1000000) / 1e5));
            answer(t, TARGET_GOOD, sorted[i], 0, T);
        }
        qsort(sorted, n, sizeof sorted[0], compare);
        for (size_t i = 0; i < ARRAY_LEN(qs); i++) {
            size_t at = qs[i] > 0 ? (size_t)ceil(qs[i] * n) - 1 : 0;
            double got = (double)target_live_first_quantile(t, qs[i]);
            check_note("round %u, %f: %f, not %f", round, qs[i], got, (double)sorted[at]);
            CHECK(fabs(got - (double)sorted[at]) <= 0.07 * (double)sorted[at]);
        }
    }
}

TEST(quantiles_of_few_and_of_old_ones)
{
    struct target_live *t = fresh();
    for (unsigned i = 0; i < 19; i++)
        answer(t, TARGET_GOOD, 500 * MS, 0, T);
    CHECK_EQ_I64(target_live_first_quantile(t, 0.5), 0);
    answer(t, TARGET_GOOD, 500 * MS, 0, T);
    CHECK(llabs(target_live_first_quantile(t, 0.5) - 500 * MS) < 35 * MS);
    set(HEALTH_SLOW_FACTOR, 0);
    for (unsigned i = 0; i < 5000; i++)
        answer(t, TARGET_GOOD, 500 * MS, 0, T);
    for (unsigned i = 0; i < 1500; i++) /* as many as it keeps, and some */
        answer(t, TARGET_GOOD, 100 * MS, 0, T);
    CHECK(llabs(target_live_first_quantile(t, 0.5) - 100 * MS) < 7 * MS);
    for (unsigned i = 0; i < 30; i++) /* hours later a few are enough */
        answer(t, TARGET_GOOD, 2 * S, 0, T + 7200 * S);
    CHECK(llabs(target_live_first_quantile(t, 0.5) - 2 * S) < 140 * MS);
    target_live_reset(t);
    CHECK_EQ_I64(target_live_first_quantile(t, 0.5), 0);
    CHECK_EQ_I64(look(t, T).first_ns, 0);
    target_live_configure(&health_standard);
}

/* Nonsense from a peer is no reason to fall over. */
TEST(times_out_of_range)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    struct target_live *t = fresh();
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        for (unsigned k = 0; k < 50 && look(t, T).state == HEALTH_WELL; k++)
            answer(t, TARGET_GOOD, times[i], times[i], T);
        CHECK(look(t, T + S).first_ns >= 0);
        CHECK(target_live_first_quantile(t, 1) >= 0);
    }
    struct target_live *limited = fresh();
    struct target_report r = {.outcome = TARGET_RATE_LIMITED, .retry_after_ns = INT64_MAX};
    CHECK(target_live_enter(limited, T));
    target_live_report(limited, &r, T);
    CHECK_EQ_I64(look(limited, T).until_ns, T + 600 * S);
}

/* ---- the rest */

static void report_nothing(void *t)
{
    struct target_report r = {.outcome = TARGET_GOOD};
    target_live_report(t, &r, T);
}

TEST(more_reports_than_entries)
{
    CHECK_ABORTS(report_nothing, fresh());
}

/* A thread whose clock is behind goes by the one that is ahead. */
TEST(late_clocks)
{
    struct target_live *t = fresh();
    for (unsigned i = 0; i < 5; i++)
        answer(t, TARGET_FAILED, 0, 0, T - (int64_t)i * S);
    CHECK_EQ_I64(look(t, T - 60 * S).until_ns, T + 10 * S);
    answer(t, TARGET_GOOD, 0, 0, T + 10 * S);
    CHECK(look(t, T).state == HEALTH_WARMING);
    CHECK(target_live_enter(t, T) != 0);
}

static void count_label(void *ctx, struct slice label, struct target_live *t)
{
    unsigned *n = ctx;
    if (slice_is(label, "registry/one") || slice_is(label, "registry/one#1"))
        *n += target_live_get(label) == t ? 1 : 100;
}

TEST(registry)
{
    unsigned n = 0;
    struct target_live *one = target_live_get(SLICE("registry/one"));
    struct target_live *key = target_live_get(SLICE("registry/one#1"));
    CHECK(one != NULL && key != NULL && one != key);
    CHECK(target_live_get(SLICE("registry/one")) == one);
    target_live_each(count_label, &n);
    CHECK_EQ_U64(n, 2);
}

TEST(names)
{
    for (unsigned i = 0; i < HEALTH_STATES_N; i++) {
        for (unsigned k = 0; k < i; k++)
            CHECK(strcmp(health_state_name(i), health_state_name(k)) != 0);
    }
    for (unsigned i = 0; i < HEALTH_REASONS_N; i++) {
        for (unsigned k = 0; k < i; k++)
            CHECK(strcmp(health_reason_name(i), health_reason_name(k)) != 0);
    }
}

/* How many more targets there may be; then there is none for a new label, and still those known. */
static bool fill_registry(void)
{
    char label[32];
    unsigned n = 0;
    while (n < 5000) {
        snprintf(label, sizeof label, "many/%u", n);
        if (target_live_get(slice_str(label)) == NULL)
            break;
        n++;
    }
    return n > 3000 && n < 4096 && target_live_get(SLICE("registry/full")) == NULL &&
           target_live_get(SLICE("many/7")) != NULL;
}

/* In a process of its own, as they are never taken away. */
TEST(too_many)
{
    int status;
    CHECK(fresh() != NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(fill_registry() ? 0 : 1);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
