/* Answers of OpenAI's Responses: events come in order, figures have bounds, and what the dialect of
 * the same name makes of them is a stream of numbered events of valid JSON, which the wire reads as
 * the same answer. Of the first byte: bit 0 says that the rest is a whole answer, else it is a
 * stream; bit 1 that memory is short. */
/* layer: llm */
#include "event_order.h"
#include "llm/dialect.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP   ((size_t)1 << 26)
#define SHORT ((size_t)1 << 13)

/* One reading, and what it said. */
struct run {
    struct arena arena;
    struct json_parser *json;
    struct llm_chat chat;
    struct llm_decoder decoder;
    struct llm_encoder encoder;
    struct llm_sequencer sequencer;
    struct event_order order;
    struct buf out;
    unsigned parts;
    enum llm_finish finish;
    bool ok;
};

static void encode(void *ctx, const struct llm_event *e)
{
    struct run *r = ctx;
    r->encoder.dialect->encode(&r->encoder, e);
}

static void take(void *ctx, const struct llm_event *e)
{
    struct run *r = ctx;
    r->parts += e->kind == EVENT_PART;
    if (e->kind == EVENT_FINISH)
        r->finish = e->finish;
    llm_sequence(&r->sequencer, e);
}

static void run_init(struct run *r, size_t memory)
{
    *r = (struct run){.json = json_parser_new()};
    arena_init(&r->arena, NULL, memory);
    buf_init(&r->out, CAP);
    r->chat = (struct llm_chat){.dialect = DIALECT_RESPONSES, .max_tokens = -1, .parallel = -1};
    event_order_init(&r->order, take, r);
    r->sequencer = (struct llm_sequencer){.emit = encode, .ctx = r, .arena = &r->arena};
    r->encoder = (struct llm_encoder){.dialect = &responses_dialect,
                                      .arena = &r->arena,
                                      .out = &r->out,
                                      .chat = &r->chat,
                                      .usage = &r->decoder.usage,
                                      .id = SLICE("id")};
    r->decoder = (struct llm_decoder){.wire = &responses_wire,
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
    buf_done(&r->out);
    arena_reset(&r->arena);
    json_parser_free(r->json);
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
    r->decoder.stream = !whole;
    r->ok =
        whole ? responses_wire.decode_answer(&r->decoder, text) : decode_stream(&r->decoder, text);
    ASSERT(event_order_end(&r->order, r->ok) == NULL);
    const struct llm_usage *u = &r->decoder.usage;
    const int64_t figures[] = {u->input, u->output, u->cached, u->cache_write, u->reasoning};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)1 << 48);
}

/* Each event has one line of data, which is JSON with the event's number. */
static void check_stream(struct run *r)
{
    struct slice in = buf_view(&r->out);
    struct buf scratch;
    struct sse_event ev;
    struct json_doc d;
    size_t scanned = 0;
    int64_t number = 0, got = -1;
    buf_init(&scratch, CAP);
    while (in.n > 0 && sse_next(&in, &scanned, &scratch, &ev)) {
        enum json_error e = json_parse(r->json, ev.data, JSON_ALLOW_LONE_SURROGATES, &d);
        if (e == JSON_TOO_DEEP) /* a citation is deeper inside than it was */
            break;
        ASSERT(e == JSON_OK && ev.data.p > ev.raw.p && ev.data.p < ev.raw.p + ev.raw.n);
        ASSERT(json_i64(&d, json_get(&d, 0, SLICE("sequence_number")), &got) && got == number++);
        ASSERT(json_string_is(&d, json_get(&d, 0, SLICE("type")), ev.name));
    }
    buf_done(&scratch);
}

/* The stream that was written says what was read. */
static void check_again(const struct run *was)
{
    struct run r;
    run_init(&r, CAP);
    decode(&r, buf_view(&was->out), false);
    if (r.ok) { /* else citations were too deep */
        ASSERT(r.order.is_error == was->order.is_error);
        ASSERT(r.order.is_error || (r.parts == was->parts && r.finish == was->finish));
    }
    run_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r;
    if (size == 0)
        return 0;
    bool whole = data[0] & 1, scarce = data[0] & 2;
    run_init(&r, scarce ? SHORT : CAP);
    decode(&r, slice_of((const char *)data + 1, size - 1), whole);
    if (!scarce) {
        ASSERT(!r.out.failed && !r.sequencer.failed);
        check_stream(&r);
        if (r.ok)
            check_again(&r);
    }
    run_done(&r);
    return 0;
}
