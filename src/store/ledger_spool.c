/* The spool's file and its parts: header, noted names, ends of the lanes, rings, places. */
#include "ledger_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_FILE   "spool"
#define SPOOL_NEW    "spool.new"
#define SPOOL_MAGIC  "weir spool 00001"
#define PAGE         ((size_t)4096)
#define NAMES_BYTES  ((size_t)4 << 20)
#define WARM_BYTES   ((size_t)128 << 10)
#define SLOTS_WARMED 64
#define ROWS_MAX     ((uint32_t)1 << 24)
#define SLOTS_MAX    ((uint32_t)1 << 20)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct spool_header {
    char magic[16];
    uint32_t lanes, rows, slots;
    uint32_t check;
    _Alignas(64) _Atomic uint64_t names_used;
};

/* A name as noted; its text follows, filled up to a multiple of 8. */
struct noted_name {
    uint32_t check;
    uint8_t kind, n;
    uint16_t spare;
    uint32_t id, spare2;
};

static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* After wyhash's folded multiplication (Wang Yi, public domain), with fixed factors: this guards
 * against accidents only. `n` is a multiple of 8. */
static uint32_t sum_of(const void *p, size_t n)
{
    uint64_t h = n, a, b;
    const char *at = p;
    for (; n >= 16; n -= 16, at += 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        h = fold(a ^ 0xa0761d6478bd642fu, b ^ h);
    }
    a = 0;
    memcpy(&a, at, n);
    h = fold(a ^ 0xe7037ed1a0b428dbu, h ^ 0x8ebc6af09c88c6e3u);
    return (uint32_t)(h ^ h >> 32);
}

uint32_t spool_check(const struct ledger_row *row)
{
    return sum_of((const char *)row + 8, sizeof *row - 8) ^ (uint32_t)row->reason << 8 ^
           row->attempt;
}

static size_t pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static size_t ends_at(void)
{
    return PAGE + NAMES_BYTES;
}

static size_t lane_bytes(uint32_t rows, uint32_t slots)
{
    return pages(rows * sizeof(struct ledger_row)) + pages(slots * sizeof(struct spool_slot));
}

static size_t lanes_at(uint32_t lanes)
{
    return ends_at() + pages(lanes * sizeof(struct spool_ends));
}

static size_t bytes_of(uint32_t lanes, uint32_t rows, uint32_t slots)
{
    return lanes_at(lanes) + lanes * lane_bytes(rows, slots);
}

struct spool_lane spool_lane(const struct spool *s, uint32_t index)
{
    ASSERT(index < s->lanes);
    char *lane = s->map + lanes_at(s->lanes) + index * lane_bytes(s->rows, s->slots);
    void *ends = s->map + ends_at() + index * sizeof(struct spool_ends);
    void *slots = lane + pages(s->rows * sizeof(struct ledger_row));
    return (struct spool_lane){.ends = ends, .ring = (void *)lane, .slots = slots};
}

static uint32_t header_check(const struct spool_header *h)
{
    return h->lanes * 2654435761u ^ h->rows * 2246822519u ^ h->slots * 3266489917u;
}

/* The file, preallocated: a page that finds no room on the disk would kill the process. -1: see
 * errno. */
static int make_file(int dir, size_t bytes)
{
    int fd = openat(dir, SPOOL_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int error = posix_fallocate(fd, 0, (off_t)bytes);
    if (error == 0)
        return fd;
    close(fd);
    unlinkat(dir, SPOOL_NEW, 0);
    errno = error;
    return -1;
}

static char *map_file(int dir, size_t bytes, struct buf *why)
{
    int fd = make_file(dir, bytes);
    if (fd < 0) {
        buf_printf(why, "the spool's file cannot be made: %s", strerror(errno));
        return NULL;
    }
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        buf_printf(why, "the spool's file cannot be mapped: %s", strerror(errno));
        map = NULL;
    }
    close(fd);
    return map;
}

bool spool_make(struct spool *s, int dir, uint32_t lanes, uint32_t rows, uint32_t slots,
                const uint32_t *number, const uint64_t *start, struct buf *why)
{
    size_t bytes = bytes_of(lanes, rows, slots);
    char *map = map_file(dir, bytes, why);
    *s = (struct spool){.bytes = bytes, .lanes = lanes, .rows = rows, .slots = slots};
    s->kept = map != NULL;
    if (map == NULL) {
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
            return false;
    }
    s->map = map;
    struct spool_header *h = (void *)map;
    h->lanes = lanes;
    h->rows = rows;
    h->slots = slots;
    h->check = header_check(h);
    for (uint32_t i = 0; i < lanes; i++) {
        struct spool_ends *ends = spool_lane(s, i).ends;
        ends->number = number[i];
        atomic_store(&ends->head, start[i]);
        atomic_store(&ends->tail, start[i]);
    }
    memcpy(h->magic, SPOOL_MAGIC, sizeof h->magic);
    if (s->kept && renameat(dir, SPOOL_NEW, dir, SPOOL_FILE) != 0) {
        buf_printf(why, "the spool's file cannot be renamed: %s", strerror(errno));
        s->kept = false; /* a new start would find the old one, which is empty by now */
    }
    if (!s->kept)
        unlinkat(dir, SPOOL_FILE, 0);
    return true;
}

static bool header_fits(const struct spool_header *h, size_t bytes)
{
    return memcmp(h->magic, SPOOL_MAGIC, sizeof h->magic) == 0 && h->check == header_check(h) &&
           h->lanes > 0 && h->lanes <= LEDGER_LANES_MAX + 1 && h->rows > 0 && h->rows <= ROWS_MAX &&
           h->slots <= SLOTS_MAX && bytes_of(h->lanes, h->rows, h->slots) == bytes;
}

bool spool_map(struct spool *s, int dir, struct buf *why)
{
    struct stat st;
    int fd = openat(dir, SPOOL_FILE, O_RDWR | O_CLOEXEC);
    *s = (struct spool){.kept = true};
    if (fd < 0 && errno == ENOENT)
        return false;
    if (fd < 0 || fstat(fd, &st) != 0) {
        buf_printf(why, "the spool cannot be opened: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    s->bytes = (size_t)st.st_size;
    char *map = s->bytes >= PAGE ? mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                                 : MAP_FAILED;
    close(fd);
    const struct spool_header *h = (const void *)map;
    if (map == MAP_FAILED || !header_fits(h, s->bytes)) {
        buf_lit(why, "the spool is no file of this version; what is in it is left out");
        if (map != MAP_FAILED)
            munmap(map, s->bytes);
        return false;
    }
    s->map = map;
    s->lanes = h->lanes;
    s->rows = h->rows;
    s->slots = h->slots;
    return true;
}

void spool_unmap(struct spool *s)
{
    if (s->map != NULL)
        munmap(s->map, s->bytes);
    *s = (struct spool){.map = NULL};
}

void spool_sync(struct spool *s)
{
    if (s->kept)
        (void)msync(s->map, s->bytes, MS_SYNC);
}

static struct spool_header *header_of(const struct spool *s)
{
    return (struct spool_header *)(void *)s->map;
}

static size_t noted_bytes(size_t text)
{
    return sizeof(struct noted_name) + (text + 7) / 8 * 8;
}

static uint32_t name_check(const struct noted_name *m)
{
    return sum_of((const char *)m + 8, noted_bytes(m->n) - 8) ^ (uint32_t)m->kind << 8 ^ m->n;
}

bool spool_add_name(struct spool *s, enum ledger_name_kind kind, uint32_t id, struct slice text)
{
    struct spool_header *h = header_of(s);
    uint64_t used = atomic_load_explicit(&h->names_used, memory_order_relaxed);
    size_t n = noted_bytes(text.n);
    if (used + n > NAMES_BYTES || text.n > RECORD_NAME_BYTES)
        return false;
    struct noted_name *m = (void *)(s->map + PAGE + used);
    memset(m, 0, n);
    m->kind = (uint8_t)kind;
    m->n = (uint8_t)text.n;
    m->id = id;
    memcpy(m + 1, text.p, text.n);
    m->check = name_check(m);
    atomic_store_explicit(&h->names_used, used + n, memory_order_release);
    return true;
}

bool spool_read_names(const struct spool *s, struct names *names)
{
    uint64_t used = atomic_load(&header_of(s)->names_used);
    for (uint64_t at = 0; at + sizeof(struct noted_name) <= used && used <= NAMES_BYTES;) {
        const struct noted_name *m = (const void *)(s->map + PAGE + at);
        size_t n = noted_bytes(m->n);
        if (n > used - at || m->kind >= NAME_KINDS_N || m->check != name_check(m))
            return true; /* a power failure: the rest never got to the disk */
        struct slice text = slice_of((const char *)(m + 1), m->n);
        struct slice there = names_text(names, (enum ledger_name_kind)m->kind, m->id);
        if (!names_put(names, (enum ledger_name_kind)m->kind, m->id, text) && there.n == 0)
            return false;
        at += n;
    }
    return true;
}

void spool_clear_names(struct spool *s)
{
    atomic_store_explicit(&header_of(s)->names_used, 0, memory_order_release);
}

static void warm(char *from, size_t n)
{
    char *page = from - (uintptr_t)from % PAGE;
    (void)madvise(page, (size_t)(from + n - page), MADV_POPULATE_WRITE); /* older: no help */
}

void spool_warm(const struct spool *s, uint32_t index)
{
    struct spool_lane lane = spool_lane(s, index);
    if (!s->kept)
        return;
    size_t ring = s->rows * sizeof(struct ledger_row);
    size_t at = atomic_load_explicit(&lane.ends->head, memory_order_relaxed) % s->rows *
                sizeof(struct ledger_row);
    warm((char *)lane.ring + at, MIN_OF(WARM_BYTES, ring - at));
    warm((char *)lane.slots, MIN_OF(s->slots, (uint32_t)SLOTS_WARMED) * sizeof(struct spool_slot));
    warm((char *)lane.ends, sizeof *lane.ends);
}
