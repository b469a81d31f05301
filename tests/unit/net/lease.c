/* Requests to upstreams over real sockets: reuse, the cap, resending, cancelling, framing. */
#include <stdio.h>
#include <unistd.h>

#include "kit.h"
#include "pool.h"

static struct kit kit;
static int listener;
static uint16_t port;
static struct upstream *upstream;

static void set_up(int64_t max_connections)
{
    kit_init(&kit);
    listener = kit_listen(&port);
    upstream = kit_upstream(port, max_connections);
}

static void tear_down(void)
{
    close(listener);
    net_loop_done(&kit.loop);
    CHECK_EQ_I64(upstream_connections(upstream), 0);
    CHECK_EQ_I64(kit.budget.used_bytes, 0);
    upstream_unref(upstream);
}

static void start(struct call *c)
{
    call_init(c, &kit);
    call_start(c, upstream);
}

TEST(idle_connection_is_reused)
{
    struct call c;
    struct end e;
    set_up(0);
    start(&c);
    end_accept(&e, &kit, listener);
    for (int i = 0; i < 3; i++) {
        serve_one(&e, NULL);
        call_expect(&c, 200, "ok");
        CHECK_EQ_I64(c.lease.reused, i > 0);
        CHECK_EQ_I64(upstream_connections(upstream), 1);
        start(&c);
    }
    call_done(&c);
    CHECK_EQ_I64(upstream_connections(upstream), 0); /* a cancelled request ends its connection */
    end_expect(&e, "\r\n\r\n");
    end_expect_eof(&e);
    end_close(&e);
    tear_down();
}

TEST(request_as_written)
{
    const struct slice body[] = {SLICE("ab"), SLICE("cde")};
    struct call c;
    struct end e;
    char want[200];
    set_up(0);
    call_init(&c, &kit);
    c.request = (struct net_request){.method = HTTP_POST,
                                     .target = SLICE("/v1/x?y"),
                                     .fields = SLICE("A: b\r\n"),
                                     .more_fields = SLICE("C: d\r\n"),
                                     .body = body,
                                     .body_parts = 2,
                                     .body_bytes = 5,
                                     .has_body = true};
    call_start(&c, upstream);
    end_accept(&e, &kit, listener);
    end_expect(&e, "POST /v1/x?y HTTP/1.1\r\n");
    snprintf(want, sizeof want,
             "Host: 127.0.0.1:%u\r\nA: b\r\nC: d\r\nContent-Length: 5\r\n\r\nabcde", port);
    end_expect(&e, want);
    CHECK_EQ_U64(e.in.n, 0);
    end_send_lit(&e, "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n");
    call_expect(&c, 204, "");
    end_close(&e);
    tear_down();
}

/* How each answer ends, and whether its connection is used again. */
TEST(framing)
{
    static const struct {
        const char *answer, *body;
        unsigned status;
        bool keep, close;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 200, true, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcX", "abc", 200, false, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, true, false},
        {"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", "", 304, true, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n",
         "abc", 200, true, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", "",
         200, false, false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", "a", 200, false,
         false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 200, false, false},
        {"HTTP/1.1 200 OK\r\n\r\nabc", "abc", 200, false, true},
        {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
         "a", 200, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct call c;
            struct end e;
            check_note("%s", rows[i].answer);
            set_up(0);
            start(&c);
            end_accept(&e, &kit, listener);
            end_expect(&e, "\r\n\r\n");
            for (struct slice s = slice_str(rows[i].answer); s.n > 0 && bytewise;
                 s = slice_from(s, 1)) {
                end_send(&e, slice_of(s.p, 1));
                kit_turn(&kit);
            }
            if (!bytewise)
                end_send(&e, slice_str(rows[i].answer));
            if (rows[i].close)
                end_shutdown(&e);
            call_expect(&c, rows[i].status, rows[i].body);
            kit_run_for(&kit, 4 * NS_PER_MS);
            CHECK_EQ_I64(upstream_connections(upstream), rows[i].keep);
            end_close(&e);
            tear_down();
        }
    }
}

TEST(bad_answers)
{
    static const struct {
        const char *answer;
        enum net_fail why;
    } rows[] = {
        {"", NET_FAIL_RESET},
        {"HTTP/1.1 20", NET_FAIL_TRUNCATED},
        {"HTTP/1.1 100 Continue\r\n\r\n", NET_FAIL_TRUNCATED},
        {"SSH-2.0-x\r\n\r\n", NET_FAIL_BAD_ANSWER},
        {"HTTP/1.1 101 Switching\r\n\r\n", NET_FAIL_BAD_ANSWER},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", NET_FAIL_BAD_ANSWER},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", NET_FAIL_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", NET_FAIL_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd", NET_FAIL_BAD_ANSWER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;
        struct end e;
        check_note("%s", rows[i].answer);
        set_up(0);
        start(&c);
        end_accept(&e, &kit, listener);
        serve_one(&e, rows[i].answer);
        end_shutdown(&e);
        call_expect_failure(&c, rows[i].why);
        CHECK_EQ_I64(upstream_connections(upstream), 0);
        end_close(&e);
        tear_down();
    }
}

TEST(interim_answers_are_bounded)
{
    struct call c;
    struct end e;
    set_up(0);
    start(&c);
    end_accept(&e, &kit, listener);
    for (int i = 0; i < 17; i++)
        end_send_lit(&e, "HTTP/1.1 100 Continue\r\n\r\n");
    call_expect_failure(&c, NET_FAIL_BAD_ANSWER);
    end_close(&e);
    tear_down();
}

/* The rest of a head and much of the body in one read, after a first part of the head. */
TEST(head_in_two_pieces_before_a_large_body)
{
    static char answer[60000];
    struct call c;
    struct end e;
    set_up(0);
    start(&c);
    end_accept(&e, &kit, listener);
    end_expect(&e, "\r\n\r\n");
    end_send_lit(&e, "HTTP/1.1 200 OK\r\nContent-Le");
    kit_run_for(&kit, 10 * NS_PER_MS);
    int n = snprintf(answer, sizeof answer, "ngth: %zu\r\n\r\n", sizeof answer - 16);
    CHECK_EQ_I64(n, 16 - 1);
    memset(answer + n, 'x', sizeof answer - (size_t)n);
    ssize_t sent = send(e.fd, answer, sizeof answer - 1, MSG_NOSIGNAL); /* for one read */
    CHECK_EQ_I64(sent, sizeof answer - 1);
    RUN_UNTIL(&kit, c.ended || c.failed);
    CHECK(!c.failed);
    CHECK_EQ_U64(c.body.n, sizeof answer - 16);
    call_done(&c);
    end_close(&e);
    tear_down();
}

TEST(connection_refused)
{
    struct call c;
    set_up(0);
    struct upstream *nobody = kit_upstream(1, 0);
    call_init(&c, &kit);
    call_start(&c, nobody);
    call_expect_failure(&c, NET_FAIL_CONNECT);
    CHECK_EQ_I64(upstream_connections(nobody), 0);
    tear_down();
    upstream_unref(nobody);
}

/* A kept connection that the server closed, at any moment, costs one resend. */
TEST(stale_connection_is_retried_once)
{
    struct call c;
    struct end first, second;
    set_up(0);
    start(&c);
    end_accept(&first, &kit, listener);
    serve_one(&first, NULL);
    call_expect(&c, 200, "ok");
    start(&c);
    CHECK(c.lease.reused);
    end_expect(&first, "\r\n\r\n"); /* it came, and no answer will */
    end_reset(&first);
    end_accept(&second, &kit, listener);
    end_expect(&second, "\r\n\r\n");
    CHECK(c.lease.resent && !c.lease.reused);
    end_reset(&second);
    call_expect_failure(&c, NET_FAIL_RESET);
    tear_down();
}

TEST(idle_connection_that_ends_or_speaks_is_dropped)
{
    for (int speaks = 0; speaks < 2; speaks++) {
        struct call c;
        struct end e;
        set_up(0);
        start(&c);
        end_accept(&e, &kit, listener);
        serve_one(&e, NULL);
        call_expect(&c, 200, "ok");
        if (speaks)
            end_send_lit(&e, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        else
            end_shutdown(&e);
        RUN_UNTIL(&kit, upstream_connections(upstream) == 0);
        end_close(&e);
        tear_down();
    }
}

TEST(cap_and_order_of_waiting)
{
    struct call calls[4];
    struct end e;
    set_up(1);
    for (int i = 0; i < 4; i++)
        start(&calls[i]);
    end_accept(&e, &kit, listener);
    for (int i = 0; i < 4; i++) {
        for (int later = i + 1; later < 4; later++)
            CHECK_EQ_I64(calls[later].lease.phase, LEASE_WAIT);
        CHECK_EQ_I64(upstream_connections(upstream), 1);
        serve_one(&e, NULL); /* the one connection goes from each to the next */
        call_expect(&calls[i], 200, "ok");
    }
    end_close(&e);
    tear_down();
}

TEST(waiting_call_gets_the_place_of_a_closed_connection)
{
    struct call first, second;
    struct end e;
    set_up(1);
    start(&first);
    start(&second);
    end_accept(&e, &kit, listener);
    serve_one(&e, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    call_expect(&first, 200, "");
    end_close(&e);
    end_accept(&e, &kit, listener);
    serve_one(&e, NULL);
    call_expect(&second, 200, "ok");
    end_close(&e);
    tear_down();
}

/* A streamed request cannot use an idle connection; at the cap that must give way. */
TEST(idle_connection_gives_way_to_one_that_cannot_use_it)
{
    struct call c;
    struct end e, next;
    set_up(1);
    start(&c);
    end_accept(&e, &kit, listener);
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    call_init(&c, &kit);
    c.request.method = HTTP_POST;
    c.request.streamed = true;
    c.request.body_bytes = STREAM_UNKNOWN;
    call_start(&c, upstream);
    end_accept(&next, &kit, listener);
    RUN_UNTIL(&kit, c.writables == 1);
    CHECK(net_lease_write(&c.lease, SLICE("abc"), false));
    CHECK(net_lease_write(&c.lease, SLICE_NONE, true));
    end_expect(&next, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    end_send_lit(&next, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    call_expect(&c, 200, "ok");
    end_close(&e);
    end_close(&next);
    tear_down();
}

TEST(cancel_while_waiting)
{
    struct call first, second, third;
    struct end e;
    set_up(1);
    start(&first);
    start(&second);
    start(&third);
    end_accept(&e, &kit, listener);
    call_done(&second);
    serve_one(&e, NULL);
    call_expect(&first, 200, "ok");
    serve_one(&e, NULL);
    call_expect(&third, 200, "ok");
    CHECK(!second.ended && !second.failed);
    end_close(&e);
    tear_down();
}

/* The place was granted already, but the message has not come. */
TEST(cancel_with_the_grant_on_its_way)
{
    struct call first, second, third;
    struct end e;
    set_up(1);
    start(&first);
    start(&second);
    end_accept(&e, &kit, listener);
    call_done(&first);
    call_done(&second);
    CHECK_EQ_I64(upstream_connections(upstream), 1); /* on its way */
    RUN_UNTIL(&kit, upstream_connections(upstream) == 0);
    end_close(&e);
    start(&third);
    end_accept(&e, &kit, listener);
    serve_one(&e, NULL);
    call_expect(&third, 200, "ok");
    end_close(&e);
    tear_down();
}

TEST(grant_left_in_the_mailbox_at_the_end)
{
    struct call first, second;
    set_up(1);
    start(&first);
    start(&second);
    call_done(&first);
    call_done(&second);
    tear_down();
}

TEST(cancel_in_connect)
{
    set_up(1);
    for (int i = 0; i < 20; i++) {
        struct call c;
        start(&c);
        CHECK_EQ_I64(c.lease.phase, LEASE_CONNECT);
        call_done(&c);
        CHECK_EQ_I64(upstream_connections(upstream), 0);
        kit_turn(&kit);
    }
    tear_down();
}

/* Head, body and end come in one read; whoever is told first ends the lease, and hears no more. */
TEST(cancel_from_within_a_callback)
{
    set_up(0);
    for (unsigned at = CANCEL_IN_HEAD; at <= CANCEL_IN_FLUSH; at++) {
        struct call c;
        struct end e;
        call_init(&c, &kit);
        c.cancel_in = at;
        call_start(&c, upstream);
        end_accept(&e, &kit, listener);
        serve_one(&e, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        RUN_UNTIL(&kit, net_lease_over(&c.lease));
        end_expect_eof(&e);
        CHECK(!c.ended && !c.failed && c.heads == 1);
        CHECK_EQ_U64(c.body.n, at == CANCEL_IN_HEAD ? 0 : 3);
        CHECK_EQ_I64(upstream_connections(upstream), 0);
        call_done(&c);
        end_close(&e);
    }
    tear_down();
}

TEST(answer_not_to_be_reused)
{
    struct call c;
    struct end e;
    set_up(0);
    call_init(&c, &kit);
    c.refuse_reuse = true;
    call_start(&c, upstream);
    end_accept(&e, &kit, listener);
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    CHECK_EQ_I64(upstream_connections(upstream), 0);
    end_close(&e);
    tear_down();
}

/* A paused lease takes at most what is on its way; a resumed one takes all. */
TEST(back_pressure_of_answers)
{
    static char piece[65536];
    struct call c;
    struct end e;
    set_up(0);
    start(&c);
    end_accept(&e, &kit, listener);
    end_expect(&e, "\r\n\r\n");
    end_send_lit(&e, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\nx");
    RUN_UNTIL(&kit, c.body.n == 1);
    net_lease_pause(&c.lease);
    size_t sent = 1;
    for (int full = 0; full < 5;) {
        ssize_t n =
            send(e.fd, piece, MIN_OF(sizeof piece, 33554432 - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        full = n > 0 ? 0 : full + 1;
        CHECK(sent < 33554432);
        kit_turn(&kit);
    }
    CHECK(c.body.n <= 1 + NET_READ_BYTES);
    net_lease_resume(&c.lease);
    while (sent < 33554432) {
        size_t n = MIN_OF(sizeof piece, 33554432 - sent);
        end_send(&e, slice_of(piece, n));
        sent += n;
    }
    RUN_UNTIL(&kit, c.ended);
    CHECK_EQ_U64(c.body.n, 33554432);
    CHECK(c.last);
    call_done(&c);
    end_close(&e);
    tear_down();
}

TEST(back_pressure_of_requests)
{
    static char piece[65536];
    struct call c;
    struct end e;
    set_up(0);
    call_init(&c, &kit);
    c.request.method = HTTP_POST;
    c.request.streamed = true;
    c.request.body_bytes = (size_t)16 << 20;
    call_start(&c, upstream);
    end_accept(&e, &kit, listener);
    RUN_UNTIL(&kit, c.writables == 1);
    size_t sent = 0;
    for (bool more = true; more; sent += sizeof piece)
        more = net_lease_write(&c.lease, slice_of(piece, sizeof piece), false);
    kit_run_for(&kit, 10 * NS_PER_MS);
    CHECK_EQ_U64(c.writables, 1);
    CHECK(sent < c.request.body_bytes);
    RUN_UNTIL(&kit, (end_read(&e, SIZE_MAX), c.writables == 2));
    while (sent < c.request.body_bytes) {
        sent += sizeof piece;
        if (!net_lease_write(&c.lease, slice_of(piece, sizeof piece), sent == c.request.body_bytes))
            RUN_UNTIL(&kit,
                      (end_read(&e, SIZE_MAX), c.lease.phase != LEASE_WRITE || c.writables > 2));
        c.writables = 2;
    }
    RUN_UNTIL(&kit, (end_read(&e, SIZE_MAX), e.in.n > c.request.body_bytes));
    end_send_lit(&e, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    call_expect(&c, 200, "ok");
    CHECK_EQ_I64(upstream_connections(upstream), 1);
    end_close(&e);
    tear_down();
}

/* An answer before the body has been sent: it is delivered, and the connection not used again. */
TEST(early_answer)
{
    struct call c;
    struct end e;
    set_up(0);
    call_init(&c, &kit);
    c.request.method = HTTP_POST;
    c.request.streamed = true;
    c.request.body_bytes = STREAM_UNKNOWN;
    call_start(&c, upstream);
    end_accept(&e, &kit, listener);
    end_expect(&e, "chunked\r\n\r\n");
    end_send_lit(&e, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n");
    RUN_UNTIL(&kit, c.heads == 1);
    CHECK(net_lease_write(&c.lease, SLICE("dropped"), false));
    end_send_lit(&e, "no");
    call_expect(&c, 413, "no");
    CHECK_EQ_I64(upstream_connections(upstream), 0);
    end_expect_eof(&e);
    CHECK_EQ_U64(e.in.n, 0);
    end_close(&e);
    tear_down();
}

TEST(unix_socket)
{
    char path[64], address[80];
    struct call c;
    struct end e;
    set_up(0);
    snprintf(path, sizeof path, "/tmp/weir-unit-up-%d", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    int fd = net_listen(slice_str(address), false);
    struct upstream_config config = {.unix_path = slice_str(path)};
    struct upstream *u = upstream_new(&config);
    CHECK(fd >= 0 && u != NULL);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, fd);
    end_expect(&e, "Host: localhost");
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    end_close(&e);
    close(fd);
    unlink(path);
    call_init(&c, &kit);
    call_start(&c, u);
    call_expect_failure(&c, NET_FAIL_CONNECT);
    tear_down();
    upstream_unref(u);
}

TEST(egress_proxy_for_plain_requests)
{
    struct call c;
    struct end e;
    set_up(0);
    struct upstream_config config = {.host = SLICE("b.test"),
                                     .port = 81,
                                     .proxy_host = SLICE("127.0.0.1"),
                                     .proxy_port = port,
                                     .proxy_auth = SLICE("Basic eA==")};
    struct upstream *u = upstream_new(&config);
    CHECK(u != NULL);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    end_expect(&e, "GET http://b.test:81/ HTTP/1.1\r\nHost: b.test:81\r\n"
                   "Proxy-Authorization: Basic eA==");
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    end_close(&e);
    tear_down();
    upstream_unref(u);
}

/* Fires the sweep of the loop's pools now. */
static void sweep(struct kit *k)
{
    CHECK(net_timer_set(&k->loop, &k->loop.pools->sweep, 0));
    timers_run(&k->loop.timers, net_now(&k->loop));
}

/* Pools of an upstream that nobody else holds go away, also when several threads have one. */
TEST(retired_upstream_is_forgotten)
{
    struct kit other;
    struct kit *kits[] = {&kit, &other};
    struct call c;
    struct end ends[2];
    set_up(0);
    kit_init(&other);
    for (int i = 0; i < 2; i++) {
        call_init(&c, kits[i]);
        call_start(&c, upstream);
        end_accept(&ends[i], kits[i], listener);
        serve_one(&ends[i], NULL);
        call_expect(&c, 200, "ok");
    }
    struct net_pools *pools = kit.loop.pools;
    uint32_t id = upstream->id;
    sweep(&kit);
    CHECK(pools->by_id[id] != NULL);
    CHECK_EQ_I64(upstream_connections(upstream), 2);
    upstream_unref(upstream); /* the last but the pools' */
    for (int i = 0; i < 2; i++) {
        sweep(kits[i]);
        end_expect_eof(&ends[i]);
        kit_turn(kits[i]);
        sweep(kits[i]);
        CHECK(kits[i]->loop.pools->by_id[id] == NULL);
        end_close(&ends[i]);
    }
    close(listener);
    kit_done(&other);
    kit_done(&kit);
}
