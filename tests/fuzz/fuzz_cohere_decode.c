/* Answers of Cohere's v2/chat: events come in order, texts can stand in a JSON string, figures have
 * bounds, and an answer says the same when it is read twice. Of the first byte: bit 0 says that the
 * rest is a whole answer, else it is a stream; bit 1 that memory is short. */
/* layer: llm */
#include "event_order.h"
#include "llm/sse.h"
#include "llm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP   ((size_t)1 << 26)
#define SHORT ((size_t)1 << 12)

/* One reading, and what it said. */
struct run {
    struct arena arena;
    struct json_parser *json, *other;
    struct llm_decoder decoder;
    struct event_order order;
    struct buf said, quoted;
    bool ok;
};

/* Is it JSON between these brackets? */
static void check_json(struct run *r, const char *open, struct slice inside, const char *close)
{
    struct json_doc d;
    buf_reset(&r->quoted);
    buf_slice(&r->quoted, slice_str(open));
    buf_slice(&r->quoted, inside);
    buf_slice(&r->quoted, slice_str(close));
    ASSERT(json_parse(r->other, buf_view(&r->quoted), JSON_ALLOW_LONE_SURROGATES, &d) == JSON_OK);
}

static void take(void *ctx, const struct llm_event *e)
{
    struct run *r = ctx;
    buf_printf(&r->said, "%d %u ", (int)e->kind, e->part);
    if (e->kind == EVENT_DELTA)
        check_json(r, "\"", e->text.inner, "\"");
    if (e->kind == EVENT_LOGPROBS)
        check_json(r, "[", e->json, "]");
    if (e->kind == EVENT_PART && e->part_kind == PART_TOOL_CALL)
        ASSERT(e->id.n > 0 && e->name.n > 0);
    if (e->kind == EVENT_CITATION) {
        const struct llm_citation *c = e->citation;
        check_json(r, "\"", c->title.inner, "\"");
        check_json(r, "\"", c->cited.inner, "\"");
        check_json(r, "", c->own_json, "");
        ASSERT(c->start >= -1 && c->end >= -1 && c->document >= -1);
    }
    buf_slice(&r->said, e->text.inner);
    buf_slice(&r->said, e->id);
    buf_slice(&r->said, e->json);
}

static void run_init(struct run *r, size_t memory)
{
    static const struct llm_provider provider = {.type = "cohere"};
    *r = (struct run){.json = json_parser_new(), .other = json_parser_new()};
    arena_init(&r->arena, NULL, memory);
    buf_init(&r->said, CAP);
    buf_init(&r->quoted, CAP);
    event_order_init(&r->order, take, r);
    r->decoder = (struct llm_decoder){.wire = &cohere_wire,
                                      .provider = &provider,
                                      .arena = &r->arena,
                                      .json = r->json,
                                      .emit = event_order_take,
                                      .ctx = &r->order,
                                      .id_seed = SLICE("seed"),
                                      .model = SLICE("model"),
                                      .usage = LLM_USAGE_NONE};
}

static void run_done(struct run *r)
{
    event_order_done(&r->order);
    buf_done(&r->said);
    buf_done(&r->quoted);
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
    while (ok && in.n > 0 && sse_next(&in, &scanned, &scratch, &ev)) {
        if (ev.has_data)
            ok = d->wire->decode_event(d, ev.name, ev.data);
    }
    buf_done(&scratch);
    return ok && d->wire->decode_end(d);
}

static void decode(struct run *r, struct slice text, bool whole)
{
    const struct llm_usage *u = &r->decoder.usage;
    r->decoder.stream = !whole;
    r->ok = whole ? cohere_wire.decode_answer(&r->decoder, text) : decode_stream(&r->decoder, text);
    ASSERT(event_order_end(&r->order, r->ok) == NULL);
    const int64_t figures[] = {u->input, u->output, u->cached};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)1 << 48);
    ASSERT(u->input < 0 || u->cached <= u->input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r, again;
    if (size == 0)
        return 0;
    bool whole = data[0] & 1, scarce = data[0] & 2;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    run_init(&r, scarce ? SHORT : CAP);
    decode(&r, text, whole);
    run_init(&again, CAP);
    decode(&again, text, whole);
    ASSERT(scarce || r.ok == again.ok);
    ASSERT(r.ok != again.ok || !r.ok || slice_eq(buf_view(&r.said), buf_view(&again.said)));
    run_done(&r);
    run_done(&again);
    return 0;
}
