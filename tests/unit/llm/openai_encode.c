/* Answers in OpenAI's chat dialect: what belongs to which choice. */
#include "check.h"
#include "fixture.h"
#include "llm/dialect.h"

static struct buf out;
static struct llm_encoder encoder;
static struct llm_chat chat;
static struct llm_usage usage;

static void begin(void)
{
    set_up();
    buf_init(&out, 1 << 16);
    usage = LLM_USAGE_NONE;
    chat = (struct llm_chat){.model = SLICE("m")};
    encoder = (struct llm_encoder){.dialect = &openai_dialect,
                                   .arena = &arena,
                                   .out = &out,
                                   .chat = &chat,
                                   .usage = &usage,
                                   .id = SLICE("id")};
}

static void finish(void)
{
    CHECK(!out.failed);
    buf_done(&out);
    tear_down();
}

static void say(enum llm_event_kind kind, unsigned choice, unsigned part, const char *text)
{
    struct llm_event e = {
        .kind = kind, .choice = choice, .part = part, .text.inner = slice_str(text)};
    buf_reset(&out);
    openai_dialect.encode(&encoder, &e);
}

static void open(unsigned choice, unsigned part, enum llm_part_kind kind)
{
    struct llm_event e = {.kind = EVENT_PART,
                          .choice = choice,
                          .part = part,
                          .part_kind = kind,
                          .id = SLICE("call"),
                          .name = SLICE("f")};
    buf_reset(&out);
    openai_dialect.encode(&encoder, &e);
}

static bool says(const char *text)
{
    return memmem(out.p, out.n, text, strlen(text)) != NULL;
}

TEST(choices_are_told_apart)
{
    begin();
    say(EVENT_START, 0, 0, "");
    CHECK(says("{\"index\":0,\"delta\":{\"role\":\"assistant\""));
    open(0, 0, PART_REASONING);
    open(1, 0, PART_TEXT);
    CHECK(says("{\"index\":1,\"delta\":{\"role\":\"assistant\""));
    say(EVENT_DELTA, 0, 0, "hm");
    CHECK(says("{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}"));
    say(EVENT_DELTA, 1, 0, "hello");
    CHECK(says("{\"index\":1,\"delta\":{\"content\":\"hello\"}"));

    open(0, 1, PART_TOOL_CALL); /* each choice counts its own calls */
    CHECK(says("\"tool_calls\":[{\"index\":0,"));
    open(1, 1, PART_TEXT);
    say(EVENT_DELTA, 1, 1, "word");
    CHECK(says("{\"index\":1,\"delta\":{\"content\":\"word\"}"));
    open(1, 2, PART_TOOL_CALL);
    CHECK(says("\"tool_calls\":[{\"index\":0,"));
    open(0, 2, PART_TOOL_CALL);
    CHECK(says("\"tool_calls\":[{\"index\":1,"));
    say(EVENT_DELTA, 1, 2, "{}");
    CHECK(says("{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\""));
    say(EVENT_DELTA, 0, 2, "{}");
    CHECK(says("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\""));
    finish();
}
