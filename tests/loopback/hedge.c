/* Second attempts beside a slow first one: when they begin, which of the two the client gets, and
 * that the other leaves nothing behind. */
#include "base/clock.h"
#include "tongues.h"

#define AFTER NS_PER_S

static int route_of[4];
static size_t route_n;
static int64_t after_ns;
static unsigned percent;

static void hedged(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_retarget(m, s, route_of, route_n);
    m->hedge_after_ns = after_ns;
    m->hedge_percent = percent;
    snapshot_watch(m);
}

static void set_route(const int *route, size_t n)
{
    memcpy(route_of, route, n * sizeof *route);
    route_n = n;
    after_ns = AFTER;
    percent = 100;
}

#define ROUTE(...)                                                                                 \
    set_route((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static struct world *hedged_world(void)
{
    return world_new(hedged);
}

/* A request that is slow, and its two calls. */
static struct net_stream *slow_one(struct world *w, unsigned how, struct call *ret[2])
{
    struct net_stream *s = ask(w, "wires", how);
    ret[0] = call_last_open(w->loop);
    CHECK(ret[0] != NULL && calls_open(w->loop) == 1);
    loop_advance(w->loop, AFTER);
    ret[1] = call_last_open(w->loop);
    CHECK_EQ_I64(calls_open(w->loop), 2);
    CHECK(ret[1] != ret[0]);
    return s;
}

static void world_end(struct world *w)
{
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* Nothing is under way at the target, nor is anything held against it. */
static void check_health(struct target_live *t, const struct world *w, int64_t failures)
{
    struct target_view v;
    target_live_look(t, net_now(w->loop), &v);
    CHECK_EQ_I64(v.inflight, 0);
    CHECK_EQ_I64(v.failures_in_a_row, failures);
    CHECK(v.state == HEALTH_WELL);
}

static struct target_live *live_of(const struct world *w, unsigned i)
{
    const struct gw_snapshot *s = w->worker->use->snapshot;
    for (size_t m = 0; m < s->models_n; m++) {
        if (slice_is(s->model_list[m].name, "wires"))
            return s->model_list[m].targets[i].live;
    }
    return NULL;
}

TEST(after_the_delay_only)
{
    ROUTE(ALPHA, BETA);
    struct world *w = hedged_world();
    struct net_stream *s = ask(w, "wires", ASK_STREAM);
    loop_advance(w->loop, AFTER - 1);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    loop_advance(w->loop, 1);
    CHECK_EQ_I64(calls_made(w->loop), 2);
    CHECK(call_at(w->loop, 1)->upstream == w->up[BETA]);
    loop_advance(w->loop, 5 * AFTER); /* and no third */
    CHECK_EQ_I64(calls_made(w->loop), 2);
    CHECK_EQ_I64(metric_plain_value(MP_HEDGES), 1);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    /* one that has content in time has no other beside it */
    s = ask(w, "wires", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_ROLE EV_TEXT));
    loop_advance(w->loop, 5 * AFTER);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    call_piece(c, SLICE(EV_FINISH EV_DONE));
    call_end(c);
    CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "1");
    client_free(s);
    world_end(w);
}

#define ANSWER_OF(text, in, out)                                                                   \
    "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"    \
    "\"" text "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":" in                  \
    ",\"completion_tokens\":" out "}}"
#define STREAM_OF(text, in, out)                                                                   \
    EV_ROLE EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\"" text                               \
                       "\"}}]}\n\n" EV_FINISH EV_CHOICES "],\"usage\":{\"prompt_tokens\":" in      \
                       ",\"completion_tokens\":" out "}}\n\n" EV_DONE

/* Each says who it is, and is told apart by its fields and figures. */
static const char *const answers[2][2] = {
    {ANSWER_OF("first", "7", "3"), STREAM_OF("first", "7", "3")},
    {ANSWER_OF("second", "9", "5"), STREAM_OF("second", "9", "5")}};
static const char *const fields[2][2] = {{JSON_HEAD "x-request-id: first\nopenai-version: 1\n",
                                          SSE_HEAD "x-request-id: first\nopenai-version: 1\n"},
                                         {JSON_HEAD "x-request-id: second\nopenai-version: 2\n",
                                          SSE_HEAD "x-request-id: second\nopenai-version: 2\n"}};

static void check_winner(const struct net_stream *s, unsigned winner, bool stream)
{
    static const char *const names[2] = {"first", "second"}, *labels[2] = {"alpha/m0", "house/m1"};
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK(s->status == 200 && answer_is_whole(s) && !s->close_after);
    CHECK(says(s, names[winner]) && !says(s, names[1 - winner]));
    CHECK_EQ_SLICE(client_field(s, "x-weir-target"), slice_str(labels[winner]));
    CHECK_EQ_SLICE(client_field(s, "x-request-id"), slice_str(names[winner]));
    CHECK_EQ_SLICE(client_field(s, "openai-version"), slice_str(winner == 0 ? "1" : "2"));
    CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "2");
    CHECK_EQ_I64(log_attempts(), 2);
    CHECK(log_attempt_is(winner, labels[winner], "ok"));
    CHECK(log_attempt_is(1 - winner, labels[1 - winner], "hedged"));
    CHECK(log_text_is("reason", "complete"));
    CHECK_EQ_I64(log_number("input_tokens"), winner == 0 ? 7 : 9);
    CHECK_EQ_I64(log_number("output_tokens"), winner == 0 ? 3 : 5);
    (void)stream;
}

/* Whoever has content first, in whatever order heads and first events come. */
static void race(unsigned winner, bool stream, unsigned order)
{
    struct call *c[2];
    struct world *w = world_new_books(hedged, 64);
    struct net_stream *s = slow_one(w, stream ? ASK_STREAM : 0, c);
    CHECK(c[1]->upstream == w->up[HOUSE] && w->house->permits.held == 1);
    if (order > 0)
        call_head(c[1 - winner], 200, fields[1 - winner][stream], -1);
    call_head(c[winner], 200, fields[winner][stream], -1);
    if (order > 1 && stream)
        call_piece(c[1 - winner], SLICE(": hello\n\n" EV_ROLE)); /* which is no content */
    else if (order > 1)
        call_piece(c[1 - winner], slice_of(answers[1 - winner][0], 20));
    CHECK_EQ_I64(s->sends, 0);
    call_piece(c[winner], slice_str(answers[winner][stream]));
    if (c[winner]->lease != NULL)
        call_end(c[winner]);
    CHECK(c[1 - winner]->cancelled);
    check_winner(s, winner, stream);
    CHECK_EQ_I64(world_metric("weir_attempts_total", "outcome=\"hedged\""), 1);
    CHECK_EQ_I64(world_gauge("weir_fallbacks_total"), winner);
    CHECK_EQ_I64(world_metric("llm_tokens_total", "type=\"output\""), winner == 0 ? 3 : 5);
    for (unsigned i = 0; i < 2; i++)
        check_health(live_of(w, i), w, 0);
    CHECK_EQ_I64(world_rows(w), 2);
    client_free(s);
    world_end(w);
}

TEST(first_content_wins)
{
    ROUTE(ALPHA, HOUSE);
    for (unsigned i = 0; i < 12; i++) {
        check_note("%s wins, stream %u, order %u", i % 2 == 0 ? "first" : "second", i / 2 % 2,
                   i / 4);
        race(i % 2, i / 2 % 2, i / 4);
    }
}

/* Between different wires the client's answer is one of the two, and what is said of the request
 * belongs to it. */
TEST(winners_of_different_wires)
{
    ROUTE(ALPHA, CLAUDE);
    for (unsigned winner = 0; winner < 2; winner++) {
        struct call *c[2];
        struct world *w = hedged_world();
        check_note("winner %u", winner);
        struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                                        SLICE("{\"model\":\"wires\",\"stream\":true,\"nobody\":1,"
                                              "\"messages\":[{\"role\":\"user\",\"content\":"
                                              "\"hi\"}]}"));
        c[0] = call_last_open(w->loop);
        loop_advance(w->loop, AFTER);
        c[1] = call_last_open(w->loop);
        call_head(c[0], 200, SSE_HEAD, -1);
        call_head(c[1], 200, SSE_HEAD, -1);
        call_piece(c[1], SLICE(AV_START AV_BLOCK));
        call_piece(c[0], SLICE(EV_ROLE));
        if (winner == 0)
            call_piece(c[0], SLICE(EV_TEXT EV_FINISH EV_DONE));
        else
            call_piece(c[1], SLICE(AV_TEXT AV_BLOCK_STOP AV_DELTA AV_STOP));
        call_end(c[winner]);
        CHECK(answer_is_whole(s) && !s->close_after);
        CHECK_EQ_SLICE(client_field(s, "x-weir-dropped"), slice_str(winner == 0 ? "" : "nobody"));
        client_free(s);
        world_end(w);
    }
}

/* --- failures */

/* Of one of two: the other one goes on, and what is told of it is its own. */
TEST(one_of_two_fails)
{
    ROUTE(ALPHA, BETA);
    for (unsigned i = 0; i < 12; i++) {
        unsigned loser = i % 2, how = i / 4;
        bool stream = i / 2 % 2;
        struct call *c[2];
        check_note("loser %u, stream %d, how %u", loser, stream, how);
        struct world *w = hedged_world();
        struct net_stream *s = slow_one(w, stream ? ASK_STREAM : 0, c);
        if (how == 0)
            call_fail(c[loser], NET_FAIL_RESET, "with a detail");
        else if (how == 1)
            answer_json(c[loser], 503, SLICE("{\"error\":{\"message\":\"busy\"}}"));
        else
            answer_json(c[loser], 200, SLICE("junk"));
        CHECK(s->state == CLIENT_OPEN && c[loser]->lease == NULL && c[1 - loser]->lease != NULL);
        call_head(c[1 - loser], 200, stream ? SSE_HEAD : JSON_HEAD, -1);
        call_piece(c[1 - loser], stream ? SLICE(STREAM_OF("x", "7", "3")) : SLICE(CHAT_ANSWER));
        call_end(c[1 - loser]);
        CHECK(s->status == 200 && answer_is_whole(s) && !s->close_after);
        CHECK(log_attempt_is(1 - loser, loser == 0 ? "beta/m1" : "alpha/m0", "ok"));
        CHECK_EQ_I64(log_number("output_tokens"), 3);
        check_health(live_of(w, loser), w, 1);
        check_health(live_of(w, 1 - loser), w, 0);
        client_free(s);
        world_end(w);
    }
}

/* Both: the client hears of the later failure, and of nothing else; or there is a third target. */
TEST(both_fail)
{
    for (unsigned i = 0; i < 4; i++) {
        struct call *c[2];
        unsigned early = i % 2;
        ROUTE(ALPHA, BETA, GAMMA);
        route_n = i < 2 ? 2 : 3;
        check_note("row %u", i);
        struct world *w = hedged_world();
        struct net_stream *s = slow_one(w, ASK_STREAM, c);
        call_head(c[early], 429, "Retry-After: 7\nx-ratelimit-limit: 3\n", -1);
        call_piece(c[early], SLICE("{\"error\":{\"message\":\"slow\",\"code\":\"theirs\"}}"));
        call_end(c[early]);
        CHECK(s->state == CLIENT_OPEN && calls_open(w->loop) == 1);
        call_fail(c[1 - early], NET_FAIL_RESET, "");
        if (route_n == 2) {
            check_error(s, GW_UPSTREAM_RESET);
            CHECK(!says(s, "slow") && client_field(s, "retry-after").n == 0);
            CHECK_EQ_I64(log_attempts(), 2);
        } else {
            struct call *third = call_last_open(w->loop);
            CHECK(third->upstream == w->up[GAMMA]);
            answer_stream(third, SLICE(EV_TEXT EV_DONE));
            check_stream_complete(s, EV_TEXT EV_DONE);
            CHECK(log_attempt_is(2, "gamma/m2", "ok"));
        }
        client_free(s);
        world_end(w);
    }
}

/* A second one that fails at once. */
TEST(second_fails_at_once)
{
    ROUTE(ALPHA, BETA);
    struct world *w = hedged_world();
    w->up[BETA]->refuses = true;
    w->up[BETA]->refusal = NET_FAIL_CONNECT;
    struct net_stream *s = ask(w, "wires", ASK_STREAM);
    loop_advance(w->loop, AFTER);
    CHECK(calls_made(w->loop) == 2 && calls_open(w->loop) == 1);
    answer_stream(call_last_open(w->loop), SLICE(EV_TEXT EV_DONE));
    check_stream_complete(s, EV_TEXT EV_DONE);
    CHECK(log_attempt_is(0, "alpha/m0", "ok") && log_attempt_is(1, "beta/m1", "upstream_connect"));
    client_free(s);
    world_end(w);
}

/* Each has its own limits; those of the first end the first alone. */
static void short_first_token(struct gw_snapshot *s)
{
    hedged(s);
    snapshot_provider(s, ALPHA)->timeouts.ns[TIMEOUT_FIRST_TOKEN] = 3 * AFTER;
    snapshot_provider(s, BETA)->timeouts.ns[TIMEOUT_FIRST_TOKEN] = 4 * AFTER;
}

TEST(deadlines_of_both)
{
    ROUTE(ALPHA, BETA);
    for (unsigned i = 0; i < 2; i++) {
        struct call *c[2];
        check_note("row %u", i);
        struct world *w = world_new(short_first_token);
        struct net_stream *s = slow_one(w, ASK_STREAM, c);
        loop_advance(w->loop, 2 * AFTER - 1);
        CHECK_EQ_I64(calls_open(w->loop), 2);
        loop_advance(w->loop, 1);
        CHECK(c[0]->cancelled && c[1]->lease != NULL);
        loop_advance(w->loop, 2 * AFTER - 1);
        CHECK(c[1]->lease != NULL);
        if (i == 0) {
            loop_advance(w->loop, 1);
            check_error(s, GW_FIRST_TOKEN_TIMEOUT);
        } else {
            answer_stream(c[1], SLICE(EV_TEXT EV_DONE));
            check_stream_complete(s, EV_TEXT EV_DONE);
        }
        CHECK(log_attempt_is(0, "alpha/m0", "timeout_first_token"));
        client_free(s);
        world_end(w);
    }
}

static void short_second(struct gw_snapshot *s)
{
    hedged(s);
    snapshot_provider(s, BETA)->timeouts.ns[TIMEOUT_HEAD] = AFTER / 2;
}

TEST(deadline_of_the_second)
{
    ROUTE(ALPHA, BETA);
    struct call *c[2];
    struct world *w = world_new(short_second);
    struct net_stream *s = slow_one(w, 0, c);
    loop_advance(w->loop, AFTER / 2);
    CHECK(c[1]->cancelled && c[0]->lease != NULL);
    loop_advance(w->loop, 10 * AFTER);
    answer_json(c[0], 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    CHECK(log_attempt_is(1, "beta/m1", "timeout_head"));
    client_free(s);
    world_end(w);
}

/* --- where there is none */

static void not_hedged(struct gw_snapshot *s)
{
    hedged(s);
    snapshot_model(s, "wires")->hedge_after_ns = 0;
}

TEST(no_second_one)
{
    for (unsigned i = 0; i < 4; i++) {
        check_note("row %u", i);
        ROUTE(ALPHA, BETA);
        route_n = i == 0 ? 1 : 2;
        percent = i == 1 ? 0 : 100;
        struct world *w = world_new(i == 2 ? not_hedged : hedged);
        struct net_stream *s =
            i == 3 ? ask_path(w, HTTP_GET, "/v1/files", NULL, SLICE_NONE) : ask(w, "wires", 0);
        loop_advance(w->loop, 5 * AFTER);
        CHECK_EQ_I64(calls_made(w->loop), 1);
        CHECK_EQ_I64(metric_plain_value(MP_HEDGES), 0);
        answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        CHECK_EQ_I64(s->status, 200);
        client_free(s);
        world_end(w);
    }
}

/* Nobody's place is waited for or taken away; and the target is still there when the first fails.
 */
TEST(no_place_for_a_second_one)
{
    for (unsigned i = 0; i < 2; i++) {
        ROUTE(ALPHA, HOUSE);
        struct world *w = hedged_world();
        struct net_stream *holder = ask(w, "house", 0),
                          *waiting = i > 0 ? ask(w, "house", 0) : NULL;
        struct call *held = call_last_open(w->loop);
        struct net_stream *s = ask(w, "wires", 0);
        struct call *c = call_last_open(w->loop);
        CHECK(c->upstream == w->up[ALPHA]);
        loop_advance(w->loop, 2 * AFTER);
        CHECK_EQ_I64(calls_open(w->loop), 2);
        CHECK_EQ_I64(w->house->permits.waiting_n, i);
        CHECK_EQ_I64(world_gauge("weir_shed_total"), 0);
        CHECK_EQ_I64(metric_plain_value(MP_HEDGES), 0);
        call_fail(c, NET_FAIL_RESET, "");
        CHECK_EQ_I64(w->house->permits.waiting_n, i + 1);
        for (unsigned n = 0; n < i + 2; n++) {
            answer_json(n == 0 ? held : call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
            loop_turn(w->loop);
        }
        check_stream_complete(s, CHAT_ANSWER);
        CHECK_EQ_I64(log_attempts(), 2);
        client_free(holder);
        client_free(s);
        if (waiting != NULL)
            client_free(waiting);
        world_end(w);
    }
}

/* One in twenty. */
TEST(budget_of_second_ones)
{
    ROUTE(ALPHA, BETA);
    percent = 5;
    struct world *w = hedged_world();
    struct net_stream *s[40];
    for (unsigned i = 0; i < ARRAY_LEN(s); i++)
        s[i] = ask(w, "wires", 0);
    loop_advance(w->loop, AFTER);
    CHECK_EQ_I64(calls_made(w->loop), ARRAY_LEN(s) + 2);
    CHECK_EQ_I64(metric_plain_value(MP_HEDGES), 2);
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        client_leave(s[i], NET_GONE_CLOSED);
        client_free(s[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        check_health(live_of(w, i), w, 0); /* who left says nothing of them */
    world_end(w);
}

/* After the time by which 95% of the target's answers have begun, once that is known. */
TEST(after_what_is_usual)
{
    ROUTE(ALPHA, BETA);
    after_ns = -1;
    struct world *w = hedged_world();
    struct net_stream *s = ask(w, "wires", 0);
    loop_advance(w->loop, 60 * NS_PER_S);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    client_free(s);
    for (int i = 0; i < 30; i++) {
        uint64_t entry = target_live_enter(live_of(w, 0), net_now(w->loop));
        CHECK(entry != 0);
        target_live_report(live_of(w, 0),
                           &(struct target_report){
                               .outcome = TARGET_GOOD, .entry = entry, .first_ns = 200 * NS_PER_MS},
                           net_now(w->loop));
    }
    s = ask(w, "wires", 0);
    loop_advance(w->loop, 150 * NS_PER_MS);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    loop_advance(w->loop, 100 * NS_PER_MS);
    CHECK_EQ_I64(calls_open(w->loop), 2);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    client_free(s);
    world_end(w);
}

/* --- clients */

TEST(client_leaves_both)
{
    ROUTE(ALPHA, HOUSE);
    for (unsigned i = 0; i < 2; i++) {
        struct call *c[2];
        struct world *w = hedged_world();
        struct net_stream *s = slow_one(w, i > 0 ? ASK_STREAM : 0, c);
        client_leave(s, NET_GONE_CLOSED);
        CHECK(c[0]->cancelled && c[1]->cancelled);
        CHECK(log_attempt_is(0, "alpha/m0", "client_closed_request") &&
              log_attempt_is(1, "house/m1", "client_closed_request"));
        check_health(live_of(w, 0), w, 0);
        check_health(live_of(w, 1), w, 0);
        client_free(s);
        world_end(w);
    }
}

TEST(stop_during_both)
{
    ROUTE(ALPHA, HOUSE);
    struct call *c[2];
    struct world *w = hedged_world();
    struct net_stream *s = slow_one(w, ASK_STREAM, c);
    world_stop(w);
    CHECK_EQ_I64(w->house->permits.held, 0);
    CHECK_EQ_I64(s->state, CLIENT_GONE);
    client_free(s);
    world_free(w);
}

static void early_comments(struct gw_snapshot *s)
{
    hedged(s);
    s->limits.commit_hold_ns = AFTER / 2;
}

/* A comment that the client does not take pauses what there is; when it does, both go on. */
TEST(slow_client_of_both)
{
    ROUTE(ALPHA, BETA);
    for (unsigned i = 0; i < 2; i++) {
        check_note("row %u", i);
        struct world *w = world_new(early_comments);
        struct net_stream *s = ask(w, "wires", ASK_STREAM);
        s->room = 1;
        loop_advance(w->loop, AFTER / 2);
        CHECK(s->full && call_paused(call_last_open(w->loop)));
        loop_advance(w->loop, AFTER / 2);
        CHECK_EQ_I64(calls_open(w->loop), 2);
        struct call *c[2] = {call_at(w->loop, 0), call_at(w->loop, 1)};
        CHECK(call_paused(c[0]) && call_paused(c[1]));
        s->room = SIZE_MAX;
        client_drain(s);
        CHECK(!call_paused(c[0]) && !call_paused(c[1]));
        call_fail(c[i], NET_FAIL_RESET, "");
        answer_stream(c[1 - i], SLICE(EV_TEXT EV_DONE));
        CHECK(s->state == CLIENT_ENDED && answer_is_whole(s) && !s->close_after);
        client_free(s);
        world_end(w);
    }
}

/* Comments go on while both are silent. */
TEST(comments_beside_both)
{
    ROUTE(ALPHA, BETA);
    struct call *c[2];
    struct world *w = hedged_world();
    struct net_stream *s = slow_one(w, ASK_STREAM, c);
    loop_advance(w->loop, 9 * NS_PER_S);
    CHECK_EQ_I64(s->sends, 1);
    loop_advance(w->loop, 5 * NS_PER_S);
    CHECK_EQ_I64(s->sends, 2);
    answer_stream(c[1], SLICE(EV_TEXT EV_DONE));
    CHECK(answer_is_whole(s) && c[0]->cancelled);
    client_free(s);
    world_end(w);
}
