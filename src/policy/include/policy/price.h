/* Prices of models, how long their contexts are, and what they can do: a compact table made from
 * public price data, overridden by the configuration or by a newer table. An unknown price is
 * unknown, never 0. */
#ifndef POLICY_PRICE_H
#define POLICY_PRICE_H

#include "base/buf.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "llm/openai.h"

/* Rates in nano-dollars per million tokens (or requests): $2.50 per million is 2500000000. */
#define PRICE_PER_DOLLAR  INT64_C(1000000000)
#define PRICE_TIERS_MAX   4
#define PRICE_WINDOWS_MAX 4
#define PRICE_UNKNOWN     ((int64_t)-1)

enum price_item {
    PRICE_INPUT,
    PRICE_OUTPUT,
    PRICE_CACHED,      /* input read from the provider's cache; unknown: as PRICE_INPUT */
    PRICE_CACHE_WRITE, /* input written to it; unknown: as PRICE_INPUT */
    PRICE_REQUEST,     /* per million requests; unknown: none */
    PRICE_ITEMS_N
};
/* "cache_write": as in tables, in the configuration and in answers. */
extern const char *const price_item_names[PRICE_ITEMS_N];

/* Rates from `from_tokens` of prompt on: the whole request is at the rate of its tier. */
struct price_tier {
    int64_t from_tokens; /* the first tier: 0 */
    int64_t rate[PRICE_ITEMS_N];
};
/* Rates in a daily window of UTC. */
struct price_window {
    uint32_t from_s, to_s; /* seconds of the day; to may be before from: over midnight */
    unsigned tiers_n;
    struct price_tier tier[PRICE_TIERS_MAX];
};
struct price {
    unsigned tiers_n; /* at least 1 */
    struct price_tier tier[PRICE_TIERS_MAX];
    unsigned windows_n;
    const struct price_window *window; /* of the book; the first that holds the time goes before */
};

/* A price of nothing: what runs on hardware that is paid by the hour. */
extern const struct price price_free;

/* Tables, newest first. Immutable once made; shared by reference counts. Of a price that changes on
 * a day the tables know, it has what holds on the day (UTC) the book is made. */
struct price_book;
/* The built-in table alone. NULL: no memory. */
NODISCARD struct price_book *price_book_new(void);
/* With a newer table before it: the text of a file as `weir prices update` keeps it. NULL, and
 * `error` says why: line, column, name. */
NODISCARD struct price_book *price_book_with(struct slice text, struct buf *error);
struct price_book *price_book_ref(struct price_book *b);
void price_book_unref(struct price_book *b);
/* The price of `model` (the provider's own name for it) at a provider of that type (a row of
 * llm/provider.c: "openai", "bedrock"); NULL: not known. Lives as long as the book. Models of
 * `openai-compatible` and self-hosted types have none. */
const struct price *price_find(const struct price_book *b, struct slice provider_type,
                               struct slice model);
/* Tokens that it takes, for names as in price_find: of the newest table that says; 0: not known. */
int64_t price_context(const struct price_book *b, struct slice provider_type, struct slice model);
/* What it can do, of the first LLM_ABILITIES of enum llm_need; in neither: not known. */
struct price_abilities {
    unsigned char can, cannot;
};
/* The same for names as in price_find: of each ability what the newest table says of it. */
struct price_abilities price_abilities(const struct price_book *b, struct slice provider_type,
                                       struct slice model);
/* A model of a table, for people. */
struct price_row {
    struct slice provider, model;
    const struct price *price; /* NULL: the table says that it is not known */
    unsigned table;            /* 0: the newest */
    bool hidden;               /* a newer table has something else to say about it */
};
/* Calls `each` for all of them, newest table first. */
void price_book_each(const struct price_book *b,
                     void (*each)(void *ctx, const struct price_row *row), void *ctx);
/* "2026-10-01", the day the built-in or newer table was made, for people. */
struct slice price_book_date(const struct price_book *b);

/* What an answer costs, in nano-dollars, rounded half up; at most 2^53. Unknown figures of `u`
 * (-1) and what has no rate count as 0; cached and cache-written tokens are part of input, and
 * never counted above it. `wall_s`: Unix time of the request, for windows. */
int64_t price_cost(const struct price *p, const struct llm_usage *u, int64_t wall_s);

/* Prints a rate in dollars, with at least `least` digits behind the point and no needless zeros
 * beyond them ("2.50" of 2); returns how many bytes (no NUL counts). */
#define PRICE_PRINTED_MAX 40
size_t price_print(int64_t rate, size_t least, char ret[PRICE_PRINTED_MAX]);
/* The members "rates" and "above" of an open object (docs/prices.md); `n` is at least 1. */
void price_put_rates(struct json_writer *w, const struct price_tier *tiers, unsigned n);

#endif
