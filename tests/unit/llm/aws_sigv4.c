/* Signatures of AWS requests, against those that botocore 1.44.5 makes for the same requests. */
#include "check.h"
#include "llm/aws_sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

struct row {
    int64_t unix_s;
    const char *method, *host, *path, *query, *content_type;
    struct slice body;
    const char *region, *service, *token;
    const char *date, *scope, *headers, *signature;
};

static const struct row rows[] = {
    {1440938160,
     "POST",
     "bedrock-runtime.us-east-1.amazonaws.com",
     "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
     "",
     "application/json",
     {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]}", 56},
     "us-east-1",
     "bedrock",
     "",
     "20150830T123600Z",
     "20150830/us-east-1/bedrock/aws4_request",
     "content-type;host;x-amz-content-sha256;x-amz-date",
     "ed1c6b01620d52209196b50b4b30a706b6dc7fb7fd2f7763b4136033874dd4e5"},
    /* an ARN, a session token */
    {1795257600,
     "POST",
     "bedrock-runtime.eu-west-1.amazonaws.com",
     "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile"
     "%2Fa1b2c3/converse-stream",
     "",
     "application/json",
     {"{}", 2},
     "eu-west-1",
     "bedrock",
     "IQoJb3JpZ2luX2VjEA//////////wEaCXVzLWVhc3QtMSJ+token==",
     "20261121T104000Z",
     "20261121/eu-west-1/bedrock/aws4_request",
     "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
     "acfe0f40145ae44ba12c899ca897ef0a4506bbcfb9bdaf5e51d51ea9d9b330a3"},
    {1795257600,
     "POST",
     "runtime.sagemaker.us-west-2.amazonaws.com",
     "/endpoints/my-endpoint/invocations-response-stream",
     "",
     "application/json",
     {"{\"inputs\":\"x\"}", 14},
     "us-west-2",
     "sagemaker",
     "",
     "20261121T104000Z",
     "20261121/us-west-2/sagemaker/aws4_request",
     "content-type;host;x-amz-content-sha256;x-amz-date",
     "dc0645aa3ec0e321614253d9a9c44e461e1ef1812488b6dc33360053d98430cd"},
    /* a query out of order, a path with a slash at its end, no body, a leap day */
    {951827696,
     "GET",
     "example.amazonaws.com",
     "/a%20b/%E1%88%B4~_.-/",
     "b=2&a=1&a=0&c=%2F%20x&d&a-b=",
     "",
     {"", 0},
     "us-east-1",
     "service",
     "",
     "20000229T123456Z",
     "20000229/us-east-1/service/aws4_request",
     "host;x-amz-content-sha256;x-amz-date",
     "d1bf4bac605e37e3d9edaa54b4a6ff0d609dc9f19d7b17f48950aada03ec8866"},
    {1709251199,
     "POST",
     "sts.eu-central-1.amazonaws.com",
     "/",
     "",
     "application/x-www-form-urlencoded; charset=utf-8",
     {"Action=GetCallerIdentity&Version=2011-06-15", 43},
     "eu-central-1",
     "sts",
     "FwoGZXIvYXdzEBY=",
     "20240229T235959Z",
     "20240229/eu-central-1/sts/aws4_request",
     "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
     "197d04a7ea3e877c3883c149cc8b1727bb8b2e2ee79f4c1214e152f1c5ad8af4"},
    /* a port, a binary body */
    {1795257601,
     "POST",
     "vpce-0a1b.bedrock-runtime.us-gov-west-1.vpce.amazonaws.com:8443",
     "/model/us.amazon.nova-pro-v1%3A0/invoke",
     "",
     "application/json",
     {"\x00\xff binary", 9},
     "us-gov-west-1",
     "bedrock",
     "",
     "20261121T104001Z",
     "20261121/us-gov-west-1/bedrock/aws4_request",
     "content-type;host;x-amz-content-sha256;x-amz-date",
     "934177a6731518de39d6fdb5df3ad78868aedd65c833eda20b7c129893a6c30b"},
};

static bool sign_row(const struct row *row, const char *secret, struct aws_signing_key *key,
                     struct buf *out)
{
    uint8_t digest[SHA256_BYTES];
    CHECK(hash_sha256(row->body, digest));
    struct aws_request r = {
        .method = slice_str(row->method),
        .host = slice_str(row->host),
        .path = slice_str(row->path),
        .query = slice_str(row->query),
        .content_type = slice_str(row->content_type),
        .body_sha256 = digest,
        .region = slice_str(row->region),
        .service = slice_str(row->service),
    };
    struct aws_credentials c = {SLICE("AKIDEXAMPLE"), slice_str(secret), slice_str(row->token)};
    return aws_sign(&r, &c, row->unix_s, key, out);
}

static void put_expected(const struct row *row, struct buf *out)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    CHECK(hash_sha256(row->body, digest));
    hex_encode(digest, sizeof digest, hex);
    buf_printf(out, "X-Amz-Date: %s\r\nX-Amz-Content-Sha256: %s\r\n", row->date, hex);
    if (*row->token != '\0')
        buf_printf(out, "X-Amz-Security-Token: %s\r\n", row->token);
    buf_printf(out,
               "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%s, SignedHeaders=%s, "
               "Signature=%s\r\n",
               row->scope, row->headers, row->signature);
}

TEST(vectors)
{
    struct aws_signing_key key = {.filled = false}; /* one for all: it has to notice each change */
    struct buf out, want;
    buf_init(&out, 1 << 16);
    buf_init(&want, 1 << 16);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            check_note("row %zu", i);
            buf_reset(&out);
            buf_reset(&want);
            CHECK(sign_row(&rows[i], SECRET, &key, &out));
            put_expected(&rows[i], &want);
            CHECK_EQ_SLICE(buf_view(&out), buf_view(&want));
            buf_reset(&out);
            CHECK(sign_row(&rows[i], SECRET, &key, &out)); /* with the key that was kept */
            CHECK_EQ_SLICE(buf_view(&out), buf_view(&want));
        }
    }
    buf_done(&out);
    buf_done(&want);
}

TEST(another_secret_is_another_key)
{
    struct aws_signing_key key = {.filled = false};
    struct buf first, second;
    buf_init(&first, 1 << 16);
    buf_init(&second, 1 << 16);
    CHECK(sign_row(&rows[0], SECRET, &key, &first));
    CHECK(sign_row(&rows[0], "rotated", &key, &second));
    CHECK(!slice_eq(buf_view(&first), buf_view(&second)));
    buf_reset(&second);
    CHECK(sign_row(&rows[0], SECRET, &key, &second));
    CHECK_EQ_SLICE(buf_view(&second), buf_view(&first));
    buf_done(&first);
    buf_done(&second);
}

TEST(paths_that_would_be_read_otherwise)
{
    static const char *const bad[] = {"a", "//", "/a//b", "/./a", "/a/..", "/../a", "/a/."};
    struct aws_signing_key key = {.filled = false};
    struct row row = rows[0];
    struct buf out;
    buf_init(&out, 1 << 16);
    buf_lit(&out, "kept");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check_note("%s", bad[i]);
        row.path = bad[i];
        CHECK(!sign_row(&row, SECRET, &key, &out));
        CHECK_EQ_LIT(buf_view(&out), "kept");
    }
    row.path = "";
    CHECK(sign_row(&row, SECRET, &key, &out));
    buf_done(&out);
}

TEST(too_long_a_query)
{
    struct aws_signing_key key = {.filled = false};
    struct row row = rows[0];
    struct buf out, query;
    buf_init(&out, 1 << 16);
    buf_init(&query, 1 << 16);
    for (unsigned i = 0; i < 32; i++)
        buf_printf(&query, "%sk%u=v", i > 0 ? "&" : "", i);
    buf_char(&query, '\0');
    row.query = query.p;
    CHECK(sign_row(&row, SECRET, &key, &out));
    query.n--;
    buf_append(&query, "&k=v", 5);
    row.query = query.p;
    CHECK(!sign_row(&row, SECRET, &key, &out));
    buf_done(&out);
    buf_done(&query);
}

static void sign_once(void *arg)
{
    struct aws_signing_key key = {.filled = false};
    struct buf out;
    buf_init(&out, 1 << 16);
    bool ok = sign_row(&rows[1], SECRET, &key, &out);
    CHECK(ok == (out.n > 0));
    buf_done(&out);
}

TEST(without_memory)
{
    check_needs_torture();
    CHECK(check_torture(sign_once, NULL) > 0);
}
