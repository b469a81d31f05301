/* Addresses, prefixes, URLs and the PROXY protocol's header. */
#include "net/addr.h"

#include <stdio.h>

#include "base/buf.h"
#include "check.h"
#include "net/upstream.h"
#include "server_conn.h"

TEST(literals)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"2001:DB8::0:1", "2001:db8::1"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"[::ffff:a00:1]", "10.0.0.1"},
        {"", NULL},
        {"[]", NULL},
        {"[127.0.0.1]", NULL},
        {"127.0.0.1 ", NULL},
        {"127.0.0.256", NULL},
        {"127.1", NULL},
        {"0x7f.0.0.1", NULL},
        {"127.0.0.01", NULL},
        {"[::1", NULL},
        {"::1]", NULL},
        {"[[::1]]", NULL},
        {"fe80::1%eth0", NULL},
        {":::", NULL},
        {"localhost", NULL},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr a = {0};
        char text[NET_ADDR_TEXT];
        check_note("%s", rows[i].in);
        bool ok = net_addr_parse(slice_str(rows[i].in), 7, &a);
        CHECK_EQ_I64(ok, rows[i].out != NULL);
        if (ok) {
            CHECK_EQ_SLICE(net_addr_text(&a, text), slice_str(rows[i].out));
            CHECK_EQ_U64(a.port, 7);
        }
    }
    struct net_addr a;
    CHECK(!net_addr_parse(slice_of("127.0.0.1\0", 10), 0, &a));
}

TEST(with_port)
{
    static const struct {
        const char *in, *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"LocalHost:0", "127.0.0.1", 0},
        {"[::1]:65535", "::1", 65535},
        {"[::]:1", "::", 1},
        {"127.0.0.1", NULL, 0},
        {"127.0.0.1:", NULL, 0},
        {"127.0.0.1:65536", NULL, 0},
        {"127.0.0.1:-1", NULL, 0},
        {"127.0.0.1:1:1", NULL, 0},
        {"::1:80", NULL, 0},
        {":80", NULL, 0},
        {"host:80", NULL, 0},
        {"", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr a;
        char text[NET_ADDR_TEXT];
        check_note("%s", rows[i].in);
        bool ok = net_addr_parse_port(slice_str(rows[i].in), &a);
        CHECK_EQ_I64(ok, rows[i].host != NULL);
        if (ok) {
            CHECK_EQ_SLICE(net_addr_text(&a, text), slice_str(rows[i].host));
            CHECK_EQ_U64(a.port, rows[i].port);
        }
    }
}

TEST(there_and_back)
{
    static const char *const texts[] = {"1.2.3.4", "2001:db8::7"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct net_addr a, b;
        struct sockaddr_storage ss;
        CHECK(net_addr_parse(slice_str(texts[i]), 99, &a));
        CHECK(net_addr_sockaddr(&a, &ss) > 0);
        b = net_addr_of((struct sockaddr *)&ss);
        CHECK(a.family == b.family && a.port == b.port && memcmp(a.bytes, b.bytes, 16) == 0);
    }
    struct net_addr none = {.family = AF_UNIX};
    struct sockaddr_storage ss;
    CHECK_EQ_U64(net_addr_sockaddr(&none, &ss), 0);
}

TEST(loopback)
{
    static const struct {
        const char *text;
        bool yes;
    } rows[] = {{"127.0.0.1", true},  {"127.255.0.9", true},
                {"126.0.0.1", false}, {"::1", true},
                {"::2", false},       {"::ffff:127.0.0.1", true},
                {"0.0.0.0", false},   {"::ffff:128.0.0.1", false},
                {"::", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr a;
        check_note("%s", rows[i].text);
        CHECK(net_addr_parse(slice_str(rows[i].text), 0, &a));
        CHECK_EQ_I64(net_addr_is_loopback(&a), rows[i].yes);
    }
}

TEST(prefixes)
{
    static const struct {
        const char *prefix, *addr;
        int has; /* -1: no prefix */
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", 1},
        {"10.0.0.0/8", "11.0.0.0", 0},
        {"10.0.0.0/31", "10.0.0.1", 1},
        {"10.0.0.0/31", "10.0.0.2", 0},
        {"10.0.0.7", "10.0.0.7", 1},
        {"10.0.0.7", "10.0.0.6", 0},
        {"0.0.0.0/0", "1.2.3.4", 1},
        {"0.0.0.0/0", "::1", 0},
        {"10.0.0.0/8", "::ffff:10.1.1.1", 1},
        {"::ffff:10.0.0.0/104", "10.1.1.1", 1},
        {"::ffff:10.0.0.0/104", "11.1.1.1", 0},
        {"2001:db8::/33", "2001:db8:7fff::", 1},
        {"2001:db8::/33", "2001:db8:8000::", 0},
        {"::/0", "2001::", 1},
        {"::1", "::1", 1},
        {"10.0.0.0/33", "::", -1},
        {"::/129", "::", -1},
        {"10.0.0.0/", "::", -1},
        {"10.0.0.0/8/8", "::", -1},
        {"10.0.0.0/ 8", "::", -1},
        {"::ffff:10.0.0.0/95", "::", -1},
        {"/8", "::", -1},
        {"", "::", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_prefix p;
        struct net_addr a;
        check_note("%s in %s", rows[i].addr, rows[i].prefix);
        CHECK(net_addr_parse(slice_str(rows[i].addr), 0, &a));
        bool ok = net_prefix_parse(slice_str(rows[i].prefix), &p);
        CHECK_EQ_I64(ok ? net_prefix_has(&p, &a) : -1, rows[i].has);
    }
}

TEST(urls)
{
    static const struct {
        const char *url, *want; /* "tls host port path userinfo"; NULL: refused */
    } rows[] = {
        {"http://a", "0 a 80  "},
        {"HTTPS://a.b/", "1 a.b 443  "},
        {"https://a:8443/v1//", "1 a 8443 /v1 "},
        {"http://[::1]:9/x", "0 ::1 9 /x "},
        {"http://[::1]", "0 ::1 80  "},
        {"http://u:p@h/x", "0 h 80 /x u:p"},
        {"http://h:/x", "0 h 80 /x "},
        {"ftp://a", NULL},
        {"http://", NULL},
        {"http:///x", NULL},
        {"http://:80", NULL},
        {"http://a:0", NULL},
        {"http://a:65536", NULL},
        {"http://a:8x", NULL},
        {"http://[::1", NULL},
        {"http://[::g]", NULL},
        {"http://[::1]x", NULL},
        {"http://a b", NULL},
        {"http://a/b\r\n", NULL},
        {"http://\xC3\xA9", NULL},
        {"http://a?b", NULL},
        {"http://a/#b", NULL},
        {"http://a<b/", NULL},
        {"http://a@b@c/", NULL},
        {"http://a\\b/", NULL},
        {"a", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_url u;
        const char *why = NULL;
        char got[200] = "";
        check_note("%s", rows[i].url);
        bool ok = net_url_parse(slice_str(rows[i].url), &u, &why);
        CHECK_EQ_I64(ok, rows[i].want != NULL);
        CHECK(ok || why != NULL);
        if (ok)
            snprintf(got, sizeof got, "%d " SLICE_FMT " %u " SLICE_FMT " " SLICE_FMT, u.tls,
                     SLICE_ARG(u.host), u.port, SLICE_ARG(u.path), SLICE_ARG(u.userinfo));
        CHECK_EQ_STR(got, ok ? rows[i].want : "");
    }
}

#define PROXY_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
static const struct slice proxy_v4 = {
    PROXY_SIGNATURE "\x21\x11\x00\x0c\x0a\x00\x00\x01\x7f\x00\x00\x01\x04\xd2\x00\x50", 28};

TEST(proxy_header)
{
    struct net_addr a = {0};
    char text[NET_ADDR_TEXT];
    CHECK_EQ_I64(proxy_v2_parse(proxy_v4, &a), 28);
    CHECK_EQ_LIT(net_addr_text(&a, text), "10.0.0.1");
    CHECK_EQ_U64(a.port, 1234);
    a = (struct net_addr){0};
    for (size_t n = 0; n < proxy_v4.n; n++)
        CHECK_EQ_I64(proxy_v2_parse(slice_of(proxy_v4.p, n), &a), 0);
    CHECK_EQ_U64(a.family, 0);
}

/* `at` becomes `byte`, and `more` bytes follow. */
static int proxy_with(size_t at, uint8_t byte, size_t more, struct net_addr *ret)
{
    char header[28 + 4096] = "";
    memcpy(header, proxy_v4.p, proxy_v4.n);
    header[at] = (char)byte;
    return proxy_v2_parse(slice_of(header, 28 + more), ret);
}

TEST(proxy_odd_headers)
{
    struct net_addr a = {.family = AF_UNIX};
    for (size_t at = 0; at < 12; at++)
        CHECK_EQ_I64(proxy_with(at, 'x', 0, &a), -1);
    CHECK_EQ_I64(proxy_with(12, 0x11, 0, &a), -1);    /* version 1 */
    CHECK_EQ_I64(proxy_with(12, 0x22, 0, &a), -1);    /* an unknown command */
    CHECK_EQ_I64(proxy_with(14, 0x10, 4096, &a), -1); /* 4108 bytes */
    CHECK_EQ_I64(proxy_with(12, 0x20, 0, &a), 28);    /* LOCAL: the peer's own address stays */
    CHECK_EQ_I64(proxy_with(13, 0x00, 0, &a), 28);    /* unspecified */
    CHECK_EQ_I64(proxy_with(13, 0x31, 0, &a), 28);    /* Unix */
    CHECK_EQ_I64(proxy_with(13, 0x21, 0, &a), 28);    /* too short for IPv6 */
    CHECK_EQ_I64(proxy_with(15, 0x0b, 0, &a), 27);    /* too short for IPv4 */
    CHECK_EQ_U64(a.family, AF_UNIX);
    CHECK_EQ_I64(proxy_with(15, 0x20, 100, &a), 48); /* with extensions */
    CHECK_EQ_U64(a.family, AF_INET);
}

TEST(proxy_mapped_address)
{
    struct net_addr a = {0};
    char header[52] = "";
    char text[NET_ADDR_TEXT];
    memcpy(header, proxy_v4.p, 12);
    memcpy(header + 12, "\x21\x21\x00\x24", 4);
    memcpy(header + 26, "\xff\xff\x0a\x01\x02\x03", 6);
    memcpy(header + 48, "\x00\x07", 2);
    CHECK_EQ_I64(proxy_v2_parse(slice_of(header, sizeof header), &a), 52);
    CHECK_EQ_LIT(net_addr_text(&a, text), "10.1.2.3");
    CHECK_EQ_U64(a.port, 7);
}
