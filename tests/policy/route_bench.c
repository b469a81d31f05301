/* What one decision costs by strategy and number of candidates: all well, one in eight full, one in
 * ten a fallback; weights, loads and the rest differ, and each plan has other random bits. Prints
 * nanoseconds of CPU time; judges nothing. Build it without sanitizers. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "policy/route.h"

#define ROUNDS 10000
#define PASSES 15

static void fill(struct route_candidate *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t r = random_u64();
        c[i] = (struct route_candidate){
            .view = {.share = 1,
                     .first_ns = (int64_t)(50 * NS_PER_MS + r % (400 * NS_PER_MS)),
                     .inflight = (int64_t)(r >> 32) % 20},
            .fallback = i % 10 == 9,
            .self_hosted = i % 4 == 0,
            .weight = 1 + (double)(i % 7),
            .quality = (double)(r >> 40 & 63),
            .cost_nano = (int64_t)(r >> 20) % 1000000,
            .capacity = i % 8 == 7 ? 1 : 64,
            .service_ns = 2 * NS_PER_S,
            .region = (int)(i % 5) - 1,
            .max_complexity = (double)(r >> 50) / 164,
            .cached = (double)(r >> 11) * 0x1p-53,
            .cold_turn = r & 0xfff,
        };
    }
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* The best pass: others share the machine. */
static double measure(enum route_strategy strategy, struct route_candidate *c, unsigned n)
{
    double best = 1e18;
    unsigned sum = 0;
    for (unsigned pass = 0; pass < PASSES; pass++) {
        int64_t began = cpu_ns();
        for (unsigned i = 0; i < ROUNDS; i++) {
            struct route_ask ask = {.strategy = strategy,
                                    .random = i * UINT64_C(0x9e3779b97f4a7c15),
                                    .turn = i,
                                    .session = i + 1,
                                    .complexity = i % 101,
                                    .max_ejected = 50};
            struct route_plan plan;
            c[i % n].view.inflight = i % 20;
            route_plan(&ask, c, n, &plan);
            sum += plan.order[0];
        }
        double ns = (double)(cpu_ns() - began) / ROUNDS;
        best = ns < best ? ns : best;
    }
    __asm__ volatile("" ::"r"(sum));
    return best;
}

int main(void)
{
    static const unsigned sizes[] = {2, 10, 50, 64};
    printf("ns per plan     ");
    for (unsigned s = 0; s < ARRAY_LEN(sizes); s++)
        printf("%8u", sizes[s]);
    printf(" candidates\n");
    for (unsigned strategy = 0; strategy < ROUTE_STRATEGIES_N; strategy++) {
        printf("%-16s", route_strategy_name(strategy));
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            struct route_candidate c[ROUTE_CANDIDATES_MAX];
            fill(c, sizes[s]);
            printf("%8.0f", measure(strategy, c, sizes[s]));
            fflush(stdout);
        }
        printf("\n");
    }
    return 0;
}
