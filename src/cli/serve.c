/* `weir serve`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "command.h"
#include "control/service.h"
#include "datadir.h"
#include "options.h"
#include "version.h"

/* The configuration's own data folder into `out`, or nothing. False: the configuration is wrong,
 * and that has been said, before any folder is made or locked. */
static bool configured_data(const struct service_options *o, char *out, size_t size)
{
    struct buf errors;
    buf_init(&errors, (size_t)1 << 20);
    struct config *c = service_load(o, &errors);
    if (c == NULL)
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_view(&errors)));
    else if (c->data.n > 0)
        snprintf(out, size, SLICE_FMT, SLICE_ARG(c->data));
    bool ok = c != NULL; /* warnings are logged when it is loaded again */
    config_free(c);
    buf_done(&errors);
    return ok;
}

/* One process per data folder. The descriptor stays open until the process ends. */
static bool lock_data(const char *dir)
{
    char path[DATADIR_MAX + 16];
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        fprintf(stderr, "weir serve: another weir uses the data folder %s\n", dir);
    else
        fprintf(stderr, "weir serve: %s: %s\n", path, strerror(errno));
    return false;
}

static bool read_env_file(const char *path)
{
    struct buf errors;
    buf_init(&errors, (size_t)1 << 20);
    bool ok = config_env_file(path, &errors);
    fprintf(stderr, "%.*s", SLICE_ARG(buf_view(&errors)));
    buf_done(&errors);
    return ok;
}

int cmd_serve(int argc, char **argv)
{
    const char *config = NULL, *data = NULL, *env_file = NULL;
    char dir[DATADIR_MAX] = "", self[4096];
    struct service_options o = {.version = WEIR_VERSION};
    const struct option_row rows[] = {
        {"--config", "configuration file", &config, NULL},
        {"--data", "folder for state", &data, NULL},
        {"--env-file", "KEY=VALUE lines for the environment", &env_file, NULL},
        {"--insecure", "listen on public addresses without keys", NULL, &o.insecure},
    };
    int n = options_read(argc, argv, "serve [--config FILE] [--data DIR] [--env-file FILE]", rows,
                         ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    o.self = len > 0 ? self : "weir";
    o.config_path = config;
    if (env_file != NULL && !read_env_file(env_file))
        return 1;
    char wanted[DATADIR_MAX] = "";
    if (!configured_data(&o, wanted, sizeof wanted))
        return 1;
    if (!datadir_find(data != NULL ? data : wanted, dir, sizeof dir)) {
        fprintf(stderr, "weir serve: there is no folder for state; name one with --data\n");
        return 1;
    }
    if (!datadir_make(dir)) {
        fprintf(stderr, "weir serve: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    o.data_dir = dir;
    return lock_data(dir) ? service_run(&o) : 1;
}
