/* Requests that not every target can do: whom they go to, what is told of the others, and what of
 * it counts as an attempt. CLAUDE's wire has neither JSON objects nor several choices nor
 * penalties, REPLICATE's nothing but text. */
#include <stdio.h>

#include "base/mem.h"
#include "explain.h"
#include "world.h"

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"     \
    "\"object\"}}}]"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define IMAGE                                                                                      \
    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"        \
    "\"url\":"                                                                                     \
    "\"data:image/png;base64,iVBORw0KGgo=\"}}]}]"
#define SCHEMA                                                                                     \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":{"   \
    "\"type\":\"object\"}}}"

/* The targets of "five". */
static struct {
    int providers[6];
    size_t n;
    unsigned char lacks[6], by_table[6];
    enum llm_lack tools;
} plan;

static void edit(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "five");
    snapshot_retarget(m, s, plan.providers, plan.n);
    for (size_t i = 0; i < plan.n; i++) {
        m->targets[i].lacks = plan.lacks[i];
        m->targets[i].lacks_by_table = plan.by_table[i];
    }
    snapshot_provider(s, REPLICATE)->lack[FEATURE_TOOLS] = (unsigned char)plan.tools;
}

/* Four of a kind, and ALPHA behind them. */
static void plan_for(int provider)
{
    memset(&plan, 0, sizeof plan);
    plan.n = 5;
    plan.tools = LACK_REFUSE;
    for (size_t i = 0; i < 4; i++)
        plan.providers[i] = provider;
    plan.providers[4] = ALPHA;
}

static bool has(struct slice text, const char *part)
{
    return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void answer_any(struct world *w)
{
    CHECK_EQ_U64(calls_open(w->loop), 1);
    answer_json(call_last_open(w->loop), 400, SLICE("{\"error\":{\"message\":\"not now\"}}"));
}

/* The fifth target alone is asked the request of `path`; `told` is part of what is remembered of
 * the first one. */
static void check_fifth(const char *path, const char *body, const char *told)
{
    struct world *w = world_new(edit);
    struct buf out;
    buf_init(&out, 65536);
    struct net_stream *s = ask_path(w, HTTP_POST, path, NULL, slice_str(body));
    check_note("%s %s", path, body);
    answer_any(w);
    CHECK_EQ_I64(s->status, 400);
    CHECK_EQ_LIT(client_field(s, "x-weir-target"), "alpha/m4");
    CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "1");
    CHECK_EQ_I64(log_attempts(), 1);
    CHECK(gateway_explain(w->gateway, client_field(s, "x-weir-request-id"), &out));
    CHECK(json_valid(buf_view(&out)) && has(buf_view(&out), told));
    client_free(s);
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

#define FIRST_LACKS(what)                                                                          \
    "{\"target\":\"replicate/m0\",\"reason\":\"lacks_feature\",\"lacks\":[" what "]}"

TEST(four_that_cannot_before_one_that_can)
{
    static const struct {
        const char *path, *body, *told;
    } rows[] = {
        {"/v1/chat/completions", "{\"model\":\"five\"," MESSAGES "," TOOLS "}",
         FIRST_LACKS("\"tools\"")},
        {"/v1/chat/completions", "{\"model\":\"five\"," IMAGE "," SCHEMA "}",
         FIRST_LACKS("\"images\",\"schema\"")},
        {"/v1/completions", "{\"model\":\"five\",\"prompt\":\"a\",\"n\":2}",
         FIRST_LACKS("\"choices\"")},
        {"/v1/responses",
         "{\"model\":\"five\",\"input\":\"a\",\"tools\":[{\"type\":\"function\",\"name\":\"f\","
         "\"parameters\":{\"type\":\"object\"}}],\"text\":{\"format\":{\"type\":\"json_object\"}}}",
         FIRST_LACKS("\"tools\",\"json_object\"")},
        {"/v1/messages",
         "{\"model\":\"five\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://a.example/b.png\"}}]}],"
         "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]}",
         FIRST_LACKS("\"tools\",\"images\"")},
        {"/v1beta/models/five:generateContent",
         "{\"contents\":[{\"parts\":[{\"inline_data\":{\"mime_type\":\"image/png\",\"data\":"
         "\"iVBORw0KGgo=\"}}]}],\"generationConfig\":{\"responseMimeType\":\"application/json\","
         "\"responseSchema\":{\"type\":\"OBJECT\"}}}",
         FIRST_LACKS("\"images\",\"schema\"")},
    };
    plan_for(REPLICATE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_fifth(rows[i].path, rows[i].body, rows[i].told);
}

/* What only the translation finds out takes no attempt either. */
TEST(four_that_cannot_as_the_translation_finds)
{
    plan_for(CLAUDE);
    check_fifth(
        "/v1/chat/completions", "{\"model\":\"five\",\"frequency_penalty\":1," MESSAGES "}",
        "{\"target\":\"claude/m0\",\"place\":1,\"reason\":\"ok\",\"state\":\"well\",\"score\":0,"
        "\"skipped\":\"unsupported_parameter\"}");
}

/* As many as an alias may have, of which the last one can. Of so many the order is made in parts.
 */
static void edit_many(struct gw_snapshot *s)
{
    static const int providers[] = {CLAUDE, ALPHA};
    struct gw_model *m = snapshot_model(s, "five");
    snapshot_retarget(m, s, providers, ARRAY_LEN(providers));
    struct gw_target *list = mem_must(arena_zalloc(&s->arena, ROUTE_CANDIDATES_MAX * sizeof *list));
    for (size_t i = 0; i < ROUTE_CANDIDATES_MAX; i++)
        list[i] = m->targets[i == ROUTE_CANDIDATES_MAX - 1];
    m->targets = list;
    m->targets_n = ROUTE_CANDIDATES_MAX;
}

TEST(as_many_as_there_may_be)
{
    static const char *const bodies[] = {
        "{\"model\":\"five\",\"n\":2," MESSAGES "}",                 /* as the wire says */
        "{\"model\":\"five\",\"frequency_penalty\":1," MESSAGES "}", /* as its writer does */
    };
    struct world *w = world_new(edit_many);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_str(bodies[i]));
        answer_any(w);
        CHECK_EQ_LIT(client_field(s, "x-weir-target"), "alpha/m1");
        CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "1");
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

TEST(four_without_the_operation)
{
    plan_for(CLAUDE);
    struct world *w = world_new(edit);
    struct buf out;
    buf_init(&out, 65536);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/embeddings", NULL,
                                    SLICE("{\"model\":\"five\",\"input\":\"a\"}"));
    answer_any(w);
    CHECK_EQ_LIT(client_field(s, "x-weir-target"), "alpha/m4");
    CHECK(gateway_explain(w->gateway, client_field(s, "x-weir-request-id"), &out));
    CHECK(has(buf_view(&out), "{\"target\":\"claude/m0\",\"reason\":\"no_such_operation\"}"));
    client_free(s);
    s = ask_path(w, HTTP_POST, "/v1/messages/count_tokens", NULL,
                 SLICE("{\"model\":\"five\"," MESSAGES "}"));
    CHECK_EQ_I64(s->status, 0);
    CHECK(has(text_view(&call_last_open(w->loop)->target), "/messages/count_tokens"));
    answer_any(w);
    CHECK_EQ_LIT(client_field(s, "x-weir-target"), "claude/m0");
    client_free(s);
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

/* The status, and what the error is about; nothing was asked. */
static void check_refused(struct world *w, const char *body, const char *param, const char *part)
{
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_str(body));
    check_error_is(s, 400, "invalid_request_error", "unsupported_parameter");
    CHECK_EQ_SLICE(json_member(text_view(&s->body), "error.param"), slice_str(param));
    CHECK(has(json_member(text_view(&s->body), "error.message"), part));
    CHECK(call_last_open(w->loop) == NULL);
    CHECK_EQ_I64(log_attempts(), 0);
    client_free(s);
}

TEST(nobody_can)
{
    plan_for(REPLICATE);
    plan.n = 4;
    struct world *w = world_new(edit);
    check_refused(w, "{\"model\":\"five\"," MESSAGES "," TOOLS "}", "tools",
                  "'tools' is not supported by replicate/m0.");
    check_refused(w, "{\"model\":\"five\"," IMAGE "}", "messages[0].content[0]", "image_url");
    check_refused(w, "{\"model\":\"replicate\"," MESSAGES "," TOOLS "}", "tools", "'tools'");
    world_free(w);
    plan_for(ALPHA);
    memset(plan.lacks, LLM_NEEDS_SCHEMA, sizeof plan.lacks);
    w = world_new(edit);
    check_refused(w, "{\"model\":\"five\"," MESSAGES "," SCHEMA "}", "response_format",
                  "'response_format' is not supported by alpha/m0.");
    world_check_rest(w);
    world_free(w);
}

/* All that are asked fail; `asked`: a digit for each. */
static void check_asked(const char *body, const char *asked)
{
    struct world *w = world_new(edit);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_str(body));
    check_note("%s", body);
    for (const char *p = asked; *p != '\0'; p++) {
        CHECK_EQ_I64(s->status, 0);
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    }
    CHECK(s->status != 0);
    CHECK_EQ_I64(log_attempts(), (int64_t)strlen(asked));
    for (unsigned i = 0; asked[i] != '\0'; i++) {
        const char label[] = {'/', 'm', asked[i], '"', '\0'};
        CHECK(has(log_line(log_lines() - 1), label));
    }
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(what_the_table_says_leaves_somebody)
{
    static const char tools[] = "{\"model\":\"five\"," MESSAGES "," TOOLS "}";
    plan_for(ALPHA);
    plan.n = 3;
    plan.by_table[0] = LLM_NEEDS_TOOLS;
    check_asked(tools, "12");
    check_asked("{\"model\":\"five\"," MESSAGES "}", "012");
    check_asked("{\"model\":\"five\"," IMAGE "}", "012");
    plan.by_table[1] = plan.by_table[2] = LLM_NEEDS_TOOLS;
    check_asked(tools, "012");
    plan.lacks[1] = LLM_NEEDS_TOOLS; /* that is sure, and there is nobody else */
    check_asked(tools, "02");
    plan.by_table[2] = 0;
    check_asked(tools, "2");
}

/* What the configuration lets go is no lack of the wire's. */
TEST(what_is_left_out_is_not_lacking)
{
    static const char tools[] = "{\"model\":\"five\"," MESSAGES "," TOOLS "}";
    plan_for(REPLICATE);
    plan.providers[0] = ALPHA;
    plan.n = 2;
    check_asked(tools, "0");
    plan.tools = LACK_DROP;
    check_asked(tools, "01");
    plan.lacks[1] = LLM_NEEDS_TOOLS;
    check_asked(tools, "0");
}

/* ---- at random */

#define NEEDS_N 4
static const unsigned needs_of[NEEDS_N] = {LLM_NEEDS_TOOLS, LLM_NEEDS_IMAGES, LLM_NEEDS_SCHEMA,
                                           LLM_NEEDS_CHOICES};

static const char *random_body(unsigned needs)
{
    static char text[1024];
    snprintf(text, sizeof text, "{\"model\":\"five\",%s%s%s%s}",
             needs & LLM_NEEDS_IMAGES ? IMAGE : MESSAGES, needs & LLM_NEEDS_TOOLS ? "," TOOLS : "",
             needs & LLM_NEEDS_SCHEMA ? "," SCHEMA : "",
             needs & LLM_NEEDS_CHOICES ? ",\"n\":2" : "");
    return text;
}

/* What the target cannot do; `sure`: the table does not count. */
static unsigned cannot(size_t i, bool sure)
{
    unsigned wire = plan.providers[i] == REPLICATE ? ~0u
                    : plan.providers[i] == CLAUDE  ? (unsigned)LLM_NEEDS_CHOICES
                                                   : 0;
    return wire | plan.lacks[i] | (sure ? 0u : plan.by_table[i]);
}

static size_t list_able(unsigned needs, bool sure, char ret[8])
{
    size_t n = 0;
    for (size_t i = 0; i < plan.n; i++) {
        if (!(cannot(i, sure) & needs))
            ret[n++] = (char)('0' + i);
    }
    ret[MIN_OF(n, (size_t)ATTEMPTS_MAX)] = '\0';
    return n;
}

/* Whoever can is asked in the order of the alias, nobody else is, and who cannot costs nothing. */
TEST(who_can_and_nobody_else)
{
    static const int kinds[] = {ALPHA, BETA, CLAUDE, REPLICATE, REPLICATE};
    for (unsigned round = 0; round < 300; round++) {
        unsigned needs = 0;
        char able[8];
        memset(&plan, 0, sizeof plan);
        plan.tools = LACK_REFUSE;
        plan.n = 2 + check_random_below(5);
        for (size_t i = 0; i < plan.n; i++) {
            plan.providers[i] = kinds[check_random_below(ARRAY_LEN(kinds))];
            plan.lacks[i] = check_random_below(3) == 0 ? (unsigned char)check_random_below(8) : 0;
            plan.by_table[i] =
                check_random_below(3) == 0 ? (unsigned char)check_random_below(8) : 0;
        }
        for (unsigned k = 0; k < NEEDS_N; k++)
            needs |= check_random_below(2) == 0 ? needs_of[k] : 0;
        check_note("round %u", round);
        if (list_able(needs, false, able) > 0 || list_able(needs, true, able) > 0) {
            check_asked(random_body(needs), able);
            continue;
        }
        struct world *w = world_new(edit);
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_str(random_body(needs)));
        check_error_is(s, 400, "invalid_request_error", "unsupported_parameter");
        CHECK_EQ_I64(calls_made(w->loop), 0);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
}
