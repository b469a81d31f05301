/* Answers of Cohere's v2/chat as neutral events. */
#include <stdio.h>

#include "check.h"
#include "llm/sse.h"
#include "wire_run.h"

#define EV(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                      \
    EV("message-start", ",\"id\":\"c14c\",\"delta\":{\"message\":{\"role\":\"assistant\","         \
                        "\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}")
#define BLOCK(i, kind)                                                                             \
    EV("content-start", ",\"index\":" #i ",\"delta\":{\"message\":{\"content\":{\"type\":\"" kind  \
                        "\",\"" kind "\":\"\"}}}")
#define DELTA(i, kind, t)                                                                          \
    EV("content-delta",                                                                            \
       ",\"index\":" #i ",\"delta\":{\"message\":{\"content\":{\"" kind "\":\"" t "\"}}}")
#define BLOCK_END(i) EV("content-end", ",\"index\":" #i)
#define TEXT(t)      DELTA(0, "text", t)
#define PLAN(t)      EV("tool-plan-delta", ",\"delta\":{\"message\":{\"tool_plan\":\"" t "\"}}")
#define CALL(i, id, name, args)                                                                    \
    EV("tool-call-start", ",\"index\":" #i ",\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"" id \
                          "\",\"type\":\"function\",\"function\":{\"name\":\"" name                \
                          "\",\"arguments\":\"" args "\"}}}}")
#define ARGS(i, t)                                                                                 \
    EV("tool-call-delta", ",\"index\":" #i ",\"delta\":{\"message\":{\"tool_calls\":{"             \
                          "\"function\":{\"arguments\":\"" t "\"}}}}")
#define CALL_END(i) EV("tool-call-end", ",\"index\":" #i)
#define CITE(rest)                                                                                 \
    EV("citation-start", ",\"index\":0,\"delta\":{\"message\":{\"citations\":{" rest "}}}")        \
    EV("citation-end", ",\"index\":0")
#define USAGE                                                                                      \
    "\"usage\":{\"billed_units\":{\"input_tokens\":3.0,\"output_tokens\":5},\"tokens\":{"          \
    "\"input_tokens\":69,\"output_tokens\":7},\"cached_tokens\":64}"
#define END(reason)                                                                                \
    EV("message-end", ",\"delta\":{\"finish_reason\":\"" reason "\"," USAGE "}")                   \
    "data: [DONE]\n\n"

static void check_said(struct wire_run *r, const char *want)
{
    CHECK(r->ok);
    CHECK_EQ_SLICE(buf_view(&r->said), slice_str(want));
}

TEST(stream_of_text)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START BLOCK(0, "text") TEXT("Hi \\u00fc") TEXT(" there") BLOCK_END(0)
                        END("COMPLETE"));
    check_said(&r, "start c14c asked\npart 0 text  \n0+Hi \\u00fc\n0+ there\n0 end\n"
                   "finish stop\nend\n");
    CHECK(r.d.finished && r.d.ended);
    CHECK_EQ_I64(r.d.units, 2);
    /* The bill's input is smaller than what the cache had of the whole prompt. */
    wire_run_check_usage(&r, 3, 5, 3);
    wire_run_end(&r);
}

TEST(stream_of_reasoning)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START BLOCK(0, "thinking") DELTA(0, "thinking", "Hm") DELTA(0, "thinking", ".")
                        BLOCK_END(0) BLOCK(1, "text") DELTA(1, "text", "2") BLOCK_END(1)
                            END("MAX_TOKENS"));
    check_said(&r, "start c14c asked\npart 0 reasoning  \n0+Hm\n0+.\n0 end\n"
                   "part 1 text  \n1+2\n1 end\nfinish length\nend\n");
    wire_run_end(&r);
}

TEST(two_blocks_of_text_are_two_parts)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START DELTA(0, "text", "a") DELTA(1, "text", "b") END("STOP_SEQUENCE"));
    check_said(&r, "start c14c asked\npart 0 text  \n0+a\n0 end\npart 1 text  \n1+b\n1 end\n"
                   "finish sequence\nend\n");
    wire_run_end(&r);
}

TEST(stream_of_calls)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START PLAN("I will") PLAN(" look.") CALL(0, "f_1", "f", "")
                        ARGS(0, "{\\\"a\\\":") ARGS(0, "1}") CALL_END(0) CALL(1, "g_1", "g", "")
                            CALL_END(1) END("TOOL_CALL"));
    check_said(&r, "start c14c asked\npart 0 reasoning  \n0+I will\n0+ look.\n0 end\n"
                   "part 1 call f_1 f\n1+{\\\"a\\\":\n1+1}\n1 end\n"
                   "part 2 call g_1 g\n2+{}\n2 end\nfinish tools\nend\n");
    wire_run_end(&r);
}

TEST(calls_side_by_side_and_never_ended)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START CALL(0, "a", "f", "{") CALL(1, "", "g", "") ARGS(0, "}") ARGS(1, "{}")
                        END("COMPLETE"));
    check_said(&r, "start c14c asked\npart 0 call a f\n0+{\npart 1 call call_seed_1 g\n0+}\n1+{}\n"
                   "0 end\n1 end\nfinish tools\nend\n");
    wire_run_end(&r);
}

#define SOURCE(id)                                                                                 \
    "{\"type\":\"document\",\"id\":\"" id "\",\"document\":{\"id\":\"" id                          \
    "\",\"title\":\"Tall\",\"text\":\"They are tall.\"}}"
#define TOOL_SOURCE                                                                                \
    "{\"type\":\"tool\",\"id\":\"f_1:0\",\"tool_output\":{\"url\":\"https://a.example/\","         \
    "\"snippet\":\"S\"}}"

TEST(citations_in_a_stream)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START TEXT("Tall ones.")
                        CITE("\"start\":0,\"end\":4,\"text\":\"Tall\",\"type\":\"TEXT_CONTENT\","
                             "\"sources\":[" SOURCE("doc_1") "," TOOL_SOURCE "]") BLOCK_END(0)
                            CITE("\"start\":5,\"end\":9,\"sources\":[" SOURCE("x") "]")
                                CITE("\"type\":\"PLAN\",\"sources\":[" SOURCE("doc_0") "]")
                                    CITE("\"start\":1") END("COMPLETE"));
    check_said(&r, "start c14c asked\npart 0 text  \n0+Tall ones.\n"
                   "0 cites 1: |Tall|They are tall.|0-4\n"
                   "0 cites -1: https://a.example/|f_1:0|S|0-4\n"
                   "0 cites -1: |Tall|They are tall.|5-9\n"
                   "0 end\nfinish stop\nend\n");
    wire_run_end(&r);
}

TEST(log_probabilities)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    START EV("content-delta",
                             ",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"a\"}}},"
                             "\"logprobs\":{\"text\":\"a\",\"token_ids\":[7],\"logprobs\":[-1e-3]}")
                        EV("content-delta",
                           ",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"bc\"}}},"
                           "\"logprobs\":{\"text\":\"bc\",\"token_ids\":[7,8],\"logprobs\":[-0.5,"
                           "-0.25]}") EV("content-delta", ",\"logprobs\":{\"token_ids\":[]}")
                            END("COMPLETE"));
    check_said(&r,
               "start c14c asked\npart 0 text  \n0+a\n"
               "logprobs {\"token\":\"a\",\"logprob\":-1e-3,\"bytes\":null,\"top_logprobs\":[]}\n"
               "0+bc\n"
               "logprobs {\"token\":\"bc\",\"logprob\":-0.75,\"bytes\":null,"
               "\"top_logprobs\":[]}\n0 end\nfinish stop\nend\n");
    wire_run_end(&r);
}

TEST(stream_cut_short)
{
    static const char *const rows[] = {
        "",
        START,
        START TEXT("x"),
        START TEXT("x") BLOCK_END(0),
        START TEXT("x") "data: [DONE]\n\n",
        START ARGS(0, "{}"),
        START CALL_END(0),
        START CALL(0, "a", "", ""),
        START CALL(0, "a", "f", "") CALL(0, "b", "f", ""),
        START CALL(0, "a", "f", "") CALL_END(0) ARGS(0, "{}"),
        START EV("message-end", ""),
        START EV("message-end", ",\"delta\":{" USAGE "}"),
        START "data: {\n\n",
        START "data: []\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_stream(&r, &cohere_wire, rows[i]);
        CHECK(!r.ok && !r.d.ended);
        wire_run_end(&r);
    }
}

TEST(stream_that_fails)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {END("ERROR"), "error 502 ERROR: The generation failed.\n"},
        {END("TIMEOUT"), "error 504 TIMEOUT: The generation timed out.\n"},
        {END("USER_CANCEL"), "error 502 USER_CANCEL: The generation was cancelled.\n"},
        {EV("message-end", ",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"no \\\"GPU\\\"\"}"),
         "error 502 ERROR: no \"GPU\"\n"},
        {EV("message-end", ",\"delta\":{\"error\":\"lost\"}"), "error 502 ERROR: lost\n"},
        {"data: {\"message\":\"too many requests\"}\n\n", "error 0 error: too many requests\n"},
        {EV("error", ",\"message\":\"gone\""), "error 0 error: gone\n"},
        {EV("error", ""), "error 0 error: The provider gave no message.\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_stream(&r, &cohere_wire, rows[i].text);
        check_said(&r, rows[i].said);
        CHECK(r.d.ended && !r.d.finished);
        wire_run_end(&r);
    }
}

TEST(finish_reasons)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {END("ERROR_TOXIC"), "finish filter\nend\n"},
        {END("ERROR_LIMIT"), "finish length\nend\n"},
        {END("SOMETHING_NEW"), "finish stop\nend\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_stream(&r, &cohere_wire, rows[i].text);
        CHECK(r.ok);
        struct slice said = buf_view(&r.said);
        CHECK_EQ_SLICE(slice_from(said, sizeof "start  asked\n" - 1), slice_str(rows[i].said));
        wire_run_end(&r);
    }
}

TEST(unknown_events_and_fields)
{
    struct wire_run r;
    wire_run_stream(&r, &cohere_wire,
                    EV("debug", ",\"prompt\":\"<x>\"")
                        EV("new-thing", ",\"delta\":1") "data: {}\n\n" START TEXT("x")
                            EV("content-delta", ",\"delta\":[]") EV("tool-plan-delta", "")
                                END("COMPLETE"));
    check_said(&r, "start c14c asked\npart 0 text  \n0+x\n0 end\nfinish stop\nend\n");
    wire_run_end(&r);
}

TEST(usage_without_a_bill)
{
    static const struct {
        const char *usage;
        int64_t input, output, cached;
    } rows[] = {
        {"{\"tokens\":{\"input_tokens\":69,\"output_tokens\":7},\"cached_tokens\":64}", 69, 7, 64},
        {"{\"billed_units\":{\"output_tokens\":5},\"tokens\":{\"input_tokens\":69}}", 69, 5, -1},
        {"{\"billed_units\":{\"input_tokens\":-1,\"output_tokens\":1e30}}", -1, -1, -1},
        {"{\"cached_tokens\":2}", -1, -1, 2},
        {"[]", -1, -1, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        char body[512];
        check_note("row %zu", i);
        snprintf(body, sizeof body, "{\"message\":{},\"finish_reason\":\"COMPLETE\",\"usage\":%s}",
                 rows[i].usage);
        wire_run_answer(&r, &cohere_wire, body);
        CHECK(r.ok);
        wire_run_check_usage(&r, rows[i].input, rows[i].output, rows[i].cached);
        wire_run_end(&r);
    }
}

TEST(whole_answer)
{
    struct wire_run r;
    wire_run_answer(
        &r, &cohere_wire,
        "{\"id\":\"c14c\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\","
        "\"content\":[{\"type\":\"thinking\",\"thinking\":\"Hm\"},{\"type\":\"text\",\"text\":"
        "\"Tall\"},{\"type\":\"text\",\"text\":\"ones\"}],\"citations\":[{\"start\":0,\"end\":4,"
        "\"content_index\":1,\"sources\":[" SOURCE(
            "doc_0") "]},{\"start\":0,\"end\":2,\"sources\":"
                     "[" SOURCE("doc_1") "]},{\"start\":1,"
                                         "\"end\":2,"
                                         "\"content_index\":"
                                         "2,\"sources\":"
                                         "[" SOURCE("doc_2") "]}]},"
                                                             "\"log"
                                                             "probs"
                                                             "\":[{"
                                                             "\"tex"
                                                             "t\":"
                                                             "\"Tal"
                                                             "l\","
                                                             "\"tok"
                                                             "en_"
                                                             "ids\""
                                                             ":[1],"
                                                             "\"log"
                                                             "probs"
                                                             "\":[-"
                                                             "1]},"
                                                             "{\"te"
                                                             "xt\":"
                                                             "\"one"
                                                             "s\","
                                                             "\"tok"
                                                             "en_"
                                                             "ids\""
                                                             ":[2],"
                                                             "\"log"
                                                             "probs"
                                                             "\":[-"
                                                             "2]}]"
                                                             "," USAGE "}");
    check_said(&r,
               "start c14c asked\npart 0 reasoning  \n0+Hm\n0 end\npart 1 text  \n1+Tall\n"
               "1 cites 0: |Tall|They are tall.|0-4\n1 cites 1: |Tall|They are tall.|0-2\n"
               "1 end\npart 2 text  \n2+ones\n2 cites 2: |Tall|They are tall.|1-2\n"
               "logprobs {\"token\":\"Tall\",\"logprob\":-1,\"bytes\":null,\"top_logprobs\":[]},"
               "{\"token\":\"ones\",\"logprob\":-2,\"bytes\":null,\"top_logprobs\":[]}\n"
               "2 end\nfinish stop\nend\n");
    wire_run_end(&r);
}

TEST(whole_answer_with_calls)
{
    struct wire_run r;
    wire_run_answer(
        &r, &cohere_wire,
        "{\"id\":\"c\",\"finish_reason\":\"TOOL_CALL\",\"message\":{\"role\":\"assistant\","
        "\"tool_plan\":\"Look.\",\"content\":null,\"tool_calls\":[{\"id\":\"f_1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":"
        "\"g_1\",\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}");
    check_said(&r, "start c asked\npart 0 reasoning  \n0+Look.\n0 end\npart 1 call f_1 f\n"
                   "1+{\\\"a\\\":1}\n1 end\npart 2 call g_1 g\n2+{}\n2 end\nfinish tools\nend\n");
    wire_run_check_usage(&r, -1, -1, -1);
    wire_run_end(&r);
}

TEST(whole_answers_that_are_none)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"message\":{}}",
        "{\"message\":{\"content\":1},\"finish_reason\":\"COMPLETE\"}",
        "{\"message\":{\"content\":[1]},\"finish_reason\":\"COMPLETE\"}",
        "{\"message\":{\"tool_calls\":{}},\"finish_reason\":\"COMPLETE\"}",
        "{\"message\":{\"tool_calls\":[1]},\"finish_reason\":\"COMPLETE\"}",
        "{\"message\":{\"tool_calls\":[{}]},\"finish_reason\":\"COMPLETE\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &cohere_wire, rows[i]);
        CHECK(!r.ok);
        wire_run_end(&r);
    }
    struct wire_run r;
    wire_run_answer(&r, &cohere_wire, "{\"id\":\"x\",\"message\":\"model not found\"}");
    check_said(&r, "error 0 error: model not found\n");
    wire_run_end(&r);
}

/* Memory runs out at every point; nothing is said that is not so. */
TEST(no_memory)
{
    const char *text = START PLAN("p") CALL(0, "a\\u0041", "f", "") CALL_END(0)
        CALL(1, "", "f", "{}") CALL_END(1) TEXT("x") END("COMPLETE");
    for (size_t limit = 0; limit < (1 << 13); limit += 512) {
        struct wire_run r;
        struct slice in = slice_str(text);
        struct arena small;
        struct buf scratch;
        struct sse_event ev;
        size_t scanned = 0;
        wire_run_begin(&r, &cohere_wire);
        arena_init(&small, NULL, limit);
        buf_init(&scratch, 1 << 10);
        r.d.arena = &small;
        while (r.ok && sse_next(&in, &scanned, &scratch, &ev))
            r.ok = !ev.has_data || cohere_wire.decode_event(&r.d, ev.name, ev.data);
        r.ok = r.ok && cohere_wire.decode_end(&r.d);
        CHECK_EQ_I64(r.ok, limit >= ARENA_CHUNK_BYTES);
        buf_done(&scratch);
        arena_reset(&small);
        wire_run_end(&r);
    }
}

TEST(paths)
{
    struct wire_run r;
    wire_run_begin(&r, &cohere_wire);
    CHECK_EQ_LIT(cohere_wire.path(r.d.arena, r.d.provider, LLM_CHAT, SLICE("m"), true), "/chat");
    CHECK(cohere_wire.path(r.d.arena, r.d.provider, LLM_EMBEDDINGS, SLICE("m"), false).p == NULL);
    CHECK(cohere_wire.poll == NULL);
    r.ok = false;
    wire_run_end(&r);
}
