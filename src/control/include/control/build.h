/* From a configuration to what the workers use. */
#ifndef CONTROL_BUILD_H
#define CONTROL_BUILD_H

#include "control/config.h"
#include "gateway/snapshot.h"

/* Remembers upstreams between reloads, so that connections live on where nothing changed. The
 * control thread's. */
struct builder;

NODISCARD struct builder *builder_new(void);
void builder_free(struct builder *b);

/* Makes a snapshot. `run_dir` holds the engines' sockets. Errors (files that cannot be read, no
 * memory) are appended to `errors`, one line each, and NULL is returned: nothing has changed then.
 * The caller owns the reference. */
NODISCARD struct gw_snapshot *builder_build(struct builder *b, const struct config *c,
                                            const char *run_dir, struct buf *errors);

/* After a snapshot has been installed: upstreams and credentials that it does not use are let go,
 * and those that it does use are kept fresh once they have been started. */
void builder_settle(struct builder *b, const struct gw_snapshot *s);

/* Those of its snapshots, to be started and stopped with the loop (control's credentials.h). */
struct credentials *builder_credentials(struct builder *b);

/* The provider types as the configuration loader wants them. */
const struct config_provider_type *builder_provider_types(size_t *ret_n);

#endif
