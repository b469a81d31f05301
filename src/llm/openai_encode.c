/* Answers in OpenAI's chat dialect, and in that of its legacy completions, from neutral events.
 * Beside OpenAI's own members there are reasoning_content (as DeepSeek and vLLM name it),
 * thinking_blocks with the signatures that a client has to send back (as LiteLLM names them), and
 * on tool calls extra_content with Google's (as Google's own OpenAI endpoint has it). */
#include "llm/dialect.h"
#include "llm/sse.h"
#include "openai_internal.h"

#define CALLS_OPEN 64 /* tool calls that are being told apart in a stream */

/* Text of a reasoning part, until its signature comes. */
struct gathered {
    char *p;
    size_t n, size;
};

/* One choice of a stream; their parts are counted apart, and their events may come mixed. */
struct choice_state {
    struct choice_state *next;
    unsigned index;
    unsigned calls[CALLS_OPEN]; /* part numbers of the tool calls so far, modulo CALLS_OPEN */
    unsigned calls_n;
    uint64_t custom;         /* a bit for each of `calls` */
    enum llm_part_kind kind; /* of the latest part that is no tool call */
    struct gathered thought;
    struct slice google; /* a signature of Google's, for the next tool call */
};

struct encoder_state {
    struct slice head;       /* of each event, up to the number of its choice */
    struct choice_state *at; /* that of the event at hand */
    struct choice_state first;
    bool completion;
};

static bool gather(struct arena *a, struct gathered *g, struct slice more)
{
    if (g->n + more.n > g->size) {
        size_t size = MAX_OF((g->n + more.n) * 2, (size_t)1024);
        char *grown = arena_alloc(a, size);
        if (grown == NULL)
            return false;
        if (g->n > 0)
            memcpy(grown, g->p, g->n);
        g->p = grown;
        g->size = size;
    }
    if (more.n > 0)
        memcpy(g->p + g->n, more.p, more.n);
    g->n += more.n;
    return true;
}

/* Members that every event and every answer begins with. */
static void put_envelope(struct json_writer *w, const struct llm_encoder *e, const char *object,
                         struct slice id, struct slice model)
{
    jw_open(w, '{');
    jw_field_string(w, "id", id.n > 0 ? id : e->id);
    jw_field_string(w, "object", slice_str(object));
    jw_field_i64(w, "created", e->created_s);
    jw_field_string(w, "model", model.n > 0 ? model : e->chat->model);
}

static struct encoder_state *prepare(struct llm_encoder *e, const struct llm_event *start)
{
    if (e->state != NULL)
        return e->state;
    struct encoder_state *s = arena_new(e->arena, struct encoder_state);
    struct buf b;
    buf_init(&b, 8192);
    struct json_writer w = json_writer(&b);
    bool completion = e->chat->completion;
    buf_lit(&b, "data: ");
    put_envelope(&w, e, completion ? "text_completion" : "chat.completion.chunk",
                 start != NULL ? start->id : SLICE_NONE, start != NULL ? start->model : SLICE_NONE);
    buf_lit(&b, ",\"choices\":[");
    if (s != NULL && !b.failed) {
        s->completion = completion;
        s->head = arena_copy(e->arena, buf_view(&b));
    }
    buf_done(&b);
    if (s == NULL || s->head.p == NULL) {
        e->out->failed = true;
        return NULL;
    }
    e->state = s;
    return s;
}

/* An event up to what stands in its delta. */
static void open_event(struct llm_encoder *e, const struct encoder_state *s, unsigned choice)
{
    buf_slice(e->out, s->head);
    buf_lit(e->out, "{\"index\":");
    buf_i64(e->out, choice);
    if (s->completion)
        buf_lit(e->out, ",\"text\":");
    else
        buf_lit(e->out, ",\"delta\":");
}

static void close_event(struct llm_encoder *e, const char *finish)
{
    if (finish == NULL)
        buf_lit(e->out, ",\"logprobs\":null,\"finish_reason\":null}]");
    else
        buf_printf(e->out, ",\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
    if (e->wants_usage)
        buf_lit(e->out, ",\"usage\":null");
    buf_lit(e->out, "}\n\n");
}

/* {"KEY":"text"} as a delta. */
static void put_delta(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev,
                      const char *key)
{
    open_event(e, s, ev->choice);
    if (!s->completion)
        buf_printf(e->out, "{\"%s\":", key);
    buf_char(e->out, '"');
    buf_slice(e->out, ev->text.inner);
    buf_char(e->out, '"');
    if (!s->completion)
        buf_char(e->out, '}');
    close_event(e, NULL);
}

static void put_role(struct llm_encoder *e, struct encoder_state *s, unsigned choice)
{
    if (s->completion)
        return;
    open_event(e, s, choice);
    buf_lit(e->out, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
    close_event(e, NULL);
}

/* The number of a tool call among the calls; -1: not known, or too long ago. */
static int call_number(const struct choice_state *s, unsigned part)
{
    for (unsigned i = s->calls_n; i > 0 && i + CALLS_OPEN > s->calls_n; i--) {
        if (s->calls[(i - 1) % CALLS_OPEN] == part)
            return (int)i - 1;
    }
    return -1;
}

static void put_extra(struct json_writer *w, struct slice signature)
{

    jw_key(w, "extra_content");
    jw_open(w, '{');
    jw_key(w, "google");
    jw_open(w, '{');
    jw_field_string(w, "thought_signature", signature);
    jw_close(w, '}');
    jw_close(w, '}');
}

static void begin_call(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev)
{
    struct json_writer w = json_writer(e->out);
    struct choice_state *c = s->at;
    unsigned n = c->calls_n++;
    c->calls[n % CALLS_OPEN] = ev->part;
    uint64_t bit = UINT64_C(1) << n % CALLS_OPEN;
    c->custom = ev->custom ? c->custom | bit : c->custom & ~bit;
    open_event(e, s, ev->choice);
    jw_open(&w, '{');
    jw_key(&w, "tool_calls");
    jw_open(&w, '[');
    jw_open(&w, '{');
    jw_field_i64(&w, "index", n);
    jw_field_string(&w, "id", ev->id);
    jw_field_string(&w, "type", ev->custom ? SLICE("custom") : SLICE("function"));
    jw_key_slice(&w, ev->custom ? SLICE("custom") : SLICE("function"));
    jw_open(&w, '{');
    jw_field_string(&w, "name", ev->name);
    jw_key_slice(&w, ev->custom ? SLICE("input") : SLICE("arguments"));
    jw_string(&w, SLICE(""));
    jw_close(&w, '}');
    if (c->google.n > 0)
        put_extra(&w, c->google);
    c->google = SLICE_NONE;
    jw_close(&w, '}');
    jw_close(&w, ']');
    jw_close(&w, '}');
    close_event(e, NULL);
}

static void put_arguments(struct llm_encoder *e, struct encoder_state *s,
                          const struct llm_event *ev, int number)
{
    open_event(e, s, ev->choice);
    bool custom = s->at->custom >> (unsigned)number % CALLS_OPEN & 1;
    buf_printf(e->out, "{\"tool_calls\":[{\"index\":%d,\"%s\":{\"%s\":\"", number,
               custom ? "custom" : "function", custom ? "input" : "arguments");
    buf_slice(e->out, ev->text.inner);
    buf_lit(e->out, "\"}}]}");
    close_event(e, NULL);
}

static void put_thinking(struct json_writer *w, struct arena *a, struct llm_text text,
                         struct slice signature, enum llm_family family, bool redacted)
{
    struct slice marked = llm_signature_mark(a, signature, family, FAMILY_ANTHROPIC);
    w->b->failed |= marked.p == NULL;
    jw_open(w, '{');
    jw_field_string(w, "type", redacted ? SLICE("redacted_thinking") : SLICE("thinking"));
    if (redacted) {
        jw_field_string(w, "data", marked);
    } else {
        jw_field_text(w, "thinking", text);
        jw_field_string(w, "signature", marked);
    }
    jw_close(w, '}');
}

static void put_signature(struct llm_encoder *e, struct encoder_state *s,
                          const struct llm_event *ev)
{
    struct json_writer w = json_writer(e->out);
    const struct gathered *g = &s->at->thought;
    struct llm_text text = {g->n > 0 ? slice_of(g->p, g->n) : SLICE("")};
    if (s->completion)
        return;
    if (ev->family == FAMILY_GOOGLE)
        s->at->google = arena_copy(e->arena, ev->signature);
    open_event(e, s, ev->choice);
    jw_open(&w, '{');
    jw_key(&w, "thinking_blocks");
    jw_open(&w, '[');
    put_thinking(&w, e->arena, text, ev->signature, ev->family, ev->redacted);
    jw_close(&w, ']');
    jw_close(&w, '}');
    close_event(e, NULL);
}

static void put_citation(struct json_writer *w, const struct llm_citation *c)
{
    jw_open(w, '{');
    if (c->url.n > 0) {
        jw_field_string(w, "type", SLICE("url_citation"));
        jw_key(w, "url_citation");
        jw_open(w, '{');
        jw_field_string(w, "url", c->url);
    } else { /* OpenAI has none of documents in chats; the shape is ours */
        jw_field_string(w, "type", SLICE("document_citation"));
        jw_key(w, "document_citation");
        jw_open(w, '{');
        jw_field_i64(w, "document_index", c->document);
    }
    jw_key(w, "title");
    jw_text(w, c->title);
    if (c->cited.inner.p != NULL)
        jw_field_text(w, "cited_text", c->cited);
    jw_field_i64(w, "start_index", MAX_OF(c->start, INT64_C(0)));
    jw_field_i64(w, "end_index", MAX_OF(c->end, INT64_C(0)));
    jw_close(w, '}');
    jw_close(w, '}');
}

static void put_annotation(struct llm_encoder *e, struct encoder_state *s,
                           const struct llm_event *ev)
{
    struct json_writer w = json_writer(e->out);
    if (s->completion)
        return;
    open_event(e, s, ev->choice);
    jw_open(&w, '{');
    jw_key(&w, "annotations");
    jw_open(&w, '[');
    put_citation(&w, ev->citation);
    jw_close(&w, ']');
    jw_close(&w, '}');
    close_event(e, NULL);
}

/* The entries go out by themselves, with an empty delta. */
static void put_logprobs(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev)
{
    if (s->completion)
        return;
    open_event(e, s, ev->choice);
    struct json_writer w = json_writer(e->out);
    buf_lit(e->out, "{},\"logprobs\":{\"content\":[");
    jw_raw_line(&w, ev->json);
    buf_lit(e->out, "],\"refusal\":null},\"finish_reason\":null}]");
    if (e->wants_usage)
        buf_lit(e->out, ",\"usage\":null");
    buf_lit(e->out, "}\n\n");
}

static const char *finish_text(enum llm_finish f)
{
    static const char *const texts[] = {
        [FINISH_STOP] = "stop",        [FINISH_LENGTH] = "length",
        [FINISH_TOOLS] = "tool_calls", [FINISH_FILTER] = "content_filter",
        [FINISH_SEQUENCE] = "stop",    [FINISH_PAUSE] = "stop",
    };
    return texts[f];
}

static void put_finish(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev)
{
    if (ev->text.inner.n > 0 && !s->completion)
        put_delta(e, s, ev, "refusal");
    open_event(e, s, ev->choice);
    buf_slice(e->out, s->completion ? SLICE("\"\"") : SLICE("{}"));
    close_event(e, finish_text(ev->finish));
}

static int64_t known(int64_t n)
{
    return MAX_OF(n, INT64_C(0));
}

static void put_usage(struct json_writer *w, const struct llm_usage *u)
{
    jw_open(w, '{');
    jw_field_i64(w, "prompt_tokens", known(u->input));
    jw_field_i64(w, "completion_tokens", known(u->output));
    jw_field_i64(w, "total_tokens", known(u->input) + known(u->output));
    jw_key(w, "prompt_tokens_details");
    jw_open(w, '{');
    jw_field_i64(w, "cached_tokens", known(u->cached));
    jw_field_i64(w, "cache_write_tokens", known(u->cache_write));
    jw_close(w, '}');
    jw_key(w, "completion_tokens_details");
    jw_open(w, '{');
    jw_field_i64(w, "reasoning_tokens", known(u->reasoning));
    jw_close(w, '}');
    jw_close(w, '}');
}

static void put_end(struct llm_encoder *e, struct encoder_state *s)
{
    if (e->wants_usage && e->usage->input >= 0) {
        struct json_writer w = json_writer(e->out);
        buf_slice(e->out, s->head);
        buf_lit(e->out, "],\"usage\":");
        put_usage(&w, e->usage);
        buf_lit(e->out, "}\n\n");
    }
    buf_lit(e->out, "data: [DONE]\n\n");
}

static void put_more(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev)
{
    int call = s->at->calls_n > 0 ? call_number(s->at, ev->part) : -1;
    if (call >= 0) {
        if (!s->completion)
            put_arguments(e, s, ev, call);
        return;
    }
    switch (s->at->kind) {
    case PART_REASONING:
        if (!gather(e->arena, &s->at->thought, ev->text.inner))
            e->out->failed = true;
        if (!s->completion)
            put_delta(e, s, ev, "reasoning_content");
        break;
    case PART_REFUSAL: put_delta(e, s, ev, "refusal"); break;
    case PART_TEXT: put_delta(e, s, ev, "content"); break;
    default: break; /* what only its own family can show */
    }
}

static void begin_part(struct llm_encoder *e, struct encoder_state *s, const struct llm_event *ev)
{
    if (ev->part_kind == PART_TOOL_CALL) {
        if (!s->completion)
            begin_call(e, s, ev);
        return;
    }
    s->at->kind = ev->part_kind;
    s->at->thought.n = 0;
}

static void put_error(struct buf *out, unsigned status, const struct llm_error *error,
                      struct slice request_id)
{
    (void)status, (void)request_id;
    openai_put_error(out, error);
}

static void put_error_event(struct buf *out, unsigned status, const struct llm_error *error,
                            struct slice request_id)
{
    struct buf body;
    (void)status, (void)request_id;
    buf_init(&body, out->cap);
    openai_put_error(&body, error);
    if (!body.failed)
        sse_put_data(out, buf_view(&body));
    out->failed |= body.failed;
    buf_done(&body);
}

/* Makes `s->at` the choice with this number, which begins with its role. False: no memory. */
static bool turn_to(struct llm_encoder *e, struct encoder_state *s, unsigned choice)
{
    struct choice_state *c = &s->first;
    while (c->index != choice && c->next != NULL)
        c = c->next;
    if (c->index != choice) {
        struct choice_state *made = arena_new(e->arena, struct choice_state);
        if (made == NULL)
            return false;
        made->index = choice;
        c->next = made;
        c = made;
        put_role(e, s, choice);
    }
    s->at = c;
    return true;
}

static void encode(struct llm_encoder *e, const struct llm_event *ev)
{
    struct encoder_state *s = prepare(e, ev->kind == EVENT_START ? ev : NULL);
    if (s == NULL || !turn_to(e, s, ev->choice)) {
        e->out->failed = true;
        return;
    }
    switch (ev->kind) {
    case EVENT_START: put_role(e, s, 0); break;
    case EVENT_PART: begin_part(e, s, ev); break;
    case EVENT_DELTA: put_more(e, s, ev); break;
    case EVENT_SIGNATURE: put_signature(e, s, ev); break;
    case EVENT_CITATION: put_annotation(e, s, ev); break;
    case EVENT_LOGPROBS: put_logprobs(e, s, ev); break;
    case EVENT_FINISH: put_finish(e, s, ev); break;
    case EVENT_END: put_end(e, s); break;
    case EVENT_ERROR: put_error_event(e->out, ev->status, ev->error, SLICE_NONE); break;
    case EVENT_PART_END:
    case EVENT_PING: break;
    }
}

/* All texts of one kind, joined; null where there is none. */
static void put_joined(struct json_writer *w, const struct llm_choice *c, enum llm_part_kind kind,
                       bool or_null)
{
    bool any = false;
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next)
        any |= p->kind == kind;
    if (!any && or_null) {
        jw_null(w);
        return;
    }
    jw_before_value(w);
    buf_char(w->b, '"');
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind == kind)
            buf_slice(w->b, p->text.inner);
    }
    buf_char(w->b, '"');
}

static void put_whole_calls(struct json_writer *w, const struct llm_choice *c)
{
    struct slice google = SLICE_NONE;
    bool any = false;
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind == PART_REASONING && p->family == FAMILY_GOOGLE)
            google = p->signature;
        if (p->kind != PART_TOOL_CALL)
            continue;
        if (!any) {
            jw_key(w, "tool_calls");
            jw_open(w, '[');
        }
        any = true;
        jw_open(w, '{');
        jw_field_string(w, "id", p->id);
        jw_field_string(w, "type", p->custom ? SLICE("custom") : SLICE("function"));
        jw_key_slice(w, p->custom ? SLICE("custom") : SLICE("function"));
        jw_open(w, '{');
        jw_field_string(w, "name", p->name);
        jw_key_slice(w, p->custom ? SLICE("input") : SLICE("arguments"));
        jw_text(w, p->custom ? p->text : p->arguments);
        jw_close(w, '}');
        if (google.n > 0)
            put_extra(w, google);
        google = SLICE_NONE;
        jw_close(w, '}');
    }
    if (any)
        jw_close(w, ']');
}

static void put_whole_thinking(struct json_writer *w, struct llm_encoder *e,
                               const struct llm_choice *c)
{
    bool any = false, text = false;
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind != PART_REASONING)
            continue;
        text |= p->text.inner.n > 0;
        any |= p->signature.n > 0;
    }
    if (text) {
        jw_key(w, "reasoning_content");
        put_joined(w, c, PART_REASONING, false);
    }
    if (!any)
        return;
    jw_key(w, "thinking_blocks");
    jw_open(w, '[');
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind == PART_REASONING && p->signature.n > 0)
            put_thinking(w, e->arena, p->text, p->signature, p->family, p->redacted);
    }
    jw_close(w, ']');
}

static void put_message(struct json_writer *w, struct llm_encoder *e, const struct llm_choice *c)
{
    jw_open(w, '{');
    jw_field_string(w, "role", SLICE("assistant"));
    jw_key(w, "content");
    put_joined(w, c, PART_TEXT, true);
    jw_key(w, "refusal");
    if (c->refusal.inner.n > 0)
        jw_text(w, c->refusal);
    else
        put_joined(w, c, PART_REFUSAL, true);
    jw_key(w, "annotations");
    jw_open(w, '[');
    for (const struct llm_cited *cited = c->citations; cited != NULL; cited = cited->next)
        put_citation(w, &cited->citation);
    jw_close(w, ']');
    put_whole_thinking(w, e, c);
    put_whole_calls(w, c);
    jw_close(w, '}');
}

static void put_choice(struct json_writer *w, struct llm_encoder *e, const struct llm_choice *c)
{
    jw_open(w, '{');
    jw_field_i64(w, "index", c->index);
    if (e->chat->completion) {
        jw_key(w, "text");
        put_joined(w, c, PART_TEXT, false);
    } else {
        jw_key(w, "message");
        put_message(w, e, c);
    }
    jw_key(w, "logprobs");
    if (c->logprobs_json.n > 0) {
        jw_open(w, '{');
        jw_key(w, "content");
        jw_open(w, '[');
        jw_raw(w, c->logprobs_json);
        jw_close(w, ']');
        jw_key(w, "refusal");
        jw_null(w);
        jw_close(w, '}');
    } else {
        jw_null(w);
    }
    jw_field_string(w, "finish_reason", slice_str(finish_text(c->finish)));
    jw_close(w, '}');
}

static void write_answer(struct llm_encoder *e, const struct llm_answer *answer)
{
    struct json_writer w = json_writer(e->out);
    put_envelope(&w, e, e->chat->completion ? "text_completion" : "chat.completion", answer->id,
                 answer->model);
    jw_key(&w, "choices");
    jw_open(&w, '[');
    for (const struct llm_choice *c = answer->choices; c != NULL; c = c->next)
        put_choice(&w, e, c);
    jw_close(&w, ']');
    jw_key(&w, "usage");
    put_usage(&w, &answer->usage);
    jw_close(&w, '}');
}

#define COMMON                                                                                     \
    .id = DIALECT_OPENAI, .family = FAMILY_OPENAI, .wire = &openai_wire,                           \
    .read_request = openai_read_request, .stream_type = {"text/event-stream", 17},                 \
    .keep_alive = {": waiting\n\n", 11}, .encode = encode, .write_answer = write_answer,           \
    .put_error = put_error, .put_error_event = put_error_event

const struct llm_dialect openai_dialect = {.name = "openai", .read_chat = openai_read_chat, COMMON};
const struct llm_dialect completions_dialect = {
    .name = "completions", .read_chat = openai_read_completion, COMMON};
