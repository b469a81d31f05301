/* Going on with an answer that was cut. */
#include "rescue.h"

#include "base/mem.h"
#include "worker.h"

#define NO_PART    UINT32_MAX
#define TEXT_BYTES ((size_t)4 << 20) /* an answer that is longer is not rescued */
#define CUTS_MAX   2u                /* streams that may break off in one exchange */

bool rescue_wanted(const struct exchange *x)
{
    return x->model != NULL && x->model->rescue == RESCUE_CONTINUE && x->request.stream &&
           x->request.op == LLM_CHAT && x->passthrough == NULL;
}

bool rescue_begin(struct exchange *x)
{
    if (x->rescue != NULL || !rescue_wanted(x))
        return true;
    x->rescue = arena_new(&x->arena, struct rescue);
    if (x->rescue == NULL)
        return false;
    buf_init(&x->rescue->text, TEXT_BYTES);
    x->rescue->usage = LLM_USAGE_NONE;
    return true;
}

static void note_text(struct rescue *r, struct llm_text t)
{
    if (memchr(t.inner.p, '\\', t.inner.n) == NULL) {
        buf_slice(&r->text, t.inner);
    } else if (buf_reserve(&r->text, t.inner.n)) {
        r->text.n += json_unescape(t.inner, r->text.p + r->text.n);
    }
}

/* Comments are skipped by all who read streams but Google's SDK for Python. */
static void name_the_seam(struct exchange *x, const struct attempt *a)
{
    if (x->dialect->id != DIALECT_GOOGLE)
        buf_printf(&x->worker->out, ": x-weir-rescued: %.*s\n\n", SLICE_ARG(a->target.label));
}

void rescue_note(const struct translation *t, const struct llm_event *e)
{
    struct exchange *x = t->attempt->exchange;
    struct rescue *r = x->rescue;
    struct told *told = t->told;
    switch (e->kind) {
    case EVENT_PART:
        told->has_calls |= e->part_kind == PART_TOOL_CALL;
        told->reasoning_open = e->part_kind == PART_REASONING;
        told->has_other |= e->part_kind != PART_TOOL_CALL && e->part_kind != PART_REASONING &&
                           (e->part_kind != PART_TEXT || r->text.n > 0 || told->text_open);
        if (e->part_kind == PART_TEXT) {
            told->text_open = true;
            told->part = e->part;
        }
        break;
    case EVENT_DELTA:
        told->has_other |= e->choice > 0;
        if (told->text_open && e->part == told->part && e->text.inner.n > 0)
            note_text(r, e->text);
        break;
    case EVENT_PART_END: told->text_open &= e->part != told->part; break;
    case EVENT_CITATION:
    case EVENT_LOGPROBS: told->has_other = true; break;
    case EVENT_FINISH:
        if (r->cuts > 0)
            name_the_seam(x, t->attempt);
        r->finished = true;
        break;
    case EVENT_END:
        if (r->cuts > 0)
            metric_count(x->worker->metrics, MP_RESCUES, 1);
        r->done = r->cuts > 0;
        break;
    default: break;
    }
}

static struct llm_delivered delivered(const struct rescue *r)
{
    const struct told *told = r->speaker->translation->told;
    return (struct llm_delivered){.text = buf_view(&r->text),
                                  .tokens = -1,
                                  .has_calls = told->has_calls,
                                  .reasoning_open = told->reasoning_open,
                                  .has_other = told->has_other || !told->text_open};
}

bool rescue_cut(struct exchange *x, const struct attempt *a)
{
    struct rescue *r = x->rescue;
    if (r == NULL || r->finished || r->text.failed || r->cuts >= CUTS_MAX || x->sink == NULL ||
        x->stage != STAGE_DELIVERING || !gw_error_row(a->error)->try_another)
        return false;
    if (r->cuts == 0) {
        r->error = a->error;
        r->message = x->message;
        r->upstream_error = x->upstream_error;
        r->upstream_status = x->upstream_status;
        r->first = a->usage;
    }
    if (r->cuts == 0 || a->content) {
        r->cuts++;
        r->speaker = a;
        r->output += a->account.row.output;
    }
    return route_goes_on(x, a);
}

const struct llm_chat *rescue_request(struct attempt *a)
{
    struct exchange *x = a->exchange;
    struct rescue *r = x->rescue;
    const struct llm_delivered d = delivered(r);
    const char *why;
    struct llm_chat *chat = arena_new(&x->arena, struct llm_chat);
    enum llm_continue how =
        llm_can_continue(x->chat, &d, a->target.provider->row, a->target.model, &why);
    if (how == LLM_CONTINUE_NOT) {
        x->message = arena_printf(&x->arena, "The answer cannot be continued: %s.", why);
        return NULL;
    }
    if (chat == NULL || !llm_continue_request(&x->arena, x->chat, &d, how, chat))
        return NULL;
    llm_join_init(&r->join, how, d.text);
    r->its_part = NO_PART;
    r->passing = false;
    return chat;
}

/* Text that is shown to be right. */
static void pass(const struct rescue *r, struct llm_text text, llm_emit_fn *emit, void *ctx)
{
    struct llm_event e = {.kind = EVENT_DELTA, .part_kind = PART_TEXT, .text = text};
    e.part = r->speaker->translation->told->part;
    if (text.inner.n > 0)
        emit(ctx, &e);
}

static bool join(struct attempt *a, enum llm_join_result result, struct buf *out, llm_emit_fn *emit,
                 void *ctx)
{
    struct exchange *x = a->exchange;
    struct rescue *r = x->rescue;
    bool ok = result != JOIN_FAILED && !out->failed;
    if (ok && out->n > 0) {
        struct llm_text text = llm_text_of(&x->arena, buf_view(out));
        ok = text.inner.p != NULL;
        if (ok)
            pass(r, text, emit, ctx);
    }
    if (result == JOIN_FAILED)
        x->message =
            arena_printf(&x->arena, "The continuation does not fit the answer: %s.", r->join.why);
    buf_done(out);
    return ok;
}

static bool feed(struct attempt *a, struct llm_text piece, llm_emit_fn *emit, void *ctx)
{
    struct rescue *r = a->exchange->rescue;
    if (r->passing) {
        pass(r, piece, emit, ctx);
        return true;
    }
    struct buf plain, out;
    buf_init(&plain, piece.inner.n + 16);
    buf_init(&out, piece.inner.n + JOIN_TAIL + 64);
    if (buf_reserve(&plain, piece.inner.n))
        plain.n = json_unescape(piece.inner, plain.p);
    enum llm_join_result result =
        plain.failed ? JOIN_FAILED : llm_join_feed(&r->join, buf_view(&plain), &out);
    buf_done(&plain);
    if (!join(a, result, &out, emit, ctx))
        return false;
    r->passing = r->join.step == JOIN_JOINED && r->join.broken_n == 0;
    return true;
}

static void end_part(const struct rescue *r, llm_emit_fn *emit, void *ctx)
{
    struct llm_event e = {.kind = EVENT_PART_END, .part_kind = PART_TEXT};
    e.part = r->speaker->translation->told->part;
    emit(ctx, &e);
}

/* The prompt is the client's own, which the first one was asked; the answer is of them all. */
static void sum_usage(struct rescue *r, const struct llm_usage *last)
{
    r->usage = *last;
    if (r->first.input >= 0) {
        r->usage.input = r->first.input;
        r->usage.cached = r->first.cached;
        r->usage.cache_write = r->first.cache_write;
    }
    r->usage.output = last->output >= 0 ? last->output + r->output : -1;
}

bool rescue_event(struct attempt *a, const struct llm_event *e, llm_emit_fn *emit, void *ctx)
{
    struct rescue *r = a->exchange->rescue;
    struct buf out;
    switch (e->kind) {
    case EVENT_START:
    case EVENT_SIGNATURE:
    case EVENT_PING: return true;
    case EVENT_PART:
        if (e->part_kind != PART_TEXT || r->its_part != NO_PART)
            return e->part_kind == PART_REASONING;
        r->its_part = e->part;
        return true;
    case EVENT_DELTA: return e->part != r->its_part || feed(a, e->text, emit, ctx);
    case EVENT_PART_END:
        if (e->part != r->its_part)
            return true;
        buf_init(&out, JOIN_TAIL + 64);
        if (!r->passing && !join(a, llm_join_end(&r->join, &out), &out, emit, ctx))
            return false;
        r->passing = true;
        return true; /* the part ends with the answer, so that nothing is told too early */
    case EVENT_CITATION:
    case EVENT_LOGPROBS: return false;
    case EVENT_FINISH:
        if (!r->passing)
            return false; /* no text came: nothing shows that it is a continuation */
        end_part(r, emit, ctx);
        emit(ctx, e);
        return true;
    case EVENT_END:
        sum_usage(r, &a->translation->decoder.usage);
        emit(ctx, e);
        return true;
    case EVENT_ERROR: emit(ctx, e); return true;
    }
    return false;
}

void rescue_give_up(struct exchange *x)
{
    struct rescue *r = x->rescue;
    if (r == NULL || r->cuts == 0)
        return;
    x->error = r->error;
    x->message = r->message;
    x->upstream_error = r->upstream_error;
    x->upstream_status = r->upstream_status;
}

void rescue_done(struct exchange *x)
{
    if (x->rescue != NULL)
        buf_done(&x->rescue->text);
}
