/* The store thread's work: rows from the lanes to segments, rollups to the database, retention. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ledger_internal.h"

#define SLOW_NS       (60 * NS_PER_S) /* the slow part is written at least so often */
#define SLOW_RATE     200             /* lines a second that it may take, to be written sooner */
#define RETAIN_NS     (60 * NS_PER_S)
#define PRUNE_GAP_NS  (NS_PER_S / 4)
#define PENDING_DRAIN (PENDING_MAX - BATCH_RECORDS)

#ifdef WEIR_TORTURE
void (*ledger_test_step)(const char *step);
#endif

/* What a written row changes in memory. */
static void account_for(struct ledger *l, const struct ledger_row *row)
{
    l->next[row->lane] = row->sequence + 1;
    if (!l->reread && !rollup_add(&l->rollup, row, false)) {
        rollup_reset(&l->rollup);
        l->reread = true;
    }
}

bool ledger_push_batch(struct ledger *l, int64_t wall_ns)
{
    struct segment_writer *w = &l->seg;
    int64_t rows = 0;
    if (w->batch_n == 0)
        return true;
    if (!l->batch_written) {
        if (!segment_write(w, wall_ns))
            return false;
        l->batch_written = true;
        atomic_fetch_add(&l->segment_bytes, (int64_t)(w->batch_n * RECORD_BYTES));
    }
    LEDGER_STEP("written");
    if (l->sync_commit && !segment_sync(w))
        return false;
    for (size_t i = 0; i < w->batch_n; i++) {
        if (w->batch[i].any.version != RECORD_VERSION_ROW)
            continue;
        account_for(l, &w->batch[i].row);
        rows++;
    }
    l->rolled = w->place;
    segment_clear(w);
    l->batch_written = false;
    atomic_fetch_add_explicit(&l->rows, rows, memory_order_relaxed);
    return segment_end_if_due(w, wall_ns);
}

/* Fills the batch from the lanes; false: it is full, and they hold more. */
static bool gather(struct ledger *l)
{
    for (unsigned i = 0; i <= l->lanes; i++) {
        struct spool_lane at = l->lane[i].at;
        uint64_t head = atomic_load_explicit(&at.ends->head, memory_order_acquire);
        for (; l->taken[i] != head; l->taken[i]++) {
            if (!segment_put(&l->seg, &l->names, &at.ring[l->taken[i] & (l->spool.rows - 1)]))
                return false;
        }
    }
    return true;
}

/* The lanes may use the room of what is written. */
static void free_taken(struct ledger *l)
{
    for (unsigned i = 0; i <= l->lanes; i++) {
        struct spool_ends *ends = l->lane[i].at.ends;
        if (atomic_load_explicit(&ends->tail, memory_order_relaxed) == l->taken[i])
            continue;
        atomic_store_explicit(&ends->tail, l->taken[i], memory_order_release);
        if (l->taken[i] - l->warmed[i] < SPOOL_WARM_ROWS)
            continue;
        spool_warm(&l->spool, i);
        l->warmed[i] = l->taken[i];
    }
}

bool ledger_drain(struct ledger *l, int64_t wall_ns, size_t *ret_rows)
{
    int64_t before = atomic_load(&l->rows);
    bool all = false, ok = true;
    while (ok && !all && rollup_pending(&l->rollup) < PENDING_DRAIN) {
        if (l->seg.batch_n == 0) {
            all = gather(l);
            LEDGER_STEP("gathered");
        }
        ok = ledger_push_batch(l, wall_ns);
        if (l->seg.batch_n == 0) {
            LEDGER_STEP("accounted");
            free_taken(l);
        }
    }
    *ret_rows = (size_t)(atomic_load(&l->rows) - before);
    return ok;
}

/* Is it worth the while? */
static bool slow_due(const struct ledger *l, int64_t mono_ns)
{
    int64_t since = mono_ns - l->slow_at_ns;
    int64_t lines = rollup_pending(&l->rollup);
    return since >= SLOW_NS || lines > PENDING_MERGE || lines <= SLOW_RATE * (since / NS_PER_S);
}

static bool put_lanes(struct ledger *l)
{
    for (uint32_t i = 0; i <= LEDGER_LANES_MAX; i++) {
        if (l->staged_next[i] != l->merged[i] && !db_put_lane(&l->db, i, l->staged_next[i]))
            return false;
    }
    return true;
}

static bool put_all(struct ledger *l, const uint32_t top[NAME_KINDS_N], bool slow)
{
    for (unsigned k = 0; k < NAME_KINDS_N; k++) {
        if (!db_put_names(&l->db, &l->names, (enum ledger_name_kind)k, l->names_merged[k], top[k]))
            return false;
    }
    LEDGER_STEP("names");
    struct place fast =
        place_cmp(l->staged_place, l->place[DB_FAST]) > 0 ? l->staged_place : l->place[DB_FAST];
    if (!put_lanes(l) || !db_put_fast(&l->db, &l->rollup) || !db_put_place(&l->db, DB_FAST, fast))
        return false;
    LEDGER_STEP("fast");
    if (slow &&
        (!db_put_slow(&l->db, &l->rollup) || !db_put_place(&l->db, DB_SLOW, l->staged_place)))
        return false;
    LEDGER_STEP("slow");
    return true;
}

/* Names that are in the database need not be noted in the spool any more. */
static void names_are_kept(struct ledger *l, const uint32_t top[NAME_KINDS_N])
{
    bool all = true;
    memcpy(l->names_merged, top, sizeof l->names_merged);
    pthread_mutex_lock(&l->names.lock);
    for (unsigned k = 0; k < NAME_KINDS_N; k++)
        all = all && names_top(&l->names, (enum ledger_name_kind)k) == top[k];
    if (all && l->spool.map != NULL)
        spool_clear_names(&l->spool);
    pthread_mutex_unlock(&l->names.lock);
}

static bool stage(struct ledger *l)
{
    if (l->staged)
        return true;
    if (!rollup_stage(&l->rollup)) {
        rollup_reset(&l->rollup);
        l->reread = true;
        return false;
    }
    l->staged = true;
    l->staged_place = l->rolled;
    memcpy(l->staged_next, l->next, sizeof l->staged_next);
    return true;
}

static void merged(struct ledger *l, bool slow, int64_t mono_ns)
{
    if (place_cmp(l->staged_place, l->place[DB_FAST]) > 0)
        l->place[DB_FAST] = l->staged_place;
    memcpy(l->merged, l->staged_next, sizeof l->merged);
    rollup_clear_staged(&l->rollup);
    l->staged = false;
    if (slow) {
        rollup_clear_held(&l->rollup);
        l->place[DB_SLOW] = l->staged_place;
        l->slow_at_ns = mono_ns;
    }
    atomic_store(&l->merged_wall_ns, clock_wall_ns());
}

static bool nothing_new(const struct ledger *l, const uint32_t top[NAME_KINDS_N], bool slow)
{
    return !l->staged && l->rollup.live.n == 0 && !(slow && rollup_held(&l->rollup) > 0) &&
           place_cmp(l->rolled, l->place[DB_FAST]) <= 0 &&
           memcmp(top, l->names_merged, sizeof l->names_merged) == 0;
}

bool ledger_merge(struct ledger *l, int64_t mono_ns, bool all)
{
    uint32_t top[NAME_KINDS_N];
    for (unsigned k = 0; k < NAME_KINDS_N; k++)
        top[k] = names_top(&l->names, (enum ledger_name_kind)k);
    bool slow = all || slow_due(l, mono_ns);
    if (nothing_new(l, top, slow))
        return true;
    if (!segment_sync(&l->seg) || !stage(l))
        return false;
    LEDGER_STEP("staged");
    if (!db_begin(&l->db) || !put_all(l, top, slow) || !db_commit(&l->db)) {
        db_rollback(&l->db);
        return false;
    }
    LEDGER_STEP("merged");
    merged(l, slow, mono_ns);
    names_are_kept(l, top);
    return true;
}

/* Deletes files whose rows are all older than `keep_ns` and merged: the next file was begun that
 * long ago. */
static bool delete_segments(struct ledger *l, int64_t keep_ns, int64_t wall_ns)
{
    uint32_t *list;
    size_t n;
    char name[SEGMENT_NAME_BYTES];
    if (keep_ns == 0)
        return true;
    if (!segment_list(l->dir, &list, &n))
        return false;
    for (size_t i = 0; i + 1 < n && list[i] < l->place[DB_SLOW].segment; i++) {
        int64_t ended = segment_created(l->dir, list[i + 1]);
        if (ended == 0 || ended > wall_ns - keep_ns)
            break;
        int64_t bytes = segment_size(l->dir, list[i]);
        segment_file_name(list[i], name);
        if (unlinkat(l->dir, name, 0) == 0)
            atomic_fetch_sub(&l->segment_bytes, bytes);
    }
    mem_free(list);
    return true;
}

bool ledger_retain(struct ledger *l, int64_t mono_ns, int64_t wall_ns)
{
    bool more, ok = true;
    if (mono_ns < l->retain_at_ns)
        return true;
    pthread_mutex_lock(&l->thread.lock);
    struct ledger_keep keep = l->keep;
    pthread_mutex_unlock(&l->thread.lock);
    if (l->pruning == 0) {
        l->pruning = (1u << ROLLUP_CLASSES_N) - 1;
        ok = delete_segments(l, keep.rows, wall_ns);
    }
    for (unsigned c = 0; c < ROLLUP_CLASSES_N && ok; c++) {
        if ((l->pruning >> c & 1) == 0)
            continue;
        more = false;
        int64_t before = (wall_ns - keep.class[c]) / NS_PER_S;
        ok = keep.class[c] == 0 || db_prune(&l->db, (enum rollup_class)c,
                                            rollup_bucket((enum rollup_class)c, before), &more);
        if (ok && !more)
            l->pruning &= ~(1u << c);
    }
    l->retain_at_ns = mono_ns + (l->pruning != 0 ? PRUNE_GAP_NS : RETAIN_NS);
    return ok;
}
