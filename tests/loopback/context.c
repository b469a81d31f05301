/* Targets whose context is too small: what the configuration says holds, what the table of prices
 * says only while another target is left. Bodies have 4000 bytes, which counts as 1000 tokens. */
#include <stdio.h>

#include "base/mem.h"
#include "world.h"

#define BODY  4000
#define TABLE false
#define OWN   true

/* The targets of "four", or of the alias that is asked for. */
static struct {
    const char *model;
    int64_t context[ROUTE_CANDIDATES_MAX];
    bool declared[ROUTE_CANDIDATES_MAX];
} plan;

static void with_contexts(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, plan.model);
    for (size_t i = 0; i < m->targets_n; i++) {
        m->targets[i].context = plan.context[i];
        m->targets[i].context_declared = plan.declared[i];
    }
}

static void plan_for(const char *model)
{
    memset(&plan, 0, sizeof plan);
    plan.model = model;
}

static void say(unsigned i, int64_t context, bool declared)
{
    plan.context[i] = context;
    plan.declared[i] = declared;
}

static struct net_stream *ask_long(struct world *w, const char *more)
{
    static char text[BODY + 1];
    int n = snprintf(text, sizeof text,
                     "{\"model\":\"%s\"%s,\"messages\":[{\"role\":\"user\",\"content\":\"",
                     plan.model, more);
    memset(text + n, 'x', (size_t)(BODY - n));
    memcpy(text + BODY - 4, "\"}]}", 4);
    return ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_of(text, BODY));
}

/* All that are asked fail, one after the other; `asked`: a letter for each. */
static void check_asked_in(struct world *w, const char *more, const char *asked)
{
    static const char *const labels[] = {"alpha/m0", "beta/m1", "gamma/m2", "delta/m3"};
    struct net_stream *s = ask_long(w, more);
    for (const char *p = asked; *p != '\0'; p++) {
        CHECK_EQ_I64(s->status, 0);
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    }
    CHECK(s->status != 0);
    CHECK_EQ_I64(log_attempts(), (int64_t)strlen(asked));
    for (unsigned i = 0; asked[i] != '\0'; i++)
        CHECK(log_attempt_is(i, labels[asked[i] - 'a'], "upstream_reset"));
    if (asked[0] == '\0')
        check_error_is(s, 400, "invalid_request_error", "context_length_exceeded");
    client_free(s);
    calls_forget(w->loop);
}

static void check_asked(const char *more, const char *asked)
{
    struct world *w = world_new(with_contexts);
    check_asked_in(w, more, asked);
    world_check_rest(w);
    world_free(w);
}

TEST(context_of_the_table_takes_a_quarter_more)
{
    plan_for("three");
    say(0, 800, TABLE);
    say(1, 799, TABLE);
    check_asked("", "ac");
    check_asked(",\"max_tokens\":100000", "ac"); /* the prompt alone counts */
}

TEST(context_of_the_configuration_holds)
{
    plan_for("two");
    say(0, 1000, OWN);
    say(1, 999, OWN);
    check_asked("", "a");
    check_asked(",\"max_tokens\":1", "");
    plan_for("one");
    say(0, 999, OWN);
    check_asked("", "");
}

TEST(context_of_the_table_leaves_somebody)
{
    plan_for("one");
    say(0, 1, TABLE);
    check_asked("", "a");
    plan_for("three");
    say(0, 1, TABLE);
    say(1, 2, TABLE);
    say(2, 3, TABLE);
    check_asked("", "abc");
    say(1, 2, OWN); /* nobody else: those of the table are asked, it is not */
    check_asked("", "ac");
    say(2, 1000, OWN);
    check_asked("", "c");
}

static void with_contexts_watched(struct gw_snapshot *s)
{
    with_contexts(s);
    snapshot_watch(snapshot_model(s, plan.model));
}

/* Who gets nothing is nobody to leave the request to. */
TEST(context_of_the_table_and_drained_targets)
{
    plan_for("two");
    say(0, 1, TABLE);
    struct world *w = world_new(with_contexts_watched);
    struct target_live *beta = target_live_get(SLICE("beta/m1"));
    target_live_reset(target_live_get(SLICE("alpha/m0")));
    target_live_reset(beta);
    check_asked_in(w, "", "b");
    target_live_drain(beta, true);
    check_asked_in(w, "", "a");
    target_live_reset(target_live_get(SLICE("alpha/m0")));
    target_live_reset(beta);
    world_check_rest(w);
    world_free(w);
}

/* Of so many the order is made in two parts. */
static void with_many(struct gw_snapshot *s)
{
    static const int providers[] = {ALPHA, BETA, GAMMA};
    struct gw_model *m = snapshot_model(s, plan.model);
    snapshot_retarget(m, s, providers, ARRAY_LEN(providers));
    struct gw_target *list = mem_must(arena_zalloc(&s->arena, 12 * sizeof *list));
    for (size_t i = 0; i < 12; i++)
        list[i] = m->targets[i % 3];
    m->targets = list;
    m->targets_n = 12;
    with_contexts(s);
}

TEST(context_of_the_table_among_many)
{
    plan_for("three");
    for (unsigned i = 0; i < 12; i++)
        say(i, 1, TABLE);
    struct world *w = world_new(with_many);
    check_asked_in(w, "", "abca"); /* as many as are tried at all */
    say(4, 0, TABLE);
    world_reload(w, with_many);
    check_asked_in(w, "", "b");
    world_check_rest(w);
    world_free(w);
}
