/* json_unwrap_object against the two calls it stands for: what it takes, they take, and the text is
 * the same. */
#include "base/buf.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "check.h"

static struct json_parser *parser;

__attribute__((destructor)) static void free_parser(void)
{
    json_parser_free(parser);
}

/* What json_unescape and json_parse say: an object in JSON without doubled keys of its own. */
static bool is_object(struct slice text)
{
    struct json_doc d;
    if (parser == NULL)
        parser = json_parser_new();
    CHECK(parser != NULL);
    return json_parse(parser, text, 0, &d) == JSON_OK && json_type_at(&d, 0) == JSON_OBJECT &&
           json_duplicate_key(parser, &d, 0) == 0;
}

/* Runs it on `inner`, in exactly the memory it may use. True: it was plain. */
static bool unwraps(struct slice inner)
{
    char *got = mem_alloc(MAX_OF(inner.n, (size_t)1)),
         *want = mem_alloc(MAX_OF(inner.n, (size_t)1));
    CHECK(got != NULL && want != NULL);
    size_t n = json_unwrap_object(inner, got), plain = json_unescape(inner, want);
    if (n > 0) {
        CHECK_EQ_SLICE(slice_of(got, n), slice_of(want, plain));
        CHECK(is_object(slice_of(want, plain)));
    }
    mem_free(got);
    mem_free(want);
    return n > 0;
}

TEST(plain_objects)
{
    static const char *const rows[] = {
        "{}",
        " { } ",
        "\\n{\\t\\r\\n}\\n",
        "{\\\"a\\\":1}",
        "{\\\"a\\\" : [ ] , \\\"b\\\":[{},{\\\"a\\\":1,\\\"a\\\":2}]}", /* twice, but further in */
        "{\\n    \\\"a\\\": [\\n        -1.5e+3,\\n        true, false, null\\n    ]\\n}",
        "{\\\"\\\":\\\"\\\",\\\"x\\\":\\\"\\\\\\\"\\\\\\\\\\\\/\\\\b\\\\f\\\\n\\\\r\\\\t\\\"}",
        "{\\\"a\\\":\\\"\\\\u00e9\\\\ud83d\\\\ude80 \\u00e9\\ud83d\\ude80\\\"}",
        "{\\\"a\\\":\\\"Gr\xC3\xB6\xC3\x9Fig, and a text of more than sixteen bytes\\\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i]);
        CHECK(unwraps(slice_str(rows[i])));
    }
}

TEST(others)
{
    static const char *const rows[] = {
        "",
        " ",
        "[]",
        "1",
        "\\\"a\\\"",
        "{",
        "}",
        "{]",
        "{}}",
        "{},",
        "{,}",
        "{}{}",
        "{\\\"a\\\"}",
        "{\\\"a\\\":}",
        "{\\\"a\\\":1,}",
        "{\\\"a\\\":1 2}",
        "{\\\"a\\\":[1,]}",
        "{\\\"a\\\":[1}",
        "{\\\"a\\\":[1}]",
        "{\\\"a\\\":{]}",
        "{\\\"a\\\":01}",
        "{\\\"a\\\":1.}",
        "{\\\"a\\\":nul}",
        "{\\\"a\\\":truefalse}",
        "{1:1}",
        "{\\\"a\\\":\\\"b}",
        "{\\\"a\\\":1,\\\"a\\\":2}",     /* twice */
        "{\\\"\\\\u0061\\\":1}",         /* keys with escapes */
        "{\\\"a\\\":\\\"\\n\\\"}",       /* a line break in a string */
        "{\\\"a\\\":\\\"\\u000a\\\"}",   /* the same */
        "{\\\"a\\\":\\\"\\u0022}",       /* a quote of JSON's own */
        "{\\\"a\\\":\\\"\\u005c\\\"}",   /* a backslash */
        "{\\\"a\\\":\\\"\\\\x\\\"}",     /* no escape */
        "{\\\"a\\\":\\\"\\\\u12\\\"}",   /* half of one */
        "{\\\"a\\\":\\\"\\\\ud83d\\\"}", /* half of a pair */
        "{\\\"a\\\":\\\"\\\\ude80\\\\ud83d\\\"}",
        "{\\\"a\\\":\\\"\\\\ud83d\\ude80\\\"}", /* halves of different kinds */
        "{\\\"a\\\":\\\"\\\\\\\"}",
        "{\\\"a\\\":\\\"\\/\\\"}", /* valid, not plain */
        "{\\u0020}",
        "\\f{}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i]);
        CHECK(!unwraps(slice_str(rows[i])));
    }
}

static void put_times(struct buf *b, const char *text, unsigned n)
{
    while (n-- > 0)
        buf_slice(b, slice_str(text));
}

TEST(limits)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    for (unsigned depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
        buf_reset(&b);
        put_times(&b, "{\\\"a\\\":", depth - 1);
        buf_lit(&b, "{}");
        put_times(&b, "}", depth - 1);
        CHECK(unwraps(buf_view(&b)) == (depth <= JSON_MAX_DEPTH));
    }
    for (unsigned keys = 15; keys <= 17; keys++) {
        buf_reset(&b);
        for (unsigned i = 0; i < keys; i++)
            buf_printf(&b, "%s\\\"k%u\\\":%u", i == 0 ? "{" : ",", i, i);
        buf_lit(&b, "}");
        CHECK(unwraps(buf_view(&b)) == (keys <= 16));
    }
    buf_done(&b);
}

static void put_value(struct buf *b, unsigned depth);

static void put_random_space(struct buf *b)
{
    if (check_random_below(3) != 0)
        return;
    for (uint64_t n = check_random_below(check_random_below(8) ? 5 : 40); n > 0; n--)
        buf_char(b, "    \t\r\n"[check_random_below(7)]);
}

static void put_random_string(struct buf *b)
{
    static const char *const pieces[] = {"a",
                                         "key",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\n",
                                         "\\u00e9",
                                         "\\t",
                                         "\\ud83d\\ude80",
                                         "\xC3\xA9",
                                         "\xF0\x9F\x9A\x80",
                                         " ",
                                         "some words in a row",
                                         "{",
                                         "]",
                                         ":",
                                         ","};
    buf_char(b, '"');
    for (uint64_t n = check_random_below(check_random_below(8) ? 4 : 30); n > 0; n--)
        buf_slice(b, slice_str(pieces[check_random_below(ARRAY_LEN(pieces))]));
    buf_char(b, '"');
}

static void put_items(struct buf *b, unsigned depth, bool object)
{
    buf_char(b, object ? '{' : '[');
    put_random_space(b);
    for (uint64_t i = 0, n = check_random_below(6); i < n; i++) {
        if (i > 0)
            buf_char(b, ',');
        put_random_space(b);
        if (object) {
            buf_printf(b, "\"k%u\"", (unsigned)(i + check_random_below(20) / 19));
            put_random_space(b);
            buf_char(b, ':');
        }
        put_value(b, depth + 1);
    }
    buf_char(b, object ? '}' : ']');
}

static void put_value(struct buf *b, unsigned depth)
{
    static const char *const words[] = {"true", "false", "null", "0", "-1", "1.5e-3", "12", "2E5"};
    put_random_space(b);
    switch (check_random_below(depth < 5 ? 5 : 3)) {
    case 3: put_items(b, depth, false); break;
    case 4: put_items(b, depth, true); break;
    case 2: buf_slice(b, slice_str(words[check_random_below(ARRAY_LEN(words))])); break;
    default: put_random_string(b); break;
    }
    put_random_space(b);
}

/* The text as it stands in a string, some of it as \u. */
static void put_inside(struct buf *b, struct slice text, bool some_unicode)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (some_unicode && c > 0 && check_random_below(100) == 0) {
            buf_printf(b, "\\u%04x", (unsigned)c);
            continue;
        }
        if (c == '"' || c == '\\')
            buf_char(b, '\\');
        if (c == '\n' || c == '\r' || c == '\t')
            buf_slice(b, c == '\n' ? SLICE("\\n") : c == '\r' ? SLICE("\\r") : SLICE("\\t"));
        else
            buf_char(b, c);
    }
}

/* A byte changed, taken out or doubled: nothing that its outer string could not hold. */
static void damage(struct buf *b)
{
    static const char signs[] = "{}[]:,\"\\ \n0-.eEu1atrn/";
    size_t at = (size_t)check_random_below(b->n);
    if ((signed char)b->p[at] < 0)
        return;
    switch (check_random_below(3)) {
    case 0: b->p[at] = signs[check_random_below(sizeof signs - 1)]; break;
    case 1:
        memmove(b->p + at, b->p + at + 1, b->n - at - 1);
        b->n--;
        break;
    default:
        buf_char(b, ' ');
        memmove(b->p + at + 1, b->p + at, b->n - at - 1);
        break;
    }
}

TEST(random_objects)
{
    struct buf text, inner;
    unsigned plain = 0, valid = 0, refused = 0;
    buf_init(&text, 1 << 20);
    buf_init(&inner, 1 << 22);
    for (unsigned round = 0; round < 20000; round++) {
        buf_reset(&text);
        buf_reset(&inner);
        put_random_space(&text);
        put_items(&text, 0, true);
        bool whole = check_random_below(2);
        for (uint64_t n = whole ? 0 : 1 + check_random_below(3); n > 0 && text.n > 0; n--)
            damage(&text);
        bool some_unicode = check_random_below(4) == 0;
        put_inside(&inner, buf_view(&text), some_unicode);
        bool is = is_object(buf_view(&text)), unwrapped = unwraps(buf_view(&inner));
        CHECK(!unwrapped || is);
        CHECK(unwrapped || !is || some_unicode || !whole);
        plain += unwrapped;
        valid += is;
        refused += !is;
    }
    check_note("%u plain of %u objects, %u others", plain, valid, refused);
    CHECK(plain > 5000 && refused > 2000);
    buf_done(&text);
    buf_done(&inner);
}
