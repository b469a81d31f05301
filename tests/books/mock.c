/*
 * books_mock: an upstream that keeps its own books. It answers as the requests tell it (reply.h)
 * and writes a line for each of them to --book FILE when it is over:
 *     ID STAGE WIRE STREAM KIND SAID INPUT OUTPUT CACHED CACHE_WRITE REASONING GONE START END
 * SAID is 2 when the whole usage was taken by the socket, 1 for a part of it, 0 for none; the
 * figures are those that were said (-1: not said), GONE 1 when the peer left before the end, START
 * and END monotonic nanoseconds. One thread, raw epoll. Prints {"listening": PORT}; SIGTERM ends
 * it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "message.h"
#include "reply.h"
#include "util.h"
#include "wire.h"

enum { EPOLL_BATCH = 256, READ_BYTES = 65536, BODY_MAX = 65536, TARGET_MAX = 256, FILES = 16384 };

struct connection {
    struct bench_link link;
    struct bench_message message;
    struct connection *before, *after; /* among all */
    char target[TARGET_MAX];
    size_t target_len;
    bool post, busy;
    char *body;
    size_t body_len;
    struct ask ask;
    struct reply reply;
    size_t sent;
    int step;       /* of the reply, that is being sent */
    int64_t due_ns; /* when it may be; 0: it does not wait */
    int64_t started_ns;
};

static struct connection *connections, *closed;
static int epoll_fd, server_fd, signal_fd;
static FILE *book;
static char read_buffer[READ_BYTES];

static void enter(struct connection *c, bool gone)
{
    struct tokens t = {-1, -1, -1, -1, -1};
    int said = 0;
    for (int i = 0; i < c->reply.said_n && c->reply.said[i].at <= c->sent; i++) {
        t = c->reply.said[i].tokens;
        said = c->reply.said[i].final ? 2 : 1;
    }
    fprintf(book, "%lld %d %d %d %c %d %lld %lld %lld %lld %lld %d %lld %lld\n",
            (long long)c->ask.id, c->ask.stage, (int)c->ask.wire, c->ask.stream,
            c->ask.kind ? c->ask.kind : '-', said, (long long)t.input, (long long)t.output,
            (long long)t.cached, (long long)t.cache_write, (long long)t.reasoning, gone,
            (long long)c->started_ns, (long long)bench_now_ns());
}

/* The connection's memory goes once the batch of events is over, in which others may name it. */
static void connection_close(struct connection *c, bool gone)
{
    if (c->link.fd < 0)
        return;
    if (c->busy && c->post)
        enter(c, gone);
    c->busy = false;
    bench_link_done(&c->link);
    bench_message_done(&c->message);
    reply_done(&c->reply);
    bench_free(c->body);
    c->body = NULL;
    if (c->before)
        c->before->after = c->after;
    else
        connections = c->after;
    if (c->after)
        c->after->before = c->before;
    c->after = closed;
    closed = c;
}

static void sweep(void)
{
    while (closed) {
        struct connection *next = closed->after;
        bench_free(closed);
        closed = next;
    }
}

/* ---- answers ---- */

static void reply_end(struct connection *c)
{
    enum reply_end end = c->reply.end;
    if (end == REPLY_ABORT) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->link.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    }
    if (end != REPLY_KEEP) {
        connection_close(c, false);
        return;
    }
    if (c->post)
        enter(c, false);
    c->busy = false;
}

/* Sends what is due; the connection may be closed when this returns. */
static void reply_send(struct connection *c)
{
    struct reply *r = &c->reply;
    int64_t pause_ns = (int64_t)c->ask.delay_ms * 1000000;
    while (c->busy && !c->due_ns) {
        size_t n, until = pause_ns ? r->step[c->step] : r->len;
        if (c->sent == until) {
            if (until == r->len) {
                reply_end(c);
                return;
            }
            c->step++;
            c->due_ns = bench_now_ns() + pause_ns;
            return;
        }
        switch (bench_link_write(&c->link, r->data + c->sent, until - c->sent, &n)) {
        case BENCH_IO_OK: c->sent += n; break;
        case BENCH_IO_WAIT: return;
        default: connection_close(c, true); return;
        }
    }
}

static void reply_start(struct connection *c)
{
    c->started_ns = bench_now_ns();
    c->busy = true;
    if (c->post && !reply_read_ask(c->target, c->target_len, c->body, c->body_len, &c->ask))
        c->ask.id = -1;
    if (!c->post)
        c->ask = (struct ask){.id = -1};
    reply_build(&c->reply, &c->ask);
    c->sent = 0;
    c->step = 0;
    c->due_ns = c->ask.delay_ms ? c->started_ns + (int64_t)c->ask.delay_ms * 1000000 : 0;
    reply_send(c);
}

/* ---- requests ---- */

static void on_head(void *context, const char *head, size_t len)
{
    struct connection *c = context;
    const char *end = memchr(head, '\r', len);
    const char *at = memchr(head, ' ', len);
    c->post = len > 5 && !memcmp(head, "POST ", 5);
    c->target_len = c->body_len = 0;
    if (!end || !at || at > end)
        return;
    c->target_len = (size_t)(end - at - 1);
    if (c->target_len > TARGET_MAX)
        c->target_len = TARGET_MAX;
    memcpy(c->target, at + 1, c->target_len);
}

static void on_body(void *context, const char *data, size_t len)
{
    struct connection *c = context;
    if (!c->body)
        c->body = bench_alloc(1, BODY_MAX);
    if (len > BODY_MAX - c->body_len)
        len = BODY_MAX - c->body_len;
    memcpy(c->body + c->body_len, data, len);
    c->body_len += len;
}

static void take(struct connection *c, const char *data, size_t len)
{
    static const struct bench_message_events events = {on_head, on_body};
    while (len && c->link.fd >= 0) {
        ssize_t used = c->busy ? -1 : bench_message_feed(&c->message, &events, c, data, len);
        if (used < 0) {
            connection_close(c, true); /* not HTTP, or a request within another's answer */
            return;
        }
        data += used;
        len -= (size_t)used;
        if (c->message.state != BENCH_MESSAGE_DONE)
            return;
        bench_message_reset(&c->message, false);
        reply_start(c);
    }
}

static void connection_read(struct connection *c)
{
    while (c->link.fd >= 0) {
        size_t n;
        switch (bench_link_read(&c->link, read_buffer, sizeof(read_buffer), &n)) {
        case BENCH_IO_OK: take(c, read_buffer, n); break;
        case BENCH_IO_WAIT: return;
        default: connection_close(c, true); return;
        }
    }
}

/* ---- the loop ---- */

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(server_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED)
                bench_die("accept: %s", strerror(errno));
            return;
        }
        bench_set_nodelay(fd);
        struct connection *c = bench_alloc(1, sizeof(*c));
        bench_link_init(&c->link, fd, NULL, true, NULL);
        bench_message_reset(&c->message, false);
        c->after = connections;
        if (connections)
            connections->before = c;
        connections = c;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
            bench_die("epoll_ctl: %s", strerror(errno));
    }
}

/* Sends what has become due; returns the time of what is due next, or INT64_MAX. */
static int64_t run_due(void)
{
    int64_t now = bench_now_ns(), next = INT64_MAX;
    for (struct connection *c = connections, *after; c; c = after) {
        after = c->after;
        if (c->due_ns && c->due_ns <= now) {
            c->due_ns = 0;
            reply_send(c);
        }
        if (c->link.fd >= 0 && c->due_ns && c->due_ns < next)
            next = c->due_ns;
    }
    return next;
}

static void serve(void)
{
    struct epoll_event events[EPOLL_BATCH];
    for (;;) {
        int64_t due = run_due();
        sweep();
        int64_t ns = due == INT64_MAX ? INT64_MAX : due - bench_now_ns();
        struct timespec wait = {0};
        if (ns > 0 && ns < INT64_MAX)
            wait = (struct timespec){ns / 1000000000, ns % 1000000000};
        int n = epoll_pwait2(epoll_fd, events, EPOLL_BATCH, ns == INT64_MAX ? NULL : &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].data.ptr == &server_fd) {
                accept_all();
            } else if (events[i].data.ptr == &signal_fd) {
                if (bench_signals_take(signal_fd) != SIGUSR1)
                    return;
                fflush(book);
            } else if (c->link.fd >= 0) {
                if (c->busy)
                    reply_send(c);
                if (c->link.fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT)
                    connection_read(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"book", required_argument, NULL, 'b'}, {0}};
    int port = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'p': port = (int)bench_parse_int("--port", optarg, 0, 65535); break;
        case 'b': book = fopen(optarg, "we"); break;
        default: return 2;
        }
    }
    if (!book)
        bench_die("usage: books_mock --book FILE [--port PORT]");
    signal_fd = bench_signals_open();
    bench_raise_files(FILES);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    server_fd = bench_listen(port, &port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event on_server = {.events = EPOLLIN, .data.ptr = &server_fd};
    struct epoll_event on_signal = {.events = EPOLLIN, .data.ptr = &signal_fd};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, server_fd, &on_server) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &on_signal))
        bench_die("epoll: %s", strerror(errno));
    printf("{\"listening\": %d}\n", port);
    fflush(stdout);
    serve();
    while (connections)
        connection_close(connections, true);
    sweep();
    return fclose(book) ? 1 : 0;
}
