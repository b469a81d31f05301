/* AWS Signature Version 4. The names follow AWS General Reference, "Create a signed AWS API
 * request": canonical request, string to sign, signing key. Every service but S3 encodes the path's
 * segments once more than the wire does. */
#include "llm/aws_sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUERY_MAX      32
#define DATE_BYTES     17 /* "20150830T123600Z" */
#define DAY_BYTES      8
#define CANONICAL_MAX  ((size_t)64 << 10)
#define SCOPE_MAX      160
#define HEX_BYTES      (2 * SHA256_BYTES + 1)
#define ALGORITHM      "AWS4-HMAC-SHA256"
#define SIGNED_HEADERS "host;x-amz-content-sha256;x-amz-date"

/* One signature while it is made. */
struct signing {
    const struct aws_request *r;
    const struct aws_credentials *c;
    char date[DATE_BYTES];
    char scope[SCOPE_MAX]; /* day/region/service/aws4_request */
    char body_hex[HEX_BYTES];
    char signature[HEX_BYTES];
};

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static bool put_canonical_path(struct buf *b, struct slice path)
{
    if (path.n == 0)
        path = SLICE("/");
    if (*path.p != '/')
        return false;
    struct slice rest = slice_from(path, 1), segment;
    buf_char(b, '/');
    while (rest.n > 0) {
        ptrdiff_t slash = slice_find(rest, '/');
        segment = slice_of(rest.p, slash < 0 ? rest.n : (size_t)slash);
        if (segment.n == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
            return false;
        for (size_t i = 0; i < segment.n; i++) {
            if (is_unreserved(segment.p[i]))
                buf_char(b, segment.p[i]);
            else
                buf_printf(b, "%%%02X", (unsigned)(unsigned char)segment.p[i]);
        }
        if (slash >= 0)
            buf_char(b, '/');
        rest = slice_from(rest, segment.n + 1);
    }
    return true;
}

struct query_member {
    struct slice name, value;
};

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.p, b.p, MIN_OF(a.n, b.n));
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_members(const void *a, const void *b)
{
    const struct query_member *x = a, *y = b;
    int order = compare(x->name, y->name);
    return order != 0 ? order : compare(x->value, y->value);
}

static bool put_canonical_query(struct buf *b, struct slice query)
{
    struct query_member members[QUERY_MAX];
    size_t n = 0;
    while (query.n > 0) {
        struct slice value = slice_cut(&query, '&');
        if (value.n == 0)
            continue;
        if (n == QUERY_MAX)
            return false;
        members[n].name = slice_cut(&value, '=');
        members[n++].value = value.p != NULL ? value : SLICE("");
    }
    qsort(members, n, sizeof *members, compare_members);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(b, '&');
        buf_slice(b, members[i].name);
        buf_char(b, '=');
        buf_slice(b, members[i].value);
    }
    return true;
}

static void put_signed_headers(struct buf *b, const struct signing *s)
{
    if (s->r->content_type.n > 0)
        buf_lit(b, "content-type;");
    buf_lit(b, SIGNED_HEADERS);
    if (s->c->session_token.n > 0)
        buf_lit(b, ";x-amz-security-token");
}

/* Values go without blanks at their ends, and with single ones inside. */
static void put_canonical_header(struct buf *b, const char *name, struct slice value)
{
    bool blank = false;
    buf_slice(b, slice_str(name));
    buf_char(b, ':');
    value = slice_trim(value);
    for (size_t i = 0; i < value.n; i++) {
        bool is_blank = value.p[i] == ' ' || value.p[i] == '\t';
        if (!is_blank)
            buf_char(b, value.p[i]);
        else if (!blank)
            buf_char(b, ' ');
        blank = is_blank;
    }
    buf_char(b, '\n');
}

static bool put_canonical_request(struct buf *b, const struct signing *s)
{
    buf_slice(b, s->r->method);
    buf_char(b, '\n');
    if (!put_canonical_path(b, s->r->path))
        return false;
    buf_char(b, '\n');
    if (!put_canonical_query(b, s->r->query))
        return false;
    buf_char(b, '\n');
    if (s->r->content_type.n > 0)
        put_canonical_header(b, "content-type", s->r->content_type);
    put_canonical_header(b, "host", s->r->host);
    put_canonical_header(b, "x-amz-content-sha256", slice_str(s->body_hex));
    put_canonical_header(b, "x-amz-date", slice_str(s->date));
    if (s->c->session_token.n > 0)
        put_canonical_header(b, "x-amz-security-token", s->c->session_token);
    buf_char(b, '\n');
    put_signed_headers(b, s);
    buf_char(b, '\n');
    buf_slice(b, slice_str(s->body_hex));
    return !b->failed;
}

static struct slice digest_slice(const uint8_t digest[SHA256_BYTES])
{
    return slice_of((const char *)digest, SHA256_BYTES);
}

static bool derive_key(const struct signing *s, uint8_t key[SHA256_BYTES])
{
    struct buf first;
    buf_init(&first, CANONICAL_MAX);
    buf_lit(&first, "AWS4");
    buf_slice(&first, s->c->secret);
    struct slice day = slice_of(s->date, DAY_BYTES);
    bool ok = !first.failed && hash_hmac_sha256(buf_view(&first), day, key) &&
              hash_hmac_sha256(digest_slice(key), s->r->region, key) &&
              hash_hmac_sha256(digest_slice(key), s->r->service, key) &&
              hash_hmac_sha256(digest_slice(key), SLICE("aws4_request"), key);
    if (first.p != NULL)
        explicit_bzero(first.p, first.size);
    buf_done(&first);
    return ok;
}

static bool update_key(const struct signing *s, struct aws_signing_key *key)
{
    uint64_t secret_hash = hash64(s->c->secret), scope_hash = hash64(slice_str(s->scope));
    if (key->filled && key->secret_hash == secret_hash && key->scope_hash == scope_hash)
        return true;
    key->filled = derive_key(s, key->key);
    key->secret_hash = secret_hash;
    key->scope_hash = scope_hash;
    return key->filled;
}

static bool sign(struct signing *s, struct aws_signing_key *key, struct slice canonical)
{
    uint8_t digest[SHA256_BYTES];
    char hex[HEX_BYTES], text[sizeof ALGORITHM + DATE_BYTES + SCOPE_MAX + HEX_BYTES];
    if (!hash_sha256(canonical, digest) || !update_key(s, key))
        return false;
    hex_encode(digest, sizeof digest, hex);
    int n = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", ALGORITHM, s->date, s->scope, hex);
    if (!hash_hmac_sha256(digest_slice(key->key), slice_of(text, (size_t)n), digest))
        return false;
    hex_encode(digest, sizeof digest, s->signature);
    return true;
}

static void put_lines(struct buf *out, const struct signing *s)
{
    buf_printf(out, "X-Amz-Date: %s\r\nX-Amz-Content-Sha256: %s\r\n", s->date, s->body_hex);
    if (s->c->session_token.n > 0) {
        buf_lit(out, "X-Amz-Security-Token: ");
        buf_slice(out, s->c->session_token);
        buf_lit(out, "\r\n");
    }
    buf_lit(out, "Authorization: " ALGORITHM " Credential=");
    buf_slice(out, s->c->access_key);
    buf_printf(out, "/%s, SignedHeaders=", s->scope);
    put_signed_headers(out, s);
    buf_printf(out, ", Signature=%s\r\n", s->signature);
}

/* False: the year has no four digits, or region and service are beyond measure. */
static bool begin(struct signing *s, int64_t unix_s)
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    if (gmtime_r(&t, &tm) == NULL || strftime(s->date, sizeof s->date, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return false;
    int n = snprintf(s->scope, sizeof s->scope, "%.*s/%.*s/%.*s/aws4_request", DAY_BYTES, s->date,
                     SLICE_ARG(s->r->region), SLICE_ARG(s->r->service));
    hex_encode(s->r->body_sha256, SHA256_BYTES, s->body_hex);
    return n > 0 && (size_t)n < sizeof s->scope;
}

bool aws_sign(const struct aws_request *r, const struct aws_credentials *c, int64_t unix_s,
              struct aws_signing_key *key, struct buf *out)
{
    struct signing s = {.r = r, .c = c};
    struct buf canonical;
    size_t before = out->n;
    buf_init(&canonical, CANONICAL_MAX);
    bool ok = begin(&s, unix_s) && put_canonical_request(&canonical, &s) &&
              sign(&s, key, buf_view(&canonical));
    buf_done(&canonical);
    if (ok)
        put_lines(out, &s);
    if (out->failed)
        out->n = before;
    return ok && !out->failed;
}
