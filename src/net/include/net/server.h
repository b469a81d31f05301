/* The listening side: client streams, each one request and its answer. A connection may one day
 * carry many streams; today it carries one after the other. */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include "net/addr.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls_context.h"

struct net_stream;

/* Time limits on clients. */
struct net_server_limits {
    int64_t head_ns;  /* from the first byte of a head, or from accept, to its end */
    int64_t idle_ns;  /* between requests */
    int64_t body_ns;  /* without any byte of the body; also the window of the minimum rate */
    int64_t write_ns; /* without the client taking any byte */
};

enum net_gone {
    NET_GONE_CLOSED,  /* the client ended or broke the connection */
    NET_GONE_BROKEN,  /* its body is not valid HTTP */
    NET_GONE_TIMEOUT, /* it sent or took nothing for too long */
    NET_GONE_SHUTDOWN,
};

struct net_server_ops {
    /* A request has come. `head` is valid during the call only. The body waits for
     * net_stream_read_body. `ctx` is the listener's. */
    void (*on_request)(struct net_stream *s, const struct http_head *head, void *ctx);
    /* A piece of the body, valid during the call. */
    void (*on_body)(struct net_stream *s, struct slice data);
    void (*on_body_end)(struct net_stream *s);
    /* The client is gone before the answer was complete; `s` must not be used any more. */
    void (*on_gone)(struct net_stream *s, enum net_gone why);
    /* Output that had to wait has gone. */
    void (*on_drain)(struct net_stream *s);
    /* Fields for an answer that the server makes itself (400, 408, 431, ...): the body in the
     * listener's dialect is appended to `body`. */
    void (*on_refuse)(unsigned status, const char *why, struct buf *body, void *ctx);
};

/* Head of an answer. */
struct net_answer {
    unsigned status;
    struct slice fields;    /* complete lines; not Date, Connection or framing */
    int64_t content_length; /* -1: the body comes in pieces */
    bool close;             /* close the connection after it */
};

/* Outcome of sending. */
enum net_sent {
    NET_SENT_ALL,
    NET_SENT_WAIT, /* taken, but the client is slow: send no more before on_drain */
    NET_SENT_GONE, /* the client is gone; on_gone does not follow, `s` is no longer the caller's */
};

/* Sends head (once, NULL later), body parts (at most 8) and, with `end`, the end of the answer, in
 * one write. After the end `s` is no longer the caller's. */
NODISCARD enum net_sent net_stream_send(struct net_stream *s, const struct net_answer *head,
                                        const struct slice *parts, unsigned n, bool end);

/* The answer will have no proper end: what is sent with `end` is not followed by the last chunk,
 * and the connection closes. Nobody takes such an answer for a whole one, or the connection for one
 * that can be used again. */
void net_stream_cut_after(struct net_stream *s);

/* Breaks the connection: what was promised cannot be kept. `s` is no longer the caller's. */
void net_stream_abort(struct net_stream *s);

/* Asks for the body: answers an Expect, and delivers what has come already during the call. */
void net_stream_read_body(struct net_stream *s);
void net_stream_pause_body(struct net_stream *s);
/* Bytes of the body that have come, or that its current chunk announces: it has at least so many.
 */
int64_t net_stream_body_bytes(const struct net_stream *s);

/* The caller's own pointer. */
void net_stream_set_data(struct net_stream *s, void *data);
void *net_stream_data(const struct net_stream *s);
struct net_loop *net_stream_loop(const struct net_stream *s);
/* The client's address: the peer's, or what a PROXY header said. */
const struct net_addr *net_stream_peer(const struct net_stream *s);
bool net_stream_is_tls(const struct net_stream *s);
/* When the first byte of the request came, on the loop's clock. */
int64_t net_stream_started_ns(const struct net_stream *s);
/* uid of the peer of a Unix socket, or -1. */
int64_t net_stream_peer_uid(const struct net_stream *s);

/* Connections by client address, of which each may have `cap` (at least 1); all addresses of an
 * IPv6 /64 count as one. `connections` is about how many there will be. NULL: no memory. */
struct net_clients;
NODISCARD struct net_clients *net_clients_new(int64_t cap, int64_t connections);
/* When no connection is left. NULL is fine. */
void net_clients_free(struct net_clients *t);

/* Process-wide counts of client connections. */
struct net_server_counts {
    _Atomic int64_t open, limit;
    _Atomic int64_t accepted, refused;
    struct net_clients *clients; /* NULL: no cap by address */
};

struct net_listener_config {
    int fd; /* a listening socket; the listener owns it */
    bool unix_socket;
    bool proxy_protocol;
    bool half_close_answer;         /* a client that ended its direction still gets its answer */
    struct tls_server_context *tls; /* NULL: plain; a reference is taken */
    struct net_server_limits limits;
    const struct net_server_ops *ops;
    void *ctx;
    struct net_server_counts *counts;
};

struct net_listener;

/* Starts accepting on `loop`. NULL: no memory or a bad descriptor. */
NODISCARD struct net_listener *net_listener_new(struct net_loop *loop,
                                                const struct net_listener_config *config);
/* Certificates and limits of connections from now on. A reference to `tls` is taken. */
void net_listener_update(struct net_listener *l, struct tls_server_context *tls,
                         const struct net_server_limits *limits);
/* Accepts what waits in the queue and closes the socket; connections go on. */
void net_listener_stop(struct net_listener *l);
/* Closes connections between requests, and the others after their answer. */
void net_listener_drain(struct net_listener *l);
/* Connections that are open. */
unsigned net_listener_connections(const struct net_listener *l);
/* Breaks all connections, which tells their streams, and frees the listener. */
void net_listener_free(struct net_listener *l);

/* Opens a listening socket at "host:port", "[v6]:port" or "unix:/path" (an old socket file of a
 * dead process is removed; mode 0600). With `shared`, others may bind the same port (SO_REUSEPORT).
 * Returns the descriptor or a negative errno. */
NODISCARD int net_listen(struct slice address, bool shared);

#endif
