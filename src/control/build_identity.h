/* Organisations, teams, use cases and keys of a snapshot. */
#ifndef CONTROL_BUILD_IDENTITY_H
#define CONTROL_BUILD_IDENTITY_H

#include "build_parts.h"

/* A scope with its limits (own before plan's; either may be NULL), its live state where anything
 * is limited, and its number. `name` lives as long as the snapshot. */
void build_scope(struct build *b, struct gw_scope *s, enum scope_kind kind, struct slice name,
                 const struct config_scope_limits *own, const struct config_scope_limits *plan,
                 const struct config_at_budget *at_budget);

/* All of the file. */
void build_identities(struct build *b);
/* All of the key store, after those of the file. */
void build_issued_keys(struct build *b);
/* One of the key store into a snapshot that is in use; `b->arena` is the ring's. */
void build_put_issued(struct build *b, const struct stored_key *k);
/* Would that work, as far as memory allows? */
bool build_key_fits(const struct builder_links *links, const struct gw_snapshot *s,
                    const struct config *c, const struct stored_key *k, struct buf *errors);

#endif
