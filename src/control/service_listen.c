/* Listening sockets, cores, and systemd's protocols. */
#include "service_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

static bool open_one(const struct config_listener *c, unsigned workers, int *fds, size_t *ret_n,
                     struct buf *error)
{
    bool unix_socket = slice_starts(c->address, SLICE("unix:"));
    size_t want = unix_socket ? 1 : workers;
    for (*ret_n = 0; *ret_n < want; ++*ret_n) {
        int fd = net_listen(c->address, want > 1);
        if (fd < 0) {
            buf_printf(error, "cannot listen on %.*s: %s\n", SLICE_ARG(c->address), strerror(-fd));
            return false;
        }
        fds[*ret_n] = fd;
    }
    return true;
}

bool listen_open(const struct config *c, unsigned workers, struct listen_set *ret,
                 struct buf *error)
{
    size_t passed = inherited(), used = 0;
    *ret = (struct listen_set){
        .listen = mem_must(mem_calloc(c->listeners_n + 1, sizeof(struct gw_listen))),
        .fds = mem_must(mem_calloc((c->listeners_n + 1) * workers, sizeof(int))),
    };
    for (size_t i = 0; i < c->listeners_n; i++) {
        struct gw_listen *l = &ret->listen[i];
        int *fds = ret->fds + used;
        if (i < passed) {
            fds[0] = FIRST_INHERITED + (int)i;
            fcntl(fds[0], F_SETFD, FD_CLOEXEC);
            fcntl(fds[0], F_SETFL, O_NONBLOCK);
            l->fds_n = 1;
        } else if (!open_one(&c->listeners[i], workers, fds, &l->fds_n, error)) {
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
    *s = (struct listen_set){0};
}

/* cpu.max of cgroup v2 ("200000 100000") or the v1 pair, as whole cores; 0: no limit. */
static unsigned cgroup_cores(void)
{
    long long quota = -1, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f != NULL) {
        if (fscanf(f, "%lld %lld", &quota, &period) != 2)
            quota = -1;
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re")) != NULL) {
        if (fscanf(f, "%lld", &quota) != 1)
            quota = -1;
        fclose(f);
        period = 100000;
    }
    return quota > 0 && period > 0 ? (unsigned)MAX_OF((quota + period - 1) / period, 1LL) : 0;
}

unsigned listen_cores(void)
{
    cpu_set_t set;
    unsigned cores = 1, limit = cgroup_cores();
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = (unsigned)CPU_COUNT(&set);
    return MAX_OF(limit > 0 ? MIN_OF(cores, limit) : cores, 1u);
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
