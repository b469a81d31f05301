/* Where Weir keeps its state. */
#ifndef CLI_DATADIR_H
#define CLI_DATADIR_H

#include "base/compiler.h"

#define DATADIR_MAX 4096

/* The data folder, into `out`, without a final slash: `option` (a flag's or the configuration's
 * value; NULL or empty: none), WEIR_DATA, the first of $STATE_DIRECTORY, /var/lib/weir for root,
 * else $XDG_STATE_HOME/weir or ~/.local/state/weir (XDG Base Directory Specification: a relative
 * XDG_STATE_HOME does not count). False: too long, or there is no home directory to go by. */
NODISCARD bool datadir_find(const char *option, char *out, size_t size);

/* Makes the folder `path` and those above it that are missing, for the owner alone. False: see
 * errno. */
NODISCARD bool datadir_make(const char *path);

#endif
