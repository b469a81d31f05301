/* Providers' wires: one file for each family. A wire writes requests from the neutral model, and
 * turns answers into neutral events. Pure: no I/O, no clock, memory from the arena and buffers
 * given. */
#ifndef LLM_WIRE_H
#define LLM_WIRE_H

#include "llm/neutral.h"
#include "llm/provider.h"

/* How the events of a stream are told apart. */
enum llm_framing {
    FRAMING_SSE,          /* server-sent events */
    FRAMING_EVENT_STREAM, /* AWS: application/vnd.amazon.eventstream */
    FRAMING_LINES,        /* one JSON text a line */
};

/* A request that is being written for one target. */
struct llm_writing {
    struct arena *arena;
    struct json_parser
        *json; /* for checking parts; the client's own document is no longer needed */
    const struct llm_chat *chat;
    const struct llm_provider *provider;
    struct slice model;             /* the name there */
    unsigned char lack[FEATURES_N]; /* enum llm_lack, by configuration */
    struct buf *out;                /* the body */
    struct llm_word *dropped;       /* names of what was left out, each once */
    struct llm_bad_request *bad;    /* why it is refused */
};

/* The target has no `f`. True: it is left out and remembered. False: the request is refused, and
 * the caller gives up. `path`: where it stands in the request if that says more than the feature's
 * name, or NULL. */
NODISCARD bool llm_lacks(struct llm_writing *w, enum llm_feature f, const char *path);
/* The same for one part: "messages[2].content[1]". */
NODISCARD bool llm_lacks_part(struct llm_writing *w, enum llm_feature f, const struct llm_part *p);
/* The request cannot be said there: `fmt` is the message. Returns false. */
bool llm_refuse(struct llm_writing *w, const char *param, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* An answer that is being read. */
struct llm_decoder {
    const struct llm_wire *wire;
    const struct llm_provider *provider;
    struct arena *arena; /* for the state and for what is said once; never for each event */
    struct json_parser *json;
    llm_emit_fn *emit;
    void *ctx;
    struct slice id_seed; /* unlike any other answer's: for ids that the provider does not give */
    struct slice model;   /* asked for; for START when the provider does not say */
    bool started, finished, ended; /* START, every FINISH, END or ERROR were emitted */
    bool stream;                   /* events of a stream rather than a whole answer */
    struct llm_usage usage;        /* as far as known */
    int64_t units;                 /* deltas with content: the estimate where usage never comes */
    void *state;                   /* the wire's own, in the arena; NULL at first */
};

/* What the body of an answer says where answers are jobs that take their time. */
enum llm_poll {
    LLM_POLL_DONE,    /* it is the answer, for decode_answer */
    LLM_POLL_FAILED,  /* so it is, and decode_answer gives the error */
    LLM_POLL_PENDING, /* ask again */
    LLM_POLL_BAD,     /* it makes no sense, or there is no memory */
};

struct llm_wire {
    const char *name;
    enum llm_family family;
    enum llm_framing framing;
    unsigned never; /* of enum llm_need: what no request in another dialect can ask of it, whatever
                     * the model */
    /* What comes behind the provider's base path, with the query; .p NULL: the wire has no such
     * operation, or no memory. */
    struct slice (*path)(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream);
    /* The body for `w->chat`. False: `*w->bad` says why not (no_memory: 503). */
    bool (*write_chat)(struct llm_writing *w);
    /* One event of a stream: its name (SSE `event:`, AWS :event-type or :exception-type; may be
     * empty) and its data. False: it is not what this wire sends. Unknown events are no error. */
    bool (*decode_event)(struct llm_decoder *d, struct slice name, struct slice data);
    /* The stream's body has ended: emits what is still owed. False: it ended too early. */
    bool (*decode_end)(struct llm_decoder *d);
    /* A whole 2xx answer, as the same events. False: it makes no sense. */
    bool (*decode_answer)(struct llm_decoder *d, struct slice body);
    /* An error's body, which may be no JSON at all. Always gives a message. */
    void (*read_error)(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret);
    /* Optional: when to try again, in ms, where an error's body says so rather than a header. */
    bool (*retry_delay)(
        struct json_parser *p, struct arena *a, struct slice body,
        int64_t *ret_ms); /* Optional, of wires whose answers are jobs: looks at the body of a 2xx
                           * answer, to the request and to each GET after it. PENDING: `*ret_path`,
                           * behind the provider's base path, is what to GET after a while. Such a
                           * wire has whole answers only, also for clients that stream. */
    enum llm_poll (*poll)(struct llm_decoder *d, struct slice body, struct slice *ret_path);
};

/* `name` as one segment of a path (RFC 3986 section 3.3): all but unreserved characters and @ are
 * percent-encoded. .p NULL: no memory. */
NODISCARD struct slice llm_path_segment(struct arena *a, struct slice name);

/* wire->path for this provider: SageMaker has one of its own whatever the wire. */
struct slice llm_wire_path(const struct llm_wire *wire, struct arena *a,
                           const struct llm_provider *provider, enum llm_op op, struct slice model,
                           bool stream);

/* Which of `needs` (enum llm_need) make write_chat of that wire refuse the request, with `lack` as
 * in llm_writing, however it is written; there may be more that only write_chat finds. */
unsigned llm_wire_lacks(const struct llm_wire *wire, unsigned needs,
                        const unsigned char lack[FEATURES_N]);
/* The feature that bit number `i` of the needs is. */
enum llm_feature llm_need_feature(unsigned i);

/* For decoders: START, once. */
void llm_emit_start(struct llm_decoder *d, struct slice id, struct slice model);
void llm_emit_part(struct llm_decoder *d, unsigned choice, unsigned part, enum llm_part_kind kind,
                   struct slice id, struct slice name);
void llm_emit_delta(struct llm_decoder *d, unsigned choice, unsigned part, struct llm_text text);
void llm_emit_signature(struct llm_decoder *d, unsigned choice, unsigned part,
                        struct slice signature, bool redacted);
void llm_emit_part_end(struct llm_decoder *d, unsigned choice, unsigned part);
void llm_emit_finish(struct llm_decoder *d, unsigned choice, enum llm_finish finish,
                     struct slice stop_sequence, struct llm_text refusal);
void llm_emit_end(struct llm_decoder *d);
void llm_emit_error(struct llm_decoder *d, unsigned status, const struct llm_error *e);
/* An id for tool call number `n` of an answer whose provider gives none; .p NULL: no memory. */
NODISCARD struct slice llm_made_call_id(struct llm_decoder *d, unsigned n);

extern const struct llm_wire openai_wire;    /* chat completions */
extern const struct llm_wire responses_wire; /* OpenAI's Responses */
extern const struct llm_wire anthropic_wire; /* Messages */
extern const struct llm_wire google_wire;    /* generateContent */
extern const struct llm_wire converse_wire;  /* Bedrock */
extern const struct llm_wire cohere_wire;    /* v2/chat */
extern const struct llm_wire tgi_wire;       /* TGI's own /generate */
extern const struct llm_wire runpod_wire;    /* RunPod's jobs around chat completions */
extern const struct llm_wire replicate_wire; /* Replicate's predictions */

/* Google says in the body of a 429 or 503, not in a header, how long to wait: google.rpc.RetryInfo.
 * Whole milliseconds, rounded up. False: it does not say. */
NODISCARD bool google_retry_delay(struct json_parser *p, struct arena *a, struct slice body,
                                  int64_t *ret_ms);

#endif
