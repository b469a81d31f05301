/* Messages to one URL, as JSON in POST requests from the control thread's loop: one at a time,
 * again and again with growing pauses until the receiver takes them. Nothing here waits. */
#ifndef CONTROL_WEBHOOK_H
#define CONTROL_WEBHOOK_H

#include "control/config.h"
#include "net/loop.h"

#define WEBHOOK_WHY_MAX 200

/* The message `id` has been taken (an answer of 2xx), or is given up: after a day, or because there
 * is no receiver any more. `why` is about the latest try. */
typedef void webhook_done_fn(void *ctx, int64_t id, bool taken, const char *why);

struct webhook;
/* NULL: no memory. */
NODISCARD struct webhook *webhook_new(struct net_loop *loop, webhook_done_fn *done, void *ctx);
/* Forgets what was not taken, and tells nobody. NULL is fine. */
void webhook_free(struct webhook *w);

/* Where messages go from now on; also after each reload. Empty: nowhere, and what waits is given
 * up. False: the URL or its proxy cannot be used; `error` says why, without the URL, which may hold
 * a secret. */
NODISCARD bool webhook_set(struct webhook *w, const struct config_egress *e, struct slice url,
                           struct buf *error);

/* Queues a message; `id` is not 0. False: there is no receiver, no memory, or too much waits. */
NODISCARD bool webhook_post(struct webhook *w, int64_t id, struct slice json);
/* How many wait. */
size_t webhook_waiting(const struct webhook *w);

/* The pause after the n-th failure of a message (from 1 on): one second, doubled each time up to
 * ten minutes, less up to a quarter. */
int64_t webhook_retry_after(unsigned failures, uint64_t random);

#endif
