/* TLS on both sides: who is trusted, resumption, ALPN, SNI, endings, large writes, renegotiation.
 */
#include "net/tls_context.h"

#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

#include "kit.h"
#include "pool.h"

static struct kit kit;

/* --- raw ends --- */

static SSL_CTX *raw_context(bool server, const char *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    if (cert != NULL) {
        CHECK_EQ_I64(SSL_CTX_use_certificate_chain_file(ctx, cert_file(cert)), 1);
        CHECK_EQ_I64(SSL_CTX_use_PrivateKey_file(ctx, key_file(cert), SSL_FILETYPE_PEM), 1);
    }
    return ctx;
}

/* --- Weir as client --- */

static int listener;
static uint16_t port;

static struct upstream *secure_upstream(const char *ca, const char *host, const char *sni,
                                        const char *client)
{
    struct buf error;
    buf_init(&error, 1000);
    struct tls_client_context *ctx =
        tls_client_context_new(ca != NULL ? cert_file(ca) : NULL, client ? cert_file(client) : NULL,
                               client ? key_file(client) : NULL, &error);
    CHECK(ctx != NULL);
    struct upstream_config config = {
        .host = slice_str(host), .port = port, .tls = ctx, .sni = slice_str(sni)};
    struct upstream *u = upstream_new(&config);
    CHECK(u != NULL);
    tls_client_context_unref(ctx);
    buf_done(&error);
    return u;
}

static void client_set_up(void)
{
    kit_init(&kit);
    listener = kit_listen(&port);
}

static void client_tear_down(struct upstream *u)
{
    close(listener);
    net_loop_done(&kit.loop);
    CHECK_EQ_I64(upstream_connections(u), 0);
    upstream_unref(u);
}

TEST(who_is_trusted)
{
    static const struct {
        const char *cert, *host, *sni, *error; /* error NULL: trusted */
    } rows[] = {
        {"good", "127.0.0.1", "", NULL},
        {"good", "127.0.0.1", "a.test", NULL},
        {"good", "127.0.0.1", "x.w.test", NULL},
        {"good", "127.0.0.1", "x.y.w.test", "hostname mismatch"},
        {"good", "127.0.0.1", "b.test", "hostname mismatch"},
        {"good", "127.0.0.1", "127.0.0.2", "IP address mismatch"},
        {"wrong", "127.0.0.1", "", "IP address mismatch (CN=wrong)"},
        {"expired", "127.0.0.1", "", "certificate has expired (CN=expired)"},
        {"other", "127.0.0.1", "", "unable to get local issuer certificate (CN=other)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;
        struct end e;
        check_note("%s as \"%s\"", rows[i].cert, rows[i].sni);
        client_set_up();
        SSL_CTX *ctx = raw_context(true, rows[i].cert);
        struct upstream *u = secure_upstream("ca", rows[i].host, rows[i].sni, NULL);
        call_init(&c, &kit);
        call_start(&c, u);
        end_accept(&e, &kit, listener);
        bool shaken = end_tls(&e, ctx, true, NULL);
        if (rows[i].error == NULL) {
            CHECK(shaken);
            const char *name = SSL_get_servername(e.ssl, TLSEXT_NAMETYPE_host_name);
            CHECK_EQ_STR(name != NULL ? name : "", rows[i].sni);
            serve_one(&e, NULL);
            call_expect(&c, 200, "ok");
        } else {
            RUN_UNTIL(&kit, c.failed);
            CHECK_EQ_I64(c.why, NET_FAIL_TLS);
            if (strstr(c.detail, rows[i].error) == NULL)
                CHECK_EQ_STR(c.detail, rows[i].error);
            call_done(&c);
        }
        end_close(&e);
        SSL_CTX_free(ctx);
        client_tear_down(u);
    }
}

/* Without authorities of its own a target is not trusted because of another's. */
TEST(authorities_are_not_shared)
{
    struct call c;
    struct end e;
    client_set_up();
    SSL_CTX *ctx = raw_context(true, "good");
    struct upstream *trusting = secure_upstream("ca", "127.0.0.1", "", NULL);
    struct upstream *u = secure_upstream(NULL, "127.0.0.1", "", NULL);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    end_tls(&e, ctx, true, NULL);
    call_expect_failure(&c, NET_FAIL_TLS);
    end_close(&e);
    SSL_CTX_free(ctx);
    upstream_unref(trusting);
    client_tear_down(u);
}

static void one_call(struct upstream *u, SSL_CTX *ctx, const char *answer, bool *ret_resumed)
{
    struct call c;
    struct end e;
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    CHECK(end_tls(&e, ctx, true, NULL));
    *ret_resumed = SSL_session_reused(e.ssl) == 1;
    serve_one(&e, answer);
    call_expect(&c, 200, "ok");
    end_close(&e);
}

TEST(sessions_are_resumed)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        bool first, second, third;
        client_set_up();
        SSL_CTX *ctx = raw_context(true, "good");
        SSL_CTX_set_max_proto_version(ctx, version);
        struct upstream *u = secure_upstream("ca", "127.0.0.1", "a.test", NULL);
        one_call(u, ctx, answer, &first);
        one_call(u, ctx, answer, &second);
        CHECK(!first && second);
        /* a server with new ticket keys: a full handshake, no failure */
        SSL_CTX *fresh = raw_context(true, "good");
        SSL_CTX_set_max_proto_version(fresh, version);
        one_call(u, fresh, answer, &third);
        CHECK(!third);
        SSL_CTX_free(ctx);
        SSL_CTX_free(fresh);
        client_tear_down(u);
    }
}

/* A server that ends its connections without close_notify does not cost us the session. */
TEST(abrupt_end_keeps_the_session)
{
    bool first, second;
    client_set_up();
    SSL_CTX *ctx = raw_context(true, "good");
    struct upstream *u = secure_upstream("ca", "127.0.0.1", "a.test", NULL);
    one_call(u, ctx, NULL, &first); /* kept, and then cut */
    RUN_UNTIL(&kit, upstream_connections(u) == 0);
    one_call(u, ctx, NULL, &second);
    CHECK(!first && second);
    SSL_CTX_free(ctx);
    client_tear_down(u);
}

TEST(client_certificate_is_shown)
{
    bool resumed;
    client_set_up();
    SSL_CTX *ctx = raw_context(true, "good");
    SSL_CTX_load_verify_locations(ctx, cert_file("ca"), NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1);
    struct upstream *u = secure_upstream("ca", "127.0.0.1", "", "client");
    one_call(u, ctx, NULL, &resumed);
    SSL_CTX_free(ctx);
    client_tear_down(u);
}

/* A body to the end of the connection is complete with close_notify, and cut off without. */
TEST(truncation)
{
    for (int proper = 0; proper < 2; proper++) {
        struct call c;
        struct end e;
        client_set_up();
        SSL_CTX *ctx = raw_context(true, "good");
        struct upstream *u = secure_upstream("ca", "127.0.0.1", "", NULL);
        call_init(&c, &kit);
        call_start(&c, u);
        end_accept(&e, &kit, listener);
        CHECK(end_tls(&e, ctx, true, NULL));
        serve_one(&e, "HTTP/1.1 200 OK\r\n\r\nall");
        if (proper)
            SSL_shutdown(e.ssl);
        shutdown(e.fd, SHUT_WR);
        if (proper)
            call_expect(&c, 200, "all");
        else
            call_expect_failure(&c, NET_FAIL_TRUNCATED);
        end_close(&e);
        SSL_CTX_free(ctx);
        client_tear_down(u);
    }
}

TEST(no_tls_at_the_other_end)
{
    struct call c;
    struct end e;
    client_set_up();
    struct upstream *u = secure_upstream("ca", "127.0.0.1", "", NULL);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    end_send_lit(&e, "HTTP/1.1 400 Bad Request\r\n\r\n");
    call_expect_failure(&c, NET_FAIL_TLS);
    end_close(&e);
    client_tear_down(u);
}

TEST(cancel_in_the_handshake)
{
    struct call c;
    struct end e;
    client_set_up();
    struct upstream *u = secure_upstream("ca", "127.0.0.1", "", NULL);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    RUN_UNTIL(&kit, c.lease.phase == LEASE_TLS && (end_read(&e, SIZE_MAX), e.in.n > 0));
    call_done(&c);
    CHECK_EQ_I64(upstream_connections(u), 0);
    end_expect_eof(&e);
    end_close(&e);
    client_tear_down(u);
}

TEST(through_an_egress_proxy)
{
    struct call c;
    struct end e;
    client_set_up();
    struct buf error;
    buf_init(&error, 1000);
    SSL_CTX *ctx = raw_context(true, "good");
    struct tls_client_context *tls = tls_client_context_new(cert_file("ca"), NULL, NULL, &error);
    struct upstream_config config = {.host = SLICE("a.test"),
                                     .port = 8443,
                                     .tls = tls,
                                     .proxy_host = SLICE("127.0.0.1"),
                                     .proxy_port = port,
                                     .proxy_auth = SLICE("Basic eA==")};
    struct upstream *u = upstream_new(&config);
    tls_client_context_unref(tls);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    end_expect(&e, "CONNECT a.test:8443 HTTP/1.1\r\nHost: a.test:8443\r\n"
                   "Proxy-Authorization: Basic eA==\r\n\r\n");
    end_send_lit(&e, "HTTP/1.1 200 Connection established\r\n\r\n");
    CHECK(end_tls(&e, ctx, true, NULL));
    end_expect(&e, "Host: a.test:8443");
    CHECK(memmem(e.in.p, e.in.n, "Proxy-", 6) == NULL);
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    end_close(&e);
    SSL_CTX_free(ctx);
    client_tear_down(u);
}

TEST(egress_proxy_refuses)
{
    static const char *const answers[] = {"HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nx",
                                          "nonsense\r\n\r\n"};
    static const char *const details[] = {"status 407", "status 200", ""};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct call c;
        struct end e;
        client_set_up();
        struct buf error;
        buf_init(&error, 1000);
        struct tls_client_context *tls = tls_client_context_new(NULL, NULL, NULL, &error);
        struct upstream_config config = {.host = SLICE("a.test"),
                                         .port = 443,
                                         .tls = tls,
                                         .proxy_host = SLICE("127.0.0.1"),
                                         .proxy_port = port};
        struct upstream *u = upstream_new(&config);
        tls_client_context_unref(tls);
        call_init(&c, &kit);
        call_start(&c, u);
        end_accept(&e, &kit, listener);
        serve_one(&e, answers[i]);
        RUN_UNTIL(&kit, c.failed);
        CHECK_EQ_I64(c.why, NET_FAIL_PROXY);
        CHECK(strstr(c.detail, details[i]) != NULL);
        call_done(&c);
        end_close(&e);
        client_tear_down(u);
    }
}

TEST(bad_files)
{
    struct buf error;
    buf_init(&error, 4096);
    CHECK(tls_client_context_new("/nowhere.pem", NULL, NULL, &error) == NULL);
    CHECK(memmem(error.p, error.n, "/nowhere.pem", 12) != NULL);
    buf_reset(&error);
    CHECK(tls_client_context_new(NULL, cert_file("good"), key_file("other"), &error) == NULL);
    CHECK(memmem(error.p, error.n, "key", 3) != NULL);
    buf_reset(&error);
    CHECK(tls_server_context_new(key_file("good"), key_file("good"), NULL, &error) == NULL);
    CHECK(tls_server_context_new(cert_file("good"), key_file("good"), key_file("good"), &error) ==
          NULL);
    CHECK(error.n > 0);
    CHECK_EQ_I64(tls_cert_days_left(cert_file("good")), 9);
    CHECK(tls_cert_days_left(cert_file("expired")) < 0);
    CHECK_EQ_I64(tls_cert_days_left("/nowhere.pem"), INT64_MAX);
    buf_done(&error);
}

/* --- Weir as server --- */

static struct server server;
static struct net_listener_config config;
static SSL_CTX *client_ctx;

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct tls_server_context *server_context(const char *cert, const char *client_ca)
{
    struct buf error;
    buf_init(&error, 1000);
    struct tls_server_context *c = tls_server_context_new(
        cert_file(cert), key_file(cert), client_ca != NULL ? cert_file(client_ca) : NULL, &error);
    CHECK(c != NULL);
    buf_done(&error);
    return c;
}

static void server_set_up(const char *client_ca)
{
    kit_init(&kit);
    server_init(&server, &kit, &config);
    config.tls = server_context("good", client_ca);
    server_start(&server, &config);
    tls_server_context_unref(config.tls);
    client_ctx = raw_context(false, NULL);
}

static void server_tear_down(void)
{
    server_done(&server);
    kit_done(&kit);
    SSL_CTX_free(client_ctx);
}

static void connect_tls(struct end *e)
{
    end_connect(e, &kit, server.port);
    CHECK(end_tls(e, client_ctx, false, "a.test"));
}

static const char *peer_name(struct end *e)
{
    static char name[80];
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(e->ssl)),
                              NID_commonName, name, sizeof name);
    return name;
}

TEST(serves_over_tls)
{
    struct end e;
    server_set_up(NULL);
    connect_tls(&e);
    CHECK(net_listener_connections(server.listener) == 1);
    for (int i = 0; i < 3; i++) {
        end_send_lit(&e, GET("/"));
        end_expect(&e, "\r\n\r\nok");
    }
    CHECK_EQ_STR(peer_name(&e), "good");
    SSL_shutdown(e.ssl);
    end_expect_eof(&e);
    end_close(&e);
    server_tear_down();
}

TEST(old_versions_are_refused)
{
    struct end e;
    server_set_up(NULL);
    SSL_CTX_set_security_level(client_ctx, 0);
    SSL_CTX_set_max_proto_version(client_ctx, TLS1_1_VERSION);
    end_connect(&e, &kit, server.port);
    CHECK(!end_tls(&e, client_ctx, false, "a.test"));
    ERR_clear_error();
    end_close(&e);
    server_tear_down();
}

TEST(alpn)
{
    static const struct {
        const char *offer, *chosen; /* NULL: refused */
    } rows[] = {{"\x08http/1.1", "http/1.1"}, {"\x02h2\x08http/1.1", "http/1.1"}, {"\x02h2", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e;
        const unsigned char *got;
        unsigned n = 0;
        server_set_up(NULL);
        SSL_CTX_set_alpn_protos(client_ctx, (const unsigned char *)rows[i].offer,
                                (unsigned)strlen(rows[i].offer));
        end_connect(&e, &kit, server.port);
        CHECK_EQ_I64(end_tls(&e, client_ctx, false, NULL), rows[i].chosen != NULL);
        SSL_get0_alpn_selected(e.ssl, &got, &n);
        if (rows[i].chosen != NULL)
            CHECK_EQ_SLICE(slice_of((const char *)got, n), slice_str(rows[i].chosen));
        ERR_clear_error();
        end_close(&e);
        server_tear_down();
    }
}

TEST(client_certificates)
{
    static const char *const certs[] = {"client", "other", NULL};
    for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
        struct end e;
        server_set_up("ca");
        if (certs[i] != NULL) {
            SSL_CTX_free(client_ctx);
            client_ctx = raw_context(false, certs[i]);
        }
        end_connect(&e, &kit, server.port);
        bool ok = end_tls(&e, client_ctx, false, NULL);
        if (i == 0) {
            CHECK(ok);
            end_send_lit(&e, GET("/"));
            end_expect(&e, "\r\n\r\nok");
        } else {
            end_expect_broken(&e); /* with TLS 1.3 the client learns of it when it reads */
            CHECK_EQ_U64(server.log.n, 0);
        }
        ERR_clear_error();
        end_close(&e);
        server_tear_down();
    }
}

static SSL_SESSION *ticket;

static int on_ticket(SSL *ssl, SSL_SESSION *s)
{
    (void)ssl;
    SSL_SESSION_free(ticket);
    ticket = s;
    return 1;
}

TEST(tickets_resume)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct end e;
        server_set_up(NULL);
        SSL_CTX_set_max_proto_version(client_ctx, version);
        SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
        SSL_CTX_sess_set_new_cb(client_ctx, on_ticket);
        connect_tls(&e);
        end_send_lit(&e, GET("/"));
        end_expect(&e, "\r\n\r\nok");
        CHECK(ticket != NULL && SSL_session_reused(e.ssl) == 0);
        end_close(&e);
        end_connect(&e, &kit, server.port);
        e.resume = ticket;
        CHECK(end_tls(&e, client_ctx, false, "a.test"));
        CHECK_EQ_I64(SSL_session_reused(e.ssl), 1);
        end_send_lit(&e, GET("/"));
        end_expect(&e, "\r\n\r\nok");
        end_close(&e);
        SSL_SESSION_free(TAKE(ticket));
        server_tear_down();
    }
}

TEST(certificate_reload)
{
    struct end before, after;
    server_set_up(NULL);
    connect_tls(&before);
    struct tls_server_context *fresh = server_context("fresh", NULL);
    net_listener_update(server.listener, fresh, &config.limits);
    tls_server_context_unref(fresh);
    connect_tls(&after);
    CHECK_EQ_STR(peer_name(&before), "good");
    CHECK_EQ_STR(peer_name(&after), "fresh");
    end_send_lit(&before, GET("/"));
    end_expect(&before, "\r\n\r\nok");
    end_send_lit(&after, GET("/"));
    end_expect(&after, "\r\n\r\nok");
    end_close(&before);
    end_close(&after);
    server_tear_down();
}

TEST(large_answers_and_back_pressure)
{
    enum { BYTES = 12 << 20 };
    static char large[BYTES];
    const struct slice parts[] = {{large, BYTES / 2}, {large + BYTES / 2, BYTES / 2}};
    const struct net_answer head = {.status = 200, .content_length = BYTES};
    struct end e;
    for (size_t i = 0; i < BYTES; i++)
        large[i] = (char)(i * 2654435761u >> 13);
    server_set_up(NULL);
    connect_tls(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, parts, 2, false), NET_SENT_WAIT);
    end_expect(&e, "\r\n\r\n");
    RUN_UNTIL(&kit, (end_read(&e, 1 << 20), e.in.n >= BYTES));
    server_expect(&server, "drain|");
    CHECK(slice_eq(buf_view(&e.in), slice_of(large, BYTES)));
    CHECK_EQ_I64(net_stream_send(server.stream, NULL, NULL, 0, true), NET_SENT_ALL);
    buf_reset(&e.in);
    end_send_lit(&e, GET("/"));
    end_expect(&e, "\r\n\r\nok");
    end_close(&e);
    server_tear_down();
}

TEST(large_request_in_one_go)
{
    static char body[1 << 20];
    struct end e;
    memset(body, 'b', sizeof body);
    server_set_up(NULL);
    connect_tls(&e);
    end_send_lit(&e, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    end_send(&e, slice_of(body, sizeof body));
    end_expect(&e, "\r\n\r\nok");
    CHECK(server.log.n > sizeof body);
    end_close(&e);
    server_tear_down();
}

/* A client that leaves without close_notify is gone, and so is one that sends garbage. */
TEST(broken_clients)
{
    for (int how = 0; how < 3; how++) {
        struct end e;
        server_set_up(NULL);
        if (how == 2) {
            end_connect(&e, &kit, server.port);
            end_send_lit(&e, GET("/"));
        } else {
            connect_tls(&e);
            end_send_lit(&e, GET("/read"));
            server_expect(&server, "end|");
            if (how == 0)
                shutdown(e.fd, SHUT_WR);
            else
                CHECK(write(e.fd, "garbage garbage garbage", 23) == 23);
            server_expect(&server, "gone 0|");
        }
        RUN_UNTIL(&kit, server.counts.open == 0);
        ERR_clear_error();
        end_close(&e);
        server_tear_down();
    }
}

TEST(key_updates)
{
    struct end e;
    server_set_up(NULL);
    connect_tls(&e);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ_I64(SSL_key_update(e.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ_I64(SSL_do_handshake(e.ssl), 1);
        end_send_lit(&e, "G");
        end_send_lit(&e, "ET / HTTP/1.1\r\nHost: a\r\n\r\n");
        end_expect(&e, "\r\n\r\nok");
    }
    end_close(&e);
    server_tear_down();
}

/* Who asks for new keys over and over, and takes none of the answers, is cut off. */
TEST(key_update_flood)
{
    const int small = 4096;
    struct end e;
    server_set_up(NULL);
    CHECK_EQ_I64(setsockopt(config.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    connect_tls(&e);
    setsockopt(e.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    end_send_lit(&e, "GET /read HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; server.counts.open > 0; i++) {
        CHECK(i < 20000);
        SSL_key_update(e.ssl, SSL_KEY_UPDATE_REQUESTED);
        if (SSL_do_handshake(e.ssl) <= 0 || i % 100 == 0)
            kit_turn(&kit);
        CHECK(kit.budget.used_bytes < 1 << 20);
    }
    ERR_clear_error();
    end_close(&e);
    server_tear_down();
}

static struct call onward;
static struct upstream *onward_to;

static void pass_on(struct net_stream *s, const struct http_head *head, void *ctx)
{
    struct server *v = ctx;
    (void)head;
    v->stream = s;
    net_stream_set_data(s, v);
    call_init(&onward, v->kit);
    call_start(&onward, onward_to);
}

/* A client's request makes its own session speak (new keys) in the same read in which it makes
 * another session speak: neither gets what belongs to the other. */
TEST(sessions_do_not_mix)
{
    struct end e, up;
    server_set_up(NULL);
    listener = kit_listen(&port);
    SSL_CTX *up_ctx = raw_context(true, "good");
    onward_to = secure_upstream("ca", "127.0.0.1", "", NULL);
    call_init(&onward, &kit);
    call_start(&onward, onward_to);
    end_accept(&up, &kit, listener);
    CHECK(end_tls(&up, up_ctx, true, NULL));
    serve_one(&up, NULL);
    call_expect(&onward, 200, "ok"); /* the connection is idle now */
    server.ops.on_request = pass_on;
    connect_tls(&e);
    kit_run_for(&kit, 5 * NS_PER_MS);
    for (int i = 0; i < 2; i++) { /* the second makes the answer to the first go out at once */
        CHECK_EQ_I64(SSL_key_update(e.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ_I64(SSL_do_handshake(e.ssl), 1);
    }
    end_send_lit(&e, GET("/"));
    serve_one(&up, NULL);
    call_expect(&onward, 200, "ok");
    const struct net_answer head = {.status = 200, .content_length = 0};
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
    end_expect(&e, "Content-Length: 0\r\n\r\n");
    end_close(&e);
    end_close(&up);
    close(listener);
    SSL_CTX_free(up_ctx);
    server_done(&server);
    net_loop_done(&kit.loop);
    upstream_unref(onward_to);
    SSL_CTX_free(client_ctx);
}
