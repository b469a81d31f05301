/* The ledger's own parts: what its files share. */
#ifndef STORE_LEDGER_INTERNAL_H
#define STORE_LEDGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger_db.h"
#include "ledger_names.h"
#include "ledger_rollup.h"
#include "ledger_segment.h"
#include "ledger_spool.h"

#define LEDGER_MAGIC  0x4c454447
#define PENDING_MAX   400000u /* lines in memory; with more, rows wait in the spool */
#define PENDING_MERGE 100000u /* with more, a replay merges */

/* A worker's end. All but `at` is its own. */
struct ledger_lane {
    _Alignas(64) struct ledger *l;
    struct spool_lane at;
    uint64_t head, tail_seen; /* rows handed over, and how many of them were taken when last seen */
    uint32_t rows, slots, free_n;
    uint32_t *free; /* places; the last one freed is the next one used */
    uint16_t number;
    _Atomic int64_t lost, untracked;
};

/* The store thread and those who wait for it. */
struct ledger_thread {
    pthread_mutex_t lock; /* of this and of the retention */
    pthread_cond_t wake, done;
    pthread_t id;
    bool running, stopping;
    uint64_t flush_asked, flush_done;
};

struct ledger_keep {
    int64_t rows, class[ROLLUP_CLASSES_N]; /* nanoseconds; 0: for ever */
};

struct ledger {
    uint32_t magic;
    char *folder;
    int dir;
    unsigned lanes; /* workers'; one more is the store's own */
    struct ledger_lane *lane;
    pthread_mutex_t append_lock; /* of the store's own lane */
    uint64_t user_key[2];
    _Atomic bool refuse, sync_commit;
    struct names names;
    struct spool spool;
    struct ledger_thread thread;
    struct ledger_keep keep;

    /* The store thread's, or of whoever opens and closes. */
    struct segment_writer seg;
    bool batch_written;                    /* and not yet accounted for */
    uint64_t taken[LEDGER_LANES_MAX + 1];  /* of each lane's rows, into batches */
    uint64_t warmed[LEDGER_LANES_MAX + 1]; /* rows taken when their pages were last made ready */
    uint64_t next[LEDGER_LANES_MAX + 1];   /* sequence, by number of the lane, behind `rolled` */
    uint64_t merged[LEDGER_LANES_MAX + 1]; /* the same in the database */
    struct rollup rollup;
    struct ledger_db db;
    struct place rolled;            /* rows before it are in the rollup or the database */
    struct place place[DB_PARTS_N]; /* in the database */
    bool staged;                    /* a merge is to be repeated: */
    struct place staged_place;
    uint64_t staged_next[LEDGER_LANES_MAX + 1];
    uint32_t names_merged[NAME_KINDS_N];
    bool reread; /* the rollup was given up, and is to be read again from the segments */
    bool failing;
    int64_t wait_ns, merge_at_ns, slow_at_ns, retain_at_ns; /* monotonic */
    unsigned pruning;                                       /* classes with more to delete */

    _Atomic int64_t rows, crashed, segment_bytes, write_errors, merged_wall_ns;
};

/* ledger_lane.c */
NODISCARD bool ledger_lanes_init(struct ledger *l);
void ledger_lanes_done(struct ledger *l);

/* ledger_replay.c: what earlier processes left. */
NODISCARD bool ledger_replay_segments(struct ledger *l, struct buf *error);
NODISCARD bool ledger_replay_spool(struct ledger *l, struct buf *error);

/* ledger_write.c: batches, merges and retention. */
/* Writes the batch and takes account of it; false: not all of it is written, see errno. */
NODISCARD bool ledger_push_batch(struct ledger *l, int64_t wall_ns);
/* Takes what the lanes hold, until they are empty. False: see errno. `*ret_rows` were written. */
NODISCARD bool ledger_drain(struct ledger *l, int64_t wall_ns, size_t *ret_rows);
/* Merges the rollup into the database; `all`: the slow part too, due or not. */
NODISCARD bool ledger_merge(struct ledger *l, int64_t mono_ns, bool all);
/* A step of retention: false: it failed. */
NODISCARD bool ledger_retain(struct ledger *l, int64_t mono_ns, int64_t wall_ns);

/* For tests: called between the steps of a write, a merge and a replay, with the step's name. */
#ifdef WEIR_TORTURE
extern void (*ledger_test_step)(const char *step);
#define LEDGER_STEP(name) (ledger_test_step != NULL ? ledger_test_step(name) : (void)0)
#else
#define LEDGER_STEP(name) ((void)0)
#endif

#endif
