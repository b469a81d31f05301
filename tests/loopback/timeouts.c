/* Every time limit of GW_TIMEOUTS, and the gateway's own, on a clock that stands still: nothing
 * happens a nanosecond too early, everything at the very nanosecond. */
#include "base/clock.h"
#include "world.h"

#define S NS_PER_S

/* No two alike, so that one that stands for another is found out. */
static const int64_t limits[TIMEOUTS_N] = {
    [TIMEOUT_QUEUE] = 11 * S,         [TIMEOUT_CONNECT] = 3 * S, [TIMEOUT_TLS] = 5 * S,
    [TIMEOUT_WRITE] = 7 * S,          [TIMEOUT_HEAD] = 13 * S,   [TIMEOUT_FIRST_TOKEN] = 23 * S,
    [TIMEOUT_BETWEEN_TOKENS] = 9 * S, [TIMEOUT_TOTAL] = 100 * S,
};

static void set_limits(struct gw_snapshot *s)
{
    for (unsigned i = 0; i < PROVIDERS_N; i++)
        memcpy(snapshot_provider(s, i)->timeouts.ns, limits, sizeof limits);
    s->limits.commit_hold_ns = 60 * S;
}

/* Comments, too, would make the gateway look at its limits. */
static void set_limits_only(struct gw_snapshot *s)
{
    set_limits(s);
    s->limits.comment_ns = s->limits.commit_hold_ns = 3600 * S;
}

static void comments_at_once(struct gw_snapshot *s)
{
    set_limits_only(s);
    s->limits.commit_hold_ns = 0;
}

static void no_limits(struct gw_snapshot *s)
{
    for (unsigned i = 0; i < PROVIDERS_N; i++)
        memset(snapshot_provider(s, i)->timeouts.ns, 0, sizeof limits);
}

/* Nothing happens before `ns` have passed, and the attempt is over when they have. */
static void passes_at(struct call *c, int64_t ns)
{
    CHECK(c->lease != NULL);
    loop_advance(c->loop, ns - 1);
    CHECK(c->lease != NULL);
    loop_advance(c->loop, 1);
    CHECK(c->lease == NULL && c->cancelled);
}

static struct net_stream *ask_in_phase(struct world *w, const char *model, unsigned how,
                                       enum lease_phase phase)
{
    w->up[ALPHA]->begins = phase;
    return ask(w, model, how);
}

static const struct {
    enum lease_phase phase;
    enum gw_timeout limit;
    enum gw_error e;
    const char *outcome;
} phase_rows[] = {
    {LEASE_WAIT, TIMEOUT_QUEUE, GW_QUEUE_TIMEOUT, "outcome=\"refused\""},
    {LEASE_CONNECT, TIMEOUT_CONNECT, GW_CONNECT_TIMEOUT, "outcome=\"timeout\""},
    {LEASE_TLS, TIMEOUT_TLS, GW_TLS_TIMEOUT, "outcome=\"timeout\""},
    {LEASE_WRITE, TIMEOUT_WRITE, GW_WRITE_TIMEOUT, "outcome=\"timeout\""},
    {LEASE_HEAD, TIMEOUT_HEAD, GW_HEAD_TIMEOUT, "outcome=\"timeout\""},
};

TEST(phases)
{
    struct world *w = world_new(set_limits);
    for (size_t i = 0; i < 2 * ARRAY_LEN(phase_rows); i++) {
        size_t r = i / 2;
        check_note("%s", gw_error_row(phase_rows[r].e)->code);
        int64_t before = world_metric("weir_attempts_total", phase_rows[r].outcome);
        struct net_stream *s = ask_in_phase(w, "one", i & 1 ? ASK_STREAM : 0, phase_rows[r].phase);
        passes_at(call_last_open(w->loop), limits[phase_rows[r].limit]);
        check_error(s, phase_rows[r].e);
        CHECK(log_attempt_is(0, "alpha/m0", gw_error_row(phase_rows[r].e)->code));
        CHECK_EQ_I64(log_number("duration_us"), limits[phase_rows[r].limit] / NS_PER_US);
        CHECK_EQ_I64(world_metric("weir_attempts_total", phase_rows[r].outcome), before + 1);
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* From any phase to any other, in either direction (a resend goes back): the limit of the new one
 * counts from its beginning, though nobody told the gateway that it began. */
TEST(phases_that_follow_each_other)
{
    struct world *w = world_new(set_limits_only);
    for (size_t i = 0; i < ARRAY_LEN(phase_rows); i++) {
        for (size_t k = 0; k < ARRAY_LEN(phase_rows); k++) {
            check_note("row %zu, then %zu", i, k);
            struct net_stream *s = ask_in_phase(w, "one", 0, phase_rows[i].phase);
            struct call *c = call_last_open(w->loop);
            loop_advance(w->loop, 2 * S + 7);
            call_phase(c, phase_rows[k].phase);
            passes_at(c, limits[phase_rows[k].limit]);
            check_error(s, phase_rows[k].e);
            client_free(s);
        }
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* Until there is content, whatever else comes; from when the request went out. */
TEST(first_token)
{
    struct world *w = world_new(set_limits);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    loop_advance(w->loop, 12 * S);
    call_head(c, 200, SSE_HEAD, -1);
    loop_advance(w->loop, 10 * S);
    call_piece(c, SLICE(": ping\n\n" EV_ROLE "data: {"));
    passes_at(c, 1 * S);
    check_error(s, GW_FIRST_TOKEN_TIMEOUT);
    CHECK(log_attempt_is(0, "alpha/m0", "timeout_first_token"));
    client_free(s);
    s = ask(w, "one", ASK_STREAM); /* content ends it */
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    loop_advance(w->loop, 23 * S - 1);
    call_piece(c, SLICE(EV_TEXT));
    passes_at(c, 9 * S);
    check_stream_error(s, EV_TEXT ": waiting\n\n", "server_error", "timeout_between_tokens");
    client_free(s);
    s = ask(w, "one", 0); /* it is a limit of streams */
    c = call_last_open(w->loop);
    call_head(c, 200, JSON_HEAD, -1);
    for (int i = 0; i < 3; i++) {
        loop_advance(w->loop, 8 * S);
        call_piece(c, SLICE("{"));
    }
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void long_head(struct gw_snapshot *s)
{
    set_limits_only(s);
    snapshot_provider(s, ALPHA)->timeouts.ns[TIMEOUT_HEAD] = 30 * S;
}

/* It may pass before there is a head. */
TEST(first_token_before_the_head)
{
    struct world *w = world_new(long_head);
    struct net_stream *s = ask(w, "one", ASK_STREAM), *whole = ask(w, "one", 0);
    passes_at(call_at(w->loop, 0), 23 * S);
    check_error(s, GW_FIRST_TOKEN_TIMEOUT);
    passes_at(call_at(w->loop, 1), 7 * S);
    check_error(whole, GW_HEAD_TIMEOUT);
    client_free(s);
    client_free(whole);
    world_check_rest(w);
    world_free(w);
}

/* Silence, whatever breaks it. */
TEST(between_tokens)
{
    static const char *const pieces[] = {EV_TEXT, ": ping\n\n", "data: {\"cho"};
    struct world *w = world_new(set_limits_only);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        check_note("piece %zu", i);
        struct net_stream *s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, SLICE(EV_TEXT));
        loop_advance(w->loop, 9 * S - 1);
        call_piece(c, slice_str(pieces[i]));
        passes_at(c, 9 * S);
        CHECK(log_text_is("reason", "timeout_between_tokens"));
        CHECK_EQ_I64(log_attempts(), 1);
        CHECK(s->state == CLIENT_ENDED && s->close_after);
        client_free(s);
    }
    check_note("%s", "");
    struct net_stream *s = ask(w, "one", 0); /* answers that are no streams, too */
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, JSON_HEAD, 1000);
    loop_advance(w->loop, 9 * S - 1);
    call_piece(c, SLICE("{"));
    passes_at(c, 9 * S);
    check_error(s, GW_BETWEEN_TOKENS_TIMEOUT);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* From the arrival of the request, all attempts together; and no other is tried. */
TEST(total)
{
    struct world *w = world_new(set_limits);
    struct net_stream *s = ask(w, "three", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    loop_advance(w->loop, 23 * S);
    CHECK(c->lease == NULL && calls_open(w->loop) == 1);
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    for (int i = 0; i < 11; i++) {
        call_piece(c, SLICE(EV_TEXT));
        loop_advance(w->loop, 7 * S - 1);
    }
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    passes_at(c, 11);
    CHECK(log_text_is("reason", "timeout_total"));
    CHECK_EQ_I64(log_attempts(), 2);
    CHECK(log_attempt_is(0, "alpha/m0", "timeout_first_token"));
    CHECK(log_attempt_is(1, "beta/m1", "timeout_total"));
    CHECK_EQ_I64(log_number("duration_us"), 100 * S / NS_PER_US);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Waiting at a gate, and at two. */
TEST(queue)
{
    struct world *w = world_new(set_limits);
    struct net_stream *first = ask(w, "house", 0), *s = ask(w, "house", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 1);
    for (int64_t left = 11 * S - 1; left > 0; left -= MIN_OF(left, 8 * S)) {
        loop_advance(w->loop, MIN_OF(left, 8 * S));
        call_phase(c, LEASE_HEAD);
    }
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    loop_advance(w->loop, 1);
    check_error(s, GW_QUEUE_TIMEOUT);
    CHECK_EQ_LIT(client_field(s, "retry-after"), "1");
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 0);
    CHECK_EQ_I64(w->house->permits.waiting_n, 0);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    client_free(s);
    CHECK(permits_try(&w->tiny->permits));
    s = ask(w, "house-tiny", 0);
    loop_advance(w->loop, 11 * S - 1);
    call_phase(c, LEASE_HEAD);
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    loop_advance(w->loop, 1);
    check_error(s, GW_QUEUE_TIMEOUT);
    CHECK(log_attempts() == 1 && log_attempt_is(0, "house/m0", "queue_timeout"));
    permits_give(&w->tiny->permits);
    answer_json(c, 200, SLICE(CHAT_ANSWER));
    client_free(first);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* An open answer gets its head and a comment after `commit_hold`, and comments from then on. */
static void check_comments(struct world *w, int64_t hold, int64_t every)
{
    struct net_stream *s = ask(w, "two", ASK_STREAM), *whole = ask(w, "two", 0);
    struct call *c = call_at(w->loop, calls_made(w->loop) - 2);
    if (hold > 0)
        loop_advance(w->loop, hold - 1);
    CHECK_EQ_I64(s->sends, 0);
    loop_advance(w->loop, hold > 0 ? 1 : 0);
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_LIT(client_field(s, "content-type"), "text/event-stream");
    CHECK_EQ_LIT(text_view(&s->body), ": waiting\n\n");
    loop_advance(w->loop, every - 1);
    CHECK_EQ_I64(s->sends, 1);
    loop_advance(w->loop, 1);
    CHECK_EQ_LIT(text_view(&s->body), ": waiting\n\n: waiting\n\n");
    CHECK_EQ_I64(whole->sends, 0);
    call_fail(c, NET_FAIL_RESET, ""); /* headed is not delivering: another one may answer */
    answer_stream(call_last_open(w->loop), SLICE(EV_TEXT EV_FINISH EV_DONE));
    check_stream_complete(s, ": waiting\n\n: waiting\n\n" EV_TEXT EV_FINISH EV_DONE);
    CHECK(log_attempt_is(0, "alpha/m0", "upstream_reset") && log_attempt_is(1, "beta/m1", "ok"));
    client_leave(whole, NET_GONE_CLOSED);
    client_free(whole);
    client_free(s);
}

static void hold_of_nothing(struct gw_snapshot *s)
{
    s->limits.commit_hold_ns = s->limits.comment_ns = 0;
}

TEST(comments)
{
    struct world *w = world_new(NULL);
    check_comments(w, 10 * S, 5 * S);
    world_check_rest(w);
    world_free(w);
    w = world_new(hold_of_nothing);
    check_comments(w, 0, 5 * S);
    world_check_rest(w);
    world_free(w);
}

/* No comments behind the end, and none while the client is slow. */
TEST(comments_only_into_silence)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    for (int i = 0; i < 8; i++) {
        call_piece(c, SLICE(EV_TEXT));
        loop_advance(w->loop, 5 * S - 1);
    }
    CHECK_EQ_I64(s->sends, 8);
    s->room = 1;
    call_piece(c, SLICE(EV_TEXT));
    CHECK(s->full && call_paused(c));
    loop_advance(w->loop, 30 * S);
    CHECK_EQ_I64((int64_t)s->after_wait, 0);
    s->room = SIZE_MAX;
    client_drain(s);
    CHECK(!call_paused(c));
    loop_advance(w->loop, 5 * S);
    CHECK_EQ_I64(s->sends, 10);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* An upstream that does not end its answer behind [DONE] holds nobody up for long. */
TEST(after_done)
{
    struct world *w = world_new(set_limits_only);
    struct net_stream *s = ask(w, "house", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT EV_DONE));
    check_stream_complete(s, EV_TEXT EV_DONE);
    CHECK_EQ_I64(w->house->permits.held, 1);
    passes_at(c, 2 * S);
    CHECK(log_text_is("reason", "complete") && log_attempt_is(0, "house/m0", "ok"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* A slow client's time is its own: the upstream's silence counts from when it may speak again. */
TEST(slow_client)
{
    struct world *w = world_new(set_limits_only);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    s->room = 1;
    call_piece(c, SLICE(EV_TEXT));
    CHECK(call_paused(c));
    loop_advance(w->loop, 50 * S);
    CHECK(c->lease != NULL);
    s->room = SIZE_MAX;
    client_drain(s);
    CHECK(!call_paused(c));
    passes_at(c, 9 * S);
    CHECK(log_text_is("reason", "timeout_between_tokens"));
    client_free(s);
    s = ask(w, "one", ASK_STREAM); /* but not without end */
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    s->room = 1;
    call_piece(c, SLICE(EV_TEXT));
    passes_at(c, 100 * S);
    CHECK(log_text_is("reason", "timeout_total"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Nor does it suspend what does not depend on it: its place in a queue, and connecting. */
TEST(slow_client_before_the_answer)
{
    struct world *w = world_new(set_limits_only);
    for (int i = 0; i < 2; i++) {
        struct net_stream *holder = ask(w, "house", 0);
        struct call *c = call_last_open(w->loop);
        world_reload(w, comments_at_once);
        struct net_stream *s = ask(w, i == 0 ? "house" : "one", ASK_STREAM);
        s->room = 1;
        loop_turn(w->loop);
        CHECK(s->full && s->sends == 1);
        if (i > 0)
            call_phase(call_last_open(w->loop), LEASE_CONNECT);
        loop_advance(w->loop, limits[i == 0 ? TIMEOUT_QUEUE : TIMEOUT_CONNECT] - 1);
        CHECK_EQ_I64(s->state, CLIENT_OPEN);
        loop_advance(w->loop, 1);
        CHECK(log_text_is("reason", i == 0 ? "queue_timeout" : "timeout_connect"));
        answer_json(c, 200, SLICE(CHAT_ANSWER));
        client_free(holder);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* A second attempt finds the client as slow as the first one left it. */
TEST(slow_client_and_failover)
{
    struct world *w = world_new(comments_at_once);
    struct net_stream *s = ask(w, "two", ASK_STREAM);
    s->room = 1;
    loop_turn(w->loop);
    CHECK(s->full && call_paused(call_last_open(w->loop)));
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    struct call *c = call_last_open(w->loop);
    CHECK(call_paused(c));
    loop_advance(w->loop, 20 * S);
    s->room = SIZE_MAX;
    client_drain(s);
    CHECK(!call_paused(c));
    answer_stream(c, SLICE(EV_TEXT EV_DONE));
    check_stream_complete(s, ": waiting\n\n" EV_TEXT EV_DONE);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Each redirect of an upstream that answers late begins anew. */
TEST(moved)
{
    struct world *w = world_new(set_limits_only);
    struct net_stream *s = ask(w, "modal", 0);
    w->up[MODAL]->begins = LEASE_CONNECT;
    loop_advance(w->loop, 12 * S);
    struct call *c = call_last_open(w->loop);
    call_head(c, 303, "Location: /later?id=1\n", 0);
    call_end(c);
    c = call_last_open(w->loop);
    CHECK(c->method == HTTP_GET);
    CHECK_EQ_LIT(text_view(&c->target), "/later?id=1");
    passes_at(c, 3 * S);
    check_error(s, GW_CONNECT_TIMEOUT);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void no_answer(struct child *c, unsigned status, struct slice body)
{
    CHECK_EQ_I64(status, 504);
    CHECK_EQ_LIT(json_member(body, "error.code"), "timeout_total");
    c->status = 1;
}

TEST(child_deadline)
{
    struct world *w = world_new(set_limits);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *parent = call_last_open(w->loop);
    struct child c = {.purpose = "judge",
                      .op = LLM_CHAT,
                      .body = chat_body("two", 0),
                      .deadline_ns = net_now(w->loop) + 2 * S,
                      .done = no_answer};
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    passes_at(call_last_open(w->loop), 2 * S);
    CHECK_EQ_I64(c.status, 1);
    CHECK(log_text_is("purpose", "judge") && log_text_is("reason", "timeout_total"));
    CHECK_EQ_I64(log_attempts(), 1);
    passes_at(parent, 11 * S);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(no_limit_at_all)
{
    struct world *w = world_new(no_limits);
    struct net_stream *s = ask(w, "one", ASK_STREAM), *whole = ask(w, "house", 0),
                      *queued = ask(w, "house", 0);
    struct call *c = call_at(w->loop, 0);
    for (int phase = LEASE_WAIT; phase < LEASE_BODY; phase++) {
        call_phase(c, (enum lease_phase)phase);
        loop_advance(w->loop, 3600 * S);
    }
    call_head(c, 200, SSE_HEAD, -1);
    loop_advance(w->loop, 3600 * S);
    call_piece(c, SLICE(EV_TEXT));
    loop_advance(w->loop, 3600 * S);
    CHECK(s->state == CLIENT_OPEN && whole->state == CLIENT_OPEN && queued->state == CLIENT_OPEN);
    client_leave(s, NET_GONE_CLOSED);
    client_leave(whole, NET_GONE_CLOSED);
    client_leave(queued, NET_GONE_CLOSED);
    client_free(s);
    client_free(whole);
    client_free(queued);
    world_check_rest(w);
    world_free(w);
}
