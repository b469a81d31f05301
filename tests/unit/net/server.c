/* Client connections over real sockets: order, framing, limits, back-pressure, endings. */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "kit.h"

static struct kit kit;
static struct server server;
static struct net_listener_config config;

static void set_up(void)
{
    kit_init(&kit);
    server_init(&server, &kit, &config);
}

static void start(struct end *e)
{
    server_start(&server, &config);
    end_connect(e, &kit, server.port);
}

static void tear_down(void)
{
    server_done(&server);
    kit_done(&kit);
}

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"

TEST(answers_in_order)
{
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, "\r\n" GET("/1") POST("/2") "Content-Length: 3\r\n\r\nabc" GET("/3"));
    for (int i = 0; i < 3; i++)
        end_expect(&e, "HTTP/1.1 200 OK\r\n");
    end_expect(&e, "Content-Length: 2\r\n\r\nok");
    CHECK_EQ_U64(e.in.n, 0);
    server_expect(&server, "GET /1||end|POST /2|abc|end|GET /3||end|");
    end_close(&e);
    tear_down();
}

/* Byte by byte the connection answers as it does to the whole. */
TEST(byte_by_byte)
{
    static const char text[] = "\r\n" POST(
        "/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n" GET("/b");
    struct end e;
    set_up();
    start(&e);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        end_send(&e, slice_of(text + i, 1));
        kit_turn(&kit);
    }
    server_expect(&server, "POST /a|abc|end|GET /b||end|");
    end_close(&e);
    tear_down();
}

static char seen[200];

/* Answers at once, closes, and looks at the head afterwards, as who writes a log does. */
static void answer_and_look(struct net_stream *s, const struct http_head *head, void *ctx)
{
    const struct net_answer a = {.status = 404, .content_length = 0, .close = true};
    (void)ctx;
    CHECK_EQ_I64(net_stream_send(s, &a, NULL, 0, true), NET_SENT_ALL);
    snprintf(seen, sizeof seen, SLICE_FMT, SLICE_ARG(head->path));
}

TEST(head_stays_for_the_whole_call)
{
    struct end e;
    set_up();
    server.ops.on_request = answer_and_look;
    start(&e);
    end_send_lit(&e, "GET /abc HTTP/1.1\r\nHo"); /* the rest later: it is kept in the connection */
    kit_run_for(&kit, 5 * NS_PER_MS);
    end_send_lit(&e, "st: a\r\n\r\n");
    end_expect(&e, "HTTP/1.1 404 ");
    CHECK_EQ_STR(seen, "/abc");
    end_expect_eof(&e);
    end_close(&e);
    tear_down();
}

TEST(too_many_empty_lines)
{
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, "\r\n");
    kit_run_for(&kit, 10 * NS_PER_MS);
    end_send_lit(&e, "\r\n");
    kit_run_for(&kit, 10 * NS_PER_MS);
    end_send_lit(&e, "\r\n" GET("/"));
    end_expect(&e, "HTTP/1.1 400 ");
    end_expect_eof(&e);
    end_close(&e);
    tear_down();
}

TEST(refusals_end_the_connection)
{
    static const struct {
        const char *text, *answer;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n"},
        {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505 "},
        {POST("/x") "Transfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e;
        set_up();
        start(&e);
        end_send(&e, slice_str(rows[i].text));
        end_expect(&e, rows[i].answer);
        end_expect(&e, "Connection: close\r\n");
        end_expect_eof(&e);
        end_close(&e);
        tear_down();
    }
}

/* A broken body after the answer has begun must not put a second head into it. */
TEST(broken_body_after_the_head)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    const struct slice part = SLICE("part");
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, POST("/read") "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    server_expect(&server, "|a");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, &part, 1, false), NET_SENT_ALL);
    end_expect(&e, "4\r\npart\r\n");
    end_send_lit(&e, "zz\r\n");
    server_expect(&server, "gone 1|");
    RUN_UNTIL(&kit, server.counts.open == 0);
    end_read(&e, SIZE_MAX);
    CHECK_EQ_U64(e.in.n, 0);
    end_close(&e);
    tear_down();
}

/* The same once the answer is complete: the client has its one answer. */
TEST(broken_body_after_the_answer)
{
    const struct net_answer head = {.status = 200, .content_length = 0};
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, POST("/hold") "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    server_expect(&server, "/hold|");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
    end_expect(&e, "Content-Length: 0\r\n\r\n");
    end_send_lit(&e, "zz\r\n");
    end_expect_eof(&e);
    CHECK_EQ_U64(e.in.n, 0);
    end_close(&e);
    tear_down();
}

TEST(early_answer_then_the_next_request)
{
    const struct net_answer head = {.status = 401, .content_length = 0};
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, POST("/hold") "Content-Length: 6\r\n\r\nabc");
    server_expect(&server, "/hold|");
    net_stream_pause_body(server.stream);
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
    end_expect(&e, "HTTP/1.1 401 ");
    end_send_lit(&e, "def" GET("/next"));
    server_expect(&server, "GET /next||end|");
    end_expect(&e, "\r\n\r\nok");
    end_close(&e);
    tear_down();
}

TEST(expect_continue)
{
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, POST("/x") "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    end_expect(&e, "HTTP/1.1 100 Continue\r\n\r\n");
    end_send_lit(&e, "ab");
    end_expect(&e, "Content-Length: 2\r\n\r\nok");
    /* no 100 once the answer has begun */
    const struct net_answer head = {.status = 200, .content_length = 2};
    end_send_lit(&e, POST("/hold") "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    server_expect(&server, "/hold|");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, false), NET_SENT_ALL);
    net_stream_read_body(server.stream);
    const struct slice part = SLICE("ok");
    CHECK_EQ_I64(net_stream_send(server.stream, NULL, &part, 1, true), NET_SENT_ALL);
    end_expect(&e, "Content-Length: 2\r\n\r\nok");
    CHECK_EQ_U64(e.in.n, 0);
    end_close(&e);
    tear_down();
}

/* A body that nobody asked for is not late, however long nobody does. */
TEST(waiting_for_the_body_costs_the_client_no_time)
{
    struct end e;
    set_up();
    config.limits.body_ns = 50 * NS_PER_MS;
    start(&e);
    end_send_lit(&e, POST("/hold") "Content-Length: 4\r\n\r\n");
    server_expect(&server, "/hold|");
    kit_run_for(&kit, 120 * NS_PER_MS);
    net_stream_read_body(server.stream);
    kit_run_for(&kit, 20 * NS_PER_MS);
    end_send_lit(&e, "ab");
    RUN_UNTIL(&kit, server.log.n == 2);
    net_stream_pause_body(server.stream);
    kit_run_for(&kit, 120 * NS_PER_MS);
    net_stream_read_body(server.stream);
    end_send_lit(&e, "cd");
    server_expect(&server, "abcd|end|");
    end_close(&e);
    tear_down();
}

TEST(silent_body_times_out)
{
    struct end e;
    set_up();
    config.limits.body_ns = 50 * NS_PER_MS;
    start(&e);
    end_send_lit(&e, POST("/read") "Content-Length: 4\r\n\r\nab");
    server_expect(&server, "gone 2|");
    end_close(&e);
    tear_down();
}

TEST(head_and_idle_time_out)
{
    struct end slow, idle;
    set_up();
    config.limits.head_ns = config.limits.idle_ns = 50 * NS_PER_MS;
    start(&slow);
    end_connect(&idle, &kit, server.port);
    end_send_lit(&slow, "GET / HTT");
    end_send_lit(&idle, GET("/"));
    end_expect(&idle, "\r\n\r\nok");
    end_expect_eof(&idle);
    end_expect_eof(&slow);
    CHECK_EQ_I64(server.counts.open, 0);
    end_close(&slow);
    end_close(&idle);
    tear_down();
}

#define PIECE ((size_t)65536)

/* Sends pieces until the client's socket is full; returns how many bytes. */
static size_t fill(const struct net_answer *head)
{
    static char piece[PIECE];
    const struct slice part = {piece, PIECE};
    size_t sent = 0;
    for (int i = 0; i < 1000; i++) {
        enum net_sent r = net_stream_send(server.stream, head, &part, 1, false);
        head = NULL;
        sent += PIECE;
        if (r == NET_SENT_WAIT)
            return sent;
        CHECK_EQ_I64(r, NET_SENT_ALL);
    }
    check_fail(CHECK_AT("back-pressure"), "%zu bytes went", sent);
}

TEST(back_pressure_and_drain)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    size_t sent = fill(&head);
    kit_run_for(&kit, 20 * NS_PER_MS);
    CHECK_EQ_U64(server.log.n, 0); /* no drain yet */
    RUN_UNTIL(&kit, (end_read(&e, 32768), server.log.n > 0));
    server_expect(&server, "drain|");
    CHECK_EQ_I64(net_stream_send(server.stream, NULL, NULL, 0, true), NET_SENT_ALL);
    RUN_UNTIL(&kit, (end_read(&e, SIZE_MAX),
                     e.in.n > sent && memcmp(e.in.p + e.in.n - 7, "\r\n0\r\n\r\n", 7) == 0));
    end_close(&e);
    tear_down();
}

TEST(write_timeout)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    struct end e;
    set_up();
    config.limits.write_ns = 60 * NS_PER_MS;
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    int64_t began = clock_mono_ns();
    fill(&head);
    server_expect(&server, "gone 2|");
    int64_t took = clock_mono_ns() - began;
    CHECK(took >= 55 * NS_PER_MS);
    RUN_UNTIL(&kit, server.counts.open == 0);
    end_close(&e);
    tear_down();
}

/* The end of an answer that closes the connection waits for a slow client as the rest does, and not
 * only for the two seconds that a finished connection lingers. */
TEST(late_reader_gets_the_end)
{
    const struct net_answer head = {.status = 200, .content_length = -1, .close = true};
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    size_t sent = fill(&head);
    CHECK_EQ_I64(net_stream_send(server.stream, NULL, NULL, 0, true), NET_SENT_WAIT);
    kit_run_for(&kit, 2200 * NS_PER_MS);
    CHECK_EQ_I64(server.counts.open, 1);
    end_expect_eof(&e);
    CHECK(e.in.n > sent && memcmp(e.in.p + e.in.n - 7, "\r\n0\r\n\r\n", 7) == 0);
    end_close(&e);
    tear_down();
}

TEST(half_close_is_gone)
{
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    end_shutdown(&e);
    server_expect(&server, "gone 0|");
    end_close(&e);
    tear_down();
}

/* With half_close_answer the answer comes whole, even when the client takes it late. */
TEST(half_close_is_answered)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    struct end e;
    set_up();
    config.half_close_answer = true;
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    end_shutdown(&e);
    kit_run_for(&kit, 10 * NS_PER_MS);
    size_t sent = fill(&head);
    CHECK_EQ_I64(net_stream_send(server.stream, NULL, NULL, 0, true), NET_SENT_WAIT);
    kit_run_for(&kit, 20 * NS_PER_MS);
    end_expect_eof(&e);
    CHECK(e.in.n > sent && memcmp(e.in.p + e.in.n - 7, "\r\n0\r\n\r\n", 7) == 0);
    RUN_UNTIL(&kit, server.counts.open == 0);
    end_close(&e);
    tear_down();
}

/* A client that ended its direction and is then reset is noticed while output waits. */
TEST(half_close_then_reset)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    struct end e;
    set_up();
    config.half_close_answer = true;
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    end_shutdown(&e);
    kit_run_for(&kit, 10 * NS_PER_MS);
    fill(&head);
    end_reset(&e);
    server_expect(&server, "gone 0|");
    tear_down();
}

/* An answer that lasts to the end of the connection never looks complete when it is not. */
TEST(abort_towards_an_old_client)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    const struct slice part = SLICE("part");
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, "GET /read HTTP/1.0\r\n\r\n");
    server_expect(&server, "end|");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, &part, 1, false), NET_SENT_ALL);
    end_expect(&e, "\r\n\r\npart");
    net_stream_abort(server.stream);
    end_expect_broken(&e);
    end_close(&e);
    tear_down();
}

TEST(old_client_reads_to_the_end)
{
    const struct net_answer head = {.status = 200, .content_length = -1};
    const struct slice part = SLICE("all");
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, "GET /read HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    server_expect(&server, "end|");
    CHECK_EQ_I64(net_stream_send(server.stream, &head, &part, 1, true), NET_SENT_ALL);
    end_expect(&e, "Connection: close\r\n\r\nall");
    end_expect_eof(&e);
    end_close(&e);
    tear_down();
}

TEST(no_body_for_head_204_304)
{
    static const struct {
        const char *request;
        unsigned status;
    } rows[] = {
        {"HEAD /read HTTP/1.1\r\nHost: a\r\n\r\n", 200}, {GET("/read"), 204}, {GET("/read"), 304}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct net_answer head = {.status = rows[i].status, .content_length = -1};
        struct end e;
        set_up();
        start(&e);
        end_send(&e, slice_str(rows[i].request));
        server_expect(&server, "end|");
        CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
        end_expect(&e, "\r\n\r\n");
        end_send_lit(&e, GET("/x"));
        end_expect(&e, "HTTP/1.1 200 OK\r\n");
        end_expect(&e, "Content-Length: 2\r\n\r\nok");
        end_close(&e);
        tear_down();
    }
}

/* What a client sends before its turn is bounded: the kernel makes it wait. */
TEST(pipelined_flood_is_bounded)
{
    static char flood[PIECE];
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    size_t sent = 0;
    for (int idle = 0; idle < 10;) {
        ssize_t n = send(e.fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        CHECK(sent < (size_t)64 << 20);
        kit_turn(&kit);
    }
    const struct net_answer head = {.status = 200, .content_length = 0};
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
    end_expect(&e, "HTTP/1.1 400 "); /* to what came behind it */
    end_close(&e);
    tear_down();
}

/* With no descriptor left, connections wait or are dropped; it goes on by itself. */
TEST(accept_when_descriptors_are_out)
{
    struct rlimit kept, low;
    struct end before, first, second;
    set_up();
    start(&before);
    end_send_lit(&before, GET("/"));
    end_expect(&before, "\r\n\r\nok");
    CHECK_EQ_I64(getrlimit(RLIMIT_NOFILE, &kept), 0);
    end_connect(&first, &kit, server.port);
    int next = dup(first.fd);
    close(next);
    low = kept;
    low.rlim_cur = (rlim_t)next;
    CHECK_EQ_I64(setrlimit(RLIMIT_NOFILE, &low), 0);
    kit_run_for(&kit, 30 * NS_PER_MS);
    end_send_lit(&before, GET("/")); /* the others are served meanwhile */
    end_expect(&before, "\r\n\r\nok");
    CHECK_EQ_I64(setrlimit(RLIMIT_NOFILE, &kept), 0);
    end_connect(&second, &kit, server.port);
    end_send_lit(&second, GET("/"));
    end_expect(&second, "\r\n\r\nok");
    end_close(&before);
    end_close(&first);
    end_close(&second);
    tear_down();
}

/* Without memory for a connection it waits, and is served when there is some. */
TEST(accept_without_memory)
{
    struct end first, second;
    check_needs_torture();
    set_up();
    server_start(&server, &config);
    end_connect(&first, &kit, server.port);
    mem_torture(1);
    RUN_UNTIL(&kit, mem_torture_count() > 0);
    mem_torture(0);
    end_connect(&second, &kit, server.port);
    end_send_lit(&second, GET("/2"));
    end_send_lit(&first, GET("/1"));
    end_expect(&first, "\r\n\r\nok");
    end_expect(&second, "\r\n\r\nok");
    end_close(&first);
    end_close(&second);
    tear_down();
}

TEST(connection_limit)
{
    struct end first, second;
    set_up();
    server.counts.limit = 1;
    start(&first);
    end_send_lit(&first, GET("/"));
    end_expect(&first, "\r\n\r\nok");
    end_connect(&second, &kit, server.port);
    end_expect(&second, "HTTP/1.1 503 ");
    end_expect_eof(&second);
    CHECK_EQ_I64(server.counts.refused, 1);
    end_close(&second);
    end_send_lit(&first, GET("/"));
    end_expect(&first, "\r\n\r\nok");
    end_close(&first);
    tear_down();
}

TEST(limit_by_address)
{
    struct end ends[3];
    set_up();
    server.counts.clients = net_clients_new(2, 100);
    server_start(&server, &config);
    for (int round = 0; round < 3; round++) { /* places come back */
        for (int i = 0; i < 3; i++) {
            end_connect(&ends[i], &kit, server.port);
            end_send_lit(&ends[i], GET("/"));
            end_expect(&ends[i], i < 2 ? "HTTP/1.1 200 " : "HTTP/1.1 503 ");
        }
        for (int i = 0; i < 3; i++)
            end_close(&ends[i]);
        RUN_UNTIL(&kit, server.counts.open == 0);
    }
    server_done(&server);
    net_clients_free(server.counts.clients);
    kit_done(&kit);
}

TEST(proxy_header_names_the_client)
{
    static const char proxy[] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x01\x7f\x00\x00\x01"
        "\x04\xd2\x00\x50" GET("/read");
    struct end e;
    char text[NET_ADDR_TEXT];
    set_up();
    config.proxy_protocol = true;
    start(&e);
    for (size_t i = 0; i < sizeof proxy - 1; i++) {
        end_send(&e, slice_of(proxy + i, 1));
        kit_turn(&kit);
    }
    server_expect(&server, "end|");
    CHECK_EQ_LIT(net_addr_text(net_stream_peer(server.stream), text), "10.0.0.1");
    end_close(&e);
    end_connect(&e, &kit, server.port);
    end_send_lit(&e, GET("/")); /* no header: closed without a word */
    RUN_UNTIL(&kit, (end_read(&e, SIZE_MAX), e.eof || e.broken));
    CHECK_EQ_U64(e.in.n, 0);
    end_close(&e);
    tear_down();
}

TEST(drain_ends_idle_connections_and_lets_answers_finish)
{
    const struct net_answer head = {.status = 200, .content_length = 0};
    struct end idle, busy;
    set_up();
    start(&idle);
    end_send_lit(&idle, GET("/"));
    end_expect(&idle, "\r\n\r\nok");
    end_connect(&busy, &kit, server.port);
    end_send_lit(&busy, GET("/read"));
    server_expect(&server, "/read||end|");
    net_listener_drain(server.listener);
    end_expect_eof(&idle);
    CHECK_EQ_I64(net_stream_send(server.stream, &head, NULL, 0, true), NET_SENT_ALL);
    end_expect(&busy, "Connection: close\r\n");
    end_expect_eof(&busy);
    end_close(&idle);
    end_close(&busy);
    tear_down();
}

TEST(freeing_tells_the_streams)
{
    struct end e;
    set_up();
    start(&e);
    end_send_lit(&e, GET("/read"));
    server_expect(&server, "end|");
    net_listener_free(server.listener);
    CHECK_EQ_LIT(buf_view(&server.log), "gone 3|");
    RUN_UNTIL(&kit, server.counts.open == 0);
    kit_turn(&kit);
    buf_done(&server.log);
    end_close(&e);
    kit_done(&kit);
}

/* Only an old socket is removed to make room for a new one. */
TEST(unix_listener_keeps_other_files)
{
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/weir-unit-%d", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    fclose(f);
    CHECK_EQ_I64(net_listen(slice_str(address), false), -EADDRINUSE);
    CHECK_EQ_I64(access(path, F_OK), 0);
    unlink(path);
    int fd = net_listen(slice_str(address), false);
    CHECK(fd >= 0);
    CHECK_EQ_I64(net_listen(slice_str(address), false), -EADDRINUSE); /* somebody answers there */
    close(fd);
    fd = net_listen(slice_str(address), false);
    CHECK(fd >= 0);
    close(fd);
    unlink(path);
}
