/* What the options of `weir key` mean, one row each. */
#include "key_body.h"

#include <stdio.h>

#include "base/json_write.h"

enum kind { KIND_TEXT, KIND_LIST, KIND_NUMBER };

static const struct row {
    const char *option, *help;
    const char *key; /* member of the key */
    enum kind kind;
    bool create; /* for a new key alone */
} table[] = {
    {"--team", "the team it belongs to", "team", KIND_TEXT, false},
    {"--organisation", "the organisation, where it has no team", "organisation", KIND_TEXT, false},
    {"--plan", "limits and rights that it has by default", "plan", KIND_TEXT, false},
    {"--models", "what it may ask for, with commas; `*` at the end", "models", KIND_LIST, false},
    {"--providers", "providers that may serve it", "providers", KIND_LIST, false},
    {"--regions", "regions that may serve it", "regions", KIND_LIST, false},
    {"--networks", "addresses it may come from: 10.0.0.0/8,...", "networks", KIND_LIST, false},
    {"--max-tokens", "most output of one answer", "max_tokens", KIND_NUMBER, false},
    {"--use-case", "what its requests are for", "use_case", KIND_TEXT, false},
    {"--user", "whose its requests are", "user", KIND_TEXT, false},
    {"--may-set", "what clients may say: user,use_case,strategy", "may_set", KIND_LIST, false},
    {"--priority", "low, normal or high", "priority", KIND_TEXT, false},
    {"--weight", "its share where requests wait", "weight", KIND_NUMBER, false},
    {"--expires", "90d from now, or a date", "expires", KIND_TEXT, false},
    {"--note", "a text for people", "note", KIND_TEXT, false},
    {"--sha256", "digest of a secret that clients have already", "sha256", KIND_TEXT, true},
    {"--hint", "with --sha256: what people know it by", "hint", KIND_TEXT, true},
};

/* Those of `limits`. */
static const struct limit {
    const char *option, *help, *key;
    bool budget; /* dollars */
} limits[] = {
    {"--rpm", "requests a minute", "requests_per_minute", false},
    {"--tpm", "tokens a minute", "tokens_per_minute", false},
    {"--concurrency", "requests at once", "concurrency", false},
    {"--budget-hour", "dollars an hour", "hour", true},
    {"--budget-day", "dollars a day", "day", true},
    {"--budget-week", "dollars a week", "week", true},
    {"--budget-month", "dollars a month", "month", true},
};
_Static_assert(ARRAY_LEN(table) + ARRAY_LEN(limits) <= KEY_OPTIONS_MAX, "room for all");

size_t key_option_rows(struct key_options *o, bool create, struct option_row *rows)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (create || !table[i].create)
            rows[n++] = (struct option_row){table[i].option, table[i].help, &o->value[i], NULL};
    }
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        rows[n++] = (struct option_row){limits[i].option, limits[i].help,
                                        &o->value[ARRAY_LEN(table) + i], NULL};
    return n;
}

static bool is_none(const char *value)
{
    return *value == '\0' || strcmp(value, "none") == 0;
}

static bool put_number(struct json_writer *w, const char *option, const char *value)
{
    uint64_t n;
    if (!slice_to_u64(slice_str(value), &n) || n > INT64_MAX) {
        fprintf(stderr, "weir key: %s has to be a whole number, or none\n", option);
        return false;
    }
    jw_i64(w, (int64_t)n);
    return true;
}

static void put_list(struct json_writer *w, struct slice text)
{
    jw_open(w, '[');
    while (text.n > 0) {
        struct slice item = slice_trim(slice_cut(&text, ','));
        if (item.n > 0)
            jw_string(w, item);
    }
    jw_close(w, ']');
}

static bool put_row(struct json_writer *w, const struct row *row, const char *value)
{
    jw_key_slice(w, slice_str(row->key));
    if (is_none(value))
        jw_null(w);
    else if (row->kind == KIND_LIST)
        put_list(w, slice_str(value));
    else if (row->kind == KIND_NUMBER)
        return put_number(w, row->option, value);
    else
        jw_string(w, slice_str(value));
    return true;
}

/* The limits that are budgets, or those that are not. */
static bool put_limits(struct json_writer *w, const char *const *values, bool budget, size_t *n)
{
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        const char *value = values[i];
        if (value == NULL || limits[i].budget != budget)
            continue;
        if (budget && *n == 0) {
            jw_key(w, "budget");
            jw_open(w, '{');
        }
        ++*n;
        jw_key_slice(w, slice_str(limits[i].key));
        if (is_none(value))
            jw_null(w);
        else if (budget)
            jw_string(w, slice_str(value));
        else if (!put_number(w, limits[i].option, value))
            return false;
    }
    if (budget && *n > 0)
        jw_close(w, '}');
    return true;
}

bool key_body(const struct key_options *o, const char *name, struct buf *out, size_t *ret_n)
{
    const char *const *figures = o->value + ARRAY_LEN(table);
    struct json_writer w = json_writer(out);
    size_t n = 0, plain = 0, budgets = 0;
    bool limited = false;
    jw_open(&w, '{');
    if (name != NULL)
        jw_field_string(&w, "name", slice_str(name));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (o->value[i] == NULL)
            continue;
        n++;
        if (!put_row(&w, &table[i], o->value[i]))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        limited = limited || figures[i] != NULL;
    if (limited) {
        jw_key(&w, "limits");
        jw_open(&w, '{');
        if (!put_limits(&w, figures, false, &plain) || !put_limits(&w, figures, true, &budgets))
            return false;
        jw_close(&w, '}');
    }
    jw_close(&w, '}');
    *ret_n = n + plain + budgets;
    return true;
}
