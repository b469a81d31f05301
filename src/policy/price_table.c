/* The built-in prices: the arrays are generated (tools/prices). */
#include "price_table.h"

#include "price_table.inc"

const struct price_table price_builtin = {
    .pool = pool,
    .date = TABLE_DATE,
    .types = types,
    .providers = providers,
    .fallbacks = fallbacks,
    .names = names,
    .patterns = patterns,
    .models = models,
    .laters = laters,
    .prices = prices,
    .types_n = TYPES_N,
    .providers_n = PROVIDERS_N,
    .models_n = MODELS_N,
};
