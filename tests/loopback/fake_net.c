/* The played network: clients and the listener. See fake_net.h. */
#include "fake_net.h"

#include <stdlib.h>

#include "fake_loop.h"

void text_add(struct text *t, struct slice s)
{
    if (t->n + s.n + 1 > t->size) {
        t->size = (t->n + s.n + 1) * 2;
        t->p = realloc(t->p, t->size);
        ASSERT(t->p != NULL);
    }
    if (s.n > 0)
        memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
    t->p[t->n] = '\0';
}

void text_done(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

/* A copy that a sanitizer sees when it is read after the call for which it was made. */
struct slice fresh_copy(struct slice s)
{
    char *p = malloc(s.n + 1);
    ASSERT(p != NULL);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return slice_of(p, s.n);
}

void fresh_free(struct slice s)
{
    free((char *)(uintptr_t)s.p);
}

unsigned fields_parse(struct slice lines, struct http_field *ret)
{
    unsigned n = 0;
    while (lines.n > 0) {
        struct slice value = slice_cut(&lines, '\n'), name = slice_cut(&value, ':');
        if (name.n == 0)
            continue;
        ASSERT(n < HTTP_FIELDS_MAX);
        ret[n++] =
            (struct http_field){.name = name, .value = slice_trim(value), .id = http_name_of(name)};
    }
    return n;
}

static bool has_any(struct slice s, const char *bytes, size_t n)
{
    for (size_t i = 0; i < s.n; i++) {
        if (memchr(bytes, s.p[i], n) != NULL)
            return true;
    }
    return false;
}

void fields_check(struct slice lines)
{
    while (lines.n > 0) {
        ptrdiff_t lf = slice_find(lines, '\n');
        ASSERT(lf > 3 && lines.p[lf - 1] == '\r'); /* a whole line */
        struct slice value = slice_of(lines.p, (size_t)lf - 1), name = slice_cut(&value, ':');
        ASSERT(name.n > 0 && !has_any(name, " \t\r\n\0\"(),/;<=>?@[\\]{}", 22));
        ASSERT(value.n > 1 && *value.p == ' ' && !has_any(value, "\r\n\0", 3));
        lines = slice_from(lines, (size_t)lf + 1);
    }
}

/* --- the listener */

struct net_listener {
    struct net_listener_config config;
    struct net_loop *loop;
    struct list clients;
    bool stopped, draining;
    int updates;
};

struct net_listener *net_listener_new(struct net_loop *loop,
                                      const struct net_listener_config *config)
{
    struct net_listener *l = calloc(1, sizeof *l);
    ASSERT(l != NULL);
    l->config = *config;
    l->loop = loop;
    list_init(&l->clients);
    fake_of(loop)->listener = l;
    return l;
}

void net_listener_update(struct net_listener *l, struct tls_server_context *tls,
                         const struct net_server_limits *limits)
{
    ASSERT(tls == NULL);
    l->config.limits = *limits;
    l->updates++;
}

void net_listener_stop(struct net_listener *l)
{
    l->stopped = true;
}

void net_listener_drain(struct net_listener *l)
{
    l->draining = true;
}

void net_listener_free(struct net_listener *l)
{
    list_foreach (it, &l->clients)
        client_leave(container_of(it, struct net_stream, node), NET_GONE_SHUTDOWN);
    list_foreach (it, &l->clients) { /* they outlive it, for the test to look at */
        struct net_stream *s = container_of(it, struct net_stream, node);
        list_remove(it);
        s->listener = NULL;
    }
    fake_of(l->loop)->listener = NULL;
    free(l);
}

void *listener_ctx(const struct net_listener *l)
{
    return l->config.ctx;
}

bool listener_draining(const struct net_listener *l)
{
    return l->stopped && l->draining;
}

int listener_updates(const struct net_listener *l)
{
    return l->updates;
}

struct net_clients *net_clients_new(int64_t cap, int64_t connections)
{
    (void)cap, (void)connections;
    return NULL;
}

void net_clients_free(struct net_clients *t)
{
    ASSERT(t == NULL);
}

void tls_server_context_unref(struct tls_server_context *c)
{
    ASSERT(c == NULL);
}

/* --- clients, as the test sees them */

static const struct net_server_ops *ops_of(const struct net_stream *s)
{
    return s->listener->config.ops;
}

/* Gives the gateway what it has asked for. */
static void pump(struct net_stream *s)
{
    bool outer = !s->feeding;
    s->feeding = true;
    while (s->wants_body && s->state == CLIENT_OPEN && s->taken < s->queued.n) {
        size_t n = s->queued.n - s->taken;
        n = s->piece > 0 ? MIN_OF(n, s->piece) : n;
        struct slice data = fresh_copy(slice_of(s->queued.p + s->taken, n));
        s->taken += n;
        ops_of(s)->on_body(s, data);
        fresh_free(data);
    }
    bool all = s->queue_ends && s->taken == s->queued.n;
    if (s->wants_body && s->state == CLIENT_OPEN && all && !s->end_told) {
        s->end_told = true;
        ops_of(s)->on_body_end(s);
    }
    s->feeding = s->feeding && !outer;
}

static void tell_request(struct net_stream *s, const struct client_request *r)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct slice target = fresh_copy(slice_str(r->path));
    struct slice lines = fresh_copy(slice_str(r->fields != NULL ? r->fields : ""));
    struct slice path = target;
    ptrdiff_t mark = slice_find(path, '?');
    if (mark >= 0)
        path.n = (size_t)mark;
    struct http_head h = {
        .method = r->method,
        .target = target,
        .path = path,
        .query = mark >= 0 ? slice_from(target, (size_t)mark + 1) : SLICE_NONE,
        .minor = 1,
        .content_length = r->content_length,
        .chunked = r->chunked,
        .keep_alive = true,
        .fields = fields,
        .fields_n = fields_parse(lines, fields),
    };
    s->feeding = true; /* the head stands in front of a body that is still being read */
    ops_of(s)->on_request(s, &h, s->listener->config.ctx);
    s->feeding = false;
    fresh_free(target);
    fresh_free(lines);
    pump(s);
}

struct net_stream *client_new(struct net_loop *loop, const struct client_request *r)
{
    struct net_listener *l = loop_listener(loop);
    struct net_stream *s = calloc(1, sizeof *s);
    ASSERT(s != NULL && l != NULL);
    s->listener = l;
    s->room = SIZE_MAX;
    s->content_length = -1;
    s->head_only = r->method == HTTP_HEAD;
    s->sync_body = r->sync_body;
    s->leaves = r->early_gone;
    s->gone_at = r->gone_at;
    s->queue_ends = r->early_body.n > 0;
    text_add(&s->queued, r->early_body);
    s->started_ns = net_now(loop);
    s->peer = (struct net_addr){.family = AF_INET, .bytes = {127, 0, 0, 1}, .port = 999};
    list_push_back(&l->clients, &s->node);
    tell_request(s, r);
    return s;
}

void client_free(struct net_stream *s)
{
    if (s == NULL)
        return;
    ASSERT(s->state != CLIENT_OPEN);
    list_remove(&s->node);
    text_done(&s->queued);
    text_done(&s->fields);
    text_done(&s->body);
    free(s);
}

void client_body(struct net_stream *s, struct slice piece, bool last)
{
    text_add(&s->queued, piece);
    s->queue_ends |= last;
    pump(s);
}

void client_drain(struct net_stream *s)
{
    if (!s->full)
        return;
    s->full = false;
    s->after_wait = 0;
    if (s->state == CLIENT_OPEN)
        ops_of(s)->on_drain(s);
}

void client_leave(struct net_stream *s, enum net_gone why)
{
    if (s->state != CLIENT_OPEN)
        return;
    s->state = CLIENT_GONE;
    ops_of(s)->on_gone(s, why);
}

struct slice client_field(const struct net_stream *s, const char *name)
{
    struct slice lines = text_view(&s->fields);
    while (lines.n > 0) {
        struct slice value = slice_cut(&lines, '\n'), key = slice_cut(&value, ':');
        if (slice_eq_nocase(key, slice_str(name))) {
            value.n -= value.n > 0 && value.p[value.n - 1] == '\r';
            return slice_trim(value);
        }
    }
    return SLICE_NONE;
}

/* --- clients, as the gateway sees them */

static void take_head(struct net_stream *s, const struct net_answer *head)
{
    ASSERT(s->status == 0); /* once */
    ASSERT(head->status >= 200 && head->status < 600);
    s->status = head->status;
    s->content_length = head->content_length;
    s->close_after |= head->close;
    fields_check(head->fields);
    text_add(&s->fields, head->fields);
}

enum net_sent net_stream_send(struct net_stream *s, const struct net_answer *head,
                              const struct slice *parts, unsigned n, bool end)
{
    ASSERT(s->state == CLIENT_OPEN && n <= 8);
    if (++s->sends == s->gone_at) {
        s->state = CLIENT_GONE;
        return NET_SENT_GONE;
    }
    if (head != NULL)
        take_head(s, head);
    ASSERT(s->status != 0);
    size_t before = s->body.n;
    for (unsigned i = 0; i < n && !s->head_only; i++)
        text_add(&s->body, parts[i]);
    if (s->full)
        s->after_wait += s->body.n - before;
    if (s->content_length >= 0 && !s->head_only) {
        ASSERT(s->body.n <= (size_t)s->content_length);
        ASSERT(!end || s->body.n == (size_t)s->content_length);
    }
    if (end) {
        s->state = CLIENT_ENDED;
        s->data = NULL;
    }
    s->room -= s->room == SIZE_MAX ? 0 : MIN_OF(s->room, s->body.n - before);
    s->full |= s->room == 0;
    return s->full ? NET_SENT_WAIT : NET_SENT_ALL;
}

void net_stream_cut_after(struct net_stream *s)
{
    ASSERT(s->state == CLIENT_OPEN);
    s->close_after = true;
}

void net_stream_abort(struct net_stream *s)
{
    ASSERT(s->state == CLIENT_OPEN);
    s->state = CLIENT_ABORTED;
}

void net_stream_read_body(struct net_stream *s)
{
    ASSERT(s->state == CLIENT_OPEN);
    s->wants_body = true;
    if (s->leaves)
        client_leave(s, NET_GONE_CLOSED);
    else if (s->sync_body || !s->feeding)
        pump(s);
}

void net_stream_pause_body(struct net_stream *s)
{
    ASSERT(s->state == CLIENT_OPEN);
    s->wants_body = false;
    s->pauses++;
}

int64_t net_stream_body_bytes(const struct net_stream *s)
{
    return (int64_t)s->taken + s->announced;
}

void net_stream_set_data(struct net_stream *s, void *data)
{
    s->data = data;
}

void *net_stream_data(const struct net_stream *s)
{
    ASSERT(s->data != NULL);
    return s->data;
}

const struct net_addr *net_stream_peer(const struct net_stream *s)
{
    return &s->peer;
}

int64_t net_stream_started_ns(const struct net_stream *s)
{
    return s->started_ns;
}
