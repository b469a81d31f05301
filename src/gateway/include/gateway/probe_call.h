/* A completion that nobody has asked for, to find out whether a target answers: the smallest there
 * is (llm/smallest.h), authorised like any request there. It costs what such a call costs. */
#ifndef GATEWAY_PROBE_CALL_H
#define GATEWAY_PROBE_CALL_H

#include "gateway/snapshot.h"
#include "llm/aws_sigv4.h"
#include "net/upstream.h"

/* Zeroed at first. What `request` points to is here and in the target's snapshot. */
struct gw_probe_call {
    struct arena arena;
    struct buf body, fields;
    struct slice part;
    struct net_request request;
    struct aws_signing_key signing_key;
};

/* Makes the request. False: there is no memory, or no credential at the moment. Either way
 * gw_probe_call_done() frees what it took; it may be made again after that. */
NODISCARD bool gw_probe_call_make(struct gw_probe_call *c, const struct gw_target *t,
                                  struct json_parser *json, int64_t now_ns);
/* Is the body of a 2xx an answer, and what does it say that it used? */
bool gw_probe_call_read(struct gw_probe_call *c, const struct gw_target *t,
                        struct json_parser *json, struct slice body, struct llm_usage *ret_usage);
void gw_probe_call_done(struct gw_probe_call *c);

#endif
