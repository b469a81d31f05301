/* The capped buffer: ceiling, failure that sticks, numbers, torture. */
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

#include "check.h"

TEST(appends)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    CHECK(b.p == NULL && buf_view(&b).n == 0);
    buf_append(&b, NULL, 0);
    CHECK(b.p == NULL);
    buf_lit(&b, "one");
    buf_char(&b, ' ');
    buf_slice(&b, SLICE("two"));
    buf_slice(&b, SLICE_NONE);
    buf_printf(&b, "%s%d", " ", 3);
    buf_printf(&b, "%s", "");
    buf_i64(&b, -4);
    CHECK_EQ_LIT(buf_view(&b), "one two 3-4");
    buf_consume(&b, 4);
    CHECK_EQ_LIT(buf_view(&b), "two 3-4");
    buf_consume(&b, 0);
    buf_consume(&b, 7);
    CHECK(b.n == 0 && !b.failed);
    buf_consume(&b, 0);
    buf_done(&b);
    CHECK(b.p == NULL && b.cap == 1 << 20);
    buf_lit(&b, "again");
    CHECK_EQ_LIT(buf_view(&b), "again");
    buf_done(&b);
    buf_done(&b);
}

TEST(long_texts)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t n = 0; n < 3000; n += 37) {
        buf_reset(&b);
        buf_printf(&b, "%0*d%s", (int)n + 1, 7, "!");
        CHECK_EQ_U64(b.n, n + 2);
        CHECK(b.p[n] == '7' && b.p[n + 1] == '!' && (n == 0 || b.p[0] == '0'));
    }
    buf_done(&b);
}

/* Adds `n` bytes in one of several ways. */
static void add(struct buf *b, size_t n, unsigned how)
{
    char text[400];
    memset(text, 'x', sizeof text);
    text[n] = '\0';
    if (how == 0)
        buf_append(b, text, n);
    else if (how == 1)
        buf_printf(b, "%s", text);
    else
        for (size_t i = 0; i < n; i++)
            buf_char(b, 'x');
}

TEST(ceiling_is_exact)
{
    for (size_t cap = 1; cap < 400; cap++) {
        for (unsigned how = 0; how < 3; how++) {
            struct buf b;
            check_note("ceiling %zu, way %u", cap, how);
            buf_init(&b, cap);
            add(&b, cap / 2, how);
            add(&b, cap - cap / 2, how);
            CHECK(!b.failed);
            CHECK_EQ_U64(b.n, cap);
            CHECK(b.size <= cap);
            add(&b, 1, how);
            CHECK(b.failed);
            CHECK_EQ_U64(b.n, cap);
            buf_done(&b);
        }
    }
}

TEST(number_at_the_ceiling)
{
    struct buf b;
    buf_init(&b, 3);
    buf_i64(&b, -12);
    CHECK(!b.failed);
    CHECK_EQ_LIT(buf_view(&b), "-12");
    buf_i64(&b, 0);
    CHECK(b.failed);
    CHECK_EQ_LIT(buf_view(&b), "-12");
    buf_done(&b);
}

TEST(failure_sticks)
{
    struct buf b;
    buf_init(&b, 5);
    buf_lit(&b, "abc");
    buf_lit(&b, "def");
    CHECK(b.failed);
    buf_char(&b, 'x'); /* would fit, but the text would have a hole */
    buf_i64(&b, 1);
    buf_printf(&b, "y");
    CHECK(!buf_reserve(&b, 1));
    CHECK_EQ_LIT(buf_view(&b), "abc");
    buf_reset(&b);
    CHECK(!b.failed);
    buf_lit(&b, "12345");
    CHECK_EQ_LIT(buf_view(&b), "12345");
    buf_done(&b);
}

TEST(reserve)
{
    struct buf b;
    buf_init(&b, 1000);
    CHECK(buf_reserve(&b, 0));
    CHECK(buf_reserve(&b, 1000));
    memset(b.p, 'r', 1000);
    b.n = 1000;
    CHECK(buf_reserve(&b, 0));
    CHECK(!buf_reserve(&b, 1));
    buf_reset(&b);
    b.n = 10;
    CHECK(!buf_reserve(&b, SIZE_MAX)); /* the sum overflows */
    buf_done(&b);
    buf_init(&b, SIZE_MAX);
    CHECK(!buf_reserve(&b, SIZE_MAX / 2 + 2)); /* must come to an end */
    buf_done(&b);
}

TEST(numbers)
{
    static const int64_t values[] = {0,   1,     -1,        9,         10,        -10,          99,
                                     100, 12345, INT32_MIN, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(values) + 1000; i++) {
        char want[32];
        int64_t v =
            i < ARRAY_LEN(values) ? values[i] : (int64_t)check_random() >> check_random_below(64);
        snprintf(want, sizeof want, "%" PRId64, v);
        buf_reset(&b);
        buf_i64(&b, v);
        CHECK_EQ_SLICE(buf_view(&b), slice_str(want));
    }
    char digits[20];
    CHECK_EQ_U64(u64_digits(UINT64_MAX, digits), 20);
    CHECK_EQ_SLICE(slice_of(digits, 20), SLICE("18446744073709551615"));
    CHECK_EQ_U64(u64_digits(0, digits), 1);
    buf_done(&b);
}

static void consume_too_much(void *arg)
{
    buf_consume(arg, 1);
}

TEST(consume_checks_its_caller)
{
    struct buf b;
    buf_init(&b, 10);
    CHECK_ABORTS(consume_too_much, &b);
}

static void build(void *arg)
{
    struct buf b;
    (void)arg;
    buf_init(&b, 100000);
    for (int i = 0; i < 300; i++) {
        size_t before = b.n;
        bool failed = b.failed;
        buf_printf(&b, "%0*d", i, i);
        buf_i64(&b, i);
        CHECK(!failed || b.n == before);
    }
    CHECK(b.failed || b.n > 300 * 150);
    buf_done(&b);
}

TEST(torture)
{
    CHECK(check_torture(build, NULL) >= 8);
}
