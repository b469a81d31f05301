/*
 * books_load: clients that play a script (request.h), --connections at a time, and write what
 * became of each exchange to --results FILE: ID OUTCOME STATUS REQUEST_ID TARGET ATTEMPTS START END
 * BYTES OUTCOME is c (complete), a (the client left), b (the connection broke; a status of 0:
 * before the head); START and END are monotonic nanoseconds. While nobody listens they wait and try
 * again, so that the gateway can be killed and started anew. Prints the number of finished
 * exchanges now and then, for who decides when that happens. One thread, raw epoll.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include "message.h"
#include "request.h"
#include "util.h"
#include "wire.h"

enum { EPOLL_BATCH = 256, READ_BYTES = 65536, PROGRESS = 50, TEXT_MAX = 64 };
#define RETRY_NS   INT64_C(5000000)
#define SILENCE_NS INT64_C(60000000000)

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct client {
    struct bench_link link;
    struct bench_message message;
    enum state state;
    int64_t due_ns; /* CLOSED: connect again; BUSY: leave; 0: nothing is due */
    struct request_line line;
    char request[REQUEST_CAP];
    size_t request_len, sent;
    int64_t started_ns, body_bytes;
    int status;
    char id[TEXT_MAX], target[TEXT_MAX], attempts[TEXT_MAX];
};

static struct client *clients;
static int64_t clients_n = 64, finished_n, last_end_ns;
static int port, epoll_fd;
static FILE *results;
static char *script, *script_at;
static char read_buffer[READ_BYTES];

static const char *text_or_dash(const char *text)
{
    return *text ? text : "-";
}

static void client_close(struct client *c)
{
    bench_link_done(&c->link);
    bench_message_done(&c->message);
    c->state = CLOSED;
    c->due_ns = bench_now_ns();
}

static void finish(struct client *c, char outcome)
{
    last_end_ns = bench_now_ns();
    fprintf(results, "%lld %c %d %s %s %s %lld %lld %lld\n", (long long)c->line.id, outcome,
            c->status, text_or_dash(c->id), text_or_dash(c->target), text_or_dash(c->attempts),
            (long long)c->started_ns, (long long)last_end_ns, (long long)c->body_bytes);
    if (++finished_n % PROGRESS == 0) {
        printf("%lld\n", (long long)finished_n);
        fflush(stdout);
    }
    bool whole = outcome == 'c' && !c->message.closes;
    bench_message_reset(&c->message, true);
    c->due_ns = 0;
    c->state = IDLE;
    if (!whole)
        client_close(c);
}

/* ---- answers ---- */

static bool take_field(const char *line, size_t len, const char *name, char out[TEXT_MAX])
{
    size_t n = strlen(name);
    if (len < n || strncasecmp(line, name, n) != 0)
        return false;
    snprintf(out, TEXT_MAX, "%.*s", (int)(len - n), line + n);
    return true;
}

static void on_head(void *context, const char *head, size_t len)
{
    struct client *c = context;
    const char *end = head + len, *line = memchr(head, ' ', len);
    c->status = 0;
    for (int i = 1; line && i <= 3; i++)
        c->status = c->status * 10 + (line[i] - '0');
    for (line = head; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t n = next && next > line ? (size_t)(next - line) - 1 : 0;
        if (!take_field(line, n, "x-weir-request-id: ", c->id) &&
            !take_field(line, n, "x-weir-target: ", c->target))
            take_field(line, n, "x-weir-attempts: ", c->attempts);
        line = next ? next + 1 : end;
    }
}

static void on_body(void *context, const char *data, size_t len)
{
    struct client *c = context;
    (void)data;
    c->body_bytes += (int64_t)len;
}

/* Has what the client waits for, to leave, come? */
static bool leaves(const struct client *c)
{
    return (c->line.abort == 'h' && c->status) ||
           (c->line.abort == 'b' && c->body_bytes >= c->line.abort_at && c->body_bytes > 0);
}

static void read_answer(struct client *c)
{
    static const struct bench_message_events events = {on_head, on_body};
    while (c->state >= IDLE) {
        size_t n;
        enum bench_io io = bench_link_read(&c->link, read_buffer, sizeof(read_buffer), &n);
        if (io == BENCH_IO_WAIT)
            return;
        if (io != BENCH_IO_OK || c->state == IDLE) {
            if (c->state == BUSY)
                finish(c, io == BENCH_IO_EOF && c->status && bench_message_finish(&c->message)
                              ? 'c'
                              : 'b');
            else
                client_close(c);
            return;
        }
        ssize_t used = bench_message_feed(&c->message, &events, c, read_buffer, n);
        if (used != (ssize_t)n)
            finish(c, 'b');
        else if (c->message.state == BENCH_MESSAGE_DONE)
            finish(c, 'c');
        else if (leaves(c))
            finish(c, 'a');
    }
}

/* ---- requests ---- */

static void send_request(struct client *c)
{
    while (c->sent < c->request_len) {
        size_t n;
        switch (bench_link_write(&c->link, c->request + c->sent, c->request_len - c->sent, &n)) {
        case BENCH_IO_OK: c->sent += n; break;
        case BENCH_IO_WAIT: return;
        default: finish(c, 'b'); return;
        }
    }
}

/* The next line of the script on an idle connection; nothing happens at its end. */
static void begin(struct client *c)
{
    if (!*script_at)
        return;
    if (!request_parse(script_at, &c->line))
        bench_die("the script has a bad line: %.100s", script_at);
    script_at += strcspn(script_at, "\n");
    script_at += *script_at == '\n';
    c->request_len = request_write(&c->line, port, c->request);
    c->sent = 0;
    c->status = 0;
    c->body_bytes = 0;
    c->id[0] = c->target[0] = c->attempts[0] = '\0';
    c->started_ns = bench_now_ns();
    c->due_ns = c->line.abort == 't' ? c->started_ns + c->line.abort_at * 1000 : 0;
    c->state = BUSY;
    send_request(c);
}

static void start_connect(struct client *c)
{
    int fd = bench_connect(port);
    c->due_ns = bench_now_ns() + RETRY_NS;
    if (fd < 0)
        return;
    bench_link_init(&c->link, fd, NULL, false, NULL);
    bench_message_reset(&c->message, true);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        bench_die("epoll_ctl: %s", strerror(errno));
    c->state = CONNECTING;
    c->due_ns = 0;
}

static void on_ready(struct client *c, uint32_t ready)
{
    if (c->state == CONNECTING) {
        if (!(ready & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (bench_link_ready(&c->link) == BENCH_IO_OK) {
            c->state = IDLE;
        } else {
            client_close(c);
            c->due_ns += RETRY_NS;
        }
        return;
    }
    if (c->state == BUSY && c->sent < c->request_len)
        send_request(c);
    if (c->state >= IDLE && ready & ~(uint32_t)EPOLLOUT)
        read_answer(c);
}

/* ---- the loop ---- */

/* What is due, and new exchanges; returns when something is due next. */
static int64_t run_clients(void)
{
    int64_t now = bench_now_ns(), next = now + SILENCE_NS;
    for (int64_t i = 0; i < clients_n; i++) {
        struct client *c = &clients[i];
        if (c->due_ns && c->due_ns <= now && c->state == BUSY)
            finish(c, 'a');
        if (c->state == CLOSED && c->due_ns <= now && *script_at)
            start_connect(c);
        while (c->state == IDLE && *script_at)
            begin(c);
        if (c->due_ns && c->state != IDLE && c->due_ns < next)
            next = c->due_ns;
    }
    return next;
}

static void run(int64_t exchanges)
{
    struct epoll_event events[EPOLL_BATCH];
    last_end_ns = bench_now_ns();
    while (finished_n < exchanges) {
        int64_t ns = run_clients() - bench_now_ns();
        if (bench_now_ns() - last_end_ns > SILENCE_NS)
            bench_die("nothing has ended for a minute, %lld of %lld are done",
                      (long long)finished_n, (long long)exchanges);
        struct timespec wait = {0};
        if (ns > 0)
            wait = (struct timespec){ns / 1000000000, ns % 1000000000};
        int n = epoll_pwait2(epoll_fd, events, EPOLL_BATCH, &wait, NULL);
        for (int i = 0; i < n; i++)
            on_ready(events[i].data.ptr, events[i].events);
    }
}

static int64_t count_lines(const char *text)
{
    int64_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"script", required_argument, NULL, 's'},
                                            {"results", required_argument, NULL, 'r'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {0}};
    size_t len;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'p': port = (int)bench_parse_int("--port", optarg, 1, 65535); break;
        case 's': script = bench_read_file(optarg, &len); break;
        case 'r': results = fopen(optarg, "we"); break;
        case 'c': clients_n = bench_parse_int("--connections", optarg, 1, 10000); break;
        default: return 2;
        }
    }
    if (!port || !script || !results)
        bench_die("usage: books_load --port PORT --script FILE --results FILE [--connections 64]");
    script_at = script;
    signal(SIGPIPE, SIG_IGN);
    bench_raise_files(clients_n + 64);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        bench_die("epoll: %s", strerror(errno));
    clients = bench_alloc((size_t)clients_n, sizeof(*clients));
    for (int64_t i = 0; i < clients_n; i++)
        clients[i].link.fd = -1;
    run(count_lines(script));
    for (int64_t i = 0; i < clients_n; i++)
        client_close(&clients[i]);
    bench_free(clients);
    bench_free(script);
    return fclose(results) ? 1 : 0;
}
