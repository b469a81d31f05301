/* `weir check --fire`: what it holds while it fires. The gateway runs in this process, with one
 * worker, on a copy of the configuration whose targets are the fault server's sockets. */
#ifndef CLI_FIRE_H
#define CLI_FIRE_H

#include "base/json_write.h"
#include "fetch.h"
#include "fire_server.h"
#include "gateway/gateway.h"
#include "loaded.h"

/* Names that its own requests ask for, beside the aliases. */
#define FIRE_ONE    "fire-one/"    /* an alias of that target alone */
#define FIRE_SILENT "fire-silent/" /* the alias with short time limits */
#define FIRE_HEDGE  "fire-hedge/"  /* the alias with its hedges */
#define FIRE_TIGHT  "fire-tight/"  /* and a kind: the alias with that limit of its own alone */

#define FIRE_EJECTION_NS (80 * NS_PER_MS) /* instead of the one that is configured */
#define FIRE_HEDGE_NS    (5 * NS_PER_MS)  /* the same, also what targets usually take to begin */

/* Keys with the same rights, of which one stands for all. Its limits are off, its budgets far. */
struct fire_key {
    struct slice name;        /* of the first one; empty: nobody's, where clients need none */
    const struct gw_key *key; /* as configured; NULL: nobody's */
    size_t n;                 /* how many there are */
    struct slice token;
    bool *may;         /* by endpoint: its requests may go there */
    struct slice *why; /* by endpoint: what the gateway says if not */
};

struct fire_alias {
    struct gw_model *model;                /* as it can be asked for here */
    const struct gw_model *silent;         /* FIRE_SILENT */
    struct limit_set set;                  /* its own limits, as configured */
    int64_t hedge_after_ns;                /* as configured; 0: it has no hedges */
    struct gw_model *hedge;                /* FIRE_HEDGE, where it has */
    size_t endpoint[ROUTE_CANDIDATES_MAX]; /* of its targets */
    const struct fire_key *key;            /* that may use most of it, or NULL */
};

/* What a request may want beside text. X(id, name, JSON of its message's content, further members)
 */
#define FIRE_WISHES(X)                                                                             \
    X(TEXT, "text", "\"Tell of a river.\"", "")                                                    \
    X(TOOLS, "tools", "\"Tell of a river.\"",                                                      \
      ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"  \
      "\"object\",\"properties\":{}}}}]")                                                          \
    X(IMAGES, "images",                                                                            \
      "[{\"type\":\"text\",\"text\":\"Tell of it.\"},{\"type\":\"image_url\",\"image_url\":{"      \
      "\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]",                                         \
      "")                                                                                          \
    X(SCHEMA, "JSON schemas", "\"Tell of a river.\"",                                              \
      ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"strict\":" \
      "true,\"schema\":{\"type\":\"object\",\"properties\":{},\"required\":[],"                    \
      "\"additionalProperties\":false}}}")
enum fire_wish {
#define X(id, name, content, members) WISH_##id,
    FIRE_WISHES(X)
#undef X
        WISHES_N
};
const char *fire_wish_name(enum fire_wish w);

/* What a request came to. */
struct fire_answer {
    unsigned status; /* 0: none, `why` says why */
    char target[160];
    bool last_resort;
    bool dropped; /* the target did not see all of the request */
    struct buf body;
    char why[400];
};

struct fire {
    struct loaded loaded;
    struct arena arena;
    struct limit_registry *limits;
    struct builder *builder;
    struct gw_snapshot *snapshot;
    struct health_settings health; /* as configured */
    struct gateway *gateway;
    int listen_fd;
    struct upstream *door; /* to the gateway */
    struct fetcher *fetcher;
    struct fire_server *server;
    struct fire_endpoint *endpoint;
    size_t endpoints_n;
    struct fire_alias *alias;
    size_t aliases_n;
    struct fire_key *key;
    size_t keys_n;
    struct fire_answer answer;
    char dir[200];
    unsigned tokens_n; /* tokens that were made up */
    struct slice user; /* whom requests are of, or empty */
    int64_t later_n;   /* requests whose answer comes later */

    /* the report */
    bool json;
    struct buf out;
    struct json_writer w;
    unsigned fired, failed, skipped; /* things */
    struct buf line;                 /* of people's report, while it is put together */
};

/* Sets everything up. False: `errors` says why. Call fire_close either way. */
NODISCARD bool fire_open(struct fire *f, const struct service_options *options, struct buf *errors);
void fire_close(struct fire *f);

/* Asks the gateway with that token; the outcome is f->answer. */
void fire_ask(struct fire *f, struct slice token, struct slice model, bool stream);
void fire_ask_for(struct fire *f, struct slice token, struct slice model, enum fire_wish wish);
/* Is it a whole good answer? */
bool fire_is_good(const struct fire *f, bool stream);
/* "HTTP 502 upstream_connect: No connection ..." in f->arena. */
struct slice fire_say(struct fire *f);
/* As if nothing had happened: no faults, health, counts. */
void fire_calm(struct fire *f);
/* A key of the gateway's own making; returns its token, SLICE_NONE without memory. */
struct slice fire_add_key(struct fire *f, const struct gw_key *key);

/* In f->arena. */
struct slice fire_tight_name(struct fire *f, struct slice alias, enum limit_kind kind);
/* A key without any rules, as clients have where they need none. */
struct gw_key fire_nobody(void);
/* The key as configured; NULL: it is disabled or has expired. */
const struct gw_key *fire_key_of(const struct fire *f, const struct config_key *c);

/* One thing was fired, or is worth knowing. `subject` and `what` name it; `detail` says why it
 * failed, or how it went. Texts for people come apart from the rows for programs. */
enum fire_verdict { FIRE_OK, FIRE_FAILED, FIRE_SKIPPED, FIRE_NOTE };
void fire_row(struct fire *f, const char *kind, struct slice subject, struct slice what,
              enum fire_verdict v, struct slice detail);
/* May requests with that key go to the alias' target number `t`? */
bool fire_may(const struct fire_key *k, const struct fire_alias *a, size_t t);
/* May the key ask for the alias at all? */
bool fire_key_allows(const struct fire_key *k, const struct fire_alias *a);
/* Has one of its budgets been configured? */
bool fire_has_budget(const struct gw_scope *s);
/* The provider as configured, of which `p` may be a target's copy. */
const struct gw_provider *fire_configured(const struct fire *f, const struct gw_provider *p);
/* How long it may be silent before a stream begins, by its `timeouts`; 0: for ever. */
int64_t fire_silence_ns(const struct gw_provider *p);
/* The endpoint of a target of the alias. */
static inline struct fire_endpoint *fire_endpoint_of(struct fire *f, const struct fire_alias *a,
                                                     size_t t)
{
    return &f->endpoint[a->endpoint[t]];
}
/* The same request, while others are made: its answer comes later. NULL: no memory. */
struct fire_later;
NODISCARD struct fire_later *fire_ask_later(struct fire *f, struct slice token, struct slice model);
/* Waits for its end, which is f->answer then. */
void fire_await(struct fire *f, struct fire_later *l);
/* The line that has been put together, if there is any. */
void fire_print_line(struct fire *f);
/* A line for people, at once. */
void fire_print(struct fire *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Fires. */
void fire_routes(struct fire *f);
void fire_breakers(struct fire *f);
void fire_streams(struct fire *f);
void fire_hedges(struct fire *f);
void fire_queues(struct fire *f);
void fire_limits(struct fire *f);

/* `weir check --fire`. The result is the exit status. */
int fire_run(const struct service_options *options, bool json);

#endif
