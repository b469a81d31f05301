/* Keys that stand outside the file. */
#include "check.h"
#include "config_fixture.h"

static const char text[] = "providers: {openai: {type: openai}}\n"
                           "models: {chat: {targets: [openai/x]}}\n"
                           "plans: {free: {limits: {requests_per_minute: 60}, models: [chat]}}\n"
                           "teams: {search: {limits: {requests_per_minute: 50}}}\n";

/* What reading `yaml` reports; with nothing, `*ret` is the key. */
static void check_key(const char *yaml, const char *want, struct config_key *ret, struct arena *a)
{
    struct buf errors;
    fixture_reset();
    fixture_setenv(SLICE("NAME"), SLICE("hunter2"));
    buf_init(&errors, 1 << 16);
    check_note("%s", yaml);
    struct config *c = config_parse(slice_str(text), "t", &fixture_options, &errors);
    CHECK(c != NULL);
    size_t plans = c->plans_n, before = c->arena.used;
    bool ok = config_parse_key(slice_str(yaml), "k", c, ret, a, &errors);
    CHECK(ok == (want[0] == '\0' || strstr(want, "warning: ") != NULL));
    CHECK_EQ_SLICE(buf_view(&errors), slice_str(want));
    CHECK(c->plans_n == plans && c->arena.used == before && c->keys_n == 0);
    config_free(c);
    buf_done(&errors);
}

TEST(read)
{
    struct arena a;
    struct config_key k;
    arena_init(&a, NULL, 1 << 20);
    check_key("", "", &k, &a);
    CHECK_EQ_LIT(k.name, "k");
    CHECK(k.team.n == 0 && k.max_tokens == -1 && k.priority == CONFIG_PRIORITY_UNSET);
    CHECK(k.limits.most[LIMIT_REQUESTS] == -1 && k.may_set.n == 1 && !k.disabled);
    check_key("{\"team\": \"search\", \"limits\": {\"budget\": {\"month\": 12.5}, "
              "\"concurrency\": 2}, \"models\": [\"chat\"], \"user\": \"${NAME}\"}",
              "", &k, &a);
    CHECK_EQ_LIT(k.team, "search");
    CHECK_EQ_I64(k.limits.most[LIMIT_BUDGET_MONTH], INT64_C(12500000000));
    CHECK_EQ_LIT(k.user, "${NAME}"); /* variables are not for those who issue keys */
    CHECK(k.rights.models.n == 1 && k.may_set.n == 0);
    arena_reset(&a);
}

TEST(refused)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"{secret: \"file:/etc/passwd\"}",
         "k:1:10: `secret`: an issued key has its secret by itself\n"},
        {"{sha256: a}", "k:1:10: `sha256`: an issued key has its secret by itself\n"},
        {"{limts: {}}", "k:1:2: unknown key `limts` (did you mean `limits`?)\n"},
        {"[team]", "k:1:1: `keys.<name>`: expected a map, got a list\n"},
        {"{plan: fre}", "k:1:8: `plan`: `fre`: there is no such plan (did you mean `free`?)\n"},
        {"{team: search, limits: {requests_per_minute: 51}}",
         "k:1:46: `requests_per_minute` can never apply: the team `search` has 50\n"},
        {"{team: search, plan: free}",
         "k:1:1: `requests_per_minute` of the plan `free` can never apply: the team `search` has "
         "50\n"},
        {"{plan: free, models: [\"openai/*\"]}",
         "k:1:22: `models`: what the key, its team and its plan allow has nothing in common\n"},
        {"{limits: {budget: {day: -1}}}",
         "k:1:25: `day`: `-1` is out of range (0.000000001 to 1000000000)\n"},
        {"{expires: 2001-01-01}",
         "k:1:11: warning: `expires` has passed: the key does not count\n"},
    };
    struct arena a;
    arena_init(&a, NULL, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_key k = {.max_tokens = 77};
        check_key(rows[i].yaml, rows[i].want, &k, &a);
        CHECK(strstr(rows[i].want, "warning") != NULL || k.max_tokens == 77);
    }
    arena_reset(&a);
}

/* A small text that is a long walk. */
TEST(aliases)
{
    struct buf yaml, errors;
    struct arena a;
    struct config_key k;
    fixture_reset();
    buf_init(&yaml, 1 << 16);
    buf_init(&errors, 1 << 20);
    buf_lit(&yaml, "a0: &a0 [x, x]\n");
    for (int i = 1; i < 30; i++)
        buf_printf(&yaml, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    buf_lit(&yaml, "models: *a29\n");
    struct config *c = config_parse(slice_str(text), "t", &fixture_options, &errors);
    arena_init(&a, NULL, 1 << 20);
    CHECK(!config_parse_key(buf_view(&yaml), "k", c, &k, &a, &errors));
    arena_reset(&a);
    config_free(c);
    buf_done(&yaml);
    buf_done(&errors);
}
