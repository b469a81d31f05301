/* `weir key`: keys of clients, through the running gateway. */
#include <stdio.h>
#include <stdlib.h>

#include "admin_call.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "command.h"
#include "key_body.h"
#include "options.h"
#include "terminal.h"

#define BODY_MAX  ((size_t)1 << 20)
#define KEYS_PATH "/admin/v1/keys"

static void call_path(struct admin_call *c, const char *name, const char *verb)
{
    buf_lit(&c->path, KEYS_PATH "/");
    admin_call_escape(c, slice_str(name));
    buf_slice(&c->path, slice_str(verb));
}

/* The secret alone goes to standard output, so that a script can take it. */
static void show_secret(struct admin_call *c, const char *name, const char *what)
{
    uint32_t secret = json_get(&c->doc, 0, SLICE("secret"));
    uint32_t until = json_get(&c->doc, 0, SLICE("old_secret_until"));
    uint32_t warning = json_get(&c->doc, 0, SLICE("warning"));
    struct buf text;
    if (c->json) {
        printf("%.*s\n", SLICE_ARG(buf_view(&c->answer)));
        return;
    }
    buf_init(&text, 1024);
    if (secret != 0) {
        admin_call_cell(c, secret, &text);
        printf("%.*s\n", SLICE_ARG(buf_view(&text)));
        fflush(stdout);
        mem_wipe(text.p, text.n);
        buf_reset(&text);
    }
    fprintf(stderr, "weir key: `%s` was %s%s\n", name, what,
            secret != 0 ? "; its secret is shown this once" : "");
    if (until != 0 && secret != 0) {
        admin_call_cell(c, until, &text);
        fprintf(stderr, "weir key: the secret before it counts until %.*s\n",
                SLICE_ARG(buf_view(&text)));
        buf_reset(&text);
    }
    if (warning != 0) {
        admin_call_cell(c, warning, &text);
        fprintf(stderr, "weir key: warning: %.*s\n", SLICE_ARG(buf_view(&text)));
    }
    buf_done(&text);
}

/* The only word, a key's name. NULL: it is missing, which standard error says. */
static const char *the_name(int words, char **argv, const char *verb)
{
    if (words == 1)
        return argv[1];
    fprintf(stderr, "weir key %s: which key? see weir key %s --help\n", verb, verb);
    return NULL;
}

static int change(int argc, char **argv, struct admin_call *c, bool create)
{
    struct option_row rows[KEY_OPTIONS_MAX + 2];
    struct key_options options = {{NULL}};
    size_t n = key_option_rows(&options, create, rows), given = 0;
    rows[n++] = admin_call_json_row(c);
    rows[n++] = admin_call_data_row(c);
    int words = options_read(argc, argv,
                             create ? "key create NAME [OPTIONS]"
                                    : "key update NAME OPTIONS; `none` takes back",
                             rows, n, 1);
    if (words < 0)
        return options_status(words);
    const char *name = the_name(words, argv, create ? "create" : "update");
    if (name == NULL || !key_body(&options, create ? name : NULL, &c->body, &given))
        return 2;
    if (!create && given == 0) {
        fputs("weir key update: what is to change? see weir key update --help\n", stderr);
        return 2;
    }
    if (create)
        buf_lit(&c->path, KEYS_PATH);
    else
        call_path(c, name, "");
    if (!admin_call_run(c, create ? "POST" : "PATCH"))
        return 1;
    show_secret(c, name, create ? "created" : "changed");
    return 0;
}

static int key_create(int argc, char **argv, struct admin_call *c)
{
    return change(argc, argv, c, true);
}

static int key_update(int argc, char **argv, struct admin_call *c)
{
    return change(argc, argv, c, false);
}

static int key_rotate(int argc, char **argv, struct admin_call *c)
{
    const char *overlap = NULL, *sha256 = NULL;
    const struct option_row rows[] = {
        {"--overlap", "how long the old secret goes on counting; 24h, or 0", &overlap, NULL},
        {"--sha256", "digest of a secret that clients have already", &sha256, NULL},
        admin_call_json_row(c),
        admin_call_data_row(c),
    };
    int words = options_read(argc, argv, "key rotate NAME [--overlap 24h] [--sha256 HEX]", rows,
                             ARRAY_LEN(rows), 1);
    if (words < 0)
        return options_status(words);
    const char *name = the_name(words, argv, "rotate");
    if (name == NULL)
        return 2;
    struct json_writer w = json_writer(&c->body);
    jw_open(&w, '{');
    if (overlap != NULL)
        jw_field_string(&w, "overlap", slice_str(overlap));
    if (sha256 != NULL)
        jw_field_string(&w, "sha256", slice_str(sha256));
    jw_close(&w, '}');
    call_path(c, name, "/rotate");
    if (!admin_call_run(c, "POST"))
        return 1;
    show_secret(c, name, "rotated");
    return 0;
}

/* The verbs that take a name alone. */
static int simple(int argc, char **argv, struct admin_call *c, const char *method, const char *verb,
                  const char *what)
{
    char usage[64];
    const struct option_row rows[] = {admin_call_json_row(c), admin_call_data_row(c)};
    snprintf(usage, sizeof usage, "key %s NAME [--json] [--data DIR]", argv[0]);
    int words = options_read(argc, argv, usage, rows, ARRAY_LEN(rows), 1);
    if (words < 0)
        return options_status(words);
    const char *name = the_name(words, argv, argv[0]);
    if (name == NULL)
        return 2;
    call_path(c, name, verb);
    if (!admin_call_run(c, method))
        return 1;
    if (what != NULL || c->json)
        show_secret(c, name, what);
    return 0;
}

static int key_disable(int argc, char **argv, struct admin_call *c)
{
    return simple(argc, argv, c, "POST", "/disable", "disabled");
}

static int key_enable(int argc, char **argv, struct admin_call *c)
{
    return simple(argc, argv, c, "POST", "/enable", "enabled");
}

static int key_delete(int argc, char **argv, struct admin_call *c)
{
    return simple(argc, argv, c, "DELETE", "", "deleted");
}

static int key_show(int argc, char **argv, struct admin_call *c)
{
    struct buf value;
    int status = simple(argc, argv, c, "GET", "", NULL);
    if (status != 0 || c->json || c->answer.n == 0) /* --help asks nobody */
        return status;
    buf_init(&value, 4096);
    for (uint32_t i = json_first(&c->doc, 0); i < json_end(&c->doc, 0);
         i = json_after(&c->doc, i + 1)) {
        admin_call_cell(c, i + 1, &value);
        printf("%-17.*s %.*s\n", SLICE_ARG(json_inner(&c->doc, i)), SLICE_ARG(buf_view(&value)));
        buf_reset(&value);
    }
    buf_done(&value);
    return 0;
}

enum column { COL_NAME, COL_HINT, COL_TEAM, COL_PLAN, COL_STATE, COL_EXPIRES, COL_LIMITS, COLS_N };
static const struct {
    const char *title, *key;
} columns[COLS_N] = {
    {"NAME", "name"}, {"SECRET", "hint"},     {"TEAM", "team"},     {"PLAN", "plan"},
    {"STATE", NULL},  {"EXPIRES", "expires"}, {"LIMITS", "limits"},
};

/* The rows of a table, one cell after the other. */
struct table {
    struct arena *arena;
    struct slice *cell;
    size_t rows, size;
};

static bool is_true(const struct json_doc *d, uint32_t node, const char *key)
{
    uint32_t v = json_get(d, node, slice_str(key));
    return v != 0 && json_type_at(d, v) == JSON_TRUE;
}

static struct slice state_of(const struct json_doc *d, uint32_t key, struct slice expires)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ns(), now);
    if (is_true(d, key, "disabled"))
        return SLICE("disabled");
    if (expires.n > 0 && memcmp(expires.p, now, MIN_OF(expires.n, sizeof now - 1)) < 0)
        return SLICE("expired");
    return is_true(d, key, "issued") ? SLICE("active") : SLICE("in the file");
}

/* "60 rpm, $50/month" */
static void put_limits(struct buf *out, struct admin_call *c, uint32_t limits, bool budget)
{
    static const struct {
        const char *key, *unit;
    } units[] = {{"requests_per_minute", " rpm"},
                 {"tokens_per_minute", " tpm"},
                 {"input_tokens_per_minute", " tpm in"},
                 {"output_tokens_per_minute", " tpm out"},
                 {"concurrency", " at once"}};
    const struct json_doc *d = &c->doc;
    if (json_type_at(d, limits) != JSON_OBJECT)
        return;
    for (uint32_t i = json_first(d, limits); i < json_end(d, limits); i = json_after(d, i + 1)) {
        if (json_string_is(d, i, SLICE("budget"))) {
            put_limits(out, c, i + 1, true);
            continue;
        }
        struct slice key = json_inner(d, i);
        buf_slice(out, out->n > 0 ? SLICE(", ") : SLICE(""));
        buf_slice(out, budget ? SLICE("$") : SLICE(""));
        admin_call_cell(c, i + 1, out);
        struct slice unit = SLICE_NONE;
        for (size_t u = 0; u < ARRAY_LEN(units) && !budget; u++) {
            if (slice_is(key, units[u].key))
                unit = slice_str(units[u].unit);
        }
        if (unit.n > 0)
            buf_slice(out, unit);
        else
            buf_printf(out, "%c%.*s", budget ? '/' : ' ', SLICE_ARG(key));
    }
}

static void add_row(struct table *t, struct admin_call *c, uint32_t key)
{
    struct buf text;
    if (t->rows == t->size) {
        size_t more = t->size > 0 ? 2 * t->size : 64;
        struct slice *grown = mem_must(mem_calloc(more * COLS_N, sizeof *grown));
        if (t->rows > 0)
            memcpy(grown, t->cell, t->rows * COLS_N * sizeof *grown);
        mem_free(t->cell);
        t->cell = grown;
        t->size = more;
    }
    struct slice *cells = &t->cell[t->rows++ * COLS_N];
    buf_init(&text, 4096);
    for (unsigned i = 0; i < COLS_N; i++) {
        uint32_t v = columns[i].key != NULL ? json_get(&c->doc, key, slice_str(columns[i].key)) : 0;
        buf_reset(&text);
        if (v != 0 && i == COL_LIMITS)
            put_limits(&text, c, v, false);
        else if (v != 0)
            admin_call_cell(c, v, &text);
        if (i == COL_EXPIRES && text.n > 10)
            text.n = 10; /* the day */
        cells[i] = arena_copy(t->arena, buf_view(&text));
    }
    buf_done(&text);
    uint32_t expires = json_get(&c->doc, key, SLICE("expires"));
    cells[COL_STATE] =
        state_of(&c->doc, key, expires != 0 ? json_inner(&c->doc, expires) : SLICE_NONE);
}

static void print_table(const struct table *t)
{
    size_t width[COLS_N];
    for (unsigned i = 0; i < COLS_N; i++) {
        width[i] = 0;
        for (size_t r = 0; r < t->rows; r++)
            width[i] = MAX_OF(width[i], t->cell[r * COLS_N + i].n);
        if (width[i] > 0)
            width[i] = MAX_OF(width[i], strlen(columns[i].title));
    }
    for (size_t r = 0; r <= t->rows; r++) { /* row 0 is the head; empty columns are left out */
        for (unsigned i = 0; i < COLS_N; i++) {
            struct slice s = r == 0 ? slice_str(columns[i].title) : t->cell[(r - 1) * COLS_N + i];
            if (width[i] > 0)
                printf("%-*.*s%s", i + 1 < COLS_N ? (int)width[i] : 0, SLICE_ARG(s),
                       i + 1 < COLS_N ? "  " : "");
        }
        putchar('\n');
    }
}

/* Reads all pages; with --json they are one list. */
static int list_all(struct admin_call *c, struct table *t)
{
    struct slice after = SLICE_NONE;
    size_t n = 0;
    if (c->json)
        fputs("{\"keys\":[", stdout);
    do {
        buf_reset(&c->path);
        buf_lit(&c->path, KEYS_PATH "?limit=1000&after=");
        admin_call_escape(c, after);
        if (!admin_call_run(c, "GET"))
            return 1;
        uint32_t keys = json_get(&c->doc, 0, SLICE("keys"));
        uint32_t next = json_get(&c->doc, 0, SLICE("next"));
        if (keys == 0 || json_type_at(&c->doc, keys) != JSON_ARRAY)
            break;
        for (uint32_t i = json_first(&c->doc, keys); i < json_end(&c->doc, keys);
             i = json_after(&c->doc, i), n++) {
            if (c->json)
                printf("%s%.*s", n > 0 ? "," : "", SLICE_ARG(json_raw(&c->doc, i)));
            else if (json_type_at(&c->doc, i) == JSON_OBJECT)
                add_row(t, c, i);
        }
        bool more = next != 0 && json_type_at(&c->doc, next) == JSON_STRING;
        after = more ? arena_copy(&c->arena, json_string(&c->doc, next, &c->arena)) : SLICE_NONE;
    } while (after.n > 0);
    if (c->json)
        puts("]}");
    else if (n == 0)
        fputs("weir key: there are no keys; `weir key create NAME` makes one\n", stderr);
    else
        print_table(t);
    return 0;
}

static int key_list(int argc, char **argv, struct admin_call *c)
{
    const struct option_row rows[] = {admin_call_json_row(c), admin_call_data_row(c)};
    struct table t = {.arena = &c->arena};
    int words =
        options_read(argc, argv, "key list [--json] [--data DIR]", rows, ARRAY_LEN(rows), 0);
    if (words < 0)
        return options_status(words);
    int status = list_all(c, &t);
    mem_free(t.cell);
    return status;
}

static const struct verb {
    const char *name, *args, *about;
    int (*run)(int argc, char **argv, struct admin_call *c);
} verbs[] = {
    {"create", "NAME [OPTIONS]", "make a key; its secret is printed this once", key_create},
    {"list", "[--json]", "all keys, those of the file too", key_list},
    {"show", "NAME [--json]", "what a key may", key_show},
    {"update", "NAME OPTIONS", "change what a key may", key_update},
    {"rotate", "NAME [--overlap 24h]", "give it a new secret; the old one counts on for a while",
     key_rotate},
    {"disable", "NAME", "refuse it from the next request on", key_disable},
    {"enable", "NAME", "take it again", key_enable},
    {"delete", "NAME", "remove it", key_delete},
};

static int usage(FILE *out)
{
    fputs("usage: weir key COMMAND\n", out);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        fprintf(out, "  %-8s %-22s %s\n", verbs[i].name, verbs[i].args, verbs[i].about);
    fputs("`weir key COMMAND --help` says more.\n", out);
    return out == stdout ? 0 : 2;
}

int cmd_key(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        struct admin_call c;
        admin_call_init(&c, "key", BODY_MAX);
        int status = verbs[i].run(argc - 1, argv + 1, &c);
        admin_call_done(&c);
        return status;
    }
    fprintf(stderr, "weir key: there is no command `%s`", argv[1]);
    options_suggest(argv[1], strlen(argv[1]), verbs, sizeof *verbs, ARRAY_LEN(verbs));
    fputs("; see weir key --help\n", stderr);
    return 2;
}
