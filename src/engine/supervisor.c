/* The engines that are to run, their gates, and what the world is told of them. */
#include "engine/supervisor.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "observe/metrics.h"
#include "process.h"
#include "replica.h"

#define SUPERVISOR_MAGIC 0x53555056u
#define NEVER_NS         INT64_MAX
#define GATE_PREFIX      "engine/"

/* One configured engine. It has one replica; several would share the gate. */
struct engine {
    struct list node;
    struct supervisor *supervisor;
    struct gate *gate;
    struct replica replica;
    bool wanted;                   /* in the configuration; freed once it has stopped otherwise */
    int64_t ran_ns, runs_since_ns; /* its processes that have ended; 0: none runs now */
    struct {
        bool up;
        int64_t pid, restarts, start_took_ns;
    } shown; /* to metrics; under the supervisor's lock */
};

struct supervisor {
    uint32_t magic;
    struct net_loop *loop;
    char *run_dir, *self;
    struct list engines;  /* changes under the lock, on the loop's thread */
    pthread_mutex_t lock; /* held for moments only, never while callbacks run */
    struct timer sweep;   /* always armed; frees what has stopped, outside of its callbacks */
    void (*done)(void *ctx);
    void *done_ctx;
    bool stopping;
};

static void sweep_soon(struct supervisor *s)
{
    bool set = net_timer_set(s->loop, &s->sweep, net_now(s->loop));
    ASSERT(set); /* it is armed: moving it cannot fail */
}

static void count_running(struct engine *e)
{
    int64_t now_ns = net_now(e->supervisor->loop);
    bool runs = e->replica.pid != 0;
    if (runs && e->runs_since_ns == 0) {
        e->runs_since_ns = now_ns;
    } else if (!runs && e->runs_since_ns != 0) {
        e->ran_ns += now_ns - e->runs_since_ns;
        e->runs_since_ns = 0;
    }
}

static void on_changed(struct replica *r)
{
    struct engine *e = container_of(r, struct engine, replica);
    const struct engine_config *c = &r->settings->config;
    pthread_mutex_lock(&e->supervisor->lock);
    e->shown.up = r->state == REPLICA_READY;
    e->shown.pid = r->pid;
    e->shown.restarts = MAX_OF(r->starts - 1, INT64_C(0));
    e->shown.start_took_ns = r->start_took_ns;
    pthread_mutex_unlock(&e->supervisor->lock);
    count_running(e);
    gate_set_state(e->gate, replica_gate(r), c->slots, c->queue);
    if (r->state == REPLICA_STOPPED)
        sweep_soon(e->supervisor);
}

static bool is_busy(struct replica *r)
{
    return gate_inflight(container_of(r, struct engine, replica)->gate) > 0;
}

static void engine_free(struct engine *e)
{
    pthread_mutex_lock(&e->supervisor->lock);
    list_remove(&e->node);
    pthread_mutex_unlock(&e->supervisor->lock);
    replica_done(&e->replica);
    gate_unref(e->gate);
    mem_free(e);
}

static void on_sweep(struct timer *t)
{
    struct supervisor *s = container_of(t, struct supervisor, sweep);
    bool set = net_timer_set(s->loop, t, NEVER_NS);
    ASSERT(set); /* the place in the heap that it has just left is free */
    list_foreach (it, &s->engines) {
        struct engine *e = container_of(it, struct engine, node);
        if (!e->wanted && e->replica.state == REPLICA_STOPPED)
            engine_free(e);
    }
    if (s->stopping && list_empty(&s->engines) && s->done != NULL)
        TAKE(s->done)(s->done_ctx);
}

struct supervisor *supervisor_new(struct net_loop *loop, const char *run_dir, const char *self)
{
    struct supervisor *s = mem_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct supervisor){.magic = SUPERVISOR_MAGIC,
                             .loop = loop,
                             .run_dir = mem_strndup(run_dir, strlen(run_dir)),
                             .self = mem_strndup(self, strlen(self))};
    list_init(&s->engines);
    pthread_mutex_init(&s->lock, NULL);
    timer_init(&s->sweep, on_sweep);
    if (s->run_dir == NULL || s->self == NULL || !net_timer_set(loop, &s->sweep, NEVER_NS)) {
        supervisor_free(s);
        return NULL;
    }
    return s;
}

static struct engine *find(const struct supervisor *s, struct slice name)
{
    list_foreach (it, &s->engines) {
        struct engine *e = container_of(it, struct engine, node);
        if (slice_eq(e->replica.settings->config.name, name))
            return e;
    }
    return NULL;
}

static const struct replica_owner owner = {.changed = on_changed, .busy = is_busy};

/* A stopped engine, with `settings` taken over. NULL: no memory. */
static struct engine *engine_new(struct supervisor *s, struct settings *settings)
{
    struct slice name = settings->config.name;
    struct slice gate = arena_printf(&settings->arena, GATE_PREFIX "%.*s", SLICE_ARG(name));
    struct engine *e = mem_calloc(1, sizeof *e);
    if (e == NULL || gate.p == NULL) {
        mem_free(e);
        return NULL;
    }
    e->supervisor = s;
    e->gate = gate_get(gate);
    if (e->gate == NULL || !replica_init(&e->replica, s->loop, s->self, &owner, settings)) {
        gate_unref(e->gate);
        mem_free(e);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    list_push_back(&s->engines, &e->node);
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* What one configured engine needs before anything may change. */
struct plan {
    struct settings *settings;
    struct engine *engine;
    bool fresh; /* the engine was made for this plan */
};

static bool make_plan(struct supervisor *s, const struct engine_config *c, struct plan *p)
{
    p->settings = settings_new(c, s->run_dir);
    p->engine = find(s, c->name);
    if (p->settings == NULL || p->engine != NULL)
        return p->settings != NULL;
    struct settings *first = settings_new(c, s->run_dir);
    p->engine = first != NULL ? engine_new(s, first) : NULL;
    if (p->engine == NULL)
        settings_free(first);
    p->fresh = p->engine != NULL;
    return p->fresh;
}

static void drop_plans(struct plan *plans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        settings_free(plans[i].settings);
        if (plans[i].fresh)
            engine_free(plans[i].engine);
    }
}

/* From here on nothing fails. */
static void carry_out(struct supervisor *s, struct plan *plans, size_t n)
{
    list_foreach (it, &s->engines)
        container_of(it, struct engine, node)->wanted = false;
    for (size_t i = 0; i < n; i++)
        plans[i].engine->wanted = true;
    list_foreach (it, &s->engines) {
        struct engine *e = container_of(it, struct engine, node);
        if (!e->wanted)
            replica_stop(&e->replica);
    }
    for (size_t i = 0; i < n; i++)
        replica_run(&plans[i].engine->replica, TAKE(plans[i].settings));
}

bool supervisor_apply(struct supervisor *s, const struct engine_config *configs, size_t n)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    if (s->stopping)
        return true;
    struct plan *plans = mem_calloc(n + 1, sizeof *plans);
    bool ok = plans != NULL;
    for (size_t i = 0; i < n && ok; i++)
        ok = make_plan(s, &configs[i], &plans[i]);
    if (ok)
        carry_out(s, plans, n);
    else if (plans != NULL)
        drop_plans(plans, n);
    mem_free(plans);
    return ok;
}

bool supervisor_socket(const struct supervisor *s, struct slice name, char *out, size_t size)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    return settings_socket(s->run_dir, name, out, size);
}

int64_t supervisor_ran_ns(const struct supervisor *s, struct slice name)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    const struct engine *e = find(s, name);
    if (e == NULL)
        return 0;
    return e->ran_ns + (e->runs_since_ns != 0 ? net_now(s->loop) - e->runs_since_ns : 0);
}

bool supervisor_owns(const struct supervisor *s, int64_t pid)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    list_foreach (it, &s->engines) {
        const struct channel *ch = container_of(it, struct engine, node)->replica.channel;
        if (ch != NULL && channel_pid(ch) == pid)
            return true;
    }
    return false;
}

void supervisor_stop(struct supervisor *s, void (*done)(void *ctx), void *ctx)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    s->stopping = true;
    s->done = done;
    s->done_ctx = ctx;
    list_foreach (it, &s->engines) {
        struct engine *e = container_of(it, struct engine, node);
        e->wanted = false;
        replica_stop(&e->replica);
    }
    sweep_soon(s);
}

void supervisor_free(struct supervisor *s)
{
    if (s == NULL)
        return;
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    list_foreach (it, &s->engines)
        engine_free(container_of(it, struct engine, node));
    net_timer_stop(s->loop, &s->sweep);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->run_dir);
    mem_free(s->self);
    s->magic = 0;
    mem_free(s);
}

static void put_engine(struct json_writer *w, struct engine *e)
{
    const struct replica *r = &e->replica;
    char since[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(r->state_since_wall_ns, since);
    jw_open(w, '{');
    jw_field_string(w, "name", r->settings->config.name);
    jw_field_string(w, "state", slice_str(replica_state_name(r->state)));
    jw_field_string(w, "since", slice_str(since));
    jw_field_string(w, "model", r->settings->config.model);
    jw_field_string(w, "socket", slice_str(r->settings->socket));
    jw_field_i64(w, "pid", r->pid);
    jw_field_i64(w, "restarts", MAX_OF(r->starts - 1, INT64_C(0)));
    jw_field_i64(w, "start_ms", r->start_took_ns / NS_PER_MS);
    jw_field_i64(w, "slots", r->settings->config.slots);
    jw_field_i64(w, "in_flight", gate_inflight(e->gate));
    jw_field_i64(w, "waiting", e->gate->permits.waiting_n);
    jw_field_string(w, "reason", slice_str(r->reason));
    jw_close(w, '}');
}

void supervisor_dump(const struct supervisor *s, struct json_writer *w)
{
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    jw_open(w, '[');
    list_foreach (it, &s->engines)
        put_engine(w, container_of(it, struct engine, node));
    jw_close(w, ']');
}

/* With the lock held. */
static double metric_of(const struct engine *e, enum metric_sampled m)
{
    switch (m) {
    case MS_ENGINE_UP: return e->shown.up;
    case MS_ENGINE_RESTARTS: return (double)e->shown.restarts;
    case MS_ENGINE_START: return (double)e->shown.start_took_ns / (double)NS_PER_S;
    case MS_ENGINE_RSS:
        return e->shown.pid > 0 ? (double)MAX_OF(process_rss_bytes((pid_t)e->shown.pid), INT64_C(0))
                                : 0;
    default: NEVER("no metric of engines");
    }
}

void supervisor_metrics(struct buf *out, void *supervisor)
{
    struct supervisor *s = supervisor;
    static const enum metric_sampled metrics[] = {MS_ENGINE_UP, MS_ENGINE_RESTARTS, MS_ENGINE_START,
                                                  MS_ENGINE_RSS};
    CHECK_MAGIC(s, SUPERVISOR_MAGIC);
    pthread_mutex_lock(&s->lock);
    for (unsigned m = 0; m < ARRAY_LEN(metrics) && !list_empty(&s->engines); m++) {
        metric_put_header(out, metrics[m]);
        list_foreach (it, &s->engines) {
            const struct engine *e = container_of(it, struct engine, node);
            struct slice name = slice_from(slice_str(e->gate->name), sizeof GATE_PREFIX - 1);
            metric_put_sample(out, metrics[m], name, metric_of(e, metrics[m]));
        }
    }
    pthread_mutex_unlock(&s->lock);
}
