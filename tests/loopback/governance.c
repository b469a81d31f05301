/* Data goes only where its key, its use case and the provider's governance allow, whatever fails.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

static void add_use_case(struct gw_snapshot *s, const char *name, struct gw_data_rules rules,
                         int data_level)
{
    struct gw_use_case *u = mem_must(arena_new(&s->arena, struct gw_use_case));
    u->scope = (struct gw_scope){.name = slice_str(name), .kind = SCOPE_USE_CASE};
    u->rules = rules;
    u->data_level = data_level;
    ASSERT(strmap_add(&s->use_cases, u->scope.name, u));
}

static void add_key(struct gw_snapshot *s, const char *name, struct gw_data_rules rules)
{
    struct gw_key *k = snapshot_add_key(s, name, PRIORITY_NORMAL);
    k->may_set_use_case = true;
    k->rules = rules;
}

/* ALPHA says nothing of itself. */
static void with_rules(struct gw_snapshot *s)
{
    s->auth_keys = true;
    snapshot_provider(s, ALPHA)->governance = (struct gw_governance){LOCATION_ANY, -1, -1, -1};
    snapshot_provider(s, BETA)->governance = (struct gw_governance){LOCATION_CLOUD, 30, 0, 1};
    snapshot_provider(s, GAMMA)->governance = (struct gw_governance){LOCATION_ON_PREMISE, 0, 0, 3};
    snapshot_provider(s, DELTA)->governance = (struct gw_governance){LOCATION_CLOUD, 0, 1, 3};
    add_key(s, "free", (struct gw_data_rules){LOCATION_ANY, -1, false});
    add_key(s, "month", (struct gw_data_rules){LOCATION_ANY, 30, false});
    add_key(s, "forget", (struct gw_data_rules){LOCATION_ANY, 0, false});
    add_key(s, "untrained", (struct gw_data_rules){LOCATION_ANY, -1, true});
    add_key(s, "home", (struct gw_data_rules){LOCATION_ON_PREMISE, -1, false});
    add_key(s, "nowhere", (struct gw_data_rules){LOCATION_CLOUD, 0, true});
    ASSERT(strmap_init(&s->use_cases, &s->arena, 4));
    add_use_case(s, "leaflets", (struct gw_data_rules){LOCATION_ANY, -1, false}, 0);
    add_use_case(s, "minutes", (struct gw_data_rules){LOCATION_ANY, -1, false}, 1);
    add_use_case(s, "papers", (struct gw_data_rules){LOCATION_ANY, -1, false}, 3);
    add_use_case(s, "secrets", (struct gw_data_rules){LOCATION_ANY, -1, true}, 3);
}

static const char *const labels[] = {"alpha/m0", "beta/m1", "gamma/m2", "delta/m3"};

static struct net_stream *ask_as(struct world *w, const char *path, const char *key,
                                 const char *use_case, const char *model)
{
    char fields[200];
    snprintf(fields, sizeof fields, "x-api-key: sk-%s\n%s%s%s", key,
             use_case != NULL ? "x-weir-use-case: " : "", use_case != NULL ? use_case : "",
             use_case != NULL ? "\n" : "");
    return ask_path(w, HTTP_POST, path, fields, chat_body(model, 0));
}

/* All that may be tried fails, one after the other. `allowed`: one letter for each. */
static void check_where(const char *key, const char *use_case, const char *allowed)
{
    struct world *w = world_new(with_rules);
    struct net_stream *s = ask_as(w, "/v1/chat/completions", key, use_case, "four");
    check_note("key %s, use case %s", key, use_case != NULL ? use_case : "-");
    for (const char *p = allowed; *p != '\0'; p++) {
        CHECK_EQ_I64(s->status, 0);
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    }
    CHECK(s->status != 0);
    CHECK_EQ_I64(log_attempts(), (int64_t)strlen(allowed));
    for (unsigned i = 0; allowed[i] != '\0'; i++)
        CHECK(log_attempt_is(i, labels[strchr("abcd", allowed[i]) - "abcd"], "upstream_reset"));
    if (allowed[0] == '\0')
        check_error(s, GW_TARGET_FORBIDDEN);
    client_free(s);
    world_check_rest(w);
    world_free(w);
    check_note("%s", "");
}

TEST(attempts_stay_inside)
{
    check_where("free", NULL, "abcd");
    check_where("month", NULL, "bcd");
    check_where("forget", NULL, "cd");
    check_where("untrained", NULL, "bc");
    check_where("home", NULL, "c");
    check_where("nowhere", NULL, "");
    check_where("free", "leaflets", "abcd");
    check_where("free", "minutes", "bcd");
    check_where("free", "papers", "cd");
    check_where("free", "secrets", "c");
    check_where("forget", "secrets", "c"); /* both demand something */
    check_where("month", "minutes", "bcd");
    check_where("untrained", "papers", "c");
    check_where("nowhere", "leaflets", "");
}

/* By name, and what is passed through. */
TEST(no_way_around)
{
    static const struct {
        const char *path, *key, *model;
        bool may;
    } rows[] = {
        {"/v1/chat/completions", "free", "alpha/x", true},
        {"/v1/chat/completions", "month", "alpha/x", false},
        {"/v1/chat/completions", "month", "beta/x", true},
        {"/v1/chat/completions", "forget", "beta/x", false},
        {"/v1/audio/speech", "free", "x", true},
        {"/v1/audio/speech", "home", "x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w = world_new(with_rules);
        struct net_stream *s = ask_as(w, rows[i].path, rows[i].key, NULL, rows[i].model);
        check_note("%s %s %s", rows[i].path, rows[i].key, rows[i].model);
        if (rows[i].may)
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        else
            check_error(s, GW_TARGET_FORBIDDEN);
        CHECK(!rows[i].may || s->status == 200);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
    check_note("%s", "");
}

/* --- random rules, and everything that asks another target */

#define ROUNDS 600
#define STEPS  40

static const int asked_for[] = {ALPHA, BETA, GAMMA, DELTA, GAMMA};
static struct gw_governance said[4];
static struct gw_data_rules of_key, of_use_case;
static int level;
static enum route_strategy strategy;

static struct gw_data_rules random_rules(void)
{
    return (struct gw_data_rules){(enum gw_location)check_random_below(3),
                                  (int64_t)check_random_below(3) * 30 - 30,
                                  check_random_below(3) == 0};
}

static void make_rules(void)
{
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        said[i] = (struct gw_governance){
            (enum gw_location)check_random_below(3), (int64_t)check_random_below(3) * 30 - 30,
            (int)check_random_below(3) - 1, (int)check_random_below(5) - 1};
    of_key = random_rules();
    of_use_case = random_rules();
    level = (int)check_random_below(5) - 1;
    strategy = (enum route_strategy)check_random_below(ROUTE_STRATEGIES_N);
}

static void with_random_rules(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    s->auth_keys = true;
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        snapshot_provider(s, ALPHA + (unsigned)i)->governance = said[i];
        snapshot_provider(s, ALPHA + (unsigned)i)->row = llm_provider_find(SLICE("vllm"));
    }
    add_key(s, "some", of_key);
    ASSERT(strmap_init(&s->use_cases, &s->arena, 1));
    add_use_case(s, "any", of_use_case, level);
    snapshot_retarget(m, s, asked_for, ARRAY_LEN(asked_for));
    m->strategy = strategy;
    m->hedge_after_ns = 50 * NS_PER_MS;
    m->hedge_percent = 100;
    m->rescue = RESCUE_CONTINUE;
    s->retry = (struct gw_retry){.attempts = 4, .same_target = 2, .percent = 100, .per_second = 99};
    snapshot_watch(m);
}

/* Told anew from the documentation: a provider that says nothing meets no demand. */
static bool meets(const struct gw_governance *g, const struct gw_data_rules *r)
{
    return (r->location == LOCATION_ANY || r->location == g->location) &&
           (r->retention_days < 0 ||
            (g->retention_days >= 0 && g->retention_days <= r->retention_days)) &&
           (!r->no_training || g->trains == 0);
}

static bool is_permitted(unsigned provider)
{
    const struct gw_governance *g = &said[provider - ALPHA];
    return meets(g, &of_key) && meets(g, &of_use_case) && (level <= 0 || g->data_class >= level);
}

/* Something happens to one of the open calls. */
static void happen(struct world *w)
{
    struct call *c = call_last_open(w->loop);
    if (c == NULL) { /* a pause before the next one */
        loop_advance(w->loop, 300 * NS_PER_MS);
        return;
    }
    switch (check_random_below(7)) {
    case 0: call_fail(c, NET_FAIL_CONNECT, ""); break;
    case 1: call_fail(c, NET_FAIL_RESET, ""); break;
    case 2: answer_json(c, 429, SLICE("{\"error\":{\"message\":\"slow down\"}}")); break;
    case 3: answer_json(c, 503, SLICE("{\"error\":{\"message\":\"boom\"}}")); break;
    case 4: loop_advance(w->loop, 60 * NS_PER_MS); break;
    case 5:
        call_head(c, 200, SSE_HEAD, -1);
        if (c->lease == NULL)
            break;
        call_piece(c, SLICE(EV_ROLE EV_TEXT EV_TEXT EV_TEXT EV_TEXT EV_TEXT EV_TEXT EV_TEXT));
        if (c->lease != NULL)
            call_fail(c, NET_FAIL_TRUNCATED, "");
        break;
    default: answer_stream(c, SLICE(EV_ROLE EV_TEXT EV_FINISH EV_DONE)); break;
    }
}

static unsigned provider_of(const struct world *w, const struct call *c)
{
    unsigned p = 0;
    while (p < PROVIDERS_N && w->up[p] != c->upstream)
        p++;
    return p;
}

static bool somebody_may(void)
{
    bool may = false;
    for (unsigned p = ALPHA; p <= DELTA; p++)
        may |= is_permitted(p);
    return may;
}

/* Strategies, fallbacks, retries, hedges, rescues and breakers, in any order: none of them leaves
 * what is permitted. */
TEST(nothing_leaves_what_is_permitted)
{
    int64_t calls = 0, refused = 0, hedges = 0, rescues = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        check_note("round %u", round);
        make_rules();
        struct world *w = world_new(with_random_rules);
        for (unsigned request = 0; request < 3; request++) {
            struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions",
                                            "x-api-key: sk-some\nx-weir-use-case: any\n",
                                            chat_body("wires", ASK_STREAM));
            for (unsigned i = 0; i < STEPS && s->state == CLIENT_OPEN; i++)
                happen(w);
            CHECK(somebody_may() || s->status == 403);
            refused += s->status == 403;
            if (s->state == CLIENT_OPEN)
                client_leave(s, NET_GONE_CLOSED);
            client_free(s);
        }
        for (unsigned i = 0; i < calls_made(w->loop); i++)
            CHECK(is_permitted(provider_of(w, call_at(w->loop, i))));
        calls += calls_made(w->loop);
        hedges += metric_plain_value(MP_HEDGES);
        rescues += metric_plain_value(MP_RESCUES);
        world_free(w);
    }
    check_note("%lld calls, %lld refusals, %lld hedges, %lld rescues", (long long)calls,
               (long long)refused, (long long)hedges, (long long)rescues);
    CHECK(calls > ROUNDS && refused > 0 && hedges > 20 && rescues > 5);
    check_note("%s", "");
}
