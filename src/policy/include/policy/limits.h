/* Limits: who may use how much. Every scope (an organisation, a team, a key, an end user, a use
 * case, an alias) has one live state in a registry that all workers share and that outlives
 * reloads; the figures of its limits come from the configuration with each call.
 *
 * An admission is an entry (monotonic time, amounts) in each of its scopes: the reservation while
 * it is open, the actual figures once it is settled. Per-minute limits count an entry for 60 s, and
 * tokens as long as it is open. Windows are kept in slots of 100 ms: over the same history nothing
 * is admitted that an exact log of 60 s refuses, and nothing refused that one of 60.1 s admits.
 * Budgets count the entries of the current calendar period and all open ones. Actual figures above
 * the reservation are a debt that delays later admissions and is counted. */
#ifndef POLICY_LIMITS_H
#define POLICY_LIMITS_H

#include "base/compiler.h"
#include "base/slice.h"

enum limit_kind {
    LIMIT_REQUESTS, /* per minute */
    LIMIT_INPUT,    /* tokens per minute */
    LIMIT_OUTPUT,
    LIMIT_TOKENS,      /* both together */
    LIMIT_CONCURRENCY, /* open at once */
    LIMIT_BUDGET_HOUR, /* nano-dollars in a calendar period */
    LIMIT_BUDGET_DAY,
    LIMIT_BUDGET_WEEK,
    LIMIT_BUDGET_MONTH,
    LIMIT_KINDS_N
};
#define LIMIT_BUDGETS_N (LIMIT_KINDS_N - LIMIT_BUDGET_HOUR)

enum scope_kind {
    SCOPE_ORGANISATION,
    SCOPE_TEAM,
    SCOPE_KEY,
    SCOPE_USER,
    SCOPE_USE_CASE,
    SCOPE_MODEL,
    SCOPE_KINDS_N
};
/* "organisation", "use_case"; "requests_per_minute", "budget_day": as in the configuration. */
const char *scope_kind_name(enum scope_kind k);
const char *limit_kind_name(enum limit_kind k);

#define LIMIT_NONE INT64_MAX
/* The most that one entry may have of anything; more is taken as this much, so that no sum wraps.
 */
#define LIMIT_AMOUNT_MAX ((int64_t)1 << 48)

/* Figures of one scope; LIMIT_NONE where there is no limit. A zeroed set admits nothing. */
struct limit_set {
    int64_t most[LIMIT_KINDS_N];
};
extern const struct limit_set limit_set_none;

/* All live state. One per process; thread-safe. */
struct limit_registry;
/* Room for `users` end users at once (bounded memory: at most ~40 KB each while busy). NULL: no
 * memory. */
NODISCARD struct limit_registry *limit_registry_new(size_t users);
void limit_registry_free(struct limit_registry *r);

struct limit_scope;
/* The scope of that kind and name, made where there is none; it lives as long as the registry.
 * NULL: no memory. For the control thread: takes a lock and allocates. */
NODISCARD struct limit_scope *limit_scope_get(struct limit_registry *r, enum scope_kind kind,
                                              struct slice name);
/* The scope of an end user, by a hash of its name and of whose user it is that spreads evenly (the
 * ledger's, so that its spend can be restored). When the room for users is used up by others that
 * still count something, it is the scope that all further users share: never none. A user's place
 * is given to another when it counts nothing any more: no open entry, empty windows, and no spend
 * in a period under way of a budget that it has been asked about, or that was restored. It stays
 * the user's while an entry in it is open, and until the same thread calls this again: so ask for
 * the scope right before limit_admit, and keep it no longer than the hold. Any thread; allocates
 * nothing. */
struct limit_scope *limit_scope_user(struct limit_registry *r, uint64_t user, int64_t now_ns);
/* How many users have a scope of their own, and how often one had to take the shared one. */
void limit_users(struct limit_registry *r, int64_t *ret_cells, int64_t *ret_shared);

/* The budget periods under way: their starts in wall-clock nanoseconds, by LIMIT_BUDGET_* minus
 * LIMIT_BUDGET_HOUR. A start earlier than the present one is ignored: no clock brings a period
 * back. Control thread. */
void limit_set_periods(struct limit_registry *r, const int64_t start_wall_ns[LIMIT_BUDGETS_N]);
int64_t limit_period_start(const struct limit_registry *r, unsigned budget);
/* Spend of the period under way that is known from before: at the start, from the ledger; and
 * corrections later on (may be negative). */
void limit_add_spend(struct limit_registry *r, struct limit_scope *s,
                     const int64_t nano[LIMIT_BUDGETS_N]);

#define LIMIT_SCOPES_MAX SCOPE_KINDS_N

struct limit_use {
    struct limit_scope *scope;
    const struct limit_set *set;
};

/* What an entry counts. */
struct limit_amounts {
    int64_t requests, input, output; /* tokens */
    int64_t cost_nano;
    int64_t concurrency; /* 0 or 1 */
};

/* An admission. Zeroed: none. It is settled exactly once, on any thread. */
struct limit_node;
struct limit_hold {
    unsigned n;
    struct {
        struct limit_scope *scope;
        struct limit_node *node; /* NULL: nothing in the windows */
    } in[LIMIT_SCOPES_MAX];
    struct limit_amounts reserved;
    int64_t period_wall_ns[LIMIT_BUDGETS_N]; /* starts of the periods it belongs to */
    int64_t at_ns; /* its time in all of its scopes: now, or that of a later call before it */
};

/* The tightest standing over the scopes of one decision, for x-ratelimit-*. */
struct limit_standing {
    int64_t most, left; /* most LIMIT_NONE: no such limit, which is how it has to begin */
    int64_t reset_ns;   /* until nothing is counted any more, but what is open; else 0 */
};

/* Why not. Of several reasons it is the one that stands longest: what can never be, a budget, the
 * longest known wait, another. */
struct limit_refusal {
    unsigned use; /* index of the scope */
    enum limit_kind kind;
    int64_t most, used, asked;
    int64_t retry_ns; /* until it may be admitted if nothing else comes; 0: not known. Budgets: 0,
                       * the period's end is the caller's to know */
    bool never;       /* it asks for more than the whole limit */
};

/* Nodes that one thread keeps at hand, so that no lock is held while memory is had. */
struct limit_pool;
NODISCARD struct limit_pool *limit_pool_new(void);
void limit_pool_free(struct limit_pool *p);

/* Admits `want` in all scopes, or in none. Kinds whose amount is 0 are not looked at. `n` is at
 * most LIMIT_SCOPES_MAX and no scope stands twice. `standing` (LIMIT_KINDS_N entries, or NULL) is
 * lowered to what is tighter, after the entry when it was admitted. */
enum limit_result { LIMIT_ADMITTED, LIMIT_REFUSED, LIMIT_NO_MEMORY };
enum limit_result limit_admit(struct limit_registry *r, struct limit_pool *pool,
                              const struct limit_use *uses, unsigned n,
                              const struct limit_amounts *want, int64_t now_ns,
                              struct limit_hold *ret, struct limit_standing *standing,
                              struct limit_refusal *ret_refusal);
/* The end of an admission: its entries become `actual` (requests as given: 0 takes the request
 * back), its places are free. Empties `h`; an empty one is left alone. Returns what was used above
 * the reservation. */
struct limit_amounts limit_settle(struct limit_registry *r, struct limit_pool *pool,
                                  struct limit_hold *h, const struct limit_amounts *actual,
                                  int64_t now_ns);

/* What is counted now, by kind; for budgets what is settled plus what is open. */
void limit_used(struct limit_registry *r, struct limit_scope *s, int64_t now_ns,
                int64_t ret[LIMIT_KINDS_N]);

#endif
