/* A configuration as `weir serve` would use it, for commands that judge it. */
#ifndef CLI_LOADED_H
#define CLI_LOADED_H

#include "control/build.h"
#include "control/service.h"
#include "datadir.h"

struct loaded {
    struct config *config;
    struct builder *builder;
    char data_dir[DATADIR_MAX];
    struct gw_snapshot *snapshot; /* what the workers would get; its first providers are those of
                                     `config`, in the same order */
};

/* Reads the configuration that `options` name and makes everything of it but sockets and processes.
 * False: it cannot be used, or a file that it names cannot. Errors, or warnings, are in `errors`,
 * one a line. Call loaded_done either way. */
NODISCARD bool loaded_read(struct loaded *l, const struct service_options *options,
                           struct buf *errors);
void loaded_done(struct loaded *l);

#endif
