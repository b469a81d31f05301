/* Rates as they stand in tables of prices. */
#include <stdio.h>

#include "policy/price.h"

const char *const price_item_names[PRICE_ITEMS_N] = {
    [PRICE_INPUT] = "input",     [PRICE_OUTPUT] = "output",
    [PRICE_CACHED] = "cached",   [PRICE_CACHE_WRITE] = "cache_write",
    [PRICE_REQUEST] = "request",
};

size_t price_print(int64_t rate, size_t least, char ret[PRICE_PRINTED_MAX])
{
    int n = snprintf(ret, PRICE_PRINTED_MAX, "%lld.%09lld", (long long)(rate / PRICE_PER_DOLLAR),
                     (long long)(rate % PRICE_PER_DOLLAR));
    size_t len = (size_t)n, point = len - 9;
    while (len > point + least && ret[len - 1] == '0')
        len--;
    return ret[len - 1] == '.' ? len - 1 : len;
}

static void put_tier(struct json_writer *w, const struct price_tier *t)
{
    char text[PRICE_PRINTED_MAX];
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++) {
        if (t->rate[i] == PRICE_UNKNOWN)
            continue;
        jw_key_slice(w, slice_str(price_item_names[i]));
        jw_raw(w, slice_of(text, price_print(t->rate[i], 0, text)));
    }
}

void price_put_rates(struct json_writer *w, const struct price_tier *tiers, unsigned n)
{
    jw_key(w, "rates");
    jw_open(w, '{');
    put_tier(w, &tiers[0]);
    jw_close(w, '}');
    if (n == 1)
        return;
    jw_key(w, "above");
    jw_open(w, '[');
    for (unsigned i = 1; i < n; i++) {
        jw_open(w, '{');
        jw_field_i64(w, "tokens", tiers[i].from_tokens - 1);
        put_tier(w, &tiers[i]);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}
