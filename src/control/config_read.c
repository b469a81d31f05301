/* From the tree to the config's fields, driven by the rows. */
#include "config_read.h"

/* A walk that passes aliases counts what it visits: a small tree can be a long walk. */
#define VISITS_MAX ((size_t)2 * YAML_TREE_MAX_VALUES)

/* A field that was named. */
struct config_given {
    struct config_given *next;
    const void *field;
    struct config_pos pos;
    struct slice shown; /* as it is written in the file */
    bool bad;
};

static enum value_state read_section(struct config_reader *r, const struct config_section *sec,
                                     void *base, const struct ynode *node,
                                     const struct config_row *in);

static size_t bucket_of(const void *field)
{
    return (uintptr_t)field / sizeof(int64_t) % CONFIG_GIVEN_BUCKETS;
}

static const struct config_given *given_find(const struct config_reader *r, const void *field)
{
    const struct config_given *g = r->given[bucket_of(field)];
    while (g != NULL && g->field != field)
        g = g->next;
    return g;
}

static void given_add(struct config_reader *r, const void *field, const struct ynode *node,
                      bool bad)
{
    if (node->pos.line == 0 && node->pos.column == 0) /* a default */
        return;
    struct config_given *g = arena_new(&r->scratch, struct config_given);
    if (g == NULL) {
        diag_no_memory(&r->diag);
        return;
    }
    struct config_given **bucket = &r->given[bucket_of(field)];
    *g = (struct config_given){
        .next = *bucket, .field = field, .pos = node->pos, .shown = node->text, .bad = bad};
    *bucket = g;
}

bool reader_is_given(const struct config_reader *r, const void *field)
{
    return given_find(r, field) != NULL;
}

struct config_pos reader_where(const struct config_reader *r, const void *field)
{
    const struct config_given *g = given_find(r, field);
    return g != NULL ? g->pos : (struct config_pos){0, 0};
}

const char *reader_quote(struct config_reader *r, const struct slice *field)
{
    const struct config_given *g = given_find(r, field);
    return diag_quote(&r->diag, g != NULL ? g->shown : *field);
}

bool reader_is_bad(const struct config_reader *r, const void *field)
{
    const struct config_given *g = given_find(r, field);
    return g != NULL && g->bad;
}

const char *reader_getenv(const struct config_reader *r, const char *name)
{
    return r->o->env != NULL ? r->o->env(name) : NULL;
}

/* Counts a visit; false: too many, which is said once. */
static bool visit(struct config_reader *r, const struct ynode *node)
{
    if (++r->visits == VISITS_MAX)
        diag_error(&r->diag, node->pos, "too many values behind aliases");
    return r->visits < VISITS_MAX;
}

static void *zalloc(struct config_reader *r, size_t n, size_t size)
{
    size_t bytes;
    void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_zalloc(&r->c->arena, bytes);
    if (p == NULL)
        diag_no_memory(&r->diag);
    return p;
}

static bool count_fits(struct config_reader *r, const struct config_row *row,
                       const struct ynode *node)
{
    if (row->max == 0 || node->n <= (size_t)row->max)
        return true;
    diag_error(&r->diag, node->pos, "`%s`: more than %d entries", row->key, (int)row->max);
    return false;
}

/* A list's entries; one that may stand alone counts as a list of one. False: reported. */
static bool list_of(struct config_reader *r, const struct config_row *row, const struct ynode *node,
                    struct ypair *one, const struct ypair **ret_first, size_t *ret_n)
{
    *ret_first = node->first;
    *ret_n = node->n;
    if (node->broken)
        return false;
    if (node->kind == YNODE_LIST)
        return count_fits(r, row, node);
    if (ynode_is_null(node)) { /* everything below the key is commented out */
        *ret_n = 0;
        *ret_first = NULL;
        return true;
    }
    if (!(row->flags & ROW_ONE) || (row->type != ROW_SECTIONS && node->kind == YNODE_MAP)) {
        value_report_kind(r, row, node, "a list");
        return false;
    }
    *one = (struct ypair){.value = (struct ynode *)node};
    *ret_first = one;
    *ret_n = 1;
    return true;
}

static enum value_state read_texts(struct config_reader *r, const struct config_row *row,
                                   struct config_list *list, const struct ynode *node)
{
    const struct ypair *pair;
    struct ypair one;
    size_t n;
    enum value_state state = VALUE_OK;
    if (!list_of(r, row, node, &one, &pair, &n))
        return VALUE_BAD;
    *list = (struct config_list){.item = zalloc(r, n, sizeof(struct slice)),
                                 .pos = zalloc(r, n, sizeof(struct config_pos))};
    if (list->item == NULL || list->pos == NULL)
        return VALUE_BAD;
    for (; pair != NULL && visit(r, pair->value); pair = pair->next) {
        enum value_state item = value_text(r, row, pair->value, &list->item[list->n]);
        if (item == VALUE_BAD)
            state = VALUE_BAD;
        if (item != VALUE_OK)
            continue;
        given_add(r, &list->item[list->n], pair->value, false);
        list->pos[list->n++] = pair->value->pos;
    }
    return state;
}

static bool map_of(struct config_reader *r, const struct config_row *row, const struct ynode *node)
{
    if (node->broken)
        return false;
    if (node->kind == YNODE_MAP || ynode_is_null(node))
        return count_fits(r, row, node);
    value_report_kind(r, row, node, "a map");
    return false;
}

static bool name_fits(struct config_reader *r, const struct config_row *row,
                      const struct ynode *key, const char *(*check)(struct slice))
{
    const char *wrong = check != NULL ? check(key->text) : NULL;
    if (wrong != NULL)
        diag_error(&r->diag, key->pos, "`%s`: %s %s", row->key, diag_quote(&r->diag, key->text),
                   wrong);
    return wrong == NULL;
}

static enum value_state read_pairs(struct config_reader *r, const struct config_row *row,
                                   struct config_map *map, const struct ynode *node)
{
    enum value_state state = VALUE_OK;
    if (!map_of(r, row, node))
        return VALUE_BAD;
    *map = (struct config_map){.key = zalloc(r, node->n, sizeof(struct slice)),
                               .value = zalloc(r, node->n, sizeof(struct slice)),
                               .pos = zalloc(r, node->n, sizeof(struct config_pos))};
    if (map->key == NULL || map->value == NULL || map->pos == NULL)
        return VALUE_BAD;
    for (struct ypair *pair = node->first; pair != NULL && visit(r, pair->value);
         pair = pair->next) {
        if (pair->key->broken)
            continue;
        bool named = name_fits(r, row, pair->key, row->check);
        enum value_state item = value_text(r, row, pair->value, &map->value[map->n]);
        if (item == VALUE_BAD || !named) {
            state = VALUE_BAD;
            continue;
        }
        if (item == VALUE_ABSENT)
            continue;
        map->key[map->n] = arena_copy(&r->c->arena, pair->key->text);
        if (map->key[map->n].p == NULL)
            diag_no_memory(&r->diag);
        map->pos[map->n++] = pair->key->pos;
    }
    return state;
}

/* Enters the position of a section's struct. */
static void set_pos(const struct config_section *sec, void *base, struct config_pos pos)
{
    if (sec->pos_at != ROW_NOWHERE)
        memcpy((char *)base + sec->pos_at, &pos, sizeof pos);
}

static enum value_state read_array(struct config_reader *r, const struct config_row *row,
                                   void *base, const struct ypair *pair, size_t n)
{
    const struct config_section *sec = row->section;
    size_t count = 0;
    char *array = zalloc(r, n, sec->size);
    if (array == NULL)
        return VALUE_BAD;
    for (; pair != NULL && visit(r, pair->value); pair = pair->next) {
        char *entry = array + count * sec->size;
        if (pair->value->broken || (pair->key != NULL && pair->key->broken))
            continue;
        set_pos(sec, entry, pair->key != NULL ? pair->key->pos : pair->value->pos);
        if (pair->key != NULL) {
            struct slice name = arena_copy(&r->c->arena, pair->key->text);
            name_fits(r, row, pair->key, sec->check_name);
            memcpy(entry + sec->name_at, &name, sizeof name);
            if (name.p == NULL)
                diag_no_memory(&r->diag);
        }
        if (read_section(r, sec, entry, pair->value, row) != VALUE_ABSENT)
            count++;
    }
    memcpy((char *)base + row->at, &array, sizeof array);
    memcpy((char *)base + row->n_at, &count, sizeof count);
    return n > 0 && count == 0 ? VALUE_ABSENT : VALUE_OK;
}

/* Reads the value of a row, but does not note that it was given. */
static enum value_state read_value(struct config_reader *r, const struct config_row *row,
                                   void *base, const struct ynode *node)
{
    void *field = config_row_field(row, base);
    const struct ypair *first;
    struct ypair one;
    size_t n;
    switch (row->type) {
    case ROW_TEXTS:
    case ROW_SECRETS: return read_texts(r, row, field, node);
    case ROW_PAIRS: return read_pairs(r, row, field, node);
    case ROW_SECTION:
        if (node->broken)
            return VALUE_BAD;
        return read_section(r, row->section, field, node, row);
    case ROW_NAMED:
        return map_of(r, row, node) ? read_array(r, row, base, node->first, node->n) : VALUE_BAD;
    case ROW_SECTIONS:
        if (!list_of(r, row, node, &one, &first, &n))
            return VALUE_BAD;
        return read_array(r, row, base, first, n);
    default: return value_read(r, row, node, field);
    }
}

static enum value_state read_row(struct config_reader *r, const struct config_row *row, void *base,
                                 const struct ynode *node)
{
    if (!visit(r, node))
        return VALUE_BAD;
    enum value_state state = read_value(r, row, base, node);
    if (row->at != ROW_NOWHERE && state != VALUE_ABSENT)
        given_add(r, config_row_field(row, base), node, state == VALUE_BAD);
    return state;
}

/* A default as the file would have it: a text, or a list of texts between brackets. */
static struct ynode *default_node(struct config_reader *r, const struct config_row *row,
                                  const char *text, struct config_pos pos)
{
    struct slice rest = slice_str(text);
    if (row->type != ROW_TEXTS || rest.n == 0 || rest.p[0] != '[')
        return ynode_literal(&r->scratch, rest, pos);
    struct ynode *list = ynode_new(&r->scratch, YNODE_LIST, pos);
    rest = slice_of(rest.p + 1, rest.n - 2);
    while (rest.n > 0 && list != NULL) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        if (!ynode_add(&r->scratch, list, SLICE(""), ynode_literal(&r->scratch, item, pos)))
            return NULL;
    }
    return list;
}

/* Writes the -1 of a number or a word that is not there. */
static void set_absent(const struct config_row *row, void *base)
{
    const int64_t number = -1;
    const int word = -1;
    if (row->type == ROW_WORD)
        memcpy(config_row_field(row, base), &word, sizeof word);
    else
        memcpy(config_row_field(row, base), &number, sizeof number);
}

/* A row that the file leaves out: its variable, else its default. */
static void default_row(struct config_reader *r, const struct config_row *row, void *base,
                        bool inherit)
{
    const char *env = row->env != NULL ? reader_getenv(r, row->env) : NULL;
    struct config_pos pos = {0, 0};
    if (inherit || (row->flags & ROW_OPTIONAL)) {
        set_absent(row, base);
        return;
    }
    if (row->flags & ROW_STANDARD) {
        memcpy(config_row_field(row, base), &row->standard, sizeof row->standard);
        return;
    }
    if (env != NULL && env[0] != '\0')
        pos = diag_variable(&r->diag, row->env);
    const char *text = pos.column > 0 ? env : row->fallback;
    if (text != NULL) {
        struct ynode *node = default_node(r, row, text, pos);
        if (node == NULL)
            diag_no_memory(&r->diag);
        else
            read_row(r, row, base, node);
        return;
    }
    if (row->type != ROW_SECTION)
        return;
    for (size_t i = 0; i < row->section->rows_n; i++)
        default_row(r, &row->section->rows[i], config_row_field(row, base),
                    row->flags & ROW_INHERIT);
}

/* " (did you mean `x`?)", or what keys there are. */
static const char *keys_text(struct config_reader *r, const struct config_section *sec,
                             struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    struct slice list = SLICE_NONE;
    for (size_t i = 0; i < sec->rows_n; i++)
        diag_hint_offer(&hint, slice_str(sec->rows[i].key));
    if (hint.best.p != NULL)
        return diag_hint_text(&r->diag, &hint);
    for (size_t i = 0; i < sec->rows_n; i++) {
        list =
            arena_printf(&r->scratch, "%s%s%s", i > 0 ? list.p : " (known here: ", sec->rows[i].key,
                         i + 1 < sec->rows_n ? ", " : ")");
        if (list.p == NULL) {
            diag_no_memory(&r->diag);
            return "";
        }
    }
    return list.p;
}

/* Reads the entries of a map; returns which rows were named, one bit each. */
static uint64_t read_entries(struct config_reader *r, const struct config_section *sec, void *base,
                             const struct ynode *node)
{
    uint64_t named = 0;
    for (struct ypair *pair = node->first; pair != NULL; pair = pair->next) {
        const struct config_row *row = config_row_find(sec, pair->key->text);
        if (pair->key->broken)
            continue;
        if (row == NULL) {
            diag_error(&r->diag, pair->key->pos, "unknown key %s%s",
                       diag_quote(&r->diag, pair->key->text), keys_text(r, sec, pair->key->text));
            continue;
        }
        if (read_row(r, row, base, pair->value) != VALUE_ABSENT)
            named |= UINT64_C(1) << (row - sec->rows);
    }
    return named;
}

/* Reports the keys that a section needs and that neither it nor a variable names. */
static void check_required(struct config_reader *r, const struct config_section *sec,
                           uint64_t named, struct config_pos pos)
{
    for (size_t i = 0; i < sec->rows_n; i++) {
        const struct config_row *row = &sec->rows[i];
        if (!(named & UINT64_C(1) << i) && (row->flags & ROW_REQUIRED))
            diag_error(&r->diag, pos, "missing key `%s`", row->key);
    }
}

/* Reads a section into its struct at `base`; `in` is the row that holds it (NULL: the root).
 * VALUE_ABSENT: it was a single text, and that came to nothing. */
static enum value_state read_section(struct config_reader *r, const struct config_section *sec,
                                     void *base, const struct ynode *node,
                                     const struct config_row *in)
{
    enum value_state state = VALUE_OK;
    struct config_pos pos = node->pos;
    uint64_t named = 0;
    ASSERT(sec->rows_n <= 64);
    if (in != NULL && in->type == ROW_NAMED)
        memcpy(&pos, (char *)base + sec->pos_at, sizeof pos);
    else
        set_pos(sec, base, pos);
    if (node->kind == YNODE_MAP || ynode_is_null(node)) {
        named = read_entries(r, sec, base, node);
        check_required(r, sec, named, pos);
    } else if (sec->shorthand != NULL && node->kind == YNODE_TEXT) {
        const struct config_row *row = config_row_find(sec, slice_str(sec->shorthand));
        state = read_row(r, row, base, node);
        named = UINT64_C(1) << (row - sec->rows);
    } else {
        static const struct config_row root = {.key = "the file"};
        value_report_kind(r, in != NULL ? in : &root, node,
                          sec->shorthand != NULL ? "a text or a map" : "a map");
        state = VALUE_BAD;
    }
    for (size_t i = 0; i < sec->rows_n; i++) {
        if (!(named & UINT64_C(1) << i))
            default_row(r, &sec->rows[i], base, in != NULL && (in->flags & ROW_INHERIT));
    }
    return state;
}

/* WEIR_API_KEY makes a key where the file names none. */
static void add_key_from_env(struct config_reader *r, struct ynode *root)
{
    const char *secret = reader_getenv(r, "WEIR_API_KEY");
    const struct ynode *auth = ynode_get(root, "auth");
    if (secret == NULL || secret[0] == '\0' || ynode_get(root, "keys") != NULL ||
        (auth != NULL && slice_is(auth->text, "none")))
        return;
    struct config_pos pos = diag_variable(&r->diag, "WEIR_API_KEY");
    struct ynode *keys = ynode_new(&r->scratch, YNODE_MAP, pos);
    struct ynode *key = ynode_new(&r->scratch, YNODE_MAP, pos);
    struct ynode *text = ynode_literal(&r->scratch, slice_str(secret), pos);
    if (keys == NULL || key == NULL || !ynode_add(&r->scratch, key, SLICE("secret"), text) ||
        !ynode_add(&r->scratch, keys, SLICE("env"), key) ||
        !ynode_add(&r->scratch, root, SLICE("keys"), keys))
        diag_no_memory(&r->diag);
}

void config_read_root(struct config_reader *r, struct ynode *root)
{
    if (root->kind == YNODE_MAP)
        add_key_from_env(r, root);
    read_section(r, &config_root, r->c, root, NULL);
    config_check_local(r);
    config_check_refs(r);
    config_check_policy(r);
}

bool config_read_section(struct config_reader *r, const struct config_section *sec, void *base,
                         const struct ynode *node)
{
    const struct config_row in = {.key = sec->title, .type = ROW_SECTION};
    return read_section(r, sec, base, node, &in) == VALUE_OK;
}
