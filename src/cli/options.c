/* Command-line options. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "base/slice.h"

static void print_help(const char *usage, const struct option_row *rows, size_t n)
{
    printf("usage: weir %s\n", usage);
    for (size_t i = 0; i < n; i++)
        printf("  %-14s %s\n", rows[i].name, rows[i].help);
}

void options_suggest(const char *given, size_t given_n, const void *rows, size_t row_bytes,
                     size_t n)
{
    struct slice wanted = slice_of(given, given_n);
    unsigned nearest = (unsigned)MIN_OF(given_n / 3, (size_t)2) + 1;
    const char *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name = *(const char *const *)((const char *)rows + i * row_bytes);
        unsigned distance = slice_distance(wanted, slice_str(name), nearest);
        if (distance > nearest || distance >= strlen(name))
            continue;
        best = distance < nearest || best == NULL ? name : best;
        nearest = distance;
    }
    if (best != NULL)
        fprintf(stderr, " (did you mean `%s`?)", best);
}

static const char unknown[] = "is unknown";

/* Applies argv[*i], which is an option. NULL, or what is wrong. */
static const char *apply(int argc, char **argv, int *i, const struct option_row *rows, size_t n)
{
    const char *equals = strchr(argv[*i], '=');
    size_t len = equals != NULL ? (size_t)(equals - argv[*i]) : strlen(argv[*i]);
    for (size_t k = 0; k < n; k++) {
        if (strlen(rows[k].name) != len || strncmp(rows[k].name, argv[*i], len) != 0)
            continue;
        if (rows[k].flag != NULL) {
            *rows[k].flag = true;
            return equals == NULL ? NULL : "takes no value";
        }
        if (equals == NULL && *i + 1 == argc)
            return "needs a value";
        *rows[k].value = equals != NULL ? equals + 1 : argv[++*i];
        return NULL;
    }
    return unknown;
}

int options_read(int argc, char **argv, const char *usage, const struct option_row *rows, size_t n,
                 int words_max)
{
    int words = 0, name_n = (int)strcspn(usage, " \n");
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i], *wrong = NULL;
        if (only_words || given[0] != '-' || given[1] == '\0') {
            wrong = words < words_max ? NULL : "is one word too many";
            argv[1 + words++] = argv[i];
        } else if (strcmp(given, "--") == 0) {
            only_words = true;
        } else if (strcmp(given, "--help") == 0 || strcmp(given, "-h") == 0) {
            print_help(usage, rows, n);
            return -2;
        } else {
            wrong = apply(argc, argv, &i, rows, n);
        }
        if (wrong == NULL)
            continue;
        int shown = (int)strcspn(given, "="); /* the value may be a secret */
        fprintf(stderr, "weir %.*s: `%.*s` %s", name_n, usage, shown, given, wrong);
        if (strcmp(wrong, unknown) == 0)
            options_suggest(given, (size_t)shown, rows, sizeof *rows, n);
        fprintf(stderr, "; see weir %.*s --help\n", name_n, usage);
        return -1;
    }
    return words;
}
