/* Every row of GW_ERRORS from its cause: status, type and code as the client sees them, as a whole
 * answer and as an event of a stream under way, and the same name in the log. */
#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

/* What a client does wrong, or the gateway cannot do: answered without any upstream. */
static const struct {
    enum gw_error e;
    enum http_method method;
    const char *path, *fields, *body;
} local_rows[] = {
    {GW_BAD_REQUEST, HTTP_POST, "/v1/chat/%zz", NULL, NULL},
    {GW_BAD_REQUEST, HTTP_POST, "/v1/chat/%00", NULL, NULL},
    {GW_NO_KEY, HTTP_POST, "/v1/chat/completions", NULL, NULL},
    {GW_NO_KEY, HTTP_GET, "/v1/models", "Authorization: Basic abc", NULL},
    {GW_BAD_KEY, HTTP_POST, "/v1/chat/completions", "Authorization: Bearer sk-bad", NULL},
    {GW_BAD_KEY, HTTP_POST, "/v1/chat/completions", "x-api-key: sk-bad", NULL},
    {GW_NOT_FOUND, HTTP_POST, "/v1/nothing", "x-api-key: sk-good", NULL},
    {GW_NOT_FOUND, HTTP_GET, "/", NULL, NULL},
    {GW_METHOD, HTTP_GET, "/v1/chat/completions", "x-api-key: sk-good", NULL},
    {GW_METHOD, HTTP_POST, "/v1/models", "x-api-key: sk-good", NULL},
    {GW_METHOD, HTTP_POST, "/livez", "x-api-key: sk-good", NULL},
    {GW_MODEL_NOT_FOUND, HTTP_GET, "/v1/models/none/such", "x-api-key: sk-good", NULL},
    {GW_MODEL_NOT_FOUND, HTTP_POST, "/v1/chat/completions", "x-api-key: sk-good",
     "{\"model\":\"nope/x\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}"},
    {GW_MODEL_AMBIGUOUS, HTTP_POST, "/v1/chat/completions", "Authorization: bearer sk-good",
     "{\"model\":\"both\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}"},
    {GW_BODY_ENCODING, HTTP_POST, "/v1/chat/completions",
     "x-api-key: sk-good\nContent-Encoding: br", "abc"},
    {GW_BODY_UNPACK, HTTP_POST, "/v1/chat/completions",
     "x-api-key: sk-good\nContent-Encoding: gzip", "this is no gzip"},
    {GW_BODY_UNPACK, HTTP_POST, "/v1/chat/completions",
     "x-api-key: sk-good\nContent-Encoding: gzip", NULL},
    {GW_BODY_UNPACK, HTTP_POST, "/v1/chat/completions",
     "x-api-key: sk-good\nContent-Encoding: zstd", "nor zstd"},
};

static void want_keys(struct gw_snapshot *s)
{
    s->auth_keys = true;
}

TEST(local_refusals)
{
    struct world *w = world_new(want_keys);
    for (size_t i = 0; i < ARRAY_LEN(local_rows); i++) {
        check_note("row %zu, %s", i, gw_error_row(local_rows[i].e)->code);
        struct net_stream *s = ask_path(w, local_rows[i].method, local_rows[i].path,
                                        local_rows[i].fields, slice_str(local_rows[i].body));
        check_error(s, local_rows[i].e);
        if (local_rows[i].e == GW_METHOD)
            CHECK(client_field(s, "allow").n > 0);
        if (local_rows[i].e == GW_NO_KEY || local_rows[i].e == GW_BAD_KEY)
            CHECK_EQ_LIT(client_field(s, "www-authenticate"), "Bearer");
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(local_answers)
{
    struct world *w = world_new(want_keys);
    struct net_stream *s = ask_path(w, HTTP_GET, "/v1/models", "x-api-key: sk-good", SLICE_NONE);
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_LIT(text_view(&s->body), "{\"object\":\"list\",\"data\":[]}");
    CHECK(log_text_is("key", "team") && log_text_is("reason", "complete"));
    client_free(s);
    s = ask_path(w, HTTP_GET, "/v1/models/one", "x-api-key: sk-good", SLICE_NONE);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "id"), "one");
    client_free(s);
    w->started--; /* health checks are not logged */
    s = ask_path(w, HTTP_GET, "/readyz", NULL, SLICE_NONE);
    CHECK_EQ_I64(s->status, 200);
    client_free(s);
    gateway_unready(w->gateway);
    w->started--;
    s = ask_path(w, HTTP_GET, "/readyz", NULL, SLICE_NONE);
    CHECK_EQ_I64(s->status, 503);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static const char *const bad_bodies[] = {
    "",
    "{",
    "[]",
    "{\"model\":\"one\"}",
    "{\"model\":\"\",\"messages\":[{\"role\":\"user\"}]}",
    "{\"model\":\"one\",\"messages\":[{\"role\":\"user\"}],\"stream\":1}",
    "{\"model\":\"one\",\"mod\\u0065l\":\"two\",\"messages\":[{\"role\":\"user\"}]}",
    "\"\xff\"",
};

TEST(invalid_bodies)
{
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad_bodies); i++) {
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_str(bad_bodies[i]));
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(s->status, 400);
        CHECK_EQ_LIT(json_member(text_view(&s->body), "error.type"), "invalid_request_error");
        CHECK(log_text_is("reason", "invalid_body"));
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

static struct net_stream *ask_chunked(struct world *w)
{
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/chat/completions", .content_length = -1, .chunked = true};
    w->started++;
    return client_new(w->loop, &r);
}

TEST(body_too_large)
{
    struct world *w = world_new(NULL);
    static char megabyte[1 << 20];
    memset(megabyte, ' ', sizeof megabyte);
    struct client_request r = {
        .method = HTTP_POST, .path = "/v1/chat/completions", .content_length = (4 << 20) + 1};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    check_error(s, GW_BODY_TOO_LARGE);
    client_free(s);
    s = ask_chunked(w);
    for (int i = 0; i < 4; i++)
        client_body(s, slice_of(megabyte, sizeof megabyte), false);
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    client_body(s, SLICE(" "), false);
    check_error(s, GW_BODY_TOO_LARGE);
    client_free(s);
    s = ask_chunked(w); /* a chunk that says so is not waited for */
    s->announced = (4 << 20) + 1;
    client_body(s, SLICE(" "), false);
    check_error(s, GW_BODY_TOO_LARGE);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(body_memory_runs_out_and_recovers)
{
    struct world *w = world_new(NULL);
    struct net_stream *many[20], *s;
    static char megabyte[1 << 20];
    unsigned n = 0;
    memset(megabyte, ' ', sizeof megabyte);
    w->gateway->budget.limit_bytes = 8 << 20;
    for (;; n++) {
        CHECK(n < ARRAY_LEN(many));
        many[n] = ask_chunked(w);
        client_body(many[n], slice_of(megabyte, sizeof megabyte), false);
        if (many[n]->state != CLIENT_OPEN)
            break;
    }
    check_error(many[n], GW_BODY_MEMORY);
    CHECK_EQ_LIT(client_field(many[n], "retry-after"), "1");
    CHECK(n >= 4);
    CHECK_EQ_I64(metric_plain_value(MP_BODY_REFUSED), 1);
    client_free(many[n]);
    for (unsigned i = 0; i < n; i++) {
        client_leave(many[i], NET_GONE_CLOSED);
        client_free(many[i]);
    }
    s = ask(w, "one", 0);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Those that no client sees. */
TEST(clients_that_leave)
{
    static const struct {
        enum net_gone why;
        enum gw_error e;
    } rows[] = {
        {NET_GONE_CLOSED, GW_CLIENT_GONE},
        {NET_GONE_BROKEN, GW_BAD_REQUEST},
        {NET_GONE_TIMEOUT, GW_CLIENT_SLOW},
        {NET_GONE_SHUTDOWN, GW_SHUTTING_DOWN},
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct gw_error_row *row = gw_error_row(rows[i].e);
        struct net_stream *s = ask_chunked(w);
        client_leave(s, rows[i].why);
        CHECK_EQ_I64(log_number("status"), row->status);
        CHECK(log_text_is("reason", row->code));
        client_free(s);
        s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        client_leave(s, rows[i].why);
        CHECK(c->cancelled && calls_open(w->loop) == 0); /* in the same turn */
        CHECK_EQ_I64(log_number("status"), row->status);
        CHECK(log_attempts() == 1);
        client_free(s);
    }
    CHECK_EQ_I64(metric_plain_value(MP_CANCELLED), 2);
    world_check_rest(w);
    world_free(w);
}

static void no_targets(struct gw_snapshot *s)
{
    for (size_t i = 0; i < s->models_n; i++)
        s->model_list[i].targets_n = 0;
}

TEST(internal)
{
    struct world *w = world_new(no_targets);
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    check_error(s, GW_INTERNAL);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(no_exchange_to_be_had)
{
    struct world *w = world_new(NULL);
    check_needs_torture();
    mem_torture(1);
    struct net_stream *s = ask(w, "one", 0);
    mem_torture(0);
    w->started = 0; /* there was none, and no line */
    CHECK_EQ_I64(s->status, 503);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "error.code"), "out_of_memory");
    CHECK(s->close_after);
    client_free(s);
    w->worker->pages_n = SLOT_PAGES;
    s = ask(w, "one", 0);
    w->worker->pages_n = 0;
    w->started = 0;
    CHECK_EQ_I64(s->status, 503);
    CHECK_EQ_LIT(json_member(text_view(&s->body), "error.code"), "overloaded");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- what upstreams do */

static void fail_dns(struct call *c)
{
    call_fail(c, NET_FAIL_DNS, "");
}
static void fail_connect(struct call *c)
{
    call_fail(c, NET_FAIL_CONNECT, "no route");
}
static void fail_proxy(struct call *c)
{
    call_fail(c, NET_FAIL_PROXY, "");
}
static void fail_tls(struct call *c)
{
    call_fail(c, NET_FAIL_TLS, "certificate has expired");
}
static void fail_reset(struct call *c)
{
    call_fail(c, NET_FAIL_RESET, "");
}
static void fail_http(struct call *c)
{
    call_fail(c, NET_FAIL_BAD_ANSWER, "malformed chunk");
}
static void fail_cut(struct call *c)
{
    call_fail(c, NET_FAIL_TRUNCATED, "");
}
static void fail_memory(struct call *c)
{
    call_fail(c, NET_FAIL_MEMORY, "");
}
static void answer_html(struct call *c)
{
    call_head(c, 200, "Content-Type: text/html\n", -1);
}
static void answer_302(struct call *c)
{
    call_head(c, 302, "Location: http://elsewhere/\n", 0);
    call_end(c);
}
static void answer_401(struct call *c)
{
    answer_json(c, 401, SLICE("{\"error\":{\"message\":\"Incorrect API key sk-secret\"}}"));
}
static void answer_403(struct call *c)
{
    answer_json(c, 403, SLICE("{\"error\":\"sk-secret\"}"));
}
static void answer_402(struct call *c)
{
    answer_json(c, 402, SLICE("{\"error\":{\"message\":\"no credit\"}}"));
}
static void silence_connect(struct call *c)
{
    call_phase(c, LEASE_CONNECT);
    loop_advance(c->loop, 3 * NS_PER_S);
}
static void silence_tls(struct call *c)
{
    call_phase(c, LEASE_TLS);
    loop_advance(c->loop, 5 * NS_PER_S);
}
static void silence_write(struct call *c)
{
    call_phase(c, LEASE_WRITE);
    loop_advance(c->loop, 30 * NS_PER_S);
}

/* Before anything was sent: a whole answer, whatever the client asked for. All but the last of two
 * targets fail in silence, and the second one's failure is what is told. */
static const struct {
    enum gw_error e;
    void (*fail)(struct call *c);
    bool ends; /* no other target is tried */
} upstream_rows[] = {
    {GW_UPSTREAM_DNS, fail_dns, false},           {GW_UPSTREAM_CONNECT, fail_connect, false},
    {GW_UPSTREAM_PROXY, fail_proxy, false},       {GW_UPSTREAM_TLS, fail_tls, false},
    {GW_UPSTREAM_RESET, fail_reset, false},       {GW_UPSTREAM_BAD_ANSWER, fail_http, false},
    {GW_UPSTREAM_CUT, fail_cut, false},           {GW_NO_MEMORY, fail_memory, true},
    {GW_UPSTREAM_BAD_ANSWER, answer_html, false}, {GW_UPSTREAM_BAD_ANSWER, answer_302, false},
    {GW_UPSTREAM_AUTH, answer_401, false},        {GW_UPSTREAM_AUTH, answer_403, false},
    {GW_UPSTREAM_BILLING, answer_402, false},
};

static void fail_before_head(struct world *w, size_t row, unsigned how)
{
    enum gw_error e = upstream_rows[row].e;
    bool ends = upstream_rows[row].ends;
    check_note("%s, %s", gw_error_row(e)->code, how & ASK_STREAM ? "stream" : "whole");
    struct net_stream *s = ask(w, "two", how);
    for (int i = 0; i < (ends ? 1 : 2); i++) {
        CHECK_EQ_I64(calls_open(w->loop), 1);
        upstream_rows[row].fail(call_last_open(w->loop));
    }
    check_error(s, e);
    CHECK_EQ_I64(log_attempts(), ends ? 1 : 2);
    CHECK(log_attempt_is(0, "alpha/m0", gw_error_row(e)->code));
    CHECK_EQ_SLICE(client_field(s, "x-weir-target"), ends ? SLICE("alpha/m0") : SLICE("beta/m1"));
    CHECK_EQ_SLICE(client_field(s, "x-weir-attempts"), ends ? SLICE("1") : SLICE("2"));
    CHECK_EQ_SLICE(client_field(s, "x-should-retry"), ends ? SLICE_NONE : SLICE("false"));
    CHECK(memmem(s->body.p, s->body.n, "sk-secret", 9) == NULL);
    client_free(s);
    calls_forget(w->loop);
}

TEST(upstream_failures_before_the_head)
{
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(upstream_rows); i++) {
        fail_before_head(w, i, 0);
        fail_before_head(w, i, ASK_STREAM);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* Limits that pass in the middle of several tries have their own file; here only what they say. */
TEST(connecting_takes_too_long)
{
    static const struct {
        enum gw_error e;
        void (*wait)(struct call *c);
    } rows[] = {
        {GW_CONNECT_TIMEOUT, silence_connect},
        {GW_TLS_TIMEOUT, silence_tls},
        {GW_WRITE_TIMEOUT, silence_write},
    };
    struct world *w = world_new(NULL);
    w->up[ALPHA]->begins = LEASE_CONNECT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_stream *s = ask(w, "one", 0);
        rows[i].wait(call_last_open(w->loop));
        check_error(s, rows[i].e);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

static const struct {
    unsigned status, seen;
    enum gw_error e;
    const char *body, *type, *code;
    bool another;
} status_rows[] = {
    {400, 400, GW_UPSTREAM_REFUSED, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}",
     "t", "c", false},
    {404, 404, GW_UPSTREAM_REFUSED, "{\"detail\":\"no such model\"}", "invalid_request_error",
     "upstream_refused", false},
    {422, 422, GW_UPSTREAM_REFUSED, "{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"bad\"}]}",
     "invalid_request_error", "upstream_refused", false},
    {429, 429, GW_UPSTREAM_RATE_LIMITED, "slow down", "rate_limit_error", "rate_limit_exceeded",
     true},
    {500, 500, GW_UPSTREAM_ERROR, "<html><body>oops</body></html>", "server_error",
     "upstream_error", true},
    {503, 503, GW_UPSTREAM_ERROR, "", "server_error", "upstream_error", true},
    {529, 503, GW_UPSTREAM_ERROR, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
     "overloaded_error", "upstream_error", true},
};

TEST(statuses_of_upstreams)
{
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < 2 * ARRAY_LEN(status_rows); i++) {
        size_t r = i / 2;
        check_note("%u, %s", status_rows[r].status, i & 1 ? "stream" : "whole");
        struct net_stream *s = ask(w, "two", i & 1 ? ASK_STREAM : 0);
        for (int n = 0; n < (status_rows[r].another ? 2 : 1); n++) {
            call_head(call_last_open(w->loop), status_rows[r].status,
                      "Retry-After: 7\nx-ratelimit-limit: 3\nSet-Cookie: a=b\n", -1);
            call_piece(call_last_open(w->loop), slice_str(status_rows[r].body));
            call_end(call_last_open(w->loop));
        }
        check_error_is(s, status_rows[r].seen, status_rows[r].type, status_rows[r].code);
        CHECK(log_text_is("reason", gw_error_row(status_rows[r].e)->code));
        CHECK_EQ_I64(log_number("status"), status_rows[r].seen);
        CHECK_EQ_LIT(client_field(s, "retry-after"), "7");
        CHECK_EQ_LIT(client_field(s, "x-ratelimit-limit"), "3");
        CHECK_EQ_I64((int64_t)client_field(s, "set-cookie").n, 0);
        CHECK_EQ_I64(log_attempts(), status_rows[r].another ? 2 : 1);
        client_free(s);
        calls_forget(w->loop);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* The status of a client whose own credential was refused is its own business. */
TEST(refused_credential_of_the_client)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions",
                                    "Authorization: Bearer sk-mine", chat_body("own", 0));
    struct call *c = call_last_open(w->loop);
    CHECK(memmem(c->fields.p, c->fields.n, "Authorization: Bearer sk-mine\r\n", 31) != NULL);
    answer_json(c, 401, SLICE("{\"error\":{\"message\":\"bad key\",\"code\":\"k\"}}"));
    check_error_is(s, 401, "invalid_request_error", "k");
    client_free(s);
    s = ask_path(w, HTTP_POST, "/v1/chat/completions", "Authorization: Bearer sk-mine",
                 chat_body("one", 0)); /* and goes nowhere else */
    c = call_last_open(w->loop);
    CHECK(memmem(c->fields.p, c->fields.n, "sk-mine", 7) == NULL);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* A 200 that is none, before any content. */
static const struct {
    enum gw_error e;
    const char *head, *body;
    const char *type, *code; /* NULL: the row's */
    bool stream;
} hollow_rows[] = {
    {GW_UPSTREAM_BAD_ANSWER, JSON_HEAD, "", NULL, NULL, false},
    {GW_UPSTREAM_BAD_ANSWER, JSON_HEAD, "{\"choices\":", NULL, NULL, false},
    {GW_UPSTREAM_BAD_ANSWER, JSON_HEAD, "{\"id\":\"c1\"}", NULL, NULL, false},
    {GW_UPSTREAM_BAD_ANSWER, JSON_HEAD, CHAT_ANSWER, NULL, NULL, true},
    {GW_UPSTREAM_BAD_ANSWER, SSE_HEAD, EV_DONE, NULL, NULL, false},
    {GW_UPSTREAM_BAD_ANSWER, SSE_HEAD, EV_JUNK, NULL, NULL, true},
    {GW_UPSTREAM_BAD_ANSWER, SSE_HEAD, EV_ROLE EV_JUNK, NULL, NULL, true},
    {GW_UPSTREAM_ERROR, JSON_HEAD, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}",
     "t", "c", false},
    {GW_UPSTREAM_ERROR, JSON_HEAD, "{\"error\":\"m\"}", NULL, NULL, true},
    {GW_UPSTREAM_ERROR, SSE_HEAD, EV_ERROR, "server_error", "kaputt", true},
    {GW_UPSTREAM_ERROR, SSE_HEAD, EV_ROLE EV_ERROR, "server_error", "kaputt", true},
    {GW_UPSTREAM_CUT, SSE_HEAD, "", NULL, NULL, true},
    {GW_UPSTREAM_CUT, SSE_HEAD, EV_ROLE, NULL, NULL, true},
    {GW_UPSTREAM_CUT, SSE_HEAD, ": hello\n\n", NULL, NULL, true},
    {GW_UPSTREAM_CUT, SSE_HEAD, "data: [DONE]\n", NULL, NULL, true},
};

TEST(hollow_answers)
{
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(hollow_rows); i++) {
        const struct gw_error_row *row = gw_error_row(hollow_rows[i].e);
        check_note("row %zu, %s", i, row->code);
        struct net_stream *s = ask(w, "two", hollow_rows[i].stream ? ASK_STREAM : 0);
        for (int n = 0; n < 2; n++) {
            struct call *c = call_last_open(w->loop);
            call_head(c, 200, hollow_rows[i].head, -1);
            if (c->lease != NULL)
                call_piece(c, slice_str(hollow_rows[i].body));
            if (c->lease != NULL)
                call_end(c);
        }
        check_error_is(s, row->status, hollow_rows[i].type ? hollow_rows[i].type : row->type,
                       hollow_rows[i].code ? hollow_rows[i].code : row->code);
        CHECK(log_text_is("reason", row->code));
        CHECK_EQ_I64(log_attempts(), 2);
        client_free(s);
        calls_forget(w->loop);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(upstream_too_large)
{
    struct world *w = world_new(NULL);
    static char spaces[65536 + 64];
    memset(spaces, ' ', sizeof spaces);
    struct net_stream *s = ask(w, "two", 0);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, JSON_HEAD, -1);
    for (int i = 0; i < 16; i++)
        call_piece(c, slice_of(spaces, 65536));
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    call_piece(c, SLICE(" "));
    CHECK(c->cancelled);
    check_error(s, GW_UPSTREAM_TOO_LARGE);
    CHECK_EQ_I64(log_attempts(), 1);
    client_free(s);
    s = ask(w, "two", ASK_STREAM);
    c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    memcpy(spaces, "data: ", 6);
    call_piece(c, slice_of(spaces, 65536));
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    call_piece(c, SLICE(" "));
    check_error(s, GW_UPSTREAM_TOO_LARGE);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- under way: an event, then the end, and never [DONE] */

static void between_tokens(struct call *c)
{
    loop_advance(c->loop, 120 * NS_PER_S);
}
static void total(struct call *c)
{
    for (int i = 0; i < 20 && c->lease != NULL; i++) {
        loop_advance(c->loop, 30 * NS_PER_S);
        if (c->lease != NULL)
            call_piece(c, SLICE(": ping\n\n"));
    }
}
static void junk(struct call *c)
{
    call_piece(c, SLICE(EV_JUNK));
}
static void error_event(struct call *c)
{
    call_piece(c, SLICE(EV_ERROR));
}
static void plain_end(struct call *c)
{
    call_end(c);
}
static void partial_then_end(struct call *c)
{
    call_piece(c, SLICE("data: {\"choices\":[{\"delta\":{\"content\":\"lost\"}}]}\n"));
    call_end(c);
}
static void endless_event(struct call *c)
{
    static char spaces[65536 + 1];
    memset(spaces, 'x', sizeof spaces);
    call_piece(c, slice_of(spaces, sizeof spaces));
}

static const struct {
    enum gw_error e;
    void (*fail)(struct call *c);
    const char *type, *code;
} under_way_rows[] = {
    {GW_UPSTREAM_CUT, fail_cut, NULL, NULL},
    {GW_UPSTREAM_CUT, plain_end, NULL, NULL},
    {GW_UPSTREAM_CUT, partial_then_end, NULL, NULL},
    {GW_UPSTREAM_BAD_ANSWER, fail_http, NULL, NULL},
    {GW_UPSTREAM_BAD_ANSWER, junk, NULL, NULL},
    {GW_NO_MEMORY, fail_memory, NULL, NULL},
    {GW_UPSTREAM_ERROR, error_event, "server_error", "kaputt"},
    {GW_UPSTREAM_TOO_LARGE, endless_event, NULL, NULL},
    {GW_BETWEEN_TOKENS_TIMEOUT, between_tokens, NULL, NULL},
    {GW_TOTAL_TIMEOUT, total, NULL, NULL},
};

TEST(failures_of_a_stream_under_way)
{
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(under_way_rows); i++) {
        const struct gw_error_row *row = gw_error_row(under_way_rows[i].e);
        check_note("row %zu, %s", i, row->code);
        struct net_stream *s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, SLICE(EV_ROLE EV_TEXT));
        CHECK(s->status == 200 && s->body.n > 0);
        under_way_rows[i].fail(c);
        struct slice body = text_view(&s->body); /* comments may stand between */
        const char *last = body.p;
        for (const char *p = body.p; (p = strstr(p, "data: ")) != NULL; p++)
            last = p;
        char before[8192];
        CHECK((size_t)(last - body.p) < sizeof before);
        memcpy(before, body.p, (size_t)(last - body.p));
        before[last - body.p] = '\0';
        CHECK(slice_starts(body, SLICE(EV_ROLE EV_TEXT)));
        check_stream_error(s, before, under_way_rows[i].type ? under_way_rows[i].type : row->type,
                           under_way_rows[i].code ? under_way_rows[i].code : row->code);
        CHECK(strstr(body.p, "[DONE]") == NULL && strstr(body.p, "lost") == NULL);
        CHECK_EQ_I64(log_attempts(), 1); /* content: nobody else can go on */
        CHECK_EQ_I64(log_number("status"), 200);
        CHECK(log_text_is("reason", row->code));
        client_free(s);
        calls_forget(w->loop);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* What fails in one read behind content is told after the content. */
TEST(content_and_failure_in_one_read)
{
    static const char *const ends[] = {EV_ERROR, EV_JUNK};
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct text all = {0};
        text_add(&all, SLICE(EV_ROLE EV_TEXT));
        text_add(&all, slice_str(ends[i]));
        struct net_stream *s = ask(w, "two", ASK_STREAM);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200, SSE_HEAD, -1);
        call_piece(c, text_view(&all));
        check_stream_error(s, EV_ROLE EV_TEXT, "server_error",
                           i == 0 ? "kaputt" : "upstream_bad_answer");
        CHECK_EQ_I64(log_attempts(), 1);
        text_done(&all);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* An error whose text is longer than any head. */
TEST(large_error_in_a_stream)
{
    struct world *w = world_new(NULL);
    struct text event = {0};
    static char long_text[50000];
    memset(long_text, 'e', sizeof long_text);
    text_add(&event, SLICE("data: {\"error\":{\"message\":\""));
    text_add(&event, slice_of(long_text, sizeof long_text));
    text_add(&event, SLICE("\",\"type\":\"t\",\"code\":\"c\"}}\n\n"));
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT));
    call_piece(c, text_view(&event));
    check_stream_error(s, EV_TEXT, "t", "c");
    text_done(&event);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}
