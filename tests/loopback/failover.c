/* Which target is tried when, what of a failed attempt reaches the client (nothing, or its error),
 * and what passes through when all goes well. */
#include "base/clock.h"
#include "world.h"

/* The targets of "five" in their order; only four are ever tried. */
TEST(four_attempts_at_most)
{
    static const int order[] = {ALPHA, BETA, GAMMA, DELTA};
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "five", 0);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        struct call *c = call_at(w->loop, i);
        char model[32];
        CHECK(c != NULL && c->lease != NULL && calls_open(w->loop) == 1);
        CHECK(c->upstream == w->up[order[i]]);
        snprintf(model, sizeof model, "\"model\":\"m%u\"", i); /* under its name there */
        CHECK(strstr(c->body.p, model) != NULL);
        call_fail(c, NET_FAIL_RESET, "");
    }
    check_error(s, GW_UPSTREAM_RESET);
    CHECK_EQ_I64(log_attempts(), 4);
    CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "4");
    CHECK_EQ_LIT(client_field(s, "x-weir-target"), "delta/m3");
    CHECK_EQ_I64(calls_made(w->loop), 4);
    CHECK_EQ_I64(world_metric("weir_attempts_total", "outcome=\"cut\""), 4);
    CHECK_EQ_I64(world_gauge("weir_fallbacks_total"), 0); /* nobody answered */
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(second_target_answers)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "two", 0);
    call_fail(call_last_open(w->loop), NET_FAIL_CONNECT, "");
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "2");
    CHECK_EQ_I64((int64_t)client_field(s, "x-should-retry").n, 0);
    CHECK(log_text_is("reason", "complete"));
    CHECK_EQ_I64(log_number("input_tokens"), 7);
    CHECK_EQ_I64(log_number("output_tokens"), 3);
    CHECK_EQ_I64(world_gauge("weir_fallbacks_total"), 1);
    CHECK_EQ_I64(world_metric("llm_tokens_total", "type=\"output\""), 3);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* What an attempt left behind is not told as the next one's. */
TEST(traces_of_an_attempt_go_with_it)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "two", 0);
    struct call *c = call_last_open(w->loop);
    call_head(c, 429, "Retry-After: 7\nx-ratelimit-limit: 3\nx-request-id: theirs\n", -1);
    call_piece(c, SLICE("{\"error\":{\"message\":\"slow\",\"code\":\"their-code\"}}"));
    call_end(c);
    call_fail(call_last_open(w->loop), NET_FAIL_DNS, "");
    check_error(s, GW_UPSTREAM_DNS);
    CHECK_EQ_I64((int64_t)client_field(s, "retry-after").n, 0);
    CHECK_EQ_I64((int64_t)client_field(s, "x-ratelimit-limit").n, 0);
    CHECK_EQ_SLICE(client_field(s, "x-request-id"), client_field(s, "x-weir-request-id"));
    CHECK_EQ_LIT(client_field(s, "x-should-retry"), "false");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Events before the first content are held, and go with the attempt that gave them. */
TEST(held_events)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "three", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(": first\n\n" EV_ROLE));
    CHECK_EQ_I64(s->sends, 0);
    call_fail(c, NET_FAIL_TRUNCATED, "");
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(": second\n\n"));
    call_piece(c, SLICE(EV_ROLE EV_ERROR)); /* an error in the first events is a failed attempt */
    CHECK_EQ_I64(s->sends, 0);
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD "x-request-id: theirs\nOpenAI-Version: 1\n", -1);
    call_piece(c, SLICE(": third\n\n" EV_ROLE));
    CHECK_EQ_I64(s->sends, 0);
    call_piece(c, SLICE(EV_TEXT));
    CHECK_EQ_I64(s->sends, 1); /* head and all that was held, in one */
    CHECK_EQ_LIT(client_field(s, "x-request-id"), "theirs");
    CHECK_EQ_LIT(client_field(s, "openai-version"), "1");
    call_piece(c, SLICE(EV_FINISH EV_DONE));
    call_end(c);
    check_stream_complete(s, ": third\n\n" EV_ROLE EV_TEXT EV_FINISH EV_DONE);
    CHECK(c->reusable);
    CHECK(log_attempt_is(0, "alpha/m0", "upstream_cut") &&
          log_attempt_is(1, "beta/m1", "upstream_error") && log_attempt_is(2, "gamma/m2", "ok"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* An upstream may answer before it has read the request, which must stay where it is until then. */
TEST(early_answer)
{
    struct world *w = world_new(NULL);
    for (int i = 0; i < 2; i++) {
        w->up[ALPHA]->begins = LEASE_WRITE;
        struct net_stream *s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        if (i > 0)
            call_phase(c, LEASE_HEAD);
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, SLICE(EV_TEXT));
        CHECK_EQ_I64(exchange_of(s)->body.p != NULL, i == 0);
        call_piece(c, SLICE(EV_TEXT EV_DONE));
        call_end(c);
        check_stream_complete(s, EV_TEXT EV_TEXT EV_DONE);
        client_free(s);
    }
    w->up[ALPHA]->begins = LEASE_WRITE; /* that it could be sent once more changes nothing */
    struct net_stream *s = ask(w, "two", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    check_stream_error(s, EV_TEXT, "server_error", "upstream_cut");
    CHECK_EQ_I64(log_attempts(), 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* They have a ceiling. */
TEST(too_much_before_the_first_content)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "two", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    static char comment[60000];
    memset(comment, ':', sizeof comment);
    memcpy(comment + sizeof comment - 2, "\n\n", 2);
    call_head(c, 200, SSE_HEAD, -1);
    for (int i = 0; i < 17; i++)
        call_piece(c, slice_of(comment, sizeof comment));
    CHECK(c->lease != NULL && s->sends == 0);
    call_piece(c, slice_of(comment, sizeof comment));
    CHECK(c->cancelled);
    check_error(s, GW_UPSTREAM_TOO_LARGE);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* The usage that Weir asks for is counted, and cut out where the client did not ask. */
TEST(usage)
{
    struct world *w = world_new(NULL);
    for (int i = 0; i < 2; i++) {
        struct net_stream *s = ask(w, "one", ASK_STREAM | (i > 0 ? ASK_USAGE : 0));
        struct call *c = call_last_open(w->loop);
        CHECK(strstr(c->body.p, "\"include_usage\":true") != NULL);
        answer_stream(c, SLICE(EV_TEXT EV_FINISH EV_USAGE EV_DONE));
        check_stream_complete(s, i > 0 ? EV_TEXT EV_FINISH EV_USAGE EV_DONE
                                       : EV_TEXT EV_FINISH EV_DONE);
        CHECK_EQ_I64(log_number("input_tokens"), 7);
        CHECK_EQ_I64(log_number("output_tokens"), 3);
        CHECK_EQ_I64(log_number("bytes_out"), (int64_t)s->body.n);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* Usage beside content is cut out of its event alone. */
TEST(usage_beside_content)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    answer_stream(call_last_open(w->loop),
                  SLICE(EV_TEXT EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\"x\"}}],"
                                           "\"usage\":{\"completion_tokens\":3}}\n\n" EV_DONE));
    check_stream_complete(s, EV_TEXT EV_CHOICES
                          "{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n" EV_DONE);
    CHECK_EQ_I64(log_number("output_tokens"), 3);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* [DONE] has come: whatever breaks behind it, in the same read or later, the answer is whole. */
TEST(trouble_behind_the_end)
{
    struct world *w = world_new(NULL);
    for (int i = 0; i < 3; i++) {
        check_note("row %d", i);
        struct net_stream *s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, SLICE(EV_TEXT));
        call_body(c, SLICE(EV_FINISH EV_DONE "data: {junk\n\n"), false);
        if (i > 0)
            call_flush(c);
        if (i < 2)
            call_fail(c, NET_FAIL_BAD_ANSWER, "malformed chunk");
        else
            call_end(c);
        check_stream_complete(s, EV_TEXT EV_FINISH EV_DONE);
        CHECK(!s->close_after);
        CHECK(log_text_is("reason", "complete") && log_attempt_is(0, "alpha/m0", "ok"));
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* --- gates */

TEST(full_queue)
{
    struct world *w = world_new(NULL);
    struct net_stream *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = ask(w, "house", 0);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    struct net_stream *one_more = ask(w, "house", 0);
    check_error(one_more, GW_QUEUE_FULL);
    CHECK_EQ_LIT(client_field(one_more, "retry-after"), "1");
    client_free(one_more);
    one_more = ask(w, "house-five", 0);
    check_error(one_more, GW_QUEUE_FULL);
    CHECK_EQ_I64(log_attempts(), 1); /* once is enough for one queue */
    client_free(one_more);
    one_more = ask(w, "house-twice", 0); /* whose third target is another one, reached at once */
    CHECK_EQ_I64(calls_open(w->loop), 2);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(one_more, CHAT_ANSWER);
    CHECK(log_attempts() == 1 && log_attempt_is(0, "alpha/m2", "ok")); /* the full ones are last */
    client_free(one_more);
    for (int i = 0; i < 3; i++) { /* first come, first served */
        CHECK_EQ_I64(calls_open(w->loop), 1);
        answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        CHECK_EQ_I64(s[i]->state, CLIENT_ENDED);
        client_free(s[i]);
        loop_turn(w->loop);
    }
    world_check_rest(w);
    world_free(w);
}

TEST(engine_starts_or_fails)
{
    struct world *w = world_new(NULL);
    gate_set_state(w->tiny, GATE_STARTING, 1, 2);
    struct net_stream *s[2] = {ask(w, "tiny", 0), ask(w, "tiny", ASK_STREAM)};
    CHECK_EQ_I64(calls_made(w->loop), 0);
    gate_set_state(w->tiny, GATE_OPEN, 1, 2);
    loop_turn(w->loop);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s[0], CHAT_ANSWER);
    gate_set_state(w->tiny, GATE_FAILED, 1, 2); /* while a grant is on its way */
    loop_turn(w->loop);
    check_error(s[1], GW_ENGINE_FAILED);
    client_free(s[0]);
    client_free(s[1]);
    s[0] = ask(w, "tiny", 0);
    check_error(s[0], GW_ENGINE_FAILED);
    client_free(s[0]);
    gate_set_state(w->tiny, GATE_STARTING, 1, 2);
    s[0] = ask(w, "tiny", 0);
    gate_set_state(w->tiny, GATE_FAILED, 1, 2);
    loop_turn(w->loop);
    check_error(s[0], GW_ENGINE_FAILED);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    client_free(s[0]);
    world_check_rest(w);
    world_free(w);
}

/* The grant is on its way when the time of who waited is up: the place goes to the next one. None
 * of the other targets, which share the queue, is waited for in its turn. */
TEST(grant_that_comes_too_late)
{
    struct world *w = world_new(NULL);
    struct net_stream *holder = ask(w, "house", 0), *s = ask(w, "house-five", 0);
    struct call *c = call_last_open(w->loop);
    w->loop->now_ns += 30 * NS_PER_S;
    struct net_stream *other = ask(w, "house", 0);
    w->loop->now_ns += 30 * NS_PER_S - 1;
    answer_json(c, 200, SLICE(CHAT_ANSWER)); /* which posts the grant */
    client_free(holder);
    w->loop->now_ns += 1;
    timers_run(&w->loop->timers, w->loop->now_ns); /* but its time is up before that comes */
    check_error(s, GW_QUEUE_TIMEOUT);
    CHECK(log_attempts() == 1 && log_attempt_is(0, "house/m0", "queue_timeout"));
    CHECK_EQ_I64(w->house->permits.waiting_n, 1);
    loop_turn(w->loop);
    CHECK_EQ_I64(metric_plain_value(MP_LATE_GRANTS), 1);
    CHECK_EQ_I64(w->house->permits.waiting_n, 0);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(other, CHAT_ANSWER);
    client_free(other);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- redirects of upstreams that answer late */

TEST(moves)
{
    static const struct {
        const char *to;
        bool followed;
    } rows[] = {
        {"/r?id=1", true},
        {"https://modal/r", true},
        {"https://modal.evil/r", false},
        {"https://evil/r", false},
        {"//evil/r", true}, /* a path of the same upstream, as it goes nowhere else */
        {"r", false},
        {"", false},
        {"/r HTTP/1.1", false},
        {"/r#x", false},
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char fields[128];
        check_note("%s", rows[i].to);
        snprintf(fields, sizeof fields, "Location: %s\n", rows[i].to);
        struct net_stream *s = ask(w, "modal", 0);
        struct call *c = call_last_open(w->loop);
        call_head(c, 303, fields, -1);
        call_piece(c, SLICE("moved"));
        call_end(c);
        CHECK_EQ_I64(calls_open(w->loop), rows[i].followed);
        if (rows[i].followed) {
            c = call_last_open(w->loop);
            CHECK(c->upstream == w->up[MODAL] && !c->has_body && c->body.n == 0);
            answer_json(c, 200, SLICE(CHAT_ANSWER));
            check_stream_complete(s, CHAT_ANSWER);
        } else {
            check_error(s, GW_UPSTREAM_BAD_ANSWER);
        }
        client_free(s);
    }
    check_note("%s", "");
    struct net_stream *s = ask(w, "modal", ASK_STREAM);
    for (int i = 0; i < 21; i++) {
        CHECK_EQ_I64(s->state, CLIENT_OPEN);
        call_head(call_last_open(w->loop), 303, "Location: /again\n", 0);
        call_end(call_last_open(w->loop));
    }
    check_error(s, GW_UPSTREAM_BAD_ANSWER);
    CHECK_EQ_I64(log_attempts(), 1);
    client_free(s);
    s = ask(w, "one", 0); /* others are not followed */
    call_head(call_last_open(w->loop), 303, "Location: /r\n", 0);
    call_end(call_last_open(w->loop));
    check_error(s, GW_UPSTREAM_BAD_ANSWER);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}
