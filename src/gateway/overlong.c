/* Cutting answers at the bound of their request. */
#include "overlong.h"

#include "base/clock.h"
#include "translate.h"
#include "worker.h"

#define SLACK         8 /* tokens: servers do not all count alike */
#define PIECES        6 /* that a token may come in: some send single characters */
#define CHOICES_MAX   128
#define SCRATCH_BYTES ((size_t)1 << 20)

static unsigned choices_of(const struct exchange *x)
{
    return (unsigned)MAX_OF(MIN_OF(x->request.n, (int64_t)CHOICES_MAX), INT64_C(1));
}

int64_t overlong_bound(const struct exchange *x)
{
    int64_t bound = x->request.max_tokens, all;
    bool answers = x->request.op == LLM_CHAT || x->request.op == LLM_COMPLETIONS;
    if (bound < 0 && x->request.cap_tokens != 0)
        bound = x->request.cap_tokens;
    if (!answers || !x->request.stream || bound < 0 ||
        __builtin_mul_overflow(bound, choices_of(x) * PIECES, &all) ||
        __builtin_add_overflow(all, SLACK, &all))
        return INT64_MAX;
    return all;
}

static int64_t units_of(const struct attempt *a)
{
    return a->exchange->output_units - a->account.units_before;
}

static bool has_finished(const struct attempt *a, unsigned choice)
{
    return a->finished[choice / 64] >> choice % 64 & 1;
}

static bool all_finished(const struct attempt *a)
{
    for (unsigned c = 0; c < choices_of(a->exchange); c++) {
        if (!has_finished(a, c))
            return false;
    }
    return true;
}

bool overlong(const struct attempt *a)
{
    int64_t more = units_of(a) - a->most_units;
    if (likely(more <= 0) || a->done || !a->content)
        return false;
    return more > SLACK || !all_finished(a); /* else its usage is about to come */
}

void overlong_finished(struct attempt *a, unsigned choice)
{
    if (choice < CHOICES_MAX)
        a->finished[choice / 64] |= UINT64_C(1) << choice % 64;
}

void overlong_note_finish(struct attempt *a, struct slice data)
{
    struct exchange *x = a->exchange;
    struct json_doc d;
    int64_t index;
    if (choices_of(x) == 1) {
        overlong_finished(a, 0);
        return;
    }
    if (json_parse(x->worker->json, data, 0, &d) != JSON_OK)
        return;
    uint32_t list = json_get(&d, 0, SLICE("choices"));
    if (list == 0)
        return;
    for (uint32_t i = json_first(&d, list); i < json_end(&d, list); i = json_after(&d, i)) {
        uint32_t why = json_get(&d, i, SLICE("finish_reason"));
        uint32_t at = json_get(&d, i, SLICE("index"));
        bool ends = why != 0 && json_type_at(&d, why) == JSON_STRING && json_inner(&d, why).n > 0;
        if (ends && at != 0 && json_i64(&d, at, &index) && index >= 0 && index < CHOICES_MAX)
            overlong_finished(a, (unsigned)index);
    }
}

void overlong_say_end(const struct attempt *a, llm_emit_fn *emit, void *ctx)
{
    const struct llm_event end = {.kind = EVENT_END};
    for (unsigned c = 0; c < choices_of(a->exchange); c++) {
        const struct llm_event e = {.kind = EVENT_FINISH, .choice = c, .finish = FINISH_LENGTH};
        if (!has_finished(a, c))
            emit(ctx, &e);
    }
    emit(ctx, &end);
}

static void encode(void *ctx, const struct llm_event *event)
{
    struct llm_encoder *e = ctx;
    e->dialect->encode(e, event);
}

/* The answer so far, without what it said. */
static void say_shape(struct llm_encoder *e, const struct attempt *a, const struct llm_event *start)
{
    const struct translation *t = a->translation;
    const struct llm_event part = {.kind = EVENT_PART, .part_kind = PART_TEXT};
    struct llm_event end = {.kind = EVENT_PART_END, .part_kind = PART_TEXT};
    encode(e, start);
    for (end.choice = 1; end.choice < choices_of(a->exchange); end.choice++)
        encode(e, &end); /* each choice begins with its first event, of whatever kind */
    end.choice = 0;
    for (unsigned i = 0; t != NULL && i < t->ended; i++) {
        encode(e, &part);
        encode(e, &end);
    }
    if (t != NULL && t->open)
        encode(e, &part);
}

/* The end of a stream that went as it came. */
static void end_raw(struct attempt *a, const struct llm_event *start, int64_t created_s,
                    const struct llm_usage *usage)
{
    struct exchange *x = a->exchange;
    const struct translation *t = a->translation;
    const struct llm_event part_end = {.kind = EVENT_PART_END, .part_kind = PART_TEXT};
    const struct llm_chat chat = {.model = x->request.model,
                                  .completion = x->dialect == &completions_dialect};
    struct buf scratch, *out = &x->worker->out;
    struct llm_encoder e = {.dialect = x->dialect,
                            .arena = &x->arena,
                            .out = &scratch,
                            .chat = &chat,
                            .usage = usage,
                            .id = x->id,
                            .created_s = created_s,
                            .wants_usage = x->request.wants_usage,
                            .json = x->worker->json_aside};
    buf_init(&scratch, SCRATCH_BYTES);
    say_shape(&e, a, start);
    out->failed |= scratch.failed;
    buf_done(&scratch);
    e.out = out;
    if (t != NULL && t->open)
        encode(&e, &part_end);
    overlong_say_end(a, encode, &e);
}

static struct slice word_at(const struct json_doc *d, const char *key, struct arena *a)
{
    uint32_t node = json_get(d, 0, slice_str(key));
    return node != 0 && json_type_at(d, node) == JSON_STRING ? json_string(d, node, a) : SLICE_NONE;
}

/* Each event of OpenAI's names the answer. */
static void end_openai(struct attempt *a, struct slice data, const struct llm_usage *usage)
{
    struct exchange *x = a->exchange;
    struct llm_event start = {.kind = EVENT_START};
    struct json_doc d;
    int64_t created_s = clock_wall_ns() / NS_PER_S;
    if (json_parse(x->worker->json, data, 0, &d) == JSON_OK) {
        uint32_t created = json_get(&d, 0, SLICE("created"));
        start.id = word_at(&d, "id", &x->arena);
        start.model = word_at(&d, "model", &x->arena);
        if (created != 0 && !json_i64(&d, created, &created_s))
            created_s = clock_wall_ns() / NS_PER_S;
    }
    end_raw(a, &start, created_s, usage);
}

/* What is known, and the gateway's own figures where nothing is or more has come since. */
static struct llm_usage settle_usage(struct attempt *a)
{
    struct exchange *x = a->exchange;
    int64_t units = units_of(a);
    if (a->usage.output < units) /* said of an earlier moment */
        a->usage.output = x->usage.output = -1;
    struct llm_usage u = a->usage;
    if (u.output < 0)
        u.output = units;
    if (u.input < 0)
        u.input = account_estimate_input(a);
    return u;
}

bool overlong_end(struct attempt *a, struct slice data)
{
    struct exchange *x = a->exchange;
    const struct translation *t = a->translation;
    a->overlong = true;
    metric_count(x->worker->metrics, MP_OVERLONG, 1);
    log_event(LOG_WARN, "upstream.overlong",
              SLICE_FMT " " SLICE_FMT ": cut behind %lld pieces, of at most %lld", SLICE_ARG(x->id),
              SLICE_ARG(a->target.label), (long long)units_of(a),
              (long long)(a->most_units - SLACK));
    struct llm_usage *usage = arena_new(&x->arena, struct llm_usage);
    if (usage == NULL)
        return false;
    *usage = settle_usage(a);
    if (t == NULL) {
        end_openai(a, data, usage);
        return true;
    }
    if (!t->raw)
        return translate_cut(a, usage);
    if (x->dialect->id == DIALECT_RESPONSES)
        return false;
    const struct llm_event start = {.kind = EVENT_START, .id = t->id, .model = t->model};
    end_raw(a, &start, clock_wall_ns() / NS_PER_S, usage);
    return true;
}
