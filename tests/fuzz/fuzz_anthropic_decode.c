/* Anthropic's answers: events come in order, texts can stand in JSON, figures have bounds, and what
 * Anthropic's own dialect makes of the events says the same again. The first byte says whether the
 * rest is a stream or a whole answer. */
/* layer: llm */
#include "event_order.h"
#include "llm/dialect.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

/* A reading of one text, its events written anew in the dialect. */
struct run {
    struct arena arena;
    struct json_parser *json, *other; /* the decoder still needs its own document */
    struct llm_decoder d;
    struct llm_encoder e;
    struct event_order order;
    struct buf out, text;
    bool call; /* the part begun last */
};

static void check_text(struct run *r, struct llm_text t)
{
    struct json_doc doc;
    buf_reset(&r->text);
    buf_char(&r->text, '"');
    buf_slice(&r->text, t.inner);
    buf_char(&r->text, '"');
    ASSERT(json_parse(r->other, buf_view(&r->text), JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK);
    ASSERT(json_type_at(&doc, 0) == JSON_STRING);
}

static void take(void *ctx, const struct llm_event *e)
{
    struct run *r = ctx;
    check_text(r, e->text);
    if (e->kind == EVENT_CITATION) {
        check_text(r, e->citation->title);
        check_text(r, e->citation->cited);
    }
    anthropic_dialect.encode(&r->e, e);
    ASSERT(!r->out.failed);
}

static void run_init(struct run *r, bool stream)
{
    static const struct llm_provider provider = {.type = "anthropic"};
    static const struct llm_chat chat = {.n = 1};
    *r = (struct run){.json = json_parser_new(), .other = json_parser_new()};
    arena_init(&r->arena, NULL, CAP);
    buf_init(&r->out, CAP);
    buf_init(&r->text, CAP);
    event_order_init(&r->order, take, r);
    r->d = (struct llm_decoder){.wire = &anthropic_wire,
                                .provider = &provider,
                                .arena = &r->arena,
                                .json = r->json,
                                .emit = event_order_take,
                                .ctx = &r->order,
                                .model = SLICE("m"),
                                .stream = stream,
                                .usage = LLM_USAGE_NONE};
    r->e = (struct llm_encoder){.dialect = &anthropic_dialect,
                                .arena = &r->arena,
                                .out = &r->out,
                                .chat = &chat,
                                .usage = &r->d.usage,
                                .id = SLICE("i"),
                                .json = r->other};
}

static void run_done(struct run *r)
{
    event_order_done(&r->order);
    buf_done(&r->out);
    buf_done(&r->text);
    arena_reset(&r->arena);
    json_parser_free(r->json);
    json_parser_free(r->other);
}

static bool decode_stream(struct llm_decoder *d, struct slice in)
{
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    bool ok = true;
    buf_init(&scratch, CAP);
    while (ok && sse_next(&in, &scanned, &scratch, &ev)) {
        if (ev.has_data)
            ok = d->wire->decode_event(d, ev.name, ev.data);
    }
    buf_done(&scratch);
    return ok && d->wire->decode_end(d);
}

static bool run(struct run *r, struct slice text)
{
    bool ok = r->d.stream ? decode_stream(&r->d, text) : anthropic_wire.decode_answer(&r->d, text);
    const char *fault = event_order_end(&r->order, ok);
    ASSERT(fault == NULL);
    const int64_t figures[] = {r->d.usage.input, r->d.usage.output, r->d.usage.cached,
                               r->d.usage.cache_write, r->d.usage.reasoning};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)2 << 48);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run once, again;
    if (size == 0)
        return 0;
    run_init(&once, (data[0] & 1) != 0);
    bool ok = run(&once, slice_of((const char *)data + 1, size - 1));
    if (ok && !once.order.is_error) {
        run_init(&again, true);
        ASSERT(run(&again, buf_view(&once.out)));
        ASSERT(slice_eq(buf_view(&again.out), buf_view(&once.out)));
        run_done(&again);
    }
    run_done(&once);
    return 0;
}
