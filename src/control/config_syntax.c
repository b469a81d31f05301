/* Checks of the shape of single texts. */
#include "config_syntax.h"

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/hash.h"
#include "config_amount.h"
#include "llm/neutral.h"

#define NAME_MAX_BYTES  64
#define ALIAS_MAX_BYTES 128
#define UNIX_PATH_MAX   107 /* sockaddr_un's sun_path without its NUL */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_of(struct slice s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr(others, s.p[i]) == NULL))
            return false;
    }
    return true;
}

static bool is_port(struct slice s)
{
    uint64_t port;
    return s.n <= 5 && slice_to_u64(s, &port) && port <= 65535;
}

/* The family of an IP literal without brackets, or 0. */
static int ip_family(struct slice s, uint8_t ret[16])
{
    char text[INET6_ADDRSTRLEN];
    if (s.n == 0 || s.n >= sizeof text)
        return 0;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET, text, ret) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, text, ret) == 1 ? AF_INET6 : 0;
}

/* Splits "host:port" and "[v6]:port" at the last colon; the brackets are taken off. */
static bool split_port(struct slice s, struct slice *host, struct slice *port, bool *bracketed)
{
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    *host = slice_of(s.p, colon - 1);
    *port = slice_from(s, colon);
    *bracketed = host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']';
    if (*bracketed)
        *host = slice_of(host->p + 1, host->n - 2);
    return true;
}

const char *syntax_address(struct slice s)
{
    struct slice host, port;
    uint8_t bytes[16];
    bool bracketed;
    if (slice_starts(s, SLICE("unix:"))) {
        if (s.n < 7 || s.p[5] != '/')
            return "is not an address: `unix:` needs an absolute path";
        return s.n - 5 <= UNIX_PATH_MAX ? NULL : "is too long for the path of a socket";
    }
    if (!split_port(s, &host, &port, &bracketed) || !is_port(port))
        return "is not an address: write 127.0.0.1:8080, [::1]:8080 or unix:/path";
    if (host.n == 0)
        return "lacks the address before the port; 0.0.0.0 and [::] stand for all";
    int family = ip_family(host, bytes);
    if (family == (bracketed ? AF_INET6 : AF_INET) ||
        (!bracketed && slice_eq_nocase(host, SLICE("localhost"))))
        return NULL;
    if (family == AF_INET6)
        return "needs brackets around its IPv6 address: [::1]:8080";
    return "is not an address: before the port stands an IP address or `localhost`";
}

bool syntax_address_is_local(struct slice s)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    struct slice host, port;
    uint8_t bytes[16];
    bool bracketed;
    if (slice_starts(s, SLICE("unix:")))
        return true;
    if (!split_port(s, &host, &port, &bracketed))
        return false;
    switch (ip_family(host, bytes)) {
    case AF_INET: return bytes[0] == 127;
    case AF_INET6: return memcmp(bytes, v6_loopback, sizeof bytes) == 0;
    default: return slice_eq_nocase(host, SLICE("localhost"));
    }
}

bool syntax_address_has_port_0(struct slice s)
{
    struct slice host, port;
    uint64_t number;
    bool bracketed;
    return !slice_starts(s, SLICE("unix:")) && split_port(s, &host, &port, &bracketed) &&
           slice_to_u64(port, &number) && number == 0;
}

const char *syntax_prefix(struct slice s)
{
    struct slice rest = s, head = slice_cut(&rest, '/');
    uint8_t bytes[16];
    int family = ip_family(head, bytes);
    uint64_t bits, all = family == AF_INET ? 32 : 128;
    if (family == 0)
        return "is not an IP address or prefix such as 10.0.0.0/8";
    if (head.n == s.n)
        return NULL;
    if (!slice_to_u64(rest, &bits) || bits > all)
        return "is not an IP address or prefix such as 10.0.0.0/8";
    for (uint64_t i = bits; i < all; i++) {
        if (bytes[i / 8] & (0x80 >> i % 8))
            return "has bits set behind its prefix length";
    }
    return NULL;
}

const char *syntax_resolver(struct slice s)
{
    struct slice host, port;
    uint8_t bytes[16];
    bool bracketed;
    if (ip_family(s, bytes) != 0)
        return NULL;
    bool ok = split_port(s, &host, &port, &bracketed) && is_port(port) &&
              ip_family(host, bytes) == (bracketed ? AF_INET6 : AF_INET);
    return ok ? NULL : "is not an IP address, with or without a port";
}

const char *syntax_host(struct slice s)
{
    bool fits = s.n > 0 && s.n <= 253 && s.p[0] != '.' && s.p[0] != '-';
    return fits && all_of(s, "-._") ? NULL : "is not the name of a host";
}

/* "host", "host:port", "[v6]", "[v6]:port". */
static bool is_authority(struct slice s)
{
    uint8_t bytes[16];
    struct slice host = s;
    if (s.n > 0 && s.p[0] == '[') {
        ptrdiff_t end = slice_find(s, ']');
        if (end < 0 || ip_family(slice_of(s.p + 1, (size_t)end - 1), bytes) != AF_INET6)
            return false;
        struct slice rest = slice_from(s, (size_t)end + 1);
        return rest.n == 0 || (rest.p[0] == ':' && is_port(slice_from(rest, 1)) && rest.n > 1);
    }
    ptrdiff_t colon = slice_find(s, ':');
    if (colon >= 0) {
        host = slice_of(s.p, (size_t)colon);
        if (!is_port(slice_from(s, (size_t)colon + 1)))
            return false;
    }
    return syntax_host(host) == NULL;
}

/* Takes "http://" or "https://" off. */
static bool strip_scheme(struct slice *s)
{
    size_t n = slice_starts(*s, SLICE("https://")) ? 8 : slice_starts(*s, SLICE("http://")) ? 7 : 0;
    *s = slice_from(*s, n);
    return n > 0;
}

const char *syntax_url(struct slice s)
{
    if (!strip_scheme(&s))
        return "is not a URL that starts with http:// or https://";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F)
            return "is not a URL: there is a space or another character that needs %-escapes";
        if (s.p[i] == '?' || s.p[i] == '#')
            return "has a query or a fragment";
    }
    struct slice authority = slice_cut(&s, '/');
    if (slice_find(authority, '@') >= 0)
        return "has a user name in it; credentials belong in `api_key` or `headers`";
    return is_authority(authority) ? NULL : "is not a URL: its host or port is wrong";
}

const char *syntax_proxy_url(struct slice s)
{
    if (!strip_scheme(&s))
        return "is not a URL that starts with http:// or https://";
    for (size_t i = s.n; i-- > 0;) {
        if (s.p[i] == '@') { /* the last one: a password may hold others */
            s = slice_from(s, i + 1);
            break;
        }
    }
    struct slice authority = slice_cut(&s, '/');
    if (s.n > 0 || !is_authority(authority))
        return "is not the URL of a proxy such as http://proxy.example:3128";
    return NULL;
}

const char *syntax_origin(struct slice s)
{
    if (slice_is(s, "*"))
        return NULL;
    return strip_scheme(&s) && is_authority(s) ? NULL
                                               : "is not an origin such as https://app.example (no "
                                                 "path, no slash at the end), or *";
}

const char *syntax_name(struct slice s)
{
    if (s.n == 0 || s.n > NAME_MAX_BYTES || !is_alnum(s.p[0]) || !all_of(s, "._-:@"))
        return "is not a name: letters, digits and . _ - : @, at most 64, a letter or digit first";
    return NULL;
}

const char *syntax_provider_name(struct slice s)
{
    if (slice_is(s, "engine"))
        return "cannot be the name of a provider: `engine/...` means the local engines";
    return syntax_name(s);
}

const char *syntax_alias(struct slice s)
{
    if (s.n == 0 || s.n > ALIAS_MAX_BYTES)
        return "is not a model name: 1 to 128 characters";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F)
            return "is not a model name: printable ASCII without spaces";
        if (s.p[i] == '*')
            return "is not a model name: wildcards mean nothing here";
    }
    return NULL;
}

const char *syntax_header_name(struct slice s)
{
    static const char *const own[] = {
        "host",
        "content-length",
        "transfer-encoding",
        "content-type",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "accept-encoding",
        "expect",
        "proxy-connection",
    };
    if (s.n == 0 || !all_of(s, "!#$%&'*+-.^_`|~"))
        return "is not the name of a header";
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (slice_eq_nocase(s, slice_str(own[i])))
            return "is a header that Weir sets itself";
    }
    return NULL;
}

const char *syntax_sha256(struct slice s)
{
    uint8_t bytes[SHA256_BYTES];
    return hex_decode(s, bytes, sizeof bytes) ? NULL : "is not a SHA-256: 64 hex digits";
}

const char *syntax_path(struct slice s)
{
    if (s.n == 0 || s.p[0] != '/')
        return "is not a path: it starts with a slash";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F)
            return "is not a path: printable ASCII without spaces";
        if (s.p[i] == '?' || s.p[i] == '#')
            return "is not a path: it has a query or a fragment";
        if (s.p[i] == '*' && i + 1 < s.n)
            return "is not a path: an asterisk may stand at its end only";
    }
    return NULL;
}

const char *syntax_log_target(struct slice s)
{
    if (slice_is(s, "stdout") || slice_is(s, "stderr") || slice_is(s, "off") || s.p[0] == '/')
        return NULL;
    return "is not a place for a log: stdout, stderr, off or an absolute path";
}

const char *syntax_engine_argument(struct slice s)
{
    static const struct {
        const char *option, *text;
    } own[] = {
        {"-m", "is set with the key `model`"},
        {"--model", "is set with the key `model`"},
        {"-np", "is set with the key `slots`"},
        {"--parallel", "is set with the key `slots`"},
        {"-t", "is set with the key `threads`"},
        {"--threads", "is set with the key `threads`"},
        {"-c", "is set with the key `context`"},
        {"--ctx-size", "is set with the key `context`"},
        {"-cram", "is set with the key `cache_ram`"},
        {"--cache-ram", "is set with the key `cache_ram`"},
        {"--host", "is set by Weir itself"},
        {"--port", "is set by Weir itself"},
        {"--api-key", "is set by Weir itself"},
        {"--api-key-file", "is set by Weir itself"},
    };
    struct slice rest = s, option = slice_cut(&rest, '=');
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (slice_is(option, own[i].option))
            return own[i].text;
    }
    return NULL;
}

const char *syntax_cloud_label(struct slice s)
{
    bool fits = s.n > 0 && s.n <= 63 && is_alnum(s.p[0]) && is_alnum(s.p[s.n - 1]);
    return fits && all_of(s, "-") ? NULL : "is not a name: letters, digits and hyphens, at most 63";
}

const char *syntax_cloud_id(struct slice s)
{
    bool fits = s.n > 0 && s.n <= 128 && is_alnum(s.p[0]);
    return fits && all_of(s, "-._:") ? NULL
                                     : "is not an id: letters, digits and - . _ :, at most 128";
}

const char *syntax_azure_surface(struct slice s)
{
    return slice_is(s, "v1") || slice_is(s, "classic") ? NULL : "is neither `v1` nor `classic`";
}

const char *syntax_vertex_publisher(struct slice s)
{
    bool known = slice_is(s, "google") || slice_is(s, "anthropic") || slice_is(s, "openapi");
    return known ? NULL : "is none of `google`, `anthropic` and `openapi`";
}

const char *syntax_feature(struct slice s)
{
    enum llm_feature f;
    return llm_feature_find(s, &f) ? NULL : "is no feature of requests";
}

const char *syntax_sagemaker_body(struct slice s)
{
    return slice_is(s, "openai") || slice_is(s, "tgi") ? NULL : "is neither `openai` nor `tgi`";
}

const char *syntax_tail_pattern(struct slice s)
{
    if (s.n == 0 || s.n > ALIAS_MAX_BYTES)
        return "is not a name: 1 to 128 characters";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F)
            return "is not a name: printable ASCII without spaces";
        if (s.p[i] == '*' && i + 1 < s.n)
            return "is not a name: an asterisk may stand at its end only";
    }
    return NULL;
}

const char *syntax_price_pattern(struct slice s)
{
    const char *wrong = syntax_tail_pattern(s);
    ptrdiff_t slash = slice_find(s, '/');
    if (wrong != NULL || slice_is(s, "*"))
        return wrong;
    return slash > 0 && (size_t)slash + 1 < s.n ? NULL : "is not `provider/model`";
}

const char *syntax_may_set(struct slice s)
{
    bool ok = slice_is(s, "user") || slice_is(s, "use_case") || slice_is(s, "strategy");
    return ok ? NULL : "is neither `user` nor `use_case` nor `strategy`";
}

const char *syntax_hedge_after(struct slice s)
{
    int64_t ns;
    bool ok = slice_is(s, "p95") ||
              (clock_parse_duration(s.p, s.n, &ns) && ns >= NS_PER_MS && ns <= 600 * NS_PER_S);
    return ok ? NULL : "is neither `p95` nor a duration from 1ms to 10m";
}

const char *syntax_last_resort(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r' && s.p[i] != '\n')
            return NULL;
    }
    return "has no text in it";
}

const char *syntax_alert_percent(struct slice s)
{
    int64_t percent;
    bool ok = amount_parse_percent(s, &percent) && percent >= 1 && percent <= 100;
    return ok ? NULL : "is not a share of a budget: 1 to 100 (percent)";
}

const char *syntax_webhook(struct slice s)
{
    struct slice query = s, head = slice_cut(&query, '?');
    for (size_t i = 0; i < query.n; i++) {
        if ((unsigned char)query.p[i] <= ' ' || (unsigned char)query.p[i] >= 0x7F ||
            query.p[i] == '#')
            return "is not a URL: its query has a character that needs %-escapes";
    }
    return syntax_url(head);
}

bool syntax_pattern_matches(struct slice pattern, struct slice s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = i;
        } else if (p < pattern.n && pattern.p[p] == s.p[i]) {
            p++, i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool syntax_pattern_fits_prefix(struct slice pattern, struct slice prefix)
{
    size_t i = 0;
    while (i < prefix.n && i < pattern.n && pattern.p[i] == prefix.p[i])
        i++;
    return i < pattern.n && (pattern.p[i] == '*' || i == prefix.n);
}
