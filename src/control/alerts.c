/* Budget alerts: see alerts.h. What has been given is kept in memory by live scope, so that a tick
 * costs a look at each limited scope and no more; the log on disk is asked only when a threshold is
 * crossed that memory does not know of. */
#include "alerts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/list.h"
#include "base/mem.h"
#include "observe/log.h"
#include "policy/calendar.h"
#include "scope_list.h"
#include "spend.h"

#define THRESHOLDS_MAX ARRAY_LEN(((struct config_alerts *)NULL)->percent)
#define TABLE_SLOTS    1024            /* of scopes that have crossed one */
#define REFRESH_NS     (10 * NS_PER_S) /* issued keys come and go between reloads */
#define BOOK_NS        (60 * NS_PER_S) /* how long a history is good for forecasts */
#define KEEP_NS        (INT64_C(400) * 86400 * NS_PER_S)
#define MESSAGE_BYTES  ((size_t)16384)
#define RESEND_MOST    1000

_Static_assert(LIMIT_BUDGET_DAY - LIMIT_BUDGET_HOUR == CALENDAR_DAY &&
                   LIMIT_BUDGET_MONTH - LIMIT_BUDGET_HOUR == CALENDAR_MONTH,
               "budgets are in the order of the calendar's periods");

/* What a scope has been alerted of. Live scopes are never freed while the registry is there. */
struct given {
    struct given *next;
    const struct limit_scope *live;
    struct {
        int64_t period_ns;
        unsigned n;
        int64_t percent[THRESHOLDS_MAX]; /* ascending */
    } budget[LIMIT_BUDGETS_N];
};

struct alerts {
    struct alerts_links links;
    alerts_send_fn *send;
    void *send_ctx;
    struct given *table[TABLE_SLOTS];
    struct gw_snapshot *snapshot; /* a reference: what `scopes` are of */
    struct scope_list scopes;
    int64_t refreshed_ns, pruned_wall_ns;
    struct spend_book book[SCOPE_KINDS_N]; /* history, for forecasts */
    int64_t book_ns[SCOPE_KINDS_N];        /* as of when, wall clock; 0: none */
    int64_t unlogged; /* ids of messages that the log could not take, below zero */
    bool log_failed;
};

struct alerts *alerts_new(const struct alerts_links *links)
{
    struct alerts *a = mem_calloc(1, sizeof *a);
    if (a != NULL)
        a->links = *links;
    return a;
}

void alerts_free(struct alerts *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < TABLE_SLOTS; i++) {
        struct given *next;
        for (struct given *g = a->table[i]; g != NULL; g = next) {
            next = g->next;
            mem_free(g);
        }
    }
    for (unsigned k = 0; k < SCOPE_KINDS_N; k++)
        spend_book_done(&a->book[k]);
    scope_list_done(&a->scopes);
    if (a->snapshot != NULL)
        gw_snapshot_unref(a->snapshot);
    mem_free(a);
}

const struct scope_list *alerts_scopes(const struct alerts *a)
{
    return &a->scopes;
}

const struct gw_snapshot *alerts_snapshot(const struct alerts *a)
{
    return a->snapshot;
}

void alerts_set_sender(struct alerts *a, alerts_send_fn *send, void *ctx)
{
    a->send = send;
    a->send_ctx = ctx;
}

/* ---- the log */

static void log_trouble(struct alerts *a, const struct buf *error)
{
    if (!a->log_failed)
        log_event(LOG_ERROR, "budget.alert_log", "%.*s; alerts may be repeated after a restart",
                  SLICE_ARG(buf_view(error)));
    a->log_failed = true;
}

void alerts_sent(void *ctx, int64_t id, bool taken, const char *why)
{
    struct alerts *a = ctx;
    struct buf error;
    if (!taken)
        log_event(LOG_ERROR, "budget.alert_lost", "the webhook did not take an alert: %s", why);
    if (a->links.log == NULL || id < 0)
        return;
    buf_init(&error, 1024);
    if (!alert_log_sent(a->links.log, id, &error))
        log_trouble(a, &error);
    buf_done(&error);
}

void alerts_resend(struct alerts *a)
{
    struct arena arena;
    struct buf error;
    struct alert_mark *list;
    size_t n = 0;
    if (a->links.log == NULL || a->send == NULL)
        return;
    arena_init(&arena, NULL, RESEND_MOST * MESSAGE_BYTES);
    buf_init(&error, 1024);
    if (!alert_log_unsent(a->links.log, 0, RESEND_MOST, &arena, &list, &n, &error))
        log_trouble(a, &error);
    for (size_t i = 0; i < n; i++) {
        if (!a->send(a->send_ctx, list[i].id, list[i].message))
            alerts_sent(a, list[i].id, false, "there is no receiver any more");
    }
    buf_done(&error);
    arena_reset(&arena);
}

/* Old alerts are forgotten once a day. */
static void prune(struct alerts *a, int64_t wall_ns)
{
    struct buf error;
    if (a->links.log == NULL || wall_ns - a->pruned_wall_ns < INT64_C(86400) * NS_PER_S)
        return;
    a->pruned_wall_ns = wall_ns;
    buf_init(&error, 1024);
    if (!alert_log_prune(a->links.log, wall_ns - KEEP_NS, &error))
        log_trouble(a, &error);
    buf_done(&error);
}

/* ---- what has been given */

static struct given **slot_of(struct alerts *a, const struct limit_scope *live)
{
    return &a->table[((uintptr_t)live >> 6) % TABLE_SLOTS];
}

static const struct given *find_given(const struct alerts *a, const struct limit_scope *live)
{
    const struct given *g = *slot_of((struct alerts *)a, live);
    while (g != NULL && g->live != live)
        g = g->next;
    return g;
}

size_t alerts_given(const struct alerts *a, const struct gw_scope *s, unsigned budget,
                    int64_t period_ns, int64_t *ret, size_t most)
{
    const struct given *g = find_given(a, s->live);
    if (g == NULL || g->budget[budget].period_ns != period_ns)
        return 0;
    size_t n = MIN_OF((size_t)g->budget[budget].n, most);
    memcpy(ret, g->budget[budget].percent, n * sizeof *ret);
    return n;
}

/* Remembers the threshold. False: it is known, or there is no memory to tell (then it is not given:
 * it would be again each second). */
static bool remember(struct alerts *a, const struct limit_scope *live, unsigned budget,
                     int64_t period_ns, int64_t percent)
{
    struct given *g = (struct given *)find_given(a, live);
    if (g == NULL) {
        g = mem_calloc(1, sizeof *g);
        if (g == NULL)
            return false;
        struct given **slot = slot_of(a, live);
        g->live = live;
        g->next = *slot;
        *slot = g;
    }
    if (g->budget[budget].period_ns != period_ns) {
        g->budget[budget].period_ns = period_ns;
        g->budget[budget].n = 0;
    }
    unsigned n = g->budget[budget].n, i = n;
    int64_t *known = g->budget[budget].percent;
    for (unsigned k = 0; k < n; k++) {
        if (known[k] == percent)
            return false;
    }
    if (n == THRESHOLDS_MAX) /* reloads have changed the thresholds too often for one period */
        return false;
    for (; i > 0 && known[i - 1] > percent; i--)
        known[i] = known[i - 1];
    known[i] = percent;
    g->budget[budget].n++;
    return true;
}

/* ---- messages */

struct occasion {
    const struct gw_scope *scope;
    unsigned budget;
    int64_t period_ns, limit, used, percent, wall_ns;
};

static enum usage_by usage_by_of(enum scope_kind kind)
{
    static const enum usage_by by[SCOPE_KINDS_N] = {[SCOPE_ORGANISATION] = USAGE_ORGANISATION,
                                                    [SCOPE_TEAM] = USAGE_TEAM,
                                                    [SCOPE_KEY] = USAGE_KEY,
                                                    [SCOPE_USER] = USAGE_USER,
                                                    [SCOPE_USE_CASE] = USAGE_USE_CASE,
                                                    [SCOPE_MODEL] = USAGE_MODEL};
    return by[kind];
}

/* The book of that kind, read anew when it is not of the last minutes; NULL: it cannot be read. */
static const struct spend_book *book_of(struct alerts *a, enum scope_kind kind, int64_t wall_ns)
{
    struct spend_book *b = &a->book[kind];
    struct buf error;
    if (a->links.usage == NULL)
        return NULL;
    if (a->book_ns[kind] != 0 && llabs(wall_ns - a->book_ns[kind]) < BOOK_NS)
        return b;
    spend_book_done(b);
    buf_init(&error, 1024);
    bool ok = spend_book_read(b, a->links.usage, usage_by_of(kind), wall_ns, &error);
    if (!ok) {
        log_event(LOG_WARN, "budget.forecast", "%.*s", SLICE_ARG(buf_view(&error)));
        spend_book_done(b);
    }
    a->book_ns[kind] = ok ? wall_ns : 0;
    buf_done(&error);
    return ok ? b : NULL;
}

int64_t alerts_forecast(struct alerts *a, const struct gw_scope *s, unsigned budget, int64_t used,
                        int64_t wall_ns)
{
    const struct spend_book *b = book_of(a, s->kind, wall_ns);
    static const struct spend none; /* of a name whose first rows are under way */
    if (b == NULL)
        return -1;
    const struct spend *spend = spend_book_find(b, s->name);
    return spend_forecast(&b->days, spend != NULL ? spend : &none, (enum calendar_period)budget,
                          used);
}

static void put_time(struct json_writer *w, int64_t ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(ns, text);
    jw_string(w, slice_str(text));
}

static void put_dollars(struct json_writer *w, int64_t nano)
{
    jw_double(w, (double)nano / 1e9);
}

static const char *const periods[] = {"hour", "day", "week", "month"};

static void put_message(struct buf *out, const struct occasion *o, int64_t forecast)
{
    struct json_writer w = json_writer(out);
    int64_t percent = (int64_t)((double)o->used * 100 / (double)MAX_OF(o->limit, INT64_C(1)));
    jw_open(&w, '{');
    jw_field_string(&w, "event", SLICE("budget.alert"));
    jw_key(&w, "scope");
    jw_open(&w, '{');
    jw_field_string(&w, "kind", slice_str(scope_kind_name(o->scope->kind)));
    jw_field_string(&w, "name", o->scope->name);
    jw_close(&w, '}');
    jw_field_string(&w, "period", slice_str(periods[o->budget]));
    jw_key(&w, "period_start");
    put_time(&w, o->period_ns);
    jw_key(&w, "period_end");
    put_time(&w, calendar_next((enum calendar_period)o->budget, o->period_ns));
    jw_field_i64(&w, "threshold_percent", o->percent);
    jw_field_i64(&w, "percent", percent);
    jw_key(&w, "limit_usd");
    put_dollars(&w, o->limit);
    jw_key(&w, "used_usd");
    put_dollars(&w, o->used);
    jw_key(&w, "forecast_usd");
    if (forecast < 0)
        jw_null(&w);
    else
        put_dollars(&w, forecast);
    jw_key(&w, "time");
    put_time(&w, o->wall_ns);
    jw_close(&w, '}');
}

static void log_alert(const struct occasion *o, int64_t forecast)
{
    char guess[60] = "";
    if (forecast >= 0)
        snprintf(guess, sizeof guess, ", forecast %.2f", (double)forecast / 1e9);
    log_event(LOG_WARN, "budget.alert",
              "%s `%.*s` has used %lld%% of the %s's budget: %.2f of %.2f dollars%s",
              scope_kind_name(o->scope->kind), SLICE_ARG(o->scope->name), (long long)o->percent,
              periods[o->budget], (double)o->used / 1e9, (double)o->limit / 1e9, guess);
}

/* Writes it down; what the log knows already is not given again. */
static bool write_down(struct alerts *a, const struct occasion *o, struct slice message,
                       int64_t *ret_id)
{
    struct alert_mark m = {.kind = o->scope->kind,
                           .name = o->scope->name,
                           .budget = o->budget,
                           .period_ns = o->period_ns,
                           .percent = o->percent,
                           .at_ns = o->wall_ns,
                           .message = message};
    enum alert_result result = ALERT_FAILED;
    struct buf error;
    buf_init(&error, 1024);
    if (a->links.log != NULL)
        result = alert_log_add(a->links.log, &m, &error);
    if (result == ALERT_FAILED && a->links.log != NULL)
        log_trouble(a, &error);
    buf_done(&error);
    *ret_id = result == ALERT_NEW ? m.id : --a->unlogged;
    return result != ALERT_KNOWN;
}

static void give(struct alerts *a, const struct config *c, const struct occasion *o)
{
    struct buf message;
    int64_t id, forecast = alerts_forecast(a, o->scope, o->budget, o->used, o->wall_ns);
    bool wanted = c->alerts.webhook.n > 0;
    buf_init(&message, MESSAGE_BYTES);
    put_message(&message, o, forecast);
    if (write_down(a, o, wanted ? buf_view(&message) : SLICE_NONE, &id)) {
        log_alert(o, forecast);
        if (wanted && a->send != NULL && !a->send(a->send_ctx, id, buf_view(&message)))
            alerts_sent(a, id, false, "too many wait, or there is no memory");
    }
    buf_done(&message);
}

/* ---- looking */

/* Is `used` at least so many percent of `limit`? */
static bool is_past(int64_t used, int64_t limit, int64_t percent)
{
    return (__int128)used * 100 >= (__int128)limit * percent;
}

static void look_at(struct alerts *a, const struct config *c, struct limit_registry *r,
                    struct occasion *o, const int64_t used[LIMIT_KINDS_N])
{
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++) {
        o->limit = o->scope->set.most[LIMIT_BUDGET_HOUR + b];
        o->used = used[LIMIT_BUDGET_HOUR + b];
        if (o->limit == LIMIT_NONE || o->used <= 0)
            continue;
        o->budget = b;
        o->period_ns = limit_period_start(r, b);
        for (size_t i = 0; i < MIN_OF(c->alerts.budgets.n, THRESHOLDS_MAX); i++) {
            o->percent = c->alerts.percent[i];
            if (is_past(o->used, o->limit, o->percent) &&
                remember(a, o->scope->live, b, o->period_ns, o->percent))
                give(a, c, o);
        }
    }
}

static bool has_budget(const struct limit_set *set)
{
    for (unsigned b = LIMIT_BUDGET_HOUR; b < LIMIT_KINDS_N; b++) {
        if (set->most[b] != LIMIT_NONE)
            return true;
    }
    return false;
}

void alerts_use(struct alerts *a, const struct config *c, const struct gw_snapshot *s,
                int64_t now_ns)
{
    if (a->snapshot == s && now_ns - a->refreshed_ns < REFRESH_NS)
        return;
    if (a->snapshot != s) {
        if (a->snapshot != NULL)
            gw_snapshot_unref(a->snapshot);
        a->snapshot = gw_snapshot_ref((struct gw_snapshot *)s);
    }
    a->refreshed_ns = now_ns;
    if (!scope_list_fill(&a->scopes, c, s, a->links.keys))
        log_event(LOG_WARN, "budget.scopes", "some budgets cannot be looked at");
}

void alerts_tick(struct alerts *a, const struct config *c, const struct gw_snapshot *s,
                 struct limit_registry *r, int64_t now_ns, int64_t wall_ns)
{
    alerts_use(a, c, s, now_ns);
    prune(a, wall_ns);
    for (size_t i = 0; i < a->scopes.n && c->alerts.budgets.n > 0; i++) {
        struct occasion o = {.scope = a->scopes.item[i], .wall_ns = wall_ns};
        int64_t used[LIMIT_KINDS_N];
        if (!has_budget(&o.scope->set))
            continue;
        limit_used(r, o.scope->live, now_ns, used);
        look_at(a, c, r, &o, used);
    }
}
