/* `weir import`: from another gateway's configuration and keys to our own. What has no counterpart
 * is named line by line; what is written has passed the checks of `weir check`. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "command.h"
#include "control/build.h"
#include "import_keep.h"
#include "options.h"
#include "terminal.h"

#define FILE_MAX_BYTES  ((size_t)256 << 20)
#define ARENA_MAX_BYTES ((size_t)2 << 30)
#define TEXT_MAX_BYTES  ((size_t)64 << 20)

void import_note(struct import *im, size_t line, const char *fmt, ...)
{
    char text[2048];
    struct buf shown;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_init(&shown, 8192);
    terminal_text_line(&shown, slice_str(text), sizeof text);
    fprintf(stderr, "%s:%zu: %.*s\n", im->file, line, SLICE_ARG(buf_view(&shown)));
    buf_done(&shown);
    im->notes++;
}

void *import_new(struct import *im, size_t size)
{
    return mem_must(arena_zalloc(&im->arena, size));
}

struct slice import_copy(struct import *im, struct slice s)
{
    return slice_of(mem_must(arena_str(&im->arena, s)), s.n);
}

static bool read_file(const char *path, struct buf *ret)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got = fd < 0 ? -1 : 1;
    buf_init(ret, FILE_MAX_BYTES);
    while (got > 0 && buf_reserve(ret, 65536)) {
        do
            got = read(fd, ret->p + ret->n, 65536);
        while (got < 0 && errno == EINTR);
        ret->n += got > 0 ? (size_t)got : 0;
    }
    if (got != 0)
        fprintf(stderr, "weir import: %s: %s\n", path,
                got < 0 ? strerror(errno) : "this file is too large");
    if (fd > STDIN_FILENO)
        close(fd);
    return got == 0;
}

/* Variables of the new file may not be set on this machine: any value does for checking it. */
static const char *any_variable(const char *name)
{
    const char *v = getenv(name);
    bool ours = strncmp(name, "WEIR_", 5) == 0;
    return v != NULL && *v != '\0' ? v : ours ? NULL : "imported";
}

/* The new text as the gateway reads it; NULL: it would be refused, which standard error says. */
static struct config *check(struct slice text, const char *name)
{
    struct config_options o = {.env = any_variable};
    struct buf errors;
    buf_init(&errors, (size_t)1 << 20);
    o.types = builder_provider_types(&o.types_n);
    struct config *c = config_parse(text, name, &o, &errors);
    fprintf(stderr, "%.*s", SLICE_ARG(buf_view(&errors)));
    buf_done(&errors);
    return c;
}

/* Secrets may stand in it. */
static bool write_file(const char *path, bool force, struct slice text)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL);
    int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open(path, flags, 0600);
    bool ok = fd >= 0 && terminal_write(fd, text);
    if (!ok)
        fprintf(stderr, "weir import: %s: %s%s\n", path, strerror(errno),
                errno == EEXIST ? "; --force replaces it" : "");
    if (fd > STDOUT_FILENO && close(fd) != 0)
        ok = false;
    return ok;
}

struct import_options {
    const char *config, *keys, *out, *data;
    bool in_file, force;
};

static size_t count_keys(const struct import *im)
{
    size_t n = 0;
    for (const struct import_key *k = im->keys; k != NULL; k = k->next)
        n++;
    return n;
}

/* Writes, checks, and keeps the keys. */
static int finish(struct import *im, const struct import_options *o)
{
    struct buf text;
    size_t failed = 0, keys = count_keys(im);
    bool shown = strcmp(o->out, "-") == 0;
    buf_init(&text, TEXT_MAX_BYTES);
    import_write(im, o->in_file, &text);
    struct config *c = text.failed ? NULL : check(buf_view(&text), shown ? "weir.yaml" : o->out);
    bool written = !text.failed && write_file(o->out, o->force, buf_view(&text));
    if (text.failed)
        fputs("weir import: the new file would be too long\n", stderr);
    if (c != NULL && written && keys > 0 && !o->in_file) {
        im->file = o->keys;
        failed = import_keep(im, c, o->data);
    }
    if (c != NULL && written)
        fprintf(stderr, "%s: %zu providers, %zu models, %zu keys; %u lines to look at\n",
                shown ? "standard output" : o->out, c->providers_n, c->models_n, keys - failed,
                im->notes);
    else if (written)
        fprintf(stderr, "weir import: %s needs a hand before Weir takes it%s\n", o->out,
                keys > 0 && !o->in_file ? "; no keys were kept" : "");
    bool ok = c != NULL && written && failed == 0;
    config_free(c);
    buf_done(&text);
    return ok ? 0 : 1;
}

static int run(const struct import_options *o)
{
    struct import im = {.file = o->config};
    struct buf config, keys;
    arena_init(&im.arena, NULL, ARENA_MAX_BYTES);
    buf_init(&keys, FILE_MAX_BYTES);
    bool ok = read_file(o->config, &config) && import_litellm(&im, buf_view(&config));
    if (ok && o->keys != NULL) {
        im.file = o->keys;
        ok = read_file(o->keys, &keys) && import_litellm_keys(&im, buf_view(&keys));
        im.file = o->config;
    }
    int status = ok ? finish(&im, o) : 1;
    buf_done(&config);
    buf_done(&keys);
    arena_wipe(&im.arena);
    return status;
}

int cmd_import(int argc, char **argv)
{
    struct import_options o = {.out = "weir.yaml"};
    const struct option_row rows[] = {
        {"--keys", "dump of the table LiteLLM_VerificationToken: JSON or CSV", &o.keys, NULL},
        {"--keys-in-file", "write the keys into the new file, not into the store", NULL,
         &o.in_file},
        {"-o", "the new file, or - (weir.yaml)", &o.out, NULL},
        {"--force", "replace the file if it exists", NULL, &o.force},
        {"--data", "data folder of the gateway that gets the keys", &o.data, NULL},
    };
    int words = options_read(argc, argv, "import litellm FILE [--keys DUMP] [-o weir.yaml]", rows,
                             ARRAY_LEN(rows), 2);
    if (words < 0)
        return options_status(words);
    if (words != 2 || strcmp(argv[1], "litellm") != 0) {
        fputs("weir import: what from? `weir import litellm FILE`; see weir import --help\n",
              stderr);
        return 2;
    }
    o.config = argv[2];
    return run(&o);
}
