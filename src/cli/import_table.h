/* A dump of one database table: JSON, JSON lines or CSV with a head. */
#ifndef CLI_IMPORT_TABLE_H
#define CLI_IMPORT_TABLE_H

#include "import.h"

#define TABLE_COLUMNS_MAX 64

/* A row: its values by the caller's columns. A missing value, null among them, is empty; texts are
 * as they were meant, lists and maps as the dump has them. */
struct table_row {
    size_t line;
    struct slice value[TABLE_COLUMNS_MAX];
};

/* Calls `fn` for each row, with the values of `columns` (at most TABLE_COLUMNS_MAX names). False:
 * the text is no such dump, which standard error says, by `im->file`. */
NODISCARD bool table_read(struct import *im, struct slice text, const char *const *columns,
                          size_t columns_n, void (*fn)(struct import *im, const struct table_row *),
                          size_t *ret_rows);

/* The items of a list in JSON, or as PostgreSQL writes an array ({a,"b c"}): one call each. False:
 * it is neither. */
NODISCARD bool table_list(struct import *im, struct slice text,
                          void (*fn)(void *ctx, struct slice item), void *ctx);

#endif
