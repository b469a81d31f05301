/* What the parts of the builder share: one build under way. */
#ifndef CONTROL_BUILD_PARTS_H
#define CONTROL_BUILD_PARTS_H

#include "control/build.h"

struct build {
    struct builder *builder;
    const struct builder_links *links;
    const struct config *config;
    const char *run_dir;
    struct buf *errors;
    struct gw_snapshot *snapshot;
    struct arena *arena; /* the snapshot's, or that of its key ring */
    bool failed;
};

/* Reports "weir.yaml: WHAT `name`: why". */
void build_fail(struct build *b, const char *what, struct slice name, const char *why);
/* In the arena; without memory it is reported, and the result is empty or NULL. */
struct slice build_copy(struct build *b, struct slice s);
void *build_make(struct build *b, size_t n, size_t size); /* zeroed */

/* The number of a name in the ledger; 0 without one. */
uint32_t build_ledger_id(struct build *b, enum ledger_name_kind kind, struct slice name);

#endif
