/* Every way a request can end other than with the upstream's answer: one row each. Clients see it
 * in their own dialect, the access log and metrics by name, docs/errors.md is generated. */
#ifndef GATEWAY_ERROR_H
#define GATEWAY_ERROR_H

#include "base/buf.h"
#include "observe/metrics.h"

#define T_REQUEST "invalid_request_error"
#define T_SERVER  "server_error"

/* X(id, HTTP status, type, code, may another target be tried, message) */
#define GW_ERRORS(X)                                                                               \
    X(BAD_REQUEST, 400, T_REQUEST, "bad_request", NO, "The request is malformed.")                 \
    X(INVALID_BODY, 400, T_REQUEST, "invalid_body", NO, "The request body is not acceptable.")     \
    X(UNSUPPORTED, 400, T_REQUEST, "unsupported_parameter", YES,                                   \
      "The model cannot do what the request asks for.")                                            \
    X(PINNED, 400, T_REQUEST, "unsupported_parameter", NO,                                         \
      "The request refers to what one provider has stored.")                                       \
    X(NO_OPERATION, 404, T_REQUEST, "unsupported_operation", YES,                                  \
      "The provider has no such operation.")                                                       \
    X(NO_KEY, 401, T_REQUEST, "missing_api_key", NO,                                               \
      "You didn't provide an API key. Send it as `Authorization: Bearer KEY`.")                    \
    X(BAD_KEY, 401, T_REQUEST, "invalid_api_key", NO, "Incorrect API key provided.")               \
    X(NOT_YOURS, 403, T_REQUEST, "forbidden", NO,                                                  \
      "This key may not say whom or what its requests are for.")                                   \
    X(NETWORK, 403, T_REQUEST, "forbidden", NO, "This key may not be used from this network.")     \
    X(MODEL_FORBIDDEN, 403, T_REQUEST, "model_not_allowed", NO, "This key may not use the model.") \
    X(TARGET_FORBIDDEN, 403, T_REQUEST, "model_not_allowed", YES,                                  \
      "This key may not use any provider that has the model.")                                     \
    X(UNPRICED, 403, T_REQUEST, "price_unknown", YES,                                              \
      "The price of this model is not known, and a budget limits what the request may cost.")      \
    X(LIMIT_TOO_SMALL, 400, T_REQUEST, "limit_too_small", NO,                                      \
      "The request asks for more than its limits can ever allow.")                                 \
    X(RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded", NO, "Rate limit reached.")     \
    X(BUDGET, 429, "insufficient_quota", "insufficient_quota", YES, "The budget is used up.")      \
    X(LEDGER_FULL, 503, T_SERVER, "ledger_full", NO,                                               \
      "What requests use cannot be written down at the moment. Try again shortly.")                \
    X(FORBIDDEN, 403, T_REQUEST, "forbidden", NO, "This is not allowed.")                          \
    X(NOT_FOUND, 404, T_REQUEST, "unknown_url", NO, "There is nothing at this path.")              \
    X(MODEL_NOT_FOUND, 404, T_REQUEST, "model_not_found", NO, "There is no such model.")           \
    X(MODEL_AMBIGUOUS, 400, T_REQUEST, "model_ambiguous", NO,                                      \
      "Several providers have this model.")                                                        \
    X(METHOD, 405, T_REQUEST, "method_not_allowed", NO, "This method is not allowed here.")        \
    X(CLIENT_SLOW, 408, T_REQUEST, "request_timeout", NO, "The request took too long to arrive.")  \
    X(BODY_TOO_LARGE, 413, T_REQUEST, "request_too_large", NO, "The request body is too large.")   \
    X(BODY_ENCODING, 415, T_REQUEST, "unsupported_encoding", NO,                                   \
      "This Content-Encoding is not supported; gzip and zstd are.")                                \
    X(BODY_UNPACK, 400, T_REQUEST, "invalid_encoding", NO, "The request body does not unpack.")    \
    X(CLIENT_GONE, 499, T_REQUEST, "client_closed_request", NO, "The client closed the request.")  \
    X(HEDGED, 499, T_SERVER, "hedged", NO, "Another attempt answered first.")                      \
    X(INTERNAL, 500, T_SERVER, "internal_error", NO, "Something went wrong inside the gateway.")   \
    X(NO_MEMORY, 503, T_SERVER, "out_of_memory", NO, "The gateway is out of memory.")              \
    X(BODY_MEMORY, 503, T_SERVER, "overloaded", NO,                                                \
      "The gateway holds as many request bodies as it may. Try again shortly.")                    \
    X(TOO_MANY_OPEN, 503, T_SERVER, "overloaded", NO, "The gateway has too much to do.")           \
    X(EXHAUSTED, 503, T_SERVER, "overloaded", YES,                                                 \
      "The gateway can open no more connections at the moment. Try again shortly.")                \
    X(SHUTTING_DOWN, 503, T_SERVER, "shutting_down", NO, "The gateway is shutting down.")          \
    X(QUEUE_FULL, 503, T_SERVER, "queue_full", YES, "Too many requests wait for this model.")      \
    X(QUEUE_TIMEOUT, 503, T_SERVER, "queue_timeout", YES,                                          \
      "The request waited too long for a place at this model.")                                    \
    X(ENGINE_FAILED, 503, T_SERVER, "engine_unavailable", YES, "The local engine does not run.")   \
    X(NO_TARGET, 503, T_SERVER, "no_target", NO,                                                   \
      "No target of this model takes requests at the moment.")                                     \
    X(UPSTREAM_DNS, 502, T_SERVER, "upstream_dns", YES,                                            \
      "The name of the upstream could not be resolved.")                                           \
    X(UPSTREAM_CONNECT, 502, T_SERVER, "upstream_connect", YES,                                    \
      "No connection to the upstream could be made.")                                              \
    X(UPSTREAM_PROXY, 502, T_SERVER, "upstream_proxy", YES,                                        \
      "The egress proxy refused the connection.")                                                  \
    X(UPSTREAM_TLS, 502, T_SERVER, "upstream_tls", YES,                                            \
      "The TLS handshake with the upstream failed.")                                               \
    X(UPSTREAM_RESET, 502, T_SERVER, "upstream_reset", YES,                                        \
      "The upstream closed the connection without an answer.")                                     \
    X(UPSTREAM_CUT, 502, T_SERVER, "upstream_cut", YES, "The upstream's answer was cut off.")      \
    X(UPSTREAM_BAD_ANSWER, 502, T_SERVER, "upstream_bad_answer", YES,                              \
      "The upstream's answer makes no sense.")                                                     \
    X(UPSTREAM_TOO_LARGE, 502, T_SERVER, "upstream_too_large", NO,                                 \
      "The upstream's answer is larger than allowed.")                                             \
    X(UPSTREAM_AUTH, 502, T_SERVER, "upstream_auth", YES,                                          \
      "The upstream refused the gateway's credential.")                                            \
    X(UPSTREAM_BILLING, 502, T_SERVER, "upstream_billing", YES,                                    \
      "The upstream refused for want of credit.")                                                  \
    X(UPSTREAM_REFUSED, 400, T_REQUEST, "upstream_refused", NO,                                    \
      "The upstream refused the request.")                                                         \
    X(UPSTREAM_RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded", YES,                  \
      "The upstream limits the rate of requests.")                                                 \
    X(UPSTREAM_ERROR, 502, T_SERVER, "upstream_error", YES, "The upstream failed.")                \
    X(CONNECT_TIMEOUT, 504, T_SERVER, "timeout_connect", YES,                                      \
      "Connecting to the upstream took too long.")                                                 \
    X(TLS_TIMEOUT, 504, T_SERVER, "timeout_tls", YES,                                              \
      "The TLS handshake with the upstream took too long.")                                        \
    X(WRITE_TIMEOUT, 504, T_SERVER, "timeout_write", YES,                                          \
      "The upstream took too long to take the request.")                                           \
    X(HEAD_TIMEOUT, 504, T_SERVER, "timeout_head", YES,                                            \
      "The upstream took too long to begin its answer.")                                           \
    X(FIRST_TOKEN_TIMEOUT, 504, T_SERVER, "timeout_first_token", YES,                              \
      "The upstream took too long to give its first token.")                                       \
    X(BETWEEN_TOKENS_TIMEOUT, 504, T_SERVER, "timeout_between_tokens", YES,                        \
      "The upstream was silent for too long in its answer.")                                       \
    X(TOTAL_TIMEOUT, 504, T_SERVER, "timeout_total", NO, "The whole request took too long.")

enum gw_error {
    GW_OK,
#define X(id, status, type, code, again, message) GW_##id,
    GW_ERRORS(X)
#undef X
        GW_ERRORS_N
};

struct gw_error_row {
    unsigned status;
    const char *type, *code, *message;
    bool try_another; /* before anything reached the client */
};
const struct gw_error_row *gw_error_row(enum gw_error e);
/* How an attempt that ended so is counted. */
enum metric_outcome gw_error_outcome(enum gw_error e);

/* The rows as a Markdown table. */
void gw_error_reference(struct buf *out);

#endif
