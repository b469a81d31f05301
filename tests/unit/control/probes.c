/* What probes make of an answer, and when the next one comes. */
#include "probes.h"

#include "base/clock.h"
#include "base/hash.h"
#include "check.h"

TEST(what_an_answer_says)
{
    static const struct {
        unsigned status;
        int verdict;
    } rows[] = {{0, -1},  {200, 1}, {301, 1},  {401, 1},  {403, 1},
                {404, 1}, {429, 0}, {500, -1}, {503, -1}, {599, -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_EQ_I64(probe_verdict(rows[i].status), rows[i].verdict);
}

TEST(up_to_a_fifth_sooner_or_later)
{
    const int64_t interval = 10 * NS_PER_S;
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t ns = probe_after(interval, random_u64());
        least = ns < least ? ns : least;
        most = ns > most ? ns : most;
    }
    CHECK(least >= 8 * NS_PER_S && least < 8100 * NS_PER_MS);
    CHECK(most <= 12 * NS_PER_S && most > 11900 * NS_PER_MS);
    CHECK_EQ_I64(probe_after(interval, 0), 8 * NS_PER_S);
    CHECK_EQ_I64(probe_after(1, UINT64_MAX), 1);
}
