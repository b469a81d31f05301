/* `weir reload`: asks the running gateway to read its configuration again. */
#include <stdio.h>

#include "admin_socket.h"
#include "command.h"
#include "options.h"

int cmd_reload(int argc, char **argv)
{
    const char *data = NULL;
    int status;
    const struct option_row rows[] = {{"--data", "folder of the running gateway", &data, NULL}};
    int n = options_read(argc, argv, "reload [--data DIR]", rows, ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    const char *body = admin_socket_ask("reload", data, "POST", "/admin/v1/reload", &status);
    if (body == NULL)
        return 1;
    fputs(body, status == 200 ? stdout : stderr);
    return status == 200 ? 0 : 1;
}
