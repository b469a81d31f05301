/* Listening sockets and the connections they brought. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "server_conn.h"

#define BACKLOG 1024

static int bind_tcp(const struct net_addr *a, bool shared)
{
    struct sockaddr_storage ss;
    socklen_t n = net_addr_sockaddr(a, &ss);
    int on = 1, off = 0;
    int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (a->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&ss, n) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

/* Does a process answer at this socket? */
static bool socket_alive(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof *un) == 0;
    if (fd >= 0)
        close(fd);
    return alive;
}

static int bind_unix(struct slice path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.n == 0 || path.n >= sizeof un.sun_path)
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path.p, path.n);
    if (socket_alive(&un))
        return -EADDRINUSE;
    unlink(un.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && chmod(un.sun_path, 0600) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

int net_listen(struct slice address, bool shared)
{
    struct net_addr a;
    if (slice_starts(address, SLICE("unix:")))
        return bind_unix(slice_from(address, 5));
    return net_addr_parse_port(address, &a) ? bind_tcp(&a, shared) : -EINVAL;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct net_listener *l = stream->data;
    if (status == 0)
        server_conn_accept(l);
}

struct net_listener *net_listener_new(struct net_loop *loop,
                                      const struct net_listener_config *config)
{
    struct net_listener *l = mem_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->loop = loop;
    l->config = *config;
    list_init(&l->conns);
    int err;
    if (config->unix_socket) {
        uv_pipe_init(&loop->uv, &l->h.pipe, 0);
        err = uv_pipe_open(&l->h.pipe, config->fd);
    } else {
        uv_tcp_init(&loop->uv, &l->h.tcp);
        err = uv_tcp_open(&l->h.tcp, config->fd);
    }
    l->h.any.data = l;
    l->handle_open = true;
    if (l->config.tls != NULL)
        tls_server_context_ref(l->config.tls);
    if (err == 0)
        err = uv_listen(&l->h.stream, BACKLOG, on_connection);
    if (err != 0) {
        net_listener_free(l);
        return NULL;
    }
    return l;
}

void net_listener_update(struct net_listener *l, struct tls_server_context *tls,
                         const struct net_server_limits *limits)
{
    struct tls_server_context *old = l->config.tls;
    l->config.tls = tls != NULL ? tls_server_context_ref(tls) : NULL;
    l->config.limits = *limits;
    tls_server_context_unref(old);
}

static void finish_free(struct net_listener *l)
{
    if (!l->freeing || l->handle_open || l->conns_n > 0)
        return;
    tls_server_context_unref(l->config.tls);
    mem_free(l);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct net_listener *l = h->data;
    l->handle_open = false;
    finish_free(l);
}

void net_listener_stop(struct net_listener *l)
{
    if (l->stopped)
        return;
    l->stopped = true;
    uv_os_fd_t fd;
    /* Closing a socket resets whoever waits in its queue, so they are taken first. */
    while (uv_fileno(&l->h.any, &fd) == 0) {
        int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0)
            break;
        server_conn_adopt(l, peer);
    }
    uv_close(&l->h.any, on_handle_closed);
}

void net_listener_drain(struct net_listener *l)
{
    l->draining = true;
    list_foreach (it, &l->conns)
        server_conn_drain(container_of(it, struct net_stream, node));
}

unsigned net_listener_connections(const struct net_listener *l)
{
    return l->conns_n;
}

void listener_forget(struct net_listener *l, struct net_stream *s)
{
    list_remove(&s->node);
    l->conns_n--;
    clients_leave(l->config.counts->clients, TAKE(s->client));
    l->config.counts->open--;
    mem_free(s);
    finish_free(l);
}

void net_listener_free(struct net_listener *l)
{
    l->freeing = true;
    list_foreach (it, &l->conns)
        server_conn_break(container_of(it, struct net_stream, node), NET_GONE_SHUTDOWN);
    if (!l->stopped) {
        l->stopped = true;
        uv_close(&l->h.any, on_handle_closed);
    }
    finish_free(l);
}
