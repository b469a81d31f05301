/* One try at one target: its request, its place, its deadlines, its end. */
#include "attempt.h"

#include "base/clock.h"
#include "respond.h"
#include "sign.h"
#include "translate.h"
#include "worker.h"

#define AFTER_DONE_NS (2 * NS_PER_S)    /* for an upstream to end its answer after [DONE] */
#define PRELUDE_BYTES ((size_t)1 << 20) /* beside the request, which Responses tells twice over */

/* On the thread that gave a place back, under the gate's lock. The message carries a reference. */
static void post_grant(struct permit_waiter *w)
{
    struct attempt *a = container_of(w, struct attempt, place);
    struct exchange *x = a->exchange;
    struct gate *gate = a->target.provider->gate;
    struct mailbox_msg msg = {.kind = GW_MSG_GRANT,
                              .slot = x->slot | (uint64_t)a->number << 32,
                              .generation = x->generation,
                              .ptr = gate_ref(gate)};
    if (!net_loop_post(&x->worker->loop, msg))
        NEVER("a mailbox holds a grant for every attempt");
}

static enum gw_error take_place(struct exchange *x, struct attempt *a)
{
    struct gw_provider *p = a->target.provider;
    a->place.grant = post_grant;
    if (!p->gated) {
        a->holds_place = false;
        return GW_OK;
    }
    if (gate_state(p->gate) == GATE_FAILED)
        return GW_ENGINE_FAILED;
    switch (permits_take(&p->gate->permits, &a->place)) {
    case PERMIT_TAKEN: a->holds_place = true; return GW_OK;
    case PERMIT_WAITING:
        metric_add(x->worker->metrics, MM_QUEUED, x->metric_id, 0, 1);
        a->queued = true;
        return GW_OK;
    case PERMIT_REFUSED: break;
    }
    return GW_QUEUE_FULL;
}

bool attempt_has_place(const struct attempt *a)
{
    return !a->target.provider->gated || a->holds_place;
}

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
    a->usage = LLM_USAGE_NONE;
    a->lease.phase = LEASE_DONE;
    a->started_ns = net_now(&x->worker->loop);
    a->strip_usage = x->request.stream && !x->request.wants_usage;
    buf_init(&a->prelude, PRELUDE_BYTES + 4 * x->body.n);
    buf_init(&a->inner, (size_t)x->snapshot->limits.event_bytes);
    timer_init(&a->look, relay_look_again);
    x->attempts[x->attempts_n++] = a;
    x->attempt = a;
    a->number = x->attempts_n;
    account_begin(a, hold);
    enum gw_error e = make_request(x, a);
    if (e == GW_OK)
        e = take_place(x, a);
    if (e != GW_OK)
        attempt_end(a, e);
    return e;
}

void attempt_send(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct gw_provider *p = a->target.provider;
    if (a->sent)
        return;
    a->sent = true;
    a->sent_ns = net_now(&x->worker->loop);
    if (a->queued) {
        metric_add(x->worker->metrics, MM_QUEUED, x->metric_id, 0, -1);
        a->queued = false;
    }
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

static void leave_gate(struct attempt *a)
{
    struct gw_provider *p = a->target.provider;
    struct exchange *x = a->exchange;
    if (!p->gated)
        return;
    if (a->holds_place)
        permits_give(&p->gate->permits);
    else if (a->queued)
        permits_leave(&p->gate->permits, &a->place); /* a grant on its way finds nobody */
    if (a->queued)
        metric_add(x->worker->metrics, MM_QUEUED, x->metric_id, 0, -1);
    a->holds_place = a->queued = false;
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
    leave_gate(a);
    block_free(&w->loop.blocks, &a->held);
    buf_done(&a->prelude);
    buf_done(&a->inner);
    translate_done(a);
    account_end(a);
    metric_add(w->metrics, MM_ATTEMPTS, x->metric_id, gw_error_outcome(why), 1);
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
        ns = limit[TIMEOUT_QUEUE];
        return ns > 0 ? a->started_ns + ns : INT64_MAX;
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
    bool first = a->sent && x->request.stream && !a->content && limit[TIMEOUT_FIRST_TOKEN] > 0;
    bool waits_for_answer = a->lease.phase == LEASE_HEAD || a->lease.phase == LEASE_BODY;
    if (first && waits_for_answer && a->sent_ns + limit[TIMEOUT_FIRST_TOKEN] < at) {
        at = a->sent_ns + limit[TIMEOUT_FIRST_TOKEN];
        *ret_why = GW_FIRST_TOKEN_TIMEOUT;
    }
    if (limit[TIMEOUT_TOTAL] > 0 && x->started_ns + limit[TIMEOUT_TOTAL] < at) {
        at = x->started_ns + limit[TIMEOUT_TOTAL];
        *ret_why = GW_TOTAL_TIMEOUT;
    }
    return at;
}
