/* The egress proxy: where it comes from, what is exempt, and what of its URL is used. */
#include "net/egress.h"

#include <stdlib.h>

#include "check.h"

static const char *const variables[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "no_proxy",   "NO_PROXY"};

static void clear(void)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        CHECK(unsetenv(variables[i]) == 0);
}

static void set(const char *name, const char *value)
{
    CHECK(setenv(name, value, 1) == 0);
}

static struct slice proxy_for(const char *proxy, const char *no_proxy, const char *text)
{
    struct net_url url;
    const char *why;
    CHECK(net_url_parse(slice_str(text), &url, &why));
    return net_egress_proxy(slice_str(proxy), slice_str(no_proxy), &url);
}

TEST(environment)
{
    clear();
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "");
    set("HTTPS_PROXY", "http://upper:1");
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "http://upper:1");
    CHECK_EQ_LIT(proxy_for("", "", "http://api.example"), "");
    set("https_proxy", "");
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "http://upper:1");
    set("https_proxy", "http://lower:1");
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "http://lower:1");
    set("HTTP_PROXY", "http://plain:1");
    CHECK_EQ_LIT(proxy_for("", "", "http://api.example"), "http://plain:1");
    set("NO_PROXY", "api.example");
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "");
    set("no_proxy", "other.example");
    CHECK_EQ_LIT(proxy_for("", "", "https://api.example"), "http://lower:1");
    clear();
}

TEST(configuration_comes_first)
{
    clear();
    set("HTTPS_PROXY", "http://environment:1");
    set("NO_PROXY", "api.example");
    CHECK_EQ_LIT(proxy_for("http://own:1", "", "https://api.example"), "");
    CHECK_EQ_LIT(proxy_for("http://own:1", "b", "https://api.example"), "http://own:1");
    CHECK_EQ_LIT(proxy_for("", "b", "https://api.example"), "http://environment:1");
    clear();
}

TEST(exempt)
{
    static const struct {
        const char *no_proxy, *url;
        bool exempt;
    } rows[] = {
        {"*", "http://a.example", true},
        {"example", "http://a.example", true},
        {".example", "http://a.example", true},
        {"A.EXAMPLE", "http://a.example", true},
        {"b.example, a.example", "http://a.example", true},
        {"a.example:80", "http://a.example", true},
        {"ample", "http://a.example", false},
        {"b.a.example", "http://a.example", false},
        {".", "http://a.example", false},
        {",,", "http://a.example", false},
        {"10.0.0.0/8", "http://10.1.2.3:8000", true},
        {"10.0.0.0/8", "http://11.1.2.3", false},
        {"10.0.0.0/8", "http://ten.example", false},
        {"10.1.2.3", "http://10.1.2.3", true},
        {"10.1.2.3:8000", "http://10.1.2.3:8000", true},
        {"fd00::/8", "http://[fd00::5]", true},
        {"", "http://localhost:1", true},
        {"", "http://LOCALHOST", true},
        {"", "http://127.9.9.9", true},
        {"", "http://[::1]:1", true},
        {"", "http://10.1.2.3", false},
    };
    clear();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("NO_PROXY=%s for %s", rows[i].no_proxy, rows[i].url);
        struct slice got = proxy_for("http://proxy:1", rows[i].no_proxy, rows[i].url);
        CHECK_EQ_SLICE(got, rows[i].exempt ? SLICE("") : SLICE("http://proxy:1"));
    }
}

/* What is wrong with `url`, or NULL; `config` and the arena are as net_egress_set leaves them. */
static const char *use(const char *url, struct arena *a, struct upstream_config *config)
{
    const char *why = "";
    *config = (struct upstream_config){0};
    return net_egress_set(slice_str(url), a, config, &why) ? NULL : why;
}

TEST(url)
{
    struct upstream_config c;
    struct arena a;
    arena_init(&a, NULL, 65536);
    CHECK(use("http://proxy.example:3128/", &a, &c) == NULL);
    CHECK_EQ_LIT(c.proxy_host, "proxy.example");
    CHECK_EQ_U64(c.proxy_port, 3128);
    CHECK_EQ_LIT(c.proxy_auth, "");
    CHECK(use("http://proxy.example", &a, &c) == NULL);
    CHECK_EQ_U64(c.proxy_port, 80);
    CHECK(use("", &a, &c) == NULL && c.proxy_host.n == 0);
    CHECK_EQ_STR(use("https://proxy", &a, &c), "a proxy has to be reached by http://");
    CHECK_EQ_STR(use("proxy:3128", &a, &c), "must begin with http:// or https://");
    arena_reset(&a);
}

/* RFC 7617 section 2, and each length of the last group. */
TEST(credentials)
{
    static const struct {
        const char *url, *auth;
    } rows[] = {
        {"http://Aladdin:open%20sesame@proxy", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"http://us%65r:p%40ss@proxy", "Basic dXNlcjpwQHNz"},
        {"http://a:@proxy", "Basic YTo="},
        {"http://:%C3%BC@proxy", "Basic OsO8"},
    };
    struct upstream_config c;
    struct arena a;
    arena_init(&a, NULL, 65536);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(use(rows[i].url, &a, &c) == NULL);
        CHECK_EQ_SLICE(c.proxy_auth, slice_str(rows[i].auth));
    }
    CHECK_EQ_STR(use("http://a:%4@proxy", &a, &c), "its user and password are malformed");
    CHECK_EQ_STR(use("http://a:%00@proxy", &a, &c), "its user and password are malformed");
    arena_reset(&a);
}
