/* Decisions on limits: one look at all scopes of a request, all or none. */
#include "policy/limits.h"

#include "limits_inner.h"

#define POOL_KEEP   32 /* free nodes that a thread keeps */
#define TRIM_ATONCE 64 /* freed in one call: a quiet minute's hundreds are spread */

const struct limit_set limit_set_none = {{LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE,
                                          LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE,
                                          LIMIT_NONE}};
_Static_assert(LIMIT_KINDS_N == 9, "one figure for each kind in limit_set_none");

const char *scope_kind_name(enum scope_kind k)
{
    static const char *const names[SCOPE_KINDS_N] = {
        [SCOPE_ORGANISATION] = "organisation",
        [SCOPE_TEAM] = "team",
        [SCOPE_KEY] = "key",
        [SCOPE_USER] = "user",
        [SCOPE_USE_CASE] = "use_case",
        [SCOPE_MODEL] = "model",
    };
    return (unsigned)k < SCOPE_KINDS_N ? names[k] : "";
}

const char *limit_kind_name(enum limit_kind k)
{
    static const char *const names[LIMIT_KINDS_N] = {
        [LIMIT_REQUESTS] = "requests_per_minute",    [LIMIT_INPUT] = "input_tokens_per_minute",
        [LIMIT_OUTPUT] = "output_tokens_per_minute", [LIMIT_TOKENS] = "tokens_per_minute",
        [LIMIT_CONCURRENCY] = "concurrency",         [LIMIT_BUDGET_HOUR] = "budget_hour",
        [LIMIT_BUDGET_DAY] = "budget_day",           [LIMIT_BUDGET_WEEK] = "budget_week",
        [LIMIT_BUDGET_MONTH] = "budget_month",
    };
    return (unsigned)k < LIMIT_KINDS_N ? names[k] : "";
}

#ifdef WEIR_TORTURE
_Thread_local struct limit_trace limit_trace[LIMIT_SCOPES_MAX];
static _Atomic uint64_t trace_order;

static void trace(unsigned i, int64_t at_ns, const int64_t period_ns[LIMIT_BUDGETS_N])
{
    limit_trace[i].order = trace_order++;
    limit_trace[i].at_ns = at_ns;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        limit_trace[i].period_ns[b] = period_ns[b];
}
#else
#define trace(i, at_ns, period_ns) ((void)0)
#endif

/* A decision under way. */
struct decision {
    const struct limit_use *uses;
    unsigned n;
    unsigned order[LIMIT_SCOPES_MAX]; /* uses by the address of their scopes */
    struct limit_amounts want;
    int64_t by_kind[LIMIT_KINDS_N]; /* the same */
    int64_t now_ns, at_ns;
    int64_t period_ns[LIMIT_BUDGETS_N];
};

static int64_t clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : MIN_OF(v, most);
}

static struct limit_amounts clamped(const struct limit_amounts *a)
{
    return (struct limit_amounts){
        .requests = clamp(a->requests, LIMIT_AMOUNT_MAX),
        .input = clamp(a->input, LIMIT_AMOUNT_MAX),
        .output = clamp(a->output, LIMIT_AMOUNT_MAX),
        .cost_nano = clamp(a->cost_nano, LIMIT_AMOUNT_MAX),
        .concurrency = clamp(a->concurrency, 1),
    };
}

static void amounts_by_kind(const struct limit_amounts *a, int64_t ret[LIMIT_KINDS_N])
{
    ret[LIMIT_REQUESTS] = a->requests;
    ret[LIMIT_INPUT] = a->input;
    ret[LIMIT_OUTPUT] = a->output;
    ret[LIMIT_TOKENS] = a->input + a->output;
    ret[LIMIT_CONCURRENCY] = a->concurrency;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        ret[LIMIT_BUDGET_HOUR + b] = a->cost_nano;
}

static void used_by_kind(const struct limit_scope *s, int64_t ret[LIMIT_KINDS_N])
{
    ret[LIMIT_REQUESTS] = s->requests;
    ret[LIMIT_INPUT] = s->input + s->stale_input;
    ret[LIMIT_OUTPUT] = s->output + s->stale_output;
    ret[LIMIT_TOKENS] = ret[LIMIT_INPUT] + ret[LIMIT_OUTPUT];
    ret[LIMIT_CONCURRENCY] = s->concurrency;
    for (size_t b = 0; b < LIMIT_BUDGETS_N; b++)
        ret[LIMIT_BUDGET_HOUR + b] = s->settled_nano[b] + s->open_nano;
}

static void sort_by_address(struct decision *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        uintptr_t scope = (uintptr_t)d->uses[i].scope;
        unsigned at = i;
        CHECK_MAGIC(d->uses[i].scope, LIMIT_SCOPE_MAGIC);
        for (; at > 0 && (uintptr_t)d->uses[d->order[at - 1]].scope >= scope; at--) {
            ASSERT((uintptr_t)d->uses[d->order[at - 1]].scope != scope);
            d->order[at] = d->order[at - 1];
        }
        d->order[at] = i;
    }
}

/* Locks the scopes and brings them to one time and to the periods under way. The periods are read
 * under the locks: whoever had one of them before has read the same or earlier ones. */
static void lock_all(struct limit_registry *r, struct decision *d, struct limit_pool *pool)
{
    d->at_ns = d->now_ns;
    for (unsigned i = 0; i < d->n; i++) {
        struct limit_scope *s = d->uses[d->order[i]].scope;
        pthread_mutex_lock(&s->lock);
        d->at_ns = MAX_OF(d->at_ns, s->latest_ns);
    }
    limit_registry_periods(r, d->period_ns);
    for (unsigned i = 0; i < d->n; i++) {
        limit_scope_advance(d->uses[i].scope, pool, d->at_ns);
        limit_scope_renew(d->uses[i].scope, d->period_ns);
    }
}

static void unlock_all(struct decision *d)
{
    for (unsigned i = d->n; i > 0; i--)
        pthread_mutex_unlock(&d->uses[d->order[i - 1]].scope->lock);
}

/* What leaves the window with this node, however long its open entries stay open. */
static int64_t leaves_with(const struct limit_node *n, enum limit_kind kind)
{
    switch (kind) {
    case LIMIT_REQUESTS: return n->requests;
    case LIMIT_INPUT: return n->input - n->input_open;
    case LIMIT_OUTPUT: return n->output - n->output_open;
    case LIMIT_TOKENS: return n->input - n->input_open + n->output - n->output_open;
    default: return 0;
    }
}

/* Time from `at_ns` until `need` will have left the window. 0: not by time alone. */
static int64_t leaves_in(const struct limit_scope *s, enum limit_kind kind, int64_t need,
                         int64_t at_ns)
{
    if (kind >= LIMIT_CONCURRENCY)
        return 0;
    for (const struct limit_node *n = s->oldest; n != NULL; n = n->next) {
        need -= leaves_with(n, kind);
        if (need <= 0)
            return limit_slot_leaves_in(n->slot, at_ns);
    }
    return 0;
}

/* Of several reasons the one that stands longest is told: what can never be, budgets, the longest
 * wait, a wait of unknown length. */
static int weight(const struct limit_refusal *f)
{
    if (f->never)
        return 3;
    if (f->kind >= LIMIT_BUDGET_HOUR)
        return 2;
    return f->retry_ns > 0;
}

static void refuse(const struct decision *d, unsigned use, enum limit_kind kind, int64_t used,
                   bool first, struct limit_refusal *ret)
{
    struct limit_refusal f = {
        .use = use,
        .kind = kind,
        .most = d->uses[use].set->most[kind],
        .used = used,
        .asked = d->by_kind[kind],
    };
    f.never = f.asked > f.most;
    if (!f.never)
        f.retry_ns = leaves_in(d->uses[use].scope, kind, used + f.asked - f.most, d->at_ns);
    if (f.retry_ns > 0)
        f.retry_ns += d->at_ns - d->now_ns;
    if (first || weight(&f) > weight(ret) ||
        (weight(&f) == weight(ret) && f.retry_ns > ret->retry_ns))
        *ret = f;
}

/* True: all scopes have room. */
static bool check_all(const struct decision *d, struct limit_refusal *ret)
{
    bool ok = true;
    for (unsigned i = 0; i < d->n; i++) {
        const int64_t *most = d->uses[i].set->most;
        int64_t used[LIMIT_KINDS_N];
        used_by_kind(d->uses[i].scope, used);
        for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
            if (likely(d->by_kind[k] == 0 || used[k] + d->by_kind[k] <= most[k]))
                continue;
            refuse(d, i, (enum limit_kind)k, used[k], ok, ret);
            ok = false;
        }
    }
    return ok;
}

/* Sums without limits must not wrap either: what is above their ceiling is not counted. */
static void fit(struct limit_amounts *a, const struct limit_scope *s)
{
    a->requests = MIN_OF(a->requests, LIMIT_SUM_MAX - s->requests);
    a->input = MIN_OF(a->input, LIMIT_SUM_MAX - s->input - s->stale_input);
    a->output = MIN_OF(a->output, LIMIT_SUM_MAX - s->output - s->stale_output);
    a->cost_nano = MIN_OF(a->cost_nano, LIMIT_SUM_MAX - s->open_nano);
}

static struct limit_node *enter(struct limit_scope *s, struct limit_pool *pool,
                                const struct limit_amounts *a, int64_t at_ns)
{
    struct limit_node *n = limit_scope_node(s, pool, at_ns);
    n->refs++;
    n->requests += a->requests;
    n->input += a->input;
    n->input_open += a->input;
    n->output += a->output;
    n->output_open += a->output;
    s->requests += a->requests;
    s->input += a->input;
    s->output += a->output;
    s->open_n++;
    s->concurrency += a->concurrency;
    s->open_nano += a->cost_nano;
    return n;
}

static void commit(struct decision *d, struct limit_pool *pool, struct limit_hold *ret)
{
    for (unsigned i = 0; i < d->n; i++)
        fit(&d->want, d->uses[i].scope);
    ret->n = d->n;
    ret->reserved = d->want;
    ret->at_ns = d->at_ns;
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++)
        ret->period_wall_ns[b] = d->period_ns[b];
    for (unsigned i = 0; i < d->n; i++) {
        struct limit_scope *s = d->uses[i].scope;
        ret->in[i].scope = s;
        ret->in[i].node = enter(s, pool, &d->want, d->at_ns);
    }
}

/* A budget that is asked about makes its spend worth keeping. */
static void note_budgets(const struct decision *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++) {
            if (d->uses[i].set->most[LIMIT_BUDGET_HOUR + b] != LIMIT_NONE)
                d->uses[i].scope->budgeted |= 1u << b;
        }
    }
}

static void stand(const struct limit_scope *s, const struct limit_set *set,
                  struct limit_standing ret[LIMIT_KINDS_N])
{
    int64_t used[LIMIT_KINDS_N], empty_ns = 0;
    used_by_kind(s, used);
    if (s->newest != NULL)
        empty_ns = limit_slot_leaves_in(s->newest->slot, s->latest_ns);
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        int64_t most = set->most[k];
        if (most == LIMIT_NONE)
            continue;
        int64_t left = clamp(most - used[k], most);
        if (ret[k].most != LIMIT_NONE && ret[k].left <= left)
            continue;
        ret[k].most = most;
        ret[k].left = left;
        ret[k].reset_ns = k < LIMIT_CONCURRENCY && used[k] > 0 ? empty_ns : 0;
    }
}

enum limit_result limit_admit(struct limit_registry *r, struct limit_pool *pool,
                              const struct limit_use *uses, unsigned n,
                              const struct limit_amounts *want, int64_t now_ns,
                              struct limit_hold *ret, struct limit_standing *standing,
                              struct limit_refusal *ret_refusal)
{
    UNINITIALIZED struct decision d;
    ASSERT(n <= LIMIT_SCOPES_MAX);
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    if (!limit_pool_fill(pool, n))
        return LIMIT_NO_MEMORY;
    d.uses = uses;
    d.n = n;
    d.now_ns = now_ns;
    d.want = clamped(want);
    amounts_by_kind(&d.want, d.by_kind);
    sort_by_address(&d);

    lock_all(r, &d, pool);
    note_budgets(&d);
    bool ok = check_all(&d, ret_refusal);
    if (ok)
        commit(&d, pool, ret);
    for (unsigned i = 0; i < n && standing != NULL; i++)
        stand(uses[i].scope, uses[i].set, standing);
    trace(0, d.at_ns, d.period_ns);
    unlock_all(&d);

    limit_pool_trim(pool, POOL_KEEP, TRIM_ATONCE);
    return ok ? LIMIT_ADMITTED : LIMIT_REFUSED;
}

/* An entry's part of a window becomes what it was in the end. */
static void settle_window(struct limit_scope *s, struct limit_node *n,
                          const struct limit_amounts *was, const struct limit_amounts *is)
{
    n->requests += is->requests - was->requests;
    n->input += is->input - was->input;
    n->input_open -= was->input;
    n->output += is->output - was->output;
    n->output_open -= was->output;
    s->requests += is->requests - was->requests;
    s->input += is->input - was->input;
    s->output += is->output - was->output;
}

static void settle_spend(struct limit_scope *s, const struct limit_hold *h, int64_t nano)
{
    s->open_nano -= h->reserved.cost_nano;
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (h->period_wall_ns[b] == s->period_ns[b])
            s->settled_nano[b] = MIN_OF(s->settled_nano[b] + nano, LIMIT_SUM_MAX);
    }
}

static void settle_in(struct limit_scope *s, struct limit_node *n, struct limit_pool *pool,
                      const struct limit_hold *h, const struct limit_amounts *actual)
{
    const struct limit_amounts *was = &h->reserved;
    ASSERT(n->refs > 0);
    n->refs--;
    s->open_n--;
    s->concurrency -= was->concurrency;
    settle_spend(s, h, actual->cost_nano);
    if (n->left) {
        s->stale_input -= was->input;
        s->stale_output -= was->output;
        if (n->refs == 0)
            limit_pool_put(pool, n);
        return;
    }
    struct limit_amounts is = *actual;
    is.requests = MIN_OF(is.requests, LIMIT_SUM_MAX - s->requests + was->requests);
    is.input = MIN_OF(is.input, LIMIT_SUM_MAX - s->input - s->stale_input + was->input);
    is.output = MIN_OF(is.output, LIMIT_SUM_MAX - s->output - s->stale_output + was->output);
    settle_window(s, n, was, &is);
}

struct limit_amounts limit_settle(struct limit_registry *r, struct limit_pool *pool,
                                  struct limit_hold *h, const struct limit_amounts *actual,
                                  int64_t now_ns)
{
    struct limit_amounts is = clamped(actual), over = {0};
    int64_t period_ns[LIMIT_BUDGETS_N];
    CHECK_MAGIC(r, LIMIT_REGISTRY_MAGIC);
    if (h->n == 0)
        return over;
    for (unsigned i = 0; i < h->n; i++) {
        struct limit_scope *s = h->in[i].scope;
        CHECK_MAGIC(s, LIMIT_SCOPE_MAGIC);
        pthread_mutex_lock(&s->lock);
        limit_registry_periods(r, period_ns);
        limit_scope_advance(s, pool, now_ns);
        limit_scope_renew(s, period_ns);
        settle_in(s, h->in[i].node, pool, h, &is);
        trace(i, s->latest_ns, period_ns);
        pthread_mutex_unlock(&s->lock);
    }
    over.requests = clamp(is.requests - h->reserved.requests, LIMIT_AMOUNT_MAX);
    over.input = clamp(is.input - h->reserved.input, LIMIT_AMOUNT_MAX);
    over.output = clamp(is.output - h->reserved.output, LIMIT_AMOUNT_MAX);
    over.cost_nano = clamp(is.cost_nano - h->reserved.cost_nano, LIMIT_AMOUNT_MAX);
    *h = (struct limit_hold){0};
    limit_pool_trim(pool, POOL_KEEP, TRIM_ATONCE);
    return over;
}

void limit_used(struct limit_registry *r, struct limit_scope *s, int64_t now_ns,
                int64_t ret[LIMIT_KINDS_N])
{
    struct limit_pool freed = {0};
    int64_t period_ns[LIMIT_BUDGETS_N];
    CHECK_MAGIC(s, LIMIT_SCOPE_MAGIC);
    pthread_mutex_lock(&s->lock);
    limit_registry_periods(r, period_ns);
    limit_scope_advance(s, &freed, now_ns);
    limit_scope_renew(s, period_ns);
    used_by_kind(s, ret);
    pthread_mutex_unlock(&s->lock);
    limit_pool_trim(&freed, 0, SIZE_MAX);
}
