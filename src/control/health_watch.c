/* What has become of targets: see health_watch.h. */
#include "health_watch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"

#define LOOK_NS NS_PER_S
#define SLOTS   16384u /* a power of two, and far more than there are targets */

/* As a target was when it was looked at last. */
struct seen {
    const struct target_live *target;
    enum health_state state;
    uint64_t told; /* in this scrape of the metrics */
};

struct health_watch {
    int64_t looked_ns;
    uint64_t scrapes;
    struct seen slot[SLOTS];
};

struct health_watch *health_watch_new(void)
{
    return mem_calloc(1, sizeof(struct health_watch));
}

void health_watch_free(struct health_watch *w)
{
    mem_free(w);
}

/* Targets live as long as the process: so do their places in the table. */
static struct seen *place_of(struct health_watch *w, const struct target_live *t)
{
    size_t i = (size_t)((uintptr_t)t / 64 * UINT64_C(0x9E3779B97F4A7C15) >> 50) % SLOTS;
    while (w->slot[i].target != NULL && w->slot[i].target != t)
        i = (i + 1) % SLOTS;
    if (w->slot[i].target == NULL)
        w->slot[i] = (struct seen){.target = t, .state = HEALTH_WELL};
    return &w->slot[i];
}

static void say(struct slice label, enum health_state from, const struct target_view *v,
                int64_t now_ns)
{
    bool bad = v->state == HEALTH_EJECTED || v->state == HEALTH_DENIED;
    enum log_level level = bad ? LOG_WARN : LOG_INFO;
    const char *to = health_state_name(v->state), *why = health_reason_name(v->reason);
    long long ms = (long long)((v->until_ns - now_ns) / NS_PER_MS);
    if (v->until_ns > now_ns && v->until_ns != INT64_MAX)
        log_event(level, "health.changed", "`%.*s`: from %s to %s: %s, for %lld ms",
                  SLICE_ARG(label), health_state_name(from), to, why, ms);
    else
        log_event(level, "health.changed", "`%.*s`: from %s to %s: %s", SLICE_ARG(label),
                  health_state_name(from), to, why);
}

struct look {
    struct health_watch *watch;
    int64_t now_ns;
};

static void look_at(void *ctx, struct slice label, struct target_live *t)
{
    const struct look *l = ctx;
    struct seen *s = place_of(l->watch, t);
    struct target_view v;
    target_live_look(t, l->now_ns, &v);
    if (v.state != s->state)
        say(label, s->state, &v, l->now_ns);
    s->state = v.state;
}

void health_watch_tick(struct health_watch *w, int64_t now_ns)
{
    struct look l = {w, now_ns};
    if (now_ns - w->looked_ns < LOOK_NS)
        return;
    w->looked_ns = now_ns;
    target_live_each(look_at, &l);
}

static bool takes_requests(const struct gw_target *t, int64_t now_ns)
{
    struct target_view v = {.state = HEALTH_WELL};
    if (t->live != NULL)
        target_live_look(t->live, now_ns, &v);
    return v.state == HEALTH_WELL || v.state == HEALTH_WARMING;
}

/* Each once, behind however many aliases it stands. */
static void put_targets(struct buf *out, struct health_watch *w, const struct gw_snapshot *s,
                        int64_t now_ns)
{
    metric_put_header(out, MS_TARGET_UP);
    w->scrapes++;
    for (size_t m = 0; m < s->models_n; m++) {
        const struct gw_model *model = &s->model_list[m];
        for (size_t i = 0; i < model->targets_n; i++) {
            const struct gw_target *t = &model->targets[i];
            struct seen *seen = t->live != NULL ? place_of(w, t->live) : NULL;
            if (seen == NULL || seen->told == w->scrapes)
                continue;
            seen->told = w->scrapes;
            metric_put_sample(out, MS_TARGET_UP, t->label, takes_requests(t, now_ns));
        }
    }
}

void health_watch_metrics(struct buf *out, struct health_watch *w, const struct gw_snapshot *s,
                          int64_t now_ns)
{
    put_targets(out, w, s, now_ns);
    metric_put_header(out, MS_TARGETS_UNWELL);
    for (size_t m = 0; m < s->models_n; m++) {
        const struct gw_model *model = &s->model_list[m];
        unsigned unwell = 0;
        for (size_t i = 0; i < model->targets_n; i++)
            unwell += !takes_requests(&model->targets[i], now_ns);
        metric_put_sample(out, MS_TARGETS_UNWELL, model->name, unwell);
    }
    metric_put(out, MS_EJECTIONS, (double)target_live_ejections());
}
