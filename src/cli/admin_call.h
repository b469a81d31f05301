/* One call to the admin API and what a command makes of it: the path, the body, the answer as JSON,
 * and tables for people. */
#ifndef CLI_ADMIN_CALL_H
#define CLI_ADMIN_CALL_H

#include "admin_socket.h"
#include "base/arena.h"
#include "base/json.h"
#include "options.h"

struct admin_call {
    const char *command; /* who asks, for messages */
    const char *data;    /* folder of the gateway, or NULL */
    bool json;           /* the answer is printed as it is */
    struct json_parser *parser;
    struct arena arena;
    struct buf path, body, answer;
    struct json_doc doc; /* of the answer */
};

/* `body_max`: bytes. */
void admin_call_init(struct admin_call *c, const char *command, size_t body_max);
/* Wipes what may be secret. */
void admin_call_done(struct admin_call *c);

/* The options --json and --data. */
struct option_row admin_call_json_row(struct admin_call *c);
struct option_row admin_call_data_row(struct admin_call *c);

/* Appends `s` to the path, percent-encoded but for letters, digits and "-._~". */
void admin_call_escape(struct admin_call *c, struct slice s);
/* Asks. False: there is no answer, or it is an error or no JSON object; standard error says so. */
NODISCARD bool admin_call_run(struct admin_call *c, const char *method);
/* A value for people, in one line: texts as they are, all else as JSON. */
void admin_call_cell(struct admin_call *c, uint32_t node, struct buf *out);
/* Member `key` of the object at `node`: its text or number as above, or an empty slice. */
struct slice admin_call_text(struct admin_call *c, uint32_t node, const char *key);
/* The same as a number; `other` where there is none. */
int64_t admin_call_number(struct admin_call *c, uint32_t node, const char *key, int64_t other);
/* The array or object that is member `key`; 0: there is no such. */
uint32_t admin_call_list(struct admin_call *c, uint32_t node, const char *key);

/* A table, cell by cell; columns in which no row has anything are left out. */
#define GRID_COLUMNS 12
struct grid {
    const char *const *titles;
    unsigned columns;
    struct arena *arena;
    struct slice *cell;
    size_t n, size;
};
void grid_add(struct grid *g, struct slice text); /* copied */
void grid_print(const struct grid *g);
void grid_done(struct grid *g);

#endif
