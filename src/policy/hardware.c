/* Processor sharing of paid hours. */
#include "policy/hardware.h"

#include <pthread.h>

#include "base/mem.h"

struct hardware {
    pthread_mutex_t lock;
    struct hardware *next;
    char *name;
    int64_t open, last_ns, busy_ns;
    int64_t part_ns; /* what one that was there all along would have had */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hardware *registry;

struct hardware *hardware_get(struct slice name)
{
    struct hardware *found = NULL;
    pthread_mutex_lock(&registry_lock);
    for (struct hardware *h = registry; h != NULL; h = h->next) {
        if (slice_is(name, h->name))
            found = h;
    }
    if (found == NULL) {
        found = mem_calloc(1, sizeof *found);
        char *copy = mem_strndup(name.p, name.n);
        if (found == NULL || copy == NULL) {
            mem_free(TAKE(found));
            mem_free(copy);
        } else {
            pthread_mutex_init(&found->lock, NULL);
            found->name = copy;
            found->next = registry;
            registry = found;
        }
    }
    pthread_mutex_unlock(&registry_lock);
    return found;
}

static void advance(struct hardware *h, int64_t now_ns)
{
    int64_t passed = now_ns - h->last_ns;
    if (passed <= 0)
        return;
    if (h->open > 0) {
        h->busy_ns += passed;
        h->part_ns += passed / h->open;
    }
    h->last_ns = now_ns;
}

int64_t hardware_enter(struct hardware *h, int64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    advance(h, now_ns);
    h->open++;
    int64_t mark = h->part_ns;
    pthread_mutex_unlock(&h->lock);
    return mark;
}

int64_t hardware_leave(struct hardware *h, int64_t now_ns, int64_t mark)
{
    pthread_mutex_lock(&h->lock);
    advance(h, now_ns);
    h->open--;
    int64_t part = h->part_ns - mark;
    pthread_mutex_unlock(&h->lock);
    return part;
}

int64_t hardware_busy_ns(struct hardware *h, int64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    advance(h, now_ns);
    int64_t busy = h->busy_ns;
    pthread_mutex_unlock(&h->lock);
    return busy;
}
