/* The exact log: see exact_log.h. */
#include "exact_log.h"

#include <string.h>

#include "base/clock.h"

#define KEPT_NS (70 * NS_PER_S) /* longer than any rule's window */

void exact_log_init(struct exact_log *l)
{
    memset(l, 0, sizeof *l);
    list_init(&l->entries);
}

void exact_log_enter(struct exact_log *l, struct exact_entry *e)
{
    e->open = true;
    list_push_back(&l->entries, &e->node);
}

void exact_log_settle(struct exact_entry *e, const struct limit_amounts *actual)
{
    ASSERT(e->open);
    e->open = false;
    e->actual = *actual;
}

void exact_amounts(const struct limit_amounts *a, int64_t ret[LIMIT_KINDS_N])
{
    int64_t given[] = {a->requests, a->input, a->output, a->cost_nano};
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        given[i] = MAX_OF(MIN_OF(given[i], LIMIT_AMOUNT_MAX), INT64_C(0));
    ret[LIMIT_REQUESTS] = given[0];
    ret[LIMIT_INPUT] = given[1];
    ret[LIMIT_OUTPUT] = given[2];
    ret[LIMIT_TOKENS] = given[1] + given[2];
    ret[LIMIT_CONCURRENCY] = a->concurrency;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        ret[LIMIT_BUDGET_HOUR + b] = given[3];
}

static bool counts(const struct exact_entry *e, const struct exact_rule *rule, enum limit_kind kind,
                   int64_t at_ns, const int64_t period_ns[LIMIT_BUDGETS_N])
{
    int64_t age = at_ns - e->at_ns;
    bool young = rule->to_the_end ? age <= rule->window_ns : age < rule->window_ns;
    if (kind == LIMIT_CONCURRENCY)
        return e->open;
    if (kind >= LIMIT_BUDGET_HOUR)
        return e->open ||
               e->period_ns[kind - LIMIT_BUDGET_HOUR] == period_ns[kind - LIMIT_BUDGET_HOUR];
    if (kind == LIMIT_REQUESTS || rule->forgets_open)
        return young;
    return young || e->open;
}

static void add_entry(const struct exact_entry *e, const struct exact_rule *rule, int64_t at_ns,
                      const int64_t period_ns[LIMIT_BUDGETS_N], int64_t ret[LIMIT_KINDS_N])
{
    int64_t by_kind[LIMIT_KINDS_N];
    exact_amounts(e->open || rule->reserved_on ? &e->reserved : &e->actual, by_kind);
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (counts(e, rule, (enum limit_kind)k, at_ns, period_ns))
            ret[k] += by_kind[k];
    }
}

void exact_log_used(const struct exact_log *l, const struct exact_rule *rule, int64_t at_ns,
                    const int64_t period_ns[LIMIT_BUDGETS_N], int64_t ret[LIMIT_KINDS_N])
{
    memset(ret, 0, LIMIT_KINDS_N * sizeof *ret);
    list_foreach (it, &l->entries)
        add_entry(container_of(it, struct exact_entry, node), rule, at_ns, period_ns, ret);
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (l->gone_period_ns[b] == period_ns[b])
            ret[LIMIT_BUDGET_HOUR + b] += l->gone_nano[b];
    }
}

static void keep_spend(struct exact_log *l, const struct exact_entry *e)
{
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (e->period_ns[b] > l->gone_period_ns[b]) {
            l->gone_period_ns[b] = e->period_ns[b];
            l->gone_nano[b] = 0;
        }
        if (e->period_ns[b] == l->gone_period_ns[b])
            l->gone_nano[b] += e->actual.cost_nano;
    }
}

void exact_log_drop(struct exact_log *l, int64_t at_ns)
{
    list_foreach (it, &l->entries) {
        struct exact_entry *e = container_of(it, struct exact_entry, node);
        if (at_ns - e->at_ns <= KEPT_NS)
            break;
        if (e->open)
            continue;
        keep_spend(l, e);
        list_remove(it);
    }
}
