/* What is known of an alias from its requests: how much of them was asked twice, whose turn it is,
 * where the beginnings of its prompts are. One for each name, kept as long as the process. */
#ifndef POLICY_MODEL_LIVE_H
#define POLICY_MODEL_LIVE_H

#include "base/slice.h"
#include "policy/prefix.h"
#include "policy/retry_budget.h"

struct model_live {
    struct retry_budget retries;
    struct hedge_budget hedges;
    _Atomic uint64_t turn;
    _Atomic uint64_t cold_turn[PREFIX_TARGETS]; /* the latest at which each got a new prompt */
    _Atomic uint32_t distrust[PREFIX_TARGETS];  /* in what it is thought to have cached, of 2^20 */
    struct prefix_table *prefix;                /* of those that route by it, else NULL; set once */
};

/* That of an alias; made where there is none, with a table of prefixes when `prefix` says so.
 * NULL: no memory, or there are too many (4,096): such an alias has no budgets for retries. Control
 * thread. */
struct model_live *model_live_get(struct slice name, bool prefix);

#endif
