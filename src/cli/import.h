/* `weir import`: what the parts of it share. Lists keep the order of the file; all memory is the
 * arena's. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"

/* An upstream of the new configuration. */
struct import_provider {
    struct import_provider *next;
    struct slice kind; /* what the other gateway calls it; the name begins with it */
    struct slice name;
    struct slice text; /* its map as YAML; two with the same text are one */
};

struct import_target {
    struct import_target *next;
    const struct import_provider *provider;
    struct slice model;
};

struct import_name {
    struct import_name *next;
    struct slice text;
    size_t line;
};

/* Limits of a model's deployments: they add up, unless one of them has none. */
enum { IMPORT_RPM, IMPORT_TPM, IMPORT_PARALLEL, IMPORT_LIMITS_N };

struct import_model {
    struct import_model *next;
    struct slice name;
    size_t line;
    unsigned deployments; /* with or without a counterpart */
    struct import_target *targets;
    struct import_name *fallbacks; /* names of models */
    struct slice same_as;          /* another name of that model; then it has nothing of its own */
    int64_t limit[IMPORT_LIMITS_N];
    unsigned limited[IMPORT_LIMITS_N]; /* deployments that have it */
};

struct import_price {
    struct import_price *next;
    const struct import_provider *provider;
    struct slice model;
    struct slice text; /* as YAML */
};

/* A key by its digest. */
struct import_key {
    struct import_key *next;
    size_t line;
    struct slice name, hint, note, expires; /* expires: RFC 3339, or empty */
    char sha256[2 * SHA256_BYTES + 1];
    bool disabled;
    struct slice team;   /* of the new configuration */
    struct slice rights; /* members of a JSON object, without its braces */
};

struct import {
    struct arena arena;
    const char *file; /* that lines are named of */
    unsigned notes;   /* lines named so far */
    struct import_provider *providers;
    struct import_model *models;
    struct import_price *prices;
    struct import_name *exposed; /* patterns */
    struct import_name *default_fallbacks;
    struct import_key *keys;
    struct slice master_key;          /* as a value of the new file, or empty */
    int64_t total_ms, first_token_ms; /* time limits of requests; 0: not given */
    int64_t body_mb;
    bool drop_params;
};

/* "FILE:LINE: text" on standard error: something has no counterpart, or means something else. */
void import_note(struct import *im, size_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Memory of the arena, zeroed; ends the process when there is none. */
void *import_new(struct import *im, size_t size);
struct slice import_copy(struct import *im, struct slice s);
/* Appends to the list whose head is at `head`. */
#define import_append(head, item)                                                                  \
    do {                                                                                           \
        __typeof__(head) at_ = (head);                                                             \
        while (*at_ != NULL)                                                                       \
            at_ = &(*at_)->next;                                                                   \
        *at_ = (item);                                                                             \
    } while (0)

/* Reads a LiteLLM proxy configuration. False: it is none, which standard error says. */
NODISCARD bool import_litellm(struct import *im, struct slice text);
/* Reads a dump of its LiteLLM_VerificationToken table: JSON, JSON lines or CSV. */
NODISCARD bool import_litellm_keys(struct import *im, struct slice text);

/* A time as the configuration has it: "30s", "2500ms". */
void import_put_ms(struct buf *out, int64_t ms);
/* Writes the new configuration; `keys_too`: with the keys. */
void import_write(const struct import *im, bool keys_too, struct buf *out);

/* A text as YAML; `${` stays what it is where `variables` says so, else it means itself. */
void import_put_text(struct buf *out, struct slice s, bool variables);

#endif
