/* Imported keys: to the running gateway, or into its store. */
#include "import_keep.h"

#include <stdio.h>

#include "admin_socket.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "datadir.h"
#include "store/keys.h"

#define KEY_BYTES ((size_t)128 << 10)

/* "keys.csv:12: key `ci`: why" */
static void refuse(struct import *im, const struct import_key *k, struct slice why)
{
    while (why.n > 0 && why.p[why.n - 1] == '\n')
        why.n--;
    import_note(im, k->line, "key `%.*s`: %.*s", SLICE_ARG(k->name), SLICE_ARG(why));
}

static void put_rights(struct buf *out, const struct import_key *k)
{
    buf_char(out, '{');
    buf_slice(out, k->rights);
    buf_char(out, '}');
}

/* As the admin API takes it. */
static void put_request(struct buf *out, const struct import_key *k)
{
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "name", k->name);
    jw_field_string(&w, "sha256", slice_str(k->sha256));
    jw_field_bool(&w, "disabled", k->disabled);
    if (k->hint.n > 0)
        jw_field_string(&w, "hint", k->hint);
    if (k->note.n > 0)
        jw_field_string(&w, "note", k->note);
    if (k->expires.n > 0)
        jw_field_string(&w, "expires", k->expires);
    if (k->rights.n > 0) {
        buf_char(out, ',');
        buf_slice(out, k->rights);
    }
    jw_close(&w, '}');
}

static size_t send_keys(struct import *im, const char *data)
{
    struct buf body, answer;
    size_t failed = 0;
    buf_init(&body, KEY_BYTES);
    buf_init(&answer, ADMIN_ANSWER_MAX);
    for (const struct import_key *k = im->keys; k != NULL; k = k->next) {
        int status = 0;
        buf_reset(&body);
        buf_reset(&answer);
        put_request(&body, k);
        if (!admin_socket_call("import", data, "POST", "/admin/v1/keys", buf_view(&body), &answer,
                               &status)) {
            for (; k != NULL; k = k->next)
                failed++;
            break;
        }
        if (status == 201)
            continue;
        failed++;
        struct buf why;
        buf_init(&why, KEY_BYTES);
        admin_socket_why(status, buf_view(&answer), &why);
        refuse(im, k, buf_view(&why));
        buf_done(&why);
    }
    buf_done(&body);
    buf_done(&answer);
    return failed;
}

/* False: the key does not fit the configuration, or the store has it; `why` says so. */
static bool store_key(struct import *im, const struct config *c, struct key_store *store,
                      const struct import_key *k, struct buf *why)
{
    struct stored_key stored = {.name = k->name,
                                .hint = k->hint,
                                .note = k->note,
                                .disabled = k->disabled,
                                .created_ns = clock_wall_ns()};
    struct config_key parsed;
    struct buf rights, yaml;
    char name[128];
    buf_init(&rights, KEY_BYTES);
    buf_init(&yaml, KEY_BYTES);
    put_rights(&rights, k);
    buf_char(&yaml, '{');
    buf_slice(&yaml, k->rights);
    if (k->expires.n > 0)
        buf_printf(&yaml, "%s\"expires\": \"%.*s\"", k->rights.n > 0 ? ", " : "",
                   SLICE_ARG(k->expires));
    buf_char(&yaml, '}');
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(k->name));
    bool ok = config_parse_key(buf_view(&yaml), name, c, &parsed, &im->arena, why);
    stored.rights = buf_view(&rights);
    if (ok) {
        buf_reset(why); /* warnings */
        stored.expires_ns = parsed.expires_ns;
        stored.changed_ns = stored.created_ns;
        ok = hex_decode(slice_str(k->sha256), stored.digest, SHA256_BYTES);
        enum key_result result = key_store_add(store, &stored, why);
        if (result == KEY_EXISTS)
            buf_lit(why, "a key with this name or digest is there already");
        ok = ok && result == KEY_OK;
    }
    buf_done(&rights);
    buf_done(&yaml);
    return ok;
}

static size_t store_keys(struct import *im, const struct config *c, const char *data)
{
    char dir[DATADIR_MAX] = "";
    struct buf why;
    size_t failed = 0, n = 0;
    buf_init(&why, KEY_BYTES);
    struct slice path = SLICE_NONE;
    if (datadir_find(data, dir, sizeof dir) && datadir_make(dir))
        path = arena_printf(&im->arena, "%s/keys.db", dir);
    struct key_store *store = path.p != NULL ? key_store_open(path.p, &why) : NULL;
    for (const struct import_key *k = im->keys; k != NULL; k = k->next)
        n++;
    if (store == NULL) {
        fprintf(stderr, "weir import: keys cannot be kept in %s: %.*s\n", dir,
                SLICE_ARG(buf_view(&why)));
        buf_done(&why);
        return n;
    }
    for (const struct import_key *k = im->keys; k != NULL; k = k->next) {
        buf_reset(&why);
        if (store_key(im, c, store, k, &why))
            continue;
        refuse(im, k, buf_view(&why));
        failed++;
    }
    key_store_close(store);
    buf_done(&why);
    return failed;
}

size_t import_keep(struct import *im, const struct config *c, const char *data)
{
    return admin_socket_up(data) ? send_keys(im, data) : store_keys(im, c, data);
}
