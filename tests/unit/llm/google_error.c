/* Errors in Google's shape. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "google_internal.h"

TEST(read_errors)
{
    static const struct {
        const char *body, *message, *type, *code;
    } rows[] = {
        {"{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_"
         "EXHAUSTED\"}}",
         "slow", "RESOURCE_EXHAUSTED", ""},
        {"[{\"error\":{\"code\":400,\"message\":\"bad "
         "\\\"key\\\"\",\"status\":\"INVALID_ARGUMENT\","
         "\"details\":[{\"@type\":\"type.googleapis.com/"
         "google.rpc.ErrorInfo\",\"reason\":"
         "\"API_KEY_INVALID\"}]}}]",
         "bad \"key\"", "INVALID_ARGUMENT", "API_KEY_INVALID"},
        {"{\"error\":{\"status\":\"INTERNAL\"}}", "INTERNAL", "INTERNAL", ""},
        {"{\"error\":{}}", "The provider gave no message.", "", ""},
        {"<html><body>502 Bad Gateway</body></html>", "502 Bad Gateway", "", ""},
        {"{\"error\":\"plain\"}", "plain", "", ""},
        {"", "The provider gave no message.", "", ""},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct llm_error e;
        check_note("%s", rows[i].body);
        google_wire.read_error(parser, &arena, slice_str(rows[i].body), &e);
        CHECK_EQ_SLICE(e.message, slice_str(rows[i].message));
        CHECK_EQ_SLICE(e.type, slice_str(rows[i].type));
        CHECK_EQ_SLICE(e.code, slice_str(rows[i].code));
    }
    tear_down();
}

TEST(retry_delay)
{
    static const struct {
        const char *delay;
        int64_t ms; /* -1: none */
    } rows[] = {
        {"17s", 17000}, {"0.5s", 500},    {"1.000000001s", 1001},
        {"0s", 0},      {"", -1},         {"s", -1},
        {"17", -1},     {"-1s", -1},      {"1.0000000000s", -1},
        {"x s", -1},    {"9999999s", -1},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[256];
        int64_t ms = -1;
        check_note("%s", rows[i].delay);
        snprintf(body, sizeof body,
                 "{\"error\":{\"code\":429,\"details\":[{\"@type\":\"x."
                 "QuotaFailure\"},{\"@type\":"
                 "\"type.googleapis.com/"
                 "google.rpc.RetryInfo\",\"retryDelay\":\"%s\"}]}}",
                 rows[i].delay);
        CHECK(google_retry_delay(parser, &arena, slice_str(body), &ms) == (rows[i].ms >= 0));
        CHECK_EQ_I64(ms, rows[i].ms);
    }
    int64_t ms = -1;
    CHECK(!google_retry_delay(parser, &arena, SLICE("{\"error\":{\"details\":7}}"), &ms));
    CHECK(!google_retry_delay(parser, &arena, SLICE("no json"), &ms));
    tear_down();
}

TEST(write_errors)
{
    struct buf out;
    struct llm_error e = {.message = SLICE("no \"x\"")};
    buf_init(&out, 1 << 16);
    google_dialect.put_error(&out, 404, &e, SLICE("id"));
    CHECK_EQ_LIT(buf_view(&out), "{\"error\":{\"code\":404,\"message\":\"no \\\"x\\\"\",\"status\":"
                                 "\"NOT_FOUND\"}}");
    buf_reset(&out);
    e.code = SLICE("invalid_type");
    e.param = SLICE("contents");
    google_dialect.put_error_event(&out, 400, &e, SLICE_NONE);
    CHECK_EQ_LIT(buf_view(&out),
                 "data: {\"error\":{\"code\":400,\"message\":\"no \\\"x\\\"\",\"status\":"
                 "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/"
                 "google.rpc.ErrorInfo\",\"reason\":\"invalid_type\",\"domain\":\"weir\","
                 "\"metadata\":{\"field\":\"contents\"}}]}}\n\n");
    buf_done(&out);
}

TEST(statuses)
{
    static const struct {
        unsigned http;
        const char *name;
    } rows[] = {{400, "INVALID_ARGUMENT"},
                {401, "UNAUTHENTICATED"},
                {403, "PERMISSION_DENIED"},
                {404, "NOT_FOUND"},
                {418, "FAILED_PRECONDITION"},
                {429, "RESOURCE_EXHAUSTED"},
                {500, "INTERNAL"},
                {503, "UNAVAILABLE"},
                {504, "DEADLINE_EXCEEDED"},
                {599, "INTERNAL"},
                {0, "UNKNOWN"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_EQ_SLICE(google_status_name(rows[i].http), slice_str(rows[i].name));
    CHECK_EQ_U64(google_status_of(SLICE("RESOURCE_EXHAUSTED")), 429);
    CHECK_EQ_U64(google_status_of(SLICE("OUT_OF_RANGE")), 400);
    CHECK_EQ_U64(google_status_of(SLICE("NEW")), 0);
}
