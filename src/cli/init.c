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

#define OPENAI_KEY "OPENAI_API_KEY"

static const char head[] =
    "# Weir's configuration. `weir check` says whether it is right; `weir docs configuration` "
    "lists\n"
    "# all keys. Weir reads it again when it changes, and keeps the old one when the new one is\n"
    "# wrong.\n"
    "listen: 127.0.0.1:8080\n"
    "admin: 127.0.0.1:8081      # metrics at /metrics\n"
    "\n"
    "# Without keys, anybody on this machine may ask. With keys, clients send one of them as\n"
    "# `Authorization: Bearer ...`; listening on other addresses needs them.\n";

static const char engines[] =
    "\n"
    "# Models that Weir runs itself; `weir pull` fetches one, `weir doctor` says what is missing.\n"
    "# engines:\n"
    "#   local: {model: NAME.gguf}\n";

static const char models[] = "\n"
                             "# What clients ask for. Targets are tried in this order; what is\n"
                             "# not named here is asked for as provider/model.\n";

static bool is_set(const char *name)
{
    const char *value = name != NULL ? getenv(name) : NULL;
    return value != NULL && value[0] != '\0';
}

/* The providers whose key is in the environment; how many. */
static size_t put_providers(FILE *f)
{
    size_t n, found = 0;
    const struct llm_provider *rows = llm_providers(&n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].base_url == NULL || !is_set(rows[i].key_env))
            continue;
        fprintf(f, "  %s: {type: %s, api_key: \"${%s}\"}\n", rows[i].type, rows[i].type,
                rows[i].key_env);
        found++;
    }
    return found;
}

/* Secrets stay in the environment: the file names their variables. Without any provider's key,
 * OpenAI is the example, and the result is false. */
static bool write_file(FILE *f)
{
    const char *off = is_set("WEIR_API_KEY") ? "" : "# ";
    fputs(head, f);
    fprintf(f, "%skeys:\n%s  me: {secret: \"${WEIR_API_KEY}\"}\n\nproviders:\n", off, off);
    bool found = put_providers(f) > 0;
    if (!found)
        fputs("  openai: {type: openai, api_key: \"${" OPENAI_KEY "}\"}\n", f);
    fputs(engines, f);
    fputs(models, f);
    off = !found || is_set(OPENAI_KEY) ? "" : "# ";
    fprintf(f, "%smodels:\n%s  chat:\n%s    targets:\n%s      - {use: %s}\n", off, off, off, off,
            off[0] == '\0' ? "openai/gpt-4o-mini" : "PROVIDER/MODEL");
    return found;
}

int cmd_init(int argc, char **argv)
{
    bool force = false;
    const struct option_row rows[] = {{"--force", "replace the file if it exists", NULL, &force}};
    int n = options_read(argc, argv, "init [--force] [FILE]", rows, ARRAY_LEN(rows), 1);
    if (n < 0)
        return options_status(n);
    const char *path = n > 0 ? argv[1] : "weir.yaml";
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0640);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        fprintf(stderr, "weir init: %s: %s%s\n", path, strerror(errno),
                errno == EEXIST ? "; --force replaces it" : "");
        return 1;
    }
    bool found = write_file(f), written = ferror(f) == 0;
    if (fclose(f) != 0 || !written) {
        fprintf(stderr, "weir init: %s: %s\n", path, strerror(errno));
        unlink(path);
        return 1;
    }
    printf("wrote %s; next: %sweir check %s && weir serve --config %s\n", path,
           found ? "" : "export " OPENAI_KEY "=... && ", path, path);
    return 0;
}
