/* `weir docs`: the reference documents, made from the tables that the code runs on. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "command.h"
#include "control/config.h"
#include "gateway/error.h"
#include "llm/provider.h"
#include "observe/metrics.h"
#include "options.h"

static void errors(struct buf *out)
{
    buf_lit(out,
            "# Errors\n\nWhat clients get when Weir itself ends a request, in OpenAI's shape "
            "`{\"error\":{\"message\",\"type\",\"param\",\"code\"}}`. An upstream's own errors "
            "(400, 404, 409, 422, 429, 5xx) keep their status, with their text in the same "
            "shape. In a stream that has begun, the error comes as a last event, without "
            "`[DONE]` and without the last chunk behind it, and the connection closes.\n\n");
    gw_error_reference(out);
}

static void metrics(struct buf *out)
{
    buf_lit(out, "# Metrics\n\nAt `/metrics` of the admin and metrics ports, in Prometheus' text "
                 "format. `model` is what the client asked for: an alias, an engine, or "
                 "`provider/model`; names that never gave an answer count as `other`.\n\n");
    metric_reference(out);
}

static void providers(struct buf *out)
{
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    buf_lit(out, "# Providers\n\nValues of `type` under `providers`. With the variable set, "
                 "`weir serve` needs no configuration file.\n\n"
                 "| type | base URL | key variable | notes |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "| `%s` | %s | %s | %s |\n", rows[i].type,
                   rows[i].base_url ? rows[i].base_url : "(give `url`)",
                   rows[i].key_env ? rows[i].key_env : "", rows[i].about);
}

static const struct {
    const char *name;
    void (*print)(struct buf *out);
} documents[] = {
    {"configuration", config_reference},
    {"errors", errors},
    {"metrics", metrics},
    {"providers", providers},
};

int cmd_docs(int argc, char **argv)
{
    int n = options_read(argc, argv, "docs configuration|errors|metrics|providers", NULL, 0, 1);
    if (n < 0)
        return options_status(n);
    for (size_t i = 0; n == 1 && i < ARRAY_LEN(documents); i++) {
        if (strcmp(argv[1], documents[i].name) != 0)
            continue;
        struct buf out;
        buf_init(&out, (size_t)4 << 20);
        documents[i].print(&out);
        bool ok = fwrite(out.p, 1, out.n, stdout) == out.n;
        buf_done(&out);
        return ok ? 0 : 1;
    }
    if (n == 0) {
        fputs("usage: weir docs configuration|errors|metrics|providers\n", stderr);
        return 2;
    }
    fprintf(stderr, "weir docs: there is no document `%s`", argv[1]);
    options_suggest(argv[1], strlen(argv[1]), documents, sizeof *documents, ARRAY_LEN(documents));
    fputs("; see weir docs --help\n", stderr);
    return 2;
}
