/* Answers in Google's dialect. */
#include "check.h"
#include "fixture.h"
#include "google_internal.h"

static struct buf stream, out;
static struct json_parser *checking;
static struct llm_usage usage;
static struct llm_encoder encoder;
static struct llm_decoder decoder;

static void take(void *ctx, const struct llm_event *e)
{
    (void)ctx;
    buf_reset(&out);
    encoder.dialect->encode(&encoder, e);
    CHECK(!out.failed);
    buf_slice(&stream, buf_view(&out));
}

static void begin(const struct llm_dialect *dialect)
{
    static const struct llm_provider provider = {.type = "gemini"};
    set_up();
    buf_init(&stream, 1 << 20);
    buf_init(&out, 1 << 20);
    checking = json_parser_new();
    usage = LLM_USAGE_NONE;
    encoder = (struct llm_encoder){.dialect = dialect,
                                   .arena = &arena,
                                   .out = &out,
                                   .usage = &usage,
                                   .id = SLICE("weir-id"),
                                   .json = checking};
    decoder = (struct llm_decoder){.wire = &google_wire,
                                   .provider = &provider,
                                   .arena = &arena,
                                   .json = parser,
                                   .emit = take,
                                   .id_seed = SLICE("seed"),
                                   .model = SLICE("asked"),
                                   .stream = true,
                                   .usage = LLM_USAGE_NONE};
}

static void finish(void)
{
    json_parser_free(checking);
    buf_done(&stream);
    buf_done(&out);
    tear_down();
}

static struct llm_event event(enum llm_event_kind kind, unsigned number, const char *text)
{
    return (struct llm_event){.kind = kind, .part = number, .text.inner = slice_str(text)};
}

static void say(enum llm_event_kind kind, unsigned number, const char *text)
{
    struct llm_event e = event(kind, number, text);
    take(NULL, &e);
}

static void say_part(unsigned number, enum llm_part_kind kind, const char *id, const char *name)
{
    struct llm_event e = event(EVENT_PART, number, NULL);
    e.part_kind = kind;
    e.id = slice_str(id);
    e.name = slice_str(name);
    take(NULL, &e);
}

static void say_finish(enum llm_finish f)
{
    struct llm_event e = event(EVENT_FINISH, 0, NULL);
    e.finish = f;
    take(NULL, &e);
}

static void say_start(void)
{
    struct llm_event e = {.kind = EVENT_START, .model = SLICE("m")};
    take(NULL, &e);
}

#define FRAME(content) "{\"candidates\":[{" content ",\"index\":0}],\"modelVersion\":\"m\"," ID "}"
#define ID             "\"responseId\":\"weir-id\""
#define PARTS(parts)   FRAME("\"content\":{\"role\":\"model\",\"parts\":[" parts "]}")
#define LAST(reason, more)                                                                         \
    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":"                      \
    "\"\"}]},"                                                                                     \
    "\"finishReason\":\"" reason "\",\"index\":0}]" more ",\"modelVersion\":\"m\"," ID "}"

/* The stream is these frames, as events. */
static void check_frames(const char *const *frames, size_t n)
{
    struct buf want;
    buf_init(&want, 1 << 16);
    for (size_t i = 0; i < n; i++) {
        buf_lit(&want, "data: ");
        buf_slice(&want, slice_str(frames[i]));
        buf_lit(&want, "\n\n");
    }
    CHECK(!want.failed);
    CHECK_EQ_SLICE(buf_view(&stream), buf_view(&want));
    buf_done(&want);
}

static void say_text_answer(void)
{
    say_start();
    say_part(0, PART_TEXT, NULL, NULL);
    say(EVENT_DELTA, 0, "a\\n");
    say(EVENT_DELTA, 0, "b");
    say(EVENT_PING, 0, NULL);
    say(EVENT_PART_END, 0, NULL);
    say_finish(FINISH_STOP);
    usage = (struct llm_usage){
        .input = 10, .output = 7, .cached = 4, .cache_write = -1, .reasoning = 5};
    say(EVENT_END, 0, NULL);
}

#define USAGE                                                                                      \
    ",\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,"                   \
    "\"candidatesTokenCount\":2,\"thoughtsTokenCount\":5,\"totalTokenCount\":17}"

TEST(a_stream)
{
    begin(&google_dialect);
    say_text_answer();
    static const char *const want[] = {
        PARTS("{\"text\":\"a\\n\"}"),
        PARTS("{\"text\":\"b\"}"),
        LAST("STOP", USAGE),
    };
    check_frames(want, ARRAY_LEN(want));
    finish();
}

TEST(an_array)
{
    struct json_doc d;
    begin(&google_array_dialect);
    say_text_answer();
    static const char want[] = "[" PARTS("{\"text\":\"a\\n\"}") ",\r\n" PARTS(
        "{\"text\":\"b\"}") ",\r\n" LAST("STOP", USAGE) "]";
    CHECK_EQ_SLICE(buf_view(&stream), slice_str(want));
    CHECK(json_parse(parser, buf_view(&stream), 0, &d) == JSON_OK);
    finish();
}

TEST(calls_are_gathered)
{
    begin(&google_dialect);
    say_start();
    say_part(0, PART_TOOL_CALL, "c1", "f");
    say(EVENT_DELTA, 0, "{\\\"a\\\":\\n \\\"x");
    say(EVENT_DELTA, 0, " y\\\\n\\\"}");
    say(EVENT_PART_END, 0, NULL);
    say_part(1, PART_TOOL_CALL, "c2", "g");
    say(EVENT_PART_END, 1, NULL);
    say_finish(FINISH_TOOLS);
    say(EVENT_END, 0, NULL);
    static const char *const want[] = {
        PARTS("{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{\"a\":\"x y\\n\"}}}"),
        PARTS("{\"functionCall\":{\"id\":\"c2\",\"name\":\"g\",\"args\":{}}}"),
        LAST("STOP", ""),
    };
    check_frames(want, ARRAY_LEN(want));
    finish();
}

TEST(arguments_that_are_no_object)
{
    static const char *const texts[] = {"{\\\"a\\\":", "[]", "7", "{}}", "x"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        begin(&google_dialect);
        check_note("%s", texts[i]);
        say_start();
        say_part(0, PART_TOOL_CALL, "c1", "f");
        say(EVENT_DELTA, 0, texts[i]);
        say(EVENT_PART_END, 0, NULL);
        say_finish(FINISH_TOOLS);
        say(EVENT_END, 0, NULL);
        CHECK(encoder.bad);
        CHECK_EQ_U64(stream.n, 0);
        finish();
    }
}

TEST(thoughts_and_signatures)
{
    begin(&google_dialect);
    struct llm_event sign = {
        .kind = EVENT_SIGNATURE, .signature = SLICE("c2ln"), .family = FAMILY_GOOGLE};
    say_start();
    say_part(0, PART_REASONING, NULL, NULL); /* another family's thought */
    say(EVENT_DELTA, 0, "hm");
    sign.family = FAMILY_ANTHROPIC;
    take(NULL, &sign);
    say(EVENT_PART_END, 0, NULL);
    say_part(1, PART_REASONING, NULL, NULL); /* Google's, for the call behind it */
    sign.family = FAMILY_GOOGLE;
    sign.part = 1;
    take(NULL, &sign);
    say(EVENT_PART_END, 1, NULL);
    say_part(2, PART_TOOL_CALL, "c", "f");
    say(EVENT_PART_END, 2, NULL);
    say_part(3, PART_REASONING, NULL, NULL); /* and one for nothing */
    sign.part = 3;
    take(NULL, &sign);
    say(EVENT_PART_END, 3, NULL);
    say_finish(FINISH_STOP);
    say(EVENT_END, 0, NULL);
    static const char *const want[] = {
        PARTS("{\"text\":\"hm\",\"thought\":true}"),
        PARTS("{\"text\":\"\",\"thought\":true,\"thoughtSignature\":"
              "\"d2Vpci5hbnRocm9waWMuYzJsbg==\"}"),
        PARTS("{\"functionCall\":{\"id\":\"c\",\"name\":\"f\",\"args\":{}},\"thoughtSignature\":"
              "\"c2ln\"}"),
        PARTS("{\"text\":\"\",\"thoughtSignature\":\"c2ln\"}"),
        LAST("STOP", ""),
    };
    check_frames(want, ARRAY_LEN(want));
    finish();
}

TEST(citations_come_behind_their_text)
{
    begin(&google_dialect);
    struct llm_citation c = {
        .url = SLICE("https://a"), .title.inner = SLICE("A"), .start = 0, .end = 3, .document = -1};
    struct llm_event e = {.kind = EVENT_CITATION, .citation = &c};
    say_start();
    say_part(0, PART_TEXT, NULL, NULL);
    say(EVENT_DELTA, 0, "one");
    take(NULL, &e);
    c = (struct llm_citation){.cited.inner = SLICE("on"), .start = -1, .end = -1, .document = 0};
    take(NULL, &e);
    say(EVENT_PART_END, 0, NULL);
    static const char *const want[] = {
        PARTS("{\"text\":\"one\"}"),
        FRAME("\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{\"uri\":\"https://a\","
              "\"title\":\"A\"}},{\"retrievedContext\":{\"text\":\"on\"}}],\"groundingSupports\":"
              "[{\"segment\":{\"startIndex\":0,\"endIndex\":3},\"groundingChunkIndices\":[0]},"
              "{\"segment\":{},\"groundingChunkIndices\":[1]}]}"),
    };
    check_frames(want, ARRAY_LEN(want));
    finish();
}

TEST(logprobs)
{
    begin(&google_dialect);
    struct llm_event e = {.kind = EVENT_LOGPROBS,
                          .json = SLICE("{\"token\":\"a\",\"logprob\":-1,\"bytes\":[97],"
                                        "\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-2}]}")};
    say_start();
    take(NULL, &e);
    static const char *const want[] = {
        FRAME("\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-1}],"
              "\"topCandidates\":[{\"candidates\":[{\"token\":\"b\",\"logProbability\":-2}]}]}"),
    };
    check_frames(want, ARRAY_LEN(want));
    finish();
}

TEST(errors)
{
    struct llm_error error = {.message = SLICE("busy")};
    struct llm_event e = {.kind = EVENT_ERROR, .error = &error};
    begin(&google_dialect);
    take(NULL, &e);
    CHECK_EQ_LIT(buf_view(&stream),
                 "data: {\"error\":{\"code\":502,\"message\":\"busy\",\"status\":"
                 "\"UNAVAILABLE\"}}\n\n");
    finish();
    begin(&google_array_dialect);
    e.status = 429;
    say_start();
    say_part(0, PART_TEXT, NULL, NULL);
    say(EVENT_DELTA, 0, "a");
    take(NULL, &e);
    say(EVENT_END, 0, NULL);
    CHECK_EQ_LIT(buf_view(&stream), "[" PARTS("{\"text\":\"a\"}") ",\r\n{\"error\":{\"code\":429,"
                                                                  "\"message\":\"busy\",\"status\":"
                                                                  "\"RESOURCE_EXHAUSTED\"}}]");
    finish();
}

static struct llm_answer answer;

static void collect(const char *body)
{
    struct llm_collector c = {.arena = &arena, .answer = &answer};
    answer = (struct llm_answer){.usage = LLM_USAGE_NONE};
    decoder.emit = llm_collect;
    decoder.ctx = &c;
    CHECK(google_wire.decode_answer(&decoder, slice_str(body)));
    CHECK(llm_collect_end(&c));
    answer.usage = decoder.usage;
}

/* What comes of Google's own answer is that answer, in this order of the
 * members. */
TEST(whole_answers)
{
    static const char body[] =
        "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":"
        "\"hm\",\"thought\":"
        "true},{\"text\":\"one\",\"thoughtSignature\":\"cw==\"},{"
        "\"functionCall\":{\"id\":\"c\","
        "\"name\":\"f\",\"args\":{\"a\":[1,\"x "
        "y\"]}},\"thoughtSignature\":\"dA==\"},{\"text\":\"\","
        "\"thoughtSignature\":\"dQ==\"}]},\"finishReason\":\"STOP\",\"index\":0},"
        "{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"two\"}]},"
        "\"finishReason\":"
        "\"MAX_TOKENS\",\"index\":1,\"groundingMetadata\":{\"groundingChunks\":[{"
        "\"web\":{\"uri\":"
        "\"https://"
        "a\",\"title\":\"A\"}}],\"groundingSupports\":[{\"segment\":{"
        "\"startIndex\":1,"
        "\"endIndex\":3,\"text\":\"wo\"},\"groundingChunkIndices\":[0]}]},"
        "\"logprobsResult\":{"
        "\"chosenCandidates\":[{\"token\":\"two\",\"logProbability\":-1}],"
        "\"topCandidates\":[{"
        "\"candidates\":[]}]}}],\"usageMetadata\":{\"promptTokenCount\":10,"
        "\"cachedContentTokenCount\":4,\"candidatesTokenCount\":2,"
        "\"thoughtsTokenCount\":5,"
        "\"totalTokenCount\":17},\"modelVersion\":\"m\",\"responseId\":\"r\"}";
    begin(&google_dialect);
    collect(body);
    google_dialect.write_answer(&encoder, &answer);
    CHECK_EQ_SLICE(buf_view(&out), slice_str(body));
    finish();
}

TEST(a_whole_answer_with_bad_arguments)
{
    struct llm_part p = {.kind = PART_TOOL_CALL, .name = SLICE("f"), .arguments.inner = SLICE("[")};
    struct llm_choice choice = {.parts = &p};
    begin(&google_dialect);
    answer = (struct llm_answer){.choices = &choice, .usage = LLM_USAGE_NONE};
    google_dialect.write_answer(&encoder, &answer);
    CHECK(encoder.bad);
    CHECK_EQ_U64(out.n, 0);
    finish();
}
