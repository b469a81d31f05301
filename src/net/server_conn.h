/* A client's connection. */
#ifndef NET_SERVER_CONN_H
#define NET_SERVER_CONN_H

#include "base/list.h"
#include "clients.h"
#include "conn.h"
#include "http1.h"
#include "net/server.h"

enum sc_state {
    SC_PROXY,  /* waiting for a PROXY v2 header */
    SC_IDLE,   /* between requests */
    SC_HEAD,   /* part of a head is here */
    SC_BODY,   /* the request has been handed on; its body is coming or waits to be asked for */
    SC_ANSWER, /* the body is complete, the answer is not */
    SC_LINGER, /* our end is closed; input is thrown away until the client ends */
    SC_CLOSING,
};

/* What is left to do with the answer. */
enum sc_answer { ANSWER_NONE, ANSWER_OPEN, ANSWER_DONE };

struct net_stream {
    struct conn conn;
    enum sc_state state;
    enum sc_answer answer;
    struct net_listener *listener;
    struct list node; /* in net_listener.conns */
    void *data;
    struct timer timer;
    int64_t since_ns;   /* of the state, or of the last progress in it */
    int64_t started_ns; /* first byte of the request */
    int64_t
        body_start_ns;   /* of the request; moved by the time in which nobody asked for the body */
    int64_t unwanted_ns; /* since when nobody does */
    struct buf in;       /* bytes that wait: part of a head, or what the client sent ahead */
    size_t scanned;
    struct net_addr peer;
    struct net_client *client; /* its place under the cap by address, or NULL */
    struct http1_chunked chunked;
    int64_t body_left, body_seen; /* body_left -1: chunked */
    unsigned minor, blank;        /* blank: bytes of empty lines before the request so far */
    bool wants_body;              /* the caller has asked for the body */
    bool expect;                  /* 100 Continue is due */
    bool keep_alive;              /* the connection may serve another request */
    bool head_only;               /* HEAD: the answer has no body */
    bool headed;                  /* the answer's head has gone out */
    bool chunking;                /* the answer's body goes out in chunks */
    bool cut;                     /* the answer goes without its last chunk */
    bool to_end;                  /* the answer's body ends where the connection ends */
    bool input_ended;             /* half-closed by the client, and served nevertheless */
    bool feeding;                 /* inside process(): no recursion */
};

struct net_listener {
    struct net_loop *loop;
    struct net_listener_config config;
    union {
        uv_handle_t any;
        uv_poll_t poll;
    };
    uv_timer_t pause; /* runs while no connection can be taken */
    int fd;
    int pending; /* a socket that was accepted and waits for memory, or -1 */
    struct list conns;
    unsigned conns_n, handles_n;
    bool stopped, draining, freeing;
};

/* A client's socket, which becomes the connection's. False: no memory; it is still the caller's. */
NODISCARD bool server_conn_adopt(struct net_listener *l, int fd);
/* Ends the connection when it can be ended without losing an answer. */
void server_conn_drain(struct net_stream *s);
void server_conn_break(struct net_stream *s, enum net_gone why);

/* listener.c: the connection's memory is gone. */
void listener_forget(struct net_listener *l, struct net_stream *s);

/* PROXY protocol v2 (haproxy.org/download/2.8/doc/proxy-protocol.txt): > 0: length of the header in
 * `s`, with the source address in `*ret` when it names one. 0: more is needed. -1: no such header.
 */
int proxy_v2_parse(struct slice s, struct net_addr *ret);

#endif
