/* Listening sockets and the connections they brought. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "server_conn.h"

#define BACKLOG     1024
#define PAUSE_MS    20 /* while there is neither a descriptor nor memory for a connection */
#define ACCEPTS_MAX 64 /* of one turn of the loop */

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
    struct stat st;
    if (path.n == 0 || path.n >= sizeof un.sun_path)
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path.p, path.n);
    if (socket_alive(&un))
        return -EADDRINUSE;
    if (lstat(un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) /* never another kind of file */
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

static void on_readable(uv_poll_t *p, int status, int events);

static void on_pause_over(uv_timer_t *t)
{
    struct net_listener *l = t->data;
    on_readable(&l->poll, 0, UV_READABLE);
}

/* Clients wait in the socket's queue meanwhile. */
static void pause_accepting(struct net_listener *l)
{
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

/* The next client's socket, or a negative errno. */
static int next_client(struct net_listener *l)
{
    int fd = l->pending;
    l->pending = -1;
    while (fd < 0) {
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return -errno;
    }
    return fd;
}

/* Not uv_listen(): with no descriptor left in the process, libuv 1.44 may try again for ever
 * without coming back to its loop, so that none is ever given back. */
static void on_readable(uv_poll_t *p, int status, int events)
{
    struct net_listener *l = p->data;
    (void)status, (void)events; /* accept4 tells more */
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = next_client(l);
        if (fd == -EAGAIN)
            break;
        if (fd >= 0 && server_conn_adopt(l, fd))
            continue;
        if (fd >= 0)
            l->pending = fd;
        pause_accepting(l);
        return;
    }
    if (!uv_is_active(&l->any))
        uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

struct net_listener *net_listener_new(struct net_loop *loop,
                                      const struct net_listener_config *config)
{
    struct net_listener *l = mem_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->loop = loop;
    l->config = *config;
    l->fd = config->fd;
    l->pending = -1;
    list_init(&l->conns);
    if (uv_poll_init(&loop->uv, &l->poll, l->fd) != 0) {
        mem_free(l);
        return NULL;
    }
    uv_timer_init(&loop->uv, &l->pause);
    l->poll.data = l->pause.data = l;
    l->handles_n = 2;
    if (l->config.tls != NULL)
        tls_server_context_ref(l->config.tls);
    if (uv_poll_start(&l->poll, UV_READABLE, on_readable) != 0) {
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
    if (!l->freeing || l->handles_n > 0 || l->conns_n > 0)
        return;
    tls_server_context_unref(l->config.tls);
    mem_free(l);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct net_listener *l = h->data;
    l->handles_n--;
    finish_free(l);
}

static void close_handles(struct net_listener *l)
{
    if (l->stopped)
        return;
    l->stopped = true;
    uv_close((uv_handle_t *)&l->pause, on_handle_closed);
    uv_close(&l->any, on_handle_closed);
    close(l->fd);
    if (l->pending >= 0)
        close(l->pending);
}

void net_listener_stop(struct net_listener *l)
{
    if (l->stopped)
        return;
    /* Closing a socket resets whoever waits in its queue, so they are taken first. */
    for (int fd; (fd = next_client(l)) >= 0;) {
        if (!server_conn_adopt(l, fd))
            close(fd);
    }
    close_handles(l);
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
    close_handles(l);
    finish_free(l);
}
