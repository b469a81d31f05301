/* LiteLLM's providers: which type each is, and what its parameters are called
 * (docs.litellm.ai/docs/providers). */
#include <stdio.h>

#include "import_litellm.h"
#include "net/upstream.h"

enum {
    TAKES_KEY = 1,
    TAKES_AWS = 2,
    TAKES_GOOGLE = 4,
    TAKES_AZURE = 8,
    NEEDS_BASE = 16, /* it has no address of its own */
    ADDS_V1 = 32,    /* its address is given without "/v1" */
};

static const struct kind {
    const char *name; /* what stands before the '/' of a model */
    const char *type; /* ours */
    const char *key;  /* variable that its key comes from by itself */
    const char *url;  /* where the type has none */
    unsigned flags;
} kinds[] = {
    {"openai", "openai", "OPENAI_API_KEY", NULL, TAKES_KEY},
    {"text-completion-openai", "openai", "OPENAI_API_KEY", NULL, TAKES_KEY},
    {"azure", "azure", "AZURE_API_KEY", NULL, TAKES_KEY | TAKES_AZURE | NEEDS_BASE},
    {"azure_ai", "openai-compatible", "AZURE_AI_API_KEY", NULL, TAKES_KEY | NEEDS_BASE},
    {"anthropic", "anthropic", "ANTHROPIC_API_KEY", NULL, TAKES_KEY | ADDS_V1},
    {"gemini", "gemini", "GEMINI_API_KEY", NULL, TAKES_KEY},
    {"vertex_ai", "vertex", NULL, NULL, TAKES_GOOGLE},
    {"vertex_ai_beta", "vertex", NULL, NULL, TAKES_GOOGLE},
    {"bedrock", "bedrock", NULL, NULL, TAKES_AWS},
    {"bedrock_converse", "bedrock", NULL, NULL, TAKES_AWS},
    {"sagemaker", "sagemaker", NULL, NULL, TAKES_AWS},
    {"sagemaker_chat", "sagemaker", NULL, NULL, TAKES_AWS},
    {"cohere", "cohere", "COHERE_API_KEY", NULL, TAKES_KEY},
    {"cohere_chat", "cohere", "COHERE_API_KEY", NULL, TAKES_KEY},
    {"replicate", "replicate", "REPLICATE_API_KEY", NULL, TAKES_KEY},
    {"groq", "groq", "GROQ_API_KEY", NULL, TAKES_KEY},
    {"together_ai", "together", "TOGETHERAI_API_KEY", NULL, TAKES_KEY},
    {"mistral", "mistral", "MISTRAL_API_KEY", NULL, TAKES_KEY},
    {"deepseek", "deepseek", "DEEPSEEK_API_KEY", NULL, TAKES_KEY},
    {"xai", "xai", "XAI_API_KEY", NULL, TAKES_KEY},
    {"fireworks_ai", "fireworks", "FIREWORKS_API_KEY", NULL, TAKES_KEY},
    {"openrouter", "openrouter", "OPENROUTER_API_KEY", NULL, TAKES_KEY},
    {"huggingface", "huggingface", "HUGGINGFACE_API_KEY", NULL, TAKES_KEY},
    {"hosted_vllm", "vllm", NULL, NULL, TAKES_KEY | NEEDS_BASE},
    {"vllm", "vllm", NULL, NULL, TAKES_KEY | NEEDS_BASE},
    {"ollama", "ollama", NULL, NULL, ADDS_V1},
    {"ollama_chat", "ollama", NULL, NULL, ADDS_V1},
    {"lm_studio", "lm-studio", NULL, NULL, TAKES_KEY | NEEDS_BASE},
    {"llamafile", "llama-server", NULL, NULL, NEEDS_BASE},
    {"baseten", "baseten", "BASETEN_API_KEY", NULL, TAKES_KEY},
    {"perplexity", "openai-compatible", "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai",
     TAKES_KEY},
    {"deepinfra", "openai-compatible", "DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai",
     TAKES_KEY},
    {"cerebras", "openai-compatible", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1", TAKES_KEY},
    {"sambanova", "openai-compatible", "SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1",
     TAKES_KEY},
    {"nvidia_nim", "openai-compatible", "NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1",
     TAKES_KEY},
    {"litellm_proxy", "openai-compatible", "LITELLM_PROXY_API_KEY", NULL, TAKES_KEY | NEEDS_BASE},
    {"custom_openai", "openai-compatible", NULL, NULL, TAKES_KEY | NEEDS_BASE},
};

static const struct kind *find_kind(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (slice_is(name, kinds[i].name))
            return &kinds[i];
    }
    return NULL;
}

/* LiteLLM knows some models without a provider before them. */
static const char *guess_kind(struct slice model)
{
    static const struct {
        const char *prefix, *kind;
    } known[] = {{"gpt-", "openai"},      {"chatgpt-", "openai"},   {"o1", "openai"},
                 {"o3", "openai"},        {"o4", "openai"},         {"text-embedding-", "openai"},
                 {"claude", "anthropic"}, {"command", "cohere"},    {"gemini-", "vertex_ai"},
                 {"grok-", "xai"},        {"deepseek-", "deepseek"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_starts(model, slice_str(known[i].prefix)))
            return known[i].kind;
    }
    return NULL;
}

/* Parameters with a counterpart of the same meaning. */
static const struct param {
    const char *theirs, *ours;
    unsigned flag; /* of the kinds that take it */
} same[] = {
    {"aws_region_name", "region", TAKES_AWS},
    {"aws_access_key_id", "access_key", TAKES_AWS},
    {"aws_secret_access_key", "secret_key", TAKES_AWS},
    {"aws_session_token", "session_token", TAKES_AWS},
    {"aws_profile_name", "profile", TAKES_AWS},
    {"vertex_project", "project", TAKES_GOOGLE},
    {"vertex_location", "location", TAKES_GOOGLE},
};

/* Those that are read in another way, or mean nothing here. */
static const char *const handled[] = {"model",
                                      "custom_llm_provider",
                                      "api_key",
                                      "api_base",
                                      "base_url",
                                      "api_version",
                                      "organization",
                                      "extra_headers",
                                      "headers",
                                      "timeout",
                                      "stream_timeout",
                                      "rpm",
                                      "tpm",
                                      "max_parallel_requests",
                                      "drop_params",
                                      "vertex_credentials",
                                      "tenant_id",
                                      "client_id",
                                      "client_secret",
                                      "litellm_credential_name"};

static bool is_known(struct slice key, const struct kind *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        if (slice_is(key, handled[i]))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        if (slice_is(key, same[i].theirs) && (kind->flags & same[i].flag) != 0)
            return true;
    }
    return import_is_cost(key);
}

static void put_member(struct buf *out, const char *key, struct slice value)
{
    buf_printf(out, ", %s: ", key);
    import_put_value(out, value);
}

/* The address: a bare host gets the path that our type wants. False: it is needed and missing. */
static bool put_url(struct import *im, struct buf *out, const struct kind *kind,
                    struct yvalue params)
{
    struct yvalue v = yvalue_get(params, "api_base");
    v = yvalue_is(v) ? v : yvalue_get(params, "base_url");
    struct slice text = yvalue_text(v);
    struct net_url url;
    const char *why;
    struct buf full;
    if (text.n == 0 && (kind->flags & NEEDS_BASE) != 0 && slice_is(slice_str(kind->name), "azure"))
        text = SLICE("os.environ/AZURE_API_BASE");
    if (text.n == 0 && (kind->flags & NEEDS_BASE) != 0) {
        import_note(im, yvalue_line(params), "`%s` needs an `api_base`", kind->name);
        return false;
    }
    if (text.n == 0 && kind->url == NULL)
        return true;
    text = text.n > 0 ? text : slice_str(kind->url);
    while (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    buf_init(&full, text.n + 8);
    buf_slice(&full, text);
    if ((kind->flags & ADDS_V1) != 0 && net_url_parse(text, &url, &why) && url.path.n == 0)
        buf_lit(&full, "/v1");
    put_member(out, "url", buf_view(&full));
    buf_done(&full);
    return true;
}

static void put_headers(struct import *im, struct buf *out, struct yvalue params)
{
    struct slice organization = yvalue_text(yvalue_get(params, "organization"));
    struct yvalue maps[] = {yvalue_get(params, "extra_headers"), yvalue_get(params, "headers")};
    struct yvalue k, v;
    bool any = organization.n > 0;
    if (any) {
        buf_lit(out, ", headers: {OpenAI-Organization: ");
        import_put_value(out, organization);
    }
    for (size_t m = 0; m < ARRAY_LEN(maps); m++) {
        if (yvalue_is(maps[m]) && !yvalue_is_map(maps[m]))
            import_note(im, yvalue_line(maps[m]), "headers have to be a map");
        for (unsigned i = 0; yvalue_next(maps[m], &i, &k, &v);) {
            buf_slice(out, any ? SLICE(", ") : SLICE(", headers: {"));
            any = true;
            import_put_text(out, yvalue_text(k), false);
            buf_lit(out, ": ");
            import_put_value(out, yvalue_text(v));
        }
    }
    if (any)
        buf_char(out, '}');
}

static void put_azure(struct import *im, struct buf *out, struct yvalue params)
{
    struct slice version = yvalue_text(yvalue_get(params, "api_version"));
    struct slice tenant = yvalue_text(yvalue_get(params, "tenant_id"));
    struct yvalue other = yvalue_get(params, "azure_ad_token");
    bool v1 =
        slice_is(version, "v1") || slice_is(version, "preview") || slice_is(version, "latest");
    if (!v1)
        buf_lit(out, ", surface: classic");
    if (version.n > 0 && !v1)
        put_member(out, "api_version", version);
    if (tenant.n > 0) {
        buf_lit(out, ", entra: {tenant: ");
        import_put_value(out, tenant);
        put_member(out, "client_id", yvalue_text(yvalue_get(params, "client_id")));
        put_member(out, "client_secret", yvalue_text(yvalue_get(params, "client_secret")));
        buf_char(out, '}');
    } else if (yvalue_is(other)) {
        import_note(im, yvalue_line(other), "`azure_ad_token`: see `entra` and `managed_identity`");
    }
}

/* A file by its path, or the JSON itself. */
static void put_google(struct import *im, struct buf *out, struct yvalue params, struct slice model)
{
    struct yvalue v = yvalue_get(params, "vertex_credentials");
    struct slice text = yvalue_text(v);
    if (slice_starts(model, SLICE("claude")))
        buf_lit(out, ", publisher: anthropic");
    else if (slice_find(model, '/') > 0 && !slice_starts(model, SLICE("gemini/")))
        buf_lit(out, ", publisher: openapi");
    if (text.n == 0)
        return;
    if (text.p[0] == '/') {
        struct buf file;
        buf_init(&file, text.n + 8);
        buf_lit(&file, "file:");
        buf_slice(&file, text);
        put_member(out, "credentials", buf_view(&file));
        buf_done(&file);
        return;
    }
    put_member(out, "credentials", text);
    if (text.p[0] != '{' && !slice_starts(text, SLICE("os.environ/")))
        import_note(im, yvalue_line(v),
                    "`vertex_credentials`: the path of a file has to be absolute: file:/...");
}

static void put_times(struct import *im, struct buf *out, struct yvalue params)
{
    static const struct {
        const char *theirs, *ours;
    } times[] = {{"timeout", "total"}, {"stream_timeout", "first_token"}};
    bool any = false;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct yvalue v = yvalue_get(params, times[i].theirs);
        int64_t ms;
        if (!yvalue_is(v))
            continue;
        if (!import_seconds(yvalue_text(v), &ms)) {
            import_note(im, yvalue_line(v), "`%s` is no number of seconds up to a day",
                        times[i].theirs);
            continue;
        }
        buf_printf(out, "%s%s: ", any ? ", " : ", timeouts: {", times[i].ours);
        import_put_ms(out, ms);
        any = true;
    }
    if (any)
        buf_char(out, '}');
}

/* What LiteLLM would drop where a provider lacks it. */
static void put_drop(struct import *im, struct buf *out, struct yvalue params)
{
    if (im->drop_params || yvalue_true(yvalue_get(params, "drop_params")))
        buf_lit(out, ", drop_unsupported: [temperature, top_p, top_k, penalties, logit_bias, n, "
                     "stop, logprobs, tool_choice, parallel, json_object, json_schema]");
}

static bool put_provider(struct import *im, struct buf *out, const struct kind *kind,
                         struct yvalue params, struct slice model)
{
    struct slice key = yvalue_text(yvalue_get(params, "api_key"));
    struct slice base = yvalue_text(yvalue_get(params, "api_base"));
    bool house = slice_is(slice_str(kind->type), "openai") && base.n > 0 &&
                 memmem(base.p, base.n, "api.openai.com", 14) == NULL;
    buf_printf(out, "{type: %s", house ? "openai-compatible" : kind->type);
    if (!put_url(im, out, kind, params))
        return false;
    if (key.n > 0)
        put_member(out, "api_key", key);
    else if (kind->key != NULL && !yvalue_is(yvalue_get(params, "tenant_id"))) {
        struct buf variable;
        buf_init(&variable, 128);
        buf_printf(&variable, "os.environ/%s", kind->key);
        put_member(out, "api_key", buf_view(&variable));
        buf_done(&variable);
    }
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct slice value = yvalue_text(yvalue_get(params, same[i].theirs));
        if (value.n > 0 && (kind->flags & same[i].flag) != 0)
            put_member(out, same[i].ours, value);
    }
    if ((kind->flags & TAKES_AZURE) != 0)
        put_azure(im, out, params);
    if ((kind->flags & TAKES_GOOGLE) != 0)
        put_google(im, out, params, model);
    put_headers(im, out, params);
    put_times(im, out, params);
    put_drop(im, out, params);
    buf_char(out, '}');
    return true;
}

static const struct import_provider *get_provider(struct import *im, struct slice kind,
                                                  struct slice text)
{
    unsigned same_kind = 0;
    for (const struct import_provider *p = im->providers; p != NULL; p = p->next) {
        if (!slice_eq(p->kind, kind))
            continue;
        if (slice_eq(p->text, text))
            return p;
        same_kind++;
    }
    struct import_provider *p = import_new(im, sizeof *p);
    p->kind = import_copy(im, kind);
    p->text = import_copy(im, text);
    p->name = p->kind;
    if (same_kind > 0) {
        p->name = arena_printf(&im->arena, "%.*s-%u", SLICE_ARG(kind), same_kind + 1);
        p->name = import_copy(im, p->name);
    }
    import_append(&im->providers, p);
    return p;
}

/* Splits "azure/my-deployment", by what else says whose the model is. */
static const struct kind *split_model(struct yvalue params, struct slice *model,
                                      struct slice *ret_name)
{
    struct slice rest = *model, first = slice_cut(&rest, '/');
    struct slice said = yvalue_text(yvalue_get(params, "custom_llm_provider"));
    bool base = yvalue_is(yvalue_get(params, "api_base"));
    const char *guess = guess_kind(*model);
    if (said.n > 0) {
        if (rest.n > 0 && slice_eq(first, said))
            *model = rest;
        *ret_name = said;
    } else if (rest.n > 0 && (find_kind(first) != NULL || !base)) {
        *model = rest;
        *ret_name = first;
    } else {
        *ret_name = guess != NULL ? slice_str(guess) : base ? SLICE("custom_openai") : first;
    }
    return find_kind(*ret_name);
}

static void strip(struct slice *s, const char *prefix)
{
    if (slice_starts(*s, slice_str(prefix)))
        *s = slice_from(*s, strlen(prefix));
}

struct import_target *import_deployment(struct import *im, struct yvalue params)
{
    struct yvalue model_value = yvalue_get(params, "model"), k, v;
    struct slice model = yvalue_text(model_value), name;
    if (model.n == 0) {
        import_note(im, yvalue_line(params), "`litellm_params` has no `model`");
        return NULL;
    }
    const struct kind *kind = split_model(params, &model, &name);
    if (kind == NULL) {
        import_note(im, yvalue_line(model_value), "`%.*s`: Weir knows no such provider",
                    SLICE_ARG(name));
        return NULL;
    }
    for (unsigned i = 0; yvalue_next(params, &i, &k, &v);) {
        struct slice key = yvalue_text(k);
        if (!is_known(key, kind))
            import_note(im, yvalue_line(k), "`litellm_params.%.*s` has no counterpart",
                        SLICE_ARG(key));
    }
    v = yvalue_get(params, "litellm_credential_name");
    if (yvalue_is(v))
        import_note(im, yvalue_line(v),
                    "`litellm_credential_name`: give the provider its `api_key`");
    if (slice_is(slice_str(kind->type), "bedrock")) {
        strip(&model, "converse/");
        strip(&model, "invoke/");
    }
    struct buf text;
    buf_init(&text, (size_t)64 << 10);
    struct import_target *t = NULL;
    if (put_provider(im, &text, kind, params, model)) {
        t = import_new(im, sizeof *t);
        t->provider = get_provider(im, slice_str(kind->name), buf_view(&text));
        t->model = import_copy(im, model);
    }
    buf_done(&text);
    return t;
}
