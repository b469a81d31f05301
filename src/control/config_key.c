/* A key that stands outside the file: one that was issued. */
#include "base/mem.h"
#include "config_check.h"
#include "config_load.h"
#include "config_policy.h"

/* Marks every text as one in which `${` means nothing: what comes from outside the file does not
 * see the environment. What is marked was visited: an alias shares its value. */
static void make_literal(struct ynode *node)
{
    if (node->literal)
        return;
    node->literal = true;
    for (struct ypair *pair = node->first; pair != NULL; pair = pair->next)
        make_literal(pair->value);
}

/* A secret is not part of what a key may: and `file:` would read a file of this machine. */
static void refuse_secrets(struct config_reader *r, struct ynode *root)
{
    static const char *const keys[] = {"secret", "sha256"};
    for (size_t i = 0; i < ARRAY_LEN(keys) && root->kind == YNODE_MAP; i++) {
        struct ynode *node = ynode_get(root, keys[i]);
        if (node == NULL)
            continue;
        diag_error(&r->diag, node->pos, "`%s`: an issued key has its secret by itself", keys[i]);
        node->broken = true;
    }
}

bool config_parse_key(struct slice yaml, const char *name, const struct config *c,
                      struct config_key *ret, struct arena *a, struct buf *errors)
{
    static const struct config_options options = {0};
    struct config_reader *r = config_reader_new(name, &options);
    if (r == NULL) {
        buf_printf(errors, "%s: out of memory\n", name);
        return false;
    }
    struct config *own =
        r->c; /* the other configuration, with the caller's arena for what is new */
    struct config view = *c;
    struct config_key key = {0};
    view.arena = *a;
    r->c = &view;
    key.name = arena_copy(&view.arena, slice_str(name));
    if (key.name.p == NULL)
        diag_no_memory(&r->diag);
    struct ynode *root = yaml_tree_parse(yaml, &r->scratch, &r->diag);
    if (root != NULL) {
        make_literal(root);
        refuse_secrets(r, root);
        if (config_read_section(r, &config_key_section, &key, root))
            check_key_policy(r, &key);
    }
    *a = view.arena;
    bool ok = !diag_failed(&r->diag);
    r->c = own;
    config_free(config_reader_end(r, errors));
    if (ok)
        *ret = key;
    return ok;
}
