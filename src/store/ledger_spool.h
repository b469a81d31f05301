/* The spool: a file mapped into memory, in which workers leave rows and the attempts they have
 * under way. It outlives a killed process. For each lane a ring of rows (its worker writes behind
 * `head`, the store thread takes from `tail`; both count rows since ever, and are their sequence
 * numbers) and places for open attempts; for all of them the names that are in no database yet. */
#ifndef STORE_LEDGER_SPOOL_H
#define STORE_LEDGER_SPOOL_H

#include <stdatomic.h>

#include "ledger_names.h"
#include "ledger_record.h"

/* A place: what became of it has to be told from any moment at which the process ended. */
enum spool_slot_state {
    SLOT_FREE,
    SLOT_OPEN,
    SLOT_SETTLING, /* its row gets `sequence`: there is one when the lane's head is past it */
    SLOT_CRASHED   /* a later process gives its `crashed` row this `sequence` */
};
struct spool_slot {
    _Atomic uint32_t state;
    uint32_t check; /* of the draft */
    _Atomic uint64_t sequence;
    struct ledger_row draft;
    uint8_t pad[48];
};
_Static_assert(sizeof(struct spool_slot) == 256, "slots are four cache lines");

struct spool_ends {
    _Alignas(64) _Atomic uint64_t head; /* the worker's */
    uint32_t number;                    /* of the lane, as in rows */
    _Alignas(64) _Atomic uint64_t tail; /* the store thread's */
};

struct spool_lane {
    struct spool_ends *ends;
    struct ledger_row *ring;
    struct spool_slot *slots;
};

struct spool {
    char *map; /* NULL: none */
    size_t bytes;
    bool kept; /* in a file */
    uint32_t lanes, rows, slots;
};

/* Makes a spool anew in the place of an old one. `number[i]` and `start[i]` are the lanes' numbers
 * and next sequences. Without a file (a full disk; the reason is in `why`) it is in plain memory.
 * False: no memory either. */
NODISCARD bool spool_make(struct spool *s, int dir, uint32_t lanes, uint32_t rows, uint32_t slots,
                          const uint32_t *number, const uint64_t *start, struct buf *why);
/* Maps the one that an earlier process left. False: there is none that can be read, and `why` says
 * so unless there is simply none. */
NODISCARD bool spool_map(struct spool *s, int dir, struct buf *why);
void spool_unmap(struct spool *s);
/* Everything in the file is on the disk. */
void spool_sync(struct spool *s);

struct spool_lane spool_lane(const struct spool *s, uint32_t index);

/* A cheap sum over a row's words without its `crc`: pages that a power failure left half-written
 * do not pass for rows. */
uint32_t spool_check(const struct ledger_row *row);

/* Notes a name; false: no room. Under the lock of the names. */
NODISCARD bool spool_add_name(struct spool *s, enum ledger_name_kind kind, uint32_t id,
                              struct slice text);
/* Puts all noted names into `names`; false: no memory. */
NODISCARD bool spool_read_names(const struct spool *s, struct names *names);
/* Forgets them: they are in the database. Under the lock of the names. */
void spool_clear_names(struct spool *s);

/* Makes the pages that a lane will write next ready for it, so that the worker itself does not
 * wait for a file system that is busy with them. Store thread. */
void spool_warm(const struct spool *s, uint32_t index);
#define SPOOL_WARM_ROWS 256 /* as many rows may pass between two calls */

#endif
