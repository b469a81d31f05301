/* Cohere's answers, of v2/chat whole or in pieces, as neutral events. Source: the types of cohere
 * 7.3.1 (Python SDK). tool_plan, what the model says it will do before it calls tools, is
 * reasoning. The bill counts `billed_units`, which leave Cohere's own preamble out; `tokens` is
 * what the model saw, and stands in where the bill is not said. cached_tokens are a part of
 * `tokens`, so that they can be more than the bill's input; then all of it was cached. Citations of
 * reasoning have no place in the model. Nothing is made of content-end: citations may come behind
 * it. */
#include "cohere_internal.h"
#include "member.h"

#define CALLS_MAX 512
#define PLAN      (-2) /* in place of a content block's index */

struct call {
    int64_t index; /* the wire's */
    unsigned part;
    bool open, said; /* some arguments came */
};

struct cohere_state {
    unsigned parts; /* begun so far */
    bool open;      /* `part` of this kind takes text */
    enum llm_part_kind kind;
    unsigned part;
    int64_t index; /* the content block's */
    struct call *calls;
    unsigned calls_n, calls_size;
    bool cited;         /* citations that name no block were told */
    struct buf scratch; /* over memory of the arena */
};

/* What is being read. */
struct piece {
    struct llm_decoder *d;
    const struct json_doc *doc;
    struct cohere_state *s;
};

static void close_text(struct piece *x)
{
    if (x->s->open)
        llm_emit_part_end(x->d, 0, x->s->part);
    x->s->open = false;
}

static void close_call(struct piece *x, struct call *c)
{
    if (!c->open)
        return;
    if (!c->said)
        llm_emit_delta(x->d, 0, c->part, (struct llm_text){SLICE("{}")});
    llm_emit_part_end(x->d, 0, c->part);
    c->open = false;
}

static void close_calls(struct piece *x)
{
    for (unsigned i = 0; i < x->s->calls_n; i++)
        close_call(x, &x->s->calls[i]);
}

/* More text of this block: of the part that is open, or of a new one. */
static void add_text(struct piece *x, enum llm_part_kind kind, int64_t index, struct llm_text text)
{
    struct cohere_state *s = x->s;
    if (text.inner.n == 0)
        return;
    llm_emit_start(x->d, SLICE_NONE, SLICE_NONE);
    if (!s->open || s->kind != kind || s->index != index) {
        close_text(x);
        close_calls(x);
        s->open = true;
        s->kind = kind;
        s->index = index;
        s->part = s->parts++;
        llm_emit_part(x->d, 0, s->part, kind, SLICE_NONE, SLICE_NONE);
    }
    llm_emit_delta(x->d, 0, s->part, text);
}

/* {"type":"text","text":...} or {"type":"thinking","thinking":...}; deltas leave the type out. */
static void add_content(struct piece *x, uint32_t content, int64_t index)
{
    add_text(x, PART_REASONING, index, member_text(x->doc, member_in(x->doc, content, "thinking")));
    add_text(x, PART_TEXT, index, member_text(x->doc, member_in(x->doc, content, "text")));
}

/* ---- Tool calls. */

/* Room for one more. */
static struct call *new_call(struct piece *x)
{
    struct cohere_state *s = x->s;
    if (s->calls_n == CALLS_MAX)
        return NULL;
    if (s->calls_n == s->calls_size) {
        unsigned size = s->calls_size > 0 ? s->calls_size * 2 : 4;
        struct call *grown = arena_alloc(x->d->arena, size * sizeof *grown);
        if (grown == NULL)
            return NULL;
        if (s->calls_n > 0)
            memcpy(grown, s->calls, s->calls_n * sizeof *grown);
        s->calls = grown;
        s->calls_size = size;
    }
    return &s->calls[s->calls_n++];
}

/* The latest call with this index; NULL: there is none. */
static struct call *find_call(struct piece *x, int64_t index)
{
    for (unsigned i = x->s->calls_n; i > 0; i--) {
        if (x->s->calls[i - 1].index == index)
            return &x->s->calls[i - 1];
    }
    return NULL;
}

static void add_arguments(struct piece *x, struct call *c, uint32_t node)
{
    struct llm_text text =
        member_text(x->doc, member_in(x->doc, member_in(x->doc, node, "function"), "arguments"));
    if (text.inner.n == 0)
        return;
    c->said = true;
    llm_emit_delta(x->d, 0, c->part, text);
}

static bool begin_call(struct piece *x, uint32_t node, int64_t index)
{
    const struct json_doc *doc = x->doc;
    struct arena *a = x->d->arena;
    struct slice id = member_word(doc, member_in(doc, node, "id"), a);
    struct slice name =
        member_word(doc, member_in(doc, member_in(doc, node, "function"), "name"), a);
    struct call *old = find_call(x, index);
    if (name.n == 0 || (old != NULL && old->open))
        return false;
    struct call *c = new_call(x);
    if (c != NULL && id.n == 0)
        id = llm_made_call_id(x->d, x->s->parts);
    if (c == NULL || id.p == NULL)
        return false;
    llm_emit_start(x->d, SLICE_NONE, SLICE_NONE);
    close_text(x);
    *c = (struct call){.index = index, .part = x->s->parts++, .open = true};
    llm_emit_part(x->d, 0, c->part, PART_TOOL_CALL, id, name);
    add_arguments(x, c, node);
    return true;
}

/* ---- Citations. */

/* What one source is: a document of the request, or what a tool gave. */
static void read_source(struct piece *x, uint32_t source, struct llm_citation *c)
{
    static const char *const texts[] = {"text", "snippet", "content"};
    const struct json_doc *doc = x->doc;
    struct slice prefix = SLICE(COHERE_DOCUMENT_ID);
    struct llm_text id = member_text(doc, member_in(doc, source, "id"));
    uint32_t data = member_in(doc, source, "document");
    uint64_t n;
    if (slice_starts(id.inner, prefix) && slice_to_u64(slice_from(id.inner, prefix.n), &n) &&
        n <= INT32_MAX)
        c->document = (int64_t)n;
    if (data == 0)
        data = member_in(doc, source, "tool_output");
    c->url = member_word(doc, member_in(doc, data, "url"), x->d->arena);
    c->title = member_text(doc, member_in(doc, data, "title"));
    if (c->title.inner.n == 0 && c->document < 0)
        c->title = id;
    for (size_t i = 0; i < ARRAY_LEN(texts) && c->cited.inner.p == NULL; i++)
        c->cited = member_text(doc, member_in(doc, data, texts[i]));
}

/* One event for each source. */
static void read_citation(struct piece *x, uint32_t node)
{
    const struct json_doc *doc = x->doc;
    struct slice type = member_text(doc, member_in(doc, node, "type")).inner;
    uint32_t sources = member_in(doc, node, "sources");
    if (!x->s->open || x->s->kind != PART_TEXT || !member_is(doc, sources, JSON_ARRAY) ||
        (type.n > 0 && !slice_is(type, "TEXT_CONTENT")))
        return;
    for (uint32_t i = json_first(doc, sources); i < json_end(doc, sources);
         i = json_after(doc, i)) {
        struct llm_citation c = {.document = -1,
                                 .start = member_index(doc, member_in(doc, node, "start")),
                                 .end = member_index(doc, member_in(doc, node, "end")),
                                 .own_json = json_raw(doc, node),
                                 .family = FAMILY_COHERE};
        if (json_type_at(doc, i) != JSON_OBJECT)
            continue;
        read_source(x, i, &c);
        struct llm_event e = {.kind = EVENT_CITATION, .part = x->s->part, .citation = &c};
        x->d->emit(x->d->ctx, &e);
    }
}

/* Those of one content block of a whole answer; the first text has those that name none. */
static void read_citations(struct piece *x, uint32_t list, int64_t block)
{
    const struct json_doc *doc = x->doc;
    if (!member_is(doc, list, JSON_ARRAY) || !x->s->open || x->s->kind != PART_TEXT)
        return;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
        int64_t at = member_index(doc, member_in(doc, i, "content_index"));
        if (at == block || (at < 0 && !x->s->cited))
            read_citation(x, i);
    }
    x->s->cited = true;
}

/* ---- Log probabilities. */

/* {"text":"a","token_ids":[1],"logprobs":[-0.1]} as OpenAI's entry. What several tokens make up is
 * one entry, as probable as all of them together. */
static void put_logprob(struct json_writer *w, const struct json_doc *doc, uint32_t item)
{
    struct llm_text text = member_text(doc, member_in(doc, item, "text"));
    uint32_t list = member_in(doc, item, "logprobs");
    double sum = 0, v;
    unsigned n = 0;
    if (text.inner.p == NULL || !member_is(doc, list, JSON_ARRAY))
        return;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
        if (!json_double(doc, i, &v))
            return;
        sum += v;
        n++;
    }
    if (n == 0)
        return;
    jw_open(w, '{');
    jw_field_text(w, "token", text);
    jw_key(w, "logprob");
    if (n == 1)
        jw_raw(w, json_raw(doc, json_first(doc, list)));
    else
        jw_double(w, sum);
    jw_key(w, "bytes");
    jw_null(w);
    jw_key(w, "top_logprobs");
    jw_raw(w, SLICE("[]"));
    jw_close(w, '}');
}

/* One item, or a list of them. */
static bool read_logprobs(struct piece *x, uint32_t node)
{
    const struct json_doc *doc = x->doc;
    struct buf *b = &x->s->scratch;
    if (node == 0 || x->s->parts == 0)
        return true;
    size_t need = 8 * json_raw(doc, node).n + 128;
    if (b->size < need) {
        size_t size = MAX_OF(need, b->size * 2);
        char *p = arena_alloc(x->d->arena, size);
        if (p == NULL)
            return false;
        *b = (struct buf){.p = p, .size = size, .cap = size};
    }
    buf_reset(b);
    struct json_writer w = json_writer(b);
    if (json_type_at(doc, node) != JSON_ARRAY) {
        put_logprob(&w, doc, node);
    } else {
        for (uint32_t i = json_first(doc, node); i < json_end(doc, node); i = json_after(doc, i))
            put_logprob(&w, doc, i);
    }
    if (b->failed)
        return false;
    struct llm_event e = {.kind = EVENT_LOGPROBS, .part = x->s->part, .json = buf_view(b)};
    if (b->n > 0)
        x->d->emit(x->d->ctx, &e);
    return true;
}

/* ---- The end. */

/* What a finish_reason is. `status`: the answer is an error instead. */
struct finish_row {
    const char *reason;
    enum llm_finish finish;
    unsigned status;
    const char *message;
};

static const struct finish_row finish_rows[] = {
    {"COMPLETE", FINISH_STOP, 0, NULL},
    {"STOP_SEQUENCE", FINISH_SEQUENCE, 0, NULL},
    {"MAX_TOKENS", FINISH_LENGTH, 0, NULL},
    {"TOOL_CALL", FINISH_TOOLS, 0, NULL},
    {"ERROR_LIMIT", FINISH_LENGTH, 0, NULL}, /* this and the next two: v1's, of older models */
    {"ERROR_TOXIC", FINISH_FILTER, 0, NULL},
    {"USER_CANCEL", FINISH_STOP, 502, "The generation was cancelled."},
    {"ERROR", FINISH_STOP, 502, "The generation failed."},
    {"TIMEOUT", FINISH_STOP, 504, "The generation timed out."},
    {"", FINISH_STOP, 0, NULL}, /* every reason that is not known here */
};

static void read_usage(struct piece *x, uint32_t usage)
{
    const struct json_doc *doc = x->doc;
    uint32_t billed = member_in(doc, usage, "billed_units"), seen = member_in(doc, usage, "tokens");
    struct llm_usage u = LLM_USAGE_NONE;
    u.input = member_tokens(doc, member_in(doc, billed, "input_tokens"));
    u.output = member_tokens(doc, member_in(doc, billed, "output_tokens"));
    if (u.input < 0)
        u.input = member_tokens(doc, member_in(doc, seen, "input_tokens"));
    if (u.output < 0)
        u.output = member_tokens(doc, member_in(doc, seen, "output_tokens"));
    u.cached = member_tokens(doc, member_in(doc, usage, "cached_tokens"));
    if (u.input >= 0)
        u.cached = MIN_OF(u.cached, u.input);
    llm_usage_merge(&x->d->usage, &u);
}

static void tell_error(struct piece *x, unsigned status, struct slice message, const char *type)
{
    struct llm_error e = {.message = message, .type = slice_str(type)};
    llm_emit_error(x->d, status, &e);
}

/* `error`: what went wrong, in words, where it is said. */
static bool read_end(struct piece *x, uint32_t reason, uint32_t usage, uint32_t error)
{
    const struct json_doc *doc = x->doc;
    struct slice word = member_text(doc, reason).inner;
    struct slice said = member_word(doc, error, x->d->arena);
    const struct finish_row *row = finish_rows;
    read_usage(x, usage);
    if (word.n == 0 && said.n == 0)
        return false;
    while (*row->reason != '\0' && !slice_is(word, row->reason))
        row++;
    if (row->status != 0 || said.n > 0) {
        tell_error(x, row->status != 0 ? row->status : 502,
                   said.n > 0 ? said : slice_str(row->message),
                   *row->reason != '\0' ? row->reason : "ERROR");
        return true;
    }
    llm_emit_start(x->d, SLICE_NONE, SLICE_NONE);
    close_text(x);
    close_calls(x);
    bool called = x->s->calls_n > 0 && row->finish == FINISH_STOP;
    llm_emit_finish(x->d, 0, called ? FINISH_TOOLS : row->finish, SLICE_NONE, LLM_NO_TEXT);
    x->d->finished = true;
    llm_emit_end(x->d);
    return true;
}

/* ---- Streams. */

enum event_kind {
    ON_MESSAGE_START,
    ON_CONTENT,
    ON_PLAN,
    ON_CALL_START,
    ON_CALL_DELTA,
    ON_CALL_END,
    ON_CITATION,
    ON_MESSAGE_END,
    ON_ERROR,
    ON_OTHER,
};

static const struct {
    const char *type;
    enum event_kind kind;
} event_rows[] = {
    {"content-delta", ON_CONTENT},      {"content-start", ON_CONTENT},
    {"tool-call-delta", ON_CALL_DELTA}, {"tool-call-start", ON_CALL_START},
    {"tool-call-end", ON_CALL_END},     {"tool-plan-delta", ON_PLAN},
    {"citation-start", ON_CITATION},    {"message-start", ON_MESSAGE_START},
    {"message-end", ON_MESSAGE_END},    {"error", ON_ERROR},
};

static enum event_kind kind_of(struct slice type)
{
    for (size_t i = 0; i < ARRAY_LEN(event_rows); i++) {
        if (slice_is(type, event_rows[i].type))
            return event_rows[i].kind;
    }
    return ON_OTHER;
}

static bool on_call_delta(struct piece *x, uint32_t calls, int64_t index)
{
    struct call *c = find_call(x, index);
    if (c == NULL || !c->open)
        return false;
    add_arguments(x, c, calls);
    return true;
}

static bool on_call_end(struct piece *x, int64_t index)
{
    struct call *c = find_call(x, index);
    if (c == NULL)
        return false;
    close_call(x, c);
    return true;
}

static bool on_error(struct piece *x)
{
    struct slice message = member_word(x->doc, member_of(x->doc, 0, "message"), x->d->arena);
    tell_error(x, 0, message.n > 0 ? message : SLICE("The provider gave no message."), "error");
    return true;
}

static bool on_event(struct piece *x, enum event_kind kind)
{
    const struct json_doc *doc = x->doc;
    uint32_t delta = member_of(doc, 0, "delta"), message = member_in(doc, delta, "message");
    int64_t index = member_index(doc, member_of(doc, 0, "index"));
    switch (kind) {
    case ON_MESSAGE_START:
        llm_emit_start(x->d, member_word(doc, member_of(doc, 0, "id"), x->d->arena), SLICE_NONE);
        return true;
    case ON_CONTENT:
        add_content(x, member_in(doc, message, "content"), index);
        return read_logprobs(x, member_of(doc, 0, "logprobs"));
    case ON_PLAN:
        add_text(x, PART_REASONING, PLAN, member_text(doc, member_in(doc, message, "tool_plan")));
        return true;
    case ON_CALL_START: return begin_call(x, member_in(doc, message, "tool_calls"), index);
    case ON_CALL_DELTA: return on_call_delta(x, member_in(doc, message, "tool_calls"), index);
    case ON_CALL_END: return on_call_end(x, index);
    case ON_CITATION: read_citation(x, member_in(doc, message, "citations")); return true;
    case ON_MESSAGE_END:
        return read_end(x, member_in(doc, delta, "finish_reason"), member_in(doc, delta, "usage"),
                        member_in(doc, delta, "error"));
    case ON_ERROR: return on_error(x);
    case ON_OTHER: break;
    }
    return true;
}

static bool open_doc(struct piece *x, struct llm_decoder *d, struct json_doc *doc,
                     struct slice text)
{
    if (d->state == NULL)
        d->state = arena_zalloc(d->arena, sizeof(struct cohere_state));
    *x = (struct piece){.d = d, .doc = doc, .s = d->state};
    return x->s != NULL && json_parse(d->json, text, JSON_ALLOW_LONE_SURROGATES, doc) == JSON_OK &&
           json_type_at(doc, 0) == JSON_OBJECT;
}

static bool decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    struct piece x;
    if (d->ended)
        return true;
    if (slice_starts(data, SLICE("[DONE]")))
        return false; /* without message-end before it */
    if (!open_doc(&x, d, &doc, data))
        return false;
    struct slice type = member_text(&doc, member_of(&doc, 0, "type")).inner;
    if (type.n == 0)
        type = name;
    if (type.n == 0 && member_is(&doc, member_of(&doc, 0, "message"), JSON_STRING))
        return on_error(&x);
    return on_event(&x, kind_of(type));
}

static bool decode_end(struct llm_decoder *d)
{
    return d->ended;
}

/* ---- Whole answers. */

static bool read_calls(struct piece *x, uint32_t list)
{
    const struct json_doc *doc = x->doc;
    if (list != 0 && json_type_at(doc, list) != JSON_ARRAY)
        return false;
    for (uint32_t i = list != 0 ? json_first(doc, list) : 0; list != 0 && i < json_end(doc, list);
         i = json_after(doc, i)) {
        if (json_type_at(doc, i) != JSON_OBJECT || !begin_call(x, i, -1))
            return false;
        close_calls(x);
    }
    return true;
}

static bool read_blocks(struct piece *x, uint32_t content, uint32_t citations)
{
    const struct json_doc *doc = x->doc;
    int64_t index = 0;
    if (member_is(doc, content, JSON_STRING)) {
        add_text(x, PART_TEXT, 0, llm_text_at(doc, content));
        read_citations(x, citations, 0);
        return true;
    }
    if (content != 0 && json_type_at(doc, content) != JSON_ARRAY)
        return false;
    for (uint32_t i = content != 0 ? json_first(doc, content) : 0;
         content != 0 && i < json_end(doc, content); i = json_after(doc, i)) {
        if (json_type_at(doc, i) != JSON_OBJECT)
            return false;
        add_content(x, i, index);
        read_citations(x, citations, index++);
    }
    return true;
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    struct piece x;
    if (!open_doc(&x, d, &doc, body))
        return false;
    uint32_t message = member_of(&doc, 0, "message");
    if (member_is(&doc, message, JSON_STRING))
        return on_error(&x);
    if (!member_is(&doc, message, JSON_OBJECT))
        return false;
    llm_emit_start(d, member_word(&doc, member_of(&doc, 0, "id"), d->arena), SLICE_NONE);
    add_text(&x, PART_REASONING, PLAN, member_text(&doc, member_in(&doc, message, "tool_plan")));
    return read_blocks(&x, member_in(&doc, message, "content"),
                       member_in(&doc, message, "citations")) &&
           read_calls(&x, member_in(&doc, message, "tool_calls")) &&
           read_logprobs(&x, member_of(&doc, 0, "logprobs")) &&
           read_end(&x, member_of(&doc, 0, "finish_reason"), member_of(&doc, 0, "usage"), 0);
}

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    (void)a;
    (void)provider;
    (void)model;
    (void)stream;
    return op == LLM_CHAT || op == LLM_COMPLETIONS ? SLICE("/chat") : SLICE_NONE;
}

const struct llm_wire cohere_wire = {
    .name = "cohere",
    .family = FAMILY_COHERE,
    .framing = FRAMING_SSE,
    .never = LLM_NEEDS_AUDIO | LLM_NEEDS_CHOICES,
    .path = path,
    .write_chat = cohere_write_chat,
    .decode_event = decode_event,
    .decode_end = decode_end,
    .decode_answer = decode_answer,
    .read_error = openai_read_error,
};
