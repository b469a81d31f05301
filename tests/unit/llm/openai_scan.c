/* What events and answers say. */
#include "check.h"
#include "fixture.h"
#include "llm/openai.h"

static bool scan(unsigned quirks, const char *data, struct llm_scan *ret)
{
    struct llm_provider provider = {.quirks = quirks};
    return openai_scan_event(parser, &arena, &provider, slice_str(data), ret);
}

#define DELTA(members) "{\"choices\":[{\"index\":0,\"delta\":{" members "}}]}"

/* Events and their flags: e error, d done, c content, f finished, o only usage, u usage. */
static const struct {
    const char *data, *flags;
    uint32_t units;
} events[] = {
    {"[DONE]", "d", 0},
    {"[DONE] ", "d", 0},
    {"{}", "", 0},
    {DELTA("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"), "", 0},
    {DELTA("\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[]"), "", 0},
    {DELTA(""), "", 0},
    {DELTA("\"content\":null"), "", 0},
    {DELTA("\"content\":\"a\""), "c", 1},
    {DELTA("\"c\\u006fntent\":\"a\""), "c", 1},
    {DELTA("\"content\":\"\\ud83d\""), "c", 1},
    {DELTA("\"content\":[{\"type\":\"thinking\"}]"), "c", 1},
    {DELTA("\"content\":\"\",\"reasoning_content\":\"hm\""), "c", 1},
    {DELTA("\"content\":null,\"reasoning\":\"hm\",\"reasoning_details\":[{}]"), "c", 1},
    {DELTA("\"refusal\":\"no\""), "c", 1},
    {DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\"}}]"), "c", 1},
    {DELTA("\"function_call\":{\"name\":\"f\"}"), "c", 1},
    {DELTA("\"audio\":{\"data\":\"AA\"}"), "c", 1},
    {DELTA("\"images\":[{}]"), "c", 1},
    {DELTA("\"other\":\"x\""), "", 0},
    {"{\"choices\":[{\"text\":\"a\",\"index\":0,\"finish_reason\":null}]}", "c", 1},
    {"{\"choices\":[{\"text\":\"\",\"index\":0,\"finish_reason\":\"length\"}]}", "f", 0},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}", "c", 2},
    {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", "f", 0},
    {"{\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"\"}]}", "", 0},
    {"{\"choices\":[{\"delta\":null}]}", "", 0},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}", "c", 1},
    {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", "ou", 0},
    {"{\"choices\":null,\"usage\":{\"prompt_tokens\":1}}", "ou", 0},
    {"{\"usage\":{\"prompt_tokens\":1}}", "ou", 0},
    {"{\"choices\":[],\"usage\":null}", "", 0},
    {"{\"choices\":[],\"usage\":{}}", "", 0},
    {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}",
     "fu", 0},
    {"{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\","
     "\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}",
     "", 0},
    {"{\"error\":{\"message\":\"m\"}}", "e", 0},
    {"{\"error\":\"m\"}", "e", 0},
    {"{\"error\":{}}", "e", 0},
    {"{\"error\":true}", "e", 0},
    {"{\"object\":\"error\",\"message\":\"m\"}", "e", 0},
    {"{\"\\u0065rror\":\"m\"}", "e", 0},
    {"{\"error\":null,\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "c", 1},
    {"{\"error\":\"\"}", "", 0},
    {"{\"error\":false}", "", 0},
    {"{\"error\":{\"code\":502},\"choices\":[{\"delta\":{\"content\":\"\"}}],"
     "\"usage\":{\"prompt_tokens\":1}}",
     "eu", 0},
};

TEST(events)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct llm_scan s;
        char flags[8] = "", *f = flags;
        check_note("row %zu: %s", i, events[i].data);
        CHECK(scan(0, events[i].data, &s));
        if (s.is_error)
            *f++ = 'e';
        if (s.done)
            *f++ = 'd';
        if (s.content)
            *f++ = 'c';
        if (s.finished)
            *f++ = 'f';
        if (s.usage_only)
            *f++ = 'o';
        if (s.has_usage)
            *f++ = 'u';
        *f = '\0';
        CHECK_EQ_STR(flags, events[i].flags);
        CHECK_EQ_U64(s.output_units, events[i].units);
        CHECK_EQ_I64(s.error.message.p != NULL, s.is_error);
    }
    tear_down();
}

TEST(broken_events)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[1,2]",
        "\"text\"",
        "null",
        "DONE",
        "{\"choices\":[1]}",
        "{\"choices\":[null]}",
        "{\"choices\":{}}",
        "{\"choices\":\"\"}",
        "{\"choices\":[],\"choices\":[]}",
        "{\"usage\":null,\"\\u0075sage\":null}",
        "{\"error\":null,\"error\":\"x\"}",
        "{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}",
        "<html>",
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct llm_scan s;
        check_note("%s", texts[i]);
        CHECK(!scan(0, texts[i], &s));
    }
    tear_down();
}

#define USAGE(members) "{\"usage\":{" members "}}"
#define SIMPLE         "\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":"

static const struct {
    unsigned quirks;
    const char *data;
    struct llm_usage want;
} usages[] = {
    {0, USAGE(SIMPLE "15"), {10, 5, -1, -1, -1}},
    {0,
     USAGE(SIMPLE "15,\"prompt_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":3},"
                  "\"completion_tokens_details\":{\"reasoning_tokens\":2,\"audio_tokens\":1}"),
     {10, 5, 4, 3, 2}},
    {0,
     USAGE(SIMPLE "15,\"prompt_tokens_details\":null,\"completion_tokens_details\":[]"),
     {10, 5, -1, -1, -1}},
    /* apart: the total tells */
    {QUIRK_REASONING_APART,
     USAGE(SIMPLE "22,\"completion_tokens_details\":{\"reasoning_tokens\":7}"),
     {10, 12, -1, -1, 7}},
    {QUIRK_REASONING_APART,
     USAGE(SIMPLE "15,\"completion_tokens_details\":{\"reasoning_tokens\":3}"),
     {10, 5, -1, -1, 3}},
    {QUIRK_REASONING_APART,
     USAGE("\"prompt_tokens\":10,\"completion_tokens\":5,"
           "\"completion_tokens_details\":{\"reasoning_tokens\":7}"),
     {10, 12, -1, -1, 7}},
    {QUIRK_REASONING_APART, USAGE(SIMPLE "15"), {10, 5, -1, -1, -1}},
    {0,
     USAGE(SIMPLE "22,\"completion_tokens_details\":{\"reasoning_tokens\":7}"),
     {10, 5, -1, -1, 7}},
    /* cache hits */
    {QUIRK_CACHE_HIT_TOKENS, USAGE(SIMPLE "15,\"prompt_cache_hit_tokens\":6"), {10, 5, 6, -1, -1}},
    {QUIRK_CACHE_HIT_TOKENS,
     USAGE(SIMPLE
           "15,\"prompt_cache_hit_tokens\":6,\"prompt_tokens_details\":{\"cached_tokens\":8}"),
     {10, 5, 8, -1, -1}},
    {0, USAGE(SIMPLE "15,\"prompt_cache_hit_tokens\":6"), {10, 5, -1, -1, -1}},
    /* x_groq */
    {QUIRK_USAGE_IN_X_GROQ,
     "{\"choices\":[{}],\"x_groq\":{\"id\":\"r\",\"usage\":{" SIMPLE "15}}}",
     {10, 5, -1, -1, -1}},
    {QUIRK_USAGE_IN_X_GROQ,
     "{\"x_groq\":{\"usage\":{\"prompt_tokens\":1}},\"usage\":{" SIMPLE "15}}",
     {10, 5, -1, -1, -1}},
    {QUIRK_USAGE_IN_X_GROQ, "{\"x_groq\":{\"id\":\"r\"}}", {-1, -1, -1, -1, -1}},
    {QUIRK_USAGE_IN_X_GROQ, "{\"x_groq\":[1]}", {-1, -1, -1, -1, -1}},
    {0, "{\"x_groq\":{\"usage\":{" SIMPLE "15}}}", {-1, -1, -1, -1, -1}},
    /* nonsense is ignored, field by field */
    {0, USAGE("\"prompt_tokens\":-5,\"completion_tokens\":5"), {-1, 5, -1, -1, -1}},
    {0, USAGE("\"prompt_tokens\":1.5,\"completion_tokens\":5e2"), {-1, -1, -1, -1, -1}},
    {0, USAGE("\"prompt_tokens\":\"7\",\"completion_tokens\":null"), {-1, -1, -1, -1, -1}},
    {0,
     USAGE("\"prompt_tokens\":99999999999999999999,\"completion_tokens\":281474976710656"),
     {-1, 281474976710656, -1, -1, -1}},
    {0, USAGE("\"prompt_tokens\":281474976710657"), {-1, -1, -1, -1, -1}},
    {0, "{\"usage\":[10,5]}", {-1, -1, -1, -1, -1}},
    {0, "{\"usage\":\"none\"}", {-1, -1, -1, -1, -1}},
};

TEST(usage)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(usages); i++) {
        struct llm_scan s;
        const struct llm_usage *w = &usages[i].want;
        check_note("row %zu: %s", i, usages[i].data);
        CHECK(scan(usages[i].quirks, usages[i].data, &s));
        CHECK_EQ_I64(s.usage.input, w->input);
        CHECK_EQ_I64(s.usage.output, w->output);
        CHECK_EQ_I64(s.usage.cached, w->cached);
        CHECK_EQ_I64(s.usage.cache_write, w->cache_write);
        CHECK_EQ_I64(s.usage.reasoning, w->reasoning);
        CHECK_EQ_I64(s.has_usage, w->input >= 0 || w->output >= 0);
    }
    tear_down();
}

TEST(usage_is_merged_field_by_field)
{
    struct llm_usage u = LLM_USAGE_NONE;
    llm_usage_merge(&u, &(struct llm_usage){10, -1, 3, -1, -1});
    llm_usage_merge(&u, &(struct llm_usage){-1, 7, -1, 2, 1});
    llm_usage_merge(&u, &(struct llm_usage){-1, 8, 0, -1, -1});
    CHECK_EQ_I64(u.input, 10);
    CHECK_EQ_I64(u.output, 8);
    CHECK_EQ_I64(u.cached, 0);
    CHECK_EQ_I64(u.cache_write, 2);
    CHECK_EQ_I64(u.reasoning, 1);
}

TEST(names_in_events)
{
    struct llm_scan s;
    set_up();
    CHECK(scan(0,
               "{\"model\":\"org\\/m\",\"choices\":[{\"finish_reason\":\"tool_calls\"},"
               "{\"finish_reason\":\"stop\"}]}",
               &s));
    CHECK_EQ_LIT(s.model, "org\\/m");
    CHECK_EQ_LIT(s.finish_reason, "tool_calls");
    CHECK(scan(0, "{\"model\":null,\"choices\":[]}", &s));
    CHECK(s.model.p == NULL && s.finish_reason.p == NULL);
    CHECK_EQ_U64(s.usage_member.value_end, 0);
    CHECK(arena.used == 0);
    tear_down();
}

static bool answer(enum llm_op op, const char *body, struct llm_scan *ret)
{
    struct llm_provider provider = {.quirks = 0};
    return openai_scan_answer(parser, &arena, &provider, op, slice_str(body), ret);
}

TEST(answers)
{
    struct llm_scan s;
    set_up();
    CHECK(answer(LLM_CHAT,
                 "{\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"message\":"
                 "{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}],"
                 "\"usage\":{" SIMPLE "15}}",
                 &s));
    CHECK(s.done && s.content && s.finished && s.has_usage && !s.usage_only && !s.is_error);
    CHECK_EQ_I64(s.usage.output, 5);
    CHECK(answer(LLM_CHAT, "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{}]}}]}",
                 &s));
    CHECK(s.done && s.content);
    CHECK(answer(LLM_CHAT, "{\"choices\":[]}", &s));
    CHECK(s.done && !s.content);
    CHECK(answer(LLM_COMPLETIONS, "{\"choices\":[{\"text\":\"x\"}]}", &s));
    CHECK(s.done && s.content);
    CHECK(answer(LLM_EMBEDDINGS,
                 "{\"object\":\"list\",\"data\":[{\"embedding\":[0.5]}],\"model\":\"e\","
                 "\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}",
                 &s));
    CHECK(s.done && s.content && s.has_usage);
    CHECK_EQ_I64(s.usage.input, 3);
    CHECK_EQ_I64(s.usage.output, 0);
    CHECK(answer(LLM_CHAT, "{\"error\":{\"message\":\"overloaded\",\"code\":529}}", &s));
    CHECK(s.is_error && !s.done);
    CHECK_EQ_LIT(s.error.message, "overloaded");
    CHECK_EQ_LIT(s.error.code, "529");
    tear_down();
}

TEST(answers_that_are_none)
{
    static const struct {
        enum llm_op op;
        const char *body;
    } texts[] = {
        {LLM_CHAT, ""},
        {LLM_CHAT, "<html><body>Please log in</body></html>"},
        {LLM_CHAT, "[1, 2]"},
        {LLM_CHAT, "{}"},
        {LLM_CHAT, "[DONE]"},
        {LLM_CHAT, "{\"choices\":null}"},
        {LLM_CHAT, "{\"choices\":{}}"},
        {LLM_CHAT, "{\"choices\":[{\"message\":{\"content\":\"cut"},
        {LLM_CHAT, "{\"data\":[{}]}"},
        {LLM_EMBEDDINGS, "{\"choices\":[{}]}"},
        {LLM_EMBEDDINGS, "{\"data\":{}}"},
        {LLM_COMPLETIONS, "{\"detail\":\"not found\"}"},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct llm_scan s;
        check_note("row %zu", i);
        CHECK(!answer(texts[i].op, texts[i].body, &s));
    }
    tear_down();
}
