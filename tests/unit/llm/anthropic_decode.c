/* Anthropic's streams and answers as events. */
#include "anthropic_internal.h"
#include "check.h"
#include "fixture.h"

static struct buf told;
static struct llm_decoder decoder;

static void tell_slice(const char *label, struct slice s)
{
    if (s.p != NULL)
        buf_printf(&told, " %s=" SLICE_FMT, label, SLICE_ARG(s));
}

/* An event as a line: its kind, the part, and what it says. */
static void tell(void *ctx, const struct llm_event *e)
{
    static const char *const kinds[] = {"start",    "part",     "delta", "signature",
                                        "citation", "logprobs", "close", "finish",
                                        "END",      "ERROR",    "ping"};
    (void)ctx;
    CHECK_EQ_U64(e->choice, 0);
    buf_printf(&told, "%s", kinds[e->kind]);
    if (e->kind == EVENT_PART || e->kind == EVENT_DELTA || e->kind == EVENT_SIGNATURE ||
        e->kind == EVENT_CITATION || e->kind == EVENT_PART_END)
        buf_printf(&told, " %u", e->part);
    if (e->kind == EVENT_PART)
        buf_printf(&told, " kind=%d", (int)e->part_kind);
    if (e->kind == EVENT_FINISH)
        buf_printf(&told, " %d", (int)e->finish);
    tell_slice("id", e->id);
    tell_slice("name", e->name);
    tell_slice("model", e->model);
    tell_slice(e->redacted ? "redacted" : "sign", e->signature);
    tell_slice("seq", e->stop_sequence);
    tell_slice("json", e->json);
    tell_slice("text", e->text.inner);
    if (e->citation != NULL) {
        tell_slice("url", e->citation->url);
        tell_slice("title", e->citation->title.inner);
        tell_slice("cited", e->citation->cited.inner);
        buf_printf(&told, " document=%d", (int)e->citation->document);
    }
    if (e->error != NULL) {
        buf_printf(&told, " %u", e->status);
        tell_slice("type", e->error->type);
        tell_slice("code", e->error->code);
        tell_slice("message", e->error->message);
    }
    buf_char(&told, '\n');
}

static void start(bool stream)
{
    static const struct llm_provider provider = {.type = "anthropic"};
    set_up();
    buf_init(&told, 1 << 20);
    decoder = (struct llm_decoder){.wire = &anthropic_wire,
                                   .provider = &provider,
                                   .arena = &arena,
                                   .json = parser,
                                   .emit = tell,
                                   .model = SLICE("asked"),
                                   .stream = stream,
                                   .usage = LLM_USAGE_NONE};
}

static void stop(void)
{
    buf_done(&told);
    tear_down();
}

/* Every event is taken, but for the last, whose fate is returned. */
static bool feed(const char *const *events)
{
    bool ok = true;
    for (; *events != NULL; events++) {
        check_note("%s", *events);
        CHECK(ok);
        ok = anthropic_wire.decode_event(&decoder, SLICE(""), slice_str(*events));
    }
    return ok;
}

#define FEED(...) feed((const char *const[]){__VA_ARGS__, NULL})

#define MESSAGE_START                                                                              \
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x\","            \
    "\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":200,"               \
    "\"cache_creation_input_tokens\":30,\"output_tokens\":1}}}"
#define BLOCK(i, block)                                                                            \
    "{\"type\":\"content_block_start\",\"index\":" #i ",\"content_block\":" block "}"
#define DELTA(i, json)      "{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":" json "}"
#define TEXT_DELTA(i, text) DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define INPUT_DELTA(i, json)                                                                       \
    DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}")
#define BLOCK_STOP(i) "{\"type\":\"content_block_stop\",\"index\":" #i "}"
#define FINISH(reason, usage)                                                                      \
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":" usage "}"
#define MESSAGE_STOP "{\"type\":\"message_stop\"}"
#define TEXT_BLOCK   "{\"type\":\"text\",\"text\":\"\"}"

TEST(a_stream)
{
    start(true);
    CHECK(FEED(MESSAGE_START, "{\"type\":\"ping\"}", BLOCK(0, TEXT_BLOCK),
               TEXT_DELTA(0, "say \\\"hi\\\"\\n"), TEXT_DELTA(0, ""), BLOCK_STOP(0),
               BLOCK(1, "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}"),
               INPUT_DELTA(1, ""), INPUT_DELTA(1, "{\\\"a\\\":"), INPUT_DELTA(1, "1}"),
               BLOCK_STOP(1), "{\"type\":\"something_new\",\"a\":[]}",
               FINISH("tool_use", "{\"output_tokens\":7,\"input_tokens\":null,"
                                  "\"output_tokens_details\":{\"thinking_tokens\":3}}"),
               MESSAGE_STOP));
    CHECK(anthropic_wire.decode_end(&decoder));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "ping\n"
                                  "part 0 kind=0\n"
                                  "delta 0 text=say \\\"hi\\\"\\n\n"
                                  "close 0\n"
                                  "part 1 kind=5 id=toolu_1 name=f\n"
                                  "delta 1 text={\\\"a\\\":\n"
                                  "delta 1 text=1}\n"
                                  "close 1\n"
                                  "finish 2\n"
                                  "END\n");
    CHECK_EQ_I64(decoder.usage.input, 240);
    CHECK_EQ_I64(decoder.usage.cached, 200);
    CHECK_EQ_I64(decoder.usage.cache_write, 30);
    CHECK_EQ_I64(decoder.usage.output, 7);
    CHECK_EQ_I64(decoder.usage.reasoning, 3);
    CHECK_EQ_I64(decoder.units, 3);
    stop();
}

TEST(usage_when_the_stream_breaks)
{
    start(true);
    CHECK(FEED(MESSAGE_START, BLOCK(0, TEXT_BLOCK), TEXT_DELTA(0, "a")));
    CHECK(!anthropic_wire.decode_end(&decoder));
    CHECK_EQ_I64(decoder.usage.input, 240);
    CHECK_EQ_I64(decoder.usage.output, -1); /* the 1 of the start is no count */
    CHECK(FEED(BLOCK_STOP(0), FINISH("end_turn", "{\"output_tokens\":5,\"input_tokens\":11,"
                                                 "\"cache_read_input_tokens\":0}")));
    CHECK(!anthropic_wire.decode_end(&decoder));
    CHECK_EQ_I64(decoder.usage.input, 41);
    CHECK_EQ_I64(decoder.usage.output, 5);
    stop();
}

TEST(cache_writes_by_their_age)
{
    start(false);
    CHECK(anthropic_wire.decode_answer(
        &decoder,
        SLICE("{\"content\":[],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1,"
              "\"output_tokens\":2,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3,"
              "\"ephemeral_1h_input_tokens\":4}}}")));
    CHECK_EQ_I64(decoder.usage.cache_write, 7);
    CHECK_EQ_I64(decoder.usage.input, 8);
    CHECK_EQ_I64(decoder.usage.cached, -1);
    CHECK_EQ_LIT(buf_view(&told), "start model=asked\nfinish 0\nEND\n");
    stop();
}

TEST(figures_that_make_no_sense)
{
    start(false);
    CHECK(anthropic_wire.decode_answer(
        &decoder,
        SLICE("{\"content\":[],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":-1,"
              "\"output_tokens\":9007199254740993,\"cache_read_input_tokens\":\"5\"}}")));
    CHECK_EQ_I64(decoder.usage.input, -1);
    CHECK_EQ_I64(decoder.usage.output, -1);
    CHECK_EQ_I64(decoder.usage.cached, -1);
    stop();
}

TEST(reasoning)
{
    start(true);
    CHECK(FEED(MESSAGE_START,
               BLOCK(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
               DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}"),
               DELTA(0, "{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}"), BLOCK_STOP(0),
               BLOCK(1, "{\"type\":\"redacted_thinking\",\"data\":\"ZGF0\"}"), BLOCK_STOP(1)));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "part 0 kind=7\n"
                                  "delta 0 text=hm\n"
                                  "signature 0 sign=c2ln\n"
                                  "close 0\n"
                                  "part 1 kind=7\n"
                                  "signature 1 redacted=ZGF0\n"
                                  "close 1\n");
    stop();
}

TEST(citations)
{
    start(true);
    CHECK(FEED(MESSAGE_START, BLOCK(0, TEXT_BLOCK),
               DELTA(0, "{\"type\":\"citations_delta\",\"citation\":{\"type\":\"char_location\","
                        "\"cited_text\":\"green\",\"document_index\":2,\"document_title\":\"T\","
                        "\"start_char_index\":3,\"end_char_index\":8}}"),
               DELTA(0, "{\"type\":\"citations_delta\",\"citation\":{\"type\":"
                        "\"search_result_location\",\"cited_text\":\"x\",\"search_result_index\":1,"
                        "\"source\":\"https://a.example\",\"title\":null}}"),
               DELTA(0, "{\"type\":\"newer_delta\",\"value\":1}")));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "part 0 kind=0\n"
                                  "citation 0 title=T cited=green document=2\n"
                                  "citation 0 url=https://a.example cited=x document=1\n");
    stop();
}

/* Input that stands in the call's start counts only if no fragments come. */
TEST(input_of_calls)
{
    static const char call[] =
        BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"x\":\"1\"}}");
    start(true);
    CHECK(FEED(MESSAGE_START, call, BLOCK_STOP(0), call, INPUT_DELTA(0, "{}"), BLOCK_STOP(0),
               BLOCK(1, "{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"g\"}"), BLOCK_STOP(1)));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "part 0 kind=5 id=a name=f\n"
                                  "delta 0 text={\\\"x\\\":\\\"1\\\"}\n"
                                  "close 0\n"
                                  "part 1 kind=5 id=a name=f\n"
                                  "delta 1 text={}\n"
                                  "close 1\n"
                                  "part 2 kind=5 id=b name=g\n"
                                  "delta 2 text={}\n"
                                  "close 2\n");
    stop();
}

TEST(server_tools)
{
    start(true);
    CHECK(FEED(MESSAGE_START, BLOCK(0, "{\"type\":\"server_tool_use\",\"id\":\"s\"}"),
               INPUT_DELTA(0, "{}"), BLOCK_STOP(0)));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "part 0 kind=9 json={\"type\":\"server_tool_use\",\"id\":\"s\"}\n"
                                  "delta 0 text={}\n"
                                  "close 0\n");
    stop();
}

TEST(stop_reasons)
{
    static const struct {
        const char *reason;
        enum llm_finish finish;
    } rows[] = {
        {"end_turn", FINISH_STOP},
        {"max_tokens", FINISH_LENGTH},
        {"model_context_window_exceeded", FINISH_LENGTH},
        {"stop_sequence", FINISH_SEQUENCE},
        {"tool_use", FINISH_TOOLS},
        {"pause_turn", FINISH_PAUSE},
        {"refusal", FINISH_FILTER},
        {"newer", FINISH_STOP},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start(false);
        struct slice body =
            arena_printf(&arena, "{\"content\":[],\"stop_reason\":\"%s\",\"stop_sequence\":\"E\"}",
                         rows[i].reason);
        check_note("%s", rows[i].reason);
        CHECK(anthropic_wire.decode_answer(&decoder, body));
        struct slice want =
            arena_printf(&arena, "start model=asked\nfinish %d seq=E\nEND\n", (int)rows[i].finish);
        CHECK_EQ_SLICE(buf_view(&told), want);
        stop();
    }
}

TEST(why_it_was_refused)
{
    start(true);
    CHECK(
        FEED(MESSAGE_START,
             "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":"
             "{\"type\":\"refusal\",\"category\":null,\"explanation\":\"no \\\"way\\\"\"}}}",
             MESSAGE_STOP));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=claude-x\n"
                                  "finish 3 text=no \\\"way\\\"\n"
                                  "END\n");
    stop();
}

TEST(a_whole_answer)
{
    start(false);
    CHECK(anthropic_wire.decode_answer(
        &decoder,
        SLICE("{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\","
              "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"c2ln\"},"
              "{\"type\":\"text\",\"text\":\"hi\",\"citations\":[{\"type\":\"page_location\","
              "\"cited_text\":\"x\",\"document_index\":0}]},"
              "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{ \"a\": \"\\n\" }},"
              "{\"type\":\"web_search_tool_result\"}],"
              "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}")));
    CHECK_EQ_LIT(buf_view(&told), "start id=msg_1 model=c\n"
                                  "part 0 kind=7\n"
                                  "delta 0 text=hm\n"
                                  "signature 0 sign=c2ln\n"
                                  "close 0\n"
                                  "part 1 kind=0\n"
                                  "delta 1 text=hi\n"
                                  "citation 1 cited=x document=0\n"
                                  "close 1\n"
                                  "part 2 kind=5 id=t name=f\n"
                                  "delta 2 text={ \\\"a\\\": \\\"\\\\n\\\" }\n"
                                  "close 2\n"
                                  "part 3 kind=9 json={\"type\":\"web_search_tool_result\"}\n"
                                  "close 3\n"
                                  "finish 2\n"
                                  "END\n");
    stop();
}

TEST(errors_inside_answers)
{
    static const struct {
        const char *type;
        unsigned status;
    } rows[] = {
        {"invalid_request_error", 400}, {"authentication_error", 401}, {"billing_error", 402},
        {"permission_error", 403},      {"not_found_error", 404},      {"conflict_error", 409},
        {"request_too_large", 413},     {"rate_limit_error", 429},     {"api_error", 500},
        {"timeout_error", 504},         {"overloaded_error", 529},     {"newer_error", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start(true);
        struct slice data = arena_printf(&arena,
                                         "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                                         "\"message\":\"no\",\"details\":{\"error_code\":\"c\"}}}",
                                         rows[i].type);
        check_note("%s", rows[i].type);
        CHECK(anthropic_wire.decode_event(&decoder, SLICE("error"), data));
        CHECK(anthropic_wire.decode_event(&decoder, SLICE("error"), data)); /* nothing more */
        CHECK(anthropic_wire.decode_end(&decoder));
        struct slice want = arena_printf(&arena, "ERROR %u type=%s code=c message=no\n",
                                         rows[i].status, rows[i].type);
        CHECK_EQ_SLICE(buf_view(&told), want);
        stop();
    }
}

/* The last of these events makes no sense. */
static const char *const wrong[][6] = {
    {"", NULL},
    {"[]", NULL},
    {"{\"type\":\"message_start\"}", NULL},
    {MESSAGE_START, MESSAGE_START, NULL},
    {BLOCK(0, TEXT_BLOCK), NULL},
    {FINISH("end_turn", "{}"), NULL},
    {MESSAGE_STOP, NULL},
    {MESSAGE_START, MESSAGE_STOP, NULL},
    {MESSAGE_START, TEXT_DELTA(0, "a"), NULL},
    {MESSAGE_START, BLOCK(0, TEXT_BLOCK), TEXT_DELTA(1, "a"), NULL},
    {MESSAGE_START, BLOCK(0, TEXT_BLOCK), INPUT_DELTA(0, "a"), NULL},
    {MESSAGE_START, BLOCK(0, TEXT_BLOCK), BLOCK_STOP(1), NULL},
    {MESSAGE_START, BLOCK(0, TEXT_BLOCK), BLOCK_STOP(0), BLOCK_STOP(0), NULL},
    {MESSAGE_START, BLOCK(0, TEXT_BLOCK), BLOCK(1, TEXT_BLOCK), TEXT_DELTA(0, "a"), NULL},
    {MESSAGE_START, BLOCK(0, "{}"), NULL},
    {MESSAGE_START, BLOCK(-1, TEXT_BLOCK), NULL},
    {MESSAGE_START, BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"a\"}"), NULL},
    {MESSAGE_START, BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":5}"),
     NULL},
    {MESSAGE_START, FINISH("end_turn", "{}"), BLOCK(0, TEXT_BLOCK), NULL},
};

TEST(streams_that_make_no_sense)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        start(true);
        CHECK(!feed(wrong[i]));
        CHECK(!anthropic_wire.decode_end(&decoder));
        stop();
    }
}

TEST(answers_that_make_no_sense)
{
    static const char *const bodies[] = {
        "",
        "5",
        "{}",
        "{\"content\":5,\"stop_reason\":\"end_turn\"}",
        "{\"content\":[5],\"stop_reason\":\"end_turn\"}",
        "{\"content\":[]}",
        "{\"content\":[],\"stop_reason\":null}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        start(false);
        check_note("%s", bodies[i]);
        CHECK(!anthropic_wire.decode_answer(&decoder, slice_str(bodies[i])));
        stop();
    }
}

TEST(error_bodies)
{
    struct llm_error e;
    set_up();
    anthropic_wire.read_error(parser, &arena,
                              SLICE("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
                                    "\"message\":\"slow\",\"details\":{\"error_code\":\"spend\"}},"
                                    "\"request_id\":\"req_1\"}"),
                              &e);
    CHECK_EQ_LIT(e.type, "rate_limit_error");
    CHECK_EQ_LIT(e.message, "slow");
    CHECK_EQ_LIT(e.code, "spend");
    anthropic_wire.read_error(parser, &arena, SLICE("<html>bad gateway</html>"), &e);
    CHECK_EQ_LIT(e.message, "bad gateway");
    anthropic_wire.read_error(parser, &arena, SLICE(""), &e);
    CHECK(e.message.n > 0);
    tear_down();
}

TEST(paths)
{
    static const struct llm_provider own = {.type = "anthropic"},
                                     vertex = {.quirks = QUIRK_RAW_PREDICT};
    static const struct {
        const struct llm_provider *provider;
        enum llm_op op;
        bool stream;
        const char *path; /* NULL: there is no such operation */
    } rows[] = {
        {&own, LLM_CHAT, true, "/messages"},
        {&own, LLM_COUNT_TOKENS, false, "/messages/count_tokens"},
        {&own, LLM_EMBEDDINGS, false, NULL},
        {&vertex, LLM_CHAT, true, "/models/m-1:streamRawPredict"},
        {&vertex, LLM_CHAT, false, "/models/m-1:rawPredict"},
        {&vertex, LLM_EMBEDDINGS, false, NULL},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice p =
            anthropic_wire.path(&arena, rows[i].provider, rows[i].op, SLICE("m-1"), rows[i].stream);
        check_note("row %zu", i);
        CHECK_EQ_SLICE(p, slice_str(rows[i].path));
        CHECK((p.p == NULL) == (rows[i].path == NULL));
    }
    tear_down();
}
