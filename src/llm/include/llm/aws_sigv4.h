/* AWS Signature Version 4, for requests whose whole body is known. Source: AWS General Reference,
 * "Create a signed AWS API request". Pure: the time is given. */
#ifndef LLM_AWS_SIGV4_H
#define LLM_AWS_SIGV4_H

#include "base/buf.h"
#include "base/hash.h"

struct aws_credentials {
    struct slice access_key, secret;
    struct slice session_token; /* empty: the credentials are lasting ones */
};

/* What is signed: everything as it goes over the wire. */
struct aws_request {
    struct slice method, host;
    struct slice path;            /* percent-encoded, without the query; empty is "/" */
    struct slice query;           /* percent-encoded, without the question mark; may be empty */
    struct slice content_type;    /* empty: the request has no such header */
    const uint8_t *body_sha256;   /* SHA256_BYTES; of the empty text where there is no body */
    struct slice region, service; /* "us-east-1"; "bedrock", "sagemaker", "sts" */
};

/* The derived key, which is good for one secret, day, region and service: whoever signs often keeps
 * one, zeroed at first, and it is derived anew when it has to be. Not for several threads at once.
 */
struct aws_signing_key {
    uint64_t secret_hash, scope_hash;
    uint8_t key[SHA256_BYTES];
    bool filled;
};

/* Appends the header lines X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token (with a session
 * token) and Authorization, each with its CRLF. They, Host and Content-Type are signed; other
 * headers whose names start with x-amz- must not be added. `unix_s`: Unix time in seconds. False:
 * the path has segments that are empty (but for the last) or dots, which AWS would read as another
 * path; the query has over 32 members; or no memory. `out` then holds nothing new. */
NODISCARD bool aws_sign(const struct aws_request *r, const struct aws_credentials *c,
                        int64_t unix_s, struct aws_signing_key *key, struct buf *out);

#endif
