/* Gates and their registry. */
#include "gateway/gate.h"

#include "base/list.h"
#include "base/mem.h"

struct entry {
    struct list node;
    struct gate gate;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list gates = {&gates, &gates};

static struct gate *find(struct slice name)
{
    list_foreach (it, &gates) {
        struct entry *e = container_of(it, struct entry, node);
        if (slice_is(name, e->gate.name))
            return &e->gate;
    }
    return NULL;
}

static struct gate *make(struct slice name)
{
    struct entry *e = mem_calloc(1, sizeof *e);
    char *copy = mem_strndup(name.p, name.n);
    if (e == NULL || copy == NULL) {
        mem_free(e);
        mem_free(copy);
        return NULL;
    }
    e->gate.name = copy;
    permits_init(&e->gate.permits, 0, 0);
    pthread_mutex_init(&e->gate.lock, NULL);
    list_push_back(&gates, &e->node);
    return &e->gate;
}

struct gate *gate_get(struct slice name)
{
    pthread_mutex_lock(&lock);
    struct gate *g = find(name);
    if (g == NULL)
        g = make(name);
    if (g != NULL)
        g->refs++;
    pthread_mutex_unlock(&lock);
    return g;
}

struct gate *gate_ref(struct gate *g)
{
    g->refs++;
    return g;
}

void gate_unref(struct gate *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&lock); /* gate_get must not find it while it goes */
    bool last = --g->refs == 0;
    struct entry *e = container_of(g, struct entry, gate);
    if (last)
        list_remove(&e->node);
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    permits_done(&g->permits);
    pthread_mutex_destroy(&g->lock);
    mem_free(g->name);
    mem_free(e);
}

static void set_capacity(struct gate *g, int64_t inflight, int64_t queue)
{
    g->capacity = inflight;
    permits_set(&g->permits, inflight, queue);
}

void gate_set_limits(struct gate *g, int64_t inflight, int64_t queue)
{
    pthread_mutex_lock(&g->lock);
    g->adapts = false;
    pthread_mutex_unlock(&g->lock);
    set_capacity(g, inflight, queue);
}

static int64_t adapted(const struct gate *g)
{
    int64_t limit = adaptive_limit(&g->adaptive);
    return g->most > 0 ? MIN_OF(limit, g->most) : limit;
}

void gate_set_adaptive(struct gate *g, int64_t most, int64_t queue)
{
    pthread_mutex_lock(&g->lock);
    if (!g->adapts)
        adaptive_init(&g->adaptive);
    g->adapts = true;
    g->most = most;
    g->queue = queue;
    set_capacity(g, adapted(g), queue);
    pthread_mutex_unlock(&g->lock);
}

void gate_sample(struct gate *g, int64_t first_token_ns)
{
    pthread_mutex_lock(&g->lock);
    if (g->adapts) {
        int64_t before = adapted(g);
        (void)adaptive_sample(&g->adaptive, first_token_ns, gate_inflight(g));
        if (adapted(g) != before)
            set_capacity(g, adapted(g), g->queue);
    }
    pthread_mutex_unlock(&g->lock);
}

void gate_set_state(struct gate *g, enum gate_state state, int64_t inflight, int64_t queue)
{
    if (atomic_exchange(&g->state, (int)state) != (int)state && state == GATE_STARTING)
        g->epoch++;
    g->capacity = state == GATE_OPEN ? inflight : 0;
    permits_set(&g->permits,
                state == GATE_STARTING ? -1
                : state == GATE_FAILED ? 0
                                       : inflight,
                queue);
}
