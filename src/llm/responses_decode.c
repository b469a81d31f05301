/* Answers of OpenAI's Responses, streamed or whole, as neutral events. The events: OpenAI's OpenAPI
 * document and the types of the openai packages (Python 3.52, Node 6.49).
 *
 * Items that only OpenAI's own tools make (searches, calls of MCP servers) are passed over; what
 * they lead to is in the messages. Servers that speak this API in part leave out the deltas, or the
 * events that announce them: what was not said bit by bit is taken from what is said at the end. */
#include "base/json_write.h"
#include "openai_internal.h"
#include "responses_internal.h"

#define TOKENS_MAX ((int64_t)1 << 48) /* larger figures are nonsense, and would overflow prices */
#define NO_INDEX   (-1)
#define PARTS_MAX  4096 /* of one answer; they are looked through for each event */

/* A part that has begun. */
struct part {
    struct part *next;       /* the one before */
    int64_t output, content; /* where it is in the answer; NO_INDEX: the item as a whole */
    unsigned number;         /* among the neutral parts */
    enum llm_part_kind kind;
    bool open, any;      /* it has not ended; some text came */
    bool cited, weighed; /* text: citations came; log probabilities did */
    bool raw;            /* reasoning: its own text comes, not its summary */
    int64_t summary;     /* reasoning: the latest text's number */
};

struct answer {
    struct part *parts; /* the latest first */
    unsigned parts_n;
    bool calls, refused;
};

struct decoding {
    struct llm_decoder *d;
    struct answer *a;
    const struct json_doc *doc;
};

static struct answer *answer_of(struct llm_decoder *d)
{
    if (d->state == NULL)
        d->state = arena_new(d->arena, struct answer);
    return d->state;
}

/* ---- Reading members. */

static uint32_t get(const struct decoding *x, uint32_t object, const char *key)
{
    if (json_type_at(x->doc, object) != JSON_OBJECT)
        return 0;
    uint32_t node = json_get(x->doc, object, slice_str(key));
    return node != 0 && json_type_at(x->doc, node) != JSON_NULL ? node : 0;
}

/* A string as it stands; .inner.p NULL: there is none. */
static struct llm_text get_text(const struct decoding *x, uint32_t object, const char *key)
{
    uint32_t node = get(x, object, key);
    return node != 0 && json_type_at(x->doc, node) == JSON_STRING ? llm_text_at(x->doc, node)
                                                                  : LLM_NO_TEXT;
}

/* A string with its escapes resolved, or empty. */
static struct slice get_word(const struct decoding *x, uint32_t object, const char *key)
{
    uint32_t node = get(x, object, key);
    if (node == 0 || json_type_at(x->doc, node) != JSON_STRING)
        return SLICE_NONE;
    return json_string(x->doc, node, x->d->arena);
}

static int64_t get_number(const struct decoding *x, uint32_t object, const char *key,
                          int64_t otherwise)
{
    uint32_t node = get(x, object, key);
    int64_t v;
    return node != 0 && json_i64(x->doc, node, &v) ? v : otherwise;
}

static int64_t get_tokens(const struct decoding *x, uint32_t object, const char *key)
{
    int64_t v = object != 0 ? get_number(x, object, key, -1) : -1;
    return v >= 0 && v <= TOKENS_MAX ? v : -1;
}

/* ---- Parts. */

static struct part *find(const struct decoding *x, int64_t output, int64_t content)
{
    struct part *p = x->a->parts;
    while (p != NULL && (p->output != output || p->content != content))
        p = p->next;
    return p;
}

static void end_part(const struct decoding *x, struct part *p)
{
    if (!p->open)
        return;
    p->open = false;
    llm_emit_part_end(x->d, 0, p->number);
}

/* Only calls may be open beside each other. */
static void end_others(const struct decoding *x, enum llm_part_kind kind)
{
    for (struct part *p = x->a->parts; p != NULL; p = p->next) {
        if (kind != PART_TOOL_CALL || p->kind != PART_TOOL_CALL)
            end_part(x, p);
    }
}

static struct part *add_part(struct decoding *x, int64_t output, int64_t content,
                             enum llm_part_kind kind)
{
    struct part *p = x->a->parts_n < PARTS_MAX ? arena_new(x->d->arena, struct part) : NULL;
    if (p == NULL)
        return NULL;
    end_others(x, kind);
    *p = (struct part){.next = x->a->parts,
                       .output = output,
                       .content = content,
                       .number = x->a->parts_n++,
                       .kind = kind,
                       .open = true};
    x->a->parts = p;
    x->a->calls |= kind == PART_TOOL_CALL;
    x->a->refused |= kind == PART_REFUSAL;
    return p;
}

/* The part at this place, begun if it is new; NULL: it is of another kind or over, or there is no
 * room for it. */
static struct part *use_part(struct decoding *x, int64_t output, int64_t content,
                             enum llm_part_kind kind)
{
    struct part *p = find(x, output, content);
    if (p != NULL)
        return p->open && p->kind == kind ? p : NULL;
    p = add_part(x, output, content, kind);
    if (p != NULL)
        llm_emit_part(x->d, 0, p->number, kind, SLICE_NONE, SLICE_NONE);
    return p;
}

static void add_text(const struct decoding *x, struct part *p, struct llm_text text)
{
    if (text.inner.n == 0)
        return;
    p->any = true;
    llm_emit_delta(x->d, 0, p->number, text);
}

/* The text as a whole: for who has not heard any of it. */
static void add_whole(const struct decoding *x, struct part *p, struct llm_text text)
{
    if (!p->any)
        add_text(x, p, text);
}

static void add_citation(const struct decoding *x, struct part *p, uint32_t node)
{
    if (json_type_at(x->doc, node) != JSON_OBJECT)
        return;
    p->cited = true;
    struct llm_citation c = {.url = get_word(x, node, "url"),
                             .title = get_text(x, node, "title"),
                             .start = get_number(x, node, "start_index", -1),
                             .end = get_number(x, node, "end_index", -1),
                             .document = -1,
                             .own_json = json_raw(x->doc, node),
                             .family = FAMILY_OPENAI};
    if (c.title.inner.p == NULL)
        c.title = get_text(x, node, "filename");
    struct llm_event e = {.kind = EVENT_CITATION, .part = p->number, .citation = &c};
    if (!x->d->ended)
        x->d->emit(x->d->ctx, &e);
}

/* A list of them, without its brackets. */
static void add_logprobs(const struct decoding *x, struct part *p, uint32_t list)
{
    if (list == 0 || json_type_at(x->doc, list) != JSON_ARRAY ||
        json_first(x->doc, list) == json_end(x->doc, list) || x->d->ended)
        return;
    struct llm_event e = {
        .kind = EVENT_LOGPROBS, .part = p->number, .json = json_inner(x->doc, list)};
    p->weighed = true;
    x->d->emit(x->d->ctx, &e);
}

static enum llm_part_kind content_kind(const struct decoding *x, uint32_t content)
{
    return slice_is(get_word(x, content, "type"), "refusal") ? PART_REFUSAL : PART_TEXT;
}

/* ---- Items. */

/* False: no memory. */
static bool begin_call(struct decoding *x, int64_t output, uint32_t item, bool custom)
{
    struct llm_decoder *d = x->d;
    struct slice id = get_word(x, item, "call_id"), name = get_word(x, item, "name");
    struct slice space = get_word(x, item, "namespace");
    struct part *p = add_part(x, output, NO_INDEX, PART_TOOL_CALL);
    if (id.n == 0)
        id = get_word(x, item, "id");
    if (id.n == 0)
        id = llm_made_call_id(d, x->a->parts_n);
    if (space.n > 0)
        name = responses_flat_name(d->arena, space, name);
    if (p == NULL || id.p == NULL || (space.n > 0 && name.p == NULL))
        return false;
    struct llm_event e = {.kind = EVENT_PART,
                          .part = p->number,
                          .part_kind = PART_TOOL_CALL,
                          .custom = custom,
                          .id = id,
                          .name = name};
    if (!d->ended)
        d->emit(d->ctx, &e);
    return true;
}

static bool end_call(struct decoding *x, int64_t output, uint32_t item, bool custom)
{
    struct part *p = find(x, output, NO_INDEX);
    if (p == NULL) {
        if (!begin_call(x, output, item, custom))
            return false;
        p = x->a->parts;
    }
    if (!p->open)
        return true;
    add_whole(x, p, get_text(x, item, custom ? "input" : "arguments"));
    end_part(x, p);
    return true;
}

/* What a content says that was not heard before. */
static bool end_content(struct decoding *x, int64_t output, int64_t index, uint32_t content)
{
    enum llm_part_kind kind = content_kind(x, content);
    struct part *p = find(x, output, index);
    if (p != NULL && !p->open)
        return true;
    p = use_part(x, output, index, kind);
    if (p == NULL)
        return false;
    add_whole(x, p, get_text(x, content, kind == PART_REFUSAL ? "refusal" : "text"));
    uint32_t list = get(x, content, "annotations");
    if (list != 0 && json_type_at(x->doc, list) == JSON_ARRAY && !p->cited) {
        for (uint32_t n = json_first(x->doc, list); n < json_end(x->doc, list);
             n = json_after(x->doc, n))
            add_citation(x, p, n);
    }
    if (!p->weighed)
        add_logprobs(x, p, get(x, content, "logprobs"));
    end_part(x, p);
    return true;
}

static bool end_message(struct decoding *x, int64_t output, uint32_t item)
{
    uint32_t list = get(x, item, "content");
    int64_t i = 0;
    if (list == 0 || json_type_at(x->doc, list) != JSON_ARRAY)
        return true;
    for (uint32_t n = json_first(x->doc, list); n < json_end(x->doc, list);
         n = json_after(x->doc, n)) {
        if (!end_content(x, output, i++, n))
            return false;
    }
    return true;
}

/* An empty line between the texts of reasoning. */
static void next_summary(const struct decoding *x, struct part *p, int64_t summary)
{
    static const struct llm_text line = {{"\\n\\n", 4}};
    if (p->any && summary != p->summary)
        add_text(x, p, line);
    p->summary = summary;
}

/* True: the list has some text. */
static bool add_summaries(struct decoding *x, struct part *p, uint32_t list)
{
    int64_t i = 0;
    if (list == 0 || json_type_at(x->doc, list) != JSON_ARRAY)
        return false;
    for (uint32_t n = json_first(x->doc, list); n < json_end(x->doc, list);
         n = json_after(x->doc, n)) {
        struct llm_text text = get_text(x, n, "text");
        if (text.inner.n == 0)
            continue;
        next_summary(x, p, i++);
        add_text(x, p, text);
    }
    return p->any;
}

static bool end_reasoning(struct decoding *x, int64_t output, uint32_t item)
{
    struct slice signature = get_word(x, item, "encrypted_content");
    struct part *p = find(x, output, NO_INDEX);
    if (p != NULL && !p->open)
        return true;
    p = use_part(x, output, NO_INDEX, PART_REASONING);
    if (p == NULL)
        return false;
    if (!p->any && !add_summaries(x, p, get(x, item, "summary")))
        add_summaries(x, p, get(x, item, "content"));
    if (signature.n > 0)
        llm_emit_signature(x->d, 0, p->number, signature, !p->any);
    end_part(x, p);
    return true;
}

static bool is_item(const struct decoding *x, uint32_t item, const char *type)
{
    return slice_is(get_word(x, item, "type"), type);
}

static bool end_item(struct decoding *x, int64_t output, uint32_t item)
{
    if (is_item(x, item, "message"))
        return end_message(x, output, item);
    if (is_item(x, item, "reasoning"))
        return end_reasoning(x, output, item);
    if (is_item(x, item, "function_call"))
        return end_call(x, output, item, false);
    if (is_item(x, item, "custom_tool_call"))
        return end_call(x, output, item, true);
    return true;
}

/* ---- The answer. */

static void read_usage(const struct decoding *x, uint32_t response)
{
    uint32_t usage = get(x, response, "usage");
    if (usage == 0)
        return;
    uint32_t in = get(x, usage, "input_tokens_details");
    uint32_t out = get(x, usage, "output_tokens_details");
    struct llm_usage u = {get_tokens(x, usage, "input_tokens"),
                          get_tokens(x, usage, "output_tokens"), get_tokens(x, in, "cached_tokens"),
                          get_tokens(x, in, "cache_write_tokens"),
                          get_tokens(x, out, "reasoning_tokens")};
    llm_usage_merge(&x->d->usage, &u);
}

static void start(const struct decoding *x, uint32_t response)
{
    if (!x->d->started)
        llm_emit_start(x->d, get_word(x, response, "id"), get_word(x, response, "model"));
}

/* HTTP statuses that codes and types of errors stand for; 0: unknown. */
static unsigned status_of(const struct llm_error *e)
{
    static const struct {
        const char *name;
        unsigned status;
    } rows[] = {{"rate_limit_exceeded", 429},
                {"insufficient_quota", 429},
                {"tokens", 429},
                {"requests", 429},
                {"context_length_exceeded", 400},
                {"invalid_prompt", 400},
                {"invalid_request_error", 400},
                {"content_policy_violation", 400},
                {"bio_policy", 400},
                {"cyber_policy", 400},
                {"invalid_api_key", 401},
                {"model_not_found", 404},
                {"server_is_overloaded", 503},
                {"slow_down", 503},
                {"engine_overloaded", 503},
                {"server_error", 500}};
    static const struct slice prefixes[] = {{"invalid_", 8},
                                            {"image_", 6},
                                            {"empty_image", 11},
                                            {"unsupported_", 12},
                                            {"failed_to_download_image", 24}};
    const struct slice names[] = {e->code, e->type};
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            if (slice_is(names[n], rows[i].name))
                return rows[i].status;
        }
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
            if (slice_starts(names[n], prefixes[i]))
                return 400;
        }
    }
    return 0;
}

static void emit_error(const struct decoding *x, uint32_t node)
{
    struct llm_error e = {.message = get_word(x, node, "message"),
                          .type = get_word(x, node, "type"),
                          .code = get_word(x, node, "code"),
                          .param = get_word(x, node, "param")};
    if (node == 0) /* the event's, not the error's */
        e.type = SLICE_NONE;
    if (e.message.n == 0)
        e.message = SLICE("The provider gave no message.");
    llm_emit_error(x->d, status_of(&e), &e);
}

static enum llm_finish finish_of(const struct decoding *x, uint32_t response)
{
    uint32_t details = get(x, response, "incomplete_details");
    if (details != 0 || slice_is(get_word(x, response, "status"), "incomplete"))
        return details != 0 && slice_is(get_word(x, details, "reason"), "content_filter")
                   ? FINISH_FILTER
                   : FINISH_LENGTH;
    if (x->a->refused)
        return FINISH_FILTER;
    return x->a->calls ? FINISH_TOOLS : FINISH_STOP;
}

static bool end_items(struct decoding *x, uint32_t list)
{
    int64_t i = 0;
    if (json_type_at(x->doc, list) != JSON_ARRAY)
        return false;
    for (uint32_t n = json_first(x->doc, list); n < json_end(x->doc, list);
         n = json_after(x->doc, n)) {
        if (!end_item(x, i++, n))
            return false;
    }
    return true;
}

static bool end_all(struct decoding *x, uint32_t response)
{
    uint32_t list = get(x, response, "output");
    start(x, response);
    read_usage(x, response);
    if (x->a->parts == NULL && list != 0 && !end_items(x, list))
        return false;
    end_others(x, PART_TEXT);
    llm_emit_finish(x->d, 0, finish_of(x, response), SLICE_NONE, LLM_NO_TEXT);
    x->d->finished = true;
    llm_emit_end(x->d);
    return true;
}

/* ---- Events. */

static int64_t output_index(const struct decoding *x)
{
    return get_number(x, 0, "output_index", 0);
}

static bool on_begun(struct decoding *x)
{
    start(x, get(x, 0, "response"));
    return true;
}

static bool on_end(struct decoding *x)
{
    uint32_t response = get(x, 0, "response");
    return response != 0 && json_type_at(x->doc, response) == JSON_OBJECT && end_all(x, response);
}

/* Its usage counts even where an `error` event has told already. */
static bool on_failed(struct decoding *x)
{
    uint32_t response = get(x, 0, "response");
    read_usage(x, response);
    emit_error(x, get(x, response, "error"));
    return true;
}

static bool on_error(struct decoding *x)
{
    emit_error(x, get(x, 0, "error"));
    return true;
}

static bool on_item_added(struct decoding *x)
{
    uint32_t item = get(x, 0, "item");
    bool custom = item != 0 && is_item(x, item, "custom_tool_call");
    start(x, 0);
    if (item == 0 || (!custom && !is_item(x, item, "function_call")))
        return true;
    return find(x, output_index(x), NO_INDEX) == NULL &&
           begin_call(x, output_index(x), item, custom);
}

static bool on_item_done(struct decoding *x)
{
    uint32_t item = get(x, 0, "item");
    start(x, 0);
    return item == 0 || end_item(x, output_index(x), item);
}

static bool on_part_added(struct decoding *x)
{
    uint32_t part = get(x, 0, "part");
    start(x, 0);
    if (part == 0 || is_item(x, part, "reasoning_text"))
        return true;
    return use_part(x, output_index(x), get_number(x, 0, "content_index", 0),
                    content_kind(x, part)) != NULL;
}

static bool on_part_done(struct decoding *x)
{
    uint32_t part = get(x, 0, "part");
    if (part == 0 || is_item(x, part, "reasoning_text"))
        return true;
    start(x, 0);
    return end_content(x, output_index(x), get_number(x, 0, "content_index", 0), part);
}

static struct part *content_part(struct decoding *x, enum llm_part_kind kind)
{
    start(x, 0);
    return use_part(x, output_index(x), get_number(x, 0, "content_index", 0), kind);
}

static bool on_text_delta(struct decoding *x)
{
    struct part *p = content_part(x, PART_TEXT);
    if (p == NULL)
        return false;
    add_text(x, p, get_text(x, 0, "delta"));
    add_logprobs(x, p, get(x, 0, "logprobs"));
    return true;
}

static bool on_text_done(struct decoding *x)
{
    struct part *p = content_part(x, PART_TEXT);
    if (p == NULL)
        return false;
    add_whole(x, p, get_text(x, 0, "text"));
    if (!p->weighed)
        add_logprobs(x, p, get(x, 0, "logprobs"));
    return true;
}

static bool on_annotation(struct decoding *x)
{
    struct part *p = content_part(x, PART_TEXT);
    uint32_t annotation = get(x, 0, "annotation");
    if (p != NULL && annotation != 0)
        add_citation(x, p, annotation);
    return p != NULL;
}

static bool on_refusal_delta(struct decoding *x)
{
    struct part *p = content_part(x, PART_REFUSAL);
    if (p != NULL)
        add_text(x, p, get_text(x, 0, "delta"));
    return p != NULL;
}

static bool on_refusal_done(struct decoding *x)
{
    struct part *p = content_part(x, PART_REFUSAL);
    if (p != NULL)
        add_whole(x, p, get_text(x, 0, "refusal"));
    return p != NULL;
}

/* Reasoning comes as a summary or in its own words; where both come, the first that does counts. */
static struct part *reasoning_part(struct decoding *x, bool raw)
{
    start(x, 0);
    struct part *p = use_part(x, output_index(x), NO_INDEX, PART_REASONING);
    if (p != NULL && !p->any)
        p->raw = raw;
    return p;
}

static bool on_reasoning(struct decoding *x, bool raw, bool whole)
{
    struct part *p = reasoning_part(x, raw);
    if (p == NULL || p->raw != raw)
        return p != NULL;
    struct llm_text text = get_text(x, 0, whole ? "text" : "delta");
    int64_t summary = get_number(x, 0, raw ? "content_index" : "summary_index", 0);
    bool heard = p->any && summary == p->summary;
    if (text.inner.n == 0 || (heard && whole))
        return true;
    next_summary(x, p, summary);
    add_text(x, p, text);
    return true;
}

static bool on_summary_delta(struct decoding *x)
{
    return on_reasoning(x, false, false);
}

static bool on_summary_done(struct decoding *x)
{
    return on_reasoning(x, false, true);
}

static bool on_reasoning_delta(struct decoding *x)
{
    return on_reasoning(x, true, false);
}

static bool on_reasoning_done(struct decoding *x)
{
    return on_reasoning(x, true, true);
}

/* Of a call; nobody knows what to do with arguments without a name. */
static bool on_arguments_delta(struct decoding *x)
{
    struct part *p = find(x, output_index(x), NO_INDEX);
    if (p == NULL || p->kind != PART_TOOL_CALL || !p->open)
        return false;
    add_text(x, p, get_text(x, 0, "delta"));
    return true;
}

static bool on_arguments_done(struct decoding *x)
{
    struct part *p = find(x, output_index(x), NO_INDEX);
    if (p == NULL || p->kind != PART_TOOL_CALL || !p->open)
        return p != NULL;
    struct llm_text text = get_text(x, 0, "arguments");
    add_whole(x, p, text.inner.p != NULL ? text : get_text(x, 0, "input"));
    return true;
}

struct row {
    struct slice type;
    bool (*on)(struct decoding *x);
};
#define ROW(type, on)                                                                              \
    {                                                                                              \
        {type, sizeof(type) - 1}, on                                                               \
    }
/* The most frequent first. */
static const struct row events[] = {
    ROW("response.output_text.delta", on_text_delta),
    ROW("response.function_call_arguments.delta", on_arguments_delta),
    ROW("response.reasoning_summary_text.delta", on_summary_delta),
    ROW("response.reasoning_text.delta", on_reasoning_delta),
    ROW("response.custom_tool_call_input.delta", on_arguments_delta),
    ROW("response.refusal.delta", on_refusal_delta),
    ROW("response.output_item.added", on_item_added),
    ROW("response.output_item.done", on_item_done),
    ROW("response.content_part.added", on_part_added),
    ROW("response.content_part.done", on_part_done),
    ROW("response.output_text.done", on_text_done),
    ROW("response.output_text.annotation.added", on_annotation),
    ROW("response.refusal.done", on_refusal_done),
    ROW("response.reasoning_summary_text.done", on_summary_done),
    ROW("response.reasoning_text.done", on_reasoning_done),
    ROW("response.function_call_arguments.done", on_arguments_done),
    ROW("response.custom_tool_call_input.done", on_arguments_done),
    ROW("response.created", on_begun),
    ROW("response.queued", on_begun),
    ROW("response.in_progress", on_begun),
    ROW("response.completed", on_end),
    ROW("response.incomplete", on_end),
    ROW("response.failed", on_failed),
    ROW("response.cancelled", on_failed),
    ROW("error", on_error),
};

static bool open_text(struct decoding *x, struct slice text, struct json_doc *doc)
{
    *x = (struct decoding){.d = x->d, .a = answer_of(x->d), .doc = doc};
    return x->a != NULL &&
           json_parse(x->d->json, text, JSON_ALLOW_LONE_SURROGATES, doc) == JSON_OK &&
           json_type_at(doc, 0) == JSON_OBJECT;
}

/* Nothing is expected behind the end but usage in the terminal event that follows an `error`. */
static bool read_rest(struct decoding *x, bool is_json)
{
    uint32_t response = is_json ? get(x, 0, "response") : 0;
    if (response != 0)
        read_usage(x, response);
    return true;
}

static bool decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    struct decoding x = {.d = d};
    if (slice_starts(data, SLICE("[DONE]"))) /* other servers end their streams so */
        return true;
    bool is_json = open_text(&x, data, &doc);
    if (d->ended)
        return read_rest(&x, is_json);
    if (!is_json)
        return false;
    struct slice type = get_word(&x, 0, "type");
    if (type.n == 0)
        type = name;
    if (type.n == 0 && get(&x, 0, "error") != 0)
        return on_error(&x);
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (slice_eq(type, events[i].type))
            return events[i].on(&x);
    }
    return true;
}

static bool decode_end(struct llm_decoder *d)
{
    return d->ended;
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    struct decoding x = {.d = d};
    if (!open_text(&x, body, &doc))
        return false;
    uint32_t error = get(&x, 0, "error"), output = get(&x, 0, "output");
    struct slice status = get_word(&x, 0, "status");
    if (error != 0 || slice_is(status, "failed") || slice_is(status, "cancelled")) {
        read_usage(&x, 0);
        emit_error(&x, error);
        return true;
    }
    if (output == 0 || json_type_at(&doc, output) != JSON_ARRAY ||
        slice_is(status, "in_progress") || slice_is(status, "queued"))
        return false;
    return end_all(&x, 0);
}

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    (void)a, (void)provider, (void)model, (void)stream;
    return op == LLM_CHAT ? SLICE("/responses") : SLICE_NONE;
}

const struct llm_wire responses_wire = {.name = "responses",
                                        .family = FAMILY_OPENAI,
                                        .framing = FRAMING_SSE,
                                        .never = LLM_NEEDS_AUDIO | LLM_NEEDS_CHOICES,
                                        .path = path,
                                        .write_chat = responses_write_chat,
                                        .decode_event = decode_event,
                                        .decode_end = decode_end,
                                        .decode_answer = decode_answer,
                                        .read_error = openai_read_error};
