/* The tables that say what a configuration may contain. Reading, defaults, checks of single values,
 * the dump and the reference documentation all walk them. */
#ifndef CONTROL_CONFIG_ROWS_H
#define CONTROL_CONFIG_ROWS_H

#include "control/config.h"

enum row_type {
    ROW_TEXT,     /* struct slice */
    ROW_SECRET,   /* struct slice; `file:/path` reads it from a file */
    ROW_BOOL,     /* bool */
    ROW_INT,      /* int64_t */
    ROW_SIZE,     /* int64_t, bytes or multiples of `unit` */
    ROW_DURATION, /* int64_t, nanoseconds */
    ROW_MONEY,    /* int64_t, nano-dollars */
    ROW_PERCENT,  /* int64_t */
    ROW_TIME,     /* int64_t, nanoseconds of Unix time; 0: absent */
    ROW_WORD,     /* an enum or int: the index in `words` */
    ROW_TEXTS,    /* struct config_list */
    ROW_SECRETS,  /* struct config_list; each as ROW_SECRET */
    ROW_PAIRS,    /* struct config_map; the values are secret, `check` is for the names */
    ROW_SECTION,  /* a struct in place */
    ROW_NAMED,    /* an array of structs, from a map of name to section */
    ROW_SECTIONS, /* an array of structs, from a list of sections */
};

enum row_flag {
    ROW_REQUIRED = 1,
    ROW_QUIET = 2,      /* the value may hold a password: never shown in a message */
    ROW_ONE = 4,        /* a list of one may be given as its only entry */
    ROW_INHERIT = 8,    /* a section whose missing numbers are -1: taken from elsewhere */
    ROW_LINES = 16,     /* a text of several lines */
    ROW_OPTIONAL = 32,  /* a number or a word that is -1 where it is not given */
    ROW_NONZERO = 64,   /* a limit: 0 would let nothing pass */
    ROW_STANDARD = 128, /* the default is the number `standard` */
};

#define ROW_NOWHERE SIZE_MAX /* an offset: there is no such field */

struct config_row {
    const char *key;
    enum row_type type;
    size_t at;   /* offset of the field in the section's struct */
    size_t n_at; /* ROW_NAMED, ROW_SECTIONS: offset of the size_t count */
    const struct config_section *section;
    const char *fallback;     /* default, written as in the file */
    int64_t standard;         /* ROW_STANDARD: the default, in the field's unit */
    const char *env;          /* variable that comes before the default */
    int64_t min, max;         /* of a number, in its field's unit or bytes; of a list's entries */
    int64_t unit;             /* ROW_SIZE: bytes that count as one; 0: 1 */
    const char *const *words; /* ROW_WORD: ends with NULL */
    const char *(*check)(struct slice text); /* NULL, or what to say behind the quoted text */
    unsigned flags;
    const char *help;    /* for the reference; ends with a full stop */
    const char *example; /* a value as in the file */
};

struct config_section {
    const char *title; /* in the reference */
    const struct config_row *rows;
    size_t rows_n;
    size_t size;            /* of the struct */
    size_t pos_at, name_at; /* offsets of its struct config_pos and its name */
    const char *shorthand;  /* key that a bare text in place of the section stands for */
    const char *(*check_name)(struct slice name);
    const char *help;
};

/* Parts of rows and sections. IN_ROOT: a section whose fields stand in the struct around it. */
/* clang-format off */
#define ROW(name, kind, type_, field) \
    .key = (name), .type = (kind), .at = offsetof(struct type_, field)
#define IN_ROOT(name) .key = (name), .type = ROW_SECTION, .at = 0
#define ROWS(r)       .rows = (r), .rows_n = ARRAY_LEN(r)
/* clang-format on */

extern const struct config_section config_root;

/* The row of the key `key_text`, or NULL. */
const struct config_row *config_row_find(const struct config_section *sec, struct slice key_text);

/* The field of a row in the struct at `base`; NULL: it has none. */
static inline void *config_row_field(const struct config_row *row, void *base)
{
    return row->at != ROW_NOWHERE ? (char *)base + row->at : NULL;
}
static inline const void *config_row_field_const(const struct config_row *row, const void *base)
{
    return row->at != ROW_NOWHERE ? (const char *)base + row->at : NULL;
}

#endif
