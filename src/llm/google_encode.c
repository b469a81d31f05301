/* Neutral events as Gemini's answers: GenerateContentResponse whole, as server-sent events
 * (alt=sse), or as the elements of one JSON array. A function call is one part with its arguments
 * as an object, so that their text is gathered and checked; how the candidates ended and the usage
 * are in the last frame, behind which there is no mark. Sources: types.py of google-genai 3.4.0
 * (Python SDK); its _api_client.py, to which every line but an empty one is JSON: comments may not
 * be sent.
 */
#include "google_internal.h"

#define GATHERED_MAX                                                                               \
    ((size_t)4 << 20) /* bytes of one call's arguments, or of one text's citations */

/* Text over memory of the arena, used again for each part. */
struct gathered {
    char *p;
    size_t n, size;
};

struct candidate {
    struct candidate *next;
    unsigned index;
    enum llm_part_kind kind;          /* of the part that is open */
    bool bare;                        /* a thought that has no text yet */
    struct slice id, name;            /* of the call */
    struct gathered text;             /* its arguments, as they stand inside a string */
    struct gathered chunks, supports; /* citations of the text */
    unsigned cited;
    struct slice signature; /* for the next part; .p NULL: none */
    bool finished;
    enum llm_finish finish;
    struct llm_text why;
};

struct encode_state {
    struct candidate *candidates; /* in the order in which they came */
    struct slice id, model;
    bool any;  /* a frame was written */
    bool dead; /* an error was */
};

static void gather(struct buf *out, struct gathered *g, struct arena *a, struct slice more)
{
    if (g->n + more.n > GATHERED_MAX) {
        out->failed = true;
        return;
    }
    if (g->n + more.n > g->size) {
        size_t size = MAX_OF((g->n + more.n) * 2, (size_t)256);
        char *grown = arena_alloc(a, size);
        if (grown == NULL) {
            out->failed = true;
            return;
        }
        if (g->n > 0)
            memcpy(grown, g->p, g->n);
        g->p = grown;
        g->size = size;
    }
    if (more.n > 0)
        memcpy(g->p + g->n, more.p, more.n);
    g->n += more.n;
}

static struct slice view(const struct gathered *g)
{
    return slice_of(g->p, g->n);
}

/* ---- What frames and whole answers have in common. */

/* One element of `parts`. */
static void put_text(struct json_writer *j, struct llm_text text, bool thought,
                     struct slice signature)
{
    jw_open(j, '{');
    jw_field_text(j, "text", text);
    if (thought)
        jw_field_bool(j, "thought", true);
    if (signature.n > 0)
        jw_field_string(j, "thoughtSignature", signature);
    jw_close(j, '}');
}

static void put_compact(struct json_writer *j, struct slice json)
{
    jw_before_value(j);
    google_put_compact(j->b, json);
}

static void put_call(struct json_writer *j, struct slice id, struct slice name, struct slice args,
                     struct slice signature)
{
    jw_open(j, '{');
    jw_key(j, "functionCall");
    jw_open(j, '{');
    if (id.n > 0)
        jw_field_string(j, "id", id);
    jw_field_string(j, "name", name);
    jw_key(j, "args");
    put_compact(j, args);
    jw_close(j, '}');
    if (signature.n > 0)
        jw_field_string(j, "thoughtSignature", signature);
    jw_close(j, '}');
}

static void put_chunk(struct json_writer *j, const struct llm_citation *c)
{
    jw_open(j, '{');
    jw_key_slice(j, c->url.n > 0 ? SLICE("web") : SLICE("retrievedContext"));
    jw_open(j, '{');
    if (c->url.n > 0)
        jw_field_string(j, "uri", c->url);
    if (c->title.inner.p != NULL)
        jw_field_text(j, "title", c->title);
    if (c->url.n == 0 && c->cited.inner.p != NULL)
        jw_field_text(j, "text", c->cited);
    jw_close(j, '}');
    jw_close(j, '}');
}

static void put_support(struct json_writer *j, const struct llm_citation *c, unsigned chunk)
{
    jw_open(j, '{');
    jw_key(j, "segment");
    jw_open(j, '{');
    if (c->start >= 0)
        jw_field_i64(j, "startIndex", c->start);
    if (c->end >= 0)
        jw_field_i64(j, "endIndex", c->end);
    if (c->url.n > 0 && c->cited.inner.p != NULL)
        jw_field_text(j, "text", c->cited);
    jw_close(j, '}');
    jw_key(j, "groundingChunkIndices");
    jw_open(j, '[');
    jw_i64(j, chunk);
    jw_close(j, ']');
    jw_close(j, '}');
}

/* {"token":..,"logprob":..} of OpenAI's as a candidate of Google's. */
static void put_token(struct json_writer *j, const struct json_doc *d, uint32_t entry)
{
    uint32_t p = google_in(d, entry, "logprob");
    struct llm_text token = google_text(d, entry, "token");
    jw_open(j, '{');
    if (token.inner.p != NULL)
        jw_field_text(j, "token", token);
    if (p != 0) {
        jw_key(j, "logProbability");
        jw_raw(j, json_raw(d, p));
    }
    jw_close(j, '}');
}

static void put_tops(struct json_writer *j, const struct json_doc *d, uint32_t entry)
{
    uint32_t list = google_in(d, entry, "top_logprobs");
    jw_open(j, '{');
    jw_key(j, "candidates");
    jw_open(j, '[');
    if (list != 0 && json_type_at(d, list) == JSON_ARRAY) {
        for (uint32_t i = json_first(d, list); i < json_end(d, list); i = json_after(d, i))
            put_token(j, d, i);
    }
    jw_close(j, ']');
    jw_close(j, '}');
}

/* The member logprobsResult from OpenAI's entries without their brackets. */
static void put_logprobs(struct llm_encoder *e, struct json_writer *j, struct slice entries)
{
    struct json_doc d;
    char *text = arena_alloc(e->arena, entries.n + 2);
    if (text == NULL) {
        e->out->failed = true;
        return;
    }
    text[0] = '[';
    memcpy(text + 1, entries.p, entries.n);
    text[entries.n + 1] = ']';
    if (json_parse(e->json, slice_of(text, entries.n + 2), JSON_ALLOW_LONE_SURROGATES, &d) !=
        JSON_OK)
        return;
    jw_key(j, "logprobsResult");
    jw_open(j, '{');
    jw_key(j, "chosenCandidates");
    jw_open(j, '[');
    for (uint32_t i = json_first(&d, 0); i < json_end(&d, 0); i = json_after(&d, i))
        put_token(j, &d, i);
    jw_close(j, ']');
    jw_key(j, "topCandidates");
    jw_open(j, '[');
    for (uint32_t i = json_first(&d, 0); i < json_end(&d, 0); i = json_after(&d, i))
        put_tops(j, &d, i);
    jw_close(j, ']');
    jw_close(j, '}');
}

static void put_finish(struct json_writer *j, enum llm_finish f, struct llm_text why)
{
    static const struct slice reasons[] = {
        [FINISH_STOP] = {"STOP", 4},     [FINISH_LENGTH] = {"MAX_TOKENS", 10},
        [FINISH_TOOLS] = {"STOP", 4},    [FINISH_FILTER] = {"SAFETY", 6},
        [FINISH_SEQUENCE] = {"STOP", 4}, [FINISH_PAUSE] = {"STOP", 4},
    };
    jw_field_string(j, "finishReason", reasons[f]);
    if (why.inner.n > 0)
        jw_field_text(j, "finishMessage", why);
}

static void put_usage(struct json_writer *j, const struct llm_usage *u)
{
    int64_t thoughts = MAX_OF(u->reasoning, (int64_t)0);
    if (u->input < 0 && u->output < 0)
        return;
    jw_key(j, "usageMetadata");
    jw_open(j, '{');
    if (u->input >= 0)
        jw_field_i64(j, "promptTokenCount", u->input);
    if (u->cached >= 0)
        jw_field_i64(j, "cachedContentTokenCount", u->cached);
    if (u->output >= 0)
        jw_field_i64(j, "candidatesTokenCount", MAX_OF(u->output - thoughts, (int64_t)0));
    if (u->reasoning >= 0)
        jw_field_i64(j, "thoughtsTokenCount", u->reasoning);
    jw_field_i64(j, "totalTokenCount",
                 MAX_OF(u->input, (int64_t)0) + MAX_OF(u->output, (int64_t)0));
    jw_close(j, '}');
}

static void put_names(struct json_writer *j, struct slice model, struct slice id)
{
    if (model.n > 0)
        jw_field_string(j, "modelVersion", model);
    if (id.n > 0)
        jw_field_string(j, "responseId", id);
}

/* ---- Streams. */

static bool is_array(const struct llm_encoder *e)
{
    return e->dialect == &google_array_dialect;
}

static void begin_frame(struct llm_encoder *e)
{
    struct encode_state *s = e->state;
    if (!is_array(e))
        buf_lit(e->out, "data: ");
    else if (s->any)
        buf_lit(e->out, ",\r\n");
    else
        buf_lit(e->out, "[");
    s->any = true;
}

static void end_frame(struct llm_encoder *e)
{
    if (!is_array(e))
        buf_lit(e->out, "\n\n");
}

/* A frame up to where the parts of its only candidate are written. */
static struct json_writer open_parts(struct llm_encoder *e)
{
    struct json_writer j = json_writer(e->out);
    begin_frame(e);
    buf_lit(e->out, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[");
    return j;
}

/* The end of the candidate and of the frame, behind its content or what stands instead. */
static void close_candidate(struct llm_encoder *e, struct json_writer *j, unsigned index)
{
    const struct encode_state *s = e->state;
    jw_field_i64(j, "index", index);
    jw_close(j, '}');
    jw_close(j, ']');
    put_names(j, s->model, s->id);
    jw_close(j, '}');
    end_frame(e);
}

static void close_parts(struct llm_encoder *e, struct json_writer *j, unsigned index)
{
    jw_close(j, ']');
    jw_close(j, '}');
    close_candidate(e, j, index);
}

/* A frame up to where members of its only candidate are written. */
static struct json_writer open_candidate(struct llm_encoder *e)
{
    struct json_writer j = json_writer(e->out);
    begin_frame(e);
    buf_lit(e->out, "{\"candidates\":[{");
    return j;
}

static void put_stream_error(struct llm_encoder *e, unsigned status, const struct llm_error *error)
{
    struct encode_state *s = e->state;
    begin_frame(e);
    google_put_error(e->out, status != 0 ? status : 502, error, SLICE_NONE);
    if (is_array(e))
        buf_lit(e->out, "]");
    end_frame(e);
    s->dead = true;
}

/* The state of the event's choice; NULL: no memory. */
static struct candidate *candidate_of(struct llm_encoder *e, unsigned index)
{
    struct encode_state *s = e->state;
    struct candidate **at = &s->candidates;
    while (*at != NULL && (*at)->index != index)
        at = &(*at)->next;
    if (*at == NULL && (*at = arena_new(e->arena, struct candidate)) != NULL)
        (*at)->index = index;
    e->out->failed |= *at == NULL;
    return *at;
}

static struct slice keep(struct llm_encoder *e, struct slice s)
{
    struct slice copy = s.p != NULL ? arena_copy(e->arena, s) : SLICE_NONE;
    e->out->failed |= s.p != NULL && copy.p == NULL;
    return copy;
}

static struct slice take_signature(struct candidate *c)
{
    struct slice s = c->signature;
    c->signature = SLICE_NONE;
    return s;
}

static void begin_part(struct llm_encoder *e, struct candidate *c, const struct llm_event *event)
{
    c->kind = event->part_kind;
    c->bare = true;
    c->text.n = c->chunks.n = c->supports.n = 0;
    c->cited = 0;
    if (c->kind == PART_TOOL_CALL) {
        c->id = keep(e, event->id);
        c->name = keep(e, event->name);
    } else if (c->kind == PART_NATIVE && event->family == FAMILY_GOOGLE && event->json.n > 0) {
        struct json_writer j = open_parts(e);
        put_compact(&j, event->json);
        close_parts(e, &j, c->index);
    }
}

static void add_text(struct llm_encoder *e, struct candidate *c, struct llm_text text)
{
    if (c->kind == PART_TOOL_CALL) {
        gather(e->out, &c->text, e->arena, text.inner);
        return;
    }
    if (text.inner.n == 0 || c->kind == PART_NATIVE)
        return;
    bool thought = c->kind == PART_REASONING;
    c->bare = false;
    struct json_writer j = open_parts(e);
    put_text(&j, text, thought, thought ? SLICE_NONE : take_signature(c));
    close_parts(e, &j, c->index);
}

/* A signature that no part came for. */
static void put_held(struct llm_encoder *e, struct candidate *c)
{
    if (c->signature.p == NULL)
        return;
    struct json_writer j = open_parts(e);
    put_text(&j, (struct llm_text){SLICE("")}, false, take_signature(c));
    close_parts(e, &j, c->index);
}

/* Google's own, without a thought, is for the part behind it. */
static void add_signature(struct llm_encoder *e, struct candidate *c, const struct llm_event *event)
{
    if (event->family == FAMILY_GOOGLE && c->bare) {
        put_held(e, c);
        c->signature = keep(e, event->signature);
        return;
    }
    struct slice s =
        google_signature_mark(e->arena, event->signature, event->family, event->redacted);
    if (s.p == NULL) {
        e->out->failed = true;
        return;
    }
    struct json_writer j = open_parts(e);
    put_text(&j, (struct llm_text){SLICE("")}, true, s);
    close_parts(e, &j, c->index);
}

static void add_citation(struct llm_encoder *e, struct candidate *c,
                         const struct llm_citation *cite)
{
    struct buf b;
    buf_init(&b, GATHERED_MAX);
    struct json_writer j = json_writer(&b);
    j.comma = c->cited > 0;
    put_chunk(&j, cite);
    gather(e->out, &c->chunks, e->arena, buf_view(&b));
    buf_reset(&b);
    j.comma = c->cited > 0;
    put_support(&j, cite, c->cited);
    gather(e->out, &c->supports, e->arena, buf_view(&b));
    c->cited++;
    e->out->failed |= b.failed;
    buf_done(&b);
}

static void put_grounding(struct json_writer *j, struct slice chunks, struct slice supports)
{
    jw_key(j, "groundingMetadata");
    jw_open(j, '{');
    jw_key(j, "groundingChunks");
    jw_open(j, '[');
    buf_slice(j->b, chunks);
    jw_close(j, ']');
    jw_key(j, "groundingSupports");
    jw_open(j, '[');
    buf_slice(j->b, supports);
    jw_close(j, ']');
    jw_close(j, '}');
}

/* The arguments as an object; .p NULL: they are none. */
static struct slice arguments_of(struct llm_encoder *e, struct llm_text text)
{
    const struct llm_part call = {.arguments = text};
    return llm_call_object(e->json, e->arena, &call);
}

static void end_part(struct llm_encoder *e, struct candidate *c)
{
    if (c->kind == PART_TEXT && c->cited > 0) {
        struct json_writer j = open_candidate(e);
        put_grounding(&j, view(&c->chunks), view(&c->supports));
        close_candidate(e, &j, c->index);
        return;
    }
    if (c->kind != PART_TOOL_CALL)
        return;
    struct slice args = arguments_of(e, (struct llm_text){view(&c->text)});
    if (args.p == NULL) {
        e->bad = true;
        return;
    }
    struct json_writer j = open_parts(e);
    put_call(&j, c->id, c->name, args, take_signature(c));
    close_parts(e, &j, c->index);
}

static void finish(struct llm_encoder *e, struct candidate *c, const struct llm_event *event)
{
    c->finished = true;
    c->finish = event->finish;
    c->why.inner = keep(e, event->text.inner);
    put_held(e, c);
}

/* How each candidate ended, and the usage. */
static void put_last(struct llm_encoder *e)
{
    const struct encode_state *s = e->state;
    struct json_writer j = json_writer(e->out);
    begin_frame(e);
    jw_open(&j, '{');
    jw_key(&j, "candidates");
    jw_open(&j, '[');
    for (const struct candidate *c = s->candidates; c != NULL; c = c->next) {
        if (!c->finished)
            continue;
        jw_open(&j, '{');
        jw_key(&j, "content");
        jw_raw(&j, SLICE("{\"role\":\"model\",\"parts\":[{\"text\":\"\"}]}"));
        put_finish(&j, c->finish, c->why);
        jw_field_i64(&j, "index", c->index);
        jw_close(&j, '}');
    }
    jw_close(&j, ']');
    put_usage(&j, e->usage);
    put_names(&j, s->model, s->id);
    jw_close(&j, '}');
    if (is_array(e))
        buf_lit(e->out, "]");
    end_frame(e);
}

static void put_logprobs_frame(struct llm_encoder *e, const struct llm_event *event)
{
    if (event->json.n == 0)
        return;
    struct json_writer j = open_candidate(e);
    put_logprobs(e, &j, event->json);
    close_candidate(e, &j, event->choice);
}

static void encode_of_choice(struct llm_encoder *e, const struct llm_event *event)
{
    struct candidate *c = candidate_of(e, event->choice);
    if (c == NULL)
        return;
    switch (event->kind) {
    case EVENT_PART: begin_part(e, c, event); break;
    case EVENT_DELTA: add_text(e, c, event->text); break;
    case EVENT_SIGNATURE: add_signature(e, c, event); break;
    case EVENT_CITATION: add_citation(e, c, event->citation); break;
    case EVENT_LOGPROBS: put_logprobs_frame(e, event); break;
    case EVENT_PART_END: end_part(e, c); break;
    case EVENT_FINISH: finish(e, c, event); break;
    default: break;
    }
}

static void encode(struct llm_encoder *e, const struct llm_event *event)
{
    struct encode_state *s = e->state;
    if (s == NULL)
        e->state = s = arena_new(e->arena, struct encode_state);
    if (s == NULL) {
        e->out->failed = true;
        return;
    }
    if (s->dead || e->bad)
        return;
    switch (event->kind) {
    case EVENT_START:
        s->id = keep(e, event->id.n > 0 ? event->id : e->id);
        s->model = keep(e, event->model);
        break;
    case EVENT_END: put_last(e); break;
    case EVENT_ERROR: put_stream_error(e, event->status, event->error); break;
    case EVENT_PING: break;
    default: encode_of_choice(e, event);
    }
}

/* ---- Whole answers. */

/* False: a call's arguments are no object. */
static bool put_part(struct llm_encoder *e, struct json_writer *j, const struct llm_part *p,
                     struct slice *held)
{
    struct slice signature = *held;
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        put_text(j, p->text, false, signature);
        *held = SLICE_NONE;
        return true;
    case PART_REASONING:
        if (p->family == FAMILY_GOOGLE && p->text.inner.n == 0) {
            if (held->p != NULL)
                put_text(j, p->text, false, *held);
            *held = p->signature;
            return true;
        }
        signature = SLICE_NONE;
        if (p->signature.n > 0)
            signature = google_signature_mark(e->arena, p->signature, p->family, p->redacted);
        put_text(j, p->text.inner.p != NULL ? p->text : (struct llm_text){SLICE("")}, true,
                 signature);
        return true;
    case PART_TOOL_CALL: {
        struct slice args = llm_call_object(e->json, e->arena, p);
        if (args.p != NULL)
            put_call(j, p->id, p->name, args, signature);
        *held = SLICE_NONE;
        return args.p != NULL;
    }
    case PART_NATIVE:
        if (p->family == FAMILY_GOOGLE && p->native_json.n > 0)
            put_compact(j, p->native_json);
        return true;
    default: return true;
    }
}

static bool put_content(struct llm_encoder *e, struct json_writer *j, const struct llm_choice *c)
{
    struct slice held = SLICE_NONE;
    jw_key(j, "content");
    jw_open(j, '{');
    jw_field_string(j, "role", SLICE("model"));
    jw_key(j, "parts");
    jw_open(j, '[');
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (!put_part(e, j, p, &held))
            return false;
    }
    if (held.p != NULL)
        put_text(j, (struct llm_text){SLICE("")}, false, held);
    jw_close(j, ']');
    jw_close(j, '}');
    return true;
}

static void put_citations(struct json_writer *j, const struct llm_cited *list)
{
    unsigned n = 0;
    if (list == NULL)
        return;
    jw_key(j, "groundingMetadata");
    jw_open(j, '{');
    jw_key(j, "groundingChunks");
    jw_open(j, '[');
    for (const struct llm_cited *c = list; c != NULL; c = c->next)
        put_chunk(j, &c->citation);
    jw_close(j, ']');
    jw_key(j, "groundingSupports");
    jw_open(j, '[');
    for (const struct llm_cited *c = list; c != NULL; c = c->next)
        put_support(j, &c->citation, n++);
    jw_close(j, ']');
    jw_close(j, '}');
}

static void write_answer(struct llm_encoder *e, const struct llm_answer *answer)
{
    struct json_writer j = json_writer(e->out);
    size_t before = e->out->n;
    jw_open(&j, '{');
    jw_key(&j, "candidates");
    jw_open(&j, '[');
    for (const struct llm_choice *c = answer->choices; c != NULL; c = c->next) {
        jw_open(&j, '{');
        if (!put_content(e, &j, c)) {
            e->out->n = before;
            e->bad = true;
            return;
        }
        put_finish(&j, c->finish, c->refusal);
        jw_field_i64(&j, "index", c->index);
        put_citations(&j, c->citations);
        if (c->logprobs_json.n > 0)
            put_logprobs(e, &j, c->logprobs_json);
        jw_close(&j, '}');
    }
    jw_close(&j, ']');
    put_usage(&j, &answer->usage);
    put_names(&j, answer->model, answer->id.n > 0 ? answer->id : e->id);
    jw_close(&j, '}');
}

static void put_error_event(struct buf *out, unsigned status, const struct llm_error *e,
                            struct slice request_id)
{
    buf_lit(out, "data: ");
    google_put_error(out, status, e, request_id);
    buf_lit(out, "\n\n");
}

/* Nothing but white space has gone before. */
static void put_error_element(struct buf *out, unsigned status, const struct llm_error *e,
                              struct slice request_id)
{
    buf_lit(out, "[");
    google_put_error(out, status, e, request_id);
    buf_lit(out, "]");
}

/* A comment would be taken as JSON. */
#define KEEP_ALIVE                                                                                 \
    {                                                                                              \
        "\n", 1                                                                                    \
    }

const struct llm_dialect google_dialect = {
    .id = DIALECT_GOOGLE,
    .name = "google",
    .family = FAMILY_GOOGLE,
    .wire = &google_wire,
    .read_request = google_read_request,
    .read_chat = google_read_chat,
    .sequential = true,
    .stream_type = {"text/event-stream", 17},
    .keep_alive = KEEP_ALIVE,
    .encode = encode,
    .write_answer = write_answer,
    .put_error = google_put_error,
    .put_error_event = put_error_event,
};

const struct llm_dialect google_array_dialect = {
    .id = DIALECT_GOOGLE,
    .name = "google-array",
    .family = FAMILY_GOOGLE,
    .wire = NULL, /* the wire's streams are events, and have to be written anew */
    .read_request = google_read_request,
    .read_chat = google_read_chat,
    .sequential = true,
    .stream_type = {"application/json", 16},
    .keep_alive = KEEP_ALIVE,
    .encode = encode,
    .write_answer = write_answer,
    .put_error = google_put_error,
    .put_error_event = put_error_element,
};
