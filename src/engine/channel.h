/* Weir's end of the line to an engine's shim: one shim process and one socket per start. */
#ifndef ENGINE_CHANNEL_H
#define ENGINE_CHANNEL_H

#include "message.h"
#include "net/loop.h"

struct channel;
struct channel_ops {
    /* Valid during the call. */
    void (*on_message)(void *ctx, const struct shim_message *m);
    /* The shim has ended and is reaped; the channel is gone after this. So is the engine, if there
     * was an EXITED message before. */
    void (*on_closed)(void *ctx);
};

/* Runs `self` as the shim, in the environment `env`. NULL with `*ret_why` (constant text): it could
 * not be run; no callback comes then. */
NODISCARD struct channel *channel_open(struct net_loop *loop, const char *self, char **env,
                                       const struct channel_ops *ops, void *ctx,
                                       const char **ret_why);

/* False: no memory, or the shim is gone. */
NODISCARD bool channel_send(struct channel *ch, const struct shim_message *m);

/* Ends the shim the hard way; the engine goes with it. */
void channel_kill(struct channel *ch);

/* Closes our end, whereupon the shim kills the engine; no callback follows, and the loop frees the
 * channel. For when Weir itself ends: the shim is not waited for. NULL is fine. */
void channel_abandon(struct channel *ch);

/* Pid of the shim, or 0 when it has been reaped. */
int64_t channel_pid(const struct channel *ch);

#endif
