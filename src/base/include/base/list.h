/* Intrusive doubly linked list: no allocation, O(1) removal. A node in no list points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/compiler.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert(struct list *after, struct list *node)
{
    node->prev = after;
    node->next = after->next;
    after->next->prev = node;
    after->next = node;
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert(l, node);
}

static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert(l->prev, node);
}

/* Takes `node` out of its list; harmless when it is in none. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out of the list, or NULL. */
static inline struct list *list_pop_front(struct list *l)
{
    struct list *node = l->next;
    if (node == l)
        return NULL;
    list_remove(node);
    return node;
}

/* `it` may be removed from the list inside the body. */
#define list_foreach(it, head)                                                                     \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
