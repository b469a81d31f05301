/* HTTP messages as the layers above see them: heads as lists of fields, no connections, no chunks.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/buf.h"
#include "base/slice.h"

#define HTTP_HEAD_MAX    ((size_t)32768) /* bytes of a request or response head */
#define HTTP_TARGET_MAX  ((size_t)8192)
#define HTTP_FIELDS_MAX  100
#define HTTP_TRAILER_MAX ((size_t)8192)

/* Fields that some code asks for by name. Adding a row makes http_field_get work for it. */
#define HTTP_NAMES(X)                                                                              \
    X(ACCEPT, "accept")                                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(ALLOW, "allow")                                                                              \
    X(ANTHROPIC_BETA, "anthropic-beta")                                                            \
    X(ANTHROPIC_VERSION, "anthropic-version")                                                      \
    X(API_KEY, "api-key")                                                                          \
    X(AUTHORIZATION, "authorization")                                                              \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(DATE, "date")                                                                                \
    X(EXPECT, "expect")                                                                            \
    X(FORWARDED, "forwarded")                                                                      \
    X(HOST, "host")                                                                                \
    X(IDEMPOTENCY_KEY, "idempotency-key")                                                          \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(LOCATION, "location")                                                                        \
    X(OPENAI_BETA, "openai-beta")                                                                  \
    X(ORIGIN, "origin")                                                                            \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(RANGE, "range")                                                                              \
    X(REQUEST_ID, "request-id")                                                                    \
    X(RETRY_AFTER, "retry-after")                                                                  \
    X(RETRY_AFTER_MS, "retry-after-ms")                                                            \
    X(SERVER, "server")                                                                            \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(TE, "te")                                                                                    \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(UPGRADE, "upgrade")                                                                          \
    X(USER_AGENT, "user-agent")                                                                    \
    X(X_AMZN_REQUESTID, "x-amzn-requestid")                                                        \
    X(X_API_KEY, "x-api-key")                                                                      \
    X(X_CLIENT_REQUEST_ID, "x-client-request-id")                                                  \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_GOOG_API_KEY, "x-goog-api-key")                                                            \
    X(X_WEIR_PRIORITY, "x-weir-priority")                                                          \
    X(X_WEIR_SESSION, "x-weir-session")                                                            \
    X(X_WEIR_USER, "x-weir-user")                                                                  \
    X(X_WEIR_USE_CASE, "x-weir-use-case")                                                          \
    X(X_REQUEST_ID, "x-request-id")

enum http_name {
    HTTP_OTHER,
#define X(id, text) HTTP_##id,
    HTTP_NAMES(X)
#undef X
        HTTP_NAMES_N
};

/* Which known name `name`, a token, is, without regard to case. */
enum http_name http_name_of(struct slice name);
struct slice http_name_text(enum http_name id);

struct http_field {
    struct slice name, value;
    enum http_name id;
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_CONNECT,
    HTTP_METHODS_N,
};
const char *http_method_text(enum http_method m);

struct http_head {
    /* of a request */
    enum http_method method;
    struct slice target;    /* as it came */
    struct slice path;      /* without query; "*" for OPTIONS * */
    struct slice query;     /* behind the '?', .p NULL when there is none */
    struct slice authority; /* of an absolute target, else the Host field */
    /* of an answer */
    unsigned status;
    struct slice reason;
    /* of both */
    unsigned minor;         /* HTTP/1.<minor>, 0 or 1 */
    int64_t content_length; /* -1: not given */
    bool chunked;
    bool keep_alive; /* what the peer wants for its connection */
    bool expect_continue;
    bool upgrade;
    unsigned fields_n;
    struct http_field *fields;
};

/* The first field of that name, or SLICE_NONE. */
static inline struct slice http_field_get(const struct http_head *h, enum http_name id)
{
    for (unsigned i = 0; i < h->fields_n; i++) {
        if (h->fields[i].id == id)
            return h->fields[i].value;
    }
    return SLICE_NONE;
}

/* The same for a name without a row in HTTP_NAMES. */
struct slice http_field_find(const struct http_head *h, struct slice name);

/* Is the field hop-by-hop (RFC 9110 section 7.6.1), or named in a Connection field of `h`? */
bool http_field_is_hop(const struct http_head *h, const struct http_field *f);

const char *http_status_text(unsigned status);

/* Appends "name: value CRLF"; a value with CR, LF or NUL is dropped whole, and so is a name that is
 * no token: nothing that comes from a request can start a line of its own. */
void http_put_field(struct buf *b, struct slice name, struct slice value);

/* Percent-decodes `s` into `out` (s.n bytes); returns the length, or -1 for a bad escape or NUL. */
ptrdiff_t http_percent_decode(struct slice s, char *out);

#endif
