/* Clients of one dialect before providers of another: whole answers, streams, other targets of
 * another wire, streams that break off, errors within, clients that are slow, and names that mean
 * something in a path. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "world.h"

static bool says(const struct net_stream *s, const char *text)
{
    return memmem(s->body.p, s->body.n, text, strlen(text)) != NULL;
}

static bool ends(const struct net_stream *s, const char *text)
{
    size_t n = strlen(text);
    return s->body.n >= n && memcmp(s->body.p + s->body.n - n, text, n) == 0;
}

static struct net_stream *ask_messages(struct world *w, const char *model, bool stream)
{
    return ask_path(w, HTTP_POST, "/v1/messages", NULL, messages_body(model, stream));
}

static struct net_stream *ask_responses(struct world *w, const char *model)
{
    static char text[256];
    int n =
        snprintf(text, sizeof text, "{\"model\":\"%s\",\"input\":\"hi\",\"stream\":true}", model);
    return ask_path(w, HTTP_POST, "/v1/responses", NULL, slice_of(text, (size_t)n));
}

static struct call *headed(struct world *w)
{
    struct call *c = call_last_open(w->loop);
    CHECK(c != NULL);
    call_head(c, 200, SSE_HEAD, -1);
    return c;
}

static void check_path(const struct call *c, const char *want)
{
    CHECK_EQ_SLICE(text_view(&c->target), slice_str(want));
}

TEST(whole_answers_both_ways)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_messages(w, "one", false);
    struct call *c = call_last_open(w->loop);
    check_path(c, "/v1/chat/completions");
    CHECK(json_valid(text_view(&c->body)));
    answer_json(c, 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "content.0.text"), "hi");
    CHECK_EQ_LIT(json_member(text_view(&s->body), "stop_reason"), "end_turn");
    CHECK_EQ_LIT(json_member(text_view(&s->body), "usage.input_tokens"), "7");
    CHECK_EQ_I64(log_number("output_tokens"), 3);
    client_free(s);

    s = ask(w, "claude", 0);
    c = call_last_open(w->loop);
    check_path(c, "/v1/messages");
    CHECK(strstr(c->fields.p, "anthropic-version: ") != NULL);
    answer_json(c, 200, SLICE(MESSAGE_ANSWER));
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "choices.0.message.content"), "hi");
    CHECK_EQ_LIT(json_member(text_view(&s->body), "usage.prompt_tokens"), "7");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(streams_both_ways)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_messages(w, "one", true);
    struct call *c = headed(w);
    call_piece(c, SLICE(EV_ROLE));
    CHECK_EQ_I64(s->sends, 0);
    call_piece(c, SLICE(EV_TEXT));
    CHECK(says(s, "event: message_start") && says(s, "\"word\"") && !says(s, "message_stop"));
    call_piece(c, SLICE(EV_TEXT EV_FINISH EV_USAGE EV_DONE));
    call_end(c);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK(answer_is_whole(s) && !s->close_after);
    CHECK(says(s, "\"output_tokens\":3"));
    CHECK_EQ_I64(log_number("input_tokens"), 7);
    client_free(s);

    s = ask(w, "claude", ASK_STREAM | ASK_USAGE);
    c = headed(w);
    call_piece(c, SLICE(AV_START AV_BLOCK));
    CHECK_EQ_I64(s->sends, 0);
    CHECK(exchange_of(s)->body.p != NULL);
    call_piece(c, SLICE(AV_TEXT));
    CHECK(says(s, "\"content\":\"word\"") && !says(s, "[DONE]"));
    CHECK(exchange_of(s)->body.p == NULL);
    call_piece(c, SLICE(AV_TEXT AV_BLOCK_STOP AV_DELTA AV_STOP));
    call_end(c);
    CHECK(answer_is_whole(s) && !s->close_after && says(s, "\"completion_tokens\":3"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* What the first wire began to say is forgotten, and the other's answer stands for itself. */
TEST(another_wire_takes_over)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "claude-first", ASK_STREAM | ASK_USAGE);
    struct call *c = headed(w);
    call_piece(c, SLICE(AV_START AV_BLOCK));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    c = call_last_open(w->loop);
    check_path(c, "/v1/chat/completions");
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_ROLE EV_TEXT EV_FINISH EV_USAGE EV_DONE));
    call_end(c);
    check_stream_complete(s, EV_ROLE EV_TEXT EV_FINISH EV_USAGE EV_DONE);
    CHECK_EQ_I64(log_number("output_tokens"), 3);
    client_free(s);

    static const char *const firsts[] = {EV_ROLE, EV_ROLE EV_ERROR, ""};
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        s = ask_messages(w, "claude-last", true);
        c = headed(w);
        if (*firsts[i] != '\0')
            call_piece(c, slice_str(firsts[i]));
        if (c->lease != NULL)
            call_end(c);
        CHECK_EQ_I64(s->sends, 0);
        c = headed(w);
        check_path(c, "/v1/messages");
        call_piece(c, SLICE(AV_ALL));
        call_end(c);
        check_stream_complete(s, AV_ALL);
        client_free(s);
    }

    s = ask_messages(w, "wires", true);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    c = headed(w);
    check_path(c, "/v1/models/m2:streamGenerateContent?alt=sse");
    call_piece(c, SLICE(GV_TEXT GV_FINISH));
    call_end(c);
    CHECK(answer_is_whole(s) && !s->close_after && says(s, "\"word\""));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* What a failed attempt used up says nothing of the next one's. */
TEST(figures_of_a_failed_attempt)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "claude-first", ASK_STREAM);
    struct call *c = headed(w);
    call_piece(c, SLICE("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{"
                        "\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\","
                        "\"content\":[],\"usage\":{\"input_tokens\":1,"
                        "\"cache_read_input_tokens\":900,\"output_tokens\":1}}}\n\n"));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    c = headed(w);
    call_piece(c, SLICE(EV_ROLE EV_TEXT EV_FINISH EV_USAGE EV_DONE));
    call_end(c);
    CHECK_EQ_I64(log_number("input_tokens"), 7);
    CHECK_EQ_I64(log_number("cached_tokens"), -1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* A target that cannot be asked says less than the failure of one that was. */
TEST(the_other_target_lacks_it)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                                    SLICE("{\"model\":\"claude-last\",\"n\":2,\"messages\":[{"
                                          "\"role\":\"user\",\"content\":\"hi\"}]}"));
    struct call *c = call_last_open(w->loop);
    call_head(c, 503, JSON_HEAD "Retry-After: 7\n", -1);
    call_piece(c, SLICE("{\"error\":{\"message\":\"too busy\"}}"));
    call_end(c);
    CHECK_EQ_I64(s->status, 503);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "error.message"), "too busy");
    CHECK_EQ_LIT(client_field(s, "retry-after"), "7");
    CHECK_EQ_I64(calls_made(w->loop), 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(broken_streams)
{
    static const struct {
        const char *events;
        bool anthropic; /* the provider; the client speaks the other dialect */
        const char *code;
    } rows[] = {
        {AV_START AV_BLOCK AV_TEXT, true, "upstream_cut"},
        {AV_START AV_BLOCK AV_TEXT AV_BLOCK_STOP, true, "upstream_cut"},
        {AV_START AV_BLOCK AV_TEXT AV_BLOCK_STOP AV_DELTA, true, "upstream_cut"},
        {AV_START AV_BLOCK AV_TEXT AV_ERROR, true, "upstream_error"},
        {AV_START AV_BLOCK AV_TEXT "data: {\n\n", true, "upstream_bad_answer"},
        {EV_ROLE EV_TEXT, false, "upstream_cut"},
        {EV_ROLE EV_TEXT EV_FINISH, false, "upstream_cut"},
        {EV_ROLE EV_TEXT EV_ERROR, false, "kaputt"},
        {EV_ROLE EV_TEXT EV_JUNK, false, "upstream_bad_answer"},
        {EV_ROLE EV_TEXT EV_DONE, false, "upstream_bad_answer"},
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        struct net_stream *s = rows[i].anthropic ? ask(w, "claude-first", ASK_STREAM)
                                                 : ask_messages(w, "claude-last", true);
        struct call *c = headed(w);
        call_piece(c, slice_str(rows[i].events));
        if (c->lease != NULL)
            call_end(c);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK(s->close_after && answer_is_whole(s) && says(s, "word"));
        CHECK(!says(s, "[DONE]") && !says(s, "message_stop"));
        CHECK_EQ_I64(log_attempts(), 1);
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(slow_clients)
{
    struct world *w = world_new(NULL);
    for (int i = 0; i < 2; i++) {
        struct net_stream *s = i == 0 ? ask(w, "claude", ASK_STREAM) : ask_messages(w, "one", true);
        s->room = 300;
        struct call *c = headed(w);
        call_piece(c, i == 0 ? SLICE(AV_START AV_BLOCK AV_TEXT AV_TEXT)
                             : SLICE(EV_ROLE EV_TEXT EV_TEXT));
        CHECK(call_paused(c));
        loop_advance(w->loop, 60 * NS_PER_S); /* no limit of the upstream's runs meanwhile */
        CHECK_EQ_I64(s->state, CLIENT_OPEN);
        s->room = SIZE_MAX;
        client_drain(s);
        CHECK(!call_paused(c));
        call_piece(c, i == 0 ? SLICE(AV_BLOCK_STOP AV_DELTA AV_STOP)
                             : SLICE(EV_FINISH EV_USAGE EV_DONE));
        call_end(c);
        CHECK(answer_is_whole(s) && !s->close_after);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* A client that has been kept waiting is told of a failure in a form that stands for itself: what
 * the failed attempt had begun to say has not gone out. */
TEST(failures_after_comments)
{
    static const struct {
        const char *path, *body, *want;
    } rows[] = {
        {"/v1beta/models/one:streamGenerateContent",
         "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}", "\n[{\"error\":{"},
        {"/v1beta/models/one:streamGenerateContent?alt=sse",
         "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}", "\ndata: {\"error\":{"},
        {"/v1/responses", "{\"model\":\"one\",\"input\":\"hi\",\"stream\":true}",
         ": waiting\n\nevent: error\ndata: {\"type\":\"error\",\"sequence_number\":0,"},
        {"/v1/messages",
         "{\"model\":\"one\",\"max_tokens\":9,\"stream\":true,\"messages\":"
         "[{\"role\":\"user\",\"content\":\"hi\"}]}",
         "event: error\ndata: {"},
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        check_note("row %zu, %s", i / 2, i % 2 == 0 ? "at once" : "begun");
        struct net_stream *s =
            ask_path(w, HTTP_POST, rows[i / 2].path, NULL, slice_str(rows[i / 2].body));
        loop_advance(w->loop, 10 * NS_PER_S);
        CHECK_EQ_I64(s->sends, 1);
        struct call *c = headed(w);
        if (i % 2 == 1)
            call_piece(c, SLICE(EV_ROLE));
        call_fail(c, NET_FAIL_TRUNCATED, "");
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK(says(s, rows[i / 2].want));
        CHECK(i / 2 != 0 || json_valid(text_view(&s->body)));
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* The Responses stream begins by telling the request's tools, twice. */
TEST(many_tools)
{
    enum { SIZE = 1 << 20 };
    struct world *w = world_new(NULL);
    struct text body = {0};
    text_add(&body, SLICE("{\"model\":\"claude\",\"stream\":true,\"input\":\"hi\",\"tools\":[{"
                          "\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":"
                          "\"object\"},\"description\":\""));
    char *dots = malloc(SIZE);
    CHECK(dots != NULL);
    memset(dots, '.', SIZE);
    text_add(&body, slice_of(dots, SIZE));
    text_add(&body, SLICE("\"}]}"));
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/responses", NULL, text_view(&body));
    loop_jobs(w->loop);
    struct call *c = headed(w);
    call_piece(c, SLICE(AV_START AV_BLOCK AV_TEXT));
    CHECK(says(s, "response.output_text.delta"));
    call_piece(c, SLICE(AV_BLOCK_STOP AV_DELTA AV_STOP));
    call_end(c);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK(says(s, "event: response.completed"));
    client_free(s);

    s = ask_path(w, HTTP_POST, "/v1/responses", NULL, text_view(&body));
    loop_jobs(w->loop);
    c = headed(w);
    call_piece(c, SLICE(AV_START AV_BLOCK AV_TEXT));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK(says(s, "event: response.failed"));
    client_free(s);
    free(dots);
    text_done(&body);
    world_check_rest(w);
    world_free(w);
}

/* More names than a header can hold: the first are told, and that there are more. */
TEST(many_dropped_names)
{
    struct world *w = world_new(NULL);
    struct text body = {0};
    char name[64];
    text_add(&body, SLICE("{\"model\":\"claude\",\"messages\":[{\"role\":\"user\",\"content\":"
                          "\"hi\"}]"));
    for (int i = 0; i < 20000; i++) {
        int n = snprintf(name, sizeof name, ",\"nobody_knows_this_member_%d\":1", i);
        text_add(&body, slice_of(name, (size_t)n));
    }
    text_add(&body, SLICE("}"));
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, text_view(&body));
    struct call *c = call_last_open(w->loop);
    CHECK(c != NULL);
    answer_json(c, 200, SLICE(MESSAGE_ANSWER));
    CHECK_EQ_I64(s->status, 200);
    struct slice dropped = client_field(s, "x-weir-dropped");
    CHECK(slice_starts(dropped, SLICE("nobody_knows_this_member_0, nobody")));
    CHECK(dropped.n < 4096 && slice_eq(slice_from(dropped, dropped.n - 3), SLICE("...")));
    client_free(s);
    text_done(&body);

    s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                 SLICE("{\"model\":\"claude\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
                       ",\"a\\r\\nSet-Cookie: b\":1,\"\\u00fc,\":2}"));
    answer_json(call_last_open(w->loop), 200, SLICE(MESSAGE_ANSWER));
    CHECK_EQ_LIT(client_field(s, "x-weir-dropped"), "a??Set-Cookie:?b, ???");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void dated(struct gw_snapshot *s)
{
    snapshot_provider(s, AZURE)->api_version = SLICE("1");
}

/* Names of models that mean something in a path, where they stand in one. */
TEST(models_in_paths)
{
    static const struct {
        const char *model, *path; /* NULL: refused */
    } rows[] = {
        {"azure/a b?c#d/e%2F", "/v1/a%20b%3Fc%23d%2Fe%252F/chat/completions?api-version=1"},
        {"azure/x&y=z: a'", "/v1/x%26y%3Dz%3A%20a%27/chat/completions?api-version=1"},
        {"azure/gpt-4.1_mini~x", "/v1/gpt-4.1_mini~x/chat/completions?api-version=1"},
        {"azure/..", NULL},
        {"azure/.", NULL},
        {"gemini/a/../b?c#", "/v1/models/a%2F..%2Fb%3Fc%23:generateContent"},
        {"replicate/a/../../account", NULL},
        {"replicate/meta/llama 3", "/v1/models/meta/llama%203/predictions"},
    };
    struct world *w = world_new(dated);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].model);
        struct net_stream *s = ask(w, rows[i].model, 0);
        struct call *c = call_last_open(w->loop);
        CHECK_EQ_I64(c != NULL, rows[i].path != NULL);
        if (c != NULL) {
            check_path(c, rows[i].path);
            call_fail(c, NET_FAIL_RESET, "");
        } else {
            check_error(s, GW_MODEL_NOT_FOUND);
        }
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(model_in_a_path_of_ours)
{
    static const char *const bad[] = {"gemini%2Fa%0d%0ab", "gemini%2F%ff", "gemini%2Fa%7f"};
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char path[64];
        snprintf(path, sizeof path, "/v1beta/models/%s:generateContent", bad[i]);
        struct net_stream *s = ask_path(w, HTTP_POST, path, NULL,
                                        SLICE("{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}"));
        CHECK(call_last_open(w->loop) == NULL);
        CHECK_EQ_I64(s->status, 400);
        CHECK_EQ_LIT(json_member(text_view(&s->body), "error.status"), "INVALID_ARGUMENT");
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* An error as long as any that is read still reaches the client. */
TEST(long_errors)
{
    enum { SIZE = (1 << 20) - 64 };
    struct world *w = world_new(NULL);
    struct text body = {0};
    char *dots = malloc(SIZE);
    CHECK(dots != NULL);
    memset(dots, '.', SIZE);
    text_add(&body, SLICE("{\"error\":{\"message\":\""));
    text_add(&body, slice_of(dots, SIZE));
    text_add(&body, SLICE("\"}}"));
    for (int i = 0; i < 2; i++) {
        struct net_stream *s = i == 0 ? ask(w, "one", 0) : ask_messages(w, "one", false);
        answer_json(call_last_open(w->loop), 400, text_view(&body));
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(s->status, 400);
        CHECK(json_valid(text_view(&s->body)));
        client_free(s);
    }
    free(dots);
    text_done(&body);
    world_check_rest(w);
    world_free(w);
}

/* Methods and paths beside those that there are. */
TEST(other_methods_and_paths)
{
    static const struct {
        enum http_method method;
        const char *path;
        unsigned status;
        const char *member;
    } rows[] = {
        {HTTP_GET, "/v1/messages", 405, "error.type"},
        {HTTP_HEAD, "/v1/messages", 405, NULL},
        {HTTP_OPTIONS, "/v1/responses", 405, "error.type"},
        {HTTP_GET, "/v1beta/models/one:generateContent", 405, "error.status"},
        {HTTP_POST, "/v1beta/models/one:sing", 404, "error.status"},
        {HTTP_POST, "/v1/messages/batches", 404, "request_id"},
        {HTTP_POST, "/v1beta/models/:generateContent", 404, "error.message"},
        {HTTP_GET, "/v1/models/one", 200, "id"},
        {HTTP_HEAD, "/v1/models/one", 200, NULL},
        {HTTP_GET, "/v1/models/none:1b", 404, "error.message"},
        {HTTP_POST, "/v1/models/one", 405, "error.type"},
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].path);
        struct net_stream *s = ask_path(w, rows[i].method, rows[i].path, NULL, SLICE_NONE);
        CHECK_EQ_I64(s->status, rows[i].status);
        if (rows[i].member != NULL)
            CHECK(json_member(text_view(&s->body), rows[i].member).n > 0);
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* The credential in a query is for the gateway alone. */
TEST(key_in_the_query)
{
    struct world *w = world_new(NULL);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1beta/models/gemini:generateContent?key=sk-secret", NULL,
                 SLICE("{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}"));
    struct call *c = call_last_open(w->loop);
    check_path(c, "/v1/models/m0:generateContent");
    CHECK(memmem(c->fields.p, c->fields.n, "sk-secret", 9) == NULL);
    call_fail(c, NET_FAIL_RESET, "");
    struct slice line = log_line(log_lines() - 1);
    CHECK(memmem(line.p, line.n, "sk-secret", 9) == NULL);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Any point of a stream may be where it is cut; no client takes a part for the whole. */
TEST(cut_anywhere)
{
    static const char whole[] = AV_ALL;
    struct world *w = world_new(NULL);
    for (size_t n = 1; n < sizeof whole - 1; n += 7) {
        for (int i = 0; i < 2; i++) {
            struct net_stream *s =
                i == 0 ? ask(w, "claude", ASK_STREAM) : ask_responses(w, "claude");
            struct call *c = headed(w);
            call_piece(c, slice_of(whole, n));
            if (c->lease != NULL)
                call_fail(c, NET_FAIL_TRUNCATED, "");
            CHECK_EQ_I64(s->state, CLIENT_ENDED);
            CHECK(s->status != 200 || s->close_after);
            CHECK(!ends(s, EV_DONE) && !says(s, "response.completed"));
            client_free(s);
        }
    }
    world_check_rest(w);
    world_free(w);
}
