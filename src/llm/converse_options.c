/* The neutral request as Bedrock's Converse: tools, sampling, reasoning, output. Sources: the
 * service model bedrock-runtime 2023-09-30 in botocore 1.44.5; AWS's "Model inference parameters"
 * for what goes into additionalModelRequestFields; litellm#32605 (2026-07) for Claude's tool_choice
 * there; zot#18 (2026-06) for toolConfig, which has to be there when calls or results are.
 * Meaningless here: strict 0 of a format, which is always strict; `parallel` 1 and `store` 0, which
 * is how it is anyway; `show` but for Claude. */
#include "converse_internal.h"

#define METADATA_MAX       16
#define METADATA_BYTES_MAX 256

static bool is_zero(struct slice number)
{
    for (size_t i = 0; i < number.n; i++) {
        if (number.p[i] >= '1' && number.p[i] <= '9')
            return false;
        if (number.p[i] == 'e' || number.p[i] == 'E')
            return true;
    }
    return true;
}

/* ---- Tools. */

static bool is_allowed(const struct llm_chat *c, struct slice name)
{
    const struct llm_word *w = c->choice_allowed;
    while (w != NULL && !slice_eq(w->word, name))
        w = w->next;
    return c->choice_allowed == NULL || w != NULL;
}

static void open_tools(struct converse_writing *x, bool *any)
{
    if (!*any) {
        jw_key(&x->j, "toolConfig");
        jw_open(&x->j, '{');
        jw_key(&x->j, "tools");
        jw_open(&x->j, '[');
    }
    *any = true;
}

static void put_spec(struct converse_writing *x, struct slice name, struct llm_text description,
                     struct slice schema_json, bool strict)
{
    jw_open(&x->j, '{');
    jw_key(&x->j, "toolSpec");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "name", name);
    if (description.inner.n > 0)
        jw_field_text(&x->j, "description", description);
    jw_key(&x->j, "inputSchema");
    jw_open(&x->j, '{');
    jw_key(&x->j, "json");
    jw_raw(&x->j,
           schema_json.n > 0 ? schema_json : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    jw_close(&x->j, '}');
    if (strict)
        jw_field_bool(&x->j, "strict", true);
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    x->in_list = true;
}

static bool put_tool(struct converse_writing *x, const struct llm_tool *t, bool *any)
{
    if (t->kind == TOOL_HOSTED && t->family != FAMILY_AMAZON)
        return llm_lacks(x->w, FEATURE_HOSTED_TOOLS, NULL);
    if (t->kind == TOOL_CUSTOM)
        return llm_lacks(x->w, FEATURE_CUSTOM_TOOLS, NULL);
    open_tools(x, any);
    if (t->kind == TOOL_HOSTED)
        jw_raw(&x->j, t->native_json);
    else
        put_spec(x, t->name, t->description, t->schema_json, t->strict == 1);
    return converse_put_cache(x, t->cache_json, x->family == FAMILY_ANTHROPIC);
}

static bool is_called(const struct llm_part *p, struct slice name)
{
    return p->kind == PART_TOOL_CALL && !p->custom && slice_eq(p->name, name);
}

/* Was this tool called before `stop`? */
static bool is_called_before(const struct llm_chat *c, const struct llm_part *stop)
{
    for (const struct llm_message *m = c->messages; m != NULL; m = m->next) {
        for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
            if (p == stop)
                return false;
            if (is_called(p, stop->name))
                return true;
        }
    }
    return false;
}

/* The calls of a conversation are refused without toolConfig: the tools that were called stand
 * there by name alone. */
static void put_past_tools(struct converse_writing *x, bool *any)
{
    const struct llm_chat *c = x->w->chat;
    const struct llm_text gone = {SLICE("No longer available. Do not call it.")};
    for (const struct llm_message *m = c->messages; m != NULL; m = m->next) {
        for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind != PART_TOOL_CALL || p->custom || is_called_before(c, p))
                continue;
            open_tools(x, any);
            put_spec(x, p->name, gone, SLICE_NONE, false);
        }
    }
    if (!*any) { /* only results, whose calls the client left out */
        open_tools(x, any);
        put_spec(x, SLICE("unknown"), gone, SLICE_NONE, false);
    }
}

/* Claude can be told to call one tool at a time, in its own words; they replace toolChoice. */
static bool is_serial(const struct converse_writing *x)
{
    return x->family == FAMILY_ANTHROPIC && x->w->chat->parallel == 0;
}

static void put_choice(struct converse_writing *x)
{
    static const char *const names[] = {[CHOICE_AUTO] = "auto",
                                        [CHOICE_NONE] = "auto",
                                        [CHOICE_REQUIRED] = "any",
                                        [CHOICE_NAMED] = "tool"};
    const struct llm_chat *c = x->w->chat;
    if (c->choice == CHOICE_UNSET || is_serial(x))
        return;
    jw_key(&x->j, "toolChoice");
    jw_open(&x->j, '{');
    jw_key_slice(&x->j, slice_str(names[c->choice]));
    jw_open(&x->j, '{');
    if (c->choice == CHOICE_NAMED)
        jw_field_string(&x->j, "name", c->choice_name);
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
}

/* `*ret`: the client's tools are there to be called. */
static bool put_tools(struct converse_writing *x, bool *ret)
{
    const struct llm_chat *c = x->w->chat;
    bool any = false, forced = c->choice == CHOICE_REQUIRED || c->choice == CHOICE_NAMED;
    x->in_list = *ret = false;
    if (c->choice == CHOICE_NONE && c->tools != NULL && x->has_tool_parts &&
        !llm_lacks(x->w, FEATURE_TOOL_CHOICE, NULL)) /* the tools have to be there */
        return false;
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (c->choice == CHOICE_NONE && !x->has_tool_parts)
            break;
        if (is_allowed(c, t->name) && !put_tool(x, t, &any))
            return false;
    }
    *ret = any;
    if (!any && forced && !llm_lacks(x->w, FEATURE_TOOL_CHOICE, NULL))
        return false;
    if (!any && x->has_tool_parts)
        put_past_tools(x, &any);
    if (!any)
        return true;
    jw_close(&x->j, ']');
    if (*ret)
        put_choice(x);
    jw_close(&x->j, '}');
    return true;
}

/* ---- Sampling. */

static void open_inference(struct converse_writing *x, bool *any)
{
    if (!*any) {
        jw_key(&x->j, "inferenceConfig");
        jw_open(&x->j, '{');
    }
    *any = true;
}

static void put_number(struct converse_writing *x, const char *key, struct slice number, bool *any)
{
    if (number.n == 0)
        return;
    open_inference(x, any);
    jw_key_slice(&x->j, slice_str(key));
    jw_raw(&x->j, number);
}

/* Empty ones would stop at once, and are refused. */
static void put_stop(struct converse_writing *x, bool *any)
{
    bool any_stop = false;
    for (const struct llm_word *s = x->w->chat->stop; s != NULL; s = s->next) {
        if (s->word.n == 0)
            continue;
        if (!any_stop) {
            open_inference(x, any);
            jw_key(&x->j, "stopSequences");
            jw_open(&x->j, '[');
        }
        any_stop = true;
        jw_string(&x->j, s->word);
    }
    if (any_stop)
        jw_close(&x->j, ']');
}

static void put_sampling(struct converse_writing *x)
{
    const struct llm_chat *c = x->w->chat;
    bool any = false;
    if (c->max_tokens >= 0) {
        open_inference(x, &any);
        jw_field_i64(&x->j, "maxTokens", c->max_tokens);
    }
    put_number(x, "temperature", c->temperature, &any);
    put_number(x, "topP", c->top_p, &any);
    put_stop(x, &any);
    if (any)
        jw_close(&x->j, '}');
}

/* ---- What each model knows by a name of its own. */

static void open_fields(struct converse_writing *x)
{
    if (!x->in_fields) {
        jw_key(&x->j, "additionalModelRequestFields");
        jw_open(&x->j, '{');
    }
    x->in_fields = true;
}

static const struct {
    const char *model, *outer, *key;
} top_ks[] = {
    {"anthropic.", NULL, "top_k"},
    {"amazon.nova", "inferenceConfig", "topK"},
    {"mistral.", NULL, "top_k"},
    {"cohere.", NULL, "k"},
};

static bool put_top_k(struct converse_writing *x)
{
    struct slice top_k = x->w->chat->top_k;
    if (top_k.n == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(top_ks); i++) {
        if (!converse_model_has(x->w->model, top_ks[i].model))
            continue;
        open_fields(x);
        if (top_ks[i].outer != NULL) {
            jw_key_slice(&x->j, slice_str(top_ks[i].outer));
            jw_open(&x->j, '{');
        }
        jw_key_slice(&x->j, slice_str(top_ks[i].key));
        jw_raw(&x->j, top_k);
        if (top_ks[i].outer != NULL)
            jw_close(&x->j, '}');
        return true;
    }
    return llm_lacks(x->w, FEATURE_TOP_K, NULL);
}

static bool put_serial(struct converse_writing *x)
{
    static const char *const types[] = {[CHOICE_UNSET] = "auto",
                                        [CHOICE_AUTO] = "auto",
                                        [CHOICE_NONE] = "auto",
                                        [CHOICE_REQUIRED] = "any",
                                        [CHOICE_NAMED] = "tool"};
    const struct llm_chat *c = x->w->chat;
    if (!is_serial(x))
        return c->parallel != 0 || llm_lacks(x->w, FEATURE_PARALLEL, NULL);
    open_fields(x);
    jw_key(&x->j, "tool_choice");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "type", slice_str(types[c->choice]));
    if (c->choice == CHOICE_NAMED)
        jw_field_string(&x->j, "name", c->choice_name);
    jw_field_bool(&x->j, "disable_parallel_tool_use", true);
    jw_close(&x->j, '}');
    return true;
}

/* ---- Reasoning. */

enum thinking {
    THINKING_NONE,
    THINKING_BUDGET,   /* Claude with a number of tokens */
    THINKING_ADAPTIVE, /* Claude with an effort */
    THINKING_NOVA,     /* reasoningConfig */
    THINKING_OPENAI,   /* reasoning_effort */
};

/* The first that matches. */
static const struct {
    const char *model;
    enum thinking thinking;
} thinkings[] = {
    {"claude-3-7", THINKING_BUDGET},
    {"claude-3-", THINKING_NONE},
    {"claude-v2", THINKING_NONE},
    {"claude-instant", THINKING_NONE},
    {"claude-opus-4-2025", THINKING_BUDGET},
    {"claude-opus-4-1", THINKING_BUDGET},
    {"claude-opus-4-5", THINKING_BUDGET},
    {"claude-sonnet-4-2025", THINKING_BUDGET},
    {"claude-sonnet-4-5", THINKING_BUDGET},
    {"claude-haiku-4-5", THINKING_BUDGET},
    {"anthropic.", THINKING_ADAPTIVE},
    {"amazon.nova-2", THINKING_NOVA},
    {"openai.", THINKING_OPENAI},
};

static enum thinking thinking_of(struct slice model)
{
    for (size_t i = 0; i < ARRAY_LEN(thinkings); i++) {
        if (converse_model_has(model, thinkings[i].model))
            return thinkings[i].thinking;
    }
    return THINKING_NONE;
}

/* What an effort is worth: tokens for Claude that counts them, Nova's word, Claude's word. */
static const struct effort {
    const char *name;
    int64_t budget;
    const char *nova, *claude; /* NULL: no reasoning */
} efforts[] = {
    {"none", 0, NULL, NULL},         {"minimal", 1024, NULL, "low"},
    {"low", 1024, "low", "low"},     {"medium", 4096, "medium", "medium"},
    {"high", 16384, "high", "high"}, {"xhigh", 24576, "high", "xhigh"},
    {"max", 24576, "high", "max"},
};
#define BUDGET_MIN 1024

/* NULL: a newer word. */
static const struct effort *effort_of(struct slice word)
{
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        if (slice_is(word, efforts[i].name))
            return &efforts[i];
    }
    return NULL;
}

static void put_thinking(struct converse_writing *x, const char *type, int64_t budget, bool shows)
{
    struct slice show = x->w->chat->show;
    open_fields(x);
    jw_key(&x->j, "thinking");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "type", slice_str(type));
    if (budget > 0)
        jw_field_i64(&x->j, "budget_tokens", budget);
    if (shows && show.n > 0)
        jw_field_string(&x->j, "display",
                        slice_is(show, "omitted") ? SLICE("omitted") : SLICE("summarized"));
    jw_close(&x->j, '}');
}

/* Claude does not think where the client chose how to sample, or which tool is to be called. */
static bool may_think(const struct llm_chat *c)
{
    return c->temperature.n == 0 && c->top_k.n == 0 && c->top_p.n == 0 &&
           c->choice != CHOICE_REQUIRED && c->choice != CHOICE_NAMED;
}

/* An effort as a number of tokens below max_tokens. */
static bool put_effort_budget(struct converse_writing *x, const struct effort *e)
{
    const struct llm_chat *c = x->w->chat;
    int64_t budget = e != NULL ? e->budget : 0;
    if (e != NULL && budget == 0)
        return true;
    if (c->max_tokens >= 0 && c->max_tokens <= budget)
        budget = c->max_tokens - 1;
    if (budget < BUDGET_MIN || !may_think(c))
        return llm_lacks(x->w, FEATURE_EFFORT, NULL);
    put_thinking(x, "enabled", budget, false);
    return true;
}

/* In additionalModelRequestFields; the effort itself stands in outputConfig. */
static bool put_claude_thinking(struct converse_writing *x, enum thinking t)
{
    const struct llm_chat *c = x->w->chat;
    const struct effort *e = effort_of(c->effort);
    bool adaptive = t == THINKING_ADAPTIVE;
    if (c->budget != -1) {
        put_thinking(x,
                     c->budget == -2 ? "adaptive"
                     : c->budget > 0 ? "enabled"
                                     : "disabled",
                     c->budget, adaptive && c->budget != 0);
        return c->effort.n == 0 || adaptive || llm_lacks(x->w, FEATURE_EFFORT, NULL);
    }
    if (c->effort.n == 0)
        return true;
    if (!adaptive)
        return put_effort_budget(x, e);
    if (e != NULL && e->claude == NULL)
        put_thinking(x, "disabled", 0, false);
    else if (c->dialect != DIALECT_ANTHROPIC && may_think(c))
        put_thinking(x, "adaptive", 0, true);
    return true;
}

/* Tokens for reasoning as a word, where only a word can be said. */
static struct slice effort_word(const struct llm_chat *c)
{
    if (c->effort.n > 0 || c->budget < 0)
        return c->effort;
    if (c->budget == 0)
        return SLICE("none");
    return c->budget <= 2048 ? SLICE("low") : c->budget <= 8192 ? SLICE("medium") : SLICE("high");
}

static bool put_nova_thinking(struct converse_writing *x, struct slice word)
{
    const struct effort *e = effort_of(word);
    if (e == NULL)
        return llm_lacks(x->w, FEATURE_EFFORT, NULL);
    open_fields(x);
    jw_key(&x->j, "reasoningConfig");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "type", e->nova != NULL ? SLICE("enabled") : SLICE("disabled"));
    if (e->nova != NULL)
        jw_field_string(&x->j, "maxReasoningEffort", slice_str(e->nova));
    jw_close(&x->j, '}');
    return true;
}

static bool put_thinking_fields(struct converse_writing *x, enum thinking t)
{
    struct slice word = effort_word(x->w->chat);
    if (t == THINKING_BUDGET || t == THINKING_ADAPTIVE)
        return put_claude_thinking(x, t);
    if (word.n == 0)
        return true; /* how much it reasons is its own affair */
    if (t == THINKING_NOVA)
        return put_nova_thinking(x, word);
    if (t == THINKING_NONE) /* to ask a model that does not reason for none is no loss */
        return slice_is(word, "none") || llm_lacks(x->w, FEATURE_EFFORT, NULL);
    open_fields(x);
    jw_field_string(&x->j, "reasoning_effort", word);
    return true;
}

/* ---- Output. */

static void put_format(struct converse_writing *x)
{
    const struct llm_chat *c = x->w->chat;
    jw_key(&x->j, "textFormat");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "type", SLICE("json_schema"));
    jw_key(&x->j, "structure");
    jw_open(&x->j, '{');
    jw_key(&x->j, "jsonSchema");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "schema",
                    c->format_schema_json.n > 0 ? c->format_schema_json : SLICE("{}"));
    if (c->format_name.n > 0)
        jw_field_string(&x->j, "name", c->format_name);
    if (c->format_description.inner.n > 0)
        jw_field_text(&x->j, "description", c->format_description);
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
}

static bool put_output(struct converse_writing *x, enum thinking t)
{
    const struct llm_chat *c = x->w->chat;
    const struct effort *e = effort_of(c->effort);
    bool has_effort = t == THINKING_ADAPTIVE && c->effort.n > 0 && (e == NULL || e->claude != NULL);
    if (c->format == FORMAT_JSON_OBJECT && !llm_lacks(x->w, FEATURE_JSON_OBJECT, NULL))
        return false;
    if (c->format != FORMAT_JSON_SCHEMA && !has_effort)
        return true;
    jw_key(&x->j, "outputConfig");
    jw_open(&x->j, '{');
    if (c->format == FORMAT_JSON_SCHEMA)
        put_format(x);
    if (has_effort)
        jw_field_string(&x->j, "effort", e != NULL ? slice_str(e->claude) : c->effort);
    jw_close(&x->j, '}');
    return true;
}

/* ---- What goes with the request. */

static bool is_metadata_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c != '\0' && strchr(" \t\n\v\f\r:_@$#=/+,-.", c) != NULL);
        if (!ok)
            return false;
    }
    return s.n <= METADATA_BYTES_MAX;
}

/* An object of few words that logs can be searched for. */
static bool is_metadata(struct converse_writing *x, const struct json_doc *d)
{
    unsigned n = 0;
    for (uint32_t k = json_first(d, 0); k < json_end(d, 0); k = json_after(d, k + 1), n++) {
        if (json_type_at(d, k + 1) != JSON_STRING)
            return false;
        struct slice key = json_string(d, k, x->w->arena);
        struct slice value = json_string(d, k + 1, x->w->arena);
        if (key.n == 0 || value.p == NULL || !is_metadata_word(key) || !is_metadata_word(value))
            return false;
    }
    return n <= METADATA_MAX;
}

static bool put_metadata(struct converse_writing *x)
{
    struct slice json = x->w->chat->metadata_json;
    struct json_doc d;
    if (json.n == 0)
        return true;
    bool ok = json_parse(x->w->json, json, 0, &d) == JSON_OK &&
              json_type_at(&d, 0) == JSON_OBJECT && is_metadata(x, &d);
    if (!ok)
        return llm_lacks(x->w, FEATURE_METADATA, NULL);
    if (json_first(&d, 0) == json_end(&d, 0))
        return true;
    jw_key(&x->j, "requestMetadata");
    jw_raw(&x->j, json);
    return true;
}

static const struct {
    const char *word, *tier; /* NULL: what it is without */
} tiers[] = {
    {"auto", NULL},       {"default", "default"},       {"standard", "default"},
    {"flex", "flex"},     {"standard_only", "default"}, {"priority", "priority"},
    {"fast", "priority"}, {"reserved", "reserved"},
};

static bool put_tier(struct converse_writing *x)
{
    struct slice word = x->w->chat->service_tier;
    if (word.n == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(tiers); i++) {
        if (!slice_is(word, tiers[i].word))
            continue;
        if (tiers[i].tier == NULL)
            return true;
        jw_key(&x->j, "serviceTier");
        jw_open(&x->j, '{');
        jw_field_string(&x->j, "type", slice_str(tiers[i].tier));
        jw_close(&x->j, '}');
        return true;
    }
    return llm_lacks(x->w, FEATURE_SERVICE_TIER, NULL);
}

/* What Converse has no place for. */
static bool lacks_rest(struct llm_writing *w)
{
    const struct llm_chat *c = w->chat;
    const struct {
        bool asked;
        enum llm_feature feature;
    } rows[] = {
        {c->n > 1, FEATURE_N},
        {!is_zero(c->frequency_penalty) || !is_zero(c->presence_penalty), FEATURE_PENALTIES},
        {c->logit_bias_json.n > 2, FEATURE_LOGIT_BIAS}, /* more than {} */
        {c->seed.n > 0, FEATURE_SEED},
        {c->logprobs, FEATURE_LOGPROBS},
        {c->verbosity.n > 0, FEATURE_VERBOSITY},
        {c->user.n > 0, FEATURE_USER},
        {c->cache_key.n > 0, FEATURE_CACHE},
        {c->store == 1, FEATURE_STORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].asked && !llm_lacks(w, rows[i].feature, NULL))
            return false;
    }
    return true;
}

bool converse_put_options(struct converse_writing *x)
{
    enum thinking t = thinking_of(x->w->model);
    bool tools;
    if (!lacks_rest(x->w))
        return false;
    put_sampling(x);
    if (!put_tools(x, &tools) || !put_output(x, t) || !put_top_k(x) || (tools && !put_serial(x)) ||
        !put_thinking_fields(x, t))
        return false;
    if (x->in_fields)
        jw_close(&x->j, '}');
    if (x->w->chat->stop != NULL && x->family == FAMILY_ANTHROPIC) { /* which one it was */
        jw_key(&x->j, "additionalModelResponseFieldPaths");
        jw_raw(&x->j, SLICE("[\"/stop_sequence\"]"));
    }
    return put_metadata(x) && put_tier(x);
}
