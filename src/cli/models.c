/* `weir models`: what clients of the running gateway can ask for. */
#include <stdio.h>

#include "api.h"
#include "command.h"
#include "options.h"
#include "terminal.h"

/* Counts the name as well. */
static void print_name(void *ctx, struct slice name)
{
    unsigned *n = ctx;
    struct buf b;
    buf_init(&b, 1024);
    terminal_text_line(&b, name, 300);
    printf(SLICE_FMT "\n", SLICE_ARG(buf_view(&b)));
    buf_done(&b);
    ++*n;
}

int cmd_models(int argc, char **argv)
{
    const char *url = NULL, *key = NULL, *ca = NULL, *why = "";
    unsigned found = 0;
    char text[400];
    struct api api;
    const struct option_row rows[] = {
        {"--url", "base URL of the gateway", &url, NULL},
        {"--key", "API key", &key, NULL},
        {"--ca", "further certificate authorities to trust (PEM)", &ca, NULL},
    };
    int n = options_read(argc, argv, "models [--url URL] [--key KEY] [--ca FILE]", rows,
                         ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    if (!api_open(&api, url, key, ca, &why)) {
        fprintf(stderr, "weir models: %s: %s\n", url != NULL ? url : "WEIR_URL", why);
        return 2;
    }
    bool ok = api_models(&api, print_name, &found, text, sizeof text);
    if (ok && found == 0)
        fputs("weir models: the gateway names no models\n", stderr);
    if (!ok)
        fprintf(stderr, "weir models: %s\n", text);
    api_close(&api);
    return ok ? 0 : 1;
}
