/* Gemini's answers as events. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "google_internal.h"

static struct buf told;
static struct llm_decoder decoder;

static void tell_text(const char *label, struct llm_text t)
{
    if (t.inner.p != NULL)
        buf_printf(&told, " %s=" SLICE_FMT, label, SLICE_ARG(t.inner));
}

static void tell_slice(const char *label, struct slice s)
{
    tell_text(label, (struct llm_text){s});
}

/* An event as a line: its kind, choice.part, and what it says. */
static void tell(void *ctx, const struct llm_event *e)
{
    static const char *const kinds[] = {"start",    "part",     "delta",  "signature",
                                        "citation", "logprobs", "end of", "finish",
                                        "END",      "ERROR",    "ping"};
    static const char *const parts[] = {"text", "image",  "audio",     "video",   "document",
                                        "call", "result", "reasoning", "refusal", "native"};
    static const char *const finishes[] = {"stop",   "length",   "tools",
                                           "filter", "sequence", "pause"};
    (void)ctx;
    buf_printf(&told, "%s", kinds[e->kind]);
    if (e->kind != EVENT_START && e->kind != EVENT_END && e->kind != EVENT_ERROR)
        buf_printf(&told, " %u.%u", e->choice, e->part);
    if (e->kind == EVENT_PART)
        buf_printf(&told, " %s", parts[e->part_kind]);
    if (e->kind == EVENT_FINISH)
        buf_printf(&told, " %s", finishes[e->finish]);
    tell_slice("id", e->id);
    tell_slice("name", e->name);
    tell_slice("model", e->model);
    tell_slice("sign", e->signature);
    tell_slice("json", e->json);
    tell_text("text", e->text);
    if (e->citation != NULL) {
        tell_slice("url", e->citation->url);
        tell_text("title", e->citation->title);
        tell_text("cited", e->citation->cited);
        buf_printf(&told, " %lld-%lld", (long long)e->citation->start, (long long)e->citation->end);
    }
    if (e->error != NULL) {
        buf_printf(&told, " %u", e->status);
        tell_slice("message", e->error->message);
        tell_slice("type", e->error->type);
        tell_slice("code", e->error->code);
    }
    buf_char(&told, '\n');
}

static void begin_with(struct json_parser *p)
{
    static const struct llm_provider provider = {.type = "gemini"};
    buf_init(&told, 1 << 20);
    decoder = (struct llm_decoder){.wire = &google_wire,
                                   .provider = &provider,
                                   .arena = &arena,
                                   .json = p,
                                   .emit = tell,
                                   .id_seed = SLICE("seed"),
                                   .model = SLICE("asked"),
                                   .stream = true,
                                   .usage = LLM_USAGE_NONE};
}

static void begin(void)
{
    set_up();
    begin_with(parser);
}

static void finish(void)
{
    buf_done(&told);
    tear_down();
}

static bool frame(const char *json)
{
    return google_wire.decode_event(&decoder, SLICE_NONE, slice_str(json));
}

TEST(stream_of_text)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hel\"}],"
                "\"role\":\"model\"},"
                "\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7,"
                "\"totalTokenCount\":8},"
                "\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"r1\"}"));
    CHECK_EQ_I64(decoder.usage.input, 7);
    CHECK_EQ_I64(decoder.usage.output, 1);
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo \\u00e9\"}]},"
                "\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":7,"
                "\"cachedContentTokenCount\":4,\"candidatesTokenCount\":2,"
                "\"thoughtsTokenCount\":5,"
                "\"toolUsePromptTokenCount\":3,\"totalTokenCount\":17}}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start id=r1 model=gemini-2.5-flash\n"
                                  "part 0.0 text\n"
                                  "delta 0.0 text=Hel\n"
                                  "delta 0.0 text=lo \\u00e9\n"
                                  "end of 0.0\n"
                                  "finish 0.0 stop\n"
                                  "END\n");
    CHECK_EQ_I64(decoder.usage.input, 10);
    CHECK_EQ_I64(decoder.usage.output, 7);
    CHECK_EQ_I64(decoder.usage.cached, 4);
    CHECK_EQ_I64(decoder.usage.reasoning, 5);
    CHECK_EQ_I64(decoder.units, 2);
    finish();
}

TEST(a_cut_stream_has_no_end)
{
    begin();
    CHECK(!google_wire.decode_end(&decoder));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hel\"}]}}]}"));
    CHECK(!google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\npart 0.0 text\ndelta 0.0 text=Hel\n");
    finish();
}

TEST(thoughts_signatures_and_calls)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":["
                "{\"text\":\"hm\",\"thought\":true},{\"text\":\"...\",\"thought\":true},"
                "{\"functionCall\":{\"name\":\"f\",\"args\":{ \"a\" : \"x "
                "\\\"\\n\",\n\"b\":[1, 2]}},"
                "\"thoughtSignature\":\"c2ln\"},"
                "{\"functionCall\":{\"id\":\"c7\",\"name\":\"g\"}}]},\"finishReason\":"
                "\"STOP\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told),
                 "start model=asked\n"
                 "part 0.0 reasoning\n"
                 "delta 0.0 text=hm\n"
                 "delta 0.0 text=...\n"
                 "end of 0.0\n"
                 "part 0.1 reasoning\n"
                 "signature 0.1 sign=c2ln\n"
                 "end of 0.1\n"
                 "part 0.2 call id=call_seed_2 name=f\n"
                 "delta 0.2 text={\\\"a\\\":\\\"x \\\\\\\"\\\\n\\\",\\\"b\\\":[1,2]}\n"
                 "end of 0.2\n"
                 "part 0.3 call id=c7 name=g\n"
                 "delta 0.3 text={}\n"
                 "end of 0.3\n"
                 "finish 0.0 tools\n"
                 "END\n");
    finish();
}

TEST(signed_texts_are_not_joined)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\","
                "\"thoughtSignature\":\"cw\"}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"c\"}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\","
                "\"thoughtSignature\":\"dA\"}]},\"finishReason\":\"MAX_TOKENS\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 text\n"
                                  "delta 0.0 text=a\n"
                                  "end of 0.0\n"
                                  "part 0.1 reasoning\n"
                                  "signature 0.1 sign=cw\n"
                                  "end of 0.1\n"
                                  "part 0.2 text\n"
                                  "delta 0.2 text=b\n"
                                  "end of 0.2\n"
                                  "part 0.3 text\n"
                                  "delta 0.3 text=c\n"
                                  "end of 0.3\n"
                                  "part 0.4 reasoning\n"
                                  "signature 0.4 sign=dA\n"
                                  "end of 0.4\n"
                                  "finish 0.0 length\n"
                                  "END\n");
    finish();
}

TEST(a_signed_thought_keeps_its_signature)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\","
                "\"thought\":true,"
                "\"thoughtSignature\":\"cw\"},{\"text\":\"b\"}]},"
                "\"finishReason\":\"STOP\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 reasoning\n"
                                  "delta 0.0 text=a\n"
                                  "signature 0.0 sign=cw\n"
                                  "end of 0.0\n"
                                  "part 0.1 text\n"
                                  "delta 0.1 text=b\n"
                                  "end of 0.1\n"
                                  "finish 0.0 stop\n"
                                  "END\n");
    finish();
}

/* The finish that comes of a reason, or the error. */
TEST(finish_reasons)
{
    static const struct {
        const char *reason, *want;
    } rows[] = {
        {"STOP", "finish 0.0 stop\nEND\n"},
        {"MAX_TOKENS", "finish 0.0 length\nEND\n"},
        {"SAFETY", "finish 0.0 filter text=why\nEND\n"},
        {"IMAGE_OTHER", "finish 0.0 filter text=why\nEND\n"},
        {"OTHER", "finish 0.0 stop\nEND\n"},
        {"SOMETHING_NEW", "finish 0.0 stop\nEND\n"},
        {"MALFORMED_FUNCTION_CALL",
         "ERROR 502 message=why type=INTERNAL code=MALFORMED_FUNCTION_CALL\n"},
        {"MISSING_THOUGHT_SIGNATURE",
         "ERROR 400 message=why type=INTERNAL code=MISSING_THOUGHT_SIGNATURE\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char json[256];
        begin();
        check_note("%s", rows[i].reason);
        snprintf(json, sizeof json,
                 "{\"candidates\":[{\"finishReason\":\"%s\",\"finishMessage\":"
                 "\"why\"}]}",
                 rows[i].reason);
        CHECK(google_wire.decode_answer(&decoder, slice_str(json)));
        CHECK_EQ_SLICE(slice_from(buf_view(&told), sizeof "start model=asked\n" - 1),
                       slice_str(rows[i].want));
        finish();
    }
}

TEST(blocked_prompts)
{
    begin();
    CHECK(google_wire.decode_answer(
        &decoder, SLICE("{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},"
                        "\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":4}"
                        "}")));
    CHECK_EQ_LIT(buf_view(&told),
                 "start model=asked\n"
                 "finish 0.0 filter text=The prompt was blocked: PROHIBITED_CONTENT.\n"
                 "END\n");
    CHECK_EQ_I64(decoder.usage.output, 0);
    finish();
}

TEST(several_candidates)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}},"
                "{\"content\":{\"parts\":[{\"text\":\"b\"}]},\"index\":1}]}"));
    CHECK(frame("{\"candidates\":[{\"finishReason\":\"STOP\",\"index\":1}]}"));
    CHECK(!google_wire.decode_end(&decoder));
    CHECK(frame("{\"candidates\":[{\"finishReason\":\"SAFETY\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 text\n"
                                  "delta 0.0 text=a\n"
                                  "part 1.0 text\n"
                                  "delta 1.0 text=b\n"
                                  "end of 0.0\n"
                                  "finish 0.0 filter\n"
                                  "end of 1.0\n"
                                  "finish 1.0 stop\n"
                                  "END\n");
    finish();
}

TEST(grounding)
{
    static const char body[] =
        "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}]},"
        "\"finishReason\":\"STOP\","
        "\"groundingMetadata\":{\"webSearchQueries\":[\"q\"],\"groundingChunks\":"
        "["
        "{\"web\":{\"uri\":\"https://a\",\"title\":\"A\"}},"
        "{\"retrievedContext\":{\"uri\":\"gs://"
        "b\",\"title\":\"B\"}}],\"groundingSupports\":["
        "{\"segment\":{\"endIndex\":3,\"text\":\"one\"},"
        "\"groundingChunkIndices\":[0,1]},"
        "{\"segment\":{\"startIndex\":4,\"endIndex\":7,\"text\":\"two\"},"
        "\"groundingChunkIndices\":[1,9]}]}}]}";
    char json[1024];
    begin();
    snprintf(json, sizeof json, body, "one two");
    CHECK(google_wire.decode_answer(&decoder, slice_str(json)));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 text\n"
                                  "delta 0.0 text=one two\n"
                                  "citation 0.0 url=https://a title=A cited=one 0-3\n"
                                  "citation 0.0 url=gs://b title=B cited=one 0-3\n"
                                  "citation 0.0 url=gs://b title=B cited=two 4-7\n"
                                  "citation 0.0 cited=two 4-7\n"
                                  "end of 0.0\n"
                                  "finish 0.0 stop\n"
                                  "END\n");
    finish();
    begin(); /* bytes are not characters here */
    snprintf(json, sizeof json, body, "\xC3\xA9ne two");
    CHECK(google_wire.decode_answer(&decoder, slice_str(json)));
    CHECK(strstr(told.p, "title=A cited=one -1--1\n") != NULL);
    finish();
}

TEST(quotes)
{
    begin();
    CHECK(google_wire.decode_answer(
        &decoder, SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"abc\"}]},"
                        "\"finishReason\":\"RECITATION\",\"citationMetadata\":{"
                        "\"citations\":["
                        "{\"startIndex\":1,\"endIndex\":3,\"uri\":\"https://q\"}]}}]}")));
    CHECK(strstr(told.p, "\ncitation 0.0 url=https://q 1-3\n") != NULL);
    finish();
}

TEST(logprobs)
{
    begin();
    CHECK(google_wire.decode_answer(
        &decoder, SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ab\"}]},"
                        "\"finishReason\":"
                        "\"STOP\",\"logprobsResult\":{\"topCandidates\":[{\"candidates\":["
                        "{\"token\":\"a\",\"logProbability\":-0.5},{\"token\":\"\\\"\","
                        "\"logProbability\":-3}"
                        "]},{}],\"chosenCandidates\":[{\"token\":\"a\",\"tokenId\":5,"
                        "\"logProbability\":-0.5},"
                        "{\"token\":\"b\"}]}}]}")));
    CHECK(strstr(told.p, "\nlogprobs 0.0 "
                         "json={\"token\":\"a\",\"logprob\":-0.5,\"bytes\":null,"
                         "\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":null},"
                         "{\"token\":\"\\\"\",\"logprob\":-3,\"bytes\":null}]},"
                         "{\"token\":\"b\",\"logprob\":0,\"bytes\":null,\"top_logprobs\":[]}"
                         "\n") != NULL);
    finish();
}

TEST(what_only_google_knows)
{
    begin();
    CHECK(google_wire.decode_answer(
        &decoder, SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"executableCode\":{"
                        "\"language\":"
                        "\"PYTHON\",\"code\":\"1\"}},{\"text\":\"x\"}]},\"finishReason\":"
                        "\"STOP\"}]}")));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 native json={\"executableCode\":{\"language\":"
                                  "\"PYTHON\",\"code\":\"1\"}}\n"
                                  "end of 0.0\n"
                                  "part 0.1 text\n"
                                  "delta 0.1 text=x\n"
                                  "end of 0.1\n"
                                  "finish 0.0 stop\n"
                                  "END\n");
    finish();
}

/* One call's arguments in pieces, and the text they add up to. */
TEST(arguments_in_pieces)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{"
                "\"id\":\"c\","
                "\"name\":\"f\",\"willContinue\":true}}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{"
                "\"partialArgs\":["
                "{\"jsonPath\":\"$.city\",\"stringValue\":\"O\\\"s\","
                "\"willContinue\":true}],"
                "\"willContinue\":true}}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{"
                "\"partialArgs\":["
                "{\"jsonPath\":\"$.city\",\"stringValue\":\"lo\"},"
                "{\"jsonPath\":\"$.at[0].day\",\"numberValue\":1.5},"
                "{\"jsonPath\":\"$.at[0]['a b']\",\"boolValue\":true},"
                "{\"jsonPath\":\"$.at[1].day\",\"nullValue\":\"NULL_VALUE\"},"
                "{\"jsonPath\":\"$.z\",\"stringValue\":\"\"}],\"willContinue\":"
                "true}}]}}]}"));
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{}}]},"
                "\"finishReason\":\"STOP\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told),
                 "start model=asked\n"
                 "part 0.0 call id=c name=f\n"
                 "delta 0.0 text={\\\"city\\\":\\\"O\\\\\\\"s\n"
                 "delta 0.0 text=lo\\\",\\\"at\\\":[{\\\"day\\\":1.5,\\\"a b\\\":true},"
                 "{\\\"day\\\":null}],\\\"z\\\":\\\"\\\"\n"
                 "delta 0.0 text=}\n"
                 "end of 0.0\n"
                 "finish 0.0 tools\n"
                 "END\n");
    finish();
}

TEST(pieces_that_make_no_sense)
{
    static const char *const pieces[] = {
        "{\"jsonPath\":\"$\",\"stringValue\":\"a\"}",
        "{\"jsonPath\":\"city\",\"stringValue\":\"a\"}",
        "{\"jsonPath\":\"$.a[x]\",\"stringValue\":\"a\"}",
        "{\"jsonPath\":\"$.a[0\",\"stringValue\":\"a\"}",
        "{\"jsonPath\":\"$..a\",\"stringValue\":\"a\"}",
        "{\"jsonPath\":\"$.a\",\"numberValue\":1},{\"jsonPath\":\"$.a\","
        "\"numberValue\":2}",
        "{\"jsonPath\":\"$.a\",\"numberValue\":1},{\"jsonPath\":\"$.a.b\","
        "\"numberValue\":2}",
        "{\"jsonPath\":\"$.a.b\",\"numberValue\":1},{\"jsonPath\":\"$.a[0]\","
        "\"numberValue\":2}",
        "{\"jsonPath\":\"$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\",\"numberValue\":"
        "1}",
        "{\"numberValue\":1}",
        "7",
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        char json[512];
        begin();
        check_note("%s", pieces[i]);
        snprintf(json, sizeof json,
                 "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{"
                 "\"name\":\"f\","
                 "\"partialArgs\":[%s]}}]}}]}",
                 pieces[i]);
        CHECK(!frame(json));
        finish();
    }
}

TEST(errors_in_a_stream)
{
    begin();
    CHECK(frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}"));
    CHECK(frame("{\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":"
                "\"UNAVAILABLE\"}}"));
    CHECK(frame("{\"candidates\":[{\"finishReason\":\"STOP\"}]}"));
    CHECK(google_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\n"
                                  "part 0.0 text\n"
                                  "delta 0.0 text=a\n"
                                  "ERROR 503 message=overloaded type=UNAVAILABLE\n");
    finish();
    begin();
    CHECK(frame("[{\"error\":{\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\"}}]"));
    CHECK_EQ_LIT(buf_view(&told), "ERROR 429 message=m type=RESOURCE_EXHAUSTED\n");
    finish();
}

TEST(what_is_no_answer)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "7",
        "{",
        "{}",
        "{\"candidates\":[]}",
        "{\"candidates\":{}}",
        "{\"candidates\":[7]}",
        "{\"candidates\":[{}]}",
        "{\"error\":\"x\"}",
        "{\"candidates\":[{\"index\":-1,\"finishReason\":\"STOP\"}]}",
        "{\"candidates\":[{\"index\":99,\"finishReason\":\"STOP\"}]}",
        "{\"candidates\":[{\"content\":{\"parts\":{}},\"finishReason\":\"STOP\"}]"
        "}",
        "{\"candidates\":[{\"content\":{\"parts\":[7]},\"finishReason\":\"STOP\"}"
        "]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":7}]},"
        "\"finishReason\":\"STOP\"}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":7}]}}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"args\":{}"
        "}}]}}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":"
        "\"f\",\"args\":7}}]}"
        ","
        "\"finishReason\":\"STOP\"}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        begin();
        check_note("%s", bodies[i]);
        CHECK(!google_wire.decode_answer(&decoder, slice_str(bodies[i])));
        CHECK(!decoder.ended);
        finish();
    }
}

TEST(usage_that_is_nonsense)
{
    begin();
    CHECK(frame("{\"usageMetadata\":{\"promptTokenCount\":-4,\"candidatesTokenCount\":"
                "999999999999999999,\"thoughtsTokenCount\":\"5\"}}"));
    CHECK_EQ_I64(decoder.usage.input, -1);
    CHECK_EQ_I64(decoder.usage.output, -1);
    CHECK_EQ_I64(decoder.usage.reasoning, -1);
    finish();
}

static void decode_once(void *arg)
{
    struct json_parser *p = json_parser_new();
    (void)arg;
    if (p == NULL)
        return;
    arena_init(&arena, NULL, 1 << 20);
    begin_with(p);
    bool ok = frame("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\","
                    "\"thoughtSignature\":\"cw\"},{\"functionCall\":{\"name\":"
                    "\"f\",\"args\":"
                    "{\"a\":1}}},{\"text\":\"\",\"thoughtSignature\":\"dA\"}]},"
                    "\"finishReason\":\"STOP\"}]}") &&
              google_wire.decode_end(&decoder);
    CHECK(ok == decoder.ended);
    buf_done(&told);
    arena_reset(&arena);
    json_parser_free(p);
}

TEST(no_memory)
{
    check_needs_torture();
    check_torture(decode_once, NULL);
}
