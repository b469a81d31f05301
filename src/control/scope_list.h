/* All scopes of a snapshot that count something: organisations, teams, keys, use cases, models. */
#ifndef CONTROL_SCOPE_LIST_H
#define CONTROL_SCOPE_LIST_H

#include "control/config.h"
#include "gateway/snapshot.h"
#include "store/keys.h"

/* Zeroed: empty. The scopes live as long as the snapshot. */
struct scope_list {
    const struct gw_scope **item; /* by kind, then as in the configuration; issued keys by name */
    size_t n, size;
};

/* Fills it anew. `c` is what `s` was made from; `keys`: the issued ones, or NULL. False: no memory,
 * or the key store cannot be read: some are missing. Control thread. */
NODISCARD bool scope_list_fill(struct scope_list *l, const struct config *c,
                               const struct gw_snapshot *s, struct key_store *keys);
void scope_list_done(struct scope_list *l);

/* The scope of that kind and name, or NULL. */
const struct gw_scope *scope_list_find(const struct scope_list *l, enum scope_kind kind,
                                       struct slice name);

#endif
