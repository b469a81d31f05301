/* Answers of Bedrock's Converse as neutral events. Streams stand here in the notation of
 * server-sent events; they go through AWS's framing before they are decoded. */
#include "../../fuzz/event_order.h"
#include "check.h"
#include "fixture.h"
#include "llm/aws_event_stream.h"
#include "llm/sse.h"
#include "llm/wire.h"

#define CLAUDE "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
#define NOVA   "amazon.nova-pro-v1:0"

static const char *const kinds[] = {
    [PART_TEXT] = "text", [PART_TOOL_CALL] = "call", [PART_REASONING] = "reasoning"};
static const char *const families[] = {
    [FAMILY_ANTHROPIC] = "anthropic", [FAMILY_AMAZON] = "amazon"};
static const char *const finishes[] = {
    [FINISH_STOP] = "stop",     [FINISH_LENGTH] = "length",     [FINISH_TOOLS] = "tools",
    [FINISH_FILTER] = "filter", [FINISH_SEQUENCE] = "sequence",
};

/* A decoder, and what it said, a line for each event. */
struct run {
    struct llm_decoder d;
    struct event_order order;
    struct buf said;
    bool ok;
};

static void note_citation(struct buf *b, const struct llm_citation *c)
{
    buf_printf(b, "cite %s url=" SLICE_FMT " title=" SLICE_FMT " cited=" SLICE_FMT " doc=%d\n",
               families[c->family], SLICE_ARG(c->url), SLICE_ARG(c->title.inner),
               SLICE_ARG(c->cited.inner), (int)c->document);
}

static void note(void *ctx, const struct llm_event *e)
{
    struct buf *b = ctx;
    switch (e->kind) {
    case EVENT_START: buf_printf(b, "start " SLICE_FMT "\n", SLICE_ARG(e->model)); return;
    case EVENT_PART:
        buf_printf(b, "part %u %s " SLICE_FMT " " SLICE_FMT "\n", e->part, kinds[e->part_kind],
                   SLICE_ARG(e->id), SLICE_ARG(e->name));
        return;
    case EVENT_DELTA:
        buf_printf(b, "%u+" SLICE_FMT "\n", e->part, SLICE_ARG(e->text.inner));
        return;
    case EVENT_SIGNATURE:
        buf_printf(b, "%u signed %s %s" SLICE_FMT "\n", e->part, families[e->family],
                   e->redacted ? "redacted " : "", SLICE_ARG(e->signature));
        return;
    case EVENT_CITATION: note_citation(b, e->citation); return;
    case EVENT_PART_END: buf_printf(b, "%u end\n", e->part); return;
    case EVENT_FINISH:
        buf_printf(b, "finish %s " SLICE_FMT "\n", finishes[e->finish],
                   SLICE_ARG(e->stop_sequence));
        return;
    case EVENT_END: buf_lit(b, "end\n"); return;
    case EVENT_ERROR:
        buf_printf(b, "error %u " SLICE_FMT ": " SLICE_FMT "\n", e->status,
                   SLICE_ARG(e->error->type), SLICE_ARG(e->error->message));
        return;
    default: buf_lit(b, "?\n"); return;
    }
}

static void run_begin(struct run *r, const char *model)
{
    set_up();
    *r = (struct run){.ok = true};
    buf_init(&r->said, 1 << 20);
    event_order_init(&r->order, note, &r->said);
    r->d = (struct llm_decoder){.wire = &converse_wire,
                                .arena = &arena,
                                .json = parser,
                                .emit = event_order_take,
                                .ctx = &r->order,
                                .id_seed = SLICE("seed"),
                                .model = slice_str(model),
                                .usage = LLM_USAGE_NONE};
}

static void run_end(struct run *r)
{
    CHECK_EQ_STR(event_order_end(&r->order, r->ok), NULL);
    event_order_done(&r->order);
    buf_done(&r->said);
    tear_down();
}

/* One event in AWS's framing, and out of it. */
static bool through_frame(struct run *r, struct slice name, struct slice data)
{
    struct buf frame;
    struct aws_event e = {.kind = AWS_EVENT, .type = name, .payload = data}, got;
    buf_init(&frame, 1 << 20);
    aws_event_put(&frame, &e);
    struct slice in = buf_view(&frame);
    CHECK_EQ_I64(aws_event_next(&in, &got), AWS_EVENT_GOT);
    bool ok = r->d.wire->decode_event(&r->d, aws_event_name(&got), aws_event_data(&got, NULL));
    buf_done(&frame);
    return ok;
}

static void decode_stream(struct run *r, const char *model, const char *text)
{
    struct slice in = slice_str(text);
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    run_begin(r, model);
    r->d.stream = true;
    buf_init(&scratch, 1 << 10);
    while (r->ok && sse_next(&in, &scanned, &scratch, &ev))
        r->ok = through_frame(r, ev.name, ev.data);
    r->ok = r->ok && r->d.wire->decode_end(&r->d);
    buf_done(&scratch);
}

static void decode_answer(struct run *r, const char *model, const char *body)
{
    run_begin(r, model);
    r->ok = r->d.wire->decode_answer(&r->d, slice_str(body));
}

static void check_usage(const struct run *r, int64_t input, int64_t output, int64_t cached,
                        int64_t cache_write)
{
    CHECK_EQ_I64(r->d.usage.input, input);
    CHECK_EQ_I64(r->d.usage.output, output);
    CHECK_EQ_I64(r->d.usage.cached, cached);
    CHECK_EQ_I64(r->d.usage.cache_write, cache_write);
    CHECK_EQ_I64(r->d.usage.reasoning, -1);
}

#define EV(name, data) "event: " name "\ndata: " data "\n\n"
#define START          EV("messageStart", "{\"role\":\"assistant\",\"p\":\"abcd\"}")
#define TEXT(i, t)                                                                                 \
    EV("contentBlockDelta", "{\"contentBlockIndex\":" #i ",\"delta\":{\"text\":\"" t "\"}}")
#define THINK(i, name, t)                                                                          \
    EV("contentBlockDelta",                                                                        \
       "{\"contentBlockIndex\":" #i ",\"delta\":{\"reasoningContent\":{\"" name "\":\"" t "\"}}}")
#define CALL(i, id, name)                                                                          \
    EV("contentBlockStart",                                                                        \
       "{\"contentBlockIndex\":" #i ",\"start\":{\"toolUse\":{\"toolUseId\":\"" id                 \
       "\",\"name\":\"" name "\"}}}")
#define ARGS(i, t)                                                                                 \
    EV("contentBlockDelta",                                                                        \
       "{\"contentBlockIndex\":" #i ",\"delta\":{\"toolUse\":{\"input\":\"" t "\"}}}")
#define BLOCK_END(i)   EV("contentBlockStop", "{\"contentBlockIndex\":" #i "}")
#define STOP(reason)   EV("messageStop", "{\"stopReason\":\"" reason "\"}")
#define USAGE(figures) EV("metadata", "{\"metrics\":{\"latencyMs\":551},\"usage\":{" figures "}}")
#define FIGURES        "\"inputTokens\":10,\"outputTokens\":5,\"totalTokens\":15"

TEST(stream_of_text)
{
    struct run r;
    decode_stream(&r, NOVA,
                  START TEXT(0, "") TEXT(0, "Hi \\u00fc") TEXT(0, " there") BLOCK_END(0)
                      STOP("end_turn") USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(buf_view(&r.said), "start " NOVA "\npart 0 text  \n0+Hi \\u00fc\n0+ there\n0 end\n"
                                    "finish stop \nend\n");
    check_usage(&r, 10, 5, -1, -1);
    run_end(&r);
}

TEST(stream_of_reasoning_and_calls)
{
    struct run r;
    decode_stream(&r, CLAUDE,
                  START THINK(0, "text", "Hm") THINK(0, "text", ".") THINK(0, "signature", "Eq")
                      THINK(0, "signature", "AB==") BLOCK_END(0) TEXT(1, "Look:") BLOCK_END(1)
                          CALL(2, "tooluse_1", "f") ARGS(2, "{\\\"a\\\":") ARGS(2, "1}")
                              BLOCK_END(2) CALL(3, "tooluse_2", "g") ARGS(3, "") BLOCK_END(3)
                                  STOP("tool_use") USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(buf_view(&r.said),
                 "start " CLAUDE "\n"
                 "part 0 reasoning  \n0+Hm\n0+.\n0 signed anthropic EqAB==\n0 end\n"
                 "part 1 text  \n1+Look:\n1 end\n"
                 "part 2 call tooluse_1 f\n2+{\\\"a\\\":\n2+1}\n2 end\n"
                 "part 3 call tooluse_2 g\n3+{}\n3 end\n"
                 "finish tools \nend\n");
    run_end(&r);
}

/* Pieces that are padded each are one text of bytes: "ab", "c" and "def". */
TEST(redacted_reasoning_in_pieces)
{
    struct run r;
    decode_stream(&r, "global.openai.gpt-5.6-sol",
                  START THINK(0, "redactedContent", "YWI=") THINK(0, "redactedContent", "Yw==")
                      THINK(0, "redactedContent", "ZGVm") BLOCK_END(0) TEXT(1, "x") STOP("end_turn")
                          USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(buf_view(&r.said), "start global.openai.gpt-5.6-sol\n"
                                    "part 0 reasoning  \n0 signed amazon redacted YWJjZGVm\n0 end\n"
                                    "part 1 text  \n1+x\n1 end\nfinish stop \nend\n");
    run_end(&r);
}

TEST(redacted_reasoning_that_is_no_base64)
{
    static const char *const second[] = {
        START THINK(0, "redactedContent", "YWI=") THINK(0, "redactedContent", "a"),
        START THINK(0, "redactedContent", "YWI=") THINK(0, "redactedContent", "a*b="),
        START THINK(0, "redactedContent", "YWI=") THINK(0, "signature", "YWI="),
    };
    for (size_t i = 0; i < ARRAY_LEN(second); i++) {
        struct run r;
        check_note("row %zu", i);
        decode_stream(&r, CLAUDE, second[i]);
        CHECK(!r.ok);
        run_end(&r);
    }
}

TEST(calls_side_by_side)
{
    struct run r;
    decode_stream(&r, NOVA,
                  START CALL(0, "a", "f") CALL(1, "b", "f") ARGS(1, "{\\\"n\\\":2}")
                      ARGS(0, "{\\\"n\\\":1}") BLOCK_END(0) TEXT(2, "and") STOP("tool_use")
                          USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(
        buf_view(&r.said),
        "start " NOVA "\npart 0 call a f\npart 1 call b f\n1+{\\\"n\\\":2}\n"
        "0+{\\\"n\\\":1}\n0 end\n1 end\npart 2 text  \n2+and\n2 end\nfinish tools \nend\n");
    run_end(&r);
}

TEST(the_providers_own_tools_are_not_the_clients)
{
    struct run r;
    decode_stream(
        &r, NOVA,
        START EV("contentBlockStart",
                 "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"s\",\"name\":"
                 "\"nova_grounding\",\"type\":\"server_tool_use\"}}}") ARGS(0, "{}") BLOCK_END(0)
            EV("contentBlockStart", "{\"contentBlockIndex\":1,\"start\":{\"toolResult\":{"
                                    "\"toolUseId\":\"s\"}}}")
                EV("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"toolResult\":[{"
                                        "\"text\":\"found\"}]}}") BLOCK_END(1) TEXT(2, "Yes")
                    EV("contentBlockDelta",
                       "{\"contentBlockIndex\":2,\"delta\":{\"citation\":{\"location\":{\"web\":{"
                       "\"url\":\"https://a.example/\",\"domain\":\"a.example\"}}}}}") BLOCK_END(2)
                        STOP("end_turn") USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(buf_view(&r.said), "start " NOVA "\npart 0 text  \n0+Yes\n"
                                    "cite amazon url=https://a.example/ title= cited= doc=-1\n"
                                    "0 end\nfinish stop \nend\n");
    run_end(&r);
}

TEST(stream_cut_short)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"", false},
        {START, false},
        {START TEXT(0, "x"), false},
        {START TEXT(0, "x") BLOCK_END(0), false},
        {START TEXT(0, "x") BLOCK_END(0) USAGE(FIGURES), false},
        {START TEXT(0, "x") BLOCK_END(0) STOP("end_turn"), true}, /* only the usage is missing */
        {START TEXT(0, "x") BLOCK_END(0) STOP("end_turn") TEXT(0, "y"), false},
        {START TEXT(0, "x") BLOCK_END(0) STOP("end_turn") STOP("end_turn"), false},
        {START ARGS(0, "{}"), false},
        {START CALL(0, "a", "f") TEXT(0, "x"), false},
        {START CALL(0, "a", "f") CALL(0, "b", "f"), false},
        {START CALL(0, "a", ""), false},
        {START EV("contentBlockDelta", "{\"delta\":{\"text\":\"x\"}}"), false},
        {START EV("contentBlockDelta", "[]"), false},
        {START EV("contentBlockDelta", "{"), false},
        {START EV("messageStop", "{}"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r;
        check_note("row %zu", i);
        decode_stream(&r, NOVA, rows[i].text);
        CHECK_EQ_I64(r.ok, rows[i].ok);
        run_end(&r);
    }
}

TEST(stream_that_fails)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {EV("throttlingException", "{\"message\":\"Too many tokens, please wait.\"}"),
         "error 429 throttlingException: Too many tokens, please wait.\n"},
        {EV("modelStreamErrorException",
            "{\"message\":\"failed\",\"originalStatusCode\":500,\"originalMessage\":\"boom\"}"),
         "error 424 modelStreamErrorException: failed\n"},
        {EV("validationException", "{\"message\":\"no\"}"), "error 400 validationException: no\n"},
        {EV("serviceUnavailableException", "{\"message\":\"no\"}"),
         "error 503 serviceUnavailableException: no\n"},
        {EV("internalServerException", "{\"message\":\"no\"}"),
         "error 500 internalServerException: no\n"},
        {EV("newKindException", "{\"message\":\"no\"}"), "error 500 newKindException: no\n"},
        {EV("ModelStreamError", "{\"Message\":\"container\",\"ErrorCode\":\"StreamBroken\"}"),
         "error 424 ModelStreamError: container\n"},
        {EV("error", "{\"code\":\"Internal\",\"message\":\"bad\"}"), "error 500 error: bad\n"},
        {STOP("malformed_tool_use"),
         "error 502 malformed_tool_use: The model's output could not be "
         "read.\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r;
        check_note("row %zu", i);
        decode_stream(&r, NOVA, rows[i].text);
        CHECK(r.ok);
        CHECK(r.d.ended && !r.d.finished);
        CHECK_EQ_SLICE(buf_view(&r.said), slice_str(rows[i].said));
        run_end(&r);
    }
}

TEST(unknown_events_and_fields)
{
    struct run r;
    decode_stream(&r, NOVA,
                  EV("newThing", "not JSON at all") START EV(
                      "contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{}}") TEXT(0, "x")
                      EV("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"new\":1}}")
                          BLOCK_END(0) BLOCK_END(7) STOP("new_reason") USAGE(FIGURES));
    CHECK(r.ok);
    CHECK_EQ_LIT(buf_view(&r.said),
                 "start " NOVA "\npart 0 text  \n0+x\n0 end\nfinish stop \nend\n");
    run_end(&r);
}

/* Input on one basis: with what was cached and written. OpenAI's models count it in streams. */
TEST(usage_with_caches)
{
    static const char cached[] = "\"inputTokens\":4,\"outputTokens\":7,\"totalTokens\":4911,"
                                 "\"cacheReadInputTokens\":4000,\"cacheWriteInputTokens\":900";
    static const char counted[] = "\"inputTokens\":4995,\"outputTokens\":19,\"totalTokens\":10007,"
                                  "\"cacheReadInputTokens\":0,\"cacheWriteInputTokens\":4993";
    struct run r;
    for (unsigned openai = 0; openai < 2; openai++) {
        struct buf b;
        buf_init(&b, 1 << 10);
        buf_lit(&b, START TEXT(0, "x") STOP("end_turn") "event: metadata\ndata: {\"usage\":{");
        buf_slice(&b, slice_str(openai ? counted : cached));
        buf_append(&b, "}}\n\n", sizeof "}}\n\n");
        decode_stream(&r, openai ? "openai.gpt-5.6" : CLAUDE, b.p);
        CHECK(r.ok);
        if (openai)
            check_usage(&r, 4995, 19, 0, 4993);
        else
            check_usage(&r, 4904, 7, 4000, 900);
        run_end(&r);
        buf_done(&b);
    }
}

#define ANSWER(content, reason, figures)                                                           \
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[" content                       \
    "]}},\"stopReason\":\"" reason "\",\"usage\":{" figures "},\"metrics\":{\"latencyMs\":9}}"

TEST(whole_answers)
{
    static const struct {
        const char *body, *said;
    } rows[] = {
        {ANSWER("{\"text\":\"Hi\"}", "end_turn", FIGURES),
         "start " CLAUDE "\npart 0 text  \n0+Hi\n0 end\nfinish stop \nend\n"},
        {ANSWER("", "max_tokens", FIGURES), "start " CLAUDE "\nfinish length \nend\n"},
        {ANSWER("{\"text\":\"Sorry\"}", "guardrail_intervened", FIGURES),
         "start " CLAUDE "\npart 0 text  \n0+Sorry\n0 end\nfinish filter \nend\n"},
        {ANSWER("{\"reasoningContent\":{\"reasoningText\":{\"text\":\"Hm\",\"signature\":\"Eq==\"}}"
                "},{\"reasoningContent\":{\"redactedContent\":\"UkVE\"}},{\"text\":\"Ok\"},{"
                "\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{\"q\":\"\\\"x\\\"\"}}}"
                ",{\"toolUse\":{\"toolUseId\":\"t2\",\"name\":\"g\",\"input\":{}}}",
                "tool_use", FIGURES),
         "start " CLAUDE "\npart 0 reasoning  \n0+Hm\n0 signed anthropic Eq==\n0 end\n"
         "part 1 reasoning  \n1 signed anthropic redacted UkVE\n1 end\n"
         "part 2 text  \n2+Ok\n2 end\n"
         "part 3 call t1 f\n3+{\\\"q\\\":\\\"\\\\\\\"x\\\\\\\"\\\"}\n3 end\n"
         "part 4 call t2 g\n4+{}\n4 end\nfinish tools \nend\n"},
        {ANSWER("{\"citationsContent\":{\"content\":[{\"text\":\"It is \"},{\"text\":\"green.\"}],"
                "\"citations\":[{\"title\":\"Colours\",\"sourceContent\":[{\"text\":\"gr\"},{"
                "\"text\":\"een\"}],\"location\":{\"documentChar\":{\"documentIndex\":0,\"start\":"
                "3,\"end\":8}}}]}}",
                "end_turn", FIGURES),
         "start " CLAUDE "\npart 0 text  \n0+It is green.\n"
         "cite amazon url= title=Colours cited=green doc=0\n0 end\nfinish stop \nend\n"},
        {"{\"output\":{\"message\":{\"content\":[{\"text\":\"1, \"}]}},\"stopReason\":"
         "\"stop_sequence\",\"additionalModelResponseFields\":{\"stop_sequence\":\"3\"}}",
         "start " CLAUDE "\npart 0 text  \n0+1, \n0 end\nfinish sequence 3\nend\n"},
        {ANSWER("{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AA==\"}}},{\"new\":{}}",
                "end_turn", FIGURES),
         "start " CLAUDE "\nfinish stop \nend\n"},
        {"{\"message\":\"out of order\"}", "error 500 error: out of order\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r;
        check_note("row %zu", i);
        decode_answer(&r, CLAUDE, rows[i].body);
        CHECK(r.ok);
        CHECK_EQ_SLICE(buf_view(&r.said), slice_str(rows[i].said));
        run_end(&r);
    }
}

TEST(answers_that_make_no_sense)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "<html>",
        "{\"output\":{}}",
        "{\"output\":{\"message\":{\"content\":{}}}}",
        "{\"output\":{\"message\":{\"content\":[]}}}", /* no stop reason */
        ANSWER("7", "end_turn", FIGURES),
        ANSWER("{\"toolUse\":{\"toolUseId\":\"t\",\"input\":{}}}", "tool_use", FIGURES),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct run r;
        check_note("row %zu", i);
        decode_answer(&r, CLAUDE, bodies[i]);
        CHECK(!r.ok);
        run_end(&r);
    }
}

TEST(paths)
{
    static const struct {
        const char *model;
        bool stream;
        const char *path;
    } rows[] = {
        {"anthropic.claude-3-haiku-20240307-v1:0", false,
         "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"},
        {"arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2", true,
         "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile"
         "%2Fa1b2/converse-stream"},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_EQ_SLICE(
            converse_wire.path(&arena, NULL, LLM_CHAT, slice_str(rows[i].model), rows[i].stream),
            slice_str(rows[i].path));
    CHECK(converse_wire.path(&arena, NULL, LLM_EMBEDDINGS, SLICE("m"), false).p == NULL);
    tear_down();
}
