/* Where requests go and what happens when that fails: the rows of retries, health and aliases
 * (config_route.c), and what aliases come to (config_route_check.c). */
#ifndef CONTROL_CONFIG_ROUTE_H
#define CONTROL_CONFIG_ROUTE_H

#include "config_read.h"

extern const struct config_section config_retry_section, config_health_section,
    config_model_section;

/* Checks retries, health and aliases, and puts targets in the place of aliases that stand among
 * targets. The targets themselves have been checked: what is neither a provider's nor an engine's
 * is an alias. */
void config_check_route(struct config_reader *r);

#endif
