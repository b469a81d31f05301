/* Rollups in memory. */
#include "ledger_rollup.h"

#include "base/clock.h"
#include "base/mem.h"
#include "policy/calendar.h"

#define MINUTE_S    60
#define FIRST_SLOTS 256
#define FIRST_USERS 1024

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
        struct cell *c = &rollup_cells(m)[i];
        mem_free(c->marks.size > 0 ? c->marks.p : NULL);
        mem_free(c->users.size > 0 ? c->users.p : NULL);
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
    r->live_users_n = 0;
    rollup_clear_staged(r);
    rollup_clear_held(r);
}

void rollup_done(struct rollup *r)
{
    struct rollup_map *all[] = {&r->live, &r->staged, &r->held, &r->held_users};
    rollup_reset(r);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        rollup_map_done(all[i]);
    mem_free(TAKE(r->live_users));
    r->live_users_size = 0;
}

bool rollup_map_grow(struct rollup_map *m, size_t entry, size_t key_n)
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
        uint32_t at = rollup_hash(entries + i * entry, key_n) & m->mask;
        while (slots[at] != 0)
            at = (at + 1) & m->mask;
        slots[at] = i + 1;
    }
    return true;
}

static struct cell *find_cell(struct rollup_map *m, const struct cell_key *key)
{
    return rollup_map_find(m, key, sizeof *key, sizeof(struct cell));
}

static struct user_cell *find_user(struct rollup_map *m, const struct user_key *key)
{
    return rollup_map_find(m, key, sizeof *key, sizeof(struct user_cell));
}

static struct code_count *find_code(struct code_list *l, unsigned code, unsigned shift)
{
    struct code_count *p = l->size == 0 ? l->inside : l->p;
    for (uint32_t i = 0; i < l->n; i++) {
        if ((unsigned)p[i].code >> shift == code >> shift && p[i].count < UINT16_MAX)
            return &p[i];
    }
    return NULL;
}

/* Room for one more; NULL: no memory. */
static struct code_count *new_code(struct code_list *l)
{
    if (l->size == 0 && l->n < CODES_INSIDE)
        return &l->inside[l->n++];
    if (l->size > 0 && l->n < l->size)
        return &l->p[l->n++];
    uint32_t size = 2 * MAX_OF(l->size, (uint32_t)CODES_INSIDE);
    struct code_count *p = mem_realloc(l->size > 0 ? l->p : NULL, size * sizeof *p);
    if (p == NULL)
        return NULL;
    if (l->size == 0)
        memcpy(p, l->inside, sizeof l->inside);
    l->p = p;
    l->size = size;
    return &l->p[l->n++];
}

static bool add_code(struct code_list *l, unsigned code, unsigned count)
{
    while (count > 0) {
        struct code_count *c = find_code(l, code, 0);
        if (c == NULL) {
            c = new_code(l);
            if (c == NULL)
                return false;
            *c = (struct code_count){.code = (uint16_t)code};
        }
        unsigned more = MIN_OF(count, (unsigned)UINT16_MAX - c->count);
        c->count = (uint16_t)(c->count + more);
        count -= more;
    }
    return true;
}

/* One code to each register, the one of the highest rank. */
static bool add_user(struct code_list *l, unsigned code)
{
    struct code_count *c = find_code(l, code, SKETCH_RANK_BITS);
    if (c == NULL)
        return add_code(l, code, 1);
    if (code > c->code)
        c->code = (uint16_t)code;
    return true;
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

static struct user_cell *new_user(struct rollup *r, const struct user_key *key)
{
    if (r->live_users_n == r->live_users_size) {
        uint32_t size = MAX_OF(2 * r->live_users_size, (uint32_t)FIRST_USERS);
        struct user_cell *p = mem_realloc(r->live_users, size * sizeof *p);
        if (p == NULL)
            return NULL;
        r->live_users = p;
        r->live_users_size = size;
    }
    struct user_cell *u = &r->live_users[r->live_users_n++];
    *u = (struct user_cell){.key = *key};
    return u;
}

bool rollup_add(struct rollup *r, const struct ledger_row *row, bool slow_only)
{
    int64_t s = rollup_seconds(row->start_ns);
    struct cell_key key = {.bucket = slow_only ? hour_of(r, s) : rollup_bucket(ROLLUP_MINUTE, s)};
    struct user_key user = {.bucket = hour_of(r, s), .user = row->user_hash};
    memcpy(key.name, row->name, sizeof key.name);
    struct user_cell *u = slow_only ? find_user(&r->held_users, &user) : new_user(r, &user);
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
        struct code_count c = codes_of(&from->marks)[i];
        if (!add_code(&to->marks, c.code, c.count))
            return false;
    }
    for (uint32_t i = 0; i < from->users.n; i++) {
        if (!add_user(&to->users, codes_of(&from->users)[i].code))
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
    for (uint32_t i = 0; i < r->live_users_n; i++) {
        const struct user_cell *from = &r->live_users[i];
        struct user_cell *to = find_user(&r->held_users, &from->key);
        if (to == NULL)
            return false;
        figures_add(&to->sums, &from->sums);
    }
    r->live_users_n = 0;
    return true;
}
