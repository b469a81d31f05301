/* What rollups hold for a name and a bucket of time: sums, two histograms and a sketch of distinct
 * users, and their form in the database. Pure. */
#ifndef STORE_LEDGER_TALLY_H
#define STORE_LEDGER_TALLY_H

#include "base/buf.h"
#include "store/ledger.h"

/* In the order of their form on disk; new ones come last, and old rows read them as 0. */
enum figure {
    FIGURE_REQUESTS,
    FIGURE_REFUSED,
    FIGURE_FAILED,
    FIGURE_ATTEMPTS,
    FIGURE_INPUT,
    FIGURE_OUTPUT,
    FIGURE_CACHED,
    FIGURE_CACHE_WRITE,
    FIGURE_REASONING,
    FIGURE_ESTIMATED,
    FIGURE_UNPRICED,
    FIGURE_COST,
    FIGURE_IDLE,
    FIGURE_CRASHED,
    FIGURE_DURATION,
    FIGURES_N
};

struct figures {
    int64_t n[FIGURES_N];
};

/* Histograms of microseconds: eight buckets to each power of two, so that a quantile is at most
 * 6.25% off. A mark is a bucket of either histogram. */
#define HISTOGRAM_BUCKETS 240u
enum histogram { HISTOGRAM_DURATION, HISTOGRAM_FIRST, HISTOGRAMS_N };
#define MARKS_N ((size_t)HISTOGRAMS_N * HISTOGRAM_BUCKETS)

unsigned histogram_bucket(uint32_t us);
/* The `q`-quantile, interpolated within its bucket; -1: nothing was counted. */
int64_t histogram_quantile(const uint64_t count[HISTOGRAM_BUCKETS], double q);

/* Distinct users by HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007): 1024 registers, standard
 * error 3.3%; with linear counting where they are few. */
#define SKETCH_BITS      10
#define SKETCH_REGISTERS (1u << SKETCH_BITS)
#define SKETCH_RANK_BITS 6

/* Register and rank of a user, as register << 6 | rank. */
uint16_t sketch_code(uint64_t user_hash);
int64_t sketch_count(const uint8_t rank[SKETCH_REGISTERS]);

struct tally {
    struct figures sums;
    uint64_t mark[MARKS_N];
    uint8_t rank[SKETCH_REGISTERS];
    bool has_users; /* the sketch means something */
};

/* a += b, and no sum wraps. */
static inline void add_to(int64_t *a, int64_t b)
{
    if (__builtin_add_overflow(*a, b, a))
        *a = b > 0 ? INT64_MAX : INT64_MIN;
}
void figures_add(struct figures *to, const struct figures *more);
/* Does the row's duration go into the histograms? Those of refusals would hide the others. */
bool figures_timed(const struct ledger_row *row);
void figures_add_row(struct figures *to, const struct ledger_row *row);

/* The form in the database: counted zigzag varints, then the marks and the sketch, if wanted. */
void figures_encode(struct buf *out, const struct figures *f);
void tally_encode(struct buf *out, const struct tally *t, bool with_users);
/* Adds what `blob` holds to the sums, or to all of it. False: it is not such a form. */
NODISCARD bool figures_decode_add(struct slice blob, struct figures *to);
NODISCARD bool tally_decode_add(struct slice blob, struct tally *to);

#endif
