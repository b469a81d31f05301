/* The chunked coding (RFC 9112 section 7.1): every split point gives the same body, and whatever is
 * doubtful is refused. */
#include <stdio.h>

#include "base/buf.h"
#include "check.h"
#include "http1.h"

struct result {
    int verdict; /* 2: complete, 0: more is awaited, -1 */
    size_t used;
    struct buf data;
};

static void feed(struct http1_chunked *c, struct slice in, struct result *r)
{
    struct slice piece;
    size_t before = in.n;
    while ((r->verdict = http1_chunked_next(c, &in, &piece)) == 1) {
        CHECK(piece.n > 0);
        buf_slice(&r->data, piece);
    }
    r->used += before - in.n;
}

/* Decodes `text` cut at two places. */
static struct result decode(struct slice text, size_t first, size_t second)
{
    struct http1_chunked c = {0};
    struct result r = {.used = 0};
    size_t cuts[] = {0, first, second, text.n};
    buf_init(&r.data, 1 << 20);
    for (size_t i = 0; i + 1 < ARRAY_LEN(cuts) && r.verdict == 0; i++)
        feed(&c, slice_of(text.p + cuts[i], cuts[i + 1] - cuts[i]), &r);
    return r;
}

/* At every pair of split points. */
static void check_decodes(struct slice text, int verdict, struct slice data, size_t used)
{
    for (size_t a = 0; a <= text.n; a++) {
        for (size_t b = a; b <= text.n; b++) {
            struct result r = decode(text, a, b);
            check_note("\"%.*s\" cut at %zu and %zu", (int)MIN_OF(text.n, (size_t)100), text.p, a,
                       b);
            CHECK_EQ_I64(r.verdict, verdict);
            CHECK(verdict < 0 || slice_eq(buf_view(&r.data), data));
            CHECK(verdict < 0 || r.used == used);
            buf_done(&r.data);
        }
    }
}

#define DECODES(text, data) check_decodes(SLICE(text), 2, SLICE(data), sizeof(text) - 1)

TEST(good)
{
    DECODES("0\r\n\r\n", "");
    DECODES("5\r\nhello\r\n0\r\n\r\n", "hello");
    DECODES("2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n", "ab0123456789");
    DECODES("0000000000000001\r\na\r\n0\r\n\r\n", "a");
    DECODES("1;a\r\nx\r\n1; a = \"b;\\\"\" \r\ny\r\n0;z\r\n\r\n", "xy");
    DECODES("1\r\n\n\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n", "\n");
    check_decodes(SLICE("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1"), 2, SLICE("a"), 11);
}

TEST(incomplete)
{
    static const char text[] = "3\r\nabc\r\n0;x\r\nA: b\r\n\r\n";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct result r = decode(slice_of(text, n), n / 3, n / 2);
        CHECK_EQ_I64(r.verdict, 0);
        CHECK_EQ_U64(r.used, n);
        buf_done(&r.data);
    }
}

TEST(bad)
{
    static const char *const bodies[] = {
        "\r\n",
        ";x\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\n",
        "-1\r\n",
        " 5\r\n",
        "5 \r\n",
        "5\t\r\n",
        "_5\r\n",
        "g\r\n",
        "5\nhello\r\n",
        "5\rhello",
        "5\r\nhelloXX",
        "5\r\nhello\n0",
        "5\r\nhello\rX",
        "5;a\nb\r\n",
        "5;a\rb",
        "5;a\x01\r\n",
        "5;a\x7f\r\n",
        "00000000000000001\r\na\r\n",
        "FFFFFFFFFFFFFFFF1\r\n",
        "8000000000000000\r\n",
        "0\r\nbad line\r\n\r\n",
        "0\r\nbad\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\na@b: y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\rz\r\n\r\n",
        "0\r\nX: \x01\r\n\r\n",
        "0\r\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        check_decodes(slice_str(bodies[i]), -1, SLICE_NONE, 0);
    check_decodes(slice_of("5;a\0\r\n", 6), -1, SLICE_NONE, 0);
}

TEST(largest_size_is_taken)
{
    struct http1_chunked c = {0};
    struct slice in = SLICE("7fffffffffffffff\r\nab"), piece;
    CHECK_EQ_I64(http1_chunked_next(&c, &in, &piece), 1);
    CHECK_EQ_LIT(piece, "ab");
    CHECK_EQ_U64(c.left, (uint64_t)INT64_MAX - 2);
}

/* A body of `n` times `text`, decoded in one go. */
static int verdict_of_many(const char *text, size_t n)
{
    struct http1_chunked c = {0};
    struct slice piece;
    int r = 0;
    for (size_t i = 0; i < n && r >= 0; i++) {
        struct slice in = slice_str(text);
        while ((r = http1_chunked_next(&c, &in, &piece)) == 1) {
        }
    }
    return r;
}

TEST(overhead_is_bounded)
{
    CHECK_EQ_I64(verdict_of_many("1\r\na\r\n", 10000), 0);
    CHECK_EQ_I64(verdict_of_many("1\r\na\r\n", 100000), -1); /* five bytes for one */
    CHECK_EQ_I64(verdict_of_many("2\r\nab\r\n", 1000000), 0);
    CHECK_EQ_I64(verdict_of_many("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n", 5000), -1);
}

TEST(lines_are_bounded)
{
    struct buf b;
    struct result r;
    for (size_t n = 250; n < 260; n++) {
        buf_init(&b, 1024);
        buf_lit(&b, "1;");
        for (size_t i = 2; i < n; i++)
            buf_char(&b, 'x');
        buf_lit(&b, "\r\na\r\n0\r\n\r\n");
        r = decode(buf_view(&b), n / 2, n);
        check_note("a line of %zu bytes", n);
        CHECK_EQ_I64(r.verdict, n + 1 <= 256 ? 2 : -1);
        buf_done(&r.data);
        buf_done(&b);
    }
}

TEST(trailers_are_bounded)
{
    for (size_t n = HTTP_TRAILER_MAX - 10; n < HTTP_TRAILER_MAX + 10; n++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_lit(&b, "0\r\nX:");
        for (size_t i = 2; i + 4 < n; i++)
            buf_char(&b, 'x');
        buf_lit(&b, "\r\n\r\n");
        struct result r = decode(buf_view(&b), 4, n);
        CHECK_EQ_I64(r.verdict, n <= HTTP_TRAILER_MAX ? 2 : -1);
        buf_done(&r.data);
        buf_done(&b);
    }
}

TEST(header_of_a_chunk)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        for (int step = -1; step <= 1; step++) {
            char got[18], want[32];
            size_t n = ((size_t)1 << bits) + (size_t)step;
            size_t len = http1_chunk_header(n, got);
            snprintf(want, sizeof want, "%zx\r\n", n);
            CHECK_EQ_SLICE(slice_of(got, len), slice_str(want));
        }
    }
}
