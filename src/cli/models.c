/* `weir models`: what clients of the running gateway can ask for. */
#include <stdio.h>

#include "api.h"
#include "command.h"
#include "options.h"

static void print_name(void *ctx, struct slice name)
{
    (void)ctx;
    printf("%.*s\n", SLICE_ARG(name));
}

int cmd_models(int argc, char **argv)
{
    const char *url = NULL, *key = NULL, *why = "";
    char text[400];
    struct api api;
    const struct option_row rows[] = {
        {"--url", "base URL of the gateway", &url, NULL},
        {"--key", "API key", &key, NULL},
    };
    int n = options_read(argc, argv, "models [--url URL] [--key KEY]", rows, ARRAY_LEN(rows));
    if (n != 0)
        return n < 0 ? options_status(n) : 2;
    if (!api_open(&api, url, key, NULL, &why)) {
        fprintf(stderr, "weir models: %s\n", why);
        return 1;
    }
    bool ok = api_models(&api, print_name, NULL, text, sizeof text);
    if (!ok)
        fprintf(stderr, "weir models: %s\n", text);
    api_close(&api);
    return ok ? 0 : 1;
}
