/* Puts the reader, the alerts and the webhook together. */
#include "reading.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"

static bool post(void *ctx, int64_t id, struct slice json)
{
    return webhook_post(ctx, id, json);
}

static struct alert_log *open_log(const char *data_dir)
{
    char path[4096];
    struct buf error;
    struct alert_log *log = NULL;
    int n = snprintf(path, sizeof path, "%s/alerts.db", data_dir);
    buf_init(&error, 8192);
    if (n > 0 && (size_t)n < sizeof path)
        log = alert_log_open(path, &error);
    if (log == NULL)
        log_event(LOG_ERROR, "budget.alert_log", "%.*s; alerts may be repeated after a restart",
                  SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    return log;
}

struct reading *reading_open(struct net_loop *loop, const char *data_dir,
                             struct limit_registry *limits, struct key_store *keys,
                             struct buf *error)
{
    char folder[4096];
    struct reading *r = mem_calloc(1, sizeof *r);
    int n = snprintf(folder, sizeof folder, "%s/ledger", data_dir);
    if (r == NULL || n < 0 || (size_t)n >= sizeof folder) {
        buf_lit(error, "out of memory");
        mem_free(r);
        return NULL;
    }
    r->limits = limits;
    r->data_dir = mem_must(mem_strndup(data_dir, strlen(data_dir)));
    r->wall_ns = clock_wall_ns();
    r->usage = usage_open(folder, error);
    if (r->usage == NULL) {
        reading_close(r);
        return NULL;
    }
    r->log = open_log(data_dir);
    const struct alerts_links links = {.log = r->log, .usage = r->usage, .keys = keys};
    r->alerts = alerts_new(&links);
    r->webhook = r->alerts != NULL ? webhook_new(loop, alerts_sent, r->alerts) : NULL;
    if (r->webhook == NULL) {
        buf_lit(error, "out of memory");
        reading_close(r);
        return NULL;
    }
    alerts_set_sender(r->alerts, post, r->webhook);
    return r;
}

void reading_stop(struct reading *r)
{
    if (r->alerts != NULL)
        alerts_set_sender(r->alerts, NULL, NULL);
    webhook_free(TAKE(r->webhook));
}

void reading_close(struct reading *r)
{
    if (r == NULL)
        return;
    reading_stop(r);
    alerts_free(r->alerts);
    alert_log_close(r->log);
    if (r->usage != NULL)
        usage_close(r->usage);
    mem_free(r->data_dir);
    mem_free(r);
}

void reading_update(struct reading *r, const struct config *c, const struct gw_snapshot *s)
{
    struct buf error;
    alerts_use(r->alerts, c, s, clock_mono_ns());
    if (r->webhook == NULL)
        return;
    buf_init(&error, 4096);
    if (!webhook_set(r->webhook, &c->egress, c->alerts.webhook, &error))
        log_event(LOG_ERROR, "webhook.unusable", "%.*s", SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    if (!r->resent)
        alerts_resend(r->alerts);
    r->resent = true;
}

void reading_tick(struct reading *r, const struct config *c, const struct gw_snapshot *s,
                  int64_t now_ns, int64_t wall_ns)
{
    r->wall_ns = wall_ns;
    if (now_ns - r->ticked_ns < NS_PER_S && r->ticked_ns != 0)
        return;
    r->ticked_ns = now_ns;
    alerts_tick(r->alerts, c, s, r->limits, now_ns, wall_ns);
}

static void put_budgets(struct buf *out, const struct reading *r, const struct gw_scope *s)
{
    static const char *const periods[LIMIT_BUDGETS_N] = {"hour", "day", "week", "month"};
    int64_t used[LIMIT_KINDS_N];
    char label[256];
    limit_used(r->limits, s->live, clock_mono_ns(), used);
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++) {
        int64_t most = s->set.most[LIMIT_BUDGET_HOUR + b];
        if (most == LIMIT_NONE || most == 0)
            continue;
        snprintf(label, sizeof label, "%s/%.*s/%s", scope_kind_name(s->kind), SLICE_ARG(s->name),
                 periods[b]);
        metric_put_sample(out, MS_BUDGET_USED, slice_str(label),
                          (double)used[LIMIT_BUDGET_HOUR + b] / (double)most);
    }
}

void reading_metrics(struct buf *out, const struct reading *r, const struct config *c,
                     const struct gw_snapshot *s)
{
    struct scope_list list = {0};
    metric_put_header(out, MS_BUDGET_USED);
    bool whole = scope_list_fill(&list, c, s, NULL);
    for (size_t i = 0; i < list.n && whole; i++) {
        if (list.item[i]->kind != SCOPE_KEY && list.item[i]->live != NULL)
            put_budgets(out, r, list.item[i]);
    }
    scope_list_done(&list);
}
