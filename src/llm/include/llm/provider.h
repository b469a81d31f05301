/* The table of providers: what is known of each kind of upstream. A new OpenAI-compatible provider
 * is one row in provider.c. */
#ifndef LLM_PROVIDER_H
#define LLM_PROVIDER_H

#include "base/slice.h"

/* Deviations from OpenAI's wire. Each is one bit, handled in one place (openai_edit.c,
 * openai_scan.c or, for the last, whoever sends the request); the sources of the facts are named
 * beside the rows. */
enum llm_quirk {
    QUIRK_NO_STREAM_OPTIONS = 1 << 0, /* refuses stream_options; usage comes by itself */
    QUIRK_MAX_TOKENS = 1 << 1,        /* knows max_tokens, not max_completion_tokens */
    QUIRK_NO_DEVELOPER = 1 << 2,      /* role developer is to be sent as system */
    QUIRK_RANDOM_SEED = 1 << 3,       /* seed is called random_seed */
    QUIRK_REASONING_APART = 1 << 4,   /* completion_tokens leaves reasoning_tokens out */
    QUIRK_USAGE_IN_X_GROQ = 1 << 5,   /* streams carry usage in x_groq.usage */
    QUIRK_CACHE_HIT_TOKENS = 1 << 6,  /* prompt_cache_hit_tokens beside or instead of details */
    QUIRK_FOLLOW_303 = 1 << 7,        /* a slow answer is a redirect to fetch it by GET */
    QUIRK_TOP_K = 1 << 8,             /* knows top_k beside OpenAI's parameters */
    QUIRK_OPENAI_PROPER = 1 << 9,     /* OpenAI's own API: store, custom tools, tiers and so on */
    QUIRK_RESPONSES = 1 << 10,        /* speaks OpenAI's Responses beside its own wire */
    QUIRK_MODEL_IN_PATH = 1 << 11, /* the model, here a deployment, stands before the operation */
    QUIRK_SAGEMAKER = 1 << 13,     /* an endpoint by name; streams inside AWS's framing */
    QUIRK_RAW_PREDICT = 1 << 12,   /* Anthropic's wire in Vertex AI's envelope */
};

enum llm_auth {
    LLM_AUTH_BEARER,       /* Authorization: Bearer KEY */
    LLM_AUTH_API_KEY,      /* Authorization: Api-Key KEY */
    LLM_AUTH_NONE_OK,      /* Bearer when a key is given, nothing otherwise: local servers */
    LLM_AUTH_X_API_KEY,    /* x-api-key: KEY */
    LLM_AUTH_GOOG_KEY,     /* x-goog-api-key: KEY */
    LLM_AUTH_AZURE_KEY,    /* api-key: KEY, or Entra's token */
    LLM_AUTH_AWS,          /* Signature Version 4, or Bearer when a key is given */
    LLM_AUTH_GOOGLE_TOKEN, /* Google's OAuth token, fetched */
};

/* What a request has to say so that an answer that the assistant has begun is gone on with, rather
 * than followed by another. Only what is known of all servers of that type. */
enum llm_prefill {
    LLM_PREFILL_NONE,
    LLM_PREFILL_PLAIN,       /* nothing but the last message */
    LLM_PREFILL_CLAUDE,      /* the same, but only some models do: anthropic_model_traits */
    LLM_PREFILL_FLAG,        /* continue_final_message, and no add_generation_prompt */
    LLM_PREFILL_NO_THINKING, /* the same, and enable_thinking false in chat_template_kwargs */
    LLM_PREFILL_PREFIX,      /* `prefix` in the message; the answer may repeat it */
};

struct llm_wire;

struct llm_provider {
    const char *type;            /* as in the configuration */
    const struct llm_wire *wire; /* NULL: OpenAI's chat completions */
    const char *base_url;        /* NULL: the configuration has to give one */
    const char *key_env;         /* variable that usually holds the key, or NULL */
    enum llm_auth auth;
    unsigned quirks;         /* of enum llm_quirk */
    const char *models_path; /* of the free call that `weir check --connect` makes, under base_url;
                                NULL: none */
    const char *about;       /* one line for the documentation */
    const char *aws_service; /* that its requests are signed for, or NULL */
    enum llm_prefill prefill;
};

/* The header that carries a key, and what stands before the key in its value. */
struct slice llm_auth_header(enum llm_auth auth, struct slice *ret_before);

/* NULL: no such type. */
const struct llm_provider *llm_provider_find(struct slice type);
/* The row for one of its settings ("classic" of azure, "anthropic" of vertex), or `row` itself. */
const struct llm_provider *llm_provider_variant(const struct llm_provider *row,
                                                struct slice setting);
/* All rows, for documentation, hints and environment-only configuration. */
const struct llm_provider *llm_providers(size_t *ret_n);

#endif
