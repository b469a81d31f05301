/* The table of providers. A comment above a row says where its deviations are taken from. */
#include "llm/provider.h"

#include "llm/wire.h"

/* Servers that render a model's own chat template: most templates know no role `developer` and drop
 * it or fail, all that know one treat `system` alike. Their samplers know top_k. */
#define TEMPLATED (QUIRK_NO_DEVELOPER | QUIRK_TOP_K)

static const struct llm_provider providers[] = {
    {
        .type = "openai",
        .base_url = "https://api.openai.com/v1",
        .key_env = "OPENAI_API_KEY",
        .quirks = QUIRK_OPENAI_PROPER | QUIRK_RESPONSES,
        .models_path = "/models",
        .about = "OpenAI",
    },
    {
        .type = "openai-responses",
        .wire = &responses_wire,
        .base_url = "https://api.openai.com/v1",
        .quirks = QUIRK_OPENAI_PROPER | QUIRK_RESPONSES,
        .models_path = "/models",
        .about = "OpenAI, spoken to by its Responses API whatever the client's dialect: reasoning "
                 "models keep their thoughts between turns",
    },
    {
        .type = "anthropic",
        .wire = &anthropic_wire,
        .base_url = "https://api.anthropic.com/v1",
        .key_env = "ANTHROPIC_API_KEY",
        .auth = LLM_AUTH_X_API_KEY,
        .prefill = LLM_PREFILL_CLAUDE,
        .models_path = "/models",
        .about = "Anthropic",
    },
    {
        .type = "gemini",
        .wire = &google_wire,
        .base_url = "https://generativelanguage.googleapis.com/v1beta",
        .key_env = "GEMINI_API_KEY",
        .auth = LLM_AUTH_GOOG_KEY,
        .models_path = "/models",
        .about = "Google Gemini (AI Studio)",
    },
    {
        .type = "vertex",
        .wire = &google_wire,
        .auth = LLM_AUTH_GOOGLE_TOKEN,
        .about = "Google Vertex AI; `publisher` says whose models",
    },
    {
        .type = "azure",
        .auth = LLM_AUTH_AZURE_KEY,
        .key_env = "AZURE_OPENAI_API_KEY",
        .quirks = QUIRK_OPENAI_PROPER | QUIRK_RESPONSES,
        .models_path = "/models",
        .about = "Azure OpenAI; `surface: classic` for deployment URLs",
    },
    {
        .type = "bedrock",
        .wire = &converse_wire,
        .auth = LLM_AUTH_AWS,
        .prefill = LLM_PREFILL_CLAUDE,
        .key_env = "AWS_BEARER_TOKEN_BEDROCK",
        .about = "AWS Bedrock (Converse)",
        .aws_service = "bedrock",
    },
    {
        .type = "sagemaker",
        .auth = LLM_AUTH_AWS,
        .quirks = QUIRK_SAGEMAKER | TEMPLATED,
        .about = "AWS SageMaker; models are the names of endpoints",
        .aws_service = "sagemaker",
    },
    {
        .type = "cohere",
        .wire = &cohere_wire,
        .base_url = "https://api.cohere.com/v2",
        .key_env = "COHERE_API_KEY",
        .about = "Cohere",
    },
    {
        .type = "replicate",
        .wire = &replicate_wire,
        .base_url = "https://api.replicate.com/v1",
        .key_env = "REPLICATE_API_TOKEN",
        .models_path = "/account",
        .about = "Replicate; predictions are made, then looked at until they are done",
    },
    {
        .type = "runpod-native",
        .wire = &runpod_wire,
        .about = "RunPod's own run and status API; `url` is https://api.runpod.ai/v2/ENDPOINT",
    },
    /* groq 1.7.0 (Python SDK): developer is a role of its system message, max_completion_tokens,
     * chunk.x_groq.usage; stream_options: celeste-python#351, 2026-08, checked live there. */
    {
        .type = "groq",
        .base_url = "https://api.groq.com/openai/v1",
        .key_env = "GROQ_API_KEY",
        .quirks = QUIRK_USAGE_IN_X_GROQ,
        .models_path = "/models",
        .about = "Groq",
    },
    /* together 3.1.1 (Python SDK): max_tokens only; roles system, user, assistant, tool. */
    {
        .type = "together",
        .base_url = "https://api.together.ai/v1",
        .key_env = "TOGETHER_API_KEY",
        .quirks = QUIRK_MAX_TOKENS | QUIRK_NO_DEVELOPER,
        .models_path = "/models",
        .about = "Together AI",
    },
    /* mistralai 3.7.0 (Python SDK): random_seed, max_tokens, no stream_options, no developer;
     * tool_choice "required" is known beside "any". Unknown members are a 422 extra_forbidden:
     * stream_options in avante.nvim#2347, max_completion_tokens in eca#231. A last message of the
     * assistant's without `prefix` is a 400: langchain#28846, 2024-12; the answer repeats it:
     * SillyTavern#2557, 2024-07. */
    {
        .type = "mistral",
        .base_url = "https://api.mistral.ai/v1",
        .key_env = "MISTRAL_API_KEY",
        .quirks =
            QUIRK_NO_STREAM_OPTIONS | QUIRK_MAX_TOKENS | QUIRK_NO_DEVELOPER | QUIRK_RANDOM_SEED,
        .prefill = LLM_PREFILL_PREFIX,
        .models_path = "/models",
        .about = "Mistral AI",
    },
    /* Role developer is a 400 on the whole API: llmgateway#3462, 2026-08. max_tokens is the
     * documented name. prompt_cache_hit_tokens is part of the documented usage. */
    {
        .type = "deepseek",
        .base_url = "https://api.deepseek.com",
        .key_env = "DEEPSEEK_API_KEY",
        .quirks = QUIRK_MAX_TOKENS | QUIRK_NO_DEVELOPER | QUIRK_CACHE_HIT_TOKENS,
        .models_path = "/models",
        .about = "DeepSeek",
    },
    /* docs.x.ai: "reasoning token consumption will be counted separately from completion_tokens";
     * developer is an alias of system. */
    {
        .type = "xai",
        .base_url = "https://api.x.ai/v1",
        .key_env = "XAI_API_KEY",
        .quirks = QUIRK_REASONING_APART | QUIRK_RESPONSES,
        .models_path = "/models",
        .about = "xAI",
    },
    /* fireworks-ai 1.2.30 (Python SDK): max_completion_tokens is an alias of max_tokens. Some
     * models send usage only when stream_options asks: vercel/ai#16087, 2026-06. No source names
     * the role developer; system is safe. */
    {
        .type = "fireworks",
        .base_url = "https://api.fireworks.ai/inference/v1",
        .key_env = "FIREWORKS_API_KEY",
        .quirks = QUIRK_NO_DEVELOPER,
        .models_path = "/models",
        .about = "Fireworks AI",
    },
    /* /models answers without a key; /key needs one. */
    {
        .type = "openrouter",
        .base_url = "https://openrouter.ai/api/v1",
        .key_env = "OPENROUTER_API_KEY",
        .models_path = "/key",
        .about = "OpenRouter",
    },
    /* Goes to many backends: only what all of them know. */
    {
        .type = "huggingface",
        .base_url = "https://router.huggingface.co/v1",
        .key_env = "HF_TOKEN",
        .quirks = QUIRK_MAX_TOKENS | QUIRK_NO_DEVELOPER,
        .models_path = "/models",
        .about = "Hugging Face router; dedicated endpoints with `url`",
    },
    /* router/src/lib.rs, 2026-01: max_completion_tokens is an alias of max_tokens. */
    {
        .type = "tgi",
        .key_env = "HF_TOKEN",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = TEMPLATED,
        .models_path = "/models",
        .about = "Text Generation Inference",
    },
    /* Templates without developer failed until vllm#43590 (2026). continue_final_message, which
     * add_generation_prompt excludes: vllm#8942, 2024-10. */
    {
        .type = "vllm",
        .base_url = "http://127.0.0.1:8000/v1",
        .key_env = "VLLM_API_KEY",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = TEMPLATED,
        .prefill = LLM_PREFILL_FLAG,
        .models_path = "/models",
        .about = "vLLM",
    },
    /* Drops developer messages where the template has no such role: sglang#40082, 2026-09.
     * continue_final_message: sglang#4226, 2025-03; entrypoints/openai/serving_chat.py puts the
     * last message, which has to be a string, behind the rendered prompt. */
    {
        .type = "sglang",
        .base_url = "http://127.0.0.1:30000/v1",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = TEMPLATED,
        .prefill = LLM_PREFILL_FLAG,
        .models_path = "/models",
        .about = "SGLang",
    },
    /* openai/openai.go, 2026-08: max_tokens and stream_options are read, max_completion_tokens not.
     */
    {
        .type = "ollama",
        .base_url = "http://127.0.0.1:11434/v1",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = QUIRK_MAX_TOKENS | TEMPLATED,
        .models_path = "/models",
        .about = "Ollama",
    },
    /* Maps developer itself since llama.cpp#20215 (2026-03); max_completion_tokens is read. A last
     * message of the assistant's is gone on with since llama.cpp#13174 (2025-04) unless
     * --no-prefill-assistant is given (#13608), since #23012 (2026-05) also then if the request
     * says continue_final_message; with thinking on it was a 400 (#15404, 2025-08) until #22727. */
    {
        .type = "llama-server",
        .base_url = "http://127.0.0.1:8080/v1",
        .key_env = "LLAMA_API_KEY",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = TEMPLATED,
        .prefill = LLM_PREFILL_NO_THINKING,
        .models_path = "/models",
        .about = "llama.cpp's server",
    },
    /* lmstudio.ai/docs/developer/openai-compat: the list of parameters has max_tokens only. */
    {
        .type = "lm-studio",
        .base_url = "http://127.0.0.1:1234/v1",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = QUIRK_MAX_TOKENS | TEMPLATED,
        .models_path = "/models",
        .about = "LM Studio",
    },
    {
        .type = "modal",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = TEMPLATED | QUIRK_FOLLOW_303,
        .models_path = "/models",
        .about = "a server of one's own on Modal",
    },
    /* docs.baseten.co/inference/calling-your-model: Api-Key is accepted on every endpoint, Bearer
     * not for federated keys. */
    {
        .type = "baseten",
        .base_url = "https://inference.baseten.co/v1",
        .key_env = "BASETEN_API_KEY",
        .auth = LLM_AUTH_API_KEY,
        .quirks = TEMPLATED,
        .models_path = "/models",
        .about = "Baseten model APIs; dedicated deployments with `url`",
    },
    /* https://api.runpod.ai/v2/ENDPOINT/openai/v1: vLLM behind the serverless queue. */
    {
        .type = "runpod",
        .key_env = "RUNPOD_API_KEY",
        .quirks = TEMPLATED,
        .models_path = "/models",
        .about = "RunPod serverless; `url` holds the endpoint's id",
    },
    /* Unknown: nothing is renamed, whatever usage it reports is read, and system is understood
     * everywhere. */
    {
        .type = "openai-compatible",
        .auth = LLM_AUTH_NONE_OK,
        .quirks = QUIRK_NO_DEVELOPER | QUIRK_USAGE_IN_X_GROQ | QUIRK_CACHE_HIT_TOKENS,
        .models_path = "/models",
        .about = "any other server that speaks OpenAI's dialect",
    },
};

struct slice llm_auth_header(enum llm_auth auth, struct slice *ret_before)
{
    static const struct {
        struct slice name, before;
    } rows[] = {
        [LLM_AUTH_BEARER] = {{"Authorization", 13}, {"Bearer ", 7}},
        [LLM_AUTH_API_KEY] = {{"Authorization", 13}, {"Api-Key ", 8}},
        [LLM_AUTH_NONE_OK] = {{"Authorization", 13}, {"Bearer ", 7}},
        [LLM_AUTH_X_API_KEY] = {{"x-api-key", 9}, {"", 0}},
        [LLM_AUTH_GOOG_KEY] = {{"x-goog-api-key", 14}, {"", 0}},
        [LLM_AUTH_AZURE_KEY] = {{"api-key", 7}, {"", 0}},
        [LLM_AUTH_AWS] = {{"Authorization", 13}, {"Bearer ", 7}},
        [LLM_AUTH_GOOGLE_TOKEN] = {{"Authorization", 13}, {"Bearer ", 7}},
    };
    ASSERT((size_t)auth < ARRAY_LEN(rows));
    *ret_before = rows[auth].before;
    return rows[auth].name;
}

/* Rows of a provider whose wire depends on a setting: the publisher, or the surface. */
static const struct {
    const char *setting;
    struct llm_provider row;
} variants[] = {
    {"anthropic",
     {
         .type = "vertex",
         .wire = &anthropic_wire,
         .auth = LLM_AUTH_GOOGLE_TOKEN,
         .prefill = LLM_PREFILL_CLAUDE,
         .quirks = QUIRK_RAW_PREDICT,
     }},
    {"openapi",
     {
         .type = "vertex",
         .auth = LLM_AUTH_GOOGLE_TOKEN,
         .quirks = QUIRK_NO_DEVELOPER,
     }},
    {"tgi",
     {
         .type = "sagemaker",
         .wire = &tgi_wire,
         .auth = LLM_AUTH_AWS,
         .prefill = LLM_PREFILL_PLAIN,
         .quirks = QUIRK_SAGEMAKER,
         .aws_service = "sagemaker",
     }},
    {"classic",
     {
         .type = "azure",
         .auth = LLM_AUTH_AZURE_KEY,
         .quirks = QUIRK_OPENAI_PROPER | QUIRK_MODEL_IN_PATH,
     }},
};

const struct llm_provider *llm_provider_variant(const struct llm_provider *row,
                                                struct slice setting)
{
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        if (strcmp(variants[i].row.type, row->type) == 0 && slice_is(setting, variants[i].setting))
            return &variants[i].row;
    }
    return row;
}

const struct llm_provider *llm_provider_find(struct slice type)
{
    for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
        if (slice_is(type, providers[i].type))
            return &providers[i];
    }
    return NULL;
}

const struct llm_provider *llm_providers(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(providers);
    return providers;
}
