/* `weir reload`: asks the running gateway, over its admin socket, to read its configuration again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/compiler.h"
#include "command.h"
#include "datadir.h"
#include "options.h"

static int connect_admin(const char *dir)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/admin.sock", dir);
    if (n < 0 || (size_t)n >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
        return fd;
    int err = errno;
    if (fd >= 0)
        close(fd);
    errno = err;
    return -1;
}

/* The whole answer, which ends with the connection; its length, or -1. */
static ssize_t ask(int fd, char *answer, size_t size)
{
    static const char request[] = "POST /admin/v1/reload HTTP/1.0\r\nHost: localhost\r\n\r\n";
    size_t used = 0;
    if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
        return -1;
    for (ssize_t n; used + 1 < size && (n = read(fd, answer + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    answer[used] = '\0';
    return (ssize_t)used;
}

int cmd_reload(int argc, char **argv)
{
    static char answer[1 << 16];
    const char *data = NULL;
    char dir[DATADIR_MAX];
    const struct option_row rows[] = {{"--data", "folder of the running gateway", &data, NULL}};
    int n = options_read(argc, argv, "reload [--data DIR]", rows, ARRAY_LEN(rows));
    if (n != 0)
        return n < 0 ? options_status(n) : 2;
    int fd = datadir_find(data, dir, sizeof dir) ? connect_admin(dir) : -1;
    if (fd < 0) {
        fprintf(stderr, "weir reload: no gateway answers at %s/admin.sock: %s\n", dir,
                strerror(errno));
        return 1;
    }
    ssize_t got = ask(fd, answer, sizeof answer);
    close(fd);
    const char *body = got > 0 ? strstr(answer, "\r\n\r\n") : NULL;
    if (body == NULL) {
        fprintf(stderr, "weir reload: the gateway gave no answer\n");
        return 1;
    }
    bool ok = strncmp(answer + 9, "200", 3) == 0;
    fputs(body + 4, ok ? stdout : stderr);
    return ok ? 0 : 1;
}
