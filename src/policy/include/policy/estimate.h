/* What a request will probably use, learned from what came before: tokens per byte of a model's
 * prompts, and how long its answers are where the client gives no bound. Registry state: outlives
 * reloads, shared by the workers without locks. */
#ifndef POLICY_ESTIMATE_H
#define POLICY_ESTIMATE_H

#include <stdatomic.h>

#include "base/compiler.h"
#include "base/slice.h"

#define ESTIMATE_BUCKETS 40 /* of output length, factor 2^(1/2) */

struct estimate {
    _Atomic uint32_t tokens_per_kib;           /* moving average; 0: nothing learned yet */
    _Atomic uint32_t bucket[ESTIMATE_BUCKETS]; /* answers by length; halved when they are many */
    _Atomic uint32_t answers;
};

/* That of a target, by its label; made where there is none, kept as long as the process. When there
 * are too many (4,096), or no memory, it is the one that all further targets share. Any thread. */
struct estimate *estimate_get(struct slice label);

/* Input tokens of a prompt of so many bytes: learned, else one per four bytes; at least 1. */
int64_t estimate_input(const struct estimate *e, int64_t prompt_bytes);
/* What 9 of 10 answers stay under; 1024 before 20 answers were seen. */
int64_t estimate_output(const struct estimate *e);
/* An answer that was told with the provider's figures. */
void estimate_learn(struct estimate *e, int64_t prompt_bytes, int64_t input_tokens,
                    int64_t output_tokens);

#endif
