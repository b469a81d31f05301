/* What requests may ask for, and what of them counts, whatever becomes of them. */
#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

#define ALIAS_ONE 0 /* places in the list of models */
#define ALIAS_TWO 1

static void need_keys(struct gw_snapshot *s)
{
    s->auth_keys = true;
}

/* What an alias counts. */
static int64_t used_by(struct world *w, const char *alias, enum limit_kind kind)
{
    int64_t n[LIMIT_KINDS_N];
    struct limit_scope *s = limit_scope_get(w->limits, SCOPE_MODEL, slice_str(alias));
    limit_used(w->limits, s, 0, n); /* at the latest time that it knows */
    return n[kind];
}

static int64_t used(struct world *w, enum limit_kind kind)
{
    return used_by(w, "one", kind);
}

static void price_it(struct gw_snapshot *s)
{
    static const struct price price = {.tiers_n = 1,
                                       .tier = {{.rate = {1000000, 1000000, -1, -1, 0}}}};
    s->model_list[ALIAS_ONE].targets[0].price = &price;
}

/* A request that never left costs nothing, though nobody knows what it would have come to. */
TEST(what_never_left_is_not_used)
{
    for (enum lease_phase p = LEASE_WAIT; p <= LEASE_HEAD; p++) {
        for (int how = 0; how < 3; how++) {
            check_note("phase %d, ending %d", (int)p, how);
            struct world *w = world_new(price_it);
            w->up[ALPHA]->begins = p;
            struct net_stream *s = ask(w, "one", 0);
            CHECK(used(w, LIMIT_INPUT) > 0); /* reserved */
            if (how == 0)
                client_leave(s, NET_GONE_CLOSED);
            else if (how == 1)
                loop_advance(w->loop, 600 * NS_PER_S);
            else
                world_stop(w);
            CHECK_EQ_I64(used(w, LIMIT_OUTPUT), 0);
            CHECK_EQ_I64(used(w, LIMIT_BUDGET_DAY) > 0, p == LEASE_HEAD);
            if (how != 2)
                world_check_rest(w);
            client_free(s);
            world_free(w);
        }
    }
    check_note("%s", "");
}

static void price_claude(struct gw_snapshot *s)
{
    price_it(s);
    s->model_list[ALIAS_ONE].targets[0].provider = snapshot_provider(s, CLAUDE);
}

/* Nobody charges for counting. */
TEST(counting_tokens_is_free)
{
    struct world *w = world_new(price_claude);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/messages/count_tokens", NULL,
                                    SLICE("{\"model\":\"one\",\"messages\":[{\"role\":\"user\","
                                          "\"content\":\"how many are there?\"}]}"));
    CHECK_EQ_I64(used(w, LIMIT_INPUT), 0);
    answer_json(call_last_open(w->loop), 200, SLICE("{\"input_tokens\":15}"));
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_I64(used(w, LIMIT_INPUT), 0);
    CHECK_EQ_I64(used(w, LIMIT_BUDGET_DAY), 0);
    CHECK_EQ_I64(used(w, LIMIT_REQUESTS), 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void limit_requests(struct gw_snapshot *s)
{
    s->model_list[ALIAS_ONE].scope.set.most[LIMIT_REQUESTS] = 100;
}

/* Two standings under one name would be read as one of both. */
TEST(one_standing_is_told)
{
    for (int limited = 0; limited < 2; limited++) {
        struct world *w = world_new(limited ? limit_requests : NULL);
        struct net_stream *s = ask(w, "one", 0);
        struct call *c = call_last_open(w->loop);
        call_head(c, 200,
                  JSON_HEAD "x-ratelimit-limit-requests: 9\nanthropic-ratelimit-tokens-limit: 9\n"
                            "openai-version: 1\n",
                  -1);
        call_body(c, SLICE(CHAT_ANSWER), true);
        CHECK(slice_is(client_field(s, "x-ratelimit-limit-requests"), limited ? "100" : "9"));
        CHECK((memmem(s->fields.p, s->fields.n, ": 9\r", 4) == NULL) == limited);
        CHECK(slice_is(client_field(s, "openai-version"), "1"));
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
}

/* The key "sk-some" may ask for some models only. */
static void put_key(struct gw_snapshot *s, struct slice pattern, int64_t max_tokens)
{
    struct gw_key *key = mem_must(arena_new(&s->arena, struct gw_key));
    uint8_t digest[SHA256_BYTES];
    key->scope = (struct gw_scope){.name = SLICE("some"), .kind = SCOPE_KEY};
    key->max_tokens = max_tokens;
    key->models = mem_must(arena_new(&s->arena, struct slice));
    key->models[0] = pattern;
    key->models_n = 1;
    ASSERT(hash_sha256(SLICE("sk-some"), digest) && gw_key_ring_put(s->keys, digest, key, 0));
    s->auth_keys = true;
}

static void only_one(struct gw_snapshot *s)
{
    put_key(s, SLICE("one"), LIMIT_NONE);
}

static void all_of_alpha(struct gw_snapshot *s)
{
    put_key(s, SLICE("alpha/*"), LIMIT_NONE);
}

/* Which model a passed-through body asks for is not known: whoever may not have all of the
 * provider's gets none that way. */
TEST(no_way_round_the_models)
{
    for (int all = 0; all < 2; all++) {
        struct world *w = world_new(all ? all_of_alpha : only_one);
        struct net_stream *s = ask_path(w, HTTP_POST, "/v1/audio/speech", "x-api-key: sk-some\n",
                                        SLICE("{\"model\":\"other\"}"));
        CHECK_EQ_I64(calls_open(w->loop), all);
        if (all)
            answer_json(call_last_open(w->loop), 200, SLICE("{}"));
        CHECK_EQ_I64(s->status, all ? 200 : 403);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
}

/* A model that may not be used is not there. */
TEST(models_of_others_are_not_shown)
{
    struct world *w = world_new(only_one);
    static const char *const paths[] = {"/v1/models/one", "/v1/models/two", "/v1/models/alpha/x"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct net_stream *s = ask_path(w, HTTP_GET, paths[i], "x-api-key: sk-some\n", SLICE_NONE);
        CHECK_EQ_I64(s->status, i == 0 ? 200 : 404);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

static void bounded(struct gw_snapshot *s)
{
    put_key(s, SLICE("*"), 64);
}

/* A bound on answers is no member of a request that has no answer to be bound. */
TEST(embeddings_get_no_bound)
{
    struct world *w = world_new(bounded);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/embeddings", "x-api-key: sk-some\n",
                                    SLICE("{\"model\":\"one\",\"input\":\"x\"}"));
    struct call *c = call_last_open(w->loop);
    CHECK(memmem(c->body.p, c->body.n, "max_", 4) == NULL);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    s = ask_path(w, HTTP_POST, "/v1/chat/completions", "x-api-key: sk-some\n", chat_body("one", 0));
    CHECK(memmem(call_last_open(w->loop)->body.p, call_last_open(w->loop)->body.n, ":64", 3));
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void little_money(struct gw_snapshot *s)
{
    static const struct price price = {
        .tiers_n = 1,
        .tier = {{.rate = {1000 * PRICE_PER_DOLLAR, 1000 * PRICE_PER_DOLLAR, -1, -1, 0}}}};
    struct gw_model *m = &s->model_list[ALIAS_TWO];
    m->scope.set.most[LIMIT_BUDGET_DAY] = PRICE_PER_DOLLAR / 100;
    m->targets[0].price = &price; /* the other's is not known */
}

/* Of several reasons the one that the client can do something about. */
TEST(a_budget_is_told_before_a_missing_price)
{
    struct world *w = world_new(little_money);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                 SLICE("{\"model\":\"two\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\","
                       "\"content\":\"hi\"}]}"));
    check_error_is(s, 429, "insufficient_quota", "insufficient_quota");
    CHECK(slice_is(client_field(s, "x-should-retry"), "false"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void dear_then_free(struct gw_snapshot *s)
{
    little_money(s);
    s->model_list[ALIAS_TWO].targets[1].price = &price_free;
}

/* What became of an earlier target is not said of a later one's failure. */
TEST(failures_behind_a_budget)
{
    struct world *w = world_new(dear_then_free);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions", NULL,
                 SLICE("{\"model\":\"two\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\","
                       "\"content\":\"hi\"}]}"));
    answer_json(call_last_open(w->loop), 500, SLICE("{\"error\":{\"message\":\"boom\"}}"));
    CHECK_EQ_I64(s->status, 500);
    CHECK(client_field(s, "x-should-retry").n == 0);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void dear_first(struct gw_snapshot *s)
{
    need_keys(s);
    struct gw_model *one = &s->model_list[ALIAS_ONE], *two = &s->model_list[ALIAS_TWO];
    struct gw_key *key = mem_must(arena_new(&s->arena, struct gw_key));
    uint8_t digest[SHA256_BYTES];
    key->max_tokens = LIMIT_NONE;
    key->scope = (struct gw_scope){.name = SLICE("some"),
                                   .kind = SCOPE_KEY,
                                   .live = s->model_list[ALIAS_TWO + 1].scope.live,
                                   .set = limit_set_none,
                                   .downgrade_to = two->name,
                                   .downgrade_from_percent = 1};
    key->scope.set.most[LIMIT_BUDGET_DAY] = 0; /* used up */
    one->scope.set.most[LIMIT_REQUESTS] = two->scope.set.most[LIMIT_REQUESTS] = 1;
    one->targets[0].price = two->targets[0].price = &price_free;
    ASSERT(hash_sha256(SLICE("sk-some"), digest) && gw_key_ring_put(s->keys, digest, key, 0));
}

/* A request that goes to another alias counts there, and is bound by its limits. */
TEST(downgrades_count_where_they_go)
{
    struct world *w = world_new(dear_first);
    for (int i = 0; i < 2; i++) {
        struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions",
                                        "x-api-key: sk-some\n", chat_body("one", 0));
        if (i == 0)
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        CHECK_EQ_I64(s->status, i == 0 ? 200 : 429);
        client_free(s);
        CHECK_EQ_I64(used_by(w, "one", LIMIT_REQUESTS), 0);
        CHECK_EQ_I64(used_by(w, "two", LIMIT_REQUESTS), 1);
    }
    /* vectors of another model would be of no use */
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/embeddings", "x-api-key: sk-some\n",
                                    SLICE("{\"model\":\"one\",\"input\":\"x\"}"));
    CHECK_EQ_I64(used_by(w, "one", LIMIT_REQUESTS), 1);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void dear_first_and_only(struct gw_snapshot *s)
{
    dear_first(s);
    uint8_t digest[SHA256_BYTES];
    ASSERT(hash_sha256(SLICE("sk-some"), digest));
    struct gw_key *key = mem_must(arena_new(&s->arena, struct gw_key));
    *key = *gw_key_ring_peek(s->keys, digest);
    key->models = mem_must(arena_new(&s->arena, struct slice));
    key->models[0] = SLICE("one");
    key->models_n = 1;
    ASSERT(gw_key_ring_put(s->keys, digest, key, 0));
}

/* No budget opens what the key may not use. */
TEST(downgrades_keep_to_the_list)
{
    struct world *w = world_new(dear_first_and_only);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions", "x-api-key: sk-some\n", chat_body("one", 0));
    CHECK(slice_is(exchange_of(s)->model->name, "one"));
    CHECK_EQ_I64(used_by(w, "one", LIMIT_REQUESTS), 1);
    CHECK_EQ_I64(used_by(w, "two", LIMIT_REQUESTS), 0);
    client_leave(s, NET_GONE_CLOSED);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Of a name that no model has it is not known what it would have counted for: no row. */
TEST(each_attempt_is_a_row)
{
    struct world *w = world_new_books(NULL, 256);
    struct net_stream *s = ask(w, "two", 0);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_I64(world_rows(w), 2);
    client_free(s);
    s = ask(w, "one", ASK_STREAM);
    client_leave(s, NET_GONE_CLOSED);
    CHECK_EQ_I64(world_rows(w), 3);
    client_free(s);
    s = ask(w, "no", 0);
    CHECK_EQ_I64(s->status, 404);
    CHECK_EQ_I64(world_rows(w), 3);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Nothing begins that could not be written down, and what is under way is. */
TEST(a_full_ledger_refuses)
{
    struct world *w = world_new_books(NULL, 64);
    struct net_stream *open = ask(w, "one", 0), *s;
    struct call *call = call_last_open(w->loop);
    unsigned refused = 0;
    for (unsigned i = 0; i < 70; i++) {
        s = ask(w, "one", 0);
        if (s->status == 0)
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
        else
            check_error(s, GW_LEDGER_FULL);
        refused += s->status != 200;
        client_free(s);
    }
    CHECK_EQ_I64(world_rows(w), 63);
    CHECK(refused > 70 - 63);
    int64_t lost = world_rows_lost(w);
    CHECK(lost > 0); /* refusals, which cost nothing */
    answer_json(call, 200, SLICE(CHAT_ANSWER));
    CHECK_EQ_I64(open->status, 200);
    client_free(open);
    CHECK_EQ_I64(world_rows(w), 64);
    CHECK_EQ_I64(world_rows_lost(w), lost);
    world_check_rest(w);
    world_free(w);
}
