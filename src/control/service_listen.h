/* Opening, inheriting and describing the listening sockets. */
#ifndef CONTROL_SERVICE_LISTEN_H
#define CONTROL_SERVICE_LISTEN_H

#include "control/config.h"
#include "gateway/gateway.h"

struct listen_set {
    struct gw_listen *listen;
    size_t n;
    int *fds;
};

/* One descriptor for each listener and worker; those systemd passes (LISTEN_FDS) are taken in order
 * instead. False: see `error`; what was opened is closed again. */
NODISCARD bool listen_open(const struct config *c, unsigned workers, struct listen_set *ret,
                           struct buf *error);
void listen_free(struct listen_set *s);

/* Cores that the scheduler and the cgroup grant, at least 1. */
unsigned listen_cores(void);

/* Tells systemd, if it listens: "READY=1" and the like (sd_notify(3)). */
void service_notify(const char *state);

#endif
