/* The neutral request as Anthropic's Messages: what stands beside the conversation. Sources: the
 * parameter types of PyPI anthropic 2.12.0 (ThinkingConfigParam, OutputConfigParam, ToolParam,
 * ToolChoiceParam, MetadataParam), platform.claude.com on extended and adaptive thinking, effort,
 * tool use and structured outputs. */
#include "anthropic_options.h"

#define MAX_TOKENS_DEFAULT 4096 /* where the client leaves open what is required there */
#define BUDGET_LEAST       1024

/* Left out and named, whatever the configuration says of the feature: what is left has the meaning
 * that the provider knows. */
static bool drop(struct llm_writing *w, enum llm_feature f)
{
    unsigned char was = w->lack[f];
    w->lack[f] = LACK_DROP;
    bool ok = llm_lacks(w, f, NULL);
    w->lack[f] = was;
    return ok;
}

/* Efforts and what they are in tokens for models that know only budgets. */
static const struct effort {
    const char *name, *own;
    unsigned trait; /* that the model needs; else it is "high" */
    int64_t budget;
} efforts[] = {
    {"minimal", "low", 0, 1024},
    {"low", "low", 0, 1024},
    {"medium", "medium", 0, 4096},
    {"high", "high", 0, 16384},
    {"xhigh", "xhigh", TRAIT_XHIGH, 24576},
    {"max", "max", TRAIT_MAX, 24576},
};

/* NULL: not known, or none. */
static const struct effort *find_effort(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        if (slice_is(name, efforts[i].name))
            return &efforts[i];
    }
    return NULL;
}

/* The effort by the model's own words; newer words than ours go as they are. */
static struct slice own_effort(const struct llm_chat *c, unsigned traits)
{
    const struct effort *e = find_effort(c->effort);
    if (!(traits & (TRAIT_ADAPTIVE | TRAIT_EFFORT)) || slice_is(c->effort, "none"))
        return SLICE_NONE;
    if (c->effort.n == 0 && c->budget > 0 && traits & TRAIT_ADAPTIVE)
        return c->budget <= 2048 ? SLICE("low")
                                 : (c->budget <= 8192 ? SLICE("medium") : SLICE("high"));
    if (e == NULL)
        return c->effort;
    return slice_str((traits & e->trait) == e->trait ? e->own : "high");
}

/* With a budget, a turn that called tools has to be handed back with the thinking it began with;
 * a client that did not keep it goes on without. */
static bool lacks_thinking(const struct llm_chat *c)
{
    bool called = false, thought = false;
    for (const struct llm_message *m = c->messages; m != NULL; m = m->next) {
        bool results = anthropic_has_part(m, PART_TOOL_RESULT);
        if (m->role == ROLE_USER && !results)
            called = thought = false; /* a new turn */
        if (m->role != ROLE_ASSISTANT)
            continue;
        thought |= anthropic_has_own_reasoning(m);
        called |= anthropic_has_part(m, PART_TOOL_CALL);
    }
    return called && !thought;
}

static bool plan_budget(struct llm_writing *w, struct anthropic_plan *plan)
{
    const struct llm_chat *c = w->chat;
    const struct effort *e = find_effort(c->effort);
    int64_t budget = c->budget > 0 ? c->budget : e != NULL ? e->budget : 4096;
    budget = MAX_OF(budget, (int64_t)BUDGET_LEAST);
    if (c->budget == -1 && e == NULL)
        return llm_lacks(w, FEATURE_EFFORT, NULL);
    if (c->max_tokens >= 0)
        budget = MIN_OF(budget, c->max_tokens - 1);
    if (budget < BUDGET_LEAST || lacks_thinking(c))
        return drop(w, FEATURE_EFFORT);
    if (c->max_tokens < 0)
        plan->max_tokens = budget + MAX_TOKENS_DEFAULT;
    plan->thinking = THINKING_BUDGET;
    plan->budget = budget;
    return true;
}

/* Thinking does not go together with a tool that has to be called. */
static bool forces_tool(const struct llm_chat *c)
{
    return c->tools != NULL && (c->choice == CHOICE_REQUIRED || c->choice == CHOICE_NAMED);
}

bool anthropic_plan(struct llm_writing *w, struct anthropic_plan *ret)
{
    const struct llm_chat *c = w->chat;
    unsigned traits = anthropic_model_traits(w->model);
    *ret = (struct anthropic_plan){
        .traits = traits,
        .max_tokens = c->max_tokens >= 0 ? c->max_tokens : MAX_TOKENS_DEFAULT,
        .effort = own_effort(c, traits),
    };
    bool none = c->budget == 0 || (c->budget == -1 && slice_is(c->effort, "none"));
    bool thinks = (traits & (TRAIT_BUDGET | TRAIT_ADAPTIVE)) != 0;
    if (c->budget == -1 && c->effort.n == 0)
        return true;
    if (none) {
        ret->thinking = thinks ? THINKING_OFF : THINKING_UNSAID;
        return true;
    }
    if (!thinks)
        return llm_lacks(w, FEATURE_EFFORT, NULL);
    if (c->budget == -1 && c->dialect == DIALECT_ANTHROPIC) /* effort alone asks for no thinking */
        return ret->effort.n > 0 || llm_lacks(w, FEATURE_EFFORT, NULL);
    if (forces_tool(c))
        return ret->effort.n > 0 || drop(w, FEATURE_EFFORT);
    if (traits & TRAIT_ADAPTIVE) {
        ret->thinking = THINKING_ADAPTIVE;
        return true;
    }
    return plan_budget(w, ret);
}

static bool is_allowed(const struct llm_chat *c, const struct llm_tool *t)
{
    const struct llm_word *a = c->choice_allowed;
    while (a != NULL && !slice_eq(a->word, t->name))
        a = a->next;
    return c->choice_allowed == NULL || a != NULL;
}

/* The schema has to say that it is an object's. */
static bool put_schema(struct llm_writing *w, struct json_writer *j, const struct llm_tool *t)
{
    struct json_doc d;
    jw_key(j, "input_schema");
    if (t->schema_typed) {
        jw_raw(j, t->schema_json);
        return true;
    }
    if (slice_trim(t->schema_json).n == 0) {
        jw_raw(j, SLICE("{\"type\":\"object\",\"properties\":{}}"));
        return true;
    }
    if (json_parse(w->json, t->schema_json, 0, &d) != JSON_OK || json_type_at(&d, 0) != JSON_OBJECT)
        return llm_refuse(w, "tools", "The parameters of tool '" SLICE_FMT "' are not an object.",
                          (int)MIN_OF(t->name.n, (size_t)64), t->name.p);
    if (json_get(&d, 0, SLICE("type")) != 0) {
        jw_raw(j, t->schema_json);
        return true;
    }
    jw_open(j, '{');
    jw_field_string(j, "type", SLICE("object"));
    for (uint32_t k = json_first(&d, 0); k < json_end(&d, 0); k = json_after(&d, k + 1)) {
        buf_char(j->b, ',');
        buf_slice(j->b, json_raw(&d, k));
        buf_char(j->b, ':');
        buf_slice(j->b, json_raw(&d, k + 1));
    }
    jw_close(j, '}');
    return true;
}

static bool put_tool(struct llm_writing *w, struct json_writer *j, const struct llm_tool *t)
{
    if (t->kind == TOOL_CUSTOM)
        return llm_lacks(w, FEATURE_CUSTOM_TOOLS, NULL);
    if (t->kind == TOOL_HOSTED && t->family != FAMILY_ANTHROPIC)
        return llm_lacks(w, FEATURE_HOSTED_TOOLS, NULL);
    if (t->kind == TOOL_HOSTED) {
        jw_raw(j, t->native_json);
        return true;
    }
    jw_open(j, '{');
    jw_field_string(j, "name", t->name);
    if (t->description.inner.p != NULL)
        jw_field_text(j, "description", t->description);
    if (!put_schema(w, j, t))
        return false;
    if (t->strict >= 0)
        jw_field_bool(j, "strict", t->strict == 1);
    if (t->cache_json.n > 0) {
        jw_key(j, "cache_control");
        jw_raw(j, t->cache_json);
    }
    jw_close(j, '}');
    return true;
}

static void put_choice(const struct llm_chat *c, struct json_writer *j)
{
    static const struct slice types[] = {[CHOICE_UNSET] = LITERAL("auto"),
                                         [CHOICE_AUTO] = LITERAL("auto"),
                                         [CHOICE_NONE] = LITERAL("none"),
                                         [CHOICE_REQUIRED] = LITERAL("any"),
                                         [CHOICE_NAMED] = LITERAL("tool")};
    if (c->choice == CHOICE_UNSET && c->parallel != 0)
        return;
    jw_key(j, "tool_choice");
    jw_open(j, '{');
    jw_field_string(j, "type", types[c->choice]);
    if (c->choice == CHOICE_NAMED)
        jw_field_string(j, "name", c->choice_name);
    if (c->parallel == 0 && c->choice != CHOICE_NONE)
        jw_field_bool(j, "disable_parallel_tool_use", true);
    jw_close(j, '}');
}

/* Only the tools that may be called are named at all. */
static bool put_tools(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (c->tools == NULL)
        return c->choice < CHOICE_REQUIRED || llm_lacks(w, FEATURE_TOOL_CHOICE, NULL);
    jw_key(j, "tools");
    jw_open(j, '[');
    size_t before = j->b->n;
    for (const struct llm_tool *t = c->tools; t != NULL; t = t->next) {
        if (is_allowed(c, t) && !put_tool(w, j, t))
            return false;
    }
    bool any = j->b->n > before;
    jw_close(j, ']');
    if (any)
        put_choice(c, j);
    return true;
}

static double number_of(struct llm_writing *w, struct slice text)
{
    struct json_doc d;
    double v = 0;
    if (json_parse(w->json, text, 0, &d) != JSON_OK || !json_double(&d, 0, &v))
        return 0;
    return v;
}

/* OpenAI's temperatures go up to 2, those here to 1. Values that are the default anyway are not
 * missed where the model takes none. */
static bool put_temperature(struct llm_writing *w, struct json_writer *j,
                            const struct anthropic_plan *plan, bool *ret_written)
{
    struct slice text = w->chat->temperature;
    double v = text.p != NULL ? number_of(w, text) : 1;
    *ret_written = false;
    if (text.p == NULL || (v == 1 && !(plan->traits & TRAIT_SAMPLING)))
        return true;
    if (!(plan->traits & TRAIT_SAMPLING))
        return llm_lacks(w, FEATURE_TEMPERATURE, NULL);
    if (plan->thinking >= THINKING_BUDGET && v != 1)
        return drop(w, FEATURE_TEMPERATURE);
    if (v > 1 && !drop(w, FEATURE_TEMPERATURE))
        return false;
    jw_key(j, "temperature");
    jw_raw(j, v > 1 ? SLICE("1") : text);
    *ret_written = true;
    return true;
}

static bool put_sampling(struct llm_writing *w, struct json_writer *j,
                         const struct anthropic_plan *plan)
{
    const struct llm_chat *c = w->chat;
    bool written, thinking = plan->thinking >= THINKING_BUDGET;
    if (!put_temperature(w, j, plan, &written))
        return false;
    if (c->top_p.p != NULL) {
        double v = number_of(w, c->top_p);
        bool either = written && plan->traits & TRAIT_ONE_OF;
        if (thinking && v < 0.95) {
            if (!drop(w, FEATURE_TOP_P))
                return false;
        } else if (either || !(plan->traits & TRAIT_SAMPLING)) {
            if (v != 1 && !llm_lacks(w, FEATURE_TOP_P, NULL))
                return false;
        } else {
            jw_key(j, "top_p");
            jw_raw(j, c->top_p);
        }
    }
    if (c->top_k.p == NULL)
        return true;
    if (!(plan->traits & TRAIT_SAMPLING))
        return llm_lacks(w, FEATURE_TOP_K, NULL);
    if (thinking)
        return drop(w, FEATURE_TOP_K);
    jw_key(j, "top_k");
    jw_raw(j, c->top_k);
    return true;
}

static bool put_stop(struct llm_writing *w, struct json_writer *j)
{
    bool any = false;
    for (const struct llm_word *s = w->chat->stop; s != NULL; s = s->next) {
        struct slice rest = s->word;
        while (rest.n > 0 && memchr(" \t\r\n", rest.p[0], 4) != NULL)
            rest = slice_from(rest, 1);
        if (rest.n == 0) { /* white space alone is refused there */
            if (!llm_lacks(w, FEATURE_STOP, NULL))
                return false;
            continue;
        }
        if (!any) {
            jw_key(j, "stop_sequences");
            jw_open(j, '[');
            any = true;
        }
        jw_string(j, s->word);
    }
    if (any)
        jw_close(j, ']');
    return true;
}

static void put_thinking(const struct llm_chat *c, struct json_writer *j,
                         const struct anthropic_plan *plan)
{
    static const struct slice types[] = {[THINKING_OFF] = LITERAL("disabled"),
                                         [THINKING_BUDGET] = LITERAL("enabled"),
                                         [THINKING_ADAPTIVE] = LITERAL("adaptive")};
    if (plan->thinking == THINKING_UNSAID)
        return;
    jw_key(j, "thinking");
    jw_open(j, '{');
    jw_field_string(j, "type", types[plan->thinking]);
    if (plan->thinking == THINKING_BUDGET)
        jw_field_i64(j, "budget_tokens", plan->budget);
    if (plan->thinking != THINKING_OFF && c->show.n > 0)
        jw_field_string(j, "display",
                        slice_is(c->show, "omitted") ? SLICE("omitted") : SLICE("summarized"));
    jw_close(j, '}');
}

static bool put_output_config(struct llm_writing *w, struct json_writer *j,
                              const struct anthropic_plan *plan)
{
    const struct llm_chat *c = w->chat;
    if (c->format == FORMAT_JSON_OBJECT && !llm_lacks(w, FEATURE_JSON_OBJECT, NULL))
        return false;
    bool schema = c->format == FORMAT_JSON_SCHEMA && c->format_schema_json.n > 0;
    if (plan->effort.n == 0 && !schema)
        return true;
    jw_key(j, "output_config");
    jw_open(j, '{');
    if (plan->effort.n > 0)
        jw_field_string(j, "effort", plan->effort);
    if (schema) {
        jw_key(j, "format");
        jw_open(j, '{');
        jw_field_string(j, "type", SLICE("json_schema"));
        jw_key(j, "schema");
        jw_raw(j, c->format_schema_json);
        jw_close(j, '}');
    }
    jw_close(j, '}');
    return true;
}

static bool put_service_tier(struct llm_writing *w, struct json_writer *j)
{
    static const struct {
        const char *tier;
        struct slice own;
    } rows[] = {{"auto", LITERAL("auto")},
                {"default", LITERAL("standard_only")},
                {"standard", LITERAL("standard_only")},
                {"standard_only", LITERAL("standard_only")}};
    if (w->chat->service_tier.n == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_is(w->chat->service_tier, rows[i].tier))
            continue;
        jw_field_string(j, "service_tier", rows[i].own);
        return true;
    }
    return llm_lacks(w, FEATURE_SERVICE_TIER, NULL);
}

/* What Anthropic has nothing for. A penalty of 0 is none. */
static bool check_lacking(struct llm_writing *w)
{
    const struct llm_chat *c = w->chat;
    bool frequency = c->frequency_penalty.p != NULL && number_of(w, c->frequency_penalty) != 0;
    bool presence = c->presence_penalty.p != NULL && number_of(w, c->presence_penalty) != 0;
    const struct {
        bool asked;
        enum llm_feature feature;
    } rows[] = {
        {c->n > 1, FEATURE_N},
        {frequency || presence, FEATURE_PENALTIES},
        {c->logit_bias_json.n > 0, FEATURE_LOGIT_BIAS},
        {c->logprobs || c->top_logprobs > 0, FEATURE_LOGPROBS},
        {c->seed.p != NULL, FEATURE_SEED},
        {c->verbosity.n > 0, FEATURE_VERBOSITY},
        {c->metadata_json.n > 0, FEATURE_METADATA},
        {c->cache_key.n > 0, FEATURE_CACHE},
        {c->store == 1, FEATURE_STORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].asked && !llm_lacks(w, rows[i].feature, NULL))
            return false;
    }
    return true;
}

bool anthropic_put_options(struct llm_writing *w, struct json_writer *j,
                           const struct anthropic_plan *plan)
{
    const struct llm_chat *c = w->chat;
    if (!check_lacking(w) || !put_tools(w, j) || !put_stop(w, j) || !put_sampling(w, j, plan))
        return false;
    put_thinking(c, j, plan);
    if (!put_output_config(w, j, plan) || !put_service_tier(w, j))
        return false;
    if (c->user.n > 0) {
        jw_key(j, "metadata");
        jw_open(j, '{');
        jw_field_string(j, "user_id", c->user);
        jw_close(j, '}');
    }
    if (c->stream)
        jw_field_bool(j, "stream", true);
    return true;
}
