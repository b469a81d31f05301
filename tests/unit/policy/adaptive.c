/* The gradient limiter at a simulated server: `slots` requests at once, each for a random time, the
 * others in the order of their arrival. The knee is at as many in flight as it has slots: more only
 * wait. Time is simulated. */
#include "policy/adaptive.h"

#include <math.h>

#include "base/clock.h"
#include "check.h"

#define FLIGHT_MAX 4096

struct server {
    struct adaptive limiter;
    int64_t slots;
    double service_ns; /* mean */
    int64_t now_ns;
    int64_t inflight, busy, served;
    int64_t ends[FLIGHT_MAX], since[FLIGHT_MAX]; /* of the busy slots */
    int64_t queue[FLIGHT_MAX];                   /* when those who wait there were sent: a ring */
    size_t first;
    double limits; /* sum over the served */
};

static double uniform(void)
{
    return ((double)(check_random() >> 11) + 1) / 9007199254740993.0; /* 2^53 + 1 */
}

static void begin(struct server *s, int64_t sent_ns)
{
    double takes = -log(uniform()) * s->service_ns;
    s->since[s->busy] = sent_ns;
    s->ends[s->busy++] = s->now_ns + (int64_t)takes + 1;
}

static void send(struct server *s)
{
    int64_t waiting = s->inflight - s->busy;
    CHECK(s->inflight < FLIGHT_MAX);
    s->inflight++;
    if (s->busy < s->slots)
        begin(s, s->now_ns);
    else
        s->queue[(s->first + (size_t)waiting) % FLIGHT_MAX] = s->now_ns;
}

static int64_t next_end(const struct server *s)
{
    int64_t next = 0;
    for (int64_t i = 1; i < s->busy; i++)
        next = s->ends[i] < s->ends[next] ? i : next;
    return next;
}

/* The next one gets its token, and leaves. */
static void finish_one(struct server *s)
{
    int64_t i = next_end(s), sent = s->since[i];
    int64_t waiting = s->inflight - s->busy;
    s->now_ns = s->ends[i];
    s->busy--;
    s->ends[i] = s->ends[s->busy];
    s->since[i] = s->since[s->busy];
    if (waiting > 0 && s->busy < s->slots) {
        begin(s, s->queue[s->first]);
        s->first = (s->first + 1) % FLIGHT_MAX;
    }
    int64_t limit = adaptive_sample(&s->limiter, s->now_ns - sent, s->inflight);
    CHECK(limit >= ADAPTIVE_MIN && limit <= ADAPTIVE_MAX && limit == adaptive_limit(&s->limiter));
    s->inflight--;
    s->served++;
    s->limits += (double)limit;
}

static struct server *server_new(int64_t slots, double service_ns)
{
    static struct server s;
    s = (struct server){.slots = slots, .service_ns = service_ns};
    adaptive_init(&s.limiter);
    return &s;
}

/* `n` are served while there is always somebody who wants to come in. Returns the mean limit. */
static double saturate(struct server *s, int64_t n)
{
    int64_t until = s->served + n;
    s->limits = 0;
    while (s->served < until) {
        while (s->inflight < adaptive_limit(&s->limiter))
            send(s);
        finish_one(s);
    }
    return s->limits / (double)n;
}

/* The same where they come at random, `share` of what the server can serve, and are turned away
 * above the limit. */
static double offer(struct server *s, int64_t n, double share)
{
    double rate = share * (double)s->slots / s->service_ns;
    int64_t until = s->served + n, next = s->now_ns;
    s->limits = 0;
    while (s->served < until) {
        if (s->busy > 0 && s->ends[next_end(s)] <= next) {
            finish_one(s);
            continue;
        }
        s->now_ns = next;
        if (s->inflight < adaptive_limit(&s->limiter))
            send(s);
        next += (int64_t)(-log(uniform()) / rate) + 1;
    }
    return s->limits / (double)n;
}

static void check_near(double limit, double knee)
{
    check_note("limit %.1f, knee %.0f", limit, knee);
    CHECK(limit >= knee / 2 && limit <= knee * 2);
    check_note("%s", "");
}

TEST(finds_the_knee)
{
    static const int64_t knees[] = {4, 8, 16, 50, 200};
    for (size_t i = 0; i < ARRAY_LEN(knees); i++) {
        struct server *s = server_new(knees[i], 0.3 * NS_PER_S);
        saturate(s, 20000);
        for (int round = 0; round < 10; round++)
            check_near(saturate(s, 2000), (double)knees[i]);
    }
}

/* It is not the load that it finds. */
TEST(overload_makes_no_difference)
{
    static const double loads[] = {1.2, 2, 5};
    for (size_t i = 0; i < ARRAY_LEN(loads); i++) {
        struct server *s = server_new(32, 0.1 * NS_PER_S);
        offer(s, 20000, loads[i]);
        for (int round = 0; round < 10; round++)
            check_near(offer(s, 2000, loads[i]), 32);
    }
}

/* A limit that nobody needs neither grows nor shrinks, and never turns anybody away. */
TEST(light_load)
{
    struct server *s = server_new(100, 0.1 * NS_PER_S);
    offer(s, 20000, 0.03); /* 3 in flight */
    CHECK(adaptive_limit(&s->limiter) >= 6 && adaptive_limit(&s->limiter) <= ADAPTIVE_START);
}

/* Five times as slow for a while, with as many slots: what is usual is learnt anew. */
TEST(recovers_from_a_slowdown)
{
    struct server *s = server_new(40, 0.2 * NS_PER_S);
    saturate(s, 20000);
    double before = saturate(s, 5000);
    s->service_ns *= 5;
    double first = saturate(s, 1000);
    saturate(s, 20000);
    check_near(saturate(s, 5000), 40);
    s->service_ns /= 5;
    saturate(s, 10000);
    check_near(saturate(s, 5000), 40);
    CHECK(first < before); /* it gave way at first */
}

/* The server loses most of its slots, and gets them back. */
TEST(recovers_from_lost_slots)
{
    struct server *s = server_new(80, 0.2 * NS_PER_S);
    saturate(s, 30000);
    s->slots = 10;
    saturate(s, 20000);
    for (int round = 0; round < 5; round++)
        check_near(saturate(s, 2000), 10);
    s->slots = 80;
    saturate(s, 30000);
    for (int round = 0; round < 5; round++)
        check_near(saturate(s, 2000), 80);
}

/* Nothing that can be said to it breaks it. */
TEST(nonsense)
{
    struct adaptive a;
    adaptive_init(&a);
    for (int i = 0; i < 100000; i++) {
        static const int64_t odd[] = {0, 1, -1, INT64_C(1) << 40, NS_PER_S};
        int64_t n = adaptive_sample(&a, odd[check_random_below(ARRAY_LEN(odd))],
                                    (int64_t)check_random_below(3000));
        CHECK(n >= ADAPTIVE_MIN && n <= ADAPTIVE_MAX);
    }
}
