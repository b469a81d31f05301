/* An hour of one hardware. */
#include "hours_book.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define FIRST_GROUPS 64 /* a power of two */

struct hours_book *hours_book_new(int64_t start_ns, int64_t end_ns)
{
    struct hours_book *b = mem_calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->start_ns = b->since_ns = start_ns;
    b->end_ns = end_ns;
    b->before = hours_rates_first;
    return b;
}

void hours_book_free(struct hours_book *b)
{
    if (b == NULL)
        return;
    mem_free(b->groups);
    mem_free(b->slots);
    mem_free(b);
}

void hours_book_measure(struct hours_book *b, int64_t run_ns, int64_t busy_ns, int64_t hour_nano)
{
    ASSERT(busy_ns >= 0 && busy_ns <= run_ns);
    if (hour_nano != b->hour_nano) {
        int64_t paid = hours_book_paid(b), idle = hours_book_idle(b);
        b->past_paid_nano = paid;
        b->past_idle_nano = idle;
        b->run_ns = b->busy_ns = 0;
        b->hour_nano = hour_nano;
    }
    b->run_ns += run_ns;
    b->busy_ns += busy_ns;
}

int64_t hours_book_paid(const struct hours_book *b)
{
    return b->past_paid_nano + hours_price(b->run_ns, b->hour_nano);
}

int64_t hours_book_idle(const struct hours_book *b)
{
    return b->past_idle_nano + hours_price(b->run_ns - b->busy_ns, b->hour_nano);
}

/* The place of these names, or the free one where they belong. */
static uint32_t *slot_of(const struct hours_book *b, const uint32_t name[NAME_KINDS_N])
{
    size_t bytes = sizeof b->nobody.name, mask = 2 * b->groups_size - 1;
    size_t at = hash64(slice_of((const char *)name, bytes)) & mask;
    while (b->slots[at] != 0 && memcmp(b->groups[b->slots[at] - 1].name, name, bytes) != 0)
        at = (at + 1) & mask;
    return &b->slots[at];
}

static bool grow(struct hours_book *b)
{
    size_t size = b->groups_size > 0 ? 2 * b->groups_size : FIRST_GROUPS;
    if (size > HOURS_GROUPS_MAX)
        return false;
    uint32_t *slots = mem_calloc(2 * size, sizeof *slots);
    struct hours_group *groups =
        slots != NULL ? mem_realloc(b->groups, size * sizeof *groups) : NULL;
    if (groups == NULL) {
        mem_free(slots);
        return false;
    }
    mem_free(b->slots);
    b->slots = slots;
    b->groups = groups;
    b->groups_size = size;
    for (size_t i = 0; i < b->groups_n; i++)
        *slot_of(b, groups[i].name) = (uint32_t)i + 1;
    return true;
}

/* The group of these names; nobody's where there is no room for another one. */
static struct hours_group *group_of(struct hours_book *b, const uint32_t name[NAME_KINDS_N])
{
    if (memcmp(name, b->nobody.name, sizeof b->nobody.name) == 0)
        return &b->nobody;
    uint32_t *slot = b->groups_n > 0 ? slot_of(b, name) : NULL;
    if (slot != NULL && *slot != 0)
        return &b->groups[*slot - 1];
    if (b->groups_n == b->groups_size && !grow(b))
        return &b->nobody;
    struct hours_group *g = &b->groups[b->groups_n++];
    *g = (struct hours_group){.rows = 0};
    memcpy(g->name, name, sizeof g->name);
    *slot_of(b, name) = (uint32_t)b->groups_n;
    return g;
}

/* Of an attempt that a crash ended only the prompt is known. */
static void tokens_of(const struct ledger_row *row, int64_t ret[HOURS_KINDS_N])
{
    bool crashed = row->reason == LEDGER_CRASHED;
    int64_t cached = crashed ? 0 : MIN_OF(row->cached, row->input);
    ret[HOURS_INPUT] = row->input - cached;
    ret[HOURS_CACHED] = cached;
    ret[HOURS_OUTPUT] = crashed ? 0 : row->output;
}

void hours_book_add(struct hours_book *b, const struct ledger_row *row)
{
    int64_t tokens[HOURS_KINDS_N];
    b->changed = true;
    if (row->reason == LEDGER_IDLE || row->reason == LEDGER_TRUE_UP)
        b->awaited = MAX_OF(b->awaited - 1, INT64_C(0));
    if (row->reason == LEDGER_IDLE) {
        b->idle_booked_nano += row->cost_nano;
        return;
    }
    group_of(b, row->name)->booked_nano += row->cost_nano;
    if (row->reason == LEDGER_TRUE_UP)
        return;
    tokens_of(row, tokens);
    hours_fit_add(&b->fit, tokens, row->work_ns);
}

static int64_t part_of(int64_t n, int64_t part, int64_t whole)
{
    return (int64_t)((__int128)n * part / whole);
}

void hours_book_work(struct hours_book *b, const struct ledger_row *row, int64_t from_ns,
                     int64_t to_ns)
{
    int64_t tokens[HOURS_KINDS_N], whole = row->duration_us * NS_PER_US, part = to_ns - from_ns;
    struct hours_group *g = group_of(b, row->name);
    if (whole == 0)
        whole = part = 1;
    tokens_of(row, tokens);
    for (unsigned k = 0; k < HOURS_KINDS_N; k++)
        g->tokens[k] += part_of(tokens[k], part, whole);
    g->work_ns += part_of(row->work_ns, part, whole);
    g->rows++;
    b->changed = true;
}

struct hours_rates hours_book_rates(const struct hours_book *b)
{
    return hours_fit_rates(&b->fit, &b->before);
}

/* Nobody's group is the last one. */
static const struct hours_group *group_at(const struct hours_book *b, size_t i)
{
    return i < b->groups_n ? &b->groups[i] : &b->nobody;
}

/* By the work of the tokens; where nobody had any, by measured time, then by requests. */
static void divide(const struct hours_book *b, double *weight, int64_t *part)
{
    int64_t nano = hours_book_paid(b) - hours_book_idle(b);
    size_t n = b->groups_n + 1;
    struct hours_rates rates = hours_book_rates(b);
    for (size_t i = 0; i < n; i++)
        weight[i] = hours_work(&rates, group_at(b, i)->tokens);
    if (hours_divide(nano, weight, n, part))
        return;
    for (size_t i = 0; i < n; i++)
        weight[i] = (double)group_at(b, i)->work_ns;
    if (hours_divide(nano, weight, n, part))
        return;
    for (size_t i = 0; i < n; i++)
        weight[i] = (double)group_at(b, i)->rows;
    if (hours_divide(nano, weight, n, part))
        return;
    memset(part, 0, n * sizeof *part);
    part[b->groups_n] = nano;
}

bool hours_book_divide(const struct hours_book *b, hours_correct_fn *fn, void *ctx)
{
    size_t n = b->groups_n + 1;
    double *weight = mem_calloc(n, sizeof *weight);
    int64_t *part = mem_calloc(n, sizeof *part);
    bool ok = weight != NULL && part != NULL;
    if (ok)
        divide(b, weight, part);
    for (size_t i = 0; i < n && ok; i++) {
        const struct hours_group *g = group_at(b, i);
        if (part[i] != g->booked_nano)
            ok = fn(ctx, g, part[i] - g->booked_nano);
    }
    mem_free(weight);
    mem_free(part);
    return ok;
}
