/* Requests in Anthropic's dialect. What the full reading makes of them is in tests/golden. */
#include "anthropic_internal.h"
#include "check.h"
#include "fixture.h"

#define MESSAGES      "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define CHAT(members) "{\"model\":\"m\",\"max_tokens\":5," MESSAGES members "}"

TEST(a_whole_request)
{
    static const char text[] =
        "{\"max_tokens\":77, \"model\" : \"claude-x\" ,\"stream\":true,\"metadata\":{\"user_id\":"
        "\"anna \\\"b\\\"\"},\"messages\":[{\"role\":\"user\",\"content\":[]},"
        "{\"role\":\"system\",\"content\":\"s\"}]}";
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    bool ok = anthropic_dialect.read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
    CHECK_EQ_LIT(r.model, "claude-x");
    CHECK_EQ_LIT(r.user, "anna \"b\"");
    CHECK(r.stream && r.wants_usage);
    CHECK_EQ_I64(r.max_tokens, 77);
    CHECK_EQ_I64(r.n, 1);
    const struct llm_span *s = &r.members[LLM_MEMBER_MODEL];
    CHECK_EQ_LIT(slice_of(text + s->key, s->key_end - s->key), "\"model\"");
    CHECK_EQ_LIT(slice_of(text + s->value, s->value_end - s->value), "\"claude-x\"");
    tear_down();
}

TEST(accepted)
{
    static const struct {
        enum llm_op op;
        const char *body;
    } rows[] = {
        {LLM_CHAT, CHAT("")},
        {LLM_CHAT, CHAT(",\"stream\":null,\"metadata\":null,\"x\":{\"a\":1,\"a\":2}")},
        {LLM_CHAT, CHAT(",\"metadata\":{\"user_id\":null}")},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":0," MESSAGES "}"},
        {LLM_COUNT_TOKENS, "{\"model\":\"m\"," MESSAGES "}"},
        {LLM_COUNT_TOKENS, "{\"model\":\"m\",\"stream\":false," MESSAGES "}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_request r;
        struct llm_bad_request bad;
        set_up();
        check_note("%s", rows[i].body);
        bool ok = anthropic_dialect.read_request(parser, &arena, rows[i].op,
                                                 slice_str(rows[i].body), &r, &bad);
        CHECK_EQ_STR(bad.message, "");
        CHECK(ok);
        CHECK(r.user.p == NULL && !r.stream);
        tear_down();
    }
}

TEST(refused)
{
    static const struct {
        enum llm_op op;
        const char *body, *param, *code;
    } rows[] = {
        {LLM_CHAT, "", "", "invalid_json"},
        {LLM_CHAT, "[]", "", "invalid_type"},
        {LLM_CHAT, "{\"max_tokens\":5," MESSAGES "}", "model", "missing_required_parameter"},
        {LLM_CHAT, "{\"model\":7,\"max_tokens\":5," MESSAGES "}", "model", "invalid_type"},
        {LLM_CHAT, "{\"model\":\"m\"," MESSAGES "}", "max_tokens", "missing_required_parameter"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":-1," MESSAGES "}", "max_tokens",
         "integer_below_min_value"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":1.5," MESSAGES "}", "max_tokens",
         "invalid_type"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5}", "messages", "missing_required_parameter"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[]}", "messages", "empty_array"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":{}}", "messages",
         "invalid_type"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[\"x\"]}", "messages[0]",
         "invalid_type"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"content\":\"x\"}]}",
         "messages[0].role", "missing_required_parameter"},
        {LLM_CHAT, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":5}]}",
         "messages[0].role", "invalid_type"},
        {LLM_CHAT,
         "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"r\\u006fle\":"
         "\"user\"}]}",
         "messages[0].role", "duplicate_key"},
        {LLM_CHAT, CHAT(",\"model\":\"n\""), "model", "duplicate_key"},
        {LLM_CHAT, CHAT(",\"stream\":1"), "stream", "invalid_type"},
        {LLM_CHAT, CHAT(",\"metadata\":\"u\""), "metadata", "invalid_type"},
        {LLM_CHAT, CHAT(",\"metadata\":{\"user_id\":5}"), "metadata.user_id", "invalid_type"},
        {LLM_CHAT, CHAT(",\"metadata\":{\"user_id\":\"a\",\"user_id\":\"b\"}"), "metadata.user_id",
         "duplicate_key"},
        {LLM_COUNT_TOKENS, "{\"model\":\"m\",\"stream\":true," MESSAGES "}", "stream",
         "invalid_value"},
        {LLM_EMBEDDINGS, CHAT(""), "", "invalid_value"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_request r;
        struct llm_bad_request bad;
        set_up();
        check_note("%s", rows[i].body);
        CHECK(!anthropic_dialect.read_request(parser, &arena, rows[i].op, slice_str(rows[i].body),
                                              &r, &bad));
        CHECK_EQ_STR(bad.param, rows[i].param);
        CHECK_EQ_STR(bad.code, rows[i].code);
        CHECK(bad.message[0] != '\0' && !bad.no_memory);
        tear_down();
    }
}

static void read_it(const char *text, struct llm_chat *ret)
{
    struct llm_request r;
    struct llm_bad_request bad;
    CHECK(anthropic_dialect.read_request(parser, &arena, LLM_CHAT, slice_str(text), &r, &bad));
    bool ok = anthropic_dialect.read_chat(parser, &arena, &r, ret, &bad);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
}

TEST(the_full_reading)
{
    struct llm_chat c;
    set_up();
    read_it(
        "{\"model\":\"m\",\"max_tokens\":9,\"system\":\"be\",\"top_k\":4,\"messages\":["
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\","
        "\"signature\":\"weir.google.abc\"},{\"type\":\"redacted_thinking\",\"data\":\"own\"},"
        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{},\"toolset_name\":\"b\"},"
        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{},"
        "\"caller\":{\"type\":\"direct\"}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\","
        "\"content\":[{\"type\":\"text\",\"text\":\"r\"},{\"type\":\"tool_reference\"}],"
        "\"cache_control\":{\"type\":\"ephemeral\"}}]}],"
        "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048},\"service_tier\":\"standard_"
        "only\","
        "\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}",
        &c);
    const struct llm_message *m = c.messages;
    CHECK(m->role == ROLE_SYSTEM);
    CHECK_EQ_LIT(m->parts->text.inner, "be");
    const struct llm_part *p = m->next->parts;
    CHECK(p->kind == PART_REASONING && p->family == FAMILY_GOOGLE && !p->redacted);
    CHECK_EQ_LIT(p->signature, "abc");
    p = p->next;
    CHECK(p->kind == PART_REASONING && p->family == FAMILY_ANTHROPIC && p->redacted);
    p = p->next;
    CHECK(p->kind == PART_NATIVE && p->family == FAMILY_ANTHROPIC && p->native_json.n > 0);
    p = p->next;
    CHECK(p->kind == PART_TOOL_CALL && p->message_at == 0 && p->at == 3);
    CHECK_EQ_LIT(p->input_json, "{}");
    p = m->next->next->parts;
    CHECK(p->kind == PART_TOOL_RESULT && p->content->kind == PART_TEXT);
    CHECK(p->content->next->kind == PART_NATIVE);
    CHECK_EQ_LIT(p->cache_json, "{\"type\":\"ephemeral\"}");
    CHECK_EQ_I64(c.budget, 2048);
    CHECK_EQ_LIT(c.service_tier, "default");
    CHECK(c.choice == CHOICE_REQUIRED && c.parallel == 0);
    CHECK_EQ_LIT(c.top_k, "4");
    CHECK(c.unknown == NULL);
    tear_down();
}

/* With every ceiling of the arena up to what it takes, the reading says that memory is short. */
TEST(an_arena_without_room)
{
    static const char text[] =
        "{\"model\":\"a\\u0062\",\"max_tokens\":9,\"system\":\"s\",\"new\":1,\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
        "\"tools\":[{\"name\":\"f\"}],\"stop_sequences\":[\"a\\n\"]}";
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_chat c;
    struct arena none;
    set_up();
    arena_init(&none, NULL, 0);
    CHECK(!anthropic_dialect.read_request(parser, &none, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK(bad.no_memory);
    CHECK(anthropic_dialect.read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK(!anthropic_dialect.read_chat(parser, &none, &r, &c, &bad));
    CHECK(bad.no_memory);
    tear_down();
}
