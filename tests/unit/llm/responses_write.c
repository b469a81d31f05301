/* The neutral request as Responses have it: what is said there, left out, or refused. */
#include "base/buf.h"
#include "check.h"
#include "fixture.h"
#include "llm/dialect.h"
#include "llm/wire.h"
#include "reader.h"

static const struct llm_provider provider = {.type = "openai"};
static struct llm_chat chat;
static struct llm_bad_request bad;
static struct llm_writing writing;
static struct buf body;
static struct llm_part part;
static struct llm_message message;

/* A request of another dialect: one message of the user's, of one part. */
static void begin(enum llm_dialect_id dialect, enum llm_part_kind kind)
{
    set_up();
    llm_chat_init(&chat, dialect);
    part = (struct llm_part){.kind = kind, .text = {SLICE("hi")}};
    message = (struct llm_message){.role = ROLE_USER, .parts = &part};
    chat.messages = &message;
    buf_init(&body, 1 << 20);
    writing = (struct llm_writing){.arena = &arena,
                                   .json = parser,
                                   .chat = &chat,
                                   .provider = &provider,
                                   .model = SLICE("gpt-5.1"),
                                   .out = &body,
                                   .bad = &bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        writing.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
}

static void end(void)
{
    buf_done(&body);
    tear_down();
}

static bool has(const char *text)
{
    struct slice s = buf_view(&body);
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static bool writes(void)
{
    buf_reset(&body);
    writing.dropped = NULL;
    return responses_wire.write_chat(&writing);
}

TEST(the_least)
{
    begin(DIALECT_OPENAI, PART_TEXT);
    CHECK(writes());
    CHECK_EQ_LIT(buf_view(&body),
                 "{\"model\":\"gpt-5.1\",\"input\":[{\"type\":\"message\",\"role\":\"user\","
                 "\"content\":\"hi\"}],\"store\":false,"
                 "\"include\":[\"reasoning.encrypted_content\"]}");
    end();
}

TEST(models_that_do_not_reason_are_not_asked_to)
{
    begin(DIALECT_OPENAI, PART_TEXT);
    writing.model = SLICE("openai/gpt-4.1-mini");
    chat.effort = SLICE("high");
    CHECK(writes());
    CHECK(has("\"include\":[]") && !has("effort"));
    CHECK_EQ_LIT(writing.dropped->word, "reasoning_effort");
    chat.effort = SLICE("none");
    CHECK(writes() && writing.dropped == NULL);
    end();
}

TEST(the_path_is_of_chats_only)
{
    CHECK_EQ_LIT(responses_wire.path(&arena, &provider, LLM_CHAT, SLICE("m"), true), "/responses");
    CHECK(responses_wire.path(&arena, &provider, LLM_EMBEDDINGS, SLICE("m"), false).p == NULL);
}

TEST(what_it_lacks_is_refused)
{
    static struct llm_word word = {.word = {"x", 1}};
    static const struct {
        size_t at; /* a slice of the request's */
        const char *param;
    } rows[] = {
        {offsetof(struct llm_chat, top_k), "top_k"},
        {offsetof(struct llm_chat, frequency_penalty), "frequency_penalty"},
        {offsetof(struct llm_chat, presence_penalty), "frequency_penalty"},
        {offsetof(struct llm_chat, logit_bias_json), "logit_bias"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(DIALECT_OPENAI, PART_TEXT);
        *(struct slice *)(void *)((char *)&chat + rows[i].at) = SLICE("1");
        check_note("%s", rows[i].param);
        CHECK(!writes());
        CHECK_EQ_STR(bad.param, rows[i].param);
        end();
    }
    begin(DIALECT_ANTHROPIC, PART_TEXT);
    chat.stop = &word;
    CHECK(!writes());
    CHECK_EQ_STR(bad.param, "stop_sequences");
    chat.stop = NULL;
    chat.n = 2;
    CHECK(!writes());
    chat.n = 1;
    CHECK(writes());
    end();
}

TEST(hints_it_lacks_are_dropped_and_named)
{
    begin(DIALECT_OPENAI, PART_TEXT);
    chat.seed = SLICE("7");
    chat.store = 1;
    message.name = SLICE("bob");
    chat.user = SLICE("0123456789012345678901234567890123456789012345678901234567890123x");
    CHECK(writes());
    CHECK(!has("seed") && has("\"store\":false") && !has("\"user\":"));
    unsigned n = 0;
    for (const struct llm_word *w = writing.dropped; w != NULL; w = w->next)
        n++;
    CHECK_EQ_U64(n, 4);
    end();
}

TEST(parts)
{
    begin(DIALECT_ANTHROPIC, PART_IMAGE);
    part.source = (struct llm_source){.media_type = SLICE("image/png"), .data = SLICE("AAAA")};
    CHECK(writes());
    CHECK(has("{\"type\":\"input_image\",\"detail\":\"auto\","
              "\"image_url\":\"data:image/png;base64,AAAA\"}"));
    part.source.data = SLICE("A\",\"model\":\"other");
    CHECK(!writes());
    part.source = (struct llm_source){.file_id = SLICE("file_1")};
    CHECK(!writes());
    CHECK_EQ_STR(bad.param, "messages[0].content[0]");
    part.kind = PART_DOCUMENT;
    part.source = (struct llm_source){.text = {SLICE("a\\nb")}, .name = SLICE("\"T\"")};
    CHECK(writes());
    CHECK(has("{\"type\":\"input_text\",\"text\":\"\\\"T\\\"\\n\\na\\nb\"}"));
    part.citations = true;
    CHECK(!writes());
    part = (struct llm_part){.kind = PART_AUDIO, .source = {.data = SLICE("AAAA")}};
    CHECK(!writes());
    part.kind = PART_VIDEO;
    CHECK(!writes());
    part = (struct llm_part){.kind = PART_NATIVE, .family = FAMILY_ANTHROPIC};
    CHECK(!writes());
    end();
}

TEST(reasoning_goes_back_to_who_signed_it)
{
    begin(DIALECT_ANTHROPIC, PART_REASONING);
    message.role = ROLE_ASSISTANT;
    part.signature = SLICE("sig");
    part.family = FAMILY_OPENAI;
    CHECK(writes());
    CHECK(has("{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"hi\"}],"
              "\"encrypted_content\":\"sig\"}"));
    part.family = FAMILY_ANTHROPIC;
    CHECK(writes() && !has("sig") && writing.dropped != NULL);
    end();
}

TEST(instructions_are_a_first_message_that_is_one_text)
{
    static struct llm_part second_part;
    static struct llm_message second;
    begin(DIALECT_OPENAI, PART_TEXT);
    message.role = ROLE_SYSTEM;
    CHECK(writes() && !has("instructions")); /* there would be no input */
    second_part = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("you")}};
    second = (struct llm_message){.role = ROLE_USER, .parts = &second_part};
    message.next = &second;
    CHECK(writes() && has("\"instructions\":\"hi\",\"input\":[{"));
    message.role = ROLE_DEVELOPER;
    CHECK(writes() && has("\"role\":\"developer\"") && !has("instructions"));
    end();
}

TEST(an_answer_begun_by_the_client_is_refused_where_it_is_to_go_on)
{
    begin(DIALECT_ANTHROPIC, PART_TEXT);
    message.role = ROLE_ASSISTANT;
    CHECK(!writes());
    chat.dialect = DIALECT_OPENAI;
    CHECK(writes());
    end();
}

TEST(tools_that_others_do_not_call_strict_are_not)
{
    static struct llm_tool tool;
    begin(DIALECT_OPENAI, PART_TEXT);
    tool = (struct llm_tool){.kind = TOOL_FUNCTION, .name = SLICE("f"), .strict = -1};
    chat.tools = &tool;
    chat.choice = CHOICE_NAMED;
    chat.choice_name = SLICE("f");
    CHECK(writes());
    CHECK(has("{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\","
              "\"properties\":{}},\"strict\":false}"));
    CHECK(has("\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}"));
    chat.dialect = DIALECT_RESPONSES;
    CHECK(writes() && !has("strict"));
    tool.kind = TOOL_HOSTED;
    tool.native_json = SLICE("{\"type\":\"f\"}");
    CHECK(writes() && has("\"tools\":[{\"type\":\"f\"}],\"tool_choice\":{\"type\":\"f\"}"));
    chat.dialect = DIALECT_OPENAI;
    CHECK(!writes());
    end();
}

TEST(limits_and_budgets)
{
    static const struct {
        int64_t budget;
        const char *effort;
    } rows[] = {{1024, "low"}, {8192, "medium"}, {32000, "high"}};
    begin(DIALECT_ANTHROPIC, PART_TEXT);
    chat.max_tokens = 1;
    CHECK(writes() && has("\"max_output_tokens\":16"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        chat.budget = rows[i].budget;
        CHECK(writes() && has(rows[i].effort));
    }
    chat.budget = 0;
    CHECK(writes() && !has("\"reasoning\":") && writing.dropped != NULL);
    chat.budget = -2;
    CHECK(writes() && !has("\"reasoning\":") && writing.dropped == NULL);
    chat.service_tier = SLICE("standard_only");
    CHECK(writes() && has("\"service_tier\":\"default\""));
    end();
}
