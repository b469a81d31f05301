/* Opening, inheriting and describing the listening sockets. */
#ifndef CONTROL_SERVICE_LISTEN_H
#define CONTROL_SERVICE_LISTEN_H

#include "control/config.h"
#include "gateway/gateway.h"

#define LISTEN_TEXT 64

struct listen_set {
    struct gw_listen *listen;
    size_t n;
    int *fds;        /* the workers' once they run */
    uint16_t *ports; /* that the system picked, where the configuration leaves that to it; else 0 */
};

/* One descriptor for each listener and worker; those systemd passes (LISTEN_FDS) are taken in order
 * instead, and have to be as many. False: see `error`; what was opened is closed again. */
NODISCARD bool listen_open(const struct config *c, unsigned workers, struct listen_set *ret,
                           struct buf *error);
void listen_free(struct listen_set *s);

/* `configured`, the address of listener `i`, with the port that it really has; may be in `out`. */
struct slice listen_address(const struct listen_set *s, size_t i, struct slice configured,
                            char out[LISTEN_TEXT]);

/* Says in `out`, as one line, why net_listen has failed with `error` (a negative errno), and what
 * to do about it. */
void listen_put_error(struct buf *out, struct slice address, int error);

/* Tells systemd, if it listens: "READY=1" and the like (sd_notify(3)). */
void service_notify(const char *state);

#endif
