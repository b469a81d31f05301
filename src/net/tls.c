/* OpenSSL over memory: see tls.h. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/mem.h"

#define PLAIN_BYTES  ((size_t)32768)
#define CIPHER_BYTES ((size_t)256 << 20)
#define RECORD_BYTES ((size_t)16384)

struct tls_scratch {
    struct buf out;    /* ciphertext to be sent */
    struct buf joined; /* parts joined into whole records */
    char *plain;       /* PLAIN_BYTES of received plaintext */
};

struct tls_session {
    SSL *ssl;
    struct net_loop *loop;
    struct slice in;    /* ciphertext not consumed yet */
    SSL_SESSION *fresh; /* newest ticket of the peer, for clients */
    bool secured;
    bool between; /* the latest read asked for the head of a record, and there was nothing */
    bool ticket;  /* one came since buffers were freed */
    char error[160];
};

static struct tls_scratch *scratch_of(struct net_loop *loop)
{
    if (loop->tls != NULL)
        return loop->tls;
    struct tls_scratch *s = mem_calloc(1, sizeof *s);
    char *plain = mem_alloc(PLAIN_BYTES);
    if (s == NULL || plain == NULL) {
        mem_free(s);
        mem_free(plain);
        return NULL;
    }
    buf_init(&s->out, CIPHER_BYTES);
    buf_init(&s->joined, CIPHER_BYTES);
    s->plain = plain;
    loop->tls = s;
    return s;
}

void tls_scratch_free(struct tls_scratch *s)
{
    if (s == NULL)
        return;
    buf_done(&s->out);
    buf_done(&s->joined);
    mem_free(s->plain);
    mem_free(s);
}

static int bio_read(BIO *b, char *out, size_t size, size_t *ret_n)
{
    struct tls_session *t = BIO_get_data(b);
    size_t n = MIN_OF(size, t->in.n);
    BIO_clear_retry_flags(b);
    *ret_n = n;
    t->between = n == 0 && size == SSL3_RT_HEADER_LENGTH;
    if (n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(out, t->in.p, n);
    t->in = slice_of(t->in.p + n, t->in.n - n);
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *ret_n)
{
    struct tls_session *t = BIO_get_data(b);
    buf_append(&t->loop->tls->out, p, n);
    *ret_n = n;
    return !t->loop->tls->out.failed;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static BIO_METHOD *bio_method;

__attribute__((constructor)) static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
    BIO_meth_set_read_ex(bio_method, bio_read);
    BIO_meth_set_write_ex(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
    BIO_meth_set_create(bio_method, bio_create);
}

__attribute__((destructor)) static void free_bio_method(void)
{
    BIO_meth_free(bio_method);
}

int tls_on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *t = SSL_get_app_data(ssl);
    SSL_SESSION_free(t->fresh);
    t->fresh = session;
    t->ticket = true;
    return 1; /* the reference is ours now */
}

static bool expect_peer(SSL *ssl, struct slice sni)
{
    char name[256];
    if (sni.n == 0 || sni.n >= sizeof name)
        return false;
    memcpy(name, sni.p, sni.n);
    name[sni.n] = '\0';
    struct net_addr literal;
    if (net_addr_parse(sni, 0, &literal)) {
        char text[NET_ADDR_TEXT];
        struct slice plain = net_addr_text(&literal, text);
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), plain.p) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

static struct tls_session *session_new(struct net_loop *loop, SSL_CTX *ctx)
{
    struct tls_session *t = mem_calloc(1, sizeof *t);
    BIO *bio = BIO_new(bio_method);
    SSL *ssl = SSL_new(ctx);
    if (t == NULL || bio == NULL || ssl == NULL || scratch_of(loop) == NULL) {
        mem_free(t);
        BIO_free(bio);
        SSL_free(ssl);
        return NULL;
    }
    t->loop = loop;
    t->ssl = ssl;
    BIO_set_data(bio, t);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, t);
    return t;
}

struct tls_session *tls_session_accept(struct net_loop *loop, struct tls_server_context *ctx)
{
    struct tls_session *t = session_new(loop, tls_server_context_ssl(ctx));
    if (t != NULL)
        SSL_set_accept_state(t->ssl);
    return t;
}

struct tls_session *tls_session_connect(struct net_loop *loop, struct tls_client_context *ctx,
                                        struct slice peer, SSL_SESSION *resume)
{
    if (!tls_client_context_ready(ctx))
        return NULL;
    struct tls_session *t = session_new(loop, tls_client_context_ssl(ctx));
    if (t == NULL)
        return NULL;
    SSL_set_connect_state(t->ssl);
    if (resume != NULL)
        SSL_set_session(t->ssl, resume);
    if (!expect_peer(t->ssl, peer)) {
        tls_session_free(t);
        return NULL;
    }
    return t;
}

void tls_session_free(struct tls_session *t)
{
    if (t == NULL)
        return;
    SSL_SESSION_free(t->fresh);
    SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN); /* else its tickets would count as bad */
    SSL_free(t->ssl);
    mem_free(t);
}

/* While a chain is being verified: what is wrong with which certificate. Changes no verdict. */
int tls_on_verified(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *t = SSL_get_app_data(ssl);
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    char subject[80] = "";
    if (ok)
        return ok;
    if (cert != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, subject,
                                  (int)sizeof subject);
    snprintf(t->error, sizeof t->error, "%s (CN=%s)",
             X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)), subject);
    return ok;
}

static void remember_error(struct tls_session *t)
{
    unsigned long e = ERR_peek_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (t->error[0] == '\0')
        snprintf(t->error, sizeof t->error, "%s",
                 reason != NULL ? reason : "connection broken during the handshake");
    ERR_clear_error();
}

/* What a return of `r` from an SSL function means when it was not a success. */
static enum tls_result outcome(struct tls_session *t, int r)
{
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
    default: remember_error(t); return TLS_FAILED;
    }
}

/* For a ticket, as for each handshake message, OpenSSL makes a buffer to write with, and keeps it
 * until the next write. In the middle of a record nothing may be freed: some versions would lose
 * what has been read of it (CVE-2024-4741). */
static void free_buffers(struct tls_session *t)
{
    if (t->ticket && t->between)
        t->ticket = SSL_free_buffers(t->ssl) == 0;
}

/* Fills the plaintext window as far as input goes, hands it on, and begins again. */
static enum tls_result read_plain(struct tls_session *t, bool (*deliver)(void *, struct slice),
                                  void *ctx)
{
    struct tls_scratch *s = t->loop->tls;
    for (;;) {
        size_t n = 0, got;
        int r = 1;
        while (n < PLAIN_BYTES &&
               (r = SSL_read_ex(t->ssl, s->plain + n, PLAIN_BYTES - n, &got)) > 0)
            n += got;
        enum tls_result result = r > 0 ? TLS_MORE : outcome(t, r);
        if (n > 0 && !deliver(ctx, slice_of(s->plain, n)))
            return TLS_MORE;
        if (r <= 0) {
            free_buffers(t);
            return result;
        }
    }
}

enum tls_result tls_feed(struct tls_session *t, struct slice cipher, bool (*secured)(void *ctx),
                         bool (*deliver)(void *ctx, struct slice plain), void *ctx)
{
    t->in = cipher;
    ERR_clear_error();
    if (!t->secured) {
        int r = SSL_do_handshake(t->ssl);
        if (r <= 0)
            return outcome(t, r);
        t->secured = true;
        if (!secured(ctx))
            return TLS_MORE;
    }
    enum tls_result result = read_plain(t, deliver, ctx);
    t->in = SLICE_NONE;
    return result;
}

static bool encrypt_one(struct tls_session *t, struct slice s)
{
    while (s.n > 0) {
        size_t sent;
        if (SSL_write_ex(t->ssl, s.p, MIN_OF(s.n, RECORD_BYTES), &sent) <= 0) {
            remember_error(t);
            return false;
        }
        s = slice_from(s, sent);
    }
    return true;
}

bool tls_encrypt(struct tls_session *t, const struct slice *parts, unsigned n)
{
    struct buf *joined = &t->loop->tls->joined;
    size_t total = 0;
    ERR_clear_error();
    if (n == 1)
        return encrypt_one(t, parts[0]);
    for (unsigned i = 0; i < n; i++)
        total += parts[i].n;
    if (total > 4 * RECORD_BYTES) { /* large bodies: records are full anyway */
        for (unsigned i = 0; i < n; i++) {
            if (!encrypt_one(t, parts[i]))
                return false;
        }
        return true;
    }
    buf_reset(joined);
    for (unsigned i = 0; i < n; i++)
        buf_slice(joined, parts[i]);
    return !joined->failed && encrypt_one(t, buf_view(joined));
}

void tls_close_notify(struct tls_session *t)
{
    ERR_clear_error();
    if (t->secured)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

struct slice tls_output(struct net_loop *loop)
{
    return loop->tls != NULL ? buf_view(&loop->tls->out) : SLICE_NONE;
}

void tls_output_reset(struct net_loop *loop)
{
    if (loop->tls == NULL)
        return;
    if (loop->tls->out.size > 4 * PLAIN_BYTES)
        buf_done(&loop->tls->out);
    else
        buf_reset(&loop->tls->out);
}

const char *tls_error(const struct tls_session *t)
{
    return t->error;
}

SSL_SESSION *tls_take_resumable(struct tls_session *t)
{
    return TAKE(t->fresh);
}

bool tls_was_resumed(const struct tls_session *t)
{
    return SSL_session_reused(t->ssl) == 1;
}
