/* Prefix affinity: block hashes, and the table of who has seen which.
 *
 * An entry is two words that any thread may write at any time. The first is kept mixed with the
 * second (Robert Hyatt's lockless transposition table), so that halves of two writes do not fit
 * each other and read as nobody's block. */
#include "policy/prefix.h"

#include <stdatomic.h>

#include "base/mem.h"

#define PREFIX_MAGIC UINT32_C(0x50524658)
#define WAYS         4 /* of a set, which is a cache line */
#define LINE         64
#define TICK_PART    32 /* the clock ticks when this part of the table has been written anew */

/* `key`: tag (upper half of the hash) and stamp (ticks), XOR mix(seen). `seen`: the targets, a bit
 * each; 0 in an empty entry. */
struct entry {
    _Atomic uint64_t key, seen;
};

struct set {
    struct entry way[WAYS];
};

/* `life[i]`: the epoch of target i (bits 32 to 47), whether it has one (bit 48), and the stamp
 * (bits 0 to 31) from which on its bit counts. A bit in an older entry is of another epoch and is
 * dropped when the entry is next written, so nobody ever goes through the table to forget.
 *
 * The stamp has 32 bits: at 80,000 new blocks a second, a table of 1 MB lasts for three years. */
struct prefix_table {
    uint32_t magic;
    unsigned tick_shift;
    size_t sets; /* a power of two */
    struct set *set;
    void *memory; /* of the sets, as it was given */
    _Atomic uint64_t life[PREFIX_TARGETS];
    char apart[LINE]; /* what follows is written often, what is above is read often */
    _Atomic uint64_t written;
};

/* Instead of a stamp, while that is being found: nothing counts. */
#define UNBORN UINT32_MAX

/* A moment of the table, for one call. Lives are read after the clock, never before (see renew); in
 * which order with entries does not matter, since an entry of a life that began after its reading
 * has a stamp of the future. They are read of those targets alone that entries name. */
struct view {
    uint32_t now, newest; /* no known target's stamp is later than `newest` */
    uint64_t known;       /* of which targets the life was read */
    uint32_t since[PREFIX_TARGETS];
};

static uint64_t life_word(uint16_t epoch, uint32_t since)
{
    return UINT64_C(1) << 48 | (uint64_t)epoch << 32 | since;
}

/* A bijection with mix(0) == 0: the finaliser of MurmurHash3 (Austin Appleby, public domain). */
static uint64_t mix(uint64_t v)
{
    v ^= v >> 33;
    v *= UINT64_C(0xff51afd7ed558ccd);
    v ^= v >> 33;
    v *= UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ v >> 33;
}

struct prefix_table *prefix_table_new(size_t bytes)
{
    size_t sets = 1;
    while (sets <= bytes / sizeof(struct set) / 2)
        sets *= 2;
    struct prefix_table *t = mem_calloc(1, sizeof *t);
    void *memory = mem_calloc(sets + 1, sizeof(struct set));
    if (t == NULL || memory == NULL) {
        mem_free(t);
        mem_free(memory);
        return NULL;
    }
    t->magic = PREFIX_MAGIC;
    t->sets = sets;
    t->memory = memory;
    t->set = (void *)(((uintptr_t)memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
    while ((uint64_t)TICK_PART << t->tick_shift < sets * WAYS)
        t->tick_shift++;
    return t;
}

void prefix_table_free(struct prefix_table *t)
{
    if (t == NULL)
        return;
    CHECK_MAGIC(t, PREFIX_MAGIC);
    t->magic = 0;
    mem_free(t->memory);
    mem_free(t);
}

void prefix_begin(struct prefix_chain *c, uint64_t model)
{
    c->n = c->rest_n = c->bytes = 0;
    hash_run_begin(&c->run, model);
}

static void chain_block(struct prefix_chain *c, const char *block)
{
    c->hash[c->n++] = hash_run_add(&c->run, block, PREFIX_BLOCK / HASH_STRIPE);
}

void prefix_add(struct prefix_chain *c, struct slice part)
{
    c->bytes += (uint32_t)MIN_OF(part.n, (size_t)(UINT32_MAX - c->bytes));
    while (part.n > 0 && c->n < PREFIX_BLOCKS_MAX) {
        if (c->rest_n == 0 && part.n >= PREFIX_BLOCK) {
            chain_block(c, part.p);
            part = slice_from(part, PREFIX_BLOCK);
            continue;
        }
        size_t take = MIN_OF(part.n, (size_t)(PREFIX_BLOCK - c->rest_n));
        memcpy(c->rest + c->rest_n, part.p, take);
        c->rest_n += (unsigned)take;
        part = slice_from(part, take);
        if (c->rest_n == PREFIX_BLOCK) {
            chain_block(c, c->rest);
            c->rest_n = 0;
        }
    }
}

void prefix_end(struct prefix_chain *c)
{
    c->rest_n = 0; /* the next turn has more of that block: it would not be found again */
}

static uint32_t now_of(const struct prefix_table *t)
{
    return (uint32_t)(atomic_load(&t->written) >> t->tick_shift);
}

static void look(const struct prefix_table *t, struct view *ret)
{
    ret->now = now_of(t);
    ret->newest = 0;
    ret->known = 0;
}

static void note_life(struct view *v, unsigned target, uint64_t life)
{
    v->since[target] = (uint32_t)life;
    v->newest = MAX_OF(v->newest, (uint32_t)life);
    v->known |= UINT64_C(1) << target;
}

/* The bits of `seen` that count in an entry with that stamp. */
static uint64_t still_valid(const struct view *v, uint64_t seen, uint32_t stamp)
{
    if (stamp >= v->newest)
        return seen;
    for (uint64_t left = seen; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (v->since[i] > stamp)
            seen &= ~(UINT64_C(1) << i);
    }
    return seen;
}

/* One entry as one thread sees it. */
struct reading {
    uint64_t seen;
    uint32_t tag, stamp;
};

static struct reading read_entry(const struct entry *e)
{
    uint64_t key = atomic_load_explicit(&e->key, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&e->seen, memory_order_relaxed);
    key ^= mix(seen);
    return (struct reading){seen, (uint32_t)(key >> 32), (uint32_t)key};
}

static void write_entry(struct entry *e, struct reading r)
{
    uint64_t key = ((uint64_t)r.tag << 32 | r.stamp) ^ mix(r.seen);
    atomic_store_explicit(&e->key, key, memory_order_relaxed);
    atomic_store_explicit(&e->seen, r.seen, memory_order_relaxed);
}

/* Is that entry the block's? A stamp of the future is that of a torn one, or of a life which began
 * after the view was taken. */
static bool is_block(const struct view *v, struct reading r, uint64_t hash)
{
    return r.tag == (uint32_t)(hash >> 32) && r.seen != 0 && r.stamp <= v->now;
}

static struct set *set_of(const struct prefix_table *t, uint64_t hash)
{
    return &t->set[hash & (t->sets - 1)];
}

/* What is known of that block; nothing seen: nothing. */
static struct reading find(const struct prefix_table *t, const struct view *v, uint64_t hash)
{
    const struct set *s = set_of(t, hash);
    for (unsigned i = 0; i < WAYS; i++) {
        struct reading r = read_entry(&s->way[i]);
        if (is_block(v, r, hash))
            return r;
    }
    return (struct reading){0};
}

/* Of those targets the ones that are in that epoch. */
static uint64_t of_epoch(const struct prefix_table *t, struct view *v, uint64_t targets,
                         const uint16_t *epoch)
{
    uint64_t same = 0;
    for (uint64_t left = targets; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        uint64_t life = atomic_load(&t->life[i]);
        note_life(v, i, life);
        same |= (uint64_t)((uint16_t)(life >> 32) == epoch[i]) << i;
    }
    return same;
}

/* Asks for all sets at once, which stand anywhere in a table that is larger than a core's caches:
 * also for prefix_learn, which comes soon after. */
void prefix_match(const struct prefix_table *t, const struct prefix_chain *c, const uint16_t *epoch,
                  unsigned n, double *ret_share)
{
    CHECK_MAGIC(t, PREFIX_MAGIC);
    UNINITIALIZED struct view v;
    memset(ret_share, 0, n * sizeof *ret_share);
    if (c->n == 0)
        return;
    for (unsigned k = 0; k < c->n; k++)
        FETCH(set_of(t, c->hash[k]), sizeof(struct set), false);
    look(t, &v);
    struct reading r = find(t, &v, c->hash[0]);
    uint64_t given = n < PREFIX_TARGETS ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
    uint64_t left = still_valid(&v, of_epoch(t, &v, r.seen & given, epoch), r.stamp);
    for (unsigned k = 1; k < c->n && left != 0; k++) {
        r = find(t, &v, c->hash[k]);
        uint64_t saw = still_valid(&v, r.seen & left, r.stamp);
        for (uint64_t gone = left & ~saw; gone != 0; gone &= gone - 1)
            ret_share[__builtin_ctzll(gone)] = (double)k / c->n;
        left = saw;
    }
    for (; left != 0; left &= left - 1)
        ret_share[__builtin_ctzll(left)] = 1;
}

/* Begins a life of that target. Nothing of it counts while its first stamp is being found: who read
 * the clock and then still the life before has a stamp that is less than that one, and so have the
 * entries which it is about to write. */
static void renew(struct prefix_table *t, unsigned target, uint16_t epoch)
{
    uint64_t was = atomic_load(&t->life[target]);
    uint64_t unborn = life_word(epoch, UNBORN);
    if (!atomic_compare_exchange_strong(&t->life[target], &was, unborn))
        return; /* somebody else does it now */
    uint64_t tick = UINT64_C(1) << t->tick_shift;
    uint32_t since = (uint32_t)((atomic_fetch_add(&t->written, tick) + tick) >> t->tick_shift);
    atomic_compare_exchange_strong(&t->life[target], &unborn, life_word(epoch, since));
}

/* Writes the entry anew: with the target, without those of whom it tells no more. */
static void renew_entry(const struct prefix_table *t, struct view *v, struct entry *e,
                        struct reading r, uint64_t bit)
{
    for (uint64_t left = r.seen & ~v->known; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        note_life(v, i, atomic_load(&t->life[i]));
    }
    uint64_t seen = still_valid(v, r.seen, r.stamp) | bit;
    write_entry(e, (struct reading){seen, r.tag, v->now});
}

/* Adds the target to a block's entry, in place of the set's oldest where it has none. True: it is a
 * new entry. */
static bool learn_block(struct prefix_table *t, struct view *v, uint64_t hash, uint64_t bit)
{
    struct set *s = set_of(t, hash);
    struct entry *oldest = &s->way[0];
    uint32_t oldest_age = 0;
    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *e = &s->way[i];
        struct reading r = read_entry(e);
        if (is_block(v, r, hash)) {
            if ((r.seen & bit) == 0 || r.stamp != v->now)
                renew_entry(t, v, e, r, bit);
            return false;
        }
        uint32_t age = r.seen == 0 ? UINT32_MAX : v->now - r.stamp; /* the future is old too */
        if (age > oldest_age) {
            oldest_age = age;
            oldest = e;
        }
    }
    write_entry(oldest, (struct reading){bit, (uint32_t)(hash >> 32), v->now});
    return true;
}

void prefix_learn(struct prefix_table *t, const struct prefix_chain *c, unsigned target,
                  uint16_t epoch)
{
    CHECK_MAGIC(t, PREFIX_MAGIC);
    if (target >= PREFIX_TARGETS || c->n == 0)
        return;
    uint64_t life = atomic_load(&t->life[target]);
    if (life >> 32 != (life_word(epoch, 0) >> 32))
        renew(t, target, epoch);
    UNINITIALIZED struct view v;
    look(t, &v);
    life = atomic_load(&t->life[target]);
    if (life >> 32 != (life_word(epoch, 0) >> 32) || (uint32_t)life > v.now)
        return; /* another thread is at it */
    note_life(&v, target, life);
    unsigned fresh = 0;
    for (unsigned k = 0; k < c->n; k++)
        fresh += learn_block(t, &v, c->hash[k], UINT64_C(1) << target);
    if (fresh > 0)
        atomic_fetch_add(&t->written, fresh);
}

/* Of what was promised, this much need not come: engines and providers cache blocks of their own
 * size (16 to 1,024 tokens), never the last token, and count the words of their templates. */
#define TRUST_SLACK 0.25
/* The part of the new trust that one answer gives, when so many tokens were promised. */
#define TRUST_WEIGHT      0.25
#define TRUST_FULL_TOKENS 1024

double prefix_trust(double before, double promised, int64_t cached_tokens, int64_t prompt_tokens)
{
    double tokens = promised * (double)prompt_tokens;
    if (cached_tokens < 0 || prompt_tokens <= 0 || !(tokens >= 1))
        return before;
    double kept = (double)cached_tokens / (tokens * (1 - TRUST_SLACK));
    double weight = TRUST_WEIGHT * MIN_OF(tokens / TRUST_FULL_TOKENS, 1.0);
    return before + weight * (MIN_OF(kept, 1.0) - before);
}
