/* Ordered tree with random ranks: a search tree by order and a heap by rank. */
#include "base/treap.h"

void treap_insert(struct treap *t, struct treap_node *n, uint64_t rank)
{
    struct treap_node **at = &t->root, **less = &n->left, **more = &n->right;
    n->rank = rank;
    while (*at != NULL && (*at)->rank >= rank)
        at = t->compare(n, *at) < 0 ? &(*at)->left : &(*at)->right;
    struct treap_node *rest = *at; /* of lower ranks: it goes below `n`, split around it */
    *at = n;
    while (rest != NULL) {
        if (t->compare(rest, n) < 0) {
            *less = rest;
            less = &rest->right;
            rest = rest->right;
        } else {
            *more = rest;
            more = &rest->left;
            rest = rest->left;
        }
    }
    *less = *more = NULL;
}

void treap_remove(struct treap *t, struct treap_node *n)
{
    struct treap_node **at = &t->root, *less = n->left, *more = n->right;
    while (*at != n) {
        ASSERT(*at != NULL);
        at = t->compare(n, *at) < 0 ? &(*at)->left : &(*at)->right;
    }
    while (less != NULL && more != NULL) {
        if (less->rank >= more->rank) {
            *at = less;
            at = &less->right;
            less = less->right;
        } else {
            *at = more;
            at = &more->left;
            more = more->left;
        }
    }
    *at = less != NULL ? less : more;
    n->left = n->right = NULL;
}

struct treap_node *treap_find(const struct treap *t, const struct treap_node *like)
{
    struct treap_node *n = t->root;
    int order;
    while (n != NULL && (order = t->compare(like, n)) != 0)
        n = order < 0 ? n->left : n->right;
    return n;
}

struct treap_node *treap_first(const struct treap *t)
{
    struct treap_node *n = t->root;
    while (n != NULL && n->left != NULL)
        n = n->left;
    return n;
}
