/* Editing requests: what changes, and that nothing else does. */
#include "check.h"
#include "fixture.h"
#include "llm/openai.h"

/* The edited body in one piece; the caller frees it. */
static struct buf edit(enum llm_op op, struct slice body, unsigned quirks, struct slice model)
{
    struct llm_provider provider = {.type = "test", .quirks = quirks};
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_body out;
    struct buf ret;
    bool ok = openai_read_request(parser, &arena, op, body, &r, &bad);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
    CHECK(openai_edit_request(&arena, &r, &provider, model, &out));
    CHECK(out.parts > 0 && out.parts <= LLM_PARTS_MAX);
    buf_init(&ret, 1 << 26);
    for (unsigned i = 0; i < out.parts; i++) {
        CHECK(out.part[i].n > 0);
        buf_slice(&ret, out.part[i]);
    }
    CHECK_EQ_U64(out.bytes, ret.n);
    return ret;
}

#define M "\"messages\":[{\"role\":\"user\"}]"

static const struct {
    unsigned quirks;
    const char *model, *body, *want;
} rows[] = {
    /* the model's name */
    {0, "n", "{\"model\":\"m\"," M "}", "{\"model\":\"n\"," M "}"},
    {0, "m", "{\"model\" : \"\\u006d\" ," M "}", "{\"model\" : \"\\u006d\" ," M "}"},
    {0, "a\"b\\c/\xC3\xBC", "{" M ",\"model\":\"m\"}",
     "{" M ",\"model\":\"a\\\"b\\\\c/\xC3\xBC\"}"},
    /* usage in streams */
    {0, "n", "{\"model\":\"m\",\"stream\":true," M "}",
     "{\"model\":\"n\",\"stream_options\":{\"include_usage\":true},\"stream\":true," M "}"},
    {0, "m", "{" M ",\"stream\":true,\"model\":\"m\" }",
     "{" M ",\"stream\":true,\"model\":\"m\",\"stream_options\":{\"include_usage\":true} }"},
    {0, "m", "{\"model\":\"m\",\"stream\":false," M "}",
     "{\"model\":\"m\",\"stream\":false," M "}"},
    {0, "m", "{\"model\":\"m\",\"stream\":true,\"stream_options\":null," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," M "}"},
    {0, "m", "{\"model\":\"m\",\"stream\":true,\"stream_options\":{ }," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true }," M "}"},
    {0, "m", "{\"model\":\"m\",\"stream\":true,\"stream_options\":{ \"a\":1}," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true, \"a\":1}," M
     "}"},
    {0, "m",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\": false}," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\": true}," M "}"},
    {0, "m", "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":null}," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," M "}"},
    {0, "m", "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," M "}",
     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," M "}"},
    {QUIRK_NO_STREAM_OPTIONS, "m", "{\"model\":\"m\",\"stream\":true," M "}",
     "{\"model\":\"m\",\"stream\":true," M "}"},
    {QUIRK_NO_STREAM_OPTIONS, "m",
     "{\"model\":\"m\",\"stream\":true , \"stream_options\" : {\"include_usage\":true} , " M "}",
     "{\"model\":\"m\",\"stream\":true  , " M "}"},
    {QUIRK_NO_STREAM_OPTIONS, "m",
     "{ \"stream_options\":{\"include_usage\":true} , \"model\":\"m\",\"stream\":true," M "}",
     "{  \"model\":\"m\",\"stream\":true," M "}"},
    {QUIRK_NO_STREAM_OPTIONS, "m", "{\"model\":\"m\",\"stream_options\":null," M "}",
     "{\"model\":\"m\"," M "}"},
    /* max_tokens */
    {QUIRK_MAX_TOKENS, "m", "{\"model\":\"m\",\"max_completion_tokens\": 5," M "}",
     "{\"model\":\"m\",\"max_tokens\": 5," M "}"},
    {QUIRK_MAX_TOKENS, "m", "{\"model\":\"m\",\"max_tokens\":5," M "}",
     "{\"model\":\"m\",\"max_tokens\":5," M "}"},
    {QUIRK_MAX_TOKENS, "m", "{\"max_tokens\":9,\"model\":\"m\",\"max_completion_tokens\":5," M "}",
     "{\"model\":\"m\",\"max_tokens\":5," M "}"},
    {QUIRK_MAX_TOKENS, "m",
     "{\"model\":\"m\",\"max_tokens\":9,\"max_completion_tokens\":null," M "}",
     "{\"model\":\"m\",\"max_tokens\":9," M "}"},
    {QUIRK_MAX_TOKENS, "m", "{\"model\":\"m\"," M ",\"max_completion_tokens\":7,\"max_tokens\":9}",
     "{\"model\":\"m\"," M ",\"max_tokens\":7}"},
    {0, "m", "{\"model\":\"m\",\"max_tokens\":9,\"max_completion_tokens\":5," M "}",
     "{\"model\":\"m\",\"max_tokens\":9,\"max_completion_tokens\":5," M "}"},
    {QUIRK_MAX_TOKENS, "n",
     "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,"
     "\"max_completion_tokens\":5," M "}",
     "{\"model\":\"n\",\"stream_options\":{\"include_usage\":true},\"stream\":true,"
     "\"max_tokens\":5," M "}"},
    {QUIRK_MAX_TOKENS | QUIRK_NO_STREAM_OPTIONS, "m",
     "{\"stream_options\":null,\"max_tokens\":9,\"max_completion_tokens\":5,\"model\":\"m\"," M "}",
     "{\"max_tokens\":5,\"model\":\"m\"," M "}"},
    {QUIRK_MAX_TOKENS | QUIRK_NO_STREAM_OPTIONS, "m",
     "{\"model\":\"m\"," M ",\"max_completion_tokens\":5,\"max_tokens\":9,\"stream_options\":null}",
     "{\"model\":\"m\"," M ",\"max_tokens\":5}"},
    /* seed */
    {QUIRK_RANDOM_SEED, "m", "{\"model\":\"m\",\"s\\u0065ed\":-5," M "}",
     "{\"model\":\"m\",\"random_seed\":-5," M "}"},
    {QUIRK_RANDOM_SEED, "m", "{\"model\":\"m\",\"seed\":1,\"random_seed\":2," M "}",
     "{\"model\":\"m\",\"random_seed\":1," M "}"},
    /* developers */
    {QUIRK_NO_DEVELOPER, "m",
     "{\"messages\":[{\"content\":\"developer\",\"role\":\"developer\"},{\"role\":\"user\"},"
     "{\"role\" : \"d\\u0065veloper\",\"x\":{\"role\":\"developer\"}}],\"model\":\"m\"}",
     "{\"messages\":[{\"content\":\"developer\",\"role\":\"system\"},{\"role\":\"user\"},"
     "{\"role\" : \"system\",\"x\":{\"role\":\"developer\"}}],\"model\":\"m\"}"},
    {0, "m", "{\"messages\":[{\"role\":\"developer\"}],\"model\":\"m\"}",
     "{\"messages\":[{\"role\":\"developer\"}],\"model\":\"m\"}"},
};

TEST(edits)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu: %s", i, rows[i].body);
        struct buf out =
            edit(LLM_CHAT, slice_str(rows[i].body), rows[i].quirks, slice_str(rows[i].model));
        CHECK_EQ_SLICE(buf_view(&out), slice_str(rows[i].want));
        buf_done(&out);
    }
    tear_down();
}

TEST(an_unchanged_request_is_one_piece_of_the_body)
{
    static const char text[] = "{\"model\":\"m\"," M "}";
    struct llm_provider provider = {.quirks = ~0u};
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_body out;
    set_up();
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK(openai_edit_request(&arena, &r, &provider, SLICE("m"), &out));
    CHECK_EQ_U64(out.parts, 1);
    CHECK(out.part[0].p == text);
    CHECK_EQ_U64(out.part[0].n, sizeof text - 1);
    tear_down();
}

/* A request of random members with random spaces, for the property below. */
struct random_request {
    struct buf body;
    bool first;
};

static void put_space(struct buf *b)
{
    static const char *const spaces[] = {"", "", "", " ", "\n\t", "  \r\n"};
    buf_slice(b, slice_str(spaces[check_random_below(ARRAY_LEN(spaces))]));
}

/* The name, each byte written as an escape now and then. */
static void put_key(struct buf *b, const char *name)
{
    bool escapes = check_random_below(4) == 0;
    buf_char(b, '"');
    for (; *name != '\0'; name++) {
        if (escapes && (*name & 0x80) == 0 && check_random_below(3) == 0)
            buf_printf(b, "\\u%04x", (unsigned)*name);
        else
            buf_char(b, *name);
    }
    buf_char(b, '"');
}

static void put_member(struct random_request *q, const char *name, const char *value)
{
    struct buf *b = &q->body;
    if (!q->first)
        buf_char(b, ',');
    q->first = false;
    put_space(b);
    put_key(b, name);
    put_space(b);
    buf_char(b, ':');
    put_space(b);
    buf_slice(b, slice_str(value));
    put_space(b);
}

static const struct {
    const char *name, *value[4];
} choices[] = {
    {"model", {"\"m\"", "\"\\u006d\\\"\"", "\"a/b:c\"", "\"\xC3\xA9\""}},
    {"messages",
     {"[{\"role\":\"user\"}]", "[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":\"user\"}]",
      "[ {\"x\":[1, {}],\"role\" : \"develope\\u0072\"} ]",
      "[{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"},"
      "{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"}]"}},
    {"max_tokens", {"1", "null", "50", "9"}},
    {"max_completion_tokens", {"2", "null", "60", "8"}},
    {"seed", {"3", "null", "0", "-4"}},
    {"random_seed", {"5", "null", "0", "-6"}},
    {"x", {"{\"model\":\"no\",\"model\":1}", "[ ]", "\"\\u00e9,\\\"\"", "1e-5"}},
    {"\xC3\xA9", {"[1 , 2]", "{}", "false", "\"}\""}},
};

static const char *const streams[][2] = {
    {"false", NULL},
    {"true", NULL},
    {"true", "null"},
    {"true", "{}"},
    {"true", "{ \"y\" : 1 }"},
    {"true", "{\"include_usage\":false,\"y\":2}"},
    {"true", "{\"y\":{},\"include_usage\" :true}"},
    {"null", "null"},
};

static void random_request(struct random_request *q)
{
    unsigned order[ARRAY_LEN(choices) + 1], n = ARRAY_LEN(order);
    const char *const *stream = streams[check_random_below(ARRAY_LEN(streams))];
    buf_init(&q->body, 1 << 16);
    q->first = true;
    for (unsigned i = 0; i < n; i++)
        order[i] = i;
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)check_random_below(i), t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
    put_space(&q->body);
    buf_char(&q->body, '{');
    for (unsigned i = 0; i < n; i++) {
        unsigned c = order[i];
        bool needed = c < 2;
        if (!needed && check_random_below(3) == 0)
            continue;
        if (c < ARRAY_LEN(choices)) {
            put_member(q, choices[c].name, choices[c].value[check_random_below(4)]);
            continue;
        }
        put_member(q, "stream", stream[0]);
        if (stream[1] != NULL)
            put_member(q, "stream_options", stream[1]);
    }
    buf_char(&q->body, '}');
    put_space(&q->body);
}

/* The raw value of a member of the root, or SLICE_NONE. */
static struct slice raw_of(const struct json_doc *d, const char *name)
{
    uint32_t node = json_get(d, 0, slice_str(name));
    return node != 0 ? json_raw(d, node) : SLICE_NONE;
}

static bool is_null(struct slice s)
{
    return s.p == NULL || slice_eq(s, SLICE("null"));
}

/* What `newer` says under the name `older`, where it is to be renamed. */
static struct slice renamed(const struct json_doc *d, const char *newer, const char *older)
{
    struct slice a = raw_of(d, newer), b = raw_of(d, older);
    return a.p == NULL || (b.p != NULL && is_null(a)) ? b : a;
}

/* Whether include_usage ends up true, and nothing else of stream_options is changed. */
static void check_stream_options(struct json_doc *before, struct json_doc *after,
                                 struct json_parser *third, bool asked)
{
    static const char *const other = "y";
    struct slice was = raw_of(before, "stream_options"), is = raw_of(after, "stream_options");
    struct json_doc d;
    struct slice y = SLICE_NONE;
    if (!asked) {
        CHECK_EQ_SLICE(is, was);
        return;
    }
    if (!is_null(was)) {
        CHECK(json_parse(third, was, 0, &d) == JSON_OK);
        y = raw_of(&d, other);
    }
    CHECK(json_parse(third, is, 0, &d) == JSON_OK);
    CHECK_EQ_LIT(raw_of(&d, "include_usage"), "true");
    CHECK_EQ_SLICE(raw_of(&d, other), y);
}

/* The messages with each message's role developer as system, everything else as it stood. */
static void check_messages(const struct json_doc *before, const struct json_doc *after, bool mapped)
{
    uint32_t a = json_get(before, 0, SLICE("messages")), b = json_get(after, 0, SLICE("messages"));
    uint32_t m = json_first(before, a), k = json_first(after, b);
    if (!mapped) {
        CHECK_EQ_SLICE(json_raw(after, b), json_raw(before, a));
        return;
    }
    for (; m < json_end(before, a); m = json_after(before, m), k = json_after(after, k)) {
        uint32_t was = json_get(before, m, SLICE("role")), is = json_get(after, k, SLICE("role"));
        struct slice head = slice_of(before->text + before->nodes[m].off,
                                     before->nodes[was].off - before->nodes[m].off);
        struct slice tail = slice_of(before->text + before->nodes[was].end,
                                     before->nodes[m].end - before->nodes[was].end);
        CHECK_EQ_SLICE(slice_of(after->text + after->nodes[k].off, head.n), head);
        CHECK_EQ_SLICE(slice_of(after->text + after->nodes[is].end, tail.n), tail);
        if (json_string_is(before, was, SLICE("developer")))
            CHECK_EQ_LIT(json_raw(after, is), "\"system\"");
        else
            CHECK_EQ_SLICE(json_raw(after, is), json_raw(before, was));
    }
    CHECK_EQ_U64(k, json_end(after, b));
}

static void check_edit(struct slice body, unsigned quirks, struct json_parser *p[3])
{
    struct buf out = edit(LLM_CHAT, body, quirks, SLICE("up/\"x\""));
    struct json_doc before, after;
    CHECK(json_parse(p[0], body, 0, &before) == JSON_OK);
    CHECK(json_parse(p[1], buf_view(&out), 0, &after) == JSON_OK);
    CHECK_EQ_U64(json_duplicate_key(p[1], &after, 0), 0);
    CHECK_EQ_LIT(raw_of(&after, "model"), "\"up/\\\"x\\\"\"");
    CHECK_EQ_SLICE(raw_of(&after, "x"), raw_of(&before, "x"));
    CHECK_EQ_SLICE(raw_of(&after, "\xC3\xA9"), raw_of(&before, "\xC3\xA9"));
    CHECK_EQ_SLICE(raw_of(&after, "stream"), raw_of(&before, "stream"));
    bool stream = slice_eq(raw_of(&before, "stream"), SLICE("true"));
    if (quirks & QUIRK_NO_STREAM_OPTIONS)
        CHECK(raw_of(&after, "stream_options").p == NULL);
    else
        check_stream_options(&before, &after, p[2], stream);
    if (quirks & QUIRK_MAX_TOKENS) {
        CHECK(raw_of(&after, "max_completion_tokens").p == NULL);
        CHECK_EQ_SLICE(raw_of(&after, "max_tokens"),
                       renamed(&before, "max_completion_tokens", "max_tokens"));
    } else {
        CHECK_EQ_SLICE(raw_of(&after, "max_tokens"), raw_of(&before, "max_tokens"));
        CHECK_EQ_SLICE(raw_of(&after, "max_completion_tokens"),
                       raw_of(&before, "max_completion_tokens"));
    }
    if (quirks & QUIRK_RANDOM_SEED) {
        CHECK(raw_of(&after, "seed").p == NULL);
        CHECK_EQ_SLICE(raw_of(&after, "random_seed"), renamed(&before, "seed", "random_seed"));
    } else {
        CHECK_EQ_SLICE(raw_of(&after, "seed"), raw_of(&before, "seed"));
    }
    check_messages(&before, &after, quirks & QUIRK_NO_DEVELOPER);
    buf_done(&out);
}

TEST(random_requests_change_only_where_they_must)
{
    struct json_parser *p[3] = {json_parser_new(), json_parser_new(), json_parser_new()};
    set_up();
    for (int i = 0; i < 30000; i++) {
        struct random_request q;
        unsigned quirks = (unsigned)check_random_below(16);
        random_request(&q);
        check_note("round %d, quirks %u: %.*s", i, quirks, SLICE_ARG(buf_view(&q.body)));
        check_edit(buf_view(&q.body), quirks, p);
        buf_done(&q.body);
        arena_reset(&arena);
    }
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        json_parser_free(p[i]);
    tear_down();
}

TEST(many_developers_are_joined_into_one_piece)
{
    struct buf body;
    struct json_parser *p[3] = {json_parser_new(), json_parser_new(), json_parser_new()};
    set_up();
    buf_init(&body, 1 << 24);
    buf_printf(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}");
    for (int i = 0; i < 20000; i++)
        buf_printf(&body, ",{\"role\":\"developer\",\"content\":\"%d\"}", i);
    buf_printf(&body, "],\"stream\":true}");
    check_edit(buf_view(&body), QUIRK_NO_DEVELOPER, p);
    buf_done(&body);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        json_parser_free(p[i]);
    tear_down();
}

static void edit_under_torture(void *arg)
{
    const struct llm_request *r = arg;
    struct llm_provider provider = {.quirks = QUIRK_NO_DEVELOPER};
    struct llm_body out;
    struct arena a;
    arena_init(&a, NULL, 1 << 20);
    if (openai_edit_request(&a, r, &provider, SLICE("needs \"quotes\""), &out))
        CHECK(out.bytes > r->body.n);
    arena_reset(&a);
}

TEST(memory_may_run_out)
{
    static const char text[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\"},{\"role\":\"developer\"},"
        "{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"},"
        "{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"}],"
        "\"stream\":true}";
    struct llm_request r;
    struct llm_bad_request bad;
    set_up();
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad));
    check_torture(edit_under_torture, &r);
    tear_down();
}

TEST(an_arena_without_room_is_reported)
{
    static const char text[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\"},"
        "{\"role\":\"developer\"},{\"role\":\"developer\"},"
        "{\"role\":\"developer\"},{\"role\":\"developer\"},"
        "{\"role\":\"developer\"},{\"role\":\"developer\"},{\"role\":\"developer\"}]}";
    struct llm_provider provider = {.quirks = QUIRK_NO_DEVELOPER};
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_body out;
    struct arena none;
    set_up();
    arena_init(&none, NULL, 0);
    CHECK(openai_read_request(parser, &arena, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK(!openai_edit_request(&none, &r, &provider, SLICE("n"), &out));
    CHECK(!openai_edit_request(&none, &r, &provider, SLICE("\"n\""), &out));
    CHECK(!openai_edit_request(&none, &r, &provider, SLICE("m"), &out));
    provider.quirks = 0;
    CHECK(openai_edit_request(&none, &r, &provider, SLICE("m"), &out));
    CHECK(!openai_read_request(parser, &none, LLM_CHAT, SLICE(text), &r, &bad));
    CHECK(bad.no_memory);
    tear_down();
}

/* A bound of the gateway's own goes where the client gave none. */
TEST(bound_is_put_in)
{
    static const struct {
        enum llm_op op;
        unsigned quirks;
        const char *body, *want;
    } caps[] = {
        {LLM_CHAT, 0, "{\"model\":\"m\"," M "}", "{\"model\":\"m\",\"max_tokens\":64," M "}"},
        {LLM_CHAT, QUIRK_OPENAI_PROPER, "{\"model\":\"m\"," M "}",
         "{\"model\":\"m\",\"max_completion_tokens\":64," M "}"},
        {LLM_COMPLETIONS, QUIRK_OPENAI_PROPER, "{\"model\":\"m\",\"prompt\":\"\"}",
         "{\"model\":\"m\",\"max_tokens\":64,\"prompt\":\"\"}"},
        {LLM_CHAT, 0, "{\"max_tokens\":null,\"model\":\"m\"," M "}",
         "{\"max_tokens\":64,\"model\":\"m\"," M "}"},
        {LLM_CHAT, 0, "{\"max_tokens\":7,\"model\":\"m\"," M "}",
         "{\"max_tokens\":7,\"model\":\"m\"," M "}"},
        {LLM_CHAT, 0, "{\"model\":\"m\",\"stream\":true," M "}",
         "{\"model\":\"m\",\"max_tokens\":64,\"stream_options\":{\"include_usage\":true},"
         "\"stream\":true," M "}"},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
        struct llm_provider provider = {.type = "test", .quirks = caps[i].quirks};
        struct llm_request r;
        struct llm_bad_request bad;
        struct llm_body out;
        struct buf got;
        check_note("%s", caps[i].body);
        CHECK(openai_read_request(parser, &arena, caps[i].op, slice_str(caps[i].body), &r, &bad));
        r.cap_tokens = 64;
        CHECK(openai_edit_request(&arena, &r, &provider, SLICE("m"), &out));
        buf_init(&got, 1 << 20);
        for (unsigned k = 0; k < out.parts; k++)
            buf_slice(&got, out.part[k]);
        CHECK(slice_is(buf_view(&got), caps[i].want));
        buf_done(&got);
    }
    tear_down();
}
