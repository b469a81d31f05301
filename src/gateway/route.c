/* From the alias to the order of its targets, and back from attempts to their health. */
#include "route.h"

#include "base/clock.h"
#include "base/hash.h"
#include "policy/complexity.h"
#include "prompt.h"
#include "translate.h"
#include "worker.h"

#define RETRY_AFTER_MOST  (2 * NS_PER_S) /* who asks for more is not waited for */
#define FEW               8              /* so many targets are ordered at once */
#define FIRST_TOKEN_TIMES 2
#define FIRST_TOKEN_LEAST NS_PER_S

/* ---- candidates */

static enum route_strategy strategy_of(const struct route_query *q)
{
    return q->asked < ROUTE_STRATEGIES_N ? q->asked
           : q->model != NULL            ? q->model->strategy
                                         : ROUTE_ORDERED;
}

/* What the price table says may be wrong, and so may the estimate: it takes a quarter more. */
static bool is_too_long(const struct route_query *q, const struct gw_target *t)
{
    if (t->context == 0 || q->prompt_bytes < 0 || (!t->context_declared && !q->by_table))
        return false;
    int64_t prompt =
        t->estimate != NULL ? estimate_input(t->estimate, q->prompt_bytes) : q->prompt_bytes / 4;
    if (!t->context_declared)
        return prompt > t->context + t->context / 4;
    return prompt + MAX_OF(q->prompt.request->max_tokens, INT64_C(0)) > t->context;
}

/* Who speaks the provider's own wire has his request passed on as it is, whatever is in it. */
static unsigned lacking(const struct route_query *q, const struct gw_target *t)
{
    const struct gw_provider *p = t->provider;
    unsigned needs = q->prompt.request->needs;
    unsigned lacks = needs & (q->by_table ? t->lacks | t->lacks_by_table : t->lacks);
    const struct llm_wire *wire = translate_wire(q->dialect, p->row);
    return wire == q->dialect->wire ? lacks : lacks | llm_wire_lacks(wire, needs, p->lack);
}

/* Embeddings and the counting of tokens are not translated. */
static bool has_operation(const struct route_query *q, const struct gw_target *t)
{
    enum llm_op op = q->prompt.request->op;
    return op == LLM_CHAT || op == LLM_COMPLETIONS ||
           translate_wire(q->dialect, t->provider->row) == q->dialect->wire;
}

static bool is_plain(const struct llm_request *r)
{
    return r->needs == 0 && (r->op == LLM_CHAT || r->op == LLM_COMPLETIONS);
}

static inline enum route_reason judge(const struct route_query *q, const struct gw_target *t)
{
    if (!q->anywhere && !identity_may_go(q->key, q->use_case, t->provider))
        return ROUTE_IS_FORBIDDEN;
    if (is_too_long(q, t))
        return ROUTE_IS_CONTEXT;
    if (q->plain)
        return ROUTE_IS_OK;
    if (!has_operation(q, t))
        return ROUTE_IS_NO_OPERATION;
    return lacking(q, t) != 0 ? ROUTE_IS_LACKS : ROUTE_IS_OK;
}

static bool takes_requests(enum health_state s)
{
    return s == HEALTH_WELL || s == HEALTH_WARMING || s == HEALTH_HALF_OPEN;
}

static enum route_reason look_at_gate(struct gate *g, struct route_candidate *c)
{
    c->waiting = gate_waiting(g);
    if (c->waiting > 0)
        c->service_ns = permits_wait_ns(&g->permits) * c->capacity / c->waiting;
    bool full = c->waiting > 0 || (c->capacity > 0 && gate_inflight(g) >= c->capacity);
    return full || gate_state(g) == GATE_FAILED ? ROUTE_IS_FULL : ROUTE_IS_OK;
}

static bool is_own(const struct gw_provider *p)
{
    return p->engine || p->self_hosted;
}

static void fill(const struct route_query *q, const struct gw_target *t, struct route_candidate *c)
{
    const struct gw_provider *p = t->provider;
    c->out = judge(q, t);
    c->id = t->id;
    c->fallback = t->fallback;
    c->self_hosted = is_own(p);
    c->weight = t->weight;
    c->quality = t->quality;
    c->cost_nano = -1;
    c->capacity = p->gated ? gate_capacity(p->gate) : 0;
    c->waiting = c->service_ns = 0;
    c->region = t->region;
    c->max_complexity = t->max_complexity;
    c->cached = 0;
    c->cold_turn = 0;
    if (c->out != ROUTE_IS_OK || t->live == NULL)
        c->view = (struct target_view){.share = 1};
    else if (q->timed || !target_live_is_well(t->live, q->now_ns, &c->view))
        target_live_look(t->live, q->now_ns, &c->view);
    if (c->out == ROUTE_IS_OK && !takes_requests(c->view.state))
        c->out = ROUTE_IS_UNHEALTHY;
    else if (c->out == ROUTE_IS_OK && p->gated)
        c->out = look_at_gate(p->gate, c);
}

/* ---- what strategies ask for */

static void put_costs(const struct route_query *q, const struct route *r, struct route_candidate *c)
{
    for (unsigned i = 0; i < r->n; i++) {
        const struct gw_target *t = &r->list[i];
        struct llm_usage u = LLM_USAGE_NONE;
        if (t->price == NULL || q->prompt_bytes < 0)
            continue;
        int64_t bound = q->prompt.request->max_tokens;
        u.input = estimate_input(t->estimate, q->prompt_bytes);
        u.output = bound >= 0 ? bound : estimate_output(t->estimate);
        c[i].cost_nano = price_cost(t->price, &u, q->wall_s);
    }
}

/* What was in the cache of a target that was started anew since is there no more. */
static uint16_t epoch_of(const struct gw_target *t)
{
    const struct gate *gate = t->provider->gate;
    return (uint16_t)((gate != NULL ? gate_epoch(gate) : 0) + t->id);
}

#define TRUST_UNIT 1048576.0

static double trust_in(const struct model_live *live, unsigned i)
{
    return 1 - atomic_load_explicit(&live->distrust[i], memory_order_relaxed) / TRUST_UNIT;
}

/* What the target said of its cache against what was expected of it. */
static void learn_trust(const struct exchange *x, const struct attempt *a)
{
    const struct route *r = &x->route;
    unsigned i = a->target_index;
    if (r->cached == NULL || i >= PREFIX_TARGETS || a->usage.cached < 0 || a->usage.input <= 0)
        return;
    double trust =
        prefix_trust(trust_in(x->model->live, i), r->cached[i], a->usage.cached, a->usage.input);
    atomic_store_explicit(&x->model->live->distrust[i], (uint32_t)((1 - trust) * TRUST_UNIT),
                          memory_order_relaxed);
}

static bool put_cached(const struct route_query *q, struct route *r, struct route_candidate *c,
                       struct route_ask *ask)
{
    const struct gw_model *m = q->model;
    uint16_t epoch[ROUTE_CANDIDATES_MAX];
    if (m->live == NULL || m->live->prefix == NULL)
        return true;
    r->chain = arena_alloc(q->prompt.arena, sizeof *r->chain); /* prompt_chain sets it up */
    r->cached = arena_alloc(q->prompt.arena, r->n * sizeof *r->cached);
    if (r->chain == NULL || r->cached == NULL)
        return false;
    prompt_chain(&q->prompt, r->chain);
    for (unsigned i = 0; i < r->n; i++)
        epoch[i] = epoch_of(&r->list[i]);
    prefix_match(m->live->prefix, r->chain, epoch, r->n, r->cached);
    ask->prompt_bytes = r->chain->bytes;
    for (unsigned i = 0; i < r->n; i++) {
        c[i].cached = r->cached[i] * trust_in(m->live, i);
        c[i].cold_turn = atomic_load_explicit(&m->live->cold_turn[i], memory_order_relaxed);
    }
    return true;
}

static bool ask_for(const struct route_query *q, struct route *r, struct route_candidate *c,
                    struct route_ask *ask)
{
    *ask = (struct route_ask){.strategy = strategy_of(q),
                              .random = q->random,
                              .turn = q->turn,
                              .max_ejected = q->snapshot->max_ejected};
    switch (ask->strategy) {
    case ROUTE_COST: put_costs(q, r, c); break;
    case ROUTE_COMPLEXITY: ask->complexity = prompt_complexity(&q->prompt); break;
    case ROUTE_STICKY: ask->session = q->session.n > 0 ? hash64(q->session) : q->user_hash; break;
    case ROUTE_PREFIX: return put_cached(q, r, c, ask);
    default: break;
    }
    return true;
}

/* The error of a request that no candidate may serve. */
static enum gw_error none_fits(const struct route *r)
{
    bool forbidden = true, unfit = true;
    for (unsigned i = 0; i < r->n; i++) {
        enum route_reason why = r->verdict[i].reason;
        forbidden &= why == ROUTE_IS_FORBIDDEN;
        unfit &= why == ROUTE_IS_FORBIDDEN || why == ROUTE_IS_CONTEXT || why == ROUTE_IS_LACKS ||
                 why == ROUTE_IS_NO_OPERATION;
    }
    return forbidden ? GW_TARGET_FORBIDDEN : unfit ? GW_UNSUPPORTED : GW_NO_TARGET;
}

const struct gw_target *route_incapable(const struct route *r)
{
    const struct gw_target *found = NULL;
    for (unsigned i = r->n; i-- > 0;) {
        enum route_reason why = r->verdict[i].reason;
        bool lacks = why == ROUTE_IS_LACKS;
        if (lacks || (why == ROUTE_IS_NO_OPERATION && found == NULL))
            found = &r->list[i];
    }
    return found;
}

/* Of those that may not serve it the health was not looked at. Member by member: gcc 12 puts a
 * structure together on the stack, where the load of the whole waits for the stores of its parts.
 */
static void put_verdict(const struct route_query *q, const struct gw_target *t,
                        struct route_verdict *v, enum route_reason reason, enum health_state state,
                        double score)
{
    bool looked = reason == ROUTE_IS_OK || reason == ROUTE_IS_UNHEALTHY || reason == ROUTE_IS_FULL;
    v->reason = reason;
    v->state = looked ? state : HEALTH_STATES_N;
    v->skipped = GW_OK;
    v->lacks = reason == ROUTE_IS_LACKS ? (unsigned char)lacking(q, t) : 0;
    v->score = score;
}

/* Where a part of the order is known, the rest of it. */
static void mark_tried(const struct route *r, struct route_candidate *c)
{
    for (unsigned i = 0; i < r->order_n; i++)
        c[r->order[i]].out = ROUTE_IS_TRIED;
}

static enum gw_error append(const struct route_query *q, struct route *r,
                            const struct route_plan *p)
{
    unsigned char *order = arena_alloc(q->prompt.arena, r->order_n + p->n);
    if (order == NULL)
        return GW_NO_MEMORY;
    if (r->order_n > 0)
        memcpy(order, r->order, r->order_n);
    memcpy(order + r->order_n, p->order, p->n);
    r->order = order;
    r->order_n += p->n;
    r->part = q->first_only;
    return GW_OK;
}

static enum gw_error plan(const struct route_query *q, struct route *r)
{
    UNINITIALIZED struct route_candidate c[ROUTE_CANDIDATES_MAX];
    struct route_plan p;
    struct route_ask ask;
    for (unsigned i = 0; i < r->n; i++)
        fill(q, &r->list[i], &c[i]);
    mark_tried(r, c);
    if (r->verdict == NULL)
        r->verdict = arena_alloc(q->prompt.arena, r->n * sizeof *r->verdict);
    if (r->verdict == NULL || !ask_for(q, r, c, &ask))
        return GW_NO_MEMORY;
    ask.first_only = q->first_only;
    route_plan(&ask, c, r->n, &p);
    r->panic = p.panic;
    r->cold = p.cold;
    r->strategy = ask.strategy;
    r->complexity = ask.complexity;
    for (unsigned i = 0; i < r->n; i++) {
        if (c[i].out != ROUTE_IS_TRIED)
            put_verdict(q, &r->list[i], &r->verdict[i], c[i].out, c[i].view.state, c[i].score);
    }
    if (p.n + r->order_n == 0)
        return none_fits(r);
    return append(q, r, &p);
}

/* Where there is no choice, what the only one's health is does not matter. */
static enum gw_error judge_only(const struct route_query *q, struct route *r)
{
    struct target_view v = {.state = HEALTH_WELL};
    if (r->list->live != NULL)
        target_live_look(r->list->live, q->now_ns, &v);
    put_verdict(q, r->list, &r->only, judge(q, r->list), v.state, 0);
    r->verdict = &r->only;
    if (r->only.reason != ROUTE_IS_OK || v.state == HEALTH_DRAINED)
        return none_fits(r);
    r->order_n = 1;
    return GW_OK;
}

enum gw_error route_judge(struct route_query *q, struct route *r)
{
    enum route_strategy s = strategy_of(q);
    q->anywhere = identity_goes_anywhere(q->key, q->use_case);
    q->timed = s == ROUTE_LATENCY || s == ROUTE_REGION;
    q->by_table = r->n > 1 && !r->doubted;
    q->plain = is_plain(q->prompt.request);
    if (r->n == 0)
        return GW_OK;
    enum gw_error e = r->n > 1 ? plan(q, r) : judge_only(q, r);
    if (!q->by_table || (e != GW_UNSUPPORTED && e != GW_NO_TARGET))
        return e;
    r->doubted = true; /* also for the rest of the order */
    q->by_table = false;
    return plan(q, r);
}

static enum gw_error judge_exchange(struct exchange *x)
{
    const struct gw_model *m = x->model;
    struct worker *w = x->worker;
    struct route *r = &x->route;
    const struct admission *ad = x->admission;
    bool first = r->order_n == 0;
    struct route_query q = {
        .snapshot = x->snapshot,
        .key = x->key,
        .use_case = ad != NULL ? ad->use_case : NULL,
        .model = m,
        .dialect = x->dialect,
        .asked = x->asked_strategy,
        .prompt_bytes = ad != NULL ? ad->prompt_bytes : -1,
        .session = x->asked_session,
        .user_hash = ad != NULL ? ad->user_hash : 0,
        .prompt = {.request = &x->request, .parser = w->json, .arena = &x->arena},
        .random = r->random,
        .turn = r->turn,
        .first_only = first && r->n > FEW && m->hedge_after_ns == 0,
        .now_ns = net_now(&w->loop),
        .wall_s = exchange_wall_ns(x) / NS_PER_S};
    enum gw_error e = route_judge(&q, r);
    if (first && r->cold && e == GW_OK)
        atomic_store_explicit(&m->live->cold_turn[r->order[0]], q.turn + 1, memory_order_relaxed);
    return e;
}

static const struct gw_target *at(const struct route *r, unsigned i)
{
    return &r->list[r->order != NULL ? r->order[i] : i];
}

static uint64_t bit_of(const struct route *r, const struct gw_target *t)
{
    return (uint64_t)1 << (t - r->list);
}

static void skip_waited(struct route *r)
{
    while (r->next < r->order_n && (r->waited & bit_of(r, at(r, r->next))) != 0)
        r->next++;
}

/* Of many targets the order is made when the first one has failed. */
static bool has_next(struct exchange *x)
{
    struct route *r = &x->route;
    skip_waited(r);
    if (r->next == r->order_n && r->part) {
        r->part = false;
        (void)judge_exchange(x); /* without memory there is none */
        skip_waited(r);
    }
    return r->next < r->order_n;
}

/* NULL: of an alias that found no memory for one. */
static struct retry_budget *budget_of(struct exchange *x)
{
    if (x->model == NULL)
        return &x->worker->gateway->retries;
    return x->model->live != NULL ? &x->model->live->retries : NULL;
}

/* Nobody is left: what the client is told. */
static enum gw_error say_unfit(struct exchange *x)
{
    const struct route *r = &x->route;
    const struct gw_target *t = route_incapable(r);
    if (t != NULL)
        return translate_refusal(x, t, r->verdict[t - r->list].lacks);
    x->message = SLICE(ROUTE_TOO_LONG);
    x->code = ROUTE_TOO_LONG_CODE;
    return GW_UNSUPPORTED;
}

enum gw_error route_begin(struct exchange *x)
{
    const struct gw_model *m = x->model;
    x->route = (struct route){.list = m != NULL ? m->targets : &x->direct,
                              .n = m != NULL ? (unsigned)m->targets_n : 1};
    if (budget_of(x) != NULL)
        retry_budget_fill(budget_of(x), net_now(&x->worker->loop));
    if (x->route.n > 1)
        x->route.random = worker_random(x->worker);
    if (x->route.n > 1 && m->live != NULL)
        x->route.turn = atomic_fetch_add_explicit(&m->live->turn, 1, memory_order_relaxed);
    enum gw_error e = judge_exchange(x);
    return e == GW_UNSUPPORTED ? say_unfit(x) : e;
}

/* ---- the next one */

static unsigned place_of(const struct route *r, unsigned index)
{
    unsigned i = 0;
    while (i < r->order_n && at(r, i) != &r->list[index])
        i++;
    return i;
}

/* Does that come of reserving for an attempt or of writing its request, rather than of one? */
static bool is_before_attempt(enum gw_error e)
{
    return e == GW_UNPRICED || e == GW_BUDGET || e == GW_RATE_LIMITED || e == GW_LIMIT_TOO_SMALL ||
           e == GW_UNSUPPORTED || e == GW_NO_OPERATION || e == GW_NO_MEMORY;
}

void route_note_skipped(struct exchange *x)
{
    struct route *r = &x->route;
    route_done(x);
    bool skipped = r->taken != NULL && x->attempts_n == r->attempts_then;
    if (skipped && is_before_attempt(x->error))
        r->verdict[r->taken - r->list].skipped = x->error;
    r->taken = NULL;
}

const struct gw_target *route_behind(struct exchange *x, unsigned i)
{
    const struct route *r = &x->route;
    if (r->next == r->order_n)
        (void)has_next(x); /* the rest of the order */
    return r->next + i < r->order_n ? at(r, r->next + i) : NULL;
}

bool route_waits_for(const struct attempt *a, const struct gw_target *t)
{
    const struct exchange *x = a->exchange;
    struct target_view v;
    bool prefers_own = x->route.strategy == ROUTE_BALANCED && is_own(a->target.provider);
    if (prefers_own && !is_own(t->provider))
        return false;
    if (t->live == NULL)
        return true;
    target_live_look(t->live, net_now(&x->worker->loop), &v);
    return v.state == HEALTH_WELL || v.state == HEALTH_WARMING;
}

void route_note_waits(struct exchange *x, const struct gw_target *t)
{
    x->route.waited |= bit_of(&x->route, t);
}

static void release(const struct gw_target *t, uint64_t entry, int64_t now_ns)
{
    struct target_report nothing = {.entry = entry, .outcome = TARGET_NO_NEWS};
    if (entry != 0)
        target_live_report(t->live, &nothing, now_ns);
}

void route_move(struct attempt *a, const struct gw_target *t)
{
    struct route *r = &a->exchange->route;
    int64_t now = net_now(&a->exchange->worker->loop);
    unsigned index = (unsigned)(t - r->list), to = r->next - 1, from = place_of(r, index);
    release(&a->target, a->entry, now);
    a->entry = t->live != NULL ? target_live_enter(t->live, now) : 0;
    memmove(r->order + to + 1, r->order + to, from - to);
    r->order[to] = (unsigned char)index;
    r->taken = t;
    a->target = *t;
    a->target_index = index;
    a->moved = true;
}

void route_done(struct exchange *x)
{
    release(x->route.taken, x->route.entry, net_now(&x->worker->loop));
    x->route.entry = 0;
}

/* Is it that one's turn? A half-open target takes one request at a time, and who comes round again
 * does not go to those that rest; but a bad one is better than none. */
static bool enter(struct exchange *x, const struct gw_target *t)
{
    struct route *r = &x->route;
    struct target_view v;
    if (t->live == NULL)
        return true;
    r->entry = target_live_enter(t->live, net_now(&x->worker->loop));
    if (r->entry != 0)
        return true;
    target_live_look(t->live, net_now(&x->worker->loop), &v);
    return v.state != HEALTH_DRAINED && r->again == 0 &&
           (v.state != HEALTH_HALF_OPEN || (!has_next(x) && x->attempts_n == 0));
}

const struct gw_target *route_next(struct exchange *x)
{
    struct route *r = &x->route;
    route_note_skipped(x);
    while (x->attempts_n < MIN_OF(x->snapshot->retry.attempts, (unsigned)ATTEMPTS_MAX) &&
           has_next(x)) {
        r->taken = at(r, r->next++);
        r->attempts_then = x->attempts_n;
        if (enter(x, r->taken))
            return r->taken;
    }
    r->taken = NULL;
    return NULL;
}

int64_t route_first_token_limit(const struct attempt *a)
{
    const struct exchange *x = a->exchange;
    int64_t most = a->target.provider->timeouts.ns[TIMEOUT_FIRST_TOKEN];
    if (x->model == NULL || !x->model->first_token_adaptive || a->target.live == NULL)
        return 0;
    int64_t p99 = target_live_first_quantile(a->target.live, 0.99);
    int64_t ns = MAX_OF(FIRST_TOKEN_TIMES * p99, FIRST_TOKEN_LEAST);
    return p99 == 0 ? 0 : most > 0 ? MIN_OF(ns, most) : ns;
}

/* Has the provider another key, where this one was refused or limited? */
static bool has_another_key(const struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    int64_t now = net_now(&a->exchange->worker->loop);
    struct target_view v;
    if (a->error != GW_UPSTREAM_RATE_LIMITED && a->error != GW_UPSTREAM_AUTH &&
        a->error != GW_UPSTREAM_BILLING)
        return false;
    for (size_t i = 0; i < p->keys_n; i++) {
        if (p->keys[i].live == NULL)
            continue;
        target_live_look(p->keys[i].live, now, &v);
        if (takes_requests(v.state))
            return true;
    }
    return false;
}

/* Is it worth asking the one that just failed once more? */
static bool may_recover(const struct attempt *a)
{
    switch (a->error) {
    case GW_UPSTREAM_CONNECT:
    case GW_UPSTREAM_RESET:
    case GW_UPSTREAM_CUT:
    case GW_UPSTREAM_RATE_LIMITED: return true;
    case GW_UPSTREAM_ERROR: return a->status >= 500;
    default: return false;
    }
}

static bool take_budget(struct exchange *x)
{
    const struct gw_retry *y = &x->snapshot->retry;
    struct retry_budget *b = budget_of(x);
    bool may =
        b == NULL || retry_budget_take(b, net_now(&x->worker->loop), y->percent, y->per_second);
    if (!may)
        metric_count(x->worker->metrics, MP_RETRIES_REFUSED, 1);
    return may;
}

/* Another target is free to try while it is known to be well: so one bad target costs no budget,
 * and all of them bad cannot ask for more than the budget. */
static bool is_well(const struct gw_target *t, int64_t now_ns)
{
    struct target_view v;
    if (t->live == NULL)
        return true;
    target_live_look(t->live, now_ns, &v);
    return takes_requests(v.state) && v.failures_in_a_row == 0;
}

/* Will any of them take requests at that time, as far as is known? */
static bool somebody_takes(const struct route *r, int64_t at_ns)
{
    struct target_view v;
    for (unsigned i = 0; i < r->order_n; i++) {
        const struct gw_target *t = at(r, i);
        if (t->live == NULL)
            return true;
        target_live_look(t->live, at_ns, &v);
        if (takes_requests(v.state))
            return true;
    }
    return false;
}

/* Once more from the start of the order, after a pause. */
static bool begin_again(struct exchange *x, const struct attempt *a)
{
    struct route *r = &x->route;
    const struct gw_retry *y = &x->snapshot->retry;
    int64_t ns = a->retry_after_ns;
    if (r->again >= y->same_target || !may_recover(a) || ns > RETRY_AFTER_MOST)
        return false;
    if (ns < 0)
        ns = retry_backoff_ns(r->again + 1, y->backoff_ns, y->max_backoff_ns,
                              worker_random(x->worker));
    int64_t then = net_now(&x->worker->loop) + ns;
    if (!somebody_takes(r, then) || !take_budget(x))
        return false;
    r->again++;
    r->next = 0;
    r->waited = 0;
    r->resume_ns = then;
    return true;
}

bool route_goes_on(struct exchange *x, const struct attempt *a)
{
    struct route *r = &x->route;
    int64_t now = net_now(&x->worker->loop);
    if (x->attempts_n >= MIN_OF(x->snapshot->retry.attempts, (unsigned)ATTEMPTS_MAX))
        return false;
    if (r->keys_tried + 1 < a->target.provider->keys_n && has_another_key(a)) {
        r->keys_tried++;
        r->next = place_of(r, a->target_index);
        return true;
    }
    if (!has_next(x))
        return begin_again(x, a);
    if (!is_well(at(r, r->next), now))
        return take_budget(x);
    if (budget_of(x) != NULL)
        retry_budget_note(budget_of(x), now);
    return true;
}

/* ---- health */

static enum target_outcome outcome_of(enum gw_error e)
{
    switch (e) {
    case GW_OK: return TARGET_GOOD;
    case GW_UPSTREAM_DNS:
    case GW_UPSTREAM_CONNECT:
    case GW_UPSTREAM_PROXY:
    case GW_UPSTREAM_TLS:
    case GW_UPSTREAM_RESET:
    case GW_UPSTREAM_CUT:
    case GW_UPSTREAM_BAD_ANSWER:
    case GW_UPSTREAM_ERROR:
    case GW_CONNECT_TIMEOUT:
    case GW_TLS_TIMEOUT:
    case GW_WRITE_TIMEOUT:
    case GW_HEAD_TIMEOUT:
    case GW_FIRST_TOKEN_TIMEOUT:
    case GW_BETWEEN_TOKENS_TIMEOUT: return TARGET_FAILED;
    case GW_UPSTREAM_RATE_LIMITED: return TARGET_RATE_LIMITED;
    case GW_UPSTREAM_AUTH:
    case GW_UPSTREAM_BILLING: return TARGET_REFUSED_KEY;
    default: return TARGET_NO_NEWS;
    }
}

/* The first key from the turn on that may be used; without any, the turn's. */
static void choose_key(struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    struct worker *w = a->exchange->worker;
    size_t turn = (size_t)(worker_random(w) % p->keys_n);
    a->key = &p->keys[turn];
    for (size_t i = 0; i < p->keys_n && a->key_entry == 0; i++) {
        const struct gw_provider_key *k = &p->keys[(turn + i) % p->keys_n];
        a->key_entry = k->live != NULL ? target_live_enter(k->live, net_now(&w->loop)) : 0;
        if (a->key_entry != 0)
            a->key = k;
    }
    a->request.fields = a->key->fields;
}

void route_enter(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct route *r = &x->route;
    if (a->target.provider->keys_n > 0)
        choose_key(a);
    if (r->chain != NULL && x->model != NULL && a->target_index < PREFIX_TARGETS)
        prefix_learn(x->model->live->prefix, r->chain, a->target_index, epoch_of(&a->target));
}

void route_begun(struct attempt *a)
{
    int64_t first_ns = a->first_content_ns - a->sent_ns;
    if (a->target.live != NULL)
        a->entry = target_live_begun(a->target.live, a->entry, first_ns, a->first_content_ns);
}

void route_leave(struct attempt *a)
{
    const struct exchange *x = a->exchange;
    int64_t now = a->ended_ns;
    struct target_report r = {
        .entry = a->entry, .outcome = outcome_of(a->error), .retry_after_ns = a->retry_after_ns};
    learn_trust(x, a);
    bool misfit = a->translation != NULL && a->translation->broken; /* not its fault */
    if (!a->sent || misfit)
        r.outcome = TARGET_NO_NEWS;
    if (a->first_content_ns > a->sent_ns)
        r.first_ns = a->first_content_ns - a->sent_ns;
    if (a->target.provider->gated && x->request.stream &&
        (r.first_ns > 0 || a->error == GW_FIRST_TOKEN_TIMEOUT))
        gate_sample(a->target.provider->gate, r.first_ns > 0 ? r.first_ns : now - a->sent_ns);
    if (a->content_events > 1)
        r.gap_ns = (a->last_content_ns - a->first_content_ns) / (a->content_events - 1);
    if (a->key != NULL && a->key->live != NULL) {
        struct target_report of_key = {
            .entry = a->key_entry, .retry_after_ns = r.retry_after_ns, .outcome = r.outcome};
        bool about_key = r.outcome == TARGET_RATE_LIMITED || r.outcome == TARGET_REFUSED_KEY;
        if (!about_key && r.outcome != TARGET_GOOD)
            of_key.outcome = TARGET_NO_NEWS;
        if (a->key_entry != 0)
            target_live_report(a->key->live, &of_key, now);
        r.outcome = about_key ? TARGET_NO_NEWS : r.outcome;
    }
    if (a->target.live == NULL)
        return;
    if (a->entry != 0)
        target_live_report(a->target.live, &r, now);
    else if (r.outcome == TARGET_GOOD)
        target_live_served(a->target.live, now);
    else if (r.outcome == TARGET_FAILED)
        target_live_probe(a->target.live, false, now);
}
