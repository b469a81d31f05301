/* Calls to the admin API for commands. */
#include "admin_call.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "terminal.h"

#define PATH_MAX_BYTES ((size_t)4096)
#define CELL_MAX       ((size_t)200)

void admin_call_init(struct admin_call *c, const char *command, size_t body_max)
{
    *c = (struct admin_call){.command = command, .parser = mem_must(json_parser_new())};
    arena_init(&c->arena, NULL, ADMIN_ANSWER_MAX);
    buf_init(&c->path, PATH_MAX_BYTES);
    buf_init(&c->body, body_max);
    buf_init(&c->answer, ADMIN_ANSWER_MAX);
}

void admin_call_done(struct admin_call *c)
{
    if (c->answer.p != NULL)
        mem_wipe(c->answer.p, c->answer.n); /* it may tell a secret */
    buf_done(&c->path);
    buf_done(&c->body);
    buf_done(&c->answer);
    arena_wipe(&c->arena);
    json_parser_free(c->parser);
}

struct option_row admin_call_json_row(struct admin_call *c)
{
    return (struct option_row){"--json", "print the gateway's answer as it is", NULL, &c->json};
}

struct option_row admin_call_data_row(struct admin_call *c)
{
    return (struct option_row){"--data", "folder of the running gateway", &c->data, NULL};
}

void admin_call_escape(struct admin_call *c, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool plain = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= 'a' && ch <= 'z') || (ch != '\0' && strchr("-._~", ch) != NULL);
        if (plain)
            buf_char(&c->path, (char)ch);
        else
            buf_printf(&c->path, "%%%02X", ch);
    }
}

bool admin_call_run(struct admin_call *c, const char *method)
{
    int status = 0;
    buf_char(&c->path, '\0');
    if (c->path.failed || c->body.failed) {
        fprintf(stderr, "weir %s: that is too long\n", c->command);
        return false;
    }
    buf_reset(&c->answer);
    if (!admin_socket_call(c->command, c->data, method, c->path.p, buf_view(&c->body), &c->answer,
                           &status))
        return false;
    if (status < 200 || status >= 300) {
        admin_socket_error(c->command, status, buf_view(&c->answer));
        return false;
    }
    if (json_parse(c->parser, buf_view(&c->answer), 0, &c->doc) == JSON_OK &&
        json_type_at(&c->doc, 0) == JSON_OBJECT)
        return true;
    fprintf(stderr, "weir %s: the gateway's answer makes no sense\n", c->command);
    return false;
}

void admin_call_cell(struct admin_call *c, uint32_t node, struct buf *out)
{
    struct slice text = json_raw(&c->doc, node);
    if (json_type_at(&c->doc, node) == JSON_STRING)
        text = json_string(&c->doc, node, &c->arena);
    terminal_text_line(out, text, CELL_MAX);
}

struct slice admin_call_text(struct admin_call *c, uint32_t node, const char *key)
{
    struct buf text;
    uint32_t v = json_get(&c->doc, node, slice_str(key));
    if (v == 0)
        return SLICE_NONE;
    buf_init(&text, 4096);
    admin_call_cell(c, v, &text);
    struct slice copy = arena_copy(&c->arena, buf_view(&text));
    buf_done(&text);
    return copy;
}

int64_t admin_call_number(struct admin_call *c, uint32_t node, const char *key, int64_t other)
{
    uint32_t v = json_get(&c->doc, node, slice_str(key));
    int64_t n = other;
    return v != 0 && json_type_at(&c->doc, v) == JSON_NUMBER && json_i64(&c->doc, v, &n) ? n
                                                                                         : other;
}

uint32_t admin_call_list(struct admin_call *c, uint32_t node, const char *key)
{
    uint32_t v = json_get(&c->doc, node, slice_str(key));
    bool holds = v != 0 && (json_type_at(&c->doc, v) == JSON_ARRAY ||
                            json_type_at(&c->doc, v) == JSON_OBJECT);
    return holds ? v : 0;
}

/* ---- tables */

void grid_add(struct grid *g, struct slice text)
{
    if (g->n == g->size) {
        size_t more = g->size > 0 ? 2 * g->size : 128;
        struct slice *grown = mem_must(mem_calloc(more, sizeof *grown));
        if (g->n > 0)
            memcpy(grown, g->cell, g->n * sizeof *grown);
        mem_free(g->cell);
        g->cell = grown;
        g->size = more;
    }
    g->cell[g->n++] = text.n > 0 ? arena_copy(g->arena, text) : SLICE_NONE;
}

/* Characters of UTF-8, taken for as many columns. */
static size_t width_of(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (s.p[i] & 0xC0) != 0x80;
    return n;
}

static struct slice cell_at(const struct grid *g, size_t row, unsigned column)
{
    return row == 0 ? slice_str(g->titles[column]) : g->cell[(row - 1) * g->columns + column];
}

static void print_row(const struct grid *g, size_t row, const size_t *width)
{
    size_t owed = 0; /* spaces that are only printed before another cell */
    for (unsigned i = 0; i < g->columns; i++) {
        struct slice s = cell_at(g, row, i);
        if (width[i] == 0)
            continue;
        if (s.n > 0) {
            printf("%*s%.*s", (int)owed, "", SLICE_ARG(s));
            owed = 0;
        }
        owed += width[i] - width_of(s) + 2;
    }
    putchar('\n');
}

void grid_print(const struct grid *g)
{
    size_t width[GRID_COLUMNS] = {0}, rows = g->n / g->columns;
    for (unsigned i = 0; i < g->columns; i++) {
        for (size_t r = 1; r <= rows; r++)
            width[i] = MAX_OF(width[i], width_of(cell_at(g, r, i)));
        if (width[i] > 0)
            width[i] = MAX_OF(width[i], strlen(g->titles[i]));
    }
    for (size_t r = 0; r <= rows; r++)
        print_row(g, r, width);
}

void grid_done(struct grid *g)
{
    mem_free(g->cell);
}
