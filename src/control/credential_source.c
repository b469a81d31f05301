/* What the sources of credentials share: see credential_source.h. */
#include "credential_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

#define FOREIGN_WORD_MAX 37                 /* a UUID has 36 */
#define LIFE_MAX_S       INT64_C(315360000) /* ten years: more is a mistake, and would overflow */

bool source_error(struct source_build *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(b->why, sizeof b->why, fmt, args);
    va_end(args);
    return false;
}

enum source_result source_fail(struct source_round *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, args);
    va_end(args);
    return SOURCE_FAILED;
}

bool source_make(struct source_build *b, struct source *ret, bool *ret_none)
{
    const struct config_provider *p = b->provider;
    const struct config_cloud *c = &p->cloud;
    *ret_none = false;
    if (p->api_key.n == 0 && p->api_keys.n == 0) {
        if (slice_is(p->type, "vertex"))
            return source_make_google(b, ret);
        if (slice_is(p->type, "bedrock") || slice_is(p->type, "sagemaker"))
            return source_make_aws(b, ret);
        if (slice_is(p->type, "azure") && (c->entra.tenant.n > 0 || c->managed_identity.n > 0))
            return source_make_azure(b, ret);
    }
    *ret_none = true;
    return true;
}

const char *source_env(const struct source_build *b, const char *name)
{
    const char *value = b->env(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_unreserved(char c)
{
    char low = (char)(c | 0x20);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

void source_put_pair(struct buf *out, const char *name, struct slice value)
{
    static const char digits[] = "0123456789ABCDEF";
    if (out->n > 0)
        buf_char(out, '&');
    buf_append(out, name, strlen(name));
    buf_char(out, '=');
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = (uint8_t)value.p[i];
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (is_unreserved(value.p[i]))
            buf_char(out, value.p[i]);
        else
            buf_append(out, escape, sizeof escape);
    }
}

struct slice source_digest(struct slice secret, struct arena *a)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * 8 + 1];
    if (!hash_sha256(secret, digest))
        return SLICE_NONE;
    hex_encode(digest, 8, hex);
    return arena_copy(a, slice_str(hex));
}

struct slice source_read_file(const char *path, struct arena *a)
{
    struct stat st;
    struct slice text = SLICE_NONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return text;
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    char *out = plain ? arena_alloc(a, SOURCE_ANSWER_MAX + 1) : NULL;
    size_t n = 0;
    ssize_t got = out != NULL ? 1 : -1;
    errno = !plain ? EINVAL : out == NULL ? ENOMEM : 0;
    while (got > 0 && n <= SOURCE_ANSWER_MAX) {
        got = read(fd, out + n, SOURCE_ANSWER_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            n += (size_t)got;
    }
    if (got >= 0 && n <= SOURCE_ANSWER_MAX)
        text = slice_of(out, n);
    else if (got >= 0)
        errno = EFBIG;
    int error = errno;
    close(fd);
    errno = error;
    return text;
}

struct slice source_member(const struct json_doc *d, const char *name, struct arena *a)
{
    uint32_t node = json_get(d, 0, slice_str(name));
    return node != 0 && json_type_at(d, node) == JSON_STRING ? json_string(d, node, a) : SLICE_NONE;
}

bool source_parse(struct source_round *r, struct json_doc *ret)
{
    return json_parse(r->parser, r->answer, 0, ret) == JSON_OK &&
           json_type_at(ret, 0) == JSON_OBJECT;
}

/* A whole number, also one between quotes. */
static bool member_number(const struct json_doc *d, const char *name, int64_t *ret)
{
    uint32_t node = json_get(d, 0, slice_str(name));
    uint64_t v;
    if (node == 0)
        return false;
    if (json_type_at(d, node) == JSON_NUMBER)
        return json_i64(d, node, ret);
    if (json_type_at(d, node) != JSON_STRING || !slice_to_u64(json_inner(d, node), &v) ||
        v > INT64_MAX)
        return false;
    *ret = (int64_t)v;
    return true;
}

/* Appends a server's text to `out` for a log: words so long that they could be a secret, an
 * assertion or a token are left out, and so is everything from a line break on. */
static void put_foreign(struct buf *out, struct slice s)
{
    size_t n = 0;
    while (n < s.n && (uint8_t)s.p[n] >= ' ' && s.p[n] != 0x7F)
        n++;
    for (struct slice rest = slice_of(s.p, n); rest.n > 0;) {
        struct slice word = slice_cut(&rest, ' ');
        buf_slice(out, word.n < FOREIGN_WORD_MAX ? word : SLICE("***"));
        if (rest.n > 0)
            buf_char(out, ' ');
    }
}

enum source_result source_refuse(struct source_round *r)
{
    struct json_doc d;
    if (!source_parse(r, &d))
        return source_fail(r, "HTTP %u", r->status);
    static const char *const names[] = {"error", "error_description", "message"};
    struct buf text;
    buf_init(&text, (size_t)1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice part = source_member(&d, names[i], &r->arena);
        if (part.n > 0)
            buf_lit(&text, ": ");
        put_foreign(&text, part);
    }
    source_fail(r, "HTTP %u" SLICE_FMT, r->status, SLICE_ARG(buf_view(&text)));
    buf_done(&text);
    return SOURCE_FAILED;
}

enum source_result source_read_token(struct source_round *r)
{
    struct json_doc d;
    int64_t life_s, until_s;
    if (r->status != 200)
        return source_refuse(r);
    if (!source_parse(r, &d))
        return source_fail(r, "the answer is no JSON object");
    r->token = source_member(&d, "access_token", &r->arena);
    if (r->token.n == 0)
        return source_fail(r, "the answer has no access_token");
    if (!member_number(&d, "expires_in", &life_s)) {
        if (!member_number(&d, "expires_on", &until_s) || until_s > INT64_MAX / NS_PER_S)
            return source_fail(r, "the answer does not say when the token expires");
        life_s = until_s - r->wall_ns / NS_PER_S;
    }
    if (life_s <= 0 || life_s > LIFE_MAX_S)
        return source_fail(r, "the token in the answer has expired already");
    r->life_ns = life_s * NS_PER_S;
    return SOURCE_DONE;
}

/* Two digits at `p`, or -1. */
static int two_digits(const char *p)
{
    bool digits = p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9';
    return digits ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

/* The offset of "Z", "+01:00" and the like behind an optional fraction, in seconds. */
static bool parse_zone(struct slice s, int64_t *ret_s)
{
    size_t i = 0;
    if (i < s.n && s.p[i] == '.')
        for (i = 1; i < s.n && s.p[i] >= '0' && s.p[i] <= '9';)
            i++;
    s = slice_from(s, i);
    if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')) {
        *ret_s = 0;
        return true;
    }
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' || two_digits(s.p + 1) < 0 ||
        two_digits(s.p + 4) < 0)
        return false;
    int64_t offset = two_digits(s.p + 1) * INT64_C(3600) + two_digits(s.p + 4) * INT64_C(60);
    *ret_s = s.p[0] == '-' ? -offset : offset;
    return true;
}

bool source_parse_expiry(const struct source_round *r, struct slice text, int64_t *ret_ns)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    int64_t zone_s;
    if (text.n < sizeof shape || !parse_zone(slice_from(text, sizeof shape - 1), &zone_s))
        return false;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        bool digit = text.p[i] >= '0' && text.p[i] <= '9';
        if (shape[i] == 'd' ? !digit : (text.p[i] & ~0x20) != (shape[i] & ~0x20))
            return false;
    }
    struct tm tm = {.tm_year = two_digits(text.p) * 100 + two_digits(text.p + 2) - 1900,
                    .tm_mon = two_digits(text.p + 5) - 1,
                    .tm_mday = two_digits(text.p + 8),
                    .tm_hour = two_digits(text.p + 11),
                    .tm_min = two_digits(text.p + 14),
                    .tm_sec = two_digits(text.p + 17)};
    int64_t life_s = (int64_t)timegm(&tm) - zone_s - r->wall_ns / NS_PER_S;
    *ret_ns = MIN_OF(MAX_OF(life_s, -LIFE_MAX_S), LIFE_MAX_S) * NS_PER_S;
    return true;
}
