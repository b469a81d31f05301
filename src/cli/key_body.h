/* Options of `weir key create` and `update`, and the JSON that they come to. */
#ifndef CLI_KEY_BODY_H
#define CLI_KEY_BODY_H

#include "base/buf.h"
#include "options.h"

#define KEY_OPTIONS_MAX 24

/* Values of the options, by their place in the table. */
struct key_options {
    const char *value[KEY_OPTIONS_MAX];
};

/* Appends the options' rows to `rows`, which has room for KEY_OPTIONS_MAX; returns how many.
 * `create`: also those that only a new key can have. */
size_t key_option_rows(struct key_options *o, bool create, struct option_row *rows);

/* Appends the members that were given, with `name` unless it is NULL, as a JSON object to `out`;
 * "none" takes a value back. False: one of them is wrong, which standard error says. `*ret_n` is
 * how many were given. */
NODISCARD bool key_body(const struct key_options *o, const char *name, struct buf *out,
                        size_t *ret_n);

#endif
