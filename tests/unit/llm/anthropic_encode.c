/* Streams, answers and errors in Anthropic's dialect, from events by hand. */
#include "anthropic_internal.h"
#include "check.h"
#include "fixture.h"

static struct llm_encoder encoder;
static struct llm_usage usage;
static struct llm_chat chat;
static struct buf out;

static void start(void)
{
    set_up();
    buf_init(&out, 1 << 20);
    usage = LLM_USAGE_NONE;
    encoder = (struct llm_encoder){.dialect = &anthropic_dialect,
                                   .arena = &arena,
                                   .out = &out,
                                   .chat = &chat,
                                   .usage = &usage,
                                   .id = SLICE("weir-1"),
                                   .json = parser};
}

static void stop(void)
{
    CHECK(!out.failed);
    buf_done(&out);
    tear_down();
}

/* What comes of these events; the last has kind ENDS. */
#define ENDS ((enum llm_event_kind)99)
static struct slice encoded(const struct llm_event *events)
{
    buf_reset(&out);
    for (; events->kind != ENDS; events++)
        anthropic_dialect.encode(&encoder, events);
    return buf_view(&out);
}
#define ENCODED(...) encoded((const struct llm_event[]){__VA_ARGS__, {.kind = ENDS}})
#define PART(n, k)                                                                                 \
    {                                                                                              \
        .kind = EVENT_PART, .part = (n), .part_kind = PART_##k                                     \
    }
#define DELTA(n, t)                                                                                \
    {                                                                                              \
        .kind = EVENT_DELTA, .part = (n), .text = { SLICE(t) }                                     \
    }
#define CLOSE(n)                                                                                   \
    {                                                                                              \
        .kind = EVENT_PART_END, .part = (n)                                                        \
    }
#define EVENT(name, json) "event: " name "\ndata: {\"type\":\"" name "\"" json "}\n\n"

TEST(a_stream)
{
    start();
    struct slice got = ENCODED({.kind = EVENT_START, .model = SLICE("m\"x")});
    CHECK_EQ_LIT(got,
                 EVENT("message_start",
                       ",\"message\":{\"id\":\"weir-1\",\"type\":\"message\",\"role\":"
                       "\"assistant\",\"model\":\"m\\\"x\",\"content\":[],\"stop_reason\":null,"
                       "\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,"
                       "\"cache_creation_input_tokens\":null,\"cache_read_input_tokens\":null,"
                       "\"output_tokens\":0}}"));
    got = ENCODED(PART(0, TEXT), DELTA(0, "a\\n"), CLOSE(0));
    CHECK_EQ_LIT(got,
                 EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\","
                                              "\"text\":\"\"}")
                     EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":"
                                                  "\"text_delta\",\"text\":\"a\\n\"}")
                         EVENT("content_block_stop", ",\"index\":0"));
    got = ENCODED({.kind = EVENT_PART,
                   .part = 1,
                   .part_kind = PART_TOOL_CALL,
                   .id = SLICE("c"),
                   .name = SLICE("f")},
                  DELTA(1, "{\\\"a\\\":1}"), CLOSE(1));
    CHECK_EQ_LIT(got, EVENT("content_block_start",
                            ",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c\","
                            "\"name\":\"f\",\"input\":{}}")
                          EVENT("content_block_delta",
                                ",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
                                "\"partial_json\":\"{\\\"a\\\":1}\"}")
                              EVENT("content_block_stop", ",\"index\":1"));
    usage = (struct llm_usage){
        .input = 100, .cached = 60, .cache_write = 10, .output = 5, .reasoning = 2};
    got = ENCODED({.kind = EVENT_FINISH, .finish = FINISH_STOP}, {.kind = EVENT_END});
    CHECK_EQ_LIT(got, EVENT("message_delta",
                            ",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},"
                            "\"usage\":{\"input_tokens\":30,\"cache_creation_input_tokens\":10,"
                            "\"cache_read_input_tokens\":60,\"output_tokens\":5,"
                            "\"output_tokens_details\":{\"thinking_tokens\":2}}")
                          EVENT("message_stop", ""));
    stop();
}

#define THINKING_START(i)                                                                          \
    EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{\"type\":\"thinking\","      \
                                 "\"thinking\":\"\",\"signature\":\"\"}")

/* What a block of reasoning is shows in what comes after its beginning. */
TEST(reasoning)
{
    start();
    struct slice got = ENCODED(PART(0, REASONING), CLOSE(0));
    CHECK_EQ_LIT(got, "");
    got = ENCODED(
        PART(1, REASONING), DELTA(1, "h"),
        {.kind = EVENT_SIGNATURE, .part = 1, .signature = SLICE("s"), .family = FAMILY_ANTHROPIC},
        CLOSE(1));
    CHECK_EQ_LIT(
        got, THINKING_START("0")
                 EVENT("content_block_delta",
                       ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"h\"}")
                     EVENT("content_block_delta",
                           ",\"index\":0,\"delta\":{\"type\":\"signature_delta\","
                           "\"signature\":\"s\"}") EVENT("content_block_stop", ",\"index\":0"));
    got = ENCODED(PART(2, REASONING),
                  {.kind = EVENT_SIGNATURE,
                   .part = 2,
                   .signature = SLICE("s"),
                   .redacted = true,
                   .family = FAMILY_OPENAI},
                  CLOSE(2));
    CHECK_EQ_LIT(got,
                 EVENT("content_block_start",
                       ",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\","
                       "\"data\":\"weir.openai.s\"}") EVENT("content_block_stop", ",\"index\":1"));
    got = ENCODED(
        PART(3, REASONING),
        {.kind = EVENT_SIGNATURE, .part = 3, .signature = SLICE("s"), .family = FAMILY_GOOGLE},
        CLOSE(3));
    CHECK_EQ_LIT(got,
                 THINKING_START("2") EVENT("content_block_delta",
                                           ",\"index\":2,\"delta\":{\"type\":\"signature_delta\","
                                           "\"signature\":\"weir.google.s\"}")
                     EVENT("content_block_stop", ",\"index\":2"));
    stop();
}

/* Blocks of other families, and answers beside the first, are not there. */
TEST(what_has_no_form_here)
{
    start();
    struct slice got =
        ENCODED({.kind = EVENT_PART,
                 .part_kind = PART_NATIVE,
                 .family = FAMILY_GOOGLE,
                 .json = SLICE("{}")},
                DELTA(0, "a"), CLOSE(0), {.kind = EVENT_PART, .choice = 1, .part_kind = PART_TEXT},
                {.kind = EVENT_LOGPROBS, .json = SLICE("{}")});
    CHECK_EQ_LIT(got, "");
    got = ENCODED({.kind = EVENT_PART,
                   .part = 1,
                   .part_kind = PART_NATIVE,
                   .family = FAMILY_ANTHROPIC,
                   .json = SLICE("{\"type\":\r\n\"x\"}")},
                  CLOSE(1));
    CHECK_EQ_LIT(got,
                 EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":  \"x\"}")
                     EVENT("content_block_stop", ",\"index\":0"));
    stop();
}

TEST(citations)
{
    static const struct {
        struct llm_citation citation;
        const char *want; /* NULL: nothing can be said of it */
    } rows[] = {
        {{.own_json = {"{\"a\":1}", 7}, .family = FAMILY_ANTHROPIC, .document = -1}, "{\"a\":1}"},
        {{.own_json = {"{\"a\":1}", 7},
          .family = FAMILY_OPENAI,
          .url = {"https://a", 9},
          .title = {{"t\\n", 3}},
          .document = -1},
         "{\"type\":\"web_search_result_location\",\"cited_text\":\"\",\"url\":\"https://a\","
         "\"title\":\"t\\n\",\"encrypted_index\":\"\"}"},
        {{.document = 3, .start = -1, .end = -1, .cited = {{"c", 1}}},
         "{\"type\":\"char_location\",\"cited_text\":\"c\",\"document_index\":3,"
         "\"document_title\":null,\"start_char_index\":0,\"end_char_index\":0}"},
        {{.own_json = {"{}", 2}, .family = FAMILY_GOOGLE, .document = -1}, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start();
        check_note("row %zu", i);
        CHECK(ENCODED(PART(0, TEXT)).n > 0);
        struct slice got = ENCODED({.kind = EVENT_CITATION, .citation = &rows[i].citation});
        struct slice want = SLICE("");
        if (rows[i].want != NULL)
            want = arena_printf(&arena,
                                "event: content_block_delta\n"
                                "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                                "{\"type\":\"citations_delta\",\"citation\":%s}}\n\n",
                                rows[i].want);
        CHECK_EQ_SLICE(got, want);
        stop();
    }
}

TEST(arguments_that_are_no_object)
{
    static const struct {
        const char *arguments;
        bool custom, whole;
    } rows[] = {{"{\\\"a\\\":[]}", false, true},
                {"", false, true},
                {"[]", false, false},
                {"{\\\"a\\\":", false, false},
                {"{}", true, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_part call = {.kind = PART_TOOL_CALL,
                                .id = SLICE("c"),
                                .name = SLICE("f"),
                                .custom = rows[i].custom,
                                .arguments = {slice_str(rows[i].arguments)}};
        struct llm_choice choice = {.parts = &call, .finish = FINISH_TOOLS};
        struct llm_answer answer = {.choices = &choice, .usage = LLM_USAGE_NONE, .whole = true};
        start();
        check_note("row %zu", i);
        anthropic_dialect.write_answer(&encoder, &answer);
        CHECK(encoder.bad != rows[i].whole);
        stop();
    }
}

TEST(errors)
{
    static const struct {
        unsigned status;
        const char *type, *want;
    } rows[] = {
        {400, NULL, "invalid_request_error"},
        {401, NULL, "authentication_error"},
        {402, NULL, "billing_error"},
        {403, NULL, "permission_error"},
        {404, NULL, "not_found_error"},
        {413, NULL, "request_too_large"},
        {422, NULL, "invalid_request_error"},
        {424, NULL, "api_error"},
        {429, NULL, "rate_limit_error"},
        {500, NULL, "api_error"},
        {502, NULL, "api_error"},
        {503, NULL, "overloaded_error"},
        {504, NULL, "timeout_error"},
        {529, NULL, "overloaded_error"},
        {500, "overloaded_error", "overloaded_error"},
        {429, "tokens", "rate_limit_error"},
        {400, "", "invalid_request_error"},
        {400, "billing_error", "billing_error"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_error e = {.message = SLICE("no \"way\""), .type = slice_str(rows[i].type)};
        start();
        check_note("row %zu", i);
        anthropic_dialect.put_error(&out, rows[i].status, &e, SLICE("req-1"));
        struct slice want = arena_printf(&arena,
                                         "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                                         "\"message\":\"no \\\"way\\\"\"},"
                                         "\"request_id\":\"req-1\"}",
                                         rows[i].want);
        CHECK_EQ_SLICE(buf_view(&out), want);
        stop();
    }
}

TEST(errors_in_streams)
{
    struct llm_error e = {.message = SLICE("m")};
    start();
    struct slice got = ENCODED({.kind = EVENT_PING}, {.kind = EVENT_ERROR, .error = &e});
    CHECK_EQ_LIT(got, "event: ping\ndata: {\"type\": \"ping\"}\n\n"
                      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                      "\"message\":\"m\"}}\n\n");
    CHECK_EQ_LIT(anthropic_dialect.keep_alive, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    stop();
}

TEST(an_arena_without_room)
{
    struct arena none;
    start();
    arena_init(&none, NULL, 0);
    encoder.arena = &none;
    anthropic_dialect.encode(&encoder, &(struct llm_event){.kind = EVENT_START});
    CHECK(out.failed);
    buf_reset(&out);
    stop();
}
