/* Who is served when: classes, flows and their weights, who has to go when the queue is full,
 * deadlines, and the estimate of the wait. */
#include <string.h>

#include "base/permits.h"
#include "check.h"

#define GUESTS_MAX 4096

struct guest {
    struct permit_waiter waiter;
    char name;
};

/* The names of those who were served and shed, in that order. */
static char served[GUESTS_MAX + 1], shed[GUESTS_MAX + 1];
static size_t served_n, shed_n;

static void on_grant(struct permit_waiter *w)
{
    CHECK(served_n < GUESTS_MAX);
    served[served_n++] = container_of(w, struct guest, waiter)->name;
    served[served_n] = '\0';
}

static void on_shed(struct permit_waiter *w)
{
    CHECK(shed_n < GUESTS_MAX);
    shed[shed_n++] = container_of(w, struct guest, waiter)->name;
    shed[shed_n] = '\0';
}

static void forget(void)
{
    served_n = shed_n = 0;
    served[0] = shed[0] = '\0';
}

/* A closed door, so that all who come have to wait. */
static void close_door(struct permits *p, int64_t queue)
{
    forget();
    permits_init(p, -1, queue);
}

static enum permit_result come(struct permits *p, struct guest *g, char name,
                               enum permit_class class, uint64_t flow, unsigned weight)
{
    *g = (struct guest){
        .name = name,
        .waiter = {
            .class = class, .flow = flow, .weight = weight, .grant = on_grant, .shed = on_shed}};
    return permits_take(p, &g->waiter);
}

static void come_many(struct permits *p, struct guest *g, size_t n, char name,
                      enum permit_class class, uint64_t flow, unsigned weight)
{
    for (size_t i = 0; i < n; i++)
        CHECK(come(p, &g[i], name, class, flow, weight) == PERMIT_WAITING);
}

/* One place, which is free, and `n` turns. */
static void serve(struct permits *p, size_t n)
{
    permits_set(p, 1, p->queue_limit);
    for (size_t i = 1; i < n; i++)
        permits_give(p);
}

static size_t count(const char *text, char name)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == name;
    return n;
}

/* All who still wait, until nothing is left. */
static void serve_all(struct permits *p)
{
    permits_set(p, 1, p->queue_limit);
    while (p->held > 0)
        permits_give(p);
    CHECK_EQ_I64(p->waiting_n, 0);
    permits_done(p);
}

TEST(the_same_flow_in_order)
{
    struct permits p;
    struct guest g[4];
    close_door(&p, 4);
    for (size_t i = 0; i < 4; i++)
        CHECK(come(&p, &g[i], (char)('a' + i), PERMIT_NORMAL, 7, 1) == PERMIT_WAITING);
    serve_all(&p);
    CHECK_EQ_STR(served, "abcd");
}

/* 1 : 4 : 16, and evenly so: in any 21 turns in a row. */
TEST(classes_share)
{
    static struct guest low[100], normal[100], high[400];
    struct permits p;
    close_door(&p, 1000);
    come_many(&p, low, 100, 'l', PERMIT_LOW, 0, 1);
    come_many(&p, normal, 100, 'n', PERMIT_NORMAL, 0, 1);
    come_many(&p, high, 400, 'h', PERMIT_HIGH, 0, 1);
    serve(&p, 21 * 20);
    CHECK_EQ_I64((int64_t)count(served, 'l'), 20);
    CHECK_EQ_I64((int64_t)count(served, 'n'), 80);
    CHECK_EQ_I64((int64_t)count(served, 'h'), 320);
    CHECK(served[0] == 'h');
    for (size_t i = 0; i + 21 <= served_n; i++) {
        char part[22] = {0};
        memcpy(part, served + i, 21);
        check_note("turn %zu: %s", i, part);
        CHECK_EQ_I64((int64_t)count(part, 'l'), 1);
        CHECK(count(part, 'n') >= 3 && count(part, 'n') <= 5);
    }
    serve_all(&p);
}

/* A class that alone waits gets every turn, and has no debt when another comes. */
TEST(idle_classes_cost_nothing)
{
    static struct guest low[100], high[100];
    struct permits p;
    close_door(&p, 1000);
    come_many(&p, low, 100, 'l', PERMIT_LOW, 0, 1);
    serve(&p, 50);
    CHECK_EQ_I64((int64_t)count(served, 'l'), 50);
    forget();
    come_many(&p, high, 40, 'h', PERMIT_HIGH, 0, 1);
    for (int i = 0; i < 34; i++)
        permits_give(&p);
    CHECK_EQ_I64((int64_t)count(served, 'l'), 2);
    serve_all(&p);
}

/* Three keys of weights 1, 2 and 5: however many wait and whoever came first. */
TEST(flows_share_by_weight)
{
    static struct guest a[300], b[60], c[60];
    struct permits p;
    close_door(&p, 1000);
    come_many(&p, a, 300, 'a', PERMIT_NORMAL, 11, 1);
    come_many(&p, b, 60, 'b', PERMIT_NORMAL, 12, 2);
    come_many(&p, c, 60, 'c', PERMIT_NORMAL, 13, 5);
    serve(&p, 80);
    CHECK_EQ_I64((int64_t)count(served, 'a'), 10);
    CHECK_EQ_I64((int64_t)count(served, 'b'), 20);
    CHECK_EQ_I64((int64_t)count(served, 'c'), 50);
    serve_all(&p);
}

/* Somebody who comes back as soon as it is served is no better off than the one who waits with a
 * hundred: it queues up behind what it has had. */
TEST(coming_back_at_once_is_no_trick)
{
    static struct guest many[100], one[100];
    struct permits p;
    close_door(&p, 1000);
    come_many(&p, many, 100, 'm', PERMIT_NORMAL, 1, 1);
    come_many(&p, one, 1, '1', PERMIT_NORMAL, 2, 1);
    permits_set(&p, 1, 1000);
    for (size_t came = 1; served_n < 100;) {
        if (served[served_n - 1] == '1')
            come_many(&p, &one[came++], 1, '1', PERMIT_NORMAL, 2, 1);
        permits_give(&p);
    }
    CHECK(count(served, '1') >= 49 && count(served, '1') <= 51);
    serve_all(&p);
}

/* Nor is leaving and coming again; and who leaves costs its flow no turn. */
TEST(leaving)
{
    static struct guest a[10], b[10];
    struct permits p;
    close_door(&p, 100);
    come_many(&p, a, 10, 'a', PERMIT_NORMAL, 1, 1);
    come_many(&p, b, 10, 'b', PERMIT_NORMAL, 2, 1);
    CHECK(permits_leave(&p, &a[0].waiter)); /* it leads its flow */
    CHECK(permits_leave(&p, &a[5].waiter));
    CHECK(!permits_leave(&p, &a[5].waiter));
    for (int i = 0; i < 5; i++) {
        CHECK(permits_leave(&p, &b[i].waiter));
        CHECK(come(&p, &b[i], 'b', PERMIT_NORMAL, 2, 1) == PERMIT_WAITING);
    }
    CHECK_EQ_I64(p.waiting_n, 18);
    serve_all(&p);
    CHECK_EQ_STR(served, "ababababababababbb");
}

TEST(a_full_queue_sheds_the_lowest)
{
    struct permits p;
    struct guest g[12];
    close_door(&p, 4);
    CHECK(come(&p, &g[0], 'a', PERMIT_LOW, 1, 1) == PERMIT_WAITING);
    CHECK(come(&p, &g[1], 'b', PERMIT_NORMAL, 2, 1) == PERMIT_WAITING);
    CHECK(come(&p, &g[2], 'c', PERMIT_LOW, 3, 1) == PERMIT_WAITING);
    CHECK(come(&p, &g[3], 'd', PERMIT_NORMAL, 2, 1) == PERMIT_WAITING);
    CHECK(come(&p, &g[4], 'e', PERMIT_LOW, 4, 1) == PERMIT_REFUSED);
    CHECK(come(&p, &g[5], 'f', PERMIT_NORMAL, 5, 1) == PERMIT_WAITING);
    CHECK_EQ_STR(shed, "c"); /* the youngest of the lowest */
    CHECK(g[2].waiter.state == PERMIT_SHED && !permits_leave(&p, &g[2].waiter));
    CHECK(come(&p, &g[6], 'g', PERMIT_HIGH, 6, 1) == PERMIT_WAITING);
    CHECK_EQ_STR(shed, "ca");
    CHECK(come(&p, &g[7], 'h', PERMIT_NORMAL, 7, 1) == PERMIT_REFUSED);
    for (size_t i = 8; i < 11; i++)
        CHECK(come(&p, &g[i], (char)('a' + i), PERMIT_HIGH, 8, 1) == PERMIT_WAITING);
    CHECK_EQ_STR(shed, "cafdb");
    CHECK(come(&p, &g[11], 'l', PERMIT_HIGH, 9, 1) == PERMIT_REFUSED);
    CHECK_EQ_I64(p.waiting_n, 4);
    serve_all(&p);
    CHECK_EQ_STR(served, "gijk");
}

/* Whoever cannot be told to go stays. */
TEST(some_are_never_displaced)
{
    struct permits p;
    struct guest g[2];
    close_door(&p, 1);
    CHECK(come(&p, &g[0], 'a', PERMIT_LOW, 1, 1) == PERMIT_WAITING);
    g[0].waiter.shed = NULL;
    CHECK(come(&p, &g[1], 'b', PERMIT_HIGH, 2, 1) == PERMIT_REFUSED);
    serve_all(&p);
    CHECK_EQ_STR(served, "a");
}

/* A place never goes to somebody whose time is up. */
TEST(deadlines)
{
    struct permits p;
    struct guest g[4];
    forget();
    permits_init(&p, 1, 10);
    CHECK(come(&p, &g[0], 'a', PERMIT_LOW, 0, 1) == PERMIT_TAKEN);
    for (size_t i = 1; i < 4; i++) {
        g[i] = (struct guest){.name = (char)('a' + i),
                              .waiter = {.deadline_ns = i < 3 ? 100 * (int64_t)i : 0,
                                         .grant = on_grant,
                                         .shed = on_shed}};
        CHECK(permits_take(&p, &g[i].waiter) == PERMIT_WAITING);
    }
    permits_give_held(&p, 0, 99);
    CHECK_EQ_STR(served, "b");
    permits_give_held(&p, 99, 200);
    CHECK_EQ_STR(served, "bd");
    CHECK_EQ_STR(shed, "c");
    CHECK(p.held == 1 && p.waiting_n == 0);
    permits_give(&p);
    permits_done(&p);
}

TEST(the_wait_is_estimated)
{
    static struct guest g[30];
    struct permits p;
    forget();
    permits_init(&p, 4, 100);
    CHECK_EQ_I64(permits_wait_ns(&p), 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(come(&p, &g[i], 'a', PERMIT_LOW, 0, 1) == PERMIT_TAKEN);
    come_many(&p, g + 4, 20, 'b', PERMIT_LOW, 0, 1);
    CHECK_EQ_I64(permits_wait_ns(&p), 0); /* nobody has been served yet */
    permits_give_held(&p, 1000, 3000);
    CHECK_EQ_I64(p.mean_held_ns, 2000);
    CHECK_EQ_I64(permits_wait_ns(&p), 19 * 2000 / 4);
    struct guest elsewhere = {
        .waiter = {.flow = 9, .queues = 2, .grant = on_grant, .shed = on_shed}};
    CHECK(permits_take(&p, &elsewhere.waiter) == PERMIT_WAITING); /* half of one */
    CHECK_EQ_I64(permits_wait_ns(&p), 39 * 2000 / 8);
    CHECK(permits_leave(&p, &elsewhere.waiter));
    CHECK_EQ_I64(permits_wait_ns(&p), 19 * 2000 / 4);
    for (int i = 0; i < 15; i++)
        permits_give_held(&p, 0, 1000);
    CHECK(p.mean_held_ns > 1000 && p.mean_held_ns < 1500);
    permits_set(&p, 0, 100);
    CHECK_EQ_I64(permits_wait_ns(&p), 0);
    while (p.held > 0)
        permits_give(&p);
    permits_done(&p);
}

/* Who would wait for too long is told so at once; those of a lower class are not in the way. */
TEST(who_would_be_late_is_refused)
{
    static struct guest g[12], late, high;
    struct permits p;
    forget();
    permits_init(&p, 2, 100);
    for (size_t i = 0; i < 3; i++)
        CHECK(come(&p, &g[i], 'a', PERMIT_NORMAL, 0, 1) == (i < 2 ? PERMIT_TAKEN : PERMIT_WAITING));
    permits_give_held(&p, 0, 1000); /* a place is held for 1000 on average */
    come_many(&p, g + 3, 4, 'b', PERMIT_NORMAL, 0, 1);
    late.waiter = (struct permit_waiter){
        .class = PERMIT_NORMAL, .deadline_ns = 1000 + 2000, .grant = on_grant, .shed = on_shed};
    CHECK(permits_take(&p, &late.waiter) == PERMIT_REFUSED);
    late.waiter.deadline_ns++;
    CHECK(permits_take(&p, &late.waiter) == PERMIT_WAITING);
    high.waiter = (struct permit_waiter){
        .class = PERMIT_HIGH, .deadline_ns = 1001, .grant = on_grant, .shed = on_shed};
    CHECK(permits_take(&p, &high.waiter) == PERMIT_WAITING);
    CHECK_EQ_I64(p.waiting_n, 6);
    while (p.held > 0)
        permits_give(&p);
    permits_done(&p);
}
