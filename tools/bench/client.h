/*
 * One connection of the load generator: sends the prepared request, reads the answer, and judges
 * whether it is the answer that was to come. What it has seen goes to `struct tally`.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "message.h"
#include "wire.h"

enum { LINE_START_BYTES = 16, FAILURE_TEXT_BYTES = 200, TAIL_BYTES = 8 };

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_IDLE,    /* connected; waits for its turn */
    CLIENT_BUSY,    /* a request is out */
    CLIENT_HOLDING, /* an idle stream has had its first event and stays open */
};

struct plan {
    int port;
    const char *request; /* head and body, ready to be sent */
    size_t request_len;
    SSL_CTX *tls;           /* NULL: plain */
    int64_t expect_events;  /* 0: a plain JSON answer; else a stream of exactly so many events */
    int64_t per_connection; /* requests before a connection is closed and opened anew; 0: never */
    int64_t min_body;       /* bytes that a plain answer's body has at least */
    bool hold;              /* open streams and hold them after their first event */
};

struct tally {
    int64_t requests; /* answered as they should be */
    int64_t errors;
    int64_t events;
    int64_t bytes; /* of answers, framing included */
    int64_t connects;
    int64_t tls_resumed;
    char first_error[FAILURE_TEXT_BYTES];
};

struct client {
    struct bench_link link;
    struct bench_message message;
    enum client_state state;
    const struct plan *plan;
    struct tally *tally;
    int64_t sched_ns; /* when the request was due: latency counts from here */
    int64_t served;   /* requests on this connection */
    size_t sent;      /* bytes of the request */
    int status;
    int64_t body_bytes;
    char first_byte;
    char tail[TAIL_BYTES];
    size_t tail_len;
    int64_t events; /* of this answer, [DONE] not counted */
    bool done_seen; /* data: [DONE] has come */
    char line[LINE_START_BYTES];
    size_t line_len;
    struct client *next; /* in the list of idle clients */
};

/* Starts to connect; the state becomes CONNECTING. */
void client_connect(struct client *client, int epoll_fd);
/* Closes the connection; the state becomes CLOSED. */
void client_close(struct client *client);
/* Sends the request on an idle connection; the state becomes BUSY, or CLOSED on an error. */
void client_start(struct client *client, int64_t sched_ns);
/* Handles readiness: returns true when the state has changed. After an answer the state is IDLE, or
 * CLOSED if it was an error (counted) or the connection's last. */
bool client_ready(struct client *client, uint32_t ready);
/* Counts an error, of which the first one's text is kept. */
void client_count_error(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The newest session that a server gave, for resumption; this process keeps one. */
int client_keep_session(SSL *ssl, SSL_SESSION *session);
