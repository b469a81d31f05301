/* Sums, histograms, sketches, and their form in the database. */
#include <stdlib.h>

#include "base/mem.h"
#include "crc32c.h"
#include "ledger_fixture.h"
#include "ledger_tally.h"

TEST(buckets_are_in_order_and_narrow)
{
    unsigned last = 0;
    for (uint64_t us = 0; us <= UINT32_MAX; us = us < 100 ? us + 1 : us + us / 50) {
        unsigned bucket = histogram_bucket((uint32_t)us);
        CHECK(bucket == last || bucket == last + 1);
        CHECK(bucket < HISTOGRAM_BUCKETS);
        last = bucket;
    }
    CHECK(histogram_bucket(UINT32_MAX) < HISTOGRAM_BUCKETS);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

TEST(quantiles_are_near_the_exact_ones)
{
    static const double quantiles[] = {0.5, 0.95, 0.99};
    static uint32_t value[5000];
    for (unsigned round = 0; round < 20; round++) {
        uint64_t count[HISTOGRAM_BUCKETS] = {0};
        for (size_t i = 0; i < ARRAY_LEN(value); i++) {
            value[i] = (uint32_t)(1000 + (check_random_below(1000) << check_random_below(16)));
            count[histogram_bucket(value[i])]++;
        }
        qsort(value, ARRAY_LEN(value), sizeof *value, by_value);
        for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
            double exact = value[(size_t)(quantiles[i] * ARRAY_LEN(value)) - 1];
            double got = (double)histogram_quantile(count, quantiles[i]);
            check_note("quantile %g: %g for %g", quantiles[i], got, exact);
            CHECK(got > exact * 0.875 && got < exact * 1.125);
        }
    }
    uint64_t none[HISTOGRAM_BUCKETS] = {0};
    CHECK_EQ_I64(histogram_quantile(none, 0.5), -1);
}

TEST(sketches_count_within_four_standard_errors)
{
    static const int64_t users[] = {0, 1, 5, 100, 1000, 20000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        uint8_t rank[SKETCH_REGISTERS] = {0};
        for (int64_t k = 0; k < users[i]; k++) {
            uint16_t code = sketch_code(check_random());
            uint8_t *r = &rank[code >> 6];
            *r = *r > (code & 63) ? *r : (uint8_t)(code & 63);
        }
        int64_t got = sketch_count(rank), off = users[i] * 13 / 100 + (users[i] > 20);
        check_note("%lld for %lld", (long long)got, (long long)users[i]);
        CHECK(got >= users[i] - off && got <= users[i] + off);
    }
}

static void fill(struct tally *t, bool dense)
{
    memset(t, 0, sizeof *t);
    for (unsigned i = 0; i < FIGURES_N; i++)
        t->sums.n[i] = (int64_t)(check_random() >> (1 + check_random_below(62))) *
                       (check_random_below(2) == 0 ? 1 : -1);
    for (unsigned i = 0; i < MARKS_N; i++)
        t->mark[i] = check_random_below(8) == 0 ? check_random() >> check_random_below(63) : 0;
    for (unsigned i = 0; i < SKETCH_REGISTERS; i++)
        t->rank[i] =
            dense || check_random_below(9) == 0 ? (uint8_t)(1 + check_random_below(50)) : 0;
    t->has_users = true;
}

TEST(forms_are_read_as_they_were_written)
{
    static struct tally in, out;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 200; i++) {
        fill(&in, i % 2 == 0);
        memset(&out, 0, sizeof out);
        buf_reset(&b);
        tally_encode(&b, &in, true);
        CHECK(tally_decode_add(buf_view(&b), &out));
        CHECK(memcmp(&in, &out, sizeof in) == 0);
        struct figures sums = {.n = {0}};
        CHECK(figures_decode_add(buf_view(&b), &sums));
        CHECK(memcmp(&in.sums, &sums, sizeof sums) == 0);
        for (size_t cut = 0; cut < b.n; cut += 1 + check_random_below(40)) {
            memset(&out, 0, sizeof out);
            CHECK(!tally_decode_add(slice_of(b.p, cut), &out));
        }
    }
    buf_done(&b);
}

TEST(damaged_forms_are_refused_or_read_without_harm)
{
    static struct tally in, out;
    struct buf b;
    buf_init(&b, 1 << 20);
    fill(&in, false);
    tally_encode(&b, &in, true);
    for (unsigned i = 0; i < 20000; i++) {
        char *copy = mem_strndup(b.p, b.n); /* its own block: a read past its end is seen */
        for (unsigned k = 0; k < 3; k++)
            copy[check_random_below(b.n)] = (char)check_random();
        memset(&out, 0, sizeof out);
        if (tally_decode_add(slice_of(copy, b.n), &out))
            (void)sketch_count(out.rank);
        mem_free(copy);
    }
    buf_done(&b);
}

TEST(sums_do_not_wrap)
{
    struct figures sum = {.n = {0}};
    struct ledger_row row = {.cost_nano = INT64_MAX, .input = INT64_MAX, .flags = LEDGER_FINAL};
    figures_add_row(&sum, &row);
    figures_add_row(&sum, &row);
    CHECK_EQ_I64(sum.n[FIGURE_COST], INT64_MAX);
    CHECK_EQ_I64(sum.n[FIGURE_INPUT], INT64_MAX);
    CHECK_EQ_I64(sum.n[FIGURE_REQUESTS], 2);
}

TEST(both_crc32c_agree_with_the_rfc)
{
    static const char digits[] = "123456789"; /* its check value, as in RFC 3720's other examples */
    char zeros[32] = {0}, text[300];
    CHECK_EQ_U64(crc32c(slice_of(digits, 9)), 0xe3069283u);
    CHECK_EQ_U64(crc32c_by_tables(slice_of(digits, 9)), 0xe3069283u);
    CHECK_EQ_U64(crc32c_by_tables(slice_of(zeros, sizeof zeros)), 0x8a9136aau); /* B.4 */
    for (unsigned i = 0; i < 200; i++) {
        size_t n = check_random_below(sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)check_random();
        CHECK_EQ_U64(crc32c(slice_of(text, n)), crc32c_by_tables(slice_of(text, n)));
    }
}
