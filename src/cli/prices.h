/* What the parts of `weir prices` share. */
#ifndef CLI_PRICES_H
#define CLI_PRICES_H

#include "base/buf.h"
#include "datadir.h"
#include "policy/price.h"

#define PRICES_FILE_MAX ((size_t)16 << 20)
#define PRICES_PATH_MAX (DATADIR_MAX + 32)

/* A message on standard error. */
void prices_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Appends the whole file. False: see errno. */
NODISCARD bool prices_read_file(const char *path, struct buf *out);

/* The prices in use with the data folder `data`: those of its prices.json, if there is one, else
 * the built-in ones. NULL: told. The caller gives it back. */
NODISCARD struct price_book *prices_in_use(const char *data);

/* "$2.50"; "-" for PRICE_UNKNOWN. */
void prices_put_dollars(struct buf *out, int64_t rate);

/* The prices of these models, or of all; the exit status. */
NODISCARD int prices_show(const struct price_book *b, char **models, int n, bool json);

/* Takes a table from `source`, a file or URL, into the data folder; the exit status. */
NODISCARD int prices_update(const char *source, const char *data, const char *ca_file);

#endif
