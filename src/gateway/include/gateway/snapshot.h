/* The configuration as the request path uses it: immutable, shared by all workers, replaced as a
 * whole by a reload. It holds values and references to what lives longer (upstreams, gates). */
#ifndef GATEWAY_SNAPSHOT_H
#define GATEWAY_SNAPSHOT_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/secret.h"
#include "base/strmap.h"
#include "gateway/credential.h"
#include "gateway/gate.h"
#include "gateway/identity.h"
#include "llm/neutral.h"
#include "net/addr.h"
#include "net/server.h"
#include "net/upstream.h"
#include "policy/estimate.h"
#include "policy/hardware.h"
#include "policy/model_live.h"
#include "policy/price.h"
#include "policy/route.h"

/* Limits of an attempt's phases in nanoseconds; 0: none. X(id, configuration key, default, what) */
#define GW_TIMEOUTS(X)                                                                             \
    X(QUEUE, "queue", 60 * NS_PER_S, "waiting for a place at the target")                          \
    X(CONNECT, "connect", 3 * NS_PER_S, "name, TCP and egress proxy")                              \
    X(TLS, "tls", 5 * NS_PER_S, "the TLS handshake")                                               \
    X(WRITE, "write", 30 * NS_PER_S, "the upstream taking the request")                            \
    X(HEAD, "head", 300 * NS_PER_S, "the head of the answer")                                      \
    X(FIRST_TOKEN, "first_token", 300 * NS_PER_S, "the first content of a stream")                 \
    X(BETWEEN_TOKENS, "between_tokens", 120 * NS_PER_S, "silence inside an answer")                \
    X(TOTAL, "total", 600 * NS_PER_S, "the whole exchange")
enum gw_timeout {
#define X(id, key, standard, what) TIMEOUT_##id,
    GW_TIMEOUTS(X)
#undef X
        TIMEOUTS_N
};
struct gw_timeouts {
    int64_t ns[TIMEOUTS_N];
};

/* One of a provider's credentials, where it has several. */
struct gw_provider_key {
    struct slice fields;      /* header lines instead of the provider's own; in the secret box */
    struct target_live *live; /* "provider#1", "provider#2" */
};

/* A provider or an engine. */
struct gw_provider {
    struct slice name;
    const struct llm_provider *row;
    struct upstream *upstream; /* a reference */
    struct gate *gate;         /* a reference */
    bool gated;                /* requests have to pass the gate */
    bool self_hosted;          /* paid whether it is used or not */
    bool engine;
    bool client_key;          /* the client's own credential goes upstream */
    bool probe_by_completion; /* which costs something, rather than by its list of models */
    struct slice base_path;
    struct slice op_target[LLM_OPS_N]; /* base path and the operation's */
    struct slice fields; /* complete lines for every request; in the snapshot's secret box */
    struct gw_credential *credential; /* a reference, or NULL: fixed fields */
    struct slice region, api_version;
    struct gw_provider_key *keys; /* NULL: `fields` has the only one */
    size_t keys_n;
    struct gw_governance governance;
    struct slice place; /* region that keys may be bound to: governance's, else its own */
    int64_t hour_nano;  /* what an hour of its hardware costs; 0: it is paid by use */
    const struct price *price_own; /* configured for all of its models, or NULL */
    struct hardware *hardware;     /* registry; NULL unless it is paid by the hour */
    uint32_t ledger_id;
    unsigned char lack[FEATURES_N]; /* enum llm_lack: what becomes of what it cannot do */
    struct gw_timeouts timeouts;
    struct slice *models; /* names it is known to have */
    size_t models_n;
};

/* One model at one provider. */
struct gw_target {
    struct gw_provider *provider;
    struct slice model;        /* the name there */
    struct slice label;        /* "provider/model" */
    const struct price *price; /* NULL: not known */
    struct estimate *estimate; /* registry */
    uint32_t ledger_id;        /* of the model there */
    struct target_live *live;  /* registry, or NULL */
    uint64_t id;               /* of the label */
    double weight, quality, max_complexity;
    int64_t context;       /* tokens of prompt and answer; 0: not known */
    int region;            /* position of its provider's in the alias' list; -1 */
    bool context_declared; /* by the configuration, not by a table that may be wrong */
    unsigned char lacks, lacks_by_table; /* what its model cannot do, as the configuration says, and
                                          * as a table does: of enum llm_need */
    bool fallback;
};

enum gw_rescue { RESCUE_OFF, RESCUE_CONTINUE };

/* What a client may ask for: an alias, or an engine by its name. */
struct gw_model {
    struct slice name;
    uint32_t metric_id;
    struct gw_scope scope;
    struct gw_target *targets; /* as configured, fallbacks behind; aliases replaced by theirs */
    size_t targets_n;          /* at most ROUTE_CANDIDATES_MAX */
    struct model_live *live;   /* registry, or NULL */
    enum route_strategy strategy;
    struct slice session;   /* header that names a session, lower case, or empty */
    int64_t hedge_after_ns; /* 0: no hedging; -1: the target's 95% */
    unsigned hedge_percent; /* of its requests */
    bool first_token_adaptive;
    enum gw_rescue rescue;
    struct slice last_resort; /* text, or empty */
};

struct gw_passthrough {
    struct slice path; /* without the final asterisk */
    bool prefix;
    struct gw_provider *provider;
};

/* What is tried again, and how often. */
struct gw_retry {
    unsigned attempts;    /* in all, 1 to ATTEMPTS_MAX */
    unsigned same_target; /* rounds after the first one, where no other target is left */
    int64_t backoff_ns, max_backoff_ns;
    unsigned percent, per_second; /* of the budget */
};

struct gw_limits {
    int64_t body_bytes, answer_bytes, event_bytes;
    int64_t commit_hold_ns, comment_ns;
};

struct gw_snapshot {
    uint32_t magic;
    _Atomic unsigned refs;
    struct arena arena;
    uint64_t version;
    bool auth_keys;
    bool wants_client_key; /* some provider uses the client's own credential */
    struct gw_key_ring *keys;
    struct strmap use_cases; /* name -> gw_use_case */
    struct gw_scope *organisations, *teams;
    struct gw_use_case *use_case_list;
    size_t organisations_n, teams_n, use_cases_n;
    const struct limit_set *user_set;   /* of end users whose keys say nothing of it; NULL: none */
    bool user_budgets[LIMIT_BUDGETS_N]; /* end users may have one of that period */
    struct price_book *prices;
    struct price_override { /* of the configuration; the first pattern that fits "provider/model" */
        struct slice pattern;
        struct price price;
    } * price_overrides;
    size_t price_overrides_n;
    struct strmap models;    /* name -> gw_model */
    struct strmap providers; /* name -> gw_provider */
    struct secret_box *secrets;
    struct gw_model *model_list;
    struct gw_provider *provider_list;
    struct gw_passthrough *passthrough;
    size_t models_n, providers_n, passthrough_n;
    struct slice *session_headers; /* that some alias goes by, lower case */
    size_t session_headers_n;
    struct slice *expose; /* patterns of "provider/model" that may be asked for; '*' at the end */
    size_t expose_n;
    struct llm_model_row *model_rows; /* what can be asked for, as GET /v1/models lists it */
    size_t model_rows_n;
    struct slice models_json; /* that answer for whoever may ask for all of it */
    int64_t created_s;        /* Unix time of the snapshot */
    struct gw_limits limits;
    struct gw_retry retry;
    struct health_settings health;
    unsigned max_ejected; /* percent; as in `health` */
    int64_t probe_ns;     /* between probes; 0: none */
    struct net_server_limits server;
    struct tls_server_context **tls; /* by listener; NULL: plain */
    size_t tls_n;
    struct slice *cors_origins;
    size_t cors_n;
    struct net_prefix *trusted;
    size_t trusted_n;
    struct slice *forward_up, *forward_down; /* further headers that pass, lower case */
    size_t forward_up_n, forward_down_n;
};

/* An empty snapshot with one reference, to be filled by the control layer. NULL: no memory. */
NODISCARD struct gw_snapshot *gw_snapshot_new(void);
struct gw_snapshot *gw_snapshot_ref(struct gw_snapshot *s);
/* Frees the snapshot and drops its references to upstreams, gates and certificates. */
void gw_snapshot_unref(struct gw_snapshot *s);

/* Fills in what `t` is known to cost, what its answers are like and how it fares, from its
 * provider, label and model: overrides of the configuration go before the price table. What an
 * alias says of its targets gets its defaults. */
void gw_target_complete(const struct gw_snapshot *s, struct gw_target *t);

/* May clients ask for that model of that provider by name? */
bool gw_exposes(const struct gw_snapshot *s, struct slice provider, struct slice model);

enum gw_resolved { RESOLVED_MODEL, RESOLVED_TARGET, RESOLVED_NOTHING, RESOLVED_AMBIGUOUS };

/* What `name` means (design: alias, then engine, then provider/model, then the only provider that
 * has it): `*ret_model`, or `*ret_target` whose text lives in `a` or the snapshot. For NOTHING and
 * AMBIGUOUS `*ret_hint` lists near names or candidates, in `a`. */
enum gw_resolved gw_resolve(const struct gw_snapshot *s, struct slice name, struct arena *a,
                            const struct gw_model **ret_model, struct gw_target *ret_target,
                            struct slice *ret_hint);

#endif
