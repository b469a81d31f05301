/* How one engine is run: its configuration in memory of its own, and what follows from it. */
#ifndef ENGINE_SETTINGS_H
#define ENGINE_SETTINGS_H

#include <sys/un.h>

#include "base/arena.h"
#include "engine/supervisor.h"

#define SETTINGS_SOCKET_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct settings {
    struct arena arena;
    struct engine_config config; /* all text is in the arena, with a NUL behind it */
    char *socket;                /* path, or NULL: too long for a socket */
    struct slice *argv;
    size_t argv_n;
    char **env; /* of the shim and the engine, NULL at the end */
};

/* NULL: no memory. */
NODISCARD struct settings *settings_new(const struct engine_config *config, const char *run_dir);
void settings_free(struct settings *s); /* NULL is fine */

/* Would both be run in the same way? Then there is no need to restart. */
bool settings_same_process(const struct settings *a, const struct settings *b);

/* Writes the path of the socket of engine `name`; false: too long, or not a name for a socket. */
NODISCARD bool settings_socket(const char *run_dir, struct slice name, char *out, size_t size);

#endif
