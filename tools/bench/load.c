/*
 * benchload: a load generator for HTTP/1.1 proxies in front of a chat completion API. One thread,
 * keep-alive connections to 127.0.0.1, every answer judged (status, framing, shape, number of
 * events).
 *
 *   closed loop   each of --connections sends its next request when the last one is answered
 *   open loop     --rate requests a second fall due at even distances whatever the answers do;
 *                 latency counts from the time a request was due, so a slow server cannot hide its
 *                 delays by slowing the generator down (no coordinated omission)
 *   --hold        opens one stream per connection, a few at a time, waits for each one's first
 *                 event and keeps them all until SIGTERM; a stream that ends is an error
 *
 * Counting starts after --warmup and lasts --seconds; what is in flight then is awaited and judged
 * but not counted. With --cpu-of, the CPU time of those processes within the same window is read.
 * The result is one JSON object on stdout; with --hold also a line once all streams stand.
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
#include <sys/resource.h>
#include "client.h"
#include "cputime.h"
#include "histogram.h"
#include "util.h"

enum { EPOLL_BATCH = 256, HOLD_OPENING_MAX = 64, ERRORS_MAX = 100, FILES_SPARE = 64 };
#define DRAIN_NS  (INT64_C(20) * 1000000000)
#define GIVEUP_NS (INT64_C(120) * 1000000000)

enum phase { PHASE_CONNECT, PHASE_WARM, PHASE_MEASURE, PHASE_DRAIN, PHASE_OVER };

/* The state of all counters at one moment. */
struct mark {
    int64_t time_ns;
    int64_t cpu_ns; /* of the processes watched */
    int64_t own_cpu_ns;
    int64_t late; /* requests due but not yet sent, for want of an idle connection */
    struct tally tally;
};

struct load {
    struct plan plan;
    struct tally tally;
    struct histogram latency;
    struct cputime watched;
    int64_t clients_n;
    double rate; /* requests per second; 0: closed loop */
    double seconds, warmup;
    struct client *clients;
    struct client *idle_head, *idle_tail;
    int64_t idle_n, busy_n, holding_n;
    enum phase phase;
    int64_t phase_end_ns;
    int64_t start_ns; /* of the open loop's schedule */
    int64_t started;  /* requests so far */
    struct mark begin, end;
    int epoll_fd, signal_fd;
    bool stop; /* SIGTERM */
};

static struct load load;

/* ---- idle connections wait in the order in which they became so ---- */

static void idle_add(struct client *client)
{
    client->next = NULL;
    if (load.idle_tail)
        load.idle_tail->next = client;
    else
        load.idle_head = client;
    load.idle_tail = client;
    load.idle_n++;
}

static struct client *idle_take(void)
{
    while (load.idle_head) {
        struct client *client = load.idle_head;
        load.idle_head = client->next;
        if (!load.idle_head)
            load.idle_tail = NULL;
        load.idle_n--;
        if (client->state == CLIENT_IDLE)
            return client;
        client_connect(client, load.epoll_fd); /* the server had closed it meanwhile */
    }
    return NULL;
}

/* ---- starting requests ---- */

static int64_t due_ns(int64_t number)
{
    return load.start_ns + (int64_t)((double)number * 1e9 / load.rate);
}

static void start(struct client *client, int64_t sched_ns)
{
    load.started++;
    client_start(client, sched_ns);
    if (client->state == CLIENT_BUSY)
        load.busy_n++;
    else
        client_connect(client, load.epoll_fd);
}

static void dispatch(void)
{
    if (load.phase != PHASE_WARM && load.phase != PHASE_MEASURE)
        return;
    int64_t now = bench_now_ns();
    while (load.idle_head) {
        if (load.plan.hold && load.busy_n >= HOLD_OPENING_MAX)
            return;
        if (load.rate > 0 && due_ns(load.started) > now)
            return;
        struct client *client = idle_take();
        if (client)
            start(client, load.rate > 0 ? due_ns(load.started) : now);
    }
}

/* ---- phases ---- */

static int64_t own_cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void take_mark(struct mark *mark, int64_t now)
{
    mark->time_ns = now;
    mark->cpu_ns = cputime_read(&load.watched);
    mark->own_cpu_ns = own_cpu_ns();
    mark->late = 0;
    if (load.rate > 0)
        while (due_ns(load.started + mark->late) < now)
            mark->late++;
    mark->tally = load.tally;
}

static void phase_next(int64_t now)
{
    switch (load.phase) {
    case PHASE_CONNECT:
        load.phase = PHASE_WARM;
        load.start_ns = now;
        load.phase_end_ns = load.plan.hold ? INT64_MAX : now + (int64_t)(load.warmup * 1e9);
        return;
    case PHASE_WARM:
        take_mark(&load.begin, now);
        load.phase = PHASE_MEASURE;
        load.phase_end_ns = now + (int64_t)(load.seconds * 1e9);
        return;
    case PHASE_MEASURE:
        take_mark(&load.end, now);
        load.phase = PHASE_DRAIN;
        load.phase_end_ns = now + DRAIN_NS;
        return;
    default: load.phase = PHASE_OVER; return;
    }
}

static void phases_run(void)
{
    int64_t now = bench_now_ns();
    bool over = now >= load.phase_end_ns || load.stop;
    if (load.phase == PHASE_CONNECT && over)
        bench_die("only %" PRId64 " of %" PRId64 " connections stand: %s", load.idle_n,
                  load.clients_n, load.tally.first_error);
    over |= load.phase == PHASE_CONNECT && load.idle_n == load.clients_n;
    over |= load.phase == PHASE_DRAIN && !load.busy_n;
    if (over)
        phase_next(now);
    if (load.tally.errors > ERRORS_MAX)
        bench_die("too many errors; the first: %s", load.tally.first_error);
}

/* ---- events ---- */

static void on_answer(struct client *client, int64_t errors_before)
{
    load.busy_n--;
    if (load.phase == PHASE_MEASURE && load.tally.errors == errors_before)
        histogram_add(&load.latency, bench_now_ns() - client->sched_ns);
}

static void on_held(void)
{
    load.busy_n--;
    if (++load.holding_n < load.clients_n)
        return;
    printf("{\"held\": %" PRId64 ", \"errors\": %" PRId64 "}\n", load.holding_n, load.tally.errors);
    fflush(stdout);
}

static void on_ready(struct client *client, uint32_t ready)
{
    enum client_state before = client->state;
    int64_t errors = load.tally.errors;
    if (!client_ready(client, ready))
        return;
    if (before == CLIENT_BUSY && client->state == CLIENT_HOLDING)
        on_held();
    else if (before == CLIENT_BUSY)
        on_answer(client, errors);
    else if (before == CLIENT_HOLDING)
        load.holding_n--;
    else if (before == CLIENT_IDLE)
        return; /* closed while it waits; replaced when its turn comes */
    if (client->state == CLIENT_IDLE)
        idle_add(client);
    else if (client->state == CLIENT_CLOSED && !load.plan.hold)
        client_connect(client, load.epoll_fd);
}

static struct timespec time_to_wait(void)
{
    int64_t now = bench_now_ns();
    int64_t until = load.phase_end_ns;
    if (load.rate > 0 && load.idle_head &&
        (load.phase == PHASE_WARM || load.phase == PHASE_MEASURE)) {
        int64_t due = due_ns(load.started);
        until = due < until ? due : until;
    }
    int64_t ns = until - now;
    if (ns > 1000000000)
        ns = 1000000000;
    if (ns < 0)
        ns = 0;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static void run(void)
{
    struct epoll_event events[EPOLL_BATCH];
    load.phase_end_ns = bench_now_ns() + GIVEUP_NS;
    for (int64_t i = 0; i < load.clients_n; i++) {
        struct client *client = &load.clients[i];
        client->plan = &load.plan;
        client->tally = &load.tally;
        client_connect(client, load.epoll_fd);
    }
    while (load.phase != PHASE_OVER) {
        struct timespec wait = time_to_wait();
        int n = epoll_pwait2(load.epoll_fd, events, EPOLL_BATCH, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_ready(events[i].data.ptr, events[i].events);
            else if (bench_signals_take(load.signal_fd))
                load.stop = true;
        }
        phases_run();
        dispatch();
        if (load.plan.hold && load.stop)
            return;
    }
}

/* ---- the report ---- */

static void report(void)
{
    const struct tally *from = &load.begin.tally;
    const struct tally *to = &load.end.tally;
    double seconds = (double)(load.end.time_ns - load.begin.time_ns) / 1e9;
    int64_t requests = to->requests - from->requests;
    printf("{\"requests\": %" PRId64 ", \"errors\": %" PRId64 ", \"first_error\": \"%s\", "
           "\"unanswered\": %" PRId64 ", \"requests_total\": %" PRId64 ", ",
           requests, load.tally.errors, load.tally.first_error, load.busy_n,
           load.tally.requests + load.tally.errors);
    printf("\"seconds\": %.6f, \"rate\": %.3f, \"asked_rate\": %.3f, \"late\": %" PRId64 ", ",
           seconds, (double)requests / seconds, load.rate, load.end.late);
    printf("\"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, ",
           (double)histogram_quantile(&load.latency, 0.5) / 1e3,
           (double)histogram_quantile(&load.latency, 0.9) / 1e3,
           (double)histogram_quantile(&load.latency, 0.99) / 1e3, (double)load.latency.max / 1e3);
    printf("\"events\": %" PRId64 ", \"bytes\": %" PRId64 ", \"connects\": %" PRId64
           ", \"tls_resumed\": %" PRId64 ", ",
           to->events - from->events, to->bytes - from->bytes, load.tally.connects,
           load.tally.tls_resumed);
    printf("\"cpu_us\": %.3f, \"own_cpu_us\": %.3f}\n",
           (double)(load.end.cpu_ns - load.begin.cpu_ns) / 1e3,
           (double)(load.end.own_cpu_ns - load.begin.own_cpu_ns) / 1e3);
}

static void report_hold(void)
{
    printf("{\"held\": %" PRId64 ", \"errors\": %" PRId64 ", \"first_error\": \"%s\"}\n",
           load.holding_n, load.tally.errors, load.tally.first_error);
}

/* ---- options ---- */

static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                        {"prompt", required_argument, NULL, 'b'},
                                        {"path", required_argument, NULL, 'u'},
                                        {"key", required_argument, NULL, 'k'},
                                        {"connections", required_argument, NULL, 'c'},
                                        {"rate", required_argument, NULL, 'r'},
                                        {"seconds", required_argument, NULL, 's'},
                                        {"warmup", required_argument, NULL, 'w'},
                                        {"expect-events", required_argument, NULL, 'e'},
                                        {"min-body", required_argument, NULL, 'm'},
                                        {"per-connection", required_argument, NULL, 'n'},
                                        {"cpu-of", required_argument, NULL, 'C'},
                                        {"tls", no_argument, NULL, 't'},
                                        {"hold", no_argument, NULL, 'h'},
                                        {0}};

static const char usage[] =
    "usage: benchload --port PORT --prompt FILE [--path /v1/chat/completions] [--key KEY]\n"
    "  [--connections 32] [--rate R/s (without: closed loop)] [--seconds 2] [--warmup 0.5]\n"
    "  [--expect-events N (a stream)] [--min-body BYTES] [--per-connection REQUESTS]\n"
    "  [--tls] [--hold] [--cpu-of PID,PID]";

static void build_request(const char *body_path, const char *path, const char *key)
{
    size_t body_len;
    if (!body_path)
        bench_die("%s", usage);
    char *body = bench_read_file(body_path, &body_len);
    size_t head_cap = strlen(path) + strlen(key) + 512;
    char *request = bench_alloc(1, head_cap + body_len);
    int head_len = snprintf(request, head_cap,
                            "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json\r\n"
                            "Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.54.3\r\n"
                            "%s%s%sContent-Length: %zu\r\n\r\n",
                            path, load.plan.port, *key ? "Authorization: Bearer " : "", key,
                            *key ? "\r\n" : "", body_len);
    memcpy(request + head_len, body, body_len);
    bench_free(body);
    load.plan.request = request;
    load.plan.request_len = (size_t)head_len + body_len;
}

static void read_options(int argc, char **argv)
{
    const char *body_path = NULL;
    const char *path = "/v1/chat/completions";
    const char *key = "";
    load.plan.min_body = 1;
    load.clients_n = 32;
    load.seconds = 2;
    load.warmup = 0.5;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'p': load.plan.port = (int)bench_parse_int("--port", optarg, 1, 65535); break;
        case 'b': body_path = optarg; break;
        case 'u': path = optarg; break;
        case 'k': key = optarg; break;
        case 'c': load.clients_n = bench_parse_int("--connections", optarg, 1, 60000); break;
        case 'r': load.rate = bench_parse_real("--rate", optarg, 0.001, 1e7); break;
        case 's': load.seconds = bench_parse_real("--seconds", optarg, 0.01, 1e6); break;
        case 'w': load.warmup = bench_parse_real("--warmup", optarg, 0, 1e6); break;
        case 'e':
            load.plan.expect_events = bench_parse_int("--expect-events", optarg, 1, 1000000);
            break;
        case 'm': load.plan.min_body = bench_parse_int("--min-body", optarg, 0, INT32_MAX); break;
        case 'n':
            load.plan.per_connection = bench_parse_int("--per-connection", optarg, 1, INT32_MAX);
            break;
        case 'C': cputime_init(&load.watched, optarg); break;
        case 't': load.plan.tls = bench_tls_client(client_keep_session); break;
        case 'h': load.plan.hold = true; break;
        default: exit(2);
        }
    }
    if (load.plan.hold && !load.plan.expect_events)
        load.plan.expect_events = 1;
    if (!load.plan.port)
        bench_die("%s", usage);
    build_request(body_path, path, key);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    bench_raise_files(load.clients_n + FILES_SPARE);
    load.signal_fd = bench_signals_open();
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event on_signal = {.events = EPOLLIN, .data.ptr = NULL};
    if (load.epoll_fd < 0 || epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, load.signal_fd, &on_signal))
        bench_die("epoll: %s", strerror(errno));
    load.clients = bench_alloc((size_t)load.clients_n, sizeof(struct client));
    for (int64_t i = 0; i < load.clients_n; i++)
        load.clients[i].link.fd = -1;
    run();
    if (load.plan.hold)
        report_hold();
    else
        report();
    return load.tally.errors || load.busy_n ? 1 : 0;
}
