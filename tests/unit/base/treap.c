/* The ordered tree against a sorted array, and that it does not degenerate. */
#include "base/treap.h"

#include "check.h"

struct item {
    struct treap_node node;
    int key;
    bool in;
};

static int by_key(const struct treap_node *a, const struct treap_node *b)
{
    int ka = container_of(a, struct item, node)->key, kb = container_of(b, struct item, node)->key;
    return (ka > kb) - (ka < kb);
}

static unsigned depth(const struct treap_node *n)
{
    if (n == NULL)
        return 0;
    unsigned l = depth(n->left), r = depth(n->right);
    return 1 + (l > r ? l : r);
}

/* Nodes below `n`, which stand in the order of the keys between `*last` and above. */
static unsigned in_order(const struct treap_node *n, int *last)
{
    if (n == NULL)
        return 0;
    unsigned left = in_order(n->left, last);
    int key = container_of(n, struct item, node)->key;
    CHECK(key > *last);
    *last = key;
    return left + 1 + in_order(n->right, last);
}

TEST(as_a_sorted_array)
{
    static struct item items[200];
    struct treap t;
    unsigned n = 0;
    treap_init(&t, by_key);
    for (int i = 0; i < 200; i++)
        items[i] = (struct item){.key = i};
    for (unsigned round = 0; round < 20000; round++) {
        struct item *it = &items[check_random_below(200)];
        if (it->in)
            treap_remove(&t, &it->node);
        else
            treap_insert(&t, &it->node, check_random());
        it->in = !it->in;
        n += it->in ? 1u : (unsigned)-1;
        struct item like = {.key = (int)check_random_below(200)};
        CHECK(treap_find(&t, &like.node) == (items[like.key].in ? &items[like.key].node : NULL));
        int first = 0, last = -1;
        while (first < 200 && !items[first].in)
            first++;
        CHECK(treap_first(&t) == (first < 200 ? &items[first].node : NULL));
        if (round % 100 == 0)
            CHECK_EQ_I64(in_order(t.root, &last), n);
    }
}

TEST(sorted_input_does_not_degenerate)
{
    static struct item items[10000];
    struct treap t;
    treap_init(&t, by_key);
    for (int i = 0; i < 10000; i++) {
        items[i].key = i;
        treap_insert(&t, &items[i].node, check_random());
    }
    CHECK(depth(t.root) < 60);
}
