/* How hard a request looks: a score from 0 (a greeting) to 100, from cheap signs in its text, so
 * that simple ones can go to a small model. The signs and their weights are documented in
 * docs/routing.md and were fitted on the training half of tests/policy/prompts.tsv; on the other
 * half it has to beat the prompt's length (area under the ROC curve), which a test checks. */
#ifndef POLICY_COMPLEXITY_H
#define POLICY_COMPLEXITY_H

#include "base/compiler.h"
#include "base/slice.h"

/* What the caller knows beside the text. */
struct complexity_facts {
    unsigned messages; /* in the conversation */
    unsigned tools;    /* offered */
    unsigned images;
    bool schema;          /* an answer by a JSON schema */
    bool reasoning;       /* the client asks for much effort */
    int64_t prompt_bytes; /* of all of it */
};

/* `text`: the last message of the user, plain UTF-8 of any language (broken bytes are harmless);
 * only its first 16 KB are looked at. Of text alone, the score is the share of prompts like it, in
 * percent, that were labelled as hard. Any thread; linear, allocates nothing, under 2 us. */
double complexity_score(struct slice text, const struct complexity_facts *facts);

#endif
