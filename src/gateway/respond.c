/* Heads, whole answers and errors for clients. */
#include "respond.h"

#include "base/clock.h"
#include "rescue.h"
#include "translate.h"
#include "worker.h"

#define FIELDS_BYTES ((size_t)65536)
#define MODELS_BYTES ((size_t)64 << 20)
#define KEY_BYTES    ((size_t)1 << 20)
#define ERROR_BYTES  (((size_t)1 << 20) + 65536) /* an upstream's may be as large, less a frame */
#define EVENT_BYTES  (2 * ERROR_BYTES)           /* Responses says it twice, and its request */

#define RETRY_AFTER_MAX_S INT64_C(600) /* an estimate of more is none */

static enum net_sent client_send(struct exchange *x, const struct net_answer *head,
                                 struct slice body, bool end)
{
    return net_stream_send(x->client, head, &body, body.n > 0, end);
}

static void client_abort(struct exchange *x)
{
    net_stream_abort(x->client);
}

const struct sink_ops client_sink = {.send = client_send, .abort = client_abort};

/* What an answer costs is known before its head goes out when it goes out as a whole. */
static void put_cost(const struct exchange *x, struct buf *b)
{
    const struct attempt *a = x->attempt;
    int64_t nano = a != NULL && !x->request.stream ? account_cost(a) : -1;
    if (nano < 0)
        return;
    buf_lit(b, "x-weir-cost-usd: ");
    buf_money(b, nano);
    buf_lit(b, "\r\n");
}

void exchange_put_fields(struct exchange *x, struct buf *b)
{
    buf_lit(b, "x-weir-request-id: ");
    buf_slice(b, x->id);
    buf_lit(b, "\r\n");
    if (x->attempts_n > 0) {
        http_put_field(b, SLICE("x-weir-target"), x->attempt->target.label);
        buf_lit(b, "x-weir-attempts: ");
        buf_i64(b, x->attempts_n);
        buf_lit(b, "\r\n");
    }
    if (x->last_resort)
        buf_lit(b, "x-weir-last-resort: true\r\n");
    if (x->cors_origin.n > 0) {
        http_put_field(b, SLICE("Access-Control-Allow-Origin"), x->cors_origin);
        buf_lit(b, "Vary: Origin\r\n");
    }
    if (x->dropped.n > 0)
        http_put_field(b, SLICE("x-weir-dropped"), x->dropped);
    put_cost(x, b);
    admit_put_fields(x, b);
    buf_slice(b, x->down_fields);
}

/* SDKs show the request id: the upstream's own when it gave one. Anthropic's call it otherwise. */
static void put_request_id(struct exchange *x, struct buf *b)
{
    struct slice id = x->upstream_id.n > 0 ? x->upstream_id : x->id;
    http_put_field(b, SLICE("x-request-id"), id);
    if (x->dialect->id == DIALECT_ANTHROPIC)
        http_put_field(b, SLICE("request-id"), id);
}

bool respond_json(struct exchange *x, unsigned status, struct slice extra_fields, struct slice body)
{
    struct buf *fields = &x->worker->fields;
    buf_reset(fields);
    buf_lit(fields, "Content-Type: application/json\r\n");
    put_request_id(x, fields);
    exchange_put_fields(x, fields);
    buf_slice(fields, extra_fields);
    if (fields->failed)
        return exchange_break(x, GW_NO_MEMORY);
    struct net_answer head = {
        .status = status, .fields = buf_view(fields), .content_length = (int64_t)body.n};
    return exchange_send(x, &head, body, true);
}

bool respond_stream_head(struct exchange *x, struct net_answer *ret)
{
    struct buf *fields = &x->worker->fields;
    buf_reset(fields);
    http_put_field(fields, SLICE("Content-Type"), x->dialect->stream_type);
    buf_lit(fields, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    put_request_id(x, fields);
    exchange_put_fields(x, fields);
    *ret = (struct net_answer){.status = 200, .fields = buf_view(fields), .content_length = -1};
    return !fields->failed;
}

static void respond_body(struct exchange *x, struct slice fields, struct buf *body)
{
    (void)!(body->failed ? exchange_break(x, GW_NO_MEMORY)
                         : respond_json(x, 200, fields, buf_view(body)));
    buf_done(body);
}

void respond_models(struct exchange *x)
{
    const struct gw_snapshot *s = x->snapshot;
    const struct gw_key *k = x->key;
    if (k == NULL || k->models_n == 0) {
        (void)!respond_json(x, 200, SLICE_NONE, s->models_json);
        return;
    }
    struct buf body;
    size_t n = 0;
    struct llm_model_row *rows = arena_alloc(&x->arena, (s->model_rows_n + 1) * sizeof *rows);
    for (size_t i = 0; i < s->model_rows_n && rows != NULL; i++) {
        if (gw_allows(k->models, k->models_n, s->model_rows[i].id))
            rows[n++] = s->model_rows[i];
    }
    buf_init(&body, MODELS_BYTES);
    body.failed = rows == NULL;
    openai_put_models(&body, rows, n, s->created_s);
    respond_body(x, SLICE_NONE, &body);
}

enum step_result respond_model(struct exchange *x, struct slice name)
{
    const struct gw_model *model;
    struct gw_target target;
    struct slice hint;
    struct buf body;
    enum gw_resolved r = gw_resolve(x->snapshot, name, &x->arena, &model, &target, &hint);
    bool may = x->key == NULL || gw_allows(x->key->models, x->key->models_n, name);
    if (!may || (r != RESOLVED_MODEL && r != RESOLVED_TARGET))
        return exchange_refuse(x, GW_MODEL_NOT_FOUND, "The model `%.*s` does not exist.",
                               SLICE_ARG(name));
    struct llm_model_row row = {
        .id = name,
        .owner = r == RESOLVED_MODEL ? SLICE("weir") : target.provider->name,
    };
    buf_init(&body, FIELDS_BYTES);
    openai_put_model(&body, &row, clock_wall_ns() / NS_PER_S);
    bool ok = !body.failed;
    if (ok)
        (void)!respond_json(x, 200, SLICE_NONE, buf_view(&body));
    buf_done(&body);
    if (!ok)
        return exchange_refuse(x, GW_NO_MEMORY, NULL);
    pipeline_to_settle(x);
    return STEP_AGAIN;
}

void respond_key(struct exchange *x)
{
    struct buf body;
    buf_init(&body, KEY_BYTES);
    key_info_put(x, &body);
    respond_body(x, SLICE("Cache-Control: no-store\r\n"), &body);
}

void respond_preflight(struct exchange *x)
{
    struct buf fields;
    buf_init(&fields, FIELDS_BYTES);
    exchange_put_fields(x, &fields);
    buf_lit(&fields, "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
                     "Access-Control-Allow-Headers: *, Authorization\r\n"
                     "Access-Control-Max-Age: 600\r\n");
    struct net_answer head = {.status = 204, .fields = buf_view(&fields), .content_length = 0};
    (void)!(fields.failed ? exchange_break(x, GW_NO_MEMORY)
                          : exchange_send(x, &head, SLICE_NONE, true));
    buf_done(&fields);
}

static unsigned error_status(const struct exchange *x)
{
    return x->upstream_status != 0 ? x->upstream_status : gw_error_row(x->error)->status;
}

static struct llm_error error_of(const struct exchange *x)
{
    const struct gw_error_row *row = gw_error_row(x->error);
    bool openai = x->dialect->family == FAMILY_OPENAI;
    if (x->upstream_error.message.n > 0)
        return x->upstream_error;
    return (struct llm_error){
        .message = x->message.n > 0 ? x->message : slice_str(row->message),
        .type = openai ? slice_str(row->type) : SLICE_NONE, /* others' follow from the status */
        .code = slice_str(x->code != NULL ? x->code : row->code),
        .param = x->param.n > 0 ? x->param : SLICE_NONE,
    };
}

/* When it may be worth while to try again, in seconds: for a queue, how long one who came now would
 * wait in it. */
static int64_t retry_after_s(const struct exchange *x)
{
    const struct attempt *a = x->attempt;
    bool queue = x->error == GW_QUEUE_FULL || x->error == GW_QUEUE_TIMEOUT;
    if (!queue || a == NULL || !a->target.provider->gated)
        return 1;
    int64_t ns = permits_wait_ns(&a->target.provider->gate->permits);
    return MAX_OF(INT64_C(1), MIN_OF((ns + NS_PER_S - 1) / NS_PER_S, RETRY_AFTER_MAX_S));
}

/* Headers that an error's status asks for. */
static void put_error_fields(struct exchange *x, struct buf *b)
{
    if (x->allow != NULL)
        http_put_field(b, SLICE("Allow"), slice_str(x->allow));
    if (x->error == GW_NO_KEY || x->error == GW_BAD_KEY)
        buf_lit(b, "WWW-Authenticate: Bearer\r\n");
    bool refused =
        x->error == GW_BUDGET || x->error == GW_RATE_LIMITED || x->error == GW_LIMIT_TOO_SMALL;
    if (refused && x->admission != NULL && x->admission->refused)
        admit_put_refusal(x, b);
    else if (x->attempts_n > 1)
        buf_lit(b, "x-should-retry: false\r\n"); /* it has been retried here */
    buf_slice(b, x->retry_fields);
    bool wait_helps = x->error == GW_QUEUE_FULL || x->error == GW_QUEUE_TIMEOUT ||
                      x->error == GW_BODY_MEMORY || x->error == GW_EXHAUSTED ||
                      x->error == GW_SHUTTING_DOWN || x->error == GW_LEDGER_FULL;
    if (wait_helps) {
        buf_lit(b, "Retry-After: ");
        buf_i64(b, retry_after_s(x));
        buf_lit(b, "\r\n");
    }
}

static void send_error_answer(struct exchange *x, struct slice body)
{
    struct buf fields;
    buf_init(&fields, FIELDS_BYTES);
    put_error_fields(x, &fields);
    if (fields.failed)
        exchange_break(x, GW_NO_MEMORY);
    else
        (void)!respond_json(x, error_status(x), buf_view(&fields), body);
    buf_done(&fields);
}

/* The last event of a stream under way. */
static void send_error_event(struct exchange *x)
{
    struct llm_error e = error_of(x);
    struct buf event;
    bool begun = x->stage == STAGE_DELIVERING; /* else what it would have to fit never went out */
    buf_init(&event, EVENT_BYTES + 2 * x->request.body.n);
    if (!begun || !translate_error(x->attempt, &event, error_status(x), &e))
        x->dialect->put_error_event(&event, error_status(x), &e, x->id);
    if (event.failed) {
        exchange_break(x, GW_NO_MEMORY);
    } else {
        if (x->client != NULL)
            net_stream_cut_after(x->client);
        (void)!exchange_send(x, NULL, buf_view(&event), true);
    }
    buf_done(&event);
}

void exchange_send_error(struct exchange *x)
{
    struct buf body;
    rescue_give_up(x);
    if (x->sink == NULL || last_resort_send(x))
        return;
    struct llm_error e = error_of(x);
    buf_init(&body, ERROR_BYTES);
    x->dialect->put_error(&body, error_status(x), &e, x->id);
    if (body.failed) {
        exchange_break(x, GW_NO_MEMORY);
    } else if (x->stage == STAGE_OPEN) {
        send_error_answer(x, buf_view(&body));
    } else if (x->passthrough != NULL || !x->request.stream) {
        x->sink->abort(x);
        x->sink = NULL;
        x->client = NULL;
    } else {
        send_error_event(x);
    }
    buf_done(&body);
}

void respond_without_exchange(struct net_stream *s, enum gw_error e)
{
    const struct gw_error_row *row = gw_error_row(e);
    struct llm_error error = {.message = slice_str(row->message),
                              .type = slice_str(row->type),
                              .code = slice_str(row->code)};
    struct buf body;
    buf_init(&body, 4096);
    openai_put_error(&body, &error);
    struct net_answer head = {.status = row->status,
                              .fields = SLICE("Content-Type: application/json\r\n"),
                              .content_length = (int64_t)body.n,
                              .close = true};
    struct slice part = buf_view(&body);
    if (body.failed)
        net_stream_abort(s);
    else if (net_stream_send(s, &head, &part, 1, true) == NET_SENT_GONE)
        log_event(LOG_DEBUG, "client.gone", "before its error could be sent");
    buf_done(&body);
}
