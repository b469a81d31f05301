/* Sums, histograms and sketches of rollups. */
#include "ledger_tally.h"

#include <math.h>

#include "base/hash.h"

#define SUB_BITS         3 /* buckets to each power of two, as a power of two */
#define SKETCH_DENSE     (SKETCH_REGISTERS / 2) /* more codes than this: all registers */
#define SKETCH_NONE      0
#define VARINT_BYTES_MAX 10

unsigned histogram_bucket(uint32_t us)
{
    if (us < 1u << SUB_BITS)
        return us;
    unsigned power = 31u - (unsigned)__builtin_clz(us);
    return (power - SUB_BITS + 1) * (1u << SUB_BITS) +
           ((us >> (power - SUB_BITS)) & ((1u << SUB_BITS) - 1));
}

/* The least value of a bucket. */
static uint64_t bucket_start(unsigned bucket)
{
    if (bucket < 1u << SUB_BITS)
        return bucket;
    unsigned power = bucket / (1u << SUB_BITS) - 1 + SUB_BITS;
    uint64_t sub = bucket % (1u << SUB_BITS);
    return ((uint64_t)1 << power) + (sub << (power - SUB_BITS));
}

int64_t histogram_quantile(const uint64_t count[HISTOGRAM_BUCKETS], double q)
{
    uint64_t all = 0, below = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        all += count[i];
    if (all == 0)
        return -1;
    double wanted = q * (double)all;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (count[i] > 0 && (double)(below + count[i]) >= wanted) {
            double low = (double)bucket_start(i), high = (double)bucket_start(i + 1);
            return (int64_t)(low + (high - low) * (wanted - (double)below) / (double)count[i]);
        }
        below += count[i];
    }
    NEVER("the sum of all buckets is all");
}

uint16_t sketch_code(uint64_t user_hash)
{
    uint64_t h = hash_mix(user_hash); /* all bits have to look random */
    uint64_t rest = h << SKETCH_BITS | (uint64_t)1 << (SKETCH_BITS - 1);
    unsigned rank = (unsigned)__builtin_clzll(rest) + 1;
    return (uint16_t)((h >> (64 - SKETCH_BITS)) << SKETCH_RANK_BITS | rank);
}

int64_t sketch_count(const uint8_t rank[SKETCH_REGISTERS])
{
    const double m = SKETCH_REGISTERS, alpha = 0.7213 / (1 + 1.079 / m);
    double sum = 0;
    unsigned empty = 0;
    for (unsigned i = 0; i < SKETCH_REGISTERS; i++) {
        sum += ldexp(1.0, -rank[i]);
        empty += rank[i] == 0;
    }
    double raw = alpha * m * m / sum;
    if (raw <= 2.5 * m && empty > 0)
        raw = m * log(m / empty);
    return (int64_t)llround(raw);
}

void figures_add(struct figures *to, const struct figures *more)
{
    for (unsigned i = 0; i < FIGURES_N; i++)
        add_to(&to->n[i], more->n[i]);
}

bool figures_timed(const struct ledger_row *row)
{
    return (row->flags & LEDGER_FINAL) != 0 && row->reason != LEDGER_REFUSED &&
           row->reason != LEDGER_CRASHED && row->reason != LEDGER_TRUE_UP &&
           row->reason != LEDGER_IDLE;
}

static bool has_failed(uint8_t reason)
{
    return reason == LEDGER_UPSTREAM_CUT || reason == LEDGER_UPSTREAM_ERROR ||
           reason == LEDGER_TIMED_OUT || reason == LEDGER_CRASHED || reason == LEDGER_FAILED;
}

void figures_add_row(struct figures *to, const struct ledger_row *row)
{
    int64_t *n = to->n;
    if (row->reason == LEDGER_IDLE || row->reason == LEDGER_TRUE_UP) {
        add_to(&n[row->reason == LEDGER_IDLE ? FIGURE_IDLE : FIGURE_COST], row->cost_nano);
        return;
    }
    if ((row->flags & LEDGER_FINAL) != 0) {
        n[FIGURE_REQUESTS]++;
        n[FIGURE_REFUSED] += row->reason == LEDGER_REFUSED || row->reason == LEDGER_BLOCKED;
        n[FIGURE_FAILED] += has_failed(row->reason);
        add_to(&n[FIGURE_DURATION], row->duration_us);
    }
    n[FIGURE_ATTEMPTS] += row->attempt > 0;
    add_to(&n[FIGURE_INPUT], row->input);
    add_to(&n[FIGURE_OUTPUT], row->output);
    add_to(&n[FIGURE_CACHED], row->cached);
    add_to(&n[FIGURE_CACHE_WRITE], row->cache_write);
    add_to(&n[FIGURE_REASONING], row->reasoning);
    if ((row->flags & LEDGER_ESTIMATED_INPUT) != 0)
        add_to(&n[FIGURE_ESTIMATED], row->input);
    if ((row->flags & LEDGER_ESTIMATED_OUTPUT) != 0)
        add_to(&n[FIGURE_ESTIMATED], row->output);
    n[FIGURE_UNPRICED] += (row->flags & LEDGER_UNPRICED) != 0;
    add_to(&n[FIGURE_COST], row->cost_nano);
    n[FIGURE_CRASHED] += row->reason == LEDGER_CRASHED;
}

static void put_varint(struct buf *out, uint64_t v)
{
    char text[VARINT_BYTES_MAX];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        text[n++] = (char)(v | 0x80);
    text[n++] = (char)v;
    buf_append(out, text, n);
}

static inline bool get_varint(struct slice *in, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; in->n > 0 && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*in->p++;
        in->n--;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

void figures_encode(struct buf *out, const struct figures *f)
{
    put_varint(out, FIGURES_N);
    for (unsigned i = 0; i < FIGURES_N; i++)
        put_varint(out, (uint64_t)f->n[i] << 1 ^ (uint64_t)(f->n[i] >> 63));
}

static void put_marks(struct buf *out, const uint64_t mark[MARKS_N])
{
    unsigned n = 0, last = 0;
    for (unsigned i = 0; i < MARKS_N; i++)
        n += mark[i] > 0;
    put_varint(out, n);
    for (unsigned i = 0; i < MARKS_N; i++) {
        if (mark[i] == 0)
            continue;
        put_varint(out, i - last);
        put_varint(out, mark[i]);
        last = i;
    }
}

static void put_sketch(struct buf *out, const uint8_t rank[SKETCH_REGISTERS])
{
    unsigned n = 0;
    for (unsigned i = 0; i < SKETCH_REGISTERS; i++)
        n += rank[i] > 0;
    if (n >= SKETCH_DENSE) {
        put_varint(out, 1 + SKETCH_REGISTERS);
        buf_append(out, rank, SKETCH_REGISTERS);
        return;
    }
    put_varint(out, 1 + n);
    for (unsigned i = 0; i < SKETCH_REGISTERS; i++) {
        uint16_t code = (uint16_t)(i << SKETCH_RANK_BITS | rank[i]);
        if (rank[i] > 0)
            buf_append(out, &code, sizeof code);
    }
}

void tally_encode(struct buf *out, const struct tally *t, bool with_users)
{
    figures_encode(out, &t->sums);
    put_marks(out, t->mark);
    if (with_users && t->has_users)
        put_sketch(out, t->rank);
    else
        put_varint(out, SKETCH_NONE);
}

static bool get_figures(struct slice *in, struct figures *to)
{
    uint64_t n, v;
    if (!get_varint(in, &n) || n > FIGURES_N)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (!get_varint(in, &v))
            return false;
        add_to(&to->n[i], (int64_t)(v >> 1 ^ (0 - (v & 1))));
    }
    return true;
}

static bool get_marks(struct slice *in, uint64_t mark[MARKS_N])
{
    uint64_t n, step, count, at = 0;
    if (!get_varint(in, &n) || n > MARKS_N)
        return false;
    while (n-- > 0) {
        if (!get_varint(in, &step) || !get_varint(in, &count) || step >= MARKS_N)
            return false;
        at += step;
        if (at >= MARKS_N)
            return false;
        mark[at] += count;
    }
    return true;
}

static bool get_sketch(struct slice *in, struct tally *to)
{
    uint64_t n;
    if (!get_varint(in, &n) || n > 1 + SKETCH_REGISTERS)
        return false;
    if (n == SKETCH_NONE)
        return true;
    to->has_users = true;
    size_t bytes = --n == SKETCH_REGISTERS ? n : 2 * n;
    if (in->n < bytes)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint16_t code = (uint16_t)(i << SKETCH_RANK_BITS | ((unsigned char)in->p[i] & 63));
        if (n != SKETCH_REGISTERS)
            memcpy(&code, in->p + 2 * i, sizeof code);
        uint8_t *rank = &to->rank[code >> SKETCH_RANK_BITS];
        uint8_t other = code & 63;
        *rank = *rank > other ? *rank : other;
    }
    *in = slice_from(*in, bytes);
    return true;
}

bool figures_decode_add(struct slice blob, struct figures *to)
{
    return get_figures(&blob, to);
}

bool tally_decode_add(struct slice blob, struct tally *to)
{
    return get_figures(&blob, &to->sums) && get_marks(&blob, to->mark) && get_sketch(&blob, to) &&
           blob.n == 0;
}
