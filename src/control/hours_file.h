/* The file of hours that may still change: how long each hardware ran and was busy. Text, replaced
 * as a whole; a kill forgets what came after it. */
#ifndef CONTROL_HOURS_FILE_H
#define CONTROL_HOURS_FILE_H

#include "base/buf.h"
#include "hours_book.h"

/* A line for one hour of the hardware `name`. */
void hours_file_put(struct buf *out, const struct hours_book *b, bool engine, struct slice name);
/* Takes the next line off `rest`; NULL: the end, damage or no memory. `*ret_name` is in the text.
 */
NODISCARD struct hours_book *hours_file_get(struct slice *rest, bool *ret_engine,
                                            struct slice *ret_name);

NODISCARD bool hours_file_write(const char *folder, struct slice text);
/* False: there is none, or it cannot be read. */
NODISCARD bool hours_file_read(const char *folder, struct buf *ret);

#endif
