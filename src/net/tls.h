/* TLS sessions over memory: OpenSSL with a BIO that reads a slice and writes a per-thread buffer,
 * so that an idle connection holds no buffers of its own. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <openssl/ssl.h>

#include "conn.h"
#include "net/tls_context.h"

struct tls_session;
struct tls_scratch;

/* Between tls.c and tls_context.c. */
SSL_CTX *tls_server_context_ssl(struct tls_server_context *c);
SSL_CTX *tls_client_context_ssl(struct tls_client_context *c);
int tls_on_new_session(SSL *ssl, SSL_SESSION *session);
int tls_on_verified(int ok, X509_STORE_CTX *store);

/* The server's end of a new connection. NULL: no memory. */
NODISCARD struct tls_session *tls_session_accept(struct net_loop *loop,
                                                 struct tls_server_context *ctx);
/* The client's end. `peer` is the name or address that the certificate has to carry; `resume` (may
 * be NULL) is a session to resume. NULL: no memory, or the authorities are still being loaded. */
NODISCARD struct tls_session *tls_session_connect(struct net_loop *loop,
                                                  struct tls_client_context *ctx, struct slice peer,
                                                  SSL_SESSION *resume);
/* Can sessions of `ctx` be made? False while the authorities are being loaded. */
bool tls_client_context_ready(struct tls_client_context *ctx);

void tls_session_free(struct tls_session *t);

enum tls_result {
    TLS_MORE, /* input used up */
    TLS_CLOSED,
    TLS_FAILED,
};

/* Feeds ciphertext. Handshake and alerts go to tls_output. Plaintext is handed to `deliver` as it
 * fills the thread's window; `secured` is called when the handshake is done. Either may close the
 * connection, which they tell by returning false. */
enum tls_result tls_feed(struct tls_session *t, struct slice cipher, bool (*secured)(void *ctx),
                         bool (*deliver)(void *ctx, struct slice plain), void *ctx);

/* Encrypts the parts into tls_output. */
NODISCARD bool tls_encrypt(struct tls_session *t, const struct slice *parts, unsigned n);
void tls_close_notify(struct tls_session *t);

/* Ciphertext produced since the last tls_output_reset: the thread's, not the session's. */
struct slice tls_output(struct net_loop *loop);
void tls_output_reset(struct net_loop *loop);

/* Why the session failed, e.g. "certificate has expired (CN=a.example)"; static or in the session.
 */
const char *tls_error(const struct tls_session *t);

/* The session to resume the next connection with, or NULL; the caller owns a reference. */
SSL_SESSION *tls_take_resumable(struct tls_session *t);
bool tls_was_resumed(const struct tls_session *t);

void tls_scratch_free(struct tls_scratch *s);

#endif
