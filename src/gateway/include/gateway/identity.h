/* Who asks, and what they may: organisations, teams, keys, use cases, with everything that plans
 * lend them resolved. Values of a snapshot; the live state of limits is in the registry. */
#ifndef GATEWAY_IDENTITY_H
#define GATEWAY_IDENTITY_H

#include "base/arena.h"
#include "base/hash.h"
#include "net/addr.h"
#include "policy/limits.h"

/* Whoever has limits and a budget of their own. */
struct gw_scope {
    struct slice name;
    enum scope_kind kind;
    struct limit_scope *live; /* NULL: nothing is limited or counted here */
    struct limit_set set;
    struct slice downgrade_to;       /* alias that is used instead once a budget is used up to */
    unsigned downgrade_from_percent; /* this share; 0: no downgrade */
    uint32_t ledger_id;
};

/* What a provider does with data, and what a request's owner demands of it. */
enum gw_location { LOCATION_ANY, LOCATION_CLOUD, LOCATION_ON_PREMISE };
struct gw_governance {
    enum gw_location location; /* ANY: not said */
    int64_t retention_days;    /* -1: not said */
    int trains;                /* 1, 0; -1: not said */
    int data_class;            /* the highest that may go there; -1: not said */
};
struct gw_data_rules {
    enum gw_location location; /* ANY: no matter */
    int64_t retention_days;    /* at most; -1: no matter */
    bool no_training;
};

struct gw_use_case {
    struct gw_scope scope;
    struct slice owner, data_class;
    int data_level; /* of its data_class: 0 public to 3 restricted; -1: not given */
    struct gw_data_rules rules;
    struct slice last_resort; /* instead of the alias', or empty */
};

enum gw_priority { PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH };

struct gw_key {
    struct gw_scope scope;
    const struct gw_scope *team, *organisation; /* NULL: none */
    struct slice plan;
    const struct limit_set *user_set;   /* limits of each end user; NULL: none */
    const struct gw_use_case *use_case; /* what its requests are for; NULL: none */
    struct slice user;                  /* all its requests are of this user, or empty */
    bool may_set_user, may_set_use_case, may_set_strategy;
    struct gw_data_rules rules;
    enum gw_priority priority;
    unsigned weight;    /* in queues, against other keys of its priority; 0 counts as 1 */
    int64_t max_tokens; /* most output that a request may ask for; LIMIT_NONE */
    struct slice *models, *providers, *regions; /* patterns, '*' at the end; none: all */
    size_t models_n, providers_n, regions_n;
    struct net_prefix *networks; /* none: all */
    size_t networks_n;
    int64_t expires_ns; /* wall clock; 0: never */
    bool disabled;
    bool issued; /* by `weir key` or the admin API, not in the file */
};

/* All keys by digest, the file's and the issued ones. Workers look up; the control thread adds,
 * replaces and removes, which counts from that moment on for all workers. What was given out stays
 * valid as long as the ring, which a snapshot owns. */
struct gw_key_ring;
/* NULL: no memory. */
NODISCARD struct gw_key_ring *gw_key_ring_new(void);
void gw_key_ring_free(struct gw_key_ring *r);
/* Memory for keys and what they point to; the control thread's. */
struct arena *gw_key_ring_arena(struct gw_key_ring *r);
/* Adds or replaces. A key may stand under two digests while it rotates; `until_ns` (wall clock; 0:
 * for ever) is when this one ceases to count. False: no memory. */
NODISCARD bool gw_key_ring_put(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES],
                               const struct gw_key *key, int64_t until_ns);
void gw_key_ring_remove(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES]);
/* Of the issued key of that name, all digests but these `n` cease to count. Control thread. */
void gw_key_ring_keep(struct gw_key_ring *r, struct slice name,
                      const uint8_t (*digests)[SHA256_BYTES], size_t n);
size_t gw_key_ring_count(const struct gw_key_ring *r);
/* NULL: unknown, expired or disabled, which takes the same time each. */
const struct gw_key *gw_key_ring_find(struct gw_key_ring *r, const uint8_t digest[SHA256_BYTES],
                                      int64_t wall_ns);
/* What stands there, expired or disabled as it may be; NULL: nothing. Control thread. */
const struct gw_key *gw_key_ring_peek(const struct gw_key_ring *r,
                                      const uint8_t digest[SHA256_BYTES]);

/* May data go there, by the rules and with that level of its class (-1: not given)? What demands
 * something is not met by a provider that says nothing of it; the lowest level demands nothing. */
bool gw_governance_fits(const struct gw_governance *g, const struct gw_data_rules *rules,
                        int data_level);

/* Does one of the patterns fit? None at all fit everything. */
bool gw_allows(const struct slice *patterns, size_t n, struct slice name);

#endif
