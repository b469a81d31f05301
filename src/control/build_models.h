/* What clients may ask for, and how its targets are tried. */
#ifndef CONTROL_BUILD_MODELS_H
#define CONTROL_BUILD_MODELS_H

#include "build_parts.h"

/* Aliases and engines; after providers and prices. */
void build_models(struct build *b);
/* What GET /v1/models answers, for those who may ask for all of it. */
void build_models_json(struct build *b);
/* Retries and health. */
void build_retry(struct build *b);
/* Warns of aliases that go by prices which nobody knows. */
void build_warn_costs(struct build *b);

#endif
