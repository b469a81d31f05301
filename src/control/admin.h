/* The admin port, the metrics port and admin.sock: one table of routes on the control thread. */
#ifndef CONTROL_ADMIN_H
#define CONTROL_ADMIN_H

#include "control/config.h"
#include "gateway/snapshot.h"
#include "net/server.h"
#include "store/keys.h"

struct reading;

/* What the routes need of the service. */
struct admin_hooks {
    /* Reloads; false: nothing has changed, and `errors` says why. */
    bool (*reload)(void *ctx, struct buf *errors);
    /* The state of everything, as JSON. */
    void (*status)(void *ctx, struct buf *out);
    bool (*ready)(void *ctx);
    void *ctx;
    /* Issued keys; NULL: this gateway keeps none, and says so. */
    struct key_store *keys;
    /* The configuration in force. */
    const struct config *(*config)(void *ctx);
    /* Could this key be put in force? False: `errors` says why not, one line each, and nothing has
     * changed. */
    bool (*key_check)(void *ctx, const struct stored_key *k, struct buf *errors);
    /* The store now says this of a key, be it new or not: when it returns, every worker goes by it.
     * False: `errors` says why not. */
    bool (*key_changed)(void *ctx, const struct stored_key *k, struct buf *errors);
    /* The key of that name counts no more for any worker. */
    void (*key_removed)(void *ctx, struct slice name);
    /* The snapshot in force, and the time: of the loops' clock, and Unix time. */
    const struct gw_snapshot *(*snapshot)(void *ctx);
    void (*times)(void *ctx, int64_t *ret_now_ns, int64_t *ret_wall_ns);
    /* Why a request went where it went, as JSON; false: nobody knows it. */
    bool (*explain)(void *ctx, struct slice id, struct buf *out);
    /* Use, budgets and alerts (reading.h); NULL: this gateway keeps no ledger. */
    struct reading *reading;
};

struct admin;

/* Opens what the configuration names, and `<data>/admin.sock`. NULL: see `error`. */
NODISCARD struct admin *admin_open(struct net_loop *loop, const struct config *c,
                                   const char *socket_path, const struct admin_hooks *hooks,
                                   struct buf *error);

/* The certificate of the admin port as `c` wants it; NULL where it has none. The caller owns the
 * reference. False: see `error`. */
NODISCARD bool admin_tls(const struct config *c, struct tls_server_context **ret,
                         struct buf *error);

/* Token, certificate and time limits of new requests after a reload. Nothing changes where the
 * configuration names another address: that needs a restart. */
void admin_update(struct admin *a, const struct config *c, struct tls_server_context *tls);

void admin_close(struct admin *a);

#endif
