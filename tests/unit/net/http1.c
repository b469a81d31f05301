/* Heads of HTTP/1.1: what is taken, what is refused and with which status, whatever the split. The
 * rows with a section number are from RFC 9112, "9110" from RFC 9110. */
#include "http1.h"

#include "base/buf.h"
#include "check.h"

struct parsed {
    int status; /* 0, or what the head is refused with */
    const char *why;
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* Reads `text` as it would come in pieces of `step` bytes. -1: more is awaited. */
static int read_in_steps(enum http1_kind kind, struct slice text, size_t step, struct parsed *ret)
{
    size_t scanned = 0;
    int n = 0;
    for (size_t have = 0; have < text.n && n == 0;) {
        have = MIN_OF(have + step, text.n);
        n = http1_head_length(kind, slice_of(text.p, have), &scanned);
    }
    if (n == 0)
        return -1;
    if (n < 0)
        return ret->status = -n;
    ret->status =
        kind == HTTP1_REQUEST
            ? http1_parse_request(slice_of(text.p, (size_t)n), ret->fields, &ret->head, &ret->why)
            : http1_parse_answer(slice_of(text.p, (size_t)n), ret->fields, &ret->head, &ret->why);
    return ret->status;
}

/* The verdict on `text`, the same at every split. */
static int verdict(enum http1_kind kind, struct slice text, struct parsed *ret)
{
    int whole = read_in_steps(kind, text, text.n, ret);
    for (size_t step = 1; step < MIN_OF(text.n, (size_t)40); step++) {
        struct parsed again;
        check_note("pieces of %zu bytes of \"%.*s\"", step, (int)MIN_OF(text.n, (size_t)100),
                   text.p);
        CHECK_EQ_I64(read_in_steps(kind, text, step, &again), whole);
    }
    check_note("\"%.*s\"", (int)MIN_OF(text.n, (size_t)150), text.p);
    return whole;
}

#define HOST "Host: a\r\n"

static const struct {
    const char *text;
    int status;
} requests[] = {
    /* the request line */
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET http://x:81/a?b HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET HTTPS://x?b HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET /%7e/;,:@&=+$!*'()[]|~ HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http:// HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http:///a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://u@x/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://[::g]/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET ftp://x/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"BREW / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"get / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\xC3\xA9 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\"<> HTTP/1.1\r\n" HOST "\r\n", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"\x16\x03\x01", 400},
    {"G@T / HTTP/1.1\r\n", 400},
    {"GET /\r\n", 400},
    {"GET / HTTP/1.\r\n", 400},
    {"GET / HTTP/1.1x\r\n", 400},
    {"GET / HTTP/11\r\n", 400},
    {"GET / http/1.1\r\n", 400},
    {"GET / HTTP/ 1.1\r\n", 400},
    {"GET / HTTP/9.9\r\n" HOST "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\n", 505},
    {"GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\rHost: a\r\n", 400},
    {"\r\n", 400},
    /* Host (3.2) */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:9x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:b:9\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: :9\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1]9\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a[::1]\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 0},
    /* fields (5) */
    {"GET / HTTP/1.1\r\n" HOST "X: \xC3\xA9\t!\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X[]: y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "\xC3\xA9: y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "Garbage\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\x07\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: 12345678\x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: y\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "\n", 400},
    /* Content-Length (6.2, 6.3) */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0005\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: \t5 \t\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1 2\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\x0b\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "content-length: 5\r\nCONTENT-LENGTH: 6\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content_Length: x\r\n\r\n", 0},
    /* Transfer-Encoding (6.1) */
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chUnked \r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    /* not all there */
    {"GET / HTTP/1.1\r\n" HOST "\r", -1},
    {"GE", -1},
};

TEST(requests)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct parsed p = {.why = NULL};
        CHECK_EQ_I64(verdict(HTTP1_REQUEST, slice_str(requests[i].text), &p), requests[i].status);
        CHECK(p.status <= 0 || p.status == 400 || p.why != NULL);
    }
}

TEST(nul_bytes)
{
    struct parsed p;
    static const struct slice heads[] = {
        {"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 29},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 36},
        {"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n", 35},
        {"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", 29},
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        CHECK_EQ_I64(verdict(HTTP1_REQUEST, heads[i], &p), 400);
}

TEST(request_parts)
{
    struct parsed p;
    CHECK_EQ_I64(verdict(HTTP1_REQUEST,
                         SLICE("POST /v1/chat?a=b?c HTTP/1.1\r\nHost:  x:8 \r\nX-Request-Id:\t7\r\n"
                               "Content-Length: 10\r\nExpect: 100-Continue\r\nUpgrade: h2c\r\n"
                               "x-other: \r\n\r\nrest"),
                         &p),
                 0);
    CHECK_EQ_I64(p.head.method, HTTP_POST);
    CHECK_EQ_LIT(p.head.target, "/v1/chat?a=b?c");
    CHECK_EQ_LIT(p.head.path, "/v1/chat");
    CHECK_EQ_LIT(p.head.query, "a=b?c");
    CHECK_EQ_LIT(p.head.authority, "x:8");
    CHECK_EQ_U64(p.head.fields_n, 6);
    CHECK_EQ_I64(p.head.content_length, 10);
    CHECK(p.head.keep_alive && p.head.expect_continue && p.head.upgrade && !p.head.chunked);
    CHECK_EQ_LIT(http_field_get(&p.head, HTTP_X_REQUEST_ID), "7");
    CHECK_EQ_LIT(http_field_find(&p.head, SLICE("X-OTHER")), "");
    CHECK(http_field_find(&p.head, SLICE("X-OTHER")).p != NULL);
    CHECK(http_field_get(&p.head, HTTP_ACCEPT).p == NULL);
}

TEST(absolute_target_wins)
{
    struct parsed p;
    CHECK_EQ_I64(verdict(HTTP1_REQUEST, SLICE("GET http://x?q HTTP/1.1\r\nHost: y\r\n\r\n"), &p),
                 0);
    CHECK_EQ_LIT(p.head.authority, "x");
    CHECK_EQ_LIT(p.head.path, "/");
    CHECK_EQ_LIT(p.head.query, "q");
}

TEST(keep_alive)
{
    static const struct {
        const char *text;
        bool keep;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;
        CHECK_EQ_I64(verdict(HTTP1_REQUEST, slice_str(rows[i].text), &p), 0);
        CHECK_EQ_I64(p.head.keep_alive, rows[i].keep);
        CHECK(!p.head.expect_continue);
    }
}

/* `text` with `n` bytes of `fill` in the place of '@', at an answer or a request. */
static int verdict_filled(enum http1_kind kind, const char *text, char fill, size_t n)
{
    struct buf b;
    struct parsed p;
    buf_init(&b, 1 << 20);
    for (const char *c = text; *c != '\0'; c++) {
        for (size_t i = 0; i < (*c == '@' ? n : 1); i++)
            buf_char(&b, *c == '@' ? fill : *c);
    }
    int whole = read_in_steps(kind, buf_view(&b), b.n, &p);
    CHECK_EQ_I64(read_in_steps(kind, buf_view(&b), 1, &p), whole);
    CHECK_EQ_I64(read_in_steps(kind, buf_view(&b), 4097, &p), whole);
    buf_done(&b);
    return whole;
}

TEST(size_limits)
{
    static const char line[] = "GET /@ HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, line, 'a', HTTP_TARGET_MAX - 1), 0);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, line, 'a', HTTP_TARGET_MAX), 414);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, line, 'a', 65536), 414);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, "@", 'A', 10000), 501);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, "@ / HTTP/1.1\r\n\r\n", 'A', 10000), 501);
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n";
    size_t rest = sizeof head - 2;
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, head, 'a', HTTP_HEAD_MAX - rest), 0);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, head, 'a', HTTP_HEAD_MAX - rest + 1), 431);
    CHECK_EQ_I64(verdict_filled(HTTP1_REQUEST, head, 'a', 100000), 431);
    CHECK_EQ_I64(verdict_filled(HTTP1_ANSWER, "HTTP/1.1 200 OK\r\nX: @\r\n\r\n", 'a', 100000), 431);
}

TEST(field_count)
{
    for (unsigned n = HTTP_FIELDS_MAX; n <= HTTP_FIELDS_MAX + 1; n++) {
        struct buf b;
        struct parsed p;
        buf_init(&b, 1 << 20);
        buf_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < n; i++)
            buf_lit(&b, "X: y\r\n");
        buf_lit(&b, "\r\n");
        CHECK_EQ_I64(read_in_steps(HTTP1_REQUEST, buf_view(&b), 7, &p),
                     n > HTTP_FIELDS_MAX ? 431 : 0);
        buf_done(&b);
    }
}

static const struct {
    const char *text;
    bool good;
} answers[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", true},
    {"HTTP/1.1 200 \r\n\r\n", true},
    {"HTTP/1.1 200\r\n\r\n", true},
    {"HTTP/1.0 599 \xC3\xA9\r\n\r\n", true},
    {"HTTP/1.1 100 Continue\r\n\r\n", true},
    {"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", true}, /* 5.1: taken away */
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nContent-Length: 6\r\n\r\n",
     false},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", false},
    {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", false},
    {"HTTP/1.1 200 OK\r\nX\t: a\r\n\r\n", false},
    {"HTTP/1.1 099 x\r\n\r\n", false},
    {"HTTP/1.1 600 x\r\n\r\n", false},
    {"HTTP/1.1 20 OK\r\n\r\n", false},
    {"HTTP/1.1 2000 OK\r\n\r\n", false},
    {"HTTP/1.1  200 OK\r\n\r\n", false},
    {"HTTP/2.0 200 OK\r\n\r\n", false},
    {"ICY 200 OK\r\n\r\n", false},
    {"\r\n\r\n", false},
    {"HTTP/1.1 200 OK\n\n", false},
};

TEST(answers)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct parsed p;
        CHECK_EQ_I64(verdict(HTTP1_ANSWER, slice_str(answers[i].text), &p) == 0, answers[i].good);
    }
}

TEST(answer_framing)
{
    struct parsed p;
    CHECK_EQ_I64(verdict(HTTP1_ANSWER,
                         SLICE("HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n"
                               "Content-Length: 5\r\nRetry-After: 3\r\n\r\n"),
                         &p),
                 0);
    CHECK_EQ_U64(p.head.status, 429);
    CHECK_EQ_LIT(p.head.reason, "Too Many");
    CHECK(p.head.chunked && p.head.content_length == -1);
    CHECK(!p.head.keep_alive); /* 6.1: others may have read it otherwise */
    CHECK_EQ_LIT(http_field_get(&p.head, HTTP_RETRY_AFTER), "3");
    CHECK_EQ_I64(verdict(HTTP1_ANSWER, SLICE("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n"), &p), 0);
    CHECK(p.head.keep_alive && p.head.content_length == 5 && !p.head.chunked);
    CHECK_EQ_I64(verdict(HTTP1_ANSWER,
                         SLICE("HTTP/1.0 200\r\nConnection: keep-alive\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"),
                         &p),
                 0);
    CHECK(!p.head.keep_alive);
}

/* Every byte at every place where a name or a value has it. */
TEST(every_byte)
{
    static const char token_marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        bool token = alnum || (c != 0 && strchr(token_marks, c) != NULL);
        bool value = c == '\t' || (c >= 0x20 && c != 0x7F);
        check_note("byte %d", c);
        CHECK_EQ_I64(http1_is_token(slice_of(&one, 1)), token);
        for (size_t at = 0; at < 19; at++) {
            char text[20] = "aaaaaaaaaaaaaaaaaaa";
            text[at] = one;
            CHECK_EQ_I64(http1_is_value(slice_of(text, 19)), value);
            CHECK_EQ_I64(http1_is_token(slice_of(text, 19)), token);
        }
    }
    CHECK(!http1_is_token(SLICE_NONE));
    CHECK(http1_is_value(SLICE_NONE));
}
