/* The reference documentation of the configuration file, by the rows that read it. */
#include "config_read.h"

#define SECTIONS_MAX 64

struct reference {
    struct buf *out;
    const struct config_section *done[SECTIONS_MAX]; /* each is described once */
    size_t done_n;
};

static const char intro[] =
    "# Configuration\n"
    "\n"
    "Weir reads one YAML file: `--config FILE`, else the first of `./weir.yaml`, "
    "`$XDG_CONFIG_HOME/weir/weir.yaml` (or `~/.config/weir/weir.yaml`) and `/etc/weir/weir.yaml`. "
    "Without a file, the keys of hosted providers in the environment (such as `OPENAI_API_KEY`) "
    "make one provider each, and `WEIR_API_KEY`, `WEIR_LISTEN`, `WEIR_DATA` and "
    "`WEIR_ADMIN_TOKEN` say the rest.\n"
    "\n"
    "The file is strict. An unknown key, a value of the wrong type or out of range, a reference to "
    "nothing and a rule that can never apply are errors; all of them are reported at once, with "
    "file, line, column and the nearest valid name. A file with an error changes nothing.\n"
    "\n"
    "- **Texts** may stand without quotes. `${NAME}` in a value is replaced by that environment "
    "variable, which must be set; `${NAME:-default}` falls back when it is not set or empty; "
    "`$${` is a plain `${`. What comes in is text, never YAML. A value that consists of variables "
    "and comes to nothing counts as not given. Inside `{}` and `[]` such a value needs quotes.\n"
    "- **Secrets** may also be `file:/path`: the content of that file without its last line "
    "break. They are never printed.\n"
    "- **Numbers** and `true`/`false` have no quotes, unless they come from a variable.\n"
    "- **Sizes** are bytes, or `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, "
    "`TiB` (powers of 1024).\n"
    "- **Durations** are `us`, `ms`, `s`, `m`, `h` or `d`: `250ms`, `10s`, `5m`. `0` needs no "
    "unit.\n"
    "- **Dollars** are exact to the billionth: `12`, `12.50` or `$12.50`, with or without quotes.\n"
    "- **Dates** are `2027-01-01` (as that day begins in UTC) or a time with its zone, "
    "`2027-01-01T12:00:00+01:00`.\n"
    "- Anchors and aliases work for whole values; merge keys (`<<`), tags and further documents "
    "are refused. The file may have 4 MiB.\n";

/* GitHub's anchor of a heading: lower-case letters, digits, hyphens. */
static void put_anchor(struct buf *out, const char *title)
{
    for (const char *p = title; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z')
            buf_char(out, (char)(*p | 0x20));
        else if (*p == ' ')
            buf_char(out, '-');
        else if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_')
            buf_char(out, *p);
    }
}

static void put_link(struct buf *out, const struct config_section *sec)
{
    buf_printf(out, "[`%s`](#", sec->title);
    put_anchor(out, sec->title);
    buf_char(out, ')');
}

static void put_range(struct buf *out, const struct config_row *row)
{
    for (int i = 0; i < 2; i++) {
        buf_append(out, i == 0 ? ", " : " to ", i == 0 ? 2 : 4);
        value_print_number(out, row, i == 0 ? row->min : row->max);
    }
}

static void put_type(struct buf *out, const struct config_row *row)
{
    static const char *const names[] = {
        [ROW_TEXT] = "text",
        [ROW_SECRET] = "secret",
        [ROW_BOOL] = "bool",
        [ROW_INT] = "number",
        [ROW_SIZE] = "size",
        [ROW_DURATION] = "duration",
        [ROW_MONEY] = "dollars",
        [ROW_PERCENT] = "percentage",
        [ROW_TIME] = "date or time",
        [ROW_WORD] = "",
        [ROW_TEXTS] = "list of texts",
        [ROW_SECRETS] = "list of secrets",
        [ROW_PAIRS] = "map of name to secret",
        [ROW_SECTION] = "",
        [ROW_NAMED] = "map of ",
        [ROW_SECTIONS] = "list of ",
    };
    buf_printf(out, "%s", names[row->type]);
    bool number = row->type == ROW_INT || row->type == ROW_SIZE || row->type == ROW_DURATION ||
                  row->type == ROW_MONEY || row->type == ROW_PERCENT;
    if (number)
        put_range(out, row);
    for (size_t i = 0; row->type == ROW_WORD && row->words[i] != NULL; i++)
        buf_printf(out, "%s`%s`", i > 0 ? ", " : "", row->words[i]);
    if (row->section != NULL)
        put_link(out, row->section);
}

/* Texts that other layers' tables bring begin with a small letter. */
static void put_sentence(struct buf *out, const char *text)
{
    buf_char(out, (char)(*text >= 'a' && *text <= 'z' ? *text - 0x20 : *text));
    buf_append(out, text + 1, strlen(text) - 1);
}

static void put_row(struct buf *out, const struct config_row *row)
{
    buf_printf(out, "| `%s` | ", row->key);
    put_type(out, row);
    buf_lit(out, " | ");
    if (row->flags & ROW_REQUIRED)
        buf_lit(out, "required");
    if (row->env != NULL)
        buf_printf(out, "`$%s`%s", row->env, row->fallback != NULL ? ", else " : "");
    if (row->fallback != NULL)
        buf_printf(out, "`%s`", row->fallback);
    if (row->flags & ROW_STANDARD) {
        buf_char(out, '`');
        value_print_number(out, row, row->standard);
        buf_char(out, '`');
    }
    buf_lit(out, " | ");
    put_sentence(out, row->help);
    if (row->example != NULL)
        buf_printf(out, " Example: `%s: %s`", row->key, row->example);
    buf_lit(out, " |\n");
}

static bool is_done(const struct reference *ref, const struct config_section *sec)
{
    for (size_t i = 0; i < ref->done_n; i++) {
        if (ref->done[i] == sec)
            return true;
    }
    return false;
}

/* One section, then those inside it. */
static void put_section(struct reference *ref, const struct config_section *sec)
{
    struct buf *out = ref->out;
    ASSERT(ref->done_n < SECTIONS_MAX);
    ref->done[ref->done_n++] = sec;
    if (sec == &config_root)
        buf_printf(out, "\n## %s\n", sec->title);
    else
        buf_printf(out, "\n## `%s`\n", sec->title);
    if (sec->help != NULL)
        buf_printf(out, "\n%s\n", sec->help);
    buf_lit(out, "\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sec->rows_n; i++)
        put_row(out, &sec->rows[i]);
    for (size_t i = 0; i < sec->rows_n; i++) {
        const struct config_section *inner = sec->rows[i].section;
        if (inner != NULL && !is_done(ref, inner))
            put_section(ref, inner);
    }
}

void config_reference(struct buf *out)
{
    struct reference ref = {.out = out};
    buf_append(out, intro, sizeof intro - 1);
    put_section(&ref, &config_root);
}
