/* Exchanges that start inside the gateway: whose they are, how they end, and with whom. */
#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

static struct {
    unsigned calls, status;
    char body[512];
} told;

static void on_done(struct child *c, unsigned status, struct slice body)
{
    CHECK(c->exchange == NULL);
    told.calls++;
    told.status = status;
    CHECK(body.n < sizeof told.body);
    memcpy(told.body, body.p != NULL ? body.p : "", body.n);
    told.body[body.n] = '\0';
}

static struct child child_of(struct world *w, const char *model)
{
    memset(&told, 0, sizeof told);
    return (struct child){.purpose = "judge",
                          .op = LLM_CHAT,
                          .body = chat_body(model, 0),
                          .deadline_ns = net_now(w->loop) + 60 * NS_PER_S,
                          .done = on_done};
}

static struct net_stream *parent_of(struct world *w)
{
    return ask_path(w, HTTP_POST, "/v1/chat/completions", "x-api-key: sk-good\n",
                    chat_body("one", ASK_STREAM));
}

static void need_keys(struct gw_snapshot *s)
{
    s->auth_keys = true;
}

TEST(answers)
{
    struct world *w = world_new(need_keys);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "two");
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    CHECK_EQ_I64(calls_open(w->loop), 2);
    CHECK_EQ_I64(world_gauge("llm_inflight"), 2);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, ""); /* children fail over as well */
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(told.calls, 1);
    CHECK_EQ_I64(told.status, 200);
    CHECK_EQ_STR(told.body, CHAT_ANSWER);
    CHECK(log_text_is("purpose", "judge") &&
          log_text_is("key", "team")); /* the parent's identity */
    CHECK(log_text_is("client", "127.0.0.1"));
    c = child_of(w, "no/such");
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c)); /* told during the call */
    CHECK_EQ_I64(told.calls, 1);
    CHECK_EQ_I64(told.status, 404);
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(go_with_their_parents)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "two"), grandchild = child_of(w, "two"), third = grandchild;
    w->started += 2;
    CHECK(exchange_child_start(exchange_of(s), &c));
    CHECK(exchange_child_start(c.exchange, &grandchild));
    CHECK(!exchange_child_start(grandchild.exchange, &third)); /* too deep */
    CHECK_EQ_I64(calls_open(w->loop), 3);
    client_leave(s, NET_GONE_CLOSED);
    CHECK_EQ_I64(calls_open(w->loop), 0);
    CHECK_EQ_I64(told.calls, 0);
    CHECK(c.exchange == NULL && grandchild.exchange == NULL);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(detached)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "two");
    c.detached = true;
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    memset(&c, 0xEE, sizeof c); /* it is not needed any more */
    struct call *call = call_last_open(w->loop);
    client_leave(s, NET_GONE_CLOSED);
    CHECK(call->lease != NULL);
    answer_json(call, 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(told.calls, 0);
    CHECK(log_text_is("purpose", "judge") && log_text_is("reason", "complete"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void with_use_case(struct gw_snapshot *s)
{
    struct gw_key *key = mem_must(arena_new(&s->arena, struct gw_key));
    struct gw_use_case *u = mem_must(arena_new(&s->arena, struct gw_use_case));
    uint8_t digest[SHA256_BYTES];
    u->scope = (struct gw_scope){.name = SLICE("letters"), .kind = SCOPE_USE_CASE};
    key->scope = (struct gw_scope){.name = SLICE("other"), .kind = SCOPE_KEY};
    key->may_set_user = key->may_set_use_case = true;
    key->max_tokens = LIMIT_NONE;
    ASSERT(strmap_init(&s->use_cases, &s->arena, 1));
    ASSERT(strmap_add(&s->use_cases, u->scope.name, u));
    ASSERT(hash_sha256(SLICE("sk-other"), digest) && gw_key_ring_put(s->keys, digest, key, 0));
    s->auth_keys = true;
}

/* What they use counts for those whom their parents work for, by the configuration that these
 * began with, though it may have been replaced and their parents may be gone. */
TEST(identity_outlives_reload_and_parent)
{
    struct world *w = world_new(with_use_case);
    struct net_stream *s = ask_path(
        w, HTTP_POST, "/v1/chat/completions",
        "x-api-key: sk-other\nx-weir-use-case: letters\nx-weir-user: ann\n", chat_body("one", 0));
    uint64_t user = exchange_of(s)->admission->user_hash;
    world_reload(w, need_keys);
    struct child c = child_of(w, "two");
    c.detached = true;
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    const struct exchange *x = container_of(w->worker->open.prev, struct exchange, node);
    CHECK(x->purpose != NULL && x->admission->user_hash == user && user != 0);
    client_leave(s, NET_GONE_CLOSED);
    CHECK_EQ_I64(world_snapshots(w), 2);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(world_snapshots(w), 1);
    CHECK(log_text_is("purpose", "judge") && log_text_is("key", "other"));
    CHECK(log_text_is("use_case", "letters"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(cancelled)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "two");
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    exchange_child_cancel(&c);
    exchange_child_cancel(&c); /* harmless */
    CHECK_EQ_I64(told.calls, 0);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    CHECK(log_text_is("reason", "client_closed_request"));
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void small_answers(struct gw_snapshot *s)
{
    s->limits.answer_bytes = 200;
}

/* No answer that is half there looks like one. */
TEST(half_answers)
{
    struct world *w = world_new(small_answers);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "one");
    c.body = chat_body("one", ASK_STREAM);
    w->started++;
    CHECK(exchange_child_start(exchange_of(s), &c));
    struct call *call = call_last_open(w->loop);
    call_head(call, 200, SSE_HEAD, -1);
    call_piece(call, SLICE(EV_TEXT));
    call_piece(call, SLICE(EV_TEXT EV_TEXT EV_TEXT EV_DONE));
    CHECK(call->cancelled);
    CHECK_EQ_I64(told.calls, 1);
    CHECK_EQ_I64(told.status, 0);
    CHECK_EQ_STR(told.body, "");
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Its body is on the thread pool when the parent ends, or its time is up: the job is waited for. */
TEST(large_bodies)
{
    static char text[3 << 19];
    memset(text, ' ', sizeof text);
    for (int i = 0; i < 3; i++) {
        check_note("row %d", i);
        struct world *w = world_new(NULL);
        struct net_stream *s = parent_of(w);
        struct child c = child_of(w, "two");
        memcpy(text + sizeof text - c.body.n, c.body.p, c.body.n);
        c.body = slice_of(text, sizeof text);
        c.deadline_ns = net_now(w->loop) + NS_PER_S;
        w->started++;
        CHECK(exchange_child_start(exchange_of(s), &c));
        struct exchange *x = c.exchange;
        CHECK(x->wait == WAIT_PARSE);
        if (i == 0)
            client_leave(s, NET_GONE_CLOSED);
        else
            loop_advance(w->loop, 2 * NS_PER_S);
        if (i == 2)
            exchange_child_cancel(&c);
        CHECK(x->job != NULL && told.calls == 0);
        if (i != 1) /* its memory is the parent's, or its owner's, again */
            memset(&c, 0xEE, sizeof c);
        loop_jobs(w->loop);
        if (i == 1) { /* its deadline has passed by the time there is somebody to be asked */
            loop_turn(w->loop);
            CHECK_EQ_I64(told.status, 504);
        }
        CHECK_EQ_I64(told.calls, i == 1);
        client_leave(s, NET_GONE_CLOSED);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
    check_note("%s", "");
}

/* The gateway stops: parents end their children, which stand behind them in the same list. */
TEST(stop)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = parent_of(w);
    struct child c = child_of(w, "two"), grandchild = child_of(w, "two"), detached = grandchild;
    detached.detached = true;
    w->started += 4;
    CHECK(exchange_child_start(exchange_of(s), &detached));
    CHECK(exchange_child_start(exchange_of(s), &detached));
    CHECK(exchange_child_start(exchange_of(s), &c));
    CHECK(exchange_child_start(c.exchange, &grandchild));
    world_stop(w);
    CHECK_EQ_I64(log_lines(), w->started);
    CHECK_EQ_I64(told.calls, 0);
    client_free(s);
    world_free(w);
}

/* A detached child with a child of its own, when the gateway stops. */
TEST(stop_with_children_of_the_detached)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = parent_of(w);
    struct child detached = child_of(w, "two"), c = child_of(w, "two");
    detached.detached = true;
    w->started += 2;
    CHECK(exchange_child_start(exchange_of(s), &detached));
    struct exchange *x = container_of(w->worker->open.prev, struct exchange, node);
    CHECK(x->purpose != NULL);
    CHECK(exchange_child_start(x, &c));
    world_stop(w);
    CHECK_EQ_I64(log_lines(), w->started);
    CHECK_EQ_I64(told.calls, 0);
    client_free(s);
    world_free(w);
}
