/* TLS settings shared by connections: certificates of a listener, trust of a target. Made by the
 * control thread, used by all workers, freed when the last connection is gone. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include "base/buf.h"
#include "base/slice.h"

struct tls_server_context;
struct tls_client_context;

/* For a listener: TLS 1.2 or newer, ALPN http/1.1, tickets. `client_ca_file` may be NULL. Errors go
 * to `error` as one line, and NULL is returned. The caller owns the reference. */
NODISCARD struct tls_server_context *tls_server_context_new(const char *cert_file,
                                                            const char *key_file,
                                                            const char *client_ca_file,
                                                            struct buf *error);
struct tls_server_context *tls_server_context_ref(struct tls_server_context *c);
void tls_server_context_unref(struct tls_server_context *c); /* NULL is fine */

/* For targets: peers are verified against the system's authorities and those of `ca_file` (may be
 * NULL); a client certificate is shown where `cert_file` is given. */
NODISCARD struct tls_client_context *tls_client_context_new(const char *ca_file,
                                                            const char *cert_file,
                                                            const char *key_file,
                                                            struct buf *error);
struct tls_client_context *tls_client_context_ref(struct tls_client_context *c);
void tls_client_context_unref(struct tls_client_context *c); /* NULL is fine */

/* The system's authorities are loaded once per process, on a thread that the first client context
 * starts; until they are there, connections to verified peers wait within their connect limit. This
 * waits for the thread and frees the store, at the end of the process. */
void tls_roots_done(void);

/* Days until the first certificate of `cert_file` expires (negative: it has), or INT64_MAX. */
int64_t tls_cert_days_left(const char *cert_file);

#endif
