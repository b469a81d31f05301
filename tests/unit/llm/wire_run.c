/* What tests of wires share. */
#include "wire_run.h"

#include "check.h"
#include "fixture.h"
#include "llm/sse.h"

static const char *const kinds[] = {[PART_TEXT] = "text",
                                    [PART_TOOL_CALL] = "call",
                                    [PART_REASONING] = "reasoning",
                                    [PART_REFUSAL] = "refusal"};
static const char *const finishes[] = {
    [FINISH_STOP] = "stop",     [FINISH_LENGTH] = "length",     [FINISH_TOOLS] = "tools",
    [FINISH_FILTER] = "filter", [FINISH_SEQUENCE] = "sequence",
};

static void note_citation(struct buf *b, const struct llm_event *e)
{
    const struct llm_citation *c = e->citation;
    buf_printf(b, "%u cites %d: ", e->part, (int)c->document);
    buf_slice(b, c->url);
    buf_char(b, '|');
    buf_slice(b, c->title.inner);
    buf_char(b, '|');
    buf_slice(b, c->cited.inner);
    buf_printf(b, "|%d-%d\n", (int)c->start, (int)c->end);
}

static void note(void *ctx, const struct llm_event *e)
{
    struct buf *b = ctx;
    switch (e->kind) {
    case EVENT_START:
        buf_printf(b, "start " SLICE_FMT " " SLICE_FMT "\n", SLICE_ARG(e->id), SLICE_ARG(e->model));
        return;
    case EVENT_PART:
        buf_printf(b, "part %u %s " SLICE_FMT " " SLICE_FMT "\n", e->part, kinds[e->part_kind],
                   SLICE_ARG(e->id), SLICE_ARG(e->name));
        return;
    case EVENT_DELTA:
        buf_printf(b, "%u+" SLICE_FMT "\n", e->part, SLICE_ARG(e->text.inner));
        return;
    case EVENT_CITATION: note_citation(b, e); return;
    case EVENT_LOGPROBS: buf_printf(b, "logprobs " SLICE_FMT "\n", SLICE_ARG(e->json)); return;
    case EVENT_PART_END: buf_printf(b, "%u end\n", e->part); return;
    case EVENT_FINISH: buf_printf(b, "finish %s\n", finishes[e->finish]); return;
    case EVENT_END: buf_lit(b, "end\n"); return;
    case EVENT_ERROR:
        buf_printf(b, "error %u " SLICE_FMT ": " SLICE_FMT "\n", e->status,
                   SLICE_ARG(e->error->type), SLICE_ARG(e->error->message));
        return;
    default: buf_lit(b, "?\n"); return;
    }
}

void wire_run_begin(struct wire_run *r, const struct llm_wire *wire)
{
    static const struct llm_provider provider = {.type = "test"};
    set_up();
    *r = (struct wire_run){.ok = true};
    buf_init(&r->said, 1 << 20);
    event_order_init(&r->order, note, &r->said);
    r->d = (struct llm_decoder){.wire = wire,
                                .provider = &provider,
                                .arena = &arena,
                                .json = parser,
                                .emit = event_order_take,
                                .ctx = &r->order,
                                .id_seed = SLICE("seed"),
                                .model = SLICE("asked"),
                                .usage = LLM_USAGE_NONE};
}

void wire_run_end(struct wire_run *r)
{
    CHECK_EQ_STR(event_order_end(&r->order, r->ok), NULL);
    event_order_done(&r->order);
    buf_done(&r->said);
    tear_down();
}

void wire_run_stream(struct wire_run *r, const struct llm_wire *wire, const char *sse)
{
    struct slice in = slice_str(sse);
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    wire_run_begin(r, wire);
    r->d.stream = true;
    buf_init(&scratch, 1 << 10);
    while (r->ok && sse_next(&in, &scanned, &scratch, &ev)) {
        if (ev.has_data)
            r->ok = wire->decode_event(&r->d, ev.name, ev.data);
    }
    r->ok = r->ok && wire->decode_end(&r->d);
    buf_done(&scratch);
}

void wire_run_answer(struct wire_run *r, const struct llm_wire *wire, const char *body)
{
    wire_run_begin(r, wire);
    r->ok = wire->decode_answer(&r->d, slice_str(body));
}

void wire_run_check_usage(const struct wire_run *r, int64_t input, int64_t output, int64_t cached)
{
    CHECK_EQ_I64(r->d.usage.input, input);
    CHECK_EQ_I64(r->d.usage.output, output);
    CHECK_EQ_I64(r->d.usage.cached, cached);
    CHECK_EQ_I64(r->d.usage.cache_write, -1);
    CHECK_EQ_I64(r->d.usage.reasoning, -1);
}

void wire_request_begin(struct wire_request *q, const struct llm_wire *wire, const char *model)
{
    set_up();
    *q = (struct wire_request){.wire = wire, .model = model, .drop = FEATURES_N};
    q->provider = (struct llm_provider){.type = "test"};
    q->chat = (struct llm_chat){.parallel = -1,
                                .format_strict = -1,
                                .max_tokens = -1,
                                .n = 1,
                                .top_logprobs = -1,
                                .budget = -1,
                                .store = -1,
                                .messages = q->message};
    wire_request_say(q, 0, ROLE_USER, PART_TEXT, "Hi");
    buf_init(&q->out, 1 << 20);
}

void wire_request_end(struct wire_request *q)
{
    buf_done(&q->out);
    tear_down();
}

bool wire_request_write(struct wire_request *q)
{
    buf_reset(&q->out);
    q->w = (struct llm_writing){.arena = &arena,
                                .json = parser,
                                .chat = &q->chat,
                                .provider = &q->provider,
                                .model = slice_str(q->model),
                                .out = &q->out,
                                .bad = &q->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        q->w.lack[f] = f == q->drop ? LACK_DROP : (unsigned char)llm_feature_lack(f);
    return q->wire->write_chat(&q->w);
}

void wire_request_check(struct wire_request *q, const char *want)
{
    struct json_doc d;
    bool ok = wire_request_write(q);
    CHECK_EQ_STR(q->bad.message, "");
    CHECK(ok);
    CHECK_EQ_SLICE(buf_view(&q->out), slice_str(want));
    CHECK_EQ_I64(json_parse(parser, buf_view(&q->out), 0, &d), JSON_OK);
}

void wire_request_check_refused(struct wire_request *q, const char *param)
{
    CHECK(!wire_request_write(q));
    CHECK_EQ_STR(q->bad.param, param);
    CHECK(q->bad.message[0] != '\0' && !q->bad.no_memory);
}

void wire_request_check_dropped(const struct wire_request *q, const char *name)
{
    CHECK(q->w.dropped != NULL);
    CHECK_EQ_SLICE(q->w.dropped->word, slice_str(name));
    CHECK(q->w.dropped->next == NULL);
}

struct llm_part *wire_request_say(struct wire_request *q, unsigned i, enum llm_role role,
                                  enum llm_part_kind kind, const char *text)
{
    q->message[i] = (struct llm_message){.role = role, .parts = &q->part[i], .at = i};
    q->part[i] = (struct llm_part){.kind = kind, .message_at = i};
    if (text != NULL)
        q->part[i].text = (struct llm_text){slice_str(text)};
    if (i > 0)
        q->message[i - 1].next = &q->message[i];
    return &q->part[i];
}
