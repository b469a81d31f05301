/* Names and their numbers: each kind counts from 1. Any thread. */
#ifndef STORE_LEDGER_NAMES_H
#define STORE_LEDGER_NAMES_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "ledger_record.h"

#define NAMES_MAX       65536
#define NAMES_CHUNK     1024
#define NAMES_CHUNKS    (NAMES_MAX / NAMES_CHUNK + 1)
#define USER_SALT_BYTES 16

/* Told of each new name, with the lock held, before anybody can get its number. False: it cannot
 * be kept, and gets none. */
typedef bool names_new_fn(void *ctx, enum ledger_name_kind kind, uint32_t id, struct slice text);

struct names {
    pthread_mutex_t lock;
    struct arena texts;
    names_new_fn *on_new; /* NULL: none */
    void *ctx;
    struct names_of_kind {
        struct slice *_Atomic chunk[NAMES_CHUNKS]; /* by number / NAMES_CHUNK */
        _Atomic uint32_t top;                      /* the highest number in use */
        uint32_t *slots;                           /* numbers by hash; half empty */
        uint32_t mask;
    } kind[NAME_KINDS_N];
};

void names_init(struct names *s);
void names_done(struct names *s);

/* The number of `name`, made when it has none; 0: it is empty, there are too many, no memory, or
 * `on_new` said no. A name over RECORD_NAME_BYTES stands as its beginning and a digest. */
uint32_t names_get(struct names *s, enum ledger_name_kind kind, struct slice name);
/* A name whose number is known from before. False: no memory, or another name has that number. */
NODISCARD bool names_put(struct names *s, enum ledger_name_kind kind, uint32_t id,
                         struct slice name);
/* Takes no lock. */
struct slice names_text(const struct names *s, enum ledger_name_kind kind, uint32_t id);
static inline uint32_t names_top(const struct names *s, enum ledger_name_kind kind)
{
    return atomic_load_explicit(&s->kind[kind].top, memory_order_acquire);
}

/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012). */
uint64_t siphash24(const uint64_t key[2], struct slice s);

#endif
