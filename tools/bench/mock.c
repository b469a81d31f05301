/*
 * benchmock: a very cheap upstream that speaks OpenAI's chat completions, and by other targets the
 * wires of mock_wires.h, for measuring proxies:
 * one thread, raw epoll, answers prepared beforehand. It streams when the body has "stream":true
 * (or the target has "?stream=1"): N events at a fixed interval, the usage event when the body has
 * "include_usage":true, then [DONE]. With --idle a stream stays silent after its first word.
 *
 * GET /bench/counts answers what it has counted; the same line is printed on SIGUSR1 and at the
 * end. GET /bench/settings?interval_us=&events=&answer_bytes=&idle= changes settings while no
 * request is open (409 otherwise).
 *
 * Since the interval is the same for all streams, the queue of next events is a plain list: who
 * comes last is due last.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "message.h"
#include "mock_text.h"
#include "mock_wires.h"
#include "util.h"
#include "wire.h"

enum { EPOLL_BATCH = 256, READ_BYTES = 262144, CARRY_BYTES = 40, FILES_WANTED = 65536 };
enum { BODY_MAX = 1 << 20 };

enum asked { ASKED_CHAT, ASKED_MODELS, ASKED_COUNTS, ASKED_SETTINGS, ASKED_UNKNOWN };

struct settings {
    int64_t events;
    int64_t interval_us;
    int64_t answer_bytes;
    int64_t comment_s; /* between comments on an idle stream; 0: none */
    int64_t idle;
};

struct counts {
    int64_t connections, requests, body_bytes, answers;
    int64_t streams, streams_whole, streams_cut, events, usage_events, bad;
};

struct connection {
    struct bench_link link;
    struct bench_message message;
    enum asked asked;
    int wire; /* of mock_wires.h */
    bool wants_stream;
    bool wants_usage;
    bool busy;      /* a request is open: its head has come, its answer has not gone */
    bool streaming; /* in the queue of next events, or silent for good */
    int64_t sent;   /* events of this stream */
    int64_t due_ns;
    struct connection *before, *after; /* in the queue of next events */
    const char *out;                   /* what the socket did not take yet */
    size_t out_len;
    struct mock_slab own; /* an answer made for this request alone */
    size_t carry_len;
    char carry[CARRY_BYTES]; /* the end of the last piece of body, for words cut in two */
};

static struct settings settings = {
    .events = 64, .interval_us = 10000, .answer_bytes = 1024, .comment_s = 0, .idle = 0};
static struct counts counts;
static struct mock_text texts[MOCK_WIRES];
static struct connection *queue_head, *queue_tail;
static int64_t open_requests;
static int epoll_fd, server_fd, signal_fd;
static SSL_CTX *tls;
static char read_buffer[READ_BYTES];

/* ---- the queue of next events ---- */

static void queue_add(struct connection *connection)
{
    connection->before = queue_tail;
    connection->after = NULL;
    if (queue_tail)
        queue_tail->after = connection;
    else
        queue_head = connection;
    queue_tail = connection;
}

static void queue_remove(struct connection *connection)
{
    if (connection->before)
        connection->before->after = connection->after;
    else if (queue_head == connection)
        queue_head = connection->after;
    else
        return;
    if (connection->after)
        connection->after->before = connection->before;
    else
        queue_tail = connection->before;
    connection->before = connection->after = NULL;
}

/* ---- counts ---- */

static int counts_format(char *buffer, size_t cap)
{
    return snprintf(
        buffer, cap,
        "{\"connections\": %" PRId64 ", \"tls_resumed\": %" PRId64 ", \"requests\": %" PRId64
        ", \"body_bytes\": %" PRId64 ", \"answers\": %" PRId64 ", \"streams\": %" PRId64
        ", \"streams_whole\": %" PRId64 ", \"streams_cut\": %" PRId64 ", \"events\": %" PRId64
        ", \"usage_events\": %" PRId64 ", \"bad\": %" PRId64 ", \"open\": %" PRId64 "}\n",
        counts.connections, (int64_t)(tls ? SSL_CTX_sess_hits(tls) : 0), counts.requests,
        counts.body_bytes, counts.answers, counts.streams, counts.streams_whole, counts.streams_cut,
        counts.events, counts.usage_events, counts.bad, open_requests);
}

static void counts_print(void)
{
    char line[512];
    counts_format(line, sizeof(line));
    fputs(line, stdout);
    fflush(stdout);
}

/* ---- writing ---- */

static void connection_close(struct connection *connection)
{
    if (connection->streaming)
        counts.streams_cut++;
    if (connection->busy)
        open_requests--;
    queue_remove(connection);
    bench_link_done(&connection->link);
    bench_message_done(&connection->message);
    bench_free(connection->own.data);
    bench_free(connection);
}

static bool flush(struct connection *connection)
{
    while (connection->out_len) {
        size_t n;
        switch (bench_link_write(&connection->link, connection->out, connection->out_len, &n)) {
        case BENCH_IO_OK:
            connection->out += n;
            connection->out_len -= n;
            break;
        case BENCH_IO_WAIT: return true;
        default: return false;
        }
    }
    return true;
}

static bool put(struct connection *connection, const struct mock_slab *slab)
{
    connection->out = slab->data;
    connection->out_len = slab->len;
    return flush(connection);
}

static void request_end(struct connection *connection)
{
    connection->busy = false;
    open_requests--;
}

/* ---- streams ---- */

static bool stream_start(struct connection *connection)
{
    connection->streaming = true;
    connection->sent = 1;
    counts.streams++;
    counts.events++;
    int64_t wait_ns = settings.idle ? settings.comment_s * 1000000000 : settings.interval_us * 1000;
    if (wait_ns) {
        connection->due_ns = bench_now_ns() + wait_ns;
        queue_add(connection);
    }
    if (!put(connection, &texts[connection->wire].first))
        return false;
    /* An idle stream has said something: a proxy may hold back what comes before the first word. */
    return !settings.idle ||
           (connection->out_len == 0 && put(connection, &texts[connection->wire].middle[0]));
}

static bool stream_end(struct connection *connection)
{
    connection->streaming = false;
    counts.events++;
    counts.usage_events += connection->wants_usage;
    counts.streams_whole++;
    request_end(connection);
    return put(connection, connection->wants_usage ? &texts[connection->wire].last_usage
                                                   : &texts[connection->wire].last);
}

/* Sends what is due on the connection at the queue's head and puts it where its next turn is. */
static bool stream_step(struct connection *connection, int64_t now)
{
    queue_remove(connection);
    bool last = !settings.idle && connection->sent + 1 >= settings.events;
    if (last && !connection->out_len)
        return stream_end(connection);
    int64_t wait_ns = settings.idle ? settings.comment_s * 1000000000 : settings.interval_us * 1000;
    connection->due_ns += wait_ns;
    if (connection->due_ns <= now)
        connection->due_ns = now + 1;
    queue_add(connection);
    if (connection->out_len)
        return true; /* the socket is full: the same event has its next turn later */
    if (settings.idle)
        return put(connection, &texts[connection->wire].comment);
    counts.events++;
    return put(connection,
               &texts[connection->wire].middle[connection->sent++ % MOCK_MIDDLE_EVENTS]);
}

static void streams_run(int64_t now)
{
    while (queue_head && queue_head->due_ns <= now) {
        struct connection *connection = queue_head;
        if (!stream_step(connection, now))
            connection_close(connection);
    }
}

/* ---- requests ---- */

/* Whether `hay` has the quoted key with the value true. */
static bool has_true(const char *hay, size_t len, const char *key, size_t key_len)
{
    const char *end = hay + len;
    while ((hay = memmem(hay, (size_t)(end - hay), key, key_len))) {
        hay += key_len;
        const char *at = hay;
        while (at < end && (*at == ' ' || *at == ':'))
            at++;
        if (end - at >= 4 && !memcmp(at, "true", 4))
            return true;
    }
    return false;
}

static void look_for_keys(struct connection *connection, const char *data, size_t len)
{
    static const char stream[] = "\"stream\"";
    static const char usage[] = "\"include_usage\"";
    if (!connection->wants_stream)
        connection->wants_stream = has_true(data, len, stream, sizeof(stream) - 1);
    if (!connection->wants_usage)
        connection->wants_usage = has_true(data, len, usage, sizeof(usage) - 1);
}

static void on_body(void *context, const char *data, size_t len)
{
    struct connection *connection = context;
    counts.body_bytes += (int64_t)len;
    if (connection->carry_len) {
        char seam[2 * CARRY_BYTES];
        size_t n = len < CARRY_BYTES ? len : CARRY_BYTES;
        memcpy(seam, connection->carry, connection->carry_len);
        memcpy(seam + connection->carry_len, data, n);
        look_for_keys(connection, seam, connection->carry_len + n);
    }
    look_for_keys(connection, data, len);
    if (len >= CARRY_BYTES) {
        memcpy(connection->carry, data + len - CARRY_BYTES, CARRY_BYTES);
        connection->carry_len = CARRY_BYTES;
        return;
    }
    size_t keep = connection->carry_len;
    if (keep > CARRY_BYTES - len)
        keep = CARRY_BYTES - len;
    memmove(connection->carry, connection->carry + connection->carry_len - keep, keep);
    memcpy(connection->carry + keep, data, len);
    connection->carry_len = keep + len;
}

static void build_texts(void)
{
    for (int i = 0; i < MOCK_WIRES; i++)
        mock_text_build(&texts[i], i, (size_t)settings.answer_bytes, (int)settings.events);
}

static void settings_read(const char *query, const char *end)
{
    static const struct {
        const char *name;
        int64_t *value;
        int64_t min, max;
    } rows[] = {
        {"interval_us=", &settings.interval_us, 1, 1000000000},
        {"events=", &settings.events, 2, 1000000},
        {"answer_bytes=", &settings.answer_bytes, 1, BODY_MAX},
        {"comment_s=", &settings.comment_s, 0, 3600},
        {"idle=", &settings.idle, 0, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = memmem(query, (size_t)(end - query), rows[i].name, strlen(rows[i].name));
        if (!at)
            continue;
        char digits[24] = "";
        at += strlen(rows[i].name);
        for (size_t n = 0; at < end && *at >= '0' && *at <= '9' && n < sizeof(digits) - 1;)
            digits[n++] = *at++;
        *rows[i].value = bench_parse_int(rows[i].name, digits, rows[i].min, rows[i].max);
    }
    build_texts();
}

static bool target_is(const char *target, const char *end, const char *prefix)
{
    size_t n = strlen(prefix);
    return (size_t)(end - target) >= n && !memcmp(target, prefix, n);
}

static void on_head(void *context, const char *head, size_t len)
{
    struct connection *connection = context;
    const char *line_end = memchr(head, '\r', len);
    const char *target = memchr(head, ' ', (size_t)(line_end - head));
    connection->asked = ASKED_UNKNOWN;
    connection->wants_stream = connection->wants_usage = false;
    connection->carry_len = 0;
    connection->busy = true;
    open_requests++;
    if (!target)
        return;
    target++;
    if (target_is(head, line_end, "POST ")) {
        connection->asked = ASKED_CHAT;
        size_t n = (size_t)(line_end - target);
        connection->wire = mock_wire_of(target, n);
        connection->wants_stream =
            memmem(target, n, "?stream=1", 9) || mock_wire_streams(connection->wire, target, n);
        counts.requests++;
    } else if (target_is(target, line_end, "/bench/counts")) {
        connection->asked = ASKED_COUNTS;
    } else if (target_is(target, line_end, "/bench/settings")) {
        connection->asked = open_requests == 1 ? ASKED_SETTINGS : ASKED_UNKNOWN;
        if (connection->asked == ASKED_SETTINGS)
            settings_read(target, line_end);
    } else if (target_is(head, line_end, "GET ")) {
        connection->asked = ASKED_MODELS;
    }
}

static bool answer(struct connection *connection)
{
    static char refusal[] = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
    static const struct mock_slab conflict = {.data = refusal, .len = sizeof(refusal) - 1};
    if (connection->asked == ASKED_CHAT && connection->wants_stream)
        return stream_start(connection);
    request_end(connection);
    char line[512];
    switch (connection->asked) {
    case ASKED_CHAT: counts.answers++; return put(connection, &texts[connection->wire].answer);
    case ASKED_MODELS: return put(connection, &texts[connection->wire].models);
    case ASKED_UNKNOWN: counts.bad++; return put(connection, &conflict);
    default:
        bench_free(connection->own.data);
        connection->own = mock_text_json(line, (size_t)counts_format(line, sizeof(line)));
        return put(connection, &connection->own);
    }
}

static bool take(struct connection *connection, const char *data, size_t len)
{
    static const struct bench_message_events events = {on_head, on_body};
    while (len) {
        if (connection->streaming || connection->out_len)
            return false; /* pipelining is not what a proxy does */
        ssize_t used = bench_message_feed(&connection->message, &events, connection, data, len);
        if (used < 0) {
            counts.bad++;
            return false;
        }
        data += used;
        len -= (size_t)used;
        if (connection->message.state != BENCH_MESSAGE_DONE)
            return true;
        bool closes = connection->message.closes;
        bench_message_reset(&connection->message, false);
        if (!answer(connection) || (closes && !connection->streaming))
            return false;
    }
    return true;
}

/* ---- the loop ---- */

static bool connection_read(struct connection *connection, bool hung_up)
{
    for (;;) {
        size_t n;
        switch (bench_link_read(&connection->link, read_buffer, sizeof(read_buffer), &n)) {
        case BENCH_IO_OK:
            if (!take(connection, read_buffer, n))
                return false;
            if (!connection->link.ssl && n < sizeof(read_buffer) && !hung_up)
                return true; /* drained: edge-triggered epoll will tell of more */
            break;
        case BENCH_IO_WAIT: return true;
        default: return false;
        }
    }
}

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
        struct connection *connection = bench_alloc(1, sizeof(*connection));
        bench_link_init(&connection->link, fd, tls, true, NULL);
        bench_message_reset(&connection->message, false);
        counts.connections++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = connection};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
            bench_die("epoll_ctl: %s", strerror(errno));
    }
}

static void serve(void)
{
    struct epoll_event events[EPOLL_BATCH];
    for (;;) {
        struct timespec wait = {0};
        if (queue_head) {
            int64_t ns = queue_head->due_ns - bench_now_ns();
            if (ns > 0)
                wait = (struct timespec){ns / 1000000000, ns % 1000000000};
        }
        int n = epoll_pwait2(epoll_fd, events, EPOLL_BATCH, queue_head ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            uint32_t ready = events[i].events;
            if (events[i].data.ptr == &server_fd) {
                accept_all();
            } else if (events[i].data.ptr == &signal_fd) {
                int number = bench_signals_take(signal_fd);
                counts_print();
                if (number != SIGUSR1)
                    return;
            } else if ((connection->out_len && !flush(connection)) ||
                       ((ready & ~(uint32_t)EPOLLOUT) &&
                        !connection_read(connection, ready & EPOLLRDHUP))) {
                connection_close(connection);
            }
        }
        if (queue_head)
            streams_run(bench_now_ns());
    }
}

static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                        {"events", required_argument, NULL, 'e'},
                                        {"interval-us", required_argument, NULL, 'i'},
                                        {"answer-bytes", required_argument, NULL, 'a'},
                                        {"comment-s", required_argument, NULL, 'c'},
                                        {"idle", no_argument, NULL, 'd'},
                                        {"tls-cert", required_argument, NULL, 'C'},
                                        {"tls-key", required_argument, NULL, 'K'},
                                        {0}};

static int read_options(int argc, char **argv)
{
    int port = 0;
    const char *cert = NULL;
    const char *key = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'p': port = (int)bench_parse_int("--port", optarg, 0, 65535); break;
        case 'e': settings.events = bench_parse_int("--events", optarg, 2, 1000000); break;
        case 'i':
            settings.interval_us = bench_parse_int("--interval-us", optarg, 1, 1000000000);
            break;
        case 'a':
            settings.answer_bytes = bench_parse_int("--answer-bytes", optarg, 1, BODY_MAX);
            break;
        case 'c': settings.comment_s = bench_parse_int("--comment-s", optarg, 0, 3600); break;
        case 'd': settings.idle = 1; break;
        case 'C': cert = optarg; break;
        case 'K': key = optarg; break;
        default: exit(2);
        }
    }
    if (!cert != !key)
        bench_die("--tls-cert and --tls-key belong together");
    if (cert)
        tls = bench_tls_server(cert, key);
    return port;
}

int main(int argc, char **argv)
{
    int port = read_options(argc, argv);
    signal_fd = bench_signals_open();
    bench_raise_files(FILES_WANTED);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    build_texts();
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
    return 0;
}
