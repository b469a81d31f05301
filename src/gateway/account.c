/* What attempts used and cost: settled with their limits, written to the ledger. */
#include "admit.h"
#include "base/clock.h"
#include "base/mem.h"
#include "meter.h"
#include "policy/hours_share.h"
#include "worker.h"

static uint32_t at_most_u32(int64_t n)
{
    return (uint32_t)MAX_OF(MIN_OF(n, (int64_t)UINT32_MAX), INT64_C(0));
}

/* What is the same in all rows of the exchange. */
static void put_exchange(const struct exchange *x, struct ledger_row *row)
{
    const struct admission *ad = x->admission;
    const struct gw_key *k = x->key;
    memcpy(row->id, x->raw_id, sizeof row->id);
    row->start_ns = exchange_wall_ns(x);
    row->first_us = UINT32_MAX;
    row->flags = x->request.stream ? LEDGER_STREAM : 0;
    if (ad != NULL) {
        row->user_hash = ad->user_hash;
        row->name[NAME_USE_CASE] = ad->use_case != NULL ? ad->use_case->scope.ledger_id : 0;
    }
    if (x->model != NULL)
        row->name[NAME_MODEL] = x->model->scope.ledger_id;
    if (k == NULL)
        return;
    row->name[NAME_KEY] = k->scope.ledger_id;
    row->name[NAME_TEAM] = k->team != NULL ? k->team->ledger_id : 0;
    row->name[NAME_ORGANISATION] = k->organisation != NULL ? k->organisation->ledger_id : 0;
}

uint32_t account_name(struct worker *w, enum ledger_name_kind kind, struct slice name)
{
    uint64_t hash = hash64(name) + kind;
    size_t at = hash % ARRAY_LEN(w->names);
    if (w->names[at].hash != hash) {
        w->names[at].hash = hash;
        w->names[at].id = ledger_name(w->gateway->config.ledger, kind, name);
    }
    return w->names[at].id;
}

/* Names that clients made up get a number only once they have answered. */
static void put_names(const struct attempt *a, struct ledger_row *row)
{
    const struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    row->name[NAME_PROVIDER] = a->target.provider->ledger_id;
    row->name[NAME_TARGET] = a->target.ledger_id;
    bool known = a->content || a->error == GW_OK;
    if (a->target.ledger_id == 0 && known)
        row->name[NAME_TARGET] = account_name(w, NAME_TARGET, a->target.model);
    if (x->model == NULL && known)
        row->name[NAME_MODEL] = account_name(w, NAME_MODEL, a->target.label);
}

void account_begin(struct attempt *a, const struct limit_hold *hold)
{
    struct exchange *x = a->exchange;
    struct account *c = &a->account;
    c->hold = *hold;
    c->units_before = x->output_units;
    c->slot = LEDGER_NO_SLOT;
    c->open = true;
    if (x->worker->lane == NULL)
        return;
    struct ledger_row *row = &c->row;
    put_exchange(x, row);
    row->attempt = (uint8_t)a->number;
    row->name[NAME_PROVIDER] = a->target.provider->ledger_id;
    row->name[NAME_TARGET] = a->target.ledger_id;
    row->input = hold->reserved.input;
    row->output = hold->reserved.output;
    row->cost_nano = row->reserved_nano = hold->reserved.cost_nano;
    c->slot = ledger_begin(x->worker->lane, row);
}

void account_move(struct attempt *a, const struct limit_hold *hold)
{
    uint32_t before = a->account.slot;
    account_begin(a, hold);
    if (a->exchange->worker->lane != NULL)
        ledger_forget(a->exchange->worker->lane, before);
}

int64_t account_estimate_input(const struct attempt *a)
{
    int64_t bytes = a->exchange->admission->prompt_bytes;
    return a->target.estimate != NULL ? estimate_input(a->target.estimate, bytes) : bytes / 4 + 1;
}

/* Tokens: the provider's figures, or where it gave none and may have worked, the gateway's own. */
static struct llm_usage used(struct attempt *a)
{
    const struct exchange *x = a->exchange;
    struct llm_usage u = a->usage;
    struct ledger_row *row = &a->account.row;
    bool answers = x->request.op == LLM_CHAT || x->request.op == LLM_COMPLETIONS;
    int64_t units = x->output_units - a->account.units_before;
    bool guess =
        x->passthrough == NULL && x->request.op != LLM_COUNT_TOKENS && a->status < 400 && a->asked;
    if (u.input < 0 && guess) {
        u.input = account_estimate_input(a);
        row->flags |= LEDGER_ESTIMATED_INPUT;
    }
    if (u.output < 0 && guess && answers) {
        u.output = MAX_OF(units, INT64_C(0));
        row->flags |= LEDGER_ESTIMATED_OUTPUT;
    } else if (answers && a->error != GW_OK && units > u.output && u.output >= 0) {
        u.output = units; /* more came after its latest word */
        row->flags |= LEDGER_ESTIMATED_OUTPUT;
    }
    u.input = MAX_OF(u.input, INT64_C(0));
    u.output = MAX_OF(u.output, INT64_C(0));
    return u;
}

/* Own hardware costs by the hour: what this attempt took of it is its share of the time that it
 * was busy. */
static int64_t hardware_cost(struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    struct ledger_row *row = &a->account.row;
    if (p->hardware == NULL || !a->on_hardware)
        return 0;
    row->work_ns = hardware_leave(p->hardware, a->ended_ns, a->account.hardware_mark);
    row->flags |= LEDGER_SELF_HOSTED;
    return hours_price(row->work_ns, p->hour_nano);
}

int64_t account_cost(const struct attempt *a)
{
    const struct gw_target *t = &a->target;
    bool said = a->usage.input >= 0 || a->usage.output >= 0;
    return said && t->price != NULL && a->target.provider->hour_nano == 0
               ? price_cost(t->price, &a->usage, exchange_wall_ns(a->exchange) / NS_PER_S)
               : -1;
}

static void learn(struct attempt *a, const struct llm_usage *u)
{
    const struct exchange *x = a->exchange;
    struct metric_shard *m = x->worker->metrics;
    const struct limit_amounts *r = &a->account.hold.reserved;
    if (a->error != GW_OK || a->overlong || a->usage.input < 0 || a->usage.output < 0)
        return;
    if (a->target.estimate != NULL)
        estimate_learn(a->target.estimate, x->admission->prompt_bytes, u->input, u->output);
    metric_add(m, MM_RESERVED, x->metric_id, 0, r->input + r->output);
    metric_add(m, MM_SETTLED, x->metric_id, 0, u->input + u->output);
}

void account_end(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    struct account *c = &a->account;
    struct ledger_row *row = &c->row;
    if (!c->open)
        return;
    c->open = false;
    struct llm_usage u = used(a);
    int64_t cost = hardware_cost(a);
    learn(a, &u);
    row->input = u.input;
    row->output = u.output;
    row->cached = MAX_OF(u.cached, INT64_C(0));
    row->cache_write = MAX_OF(u.cache_write, INT64_C(0));
    row->reasoning = MAX_OF(u.reasoning, INT64_C(0));
    bool asked = u.input > 0 || u.output > 0 || (x->passthrough != NULL && a->asked);
    if (a->target.price == NULL && asked)
        row->flags |= LEDGER_UNPRICED;
    else if (a->target.price != NULL && asked)
        cost += price_cost(a->target.price, &u, exchange_wall_ns(x) / NS_PER_S);
    row->cost_nano = cost;
    const struct limit_amounts actual = {.input = u.input, .output = u.output, .cost_nano = cost};
    struct limit_amounts over =
        limit_settle(w->gateway->config.limits, w->limits, &c->hold, &actual, net_now(&w->loop));
    if (over.input + over.output + over.cost_nano > 0)
        row->flags |= LEDGER_OVERRUN;
    if (over.input + over.output > 0)
        metric_add(w->metrics, MM_OVERRUN, x->metric_id, 0, over.input + over.output);
    meter_add(w->gateway->meter, x->metric_id, row->name[NAME_USE_CASE], cost, u.input + u.output);
    if (row->flags & LEDGER_UNPRICED)
        meter_unpriced(w->gateway->meter);
}

static enum ledger_reason attempt_reason(enum gw_error e)
{
    switch (gw_error_outcome(e)) {
    case OUTCOME_OK: return LEDGER_COMPLETE;
    case OUTCOME_CLIENT_GONE: return LEDGER_CLIENT_GONE;
    case OUTCOME_HEDGED: return LEDGER_HEDGED;
    case OUTCOME_TIMEOUT: return LEDGER_TIMED_OUT;
    case OUTCOME_CUT: return LEDGER_UPSTREAM_CUT;
    case OUTCOME_CONNECT:
    case OUTCOME_BAD_ANSWER:
    case OUTCOME_RATE_LIMITED:
    case OUTCOME_SERVER_ERROR: return LEDGER_UPSTREAM_ERROR;
    case OUTCOME_REFUSED:
    case METRIC_OUTCOMES_N: break;
    }
    return gw_error_row(e)->status >= 500 ? LEDGER_FAILED : LEDGER_REFUSED;
}

static void put_end(const struct exchange *x, struct ledger_row *row, enum gw_error why,
                    unsigned status)
{
    int64_t now = net_now(&x->worker->loop);
    row->flags |= LEDGER_FINAL;
    row->reason = (uint8_t)attempt_reason(why);
    row->status = (uint16_t)status;
    row->duration_us = at_most_u32((now - x->started_ns) / NS_PER_US);
    if (x->first_content_ns != 0)
        row->first_us = at_most_u32((x->first_content_ns - x->started_ns) / NS_PER_US);
    row->bytes_in = at_most_u32(x->bytes_in);
    row->bytes_out = at_most_u32(x->bytes_out);
}

static void settle_attempt(struct exchange *x, struct attempt *a, enum gw_error why,
                           unsigned status, bool last)
{
    struct ledger_row *row = &a->account.row;
    row->reason = (uint8_t)attempt_reason(a->error);
    row->status = (uint16_t)a->status;
    row->duration_us = at_most_u32((a->ended_ns - a->started_ns) / NS_PER_US);
    put_names(a, row);
    if (last)
        put_end(x, row, why, status);
    ledger_settle(x->worker->lane, a->account.slot, row);
}

void account_settle(struct exchange *x, enum gw_error why, unsigned status)
{
    struct worker *w = x->worker;
    struct admission *ad = x->admission;
    if (ad == NULL)
        return; /* it was never known whose it is, or asks no model */
    const struct limit_amounts actual = {.requests = x->attempts_n > 0};
    limit_settle(w->gateway->config.limits, w->limits, &ad->hold, &actual, net_now(&w->loop));
    if (w->lane == NULL)
        return;
    for (unsigned i = 0; i < x->attempts_n; i++)
        settle_attempt(x, x->attempts[i], why, status, x->attempts[i] == x->attempt);
    if (x->attempts_n > 0)
        return;
    struct ledger_row row = {0};
    put_exchange(x, &row);
    put_end(x, &row, why, status);
    ledger_settle(w->lane, LEDGER_NO_SLOT, &row);
}
