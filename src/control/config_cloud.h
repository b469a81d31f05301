/* Cloud providers' part of the configuration: which keys a type has, which it needs, and the URL
 * that they add up to. */
#ifndef CONTROL_CONFIG_CLOUD_H
#define CONTROL_CONFIG_CLOUD_H

#include "config_read.h"

/* Checks what only cloud providers have, and fills in `url` and what else was left out. True: the
 * type is a cloud's, so that its `url` needs no further check. */
bool config_check_cloud(struct config_reader *r, struct config_provider *p);

/* Whether the variables say what a provider of that type needs beside its key; where they do not,
 * `*ret_needs` names the one that is missing. */
bool config_cloud_in_env(const struct config_reader *r, const char *type, const char **ret_needs);

#endif
