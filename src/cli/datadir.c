/* Where Weir keeps its state. */
#include "datadir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is set but empty counts as not set. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* The first `n` bytes of `dir`, then `below`. */
static bool put(char *out, size_t size, const char *dir, size_t n, const char *below)
{
    int len = snprintf(out, size, "%.*s%s", (int)n, dir, below);
    if (n >= DATADIR_MAX || len <= 0 || (size_t)len >= size)
        return false;
    while (len > 1 && out[len - 1] == '/')
        out[--len] = '\0';
    return true;
}

bool datadir_find(const char *option, char *out, size_t size)
{
    const char *dir = option != NULL && option[0] != '\0' ? option : variable("WEIR_DATA");
    if (dir != NULL)
        return put(out, size, dir, strlen(dir), "");
    dir = variable("STATE_DIRECTORY"); /* systemd: several are parted by colons */
    if (dir != NULL)
        return put(out, size, dir, strcspn(dir, ":"), "");
    if (geteuid() == 0)
        return put(out, size, "/var/lib/weir", strlen("/var/lib/weir"), "");
    dir = variable("XDG_STATE_HOME");
    if (dir != NULL && dir[0] == '/')
        return put(out, size, dir, strlen(dir), "/weir");
    dir = variable("HOME");
    return dir != NULL && put(out, size, dir, strlen(dir), "/.local/state/weir");
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool datadir_make(const char *path)
{
    char part[DATADIR_MAX];
    size_t n = strlen(path);
    if (n >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (is_dir(path))
        return true;
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && !is_dir(part)) {
            errno = errno == EEXIST ? ENOTDIR : errno;
            return false;
        }
        part[i] = path[i];
    }
    return true;
}
