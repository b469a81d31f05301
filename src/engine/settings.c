/* Command line and environment of llama-server.
 *
 * What every build knows is said by arguments, so that it shows in `ps`. What only some builds know
 * is said by their environment variables (tools/server/README.md of llama.cpp): builds without the
 * option ignore the variable, where an unknown argument would stop them. Arguments of the user come
 * last and win over both. */
#include "settings.h"

#include <stdio.h>

#include "base/machine.h"
#include "base/mem.h"
#include "environment.h"
#include "process.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define OWN_ARGS    16

bool settings_socket(const char *run_dir, struct slice name, char *out, size_t size)
{
    /* llama-server takes a list of hosts, separated by commas. */
    if (name.n == 0 || slice_find(name, '/') >= 0 || slice_find(name, ',') >= 0 ||
        strchr(run_dir, ',') != NULL)
        return false;
    int n = snprintf(out, size, "%s/%.*s.sock", run_dir, SLICE_ARG(name));
    return n > 0 && (size_t)n < MIN_OF(size, SETTINGS_SOCKET_BYTES);
}

static bool is_llama(struct slice binary)
{
    struct slice rest = binary, last = binary;
    while (rest.n > 0)
        last = slice_cut(&rest, '/');
    return slice_is(last, "llama");
}

static void put_arg(struct settings *s, struct slice arg)
{
    s->argv[s->argv_n++] = arg;
}

/* "-np", "4". `.p` of the value is NULL when there is no memory; copy_config looks at that. */
static void put_number(struct settings *s, struct slice option, int64_t v)
{
    put_arg(s, option);
    put_arg(s, arena_printf(&s->arena, "%lld", (long long)v));
}

static bool make_argv(struct settings *s)
{
    const struct engine_config *c = &s->config;
    bool ok = true;
    s->argv = arena_zalloc(&s->arena, (c->args_n + OWN_ARGS) * sizeof *s->argv);
    if (s->argv == NULL)
        return false;
    put_arg(s, c->binary);
    if (is_llama(c->binary))
        put_arg(s, SLICE("serve"));
    put_arg(s, SLICE("-m"));
    put_arg(s, c->model);
    put_arg(s, SLICE("--alias")); /* else its answers name the model by its path */
    put_arg(s, c->name);
    put_arg(s, SLICE("--host"));
    put_arg(s, s->socket != NULL ? slice_str(s->socket) : SLICE("none.sock"));
    put_number(s, SLICE("-t"), c->threads > 0 ? c->threads : (int64_t)machine_cores());
    put_number(s, SLICE("-np"), c->slots);
    /* All slots together; with 0, builds differ: the model's own for each slot as far as memory
     * goes, or shared among them. */
    if (c->context > 0)
        put_number(s, SLICE("-c"), c->context);
    for (size_t i = 0; i < c->args_n; i++)
        put_arg(s, c->args[i]);
    for (size_t i = 0; i < s->argv_n; i++)
        ok = ok && s->argv[i].p != NULL;
    return ok;
}

static bool make_env(struct settings *s)
{
    struct slice extra[] = {
        SLICE("LLAMA_ARG_UI=0"),         /* --no-ui */
        SLICE("LLAMA_ARG_WEBUI=0"),      /* its name before */
        SLICE("LLAMA_ARG_NO_WEBUI=1"),   /* and before that */
        SLICE("LLAMA_ARG_OFFLINE=1"),    /* --offline: the model is a file, nothing is fetched */
        SLICE("LLAMA_ARG_KV_UNIFIED=1"), /* --kv-unified: slots share the context's memory */
        SLICE("LLAMA_ARG_JINJA=1"),      /* --jinja: chat templates with tools; now the default */
        arena_printf(&s->arena, "LLAMA_ARG_CACHE_RAM=%lld", (long long)s->config.cache_ram_mib),
    };
    if (extra[ARRAY_LEN(extra) - 1].p == NULL)
        return false;
    s->env = environment_make(&s->arena, environ, extra, ARRAY_LEN(extra));
    return s->env != NULL;
}

static bool copy_config(struct settings *s, const struct engine_config *from)
{
    struct engine_config *c = &s->config;
    struct slice *args = arena_zalloc(&s->arena, (from->args_n + 1) * sizeof *args);
    *c = *from;
    c->name = arena_copy(&s->arena, from->name);
    c->model = arena_copy(&s->arena, from->model);
    c->binary = arena_copy(&s->arena, from->binary);
    c->args = args;
    for (size_t i = 0; i < from->args_n && args != NULL; i++) {
        args[i] = arena_copy(&s->arena, from->args[i]);
        if (args[i].p == NULL)
            return false;
    }
    return args != NULL && c->name.p != NULL && c->model.p != NULL && c->binary.p != NULL;
}

struct settings *settings_new(const struct engine_config *config, const char *run_dir)
{
    char socket[SETTINGS_SOCKET_BYTES];
    struct settings *s = mem_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    arena_init(&s->arena, NULL, ARENA_BYTES);
    bool ok = copy_config(s, config);
    if (ok && settings_socket(run_dir, config->name, socket, sizeof socket)) {
        s->socket = arena_str(&s->arena, slice_str(socket));
        ok = s->socket != NULL;
    }
    if (!ok || !make_argv(s) || !make_env(s)) {
        settings_free(s);
        return NULL;
    }
    return s;
}

void settings_free(struct settings *s)
{
    if (s == NULL)
        return;
    arena_reset(&s->arena);
    mem_free(s);
}

bool settings_same_process(const struct settings *a, const struct settings *b)
{
    size_t i = 0;
    if (a->argv_n != b->argv_n)
        return false;
    for (; i < a->argv_n; i++) {
        if (!slice_eq(a->argv[i], b->argv[i]))
            return false;
    }
    for (i = 0; a->env[i] != NULL && b->env[i] != NULL; i++) {
        if (strcmp(a->env[i], b->env[i]) != 0)
            return false;
    }
    return a->env[i] == b->env[i]; /* both at their ends */
}
