/* `weir pull`: fetches a model file, goes on where an earlier run stopped, and gives the file its
 * name only when it is right. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "command.h"
#include "datadir.h"
#include "gguf.h"
#include "options.h"
#include "pull_request.h"
#include "version.h"

#define BACKOFF_NS      (500 * NS_PER_MS)
#define BACKOFF_MAX_NS  (30 * NS_PER_S)
#define TRIES           "6" /* in a row without a byte of progress */
#define TRIES_MAX       1000u
#define RESTARTS_MAX    3
#define SLOW_HASH_BYTES ((int64_t)500 << 20) /* from here on progress is shown */

static const char usage[] =
    "pull [OPTIONS] URL | hf:ORG/REPO/FILE.gguf\n"
    "Fetches a model file (GGUF) into the data folder's models/, where engines find it by name.\n"
    "What is interrupted goes on when it is run again. HF_TOKEN is for models that ask for\n"
    "permission, HF_ENDPOINT for a mirror.";

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("weir pull: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool on_hashed(void *ctx, int64_t at)
{
    progress_show(ctx, at, clock_mono_ns());
    return !interrupts_take();
}

static bool hash_of(int fd, int64_t size, char ret[2 * SHA256_BYTES + 1])
{
    struct progress p;
    if (size < SLOW_HASH_BYTES)
        return partfile_hash(fd, size, ret, NULL, NULL);
    progress_begin(&p, "checking", size, 0, clock_mono_ns());
    bool ok = partfile_hash(fd, size, ret, on_hashed, &p);
    progress_end(&p);
    return ok;
}

/* Whether the file that has the name now has the hash `expected`. */
static bool present_is(const struct pull *p, const char *expected)
{
    char found[2 * SHA256_BYTES + 1];
    int fd = open(p->part.path, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && hash_of(fd, p->present_bytes, found) && strcmp(found, expected) == 0;
    if (fd >= 0)
        close(fd);
    return same;
}

static int present(const struct pull *p)
{
    say("%s is there already; --force fetches it again", p->source.name);
    printf("%s\n", p->part.path);
    return 0;
}

/* The bytes are all there: are they right? Then they get their name. */
static int finish(struct pull *p)
{
    const char *expected = pull_expected_hash(p), *why;
    char found[2 * SHA256_BYTES + 1];
    struct gguf_info info;
    if (!gguf_check(p->part.fd, p->part.at, &info, &why)) {
        say("the file is damaged: %s; it has been removed", why);
        partfile_discard(&p->part);
        return 1;
    }
    if (!hash_of(p->part.fd, p->part.at, found)) {
        say("the file could not be checked; run the command again");
        return 1;
    }
    if (expected[0] != '\0' && strcmp(expected, found) != 0) {
        say("the file is wrong: its SHA-256 is %s, %s %s; it has been removed", found,
            p->wanted[0] != '\0' ? "not" : "and the server's is", expected);
        partfile_discard(&p->part);
        return 1;
    }
    if (!partfile_commit(&p->part)) {
        say("%s: %s", p->part.path, strerror(errno));
        return 1;
    }
    fprintf(stderr, "%s: %lld bytes, SHA-256 %s%s\n", p->source.name, (long long)p->part.at, found,
            expected[0] != '\0' ? " as expected" : "");
    printf("%s\n", p->part.path);
    return 0;
}

/* Waits before another try. False: the user has had enough. */
static bool wait_ns(int64_t ns, int interrupt_fd)
{
    struct pollfd fd = {.fd = interrupt_fd, .events = POLLIN};
    return poll(&fd, 1, (int)(ns / NS_PER_MS)) == 0;
}

static int stopped(const struct pull *p)
{
    if (p->part.at > 0 && p->part.validator[0] != '\0')
        say("stopped after %lld bytes; the same command goes on from there", (long long)p->part.at);
    else
        say("stopped");
    return 1;
}

/* PULL_AGAIN: waits, if another try is due. */
static bool try_again(struct pull *p, unsigned *tries, int interrupt_fd)
{
    *tries = p->part.at > p->began_at ? 1 : *tries + 1;
    if (*tries >= p->tries_max) {
        say("%s; giving up after %u tries", p->why, p->tries_max);
        return false;
    }
    unsigned doublings = MIN_OF(*tries - 1, 10u);
    int64_t wait = MIN_OF(BACKOFF_NS << doublings, BACKOFF_MAX_NS);
    wait += (int64_t)(random_u64() % (uint64_t)(wait / 4));
    wait = MAX_OF(wait, p->retry_after_ns);
    say("%s; trying again in %.1f s", p->why, (double)wait / 1e9);
    if (wait_ns(wait, interrupt_fd))
        return true;
    stopped(p);
    return false;
}

static bool restart(struct pull *p, unsigned *restarts)
{
    bool ok = ++*restarts <= RESTARTS_MAX;
    say("%s; %s", p->why, ok ? "starting over" : "giving up");
    if (ok && !partfile_restart(&p->part)) {
        say("%s: %s", p->part.part, strerror(errno));
        ok = false;
    }
    return ok;
}

static int transfer(struct pull *p, int interrupt_fd)
{
    unsigned tries = 0, restarts = 0;
    for (;;) {
        pull_request(p);
        switch (p->step) {
        case PULL_COMPLETE: return finish(p);
        case PULL_PRESENT: return present(p);
        case PULL_STOPPED: return stopped(p);
        case PULL_FAILED: say("%s", p->why); return 1;
        case PULL_COMPARE:
            if (present_is(p, pull_expected_hash(p)))
                return present(p);
            p->present_bytes = -1;
            break;
        case PULL_RESTART:
            if (!restart(p, &restarts))
                return 1;
            break;
        case PULL_AGAIN:
            if (!try_again(p, &tries, interrupt_fd))
                return 1;
            break;
        }
    }
}

/* The folder for models, made if it is not there. */
static bool models_dir(const char *option, char *out, size_t size)
{
    char data[DATADIR_MAX];
    if (!datadir_find(option, data, sizeof data)) {
        say("there is no data folder: give one with --data");
        return false;
    }
    int n = snprintf(out, size, "%s/models", data);
    if (n > 0 && (size_t)n < size && datadir_make(out))
        return true;
    say("%s: %s", out, strerror(errno));
    return false;
}

static int pull(struct pull *p, const char *dir, bool force)
{
    struct stat st;
    int interrupt_fd = interrupts_catch(true);
    switch (partfile_open(&p->part, dir, p->source.name, p->source.url)) {
    case PART_OPEN: break;
    case PART_BUSY: say("%s is being fetched by another process", p->source.name); return 1;
    case PART_ERROR: say("%s: %s", p->part.part, strerror(errno)); return 1;
    }
    p->present_bytes = !force && stat(p->part.path, &st) == 0 ? st.st_size : -1;
    int status = 0;
    if (p->present_bytes >= 0 && p->wanted[0] != '\0' && present_is(p, p->wanted)) {
        status = present(p);
    } else {
        if (p->wanted[0] != '\0')
            p->present_bytes = -1;
        if (p->part.at > 0)
            say("going on after %lld bytes", (long long)p->part.at);
        fetcher_cancel_on(p->fetcher, interrupt_fd);
        status = transfer(p, interrupt_fd);
    }
    partfile_close(&p->part);
    return status;
}

static bool read_hash(const char *text, char ret[2 * SHA256_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];
    if (!hex_decode(slice_str(text), digest, sizeof digest))
        return false;
    hex_encode(digest, sizeof digest, ret);
    return true;
}

/* What is wrong with the options, or NULL; what they say goes into `p`. */
static const char *read_options(struct pull *p, int words, const char *sha256, const char *stall,
                                const char *tries)
{
    uint64_t n;
    if (words != 1)
        return "one URL is needed";
    if (sha256 != NULL && !read_hash(sha256, p->wanted))
        return "--sha256 takes 64 hex digits";
    if (!clock_parse_duration(stall, strlen(stall), &p->idle_ns))
        return "--stall takes a time such as 60s";
    if (!slice_to_u64(slice_str(tries), &n) || n == 0 || n > TRIES_MAX)
        return "--tries takes a number from 1 to 1000";
    p->tries_max = (unsigned)n;
    return NULL;
}

int cmd_pull(int argc, char **argv)
{
    const char *sha256 = NULL, *name = NULL, *data = NULL, *ca = NULL, *why;
    const char *stall = "60s", *tries = TRIES;
    bool force = false;
    const struct option_row rows[] = {
        {"--sha256", "HEX    the file has to have this hash", &sha256, NULL},
        {"--name", "NAME   what the file is to be called", &name, NULL},
        {"--data", "DIR    the data folder", &data, NULL},
        {"--force", "fetch it although it is there already", NULL, &force},
        {"--ca", "FILE   further certificate authorities to trust (PEM)", &ca, NULL},
        {"--stall", "TIME   silence after which a connection is given up (60s)", &stall, NULL},
        {"--tries", "N      connections in a row that may bring nothing (6)", &tries, NULL},
    };
    static struct pull p;
    struct arena a;
    char dir[DATADIR_MAX + 16];
    int status = 2, n = options_read(argc, argv, usage, rows, ARRAY_LEN(rows), 1);
    if (n < 0)
        return options_status(n);
    p = (struct pull){.present_bytes = -1};
    why = read_options(&p, n, sha256, stall, tries);
    if (why != NULL) {
        say("%s; see weir pull --help", why);
        return status;
    }
    arena_init(&a, NULL, (size_t)1 << 20);
    p.fetcher = fetcher_new(ca, "weir/" WEIR_VERSION);
    if (!pull_source_read(argv[1], name, &a, &p.source, &why))
        say("%s: %s", argv[1], why);
    else if (p.fetcher == NULL || !models_dir(data, dir, sizeof dir))
        status = 1;
    else
        status = pull(&p, dir, force);
    fetcher_free(p.fetcher);
    arena_reset(&a);
    return status;
}
