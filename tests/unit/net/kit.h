/* What the tests of connections share: a loop that is run turn by turn, raw ends of sockets with or
 * without TLS, a server that writes down what it is told, and calls to upstreams. All in one
 * thread. */
#ifndef TESTS_NET_KIT_H
#define TESTS_NET_KIT_H

#include <openssl/ssl.h>

#include "base/clock.h"
#include "check.h"
#include "net/server.h"
#include "net/upstream.h"

#define PATIENCE_NS (10 * NS_PER_S)

struct kit {
    struct block_budget budget;
    struct net_loop loop;
    uv_timer_t beat; /* so that a turn never waits for long */
};

void kit_init(struct kit *k);
void kit_done(struct kit *k);
/* One turn of the loop, of a few milliseconds at most. */
void kit_turn(struct kit *k);
void kit_run_for(struct kit *k, int64_t ns);

/* Runs the loop until `cond` holds. */
#define RUN_UNTIL(k, cond)                                                                         \
    do {                                                                                           \
        int64_t until_ns_ = clock_mono_ns() + PATIENCE_NS;                                         \
        while (!(cond)) {                                                                          \
            if (clock_mono_ns() > until_ns_)                                                       \
                check_fail(CHECK_AT(#cond), "does not come true");                                 \
            kit_turn(k);                                                                           \
        }                                                                                          \
    } while (0)

/* A listening socket at 127.0.0.1. */
int kit_listen(uint16_t *ret_port);

/* The raw end of a connection. */
struct end {
    struct kit *kit;
    int fd;
    SSL *ssl;
    SSL_SESSION *resume; /* for end_tls, or NULL; the caller's */
    struct buf in;       /* what has come, and was not taken yet */
    bool eof;            /* the peer has ended; with TLS: by close_notify */
    bool broken;         /* reset, or TLS ended without close_notify */
};

void end_connect(struct end *e, struct kit *k, uint16_t port);
void end_accept(struct end *e, struct kit *k, int listener);
/* Handshake; `name` is the SNI of a client. False: refused. */
bool end_tls(struct end *e, SSL_CTX *ctx, bool server, const char *name);
/* Sends all of it, running the loop. */
void end_send(struct end *e, struct slice text);
#define end_send_lit(e, lit) end_send((e), SLICE(lit))
/* Takes what has come, without waiting; at most `max` bytes. */
void end_read(struct end *e, size_t max);
/* Runs the loop until `text` has come, and drops all up to its end. */
void end_expect(struct end *e, const char *text);
/* Runs the loop until the peer has ended its direction in order, or broken the connection. */
void end_expect_eof(struct end *e);
void end_expect_broken(struct end *e);
void end_shutdown(struct end *e);
void end_close(struct end *e);
void end_reset(struct end *e);

/* A listener whose streams behave as their target says: "/hold" leaves the body alone, "/read" asks
 * for it and gives no answer; both wait for the test. All others answer "ok" at the body's end. */
struct server {
    struct kit *kit;
    struct net_listener *listener;
    struct net_server_counts counts;
    struct net_server_limits limits;
    struct net_server_ops ops;
    uint16_t port;
    struct net_stream *stream; /* the latest */
    struct buf log;            /* "POST /x|body|end|gone 0|drain|" */
};

/* Fills in what a test may change before server_start. */
void server_init(struct server *s, struct kit *k, struct net_listener_config *config);
void server_start(struct server *s, struct net_listener_config *config);
/* Runs the loop until `text` is in the log, and drops the log. */
void server_expect(struct server *s, const char *text);
void server_done(struct server *s);

enum cancel_in { CANCEL_NEVER, CANCEL_IN_HEAD, CANCEL_IN_BODY, CANCEL_IN_FLUSH };

/* One request to an upstream. */
struct call {
    struct net_lease lease;
    struct net_request request;
    struct kit *kit;
    unsigned status, heads, flushes, writables;
    struct buf body;
    bool last, ended, failed, refuse_reuse;
    unsigned cancel_in; /* enum cancel_in */
    enum net_fail why;
    char detail[200];
};

/* A GET of /; the request may be changed before call_start. */
void call_init(struct call *c, struct kit *k);
void call_start(struct call *c, struct upstream *u);
/* Waits for the end and frees what it holds; the answer was `status`. */
void call_expect(struct call *c, unsigned status, const char *body);
void call_expect_failure(struct call *c, enum net_fail why);
void call_done(struct call *c);

/* An upstream at 127.0.0.1:port. */
struct upstream *kit_upstream(uint16_t port, int64_t max_connections);
/* Accepts a connection and answers its request with "200 ok", or with `answer`. */
void serve_one(struct end *e, const char *answer);

/* Certificates, made at first use in a folder that goes away with the process: "ca", "other-ca";
 * signed by "ca": "good" (localhost, a.test, *.w.test, 127.0.0.1), "fresh" (the same names),
 * "wrong" (b.test), "expired", "client"; signed by "other-ca": "other". The paths stay valid. */
const char *cert_file(const char *name);
const char *key_file(const char *name);

#endif
