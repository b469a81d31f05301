/* Bedrock's answers: events come in order, texts can stand in JSON, arguments of whole answers are
 * objects, figures have bounds. The first byte says the model, and whether the rest is a whole
 * answer or a stream in the notation of server-sent events. */
/* layer: llm */
#include "event_order.h"
#include "llm/sse.h"
#include "llm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const char *const models[] = {"us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                                     "amazon.nova-pro-v1:0", "openai.gpt-5.6", ""};

struct run {
    struct llm_decoder d;
    struct json_parser *other; /* the decoder still needs its own document */
    struct buf text;
    bool is_call; /* the part begun last */
};

static void check_json(struct run *r, struct slice json, bool object)
{
    struct json_doc doc;
    ASSERT(json_parse(r->other, json, JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK);
    ASSERT(json_type_at(&doc, 0) == (object ? JSON_OBJECT : JSON_STRING));
}

static void check_text(struct run *r, struct llm_text t)
{
    buf_reset(&r->text);
    buf_char(&r->text, '"');
    buf_slice(&r->text, t.inner);
    buf_char(&r->text, '"');
    check_json(r, buf_view(&r->text), false);
}

static void take(void *ctx, const struct llm_event *e)
{
    struct run *r = ctx;
    check_text(r, e->text);
    if (e->kind == EVENT_PART)
        r->is_call = e->part_kind == PART_TOOL_CALL;
    if (e->kind == EVENT_CITATION) {
        check_text(r, e->citation->title);
        check_text(r, e->citation->cited);
        check_json(r, e->citation->own_json, true);
    }
    if (e->kind == EVENT_DELTA && r->is_call && !r->d.stream) {
        char *plain = arena_alloc(r->d.arena, e->text.inner.n + 1);
        if (plain != NULL)
            check_json(r, slice_of(plain, json_unescape(e->text.inner, plain)), true);
    }
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

static void check_usage(const struct llm_usage *u)
{
    const int64_t figures[] = {u->output, u->cached, u->cache_write};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)1 << 48);
    ASSERT(u->input >= -1 && u->input <= (int64_t)3 << 48 && u->reasoning == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_parser *parser, *other;
    struct event_order order;
    struct arena a;
    if (size < 1)
        return 0;
    if (parser == NULL) {
        parser = json_parser_new();
        other = json_parser_new();
        ASSERT(parser != NULL && other != NULL);
    }
    struct slice text = slice_of((const char *)data + 1, size - 1);
    struct run r = {.other = other};
    arena_init(&a, NULL, CAP);
    buf_init(&r.text, CAP);
    event_order_init(&order, take, &r);
    r.d = (struct llm_decoder){.wire = &converse_wire,
                               .arena = &a,
                               .json = parser,
                               .emit = event_order_take,
                               .ctx = &order,
                               .id_seed = SLICE("0"),
                               .model = slice_str(models[data[0] / 2 % ARRAY_LEN(models)]),
                               .stream = data[0] & 1,
                               .usage = LLM_USAGE_NONE};
    bool ok = r.d.stream ? decode_stream(&r.d, text) : r.d.wire->decode_answer(&r.d, text);
    ASSERT(event_order_end(&order, ok) == NULL);
    check_usage(&r.d.usage);
    event_order_done(&order);
    buf_done(&r.text);
    arena_reset(&a);
    return 0;
}
