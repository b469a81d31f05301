/* What is known of a target from the requests that went there: is it well, how fast is it, how much
 * has it to do. One cell per target ("provider/model") and one per credential ("provider#1"),
 * shared by all workers, kept as long as the process: reloads keep what was learned. Times are of
 * one monotonic clock, in nanoseconds; one that lags behind another thread's counts as that one.
 *
 * The breaker (M. Nygard, "Release It!", 2007; numbers as Envoy's and Finagle's): closed; ejected
 * after failures in a row, a share of failures, or answers that have become slow against the
 * target's own past; half-open after a while, when one request at a time may try; then a slow
 * start. A 429 is no sickness: the target rests until it may be asked again. A refused credential
 * is denied until somebody changes it or a while has passed. Errors of the client's making count
 * for nothing.
 *
 * - Slow: most answers of the window, `min_requests` of them at least, took over `slow_factor`
 * times what is usual, and the moving average says so too. What is usual is the geometric mean with
 * a time constant of 20 minutes, known from 30 answers on. A first token within 100 ms, and gaps of
 *   20 ms, are never slow.
 * - The number of ejections in a row falls by one for each `window` that it is well after a slow
 *   start.
 * - Failing probes eject as many in a row as failing answers do, and a good one ends that; it says
 *   nothing against what answers have shown.
 * - What an attempt reports that got in before the latest ejection or reset counts for nothing.
 * - A duration of 0 is no rest at all; `failures` and `error_share` of 0 never eject. */
#ifndef POLICY_TARGET_LIVE_H
#define POLICY_TARGET_LIVE_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/slice.h"

/* Every default of health, in one table: docs show it. X(id, configuration key, standard, unit,
 * what) */
#define HEALTH_SETTINGS(X)                                                                         \
    X(FAILURES, "failures", 5, COUNT, "failures in a row that eject a target")                     \
    X(ERROR_SHARE, "error_share", 50, PERCENT, "share of failures in the window that ejects it")   \
    X(MIN_REQUESTS, "min_requests", 10, COUNT,                                                     \
      "answers in the window before a share says anything")                                        \
    X(WINDOW, "window", 30 * NS_PER_S, DURATION, "the window")                                     \
    X(SLOW_FACTOR, "slow_factor", 4, COUNT,                                                        \
      "times its own usual first-token time or gap that make it slow; 0: never")                   \
    X(EJECTION, "ejection", 10 * NS_PER_S, DURATION,                                               \
      "how long it is out, times how often in a row")                                              \
    X(MAX_EJECTION, "max_ejection", 300 * NS_PER_S, DURATION, "how long at most")                  \
    X(SLOW_START, "slow_start", 30 * NS_PER_S, DURATION, "until it has its full share again")      \
    X(MAX_EJECTED, "max_ejected", 50, PERCENT,                                                     \
      "share of an alias' targets that may be out; above it health is not looked at (panic)")      \
    X(COOL_DOWN, "cool_down", 5 * NS_PER_S, DURATION,                                              \
      "rest after a 429 that does not say how long")                                               \
    X(DENIED_FOR, "denied", 300 * NS_PER_S, DURATION, "rest of a credential that was refused")

enum health_setting {
#define X(id, key, standard, unit, what) HEALTH_##id,
    HEALTH_SETTINGS(X)
#undef X
        HEALTH_SETTINGS_N
};
struct health_settings {
    int64_t v[HEALTH_SETTINGS_N]; /* counts, percents, nanoseconds */
};
extern const struct health_settings health_standard;

enum health_state {
    HEALTH_WELL,
    HEALTH_WARMING, /* slow start: `share` of its traffic */
    HEALTH_HALF_OPEN,
    HEALTH_EJECTED,
    HEALTH_COOLING,
    HEALTH_DENIED,
    HEALTH_DRAINED, /* by an operator */
    HEALTH_STATES_N
};
const char *health_state_name(enum health_state s);

/* Why it is not well. */
enum health_reason {
    HEALTH_NO_REASON,
    HEALTH_IN_A_ROW,
    HEALTH_SHARE,
    HEALTH_SLOW_FIRST,
    HEALTH_SLOW_GAP,
    HEALTH_PROBE_FAILED,
    HEALTH_RATE_LIMIT,
    HEALTH_CREDENTIAL,
    HEALTH_OPERATOR,
    HEALTH_REASONS_N
};
const char *health_reason_name(enum health_reason r);

struct target_live;

/* That of a target, by its label; made where there is none. NULL: no memory, or there are too many
 * (4,096): such a target has no breaker. Any thread. */
struct target_live *target_live_get(struct slice label);
/* For all of them; what an operator did too. Control thread. */
void target_live_configure(const struct health_settings *s);

/* What a look tells; costs no lock. */
struct target_view {
    enum health_state state;
    enum health_reason reason;
    int64_t until_ns; /* of EJECTED, COOLING, DENIED; 0: for ever */
    double share;     /* of WARMING, 0.1 to 1; of HALF_OPEN 0 while one has the ticket; else 1 */
    /* Peak-sensitive moving average of the first-token time: rises to a peak at once, and falls
     * with a time constant of 10 s, without answers to what is usual and then, in minutes, to
     * nothing, so that somebody tries again (Finagle's PeakEwma). 0: not known. */
    int64_t first_ns;
    int64_t gap_ns;     /* the same of the time between content events */
    int64_t inflight;   /* requests that were sent and have not ended */
    unsigned ejections; /* in a row */
    int64_t failures_in_a_row, window_answers, window_failures;
};
void target_live_look(const struct target_live *t, int64_t now_ns, struct target_view *ret);
/* The short look: is it plainly well? True: state, share and inflight are told, nothing else.
 * False: a whole look tells. */
bool target_live_is_well(const struct target_live *t, int64_t now_ns, struct target_view *ret);

/* May a request go there? Not where it is ejected, cooling, denied or drained; half-open for one at
 * a time, which has the ticket. 0: no. Else the attempt is in and has to report, whatever happens,
 * with that number, over 1: it tells the one with the ticket from those that got in before the
 * ejection and end late. A ticket that has not come back after 10 minutes is void. */
NODISCARD uint64_t target_live_enter(struct target_live *t, int64_t now_ns);

enum target_outcome {
    TARGET_GOOD,
    TARGET_FAILED,       /* connection, TLS, 5xx, timeouts, cut, nonsense */
    TARGET_RATE_LIMITED, /* 429: `retry_after_ns`, or negative */
    TARGET_REFUSED_KEY,  /* 401, 403 */
    TARGET_NO_NEWS,      /* 4xx of the client's making, client gone, refused here */
};
struct target_report {
    enum target_outcome outcome;
    uint64_t entry;         /* what target_live_enter gave; 0 or 1: not told, the latest */
    int64_t retry_after_ns; /* negative: it did not say; at most 10 minutes count */
    int64_t first_ns;       /* from sending to the first content; 0: none came */
    int64_t gap_ns;         /* mean time between content events; 0: not known */
};
/* Its answer has begun, `first_ns` after it was sent. Of a half-open target that is enough: it is
 * back, unless it was ejected for its times between tokens, which the end tells, or took too long
 * again. Returns the entry with which the attempt goes on. */
uint64_t target_live_begun(struct target_live *t, uint64_t entry, int64_t first_ns, int64_t now_ns);
/* An attempt that entered is over. */
void target_live_report(struct target_live *t, const struct target_report *r, int64_t now_ns);
/* What came of a probe, or of a request that went there without having got in: no ticket. */
void target_live_probe(struct target_live *t, bool good, int64_t now_ns);
/* A request that went there though it was out, for want of a better one, was answered: it is back,
 * with a slow start. */
void target_live_served(struct target_live *t, int64_t now_ns);

/* The time by which `q` (0 to 1) of the latest answers had their first token, from a decaying
 * histogram, at most 7% off; 0: fewer than 20 are known. */
int64_t target_live_first_quantile(const struct target_live *t, double q);

/* An operator's hand. Drained: nothing new goes there, until enabled. Reset: as if it were new, not
 * drained either; only what is in flight goes on. */
void target_live_drain(struct target_live *t, bool drained);
void target_live_reset(struct target_live *t);

/* How often any of them was ejected, in this process. */
int64_t target_live_ejections(void);

/* All of them, in no order. */
typedef void target_live_fn(void *ctx, struct slice label, struct target_live *t);
void target_live_each(target_live_fn *fn, void *ctx);

#endif
