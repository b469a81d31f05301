/* Rules that say which names mean a model of the public price data, as exact names and patterns
 * (price_table.h). In the data the first model in order wins; in Weir's table exact names go before
 * patterns, so names that an earlier model's pattern takes are given to it. */
#ifndef POLICY_PRICE_MATCH_H
#define POLICY_PRICE_MATCH_H

#include "base/json.h"
#include "base/json_write.h"

#define PRICE_ID_MAX 200

struct price_rules {
    const struct json_doc *d;
    struct arena *arena;
    const char *suffix; /* behind each name; NULL: none */
    struct buf list;    /* of struct price_rule, in the order of models */
    unsigned left_out;  /* rules of a form that there is no pattern for */
    bool failed;
};

void price_rules_init(struct price_rules *r, const struct json_doc *d, struct arena *arena,
                      const char *suffix);
void price_rules_done(struct price_rules *r);
/* The rule at `node` (0: none) of model number `model`, which is called `id`; models come in order.
 */
void price_rules_add(struct price_rules *r, uint32_t model, struct slice id, uint32_t node);
/* Drops names that are another model's. False: too many names, or no memory. */
NODISCARD bool price_rules_resolve(struct price_rules *r);
/* Writes the members `names`, `patterns` and `except` of a model. */
void price_rules_put(const struct price_rules *r, uint32_t model, struct json_writer *w);

#endif
