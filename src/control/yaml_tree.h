/* One YAML document as a tree in which every value knows its line and column, built on libyaml's
 * events. Bounded in size, depth and number of values. An alias shares the anchored value, so that
 * a small file stays a small tree; who walks the tree bounds the walk. Refused: several documents,
 * tags, merge keys, keys that are not text, the same key twice in a map. */
#ifndef CONTROL_YAML_TREE_H
#define CONTROL_YAML_TREE_H

#include "config_diag.h"

#define YAML_TREE_MAX_BYTES  ((size_t)4 << 20)
#define YAML_TREE_MAX_DEPTH  32
#define YAML_TREE_MAX_VALUES 100000

enum ynode_kind { YNODE_TEXT, YNODE_LIST, YNODE_MAP };

struct ynode {
    enum ynode_kind kind;
    bool plain;   /* text without quotes */
    bool literal; /* not from a file: `${` in it means nothing */
    bool broken;  /* a mistake here has been reported; readers pass over it */
    struct config_pos pos;
    struct slice text;
    struct ypair *first; /* of a list or a map */
    size_t n;
};

struct ypair {
    struct ypair *next;
    struct ynode *key; /* NULL in a list */
    struct ynode *value;
};

/* Reads `text` into `arena`. Mistakes go to `d`. NULL: there is no tree after such a mistake. A
 * text without a document is an empty map. */
NODISCARD struct ynode *yaml_tree_parse(struct slice text, struct arena *arena,
                                        struct config_diag *d);

/* For values that do not come from a file; NULL: no memory. */
NODISCARD struct ynode *ynode_new(struct arena *arena, enum ynode_kind kind, struct config_pos pos);
NODISCARD struct ynode *ynode_literal(struct arena *arena, struct slice text,
                                      struct config_pos pos);
NODISCARD bool ynode_add(struct arena *arena, struct ynode *to, struct slice key,
                         struct ynode *value);

/* The value of `key` in a map, or NULL. */
struct ynode *ynode_get(const struct ynode *map, const char *key);

/* An order in which equal texts are neighbours, the earlier in the file first; as for qsort. */
int ynode_text_order(struct slice a, struct config_pos at, struct slice b, struct config_pos bt);

/* Is it nothing: `~`, `null`, or no text at all? */
bool ynode_is_null(const struct ynode *node);

#endif
