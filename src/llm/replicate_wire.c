/* Replicate's predictions. Sources: its HTTP reference (predictions, models.predictions.create;
 * statuses, urls, errors as {"title","detail","status"}) and the inputs of its language models,
 * meta/meta-llama-3.1-405b-instruct before others: prompt, system_prompt, max_tokens, temperature,
 * top_p, top_k, presence_penalty, frequency_penalty, stop_sequences (separated by commas), seed.
 *
 * The model gets one prompt, to which its own template is applied as if the user had said it all.
 * What the system says is system_prompt, an empty line between its texts. One message of the user's
 * is the prompt as it stands, as is a legacy completion's. A conversation is written as
 *
 *   User: ...
 *
 *   Assistant: ...
 *
 *   User: ...
 *
 *   Assistant:
 *
 * "owner/name" is a model of Replicate's own; "owner/name:version" or a bare version is anybody's.
 * The answer is always asked for whole, whether or not the client streams: it is polled, and its
 * stream would be on another host. Why it ended is not said. */
#include "job.h"
#include "member.h"

/* ---- Requests. */

/* The features of kinds of parts that a prompt has no place for. */
static const enum llm_feature kind_features[] = {
    [PART_IMAGE] = FEATURE_IMAGE,         [PART_AUDIO] = FEATURE_AUDIO,
    [PART_VIDEO] = FEATURE_VIDEO,         [PART_DOCUMENT] = FEATURE_DOCUMENT,
    [PART_TOOL_CALL] = FEATURE_TOOLS,     [PART_TOOL_RESULT] = FEATURE_TOOLS,
    [PART_REASONING] = FEATURE_SIGNATURE, [PART_NATIVE] = FEATURE_NATIVE_PART,
};

/* The texts of a message, inside a string, `between` between them. */
static bool put_texts(struct llm_writing *w, const struct llm_message *m, const char *between)
{
    bool any = false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->cache_json.n > 0 && !llm_lacks(w, FEATURE_CACHE, NULL))
            return false;
        if (p->kind != PART_TEXT && p->kind != PART_REFUSAL) {
            if (!llm_lacks_part(w, kind_features[p->kind], p))
                return false;
            continue;
        }
        if (any)
            buf_slice(w->out, slice_str(between));
        any = true;
        buf_slice(w->out, p->text.inner);
    }
    return m->name.n == 0 || llm_lacks(w, FEATURE_NAME, NULL);
}

static bool is_system(const struct llm_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

static void open_string(struct json_writer *j, const char *key)
{
    jw_key_slice(j, slice_str(key));
    jw_before_value(j);
    buf_char(j->b, '"');
}

/* `turns`: messages that are not the system's. */
static bool put_prompt(struct llm_writing *w, struct json_writer *j, unsigned turns)
{
    const struct llm_chat *c = w->chat;
    open_string(j, "prompt");
    for (const struct llm_message *m = c->messages; m != NULL; m = m->next) {
        bool last = m->next == NULL, assistant = m->role == ROLE_ASSISTANT;
        if (turns > 0 && is_system(m))
            continue;
        if (assistant && last) { /* no template leaves its turn open */
            if (!llm_lacks(w, FEATURE_PREFILL, NULL))
                return false;
            continue;
        }
        if (turns > 1)
            buf_slice(w->out, assistant ? SLICE("Assistant: ") : SLICE("User: "));
        if (!put_texts(w, m, "\\n"))
            return false;
        if (turns > 1 || (turns == 0 && !last))
            buf_lit(w->out, "\\n\\n");
    }
    if (turns > 1)
        buf_lit(w->out, "Assistant:");
    buf_char(w->out, '"');
    return true;
}

static bool put_system(struct llm_writing *w, struct json_writer *j)
{
    bool any = false;
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        if (!is_system(m))
            continue;
        if (!any)
            open_string(j, "system_prompt");
        else
            buf_lit(w->out, "\\n\\n");
        any = true;
        if (!put_texts(w, m, "\\n\\n"))
            return false;
    }
    if (any)
        buf_char(w->out, '"');
    return true;
}

static bool put_messages(struct llm_writing *w, struct json_writer *j)
{
    unsigned turns = 0;
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next)
        turns += !is_system(m);
    /* Where the system is all there is, it is the prompt. */
    return put_prompt(w, j, turns) && (turns == 0 || put_system(w, j));
}

static bool put_stop(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_word *s = w->chat->stop;
    struct buf joined;
    size_t n = 0;
    for (; s != NULL; s = s->next) {
        n += s->word.n + 1;
        if (slice_find(s->word, ',') >= 0) /* it separates them */
            return llm_lacks(w, FEATURE_STOP, NULL);
    }
    if (n == 0)
        return true;
    buf_init(&joined, n);
    for (s = w->chat->stop; s != NULL; s = s->next) {
        if (s != w->chat->stop)
            buf_char(&joined, ',');
        buf_slice(&joined, s->word);
    }
    jw_field_string(j, "stop_sequences", buf_view(&joined));
    w->out->failed |= joined.failed;
    buf_done(&joined);
    return true;
}

static bool put_sampling(struct llm_writing *w, struct json_writer *j)
{
    const struct llm_chat *c = w->chat;
    const struct {
        const char *name;
        struct slice number;
    } rows[] = {
        {"temperature", c->temperature},
        {"top_p", c->top_p},
        {"top_k", c->top_k},
        {"presence_penalty", c->presence_penalty},
        {"frequency_penalty", c->frequency_penalty},
        {"seed", c->seed},
    };
    if (c->max_tokens >= 0)
        jw_field_i64(j, "max_tokens", c->max_tokens);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].number.n == 0)
            continue;
        jw_key_slice(j, slice_str(rows[i].name));
        jw_raw(j, rows[i].number);
    }
    return put_stop(w, j);
}

static bool lacks_rest(struct llm_writing *w)
{
    const struct llm_chat *c = w->chat;
    bool reasons =
        (c->effort.n > 0 && !slice_is(c->effort, "none")) || c->budget > 0 || c->budget == -2;
    const struct {
        bool asked;
        enum llm_feature feature;
    } rows[] = {
        {c->tools != NULL && c->choice != CHOICE_NONE, FEATURE_TOOLS},
        {c->format == FORMAT_JSON_OBJECT, FEATURE_JSON_OBJECT},
        {c->format == FORMAT_JSON_SCHEMA, FEATURE_JSON_SCHEMA},
        {c->n > 1, FEATURE_N},
        {c->logit_bias_json.n > 2, FEATURE_LOGIT_BIAS}, /* more than {} */
        {c->logprobs, FEATURE_LOGPROBS},
        {reasons, FEATURE_EFFORT},
        {c->verbosity.n > 0, FEATURE_VERBOSITY},
        {c->user.n > 0, FEATURE_USER},
        {c->metadata_json.n > 0, FEATURE_METADATA},
        {c->service_tier.n > 0, FEATURE_SERVICE_TIER},
        {c->cache_key.n > 0, FEATURE_CACHE},
        {c->store == 1, FEATURE_STORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].asked && !llm_lacks(w, rows[i].feature, NULL))
            return false;
    }
    return true;
}

/* Not one of Replicate's own, which alone have a path by their name. */
static bool is_version(struct slice model)
{
    return slice_find(model, '/') < 0 || slice_find(model, ':') >= 0;
}

static bool write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    if (!lacks_rest(w))
        return false;
    jw_open(&j, '{');
    if (is_version(w->model))
        jw_field_string(&j, "version", w->model);
    jw_key(&j, "input");
    jw_open(&j, '{');
    if (!put_messages(w, &j) || !put_sampling(w, &j))
        return false;
    jw_close(&j, '}');
    jw_field_bool(&j, "stream", false);
    jw_close(&j, '}');
    w->bad->no_memory = w->out->failed;
    return !w->out->failed;
}

static void put_escaped(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
        if (plain) {
            buf_char(b, (char)c);
            continue;
        }
        buf_char(b, '%');
        buf_char(b, hex[c >> 4]);
        buf_char(b, hex[c & 15]);
    }
}

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    struct buf b;
    (void)provider;
    (void)stream;
    if (op != LLM_CHAT && op != LLM_COMPLETIONS)
        return SLICE_NONE;
    if (is_version(model))
        return SLICE("/predictions");
    buf_init(&b, 3 * model.n + 64);
    buf_lit(&b, "/models/");
    put_escaped(&b, model);
    buf_lit(&b, "/predictions");
    struct slice ret = b.failed ? SLICE_NONE : arena_copy(a, buf_view(&b));
    buf_done(&b);
    return ret;
}

/* ---- Answers. */

static const struct job_status statuses[] = {
    {"succeeded", LLM_POLL_DONE, 0, NULL},
    {"processing", LLM_POLL_PENDING, 0, NULL},
    {"starting", LLM_POLL_PENDING, 0, NULL},
    {"failed", LLM_POLL_FAILED, 502, "The prediction failed."},
    {"canceled", LLM_POLL_FAILED, 502, "The prediction was canceled."},
    {"aborted", LLM_POLL_FAILED, 504, "The prediction was aborted before it began."},
};
static const struct job_rows job = {statuses, ARRAY_LEN(statuses), "/predictions/"};

static enum llm_poll poll_job(struct llm_decoder *d, struct slice body, struct slice *ret_path)
{
    return job_poll(d, body, &job, ret_path);
}

/* Names that a figure goes by; the first that is there counts. */
static int64_t figure_of(const struct json_doc *doc, uint32_t metrics, const char *const names[2])
{
    int64_t v = member_tokens(doc, member_in(doc, metrics, names[0]));
    return v >= 0 ? v : member_tokens(doc, member_in(doc, metrics, names[1]));
}

static void read_usage(struct llm_decoder *d, const struct json_doc *doc)
{
    static const char *const input[2] = {"input_token_count", "token_input_count"};
    static const char *const output[2] = {"output_token_count", "token_output_count"};
    uint32_t metrics = member_of(doc, 0, "metrics");
    struct llm_usage u = LLM_USAGE_NONE;
    u.input = figure_of(doc, metrics, input);
    u.output = figure_of(doc, metrics, output);
    llm_usage_merge(&d->usage, &u);
}

/* A string, or a list of them that make one text. */
static bool read_output(struct llm_decoder *d, const struct json_doc *doc, uint32_t output)
{
    bool list = member_is(doc, output, JSON_ARRAY), begun = false;
    if (output == 0)
        return true;
    if (!list && json_type_at(doc, output) != JSON_STRING)
        return false;
    uint32_t end = list ? json_end(doc, output) : output + 1;
    for (uint32_t i = list ? json_first(doc, output) : output; i < end; i = json_after(doc, i)) {
        if (json_type_at(doc, i) != JSON_STRING)
            return false;
        if (json_inner(doc, i).n == 0)
            continue;
        if (!begun)
            llm_emit_part(d, 0, 0, PART_TEXT, SLICE_NONE, SLICE_NONE);
        begun = true;
        llm_emit_delta(d, 0, 0, llm_text_at(doc, i));
    }
    if (begun)
        llm_emit_part_end(d, 0, 0);
    return true;
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    if (json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK)
        return false;
    const struct job_status *row = job_status_of(&doc, &job);
    if (row == NULL || row->poll == LLM_POLL_PENDING)
        return false;
    read_usage(d, &doc);
    if (row->poll == LLM_POLL_FAILED) {
        job_emit_error(d, &doc, row);
        return true;
    }
    llm_emit_start(d, member_word(&doc, member_of(&doc, 0, "id"), d->arena),
                   member_word(&doc, member_of(&doc, 0, "model"), d->arena));
    if (!read_output(d, &doc, member_of(&doc, 0, "output")))
        return false;
    llm_emit_finish(d, 0, FINISH_STOP, SLICE_NONE, LLM_NO_TEXT);
    d->finished = true;
    llm_emit_end(d);
    return true;
}

const struct llm_wire replicate_wire = {
    .name = "replicate",
    .family = FAMILY_NONE,
    .framing = FRAMING_SSE,
    .never = LLM_NEEDS_TOOLS | LLM_NEEDS_IMAGES | LLM_NEEDS_AUDIO | LLM_NEEDS_JSON |
             LLM_NEEDS_CHOICES | LLM_NEEDS_SCHEMA,
    .path = path,
    .write_chat = write_chat,
    .decode_event = job_no_event,
    .decode_end = job_no_end,
    .decode_answer = decode_answer,
    .read_error = openai_read_error,
    .poll = poll_job,
};
