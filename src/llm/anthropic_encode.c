/* Anthropic's Messages as a client dialect: streams, whole answers and errors from neutral events.
 * Events come one part at a time (`sequential`). Sources: the types of PyPI anthropic 2.12.0
 * (RawMessageStreamEvent, Message, Usage); its stream reader passes over events without a name. */
#include "anthropic_internal.h"
#include "llm/sse.h"

/* A stream under way. */
struct anthropic_stream {
    enum { CLOSED, PENDING, OPEN, SKIPPED } block; /* PENDING: its start waits for what it is */
    enum llm_part_kind kind;
    unsigned index; /* of the open block, and the number of those before it */
    bool calls;     /* some tool was called */
    bool finished;
    enum llm_finish finish;
    struct slice stop_sequence;
    struct llm_text refusal;
};

static void open_event(struct buf *b, const char *name)
{
    buf_lit(b, "event: ");
    buf_slice(b, slice_str(name));
    buf_lit(b, "\ndata: ");
}

static void close_event(struct buf *b)
{
    buf_lit(b, "\n\n");
}

static struct json_writer begin(struct buf *b, const char *type)
{
    open_event(b, type);
    struct json_writer w = json_writer(b);
    jw_open(&w, '{');
    jw_field_string(&w, "type", slice_str(type));
    return w;
}

static void end(struct json_writer *w)
{
    jw_close(w, '}');
    close_event(w->b);
}

static void put_count(struct json_writer *w, const char *key, int64_t v)
{
    jw_key_slice(w, slice_str(key));
    if (v >= 0)
        jw_i64(w, v);
    else
        jw_null(w);
}

/* On Anthropic's basis: input without what came from or went to the cache. The type has numbers for
 * input and output; what is not known is 0 there, and null where null may be. */
static void put_usage(struct json_writer *w, const struct llm_usage *u)
{
    int64_t cached = MAX_OF(u->cached, (int64_t)0), written = MAX_OF(u->cache_write, (int64_t)0);
    jw_key(w, "usage");
    jw_open(w, '{');
    jw_field_i64(w, "input_tokens", MAX_OF(u->input - cached - written, (int64_t)0));
    put_count(w, "cache_creation_input_tokens", u->cache_write);
    put_count(w, "cache_read_input_tokens", u->cached);
    jw_field_i64(w, "output_tokens", MAX_OF(u->output, (int64_t)0));
    if (u->reasoning >= 0) {
        jw_key(w, "output_tokens_details");
        jw_open(w, '{');
        jw_field_i64(w, "thinking_tokens", u->reasoning);
        jw_close(w, '}');
    }
    jw_close(w, '}');
}

static void put_word_or_null(struct json_writer *w, struct slice s)
{
    if (s.p != NULL)
        jw_string(w, s);
    else
        jw_null(w);
}

static void put_stop(struct json_writer *w, enum llm_finish finish, bool calls,
                     struct slice stop_sequence, struct llm_text refusal)
{
    static const struct slice reasons[] = {
        [FINISH_STOP] = LITERAL("end_turn"),          [FINISH_LENGTH] = LITERAL("max_tokens"),
        [FINISH_TOOLS] = LITERAL("tool_use"),         [FINISH_FILTER] = LITERAL("refusal"),
        [FINISH_SEQUENCE] = LITERAL("stop_sequence"), [FINISH_PAUSE] = LITERAL("pause_turn")};
    if (finish == FINISH_STOP && calls) /* not every provider says so */
        finish = FINISH_TOOLS;
    jw_field_string(w, "stop_reason", reasons[finish]);
    jw_key(w, "stop_sequence");
    put_word_or_null(w, stop_sequence);
    if (finish != FINISH_FILTER)
        return;
    jw_key(w, "stop_details");
    jw_open(w, '{');
    jw_field_string(w, "type", SLICE("refusal"));
    jw_key(w, "category");
    jw_null(w);
    jw_key(w, "explanation");
    if (refusal.inner.p != NULL)
        jw_text(w, refusal);
    else
        jw_null(w);
    jw_close(w, '}');
}

static void put_head(struct json_writer *w, struct slice id, struct slice model)
{
    jw_field_string(w, "id", id);
    jw_field_string(w, "type", SLICE("message"));
    jw_field_string(w, "role", SLICE("assistant"));
    jw_field_string(w, "model", model);
}

static void put_start(struct llm_encoder *e, const struct llm_event *event)
{
    struct json_writer w = begin(e->out, "message_start");
    jw_key(&w, "message");
    jw_open(&w, '{');
    put_head(&w, event->id.n > 0 ? event->id : e->id, event->model);
    jw_key(&w, "content");
    jw_raw(&w, SLICE("[]"));
    jw_key(&w, "stop_reason");
    jw_null(&w);
    jw_key(&w, "stop_sequence");
    jw_null(&w);
    put_usage(&w, e->usage);
    jw_close(&w, '}');
    end(&w);
}

/* `"index":N,"KEY":{`, which `end_block_event` closes. */
static struct json_writer begin_block_event(struct llm_encoder *e, const char *type,
                                            const char *key)
{
    const struct anthropic_stream *s = e->state;
    struct json_writer w = begin(e->out, type);
    jw_field_i64(&w, "index", s->index);
    jw_key_slice(&w, slice_str(key));
    return w;
}

static void put_block_start(struct llm_encoder *e, const struct llm_event *event)
{
    struct anthropic_stream *s = e->state;
    struct json_writer w = begin_block_event(e, "content_block_start", "content_block");
    s->block = OPEN;
    switch (s->kind) {
    case PART_TOOL_CALL:
        s->calls = true;
        jw_open(&w, '{');
        jw_field_string(&w, "type", SLICE("tool_use"));
        jw_field_string(&w, "id", event->id);
        jw_field_string(&w, "name", event->name);
        jw_key(&w, "input");
        jw_raw(&w, SLICE("{}"));
        jw_close(&w, '}');
        break;
    case PART_REASONING:
        jw_raw(&w, SLICE("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
        break;
    case PART_NATIVE: jw_raw_line(&w, event->json); break;
    default: jw_raw(&w, SLICE("{\"type\":\"text\",\"text\":\"\"}")); break;
    }
    end(&w);
}

/* Blocks that only other families know have no form here. */
static void begin_part(struct llm_encoder *e, const struct llm_event *event)
{
    struct anthropic_stream *s = e->state;
    s->kind = event->part_kind;
    s->block = SKIPPED;
    if (s->kind == PART_REASONING)
        s->block = PENDING;
    else if (s->kind == PART_TEXT || s->kind == PART_REFUSAL || s->kind == PART_TOOL_CALL ||
             (s->kind == PART_NATIVE && event->family == FAMILY_ANTHROPIC && event->json.n > 0))
        put_block_start(e, event);
}

/* The event of nearly every token. */
static void put_delta(struct llm_encoder *e, const struct llm_event *event)
{
    static const struct slice heads[] = {
        [PART_TEXT] = LITERAL(",\"delta\":{\"type\":\"text_delta\",\"text\":\""),
        [PART_REFUSAL] = LITERAL(",\"delta\":{\"type\":\"text_delta\",\"text\":\""),
        [PART_REASONING] = LITERAL(",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""),
        [PART_TOOL_CALL] = LITERAL(",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\""),
        [PART_NATIVE] = LITERAL(",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\""),
    };
    struct anthropic_stream *s = e->state;
    struct buf *b = e->out;
    if (s->block == PENDING)
        put_block_start(e, event);
    if (s->block != OPEN)
        return;
    buf_lit(b, "event: content_block_delta\n"
               "data: {\"type\":\"content_block_delta\",\"index\":");
    buf_i64(b, s->index);
    buf_slice(b, heads[s->kind]);
    buf_slice(b, event->text.inner);
    buf_lit(b, "\"}}\n\n");
}

static void put_signature(struct llm_encoder *e, const struct llm_event *event)
{
    struct anthropic_stream *s = e->state;
    struct slice signature =
        llm_signature_mark(e->arena, event->signature, event->family, FAMILY_ANTHROPIC);
    if (signature.p == NULL) {
        e->out->failed = true;
        return;
    }
    if (s->block == PENDING && event->redacted) {
        struct json_writer w = begin_block_event(e, "content_block_start", "content_block");
        jw_open(&w, '{');
        jw_field_string(&w, "type", SLICE("redacted_thinking"));
        jw_field_string(&w, "data", signature);
        jw_close(&w, '}');
        end(&w);
        s->block = OPEN;
        return;
    }
    if (s->block == PENDING)
        put_block_start(e, event);
    if (s->block != OPEN || s->kind != PART_REASONING)
        return;
    struct json_writer w = begin_block_event(e, "content_block_delta", "delta");
    jw_open(&w, '{');
    jw_field_string(&w, "type", SLICE("signature_delta"));
    jw_field_string(&w, "signature", signature);
    jw_close(&w, '}');
    end(&w);
}

static void put_text_or(struct json_writer *w, struct llm_text t, struct slice json)
{
    if (t.inner.p != NULL)
        jw_text(w, t);
    else
        jw_raw(w, json);
}

/* Anthropic's own as it came; of other families, those of web pages, and those of documents by the
 * characters, as far as they are known. */
static bool put_citation_value(struct json_writer *w, const struct llm_citation *c)
{
    if (c->family == FAMILY_ANTHROPIC && c->own_json.n > 0) {
        jw_raw_line(w, c->own_json);
        return true;
    }
    if (c->url.n == 0 && c->document < 0)
        return false;
    jw_open(w, '{');
    jw_field_string(w, "type",
                    c->url.n > 0 ? SLICE("web_search_result_location") : SLICE("char_location"));
    jw_key(w, "cited_text");
    put_text_or(w, c->cited, SLICE("\"\""));
    if (c->url.n > 0) {
        jw_field_string(w, "url", c->url);
        jw_key(w, "title");
        put_text_or(w, c->title, SLICE("null"));
        jw_field_string(w, "encrypted_index", SLICE(""));
    } else {
        jw_field_i64(w, "document_index", c->document);
        jw_key(w, "document_title");
        put_text_or(w, c->title, SLICE("null"));
        jw_field_i64(w, "start_char_index", MAX_OF(c->start, (int64_t)0));
        jw_field_i64(w, "end_char_index", MAX_OF(c->end, (int64_t)0));
    }
    jw_close(w, '}');
    return true;
}

static void put_citation(struct llm_encoder *e, const struct llm_event *event)
{
    const struct anthropic_stream *s = e->state;
    if (s->block != OPEN || s->kind != PART_TEXT)
        return;
    size_t before = e->out->n;
    struct json_writer w = begin_block_event(e, "content_block_delta", "delta");
    jw_open(&w, '{');
    jw_field_string(&w, "type", SLICE("citations_delta"));
    jw_key(&w, "citation");
    if (!put_citation_value(&w, event->citation)) {
        e->out->n = before;
        return;
    }
    jw_close(&w, '}');
    end(&w);
}

static void end_part(struct llm_encoder *e)
{
    struct anthropic_stream *s = e->state;
    if (s->block == OPEN) {
        struct json_writer w = begin(e->out, "content_block_stop");
        jw_field_i64(&w, "index", s->index);
        end(&w);
        s->index++;
    }
    s->block = CLOSED;
}

static void keep_finish(struct llm_encoder *e, const struct llm_event *event)
{
    struct anthropic_stream *s = e->state;
    s->finished = true;
    s->finish = event->finish;
    if (event->stop_sequence.p != NULL)
        s->stop_sequence = arena_copy(e->arena, event->stop_sequence);
    if (event->text.inner.p != NULL)
        s->refusal.inner = arena_copy(e->arena, event->text.inner);
}

static void put_end(struct llm_encoder *e)
{
    const struct anthropic_stream *s = e->state;
    struct json_writer w = begin(e->out, "message_delta");
    jw_key(&w, "delta");
    jw_open(&w, '{');
    put_stop(&w, s->finish, s->calls, s->stop_sequence, s->refusal);
    jw_close(&w, '}');
    put_usage(&w, e->usage);
    end(&w);
    w = begin(e->out, "message_stop");
    end(&w);
}

static void put_error(struct buf *out, unsigned status, const struct llm_error *error,
                      struct slice request_id)
{
    struct json_writer w = json_writer(out);
    bool own = error->type.n > 0 && anthropic_error_status(error->type) != 0;
    jw_open(&w, '{');
    jw_field_string(&w, "type", SLICE("error"));
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_field_string(&w, "type", own ? error->type : anthropic_error_type(status));
    jw_field_string(&w, "message", error->message);
    jw_close(&w, '}');
    if (request_id.n > 0)
        jw_field_string(&w, "request_id", request_id);
    jw_close(&w, '}');
}

static void put_error_event(struct buf *out, unsigned status, const struct llm_error *error,
                            struct slice request_id)
{
    open_event(out, "error");
    put_error(out, status != 0 ? status : 500, error, request_id);
    close_event(out);
}

static void encode(struct llm_encoder *e, const struct llm_event *event)
{
    if (e->state == NULL && (e->state = arena_new(e->arena, struct anthropic_stream)) == NULL) {
        e->out->failed = true;
        return;
    }
    if (event->choice > 0) /* there is only one answer here */
        return;
    switch (event->kind) {
    case EVENT_START: put_start(e, event); break;
    case EVENT_PART: begin_part(e, event); break;
    case EVENT_DELTA: put_delta(e, event); break;
    case EVENT_SIGNATURE: put_signature(e, event); break;
    case EVENT_CITATION: put_citation(e, event); break;
    case EVENT_PART_END: end_part(e); break;
    case EVENT_FINISH: keep_finish(e, event); break;
    case EVENT_END: put_end(e); break;
    case EVENT_ERROR: put_error_event(e->out, event->status, event->error, SLICE_NONE); break;
    case EVENT_PING: buf_lit(e->out, "event: ping\ndata: {\"type\": \"ping\"}\n\n"); break;
    case EVENT_LOGPROBS: break; /* nobody can have asked */
    }
}

static void put_citations(struct json_writer *w, const struct llm_choice *c, unsigned part)
{
    bool any = false;
    for (const struct llm_cited *i = c->citations; i != NULL; i = i->next) {
        if (i->part != part)
            continue;
        if (!any) {
            jw_key(w, "citations");
            jw_open(w, '[');
            any = true;
        }
        put_citation_value(w, &i->citation);
    }
    if (any)
        jw_close(w, ']');
}

/* Reasoning of which nothing can be said leaves no block behind. */
static bool put_reasoning(struct llm_encoder *e, struct json_writer *w, const struct llm_part *p)
{
    struct slice signature = SLICE("");
    if (p->signature.n > 0)
        signature = llm_signature_mark(e->arena, p->signature, p->family, FAMILY_ANTHROPIC);
    if (signature.p == NULL) {
        e->out->failed = true;
        return true;
    }
    if (p->text.inner.n == 0 && signature.n == 0)
        return true;
    bool redacted = p->redacted && p->text.inner.n == 0;
    jw_open(w, '{');
    jw_field_string(w, "type", redacted ? SLICE("redacted_thinking") : SLICE("thinking"));
    if (redacted) {
        jw_field_string(w, "data", signature);
    } else {
        jw_field_text(w, "thinking", p->text);
        jw_field_string(w, "signature", signature);
    }
    jw_close(w, '}');
    return true;
}

/* False: the call's arguments are no object. */
static bool put_call(struct llm_encoder *e, struct json_writer *w, const struct llm_part *p)
{
    struct slice input = p->custom ? SLICE_NONE : llm_call_object(e->json, e->arena, p);
    if (input.p == NULL)
        return false;
    jw_open(w, '{');
    jw_field_string(w, "type", SLICE("tool_use"));
    jw_field_string(w, "id", p->id);
    jw_field_string(w, "name", p->name);
    jw_key(w, "input");
    jw_raw(w, input);
    jw_close(w, '}');
    return true;
}

static bool put_block(struct llm_encoder *e, struct json_writer *w, const struct llm_choice *c,
                      const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        jw_open(w, '{');
        jw_field_string(w, "type", SLICE("text"));
        jw_field_text(w, "text", p->text);
        put_citations(w, c, p->at);
        jw_close(w, '}');
        return true;
    case PART_REASONING: return put_reasoning(e, w, p);
    case PART_TOOL_CALL: return put_call(e, w, p);
    case PART_NATIVE:
        if (p->family == FAMILY_ANTHROPIC && p->native_json.n > 0)
            jw_raw(w, p->native_json);
        return true;
    default: return true;
    }
}

/* The blocks. False: some call's arguments are no object. */
static bool put_content(struct llm_encoder *e, struct json_writer *w, const struct llm_choice *c,
                        bool *ret_calls)
{
    *ret_calls = false;
    jw_key(w, "content");
    jw_open(w, '[');
    for (const struct llm_part *p = c != NULL ? c->parts : NULL; p != NULL; p = p->next) {
        *ret_calls |= p->kind == PART_TOOL_CALL;
        if (!put_block(e, w, c, p))
            return false;
    }
    jw_close(w, ']');
    return true;
}

static void write_answer(struct llm_encoder *e, const struct llm_answer *answer)
{
    const struct llm_choice *c = answer->choices;
    struct json_writer w = json_writer(e->out);
    bool calls;
    jw_open(&w, '{');
    put_head(&w, answer->id.n > 0 ? answer->id : e->id, answer->model);
    if (!put_content(e, &w, c, &calls)) {
        e->bad = true;
        return;
    }
    put_stop(&w, c != NULL ? c->finish : FINISH_STOP, calls,
             c != NULL ? c->stop_sequence : SLICE_NONE, c != NULL ? c->refusal : LLM_NO_TEXT);
    put_usage(&w, &answer->usage);
    jw_close(&w, '}');
}

const struct llm_dialect anthropic_dialect = {
    .id = DIALECT_ANTHROPIC,
    .name = "anthropic",
    .family = FAMILY_ANTHROPIC,
    .wire = &anthropic_wire,
    .read_request = anthropic_read_request,
    .read_chat = anthropic_read_chat,
    .sequential = true,
    .stream_type = LITERAL("text/event-stream; charset=utf-8"),
    .keep_alive = LITERAL("event: ping\ndata: {\"type\": \"ping\"}\n\n"),
    .encode = encode,
    .write_answer = write_answer,
    .put_error = put_error,
    .put_error_event = put_error_event,
};
