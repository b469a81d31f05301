/* Routing: each candidate gets a group (health, place, fallback), a strategy gives it a score, and
 * one sort over both is the order. What the order means stands in the header. */
#include "policy/route.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define WAIT_SHORT_NS      NS_PER_S /* of own hardware, for balanced */
#define SERVICE_UNKNOWN_NS (10 * NS_PER_S)
#define COST_UNKNOWN       1e19 /* above every int64_t */
#define COMPLEXITY_MAX     100
#define PREFIX_SHARE       0.3
#define PREFIX_BYTES       512
#define PREFIX_MORE        4 /* requests above what its load may be, and times it */
#define PREFIX_TIMES       1.5
#define GOLDEN             0.6180339887498949 /* its multiples lie evenly between integers */

const char *route_strategy_name(enum route_strategy s)
{
    static const char *const names[ROUTE_STRATEGIES_N] = {
#define X(id, name, help) [ROUTE_##id] = name,
        ROUTE_STRATEGIES(X)
#undef X
    };
    return names[s];
}

const char *route_reason_name(enum route_reason r)
{
    static const char *const names[ROUTE_REASONS_N] = {
#define X(id, text) [ROUTE_IS_##id] = text,
        ROUTE_REASONS(X)
#undef X
    };
    return names[r];
}

/* In the order of the plan. */
enum group {
    GROUP_HALF_OPEN,
    GROUP_WELL,
    GROUP_WARMING, /* not drawn this time */
    GROUP_FALLBACK_HALF_OPEN,
    GROUP_FALLBACK_WELL,
    GROUP_FALLBACK_WARMING,
    GROUP_FULL,
    GROUP_FALLBACK_FULL,
    GROUP_COOLING,
    GROUP_EJECTED,
    GROUP_DENIED,
    GROUP_OUT,
};

struct work {
    const struct route_ask *ask;
    struct route_candidate *c;
    unsigned n;
    bool panic;
    uint8_t group[ROUTE_CANDIDATES_MAX];
    unsigned first; /* the least of them */
    /* Of the targets those of the best group: among them the strategy chooses. */
    uint8_t lead[ROUTE_CANDIDATES_MAX];
    unsigned lead_n;
    /* What goes before the score, and what after it. */
    uint8_t tier[ROUTE_CANDIDATES_MAX];
    uint32_t second[ROUTE_CANDIDATES_MAX];
};

/* Random bits of its own for each `stream`. */
static uint64_t draw(uint64_t random, uint64_t stream)
{
    return hash_mix(random + (stream + 1) * HASH_STEP);
}
#define STREAM_WARMING 64 /* + index; below it the candidates' */
#define STREAM_PAIR    128

/* Above 0, below 1. */
static double unit(uint64_t bits)
{
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

/* Below `n`, from 32 bits. */
static unsigned below(uint64_t bits32, unsigned n)
{
    return (unsigned)((bits32 * n) >> 32);
}

/* Never 0, so that one without weight has a place in the order, behind. */
static double weight_of(const struct route_candidate *c)
{
    return c->weight > 1e-18 ? (c->weight < 1e18 ? c->weight : 1e18) : 1e-18;
}

static double load_of(const struct route_candidate *c)
{
    return (double)(c->view.inflight + c->waiting + 1) / weight_of(c);
}

/* A positive float's bits are in the order of its values. */
static uint32_t float_order(double x)
{
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static bool has_place(const struct route_candidate *c)
{
    return c->out != ROUTE_IS_FULL && (c->capacity <= 0 || c->view.inflight < c->capacity);
}

int64_t route_wait_ns(const struct route_candidate *c)
{
    int64_t service = c->service_ns > 0 ? c->service_ns : SERVICE_UNKNOWN_NS, all;
    if (has_place(c))
        return 0;
    if (__builtin_mul_overflow(c->waiting + 1, service, &all))
        all = INT64_MAX;
    return all / MAX_OF(c->capacity, 1);
}

static bool may_enter(const struct route_candidate *c)
{
    return c->out == ROUTE_IS_OK || c->out == ROUTE_IS_UNHEALTHY || c->out == ROUTE_IS_FULL;
}

/* The caller may know of a sickness that the view does not. */
static enum health_state state_of(const struct route_candidate *c)
{
    if (c->out == ROUTE_IS_UNHEALTHY && c->view.state <= HEALTH_HALF_OPEN)
        return HEALTH_EJECTED;
    return c->view.state;
}

/* Nothing is wrong with it, and it has a place. */
static bool is_plain(const struct route_candidate *c)
{
    return c->out == ROUTE_IS_OK && c->view.state == HEALTH_WELL &&
           (c->capacity <= 0 || c->view.inflight < c->capacity);
}

static bool is_panic(const struct route_ask *ask, const struct route_candidate *c, unsigned n)
{
    unsigned all = 0, ejected = 0;
    for (unsigned i = 0; i < n; i++) {
        enum health_state state = state_of(&c[i]);
        if (c[i].fallback) {
            if (may_enter(&c[i]) && state <= HEALTH_WARMING && has_place(&c[i]))
                return false;
        } else if ((may_enter(&c[i]) || c[i].out == ROUTE_IS_TRIED) && state != HEALTH_DRAINED) {
            all++;
            ejected += state == HEALTH_EJECTED;
        }
    }
    return (uint64_t)ejected * 100 > (uint64_t)ask->max_ejected * all;
}

/* Sessions come back to a warming target one after the other, and then stay. */
static bool is_drawn(const struct route_ask *ask, unsigned i, double share)
{
    bool by_session = ask->strategy == ROUTE_STICKY && ask->session;
    return unit(draw(by_session ? ask->session : ask->random, STREAM_WARMING + i)) < share;
}

static enum group group_of(const struct work *w, unsigned i)
{
    const struct route_candidate *c = &w->c[i];
    unsigned later = c->fallback ? GROUP_FALLBACK_WELL - GROUP_WELL : 0;
    if (is_plain(c))
        return GROUP_WELL + later;
    enum health_state state = state_of(c);
    if (!may_enter(c) || state == HEALTH_DRAINED)
        return GROUP_OUT;
    if (state == HEALTH_COOLING)
        return GROUP_COOLING;
    if (state == HEALTH_DENIED)
        return w->panic ? GROUP_DENIED : GROUP_OUT;
    bool ticket_out = state == HEALTH_HALF_OPEN && c->view.share <= 0;
    if ((state == HEALTH_EJECTED || ticket_out) && !w->panic)
        return GROUP_EJECTED;
    bool soon = w->ask->strategy == ROUTE_BALANCED && c->self_hosted && !c->fallback &&
                route_wait_ns(c) < WAIT_SHORT_NS;
    if (!has_place(c) && !soon)
        return c->fallback ? GROUP_FALLBACK_FULL : GROUP_FULL;
    if (state == HEALTH_HALF_OPEN && !w->panic)
        return GROUP_HALF_OPEN + later;
    if (state == HEALTH_WARMING && !w->panic && !is_drawn(w->ask, i, c->view.share))
        return GROUP_WARMING + later;
    return GROUP_WELL + later;
}

/* The usual case, and the most of it in one pass: nothing is wrong with anybody. False: somebody
 * has to be looked at. */
static bool find_plain_groups(struct work *w)
{
    w->lead_n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        bool fallback = w->c[i].fallback;
        if (!is_plain(&w->c[i]))
            return false;
        w->group[i] = fallback ? GROUP_FALLBACK_WELL : GROUP_WELL;
        w->lead[w->lead_n] = (uint8_t)i;
        w->lead_n += !fallback;
    }
    w->first = w->lead_n > 0 ? GROUP_WELL : GROUP_FALLBACK_WELL;
    return true;
}

static void find_groups(struct work *w)
{
    unsigned best = GROUP_OUT;
    w->lead_n = 0;
    w->first = GROUP_OUT;
    for (unsigned i = 0; i < w->n; i++) {
        w->group[i] = (uint8_t)group_of(w, i);
        w->first = MIN_OF(w->first, (unsigned)w->group[i]);
        bool leads =
            w->group[i] == GROUP_WELL || w->group[i] == GROUP_WARMING || w->group[i] == GROUP_FULL;
        if (leads && w->group[i] < best) {
            best = w->group[i];
            w->lead_n = 0;
        }
        if (leads && w->group[i] == best)
            w->lead[w->lead_n++] = (uint8_t)i;
    }
}

/* In a panic ejected ones come by chance: one of them may be well again, and not the first. */
static void score_ordered(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        bool by_chance = w->panic && state_of(&w->c[i]) == HEALTH_EJECTED;
        w->c[i].score = by_chance ? w->n + unit(draw(w->ask->random, i)) : i;
    }
}

static void score_weighted(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++)
        w->c[i].score = -log(unit(draw(w->ask->random, i))) / weight_of(&w->c[i]);
}

static bool equal_weights(const struct work *w)
{
    for (unsigned l = 1; l < w->lead_n; l++) {
        if (w->c[w->lead[l]].weight != w->c[w->lead[0]].weight)
            return false;
    }
    return true;
}

/* The place of a candidate's first turn in its own distance. */
static double phase_of(unsigned i)
{
    double x = (i + 1) * GOLDEN;
    return x - (unsigned)x;
}

/* Turns before `time`, where one of a candidate's falls on (k + phase) / share. */
static uint64_t turns_before(const struct work *w, const double *share, double time, uint32_t *ret)
{
    uint64_t sum = 0;
    for (unsigned l = 0; l < w->lead_n; l++) {
        ret[l] = (uint32_t)(time * share[l] - phase_of(w->lead[l]) + 1);
        sum += ret[l];
    }
    return sum;
}

/* Who has turn number `ask->turn`, and when the others have their next one. Looks a little before
 * the time at which that turn should be, and takes away the turns that are in between. */
static void score_strides(struct work *w)
{
    UNINITIALIZED double share[ROUTE_CANDIDATES_MAX];
    UNINITIALIZED uint32_t done[ROUTE_CANDIDATES_MAX];
    uint32_t turn = w->ask->turn & INT32_MAX;
    double sum = 0, phases = 0;
    ASSERT(w->lead_n > 1);
    for (unsigned l = 0; l < w->lead_n; l++) {
        sum += weight_of(&w->c[w->lead[l]]);
        phases += phase_of(w->lead[l]);
    }
    for (unsigned l = 0; l < w->lead_n; l++)
        share[l] = weight_of(&w->c[w->lead[l]]) / sum;
    double time = MAX_OF(turn + phases - w->lead_n * 0.5, 0.0);
    uint64_t before = turns_before(w, share, time, done);
    while (before > turn) {
        time = MAX_OF(time - (double)(before - turn), 0.0);
        before = turns_before(w, share, time, done);
    }
    for (unsigned l = 0; l < w->lead_n; l++)
        w->c[w->lead[l]].score = (done[l] + phase_of(w->lead[l])) / share[l] - time;
    for (; before < turn; before++) {
        unsigned next = 0;
        for (unsigned l = 1; l < w->lead_n; l++) {
            if (w->c[w->lead[l]].score < w->c[w->lead[next]].score)
                next = l;
        }
        w->c[w->lead[next]].score += 1 / share[next];
    }
}

/* Of the leading ones, whose turn it is where all have as many. */
static unsigned turn_of(const struct work *w)
{
    return w->lead_n > 0 ? (unsigned)(w->ask->turn % w->lead_n) : 0;
}

static void score_round_robin(struct work *w)
{
    score_ordered(w);
    if (!equal_weights(w)) {
        score_strides(w);
        return;
    }
    const unsigned at = turn_of(w);
    for (unsigned l = 0; l < w->lead_n; l++)
        w->c[w->lead[l]].score = l >= at ? l - at : l + w->lead_n - at;
}

static void score_load(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++)
        w->c[i].score = load_of(&w->c[i]);
}

static void score_first_token(struct work *w)
{
    double sum = 0;
    unsigned known = 0;
    for (unsigned l = 0; l < w->lead_n; l++) {
        int64_t first_ns = w->c[w->lead[l]].view.first_ns;
        known += first_ns > 0;
        sum += (double)MAX_OF(first_ns, 0);
    }
    double mean = known > 0 ? sum / known : (double)NS_PER_S;
    for (unsigned i = 0; i < w->n; i++) {
        const struct target_view *v = &w->c[i].view;
        w->c[i].score = v->first_ns > 0 ? (double)v->first_ns * (double)(v->inflight + 1)
                                        : mean * (double)v->inflight;
    }
}

/* Of two among the `n` candidates of `from` the better one goes before all (M. Mitzenmacher, "The
 * power of two choices in randomized load balancing", 2001). */
static void lift_of_two(struct work *w, const uint8_t *from, unsigned n)
{
    uint64_t random = draw(w->ask->random, STREAM_PAIR);
    if (n < 2)
        return;
    unsigned one = below(random & UINT32_MAX, n), two = below(random >> 32, n - 1);
    two += two >= one;
    one = w->c[from[two]].score < w->c[from[one]].score ? two : one;
    w->tier[from[one]] = 0;
}

static void score_latency(struct work *w)
{
    score_first_token(w);
    memset(w->tier, 1, w->n);
    lift_of_two(w, w->lead, w->lead_n);
}

static void score_region(struct work *w)
{
    UNINITIALIZED uint8_t near[ROUTE_CANDIDATES_MAX];
    unsigned near_n = 0, nearest = UINT8_MAX;
    score_first_token(w);
    for (unsigned i = 0; i < w->n; i++)
        w->tier[i] = (uint8_t)(w->c[i].region < 0 ? UINT8_MAX : MIN_OF(w->c[i].region + 1, 254));
    for (unsigned l = 0; l < w->lead_n; l++)
        nearest = MIN_OF(nearest, w->tier[w->lead[l]]);
    for (unsigned l = 0; l < w->lead_n; l++) {
        if (w->tier[w->lead[l]] == nearest)
            near[near_n++] = w->lead[l];
    }
    lift_of_two(w, near, near_n);
}

static void equals_by_load(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++)
        w->second[i] = float_order(load_of(&w->c[i]));
}

static void score_cost(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct route_candidate *c = &w->c[i];
        bool idles = c->self_hosted && has_place(c) && state_of(c) <= HEALTH_HALF_OPEN;
        c->score = idles ? 0 : c->cost_nano < 0 ? COST_UNKNOWN : (double)c->cost_nano;
    }
    equals_by_load(w);
}

static void score_quality(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++)
        w->c[i].score = -w->c[i].quality;
    equals_by_load(w);
}

static void score_balanced(struct work *w)
{
    score_load(w);
    for (unsigned i = 0; i < w->n; i++)
        w->tier[i] = !w->c[i].self_hosted || route_wait_ns(&w->c[i]) >= WAIT_SHORT_NS;
}

static void score_complexity(struct work *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        double room = w->c[i].max_complexity - w->ask->complexity;
        w->c[i].score = room >= 0 ? room : COMPLEXITY_MAX - room;
    }
    equals_by_load(w);
}

static void score_sticky(struct work *w)
{
    if (w->ask->session == 0) {
        score_load(w);
        return;
    }
    for (unsigned i = 0; i < w->n; i++) {
        uint64_t id = w->c[i].id ? w->c[i].id : i + 1;
        w->c[i].score = -log(unit(draw(hash_mix(w->ask->session), id))) / weight_of(&w->c[i]);
    }
}

static bool is_cached(const struct route_ask *ask, const struct route_candidate *c)
{
    return c->cached > PREFIX_SHARE &&
           (ask->prompt_bytes == 0 || c->cached * ask->prompt_bytes >= PREFIX_BYTES);
}

/* Those that have it cached, unless they have much more to do than the least loaded one. */
static void prefer_cached(struct work *w, uint64_t cached)
{
    double least = INFINITY;
    for (unsigned l = 0; l < w->lead_n; l++) {
        const struct route_candidate *c = &w->c[w->lead[l]];
        least = MIN_OF(least, (double)c->view.inflight / weight_of(c));
    }
    for (; cached != 0; cached &= cached - 1) {
        unsigned i = (unsigned)__builtin_ctzll(cached);
        struct route_candidate *c = &w->c[i];
        double inflight = (double)c->view.inflight, fair = least * weight_of(c);
        if (inflight - fair > PREFIX_MORE && inflight > PREFIX_TIMES * fair)
            continue;
        w->second[i] = float_order(c->score);
        c->score = -c->cached;
    }
}

static void score_prefix(struct work *w)
{
    uint64_t cached = 0;
    score_load(w);
    for (unsigned i = 0; i < w->n; i++)
        cached |= (uint64_t)is_cached(w->ask, &w->c[i]) << i;
    if (cached != 0)
        prefer_cached(w, cached);
    const unsigned at = turn_of(w);
    for (unsigned l = 0; l < w->lead_n; l++) {
        const struct route_candidate *c = &w->c[w->lead[l]];
        uint64_t age = c->cold_turn > 0 ? w->ask->turn + 1 - c->cold_turn : UINT64_MAX;
        unsigned place = l >= at ? l - at : l + w->lead_n - at;
        if (c->score >= 0) /* 26 bits for the age, 6 for the place */
            w->second[w->lead[l]] = ~(uint32_t)MIN_OF(age, UINT64_C(0x3ffffff)) << 6 | place;
    }
}

static void find_scores(struct work *w)
{
    static void (*const by[ROUTE_STRATEGIES_N])(struct work *) = {
        [ROUTE_ORDERED] = score_ordered,         [ROUTE_WEIGHTED] = score_weighted,
        [ROUTE_ROUND_ROBIN] = score_round_robin, [ROUTE_LEAST_LOADED] = score_load,
        [ROUTE_LATENCY] = score_latency,         [ROUTE_COST] = score_cost,
        [ROUTE_QUALITY] = score_quality,         [ROUTE_BALANCED] = score_balanced,
        [ROUTE_COMPLEXITY] = score_complexity,   [ROUTE_REGION] = score_region,
        [ROUTE_STICKY] = score_sticky,           [ROUTE_PREFIX] = score_prefix,
    };
    memset(w->tier, 0, w->n * sizeof *w->tier);
    memset(w->second, 0, w->n * sizeof *w->second);
    by[w->ask->strategy](w);
    for (unsigned i = 0; i < w->n && w->lead_n < w->n; i++) { /* all lead: there is none */
        if (w->c[i].fallback) {
            w->c[i].score = i;
            w->tier[i] = 0;
            w->second[i] = 0;
        }
    }
}

/* All that a candidate goes by as one number, from the top: group 4 bits, tier 8, score 64, second
 * 32, chance 14, index 6. */
typedef unsigned __int128 route_key;

static route_key key_of(const struct work *w, unsigned i, bool by_chance)
{
    const struct route_candidate *c = &w->c[i];
    double score = c->score;
    uint64_t tier = w->tier[i], second = w->second[i], bits, chance = 0;
    if (w->group[i] >= GROUP_COOLING) {
        score = c->view.until_ns > 0 ? (double)c->view.until_ns : (double)INT64_MAX;
        tier = 0;
        second = c->fallback;
    } else if (by_chance) {
        chance = draw(w->ask->random, i) & 0x3fff;
    }
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 63 ? UINT64_MAX : UINT64_C(1) << 63;
    uint64_t high = (uint64_t)w->group[i] << 60 | tier << 52 | bits >> 12;
    return (route_key)high << 64 | (bits << 52 | second << 20 | chance << 6 | i);
}

/* Each one's place is the number of those below it. */
static void sort_few(const route_key *k, unsigned n, route_key *ret)
{
    for (unsigned i = 0; i < n; i++) {
        route_key x = k[i];
        unsigned place = 0;
        for (unsigned j = 0; j < n; j++)
            place += k[j] < x;
        ret[place] = x;
    }
}

/* Merges the sorted halves of `k`, the second one as long or one longer: from both ends at once and
 * without a branch on what is compared (as the bidirectional merge of Rust's driftsort). Neither
 * half runs out before `half` steps. */
static void merge(const route_key *k, unsigned n, route_key *ret)
{
    const unsigned half = n / 2;
    const route_key *low_a = k, *low_b = k + half;
    const route_key *high_a = k + half - 1, *high_b = k + n - 1;
    for (unsigned i = 0; i < half; i++) {
        bool b_low = *low_b < *low_a, b_high = *high_a < *high_b;
        ret[i] = *(b_low ? low_b : low_a);
        ret[n - 1 - i] = *(b_high ? high_b : high_a);
        low_b += b_low;
        low_a += !b_low;
        high_b -= b_high;
        high_a -= !b_high;
    }
    if (n % 2 != 0)
        ret[half] = *(low_a <= high_a ? low_a : low_b);
}

/* Merge sort; both hold the same, `k` is spoiled. */
static void sort(route_key *k, unsigned n, route_key *ret)
{
    unsigned half = n / 2;
    if (n <= 8) {
        sort_few(k, n, ret);
        return;
    }
    sort(ret, half, k);
    sort(ret + half, n - half, k + half);
    merge(k, n, ret);
}

/* Of the best group the one with the least key. */
static unsigned first_of(const struct work *w, bool by_chance)
{
    route_key best = ~(route_key)0;
    for (unsigned i = 0; i < w->n; i++) {
        if (w->group[i] == w->first) {
            route_key k = key_of(w, i, by_chance);
            best = k < best ? k : best;
        }
    }
    return (unsigned)(best & 63);
}

/* All of them. */
static unsigned put_order(const struct work *w, bool by_chance, unsigned char *ret)
{
    UNINITIALIZED route_key keys[ROUTE_CANDIDATES_MAX], sorted[ROUTE_CANDIDATES_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        if (w->group[i] < GROUP_OUT)
            keys[n++] = key_of(w, i, by_chance);
    }
    memcpy(sorted, keys, n * sizeof *keys);
    sort(keys, n, sorted);
    for (unsigned i = 0; i < n; i++)
        ret[i] = (unsigned char)(sorted[i] & 63);
    return n;
}

void route_plan(const struct route_ask *ask, struct route_candidate *c, unsigned n,
                struct route_plan *ret)
{
    UNINITIALIZED struct work w;
    bool by_chance = ask->strategy != ROUTE_ORDERED && ask->strategy != ROUTE_ROUND_ROBIN;
    ASSERT(n <= ROUTE_CANDIDATES_MAX);
    w.ask = ask;
    w.c = c;
    w.n = n;
    w.panic = false;
    if (!find_plain_groups(&w)) {
        w.panic = is_panic(ask, c, n);
        find_groups(&w);
    }
    find_scores(&w);
    ret->panic = w.panic;
    if (ask->first_only && n > 0 && w.first < GROUP_OUT) {
        ret->n = 1;
        ret->order[0] = (unsigned char)first_of(&w, by_chance);
    } else {
        ret->n = put_order(&w, by_chance, ret->order);
    }
    ret->cold = ask->strategy == ROUTE_PREFIX && ret->n > 0 && !is_cached(ask, &c[ret->order[0]]);
}
