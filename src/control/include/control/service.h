/* `weir serve`: the process from start to end. */
#ifndef CONTROL_SERVICE_H
#define CONTROL_SERVICE_H

#include "control/config.h"

struct service_options {
    const char *config_path; /* NULL: searched, else environment variables alone */
    const char *data_dir;    /* made, locked, and the only place that is written to */
    const char *self;        /* path of the weir binary, to run it again as the engines' shim */
    const char *version;
    bool insecure;
};

/* Loads the configuration as `options` say. The errors, or the warnings, are in `errors`. */
NODISCARD struct config *service_load(const struct service_options *options, struct buf *errors);

/* Serves until a signal ends it; the result is the process' exit status. */
int service_run(const struct service_options *options);

#endif
