/* Where a credential comes from, as a sequence of HTTP calls or none at all. A source says what to
 * ask and reads the answers; it does no I/O but reading files, and knows no time but what it is
 * told. credentials.c runs it. */
#ifndef CONTROL_CREDENTIAL_SOURCE_H
#define CONTROL_CREDENTIAL_SOURCE_H

#include "base/json.h"
#include "control/config.h"
#include "gateway/credential.h"
#include "net/http.h"

#define SOURCE_ANSWER_MAX ((size_t)64 << 10)
#define SOURCE_WHY_MAX    200

enum source_result {
    SOURCE_CALL,   /* make the call that the round describes, then come back */
    SOURCE_DONE,   /* the value is in the round */
    SOURCE_FAILED, /* round->why says why */
};

/* One round of getting a value. Everything in it is wiped at its end. */
struct source_round {
    struct arena arena;
    struct json_parser *parser;
    int64_t wall_ns; /* now */
    unsigned step;   /* calls that have been answered */
    /* the next call */
    enum http_method method;
    struct slice target; /* path and query; the origin is the source's */
    struct slice fields; /* complete header lines */
    struct slice body;
    bool has_body;
    /* the last call's answer */
    unsigned status;
    struct slice answer;
    struct slice kept; /* the source's own, from one call to the next */
    /* the value */
    struct slice token;
    struct gw_aws_keys keys;
    int64_t life_ns; /* how long it is good; CREDENTIAL_FOREVER */
    char why[SOURCE_WHY_MAX];
};

struct source;

struct source_ops {
    enum gw_credential_kind kind;
    /* Called with step 0 to begin, then after each answer. */
    enum source_result (*next)(const struct source *s, struct source_round *r);
};

struct source {
    const struct source_ops *ops;
    struct slice identity; /* same identity, same credential; no secret */
    struct slice label;    /* for logs: "service account x@y" */
    struct slice url;      /* origin and path of its calls, without a query; .n 0: makes none */
    bool direct;           /* link-local: never through a proxy */
    struct slice watch;    /* a file whose changes begin a new round; .n 0: none */
    struct slice secret;   /* as the source needs it; what it means is the source's */
    struct slice text[3];  /* settings, the source's own */
    struct slice path;     /* of `url`; filled in by credentials.c */
};

/* What a source is made from. Text that stays is put into `keep`, the secret may stand in
 * `scratch`: it is moved to locked memory. */
struct source_build {
    const struct config_provider *provider;
    struct arena *keep, *scratch;
    config_getenv *env;
    char why[SOURCE_WHY_MAX]; /* of a failure */
};

/* The source that the provider's configuration asks for. `*ret_none`: none, its header lines are
 * fixed. False: see b->why. */
NODISCARD bool source_make(struct source_build *b, struct source *ret, bool *ret_none);
/* The same, by kind of provider. */
NODISCARD bool source_make_google(struct source_build *b, struct source *ret);
NODISCARD bool source_make_azure(struct source_build *b, struct source *ret);
NODISCARD bool source_make_aws(struct source_build *b, struct source *ret);

/* ---- for those who write sources */

bool source_error(struct source_build *b, const char *fmt, ...) PRINTF_LIKE(2, 3); /* false */
enum source_result source_fail(struct source_round *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A variable that is set and not empty, or NULL. */
const char *source_env(const struct source_build *b, const char *name);

/* "a=b" parts of a form or a query, percent-encoded (RFC 3986 section 2.3 is left as it is). */
void source_put_pair(struct buf *out, const char *name, struct slice value);

/* 16 hex digits that change with the secret, for identities; in `a`. */
struct slice source_digest(struct slice secret, struct arena *a);

/* A file of at most SOURCE_ANSWER_MAX bytes, in `a`. .p NULL: errno says why (EFBIG: too large). */
struct slice source_read_file(const char *path, struct arena *a);

/* The string member `name` of the round's answer; .p NULL: there is none. For use after
 * source_parse. */
struct slice source_member(const struct json_doc *d, const char *name, struct arena *a);
/* Parses the answer; false: it is no JSON object. */
bool source_parse(struct source_round *r, struct json_doc *ret);

/* Fails with the status of the answer and what its JSON says about it. */
enum source_result source_refuse(struct source_round *r);

/* Reads a token endpoint's answer (RFC 6749 section 5), which may also carry expires_on or numbers
 * between quotes (Azure): SOURCE_DONE or SOURCE_FAILED. */
enum source_result source_read_token(struct source_round *r);

/* Nanoseconds from r->wall_ns until the time of an RFC 3339 text; false: no such text. */
bool source_parse_expiry(const struct source_round *r, struct slice text, int64_t *ret_ns);

#endif
