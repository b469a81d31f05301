/* The fault server: a thread with a loop of its own. */
#include "fire_server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "net/server.h"

#define BODY_BYTES ((size_t)1 << 20)
#define MSG_STOP   NET_MSG_FREE

struct fire_server {
    struct net_loop loop;
    struct block_budget budget;
    struct net_server_counts counts;
    struct fire_endpoint *list;
    size_t n;
    const char *dir;
    atomic_bool hush; /* the next one that is silent once is so */
    pthread_t thread;
    bool runs;
};

/* A request that is coming in, or waits for ever. */
struct ask {
    struct fire_endpoint *endpoint;
    struct buf body;
    bool stream;
};

const char *fire_fault_name(enum fire_fault f)
{
    static const char *const names[] = {
#define X(id, name) name,
        FIRE_FAULTS(X)
#undef X
    };
    return names[f];
}

/* ---- answers; on the server's thread */

static void ask_free(struct ask *a)
{
    buf_done(&a->body);
    mem_free(a);
}

static void respond(struct net_stream *s, unsigned status, struct slice fields, struct slice body,
                    bool cut)
{
    struct net_answer head = {.status = status,
                              .fields = fields,
                              .content_length = cut ? -1 : (int64_t)body.n,
                              .close = true};
    if (cut)
        net_stream_cut_after(s);
    (void)!net_stream_send(s, &head, &body, 1, true);
}

static void answer_well(struct net_stream *s, const struct ask *a, unsigned piece_n)
{
    const struct llm_provider *row = a->endpoint->row;
    struct buf out;
    buf_init(&out, BODY_BYTES);
    fire_put_answer(&out, row, a->stream, a->stream ? piece_n : 0, buf_view(&a->body));
    respond(s, out.failed ? 500 : 200, fire_content_type(row, a->stream), buf_view(&out),
            piece_n > 0 && a->stream);
    buf_done(&out);
}

static void answer(struct net_stream *s, const struct ask *a)
{
    const struct slice json = SLICE("Content-Type: application/json\r\n"),
                       html = SLICE("Content-Type: text/html\r\n"),
                       later = SLICE("Content-Type: application/json\r\nRetry-After: 1\r\n"),
                       failed = SLICE("{\"error\":{\"message\":\"fault server\"}}"),
                       page = SLICE("<html><body>Down for maintenance.</body></html>");
    switch ((enum fire_fault)a->endpoint->fault) {
    case FAULT_STATUS_500: respond(s, 500, json, failed, false); break;
    case FAULT_STATUS_429: respond(s, 429, later, failed, false); break;
    case FAULT_HTML: respond(s, 200, html, page, false); break;
    case FAULT_CUT:
        respond(s, 200, fire_content_type(a->endpoint->row, a->stream), SLICE_NONE, true);
        break;
    case FAULT_CUT_LATER: answer_well(s, a, 3); break;
    default: answer_well(s, a, 0); break;
    }
}

static void on_request(struct net_stream *s, const struct http_head *head, void *ctx)
{
    struct ask *a = mem_calloc(1, sizeof *a);
    if (a == NULL) {
        respond(s, 503, SLICE_NONE, SLICE_NONE, false);
        return;
    }
    a->endpoint = ctx;
    a->endpoint->asked++;
    a->stream = slice_is(http_field_get(head, HTTP_ACCEPT), "text/event-stream");
    buf_init(&a->body, BODY_BYTES);
    net_stream_set_data(s, a);
    net_stream_read_body(s);
}

static void on_body(struct net_stream *s, struct slice data)
{
    struct ask *a = net_stream_data(s);
    buf_slice(&a->body, data);
}

static void on_body_end(struct net_stream *s)
{
    struct ask *a = net_stream_data(s);
    int fault = a->endpoint->fault;
    if (fault == FAULT_SILENCE ||
        (fault == FAULT_SILENT_ONCE && atomic_exchange(&a->endpoint->server->hush, false)))
        return; /* until the client has had enough */
    answer(s, a);
    ask_free(a);
}

static void on_gone(struct net_stream *s, enum net_gone why)
{
    (void)why;
    ask_free(net_stream_data(s));
}

static void on_drain(struct net_stream *s)
{
    (void)s;
}

static void on_refuse(unsigned status, const char *why, struct buf *body, void *ctx)
{
    (void)status, (void)ctx;
    buf_slice(body, slice_str(why));
}

static const struct net_server_ops ops = {.on_request = on_request,
                                          .on_body = on_body,
                                          .on_body_end = on_body_end,
                                          .on_gone = on_gone,
                                          .on_drain = on_drain,
                                          .on_refuse = on_refuse};

static void on_stop(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    struct fire_server *s = ctx;
    (void)msg;
    for (size_t i = 0; i < s->n; i++)
        net_listener_free(s->list[i].listener);
    net_loop_stop(loop);
}

static void *run(void *arg)
{
    struct fire_server *s = arg;
    net_loop_run(&s->loop);
    return NULL;
}

/* ---- sockets */

/* Makes `path` a link to `to`, at once. */
static bool point(const char *path, const char *to)
{
    char next[256];
    snprintf(next, sizeof next, "%s+", path);
    unlink(next);
    return symlink(to, next) == 0 && rename(next, path) == 0;
}

void fire_fault_set(struct fire_endpoint *e, enum fire_fault f)
{
    char to[24];
    size_t i = (size_t)(e - e->server->list);
    bool refuses = f == FAULT_REFUSED;
    if (refuses != (e->fault == FAULT_REFUSED)) {
        snprintf(to, sizeof to, refuses ? "closed" : "on%zu", i);
        if (!point(e->path, to))
            NEVER("a folder of our own takes a link");
    }
    e->fault = f;
}

void fire_server_hush(struct fire_server *s)
{
    s->hush = true;
}

/* A socket that is there, and where nobody listens. */
static bool make_closed(const char *dir)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/closed", dir);
    bool ok = fd >= 0 && n > 0 && (size_t)n < sizeof un.sun_path &&
              bind(fd, (const struct sockaddr *)&un, sizeof un) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool open_endpoint(struct fire_server *s, size_t i, struct arena *a)
{
    struct fire_endpoint *e = &s->list[i];
    char to[24];
    struct slice at = arena_printf(a, "unix:%s/on%zu", s->dir, i);
    struct slice path = arena_printf(a, "%s/%zu", s->dir, i);
    e->server = s;
    e->path = path.p != NULL ? arena_str(a, path) : NULL;
    int fd = e->path != NULL && at.p != NULL ? net_listen(at, false) : -ENOMEM;
    struct net_listener_config config = {.fd = fd,
                                         .unix_socket = true,
                                         .limits = {.head_ns = 60 * NS_PER_S,
                                                    .idle_ns = 60 * NS_PER_S,
                                                    .body_ns = 60 * NS_PER_S,
                                                    .write_ns = 60 * NS_PER_S},
                                         .ops = &ops,
                                         .ctx = e,
                                         .counts = &s->counts};
    e->listener = fd >= 0 ? net_listener_new(&s->loop, &config) : NULL;
    snprintf(to, sizeof to, "on%zu", i);
    const struct upstream_config up = {.unix_path = path};
    e->upstream = e->listener != NULL && point(e->path, to) ? upstream_new(&up) : NULL;
    return e->upstream != NULL;
}

struct fire_server *fire_server_new(struct fire_endpoint *list, size_t n, const char *dir,
                                    struct arena *a, struct buf *errors)
{
    struct fire_server *s = mem_must(mem_calloc(1, sizeof *s));
    s->list = list;
    s->n = n;
    s->dir = dir;
    s->budget.limit_bytes = INT64_MAX;
    s->counts.limit = INT64_MAX;
    bool ok = net_loop_init(&s->loop, 1024, &s->budget) == 0;
    if (!ok) {
        mem_free(s);
        buf_lit(errors, "the fault server has no event loop\n");
        return NULL;
    }
    net_loop_on_message(&s->loop, MSG_STOP, on_stop, s);
    ok = make_closed(dir);
    for (size_t i = 0; i < n && ok; i++)
        ok = open_endpoint(s, i, a);
    if (ok && thread_start(&s->thread, run, s)) {
        s->runs = true;
        return s;
    }
    buf_printf(errors, "the fault server cannot listen in %s: %s\n", dir, strerror(errno));
    fire_server_free(s);
    return NULL;
}

static void remove_files(const struct fire_server *s)
{
    char path[256];
    for (size_t i = 0; i < s->n; i++) {
        snprintf(path, sizeof path, "%s/on%zu", s->dir, i);
        unlink(path);
        if (s->list[i].path != NULL)
            unlink(s->list[i].path);
    }
    snprintf(path, sizeof path, "%s/closed", s->dir);
    unlink(path);
}

void fire_server_free(struct fire_server *s)
{
    if (s == NULL)
        return;
    if (s->runs) {
        const struct mailbox_msg stop = {.kind = MSG_STOP};
        if (!net_loop_post(&s->loop, stop))
            NEVER("nobody else posts to it");
        pthread_join(s->thread, NULL);
    }
    net_loop_done(&s->loop);
    for (size_t i = 0; i < s->n; i++)
        upstream_unref(s->list[i].upstream);
    remove_files(s);
    mem_free(s);
}
