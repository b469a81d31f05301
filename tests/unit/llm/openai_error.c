/* Errors of providers, in the shapes they are known to have. */
#include "check.h"
#include "fixture.h"
#include "llm/openai.h"

static const struct {
    const char *body, *message, *type, *param, *code; /* NULL: absent */
} rows[] = {
    /* OpenAI */
    {"{\"error\":{\"message\":\"Bad \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":\"n\","
     "\"code\":\"invalid_value\"}}",
     "Bad \"x\"", "invalid_request_error", "n", "invalid_value"},
    {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":null}}", "m", "t", NULL,
     NULL},
    /* Azure */
    {"{\"error\":{\"code\":\"content_filter\",\"message\":\"filtered\",\"type\":null,\"param\":"
     "\"prompt\",\"status\":400,\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}",
     "filtered", NULL, "prompt", "content_filter"},
    {"{\"statusCode\":401,\"message\":\"Unauthorized.\"}", "Unauthorized.", NULL, NULL, NULL},
    /* OpenRouter, llama-server: the code is a number */
    {"{\"error\":{\"code\":402,\"message\":\"no "
     "credits\",\"metadata\":{\"x\":1}},\"user_id\":\"u\"}",
     "no credits", NULL, NULL, "402"},
    {"{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
     "Loading model", "unavailable_error", NULL, "503"},
    /* Ollama, TGI */
    {"{\"error\":\"model not found\"}", "model not found", NULL, NULL, NULL},
    {"{\"error\":\"Model is overloaded\",\"error_type\":\"overloaded\"}", "Model is overloaded",
     "overloaded", NULL, NULL},
    {"{\"error\":[\"first\",\"second\"]}", "first", NULL, NULL, NULL},
    /* Mistral, old vLLM, SGLang: top level */
    {"{\"object\":\"error\",\"message\":\"no model\",\"type\":\"invalid_model\",\"param\":null,"
     "\"code\":\"1500\"}",
     "no model", "invalid_model", NULL, "1500"},
    {"{\"object\":\"error\",\"message\":\"too long\",\"type\":\"BadRequestError\",\"param\":null,"
     "\"code\":400}",
     "too long", "BadRequestError", NULL, "400"},
    {"{\"object\":\"error\",\"message\":{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":["
     "\"body\","
     "\"n\"],\"msg\":\"Extra inputs are not permitted\",\"input\":1}]},"
     "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}",
     "n: Extra inputs are not permitted", "extra_forbidden", "n", NULL},
    /* FastAPI */
    {"{\"detail\":[{\"loc\":[\"body\",\"messages\",0,\"role\"],\"msg\":\"field required\","
     "\"type\":\"missing\"}]}",
     "messages.0.role: field required", "missing", "messages.0.role", NULL},
    {"{\"detail\":[{\"loc\":[],\"msg\":\"bad\"}]}", "bad", NULL, NULL, NULL},
    {"{\"detail\":[{\"loc\":\"body\",\"msg\":\"bad\"}]}", "bad", NULL, NULL, NULL},
    {"{\"detail\":\"Not Found\"}", "Not Found", NULL, NULL, NULL},
    {"{\"detail\":{\"error\":\"inner\"}}", "inner", NULL, NULL, NULL},
    /* RFC 9457, and frameworks that give a class and a sentence */
    {"{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"no access\"}",
     "no access", "about:blank", NULL, NULL},
    {"{\"type\":\"about:blank\",\"title\":\"Forbidden\"}", "Forbidden", "about:blank", NULL, NULL},
    {"{\"timestamp\":1,\"status\":404,\"error\":\"Not Found\",\"message\":\"No route\"}",
     "No route", "Not Found", NULL, NULL},
    /* AWS, Cloudflare, Google */
    {"{\"message\":\"The security token is invalid\"}", "The security token is invalid", NULL, NULL,
     NULL},
    {"{\"Message\":\"denied\"}", "denied", NULL, NULL, NULL},
    {"{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"No route\"}]}", "No route", NULL,
     NULL, "7003"},
    {"[{\"error\":{\"code\":400,\"message\":\"API key not "
     "valid\",\"status\":\"INVALID_ARGUMENT\"}}]",
     "API key not valid", "INVALID_ARGUMENT", NULL, "400"},
    /* Anthropic */
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
     "Overloaded", "overloaded_error", NULL, NULL},
    /* JSON that says nothing known */
    {"{\"error\":{\"reason\":\"x\"}}", "{\"error\":{\"reason\":\"x\"}}", NULL, NULL, NULL},
    {"{}", "{}", NULL, NULL, NULL},
    {"\"just text\"", "just text", NULL, NULL, NULL},
    {"503", "503", NULL, NULL, NULL},
    {"{\"error\":{\"error\":{\"error\":{\"error\":{\"message\":\"deep\"}}}}}",
     "{\"error\":{\"error\":{\"error\":{\"error\":{\"message\":\"deep\"}}}}}", NULL, NULL, NULL},
    /* no JSON */
    {"", "The provider gave no message.", NULL, NULL, NULL},
    {" \r\n\t", "The provider gave no message.", NULL, NULL, NULL},
    {"upstream connect error\n\n  or disconnect", "upstream connect error or disconnect", NULL,
     NULL, NULL},
    {"a < b and c > d", "a < b and c > d", NULL, NULL, NULL},
    {"\n<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title><style>p{color:red}</style>"
     "<script>if (a<b && c>d) "
     "alert('x')</script></head>\n<body><h1>Bad&nbsp;gateway</h1></body></html>",
     "502 Bad Gateway Bad&nbsp;gateway", NULL, NULL, NULL},
    {"<html", "The provider gave no message.", NULL, NULL, NULL},
    {"<script>alert(1)", "The provider gave no message.", NULL, NULL, NULL},
    {"bell\a esc\x1b[31m del\x7f nel\xC2\x85 bad\xff\xC3 ok\xC3\xA9",
     "bell esc [31m del nel bad ok\xC3\xA9", NULL, NULL, NULL},
};

static void check_field(struct slice got, const char *want)
{
    CHECK_EQ_I64(got.p != NULL, want != NULL);
    CHECK_EQ_SLICE(got, slice_str(want));
}

TEST(shapes)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_error e;
        check_note("row %zu: %s", i, rows[i].body);
        openai_read_error(parser, &arena, slice_str(rows[i].body), &e);
        check_field(e.message, rows[i].message);
        check_field(e.type, rows[i].type);
        check_field(e.param, rows[i].param);
        check_field(e.code, rows[i].code);
    }
    tear_down();
}

TEST(excerpts_are_short_and_clean)
{
    char body[5000];
    struct llm_error e;
    set_up();
    for (int round = 0; round < 3000; round++) {
        size_t n = check_random_below(sizeof body);
        for (size_t i = 0; i < n; i++)
            body[i] = (char)(check_random_below(4) ? 'a' + check_random_below(26) : check_random());
        openai_read_error(parser, &arena, slice_of(body, n), &e);
        CHECK(e.message.n > 0 && e.message.n <= 300);
        CHECK(utf8_valid(e.message));
        for (size_t i = 0; i < e.message.n; i++)
            CHECK((unsigned char)e.message.p[i] >= 0x20 && e.message.p[i] != 0x7F);
        arena_reset(&arena);
    }
    tear_down();
}

static void read_under_torture(void *arg)
{
    struct json_parser *p = json_parser_new();
    struct arena a;
    struct llm_error e;
    arena_init(&a, NULL, 1 << 20);
    if (p != NULL) {
        openai_read_error(p, &a, *(struct slice *)arg, &e);
        CHECK(e.message.n > 0);
    }
    arena_reset(&a);
    json_parser_free(p);
}

TEST(memory_may_run_out)
{
    struct slice json =
        SLICE("{\"detail\":[{\"loc\":[\"body\",\"a\\u0062\"],\"msg\":\"x\\u0062\"}]}");
    struct slice text = SLICE("no JSON");
    check_torture(read_under_torture, &json);
    check_torture(read_under_torture, &text);
}
