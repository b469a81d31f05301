/* Loading: from a file or a text to a checked configuration. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config_load.h"

/* What a file of 4 MiB can need at most: the tree is some 100 bytes for each of its values. */
#define SCRATCH_BYTES ((size_t)256 << 20)
#define CONFIG_BYTES  ((size_t)256 << 20)

struct config_reader *config_reader_new(const char *name, const struct config_options *options)
{
    struct config_reader *r = mem_calloc(1, sizeof *r);
    struct config *c = r != NULL ? mem_calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        mem_free(r);
        return NULL;
    }
    arena_init(&c->arena, NULL, CONFIG_BYTES);
    arena_init(&r->scratch, NULL, SCRATCH_BYTES);
    diag_init(&r->diag, &r->scratch, name);
    r->o = options;
    r->c = c;
    return r;
}

struct config *config_reader_end(struct config_reader *r, struct buf *errors)
{
    struct config *c = r->c;
    diag_print(&r->diag, errors);
    if (diag_failed(&r->diag)) {
        config_free(c);
        c = NULL;
    }
    arena_wipe(&r->scratch);
    mem_free(r);
    return c;
}

struct config *config_parse(struct slice text, const char *name,
                            const struct config_options *options, struct buf *errors)
{
    struct config_reader *r = config_reader_new(name, options);
    if (r == NULL) {
        buf_printf(errors, "%s: out of memory\n", name);
        return NULL;
    }
    r->c->path = arena_copy(&r->c->arena, slice_str(name));
    if (r->c->path.p == NULL)
        diag_no_memory(&r->diag);
    struct ynode *root = yaml_tree_parse(text, &r->scratch, &r->diag);
    if (root != NULL && root->kind == YNODE_MAP)
        config_add_env_providers(r, root);
    if (root != NULL)
        config_read_root(r, root);
    return config_reader_end(r, errors);
}

bool config_read_file(const char *path, size_t max, struct buf *ret, struct buf *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got = fd < 0 ? -1 : 1;
    buf_init(ret, max + 1);
    while (got > 0 && ret->n <= max) {
        size_t room = MIN_OF(max + 1 - ret->n, (size_t)65536);
        if (!buf_reserve(ret, room)) {
            buf_printf(errors, "%s: out of memory\n", path);
            break;
        }
        do
            got = read(fd, ret->p + ret->n, room);
        while (got < 0 && errno == EINTR);
        ret->n += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        buf_printf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
    else if (ret->n > max)
        buf_printf(errors, "%s: larger than %zu MiB\n", path, max >> 20);
    if (fd >= 0)
        close(fd);
    if (got == 0 && !ret->failed)
        return true;
    buf_done(ret);
    return false;
}

struct config *config_load(const char *path, const struct config_options *options,
                           struct buf *errors)
{
    struct buf text;
    if (!config_read_file(path, YAML_TREE_MAX_BYTES, &text, errors))
        return NULL;
    struct config *c = config_parse(buf_view(&text), path, options, errors);
    mem_wipe(text.p, text.n);
    buf_done(&text);
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    arena_wipe(&c->arena);
    mem_free(c);
}
