/* The neutral model: one chat request and the events of its answer, as every client dialect is read
 * into it and every provider's wire is written from it. Pure: memory comes from the arena given. */
#ifndef LLM_NEUTRAL_H
#define LLM_NEUTRAL_H

#include "base/arena.h"
#include "base/json.h"
#include "base/json_write.h"
#include "llm/openai.h"

/* Text as it stands between the quotes of a JSON string, escapes and all: what was valid JSON is
 * written again without being unescaped and escaped. .inner.p NULL: absent. Names, ids, roles and
 * other short words are plain slices with their escapes resolved. */
struct llm_text {
    struct slice inner;
};
#define LLM_NO_TEXT ((struct llm_text){{NULL, 0}})

/* The text of a string node; in place. */
static inline struct llm_text llm_text_at(const struct json_doc *d, uint32_t node)
{
    return (struct llm_text){json_inner(d, node)};
}
/* Plain text, escaped where it has to be; .inner.p is NULL without memory. */
NODISCARD struct llm_text llm_text_of(struct arena *a, struct slice plain);
/* The text without escapes; .p is NULL without memory, or for an absent text. */
NODISCARD struct slice llm_text_plain(struct arena *a, struct llm_text t);
/* The text without escapes where it is plainly an object in JSON, whose own keys differ; .p NULL:
 * it has to be parsed to tell, or there is no memory. See json_unwrap_object. */
NODISCARD struct slice llm_text_object(struct arena *a, struct llm_text t);
void jw_text(struct json_writer *w, struct llm_text t);
/* A provider's JSON on one line: a line break, which stands between values only, would end an
 * event's data. */
void jw_raw_line(struct json_writer *w, struct slice json);
#define jw_field_text(w, literal, t) (jw_key(w, literal), jw_text(w, t))

/* Who understands what one of its models has signed or encrypted. */
#define LLM_FAMILIES(X)                                                                            \
    X(NONE, "none")                                                                                \
    X(OPENAI, "openai")                                                                            \
    X(ANTHROPIC, "anthropic")                                                                      \
    X(GOOGLE, "google")                                                                            \
    X(AMAZON, "amazon")                                                                            \
    X(COHERE, "cohere")
enum llm_family {
#define X(id, name) FAMILY_##id,
    LLM_FAMILIES(X)
#undef X
        FAMILIES_N
};

/* A signature on its way through the dialect of another family is marked "weir.FAMILY." in front,
 * so that it comes back to those who minted it and to nobody else; in its own family's dialect
 * (`native`) it is as it came. `llm_signature_read` undoes that: `*ret_family` is who minted it. */
NODISCARD struct slice llm_signature_mark(struct arena *a, struct slice signature,
                                          enum llm_family minted_by, enum llm_family native);
struct slice llm_signature_read(struct slice marked, enum llm_family native,
                                enum llm_family *ret_family);

/* ---- What a request may ask for, and what happens where the target lacks it. */

enum llm_lack { LACK_DROP, LACK_REFUSE };

/* X(id, by default, OpenAI chat's name, Responses', Anthropic's, Google's). DROP: a hint, left out
 * and named in x-weir-dropped. REFUSE: it changes what the answer means, so the request is a 400.
 */
#define LLM_FEATURES(X)                                                                            \
    X(TEMPERATURE, REFUSE, "temperature", "temperature", "temperature",                            \
      "generationConfig.temperature")                                                              \
    X(TOP_P, REFUSE, "top_p", "top_p", "top_p", "generationConfig.topP")                           \
    X(TOP_K, REFUSE, "top_k", "top_k", "top_k", "generationConfig.topK")                           \
    X(PENALTIES, REFUSE, "frequency_penalty", "frequency_penalty", "frequency_penalty",            \
      "generationConfig.frequencyPenalty")                                                         \
    X(LOGIT_BIAS, REFUSE, "logit_bias", "logit_bias", "logit_bias", "logitBias")                   \
    X(SEED, DROP, "seed", "seed", "seed", "generationConfig.seed")                                 \
    X(N, REFUSE, "n", "n", "n", "generationConfig.candidateCount")                                 \
    X(STOP, REFUSE, "stop", "stop", "stop_sequences", "generationConfig.stopSequences")            \
    X(LOGPROBS, REFUSE, "logprobs", "top_logprobs", "logprobs",                                    \
      "generationConfig.responseLogprobs")                                                         \
    X(TOOLS, REFUSE, "tools", "tools", "tools", "tools")                                           \
    X(CUSTOM_TOOLS, REFUSE, "tools", "tools", "tools", "tools")                                    \
    X(HOSTED_TOOLS, REFUSE, "tools", "tools", "tools", "tools")                                    \
    X(TOOL_CHOICE, REFUSE, "tool_choice", "tool_choice", "tool_choice", "toolConfig")              \
    X(PARALLEL, DROP, "parallel_tool_calls", "parallel_tool_calls",                                \
      "tool_choice.disable_parallel_tool_use", "toolConfig")                                       \
    X(STRICT, DROP, "tools.strict", "tools.strict", "tools.strict", "tools.strict")                \
    X(JSON_OBJECT, REFUSE, "response_format", "text.format", "output_config.format",               \
      "generationConfig.responseMimeType")                                                         \
    X(JSON_SCHEMA, REFUSE, "response_format", "text.format", "output_config.format",               \
      "generationConfig.responseJsonSchema")                                                       \
    X(IMAGE, REFUSE, "image_url", "input_image", "image", "inlineData")                            \
    X(IMAGE_URL, REFUSE, "image_url", "input_image", "image", "fileData")                          \
    X(AUDIO, REFUSE, "input_audio", "input_audio", "audio", "inlineData")                          \
    X(VIDEO, REFUSE, "video", "video", "video", "inlineData")                                      \
    X(DOCUMENT, REFUSE, "file", "input_file", "document", "inlineData")                            \
    X(FILE_ID, REFUSE, "file_id", "file_id", "file_id", "fileData")                                \
    X(NATIVE_PART, REFUSE, "content", "input", "content", "parts")                                 \
    X(PREFILL, REFUSE, "messages", "input", "messages", "contents")                                \
    X(EFFORT, DROP, "reasoning_effort", "reasoning.effort", "output_config.effort",                \
      "generationConfig.thinkingConfig")                                                           \
    X(SIGNATURE, DROP, "thinking_blocks", "encrypted_content", "signature", "thoughtSignature")    \
    X(VERBOSITY, DROP, "verbosity", "text.verbosity", "verbosity", "verbosity")                    \
    X(USER, DROP, "user", "user", "metadata.user_id", "labels")                                    \
    X(METADATA, DROP, "metadata", "metadata", "metadata", "labels")                                \
    X(SERVICE_TIER, DROP, "service_tier", "service_tier", "service_tier", "serviceTier")           \
    X(CACHE, DROP, "prompt_cache_key", "prompt_cache_key", "cache_control", "cachedContent")       \
    X(STORE, DROP, "store", "store", "store", "store")                                             \
    X(CITATIONS, REFUSE, "citations", "citations", "citations", "citations")                       \
    X(MODALITIES, REFUSE, "modalities", "modalities", "modalities",                                \
      "generationConfig.responseModalities")                                                       \
    X(NAME, DROP, "messages.name", "input.name", "messages.name", "contents.name")
enum llm_feature {
#define X(id, action, chat, responses, anthropic, google) FEATURE_##id,
    LLM_FEATURES(X)
#undef X
        FEATURES_N
};
enum llm_dialect_id {
    DIALECT_OPENAI,
    DIALECT_RESPONSES,
    DIALECT_ANTHROPIC,
    DIALECT_GOOGLE,
    DIALECTS_N
};
const char *llm_feature_name(enum llm_feature f, enum llm_dialect_id dialect);
enum llm_lack llm_feature_lack(enum llm_feature f);
/* By the name that the configuration knows it by: "hosted_tools". */
bool llm_feature_find(struct slice name, enum llm_feature *ret);

/* ---- The request. */

enum llm_role { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT };

enum llm_part_kind {
    PART_TEXT,
    PART_IMAGE,
    PART_AUDIO,
    PART_VIDEO,
    PART_DOCUMENT,
    PART_TOOL_CALL,   /* of the assistant */
    PART_TOOL_RESULT, /* in a message of the user's */
    PART_REASONING,   /* of the assistant: its text, its signature, or both */
    PART_REFUSAL,     /* of the assistant */
    PART_NATIVE,      /* a block that only one family knows, as it stands in that family's wire */
};

/* Where an image, a sound or a document is: one of data, url, file_id and text. */
struct llm_source {
    struct slice media_type; /* "image/png"; empty: unknown */
    struct slice data;       /* base64, without escapes */
    struct slice url;
    struct slice file_id;
    struct llm_text text; /* a document that is plain text */
    struct slice name;    /* a file's name or a document's title */
    struct slice detail;  /* of images: "low", "high", "auto" */
};

struct llm_part {
    struct llm_part *next;
    enum llm_part_kind kind;
    struct llm_text text;  /* TEXT, REASONING, REFUSAL; a custom tool's input in TOOL_CALL */
    struct slice id, name; /* TOOL_CALL; TOOL_RESULT: of the call, name empty if nobody said it */
    /* TOOL_CALL: the arguments, in one of two forms; llm_call_object and llm_call_text give either.
     */
    struct llm_text arguments;    /* the JSON inside a string */
    struct slice input_json;      /* the object itself */
    bool custom;                  /* TOOL_CALL, TOOL_RESULT: of a tool whose input is free text */
    bool is_error;                /* TOOL_RESULT */
    const struct llm_part *calls; /* TOOL_CALL, TOOL_RESULT: the call before this one */
    struct llm_part *content;     /* TOOL_RESULT: texts, images, documents */
    struct llm_source source;
    struct slice signature;   /* REASONING, as it was minted */
    bool redacted;            /* REASONING: `signature` is the whole of it, encrypted */
    enum llm_family family;   /* who minted the signature; whose block NATIVE is */
    struct slice cache_json;  /* a cache marker behind this part: {"type":"ephemeral","ttl":"1h"} */
    bool citations;           /* DOCUMENT: they are asked for */
    struct slice native_json; /* NATIVE */
    unsigned message_at, at;  /* where it stands in the client's request, for refusals */
};

struct llm_message {
    struct llm_message *next;
    enum llm_role role;
    struct slice name;
    struct llm_part *parts;
    unsigned at; /* its place in the client's list */
};

enum llm_tool_kind { TOOL_FUNCTION, TOOL_CUSTOM, TOOL_HOSTED };
struct llm_tool {
    struct llm_tool *next;
    enum llm_tool_kind kind;
    struct slice name;
    struct llm_text description;
    struct slice schema_json; /* FUNCTION: JSON Schema of the arguments; empty: none */
    bool schema_typed;        /* it is known to be an object with a member `type` */
    int strict;               /* 0, 1; -1: not said */
    struct slice format_json; /* CUSTOM: OpenAI's `format`, or empty */
    struct slice native_json; /* HOSTED: the tool in the wire of `family` */
    enum llm_family family;
    struct slice cache_json;
    struct slice space; /* of OpenAI's namespaces: `name` says both; native_json is all of it */
};

enum llm_choice_mode { CHOICE_UNSET, CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED };
enum llm_format_kind { FORMAT_TEXT, FORMAT_JSON_OBJECT, FORMAT_JSON_SCHEMA };

/* A list of short texts. */
struct llm_word {
    struct llm_word *next;
    struct slice word; /* escapes resolved */
};

/* Numbers are kept as they were written; .p NULL: absent. */
struct llm_chat {
    enum llm_dialect_id dialect;
    bool completion; /* legacy completions: one message that is to be continued */
    struct slice model;
    struct llm_message *messages; /* system and developer where the client put them */
    struct llm_tool *tools;
    enum llm_choice_mode choice;
    struct slice choice_name;        /* NAMED */
    struct llm_word *choice_allowed; /* with AUTO or REQUIRED: only these tools may be called */
    int parallel;                    /* may several tools be called at once: 0, 1; -1: not said */
    enum llm_format_kind format;
    struct slice format_name, format_schema_json;
    struct llm_text format_description;
    int format_strict;  /* 0, 1; -1: not said */
    int64_t max_tokens; /* -1: not said */
    int64_t n;          /* 1 */
    struct slice temperature, top_p, top_k, frequency_penalty, presence_penalty, seed;
    struct llm_word *stop;
    struct slice logit_bias_json;
    bool logprobs;
    int64_t top_logprobs; /* -1: not said */
    struct slice effort;  /* "none", "minimal", "low", "medium", "high", "xhigh", "max", or newer */
    int64_t budget;       /* tokens for reasoning; 0: none wanted, -1: not said, -2: adaptive */
    struct slice show; /* how reasoning is to be shown: "auto", "concise", "detailed", "omitted" */
    struct slice verbosity, user, service_tier, cache_key;
    struct slice metadata_json; /* an object of strings, without the user */
    int store;                  /* 0, 1; -1: not said */
    bool stream, wants_usage;
    bool continues; /* the last message, the assistant's, is an answer to be gone on with */
    struct llm_word *unknown; /* names of members that the model has no place for */
};

/* The call's arguments as an object: "{}" where there are none. .p NULL: not an object in JSON, or
 * no memory. */
NODISCARD struct slice llm_call_object(struct json_parser *p, struct arena *a,
                                       const struct llm_part *call);
/* The same inside a string. .inner.p NULL: no memory. */
NODISCARD struct llm_text llm_call_text(struct arena *a, const struct llm_part *call);
/* The name of the tool that gave this result: its own, or that of the nearest call before it with
 * the same id; empty: there is none among the last 1000. */
struct slice llm_result_name(const struct llm_part *result);

/* Appending to lists that readers build: `tail` points at the list's last `next`. */
#define LLM_APPEND(tail, item)                                                                     \
    do {                                                                                           \
        *(tail) = (item);                                                                          \
        (tail) = &(item)->next;                                                                    \
    } while (0)

/* ---- The answer, as events. */

enum llm_finish {
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_TOOLS,
    FINISH_FILTER,   /* blocked or refused */
    FINISH_SEQUENCE, /* one of the stop sequences, where the wire tells it apart */
    FINISH_PAUSE,    /* a hosted tool's turn goes on with the next request */
};

struct llm_citation {
    struct slice url; /* empty: of a document */
    struct llm_text title, cited;
    int64_t start, end;    /* characters of the answer's text, -1: not said */
    int64_t document;      /* number of the document, -1: not said */
    struct slice own_json; /* the whole citation in `family`'s wire */
    enum llm_family family;
};

/* Answers have choices, choices have parts, parts have text. Decoders keep this order: START comes
 * first and once; a part begins (PART) before its DELTAs, and ends (PART_END) before FINISH of its
 * choice. Several tool calls may be open at once; other parts are not. FINISH comes once for each
 * choice, then END once. ERROR ends everything. */
enum llm_event_kind {
    EVENT_START,     /* id and model, as far as the provider says them */
    EVENT_PART,      /* choice, part, part_kind; TOOL_CALL: id, name, custom */
    EVENT_DELTA,     /* choice, part, text: what comes to it (tool calls: their arguments) */
    EVENT_SIGNATURE, /* choice, part (REASONING): signature, family, redacted */
    EVENT_CITATION,  /* choice, part (TEXT): citation */
    EVENT_LOGPROBS,  /* choice, part: json, the entries in OpenAI's form without the brackets */
    EVENT_PART_END,  /* choice, part */
    EVENT_FINISH,    /* choice, finish, stop_sequence, text: why it was refused, if so */
    EVENT_END,       /* the decoder's usage is final */
    EVENT_ERROR,     /* error, status: the HTTP status it stands for, 0: unknown */
    EVENT_PING,
};

struct llm_event {
    enum llm_event_kind kind;
    unsigned choice;
    unsigned part; /* counts the parts of the choice from 0 on */
    enum llm_part_kind part_kind;
    bool custom, redacted;
    struct llm_text text;
    struct slice id, name, model, signature, stop_sequence, json;
    enum llm_family family;
    enum llm_finish finish;
    unsigned status;
    const struct llm_citation *citation;
    const struct llm_error *error;
};

/* Events to whoever takes them. What they point to is theirs for the call only. */
typedef void llm_emit_fn(void *ctx, const struct llm_event *e);

/* ---- An answer as a whole. */

struct llm_choice {
    struct llm_choice *next;
    unsigned index;
    struct llm_part *parts;
    enum llm_finish finish;
    struct slice stop_sequence;
    struct llm_text refusal;
    struct slice logprobs_json; /* entries, without the brackets */
    struct llm_cited *citations;
};
struct llm_cited {
    struct llm_cited *next;
    unsigned part;
    struct llm_citation citation;
};
struct llm_answer {
    struct slice id, model;
    struct llm_choice *choices; /* in the order of their numbers */
    struct llm_usage usage;
    bool whole, failed; /* END came; no memory */
    struct llm_error error;
    unsigned error_status;
    bool is_error;
};

/* Gathers events: pass it as `ctx` of llm_collect. Everything is copied to the arena. */
struct llm_collector {
    struct arena *arena;
    struct llm_answer *answer;
    struct llm_open_part *open; /* private */
};
void llm_collect(void *collector, const struct llm_event *e);
/* Joins what is still in pieces. False: no memory. */
NODISCARD bool llm_collect_end(struct llm_collector *c);

/* Lets one part of a choice be open at a time, for dialects that know it no other way: pass it as
 * `ctx` of llm_sequence. What belongs to later parts waits until the earlier have ended. */
struct llm_sequencer {
    llm_emit_fn *emit;
    void *ctx;
    struct arena *arena;
    bool failed; /* no memory */
    bool is_open;
    unsigned open; /* the part that goes through */
    enum llm_part_kind open_kind;
    struct llm_waiting *waiting; /* private */
    unsigned choice;             /* whose parts these are; the caller's is that of choice 0 */
    struct llm_sequencer *next;  /* private: of other choices */
};
void llm_sequence(void *sequencer, const struct llm_event *e);
/* The answer is to end in the middle: ends the part that is open in each choice, and forgets what
 * waits behind it. Without `calls` a tool call stays open: for dialects that say it whole or not at
 * all. */
void llm_sequence_cut(struct llm_sequencer *first, bool calls);

#endif
