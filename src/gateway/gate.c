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
    mem_free(g->name);
    mem_free(e);
}

void gate_set_limits(struct gate *g, int64_t inflight, int64_t queue)
{
    permits_set(&g->permits, inflight, queue);
}

void gate_set_state(struct gate *g, enum gate_state state, int64_t inflight, int64_t queue)
{
    g->state = (int)state;
    permits_set(&g->permits,
                state == GATE_STARTING ? -1
                : state == GATE_FAILED ? 0
                                       : inflight,
                queue);
}
