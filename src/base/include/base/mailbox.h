/* Bounded queue of small messages from many threads to one (after Dmitry Vyukov's bounded MPMC
 * queue, 1024cores.net). Posting takes no lock and makes no system call. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include "base/compiler.h"

struct mailbox_msg {
    uint32_t kind;
    uint32_t generation; /* of the addressee in `slot`: a late message finds another one there */
    uint64_t slot;
    void *ptr;
};

struct mailbox;

/* Room for `size` messages (a power of two, at least 2), or NULL. */
NODISCARD struct mailbox *mailbox_new(uint32_t size);
void mailbox_free(struct mailbox *mb);

/* Any thread. False: full. */
NODISCARD bool mailbox_post(struct mailbox *mb, struct mailbox_msg msg);

/* The owner's thread only. False: empty. */
NODISCARD bool mailbox_take(struct mailbox *mb, struct mailbox_msg *ret);

#endif
