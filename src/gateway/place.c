/* Places at gates: one queue or several, grants and refusals by message. */
#include "place.h"

#include "base/clock.h"
#include "base/hash.h"
#include "worker.h"

struct place {
    struct permit_waiter waiter;
    struct attempt *attempt;
    const struct gw_target *target; /* of the route's list */
    bool waits;
};

/* Under the gate's lock, on the thread that gave a place back or took the one in the queue. The
 * message carries a reference to the gate. */
static void post(struct permit_waiter *w, uint32_t kind)
{
    const struct place *p = container_of(w, struct place, waiter);
    struct exchange *x = p->attempt->exchange;
    struct mailbox_msg msg = {.kind = kind,
                              .slot = x->slot | (uint64_t)p->attempt->number << 32,
                              .generation = x->generation,
                              .ptr = gate_ref(p->target->provider->gate)};
    if (!net_loop_post(&x->worker->loop, msg))
        NEVER("a mailbox holds the end of every wait, and as much again");
}

static void post_grant(struct permit_waiter *w)
{
    post(w, GW_MSG_GRANT);
}

static void post_shed(struct permit_waiter *w)
{
    post(w, GW_MSG_SHED);
}

static int64_t wait_until(const struct attempt *a, const struct gw_provider *p)
{
    int64_t queue = p->timeouts.ns[TIMEOUT_QUEUE], total = p->timeouts.ns[TIMEOUT_TOTAL];
    int64_t at = queue > 0 ? a->started_ns + queue : INT64_MAX;
    return total > 0 ? MIN_OF(at, a->exchange->started_ns + total) : at;
}

int64_t place_deadline(const struct attempt *a)
{
    int64_t at = 0;
    for (unsigned i = 0; i < a->places_n; i++) {
        if (a->places[i].waits)
            at = MAX_OF(at, wait_until(a, a->places[i].target->provider));
    }
    return at > 0 ? at : wait_until(a, a->target.provider);
}

/* As whom it waits: the priority of its key, and in turn with the other keys of that. */
static void introduce(struct place *p, unsigned queues)
{
    static const enum permit_class classes[] = {[PRIORITY_LOW] = PERMIT_LOW,
                                                [PRIORITY_NORMAL] = PERMIT_NORMAL,
                                                [PRIORITY_HIGH] = PERMIT_HIGH};
    const struct attempt *a = p->attempt;
    const struct gw_key *k = a->exchange->key;
    int64_t until = wait_until(a, p->target->provider);
    p->waiter = (struct permit_waiter){.class = k != NULL ? classes[k->priority] : PERMIT_NORMAL,
                                       .flow = k != NULL ? hash64(k->scope.name) : 0,
                                       .weight = k != NULL ? k->weight : 1,
                                       .queues = queues,
                                       .deadline_ns = until < INT64_MAX ? until : 0,
                                       .grant = post_grant,
                                       .shed = post_shed};
}

static void note_waits(struct place *p, bool waits)
{
    p->attempt->exchange->worker->waits_n += (int)waits - (int)p->waits;
    p->waits = waits;
}

static void count_shed(const struct attempt *a)
{
    const struct exchange *x = a->exchange;
    metric_add(x->worker->metrics, MM_SHED, x->metric_id, a->places[0].waiter.class, 1);
}

bool place_take_free(const struct gw_provider *p)
{
    return !p->gated || (gate_state(p->gate) != GATE_FAILED && permits_try(&p->gate->permits));
}

/* Of an ungated provider `gate` is NULL. */
static bool stands_at(const struct attempt *a, const struct gw_provider *p)
{
    for (unsigned i = 0; i < a->places_n; i++) {
        if (a->places[i].target->provider->gate == p->gate)
            return true;
    }
    return false;
}

static void leave_queues(struct attempt *a)
{
    const struct exchange *x = a->exchange;
    for (unsigned i = 0; i < a->places_n; i++) {
        struct place *p = &a->places[i];
        if (p->waits) /* a grant on its way finds nobody */
            permits_leave(&p->target->provider->gate->permits, &p->waiter);
        note_waits(p, false);
    }
    if (a->queued)
        metric_add(x->worker->metrics, MM_QUEUED, x->metric_id, 0, -1);
    a->queued = false;
}

/* It goes there, where a place has been taken. */
static void go_to(struct attempt *a, const struct gw_target *t)
{
    leave_queues(a);
    a->exchange->route.waited = 0;
    a->holds_place = t->provider->gated;
    if (t != &a->exchange->route.list[a->target_index])
        route_move(a, t);
}

/* The full ones behind its own target; or one that is free after all, which is taken. */
static bool find_places(struct attempt *a)
{
    struct exchange *x = a->exchange;
    const struct gw_target *t;
    for (unsigned i = 0; a->places_n < PLACES_MAX && (t = route_behind(x, i)) != NULL; i++) {
        if (!route_waits_for(a, t))
            continue;
        if (!stands_at(a, t->provider)) {
            if (place_take_free(t->provider)) {
                go_to(a, t);
                return true;
            }
            if (gate_state(t->provider->gate) == GATE_FAILED)
                continue;
            a->places[a->places_n++] = (struct place){.attempt = a, .target = t};
        }
        route_note_waits(x, t);
    }
    return false;
}

static enum gw_error queue_up(struct attempt *a)
{
    struct exchange *x = a->exchange;
    a->places = arena_alloc(&x->arena, PLACES_MAX * sizeof *a->places);
    if (a->places == NULL)
        return GW_NO_MEMORY;
    a->places[0] = (struct place){.attempt = a, .target = &x->route.list[a->target_index]};
    a->places_n = 1;
    if (find_places(a))
        return GW_OK;
    bool waits = false;
    for (unsigned i = 0; i < a->places_n; i++) {
        struct place *p = &a->places[i];
        introduce(p, a->places_n);
        enum permit_result r = x->worker->waits_n < WAITS_MAX
                                   ? permits_take(&p->target->provider->gate->permits, &p->waiter)
                                   : PERMIT_REFUSED;
        if (r == PERMIT_TAKEN) {
            go_to(a, p->target);
            return GW_OK;
        }
        note_waits(p, r == PERMIT_WAITING);
        waits |= p->waits;
    }
    if (!waits) {
        count_shed(a);
        return GW_QUEUE_FULL;
    }
    a->queued = true;
    metric_add(x->worker->metrics, MM_QUEUED, x->metric_id, 0, 1);
    return GW_OK;
}

enum gw_error place_take(struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    if (!p->gated)
        return GW_OK;
    if (gate_state(p->gate) == GATE_FAILED)
        return GW_ENGINE_FAILED;
    if (!a->holds_place) /* a hedge comes with one */
        a->holds_place = permits_try(&p->gate->permits);
    return a->holds_place ? GW_OK : queue_up(a);
}

bool place_held(const struct attempt *a)
{
    return !a->target.provider->gated || a->holds_place;
}

static struct place *waiting_at(struct attempt *a, const struct gate *gate)
{
    for (unsigned i = 0; i < a->places_n; i++) {
        if (a->places[i].waits && a->places[i].target->provider->gate == gate)
            return &a->places[i];
    }
    return NULL;
}

static bool waits_elsewhere(const struct attempt *a, const struct place *p)
{
    for (unsigned i = 0; i < a->places_n; i++) {
        if (a->places[i].waits && &a->places[i] != p)
            return true;
    }
    return false;
}

bool place_granted(struct attempt *a, const struct gate *gate)
{
    struct place *p = waiting_at(a, gate);
    if (p == NULL)
        return false;
    note_waits(p, false);
    bool good = gate_state(gate) != GATE_FAILED && route_waits_for(a, p->target);
    if (!good && waits_elsewhere(a, p)) {
        exchange_rearm(a->exchange);
        return false;
    }
    go_to(a, p->target);
    return true;
}

void place_shed(struct attempt *a, const struct gate *gate)
{
    struct place *p = waiting_at(a, gate);
    if (p == NULL)
        return;
    bool late = wait_until(a, p->target->provider) <= net_now(&a->exchange->worker->loop);
    note_waits(p, false);
    if (waits_elsewhere(a, p))
        return;
    if (!late)
        count_shed(a);
    attempt_end(a, late ? GW_QUEUE_TIMEOUT : GW_QUEUE_FULL);
}

void place_leave(struct attempt *a)
{
    struct permits *p = a->holds_place ? &a->target.provider->gate->permits : NULL;
    leave_queues(a);
    if (p != NULL && a->sent)
        permits_give_held(p, a->sent_ns, a->ended_ns);
    else if (p != NULL)
        permits_give(p);
    a->holds_place = false;
}
