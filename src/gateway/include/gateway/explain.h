/* Why requests went where they went. Each worker remembers its latest requests to models: the
 * candidates, what ruled each out, the order, and what came of each attempt. The same is told of a
 * request that nobody has made. */
#ifndef GATEWAY_EXPLAIN_H
#define GATEWAY_EXPLAIN_H

#include "base/buf.h"
#include "base/json.h"
#include "gateway/gateway.h"

#define EXPLAIN_RECORDS 512 /* of each worker, the latest ones */
#define EXPLAIN_SHOWN   16  /* candidates of each; of the others only their number is kept */

/* Appends what is known of the request with that id (x-weir-request-id) as a JSON object. False: no
 * worker knows it, or it is no id. Any thread but the workers'. */
NODISCARD bool gateway_explain(struct gateway *g, struct slice request_id, struct buf *json_out);

/* A request that is only asked about. */
struct explain_ask {
    const struct gw_snapshot *snapshot;
    const struct gw_key *key;                 /* NULL: it comes without one */
    struct slice path, body;                  /* "/v1/chat/completions", and its JSON */
    struct slice use_case, priority, session; /* as its headers would say, or empty */
    struct json_parser *parser;
    struct arena *arena;
    int64_t now_ns, wall_ns; /* of the loops' clock; Unix time */
};

/* Appends a JSON object: what routing would make of it now, or the error that it would end with.
 * Nothing is sent, entered or counted; limits and budgets are not looked at. */
void gateway_explain_ask(const struct explain_ask *q, struct buf *json_out);

#endif
