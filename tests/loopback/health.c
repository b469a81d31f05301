/* What attempts tell of their targets, and where the next request goes because of it. */
#include "base/clock.h"
#include "tongues.h"

static size_t route_n;

static void watched(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_retarget(m, s, (const int[]){ALPHA, BETA, GAMMA}, route_n);
    snapshot_watch(m);
    s->retry.per_second = 100;
    for (unsigned i = ALPHA; i <= GAMMA; i++)
        snapshot_provider(s, i)->timeouts.ns[TIMEOUT_HEAD] = NS_PER_S;
}

static struct world *watched_world(size_t targets)
{
    route_n = targets;
    return world_new(watched);
}

static void world_end(struct world *w)
{
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

static struct target_view view_of(const struct world *w, unsigned i)
{
    const struct gw_snapshot *s = w->worker->use->snapshot;
    struct target_view v = {0};
    for (size_t m = 0; m < s->models_n; m++) {
        if (slice_is(s->model_list[m].name, "wires"))
            target_live_look(s->model_list[m].targets[i].live, net_now(w->loop), &v);
    }
    return v;
}

static bool is_at(const struct call *c, const struct world *w, unsigned i)
{
    return c != NULL && c->upstream == w->up[i];
}

enum way { WAY_RESET, WAY_STATUS, WAY_TIMEOUT, WAY_JUNK, WAY_CUT, WAY_ERROR_EVENT, WAYS_N };

/* A request whose attempt at ALPHA fails in that way; it is answered by another one, if it can. */
static void fail_one(struct world *w, enum way way)
{
    struct net_stream *s = ask(w, "wires", way >= WAY_CUT ? ASK_STREAM : 0);
    struct call *c = call_last_open(w->loop);
    CHECK(is_at(c, w, ALPHA));
    if (way >= WAY_CUT) {
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, SLICE(EV_TEXT));
    }
    switch (way) {
    case WAY_RESET:
    case WAY_CUT: call_fail(c, NET_FAIL_TRUNCATED, ""); break;
    case WAY_STATUS: answer_json(c, 503, SLICE("{\"error\":{\"message\":\"no\"}}")); break;
    case WAY_TIMEOUT: loop_advance(w->loop, NS_PER_S); break;
    case WAY_JUNK: answer_json(c, 200, SLICE("junk")); break;
    case WAY_ERROR_EVENT: call_piece(c, SLICE(EV_ERROR)); break;
    case WAYS_N: break;
    }
    c = call_last_open(w->loop);
    if (c != NULL)
        answer_json(c, 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    client_free(s);
}

/* A request and where it goes; it is answered. */
#define check_goes_to(w, i) goes_to((w), (i), CHECK_AT("where it goes"))
static void goes_to(struct world *w, unsigned i, struct check_at at)
{
    struct net_stream *s = ask(w, "wires", 0);
    struct call *c = call_last_open(w->loop);
    if (!is_at(c, w, i))
        check_fail(at, "not to %u", i);
    answer_json(c, 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    client_free(s);
}

TEST(five_failures_in_a_row)
{
    for (enum way way = 0; way < WAYS_N; way++) {
        struct world *w = watched_world(2);
        check_note("way %d", way);
        for (int i = 0; i < 4; i++)
            fail_one(w, way);
        check_goes_to(w, ALPHA); /* a good one in between ends the row */
        for (int i = 0; i < 5; i++) {
            CHECK(view_of(w, 0).state == HEALTH_WELL);
            fail_one(w, way);
        }
        struct target_view v = view_of(w, 0);
        CHECK(v.state == HEALTH_EJECTED && v.reason == HEALTH_IN_A_ROW && v.inflight == 0);
        check_goes_to(w, BETA);
        CHECK(view_of(w, 1).state == HEALTH_WELL);
        world_end(w);
    }
}

/* After a while one request may try; the others stay away until it has come back. */
TEST(half_open)
{
    for (int good = 0; good < 2; good++) {
        struct world *w = watched_world(2);
        for (int i = 0; i < 5; i++)
            fail_one(w, WAY_RESET);
        loop_advance(w->loop, 10 * NS_PER_S - 1);
        check_goes_to(w, BETA);
        loop_advance(w->loop, 1);
        CHECK(view_of(w, 0).state == HEALTH_HALF_OPEN);
        struct net_stream *s = ask(w, "wires", 0);
        struct call *c = call_last_open(w->loop);
        CHECK(is_at(c, w, ALPHA));
        check_goes_to(w, BETA);
        if (good) {
            answer_json(c, 200, SLICE(CHAT_ANSWER));
            CHECK(view_of(w, 0).state == HEALTH_WARMING);
        } else {
            call_fail(c, NET_FAIL_RESET, "");
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
            CHECK(view_of(w, 0).state == HEALTH_EJECTED && view_of(w, 0).ejections == 2);
            loop_advance(w->loop, 10 * NS_PER_S);
            check_goes_to(w, BETA); /* twice as long now */
        }
        CHECK_EQ_I64(s->status, 200);
        client_free(s);
        world_end(w);
    }
}

/* Of a stream nobody waits for the end: it is back with its first content. What comes of the rest
 * counts as that of any other. */
TEST(half_open_until_it_begins)
{
    struct world *w = watched_world(2);
    for (int i = 0; i < 5; i++)
        fail_one(w, WAY_RESET);
    loop_advance(w->loop, 10 * NS_PER_S);
    struct net_stream *s = ask(w, "wires", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    CHECK(is_at(c, w, ALPHA));
    call_head(c, 200, SSE_HEAD, -1);
    call_body(c, SLICE(EV_ROLE), false);
    CHECK(view_of(w, 0).state == HEALTH_HALF_OPEN);
    call_body(c, SLICE(EV_TEXT), false);
    CHECK(view_of(w, 0).state == HEALTH_WARMING && view_of(w, 0).inflight == 1);
    call_fail(c, NET_FAIL_RESET, "");
    CHECK(view_of(w, 0).state == HEALTH_WARMING && view_of(w, 0).failures_in_a_row == 1);
    CHECK(view_of(w, 0).inflight == 0 && view_of(w, 0).ejections == 1);
    client_free(s);
    world_end(w);
}

/* The ticket comes back from whoever had it, even when that one left. */
TEST(ticket_of_one_that_left)
{
    struct world *w = watched_world(2);
    for (int i = 0; i < 5; i++)
        fail_one(w, WAY_RESET);
    loop_advance(w->loop, 10 * NS_PER_S);
    struct net_stream *s = ask(w, "wires", 0);
    CHECK(is_at(call_last_open(w->loop), w, ALPHA));
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    CHECK(view_of(w, 0).state == HEALTH_HALF_OPEN);
    check_goes_to(w, ALPHA);
    CHECK(view_of(w, 0).state == HEALTH_WARMING);
    world_end(w);
}

/* With all of them out, all are asked: some answer is better than none. */
TEST(panic)
{
    struct world *w = watched_world(2);
    w->up[BETA]->refuses = true;
    w->up[BETA]->refusal = NET_FAIL_CONNECT;
    for (int i = 0; i < 5; i++)
        fail_one(w, WAY_RESET);
    CHECK(view_of(w, 0).state == HEALTH_EJECTED && view_of(w, 1).state == HEALTH_EJECTED);
    check_goes_to(w, ALPHA);
    world_end(w);
}

/* One that is alone is asked whatever is known of it. */
TEST(only_one)
{
    struct world *w = watched_world(1);
    for (int i = 0; i < 7; i++)
        fail_one(w, WAY_RESET);
    CHECK(view_of(w, 0).state == HEALTH_EJECTED);
    check_goes_to(w, ALPHA);
    world_end(w);
}

static void refuse(struct world *w, unsigned status, const char *fields)
{
    struct net_stream *s = ask(w, "wires", 0);
    struct call *c = call_last_open(w->loop);
    CHECK(is_at(c, w, ALPHA));
    call_head(c, status, fields, -1);
    call_piece(c, SLICE("{\"error\":{\"message\":\"no\"}}"));
    call_end(c);
    if (s->state == CLIENT_OPEN)
        answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    client_free(s);
}

/* A limit is no sickness: the target rests for as long as it says, or a little. */
TEST(rate_limit)
{
    static const struct {
        const char *fields;
        int64_t rest_ms;
    } rows[] = {{"Retry-After: 3\n", 3000}, {"retry-after-ms: 700\n", 700}, {NULL, 5000}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w = watched_world(2);
        check_note("row %zu", i);
        refuse(w, 429, rows[i].fields);
        struct target_view v = view_of(w, 0);
        CHECK(v.state == HEALTH_COOLING && v.failures_in_a_row == 0 && v.ejections == 0);
        check_goes_to(w, BETA);
        loop_advance(w->loop, rows[i].rest_ms * NS_PER_MS - 1);
        check_goes_to(w, BETA);
        loop_advance(w->loop, 1);
        check_goes_to(w, ALPHA);
        world_end(w);
    }
}

TEST(refused_credential)
{
    static const unsigned statuses[] = {401, 402, 403};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct world *w = watched_world(2);
        check_note("status %u", statuses[i]);
        refuse(w, statuses[i], JSON_HEAD);
        struct target_view v = view_of(w, 0);
        CHECK(v.state == HEALTH_DENIED && v.failures_in_a_row == 0);
        check_goes_to(w, BETA);
        loop_advance(w->loop, 300 * NS_PER_S);
        check_goes_to(w, ALPHA);
        world_end(w);
    }
}

/* What the client did wrong, and that it left, says nothing of the target. */
TEST(the_client_s_doing)
{
    static const unsigned statuses[] = {400, 404, 413, 422};
    struct world *w = watched_world(2);
    for (size_t i = 0; i < 20; i++)
        refuse(w, statuses[i % ARRAY_LEN(statuses)], JSON_HEAD);
    for (unsigned i = 0; i < 20; i++) {
        struct net_stream *s = ask(w, "wires", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        CHECK(is_at(c, w, ALPHA));
        if (i % 3 > 0)
            call_head(c, 200, SSE_HEAD, -1);
        if (i % 3 > 1)
            call_piece(c, SLICE(EV_TEXT));
        CHECK_EQ_I64(view_of(w, 0).inflight, 1);
        client_leave(s, NET_GONE_CLOSED);
        client_free(s);
        struct target_view v = view_of(w, 0);
        CHECK(v.state == HEALTH_WELL && v.inflight == 0);
        CHECK_EQ_I64(v.failures_in_a_row + v.window_answers + v.window_failures, 0);
    }
    world_end(w);
}

/* How fast its first content came, and how fast it went on. */
TEST(times)
{
    struct world *w = watched_world(1);
    for (int i = 0; i < 40; i++) {
        struct net_stream *s = ask(w, "wires", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200, SSE_HEAD, -1);
        loop_advance(w->loop, 200 * NS_PER_MS);
        call_piece(c, SLICE(EV_ROLE EV_TEXT));
        for (int n = 0; n < 4; n++) {
            loop_advance(w->loop, 30 * NS_PER_MS);
            call_piece(c, SLICE(EV_TEXT));
        }
        call_piece(c, SLICE(EV_DONE));
        call_end(c);
        client_free(s);
    }
    struct target_view v = view_of(w, 0);
    CHECK(v.first_ns >= 199 * NS_PER_MS && v.first_ns <= 201 * NS_PER_MS);
    CHECK(v.gap_ns >= 29 * NS_PER_MS && v.gap_ns <= 31 * NS_PER_MS);
    CHECK_EQ_I64(v.inflight, 0);
    world_end(w);
}

/* A reload keeps what was learned. */
TEST(reload)
{
    struct world *w = watched_world(2);
    for (int i = 0; i < 5; i++)
        fail_one(w, WAY_RESET);
    world_reload(w, watched);
    CHECK(view_of(w, 0).state == HEALTH_EJECTED);
    check_goes_to(w, BETA);
    world_end(w);
}
