/* A download that may take several runs: see partfile.h. */
#include "partfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "terminal.h"

#define STATE_MAX   ((size_t)65536)
#define HASH_WINDOW ((size_t)1 << 20)

static bool put_path(char *out, const char *dir, const char *name, const char *end)
{
    int n = snprintf(out, PARTFILE_PATH_MAX, "%s/%s%s", dir, name, end);
    return n > 0 && n < PARTFILE_PATH_MAX;
}

/* Opens and locks the part file. The one that had it before may have renamed or removed the file
 * between our open and our lock; then it is opened again. */
static enum part_open open_locked(struct partfile *p)
{
    for (int tries = 0; tries < 10; tries++) {
        struct stat ours, named;
        p->fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (p->fd < 0)
            return PART_ERROR;
        if (flock(p->fd, LOCK_EX | LOCK_NB) != 0) {
            int saved = errno;
            close(p->fd);
            p->fd = -1;
            errno = saved;
            return saved == EWOULDBLOCK ? PART_BUSY : PART_ERROR;
        }
        if (fstat(p->fd, &ours) == 0 && stat(p->part, &named) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev) {
            p->at = ours.st_size;
            return PART_OPEN;
        }
        close(p->fd);
        p->fd = -1;
    }
    return PART_BUSY;
}

/* A member that is a string of less than `size` bytes; else "". */
static void get_text(const struct json_doc *d, struct arena *a, const char *key, char *out,
                     size_t size)
{
    uint32_t node = json_get(d, 0, slice_str(key));
    out[0] = '\0';
    if (node == 0 || json_type_at(d, node) != JSON_STRING)
        return;
    struct slice s = json_string(d, node, a);
    if (s.p == NULL || s.n >= size)
        return;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}

static void read_state(struct partfile *p, struct slice text, struct slice url)
{
    struct json_parser *parser = json_parser_new();
    struct json_doc d;
    struct arena a;
    arena_init(&a, NULL, 2 * STATE_MAX);
    if (parser != NULL && json_parse(parser, text, 0, &d) == JSON_OK &&
        json_type_at(&d, 0) == JSON_OBJECT) {
        uint32_t from = json_get(&d, 0, SLICE("url"));
        uint32_t total = json_get(&d, 0, SLICE("total"));
        if (from != 0 && json_type_at(&d, from) == JSON_STRING && json_string_is(&d, from, url)) {
            get_text(&d, &a, "validator", p->validator, sizeof p->validator);
            get_text(&d, &a, "sha256", p->sha256, sizeof p->sha256);
            if (total == 0 || !json_i64(&d, total, &p->total))
                p->total = -1;
        }
    }
    arena_reset(&a);
    json_parser_free(parser);
}

static void load_state(struct partfile *p, struct slice url)
{
    char *text = mem_alloc(STATE_MAX);
    int fd = open(p->state, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 && text != NULL ? read(fd, text, STATE_MAX) : 0;
    if (n > 0)
        read_state(p, slice_of(text, (size_t)n), url);
    if (fd >= 0)
        close(fd);
    mem_free(text);
}

enum part_open partfile_open(struct partfile *p, const char *dir, const char *name,
                             struct slice url)
{
    *p = (struct partfile){.fd = -1, .total = -1};
    if (!put_path(p->path, dir, name, "") || !put_path(p->part, dir, name, ".part") ||
        !put_path(p->state, dir, name, ".part.json") || strlen(dir) >= sizeof p->dir) {
        errno = ENAMETOOLONG;
        return PART_ERROR;
    }
    memcpy(p->dir, dir, strlen(dir) + 1);
    enum part_open r = open_locked(p);
    if (r != PART_OPEN)
        return r;
    load_state(p, url);
    if (p->at > 0 && p->validator[0] == '\0' && !partfile_restart(p))
        return PART_ERROR;
    return PART_OPEN;
}

bool partfile_restart(struct partfile *p)
{
    p->at = 0;
    p->validator[0] = '\0';
    p->total = -1;
    return ftruncate(p->fd, 0) == 0;
}

bool partfile_save(const struct partfile *p, struct slice url)
{
    char next[PARTFILE_PATH_MAX + 8];
    struct buf b;
    struct json_writer w = json_writer(&b);
    buf_init(&b, STATE_MAX);
    jw_open(&w, '{');
    jw_field_string(&w, "url", url);
    jw_field_string(&w, "validator", slice_str(p->validator));
    jw_field_string(&w, "sha256", slice_str(p->sha256));
    jw_field_i64(&w, "total", p->total);
    jw_close(&w, '}');
    buf_char(&b, '\n');
    snprintf(next, sizeof next, "%s.new", p->state);
    int fd = b.failed ? -1 : open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool ok = fd >= 0 && terminal_write(fd, buf_view(&b));
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    buf_done(&b);
    ok = ok && rename(next, p->state) == 0;
    int saved = errno;
    if (!ok)
        unlink(next);
    errno = saved;
    return ok;
}

bool partfile_append(struct partfile *p, struct slice data)
{
    while (data.n > 0) {
        ssize_t n = pwrite(p->fd, data.p, data.n, (off_t)p->at);
        if (n < 0 && errno != EINTR)
            return false;
        if (n <= 0)
            continue;
        p->at += n;
        data = slice_from(data, (size_t)n);
    }
    return true;
}

static bool hash_window(int fd, int64_t *at, int64_t size, char *window,
                        struct hash_sha256_state *h)
{
    size_t want = (size_t)MIN_OF((int64_t)HASH_WINDOW, size - *at);
    ssize_t n = pread(fd, window, want, (off_t)*at);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    *at += n;
    return hash_sha256_add(h, slice_of(window, (size_t)n));
}

bool partfile_hash(int fd, int64_t size, char ret[2 * SHA256_BYTES + 1],
                   bool (*step)(void *ctx, int64_t at), void *ctx)
{
    uint8_t digest[SHA256_BYTES];
    struct hash_sha256_state *h = hash_sha256_begin();
    char *window = mem_alloc(HASH_WINDOW);
    bool ok = h != NULL && window != NULL;
    for (int64_t at = 0; ok && at < size;) {
        ok = hash_window(fd, &at, size, window, h);
        ok = ok && (step == NULL || step(ctx, at));
    }
    if (h != NULL)
        ok = hash_sha256_end(h, digest) && ok;
    mem_free(window);
    if (ok)
        hex_encode(digest, sizeof digest, ret);
    return ok;
}

/* After a power loss the file may be missing if this fails, but it is never wrong. */
static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

bool partfile_commit(struct partfile *p)
{
    if (ftruncate(p->fd, (off_t)p->at) != 0 || fsync(p->fd) != 0 || rename(p->part, p->path) != 0)
        return false;
    sync_dir(p->dir);
    unlink(p->state);
    close(p->fd);
    p->fd = -1;
    return true;
}

void partfile_discard(struct partfile *p)
{
    unlink(p->state);
    unlink(p->part);
    close(p->fd);
    p->fd = -1;
}

void partfile_close(struct partfile *p)
{
    if (p->fd >= 0 && p->at == 0)
        partfile_discard(p);
    else if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}
