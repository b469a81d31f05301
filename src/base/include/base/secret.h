/* Memory for credentials: locked, left out of core dumps, gone in forked children, wiped when
 * freed. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/slice.h"

struct secret_box;

/* Room for `size` bytes of secrets. Locking is tried and not insisted on (RLIMIT_MEMLOCK). NULL: no
 * memory. */
NODISCARD struct secret_box *secret_box_new(size_t size);
void secret_box_free(struct secret_box *b); /* NULL is fine */

/* A copy of `s` inside the box; .p is NULL when it is full. */
NODISCARD struct slice secret_copy(struct secret_box *b, struct slice s);

#endif
