/* The frame around one reading of a configuration, whatever it comes from. */
#ifndef CONTROL_CONFIG_LOAD_H
#define CONTROL_CONFIG_LOAD_H

#include "config_read.h"

/* Begins a reading with an empty config; NULL: no memory. `name` and `options` outlive it. */
NODISCARD struct config_reader *config_reader_new(const char *name,
                                                  const struct config_options *options);
/* Ends it: prints what was found, frees the reader and gives the config, or NULL after errors. */
NODISCARD struct config *config_reader_end(struct config_reader *r, struct buf *errors);

/* Where the file says `providers_from_env: true`: adds a provider for each known type whose key is
 * in the environment. Does nothing to a root that is no map. */
void config_add_env_providers(struct config_reader *r, struct ynode *root);

/* The content of a file of at most `max` bytes (whole MiB); the caller frees it with buf_done.
 * False: reported, nothing to free. */
NODISCARD bool config_read_file(const char *path, size_t max, struct buf *ret, struct buf *errors);

#endif
