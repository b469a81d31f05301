/* Notices when the configuration file has changed, also through the symlinks that Kubernetes swaps.
 */
#ifndef CONTROL_WATCH_H
#define CONTROL_WATCH_H

#include "net/loop.h"

struct watch;

/* Calls `changed` on the loop when the content of `path` is another one. NULL: cannot be watched;
 * then only signals and the API reload. */
struct watch *watch_new(struct net_loop *loop, const char *path, void (*changed)(void *ctx),
                        void *ctx);
void watch_free(struct watch *w); /* NULL is fine */

#endif
