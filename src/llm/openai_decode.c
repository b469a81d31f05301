/* Chat completions as a provider's wire: its chunks and answers as neutral events. Sources:
 * OpenAI's API description 2.3.0; reasoning_content is DeepSeek's and vLLM's, reasoning Groq's and
 * OpenRouter's name for the same. */
#include "openai_internal.h"
#include "llm/wire.h"

#define CHOICES_MAX 128 /* of n, by OpenAI's own limit */
#define TOOLS_MAX   512 /* calls in one choice */

/* A call under way. */
struct tool_call {
    int64_t index; /* the wire's */
    unsigned part;
    bool open;
};

struct choice_state {
    unsigned parts; /* begun so far */
    bool open;      /* `part` of this kind takes text */
    enum llm_part_kind kind;
    unsigned part;
    struct tool_call *calls;
    unsigned calls_n, calls_size;
    bool finished;
};

struct openai_state {
    struct choice_state first, *others; /* number 0, and from 1 on where there are any */
    unsigned choices_n;                 /* up to the highest that was seen */
};

/* NULL: no memory. */
static struct choice_state *state_of(struct llm_decoder *d, unsigned choice)
{
    struct openai_state *s = d->state;
    if (choice > 0 && s->others == NULL)
        s->others = arena_zalloc(d->arena, (CHOICES_MAX - 1) * sizeof *s->others);
    return choice == 0 ? &s->first : s->others != NULL ? &s->others[choice - 1] : NULL;
}

/* One piece of an answer: what is being read of which choice. */
struct piece {
    struct llm_decoder *d;
    const struct json_doc *doc;
    struct choice_state *state;
    unsigned choice;
};

static void close_text(struct piece *x)
{
    if (x->state->open)
        llm_emit_part_end(x->d, x->choice, x->state->part);
    x->state->open = false;
}

static void close_calls(struct piece *x)
{
    for (unsigned i = 0; i < x->state->calls_n; i++) {
        struct tool_call *c = &x->state->calls[i];
        if (c->open)
            llm_emit_part_end(x->d, x->choice, c->part);
        c->open = false;
    }
}

/* More text of this kind: of the part that is open, or of a new one. */
static void add_text(struct piece *x, enum llm_part_kind kind, uint32_t node)
{
    struct choice_state *s = x->state;
    if (node == 0 || json_type_at(x->doc, node) != JSON_STRING || json_inner(x->doc, node).n == 0)
        return;
    if (!s->open || s->kind != kind) {
        close_text(x);
        close_calls(x);
        s->open = true;
        s->kind = kind;
        s->part = s->parts++;
        llm_emit_part(x->d, x->choice, s->part, kind, SLICE_NONE, SLICE_NONE);
    }
    llm_emit_delta(x->d, x->choice, s->part, llm_text_at(x->doc, node));
}

static struct slice word_at(const struct piece *x, uint32_t object, const char *key)
{
    uint32_t node = object != 0 ? json_get(x->doc, object, slice_str(key)) : 0;
    return node != 0 && json_type_at(x->doc, node) == JSON_STRING
               ? json_string(x->doc, node, x->d->arena)
               : SLICE_NONE;
}

/* Room for one more call. */
static struct tool_call *new_call(struct piece *x)
{
    struct choice_state *s = x->state;
    if (s->calls_n == TOOLS_MAX)
        return NULL;
    if (s->calls_n == s->calls_size) {
        unsigned size = s->calls_size > 0 ? s->calls_size * 2 : 4;
        struct tool_call *grown = arena_alloc(x->d->arena, size * sizeof *grown);
        if (grown == NULL)
            return NULL;
        if (s->calls_n > 0)
            memcpy(grown, s->calls, s->calls_n * sizeof *grown);
        s->calls = grown;
        s->calls_size = size;
    }
    return &s->calls[s->calls_n++];
}

/* The call a fragment belongs to: by its index; without one, a new id is a new call. */
static struct tool_call *find_call(struct piece *x, int64_t index, bool has_id)
{
    struct choice_state *s = x->state;
    if (index < 0)
        return s->calls_n > 0 && !has_id ? &s->calls[s->calls_n - 1] : NULL;
    for (unsigned i = s->calls_n; i > 0; i--) {
        if (s->calls[i - 1].index == index)
            return &s->calls[i - 1];
    }
    return NULL;
}

static struct tool_call *begin_call(struct piece *x, uint32_t node, uint32_t body, bool custom,
                                    int64_t index)
{
    struct slice id = word_at(x, node, "id"), name = word_at(x, body, "name");
    close_text(x);
    struct tool_call *c = new_call(x);
    if (c == NULL)
        return NULL;
    *c = (struct tool_call){.index = index, .part = x->state->parts++, .open = true};
    if (id.n == 0)
        id = llm_made_call_id(x->d, c->part);
    struct llm_event e = {.kind = EVENT_PART,
                          .choice = x->choice,
                          .part = c->part,
                          .part_kind = PART_TOOL_CALL,
                          .custom = custom,
                          .id = id,
                          .name = name};
    x->d->emit(x->d->ctx, &e);
    return c;
}

/* A fragment of a tool call, or a whole one. */
static bool read_call(struct piece *x, uint32_t node)
{
    const struct json_doc *doc = x->doc;
    int64_t index = -1;
    if (json_type_at(doc, node) != JSON_OBJECT)
        return false;
    uint32_t at = json_get(doc, node, SLICE("index")), id = json_get(doc, node, SLICE("id"));
    uint32_t body = json_get(doc, node, SLICE("function"));
    uint32_t custom = json_get(doc, node, SLICE("custom"));
    if (at != 0 && (!json_i64(doc, at, &index) || index < 0))
        return false;
    if (body == 0 || json_type_at(doc, body) != JSON_OBJECT)
        body = custom;
    if (body != 0 && json_type_at(doc, body) != JSON_OBJECT)
        return false;
    bool has_id = id != 0 && json_type_at(doc, id) == JSON_STRING && json_inner(doc, id).n > 0;
    struct tool_call *c = find_call(x, index, has_id);
    if (c == NULL)
        c = begin_call(x, node, body, body != 0 && body == custom, index);
    if (c == NULL)
        return false;
    uint32_t text = body != 0 ? json_get(doc, body, SLICE("arguments")) : 0;
    if (text == 0 && body != 0)
        text = json_get(doc, body, SLICE("input"));
    if (text == 0 || !c->open)
        return true;
    if (json_type_at(doc, text) == JSON_STRING && json_inner(doc, text).n > 0) {
        llm_emit_delta(x->d, x->choice, c->part, llm_text_at(doc, text));
    } else if (json_type_at(doc, text) == JSON_OBJECT) { /* Ollama's arguments are no string */
        struct llm_text t = llm_text_of(x->d->arena, json_raw(doc, text));
        if (t.inner.p == NULL)
            return false;
        llm_emit_delta(x->d, x->choice, c->part, t);
    }
    return true;
}

static bool read_calls(struct piece *x, uint32_t list)
{
    if (list == 0 || json_type_at(x->doc, list) == JSON_NULL)
        return true;
    if (json_type_at(x->doc, list) != JSON_ARRAY)
        return false;
    for (uint32_t i = json_first(x->doc, list); i < json_end(x->doc, list);
         i = json_after(x->doc, i)) {
        if (!read_call(x, i))
            return false;
    }
    return true;
}

/* [{"type":"url_citation","url_citation":{...}}] belongs to the text that is open. */
static void read_annotations(struct piece *x, uint32_t list)
{
    const struct json_doc *doc = x->doc;
    if (list == 0 || json_type_at(doc, list) != JSON_ARRAY || !x->state->open)
        return;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
        uint32_t u =
            json_type_at(doc, i) == JSON_OBJECT ? json_get(doc, i, SLICE("url_citation")) : 0;
        if (u == 0 || json_type_at(doc, u) != JSON_OBJECT)
            continue;
        uint32_t from = json_get(doc, u, SLICE("start_index"));
        uint32_t to = json_get(doc, u, SLICE("end_index"));
        uint32_t title = json_get(doc, u, SLICE("title"));
        struct llm_citation c = {
            .url = word_at(x, u, "url"), .start = -1, .end = -1, .document = -1};
        if (from != 0 && !json_i64(doc, from, &c.start))
            c.start = -1;
        if (to != 0 && !json_i64(doc, to, &c.end))
            c.end = -1;
        if (title != 0 && json_type_at(doc, title) == JSON_STRING)
            c.title = llm_text_at(doc, title);
        struct llm_event e = {
            .kind = EVENT_CITATION, .choice = x->choice, .part = x->state->part, .citation = &c};
        x->d->emit(x->d->ctx, &e);
    }
}

static void read_logprobs(struct piece *x, uint32_t node)
{
    const struct json_doc *doc = x->doc;
    uint32_t list = node != 0 && json_type_at(doc, node) == JSON_OBJECT
                        ? json_get(doc, node, SLICE("content"))
                        : 0;
    if (list == 0 || json_type_at(doc, list) != JSON_ARRAY ||
        json_first(doc, list) == json_end(doc, list))
        return;
    struct slice raw = json_raw(doc, list);
    struct llm_event e = {.kind = EVENT_LOGPROBS,
                          .choice = x->choice,
                          .part = x->state->part,
                          .json = slice_of(raw.p + 1, raw.n - 2)};
    x->d->emit(x->d->ctx, &e);
}

/* A delta, or a whole message. */
static bool read_message(struct piece *x, uint32_t m)
{
    const struct json_doc *doc = x->doc;
    if (m == 0 || json_type_at(doc, m) == JSON_NULL)
        return true;
    if (json_type_at(doc, m) != JSON_OBJECT)
        return false;
    uint32_t thought = json_get(doc, m, SLICE("reasoning_content"));
    if (thought == 0 || json_type_at(doc, thought) != JSON_STRING)
        thought = json_get(doc, m, SLICE("reasoning"));
    add_text(x, PART_REASONING, thought);
    add_text(x, PART_TEXT, json_get(doc, m, SLICE("content")));
    read_annotations(x, json_get(doc, m, SLICE("annotations")));
    add_text(x, PART_REFUSAL, json_get(doc, m, SLICE("refusal")));
    return read_calls(x, json_get(doc, m, SLICE("tool_calls")));
}

static enum llm_finish finish_of(struct slice reason)
{
    static const struct {
        const char *reason;
        enum llm_finish finish;
    } rows[] = {
        {"stop", FINISH_STOP},           {"eos", FINISH_STOP},
        {"length", FINISH_LENGTH},       {"model_length", FINISH_LENGTH}, /* Mistral */
        {"max_tokens", FINISH_LENGTH},   {"tool_calls", FINISH_TOOLS},
        {"function_call", FINISH_TOOLS}, {"content_filter", FINISH_FILTER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(reason, rows[i].reason))
            return rows[i].finish;
    }
    return FINISH_STOP;
}

static void finish(struct piece *x, uint32_t reason)
{
    if (reason == 0 || json_type_at(x->doc, reason) != JSON_STRING || x->state->finished ||
        json_inner(x->doc, reason).n == 0)
        return;
    close_text(x);
    close_calls(x);
    x->state->finished = true;
    llm_emit_finish(x->d, x->choice, finish_of(json_inner(x->doc, reason)), SLICE_NONE,
                    LLM_NO_TEXT);
}

static bool read_choice(struct llm_decoder *d, const struct json_doc *doc, uint32_t node)
{
    struct openai_state *s = d->state;
    int64_t index = 0;
    uint32_t at = json_get(doc, node, SLICE("index"));
    if (at != 0 && !json_i64(doc, at, &index))
        return false;
    if (index < 0 || index >= CHOICES_MAX)
        return false;
    struct piece x = {
        .d = d, .doc = doc, .choice = (unsigned)index, .state = state_of(d, (unsigned)index)};
    if (x.state == NULL)
        return false;
    s->choices_n = MAX_OF(s->choices_n, x.choice + 1);
    if (x.state->finished)
        return true;
    uint32_t m = json_get(doc, node, SLICE("delta"));
    if (m == 0)
        m = json_get(doc, node, SLICE("message"));
    if (!read_message(&x, m))
        return false;
    add_text(&x, PART_TEXT, json_get(doc, node, SLICE("text"))); /* legacy completions */
    read_logprobs(&x, json_get(doc, node, SLICE("logprobs")));
    finish(&x, json_get(doc, node, SLICE("finish_reason")));
    return true;
}

static bool prepare(struct llm_decoder *d)
{
    if (d->state == NULL)
        d->state = arena_zalloc(d->arena, sizeof(struct openai_state));
    return d->state != NULL;
}

/* What events and whole answers have in common. */
static bool decode(struct llm_decoder *d, const struct json_doc *doc)
{
    struct llm_scan scan;
    if (!prepare(d) || !openai_scan_doc(doc, d->arena, d->provider, &scan))
        return false;
    if (scan.is_error) {
        llm_emit_error(d, 0, &scan.error);
        return true;
    }
    if (scan.has_usage)
        llm_usage_merge(&d->usage, &scan.usage);
    uint32_t choices = json_get(doc, 0, SLICE("choices")), id = json_get(doc, 0, SLICE("id"));
    if (choices == 0 || json_type_at(doc, choices) != JSON_ARRAY ||
        json_first(doc, choices) == json_end(doc, choices))
        return true; /* usage, or what Azure says of the prompt */
    if (!d->started) {
        uint32_t model = json_get(doc, 0, SLICE("model"));
        struct slice i = id != 0 && json_type_at(doc, id) == JSON_STRING
                             ? json_string(doc, id, d->arena)
                             : SLICE_NONE;
        struct slice m = model != 0 && json_type_at(doc, model) == JSON_STRING
                             ? json_string(doc, model, d->arena)
                             : SLICE_NONE;
        llm_emit_start(d, i, m);
    }
    for (uint32_t c = json_first(doc, choices); c < json_end(doc, choices);
         c = json_after(doc, c)) {
        if (!read_choice(d, doc, c))
            return false;
    }
    return true;
}

/* All choices that were begun have finished, and there is one. */
static bool all_finished(const struct llm_decoder *d)
{
    const struct openai_state *s = d->state;
    if (s == NULL || s->choices_n == 0 || !s->first.finished)
        return false;
    for (unsigned i = 1; i < s->choices_n; i++) {
        if (!s->others[i - 1].finished)
            return false;
    }
    return true;
}

static bool decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    (void)name;
    if (slice_starts(data, SLICE("[DONE]"))) {
        if (!all_finished(d))
            return false;
        llm_emit_end(d);
        return true;
    }
    return json_parse(d->json, data, JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK &&
           decode(d, &doc);
}

static bool decode_end(struct llm_decoder *d)
{
    return d->ended;
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    if (json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK || !decode(d, &doc))
        return false;
    if (d->ended)
        return true;
    if (!all_finished(d))
        return false;
    llm_emit_end(d);
    return true;
}

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    struct slice path = llm_op_path(op);
    (void)stream;
    if (!(provider->quirks & QUIRK_MODEL_IN_PATH) || path.p == NULL)
        return path;
    struct slice segment = llm_path_segment(a, model);
    return segment.p == NULL
               ? SLICE_NONE
               : arena_printf(a, "/" SLICE_FMT SLICE_FMT, SLICE_ARG(segment), SLICE_ARG(path));
}

const struct llm_wire openai_wire = {
    .name = "openai",
    .family = FAMILY_OPENAI,
    .framing = FRAMING_SSE,
    .path = path,
    .write_chat = openai_write_chat,
    .decode_event = decode_event,
    .decode_end = decode_end,
    .decode_answer = decode_answer,
    .read_error = openai_read_error,
};
