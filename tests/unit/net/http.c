/* Names of fields, hop-by-hop fields, writing of fields, percent escapes. */
#include "net/http.h"

#include "check.h"

TEST(every_known_name_is_found)
{
    for (int id = 1; id < HTTP_NAMES_N; id++) {
        struct slice name = http_name_text((enum http_name)id);
        char upper[64];
        CHECK(name.n > 0 && name.n < sizeof upper);
        for (size_t i = 0; i < name.n; i++) {
            bool letter = name.p[i] >= 'a' && name.p[i] <= 'z';
            upper[i] = (char)(letter ? name.p[i] - 0x20 : name.p[i]);
        }
        check_note("%s", name.p);
        CHECK_EQ_I64(http_name_of(name), id);
        CHECK_EQ_I64(http_name_of(slice_of(upper, name.n)), id);
        CHECK_EQ_I64(http_name_of(slice_of(name.p, name.n - 1)), HTTP_OTHER);
    }
}

TEST(look_alikes_are_other_names)
{
    static const char *const names[] = {
        "content_length", "content-lengtH-", "transfer_encoding", "x", "hos", "hosts", "hOs~",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        CHECK_EQ_I64(http_name_of(slice_str(names[i])), HTTP_OTHER);
    CHECK_EQ_I64(http_name_of(SLICE_NONE), HTTP_OTHER);
}

/* No byte but a letter's other case may replace one of a known name. */
TEST(one_wrong_byte)
{
    char name[] = "content-length";
    for (size_t at = 0; at < sizeof name - 1; at++) {
        for (int c = 1; c < 256; c++) {
            char kept = name[at];
            static const char marks[] = "!#$%&'*+-.^_`|~";
            bool token = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                         strchr(marks, c) != NULL;
            name[at] = (char)c;
            bool same = c == kept || (c == (kept & ~0x20) && kept >= 'a');
            check_note("byte %d at %zu", c, at);
            CHECK(!token || (http_name_of(slice_str(name)) == HTTP_CONTENT_LENGTH) == same);
            name[at] = kept;
        }
    }
}

static struct http_field field(const char *name, const char *value)
{
    return (struct http_field){slice_str(name), slice_str(value), http_name_of(slice_str(name))};
}

TEST(hop_by_hop)
{
    static const char *const always[] = {"Connection",
                                         "Keep-Alive",
                                         "Proxy-Authenticate",
                                         "Proxy-Authorization",
                                         "Proxy-Connection",
                                         "TE",
                                         "Trailer",
                                         "Transfer-Encoding",
                                         "Upgrade"};
    struct http_field fields[] = {
        field("Connection", "close, X-Secret,,  authorization "),
        field("x-secret", "1"),
        field("Authorization", "2"),
        field("X-Secrets", "3"),
        field("Connection", "x-more"),
        field("X-More", "4"),
        field("Close", "5"),
    };
    static const bool want[] = {true, true, true, false, true, true, true};
    struct http_head h = {.fields = fields, .fields_n = ARRAY_LEN(fields)};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        check_note("%s", fields[i].name.p);
        CHECK_EQ_I64(http_field_is_hop(&h, &fields[i]), want[i]);
    }
    struct http_head empty = {.fields = NULL};
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        struct http_field f = field(always[i], "x");
        CHECK(http_field_is_hop(&empty, &f));
    }
}

TEST(put_field)
{
    struct buf b;
    buf_init(&b, 1024);
    http_put_field(&b, SLICE("X-A"), SLICE("b \t\xC3\xA9"));
    http_put_field(&b, SLICE("X-Empty"), SLICE_NONE);
    http_put_field(&b, SLICE("X B"), SLICE("c"));
    http_put_field(&b, SLICE("X:"), SLICE("c"));
    http_put_field(&b, SLICE(""), SLICE("c"));
    http_put_field(&b, SLICE("X"), SLICE("c\r\nY: d"));
    http_put_field(&b, SLICE("X"), SLICE("c\nd"));
    http_put_field(&b, SLICE("X"), SLICE("0123456789\r"));
    http_put_field(&b, SLICE("X"), slice_of("a\0b", 3));
    CHECK_EQ_LIT(buf_view(&b), "X-A: b \t\xC3\xA9\r\nX-Empty: \r\n");
    buf_done(&b);
}

TEST(percent_decode)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {
        {"", ""},       {"abc", "abc"},         {"%41%62c", "Abc"},
        {"a+b", "a+b"}, {"%c3%A9", "\xC3\xA9"}, {"%25%32%35", "%25"},
        {"%", NULL},    {"%4", NULL},           {"a%4", NULL},
        {"%4g", NULL},  {"%g4", NULL},          {"%%41", NULL},
        {"%00", NULL},  {"a%00b", NULL},        {"%-1", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[32];
        check_note("%s", rows[i].in);
        ptrdiff_t n = http_percent_decode(slice_str(rows[i].in), out);
        CHECK_EQ_I64(n, rows[i].out != NULL ? (ptrdiff_t)strlen(rows[i].out) : -1);
        if (n >= 0)
            CHECK_EQ_SLICE(slice_of(out, (size_t)n), slice_str(rows[i].out));
    }
    char out[4];
    CHECK_EQ_I64(http_percent_decode(slice_of("a\0b", 3), out), -1);
}
