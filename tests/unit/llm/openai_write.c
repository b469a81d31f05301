/* What Weir writes in OpenAI's dialect. */
#include "check.h"
#include "llm/openai.h"
#include "llm/sse.h"

TEST(errors)
{
    struct buf out;
    struct llm_error e = {.message = SLICE("a \"b\"\n"), .type = SLICE("t"), .code = SLICE("c")};
    buf_init(&out, 1000);
    openai_put_error(&out, &e);
    CHECK_EQ_LIT(buf_view(&out),
                 "{\"error\":{\"message\":\"a \\\"b\\\"\\n\",\"type\":\"t\",\"param\":"
                 "null,\"code\":\"c\"}}");
    buf_done(&out);
}

/* What Anthropic's clients look for beside OpenAI's members. */
#define ANTHROPIC(name, stamp)                                                                     \
    "\"type\":\"model\",\"display_name\":\"" name "\",\"created_at\":\"" stamp "\""

TEST(models)
{
    struct buf out;
    struct llm_model_row rows[] = {{SLICE("chat"), SLICE("weir")}, {SLICE("a/\"b\""), SLICE("p")}};
    buf_init(&out, 1000);
    openai_put_models(&out, rows, 2, 1790000000);
    CHECK_EQ_LIT(
        buf_view(&out),
        "{\"object\":\"list\",\"data\":[{\"id\":\"chat\",\"object\":\"model\",\"created\":"
        "1790000000,\"owned_by\":\"weir\"," ANTHROPIC(
            "chat",
            "2026-09-21T14:13:20.000Z") "},{\"id\":\"a/"
                                        "\\\"b\\\"\",\"object\":\"model\",\"created\":1790000000,"
                                        "\"owned_by\":\"p\"," ANTHROPIC(
                                            "a/\\\"b\\\"",
                                            "2026-09-21T14:13:20.000Z") "}],\"has_more\":false,"
                                                                        "\"first_id\":\"chat\","
                                                                        "\"last_id\":\"a/"
                                                                        "\\\"b\\\"\"}");
    buf_reset(&out);
    openai_put_models(&out, rows, 0, 1);
    CHECK_EQ_LIT(buf_view(&out), "{\"object\":\"list\",\"data\":[],\"has_more\":false,"
                                 "\"first_id\":null,\"last_id\":null}");
    buf_reset(&out);
    openai_put_model(&out, rows, 7);
    CHECK_EQ_LIT(buf_view(&out), "{\"id\":\"chat\",\"object\":\"model\",\"created\":7,\"owned_by\":"
                                 "\"weir\"," ANTHROPIC("chat", "1970-01-01T00:00:07.000Z") "}");
    buf_done(&out);
}

/* An event's text, scanned and written without its usage. */
static void strip(struct json_parser *p, struct slice text, struct buf *out)
{
    struct llm_provider provider = {.quirks = 0};
    struct llm_scan s;
    struct sse_event ev;
    struct arena a;
    struct buf scratch;
    size_t scanned = 0;
    arena_init(&a, NULL, 1 << 20);
    buf_init(&scratch, 1 << 16);
    CHECK(sse_next(&text, &scanned, &scratch, &ev));
    CHECK(openai_scan_event(p, &a, &provider, ev.data, &s));
    CHECK(s.usage_member.value_end > 0);
    buf_reset(out);
    openai_put_event_without_usage(out, ev.raw, ev.data, &s.usage_member);
    buf_done(&scratch);
    arena_reset(&a);
}

static const struct {
    const char *raw, *want;
} rows[] = {
    {"data: {\"usage\":null}\n\n", "data: {}\n\n"},
    {"data: { \"usage\" : null } \n\n", "data: {  } \n\n"},
    {"data: {\"usage\":null,\"b\":1}\n\n", "data: {\"b\":1}\n\n"},
    {"data: { \"usage\":null , \"b\":1}\n\n", "data: { \"b\":1}\n\n"},
    {"data: {\"a\":1,\"usage\":null,\"b\":2}\n\n", "data: {\"a\":1,\"b\":2}\n\n"},
    {"data: {\"a\":1 , \"usage\" : null , \"b\":2}\n\n", "data: {\"a\":1  , \"b\":2}\n\n"},
    {"data: {\"a\":1,\"usage\":null}\n\n", "data: {\"a\":1}\n\n"},
    {"data: {\"a\":1,\"usage\":{\"prompt_tokens\":1,\"x\":[{},\"}\"]}}\n\n", "data: {\"a\":1}\n\n"},
    {"data: {\"a\":\"\\\",\",\"us\\u0061ge\":null}\n\n", "data: {\"a\":\"\\\",\"}\n\n"},
    {": c\r\nevent: e\r\ndata:{\"usage\":null,\"b\":1}\r\nid: 1\r\n\r\n",
     ": c\r\nevent: e\r\ndata:{\"b\":1}\r\nid: 1\r\n\r\n"},
    {"data: {\"a\":1,\ndata: \"usage\":null,\ndata: \"b\":2}\n\n",
     "data: {\"a\":1,\ndata: \"b\":2}\n\n"},
    {"data: {\"usage\":\ndata: null}\n\n", "data: {}\n\n"},
};

TEST(events_without_usage)
{
    struct json_parser *p = json_parser_new();
    struct buf out;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu: %s", i, rows[i].raw);
        strip(p, slice_str(rows[i].raw), &out);
        CHECK_EQ_SLICE(buf_view(&out), slice_str(rows[i].want));
    }
    buf_done(&out);
    json_parser_free(p);
}

static void put_space(struct buf *b, bool lines)
{
    static const char *const spaces[] = {"", "", " ", "\t ", "\ndata: "};
    buf_slice(b, slice_str(spaces[check_random_below(lines ? 5 : 4)]));
}

/* Wherever the member stands, the rest is the same members with the same text. */
TEST(random_events_without_usage_keep_the_rest)
{
    static const char *const values[] = {"null", "\"a, \\\"usage\\\":1\"", "{\"usage\":1}", "[ , ]",
                                         "1e5"};
    struct json_parser *p = json_parser_new(), *q = json_parser_new();
    struct buf raw, out, scratch;
    buf_init(&raw, 1 << 16);
    buf_init(&out, 1 << 16);
    buf_init(&scratch, 1 << 16);
    for (int round = 0; round < 20000; round++) {
        unsigned n = (unsigned)check_random_below(5), at = (unsigned)check_random_below(n + 1);
        unsigned picked[5];
        bool lines = check_random_below(2);
        struct json_doc d;
        struct sse_event ev;
        size_t scanned = 0;
        buf_reset(&raw);
        buf_printf(&raw, "data: {");
        for (unsigned i = 0; i <= n; i++) {
            picked[i] = (unsigned)check_random_below(3);
            put_space(&raw, lines);
            if (i == at)
                buf_printf(&raw, "\"usage\"");
            else
                buf_printf(&raw, "\"k%u\"", i);
            put_space(&raw, lines);
            buf_char(&raw, ':');
            put_space(&raw, lines);
            buf_slice(&raw, slice_str(values[picked[i]]));
            put_space(&raw, lines);
            if (i < n)
                buf_char(&raw, ',');
        }
        buf_printf(&raw, "}\n\n");
        check_note("round %d: %.*s", round, SLICE_ARG(buf_view(&raw)));
        strip(p, buf_view(&raw), &out);
        struct slice in = buf_view(&out);
        CHECK(sse_next(&in, &scanned, &scratch, &ev));
        CHECK_EQ_U64(in.n, 0);
        CHECK(json_parse(q, ev.data, 0, &d) == JSON_OK);
        unsigned i = 0;
        for (uint32_t k = json_first(&d, 0); k < json_end(&d, 0); k = json_after(&d, k + 1), i++) {
            i += i == at;
            CHECK_EQ_U64((unsigned char)json_inner(&d, k).p[1], '0' + i);
            CHECK_EQ_SLICE(json_raw(&d, k + 1), slice_str(values[picked[i]]));
        }
        CHECK_EQ_U64(i + (i == at), n + 1);
    }
    buf_done(&raw);
    buf_done(&out);
    buf_done(&scratch);
    json_parser_free(p);
    json_parser_free(q);
}
