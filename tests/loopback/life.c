/* What outlives requests: snapshots and their users, slots and late messages, names and metrics. */
#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

static void longer_queue(struct gw_snapshot *s)
{
    snapshot_provider(s, ALPHA)->timeouts.ns[TIMEOUT_HEAD] = 7 * NS_PER_S;
}

/* A request ends with what it began with, and the old snapshot goes with the last one. */
TEST(reload)
{
    struct world *w = world_new(NULL);
    struct net_stream *s[2] = {ask(w, "one", 0), ask(w, "one", ASK_STREAM)};
    CHECK_EQ_I64(world_snapshots(w), 1);
    world_reload(w, longer_queue);
    CHECK_EQ_I64(listener_updates(loop_listener(w->loop)), 1);
    CHECK_EQ_I64(world_snapshots(w), 2);
    struct net_stream *young = ask(w, "one", 0);
    loop_advance(w->loop, 7 * NS_PER_S);
    check_error(young, GW_HEAD_TIMEOUT);
    answer_json(call_last_open(w->loop), 500, SLICE("{}"));
    CHECK_EQ_I64(world_snapshots(w), 2);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(world_snapshots(w), 1);
    for (int i = 0; i < 3; i++)
        world_reload(w, NULL); /* nobody uses what lies between */
    CHECK_EQ_I64(world_snapshots(w), 1);
    client_free(s[0]);
    client_free(s[1]);
    client_free(young);
    world_check_rest(w);
    world_free(w);
}

TEST(reload_without_memory)
{
    struct world *w = world_new(longer_queue);
    check_needs_torture();
    world_install(w, NULL);
    mem_torture(1);
    loop_turn(w->loop);
    mem_torture(0);
    CHECK(log_events() > 0);
    CHECK_EQ_I64(world_snapshots(w), 1);
    struct net_stream *s = ask(w, "one", 0);
    loop_advance(w->loop, 7 * NS_PER_S); /* the old limit */
    check_error(s, GW_HEAD_TIMEOUT);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(drain)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "one", 0);
    gateway_drain(w->gateway);
    loop_turn(w->loop);
    CHECK(listener_draining(loop_listener(w->loop)));
    CHECK_EQ_I64(gateway_open_exchanges(w->gateway), 1);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    CHECK_EQ_I64(gateway_open_exchanges(w->gateway), 0);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* A grant for one who has left finds another one in its slot, who waits for another gate. */
TEST(grant_for_a_slot_that_has_a_new_owner)
{
    struct world *w = world_new(NULL);
    gate_set_state(w->tiny, GATE_STARTING, 1, 2);
    struct net_stream *holder = ask(w, "house", 0), *s = ask(w, "house", 0);
    uint32_t slot = exchange_of(s)->slot;
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    client_free(ask_path(w, HTTP_GET, "/v1/models", NULL, SLICE_NONE)); /* slots are a stack */
    s = ask(w, "tiny", 0);
    CHECK(exchange_of(s)->slot == slot || exchange_of(s)->slot == slot - 1);
    struct net_stream *other = ask(w, "tiny", 0);
    loop_turn(w->loop);
    CHECK_EQ_I64(calls_open(w->loop), 0);
    CHECK_EQ_I64(w->house->permits.held, 0);
    CHECK_EQ_I64(metric_plain_value(MP_LATE_GRANTS), 1);
    client_leave(s, NET_GONE_CLOSED);
    client_leave(other, NET_GONE_CLOSED);
    client_free(holder);
    client_free(s);
    client_free(other);
    world_check_rest(w);
    world_free(w);
}

/* Names that are no aliases have metrics of their own once somebody has answered to them; what
 * comes from clients alone makes no series. */
TEST(metrics_of_names)
{
    struct world *w = world_new(NULL);
    const char *label = "model=\"alpha/new\"";
    struct net_stream *s = ask(w, "alpha/new", 0);
    answer_json(call_last_open(w->loop), 404, SLICE("{}"));
    CHECK_EQ_I64(s->status, 404);
    client_free(s);
    CHECK_EQ_I64(world_metric("llm_requests_total", label), 0);
    s = ask(w, "alpha/new", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    CHECK(strstr(c->body.p, "\"model\":\"new\"") != NULL);
    call_head(c, 200, SSE_HEAD, -1);
    CHECK_EQ_I64(world_gauge("llm_inflight"), 1);
    CHECK_EQ_I64(world_metric("llm_inflight", label), 0);
    call_piece(c, SLICE(EV_TEXT));
    CHECK_EQ_I64(world_gauge("llm_inflight"), 1);
    CHECK_EQ_I64(world_metric("llm_inflight", label), 1);
    call_piece(c, SLICE(EV_USAGE EV_DONE));
    call_end(c);
    client_free(s);
    CHECK_EQ_I64(world_metric("llm_requests_total", label), 1);
    CHECK_EQ_I64(world_metric("llm_tokens_total", label), 10);
    s = ask(w, "alpha/new", 0);
    CHECK_EQ_I64(world_metric("llm_inflight", label), 1);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    client_free(s);
    CHECK_EQ_I64(world_metric("llm_requests_total", label), 2);
    world_check_rest(w);
    world_free(w);
}

/* The body goes with the first content; what the log needs of it is kept. */
TEST(names_outlive_the_body)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    static char junk[4000];
    memset(junk, '#', sizeof junk);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT));
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/chat/completions", .content_length = 5000};
    w->started++;
    struct net_stream *other = client_new(w->loop, &r); /* whose body takes the same memory */
    client_body(other, slice_of(junk, sizeof junk), false);
    call_piece(c, SLICE(EV_DONE));
    call_end(c);
    CHECK(log_text_is("model", "one"));
    client_leave(other, NET_GONE_CLOSED);
    client_free(other);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Time is counted from the request's first byte. */
TEST(times_in_the_log)
{
    struct world *w = world_new(NULL);
    w->up[ALPHA]->reused = true;
    struct net_stream *s = ask(w, "two", ASK_STREAM);
    call_last_open(w->loop)->lease->resent = true;
    loop_advance(w->loop, 2 * NS_PER_MS);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    loop_advance(w->loop, 3 * NS_PER_MS);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    loop_advance(w->loop, 4 * NS_PER_MS);
    call_piece(c, SLICE(EV_TEXT));
    loop_advance(w->loop, 5 * NS_PER_MS);
    call_piece(c, SLICE(EV_TEXT EV_DONE));
    call_end(c);
    static const struct {
        const char *key;
        int64_t us;
    } rows[] = {
        {"first_us", 9000},           {"duration_us", 14000},       {"attempts.0.start_us", 0},
        {"attempts.0.end_us", 2000},  {"attempts.0.head_us", -1},   {"attempts.1.start_us", 2000},
        {"attempts.1.sent_us", 2000}, {"attempts.1.head_us", 5000}, {"attempts.1.first_us", 9000},
        {"attempts.1.end_us", 14000}, {"attempts.1.status", 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].key);
        CHECK_EQ_I64(log_number(rows[i].key), rows[i].us);
    }
    check_note("%s", "");
    CHECK(log_text_is("attempts.0.reused", "true") && log_text_is("attempts.1.reused", "false"));
    CHECK_EQ_I64(metric_plain_value(MP_RESENDS), 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}
