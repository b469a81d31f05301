/* The state of one reading of a configuration, and the parts that work on it in turn: the tree is
 * read by the tables (config_read.c), single values by config_value.c and config_expand.c; then
 * what stands in different places is checked against each other (config_check.c, config_refs.c,
 * config_policy_check.c). */
#ifndef CONTROL_CONFIG_READ_H
#define CONTROL_CONFIG_READ_H

#include "config_diag.h"
#include "config_rows.h"
#include "yaml_tree.h"

#define CONFIG_TEXT_MAX      ((size_t)64 << 10) /* of one value, expanded */
#define CONFIG_GIVEN_BUCKETS 256

struct config_reader {
    struct config *c;
    const struct config_options *o;
    struct arena scratch; /* the tree, the messages */
    struct config_diag diag;
    struct config_given *given[CONFIG_GIVEN_BUCKETS];
    size_t visits; /* values read so far, those behind an alias counted each time */
};

/* Reads `root` into `r->c` and checks everything. Mistakes are in `r->diag`. */
void config_read_root(struct config_reader *r, struct ynode *root);

/* Reads a map into the struct of a section at `base`; checks nothing but single values. False: it
 * is no map. */
bool config_read_section(struct config_reader *r, const struct config_section *sec, void *base,
                         const struct ynode *node);

/* Was this field (its address) named in the file or by a variable, and where? Else line 0. */
bool reader_is_given(const struct config_reader *r, const void *field);
struct config_pos reader_where(const struct config_reader *r, const void *field);
/* Its text between backticks as the file has it: what a variable made of it could be a secret. */
const char *reader_quote(struct config_reader *r, const struct slice *field);
/* Was it named, but with a value that could not be used? */
bool reader_is_bad(const struct config_reader *r, const void *field);

/* The value of an environment variable; NULL when it is not set. */
const char *reader_getenv(const struct config_reader *r, const char *name);

enum value_state {
    VALUE_OK,
    VALUE_ABSENT, /* it came to nothing by a variable that is empty: as if not given */
    VALUE_BAD,    /* reported */
};

/* A text as the row wants it: variables expanded, secrets read, in the config's arena, its shape
 * checked. */
enum value_state value_text(struct config_reader *r, const struct config_row *row,
                            const struct ynode *node, struct slice *ret);
/* A value of one of the single types, stored in `field` (NULL: only checked). */
enum value_state value_read(struct config_reader *r, const struct config_row *row,
                            const struct ynode *node, void *field);
/* "`key`: expected ..., got a list". */
void value_report_kind(struct config_reader *r, const struct config_row *row,
                       const struct ynode *node, const char *expected);

/* Expands ${NAME} and ${NAME:-default} of a text node into the config's arena; `*ret_changed` says
 * whether there were any. VALUE_OK or VALUE_BAD. */
enum value_state expand_variables(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, struct slice *ret, bool *ret_changed);
/* Replaces "file:/path" by what stands in that file. VALUE_OK or VALUE_BAD. */
enum value_state expand_file(struct config_reader *r, const struct config_row *row,
                             const struct ynode *node, struct slice *text);

/* "32MB", "1GiB" or bytes; false leaves `*ret` untouched. */
NODISCARD bool value_parse_size(struct slice s, int64_t *ret);
/* As value_parse_size and clock_parse_duration read them, in the largest unit that loses nothing.
 */
void value_print_size(struct buf *out, int64_t bytes);
void value_print_duration(struct buf *out, int64_t ns);
/* A number of that row, in the unit of its field (ROW_SIZE: in bytes). */
void value_print_number(struct buf *out, const struct config_row *row, int64_t v);

/* Listeners, credentials, limits, timeouts. */
void config_check_local(struct config_reader *r);
/* Providers, engines, and what refers to them. */
void config_check_refs(struct config_reader *r);
/* Plans, organisations, teams, keys, use cases, prices: config_policy_check.c. */
void config_check_policy(struct config_reader *r);

#endif
