/*
 * One connection's bytes, plain or through TLS, over a non-blocking socket. The handshake of TLS
 * happens within the first reads and writes, so a caller only repeats what it wanted to do.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <openssl/ssl.h>

enum bench_io { BENCH_IO_OK, BENCH_IO_WAIT, BENCH_IO_EOF, BENCH_IO_FAIL };

struct bench_link {
    int fd;
    SSL *ssl; /* NULL on a plain connection */
};

/* Takes the socket over; with `context`, TLS begins as the server or (with `session`, which may be
 * NULL and is only looked at) as the client. */
void bench_link_init(struct bench_link *link, int fd, SSL_CTX *context, bool server,
                     SSL_SESSION *session);
/* Closes the socket; a link that is closed already is left alone. */
void bench_link_done(struct bench_link *link);

/* OK with *ret_n > 0 bytes, WAIT for the next readiness, EOF, or FAIL. */
enum bench_io bench_link_read(struct bench_link *link, void *buffer, size_t cap, size_t *ret_n);
/* OK with *ret_n > 0 bytes taken, which may be fewer than `len`; WAIT or FAIL. */
enum bench_io bench_link_write(struct bench_link *link, const void *data, size_t len,
                               size_t *ret_n);
/* OK once the connection stands, and its handshake is done; WAIT or FAIL. */
enum bench_io bench_link_ready(struct bench_link *link);

/* A server's context for a certificate and its key, with session tickets on. */
SSL_CTX *bench_tls_server(const char *cert_path, const char *key_path);
/* A client's context that verifies nothing; `keep` is called with each new session and owns it if
 * it returns 1. */
SSL_CTX *bench_tls_client(int (*keep)(SSL *ssl, SSL_SESSION *session));
