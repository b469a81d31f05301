/* Gemini's answers, whole and as streams: the order of the events holds; what Google's dialect
 * makes of them is valid JSON, frame by frame or as one array, and is an answer again that ends the
 * same way. The first byte chooses. */
/* layer: llm */
#include "event_order.h"
#include "llm/dialect.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const struct llm_provider provider = {.type = "gemini"};

/* A client that takes what the encoder writes. */
struct client {
    struct llm_encoder encoder;
    struct llm_sequencer sequencer;
    struct buf event, all;
};

static void encode(void *ctx, const struct llm_event *e)
{
    struct client *c = ctx;
    buf_reset(&c->event);
    c->encoder.dialect->encode(&c->encoder, e);
    if (c->event.failed)
        c->all.failed = true;
    buf_slice(&c->all, buf_view(&c->event));
}

static void client_init(struct client *c, const struct llm_dialect *dialect, struct arena *a,
                        struct json_parser *p, const struct llm_usage *usage)
{
    *c = (struct client){.sequencer = {.emit = encode, .ctx = c, .arena = a}};
    c->encoder = (struct llm_encoder){
        .dialect = dialect, .arena = a, .out = &c->event, .usage = usage, .json = p};
    buf_init(&c->event, CAP);
    buf_init(&c->all, CAP);
}

static void client_done(struct client *c)
{
    buf_done(&c->event);
    buf_done(&c->all);
}

static struct llm_decoder decoder_of(struct arena *a, struct json_parser *p, llm_emit_fn *emit,
                                     void *ctx)
{
    return (struct llm_decoder){.wire = &google_wire,
                                .provider = &provider,
                                .arena = a,
                                .json = p,
                                .emit = emit,
                                .ctx = ctx,
                                .id_seed = SLICE("seed"),
                                .model = SLICE("asked"),
                                .usage = LLM_USAGE_NONE};
}

static bool feed(struct llm_decoder *d, struct slice text, bool stream)
{
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    bool ok = true;
    if (!stream)
        return d->wire->decode_answer(d, text);
    buf_init(&scratch, CAP);
    while (ok && sse_next(&text, &scanned, &scratch, &ev))
        ok = !ev.has_data || d->wire->decode_event(d, ev.name, ev.data);
    buf_done(&scratch);
    return ok && d->wire->decode_end(d);
}

/* What was written is an answer, which ends as the first did. */
static void check_again(struct slice text, bool is_error, struct json_parser *p)
{
    struct event_order order;
    struct arena a;
    arena_init(&a, NULL, CAP);
    event_order_init(&order, NULL, NULL);
    struct llm_decoder d = decoder_of(&a, p, event_order_take, &order);
    bool ok = feed(&d, text, true);
    ASSERT(ok && event_order_end(&order, ok) == NULL);
    ASSERT(order.is_error || !is_error);
    event_order_done(&order);
    arena_reset(&a);
}

static void check_stream(struct slice text, bool stream, const struct llm_dialect *dialect)
{
    struct json_parser *p = json_parser_new(), *q = json_parser_new();
    struct event_order order;
    struct client client;
    struct json_doc doc;
    struct arena a;
    ASSERT(p != NULL && q != NULL);
    arena_init(&a, NULL, CAP);
    struct llm_decoder d = decoder_of(&a, p, event_order_take, &order);
    client_init(&client, dialect, &a, q, &d.usage);
    event_order_init(&order, llm_sequence, &client.sequencer);
    bool ok = feed(&d, text, stream);
    ASSERT(event_order_end(&order, ok) == NULL);
    ASSERT(!ok || d.ended);
    ASSERT(d.usage.input >= -1 && d.usage.output >= -1 && d.usage.cached >= -1);
    if (ok && !client.all.failed && !client.sequencer.failed && !client.encoder.bad) {
        if (dialect == &google_dialect)
            check_again(buf_view(&client.all), order.is_error, p);
        else
            ASSERT(json_parse(p, buf_view(&client.all), JSON_ALLOW_LONE_SURROGATES, &doc) ==
                   JSON_OK);
    }
    client_done(&client);
    event_order_done(&order);
    arena_reset(&a);
    json_parser_free(p);
    json_parser_free(q);
}

static void check_whole(struct slice text)
{
    struct json_parser *p = json_parser_new();
    struct llm_answer answer = {.usage = LLM_USAGE_NONE};
    struct json_doc doc;
    struct buf out;
    struct arena a;
    ASSERT(p != NULL);
    arena_init(&a, NULL, CAP);
    buf_init(&out, CAP);
    struct llm_collector c = {.arena = &a, .answer = &answer};
    struct llm_decoder d = decoder_of(&a, p, llm_collect, &c);
    if (feed(&d, text, false) && llm_collect_end(&c) && !answer.is_error) {
        struct llm_encoder e = {
            .dialect = &google_dialect, .arena = &a, .out = &out, .usage = &d.usage, .json = p};
        google_dialect.write_answer(&e, &answer);
        ASSERT(out.failed ||
               json_parse(p, buf_view(&out), JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK);
    }
    buf_done(&out);
    arena_reset(&a);
    json_parser_free(p);
}

static void check_error(struct slice text)
{
    struct json_parser *p = json_parser_new();
    struct llm_error e;
    struct arena a;
    int64_t ms = 0;
    ASSERT(p != NULL);
    arena_init(&a, NULL, CAP);
    google_wire.read_error(p, &a, text, &e);
    ASSERT(e.message.n > 0);
    if (google_retry_delay(p, &a, text, &ms))
        ASSERT(ms >= 0);
    arena_reset(&a);
    json_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    switch (data[0] & 3) {
    case 0: check_stream(text, true, &google_dialect); break;
    case 1: check_stream(text, true, &google_array_dialect); break;
    case 2: check_stream(text, false, &google_dialect); break;
    default: check_whole(text); check_error(text);
    }
    return 0;
}
