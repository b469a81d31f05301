/* The configuration file as plain values. Everything lives in the config's arena; text is
 * NUL-terminated behind its slice. Times are nanoseconds, sizes bytes. An absent slice has .p NULL.
 */
#ifndef CONTROL_CONFIG_H
#define CONTROL_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "policy/limits.h"
#include "policy/route.h"

/* Where a value stands in the file, from 1 on; line 0: a default or an environment variable. */
struct config_pos {
    uint32_t line, column;
};

struct config_list {
    struct slice *item;
    struct config_pos *pos;
    size_t n;
};

/* A map of free text, such as headers. */
struct config_map {
    struct slice *key, *value;
    struct config_pos *pos;
    size_t n;
};

/* One limit per phase of an attempt; 0: no limit. Absent values are -1 and are inherited. */
struct config_timeouts {
    int64_t queue_ns, connect_ns, tls_ns, write_ns, head_ns, first_token_ns, between_tokens_ns,
        total_ns;
};

struct config_tls {
    struct slice cert, key; /* files, PEM */
    struct slice client_ca; /* clients must show a certificate of these authorities */
};

enum config_half_close { HALF_CLOSE_GONE, HALF_CLOSE_ANSWER };

struct config_listener {
    struct config_pos pos;
    struct slice address; /* host:port, [v6]:port, or unix:/path */
    struct config_tls tls;
    bool proxy_protocol; /* every connection starts with a PROXY v2 header */
    enum config_half_close half_close;
};

/* Resolved: without `auth` and without keys, a listener on loopback alone means AUTH_NONE. */
enum config_auth { AUTH_KEYS, AUTH_NONE };

/* Limits of a scope. */
struct config_scope_limits {
    struct config_pos pos;
    int64_t most[LIMIT_KINDS_N]; /* by enum limit_kind; -1: not given */
    struct config_pos budget_pos;
};

/* What happens once a budget of the scope is used up to a share. */
struct config_at_budget {
    struct config_pos pos;
    struct slice use;     /* alias or engine; absent: requests are refused at the whole budget */
    int64_t from_percent; /* 1 to 100 */
};

/* Patterns that all have to fit; an absent list allows everything. */
struct config_rights {
    struct config_list models, providers, regions;
};

/* As enum gw_priority. */
enum config_priority {
    CONFIG_PRIORITY_UNSET = -1,
    CONFIG_PRIORITY_LOW,
    CONFIG_PRIORITY_NORMAL,
    CONFIG_PRIORITY_HIGH
};

/* Where a provider works on data. */
enum config_location { CONFIG_LOCATION_UNSET = -1, CONFIG_LOCATION_CLOUD, CONFIG_LOCATION_PREMISE };

/* What the governance of a provider has to say before data may go there. */
struct config_data_rules {
    struct config_pos pos;
    enum config_location location;
    int64_t retention_days; /* at most; -1: not given */
    int trains;             /* 0: not at all; -1: not given */
};

/* What a provider does with data; -1: not said. */
struct config_governance {
    struct slice region; /* absent: the cloud's own */
    enum config_location location;
    int64_t retention_days;
    int trains;          /* 0, 1 */
    int data_class;      /* the highest that may go there, as in struct config_use_case */
    int64_t reviewed_ns; /* wall clock; 0: not said */
};

/* What keys and end users get where they have nothing of their own. */
struct config_plan {
    struct config_pos pos;
    struct slice name;
    struct config_scope_limits limits; /* of each key or user */
    struct config_scope_limits user_limits;
    struct config_rights rights;
    struct config_data_rules data_rules;
    int64_t max_tokens; /* of one answer; -1: not given */
    enum config_priority priority;
};

struct config_organisation {
    struct config_pos pos;
    struct slice name;
    struct config_scope_limits limits;
    struct config_at_budget at_budget;
};

struct config_team {
    struct config_pos pos;
    struct slice name;
    struct slice organisation, plan;
    struct config_scope_limits limits;
    struct config_at_budget at_budget;
    struct config_rights rights;
};

struct config_key {
    struct config_pos pos;
    struct slice name;
    struct slice secret; /* one of these two */
    struct slice sha256; /* 64 hex digits */
    struct slice team, organisation, plan;
    struct config_scope_limits limits, user_limits;
    struct config_at_budget at_budget;
    struct config_rights rights;
    struct config_list networks;
    int64_t max_tokens; /* of one answer; -1: not given */
    int64_t expires_ns; /* wall clock; 0: never */
    bool disabled;
    struct slice use_case, user;
    struct config_list
        may_set; /* "user", "use_case", "strategy"; not "user" where `user` is given */
    struct config_data_rules data_rules;
    enum config_priority priority;
    int64_t weight;
};

struct config_use_case {
    struct config_pos pos;
    struct slice name;
    struct slice owner;
    int data_class; /* 0 public, 1 internal, 2 confidential, 3 restricted; -1: not given */
    struct config_scope_limits limits;
    struct config_at_budget at_budget;
    struct config_data_rules data_rules;
    struct slice last_resort; /* instead of the alias' */
};

/* End users of keys that say nothing about them. */
struct config_users {
    struct config_pos pos;
    struct slice plan;
    int64_t cells; /* how many are counted apart at once */
};

/* Nano-dollars per million; -1: not given. */
struct config_price {
    struct config_pos pos;
    struct slice pattern; /* "provider/model", '*' at the end */
    int64_t input, output, cached, cache_write, request;
};

struct config_alerts {
    struct config_pos pos;
    struct config_list budgets; /* percent, as text, ascending in `percent` */
    int64_t percent[8];
    struct slice webhook; /* secret: may hold a token */
};

enum config_ledger_sync { LEDGER_SYNC_INTERVAL, LEDGER_SYNC_COMMIT };
enum config_ledger_full { LEDGER_FULL_REFUSE, LEDGER_FULL_COUNT };

struct config_ledger {
    struct config_pos pos;
    enum config_ledger_sync sync;
    enum config_ledger_full when_full;
    int64_t spool;                                                      /* rows of each worker */
    int64_t keep_rows_ns, keep_minutes_ns, keep_hours_ns, keep_days_ns; /* 0: for ever */
};

enum config_log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct config_egress {
    struct slice proxy, no_proxy;
    struct config_list resolvers;         /* name servers instead of the system's */
    struct slice ca_file;                 /* added to the system's authorities */
    struct slice client_cert, client_key; /* shown to upstreams that ask */
};

/* Client credentials of an application registered with Microsoft Entra. */
struct config_entra {
    struct config_pos pos;
    struct slice tenant, client_id;
    struct slice client_secret; /* secret */
    struct slice authority;     /* URL of the login service; absent: the public cloud's */
};

/* What only cloud providers have. Absent where the type has no such key; what the file leaves out
 * is filled in by config_cloud.c. */
struct config_cloud {
    struct slice resource;         /* azure: name of the resource; its address is in `url` */
    struct slice surface;          /* azure: "v1" or "classic" */
    struct slice api_version;      /* azure: value of ?api-version=, absent: none */
    struct config_entra entra;     /* azure; tenant absent: not used */
    struct slice managed_identity; /* azure: "system", or the client id of an assigned one */
    struct slice token_scope;      /* azure: scope of Entra's tokens */
    struct slice project, location;
    struct slice publisher;   /* vertex: "google", "anthropic" or "openapi" */
    struct slice credentials; /* vertex: secret; JSON, "metadata", or absent: searched */
    struct slice region, profile;
    struct slice access_key, secret_key, session_token; /* secrets */
    struct slice body; /* sagemaker: what the container takes, "openai" or "tgi" */
};

/* What a probe asks: something free, or a completion that is paid for. */
enum config_probe { CONFIG_PROBE_MODELS, CONFIG_PROBE_COMPLETION };

struct config_provider {
    struct config_pos pos, type_pos, url_pos;
    struct slice name, type, url;
    struct config_cloud cloud;
    struct slice api_key;        /* secret; "client": the client's own credential goes upstream */
    struct config_list api_keys; /* secrets, several instead of `api_key` */
    struct config_map headers;   /* added to every request; values are secret */
    struct config_list models; /* names this provider is known to have, for bare-name resolution */
    struct config_list drop_unsupported, refuse_unsupported; /* features, by name */
    struct config_timeouts timeouts;
    struct slice sni; /* TLS server name when it differs from the URL's host */
    struct slice ca_file, client_cert, client_key, proxy; /* instead of egress' */
    int64_t max_connections;                              /* process-wide; 0: no cap */
    int64_t max_inflight; /* requests at once, process-wide; 0: no cap */
    bool adaptive_inflight;
    int64_t queue; /* requests that may wait for a place; 0 without max_inflight */
    enum config_probe probe_with;
    int64_t cost_per_hour; /* of one replica, in nano-dollars; -1: it is paid by use */
    int64_t replicas;      /* 1 or more where cost_per_hour is given, else -1 */
    struct config_governance governance;
};

struct config_engine {
    struct config_pos pos;
    struct slice name;
    struct slice model;      /* GGUF file, or a name that `weir pull` stored in <data>/models */
    struct slice binary;     /* llama-server; absent: searched */
    struct config_list args; /* further arguments of the server */
    int64_t slots, threads, context; /* threads 0: all cores; context 0: the model's */
    int64_t cache_ram_mib;
    int64_t start_timeout_ns; /* without any progress */
    int64_t drain_ns;         /* how long a stop waits for open requests */
    int64_t queue;            /* requests held while it starts or is full */
    int64_t cost_per_hour;    /* nano-dollars; -1: not given */
    struct config_timeouts timeouts;
};

/* What a model can do: 0 no, 1 yes, -1 not said. */
struct config_supports {
    struct config_pos pos;
    int tools, images, schema;
};

struct config_target {
    struct config_pos pos, use_pos;
    struct slice use; /* provider/model, engine/name, or another alias */
    bool is_alias;    /* as the checks found */
    int64_t weight;   /* -1: not given, as the others */
    int64_t quality;
    int64_t max_complexity; /* 0 to 100 */
    int64_t context;        /* tokens */
    struct config_supports supports;
};

/* A target that an alias comes to once others have been replaced by theirs. */
struct config_route {
    const struct config_target *target;
    double weight;
    bool fallback;
};

struct config_hedge {
    struct config_pos pos;
    struct slice after; /* "p95" or a duration; absent: no hedging */
    int64_t after_ns;   /* -1: the target's 95% */
    int64_t percent;    /* of its requests */
};

enum config_first_token { FIRST_TOKEN_FIXED, FIRST_TOKEN_ADAPTIVE };
enum config_rescue { CONFIG_RESCUE_OFF, CONFIG_RESCUE_CONTINUE };

struct config_model {
    struct config_pos pos, strategy_pos;
    struct slice name;
    struct config_target *targets, *fallback; /* as they are written */
    size_t targets_n, fallback_n;
    struct config_route *route; /* what they come to: at most ROUTE_CANDIDATES_MAX */
    size_t route_n;
    enum route_strategy strategy;
    struct config_list regions; /* patterns of places, '*' at the end */
    struct slice session;       /* header */
    struct config_hedge hedge;
    enum config_first_token first_token;
    enum config_rescue rescue;
    struct slice last_resort;
    struct config_scope_limits limits;
};

/* What is tried again. */
struct config_retry {
    int64_t attempts;    /* in all */
    int64_t same_target; /* rounds after the first one */
    int64_t backoff_ns, max_backoff_ns;
    int64_t percent;    /* of the requests */
    int64_t per_second; /* and so many beside */
};

struct config_health {
    struct health_settings settings;
    int64_t probe_ns; /* 0: no probes */
};

/* A path of a provider that is handed through as it is. */
struct config_passthrough {
    struct config_pos pos, to_pos;
    struct slice path; /* "/v1/moderations", or a prefix ending in an asterisk */
    struct slice to;   /* provider */
};

struct config_limits {
    int64_t body_bytes;             /* of one request */
    int64_t body_memory_bytes;      /* of all requests together */
    int64_t connections;            /* client connections, process-wide */
    int64_t connections_per_client; /* by address; 0: no cap */
    int64_t answer_bytes;           /* of one answer that is not a stream */
    int64_t event_bytes;            /* of one server-sent event */
};

struct config_server {
    int64_t head_ns, idle_ns, body_idle_ns, write_ns; /* time limits on clients */
    int64_t commit_hold_ns; /* an answer open longer than this gets its head */
    int64_t ready_delay_ns; /* after SIGTERM: /readyz says 503, accepting goes on */
    int64_t drain_ns;       /* after that: how long open exchanges may take */
};

struct config {
    struct arena arena;
    struct slice path; /* absent: built from environment variables alone */
    struct config_listener *listeners;
    size_t listeners_n;
    enum config_auth auth;
    struct config_pos auth_pos;
    struct config_key *keys;
    size_t keys_n;
    struct slice timezone; /* of budget periods; "UTC" by default */
    struct config_plan *plans;
    size_t plans_n;
    struct config_organisation *organisations;
    size_t organisations_n;
    struct config_team *teams;
    size_t teams_n;
    struct config_use_case *use_cases;
    size_t use_cases_n;
    struct config_users users;
    struct config_price *prices; /* in the order of the file: the first that fits counts */
    size_t prices_n;
    struct config_alerts alerts;
    struct config_ledger ledger;
    struct slice admin_listen;
    struct slice admin_token, operator_token, viewer_token; /* secrets */
    struct config_tls admin_tls;
    struct config_pos admin_pos;
    struct slice metrics_listen;
    struct slice data;
    int64_t workers;         /* 0: as many as the cgroup grants */
    struct slice log_access; /* stdout, stderr, off, or a file */
    enum config_log_level log_level;
    struct config_egress egress;
    struct config_list expose;
    struct config_list cors_origins;
    struct config_list forward_request, forward_answer; /* further headers that pass */
    struct config_list trusted_proxies; /* address/prefix whose X-Forwarded-For counts */
    struct config_limits limits;
    struct config_server server;
    struct config_timeouts timeouts; /* defaults for every target */
    struct config_retry retry;
    struct config_health health;
    bool providers_from_env; /* those of the environment are among `providers` */
    struct config_provider *providers;
    size_t providers_n;
    struct config_engine *engines;
    size_t engines_n;
    struct config_model *models;
    size_t models_n;
    struct config_passthrough *passthrough;
    size_t passthrough_n;
};

/* Reads variables of the environment, so that tests can bring their own. Returns NULL when unset.
 */
typedef const char *config_getenv(const char *name);

/* What the loader has to know of a provider type; a row of the providers' own table. */
struct config_provider_type {
    const char *name;    /* "groq" */
    const char *url;     /* stands in for `url` when the file names none; NULL: nothing does */
    const char *key_env; /* variable that config_from_env takes the key from; NULL: none */
    bool needs_url;      /* the file has to name a `url` */
};

/* What the caller brings. What is pointed to need not outlive the call. */
struct config_options {
    config_getenv *env; /* NULL: no variable is set */
    const struct config_provider_type *types;
    size_t types_n;
    const char *const *own_paths; /* paths that Weir answers itself: no passthrough can take them */
    size_t own_paths_n;
    bool insecure; /* --insecure: `auth: none` off loopback is accepted */
};

/* Reads and checks the file at `path`. Every mistake is appended to `errors`, one line each, in the
 * order of the file: "weir.yaml:12:5: unknown key `strategi` (did you mean `strategy`?)". Lines
 * with "warning: " behind the position may come with a good configuration as well. Secrets are
 * never printed. NULL: there were errors, "out of memory" among them. What the file leaves out
 * comes from WEIR_LISTEN, WEIR_DATA, WEIR_ADMIN_TOKEN and (key `env`) WEIR_API_KEY, then from the
 * defaults. The caller frees the config with config_free. */
NODISCARD struct config *config_load(const char *path, const struct config_options *options,
                                     struct buf *errors);

/* The same from text; `name` stands in error messages and becomes the config's path. */
NODISCARD struct config *config_parse(struct slice text, const char *name,
                                      const struct config_options *options, struct buf *errors);

/* A configuration from environment variables alone: the provider types' `key_env` (each makes a
 * provider with the type's name), WEIR_API_KEY, WEIR_LISTEN, WEIR_DATA, WEIR_ADMIN_TOKEN (which
 * opens the admin port on 127.0.0.1:8081). NULL with errors, also when no provider's key is set. */
NODISCARD struct config *config_from_env(const struct config_options *options, struct buf *errors);

/* ./weir.yaml, $XDG_CONFIG_HOME/weir/weir.yaml (or ~/.config), /etc/weir/weir.yaml: the first that
 * exists, written into `out`; false: none. */
NODISCARD bool config_find(config_getenv *env, char *out, size_t size);

/* Reads KEY=VALUE lines of an --env-file into the process' environment (existing variables win).
 * All mistakes are appended to `errors`; with any, nothing is set. Not for use beside other
 * threads. */
NODISCARD bool config_env_file(const char *path, struct buf *errors);

/* Reads one key from YAML (or JSON, which is YAML): a map as below `keys.<name>`, but without
 * `secret` and `sha256`. Plans, teams and what else it names are those of `c`, and all checks of
 * a key in the file apply. Variables are not expanded. Text lives in `a`. Mistakes are appended to
 * `errors`, one line each, "NAME:1:12: unknown plan ..."; false: there were some (warnings alone
 * are none), and `*ret` is untouched. */
NODISCARD bool config_parse_key(struct slice yaml, const char *name, const struct config *c,
                                struct config_key *ret, struct arena *a, struct buf *errors);

/* NULL is fine. */
void config_free(struct config *c);

/* The configuration in effect, defaults and all, as YAML; secrets are "***". */
void config_dump(const struct config *c, struct buf *out);

/* Reference documentation (Markdown) of all keys, from the same tables. */
void config_reference(struct buf *out);

#endif
