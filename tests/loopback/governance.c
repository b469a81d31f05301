/* Data goes only where its key, its use case and the provider's governance allow, whatever fails.
 */
#include <stdio.h>

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
