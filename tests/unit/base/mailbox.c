/* The mailbox: order, full and empty, and many producers against one consumer. */
#include "base/mailbox.h"

#include <pthread.h>
#include <sched.h>

#include "base/mem.h"
#include "check.h"

TEST(order_full_and_empty)
{
    struct mailbox *mb = mailbox_new(4);
    struct mailbox_msg m = {0};
    CHECK(mb != NULL);
    for (uint64_t lap = 0; lap < 1000; lap++) {
        uint64_t n = 1 + lap % 4;
        CHECK(!mailbox_take(mb, &m));
        for (uint64_t i = 0; i < n; i++)
            CHECK(
                mailbox_post(mb, (struct mailbox_msg){.kind = 7, .slot = lap * 10 + i, .ptr = mb}));
        if (n == 4)
            CHECK(!mailbox_post(mb, (struct mailbox_msg){.slot = 12345}));
        for (uint64_t i = 0; i < n; i++) {
            CHECK(mailbox_take(mb, &m));
            CHECK_EQ_U64(m.slot, lap * 10 + i);
            CHECK(m.kind == 7 && m.generation == 0 && m.ptr == mb);
        }
    }
    mailbox_free(mb);
    mailbox_free(NULL);
}

TEST(smallest)
{
    struct mailbox *mb = mailbox_new(2);
    struct mailbox_msg m;
    CHECK(mb != NULL);
    CHECK(mailbox_post(mb, (struct mailbox_msg){.slot = 1}));
    CHECK(mailbox_post(mb, (struct mailbox_msg){.slot = 2}));
    CHECK(!mailbox_post(mb, (struct mailbox_msg){.slot = 3}));
    CHECK(mailbox_take(mb, &m) && m.slot == 1);
    CHECK(mailbox_post(mb, (struct mailbox_msg){.slot = 4}));
    CHECK(mailbox_take(mb, &m) && m.slot == 2);
    CHECK(mailbox_take(mb, &m) && m.slot == 4);
    CHECK(!mailbox_take(mb, &m));
    mailbox_free(mb);
}

static void make_one(void *size)
{
    mailbox_free(mailbox_new(*(uint32_t *)size));
}

/* With one cell a written cell cannot be told from a free one of the next lap. */
TEST(unusable_sizes_are_refused)
{
    static uint32_t sizes[] = {0, 1, 3, 6, 1000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_note("size %u", sizes[i]);
        CHECK_ABORTS(make_one, &sizes[i]);
    }
}

static void make_and_use(void *arg)
{
    struct mailbox *mb = mailbox_new(8);
    (void)arg;
    CHECK(mb == NULL || mailbox_post(mb, (struct mailbox_msg){.kind = 1}));
    mailbox_free(mb);
}

TEST(torture)
{
    CHECK(check_torture(make_and_use, NULL) >= 1);
}

#define PRODUCERS 4
#define EACH      50000

struct producer {
    pthread_t thread;
    struct mailbox *mb;
    uint32_t id;
    uint64_t refused;
};

static void *post_all(void *arg)
{
    struct producer *p = arg;
    for (uint32_t i = 0; i < EACH;) {
        /* ptr repeats slot: a message put together from two would show. */
        struct mailbox_msg m = {p->id, i, (uint64_t)p->id << 32 | i,
                                (void *)(uintptr_t)(i * 8 + 8)};
        if (mailbox_post(p->mb, m)) {
            i++;
        } else {
            p->refused++;
            sched_yield();
        }
    }
    return NULL;
}

TEST(many_producers)
{
    struct mailbox *mb = mailbox_new(64);
    struct producer producers[PRODUCERS];
    uint32_t next[PRODUCERS] = {0};
    uint64_t refused = 0;
    CHECK(mb != NULL);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.mb = mb, .id = i};
        CHECK(pthread_create(&producers[i].thread, NULL, post_all, &producers[i]) == 0);
    }
    for (int taken = 0; taken < PRODUCERS * EACH;) {
        struct mailbox_msg m;
        if (!mailbox_take(mb, &m)) {
            sched_yield();
            continue;
        }
        taken++;
        CHECK(m.kind < PRODUCERS);
        CHECK_EQ_U64(m.generation, next[m.kind]); /* each producer's messages keep their order */
        CHECK_EQ_U64(m.slot, (uint64_t)m.kind << 32 | next[m.kind]);
        CHECK(m.ptr == (void *)(uintptr_t)(next[m.kind] * 8 + 8));
        next[m.kind]++;
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        CHECK(pthread_join(producers[i].thread, NULL) == 0);
        refused += producers[i].refused;
    }
    struct mailbox_msg extra;
    CHECK(!mailbox_take(mb, &extra));
    CHECK(refused > 0); /* else the full queue was never met */
    mailbox_free(mb);
}
