/*
 * A small incremental reader of HTTP/1.1 messages (RFC 9112) for the load generator and the mock
 * upstream: both talk to proxies, which frame their messages correctly; it looks at nothing but the
 * framing (Content-Length, chunked, Connection) and hands head and body on.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_HEAD_MAX = 8192 };

enum bench_message_state {
    BENCH_MESSAGE_HEAD,
    BENCH_MESSAGE_SIZED,
    BENCH_MESSAGE_CHUNK_SIZE,
    BENCH_MESSAGE_CHUNK_DATA,
    BENCH_MESSAGE_CHUNK_END,
    BENCH_MESSAGE_TRAILER,
    BENCH_MESSAGE_UNTIL_EOF,
    BENCH_MESSAGE_DONE,
};

struct bench_message {
    enum bench_message_state state;
    bool response;   /* a response without framing lasts until EOF, a request has no body then */
    bool closes;     /* "Connection: close" was said */
    bool sized;      /* Content-Length was given */
    bool chunked;    /* Transfer-Encoding: chunked was given */
    bool in_number;  /* still within the digits of a chunk's size */
    uint64_t left;   /* bytes left of the body, or of the chunk */
    size_t line_len; /* of the chunk size's or trailer's line being read */
    size_t head_len;
    char *head; /* what has come of a head that arrives in pieces; NULL mostly */
};

struct bench_message_events {
    void (*head)(void *context, const char *head, size_t len); /* start line and fields */
    void (*body)(void *context, const char *data, size_t len);
};

/* Makes ready for the next message; `message` is zeroed memory at first. */
void bench_message_reset(struct bench_message *message, bool response);
/* Frees what the message holds. */
void bench_message_done(struct bench_message *message);
/* Feeds bytes: returns how many were taken (fewer than `len` only where the message ends), or -1 if
 * they are not HTTP. */
ssize_t bench_message_feed(struct bench_message *message, const struct bench_message_events *events,
                           void *context, const char *data, size_t len);
/* The peer closed: true if the message is whole that way. */
bool bench_message_finish(struct bench_message *message);
