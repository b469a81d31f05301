/* One connection of the load generator; see client.h. */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include "util.h"

enum { READ_BYTES = 262144 };

static SSL_SESSION *session_kept;
static char read_buffer[READ_BYTES];

int client_keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION_free(session_kept);
    session_kept = session;
    return 1;
}

void client_count_error(struct client *client, const char *format, ...)
{
    struct tally *tally = client->tally;
    if (tally->errors++)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(tally->first_error, sizeof(tally->first_error), format, args);
    va_end(args);
    for (char *at = tally->first_error; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = '\'';
}

void client_close(struct client *client)
{
    bench_link_done(&client->link);
    bench_message_done(&client->message);
    client->state = CLIENT_CLOSED;
}

void client_connect(struct client *client, int epoll_fd)
{
    int fd = bench_connect(client->plan->port);
    if (fd < 0)
        bench_die("connect to port %d: %s", client->plan->port, strerror(errno));
    bench_link_init(&client->link, fd, client->plan->tls, false, session_kept);
    bench_message_reset(&client->message, true);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = client};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        bench_die("epoll_ctl: %s", strerror(errno));
    client->state = CLIENT_CONNECTING;
    client->served = 0;
}

/* ---- the answer ---- */

static void on_head(void *context, const char *head, size_t len)
{
    struct client *client = context;
    client->status = 0;
    const char *code = memchr(head, ' ', len);
    for (int i = 1; code && i <= 3; i++)
        client->status = client->status * 10 + (code[i] - '0');
}

static void on_line(struct client *client)
{
    static const char data[] = "data:";
    static const char done[] = "data: [DONE]";
    if (client->line_len < sizeof(data) - 1 || memcmp(client->line, data, sizeof(data) - 1))
        return;
    if (client->line_len >= sizeof(done) - 1 && !memcmp(client->line, done, sizeof(done) - 1)) {
        client->done_seen = true;
        return;
    }
    client->events++;
    client->tally->events++;
}

/* Splits the body into lines, of which only the first bytes matter. */
static void read_lines(struct client *client, const char *data, size_t len)
{
    const char *end = data + len;
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t n = (size_t)((newline ? newline : end) - data);
        size_t room = LINE_START_BYTES - client->line_len;
        size_t keep = n < room ? n : room;
        memcpy(client->line + client->line_len, data, keep);
        client->line_len += keep;
        if (!newline)
            return;
        on_line(client);
        client->line_len = 0;
        data = newline + 1;
    }
}

static void keep_tail(struct client *client, const char *data, size_t len)
{
    if (len >= TAIL_BYTES) {
        memcpy(client->tail, data + len - TAIL_BYTES, TAIL_BYTES);
        client->tail_len = TAIL_BYTES;
        return;
    }
    size_t keep = client->tail_len;
    if (keep > TAIL_BYTES - len)
        keep = TAIL_BYTES - len;
    memmove(client->tail, client->tail + client->tail_len - keep, keep);
    memcpy(client->tail + keep, data, len);
    client->tail_len = keep + len;
}

static void on_body(void *context, const char *data, size_t len)
{
    struct client *client = context;
    if (!client->body_bytes)
        client->first_byte = data[0];
    client->body_bytes += (int64_t)len;
    if (client->plan->expect_events)
        read_lines(client, data, len);
    else
        keep_tail(client, data, len);
}

static bool ends_with_brace(const struct client *client)
{
    size_t n = client->tail_len;
    while (n && (client->tail[n - 1] == '\n' || client->tail[n - 1] == '\r'))
        n--;
    return n && client->tail[n - 1] == '}';
}

/* Whether the answer that has come whole is the right one; counts it either way. */
static bool judge(struct client *client)
{
    const struct plan *plan = client->plan;
    if (client->status != 200)
        client_count_error(client, "status %d, body of %lld bytes ending in %.*s", client->status,
                           (long long)client->body_bytes, (int)client->tail_len, client->tail);
    else if (plan->expect_events && client->events != plan->expect_events)
        client_count_error(client, "%lld events instead of %lld", (long long)client->events,
                           (long long)plan->expect_events);
    else if (plan->expect_events && !client->done_seen)
        client_count_error(client, "a stream ended without [DONE]");
    else if (!plan->expect_events && client->body_bytes < plan->min_body)
        client_count_error(client, "a body of %lld bytes", (long long)client->body_bytes);
    else if (!plan->expect_events && (client->first_byte != '{' || !ends_with_brace(client)))
        client_count_error(client, "the body is not a JSON object");
    else
        return true;
    return false;
}

static void answer_end(struct client *client)
{
    bool closes = client->message.closes;
    bool right = judge(client);
    client->tally->requests += right;
    client->served++;
    bench_message_reset(&client->message, true);
    if (!right || closes ||
        (client->plan->per_connection && client->served >= client->plan->per_connection))
        client_close(client);
    else
        client->state = CLIENT_IDLE;
}

static void fail(struct client *client, const char *what)
{
    client_count_error(client, "%s", what);
    client_close(client);
}

/* ---- bytes in and out ---- */

static void send_request(struct client *client)
{
    const struct plan *plan = client->plan;
    while (client->sent < plan->request_len) {
        size_t n;
        switch (bench_link_write(&client->link, plan->request + client->sent,
                                 plan->request_len - client->sent, &n)) {
        case BENCH_IO_OK: client->sent += n; break;
        case BENCH_IO_WAIT: return;
        default: fail(client, "the connection broke while the request was sent"); return;
        }
    }
}

void client_start(struct client *client, int64_t sched_ns)
{
    client->state = CLIENT_BUSY;
    client->sched_ns = sched_ns;
    client->sent = 0;
    client->status = 0;
    client->body_bytes = 0;
    client->tail_len = 0;
    client->events = 0;
    client->line_len = 0;
    client->done_seen = false;
    send_request(client);
}

static void take(struct client *client, const char *data, size_t len)
{
    static const struct bench_message_events events = {on_head, on_body};
    client->tally->bytes += (int64_t)len;
    if (client->state == CLIENT_IDLE) {
        fail(client, "bytes came that nobody asked for");
        return;
    }
    ssize_t used = bench_message_feed(&client->message, &events, client, data, len);
    if (used < 0)
        fail(client, "the answer is not HTTP");
    else if ((size_t)used < len)
        fail(client, "bytes came after the end of the answer");
    else if (client->message.state == BENCH_MESSAGE_DONE)
        answer_end(client);
    else if (client->plan->hold && client->events && client->state == CLIENT_BUSY)
        client->state = CLIENT_HOLDING;
}

/* The server may close a connection that is idle; within an answer that is an error. */
static void on_eof(struct client *client, enum bench_io result)
{
    if (client->state == CLIENT_IDLE)
        client_close(client);
    else if (client->body_bytes && result == BENCH_IO_EOF && bench_message_finish(&client->message))
        answer_end(client);
    else
        fail(client, client->body_bytes ? "the connection ended within an answer's body"
                                        : "the connection ended before an answer");
}

static void read_answer(struct client *client, bool hung_up)
{
    while (client->state >= CLIENT_IDLE) {
        size_t n;
        enum bench_io result = bench_link_read(&client->link, read_buffer, READ_BYTES, &n);
        if (result == BENCH_IO_WAIT)
            return;
        if (result != BENCH_IO_OK) {
            on_eof(client, result);
            return;
        }
        take(client, read_buffer, n);
        if (!client->link.ssl && n < READ_BYTES && !hung_up)
            return; /* drained: edge-triggered epoll will tell of more */
    }
}

static void finish_connect(struct client *client)
{
    switch (bench_link_ready(&client->link)) {
    case BENCH_IO_OK:
        client->state = CLIENT_IDLE;
        client->tally->connects++;
        client->tally->tls_resumed += client->link.ssl && SSL_session_reused(client->link.ssl);
        return;
    case BENCH_IO_WAIT: return;
    default: fail(client, "a connection or its handshake failed");
    }
}

bool client_ready(struct client *client, uint32_t ready)
{
    enum client_state before = client->state;
    if (before == CLIENT_CONNECTING) {
        if (ready & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            finish_connect(client);
        return client->state != before;
    }
    if (client->state == CLIENT_BUSY && client->sent < client->plan->request_len)
        send_request(client);
    if (ready & ~(uint32_t)EPOLLOUT)
        read_answer(client, ready & EPOLLRDHUP);
    return client->state != before;
}
