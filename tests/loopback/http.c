/* What HTTP says about heads and bodies, where the gateway has a part in it: HEAD, answers without
 * a body, bodies that are passed through both ways, packed bodies. */
#include <stdlib.h>
#include <zlib.h>

#include "base/clock.h"
#include "world.h"

static struct net_stream *begin(struct world *w, enum http_method method, const char *path,
                                int64_t length)
{
    struct client_request r = {.method = method,
                               .path = path,
                               .fields = "Content-Type: audio/wav\nAccept: */*\nCookie: a=b\n"
                                         "Connection: openai-beta\nOpenAI-Beta: x\n"
                                         "traceparent: 00-1-2-3\n",
                               .content_length = length,
                               .chunked = length < 0};
    w->started++;
    return client_new(w->loop, &r);
}

static bool has(const struct text *t, const char *what)
{
    return t->n > 0 && strstr(t->p, what) != NULL;
}

TEST(head_requests)
{
    static const char *const paths[] = {"/v1/models", "/v1/models/one", "/v1/models/none",
                                        "/livez"};
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct net_stream *s = ask_path(w, HTTP_HEAD, paths[i], NULL, SLICE_NONE);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(s->status, i == 2 ? 404 : 200);
        CHECK(s->content_length > 0 && s->body.n == 0);
        if (i < 3)
            CHECK_EQ_I64(log_number("bytes_out"), 0);
        client_free(s);
    }
    w->started--; /* health checks have no line */
    struct net_stream *s = begin(w, HTTP_HEAD, "/v1/files", 0);
    struct call *c = call_last_open(w->loop);
    CHECK(c->method == HTTP_HEAD && !c->has_body && !c->streamed);
    call_head(c, 200, "Content-Type: text/plain\n", 1234);
    call_end(c);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK_EQ_I64(s->content_length, 1234);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(answers_without_a_body)
{
    static const unsigned statuses[] = {204, 304, 200};
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < 2 * ARRAY_LEN(statuses); i++) {
        unsigned status = statuses[i / 2];
        struct net_stream *s = i & 1 ? ask(w, "one", 0) : begin(w, HTTP_GET, "/v1/files", 0);
        struct call *c = call_last_open(w->loop);
        call_head(c, status, NULL, 0);
        call_end(c);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(s->status, i & 1 ? 502 : status); /* no answer of a model */
        CHECK(i & 1 ? s->body.n > 0 : s->body.n == 0);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

/* Fields by list, bodies as they are, both ways. */
TEST(passed_through)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = begin(w, HTTP_POST, "/v1/audio/speech%20x?a=%2F", -1);
    struct call *c = call_last_open(w->loop);
    CHECK(c->upstream == w->up[ALPHA] && c->streamed && c->body_bytes == STREAM_UNKNOWN);
    CHECK_EQ_LIT(text_view(&c->target), "/v1/audio/speech%20x?a=%2F");
    CHECK(has(&c->fields, "content-type: audio/wav\r\n") && has(&c->fields, "accept: */*\r\n"));
    CHECK(has(&c->fields, "traceparent: 00-1-2-3\r\n"));
    CHECK(!has(&c->fields, "Cookie") && !has(&c->fields, "OpenAI-Beta")); /* hop by hop, it says */
    c->room = 3;
    client_body(s, SLICE("abc"), false);
    client_body(s, SLICE("def"), false); /* waits */
    CHECK_EQ_LIT(text_view(&c->body), "abc");
    CHECK_EQ_I64(s->pauses, 1);
    call_writable(c, SIZE_MAX);
    client_body(s, SLICE("ghi"), true);
    CHECK_EQ_LIT(text_view(&c->body), "abcdefghi");
    CHECK(c->body_ended && c->lease->phase == LEASE_HEAD);
    s->room = 2;
    call_head(c, 418, "Content-Type: a/b\nSet-Cookie: x\nx-ratelimit-x: 1\nContent-Encoding: br\n",
              -1);
    CHECK_EQ_I64(s->status, 418);
    call_piece(c, SLICE("xyz"));
    CHECK(call_paused(c));
    client_drain(s);
    CHECK(!call_paused(c));
    call_piece(c, SLICE("!"));
    call_end(c);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK_EQ_LIT(text_view(&s->body), "xyz!");
    CHECK_EQ_LIT(client_field(s, "content-type"), "a/b");
    CHECK_EQ_LIT(client_field(s, "content-encoding"), "br");
    CHECK_EQ_LIT(client_field(s, "x-ratelimit-x"), "1");
    CHECK_EQ_I64((int64_t)client_field(s, "set-cookie").n, 0);
    CHECK_EQ_I64(log_number("status"), 418);
    CHECK_EQ_I64(log_number("bytes_in"), 9);
    CHECK_EQ_I64(log_number("bytes_out"), 4);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Before the head its failures are told; behind it the connection breaks. Nothing is tried again.
 */
TEST(passed_through_badly)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = begin(w, HTTP_POST, "/v1/audio/x", 10);
    client_body(s, SLICE("12345"), false);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    check_error(s, GW_UPSTREAM_RESET);
    CHECK_EQ_I64(log_attempts(), 1);
    client_free(s);
    s = begin(w, HTTP_GET, "/v1/files", 0);
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, NULL, 100);
    call_piece(c, SLICE("12345"));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    CHECK_EQ_I64(s->state, CLIENT_ABORTED);
    CHECK(log_text_is("reason", "upstream_cut"));
    CHECK_EQ_I64(log_number("status"), 200);
    client_free(s);
    s = begin(w, HTTP_POST, "/v1/audio/x", 10); /* an answer before the body has ended */
    c = call_last_open(w->loop);
    client_body(s, SLICE("12345"), false);
    call_head(c, 413, JSON_HEAD, 2);
    client_body(s, SLICE("67890"), true);
    call_body(c, SLICE("{}"), true);
    CHECK(s->state == CLIENT_ENDED && s->status == 413);
    CHECK_EQ_LIT(text_view(&c->body), "12345");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static size_t gzip(struct slice in, char *out, size_t size)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)size;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

static struct net_stream *ask_packed(struct world *w, struct slice packed, size_t piece)
{
    struct client_request r = {.method = HTTP_POST,
                               .path = "/v1/chat/completions",
                               .fields = "Content-Encoding: GZip\n",
                               .content_length = (int64_t)packed.n};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    s->piece = piece;
    client_body(s, packed, true);
    return s;
}

/* In any pieces; with junk behind the end; a bomb. */
TEST(packed_bodies)
{
    struct world *w = world_new(NULL);
    char packed[8192];
    size_t n = gzip(chat_body("one", 0), packed, sizeof packed);
    for (size_t piece = 0; piece < 20; piece++) {
        struct net_stream *s = ask_packed(w, slice_of(packed, n), piece);
        CHECK(exchange_of(s)->inflate == NULL); /* it would stay as long as the answer takes */
        answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        check_stream_complete(s, CHAT_ANSWER);
        CHECK_EQ_I64(log_number("bytes_in"), (int64_t)n);
        client_free(s);
    }
    for (size_t cut = 1; cut < n; cut += 7) {
        struct net_stream *s = ask_packed(w, slice_of(packed, n - cut), 0);
        check_error(s, GW_BODY_UNPACK);
        client_free(s);
    }
    packed[n] = 'x';
    struct net_stream *s = ask_packed(w, slice_of(packed, n + 1), 0);
    check_error(s, GW_BODY_UNPACK);
    client_free(s);
    size_t bomb = (size_t)4 << 20;
    char *zeros = calloc(1, bomb);
    CHECK(zeros != NULL);
    n = gzip(slice_of(zeros, bomb), packed, sizeof packed);
    free(zeros);
    s = ask_packed(w, slice_of(packed, n), 100);
    check_error(s, GW_BODY_TOO_LARGE);
    CHECK(s->taken < n);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void small_bodies(struct gw_snapshot *s)
{
    s->limits.body_bytes = 5000;
}

/* The limit is for what comes out. */
TEST(packed_body_over_the_limit)
{
    struct world *w = world_new(small_bodies);
    char text[5001], packed[5001];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + check_random_below(16)); /* little is gained by packing */
    for (size_t length = 5000; length <= 5001; length++) {
        size_t n = gzip(slice_of(text, length), packed, sizeof packed);
        struct net_stream *s = ask_packed(w, slice_of(packed, n), 64);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK(log_text_is("reason", length == 5000 ? "invalid_body" : "request_too_large"));
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

static void with_origin(struct gw_snapshot *s)
{
    s->auth_keys = true;
    s->cors_origins = arena_zalloc(&s->arena, sizeof *s->cors_origins);
    CHECK(s->cors_origins != NULL);
    s->cors_origins[0] = SLICE("https://app");
    s->cors_n = 1;
}

TEST(cors)
{
    struct world *w = world_new(with_origin);
    struct net_stream *s =
        ask_path(w, HTTP_OPTIONS, "/v1/chat/completions", "Origin: https://app\n", SLICE_NONE);
    CHECK_EQ_I64(s->status, 204);
    CHECK_EQ_LIT(client_field(s, "access-control-allow-origin"), "https://app");
    CHECK(client_field(s, "access-control-allow-methods").n > 0);
    client_free(s);
    s = ask_path(w, HTTP_OPTIONS, "/v1/chat/completions", "Origin: https://evil\n", SLICE_NONE);
    check_error(s, GW_METHOD);
    CHECK_EQ_I64((int64_t)client_field(s, "access-control-allow-origin").n, 0);
    client_free(s);
    s = ask_path(w, HTTP_GET, "/v1/models", "Origin: https://app\n", SLICE_NONE);
    check_error(s, GW_NO_KEY); /* readable by the page, too */
    CHECK_EQ_LIT(client_field(s, "access-control-allow-origin"), "https://app");
    CHECK_EQ_LIT(client_field(s, "vary"), "Origin");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void with_lists(struct gw_snapshot *s)
{
    static struct slice up[] = {{"x-tenant", 8}}, down[] = {{"x-region", 8}};
    s->forward_up = up;
    s->forward_up_n = 1;
    s->forward_down = down;
    s->forward_down_n = 1;
    s->trusted = arena_zalloc(&s->arena, 2 * sizeof *s->trusted);
    CHECK(s->trusted != NULL && net_prefix_parse(SLICE("127.0.0.0/8"), &s->trusted[0]));
    CHECK(net_prefix_parse(SLICE("10.0.0.0/8"), &s->trusted[1]));
    s->trusted_n = 2;
}

/* Fields that the configuration lets pass, and whose address counts behind trusted proxies. */
TEST(forwarding)
{
    static const struct {
        const char *fields, *client;
    } rows[] = {
        {"X-Tenant: t\n", "127.0.0.1"},
        {"X-Tenant: t\nX-Forwarded-For: 1.2.3.4\n", "1.2.3.4"},
        {"X-Tenant: t\nX-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.1.1.1\n", "1.2.3.4"},
        {"X-Tenant: t\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 10.1.1.1\n", "6.6.6.6"},
        {"X-Tenant: t\nX-Forwarded-For: junk, 10.1.1.1\n", "10.1.1.1"},
        {"X-Tenant: t\nX-Forwarded-For: \n", "127.0.0.1"},
    };
    struct world *w = world_new(with_lists);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].fields);
        struct net_stream *s =
            ask_path(w, HTTP_POST, "/v1/chat/completions", rows[i].fields, chat_body("one", 0));
        struct call *c = call_last_open(w->loop);
        CHECK(has(&c->fields, "X-Tenant: t\r\n") && !has(&c->fields, "Forwarded"));
        call_head(c, 200, JSON_HEAD "X-Region: eu\nX-Other: 1\n", -1);
        call_piece(c, SLICE(CHAT_ANSWER));
        call_end(c);
        CHECK_EQ_LIT(client_field(s, "x-region"), "eu");
        CHECK_EQ_I64((int64_t)client_field(s, "x-other").n, 0);
        CHECK(log_text_is("client", rows[i].client));
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* What the server refuses by itself has the shape of all errors. */
TEST(refusals_of_the_server)
{
    static const unsigned statuses[] = {400, 408, 431, 503};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct buf body;
        buf_init(&body, 4096);
        gw_server_ops.on_refuse(statuses[i], "why \"so\"", &body, NULL);
        CHECK_EQ_LIT(json_member(buf_view(&body), "error.message"), "why \\\"so\\\"");
        CHECK_EQ_SLICE(json_member(buf_view(&body), "error.type"),
                       statuses[i] < 500 ? SLICE("invalid_request_error") : SLICE("server_error"));
        buf_done(&body);
    }
}
