/* Where every exchange ends: what it was is logged and counted, and all it held is given back. */
#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "inflate.h"
#include "rescue.h"
#include "worker.h"

/* Why it was cut short; GW_OK: it was not, or its answer was out already. */
static enum gw_error cut_short(const struct exchange *x)
{
    return x->stage == STAGE_ENDED ? GW_OK : x->cancelled;
}

/* The status that stands for the exchange in logs and metrics. */
static unsigned final_status(const struct exchange *x)
{
    if (cut_short(x) != GW_OK)
        return gw_error_row(x->cancelled)->status;
    return x->status != 0 ? x->status : gw_error_row(x->error)->status;
}

/* A text of the configuration is no success. */
static unsigned counted_status(const struct exchange *x)
{
    return x->last_resort ? gw_error_row(x->error)->status : final_status(x);
}

static const char *reason(const struct exchange *x)
{
    if (cut_short(x) != GW_OK)
        return gw_error_row(x->cancelled)->code;
    if (x->last_resort)
        return "last_resort";
    if (x->error != GW_OK)
        return gw_error_row(x->error)->code;
    return x->attempt != NULL && x->attempt->overlong ? "cut_at_limit" : "complete";
}

static int64_t since_us(const struct exchange *x, int64_t ns)
{
    return ns == 0 ? -1 : (ns - x->started_ns) / NS_PER_US;
}

/* A field that is left out where it is not known. */
#define put_known(w, literal, v)                                                                   \
    do {                                                                                           \
        int64_t known_ = (v);                                                                      \
        if (known_ >= 0)                                                                           \
            jw_field_i64((w), literal, known_);                                                    \
    } while (0)

static void put_attempt(struct json_writer *w, const struct exchange *x, const struct attempt *a)
{
    jw_open(w, '{');
    jw_field_string(w, "target", a->target.label);
    jw_field_string(w, "outcome", slice_str(attempt_outcome(a->error, a->overlong)));
    if (a->status != 0)
        jw_field_i64(w, "status", a->status);
    jw_field_bool(w, "reused", a->reused);
    put_known(w, "start_us", since_us(x, a->started_ns));
    put_known(w, "sent_us", since_us(x, attempt_out_ns(a)));
    put_known(w, "head_us", since_us(x, a->head_ns));
    put_known(w, "first_us", since_us(x, a->first_content_ns));
    put_known(w, "end_us", since_us(x, a->ended_ns));
    jw_close(w, '}');
}

/* Of all attempts together; nothing where some price is not known. */
static void put_cost(struct json_writer *w, const struct exchange *x)
{
    int64_t nano = 0;
    for (unsigned i = 0; i < x->attempts_n; i++) {
        const struct ledger_row *row = &x->attempts[i]->account.row;
        if (row->flags & LEDGER_UNPRICED)
            return;
        nano += row->cost_nano;
    }
    if (x->attempts_n == 0)
        return;
    jw_key(w, "cost_usd");
    jw_money(w, nano);
}

/* What the client was told. */
static const struct llm_usage *usage_of(const struct exchange *x)
{
    return x->rescue != NULL && x->rescue->done ? &x->rescue->usage : &x->usage;
}

static void put_model(struct json_writer *w, const struct exchange *x)
{
    const struct llm_usage *u = usage_of(x);
    if (x->request.model.n == 0)
        return;
    jw_field_string(w, "model", x->request.model);
    jw_field_bool(w, "stream", x->request.stream);
    if (x->rescue != NULL && x->rescue->cuts > 0)
        jw_field_bool(w, "rescued", x->rescue->done);
    put_known(w, "input_tokens", u->input);
    put_known(w, "output_tokens", u->output);
    put_known(w, "cached_tokens", u->cached);
    put_known(w, "reasoning_tokens", u->reasoning);
    if (u->output < 0 && x->output_units > 0)
        jw_field_i64(w, "estimated_output_tokens", x->output_units);
    put_cost(w, x);
}

static void put_client(struct json_writer *w, const struct exchange *x)
{
    char text[NET_ADDR_TEXT];
    jw_field_string(w, "client", net_addr_text(&x->peer, text));
    if (x->key != NULL)
        jw_field_string(w, "key", x->key->scope.name);
    if (x->admission != NULL && x->admission->use_case != NULL)
        jw_field_string(w, "use_case", x->admission->use_case->scope.name);
    if (x->purpose != NULL)
        jw_field_string(w, "purpose", slice_str(x->purpose));
    jw_field_string(w, "method", slice_str(http_method_text(x->method)));
    jw_field_string(w, "path", x->path);
}

static void write_log(struct exchange *x)
{
    struct worker *worker = x->worker;
    struct buf *b = &worker->line;
    char stamp[CLOCK_RFC3339_SIZE];
    int64_t took = net_now(&worker->loop) - x->started_ns;
    clock_format_rfc3339(clock_wall_ns() - took, stamp);
    buf_reset(b);
    struct json_writer w = json_writer(b);
    jw_open(&w, '{');
    jw_field_string(&w, "time", slice_str(stamp));
    jw_field_string(&w, "request_id", x->id);
    put_client(&w, x);
    jw_field_i64(&w, "status", final_status(x));
    jw_field_string(&w, "reason", slice_str(reason(x)));
    put_model(&w, x);
    jw_field_i64(&w, "bytes_in", x->bytes_in);
    jw_field_i64(&w, "bytes_out", x->bytes_out);
    put_known(&w, "first_us", since_us(x, x->first_content_ns));
    jw_field_i64(&w, "duration_us", took / NS_PER_US);
    if (x->attempts_n > 0) {
        jw_key(&w, "attempts");
        jw_open(&w, '[');
        for (unsigned i = 0; i < x->attempts_n; i++)
            put_attempt(&w, x, x->attempts[i]);
        jw_close(&w, ']');
    }
    jw_close(&w, '}');
    buf_char(b, '\n');
    if (!b->failed)
        log_access(worker->log, buf_view(b));
    buf_reset(b);
}

static void count_tokens(const struct exchange *x, uint32_t model)
{
    struct metric_shard *m = x->worker->metrics;
    const struct llm_usage *u = usage_of(x);
    const struct {
        enum metric_token_type type;
        int64_t n;
    } counts[] = {
        {TOKEN_INPUT, u->input},
        {TOKEN_OUTPUT, u->output},
        {TOKEN_CACHED, u->cached},
        {TOKEN_CACHE_WRITE, u->cache_write},
        {TOKEN_REASONING, u->reasoning},
        {TOKEN_ESTIMATED_OUTPUT, u->output < 0 ? x->output_units : 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (counts[i].n > 0)
            metric_add(m, MM_TOKENS, model, counts[i].type, counts[i].n);
    }
}

static void count(struct exchange *x)
{
    struct metric_shard *m = x->worker->metrics;
    int64_t now = net_now(&x->worker->loop);
    if (x->counted_inflight)
        metric_add(m, MM_INFLIGHT, x->metric_id, 0, -1);
    uint32_t model = x->metric_id;
    if (pipeline_asks_model(x))
        metric_add(m, MM_REQUESTS, model, metric_status_of(counted_status(x)), 1);
    metric_count(m, MP_BYTES_IN, x->bytes_in);
    metric_count(m, MP_BYTES_OUT, x->bytes_out);
    if (cut_short(x) == GW_CLIENT_GONE)
        metric_count(m, MP_CANCELLED, 1);
    if (x->attempts_n == 0)
        return;
    metric_observe(m, MM_LATENCY, model, now - x->started_ns);
    count_tokens(x, model);
    if (x->first_content_ns != 0)
        metric_observe(m, MM_TTFT, model, x->first_content_ns - x->started_ns);
    if (x->content_events > 1)
        metric_observe(m, MM_INTER_TOKEN, model,
                       (x->last_content_ns - x->first_content_ns) / (x->content_events - 1));
    if (x->model_answered && x->attempt->target_index != x->attempts[0]->target_index)
        metric_add(m, MM_FALLBACKS, model, 0, 1);
}

static void release(struct exchange *x)
{
    struct worker *w = x->worker;
    net_timer_stop(&w->loop, &x->timer);
    block_free(&w->loop.blocks, &x->body);
    inflate_free(x->inflate);
    rescue_done(x);
    route_done(x);
    arena_reset(&x->arena);
    snapshot_use_unref(x->use);
    worker_slot_give(w, x);
}

/* Children that hang on this exchange end with it. */
static void end_children(struct exchange *x)
{
    list_foreach (it, &x->children)
        exchange_child_cancel(container_of(it, struct child, node));
}

void exchange_settle(struct exchange *x)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->rival != NULL)
        attempt_end(x->rival, cut_short(x) != GW_OK ? x->cancelled : GW_HEDGED);
    if (x->attempt != NULL)
        attempt_end(x->attempt, cut_short(x) != GW_OK ? x->cancelled : x->error);
    end_children(x);
    account_settle(x, cut_short(x) != GW_OK ? x->cancelled : x->error, final_status(x));
    if (log_access_on())
        write_log(x);
    count(x);
    explain_note(x, reason(x), final_status(x));
    struct child *child = x->child;
    bool whole = x->stage == STAGE_ENDED;
    release(x);
    if (child != NULL)
        child_settled(child, whole);
}
