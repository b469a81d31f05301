/* `weir health`: does the running gateway welcome requests? For containers, whose image has no
 * other HTTP client. */
#include <stdio.h>

#include "admin_socket.h"
#include "command.h"
#include "options.h"

int cmd_health(int argc, char **argv)
{
    const char *data = NULL;
    int status;
    const struct option_row rows[] = {{"--data", "folder of the running gateway", &data, NULL}};
    int n = options_read(argc, argv, "health [--data DIR]", rows, ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    if (admin_socket_ask("health", data, "GET", "/readyz", &status) == NULL)
        return 1;
    if (status != 200) {
        fprintf(stderr, "weir health: the gateway says %d\n", status);
        return 1;
    }
    puts("ok");
    return 0;
}
