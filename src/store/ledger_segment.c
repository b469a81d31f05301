/* Segment files. */
#include "ledger_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define READ_BYTES (1024 * RECORD_BYTES)
#define SUFFIX     ".seg"
#define DIGITS     8

bool segment_writer_init(struct segment_writer *w, int dir, uint32_t last)
{
    *w = (struct segment_writer){.dir = dir, .fd = -1, .place = {.segment = last}};
    w->batch = mem_calloc(BATCH_RECORDS, sizeof *w->batch);
    w->known = mem_calloc(NAME_KINDS_N, sizeof *w->known);
    return w->batch != NULL && w->known != NULL;
}

void segment_writer_done(struct segment_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w->batch);
    mem_free(w->known);
    *w = (struct segment_writer){.fd = -1};
}

static bool is_known(const struct segment_writer *w, unsigned kind, uint32_t id)
{
    return (w->known[kind][id / 64] >> id % 64 & 1) != 0;
}

bool segment_put(struct segment_writer *w, const struct names *names, const struct ledger_row *row)
{
    ASSERT(w->batch_done == 0);
    if (w->batch_n + 1 + NAME_KINDS_N > BATCH_RECORDS)
        return false;
    for (unsigned kind = 0; kind < NAME_KINDS_N; kind++) {
        uint32_t id = row->name[kind];
        struct slice text = names_text(names, (enum ledger_name_kind)kind, id);
        if (text.n == 0 || is_known(w, kind, id))
            continue;
        record_name(&w->batch[w->batch_n++], (enum ledger_name_kind)kind, id, text);
        w->known[kind][id / 64] |= (uint64_t)1 << id % 64;
    }
    union record *r = &w->batch[w->batch_n++];
    r->row = *row;
    r->row.version = RECORD_VERSION_ROW;
    record_seal(r);
    return true;
}

void segment_file_name(uint32_t segment, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%08u" SUFFIX, segment);
}

/* pwrite until all is written; false: see errno, and `*done` says how far it came. */
static bool write_all(int fd, const void *p, size_t n, int64_t at, size_t *done)
{
    while (*done < n) {
        ssize_t got = pwrite(fd, (const char *)p + *done, n - *done, (off_t)(at + (int64_t)*done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? ENOSPC : errno;
            return false;
        }
        *done += (size_t)got;
    }
    return true;
}

/* Begins the next file. */
static bool begin_file(struct segment_writer *w, int64_t now_ns)
{
    char name[SEGMENT_NAME_BYTES];
    union record header;
    size_t done = 0;
    uint32_t number = w->place.segment + 1;
    segment_file_name(number, name);
    int fd = openat(w->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    record_header(&header, number, now_ns);
    if (!write_all(fd, &header, sizeof header, 0, &done)) {
        int error = errno;
        close(fd);
        unlinkat(w->dir, name, 0);
        errno = error;
        return false;
    }
    (void)fsync(w->dir);
    w->fd = fd;
    w->created_ns = now_ns;
    w->place = (struct place){.segment = number, .offset = sizeof header};
    return true;
}

bool segment_sync(struct segment_writer *w)
{
    if (w->fd >= 0 && w->unsynced && fdatasync(w->fd) != 0)
        return false;
    w->unsynced = false;
    return true;
}

bool segment_write(struct segment_writer *w, int64_t now_ns)
{
    if (w->batch_n == 0)
        return true;
    if (w->fd < 0 && !begin_file(w, now_ns))
        return false;
    size_t bytes = w->batch_n * sizeof *w->batch;
    if (!write_all(w->fd, w->batch, bytes, w->place.offset, &w->batch_done))
        return false;
    w->place.offset += (int64_t)bytes;
    w->unsynced = true;
    return true;
}

void segment_clear(struct segment_writer *w)
{
    w->batch_n = 0;
    w->batch_done = 0;
}

bool segment_end_if_due(struct segment_writer *w, int64_t now_ns)
{
    bool due = w->place.offset >= SEGMENT_BYTES_MAX || now_ns - w->created_ns > SEGMENT_AGE_MAX_NS;
    if (w->fd < 0 || !due)
        return true;
    if (!segment_sync(w))
        return false;
    close(w->fd);
    w->fd = -1;
    memset(w->known, 0, NAME_KINDS_N * sizeof *w->known);
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The number in a segment's file name, or 0. */
static uint32_t number_of(const char *name)
{
    uint64_t v;
    size_t n = strlen(name);
    if (n != DIGITS + strlen(SUFFIX) || strcmp(name + DIGITS, SUFFIX) != 0 ||
        !slice_to_u64(slice_of(name, DIGITS), &v))
        return 0;
    return (uint32_t)v;
}

bool segment_list(int dir, uint32_t **ret, size_t *ret_n)
{
    uint32_t *list = NULL;
    size_t n = 0, size = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        uint32_t number = number_of(e->d_name);
        if (number == 0)
            continue;
        if (n == size) {
            size = size > 0 ? 2 * size : 64;
            uint32_t *more = mem_realloc(list, size * sizeof *list);
            if (more == NULL) {
                closedir(d);
                mem_free(list);
                errno = ENOMEM;
                return false;
            }
            list = more;
        }
        list[n++] = number;
    }
    closedir(d);
    if (n > 0)
        qsort(list, n, sizeof *list, by_number);
    *ret = list;
    *ret_n = n;
    return true;
}

static int open_file(int dir, uint32_t segment, int flags)
{
    char name[SEGMENT_NAME_BYTES];
    segment_file_name(segment, name);
    return openat(dir, name, flags | O_CLOEXEC);
}

int64_t segment_created(int dir, uint32_t segment)
{
    union record r;
    int fd = open_file(dir, segment, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t got = pread(fd, &r, sizeof r, 0);
    close(fd);
    return got == sizeof r && record_check(&r) == RECORD_HEADER ? r.header.created_ns : 0;
}

int64_t segment_size(int dir, uint32_t segment)
{
    char name[SEGMENT_NAME_BYTES];
    struct stat st;
    segment_file_name(segment, name);
    return fstatat(dir, name, &st, 0) == 0 ? (int64_t)st.st_size : 0;
}

bool segment_scan(struct slice bytes, struct place from, segment_fn *fn, void *ctx,
                  struct place *ret_good)
{
    while (bytes.n >= RECORD_BYTES) {
        union record r;
        memcpy(&r, bytes.p, sizeof r);
        enum record_kind kind = record_check(&r);
        if (!fn(ctx, &r, kind, from))
            return false;
        from.offset += (int64_t)RECORD_BYTES;
        if (kind != RECORD_BAD)
            *ret_good = from;
        bytes = slice_from(bytes, RECORD_BYTES);
    }
    return true;
}

/* Up to `size` bytes; -1: see errno. */
static ssize_t read_some(int fd, char *out, size_t size, int64_t at)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = pread(fd, out + n, size - n, (off_t)(at + (int64_t)n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

bool segment_read(int dir, struct place from, int64_t end, segment_fn *fn, void *ctx,
                  struct place *ret_good)
{
    int fd = open_file(dir, from.segment, O_RDONLY);
    char *bytes = fd >= 0 ? mem_alloc(READ_BYTES) : NULL;
    bool ok = bytes != NULL;
    int error = fd < 0 ? errno : ENOMEM;
    *ret_good = from;
    while (ok && (end < 0 || from.offset < end)) {
        size_t want = end < 0 ? READ_BYTES : (size_t)MIN_OF((int64_t)READ_BYTES, end - from.offset);
        ssize_t got = read_some(fd, bytes, want, from.offset);
        error = got < 0 ? errno : 0;
        ok = got >= 0 && segment_scan(slice_of(bytes, (size_t)got), from, fn, ctx, ret_good);
        from.offset += got;
        if (got < (ssize_t)RECORD_BYTES)
            break;
    }
    mem_free(bytes);
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok;
}

bool segment_cut(int dir, struct place good)
{
    int fd = open_file(dir, good.segment, O_WRONLY);
    if (fd < 0)
        return false;
    bool ok = ftruncate(fd, (off_t)good.offset) == 0 && fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}
