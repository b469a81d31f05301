/* Command-line options. */
#include "options.h"

#include <stdio.h>
#include <string.h>

static void print_help(const char *usage, const struct option_row *rows, size_t n)
{
    printf("usage: weir %s\n", usage);
    for (size_t i = 0; i < n; i++)
        printf("  %-14s %s\n", rows[i].name, rows[i].help);
}

/* Applies argv[*i], which is an option. False: there is no such row, or its value is missing. */
static bool apply(int argc, char **argv, int *i, const struct option_row *rows, size_t n)
{
    const char *equals = strchr(argv[*i], '=');
    size_t len = equals != NULL ? (size_t)(equals - argv[*i]) : strlen(argv[*i]);
    for (size_t k = 0; k < n; k++) {
        if (strlen(rows[k].name) != len || strncmp(rows[k].name, argv[*i], len) != 0)
            continue;
        if (rows[k].flag != NULL) {
            *rows[k].flag = true;
            return equals == NULL;
        }
        if (equals == NULL && *i + 1 == argc)
            return false;
        *rows[k].value = equals != NULL ? equals + 1 : argv[++*i];
        return true;
    }
    return false;
}

int options_read(int argc, char **argv, const char *usage, const struct option_row *rows, size_t n)
{
    int plain = 0;
    bool only_plain = false;
    for (int i = 1; i < argc; i++) {
        if (only_plain || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[1 + plain++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_plain = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(usage, rows, n);
            return -2;
        } else {
            const char *given = argv[i];
            if (apply(argc, argv, &i, rows, n))
                continue;
            fprintf(stderr, "weir: option `%s` is unknown or lacks its value\nusage: weir %s\n",
                    given, usage);
            return -1;
        }
    }
    return plain;
}
