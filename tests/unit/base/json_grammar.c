/* What json_parse accepts and refuses, and why: RFC 8259 text by text, in the manner of Nicolas
 * Seriot's "Parsing JSON is a minefield". */
#include "base/json.h"

#include "base/mem.h"
#include "check.h"

static const struct slice accepted[] = {
    /* scalars at the root */
    SLICE("null"),
    SLICE("true"),
    SLICE("false"),
    SLICE("0"),
    SLICE("-0"),
    SLICE("7"),
    SLICE("\"\""),
    SLICE("\"a\""),
    SLICE("[]"),
    SLICE("{}"),
    SLICE(" \t\r\n0\n\r\t "),
    SLICE("\ntrue"),
    SLICE("null\n"),
    SLICE("\r\"x\"\t"),
    /* arrays */
    SLICE("[ ]"),
    SLICE("[\n]"),
    SLICE("[null]"),
    SLICE("[1,2]"),
    SLICE("[1 , 2]"),
    SLICE("[[]]"),
    SLICE("[[],[]]"),
    SLICE("[[[1],2],3]"),
    SLICE("[\"\"]"),
    SLICE("[\"a\",\"b\"]"),
    SLICE("[true,false,null]"),
    SLICE("[{}]"),
    SLICE("[{},{}]"),
    SLICE("[1,[2,{\"a\":[3]}]]"),
    SLICE("[\"],[\"]"),
    SLICE("[\"{\\\"\"]"),
    SLICE(" [ 1 ,\t2\r\n, 3 ] "),
    /* objects */
    SLICE("{ }"),
    SLICE("{\"\":0}"),
    SLICE("{\"a\":null}"),
    SLICE("{\"a\":1,\"b\":2}"),
    SLICE("{ \"a\" : 1 , \"b\" : 2 }"),
    SLICE("{\"a\":{\"a\":{\"a\":{}}}}"),
    SLICE("{\"a\":[]}"),
    SLICE("{\"a\":1,\"a\":1}"), /* duplicates are the caller's business */
    SLICE("{\"\\u0061\":1}"),
    SLICE("{\":\":\":\"}"),
    SLICE("{\",\":\",\"}"),
    SLICE("{\"}\":\"{\"}"),
    SLICE("{\"a\":[1,2,{\"b\":\"c\"}],\"d\":{}}"),
    SLICE("{\n\"a\"\n:\n1\n}"),
    /* numbers */
    SLICE("1"),
    SLICE("-1"),
    SLICE("10"),
    SLICE("-10"),
    SLICE("1234567890"),
    SLICE("0.0"),
    SLICE("0.5"),
    SLICE("-0.5"),
    SLICE("1.25"),
    SLICE("0e0"),
    SLICE("0E0"),
    SLICE("1e1"),
    SLICE("1e+1"),
    SLICE("1e-1"),
    SLICE("1E+01"),
    SLICE("1.5e10"),
    SLICE("-1.5E-10"),
    SLICE("1e00000"),
    SLICE("0.00"),
    SLICE("0.123456789012345678901234567890"),
    SLICE("1e400"),
    SLICE("-1e400"),
    SLICE("1e-400"),
    SLICE("123456789012345678901234567890"),
    SLICE("9223372036854775807"),
    SLICE("-9223372036854775808"),
    SLICE("18446744073709551616"),
    SLICE("[1e1000,2]"),
    SLICE("[-0,-0.0,-0e0]"),
    SLICE("1 "),
    SLICE("[1\n]"),
    /* strings */
    SLICE("\" \""),
    SLICE("\"\x7F\""),
    SLICE("\"/\""),
    SLICE("\"\\\"\""),
    SLICE("\"\\\\\""),
    SLICE("\"\\/\""),
    SLICE("\"\\b\\f\\n\\r\\t\""),
    SLICE("\"\\u0000\""),
    SLICE("\"\\u001f\""),
    SLICE("\"\\uABCD\\uabcd\""),
    SLICE("\"\\u00e9\""),
    SLICE("\"\\ud83d\\ude00\""),
    SLICE("\"\\uD800\\uDC00\""),
    SLICE("\"\\uDBFF\\uDFFF\""),
    SLICE("\"\\uD7FF\""),
    SLICE("\"\\uE000\""),
    SLICE("\"\\uFFFF\""),
    SLICE("\"\\uFFFE\""),
    SLICE("\"\\\\u00zz\""),
    SLICE("\"\\\\\\\\\""),
    SLICE("\"\\\\\\\"\""),
    SLICE("\"a\\\\\""),
    SLICE("\"\\\"\\\"\""),
    SLICE("\"{\\\"a\\\":1}\""),
    SLICE("\"[,]:{}\""),
    SLICE("\"//\""),
    SLICE("\"'\""),
    SLICE("\"\xC3\xA9\""),
    SLICE("\"\xC2\x80\""),
    SLICE("\"\xDF\xBF\""),
    SLICE("\"\xE0\xA0\x80\""),
    SLICE("\"\xED\x9F\xBF\""),
    SLICE("\"\xEE\x80\x80\""),
    SLICE("\"\xEF\xBF\xBF\""),
    SLICE("\"\xEF\xBB\xBF\""),
    SLICE("\"\xF0\x90\x80\x80\""),
    SLICE("\"\xF4\x8F\xBF\xBF\""),
    SLICE("\"\xF0\x9F\x98\x80\""),
    SLICE("\"\xE2\x80\xA8\xE2\x80\xA9\""), /* line separators */
    SLICE("[\"\xC3\xA9\",\"\\u00e9\"]"),
    SLICE("\"0123456789012345678901234567890123456789012345678901"
          "23456789012345678901234567890123456789\\\"\""),
};

static const struct {
    struct slice text;
    enum json_error want;
} refused[] = {
    /* nothing */
    {SLICE(""), JSON_EMPTY},
    {SLICE(" "), JSON_EMPTY},
    {SLICE("\t\r\n "), JSON_EMPTY},
    /* more than one value, or none */
    {SLICE("1 2"), JSON_BAD_SYNTAX},
    {SLICE("[][]"), JSON_BAD_SYNTAX},
    {SLICE("{}{}"), JSON_BAD_SYNTAX},
    {SLICE("[]1"), JSON_BAD_SYNTAX},
    {SLICE("1,"), JSON_BAD_SYNTAX},
    {SLICE(","), JSON_BAD_SYNTAX},
    {SLICE(":"), JSON_BAD_SYNTAX},
    {SLICE("\"a\" \"b\""), JSON_BAD_SYNTAX},
    {SLICE("\"a\"\"b\""), JSON_BAD_SYNTAX},
    {SLICE("\"a\"b"), JSON_BAD_SYNTAX},
    {SLICE("\"a\":1"), JSON_BAD_SYNTAX},
    {SLICE("truetrue"), JSON_BAD_SYNTAX},
    {SLICE("null,null"), JSON_BAD_SYNTAX},
    /* wrong brackets */
    {SLICE("["), JSON_BAD_SYNTAX},
    {SLICE("]"), JSON_BAD_SYNTAX},
    {SLICE("{"), JSON_BAD_SYNTAX},
    {SLICE("}"), JSON_BAD_SYNTAX},
    {SLICE("[}"), JSON_BAD_SYNTAX},
    {SLICE("{]"), JSON_BAD_SYNTAX},
    {SLICE("[1"), JSON_BAD_SYNTAX},
    {SLICE("[1,"), JSON_BAD_SYNTAX},
    {SLICE("[1, "), JSON_BAD_SYNTAX},
    {SLICE("[ "), JSON_BAD_SYNTAX},
    {SLICE("[,"), JSON_BAD_SYNTAX},
    {SLICE("[[]"), JSON_BAD_SYNTAX},
    {SLICE("[]]"), JSON_BAD_SYNTAX},
    {SLICE("[1]]"), JSON_BAD_SYNTAX},
    {SLICE("[1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1]"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1}}"), JSON_BAD_SYNTAX},
    {SLICE("[{]}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":[}"), JSON_BAD_SYNTAX},
    {SLICE("[\"a"), JSON_BAD_SYNTAX},
    /* commas and colons */
    {SLICE("[1,]"), JSON_BAD_SYNTAX},
    {SLICE("[,1]"), JSON_BAD_SYNTAX},
    {SLICE("[,]"), JSON_BAD_SYNTAX},
    {SLICE("[1,,2]"), JSON_BAD_SYNTAX},
    {SLICE("[1 2]"), JSON_BAD_SYNTAX},
    {SLICE("[1:2]"), JSON_BAD_SYNTAX},
    {SLICE("[\"a\":1]"), JSON_BAD_SYNTAX},
    {SLICE("[1;2]"), JSON_BAD_SYNTAX},
    {SLICE("[1]2]"), JSON_BAD_SYNTAX},
    {SLICE("{,}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\"}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\": "), JSON_BAD_SYNTAX},
    {SLICE("{\"a\""), JSON_BAD_SYNTAX},
    {SLICE("{\"a\" "), JSON_BAD_SYNTAX},
    {SLICE("{:1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1,}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1,"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1,,\"b\":2}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1 \"b\":2}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\"::1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\",1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1:2}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\" 1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1,\"b\"}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1;\"b\":2}"), JSON_BAD_SYNTAX},
    /* keys that are no strings */
    {SLICE("{a:1}"), JSON_BAD_SYNTAX},
    {SLICE("{'a':1}"), JSON_BAD_SYNTAX},
    {SLICE("{1:1}"), JSON_BAD_SYNTAX},
    {SLICE("{null:1}"), JSON_BAD_SYNTAX},
    {SLICE("{[]:1}"), JSON_BAD_SYNTAX},
    {SLICE("{{}:1}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":1,b:2}"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\"\"b\":1}"), JSON_BAD_SYNTAX},
    /* literals */
    {SLICE("nul"), JSON_BAD_SYNTAX},
    {SLICE("nulll"), JSON_BAD_SYNTAX},
    {SLICE("Null"), JSON_BAD_SYNTAX},
    {SLICE("True"), JSON_BAD_SYNTAX},
    {SLICE("TRUE"), JSON_BAD_SYNTAX},
    {SLICE("tru e"), JSON_BAD_SYNTAX},
    {SLICE("fals"), JSON_BAD_SYNTAX},
    {SLICE("t"), JSON_BAD_SYNTAX},
    {SLICE("undefined"), JSON_BAD_SYNTAX},
    {SLICE("NaN"), JSON_BAD_SYNTAX},
    {SLICE("nan"), JSON_BAD_SYNTAX},
    {SLICE("Infinity"), JSON_BAD_SYNTAX},
    {SLICE("-Infinity"), JSON_BAD_SYNTAX},
    {SLICE("[true1]"), JSON_BAD_SYNTAX},
    {SLICE("[true\"a\"]"), JSON_BAD_SYNTAX},
    {SLICE("true\0"), JSON_BAD_SYNTAX},
    {SLICE("[null\0]"), JSON_BAD_SYNTAX},
    {SLICE("abc"), JSON_BAD_SYNTAX},
    {SLICE("a"), JSON_BAD_SYNTAX},
    /* numbers */
    {SLICE("-"), JSON_BAD_SYNTAX},
    {SLICE("+1"), JSON_BAD_SYNTAX},
    {SLICE("--1"), JSON_BAD_SYNTAX},
    {SLICE("- 1"), JSON_BAD_SYNTAX},
    {SLICE("01"), JSON_BAD_SYNTAX},
    {SLICE("-01"), JSON_BAD_SYNTAX},
    {SLICE("00"), JSON_BAD_SYNTAX},
    {SLICE("-00"), JSON_BAD_SYNTAX},
    {SLICE("1."), JSON_BAD_SYNTAX},
    {SLICE(".5"), JSON_BAD_SYNTAX},
    {SLICE("-.5"), JSON_BAD_SYNTAX},
    {SLICE("1.e1"), JSON_BAD_SYNTAX},
    {SLICE("1e"), JSON_BAD_SYNTAX},
    {SLICE("1e+"), JSON_BAD_SYNTAX},
    {SLICE("1e-"), JSON_BAD_SYNTAX},
    {SLICE("1E"), JSON_BAD_SYNTAX},
    {SLICE("1ee1"), JSON_BAD_SYNTAX},
    {SLICE("1e1.5"), JSON_BAD_SYNTAX},
    {SLICE("1e1e1"), JSON_BAD_SYNTAX},
    {SLICE("1.2.3"), JSON_BAD_SYNTAX},
    {SLICE("1..2"), JSON_BAD_SYNTAX},
    {SLICE("1+2"), JSON_BAD_SYNTAX},
    {SLICE("1-"), JSON_BAD_SYNTAX},
    {SLICE("0x10"), JSON_BAD_SYNTAX},
    {SLICE("0b1"), JSON_BAD_SYNTAX},
    {SLICE("1_000"), JSON_BAD_SYNTAX},
    {SLICE("1,000"), JSON_BAD_SYNTAX},
    {SLICE("1a"), JSON_BAD_SYNTAX},
    {SLICE("1\"\""), JSON_BAD_SYNTAX},
    {SLICE("[1a]"), JSON_BAD_SYNTAX},
    {SLICE("[0 .5]"), JSON_BAD_SYNTAX},
    {SLICE("[1e 5]"), JSON_BAD_SYNTAX},
    {SLICE("1\0"), JSON_BAD_SYNTAX},
    {SLICE("0e"), JSON_BAD_SYNTAX},
    {SLICE("0."), JSON_BAD_SYNTAX},
    {SLICE("-e1"), JSON_BAD_SYNTAX},
    {SLICE("1f"), JSON_BAD_SYNTAX},
    {SLICE("0.5.e1"), JSON_BAD_SYNTAX},
    {SLICE("e5"), JSON_BAD_SYNTAX},
    /* strings without end, and control characters */
    {SLICE("\""), JSON_BAD_SYNTAX},
    {SLICE("\"a"), JSON_BAD_SYNTAX},
    {SLICE("\"\\\""), JSON_BAD_SYNTAX},
    {SLICE("\"\\"), JSON_BAD_SYNTAX},
    {SLICE("\"\\\\\\\""), JSON_BAD_SYNTAX},
    {SLICE("[\"]"), JSON_BAD_SYNTAX},
    {SLICE("{\"a:1}"), JSON_BAD_SYNTAX},
    {SLICE("'a'"), JSON_BAD_SYNTAX},
    {SLICE("\"a\nb\""), JSON_BAD_SYNTAX},
    {SLICE("\"a\tb\""), JSON_BAD_SYNTAX},
    {SLICE("\"a\rb\""), JSON_BAD_SYNTAX},
    {SLICE("\"\0\""), JSON_BAD_SYNTAX},
    {SLICE("\"\x1F\""), JSON_BAD_SYNTAX},
    {SLICE("{\"a\x01\":1}"), JSON_BAD_SYNTAX},
    {SLICE("\"\"\""), JSON_BAD_SYNTAX},
    {SLICE("\\\"a\\\""), JSON_BAD_SYNTAX},
    {SLICE("[\\\"a\\\"]"), JSON_BAD_SYNTAX},
    {SLICE("\"a\"\\"), JSON_BAD_SYNTAX},
    /* escapes */
    {SLICE("\"\\a\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\x41\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\'\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\0\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\B\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\U0041\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\ \""), JSON_BAD_ESCAPE},
    {SLICE("\"\\v\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u0\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u00\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u004\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u004g\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u 041\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u+041\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u-041\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\u0x41\""), JSON_BAD_ESCAPE},
    {SLICE("\"\\ud800\\u12\""), JSON_LONE_SURROGATE},
    {SLICE("{\"\\q\":1}"), JSON_BAD_ESCAPE},
    {SLICE("[\"ok\",\"\\z\"]"), JSON_BAD_ESCAPE},
    /* halves of surrogate pairs */
    {SLICE("\"\\ud800\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\udc00\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\udfff\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800\\ud800\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\udc00\\ud800\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800a\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800\\n\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800\\u0041\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800\\ue000\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\udbff\\uffff\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800 \\udc00\""), JSON_LONE_SURROGATE},
    {SLICE("{\"\\ud83d\":1}"), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud83d\\ude00\\ude00\""), JSON_LONE_SURROGATE},
    {SLICE("\"\\ud800\\\\udc00\""), JSON_LONE_SURROGATE},
    /* UTF-8: overlong forms, surrogates, past U+10FFFF, cut short, stray bytes */
    {SLICE("\"\x80\""), JSON_BAD_UTF8},
    {SLICE("\"\xBF\""), JSON_BAD_UTF8},
    {SLICE("\"\xC0\xAF\""), JSON_BAD_UTF8},
    {SLICE("\"\xC1\xBF\""), JSON_BAD_UTF8},
    {SLICE("\"\xE0\x80\xAF\""), JSON_BAD_UTF8},
    {SLICE("\"\xE0\x9F\xBF\""), JSON_BAD_UTF8},
    {SLICE("\"\xF0\x80\x80\xAF\""), JSON_BAD_UTF8},
    {SLICE("\"\xF0\x8F\xBF\xBF\""), JSON_BAD_UTF8},
    {SLICE("\"\xED\xA0\x80\""), JSON_BAD_UTF8},
    {SLICE("\"\xED\xBF\xBF\""), JSON_BAD_UTF8},
    {SLICE("\"\xF4\x90\x80\x80\""), JSON_BAD_UTF8},
    {SLICE("\"\xF5\x80\x80\x80\""), JSON_BAD_UTF8},
    {SLICE("\"\xF8\x88\x80\x80\x80\""), JSON_BAD_UTF8},
    {SLICE("\"\xFE\""), JSON_BAD_UTF8},
    {SLICE("\"\xFF\""), JSON_BAD_UTF8},
    {SLICE("\"\xC3\""), JSON_BAD_UTF8},
    {SLICE("\"\xE2\x82\""), JSON_BAD_UTF8},
    {SLICE("\"\xF0\x9F\x98\""), JSON_BAD_UTF8},
    {SLICE("\"\xC3\xA9\xA9\""), JSON_BAD_UTF8},
    {SLICE("\"\xE2\x82 \xAC\""), JSON_BAD_UTF8},
    {SLICE("{\"\xE9\":1}"), JSON_BAD_UTF8},
    /* what other languages allow */
    {SLICE("// c\n1"), JSON_BAD_SYNTAX},
    {SLICE("/* c */1"), JSON_BAD_SYNTAX},
    {SLICE("1 // c"), JSON_BAD_SYNTAX},
    {SLICE("[1/**/]"), JSON_BAD_SYNTAX},
    {SLICE("# c\n1"), JSON_BAD_SYNTAX},
    {SLICE("[1,...]"), JSON_BAD_SYNTAX},
    {SLICE("(1)"), JSON_BAD_SYNTAX},
    {SLICE("<null>"), JSON_BAD_SYNTAX},
    {SLICE("[*]"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\":`b`}"), JSON_BAD_SYNTAX},
    {SLICE("\f1"), JSON_BAD_SYNTAX},
    {SLICE("1\f"), JSON_BAD_SYNTAX},
    {SLICE("[1\f]"), JSON_BAD_SYNTAX},
    {SLICE("\v1"), JSON_BAD_SYNTAX},
    {SLICE("[1\v]"), JSON_BAD_SYNTAX},
    {SLICE("[1\x1A]"), JSON_BAD_SYNTAX},
    {SLICE("{\"a\"\x1A"
           "1}"),
     JSON_BAD_SYNTAX},
    {SLICE("[1\f2]"), JSON_BAD_SYNTAX}, /* 0x0C|0x20 is a comma */
    {SLICE("\0"), JSON_BAD_SYNTAX},
    {SLICE("\0[]"), JSON_BAD_SYNTAX},
    {SLICE("[]\0"), JSON_BAD_SYNTAX},
    {SLICE("\xEF\xBB\xBF[]"), JSON_BAD_SYNTAX}, /* a byte order mark */
    {SLICE("[\xC2\xA0]"), JSON_BAD_SYNTAX},
    {SLICE("[\xE2\x80\xA8]"), JSON_BAD_SYNTAX}, /* odd blanks */
};

/* Bytes that a parser which reads past the end of the text would trip over, or take for its end. */
static const char *const behind[] = {"",   "1",   "\"",   "]",    "}",  "e5",
                                     "0]", "\"]", "null", " 1]}", ",1]"};

/* The verdict on `text`, which has to be the same whatever stands behind the text. */
static enum json_error verdict(struct json_parser *p, struct slice text, unsigned flags)
{
    enum json_error first = JSON_OK;
    for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
        struct json_doc d;
        struct slice tail = slice_str(behind[i]);
        char *copy = mem_alloc(text.n + tail.n);
        CHECK(copy != NULL || text.n + tail.n == 0);
        if (text.n > 0)
            memcpy(copy, text.p, text.n);
        if (tail.n > 0)
            memcpy(copy + text.n, tail.p, tail.n);
        enum json_error e = json_parse(p, slice_of(copy, text.n), flags, &d);
        mem_free(copy);
        if (i == 0)
            first = e;
        CHECK_EQ_STR(json_error_text(e), json_error_text(first));
        CHECK(e == JSON_OK || d.error_at <= text.n);
    }
    return first;
}

TEST(accepted)
{
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        check_note("%zu: " SLICE_FMT, i, SLICE_ARG(accepted[i]));
        CHECK_EQ_STR(json_error_text(verdict(p, accepted[i], 0)), "no error");
    }
    json_parser_free(p);
}

TEST(refused)
{
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        check_note("%zu: " SLICE_FMT, i, SLICE_ARG(refused[i].text));
        enum json_error e = verdict(p, refused[i].text, 0);
        CHECK_EQ_STR(json_error_text(e), json_error_text(refused[i].want));
        /* The flag lifts one rule and no other. */
        e = verdict(p, refused[i].text, JSON_ALLOW_LONE_SURROGATES);
        if (refused[i].want != JSON_LONE_SURROGATE)
            CHECK_EQ_STR(json_error_text(e), json_error_text(refused[i].want));
        else
            CHECK(e == JSON_OK || e == JSON_BAD_ESCAPE);
    }
    json_parser_free(p);
}

/* Which of two errors is found first depends on the CPU that simdjson has code for. */
TEST(refused_for_either_reason)
{
    static const struct slice texts[] = {SLICE("\"\\\xC3\xA9\""), SLICE("[\xFF]"), SLICE("\xC3("),
                                         SLICE("[1\x80]"), SLICE("\"\xFF\\q\"")};
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        check_note("text %zu", i);
        CHECK(verdict(p, texts[i], 0) != JSON_OK);
    }
    json_parser_free(p);
}

/* Each text also as an element, a member, and pushed across simdjson's 64-byte blocks by blanks. */
TEST(same_verdict_in_other_places)
{
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(accepted) + ARRAY_LEN(refused); i++) {
        bool good = i < ARRAY_LEN(accepted);
        struct slice text = good ? accepted[i] : refused[i - ARRAY_LEN(accepted)].text;
        if (text.n > 40)
            continue;
        for (size_t blanks = 0; blanks < 140; blanks++) {
            char copy[200];
            struct json_doc d;
            memset(copy, ' ', sizeof copy);
            memcpy(copy + blanks, text.p, text.n);
            check_note("%s %zu behind %zu blanks", good ? "accepted" : "refused", i, blanks);
            CHECK((json_parse(p, slice_of(copy, blanks + text.n), 0, &d) == JSON_OK) == good);
            CHECK((json_parse(p, slice_of(copy, blanks + text.n + 7), 0, &d) == JSON_OK) == good);
            if (!good)
                continue;
            copy[0] = '[';
            copy[blanks + text.n + 2] = ']';
            CHECK(blanks == 0 ||
                  json_parse(p, slice_of(copy, blanks + text.n + 3), 0, &d) == JSON_OK);
        }
    }
    json_parser_free(p);
}

/* Every proper prefix of a document is refused. */
TEST(prefixes)
{
    static const struct slice texts[] = {
        SLICE("{\"model\":\"m\",\"n\":[1,2.5e3,true,false,null,\"\\u00e9\\n\"],\"o\":{\"a\":{}}}"),
        SLICE("[[[{\"a\":[]}]]]"),
        SLICE("\"\xF0\x9F\x98\x80\\ud83d\\ude00\""),
    };
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CHECK(verdict(p, texts[i], 0) == JSON_OK);
        for (size_t n = 0; n < texts[i].n; n++) {
            check_note("%zu bytes of text %zu", n, i);
            CHECK(verdict(p, slice_of(texts[i].p, n), 0) != JSON_OK);
        }
    }
    json_parser_free(p);
}

/* `depth` brackets, alternating as the bits of `kinds` say, around a number. Returns the length. */
static size_t nest(char *out, unsigned depth, uint64_t kinds, unsigned unclosed)
{
    char *o = out;
    for (unsigned i = 0; i < depth; i++) {
        bool object = kinds >> (i & 63) & 1;
        memcpy(o, object ? "{\"k\":" : "[", object ? 5 : 1);
        o += object ? 5 : 1;
    }
    *o++ = '1';
    for (unsigned i = depth; i-- > unclosed;)
        *o++ = kinds >> (i & 63) & 1 ? '}' : ']';
    return (size_t)(o - out);
}

TEST(depth)
{
    char text[20000];
    struct json_doc d;
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (int round = 0; round < 100; round++) {
        uint64_t kinds = round == 0 ? 0 : round == 1 ? UINT64_MAX : check_random();
        for (unsigned depth = 60; depth < 70; depth++) {
            enum json_error want = depth <= JSON_MAX_DEPTH ? JSON_OK : JSON_TOO_DEEP;
            check_note("depth %u", depth);
            size_t n = nest(text, depth, kinds, 0);
            CHECK(json_parse(p, slice_of(text, n), 0, &d) == want);
            n = nest(text, depth, kinds, 1);
            CHECK(json_parse(p, slice_of(text, n), 0, &d) == (want ? want : JSON_BAD_SYNTAX));
        }
    }
    CHECK(json_parse(p, slice_of(text, nest(text, 3000, check_random(), 0)), 0, &d) ==
          JSON_TOO_DEEP);
    memset(text, '[', sizeof text);
    CHECK(json_parse(p, slice_of(text, sizeof text), 0, &d) == JSON_TOO_DEEP);
    CHECK_EQ_U64(d.error_at, JSON_MAX_DEPTH);
    for (size_t i = 0; i < 9000; i += 3) /* wide is not deep */
        memcpy(text + i, i == 0 ? "[[]" : ",[]", 3);
    text[9000] = ']';
    CHECK(json_parse(p, slice_of(text, 9001), 0, &d) == JSON_OK);
    CHECK_EQ_U64(d.count, 3001);
    json_parser_free(p);
}

TEST(depth_of_empty_containers)
{
    char text[200];
    struct json_doc d;
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t depth = 60; depth < 70; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK((json_parse(p, slice_of(text, 2 * depth), 0, &d) == JSON_OK) == (depth <= 64));
        memcpy(text + depth - 1, "{}", 2); /* the innermost one is an object */
        CHECK((json_parse(p, slice_of(text, 2 * depth), 0, &d) == JSON_OK) == (depth <= 64));
    }
    json_parser_free(p);
}

TEST(too_large)
{
    struct json_doc d;
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    CHECK(json_parse(p, slice_of("[]", JSON_MAX_BYTES + 1), 0, &d) == JSON_TOO_LARGE);
    json_parser_free(p);
}

TEST(where_the_error_is)
{
    static const struct {
        struct slice text;
        uint32_t at;
    } rows[] = {
        {SLICE("{\"a\":tru}"), 5}, {SLICE("[1,]"), 3},        {SLICE("[1 2]"), 3},
        {SLICE("{\"a\" 1}"), 5},   {SLICE("{1:2}"), 1},       {SLICE("["), 1},
        {SLICE("[1,"), 3},         {SLICE("[1, "), 4},        {SLICE("[\"\\x\"]"), 1},
        {SLICE("[1]]"), 3},        {SLICE("01"), 0},          {SLICE("[1,2,-,4]"), 5},
        {SLICE("{\"a\":1,}"), 7},  {SLICE("{\"a\":}"), 5},    {SLICE("[1}"), 2},
        {SLICE("{\"\\q\":1}"), 1}, {SLICE("{\"a\":1,2}"), 7}, {SLICE("[\"\\ud800\"]"), 1},
        {SLICE("  nope  "), 2},    {SLICE("1 2"), 2},
    };
    struct json_parser *p = json_parser_new();
    CHECK(p != NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json_doc d;
        check_note(SLICE_FMT, SLICE_ARG(rows[i].text));
        CHECK(json_parse(p, rows[i].text, 0, &d) != JSON_OK);
        CHECK_EQ_U64(d.error_at, rows[i].at);
    }
    json_parser_free(p);
}

/* Escapes are looked for in steps of 64 bytes: each at every place of a long string. */
TEST(escapes_at_every_place)
{
    static const struct {
        const char *text;
        enum json_error want;
    } rows[] = {
        {"\\n", JSON_OK},
        {"\\\\", JSON_OK},
        {"\\\\\\\"", JSON_OK},
        {"\\u00e4", JSON_OK},
        {"\\uD83D\\uDE00", JSON_OK},
        {"\\n\\n\\u0041\\n", JSON_OK},
        {"\\x", JSON_BAD_ESCAPE},
        {"\\u00g0", JSON_BAD_ESCAPE},
        {"\\\\\\x", JSON_BAD_ESCAPE},
        {"\\uD83D", JSON_LONE_SURROGATE},
        {"\\uDE00\\uD83D", JSON_LONE_SURROGATE},
    };
    struct json_parser *p = json_parser_new();
    struct json_doc d;
    char text[300];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        for (size_t at = 1; at + n < 230; at++) {
            memset(text, 'a', sizeof text);
            text[0] = text[229] = '"';
            memcpy(text + 1, "\\t", 2); /* the first is found by another search */
            if (at > 2)
                memcpy(text + at, rows[i].text, n);
            check_note("%s at %zu", rows[i].text, at);
            CHECK_EQ_I64(json_parse(p, slice_of(text, 230), 0, &d),
                         at > 2 ? rows[i].want : JSON_OK);
        }
    }
    json_parser_free(p);
}

TEST(runs_of_backslashes)
{
    struct json_parser *p = json_parser_new();
    struct json_doc d;
    char text[300];
    for (size_t n = 0; n < 260; n++) {
        memset(text, '\\', sizeof text);
        text[0] = text[n + 1] = '"';
        check_note("%zu", n);
        CHECK((json_parse(p, slice_of(text, n + 2), 0, &d) == JSON_OK) == (n % 2 == 0));
    }
    json_parser_free(p);
}
