/* One request of `weir pull`. */
#include "pull_request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/addr.h"

#define REDIRECTS_MAX 10
#define CONNECT_NS    (30 * NS_PER_S)
#define HEAD_NS       (60 * NS_PER_S)
#define WAIT_MAX_NS   (120 * NS_PER_S) /* that a server may ask for in Retry-After */
#define SPARE_BYTES   ((int64_t)16 << 20)

/* Ends the request with a step, for a reason. False, for the callbacks. */
static bool end(struct pull *p, enum pull_step step, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool end(struct pull *p, enum pull_step step, const char *fmt, ...)
{
    va_list args;
    p->step = step;
    p->decided = true;
    va_start(args, fmt);
    vsnprintf(p->why, sizeof p->why, fmt, args);
    va_end(args);
    return false;
}

/* An entity tag that is a SHA-256, as the hub gives for large files. */
static bool sha256_of_etag(struct slice tag, char ret[2 * SHA256_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];
    if (tag.n >= 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"')
        tag = slice_of(tag.p + 1, tag.n - 2);
    if (!hex_decode(tag, digest, sizeof digest))
        return false;
    hex_encode(digest, sizeof digest, ret);
    return true;
}

/* What the answers on the way say of the file. An ETag counts as its hash only from the server that
 * was asked first: storage behind it has tags of its own (on the hub, those of Xet). */
static void note_identity(struct pull *p, const struct http_head *h)
{
    struct slice linked = http_field_find(h, SLICE("x-linked-etag"));
    struct slice size = http_field_find(h, SLICE("x-linked-size"));
    struct slice xet = http_field_find(h, SLICE("x-xet-hash"));
    struct slice etag = http_field_find(h, SLICE("etag"));
    char digest[2 * SHA256_BYTES + 1];
    uint64_t bytes;
    if (slice_to_u64(size, &bytes) && bytes < INT64_MAX)
        p->hub_bytes = (int64_t)bytes;
    if (sha256_of_etag(linked, p->hub_sha256) || linked.n > 0 || p->redirected ||
        p->hub_sha256[0] != '\0' || !sha256_of_etag(etag, digest))
        return;
    if (!slice_eq_nocase(xet, slice_str(digest)))
        memcpy(p->hub_sha256, digest, sizeof digest);
}

const char *pull_expected_hash(const struct pull *p)
{
    return p->wanted[0] != '\0' ? p->wanted : p->part.sha256;
}

/* What If-Range can be given later: a strong entity tag, else the time of the last change. */
static void take_validator(struct partfile *part, const struct http_head *h)
{
    struct slice v = http_field_find(h, SLICE("etag"));
    if (v.n == 0 || slice_starts(v, SLICE("W/")))
        v = http_field_find(h, SLICE("last-modified"));
    if (v.n >= sizeof part->validator)
        v.n = 0;
    memcpy(part->validator, v.n > 0 ? v.p : "", v.n);
    part->validator[v.n] = '\0';
}

/* "bytes 0-99/1000", "bytes 0-99/" with an asterisk, "bytes" with one and "/1000"; -1: not given.
 */
static bool parse_range(struct slice s, int64_t *first, int64_t *total)
{
    uint64_t a, b, t;
    *first = *total = -1;
    if (!slice_starts(s, SLICE("bytes ")))
        return false;
    s = slice_trim(slice_from(s, strlen("bytes ")));
    struct slice range = slice_cut(&s, '/');
    if (!slice_is(s, "*")) {
        if (!slice_to_u64(s, &t) || t > INT64_MAX)
            return false;
        *total = (int64_t)t;
    }
    if (slice_is(range, "*"))
        return true;
    struct slice from = slice_cut(&range, '-');
    if (!slice_to_u64(from, &a) || !slice_to_u64(range, &b) || a > b || b >= INT64_MAX)
        return false;
    *first = (int64_t)a;
    return *total < 0 || (int64_t)b < *total;
}

static bool enough_space(struct pull *p)
{
    struct statvfs fs;
    struct buf b;
    int64_t need = p->part.total - p->part.at + SPARE_BYTES;
    if (p->part.total < 0 || statvfs(p->part.dir, &fs) != 0)
        return true; /* writing will tell */
    if ((uint64_t)need / (fs.f_frsize > 0 ? fs.f_frsize : 1) < fs.f_bavail)
        return true;
    buf_init(&b, 200);
    terminal_put_bytes(&b, need);
    buf_lit(&b, " are needed, and ");
    terminal_put_bytes(&b, (int64_t)(fs.f_bavail * fs.f_frsize));
    buf_lit(&b, " are free");
    end(p, PULL_FAILED, SLICE_FMT " in %s", SLICE_ARG(buf_view(&b)), p->part.dir);
    buf_done(&b);
    return false;
}

/* The file that has the name now may be what the server has: then no body is needed. */
static bool compare_present(struct pull *p)
{
    if (pull_expected_hash(p)[0] != '\0')
        return end(p, PULL_COMPARE, "%s", "");
    if (p->present_bytes == p->part.total)
        return end(p, PULL_PRESENT, "%s", "");
    return true;
}

static bool begin_body(struct pull *p, const struct http_head *h)
{
    struct partfile *part = &p->part;
    if (part->at == 0 || p->hub_sha256[0] != '\0') /* the answer to a range may leave it out */
        memcpy(part->sha256, p->hub_sha256, sizeof part->sha256);
    if (p->hub_bytes >= 0 && part->total >= 0 && p->hub_bytes != part->total)
        return end(p, PULL_AGAIN, "the server sends %lld bytes of a file of %lld",
                   (long long)part->total, (long long)p->hub_bytes);
    if (part->total < 0)
        part->total = p->hub_bytes;
    if (part->total < 0 && !h->chunked && pull_expected_hash(p)[0] == '\0')
        return end(p, PULL_FAILED,
                   "the server does not say how long the file is, so a connection "
                   "that is cut would go unnoticed: give its --sha256");
    if ((p->present_bytes >= 0 && !compare_present(p)) || !enough_space(p))
        return false;
    if (!partfile_save(part, p->source.url))
        return end(p, PULL_FAILED, "%s: %s", part->state, strerror(errno));
    p->receiving = true;
    progress_begin(&p->progress, p->source.name, part->total, part->at, clock_mono_ns());
    p->progress_on = true;
    return true;
}

/* 200: the whole file, also where a range was asked for. */
static bool on_whole(struct pull *p, const struct http_head *h)
{
    if (p->part.at > 0)
        fputs("weir pull: the server sends the file from its start\n", stderr);
    if (!partfile_restart(&p->part))
        return end(p, PULL_FAILED, "%s: %s", p->part.part, strerror(errno));
    p->part.total = h->content_length;
    take_validator(&p->part, h);
    return begin_body(p, h);
}

/* 206: the rest, if it is the rest of the same file. */
static bool on_rest(struct pull *p, const struct http_head *h)
{
    struct partfile now = p->part;
    int64_t first, total;
    take_validator(&now, h);
    if (!parse_range(http_field_find(h, SLICE("content-range")), &first, &total) ||
        first != p->part.at || p->part.at == 0)
        return end(p, PULL_RESTART, "the server sent another range than the one asked for");
    if (now.validator[0] != '\0' && strcmp(now.validator, p->part.validator) != 0)
        return end(p, PULL_RESTART, "the file has changed on the server");
    if (total >= 0 && p->part.total >= 0 && total != p->part.total)
        return end(p, PULL_RESTART, "the file has changed its length on the server");
    if (p->part.sha256[0] != '\0' && p->hub_sha256[0] != '\0' &&
        strcmp(p->part.sha256, p->hub_sha256) != 0)
        return end(p, PULL_RESTART, "the file has changed on the server");
    if (total >= 0)
        p->part.total = total;
    return begin_body(p, h);
}

/* 416: there is nothing behind what we have, either because it is all, or because it is too much.
 */
static bool on_no_rest(struct pull *p, const struct http_head *h)
{
    struct partfile now = p->part;
    int64_t first, total;
    take_validator(&now, h);
    bool same = now.validator[0] == '\0' || strcmp(now.validator, p->part.validator) == 0;
    if (parse_range(http_field_find(h, SLICE("content-range")), &first, &total) && same &&
        total == p->part.at && (p->part.total < 0 || p->part.total == total))
        return end(p, PULL_COMPLETE, "%s", "");
    return end(p, PULL_RESTART, "what is there is not a part of the server's file");
}

static void note_retry_after(struct pull *p, const struct http_head *h)
{
    uint64_t seconds;
    if (slice_to_u64(http_field_get(h, HTTP_RETRY_AFTER), &seconds))
        p->retry_after_ns = (int64_t)MIN_OF(seconds, (uint64_t)(WAIT_MAX_NS / NS_PER_S)) * NS_PER_S;
}

static bool on_refusal(struct pull *p, const struct http_head *h)
{
    struct slice detail = http_field_find(h, SLICE("x-error-message")); /* of the hub */
    struct buf shown;
    bool later = h->status == 408 || h->status == 425 || h->status == 429 || h->status >= 500;
    const char *hint = "";
    note_retry_after(p, h);
    if ((h->status == 401 || h->status == 403) && p->source.hub)
        hint = getenv("HF_TOKEN") != NULL ? " (is HF_TOKEN allowed to read it?)"
                                          : " (set HF_TOKEN to a token that may read it)";
    buf_init(&shown, 512);
    buf_lit(&shown, ": ");
    terminal_text_line(&shown, detail, 300);
    end(p, later ? PULL_AGAIN : PULL_FAILED, "the server answers %u %s" SLICE_FMT "%s", h->status,
        http_status_text(h->status), detail.n > 0 ? (int)shown.n : 0, shown.p, hint);
    buf_done(&shown);
    return false;
}

static bool on_head(void *ctx, const struct http_head *h, bool leads_on)
{
    struct pull *p = ctx;
    struct slice coding = http_field_get(h, HTTP_CONTENT_ENCODING);
    note_identity(p, h);
    p->redirected |= leads_on;
    if (leads_on)
        return true;
    if (h->status < 300 && coding.n > 0 && !slice_eq_nocase(coding, SLICE("identity")))
        return end(p, PULL_FAILED, "the server sends the file compressed, although asked not to");
    switch (h->status) {
    case 200: return on_whole(p, h);
    case 206: return on_rest(p, h);
    case 416: return p->part.at > 0 ? on_no_rest(p, h) : on_refusal(p, h);
    default: return on_refusal(p, h);
    }
}

static bool on_data(void *ctx, struct slice data)
{
    struct pull *p = ctx;
    struct partfile *part = &p->part;
    char magic[4];
    bool unchecked = part->at < 4;
    if (part->total >= 0 && (int64_t)data.n > part->total - part->at)
        return end(p, PULL_AGAIN, "the server sends more than it has announced");
    if (!partfile_append(part, data))
        return end(p, PULL_FAILED, "%s: %s", part->part, strerror(errno));
    if (unchecked && part->at >= 4 &&
        (pread(part->fd, magic, 4, 0) != 4 || memcmp(magic, "GGUF", 4) != 0))
        return end(p, PULL_FAILED, "what the server sends is no GGUF file");
    return true;
}

static bool on_tick(void *ctx, int64_t now_ns)
{
    struct pull *p = ctx;
    if (p->progress_on)
        progress_show(&p->progress, p->part.at, now_ns);
    return true;
}

/* May a credential go to this server? Over TLS, or to this machine. */
static bool protected_url(struct slice url)
{
    struct arena a;
    struct net_url parsed;
    struct net_addr addr;
    struct slice target;
    const char *why;
    arena_init(&a, NULL, (size_t)1 << 20);
    bool ok = fetch_url(url, &a, &parsed, &target, &why) &&
              (parsed.tls || slice_is(parsed.host, "localhost") ||
               (net_addr_parse(parsed.host, 0, &addr) && net_addr_is_loopback(&addr)));
    arena_reset(&a);
    return ok;
}

static void put_token(const struct pull *p, struct buf *out)
{
    const char *token = getenv("HF_TOKEN");
    char value[600];
    if (!p->source.hub || token == NULL || token[0] == '\0' || !protected_url(p->source.url))
        return;
    int n = snprintf(value, sizeof value, "Bearer %s", token);
    if (n > 0 && (size_t)n < sizeof value)
        http_put_field(out, SLICE("Authorization"), slice_of(value, (size_t)n));
}

/* What the end of the request means where no callback has decided it. */
static void judge(struct pull *p, const struct fetch_outcome *o)
{
    bool seen = p->part.at > p->began_at || p->redirected || o->headed;
    if (o->end == FETCH_CANCELLED)
        end(p, PULL_STOPPED, "%s", "");
    else if (o->end == FETCH_REFUSED)
        end(p, PULL_FAILED, "%s", o->why);
    else if (o->end == FETCH_TIMEOUT)
        end(p, PULL_AGAIN, "%s", o->why);
    else if (o->end == FETCH_FAILED && !seen &&
             (o->fail == NET_FAIL_TLS || o->fail == NET_FAIL_PROXY ||
              o->fail == NET_FAIL_BAD_ANSWER))
        end(p, PULL_FAILED, "%s", o->why); /* nothing has ever worked: a matter of set-up */
    else if (o->end == FETCH_FAILED)
        end(p, PULL_AGAIN, "%s", o->why);
    else if (p->part.total >= 0 && p->part.at < p->part.total)
        end(p, PULL_AGAIN, "the server sent less than it has announced");
    else
        end(p, PULL_COMPLETE, "%s", "");
}

void pull_request(struct pull *p)
{
    struct buf fields, credential;
    p->decided = false;
    if (p->part.at > 0 && p->part.validator[0] == '\0' && !partfile_restart(&p->part)) {
        end(p, PULL_FAILED, "%s: %s", p->part.part, strerror(errno));
        return;
    }
    buf_init(&fields, 2048);
    buf_init(&credential, 1024);
    http_put_field(&fields, SLICE("Accept"), SLICE("*/*"));
    http_put_field(&fields, SLICE("Accept-Encoding"), SLICE("identity"));
    if (p->part.at > 0) {
        buf_printf(&fields, "Range: bytes=%lld-\r\n", (long long)p->part.at);
        http_put_field(&fields, SLICE("If-Range"), slice_str(p->part.validator));
    }
    put_token(p, &credential);
    const struct fetch_request r = {.method = HTTP_GET,
                                    .url = p->source.url,
                                    .fields = buf_view(&fields),
                                    .credential = buf_view(&credential),
                                    .redirects_max = REDIRECTS_MAX,
                                    .connect_ns = CONNECT_NS,
                                    .head_ns = HEAD_NS,
                                    .idle_ns = p->idle_ns,
                                    .on_head = on_head,
                                    .on_data = on_data,
                                    .on_tick = on_tick,
                                    .ctx = p};
    p->receiving = p->redirected = p->progress_on = false;
    p->hub_sha256[0] = '\0';
    p->hub_bytes = -1;
    p->retry_after_ns = 0;
    p->began_at = p->part.at;
    struct fetch_outcome o = fetch(p->fetcher, &r);
    if (p->progress_on)
        progress_end(&p->progress);
    if (!p->decided || o.end == FETCH_CANCELLED)
        judge(p, &o);
    buf_done(&fields);
    buf_done(&credential);
}
