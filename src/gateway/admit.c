/* Admission: requests and places for an exchange, tokens and dollars for its attempts. */
#include "admit.h"

#include "base/clock.h"
#include "worker.h"

static struct limit_registry *registry(const struct exchange *x)
{
    return x->worker->gateway->config.limits;
}

static bool is_budget(enum limit_kind k)
{
    return k >= LIMIT_BUDGET_HOUR;
}

static struct slice dollars(struct exchange *x, int64_t nano)
{
    struct buf *b = &x->worker->line;
    buf_reset(b);
    buf_char(b, '$');
    buf_money(b, nano);
    struct slice text = arena_copy(&x->arena, buf_view(b));
    buf_reset(b);
    return text;
}

static struct slice figure(struct exchange *x, enum limit_kind kind, int64_t n)
{
    return is_budget(kind) ? dollars(x, n) : arena_printf(&x->arena, "%lld", (long long)n);
}

/* The error of a refusal, with the scope, the limit and the figures. */
static enum gw_error refused(struct exchange *x, const struct limit_refusal *r)
{
    struct admission *ad = x->admission;
    const struct gw_scope *s = ad->scope[r->use];
    struct slice most = figure(x, r->kind, r->most), used = figure(x, r->kind, r->used),
                 asked = figure(x, r->kind, r->asked);
    const char *what = r->never             ? "The request asks for more than the whole limit"
                       : is_budget(r->kind) ? "The budget is used up"
                                            : "Rate limit reached";
    ad->refusal = *r;
    ad->refused = true;
    x->message =
        arena_printf(&x->arena, "%s: %s of %s `%.*s`: limit %.*s, used %.*s, requested %.*s.", what,
                     limit_kind_name(r->kind), scope_kind_name(s->kind), SLICE_ARG(s->name),
                     SLICE_ARG(most), SLICE_ARG(used), SLICE_ARG(asked));
    metric_add(x->worker->metrics, MM_LIMITED, x->metric_id, r->kind, 1);
    if (is_budget(r->kind))
        return GW_BUDGET;
    return r->never ? GW_LIMIT_TOO_SMALL : GW_RATE_LIMITED;
}

/* Has a budget of `s` been used up to the share from which a cheaper alias takes its place? */
static bool wants_downgrade(struct exchange *x, const struct gw_scope *s)
{
    int64_t used[LIMIT_KINDS_N];
    limit_used(registry(x), s->live, net_now(&x->worker->loop), used);
    for (unsigned k = LIMIT_BUDGET_HOUR; k < LIMIT_KINDS_N; k++) {
        int64_t most = s->set.most[k];
        if (most != LIMIT_NONE && used[k] >= most / 100 * s->downgrade_from_percent)
            return true;
    }
    return false;
}

/* Is it a request for an answer of a model's own making, which another could give as well? */
static bool wants_answer(const struct exchange *x)
{
    return x->passthrough == NULL &&
           (x->request.op == LLM_CHAT || x->request.op == LLM_COMPLETIONS);
}

/* To another alias that the key may use. */
static void downgrade(struct exchange *x)
{
    struct admission *ad = x->admission;
    const struct gw_key *k = x->key;
    for (unsigned i = 0; i < ad->n; i++) {
        const struct gw_scope *s = ad->scope[i];
        if (s->downgrade_from_percent == 0 || !wants_downgrade(x, s))
            continue;
        const struct gw_model *to = strmap_get(&x->snapshot->models, s->downgrade_to);
        if (to == NULL || to == x->model ||
            (k != NULL && !gw_allows(k->models, k->models_n, to->name)))
            continue;
        identity_set_model(x, to);
        metric_count(x->worker->metrics, MP_DOWNGRADED, 1);
        return;
    }
}

enum gw_error admit_request(struct exchange *x)
{
    struct admission *ad = x->admission;
    struct worker *w = x->worker;
    const struct limit_amounts want = {.requests = 1, .concurrency = 1};
    const int64_t most = x->key != NULL ? x->key->max_tokens : LIMIT_NONE;
    struct limit_refusal refusal;
    if (w->lane != NULL && !ledger_has_room(w->lane))
        return GW_LEDGER_FULL;
    if (x->request.max_tokens > most) {
        x->message =
            arena_printf(&x->arena, "The request asks for %lld output tokens; its key allows %lld.",
                         (long long)x->request.max_tokens, (long long)most);
        return GW_LIMIT_TOO_SMALL;
    }
    if (x->request.max_tokens < 0 && most != LIMIT_NONE && wants_answer(x))
        x->request.cap_tokens = most;
    if (wants_answer(x))
        downgrade(x);
    if (ad->n == 0)
        return GW_OK;
    switch (limit_admit(registry(x), w->limits, ad->use, ad->n, &want, net_now(&w->loop), &ad->hold,
                        ad->standing, &refusal)) {
    case LIMIT_ADMITTED: return GW_OK;
    case LIMIT_REFUSED: return refused(x, &refusal);
    case LIMIT_NO_MEMORY: break;
    }
    return GW_NO_MEMORY;
}

/* Tokens that an answer may have: the client's bound, else what was learned, within what the
 * limits could ever allow. */
static int64_t output_wanted(const struct exchange *x, const struct gw_target *t, int64_t input)
{
    const struct admission *ad = x->admission;
    int64_t answers = MAX_OF(x->request.n, INT64_C(1)), bound = x->request.max_tokens;
    if (x->request.op == LLM_EMBEDDINGS)
        return 0;
    if (bound >= 0)
        return MIN_OF(bound, LIMIT_AMOUNT_MAX / answers) * answers;
    int64_t n = t->estimate != NULL ? estimate_output(t->estimate) * answers : 1024 * answers;
    if (x->key != NULL)
        n = MIN_OF(n, x->key->max_tokens);
    for (unsigned i = 0; i < ad->n; i++) {
        const int64_t *most = ad->use[i].set->most;
        n = MIN_OF(n, most[LIMIT_OUTPUT]);
        if (most[LIMIT_TOKENS] != LIMIT_NONE)
            n = MIN_OF(n, MAX_OF(most[LIMIT_TOKENS] - input, INT64_C(0)));
    }
    return n;
}

/* The smallest budget of all scopes; LIMIT_NONE: there is none. */
static int64_t least_budget(const struct admission *ad)
{
    int64_t least = LIMIT_NONE;
    for (unsigned i = 0; i < ad->n; i++) {
        for (unsigned k = LIMIT_BUDGET_HOUR; k < LIMIT_KINDS_N; k++)
            least = MIN_OF(least, ad->use[i].set->most[k]);
    }
    return least;
}

enum gw_error admit_reserve(struct exchange *x, const struct gw_target *t, struct limit_hold *ret)
{
    struct admission *ad = x->admission;
    struct worker *w = x->worker;
    struct limit_amounts want = {0};
    struct limit_refusal refusal;
    *ret = (struct limit_hold){0};
    if (x->request.op == LLM_COUNT_TOKENS) /* which costs nothing */
        return GW_OK;
    if (x->passthrough == NULL) {
        want.input = t->estimate != NULL ? estimate_input(t->estimate, ad->prompt_bytes)
                                         : ad->prompt_bytes / 4 + 1;
        want.output = output_wanted(x, t, want.input);
    }
    struct llm_usage u = {want.input, want.output, 0, 0, 0};
    if (t->price != NULL)
        want.cost_nano = price_cost(t->price, &u, exchange_wall_ns(x) / NS_PER_S);
    ret->reserved = want;
    if (ad->n == 0)
        return GW_OK;
    int64_t budget = least_budget(ad);
    if (x->request.max_tokens < 0) /* what is only a guess never asks for more than can be had */
        want.cost_nano = ret->reserved.cost_nano = MIN_OF(want.cost_nano, budget);
    if (t->price == NULL && budget != LIMIT_NONE) {
        x->message = arena_printf(&x->arena,
                                  "The price of `%.*s` is not known, and a budget limits what "
                                  "the request may cost.",
                                  SLICE_ARG(t->label));
        return GW_UNPRICED;
    }
    switch (limit_admit(registry(x), w->limits, ad->use, ad->n, &want, net_now(&w->loop), ret,
                        ad->standing, &refusal)) {
    case LIMIT_ADMITTED: return GW_OK;
    case LIMIT_REFUSED: return refused(x, &refusal);
    case LIMIT_NO_MEMORY: break;
    }
    return GW_NO_MEMORY;
}

void admit_unreserve(struct exchange *x, struct limit_hold *hold)
{
    const struct limit_amounts nothing = {0};
    limit_settle(registry(x), x->worker->limits, hold, &nothing, net_now(&x->worker->loop));
}

/* What the fields are called. */
struct standing_row {
    enum limit_kind kind;
    struct slice openai, anthropic; /* empty: there is no such field */
};
static const struct standing_row standing_rows[] = {
    {LIMIT_REQUESTS, {"requests", 8}, {"requests", 8}},
    {LIMIT_TOKENS, {"tokens", 6}, {"tokens", 6}},
    {LIMIT_INPUT, {NULL, 0}, {"input-tokens", 12}},
    {LIMIT_OUTPUT, {NULL, 0}, {"output-tokens", 13}},
};

/* "1s", "6m0s", "20ms": how OpenAI writes a duration. */
static void put_duration(struct buf *b, int64_t ns)
{
    int64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS, s = (ms + 999) / 1000;
    if (ms < 1000) {
        buf_i64(b, ms);
        buf_char(b, 'm');
    } else if (s >= 60) {
        buf_i64(b, s / 60);
        buf_char(b, 'm');
        buf_i64(b, s % 60);
    } else {
        buf_i64(b, s);
    }
    buf_char(b, 's');
}

static void put_openai(struct buf *b, struct slice name, const struct limit_standing *s)
{
    buf_lit(b, "x-ratelimit-limit-");
    buf_slice(b, name);
    buf_lit(b, ": ");
    buf_i64(b, s->most);
    buf_lit(b, "\r\nx-ratelimit-remaining-");
    buf_slice(b, name);
    buf_lit(b, ": ");
    buf_i64(b, MAX_OF(s->left, INT64_C(0)));
    buf_lit(b, "\r\nx-ratelimit-reset-");
    buf_slice(b, name);
    buf_lit(b, ": ");
    put_duration(b, s->reset_ns);
    buf_lit(b, "\r\n");
}

static void put_anthropic(struct buf *b, struct slice name, const struct limit_standing *s)
{
    char at[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ns() + s->reset_ns, at);
    buf_lit(b, "anthropic-ratelimit-");
    buf_slice(b, name);
    buf_lit(b, "-limit: ");
    buf_i64(b, s->most);
    buf_lit(b, "\r\nanthropic-ratelimit-");
    buf_slice(b, name);
    buf_lit(b, "-remaining: ");
    buf_i64(b, MAX_OF(s->left, INT64_C(0)));
    buf_lit(b, "\r\nanthropic-ratelimit-");
    buf_slice(b, name);
    buf_lit(b, "-reset: ");
    buf_slice(b, slice_str(at));
    buf_lit(b, "\r\n");
}

bool admit_tells_standing(const struct exchange *x)
{
    const struct admission *ad = x->admission;
    for (size_t i = 0; i < ARRAY_LEN(standing_rows) && ad != NULL; i++) {
        if (ad->standing[standing_rows[i].kind].most != LIMIT_NONE)
            return true;
    }
    return false;
}

void admit_put_fields(const struct exchange *x, struct buf *b)
{
    const struct admission *ad = x->admission;
    if (ad == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(standing_rows); i++) {
        const struct standing_row *row = &standing_rows[i];
        const struct limit_standing *s = &ad->standing[row->kind];
        if (s->most == LIMIT_NONE)
            continue;
        if (x->dialect->id == DIALECT_ANTHROPIC)
            put_anthropic(b, row->anthropic, s);
        else if (row->openai.n > 0)
            put_openai(b, row->openai, s);
    }
}

void admit_put_refusal(const struct exchange *x, struct buf *b)
{
    const struct limit_refusal *r = &x->admission->refusal;
    int64_t ns = r->retry_ns > 0 ? r->retry_ns : NS_PER_S;
    if (is_budget(r->kind) || r->never) {
        buf_lit(b, "x-should-retry: false\r\n");
        return;
    }
    buf_printf(b, "Retry-After: %lld\r\nRetry-After-Ms: %lld\r\n",
               (long long)((ns + NS_PER_S - 1) / NS_PER_S),
               (long long)((ns + NS_PER_MS - 1) / NS_PER_MS));
}
