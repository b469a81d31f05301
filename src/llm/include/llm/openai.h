/* OpenAI's dialect, as clients speak it and as most providers do: reading requests, editing them by
 * splicing, and scanning answers. Pure: no I/O, no clock, memory from the arena given. */
#ifndef LLM_OPENAI_H
#define LLM_OPENAI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "llm/provider.h"

/* CHAT is also what Anthropic calls messages, Google generateContent and OpenAI now responses;
 * COUNT_TOKENS is Anthropic's, and knows no OpenAI path. */
enum llm_op { LLM_CHAT, LLM_COMPLETIONS, LLM_EMBEDDINGS, LLM_COUNT_TOKENS, LLM_OPS_N };

/* "/chat/completions" and so on: what comes behind a provider's base path. */
struct slice llm_op_path(enum llm_op op);
/* "chat", "completions", "embeddings": for logs and metrics. */
const char *llm_op_name(enum llm_op op);

/* Members of a request that Weir reads or that a quirk changes. */
#define LLM_MEMBERS(X)                                                                             \
    X(MODEL, "model")                                                                              \
    X(MESSAGES, "messages")                                                                        \
    X(PROMPT, "prompt")                                                                            \
    X(INPUT, "input")                                                                              \
    X(STREAM, "stream")                                                                            \
    X(STREAM_OPTIONS, "stream_options")                                                            \
    X(MAX_TOKENS, "max_tokens")                                                                    \
    X(MAX_COMPLETION_TOKENS, "max_completion_tokens")                                              \
    X(N, "n")                                                                                      \
    X(SEED, "seed")                                                                                \
    X(RANDOM_SEED, "random_seed")                                                                  \
    X(USER, "user")
enum llm_member {
#define X(id, name) LLM_MEMBER_##id,
    LLM_MEMBERS(X)
#undef X
        LLM_MEMBERS_N
};

/* Where a member stands in the body; value_end 0: it is absent. */
struct llm_span {
    uint32_t key, key_end, value, value_end;
};

/* Bytes from..end of the body. */
struct llm_range {
    uint32_t from, end;
};

/* What a request may need beside texts in and one text out. The first three are also what models
 * are known to do or not. X(id, bit, what it is called) */
#define LLM_NEEDS(X)                                                                               \
    X(TOOLS, 0, "tools")                                                                           \
    X(IMAGES, 1, "images")                                                                         \
    X(SCHEMA, 2, "schema")                                                                         \
    X(IMAGE_URLS, 3, "image_urls")                                                                 \
    X(AUDIO, 4, "audio")                                                                           \
    X(JSON, 5, "json_object")                                                                      \
    X(CHOICES, 6, "choices")
enum llm_need {
#define X(id, bit, name) LLM_NEEDS_##id = 1 << (bit),
    LLM_NEEDS(X)
#undef X
};
#define LLM_NEEDS_N   7
#define LLM_ABILITIES 3 /* the first ones */
/* What bit number `i` is called. */
const char *llm_need_name(unsigned i);

struct llm_request {
    enum llm_op op;
    struct slice body;   /* the JSON text; stays in place as long as the request */
    struct json_doc doc; /* of the light reading; of use while the parser's latest */
    struct slice model;  /* escapes resolved */
    size_t bulk_bytes;   /* of the body: encoded images and files, which are no text */
    struct slice user;   /* the client's name for the end user, escapes resolved; .p NULL: none */
    bool stream;
    bool wants_usage;   /* stream_options.include_usage is true */
    int64_t max_tokens; /* the client's bound on output, the larger if there are two; -1: none */
    int64_t cap_tokens; /* bound that goes upstream where the client gives none; 0: none does */
    int64_t n;          /* answers asked for, 1 by default */
    unsigned needs;     /* of enum llm_need: what is certain; there may be more */
    struct llm_span members[LLM_MEMBERS_N];
    struct llm_span include_usage;      /* inside stream_options */
    const struct llm_range *developers; /* the roles that say developer, in order, in the arena */
    size_t developers_n;
    bool refers_reasoning; /* to reasoning that the provider stored; without it the request still
                            * says all that other providers can know */
    const char *pinned; /* what in it only the provider that stored or runs it can serve, or NULL */
};

#define LLM_MODEL_MAX 256 /* bytes of a model's name */

/* Why a request is refused: status 400. */
struct llm_bad_request {
    char message[256];
    char param[64];   /* the field, or "" */
    const char *code; /* OpenAI's error.code, a literal */
    bool no_memory;   /* nothing was found wrong: 503 */
};

/* Validates `body` and reads it. The JSON contract: the whole text is valid, no object that Weir
 * reads (the root, stream_options, each message's own members) has a key twice, escaped keys count
 * as what they say; `model` is a non-empty string of at most LLM_MODEL_MAX bytes without control
 * characters, `stream` a boolean (false for embeddings), `stream_options` an object and only there
 * with `stream`, `messages` (chat) a non-empty array of objects with a string `role`, `prompt` /
 * `input` a string or an array, `user` a string, limits are positive integers (max_tokens of
 * completions may be 0), `n` is at most 128. null counts as absent, as OpenAI has it. False:
 * `*ret_bad` is filled. */
NODISCARD bool openai_read_request(struct json_parser *p, struct arena *a, enum llm_op op,
                                   struct slice body, struct llm_request *ret,
                                   struct llm_bad_request *ret_bad);

#define LLM_PARTS_MAX 15

/* The body for an upstream: pieces of the request's body and of the arena, in order. */
struct llm_body {
    struct slice part[LLM_PARTS_MAX];
    unsigned parts;
    size_t bytes;
};

/* The request as the provider is to get it: the model's name there (valid UTF-8), include_usage
 * asked for in streams (unless the provider cannot), quirks applied, everything else byte for byte.
 * More pieces than fit are joined in the arena. Nothing is parsed again. False: no memory. */
NODISCARD bool openai_edit_request(struct arena *a, const struct llm_request *r,
                                   const struct llm_provider *provider, struct slice upstream_model,
                                   struct llm_body *ret);

/* What stands in place of the model in Vertex AI's envelope of Anthropic's wire. */
#define LLM_VERTEX_VERSION "vertex-2023-10-16"

/* The request under the model's name there, everything else byte for byte: for clients and
 * providers that speak the same wire. A request that names its model elsewhere stays as it is.
 * False: no memory. */
NODISCARD bool llm_rename_model(struct arena *a, const struct llm_request *r,
                                const struct llm_provider *provider, struct slice upstream_model,
                                struct llm_body *ret);

/* Tokens on one basis: input includes cached and cache-written, output includes reasoning.
 * -1: the provider did not say. No figure is above 2^48: larger ones are taken as not said. */
struct llm_usage {
    int64_t input, output, cached, cache_write, reasoning;
};
#define LLM_USAGE_NONE ((struct llm_usage){-1, -1, -1, -1, -1})
/* Field by field, what `from` knows replaces what `into` has. */
void llm_usage_merge(struct llm_usage *into, const struct llm_usage *from);

struct llm_error {
    struct slice message, type, code, param; /* raw text with escapes resolved; .p NULL: absent */
};

/* What one answer or one event of a stream says. Slices point into the text; the arena is used for
 * errors only. */
struct llm_scan {
    bool is_error;         /* it carries an error object instead of an answer */
    bool done;             /* "[DONE]" */
    bool content;          /* text, reasoning, a refusal, a tool call: something for the user */
    bool finished;         /* some choice has a finish_reason */
    bool usage_only;       /* no choices, only usage: the extra chunk of include_usage */
    bool has_usage;        /* `usage` was filled from it */
    uint32_t output_units; /* deltas with content: the estimate of tokens where usage never comes */
    struct llm_usage usage;
    struct llm_error error;
    struct llm_span usage_member; /* the top-level `usage`, null or not; value_end 0: absent */
    struct slice finish_reason;   /* of the first choice that has one; escapes not resolved */
    struct slice model;           /* that the provider says it used; escapes not resolved */
};

/* An event's data. False: it is not JSON of the expected shape (`*ret` is then of no use): an
 * object that says nothing twice, `choices` an array of objects where there are any. */
NODISCARD bool openai_scan_event(struct json_parser *p, struct arena *a,
                                 const struct llm_provider *provider, struct slice data,
                                 struct llm_scan *ret);

#define LLM_REPEAT_MAX 768

/* The latest event with content of one stream, to compare the next one with. Zeroed at first. */
struct llm_repeat {
    uint16_t n; /* bytes of its text; 0: none */
    uint16_t holes;
    struct {
        uint16_t from, to;
    } hole[2]; /* strings that may differ, without their quotes, in order */
    struct llm_scan scan;
    char text[LLM_REPEAT_MAX];
};

/* openai_scan_event for the events of one stream in turn, with the same result for a fraction of
 * the work: most events are the one before with another text between the same two quotes, which
 * needs no parsing to say. What they have in common was validated then, and the new text is simple
 * enough to be validated alone; or else the event is parsed after all. */
NODISCARD bool openai_scan_next_event(struct llm_repeat *last, struct json_parser *p,
                                      struct arena *a, const struct llm_provider *provider,
                                      struct slice data, struct llm_scan *ret);

/* A whole answer with a 2xx status. `done` is true on success. False: not JSON, or neither an
 * answer of the operation's shape nor an error. */
NODISCARD bool openai_scan_answer(struct json_parser *p, struct arena *a,
                                  const struct llm_provider *provider, enum llm_op op,
                                  struct slice body, struct llm_scan *ret);

/* The event's raw bytes without its `usage` member: what a client that did not ask for usage gets.
 * Appended to `out`. Where `data` was joined from several lines, the event is written anew. */
void openai_put_event_without_usage(struct buf *out, struct slice raw, struct slice data,
                                    const struct llm_span *usage_member);

/* The error in whatever shape a provider gives it (nested, top-level, string, detail[], message),
 * read from a body that may also be no JSON at all (then message is a cleaned excerpt of at most
 * 300 bytes). Always gives a message. */
void openai_read_error(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret);

/* {"error":{"message":...,"type":...,"param":...,"code":...}}; absent fields are null. */
void openai_put_error(struct buf *out, const struct llm_error *e);

/* GET /v1/models: OpenAI's list, with the members that Anthropic's clients look for beside. */
struct llm_model_row {
    struct slice id, owner;
};
void openai_put_models(struct buf *out, const struct llm_model_row *rows, size_t n,
                       int64_t created_s);
void openai_put_model(struct buf *out, const struct llm_model_row *row, int64_t created_s);

#endif
