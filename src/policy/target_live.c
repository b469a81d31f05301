/* Health of targets. All that is known of one is a struct health of plain numbers behind a mutex,
 * and what it means at a moment is a function of it and the time: nothing has to happen for an
 * ejection to end. After each change it is published in two copies of which one is always whole
 * (the latch of Linux' seqcount_latch_t), so that a look neither waits for a writer nor sees half
 * of what it did. */
#include "policy/target_live.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/mem.h"

#define TARGETS_MAX     4096
#define BUCKETS         1024
#define MAGIC           0x7a76e70du
#define WINDOW_SLOTS    10
#define RETRY_AFTER_MAX (600 * NS_PER_S)
#define TICKET_NS       (600 * NS_PER_S)

/* Time constants of the moving averages: of peaks, of what nobody has asked for lately, and of what
 * is usual, of which one answer after a while counts as much as a minute of them. */
#define PEAK_TAU_NS       (10 * NS_PER_S)
#define IDLE_TAU_NS       (300 * NS_PER_S)
#define USUAL_TAU_NS      (1200 * NS_PER_S)
#define USUAL_STEP_MAX_NS (60 * NS_PER_S)
#define USUAL_KNOWN       30 /* answers */
#define ANSWER_MAX_NS     (INT64_C(24) * 3600 * NS_PER_S)

#define WARMING_LEAST 0.1

/* The histogram of first-token times: 8 buckets for each power of two from 1 us on. An answer adds
 * PARTS; all lose half when there are too many of them, and in time. */
#define FINE_BITS   3
#define LEAST_BITS  10
#define BUCKETS_N   256
#define PARTS       256
#define ANSWERS_MAX 1024
#define KNOWN_FROM  20
#define HALVE_NS    (600 * NS_PER_S)

enum time_kind { TIME_FIRST, TIME_GAP, TIMES_N };
static const int64_t never_slow_ns[TIMES_N] = {
    [TIME_FIRST] = 100 * NS_PER_MS, [TIME_GAP] = 20 * NS_PER_MS};
static const enum health_reason slow_reason[TIMES_N] = {
    [TIME_FIRST] = HEALTH_SLOW_FIRST, [TIME_GAP] = HEALTH_SLOW_GAP};

struct health_time {
    int64_t peak_ns, usual_ns, stamp_ns; /* 0: none yet */
};

/* Counted ones and bad ones among them, in the upper and lower half of each word. */
struct window {
    int64_t slot[WINDOW_SLOTS];
};

/* What is published, as words. Whether it is ejected or half-open, cooling or no more, is a matter
 * of time. A look needs what stands from `slot_ns` on only when a slot of the window is over. */
struct health {
    int64_t latest_ns;
    int64_t denied_until_ns, cool_until_ns, out_until_ns;
    int64_t ticket_ns; /* when it was given */
    int64_t back_ns;   /* when it came back, if it was out once */
    struct health_time time[TIMES_N];
    int64_t sum, slot_end_ns, gone_ns; /* of the window: the newest slot's end, the last one's */
    uint32_t ejections;                /* when it was ejected the last time */
    uint32_t in_a_row;
    bool drained, ticket, back;
    bool out; /* since it was ejected, until a ticket's holder reports a good answer */
    uint8_t reason, newest;

    int64_t slot_ns;
    struct window answers;
};
#define WORDS     (sizeof(struct health) / sizeof(int64_t))
#define HOT_WORDS (offsetof(struct health, slot_ns) / sizeof(int64_t))
union health_words {
    struct health h;
    int64_t word[WORDS];
};
_Static_assert(sizeof(union health_words) == sizeof(struct health), "whole words");

struct target_live {
    uint32_t magic;
    _Atomic uint32_t seq;
    _Atomic uint64_t gate; /* what an attempt enters with where nothing is wrong, else 0 */
    _Atomic int64_t inflight;
    _Atomic int64_t well_ns; /* it is well from then on, if nothing happens; INT64_MAX: who knows */
    _Atomic int64_t face[2][WORDS];

    pthread_mutex_t lock; /* of all that follows, to `next` */
    union health_words now;
    uint64_t generation; /* counts ejections, tickets, resets */
    uint64_t ticket;     /* the entry that has it, where it is out */
    int64_t probes_in_a_row;
    struct window slow[TIMES_N];
    double usual_log[TIMES_N];
    int64_t learned_n[TIMES_N];
    uint32_t firsts[BUCKETS_N], firsts_all;
    int64_t halved_ns;

    struct target_live *next, *next_of_all;
    struct slice label;
};

#define X(id, key, standard, unit, what) [HEALTH_##id] = (standard),
const struct health_settings health_standard = {{HEALTH_SETTINGS(X)}};
static _Atomic int64_t settings[HEALTH_SETTINGS_N] = {HEALTH_SETTINGS(X)};
#undef X

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct target_live *buckets[BUCKETS];
static size_t targets_n;
static struct target_live *_Atomic all;

const char *health_state_name(enum health_state s)
{
    static const char *const names[HEALTH_STATES_N] = {
        [HEALTH_WELL] = "well",           [HEALTH_WARMING] = "warming",
        [HEALTH_HALF_OPEN] = "half_open", [HEALTH_EJECTED] = "ejected",
        [HEALTH_COOLING] = "cooling",     [HEALTH_DENIED] = "denied",
        [HEALTH_DRAINED] = "drained",
    };
    return names[s];
}

const char *health_reason_name(enum health_reason r)
{
    static const char *const names[HEALTH_REASONS_N] = {
        [HEALTH_NO_REASON] = "none",          [HEALTH_IN_A_ROW] = "failures_in_a_row",
        [HEALTH_SHARE] = "error_share",       [HEALTH_SLOW_FIRST] = "slow_first_token",
        [HEALTH_SLOW_GAP] = "slow_gap",       [HEALTH_PROBE_FAILED] = "probe_failed",
        [HEALTH_RATE_LIMIT] = "rate_limited", [HEALTH_CREDENTIAL] = "credential_refused",
        [HEALTH_OPERATOR] = "operator",
    };
    return names[r];
}

static int64_t setting(enum health_setting s)
{
    return atomic_load_explicit(&settings[s], memory_order_relaxed);
}

void target_live_configure(const struct health_settings *s)
{
    for (size_t i = 0; i < HEALTH_SETTINGS_N; i++)
        atomic_store_explicit(&settings[i], s->v[i], memory_order_relaxed);
}

static int64_t later(int64_t now_ns, int64_t by_ns)
{
    return by_ns < INT64_MAX - now_ns ? now_ns + by_ns : INT64_MAX;
}

/* What is left of `v` after a while: half of it each half-life, on straight lines between, at most
 * 6.1% above e^(-while / tau). In integers: looks need it four times in 15 ns. */
static inline int64_t fade(int64_t v, int64_t while_ns, int64_t tau_ns)
{
    const int64_t half_life_ns = tau_ns * 693147 / 1000000;
    int64_t lives = MAX_OF(while_ns, INT64_C(0)) / (half_life_ns >> 16);
    int64_t whole = lives >> 16, part = lives & 0xffff;
    return whole < 63 ? (v - (v * part >> 17)) >> whole : 0;
}

/* The moving average by now. */
static inline int64_t time_by(const struct health_time *t, int64_t now_ns)
{
    int64_t rest_ns = MIN_OF(t->peak_ns, t->usual_ns), while_ns = now_ns - t->stamp_ns;
    int64_t ns = rest_ns + fade(t->peak_ns - rest_ns, while_ns, PEAK_TAU_NS);
    return t->peak_ns > 0 ? MAX_OF(fade(ns, while_ns, IDLE_TAU_NS), INT64_C(1)) : 0;
}

static int64_t window_sum(const struct window *w)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < WINDOW_SLOTS; i++)
        sum += w->slot[i];
    return sum;
}

static int64_t counted(int64_t word)
{
    return word >> 32;
}

static int64_t bad(int64_t word)
{
    return word & UINT32_MAX;
}

/* Ejections in a row by now: those it had when it came back, less what its health has outweighed.
 */
static inline int64_t ejections_by(const struct health *h, int64_t now_ns)
{
    int64_t window = setting(HEALTH_WINDOW);
    int64_t well_ns = later(h->back_ns, setting(HEALTH_SLOW_START));
    if (h->out || !h->back || h->ejections == 0 || now_ns < well_ns)
        return h->ejections;
    int64_t left = window > 0 ? h->ejections - (now_ns - well_ns) / window : 0;
    return MAX_OF(left, INT64_C(0));
}

static bool ticket_is_out(const struct health *h, int64_t now_ns)
{
    return h->ticket && now_ns - h->ticket_ns < TICKET_NS;
}

/* State, reason, until and share. */
static inline void state_by(const struct health *h, int64_t now_ns, struct target_view *ret)
{
    int64_t warm_ns = h->back ? setting(HEALTH_SLOW_START) : 0;
    ret->until_ns = 0;
    ret->share = 1;
    ret->reason = (enum health_reason)h->reason;
    if (h->drained) {
        ret->state = HEALTH_DRAINED;
        ret->reason = HEALTH_OPERATOR;
    } else if (h->denied_until_ns > now_ns) {
        ret->state = HEALTH_DENIED;
        ret->reason = HEALTH_CREDENTIAL;
        ret->until_ns = h->denied_until_ns;
    } else if (h->out && h->out_until_ns > now_ns) {
        ret->state = HEALTH_EJECTED;
        ret->until_ns = h->out_until_ns;
    } else if (h->cool_until_ns > now_ns) {
        ret->state = HEALTH_COOLING;
        ret->reason = HEALTH_RATE_LIMIT;
        ret->until_ns = h->cool_until_ns;
    } else if (h->out) {
        ret->state = HEALTH_HALF_OPEN;
        ret->share = ticket_is_out(h, now_ns) ? 0 : 1;
    } else if (now_ns - h->back_ns < warm_ns) {
        double passed = (double)(now_ns - h->back_ns) / (double)warm_ns;
        ret->state = HEALTH_WARMING;
        ret->share = WARMING_LEAST + (1 - WARMING_LEAST) * passed;
    } else {
        ret->state = HEALTH_WELL;
        ret->reason = HEALTH_NO_REASON;
    }
}

static inline int64_t face_word(const _Atomic int64_t *face, size_t i)
{
    return atomic_load_explicit(&face[i], memory_order_acquire);
}

/* What the window says now: of its slots, as many are over as have begun since the newest one. What
 * is read may be half written; then all is read again. */
static inline int64_t answers_by(const struct health *h, const _Atomic int64_t *face,
                                 int64_t now_ns)
{
    int64_t sum = h->sum, at_ns = h->slot_end_ns;
    if (likely(now_ns < at_ns))
        return sum;
    if (now_ns >= h->gone_ns)
        return 0;
    int64_t slot_ns = face_word(face, HOT_WORDS);
    for (unsigned k = 1, i = h->newest; k < WINDOW_SLOTS && at_ns <= now_ns; k++) {
        i = i + 1 < WINDOW_SLOTS ? i + 1 : 0;
        sum -= face_word(face, HOT_WORDS + 1 + i);
        at_ns += slot_ns;
    }
    return sum;
}

void target_live_look(const struct target_live *t, int64_t now_ns, struct target_view *ret)
{
    union health_words copy UNINITIALIZED;
    const struct health *h = &copy.h;
    uint32_t seq;
    int64_t now, answers;
    CHECK_MAGIC(t, MAGIC);
    do {
        seq = atomic_load_explicit(&t->seq, memory_order_acquire);
        const _Atomic int64_t *face = t->face[seq & 1];
#pragma GCC unroll 32
        for (size_t i = 0; i < HOT_WORDS; i++)
            copy.word[i] = face_word(face, i);
        now = MAX_OF(now_ns, h->latest_ns);
        answers = answers_by(h, face, now);
    } while (unlikely(atomic_load_explicit(&t->seq, memory_order_acquire) != seq));
    state_by(h, now, ret);
    ret->first_ns = time_by(&h->time[TIME_FIRST], now);
    ret->gap_ns = time_by(&h->time[TIME_GAP], now);
    ret->inflight = atomic_load_explicit(&t->inflight, memory_order_relaxed);
    ret->ejections = (unsigned)ejections_by(h, now);
    ret->failures_in_a_row = h->in_a_row;
    ret->window_answers = counted(answers);
    ret->window_failures = bad(answers);
}

bool target_live_is_well(const struct target_live *t, int64_t now_ns, struct target_view *ret)
{
    CHECK_MAGIC(t, MAGIC);
    if (atomic_load_explicit(&t->well_ns, memory_order_acquire) > now_ns)
        return false;
    ret->state = HEALTH_WELL;
    ret->reason = HEALTH_NO_REASON;
    ret->share = 1;
    ret->inflight = atomic_load_explicit(&t->inflight, memory_order_relaxed);
    return true;
}

static uint64_t entry_of(const struct target_live *t, bool ticket)
{
    return t->generation * 2 + (ticket ? 1 : 0);
}

/* The release order of each word lets no reader keep a copy that was being written. */
static void face_write(struct target_live *t, const union health_words *from, uint32_t seq)
{
    _Atomic int64_t *face = t->face[(seq & 1) ^ 1];
    atomic_store_explicit(&t->seq, seq, memory_order_release);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&face[i], from->word[i], memory_order_release);
}

/* While the first copy is written readers are at the second one, and the other way round. */
static void publish(struct target_live *t)
{
    const struct health *h = &t->now.h;
    uint32_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed);
    bool open = !h->drained && !h->out && h->denied_until_ns <= h->latest_ns &&
                h->cool_until_ns <= h->latest_ns;
    atomic_store_explicit(&t->gate, open ? entry_of(t, false) : 0, memory_order_release);
    int64_t well_ns = !open     ? INT64_MAX
                      : h->back ? later(h->back_ns, setting(HEALTH_SLOW_START))
                                : INT64_MIN;
    atomic_store_explicit(&t->well_ns, well_ns, memory_order_release);
    face_write(t, &t->now, seq + 1);
    face_write(t, &t->now, seq + 2);
}

/* Begins a change; returns the time that counts. */
static int64_t begin(struct target_live *t, int64_t now_ns)
{
    CHECK_MAGIC(t, MAGIC);
    pthread_mutex_lock(&t->lock);
    t->now.h.latest_ns = MAX_OF(now_ns, t->now.h.latest_ns);
    return t->now.h.latest_ns;
}

static void end(struct target_live *t)
{
    publish(t);
    pthread_mutex_unlock(&t->lock);
}

static void windows_clear(struct target_live *t)
{
    t->now.h.answers = (struct window){{0}};
    t->now.h.sum = 0;
    for (unsigned k = 0; k < TIMES_N; k++)
        t->slow[k] = (struct window){{0}};
}

/* Makes the newest slot that of now. A window of another length begins empty. */
static void windows_advance(struct target_live *t, int64_t now_ns)
{
    struct health *h = &t->now.h;
    int64_t slot_ns = MAX_OF(setting(HEALTH_WINDOW) / WINDOW_SLOTS, INT64_C(1));
    if (slot_ns != h->slot_ns || now_ns >= h->gone_ns) {
        windows_clear(t);
        h->slot_ns = slot_ns;
        h->slot_end_ns = later(now_ns, slot_ns);
    }
    while (now_ns >= h->slot_end_ns) {
        h->newest = (uint8_t)((h->newest + 1) % WINDOW_SLOTS);
        h->sum -= h->answers.slot[h->newest];
        h->answers.slot[h->newest] = 0;
        for (unsigned k = 0; k < TIMES_N; k++)
            t->slow[k].slot[h->newest] = 0;
        h->slot_end_ns += slot_ns;
    }
    h->gone_ns = later(h->slot_end_ns, slot_ns * (WINDOW_SLOTS - 1));
}

/* Returns what it added. */
static int64_t window_add(struct window *w, int64_t newest, bool is_bad)
{
    int64_t add = (INT64_C(1) << 32) + (is_bad ? 1 : 0);
    if (counted(w->slot[newest]) >= INT32_MAX / WINDOW_SLOTS)
        return 0;
    w->slot[newest] += add;
    return add;
}

static _Atomic int64_t ejections; /* of all of them */

static void eject(struct target_live *t, enum health_reason reason, int64_t now_ns)
{
    struct health *h = &t->now.h;
    int64_t n = MIN_OF(ejections_by(h, now_ns) + 1, (int64_t)UINT32_MAX), rest_ns;
    if (__builtin_mul_overflow(setting(HEALTH_EJECTION), n, &rest_ns))
        rest_ns = INT64_MAX;
    h->ejections = (uint32_t)n;
    h->out = true;
    h->out_until_ns = later(now_ns, MIN_OF(rest_ns, setting(HEALTH_MAX_EJECTION)));
    h->reason = (uint8_t)reason;
    h->ticket = false;
    t->generation++;
    t->probes_in_a_row = 0;
    windows_clear(t);
    atomic_fetch_add_explicit(&ejections, 1, memory_order_relaxed);
}

int64_t target_live_ejections(void)
{
    return atomic_load_explicit(&ejections, memory_order_relaxed);
}

static void come_back(struct target_live *t, int64_t now_ns)
{
    struct health *h = &t->now.h;
    h->out = false;
    h->ticket = false;
    h->back = true;
    h->back_ns = now_ns;
    h->in_a_row = 0;
    t->probes_in_a_row = 0;
}

static uint64_t enter_slowly(struct target_live *t, int64_t now_ns)
{
    struct target_view v;
    uint64_t entry = 0;
    int64_t now = begin(t, now_ns);
    struct health *h = &t->now.h;
    state_by(h, now, &v);
    if (v.state == HEALTH_WELL || v.state == HEALTH_WARMING) {
        entry = entry_of(t, false);
    } else if (v.state == HEALTH_HALF_OPEN && !ticket_is_out(h, now)) {
        t->generation++;
        entry = t->ticket = entry_of(t, true);
        h->ticket = true;
        h->ticket_ns = now;
    }
    if (entry != 0)
        atomic_fetch_add_explicit(&t->inflight, 1, memory_order_relaxed);
    end(t);
    return entry;
}

/* Nothing is wrong with most: those need no lock. One that is ejected in the same moment counts as
 * if it had been entered before. */
uint64_t target_live_enter(struct target_live *t, int64_t now_ns)
{
    CHECK_MAGIC(t, MAGIC);
    uint64_t entry = atomic_load_explicit(&t->gate, memory_order_acquire);
    if (unlikely(entry == 0))
        return enter_slowly(t, now_ns);
    atomic_fetch_add_explicit(&t->inflight, 1, memory_order_relaxed);
    return entry;
}

static size_t bucket_of(int64_t ns)
{
    uint64_t v = (uint64_t)ns;
    if (v < UINT64_C(1) << LEAST_BITS)
        return 0;
    unsigned e = 63 - (unsigned)__builtin_clzll(v);
    size_t fine = (v >> (e - FINE_BITS)) & ((1u << FINE_BITS) - 1);
    return MIN_OF(((size_t)(e - LEAST_BITS) << FINE_BITS) + fine, (size_t)BUCKETS_N - 1);
}

/* The middle of a bucket: its ends are 1/16 of its lower one away at most. */
static int64_t bucket_middle(size_t i)
{
    uint64_t fine = (1u << FINE_BITS) + (i & ((1u << FINE_BITS) - 1));
    return (int64_t)((fine * 2 + 1) << ((i >> FINE_BITS) + LEAST_BITS - FINE_BITS - 1));
}

static void firsts_halve(struct target_live *t, unsigned times)
{
    t->firsts_all = 0;
    for (size_t i = 0; i < BUCKETS_N; i++) {
        t->firsts[i] = times < 32 ? t->firsts[i] >> times : 0;
        t->firsts_all += t->firsts[i];
    }
}

static void firsts_add(struct target_live *t, int64_t first_ns, int64_t now_ns)
{
    if (t->firsts_all == 0)
        t->halved_ns = now_ns;
    if (now_ns - t->halved_ns >= HALVE_NS) {
        firsts_halve(t, (unsigned)MIN_OF((now_ns - t->halved_ns) / HALVE_NS, INT64_C(32)));
        t->halved_ns = now_ns;
    }
    if (t->firsts_all >= ANSWERS_MAX * PARTS)
        firsts_halve(t, 1);
    t->firsts[bucket_of(first_ns)] += PARTS;
    t->firsts_all += PARTS;
}

int64_t target_live_first_quantile(const struct target_live *t, double q)
{
    CHECK_MAGIC(t, MAGIC);
    pthread_mutex_t *lock = (pthread_mutex_t *)&t->lock;
    int64_t found_ns = 0;
    pthread_mutex_lock(lock);
    if (t->firsts_all >= KNOWN_FROM * PARTS) {
        double want = q * t->firsts_all, sum = 0;
        size_t last = 0;
        for (size_t i = 0; i < BUCKETS_N; i++) {
            if (t->firsts[i] == 0)
                continue;
            last = i;
            sum += t->firsts[i];
            if (sum >= want)
                break;
        }
        found_ns = bucket_middle(last);
    }
    pthread_mutex_unlock(lock);
    return found_ns;
}

/* The time from which on an answer is slow; 0: none is. */
static int64_t slow_from(const struct target_live *t, enum time_kind k)
{
    int64_t factor = setting(HEALTH_SLOW_FACTOR), from_ns;
    if (factor <= 0 || t->learned_n[k] < USUAL_KNOWN)
        return 0;
    if (__builtin_mul_overflow(t->now.h.time[k].usual_ns, factor, &from_ns))
        return INT64_MAX;
    return MAX_OF(from_ns, never_slow_ns[k]);
}

/* The peak moves as Finagle's PeakEwma does; what is usual is a mean of logarithms, which a few
 * answers to long prompts move little. */
static void learn_time(struct target_live *t, enum time_kind k, int64_t ns, int64_t now_ns)
{
    struct health_time *m = &t->now.h.time[k];
    double since = (double)(now_ns - m->stamp_ns), above = (double)(m->peak_ns - ns);
    double share = MIN_OF(since, (double)USUAL_STEP_MAX_NS) / USUAL_TAU_NS;
    m->peak_ns = ns;
    if (above > 0)
        m->peak_ns += (int64_t)(above * exp(-since / PEAK_TAU_NS));
    t->learned_n[k]++;
    if (t->learned_n[k] <= USUAL_KNOWN)
        share = 1 / (double)t->learned_n[k];
    t->usual_log[k] += (log((double)ns) - t->usual_log[k]) * share;
    m->usual_ns = llround(exp(t->usual_log[k]));
    m->stamp_ns = now_ns;
}

/* Learns from the times of an answer; returns of which kind most have become slow, else TIMES_N.
 * `*ret_slow`: this one is. */
static enum time_kind learn_times(struct target_live *t, const struct target_report *r,
                                  int64_t now_ns, bool *ret_slow)
{
    const int64_t times[TIMES_N] = {[TIME_FIRST] = r->first_ns, [TIME_GAP] = r->gap_ns};
    enum time_kind found = TIMES_N;
    *ret_slow = false;
    for (unsigned k = TIMES_N; k-- > 0;) {
        int64_t from_ns = slow_from(t, k), ns = MIN_OF(times[k], ANSWER_MAX_NS);
        if (ns <= 0)
            continue;
        bool slow = from_ns > 0 && ns > from_ns;
        learn_time(t, k, ns, now_ns);
        window_add(&t->slow[k], t->now.h.newest, slow);
        int64_t sum = window_sum(&t->slow[k]);
        *ret_slow |= slow;
        if (slow && counted(sum) >= setting(HEALTH_MIN_REQUESTS) &&
            bad(sum) * INT64_C(2) > counted(sum) && t->now.h.time[k].peak_ns > from_ns)
            found = k;
    }
    if (r->first_ns > 0)
        firsts_add(t, MIN_OF(r->first_ns, ANSWER_MAX_NS), now_ns);
    return found;
}

static bool is_slowness(int64_t reason)
{
    return reason == HEALTH_SLOW_FIRST || reason == HEALTH_SLOW_GAP;
}

/* The holder of the ticket knows. One that was slow has to be quick again. */
static void judge_ticket(struct target_live *t, bool failed, bool slow, int64_t now_ns)
{
    struct health *h = &t->now.h;
    h->in_a_row = failed ? h->in_a_row + 1 : 0;
    if (failed)
        eject(t, is_slowness(h->reason) ? HEALTH_IN_A_ROW : (enum health_reason)h->reason, now_ns);
    else if (slow && is_slowness(h->reason))
        eject(t, (enum health_reason)h->reason, now_ns);
    else
        come_back(t, now_ns);
}

static void judge_answer(struct target_live *t, bool failed, enum time_kind slow, int64_t now_ns)
{
    struct health *h = &t->now.h;
    int64_t in_a_row = setting(HEALTH_FAILURES), share = setting(HEALTH_ERROR_SHARE);
    h->sum += window_add(&h->answers, h->newest, failed);
    h->in_a_row = failed ? h->in_a_row + 1 : 0;
    int64_t sum = h->sum;
    if (failed && in_a_row > 0 && h->in_a_row >= in_a_row)
        eject(t, HEALTH_IN_A_ROW, now_ns);
    else if (failed && share > 0 && counted(sum) >= setting(HEALTH_MIN_REQUESTS) &&
             bad(sum) * 100 >= share * counted(sum))
        eject(t, HEALTH_SHARE, now_ns);
    else if (slow != TIMES_N)
        eject(t, slow_reason[slow], now_ns);
}

static void learn_answer(struct target_live *t, const struct target_report *r, bool ticket,
                         int64_t now_ns)
{
    bool failed = r->outcome == TARGET_FAILED, slow;
    windows_advance(t, now_ns);
    enum time_kind most = learn_times(t, r, now_ns, &slow);
    if (ticket) {
        windows_clear(t);
        judge_ticket(t, failed, slow, now_ns);
    } else if (!t->now.h.out) {
        judge_answer(t, failed, most, now_ns);
    }
}

uint64_t target_live_begun(struct target_live *t, uint64_t entry, int64_t first_ns, int64_t now_ns)
{
    bool may_be_ticket = entry % 2 == 1 && entry > 1;
    if (likely(!may_be_ticket))
        return entry;
    int64_t now = begin(t, now_ns), from_ns = slow_from(t, TIME_FIRST);
    const struct health *h = &t->now.h;
    bool slow = h->reason == HEALTH_SLOW_GAP ||
                (h->reason == HEALTH_SLOW_FIRST && from_ns > 0 && first_ns > from_ns);
    if (h->ticket && entry == t->ticket && !slow) {
        windows_clear(t);
        come_back(t, now);
        entry = entry_of(t, false);
    }
    end(t);
    return entry;
}

void target_live_report(struct target_live *t, const struct target_report *r, int64_t now_ns)
{
    int64_t now = begin(t, now_ns);
    struct health *h = &t->now.h;
    bool told = r->entry > 1;
    bool ticket = h->ticket && (!told || r->entry == t->ticket);
    int64_t inflight = atomic_fetch_sub_explicit(&t->inflight, 1, memory_order_relaxed);
    ASSERT(inflight > 0);
    if (!told || r->entry / 2 == t->generation) {
        switch (r->outcome) {
        case TARGET_GOOD:
        case TARGET_FAILED: learn_answer(t, r, ticket, now); break;
        case TARGET_RATE_LIMITED: {
            int64_t rest_ns = r->retry_after_ns < 0 ? setting(HEALTH_COOL_DOWN) : r->retry_after_ns;
            int64_t until_ns = later(now, MIN_OF(rest_ns, RETRY_AFTER_MAX));
            h->cool_until_ns = MAX_OF(h->cool_until_ns, until_ns);
            break;
        }
        case TARGET_REFUSED_KEY: h->denied_until_ns = later(now, setting(HEALTH_DENIED_FOR)); break;
        case TARGET_NO_NEWS: break;
        }
    }
    if (ticket)
        h->ticket = false;
    end(t);
}

void target_live_probe(struct target_live *t, bool good, int64_t now_ns)
{
    int64_t now = begin(t, now_ns), in_a_row = setting(HEALTH_FAILURES);
    struct health *h = &t->now.h;
    bool half_open = h->out && h->out_until_ns <= now && !ticket_is_out(h, now);
    t->probes_in_a_row = good ? 0 : t->probes_in_a_row + 1;
    if (good && h->out && h->reason == HEALTH_PROBE_FAILED)
        come_back(t, now);
    else if (!good && (half_open || (!h->out && in_a_row > 0 && t->probes_in_a_row >= in_a_row)))
        eject(t, HEALTH_PROBE_FAILED, now);
    end(t);
}

void target_live_served(struct target_live *t, int64_t now_ns)
{
    int64_t now = begin(t, now_ns);
    if (t->now.h.out)
        come_back(t, now);
    end(t);
}

void target_live_drain(struct target_live *t, bool drained)
{
    begin(t, 0);
    t->now.h.drained = drained;
    end(t);
}

void target_live_reset(struct target_live *t)
{
    int64_t now = begin(t, 0);
    t->now.h = (struct health){.latest_ns = now};
    t->generation++;
    t->probes_in_a_row = 0;
    windows_clear(t);
    for (unsigned k = 0; k < TIMES_N; k++) {
        t->usual_log[k] = 0;
        t->learned_n[k] = 0;
    }
    firsts_halve(t, 32);
    end(t);
}

/* The registry is locked. */
static struct target_live *make(struct slice label, struct target_live **bucket)
{
    struct target_live *t = mem_calloc(1, sizeof *t);
    char *name = mem_strndup(label.p, label.n);
    if (t == NULL || name == NULL) {
        mem_free(t);
        mem_free(name);
        return NULL;
    }
    t->magic = MAGIC;
    t->label = slice_of(name, label.n);
    t->generation = 1;
    pthread_mutex_init(&t->lock, NULL);
    publish(t);
    t->next = *bucket;
    *bucket = t;
    t->next_of_all = atomic_load_explicit(&all, memory_order_relaxed);
    atomic_store_explicit(&all, t, memory_order_release);
    targets_n++;
    return t;
}

struct target_live *target_live_get(struct slice label)
{
    struct target_live **bucket = &buckets[hash64(label) % BUCKETS];
    pthread_mutex_lock(&registry_lock);
    struct target_live *t = *bucket;
    while (t != NULL && !slice_eq(t->label, label))
        t = t->next;
    if (t == NULL && targets_n < TARGETS_MAX)
        t = make(label, bucket);
    pthread_mutex_unlock(&registry_lock);
    return t;
}

/* They are never taken away: no lock, so that `fn` may do anything. */
void target_live_each(target_live_fn *fn, void *ctx)
{
    struct target_live *t = atomic_load_explicit(&all, memory_order_acquire);
    for (; t != NULL; t = t->next_of_all)
        fn(ctx, t->label, t);
}
