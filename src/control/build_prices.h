/* What a snapshot's targets cost. */
#ifndef CONTROL_BUILD_PRICES_H
#define CONTROL_BUILD_PRICES_H

#include "build_parts.h"

/* The price book and the configuration's own prices; before the targets. */
void build_prices(struct build *b);
/* Hardware that a provider or an engine (by `name`) runs on. */
void build_hardware(struct build *b, struct gw_provider *p, struct slice name,
                    int64_t cost_per_hour, int64_t replicas);
/* Warns of targets that a budget makes unreachable, because nobody knows their price. */
void build_warn_unpriced(struct build *b);

#endif
