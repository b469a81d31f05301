/* One HTTP/1.0 exchange with the running gateway over its admin socket. */
#include "admin_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/slice.h"
#include "datadir.h"

#define PATIENCE_S 60 /* a reload reads files and makes TLS contexts */

static int connect_admin(const char *dir)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/admin.sock", dir);
    if (n < 0 || (size_t)n >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
        return fd;
    int err = errno;
    if (fd >= 0)
        close(fd);
    errno = err;
    return -1;
}

/* The whole answer, which ends with the connection, with a final NUL; false: nothing came. */
static bool exchange(int fd, const char *method, const char *path, char *answer, size_t size)
{
    char request[256];
    size_t used = 0;
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.0\r\nHost: localhost\r\n\r\n", method,
                     path);
    if (n < 0 || (size_t)n >= sizeof request || send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        return false;
    for (ssize_t got; used + 1 < size && (got = read(fd, answer + used, size - 1 - used)) > 0;)
        used += (size_t)got;
    answer[used] = '\0';
    return used > 0;
}

const char *admin_socket_ask(const char *command, const char *data, const char *method,
                             const char *path, int *ret_status)
{
    static char answer[1 << 16];
    char dir[DATADIR_MAX] = "";
    int fd = datadir_find(data, dir, sizeof dir) ? connect_admin(dir) : -1;
    if (fd < 0) {
        fprintf(stderr,
                "weir %s: no gateway answers at %s/admin.sock: %s; is its data folder another "
                "(--data)?\n",
                command, dir, strerror(errno));
        return NULL;
    }
    const char *body = NULL;
    if (exchange(fd, method, path, answer, sizeof answer))
        body = strstr(answer, "\r\n\r\n");
    close(fd);
    uint64_t status;
    if (body == NULL || strncmp(answer, "HTTP/1.", 7) != 0 ||
        !slice_to_u64(slice_of(answer + sizeof "HTTP/1.x", 3), &status)) {
        fprintf(stderr, "weir %s: the gateway gave no answer\n", command);
        return NULL;
    }
    *ret_status = (int)status;
    return body + 4;
}
