/* A gateway with one worker in a box: its configuration built by hand, its clients and upstreams
 * played, its clock moved by the test. */
#ifndef LOOPBACK_WORLD_H
#define LOOPBACK_WORLD_H

#include "check.h"
#include "fake_log.h"
#include "fake_net.h"
#include "worker.h"

/* Providers of every world. HOUSE is gated, TINY an engine, OWN takes the client's credential,
 * MISTRAL refuses stream_options, MODAL answers by redirects. CLAUDE speaks Anthropic's wire,
 * GEMINI Google's, REPLICATE answers by jobs, AZURE has models in its paths. */
enum {
    ALPHA,
    BETA,
    GAMMA,
    DELTA,
    HOUSE,
    TINY,
    OWN,
    MISTRAL,
    MODAL,
    CLAUDE,
    GEMINI,
    REPLICATE,
    AZURE,
    PROVIDERS_N
};

/* Changes the usual snapshot. */
typedef void snapshot_edit_fn(struct gw_snapshot *s);

struct world {
    struct gateway *gateway;
    struct limit_registry *limits;
    struct ledger *ledger; /* of world_new_books, else NULL; its disk stands still */
    char folder[64];
    struct worker *worker;
    struct net_loop *loop;
    struct upstream *up[PROVIDERS_N];
    struct gate *house, *tiny;
    int64_t started; /* exchanges, children included */
};

/* Aliases: one to five (so many targets, ALPHA to DELTA and ALPHA again), house, house-twice (both
 * targets at HOUSE, then ALPHA), house-tiny (the same, then TINY), house-five, tiny (an engine),
 * own, mistral, modal, claude, gemini, replicate, azure; `claude-first` is CLAUDE and then ALPHA,
 * `claude-last` the other way round, `wires` ALPHA, CLAUDE and GEMINI; `both` is a bare name of two
 * providers. Passed through: /v1/audio/... to ALPHA, /v1/files to BETA. The key of `keys` is
 * "sk-good". */
struct world *world_new(snapshot_edit_fn *edit);
/* The same with a ledger that has room for `rows`, a power of two, and writes none of them down
 * before world_free, which checks that no attempt was left open in it. */
struct world *world_new_books(snapshot_edit_fn *edit, uint32_t rows);
/* Rows that were handed over to it, and those that found no room. */
int64_t world_rows(const struct world *w);
int64_t world_rows_lost(const struct world *w);
/* The same with several workers, whose loops run free (loops_run_free). */
struct world *world_new_threads(snapshot_edit_fn *edit, unsigned workers);
/* Stops the gateway, if it was not stopped yet, and checks that nothing is left over. */
void world_free(struct world *w);
void world_stop(struct world *w);
/* A new snapshot for all that comes from now on; and the same without a turn of the loop. */
void world_reload(struct world *w, snapshot_edit_fn *edit);
void world_install(struct world *w, snapshot_edit_fn *edit);
/* Snapshots that are alive. */
unsigned world_snapshots(const struct world *w);
/* Checks that no exchange is open and that all it held is given back: blocks, timers, places,
 * gauges. Every exchange has its log line. */
void world_check_rest(struct world *w);
/* The sum over all models of a gauge as /metrics shows it; and of the samples with that text in
 * their labels ("outcome=\"timeout\""). */
int64_t world_gauge(const char *name);
int64_t world_metric(const char *name, const char *label);

struct gw_provider *snapshot_provider(struct gw_snapshot *s, unsigned i);
struct gw_model *snapshot_model(struct gw_snapshot *s, const char *name);
/* Its targets are these, at most six, under the names that they have in every alias. */
void snapshot_retarget(struct gw_model *m, struct gw_snapshot *s, const int *providers, size_t n);
/* From here on all targets of the alias have their health, and it has its budgets, as new. */
void snapshot_watch(struct gw_model *m);
/* A further key, "sk-" and its name, that may do everything. Only counts with auth_keys. */
struct gw_key *snapshot_add_key(struct gw_snapshot *s, const char *name, enum gw_priority priority);

/* A request with its whole body. Fields as in struct client_request, or NULL. */
#define ASK_STREAM 1u
#define ASK_USAGE  2u
struct net_stream *ask(struct world *w, const char *model, unsigned how);
struct net_stream *ask_path(struct world *w, enum http_method method, const char *path,
                            const char *fields, struct slice body);
/* The body that `ask` sends, in memory that lasts until the next call. */
struct slice chat_body(const char *model, unsigned how);
/* A request in Anthropic's dialect, in such memory, too. */
struct slice messages_body(const char *model, bool stream);
/* The exchange of a client that has no answer yet. */
struct exchange *exchange_of(const struct net_stream *s);

/* Events of a stream. */
/* clang-format off */
#define EV_CHOICES "data: {\"id\":\"c1\",\"choices\":["
#define EV_ROLE                                                                                    \
    EV_CHOICES "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
#define EV_TEXT   EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n"
#define EV_FINISH EV_CHOICES "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define EV_USAGE  EV_CHOICES "],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define EV_DONE   "data: [DONE]\n\n"
#define EV_ERROR                                                                                   \
    "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\",\"code\":\"kaputt\"}}\n\n"
#define EV_JUNK   "data: {\"id\":\n\n"
/* The same of Anthropic's, and of Google's. */
#define AV(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define AV_START                                                                                   \
    AV("message_start", ",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":"           \
                        "\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,"      \
                        "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}")
#define AV_BLOCK                                                                                   \
    AV("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
#define AV_TEXT                                                                                    \
    AV("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"word\"}")
#define AV_BLOCK_STOP AV("content_block_stop", ",\"index\":0")
#define AV_DELTA                                                                                   \
    AV("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"       \
                        "\"usage\":{\"output_tokens\":3}")
#define AV_STOP  AV("message_stop", "")
#define AV_ERROR AV("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"boom\"}")
#define AV_ALL   AV_START AV_BLOCK AV_TEXT AV_BLOCK_STOP AV_DELTA AV_STOP
#define GV(rest)                                                                                   \
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":" rest "\n\n"
#define GV_TEXT   GV("\"word\"}]},\"index\":0}]}")
#define GV_FINISH GV("\"\"}]},\"finishReason\":\"STOP\",\"index\":0}]}")
/* clang-format on */
#define SSE_HEAD  "Content-Type: text/event-stream\n"
#define JSON_HEAD "Content-Type: application/json\n"
#define CHAT_ANSWER                                                                                \
    "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"    \
    "\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}" \
    "}"

#define MESSAGE_ANSWER                                                                             \
    "{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[{"    \
    "\"type\":\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"     \
    "\"usage\":{\"input_tokens\":7,\"output_tokens\":3}}"

/* Head and body of an answer that comes at once. */
void answer_json(struct call *c, unsigned status, struct slice body);
void answer_stream(struct call *c, struct slice events);

/* What the client got. */
void check_error(const struct net_stream *s, enum gw_error e);
void check_error_is(const struct net_stream *s, unsigned status, const char *type,
                    const char *code);
/* A stream under way that ends with an error event of that code, closed after it. `before`: what
 * comes first. */
void check_stream_error(const struct net_stream *s, const char *before, const char *type,
                        const char *code);
void check_stream_complete(const struct net_stream *s, const char *want);

/* Does what the client got end as an answer of its kind ends: valid JSON, [DONE], an error event
 * with the connection's end behind it, all the bytes that were announced? */
bool answer_is_whole(const struct net_stream *s);

/* Members of the youngest log line, which is valid JSON. */
int64_t log_number(const char *key); /* -1: absent */
bool log_text_is(const char *key, const char *want);
unsigned log_attempts(void);
bool log_attempt_is(unsigned i, const char *target, const char *outcome);

/* Is `text` valid JSON? */
bool json_valid(struct slice text);
/* Text of a member: of a string its inside, else the raw value; nested keys as "error.code".
 * SLICE_NONE: absent. */
struct slice json_member(struct slice text, const char *path);

#endif
