/* What the health of targets costs a request: looks at 64 candidates, entering one and reporting,
 * alone and with two threads at the same target. Prints nanoseconds; judges nothing. Build it
 * without sanitizers. */
#include <stdio.h>

#include "base/mem.h"
#include "base/thread.h"
#include "policy/retry_budget.h"
#include "policy/target_live.h"

#define CANDIDATES 64
#define ROUNDS     2000000
#define CHUNK      20

struct load {
    struct target_live *t;
    int64_t now_ns;
    double ns;
};

static void attempt(struct target_live *t, int64_t now_ns)
{
    struct target_report r = {.outcome = TARGET_GOOD,
                              .entry = target_live_enter(t, now_ns),
                              .first_ns = 200 * NS_PER_MS,
                              .gap_ns = 12 * NS_PER_MS};
    ASSERT(r.entry != 0);
    target_live_report(t, &r, now_ns);
}

static void *run(void *arg)
{
    struct load *l = arg;
    int64_t began = clock_mono_ns();
    for (int64_t i = 0; i < ROUNDS; i++)
        attempt(l->t, l->now_ns + i * NS_PER_US);
    l->ns = (double)(clock_mono_ns() - began) / ROUNDS;
    return NULL;
}

/* The best of many, as the machine may have other work. `now_ns`: the averages have to be aged, the
 * window counted anew. */
static double looks(struct target_live *const *t, int64_t now_ns)
{
    struct target_view v = {0};
    int64_t best_ns = INT64_MAX;
    for (unsigned i = 0; i < 2000; i++) {
        int64_t began = clock_mono_ns();
        for (unsigned k = 0; k < CANDIDATES * CHUNK; k++) {
            target_live_look(t[k % CANDIDATES], now_ns + k, &v);
            ASSERT(v.state == HEALTH_WELL);
        }
        best_ns = MIN_OF(best_ns, clock_mono_ns() - began);
    }
    return (double)best_ns / CHUNK;
}

static double budget(void)
{
    struct retry_budget b = {0};
    int64_t began = clock_mono_ns();
    for (int64_t i = 0; i < ROUNDS; i++) {
        retry_budget_fill(&b, i * NS_PER_US);
        if (i % 10 == 0)
            ASSERT(retry_budget_take(&b, i * NS_PER_US, 20, 3));
    }
    return (double)(clock_mono_ns() - began) / ROUNDS;
}

int main(void)
{
    struct target_live *t[CANDIDATES];
    const int64_t now_ns = 1000 * NS_PER_S;
    pthread_t thread;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        char label[32];
        snprintf(label, sizeof label, "house/model-%u", i);
        t[i] = target_live_get(slice_str(label));
        ASSERT(t[i] != NULL);
        for (unsigned k = 0; k < 100; k++)
            attempt(t[i], now_ns);
    }
    printf("looks at %d targets: %.0f ns just after an answer, %.0f ns 20 s later\n", CANDIDATES,
           looks(t, now_ns), looks(t, now_ns + 20 * NS_PER_S));

    struct load a = {.t = t[0], .now_ns = now_ns}, b = a;
    run(&a);
    printf("enter and report: %.0f ns\n", a.ns);
    a.now_ns = b.now_ns = now_ns + 60 * NS_PER_S;
    ASSERT(thread_start(&thread, run, &b));
    run(&a);
    pthread_join(thread, NULL);
    printf("enter and report, two threads at one target: %.0f and %.0f ns\n", a.ns, b.ns);

    int64_t began = clock_mono_ns();
    for (unsigned i = 0; i < ROUNDS; i++)
        ASSERT(target_live_first_quantile(t[0], 0.95) > 0);
    printf("p95 of first tokens: %.0f ns\n", (double)(clock_mono_ns() - began) / ROUNDS);
    printf("budget of retries, a take each 10 fills: %.0f ns\n", budget());
    return 0;
}
