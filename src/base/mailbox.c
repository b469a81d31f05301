/* Bounded multi-producer queue: each cell carries the turn at which it may be written or read. */
#include "base/mailbox.h"

#include <stdatomic.h>

#include "base/mem.h"

struct cell {
    _Atomic uint64_t turn;
    struct mailbox_msg msg;
};

/* Head and tail are a cache line apart: the producers' writes do not slow the consumer down. (The
 * allocator's alignment is 16, so that _Alignas(64) would promise too much.) */
struct mailbox {
    struct cell *cells;
    uint64_t mask;
    _Atomic uint64_t head; /* next turn to write */
    char apart[64];
    uint64_t tail; /* next turn to read */
};

struct mailbox *mailbox_new(uint32_t size)
{
    ASSERT(size > 1 && (size & (size - 1)) == 0); /* one cell: full would look like free */
    struct mailbox *mb = mem_calloc(1, sizeof *mb);
    if (mb == NULL)
        return NULL;
    mb->cells = mem_calloc(size, sizeof *mb->cells);
    if (mb->cells == NULL) {
        mem_free(mb);
        return NULL;
    }
    mb->mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        atomic_init(&mb->cells[i].turn, i);
    return mb;
}

void mailbox_free(struct mailbox *mb)
{
    if (mb == NULL)
        return;
    mem_free(mb->cells);
    mem_free(mb);
}

bool mailbox_post(struct mailbox *mb, struct mailbox_msg msg)
{
    uint64_t at = atomic_load_explicit(&mb->head, memory_order_relaxed);
    for (;;) {
        struct cell *c = &mb->cells[at & mb->mask];
        uint64_t turn = atomic_load_explicit(&c->turn, memory_order_acquire);
        if (turn == at) {
            if (atomic_compare_exchange_weak_explicit(&mb->head, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                c->msg = msg;
                atomic_store_explicit(&c->turn, at + 1, memory_order_release);
                return true;
            }
        } else if (turn < at) {
            return false;
        } else {
            at = atomic_load_explicit(&mb->head, memory_order_relaxed);
        }
    }
}

bool mailbox_take(struct mailbox *mb, struct mailbox_msg *ret)
{
    struct cell *c = &mb->cells[mb->tail & mb->mask];
    if (atomic_load_explicit(&c->turn, memory_order_acquire) != mb->tail + 1)
        return false;
    *ret = c->msg;
    atomic_store_explicit(&c->turn, mb->tail + mb->mask + 1, memory_order_release);
    mb->tail++;
    return true;
}
