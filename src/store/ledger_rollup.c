/* Rollups in memory. */
#include "ledger_rollup.h"

#include "base/clock.h"
#include "base/mem.h"
#include "policy/calendar.h"

#define MINUTE_S    60
#define FIRST_SLOTS 256
#define FIRST_CODES 8

static const enum calendar_period period_of[ROLLUP_CLASSES_N] = {
    [ROLLUP_HOUR] = CALENDAR_HOUR, [ROLLUP_DAY] = CALENDAR_DAY, [ROLLUP_MONTH] = CALENDAR_MONTH};

int64_t rollup_bucket(enum rollup_class c, int64_t s)
{
    if (c == ROLLUP_MINUTE)
        return s - ((s % MINUTE_S) + MINUTE_S) % MINUTE_S;
    return calendar_start(period_of[c], s * NS_PER_S) / NS_PER_S;
}

int64_t rollup_next(enum rollup_class c, int64_t s)
{
    if (c == ROLLUP_MINUTE)
        return rollup_bucket(c, s) + MINUTE_S;
    return calendar_next(period_of[c], s * NS_PER_S) / NS_PER_S;
}

void rollup_init(struct rollup *r)
{
    memset(r, 0, sizeof *r);
}

void rollup_map_clear(struct rollup_map *m)
{
    if (m->n > 0)
        memset(m->slots, 0, (m->mask + (size_t)1) * sizeof *m->slots);
    m->n = 0;
}

void rollup_map_done(struct rollup_map *m)
{
    mem_free(m->entries);
    mem_free(m->slots);
    *m = (struct rollup_map){.n = 0};
}

static void clear_cells(struct rollup_map *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        mem_free(rollup_cells(m)[i].marks.p);
        mem_free(rollup_cells(m)[i].users.p);
    }
    rollup_map_clear(m);
}

void rollup_clear_staged(struct rollup *r)
{
    clear_cells(&r->staged);
}

void rollup_clear_held(struct rollup *r)
{
    clear_cells(&r->held);
    rollup_map_clear(&r->held_users);
}

void rollup_reset(struct rollup *r)
{
    clear_cells(&r->live);
    rollup_map_clear(&r->live_users);
    rollup_clear_staged(r);
    rollup_clear_held(r);
}

void rollup_done(struct rollup *r)
{
    struct rollup_map *all[] = {&r->live, &r->staged, &r->held, &r->live_users, &r->held_users};
    rollup_reset(r);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        rollup_map_done(all[i]);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* `n` is a multiple of 8. Numbers of names and keyed hashes: nobody chooses them. */
static uint32_t hash_words(const void *p, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u, v;
    for (size_t i = 0; i < n; i += 8) {
        memcpy(&v, (const char *)p + i, 8);
        h = fold(h ^ v, 0xa0761d6478bd642fu);
    }
    return (uint32_t)(h ^ h >> 32);
}

static bool grow(struct rollup_map *m, size_t entry, size_t key)
{
    uint32_t size = m->size > 0 ? 2 * m->size : FIRST_SLOTS / 2;
    char *entries = mem_realloc(m->entries, size * entry);
    if (entries == NULL)
        return false;
    m->entries = entries;
    uint32_t *slots = mem_calloc((size_t)size * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    mem_free(m->slots);
    m->slots = slots;
    m->size = size;
    m->mask = 2 * size - 1;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t at = hash_words(entries + i * entry, key) & m->mask;
        while (slots[at] != 0)
            at = (at + 1) & m->mask;
        slots[at] = i + 1;
    }
    return true;
}

void *rollup_map_find(struct rollup_map *m, const void *key, size_t key_n, size_t entry)
{
    if (m->n == m->size && !grow(m, entry, key_n))
        return NULL;
    uint32_t at = hash_words(key, key_n) & m->mask;
    for (; m->slots[at] != 0; at = (at + 1) & m->mask) {
        char *e = (char *)m->entries + (m->slots[at] - 1) * entry;
        if (memcmp(e, key, key_n) == 0)
            return e;
    }
    char *e = (char *)m->entries + m->n * entry;
    memset(e, 0, entry);
    memcpy(e, key, key_n);
    m->slots[at] = ++m->n;
    return e;
}

static struct cell *find_cell(struct rollup_map *m, const struct cell_key *key)
{
    return rollup_map_find(m, key, sizeof *key, sizeof(struct cell));
}

static struct user_cell *find_user(struct rollup_map *m, const struct user_key *key)
{
    return rollup_map_find(m, key, sizeof *key, sizeof(struct user_cell));
}

static bool add_code(struct code_list *l, uint32_t code, uint32_t count)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->p[i].code == code) {
            l->p[i].count += MIN_OF(count, UINT32_MAX - l->p[i].count);
            return true;
        }
    }
    if (l->n == l->size) {
        uint32_t size = l->size > 0 ? 2 * l->size : FIRST_CODES;
        struct code_count *p = mem_realloc(l->p, size * sizeof *p);
        if (p == NULL)
            return false;
        l->p = p;
        l->size = size;
    }
    l->p[l->n++] = (struct code_count){.code = code, .count = count};
    return true;
}

/* One code to each register, the one of the highest rank. */
static bool add_user(struct code_list *l, uint32_t code)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->p[i].code >> 6 == code >> 6) {
            l->p[i].code = MAX_OF(l->p[i].code, code);
            return true;
        }
    }
    return add_code(l, code, 1);
}

static bool add_to_cell(struct cell *c, const struct ledger_row *row)
{
    if (c == NULL)
        return false;
    figures_add_row(&c->sums, row);
    if (row->user_hash != 0 && row->reason != LEDGER_IDLE && row->reason != LEDGER_TRUE_UP &&
        !add_user(&c->users, sketch_code(row->user_hash)))
        return false;
    if (!figures_timed(row))
        return true;
    return add_code(&c->marks, histogram_bucket(row->duration_us), 1) &&
           (row->first_us == UINT32_MAX ||
            add_code(&c->marks, HISTOGRAM_BUCKETS + histogram_bucket(row->first_us), 1));
}

static int64_t hour_of(struct rollup *r, int64_t s)
{
    if (s < r->hour_from || s >= r->hour_to) {
        r->hour_from = rollup_bucket(ROLLUP_HOUR, s);
        r->hour_to = rollup_next(ROLLUP_HOUR, s);
    }
    return r->hour_from;
}

bool rollup_add(struct rollup *r, const struct ledger_row *row, bool slow_only)
{
    int64_t s = row->start_ns / NS_PER_S;
    struct cell_key key = {.bucket = slow_only ? hour_of(r, s) : rollup_bucket(ROLLUP_MINUTE, s)};
    struct user_key user = {.bucket = hour_of(r, s), .user = row->user_hash};
    memcpy(key.name, row->name, sizeof key.name);
    struct user_cell *u = find_user(slow_only ? &r->held_users : &r->live_users, &user);
    if (u == NULL)
        return false;
    figures_add_row(&u->sums, row);
    return add_to_cell(find_cell(slow_only ? &r->held : &r->live, &key), row);
}

static bool fold_cell(struct rollup *r, const struct cell *from)
{
    struct cell_key key = from->key;
    key.bucket = hour_of(r, key.bucket);
    struct cell *to = find_cell(&r->held, &key);
    if (to == NULL)
        return false;
    figures_add(&to->sums, &from->sums);
    for (uint32_t i = 0; i < from->marks.n; i++) {
        if (!add_code(&to->marks, from->marks.p[i].code, from->marks.p[i].count))
            return false;
    }
    for (uint32_t i = 0; i < from->users.n; i++) {
        if (!add_user(&to->users, from->users.p[i].code))
            return false;
    }
    return true;
}

bool rollup_stage(struct rollup *r)
{
    struct rollup_map empty = r->staged;
    ASSERT(empty.n == 0);
    r->staged = r->live;
    r->live = empty;
    for (uint32_t i = 0; i < r->staged.n; i++) {
        if (!fold_cell(r, &rollup_cells(&r->staged)[i]))
            return false;
    }
    for (uint32_t i = 0; i < r->live_users.n; i++) {
        const struct user_cell *from = &rollup_users(&r->live_users)[i];
        struct user_cell *to = find_user(&r->held_users, &from->key);
        if (to == NULL)
            return false;
        figures_add(&to->sums, &from->sums);
    }
    rollup_map_clear(&r->live_users);
    return true;
}
