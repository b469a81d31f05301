/* From a configuration to what the workers use. */
#ifndef CONTROL_BUILD_H
#define CONTROL_BUILD_H

#include "control/config.h"
#include "gateway/snapshot.h"
#include "store/keys.h"
#include "store/ledger.h"

/* Remembers upstreams between reloads, so that connections live on where nothing changed. The
 * control thread's. */
struct builder;

/* What snapshots refer to, and where the builder finds what is not in the file. Any may be NULL, as
 * in `weir check`: nothing is counted then, names have no numbers, and no keys are issued. */
struct builder_links {
    struct limit_registry *limits;
    struct ledger *ledger;
    struct key_store *keys;
    const char *data_dir; /* prices.json is looked for in it; outlives the builder */
};

/* `links` is copied; NULL: all of them are. NULL: no memory. */
NODISCARD struct builder *builder_new(const struct builder_links *links);
void builder_free(struct builder *b);

/* Makes a snapshot. `run_dir` holds the engines' sockets. Errors (files that cannot be read, issued
 * keys that do not fit the configuration, no memory) are appended to `errors`, one line each, and
 * NULL is returned: nothing has changed then. Warnings may come with a snapshot. The caller owns
 * the reference. */
NODISCARD struct gw_snapshot *builder_build(struct builder *b, const struct config *c,
                                            const char *run_dir, struct buf *errors);

/* Could this issued key be put into the snapshot, which was built from `c`? False: `errors` says
 * why not, one line each. Changes nothing. */
NODISCARD bool builder_check_key(struct builder *b, const struct gw_snapshot *s,
                                 const struct config *c, const struct stored_key *k,
                                 struct buf *errors);
/* Puts it there, or puts it in the place of the one of that name, with its digests; the digests
 * that it no longer has cease to count. All workers go by it when this returns. False: as above, or
 * no memory. Control thread. */
NODISCARD bool builder_put_key(struct builder *b, struct gw_snapshot *s, const struct config *c,
                               const struct stored_key *k, struct buf *errors);
/* The issued key of that name counts no more. Control thread. */
void builder_remove_key(struct builder *b, struct gw_snapshot *s, struct slice name);

/* After a snapshot has been installed: upstreams and credentials that it does not use are let go,
 * and those that it does use are kept fresh once they have been started. */
void builder_settle(struct builder *b, const struct gw_snapshot *s);

/* Those of its snapshots, to be started and stopped with the loop (control's credentials.h). */
struct credentials *builder_credentials(struct builder *b);

/* The provider types as the configuration loader wants them. */
const struct config_provider_type *builder_provider_types(size_t *ret_n);

#endif
