/* Waiting for a place: who comes when, who has to go when the queue is full and what it is told, in
 * each dialect, and what keeps a waiting stream alive. */
#include "base/clock.h"
#include "world.h"

#define S NS_PER_S

/* Keys of the world; `key` below is a place in this table. */
enum { LOW, NORMAL, HIGH, TRIPLE, KEYS_N };
static const struct {
    const char *name, *field;
    enum gw_priority priority;
    unsigned weight;
} keys[KEYS_N] = {
    [LOW] = {"low", "Authorization: Bearer sk-low\n", PRIORITY_LOW, 0},
    [NORMAL] = {"normal", "Authorization: Bearer sk-normal\n", PRIORITY_NORMAL, 1},
    [HIGH] = {"high", "Authorization: Bearer sk-high\n", PRIORITY_HIGH, 1},
    [TRIPLE] = {"triple", "Authorization: Bearer sk-triple\n", PRIORITY_NORMAL, 3},
};

static void with_keys(struct gw_snapshot *s)
{
    s->auth_keys = true;
    for (unsigned i = 0; i < KEYS_N; i++)
        snapshot_add_key(s, keys[i].name, keys[i].priority)->weight = keys[i].weight;
}

static struct net_stream *ask_as(struct world *w, int key, const char *model, unsigned how)
{
    return ask_path(w, HTTP_POST, "/v1/chat/completions", keys[key].field, chat_body(model, how));
}

/* A world whose one place at HOUSE is taken, by the client that stands in `*ret`. */
static struct world *busy_world(int64_t queue, struct net_stream **ret)
{
    struct world *w = world_new(with_keys);
    gate_set_limits(w->house, 1, queue);
    *ret = ask_as(w, NORMAL, "house", 0);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    return w;
}

/* The request that is at HOUSE gets its answer, and the next one its place. */
static void serve_one(struct world *w)
{
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    loop_turn(w->loop);
}

static void world_end(struct world *w)
{
    world_check_rest(w);
    world_free(w);
}

#define CROWD 16

/* `n` wait, each with the key that its letter in `who` stands for; served one by one they come in
 * the order of `want`. */
static void check_order(const char *who, const char *want)
{
    static const char letters[KEYS_N] = {'l', 'n', 'h', 't'};
    struct net_stream *first, *crowd[CROWD];
    size_t n = strlen(who);
    char got[CROWD + 1] = {0};
    bool counted[CROWD] = {0};
    struct world *w = busy_world(CROWD, &first);
    for (size_t i = 0; i < n; i++) {
        int key = (int)((const char *)memchr(letters, who[i], KEYS_N) - letters);
        crowd[i] = ask_as(w, key, "house", 0);
        CHECK_EQ_I64(world_gauge("llm_queue_depth"), (int64_t)i + 1);
    }
    serve_one(w);
    client_free(first);
    for (size_t served = 0; served < n; served++) {
        CHECK_EQ_I64(calls_open(w->loop), 1);
        CHECK_EQ_I64(world_gauge("llm_queue_depth"), (int64_t)(n - served) - 1);
        serve_one(w);
        for (size_t i = 0; i < n; i++) {
            if (!counted[i] && crowd[i]->state == CLIENT_ENDED) {
                CHECK_EQ_I64(crowd[i]->status, 200);
                counted[i] = true;
                got[served] = who[i];
            }
        }
    }
    CHECK_EQ_STR(got, want);
    for (size_t i = 0; i < n; i++)
        client_free(crowd[i]);
    world_end(w);
}

TEST(priorities)
{
    check_order("lnlnlhhh", "hhhnnlll");
    check_order("lnhhhhhhhhhh", "hhhhnhhhhhhl");
}

/* Keys of one priority take turns, three to one where one weighs three times as much. */
TEST(keys_take_turns)
{
    check_order("nnnnnnnnt", "tnnnnnnnn");
    check_order("nnnnnntttttt", "tttntttnnnnn");
}

TEST(a_higher_class_displaces_the_youngest_of_the_lowest)
{
    struct net_stream *first, *s[6];
    struct world *w = busy_world(3, &first);
    static const int order[] = {LOW, NORMAL, LOW, HIGH};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        s[i] = ask_as(w, order[i], "house", 0);
    CHECK_EQ_I64(w->house->permits.waiting_n, 3);
    loop_turn(w->loop);
    check_error(s[2], GW_QUEUE_FULL);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 3);
    s[4] = ask_as(w, LOW, "house", 0); /* of the lowest class itself */
    check_error(s[4], GW_QUEUE_FULL);
    s[5] = ask_as(w, NORMAL, "house", 0);
    loop_turn(w->loop);
    check_error(s[0], GW_QUEUE_FULL);
    CHECK_EQ_I64(world_metric("weir_shed_total", "class=\"low\""), 3);
    CHECK_EQ_I64(world_metric("weir_shed_total", "class=\"normal\""), 0);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 3);
    for (int i = 0; i < 4; i++)
        serve_one(w);
    CHECK(s[1]->status == 200 && s[3]->status == 200 && s[5]->status == 200);
    client_free(first);
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        client_free(s[i]);
    world_end(w);
}

/* --- several queues at once */

/* One place at HOUSE and one at TINY, both taken: the latter by the test. */
static struct world *busy_twice(struct net_stream **ret)
{
    struct world *w = busy_world(2, ret);
    CHECK(permits_try(&w->tiny->permits));
    return w;
}

static void check_waits(struct world *w, int64_t house, int64_t tiny)
{
    CHECK_EQ_I64(w->house->permits.waiting_n, house);
    CHECK_EQ_I64(w->tiny->permits.waiting_n, tiny);
}

/* Whichever comes first; its targets share one queue, which counts once. It is one attempt. */
TEST(the_first_place_of_any)
{
    for (int at_tiny = 0; at_tiny < 2; at_tiny++) {
        struct net_stream *first, *s;
        struct world *w = busy_twice(&first);
        s = ask_as(w, NORMAL, "house-tiny", ASK_STREAM);
        check_waits(w, 1, 1);
        CHECK_EQ_I64(world_gauge("llm_queue_depth"), 1);
        if (at_tiny > 0) {
            permits_give(&w->tiny->permits);
            loop_turn(w->loop);
        } else {
            serve_one(w);
        }
        check_waits(w, 0, 0);
        CHECK_EQ_I64(world_gauge("llm_queue_depth"), 0);
        struct call *c = call_last_open(w->loop);
        CHECK(c->upstream == w->up[at_tiny > 0 ? TINY : HOUSE]);
        CHECK(memmem(c->body.p, c->body.n, at_tiny > 0 ? "\"m2\"" : "\"m0\"", 4) != NULL);
        answer_stream(c, SLICE(EV_TEXT EV_FINISH EV_DONE));
        check_stream_complete(s, EV_TEXT EV_FINISH EV_DONE);
        CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "1");
        CHECK_EQ_SLICE(client_field(s, "x-weir-target"),
                       slice_str(at_tiny > 0 ? "tiny/m2" : "house/m0"));
        CHECK(log_attempts() == 1 && log_attempt_is(0, at_tiny > 0 ? "tiny/m2" : "house/m0", "ok"));
        if (at_tiny > 0)
            serve_one(w);
        else
            permits_give(&w->tiny->permits);
        client_free(first);
        client_free(s);
        world_end(w);
    }
}

/* Where the one that had a place fails, the other one is still to be tried. */
TEST(the_others_are_tried_after_it)
{
    struct net_stream *first, *s;
    struct world *w = busy_twice(&first);
    s = ask_as(w, NORMAL, "house-tiny", 0);
    permits_give(&w->tiny->permits);
    loop_turn(w->loop);
    answer_json(call_last_open(w->loop), 500, SLICE("{}"));
    check_waits(w, 1, 0);
    serve_one(w);
    serve_one(w);
    check_stream_complete(s, CHAT_ANSWER);
    CHECK(log_attempt_is(0, "tiny/m2", "upstream_error") && log_attempt_is(1, "house/m0", "ok"));
    client_free(first);
    client_free(s);
    world_end(w);
}

/* Who is displaced in one queue goes on waiting in the other; who is in both is refused by both. */
TEST(shed_in_one_queue)
{
    for (int both = 0; both < 2; both++) {
        struct net_stream *first, *low, *high[2];
        struct world *w = busy_twice(&first);
        gate_set_limits(w->house, 1, 1);
        gate_set_state(w->tiny, GATE_OPEN, 1, 1);
        low = ask_as(w, LOW, "house-tiny", 0);
        high[0] = ask_as(w, HIGH, "house", 0);
        loop_turn(w->loop);
        check_waits(w, 1, 1);
        CHECK(low->state == CLIENT_OPEN && world_gauge("weir_shed_total") == 0);
        high[1] = ask_as(w, HIGH, both > 0 ? "tiny" : "house", 0);
        loop_turn(w->loop);
        if (both > 0) {
            check_error(low, GW_QUEUE_FULL);
            CHECK_EQ_I64(world_metric("weir_shed_total", "class=\"low\""), 1);
            CHECK(log_attempts() == 1 && log_attempt_is(0, "house/m0", "queue_full"));
        } else {
            check_error(high[1], GW_QUEUE_FULL); /* of the highest class itself */
        }
        permits_give(&w->tiny->permits);
        loop_turn(w->loop);
        for (int i = 0; i < 3; i++)
            serve_one(w);
        CHECK(high[0]->status == 200 && (both > 0 ? high[1] : low)->status == 200);
        client_free(first);
        client_free(low);
        client_free(high[0]);
        client_free(high[1]);
        world_end(w);
    }
}

/* Both have a place at the same moment: the later one goes back. */
TEST(two_grants)
{
    struct net_stream *first, *s;
    struct world *w = busy_twice(&first);
    s = ask_as(w, NORMAL, "house-tiny", 0);
    permits_give(&w->tiny->permits);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER)); /* of `first` */
    CHECK(w->tiny->permits.held == 1 && w->house->permits.held == 1);
    loop_turn(w->loop);
    CHECK_EQ_I64(w->tiny->permits.held + w->house->permits.held, 1);
    CHECK_EQ_I64(metric_plain_value(MP_LATE_GRANTS), 1);
    serve_one(w);
    check_stream_complete(s, CHAT_ANSWER);
    client_free(first);
    client_free(s);
    world_end(w);
}

/* An engine that fails refuses; who waits elsewhere too goes on waiting there. */
TEST(an_engine_fails_meanwhile)
{
    for (int alone = 0; alone < 2; alone++) {
        struct net_stream *first, *s;
        struct world *w = busy_twice(&first);
        s = ask_as(w, NORMAL, alone > 0 ? "tiny" : "house-tiny", 0);
        gate_set_state(w->tiny, GATE_FAILED, 1, 2);
        loop_turn(w->loop);
        if (alone > 0) {
            check_error(s, GW_ENGINE_FAILED);
        } else {
            check_waits(w, 1, 0);
            serve_one(w);
        }
        serve_one(w);
        if (alone == 0)
            check_stream_complete(s, CHAT_ANSWER);
        permits_give(&w->tiny->permits);
        client_free(first);
        client_free(s);
        world_end(w);
    }
}

static void priced(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "house-tiny");
    with_keys(s);
    m->scope.set.most[LIMIT_BUDGET_DAY] = PRICE_PER_DOLLAR;
    m->targets[0].price = m->targets[1].price = &price_free; /* the third one's is not known */
}

/* What was reserved for the one that it waited for is reserved anew for the one that it goes to:
 * where that cannot be, its place goes back and the others' turn comes. It stays one row. */
TEST(reserved_anew)
{
    for (int unpriced = 0; unpriced < 2; unpriced++) {
        struct world *w = world_new_books(unpriced > 0 ? priced : with_keys, 64);
        gate_set_limits(w->house, 1, 2);
        CHECK(permits_try(&w->house->permits) && permits_try(&w->tiny->permits));
        struct net_stream *s = ask_as(w, NORMAL, "house-tiny", 0);
        permits_give(&w->tiny->permits);
        loop_turn(w->loop);
        CHECK_EQ_I64(w->tiny->permits.held, 1 - unpriced);
        check_waits(w, unpriced, 0);
        permits_give(&w->house->permits);
        loop_turn(w->loop);
        serve_one(w);
        check_stream_complete(s, CHAT_ANSWER);
        CHECK_EQ_I64(log_attempts(), 1 + unpriced);
        CHECK(unpriced == 0 ? log_attempt_is(0, "tiny/m2", "ok")
                            : log_attempt_is(0, "tiny/m2", "price_unknown") &&
                                  log_attempt_is(1, "house/m0", "ok"));
        CHECK_EQ_I64(world_rows(w), 1 + unpriced);
        client_free(s);
        world_end(w);
    }
}

static void house_waits_less(struct gw_snapshot *s)
{
    with_keys(s);
    snapshot_provider(s, HOUSE)->timeouts.ns[TIMEOUT_QUEUE] = 20 * S;
}

/* The longest limit of the queues in which it still stands. */
TEST(how_long_one_waits_in_two)
{
    enum { BOTH, SHED, FAILED, FATES_N };
    for (int fate = 0; fate < FATES_N; fate++) {
        struct world *w = world_new(house_waits_less);
        struct net_stream *high = NULL;
        check_note("fate %d", fate);
        gate_set_limits(w->house, 1, 2);
        gate_set_state(w->tiny, GATE_OPEN, 1, 1);
        CHECK(permits_try(&w->house->permits) && permits_try(&w->tiny->permits));
        struct net_stream *s = ask_as(w, LOW, "house-tiny", 0);
        if (fate == SHED)
            high = ask_as(w, HIGH, "tiny", 0);
        else if (fate == FAILED)
            gate_set_state(w->tiny, GATE_FAILED, 1, 1);
        loop_turn(w->loop);
        loop_advance(w->loop, (fate == BOTH ? 60 : 20) * S - 1);
        CHECK_EQ_I64(s->state, CLIENT_OPEN);
        loop_advance(w->loop, 1);
        check_error(s, GW_QUEUE_TIMEOUT);
        permits_give(&w->house->permits);
        permits_give(&w->tiny->permits);
        loop_turn(w->loop);
        if (high != NULL)
            serve_one(w);
        client_free(s);
        if (high != NULL)
            client_free(high);
        world_end(w);
    }
    check_note("%s", "");
}

/* The mailbox has to hold the end of every wait. */
TEST(as_many_as_the_mailbox_can_tell)
{
    struct net_stream *first, *s;
    struct world *w = busy_world(2, &first);
    w->worker->waits_n = WAITS_MAX;
    s = ask_as(w, NORMAL, "house", 0);
    check_error(s, GW_QUEUE_FULL);
    client_free(s);
    w->worker->waits_n = 0;
    serve_one(w);
    client_free(first);
    world_end(w);
}

/* Who leaves, leaves both. */
TEST(leaving_two_queues)
{
    struct net_stream *first, *s;
    struct world *w = busy_twice(&first);
    s = ask_as(w, NORMAL, "house-tiny", ASK_STREAM);
    check_waits(w, 1, 1);
    client_leave(s, NET_GONE_CLOSED);
    check_waits(w, 0, 0);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 0);
    permits_give(&w->tiny->permits);
    serve_one(w);
    client_free(first);
    client_free(s);
    world_end(w);
}

/* --- dialects */

#define GEMINI_BODY  "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]}"
#define GEMINI_PATH  "/v1beta/models/house:"
#define RESPONSE_ASK "{\"model\":\"house\",\"input\":\"hi\""

static const struct {
    const char *name, *path, *stream_path, *body, *stream_body;
    const char *keep_alive, *error_path, *error, *event;
} dialects[] = {
    {"chat", "/v1/chat/completions", "/v1/chat/completions", NULL, NULL, ": waiting\n\n",
     "error.code", "queue_full", "data: {\"error\":"},
    {"responses", "/v1/responses", "/v1/responses", RESPONSE_ASK "}",
     RESPONSE_ASK ",\"stream\":true}", ": waiting\n\n", "error.code", "queue_full",
     "event: error\n"},
    {"messages", "/v1/messages", "/v1/messages", NULL, NULL,
     "event: ping\ndata: {\"type\": \"ping\"}\n\n", "error.type", "overloaded_error",
     "event: error\n"},
    {"google", GEMINI_PATH "generateContent", GEMINI_PATH "streamGenerateContent?alt=sse",
     GEMINI_BODY, GEMINI_BODY, "\n", "error.status", "UNAVAILABLE", "data: {\"error\":"},
};

static struct net_stream *ask_in(struct world *w, size_t i, int key, bool stream)
{
    const char *text = stream ? dialects[i].stream_body : dialects[i].body;
    struct slice body = text != NULL ? slice_str(text)
                        : i == 0     ? chat_body("house", stream ? ASK_STREAM : 0)
                                     : messages_body("house", stream);
    return ask_path(w, HTTP_POST, stream ? dialects[i].stream_path : dialects[i].path,
                    keys[key].field, body);
}

/* The client is told when to try again: as many as wait, times how long one takes. */
TEST(shed_in_each_dialect)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        for (int stream = 0; stream < 2; stream++) {
            check_note("%s, stream %d", dialects[i].name, stream);
            struct net_stream *first, *high[2];
            struct world *w = busy_world(2, &first);
            high[0] = ask_as(w, HIGH, "house", 0);
            loop_advance(w->loop, 7 * S);
            serve_one(w); /* held for 7 s */
            struct net_stream *refused, *s = ask_in(w, i, LOW, stream);
            high[1] = ask_as(w, HIGH, "house", 0);
            refused = ask_in(w, i, LOW, stream);
            CHECK_EQ_I64(refused->state, CLIENT_ENDED);
            struct net_stream *third = ask_as(w, NORMAL, "house", 0);
            loop_turn(w->loop);
            CHECK_EQ_I64(s->state, CLIENT_ENDED);
            for (int j = 0; j < 2; j++) {
                struct net_stream *t = j == 0 ? s : refused;
                CHECK_EQ_I64(t->status, 503);
                CHECK_EQ_LIT(client_field(t, "retry-after"), "14");
                CHECK_EQ_LIT(client_field(t, "content-type"), "application/json");
                CHECK_EQ_SLICE(json_member(text_view(&t->body), dialects[i].error_path),
                               slice_str(dialects[i].error));
                client_free(t);
            }
            for (int j = 0; j < 3; j++)
                serve_one(w);
            CHECK(high[0]->status == 200 && high[1]->status == 200 && third->status == 200);
            client_free(first);
            client_free(high[0]);
            client_free(high[1]);
            client_free(third);
            world_end(w);
        }
    }
    check_note("%s", "");
}

/* A stream that waits gets its head and what its dialect's clients skip; when it is shed after
 * all, an error event. */
TEST(kept_alive_while_waiting)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        for (int fate = 0; fate < 2; fate++) {
            check_note("%s, fate %d", dialects[i].name, fate);
            struct net_stream *first, *high = NULL;
            struct world *w = busy_world(1, &first);
            struct net_stream *s = ask_in(w, i, LOW, true);
            loop_advance(w->loop, 10 * S - 1);
            CHECK_EQ_I64(s->sends, 0);
            loop_advance(w->loop, 1);
            CHECK_EQ_I64(s->status, 200);
            CHECK(slice_starts(client_field(s, "content-type"), SLICE("text/event-stream")));
            CHECK_EQ_SLICE(text_view(&s->body), slice_str(dialects[i].keep_alive));
            loop_advance(w->loop, 5 * S);
            CHECK_EQ_I64(s->sends, 2);
            CHECK(exchange_of(s)->wait == WAIT_PLACE);
            size_t waited = s->body.n;
            CHECK_EQ_I64((int64_t)waited, 2 * (int64_t)strlen(dialects[i].keep_alive));
            if (fate == 0) {
                serve_one(w);
                answer_stream(call_last_open(w->loop), SLICE(EV_TEXT EV_FINISH EV_USAGE EV_DONE));
                CHECK(!s->close_after);
                CHECK(memmem(s->body.p, s->body.n, "word", 4) != NULL);
            } else {
                high = ask_as(w, HIGH, "house", 0);
                loop_turn(w->loop);
                struct slice event = slice_from(text_view(&s->body), waited);
                CHECK(s->close_after);
                CHECK(slice_starts(event, slice_str(dialects[i].event)));
                CHECK(log_text_is("reason", "queue_full"));
                serve_one(w);
                serve_one(w);
            }
            CHECK_EQ_I64(s->state, CLIENT_ENDED);
            client_free(first);
            client_free(s);
            if (high != NULL)
                client_free(high);
            world_end(w);
        }
    }
    check_note("%s", "");
}

/* --- races */

/* Who leaves, leaves the queue at once: also between being shed and hearing of it. */
TEST(leaving_the_queue)
{
    for (int shed = 0; shed < 2; shed++) {
        struct net_stream *first, *low, *other;
        struct world *w = busy_world(1, &first);
        low = ask_as(w, LOW, "house", ASK_STREAM);
        if (shed == 0)
            client_leave(low, NET_GONE_CLOSED);
        other = ask_as(w, HIGH, "house", 0);
        if (shed > 0)
            client_leave(low, NET_GONE_CLOSED); /* the message is on its way */
        CHECK_EQ_I64(w->house->permits.waiting_n, 1);
        CHECK_EQ_I64(world_gauge("llm_queue_depth"), 1);
        CHECK(log_text_is("reason", "client_closed_request"));
        loop_turn(w->loop);
        CHECK_EQ_I64(world_gauge("weir_shed_total"), 0);
        serve_one(w);
        serve_one(w);
        check_stream_complete(other, CHAT_ANSWER);
        client_free(first);
        client_free(low);
        client_free(other);
        world_end(w);
    }
}

/* The place comes free at the moment at which the first in the queue has waited its time: it goes
 * to the next, though the timer has not run yet. */
TEST(no_place_for_whose_time_is_up)
{
    struct net_stream *first, *late, *next;
    struct world *w = busy_world(3, &first);
    late = ask_as(w, NORMAL, "house", 0);
    w->loop->now_ns += 30 * S;
    next = ask_as(w, NORMAL, "house", 0);
    w->loop->now_ns += 30 * S;
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK(w->house->permits.waiting_n == 0 && w->house->permits.held == 1);
    loop_turn(w->loop);
    check_error(late, GW_QUEUE_TIMEOUT);
    CHECK_EQ_I64(metric_plain_value(MP_LATE_GRANTS), 0);
    CHECK_EQ_I64(world_gauge("weir_shed_total"), 0);
    serve_one(w);
    check_stream_complete(next, CHAT_ANSWER);
    client_free(first);
    client_free(late);
    client_free(next);
    world_end(w);
}
