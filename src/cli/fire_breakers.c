/* Firing the breaker of each alias' first target: it fails until it is left alone, and is asked
 * again after its ejection. */
#include <time.h>

#include "base/clock.h"
#include "fire.h"

#define TRIES_MOST 2000u
#define QUIET      40u /* requests that go elsewhere in a row: it is left alone */

static void ask(struct fire *f, const struct fire_alias *a)
{
    fire_ask(f, a->key->token, a->model->name, false);
}

/* The endpoint that answered, or endpoints_n. */
static size_t who_answered(const struct fire *f)
{
    size_t i = 0;
    while (i < f->endpoints_n && !slice_is(f->endpoint[i].label, f->answer.target))
        i++;
    return i;
}

/* Targets that can be asked, without the fallbacks if these are not wanted. */
static unsigned usable(const struct fire *f, const struct fire_alias *a, bool fallbacks)
{
    unsigned n = 0;
    for (size_t t = 0; t < a->model->targets_n && a->key != NULL; t++)
        n += (fallbacks || !a->model->targets[t].fallback) && fire_may(a->key, a, t) &&
             fire_unknown_wire(f->endpoint[a->endpoint[t]].row) == NULL;
    return n;
}

static void say(struct fire *f, const struct fire_alias *a, size_t who, enum fire_verdict v,
                struct slice how)
{
    struct slice label = f->endpoint[who].label;
    fire_row(f, "breaker", label, a->model->name, v, how);
    fire_print(f, "breaker: %s%.*s (%.*s): %.*s\n", v == FIRE_FAILED ? "FAILED " : "",
               SLICE_ARG(label), SLICE_ARG(a->model->name), SLICE_ARG(how));
}

/* Fails it until it is asked no more. Returns how many failures that took, fewer than `failures`
 * where their share came first; 0: it is still asked. */
static unsigned trip(struct fire *f, const struct fire_alias *a, struct fire_endpoint *e)
{
    unsigned most = (unsigned)f->health.v[HEALTH_FAILURES], quiet = 0, seen = 0;
    fire_calm(f);
    fire_fault_set(e, FAULT_STATUS_500);
    for (unsigned i = 0; i < TRIES_MOST && e->asked < most && quiet < QUIET; i++) {
        ask(f, a);
        quiet = e->asked == seen ? quiet + 1 : 0;
        seen = e->asked;
    }
    for (unsigned i = 0; i < 3; i++)
        ask(f, a);
    return e->asked == seen ? seen : 0;
}

/* Without a fallback that is well, too many that are out count as none (policy/route.h). */
static void say_deaf(struct fire *f, const struct fire_alias *a, size_t who)
{
    unsigned n = MAX_OF(usable(f, a, false), 1u), most = f->snapshot->max_ejected;
    long long failures = f->health.v[HEALTH_FAILURES];
    bool panics = n == usable(f, a, true) && 100 > most * n;
    say(f, a, who, FIRE_FAILED,
        panics ? arena_printf(&f->arena,
                              "still asked after %lld failures: it is %u%% of the targets, and "
                              "`max_ejected` is %u%%",
                              failures, 100 / n, most)
               : arena_printf(&f->arena, "still asked after %lld failures", failures));
}

static void wait_ns(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    nanosleep(&t, NULL);
}

/* It gets well, and its ejection passes. */
static void judge_return(struct fire *f, const struct fire_alias *a, size_t who, unsigned failures)
{
    struct fire_endpoint *e = &f->endpoint[who];
    fire_fault_set(e, FAULT_NONE);
    wait_ns(FIRE_EJECTION_NS + FIRE_EJECTION_NS / 8);
    e->asked = 0;
    for (unsigned i = 0; i < TRIES_MOST && e->asked == 0; i++)
        ask(f, a);
    bool back = e->asked > 0;
    say(f, a, who, back ? FIRE_OK : FIRE_FAILED,
        arena_printf(&f->arena, "left alone after %u failures, %s after the ejection (%lld s)",
                     failures, back ? "asked again" : "but not asked again",
                     (long long)(f->health.v[HEALTH_EJECTION] / NS_PER_S)));
}

static void fire_breaker(struct fire *f, const struct fire_alias *a, size_t who)
{
    unsigned failures = 0;
    /* a busy machine may let its ejection pass before the look */
    for (int i = 0; i < 3 && failures == 0; i++)
        failures = trip(f, a, &f->endpoint[who]);
    if (failures > 0)
        judge_return(f, a, who, failures);
    else
        say_deaf(f, a, who);
}

void fire_breakers(struct fire *f)
{
    bool *fired = arena_zalloc(&f->arena, f->endpoints_n + 1);
    if (fired == NULL)
        return;
    if (f->health.v[HEALTH_FAILURES] == 0 || f->health.v[HEALTH_EJECTION] == 0) {
        fire_print(f, "breaker: not fired: by `health` no failures in a row eject a target\n");
        fire_row(f, "breaker", SLICE("health"), SLICE("failures"), FIRE_SKIPPED, SLICE_NONE);
        return;
    }
    for (size_t i = 0; i < f->aliases_n; i++) {
        const struct fire_alias *a = &f->alias[i];
        if (usable(f, a, true) < 2)
            continue; /* there is nobody else to ask */
        fire_calm(f);
        ask(f, a);
        size_t who = who_answered(f);
        if (who == f->endpoints_n || fired[who])
            continue;
        fired[who] = true;
        fire_breaker(f, a, who);
    }
    fire_calm(f);
}
