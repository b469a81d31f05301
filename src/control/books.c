/* Opening, restoring and keeping the books. */
#include "books.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "policy/calendar.h"
#include "store/usage.h"

#define OPEN_ROWS_MIN 4096
#define OPEN_ROWS_MAX 16384
#define STEP_NS       (2 * NS_PER_S) /* a clock that is off by more is worth a word */

struct books {
    struct limit_registry *limits;
    struct ledger *ledger;
    struct key_store *keys;
    char folder[512], data_dir[512];
    struct steady_wall wall;
    int64_t wall_offset_ns;
    int64_t next_period_ns; /* when the next budget period begins; wall clock */
    bool clock_off;         /* it has been said */
};

static uint32_t power_of_two(int64_t n)
{
    uint32_t p = 1;
    while (p < n && p < (UINT32_C(1) << 24))
        p *= 2;
    return p;
}

static struct ledger_config ledger_settings(const struct books *b, const struct config *c,
                                            unsigned workers)
{
    int64_t each = c->limits.connections / MAX_OF((int64_t)workers, INT64_C(1));
    int64_t open = MIN_OF(MAX_OF(each, (int64_t)OPEN_ROWS_MIN), (int64_t)OPEN_ROWS_MAX);
    return (struct ledger_config){
        .folder = b->folder,
        .lanes = workers,
        .spool_rows = power_of_two(c->ledger.spool),
        .open_rows = power_of_two(open),
        .sync_commit = c->ledger.sync == LEDGER_SYNC_COMMIT,
        .refuse_when_full = c->ledger.when_full == LEDGER_FULL_REFUSE,
        .keep_rows_ns = c->ledger.keep_rows_ns,
        .keep_minutes_ns = c->ledger.keep_minutes_ns,
        .keep_hours_ns = c->ledger.keep_hours_ns,
        .keep_days_ns = c->ledger.keep_days_ns,
    };
}

static void set_periods(struct books *b, int64_t wall_ns)
{
    int64_t start[LIMIT_BUDGETS_N];
    if (wall_ns < b->next_period_ns)
        return;
    b->next_period_ns = INT64_MAX;
    for (unsigned p = 0; p < LIMIT_BUDGETS_N; p++) {
        start[p] = calendar_start((enum calendar_period)p, wall_ns);
        int64_t next_ns = calendar_next((enum calendar_period)p, wall_ns);
        b->next_period_ns = MIN_OF(b->next_period_ns, next_ns);
    }
    limit_set_periods(b->limits, start);
}

struct books *books_open(const struct config *c, const char *data_dir, unsigned workers,
                         int64_t mono_ns, struct buf *errors)
{
    struct books *b = mem_must(mem_calloc(1, sizeof *b));
    char path[600];
    snprintf(b->folder, sizeof b->folder, "%s/ledger", data_dir);
    snprintf(b->data_dir, sizeof b->data_dir, "%s", data_dir);
    snprintf(path, sizeof path, "%s/keys.db", data_dir);
    if (!calendar_set_zone(c->timezone)) {
        buf_printf(errors, "timezone: there is no `%.*s` here\n", SLICE_ARG(c->timezone));
        mem_free(b);
        return NULL;
    }
    steady_wall_init(&b->wall, mono_ns, clock_wall_ns());
    b->wall_offset_ns = b->wall.wall_ns - mono_ns;
    const struct ledger_config settings = ledger_settings(b, c, workers);
    b->limits = limit_registry_new((size_t)c->users.cells);
    b->keys = key_store_open(path, errors);
    b->ledger = b->limits != NULL && b->keys != NULL ? ledger_open(&settings, errors) : NULL;
    if (b->ledger == NULL || !ledger_start(b->ledger)) {
        if (errors->n > 0 && errors->p[errors->n - 1] != '\n')
            buf_char(errors, '\n');
        books_close(b);
        return NULL;
    }
    set_periods(b, b->wall.wall_ns);
    return b;
}

void books_close(struct books *b)
{
    if (b == NULL)
        return;
    ledger_close(b->ledger);
    key_store_close(b->keys);
    limit_registry_free(b->limits);
    mem_free(b);
}

struct builder_links books_links(const struct books *b)
{
    return (struct builder_links){
        .limits = b->limits, .ledger = b->ledger, .keys = b->keys, .data_dir = b->data_dir};
}

struct limit_registry *books_limits(const struct books *b)
{
    return b->limits;
}

struct ledger *books_ledger(const struct books *b)
{
    return b->ledger;
}

struct key_store *books_keys(const struct books *b)
{
    return b->keys;
}

const char *books_folder(const struct books *b)
{
    return b->folder;
}

int64_t books_wall_offset_ns(const struct books *b)
{
    return b->wall_offset_ns;
}

/* What was spent in one period, by one kind of scope. */
struct restoring {
    struct books *books;
    enum scope_kind kind;
    unsigned budget;
};

static void add_spend(void *ctx, struct slice name, uint64_t user_hash, int64_t cost_nano)
{
    const struct restoring *r = ctx;
    struct books *b = r->books;
    int64_t nano[LIMIT_BUDGETS_N] = {0};
    if (r->kind == SCOPE_USER ? user_hash == 0 : name.n == 0)
        return;
    struct limit_scope *s = r->kind == SCOPE_USER
                                ? limit_scope_user(b->limits, user_hash, b->wall.mono_ns)
                                : limit_scope_get(b->limits, r->kind, name);
    nano[r->budget] = cost_nano;
    if (s != NULL)
        limit_add_spend(b->limits, s, nano);
}

bool books_restore(struct books *b, const struct gw_snapshot *s, struct buf *errors)
{
    static const struct {
        enum scope_kind kind;
        enum usage_by by;
    } rows[] = {{SCOPE_ORGANISATION, USAGE_ORGANISATION},
                {SCOPE_TEAM, USAGE_TEAM},
                {SCOPE_KEY, USAGE_KEY},
                {SCOPE_USER, USAGE_USER},
                {SCOPE_USE_CASE, USAGE_USE_CASE},
                {SCOPE_MODEL, USAGE_MODEL}};
    struct usage_reader *reader = usage_open(b->folder, errors);
    bool ok = reader != NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows) && ok; i++) {
        for (unsigned p = 0; p < LIMIT_BUDGETS_N && ok; p++) {
            struct restoring r = {b, rows[i].kind, p};
            if (r.kind == SCOPE_USER && !s->user_budgets[p])
                continue; /* they would take cells for nothing */
            ok = usage_spend(reader, rows[i].by, limit_period_start(b->limits, p), add_spend, &r,
                             errors);
        }
    }
    usage_close(reader);
    return ok;
}

void books_reconfigure(struct books *b, const struct config *c)
{
    const struct ledger_config settings = ledger_settings(b, c, 0);
    ledger_reconfigure(b->ledger, &settings);
}

void books_tick(struct books *b, struct gateway *g, int64_t mono_ns)
{
    int64_t machine_ns = clock_wall_ns(), wall_ns = steady_wall_ns(&b->wall, mono_ns, machine_ns);
    int64_t off_ns = machine_ns - wall_ns;
    bool off = off_ns > STEP_NS || off_ns < -STEP_NS;
    if (off && !b->clock_off)
        log_event(
            LOG_WARN, "clock.step", "the machine's clock went %lld s %s; budgets follow it slowly",
            (long long)((off_ns < 0 ? -off_ns : off_ns) / NS_PER_S), off_ns < 0 ? "back" : "ahead");
    b->clock_off = off;
    b->wall_offset_ns = wall_ns - mono_ns;
    if (g != NULL)
        gateway_set_wall(g, b->wall_offset_ns);
    set_periods(b, wall_ns);
}

void books_metrics(struct buf *out, struct books *b)
{
    struct ledger_counts n;
    int64_t users, shared;
    ledger_counts(b->ledger, &n);
    limit_users(b->limits, &users, &shared);
    metric_put(out, MS_LEDGER_ROWS, (double)n.rows);
    metric_put(out, MS_LEDGER_SPOOL, (double)n.spooled);
    metric_put(out, MS_LEDGER_LOST, (double)n.lost);
    metric_put(out, MS_LEDGER_UNTRACKED, (double)n.untracked);
    metric_put(out, MS_LEDGER_CRASHED, (double)n.crashed);
    metric_put(out, MS_LEDGER_ERRORS, (double)n.write_errors);
    metric_put(out, MS_LEDGER_BYTES, (double)n.segment_bytes);
    metric_put(out, MS_LIMIT_USERS, (double)users);
    metric_put(out, MS_LIMIT_USERS_SHARED, (double)shared);
}
