/* The played network: upstreams and the calls that are made to them. See fake_net.h. */
#include <stdlib.h>

#include "fake_loop.h"

#define LEASE_MAGIC 0x4c454153u

struct upstream *fake_upstream(struct slice authority)
{
    struct upstream *u = calloc(1, sizeof *u);
    ASSERT(u != NULL);
    u->refs = 1;
    u->authority = authority;
    u->begins = LEASE_HEAD;
    return u;
}

struct upstream *upstream_ref(struct upstream *u)
{
    u->refs++;
    return u;
}

void upstream_unref(struct upstream *u)
{
    if (u != NULL && --u->refs == 0)
        free(u);
}

struct slice upstream_authority(const struct upstream *u)
{
    return u->authority;
}

/* --- calls, as the test sees them */

struct call *call_at(struct net_loop *loop, unsigned i)
{
    list_foreach (it, &fake_of(loop)->calls) {
        if (i-- == 0)
            return container_of(it, struct call, node);
    }
    return NULL;
}

unsigned calls_made(const struct net_loop *loop)
{
    return loop->pools->calls_made;
}

unsigned calls_open(const struct net_loop *loop)
{
    unsigned n = 0;
    list_foreach (it, &loop->pools->calls)
        n += container_of(it, struct call, node)->lease != NULL;
    return n;
}

struct call *call_last_open(struct net_loop *loop)
{
    struct call *last = NULL;
    list_foreach (it, &fake_of(loop)->calls) {
        struct call *c = container_of(it, struct call, node);
        last = c->lease != NULL ? c : last;
    }
    return last;
}

static void forget(struct call *c)
{
    list_remove(&c->node);
    upstream_unref(c->upstream);
    text_done(&c->target);
    text_done(&c->fields);
    text_done(&c->body);
    free(c);
}

void calls_forget(struct net_loop *loop)
{
    list_foreach (it, &fake_of(loop)->calls) {
        struct call *c = container_of(it, struct call, node);
        if (c->lease == NULL)
            forget(c);
    }
}

void calls_free(struct net_loop *loop)
{
    list_foreach (it, &fake_of(loop)->calls)
        forget(container_of(it, struct call, node));
}

/* The request's body has to stay where it is as long as it may still be read from there. */
static void check_body_in_place(const struct call *c)
{
    size_t at = 0;
    for (unsigned i = 0; i < c->parts_n && !c->written; i++) {
        ASSERT(slice_eq(c->parts[i], slice_of(c->body.p + at, c->parts[i].n)));
        at += c->parts[i].n;
    }
}

/* The lease is over; what hangs on it is checked a last time. */
static struct net_lease *finish(struct call *c)
{
    struct net_lease *l = TAKE(c->lease);
    ASSERT(l != NULL);
    check_body_in_place(c);
    if (c->upstream->on_over != NULL)
        c->upstream->on_over(c->upstream, c);
    l->phase = LEASE_DONE;
    return l;
}

void call_phase(struct call *c, enum lease_phase phase)
{
    ASSERT(c->lease != NULL && phase < LEASE_BODY);
    c->lease->phase = phase;
    c->lease->phase_since_ns = net_now(c->loop);
    if (phase >= LEASE_WRITE && c->lease->sent_ns == 0)
        c->lease->sent_ns = net_now(c->loop);
    c->written = phase == LEASE_HEAD;
}

void call_head(struct call *c, unsigned status, const char *fields, int64_t content_length)
{
    struct net_lease *l = c->lease;
    struct http_field parsed[HTTP_FIELDS_MAX];
    struct slice lines = fresh_copy(slice_str(fields != NULL ? fields : ""));
    struct http_head h = {
        .status = status,
        .minor = 1,
        .content_length = content_length,
        .chunked = content_length < 0,
        .keep_alive = true,
        .fields = parsed,
        .fields_n = fields_parse(lines, parsed),
    };
    ASSERT(l != NULL && l->phase < LEASE_BODY);
    l->phase = LEASE_BODY;
    l->body_sent = c->written;
    l->phase_since_ns = net_now(c->loop);
    l->ops->on_head(l, &h);
    fresh_free(lines);
}

void call_body(struct call *c, struct slice data, bool last)
{
    struct net_lease *l = c->lease;
    struct slice copy = fresh_copy(data);
    ASSERT(l != NULL && l->phase == LEASE_BODY && data.n > 0);
    check_body_in_place(c);
    l->ops->on_body(l, copy, last);
    if (last && c->lease != NULL)
        call_end(c); /* with the piece still readable, as from a read window */
    fresh_free(copy);
}

void call_flush(struct call *c)
{
    struct net_lease *l = c->lease;
    ASSERT(l != NULL && l->phase == LEASE_BODY);
    l->ops->on_flush(l);
}

bool call_end(struct call *c)
{
    struct net_lease *l = finish(c);
    c->ended = true;
    c->reusable = l->ops->on_end(l);
    return c->reusable;
}

void call_fail(struct call *c, enum net_fail why, const char *detail)
{
    struct net_lease *l = finish(c);
    c->failed = true;
    l->ops->on_fail(l, why, detail);
}

void call_writable(struct call *c, size_t room)
{
    struct net_lease *l = c->lease;
    ASSERT(l != NULL && c->streamed);
    c->room = room;
    l->ops->on_writable(l);
}

void call_piece(struct call *c, struct slice data)
{
    if (c->lease != NULL && data.n > 0)
        call_body(c, data, false);
    if (c->lease != NULL)
        call_flush(c);
}

/* --- leases, as the gateway sees them */

static struct call *call_of(const struct net_lease *l)
{
    list_foreach (it, &l->loop->pools->calls) {
        struct call *c = container_of(it, struct call, node);
        if (c->lease == l)
            return c;
    }
    return NULL;
}

static void keep_request(struct call *c, const struct net_request *r)
{
    size_t bytes = 0;
    fields_check(r->fields);
    fields_check(r->more_fields);
    c->method = r->method;
    text_add(&c->target, r->target);
    text_add(&c->fields, r->fields);
    text_add(&c->fields, r->more_fields);
    ASSERT(r->target.n > 0 && *r->target.p == '/' && r->body_parts <= LEASE_BODY_PARTS_MAX);
    for (unsigned i = 0; i < r->body_parts; i++) {
        c->parts[i] = r->body[i];
        text_add(&c->body, r->body[i]);
        bytes += r->body[i].n;
    }
    c->parts_n = r->body_parts;
    c->streamed = r->streamed;
    c->has_body = r->has_body;
    c->body_bytes = r->body_bytes;
    ASSERT(r->streamed || bytes == r->body_bytes);
}

void net_lease_start(struct net_lease *l, struct net_loop *loop, struct upstream *u,
                     const struct net_request *r, const struct net_lease_ops *ops)
{
    struct call *c = calloc(1, sizeof *c);
    ASSERT(c != NULL);
    *l = (struct net_lease){.magic = LEASE_MAGIC,
                            .phase = u->begins,
                            .phase_since_ns = net_now(loop),
                            .sent_ns = u->begins >= LEASE_WRITE ? net_now(loop) : 0,
                            .loop = loop,
                            .upstream = u,
                            .ops = ops,
                            .request = r,
                            .reused = u->reused};
    c->loop = loop;
    c->lease = l;
    c->upstream = upstream_ref(u);
    c->number = ++fake_of(loop)->calls_made;
    c->room = SIZE_MAX;
    keep_request(c, r);
    u->calls++;
    list_push_back(&fake_of(loop)->calls, &c->node);
    c->written = u->begins == LEASE_HEAD;
    if (u->on_call != NULL)
        u->on_call(u, c);
    if (u->refuses) {
        call_fail(c, u->refusal, "");
    } else if (r->streamed) {
        l->phase = LEASE_WRITE;
        ops->on_writable(l);
    }
}

bool net_lease_write(struct net_lease *l, struct slice piece, bool last)
{
    struct call *c = call_of(l);
    ASSERT(c != NULL && c->streamed && !c->body_ended);
    if (l->phase != LEASE_WRITE)
        return true; /* it has answered already */
    text_add(&c->body, piece);
    c->body_ended = last;
    l->phase = last ? LEASE_HEAD : LEASE_WRITE;
    l->phase_since_ns = net_now(c->loop);
    c->room -= c->room == SIZE_MAX ? 0 : MIN_OF(c->room, piece.n);
    return c->room > 0;
}

void net_lease_cancel(struct net_lease *l)
{
    if (l->magic != LEASE_MAGIC || l->phase == LEASE_DONE)
        return;
    struct call *c = call_of(l);
    ASSERT(c != NULL);
    finish(c);
    c->cancelled = true;
}

void net_lease_pause(struct net_lease *l)
{
    struct call *c = l->magic == LEASE_MAGIC ? call_of(l) : NULL;
    if (c != NULL)
        c->pauses++;
    l->paused = true;
}

void net_lease_resume(struct net_lease *l)
{
    l->paused = false;
}

const char *net_fail_text(enum net_fail f)
{
    static const char *const texts[] = {
#define X(id, name, text) text,
        NET_FAILS(X)
#undef X
    };
    return texts[f];
}
