/* The map of names. */
#include "base/strmap.h"

#include "check.h"

TEST(names_and_values)
{
    struct arena a;
    struct strmap m;
    static int values[3];
    arena_init(&a, NULL, 1 << 20);
    CHECK(strmap_init(&m, &a, 3));
    CHECK(strmap_get(&m, SLICE("one")) == NULL);
    CHECK(strmap_add(&m, SLICE("one"), &values[0]));
    CHECK(strmap_add(&m, SLICE("one\0"), &values[1]));
    CHECK(strmap_add(&m, SLICE(""), &values[2]));
    CHECK(!strmap_add(&m, SLICE("one"), &values[2])); /* there already, and kept */
    CHECK(strmap_get(&m, SLICE("one")) == &values[0]);
    CHECK(strmap_get(&m, SLICE("one\0")) == &values[1]);
    CHECK(strmap_get(&m, SLICE("")) == &values[2]);
    CHECK(strmap_get(&m, SLICE("on")) == NULL);
    CHECK(strmap_get(&m, SLICE("One")) == NULL);
    CHECK_EQ_U64(m.count, 3);
    arena_reset(&a);
}

TEST(many_names)
{
    enum { most = 5000 };
    struct arena a;
    static char values[most];
    arena_init(&a, NULL, 1 << 24);
    for (unsigned count = 0; count <= most; count = count * 3 + 1) {
        struct strmap m;
        check_note("%u names", count);
        CHECK(strmap_init(&m, &a, count));
        for (unsigned i = 0; i < count; i++)
            CHECK(strmap_add(&m, arena_printf(&a, "name-%u", i), &values[i]));
        for (unsigned i = 0; i < count; i++)
            CHECK(strmap_get(&m, arena_printf(&a, "name-%u", i)) == &values[i]);
        for (unsigned i = count; i < count + 100; i++)
            CHECK(strmap_get(&m, arena_printf(&a, "name-%u", i)) == NULL);
        CHECK_EQ_U64(m.count, count);
        arena_reset(&a);
    }
}

TEST(a_full_map_refuses_and_still_answers)
{
    struct arena a;
    struct strmap m;
    unsigned added = 0;
    arena_init(&a, NULL, 1 << 20);
    CHECK(strmap_init(&m, &a, 10));
    while (added < 1000 && strmap_add(&m, arena_printf(&a, "%u", added), &m))
        added++;
    CHECK(added >= 10 && added < 1000);
    CHECK(strmap_get(&m, SLICE("0")) == &m);
    CHECK(strmap_get(&m, SLICE("absent")) == NULL);
    arena_reset(&a);
}

TEST(no_memory)
{
    struct arena a;
    struct strmap m;
    arena_init(&a, NULL, 0);
    CHECK(!strmap_init(&m, &a, 10));
    CHECK(strmap_get(&m, SLICE("x")) == NULL); /* an empty map, not a trap */
}
