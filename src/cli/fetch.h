/* HTTP for commands: one request at a time, and the caller waits for it. A private event loop under
 * it does the work; proxies come from the environment (net/egress.h), authorities from the system,
 * SSL_CERT_FILE and a file of one's own. */
#ifndef CLI_FETCH_H
#define CLI_FETCH_H

#include "net/http.h"
#include "net/upstream.h"

struct fetcher;

/* `ca_file` (or NULL) adds authorities; `user_agent`, unless NULL, goes with every request. Both
 * stay in place. NULL: no memory, or no event loop. */
NODISCARD struct fetcher *fetcher_new(const char *ca_file, const char *user_agent);
void fetcher_free(struct fetcher *f); /* NULL is fine */

/* While a request runs, `fd` becoming readable cancels it (terminal.h, interrupts_catch). */
void fetcher_cancel_on(struct fetcher *f, int fd);

struct fetch_request {
    enum http_method method;
    struct slice url; /* http:// or https://, with a query if need be; a fragment is cut off */
    struct upstream
        *upstream;       /* that leads there by a way of its own; redirects_max is 0. Or NULL */
    struct slice fields; /* complete lines, to whoever answers in the end */
    struct slice
        credential; /* complete lines for the origin of `url` alone, not where it leads to */
    struct slice body;
    bool has_body;
    unsigned redirects_max; /* 0: a redirect is an answer like any other */
    int64_t connect_ns;     /* limits: name, connection and TLS together; */
    int64_t head_ns;        /* until the answer begins; */
    int64_t idle_ns;        /* without a byte of its body. 0: none */
    /* The head of the final answer, or, with `leads_on`, of one that is followed elsewhere. False
     * ends the request. */
    bool (*on_head)(void *ctx, const struct http_head *head, bool leads_on);
    /* A piece of the final answer's body. False ends the request. */
    bool (*on_data)(void *ctx, struct slice data);
    /* Ten times a second; may be NULL. False ends the request. */
    bool (*on_tick)(void *ctx, int64_t now_ns);
    void *ctx;
};

enum fetch_end {
    FETCH_DONE,      /* the answer is complete, whatever its status */
    FETCH_STOPPED,   /* a callback said so */
    FETCH_CANCELLED, /* see fetcher_cancel_on */
    FETCH_FAILED,    /* see `fail` */
    FETCH_TIMEOUT,
    FETCH_REFUSED, /* the URL, a redirect or the proxy is not acceptable: trying again is no use */
};

struct fetch_outcome {
    enum fetch_end end;
    enum net_fail fail; /* with FETCH_FAILED */
    bool headed;        /* the final answer's head had come */
    char why[400];      /* for people, "" with DONE and STOPPED */
};

/* Carries the request out. */
struct fetch_outcome fetch(struct fetcher *f, const struct fetch_request *r);

/* Parses an absolute URL that may have a query and a fragment; `ret_target` is its path and query
 * as a request needs them, in `a`. Bytes that may not stand in a URL are percent-encoded. */
NODISCARD bool fetch_url(struct slice url, struct arena *a, struct net_url *ret,
                         struct slice *ret_target, const char **ret_why);

#endif
