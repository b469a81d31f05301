/* Unpacking request bodies (gzip, zstd) as they come, under the body cap and a ratio limit. */
#ifndef GATEWAY_INFLATE_H
#define GATEWAY_INFLATE_H

#include "base/block.h"
#include "base/slice.h"
#include "gateway/error.h"

struct inflate;

/* A decoder for the Content-Encoding `coding`. GW_BODY_ENCODING: it is not known. */
enum gw_error inflate_new(struct slice coding, struct inflate **ret);
void inflate_free(struct inflate *z); /* NULL is fine */

/* Unpacks `data` behind what `out` holds, which may grow to `limit` bytes. */
enum gw_error inflate_feed(struct inflate *z, struct slice data, struct block_pool *pool,
                           struct block *out, size_t limit);
/* Has the packed body reached its end? */
bool inflate_complete(const struct inflate *z);

#endif
