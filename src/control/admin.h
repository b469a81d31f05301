/* The admin port, the metrics port and admin.sock: one table of routes on the control thread. */
#ifndef CONTROL_ADMIN_H
#define CONTROL_ADMIN_H

#include "control/config.h"
#include "net/server.h"

struct service;

/* What the routes need of the service. */
struct admin_hooks {
    /* Reloads; false: nothing has changed, and `errors` says why. */
    bool (*reload)(void *ctx, struct buf *errors);
    /* The state of everything, as JSON. */
    void (*status)(void *ctx, struct buf *out);
    bool (*ready)(void *ctx);
    void *ctx;
};

struct admin;

/* Opens what the configuration names, and `<data>/admin.sock`. NULL: see `error`. */
NODISCARD struct admin *admin_open(struct net_loop *loop, const struct config *c,
                                   const char *socket_path, const struct admin_hooks *hooks,
                                   struct buf *error);
void admin_close(struct admin *a);

#endif
