/* The keys API, route by route: a store in a folder of its own, and a service that only remembers
 * what it was told. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin_route.h"
#include "base/hash.h"
#include "check.h"

static char folder[64], path[96];
static struct key_store *store;
static struct config config;
static struct config_key file_list[2];
static struct arena arena;
static struct json_parser *parser;
static struct admin_reply reply;
static unsigned changes, removals;
static struct stored_key in_force; /* the latest; its texts are not to be looked at */
static const char *check_error;

static const struct config *get_config(void *ctx)
{
    (void)ctx;
    return &config;
}

static bool key_check(void *ctx, const struct stored_key *k, struct buf *errors)
{
    (void)ctx, (void)k;
    if (check_error != NULL)
        buf_slice(errors, slice_str(check_error));
    return check_error == NULL;
}

static bool key_changed(void *ctx, const struct stored_key *k, struct buf *errors)
{
    (void)ctx, (void)errors;
    in_force = *k;
    changes++;
    return true;
}

static void key_removed(void *ctx, struct slice name)
{
    (void)ctx, (void)name;
    removals++;
}

static struct admin_hooks hooks = {.config = get_config,
                                   .key_check = key_check,
                                   .key_changed = key_changed,
                                   .key_removed = key_removed};

static void begin(void)
{
    struct buf error;
    snprintf(folder, sizeof folder, "/tmp/weir-admin-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/keys.db", folder);
    buf_init(&error, 4096);
    hooks.keys = store = key_store_open(path, &error);
    CHECK(store != NULL);
    buf_done(&error);
    file_list[0] = (struct config_key){.name = SLICE("zoe"),
                                       .secret = SLICE("of-the-file"),
                                       .team = SLICE("search"),
                                       .max_tokens = 100};
    file_list[1] = (struct config_key){.name = SLICE("file.1"), .secret = SLICE("x")};
    for (size_t i = 0; i < ARRAY_LEN(file_list); i++) {
        for (unsigned k = 0; k < LIMIT_KINDS_N; k++)
            file_list[i].limits.most[k] = file_list[i].user_limits.most[k] = -1;
    }
    file_list[0].limits.most[LIMIT_REQUESTS] = 60;
    file_list[0].limits.most[LIMIT_BUDGET_MONTH] = INT64_C(12500000000);
    config.keys = file_list;
    config.keys_n = ARRAY_LEN(file_list);
    parser = json_parser_new();
    CHECK(parser != NULL);
    arena_init(&arena, NULL, (size_t)16 << 20);
    buf_init(&reply.body, (size_t)1 << 20);
    check_error = NULL;
    changes = removals = 0;
}

static void end(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char file[128];
    key_store_close(TAKE(store));
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
        unlink(file);
    }
    CHECK_EQ_I64(rmdir(folder), 0);
    json_parser_free(TAKE(parser));
    arena_reset(&arena);
    buf_done(&reply.body);
}

/* Runs the route with that pattern; the status. */
static unsigned ask(enum http_method method, const char *pattern, const char *param,
                    const char *query, const char *body)
{
    const struct admin_request q = {.method = method,
                                    .param = slice_str(param),
                                    .query = slice_str(query),
                                    .body = slice_str(body),
                                    .role = ROLE_ADMIN,
                                    .hooks = &hooks,
                                    .parser = parser,
                                    .arena = &arena};
    buf_reset(&reply.body);
    reply.status = 200;
    for (size_t i = 0; i < admin_key_routes.n; i++) {
        const struct admin_route *row = &admin_key_routes.rows[i];
        if (row->method == method && strcmp(row->path, pattern) == 0) {
            row->run(&q, &reply);
            buf_char(&reply.body, '\0');
            return reply.status;
        }
    }
    NEVER("the test asks for a route that is there");
}

#define KEYS    "/admin/v1/keys"
#define KEY     "/admin/v1/keys/*"
#define ROTATE  "/admin/v1/keys/*/rotate"
#define DISABLE "/admin/v1/keys/*/disable"
#define ENABLE  "/admin/v1/keys/*/enable"

static void check_said(const char *part)
{
    if (strstr(reply.body.p, part) == NULL)
        check_fail(CHECK_AT("the reply"), "lacks %s: %s", part, reply.body.p);
}

static void check_not_said(const char *part)
{
    if (strstr(reply.body.p, part) != NULL)
        check_fail(CHECK_AT("the reply"), "has %s: %s", part, reply.body.p);
}

/* The secret that the reply tells; in the arena. */
static struct slice secret_of_reply(void)
{
    struct json_doc d;
    struct slice text = slice_of(reply.body.p, reply.body.n - 1);
    CHECK_EQ_I64(json_parse(parser, text, 0, &d), JSON_OK);
    uint32_t v = json_get(&d, 0, SLICE("secret"));
    CHECK(v != 0);
    return arena_copy(&arena, json_string(&d, v, &arena));
}

TEST(a_secret_is_told_once)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    begin();
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "",
                     "{\"name\":\"ci\",\"team\":\"search\",\"note\":\"a \\\"b\\\"\","
                     "\"limits\":{\"requests_per_minute\":60,\"budget\":{\"month\":50}}}"),
                 201);
    struct slice secret = secret_of_reply();
    CHECK_EQ_U64(secret.n, 46);
    CHECK(slice_starts(secret, SLICE("wk-")));
    CHECK(hash_sha256(secret, digest));
    CHECK(memcmp(digest, in_force.digest, sizeof digest) == 0);
    hex_encode(digest, sizeof digest, hex);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_U64(i == 0 ? ask(HTTP_GET, KEY, "ci", "", "") : ask(HTTP_GET, KEYS, "", "", ""),
                     200);
        check_not_said("\"secret\"");
        check_not_said(secret.p);
        check_not_said(hex);
        check_said("\"team\":\"search\"");
        check_said("\"budget\":{\"month\":50}");
        check_said("\"note\":\"a \\\"b\\\"\"");
        check_said("\"issued\":true");
    }
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\"}"), 409);
    CHECK_EQ_U64(changes, 1);
    end();
}

TEST(secrets_differ)
{
    begin();
    struct slice first = SLICE_NONE;
    for (int i = 0; i < 20; i++) {
        char body[32];
        snprintf(body, sizeof body, "{\"name\":\"k%d\"}", i);
        CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", body), 201);
        struct slice secret = secret_of_reply();
        CHECK(!slice_eq(first, secret));
        first = secret;
    }
    end();
}

#define HEX64 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* of "test" */

TEST(foreign_digests)
{
    uint8_t digest[SHA256_BYTES];
    char body[200], hex[65];
    begin();
    CHECK(hash_sha256(SLICE("test"), digest));
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "",
                     "{\"name\":\"old\",\"sha256\":\"" HEX64 "\",\"hint\":\"sk-...st\"}"),
                 201);
    check_not_said("secret");
    check_said("sk-...st");
    CHECK(memcmp(digest, in_force.digest, sizeof digest) == 0);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"two\",\"sha256\":\"" HEX64 "\"}"), 409);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"two\",\"sha256\":\"9f86\"}"), 400);
    CHECK(hash_sha256(SLICE("of-the-file"), digest));
    hex_encode(digest, sizeof digest, hex);
    snprintf(body, sizeof body, "{\"name\":\"two\",\"sha256\":\"%s\"}", hex);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", body), 409);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"two\",\"secret\":\"mine\"}"), 400);
    check_not_said("mine");
    end();
}

TEST(changes_are_merged)
{
    begin();
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "",
                     "{\"name\":\"ci\",\"models\":[\"a\",\"b\"],\"plan\":\"free\","
                     "\"limits\":{\"concurrency\":2,\"budget\":{\"day\":1,\"month\":9}}}"),
                 201);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "",
                     "{\"plan\":null,\"models\":[\"c\"],\"note\":\"n\",\"te\\u0061m\":\"x\\/y\","
                     "\"limits\":{\"budget\":{\"day\":null,\"week\":3}}}"),
                 200);
    check_said("\"models\":[\"c\"]");
    check_said("\"limits\":{\"concurrency\":2,\"budget\":{\"month\":9,\"week\":3}}");
    check_said("\"team\":\"x/y\"");
    check_said("\"note\":\"n\"");
    check_not_said("plan");
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"\\u0074eam\":null,\"note\":null}"), 200);
    check_not_said("team");
    check_said("\"note\":\"n\"");
    CHECK_EQ_U64(changes, 3);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"name\":\"other\"}"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"sha256\":\"" HEX64 "\"}"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"disabled\":1}"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"note\":1}"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"a\":1,\"\\u0061\":2}"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "[]"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{"), 400);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "none", "", "{}"), 404);
    CHECK_EQ_U64(changes, 3);
    end();
}

TEST(what_does_not_fit_is_not_stored)
{
    begin();
    check_error = "ci:1:10: unknown plan `fre`\n";
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\",\"plan\":\"fre\"}"), 422);
    check_said("unknown plan `fre`\"");
    check_error = NULL;
    CHECK_EQ_U64(ask(HTTP_GET, KEY, "ci", "", ""), 404);
    CHECK_EQ_U64(changes, 0);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"c i\"}"), 400);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{}"), 400);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\",\"expires\":\"0\"}"), 400);
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\",\"expires\":\"99999d\"}"), 400);
    CHECK_EQ_U64(changes, 0);
    end();
}

TEST(rotation_keeps_the_old_one_for_a_while)
{
    uint8_t first[SHA256_BYTES], second[SHA256_BYTES];
    begin();
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\"}"), 201);
    memcpy(first, in_force.digest, sizeof first);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "ci", "", ""), 200);
    check_said("old_secret_until");
    memcpy(second, in_force.digest, sizeof second);
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK(memcmp(first, in_force.old_digest, sizeof first) == 0);
    CHECK(in_force.old_until_ns > in_force.changed_ns);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "ci", "", "{\"overlap\":\"0\"}"), 200);
    check_not_said("old_secret_until");
    CHECK_EQ_I64(in_force.old_until_ns, 0);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "ci", "", "{\"overlap\":\"soon\"}"), 400);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "ci", "", "{\"sha256\":\"" HEX64 "\"}"), 200);
    check_not_said("\"secret\"");
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "ci", "", "{\"sha256\":\"" HEX64 "\"}"), 409);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "none", "", ""), 404);
    end();
}

TEST(disable_enable_delete)
{
    begin();
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\",\"expires\":\"90d\"}"), 201);
    check_said("\"expires\":\"2");
    CHECK_EQ_U64(ask(HTTP_POST, DISABLE, "ci", "", ""), 200);
    CHECK(in_force.disabled);
    check_said("\"disabled\":true");
    CHECK_EQ_U64(ask(HTTP_POST, ENABLE, "ci", "", ""), 200);
    CHECK(!in_force.disabled);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "ci", "", "{\"expires\":null,\"disabled\":true}"), 200);
    check_not_said("expires");
    CHECK(in_force.disabled && in_force.expires_ns == 0);
    CHECK_EQ_U64(ask(HTTP_DELETE, KEY, "ci", "", ""), 200);
    CHECK_EQ_U64(removals, 1);
    CHECK_EQ_U64(ask(HTTP_DELETE, KEY, "ci", "", ""), 404);
    CHECK_EQ_U64(removals, 1);
    end();
}

TEST(keys_of_the_file)
{
    begin();
    CHECK_EQ_U64(ask(HTTP_GET, KEY, "zoe", "", ""), 200);
    check_said("\"issued\":false");
    check_said("\"limits\":{\"requests_per_minute\":60,\"budget\":{\"month\":12.5}}");
    check_not_said("of-the-file");
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"zoe\"}"), 409);
    CHECK_EQ_U64(ask(HTTP_PATCH, KEY, "zoe", "", "{}"), 409);
    check_said("configuration file");
    CHECK_EQ_U64(ask(HTTP_DELETE, KEY, "zoe", "", ""), 409);
    CHECK_EQ_U64(ask(HTTP_POST, DISABLE, "zoe", "", ""), 409);
    CHECK_EQ_U64(ask(HTTP_POST, ROTATE, "zoe", "", ""), 409);
    end();
}

TEST(pages_of_both)
{
    begin();
    static const char *const made[] = {"a", "g", "m", "zz"};
    static const char *const want[] = {"a", "file.1", "g", "m", "zoe", "zz"};
    char body[64], query[64] = "limit=2";
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        snprintf(body, sizeof body, "{\"name\":\"%s\"}", made[i]);
        CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", body), 201);
    }
    for (size_t at = 0; at < ARRAY_LEN(want); at += 2) {
        CHECK_EQ_U64(ask(HTTP_GET, KEYS, "", query, ""), 200);
        for (size_t i = 0; i < 2; i++) {
            snprintf(body, sizeof body, "\"name\":\"%s\"", want[at + i]);
            check_said(body);
        }
        bool last = at + 2 == ARRAY_LEN(want);
        snprintf(body, sizeof body, "\"next\":\"%s\"", want[at + 1]);
        check_said(last ? "\"next\":null" : body);
        snprintf(query, sizeof query, "limit=2&after=%s", want[at + 1]);
    }
    CHECK_EQ_U64(ask(HTTP_GET, KEYS, "", "limit=0", ""), 400);
    CHECK_EQ_U64(ask(HTTP_GET, KEYS, "", "limit=1001", ""), 400);
    end();
}

TEST(without_a_store)
{
    begin();
    hooks.keys = NULL;
    CHECK_EQ_U64(ask(HTTP_GET, KEYS, "", "", ""), 200);
    check_said("zoe");
    CHECK_EQ_U64(ask(HTTP_POST, KEYS, "", "", "{\"name\":\"ci\"}"), 503);
    end();
}

TEST(queries)
{
    begin();
    const struct admin_request q = {.query = SLICE("a=1&b=x+y%2Bz&bad=%2&&=e&c"), .arena = &arena};
    struct slice v = SLICE("untouched");
    CHECK(!admin_query(&q, "none", &v) && !admin_query(&q, "bad", &v));
    CHECK_EQ_LIT(v, "untouched");
    CHECK(admin_query(&q, "a", &v));
    CHECK_EQ_LIT(v, "1");
    CHECK(admin_query(&q, "b", &v));
    CHECK_EQ_LIT(v, "x y+z");
    CHECK(admin_query(&q, "c", &v));
    CHECK_EQ_U64(v.n, 0);
    end();
}
