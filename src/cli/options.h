/* Command-line options: one row each. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct option_row {
    const char *name; /* "--config" */
    const char *help;
    const char **value; /* takes a value; else NULL */
    bool *flag;         /* is set; else NULL */
};

/* Reads options from argv[1] on; what is no option is moved to the front of argv + 1, and the
 * number of these words, at most `words_max`, is returned. -1: wrong usage, told on standard error.
 * -2: --help was asked for and has been given. `usage` begins with the name of the command. */
int options_read(int argc, char **argv, const char *usage, const struct option_row *rows, size_t n,
                 int words_max);

/* The exit status that goes with a negative result. */
static inline int options_status(int result)
{
    return result == -2 ? 0 : 2;
}

/* " (did you mean `x`?)" on standard error when one of `n` rows of `row_bytes`, each of which
 * begins with its name, is near `given`, which is `given_n` bytes long. */
void options_suggest(const char *given, size_t given_n, const void *rows, size_t row_bytes,
                     size_t n);

#endif
