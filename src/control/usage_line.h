/* Pieces of the usage API's JSON. */
#ifndef CONTROL_USAGE_LINE_H
#define CONTROL_USAGE_LINE_H

#include "base/json_write.h"
#include "usage_query.h"

/* RFC 3339; a window also as its first and last day where budgets count. */
void usage_put_time(struct json_writer *w, int64_t ns);
void usage_put_window(struct json_writer *w, const struct usage_window *window);
/* Dollars as a decimal text, exact: "12.50". */
void usage_put_money(struct json_writer *w, int64_t nano);

/* All figures of a line as members of the object that is open. */
void usage_put_figures(struct json_writer *w, const struct usage_line *l);

/* One object of an answer: with its name, and with its time unless the step is WHOLE. */
void usage_put_line(struct json_writer *w, const struct usage_line *l, bool name,
                    enum usage_step step);

/* Reads the line of one name; all figures 0 where there is none. */
NODISCARD bool usage_read_name(struct usage_ask *q, enum usage_by by, struct slice name,
                               const struct usage_window *window, struct usage_line *ret);

/* The words for `by`, ending with NULL, in the order of enum usage_by. */
const char *const *usage_by_words(void);

#endif
