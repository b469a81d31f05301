/* Mistakes found in a configuration: gathered, then printed in the order of the file. */
#ifndef CONTROL_CONFIG_DIAG_H
#define CONTROL_CONFIG_DIAG_H

#include "control/config.h"

struct config_note;

struct config_diag {
    struct arena *arena; /* for texts; not freed here */
    const char *name;    /* of the file */
    struct config_note *notes;
    size_t notes_n, errors_n;
    bool no_memory;
    const char *variables[128]; /* see diag_variable */
    uint32_t variables_n;
};

void diag_init(struct config_diag *d, struct arena *arena, const char *name);

void diag_error(struct config_diag *d, struct config_pos pos, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void diag_warn(struct config_diag *d, struct config_pos pos, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void diag_no_memory(struct config_diag *d);

/* A position that prints as the name of an environment variable; the name outlives `d`. */
struct config_pos diag_variable(struct config_diag *d, const char *name);

/* Were there errors, lack of memory included? */
bool diag_failed(const struct config_diag *d);

/* Appends everything to `out`, sorted by position. */
void diag_print(struct config_diag *d, struct buf *out);

/* `text` between backticks, cut when long, fit for a terminal. Never NULL. */
const char *diag_quote(struct config_diag *d, struct slice text);

/* Searches the nearest of several names. */
struct diag_hint {
    struct slice wanted, best;
    unsigned distance; /* of `best` */
};
struct diag_hint diag_hint(struct slice wanted);
void diag_hint_offer(struct diag_hint *h, struct slice name);
/* " (did you mean `x`?)", or "" when nothing is near. Never NULL. */
const char *diag_hint_text(struct config_diag *d, const struct diag_hint *h);

#endif
