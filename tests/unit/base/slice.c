/* Slices: comparison, trimming, cutting, numbers and the distance between names. */
#include "base/slice.h"

#include "check.h"

TEST(equality)
{
    CHECK(slice_eq(SLICE_NONE, SLICE("")));
    CHECK(slice_eq(SLICE("abc"), slice_of("abcd", 3)));
    CHECK(!slice_eq(SLICE("abc"), SLICE("abd")));
    CHECK(!slice_eq(SLICE("abc"), SLICE("ab")));
    CHECK(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
    CHECK(!slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    CHECK(slice_is(SLICE("name"), "name"));
    CHECK(slice_is(SLICE_NONE, NULL));
    CHECK(!slice_is(SLICE("a\0b"), "a"));
}

TEST(equality_without_case)
{
    CHECK(slice_eq_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    CHECK(slice_eq_nocase(SLICE_NONE, SLICE("")));
    CHECK(!slice_eq_nocase(SLICE("abc"), SLICE("abcd")));
    CHECK(!slice_eq_nocase(SLICE("@"), SLICE("`"))); /* 0x20 apart, but no letters */
    CHECK(!slice_eq_nocase(SLICE("["), SLICE("{")));
    CHECK(!slice_eq_nocase(SLICE("\xC4"), SLICE("\xE4"))); /* ASCII only */
}

TEST(starts_and_rest)
{
    CHECK(slice_starts(SLICE("Bearer x"), SLICE("Bearer ")));
    CHECK(!slice_starts(SLICE("Bear"), SLICE("Bearer")));
    CHECK(slice_starts(SLICE("x"), SLICE("")));
    CHECK(slice_starts(SLICE_NONE, SLICE_NONE));
    CHECK_EQ_LIT(slice_from(SLICE("hello"), 2), "llo");
    CHECK_EQ_LIT(slice_from(SLICE("hello"), 0), "hello");
    CHECK_EQ_LIT(slice_from(SLICE("hello"), 5), "");
    CHECK_EQ_LIT(slice_from(SLICE("hello"), SIZE_MAX), "");
    CHECK_EQ_LIT(slice_from(SLICE_NONE, 0), "");
}

TEST(trim)
{
    CHECK_EQ_LIT(slice_trim(SLICE(" \t a b\t ")), "a b");
    CHECK_EQ_LIT(slice_trim(SLICE(" \t ")), "");
    CHECK_EQ_LIT(slice_trim(SLICE("\na\r")), "\na\r"); /* line ends are not blanks */
    CHECK_EQ_LIT(slice_trim(SLICE_NONE), "");
}

TEST(find_and_cut)
{
    CHECK_EQ_I64(slice_find(SLICE("a=b=c"), '='), 1);
    CHECK_EQ_I64(slice_find(SLICE("abc"), '='), -1);
    CHECK_EQ_I64(slice_find(SLICE_NONE, '='), -1);
    CHECK_EQ_I64(slice_find(SLICE("a\0b"), '\0'), 1);

    struct slice rest = SLICE("one,,three,");
    CHECK_EQ_LIT(slice_cut(&rest, ','), "one");
    CHECK_EQ_LIT(slice_cut(&rest, ','), "");
    CHECK_EQ_LIT(slice_cut(&rest, ','), "three");
    CHECK(rest.p != NULL && rest.n == 0); /* an empty last field is still to come */
    CHECK_EQ_LIT(slice_cut(&rest, ','), "");
    CHECK(rest.p == NULL && rest.n == 0);
    CHECK_EQ_LIT(slice_cut(&rest, ','), "");
}

TEST(to_u64)
{
    static const struct {
        struct slice text;
        bool ok;
        uint64_t value;
    } rows[] = {
        {{"0", 1}, true, 0},
        {{"00017", 5}, true, 17},
        {{"18446744073709551615", 20}, true, UINT64_MAX},
        {{"18446744073709551616", 20}, false, 0},
        {{"99999999999999999999", 20}, false, 0},
        {{"184467440737095516150", 21}, false, 0},
        {{"00000000000000000000000000000001", 32}, true, 1},
        {{"", 0}, false, 0},
        {{NULL, 0}, false, 0},
        {{"-1", 2}, false, 0},
        {{"+1", 2}, false, 0},
        {{" 1", 2}, false, 0},
        {{"1 ", 2}, false, 0},
        {{"1\0", 2}, false, 0},
        {{"0x10", 4}, false, 0},
        {{"12a", 3}, false, 0},
        {{"/", 1}, false, 0}, /* the neighbours of the digits */
        {{":", 1}, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 77;
        check_note("row %zu", i);
        CHECK_EQ_I64(slice_to_u64(rows[i].text, &v), rows[i].ok);
        CHECK_EQ_U64(v, rows[i].ok ? rows[i].value : 77);
    }
}

/* The textbook recursion, for short texts. */
static unsigned naive_distance(struct slice a, struct slice b)
{
    if (a.n == 0 || b.n == 0)
        return (unsigned)(a.n + b.n);
    struct slice x = slice_from(a, 1), y = slice_from(b, 1);
    unsigned best = naive_distance(x, y) + (*a.p != *b.p);
    best = MIN_OF(best, naive_distance(a, y) + 1);
    return MIN_OF(best, naive_distance(x, b) + 1);
}

TEST(distance)
{
    char long_name[65];
    memset(long_name, 'a', sizeof long_name);
    CHECK_EQ_U64(slice_distance(SLICE("kitten"), SLICE("sitting"), 10), 3);
    CHECK_EQ_U64(slice_distance(SLICE("temperature"), SLICE("temprature"), 3), 1);
    CHECK_EQ_U64(slice_distance(SLICE("Retries"), SLICE("retries"), 3), 0);
    CHECK_EQ_U64(slice_distance(SLICE("abc"), SLICE("xyz"), 1), 2);
    CHECK_EQ_U64(slice_distance(SLICE(""), SLICE("abc"), 9), 3);
    CHECK_EQ_U64(slice_distance(SLICE_NONE, SLICE_NONE, 9), 0);
    CHECK_EQ_U64(slice_distance(slice_of(long_name, 64), slice_of(long_name, 64), 9), 0);
    CHECK_EQ_U64(slice_distance(slice_of(long_name, 65), slice_of(long_name, 65), 9), 10);
    for (int round = 0; round < 2000; round++) {
        char a[5], b[5];
        for (size_t i = 0; i < 5; i++) {
            a[i] = (char)('a' + check_random_below(3));
            b[i] = (char)('a' + check_random_below(3));
        }
        struct slice x = slice_of(a, check_random_below(6)), y = slice_of(b, check_random_below(6));
        CHECK_EQ_U64(slice_distance(x, y, 9), naive_distance(x, y));
    }
}
