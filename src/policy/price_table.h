/* A table of prices as it lies in memory, the same for the built-in one (price_table.inc,
 * generated) and for one read from a file (price_read.c). Text is in one pool, and rows refer to
 * each other by index, so that the built-in table needs next to no relocation.
 *
 * Models of a provider are found by exact name first, then by the first pattern that fits. Names
 * and patterns are in lower case. In a pattern `*` stands for any text and `#` for one digit. */
#ifndef POLICY_PRICE_TABLE_H
#define POLICY_PRICE_TABLE_H

#include "policy/price.h"

#define PRICE_NONE     0xffffu /* index of a price that is not known */
#define PRICE_NAME_MAX 255u    /* bytes of a model's name */

/* What no table goes beyond: bytes, and rates 150 times the dearest. */
#define PRICE_TEXT_MAX     ((size_t)16 << 20)
#define PRICE_TOKENS_MAX   (INT64_C(1) << 40)
#define PRICE_CONTEXT_MAX  INT64_C(1000000000)           /* tokens */
#define PRICE_RATE_MAX     (100000 * PRICE_PER_DOLLAR)   /* of a million tokens */
#define PRICE_REQUESTS_MAX (10000000 * PRICE_PER_DOLLAR) /* of a million requests */

struct price_text {
    uint32_t at; /* in the pool */
    uint16_t n;
};
struct price_name { /* sorted within a provider: as memcmp has it, the shorter first */
    uint32_t at;
    uint16_t n, model;
};
struct price_pattern { /* in the order they are tried; exceptions of a model stand before the rest
                        */
    uint32_t at;
    uint16_t n, model;
    bool except; /* a name that fits is not of the model, whatever its patterns say */
};
struct price_model {
    struct price_text id;
    uint32_t context; /* tokens; 0: not known */
    uint16_t price;   /* PRICE_NONE: not known */
    uint16_t later_from, later_n;
    struct price_abilities abilities;
};
struct price_later {  /* in order of days */
    int32_t from_day; /* of Unix time */
    uint16_t price;
};
struct price_type {
    struct price_text name; /* a row of llm/provider.c */
    uint16_t provider;
};
struct price_provider {
    struct price_text name;
    uint16_t names_from, names_n, patterns_from, patterns_n, models_from, models_n;
    uint16_t fallback_from, fallback_n; /* providers that are asked next */
};

struct price_table {
    const char *pool;
    struct price_text date;
    const struct price_type *types;
    const struct price_provider *providers;
    const uint16_t *fallbacks;
    const struct price_name *names;
    const struct price_pattern *patterns;
    const struct price_model *models;
    const struct price_later *laters;
    const struct price *prices;
    uint16_t types_n, providers_n, models_n;
};

extern const struct price_table price_builtin;

/* A table from the text that `weir prices update` keeps. NULL: `error` says why. */
NODISCARD struct price_table *price_table_read(struct slice text, struct buf *error);
/* For tables of price_table_read; NULL is fine. */
void price_table_free(struct price_table *t);

/* Whether `name`, in lower case, fits `pattern`. */
bool price_pattern_fits(struct slice pattern, struct slice name);

/* Days of Unix time of "2026-10-01". False: there is no such day. */
NODISCARD bool price_read_day(struct slice s, int32_t *ret);

#endif
