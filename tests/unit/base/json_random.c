/* Random documents: the writer of the test records where each value stands, how its strings read
 * and what its numbers are, and the parser has to find the same. */
#include <math.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "check.h"

#define MOST_NODES 3000

struct expected {
    uint32_t off, end, next;
    enum json_type type;
    bool escaped, is_i64;
    int64_t i64;
    double number;
    size_t text_at, text_n; /* of a string: its piece of `texts` */
};

struct document {
    struct buf json, texts;
    struct expected nodes[MOST_NODES];
    uint32_t count;
};

static void put_space(struct document *d)
{
    if (check_random_below(3) != 0)
        return;
    for (uint64_t n = check_random_below(check_random_below(20) ? 4 : 100); n > 0; n--)
        buf_char(&d->json, " \t\r\n"[check_random_below(4)]);
}

static struct expected *open_node(struct document *d, enum json_type type)
{
    CHECK(d->count < MOST_NODES);
    struct expected *e = &d->nodes[d->count++];
    *e = (struct expected){.off = (uint32_t)d->json.n, .type = type};
    return e;
}

static void close_node(struct document *d, struct expected *e)
{
    e->end = (uint32_t)d->json.n;
    e->next = d->count;
}

/* One character as UTF-8 in `texts`; returns how many bytes. */
static size_t put_utf8(struct document *d, uint32_t c)
{
    size_t before = d->texts.n;
    if (c < 0x80) {
        buf_char(&d->texts, (char)c);
    } else if (c < 0x800) {
        buf_char(&d->texts, (char)(0xC0 | c >> 6));
    } else if (c < 0x10000) {
        buf_char(&d->texts, (char)(0xE0 | c >> 12));
        buf_char(&d->texts, (char)(0x80 | (c >> 6 & 63)));
    } else {
        buf_char(&d->texts, (char)(0xF0 | c >> 18));
        buf_char(&d->texts, (char)(0x80 | (c >> 12 & 63)));
        buf_char(&d->texts, (char)(0x80 | (c >> 6 & 63)));
    }
    if (c >= 0x80)
        buf_char(&d->texts, (char)(0x80 | (c & 63)));
    return d->texts.n - before;
}

static uint32_t random_char(void)
{
    static const uint32_t edges[] = {
        0,      0x1F,   ' ',     '"',      '\\', '/', 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000,
        0xFFFD, 0xFFFF, 0x10000, 0x10FFFF, '{',  ']', ',',  ':',  '\n',  '\b',  'u'};
    switch (check_random_below(8)) {
    case 0: return edges[check_random_below(ARRAY_LEN(edges))];
    case 1: return (uint32_t)check_random_below(0x800);
    case 2: return 0xE000 + (uint32_t)check_random_below(0x110000 - 0xE000);
    default: return ' ' + (uint32_t)check_random_below(95);
    }
}

static void put_u(struct document *d, uint32_t unit)
{
    buf_printf(&d->json, check_random_below(2) ? "\\u%04x" : "\\u%04X", unit);
}

static void put_char(struct document *d, struct expected *e)
{
    static const char special[] = "\"\\/\b\f\n\r\t", letters[] = "\"\\/bfnrt";
    uint32_t c = random_char();
    size_t n = put_utf8(d, c);
    const char *named = c != 0 && c < 0x80 ? strchr(special, (int)c) : NULL;
    bool must = c < 0x20 || c == '"' || c == '\\';
    if (!must && check_random_below(8) != 0) {
        buf_append(&d->json, d->texts.p + d->texts.n - n, n);
        return;
    }
    e->escaped = true;
    if (named != NULL && check_random_below(2)) {
        buf_char(&d->json, '\\');
        buf_char(&d->json, letters[named - special]);
    } else if (c < 0x10000) {
        put_u(d, c);
    } else {
        put_u(d, 0xD800 + ((c - 0x10000) >> 10));
        put_u(d, 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
}

static void put_string(struct document *d)
{
    struct expected *e = open_node(d, JSON_STRING);
    e->text_at = d->texts.n;
    buf_char(&d->json, '"');
    for (uint64_t n = check_random_below(check_random_below(10) ? 12 : 200); n > 0; n--)
        put_char(d, e);
    buf_char(&d->json, '"');
    e->text_n = d->texts.n - e->text_at;
    close_node(d, e);
}

static void put_number(struct document *d)
{
    struct expected *e = open_node(d, JSON_NUMBER);
    e->is_i64 = check_random_below(2);
    if (e->is_i64) {
        e->i64 = (int64_t)check_random() >> check_random_below(64);
        e->number = (double)e->i64;
        buf_i64(&d->json, e->i64);
    } else {
        uint64_t bits = check_random();
        memcpy(&e->number, &bits, sizeof bits);
        if (!isfinite(e->number))
            e->number = 0.5;
        buf_printf(&d->json, "%.16e", e->number); /* always has a fraction and an exponent */
    }
    close_node(d, e);
}

static void put_value(struct document *d, unsigned depth);

static void put_container(struct document *d, unsigned depth)
{
    bool object = check_random_below(2);
    struct expected *e = open_node(d, object ? JSON_OBJECT : JSON_ARRAY);
    uint64_t n = check_random_below(check_random_below(4) ? 4 : 12);
    buf_char(&d->json, object ? '{' : '[');
    put_space(d);
    for (uint64_t i = 0; i < n && d->count < MOST_NODES - 200; i++) {
        if (i > 0)
            buf_char(&d->json, ',');
        put_space(d);
        if (object) {
            put_string(d);
            put_space(d);
            buf_char(&d->json, ':');
            put_space(d);
        }
        put_value(d, depth + 1);
        put_space(d);
    }
    buf_char(&d->json, object ? '}' : ']');
    close_node(d, e);
}

static void put_value(struct document *d, unsigned depth)
{
    static const char *const words[] = {"null", "false", "true"};
    uint64_t kind = check_random_below(depth < 3 ? 14 : 10);
    if (kind < 3) {
        struct expected *e = open_node(d, JSON_NULL + (enum json_type)kind);
        buf_slice(&d->json, slice_str(words[kind]));
        close_node(d, e);
    } else if (kind < 5) {
        put_number(d);
    } else if (kind < 7 || depth >= JSON_MAX_DEPTH) {
        put_string(d);
    } else {
        put_container(d, depth);
    }
}

static void check_value(const struct json_doc *doc, uint32_t i, const struct document *d,
                        struct arena *a)
{
    const struct expected *e = &d->nodes[i];
    int64_t integer = 0;
    double number = 0;
    CHECK_EQ_I64(json_type_at(doc, i), e->type);
    CHECK_EQ_SLICE(json_raw(doc, i), slice_of(d->json.p + e->off, e->end - e->off));
    CHECK_EQ_U64(doc->nodes[i].off, e->off);
    CHECK_EQ_U64(doc->nodes[i].next, e->next);
    CHECK_EQ_I64(doc->nodes[i].escaped, e->escaped);
    CHECK_EQ_I64(json_i64(doc, i, &integer), e->is_i64);
    CHECK_EQ_I64(integer, e->i64);
    CHECK_EQ_I64(json_double(doc, i, &number), e->type == JSON_NUMBER);
    CHECK_EQ_DOUBLE(number, e->number);
    if (e->type == JSON_STRING) {
        struct slice want = slice_of(d->texts.p ? d->texts.p + e->text_at : "", e->text_n);
        CHECK_EQ_SLICE(json_string(doc, i, a), want);
        CHECK(json_string_is(doc, i, want));
        CHECK(!json_string_is(doc, i, SLICE("nobody writes this")));
    }
}

TEST(round_trip)
{
    static struct document d;
    struct json_parser *p = json_parser_new();
    struct arena a;
    uint64_t nodes = 0;
    CHECK(p != NULL);
    arena_init(&a, NULL, 1 << 24);
    buf_init(&d.json, 1 << 22);
    buf_init(&d.texts, 1 << 22);
    for (int round = 0; round < 1500; round++) {
        struct json_doc doc;
        check_note("document %d", round);
        buf_reset(&d.json);
        buf_reset(&d.texts);
        d.count = 0;
        put_space(&d);
        put_value(&d, 0);
        put_space(&d);
        CHECK(!d.json.failed && !d.texts.failed);
        enum json_error e = json_parse(p, buf_view(&d.json), 0, &doc);
        CHECK_EQ_STR(json_error_text(e), "no error");
        CHECK_EQ_U64(doc.count, d.count);
        for (uint32_t i = 0; i < doc.count; i++)
            check_value(&doc, i, &d, &a);
        nodes += doc.count;
        arena_reset(&a);
    }
    CHECK(nodes > 20000); /* the documents are not all trivial */
    buf_done(&d.json);
    buf_done(&d.texts);
    json_parser_free(p);
}
