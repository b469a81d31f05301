/* Pages of their own for credentials. */
#include "base/secret.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct secret_box {
    char *p;
    size_t size, used;
};

struct secret_box *secret_box_new(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct secret_box *b = mem_calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->size = (MAX_OF(size, (size_t)1) + page - 1) / page * page;
    void *p = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        mem_free(b);
        return NULL;
    }
    b->p = p;
    (void)!mlock(p, b->size);
#ifdef MADV_DONTDUMP
    madvise(p, b->size, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
    madvise(p, b->size, MADV_WIPEONFORK);
#endif
    return b;
}

void secret_box_free(struct secret_box *b)
{
    if (b == NULL)
        return;
    mem_wipe(b->p, b->size);
    munmap(b->p, b->size);
    mem_free(b);
}

struct slice secret_copy(struct secret_box *b, struct slice s)
{
    if (s.n > b->size - b->used)
        return SLICE_NONE;
    char *p = b->p + b->used;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    b->used += s.n;
    return slice_of(p, s.n);
}
