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

/* Reads options from argv[1] on; what is no option is moved to the front of argv + 1, and their
 * number is returned. -1: wrong usage, told on standard error. -2: --help was asked for and has
 * been given. */
int options_read(int argc, char **argv, const char *usage, const struct option_row *rows, size_t n);

/* The exit status that goes with a negative result. */
static inline int options_status(int result)
{
    return result == -2 ? 0 : 2;
}

#endif
