/* What of Weir's environment an engine gets to see: enough to run and to find its accelerators, and
 * none of the secrets that stand beside it. */
#ifndef ENGINE_ENVIRONMENT_H
#define ENGINE_ENVIRONMENT_H

#include "base/arena.h"

/* Does the entry "NAME=value" pass? */
bool environment_passes(const char *entry);

/* The entries of `from` (NULL at the end) that pass, behind them the `n` of `extra`, NULL at the
 * end. All in `a`. NULL: no memory. */
NODISCARD char **environment_make(struct arena *a, char *const *from, const struct slice *extra,
                                  size_t n);

#endif
