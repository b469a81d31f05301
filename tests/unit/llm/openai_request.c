/* Reading requests: what is accepted, what is refused and how. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "llm/openai.h"

#define CHAT(members)                                                                              \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" members "}"

TEST(a_whole_request)
{
    static const char text[] =
        " { \"model\" : \"gpt-4o\" , \"stream\":true, \"stream_options\" : {\"include_usage\":true,"
        "\"include_obfuscation\":false}, \"max_completion_tokens\": 77,\"n\":2 ,\"user\":\"anna\","
        "\"seed\":12345678901234567890123,\"temperature\":0.5,"
        "\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\",\"text\":\"twice\"}]}] "
        "} ";
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    bool ok = openai_read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
    CHECK_EQ_LIT(r.model, "gpt-4o");
    CHECK_EQ_LIT(r.user, "anna");
    CHECK(r.stream && r.wants_usage);
    CHECK_EQ_I64(r.max_tokens, 77);
    CHECK_EQ_I64(r.n, 2);
    CHECK(r.body.p == text);
    const struct llm_span *s = &r.members[LLM_MEMBER_STREAM_OPTIONS];
    CHECK_EQ_LIT(slice_of(text + s->key, s->key_end - s->key), "\"stream_options\"");
    CHECK_EQ_LIT(slice_of(text + s->value, s->value_end - s->value),
                 "{\"include_usage\":true,\"include_obfuscation\":false}");
    s = &r.include_usage;
    CHECK_EQ_LIT(slice_of(text + s->value, s->value_end - s->value), "true");
    CHECK_EQ_U64(r.developers_n, 1);
    CHECK_EQ_LIT(slice_of(text + r.developers[0].from, r.developers[0].end - r.developers[0].from),
                 "\"developer\"");
    CHECK_EQ_U64(r.members[LLM_MEMBER_PROMPT].value_end, 0);
    tear_down();
}

TEST(absent_members_have_their_defaults)
{
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, SLICE(CHAT("")), &r, &bad));
    CHECK(!r.stream && !r.wants_usage && r.user.p == NULL && r.developers_n == 0);
    CHECK_EQ_I64(r.max_tokens, -1);
    CHECK_EQ_I64(r.n, 1);
    tear_down();
}

/* Accepted requests. */
static const struct {
    enum llm_op op;
    const char *body;
} good[] = {
    {LLM_CHAT, CHAT(",\"stream\":null,\"stream_options\":null,\"n\":null,\"max_tokens\":null,"
                    "\"max_completion_tokens\":null,\"user\":null")},
    {LLM_CHAT, CHAT(",\"stream\":true,\"stream_options\":null")},
    {LLM_CHAT, CHAT(",\"stream\":true,\"stream_options\":{}")},
    {LLM_CHAT, CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":null}")},
    {LLM_CHAT, CHAT(",\"stream\":false,\"stream_options\":null")},
    {LLM_CHAT, CHAT(",\"n\":128,\"max_tokens\":1")},
    {LLM_CHAT, CHAT(",\"max_tokens\":9223372036854775807")},
    {LLM_CHAT, CHAT(",\"max_tokens\":99999999999999999999999")},
    {LLM_CHAT, CHAT(",\"seed\":-5,\"unknown\":{\"a\":1,\"a\":2},\"\":0,\"\\u0000\":1")},
    {LLM_CHAT, CHAT(",\"tools\":[{\"a\":1,\"a\":2}]")},
    {LLM_CHAT, CHAT(",\"\\u0061aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1")},
    {LLM_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":null,\"x\":[{}]}]}"},
    {LLM_CHAT, "{\"model\":\"\xC3\xBC/\xF0\x9F\x9A\x80 x\",\"messages\":[{\"role\":\"\"}]}"},
    {LLM_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"\"}"},
    {LLM_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[[1,2],[3]],\"max_tokens\":0,\"echo\":true}"},
    {LLM_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"messages\":5}"},
    {LLM_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"a\",\"stream\":false}"},
    {LLM_EMBEDDINGS, "{\"model\":\"m\",\"input\":[1,2,3],\"encoding_format\":\"base64\"}"},
};

TEST(accepted)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct llm_request r;
        struct llm_bad_request bad;
        check_note("row %zu", i);
        bool ok =
            openai_read_request(parser, &arena, good[i].op, slice_str(good[i].body), &r, &bad);
        CHECK_EQ_STR(bad.message, "");
        CHECK(ok);
    }
    tear_down();
}

#define MESSAGE(m) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}," m "]}"

/* Refused requests, and how. */
static const struct {
    enum llm_op op;
    const char *body, *param, *code, *message;
} wrong[] = {
    {LLM_CHAT, "", "", "invalid_json", "invalid JSON at byte 0: empty text"},
    {LLM_CHAT, "{\"model\":\"m\",}", "", "invalid_json", "invalid JSON at byte 13: invalid syntax"},
    {LLM_CHAT, CHAT("") "{}", "", "invalid_json", NULL},
    {LLM_CHAT, "{\"model\":\"\\ud800\"}", "", "invalid_json", NULL},
    {LLM_CHAT, "{\"model\":\"\xff\"}", "", "invalid_json", NULL},
    {LLM_CHAT, "[]", "", "invalid_type", "The request body must be a JSON object."},
    {LLM_CHAT, "\"model\"", "", "invalid_type", NULL},
    {LLM_CHAT, "{}", "model", "missing_required_parameter", "you must provide a model parameter"},
    {LLM_CHAT, "{\"model\":null}", "model", "missing_required_parameter", NULL},
    {LLM_CHAT, "{\"model\":\"\"}", "model", "missing_required_parameter", NULL},
    {LLM_CHAT, "{\"model\":5}", "model", "invalid_type",
     "Invalid type for 'model': expected a string, but got a number instead."},
    {LLM_CHAT, "{\"model\":[\"m\"]}", "model", "invalid_type",
     "Invalid type for 'model': expected a string, but got an array instead."},
    {LLM_CHAT, "{\"model\":\"a\\r\\nb\"}", "model", "invalid_value", NULL},
    {LLM_CHAT, "{\"model\":\"a\\u0000\"}", "model", "invalid_value", NULL},
    {LLM_CHAT, "{\"model\":\"a\x7f\"}", "model", "invalid_value", NULL},
    {LLM_CHAT, "{\"model\":\"m\",\"model\":\"m\"}", "model", "duplicate_key",
     "Duplicate key: 'model' is given twice."},
    {LLM_CHAT, "{\"model\":\"m\",\"mod\\u0065l\":\"n\"}", "model", "duplicate_key", NULL},
    {LLM_CHAT, CHAT(",\"x\":1,\"y\":2,\"x\":3"), "x", "duplicate_key", NULL},
    {LLM_CHAT, CHAT(",\"x\":1,\"\\u0078\":3"), "x", "duplicate_key", NULL},
    {LLM_CHAT, CHAT(",\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"c\":1"),
     "c", "duplicate_key", NULL},
    {LLM_CHAT, CHAT(",\"stream\":\"yes\""), "stream", "invalid_type",
     "Invalid type for 'stream': expected a boolean, but got a string instead."},
    {LLM_CHAT, CHAT(",\"stream\":1"), "stream", "invalid_type", NULL},
    {LLM_CHAT, CHAT(",\"stream_options\":{}"), "stream_options", "invalid_value",
     "The 'stream_options' parameter is only allowed when 'stream' is enabled."},
    {LLM_CHAT, CHAT(",\"stream\":false,\"stream_options\":{\"include_usage\":true}"),
     "stream_options", "invalid_value", NULL},
    {LLM_CHAT, CHAT(",\"stream\":true,\"stream_options\":[]"), "stream_options", "invalid_type",
     NULL},
    {LLM_CHAT, CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":\"yes\"}"),
     "stream_options.include_usage", "invalid_type", NULL},
    {LLM_CHAT,
     CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"include_usage\":true}"),
     "stream_options.include_usage", "duplicate_key", NULL},
    {LLM_CHAT, CHAT(",\"n\":0"), "n", "integer_below_min_value",
     "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead."},
    {LLM_CHAT, CHAT(",\"n\":-99999999999999999999"), "n", "integer_below_min_value", NULL},
    {LLM_CHAT, CHAT(",\"n\":129"), "n", "integer_above_max_value",
     "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 129 instead."},
    {LLM_CHAT, CHAT(",\"n\":\"1\""), "n", "invalid_type", NULL},
    {LLM_CHAT, CHAT(",\"n\":1.0"), "n", "invalid_type", NULL},
    {LLM_CHAT, CHAT(",\"max_tokens\":0"), "max_tokens", "integer_below_min_value", NULL},
    {LLM_CHAT, CHAT(",\"max_tokens\":-1"), "max_tokens", "integer_below_min_value", NULL},
    {LLM_CHAT, CHAT(",\"max_tokens\":1e3"), "max_tokens", "invalid_type",
     "Invalid type for 'max_tokens': expected an integer, but got a decimal number instead."},
    {LLM_CHAT, CHAT(",\"max_tokens\":true"), "max_tokens", "invalid_type", NULL},
    {LLM_CHAT, CHAT(",\"max_completion_tokens\":0"), "max_completion_tokens",
     "integer_below_min_value", NULL},
    {LLM_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"x\",\"max_tokens\":-1}", "max_tokens",
     "integer_below_min_value", NULL},
    {LLM_CHAT, CHAT(",\"user\":7"), "user", "invalid_type", NULL},
    {LLM_CHAT, "{\"model\":\"m\"}", "messages", "missing_required_parameter",
     "Missing required parameter: 'messages'."},
    {LLM_CHAT, "{\"model\":\"m\",\"messages\":null}", "messages", "missing_required_parameter",
     NULL},
    {LLM_CHAT, "{\"model\":\"m\",\"messages\":\"hello\"}", "messages", "invalid_type",
     "Invalid type for 'messages': expected an array of objects, but got a string instead."},
    {LLM_CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages", "empty_array", NULL},
    {LLM_CHAT, MESSAGE("\"hello\""), "messages[1]", "invalid_type", NULL},
    {LLM_CHAT, MESSAGE("{\"content\":\"x\"}"), "messages[1].role", "missing_required_parameter",
     "Missing required parameter: 'messages[1].role'."},
    {LLM_CHAT, MESSAGE("{\"role\":null}"), "messages[1].role", "invalid_type", NULL},
    {LLM_CHAT, MESSAGE("{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}"),
     "messages[1].content", "duplicate_key",
     "Duplicate key: 'messages[1].content' is given twice."},
    {LLM_CHAT, MESSAGE("{\"role\":\"user\",\"r\\u006fle\":\"system\"}"), "messages[1].role",
     "duplicate_key", NULL},
    {LLM_COMPLETIONS, "{\"model\":\"m\"}", "prompt", "missing_required_parameter", NULL},
    {LLM_COMPLETIONS, "{\"model\":\"m\",\"prompt\":{}}", "prompt", "invalid_type", NULL},
    {LLM_EMBEDDINGS, "{\"model\":\"m\"}", "input", "missing_required_parameter", NULL},
    {LLM_EMBEDDINGS, "{\"model\":\"m\",\"input\":5}", "input", "invalid_type", NULL},
    {LLM_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}", "stream", "invalid_value",
     NULL},
};

TEST(refused)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct llm_request r;
        struct llm_bad_request bad;
        check_note("row %zu: %s", i, wrong[i].body);
        CHECK(
            !openai_read_request(parser, &arena, wrong[i].op, slice_str(wrong[i].body), &r, &bad));
        CHECK_EQ_STR(bad.param, wrong[i].param);
        CHECK_EQ_STR(bad.code, wrong[i].code);
        CHECK(!bad.no_memory);
        CHECK(bad.message[0] != '\0');
        if (wrong[i].message != NULL)
            CHECK_EQ_STR(bad.message, wrong[i].message);
    }
    tear_down();
}

TEST(the_model_has_at_most_256_bytes)
{
    char text[600];
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    for (int n = 255; n <= 257; n++) {
        int len = snprintf(text, sizeof text, "{\"model\":\"%0*d\",\"prompt\":\"\"}", n, 7);
        bool ok = openai_read_request(parser, &arena, LLM_COMPLETIONS, slice_of(text, (size_t)len),
                                      &r, &bad);
        CHECK_EQ_I64(ok, n <= 256);
        if (!ok)
            CHECK_EQ_STR(bad.code, "string_above_max_length");
    }
    tear_down();
}

/* Long keys and paths are cut, not overrun. */
TEST(long_duplicate_keys_are_cut)
{
    char text[2000];
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    int n = snprintf(text, sizeof text, "{\"model\":\"m\",\"%0*d\":1,\"%0*d\":2}", 500, 1, 500, 1);
    CHECK(!openai_read_request(parser, &arena, LLM_CHAT, slice_of(text, (size_t)n), &r, &bad));
    CHECK_EQ_STR(bad.code, "duplicate_key");
    CHECK_EQ_U64(strlen(bad.param), sizeof bad.param - 1);
    tear_down();
}

TEST(escaped_keys_and_values_count_as_what_they_say)
{
    static const char text[] =
        "{\"\\u006dodel\":\"gpt-4\\u006f\",\"m\\u0065ssages\":[{\"rol\\u0065\":\"devel\\u006fper\"}"
        "],"
        "\"max\\u005ftokens\":5,\"\\u0073tream\":true,\"stream_opt\\u0069ons\":"
        "{\"\\u0069\\u006e\\u0063\\u006c\\u0075\\u0064\\u0065\\u005f\\u0075\\u0073\\u0061\\u0067"
        "\\u0065\":true}}";
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK_EQ_LIT(r.model, "gpt-4o");
    CHECK_EQ_I64(r.max_tokens, 5);
    CHECK(r.stream && r.wants_usage);
    CHECK_EQ_U64(r.developers_n, 1);
    tear_down();
}

/* 100,000 members, messages and developers: all found, in time linear in the body. */
TEST(large_requests)
{
    struct buf b;
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    buf_init(&b, 1 << 24);
    buf_printf(&b, "{\"model\":\"m\"");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, ",\"k%d\":0", i);
    buf_printf(&b, ",\"messages\":[{\"role\":\"user\"}");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, ",{\"role\":\"developer\"}");
    buf_printf(&b, "]}");
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, buf_view(&b), &r, &bad));
    CHECK_EQ_U64(r.developers_n, 100000);
    for (size_t i = 1; i < r.developers_n; i++)
        CHECK(r.developers[i].from > r.developers[i - 1].end);
    buf_done(&b);
    tear_down();
}

static void read_under_torture(void *arg)
{
    struct json_parser *p = json_parser_new();
    struct arena a;
    struct llm_request r;
    struct llm_bad_request bad;
    arena_init(&a, NULL, 1 << 20);
    if (p != NULL && !openai_read_request(p, &a, LLM_CHAT, *(struct slice *)arg, &r, &bad))
        CHECK(bad.no_memory);
    arena_reset(&a);
    json_parser_free(p);
}

TEST(memory_may_run_out)
{
    struct slice text = SLICE("{\"model\":\"\\u006d\",\"user\":\"\\u006d\",\"messages\":["
                              "{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":"
                              "\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"}]}");
    check_torture(read_under_torture, &text);
}

TEST(operations_have_names_and_paths)
{
    CHECK_EQ_LIT(llm_op_path(LLM_CHAT), "/chat/completions");
    CHECK_EQ_LIT(llm_op_path(LLM_COMPLETIONS), "/completions");
    CHECK_EQ_LIT(llm_op_path(LLM_EMBEDDINGS), "/embeddings");
    CHECK_EQ_STR(llm_op_name(LLM_CHAT), "chat");
    CHECK_EQ_STR(llm_op_name(LLM_COMPLETIONS), "completions");
    CHECK_EQ_STR(llm_op_name(LLM_EMBEDDINGS), "embeddings");
}

/* Encoded files are no text, whatever they stand in; long words are. */
TEST(bulk)
{
    static const struct {
        const char *before, *each, *behind;
        bool bulk;
    } rows[] = {
        {"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,",
         "iVBORw0KGgo=", "\"}}", true},
        {"{\"type\":\"file\",\"data\":\"", "JVBERi0xLjQK", "\"}", true},
        {"{\"type\":\"text\",\"text\":\"", "twelve words", "\"}", false},
        {"{\"type\":\"text\",\"text\":\"", "\xE6\xBC\xA2\xE5\xAD\x97\xE6\xBC\xA2\xE5\xAD\x97",
         "\"}", false},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_request r;
        struct llm_bad_request bad;
        struct buf b;
        check_note("row %zu", i);
        buf_init(&b, 1 << 20);
        buf_lit(&b, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[");
        buf_slice(&b, slice_str(rows[i].before));
        for (unsigned k = 0; k < 1000; k++)
            buf_slice(&b, slice_str(rows[i].each));
        buf_slice(&b, slice_str(rows[i].behind));
        buf_lit(&b, "]}]}");
        CHECK(openai_read_request(parser, &arena, LLM_CHAT, buf_view(&b), &r, &bad));
        CHECK_EQ_I64((int64_t)r.bulk_bytes / 12000, rows[i].bulk);
        buf_done(&b);
    }
    tear_down();
}
