/* Firing places and queues: more requests at a time than a provider or an engine takes. All places
 * but one, and all that wait but one, are entered into its gate; the last ones are real. */
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fire.h"

#define WAITERS_MOST INT64_C(1000)
#define SOON_NS      (2 * NS_PER_S) /* for a request to begin to wait, on a busy machine */

struct crowd {
    const struct gw_provider *provider;
    int64_t places, queue;
    bool adapts;                    /* the places were found out, from 4 on */
    const struct fire_alias *alias; /* that has a target there: */
    struct fire_endpoint *endpoint;
    struct slice token, model; /* that ask for it alone */
    int64_t held;              /* places that were taken here */
    struct permit_waiter *waiter;
    int64_t waiters_n;
};

static void say(struct fire *f, const struct crowd *c, enum fire_verdict v, struct slice how)
{
    static const char *const words[] = {"ok", "FAILED", "not fired"};
    const struct gw_provider *p = c->provider;
    struct slice subject =
        arena_printf(&f->arena, "%s %.*s", p->engine ? "engine" : "provider", SLICE_ARG(p->name));
    const char *places = p->engine ? "slots" : c->adapts ? "adaptive_inflight" : "max_inflight";
    struct slice what = arena_printf(&f->arena, "%s %lld, queue %lld", places, (long long)c->places,
                                     (long long)c->queue);
    fire_row(f, "queue", subject, what, v, how);
    fire_print(f, "queue: %.*s: %.*s %s: %.*s\n", SLICE_ARG(subject), SLICE_ARG(what), words[v],
               SLICE_ARG(how));
}

/* ---- who takes places, and who waits */

static void granted(struct permit_waiter *w)
{
    (void)w; /* permits_leave tells */
}

static bool take_places(struct crowd *c, int64_t n)
{
    for (; c->held < n; c->held++) {
        if (!permits_try(&c->provider->gate->permits))
            return false;
    }
    return true;
}

static bool wait_up_to(struct crowd *c, int64_t n)
{
    for (; c->waiters_n < n; c->waiters_n++) {
        struct permit_waiter *w = &c->waiter[c->waiters_n];
        *w = (struct permit_waiter){.class = PERMIT_NORMAL, .grant = granted};
        if (permits_take(&c->provider->gate->permits, w) != PERMIT_WAITING)
            return false;
    }
    return true;
}

/* Real ones have their turn from now on. */
static void leave(struct crowd *c)
{
    struct permits *p = &c->provider->gate->permits;
    for (; c->waiters_n > 0; c->waiters_n--)
        c->held += !permits_leave(p, &c->waiter[c->waiters_n - 1]);
    for (; c->held > 0; c->held--)
        permits_give(p);
}

static bool is_waiting(const struct crowd *c)
{
    const struct timespec moment = {.tv_nsec = 50 * NS_PER_US};
    int64_t until = clock_mono_ns() + SOON_NS;
    while (gate_waiting(c->provider->gate) < c->queue && clock_mono_ns() < until)
        nanosleep(&moment, NULL);
    return gate_waiting(c->provider->gate) == c->queue;
}

/* ---- firing */

static bool is_refused(const struct fire *f)
{
    const struct buf *b = &f->answer.body;
    return f->answer.status == 503 && b->n > 0 && memmem(b->p, b->n, "queue_full", 10) != NULL;
}

/* Where one more request to the alias goes, while no more may wait; empty: nowhere. */
static struct slice way_out(struct fire *f, const struct crowd *c)
{
    fire_ask(f, c->alias->key->token, c->alias->model->name, false);
    return fire_is_good(f, false) ? arena_copy(&f->arena, slice_str(f->answer.target)) : SLICE_NONE;
}

/* All places are taken, and nobody may wait. */
static void judge_no_queue(struct fire *f, const struct crowd *c)
{
    struct slice alias = c->alias->model->name, to = way_out(f, c);
    long long number = c->places + 1;
    if (to.n > 0)
        say(f, c, FIRE_OK,
            arena_printf(&f->arena, "number %lld at a time goes to %.*s in %.*s", number,
                         SLICE_ARG(to), SLICE_ARG(alias)));
    else
        say(f, c, FIRE_FAILED,
            arena_printf(&f->arena,
                         "number %lld at a time is refused: it may not wait, and %.*s has no other "
                         "target: %.*s",
                         number, SLICE_ARG(alias), SLICE_ARG(fire_say(f))));
}

/* One real request is the last that may wait. */
static void judge_queue(struct fire *f, struct crowd *c)
{
    long long number = c->places + 1, beyond = c->places + c->queue + 1;
    struct fire_later *last = fire_ask_later(f, c->token, c->model);
    struct slice to = SLICE_NONE, said = SLICE_NONE;
    bool waits, refused = false;
    if (last == NULL) {
        say(f, c, FIRE_SKIPPED, SLICE("out of memory"));
        return;
    }
    waits = is_waiting(c) && c->endpoint->asked == 0;
    if (waits) {
        fire_ask(f, c->token, c->model, false);
        refused = is_refused(f);
        said = fire_say(f);
        to = way_out(f, c);
        waits = gate_waiting(c->provider->gate) == c->queue;
        c->endpoint->asked = 0;
    }
    leave(c);
    fire_await(f, last);
    if (!waits || !fire_is_good(f, false) || c->endpoint->asked != 1)
        say(f, c, FIRE_FAILED,
            arena_printf(&f->arena, "number %lld at a time %s: %.*s", number,
                         waits ? "waits, but gets no turn" : "does not wait",
                         SLICE_ARG(fire_say(f))));
    else if (!refused)
        say(f, c, FIRE_FAILED,
            arena_printf(&f->arena, "number %lld at a time is not refused: %.*s", beyond,
                         SLICE_ARG(said)));
    else
        say(f, c, FIRE_OK,
            arena_printf(
                &f->arena, "number %lld at a time waits and gets its turn, number %lld %s%.*s",
                number, beyond, to.n > 0 ? "goes to " : "is refused with 503", SLICE_ARG(to)));
}

static void fire_crowd(struct fire *f, struct crowd *c)
{
    fire_calm(f);
    c->waiter = mem_calloc((size_t)c->queue + 1, sizeof *c->waiter);
    bool ok = c->waiter != NULL && take_places(c, c->places - 1);
    if (ok)
        fire_ask(f, c->token, c->model, false);
    if (!ok)
        say(f, c, FIRE_SKIPPED, SLICE("out of memory"));
    else if (!fire_is_good(f, false))
        say(f, c, FIRE_FAILED,
            arena_printf(&f->arena, "number %lld at a time gets no answer: %.*s",
                         (long long)c->places, SLICE_ARG(fire_say(f))));
    else if (!take_places(c, c->places) || !wait_up_to(c, c->queue - 1))
        say(f, c, FIRE_FAILED, SLICE("a place is not given back, or nobody may wait"));
    else {
        c->endpoint->asked = 0;
        if (c->queue > 0)
            judge_queue(f, c);
        else
            judge_no_queue(f, c);
    }
    leave(c);
    mem_free(c->waiter);
}

/* ---- whom to ask */

/* What the configuration says of its queue, and whether it says how many places there are. */
static void read_config(const struct fire *f, struct crowd *crowd)
{
    const struct config *c = f->loaded.config;
    const struct gw_provider *p = crowd->provider;
    for (size_t i = 0; i < c->engines_n && p->engine; i++) {
        if (slice_eq(c->engines[i].name, p->name))
            crowd->queue = c->engines[i].queue;
    }
    for (size_t i = 0; i < c->providers_n && !p->engine; i++) {
        if (!slice_eq(c->providers[i].name, p->name))
            continue;
        crowd->queue = c->providers[i].queue;
        crowd->adapts = c->providers[i].adaptive_inflight;
    }
}

/* An alias whose requests may go there. */
static bool find_alias(struct fire *f, struct crowd *c)
{
    for (size_t i = 0; i < f->aliases_n; i++) {
        const struct fire_alias *a = &f->alias[i];
        for (size_t t = 0; t < a->model->targets_n && a->key != NULL; t++) {
            struct fire_endpoint *e = fire_endpoint_of(f, a, t);
            if (a->model->targets[t].provider->gate != c->provider->gate ||
                !fire_may(a->key, a, t) || fire_unknown_wire(e->row) != NULL)
                continue;
            c->alias = a;
            c->endpoint = e;
            c->token = a->key->token;
            c->model = arena_printf(&f->arena, FIRE_ONE "%.*s", SLICE_ARG(e->label));
            return true;
        }
    }
    return false;
}

void fire_queues(struct fire *f)
{
    for (size_t i = 0; i < f->snapshot->providers_n; i++) {
        const struct gw_provider *p = &f->snapshot->provider_list[i];
        if (!p->gated || p->gate == NULL)
            continue;
        struct crowd c = {.provider = p, .places = gate_capacity(p->gate)};
        read_config(f, &c);
        if (c.queue > WAITERS_MOST)
            say(f, &c, FIRE_SKIPPED, SLICE("more than 1000 may wait"));
        else if (!find_alias(f, &c))
            say(f, &c, FIRE_SKIPPED, SLICE("no alias that answers has a target there"));
        else
            fire_crowd(f, &c);
    }
    fire_calm(f);
}
