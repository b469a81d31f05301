/* What the environment says: a configuration without a file, where the file is looked for, and the
 * --env-file. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config_cloud.h"
#include "config_load.h"

#define ENV_FILE_MAX ((size_t)1 << 20)

/* What is set but empty counts as not set. */
static const char *variable(const struct config_reader *r, const char *name)
{
    const char *value = name != NULL ? reader_getenv(r, name) : NULL;
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool add_text(struct config_reader *r, struct ynode *to, const char *key, const char *text,
                     struct config_pos pos)
{
    return ynode_add(&r->scratch, to, slice_str(key),
                     ynode_literal(&r->scratch, slice_str(text), pos));
}

/* Adds a provider for each type whose key is set and whose name is free; false: no memory. */
static bool add_providers(struct config_reader *r, struct ynode *providers)
{
    for (size_t i = 0; i < r->o->types_n; i++) {
        const struct config_provider_type *type = &r->o->types[i];
        const char *key = variable(r, type->key_env), *needs;
        if (key == NULL || ynode_get(providers, type->name) != NULL)
            continue;
        struct config_pos pos = diag_variable(&r->diag, type->key_env);
        if (!config_cloud_in_env(r, type->name, &needs)) {
            diag_warn(&r->diag, pos, "no provider `%s` without %s beside it", type->name, needs);
            continue;
        }
        struct ynode *provider = ynode_new(&r->scratch, YNODE_MAP, pos);
        if (provider == NULL || !add_text(r, provider, "type", type->name, pos) ||
            !add_text(r, provider, "api_key", key, pos) ||
            !ynode_add(&r->scratch, providers, slice_str(type->name), provider))
            return false;
    }
    return true;
}

void config_add_env_providers(struct config_reader *r, struct ynode *root)
{
    struct ynode *wanted = ynode_get(root, "providers_from_env");
    struct ynode *providers = ynode_get(root, "providers");
    if (wanted == NULL || wanted->kind != YNODE_TEXT || !slice_is(wanted->text, "true"))
        return; /* anything but false is reported when the file is read */
    bool ok = true;
    if (providers == NULL) {
        providers = ynode_new(&r->scratch, YNODE_MAP, wanted->pos);
        ok = providers != NULL && ynode_add(&r->scratch, root, SLICE("providers"), providers);
    }
    if (!ok || (providers->kind == YNODE_MAP && !add_providers(r, providers)))
        diag_no_memory(&r->diag);
}

/* Does an earlier type take its key from the same variable? */
static bool named_before(const struct config_reader *r, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (r->o->types[k].key_env != NULL &&
            strcmp(r->o->types[k].key_env, r->o->types[i].key_env) == 0)
            return true;
    }
    return false;
}

static void report_nothing(struct config_reader *r)
{
    struct slice list = SLICE_NONE;
    for (size_t i = 0; i < r->o->types_n; i++) {
        if (r->o->types[i].key_env == NULL || named_before(r, i))
            continue;
        list = arena_printf(&r->scratch, "%s%s%s", list.p != NULL ? list.p : "",
                            list.p != NULL ? ", " : "", r->o->types[i].key_env);
        if (list.p == NULL) {
            diag_no_memory(&r->diag);
            return;
        }
    }
    diag_error(&r->diag, (struct config_pos){0, 0},
               "no configuration file, and no key of a provider is set (%s); "
               "`weir init` writes a file to start from",
               list.p != NULL ? list.p : "");
}

struct config *config_from_env(const struct config_options *options, struct buf *errors)
{
    struct config_reader *r = config_reader_new("environment", options);
    if (r == NULL) {
        buf_lit(errors, "environment: out of memory\n");
        return NULL;
    }
    struct ynode *root = ynode_new(&r->scratch, YNODE_MAP, (struct config_pos){0, 0});
    struct ynode *providers = ynode_new(&r->scratch, YNODE_MAP, (struct config_pos){0, 0});
    bool ok = root != NULL && providers != NULL && add_providers(r, providers) &&
              ynode_add(&r->scratch, root, SLICE("providers"), providers);
    if (ok && variable(r, "WEIR_ADMIN_TOKEN") != NULL)
        ok = add_text(r, root, "admin", "127.0.0.1:8081",
                      diag_variable(&r->diag, "WEIR_ADMIN_TOKEN"));
    if (!ok)
        diag_no_memory(&r->diag);
    else if (providers->n == 0)
        report_nothing(r);
    else
        config_read_root(r, root);
    return config_reader_end(r, errors);
}

static bool found(char *out, size_t size, int length)
{
    return length > 0 && (size_t)length < size && access(out, F_OK) == 0;
}

bool config_find(config_getenv *env, char *out, size_t size)
{
    const char *xdg = env != NULL ? env("XDG_CONFIG_HOME") : NULL;
    const char *home = env != NULL ? env("HOME") : NULL;
    if (found(out, size, snprintf(out, size, "./weir.yaml")))
        return true;
    if (xdg != NULL && xdg[0] == '/') {
        if (found(out, size, snprintf(out, size, "%s/weir/weir.yaml", xdg)))
            return true;
    } else if (home != NULL && home[0] != '\0') {
        if (found(out, size, snprintf(out, size, "%s/.config/weir/weir.yaml", home)))
            return true;
    }
    return found(out, size, snprintf(out, size, "/etc/weir/weir.yaml"));
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

/* Cuts a line into name and value; an empty line has no name. NULL: fine, else what is wrong. */
static const char *split_line(struct slice line, struct slice *ret_name, struct slice *ret_value)
{
    *ret_name = SLICE_NONE;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    line = slice_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return NULL;
    if (slice_starts(line, SLICE("export ")))
        line = slice_trim(slice_from(line, 7));
    struct slice value = line, name = slice_trim(slice_cut(&value, '='));
    if (slice_find(line, '=') < 0)
        return "expected NAME=value";
    if (!is_name(name))
        return "the name may have letters, digits and underscores only";
    if (slice_find(line, '\0') >= 0)
        return "a NUL byte";
    value = slice_trim(value);
    if (value.n > 0 && (value.p[0] == '"' || value.p[0] == '\'')) {
        if (value.n < 2 || value.p[value.n - 1] != value.p[0])
            return "a quote without its end";
        value = slice_of(value.p + 1, value.n - 2);
    }
    *ret_name = name;
    *ret_value = value;
    return NULL;
}

static bool set_variable(struct slice name, struct slice value)
{
    char *n = mem_strndup(name.p, name.n), *v = mem_strndup(value.p, value.n);
    bool ok = n != NULL && v != NULL && setenv(n, v, 0) == 0;
    mem_free(n);
    mem_free(v);
    return ok;
}

/* Goes through all lines of `text`; sets the variables when `set`, else only reports. */
static bool walk_lines(const char *path, struct slice text, bool set, struct buf *errors)
{
    struct slice name, value;
    bool ok = true;
    for (unsigned number = 1; text.n > 0; number++) {
        const char *wrong = split_line(slice_cut(&text, '\n'), &name, &value);
        if (wrong != NULL) {
            buf_printf(errors, "%s:%u: %s\n", path, number, wrong);
            ok = false;
        } else if (name.n > 0 && set && !set_variable(name, value)) {
            buf_printf(errors, "%s: out of memory\n", path);
            return false;
        }
    }
    return ok;
}

bool config_env_file(const char *path, struct buf *errors)
{
    struct buf text;
    if (!config_read_file(path, ENV_FILE_MAX, &text, errors))
        return false;
    bool ok = walk_lines(path, buf_view(&text), false, errors) &&
              walk_lines(path, buf_view(&text), true, errors);
    buf_done(&text);
    return ok;
}
