/* What goes to clients: heads, errors, and the sinks they go through. */
#ifndef GATEWAY_RESPOND_H
#define GATEWAY_RESPOND_H

#include "exchange.h"

extern const struct sink_ops client_sink;

/* An error where no exchange could be made. */
void respond_without_exchange(struct net_stream *s, enum gw_error e);

/* A whole JSON answer with the usual fields. False: as exchange_send. */
bool respond_json(struct exchange *x, unsigned status, struct slice extra_fields,
                  struct slice body);

/* last_resort.c: the configured text where every target has failed. True: it went out; or the
 * client is gone. False: there is none, or it would not do: the error has to be told. */
NODISCARD bool last_resort_send(struct exchange *x);

/* GET /v1/models: what the key may ask for. */
void respond_models(struct exchange *x);
/* GET /v1/models/{name}. */
enum step_result respond_model(struct exchange *x, struct slice name);

/* GET /v1/key. */
void respond_key(struct exchange *x);

/* The answer to a CORS preflight. */
void respond_preflight(struct exchange *x);

/* The head of a stream, as it will be sent with the first bytes; its fields are the worker's.
 * False: no memory. */
NODISCARD bool respond_stream_head(struct exchange *x, struct net_answer *ret);

#endif
