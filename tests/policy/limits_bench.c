/* What an admission and its settlement cost over four scopes: alone, with two threads in the same
 * scopes, and with two threads that share two of them. Prints nanoseconds; judges nothing. Build it
 * without sanitizers. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "policy/limits.h"

#define SCOPES 4
#define ROUNDS 2000000

struct load {
    struct limit_registry *registry;
    struct limit_scope *scopes[SCOPES];
    struct limit_set set;
    double ns;
};

static const struct limit_amounts want = {
    .requests = 1, .input = 800, .output = 400, .cost_nano = 90000, .concurrency = 1};
static const struct limit_amounts actual = {
    .requests = 1, .input = 812, .output = 231, .cost_nano = 70000, .concurrency = 0};

static void *run(void *arg)
{
    struct load *l = arg;
    struct limit_pool *pool = mem_must(limit_pool_new());
    struct limit_use uses[SCOPES];
    for (unsigned i = 0; i < SCOPES; i++)
        uses[i] = (struct limit_use){l->scopes[i], &l->set};
    int64_t began = clock_mono_ns(), now = began;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct limit_standing standing[LIMIT_KINDS_N];
        struct limit_hold hold = {0};
        struct limit_refusal refusal;
        for (unsigned k = 0; k < LIMIT_KINDS_N; k++)
            standing[k].most = LIMIT_NONE;
        if (i % 16 == 0)
            now = clock_mono_ns();
        ASSERT(limit_admit(l->registry, pool, uses, SCOPES, &want, now, &hold, standing,
                           &refusal) == LIMIT_ADMITTED);
        limit_settle(l->registry, pool, &hold, &actual, now);
    }
    l->ns = (double)(clock_mono_ns() - began) / ROUNDS;
    limit_pool_free(pool);
    return NULL;
}

static struct limit_scope *scope(struct limit_registry *r, enum scope_kind kind, const char *name)
{
    return mem_must(limit_scope_get(r, kind, slice_str(name)));
}

int main(void)
{
    struct limit_registry *r = mem_must(limit_registry_new(16));
    struct load a = {.registry = r}, b;
    pthread_t thread;
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++)
        a.set.most[k] = INT64_C(1) << 58;
    a.scopes[0] = scope(r, SCOPE_ORGANISATION, "acme");
    a.scopes[1] = scope(r, SCOPE_TEAM, "search");
    a.scopes[2] = scope(r, SCOPE_KEY, "one");
    a.scopes[3] = scope(r, SCOPE_MODEL, "chat");
    b = a;
    run(&a);
    printf("alone: %.0f ns per admission and settlement over %d scopes\n", a.ns, SCOPES);

    ASSERT(thread_start(&thread, run, &b));
    run(&a);
    pthread_join(thread, NULL);
    printf("two threads, the same scopes: %.0f and %.0f ns\n", a.ns, b.ns);

    b.scopes[1] = scope(r, SCOPE_TEAM, "support");
    b.scopes[2] = scope(r, SCOPE_KEY, "two");
    ASSERT(thread_start(&thread, run, &b));
    run(&a);
    pthread_join(thread, NULL);
    printf("two threads, two scopes in common: %.0f and %.0f ns\n", a.ns, b.ns);
    limit_registry_free(r);
    return 0;
}
