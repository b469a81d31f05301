/* Where a llama-server might be. */
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/supervisor.h"
#include "environment.h"

#define ANSWER_NS      (5 * NS_PER_S) /* for `llama serve --version` */
#define ANSWER_STEP_NS (5 * NS_PER_MS)
#define PATH_BYTES     4096

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool put(char *out, size_t size, const char *path)
{
    int n = snprintf(out, size, "%s", path);
    return n > 0 && (size_t)n < size;
}

/* The first program called `name` on PATH. */
static bool on_path(struct slice name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    struct slice rest = slice_str(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin");
    while (rest.n > 0) {
        struct slice dir = slice_cut(&rest, ':');
        int n = snprintf(out, size, "%.*s/%.*s", SLICE_ARG(dir.n > 0 ? dir : SLICE(".")),
                         SLICE_ARG(name));
        if (n > 0 && (size_t)n < size && is_program(out))
            return true;
    }
    return false;
}

/* The exit status of `pid`, which gets ANSWER_NS; -1: none. */
static int wait_for(pid_t pid)
{
    int64_t until_ns = clock_mono_ns() + ANSWER_NS;
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct timespec step = {.tv_nsec = ANSWER_STEP_NS};
        if (clock_mono_ns() > until_ns) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        nanosleep(&step, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Other programs are called `llama` as well: is it the one with `llama serve`? */
static bool serves(char *path)
{
    char serve[] = "serve", version[] = "--version";
    char *argv[] = {path, serve, version, NULL};
    posix_spawn_file_actions_t fa;
    struct arena a;
    pid_t pid = -1;
    arena_init(&a, NULL, (size_t)1 << 20);
    char **env = environment_make(&a, environ, NULL, 0);
    if (env != NULL && posix_spawn_file_actions_init(&fa) == 0) {
        bool quiet = true;
        for (int fd = 0; fd < 3; fd++)
            quiet = posix_spawn_file_actions_addopen(&fa, fd, "/dev/null", O_RDWR, 0) == 0 && quiet;
        if (!quiet || posix_spawn(&pid, path, &fa, NULL, argv, env) != 0)
            pid = -1;
        posix_spawn_file_actions_destroy(&fa);
    }
    arena_reset(&a);
    return pid > 0 && wait_for(pid) == 0;
}

/* The folder of what was fetched or built; false: there is no place for one. */
static bool cache_folder(char *out, size_t size)
{
    const char *cache = getenv("WEIR_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    if (cache != NULL && *cache != '\0')
        n = snprintf(out, size, "%s", cache);
    else if (xdg != NULL && *xdg != '\0')
        n = snprintf(out, size, "%s/weir", xdg);
    else if (home != NULL && *home != '\0')
        n = snprintf(out, size, "%s/.cache/weir", home);
    return n > 0 && (size_t)n < size;
}

/* Characters of `s` that mean something in a pattern are taken literally. False: too long. */
static bool escape_pattern(const char *s, char *out, size_t size)
{
    size_t n = 0;
    for (; *s != '\0'; s++) {
        if (n + 3 > size)
            return false;
        if (strchr("*?[\\", *s) != NULL)
            out[n++] = '\\';
        out[n++] = *s;
    }
    out[n] = '\0';
    return true;
}

static bool newest_in_cache(const char *cache, char *out, size_t size)
{
    char folder[2 * PATH_BYTES], pattern[2 * PATH_BYTES + 32];
    glob_t found;
    struct timespec newest = {0};
    bool any = false;
    if (!escape_pattern(cache, folder, sizeof folder))
        return false;
    snprintf(pattern, sizeof pattern, "%s/engine/*/llama-server", folder);
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        const char *path = found.gl_pathv[i];
        if (!is_program(path) || stat(path, &st) != 0)
            continue;
        bool newer = st.st_mtim.tv_sec > newest.tv_sec ||
                     (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec);
        if ((newer || !any) && put(out, size, path)) {
            newest = st.st_mtim;
            any = true;
        }
    }
    globfree(&found);
    return any;
}

static bool find_configured(struct slice configured, char *out, size_t size)
{
    if (slice_find(configured, '/') < 0) {
        if (on_path(configured, out, size))
            return true;
        snprintf(out, size, "there is no program %.*s on PATH", SLICE_ARG(configured));
        return false;
    }
    int n = snprintf(out, size, "%.*s", SLICE_ARG(configured));
    if (n > 0 && (size_t)n < size && is_program(out))
        return true;
    snprintf(out, size, "%.*s is not a program that can be run", SLICE_ARG(configured));
    return false;
}

bool engine_find_binary(struct slice configured, char *out, size_t size)
{
    char cache[PATH_BYTES];
    if (configured.n > 0)
        return find_configured(configured, out, size);
    if (on_path(SLICE("llama-server"), out, size))
        return true;
    if (on_path(SLICE("llama"), out, size) && serves(out))
        return true;
    bool has_cache = cache_folder(cache, sizeof cache);
    if (has_cache && newest_in_cache(cache, out, size))
        return true;
    snprintf(out, size, "there is no llama-server and no llama (with `llama serve`) on PATH%s%s%s",
             has_cache ? ", and no " : "", has_cache ? cache : "",
             has_cache ? "/engine/*/llama-server" : "");
    return false;
}
