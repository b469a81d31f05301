/* From an upstream's answer to the client's: streams event by event, other answers as a whole once
 * they have been checked. */
#include "base/clock.h"
#include "llm/aws_event_stream.h"
#include "llm/sse.h"
#include "overlong.h"
#include "respond.h"
#include "translate.h"
#include "worker.h"

#define ERROR_BODY_MAX ((size_t)1 << 20)
#define LOOK_NS        (250 * NS_PER_MS) /* between looks at a job, at first */
#define LOOK_MOST_NS   (2 * NS_PER_S)
#define MOVES_MAX      20 /* each stands for some minutes of waiting at the upstream */

static struct attempt *attempt_of(struct net_lease *l)
{
    return container_of(l, struct attempt, lease);
}

static bool flush_out(struct attempt *a, bool end);
static bool lost_some(const struct attempt *a);

/* The attempt is over; the exchange goes on, and may be settled when this returns. What has been
 * gathered for the client goes out before any error does. */
static void conclude(struct attempt *a, enum gw_error why)
{
    struct exchange *x = a->exchange;
    const struct buf *out = &x->worker->out;
    bool pending = why != GW_OK && a->content && out->n > 0 && !out->failed;
    if (why != GW_OK && a->content && lost_some(a))
        why = GW_NO_MEMORY; /* nobody can go on behind a gap */
    if (pending && !flush_out(a, false))
        return;
    buf_reset(&x->worker->out);
    attempt_end(a, why);
    if (x->rival != NULL)
        attempt_win(a == x->rival ? x->attempt : x->rival); /* the other one may do better */
    if (attempt_over(x->attempt))
        exchange_wake(x, WAIT_UPSTREAM);
    else
        exchange_rearm(x);
}

static void conclude_with(struct attempt *a, enum gw_error why, const char *detail)
{
    struct exchange *x = a->exchange;
    x->message = arena_printf(&x->arena, "%s (%s)", gw_error_row(why)->message, detail);
    conclude(a, why);
}

/* Fields of an answer that pass to the client; how the gateway stands with the upstream only where
 * the client is not told how it stands with the gateway. */
static bool passes_down(const struct gw_snapshot *s, const struct http_field *f, bool standing)
{
    static const struct slice prefixes[] = {
        {"openai-", 7}, {"x-ratelimit-", 12}, {"anthropic-ratelimit-", 20}};
    char first = (char)(*f->name.p | 0x20);
    bool may = first == 'x' || first == 'o' || first == 'a';
    size_t n = standing ? ARRAY_LEN(prefixes) : 1;
    for (size_t i = 0; i < n && may; i++) {
        if (f->name.n > prefixes[i].n &&
            slice_eq_nocase(slice_of(f->name.p, prefixes[i].n), prefixes[i]))
            return true;
    }
    for (size_t i = 0; i < s->forward_down_n; i++) {
        if (slice_eq_nocase(s->forward_down[i], f->name))
            return true;
    }
    return false;
}

/* When it may be asked again: seconds, or milliseconds. Dates (RFC 9110 section 10.2.3), which no
 * provider is known to send, are passed on only. */
static void read_retry_after(struct attempt *a, const struct http_head *h)
{
    uint64_t n;
    if (slice_to_u64(http_field_get(h, HTTP_RETRY_AFTER_MS), &n) && n < INT32_MAX)
        a->retry_after_ns = (int64_t)n * NS_PER_MS;
    else if (slice_to_u64(http_field_get(h, HTTP_RETRY_AFTER), &n) && n < INT32_MAX)
        a->retry_after_ns = (int64_t)n * NS_PER_S;
}

static void keep_fields(struct attempt *a, const struct http_head *h)
{
    struct exchange *x = a->exchange;
    struct buf *b = &x->worker->line;
    bool standing = !admit_tells_standing(x);
    buf_reset(b);
    for (unsigned i = 0; i < h->fields_n; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->id == HTTP_X_REQUEST_ID || f->id == HTTP_REQUEST_ID ||
            f->id == HTTP_X_AMZN_REQUESTID)
            a->upstream_id = arena_copy(&x->arena, f->value);
        else if (passes_down(x->snapshot, f, standing))
            http_put_field(b, f->name, f->value);
    }
    a->down_fields = b->n > 0 && !b->failed ? arena_copy(&x->arena, buf_view(b)) : SLICE_NONE;
    buf_reset(b);
    if (h->status < 400)
        return;
    read_retry_after(a, h);
    for (unsigned i = 0; i < h->fields_n; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->id == HTTP_RETRY_AFTER || f->id == HTTP_RETRY_AFTER_MS)
            http_put_field(b, f->name, f->value);
    }
    a->retry_fields = b->failed ? SLICE_NONE : arena_copy(&x->arena, buf_view(b));
    buf_reset(b);
}

static bool media_type_is(struct slice value, struct slice type)
{
    return slice_eq_nocase(slice_trim(slice_cut(&value, ';')), type);
}

/* Can it stand in a request line? */
static bool is_target(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] <= ' ' || (uint8_t)s.p[i] >= 0x7F || s.p[i] == '#')
            return false;
    }
    return true;
}

/* Does the upstream say, as those do that answer late, that the answer is to be fetched by GET from
 * itself? Keeps where. Nothing else is ever followed. */
static bool is_move(struct attempt *a, const struct http_head *h)
{
    struct slice to = http_field_get(h, HTTP_LOCATION);
    struct slice own = upstream_authority(a->target.provider->upstream);
    if (h->status != 303 || !(a->target.provider->row->quirks & QUIRK_FOLLOW_303) ||
        a->moves == MOVES_MAX)
        return false;
    ptrdiff_t scheme = slice_find(to, ':');
    if (scheme > 0 && to.n > (size_t)scheme + 3) {
        to = slice_from(to, (size_t)scheme + 3);
        if (!slice_starts(to, own))
            return false;
        to = slice_from(to, own.n);
    }
    if (to.n == 0 || *to.p != '/' || !is_target(to))
        return false;
    a->request.target = arena_copy(&a->exchange->arena, to);
    return a->request.target.p != NULL;
}

/* Is the stream in AWS's framing? */
static bool is_aws(const struct attempt *a)
{
    const struct translation *t = a->translation;
    return a->target.provider->row->quirks & QUIRK_SAGEMAKER ||
           (t != NULL && t->decoder.wire->framing == FRAMING_EVENT_STREAM);
}

static enum answer_kind kind_of(struct attempt *a, const struct http_head *h)
{
    struct slice type = http_field_get(h, HTTP_CONTENT_TYPE);
    if (a->exchange->passthrough != NULL)
        return ANSWER_RAW;
    if (is_move(a, h))
        return ANSWER_MOVED;
    if (h->status < 200 || h->status >= 300)
        return ANSWER_ERROR;
    if (media_type_is(type, is_aws(a) ? SLICE("application/vnd.amazon.eventstream")
                                      : SLICE("text/event-stream")))
        return a->exchange->request.stream ? ANSWER_STREAM : ANSWER_UNKNOWN;
    bool json = type.n == 0 || media_type_is(type, SLICE("application/json")) ||
                media_type_is(type, SLICE("application/problem+json"));
    return json ? ANSWER_WHOLE : ANSWER_UNKNOWN;
}

/* The head of a passed-through answer goes out at once. */
static void send_raw_head(struct attempt *a, const struct http_head *h)
{
    struct exchange *x = a->exchange;
    struct buf b;
    buf_init(&b, 65536);
    static const enum http_name names[] = {HTTP_CONTENT_TYPE, HTTP_CONTENT_ENCODING, HTTP_LOCATION,
                                           HTTP_RETRY_AFTER};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice v = http_field_get(h, names[i]);
        if (v.n > 0)
            http_put_field(&b, http_name_text(names[i]), v);
    }
    exchange_put_fields(x, &b);
    struct net_answer head = {.status = h->status,
                              .fields = buf_view(&b),
                              .content_length = h->chunked ? -1 : h->content_length};
    if (b.failed)
        conclude(a, GW_NO_MEMORY);
    else
        (void)!exchange_send(x, &head, SLICE_NONE, false);
    buf_done(&b);
}

static void on_head(struct net_lease *l, const struct http_head *h)
{
    struct attempt *a = attempt_of(l);
    a->head_ns = a->last_data_ns = net_now(l->loop);
    a->status = h->status;
    a->kind = kind_of(a, h);
    keep_fields(a, h);
    if (a->exchange->rival == NULL)
        attempt_win(a);
    exchange_rearm(a->exchange);
    if (a->kind == ANSWER_RAW)
        send_raw_head(a, h);
    else if (a->kind == ANSWER_UNKNOWN)
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "its content type is not what was asked for");
}

static void note_usage(struct attempt *a, const struct llm_scan *scan)
{
    if (scan->has_usage)
        attempt_note_usage(a, &scan->usage);
}

/* The upstream's error for the client; its text outlives the answer. */
static void keep_error(const struct attempt *of, enum gw_error why, const struct llm_error *e)
{
    const struct gw_error_row *row = gw_error_row(why);
    const struct translation *t = of->translation;
    struct exchange *x = of->exchange;
    struct arena *a = &x->arena;
    bool openai = x->dialect->family == FAMILY_OPENAI;
    bool own = t == NULL || t->decoder.wire->family == x->dialect->family; /* types are its words */
    struct slice type = own ? arena_copy(a, e->type) : SLICE_NONE;
    if (type.n == 0 && openai)
        type = slice_str(row->type);
    x->upstream_error =
        (struct llm_error){.message = arena_copy(a, e->message),
                           .type = type,
                           .code = e->code.n > 0 ? arena_copy(a, e->code) : slice_str(row->code),
                           .param = e->param.p != NULL ? arena_copy(a, e->param) : SLICE_NONE};
}

/* An error object where an answer should be. */
static void conclude_upstream_error(struct attempt *a, const struct llm_error *e)
{
    keep_error(a, GW_UPSTREAM_ERROR, e);
    conclude(a, GW_UPSTREAM_ERROR);
}

/* Which of our errors an upstream's status is, and whether the client gets the status itself. */
static enum gw_error error_of_status(const struct attempt *a, unsigned status, unsigned *ret_status)
{
    *ret_status = 0;
    switch (status) {
    case 401:
    case 403:
        if (!a->target.provider->client_key)
            return GW_UPSTREAM_AUTH;
        break;
    case 402: return GW_UPSTREAM_BILLING;
    case 408: /* it, or its model, was too slow or failed: nothing is wrong with the request */
    case 424: *ret_status = status; return GW_UPSTREAM_ERROR;
    case 429: *ret_status = 429; return GW_UPSTREAM_RATE_LIMITED;
    default: break;
    }
    if (status >= 300 && status < 400)
        return GW_UPSTREAM_BAD_ANSWER;
    *ret_status = status == 529 ? 503 : status;
    return status >= 500 ? GW_UPSTREAM_ERROR : GW_UPSTREAM_REFUSED;
}

/* Keeps what the client is to hear of a refusal. Whose credential was bad is the gateway's
 * business, so that text stays in the log. */
static enum gw_error note_refusal(struct attempt *a, unsigned status, const struct llm_error *e)
{
    struct exchange *x = a->exchange;
    unsigned passed;
    enum gw_error why = error_of_status(a, status, &passed);
    if (status == 401 && a->target.provider->credential != NULL)
        gw_credential_refused(a->target.provider->credential);
    log_event(LOG_INFO, "upstream.refused", "%.*s %.*s: status %u: %.*s", SLICE_ARG(x->id),
              SLICE_ARG(a->target.label), status, SLICE_ARG(e->message));
    x->upstream_status = passed;
    if (passed != 0)
        keep_error(a, why, e);
    return why;
}

/* The same, found by a translation; it may say which status it stands for. */
static void conclude_event_error(struct attempt *a)
{
    const struct translation *t = a->translation;
    if (t->error_status == 0)
        conclude_upstream_error(a, &t->error);
    else
        conclude(a, note_refusal(a, t->error_status, &t->error));
}

/* The model exists and works: a name that is no alias gets its own metrics from here on. */
static void note_answered(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct metric_shard *m = x->worker->metrics;
    attempt_win(a);
    x->model_answered = true;
    if (x->model != NULL || x->metric_id != 0 || !x->counted_inflight)
        return;
    metric_add(m, MM_INFLIGHT, 0, 0, -1);
    x->metric_id = worker_label_id(x->worker, x->request.model, true);
    metric_add(m, MM_INFLIGHT, x->metric_id, 0, 1);
}

void relay_deliver_first(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct buf *out = &x->worker->out;
    int64_t now = net_now(&x->worker->loop);
    a->content = true;
    a->first_content_ns = now;
    if (x->first_content_ns == 0)
        x->first_content_ns = now;
    note_answered(a);
    route_begun(a);
    buf_slice(out, buf_view(&a->prelude));
    buf_done(&a->prelude);
    exchange_rearm(x);
    bool echoed = a->translation != NULL && x->dialect->id == DIALECT_RESPONSES;
    if (!a->lease.body_sent || echoed ||
        x->rescue != NULL) /* still being written, or to be told again */
        return;
    block_free(&x->worker->loop.blocks, &x->body);
    translate_done(a);
}

static void count_content(struct attempt *a)
{
    struct exchange *x = a->exchange;
    a->content_events++;
    x->content_events++;
    a->last_content_ns = x->last_content_ns = net_now(&x->worker->loop);
}

/* Appends the event to what goes out, or to what is held until there is content. False: the attempt
 * is over, for there is no room. */
static bool pass_event(struct attempt *a, const struct sse_event *ev, const struct llm_scan *scan)
{
    struct exchange *x = a->exchange;
    struct buf *out = a->content ? &x->worker->out : &a->prelude;
    if (scan == NULL || !a->strip_usage || scan->usage_member.value_end == 0)
        buf_slice(out, ev->raw);
    else if (!scan->usage_only)
        openai_put_event_without_usage(out, ev->raw, ev->data, &scan->usage_member);
    if (!out->failed)
        return true;
    conclude(a, ev->raw.n > out->cap - out->n ? GW_UPSTREAM_TOO_LARGE : GW_NO_MEMORY);
    return false;
}

/* Streams proper have events that resemble each other. */
static bool scan_event(struct attempt *a, struct slice data, struct llm_scan *ret)
{
    struct exchange *x = a->exchange;
    const struct llm_provider *row = a->target.provider->row;
    if (a->content && a->repeat == NULL)
        a->repeat = arena_zalloc(&x->arena, sizeof *a->repeat);
    return a->repeat != NULL
               ? openai_scan_next_event(a->repeat, x->worker->json, &x->arena, row, data, ret)
               : openai_scan_event(x->worker->json, &x->arena, row, data, ret);
}

static bool finish_stream(struct attempt *a)
{
    a->done = true;
    if (lost_some(a))
        conclude(a, GW_NO_MEMORY);
    else if (flush_out(a, true))
        conclude(a, GW_OK);
    return true;
}

/* Behind each event, whose data is at hand. False: the answer was longer than it may be, and the
 * attempt is over. */
static bool keep_bound(struct attempt *a, struct slice data)
{
    if (!overlong(a))
        return true;
    if (overlong_end(a, data))
        (void)finish_stream(a);
    else
        conclude_with(a, GW_UPSTREAM_TOO_LARGE, "more tokens than the request allows");
    return false;
}

/* False: the attempt is over. */
static bool relay_event(struct attempt *a, const struct sse_event *ev)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    struct llm_scan scan;
    if (a->done)
        return true;
    if (!ev->has_data)
        return pass_event(a, ev, NULL);
    if (!scan_event(a, ev->data, &scan)) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "an event of the stream is not valid");
        return false;
    }
    if (scan.is_error) {
        conclude_upstream_error(a, &scan.error);
        return false;
    }
    metric_count(w->metrics, MP_EVENTS, 1);
    note_usage(a, &scan);
    a->done = scan.done;
    if ((scan.content || scan.finished || scan.done) && !a->content)
        relay_deliver_first(a);
    if (scan.content) {
        count_content(a);
        x->output_units += scan.output_units;
    }
    if (scan.finished)
        overlong_note_finish(a, ev->data);
    return pass_event(a, ev, &scan) && keep_bound(a, ev->data);
}

/* The same where dialect and wire are not both OpenAI's. */
static bool relay_translated(struct attempt *a, struct slice name, struct slice data,
                             struct slice raw)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    struct translation *t = a->translation;
    if (!translate_event(a, name, data)) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER,
                      t->broken ? "the continuation does not fit the answer"
                                : "an event of the stream is not valid");
        return false;
    }
    if (t->is_error) {
        conclude_event_error(a);
        return false;
    }
    metric_count(w->metrics, MP_EVENTS, 1);
    if (t->content) {
        count_content(a);
    }
    struct buf *out = a->content ? &w->out : &a->prelude;
    if (t->raw)
        buf_slice(out, raw);
    a->done = t->decoder.ended;
    if (!out->failed && !t->sequencer.failed)
        return keep_bound(a, data);
    conclude(a, GW_NO_MEMORY);
    return false;
}

/* An event of a stream that goes through neutral events. False: the attempt is over. */
static bool relay_sse(struct attempt *a, const struct sse_event *ev)
{
    if (a->translation == NULL)
        return relay_event(a, ev);
    if (a->done)
        return true;
    if (!ev->has_data)
        return !a->translation->raw || a->exchange->dialect->id == DIALECT_GOOGLE ||
               pass_event(a, ev, NULL); /* Google's SDK for Python stumbles over comments */
    return relay_translated(a, ev->name, ev->data, ev->raw);
}

/* Sends what has gathered. False: the client is gone and the exchange with it. */
static bool flush_out(struct attempt *a, bool end)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    struct slice out = buf_view(&w->out);
    struct net_answer head;
    bool open = x->stage == STAGE_OPEN, ok = true;
    if (out.n > 0 || end) {
        ok = open && !respond_stream_head(x, &head)
                 ? exchange_break(x, GW_NO_MEMORY)
                 : exchange_send(x, open ? &head : NULL, out, end);
        if (ok && !end && x->stage == STAGE_HEADED && a->content)
            x->stage = STAGE_DELIVERING;
    }
    buf_reset(&w->out);
    if (ok && a->done)
        exchange_rearm(x);
    return ok;
}

static bool relay_all_sse(struct attempt *a, struct slice *in)
{
    struct sse_event ev;
    while (sse_next(in, &a->scanned, &a->exchange->worker->events, &ev)) {
        if (!relay_sse(a, &ev))
            return false;
    }
    return true;
}

/* A piece of the container's own stream, which SageMaker cuts anywhere; or why it broke off. */
static bool relay_payload(struct attempt *a, const struct aws_event *ev)
{
    struct exchange *x = a->exchange;
    struct llm_error e;
    if (ev->kind != AWS_EVENT) {
        openai_read_error(x->worker->json, &x->arena, aws_event_data(ev, &x->worker->events), &e);
        conclude_upstream_error(a, &e);
        return false;
    }
    if (!slice_is(ev->type, "PayloadPart"))
        return true;
    buf_slice(&a->inner, ev->payload);
    struct slice in = buf_view(&a->inner);
    if (a->inner.failed) {
        conclude_with(a, GW_UPSTREAM_TOO_LARGE, "one event of the stream");
        return false;
    }
    if (!relay_all_sse(a, &in))
        return false;
    buf_consume(&a->inner, a->inner.n - in.n);
    return true;
}

/* Whole events of AWS's framing off `*in`; what comes behind the answer's end is not looked at.
 * False: the attempt is over. */
static bool relay_aws(struct attempt *a, struct slice *in)
{
    bool outer = a->target.provider->row->quirks & QUIRK_SAGEMAKER;
    struct buf *scratch = &a->exchange->worker->events;
    struct aws_event ev;
    enum aws_event_result r = AWS_EVENT_GOT;
    while (!a->done && (r = aws_event_next(in, &ev)) == AWS_EVENT_GOT) {
        bool ok = outer ? relay_payload(a, &ev)
                        : relay_translated(a, aws_event_name(&ev), aws_event_data(&ev, scratch),
                                           SLICE_NONE);
        if (!ok)
            return false;
    }
    if (a->done)
        *in = slice_from(*in, in->n);
    if (r != AWS_EVENT_BAD)
        return true;
    conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "its event stream is damaged");
    return false;
}

static void relay_stream(struct attempt *a, struct slice data)
{
    struct exchange *x = a->exchange;
    struct worker *w = x->worker;
    struct block *held = &a->held;
    struct slice in = data;
    if (held->n > 0) {
        if (!block_reserve(&w->loop.blocks, held, data.n)) {
            conclude(a, GW_NO_MEMORY);
            return;
        }
        memcpy(held->p + held->n, data.p, data.n);
        held->n += data.n;
        in = slice_of(held->p, held->n);
    }
    if (!(is_aws(a) ? relay_aws(a, &in) : relay_all_sse(a, &in)))
        return;
    if (in.n > (size_t)x->snapshot->limits.event_bytes) {
        conclude_with(a, GW_UPSTREAM_TOO_LARGE, "one event of the stream");
        return;
    }
    if (held->n == 0 && in.n > 0 && !block_reserve(&w->loop.blocks, held, in.n)) {
        conclude(a, GW_NO_MEMORY);
        return;
    }
    if (in.n > 0)
        memmove(held->p, in.p, in.n);
    held->n = in.n;
    if (in.n == 0)
        block_free(&w->loop.blocks, held);
}

/* Gathers a body that is used as a whole. */
static void gather(struct attempt *a, struct slice data, bool last)
{
    struct exchange *x = a->exchange;
    size_t limit =
        a->kind == ANSWER_ERROR ? ERROR_BODY_MAX : (size_t)x->snapshot->limits.answer_bytes;
    if (a->held.n + data.n > limit) {
        conclude(a, GW_UPSTREAM_TOO_LARGE);
        return;
    }
    if (last && a->held.n == 0) {
        a->whole = data;
        return;
    }
    if (!block_reserve(&x->worker->loop.blocks, &a->held, data.n)) {
        conclude(a, GW_NO_MEMORY);
        return;
    }
    memcpy(a->held.p + a->held.n, data.p, data.n);
    a->held.n += data.n;
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    struct attempt *a = attempt_of(l);
    a->last_data_ns = net_now(l->loop);
    switch (a->kind) {
    case ANSWER_STREAM: relay_stream(a, data); break;
    case ANSWER_RAW: (void)!exchange_send(a->exchange, NULL, data, false); break;
    case ANSWER_MOVED: break;
    default: gather(a, data, last); break;
    }
}

static void on_flush(struct net_lease *l)
{
    struct attempt *a = attempt_of(l);
    struct exchange *x = a->exchange;
    if (a->kind == ANSWER_STREAM && (x->worker->out.n > 0 || a->done))
        (void)!flush_out(a, a->done);
}

static struct slice whole_body(const struct attempt *a)
{
    return a->whole.p != NULL ? a->whole : slice_of(a->held.p, a->held.n);
}

/* Has something that was to go out found no memory? What there is must not look like the whole. */
static bool lost_some(const struct attempt *a)
{
    return a->exchange->worker->out.failed ||
           (a->translation != NULL && a->translation->sequencer.failed);
}

/* A whole answer through neutral events. */
static bool end_translated(struct attempt *a, struct slice body)
{
    struct exchange *x = a->exchange;
    struct translation *t = a->translation;
    struct buf out;
    bool good = true, streams = x->request.stream && t->decoder.wire->poll != NULL;
    buf_init(&out, (size_t)x->snapshot->limits.answer_bytes * 2);
    if (!translate_whole(a, body, &out)) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "its body is no valid answer");
        good = false;
    } else if (t->is_error) {
        conclude_event_error(a);
    } else if (lost_some(a)) {
        conclude(a, GW_NO_MEMORY);
    } else if (streams && t->decoder.ended) {
        a->done = true;
        if (flush_out(a, true))
            conclude(a, GW_OK);
    } else if (x->request.stream) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "a stream was asked for");
    } else if (out.failed) {
        conclude(a, GW_NO_MEMORY);
    } else {
        note_answered(a);
        if (x->first_content_ns == 0)
            x->first_content_ns = net_now(&x->worker->loop);
        if (respond_json(x, 200, SLICE_NONE, t->raw ? body : buf_view(&out)))
            conclude(a, GW_OK);
    }
    buf_done(&out);
    return good;
}

static void follow(struct attempt *a)
{
    a->moves++;
    a->out_ns = attempt_out_ns(a);
    a->request.method = HTTP_GET;
    a->request.has_body = false;
    a->request.body_parts = 0;
    a->request.body_bytes = 0;
    a->lease.phase =
        LEASE_WAIT; /* the limits begin anew: armed first, for it may be over at once */
    a->lease.phase_since_ns = net_now(&a->exchange->worker->loop);
    exchange_rearm(a->exchange);
    net_lease_start(&a->lease, &a->exchange->worker->loop, a->target.provider->upstream,
                    &a->request, &relay_ops);
}

void relay_look_again(struct timer *look)
{
    follow(container_of(look, struct attempt, look));
}

/* The answer is a job's: is it still being worked at? Then it is asked for again in a while. */
static bool is_pending(struct attempt *a)
{
    const struct llm_wire *wire = a->translation != NULL ? a->translation->decoder.wire : NULL;
    struct exchange *x = a->exchange;
    struct slice path;
    if (wire == NULL || wire->poll == NULL ||
        wire->poll(&a->translation->decoder, whole_body(a), &path) != LLM_POLL_PENDING)
        return false;
    int64_t wait_ns = MIN_OF(LOOK_NS * (1 + (int64_t)a->moves / 4), LOOK_MOST_NS);
    a->request.target = arena_printf(&x->arena, SLICE_FMT SLICE_FMT,
                                     SLICE_ARG(a->target.provider->base_path), SLICE_ARG(path));
    a->held.n = 0;
    a->whole = SLICE_NONE;
    if (a->request.target.p == NULL ||
        !net_timer_set(&x->worker->loop, &a->look, net_now(&x->worker->loop) + wait_ns))
        conclude(a, GW_NO_MEMORY);
    return true;
}

static bool end_whole(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct llm_scan scan;
    struct slice body = whole_body(a);
    if (is_pending(a))
        return true;
    if (a->translation != NULL)
        return end_translated(a, body);
    if (!openai_scan_answer(x->worker->json, &x->arena, a->target.provider->row, x->request.op,
                            body, &scan)) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "its body is no valid answer");
        return false;
    }
    if (scan.is_error) {
        conclude_upstream_error(a, &scan.error);
        return true;
    }
    if (x->request.stream) {
        conclude_with(a, GW_UPSTREAM_BAD_ANSWER, "a stream was asked for");
        return true;
    }
    note_usage(a, &scan);
    note_answered(a);
    if (x->first_content_ns == 0)
        x->first_content_ns = net_now(&x->worker->loop);
    if (respond_json(x, a->status, SLICE_NONE, body))
        conclude(a, GW_OK);
    return true;
}

/* What a body says of trying again, as the header that clients look for. */
static void keep_retry_delay(struct attempt *a, const struct llm_wire *wire)
{
    struct exchange *x = a->exchange;
    int64_t ms;
    if (a->retry_fields.n > 0 || wire->retry_delay == NULL ||
        !wire->retry_delay(x->worker->json, &x->arena, whole_body(a), &ms))
        return;
    a->retry_after_ns = ms * NS_PER_MS;
    a->retry_fields = arena_printf(&x->arena, "Retry-After: %lld\r\nRetry-After-Ms: %lld\r\n",
                                   (long long)((ms + 999) / 1000), (long long)ms);
    if (x->rival == NULL)
        x->retry_fields = a->retry_fields;
}

/* The upstream refused: its error in the client's dialect. */
static void end_error(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct llm_error e;
    const struct llm_wire *wire =
        a->translation != NULL ? a->translation->decoder.wire : &openai_wire;
    wire->read_error(x->worker->json, &x->arena, whole_body(a), &e);
    keep_retry_delay(a, wire);
    conclude(a, note_refusal(a, a->status, &e));
}

static bool end_stream(struct attempt *a)
{
    if (!a->done && a->translation != NULL)
        a->done = translate_end(a);
    if (!a->done) {
        conclude(a, GW_UPSTREAM_CUT);
        return false;
    }
    return finish_stream(a);
}

/* An upstream whose answer made no sense may have more of it in the pipe. */
static bool on_end(struct net_lease *l)
{
    struct attempt *a = attempt_of(l);
    switch (a->kind) {
    case ANSWER_STREAM: return end_stream(a);
    case ANSWER_WHOLE: return end_whole(a);
    case ANSWER_ERROR: end_error(a); return true;
    case ANSWER_MOVED: follow(a); return true;
    case ANSWER_RAW:
        if (exchange_send(a->exchange, NULL, SLICE_NONE, true))
            conclude(a, GW_OK);
        return true;
    case ANSWER_UNKNOWN: break;
    }
    return false;
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    static const enum gw_error errors[NET_FAILS_N] = {
        [NET_FAIL_DNS] = GW_UPSTREAM_DNS,       [NET_FAIL_CONNECT] = GW_UPSTREAM_CONNECT,
        [NET_FAIL_PROXY] = GW_UPSTREAM_PROXY,   [NET_FAIL_TLS] = GW_UPSTREAM_TLS,
        [NET_FAIL_RESET] = GW_UPSTREAM_RESET,   [NET_FAIL_BAD_ANSWER] = GW_UPSTREAM_BAD_ANSWER,
        [NET_FAIL_TRUNCATED] = GW_UPSTREAM_CUT, [NET_FAIL_MEMORY] = GW_NO_MEMORY,
        [NET_FAIL_EXHAUSTED] = GW_EXHAUSTED,
    };
    struct attempt *a = attempt_of(l);
    const struct exchange *x = a->exchange;
    log_event(LOG_WARN, "upstream.failed", "%.*s %.*s: %s%s%s", SLICE_ARG(x->id),
              SLICE_ARG(a->target.label), net_fail_text(why), *detail ? ": " : "", detail);
    if (a->done) { /* the answer is whole; only the connection is lost */
        if (flush_out(a, true))
            conclude(a, GW_OK);
        return;
    }
    if (*detail != '\0')
        conclude_with(a, errors[why], detail);
    else
        conclude(a, errors[why]);
}

void relay_request_body(struct exchange *x, struct slice data, bool last)
{
    struct attempt *a = x->attempt;
    if (a == NULL || attempt_over(a))
        return;
    a->last_data_ns = net_now(&x->worker->loop);
    bool more = net_lease_write(&a->lease, data, last);
    if (!more && !last && x->client != NULL)
        net_stream_pause_body(x->client);
}

static void on_writable(struct net_lease *l)
{
    struct exchange *x = attempt_of(l)->exchange;
    if (x->client != NULL)
        net_stream_read_body(x->client);
}

const struct net_lease_ops relay_ops = {
    .on_writable = on_writable,
    .on_head = on_head,
    .on_body = on_body,
    .on_flush = on_flush,
    .on_end = on_end,
    .on_fail = on_fail,
};
