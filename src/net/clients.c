/* Connections by client address: a hash table in shards, each with a lock of its own that is held
 * for one look-up. Allocation happens outside the locks. */
#include "clients.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

#define SHARDS      64
#define BUCKETS_MIN ((size_t)16) /* of a shard */
#define BUCKETS_MAX ((size_t)1 << 14)
#define V6_BYTES    8 /* whoever has one address of a /64 has them all */

struct net_client {
    struct list node; /* in its bucket */
    uint8_t key[1 + 16];
    uint64_t hash;
    int64_t connections;
};

struct shard {
    pthread_mutex_t lock;
    struct list *buckets;
};

struct net_clients {
    int64_t cap;
    size_t buckets; /* of a shard; a power of two */
    struct shard shards[SHARDS];
};

struct net_clients *net_clients_new(int64_t cap, int64_t connections)
{
    struct net_clients *t = mem_calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->cap = cap;
    t->buckets = BUCKETS_MIN;
    while (t->buckets < BUCKETS_MAX && (int64_t)t->buckets * SHARDS < connections)
        t->buckets *= 2;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &t->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        s->buckets = mem_calloc(t->buckets, sizeof *s->buckets);
        if (s->buckets == NULL) {
            net_clients_free(t);
            return NULL;
        }
        for (size_t b = 0; b < t->buckets; b++)
            list_init(&s->buckets[b]);
    }
    return t;
}

void net_clients_free(struct net_clients *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < SHARDS && t->shards[i].buckets != NULL; i++) {
        for (size_t b = 0; b < t->buckets; b++)
            ASSERT(list_empty(&t->shards[i].buckets[b]));
        pthread_mutex_destroy(&t->shards[i].lock);
        mem_free(t->shards[i].buckets);
    }
    mem_free(t);
}

static struct shard *shard_of(struct net_clients *t, uint64_t hash)
{
    return &t->shards[hash % SHARDS];
}

static struct list *bucket_of(const struct net_clients *t, const struct shard *s, uint64_t hash)
{
    return &s->buckets[hash / SHARDS & (t->buckets - 1)];
}

static struct net_client *client_new(const struct net_addr *a)
{
    struct net_client *c = mem_calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->key[0] = a->family;
    memcpy(c->key + 1, a->bytes, a->family == AF_INET6 ? V6_BYTES : 4);
    c->hash = hash64(slice_of((const char *)c->key, sizeof c->key));
    return c;
}

/* The client of that key that is in the table already, or NULL. */
static struct net_client *find(struct list *bucket, const struct net_client *like)
{
    list_foreach (it, bucket) {
        struct net_client *c = container_of(it, struct net_client, node);
        if (memcmp(c->key, like->key, sizeof c->key) == 0)
            return c;
    }
    return NULL;
}

bool clients_enter(struct net_clients *t, const struct net_addr *a, struct net_client **ret)
{
    struct net_client *fresh = client_new(a);
    if (fresh == NULL)
        return false;
    struct shard *s = shard_of(t, fresh->hash);
    struct list *bucket = bucket_of(t, s, fresh->hash);
    pthread_mutex_lock(&s->lock);
    struct net_client *c = find(bucket, fresh);
    if (c == NULL) {
        c = TAKE(fresh);
        list_push_front(bucket, &c->node);
    }
    bool ok = c->connections < t->cap;
    if (ok)
        c->connections++;
    pthread_mutex_unlock(&s->lock);
    mem_free(fresh);
    if (ok)
        *ret = c;
    return ok;
}

void clients_leave(struct net_clients *t, struct net_client *c)
{
    if (c == NULL)
        return;
    struct shard *s = shard_of(t, c->hash);
    pthread_mutex_lock(&s->lock);
    bool last = --c->connections == 0;
    if (last)
        list_remove(&c->node);
    pthread_mutex_unlock(&s->lock);
    if (last)
        mem_free(c);
}
