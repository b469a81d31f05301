/* The network as the gateway sees it, played by a test: the functions of net/loop.h, net/server.h
 * and net/upstream.h that the gateway calls, without sockets. Clients and upstreams do what the
 * test tells them, when it tells them; the clock stands still until it is moved. What the contracts
 * of those headers demand of their caller is checked on the way. */
#ifndef LOOPBACK_FAKE_NET_H
#define LOOPBACK_FAKE_NET_H

#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"
#include "net/server.h"
#include "net/upstream.h"

/* Bytes of the test's own; they are no allocations of the code under test. */
struct text {
    char *p;
    size_t n, size;
};
void text_add(struct text *t, struct slice s);
void text_done(struct text *t);
static inline struct slice text_view(const struct text *t)
{
    return slice_of(t->p, t->n);
}

/* --- clients */

enum client_state {
    CLIENT_OPEN,    /* waits for its answer, or gets it */
    CLIENT_ENDED,   /* has it, to its end */
    CLIENT_ABORTED, /* was cut off by the gateway */
    CLIENT_GONE,    /* went away */
};

struct net_stream {
    struct list node;
    struct net_listener *listener;
    void *data;
    enum client_state state;
    struct net_addr peer;
    int64_t started_ns;
    bool head_only;
    /* its body, as far as it has not been taken */
    struct text queued;
    size_t taken, piece; /* the gateway gets `piece` bytes at most at once; 0: all */
    bool queue_ends, end_told;
    bool wants_body, feeding;
    bool leaves;       /* as soon as it is asked for its body */
    bool sync_body;    /* what is there comes during net_stream_read_body, even inside on_request */
    int64_t announced; /* body bytes that the current chunk announces */
    /* how it takes its answer */
    size_t room;       /* bytes until it says WAIT; SIZE_MAX: never */
    size_t after_wait; /* bytes sent since it said WAIT */
    unsigned gone_at;  /* this send finds it gone; 0: none does */
    unsigned pauses;
    bool full, close_after;
    /* what it got */
    unsigned sends, status;
    int64_t content_length;
    struct text fields, body;
};

struct client_request {
    enum http_method method;
    const char *path;
    const char *fields;     /* "name: value\n" lines, or NULL */
    int64_t content_length; /* -1: none is said */
    bool chunked, sync_body;
    struct slice early_body; /* whole; it is there already when its head comes */
    bool early_gone;         /* its client leaves as soon as the body is asked for */
    unsigned gone_at;        /* of the stream */
};

/* A request arrives at the loop's listener. It is the caller's, to be freed by client_free when its
 * answer has ended or it is gone. */
struct net_stream *client_new(struct net_loop *loop, const struct client_request *r);
void client_free(struct net_stream *s);
/* More of its body; `last` ends it. The gateway gets it when it asks. */
void client_body(struct net_stream *s, struct slice piece, bool last);
/* Has taken what had to wait. */
void client_drain(struct net_stream *s);
/* Leaves; harmless when its answer has ended. */
void client_leave(struct net_stream *s, enum net_gone why);
/* A field of its answer, or SLICE_NONE. */
struct slice client_field(const struct net_stream *s, const char *name);

/* --- upstreams */

struct call;

struct upstream {
    _Atomic unsigned refs;
    struct slice authority;
    /* how new calls begin */
    bool refuses; /* fails at once, with `refusal` */
    enum net_fail refusal;
    enum lease_phase begins; /* LEASE_HEAD: the request is out */
    bool reused;
    /* called when a call has begun; may be NULL */
    void (*on_call)(struct upstream *u, struct call *c);
    void (*on_over)(struct upstream *u, struct call *c); /* before the gateway hears of its end */
    void *ctx;
    _Atomic unsigned calls;
};

/* One request at an upstream. It stays until the loop is done or call_forget, so that a test can
 * look at it after its lease is over. */
struct call {
    struct list node;
    struct net_loop *loop;
    struct net_lease *lease; /* NULL: it is over */
    struct upstream *upstream;
    unsigned number; /* of this loop, from 1 on */
    bool cancelled, ended, failed, reusable;
    bool written; /* the request's body is out of the gateway's memory */
    size_t room;  /* bytes of a streamed body that net_lease_write takes before it says no */
    enum http_method method;
    struct text target, fields, body;         /* of the request */
    struct slice parts[LEASE_BODY_PARTS_MAX]; /* where the gateway keeps it */
    unsigned parts_n, pauses;
    size_t body_bytes;
    bool streamed, has_body, body_ended;
};

struct upstream *fake_upstream(struct slice authority);
/* The calls of the loop, oldest first; NULL when there are fewer. */
struct call *call_at(struct net_loop *loop, unsigned i);
unsigned calls_made(const struct net_loop *loop);
unsigned calls_open(const struct net_loop *loop);
/* The youngest that is not over, or NULL. */
struct call *call_last_open(struct net_loop *loop);
void calls_forget(struct net_loop *loop); /* those that are over */

static inline bool call_paused(const struct call *c)
{
    return c->lease != NULL && c->lease->paused;
}
void call_phase(struct call *c, enum lease_phase phase);
/* `fields` as in client_request; `content_length` -1: chunked. */
void call_head(struct call *c, unsigned status, const char *fields, int64_t content_length);
void call_body(struct call *c, struct slice data, bool last);
void call_flush(struct call *c);
/* The answer is complete. Returns whether its connection may be used again. */
bool call_end(struct call *c);
void call_fail(struct call *c, enum net_fail why, const char *detail);
/* Takes `room` more bytes of a streamed request. */
void call_writable(struct call *c, size_t room);
/* Data and flush in one, as a read brings them. */
void call_piece(struct call *c, struct slice data);

/* --- the loop */

/* Handles the messages that have come and fires the timers that are due. */
void loop_turn(struct net_loop *loop);
/* Moves the clock and turns. */
void loop_advance(struct net_loop *loop, int64_t ns);
/* Completes what is on the thread pool. */
void loop_jobs(struct net_loop *loop);
/* From here on the loop's own thread turns it: the gateway is about to stop. */
void loop_let_run(struct net_loop *loop);
struct net_listener *loop_listener(struct net_loop *loop);
void *listener_ctx(const struct net_listener *l);
bool listener_draining(const struct net_listener *l);
int listener_updates(const struct net_listener *l);

/* In the threads of gateways that start from now on, loops run freely on the real clock and call
 * `fn` whenever they have nothing else to do, until net_loop_stop. NULL: loops stand still, and the
 * test turns them. */
typedef void loop_work_fn(struct net_loop *loop);
void loops_run_free(loop_work_fn *fn);

#endif
