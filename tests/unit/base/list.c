/* Intrusive lists. */
#include "base/list.h"

#include "check.h"

struct item {
    struct list link;
    int value;
};

/* The values of the list as decimal digits, checking the backward links too. */
static int64_t digits(struct list *head)
{
    int64_t n = 0;
    list_foreach (it, head) {
        CHECK(it->next->prev == it && it->prev->next == it);
        n = n * 10 + container_of(it, struct item, link)->value;
    }
    return n;
}

TEST(order_and_removal)
{
    struct list head;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    list_init(&head);
    CHECK(list_empty(&head) && list_pop_front(&head) == NULL);
    for (int i = 0; i < 4; i++)
        list_init(&items[i].link);
    list_remove(&items[0].link); /* in no list: harmless */
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    list_insert(&items[1].link, &items[3].link);
    CHECK_EQ_I64(digits(&head), 1243);
    list_remove(&items[3].link);
    list_remove(&items[3].link);
    CHECK_EQ_I64(digits(&head), 123);
    CHECK(list_pop_front(&head) == &items[0].link);
    CHECK(list_empty(&items[0].link));
    CHECK_EQ_I64(digits(&head), 23);
}

TEST(removal_inside_foreach)
{
    struct list head;
    struct item items[6];
    list_init(&head);
    for (int i = 0; i < 6; i++) {
        items[i].value = i + 1;
        list_push_back(&head, &items[i].link);
    }
    list_foreach (it, &head) {
        if (container_of(it, struct item, link)->value % 2 == 0)
            list_remove(it);
    }
    CHECK_EQ_I64(digits(&head), 135);
    list_foreach (it, &head)
        list_remove(it);
    CHECK(list_empty(&head));
}
