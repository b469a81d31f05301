/* Rollups in memory, on their way to the database.
 *
 * Rows are first summed up by minute and all of their names (cells), and by hour and user. At a
 * merge these are staged, and folded into what the slow part holds: cells by hour. The fast part
 * of the database, each name by minute, is written at each merge; the slow part, names by hour, day
 * and month, the cube and the users, when it has grown enough. Each part has its own place
 * in the segments, which is written in the same transaction: a replay starts there. What is staged
 * stays until its transaction is through. */
#ifndef STORE_LEDGER_ROLLUP_H
#define STORE_LEDGER_ROLLUP_H

#include "ledger_tally.h"

/* Classes of time. */
enum rollup_class { ROLLUP_MINUTE, ROLLUP_HOUR, ROLLUP_DAY, ROLLUP_MONTH, ROLLUP_CLASSES_N };
/* Seconds that buckets are looked up for: the years 1970 to 2199; the calendar overflows far away.
 */
#define ROLLUP_TIME_MAX INT64_C(7258118400)
static inline int64_t rollup_seconds(int64_t ns)
{
    int64_t s = ns / 1000000000;
    return s < 0 ? 0 : s < ROLLUP_TIME_MAX ? s : ROLLUP_TIME_MAX;
}
/* Start, in seconds of Unix time, of the class' bucket that holds the second `s`. */
int64_t rollup_bucket(enum rollup_class c, int64_t s);
/* Start of the next one. */
int64_t rollup_next(enum rollup_class c, int64_t s);

/* Short lists of (code, count); the first few stand in the list itself. A code whose count is full
 * stands there again. */
#define CODES_INSIDE 14
struct code_count {
    uint16_t code, count;
};
struct code_list {
    uint32_t n, size; /* size 0: they are inside */
    union {
        struct code_count inside[CODES_INSIDE];
        struct code_count *p;
    };
};
static inline const struct code_count *codes_of(const struct code_list *l)
{
    return l->size == 0 ? l->inside : l->p;
}

struct cell_key {
    int64_t bucket; /* seconds */
    uint32_t name[NAME_KINDS_N];
    uint32_t spare;
};
struct cell {
    struct cell_key key;
    struct figures sums;
    struct code_list marks, users;
};
struct user_key {
    int64_t bucket;
    uint64_t user;
};
struct user_cell {
    struct user_key key;
    struct figures sums;
};

/* Hash tables that keep their entries in one array. */
struct rollup_map {
    void *entries;
    uint32_t *slots; /* index + 1 */
    uint32_t n, size, mask;
};

struct rollup {
    struct rollup_map live, staged, held; /* of struct cell; held: by hour */
    struct rollup_map held_users;         /* of struct user_cell */
    struct user_cell *live_users;         /* one for each row, on their way there */
    uint32_t live_users_n, live_users_size;
    int64_t hour_from, hour_to; /* the latest hour looked up */
};

void rollup_init(struct rollup *r);
void rollup_done(struct rollup *r);
/* Forgets all; what was in it has to be read again. */
void rollup_reset(struct rollup *r);

/* False: no memory, and the rollup has to be reset. `slow_only`: the fast part has it already. */
NODISCARD bool rollup_add(struct rollup *r, const struct ledger_row *row, bool slow_only);
/* Stages what is live; only when nothing is staged. False: no memory, reset it. */
NODISCARD bool rollup_stage(struct rollup *r);
void rollup_clear_staged(struct rollup *r);
void rollup_clear_held(struct rollup *r);
/* How many lines the slow part would write. */
static inline uint32_t rollup_held(const struct rollup *r)
{
    return r->held.n + r->held_users.n;
}
static inline uint32_t rollup_pending(const struct rollup *r)
{
    return r->live.n + r->staged.n + r->live_users_n + rollup_held(r);
}
/* For rollup_map_find. */
NODISCARD bool rollup_map_grow(struct rollup_map *m, size_t entry, size_t key_n);

/* `n` is a multiple of 8. Numbers of names and keyed hashes: nobody chooses them. */
static inline uint32_t rollup_hash(const void *p, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u, v;
    for (size_t i = 0; i < n; i += 8) {
        memcpy(&v, (const char *)p + i, 8);
        __uint128_t m = (__uint128_t)(h ^ v) * 0xa0761d6478bd642fu;
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    return (uint32_t)(h ^ h >> 32);
}

static inline bool rollup_same_key(const void *a, const void *b, size_t n)
{
    uint64_t x, y, differ = 0;
    for (size_t i = 0; i < n; i += 8) {
        memcpy(&x, (const char *)a + i, 8);
        memcpy(&y, (const char *)b + i, 8);
        differ |= x ^ y;
    }
    return differ == 0;
}

/* The entry that begins with the `key_n` bytes (a multiple of 8) of `key`, made and zeroed when
 * there is none. NULL: no memory. Inline, so that keys are compared without calls. */
static inline void *rollup_map_find(struct rollup_map *m, const void *key, size_t key_n,
                                    size_t entry)
{
    if (unlikely(m->n == m->size) && !rollup_map_grow(m, entry, key_n))
        return NULL;
    uint32_t at = rollup_hash(key, key_n) & m->mask;
    for (; m->slots[at] != 0; at = (at + 1) & m->mask) {
        char *e = (char *)m->entries + (m->slots[at] - 1) * entry;
        if (likely(rollup_same_key(e, key, key_n)))
            return e;
    }
    char *e = (char *)m->entries + m->n * entry;
    memset(e, 0, entry);
    memcpy(e, key, key_n);
    m->slots[at] = ++m->n;
    return e;
}
void rollup_map_clear(struct rollup_map *m);
void rollup_map_done(struct rollup_map *m);

static inline struct cell *rollup_cells(const struct rollup_map *m)
{
    return m->entries;
}
static inline struct user_cell *rollup_users(const struct rollup_map *m)
{
    return m->entries;
}

#endif
