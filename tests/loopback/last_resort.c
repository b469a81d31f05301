/* The configured text for those whom no target could answer: when they get it, in each dialect, and
 * that nobody takes it for a success. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tongues.h"

#define SORRY   "Nobody is \"in\".\n\xC3\x9C"
#define ESCAPED "Nobody is \\\"in\\\".\\n\xC3\x9C"
#define OBJECT  "{\"answer\":null}"

static int route_of[4];
static size_t route_n;
static const char *text;

static void with_text(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_retarget(m, s, route_of, route_n);
    m->last_resort = slice_str(text);
}

static struct world *resort_world(const int *route, size_t n, const char *its_text)
{
    memcpy(route_of, route, n * sizeof *route);
    route_n = n;
    text = its_text;
    return world_new(with_text);
}

#define WORLD(its_text, ...)                                                                       \
    resort_world((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int),     \
                 (its_text))

static void world_end(struct world *w)
{
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* All targets fail. */
static void fail_all(struct world *w)
{
    struct call *c;
    while ((c = call_last_open(w->loop)) != NULL)
        call_fail(c, NET_FAIL_RESET, "with a detail");
}

static void check_counts(unsigned resorts)
{
    CHECK_EQ_I64(world_gauge("weir_last_resort_total"), resorts);
    CHECK_EQ_I64(world_metric("llm_requests_total", "status=\"502\""), 1);
    CHECK_EQ_I64(world_gauge("llm_requests_total"), 1);
    CHECK_EQ_I64(world_gauge("llm_tokens_total"), 0);
}

static void check_sorry(const struct net_stream *s, enum tongue t, bool stream)
{
    CHECK(s->state == CLIENT_ENDED && s->status == 200 && !s->close_after);
    CHECK(t == GOOGLE || answer_is_whole(s));
    if (stream) {
        struct text got = {0};
        tongue_text(s, t, &got);
        CHECK(tongue_finished(s, t));
        CHECK_EQ_LIT(text_view(&got), SORRY);
        text_done(&got);
    } else {
        CHECK(json_valid(text_view(&s->body)));
        CHECK_EQ_LIT(tongue_whole_text(s, t), ESCAPED);
    }
    CHECK(log_text_is("reason", "last_resort"));
    CHECK_EQ_I64(log_number("status"), 200);
}

TEST(in_every_dialect)
{
    for (unsigned i = 0; i < 2 * 2 * TONGUES_N; i++) {
        enum tongue t = (enum tongue)(i / 4);
        bool stream = i % 2, other = i / 2 % 2;
        check_note("%s, stream %d, %s", tongue_names[t], stream, other ? "translated" : "own");
        struct world *w = other ? WORLD(SORRY, CLAUDE, GEMINI) : WORLD(SORRY, ALPHA, BETA);
        struct net_stream *s = tongue_ask(w, t, "wires", stream, "");
        fail_all(w);
        check_sorry(s, t, stream);
        CHECK_EQ_LIT(client_field(s, "x-weir-last-resort"), "true");
        CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "2");
        CHECK_EQ_I64(log_attempts(), 2);
        check_counts(1);
        client_free(s);
        world_end(w);
    }
}

/* The head went out with comments: what would stand in it stands in one, too. */
TEST(after_comments)
{
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        check_note("%s", tongue_names[t]);
        struct world *w = WORLD(SORRY, ALPHA, CLAUDE);
        struct net_stream *s = tongue_ask(w, t, "wires", true, "");
        loop_advance(w->loop, 12 * NS_PER_S);
        CHECK_EQ_I64(s->sends, 1);
        fail_all(w);
        struct text got = {0};
        tongue_text(s, t, &got);
        CHECK_EQ_LIT(text_view(&got), SORRY);
        CHECK(tongue_finished(s, t) && !s->close_after);
        CHECK_EQ_I64((int64_t)client_field(s, "x-weir-last-resort").n, 0);
        CHECK_EQ_I64(says(s, "\n: x-weir-last-resort: true\n\n"), t != GOOGLE);
        text_done(&got);
        client_free(s);
        world_end(w);
    }
}

/* --- what form the request wants */

TEST(wanted_forms)
{
    static const struct {
        enum tongue tongue;
        const char *text, *more;
        bool given;
    } rows[] = {
        {CHAT, SORRY, ",\"response_format\":{\"type\":\"text\"}", true},
        {CHAT, SORRY, ",\"response_format\":{\"type\":\"json_object\"}", false},
        {CHAT, OBJECT, ",\"response_format\":{\"type\":\"json_object\"}", true},
        {CHAT, "[1]", ",\"response_format\":{\"type\":\"json_object\"}", false},
        {CHAT, OBJECT,
         ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\","
         "\"schema\":"
         "{}}}",
         false},
        {CHAT, SORRY,
         ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":"
         "\"auto\"",
         true},
        {CHAT, SORRY,
         ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":"
         "\"required\"",
         false},
        {CHAT, SORRY,
         ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{"
         "\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
         false},
        {RESPONSES, OBJECT, ",\"text\":{\"format\":{\"type\":\"json_object\"}}", true},
        {RESPONSES, SORRY,
         ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"x\",\"schema\":{}}}", false},
        {MESSAGES, SORRY,
         ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":{"
         "\"type\":\"any\"}",
         false},
        {GOOGLE, OBJECT, ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}", true},
        {GOOGLE, SORRY, ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        size_t row = i / 2;
        bool stream = i % 2;
        check_note("row %zu, stream %d", row, stream);
        struct world *w = WORLD(rows[row].text, ALPHA, BETA);
        struct net_stream *s = tongue_ask(w, rows[row].tongue, "wires", stream, rows[row].more);
        fail_all(w);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(s->status, rows[row].given ? 200 : 502);
        CHECK_EQ_I64(client_field(s, "x-weir-last-resort").n > 0, rows[row].given);
        CHECK(log_text_is("reason", rows[row].given ? "last_resort" : "upstream_reset"));
        check_counts(rows[row].given);
        client_free(s);
        world_end(w);
    }
}

/* The client hears of the targets' failure, not of why the text could not stand in for them. */
TEST(requests_that_cannot_be_read_in_full)
{
    struct world *w = WORLD(SORRY, ALPHA, BETA);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                 SLICE("{\"model\":\"wires\",\"messages\":[{\"role\":\"user\",\"content\":[{"
                       "\"type\":\"text\",\"text\":7}]}]}"));
    fail_all(w);
    check_error(s, GW_UPSTREAM_RESET);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "error.param"), "null");
    CHECK(says(s, "with a detail"));
    client_free(s);
    world_end(w);
}

/* --- not then */

TEST(never_behind_content)
{
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        check_note("%s", tongue_names[t]);
        struct world *w = WORLD(SORRY, GAMMA, CLAUDE);
        struct net_stream *s = tongue_ask(w, t, "wires", true, "");
        struct call *c = call_last_open(w->loop);
        bool responses = strstr(c->target.p, "/responses") != NULL;
        call_head(c, 200, SSE_HEAD, -1);
        if (responses)
            call_piece(c, SLICE(AV("response.output_text.delta",
                                   ",\"output_index\":0,\"item_id\":\"i\",\"content_index\":0,"
                                   "\"delta\":\"word\"")));
        else
            call_piece(c, SLICE(EV_ROLE EV_TEXT));
        CHECK(says(s, "word"));
        fail_all(w);
        CHECK(s->state == CLIENT_ENDED && s->close_after);
        CHECK(tongue_error(s, t).n > 0 && !says(s, "Nobody"));
        CHECK_EQ_I64(world_gauge("weir_last_resort_total"), 0);
        client_free(s);
        world_end(w);
    }
}

/* What the client itself has done wrong stays an error; what is the targets' business does not. */
TEST(whose_fault_it_is)
{
    static const struct {
        unsigned status;
        bool given;
    } rows[] = {{400, false}, {404, false}, {413, false}, {422, false}, {401, true},
                {402, true},  {403, true},  {408, true},  {429, true},  {500, true},
                {503, true},  {529, true},  {301, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("status %u", rows[i].status);
        struct world *w = WORLD(SORRY, ALPHA);
        struct net_stream *s = tongue_ask(w, CHAT, "wires", false, "");
        answer_json(call_last_open(w->loop), rows[i].status,
                    SLICE("{\"error\":{\"message\":\"no\"}}"));
        if (rows[i].given) {
            check_sorry(s, CHAT, false);
        } else {
            CHECK_EQ_I64(s->status, rows[i].status);
            CHECK(says(s, "\"no\""));
        }
        CHECK_EQ_I64(world_gauge("weir_last_resort_total"), rows[i].given);
        client_free(s);
        world_end(w);
    }
}

/* Timeouts, full queues, engines that do not run. */
TEST(other_failures)
{
    struct world *w = WORLD(SORRY, HOUSE);
    gate_set_limits(w->house, 1, 0);
    struct net_stream *holder = ask(w, "house", 0);
    struct net_stream *s = tongue_ask(w, MESSAGES, "wires", true, "");
    check_sorry(s, MESSAGES, true);
    client_free(s);
    gate_set_limits(w->house, 1, 1);
    s = tongue_ask(w, CHAT, "wires", false, "");
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    loop_advance(w->loop, 61 * NS_PER_S);
    check_sorry(s, CHAT, false);
    client_free(s);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    client_free(holder);
    world_end(w);

    w = WORLD(SORRY, TINY);
    gate_set_state(w->tiny, GATE_FAILED, 1, 2);
    s = tongue_ask(w, CHAT, "wires", false, "");
    check_sorry(s, CHAT, false);
    client_free(s);
    world_end(w);

    w = WORLD(SORRY, ALPHA);
    s = tongue_ask(w, GOOGLE, "wires", true, "");
    loop_advance(w->loop, 400 * NS_PER_S);
    CHECK(s->state == CLIENT_ENDED && tongue_finished(s, GOOGLE));
    client_free(s);
    world_end(w);
}

/* What needs no model's answer in words, and a client that has left. */
TEST(not_for)
{
    struct world *w = WORLD(SORRY, ALPHA);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/embeddings", NULL,
                                    SLICE("{\"model\":\"wires\",\"input\":\"hi\"}"));
    fail_all(w);
    check_error(s, GW_UPSTREAM_RESET);
    client_free(s);
    s = tongue_ask(w, CHAT, "wires", true, "");
    client_leave(s, NET_GONE_CLOSED);
    CHECK(log_text_is("reason", "client_closed_request"));
    client_free(s);
    s = ask_path(w, HTTP_GET, "/v1/files", NULL, SLICE_NONE);
    fail_all(w);
    CHECK_EQ_I64(s->status, 502);
    client_free(s);
    s = ask(w, "one", 0); /* another alias, which has none */
    fail_all(w);
    check_error(s, GW_UPSTREAM_RESET);
    client_free(s);
    CHECK_EQ_I64(world_gauge("weir_last_resort_total"), 0);
    world_end(w);
}

/* The legacy completions are in words, too. */
TEST(completions)
{
    for (int stream = 0; stream < 2; stream++) {
        struct world *w = WORLD(SORRY, ALPHA);
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/completions", NULL,
                     stream ? SLICE("{\"model\":\"wires\",\"prompt\":\"hi\",\"stream\":true}")
                            : SLICE("{\"model\":\"wires\",\"prompt\":\"hi\"}"));
        fail_all(w);
        CHECK(s->status == 200 && answer_is_whole(s) && !s->close_after);
        CHECK(says(s, "\"text\":\"" ESCAPED "\""));
        client_free(s);
        world_end(w);
    }
}

/* --- use cases */

static void with_use_case(struct gw_snapshot *s)
{
    with_text(s);
    struct gw_use_case *u = mem_must(arena_new(&s->arena, struct gw_use_case));
    u->scope = (struct gw_scope){.name = SLICE("desk"), .kind = SCOPE_USE_CASE};
    u->rules.retention_days = -1;
    u->last_resort = SLICE("The desk is closed.");
    s->auth_keys = true;
    snapshot_add_key(s, "desk", PRIORITY_NORMAL)->use_case = u;
}

TEST(own_text_of_a_use_case)
{
    memcpy(route_of, (const int[]){ALPHA}, sizeof *route_of);
    route_n = 1;
    text = SORRY;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_new(with_use_case);
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/chat/completions",
                     i == 0 ? "Authorization: Bearer sk-desk\n" : "Authorization: Bearer sk-good\n",
                     chat_body("wires", 0));
        fail_all(w);
        CHECK_EQ_SLICE(tongue_whole_text(s, CHAT),
                       slice_str(i == 0 ? "The desk is closed." : ESCAPED));
        client_free(s);
        world_end(w);
    }
}
