/* Requests that go on with a cut answer: who can, why not, and what each wire's request says. */
#include "llm/continue.h"

#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "llm/join.h"
#include "wire_run.h"

#define CUT       "The capital of France is \\\"Paris\\\", on the " /* as it stands in JSON */
#define SENT      "The capital of France is \\\"Paris\\\", on the"
#define WORDS     "France is \\\"Paris\\\", on the "
#define DELIVERED "The capital of France is \"Paris\", on the "

static const char sonnet_45[] = "claude-sonnet-4-5-20250929";

static struct llm_delivered cut_at(struct slice text)
{
    return (struct llm_delivered){.text = text, .tokens = -1};
}

/* A small streamed request to a provider of that type, cut after DELIVERED, as it goes on there. */
static enum llm_continue go_on(struct wire_request *q, const struct llm_provider *row,
                               const char *model)
{
    struct llm_delivered d = cut_at(SLICE(DELIVERED));
    const char *why = "";
    wire_request_begin(q, row->wire != NULL ? row->wire : &openai_wire, model);
    q->provider = *row;
    q->chat.stream = true;
    q->chat.max_tokens = 100;
    q->chat.effort = SLICE("high");
    q->drop = FEATURE_EFFORT;
    enum llm_continue how = llm_can_continue(&q->chat, &d, row, slice_str(model), &why);
    CHECK_EQ_STR(why, "");
    struct llm_chat more;
    CHECK(llm_continue_request(&arena, &q->chat, &d, how, &more));
    CHECK(q->message[0].next == NULL && q->chat.messages == q->message);
    q->chat = more;
    return how;
}

static const struct llm_provider *row_of(const char *type)
{
    const struct llm_provider *row = llm_provider_find(slice_str(type));
    CHECK(row != NULL);
    return row;
}

static void expect(const struct llm_provider *row, const char *model, enum llm_continue how,
                   const char *body)
{
    struct wire_request q;
    check_note("%s %s", row->type, model);
    CHECK_EQ_I64(go_on(&q, row, model), how);
    wire_request_check(&q, body);
    wire_request_end(&q);
}

#define MESSAGES(more)                                                                             \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\","                \
    "\"content\":\"" SENT "\"" more "}]"
#define FLAGS "\"add_generation_prompt\":false,\"continue_final_message\":true"
#define USAGE "\"stream\":true,\"stream_options\":{\"include_usage\":true}}"

TEST(prefill_of_chat_completions)
{
    expect(row_of("vllm"), "m", LLM_CONTINUE_PREFILL,
           "{\"model\":\"m\"," MESSAGES("") ",\"max_completion_tokens\":90," FLAGS "," USAGE);
    expect(row_of("sglang"), "qwen3", LLM_CONTINUE_PREFILL,
           "{\"model\":\"qwen3\"," MESSAGES("") ",\"max_completion_tokens\":90," FLAGS "," USAGE);
    expect(row_of("llama-server"), "m", LLM_CONTINUE_PREFILL,
           "{\"model\":\"m\"," MESSAGES("") ",\"max_completion_tokens\":90," FLAGS
                                            ",\"chat_template_kwargs\":{\"enable_thinking\":false}"
                                            "," USAGE);
    expect(row_of("mistral"), "m", LLM_CONTINUE_ECHOED,
           "{\"model\":\"m\"," MESSAGES(",\"prefix\":true") ",\"max_tokens\":90,\"stream\":true}");
}

TEST(prefill_of_claude)
{
    static const char body[] =
        "\"max_tokens\":90,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"Hi\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"" SENT "\"}]}],\"stream\":true}";
    char want[1024];
    snprintf(want, sizeof want, "{\"model\":\"%s\",%s", sonnet_45, body);
    expect(row_of("anthropic"), sonnet_45, LLM_CONTINUE_PREFILL, want);
    snprintf(want, sizeof want, "{\"anthropic_version\":\"" LLM_VERTEX_VERSION "\",%s", body);
    expect(llm_provider_variant(row_of("vertex"), SLICE("anthropic")), "claude-sonnet-4-5@20250929",
           LLM_CONTINUE_PREFILL, want);
    expect(row_of("bedrock"), "us.anthropic.claude-sonnet-4-5-20250929-v1:0", LLM_CONTINUE_PREFILL,
           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"}]},{\"role\":"
           "\"assistant\",\"content\":[{\"text\":\"" SENT
           "\"}]}],\"inferenceConfig\":{\"maxTokens\":90}}");
}

TEST(prefill_of_a_plain_prompt)
{
    const struct llm_provider *row = llm_provider_variant(row_of("sagemaker"), SLICE("tgi"));
    expect(row, "endpoint", LLM_CONTINUE_PREFILL,
           "{\"inputs\":\"User: Hi\\nAssistant: " SENT "\",\"parameters\":{\"max_new_tokens\":90,"
           "\"do_sample\":true,\"return_full_text\":false,\"details\":true},\"stream\":true}");
}

/* Both messages, in the order and with the words that the join looks for. */
static void expect_asked(const char *type, const char *model, const char *role,
                         const char *max_tokens)
{
    struct wire_request q;
    struct json_doc d;
    check_note("%s %s", type, model);
    CHECK_EQ_I64(go_on(&q, row_of(type), model), LLM_CONTINUE_INSTRUCTION);
    bool ok = wire_request_write(&q);
    CHECK_EQ_STR(q.bad.message, "");
    CHECK(ok);
    struct slice body = buf_view(&q.out);
    CHECK_EQ_I64(json_parse(parser, body, 0, &d), JSON_OK);
    static const char words[] = "<last_words>" WORDS "</last_words>";
    const char *hi = memmem(body.p, body.n, "\"Hi\"", 4);
    const char *said = memmem(body.p, body.n, "\"" CUT "\"", sizeof CUT + 1);
    const char *asked = memmem(body.p, body.n, words, sizeof words - 1);
    const char *as = memmem(body.p, body.n, role, strlen(role));
    CHECK(hi != NULL && said > hi && asked > said && as != NULL);
    CHECK(memmem(body.p, body.n, max_tokens, strlen(max_tokens)) != NULL);
    CHECK(memmem(body.p, body.n, "final_message", 13) == NULL);
    wire_request_end(&q);
}

TEST(instruction)
{
    expect_asked("openai", "gpt-4o", "\"assistant\"", "\"max_completion_tokens\":99");
    expect_asked("openai-responses", "gpt-4o", "\"assistant\"", "\"max_output_tokens\":99");
    expect_asked("azure", "gpt-4o", "\"assistant\"", "\"max_completion_tokens\":99");
    expect_asked("gemini", "gemini-2.5-flash", "\"model\"", "\"maxOutputTokens\":99");
    expect_asked("cohere", "command-a-03-2025", "\"assistant\"", "\"max_tokens\":99");
    expect_asked("bedrock", "amazon.nova-pro-v1:0", "\"assistant\"", "\"maxTokens\":99");
    expect_asked("deepseek", "deepseek-chat", "\"assistant\"", "\"max_tokens\":99");
    expect_asked("ollama", "llama3.2", "\"assistant\"", "\"max_tokens\":99");
    expect_asked("openai-compatible", "m", "\"assistant\"", "\"max_completion_tokens\":99");
    /* Newer Claude models refuse a prefill; names that are not Claude's may be anybody's. */
    expect_asked("anthropic", "claude-sonnet-4-6", "\"assistant\"", "\"max_tokens\":99");
    expect_asked("anthropic", "glm-5", "\"assistant\"", "\"max_tokens\":99");
    expect_asked("bedrock", "anthropic.claude-opus-4-6-v1", "\"assistant\"", "\"maxTokens\":99");
}

/* What a continuation does that follows the request: the words that it was asked for are those that
 * the join takes. */
TEST(request_and_join_agree)
{
    struct llm_join j;
    struct buf out;
    buf_init(&out, 1000);
    CHECK_EQ_LIT(llm_join_anchor(SLICE(DELIVERED)), "France is \"Paris\", on the ");
    llm_join_init(&j, LLM_CONTINUE_INSTRUCTION, SLICE(DELIVERED));
    CHECK_EQ_I64(llm_join_feed(&j, SLICE("France is \"Paris\", on the Seine."), &out), JOIN_PASS);
    CHECK_EQ_LIT(buf_view(&out), "Seine.");
    buf_done(&out);
}

/* ---- Who cannot. */

static void expect_not(const struct wire_request *q, const struct llm_delivered *d,
                       const char *type, const char *want)
{
    const char *why = "";
    enum llm_continue how = llm_can_continue(&q->chat, d, row_of(type), SLICE("m"), &why);
    CHECK_EQ_STR(why, want);
    CHECK(how == LLM_CONTINUE_NOT);
}

TEST(not_by_what_was_delivered)
{
    struct wire_request q;
    struct llm_delivered d = cut_at(SLICE(DELIVERED));
    wire_request_begin(&q, &openai_wire, "m");
    d.has_calls = true;
    expect_not(&q, &d, "vllm", "tool_calls");
    d = cut_at(SLICE(DELIVERED));
    d.reasoning_open = true;
    expect_not(&q, &d, "vllm", "reasoning");
    d = cut_at(SLICE(DELIVERED));
    d.has_other = true;
    expect_not(&q, &d, "vllm", "other_parts");
    d = cut_at(SLICE_NONE);
    expect_not(&q, &d, "vllm", "nothing_delivered");
    d = cut_at(SLICE(" \n"));
    expect_not(&q, &d, "openai", "nothing_delivered");
    d = cut_at(SLICE("The capital"));
    expect_not(&q, &d, "openai", "too_short");
    char same[1000];
    memset(same, '0', sizeof same);
    d = cut_at(slice_of(same, sizeof same));
    expect_not(&q, &d, "openai", "repetitive");
    wire_request_end(&q);
}

TEST(not_by_what_was_asked)
{
    struct wire_request q;
    struct llm_delivered d = cut_at(SLICE(DELIVERED));
    wire_request_begin(&q, &openai_wire, "m");
    const struct llm_chat plain = q.chat;
#define WITH(set, why) (set, expect_not(&q, &d, "vllm", why), (void)(q.chat = plain))
    WITH(q.chat.choice = CHOICE_REQUIRED, "tool_calls");
    WITH(q.chat.choice = CHOICE_NAMED, "tool_calls");
    WITH(q.chat.format = FORMAT_JSON_OBJECT, "format");
    WITH(q.chat.format = FORMAT_JSON_SCHEMA, "format");
    WITH(q.chat.n = 2, "choices");
    WITH(q.chat.logprobs = true, "logprobs");
    WITH(q.chat.completion = true, "completion");
    WITH(q.chat.messages = NULL, "conversation");
    WITH(q.message[0].role = ROLE_ASSISTANT, "conversation");
    q.message[0].role = ROLE_USER;
    WITH(q.part[0].citations = true, "citations");
    q.part[0].citations = false;
    q.word[0] = (struct llm_word){.word = SLICE("guided_regex")};
    WITH(q.chat.unknown = q.word, "unknown_members");
    WITH(q.chat.max_tokens = (int64_t)(sizeof DELIVERED - 1) / 4, "tokens_spent");
    d.tokens = 50;
    WITH(q.chat.max_tokens = 50, "tokens_spent");
    wire_request_end(&q);
}

/* A stop sequence that began before the cut would go unseen. */
TEST(not_within_a_stop_sequence)
{
    struct wire_request q;
    struct llm_delivered d = cut_at(SLICE("Some text that is long enough.\n"));
    const char *why = "";
    wire_request_begin(&q, &openai_wire, "m");
    q.word[0] = (struct llm_word){.next = &q.word[1], .word = SLICE("STOP")};
    q.word[1] = (struct llm_word){.word = SLICE("\n\n")};
    q.chat.stop = q.word;
    expect_not(&q, &d, "vllm", "stop");
    d.text.n--;
    CHECK_EQ_I64(llm_can_continue(&q.chat, &d, row_of("vllm"), SLICE("m"), &why),
                 LLM_CONTINUE_PREFILL);
    wire_request_end(&q);
}

/* At least one token; the client's bound counts what it got. Without one there is none. */
TEST(tokens_left)
{
    struct wire_request q;
    struct llm_delivered d = cut_at(SLICE(DELIVERED));
    struct llm_chat more;
    wire_request_begin(&q, &openai_wire, "m");
    d.tokens = 70;
    q.chat.max_tokens = 100;
    CHECK(llm_continue_request(&arena, &q.chat, &d, LLM_CONTINUE_PREFILL, &more));
    CHECK_EQ_I64(more.max_tokens, 30);
    d.tokens = 100;
    CHECK(llm_continue_request(&arena, &q.chat, &d, LLM_CONTINUE_PREFILL, &more));
    CHECK_EQ_I64(more.max_tokens, 1);
    q.chat.max_tokens = -1;
    CHECK(llm_continue_request(&arena, &q.chat, &d, LLM_CONTINUE_INSTRUCTION, &more));
    CHECK_EQ_I64(more.max_tokens, -1);
    wire_request_end(&q);
}

/* Only a request that goes on says so. */
TEST(plain_requests_stay)
{
    struct wire_request q;
    wire_request_begin(&q, &openai_wire, "m");
    q.provider = *row_of("llama-server");
    wire_request_say(&q, 1, ROLE_ASSISTANT, PART_TEXT, "Well");
    wire_request_check(&q, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
                           "{\"role\":\"assistant\",\"content\":\"Well\"}]}");
    wire_request_end(&q);
}

static void write_once(void *arg)
{
    struct llm_chat *chat = arg, more;
    struct llm_delivered d = cut_at(SLICE(DELIVERED));
    struct arena a;
    arena_init(&a, NULL, 1 << 16);
    (void)!llm_continue_request(&a, chat, &d, LLM_CONTINUE_INSTRUCTION, &more);
    arena_reset(&a);
}

TEST(without_memory)
{
    struct wire_request q;
    check_needs_torture();
    wire_request_begin(&q, &openai_wire, "m");
    CHECK(check_torture(write_once, &q.chat) > 0);
    wire_request_end(&q);
}
