/* One socket, TCP or Unix, with or without TLS: the only place that touches libuv streams. Reading
 * is pushed from the thread's shared read window; output that the socket does not take is queued,
 * and its owner is told to wait. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <uv.h>

#include "base/slice.h"
#include "net/addr.h"
#include "net/loop.h"

/* Outcome of an I/O call. Only NET_FAIL can become the failure of a request. */
enum net_io {
    NET_OK,
    NET_WAIT, /* queued; on_drain follows */
    NET_FAIL,
};

#define CONN_TRUNCATED (-100000) /* on_end: TLS ended without close_notify */
#define CONN_BAD_TLS   (-100001) /* on_end: handshake or record failure, see conn_tls_error */

struct conn;
struct conn_ops {
    /* The TLS handshake is done (not called for plain sockets). */
    void (*on_secure)(struct conn *c);
    /* `data` is valid during the call only, and is all there will be of this read. */
    void (*on_data)(struct conn *c, struct slice data);
    /* Nothing more will be read. 0: the peer ended in order; else a libuv error or CONN_*. */
    void (*on_end)(struct conn *c, int err);
    /* Queued output has gone to the kernel; after conn_shutdown our direction has ended now. */
    void (*on_drain)(struct conn *c);
    /* After conn_close, when the memory may go. */
    void (*on_closed)(struct conn *c);
};

struct conn_output;
struct tls_session;

struct conn {
    uint32_t magic;
    bool reading, closing, ended;
    bool mute; /* the peer takes nothing more, or is to hear no more */
    struct net_loop *loop;
    const struct conn_ops *ops;
    struct tls_session *tls;    /* NULL: plain */
    struct conn_output *output; /* NULL: nothing is queued */
    union {
        uv_handle_t any;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
};

/* Sets up the handle for `family` (AF_UNIX or other); the socket comes by connect, accept or open.
 * 0 or a libuv error, after which `c` needs no conn_close. */
NODISCARD int conn_init(struct conn *c, struct net_loop *loop, int family,
                        const struct conn_ops *ops);

/* Starts and stops reading. After a stop up to one read window may still be delivered. */
int conn_read_start(struct conn *c);
void conn_read_stop(struct conn *c);

/* Writes `n` (at most CONN_PARTS_MAX) parts in one go. Parts from index `stable_from` on stay in
 * place until on_drain or conn_close, so that what is queued of them needs no copy. */
#define CONN_PARTS_MAX 20
#define CONN_JOIN_MAX  ((size_t)16384) /* up to here joining parts is cheaper than writing them */
NODISCARD enum net_io conn_write(struct conn *c, const struct slice *parts, unsigned n,
                                 unsigned stable_from);

/* Since when the peer has taken none of the queued output, as far as calls of this function saw. */
int64_t conn_stalled_since(struct conn *c);

/* Is output queued? */
static inline bool conn_full(const struct conn *c)
{
    return c->output != NULL;
}

/* Ends our direction once queued output has gone. */
void conn_shutdown(struct conn *c);

/* Closes at once; queued output is dropped. Harmless when closing already. */
void conn_close(struct conn *c);

/* The same, so that the peer cannot take what it has for the whole: no close_notify, and a reset.
 */
void conn_break(struct conn *c);

/* Takes over the TLS session and starts the handshake; reading must be on. */
void conn_start_tls(struct conn *c, struct tls_session *tls);

/* Feeds bytes that were read before TLS was put on, or that a test brings. */
void conn_feed(struct conn *c, struct slice data);

#endif
