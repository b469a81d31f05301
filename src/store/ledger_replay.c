/* What earlier processes left, wherever they ended: rows of segments behind the merged place, rows
 * of the spool that are in no segment (their lane's sequence tells), and attempts that were under
 * way. Each step can be repeated from its beginning. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ledger_internal.h"
#include "observe/log.h"

struct replay {
    struct ledger *l;
    uint64_t next[LEDGER_LANES_MAX + 1]; /* sequences behind what has been seen */
    int64_t bad, repeated;
    bool merge_failed;
};

static bool replay_row(struct replay *re, const struct ledger_row *row, struct place at)
{
    struct ledger *l = re->l;
    bool fast = place_cmp(at, l->place[DB_FAST]) >= 0;
    if (fast && row->sequence < re->next[row->lane]) {
        re->repeated++;
        return true;
    }
    if (fast)
        re->next[row->lane] = row->sequence + 1;
    return rollup_add(&l->rollup, row, !fast);
}

static bool on_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    struct replay *re = ctx;
    struct ledger *l = re->l;
    re->bad += kind == RECORD_BAD;
    if (kind == RECORD_ROW && !replay_row(re, &r->row, at))
        return false;
    if (kind == RECORD_NAME) {
        struct slice text = slice_of(r->name.text, r->name.n);
        (void)!names_put(&l->names, (enum ledger_name_kind)r->name.kind, r->name.id, text);
    }
    l->rolled = (struct place){.segment = at.segment, .offset = at.offset + (int64_t)RECORD_BYTES};
    if (rollup_pending(&l->rollup) < PENDING_MERGE)
        return true;
    memcpy(l->next, re->next, sizeof l->next);
    re->merge_failed = !ledger_merge(l, clock_mono_ns(), true);
    return !re->merge_failed;
}

/* Cuts what an interrupted write left behind the last good record of the last file. */
static bool mend_tail(struct ledger *l, struct place good)
{
    char name[SEGMENT_NAME_BYTES];
    int64_t size = segment_size(l->dir, good.segment);
    if (size <= good.offset)
        return true;
    log_event(LOG_WARN, "ledger.cut", "%lld bytes of an interrupted write cut off segment %u",
              (long long)(size - good.offset), good.segment);
    atomic_fetch_sub(&l->segment_bytes, size - good.offset);
    if (good.offset > 0)
        return segment_cut(l->dir, good);
    segment_file_name(good.segment, name);
    return unlinkat(l->dir, name, 0) == 0;
}

static bool replay_files(struct replay *re, const uint32_t *list, size_t n, struct buf *error)
{
    struct ledger *l = re->l;
    struct place from = l->place[DB_SLOW], good;
    for (size_t i = 0; i < n; i++) {
        if (list[i] < from.segment)
            continue;
        bool own = l->seg.fd >= 0 && list[i] == l->seg.place.segment;
        struct place at = {.segment = list[i], .offset = list[i] == from.segment ? from.offset : 0};
        if (!segment_read(l->dir, at, own ? l->seg.place.offset : -1, on_record, re, &good)) {
            buf_printf(error, "segment %u cannot be replayed: %s", list[i],
                       re->merge_failed ? sqlite3_errmsg(l->db.sql)
                                        : strerror(errno != 0 ? errno : ENOMEM));
            return false;
        }
        LEDGER_STEP("replayed file");
        if (i + 1 == n && !own && !mend_tail(l, good)) {
            buf_printf(error, "segment %u cannot be cut: %s", list[i], strerror(errno));
            return false;
        }
    }
    return true;
}

bool ledger_replay_segments(struct ledger *l, struct buf *error)
{
    uint32_t *list = NULL;
    size_t n = 0;
    struct replay *re = mem_calloc(1, sizeof *re);
    if (re == NULL || !segment_list(l->dir, &list, &n)) {
        buf_printf(error, "the ledger's segments cannot be listed: %s", strerror(errno));
        mem_free(re);
        return false;
    }
    re->l = l;
    l->rolled = l->place[DB_SLOW];
    bool ok = db_load_lanes(l->db.sql, re->next, error);
    if (ok)
        memcpy(l->merged, re->next, sizeof l->merged);
    ok = ok && replay_files(re, list, n, error);
    if (place_cmp(l->rolled, l->place[DB_FAST]) < 0)
        l->rolled = l->place[DB_FAST];
    memcpy(l->next, re->next, sizeof l->next);
    if (re->bad > 0 || re->repeated > 0)
        log_event(LOG_ERROR, "ledger.damaged",
                  "%lld records of segments are damaged, %lld rows stand there twice; left out",
                  (long long)re->bad, (long long)re->repeated);
    mem_free(list);
    mem_free(re);
    return ok;
}

/* Hands a row over to the segments. */
static bool emit(struct ledger *l, const struct ledger_row *row)
{
    if (segment_put(&l->seg, &l->names, row))
        return true;
    return ledger_push_batch(l, clock_wall_ns()) && segment_put(&l->seg, &l->names, row);
}

/* The rows of a ring that are in no segment. Those before the tail were written to one, and are
 * still here when a power failure has taken them from it. */
static bool replay_ring(struct ledger *l, const struct spool *s, const struct spool_lane *lane,
                        int64_t *damaged)
{
    uint32_t number = lane->ends->number;
    uint64_t head = atomic_load(&lane->ends->head);
    uint64_t from = l->next[number];
    if (head > from && head - from > s->rows)
        from = head - s->rows;
    for (uint64_t i = from; i < head; i++) {
        const struct ledger_row *row = &lane->ring[i % s->rows];
        bool good = row->crc == spool_check(row) && row->sequence == i && row->lane == number &&
                    row->reason < LEDGER_REASONS_N;
        if (!good)
            ++*damaged;
        else if (!emit(l, row))
            return false;
    }
    l->next[number] = MAX_OF(l->next[number], head);
    return true;
}

/* Gives each open attempt the sequence that its `crashed` row will have: a later process that finds
 * it here knows whether that row was written. */
static void mark_crashed(struct ledger *l, const struct spool *s, const struct spool_lane *lane,
                         int64_t *damaged)
{
    uint64_t head = atomic_load(&lane->ends->head),
             next = MAX_OF(l->next[lane->ends->number], head);
    for (uint32_t i = 0; i < s->slots; i++) {
        struct spool_slot *slot = &lane->slots[i];
        if (atomic_load(&slot->state) == SLOT_CRASHED)
            next = MAX_OF(next, atomic_load(&slot->sequence) + 1);
    }
    for (uint32_t i = 0; i < s->slots; i++) {
        struct spool_slot *slot = &lane->slots[i];
        uint32_t state = atomic_load(&slot->state);
        bool has_row = state == SLOT_SETTLING && atomic_load(&slot->sequence) < head;
        if ((state != SLOT_OPEN && state != SLOT_SETTLING) || has_row)
            continue;
        if (slot->check != spool_check(&slot->draft) || slot->draft.reason >= LEDGER_REASONS_N) {
            ++*damaged;
            continue;
        }
        atomic_store(&slot->sequence, next++);
        atomic_store(&slot->state, SLOT_CRASHED);
        LEDGER_STEP("marked");
    }
}

/* The last attempt of an exchange counts as its request: by exchange, then the last one first. */
static int by_exchange(const void *a, const void *b)
{
    const struct ledger_row *x = *(struct ledger_row *const *)a;
    const struct ledger_row *y = *(struct ledger_row *const *)b;
    int order = memcmp(x->id, y->id, sizeof x->id);
    if (order != 0)
        return order;
    return (y->attempt > x->attempt) - (y->attempt < x->attempt);
}

static int by_sequence(const void *a, const void *b)
{
    const struct ledger_row *x = *(struct ledger_row *const *)a;
    const struct ledger_row *y = *(struct ledger_row *const *)b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Makes drafts the rows of attempts that a crash ended. */
static void finish_drafts(struct ledger_row **row, size_t n)
{
    if (n > 0)
        qsort(row, n, sizeof(struct ledger_row *), by_exchange);
    for (size_t i = 0; i < n; i++) {
        bool last = i == 0 || memcmp(row[i]->id, row[i - 1]->id, sizeof row[i]->id) != 0;
        row[i]->reason = LEDGER_CRASHED;
        row[i]->flags = (uint16_t)((row[i]->flags & ~LEDGER_FINAL) | LEDGER_ESTIMATED_INPUT |
                                   LEDGER_ESTIMATED_OUTPUT | (last ? LEDGER_FINAL : 0));
        row[i]->first_us = UINT32_MAX;
    }
    if (n > 0)
        qsort(row, n, sizeof(struct ledger_row *), by_sequence);
}

/* Collects the crashed attempts of all lanes; `row` has room for all slots. */
static size_t collect(const struct spool *s, struct ledger_row **row)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->lanes; i++) {
        struct spool_lane lane = spool_lane(s, i);
        for (uint32_t k = 0; k < s->slots; k++) {
            struct spool_slot *slot = &lane.slots[k];
            if (atomic_load(&slot->state) != SLOT_CRASHED)
                continue;
            row[n] = &slot->draft;
            row[n]->lane = (uint16_t)lane.ends->number;
            row[n]->sequence = atomic_load(&slot->sequence);
            n++;
        }
    }
    return n;
}

static bool replay_crashed(struct ledger *l, struct spool *s)
{
    struct ledger_row **row = mem_calloc((size_t)s->lanes * s->slots + 1, sizeof(void *));
    bool ok = row != NULL;
    size_t n = ok ? collect(s, row) : 0;
    finish_drafts(row, n);
    for (size_t i = 0; i < n && ok; i++) {
        if (row[i]->sequence < l->next[row[i]->lane])
            continue; /* an earlier replay wrote it */
        ok = emit(l, row[i]);
        l->next[row[i]->lane] = row[i]->sequence + 1;
        atomic_fetch_add(&l->crashed, 1);
        LEDGER_STEP("crashed row");
    }
    mem_free(row);
    return ok && ledger_push_batch(l, clock_wall_ns()) && segment_sync(&l->seg);
}

static bool numbers_are_right(const struct spool *s)
{
    for (uint32_t i = 0; i < s->lanes; i++) {
        if (spool_lane(s, i).ends->number > LEDGER_LANE_STORE)
            return false;
    }
    return true;
}

static bool replay_lanes(struct ledger *l, struct spool *s, int64_t *damaged)
{
    if (!spool_read_names(s, &l->names))
        return false;
    for (uint32_t i = 0; i < s->lanes; i++) {
        struct spool_lane lane = spool_lane(s, i);
        if (!replay_ring(l, s, &lane, damaged))
            return false;
    }
    LEDGER_STEP("rings");
    if (!ledger_push_batch(l, clock_wall_ns()))
        return false;
    for (uint32_t i = 0; i < s->lanes; i++) {
        struct spool_lane lane = spool_lane(s, i);
        mark_crashed(l, s, &lane, damaged);
    }
    spool_sync(s);
    return replay_crashed(l, s);
}

bool ledger_replay_spool(struct ledger *l, struct buf *error)
{
    struct spool old;
    int64_t damaged = 0;
    size_t before = error->n;
    if (!spool_map(&old, l->dir, error)) {
        if (error->n > before)
            log_event(LOG_ERROR, "ledger.spool", SLICE_FMT,
                      SLICE_ARG(slice_from(buf_view(error), before)));
        error->n = before;
        return true;
    }
    bool ok = numbers_are_right(&old) && replay_lanes(l, &old, &damaged);
    if (!ok)
        buf_printf(error, "the spool of the process before cannot be written to a segment: %s",
                   strerror(errno));
    if (damaged > 0)
        log_event(LOG_ERROR, "ledger.damaged",
                  "%lld rows of the spool are damaged, as after a power failure; left out",
                  (long long)damaged);
    spool_unmap(&old);
    return ok;
}
