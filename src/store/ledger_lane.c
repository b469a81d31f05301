/* The workers' ends: no lock, no system call. */
#include "base/mem.h"
#include "ledger_internal.h"

#define SPARE_SHARE 8 /* of the spool is kept for what is under way when it fills up */

bool ledger_lanes_init(struct ledger *l)
{
    l->lane = mem_calloc(l->lanes + 1, sizeof *l->lane);
    if (l->lane == NULL)
        return false;
    for (unsigned i = 0; i <= l->lanes; i++) {
        struct ledger_lane *lane = &l->lane[i];
        lane->l = l;
        lane->at = spool_lane(&l->spool, i);
        lane->number = (uint16_t)lane->at.ends->number;
        lane->head = lane->tail_seen = atomic_load(&lane->at.ends->head);
        lane->rows = l->spool.rows;
        lane->slots = lane->free_n = l->spool.slots;
        lane->free = mem_calloc(MAX_OF(lane->slots, 1u), sizeof *lane->free);
        if (lane->free == NULL)
            return false;
        for (uint32_t k = 0; k < lane->slots; k++)
            lane->free[k] = lane->slots - 1 - k;
        l->taken[i] = lane->head;
    }
    return true;
}

void ledger_lanes_done(struct ledger *l)
{
    for (unsigned i = 0; l->lane != NULL && i <= l->lanes; i++)
        mem_free(l->lane[i].free);
    mem_free(TAKE(l->lane));
}

struct ledger_lane *ledger_lane(struct ledger *l, unsigned index)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    ASSERT(index < l->lanes);
    return &l->lane[index];
}

static uint64_t tail_of(const struct ledger_lane *lane)
{
    return atomic_load_explicit(&lane->at.ends->tail, memory_order_acquire);
}

bool ledger_has_room(const struct ledger_lane *lane)
{
    if (!atomic_load_explicit(&lane->l->refuse, memory_order_relaxed))
        return true;
    uint64_t open = lane->slots - lane->free_n;
    uint64_t most = lane->rows - lane->rows / SPARE_SHARE;
    return lane->head - lane->tail_seen + 2 * open < most ||
           lane->head - tail_of(lane) + 2 * open < most;
}

uint32_t ledger_begin(struct ledger_lane *lane, const struct ledger_row *draft)
{
    if (lane->free_n == 0) {
        atomic_fetch_add_explicit(&lane->untracked, 1, memory_order_relaxed);
        return LEDGER_NO_SLOT;
    }
    uint32_t at = lane->free[--lane->free_n];
    struct spool_slot *slot = &lane->at.slots[at];
    slot->draft = *draft;
    slot->check = spool_check(&slot->draft);
    LEDGER_STEP("draft");
    atomic_store_explicit(&slot->state, SLOT_OPEN, memory_order_release);
    return at;
}

/* Refusals leave the attempts under way their room. */
static bool is_full(struct ledger_lane *lane, const struct ledger_row *row)
{
    uint64_t open = lane->slots - lane->free_n, most = lane->rows;
    if (row->attempt == 0)
        most -= MIN_OF(open, most);
    if (likely(lane->head - lane->tail_seen < most))
        return false;
    lane->tail_seen = tail_of(lane);
    return lane->head - lane->tail_seen >= most;
}

static void put_row(struct ledger_lane *lane, struct spool_slot *slot, const struct ledger_row *row)
{
    struct ledger_row *to = &lane->at.ring[lane->head & (lane->rows - 1)];
    *to = *row;
    to->version = RECORD_VERSION_ROW;
    to->sequence = lane->head;
    to->lane = lane->number;
    to->crc = spool_check(to);
    LEDGER_STEP("row");
    if (slot != NULL) {
        atomic_store_explicit(&slot->sequence, lane->head, memory_order_relaxed);
        atomic_store_explicit(&slot->state, SLOT_SETTLING, memory_order_release);
    }
    LEDGER_STEP("settling");
    atomic_store_explicit(&lane->at.ends->head, ++lane->head, memory_order_release);
    LEDGER_STEP("handed over");
}

void ledger_forget(struct ledger_lane *lane, uint32_t slot)
{
    if (slot == LEDGER_NO_SLOT)
        return;
    ASSERT(slot < lane->slots && lane->free_n < lane->slots);
    atomic_store_explicit(&lane->at.slots[slot].state, SLOT_FREE, memory_order_release);
    lane->free[lane->free_n++] = slot;
}

void ledger_settle(struct ledger_lane *lane, uint32_t slot, const struct ledger_row *row)
{
    ASSERT(slot == LEDGER_NO_SLOT || slot < lane->slots);
    struct spool_slot *place = slot != LEDGER_NO_SLOT ? &lane->at.slots[slot] : NULL;
    if (unlikely(is_full(lane, row)))
        atomic_fetch_add_explicit(&lane->lost, 1, memory_order_relaxed);
    else
        put_row(lane, place, row);
    ledger_forget(lane, slot);
}

void ledger_append(struct ledger *l, const struct ledger_row *row)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    pthread_mutex_lock(&l->append_lock);
    ledger_settle(&l->lane[l->lanes], LEDGER_NO_SLOT, row);
    pthread_mutex_unlock(&l->append_lock);
}
