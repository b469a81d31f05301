/* What a client gets when no target could answer: a text that the configuration has, as an answer
 * in its own dialect. Counted as what it is, an error. */
#include "base/clock.h"
#include "respond.h"
#include "translate.h"
#include "worker.h"

#define ANSWER_BYTES ((size_t)1 << 20)

static struct slice text_for(const struct exchange *x)
{
    const struct gw_use_case *u = x->admission != NULL ? x->admission->use_case : NULL;
    if (u != NULL && u->last_resort.n > 0)
        return u->last_resort;
    return x->model != NULL ? x->model->last_resort : SLICE_NONE;
}

/* Is it the targets' fault, rather than the request's or the client's? */
static bool all_failed(const struct exchange *x)
{
    enum gw_error e = x->error;
    bool tried =
        gw_error_outcome(e) != OUTCOME_REFUSED && gw_error_outcome(e) != OUTCOME_CLIENT_GONE;
    return tried || e == GW_NO_TARGET || e == GW_QUEUE_FULL || e == GW_QUEUE_TIMEOUT ||
           e == GW_ENGINE_FAILED || e == GW_EXHAUSTED || e == GW_UPSTREAM_AUTH ||
           e == GW_UPSTREAM_BILLING;
}

/* Does the text satisfy what the request says of the answer's form? Schemas are not checked here:
 * an answer that may not fit one is not given. */
static bool fits_format(struct exchange *x, struct slice text)
{
    struct json_doc d;
    struct slice message = x->message, param = x->param;
    const char *code = x->code;
    enum gw_error e = translate_read_chat(x);
    x->message = message; /* the client hears of the targets' failure */
    x->param = param;
    x->code = code;
    if (e != GW_OK || x->chat->choice == CHOICE_REQUIRED || x->chat->choice == CHOICE_NAMED)
        return false;
    switch (x->chat->format) {
    case FORMAT_TEXT: return true;
    case FORMAT_JSON_OBJECT:
        return json_parse(x->worker->json_aside, text, 0, &d) == JSON_OK &&
               json_type_at(&d, 0) == JSON_OBJECT;
    default: return false;
    }
}

static void say(struct llm_encoder *e, llm_emit_fn *emit, void *ctx, struct llm_text text)
{
    struct llm_event events[] = {
        {.kind = EVENT_START, .id = e->id, .model = e->chat->model},
        {.kind = EVENT_PART, .part_kind = PART_TEXT},
        {.kind = EVENT_DELTA, .part_kind = PART_TEXT, .text = text},
        {.kind = EVENT_PART_END, .part_kind = PART_TEXT},
        {.kind = EVENT_FINISH, .finish = FINISH_STOP},
        {.kind = EVENT_END},
    };
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        emit(ctx, &events[i]);
}

static void encode(void *ctx, const struct llm_event *event)
{
    struct llm_encoder *e = ctx;
    e->dialect->encode(e, event);
}

static bool send_stream(struct exchange *x, struct llm_encoder *e, struct llm_text text)
{
    struct net_answer head;
    bool open = x->stage == STAGE_OPEN;
    if (!open && x->dialect->id != DIALECT_GOOGLE) /* its header would come too late */
        buf_lit(e->out, ": x-weir-last-resort: true\n\n");
    say(e, encode, e, text);
    if (e->out->failed || e->bad)
        return false;
    x->last_resort = true;
    if (open && !respond_stream_head(x, &head))
        return exchange_break(x, GW_NO_MEMORY);
    (void)!exchange_send(x, open ? &head : NULL, buf_view(e->out), true);
    return true;
}

static bool send_whole(struct exchange *x, struct llm_encoder *e, struct llm_text text)
{
    struct llm_answer answer = {.id = x->id, .usage = *e->usage};
    struct llm_collector c = {.arena = &x->arena, .answer = &answer};
    say(e, llm_collect, &c, text);
    if (!llm_collect_end(&c))
        return false;
    e->dialect->write_answer(e, &answer);
    if (e->out->failed || e->bad)
        return false;
    x->last_resort = true;
    (void)!respond_json(x, 200, SLICE_NONE, buf_view(e->out));
    return true;
}

bool last_resort_send(struct exchange *x)
{
    static const struct llm_usage nothing = {
        .input = 0, .output = 0, .cached = -1, .cache_write = -1, .reasoning = -1};
    struct slice plain = text_for(x);
    bool asks = x->passthrough == NULL && x->body.p != NULL &&
                (x->request.op == LLM_CHAT || x->request.op == LLM_COMPLETIONS);
    if (plain.n == 0 || !asks || x->stage >= STAGE_DELIVERING || !all_failed(x) ||
        !fits_format(x, plain))
        return false;
    struct llm_text text = llm_text_of(&x->arena, plain);
    struct buf out;
    buf_init(&out, ANSWER_BYTES);
    struct llm_encoder e = {.dialect = x->dialect,
                            .arena = &x->arena,
                            .out = &out,
                            .chat = x->chat,
                            .usage = &nothing,
                            .id = x->id,
                            .created_s = clock_wall_ns() / NS_PER_S,
                            .wants_usage = x->request.wants_usage,
                            .json = x->worker->json_aside};
    bool sent = text.inner.p != NULL &&
                (x->request.stream ? send_stream(x, &e, text) : send_whole(x, &e, text));
    buf_done(&out);
    if (sent)
        metric_add(x->worker->metrics, MM_LAST_RESORT, x->metric_id, 0, 1);
    return sent;
}
