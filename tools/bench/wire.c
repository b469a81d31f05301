/* One connection's bytes, plain or through TLS; see wire.h. */
#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>
#include "util.h"

void bench_link_init(struct bench_link *link, int fd, SSL_CTX *context, bool server,
                     SSL_SESSION *session)
{
    *link = (struct bench_link){.fd = fd};
    if (!context)
        return;
    link->ssl = SSL_new(context);
    if (!link->ssl || !SSL_set_fd(link->ssl, fd))
        bench_die("SSL_new failed");
    if (server) {
        SSL_set_accept_state(link->ssl);
        return;
    }
    SSL_set_tlsext_host_name(link->ssl, "localhost");
    if (session)
        SSL_set_session(link->ssl, session);
    SSL_set_connect_state(link->ssl);
}

void bench_link_done(struct bench_link *link)
{
    if (link->fd < 0)
        return;
    if (link->ssl) {
        SSL_shutdown(link->ssl);
        ERR_clear_error();
        SSL_free(link->ssl);
        link->ssl = NULL;
    }
    close(link->fd);
    link->fd = -1;
}

static enum bench_io tls_failure(struct bench_link *link, int result)
{
    int error = SSL_get_error(link->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return BENCH_IO_WAIT;
    return error == SSL_ERROR_ZERO_RETURN ? BENCH_IO_EOF : BENCH_IO_FAIL;
}

static enum bench_io socket_failure(void)
{
    return errno == EAGAIN || errno == EINTR ? BENCH_IO_WAIT : BENCH_IO_FAIL;
}

enum bench_io bench_link_read(struct bench_link *link, void *buffer, size_t cap, size_t *ret_n)
{
    if (link->ssl) {
        int result = SSL_read_ex(link->ssl, buffer, cap, ret_n);
        return result > 0 ? BENCH_IO_OK : tls_failure(link, result);
    }
    ssize_t n = recv(link->fd, buffer, cap, 0);
    if (n < 0)
        return socket_failure();
    *ret_n = (size_t)n;
    return n ? BENCH_IO_OK : BENCH_IO_EOF;
}

enum bench_io bench_link_write(struct bench_link *link, const void *data, size_t len, size_t *ret_n)
{
    if (link->ssl) {
        int result = SSL_write_ex(link->ssl, data, len, ret_n);
        return result > 0 ? BENCH_IO_OK : tls_failure(link, result);
    }
    ssize_t n = send(link->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return socket_failure();
    *ret_n = (size_t)n;
    return BENCH_IO_OK;
}

enum bench_io bench_link_ready(struct bench_link *link)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error)
        return BENCH_IO_FAIL;
    if (!link->ssl)
        return BENCH_IO_OK;
    int result = SSL_do_handshake(link->ssl);
    return result > 0 ? BENCH_IO_OK : tls_failure(link, result);
}

static SSL_CTX *tls_new(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context)
        bench_die("SSL_CTX_new failed");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One recv per record instead of one for its header and one for its body. */
    SSL_CTX_set_read_ahead(context, 1);
    return context;
}

SSL_CTX *bench_tls_server(const char *cert_path, const char *key_path)
{
    SSL_CTX *context = tls_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, cert_path) != 1)
        bench_die("%s: not a certificate in PEM", cert_path);
    if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1)
        bench_die("%s: not the certificate's key in PEM", key_path);
    return context;
}

SSL_CTX *bench_tls_client(int (*keep)(SSL *ssl, SSL_SESSION *session))
{
    SSL_CTX *context = tls_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep);
    return context;
}
