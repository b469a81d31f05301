/* Calls to a gateway. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "llm/openai.h"
#include "terminal.h"
#include "version.h"

#define DEFAULT_URL "http://127.0.0.1:8080/v1"
#define LIST_MAX    ((size_t)16 << 20)
#define URL_MAX     ((size_t)8192)

static const char *first_set(const char *option, const char *const *names, size_t n)
{
    if (option != NULL)
        return option[0] != '\0' ? option : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *v = getenv(names[i]);
        if (v != NULL && v[0] != '\0')
            return v;
    }
    return NULL;
}

bool api_open(struct api *a, const char *url, const char *key, const char *ca_file,
              const char **ret_why)
{
    static const char *const url_names[] = {"WEIR_URL"};
    static const char *const key_names[] = {"WEIR_API_KEY", "OPENAI_API_KEY"};
    struct net_url parsed;
    url = first_set(url, url_names, ARRAY_LEN(url_names));
    key = first_set(key, key_names, ARRAY_LEN(key_names));
    struct slice base = slice_str(url != NULL ? url : DEFAULT_URL);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    if (!net_url_parse(base, &parsed, ret_why))
        return false;
    *ret_why = "out of memory";
    *a = (struct api){.fetcher = fetcher_new(ca_file, "weir/" WEIR_VERSION)};
    if (a->fetcher == NULL)
        return false;
    buf_init(&a->base, URL_MAX);
    buf_init(&a->credential, URL_MAX);
    buf_slice(&a->base, base);
    if (parsed.path.n == 0)
        buf_lit(&a->base, "/v1");
    if (key != NULL) {
        struct buf value;
        buf_init(&value, URL_MAX);
        buf_lit(&value, "Bearer ");
        buf_slice(&value, slice_str(key));
        http_put_field(&a->credential, SLICE("Authorization"), buf_view(&value));
        mem_wipe(value.p, value.n);
        buf_done(&value);
    }
    return true;
}

void api_close(struct api *a)
{
    fetcher_free(TAKE(a->fetcher));
    buf_done(&a->base);
    buf_done(&a->credential);
}

void api_url(const struct api *a, struct slice path, struct buf *out)
{
    buf_slice(out, buf_view(&a->base));
    buf_slice(out, path);
}

struct listing {
    struct buf body;
    unsigned status;
};

static bool on_head(void *ctx, const struct http_head *h, bool leads_on)
{
    struct listing *l = ctx;
    (void)leads_on;
    l->status = h->status;
    return true;
}

static bool on_data(void *ctx, struct slice data)
{
    struct listing *l = ctx;
    buf_slice(&l->body, data);
    return !l->body.failed;
}

static bool each_name(const struct json_doc *d, struct arena *a,
                      void (*each)(void *ctx, struct slice name), void *ctx)
{
    uint32_t data = json_type_at(d, 0) == JSON_OBJECT ? json_get(d, 0, SLICE("data")) : 0;
    if (data == 0 || json_type_at(d, data) != JSON_ARRAY)
        return false;
    for (uint32_t i = json_first(d, data); i < json_end(d, data); i = json_after(d, i)) {
        uint32_t id = json_type_at(d, i) == JSON_OBJECT ? json_get(d, i, SLICE("id")) : 0;
        struct slice name = SLICE_NONE;
        if (id != 0 && json_type_at(d, id) == JSON_STRING)
            name = json_string(d, id, a);
        if (name.n > 0)
            each(ctx, name);
    }
    return true;
}

static bool read_listing(const struct listing *l, void (*each)(void *ctx, struct slice name),
                         void *ctx, char *why, size_t size)
{
    struct json_parser *parser = json_parser_new();
    struct arena arena;
    struct json_doc d;
    struct llm_error e;
    struct buf shown;
    bool ok = false;
    arena_init(&arena, NULL, 2 * LIST_MAX);
    buf_init(&shown, 512);
    if (parser == NULL) {
        snprintf(why, size, "out of memory");
    } else if (l->status >= 300) {
        openai_read_error(parser, &arena, l->body.n > 0 ? buf_view(&l->body) : SLICE(""), &e);
        terminal_text_line(&shown, e.message, 300);
        snprintf(why, size, SLICE_FMT " (%u %s)", SLICE_ARG(buf_view(&shown)), l->status,
                 http_status_text(l->status));
    } else {
        ok = json_parse(parser, buf_view(&l->body), 0, &d) == JSON_OK &&
             each_name(&d, &arena, each, ctx);
        snprintf(why, size, "%s", ok ? "" : "the list of models makes no sense");
    }
    buf_done(&shown);
    arena_reset(&arena);
    json_parser_free(parser);
    return ok;
}

bool api_models(struct api *a, void (*each)(void *ctx, struct slice name), void *ctx, char *why,
                size_t size)
{
    struct listing l = {.status = 0};
    struct buf url;
    buf_init(&url, URL_MAX);
    buf_init(&l.body, LIST_MAX);
    api_url(a, SLICE("/models"), &url);
    const struct fetch_request r = {.method = HTTP_GET,
                                    .url = buf_view(&url),
                                    .fields = SLICE("Accept: application/json\r\n"),
                                    .credential = buf_view(&a->credential),
                                    .connect_ns = 10 * NS_PER_S,
                                    .head_ns = 30 * NS_PER_S,
                                    .idle_ns = 30 * NS_PER_S,
                                    .on_head = on_head,
                                    .on_data = on_data,
                                    .ctx = &l};
    struct fetch_outcome o = fetch(a->fetcher, &r);
    bool ok = o.end == FETCH_DONE;
    if (ok)
        ok = read_listing(&l, each, ctx, why, size);
    else
        snprintf(why, size, SLICE_FMT ": %s", SLICE_ARG(buf_view(&url)),
                 o.end == FETCH_STOPPED ? "the list of models is too long" : o.why);
    buf_done(&url);
    buf_done(&l.body);
    return ok;
}
