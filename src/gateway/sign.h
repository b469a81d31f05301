/* Credentials that are no fixed header: tokens that are fetched, and AWS's signatures. */
#ifndef GATEWAY_SIGN_H
#define GATEWAY_SIGN_H

#include "base/buf.h"
#include "gateway/credential.h"
#include "gateway/error.h"
#include "llm/aws_sigv4.h"
#include "net/upstream.h"

struct attempt;
struct gw_provider;

/* Who is asked, and a request that is complete but for what authorises it. */
struct sign_ask {
    const struct gw_provider *provider;
    const struct net_request *request;
    int64_t now_ns; /* monotonic */
    struct arena *arena;
    struct aws_signing_key *key; /* the caller's */
};

/* Appends the header lines that authorise it; none where the provider's fields are fixed. False: no
 * memory. `*ret_state`: FRESH, or why there is no credential at the moment. */
NODISCARD bool sign_lines(const struct sign_ask *q, struct buf *out,
                          enum gw_credential_state *ret_state);

/* The same for an attempt. GW_UPSTREAM_AUTH: there is no credential. */
enum gw_error sign_request(struct attempt *a, struct buf *out);

#endif
