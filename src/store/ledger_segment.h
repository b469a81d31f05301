/* Segment files, 00000001.seg and so on: appended to by the store thread, read in order. */
#ifndef STORE_LEDGER_SEGMENT_H
#define STORE_LEDGER_SEGMENT_H

#include "base/buf.h"
#include "ledger_names.h"
#include "ledger_record.h"

#define SEGMENT_BYTES_MAX  ((int64_t)64 << 20)
#define SEGMENT_AGE_MAX_NS (INT64_C(86400) * 1000000000) /* so that retention finds whole files */
#define SEGMENT_NAME_BYTES 16
#define BATCH_RECORDS      1024

/* Where a record begins, or the next one will. */
struct place {
    uint32_t segment; /* 0: before all of them */
    int64_t offset;
};
static inline int place_cmp(struct place a, struct place b)
{
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    return (a.offset > b.offset) - (a.offset < b.offset);
}

struct segment_writer {
    int dir;
    int fd;             /* -1: none is open */
    struct place place; /* behind what is written */
    int64_t created_ns;
    bool unsynced;
    union record *batch; /* what is on its way to the disk */
    size_t batch_n;
    size_t batch_done;                     /* bytes of it that are written */
    uint64_t (*known)[NAMES_MAX / 64 + 1]; /* names that this segment explains, by kind */
};

/* False: no memory. The first batch makes the file that follows number `last`. */
NODISCARD bool segment_writer_init(struct segment_writer *w, int dir, uint32_t last);
void segment_writer_done(struct segment_writer *w);

/* Puts the row and the names that it needs into the batch, sealed. False: the batch is full, and
 * has nothing of it. Only while nothing of the batch has been tried to write. */
NODISCARD bool segment_put(struct segment_writer *w, const struct names *names,
                           const struct ledger_row *row);
/* Writes what is left of the batch; false: see errno, and call again later. Once it returns true
 * the batch is still there to be read, and segment_clear empties it. */
NODISCARD bool segment_write(struct segment_writer *w, int64_t now_ns);
void segment_clear(struct segment_writer *w);
/* What was written is on the disk. */
NODISCARD bool segment_sync(struct segment_writer *w);

/* Ends a file that is large or old; the next batch begins another. False: see errno. */
NODISCARD bool segment_end_if_due(struct segment_writer *w, int64_t now_ns);

void segment_file_name(uint32_t segment, char out[SEGMENT_NAME_BYTES]);
/* The numbers of all segments, in order; mem_free. False: see errno. */
NODISCARD bool segment_list(int dir, uint32_t **ret, size_t *ret_n);
/* When it was begun; 0: its header cannot be read. */
int64_t segment_created(int dir, uint32_t segment);
/* Its bytes; 0: there is none. */
int64_t segment_size(int dir, uint32_t segment);

/* Told of each record, damaged ones too (RECORD_BAD, whose bytes mean nothing). False ends it. */
typedef bool segment_fn(void *ctx, const union record *r, enum record_kind kind,
                        struct place place);
/* The records of a text that begins at `from`; `*ret_good` is behind the last good one. The rest of
 * an incomplete record is not told of. False: `fn` ended it. */
bool segment_scan(struct slice bytes, struct place from, segment_fn *fn, void *ctx,
                  struct place *ret_good);
/* The records of one file from `offset` on, up to `end` (-1: all). False: it cannot be read (see
 * errno), or `fn` ended it (errno is 0). */
NODISCARD bool segment_read(int dir, struct place from, int64_t end, segment_fn *fn, void *ctx,
                            struct place *ret_good);
/* Cuts what is behind `good`. */
NODISCARD bool segment_cut(int dir, struct place good);

#endif
