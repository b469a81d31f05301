/* Calls to the admin API: of the gateway on this machine, over the socket in its data folder, or,
 * with WEIR_ADMIN_URL set, of the one there, with the token WEIR_ADMIN_TOKEN. */
#ifndef CLI_ADMIN_SOCKET_H
#define CLI_ADMIN_SOCKET_H

#include "base/buf.h"
#include "base/compiler.h"

#define ADMIN_ANSWER_MAX ((size_t)64 << 20)

/* One request. `data`: the folder (as in datadir_find), or NULL; `command`: who asks, for messages.
 * The answer's body is appended to `answer`, which the caller made. False: nobody answered, which
 * standard error says. */
NODISCARD bool admin_socket_call(const char *command, const char *data, const char *method,
                                 const char *path, struct slice body, struct buf *answer,
                                 int *ret_status);

/* Is there a gateway that would answer? Says nothing. */
bool admin_socket_up(const char *data);

/* A request without a body. Returns the answer's body in static memory, or NULL after a message on
 * standard error. */
NODISCARD const char *admin_socket_ask(const char *command, const char *data, const char *method,
                                       const char *path, int *ret_status);

/* What an answer that is an error says, as harmless text: the message of its JSON, else its text.
 */
void admin_socket_why(int status, struct slice answer, struct buf *out);
/* The same on standard error. */
void admin_socket_error(const char *command, int status, struct slice answer);

#endif
