/* Strict HTTP/1.1 heads. A head is taken as a whole: first its lines are checked one by one as they
 * come (line ends, control characters, size), then the finished block is split. Fragmentation can
 * therefore change no answer. */
#include "http1.h"

#include "net/addr.h"

/* Bits of byte_class. */
#define C_TCHAR  1 /* RFC 9110 token */
#define C_VALUE  2 /* field value: VCHAR, obs-text, SP, HTAB */
#define C_TARGET 4 /* request target: printable ASCII without '#' and quotes that need encoding */
#define C_HOST   8 /* reg-name, IP literal, port */
#define C_HEX    16

#define START_LINE_MAX (HTTP_TARGET_MAX + 64) /* with method and version */

#define ALPHA_NUM (C_TCHAR | C_VALUE | C_TARGET | C_HOST)
#define RANGE_10(first, v)                                                                         \
    [(first)] = (v), [(first) + 1] = (v), [(first) + 2] = (v), [(first) + 3] = (v),                \
    [(first) + 4] = (v), [(first) + 5] = (v), [(first) + 6] = (v), [(first) + 7] = (v),            \
    [(first) + 8] = (v), [(first) + 9] = (v)
#define RANGE_6(first, v)                                                                          \
    [(first)] = (v), [(first) + 1] = (v), [(first) + 2] = (v), [(first) + 3] = (v),                \
    [(first) + 4] = (v), [(first) + 5] = (v)
#define RANGE_16(first, v) RANGE_10(first, v), RANGE_6((first) + 10, v)

static const uint8_t byte_class[256] = {
    ['\t'] = C_VALUE,
    [' '] = C_VALUE,
    ['!'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['"'] = C_VALUE,
    ['#'] = C_TCHAR | C_VALUE,
    ['$'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['%'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['&'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['\''] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['('] = C_VALUE | C_TARGET | C_HOST,
    [')'] = C_VALUE | C_TARGET | C_HOST,
    ['*'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['+'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    [','] = C_VALUE | C_TARGET,
    ['-'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['.'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['/'] = C_VALUE | C_TARGET,
    RANGE_10('0', ALPHA_NUM | C_HEX),
    [':'] = C_VALUE | C_TARGET | C_HOST,
    [';'] = C_VALUE | C_TARGET | C_HOST,
    ['<'] = C_VALUE,
    ['='] = C_VALUE | C_TARGET | C_HOST,
    ['>'] = C_VALUE,
    ['?'] = C_VALUE | C_TARGET,
    ['@'] = C_VALUE | C_TARGET,
    RANGE_6('A', ALPHA_NUM | C_HEX),
    RANGE_10('G', ALPHA_NUM),
    RANGE_10('Q', ALPHA_NUM),
    ['['] = C_VALUE | C_TARGET | C_HOST,
    ['\\'] = C_VALUE,
    [']'] = C_VALUE | C_TARGET | C_HOST,
    ['^'] = C_TCHAR | C_VALUE,
    ['_'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    ['`'] = C_TCHAR | C_VALUE,
    RANGE_6('a', ALPHA_NUM | C_HEX),
    RANGE_10('g', ALPHA_NUM),
    RANGE_10('q', ALPHA_NUM),
    ['{'] = C_VALUE,
    ['|'] = C_TCHAR | C_VALUE | C_TARGET,
    ['}'] = C_VALUE,
    ['~'] = C_TCHAR | C_VALUE | C_TARGET | C_HOST,
    RANGE_16(0x80, C_VALUE),
    RANGE_16(0x90, C_VALUE),
    RANGE_16(0xA0, C_VALUE),
    RANGE_16(0xB0, C_VALUE),
    RANGE_16(0xC0, C_VALUE),
    RANGE_16(0xD0, C_VALUE),
    RANGE_16(0xE0, C_VALUE),
    RANGE_16(0xF0, C_VALUE),
};

/* How many bytes at the start of `s` are of class `c`. */
static size_t span(struct slice s, uint8_t c)
{
    size_t i = 0;
    while (i < s.n && (byte_class[(uint8_t)s.p[i]] & c))
        i++;
    return i;
}

bool http1_is_token(struct slice s)
{
    return s.n > 0 && span(s, C_TCHAR) == s.n;
}

/* Bytes of `w` that are below 0x20 or DEL, as set high bits; a byte above 0x7F may set the bit of
 * its neighbour too, so that a hit has to be looked at (after "Bit Twiddling Hacks", S. E.
 * Anderson). */
static uint64_t suspicious(uint64_t w)
{
    const uint64_t ones = UINT64_MAX / 255, high = ones * 0x80;
    uint64_t del = w ^ (ones * 0x7F);
    return ((w - ones * 0x20) | ((del - ones) & ~del)) & ~w & high;
}

bool http1_is_value(struct slice s)
{
    while (s.n >= 8) {
        uint64_t w;
        memcpy(&w, s.p, 8);
        if (unlikely(suspicious(w)) && span(slice_of(s.p, 8), C_VALUE) != 8)
            return false;
        s = slice_of(s.p + 8, s.n - 8);
    }
    return span(s, C_VALUE) == s.n;
}

static int too_large(struct slice s)
{
    struct slice start = slice_of(s.p, MIN_OF(s.n, START_LINE_MAX));
    if (slice_find(start, '\n') >= 0)
        return -431;
    return slice_find(start, ' ') >= 0 ? -414
                                       : -501; /* the target, or even the method, has no end */
}

/* A method is a token: anything else is refused before its line is complete. */
static bool plausible_start(struct slice s)
{
    size_t n = span(s, C_TCHAR);
    return n == s.n || (n > 0 && s.p[n] == ' ');
}

/* Does a request line end as those of HTTP/1 do? Older ones would never be followed by fields. */
static bool has_version(struct slice line)
{
    return line.n > 9 && memcmp(line.p + line.n - 9, " HTTP/", 6) == 0;
}

/* Each verdict depends on bytes up to the one that brings it about, never on how many came along.
 */
int http1_head_length(enum http1_kind kind, struct slice s, size_t *scanned)
{
    if (kind == HTTP1_REQUEST && *scanned == 0 && !plausible_start(s))
        return -400;
    for (;;) {
        bool first = *scanned == 0;
        size_t room = first ? START_LINE_MAX + 1 : HTTP_HEAD_MAX - *scanned;
        struct slice line = slice_from(s, *scanned);
        line.n = MIN_OF(line.n, room);
        const char *lf = line.n > 0 ? memchr(line.p, '\n', line.n) : NULL;
        if (lf == NULL) {
            ptrdiff_t cr = slice_find(line, '\r');
            if (cr >= 0 && (size_t)cr + 1 < line.n)
                return -400;
            return line.n == room ? too_large(s) : 0;
        }
        size_t n = (size_t)(lf - line.p);
        if (n == 0 || lf[-1] != '\r' || !http1_is_value(slice_of(line.p, n - 1)))
            return -400;
        if (first && kind == HTTP1_REQUEST && !has_version(slice_of(line.p, n - 1)))
            return -400;
        *scanned += n + 1;
        if (n == 1)
            return first ? -400 : (int)*scanned;
    }
}

/* The next line without its CRLF; the caller has checked that all lines are whole. */
static struct slice next_line(struct slice *s)
{
    ASSERT(s->n > 0); /* the empty line at the end is the last to be taken */
    const char *lf = memchr(s->p, '\n', s->n);
    struct slice line = slice_of(s->p, (size_t)(lf - s->p) - 1);
    *s = slice_from(*s, line.n + 2);
    return line;
}

/* In an answer spaces before the colon are taken away (RFC 9112 5.1); in a request they are
 * refused.
 */
static int parse_fields(enum http1_kind kind, struct slice s, struct http_field *fields,
                        struct http_head *h, const char **ret_why)
{
    h->fields = fields;
    for (struct slice line; line = next_line(&s), line.n > 0;) {
        size_t n = span(line, C_TCHAR), colon = n;
        while (kind == HTTP1_ANSWER && n > 0 && colon < line.n && line.p[colon] == ' ')
            colon++;
        if (n == 0 || colon == line.n || line.p[colon] != ':') {
            *ret_why = "malformed header line";
            return 400;
        }
        if (h->fields_n == HTTP_FIELDS_MAX) {
            *ret_why = "too many header fields";
            return 431;
        }
        struct http_field *f = &fields[h->fields_n++];
        f->name = slice_of(line.p, n);
        f->value = slice_trim(slice_from(line, colon + 1));
        if (f->value.p == NULL)
            f->value = slice_of(line.p + line.n, 0);
        f->id = http_name_of(f->name);
    }
    return 0;
}

/* Comma-separated list in `value`: is `token` in it? */
static bool list_has(struct slice value, struct slice token)
{
    while (value.n > 0) {
        if (slice_eq_nocase(slice_trim(slice_cut(&value, ',')), token))
            return true;
    }
    return false;
}

struct framing {
    unsigned lengths, codings, hosts;
    bool unknown_coding, chunked_apart, bad_length, same_length;
    bool close, keep_alive;
};

static void note_length(struct slice value, struct framing *f, struct http_head *h)
{
    uint64_t n;
    if (!slice_to_u64(value, &n) || n > INT64_MAX) {
        f->bad_length = true;
        return;
    }
    f->same_length = f->lengths == 0 || (f->same_length && h->content_length == (int64_t)n);
    h->content_length = (int64_t)n;
    f->lengths++;
}

static void note_coding(struct slice value, struct framing *f, struct http_head *h)
{
    f->codings++;
    if (slice_eq_nocase(value, SLICE("chunked")))
        h->chunked = true;
    else if (list_has(value, SLICE("chunked")))
        f->chunked_apart = true; /* not the last, or twice */
    else
        f->unknown_coding = true;
}

/* What the fields say about framing and the connection. */
static void read_framing(struct http_head *h, struct framing *f)
{
    *f = (struct framing){0};
    h->content_length = -1;
    for (unsigned i = 0; i < h->fields_n; i++) {
        struct slice v = h->fields[i].value;
        switch (h->fields[i].id) {
        case HTTP_CONTENT_LENGTH: note_length(v, f, h); break;
        case HTTP_TRANSFER_ENCODING: note_coding(v, f, h); break;
        case HTTP_HOST: f->hosts++, h->authority = v; break;
        case HTTP_UPGRADE: h->upgrade = true; break;
        case HTTP_EXPECT: h->expect_continue = slice_eq_nocase(v, SLICE("100-continue")); break;
        case HTTP_CONNECTION:
            f->close |= list_has(v, SLICE("close"));
            f->keep_alive |= list_has(v, SLICE("keep-alive"));
            break;
        default: break;
        }
    }
    h->keep_alive = !f->close && (h->minor >= 1 || f->keep_alive);
}

/* "HTTP/1.1" and the like: 0, 400 for no such thing, 505 for another major version. */
static int parse_version(struct slice v, unsigned *ret_minor)
{
    bool shape = v.n == 8 && memcmp(v.p, "HTTP/", 5) == 0 && v.p[6] == '.' && v.p[5] >= '0' &&
                 v.p[5] <= '9' && v.p[7] >= '0' && v.p[7] <= '9';
    if (!shape)
        return 400;
    if (v.p[5] != '1')
        return 505;
    *ret_minor = v.p[7] == '0' ? 0 : 1; /* 1.2 and up are treated as 1.1 (RFC 9110 2.5) */
    return 0;
}

static const char *const method_texts[HTTP_METHODS_N] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"};

const char *http_method_text(enum http_method m)
{
    return method_texts[m];
}

static bool parse_method(struct slice s, enum http_method *ret)
{
    for (int m = 0; m < HTTP_METHODS_N; m++) {
        if (slice_is(s, method_texts[m])) {
            *ret = (enum http_method)m;
            return true;
        }
    }
    return false;
}

/* host[:port] with a port of at most 65535. */
static bool valid_authority(struct slice s)
{
    if (s.n == 0 || span(s, C_HOST) != s.n)
        return false;
    struct slice port = s;
    if (*s.p == '[') {
        ptrdiff_t close = slice_find(s, ']');
        struct net_addr literal;
        if (close < 0 || !net_addr_parse(slice_of(s.p, (size_t)close + 1), 0, &literal))
            return false;
        port = slice_from(s, (size_t)close + 1);
        if (port.n > 0 && *port.p != ':')
            return false;
    } else if (memchr(s.p, '[', s.n) != NULL || memchr(s.p, ']', s.n) != NULL) {
        return false;
    }
    ptrdiff_t colon = slice_find(port, ':');
    if (colon < 0 || port.p + colon == s.p)
        return colon < 0;
    struct slice digits = slice_from(port, (size_t)colon + 1);
    uint64_t n;
    return (size_t)colon + 1 == port.n || (slice_to_u64(digits, &n) && n <= 65535);
}

/* Splits the target into path and query, and takes the authority of an absolute one. */
static int parse_target(struct http_head *h, struct slice *ret_authority, const char **ret_why)
{
    struct slice t = h->target;
    *ret_why = "malformed request target";
    if (t.n > HTTP_TARGET_MAX) {
        *ret_why = "request target too long";
        return 414;
    }
    if (t.n == 0 || span(t, C_TARGET) != t.n)
        return 400;
    if (h->method == HTTP_CONNECT) {
        *ret_why = "CONNECT is not supported";
        return 501;
    }
    if (slice_is(t, "*")) {
        h->path = t;
        return h->method == HTTP_OPTIONS ? 0 : 400;
    }
    bool http = t.n > 7 && slice_eq_nocase(slice_of(t.p, 7), SLICE("http://"));
    bool https = t.n > 8 && slice_eq_nocase(slice_of(t.p, 8), SLICE("https://"));
    if (http || https) {
        struct slice rest = slice_from(t, http ? 7 : 8);
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
            n++;
        *ret_authority = slice_of(rest.p, n);
        t = n < rest.n ? slice_from(rest, n) : SLICE("/");
        if (!valid_authority(*ret_authority))
            return 400;
    } else if (*t.p != '/') {
        return 400;
    }
    ptrdiff_t mark = slice_find(t, '?');
    h->path = mark < 0 ? t : slice_of(t.p, (size_t)mark);
    h->query = mark < 0 ? SLICE_NONE : slice_of(t.p + mark + 1, t.n - (size_t)mark - 1);
    if (h->path.n == 0)
        h->path = SLICE("/");
    return 0;
}

static int parse_request_line(struct slice line, struct http_head *h, struct slice *ret_authority,
                              const char **ret_why)
{
    *ret_why = "malformed request line";
    ptrdiff_t sp = slice_find(line, ' ');
    if (sp <= 0)
        return 400;
    struct slice method = slice_of(line.p, (size_t)sp);
    struct slice rest = slice_from(line, (size_t)sp + 1);
    ptrdiff_t sp2 = slice_find(rest, ' ');
    if (sp2 <= 0 || span(method, C_TCHAR) != method.n)
        return 400;
    h->target = slice_of(rest.p, (size_t)sp2);
    int status = parse_version(slice_from(rest, (size_t)sp2 + 1), &h->minor);
    if (status != 0) {
        *ret_why = status == 505 ? "HTTP version not supported" : "malformed HTTP version";
        return status;
    }
    if (!parse_method(method, &h->method)) {
        *ret_why = "unknown method";
        return 501;
    }
    return parse_target(h, ret_authority, ret_why);
}

/* RFC 9112 section 6, with every doubt refused. */
static int check_request_framing(struct http_head *h, const struct framing *f, const char **ret_why)
{
    *ret_why = "malformed Content-Length";
    if (f->bad_length || f->lengths > 1)
        return 400;
    *ret_why = "malformed Transfer-Encoding";
    if (f->codings > 1 || f->chunked_apart || (f->codings == 1 && h->minor == 0))
        return 400;
    *ret_why = "Content-Length together with Transfer-Encoding";
    if (f->codings > 0 && f->lengths > 0)
        return 400;
    *ret_why = "unknown transfer coding";
    if (f->unknown_coding)
        return 501;
    *ret_why = "missing or malformed Host";
    if (f->hosts > 1 || (f->hosts == 0 && h->minor >= 1))
        return 400;
    if (f->hosts == 1 && !valid_authority(h->authority))
        return 400;
    return 0;
}

int http1_parse_request(struct slice s, struct http_field *fields, struct http_head *h,
                        const char **ret_why)
{
    struct framing f;
    struct slice authority = SLICE_NONE;
    *h = (struct http_head){0};
    int status = parse_request_line(next_line(&s), h, &authority, ret_why);
    if (status == 0)
        status = parse_fields(HTTP1_REQUEST, s, fields, h, ret_why);
    if (status != 0)
        return status;
    read_framing(h, &f);
    status = check_request_framing(h, &f, ret_why);
    if (authority.p != NULL)
        h->authority = authority;
    if (status == 0 && h->minor == 0)
        h->expect_continue = false;
    return status;
}

static int parse_status_line(struct slice line, struct http_head *h)
{
    uint64_t status;
    if (line.n < 12 || parse_version(slice_of(line.p, 8), &h->minor) != 0 || line.p[8] != ' ')
        return -1;
    if (!slice_to_u64(slice_of(line.p + 9, 3), &status) || status < 100 || status > 599)
        return -1;
    if (line.n > 12 && line.p[12] != ' ')
        return -1;
    h->status = (unsigned)status;
    h->reason = slice_from(line, 13);
    return 0;
}

int http1_parse_answer(struct slice s, struct http_field *fields, struct http_head *h,
                       const char **ret_why)
{
    struct framing f;
    *h = (struct http_head){0};
    *ret_why = "malformed status line";
    if (parse_status_line(next_line(&s), h) != 0 ||
        parse_fields(HTTP1_ANSWER, s, fields, h, ret_why) != 0)
        return -1;
    read_framing(h, &f);
    *ret_why = "malformed framing";
    if (f.bad_length || (f.lengths > 1 && !f.same_length) || f.codings > 1 || f.unknown_coding ||
        f.chunked_apart)
        return -1;
    if (h->chunked) {
        h->content_length = -1;
        if (f.lengths > 0 || h->minor == 0)
            h->keep_alive = false; /* framing that others may see otherwise (RFC 9112 6.1) */
    }
    return 0;
}
