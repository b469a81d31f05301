/* Budget alerts with a clock and a sender of the test's own: each threshold once a period, across
 * reloads and restarts, and messages until they are taken. */
#include "alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "check.h"
#include "policy/calendar.h"

#define DOLLAR INT64_C(1000000000)
#define NOV_21 INT64_C(1795262400) /* 2026-11-21T12:00:00Z */

struct world {
    char folder[64], path[96];
    struct limit_registry *registry;
    struct gw_snapshot *snapshot;
    struct gw_scope team;
    struct config config;
    struct alert_log *log;
    struct alerts *alerts;
    int64_t now_ns, wall_ns;
    /* the sender */
    bool refuses;
    unsigned sent;
    int64_t id[16];
    char json[16][1024];
};

static bool take(void *ctx, int64_t id, struct slice json)
{
    struct world *w = ctx;
    if (w->refuses)
        return false;
    CHECK(w->sent < ARRAY_LEN(w->id) && json.n < sizeof w->json[0]);
    w->id[w->sent] = id;
    memcpy(w->json[w->sent], json.p, json.n);
    w->json[w->sent][json.n] = '\0';
    w->sent++;
    return true;
}

static void set_periods(struct world *w)
{
    int64_t start[LIMIT_BUDGETS_N];
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++)
        start[b] = calendar_start((enum calendar_period)b, w->wall_ns);
    limit_set_periods(w->registry, start);
}

static void open_alerts(struct world *w)
{
    struct buf error;
    buf_init(&error, 1024);
    w->log = alert_log_open(w->path, &error);
    CHECK(w->log != NULL);
    buf_done(&error);
    const struct alerts_links links = {.log = w->log};
    w->alerts = alerts_new(&links);
    CHECK(w->alerts != NULL);
    alerts_set_sender(w->alerts, take, w);
}

static void close_alerts(struct world *w)
{
    alerts_free(TAKE(w->alerts));
    alert_log_close(TAKE(w->log));
}

/* A team of 100 dollars a month. */
static void world_open(struct world *w)
{
    *w = (struct world){.wall_ns = NOV_21 * NS_PER_S, .now_ns = 1000 * NS_PER_S};
    CHECK(calendar_set_zone(SLICE("UTC")));
    snprintf(w->folder, sizeof w->folder, "/tmp/weir-alerts-XXXXXX");
    CHECK(mkdtemp(w->folder) != NULL);
    snprintf(w->path, sizeof w->path, "%s/alerts.db", w->folder);
    w->registry = limit_registry_new(16);
    w->snapshot = gw_snapshot_new();
    CHECK(w->registry != NULL && w->snapshot != NULL);
    set_periods(w);
    w->team = (struct gw_scope){.name = SLICE("search"), .kind = SCOPE_TEAM, .set = limit_set_none};
    w->team.set.most[LIMIT_BUDGET_MONTH] = 100 * DOLLAR;
    w->team.live = limit_scope_get(w->registry, SCOPE_TEAM, w->team.name);
    CHECK(w->team.live != NULL);
    w->snapshot->teams = &w->team;
    w->snapshot->teams_n = 1;
    w->config.alerts.budgets.n = 3;
    w->config.alerts.percent[0] = 50;
    w->config.alerts.percent[1] = 80;
    w->config.alerts.percent[2] = 100;
    w->config.alerts.webhook = SLICE("https://example.com/hook");
    open_alerts(w);
}

static void world_close(struct world *w)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[128];
    close_alerts(w);
    gw_snapshot_unref(w->snapshot);
    limit_registry_free(w->registry);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof path, "%s%s", w->path, ends[i]);
        unlink(path);
    }
    CHECK(rmdir(w->folder) == 0);
}

static void spend(struct world *w, int64_t dollars)
{
    int64_t nano[LIMIT_BUDGETS_N];
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++)
        nano[b] = dollars * DOLLAR;
    limit_add_spend(w->registry, w->team.live, nano);
}

static void tick(struct world *w)
{
    w->now_ns += NS_PER_S;
    w->wall_ns += NS_PER_S;
    alerts_tick(w->alerts, &w->config, w->snapshot, w->registry, w->now_ns, w->wall_ns);
}

static void check_json(struct world *w, unsigned i, const char *name, const char *want)
{
    struct json_parser *parser = json_parser_new();
    struct json_doc d;
    CHECK(json_parse(parser, slice_str(w->json[i]), 0, &d) == JSON_OK);
    uint32_t node = json_get(&d, 0, slice_str(name));
    check_note("%s of %s", name, w->json[i]);
    CHECK(node != 0);
    CHECK_EQ_SLICE(json_raw(&d, node), slice_str(want));
    json_parser_free(parser);
}

TEST(once_for_each_threshold)
{
    struct world w;
    world_open(&w);
    spend(&w, 49);
    tick(&w);
    CHECK_EQ_U64(w.sent, 0);
    spend(&w, 1); /* exactly the half */
    tick(&w);
    tick(&w);
    CHECK_EQ_U64(w.sent, 1);
    check_json(&w, 0, "event", "\"budget.alert\"");
    check_json(&w, 0, "scope", "{\"kind\":\"team\",\"name\":\"search\"}");
    check_json(&w, 0, "period", "\"month\"");
    check_json(&w, 0, "period_start", "\"2026-11-01T00:00:00.000Z\"");
    check_json(&w, 0, "period_end", "\"2026-12-01T00:00:00.000Z\"");
    check_json(&w, 0, "threshold_percent", "50");
    check_json(&w, 0, "percent", "50");
    check_json(&w, 0, "limit_usd", "100");
    check_json(&w, 0, "used_usd", "50");
    check_json(&w, 0, "forecast_usd", "null");
    check_json(&w, 0, "time", "\"2026-11-21T12:00:02.000Z\"");
    spend(&w, 60); /* past both others at once */
    tick(&w);
    tick(&w);
    CHECK_EQ_U64(w.sent, 3);
    check_json(&w, 1, "threshold_percent", "80");
    check_json(&w, 2, "threshold_percent", "100");
    check_json(&w, 2, "percent", "110");
    int64_t given[8];
    CHECK_EQ_U64(alerts_given(w.alerts, &w.team, LIMIT_BUDGET_MONTH - LIMIT_BUDGET_HOUR,
                              calendar_start(CALENDAR_MONTH, w.wall_ns), given, 8),
                 3);
    CHECK_EQ_I64(given[0], 50);
    CHECK_EQ_I64(given[2], 100);
    world_close(&w);
}

TEST(not_again_after_a_restart)
{
    struct world w;
    world_open(&w);
    spend(&w, 85);
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    alerts_sent(w.alerts, w.id[0], true, "HTTP 200");
    alerts_sent(w.alerts, w.id[1], true, "HTTP 200");
    close_alerts(&w);
    open_alerts(&w);
    alerts_resend(w.alerts);
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    spend(&w, 20);
    tick(&w);
    CHECK_EQ_U64(w.sent, 3);
    check_json(&w, 2, "threshold_percent", "100");
    world_close(&w);
}

/* What nobody took is sent by the next process, the very same message. */
TEST(messages_survive_a_restart)
{
    struct world w;
    world_open(&w);
    spend(&w, 85);
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    alerts_sent(w.alerts, w.id[1], true, "HTTP 204");
    close_alerts(&w);
    open_alerts(&w);
    alerts_resend(w.alerts);
    tick(&w);
    CHECK_EQ_U64(w.sent, 3);
    CHECK_EQ_I64(w.id[2], w.id[0]);
    CHECK_EQ_STR(w.json[2], w.json[0]);
    alerts_sent(w.alerts, w.id[2], false, "HTTP 410"); /* given up */
    close_alerts(&w);
    open_alerts(&w);
    alerts_resend(w.alerts);
    CHECK_EQ_U64(w.sent, 3);
    world_close(&w);
}

TEST(again_in_the_next_period)
{
    struct world w;
    world_open(&w);
    spend(&w, 55);
    tick(&w);
    CHECK_EQ_U64(w.sent, 1);
    w.wall_ns += 15 * 86400 * NS_PER_S;
    set_periods(&w);
    tick(&w);
    CHECK_EQ_U64(w.sent, 1); /* nothing is spent yet */
    spend(&w, 51);
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    check_json(&w, 1, "period_start", "\"2026-12-01T00:00:00.000Z\"");
    world_close(&w);
}

/* Another snapshot with the same scope has the same live state. */
TEST(not_again_after_a_reload)
{
    struct world w;
    struct gw_scope same;
    world_open(&w);
    spend(&w, 55);
    tick(&w);
    CHECK_EQ_U64(w.sent, 1);
    same = w.team;
    struct gw_snapshot *next = gw_snapshot_new();
    CHECK(next != NULL);
    next->teams = &same;
    next->teams_n = 1;
    gw_snapshot_unref(w.snapshot);
    w.snapshot = next;
    tick(&w);
    CHECK_EQ_U64(w.sent, 1);
    same.set.most[LIMIT_BUDGET_MONTH] = 60 * DOLLAR; /* the budget was cut: 55 are 91% of it */
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    check_json(&w, 1, "threshold_percent", "80");
    world_close(&w);
}

/* Each period of a scope by itself. */
TEST(several_budgets)
{
    struct world w;
    world_open(&w);
    w.team.set.most[LIMIT_BUDGET_DAY] = 10 * DOLLAR;
    spend(&w, 8);
    tick(&w);
    CHECK_EQ_U64(w.sent, 2);
    check_json(&w, 0, "period", "\"day\"");
    check_json(&w, 1, "period", "\"day\"");
    spend(&w, 42);
    tick(&w);
    CHECK_EQ_U64(w.sent, 4);
    check_json(&w, 2, "period", "\"day\"");
    check_json(&w, 3, "period", "\"month\"");
    world_close(&w);
}

TEST(no_receiver)
{
    struct world w;
    world_open(&w);
    w.config.alerts.webhook = SLICE_NONE;
    spend(&w, 85);
    tick(&w);
    CHECK_EQ_U64(w.sent, 0);
    w.config.alerts.webhook = SLICE("https://example.com/hook");
    w.refuses = true; /* no room: given up, not tried each second */
    spend(&w, 20);
    tick(&w);
    w.refuses = false;
    tick(&w);
    alerts_resend(w.alerts);
    CHECK_EQ_U64(w.sent, 0);
    world_close(&w);
}

/* A budget of nothing is used up by the first cent; amounts near the top do not wrap. */
TEST(extreme_budgets)
{
    struct world w;
    world_open(&w);
    w.team.set.most[LIMIT_BUDGET_MONTH] = 0;
    tick(&w);
    CHECK_EQ_U64(w.sent, 0);
    spend(&w, 1);
    tick(&w);
    CHECK_EQ_U64(w.sent, 3);
    w.team.set.most[LIMIT_BUDGET_WEEK] = LIMIT_NONE - 1;
    spend(&w, 1000000);
    tick(&w);
    CHECK_EQ_U64(w.sent, 3);
    world_close(&w);
}
