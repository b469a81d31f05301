/* What the neutral request becomes in Anthropic's wire, by model. The rest is in tests/golden. */
#include "anthropic_internal.h"
#include "check.h"
#include "fixture.h"
#include "reader.h"

static struct llm_chat chat;
static struct llm_message user;
static struct llm_part hello;
static struct llm_writing writing;
static struct llm_bad_request bad;
static struct buf body;

/* A chat of OpenAI's dialect that says "hi". */
static void start(const char *model)
{
    static const struct llm_provider provider = {.type = "anthropic"};
    set_up();
    buf_init(&body, 1 << 20);
    llm_chat_init(&chat, DIALECT_OPENAI);
    hello = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("hi")}};
    user = (struct llm_message){.role = ROLE_USER, .parts = &hello};
    chat.messages = &user;
    bad = (struct llm_bad_request){.code = NULL};
    writing = (struct llm_writing){.arena = &arena,
                                   .json = parser,
                                   .chat = &chat,
                                   .provider = &provider,
                                   .model = slice_str(model),
                                   .out = &body,
                                   .bad = &bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        writing.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
}

static void stop(void)
{
    buf_done(&body);
    tear_down();
}

#define HEAD(model, max)                                                                           \
    "{\"model\":\"" model "\",\"max_tokens\":" max                                                 \
    ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"

static void check_written(const char *want, const char *dropped)
{
    bool ok = anthropic_wire.write_chat(&writing);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok && !body.failed);
    CHECK_EQ_SLICE(buf_view(&body), slice_str(want));
    CHECK_EQ_SLICE(writing.dropped != NULL ? writing.dropped->word : SLICE(""), slice_str(dropped));
}

static void check_refused(const char *param)
{
    CHECK(!anthropic_wire.write_chat(&writing));
    CHECK_EQ_STR(bad.param, param);
    CHECK(bad.message[0] != '\0' && !bad.no_memory);
}

TEST(traits)
{
    static const struct {
        const char *model;
        bool budget, adaptive, sampling, prefill, mid_system;
    } rows[] = {
        {"claude-3-5-haiku-20241022", false, false, true, true, false},
        {"claude-3-7-sonnet-latest", true, false, true, true, false},
        {"claude-opus-4-20250514", true, false, true, true, false},
        {"claude-sonnet-4-5-20250929", true, false, true, true, false},
        {"us.anthropic.claude-haiku-4-5-20251001-v1:0", true, false, true, true, false},
        {"claude-opus-4-6", false, true, true, false, false},
        {"anthropic/claude-sonnet-4.6", false, true, true, false, false},
        {"claude-opus-4-7", false, true, false, false, false},
        {"claude-opus-4-8", false, true, false, false, true},
        {"claude-opus-5-5", false, true, false, false, true},
        {"claude-", false, true, false, false, true},
        {"kimi-k2", true, false, true, true, false},
        {"", true, false, true, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned t = anthropic_model_traits(slice_str(rows[i].model));
        check_note("%s", rows[i].model);
        CHECK(!(t & TRAIT_BUDGET) == !rows[i].budget);
        CHECK(!(t & TRAIT_ADAPTIVE) == !rows[i].adaptive);
        CHECK(!(t & TRAIT_SAMPLING) == !rows[i].sampling);
        CHECK(!(t & TRAIT_PREFILL) == !rows[i].prefill);
        CHECK(!(t & TRAIT_MID_SYSTEM) == !rows[i].mid_system);
    }
}

TEST(efforts)
{
    static const struct {
        const char *model, *effort;
        int64_t max_tokens;
        const char *want, *dropped;
    } rows[] = {
        {"claude-opus-4-8", "high", -1,
         HEAD("claude-opus-4-8", "4096") ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{"
                                         "\"effort\":\"high\"}}",
         ""},
        {"claude-opus-4-8", "minimal", 100,
         HEAD(
             "claude-opus-4-8",
             "100") ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"low\"}}",
         ""},
        {"claude-opus-4-8", "newest", 100,
         HEAD("claude-opus-4-8", "100") ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{"
                                        "\"effort\":\"newest\"}}",
         ""},
        {"claude-opus-4-6", "xhigh", 100,
         HEAD("claude-opus-4-6", "100") ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{"
                                        "\"effort\":\"high\"}}",
         ""},
        {"claude-opus-4-8", "none", 100,
         HEAD("claude-opus-4-8", "100") ",\"thinking\":{\"type\":\"disabled\"}}", ""},
        {"claude-sonnet-4-5", "medium", -1,
         HEAD("claude-sonnet-4-5",
              "8192") ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096}}",
         ""},
        {"claude-sonnet-4-5", "high", 5000,
         HEAD("claude-sonnet-4-5",
              "5000") ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4999}}",
         ""},
        {"claude-sonnet-4-5", "low", 1024, HEAD("claude-sonnet-4-5", "1024") "}",
         "reasoning_effort"},
        {"claude-3-5-haiku", "low", -1, HEAD("claude-3-5-haiku", "4096") "}", "reasoning_effort"},
        {"claude-3-5-haiku", "none", -1, HEAD("claude-3-5-haiku", "4096") "}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start(rows[i].model);
        chat.effort = slice_str(rows[i].effort);
        chat.max_tokens = rows[i].max_tokens;
        check_note("%s %s", rows[i].model, rows[i].effort);
        check_written(rows[i].want, rows[i].dropped);
        stop();
    }
}

TEST(budgets)
{
    start("claude-opus-4-5");
    chat.budget = 500;
    chat.show = SLICE("auto");
    check_written(HEAD("claude-opus-4-5", "5120") ",\"thinking\":{\"type\":\"enabled\","
                                                  "\"budget_tokens\":1024,\"display\":"
                                                  "\"summarized\"}}",
                  "");
    stop();
    start("claude-opus-4-8");
    chat.budget = 5000;
    check_written(
        HEAD("claude-opus-4-8",
             "4096") ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":"
                     "\"medium\"}}",
        "");
    stop();
}

static void sampling(const char *temperature, const char *top_p, const char *top_k)
{
    chat.temperature = slice_str(temperature);
    chat.top_p = slice_str(top_p);
    chat.top_k = slice_str(top_k);
}

TEST(sampling_by_model)
{
    start("claude-sonnet-4");
    sampling("0.5", "0.9", "7");
    check_written(HEAD("claude-sonnet-4", "4096") ",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":7}",
                  "");
    stop();
    start("claude-sonnet-4");
    sampling("1.5", NULL, NULL);
    check_written(HEAD("claude-sonnet-4", "4096") ",\"temperature\":1}", "temperature");
    stop();
    start("claude-sonnet-4-5");
    sampling("0.5", "1", NULL);
    check_written(HEAD("claude-sonnet-4-5", "4096") ",\"temperature\":0.5}", "");
    stop();
    start("claude-sonnet-4-5");
    sampling("0.5", "0.9", NULL);
    check_refused("top_p");
    stop();
    start("claude-opus-4-8");
    sampling("1", "1.0", NULL);
    check_written(HEAD("claude-opus-4-8", "4096") "}", "");
    stop();
    start("claude-opus-4-8");
    sampling("0", NULL, NULL);
    check_refused("temperature");
    stop();
    start("claude-sonnet-4");
    chat.effort = SLICE("low");
    sampling("0", NULL, NULL);
    check_written(HEAD("claude-sonnet-4", "5120") ",\"thinking\":{\"type\":\"enabled\","
                                                  "\"budget_tokens\":1024}}",
                  "temperature");
    stop();
}

TEST(lacking)
{
    static const struct {
        size_t offset;
        const char *value, *param;
    } words[] = {
        {offsetof(struct llm_chat, logit_bias_json), "{\"1\":2}", "logit_bias"},
        {offsetof(struct llm_chat, frequency_penalty), "0.5", "frequency_penalty"},
        {offsetof(struct llm_chat, presence_penalty), "-0.5", "frequency_penalty"},
    };
    static const struct {
        size_t offset;
        const char *value, *name;
    } hints[] = {
        {offsetof(struct llm_chat, seed), "5", "seed"},
        {offsetof(struct llm_chat, verbosity), "low", "verbosity"},
        {offsetof(struct llm_chat, metadata_json), "{}", "metadata"},
        {offsetof(struct llm_chat, cache_key), "k", "prompt_cache_key"},
        {offsetof(struct llm_chat, service_tier), "flex", "service_tier"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        start("claude-x");
        *(struct slice *)((char *)&chat + words[i].offset) = slice_str(words[i].value);
        check_refused(words[i].param);
        stop();
    }
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        start("claude-x");
        *(struct slice *)((char *)&chat + hints[i].offset) = slice_str(hints[i].value);
        check_written(HEAD("claude-x", "4096") "}", hints[i].name);
        stop();
    }
    start("claude-x");
    chat.frequency_penalty = SLICE("0");
    chat.presence_penalty = SLICE("0.0");
    chat.service_tier = SLICE("default");
    check_written(HEAD("claude-x", "4096") ",\"service_tier\":\"standard_only\"}", "");
    stop();
    start("claude-x");
    chat.n = 2;
    check_refused("n");
    stop();
    start("claude-x");
    chat.format = FORMAT_JSON_OBJECT;
    check_refused("response_format");
    stop();
}

TEST(stop_sequences)
{
    struct llm_word b = {.word = SLICE("E\nD")}, a = {.next = &b, .word = SLICE(" \n")};
    start("claude-x");
    chat.stop = &b;
    check_written(HEAD("claude-x", "4096") ",\"stop_sequences\":[\"E\\nD\"]}", "");
    stop();
    start("claude-x");
    chat.stop = &a;
    check_refused("stop");
    stop();
    start("claude-x");
    chat.stop = &a;
    writing.lack[FEATURE_STOP] = LACK_DROP;
    check_written(HEAD("claude-x", "4096") ",\"stop_sequences\":[\"E\\nD\"]}", "stop");
    stop();
}

/* Messages of one part each, in a list. */
struct said {
    struct llm_message message;
    struct llm_part part;
};

static struct llm_message *say(struct said *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        list[i].message.parts = &list[i].part;
        list[i].message.next = i + 1 < n ? &list[i + 1].message : NULL;
    }
    return &list[0].message;
}

#define SAID(r, lit)                                                                               \
    {                                                                                              \
        .message = {.role = ROLE_##r}, .part = {.kind = PART_TEXT, .text = {SLICE(lit)} }          \
    }

static void check_messages(struct said *list, size_t n, const char *model, const char *want)
{
    start(model);
    chat.messages = say(list, n);
    bool ok = anthropic_wire.write_chat(&writing);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
    struct slice head = arena_printf(&arena, "{\"model\":\"%s\",\"max_tokens\":4096,", model);
    CHECK(slice_starts(buf_view(&body), head));
    CHECK_EQ_SLICE(slice_from(buf_view(&body), head.n), slice_str(want));
    stop();
}

TEST(system_messages_in_the_middle)
{
    struct said rows[] = {SAID(SYSTEM, "a"), SAID(DEVELOPER, "b"), SAID(USER, "c"),
                          SAID(SYSTEM, "d"), SAID(ASSISTANT, "e"), SAID(SYSTEM, "f"),
                          SAID(USER, "g")};
#define T(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
    check_messages(rows, ARRAY_LEN(rows), "claude-opus-4-8",
                   "\"system\":[" T("a") "," T(
                       "b") "],\"messages\":["
                            "{\"role\":\"user\",\"content\":[" T(
                                "c") "]},"
                                     "{\"role\":\"system\",\"content\":[" T(
                                         "d") "]},"
                                              "{\"role\":\"assistant\",\"content\":[" T(
                                                  "e") "]},"
                                                       "{\"role\":\"user\",\"content\":[" T(
                                                           "System: f") "," T("g") "]}]}");
    check_messages(rows, ARRAY_LEN(rows), "claude-opus-4-7",
                   "\"system\":[" T("a") "," T(
                       "b") "],\"messages\":["
                            "{\"role\":\"user\",\"content\":[" T("c") "," T(
                                "System: d") "]},"
                                             "{\"role\":\"assistant\",\"content\":[" T(
                                                 "e") "]},"
                                                      "{\"role\":\"user\",\"content\":[" T(
                                                          "System: f") "," T("g") "]}]}");
}

TEST(empty_texts_leave_no_message_behind)
{
    struct said rows[] = {SAID(USER, "a"), SAID(ASSISTANT, " \\n\\t"), SAID(USER, "b")};
    check_messages(rows, ARRAY_LEN(rows), "claude-x",
                   "\"messages\":[{\"role\":\"user\",\"content\":[" T("a") "," T("b") "]}]}");
}

TEST(results_come_first)
{
    struct said rows[] = {SAID(USER, "a"), SAID(ASSISTANT, ""), SAID(USER, "between"),
                          SAID(USER, "")};
    struct llm_part text = {.kind = PART_TEXT, .text = {SLICE("5")}};
    rows[1].part = (struct llm_part){.kind = PART_TOOL_CALL,
                                     .id = SLICE("call|1.x"),
                                     .name = SLICE("f"),
                                     .arguments = {SLICE("{\\\"a\\\":1}")}};
    rows[3].part = (struct llm_part){
        .kind = PART_TOOL_RESULT, .id = SLICE("call|1.x"), .is_error = true, .content = &text};
    check_messages(
        rows, ARRAY_LEN(rows), "claude-x",
        "\"messages\":[{\"role\":\"user\",\"content\":[" T(
            "a") "]},"
                 "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"call_1_x\","
                 "\"name\":\"f\",\"input\":{\"a\":1}}]},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
                 "\"call_1_x\",\"content\":\"5\",\"is_error\":true}," T("between") "]}]}");
    start("claude-x");
    rows[1].part.arguments.inner = SLICE("[1]");
    chat.messages = say(rows, ARRAY_LEN(rows));
    check_refused("messages");
    stop();
}

TEST(an_answer_that_was_begun)
{
    struct said rows[] = {SAID(USER, "a"), SAID(ASSISTANT, "b")};
    check_messages(rows, 2, "claude-sonnet-4-5",
                   "\"messages\":[{\"role\":\"user\",\"content\":[" T(
                       "a") "]},"
                            "{\"role\":\"assistant\",\"content\":[" T("b") "]}]}");
    start("claude-opus-4-8");
    chat.messages = say(rows, 2);
    check_refused("messages");
    stop();
}

TEST(nothing_but_a_system_prompt)
{
    struct said rows[] = {SAID(SYSTEM, "a")};
    start("claude-x");
    chat.messages = say(rows, 1);
    check_refused("messages");
    stop();
}

/* Without the thinking that its calls began with, a turn goes on without thinking. */
TEST(a_turn_whose_thinking_is_lost)
{
    struct said rows[] = {SAID(USER, "a"), SAID(ASSISTANT, ""), SAID(USER, "")};
    rows[1].part = (struct llm_part){.kind = PART_TOOL_CALL, .id = SLICE("c"), .name = SLICE("f")};
    rows[2].part = (struct llm_part){.kind = PART_TOOL_RESULT, .id = SLICE("c")};
    for (int kept = 0; kept < 2; kept++) {
        struct llm_part thought = {.kind = PART_REASONING,
                                   .next = &rows[1].part,
                                   .text = {SLICE("h")},
                                   .signature = SLICE("s"),
                                   .family = FAMILY_ANTHROPIC};
        start("claude-sonnet-4-5");
        chat.messages = say(rows, 3);
        chat.effort = SLICE("low");
        if (kept)
            rows[1].message.parts = &thought;
        CHECK(anthropic_wire.write_chat(&writing));
        bool thinks = memmem(body.p, body.n, "budget_tokens", 13) != NULL;
        CHECK(thinks == (kept == 1));
        CHECK((writing.dropped != NULL) == (kept == 0));
        stop();
    }
}

TEST(sources)
{
    static const struct {
        enum llm_part_kind kind;
        struct llm_source source;
        const char *want; /* NULL: refused */
    } rows[] = {
        {PART_IMAGE,
         {.media_type = {"image/webp", 10}, .data = {"QUI=", 4}},
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/webp\","
         "\"data\":\"QUI=\"}}"},
        {PART_IMAGE, {.media_type = {"image/tiff", 10}, .data = {"QUI=", 4}}, NULL},
        {PART_IMAGE, {.url = {"gs://a/b", 8}}, NULL},
        {PART_IMAGE, {.file_id = {"file-1", 6}}, NULL},
        {PART_DOCUMENT,
         {.media_type = {"text/csv", 8}, .data = {"YSwiYiIK", 8}},
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
         "\"data\":\"a,\\\"b\\\"\\n\"}}"},
        {PART_DOCUMENT, {.media_type = {"text/csv", 8}, .data = {"/w==", 4}}, NULL},
        {PART_DOCUMENT, {.media_type = {"text/csv", 8}, .data = {"!", 1}}, NULL},
        {PART_DOCUMENT, {.media_type = {"application/zip", 15}, .data = {"QUI=", 4}}, NULL},
        {PART_DOCUMENT,
         {.url = {"https://a/b.pdf", 15}, .name = {"b", 1}},
         "{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://a/b.pdf\"},"
         "\"title\":\"b\"}"},
        {PART_AUDIO, {.data = {"QUI=", 4}}, NULL},
        {PART_VIDEO, {.data = {"QUI=", 4}}, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start("claude-x");
        hello = (struct llm_part){.kind = rows[i].kind, .source = rows[i].source};
        check_note("row %zu", i);
        if (rows[i].want == NULL) {
            check_refused("messages[0].content[0]");
        } else {
            CHECK(anthropic_wire.write_chat(&writing));
            CHECK(memmem(body.p, body.n, rows[i].want, strlen(rows[i].want)) != NULL);
        }
        stop();
    }
}

TEST(tools)
{
    struct llm_tool b = {.name = SLICE("g"), .strict = -1, .schema_json = SLICE("{\"a\":{}}")};
    struct llm_tool a = {.next = &b, .name = SLICE("f"), .strict = 1};
    struct llm_word only = {.word = SLICE("g")};
    start("claude-x");
    chat.tools = &a;
    chat.parallel = 0;
    check_written(
        HEAD("claude-x",
             "4096") ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\","
                     "\"properties\":{}},\"strict\":true},{\"name\":\"g\",\"input_schema\":"
                     "{\"type\":\"object\",\"a\":{}}}],\"tool_choice\":{\"type\":\"auto\","
                     "\"disable_parallel_tool_use\":true}}",
        "");
    stop();
    start("claude-x");
    chat.tools = &a;
    chat.choice = CHOICE_REQUIRED;
    chat.choice_allowed = &only;
    check_written(
        HEAD(
            "claude-x",
            "4096") ",\"tools\":[{\"name\":\"g\",\"input_schema\":{\"type\":\"object\",\"a\":{}}}],"
                    "\"tool_choice\":{\"type\":\"any\"}}",
        "");
    stop();
    start("claude-x");
    chat.choice = CHOICE_REQUIRED;
    check_refused("tool_choice");
    stop();
    start("claude-x");
    a.kind = TOOL_CUSTOM;
    chat.tools = &a;
    check_refused("tools");
    stop();
    start("claude-x");
    b.schema_json = SLICE("5");
    chat.tools = &b;
    check_refused("tools");
    stop();
}

TEST(a_buffer_without_room)
{
    start("claude-x");
    buf_done(&body);
    buf_init(&body, 10);
    CHECK(!anthropic_wire.write_chat(&writing));
    CHECK(bad.no_memory);
    stop();
}
