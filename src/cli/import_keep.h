/* Where imported keys go. */
#ifndef CLI_IMPORT_KEEP_H
#define CLI_IMPORT_KEEP_H

#include "control/config.h"
#include "import.h"

/* Hands the keys to the gateway that runs in the data folder, or, where none does, writes them into
 * its store. `c`: the new configuration, which they have to fit. Each that cannot be kept is named;
 * returns how many those are. */
size_t import_keep(struct import *im, const struct config *c, const char *data);

#endif
