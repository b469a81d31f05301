/* Prefix affinity: chains, who has seen what, forgetting, replacement, threads, trust and cost. */
#include "policy/prefix.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "check.h"

#define MODEL 7

static struct prefix_table *table(size_t bytes)
{
    return mem_must(prefix_table_new(bytes));
}

static void fill(char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + (i * 31 + i / 7 + seed * 2654435761u) % 26);
    memcpy(p, &seed, MIN_OF(n, sizeof seed));
}

/* The chain of `n` bytes that differ from those of any other seed. */
static void chain_of(struct prefix_chain *c, size_t n, unsigned seed)
{
    char *p = mem_must(mem_alloc(n));
    fill(p, n, seed);
    prefix_begin(c, MODEL);
    prefix_add(c, slice_of(p, n));
    prefix_end(c);
    mem_free(p);
}

static double share_of(const struct prefix_table *t, const struct prefix_chain *c, unsigned target,
                       uint16_t epoch)
{
    uint16_t epochs[PREFIX_TARGETS] = {0};
    double share[PREFIX_TARGETS];
    epochs[target] = epoch;
    prefix_match(t, c, epochs, target + 1, share);
    return share[target];
}

TEST(a_chain_does_not_depend_on_where_the_parts_end)
{
    char text[40 * PREFIX_BLOCK];
    fill(text, sizeof text, 1);
    struct prefix_chain whole, cut;
    prefix_begin(&whole, MODEL);
    prefix_add(&whole, slice_of(text, sizeof text));
    prefix_end(&whole);
    CHECK_EQ_U64(whole.n, 40);
    for (unsigned round = 0; round < 200; round++) {
        prefix_begin(&cut, MODEL);
        for (size_t at = 0, n; at < sizeof text; at += n) {
            n = MIN_OF((size_t)check_random_below(round < 100 ? 40 : 1000), sizeof text - at);
            prefix_add(&cut, slice_of(text + at, n));
        }
        prefix_end(&cut);
        CHECK_EQ_U64(cut.n, whole.n);
        CHECK_EQ_U64(cut.bytes, whole.bytes);
        CHECK(memcmp(cut.hash, whole.hash, whole.n * sizeof whole.hash[0]) == 0);
    }
}

TEST(a_block_is_named_by_all_that_is_before_it)
{
    char text[6 * PREFIX_BLOCK];
    struct prefix_chain a, b;
    fill(text, sizeof text, 1);
    prefix_begin(&a, MODEL);
    prefix_add(&a, slice_of(text, sizeof text));
    prefix_end(&a);
    text[2 * PREFIX_BLOCK]++;
    prefix_begin(&b, MODEL);
    prefix_add(&b, slice_of(text, sizeof text));
    prefix_end(&b);
    for (unsigned i = 0; i < 6; i++)
        CHECK((a.hash[i] == b.hash[i]) == (i < 2));
    prefix_begin(&b, MODEL + 1);
    text[2 * PREFIX_BLOCK]--;
    prefix_add(&b, slice_of(text, sizeof text));
    for (unsigned i = 0; i < 6; i++)
        CHECK(a.hash[i] != b.hash[i]);
}

TEST(a_last_block_that_is_not_full_is_left_out_and_a_chain_ends)
{
    struct prefix_chain c;
    chain_of(&c, PREFIX_BLOCK - 1, 1);
    CHECK_EQ_U64(c.n, 0);
    CHECK_EQ_U64(c.bytes, PREFIX_BLOCK - 1);
    chain_of(&c, 3 * PREFIX_BLOCK + 9, 1);
    CHECK_EQ_U64(c.n, 3);
    chain_of(&c, 300000, 1);
    CHECK_EQ_U64(c.n, PREFIX_BLOCKS_MAX);
    CHECK_EQ_U64(c.bytes, 300000);
}

TEST(shares_count_from_the_first_block)
{
    struct prefix_table *t = table(1 << 20);
    struct prefix_chain turn, next, other, none;
    chain_of(&turn, 4 * PREFIX_BLOCK + 100, 1);
    chain_of(&next, 8 * PREFIX_BLOCK, 1);
    chain_of(&other, 8 * PREFIX_BLOCK, 2);
    chain_of(&none, 10, 1);
    const uint16_t epochs[PREFIX_TARGETS] = {0};
    double share[PREFIX_TARGETS];
    prefix_match(t, &next, epochs, PREFIX_TARGETS, share);
    for (unsigned i = 0; i < PREFIX_TARGETS; i++)
        CHECK_EQ_DOUBLE(share[i], 0);
    prefix_learn(t, &turn, 3, 0);
    prefix_learn(t, &next, 63, 0);
    prefix_learn(t, &none, 5, 0);
    prefix_learn(t, &next, PREFIX_TARGETS, 0); /* too many: not kept */
    prefix_match(t, &next, epochs, PREFIX_TARGETS, share);
    for (unsigned i = 0; i < PREFIX_TARGETS; i++)
        CHECK_EQ_DOUBLE(share[i], i == 3 ? 0.5 : i == 63 ? 1 : 0);
    CHECK_EQ_DOUBLE(share_of(t, &other, 3, 0), 0);
    CHECK_EQ_DOUBLE(share_of(t, &none, 5, 0), 0);
    CHECK_EQ_DOUBLE(share_of(t, &turn, 3, 0), 1);
    prefix_table_free(t);
}

TEST(more_targets_than_it_knows_have_seen_nothing)
{
    struct prefix_table *t = table(1 << 12);
    struct prefix_chain c;
    chain_of(&c, 4 * PREFIX_BLOCK, 1);
    prefix_learn(t, &c, 63, 0);
    const uint16_t epochs[PREFIX_TARGETS + 6] = {0};
    double share[PREFIX_TARGETS + 6];
    prefix_match(t, &c, epochs, PREFIX_TARGETS + 6, share);
    for (unsigned i = 0; i < PREFIX_TARGETS + 6; i++)
        CHECK_EQ_DOUBLE(share[i], i == 63 ? 1 : 0);
    prefix_table_free(t);
}

TEST(a_restart_forgets_that_target_alone)
{
    struct prefix_table *t = table(1 << 16);
    struct prefix_chain c, d, e;
    chain_of(&c, 8 * PREFIX_BLOCK, 1);
    chain_of(&d, 8 * PREFIX_BLOCK, 2);
    chain_of(&e, 4 * PREFIX_BLOCK, 1);
    prefix_learn(t, &c, 1, 40000);
    prefix_learn(t, &c, 2, 0);
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 40001), 0); /* nobody told the table of it yet */
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 40000), 1);
    prefix_learn(t, &d, 1, 40001);
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 40001), 0);
    CHECK_EQ_DOUBLE(share_of(t, &d, 1, 40001), 1);
    CHECK_EQ_DOUBLE(share_of(t, &c, 2, 0), 1);
    prefix_learn(t, &c, 2, 0); /* writes the entries anew, without what is forgotten */
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 40001), 0);
    prefix_learn(t, &e, 1, 40001);
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 40001), 0.5);
    CHECK_EQ_DOUBLE(share_of(t, &c, 2, 0), 1);
    prefix_learn(t, &e, 1, 40002);
    prefix_learn(t, &e, 1, 40001); /* an epoch that comes again is a new one */
    CHECK_EQ_DOUBLE(share_of(t, &d, 1, 40001), 0);
    CHECK_EQ_DOUBLE(share_of(t, &e, 1, 40001), 1);
    prefix_table_free(t);
}

/* All texts of at most so many blocks, each of so many kinds: a tree, of which a target has seen
 * nodes. */
#define TREE_DEPTH 5
#define TREE_KINDS 3
#define TREE_NODES 364 /* (3^6 - 1) / 2, with the root */

struct seen {
    uint16_t epoch;
    bool node[TREE_NODES];
};

/* A random text as its chain, and its nodes from the first block on. */
static void random_text(struct prefix_chain *c, unsigned *node)
{
    static char text[TREE_DEPTH * PREFIX_BLOCK];
    unsigned n = (unsigned)check_random_below(TREE_DEPTH + 1);
    for (unsigned k = 0, at = 0; k < n; k++) {
        unsigned kind = (unsigned)check_random_below(TREE_KINDS);
        fill(text + k * PREFIX_BLOCK, PREFIX_BLOCK, kind);
        at = at * TREE_KINDS + 1 + kind;
        node[k] = at;
    }
    prefix_begin(c, MODEL);
    prefix_add(c, slice_of(text, n * PREFIX_BLOCK));
    prefix_end(c);
}

static void check_shares(const struct prefix_table *t, const struct seen *seen, unsigned n)
{
    struct prefix_chain c;
    unsigned node[TREE_DEPTH];
    uint16_t epochs[PREFIX_TARGETS];
    double share[PREFIX_TARGETS];
    random_text(&c, node);
    for (unsigned i = 0; i < n; i++)
        epochs[i] = (uint16_t)(seen[i].epoch + (check_random_below(10) == 0));
    prefix_match(t, &c, epochs, n, share);
    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < c.n && epochs[i] == seen[i].epoch && seen[i].node[node[k]])
            k++;
        CHECK_EQ_DOUBLE(share[i], k > 0 ? (double)k / c.n : 0);
    }
}

TEST(shares_are_what_a_plain_record_of_everything_says)
{
    struct prefix_table *t = table(1 << 20); /* so large that nothing has to go */
    struct seen *seen = mem_must(mem_calloc(PREFIX_TARGETS, sizeof *seen));
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)check_random_below(PREFIX_TARGETS);
        struct prefix_chain c;
        unsigned node[TREE_DEPTH];
        random_text(&c, node);
        if (c.n > 0 && check_random_below(200) == 0)
            seen[i] = (struct seen){.epoch = (uint16_t)(seen[i].epoch + 1)};
        prefix_learn(t, &c, i, seen[i].epoch);
        for (unsigned k = 0; k < c.n; k++)
            seen[i].node[node[k]] = true;
        if (round % 4 == 0)
            check_shares(t, seen, 1 + (unsigned)check_random_below(PREFIX_TARGETS));
    }
    prefix_table_free(t);
    mem_free(seen);
}

TEST(what_is_used_stays_and_what_is_not_goes)
{
    struct prefix_table *t = table(1 << 16); /* 4,096 blocks */
    struct prefix_chain used, idle, c;
    chain_of(&used, 8 * PREFIX_BLOCK, 1);
    chain_of(&idle, 8 * PREFIX_BLOCK, 2);
    prefix_learn(t, &used, 1, 0);
    prefix_learn(t, &idle, 1, 0);
    unsigned kept = 0;
    for (unsigned i = 0; i < 4000; i++) { /* 32,000 other blocks */
        chain_of(&c, 8 * PREFIX_BLOCK, 100 + i);
        prefix_learn(t, &c, 2, 0);
        if (i % 16 == 0)
            prefix_learn(t, &used, 1, 0);
        kept += share_of(t, &used, 1, 0) == 1;
    }
    CHECK(kept >= 3800); /* a set that is hit often at once may lose it until the next turn */
    CHECK_EQ_DOUBLE(share_of(t, &idle, 1, 0), 0);
    unsigned last = 0; /* of the 256 latest chains, half the table, most are still whole */
    for (unsigned i = 0; i < 256; i++) {
        chain_of(&c, 8 * PREFIX_BLOCK, 100 + 4000 - 1 - i);
        last += share_of(t, &c, 2, 0) == 1;
    }
    printf("  of the latest half table, %u of 256 chains are whole; the used one was in %u of "
           "4,000 rounds\n",
           last, kept);
    CHECK(last >= 150);
    prefix_table_free(t);
}

TEST(a_table_of_no_bytes_is_a_small_one)
{
    struct prefix_table *t = table(0);
    struct prefix_chain c;
    chain_of(&c, PREFIX_BLOCK, 1);
    prefix_learn(t, &c, 1, 0);
    CHECK_EQ_DOUBLE(share_of(t, &c, 1, 0), 1);
    prefix_table_free(t);
    prefix_table_free(NULL);
}

static void make_table(void *arg)
{
    prefix_table_free(prefix_table_new(4096));
}

TEST(no_memory_is_no_table)
{
    check_needs_torture();
    CHECK(check_torture(make_table, NULL) >= 2);
}

#define CROWD_CHAINS 48
#define CROWD_BLOCKS 6

/* Threads that write over one another's entries in a table that is far too small. Chain i goes only
 * to target i, which restarts now and then. */
struct crowd {
    struct prefix_table *t;
    struct prefix_chain chain[CROWD_CHAINS];
    _Atomic unsigned seed;
    _Atomic uint64_t wrong, hits;
};

static void *crowd_run(void *arg)
{
    struct crowd *w = arg;
    uint64_t state = (atomic_fetch_add(&w->seed, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned round = 0; round < 20000; round++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        unsigned i = (unsigned)(state >> 32) % CROWD_CHAINS;
        if (round % 2 == 0) {
            prefix_learn(w->t, &w->chain[i], i, (uint16_t)(round / 5000));
            continue;
        }
        uint16_t epochs[PREFIX_TARGETS];
        double share[PREFIX_TARGETS];
        for (unsigned k = 0; k < PREFIX_TARGETS; k++)
            epochs[k] = (uint16_t)(round / 5000);
        prefix_match(w->t, &w->chain[i], epochs, PREFIX_TARGETS, share);
        for (unsigned k = 0; k < PREFIX_TARGETS; k++)
            if (share[k] > 0)
                atomic_fetch_add(k == i ? &w->hits : &w->wrong, 1);
    }
    return NULL;
}

TEST(threads_never_find_a_wrong_target)
{
    struct crowd *w = mem_must(mem_calloc(1, sizeof *w));
    w->t = table(2048); /* 128 blocks for 288 */
    for (unsigned i = 0; i < CROWD_CHAINS; i++)
        chain_of(&w->chain[i], CROWD_BLOCKS * PREFIX_BLOCK, i);
    pthread_t thread[4];
    for (unsigned i = 0; i < ARRAY_LEN(thread); i++)
        CHECK(thread_start(&thread[i], crowd_run, w));
    for (unsigned i = 0; i < ARRAY_LEN(thread); i++)
        pthread_join(thread[i], NULL);
    printf("  %" PRIu64 " hits, %" PRIu64 " of a wrong target\n", w->hits, w->wrong);
    CHECK_EQ_U64(w->wrong, 0);
    CHECK(w->hits > 100);
    prefix_table_free(w->t);
    mem_free(w);
}

/* Threads of two lives of one target at the same time. What only the first life saw must not be
 * found in the second. */
struct lives {
    struct prefix_table *t;
    struct prefix_chain old, new, both;
    _Atomic unsigned epoch;
    _Atomic bool stop;
    _Atomic uint64_t wrong, learned;
};

static void *lives_learn(void *arg)
{
    struct lives *w = arg;
    while (!w->stop) {
        uint16_t epoch = (uint16_t)w->epoch;
        prefix_learn(w->t, epoch % 2 == 0 ? &w->old : &w->new, 9, epoch);
        prefix_learn(w->t, epoch % 2 == 0 ? &w->old : &w->new, 10, 0);
        w->learned++;
    }
    return NULL;
}

static void *lives_match(void *arg)
{
    struct lives *w = arg;
    while (!w->stop) {
        uint16_t epoch = (uint16_t)w->epoch;
        const struct prefix_chain *absent = epoch % 2 == 0 ? &w->new : &w->old;
        if (share_of(w->t, absent, 9, epoch) > 0)
            w->wrong++;
    }
    return NULL;
}

TEST(a_laggard_of_the_life_before_teaches_nothing)
{
    struct lives *w = mem_must(mem_calloc(1, sizeof *w));
    w->t = table(4096);
    chain_of(&w->old, 4 * PREFIX_BLOCK, 1);
    chain_of(&w->new, 4 * PREFIX_BLOCK, 2);
    pthread_t thread[4];
    for (unsigned i = 0; i < ARRAY_LEN(thread); i++)
        CHECK(thread_start(&thread[i], i < 3 ? lives_learn : lives_match, w));
    for (unsigned i = 1; i <= 40; i++) {
        for (uint64_t until = w->learned + 40; w->learned < until;)
            sched_yield();
        w->epoch = i;
    }
    w->stop = true;
    for (unsigned i = 0; i < ARRAY_LEN(thread); i++)
        pthread_join(thread[i], NULL);
    CHECK_EQ_U64(w->wrong, 0);
    prefix_table_free(w->t);
    mem_free(w);
}

TEST(trust_follows_what_the_target_kept)
{
    CHECK_EQ_DOUBLE(prefix_trust(1, 0.9, -1, 4000), 1); /* it said nothing */
    CHECK_EQ_DOUBLE(prefix_trust(0.5, 0, 0, 4000), 0.5);
    CHECK_EQ_DOUBLE(prefix_trust(0.5, 0.9, 0, 0), 0.5);
    CHECK_EQ_DOUBLE(prefix_trust(1, 0.9, 3600, 4000), 1);
    CHECK_EQ_DOUBLE(prefix_trust(1, 0.9, 3000, 4000), 1); /* in blocks of the target's own */
    CHECK_EQ_DOUBLE(prefix_trust(1, 1, 0, 4096), 0.75);
    CHECK(prefix_trust(1, 1, 0, 100) > 0.97); /* a short prompt says little */
    double trust = 1;
    for (unsigned i = 0; i < 10; i++)
        trust = prefix_trust(trust, 1, 0, 4096);
    CHECK(trust > 0 && trust < 0.06);
    for (unsigned i = 0; i < 10; i++)
        trust = prefix_trust(trust, 0.5, 4096, 4096);
    CHECK(trust > 0.9 && trust <= 1);
}

/* Nanoseconds of one round of the best of `ROUNDS`: other work on the machine only adds. */
#define COST_ROUNDS 300

static double cost_chain(size_t bytes)
{
    char *text = mem_must(mem_alloc(bytes));
    fill(text, bytes, 1);
    int64_t best = INT64_MAX;
    struct prefix_chain c;
    for (unsigned i = 0; i < COST_ROUNDS; i++) {
        int64_t began = clock_mono_ns();
        prefix_begin(&c, MODEL);
        prefix_add(&c, slice_of(text, bytes));
        prefix_end(&c);
        best = MIN_OF(best, clock_mono_ns() - began);
    }
    mem_free(text);
    return (double)best;
}

static void cost_table(size_t bytes, double *ret_match, double *ret_learn)
{
    struct prefix_table *t = table(1 << 20);
    struct prefix_chain c;
    const uint16_t epochs[PREFIX_TARGETS] = {0};
    double share[PREFIX_TARGETS];
    int64_t match = INT64_MAX, learn = INT64_MAX;
    for (unsigned i = 0; i < COST_ROUNDS; i++) {
        chain_of(&c, bytes, i % 50);
        int64_t began = clock_mono_ns();
        prefix_match(t, &c, epochs, 50, share);
        int64_t middle = clock_mono_ns();
        prefix_learn(t, &c, i % 50, 0);
        int64_t end = clock_mono_ns();
        if (share[i % 50] == 1) /* it was seen, and nothing of it has had to go */
            match = MIN_OF(match, middle - began);
        learn = MIN_OF(learn, end - middle);
    }
    *ret_match = (double)match;
    *ret_learn = (double)learn;
    prefix_table_free(t);
}

/* Printed for docs/routing.md, which has the figures of a build without sanitizers. The verdict is
 * that the length of a prompt does not matter above PREFIX_BLOCKS_MAX blocks. */
TEST(cost_is_bounded)
{
    static const size_t sizes[] = {2000, 8000, 32768, 300000};
    double chain[ARRAY_LEN(sizes)];
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        double match, learn;
        chain[i] = cost_chain(sizes[i]);
        cost_table(sizes[i], &match, &learn);
        printf("  %6zu bytes: chain %.0f ns, match over 50 targets %.0f ns, learn %.0f ns\n",
               sizes[i], chain[i], match, learn);
    }
    CHECK(chain[3] < 2 * chain[2] + 2000);
}
