/* Names of header fields, statuses, and the writing of fields. */
#include "net/http.h"

#include "base/hash.h"
#include "http1.h"

static const struct slice names[HTTP_NAMES_N] = {
#define X(id, text) [HTTP_##id] = {(text), sizeof(text) - 1},
    HTTP_NAMES(X)
#undef X
};

#define NAME_SLOTS 256
static uint8_t name_slots[NAME_SLOTS];

static unsigned name_hash(struct slice s)
{
    unsigned first = (unsigned char)s.p[0] | 0x20u, last = (unsigned char)s.p[s.n - 1] | 0x20u;
    unsigned middle = (unsigned char)s.p[s.n / 2] | 0x20u;
    return ((unsigned)s.n * 7 + first * 31 + last * 131 + middle * 17) % NAME_SLOTS;
}

/* Before main: the table is read by all threads and never written again. */
__attribute__((constructor)) static void fill_name_slots(void)
{
    for (unsigned id = 1; id < HTTP_NAMES_N; id++) {
        unsigned at = name_hash(names[id]);
        while (name_slots[at] != 0)
            at = (at + 1) % NAME_SLOTS;
        name_slots[at] = (uint8_t)id;
    }
}

/* Is `name`, a token, the known name of the same length? In tokens, bit 0x20 is all that tells the
 * cases of a letter apart, and it turns no other byte of a token into one that known names have. */
static bool same_name(struct slice known, struct slice name)
{
    size_t i = 0;
    for (; i + 8 <= name.n; i += 8) {
        uint64_t a, b;
        memcpy(&a, known.p + i, 8);
        memcpy(&b, name.p + i, 8);
        if (a != (b | UINT64_C(0x2020202020202020)))
            return false;
    }
    for (; i < name.n; i++) {
        if (known.p[i] != (name.p[i] | 0x20))
            return false;
    }
    return true;
}

enum http_name http_name_of(struct slice name)
{
    if (name.n == 0)
        return HTTP_OTHER;
    for (unsigned at = name_hash(name); name_slots[at] != 0; at = (at + 1) % NAME_SLOTS) {
        if (names[name_slots[at]].n == name.n && same_name(names[name_slots[at]], name))
            return (enum http_name)name_slots[at];
    }
    return HTTP_OTHER;
}

struct slice http_name_text(enum http_name id)
{
    return names[id];
}

struct slice http_field_find(const struct http_head *h, struct slice name)
{
    for (unsigned i = 0; i < h->fields_n; i++) {
        if (slice_eq_nocase(h->fields[i].name, name))
            return h->fields[i].value;
    }
    return SLICE_NONE;
}

bool http_field_is_hop(const struct http_head *h, const struct http_field *f)
{
    switch (f->id) {
    case HTTP_CONNECTION:
    case HTTP_KEEP_ALIVE:
    case HTTP_PROXY_AUTHENTICATE:
    case HTTP_PROXY_AUTHORIZATION:
    case HTTP_PROXY_CONNECTION:
    case HTTP_TE:
    case HTTP_TRAILER:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_UPGRADE: return true;
    default: break;
    }
    for (unsigned i = 0; i < h->fields_n; i++) {
        struct slice list = h->fields[i].value;
        if (h->fields[i].id != HTTP_CONNECTION)
            continue;
        while (list.n > 0) {
            if (slice_eq_nocase(slice_trim(slice_cut(&list, ',')), f->name))
                return true;
        }
    }
    return false;
}

const char *http_status_text(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

void http_put_field(struct buf *b, struct slice name, struct slice value)
{
    if (!http1_is_token(name) || !http1_is_value(value))
        return;
    buf_slice(b, name);
    buf_lit(b, ": ");
    buf_slice(b, value);
    buf_lit(b, "\r\n");
}

ptrdiff_t http_percent_decode(struct slice s, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int lo = hi >= 0 ? hex_digit(s.p[i + 2]) : -1;
            if (lo < 0)
                return -1;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (c == '\0')
            return -1;
        out[n++] = c;
    }
    return (ptrdiff_t)n;
}
