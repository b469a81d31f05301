/* Rollups in memory, on their way to the database.
 *
 * Rows are first summed up by minute and all of their names (cells), and by hour and user. At a
 * merge these are staged, and folded into what the slow part holds: cells by hour. The fast part
 * of the database, each name by minute and by hour, is written at each merge; the slow part, names
 * by day and month, the cube and the users, when it has grown enough. Each part has its own place
 * in the segments, which is written in the same transaction: a replay starts there. What is staged
 * stays until its transaction is through. */
#ifndef STORE_LEDGER_ROLLUP_H
#define STORE_LEDGER_ROLLUP_H

#include "ledger_tally.h"

/* Classes of time. */
enum rollup_class { ROLLUP_MINUTE, ROLLUP_HOUR, ROLLUP_DAY, ROLLUP_MONTH, ROLLUP_CLASSES_N };
/* Start, in seconds of Unix time, of the class' bucket that holds the second `s`. */
int64_t rollup_bucket(enum rollup_class c, int64_t s);
/* Start of the next one. */
int64_t rollup_next(enum rollup_class c, int64_t s);

/* Short lists of (code, count). */
struct code_list {
    struct code_count {
        uint32_t code, count;
    } * p;
    uint32_t n, size;
};

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
    struct rollup_map live, staged, held;     /* of struct cell; held: by hour */
    struct rollup_map live_users, held_users; /* of struct user_cell */
    int64_t hour_from, hour_to;               /* the latest hour looked up */
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
    return r->live.n + r->staged.n + r->live_users.n + rollup_held(r);
}
/* The entry that begins with the `key_n` bytes (a multiple of 8) of `key`, made and zeroed when
 * there is none. NULL: no memory. */
void *rollup_map_find(struct rollup_map *m, const void *key, size_t key_n, size_t entry);
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
