/* Single values: from text to what the field of a row holds. */
#include <stdio.h>

#include "base/clock.h"
#include "config_amount.h"
#include "config_read.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"B", 1},
    {"KB", 1000},
    {"kB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", INT64_C(1000000000000)},
    {"KiB", 1024},
    {"MiB", INT64_C(1024) * 1024},
    {"GiB", INT64_C(1024) * 1024 * 1024},
    {"TiB", INT64_C(1024) * 1024 * 1024 * 1024},
};

static const struct unit duration_units[] = {
    {"us", NS_PER_US},    {"ms", NS_PER_MS},      {"s", NS_PER_S},
    {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
};

bool value_parse_size(struct slice s, int64_t *ret)
{
    size_t digits = 0;
    uint64_t number;
    int64_t bytes;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    struct slice unit = slice_from(s, digits);
    if (!slice_to_u64(slice_of(s.p, digits), &number) || number > INT64_MAX)
        return false;
    if (unit.n == 0) {
        *ret = (int64_t)number;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(size_units); i++) {
        if (!slice_is(unit, size_units[i].name))
            continue;
        if (__builtin_mul_overflow((int64_t)number, size_units[i].factor, &bytes))
            return false;
        *ret = bytes;
        return true;
    }
    return false;
}

/* The unit of which the fewest make up `v`. */
static void print_with_unit(struct buf *out, int64_t v, const struct unit *units, size_t n)
{
    const struct unit *best = NULL;
    for (size_t i = 0; i < n && v != 0; i++) {
        if (v % units[i].factor == 0 && (best == NULL || units[i].factor > best->factor))
            best = &units[i];
    }
    buf_i64(out, best != NULL ? v / best->factor : v);
    if (best != NULL)
        buf_append(out, best->name, strlen(best->name));
}

void value_print_size(struct buf *out, int64_t bytes)
{
    print_with_unit(out, bytes, size_units, ARRAY_LEN(size_units));
}

void value_print_duration(struct buf *out, int64_t ns)
{
    print_with_unit(out, ns, duration_units, ARRAY_LEN(duration_units));
}

void value_print_number(struct buf *out, const struct config_row *row, int64_t v)
{
    switch (row->type) {
    case ROW_SIZE: value_print_size(out, v); break;
    case ROW_DURATION: value_print_duration(out, v); break;
    case ROW_MONEY: amount_print_money(out, v); break;
    case ROW_TIME: amount_print_time(out, v); break;
    default: buf_i64(out, v); break;
    }
    if (row->type == ROW_PERCENT)
        buf_char(out, '%');
}

void value_report_kind(struct config_reader *r, const struct config_row *row,
                       const struct ynode *node, const char *expected)
{
    static const char *const got[] = {"a single value", "a list", "a map"};
    if (ynode_is_null(node))
        diag_error(&r->diag, node->pos, "`%s`: no value; expected %s", row->key, expected);
    else
        diag_error(&r->diag, node->pos, "`%s`: expected %s, got %s", row->key, expected,
                   got[node->kind]);
}

static bool is_secret(const struct config_row *row)
{
    return row->type == ROW_SECRET || row->type == ROW_SECRETS || row->type == ROW_PAIRS;
}

/* Reports a value by what is written in the file, never by what a variable made of it. */
static enum value_state report(struct config_reader *r, const struct config_row *row,
                               const struct ynode *node, const char *what, const char *more)
{
    bool quiet = is_secret(row) || (row->flags & ROW_QUIET);
    const char *shown = quiet || node->text.n == 0 ? "the value" : diag_quote(&r->diag, node->text);
    diag_error(&r->diag, node->pos, "`%s`: %s %s%s", row->key, shown, what, more);
    return VALUE_BAD;
}

static bool has_control(struct slice s, bool lines)
{
    for (size_t i = 0; i < s.n; i++) {
        if (lines && (s.p[i] == '\n' || s.p[i] == '\r' || s.p[i] == '\t'))
            continue;
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
            return true;
    }
    return false;
}

static const char *expected_text(const struct config_row *row)
{
    switch (row->type) {
    case ROW_SECRET:
    case ROW_SECRETS:
    case ROW_PAIRS: return "a text (secret)";
    case ROW_BOOL: return "true or false";
    case ROW_INT: return "a whole number";
    case ROW_SIZE: return "a size such as 32MB";
    case ROW_DURATION: return "a duration such as 10s";
    case ROW_MONEY: return "an amount of dollars such as 12.50";
    case ROW_PERCENT: return "a percentage such as 90%";
    case ROW_TIME: return "a date such as 2027-01-01";
    case ROW_WORD: return "a word";
    default: return "a text";
    }
}

/* The expanded text of a single value. `*ret_bare`: as good as written without quotes. */
static enum value_state value_raw(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, struct slice *ret, bool *ret_bare)
{
    bool expanded;
    if (node->broken)
        return VALUE_BAD;
    if (node->kind != YNODE_TEXT || ynode_is_null(node)) {
        value_report_kind(r, row, node, expected_text(row));
        return VALUE_BAD;
    }
    if (expand_variables(r, row, node, ret, &expanded) != VALUE_OK)
        return VALUE_BAD;
    *ret_bare = node->plain || expanded;
    if (ret->n == 0 && expanded)
        return VALUE_ABSENT;
    return ret->n > 0 ? VALUE_OK : report(r, row, node, "is empty", "");
}

enum value_state value_text(struct config_reader *r, const struct config_row *row,
                            const struct ynode *node, struct slice *ret)
{
    struct slice text;
    bool bare;
    enum value_state state = value_raw(r, row, node, &text, &bare);
    if (state != VALUE_OK)
        return state;
    if (is_secret(row) && expand_file(r, row, node, &text) != VALUE_OK)
        return VALUE_BAD;
    if (has_control(text, row->flags & ROW_LINES))
        return report(r, row, node, "has a line break or another control character in it", "");
    const char *wrong = row->check != NULL && row->type != ROW_PAIRS ? row->check(text) : NULL;
    if (wrong != NULL)
        return report(r, row, node, wrong, "");
    *ret = text;
    return VALUE_OK;
}

/* " (0 to 10s)", in the row's own units. */
static const char *range_text(struct config_reader *r, const struct config_row *row)
{
    char *text = NULL;
    struct buf b;
    buf_init(&b, 128);
    for (int i = 0; i < 2; i++) {
        buf_append(&b, i == 0 ? " (" : " to ", i == 0 ? 2 : 4);
        value_print_number(&b, row, i == 0 ? row->min : row->max);
    }
    buf_char(&b, ')');
    if (!b.failed)
        text = arena_str(&r->scratch, buf_view(&b));
    buf_done(&b);
    if (text == NULL)
        diag_no_memory(&r->diag);
    return text != NULL ? text : "";
}

/* Decimal digits with a sign; 010 could be meant as octal and is refused. */
static bool parse_int(struct slice s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    struct slice digits = slice_from(s, negative);
    uint64_t v;
    if ((digits.n > 1 && digits.p[0] == '0') || !slice_to_u64(digits, &v) || v > INT64_MAX)
        return false;
    *ret = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

/* NULL, or what is wrong with the text of a number. */
static const char *parse_number(const struct config_row *row, struct slice text, bool bare,
                                int64_t *ret)
{
    switch (row->type) {
    case ROW_INT:
        if (!bare)
            return "is a text; a number has no quotes";
        return parse_int(text, ret) ? NULL : "is not a whole number";
    case ROW_SIZE:
        return value_parse_size(text, ret) ? NULL
                                           : "is not a size: write 64KiB, 32MB, 1GiB or bytes";
    case ROW_MONEY: return amount_parse_money(text, ret);
    case ROW_PERCENT:
        return amount_parse_percent(text, ret) ? NULL : "is not a percentage: write 90%";
    case ROW_TIME:
        return amount_parse_time(text, ret) ? NULL
                                            : "is not a time: write 2027-01-01 or "
                                              "2027-01-01T12:00:00Z";
    default:
        return clock_parse_duration(text.p, text.n, ret)
                   ? NULL
                   : "is not a duration: write 250ms, 10s, 5m or 2h";
    }
}

static enum value_state read_number(struct config_reader *r, const struct config_row *row,
                                    const struct ynode *node, struct slice text, bool bare,
                                    int64_t *field)
{
    int64_t v;
    const char *wrong = parse_number(row, text, bare, &v);
    if (wrong != NULL)
        return report(r, row, node, wrong, "");
    if (v == 0 && (row->flags & ROW_NONZERO))
        return report(r, row, node, "would let nothing pass; without the key there is no limit",
                      "");
    if (row->max != 0 && (v < row->min || v > row->max))
        return report(r, row, node, "is out of range", range_text(r, row));
    if (row->unit > 1 && v % row->unit != 0) {
        struct buf unit;
        char shown[32];
        buf_init(&unit, sizeof shown);
        value_print_size(&unit, row->unit);
        snprintf(shown, sizeof shown, " " SLICE_FMT, SLICE_ARG(buf_view(&unit)));
        buf_done(&unit);
        return report(r, row, node, "is not a multiple of", shown);
    }
    if (field != NULL)
        *field = row->unit > 1 ? v / row->unit : v;
    return VALUE_OK;
}

static enum value_state read_bool(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, struct slice text, bool bare,
                                  bool *field)
{
    bool yes = slice_is(text, "true");
    if (!bare || (!yes && !slice_is(text, "false")))
        return report(r, row, node, "is neither true nor false", bare ? "" : " (without quotes)");
    if (field != NULL)
        *field = yes;
    return VALUE_OK;
}

/* " (did you mean `x`?)", or " (one of a, b, c)". */
static const char *words_text(struct config_reader *r, const struct config_row *row,
                              struct slice wanted)
{
    struct diag_hint hint = diag_hint(wanted);
    struct slice list = SLICE_NONE;
    for (size_t i = 0; row->words[i] != NULL; i++)
        diag_hint_offer(&hint, slice_str(row->words[i]));
    if (hint.best.p != NULL)
        return diag_hint_text(&r->diag, &hint);
    for (size_t i = 0; row->words[i] != NULL; i++) {
        list = arena_printf(&r->scratch, "%s%s%s", i > 0 ? list.p : " (known: ", i > 0 ? ", " : "",
                            row->words[i]);
        if (list.p == NULL) {
            diag_no_memory(&r->diag);
            return "";
        }
    }
    list = arena_printf(&r->scratch, "%s)", list.p);
    if (list.p == NULL)
        diag_no_memory(&r->diag);
    return list.p != NULL ? list.p : "";
}

static enum value_state read_word(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, struct slice text, void *field)
{
    for (unsigned i = 0; row->words[i] != NULL; i++) {
        if (!slice_is(text, row->words[i]))
            continue;
        if (field != NULL)
            memcpy(field, &i, sizeof i);
        return VALUE_OK;
    }
    struct slice shown = node->text; /* a variable's value stays out of the message */
    return report(r, row, node, "is unknown", words_text(r, row, shown));
}

enum value_state value_read(struct config_reader *r, const struct config_row *row,
                            const struct ynode *node, void *field)
{
    struct slice text;
    bool bare;
    if (row->type == ROW_TEXT || row->type == ROW_SECRET) {
        enum value_state state = value_text(r, row, node, &text);
        if (state == VALUE_OK && field != NULL)
            *(struct slice *)field = text;
        return state;
    }
    enum value_state state = value_raw(r, row, node, &text, &bare);
    if (state != VALUE_OK)
        return state;
    switch (row->type) {
    case ROW_BOOL: return read_bool(r, row, node, text, bare, field);
    case ROW_WORD: return read_word(r, row, node, text, field);
    default: return read_number(r, row, node, text, bare, field);
    }
}
