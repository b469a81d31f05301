/* Chat completion requests, read whole: what is read, and the names of what is not. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "llm/dialect.h"
#include "wire_run.h"

static struct llm_request request;
static struct llm_chat chat;

static void read(const char *body)
{
    struct llm_bad_request bad;
    request = (struct llm_request){.op = LLM_CHAT};
    CHECK(openai_dialect.read_request(parser, &arena, LLM_CHAT, slice_str(body), &request, &bad));
    CHECK(openai_dialect.read_chat(parser, &arena, &request, &chat, &bad));
}

static void check_unknown(const char *want)
{
    char got[256] = "";
    size_t n = 0;
    for (const struct llm_word *w = chat.unknown; w != NULL; w = w->next)
        n += (size_t)snprintf(got + n, sizeof got - n, SLICE_FMT " ", SLICE_ARG(w->word));
    CHECK_EQ_STR(got, want);
}

TEST(names_of_what_is_not_read)
{
    set_up();
    read("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\",\"a\":1},"
         "{\"role\":\"user\",\"b\":1,\"content\":[{\"type\":\"text\",\"text\":\"t\",\"c\":1}]},"
         "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"i\",\"index\":0,\"d\":"
         "1,"
         "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
         "{\"role\":\"tool\",\"tool_call_id\":\"i\",\"content\":\"r\",\"e\":1}],"
         "\"tools\":[{\"type\":\"function\",\"g\":1,\"function\":{\"name\":\"f\",\"h\":1}}],\"z\":"
         "1}");
    check_unknown("z messages.a messages.b messages.content.c messages.tool_calls.d messages.e "
                  "tools.g tools.h ");
    tear_down();
}

TEST(no_more_names_than_can_be_told)
{
    struct buf b;
    unsigned n = 0;
    set_up();
    buf_init(&b, 1 << 23);
    buf_lit(&b, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"t\"}]");
    for (unsigned i = 0; i < 100000; i++)
        buf_printf(&b, ",\"name%u\":1", i);
    buf_lit(&b, "}");
    buf_char(&b, '\0');
    read(b.p);
    const struct llm_word *last = chat.unknown;
    for (; last->next != NULL; last = last->next)
        n++;
    CHECK(n < 1000);
    CHECK_EQ_LIT(last->word, "...");
    buf_done(&b);
    tear_down();
}

TEST(reasoning_by_either_name)
{
    static const char *const members[] = {"\"reasoning\":\"hm\"", "\"reasoning_content\":\"hm\"",
                                          "\"reasoning_content\":\"hm\",\"reasoning\":\"x\""};
    char body[256];
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        snprintf(body, sizeof body,
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"t\",%s}]}",
                 members[i]);
        read(body);
        CHECK_EQ_I64(chat.messages->parts->kind, PART_REASONING);
        CHECK_EQ_LIT(chat.messages->parts->text.inner, "hm");
        check_unknown("");
    }
    tear_down();
}

TEST(refusals_are_written_as_one)
{
    struct wire_request q;
    wire_request_begin(&q, &openai_wire, "m");
    struct llm_part *p = wire_request_say(&q, 1, ROLE_ASSISTANT, PART_REFUSAL, "No. ");
    p->next = &q.part[7];
    q.part[7] = (struct llm_part){.kind = PART_REFUSAL, .text.inner = SLICE("Never.")};
    CHECK(wire_request_write(&q));
    CHECK(memmem(q.out.p, q.out.n, "\"refusal\":\"No. Never.\"", 22) != NULL);
    wire_request_end(&q);
}

/* A result looks for its call only so far back. */
TEST(calls_long_ago)
{
    static struct llm_part calls[2000], result;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] = (struct llm_part){.kind = PART_TOOL_CALL,
                                     .id = i == 0      ? SLICE("first")
                                           : i == 1500 ? SLICE("late")
                                                       : SLICE("other"),
                                     .name = SLICE("f"),
                                     .calls = i > 0 ? &calls[i - 1] : NULL};
    result = (struct llm_part){
        .kind = PART_TOOL_RESULT, .id = SLICE("late"), .calls = &calls[ARRAY_LEN(calls) - 1]};
    CHECK_EQ_LIT(llm_result_name(&result), "f");
    result.id = SLICE("first");
    CHECK_EQ_I64((int64_t)llm_result_name(&result).n, 0);
}
