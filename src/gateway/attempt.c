/* One try at one target: its request, its place, its deadlines, its end. */
#include "attempt.h"

#include "base/clock.h"
#include "overlong.h"
#include "place.h"
#include "respond.h"
#include "route.h"
#include "sign.h"
#include "translate.h"
#include "worker.h"

#define AFTER_DONE_NS (2 * NS_PER_S)    /* for an upstream to end its answer after [DONE] */
#define PRELUDE_BYTES ((size_t)1 << 20) /* beside the request, which Responses tells twice over */

/* Header lines beside the provider's own: what passes from the client, and its credential if that
 * is wanted. */
static enum gw_error put_request_fields(struct exchange *x, struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    struct buf *b = &x->worker->line;
    buf_reset(b);
    if (x->passthrough == NULL)
        buf_slice(b, x->request.stream
                         ? SLICE("Content-Type: application/json\r\nAccept: text/event-stream\r\n")
                         : SLICE("Content-Type: application/json\r\nAccept: application/json\r\n"));
    if (p->row->wire == &anthropic_wire && !(p->row->quirks & QUIRK_RAW_PREDICT))
        http_put_field(b, SLICE("anthropic-version"),
                       x->version.n > 0 ? x->version : SLICE("2023-06-01"));
    if (p->client_key && x->client_key.n > 0) {
        struct slice before, name = llm_auth_header(p->row->auth, &before);
        struct slice value = arena_printf(&x->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(before),
                                          SLICE_ARG(x->client_key));
        http_put_field(b, name, value);
        b->failed |= value.p == NULL;
    }
    buf_slice(b, x->forward);
    buf_slice(b, x->pass_fields);
    enum gw_error e = sign_request(a, b);
    a->request.more_fields = b->failed ? SLICE_NONE : arena_copy(&x->arena, buf_view(b));
    buf_reset(b);
    return e == GW_OK && a->request.more_fields.p == NULL ? GW_NO_MEMORY : e;
}

static struct slice join(struct arena *a, struct slice base, struct slice path)
{
    return base.n == 0 ? path : arena_printf(a, "%.*s%.*s", SLICE_ARG(base), SLICE_ARG(path));
}

/* The part of a passed-through path behind /v1, which is in the provider's base path already. */
static struct slice pass_target(const struct exchange *x)
{
    struct slice t = x->target;
    return slice_starts(t, SLICE("/v1/")) ? slice_from(t, 3) : t;
}

static enum gw_error make_request(struct exchange *x, struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    struct net_request *r = &a->request;
    r->fields = p->fields;
    if (x->passthrough != NULL) {
        r->method = x->method;
        r->target = join(&x->arena, p->base_path, pass_target(x));
        a->body.bytes = x->pass_bytes;
        r->streamed = x->pass_bytes > 0;
        r->has_body = x->method == HTTP_POST || x->method == HTTP_PUT;
    } else {
        enum gw_error e = translate_request(a);
        if (e != GW_OK)
            return e;
        r->method = HTTP_POST;
        r->has_body = true;
    }
    r->body = a->body.part;
    r->body_parts = a->body.parts;
    r->body_bytes = a->body.bytes;
    return r->target.p != NULL ? put_request_fields(x, a) : GW_NO_MEMORY;
}

enum gw_error attempt_start(struct exchange *x, const struct gw_target *t, struct limit_hold *hold)
{
    struct attempt *a = arena_new(&x->arena, struct attempt);
    if (a == NULL) {
        admit_unreserve(x, hold);
        return GW_NO_MEMORY;
    }
    a->exchange = x;
    a->target = *t;
    a->target_index = (unsigned)(t - x->route.list);
    a->retry_after_ns = -1;
    a->entry = x->route.entry;
    a->hedges = x->attempt != NULL && !attempt_over(x->attempt);
    a->holds_place = a->hedges && t->provider->gated;
    a->usage = LLM_USAGE_NONE;
    a->lease.phase = LEASE_DONE;
    a->started_ns = net_now(&x->worker->loop);
    a->most_units = overlong_bound(x);
    a->strip_usage = x->request.stream && !x->request.wants_usage;
    buf_init(&a->prelude, PRELUDE_BYTES + 4 * x->body.n);
    buf_init(&a->inner, (size_t)x->snapshot->limits.event_bytes);
    timer_init(&a->look, relay_look_again);
    enum gw_error e = make_request(x, a);
    if (e == GW_UNSUPPORTED || e == GW_NO_OPERATION) {
        translate_done(a);
        admit_unreserve(x, hold);
        return e;
    }
    x->route.entry = 0;
    x->attempts[x->attempts_n++] = a;
    x->attempt = a;
    a->number = x->attempts_n;
    account_begin(a, hold);
    if (!a->hedges)
        x->dropped = a->dropped;
    if (e == GW_OK)
        e = place_take(a);
    if (e != GW_OK)
        attempt_end(a, e);
    return e;
}

/* It has moved: what was reserved and written for the first target is for this one now. */
static enum gw_error follow(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct limit_hold hold;
    a->moved = false;
    translate_done(a);
    a->translation = NULL;
    admit_unreserve(x, &a->account.hold);
    enum gw_error e = admit_reserve(x, &a->target, &hold);
    account_move(a, &hold);
    if (e == GW_OK)
        e = make_request(x, a);
    x->dropped = a->dropped;
    return e;
}

void attempt_send(struct attempt *a)
{
    struct exchange *x = a->exchange;
    if (a->sent)
        return;
    enum gw_error e = a->moved ? follow(a) : GW_OK;
    if (e != GW_OK) {
        attempt_end(a, e);
        return;
    }
    struct gw_provider *p = a->target.provider;
    a->sent = true;
    a->sent_ns = net_now(&x->worker->loop);
    if (a->number == 1 && x->model != NULL && x->model->hedge_after_ns != 0 &&
        x->model->live != NULL)
        hedge_budget_fill(&x->model->live->hedges, a->sent_ns, x->model->hedge_percent);
    route_enter(a);
    a->first_token_limit_ns = route_first_token_limit(a);
    if (p->hardware != NULL) {
        a->on_hardware = true;
        a->account.hardware_mark = hardware_enter(p->hardware, a->sent_ns);
    }
    if (p->gated && gate_state(p->gate) == GATE_FAILED)
        attempt_end(a, GW_ENGINE_FAILED);
    else
        net_lease_start(&a->lease, &x->worker->loop, p->upstream, &a->request, &relay_ops);
    if (x->sink_full && !attempt_over(a)) /* by an earlier attempt, or a comment */
        net_lease_pause(&a->lease);
}

/* Does the upstream have the whole request, so that it may have worked on it? Called before the
 * lease is cancelled; one that failed does not know any more how far it had come. */
static bool has_been_asked(const struct attempt *a, enum gw_error why)
{
    enum metric_outcome o = gw_error_outcome(why);
    bool reached = a->lease.phase == LEASE_HEAD || a->lease.phase == LEASE_BODY;
    return a->head_ns != 0 || reached || (a->sent && (o == OUTCOME_CUT || o == OUTCOME_BAD_ANSWER));
}

void attempt_end(struct attempt *a, enum gw_error why)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    if (attempt_over(a))
        return;
    a->ended_ns = net_now(&w->loop);
    a->error = why;
    a->reused = a->lease.reused;
    a->asked = has_been_asked(a, why);
    if (a->lease.resent)
        metric_count(w->metrics, MP_RESENDS, 1);
    net_lease_cancel(&a->lease);
    net_timer_stop(&w->loop, &a->look);
    place_leave(a);
    route_leave(a);
    block_free(&w->loop.blocks, &a->held);
    buf_done(&a->prelude);
    buf_done(&a->inner);
    translate_done(a);
    account_end(a);
    metric_add(w->metrics, MM_ATTEMPTS, x->metric_id, gw_error_outcome(why), 1);
}

const char *attempt_outcome(enum gw_error why, bool overlong)
{
    if (why != GW_OK)
        return gw_error_row(why)->code;
    return overlong ? "cut_at_limit" : "ok";
}

static bool may_hedge(const struct exchange *x)
{
    const struct gw_model *m = x->model;
    const struct attempt *a = x->attempt;
    return m != NULL && m->hedge_after_ns != 0 && m->live != NULL && x->rival == NULL && a->sent &&
           !attempt_over(a) && !a->content && !x->hedged && x->stage < STAGE_DELIVERING &&
           x->route.next < x->route.order_n;
}

int64_t attempt_hedge_at(const struct exchange *x)
{
    if (x->model == NULL || x->model->hedge_after_ns == 0 || x->attempt == NULL || !may_hedge(x))
        return INT64_MAX;
    const struct attempt *a = x->attempt;
    int64_t after = x->model->hedge_after_ns;
    if (after < 0)
        after = a->target.live != NULL ? target_live_first_quantile(a->target.live, 0.95) : 0;
    return after > 0 ? a->sent_ns + after : INT64_MAX;
}

/* The second attempt, or NULL: it waits for nobody's place. What could not be tried is left to
 * whoever comes after the first. */
static struct attempt *begin_second(struct exchange *x)
{
    struct attempt *first = x->attempt;
    unsigned next = x->route.next, made = x->attempts_n;
    struct limit_hold hold;
    const struct gw_target *t = route_next(x);
    bool placed = t != NULL && place_take_free(t->provider);
    enum gw_error e = placed ? admit_reserve(x, t, &hold) : GW_HEDGED;
    if (e == GW_OK)
        e = attempt_start(x, t, &hold);
    struct attempt *second = x->attempt;
    x->attempt = first;
    if (e == GW_OK)
        return second;
    if (x->attempts_n == made) {
        if (placed && t->provider->gated)
            permits_give(&t->provider->gate->permits);
        route_done(x);
        x->route.next = next;
        x->route.taken = NULL;
    }
    return NULL;
}

void attempt_hedge(struct exchange *x)
{
    struct attempt *first = x->attempt;
    const char *code = x->code;
    x->hedged = true; /* once is enough, whatever comes of it */
    if (!hedge_budget_take(&x->model->live->hedges, net_now(&x->worker->loop),
                           x->model->hedge_percent))
        return;
    x->rival = begin_second(x);
    if (x->rival == NULL) {
        x->message = x->param = SLICE_NONE; /* nobody asked it */
        x->code = code;
        return;
    }
    metric_count(x->worker->metrics, MP_HEDGES, 1);
    attempt_send(x->rival);
    if (x->rival != NULL && attempt_over(x->rival))
        attempt_win(first);
}

/* What was to be told of one that failed beside another. */
static void forget_failure(struct exchange *x)
{
    x->message = x->param = SLICE_NONE;
    x->upstream_error = (struct llm_error){0};
    x->upstream_status = 0;
}

void attempt_win(struct attempt *a)
{
    struct exchange *x = a->exchange;
    if (x->rival != NULL) {
        struct attempt *loser = x->rival == a ? x->attempt : x->rival;
        x->attempt = a;
        x->rival = NULL;
        if (!attempt_over(loser))
            attempt_end(loser, GW_HEDGED);
        forget_failure(x);
        x->usage = a->usage;
        x->usage_of = a;
    }
    x->dropped = a->dropped;
    x->down_fields = a->down_fields;
    x->retry_fields = a->retry_fields;
    x->upstream_id = a->upstream_id;
}

void attempt_note_usage(struct attempt *a, const struct llm_usage *usage)
{
    struct exchange *x = a->exchange;
    bool any = MAX_OF(usage->input, usage->output) >= 0 || usage->cached >= 0 ||
               usage->cache_write >= 0 || usage->reasoning >= 0;
    if (any && x->usage_of != a) {
        x->usage = LLM_USAGE_NONE;
        x->usage_of = a;
    }
    llm_usage_merge(&x->usage, usage);
    llm_usage_merge(&a->usage, usage);
}

/* The limit of what the attempt is doing now. */
static int64_t phase_deadline(const struct attempt *a, enum gw_error *ret_why)
{
    const int64_t *limit = a->target.provider->timeouts.ns;
    int64_t since = a->lease.phase_since_ns, ns = 0;
    *ret_why = GW_OK;
    if (!a->sent) {
        *ret_why = GW_QUEUE_TIMEOUT;
        return place_deadline(a);
    }
    switch (a->lease.phase) {
    case LEASE_WAIT: *ret_why = GW_QUEUE_TIMEOUT, ns = limit[TIMEOUT_QUEUE]; break;
    case LEASE_CONNECT: *ret_why = GW_CONNECT_TIMEOUT, ns = limit[TIMEOUT_CONNECT]; break;
    case LEASE_TLS: *ret_why = GW_TLS_TIMEOUT, ns = limit[TIMEOUT_TLS]; break;
    case LEASE_WRITE: *ret_why = GW_WRITE_TIMEOUT, ns = limit[TIMEOUT_WRITE]; break;
    case LEASE_HEAD: *ret_why = GW_HEAD_TIMEOUT, ns = limit[TIMEOUT_HEAD]; break;
    case LEASE_BODY:
        if (a->exchange->request.stream && !a->content)
            break; /* the limit for the first token applies */
        *ret_why = GW_BETWEEN_TOKENS_TIMEOUT;
        ns = limit[TIMEOUT_BETWEEN_TOKENS];
        since = a->last_data_ns;
        break;
    case LEASE_DONE: break;
    }
    return ns > 0 ? since + ns : INT64_MAX;
}

int64_t attempt_next_look(const struct attempt *a)
{
    static const enum gw_timeout silent[] = {TIMEOUT_QUEUE, TIMEOUT_CONNECT, TIMEOUT_TLS,
                                             TIMEOUT_WRITE, TIMEOUT_HEAD};
    int64_t least = INT64_MAX;
    if (!a->sent || a->lease.phase >= LEASE_BODY)
        return INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        int64_t ns = a->target.provider->timeouts.ns[silent[i]];
        if (ns > 0)
            least = MIN_OF(least, ns);
    }
    return least < INT64_MAX ? net_now(&a->exchange->worker->loop) + least : INT64_MAX;
}

int64_t attempt_deadline(const struct attempt *a, enum gw_error *ret_why)
{
    const struct exchange *x = a->exchange;
    const int64_t *limit = a->target.provider->timeouts.ns;
    if (a->done) {
        *ret_why = GW_OK;
        return a->last_data_ns + AFTER_DONE_NS;
    }
    bool may_answer = a->sent && a->lease.phase >= LEASE_HEAD;
    if (x->sink_full && may_answer) { /* the client is slow, not the upstream; its own limit runs */
        *ret_why = GW_TOTAL_TIMEOUT;
        return limit[TIMEOUT_TOTAL] > 0 ? x->started_ns + limit[TIMEOUT_TOTAL] : INT64_MAX;
    }
    int64_t at = phase_deadline(a, ret_why);
    int64_t first_ns =
        a->first_token_limit_ns > 0 ? a->first_token_limit_ns : limit[TIMEOUT_FIRST_TOKEN];
    bool first = a->sent && x->request.stream && !a->content && first_ns > 0;
    bool waits_for_answer = a->lease.phase == LEASE_HEAD || a->lease.phase == LEASE_BODY;
    if (first && waits_for_answer && a->sent_ns + first_ns < at) {
        at = a->sent_ns + first_ns;
        *ret_why = GW_FIRST_TOKEN_TIMEOUT;
    }
    if (limit[TIMEOUT_TOTAL] > 0 && x->started_ns + limit[TIMEOUT_TOTAL] < at) {
        at = x->started_ns + limit[TIMEOUT_TOTAL];
        *ret_why = GW_TOTAL_TIMEOUT;
    }
    return at;
}
