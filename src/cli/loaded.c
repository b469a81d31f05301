/* A configuration as `weir serve` would use it. */
#include "loaded.h"

#include <stdio.h>

#include "net/tls_context.h"

bool loaded_read(struct loaded *l, const struct service_options *options, struct buf *errors)
{
    *l = (struct loaded){.config = service_load(options, errors)};
    if (l->config == NULL)
        return false;
    char wanted[DATADIR_MAX];
    snprintf(wanted, sizeof wanted, SLICE_FMT, SLICE_ARG(l->config->data));
    bool found = datadir_find(wanted, l->data_dir, sizeof l->data_dir);
    const struct builder_links links = {.data_dir = found ? l->data_dir : NULL};
    l->builder = builder_new(&links);
    if (l->builder != NULL)
        l->snapshot = builder_build(l->builder, l->config, "/run", errors);
    return l->snapshot != NULL;
}

void loaded_done(struct loaded *l)
{
    if (l->snapshot != NULL)
        gw_snapshot_unref(TAKE(l->snapshot));
    builder_free(TAKE(l->builder));
    config_free(TAKE(l->config));
    tls_roots_done();
}
