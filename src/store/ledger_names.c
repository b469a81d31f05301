/* Names and their numbers, and the keyed hash that stands for end users. */
#include "ledger_names.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"

#define TEXT_BYTES_MAX ((size_t)NAMES_MAX * NAME_KINDS_N * 256)
#define FIRST_SLOTS    64
#define DIGEST_BYTES   8

void names_init(struct names *s)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    arena_init(&s->texts, NULL, TEXT_BYTES_MAX);
}

void names_done(struct names *s)
{
    for (unsigned k = 0; k < NAME_KINDS_N; k++) {
        for (unsigned i = 0; i < NAMES_CHUNKS; i++)
            mem_free(s->kind[k].chunk[i]);
        mem_free(s->kind[k].slots);
    }
    arena_reset(&s->texts);
    pthread_mutex_destroy(&s->lock);
}

struct slice names_text(const struct names *s, enum ledger_name_kind kind, uint32_t id)
{
    const struct names_of_kind *k = &s->kind[kind];
    if (id == 0 || id > atomic_load_explicit(&k->top, memory_order_acquire))
        return SLICE_NONE;
    const struct slice *chunk =
        atomic_load_explicit(&k->chunk[id / NAMES_CHUNK], memory_order_acquire);
    return chunk != NULL ? chunk[id % NAMES_CHUNK] : SLICE_NONE;
}

/* Where `name` stands in the slots, or the empty one that waits for it. */
static uint32_t *find_slot(const struct names *s, enum ledger_name_kind kind, struct slice name)
{
    const struct names_of_kind *k = &s->kind[kind];
    uint32_t at = (uint32_t)hash64(name) & k->mask;
    while (k->slots[at] != 0 && !slice_eq(names_text(s, kind, k->slots[at]), name))
        at = (at + 1) & k->mask;
    return &k->slots[at];
}

/* Room for one more; false: no memory. */
static bool grow_slots(struct names *s, enum ledger_name_kind kind, uint32_t used)
{
    struct names_of_kind *k = &s->kind[kind];
    uint32_t size = k->slots == NULL ? FIRST_SLOTS : k->mask + 1;
    if (k->slots != NULL && (used + 1) * 2 <= size)
        return true;
    while ((used + 1) * 2 > size)
        size *= 2;
    uint32_t *old = k->slots, *fresh = mem_calloc(size, sizeof *fresh);
    if (fresh == NULL)
        return false;
    k->slots = fresh;
    k->mask = size - 1;
    for (uint32_t id = 1; id <= used; id++) {
        struct slice text = names_text(s, kind, id);
        if (text.n > 0)
            *find_slot(s, kind, text) = id;
    }
    mem_free(old);
    return true;
}

static bool place(struct names *s, enum ledger_name_kind kind, uint32_t id, struct slice text)
{
    struct names_of_kind *k = &s->kind[kind];
    uint32_t top = atomic_load_explicit(&k->top, memory_order_relaxed);
    struct slice *chunk = k->chunk[id / NAMES_CHUNK];
    if (!grow_slots(s, kind, MAX_OF(top, id)))
        return false;
    if (chunk == NULL) {
        chunk = mem_calloc(NAMES_CHUNK, sizeof *chunk);
        if (chunk == NULL)
            return false;
        atomic_store_explicit(&k->chunk[id / NAMES_CHUNK], chunk, memory_order_release);
    }
    struct slice copy = arena_copy(&s->texts, text);
    if (copy.p == NULL)
        return false;
    uint32_t *slot = find_slot(s, kind, copy);
    chunk[id % NAMES_CHUNK] = copy;
    if (*slot == 0)
        *slot = id;
    if (id > top)
        atomic_store_explicit(&k->top, id, memory_order_release);
    return true;
}

/* A name that is too long for a record: its beginning and a digest of all of it, in `out`. */
static struct slice fitting(struct slice name, char out[RECORD_NAME_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES] = {0};
    size_t keep = RECORD_NAME_BYTES - 1 - 2 * (size_t)DIGEST_BYTES;
    if (name.n <= RECORD_NAME_BYTES)
        return name;
    if (!hash_sha256(name, digest))
        return SLICE_NONE;
    while (keep > 0 && ((unsigned char)name.p[keep] & 0xC0) == 0x80)
        keep--; /* not inside of a UTF-8 sequence */
    memcpy(out, name.p, keep);
    out[keep] = '~';
    hex_encode(digest, DIGEST_BYTES, out + keep + 1);
    return slice_of(out, keep + 1 + 2 * (size_t)DIGEST_BYTES);
}

static uint32_t get_locked(struct names *s, enum ledger_name_kind kind, struct slice name)
{
    struct names_of_kind *k = &s->kind[kind];
    uint32_t top = atomic_load_explicit(&k->top, memory_order_relaxed);
    uint32_t id = k->slots != NULL ? *find_slot(s, kind, name) : 0;
    if (id != 0 || top >= NAMES_MAX)
        return id;
    if (s->on_new != NULL && !s->on_new(s->ctx, kind, top + 1, name))
        return 0;
    return place(s, kind, top + 1, name) ? top + 1 : 0;
}

uint32_t names_get(struct names *s, enum ledger_name_kind kind, struct slice name)
{
    char cut[RECORD_NAME_BYTES + 1];
    name = fitting(name, cut);
    if (name.n == 0 || (unsigned)kind >= NAME_KINDS_N)
        return 0;
    pthread_mutex_lock(&s->lock);
    uint32_t id = get_locked(s, kind, name);
    pthread_mutex_unlock(&s->lock);
    return id;
}

bool names_put(struct names *s, enum ledger_name_kind kind, uint32_t id, struct slice name)
{
    if (id == 0 || id > NAMES_MAX || name.n == 0 || name.n > RECORD_NAME_BYTES)
        return false;
    pthread_mutex_lock(&s->lock);
    struct slice there = names_text(s, kind, id);
    bool ok = there.n > 0 ? slice_eq(there, name) : place(s, kind, id, name);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static inline uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void sip_rounds(uint64_t v[4], unsigned rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

uint64_t siphash24(const uint64_t key[2], struct slice s)
{
    uint64_t last = (uint64_t)s.n << 56, word;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    while (s.n >= sizeof word) {
        memcpy(&word, s.p, sizeof word);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
        s = slice_of(s.p + sizeof word, s.n - sizeof word);
    }
    for (size_t i = 0; i < s.n; i++)
        last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
    v[3] ^= last;
    sip_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
