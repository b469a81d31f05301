/* The sources of credentials, without a network: what they ask, and what they make of answers. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "config_fixture.h"
#include "credential_source.h"
#include "credentials.h"
#include "token_google.h"

#define WALL_S INT64_C(1795258800) /* 2026-11-21T11:00:00Z */

/* A key for this test alone, and the token that Python's cryptography makes with it. */
/* clang-format off */
static const char key_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC0zsT0nlie/Iu1\n"
    "uLBihTXj3omAqf5tGzyFFbqvhbfleYbR2/nPKYjuxNFcooQmcvJNk6d5b8Ft9GL5\n"
    "EGpEZ8hFg5LzGLfV3kqmnnMmyXlhjX/cGInLxcgVBsQNbaV+Hx/OD9RNoCcTU6C7\n"
    "SM8L5oBCDYlWRFAD7Lcth8+AFI/1iC7DwMT5eERVkNMbGYMPVpSflq8KHVxEnYNA\n"
    "vEYUXT2DgNyd2s/fuBg5I6brJ4sEprmDNOWjGjyvMTpRkjsjArG7YKS447VdbV4Z\n"
    "gY7ESUfjjKHmPVYkTqsjM6Vw47g/K0KLYifo/ksjt2xKwDm/ARMu+YLQMxJi8Y3Y\n"
    "q6EirZlHAgMBAAECggEAHQ4TKWoevKHBw7iDo7lbYRxcRVBMAfV8ArjssJMQ66/d\n"
    "QfETEj7O8euv5y54hQM4u82r/oA+ebBpjTOdmBODY+RSY31H4Xbg0SiqQYPj3RDT\n"
    "iKdq0VOdpP9a1vuVOhC/WCpECBth3CG2tRHsr7FhT/wD41iD8TWDdC4cYq0rOx3b\n"
    "fxyRPSc7mYaxhBcdvKa4oagfuehcCflgXUKwjxoivv1rZ6gCerauXPd8jhsX6SAA\n"
    "ieSu1dN87aJs/eedSe9Xxnd71QAuEI4DdhSfOQ5AS0ydI0nnJozAq5Jlp8eOOdSY\n"
    "KVflfrW2WdQOWo/2sr1Qr6QjdcfJbh2lw8a0tgv28QKBgQDj6TOP0JSulYktu9pe\n"
    "I2NIyLkwDEpXfkek30B0bvInT0EhP7AfxBX4t4U1Y2yVasq4MxvvxtnLpGs5h/Yf\n"
    "Cp8TpUAVAgu5ojZyuVPpakNFsMcpGpOXBH6AQgjCEeW1OKRrqgeS/HTSYtOnnDQ5\n"
    "LrsQF22MkAE6aH51/+Jq0anydwKBgQDLF2rW+RBLHkC4X8EAfVZ0N8mKwX1bw9up\n"
    "+0Rgb8QIk46ES9D2tIbiUcWwMa0gsZ9jmt0Vi6/jQBi+mdRtPxWVacCu6fmvUDVs\n"
    "khGJ18HjlMV8TFxmYHZ0ECpcKl9UMVmEarR27/vTzFdP5BoWpHkfG6i3Qit4R6ye\n"
    "+hzt6KrzsQKBgGM4G+VpJcFXgk/xryA6gbenAtADGb47UI9bTeEih7NLUoxaAJ/j\n"
    "qrkLlCdo8FWgFz7XqTras+hu3Os/4IslAZn44AwFRvt6vf915S0BwOWvDxU657Pg\n"
    "Ff5aQRvT1M/vJ81jSUbZNzZ8Ja6bVzTpvjBEMsH100MNSLiwPG7KdhUDAoGBAMNV\n"
    "wKMHZw55CJLNNlr8Mn0Rcz2MIMB0PwDc9cUzen8tPTQtn8zJkbp4IAX5oaUCcmVg\n"
    "/CfO9NtEOQiJ+HEi7eWJk5Qo4sgmA1xrmYbVCF2WJ+QHpg+p1ASJz9RZxNq7pHfi\n"
    "EbUb2UC7F3d100nX489x0PKCKEFF3tgBhHWnBVXhAoGAXmPCHIUYNPJsD6z+48+T\n"
    "onQzSDrcMw5sxHxAWvWNJ7nn9ME1fLwmKtcWhwSZMdc+qutFUDGIl3mMBx7zbRyt\n"
    "jQybw09/ZiuVm96zo4EQXXBm9WXTVbcP9Rjy5y0mCyRuXKGSZqDKKAv/J9RiYIYV\n"
    "WezPOXmuB4MwB2Xc/5Zo9OQ=\n"
    "-----END PRIVATE KEY-----\n";
static const char vector[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtpZC0xIn0.eyJpc3MiOiJ3ZWlyQHByb2plY3Qt"
    "MS5pYW0uZXhhbXBsZSIsInNjb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9jbG91ZC1w"
    "bGF0Zm9ybSIsImF1ZCI6Imh0dHBzOi8vb2F1dGgyLmdvb2dsZWFwaXMuY29tL3Rva2VuIiwiaWF0IjoxNzk1"
    "MjU4NzkwLCJleHAiOjE3OTUyNjIzOTB9.H0KCDI0MZLDG_o6LRV9w6KGpUIqEhT_rryOQfZeOVQP_it-rkQY"
    "90-PepEEbiRj0SQ_1lKNnJ2DueUzxQ22LwIBDbHOq0-voVp3zAlJfoQxaXCVIatNfr6PgShkBmn3Wjd0gmC7"
    "Ao-90DnFVLQL2lwtdz2BQlyvHHo7NyDLI9cuD3U2TC3uu1OxeUD3yoRIcjST2E-uO628qZvibGQtT74xnpOt"
    "lT6KjqoAbUDJwVrAeOOD_gow83qCce5XLylUOn1wgYiUEuvWETphfqTALGrS2SbSd9pKmbkFbv_fJDJbgkYM"
    "QEe8gwbnU6uoDzyNB3Ix5hPGf6dzbDPPEkzNbzw";
/* clang-format on */

/* A source and a round of it, side by side. */
struct play {
    struct arena keep, scratch;
    struct config_provider provider;
    struct source_build build;
    struct source source;
    struct source_round round;
};

static void play_init(struct play *p, const char *type)
{
    fixture_reset();
    *p = (struct play){.provider = {.type = slice_str(type)}};
    arena_init(&p->keep, NULL, 1 << 20);
    arena_init(&p->scratch, NULL, 1 << 20);
    arena_init(&p->round.arena, NULL, 1 << 20);
    p->round.parser = json_parser_new();
    p->round.wall_ns = WALL_S * NS_PER_S;
    p->build = (struct source_build){
        .provider = &p->provider, .keep = &p->keep, .scratch = &p->scratch, .env = fixture_getenv};
    CHECK(p->round.parser != NULL);
}

static void play_done(struct play *p)
{
    json_parser_free(p->round.parser);
    arena_reset(&p->keep);
    arena_reset(&p->scratch);
    arena_reset(&p->round.arena);
}

static void play_make(struct play *p)
{
    bool none = true;
    CHECK(source_make(&p->build, &p->source, &none));
    CHECK(!none);
}

static void play_fails(struct play *p, const char *why)
{
    bool none;
    CHECK(!source_make(&p->build, &p->source, &none));
    CHECK_EQ_STR(p->build.why, why);
}

static enum source_result play_next(struct play *p)
{
    return p->source.ops->next(&p->source, &p->round);
}

static enum source_result play_answer(struct play *p, unsigned status, const char *body)
{
    p->round.status = status;
    p->round.answer = slice_str(body);
    p->round.step++;
    return play_next(p);
}

TEST(assertion_is_that_of_python)
{
    struct arena a;
    struct google_key key = {.email = SLICE("weir@project-1.iam.example"),
                             .private_key = slice_str(key_pem),
                             .private_key_id = SLICE("kid-1"),
                             .token_uri = SLICE("https://oauth2.googleapis.com/token")};
    arena_init(&a, NULL, 1 << 20);
    CHECK_EQ_SLICE(google_assertion(&key, WALL_S, &a), slice_str(vector));
    key.private_key = SLICE("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n");
    CHECK(google_assertion(&key, WALL_S, &a).p == NULL);
    arena_reset(&a);
}

TEST(only_some_providers_fetch)
{
    static const struct {
        const char *type, *key;
        bool none;
    } rows[] = {
        {"openai", "", true},  {"openai", "k", true},  {"azure", "", true},
        {"azure", "k", true},  {"bedrock", "k", true}, {"vertex", "client", true},
        {"vertex", "", false}, {"bedrock", "", false}, {"sagemaker", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct play p;
        bool none;
        check_note("%s %s", rows[i].type, rows[i].key);
        play_init(&p, rows[i].type);
        p.provider.api_key = slice_str(rows[i].key);
        CHECK(source_make(&p.build, &p.source, &none));
        CHECK(none == rows[i].none);
        play_done(&p);
    }
}

TEST(google_metadata)
{
    struct play p;
    play_init(&p, "vertex");
    play_make(&p);
    CHECK_EQ_LIT(p.source.url, "http://metadata.google.internal");
    CHECK(p.source.direct);
    CHECK_EQ_I64(play_next(&p), SOURCE_CALL);
    CHECK_EQ_LIT(p.round.fields, "Metadata-Flavor: Google\r\n");
    CHECK_EQ_I64(play_answer(&p, 200, "{\"access_token\":\"t\",\"expires_in\":60}"), SOURCE_DONE);
    CHECK_EQ_LIT(p.round.token, "t");
    CHECK_EQ_I64(p.round.life_ns, 60 * NS_PER_S);
    play_done(&p);
}

TEST(google_keys)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"[1]", "the value is no JSON object"},
        {"{\"type\":5}", "the value is neither of `type` service_account nor authorized_user"},
        {"{\"type\":\"service_account\"}", "the value has no `client_email`"},
        {"{\"type\":\"service_account\",\"client_email\":\"e\"}", "the value has no `private_key`"},
        {"{\"type\":\"authorized_user\"}", "the value has no `client_id`"},
    };
    struct play p;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        play_init(&p, "vertex");
        p.provider.cloud.credentials = slice_str(rows[i].json);
        play_fails(&p, rows[i].why);
        play_done(&p);
    }
    play_init(&p, "vertex");
    p.provider.cloud.credentials =
        SLICE("{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s+/\","
              "\"refresh_token\":\"r\"}");
    play_make(&p);
    CHECK_EQ_LIT(p.source.url, "https://oauth2.googleapis.com/token");
    CHECK(!p.source.direct && slice_find(p.source.identity, '+') < 0);
    p.source.path = SLICE("/token");
    CHECK_EQ_I64(play_next(&p), SOURCE_CALL);
    CHECK_EQ_LIT(p.round.body,
                 "grant_type=refresh_token&client_id=c&client_secret=s%2B%2F&refresh_token=r");
    play_done(&p);
}

/* Same secret, same credential; another one, another. */
TEST(identities)
{
    struct slice seen[3];
    struct play p[3];
    static const char *const secrets[] = {"one", "two", "one"};
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        play_init(&p[i], "azure");
        p[i].provider.cloud.entra = (struct config_entra){
            .tenant = SLICE("t"), .client_id = SLICE("c"), .client_secret = slice_str(secrets[i])};
        p[i].provider.cloud.token_scope = SLICE("https://x/.default");
        play_make(&p[i]);
        seen[i] = p[i].source.identity;
    }
    CHECK(slice_eq(seen[0], seen[2]) && !slice_eq(seen[0], seen[1]));
    CHECK(memmem(seen[0].p, seen[0].n, "one", 3) == NULL);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        play_done(&p[i]);
}

TEST(token_answers)
{
    static const struct {
        unsigned status;
        const char *body;
        int64_t life_s; /* 0: it fails */
        const char *why;
    } rows[] = {
        {200, "{\"access_token\":\"t\",\"expires_in\":3599}", 3599, ""},
        {200, "{\"access_token\":\"t\",\"expires_in\":\"3599\"}", 3599, ""},
        {200, "{\"access_token\":\"t\",\"expires_on\":\"1795258900\"}", 100, ""},
        {200, "{\"access_token\":\"t\",\"expires_on\":1795258800}", 0,
         "the token in the answer has expired already"},
        {200, "{\"access_token\":\"t\",\"expires_in\":-5}", 0,
         "the token in the answer has expired already"},
        {200, "{\"access_token\":\"t\",\"expires_on\":9223372036854775807}", 0,
         "the answer does not say when the token expires"},
        {200, "{\"access_token\":\"t\",\"expires_in\":1e3}", 0,
         "the answer does not say when the token expires"},
        {200, "{\"access_token\":7,\"expires_in\":60}", 0, "the answer has no access_token"},
        {200, "{\"expires_in\":60}", 0, "the answer has no access_token"},
        {200, "token", 0, "the answer is no JSON object"},
        {200, "", 0, "the answer is no JSON object"},
        {400, "", 0, "HTTP 400"},
        {400, "{\"error\":\"invalid_grant\",\"error_description\":\"Bad clock\\nTrace: x\"}", 0,
         "HTTP 400: invalid_grant: Bad clock"},
        {403, "{\"error\":{\"code\":403},\"message\":\"no\"}", 0, "HTTP 403: no"},
        {401, "{\"error\":\"0123456789012345678901234567890123456\"}", 0, "HTTP 401: ***"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct play p;
        check_note("%zu", i);
        play_init(&p, "vertex");
        p.round.status = rows[i].status;
        p.round.answer = slice_str(rows[i].body);
        enum source_result result = source_read_token(&p.round);
        CHECK_EQ_I64(result, rows[i].life_s > 0 ? SOURCE_DONE : SOURCE_FAILED);
        CHECK_EQ_STR(p.round.why, rows[i].why);
        if (result == SOURCE_DONE)
            CHECK_EQ_I64(p.round.life_ns, rows[i].life_s * NS_PER_S);
        play_done(&p);
    }
}

TEST(times_of_aws)
{
    static const struct {
        const char *text;
        int64_t life_s; /* INT64_MIN: no time */
    } rows[] = {
        {"2026-11-21T11:00:00Z", 0},         {"2026-11-21T12:00:00Z", 3600},
        {"2026-11-21T12:00:00.123Z", 3600},  {"2026-11-21T13:30:00+01:30", 3600},
        {"2026-11-21T10:00:00-01:00", 0},    {"2026-11-21T10:59:00Z", -60},
        {"2026-11-21", INT64_MIN},           {"2026-11-21T11:00:00", INT64_MIN},
        {"2026-11-21T11:00:00X", INT64_MIN}, {"2026-11-21T11:00:00+0100", INT64_MIN},
        {"2026-11-2aT11:00:00Z", INT64_MIN}, {"", INT64_MIN},
    };
    struct source_round r = {.wall_ns = WALL_S * NS_PER_S};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = 0;
        check_note("%s", rows[i].text);
        CHECK(source_parse_expiry(&r, slice_str(rows[i].text), &ns) ==
              (rows[i].life_s != INT64_MIN));
        if (rows[i].life_s != INT64_MIN)
            CHECK_EQ_I64(ns, rows[i].life_s * NS_PER_S);
    }
}

TEST(aws_from_configuration_and_environment)
{
    struct play p;
    play_init(&p, "bedrock");
    p.provider.cloud.access_key = SLICE("AKID");
    p.provider.cloud.secret_key = SLICE("secret/+");
    play_make(&p);
    CHECK(p.source.url.n == 0);
    CHECK_EQ_I64(play_next(&p), SOURCE_DONE);
    CHECK_EQ_LIT(p.round.keys.access, "AKID");
    CHECK_EQ_LIT(p.round.keys.secret, "secret/+");
    CHECK(p.round.keys.session.n == 0 && p.round.life_ns == CREDENTIAL_FOREVER);
    play_done(&p);
    play_init(&p, "sagemaker");
    fixture_setenv(SLICE("AWS_ACCESS_KEY_ID"), SLICE("AK"));
    fixture_setenv(SLICE("AWS_SECRET_ACCESS_KEY"), SLICE("SK"));
    fixture_setenv(SLICE("AWS_SESSION_TOKEN"), SLICE("ST"));
    play_make(&p);
    CHECK_EQ_I64(play_next(&p), SOURCE_DONE);
    CHECK_EQ_LIT(p.round.keys.session, "ST");
    play_done(&p);
}

/* The order of the search, each step with its call. */
TEST(aws_search)
{
    static const struct {
        const char *variable, *value, *url;
    } rows[] = {
        {"HOME", "/nowhere", "http://169.254.169.254"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/c?a=b", "http://127.0.0.1:9/c"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", "http://169.254.170.2/v2/x"},
        {"AWS_ROLE_ARN", "arn:aws:iam::1:role/r", "http://169.254.170.2/v2/x"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token", "https://sts.eu-central-1.amazonaws.com"},
    };
    struct play p;
    play_init(&p, "bedrock");
    p.provider.cloud.region = SLICE("eu-central-1");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].variable);
        fixture_setenv(slice_str(rows[i].variable), slice_str(rows[i].value));
        play_make(&p);
        CHECK_EQ_SLICE(p.source.url, slice_str(rows[i].url));
    }
    CHECK_EQ_I64(play_next(&p), SOURCE_FAILED);
    CHECK_EQ_STR(p.round.why, "/nowhere/token: No such file or directory");
    p.provider.cloud.region = SLICE("cn-north-1");
    play_make(&p);
    CHECK_EQ_LIT(p.source.url, "https://sts.cn-north-1.amazonaws.com.cn");
    play_done(&p);
}

TEST(aws_instance)
{
    struct play p;
    play_init(&p, "bedrock");
    play_make(&p);
    CHECK_EQ_I64(play_next(&p), SOURCE_CALL);
    CHECK(p.round.method == HTTP_PUT && p.round.has_body);
    CHECK_EQ_I64(play_answer(&p, 200, "session\n"), SOURCE_FAILED); /* starts a line of its own */
    p.round.step = 0;
    CHECK_EQ_I64(play_answer(&p, 200, "session"), SOURCE_CALL);
    CHECK(p.round.method == HTTP_GET && !p.round.has_body);
    CHECK_EQ_LIT(p.round.fields, "X-aws-ec2-metadata-token: session\r\n");
    CHECK_EQ_I64(play_answer(&p, 200, "role-1\nrole-2"), SOURCE_CALL);
    CHECK_EQ_LIT(p.round.target, "/latest/meta-data/iam/security-credentials/role-1");
    CHECK_EQ_LIT(p.round.fields, "X-aws-ec2-metadata-token: session\r\n");
    CHECK_EQ_I64(
        play_answer(&p, 200,
                    "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
                    "\"Token\":\"T\",\"Expiration\":\"2026-11-21T17:00:00Z\"}"),
        SOURCE_DONE);
    CHECK_EQ_I64(p.round.life_ns, 6 * 3600 * NS_PER_S);
    p.round.step = 2;
    CHECK_EQ_I64(play_answer(&p, 200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}"),
                 SOURCE_FAILED);
    CHECK_EQ_STR(p.round.why, "the answer says AssumeRoleUnauthorizedAccess");
    p.round.step = 1;
    CHECK_EQ_I64(play_answer(&p, 404, "<html>"), SOURCE_FAILED);
    p.round.step = 1;
    CHECK_EQ_I64(play_answer(&p, 200, "../../x HTTP/1.1"), SOURCE_FAILED);
    p.round.step = 1;
    CHECK_EQ_I64(play_answer(&p, 200, ""), SOURCE_FAILED);
    play_done(&p);
}

TEST(aws_shared_file)
{
    static const struct {
        const char *profile, *text, *want; /* the session, or why not */
    } rows[] = {
        {"a", "[a]\naws_access_key_id=K\naws_secret_access_key=S\naws_session_token= T=\n", "T="},
        {"a",
         "\r\n[b]\r\naws_session_token=x\r\n[ a ]\r\n AWS_Access_Key_Id = K \r\n"
         "aws_secret_access_key=S\r\naws_session_token=T\r\n[c]\naws_session_token=U",
         "T"},
        {"a", "[a]\n# aws_session_token=x\n;x\naws_access_key_id=K\naws_secret_access_key=S", ""},
        {"a", "aws_access_key_id=K\naws_secret_access_key=S\n", "there is no profile a"},
        {"a", "", "there is no profile a"},
        {"a", "[a]\naws_access_key_id=K\n", "the profile a has no keys of its own"},
        {"a", "[a]\nsso_session = x\n",
         "the profile a has no keys of its own; not followed: sso_session"},
    };
    char path[] = "/tmp/weir-unit-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && close(fd) == 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct play p;
        check_note("%zu", i);
        play_init(&p, "bedrock");
        fixture_write(path, slice_str(rows[i].text));
        fixture_setenv(SLICE("AWS_SHARED_CREDENTIALS_FILE"), slice_str(path));
        p.provider.cloud.profile = slice_str(rows[i].profile);
        play_make(&p);
        CHECK_EQ_SLICE(p.source.watch, slice_str(path));
        if (play_next(&p) == SOURCE_DONE)
            CHECK_EQ_SLICE(p.round.keys.session, slice_str(rows[i].want));
        else
            CHECK_EQ_STR(p.round.why, rows[i].want);
        play_done(&p);
    }
    unlink(path);
}

TEST(when_to_renew_and_to_retry)
{
    const int64_t hour = 3600 * NS_PER_S, s = NS_PER_S;
    CHECK_EQ_I64(credentials_renew_after(hour, 0), 3300 * s);
    CHECK_EQ_I64(credentials_renew_after(10 * s, 0), 8 * s);
    CHECK_EQ_I64(credentials_renew_after(1500 * s, 0), 1200 * s);
    for (int i = 0; i < 1000; i++) {
        int64_t life = (int64_t)check_random_below((uint64_t)(24 * hour)) + 1;
        int64_t after = credentials_renew_after(life, check_random());
        CHECK(after >= 0 && after < life && after <= credentials_renew_after(life, 0));
        CHECK(life - after <= 330 * s || after >= life / 5 * 4);
    }
    static const int64_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60};
    for (unsigned i = 0; i < ARRAY_LEN(waits); i++) {
        CHECK_EQ_I64(credentials_retry_after(i + 1, 0), waits[i] * s);
        int64_t wait = credentials_retry_after(i + 1, check_random());
        CHECK(wait > waits[i] * s / 4 * 3 && wait <= waits[i] * s);
    }
    CHECK_EQ_I64(credentials_retry_after(1000000, 0), 60 * s);
}

/* A configuration's credentials from beginning to end, without a loop. */
static void get_all(void *arg)
{
    struct config config = {0};
    struct config_provider rows[] = {
        {.type = SLICE("vertex"), .cloud = {.credentials = SLICE("metadata")}},
        {.type = SLICE("vertex"), .cloud = {.credentials = SLICE("metadata")}},
        {.type = SLICE("bedrock"),
         .cloud = {.access_key = SLICE("A"), .secret_key = SLICE("S"), .region = SLICE("r")}},
        {.type = SLICE("azure"),
         .cloud = {.entra = {.tenant = SLICE("t"),
                             .client_id = SLICE("c"),
                             .client_secret = SLICE("s"),
                             .authority = SLICE("http://127.0.0.1:9")},
                   .token_scope = SLICE("https://x")}},
    };
    struct gw_credential *got[ARRAY_LEN(rows)] = {0};
    struct credentials *cs = credentials_new();
    for (size_t i = 0; i < ARRAY_LEN(rows) && cs != NULL; i++) {
        struct buf why;
        buf_init(&why, 1024);
        bool ok = credentials_get(cs, &config, &rows[i], &got[i], &why);
        CHECK(ok == (got[i] != NULL) && (ok || why.n > 0 || why.failed));
        *(bool *)arg &= ok;
        buf_done(&why);
    }
    if (cs != NULL && *(bool *)arg) {
        struct arena a;
        struct gw_aws_keys keys;
        arena_init(&a, NULL, 65536);
        CHECK(got[0] == got[1] && got[0] != got[3]);
        CHECK(gw_credential_aws(got[2], 0, &a, &keys) == CREDENTIAL_FRESH);
        arena_reset(&a);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        gw_credential_unref(got[i]);
    credentials_free(cs);
}

TEST(all_of_a_configuration)
{
    bool ok = true;
    get_all(&ok);
    CHECK(ok);
}

TEST(torture)
{
    bool ok = true;
    check_needs_torture();
    CHECK(check_torture(get_all, &ok) > 20);
}
