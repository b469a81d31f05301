/* Starting exchanges from inside: a step, or another layer, asks a model something on behalf of a
 * request. The child has its own limits, its own settlement, and the parent's identity. */
#ifndef GATEWAY_PUBLIC_EXCHANGE_H
#define GATEWAY_PUBLIC_EXCHANGE_H

#include "base/list.h"
#include "base/slice.h"
#include "llm/openai.h"
#include "net/server.h"

struct exchange;

/* Where an answer goes: a client's stream, a buffer, or nothing. */
struct sink_ops {
    enum net_sent (*send)(struct exchange *x, const struct net_answer *head, struct slice body,
                          bool end);
    /* What was promised cannot be kept. */
    void (*abort)(struct exchange *x);
};

#define CHILD_DEPTH_MAX 2
#define CHILD_BODY_MAX  ((size_t)4 << 20)

struct child;
/* `status` 0: there is no whole answer (cancelled, or more than fits). `body` is valid during the
 * call, which may come before exchange_child_start returns. */
typedef void child_done_fn(struct child *c, unsigned status, struct slice body);

/* In the caller's memory when attached; it must stay until `done`. */
struct child {
    const char *purpose; /* for logs: "judge", "embedding" */
    enum llm_op op;
    struct slice body;   /* the request; copied */
    int64_t deadline_ns; /* on the loop's clock */
    bool detached;       /* outlives its parent; `done` is not called and may be NULL */
    child_done_fn *done;
    /* private */
    struct exchange *exchange, *parent;
    struct list node; /* among the parent's */
    unsigned depth;
    struct buf answer;
    unsigned status;
};

/* Starts `c` for `parent`. False: too deep, or no memory. */
NODISCARD bool exchange_child_start(struct exchange *parent, struct child *c);
/* Ends it; `done` is not called. */
void exchange_child_cancel(struct child *c);

#endif
