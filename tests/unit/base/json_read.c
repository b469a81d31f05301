/* Access to parsed documents: nodes, strings, keys, numbers, duplicates. */
#include "base/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "check.h"

static struct json_parser *parser;

static struct json_doc parse_flags(struct slice text, unsigned flags)
{
    struct json_doc d;
    if (parser == NULL)
        parser = json_parser_new();
    CHECK(parser != NULL);
    CHECK_EQ_STR(json_error_text(json_parse(parser, text, flags, &d)), "no error");
    return d;
}

static struct json_doc parse(const char *text)
{
    return parse_flags(slice_str(text), 0);
}

/* The tests share one parser, so that each also runs on memory that others have used. */
__attribute__((destructor)) static void free_parser(void)
{
    json_parser_free(parser);
}

TEST(walking)
{
    struct json_doc d = parse(" { \"a\" : [ 1 , [ ] , \"x\" ] , \"b\" : { } , \"c\" : true } ");
    static const struct {
        const char *raw;
        enum json_type type;
        uint32_t next;
    } want[] = {
        {"{ \"a\" : [ 1 , [ ] , \"x\" ] , \"b\" : { } , \"c\" : true }", JSON_OBJECT, 10},
        {"\"a\"", JSON_STRING, 2},
        {"[ 1 , [ ] , \"x\" ]", JSON_ARRAY, 6},
        {"1", JSON_NUMBER, 4},
        {"[ ]", JSON_ARRAY, 5},
        {"\"x\"", JSON_STRING, 6},
        {"\"b\"", JSON_STRING, 7},
        {"{ }", JSON_OBJECT, 8},
        {"\"c\"", JSON_STRING, 9},
        {"true", JSON_TRUE, 10},
    };
    CHECK_EQ_U64(d.count, ARRAY_LEN(want));
    for (uint32_t i = 0; i < d.count; i++) {
        check_note("node %u", i);
        CHECK_EQ_SLICE(json_raw(&d, i), slice_str(want[i].raw));
        CHECK_EQ_STR(json_type_name(json_type_at(&d, i)), json_type_name(want[i].type));
        CHECK_EQ_U64(json_after(&d, i), want[i].next);
    }
    CHECK_EQ_U64(json_get(&d, 0, SLICE("a")), 2);
    CHECK_EQ_U64(json_get(&d, 0, SLICE("b")), 7);
    CHECK_EQ_U64(json_get(&d, 0, SLICE("c")), 9);
    CHECK_EQ_U64(json_get(&d, 0, SLICE("x")), 0); /* a value, no key */
    CHECK_EQ_U64(json_get(&d, 0, SLICE("")), 0);
    CHECK_EQ_U64(json_get(&d, 7, SLICE("c")), 0);
    CHECK_EQ_LIT(json_inner(&d, 5), "x");
}

TEST(names_of_types_and_errors)
{
    struct json_doc d = parse("[null,false,true,-1,\"\",[],{}]");
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};
    enum json_type t = JSON_NULL;
    for (uint32_t i = json_first(&d, 0); i < json_end(&d, 0); i = json_after(&d, i), t++) {
        CHECK_EQ_I64(json_type_at(&d, i), t);
        CHECK_EQ_STR(json_type_name(t), names[t]);
    }
    for (int e = JSON_OK; e <= JSON_NO_MEMORY; e++)
        CHECK(strcmp(json_error_text((enum json_error)e), "unknown error") != 0);
    CHECK_EQ_STR(json_error_text((enum json_error)99), "unknown error");
}

/* A key cannot hide behind escapes, and an escaped one is no other key. */
TEST(keys_compare_unescaped)
{
    static const struct {
        const char *written, *name;
        bool same;
    } rows[] = {
        {"model", "model", true},
        {"mod\\u0065l", "model", true},
        {"\\u006d\\u006F\\u0064\\u0065\\u006c", "model", true},
        {"mod\\u0045l", "model", false},
        {"Model", "model", false},
        {"mode", "model", false},
        {"models", "model", false},
        {"mode\\u006cs", "model", false},
        {"mod\\\\u0065l", "model", false},
        {"mod\\\\u0065l", "mod\\u0065l", true},
        {"a\\/b", "a/b", true},
        {"a\\\\b", "a\\b", true},
        {"a\\\"b", "a\"b", true},
        {"\\b\\f\\n\\r\\t", "\b\f\n\r\t", true},
        {"\\u000a", "\n", true},
        {"\\u00e9", "\xC3\xA9", true},
        {"\\u20ac", "\xE2\x82\xAC", true},
        {"\\ud83d\\ude00", "\xF0\x9F\x98\x80", true},
        {"", "", true},
        {"\\u0000", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[200];
        check_note("key %s", rows[i].written);
        snprintf(text, sizeof text, "{\"%s\":1}", rows[i].written);
        struct json_doc d = parse(text);
        CHECK_EQ_I64(json_string_is(&d, 1, slice_str(rows[i].name)), rows[i].same);
        CHECK_EQ_U64(json_get(&d, 0, slice_str(rows[i].name)), rows[i].same ? 2 : 0);
    }
    struct json_doc d = parse("{\"a\\u0000b\":1}");
    CHECK(json_string_is(&d, 1, SLICE("a\0b")));
    CHECK(!json_string_is(&d, 1, SLICE("a")));
}

/* A peer may escape every key it sends, whatever the length of the name it is compared with. */
TEST(long_names)
{
    char text[2000], name[300];
    for (size_t n = 1; n < sizeof name; n += 17) {
        size_t at = 2;
        memcpy(text, "[\"", 2);
        for (size_t i = 0; i < n; i++) {
            name[i] = (char)('a' + i % 26);
            at += (size_t)snprintf(text + at, sizeof text - at, "\\u%04x", name[i]);
        }
        memcpy(text + at, "\"]", 2);
        struct json_doc d = parse_flags(slice_of(text, at + 2), 0);
        CHECK(json_string_is(&d, 1, slice_of(name, n)));
        CHECK(!json_string_is(&d, 1, slice_of(name, n - 1)));
        name[n] = 'x';
        CHECK(n + 1 >= sizeof name || !json_string_is(&d, 1, slice_of(name, n + 1)));
    }
}

TEST(first_of_two_members_is_found)
{
    struct json_doc d = parse("{\"b\":0,\"a\":1,\"\\u0061\":2}");
    CHECK_EQ_U64(json_get(&d, 0, SLICE("a")), 4);
    CHECK_EQ_LIT(json_raw(&d, 4), "1");
}

TEST(unescape)
{
    static const struct {
        struct slice inner, want;
    } rows[] = {
        {SLICE(""), SLICE("")},
        {SLICE("plain"), SLICE("plain")},
        {SLICE("\\\"\\\\\\/\\b\\f\\n\\r\\t"), SLICE("\"\\/\b\f\n\r\t")},
        {SLICE("\\u0000x"), SLICE("\0x")},
        {SLICE("\\u007f\\u0080\\u07ff\\u0800\\uffff"),
         SLICE("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF")},
        {SLICE("\\ud800\\udc00\\udbff\\udfff"), SLICE("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
        {SLICE("\\uD83D\\uDE00"), SLICE("\xF0\x9F\x98\x80")},
        {SLICE("\\\\u0041"), SLICE("\\u0041")},
        {SLICE("\xC3\xA9\\n\xC3\xA9"), SLICE("\xC3\xA9\n\xC3\xA9")},
        /* halves of pairs: each becomes U+FFFD */
        {SLICE("\\ud800"), SLICE("\xEF\xBF\xBD")},
        {SLICE("\\udc00"), SLICE("\xEF\xBF\xBD")},
        {SLICE("a\\ud83dz"), SLICE("a\xEF\xBF\xBDz")},
        {SLICE("\\ud83d\\n"), SLICE("\xEF\xBF\xBD\n")},
        {SLICE("\\ud83d\\u0041"), SLICE("\xEF\xBF\xBD"
                                        "A")},
        {SLICE("\\ud83d\\ue000"), SLICE("\xEF\xBF\xBD\xEE\x80\x80")},
        {SLICE("\\ude00\\ud83d"), SLICE("\xEF\xBF\xBD\xEF\xBF\xBD")},
        {SLICE("\\ud83d\\ud83d\\ude00"), SLICE("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
        {SLICE("\\ud83d\\ude00\\ude00"), SLICE("\xF0\x9F\x98\x80\xEF\xBF\xBD")},
    };
    struct arena a;
    arena_init(&a, NULL, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        struct slice text = arena_printf(&a, "\"" SLICE_FMT "\"", SLICE_ARG(rows[i].inner));
        char *out = mem_alloc(rows[i].inner.n + 1); /* exact, for the address sanitizer */
        struct json_doc d = parse_flags(text, JSON_ALLOW_LONE_SURROGATES);
        CHECK_EQ_SLICE(json_inner(&d, 0), rows[i].inner);
        CHECK_EQ_I64(d.nodes[0].escaped, slice_find(rows[i].inner, '\\') >= 0);
        size_t n = json_unescape(rows[i].inner, out);
        struct slice got = slice_of(out, n);
        CHECK_EQ_SLICE(got, rows[i].want);
        CHECK_EQ_SLICE(json_string(&d, 0, &a), rows[i].want);
        CHECK(json_string_is(&d, 0, rows[i].want));
        mem_free(out);
    }
    arena_reset(&a);
}

TEST(strings_without_escapes_are_not_copied)
{
    struct arena none;
    arena_init(&none, NULL, 0);
    struct json_doc d = parse("[\"in place\",\"a\\nb\",\"\"]");
    CHECK(json_string(&d, 1, &none).p == d.text + 2);
    CHECK(json_string(&d, 2, &none).p == NULL); /* no memory */
    CHECK(json_string(&d, 3, &none).p != NULL && json_string(&d, 3, &none).n == 0);
}

TEST(integers)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"7", true, 7},
        {"-7", true, -7},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775807", true, -INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"18446744073709551615", false, 0},
        {"18446744073709551616", false, 0},
        {"-18446744073709551616", false, 0},
        {"99999999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e0", false, 0},
        {"1E2", false, 0},
        {"0.5", false, 0},
        {"\"1\"", false, 0},
        {"\"-1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[]", false, 0},
        {"[1]", false, 0},
        {"{}", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 77;
        check_note("%s", rows[i].text);
        struct json_doc d = parse(rows[i].text);
        CHECK_EQ_I64(json_i64(&d, 0, &v), rows[i].ok);
        CHECK_EQ_I64(v, rows[i].ok ? rows[i].want : 77);
    }
}

TEST(doubles)
{
    static const struct {
        const char *text;
        bool ok;
        double want;
    } rows[] = {
        {"0", true, 0},
        {"-0.0", true, -0.0},
        {"0.1", true, 0.1},
        {"-2.5e3", true, -2500},
        {"1E+2", true, 100},
        {"9007199254740993", true, 9007199254740992}, /* ties to even */
        {"9007199254740993.0000000000000000000000000000000000000000000001", true, 9007199254740994},
        {"0.10000000000000000000000000000000000000000000000000000000000000000000000001", true, 0.1},
        {"100000000000000000000000000000000000000000000000000000000000000000000000000", true, 1e74},
        {"1.7976931348623157e308", true, DBL_MAX},
        {"1.7976931348623159e308", false, 0},
        {"1e309", false, 0},
        {"-1e309", false, 0},
        {"1e99999999999999999999", false, 0},
        {"2.2250738585072014e-308", true, DBL_MIN},
        {"4.9e-324", true, 4.9e-324},
        {"1e-400", true, 0},
        {"0e99999999999999999999", true, 0},
        {"2.2250738585072011e-308", true, 2.2250738585072011e-308}, /* once hung PHP and Java */
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"[1]", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double v = 77;
        check_note("%s", rows[i].text);
        struct json_doc d = parse(rows[i].text);
        CHECK_EQ_I64(json_double(&d, 0, &v), rows[i].ok);
        CHECK_EQ_DOUBLE(v, rows[i].ok ? rows[i].want : 77);
        CHECK(!rows[i].ok || !signbit(v) == (rows[i].text[0] != '-'));
    }
    for (int i = 0; i < 3000; i++) {
        char text[40];
        uint64_t bits = check_random();
        double want, v;
        memcpy(&want, &bits, sizeof want);
        if (!isfinite(want))
            continue;
        snprintf(text, sizeof text, "%.17g", want);
        struct json_doc d = parse(text);
        CHECK(json_double(&d, 0, &v));
        CHECK_EQ_DOUBLE(v, want);
    }
}

TEST(long_numbers)
{
    char text[5000];
    double v;
    memset(text, '9', sizeof text);
    text[1] = '.';
    for (size_t n = 3; n < sizeof text; n += 61) {
        struct json_doc d = parse_flags(slice_of(text, n), 0);
        CHECK(json_double(&d, 0, &v) && v > 9.89 && v <= 10);
    }
}

TEST(long_number_without_memory)
{
    check_needs_torture();
    struct json_doc d =
        parse("0.33333333333333333333333333333333333333333333333333333333333333333333");
    double v = 77;
    mem_torture(1);
    bool ok = json_double(&d, 0, &v);
    mem_torture(0);
    CHECK(!ok && v > 76);
}

TEST(duplicates)
{
    static const struct {
        const char *text;
        uint32_t key; /* the second of the two */
    } rows[] = {
        {"{}", 0},
        {"{\"a\":1}", 0},
        {"{\"a\":1,\"b\":2}", 0},
        {"{\"a\":1,\"a\":2}", 3},
        {"{\"a\":1,\"b\":2,\"a\":3}", 5},
        {"{\"a\":1,\"\\u0061\":2}", 3},
        {"{\"\\u0061\":1,\"\\u0061\":2}", 3},
        {"{\"a\":1,\"A\":2}", 0},
        {"{\"a\":{\"a\":1}}", 0},
        {"{\"a\":\"a\",\"b\":\"a\"}", 0},
        {"{\"\":1,\"\":2}", 3},
        {"{\"\\n\":1,\"\\u000a\":2}", 3},
        {"{\"\\/\":1,\"/\":2}", 3},
        {"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}", 3},
        {"{\"\\\\n\":1,\"\\n\":2}", 0},
        {"{\"a\":[1,2,3],\"b\":{\"x\":1,\"x\":2},\"c\":0}", 0}, /* not in this object */
        {"{\"a\":[1,2,3],\"b\":{\"x\":1,\"y\":2},\"a\":0}", 12},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].text);
        struct json_doc d = parse(rows[i].text);
        CHECK_EQ_U64(json_duplicate_key(parser, &d, 0), rows[i].key);
    }
}

/* An object of `keys` members, each name `width` digits wide; the last one repeats member `twice`,
 * or none when that is past the end. Half of the names have an escape. */
static struct slice many_members(struct arena *a, unsigned keys, int width, unsigned twice)
{
    size_t room = (size_t)keys * ((size_t)width + 20), n = 0;
    char *text = arena_alloc(a, room);
    CHECK(text != NULL);
    for (unsigned i = 0; i < keys; i++) {
        unsigned name = i == keys - 1 && twice < i ? twice : i;
        n += (size_t)snprintf(text + n, room - n, "%s\"%s%0*u\":%u", i ? "," : "{",
                              check_random_below(2) ? "\\u006b" : "k", width, name, i);
    }
    text[n++] = '}';
    return slice_of(text, n);
}

TEST(duplicates_among_many)
{
    static const unsigned keys[] = {2, 31, 32, 33, 64, 65, 1000, 5000};
    struct arena a;
    arena_init(&a, NULL, 1 << 26);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        int width = i % 2 ? 600 : 1; /* longer than the buffer on the stack */
        unsigned twice = (unsigned)check_random_below(keys[i] - 1);
        check_note("%u keys", keys[i]);
        struct json_doc d = parse_flags(many_members(&a, keys[i], width, keys[i]), 0);
        CHECK_EQ_U64(json_duplicate_key(parser, &d, 0), 0);
        d = parse_flags(many_members(&a, keys[i], width, twice), 0);
        CHECK_EQ_U64(json_duplicate_key(parser, &d, 0), 2 * keys[i] - 1);
        arena_reset(&a);
    }
}

/* Large documents, then small ones: the scratch memory shrinks and grows again. */
TEST(large_and_small_in_turn)
{
    enum { elements = 1500000 };
    char *text = mem_alloc(2 * elements + 2);
    CHECK(text != NULL);
    for (size_t i = 0; i < elements; i++)
        memcpy(text + 2 * i, i ? ",7" : "[7", 2);
    text[2 * elements] = ']';
    for (int round = 0; round < 3; round++) {
        struct json_doc d = parse_flags(slice_of(text, 2 * elements + 1), 0);
        CHECK_EQ_U64(d.count, elements + 1);
        CHECK_EQ_U64(d.nodes[elements].off, 2 * elements - 1);
        d = parse("[1]");
        CHECK_EQ_U64(d.count, 2);
    }
    mem_free(text);
}

TEST(parsers_are_apart)
{
    struct json_parser *other = json_parser_new();
    struct json_doc a = parse("{\"a\":1}"), b;
    CHECK(other != NULL);
    CHECK(json_parse(other, SLICE("[1,2,3]"), 0, &b) == JSON_OK);
    CHECK(a.count == 3 && b.count == 4 && json_get(&a, 0, SLICE("a")) == 2);
    CHECK(json_parse(other, SLICE("[1,2,"), 0, &b) == JSON_BAD_SYNTAX);
    CHECK(b.nodes == NULL && b.count == 0);
    CHECK(json_parse(other, SLICE("[1,2]"), 0, &b) == JSON_OK); /* an error leaves no trace */
    json_parser_free(other);
    json_parser_free(NULL);
}

TEST(latest_document)
{
    struct json_parser *other = json_parser_new();
    struct json_doc a = parse("{\"a\":1}"), b, bad, none = {.text = NULL};
    CHECK(other != NULL);
    CHECK(json_is_latest(parser, &a) && !json_is_latest(parser, &none));
    CHECK(!json_is_latest(other, &a) && !json_is_latest(other, &none));
    CHECK(json_parse(other, SLICE("[1]"), 0, &b) == JSON_OK);
    CHECK(json_is_latest(other, &b) && json_is_latest(parser, &a));
    CHECK(!json_is_latest(parser, &b) && !json_is_latest(other, &a));
    CHECK(json_duplicate_key(parser, &a, 0) == 0 && json_is_latest(parser, &a));
    CHECK(json_parse(other, SLICE("[1,"), 0, &bad) == JSON_BAD_SYNTAX);
    CHECK(!json_is_latest(other, &b) && !json_is_latest(other, &bad));
    for (unsigned i = 0; i < 3000; i++) { /* no number comes twice */
        CHECK(json_parse(other, SLICE("[1]"), 0, &b) == JSON_OK);
        CHECK(json_is_latest(other, &b) && !json_is_latest(parser, &b));
    }
    CHECK(json_is_latest(parser, &a));
    json_parser_free(other);
}

static void use_everything(void *arg)
{
    struct slice *text = arg;
    struct json_doc d;
    struct json_parser *p = json_parser_new();
    if (p == NULL)
        return;
    enum json_error e = json_parse(p, *text, 0, &d);
    if (e == JSON_OK) {
        struct arena a;
        double v;
        arena_init(&a, NULL, 1 << 20);
        CHECK(json_duplicate_key(p, &d, 0) != 0); /* there is one, or no memory to deny it */
        (void)!json_string(&d, 1, &a).p;
        (void)!json_double(&d, json_get(&d, 0, SLICE("long")), &v);
        arena_reset(&a);
        e = json_parse(p, SLICE("[]"), 0, &d);
    }
    CHECK(e == JSON_OK || e == JSON_NO_MEMORY);
    json_parser_free(p);
}

TEST(torture)
{
    struct buf b;
    buf_init(&b, 10000);
    buf_lit(&b, "{\"mod\\u0065l\":\"m\",\"n\":12.5,\"\\u006e\":1,\"a\":[1");
    while (b.n < 3000) /* more nodes than a parser starts with */
        buf_lit(&b, ",1");
    buf_printf(&b, "],\"%0600d\":0,\"long\":1%0100d.5e1}", 0, 0);
    CHECK(!b.failed);
    struct slice text = buf_view(&b);
    CHECK(check_torture(use_everything, &text) >= 5);
    buf_done(&b);
}
