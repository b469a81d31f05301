/* Growth: the logarithmic mean Divisia index, LMDI-I (B. W. Ang, "The LMDI approach to
 * decomposition analysis: a practical guide", Energy Policy 33, 2005). The part of a factor x is
 * L(C1, C0) ln(x1 / x0) with L(a, b) = (a - b) / ln(a / b); the parts sum up to C1 - C0 without a
 * rest. Where a factor is 0 the limits of that formula are taken (Ang and Liu, Energy Policy 35,
 * 2007). */
#include "policy/growth.h"

#include <math.h>
#include <stdlib.h>

const char *growth_factor_name(enum growth_factor f)
{
    static const char *const names[GROWTH_FACTORS_N] = {
        [GROWTH_USERS] = "users",
        [GROWTH_REQUESTS] = "requests_per_user",
        [GROWTH_TOKENS] = "tokens_per_request",
        [GROWTH_PRICE] = "price_per_token",
    };
    return names[f];
}

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* The factors of one period under what is known in both. */
static void factors_of(const struct growth_period *p, const bool known[GROWTH_FACTORS_N],
                       double ret[GROWTH_FACTORS_N])
{
    double users = (double)p->users, requests = (double)p->requests, tokens = (double)p->tokens;
    double cost = (double)p->cost_nano;
    ret[GROWTH_USERS] = known[GROWTH_USERS] ? users : 0;
    ret[GROWTH_REQUESTS] = known[GROWTH_USERS] ? over(requests, users) : requests;
    ret[GROWTH_TOKENS] = known[GROWTH_TOKENS] ? over(tokens, requests) : 0;
    ret[GROWTH_PRICE] = known[GROWTH_TOKENS] ? over(cost, tokens) : over(cost, requests);
}

/* Users, or tokens, of both periods can be told: neither is missing where something was to be
 * counted. */
static bool is_known(int64_t count0, int64_t base0, int64_t count1, int64_t base1)
{
    bool missing =
        count0 < 0 || count1 < 0 || (count0 == 0 && base0 > 0) || (count1 == 0 && base1 > 0);
    return !missing && (count0 > 0 || count1 > 0);
}

/* The first factor that is nothing in one of the periods, or GROWTH_FACTORS_N. */
static unsigned first_zero(const struct growth *g)
{
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++) {
        if (g->known[f] && !(g->before[f] > 0 && g->after[f] > 0))
            return f;
    }
    return GROWTH_FACTORS_N;
}

/* Shares out the total by the logarithms of the factors; the rounding goes to the largest part. */
static void divide(struct growth *g, long double c0, long double c1)
{
    long double mean = c1 == c0 ? c0 : (c1 - c0) / logl(c1 / c0);
    int64_t rest = g->total;
    unsigned largest = GROWTH_PRICE;
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++) {
        if (!g->known[f])
            continue;
        g->part[f] = llroundl(mean * logl((long double)g->after[f] / g->before[f]));
        rest -= g->part[f];
        if (llabs(g->part[f]) > llabs(g->part[largest]))
            largest = f;
    }
    g->part[largest] += rest;
}

void growth_explain(const struct growth_period *before, const struct growth_period *after,
                    struct growth *ret)
{
    struct growth g = {.total = after->cost_nano - before->cost_nano};
    g.known[GROWTH_USERS] =
        is_known(before->users, before->requests, after->users, after->requests);
    g.known[GROWTH_TOKENS] =
        is_known(before->tokens, before->cost_nano, after->tokens, after->cost_nano);
    g.known[GROWTH_REQUESTS] = g.known[GROWTH_PRICE] = true;
    factors_of(before, g.known, g.before);
    factors_of(after, g.known, g.after);
    unsigned zero = first_zero(&g);
    if (zero < GROWTH_FACTORS_N)
        g.part[zero] = g.total;
    else
        divide(&g, (long double)before->cost_nano, (long double)after->cost_nano);
    *ret = g;
}
