/* Clients that leave at every stage of their request: the upstream's work ends in the same turn,
 * all that was held comes back, and the log says who it was. */
#include "base/clock.h"
#include "world.h"

static struct net_stream *part_of_a_body(struct world *w)
{
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/chat/completions", .content_length = 1000};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    client_body(s, SLICE("{\"model\":\"on"), false);
    return s;
}

static struct net_stream *part_of_a_packed_body(struct world *w)
{
    struct client_request r = {.method = HTTP_POST,
                               .path = "/v1/chat/completions",
                               .fields = "Content-Encoding: zstd\n",
                               .content_length = 1000};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    client_body(s, SLICE("\x28\xb5\x2f\xfd"), false);
    return s;
}

static struct net_stream *body_on_the_pool(struct world *w)
{
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/chat/completions", .content_length = -1, .chunked = true};
    static char spaces[3 << 19];
    memset(spaces, ' ', sizeof spaces);
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    client_body(s, slice_of(spaces, sizeof spaces), false);
    client_body(s, chat_body("one", 0), true);
    CHECK(exchange_of(s)->wait == WAIT_PARSE);
    return s;
}

static struct net_stream *queued(struct world *w)
{
    CHECK(permits_try(&w->house->permits));
    struct net_stream *s = ask(w, "house", ASK_STREAM);
    CHECK(exchange_of(s)->wait == WAIT_PLACE);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 1);
    return s;
}

static struct net_stream *queued_with_a_grant_on_its_way(struct world *w)
{
    struct net_stream *s = queued(w);
    permits_give(&w->house->permits);
    CHECK_EQ_I64(w->house->permits.held, 1);
    return s;
}

static struct net_stream *queued_and_headed(struct world *w)
{
    struct net_stream *s = queued(w);
    loop_advance(w->loop, 12 * NS_PER_S);
    CHECK_EQ_I64(s->sends, 1);
    return s;
}

static struct net_stream *in_phase(struct world *w, enum lease_phase phase)
{
    w->up[HOUSE]->begins = phase;
    struct net_stream *s = ask(w, "house", ASK_STREAM);
    w->up[HOUSE]->begins = LEASE_HEAD;
    return s;
}

static struct net_stream *connecting(struct world *w)
{
    return in_phase(w, LEASE_CONNECT);
}

static struct net_stream *writing(struct world *w)
{
    return in_phase(w, LEASE_WRITE);
}

static struct net_stream *before_the_head(struct world *w)
{
    return in_phase(w, LEASE_HEAD);
}

static struct net_stream *second_attempt(struct world *w)
{
    struct net_stream *s = ask(w, "two", ASK_STREAM);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    return s;
}

static struct net_stream *before_the_content(struct world *w)
{
    struct net_stream *s = before_the_head(w);
    call_head(call_last_open(w->loop), 200, SSE_HEAD, -1);
    call_piece(call_last_open(w->loop), SLICE(EV_ROLE "data: {\"half"));
    return s;
}

static struct net_stream *amid_the_stream(struct world *w)
{
    struct net_stream *s = before_the_content(w);
    call_piece(call_last_open(w->loop), SLICE("\":1}\n\n" EV_TEXT "data: "));
    CHECK_EQ_I64(s->status, 200);
    return s;
}

static struct net_stream *slow_reader(struct world *w)
{
    struct net_stream *s = before_the_head(w);
    s->room = 1;
    call_head(call_last_open(w->loop), 200, SSE_HEAD, -1);
    call_piece(call_last_open(w->loop), SLICE(EV_TEXT));
    CHECK(call_paused(call_last_open(w->loop)));
    return s;
}

static struct net_stream *amid_a_whole_answer(struct world *w)
{
    struct net_stream *s = ask(w, "house", 0);
    call_head(call_last_open(w->loop), 200, JSON_HEAD, 1000);
    call_piece(call_last_open(w->loop), SLICE("{\"id\""));
    return s;
}

static struct net_stream *passing_a_body(struct world *w)
{
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/audio/speech", .content_length = 100};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    client_body(s, SLICE("0123456789"), false);
    CHECK_EQ_I64((int64_t)call_last_open(w->loop)->body.n, 10);
    return s;
}

static struct net_stream *passing_an_answer(struct world *w)
{
    struct net_stream *s = ask_path(w, HTTP_GET, "/v1/files", NULL, SLICE_NONE);
    call_head(call_last_open(w->loop), 200, JSON_HEAD, 1000);
    call_piece(call_last_open(w->loop), SLICE("12345"));
    CHECK_EQ_LIT(text_view(&s->body), "12345");
    return s;
}

static const struct {
    const char *name;
    struct net_stream *(*fn)(struct world *w);
    unsigned calls; /* under way then */
    const char *model;
} stages[] = {
    {"part of a body", part_of_a_body, 0, NULL},
    {"part of a packed body", part_of_a_packed_body, 0, NULL},
    {"body on the pool", body_on_the_pool, 0, "one"},
    {"queued", queued, 0, "house"},
    {"queued, granted", queued_with_a_grant_on_its_way, 0, "house"},
    {"queued, headed", queued_and_headed, 0, "house"},
    {"connecting", connecting, 1, "house"},
    {"writing", writing, 1, "house"},
    {"before the head", before_the_head, 1, "house"},
    {"second attempt", second_attempt, 1, "two"},
    {"before the content", before_the_content, 1, "house"},
    {"amid the stream", amid_the_stream, 1, "house"},
    {"slow reader", slow_reader, 1, "house"},
    {"amid a whole answer", amid_a_whole_answer, 1, "house"},
    {"passing a body", passing_a_body, 1, NULL},
    {"passing an answer", passing_an_answer, 1, NULL},
};

static void leave_at(size_t i, enum net_gone why, enum gw_error e)
{
    struct world *w = world_new(NULL);
    const struct gw_error_row *row = gw_error_row(e);
    check_note("%s, %s", stages[i].name, row->code);
    struct net_stream *s = stages[i].fn(w);
    CHECK_EQ_I64(calls_open(w->loop), stages[i].calls);
    client_leave(s, why);
    CHECK_EQ_I64(calls_open(w->loop), 0);
    loop_jobs(w->loop);
    CHECK_EQ_I64(w->worker->open_n, 0);
    CHECK_EQ_I64(log_number("status"), row->status);
    CHECK(log_text_is("reason", row->code));
    if (stages[i].model != NULL)
        CHECK(log_text_is("model", stages[i].model));
    CHECK_EQ_I64(metric_plain_value(MP_CANCELLED), e == GW_CLIENT_GONE);
    if (stages[i].fn == queued || stages[i].fn == queued_and_headed)
        permits_give(&w->house->permits);
    client_free(s);
    world_check_rest(w);
    world_free(w);
    check_note("%s", "");
}

TEST(clients_leave_at_every_stage)
{
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        leave_at(i, NET_GONE_CLOSED, GW_CLIENT_GONE);
        leave_at(i, NET_GONE_TIMEOUT, GW_CLIENT_SLOW);
        leave_at(i, NET_GONE_BROKEN, GW_BAD_REQUEST);
    }
}

/* The gateway stops at every stage: the client is told by the listener, and nothing is left over.
 */
TEST(gateway_stops_at_every_stage)
{
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        check_note("%s", stages[i].name);
        struct world *w = world_new(NULL);
        struct net_stream *s = stages[i].fn(w);
        if (stages[i].fn == queued || stages[i].fn == queued_and_headed)
            permits_give(&w->house->permits);
        world_stop(w);
        CHECK_EQ_I64(s->state, CLIENT_GONE);
        CHECK_EQ_I64(log_lines(), 1);
        CHECK(log_text_is("reason", "shutting_down"));
        CHECK_EQ_I64(w->house->permits.held, 0);
        client_free(s);
        world_free(w);
    }
    check_note("%s", "");
}

/* Found gone by the n-th thing that is sent to it. */
static void gone_at(unsigned nth, unsigned how)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "two", how);
    s->gone_at = nth;
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    struct call *c = call_last_open(w->loop);
    loop_advance(w->loop, 10 * NS_PER_S); /* a comment */
    if (c->lease != NULL)
        call_head(c, 200, how & ASK_STREAM ? SSE_HEAD : JSON_HEAD, -1);
    if (c->lease != NULL && (how & ASK_STREAM))
        call_piece(c, SLICE(EV_TEXT));
    if (c->lease != NULL && (how & ASK_STREAM))
        call_body(c, SLICE(EV_TEXT EV_ERROR), false); /* what came before it is sent first */
    if (c->lease != NULL && !(how & ASK_STREAM)) {
        call_piece(c, SLICE(CHAT_ANSWER));
        call_end(c);
    }
    CHECK(c->lease == NULL && calls_open(w->loop) == 0);
    CHECK_EQ_I64(s->state, CLIENT_GONE);
    CHECK_EQ_I64(log_number("status"), 499);
    CHECK(log_text_is("reason", "client_closed_request"));
    CHECK_EQ_I64(log_attempts(), 2);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(gone_while_sending)
{
    for (unsigned nth = 1; nth <= 4; nth++) { /* comment, content, more of it, error */
        check_note("send %u", nth);
        gone_at(nth, ASK_STREAM);
    }
    gone_at(1, 0);
    check_note("%s", "");
}

/* The same where the answer comes while the request does. */
TEST(gone_at_once)
{
    static const char *const paths[] = {"/livez", "/v1/models", "/v1/models/one", "/v1/models/x/y",
                                        "/v1/nothing"};
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        check_note("%s", paths[i]);
        struct client_request r = {
            .method = HTTP_GET, .path = paths[i], .content_length = -1, .gone_at = 1};
        w->started += i > 0;
        struct net_stream *s = client_new(w->loop, &r);
        CHECK_EQ_I64(s->state, CLIENT_GONE);
        CHECK_EQ_I64(w->worker->open_n, 0);
        if (i > 0)
            CHECK_EQ_I64(log_number("status"), 499);
        client_free(s);
    }
    struct client_request r = {
        .method = HTTP_GET, .path = "/v1/models", .content_length = -1, .gone_at = 1};
    uint32_t pages = w->worker->pages_n;
    struct list slots = w->worker->free_slots;
    w->worker->free_slots = (struct list){&w->worker->free_slots, &w->worker->free_slots};
    w->worker->pages_n = SLOT_PAGES;
    struct net_stream *s = client_new(w->loop, &r); /* and no exchange to be had */
    w->worker->pages_n = pages;
    w->worker->free_slots = slots;
    CHECK_EQ_I64(s->state, CLIENT_GONE);
    client_free(s);
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* It has its answer, to the end: what becomes of its connection, or the gateway, is of no interest.
 */
TEST(gone_behind_the_end)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask(w, "house", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT EV_DONE));
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    client_leave(s, NET_GONE_CLOSED);
    CHECK(c->lease != NULL);
    world_stop(w);
    CHECK(log_text_is("reason", "complete") && log_attempt_is(0, "house/m0", "ok"));
    CHECK_EQ_I64(log_number("status"), 200);
    CHECK_EQ_I64(metric_plain_value(MP_CANCELLED), 0);
    client_free(s);
    world_free(w);
}

/* A body comes, or its client leaves, while the gateway asks for it. */
TEST(body_during_the_call)
{
    struct world *w = world_new(NULL);
    struct client_request r = {.method = HTTP_POST,
                               .path = "/v1/chat/completions",
                               .content_length = -1,
                               .chunked = true,
                               .sync_body = true};
    for (int i = 0; i < 4; i++) {
        check_note("row %d", i);
        r.early_body = i == 0 ? chat_body("one", 0) : i == 1 ? SLICE("{nonsense") : SLICE("");
        r.early_gone = i >= 2;
        r.path = i == 3 ? "/v1/audio/x" : "/v1/chat/completions";
        w->started++;
        struct net_stream *s = client_new(w->loop, &r);
        if (i == 0)
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        CHECK_EQ_I64(s->state, i >= 2 ? CLIENT_GONE : CLIENT_ENDED);
        CHECK_EQ_I64(log_number("status"), i == 0 ? 200 : i == 1 ? 400 : 499);
        CHECK_EQ_I64(calls_open(w->loop), 0);
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}
