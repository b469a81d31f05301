/* `weir check`: is the configuration right, and with --connect, does each provider take its key? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "control/build.h"
#include "control/service.h"
#include "fetch.h"
#include "llm/provider.h"
#include "options.h"
#include "version.h"

static int load(const struct service_options *o, struct config **ret)
{
    struct buf errors;
    buf_init(&errors, (size_t)1 << 20);
    *ret = service_load(o, &errors);
    struct builder *b = *ret != NULL ? builder_new() : NULL;
    struct gw_snapshot *s = b != NULL ? builder_build(b, *ret, "/run", &errors) : NULL;
    fprintf(stderr, "%.*s", SLICE_ARG(buf_view(&errors)));
    bool ok = s != NULL;
    if (s != NULL)
        gw_snapshot_unref(s);
    builder_free(b);
    buf_done(&errors);
    return ok ? 0 : 1;
}

static bool note_status(void *ctx, const struct http_head *head, bool leads_on)
{
    (void)leads_on;
    *(unsigned *)ctx = head->status;
    return true;
}

static bool drop(void *ctx, struct slice data)
{
    (void)ctx, (void)data;
    return true;
}

/* One free call with the provider's credential. */
static bool try_provider(struct fetcher *f, const struct config_provider *p)
{
    const struct llm_provider *row = llm_provider_find(p->type);
    struct buf url, fields;
    unsigned status = 0;
    buf_init(&url, 8192);
    buf_init(&fields, 65536);
    struct slice base = p->url.n > 0 ? p->url : slice_str(row->base_url);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    buf_printf(&url, "%.*s%s", SLICE_ARG(base), row->models_path);
    if (p->api_key.n > 0 && !slice_is(p->api_key, "client"))
        buf_printf(&fields, "Authorization: %s %.*s\r\n",
                   row->auth == LLM_AUTH_API_KEY ? "Api-Key" : "Bearer", SLICE_ARG(p->api_key));
    for (size_t i = 0; i < p->headers.n; i++)
        http_put_field(&fields, p->headers.key[i], p->headers.value[i]);
    struct fetch_request r = {.method = HTTP_GET,
                              .url = buf_view(&url),
                              .credential = buf_view(&fields),
                              .connect_ns = 5 * NS_PER_S,
                              .head_ns = 15 * NS_PER_S,
                              .idle_ns = 15 * NS_PER_S,
                              .on_head = note_status,
                              .on_data = drop,
                              .ctx = &status};
    struct fetch_outcome o = fetch(f, &r);
    bool ok = o.end == FETCH_DONE && status >= 200 && status < 300;
    const char *what = ok                                ? "the key is taken"
                       : o.end != FETCH_DONE             ? o.why
                       : status == 401 || status == 403 ? "the key is refused"
                                                         : "unexpected status";
    printf("%-6s %-20.*s %s (GET %.*s: %u)\n", ok ? "ok" : "FAILED", SLICE_ARG(p->name), what,
           SLICE_ARG(buf_view(&url)), status);
    mem_wipe(fields.p, fields.n);
    buf_done(&fields);
    buf_done(&url);
    return ok;
}

static int connect_all(const struct config *c)
{
    int failed = 0;
    for (size_t i = 0; i < c->providers_n; i++) {
        const struct config_provider *p = &c->providers[i];
        struct slice ca = p->ca_file.n > 0 ? p->ca_file : c->egress.ca_file;
        struct fetcher *f = fetcher_new(ca.n > 0 ? ca.p : NULL, "weir/" WEIR_VERSION);
        failed += f == NULL || !try_provider(f, p);
        fetcher_free(f);
    }
    return failed > 0;
}

int cmd_check(int argc, char **argv)
{
    bool connect = false;
    struct service_options o = {.version = WEIR_VERSION, .data_dir = "", .self = ""};
    struct config *c;
    const struct option_row rows[] = {
        {"--connect", "try each provider's key with a free call", NULL, &connect},
        {"--insecure", "as `weir serve --insecure`", NULL, &o.insecure},
    };
    int n = options_read(argc, argv, "check [--connect] [FILE]", rows, ARRAY_LEN(rows));
    if (n < 0 || n > 1)
        return n < 0 ? options_status(n) : 2;
    o.config_path = n == 1 ? argv[1] : NULL;
    int status = load(&o, &c);
    if (status == 0)
        printf("%s is right: %zu providers, %zu engines, %zu models\n",
               c->path.n > 0 ? c->path.p : "the environment", c->providers_n, c->engines_n,
               c->models_n);
    if (status == 0 && connect)
        status = connect_all(c);
    config_free(c);
    return status;
}
