/* Metrics: each thread counts in its own shard without atomics or locks, and a scrape adds the
 * shards up. Every metric is one row of the tables below; the exposition, the reference
 * documentation and the dashboards' checks come from the rows. */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include "base/buf.h"
#include "base/slice.h"

/* clang-format off */
/* Statuses that have a series of their own; others count as the first of their class. */
#define METRIC_STATUSES(X)                                                                         \
    X(200) X(400) X(401) X(403) X(404) X(405) X(408) X(413) X(415) X(429) X(499)                   \
    X(500) X(502) X(503) X(504)
enum metric_status {
#define X(code) STATUS_##code,
    METRIC_STATUSES(X)
#undef X
        METRIC_STATUSES_N
};
enum metric_status metric_status_of(unsigned status);

#define METRIC_TOKEN_TYPES(X)                                                                      \
    X(INPUT, "input") X(OUTPUT, "output") X(CACHED, "cached") X(CACHE_WRITE, "cache_write")        \
    X(REASONING, "reasoning") X(ESTIMATED_OUTPUT, "estimated_output")
enum metric_token_type {
#define X(id, name) TOKEN_##id,
    METRIC_TOKEN_TYPES(X)
#undef X
        METRIC_TOKEN_TYPES_N
};

/* Why an attempt ended. */
#define METRIC_OUTCOMES(X)                                                                         \
    X(OK, "ok") X(CLIENT_GONE, "client_gone") X(CONNECT, "connect") X(TIMEOUT, "timeout")          \
    X(CUT, "cut") X(BAD_ANSWER, "bad_answer") X(REFUSED, "refused")                                \
    X(RATE_LIMITED, "rate_limited") X(SERVER_ERROR, "server_error") X(HEDGED, "hedged")
/* clang-format on */
enum metric_outcome {
#define X(id, name) OUTCOME_##id,
    METRIC_OUTCOMES(X)
#undef X
        METRIC_OUTCOMES_N
};

/* Limits that refuse: policy/limits.h's kinds in their order, and what stands beside them. */
#define METRIC_LIMITS(X)                                                                           \
    X(REQUESTS, "requests_per_minute")                                                             \
    X(INPUT, "input_tokens_per_minute")                                                            \
    X(OUTPUT, "output_tokens_per_minute")                                                          \
    X(TOKENS, "tokens_per_minute")                                                                 \
    X(CONCURRENCY, "concurrency")                                                                  \
    X(BUDGET_HOUR, "budget_hour")                                                                  \
    X(BUDGET_DAY, "budget_day")                                                                    \
    X(BUDGET_WEEK, "budget_week")                                                                  \
    X(BUDGET_MONTH, "budget_month")
enum metric_limit {
#define X(id, name) METRIC_LIMIT_##id,
    METRIC_LIMITS(X)
#undef X
        METRIC_LIMITS_N
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
/* What a series is told apart by, beside the model. */
enum metric_label {
    LABEL_NONE,
    LABEL_STATUS,
    LABEL_TYPE,
    LABEL_OUTCOME,
    LABEL_LIMIT,
    LABEL_WORKER,
    LABEL_ENGINE,
    LABEL_LISTEN,
    LABEL_VERSION,
    LABEL_SCOPE,
    LABEL_USE_CASE, /* beside the model */
    LABEL_CLASS,    /* enum permit_class */
    LABEL_TARGET,   /* of an alias */
    LABEL_MODEL,    /* an alias, of rows that are not counted by model */
};

#define METRIC_BUCKETS 16 /* bounds of every histogram; +Inf comes on top */

/* Rows with a `model` label:
 * X(id, name, kind, second label, unit of the stored number in one of the name's, help) */
#define METRICS_BY_MODEL(X)                                                                        \
    X(REQUESTS, "llm_requests_total", COUNTER, STATUS, 1, "Finished requests by HTTP status")      \
    X(LATENCY, "llm_request_latency_seconds", HISTOGRAM, NONE, 1000000000,                         \
      "From the first byte of a request to the last byte of its answer")                           \
    X(TOKENS, "llm_tokens_total", COUNTER, TYPE, 1,                                                \
      "Tokens as the providers count them; estimated_output where they did not")                   \
    X(TTFT, "llm_time_to_first_token_seconds", HISTOGRAM, NONE, 1000000000,                        \
      "From the first byte of a request to its first content")                                     \
    X(INTER_TOKEN, "llm_inter_token_seconds", HISTOGRAM, NONE, 1000000000,                         \
      "Mean time between content events of a stream, one value for each stream")                   \
    X(INFLIGHT, "llm_inflight", GAUGE, NONE, 1, "Requests being served")                           \
    X(QUEUED, "llm_queue_depth", GAUGE, NONE, 1, "Requests waiting for a place at their target")   \
    X(SHED, "weir_shed_total", COUNTER, CLASS, 1,                                                  \
      "Attempts turned away because the queue of their target was full, by priority")              \
    X(ATTEMPTS, "weir_attempts_total", COUNTER, OUTCOME, 1, "Attempts at upstreams by outcome")    \
    X(FALLBACKS, "weir_fallbacks_total", COUNTER, NONE, 1,                                         \
      "Requests that were answered by another target than their first")                            \
    X(LAST_RESORT, "weir_last_resort_total", COUNTER, NONE, 1,                                     \
      "Requests that got the configured text because every target had failed")                     \
    X(LIMITED, "weir_limit_refusals_total", COUNTER, LIMIT, 1,                                     \
      "Requests refused by a limit, by its kind")                                                  \
    X(RESERVED, "weir_reserved_tokens_total", COUNTER, NONE, 1,                                    \
      "Tokens reserved for attempts that were settled with the provider's figures")                \
    X(SETTLED, "weir_settled_tokens_total", COUNTER, NONE, 1,                                      \
      "Tokens that those attempts used in the end")                                                \
    X(OVERRUN, "weir_overrun_tokens_total", COUNTER, NONE, 1, "Tokens used above the reservation")

/* Rows without labels, counted by threads. */
#define METRICS_PLAIN(X)                                                                           \
    X(BYTES_IN, "weir_client_received_bytes_total", COUNTER, 1, "Request bodies received")         \
    X(BYTES_OUT, "weir_client_sent_bytes_total", COUNTER, 1, "Answer bodies sent")                 \
    X(EVENTS, "weir_stream_events_total", COUNTER, 1, "Events relayed in streams")                 \
    X(RESENDS, "weir_resends_total", COUNTER, 1,                                                   \
      "Requests sent again because a kept connection had died")                                    \
    X(HEDGES, "weir_hedges_total", COUNTER, 1, "Second attempts beside a slow first one")          \
    X(RESCUES, "weir_rescues_total", COUNTER, 1,                                                   \
      "Streams that were cut and finished by another target")                                      \
    X(OVERLONG, "weir_overlong_total", COUNTER, 1,                                                 \
      "Streams cut because they went on behind the request's bound on tokens")                     \
    X(RETRIES_REFUSED, "weir_retries_refused_total", COUNTER, 1,                                   \
      "Further attempts that the retry budget did not allow")                                      \
    X(CANCELLED, "weir_cancelled_total", COUNTER, 1, "Requests whose client left")                 \
    X(BODY_REFUSED, "weir_body_budget_refused_total", COUNTER, 1,                                  \
      "Requests refused because body memory was used up")                                          \
    X(LATE_GRANTS, "weir_late_grants_total", COUNTER, 1,                                           \
      "Places given back because their request had left the queue")                                \
    X(DOWNGRADED, "weir_downgrades_total", COUNTER, 1,                                             \
      "Requests that a budget sent to a cheaper alias")

/* Rows that nobody counts: whoever knows them tells them at each scrape (metric_collector). */
#define METRICS_SAMPLED(X)                                                                         \
    X(QUEUE, "queue_depth", GAUGE, NONE, "Requests waiting, all models")                           \
    X(CONNECTIONS, "weir_client_connections", GAUGE, NONE, "Open connections of clients")          \
    X(ACCEPTED, "weir_client_connections_total", COUNTER, NONE, "Connections accepted")            \
    X(CONN_REFUSED, "weir_client_connections_refused_total", COUNTER, NONE,                        \
      "Connections over a cap")                                                                    \
    X(EXCHANGES, "weir_exchanges_open", GAUGE, NONE, "Requests under way")                         \
    X(BODY_MEMORY, "weir_body_memory_bytes", GAUGE, NONE,                                          \
      "Memory held by request bodies and queued output")                                           \
    X(LOG_DROPPED, "weir_log_dropped_total", COUNTER, NONE,                                        \
      "Log lines dropped because the output was blocked")                                          \
    X(LOOP_LAG, "weir_loop_lag_seconds", GAUGE, WORKER,                                            \
      "Longest turn of a worker's loop since the last scrape")                                     \
    X(STUCK, "weir_worker_stuck_total", COUNTER, NONE,                                             \
      "Times a worker did not come back to its loop for 2 s")                                      \
    X(RELOADS, "weir_config_reloads_total", COUNTER, NONE, "Reloads that took effect")             \
    X(RELOADS_REFUSED, "weir_config_reloads_refused_total", COUNTER, NONE,                         \
      "Reloads refused; the old configuration stayed")                                             \
    X(READY, "weir_ready", GAUGE, NONE, "1 while new requests are welcome")                        \
    X(BUILD, "weir_build_info", GAUGE, VERSION, "Always 1; which Weir this is")                    \
    X(CERT_DAYS, "weir_tls_certificate_days_left", GAUGE, LISTEN,                                  \
      "Days until the certificate of a listener expires")                                          \
    X(COST, "llm_cost_usd_total", COUNTER, USE_CASE,                                               \
      "What answers cost, in dollars, as settled; unpriced ones are not in it")                    \
    X(USE_CASE_TOKENS, "llm_use_case_tokens_total", COUNTER, USE_CASE,                             \
      "Tokens, input and output together, by model and use case")                                  \
    X(UNPRICED, "weir_unpriced_attempts_total", COUNTER, NONE,                                     \
      "Attempts that used tokens whose price is not known")                                        \
    X(LEDGER_ROWS, "weir_ledger_rows_total", COUNTER, NONE, "Rows written to the ledger")          \
    X(LEDGER_SPOOL, "weir_ledger_spool_rows", GAUGE, NONE,                                         \
      "Rows handed over that are not on disk yet")                                                 \
    X(LEDGER_LOST, "weir_ledger_lost_total", COUNTER, NONE,                                        \
      "Rows lost because the spool was full")                                                      \
    X(LEDGER_UNTRACKED, "weir_ledger_untracked_total", COUNTER, NONE,                              \
      "Attempts that a crash of the process would have forgotten")                                 \
    X(LEDGER_CRASHED, "weir_ledger_crashed_rows", GAUGE, NONE,                                     \
      "Attempts that the process before this one left open")                                       \
    X(LEDGER_ERRORS, "weir_ledger_write_errors_total", COUNTER, NONE,                              \
      "Writes to the ledger that failed and were tried again")                                     \
    X(LEDGER_BYTES, "weir_ledger_segment_bytes", GAUGE, NONE, "Size of the ledger's segments")     \
    X(LIMIT_USERS, "weir_limit_users", GAUGE, NONE, "End users that are counted apart")            \
    X(LIMIT_USERS_SHARED, "weir_limit_users_shared_total", COUNTER, NONE,                          \
      "Requests of end users beyond users.cells, which share one set of limits")                   \
    X(BUDGET_USED, "weir_budget_used_ratio", GAUGE, SCOPE,                                         \
      "Share of a budget that is used or reserved; the label is kind/name/period")                 \
    X(TARGET_UP, "weir_target_up", GAUGE, TARGET,                                                  \
      "1 while the target of an alias takes requests, if only a share of them")                    \
    X(TARGETS_UNWELL, "weir_targets_unwell", GAUGE, MODEL,                                         \
      "Targets of the alias, fallbacks too, that are ejected, half-open, resting or drained")      \
    X(EJECTIONS, "weir_ejections_total", COUNTER, NONE,                                            \
      "Times a target or credential was ejected")                                                  \
    X(PROBE_COMPLETIONS, "weir_probe_completions_total", COUNTER, NONE,                            \
      "Completions that probes have asked for (`probe_with: completion`)")                         \
    X(PROBE_TOKENS, "weir_probe_tokens_total", COUNTER, NONE,                                      \
      "Tokens that these used, in and out together, as their providers say")                       \
    X(ENGINE_UP, "weir_engine_up", GAUGE, ENGINE, "1 while the engine answers requests")           \
    X(ENGINE_RESTARTS, "weir_engine_restarts_total", COUNTER, ENGINE,                              \
      "Starts of the engine after its first")                                                      \
    X(ENGINE_START, "weir_engine_start_seconds", GAUGE, ENGINE,                                    \
      "How long its latest start took until it was ready")                                         \
    X(ENGINE_RSS, "weir_engine_rss_bytes", GAUGE, ENGINE, "Resident memory of the engine")

enum metric_by_model {
#define X(id, name, kind, label, unit, help) MM_##id,
    METRICS_BY_MODEL(X)
#undef X
        MM_N
};
enum metric_plain {
#define X(id, name, kind, unit, help) MP_##id,
    METRICS_PLAIN(X)
#undef X
        MP_N
};
enum metric_sampled {
#define X(id, name, kind, label, help) MS_##id,
    METRICS_SAMPLED(X)
#undef X
        MS_N
};

#define METRIC_MODELS_MAX 512 /* distinct `model` labels; later ones count as "other" */

/* The dense id of a model label, stable for the life of the process; 0 is "other". */
uint32_t metric_model_id(struct slice name);
struct slice metric_model_name(uint32_t id);

struct metric_shard;
/* One per counting thread, before the thread starts. NULL: no memory. */
NODISCARD struct metric_shard *metric_shard_new(void);
void metric_shards_free(void);

/* Counting, on the shard's own thread only. `sub` is the second label's value, or 0. */
void metric_add(struct metric_shard *s, enum metric_by_model m, uint32_t model, unsigned sub,
                int64_t by);
void metric_observe(struct metric_shard *s, enum metric_by_model m, uint32_t model, int64_t value);
void metric_count(struct metric_shard *s, enum metric_plain m, int64_t by);

/* Further samples at scrape time, by whoever knows them: called in order of registration. */
typedef void metric_collect_fn(struct buf *out, void *ctx);
void metric_collector(metric_collect_fn *fn, void *ctx);
/* The head of a sampled metric, before its samples. */
void metric_put_header(struct buf *out, enum metric_sampled m);
/* One sample, with the value of the row's label (SLICE_NONE where it has none). */
void metric_put_sample(struct buf *out, enum metric_sampled m, struct slice label, double number);
/* One sample of a row that has a model too. */
void metric_put_model_sample(struct buf *out, enum metric_sampled m, uint32_t model,
                             struct slice label, double number);
/* Both, for a row without a label. */
void metric_put(struct buf *out, enum metric_sampled m, double number);

/* Prometheus text format 0.0.4. */
void metric_render(struct buf *out);

/* Sum over the shards and models, for `weir top` and tests: the plain counter's value. */
int64_t metric_plain_value(enum metric_plain m);

/* The rows as a Markdown table. */
void metric_reference(struct buf *out);

#endif
