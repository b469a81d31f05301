/* Calls to the running gateway over the admin socket in its data folder. */
#ifndef CLI_ADMIN_SOCKET_H
#define CLI_ADMIN_SOCKET_H

#include "base/compiler.h"

/* Sends one request without a body. `data`: the folder (as in datadir_find), or NULL; `command`:
 * who asks, for messages. Returns the answer's body in static memory and its status in
 * `*ret_status`, or NULL after a message on standard error. */
NODISCARD const char *admin_socket_ask(const char *command, const char *data, const char *method,
                                       const char *path, int *ret_status);

#endif
