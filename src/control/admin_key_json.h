/* Keys as the admin API shows and takes them: JSON. */
#ifndef CONTROL_ADMIN_KEY_JSON_H
#define CONTROL_ADMIN_KEY_JSON_H

#include "admin_route.h"
#include "base/json_write.h"

/* Members of a key that the store keeps in columns of its own; all others are its rights. */
bool key_json_is_column(const struct json_doc *d, uint32_t key);

/* `rights`, a JSON object (or empty), changed by the members of the object at `patch` that are no
 * columns, as a merge patch: null removes (RFC 7396). Appended to `out`. The parser is used:
 * `patch` has to be of another one, or kept with key_json_keep. False: `rights` is no such object.
 */
NODISCARD bool key_json_merge(struct json_parser *parser, struct slice rights,
                              const struct json_doc *patch, struct buf *out);

/* A copy of a document's nodes in `a`, so that its parser can be used again. False: no memory. */
NODISCARD bool key_json_keep(struct json_doc *d, struct arena *a);

/* The key as an object, left open for more members. Never its digests. */
void key_json_open_stored(struct json_writer *w, struct json_parser *parser,
                          const struct stored_key *k);
/* One of the configuration file. */
void key_json_put_file(struct json_writer *w, const struct config_key *k);

#endif
