/* Where requests go: an origin with its connections, shared by all threads, and a lease, which is
 * one request in flight to it. Nothing above sees sockets. */
#ifndef NET_UPSTREAM_H
#define NET_UPSTREAM_H

#include "base/permits.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls_context.h"

/* All text is copied. */
struct upstream_config {
    struct slice host; /* name or address, without brackets */
    uint16_t port;
    struct slice unix_path;         /* instead of host and port */
    struct tls_client_context *tls; /* NULL: plain; a reference is taken */
    struct slice sni;               /* name the certificate must carry; empty: host */
    struct slice proxy_host;        /* empty: direct */
    uint16_t proxy_port;
    struct slice proxy_auth; /* value of Proxy-Authorization, or empty */
    int64_t max_connections; /* process-wide; 0: no cap */
};

struct upstream;

/* One origin; the caller owns the reference. NULL: no memory, or too many origins. */
NODISCARD struct upstream *upstream_new(const struct upstream_config *config);
struct upstream *upstream_ref(struct upstream *u);
void upstream_unref(struct upstream *u); /* NULL is fine */
/* Open connections of all threads, idle ones included. */
int64_t upstream_connections(const struct upstream *u);
/* "api.openai.com" or "10.0.0.5:8000": what stands in the Host field. */
struct slice upstream_authority(const struct upstream *u);

/* "https://host:port/base/path": what a provider's URL says. Slices point into `url`; `path` has no
 * final slash. False: malformed; `*ret_why` says why. */
struct net_url {
    bool tls;
    struct slice host, userinfo, path;
    uint16_t port;
};
NODISCARD bool net_url_parse(struct slice url, struct net_url *ret, const char **ret_why);

/* Where a lease is: each phase can have its own limit. */
enum lease_phase {
    LEASE_WAIT,    /* for a connection below the cap */
    LEASE_CONNECT, /* name, TCP, proxy */
    LEASE_TLS,
    LEASE_WRITE,
    LEASE_HEAD,
    LEASE_BODY,
    LEASE_DONE,
};

/* What can go wrong; the text is for logs and error messages. */
#define NET_FAILS(X)                                                                               \
    X(DNS, "dns", "the name of the upstream could not be resolved")                                \
    X(CONNECT, "connect", "no connection to the upstream")                                         \
    X(PROXY, "proxy", "the egress proxy refused the connection")                                   \
    X(TLS, "tls", "the TLS handshake with the upstream failed")                                    \
    X(RESET, "reset", "the upstream closed the connection without an answer")                      \
    X(BAD_ANSWER, "bad_answer", "the upstream's answer is not valid HTTP")                         \
    X(TRUNCATED, "truncated", "the upstream's answer was cut off")                                 \
    X(EXHAUSTED, "exhausted", "no descriptor or port is left for a connection")                    \
    X(MEMORY, "memory", "out of memory")
enum net_fail {
#define X(id, name, text) NET_FAIL_##id,
    NET_FAILS(X)
#undef X
        NET_FAILS_N
};
const char *net_fail_name(enum net_fail f);
const char *net_fail_text(enum net_fail f);

struct net_lease;
struct net_lease_ops {
    /* The head of the final answer; valid during the call. */
    void (*on_head)(struct net_lease *l, const struct http_head *head);
    /* A piece of the body; valid during the call. `last`: surely no more follows. */
    void (*on_body)(struct net_lease *l, struct slice data, bool last);
    /* More of a streamed request body can be written (net_lease_write). */
    void (*on_writable)(struct net_lease *l);
    /* All that this read brought has been delivered, and the answer goes on. */
    void (*on_flush)(struct net_lease *l);
    /* The answer is complete; the lease is over. False: the connection is not to be used again. */
    bool (*on_end)(struct net_lease *l);
    /* The lease is over. `detail` adds to the text of `why` and may be empty. */
    void (*on_fail)(struct net_lease *l, enum net_fail why, const char *detail);
};

#define LEASE_BODY_PARTS_MAX 16

/* What is asked. All memory stays the caller's and in place until the lease is over. */
struct net_request {
    enum http_method method;
    struct slice target;      /* path and query, encoded */
    struct slice fields;      /* complete lines "name: value CRLF"; not Host, not framing */
    struct slice more_fields; /* the same; what holds secrets need not be copied to be joined */
    const struct slice *body;
    unsigned body_parts;
    size_t body_bytes;
    bool has_body; /* send Content-Length even for 0 bytes */
    bool streamed; /* the body comes through net_lease_write, `body_bytes` long or STREAM_UNKNOWN */
};
#define STREAM_UNKNOWN SIZE_MAX

/* In the caller's memory. */
struct net_lease {
    uint32_t magic;
    enum lease_phase phase;
    int64_t phase_since_ns;
    struct net_loop *loop;
    struct upstream *upstream;
    const struct net_lease_ops *ops;
    const struct net_request *request;
    struct upstream_conn *conn; /* private, as all below */
    struct upstream_dial *dial;
    struct list waiting;
    struct permit_waiter permit;
    uint64_t ticket;
    int64_t sent_ns; /* when it began to go out on a connection; 0: it has not */
    bool resent, reused, paused;
    bool body_sent; /* from on_head on, for all to read: nothing of the request is left to write */
};

/* Sends `r` to `u`. Callbacks come from the loop, or during the call when it fails at once. */
void net_lease_start(struct net_lease *l, struct net_loop *loop, struct upstream *u,
                     const struct net_request *r, const struct net_lease_ops *ops);

/* Writes the next piece of a streamed body; `last` ends it. False: no more before on_writable. The
 * piece is copied where the kernel does not take it. After an early answer pieces are dropped. */
bool net_lease_write(struct net_lease *l, struct slice piece, bool last);

/* Ends the lease and closes its connection; no callback follows. Harmless when it is over. */
void net_lease_cancel(struct net_lease *l);

/* Back-pressure: no further reading (one read window may still come), and going on. */
void net_lease_pause(struct net_lease *l);
void net_lease_resume(struct net_lease *l);

static inline bool net_lease_over(const struct net_lease *l)
{
    return l->phase == LEASE_DONE;
}

/* Message kinds (net/loop.h) that this module needs; the owner of a loop leaves them alone. */
#define NET_MSG_CONNECTION_GRANT 0
#define NET_MSG_CLOSE_IDLE       1
#define NET_MSG_FREE             2 /* first kind for others */

#endif
