/* `weir init`: a configuration to start from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "command.h"
#include "llm/provider.h"
#include "options.h"

static const char head[] =
    "# Weir's configuration. `weir check` says whether it is right; docs/configuration.md lists "
    "all\n"
    "# keys. Weir reads it again when it changes, and keeps the old one when the new one is "
    "wrong.\n"
    "listen: 127.0.0.1:8080\n"
    "admin: 127.0.0.1:8081      # metrics at /metrics\n"
    "\n"
    "# Without keys, anybody on this machine may ask. With keys, clients send one of them as\n"
    "# `Authorization: Bearer ...`; listening on other addresses needs them.\n"
    "# keys:\n"
    "#   me: {secret: \"${WEIR_API_KEY}\"}\n"
    "\n"
    "providers:\n";

static const char tail[] = "\n"
                           "# What clients ask for. Targets are tried in this order.\n"
                           "models:\n"
                           "  chat:\n"
                           "    targets:\n";

/* The providers whose key is in the environment, or OpenAI as the example. */
static void write_file(FILE *f)
{
    size_t n, used = 0;
    const struct llm_provider *rows = llm_providers(&n);
    fputs(head, f);
    for (size_t i = 0; i < n; i++) {
        const char *env = rows[i].key_env;
        if (env == NULL || rows[i].base_url == NULL || getenv(env) == NULL)
            continue;
        fprintf(f, "  %s: {type: %s, api_key: \"${%s}\"}\n", rows[i].type, rows[i].type, env);
        used++;
    }
    if (used == 0)
        fputs("  openai: {type: openai, api_key: \"${OPENAI_API_KEY}\"}\n", f);
    fputs(tail, f);
    fprintf(f, "      - {use: %s/%s}\n",
            used == 0 || getenv("OPENAI_API_KEY") != NULL ? "openai" : "PROVIDER",
            used == 0 || getenv("OPENAI_API_KEY") != NULL ? "gpt-4o-mini" : "MODEL");
}

int cmd_init(int argc, char **argv)
{
    bool force = false;
    const struct option_row rows[] = {{"--force", "replace the file if it exists", NULL, &force}};
    int n = options_read(argc, argv, "init [--force] [FILE]", rows, ARRAY_LEN(rows));
    if (n < 0)
        return options_status(n);
    const char *path = n > 0 ? argv[1] : "weir.yaml";
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0640);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        fprintf(stderr, "weir init: %s: %s\n", path, strerror(errno));
        return 1;
    }
    write_file(f);
    if (fclose(f) != 0) {
        fprintf(stderr, "weir init: %s: %s\n", path, strerror(errno));
        return 1;
    }
    printf("wrote %s; next: weir check %s && weir serve --config %s\n", path, path, path);
    return 0;
}
