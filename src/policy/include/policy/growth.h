/* Why a bill grew: the difference of two periods' cost, divided among what it is made of,
 * users x requests per user x tokens per request x price per token. Pure. */
#ifndef POLICY_GROWTH_H
#define POLICY_GROWTH_H

#include "base/compiler.h"

enum growth_factor {
    GROWTH_USERS,
    GROWTH_REQUESTS, /* per user; where users are not known: in all */
    GROWTH_TOKENS,   /* per request */
    GROWTH_PRICE,    /* per token; where there are no tokens: per request */
    GROWTH_FACTORS_N
};
/* "users", "requests_per_user", "tokens_per_request", "price_per_token". */
const char *growth_factor_name(enum growth_factor f);

/* Figures are not negative. */
struct growth_period {
    int64_t users; /* 0 with requests, or -1: not known */
    int64_t requests, tokens, cost_nano;
};

struct growth {
    int64_t total;                  /* after's cost less before's */
    int64_t part[GROWTH_FACTORS_N]; /* nano-dollars; their sum is `total` to the last one */
    bool known[GROWTH_FACTORS_N];   /* false: the factor could not be told from the next, part 0 */
    /* The factors themselves, of the kind that `known` leaves; price in nano-dollars. */
    double before[GROWTH_FACTORS_N], after[GROWTH_FACTORS_N];
};

/* Exact for all figures: what was nothing in one of the periods is put to the first factor that was
 * nothing then (new users, or first requests of users there were). */
void growth_explain(const struct growth_period *before, const struct growth_period *after,
                    struct growth *ret);

#endif
