/* Estimates: a moving average and a histogram that forgets. */
#include "policy/estimate.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/mem.h"

#define TARGETS_MAX        4096u
#define REGISTRY_SLOTS     8192u
#define BYTES_PER_TOKEN    4
#define AVERAGE_OVER       16 /* a new figure counts for a 16th */
#define FIRST_ANSWERS      20
#define FIRST_OUTPUT       1024
#define ANSWERS_MAX        4096 /* half of them are forgotten then */
#define SHORT_PROMPT       256  /* bytes: too little to learn from */
#define TOKENS_PER_KIB_MAX 4096

static struct registry {
    pthread_mutex_t lock;
    struct entry {
        char *label;
        uint64_t hash;
        struct estimate estimate;
    } * slots[REGISTRY_SLOTS];
    unsigned count;
    struct estimate shared;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct entry *entry_new(struct slice label, uint64_t hash)
{
    struct entry *e = mem_calloc(1, sizeof *e);
    char *copy = mem_strndup(label.p, label.n);
    if (e == NULL || copy == NULL) {
        mem_free(e);
        mem_free(copy);
        return NULL;
    }
    e->label = copy;
    e->hash = hash;
    return e;
}

struct estimate *estimate_get(struct slice label)
{
    struct registry *r = &registry;
    uint64_t hash = hash64(label);
    unsigned at = (unsigned)hash % REGISTRY_SLOTS;
    pthread_mutex_lock(&r->lock);
    while (r->slots[at] != NULL &&
           (r->slots[at]->hash != hash || !slice_is(label, r->slots[at]->label)))
        at = (at + 1) % REGISTRY_SLOTS;
    if (r->slots[at] == NULL && r->count < TARGETS_MAX) {
        r->slots[at] = entry_new(label, hash);
        r->count += r->slots[at] != NULL;
    }
    struct entry *found = r->slots[at];
    pthread_mutex_unlock(&r->lock);
    return found != NULL ? &found->estimate : &r->shared;
}

int64_t estimate_input(const struct estimate *e, int64_t prompt_bytes)
{
    int64_t rate = atomic_load_explicit(&e->tokens_per_kib, memory_order_relaxed);
    int64_t tokens = rate > 0 ? prompt_bytes * rate / 1024 : prompt_bytes / BYTES_PER_TOKEN;
    return MAX_OF(tokens, INT64_C(1));
}

/* The bucket of a length, and the most that one holds: powers of the root of two. */
static unsigned bucket_of(int64_t tokens)
{
    if (tokens < 1)
        return 0;
    unsigned power = 63u - (unsigned)__builtin_clzll((uint64_t)tokens);
    uint64_t half = (uint64_t)1 << power;
    bool upper = (uint64_t)tokens * (uint64_t)tokens >= 2 * half * half;
    return MIN_OF(power * 2 + upper, ESTIMATE_BUCKETS - 1u);
}

static int64_t bucket_most(unsigned bucket)
{
    int64_t half = INT64_C(1) << (bucket / 2);
    return bucket % 2 == 1 ? half * 2 : half + half * 27 / 64; /* 1.41 */
}

int64_t estimate_output(const struct estimate *e)
{
    uint32_t answers = atomic_load_explicit(&e->answers, memory_order_relaxed), seen = 0;
    if (answers < FIRST_ANSWERS)
        return FIRST_OUTPUT;
    for (unsigned i = 0; i < ESTIMATE_BUCKETS; i++) {
        seen += atomic_load_explicit(&e->bucket[i], memory_order_relaxed);
        if ((uint64_t)seen * 10 >= (uint64_t)answers * 9)
            return bucket_most(i);
    }
    return bucket_most(ESTIMATE_BUCKETS - 1);
}

/* Figures that other workers change at the same time may be lost: it is an estimate. */
static void forget(struct estimate *e)
{
    uint32_t left = 0;
    for (unsigned i = 0; i < ESTIMATE_BUCKETS; i++) {
        uint32_t half = atomic_load_explicit(&e->bucket[i], memory_order_relaxed) / 2;
        atomic_store_explicit(&e->bucket[i], half, memory_order_relaxed);
        left += half;
    }
    atomic_store_explicit(&e->answers, left, memory_order_relaxed);
}

static void learn_input(struct estimate *e, int64_t bytes, int64_t tokens)
{
    int64_t rate = MIN_OF(tokens * 1024 / bytes, (int64_t)TOKENS_PER_KIB_MAX);
    int64_t before = atomic_load_explicit(&e->tokens_per_kib, memory_order_relaxed);
    int64_t now = before == 0 ? rate : before + (rate - before) / AVERAGE_OVER;
    if (before != 0 && now == before)
        now += (rate > before) - (rate < before); /* small differences count in the end */
    atomic_store_explicit(&e->tokens_per_kib, (uint32_t)MAX_OF(now, INT64_C(1)),
                          memory_order_relaxed);
}

void estimate_learn(struct estimate *e, int64_t prompt_bytes, int64_t input_tokens,
                    int64_t output_tokens)
{
    if (prompt_bytes >= SHORT_PROMPT && input_tokens > 0)
        learn_input(e, prompt_bytes, input_tokens);
    if (output_tokens < 0)
        return;
    atomic_fetch_add_explicit(&e->bucket[bucket_of(output_tokens)], 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&e->answers, 1, memory_order_relaxed) + 1 >= ANSWERS_MAX)
        forget(e);
}
