/* Intrusive ordered tree, balanced by random ranks: R. Seidel, C. R. Aragon, "Randomized Search
 * Trees", Algorithmica 16 (1996). Insertion, removal and search take O(log n) expected steps and
 * allocate nothing. No two nodes of a tree may compare equal. */
#ifndef BASE_TREAP_H
#define BASE_TREAP_H

#include "base/compiler.h"

struct treap_node {
    struct treap_node *left, *right;
    uint64_t rank;
};

/* Less than, equal to or greater than 0 as `a` goes before, is, or goes behind `b`. */
typedef int treap_compare_fn(const struct treap_node *a, const struct treap_node *b);

struct treap {
    struct treap_node *root;
    treap_compare_fn *compare;
};

static inline void treap_init(struct treap *t, treap_compare_fn *compare)
{
    *t = (struct treap){.compare = compare};
}

/* `rank` is a random number. */
void treap_insert(struct treap *t, struct treap_node *n, uint64_t rank);
/* Takes `n`, which is in the tree, out of it. */
void treap_remove(struct treap *t, struct treap_node *n);
/* The node equal to `like`, or NULL. */
struct treap_node *treap_find(const struct treap *t, const struct treap_node *like);
/* The first in order, or NULL. */
struct treap_node *treap_first(const struct treap *t);

#endif
