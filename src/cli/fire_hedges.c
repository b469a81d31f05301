/* Firing hedges: whoever is asked first is silent, and another one is asked beside it. */
#include "base/clock.h"
#include "fire.h"
#include "observe/metrics.h"

#define TAUGHT 24 /* streams by which the time is known that a target usually takes */

struct hedge {
    const struct fire_alias *alias;
    struct slice name;
    struct slice silent; /* the target that was asked first */
    int64_t first_n, hedges_n;
};

static void say(struct fire *f, const struct fire_alias *a, enum fire_verdict v, struct slice how)
{
    const char *word = v == FIRE_OK ? "ok" : "FAILED";
    struct slice what =
        a->hedge_after_ns < 0
            ? arena_printf(&f->arena, "after p95, budget %u%%", a->hedge->hedge_percent)
            : arena_printf(&f->arena, "after %lld ms, budget %u%%",
                           (long long)(a->hedge_after_ns / NS_PER_MS), a->hedge->hedge_percent);
    fire_row(f, "hedge", a->model->name, what, v, how);
    fire_print(f, "hedge: %.*s: %.*s %s: %.*s\n", SLICE_ARG(a->model->name), SLICE_ARG(what), word,
               SLICE_ARG(how));
}

static unsigned askable(struct fire *f, const struct fire_alias *a)
{
    unsigned n = 0;
    for (size_t t = 0; t < a->model->targets_n; t++)
        n += fire_may(a->key, a, t) && fire_unknown_wire(fire_endpoint_of(f, a, t)->row) == NULL;
    return n;
}

/* All targets have begun so many streams in the time that is usual here. */
static void teach(const struct gw_model *m)
{
    for (size_t t = 0; t < m->targets_n; t++) {
        struct target_live *live = m->targets[t].live;
        for (unsigned i = 0; i < TAUGHT && live != NULL; i++) {
            int64_t now = clock_mono_ns();
            const struct target_report r = {.outcome = TARGET_GOOD,
                                            .entry = target_live_enter(live, now),
                                            .retry_after_ns = -1,
                                            .first_ns = FIRE_HEDGE_NS};
            target_live_report(live, &r, now);
        }
    }
}

/* One request. Was there a hedge? */
static bool is_hedged(struct fire *f, struct hedge *h)
{
    const struct fire_alias *a = h->alias;
    int64_t before = metric_plain_value(MP_HEDGES);
    fire_calm(f);
    teach(a->hedge);
    for (size_t t = 0; t < a->model->targets_n; t++)
        fire_fault_set(fire_endpoint_of(f, a, t), FAULT_SILENT_ONCE);
    fire_server_hush(f->server);
    fire_ask(f, a->key->token, h->name, true);
    int64_t n = metric_plain_value(MP_HEDGES) - before;
    h->first_n++;
    h->hedges_n += n;
    h->silent = SLICE_NONE;
    for (size_t t = 0; t < a->model->targets_n; t++) {
        const struct fire_endpoint *e = fire_endpoint_of(f, a, t);
        if (e->asked > 0 && !slice_is(e->label, f->answer.target))
            h->silent = e->label;
    }
    return n > 0;
}

/* Requests that the budget takes for one hedge. */
static int64_t requests_for_one(const struct fire_alias *a)
{
    return (99 + a->hedge->hedge_percent) / a->hedge->hedge_percent;
}

/* Requests of the alias, but for the last one, that the next hedge takes. */
static void fill_budget(struct hedge *h)
{
    for (int64_t i = 1; i < requests_for_one(h->alias); i++, h->first_n++)
        hedge_budget_fill(&h->alias->hedge->live->hedges, clock_mono_ns(),
                          h->alias->hedge->hedge_percent);
}

/* Why nobody was asked beside it, as far as that shows. */
static struct slice why_alone(struct fire *f, const struct hedge *h)
{
    const struct gw_model *m = h->alias->model;
    const struct gw_provider *p = NULL;
    for (size_t t = 0; t < m->targets_n; t++) {
        if (slice_eq(m->targets[t].label, h->silent))
            p = m->targets[t].provider;
    }
    if (f->snapshot->retry.attempts < 2)
        return SLICE(": `retry.attempts` is 1");
    if (p != NULL && p->gated && gate_capacity(p->gate) == 1)
        return arena_printf(&f->arena,
                            ": %.*s takes one request at a time, and a hedge never waits",
                            SLICE_ARG(p->name));
    return SLICE_NONE;
}

/* It works when it comes: can it come? */
static struct slice why_never(struct fire *f, const struct hedge *h)
{
    const struct fire_alias *a = h->alias;
    const struct gw_model *m = a->model;
    for (size_t t = 0; t < m->targets_n; t++) {
        const struct gw_provider *p = fire_configured(f, m->targets[t].provider);
        int64_t ns = fire_silence_ns(p);
        if (slice_eq(m->targets[t].label, h->silent) && ns > 0 && a->hedge_after_ns >= ns)
            return arena_printf(&f->arena, "by its `timeouts` %.*s is given up after %lld ms",
                                SLICE_ARG(h->silent), (long long)(ns / NS_PER_MS));
    }
    return SLICE_NONE;
}

static void judge(struct fire *f, struct hedge *h)
{
    const struct fire_alias *a = h->alias;
    unsigned percent = a->hedge->hedge_percent;
    struct slice never = why_never(f, h);
    struct slice done = arena_printf(&f->arena, "while %.*s is silent %s answers",
                                     SLICE_ARG(h->silent), f->answer.target);
    if (never.n > 0) {
        say(f, a, FIRE_FAILED, never);
        return;
    }
    bool spent = (h->first_n + 1) * percent / 100 <= h->hedges_n;
    if (spent && is_hedged(f, h))
        say(f, a, FIRE_FAILED,
            arena_printf(&f->arena, "%.*s, but the next request is hedged beyond the budget",
                         SLICE_ARG(done)));
    else
        say(f, a, FIRE_OK,
            arena_printf(&f->arena, "%.*s%s", SLICE_ARG(done),
                         spent ? ", the next request is beyond the budget" : ""));
}

static void fire_hedge(struct fire *f, const struct fire_alias *a)
{
    struct hedge h = {
        .alias = a, .name = arena_printf(&f->arena, FIRE_HEDGE "%.*s", SLICE_ARG(a->model->name))};
    bool hedged = false;
    if (askable(f, a) < 2) {
        say(f, a, FIRE_FAILED, SLICE("only one of its targets can be asked"));
        return;
    }
    /* timed, and the machine may be busy for so long */
    for (int tries = 3; tries > 0 && !hedged; tries--) {
        fill_budget(&h);
        hedged = is_hedged(f, &h);
    }
    if (hedged && fire_is_good(f, true))
        judge(f, &h);
    else if (hedged)
        say(f, a, FIRE_FAILED,
            arena_printf(&f->arena, "while %.*s is silent: %.*s", SLICE_ARG(h.silent),
                         SLICE_ARG(fire_say(f))));
    else
        say(f, a, FIRE_FAILED,
            arena_printf(&f->arena, "%.*s is silent, and nobody is asked beside it%.*s",
                         SLICE_ARG(h.silent), SLICE_ARG(why_alone(f, &h))));
}

void fire_hedges(struct fire *f)
{
    for (size_t i = 0; i < f->aliases_n; i++) {
        const struct fire_alias *a = &f->alias[i];
        if (a->key != NULL && a->hedge != NULL)
            fire_hedge(f, a);
    }
    fire_calm(f);
}
