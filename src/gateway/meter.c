/* Cost and tokens by model and use case: a table that all workers add to. */
#include "meter.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "observe/metrics.h"

#define CELLS 1024u /* pairs of model and use case; the last cell is everybody else's */
#define FREE  UINT64_MAX

struct cell {
    _Atomic uint64_t pair; /* FREE, or model and use case: set once */
    _Atomic int64_t cost_nano, tokens;
};

struct meter {
    struct cell cells[CELLS];
    _Atomic int64_t unpriced;
};

struct meter *meter_new(void)
{
    struct meter *m = mem_calloc(1, sizeof *m);
    for (unsigned i = 0; i < CELLS && m != NULL; i++)
        m->cells[i].pair = FREE;
    return m;
}

void meter_free(struct meter *m)
{
    mem_free(m);
}

static struct cell *cell_of(struct meter *m, uint64_t pair)
{
    unsigned at = (unsigned)((pair * UINT64_C(0x9E3779B97F4A7C15)) >> 54) % (CELLS - 1);
    for (unsigned i = 0; i < CELLS - 1; i++, at = (at + 1) % (CELLS - 1)) {
        uint64_t there = m->cells[at].pair;
        if (there == FREE && atomic_compare_exchange_strong(&m->cells[at].pair, &there, pair))
            return &m->cells[at];
        if (there == pair)
            return &m->cells[at];
    }
    return &m->cells[CELLS - 1];
}

void meter_add(struct meter *m, uint32_t model, uint32_t use_case, int64_t cost_nano,
               int64_t tokens)
{
    struct cell *c = cell_of(m, (uint64_t)model << 32 | use_case);
    atomic_fetch_add_explicit(&c->cost_nano, cost_nano, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->tokens, tokens, memory_order_relaxed);
}

void meter_unpriced(struct meter *m)
{
    atomic_fetch_add_explicit(&m->unpriced, 1, memory_order_relaxed);
}

static struct slice use_case_name(struct ledger *l, uint32_t id)
{
    return l != NULL && id != 0 ? ledger_name_text(l, NAME_USE_CASE, id) : SLICE_NONE;
}

static void put(struct buf *out, struct meter *m, struct ledger *l, enum metric_sampled metric)
{
    metric_put_header(out, metric);
    for (unsigned i = 0; i < CELLS; i++) {
        struct cell *c = &m->cells[i];
        uint64_t pair = c->pair;
        double v = metric == MS_COST ? (double)c->cost_nano / 1e9 : (double)c->tokens;
        if (i == CELLS - 1 && v > 0)
            metric_put_model_sample(out, metric, 0, SLICE("other"), v);
        else if (pair != FREE)
            metric_put_model_sample(out, metric, (uint32_t)(pair >> 32),
                                    use_case_name(l, (uint32_t)pair), v);
    }
}

void meter_metrics(struct buf *out, struct meter *m, struct ledger *l)
{
    put(out, m, l, MS_COST);
    put(out, m, l, MS_USE_CASE_TOKENS);
    metric_put(out, MS_UNPRICED, (double)m->unpriced);
}
