/* Requests in the Responses dialect: the light reading, and what the full one makes of them. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "llm/dialect.h"

static struct llm_request request;
static struct llm_chat chat;
static struct llm_bad_request bad;

static bool light(const char *body)
{
    return responses_dialect.read_request(parser, &arena, LLM_CHAT, slice_str(body), &request,
                                          &bad);
}

/* Both readings. */
static bool full(const char *body)
{
    return light(body) && responses_dialect.read_chat(parser, &arena, &request, &chat, &bad);
}

static const struct llm_part *part(unsigned message, unsigned at)
{
    const struct llm_message *m = chat.messages;
    while (m != NULL && message-- > 0)
        m = m->next;
    CHECK(m != NULL);
    const struct llm_part *p = m->parts;
    while (p != NULL && at-- > 0)
        p = p->next;
    CHECK(p != NULL);
    return p;
}

static unsigned messages(void)
{
    unsigned n = 0;
    for (const struct llm_message *m = chat.messages; m != NULL; m = m->next)
        n++;
    return n;
}

TEST(light_finds_what_the_gateway_needs)
{
    set_up();
    CHECK(light("{\"model\":\"m\",\"input\":\"x\",\"stream\":true,\"max_output_tokens\":99,"
                "\"user\":\"old\",\"safety_identifier\":\"new\"}"));
    CHECK_EQ_LIT(request.model, "m");
    CHECK_EQ_LIT(request.user, "new");
    CHECK(request.stream && request.wants_usage && request.pinned == NULL);
    CHECK_EQ_I64(request.max_tokens, 99);
    CHECK(request.members[LLM_MEMBER_MODEL].value_end > 0);
    tear_down();
}

TEST(light_refuses)
{
    static const struct {
        const char *body, *param, *code;
    } rows[] = {
        {"{\"input\":\"x\"}", "model", "missing_required_parameter"},
        {"{\"model\":\"m\"}", "input", "missing_required_parameter"},
        {"{\"model\":\"m\",\"input\":7}", "input", "invalid_type"},
        {"{\"model\":\"m\",\"input\":[\"x\"]}", "input[0]", "invalid_type"},
        {"{\"model\":\"m\",\"input\":[{\"type\":1}]}", "input[0].type", "invalid_type"},
        {"{\"model\":\"m\",\"input\":\"x\",\"mod\\u0065l\":\"n\"}", "model", "duplicate_key"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"a\",\"typ\\u0065\":\"b\"}]}", "input[0].type",
         "duplicate_key"},
        {"{\"model\":\"m\",\"input\":\"x\",\"max_output_tokens\":0}", "max_output_tokens",
         "integer_below_min_value"},
        {"{\"model\":\"m\",\"input\":\"x\",\"background\":\"yes\"}", "background", "invalid_type"},
        {"{\"model\":\"m\",\"input\":\"x\"", "", "invalid_json"},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].body);
        CHECK(!light(rows[i].body));
        CHECK_EQ_STR(bad.param, rows[i].param);
        CHECK_EQ_STR(bad.code, rows[i].code);
    }
    tear_down();
}

TEST(what_only_one_provider_can_serve_is_pinned_and_not_translated)
{
    static const struct {
        const char *body, *name;
    } rows[] = {
        {"{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"resp_1\"}",
         "previous_response_id"},
        {"{\"model\":\"m\",\"conversation\":{\"id\":\"conv_1\"}}", "conversation"},
        {"{\"model\":\"m\",\"prompt\":{\"id\":\"pmpt_1\"}}", "prompt"},
        {"{\"model\":\"m\",\"input\":\"x\",\"background\":true}", "background"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}",
         "input.item_reference"},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].body);
        CHECK(light(rows[i].body));
        CHECK_EQ_STR(request.pinned, rows[i].name);
        CHECK(!responses_dialect.read_chat(parser, &arena, &request, &chat, &bad));
        CHECK_EQ_STR(bad.param, rows[i].name);
    }
    CHECK(full("{\"model\":\"m\",\"input\":\"x\",\"background\":false,\"prompt\":null}"));
    tear_down();
}

TEST(items_of_one_turn_are_one_message)
{
    set_up();
    CHECK(full("{\"model\":\"m\",\"instructions\":\"i\",\"input\":["
               "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
               "{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"s\"},"
               "{\"type\":\"summary_text\",\"text\":\"t\"}],\"encrypted_content\":\"e\"},"
               "{\"role\":\"assistant\",\"content\":\"c\"},"
               "{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},"
               "{\"type\":\"custom_tool_call\",\"call_id\":\"2\",\"name\":\"g\",\"input\":\"x\"},"
               "{\"type\":\"function_call_output\",\"call_id\":\"1\",\"output\":\"o\"},"
               "{\"type\":\"custom_tool_call_output\",\"call_id\":\"2\",\"output\":\"p\"},"
               "{\"role\":\"user\",\"content\":\"d\"}]}"));
    CHECK_EQ_U64(messages(), 6);
    CHECK(chat.messages->role == ROLE_SYSTEM);
    CHECK(part(3, 0)->kind == PART_REASONING && part(3, 0)->family == FAMILY_OPENAI);
    CHECK_EQ_LIT(part(3, 0)->text.inner, "s\\n\\nt");
    CHECK_EQ_LIT(part(3, 0)->signature, "e");
    CHECK_EQ_LIT(part(3, 1)->text.inner, "c");
    CHECK(part(3, 2)->kind == PART_TOOL_CALL && !part(3, 2)->custom);
    CHECK(part(3, 3)->kind == PART_TOOL_CALL && part(3, 3)->custom);
    CHECK_EQ_LIT(part(3, 3)->text.inner, "x");
    CHECK(part(4, 0)->kind == PART_TOOL_RESULT && part(4, 1)->custom);
    CHECK_EQ_LIT(part(4, 1)->content->text.inner, "p");
    CHECK_EQ_U64(part(4, 1)->message_at, 7);
    tear_down();
}

TEST(signatures_of_others_come_back)
{
    set_up();
    CHECK(full("{\"model\":\"m\",\"input\":["
               "{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"s\"}],"
               "\"encrypted_content\":\"weir.anthropic.sig\"},"
               "{\"type\":\"reasoning\",\"summary\":[],"
               "\"encrypted_content\":\"weir.anthropic.redacted:data\"},"
               "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]},"
               "{\"role\":\"user\",\"content\":\"x\"}]}"));
    CHECK(part(0, 0)->family == FAMILY_ANTHROPIC && !part(0, 0)->redacted);
    CHECK_EQ_LIT(part(0, 0)->signature, "sig");
    CHECK(part(0, 1)->family == FAMILY_ANTHROPIC && part(0, 1)->redacted);
    CHECK_EQ_LIT(part(0, 1)->signature, "data");
    CHECK(part(0, 1)->next == NULL);
    CHECK_EQ_LIT(chat.unknown->word, "input.reasoning");
    tear_down();
}

TEST(tools_in_namespaces_get_both_names)
{
    set_up();
    CHECK(full("{\"model\":\"m\",\"input\":[{\"type\":\"function_call\",\"call_id\":\"1\","
               "\"namespace\":\"ns\",\"name\":\"f\",\"arguments\":\"{}\"}],\"tools\":["
               "{\"type\":\"namespace\",\"name\":\"ns\",\"tools\":["
               "{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"custom\",\"name\":\"g\"}]},"
               "{\"type\":\"namespace\",\"name\":\"mcp__\",\"tools\":["
               "{\"type\":\"function\",\"name\":\"h\"}]},{\"type\":\"web_search\"}]}"));
    const struct llm_tool *t = chat.tools;
    CHECK_EQ_LIT(part(0, 0)->name, "ns__f");
    CHECK_EQ_LIT(t->name, "ns__f");
    CHECK_EQ_LIT(t->next->name, "ns__g");
    CHECK(t->next->kind == TOOL_CUSTOM);
    CHECK_EQ_LIT(t->next->next->name, "mcp__h");
    CHECK(t->next->next->next->kind == TOOL_HOSTED);
    CHECK_EQ_LIT(t->next->next->next->native_json, "{\"type\":\"web_search\"}");
    tear_down();
}

TEST(sources)
{
    set_up();
    CHECK(full("{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":["
               "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AAAA\"},"
               "{\"type\":\"input_image\",\"image_url\":\"https://e.x/a.png\",\"detail\":\"high\"},"
               "{\"type\":\"input_image\",\"file_id\":\"file-1\"},"
               "{\"type\":\"input_file\",\"file_data\":\"AAAA\",\"filename\":\"A.PDF\"},"
               "{\"type\":\"input_file\",\"file_data\":\"AAAA\",\"filename\":\"a.txt\"},"
               "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\",\"format\":\"wav\"}}"
               "]}]}"));
    CHECK_EQ_LIT(part(0, 0)->source.media_type, "image/png");
    CHECK_EQ_LIT(part(0, 0)->source.data, "AAAA");
    CHECK_EQ_LIT(part(0, 1)->source.url, "https://e.x/a.png");
    CHECK_EQ_LIT(part(0, 1)->source.detail, "high");
    CHECK_EQ_LIT(part(0, 2)->source.file_id, "file-1");
    CHECK_EQ_LIT(part(0, 3)->source.media_type, "application/pdf");
    CHECK_EQ_U64(part(0, 4)->source.media_type.n, 0);
    CHECK_EQ_LIT(part(0, 5)->source.media_type, "audio/wav");
    tear_down();
}

TEST(full_refuses)
{
    static const struct {
        const char *rest, *param;
    } rows[] = {
        {"\"input\":[{\"role\":\"robot\",\"content\":\"x\"}]", "input[0].role"},
        {"\"input\":[{\"role\":\"user\"}]", "input[0].content"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]}]",
         "input[0].content[0].text"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]",
         "input[0].content[0].image_url"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\","
         "\"image_url\":\"data:image/png;base64,\\\"\"}]}]",
         "input[0].content[0].image_url"},
        {"\"input\":[{\"type\":\"function_call\",\"call_id\":\"1\",\"arguments\":\"\"}]",
         "input[0].name"},
        {"\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"1\"}]", "input[0].output"},
        {"\"input\":\"x\",\"tools\":[{\"type\":\"function\"}]", "tools[0].name"},
        {"\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":[]}]",
         "tools[0].parameters"},
        {"\"input\":\"x\",\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":["
         "{\"type\":\"web_search\"}]}]",
         "tools[0].tools"},
        {"\"input\":\"x\",\"tool_choice\":\"maybe\"", "tool_choice"},
        {"\"input\":\"x\",\"tool_choice\":{\"type\":\"function\"}", "tool_choice"},
        {"\"input\":\"x\",\"text\":{\"format\":{\"type\":\"xml\"}}", "text.format.type"},
        {"\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"a\"}}",
         "text.format.schema"},
        {"\"input\":\"x\",\"metadata\":{\"a\":1}", "metadata"},
        {"\"input\":\"x\",\"temperature\":\"hot\"", "temperature"},
    };
    char body[512];
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\",%s}", rows[i].rest);
        check_note("%s", body);
        CHECK(light(body));
        CHECK(!responses_dialect.read_chat(parser, &arena, &request, &chat, &bad));
        CHECK_EQ_STR(bad.param, rows[i].param);
        CHECK(bad.code != NULL && !bad.no_memory);
    }
    tear_down();
}

TEST(choices_formats_and_hints)
{
    set_up();
    CHECK(
        full("{\"model\":\"m\",\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],"
             "\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":["
             "{\"type\":\"function\",\"name\":\"f\"}]},"
             "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{},"
             "\"strict\":true},\"verbosity\":\"low\"},"
             "\"reasoning\":{\"effort\":\"xhigh\",\"summary\":\"auto\"},"
             "\"include\":[\"message.output_text.logprobs\"],\"top_logprobs\":0,"
             "\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"prompt_cache_key\":\"k\","
             "\"store\":true,\"parallel_tool_calls\":false,\"max_tool_calls\":3}"));
    CHECK(chat.choice == CHOICE_AUTO);
    CHECK_EQ_LIT(chat.choice_allowed->word, "f");
    CHECK(chat.format == FORMAT_JSON_SCHEMA && chat.format_strict == 1);
    CHECK_EQ_LIT(chat.effort, "xhigh");
    CHECK_EQ_LIT(chat.show, "auto");
    CHECK_EQ_LIT(chat.verbosity, "low");
    CHECK(chat.logprobs && chat.top_logprobs == 0);
    CHECK_EQ_LIT(chat.metadata_json, "{\"a\":\"b\"}");
    CHECK_EQ_LIT(chat.cache_key, "k");
    CHECK(chat.store == 1 && chat.parallel == 0);
    CHECK_EQ_LIT(chat.unknown->word, "max_tool_calls");
    CHECK(chat.unknown->next == NULL);
    tear_down();
}
