/* Several workers on real threads and the real clock, which fight for the few places of one gate:
 * clients leave and queue times run out while grants are on their way, limits and snapshots change
 * meanwhile. No place gets lost, nobody is answered twice. Made for ThreadSanitizer. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "world.h"

#define WORKERS  4
#define CLIENTS  6    /* of each worker at once */
#define REQUESTS 2000 /* of each worker, at least */
#define ACTIONS  8    /* in one turn */
#define LATE     300  /* grants that have come too late, at least */
#define QUEUE_NS (300 * NS_PER_US)
#define PATIENCE (60 * NS_PER_S)

/* What one worker's clients and upstreams do; touched by its thread only while that runs. */
struct driver {
    uint64_t random;
    struct net_stream *clients[CLIENTS];
    unsigned made, answered, failed, timed_out, full, gone;
    unsigned answered_as[PERMIT_CLASSES_N]; /* of those answered, by the priority of their key */
    enum gw_priority as[CLIENTS];
    bool resting;
};

static struct driver drivers[WORKERS];
static _Atomic bool enough;      /* late grants have been seen: come to rest */
static _Atomic unsigned at_rest; /* drivers that have nothing left to do */
static _Atomic unsigned wrong;   /* answers that nobody should get */

static uint64_t chance(struct driver *d, uint64_t below)
{
    return hash_mix(d->random += HASH_STEP) % below;
}

static void look_at(struct driver *d, struct net_stream **s)
{
    if (*s == NULL || (*s)->state == CLIENT_OPEN)
        return;
    struct slice body = text_view(&(*s)->body);
    if ((*s)->state == CLIENT_GONE)
        d->gone++;
    else if ((*s)->status == 200 && slice_eq(body, SLICE(CHAT_ANSWER)))
        d->answered++, d->answered_as[d->as[s - d->clients]]++;
    else if ((*s)->status == 502 && memmem(body.p, body.n, "upstream_reset", 14) != NULL)
        d->failed++;
    else if ((*s)->status == 503 && memmem(body.p, body.n, "queue_full", 10) != NULL)
        d->full++;
    else if ((*s)->status == 503 && memmem(body.p, body.n, "queue_timeout", 13) != NULL)
        d->timed_out++;
    else
        wrong++;
    client_free(TAKE(*s));
}

/* All of one thread: chat_body's memory is shared. */
static void comes(struct driver *d, struct net_loop *loop, struct net_stream **s)
{
    static const char *const bodies[] = {
        "{\"model\":\"house\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"house-twice\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"house-tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"two\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
    };
    static const char *const keys[] = {[PRIORITY_LOW] = "Authorization: Bearer sk-low\n",
                                       [PRIORITY_NORMAL] = "Authorization: Bearer sk-normal\n",
                                       [PRIORITY_HIGH] = "Authorization: Bearer sk-high\n"};
    const char *body = bodies[chance(d, ARRAY_LEN(bodies))];
    enum gw_priority as = (enum gw_priority)chance(d, ARRAY_LEN(keys));
    struct client_request r = {.method = HTTP_POST,
                               .path = "/v1/chat/completions",
                               .fields = keys[as],
                               .content_length = (int64_t)strlen(body)};
    d->made++;
    d->as[s - d->clients] = as;
    *s = client_new(loop, &r);
    client_body(*s, slice_str(body), true);
}

static void upstream_answers(struct driver *d, struct net_loop *loop)
{
    struct call *c = call_last_open(loop);
    if (c != NULL && chance(d, 8) == 0)
        call_fail(c, NET_FAIL_RESET, "");
    else if (c != NULL)
        answer_json(c, 200, SLICE(CHAT_ANSWER));
    calls_forget(loop);
}

static void rest(struct driver *d, struct net_loop *loop)
{
    bool busy = calls_open(loop) > 0;
    for (size_t i = 0; i < CLIENTS; i++)
        busy = busy || d->clients[i] != NULL;
    if (busy) {
        upstream_answers(d, loop);
        return;
    }
    at_rest += !d->resting;
    d->resting = true;
    usleep(500);
}

/* One of the things that can happen. */
static void act(struct driver *d, struct net_loop *loop)
{
    struct net_stream **s = &d->clients[chance(d, CLIENTS)];
    uint64_t what = chance(d, 10);
    for (size_t i = 0; i < CLIENTS; i++)
        look_at(d, &d->clients[i]);
    if (*s == NULL)
        comes(d, loop, s);
    else if (what < 3)
        client_leave(*s, NET_GONE_CLOSED);
    else
        upstream_answers(d, loop);
}

/* In the worker's own thread. Messages wait until a turn is over, which gives them time to come too
 * late. */
static void work(struct net_loop *loop)
{
    struct driver *d = &drivers[container_of(loop, struct worker, loop)->index];
    bool done = d->made >= REQUESTS && enough;
    for (size_t i = 0; i < CLIENTS; i++)
        look_at(d, &d->clients[i]);
    for (int i = 0; i < ACTIONS && !done; i++)
        act(d, loop);
    if (done)
        rest(d, loop);
}

/* The workers share what is known of the targets, and the budget of second attempts. */
static void share(struct gw_model *m)
{
    m->live = mem_must(model_live_get(m->name, false));
    for (size_t i = 0; i < m->targets_n; i++)
        m->targets[i].live = mem_must(target_live_get(m->targets[i].label));
    m->hedge_after_ns = 100 * NS_PER_US;
    m->hedge_percent = 50;
}

static void short_queues(struct gw_snapshot *s)
{
    share(snapshot_model(s, "two"));
    share(snapshot_model(s, "house-twice"));
    share(snapshot_model(s, "house-tiny"));
    s->auth_keys = true;
    snapshot_add_key(s, "low", PRIORITY_LOW);
    snapshot_add_key(s, "normal", PRIORITY_NORMAL);
    snapshot_add_key(s, "high", PRIORITY_HIGH);
    snapshot_provider(s, HOUSE)->timeouts.ns[TIMEOUT_QUEUE] = QUEUE_NS;
    snapshot_provider(s, TINY)->timeouts.ns[TIMEOUT_QUEUE] = QUEUE_NS;
}

static struct world *begin(uint64_t seed)
{
    at_rest = wrong = 0;
    enough = false;
    for (unsigned i = 0; i < WORKERS; i++)
        drivers[i] = (struct driver){.random = seed * WORKERS + i};
    log_count_only(true);
    loops_run_free(work);
    struct world *w = world_new_threads(short_queues, WORKERS);
    loops_run_free(NULL);
    return w;
}

/* From another thread, as the control layer and the engines do it. */
static void disturb(struct world *w, unsigned round)
{
    struct buf metrics;
    gate_set_limits(w->house, 1 + round % 3, 2 + round % 5);
    gate_set_state(w->tiny, round % 4 == 3 ? GATE_STARTING : GATE_OPEN, 1 + round % 2, 4);
    world_install(w, short_queues);
    buf_init(&metrics, 1 << 20);
    metric_render(&metrics);
    gateway_metrics(&metrics, w->gateway);
    buf_done(&metrics);
    usleep(300);
}

static void settle_accounts(struct world *w, unsigned made)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        for (size_t k = 0; k < CLIENTS; k++)
            look_at(&drivers[i], &drivers[i].clients[k]);
        const struct driver *d = &drivers[i];
        n += d->answered + d->failed + d->timed_out + d->full + d->gone;
    }
    CHECK_EQ_I64(wrong, 0);
    CHECK_EQ_I64(n, made);
    CHECK_EQ_I64(log_lines(), made);
    CHECK_EQ_I64(w->house->permits.held + w->tiny->permits.held, 0);
    CHECK_EQ_I64(w->house->permits.waiting_n + w->tiny->permits.waiting_n, 0);
    CHECK_EQ_I64(world_gauge("llm_inflight"), 0);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 0);
    log_count_only(false);
}

static unsigned sum_of(size_t offset)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        n += *(const unsigned *)(const void *)((const char *)&drivers[i] + offset);
    return n;
}

TEST(places_of_a_gate)
{
    struct world *w = begin(1);
    int64_t start = clock_mono_ns();
    for (unsigned round = 0; at_rest < WORKERS; round++) {
        disturb(w, round);
        enough = metric_plain_value(MP_LATE_GRANTS) >= LATE;
        CHECK(clock_mono_ns() - start < PATIENCE);
    }
    int64_t late = metric_plain_value(MP_LATE_GRANTS);
    int64_t shed_low = world_metric("weir_shed_total", "class=\"low\"");
    int64_t shed_high = world_metric("weir_shed_total", "class=\"high\"");
    world_stop(w);
    settle_accounts(w, sum_of(offsetof(struct driver, made)));
    unsigned answered = sum_of(offsetof(struct driver, answered));
    unsigned timed_out = sum_of(offsetof(struct driver, timed_out));
    unsigned full = sum_of(offsetof(struct driver, full));
    printf("%u answered, %u timed out, %u found the queue full; %lld late grants\n", answered,
           timed_out, full, (long long)late);
    unsigned low = sum_of(offsetof(struct driver, answered_as[PRIORITY_LOW]));
    unsigned high = sum_of(offsetof(struct driver, answered_as[PRIORITY_HIGH]));
    printf("%u of low and %u of high priority were answered; %lld and %lld times shed\n", low, high,
           (long long)shed_low, (long long)shed_high);
    CHECK(low > 0 && high > 0 && shed_low > shed_high);
    CHECK(late >= LATE && answered > 0 && timed_out > 0 && full > 0); /* else nothing was tested */
    world_free(w);
}

/* Workers stop one after the other, with grants and snapshots on their way to each other. */
TEST(stop_amid_of_it)
{
    for (unsigned i = 0; i < 20; i++) {
        check_note("round %u", i);
        struct world *w = begin(i + 2);
        for (unsigned round = 0; round < 5; round++)
            disturb(w, round);
        gate_set_state(w->tiny, GATE_OPEN, 1, 4);
        gateway_drain(w->gateway);
        world_stop(w);
        settle_accounts(w, sum_of(offsetof(struct driver, made)));
        world_free(w);
    }
    check_note("%s", "");
}
