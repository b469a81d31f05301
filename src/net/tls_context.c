/* Shared TLS settings and the process' store of authorities. */
#include <openssl/err.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/thread.h"
#include "tls.h"

struct tls_server_context {
    SSL_CTX *ssl;
    _Atomic unsigned refs;
};

struct tls_client_context {
    SSL_CTX *ssl;
    X509_STORE *extra; /* authorities beside the system's, or NULL */
    _Atomic unsigned refs;
    atomic_bool ready; /* the system's authorities are in `ssl` */
    pthread_mutex_t attach;
};

static X509_STORE *roots;
static pthread_t roots_thread;
static atomic_bool roots_started, roots_loaded;

static void *load_roots(void *arg)
{
    (void)arg;
    X509_STORE *store = X509_STORE_new();
    if (store != NULL)
        X509_STORE_set_default_paths(store);
    roots = store;
    ERR_clear_error();
    atomic_store_explicit(&roots_loaded, true, memory_order_release);
    return NULL;
}

static void roots_load(void)
{
    if (atomic_exchange(&roots_started, true))
        return;
    if (!thread_start(&roots_thread, load_roots, NULL))
        atomic_store(&roots_started, false);
    else
        OPENSSL_atexit(tls_roots_done); /* before OpenSSL takes its own state apart */
}

void tls_roots_done(void)
{
    if (!atomic_exchange(&roots_started, false))
        return;
    pthread_join(roots_thread, NULL);
    X509_STORE_free(roots);
    roots = NULL;
    atomic_store(&roots_loaded, false);
}

static void explain(struct buf *error, const char *what, const char *file)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    buf_printf(error, "%s %s: %s", what, file, reason != NULL ? reason : "unreadable");
    ERR_clear_error();
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return ctx;
}

static bool use_pair(SSL_CTX *ctx, const char *cert, const char *key, struct buf *error)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        explain(error, "certificate", cert);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        explain(error, "private key", key);
        return false;
    }
    return true;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_up_server(SSL_CTX *ssl, const char *cert_file, const char *key_file,
                          const char *client_ca_file, struct buf *error)
{
    static const unsigned char id[] = "weir";
    SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets only */
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_session_id_context(ssl, id, sizeof id - 1);
    SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    if (!use_pair(ssl, cert_file, key_file, error))
        return false;
    if (client_ca_file == NULL)
        return true;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (SSL_CTX_load_verify_locations(ssl, client_ca_file, NULL) == 1)
        return true;
    explain(error, "authorities", client_ca_file);
    return false;
}

struct tls_server_context *tls_server_context_new(const char *cert_file, const char *key_file,
                                                  const char *client_ca_file, struct buf *error)
{
    struct tls_server_context *c = mem_calloc(1, sizeof *c);
    SSL_CTX *ssl = context_new(TLS_server_method());
    if (c == NULL || ssl == NULL)
        buf_lit(error, "out of memory");
    else if (set_up_server(ssl, cert_file, key_file, client_ca_file, error)) {
        c->ssl = ssl;
        c->refs = 1;
        return c;
    }
    SSL_CTX_free(ssl);
    mem_free(c);
    return NULL;
}

struct tls_server_context *tls_server_context_ref(struct tls_server_context *c)
{
    c->refs++;
    return c;
}

void tls_server_context_unref(struct tls_server_context *c)
{
    if (c == NULL || --c->refs > 0)
        return;
    SSL_CTX_free(c->ssl);
    mem_free(c);
}

SSL_CTX *tls_server_context_ssl(struct tls_server_context *c)
{
    return c->ssl;
}

static bool set_up_client(struct tls_client_context *c, const char *ca_file, const char *cert_file,
                          const char *key_file, struct buf *error)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, tls_on_verified);
    SSL_CTX_set_session_cache_mode(c->ssl,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(c->ssl, tls_on_new_session);
    SSL_CTX_set_alpn_protos(c->ssl, alpn, sizeof alpn - 1);
    if (ca_file != NULL) {
        c->extra = X509_STORE_new();
        if (c->extra == NULL || X509_STORE_load_locations(c->extra, ca_file, NULL) != 1) {
            explain(error, "authorities", ca_file);
            return false;
        }
    }
    return cert_file == NULL || use_pair(c->ssl, cert_file, key_file, error);
}

struct tls_client_context *tls_client_context_new(const char *ca_file, const char *cert_file,
                                                  const char *key_file, struct buf *error)
{
    struct tls_client_context *c = mem_calloc(1, sizeof *c);
    if (c == NULL) {
        buf_lit(error, "out of memory");
        return NULL;
    }
    roots_load();
    c->refs = 1;
    pthread_mutex_init(&c->attach, NULL);
    c->ssl = context_new(TLS_client_method());
    if (c->ssl != NULL && set_up_client(c, ca_file, cert_file, key_file, error))
        return c;
    tls_client_context_unref(c);
    return NULL;
}

struct tls_client_context *tls_client_context_ref(struct tls_client_context *c)
{
    c->refs++;
    return c;
}

void tls_client_context_unref(struct tls_client_context *c)
{
    if (c == NULL || --c->refs > 0)
        return;
    SSL_CTX_free(c->ssl);
    X509_STORE_free(c->extra);
    pthread_mutex_destroy(&c->attach);
    mem_free(c);
}

SSL_CTX *tls_client_context_ssl(struct tls_client_context *c)
{
    return c->ssl;
}

/* The shared certificates go into the context's own store by reference. */
static void merge_roots(X509_STORE *into)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(roots);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (cert != NULL)
            X509_STORE_add_cert(into, cert);
    }
    ERR_clear_error();
}

bool tls_client_context_ready(struct tls_client_context *c)
{
    if (atomic_load_explicit(&c->ready, memory_order_acquire))
        return true;
    if (!atomic_load_explicit(&roots_loaded, memory_order_acquire))
        return false;
    pthread_mutex_lock(&c->attach);
    if (!atomic_load_explicit(&c->ready, memory_order_relaxed)) {
        if (c->extra != NULL && roots != NULL)
            merge_roots(c->extra);
        X509_STORE *store = c->extra != NULL ? c->extra : roots;
        if (store != NULL)
            SSL_CTX_set1_cert_store(c->ssl, store);
        atomic_store_explicit(&c->ready, true, memory_order_release);
    }
    pthread_mutex_unlock(&c->attach);
    return true;
}

int64_t tls_cert_days_left(const char *cert_file)
{
    BIO *bio = BIO_new_file(cert_file, "r");
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int days = 0, seconds = 0;
    bool ok = cert != NULL && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) == 1;
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return ok ? days : INT64_MAX;
}
