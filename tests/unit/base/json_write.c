/* JSON writing: escapes, repair of what is not UTF-8, commas, numbers; and UTF-8 itself. */
#include "base/json_write.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "check.h"

/* Length of the UTF-8 sequence at the start of `s` after table 3-7 of the Unicode Standard, or 0.
 */
static size_t naive_sequence(struct slice s)
{
    static const uint8_t rows[][9] = {
        /* length, then the lowest and highest value of each byte */
        {1, 0x00, 0x7F, 0, 0, 0, 0, 0, 0},
        {2, 0xC2, 0xDF, 0x80, 0xBF, 0, 0, 0, 0},
        {3, 0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF, 0, 0},
        {3, 0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF, 0, 0},
        {3, 0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF, 0, 0},
        {3, 0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF, 0, 0},
        {4, 0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {4, 0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {4, 0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        size_t i = 0, n = rows[r][0];
        while (i < n && i < s.n && (uint8_t)s.p[i] >= rows[r][1 + 2 * i] &&
               (uint8_t)s.p[i] <= rows[r][2 + 2 * i])
            i++;
        if (i == n)
            return n;
    }
    return 0;
}

/* `s` with each byte that belongs to no sequence replaced by U+FFFD, in `out`. */
static void naive_repair(struct slice s, struct buf *out)
{
    buf_reset(out);
    while (s.n > 0) {
        size_t n = naive_sequence(s);
        if (n > 0)
            buf_append(out, s.p, n);
        else
            buf_lit(out, "\xEF\xBF\xBD");
        s = slice_from(s, n ? n : 1);
    }
}

static bool naive_valid(struct slice s)
{
    while (s.n > 0) {
        size_t n = naive_sequence(s);
        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

TEST(utf8_is_what_the_standard_says)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                    0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xFF};
    char t[4];
    CHECK(utf8_valid(SLICE_NONE) && utf8_valid(SLICE("")));
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            t[0] = (char)a, t[1] = (char)b;
            check_note("%02x %02x", a, b);
            CHECK_EQ_I64(utf8_valid(slice_of(t, 1)), naive_valid(slice_of(t, 1)));
            CHECK_EQ_I64(utf8_valid(slice_of(t, 2)), naive_valid(slice_of(t, 2)));
            for (size_t i = 0; i < 256; i++) {
                t[2] = (char)edges[i / 16], t[3] = (char)edges[i % 16];
                CHECK(utf8_valid(slice_of(t, 4)) == naive_valid(slice_of(t, 4)));
                CHECK(i % 16 || utf8_valid(slice_of(t, 3)) == naive_valid(slice_of(t, 3)));
            }
        }
    }
}

TEST(utf8_across_blocks)
{
    static const struct slice bad[] = {SLICE("\x80"), SLICE("\xC3"), SLICE("\xED\xA0\x80"),
                                       SLICE("\xF0\x9F\x98")};
    char text[200];
    for (size_t n = 0; n < 190; n++) {
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
            memset(text, 'a', sizeof text);
            CHECK(utf8_valid(slice_of(text, n + bad[i].n)));
            memcpy(text + n, bad[i].p, bad[i].n);
            CHECK(!utf8_valid(slice_of(text, n + bad[i].n)));
            CHECK(!utf8_valid(slice_of(text, sizeof text)));
        }
        memcpy(text + n, "\xF0\x9F\x98\x80", 4);
        CHECK(utf8_valid(slice_of(text, n + 4)) && !utf8_valid(slice_of(text, n + 3)));
    }
}

static void check_put(struct slice s, const char *want)
{
    struct buf b;
    buf_init(&b, 1000);
    json_put_string(&b, s);
    CHECK_EQ_SLICE(buf_view(&b), slice_str(want));
    buf_done(&b);
}

TEST(strings)
{
    check_put(SLICE(""), "\"\"");
    check_put(SLICE_NONE, "\"\"");
    check_put(SLICE("plain / text"), "\"plain / text\"");
    check_put(SLICE("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    check_put(SLICE("\0\x01\x1F\x7F"), "\"\\u0000\\u0001\\u001f\\u007f\"");
    check_put(SLICE("\n"), "\"\\n\"");
    check_put(SLICE("a\nb\nc"), "\"a\\nb\\nc\"");
    check_put(SLICE("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
              "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

TEST(broken_utf8_is_repaired)
{
    check_put(SLICE("\xFF"), "\"\xEF\xBF\xBD\"");
    check_put(SLICE("a\x80"
                    "b"),
              "\"a\xEF\xBF\xBD"
              "b\"");
    check_put(SLICE("\xC3"), "\"\xEF\xBF\xBD\"");
    check_put(SLICE("\xC3\n\""), "\"\xEF\xBF\xBD\\n\\\"\"");
    check_put(SLICE("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_put(SLICE("\xF0\x9F\x98"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_put(SLICE("\xC3\xA9\xC3"), "\"\xC3\xA9\xEF\xBF\xBD\"");
}

/* What is written has to be read as the same text, repaired. */
static void check_reads_back(struct json_parser *p, struct slice s, struct buf *b, struct buf *want)
{
    struct json_doc d;
    char out[400];
    buf_reset(b);
    json_put_string(b, s);
    naive_repair(s, want);
    CHECK(!b->failed && !want->failed);
    CHECK_EQ_STR(json_error_text(json_parse(p, buf_view(b), 0, &d)), "no error");
    CHECK(json_inner(&d, 0).n <= sizeof out);
    CHECK_EQ_SLICE(slice_of(out, json_unescape(json_inner(&d, 0), out)), buf_view(want));
    for (size_t i = 0; i < b->n; i++)
        CHECK((uint8_t)b->p[i] >= 0x20 && b->p[i] != 0x7F);
}

TEST(written_strings_are_read_back)
{
    struct json_parser *p = json_parser_new();
    struct buf b, want;
    char text[60];
    CHECK(p != NULL);
    buf_init(&b, 1000);
    buf_init(&want, 1000);
    for (unsigned c = 0; c < 256; c++) {
        check_note("byte %u", c);
        text[0] = (char)c;
        check_reads_back(p, slice_of(text, 1), &b, &want);
        memcpy(text, (char[3]){'a', (char)c, 'z'}, 3);
        check_reads_back(p, slice_of(text, 3), &b, &want);
    }
    for (int round = 0; round < 20000; round++) {
        static const uint8_t pieces[] = {0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F,
                                         0x98, 0x80, 0xED, 0xA0, '"',  '\\', '\n',
                                         0,    'a',  'b',  0xF4, 0x8F, 0xBF};
        size_t n = check_random_below(sizeof text);
        bool any = check_random_below(4) == 0;
        check_note("round %d", round);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(any ? check_random() : pieces[check_random_below(sizeof pieces)]);
        check_reads_back(p, slice_of(text, n), &b, &want);
    }
    buf_done(&b);
    buf_done(&want);
    json_parser_free(p);
}

TEST(structure)
{
    struct buf b;
    buf_init(&b, 1000);
    struct json_writer w = json_writer(&b);
    jw_open(&w, '{');
    jw_field_string(&w, "s", SLICE("a\"b"));
    jw_field_i64(&w, "i", INT64_MIN);
    jw_field_bool(&w, "t", true);
    jw_field_bool(&w, "f", false);
    jw_key(&w, "list");
    jw_open(&w, '[');
    jw_i64(&w, 1);
    jw_null(&w);
    jw_open(&w, '[');
    jw_close(&w, ']');
    jw_open(&w, '{');
    jw_close(&w, '}');
    jw_raw(&w, SLICE("{\"raw\": 1}"));
    jw_bool(&w, false);
    jw_string(&w, SLICE_NONE);
    jw_close(&w, ']');
    jw_key_slice(&w, SLICE("k\n\xFF"));
    jw_double(&w, 0.5);
    jw_key(&w, "last");
    jw_open(&w, '{');
    jw_field_i64(&w, "x", 0);
    jw_close(&w, '}');
    jw_close(&w, '}');
    CHECK_EQ_LIT(buf_view(&b),
                 "{\"s\":\"a\\\"b\",\"i\":-9223372036854775808,\"t\":true,\"f\":false,"
                 "\"list\":[1,null,[],{},{\"raw\": 1},false,\"\"],\"k\\n\xEF\xBF\xBD\":0.5,"
                 "\"last\":{\"x\":0}}");
    buf_done(&b);
}

TEST(doubles)
{
    static const double values[] = {0,       -0.0,         1,        -1,      0.1,       1e15,
                                    1e16,    1e17,         1e22,     1e-7,    1e300,     DBL_MAX,
                                    DBL_MIN, DBL_TRUE_MIN, -DBL_MAX, 1.0 / 3, 123456.789};
    struct json_parser *p = json_parser_new();
    struct buf b;
    CHECK(p != NULL);
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(values) + 3000; i++) {
        struct json_doc d;
        uint64_t bits = check_random();
        double v, back;
        memcpy(&v, &bits, sizeof v);
        v = i < ARRAY_LEN(values) ? values[i] : v;
        buf_reset(&b);
        struct json_writer w = json_writer(&b);
        jw_double(&w, v);
        check_note("%.17g", v);
        CHECK(json_parse(p, buf_view(&b), 0, &d) == JSON_OK);
        if (!isfinite(v)) {
            CHECK_EQ_LIT(buf_view(&b), "null");
            continue;
        }
        CHECK(json_double(&d, 0, &back));
        CHECK_EQ_DOUBLE(back, v);
        CHECK(!signbit(back) == !signbit(v));
    }
    static const double none[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        buf_reset(&b);
        struct json_writer w = json_writer(&b);
        jw_double(&w, none[i]);
        CHECK_EQ_LIT(buf_view(&b), "null");
    }
    buf_done(&b);
    json_parser_free(p);
}

static void write_all(struct buf *b)
{
    struct json_writer w = json_writer(b);
    jw_open(&w, '[');
    for (int i = 0; i < 50; i++) {
        jw_open(&w, '{');
        jw_field_string(&w, "text", SLICE("some \"quoted\"\n\xFFtext"));
        jw_key(&w, "v");
        jw_double(&w, i / 3.0);
        jw_close(&w, '}');
    }
    jw_close(&w, ']');
}

/* At every ceiling the buffer either holds the whole text or says that it failed. */
TEST(ceiling)
{
    struct buf whole, b;
    buf_init(&whole, 100000);
    write_all(&whole);
    CHECK(!whole.failed);
    for (size_t cap = 0; cap <= whole.n; cap++) {
        buf_init(&b, cap);
        write_all(&b);
        CHECK_EQ_I64(b.failed, cap < whole.n);
        CHECK_EQ_SLICE(buf_view(&b), slice_of(whole.p, b.n)); /* a clean prefix, no holes */
        buf_done(&b);
    }
    buf_done(&whole);
}

static void write_and_drop(void *arg)
{
    struct buf b;
    (void)arg;
    buf_init(&b, 100000);
    write_all(&b);
    CHECK(b.failed || b.n > 1000);
    buf_done(&b);
}

TEST(torture)
{
    CHECK(check_torture(write_and_drop, NULL) >= 4);
}
