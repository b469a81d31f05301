/* Keys of a LiteLLM gateway, from a dump of its table LiteLLM_VerificationToken. It keeps the
 * SHA-256 of each secret in hex, as we do, so clients notice nothing. */
#include <stdio.h>

#include "base/json_write.h"
#include "import_table.h"

#define NAME_MAX_BYTES ((size_t)64) /* of a key or a team */
#define DAY            INT64_C(86400)

enum column {
    COL_TOKEN,
    COL_KEY_NAME,
    COL_KEY_ALIAS,
    COL_MODELS,
    COL_MAX_BUDGET,
    COL_BUDGET_DURATION,
    COL_TPM,
    COL_RPM,
    COL_PARALLEL,
    COL_EXPIRES,
    COL_TEAM,
    COL_USER,
    COL_BLOCKED,
    COLS_USED,
};

/* Those behind COL_BLOCKED have no counterpart and are named where a key has them. */
static const char *const columns[] = {"token",
                                      "key_name",
                                      "key_alias",
                                      "models",
                                      "max_budget",
                                      "budget_duration",
                                      "tpm_limit",
                                      "rpm_limit",
                                      "max_parallel_requests",
                                      "expires",
                                      "team_id",
                                      "user_id",
                                      "blocked",
                                      "metadata",
                                      "organization_id",
                                      "project_id",
                                      "agent_id",
                                      "budget_id",
                                      "model_max_budget",
                                      "budget_limits",
                                      "allowed_routes",
                                      "allowed_cache_controls",
                                      "aliases",
                                      "config",
                                      "router_settings",
                                      "permissions",
                                      "policies",
                                      "access_group_ids",
                                      "object_permission_id"};

static bool is_nothing(struct slice s)
{
    return s.n == 0 || slice_is(s, "{}") || slice_is(s, "[]") || slice_is(s, "null");
}

/* A name as the configuration wants it. */
static struct slice make_name(struct import *im, struct slice text)
{
    char out[NAME_MAX_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < sizeof out - 6; i++) { /* room for "-12345" */
        char c = text.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool mark = c != '\0' && strchr("._-:@", c) != NULL;
        if (word || (n > 0 && mark))
            out[n++] = c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    return import_copy(im, slice_of(out, n));
}

static bool is_taken(const struct import *im, struct slice name)
{
    for (const struct import_key *k = im->keys; k != NULL; k = k->next) {
        if (slice_eq(k->name, name))
            return true;
    }
    return slice_is(name, "litellm-master");
}

static struct slice unique_name(struct import *im, const struct import_key *k, struct slice alias)
{
    struct slice base = make_name(im, alias);
    if (base.n == 0)
        base = arena_printf(&im->arena, "key-%.8s", k->sha256);
    struct slice name = base;
    for (unsigned i = 2; is_taken(im, name); i++)
        name = arena_printf(&im->arena, "%.*s-%u", SLICE_ARG(base), i);
    return name;
}

/* The digest; old versions kept secrets as they are. */
static bool read_token(struct import_key *k, struct slice token)
{
    uint8_t digest[SHA256_BYTES];
    bool plain = slice_starts(token, SLICE("sk-"));
    if (plain ? !hash_sha256(token, digest) : !hex_decode(token, digest, sizeof digest))
        return false;
    hex_encode(digest, sizeof digest, k->sha256);
    return true;
}

/* What a key may ask for. */
struct models {
    struct import *im;
    size_t line, n, unknown;
    struct json_writer w;
};

/* Does the pattern `item` fit anything that the new configuration offers? */
static bool is_offered(const struct import *im, struct slice item)
{
    bool wild = item.n > 0 && item.p[item.n - 1] == '*';
    struct slice prefix = slice_of(item.p, item.n - wild);
    for (const struct import_model *m = im->models; m != NULL; m = m->next) {
        bool there = m->targets != NULL || m->same_as.n > 0;
        if (there && (wild ? slice_starts(m->name, prefix) : slice_eq(m->name, item)))
            return true;
    }
    for (const struct import_name *e = im->exposed; e != NULL; e = e->next) {
        struct slice offered = slice_of(e->text.p, e->text.n > 0 ? e->text.n - 1 : 0);
        if (slice_starts(item, offered) || (wild && slice_starts(offered, prefix)))
            return true;
    }
    return false;
}

static void put_model(void *ctx, struct slice item)
{
    struct models *m = ctx;
    if (slice_is(item, "all-team-models") || slice_is(item, "all-proxy-models"))
        return; /* no list of its own means just that */
    if (!is_offered(m->im, item)) {
        import_note(m->im, m->line, "`models`: there is no model `%.*s`", SLICE_ARG(item));
        m->unknown++;
        return;
    }
    if (m->n++ == 0) {
        jw_key(&m->w, "models");
        jw_open(&m->w, '[');
    }
    jw_string(&m->w, item);
}

/* "30d", "1mo", ... in seconds; 0: none of these. */
static int64_t duration_s(struct slice text)
{
    static const struct {
        const char *unit;
        int64_t s;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", DAY}, {"w", 7 * DAY}, {"mo", 30 * DAY}};
    size_t digits = 0;
    uint64_t n;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    if (!slice_to_u64(slice_of(text.p, digits), &n) || n > 100000)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_is(slice_from(text, digits), units[i].unit))
            return (int64_t)n * units[i].s;
    }
    return 0;
}

/* The calendar period for a budget: the same one, else the next longer, which admits no more. */
static const char *period_of(struct import *im, size_t line, struct slice text)
{
    static const struct {
        const char *name;
        int64_t from_s, to_s;
    } periods[] = {{"hour", 3600, 3600},
                   {"day", DAY, DAY},
                   {"week", 7 * DAY, 7 * DAY},
                   {"month", 28 * DAY, 31 * DAY}};
    int64_t s = duration_s(text);
    for (size_t i = 0; s > 0 && i < ARRAY_LEN(periods); i++) {
        if (s > periods[i].to_s)
            continue;
        if (s < periods[i].from_s)
            import_note(im, line, "`budget_duration` %.*s: taken as one for each %s",
                        SLICE_ARG(text), periods[i].name);
        return periods[i].name;
    }
    import_note(im, line, "`max_budget` %s: taken as one for each month",
                s == 0 ? "without an end" : "for more than a month");
    return "month";
}

static bool is_money(struct slice s)
{
    bool digit = false;
    unsigned dots = 0;
    for (size_t i = 0; i < s.n; i++) {
        digit = digit || (s.p[i] >= '0' && s.p[i] <= '9');
        dots += s.p[i] == '.';
        if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
            return false;
    }
    return digit && dots <= 1 && s.n < 20;
}

static void put_budget(struct import *im, const struct table_row *row, struct json_writer *w)
{
    struct slice most = row->value[COL_MAX_BUDGET];
    if (most.n == 0)
        return;
    if (!is_money(most)) {
        import_note(im, row->line, "`max_budget`: %.*s is no sum", SLICE_ARG(most));
        return;
    }
    const char *period = period_of(im, row->line, row->value[COL_BUDGET_DURATION]);
    jw_key(w, "budget");
    jw_open(w, '{');
    jw_key_slice(w, slice_str(period));
    jw_string(w, most);
    jw_close(w, '}');
}

static void put_limits(struct import *im, const struct table_row *row, struct json_writer *w)
{
    static const struct {
        enum column column;
        const char *name;
    } limits[] = {{COL_RPM, "requests_per_minute"},
                  {COL_TPM, "tokens_per_minute"},
                  {COL_PARALLEL, "concurrency"}};
    struct buf text;
    buf_init(&text, 4096);
    struct json_writer inner = json_writer(&text);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct slice rest = row->value[limits[i].column], whole = slice_cut(&rest, '.');
        uint64_t n;
        if (row->value[limits[i].column].n == 0)
            continue;
        if (!slice_to_u64(whole, &n) || n > INT64_MAX) {
            import_note(im, row->line, "`%s`: %.*s is no limit", columns[limits[i].column],
                        SLICE_ARG(row->value[limits[i].column]));
            continue;
        }
        jw_key_slice(&inner, slice_str(limits[i].name));
        jw_i64(&inner, (int64_t)n);
    }
    put_budget(im, row, &inner);
    if (text.n > 0) {
        jw_key(w, "limits");
        jw_open(w, '{');
        jw_raw(w, buf_view(&text));
        jw_close(w, '}');
    }
    buf_done(&text);
}

/* "2026-05-01 12:00:00.123+00" as RFC 3339. LiteLLM's times are UTC. False: it is no such time. */
static bool read_expiry(struct import *im, struct slice text, struct slice *ret)
{
    static const char shape[] = "dddd-dd-ddtdd:dd:dd";
    const size_t n = sizeof shape - 1;
    if (text.n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text.p[i];
        bool fits = shape[i] == 'd'   ? c >= '0' && c <= '9'
                    : shape[i] == 't' ? c == ' ' || c == 'T'
                                      : c == shape[i];
        if (!fits)
            return false;
    }
    struct slice rest = slice_from(text, n);
    if (rest.n > 0 && rest.p[0] == '.') {
        size_t digits = 1;
        while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9')
            digits++;
        rest = slice_from(rest, digits);
    }
    if (rest.n > 0 && !slice_is(rest, "Z") && !slice_is(rest, "+00") && !slice_is(rest, "+00:00") &&
        !slice_is(rest, "+0000"))
        return false;
    *ret = arena_printf(&im->arena, "%.10sT%.8sZ", text.p, text.p + 11);
    return true;
}

static void name_the_rest(struct import *im, const struct table_row *row)
{
    for (size_t i = COLS_USED; i < ARRAY_LEN(columns); i++) {
        if (!is_nothing(row->value[i]))
            import_note(im, row->line, "`%s` has no counterpart", columns[i]);
    }
}

static void read_rights(struct import *im, const struct table_row *row, struct import_key *k)
{
    struct buf text;
    buf_init(&text, (size_t)64 << 10);
    struct models models = {.im = im, .line = row->line, .w = json_writer(&text)};
    struct slice list = row->value[COL_MODELS];
    if (!is_nothing(list) && !table_list(im, list, put_model, &models)) {
        import_note(im, row->line, "`models`: %.*s is no list: key `%.*s` is disabled",
                    SLICE_ARG(list), SLICE_ARG(k->name));
        k->disabled = true;
    }
    if (models.n > 0)
        jw_close(&models.w, ']');
    if (models.n == 0 && models.unknown > 0) { /* no list would mean all models */
        import_note(im, row->line, "key `%.*s` is disabled: no model is left that it may ask for",
                    SLICE_ARG(k->name));
        k->disabled = true;
    }
    struct json_writer *w = &models.w;
    put_limits(im, row, w);
    if (k->team.n > 0)
        jw_field_string(w, "team", k->team);
    k->rights = import_copy(im, buf_view(&text));
    buf_done(&text);
}

static void read_row(struct import *im, const struct table_row *row)
{
    const struct slice *v = row->value;
    struct import_key *k = import_new(im, sizeof *k);
    k->line = row->line;
    if (!read_token(k, v[COL_TOKEN])) {
        import_note(im, row->line, "`token` is no SHA-256: this key is left out");
        return;
    }
    for (const struct import_key *other = im->keys; other != NULL; other = other->next) {
        if (strcmp(other->sha256, k->sha256) == 0) {
            import_note(im, row->line, "the same key as in line %zu", other->line);
            return;
        }
    }
    k->name = unique_name(im, k, v[COL_KEY_ALIAS].n > 0 ? v[COL_KEY_ALIAS] : v[COL_KEY_NAME]);
    k->hint = v[COL_KEY_NAME].n <= 32 ? v[COL_KEY_NAME] : SLICE_NONE;
    if (v[COL_USER].n > 0)
        k->note = arena_printf(&im->arena, "of LiteLLM's user %.*s", SLICE_ARG(v[COL_USER]));
    k->team = make_name(im, v[COL_TEAM]);
    k->disabled = slice_is(v[COL_BLOCKED], "true") || slice_is(v[COL_BLOCKED], "t");
    if (v[COL_EXPIRES].n > 0 && !read_expiry(im, v[COL_EXPIRES], &k->expires)) {
        import_note(im, row->line, "`expires`: %.*s is no time in UTC: this key is disabled",
                    SLICE_ARG(v[COL_EXPIRES]));
        k->disabled = true;
    }
    read_rights(im, row, k);
    name_the_rest(im, row);
    import_append(&im->keys, k);
}

bool import_litellm_keys(struct import *im, struct slice text)
{
    size_t rows;
    bool ok = table_read(im, text, columns, ARRAY_LEN(columns), read_row, &rows);
    if (ok && rows == 0)
        fprintf(stderr, "%s: there are no rows in it\n", im->file);
    return ok;
}
