/* Dumps of database tables. */
#include "import_table.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"

#define CSV_FIELDS_MAX 256

/* What all readers share. */
struct reading {
    struct import *im;
    const char *const *columns;
    size_t columns_n;
    void (*fn)(struct import *im, const struct table_row *);
    size_t rows;
};

static size_t lines_before(struct slice text, size_t at)
{
    size_t n = 1;
    for (size_t i = 0; i < at; i++)
        n += text.p[i] == '\n';
    return n;
}

static int column_of(const struct reading *r, struct slice name)
{
    for (size_t i = 0; i < r->columns_n; i++) {
        if (slice_is(name, r->columns[i]))
            return (int)i;
    }
    return -1;
}

static void object_row(struct reading *r, const struct json_doc *d, uint32_t node, size_t line)
{
    struct table_row row = {.line = line};
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i + 1)) {
        int column = column_of(r, json_inner(d, i));
        enum json_type type = json_type_at(d, i + 1);
        if (column < 0 || type == JSON_NULL)
            continue;
        row.value[column] = type == JSON_STRING ? json_string(d, i + 1, &r->im->arena)
                                                : import_copy(r->im, json_raw(d, i + 1));
    }
    r->rows++;
    r->fn(r->im, &row);
}

/* An array of objects, or the object that LiteLLM's API answers with: {"keys": [...]}. */
static bool read_json(struct reading *r, struct slice text)
{
    struct json_parser *parser = mem_must(json_parser_new());
    struct json_doc d;
    enum json_error e = json_parse(parser, text, 0, &d);
    uint32_t list = 0;
    bool ok = e == JSON_OK;
    if (!ok)
        fprintf(stderr, "%s:%zu: %s\n", r->im->file, lines_before(text, d.error_at),
                json_error_text(e));
    if (ok && json_type_at(&d, 0) == JSON_OBJECT) {
        list = json_get(&d, 0, SLICE("keys"));
        ok = list != 0;
    }
    ok = ok && json_type_at(&d, list) == JSON_ARRAY;
    size_t line = 1, seen = 0;
    for (uint32_t i = ok ? json_first(&d, list) : 0; ok && i < json_end(&d, list);
         i = json_after(&d, i)) {
        for (; seen < d.nodes[i].off; seen++)
            line += text.p[seen] == '\n';
        ok = json_type_at(&d, i) == JSON_OBJECT;
        if (ok)
            object_row(r, &d, i, line);
    }
    if (!ok && e == JSON_OK)
        fprintf(stderr, "%s: this is no list of rows\n", r->im->file);
    json_parser_free(parser);
    return ok;
}

static bool read_lines(struct reading *r, struct slice text)
{
    struct json_parser *parser = mem_must(json_parser_new());
    struct json_doc d;
    bool ok = true;
    for (size_t line = 1; text.n > 0 && ok; line++) {
        struct slice one = slice_trim(slice_cut(&text, '\n'));
        if (one.n > 0 && one.p[one.n - 1] == '\r')
            one.n--;
        if (one.n == 0)
            continue;
        enum json_error e = json_parse(parser, one, 0, &d);
        ok = e == JSON_OK && json_type_at(&d, 0) == JSON_OBJECT;
        if (ok)
            object_row(r, &d, 0, line);
        else
            fprintf(stderr, "%s:%zu: %s\n", r->im->file, line,
                    e != JSON_OK ? json_error_text(e) : "this is no row");
    }
    json_parser_free(parser);
    return ok;
}

/* One field of RFC 4180 from the front of `*text`, in `out`; `*ret_last` says that the record ends
 * behind it. False: a quote is never closed. */
static bool csv_field(struct slice *text, size_t *line, struct buf *out, bool *ret_last)
{
    bool quoted = text->n > 0 && text->p[0] == '"', open = quoted;
    size_t i = quoted;
    buf_reset(out);
    for (; i < text->n; i++) {
        char c = text->p[i];
        bool twice = open && c == '"' && i + 1 < text->n && text->p[i + 1] == '"';
        if (open && c == '\n')
            ++*line;
        if (twice)
            i++;
        else if (open && c == '"') {
            open = false;
            continue;
        } else if (!open && (c == ',' || c == '\n'))
            break;
        if (open || c != '\r')
            buf_char(out, c);
    }
    *ret_last = i >= text->n || text->p[i] == '\n';
    *line += i < text->n && text->p[i] == '\n';
    *text = slice_from(*text, i + 1);
    return !open && !out->failed;
}

/* The first line: which of its fields is which column; returns how many there are, 0: none known.
 */
static size_t csv_head(struct reading *r, struct slice *text, size_t *line, struct buf *field,
                       int column[CSV_FIELDS_MAX])
{
    size_t n = 0;
    bool last = false, known = false;
    while (!last && n < CSV_FIELDS_MAX && csv_field(text, line, field, &last)) {
        column[n] = column_of(r, slice_trim(buf_view(field)));
        known = known || column[n] >= 0;
        n++;
    }
    return last && known ? n : 0;
}

/* One record. False: it is broken, which standard error says. */
static bool csv_row(struct reading *r, struct slice *text, size_t *line, struct buf *field,
                    const int *column, size_t columns)
{
    struct table_row row = {.line = *line};
    bool last = false;
    size_t i = 0;
    for (; !last; i++) {
        if (!csv_field(text, line, field, &last)) {
            fprintf(stderr, "%s:%zu: a quote is not closed\n", r->im->file, row.line);
            return false;
        }
        struct slice s = buf_view(field);
        if (i < columns && column[i] >= 0 && !slice_is(s, "\\N") && !slice_is(s, "NULL"))
            row.value[column[i]] = import_copy(r->im, s);
    }
    if (i == 1 && columns > 1 && field->n == 0)
        return true; /* an empty line */
    if (i != columns) {
        fprintf(stderr, "%s:%zu: %zu fields where the first line has %zu\n", r->im->file, row.line,
                i, columns);
        return false;
    }
    r->rows++;
    r->fn(r->im, &row);
    return true;
}

static bool read_csv(struct reading *r, struct slice text)
{
    int column[CSV_FIELDS_MAX];
    size_t line = 1;
    struct buf field;
    buf_init(&field, text.n + 1);
    size_t columns = csv_head(r, &text, &line, &field, column);
    bool ok = columns > 0;
    if (!ok)
        fprintf(stderr,
                "%s: this is neither JSON nor CSV with the columns' names in its first line\n",
                r->im->file);
    while (ok && text.n > 0)
        ok = csv_row(r, &text, &line, &field, column, columns);
    buf_done(&field);
    return ok;
}

bool table_read(struct import *im, struct slice text, const char *const *columns, size_t columns_n,
                void (*fn)(struct import *im, const struct table_row *), size_t *ret_rows)
{
    struct reading r = {.im = im, .columns = columns, .columns_n = columns_n, .fn = fn};
    ASSERT(columns_n <= TABLE_COLUMNS_MAX);
    if (slice_starts(text, SLICE("\xEF\xBB\xBF")))
        text = slice_from(text, 3);
    size_t at = 0;
    while (at < text.n && strchr(" \t\r\n", text.p[at]) != NULL)
        at++;
    char first = at < text.n ? text.p[at] : '\0';
    struct slice line = slice_from(text, at), one = slice_cut(&line, '\n');
    bool ok;
    /* An object that ends in its line is one of many. */
    if (first == '{' && slice_trim(one).n > 0 && memmem(one.p, one.n, "\"token\"", 7) != NULL &&
        memmem(one.p, one.n, "\"keys\"", 6) == NULL)
        ok = read_lines(&r, text);
    else if (first == '[' || first == '{')
        ok = read_json(&r, text);
    else
        ok = read_csv(&r, text);
    *ret_rows = r.rows;
    return ok;
}

/* {a,"b c",NULL}: the items of a PostgreSQL array (postgresql.org/docs/current/arrays.html). */
static bool array_items(struct import *im, struct slice text,
                        void (*fn)(void *ctx, struct slice item), void *ctx)
{
    char *out = arena_alloc(&im->arena, text.n + 1);
    size_t n = 0;
    bool quoted = false, was_quoted = false, any = false;
    if (out == NULL || text.n < 2 || text.p[text.n - 1] != '}')
        return false;
    for (size_t i = 1; i < text.n; i++) {
        char c = text.p[i];
        if (quoted && c == '\\' && i + 2 < text.n) {
            out[n++] = text.p[++i];
        } else if (c == '"') {
            quoted = !quoted;
            was_quoted = true;
        } else if (!quoted && (c == ',' || c == '}')) {
            struct slice item = slice_of(out, n);
            if (n > 0 && (was_quoted || !slice_is(item, "NULL"))) {
                fn(ctx, import_copy(im, item));
                any = true;
            }
            n = 0;
            was_quoted = false;
        } else {
            out[n++] = c;
        }
    }
    return !quoted && (any || text.n == 2);
}

bool table_list(struct import *im, struct slice text, void (*fn)(void *ctx, struct slice item),
                void *ctx)
{
    if (text.n > 0 && text.p[0] == '{')
        return array_items(im, text, fn, ctx);
    struct json_parser *parser = mem_must(json_parser_new());
    struct json_doc d;
    bool ok = json_parse(parser, text, 0, &d) == JSON_OK && json_type_at(&d, 0) == JSON_ARRAY;
    for (uint32_t i = ok ? json_first(&d, 0) : 0; ok && i < json_end(&d, 0);
         i = json_after(&d, i)) {
        ok = json_type_at(&d, i) == JSON_STRING;
        if (ok)
            fn(ctx, json_string(&d, i, &im->arena));
    }
    json_parser_free(parser);
    return ok;
}
