/* The configuration in effect as YAML, by the same rows that read it. */
#include "base/json_write.h"
#include "config_read.h"

static void dump_section(const struct config_section *sec, const void *base, unsigned indent,
                         struct buf *out);

static void pad(struct buf *out, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        buf_char(out, ' ');
}

/* A text between quotes; `${` is written so that it is read as it is. */
static void put_text(struct buf *out, struct slice s)
{
    struct buf escaped;
    buf_init(&escaped, 2 * CONFIG_TEXT_MAX);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '{')
            buf_char(&escaped, '$');
        buf_char(&escaped, s.p[i]);
    }
    out->failed = out->failed || escaped.failed;
    json_put_string(out, buf_view(&escaped));
    buf_done(&escaped);
}

static void put_key(struct buf *out, unsigned indent, const char *key)
{
    pad(out, indent);
    buf_printf(out, "%s: ", key);
}

/* A key whose value stands below it. */
static void put_head(struct buf *out, unsigned indent, const char *key)
{
    pad(out, indent);
    buf_printf(out, "%s:\n", key);
}

static void dump_number(const struct config_row *row, int64_t v, unsigned indent, struct buf *out)
{
    if (v < 0) /* inherited, or not given */
        return;
    if (v == 0 && row->type == ROW_TIME)
        return;
    put_key(out, indent, row->key);
    value_print_number(out, row, row->unit > 1 ? v * row->unit : v);
    buf_char(out, '\n');
}

static void dump_texts(const struct config_row *row, const struct config_list *list,
                       unsigned indent, struct buf *out)
{
    if (list->n == 0 && row->fallback == NULL)
        return;
    put_key(out, indent, row->key);
    buf_char(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            buf_lit(out, ", ");
        if (row->type == ROW_SECRETS)
            buf_lit(out, "\"***\"");
        else
            put_text(out, list->item[i]);
    }
    buf_lit(out, "]\n");
}

static void dump_pairs(const struct config_row *row, const struct config_map *map, unsigned indent,
                       struct buf *out)
{
    if (map->n == 0)
        return;
    put_head(out, indent, row->key);
    for (size_t i = 0; i < map->n; i++) {
        pad(out, indent + 2);
        json_put_string(out, map->key[i]);
        buf_lit(out, ": \"***\"\n");
    }
}

static void dump_array(const struct config_row *row, const void *base, unsigned indent,
                       struct buf *out)
{
    const struct config_section *sec = row->section;
    const char *array;
    size_t n;
    memcpy(&array, (const char *)base + row->at, sizeof array);
    memcpy(&n, (const char *)base + row->n_at, sizeof n);
    if (n == 0)
        return;
    put_head(out, indent, row->key);
    for (size_t i = 0; i < n; i++) {
        const char *entry = array + i * sec->size;
        pad(out, indent + 2);
        if (row->type == ROW_NAMED) {
            struct slice name;
            memcpy(&name, entry + sec->name_at, sizeof name);
            json_put_string(out, name);
            buf_lit(out, ":\n");
        } else {
            buf_lit(out, "-\n");
        }
        dump_section(sec, entry, indent + 4, out);
    }
}

/* Is there a text that the section cannot do without, and that is not there? */
static bool is_absent(const struct config_section *sec, const void *base)
{
    for (size_t i = 0; i < sec->rows_n; i++) {
        const struct config_row *row = &sec->rows[i];
        const struct slice *text = config_row_field_const(row, base);
        if (row->type == ROW_TEXT && (row->flags & ROW_REQUIRED) && text->p == NULL)
            return true;
    }
    return false;
}

static void dump_group(const struct config_row *row, const void *base, unsigned indent,
                       struct buf *out)
{
    size_t before = out->n;
    if (is_absent(row->section, base))
        return;
    put_head(out, indent, row->key);
    size_t head = out->n;
    dump_section(row->section, base, indent + 2, out);
    if (out->n == head) /* nothing in it */
        out->n = before;
}

static void dump_text(const struct config_row *row, const struct slice *text, unsigned indent,
                      struct buf *out)
{
    if (text->p == NULL)
        return;
    put_key(out, indent, row->key);
    if (row->type == ROW_SECRET)
        buf_lit(out, "\"***\"");
    else
        put_text(out, *text);
    buf_char(out, '\n');
}

static void dump_row(const struct config_row *row, const void *base, unsigned indent,
                     struct buf *out)
{
    const void *field = config_row_field_const(row, base);
    unsigned word = 0;
    switch (row->type) {
    case ROW_TEXT:
    case ROW_SECRET: dump_text(row, field, indent, out); break;
    case ROW_BOOL:
        put_key(out, indent, row->key);
        buf_printf(out, "%s\n", *(const bool *)field ? "true" : "false");
        break;
    case ROW_WORD:
        if (field != NULL)
            memcpy(&word, field, sizeof word);
        if (word == (unsigned)-1) /* not given */
            break;
        put_key(out, indent, row->key);
        buf_printf(out, "%s\n", row->words[word]);
        break;
    case ROW_INT:
    case ROW_SIZE:
    case ROW_DURATION:
    case ROW_MONEY:
    case ROW_PERCENT:
    case ROW_TIME: dump_number(row, *(const int64_t *)field, indent, out); break;
    case ROW_TEXTS:
    case ROW_SECRETS: dump_texts(row, field, indent, out); break;
    case ROW_PAIRS: dump_pairs(row, field, indent, out); break;
    case ROW_SECTION: dump_group(row, field, indent, out); break;
    case ROW_NAMED:
    case ROW_SECTIONS: dump_array(row, base, indent, out); break;
    }
}

static void dump_section(const struct config_section *sec, const void *base, unsigned indent,
                         struct buf *out)
{
    for (size_t i = 0; i < sec->rows_n; i++)
        dump_row(&sec->rows[i], base, indent, out);
}

void config_dump(const struct config *c, struct buf *out)
{
    dump_section(&config_root, c, 0, out);
}
