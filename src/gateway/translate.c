/* Requests and answers between different dialects. */
#include "translate.h"

#include <stdio.h>

#include "base/clock.h"
#include "exchange.h"
#include "overlong.h"
#include "rescue.h"
#include "worker.h"

#define BODY_MAX      ((size_t)1 << 30)
#define DROPPED_BYTES ((size_t)2048) /* of names: some clients bound an answer's head at 16 KB */

const struct llm_wire *translate_wire(const struct llm_dialect *d, const struct llm_provider *p)
{
    bool own = d->wire == &responses_wire && p->quirks & QUIRK_RESPONSES;
    return own ? d->wire : p->wire != NULL ? p->wire : &openai_wire;
}

static enum gw_error unsupported(struct exchange *x, const struct llm_bad_request *bad)
{
    if (bad->no_memory)
        return GW_NO_MEMORY;
    x->message = arena_copy(&x->arena, slice_str(bad->message));
    x->param = arena_copy(&x->arena, slice_str(bad->param));
    return GW_UNSUPPORTED;
}

enum gw_error translate_read_chat(struct exchange *x)
{
    struct llm_bad_request bad;
    if (x->chat != NULL)
        return GW_OK;
    struct llm_chat *chat = arena_new(&x->arena, struct llm_chat);
    if (chat == NULL)
        return GW_NO_MEMORY;
    if (!x->dialect->read_chat(x->worker->json, &x->arena, &x->request, chat, &bad)) {
        enum gw_error e = unsupported(x, &bad);
        x->code = bad.code;
        return e == GW_UNSUPPORTED ? GW_INVALID_BODY : e;
    }
    chat->model = x->request.model;
    chat->stream = x->request.stream;
    if (chat->max_tokens < 0 && x->request.cap_tokens != 0)
        chat->max_tokens = x->request.cap_tokens;
    x->chat = chat;
    return GW_OK;
}

/* A client chose the names: only what a field can hold. False: there are more than can be told. */
static bool list_words(struct buf *b, const struct llm_word *w)
{
    for (; w != NULL; w = w->next) {
        if (b->n + w->word.n > DROPPED_BYTES)
            return false;
        if (b->n > 0)
            buf_lit(b, ", ");
        for (size_t i = 0; i < w->word.n; i++) {
            char c = w->word.p[i];
            buf_char(b, c > ' ' && c < 0x7F && c != ',' ? c : '?');
        }
    }
    return true;
}

/* What the target will not see, for x-weir-dropped. */
static bool note_dropped(struct attempt *a, const struct llm_word *dropped)
{
    struct exchange *x = a->exchange;
    struct buf b;
    buf_init(&b, 2 * DROPPED_BYTES);
    if (!list_words(&b, x->chat->unknown) || !list_words(&b, dropped))
        buf_slice(&b, b.n > 0 ? SLICE(", ...") : SLICE("..."));
    a->dropped = b.n > 0 && !b.failed ? arena_copy(&x->arena, buf_view(&b)) : SLICE_NONE;
    bool ok = !b.failed && a->dropped.n == b.n;
    buf_done(&b);
    return ok;
}

static enum gw_error write_anew(struct attempt *a, struct translation *t,
                                const struct llm_chat *chat)
{
    struct exchange *x = a->exchange;
    struct llm_bad_request bad = {.code = NULL};
    struct llm_writing w = {.arena = &x->arena,
                            .json = x->worker->json,
                            .chat = chat,
                            .provider = a->target.provider->row,
                            .model = a->target.model,
                            .out = &t->body,
                            .bad = &bad};
    memcpy(w.lack, a->target.provider->lack, sizeof w.lack);
    buf_init(&t->body, BODY_MAX);
    if (!buf_reserve(&t->body, x->request.body.n + x->request.body.n / 8 + 512))
        return GW_NO_MEMORY;
    if (!t->decoder.wire->write_chat(&w))
        return t->body.failed ? GW_NO_MEMORY : unsupported(x, &bad);
    if (t->body.failed || !note_dropped(a, w.dropped))
        return GW_NO_MEMORY;
    a->body.part[0] = buf_view(&t->body);
    a->body.parts = 1;
    a->body.bytes = t->body.n;
    return GW_OK;
}

static void take_event(void *ctx, const struct llm_event *e);

/* Does the attempt go on with what another one began? */
static bool is_continuation(const struct exchange *x)
{
    return x->rescue != NULL && x->rescue->cuts > 0;
}

static void set_up(struct attempt *a, struct translation *t, const struct llm_wire *wire)
{
    struct exchange *x = a->exchange;
    t->attempt = a;
    t->told = &t->own;
    /* A bound of the gateway's own has to be written in; Anthropic's requests always have one. */
    bool rewrite = x->request.cap_tokens != 0 && wire != &anthropic_wire;
    t->raw = wire == x->dialect->wire && !rewrite && x->rescue == NULL;
    t->decoder = (struct llm_decoder){.wire = wire,
                                      .provider = a->target.provider->row,
                                      .arena = &x->arena,
                                      .json = x->worker->json,
                                      .emit = take_event,
                                      .ctx = t,
                                      .id_seed = x->id,
                                      .model = a->target.model,
                                      .stream = x->request.stream,
                                      .usage = LLM_USAGE_NONE};
    t->encoder = (struct llm_encoder){.dialect = x->dialect,
                                      .arena = &x->arena,
                                      .usage = &t->decoder.usage,
                                      .id = x->id,
                                      .created_s = clock_wall_ns() / NS_PER_S,
                                      .wants_usage = x->request.wants_usage,
                                      .json = x->worker->json_aside};
    if (is_continuation(x)) {
        t->encoder = x->rescue->speaker->translation->encoder;
        t->encoder.usage = &x->rescue->usage;
        t->sequencer = x->rescue->speaker->translation->sequencer;
        t->sequencer.ctx = t;
        t->told = x->rescue->speaker->translation->told;
    }
}

static enum gw_error no_operation(struct attempt *a, enum llm_op op)
{
    struct exchange *x = a->exchange;
    x->message = arena_printf(&x->arena, SLICE_FMT " has no %s for clients of this dialect.",
                              SLICE_ARG(a->target.provider->name), llm_op_name(op));
    return GW_NO_OPERATION;
}

/* What only the provider that stored it can serve. */
static enum gw_error refuse_pinned(struct exchange *x)
{
    const char *what = x->request.pinned != NULL ? x->request.pinned : "input.item_reference";
    x->param = slice_str(what);
    x->message = arena_printf(&x->arena,
                              "'%s' means what one provider has stored: ask for a single model of "
                              "that provider, or send the whole input, with \"store\": false.",
                              what);
    return GW_PINNED;
}

static enum gw_error no_such_model(struct attempt *a)
{
    struct exchange *x = a->exchange;
    x->param = SLICE("model");
    x->message = arena_printf(&x->arena, "The model `" SLICE_FMT "` does not exist.",
                              SLICE_ARG(x->request.model));
    return GW_MODEL_NOT_FOUND;
}

struct slice translate_target(struct arena *a, const struct gw_provider *p, struct slice path)
{
    const char *mark = p->api_version.n == 0 ? "" : slice_find(path, '?') < 0 ? "?" : "&";
    return arena_printf(a, SLICE_FMT SLICE_FMT "%s%s" SLICE_FMT, SLICE_ARG(p->base_path),
                        SLICE_ARG(path), mark, *mark != '\0' ? "api-version=" : "",
                        SLICE_ARG(p->api_version));
}

/* Where the operation is found at the provider. */
static enum gw_error find_target(struct attempt *a, const struct llm_wire *wire)
{
    struct exchange *x = a->exchange;
    const struct gw_provider *p = a->target.provider;
    enum llm_op op = x->request.op;
    if (op == LLM_COMPLETIONS && wire != &openai_wire)
        op = LLM_CHAT;
    struct slice path =
        llm_wire_path(wire, &x->arena, p->row, op, a->target.model, x->request.stream);
    bool has = op == LLM_CHAT || (wire == &openai_wire && op != LLM_COUNT_TOKENS);
    if (path.p == NULL)
        return has ? GW_NO_MEMORY : no_operation(a, op);
    if (request_path_leaves(path))
        return no_such_model(a);
    a->request.target = translate_target(&x->arena, p, path);
    return a->request.target.p != NULL ? GW_OK : GW_NO_MEMORY;
}

/* The same for OpenAI's own operations, which are made out ahead where no model stands in them. */
static enum gw_error openai_target(struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    if (p->row->quirks & (QUIRK_MODEL_IN_PATH | QUIRK_SAGEMAKER) || p->api_version.n > 0)
        return find_target(a, &openai_wire);
    a->request.target = p->op_target[a->exchange->request.op];
    return GW_OK;
}

enum gw_error translate_request(struct attempt *a)
{
    struct exchange *x = a->exchange;
    const struct llm_wire *wire = translate_wire(x->dialect, a->target.provider->row);
    if (wire == &openai_wire && x->dialect->wire == wire && x->rescue == NULL) {
        enum gw_error e = openai_target(a);
        if (e != GW_OK)
            return e;
        return openai_edit_request(&x->arena, &x->request, a->target.provider->row, a->target.model,
                                   &a->body)
                   ? GW_OK
                   : GW_NO_MEMORY;
    }
    struct translation *t = arena_new(&x->arena, struct translation);
    if (t == NULL)
        return GW_NO_MEMORY;
    a->translation = t;
    set_up(a, t, wire);
    enum gw_error e = find_target(a, wire);
    if (e != GW_OK)
        return e;
    bool stored = x->request.pinned != NULL || x->request.refers_reasoning;
    if (stored && t->raw && x->model != NULL && x->model->targets_n > 1)
        return refuse_pinned(x);
    if (t->raw)
        return llm_rename_model(&x->arena, &x->request, a->target.provider->row, a->target.model,
                                &a->body)
                   ? GW_OK
                   : GW_NO_MEMORY;
    if (x->request.op == LLM_EMBEDDINGS || x->request.op == LLM_COUNT_TOKENS)
        return no_operation(a, x->request.op);
    if (x->request.pinned != NULL)
        return refuse_pinned(x);
    e = translate_read_chat(x);
    const struct llm_chat *chat = e == GW_OK && is_continuation(x) ? rescue_request(a) : x->chat;
    if (e == GW_OK && chat == NULL)
        e = x->message.n > 0 ? GW_UNSUPPORTED : GW_NO_MEMORY;
    return e == GW_OK ? write_anew(a, t, chat) : e;
}

enum gw_error translate_refusal(struct exchange *x, const struct gw_target *t, unsigned lacks)
{
    struct attempt *a = arena_new(&x->arena, struct attempt);
    if (a == NULL)
        return GW_NO_MEMORY;
    a->exchange = x;
    a->target = *t;
    enum gw_error e = translate_request(a);
    translate_done(a);
    if (e != GW_OK || lacks == 0)
        return e;
    enum llm_feature f = llm_need_feature((unsigned)__builtin_ctz(lacks));
    x->param = slice_str(llm_feature_name(f, x->dialect->id));
    x->message = arena_printf(&x->arena, TRANSLATE_LACKS, SLICE_ARG(x->param), SLICE_ARG(t->label));
    return x->message.p != NULL ? GW_UNSUPPORTED : GW_NO_MEMORY;
}

/* Something for the user, which no other target can take over from. */
static bool is_content(const struct llm_event *e)
{
    switch (e->kind) {
    case EVENT_PART: return e->part_kind == PART_TOOL_CALL;
    case EVENT_DELTA: return e->text.inner.n > 0;
    case EVENT_SIGNATURE:
    case EVENT_CITATION:
    case EVENT_FINISH:
    case EVENT_END: return true;
    default: return false;
    }
}

static void keep_error(struct translation *t, const struct llm_event *e)
{
    struct arena *a = t->decoder.arena;
    t->is_error = true;
    t->error_status = e->status;
    t->error = (struct llm_error){.message = arena_copy(a, e->error->message),
                                  .type = arena_copy(a, e->error->type),
                                  .code = arena_copy(a, e->error->code),
                                  .param = arena_copy(a, e->error->param)};
}

static void encode(void *ctx, const struct llm_event *e)
{
    struct translation *t = ctx;
    struct attempt *a = t->attempt;
    t->encoder.out = a->content ? &a->exchange->worker->out : &a->prelude;
    t->encoder.chat = a->exchange->chat;
    t->encoder.dialect->encode(&t->encoder, e);
}

/* What has to be known where the answer is cut. */
static void note_shape(struct translation *t, const struct llm_event *e)
{
    struct arena *arena = t->decoder.arena;
    bool first = e->choice == 0;
    switch (e->kind) {
    case EVENT_START:
        t->id = t->raw ? arena_copy(arena, e->id) : SLICE_NONE;
        t->model = t->raw ? arena_copy(arena, e->model) : SLICE_NONE;
        break;
    case EVENT_PART: t->open |= first; break;
    case EVENT_PART_END:
        t->open &= !first;
        t->ended += first;
        break;
    case EVENT_FINISH: overlong_finished(t->attempt, e->choice); break;
    default: break;
    }
}

/* To the client, in the order in which its dialect can say it. */
static void tell(void *ctx, const struct llm_event *e)
{
    struct translation *t = ctx;
    struct attempt *a = t->attempt;
    struct exchange *x = a->exchange;
    if (is_content(e)) {
        t->content |= e->kind != EVENT_FINISH && e->kind != EVENT_END;
        if (!a->content && !t->whole)
            relay_deliver_first(a);
    }
    note_shape(t, e);
    if (t->raw)
        return;
    if (x->rescue != NULL && !t->whole)
        rescue_note(t, e);
    if (t->whole) {
        llm_collect(&t->collector, e);
    } else if (t->encoder.dialect->sequential) {
        if (t->sequencer.emit == NULL)
            t->sequencer =
                (struct llm_sequencer){.emit = encode, .ctx = t, .arena = t->decoder.arena};
        llm_sequence(&t->sequencer, e);
    } else {
        encode(t, e);
    }
}

/* From the decoder. */
static void take_event(void *ctx, const struct llm_event *e)
{
    struct translation *t = ctx;
    struct attempt *a = t->attempt;
    if (e->kind == EVENT_ERROR) {
        keep_error(t, e);
        return;
    }
    if (is_continuation(a->exchange))
        t->broken |= !t->broken && !rescue_event(a, e, tell, t);
    else
        tell(t, e);
}

static void note_progress(struct attempt *a)
{
    struct translation *t = a->translation;
    struct exchange *x = a->exchange;
    attempt_note_usage(a, &t->decoder.usage);
    x->output_units = a->account.units_before + t->decoder.units;
}

bool translate_event(struct attempt *a, struct slice name, struct slice data)
{
    struct translation *t = a->translation;
    t->content = false;
    bool ok = t->decoder.wire->decode_event(&t->decoder, name, data);
    note_progress(a);
    return (ok && !t->encoder.bad && !t->broken) || t->is_error;
}

bool translate_end(struct attempt *a)
{
    struct translation *t = a->translation;
    bool ok = t->decoder.ended || t->decoder.wire->decode_end(&t->decoder);
    note_progress(a);
    return ok && !t->encoder.bad && !t->broken;
}

bool translate_cut(struct attempt *a, const struct llm_usage *usage)
{
    struct translation *t = a->translation;
    const struct exchange *x = a->exchange;
    t->decoder.usage = *usage;
    if (!is_continuation(x)) /* else its part ends with it */
        llm_sequence_cut(&t->sequencer, x->dialect->family != FAMILY_GOOGLE);
    overlong_say_end(a, take_event, t);
    return !t->encoder.bad && !t->broken;
}

/* {"input_tokens": n}: it goes as it came. */
static bool is_token_count(struct attempt *a, struct slice body)
{
    struct json_doc d;
    int64_t n;
    if (json_parse(a->exchange->worker->json, body, 0, &d) != JSON_OK ||
        json_type_at(&d, 0) != JSON_OBJECT)
        return false;
    uint32_t node = json_get(&d, 0, SLICE("input_tokens"));
    return node != 0 && json_i64(&d, node, &n);
}

bool translate_whole(struct attempt *a, struct slice body, struct buf *out)
{
    struct translation *t = a->translation;
    if (a->exchange->request.op == LLM_COUNT_TOKENS)
        return is_token_count(a, body);
    t->whole = !a->exchange->request.stream || t->decoder.wire->poll == NULL;
    t->collector = (struct llm_collector){.arena = t->decoder.arena, .answer = &t->answer};
    bool ok = t->decoder.wire->decode_answer(&t->decoder, body);
    note_progress(a);
    if (t->is_error)
        return true;
    if (!ok || t->raw || !t->whole)
        return ok && !t->encoder.bad && !t->broken;
    t->answer.usage = t->decoder.usage;
    if (!llm_collect_end(&t->collector)) {
        out->failed = true;
        return true;
    }
    t->encoder.out = out;
    t->encoder.chat = a->exchange->chat;
    t->encoder.dialect->write_answer(&t->encoder, &t->answer);
    return !t->encoder.bad;
}

bool translate_error(struct attempt *a, struct buf *out, unsigned status, const struct llm_error *e)
{
    struct translation *t = a != NULL ? a->translation : NULL;
    struct llm_event event = {.kind = EVENT_ERROR, .status = status, .error = e};
    if (t == NULL || t->encoder.state == NULL)
        return false;
    t->encoder.out = out;
    t->encoder.bad = false;
    t->encoder.dialect->encode(&t->encoder, &event);
    return true;
}

void translate_done(struct attempt *a)
{
    if (a->translation != NULL)
        buf_done(&a->translation->body);
}
