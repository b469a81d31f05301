/* The neutral request as a body of Gemini's generateContent. Sources: types.py and the
 * *_to_mldev / *_to_vertex converters in models.py of google-genai 3.4.0 (Python SDK): what AI
 * Studio and Vertex AI take; ai.google.dev on thinking: budgets of 2.5 models, levels from 3 on.
 * Without a place there, and without meaning for the answer: a schema's name and description,
 * whether it is strict (it always binds), and wants_usage (streams always say it). */
#include "google_internal.h"

#define THINKING_FROM 25 /* the first version that thinks */
#define LEVELS_FROM   30 /* the first that has levels instead of budgets */

static bool contains(struct slice s, struct slice part)
{
    for (; s.n >= part.n; s = slice_of(s.p + 1, s.n - 1)) {
        if (slice_starts(s, part))
            return true;
        if (s.n == 0)
            break;
    }
    return false;
}

struct google_model google_model_of(struct slice name)
{
    struct google_model m = {.pro = contains(name, SLICE("-pro")),
                             .lite = contains(name, SLICE("-lite"))};
    while (name.n > 0 && !slice_starts(name, SLICE("gemini-")))
        name = slice_of(name.p + 1, name.n - 1);
    if (name.n == 0)
        return m;
    struct slice rest = slice_from(name, 7), word = slice_cut(&rest, '-');
    struct slice major = slice_cut(&word, '.');
    uint64_t a, b = 0;
    if (!slice_to_u64(major, &a) || a > 99 || (word.n > 0 && (!slice_to_u64(word, &b) || b > 9)))
        m.version = LEVELS_FROM; /* gemini-flash-latest: whatever is the latest */
    else
        m.version = (unsigned)(a * 10 + b);
    return m;
}

static bool is_vertex(const struct llm_writing *w)
{
    return contains(slice_str(w->provider->type), SLICE("vertex"));
}

static void put_escaped(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == '@';
        if (plain) {
            buf_char(b, (char)c);
            continue;
        }
        buf_char(b, '%');
        buf_char(b, hex[c >> 4]);
        buf_char(b, hex[c & 15]);
    }
}

/* "/models/NAME:generateContent"; "tunedModels/NAME" keeps its own collection. */
struct slice google_path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    struct buf b;
    struct slice tuned = SLICE("tunedModels/");
    (void)provider;
    if (op != LLM_CHAT && op != LLM_COMPLETIONS)
        return SLICE_NONE;
    buf_init(&b, 3 * model.n + 64);
    if (slice_starts(model, SLICE("models/")))
        model = slice_from(model, 7);
    buf_lit(&b, "/");
    buf_slice(&b, slice_starts(model, tuned) ? tuned : SLICE("models/"));
    put_escaped(&b, slice_starts(model, tuned) ? slice_from(model, tuned.n) : model);
    if (stream)
        buf_lit(&b, ":streamGenerateContent?alt=sse");
    else
        buf_lit(&b, ":generateContent");
    struct slice ret = b.failed ? SLICE_NONE : arena_copy(a, buf_view(&b));
    buf_done(&b);
    return ret;
}

static void put_number(struct json_writer *j, const char *key, struct slice number)
{
    if (number.p == NULL)
        return;
    jw_key_slice(j, slice_str(key));
    jw_raw(j, number);
}

static void put_words(struct json_writer *j, const struct llm_word *word)
{
    jw_open(j, '[');
    for (; word != NULL; word = word->next)
        jw_string(j, word->word);
    jw_close(j, ']');
}

/* An object that is left out again where nothing was put into it. */
struct optional {
    size_t n;
    bool comma;
};

static struct optional open_optional(struct json_writer *j, const char *key)
{
    struct optional o = {j->b->n, j->comma};
    jw_key_slice(j, slice_str(key));
    jw_open(j, '{');
    return o;
}

static void close_optional(struct json_writer *j, struct optional o)
{
    bool empty = !j->comma;
    jw_close(j, '}');
    if (!empty || j->b->failed)
        return;
    j->b->n = o.n;
    j->comma = o.comma;
}

/* Names of efforts, what they are as a level and as a budget. */
static const struct effort_row {
    const char *effort;
    struct slice level;
    int64_t budget;
} efforts[] = {
    {"none", {"MINIMAL", 7}, 0},  {"minimal", {"MINIMAL", 7}, 512},
    {"low", {"LOW", 3}, 1024},    {"medium", {"MEDIUM", 6}, 8192},
    {"high", {"HIGH", 4}, 24576}, {"xhigh", {"HIGH", 4}, 24576},
    {"max", {"HIGH", 4}, 32768},
};

static const struct effort_row *effort_of(struct slice word)
{
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        if (slice_is(word, efforts[i].effort))
            return &efforts[i];
    }
    return NULL;
}

/* The least level whose budget is enough. */
static const struct effort_row *effort_for(int64_t budget)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(efforts) && efforts[i].budget < budget)
        i++;
    return &efforts[i];
}

/* Within what the model takes; Pro models cannot but think. */
static int64_t allowed_budget(struct google_model m, int64_t budget)
{
    int64_t least = m.pro ? 128 : m.lite ? 512 : 1, most = m.pro ? 32768 : 24576;
    if (budget == 0 && !m.pro)
        return 0;
    return MIN_OF(MAX_OF(budget, least), most);
}

static void put_level(struct json_writer *j, struct google_model m, struct slice level)
{
    bool too_low = m.pro && slice_is(level, "MINIMAL");
    jw_field_string(j, "thinkingLevel", too_low ? SLICE("LOW") : level);
}

/* Does the client want to see thoughts? Where its dialect has no word for that, asking for
 * reasoning is. */
static bool wants_thoughts(const struct llm_chat *c)
{
    if (c->show.n > 0)
        return !slice_is(c->show, "omitted");
    if (c->dialect == DIALECT_ANTHROPIC)
        return c->budget > 0 || c->budget == -2;
    return c->dialect == DIALECT_OPENAI && c->effort.n > 0 && !slice_is(c->effort, "none");
}

/* thinkingLevel or thinkingBudget, whichever the model knows. */
static bool put_effort(struct llm_writing *w, struct json_writer *j, struct google_model m)
{
    const struct llm_chat *c = w->chat;
    const struct effort_row *row = effort_of(c->effort);
    if (c->effort.n > 0 && row == NULL)
        return llm_lacks(w, FEATURE_EFFORT, NULL);
    if (c->dialect == DIALECT_GOOGLE && c->budget >= 0) {
        jw_field_i64(j, "thinkingBudget", c->budget);
    } else if (m.version >= LEVELS_FROM) {
        if (row == NULL && c->budget >= 0)
            row = effort_for(c->budget);
        if (row != NULL && c->dialect == DIALECT_GOOGLE && slice_is(c->effort, "xhigh"))
            jw_field_string(j, "thinkingLevel", SLICE("XHIGH"));
        else if (row != NULL)
            put_level(j, m, row->level);
    } else if (c->budget >= 0 || row != NULL) {
        jw_field_i64(j, "thinkingBudget",
                     allowed_budget(m, c->budget >= 0 ? c->budget : row->budget));
    } else if (c->budget == -2) {
        jw_field_i64(j, "thinkingBudget", -1);
    }
    return true;
}

static bool put_thinking(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    struct google_model m = google_model_of(w->model);
    bool asked = (c->effort.n > 0 && !slice_is(c->effort, "none")) || c->budget > 0;
    if (m.version < THINKING_FROM)
        return !asked || llm_lacks(w, FEATURE_EFFORT, NULL);
    if (c->effort.n == 0 && c->budget == -1 && !wants_thoughts(c))
        return true;
    struct optional o = open_optional(j, "thinkingConfig");
    if (!put_effort(w, j, m))
        return false;
    if (wants_thoughts(c))
        jw_field_bool(j, "includeThoughts", true);
    close_optional(j, o);
    return true;
}

static bool put_format(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    if (c->verbosity.n > 0 && !llm_lacks(w, FEATURE_VERBOSITY, NULL))
        return false;
    if (c->format == FORMAT_TEXT)
        return true;
    jw_field_string(j, "responseMimeType", SLICE("application/json"));
    if (c->format == FORMAT_JSON_SCHEMA && c->format_schema_json.n > 0) {
        jw_key(j, "responseJsonSchema");
        jw_raw(j, c->format_schema_json);
    }
    return true;
}

static bool put_config(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    struct optional o = open_optional(j, "generationConfig");
    put_number(j, "temperature", c->temperature);
    put_number(j, "topP", c->top_p);
    put_number(j, "topK", c->top_k);
    put_number(j, "frequencyPenalty", c->frequency_penalty);
    put_number(j, "presencePenalty", c->presence_penalty);
    put_number(j, "seed", c->seed);
    if (c->max_tokens >= 0)
        jw_field_i64(j, "maxOutputTokens", c->max_tokens);
    if (c->n > 1)
        jw_field_i64(j, "candidateCount", c->n);
    if (c->stop != NULL) {
        jw_key(j, "stopSequences");
        put_words(j, c->stop);
    }
    if (c->logprobs) {
        jw_field_bool(j, "responseLogprobs", true);
        if (c->top_logprobs > 0)
            jw_field_i64(j, "logprobs", c->top_logprobs);
    }
    if (c->logit_bias_json.n > 0 && !llm_lacks(w, FEATURE_LOGIT_BIAS, NULL))
        return false;
    if (!put_format(w, j) || !put_thinking(w, j))
        return false;
    close_optional(j, o);
    return true;
}

static void put_declaration(struct json_writer *j, const struct llm_tool *t)
{
    jw_open(j, '{');
    jw_field_string(j, "name", t->name);
    if (t->description.inner.p != NULL)
        jw_field_text(j, "description", t->description);
    if (t->schema_json.n > 0) {
        jw_key(j, "parametersJsonSchema");
        jw_raw(j, t->schema_json);
    }
    jw_close(j, '}');
}

/* The functions are one tool, the hosted ones one each. */
static void put_tools(struct llm_writing *w, struct json_writer *j, bool functions)
{
    jw_key(j, "tools");
    jw_open(j, '[');
    if (functions) {
        jw_open(j, '{');
        jw_key(j, "functionDeclarations");
        jw_open(j, '[');
        for (const struct llm_tool *t = w->chat->tools; t != NULL; t = t->next) {
            if (t->kind == TOOL_FUNCTION)
                put_declaration(j, t);
        }
        jw_close(j, ']');
        jw_close(j, '}');
    }
    for (const struct llm_tool *t = w->chat->tools; t != NULL; t = t->next) {
        if (t->kind == TOOL_HOSTED && t->family == FAMILY_GOOGLE)
            jw_raw(j, t->native_json);
    }
    jw_close(j, ']');
}

/* What has no place there; false: refused. */
static bool check_tools(struct llm_writing *w, bool *ret_functions, bool *ret_any)
{
    *ret_functions = *ret_any = false;
    for (const struct llm_tool *t = w->chat->tools; t != NULL; t = t->next) {
        bool hosted = t->kind == TOOL_HOSTED && t->family == FAMILY_GOOGLE;
        *ret_functions |= t->kind == TOOL_FUNCTION;
        *ret_any |= hosted || t->kind == TOOL_FUNCTION;
        if (t->kind == TOOL_CUSTOM && !llm_lacks(w, FEATURE_CUSTOM_TOOLS, NULL))
            return false;
        if (t->kind == TOOL_HOSTED && !hosted && !llm_lacks(w, FEATURE_HOSTED_TOOLS, NULL))
            return false;
        if (t->strict == 1 && !llm_lacks(w, FEATURE_STRICT, NULL))
            return false;
        if (t->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
    }
    if (!*ret_functions && *ret_any && w->chat->choice > CHOICE_AUTO &&
        !llm_lacks(w, FEATURE_TOOL_CHOICE, NULL))
        return false;
    return w->chat->parallel != 0 || !*ret_functions || llm_lacks(w, FEATURE_PARALLEL, NULL);
}

/* VALIDATED: a text, or a call of one of the functions that are allowed. */
static void put_choice(struct llm_writing *w, struct json_writer *j)
{
    static const struct slice modes[] = {[CHOICE_AUTO] = {"AUTO", 4},
                                         [CHOICE_NONE] = {"NONE", 4},
                                         [CHOICE_REQUIRED] = {"ANY", 3},
                                         [CHOICE_NAMED] = {"ANY", 3}};
    const struct llm_chat *c = w->chat;
    struct llm_word named = {.word = c->choice_name};
    const struct llm_word *allowed = c->choice == CHOICE_NAMED ? &named : c->choice_allowed;
    if (c->choice == CHOICE_UNSET && allowed == NULL)
        return;
    bool validated = allowed != NULL && (c->choice == CHOICE_AUTO || c->choice == CHOICE_UNSET);
    jw_key(j, "toolConfig");
    jw_open(j, '{');
    jw_key(j, "functionCallingConfig");
    jw_open(j, '{');
    jw_field_string(j, "mode", validated ? SLICE("VALIDATED") : modes[c->choice]);
    if (allowed != NULL && c->choice != CHOICE_NONE) {
        jw_key(j, "allowedFunctionNames");
        put_words(j, allowed);
    }
    jw_close(j, '}');
    jw_close(j, '}');
}

static bool put_tier(struct llm_writing *w, struct json_writer *j)
{
    static const struct {
        const char *word;
        struct slice tier; /* empty: the default, which needs no saying */
    } rows[] = {
        {"auto", {"", 0}},
        {"default", {"standard", 8}},
        {"standard", {"standard", 8}},
        {"standard_only", {"standard", 8}},
        {"flex", {"flex", 4}},
        {"priority", {"priority", 8}},
        {"unspecified", {"", 0}},
    };
    struct slice asked = w->chat->service_tier;
    if (asked.n == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_eq_nocase(asked, slice_str(rows[i].word)))
            continue;
        if (rows[i].tier.n > 0)
            jw_field_string(j, "serviceTier", rows[i].tier);
        return true;
    }
    return llm_lacks(w, FEATURE_SERVICE_TIER, NULL);
}

/* What is about the request rather than about the answer. `store` of other dialects keeps an answer
 * to be asked for later; here it is about logs: what was not to be kept is not. */
static bool put_rest(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    bool own = c->dialect == DIALECT_GOOGLE;
    if (!put_tier(w, j))
        return false;
    if (c->user.n > 0 && !llm_lacks(w, FEATURE_USER, NULL))
        return false;
    if (c->cache_key.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
        return false;
    if (c->metadata_json.n > 0 && own && is_vertex(w)) {
        jw_key(j, "labels");
        jw_raw(j, c->metadata_json);
    } else if (c->metadata_json.n > 0 && !llm_lacks(w, FEATURE_METADATA, NULL)) {
        return false;
    }
    if (c->store >= 0 && own && !is_vertex(w))
        jw_field_bool(j, "store", c->store == 1);
    else if (c->store == 1)
        return llm_lacks(w, FEATURE_STORE, NULL);
    return true;
}

bool google_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    bool functions, any;
    jw_open(&j, '{');
    if (!check_tools(w, &functions, &any) || !google_write_contents(w, &j))
        return false;
    if (any)
        put_tools(w, &j, functions);
    if (functions)
        put_choice(w, &j);
    if (!put_config(w, &j) || !put_rest(w, &j))
        return false;
    jw_close(&j, '}');
    if (!w->out->failed)
        return true;
    w->bad->no_memory = true;
    return llm_refuse(w, "", "The gateway is out of memory.");
}
