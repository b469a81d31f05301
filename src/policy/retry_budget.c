/* The budget: ten seconds of two counters. A second and its count are one word, so that a counter
 * is begun anew and counted up in one step, and nothing is lost between threads. */
#include "policy/retry_budget.h"

#include "base/clock.h"

static uint32_t second_of(int64_t now_ns)
{
    return (uint32_t)(now_ns / NS_PER_S);
}

static uint32_t begun(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static uint32_t count_of(uint64_t word)
{
    return (uint32_t)word;
}

/* Whether `at` is of the latest ten seconds; what a thread whose clock is ahead counted is. */
static bool is_recent(uint32_t at, uint32_t second)
{
    return (int32_t)(second - at) < RETRY_SLOTS;
}

/* Counts one; returns the word that holds it. A clock that is ten seconds behind counts as that
 * of the thread that is ahead. */
static uint64_t count_up(_Atomic uint64_t *slot, uint32_t second)
{
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), new;
    do {
        if ((int32_t)(second - begun(old)) > 0)
            new = (uint64_t)second << 32 | 1;
        else
            new = count_of(old) < UINT32_MAX ? old + 1 : old;
    } while (!atomic_compare_exchange_weak(slot, &old, new));
    return new;
}

/* Takes back what count_up() counted, unless its second is over. */
static void count_down(_Atomic uint64_t *slot, uint64_t counted)
{
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
    while (begun(old) == begun(counted) && count_of(old) > 0 &&
           !atomic_compare_exchange_weak(slot, &old, old - 1))
        ;
}

void retry_budget_fill(struct retry_budget *b, int64_t now_ns)
{
    uint32_t second = second_of(now_ns);
    count_up(&b->slot[second % RETRY_SLOTS].first, second);
}

void retry_budget_note(struct retry_budget *b, int64_t now_ns)
{
    uint32_t second = second_of(now_ns);
    count_up(&b->slot[second % RETRY_SLOTS].again, second);
}

static uint64_t first_ones(const struct retry_budget *b, uint32_t second)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < RETRY_SLOTS; i++) {
        uint64_t f = atomic_load(&b->slot[i].first);
        n += is_recent(begun(f), second) ? count_of(f) : 0;
    }
    return n;
}

/* Counts first and looks then: the count is the place among those that ask at the same time, and
 * those that are refused give theirs back, so that no two take the last one. */
bool retry_budget_take(struct retry_budget *b, int64_t now_ns, unsigned percent, unsigned least)
{
    uint32_t second = second_of(now_ns), own = second % RETRY_SLOTS;
    uint64_t counted = count_up(&b->slot[own].again, second);
    uint64_t first = first_ones(b, second), again = count_of(counted);
    for (uint32_t i = 0; i < RETRY_SLOTS; i++) {
        uint64_t a = atomic_load(&b->slot[i].again);
        if (i != own && is_recent(begun(a), second))
            again += count_of(a);
    }
    uint64_t most = MAX_OF(first * percent / 100, (uint64_t)least * RETRY_SLOTS);
    if (again <= most)
        return true;
    count_down(&b->slot[own].again, counted);
    return false;
}

#define ONE_HEDGE 100u
#define FEW       1000u /* hundredths: a share of ten hedges */

void hedge_budget_fill(struct hedge_budget *b, int64_t now_ns, unsigned percent)
{
    uint32_t saved = atomic_load_explicit(&b->saved, memory_order_relaxed);
    retry_budget_fill(&b->recent, now_ns);
    while (saved < ONE_HEDGE &&
           !atomic_compare_exchange_weak(&b->saved, &saved, MIN_OF(saved + percent, ONE_HEDGE)))
        ;
}

bool hedge_budget_take(struct hedge_budget *b, int64_t now_ns, unsigned percent)
{
    uint32_t saved = ONE_HEDGE;
    if (retry_budget_take(&b->recent, now_ns, percent, 0)) {
        atomic_store_explicit(&b->saved, 0, memory_order_relaxed);
        return true;
    }
    bool few = first_ones(&b->recent, second_of(now_ns)) * percent < FEW;
    if (!few || !atomic_compare_exchange_strong(&b->saved, &saved, 0))
        return false;
    retry_budget_note(&b->recent, now_ns);
    return true;
}

/* base * 2^(n-1), at most `most_ns`. */
static int64_t grown(unsigned n, int64_t base_ns, int64_t most_ns)
{
    ASSERT(n > 0);
    int64_t ns = MIN_OF(base_ns, most_ns);
    for (unsigned i = 1; i < n && ns > 0 && ns < most_ns; i++)
        ns = ns > most_ns / 2 ? most_ns : ns * 2;
    return ns;
}

/* From 0 to below `ns`, as `random` has it. */
static int64_t share_of(uint64_t random, int64_t ns)
{
    return ns > 0 ? (int64_t)((unsigned __int128)random * (uint64_t)ns >> 64) : 0;
}

int64_t retry_pause_ns(unsigned n, int64_t base_ns, int64_t most_ns, uint64_t random)
{
    int64_t ns = grown(n, base_ns, most_ns);
    return ns - share_of(random, ns / 4);
}

int64_t retry_backoff_ns(unsigned n, int64_t base_ns, int64_t most_ns, uint64_t random)
{
    return share_of(random, grown(n, base_ns, most_ns));
}
