/* `weir check`: is the configuration right; with --connect, does each provider take its key; with
 * --fire, would its fallbacks and limits work? */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "fetch.h"
#include "fire.h"
#include "llm/provider.h"
#include "llm/wire.h"
#include "loaded.h"
#include "options.h"
#include "version.h"

#define PATIENCE_NS (15 * NS_PER_S)

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

/* What the status of an answer says about the key; `*ret_ok`: all is well. */
static const char *judge(unsigned status, bool own_key, bool client_key, bool *ret_ok)
{
    bool refused = status == 401 || status == 403;
    *ret_ok = (status >= 200 && status < 300) || (refused && client_key);
    if (*ret_ok)
        return client_key ? "answers; clients bring the key"
               : own_key  ? "the key is taken"
                          : "answers";
    if (refused)
        return own_key ? "the key is refused" : "it wants an `api_key`";
    return status == 404 ? "there is nothing of that name; is its `url` right?"
                         : "unexpected answer";
}

static int64_t limit(int64_t ns)
{
    return ns > 0 ? MIN_OF(ns, PATIENCE_NS) : PATIENCE_NS;
}

/* One free call as the gateway would make it: its credential, its proxy, its trust. */
static bool try_provider(struct fetcher *f, const struct config_provider *c,
                         const struct gw_provider *p)
{
    struct buf url, fields;
    unsigned status = 0;
    bool ok = false;
    if (p->row->models_path == NULL) {
        printf("%-6s %-20.*s has no call that is free\n", "-", SLICE_ARG(p->name));
        return true;
    }
    struct slice base = c->url.n > 0 ? c->url : slice_str(p->row->base_url);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    buf_init(&url, 8192);
    buf_printf(&url, SLICE_FMT "%s", SLICE_ARG(base), p->row->models_path);
    buf_init(&fields, 65536);
    buf_slice(&fields, p->fields);
    if (p->row->wire == &anthropic_wire)
        buf_lit(&fields, "anthropic-version: 2023-06-01\r\n");
    struct fetch_request r = {
        .method = HTTP_GET,
        .url = buf_view(&url),
        .upstream = p->upstream,
        .credential = buf_view(&fields),
        .connect_ns = limit(p->timeouts.ns[TIMEOUT_CONNECT] + p->timeouts.ns[TIMEOUT_TLS]),
        .head_ns = limit(p->timeouts.ns[TIMEOUT_HEAD]),
        .idle_ns = PATIENCE_NS,
        .on_head = note_status,
        .on_data = drop,
        .ctx = &status};
    struct fetch_outcome o = fetch(f, &r);
    const char *what = o.why;
    if (o.end == FETCH_DONE)
        what = judge(status, c->api_key.n + c->api_keys.n > 0, p->client_key, &ok);
    printf("%-6s %-20.*s %s (GET " SLICE_FMT, ok ? "ok" : "FAILED", SLICE_ARG(p->name), what,
           SLICE_ARG(buf_view(&url)));
    if (status > 0)
        printf(": %u", status);
    puts(")");
    fflush(stdout); /* the next one may take its time */
    buf_done(&url);
    mem_wipe(fields.p, fields.n); /* there is a key in it */
    buf_done(&fields);
    return ok;
}

static int connect_all(const struct loaded *l)
{
    int failed = 0;
    struct fetcher *f = fetcher_new(NULL, NULL);
    for (size_t i = 0; i < l->config->providers_n && f != NULL; i++)
        failed += !try_provider(f, &l->config->providers[i], &l->snapshot->provider_list[i]);
    if (f == NULL)
        fputs("weir check: out of memory\n", stderr);
    bool ok = f != NULL && failed == 0;
    fetcher_free(f);
    return ok ? 0 : 1;
}

int cmd_check(int argc, char **argv)
{
    bool connect = false, fire = false, json = false;
    struct service_options o = {.version = WEIR_VERSION, .data_dir = "", .self = ""};
    const struct option_row rows[] = {
        {"--connect", "try each provider's key with a free call", NULL, &connect},
        {"--fire",
         "try each fallback, hedge, queue, breaker and limit on a fault server of its own", NULL,
         &fire},
        {"--json", "with --fire: for programs", NULL, &json},
        {"--insecure", "as `weir serve --insecure`", NULL, &o.insecure},
    };
    int n = options_read(argc, argv, "check [--connect] [--fire [--json]] [FILE]", rows,
                         ARRAY_LEN(rows), 1);
    if (n < 0)
        return options_status(n);
    o.config_path = n == 1 ? argv[1] : NULL;
    if (json && (!fire || connect)) {
        fputs("weir check: `--json` goes with `--fire` alone; see weir check --help\n", stderr);
        return 2;
    }
    if (json)
        return fire_run(&o, true);
    struct loaded l;
    struct buf errors;
    buf_init(&errors, (size_t)1 << 20);
    int status = loaded_read(&l, &o, &errors) ? 0 : 1;
    fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_view(&errors)));
    buf_done(&errors);
    if (status == 0) {
        printf("%s is right: %zu providers, %zu engines, %zu models\n",
               l.config->path.n > 0 ? l.config->path.p : "the environment", l.config->providers_n,
               l.config->engines_n, l.config->models_n);
        fflush(stdout);
        status = connect ? connect_all(&l) : 0;
    }
    bool right = l.snapshot != NULL;
    loaded_done(&l);
    if (fire && right)
        status = MAX_OF(status, fire_run(&o, false));
    return status;
}
