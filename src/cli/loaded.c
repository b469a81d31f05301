/* A configuration as `weir serve` would use it. */
#include "loaded.h"

#include "net/tls_context.h"

bool loaded_read(struct loaded *l, const struct service_options *options, struct buf *errors)
{
    *l = (struct loaded){.config = service_load(options, errors)};
    if (l->config == NULL)
        return false;
    l->builder = builder_new(NULL);
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
