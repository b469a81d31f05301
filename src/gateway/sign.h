/* Credentials that are no fixed header: tokens that are fetched, and AWS's signatures. */
#ifndef GATEWAY_SIGN_H
#define GATEWAY_SIGN_H

#include "base/buf.h"
#include "gateway/error.h"

struct attempt;

/* Appends the header lines that authorise the attempt's request, which is complete but for them;
 * none where the provider's fields are fixed. GW_UPSTREAM_AUTH: there is no credential at the
 * moment, and x->message says why. */
enum gw_error sign_request(struct attempt *a, struct buf *out);

#endif
