/* An exchange: one request of a client and its answer. It stands at one step of the table in
 * pipeline.c, runs a step to its end, and waits only for things that have a name and a deadline. */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "admit.h"
#include "attempt.h"
#include "gateway/error.h"
#include "gateway/exchange.h"
#include "gateway/snapshot.h"
#include "llm/dialect.h"
#include "route.h"

struct worker;
struct inflate;
struct rescue;

enum step_result {
    STEP_NEXT,
    STEP_AGAIN, /* x->step was set */
    STEP_WAIT,  /* x->wait says for what */
    STEP_REPLY, /* x->error says what the client is to be told */
    STEP_DONE,
};

/* What an exchange waits for. Each has one waker and one deadline. */
enum wait {
    WAIT_NONE,
    WAIT_BODY,     /* the client; the connection's own limits apply */
    WAIT_PARSE,    /* the thread pool */
    WAIT_PLACE,    /* a gate: TIMEOUT_QUEUE */
    WAIT_UPSTREAM, /* the attempt: the limits of its phases */
    WAIT_PAUSE,    /* before the next attempt: until route.resume_ns */
};

/* How far the answer is. Another target can be tried until it delivers. */
enum stage {
    STAGE_OPEN,       /* nothing has been sent */
    STAGE_HEADED,     /* status, head, comments */
    STAGE_DELIVERING, /* the first content has gone out */
    STAGE_ENDED,
};

#define ATTEMPTS_MAX 4

struct exchange {
    uint32_t magic;
    uint32_t slot, generation;
    struct list node; /* among the worker's open or free ones */
    struct worker *worker;
    struct snapshot_use *use;
    const struct gw_snapshot *snapshot; /* use's */
    uint8_t step;
    enum wait wait;
    enum stage stage;
    struct timer timer;
    bool running;            /* a step is being run */
    enum gw_error cancelled; /* the exchange is to end as soon as the step or job is over */

    /* the client's end */
    const struct sink_ops *sink;
    struct net_stream *client; /* NULL: a child, or gone, or answered */
    struct child *child;       /* of a child exchange that somebody waits for, else NULL */
    const char *purpose;       /* of a child exchange, else NULL */
    struct list children;      /* attached ones, under way */
    bool sink_full;            /* the client is slow: the attempt is paused */
    struct net_addr peer;

    /* the request */
    const struct http_head *head; /* until the first wait only */
    struct arena arena;
    struct slice id; /* request id */
    uint8_t raw_id[16];
    enum http_method method;
    struct slice path, target;
    struct slice forward;     /* header lines of the client that go upstream */
    struct slice pass_fields; /* the same, for passed-through paths only */
    struct slice client_key;  /* its credential, kept for `api_key: client` only */
    const struct gw_key *key;
    struct slice asked_user, asked_use_case; /* by the headers of Weir's own */
    struct slice asked_session, asked_priority;
    enum route_strategy asked_strategy; /* ROUTE_STRATEGIES_N: the alias' */
    struct admission *admission;        /* NULL: not identified yet, or asks no model */
    struct slice cors_origin;           /* echoed when it may read the answer */
    struct slice down_fields;           /* header lines of the upstream's answer that go on */
    struct slice dropped;               /* names of what the target will not see, or empty */
    struct slice version;               /* anthropic-version of the client, or empty */
    struct slice upstream_id;           /* the upstream's x-request-id */
    struct inflate *inflate;            /* the body comes packed */
    struct parse_job *job;              /* a large body being read on the pool */
    size_t pass_bytes; /* length of a body that is passed through, or STREAM_UNKNOWN */
    bool body_done;
    bool model_answered; /* some target has given content */
    bool counted_inflight;
    bool hedged;       /* a second attempt was made, or was not allowed */
    bool last_resort;  /* the answer is the configured text */
    const char *allow; /* of a 405 */
    struct block body;
    size_t announced; /* bytes of it by Content-Length; 0: unknown */
    const struct endpoint *endpoint;
    const struct llm_dialect *dialect; /* of the client */
    struct llm_request request;
    struct llm_chat *chat;  /* the whole of it, once some target speaks another dialect */
    struct slice url_model; /* a model that is named by the path, or empty */
    bool url_stream;
    const struct gw_passthrough *passthrough;

    /* the way */
    const struct gw_model *model; /* NULL: `target` was asked for directly */
    struct gw_target direct;
    struct route route;
    struct rescue *rescue; /* of an alias that rescues streams, else NULL */
    struct attempt *attempts[ATTEMPTS_MAX];
    unsigned attempts_n;
    struct attempt *attempt; /* the live one, or the latest */
    struct attempt *rival;   /* a second live one, until one of them has content; or NULL */
    uint32_t metric_id;

    /* the end */
    enum gw_error error;
    unsigned status;      /* sent to the client */
    struct slice message; /* of the error, when it says more than the row */
    struct slice param;
    const char *code;                /* instead of the row's */
    struct llm_error upstream_error; /* from upstream; without a message: there is none */
    unsigned upstream_status;        /* of that error, when the client is to get it */
    struct slice retry_fields;       /* Retry-After and rate-limit lines from upstream */
    struct llm_usage usage;
    const struct attempt *usage_of; /* whose answer has said it, or NULL */
    int64_t output_units;
    int64_t started_ns, first_content_ns, last_content_ns, content_events, last_sent_ns;
    int64_t bytes_in, bytes_out;
};

#define EXCHANGE_MAGIC 0x58434847u

/* Makes an exchange on `w`, open and at its first step; NULL: no memory. */
struct exchange *exchange_new(struct worker *w);

/* Runs steps until one waits or the exchange is settled, after which `x` must not be touched. */
void exchange_run(struct exchange *x);
/* What was waited for has come: the waiting step runs again. Nothing happens when `x` waits for
 * something else. `x` may be settled when this returns. */
void exchange_wake(struct exchange *x, enum wait what);
/* A deadline may have come nearer. */
void exchange_rearm(struct exchange *x);
/* Waits: arms the timer and returns STEP_WAIT. */
enum step_result exchange_wait(struct exchange *x, enum wait what);
/* The request ends with an error of the gateway's own; returns STEP_REPLY. */
enum step_result exchange_refuse(struct exchange *x, enum gw_error e, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The client is gone, or the gateway goes down: everything is released, nothing is sent. */
void exchange_cancel(struct exchange *x, enum gw_error why);
/* The client cannot be told any more: its connection breaks, and the exchange ends. False, for the
 * caller to return: `x` may be settled. */
bool exchange_break(struct exchange *x, enum gw_error why);

/* pipeline.c: the request's body, as the connection brings it. */
void exchange_body(struct exchange *x, struct slice data);
void exchange_body_end(struct exchange *x);
enum step_result pipeline_step(struct exchange *x);
const char *pipeline_step_name(const struct exchange *x);
/* To the last step: nothing is left but to settle. */
void pipeline_to_settle(struct exchange *x);

/* Is it a request to a model, rather than for the gateway itself? */
bool pipeline_asks_model(const struct exchange *x);
/* What stands at a path that requests to models go to. */
struct pipeline_place {
    const struct llm_dialect *dialect;
    enum llm_op op;
    struct slice model; /* that the path itself names, or empty */
    bool stream;        /* such a path asks for one */
};
/* False: there is no such path, or it is passed through. */
NODISCARD bool pipeline_find(struct slice path, struct pipeline_place *ret);
/* Straight to reading the body, which is there already: how child exchanges begin. */
void pipeline_to_parse(struct exchange *x, enum llm_op op);

/* The request goes to another alias than it asked for. */
void exchange_set_model(struct exchange *x, const struct gw_model *m);

/* request.c: what the head says, copied into the exchange. GW_BAD_REQUEST: its path is malformed.
 */
enum gw_error request_read_head(struct exchange *x, const struct http_head *h);
/* Content-Type and the like, which only a passed-through body has of its own. False: no memory. */
NODISCARD bool request_keep_pass_fields(struct exchange *x, const struct http_head *h);
/* The client's credential, or an empty slice. */
struct slice request_api_key(const struct http_head *h);
/* Has the path segments that stand for other places, "." or ".."? No escapes keep those where they
 * are. */
bool request_path_leaves(struct slice path);
/* The first value of `name` in the query, as it stands there; or an empty slice. */
struct slice request_query(const struct http_head *h, struct slice name);

/* The client has taken what had to wait. */
void exchange_sink_drained(struct exchange *x);

/* Sends to the sink; counts bytes, keeps `stage`, pauses the attempt while the client is slow.
 * False: the client is gone and the caller returns to the loop, for `x` may be settled. */
NODISCARD bool exchange_send(struct exchange *x, const struct net_answer *head, struct slice body,
                             bool end);
/* Lines that every answer carries: ids, target, attempts. Appends to `b`. */
void exchange_put_fields(struct exchange *x, struct buf *b);
/* Sends the error that x->error names: a whole answer, or an event in a stream under way. */
void exchange_send_error(struct exchange *x);

/* child.c: the exchange of `c` has been settled; `whole`: its answer had come to its end. */
void child_settled(struct child *c, bool whole);

/* settle.c: the one place where an exchange ends: log line, metrics, release. */
void exchange_settle(struct exchange *x);

#endif
