/* Credentials: their registry, their states, and readers beside a writer. */
#include "gateway/credential.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/clock.h"
#include "check.h"

#define NOW (1000 * NS_PER_S)

static struct slice line_of(struct gw_credential *c, int64_t now, struct arena *a)
{
    struct slice line = SLICE_NONE;
    CHECK_EQ_I64(gw_credential_token(c, now, a, &line), CREDENTIAL_FRESH);
    return line;
}

TEST(registry)
{
    struct gw_credential *a = gw_credential_get(SLICE("one"), CREDENTIAL_TOKEN);
    struct gw_credential *b = gw_credential_get(SLICE("one"), CREDENTIAL_TOKEN);
    struct gw_credential *keys = gw_credential_get(SLICE("one"), CREDENTIAL_AWS);
    struct gw_credential *other = gw_credential_get(SLICE("other"), CREDENTIAL_TOKEN);
    CHECK(a != NULL && a == b && a != other && a != keys);
    CHECK_EQ_LIT(gw_credential_identity(a), "one");
    CHECK_EQ_I64(gw_credential_kind(keys), CREDENTIAL_AWS);
    CHECK(gw_credential_set_token(a, SLICE("t"), CREDENTIAL_FOREVER));
    gw_credential_unref(a);
    struct arena arena;
    arena_init(&arena, NULL, 4096);
    CHECK_EQ_LIT(line_of(gw_credential_ref(b), NOW, &arena), "Authorization: Bearer t\r\n");
    gw_credential_unref(b);
    gw_credential_unref(b);
    a = gw_credential_get(SLICE("one"), CREDENTIAL_TOKEN); /* the last reference took it along */
    CHECK_EQ_I64(gw_credential_expires(a), 0);
    gw_credential_unref(a);
    gw_credential_unref(keys);
    gw_credential_unref(other);
    gw_credential_unref(NULL);
    arena_reset(&arena);
}

TEST(states_of_a_token)
{
    char text[CREDENTIAL_TEXT_MAX];
    struct arena arena;
    struct slice line = SLICE("untouched");
    struct gw_credential *c = gw_credential_get(SLICE("states"), CREDENTIAL_TOKEN);
    arena_init(&arena, NULL, 4096);
    CHECK_EQ_I64(gw_credential_token(c, NOW, &arena, &line), CREDENTIAL_NONE);
    CHECK_EQ_I64(gw_credential_explain(c, NOW, text), CREDENTIAL_NONE);
    CHECK_EQ_STR(text, "no token has been fetched yet");
    gw_credential_set_failed(c, "HTTP 400");
    CHECK_EQ_I64(gw_credential_token(c, NOW, &arena, &line), CREDENTIAL_FAILED);
    CHECK_EQ_I64(gw_credential_explain(c, NOW, text), CREDENTIAL_FAILED);
    CHECK_EQ_STR(text, "no token could be fetched: HTTP 400");
    CHECK_EQ_LIT(line, "untouched");
    CHECK(gw_credential_set_token(c, SLICE("first"), NOW + 10));
    CHECK_EQ_LIT(line_of(c, NOW, &arena), "Authorization: Bearer first\r\n");
    gw_credential_set_failed(c, "HTTP 500");
    CHECK_EQ_LIT(line_of(c, NOW + 9, &arena), "Authorization: Bearer first\r\n");
    CHECK_EQ_I64(gw_credential_explain(c, NOW, text), CREDENTIAL_FRESH);
    CHECK_EQ_STR(text, "the token can be used; last attempt: HTTP 500");
    CHECK_EQ_I64(gw_credential_token(c, NOW + 10, &arena, &line), CREDENTIAL_EXPIRED);
    CHECK_EQ_I64(gw_credential_explain(c, NOW + 10, text), CREDENTIAL_EXPIRED);
    CHECK_EQ_STR(text, "the token has expired; last attempt: HTTP 500");
    CHECK(gw_credential_set_token(c, SLICE("second"), NOW + 20));
    CHECK_EQ_I64(gw_credential_explain(c, NOW + 10, text), CREDENTIAL_FRESH);
    CHECK_EQ_STR(text, "the token can be used");
    CHECK_EQ_LIT(line_of(c, NOW + 10, &arena), "Authorization: Bearer second\r\n");
    CHECK_EQ_I64(gw_credential_expires(c), NOW + 20);
    gw_credential_unref(c);
    arena_reset(&arena);
}

TEST(keys_of_aws)
{
    struct gw_aws_keys keys = {SLICE("AKID"), SLICE("secret"), SLICE("")}, got = {0};
    char text[CREDENTIAL_TEXT_MAX];
    struct arena arena;
    struct gw_credential *c = gw_credential_get(SLICE("aws"), CREDENTIAL_AWS);
    arena_init(&arena, NULL, 4096);
    CHECK_EQ_I64(gw_credential_aws(c, NOW, &arena, &got), CREDENTIAL_NONE);
    CHECK(got.access.p == NULL);
    gw_credential_explain(c, NOW, text);
    CHECK_EQ_STR(text, "no keys have been fetched yet");
    CHECK(gw_credential_set_aws(c, &keys, CREDENTIAL_FOREVER));
    CHECK_EQ_I64(gw_credential_aws(c, NOW, &arena, &got), CREDENTIAL_FRESH);
    CHECK_EQ_LIT(got.access, "AKID");
    CHECK_EQ_LIT(got.secret, "secret");
    CHECK_EQ_U64(got.session.n, 0);
    keys.session = SLICE("session==");
    CHECK(gw_credential_set_aws(c, &keys, NOW + 1));
    CHECK_EQ_I64(gw_credential_aws(c, NOW, &arena, &got), CREDENTIAL_FRESH);
    CHECK_EQ_LIT(got.session, "session==");
    CHECK_EQ_I64(gw_credential_aws(c, NOW + 1, &arena, &got), CREDENTIAL_EXPIRED);
    gw_credential_explain(c, NOW + 1, text);
    CHECK_EQ_STR(text, "the keys have expired");
    gw_credential_unref(c);
    arena_reset(&arena);
}

/* What could break a header, or out of it, never becomes a value; the old one stays. */
TEST(values_that_no_header_can_carry)
{
    static const char *const bad[] = {"", "a b", "a\r\nX: 1", "a\n", "\x7f", "\xc3\xa4"};
    struct arena arena;
    struct gw_credential *token = gw_credential_get(SLICE("bad"), CREDENTIAL_TOKEN);
    struct gw_credential *aws = gw_credential_get(SLICE("bad"), CREDENTIAL_AWS);
    arena_init(&arena, NULL, 4096);
    CHECK(gw_credential_set_token(token, SLICE("good"), CREDENTIAL_FOREVER));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check_note("%zu", i);
        struct slice s = slice_str(bad[i]);
        const struct gw_aws_keys keys[] = {
            {s, SLICE("x"), SLICE("")}, {SLICE("x"), s, SLICE("")}, {SLICE("x"), SLICE("x"), s}};
        CHECK(!gw_credential_set_token(token, s, CREDENTIAL_FOREVER));
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            CHECK(gw_credential_set_aws(aws, &keys[k], 1) == (k == 2 && s.n == 0));
    }
    CHECK_EQ_LIT(line_of(token, NOW, &arena), "Authorization: Bearer good\r\n");
    gw_credential_unref(token);
    gw_credential_unref(aws);
    arena_reset(&arena);
}

TEST(refusals)
{
    struct gw_credential *c = gw_credential_get(SLICE("refused"), CREDENTIAL_TOKEN);
    CHECK(!gw_credential_take_refused(c));
    gw_credential_refused(c);
    gw_credential_refused(c);
    CHECK(gw_credential_take_refused(c));
    CHECK(!gw_credential_take_refused(c));
    gw_credential_unref(c);
}

TEST(long_reasons_are_cut)
{
    char why[1000], text[CREDENTIAL_TEXT_MAX];
    struct gw_credential *c = gw_credential_get(SLICE("long"), CREDENTIAL_TOKEN);
    memset(why, 'x', sizeof why);
    why[sizeof why - 1] = '\0';
    gw_credential_set_failed(c, why);
    gw_credential_explain(c, NOW, text);
    CHECK(strlen(text) > 100 && strlen(text) < sizeof text);
    gw_credential_unref(c);
}

#define ROUNDS 3000

static void *renew(void *arg)
{
    struct gw_credential *c = arg;
    char token[32];
    for (unsigned i = 0; i < ROUNDS; i++) {
        memset(token, 'a' + (int)(i % 26), sizeof token);
        CHECK(gw_credential_set_token(c, slice_of(token, sizeof token), CREDENTIAL_FOREVER));
    }
    return NULL;
}

static void *read_often(void *arg)
{
    struct gw_credential *c = arg;
    struct arena arena;
    arena_init(&arena, NULL, 65536);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct slice line;
        CHECK(gw_credential_token(c, NOW, &arena, &line) == CREDENTIAL_FRESH);
        CHECK(line.n == 22 + 32 + 2);
        for (size_t k = 22; k < line.n - 2; k++)
            CHECK(line.p[k] == line.p[22]); /* all of one value */
        arena_reset(&arena);
    }
    return NULL;
}

TEST(readers_beside_a_writer)
{
    pthread_t threads[4];
    struct gw_credential *c = gw_credential_get(SLICE("race"), CREDENTIAL_TOKEN);
    char first[32];
    memset(first, 'z', sizeof first);
    CHECK(gw_credential_set_token(c, slice_of(first, sizeof first), CREDENTIAL_FOREVER));
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, i == 0 ? renew : read_often, c) == 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    gw_credential_unref(c);
}

static void use_all(void *arg)
{
    struct arena arena;
    struct slice line;
    struct gw_aws_keys keys = {SLICE("a"), SLICE("b"), SLICE("c")}, got;
    struct gw_credential *c = gw_credential_get(SLICE("torture"), CREDENTIAL_TOKEN);
    struct gw_credential *aws = gw_credential_get(SLICE("torture"), CREDENTIAL_AWS);
    (void)arg;
    arena_init(&arena, NULL, 65536);
    if (c != NULL && gw_credential_set_token(c, SLICE("one"), CREDENTIAL_FOREVER) &&
        gw_credential_set_token(c, SLICE("two"), CREDENTIAL_FOREVER))
        CHECK(gw_credential_token(c, NOW, &arena, &line) == CREDENTIAL_FRESH &&
              (line.p == NULL || line.n == 27));
    if (aws != NULL && gw_credential_set_aws(aws, &keys, CREDENTIAL_FOREVER))
        CHECK(gw_credential_aws(aws, NOW, &arena, &got) == CREDENTIAL_FRESH &&
              (got.access.p == NULL || got.session.n == 1));
    gw_credential_unref(c);
    gw_credential_unref(aws);
    arena_reset(&arena);
}

TEST(torture)
{
    check_needs_torture();
    CHECK(check_torture(use_all, NULL) >= 8);
}
