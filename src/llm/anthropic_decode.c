/* Anthropic's Messages as a provider's wire: its streams and answers as neutral events. Sources:
 * the types of the official SDK (PyPI anthropic 2.12.0: RawMessageStreamEvent, Message, Usage,
 * MessageDeltaUsage, StopReason, TextCitation, ErrorType) and platform.claude.com on streaming. */
#include "anthropic_internal.h"

#define TOKENS_MAX ((int64_t)1 << 48) /* larger figures are nonsense, and would overflow prices */

/* One answer under way. Blocks come one behind the other; `index` is the wire's number of the one
 * that is open, `part` ours. */
struct anthropic_state {
    bool open, finished;
    enum llm_part_kind kind;
    bool fragments; /* of a call's arguments have come */
    int64_t index;
    unsigned part, parts;
    struct llm_text input; /* that the call's start gave, for want of fragments */
    /* As the wire counts: input without what was read from or written to the cache; -1 unknown. */
    int64_t fresh, cached, cache_write;
};

/* What is being read of one event or answer. */
struct piece {
    struct llm_decoder *d;
    const struct json_doc *doc;
    struct anthropic_state *s;
};

/* The member's value if it has this type, else 0. */
static uint32_t get(const struct piece *x, uint32_t object, const char *key, enum json_type type)
{
    uint32_t node = json_get(x->doc, object, slice_str(key));
    return node != 0 && json_type_at(x->doc, node) == type ? node : 0;
}

/* Absent texts stay absent. */
static struct llm_text text_at(const struct piece *x, uint32_t object, const char *key)
{
    uint32_t node = get(x, object, key, JSON_STRING);
    return node != 0 ? llm_text_at(x->doc, node) : LLM_NO_TEXT;
}

static struct slice word_at(const struct piece *x, uint32_t object, const char *key)
{
    uint32_t node = get(x, object, key, JSON_STRING);
    return node != 0 ? json_string(x->doc, node, x->d->arena) : SLICE_NONE;
}

static int64_t integer_at(const struct piece *x, uint32_t object, const char *key)
{
    int64_t v;
    uint32_t node = get(x, object, key, JSON_NUMBER);
    return node != 0 && json_i64(x->doc, node, &v) && v >= 0 && v <= TOKENS_MAX ? v : -1;
}

static void take_count(const struct piece *x, uint32_t object, const char *key, int64_t *into)
{
    int64_t v = integer_at(x, object, key);
    if (v >= 0)
        *into = v;
}

/* Later figures replace earlier ones, null ones do not. The output that a stream's start names is
 * that of a first token, not a count, and is passed over: until the end says how much it was, the
 * output is unknown rather than one. */
static void read_usage(struct piece *x, uint32_t usage, bool is_start)
{
    struct anthropic_state *s = x->s;
    struct llm_usage *u = &x->d->usage;
    if (usage == 0)
        return;
    take_count(x, usage, "input_tokens", &s->fresh);
    take_count(x, usage, "cache_read_input_tokens", &s->cached);
    uint32_t written = get(x, usage, "cache_creation", JSON_OBJECT);
    if (written != 0) {
        int64_t short_lived = integer_at(x, written, "ephemeral_5m_input_tokens");
        int64_t long_lived = integer_at(x, written, "ephemeral_1h_input_tokens");
        if (short_lived >= 0 || long_lived >= 0)
            s->cache_write = MAX_OF(short_lived, (int64_t)0) + MAX_OF(long_lived, (int64_t)0);
    }
    take_count(x, usage, "cache_creation_input_tokens", &s->cache_write);
    u->cached = s->cached;
    u->cache_write = s->cache_write;
    int64_t input = s->fresh + MAX_OF(s->cached, (int64_t)0) + MAX_OF(s->cache_write, (int64_t)0);
    if (s->fresh >= 0 && input <= TOKENS_MAX)
        u->input = input;
    if (is_start)
        return;
    take_count(x, usage, "output_tokens", &u->output);
    uint32_t details = get(x, usage, "output_tokens_details", JSON_OBJECT);
    if (details != 0)
        take_count(x, details, "thinking_tokens", &u->reasoning);
}

/* Texts with nothing in them are no event. */
static void put_delta(struct piece *x, struct llm_text text)
{
    if (text.inner.n > 0)
        llm_emit_delta(x->d, 0, x->s->part, text);
}

static void put_citation(struct piece *x, uint32_t node)
{
    struct llm_citation c = {.url = word_at(x, node, "url"),
                             .title = text_at(x, node, "document_title"),
                             .cited = text_at(x, node, "cited_text"),
                             .start = -1, /* a citation is of the whole text it comes with */
                             .end = -1,
                             .document = integer_at(x, node, "document_index"),
                             .own_json = json_raw(x->doc, node),
                             .family = FAMILY_ANTHROPIC};
    struct slice source = word_at(x, node, "source");
    if (c.url.p == NULL && slice_starts(source, SLICE("http")))
        c.url = source;
    if (c.title.inner.p == NULL)
        c.title = text_at(x, node, "title");
    if (c.document < 0)
        c.document = integer_at(x, node, "search_result_index");
    struct llm_event e = {.kind = EVENT_CITATION, .part = x->s->part, .citation = &c};
    if (!x->d->ended)
        x->d->emit(x->d->ctx, &e);
}

static void put_citations(struct piece *x, uint32_t block)
{
    uint32_t list = get(x, block, "citations", JSON_ARRAY);
    if (list == 0)
        return;
    for (uint32_t i = json_first(x->doc, list); i < json_end(x->doc, list);
         i = json_after(x->doc, i)) {
        if (json_type_at(x->doc, i) == JSON_OBJECT)
            put_citation(x, i);
    }
}

/* The kinds of blocks; whatever else comes is Anthropic's own. */
static enum llm_part_kind kind_of(const struct json_doc *doc, uint32_t type)
{
    static const struct {
        struct slice type;
        enum llm_part_kind kind;
    } rows[] = {
        {LITERAL("text"), PART_TEXT},
        {LITERAL("tool_use"), PART_TOOL_CALL},
        {LITERAL("thinking"), PART_REASONING},
        {LITERAL("redacted_thinking"), PART_REASONING},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (json_string_is(doc, type, rows[i].type))
            return rows[i].kind;
    }
    return PART_NATIVE;
}

static void put_native(struct piece *x, uint32_t block)
{
    struct llm_event e = {.kind = EVENT_PART,
                          .part = x->s->part,
                          .part_kind = PART_NATIVE,
                          .family = FAMILY_ANTHROPIC,
                          .json = json_raw(x->doc, block)};
    if (!x->d->ended)
        x->d->emit(x->d->ctx, &e);
}

/* A call's input stands whole in whole answers; in streams fragments follow. False: no memory, or
 * no object. */
static bool begin_call(struct piece *x, uint32_t block)
{
    uint32_t input = json_get(x->doc, block, SLICE("input"));
    struct slice id = word_at(x, block, "id"), name = word_at(x, block, "name");
    if (id.p == NULL || name.p == NULL)
        return false;
    x->s->input = LLM_NO_TEXT;
    if (input != 0 && json_type_at(x->doc, input) == JSON_OBJECT &&
        json_first(x->doc, input) < json_end(x->doc, input)) {
        struct slice raw = arena_copy(x->d->arena, json_raw(x->doc, input));
        x->s->input = raw.p != NULL ? llm_text_of(x->d->arena, raw) : LLM_NO_TEXT;
        if (x->s->input.inner.p == NULL)
            return false;
    } else if (input != 0 && json_type_at(x->doc, input) != JSON_OBJECT &&
               json_type_at(x->doc, input) != JSON_NULL) {
        return false;
    }
    llm_emit_part(x->d, 0, x->s->part, PART_TOOL_CALL, id, name);
    return true;
}

static void begin_reasoning(struct piece *x, uint32_t block)
{
    struct slice data = word_at(x, block, "data"), signature = word_at(x, block, "signature");
    llm_emit_part(x->d, 0, x->s->part, PART_REASONING, SLICE_NONE, SLICE_NONE);
    put_delta(x, text_at(x, block, "thinking"));
    if (data.n > 0)
        llm_emit_signature(x->d, 0, x->s->part, data, true);
    else if (signature.n > 0)
        llm_emit_signature(x->d, 0, x->s->part, signature, false);
}

static void close_block(struct piece *x)
{
    struct anthropic_state *s = x->s;
    if (!s->open)
        return;
    if (s->kind == PART_TOOL_CALL && !s->fragments)
        put_delta(x, s->input.inner.p != NULL ? s->input : (struct llm_text){SLICE("{}")});
    s->open = false;
    llm_emit_part_end(x->d, 0, s->part);
}

static bool open_block(struct piece *x, uint32_t block, int64_t index)
{
    struct anthropic_state *s = x->s;
    uint32_t type = get(x, block, "type", JSON_STRING);
    if (type == 0)
        return false;
    close_block(x);
    s->open = true;
    s->index = index;
    s->part = s->parts++;
    s->kind = kind_of(x->doc, type);
    s->fragments = false;
    switch (s->kind) {
    case PART_TEXT:
        llm_emit_part(x->d, 0, s->part, PART_TEXT, SLICE_NONE, SLICE_NONE);
        put_delta(x, text_at(x, block, "text"));
        put_citations(x, block);
        return true;
    case PART_TOOL_CALL: return begin_call(x, block);
    case PART_REASONING: begin_reasoning(x, block); return true;
    default: put_native(x, block); return true;
    }
}

static bool read_start(struct piece *x)
{
    uint32_t message = get(x, 0, "message", JSON_OBJECT);
    if (message == 0 || x->d->started)
        return false;
    read_usage(x, get(x, message, "usage", JSON_OBJECT), true);
    llm_emit_start(x->d, word_at(x, message, "id"), word_at(x, message, "model"));
    return true;
}

static bool read_block_start(struct piece *x)
{
    uint32_t block = get(x, 0, "content_block", JSON_OBJECT);
    int64_t index = integer_at(x, 0, "index");
    return x->d->started && !x->s->finished && block != 0 && index >= 0 &&
           open_block(x, block, index);
}

/* A signature, a citation, or something new. */
static bool read_other_delta(struct piece *x, uint32_t delta, uint32_t type)
{
    if (json_string_is(x->doc, type, SLICE("signature_delta"))) {
        struct slice signature = word_at(x, delta, "signature");
        if (x->s->kind == PART_REASONING && signature.n > 0)
            llm_emit_signature(x->d, 0, x->s->part, signature, false);
        return x->s->kind == PART_REASONING;
    }
    uint32_t citation = get(x, delta, "citation", JSON_OBJECT);
    if (citation != 0 && x->s->kind == PART_TEXT)
        put_citation(x, citation);
    return true;
}

/* Deltas that do not belong to the block's kind are the peer's mistake. */
static bool read_delta(struct piece *x, uint32_t delta)
{
    static const struct {
        struct slice type;
        const char *text;
        enum llm_part_kind kind;
    } rows[] = {
        {LITERAL("text_delta"), "text", PART_TEXT},
        {LITERAL("input_json_delta"), "partial_json", PART_TOOL_CALL},
        {LITERAL("thinking_delta"), "thinking", PART_REASONING},
    };
    uint32_t type = get(x, delta, "type", JSON_STRING);
    if (type == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!json_string_is(x->doc, type, rows[i].type))
            continue;
        if (x->s->kind != rows[i].kind && x->s->kind != PART_NATIVE)
            return false;
        struct llm_text text = text_at(x, delta, rows[i].text);
        x->s->fragments |= text.inner.n > 0;
        put_delta(x, text);
        return true;
    }
    return read_other_delta(x, delta, type);
}

static bool read_block_delta(struct piece *x)
{
    uint32_t delta = get(x, 0, "delta", JSON_OBJECT);
    return delta != 0 && x->s->open && integer_at(x, 0, "index") == x->s->index &&
           read_delta(x, delta);
}

static bool read_block_stop(struct piece *x)
{
    if (!x->s->open || integer_at(x, 0, "index") != x->s->index)
        return false;
    close_block(x);
    return true;
}

static enum llm_finish finish_of(struct slice reason)
{
    static const struct {
        const char *reason;
        enum llm_finish finish;
    } rows[] = {
        {"end_turn", FINISH_STOP},
        {"max_tokens", FINISH_LENGTH},
        {"stop_sequence", FINISH_SEQUENCE},
        {"tool_use", FINISH_TOOLS},
        {"pause_turn", FINISH_PAUSE},
        {"refusal", FINISH_FILTER},
        {"model_context_window_exceeded", FINISH_LENGTH},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(reason, rows[i].reason))
            return rows[i].finish;
    }
    return FINISH_STOP;
}

/* `from` is a message_delta's delta or a whole message. */
static void finish(struct piece *x, uint32_t from)
{
    struct slice reason = word_at(x, from, "stop_reason");
    if (reason.n == 0 || x->s->finished)
        return;
    uint32_t details = get(x, from, "stop_details", JSON_OBJECT);
    close_block(x);
    x->s->finished = true;
    llm_emit_finish(x->d, 0, finish_of(reason), word_at(x, from, "stop_sequence"),
                    details != 0 ? text_at(x, details, "explanation") : LLM_NO_TEXT);
}

static bool read_message_delta(struct piece *x)
{
    uint32_t delta = get(x, 0, "delta", JSON_OBJECT);
    if (!x->d->started)
        return false;
    read_usage(x, get(x, 0, "usage", JSON_OBJECT), false);
    if (delta != 0)
        finish(x, delta);
    return true;
}

static bool read_message_stop(struct piece *x)
{
    if (!x->s->finished)
        return false;
    llm_emit_end(x->d);
    return true;
}

static bool read_ping(struct piece *x)
{
    struct llm_event e = {.kind = EVENT_PING};
    if (!x->d->ended)
        x->d->emit(x->d->ctx, &e);
    return true;
}

/* What llm_error_of does not look for: error.details.error_code. */
static void add_code(const struct json_doc *doc, struct arena *a, struct llm_error *e)
{
    uint32_t node = json_type_at(doc, 0) == JSON_OBJECT ? json_get(doc, 0, SLICE("error")) : 0;
    static const char *const keys[] = {"details", "error_code"};
    for (size_t i = 0; i < ARRAY_LEN(keys) && node != 0; i++)
        node = json_type_at(doc, node) == JSON_OBJECT ? json_get(doc, node, slice_str(keys[i])) : 0;
    if (e->code.p == NULL && node != 0 && json_type_at(doc, node) == JSON_STRING)
        e->code = json_string(doc, node, a);
}

static bool read_error_event(struct piece *x)
{
    struct llm_error e;
    llm_error_of(x->doc, x->d->arena, &e);
    add_code(x->doc, x->d->arena, &e);
    llm_emit_error(x->d, anthropic_error_status(e.type), &e);
    return true;
}

/* The root's type, or where it has none what it looks like. */
static struct slice type_of(const struct piece *x, struct slice name)
{
    uint32_t type = get(x, 0, "type", JSON_STRING);
    if (type != 0)
        return json_inner(x->doc, type);
    return get(x, 0, "error", JSON_OBJECT) != 0 ? SLICE("error") : name;
}

static bool prepare(struct llm_decoder *d)
{
    if (d->state != NULL)
        return true;
    struct anthropic_state *s = arena_new(d->arena, struct anthropic_state);
    if (s != NULL)
        *s = (struct anthropic_state){.fresh = -1, .cached = -1, .cache_write = -1};
    d->state = s;
    return s != NULL;
}

static bool decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    static const struct {
        const char *type;
        bool (*read)(struct piece *x);
    } rows[] = {
        {"content_block_delta", read_block_delta},
        {"content_block_start", read_block_start},
        {"content_block_stop", read_block_stop},
        {"message_start", read_start},
        {"message_delta", read_message_delta},
        {"message_stop", read_message_stop},
        {"ping", read_ping},
        {"error", read_error_event},
    };
    struct json_doc doc;
    if (d->ended)
        return true;
    if (!prepare(d) || json_parse(d->json, data, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK ||
        json_type_at(&doc, 0) != JSON_OBJECT)
        return false;
    struct piece x = {.d = d, .doc = &doc, .s = d->state};
    struct slice type = type_of(&x, name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(type, rows[i].type))
            return rows[i].read(&x);
    }
    return true;
}

static bool decode_end(struct llm_decoder *d)
{
    return d->ended;
}

static bool read_message(struct piece *x)
{
    uint32_t content = get(x, 0, "content", JSON_ARRAY);
    int64_t index = 0;
    if (content == 0)
        return false;
    llm_emit_start(x->d, word_at(x, 0, "id"), word_at(x, 0, "model"));
    read_usage(x, get(x, 0, "usage", JSON_OBJECT), false);
    for (uint32_t b = json_first(x->doc, content); b < json_end(x->doc, content);
         b = json_after(x->doc, b)) {
        if (json_type_at(x->doc, b) != JSON_OBJECT || !open_block(x, b, index++))
            return false;
        close_block(x);
    }
    finish(x, 0);
    return read_message_stop(x);
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    if (!prepare(d) || json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK ||
        json_type_at(&doc, 0) != JSON_OBJECT)
        return false;
    struct piece x = {.d = d, .doc = &doc, .s = d->state};
    if (slice_is(type_of(&x, SLICE_NONE), "error"))
        return read_error_event(&x);
    return read_message(&x);
}

static void read_error(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret)
{
    struct json_doc doc;
    openai_read_error(p, a, body, ret);
    if (json_parse(p, body, JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK)
        add_code(&doc, a, ret);
}

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    static const struct slice paths[LLM_OPS_N] = {
        [LLM_CHAT] = LITERAL("/messages"),
        [LLM_COUNT_TOKENS] = LITERAL("/messages/count_tokens"),
    };
    if (!(provider->quirks & QUIRK_RAW_PREDICT))
        return paths[op];
    if (op == LLM_COUNT_TOKENS)
        return SLICE("/models/count-tokens:rawPredict");
    struct slice segment = op == LLM_CHAT ? llm_path_segment(a, model) : SLICE_NONE;
    return segment.p == NULL ? SLICE_NONE
                             : arena_printf(a, "/models/" SLICE_FMT ":%s", SLICE_ARG(segment),
                                            stream ? "streamRawPredict" : "rawPredict");
}

const struct llm_wire anthropic_wire = {
    .name = "anthropic",
    .family = FAMILY_ANTHROPIC,
    .framing = FRAMING_SSE,
    .never = LLM_NEEDS_AUDIO | LLM_NEEDS_JSON | LLM_NEEDS_CHOICES,
    .path = path,
    .write_chat = anthropic_write_chat,
    .decode_event = decode_event,
    .decode_end = decode_end,
    .decode_answer = decode_answer,
    .read_error = read_error,
};
