/* Listening sockets, cores, and systemd's protocols. */
#include "service_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/server.h"

#define FIRST_INHERITED 3 /* sd_listen_fds(3) */

static uint64_t env_number(const char *name)
{
    uint64_t n;
    return slice_to_u64(slice_str(getenv(name)), &n) ? n : 0;
}

/* How many descriptors were passed to this very process. */
static size_t inherited(void)
{
    static size_t n = SIZE_MAX;
    if (n == SIZE_MAX)
        n = env_number("LISTEN_PID") == (uint64_t)getpid() ? env_number("LISTEN_FDS") : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    return n;
}

void listen_put_error(struct buf *out, struct slice address, int error)
{
    buf_printf(out, "cannot listen on %.*s: %s%s\n", SLICE_ARG(address), strerror(-error),
               error == -EADDRINUSE ? "; stop what listens there (`weir doctor` says how to find "
                                      "it), or choose another address (`listen`, WEIR_LISTEN)"
                                    : "");
}

/* 0, or why nobody but us could listen there: as sockets of several workers share an address, ours
 * would share it with another gateway's unnoticed. */
static int taken(struct slice address)
{
    int fd = net_listen(address, false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* The port of `fd` if `address` leaves it to the system, else 0. */
static uint16_t picked_port(struct slice address, int fd)
{
    struct net_addr a;
    struct sockaddr_storage ss;
    socklen_t n = sizeof ss;
    if (!net_addr_parse_port(address, &a) || a.port != 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &n) != 0)
        return 0;
    return net_addr_of((struct sockaddr *)&ss).port;
}

static struct slice with_port(struct slice address, uint16_t port, char out[LISTEN_TEXT])
{
    if (port == 0)
        return address;
    address.n -= 1; /* the final 0 */
    int n = snprintf(out, LISTEN_TEXT, "%.*s%u", SLICE_ARG(address), port);
    return slice_of(out, (size_t)n);
}

static bool open_one(const struct config_listener *c, unsigned workers, struct gw_listen *l,
                     uint16_t *ret_port, int *fds, struct buf *error)
{
    bool unix_socket = slice_starts(c->address, SLICE("unix:"));
    size_t want = unix_socket ? 1 : workers;
    char text[LISTEN_TEXT];
    int fd = want > 1 ? taken(c->address) : 0;
    for (l->fds_n = 0; fd >= 0 && l->fds_n < want; l->fds_n++) {
        fd = net_listen(with_port(c->address, *ret_port, text), want > 1);
        if (fd < 0)
            break;
        fds[l->fds_n] = fd;
        *ret_port = picked_port(c->address, fd);
    }
    if (fd >= 0)
        return true;
    listen_put_error(error, c->address, fd);
    return false;
}

bool listen_open(const struct config *c, unsigned workers, struct listen_set *ret,
                 struct buf *error)
{
    size_t passed = inherited(), used = 0;
    *ret = (struct listen_set){
        .listen = mem_must(mem_calloc(c->listeners_n + 1, sizeof(struct gw_listen))),
        .fds = mem_must(mem_calloc((c->listeners_n + 1) * workers, sizeof(int))),
        .ports = mem_must(mem_calloc(c->listeners_n + 1, sizeof(uint16_t))),
    };
    if (passed > 0 && passed != c->listeners_n) {
        buf_printf(error, "LISTEN_FDS passes %zu sockets, but `listen` has %zu addresses\n", passed,
                   c->listeners_n);
        listen_free(ret);
        return false;
    }
    for (size_t i = 0; i < c->listeners_n; i++) {
        struct gw_listen *l = &ret->listen[i];
        int *fds = ret->fds + used;
        if (i < passed) {
            fds[0] = FIRST_INHERITED + (int)i;
            fcntl(fds[0], F_SETFD, FD_CLOEXEC);
            fcntl(fds[0], F_SETFL, O_NONBLOCK);
            l->fds_n = 1;
        } else if (!open_one(&c->listeners[i], workers, l, &ret->ports[i], fds, error)) {
            for (size_t k = 0; k < used + l->fds_n; k++)
                close(ret->fds[k]);
            listen_free(ret);
            return false;
        }
        l->fds = fds;
        l->unix_socket = slice_starts(c->listeners[i].address, SLICE("unix:"));
        l->proxy_protocol = c->listeners[i].proxy_protocol;
        l->half_close_answer = c->listeners[i].half_close == HALF_CLOSE_ANSWER;
        used += l->fds_n;
        ret->n++;
    }
    return true;
}

void listen_free(struct listen_set *s)
{
    mem_free(s->listen);
    mem_free(s->fds);
    mem_free(s->ports);
    *s = (struct listen_set){0};
}

struct slice listen_address(const struct listen_set *s, size_t i, struct slice configured,
                            char out[LISTEN_TEXT])
{
    struct net_addr a;
    bool picked = i < s->n && net_addr_parse_port(configured, &a) && a.port == 0;
    return picked ? with_port(configured, s->ports[i], out) : configured;
}

void service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;
    if (n == 0 || n >= sizeof un.sun_path)
        return;
    memcpy(un.sun_path, path, n);
    if (*path == '@')
        un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un, len);
    close(fd);
}
