/* Which targets have the beginning of a prompt in their caches. Prompts are cut into blocks, each
 * block is named by the hash of all that is before it and itself (a chain), and a table of fixed
 * size remembers which targets have seen it. Any thread, no lock: an entry that is torn or
 * overwritten is a miss, never a wrong target's. A target is a small number that the caller gives
 * (of the alias' targets). docs/routing.md says why blocks and table are as large as they are. */
#ifndef POLICY_PREFIX_H
#define POLICY_PREFIX_H

#include "base/compiler.h"
#include "base/hash.h"
#include "base/slice.h"

#define PREFIX_BLOCK      256 /* bytes of prompt text */
#define PREFIX_BLOCKS_MAX 128 /* of a prompt; what is longer is known by its first ones */
#define PREFIX_TARGETS    64  /* 0 to 63; those above are never known to have seen anything */

/* The chain of one prompt. Only prefix_begin sets it up, so that a caller's local need not be
 * cleared (UNINITIALIZED). */
struct prefix_chain {
    unsigned n;          /* whole blocks; a last one that is not full is left out */
    unsigned rest_n;     /* bytes of the block that is being filled */
    uint32_t bytes;      /* of the prompt, at most UINT32_MAX */
    struct hash_run run; /* over all before the block that is being filled */
    uint64_t hash[PREFIX_BLOCKS_MAX];
    char rest[PREFIX_BLOCK];
};

struct prefix_table;
/* `bytes` of memory, rounded down to a power of two of entries. NULL: no memory. */
NODISCARD struct prefix_table *prefix_table_new(size_t bytes);
void prefix_table_free(struct prefix_table *t);

/* Adds the parts of a prompt in the order in which they stand; begin with `model`, which no two
 * models' chains share. Blocks are cut over the parts together: it does not matter where one ends,
 * and the next turn of a conversation, which begins with all of the last one, has its blocks. */
void prefix_begin(struct prefix_chain *c, uint64_t model);
void prefix_add(struct prefix_chain *c, struct slice part);
void prefix_end(struct prefix_chain *c);

/* For each of `n` targets the share (0 to 1) of the chain's blocks, from the first on without a
 * gap, that it has seen; 0 where the chain has none. `epoch[i]` counts the restarts of target i:
 * what it saw in another epoch than this one is forgotten. */
void prefix_match(const struct prefix_table *t, const struct prefix_chain *c, const uint16_t *epoch,
                  unsigned n, double *ret_share);
/* The prompt goes to that target. The first one of an epoch forgets what the target saw before. */
void prefix_learn(struct prefix_table *t, const struct prefix_chain *c, unsigned target,
                  uint16_t epoch);
/* What the target said of its cache (tokens; less than 0: it said nothing), against the share of
 * the prompt that the table had promised: a target that does not keep what it saw is trusted less.
 * Returns the trust, 0 to 1, that follows from the one before (1 at first). Pure. */
double prefix_trust(double before, double promised, int64_t cached_tokens, int64_t prompt_tokens);

#endif
