/* The registry of aliases. */
#include "policy/model_live.h"

#include <pthread.h>

#include "base/mem.h"

#define MODELS_MAX   4096
#define PREFIX_BYTES ((size_t)1 << 20)

struct entry {
    struct entry *next;
    char *name;
    struct model_live live;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static size_t entries_n;

static struct entry *make(struct slice name)
{
    struct entry *e = mem_calloc(1, sizeof *e);
    char *copy = mem_strndup(name.p, name.n);
    if (e == NULL || copy == NULL) {
        mem_free(e);
        mem_free(copy);
        return NULL;
    }
    e->name = copy;
    e->next = entries;
    entries = e;
    entries_n++;
    return e;
}

struct model_live *model_live_get(struct slice name, bool prefix)
{
    pthread_mutex_lock(&lock);
    struct entry *e = entries;
    while (e != NULL && !slice_is(name, e->name))
        e = e->next;
    if (e == NULL && entries_n < MODELS_MAX)
        e = make(name);
    if (e != NULL && prefix && e->live.prefix == NULL)
        e->live.prefix = prefix_table_new(PREFIX_BYTES); /* NULL: it routes by load alone */
    pthread_mutex_unlock(&lock);
    return e != NULL ? &e->live : NULL;
}
