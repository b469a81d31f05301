/* What an exchange takes of limits and budgets, from its admission to its settlement. */
#ifndef GATEWAY_ADMIT_H
#define GATEWAY_ADMIT_H

#include "gateway/error.h"
#include "gateway/identity.h"
#include "policy/route.h"
#include "store/ledger.h"

struct attempt;
struct exchange;
struct gw_model;
struct gw_provider;
struct gw_snapshot;
struct gw_use_case;
struct gw_target;
struct http_head;
struct json_parser;
struct llm_request;
struct worker;

/* Of a request to a model: in its arena once it has been identified. */
struct admission {
    const struct gw_use_case *use_case; /* NULL: none */
    struct slice user;                  /* empty: none */
    uint64_t user_hash;
    struct gw_scope user_scope;
    const struct gw_scope *scope[LIMIT_SCOPES_MAX];
    struct limit_use use[LIMIT_SCOPES_MAX]; /* of the same scopes */
    unsigned n;
    struct limit_hold hold; /* the request and its place */
    struct limit_standing standing[LIMIT_KINDS_N];
    int64_t prompt_bytes;
    struct limit_refusal refusal; /* of a request that a limit refused */
    bool refused;
};

/* What an attempt has reserved and what it came to. */
struct account {
    struct limit_hold hold;
    struct ledger_row row;
    uint32_t slot;        /* of the ledger, or LEDGER_NO_SLOT */
    int64_t units_before; /* x->output_units when it began */
    int64_t hardware_mark;
    bool open;
};

/* identity.c: what the head says of user and use case, kept. False: no memory. */
NODISCARD bool identity_read_head(struct exchange *x, const struct http_head *h);
/* May the key be used from where the client is? */
bool identity_network_fits(const struct exchange *x);
/* Makes x->admission: whom and what the request is for, and every scope that it counts in.
 * GW_OK, or why it is refused; x->message may say more. */
enum gw_error identity_resolve(struct exchange *x);
/* The request goes to another alias, and counts there instead. */
void identity_set_model(struct exchange *x, const struct gw_model *m);
/* Whom to ask what a request is for. */
struct identity_ask {
    const struct gw_snapshot *snapshot;
    const struct gw_key *key; /* NULL: none */
    const struct llm_request *request;
    struct json_parser *parser; /* what it has parsed last may be that request */
    struct arena *arena;
};
/* Its use case (NULL: none): the key's own, or the one that `asked` or its metadata names where the
 * key allows it. GW_OK, or why not; `*ret_message` may say more. */
enum gw_error identity_use_case(const struct identity_ask *q, struct slice asked,
                                const struct gw_use_case **ret, struct slice *ret_message);
/* What the client would rather have, where its key (or NULL) may say so: `*ret` stays where `asked`
 * is empty. GW_OK, or why not. */
enum gw_error identity_strategy(const struct gw_key *k, struct slice asked,
                                enum route_strategy *ret, struct slice *ret_message);
/* May requests with that key, for that use case, go to that provider, by what it says of its
 * governance? Both may be NULL. */
bool identity_may_go(const struct gw_key *k, const struct gw_use_case *u,
                     const struct gw_provider *p);
/* Is that so of every provider, whatever it says? */
bool identity_goes_anywhere(const struct gw_key *k, const struct gw_use_case *u);

/* admit.c: one request and one place in all scopes; downgrades x->model where a budget says so.
 * GW_OK, or why not. */
enum gw_error admit_request(struct exchange *x);
/* Tokens and dollars for an attempt at `t`. */
enum gw_error admit_reserve(struct exchange *x, const struct gw_target *t, struct limit_hold *ret);
/* Gives a reservation back that no attempt was made with. */
void admit_unreserve(struct exchange *x, struct limit_hold *hold);
/* Has the client limits of which it is told how it stands? */
bool admit_tells_standing(const struct exchange *x);
/* Header lines that tell the client how it stands: x-ratelimit-* and their like. */
void admit_put_fields(const struct exchange *x, struct buf *b);
/* Those of a refusal by a limit. */
void admit_put_refusal(const struct exchange *x, struct buf *b);

/* account.c: an attempt begins, with what it reserved; it ends, and its reservation becomes what it
 * used; the exchange ends, and its rows go to the ledger. */
void account_begin(struct attempt *a, const struct limit_hold *hold);
/* It has not been sent, and what was reserved for its first target has been given back: `hold` is
 * for the one that it goes to instead. */
void account_move(struct attempt *a, const struct limit_hold *hold);
void account_end(struct attempt *a);
void account_settle(struct exchange *x, enum gw_error why, unsigned status);
/* Cost of the attempt's answer as far as it is known now, in nano-dollars; -1: no price. */
int64_t account_cost(const struct attempt *a);
/* Tokens of the prompt by the gateway's own figures, for want of the provider's. */
int64_t account_estimate_input(const struct attempt *a);
/* A ledger number of a name that no snapshot holds, kept by the worker. */
uint32_t account_name(struct worker *w, enum ledger_name_kind kind, struct slice name);

/* key_info.c: the answer of GET /v1/key. */
void key_info_put(struct exchange *x, struct buf *out);

#endif
